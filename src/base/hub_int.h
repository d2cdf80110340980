/* What hub.c and worker.c share: the mailbox in which threads put finished
** jobs. It lives as long as the hub or any thread needs it. */
#ifndef PRG_BASE_HUB_INT_H
#define PRG_BASE_HUB_INT_H

#include <pthread.h>
#include <stdbool.h>

#include "base/list.h"

struct prg_hub;
struct prg_job;
struct prg_worker;

struct prg_mailbox {
  pthread_mutex_t lock;
  int refs;             /* under lock: the hub, and each thread */
  bool hub_gone;        /* under lock: nobody empties it any more */
  struct prg_list jobs; /* under lock: finished, done() not yet called */
  int fd;               /* eventfd in the hub's epoll set */
};

/* NULL: no memory or no descriptor (errno). One reference. */
struct prg_mailbox *prg__mailbox_new(void);
struct prg_mailbox *prg__mailbox_ref(struct prg_mailbox *m);
void prg__mailbox_unref(struct prg_mailbox *m);
/* Makes the descriptor readable. Safe in a signal handler. */
void prg__mailbox_ring(const struct prg_mailbox *m);
/* A thread hands a job over: done() in the hub, or orphan() at once. */
void prg__mailbox_put(struct prg_mailbox *m, struct prg_job *job);
/* The first finished job (of `w`, unless NULL), or NULL. */
struct prg_job *prg__mailbox_take(struct prg_mailbox *m,
                                  const struct prg_worker *w);
size_t prg__mailbox_count(struct prg_mailbox *m);
/* The hub is gone: orphans what is there and what will come. */
void prg__mailbox_close(struct prg_mailbox *m);

struct prg_mailbox *prg__hub_mailbox(struct prg_hub *h);
/* Jobs submitted and not yet done: prg_hub_busy() counts them. */
void prg__hub_count_job(struct prg_hub *h, int change);
/* Changes in a child process made by fork(). */
unsigned prg__fork_epoch(void);

#endif
