/*
** The relay: a thread that tells a socket when a descriptor becomes readable. For
** loops that can read from a socket and watch nothing else (nginx's cosockets). It
** tells, and then not again before the reader says that it has looked.
*/
#ifndef PRG_BASE_RELAY_H
#define PRG_BASE_RELAY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* Zeroed is "off". The user embeds it. */
struct prg_relay {
  bool listening; /* `listener` and `path` are there */
  bool running;   /* the thread and its descriptors are there */
  long pid;       /* of the process that has the thread */
  int listener;   /* until the reader has connected */
  char path[64];  /* of the listener, in a folder of its own */
  int peer;       /* our end */
  int epoll;      /* what the thread waits for */
  int stop;       /* eventfd: ends the thread */
  pthread_t thread;
  atomic_bool told;   /* a byte is on its way */
  atomic_bool broken; /* the reader has gone */
};

/* The reader may connect to r->path. False: `why` says why not. */
bool prg_relay_listen(struct prg_relay *r, char *why, size_t size);
/* The reader has connected: the thread is started. */
bool prg_relay_start(struct prg_relay *r, int fd, char *why, size_t size);
/* Whatever is readable from now on is told anew. */
void prg_relay_heard(struct prg_relay *r);
/* Does it still tell anybody? */
bool prg_relay_works(const struct prg_relay *r);
/* Ends it in any state; waits for the thread, which never waits for long. */
void prg_relay_stop(struct prg_relay *r);

#endif
