/*
** The PostgreSQL driver's own insides. What a connection does is a row of
** exchanges: something is sent, its results are read to the end, and then the
** next state function decides. docs/internals/postgres.md tells the story.
**
**   pg_step.c     the loop: reads, ends exchanges, calls state functions
**   pg_query.c    QUERY and STREAM     pg_batch.c   BATCH
**   pg_simple.c   SCRIPT, PING, RESET, the barrier after a cancel
**   pg_stmt.c     prepared statements  pg_result.c  plans and results
**   pg_connect.c  connecting           pg_cancel.c  cancelling
**   pg_error.c    errors               pg_driver.c  the exported table
*/
#ifndef PRG_DRIVER_POSTGRES_PG_INT_H
#define PRG_DRIVER_POSTGRES_PG_INT_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/list.h"
#include "base/worker.h"
#include "driver/driver.h"
#include "driver/postgres/pg_types.h"
#include "driver/result.h"

struct pg_conn;

/* ---- shared by all connections of a handle ------------------------------ */

/* Reference counted, because a result may outlive its handle. */
struct pg_shared {
  int refs;
  struct pg_catalog *catalog; /* owned */
};

struct pg_shared *pg_shared_new(void);
struct pg_shared *pg_shared_ref(struct pg_shared *s);
void pg_shared_unref(struct pg_shared *s);

/* ---- plans and results (pg_result.c) ------------------------------------ */

struct pg_plan_col {
  const struct pg_type *type; /* the catalogue's */
  enum pg_fast fast;
};

/* How the cells of a result are decoded. Reference counted. */
struct pg_plan {
  int refs;
  int format;                /* of every column: libpq knows only one */
  bool cells;                /* pg_cells_of() may be used */
  unsigned generation;       /* of the catalogue when it was made */
  struct pg_shared *shared;  /* owned reference */
  struct prg_desc *desc;     /* owned reference */
  struct pg_plan_col cols[]; /* desc->ncols */
};

/* PG_ANY_FORMAT: binary when every column can be decoded from it, else text. */
enum { PG_ANY_FORMAT = -1 };

/* Sets up what the types of a plan are today; false when another plan is
** needed. */
bool pg_plan_refresh(struct pg_plan *p);
/* A plan for the columns of `res` (a description or an answer). One reference;
** NULL without memory. */
struct pg_plan *pg_plan_new(struct pg_shared *s, const PGresult *res,
                            int format);
/* The same columns with what the catalogue knows today. */
struct pg_plan *pg_plan_renew(const struct pg_plan *old, int format);
struct pg_plan *pg_plan_ref(struct pg_plan *p);
/* NULL is fine. */
void pg_plan_unref(struct pg_plan *p);
/* Is this an answer with exactly the plan's columns, in the plan's format? NULL
** fits an answer without columns. */
bool pg_plan_fits(const struct pg_plan *p, const PGresult *res);
/* Can every cell be decoded? False: binary cells of a type that is only known
** as text (a column whose type changed under a cached statement). */
bool pg_plan_decodes(const struct pg_plan *p);

enum { PG_FEW = 8 };

struct pg_result {
  struct prg_result base;
  struct pg_plan *plan; /* owned reference; NULL: no rows */
  PGresult **parts;     /* owned; one with all rows, or one per row */
  PGresult *only;       /* the usual case: room for one part */
  size_t nparts, cap;
  bool per_row;                 /* each part is one row */
  struct prg_arena arena;       /* of the row decoded last */
  struct prg_value *values;     /* owned, or few: room for one row */
  struct prg_value few[PG_FEW]; /* not zeroed: the last member */
};

/* An empty result. NULL without memory. */
struct pg_result *pg_result_new(void);
/* Adds a part. Takes `res` over, also when it fails (PRG_ERR: no memory). */
int pg_result_add(struct pg_result *r, PGresult *res) PRG_MUSTCHECK;
/* Gives it its plan (takes a reference; NULL: no rows) and room for a row. */
int pg_result_plan(struct pg_result *r, struct pg_plan *plan) PRG_MUSTCHECK;
/* Sets tag and affected from the end of an answer. */
void pg_result_tag(struct prg_result *r, PGresult *res);
/* "INSERT", "ALTER TABLE" out of a command status. `size` of `out`. */
void pg_tag_copy(char *out, size_t size, const char *status);

/* ---- prepared statements (pg_stmt.c) ------------------------------------ */

/* Room for the name of a prepared statement. */
enum { PG_NAME_SIZE = 32 };

/* One statement prepared on the server as "prg_<salt>_<id>". */
struct pg_entry {
  struct prg_link lru;    /* in pg_cache.lru, the least used first */
  struct pg_entry *chain; /* next of its bucket */
  struct prg_stmt *stmt;  /* owned reference */
  uint64_t hash;
  unsigned id;
  char name[PG_NAME_SIZE];
  struct pg_plan *plan; /* owned reference; NULL: gives no rows */
  bool text_only;       /* the server has no binary output for a column */
  int calm;             /* executions with max_rows in a row that had no more */
  int nparams;
  Oid *types; /* nparams as declared, then nparams as described */
};

struct pg_cache {
  struct prg_list lru;
  struct pg_entry **buckets;
  size_t nbuckets; /* a power of two, or 0 */
  /* Of the names: behind a pooler, sessions are shared with others like us, and
  ** a name of theirs must never be taken for one of ours. */
  unsigned salt;
  unsigned last_id;
  unsigned *closing; /* ids to deallocate with the next Parse */
  size_t nclosing, closing_cap;
};

void pg_cache_init(struct pg_cache *k);
/* Forgets everything; the server is not told. */
void pg_cache_fini(struct pg_cache *k);
/* As fini, but the cache stays usable and no id is used again. */
void pg_cache_clear(struct pg_cache *k);
/* The entry for a text with these declared types, now the most recently used
** one, or NULL. */
struct pg_entry *pg_cache_find(struct pg_cache *k, const struct prg_stmt *stmt,
                               const Oid *types);
/* An entry that is in no cache yet, with a new name. NULL without memory. */
struct pg_entry *pg_entry_new(struct pg_cache *k, struct prg_stmt *stmt,
                              const Oid *types);
void pg_entry_free(struct pg_entry *e);
/* The name of the statement `id`. */
void pg_cache_name(const struct pg_cache *k, unsigned id,
                   char out[PG_NAME_SIZE]);
/* The next names are far from those so far, one of which was taken. */
void pg_cache_jump(struct pg_cache *k);
/* The server is to forget `id` with the next Parse. */
void pg_cache_close(struct pg_cache *k, unsigned id);
/* Puts it in. PRG_ERR: no memory, nothing changed. */
int pg_cache_add(struct pg_cache *k, struct pg_entry *e) PRG_MUSTCHECK;
/* Takes entries out until at most `keep` are left; the server forgets them with
** the next Parse. */
void pg_cache_trim(struct pg_cache *k, size_t keep);
/* Takes one out and frees it; `close`: the server still has it. */
void pg_cache_drop(struct pg_cache *k, struct pg_entry *e, bool close);

/* ---- requests ----------------------------------------------------------- */

/* What is being sent and read. The connection has one at a time. */
struct pg_exchange {
  bool active;
  bool pipeline;
  bool want_write;         /* libpq holds bytes that the socket did not take */
  bool copying;            /* a COPY … TO STDOUT is thrown away */
  bool revalidate;         /* `error` came from RevalidateCachedQuery */
  bool garbled;            /* libpq did not understand the server */
  size_t sent;             /* pipeline: commands sent */
  size_t ended;            /* pipeline: commands whose results were read */
  size_t failed;           /* `ended` when `error` came */
  int syncs;               /* pipeline: Syncs whose answer is awaited */
  struct prg_error *error; /* owned; the first one */
  /* A result that is neither the end nor an error; taken over. */
  void (*on_result)(struct pg_conn *c, PGresult *res);
  /* Everything was read; the exchange is not active any more. Not called when
  ** the request in progress is a ghost: that is then finished. */
  int (*on_end)(struct pg_conn *c);
  /* Sends more when there is room (BATCH), or NULL. */
  int (*on_room)(struct pg_conn *c);
};

/* The request in progress: what is not in the prg_req. */
struct pg_run {
  struct pg_entry *entry;   /* in use; in the cache, or owned when `loose` */
  bool loose;               /* not in the cache yet, but sent to the server */
  struct pg_plan *plan;     /* owned reference: of the rows that come */
  struct pg_result *result; /* owned: being filled */
  struct prg_result *first, *last; /* owned: SCRIPT's chain */
  PGresult *described;             /* owned: what Describe told */
  uint32_t *unknown;               /* owned: types to learn */
  size_t nunknown, unknown_cap;
  int (*after_learn)(struct pg_conn *c);
  bool learnt;      /* the catalogue was asked once for this request */
  bool was_idle;    /* no transaction when it began */
  bool retried;     /* it was started anew once */
  bool single;      /* row by row */
  bool has_plan;    /* `plan` is right (NULL: the answer has no columns) */
  bool off_plan;    /* the columns are not those that were described */
  bool truncated;   /* there are more than max_rows */
  bool delivered;   /* the owner has got something already */
  bool poisoned;    /* BATCH: made to fail on the server */
  size_t discarded; /* rows thrown away */
  size_t nclosing;  /* DEALLOCATEs in front of the Parse */
  size_t set;       /* BATCH: next set to send */
  int64_t affected; /* BATCH */
  char tag[32];     /* BATCH */
  struct prg_error *error; /* owned: of our own making, wins */
};

struct pg_connect;
struct pg_cancel_job;

enum { PG_NBASELINE = 10 };

struct pg_conn {
  struct prg_conn base;
  PGconn *pg;                       /* owned; NULL before READY */
  struct pg_connect *connecting;    /* its job's; NULL when none is out */
  struct pg_cancel_job *cancelling; /* its job's; NULL when none is out */
  int64_t cancel_due; /* a cancel job that is not back by then is hopeless */
  int64_t recancel;   /* ask again then, when it still runs; PRG_NEVER */
  bool half_read;     /* TLS: input was read, perhaps not to its end */
  bool barrier;       /* an empty query must go before anything else */
  bool prepared;      /* a PREPARE ran: a reset forgets all statements */
  struct pg_exchange x;
  struct pg_run run;
  struct prg_req *req;             /* in progress, in base.sent; or NULL */
  int (*state)(struct pg_conn *c); /* what to do when no exchange is active */
  struct pg_cache cache;
  struct prg_error *fatal;       /* owned: the last FATAL notice */
  struct prg_error *abort_cause; /* owned: what aborted the transaction */
  struct prg_error **notices;    /* owned: to be told at the end of the step */
  size_t nnotices;
  char *baseline[PG_NBASELINE]; /* owned: parameters right after connecting */
  char reason[96];              /* of unclean() */
  /* Parameters of the statement being sent, as libpq wants them. */
  struct prg_arena scratch;
  Oid *sig;
  const char **values;
  int *lengths, *formats;
  size_t param_cap;
};

static inline struct pg_conn *pg_of(struct prg_conn *c) {
  return (struct pg_conn *)(void *)c;
}

static inline struct pg_shared *pg_shared_of(const struct pg_conn *c) {
  return c->base.shared;
}

static inline struct pg_catalog *pg_catalog_of(const struct pg_conn *c) {
  return pg_shared_of(c)->catalog;
}

/* ---- the loop (pg_step.c) ----------------------------------------------- */

int pg_step(struct prg_conn *base, unsigned ready, struct prg_wait *w);

/* Begins an exchange of a single command that was sent outside of pipeline
** mode (`ok`: what PQsend… returned). PRG_ERR: the connection is lost. */
int pg_exchange_begin(struct pg_conn *c, int ok,
                      void (*on_result)(struct pg_conn *, PGresult *),
                      int (*on_end)(struct pg_conn *)) PRG_MUSTCHECK;
/* Enters pipeline mode; then send, count with pg_pipeline_sent(), and
** pg_pipeline_sync(). */
int pg_pipeline_begin(struct pg_conn *c,
                      void (*on_result)(struct pg_conn *, PGresult *),
                      int (*on_end)(struct pg_conn *)) PRG_MUSTCHECK;
int pg_pipeline_sent(struct pg_conn *c, int ok) PRG_MUSTCHECK;
int pg_pipeline_sync(struct pg_conn *c) PRG_MUSTCHECK;
/* Tries to empty libpq's buffer; sets x.want_write. */
int pg_flush(struct pg_conn *c) PRG_MUSTCHECK;
/* The connection is lost or in doubt: ends the request, sets base.error to
** `error` (taken over) or to what libpq says. Always PRG_ERR. */
int pg_lose(struct pg_conn *c, struct prg_error *error) PRG_MUSTCHECK;
/* Ends the request in progress, if any. Takes both over. Always PRG_OK. */
int pg_finish(struct pg_conn *c, struct prg_result *r, struct prg_error *e);
/* Takes the exchange's error (NULL: none). */
struct prg_error *pg_take_error(struct pg_conn *c);
/* Throws away what the request in progress has collected. */
void pg_run_fini(struct pg_conn *c);
/* The error why a request cannot be sent at all, or NULL. */
struct prg_error *pg_refuse(const struct prg_req *req);

/* For PQsetNoticeReceiver; `arg` is the pg_conn. */
void pg_on_notice(void *arg, const PGresult *res);
/* Forgets notices that were not told. */
void pg_drop_notices(struct pg_conn *c);

/* ---- state functions ---------------------------------------------------- */

int pg_query_begin(struct pg_conn *c);   /* QUERY, STREAM, BATCH */
int pg_batch_execute(struct pg_conn *c); /* BATCH, once prepared */
int pg_script_begin(struct pg_conn *c);
int pg_ping_begin(struct pg_conn *c);
int pg_reset_begin(struct pg_conn *c);
int pg_barrier_begin(struct pg_conn *c);

/* pg_query.c, for pg_batch.c and pg_simple.c. */

/* Ends a request whose exchange failed, or starts it anew when the statement
** was only out of date. Takes the error over. Always PRG_OK. */
int pg_query_failed(struct pg_conn *c, struct prg_error *e);
/* Encodes one set of parameters into c->values and so on. `types` NULL: by
** what c->sig declares. PRG_ERR and *err: nothing was sent. */
int pg_encode_set(struct pg_conn *c, const struct prg_value *params, int n,
                  const Oid *types, struct prg_error **err) PRG_MUSTCHECK;
/* Notes the types of `res`, columns and parameters, that are not known.
** PRG_ERR: no memory. */
int pg_learn_add(struct pg_conn *c, const PGresult *res) PRG_MUSTCHECK;
/* Asks the server for the types that were noted, if any and if it can be asked,
** then goes on with `after`. */
int pg_learn(struct pg_conn *c, int (*after)(struct pg_conn *)) PRG_MUSTCHECK;
/* The catalogue may be out of date after a command with this tag. */
void pg_note_tag(struct pg_conn *c, const char *tag);

/* ---- connecting and cancelling ------------------------------------------ */

/* Starts the thread. PRG_ERR: base.error is set. */
int pg_connect_start(struct pg_conn *c) PRG_MUSTCHECK;
/* Nobody waits for it any more: the thread cleans up. */
void pg_connect_abandon(struct pg_conn *c);
/* An error of kind usage for a parameter that libpq does not know. */
struct prg_error *pg_check(struct prg_config *cfg);

/* Asks the server to stop what runs, on a thread of its own. */
void pg_cancel(struct prg_conn *base);
void pg_cancel_abandon(struct pg_conn *c);

/* ---- errors (pg_error.c) ------------------------------------------------ */

enum prg_kind pg_kind_of(const char *sqlstate, const char *message);
/* An error out of an error result or a notice. `stmt` may be NULL. */
struct prg_error *pg_error_of(const PGresult *res, const struct prg_stmt *stmt);
/* Of kind `closed` out of libpq's message. */
struct prg_error *pg_error_closed(PGconn *pg);
/* Out of what libpq says about an attempt to connect. */
struct prg_error *pg_error_connect(const char *message);
/* Length of a text without white space at its end. */
size_t pg_trimmed(const char *s);

/* ---- parameters of the session (pg_driver.c) ---------------------------- */

/* Remembers them as they are now. PRG_ERR: no memory. */
int pg_baseline_take(struct pg_conn *c) PRG_MUSTCHECK;

#endif
