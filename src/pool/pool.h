/*
** The pool: who holds which connection. Waiters are served in the order in
** which they came and get a connection handed over directly; idle connections
** are taken newest first, and the hub watches them, so that a dead one is gone
** before anybody borrows it. One connection attempt at a time, with back-off.
**
** Statements that are short and need nothing of a session may be in flight on one
** connection together; who borrows for one of these says so. A connection is shared
** only when none is idle.
**
** A state of a connection is the list that it is in; prg__slot_set_state() in
** pool_int.h is the only function that moves one. All calls are made on the hub's thread;
** none calls Lua. docs/internals/pool.md has the picture.
*/
#ifndef PRG_POOL_POOL_H
#define PRG_POOL_POOL_H

#include "driver/driver.h"

struct prg_pool;

enum prg_slot_state {
  PRG_SLOT_CONNECTING,
  PRG_SLOT_IDLE,
  PRG_SLOT_CHECKING, /* idle for long: a ping is out */
  PRG_SLOT_BUSY,     /* borrowed by one */
  PRG_SLOT_SHARED,   /* borrowed by one or several, for a statement each */
  PRG_SLOT_CLEANING, /* returned: drains, or is reset */
  PRG_SLOT_LOST,     /* borrowed before a fork, by the parent: not counted */
  PRG_SLOT_STATES
};

/* A connection of the pool. Owned by the pool; borrowers hold a pointer. */
struct prg_slot {
  struct prg_link link; /* in the list of its state (IDLE: of its lane) */
  enum prg_slot_state state;
  struct prg_pool *pool;
  struct prg_conn *conn;
  enum prg_lane lane;
  unsigned generation;    /* older than the pool's: closed on return */
  int64_t retire_at;      /* end of its lifetime, with jitter */
  int64_t since;          /* when it entered its state */
  struct prg_req *req;    /* the pool's own ping or reset */
  struct prg_timer timer; /* bounds CLEANING and CHECKING */
  /* of the borrower, while BUSY */
  const void *holder; /* the task, as an identity only; NULL: unknown */
  const char *where;  /* owned: "file:line" that took it, or NULL */
  bool leased;        /* for more than one statement */
  bool counted;       /* in the pool's leases */
  bool blocked;       /* its holder waits for another connection */
  /* while SHARED */
  size_t nshared; /* who has borrowed it and not given it back */
  size_t nlocks;  /* of these, whose statements may wait for locks */
  int64_t
      since_head; /* when the last of them got an answer, or the first began;
                         also while BUSY */
  bool reserved;  /* nobody may join: somebody waits to have it alone */
  int64_t trip; /* how long a round trip takes that gives the server no work */
  bool fresh; /* new or just reset: set by the pool, cleared by the borrower who
                 has set the session up */
};

/* A wish for a connection. The borrower owns the memory. */
struct prg_borrow {
  struct prg_link link; /* while waiting */
  enum prg_lane lane;
  int64_t due; /* PRG_NEVER: none */
  bool leased;
  const void *holder;
  const char *where; /* borrowed; copied into the slot */
  int64_t since;     /* when the waiting began; then, when it was lent */
  /* The one statement that it is for, when that may be in flight together with
  ** others; NULL: the connection must be the borrower's alone. A reference of the
  ** borrower's until the end. */
  struct prg_stmt *stmt;
  bool locks;      /* it may have to wait for locks of others' transactions */
  uint64_t ticket; /* while waiting */
  struct prg_timer timer;
  struct prg_slot *slot;   /* the answer */
  bool shared;             /* with it: others may be in flight there */
  bool alone;              /* nobody was when it was lent */
  struct prg_error *error; /* or why not; owned by the borrower */
  /* Called once when the wait ends, never from inside prg_pool_acquire. */
  void (*done)(struct prg_borrow *b);
  void *owner;
};

enum prg_reset_policy { PRG_RESET_AUTO, PRG_RESET_ALWAYS, PRG_RESET_NEVER };

struct prg_pool_options {
  size_t min_size, max_size;
  size_t max_waiting;   /* 0: no limit */
  int64_t idle_timeout; /* microseconds, PRG_NEVER: never */
  int64_t lifetime;     /* +- 10 % */
  int64_t check_after;  /* ping what idled longer before lending it */
  enum prg_reset_policy reset;
  bool setup; /* fresh connections are lent to one borrower, who sets them up */
};

struct prg_pool_stats {
  size_t size, idle, in_use, connecting, cleaning, waiting, max_size, min_size;
  size_t shared; /* statements in flight beyond one per connection */
  uint64_t acquired, created, closed, timeouts, abandoned, resets, failures;
  uint64_t pipelined;           /* lent while others had the connection */
  int64_t wait_total, wait_max; /* microseconds */
};

/* Takes over `config` (also on failure) and opens nothing yet. NULL without
** memory. `free_config` frees the config when the pool and all its
** connections are gone. */
struct prg_pool *prg_pool_new(struct prg_hub *hub, const struct prg_driver *drv,
                              struct prg_config *config,
                              void (*free_config)(struct prg_config *),
                              const struct prg_pool_options *opts);
const struct prg_config *prg_pool_config(const struct prg_pool *p);
const struct prg_driver *prg_pool_driver(const struct prg_pool *p);

/* Server notices of lent and idle connections. */
void prg_pool_on_notice(struct prg_pool *p,
                        void (*fn)(const struct prg_error *n, void *ud),
                        void *ud);

/* PRG_OK: b->slot is set. PRG_AGAIN: b waits; b->done follows. PRG_ERR: b->error
** is set (closed, waiting list full, would wait for itself). */
int prg_pool_acquire(struct prg_pool *p, struct prg_borrow *b) PRG_MUSTCHECK;
/* The borrower gives up waiting (b->done will not be called); also right when
** the answer has come in the same turn and was not looked at: then the
** connection goes back. */
void prg_pool_forget(struct prg_pool *p, struct prg_borrow *b);
/* Is the lane full, and some of its connections held for more than one call? */
bool prg_pool_is_leased_out(struct prg_pool *p, enum prg_lane lane);
/* Gives a connection back: it is handed to the next waiter, cleaned or closed.
** Requests of the borrower must have been freed. */
void prg_pool_release(struct prg_slot *slot);
/* The same for who has borrowed it for the one statement b->stmt (which may be NULL)
** and may have shared it. `answered`: the statement has ended. */
void prg_pool_leave(struct prg_slot *slot, const struct prg_borrow *b,
                    bool answered);
/* Gives it back to be closed; reason for the log and the errors. */
void prg_pool_discard(struct prg_slot *slot, const char *reason);
/* Connections opened so far are closed when they come back. */
void prg_pool_evict(struct prg_pool *p);
/* The server of this one is not what it was (failover): the same, unless that was
** done since it was opened. */
void prg_pool_evict_like(const struct prg_slot *slot);

void prg_pool_stats(const struct prg_pool *p, struct prg_pool_stats *out);
/* "a.lua:3 (2.1 s), b.lua:9 (0.3 s)": who holds connections, for messages. */
void prg_pool_holders(const struct prg_pool *p, struct prg_buf *out);

/* Starts to close: waiters get `closed`, idle connections are closed, lent ones
** when they return, and at `due` by force. done(ud) is called once from the
** hub when none is left (at once possible: returns PRG_OK then). A second call
** moves the deadline nearer. */
int prg_pool_close(struct prg_pool *p, int64_t due, void (*done)(void *ud),
                   void *ud);
bool prg_pool_is_closed(const struct prg_pool *p);
/* Was it opened by the process that we were forked from? Then it lends nothing
** until it is adopted. */
bool prg_pool_is_forked(const struct prg_pool *p);
/* In the child: the pool is ours from now on, and `hub` its hub. The connections of
** the parent are forgotten without a word to the server; those lent out are LOST,
** and their borrowers still return them. */
void prg_pool_adopt(struct prg_pool *p, struct prg_hub *hub);
/* It was adopted, but its driver cannot open the database again beside the
** connections of the parent: it lends nothing. */
bool prg_pool_is_orphaned(const struct prg_pool *p);
/* Closes everything now and frees. Slots lent out must not be used after. */
void prg_pool_free(struct prg_pool *p);

#endif
