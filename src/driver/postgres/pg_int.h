/*
** The PostgreSQL driver's own insides. What a connection does is a row of
** exchanges: something is sent, its results are read to the end, and then the
** next state function decides. docs/internals/postgres.md tells the story.
**
**   pg_step.c     the loop: reads, ends exchanges, calls state functions
**   pg_query.c    QUERY and STREAM     pg_batch.c   BATCH
**   pg_copy.c     COPY_IN, COPY_OUT    pg_copy_row.c rows of a COPY_IN
**   pg_simple.c   SCRIPT, PING, RESET, the barrier after a cancel
**   pg_libpq.c    the link by libpq    pg_wire.c    the link by our own codec
**   pg_stmt.c     prepared statements  pg_result.c  plans and results
**   pg_connect.c  connecting           pg_cancel.c  cancelling
**   pg_error.c    errors               pg_driver.c  the exported table
**   pg_notify.c   notifications
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
#include "wire/wire.h"

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

/* ---- what the server says ----------------------------------------------- */

struct pg_head_col {
  const char *name;
  uint32_t type;
  int format;
};

/* Columns as described, and after a Describe of a statement its parameters.
** Reference counted. */
struct pg_head {
  int refs;
  size_t ncols, nparams;
  uint32_t *params; /* types */
  struct pg_head_col cols[];
};

/* Room for so many, and for `extra` bytes of names behind them (returned in
** *names). NULL without memory. */
struct pg_head *pg_head_new(size_t ncols, size_t nparams, size_t extra,
                            char **names);
struct pg_head *pg_head_ref(struct pg_head *h);
/* NULL is fine. */
void pg_head_unref(struct pg_head *h);

/* Columns, wherever they are told: one of these, or none of them. */
struct pg_cols {
  const PGresult *res;
  const struct pg_head *head;
  const struct prg_desc *desc;
};

size_t pg_cols_count(struct pg_cols s);
const char *pg_cols_name(struct pg_cols s, size_t i);
uint32_t pg_cols_type(struct pg_cols s, size_t i);
/* Not of a `desc`. */
int pg_cols_format(struct pg_cols s, size_t i);

/* A piece of what the server answers. */
struct pg_answer {
  bool end;            /* of a command; else only rows, and more will come */
  bool untold;         /* its columns are those that were described before */
  size_t nrows;        /* that come with it */
  struct pg_cols cols; /* when not `untold` */
  struct pg_head *described; /* a Describe's end; else NULL */
  const char *tag;           /* at the end */
  PGresult *res;             /* libpq: owned; NULL once it is taken */
  struct prg_wire_rows rows; /* the codec: the rows */
};

/* ---- plans and results (pg_result.c) ------------------------------------ */

struct pg_plan_col {
  const struct pg_type *type; /* the catalogue's */
  enum pg_fast fast;
  unsigned char format;
};

/* How the cells of a result are decoded. Reference counted. */
struct pg_plan {
  int refs;
  int format;                /* of every column, or PG_EACH_FORMAT */
  bool cells;                /* pg_cells_of() may be used */
  unsigned generation;       /* of the catalogue when it was made */
  struct pg_shared *shared;  /* owned reference */
  struct prg_desc *desc;     /* owned reference */
  unsigned char *formats;    /* desc->ncols, behind cols[] */
  struct pg_plan_col cols[]; /* desc->ncols */
};

enum {
  PG_ANY_FORMAT = -1, /* binary when every column can be decoded from it, else
                         text */
  PG_EACH_FORMAT = -2 /* binary where it can be decoded */
};

/* Sets up what the types of a plan are today; false when another plan is
** needed. */
bool pg_plan_refresh(struct pg_plan *p);
/* A plan for these columns in this format, or in the formats that they have
** (`told`). One reference; NULL without memory. */
struct pg_plan *pg_plan_new(struct pg_shared *s, struct pg_cols cols,
                            int format);
struct pg_plan *pg_plan_told(struct pg_shared *s, struct pg_cols cols);
/* One that takes all columns as the texts that they came as. */
struct pg_plan *pg_plan_texts(struct pg_shared *s, struct pg_cols cols);
/* The same columns with what the catalogue knows today. */
struct pg_plan *pg_plan_renew(const struct pg_plan *old, int format);
struct pg_plan *pg_plan_ref(struct pg_plan *p);
/* NULL is fine. */
void pg_plan_unref(struct pg_plan *p);
/* Is this an answer with exactly the plan's columns, in the plan's format? NULL
** fits an answer without columns. */
bool pg_plan_fits(const struct pg_plan *p, const struct pg_answer *a);
/* Can every cell be decoded? False: binary cells of a type that is only known
** as text (a column whose type changed under a cached statement). */
bool pg_plan_decodes(const struct pg_plan *p);

enum { PG_FEW = 8 };

/* Rows: a PGresult's, or those that lie in a block. */
struct pg_part {
  PGresult *res;                /* owned, or NULL */
  struct prg_wire_block *block; /* owned reference, or NULL */
  const char *first;            /* in the block */
  size_t n;
};

struct pg_result {
  struct prg_result base;
  struct pg_plan *plan;  /* owned reference; NULL: no rows */
  struct pg_head *head;  /* owned reference: the columns, when they were told */
  struct pg_part *parts; /* owned, or &only */
  struct pg_part only;   /* the usual case: room for one part */
  size_t nparts, cap;
  const char *end;   /* of the last part, in its block */
  size_t part, from; /* a part, and the number of its first row */
  const char *at;    /* in a block: the row `next` */
  size_t next, past; /* and the number of the first row that is not there */
  struct prg_arena arena;       /* of the row decoded last */
  struct prg_value *values;     /* owned, or few: room for one row */
  struct prg_value few[PG_FEW]; /* not zeroed: the last member */
};

/* An empty result. NULL without memory. */
struct pg_result *pg_result_new(void);
/* Adds the rows of an answer, and its columns. PRG_ERR: no memory. */
int pg_result_add(struct pg_result *r, struct pg_answer *a) PRG_MUSTCHECK;
/* The columns as the answer told them; none when it did not. */
struct pg_cols pg_result_cols(const struct pg_result *r);
/* Gives it its plan (takes a reference; NULL: no rows) and room for a row. */
int pg_result_plan(struct pg_result *r, struct pg_plan *plan) PRG_MUSTCHECK;
/* Sets tag and affected from the end of an answer. */
void pg_result_tag(struct prg_result *r, const struct pg_answer *a);
/* "INSERT", "ALTER TABLE" out of a command status. `size` of `out`. */
void pg_tag_copy(char *out, size_t size, const char *status);
/* The number at the end of a command status, or -1. */
int64_t pg_tag_count(const char *status);

/* ---- prepared statements (pg_stmt.c) ------------------------------------ */

/* Room for the name of a prepared statement. */
enum { PG_NAME_SIZE = 32 };

/* One statement prepared on the server as "prg_<salt>_<id>". */
struct pg_entry {
  int refs;               /* the cache's, and one of each run that uses it */
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
** one, or NULL. No reference. */
struct pg_entry *pg_cache_find(struct pg_cache *k, const struct prg_stmt *stmt,
                               const Oid *types);
/* An entry that is in no cache yet, with a new name and one reference. NULL
** without memory. */
struct pg_entry *pg_entry_new(struct pg_cache *k, struct prg_stmt *stmt,
                              const Oid *types);
struct pg_entry *pg_entry_ref(struct pg_entry *e);
/* NULL is fine. */
void pg_entry_unref(struct pg_entry *e);
/* The name of the statement `id`. */
void pg_cache_name(const struct pg_cache *k, unsigned id,
                   char out[PG_NAME_SIZE]);
/* The next names are far from those so far, one of which was taken. */
void pg_cache_jump(struct pg_cache *k);
/* The server is to forget `id` with the next Parse. */
void pg_cache_close(struct pg_cache *k, unsigned id);
/* Puts it in, with a reference of the cache's own. PRG_ERR: no memory, nothing
** changed. */
int pg_cache_add(struct pg_cache *k, struct pg_entry *e) PRG_MUSTCHECK;
/* Takes entries out until at most `keep` are left; the server forgets them with
** the next Parse. */
void pg_cache_trim(struct pg_cache *k, size_t keep);
/* Takes one out; `close`: the server still has it. Nothing when it was taken out
** already. */
void pg_cache_drop(struct pg_cache *k, struct pg_entry *e, bool close);

/* ---- requests ----------------------------------------------------------- */

/* What is being sent and read. */
enum pg_copying { PG_COPY_NONE, PG_COPY_IN, PG_COPY_OUT };

struct pg_exchange {
  bool active;
  bool pipeline;           /* commands are counted, and end with a Sync */
  bool copying;            /* a COPY … TO STDOUT is thrown away */
  enum pg_copying copy;    /* a COPY that was asked for is in progress */
  bool revalidate;         /* `error` came from RevalidateCachedQuery */
  bool garbled;            /* libpq did not understand the server */
  size_t sent;             /* pipeline: commands sent */
  size_t ended;            /* pipeline: commands whose results were read */
  size_t failed;           /* `ended` when `error` came */
  int syncs;               /* Syncs whose answer is awaited */
  struct prg_error *error; /* owned; the first one */
  /* A piece that is neither the end nor an error. */
  void (*on_result)(struct pg_conn *c, struct pg_answer *a);
  /* Everything was read; the exchange is not active any more. Not called when
  ** the request in progress is a ghost: that is then finished. */
  int (*on_end)(struct pg_conn *c);
  /* Sends more when there is room (BATCH), or NULL. */
  int (*on_room)(struct pg_conn *c);
  /* A COPY begins, 'G' to the server or 'H' from it; NULL: it is refused. */
  int (*on_copy)(struct pg_conn *c, char type);
  /* How many rows an answer is to bring at most, or NULL: any number. */
  size_t (*rows)(struct pg_conn *c);
};

/* A request in progress: what is not in the prg_req. */
struct pg_run {
  struct prg_link link; /* in pg_conn.flight, .waiting or .spare */
  struct prg_req *req;  /* in base.sent; NULL: a barrier, or nothing at all */
  int (*state)(struct pg_conn *c); /* what to do when nothing is in flight */
  bool used;
  bool shared; /* others may be in flight with it */
  /* From here on pg_run_fini() makes all zero. */
  struct pg_exchange x;
  struct pg_entry *entry;   /* owned reference: in use */
  bool loose;               /* not in the cache yet, but sent to the server */
  struct pg_plan *plan;     /* owned reference: of the rows that come */
  struct pg_result *result; /* owned: being filled */
  struct prg_result *first, *last; /* owned: SCRIPT's chain */
  struct pg_head *described;       /* owned reference: what Describe told */
  struct pg_result *answer;        /* owned: about types */
  uint32_t *unknown;               /* owned: types to learn */
  size_t nunknown, unknown_cap;
  int (*after_learn)(struct pg_conn *c);
  bool learnt;      /* the catalogue was asked once for this request */
  bool was_idle;    /* no transaction when it began */
  bool retried;     /* it was started anew once */
  bool untold;      /* wire: rows come without a word about their columns */
  bool simple;      /* wire: a simple query */
  bool preluding;   /* wire: the prelude's answer is awaited */
  bool opened;      /* the transaction is one that the prelude has begun */
  bool single;      /* libpq: row by row */
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
  struct pg_copied *copied; /* owned: COPY_OUT */
  bool copy_told;           /* COPY_IN: its end was sent because of a ghost */
  struct prg_error *error;  /* owned: of our own making, wins */
};

struct pg_connect;
struct pg_cancel_job;
struct pg_link;
struct pg_wire;

enum { PG_NBASELINE = 10 };
/* The session's parameters that are watched. */
extern const char *const pg_watched[PG_NBASELINE];

struct pg_conn {
  struct prg_conn base;
  PGconn *pg;                       /* owned; NULL before READY */
  const struct pg_link *link;       /* who speaks with the server */
  struct pg_wire *wire;             /* owned: pg_wire.c's; NULL by libpq */
  struct pg_connect *connecting;    /* its job's; NULL when none is out */
  struct pg_cancel_job *cancelling; /* its job's; NULL when none is out */
  int64_t cancel_due; /* a cancel job that is not back by then is hopeless */
  int64_t recancel;   /* ask again then, when it still runs; PRG_NEVER */
  bool half_read;     /* TLS: input was read, perhaps not to its end */
  bool want_write;    /* bytes are left that the socket did not take */
  bool barrier;       /* an empty query must go before anything else */
  bool stray;         /* a cancel may have hit another than it was meant for */
  bool prepared;      /* a PREPARE ran: a reset forgets all statements */
  struct prg_post tick;    /* sends what waits for the end of the hub's turn */
  bool ticking;            /* that is now */
  struct pg_run *run;      /* the one that everything here is about */
  struct pg_run only;      /* the usual case: one at a time */
  struct prg_list flight;  /* runs whose exchange is active, in its order */
  struct prg_list waiting; /* runs that have a next thing to do */
  struct prg_list spare;   /* unused ones, owned */
  struct pg_cache cache;
  struct prg_error *fatal;       /* owned: the last FATAL notice */
  struct prg_error *abort_cause; /* owned: what aborted the transaction */
  struct prg_error **notices;    /* owned: to be told at the end of the step */
  size_t nnotices;
  int lost_notices;             /* that were too many, or had no memory */
  struct prg_list notifies;     /* owned: to be told at the end of the step */
  char *baseline[PG_NBASELINE]; /* owned: parameters right after connecting */
  bool retold;     /* the server has told one of them since, as the codec saw */
  char reason[96]; /* of unclean() */
  /* Parameters of the statement being sent, as libpq wants them. */
  struct prg_arena scratch;
  Oid *sig;
  const char **values;
  int *lengths, *formats;
  size_t param_cap;
};

/* ---- links -------------------------------------------------------------- */

/*
** What speaks with the server: libpq, or our own codec on libpq's socket. The
** send functions return PRG_ERR when the connection is lost (pg_lose() was
** called). An exchange that is no pipeline is one bound(), whole() or query().
*/
struct pg_link {
  const char *name;
  bool safe_close;   /* closing a statement that is not there is no error */
  int formats;       /* of results: PG_ANY_FORMAT or PG_EACH_FORMAT */
  int max_described; /* parameters of a statement that can be described */
  int (*begin)(struct pg_conn *c); /* a pipeline */
  /* With the types in c->sig. */
  int (*parse)(struct pg_conn *c, const char *name,
               const struct prg_stmt *stmt);
  int (*describe)(struct pg_conn *c, const char *name);
  int (*close)(struct pg_conn *c, const char *name);
  /* The request's prelude, at the head of an exchange that comes to nothing when it
  ** fails. NULL: it needs an exchange of its own. */
  void (*prelude)(struct pg_conn *c, const struct prg_stmt *stmt);
  /* Bind and Execute with the parameters in c->values and so on. `plan`: of the
  ** rows (NULL: texts, if any). With `describe` the answer tells its columns. */
  int (*bound)(struct pg_conn *c, const char *name, int n,
               const struct pg_plan *plan, bool describe);
  /* Parse, Describe, Bind and Execute without a name; texts. */
  int (*whole)(struct pg_conn *c, const struct prg_stmt *stmt);
  int (*query)(struct pg_conn *c, const char *sql, size_t len);
  int (*sync)(struct pg_conn *c);
  /* Of a COPY_IN in progress; `why`: it is to fail, NULL: that was all. */
  int (*copy_data)(struct pg_conn *c, const char *data, size_t n);
  int (*copy_end)(struct pg_conn *c, const char *why);
  /* Rows are to come as x.rows() says, not all at once. */
  void (*by_rows)(struct pg_conn *c);
  /* Sends what is left; sets want_write. */
  int (*flush)(struct pg_conn *c);
  /* Are there bytes to send, and few, so that more may be added? */
  bool (*may_wait)(const struct pg_conn *c);
  /* Reads what is there, with and without an active exchange. */
  int (*read)(struct pg_conn *c);
  int (*read_idle)(struct pg_conn *c);
  /* Takes one thing of what was read to the active exchange of c->run. PRG_AGAIN:
  ** nothing is there. */
  int (*take)(struct pg_conn *c);
  /* The step ends with nothing in flight: what was read and is left is for nobody
  ** in particular. */
  int (*rest)(struct pg_conn *c);
  /* What the server told last. */
  const char *(*parameter)(struct pg_conn *c, int i);
  /* Why the connection is lost. */
  struct prg_error *(*why)(struct pg_conn *c);
  void (*fini)(struct pg_conn *c);
};

extern const struct pg_link pg_by_libpq, pg_by_wire;

/* Takes the socket over. False: it cannot be had (GSS, a TLS library that is not
** OpenSSL, no memory), and libpq keeps it. */
bool pg_wire_take_over(struct pg_conn *c);

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

void pg_on_tick(struct prg_post *p);
int pg_step(struct prg_conn *base, unsigned ready, struct prg_wait *w);

/* Begins an exchange. The command or the pipeline of commands is sent next. */
void pg_exchange_begin(struct pg_conn *c,
                       void (*on_result)(struct pg_conn *, struct pg_answer *),
                       int (*on_end)(struct pg_conn *));
int pg_pipeline_begin(struct pg_conn *c,
                      void (*on_result)(struct pg_conn *, struct pg_answer *),
                      int (*on_end)(struct pg_conn *)) PRG_MUSTCHECK;
/* An exchange of one simple query. */
int pg_exchange_query(struct pg_conn *c, const char *sql,
                      void (*on_result)(struct pg_conn *, struct pg_answer *),
                      int (*on_end)(struct pg_conn *)) PRG_MUSTCHECK;

/* For links: the exchange of c->run has ended, with the transaction so. */
void pg_exchange_ended(struct pg_conn *c, enum prg_tx tx);
/* An ErrorResponse: the exchange's error if it is the first. */
void pg_take_failure(struct pg_conn *c, const struct prg_wire_fields *f);
bool pg_is_fatal(const struct prg_wire_fields *f);
/* A notice; the last words of the server are remembered. */
void pg_take_notice(struct pg_conn *c, const struct prg_wire_fields *f);
/* A COPY to or from the client began, which is an error here. */
void pg_refuse_copy(struct pg_conn *c);

/* The connection is lost or in doubt: ends the request, sets base.error to
** `error` (taken over) or to what libpq says. Always PRG_ERR. */
int pg_lose(struct pg_conn *c, struct prg_error *error) PRG_MUSTCHECK;
/* Ends the request in progress, if any. Takes both over. Always PRG_OK. */
int pg_finish(struct pg_conn *c, struct prg_result *r, struct prg_error *e);
/* Takes the exchange's error (NULL: none). */
struct prg_error *pg_take_error(struct pg_conn *c);
/* Throws away what the request in progress has collected. */
void pg_run_fini(struct pg_conn *c);
/* Throws away all requests in progress, and what was kept for more. */
void pg_runs_fini(struct pg_conn *c);
/* The error why a request cannot be sent at all, or NULL. */
struct prg_error *pg_refuse(const struct prg_req *req);

/* For PQsetNoticeReceiver; `arg` is the pg_conn or NULL. */
void pg_on_notice(void *arg, const PGresult *res);
/* Forgets notices that were not told. */
void pg_drop_notices(struct pg_conn *c);

/* ---- notifications (pg_notify.c) ---------------------------------------- */

/* For links: one has come. Not PRG_OK: the connection is lost. */
int pg_take_notify(struct pg_conn *c, int64_t pid, const char *channel,
                   const char *payload) PRG_MUSTCHECK;
/* At the end of a step: tells those that have come. */
void pg_tell_notifies(struct pg_conn *c);
void pg_drop_notifies(struct pg_conn *c);

/* ---- state functions ---------------------------------------------------- */

int pg_query_begin(struct pg_conn *c);   /* QUERY, STREAM, BATCH */
int pg_batch_execute(struct pg_conn *c); /* BATCH, once prepared */
int pg_script_begin(struct pg_conn *c);
int pg_ping_begin(struct pg_conn *c);
int pg_reset_begin(struct pg_conn *c);
int pg_barrier_begin(struct pg_conn *c);

int pg_copy_begin(struct pg_conn *c);

/* ---- COPY (pg_copy.c, pg_copy_row.c) ------------------------------------ */

struct pg_copied;
/* NULL is fine. */
void pg_copied_free(struct pg_copied *k);
/* Takes CopyData of a COPY_OUT, which comes next in `in`. PRG_AGAIN: nothing that
** it wants is there as a whole. */
int pg_copy_take(struct pg_conn *c, struct prg_wire_in *in);
/* Where a link without one of its own puts what it was sent. NULL without
** memory. */
struct prg_wire_in *pg_copied_in(struct pg_conn *c);

/* Is something left in there? */
bool pg_copy_is_left(const struct pg_conn *c);

/* How rows are written for these columns; with a reference on `s`. NULL without
** memory. */
void *pg_copy_codec(struct pg_shared *s, const struct pg_head *head);
void pg_copy_codec_free(void *codec);
bool pg_copy_codec_is_binary(const void *codec);
int pg_copy_row(struct prg_req *req, const struct prg_value *cells,
                struct prg_error **err);

/* pg_query.c, for pg_batch.c and pg_simple.c. */

/* Ends a request whose exchange failed, or starts it anew when the statement
** was only out of date. Takes the error over. Always PRG_OK. */
int pg_query_failed(struct pg_conn *c, struct prg_error *e);
/* Encodes one set of parameters into c->values and so on. `types` NULL: by
** what c->sig declares. PRG_ERR and *err: nothing was sent. */
int pg_encode_set(struct pg_conn *c, const struct prg_value *params, int n,
                  const Oid *types, struct prg_error **err) PRG_MUSTCHECK;
/* Notes the types of columns, and parameters if told, that are not known.
** PRG_ERR: no memory. */
int pg_learn_add(struct pg_conn *c, struct pg_cols cols) PRG_MUSTCHECK;
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
/* An error out of the fields of one or of a notice. `stmt` may be NULL. */
struct prg_error *pg_error_of(const struct prg_wire_fields *f,
                              const struct prg_stmt *stmt);
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
