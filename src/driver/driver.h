/*
** THE driver contract, and the part of a connection that is the same on every
** database: its queue of requests, their deadlines, its place in the hub, and
** cancelling. docs/internals/driver.md tells the same as a story.
**
**   owner (pool, binding)        driver.c                     a driver
**   prg_conn_connect ─────────▶  state CONNECTING  ────────▶  step()
**   prg_conn_submit  ─────────▶  queue ────────────────────▶  step(): takes the head with
**                                                              prg_conn_next(), sends, reads,
**   req->done(req)   ◀─────────  result, deadline ◀─────────   prg_req_finish()
**   prg_req_abandon  ─────────▶  ghost, cancel() ──────────▶  cancel()
**
** A driver never waits and never calls Lua: step() does what it can and says
** what to wait for. All calls are made on the hub's thread.
*/
#ifndef PRG_DRIVER_DRIVER_H
#define PRG_DRIVER_DRIVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/hub.h"
#include "base/list.h"
#include "base/url.h"
#include "base/value.h"
#include "driver/result.h"

#define PRG_DRIVER_ABI 4u

struct prg_conn;
struct prg_driver;
struct prg_req;

/* ---- statements --------------------------------------------------------- */

enum prg_stmt_flag {
  PRG_STMT_READ = 1 << 0, /* by its first keyword it only reads: SELECT, VALUES,
                                TABLE, EXPLAIN, WITH without INSERT/UPDATE/DELETE/MERGE */
  PRG_STMT_CONTROL =
      1 << 1, /* BEGIN, COMMIT, ROLLBACK, SAVEPOINT, RELEASE, … */
  PRG_STMT_SESSION =
      1 << 2, /* changes the session: SET, LISTEN, PREPARE, DECLARE,
                                CREATE TEMP, ATTACH, PRAGMA x = y, … */
  PRG_STMT_TOUCH = 1 << 3,   /* names set_config, an advisory lock, …: leaves
                                something behind that a reset must undo */
  PRG_STMT_COPY = 1 << 4,    /* COPY … FROM STDIN / TO STDOUT */
  PRG_STMT_MULTI = 1 << 5,   /* more than one statement */
  PRG_STMT_EMPTY = 1 << 6,   /* nothing but blanks and comments */
  PRG_STMT_CURSOR = 1 << 7,  /* can be declared as a cursor */
  PRG_STMT_UTILITY = 1 << 8, /* not worth or not fit for a named statement: DDL,
                                CONTROL, SET, …: everything but SELECT, INSERT,
                                UPDATE, DELETE, MERGE, VALUES, TABLE, WITH */
  PRG_STMT_VALUES = 1 << 9,  /* INSERT … VALUES */
  PRG_STMT_COMMITS = 1 << 10 /* commits the transaction that it is in (DDL of
                                MySQL) */
};

/* Of statements that are never in flight together with others. */
#define PRG_STMT_ALONE                                                    \
  (PRG_STMT_CONTROL | PRG_STMT_SESSION | PRG_STMT_TOUCH | PRG_STMT_COPY | \
   PRG_STMT_MULTI | PRG_STMT_EMPTY | PRG_STMT_UTILITY)

enum prg_lane { PRG_LANE_WRITE = 0, PRG_LANE_READ = 1, PRG_LANES = 2 };

/* One SQL text in the form that the driver sends ($1 or ?1). Shared by every
** connection and call that uses it; immutable but for `lane` and `spent`. */
struct prg_stmt {
  int refs;
  char *sql; /* owned; ends with a zero byte, contains none */
  size_t len;
  uint64_t hash;
  unsigned flags; /* enum prg_stmt_flag */
  int nparams;
  enum prg_lane lane;   /* which lane it needs: a guess by flags, corrected by
                         what a driver with PRG_F_LANES found out */
  unsigned char *typed; /* owned; nparams bytes, or NULL (SQL of the user's): 1,
                           the parameter is declared with the type of its value;
                           0, the database infers the type from where the
                           parameter stands */
  char *types; /* owned, or NULL: types by which columns of the result are read
                  where the database's own say less: name, type, name, type, …,
                  a zero byte after each. Statements of one text with different
                  types are two */
  size_t ntypes; /* bytes of it */
  unsigned
      spent; /* microseconds that the server takes for it, on the average of
                     late; the pool's. 0: it has not been run */
};

/* Copies `sql`. NULL without memory. One reference. */
struct prg_stmt *prg_stmt_new(const char *sql, size_t len, unsigned flags,
                              int nparams);
/* Copies `types`, before the statement is shared. PRG_ERR: no memory. */
int prg_stmt_set_types(struct prg_stmt *s, const char *types,
                       size_t n) PRG_MUSTCHECK;
struct prg_stmt *prg_stmt_ref(struct prg_stmt *s);
void prg_stmt_unref(struct prg_stmt *s);

/* ---- requests ----------------------------------------------------------- */

/* Rows may be large. */
#define PRG_CHUNK_BYTES ((size_t)1 << 20)

enum prg_req_kind {
  PRG_REQ_QUERY,  /* one statement; rows up to max_rows */
  PRG_REQ_STREAM, /* one statement; rows in chunks, each after prg_req_resume */
  PRG_REQ_BATCH,  /* one statement, nsets sets of parameters, all or nothing
                     outside a transaction; result: the sum of affected */
  PRG_REQ_SCRIPT, /* several statements, no parameters; a chain of results */
  PRG_REQ_PING,   /* a round trip */
  PRG_REQ_RESET,  /* back to the state after connecting, transaction included */
  PRG_REQ_COPY_IN, /* PRG_F_COPY: rows or bytes from the owner; see prg_copy */
  PRG_REQ_COPY_OUT /* the same to the owner: chunks as of a STREAM */
};

enum prg_req_state {
  PRG_REQ_NEW,    /* the owner's, never submitted */
  PRG_REQ_QUEUED, /* in conn->queue; nothing was sent */
  PRG_REQ_SENT,   /* in conn->sent; the driver works on it */
  PRG_REQ_PAUSED, /* a stream whose chunk was delivered; in conn->sent or, with
                     PRG_F_INTERLEAVE, in conn->paused */
  PRG_REQ_DONE    /* finished; result or error is set; the owner's */
};

/*
** What a COPY is about beyond its statement. COPY_IN: the request is PAUSED
** whenever the driver wants more; then the owner appends to `out`, by the
** driver's copy_row or byte by byte, and resumes it. While it is PAUSED the
** server is listened to: when that refuses, the request is DONE and `done` is
** called. Until a COPY has ended its connection takes nothing else.
*/
struct prg_copy {
  bool
      rows; /* IN: by copy_row, into the columns of `stmt`, which is a SELECT of
                them. OUT: of `stmt`, a query. Else `stmt` is a COPY statement and
                bytes are as it says */
  char *sql; /* owned. IN, rows: "COPY … FROM STDIN" */
  const char
      *format; /* OUT: of the bytes of a query ("csv"); NULL: `stmt` says */
  bool end;    /* IN: nothing follows what is in `out` */
  bool fail;   /* IN: nothing of it is to stay */
  struct prg_buf out; /* IN: to be sent; the driver empties it */
  void *codec;        /* the driver's, by which rows are written; owned */
  void (*free_codec)(void *codec);
};

struct prg_req {
  struct prg_link link; /* in the connection's list of its state */
  enum prg_req_kind kind;
  enum prg_req_state state;
  struct prg_conn *conn; /* from submit on */
  struct prg_stmt *stmt; /* owned reference; NULL for PING and RESET */

  /* QUERY, STREAM, with PRG_F_PRELUDE: a statement without parameters and rows
  ** (BEGIN, SAVEPOINT) that runs before `stmt` in the same round trip; when it
  ** fails, `stmt` does not run, and the request ends with its error. Owned
  ** reference, or NULL. */
  struct prg_stmt *prelude;
  bool begun; /* the driver's: the prelude has run */

  /* nsets * stmt->nparams values. Borrowed from the owner during
  ** prg_conn_submit only; driver.c copies them (prg_req_own_params) for a
  ** request that stays in the queue, and a driver that needs them after its
  ** step returns calls that too. BATCH: always in `arena`. */
  const struct prg_value *params;
  size_t nsets; /* 1 but for BATCH */
  struct prg_arena arena;
  bool params_owned;
  struct prg_value few[2]; /* copies of so few need nothing of the arena */

  bool
      collect; /* BATCH, with PRG_F_COLLECT: the rows of all sets in one result,
                   in the order of the sets */

  struct prg_copy *copy; /* COPY_IN, COPY_OUT; owned */
  size_t max_rows;       /* QUERY: deliver no more than this; 0: all. When there
                       are more rows, the result has `truncated` set, and
                       the rest is discarded behind the owner's back */
  size_t chunk;          /* STREAM: rows of a delivery (default 500); it ends
                            earlier when it has PRG_CHUNK_BYTES */
  bool alone;  /* STREAM: nobody else uses the connection until it ends, so
                      that a driver with PRG_F_INTERLEAVE need not keep it
                      usable */
  bool tidy;   /* the owner undoes what the statement leaves in the session:
                       it does not make the connection `touched` */
  bool in_tx;  /* set at submit: conn->tx was not PRG_TX_IDLE */
  bool share;  /* QUERY: it may be in flight together with its neighbours, if
                      the driver has nothing against it */
  int64_t due; /* deadline; PRG_NEVER: none. A paused stream has none:
                       the owner may set a new one before prg_req_resume */
  int64_t now; /* what prg_now() said when `due` was set; 0: submit asks */

  struct prg_result *result; /* owned: the answer, or a stream's chunk */
  bool more;                 /* STREAM: further chunks follow */
  struct prg_error *error;   /* owned */
  bool wrong_lane;           /* nothing ran: it wants PRG_LANE_WRITE */

  /* Called once (STREAM: per chunk) on the hub's thread, never from inside
  ** prg_conn_submit's caller's own stack frame unless submit finished the
  ** request at once (state DONE after submit: `done` is NOT called then).
  ** Must not call Lua; may submit and free. */
  void (*done)(struct prg_req *req);
  void *owner;

  /* driver.c's */
  struct prg_timer timer;
  bool ghost;      /* abandoned while in flight: nobody is interested */
  bool released;   /* a ghost that the owner has freed */
  bool told;       /* a ghost about which the driver need not be told */
  bool submitting; /* inside prg_conn_submit or prg_req_resume */
  int64_t timeout; /* due minus the time of submit, for the message */
  /* the driver's */
  void *impl; /* freed by the driver before it finishes the request */
  int step;   /* where its own state machine is; 0 at first */
};

/* NULL without memory. Takes a reference on `stmt`. */
struct prg_req *prg_req_new(enum prg_req_kind kind, struct prg_stmt *stmt);
/* The same for a COPY; `copy` is there, all zero. */
struct prg_req *prg_req_new_copy(enum prg_req_kind kind, struct prg_stmt *stmt);
/* Does it come, or go, in pieces, and is PAUSED between them? */
static inline bool prg_req_is_stream(const struct prg_req *req) {
  return req->kind == PRG_REQ_STREAM || req->kind == PRG_REQ_COPY_IN ||
         req->kind == PRG_REQ_COPY_OUT;
}
/* Copies the parameters into the request. PRG_ERR: no memory. */
int prg_req_own_params(struct prg_req *req) PRG_MUSTCHECK;
/* Gives values their own copies of what they point to, in `a`. PRG_ERR: no
** memory, and some still point elsewhere. */
int prg_values_own(struct prg_arena *a, struct prg_value *values,
                   size_t n) PRG_MUSTCHECK;
/* The owner is done with it, in any state: a queued request is taken out, one
** in flight becomes a ghost (it is cancelled, its rows are discarded, its
** neighbours do not notice), a finished one is freed. The pointer is dead. Not
** from another request's done() inside the prg_conn_submit of this one. */
void prg_req_free(struct prg_req *req);
/* STREAM in PAUSED: go on to the next chunk (frees the old one). As submit:
** when the next chunk is there at once, state is PAUSED or DONE on return and
** `done` is not called. */
void prg_req_resume(struct prg_req *req);

/* ---- statements without a request --------------------------------------- */

/* A statement whose answer an embedded database may have at once: nothing is queued,
** copied or timed for it. */
struct prg_direct {
  struct prg_stmt *stmt;
  const struct prg_value *params; /* the owner's, and only for the call */
  size_t max_rows;                /* as of a QUERY */
  int64_t now;                    /* what prg_now() says */
  struct prg_result *none;   /* the owner's: takes the answer of a statement
                                     without rows */
  struct prg_result *result; /* the answer: `none`, or the owner's to free */
  struct prg_error *error;   /* instead of it; the owner's to free */
};

/* ---- connections -------------------------------------------------------- */

enum prg_conn_state {
  PRG_CONN_NEW,
  PRG_CONN_CONNECTING,
  PRG_CONN_READY,  /* takes requests */
  PRG_CONN_BROKEN, /* failed; conn->error says why; only close is left */
  PRG_CONN_CLOSED
};

enum prg_tx { PRG_TX_IDLE, PRG_TX_OPEN, PRG_TX_FAILED, PRG_TX_UNKNOWN };

enum prg_event {
  PRG_EV_OPENED,  /* CONNECTING became READY */
  PRG_EV_BROKEN,  /* became BROKEN, after every request was told */
  PRG_EV_DRAINED, /* nothing is queued or in flight any more */
  PRG_EV_NOTICE,  /* conn->notice is set during the call */
  PRG_EV_NOTIFY   /* conn->notify is set during the call (PRG_F_NOTIFY) */
};

/* What somebody has told those who listen. */
struct prg_notify {
  struct prg_text channel, payload; /* each with a zero byte behind it */
  int64_t pid;                      /* whose session it was */
};

/* What a driver wants to wait for when its step returns. */
struct prg_wait {
  int fd;          /* -1: no descriptor */
  unsigned events; /* PRG_READ | PRG_WRITE; 0: only hang-ups */
  int64_t due;     /* call step() again then; PRG_NEVER */
};

struct prg_conn {
  const struct prg_driver *driver;
  const struct prg_config *config; /* outlives the connection */
  void *shared;                    /* driver->shared_new's; outlives it too */
  struct prg_hub *hub;             /* owned reference */
  enum prg_lane lane;
  enum prg_conn_state state; /* only prg_conn_set_state() changes it */
  enum prg_tx tx;          /* as the database told last; the driver's to set */
  bool touched;            /* a statement with TOUCH or SESSION ran since the
                                last reset */
  struct prg_list queue;   /* QUEUED */
  struct prg_list sent;    /* SENT and PAUSED */
  struct prg_list paused;  /* PAUSED, with PRG_F_INTERLEAVE */
  struct prg_error *error; /* why it is BROKEN; owned */
  const struct prg_error *notice;  /* during PRG_EV_NOTICE; of kind usage when
                                      it is not of the server: `code` notices
                                      were dropped */
  const struct prg_notify *notify; /* during PRG_EV_NOTIFY */
  long pid;                        /* getpid() of the process that opened it */
  int64_t backend; /* the server's id of the session, 0 when none */
  size_t pipeline; /* READY: so many requests may be in flight; 0, 1: one */
  int64_t trip; /* how long a round trip took when it was opened; 0: unknown */

  /* The owner's; set before connect. Never calls Lua. May close the
  ** connection, which is freed only when no driver code is on the stack. */
  void (*event)(struct prg_conn *c, enum prg_event ev);
  void *owner;

  /* driver.c's */
  struct prg_watch watch;
  struct prg_timer timer; /* the driver's wait.due */
  struct prg_timer connect_timer;
  struct prg_timer cancel_timer; /* a ghost that does not end: break */
  struct prg_post post;          /* deferred step, deferred free */
  int depth;                     /* nesting of step(): freed at 0 */
  bool again;                    /* step asked for while stepping */
  bool fresh;                    /* submitted while stepping, not yet taken */
  int64_t now; /* during a step that a submit makes: the time; 0: not read */
  bool drained_told;
  bool closing;  /* prg_conn_close was called */
  bool finished; /* driver->fini was called */
  int64_t began; /* when it began to connect, prg_now() */
};

enum prg_feature {
  PRG_F_PIPELINE = 1 << 0, /* several requests in flight */
  PRG_F_CANCEL = 1 << 1, /* cancel() stops what runs and keeps the connection */
  PRG_F_INTERLEAVE = 1 << 2,  /* a paused stream leaves the connection usable */
  PRG_F_CURSOR = 1 << 3,      /* DECLARE … CURSOR, FETCH, CLOSE */
  PRG_F_LANES = 1 << 4,       /* one writer and n readers */
  PRG_F_LAST_ID = 1 << 5,     /* results carry last_id */
  PRG_F_CURSOR_HOLD = 1 << 6, /* DECLARE … WITH HOLD outside a transaction */
  PRG_F_COLLECT = 1 << 7,     /* prg_req.collect */
  PRG_F_REOPEN = 1 << 8,      /* a child process may forget the connections of
                                 its parent and open its own instead */
  PRG_F_PRELUDE = 1 << 9,     /* prg_req.prelude */
  PRG_F_COPY = 1 << 10,       /* COPY_IN and COPY_OUT */
  PRG_F_NOTIFY = 1 << 11,     /* LISTEN, and PRG_EV_NOTIFY: at any time, in the
                             order of the server, none left out */
  PRG_F_DIRECT = 1 << 12      /* prg_driver.direct */
};

/* What a handle is opened with: URL and options merged and checked. */
struct prg_config {
  struct prg_url url;      /* params: only what the driver knows (see check) */
  int64_t connect_timeout; /* microseconds */
  size_t statement_cache;  /* statements per connection; 0: none */
  int pipeline; /* requests in flight on a connection; -1: as the driver sees fit */
  char *application_name; /* or NULL */
  bool notices;           /* somebody wants them: they may cost a round trip */
  /* results of driver->check */
  const char
      *dialect;     /* in src/sql, when it is not the driver's; NULL: it is */
  int lanes;        /* 1, or 2 with PRG_F_LANES */
  size_t max_conns; /* hard limit of the database in question (1 for :memory:);
                       0: none */
};

struct prg_driver {
  unsigned abi; /* PRG_DRIVER_ABI; these two never change their place */
  const char
      *release;     /* PERIGEE_VERSION: of the Perigee that it was made with */
  const char *name; /* "postgres" */
  const char *dialect; /* name of the dialect in src/sql */
  unsigned features;   /* enum prg_feature */
  /* Version of the client library, for `perigee --version`. */
  const char *(*version)(void);
  /* Looks at url.params and the rest; sets lanes and max_conns. NULL, or an
  ** error of kind usage that names the parameter. */
  struct prg_error *(*check)(struct prg_config *cfg);
  /* State shared by all connections of a handle (type catalogue, …); NULL
  ** without memory. A driver that has none leaves both out (NULL). */
  void *(*shared_new)(const struct prg_config *cfg);
  void (*shared_free)(void *shared);
  /* A connection object in state NEW (its first member is a prg_conn, zeroed;
  ** driver.c fills that in). Opens nothing. NULL without memory. */
  struct prg_conn *(*conn_new)(void);
  /* Goes on with whatever the connection is doing.
  **  CONNECTING: connects (first call: starts to); PRG_OK when ready.
  **  READY: reads what came, takes requests off the queue, finishes them.
  ** `ready`: PRG_READ | PRG_WRITE | PRG_HANGUP that occurred, 0 when called for
  ** another reason. Fills in `w` (preset to "descriptor as before, PRG_READ,
  ** PRG_NEVER"). Returns PRG_OK or PRG_AGAIN (both: wait for `w`), or PRG_ERR after
  ** setting conn->error: the connection is broken. */
  int (*step)(struct prg_conn *c, unsigned ready, struct prg_wait *w);
  /* Starts to stop what runs (the ghost or a truncated query). Never waits. */
  void (*cancel)(struct prg_conn *c);
  /* The time of a request in flight is over. What it was waiting for, when that
  ** says more than `timeout`; NULL: nothing. A driver may leave this out. */
  struct prg_error *(*overdue)(struct prg_conn *c, struct prg_req *req);
  /* COPY_IN of rows, PAUSED: appends a row, which has as many cells as the
  ** statement has columns, to copy->out. PRG_ERR: *err is of kind usage or
  ** resource, its `column` says which cell, and nothing was appended. With
  ** PRG_F_COPY only. */
  int (*copy_row)(struct prg_req *req, const struct prg_value *cells,
                  struct prg_error **err);
  /* READY and drained: does the session look as after connecting, as far as
  ** can be told without a round trip? NULL: yes, or a reason. */
  const char *(*unclean)(struct prg_conn *c);
  /* READY and drained: what the session looks like now is what `unclean` and
  ** RESET take as clean from now on (the handle's on_connect has run). */
  void (*settle)(struct prg_conn *c);
  /* Frees everything but the object itself, in any state, without waiting for
  ** the network. `forked`: we are a child process: do not speak to the server. */
  void (*fini)(struct prg_conn *c, bool forked);
  /* PRG_F_DIRECT. READY, drained: runs a statement to its end, now. PRG_OK: `result`
  ** or `error` is set. PRG_AGAIN: it is not for now, and nothing has been changed;
  ** a request is to be made of it. Reads `d` only during the call. */
  int (*direct)(struct prg_conn *c, struct prg_direct *d);
};

/* A new connection object, state NEW, or NULL without memory. */
struct prg_conn *prg_conn_new(const struct prg_driver *d,
                              const struct prg_config *cfg, void *shared,
                              struct prg_hub *hub, enum prg_lane lane);
/* NEW → CONNECTING; ends with PRG_EV_OPENED or PRG_EV_BROKEN, which may come
** before this returns. */
void prg_conn_connect(struct prg_conn *c, int64_t due);
/* Queues a request. When the answer is there at once (SQLite inline), state is
** DONE (STREAM: PAUSED or DONE) on return and `done` is not called. On a
** connection that is not READY the request ends with a `closed` error. */
void prg_conn_submit(struct prg_conn *c, struct prg_req *req);
/* Runs a statement at once, if that can be: PRG_OK. Else PRG_AGAIN: submit a request.
** Not for statements with one of PRG_STMT_ALONE. */
int prg_conn_direct(struct prg_conn *c, struct prg_direct *d) PRG_MUSTCHECK;
/* Closes from any state: every request ends with `closed` (cause: reason), no
** event is sent. The pointer is dead. `reason` is copied. */
void prg_conn_close(struct prg_conn *c, const char *reason);
/* Nothing queued, in flight or paused? */
bool prg_conn_is_drained(const struct prg_conn *c);

/* ---- for drivers -------------------------------------------------------- */

/* Moves the head of the queue to `sent` (state SENT) and returns it; NULL when
** the queue is empty. */
struct prg_req *prg_conn_next(struct prg_conn *c);
/* The first request in flight, or NULL. */
struct prg_req *prg_conn_head(struct prg_conn *c);
/* Ends a request (SENT or PAUSED). Takes over `result` and `error`; either may be
** NULL, and an error wins. A ghost is freed. The pointer is dead for the
** driver. May run the owner's `done`, which may submit: the driver must be in
** a consistent state. */
void prg_req_finish(struct prg_req *req, struct prg_result *result,
                    struct prg_error *error);
/* Delivers a chunk of a stream; the request is PAUSED afterwards. A ghost's
** chunk is freed and the request stays SENT (go on discarding). Of any other
** kind of request it gives the owner the answer before the driver is through
** with it (a truncated QUERY): the request is a ghost afterwards, which the
** driver cancels if it likes and finishes when the rest is gone. */
void prg_req_deliver(struct prg_req *req, struct prg_result *chunk);
/* Makes the hub call step() in its next turn (or at the end of this step). */
void prg_conn_kick(struct prg_conn *c);
/* Calls step() now, from a driver's own callback (a job's done). */
void prg_conn_step(struct prg_conn *c, unsigned ready);
/* From outside step(): the connection is broken. Takes over `error`. */
void prg_conn_fail(struct prg_conn *c, struct prg_error *error);
/* Is it of the process that we were forked from? Then it takes no request, is
** never stepped, and is closed without a word to the server. */
bool prg_conn_is_forked(const struct prg_conn *c);
void prg_conn_tell_notice(struct prg_conn *c, const struct prg_error *notice);
void prg_conn_tell_notify(struct prg_conn *c, const struct prg_notify *notify);

/* ---- finding drivers ---------------------------------------------------- */

/* The symbol that a driver module exports. */
#define PRG_DRIVER_SYMBOL "perigee_driver"

/* Opens the module at `path` with dlopen (once per path and process) and checks
** that it is of this Perigee: its ABI, its release, and that no other copy of
** Perigee would be what it calls. NULL and *err otherwise. */
const struct prg_driver *prg_driver_load(const char *path,
                                         struct prg_error **err);
/* Another copy of Perigee whose functions are global in this process, so that
** drivers would call them and not ours: the path of its file, or NULL. */
const char *prg_driver_other_copy(void);
/* The path of the file that we are in; "?" when that is unknown. */
const char *prg_driver_own_copy(void);

#endif
