/*
** Listening: one connection of a handle, of its own, on which the server tells what
** others NOTIFY. It is opened when somebody listens, looked after (a ping when
** nothing was heard for a while), opened again when it is lost, and closed some
** time after the last listener has gone.
**
** A listener has a queue. What it may have missed is an entry, too: a gap, which
** stands where something is missing. All calls are made on the hub's thread; none
** calls Lua. docs/internals/pool.md has the picture.
*/
#ifndef PRG_POOL_LISTEN_H
#define PRG_POOL_LISTEN_H

#include "driver/driver.h"

struct prg_ear;
struct prg_member;

/* A name, and the same as an identifier in SQL. */
struct prg_channel_name {
  struct prg_text name, quoted;
};

/* A notification, in the queues of all that hear it. Reference counted. */
struct prg_news {
  int refs;
  struct prg_notify what;
  char text[]; /* channel and payload */
};

/* NULL is fine. */
void prg_news_unref(struct prg_news *n);

/* Somebody who listens. The owner has the memory; zeroed is "closed". */
struct prg_listener {
  struct prg_link link;       /* in the ear's list */
  struct prg_ear *ear;        /* NULL: it hears nothing any more */
  struct prg_member *members; /* owned: one for each channel */
  size_t nmembers;
  size_t missing;        /* channels that the server does not listen on yet */
  bool ready;            /* there was a moment without */
  int64_t since;         /* when it was opened */
  struct prg_list queue; /* of entries */
  size_t max_pending;    /* entries; what comes beyond them makes a gap */
  struct prg_link gap;   /* in the queue: something is missing here */
  bool deaf; /* so much is missing behind it that nothing is kept until then */
  struct prg_error
      *error; /* owned: why it has ended, NULL when it was closed */
  /* There is news: an entry, ready, or the end. */
  void (*wake)(struct prg_listener *l);
};

struct prg_ear_options {
  int64_t connect_timeout; /* microseconds */
  int64_t silence;         /* after which the server is pinged */
};

/* Opens nothing yet; borrows `config`. NULL without memory. */
struct prg_ear *prg_ear_new(struct prg_hub *hub, const struct prg_driver *drv,
                            const struct prg_config *config,
                            const struct prg_ear_options *options);
/* Ends all listeners (`error`: why, taken over; NULL: as if each had been closed)
** and closes the connection. */
void prg_ear_free(struct prg_ear *ear, struct prg_error *error);
/* Was it made by the process that we were forked from? */
bool prg_ear_is_forked(const struct prg_ear *ear);
/* Closes the connection; another one is opened (failover). */
void prg_ear_evict(struct prg_ear *ear);

/* Opens a listener on `n` channels, none of them twice; `max_pending` and `wake`
** are set. It hears what is sent after it became `ready`, and may hear what was
** sent a little before. PRG_ERR: no memory. */
int prg_listener_open(struct prg_ear *ear, struct prg_listener *l,
                      const struct prg_channel_name *names,
                      size_t n) PRG_MUSTCHECK;
/* Leaves its channels, forgets its queue. Fine twice. `wake` is not called. */
void prg_listener_close(struct prg_listener *l);

enum prg_heard { PRG_HEARD_NOTHING, PRG_HEARD_NEWS, PRG_HEARD_GAP };

/* The next entry; *news is the caller's reference. */
enum prg_heard prg_listener_next(struct prg_listener *l,
                                 struct prg_news **news);

#endif
