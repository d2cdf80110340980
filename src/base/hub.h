/*
** The hub: one epoll descriptor that holds every socket of one Lua state, the
** timers, and the mailbox of the worker threads. A host's loop watches only
** prg_hub_fd(); the built-in loop is prg_hub_run() in a row.
**
** Everything here is for one thread, but for prg_hub_interrupt(). A
** callback may add, change and remove any watch, timer or post, its own too.
*/
#ifndef PRG_BASE_HUB_H
#define PRG_BASE_HUB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/list.h"
#include "base/status.h"

struct prg_hub;

enum { PRG_READ = 1, PRG_WRITE = 2, PRG_HANGUP = 4 };

/* One watched descriptor. The user embeds it; zeroed is "not watched". Level
** triggered. */
struct prg_watch {
  int fd;          /* set by prg_hub_watch */
  unsigned events; /* set by prg_hub_watch: PRG_READ | PRG_WRITE */
  unsigned slot;   /* hub's: index + 1 of the registration, 0 when none */
  void (*fn)(struct prg_watch *w, unsigned ready); /* set by the user */
};

/* One timer. The user embeds it; zeroed is "not set". The hub's heap is made of
** the timers themselves, so that setting one needs no memory and cannot fail. */
struct prg_timer {
  int64_t due; /* as prg_now(); set by prg_timer_set */
  int place;   /* hub's: 0 when not set */
  struct prg_timer *child, *next, *prev; /* hub's */
  void (*fn)(struct prg_timer *t);       /* set by the user */
};

/* Something to do in the hub's next turn, before it waits. */
struct prg_post {
  struct prg_link link;
  void (*fn)(struct prg_post *p); /* set by the user */
};

/* NULL and *err when the system refuses. One reference is the caller's. */
struct prg_hub *prg_hub_new(struct prg_error **err);
struct prg_hub *prg_hub_ref(struct prg_hub *h);
/* The last reference closes it. Watches and timers must be gone by then;
** jobs still running are orphaned (see worker.h). */
void prg_hub_unref(struct prg_hub *h);

/* In a child process, which has a hub of its own now: the parent's forgets its
** timers and posts, so that clearing them later is fine, whatever hub is named. */
void prg_hub_forget(struct prg_hub *h);

/* The descriptor that becomes readable when prg_hub_run has something to do.
** With `arm` on (foreign loops) timers make it readable too. */
int prg_hub_fd(const struct prg_hub *h);
void prg_hub_arm(struct prg_hub *h, bool arm);

/* Starts to watch `fd`, or changes what is watched: also right when the user's
** library has closed and reopened the socket under the same number. events 0
** keeps the registration, hang-ups only. PRG_ERR: errno says why. */
int prg_hub_watch(struct prg_hub *h, struct prg_watch *w, int fd,
                  unsigned events) PRG_MUSTCHECK;
/* Before the descriptor is closed. Not watched is fine. */
void prg_hub_unwatch(struct prg_hub *h, struct prg_watch *w);

/* (Re)sets a timer; a due time in the past fires in the next turn. */
void prg_timer_set(struct prg_hub *h, struct prg_timer *t, int64_t due);
/* Not set is fine. */
void prg_timer_clear(struct prg_hub *h, struct prg_timer *t);
bool prg_timer_is_set(const struct prg_timer *t);

/* Runs `p->fn` once in the next turn; posting twice is once. */
void prg_hub_post(struct prg_hub *h, struct prg_post *p);
void prg_hub_unpost(struct prg_hub *h, struct prg_post *p);

/* One turn: waits for at most `wait_us` (0: only looks; PRG_NEVER: until
** something happens) but not past the first timer, and runs what is due.
** Returns the number of callbacks run; PRG_ERR on a failed epoll_wait. A
** signal ends the wait early with 0. */
int prg_hub_run(struct prg_hub *h, int64_t wait_us);
/* The earliest time at which what the last turn has found may have come, give or take
** a millisecond: when nobody looked for a while, the end of the turn before. `now`:
** where that is not known. */
int64_t prg_hub_found_at(const struct prg_hub *h, int64_t now);
/* Is anything registered that could still make a callback run? */
bool prg_hub_busy(const struct prg_hub *h);
/* Makes a prg_hub_run in progress or the next one return; safe in a signal
** handler and from other threads. */
void prg_hub_interrupt(struct prg_hub *h);

#endif
