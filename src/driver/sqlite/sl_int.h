/*
** The SQLite driver, inside. docs/internals/sqlite.md tells it as a story.
**
** A connection is one `sqlite3` handle, opened without SQLite's own locks: at
** any moment either the hub's thread uses it or the connection's worker, never
** both. `working` says who: it is set by the hub's thread before a job is
** handed over and cleared by it when the job has come back.
*/
#ifndef PRG_DRIVER_SQLITE_SL_INT_H
#define PRG_DRIVER_SQLITE_SL_INT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sqlite3.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/hub.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/status.h"
#include "base/url.h"
#include "base/value.h"
#include "base/worker.h"
#include "driver/driver.h"
#include "driver/result.h"

/* What libraries from 3.31 on lack. */
#ifndef SQLITE_CONSTRAINT_DATATYPE
#define SQLITE_CONSTRAINT_DATATYPE (SQLITE_CONSTRAINT | (12 << 8))
#endif
#if SQLITE_VERSION_NUMBER < 3034000
#define SQLITE_TXN_WRITE 2
#define sqlite3_txn_state(db, schema) SQLITE_TXN_WRITE
#endif
#if SQLITE_VERSION_NUMBER < 3037000
#define sqlite3_changes64(db) ((sqlite3_int64)sqlite3_changes(db))
#define sqlite3_total_changes64(db) ((sqlite3_int64)sqlite3_total_changes(db))
#endif

struct sl_conn;
struct sl_op;
struct sl_texts;

/* ---- sl_fork.c: files that the parent process has open ------------------ */

struct sl_file;

/* Has the process that we were forked from this file open? */
bool sl_file_is_inherited(const char *path);
/* Notes that we have; NULL without memory. */
struct sl_file *sl_file_note(const char *path);
/* It is closed. NULL is fine. */
void sl_file_forget(struct sl_file *f);

/* Longest time that a read may hold the hub's thread. */
#define SL_GUARD (5 * PRG_MS)
/* After this much work in one step the hub gets a turn. */
#define SL_SLICE (2 * PRG_MS)
/* A run that took longer counts as slow. */
#define SL_QUICK (1 * PRG_MS)
/* A database below this size is read inline whatever the plan. */
#define SL_SMALL (INT64_C(1) << 20)
/* More rows than this are not collected inline. */
#define SL_INLINE_ROWS 10000u

/* ---- sl_sql.c: the little that must be known of a text ------------------ */

enum sl_verb {
  SL_V_OTHER, /* DDL, ATTACH, VACUUM, …: no count of rows */
  SL_V_SELECT,
  SL_V_INSERT, /* REPLACE too */
  SL_V_UPDATE,
  SL_V_DELETE,
  SL_V_EXPLAIN,
  SL_V_PRAGMA,
  SL_V_BEGIN, /* from here on transaction control */
  SL_V_COMMIT,
  SL_V_ROLLBACK,
  SL_V_ROLLBACK_TO,
  SL_V_SAVEPOINT,
  SL_V_RELEASE
};

struct sl_command {
  enum sl_verb verb;    /* of a WITH: of the statement behind it */
  char tag[32];         /* the verb in capitals */
  struct prg_text into; /* INSERT: the table's name, quotes taken off; points
                           into the text; n is 0 when unknown */
};

/* Looks at the first statement of `sql`. Never fails. */
void sl_command_read(const char *sql, struct sl_command *out);
/* Where the next statement starts: past blanks, comments and semicolons. */
const char *sl_skip_blank(const char *sql);
/* How a parameter is used. */
enum { SL_AS_LIST = 1 /* perigee_list(?N) */, SL_AS_VALUE = 2 };
/* Adds to use[0 … n-1] how the parameters stand in `sql`. */
void sl_list_params(const char *sql, int n, unsigned char *use);
/* Is `sql` INSERT INTO table [(columns)] VALUES (?1, …, ?n), with or without
** the numbers, the table without a schema, and nothing else? *head is the length of what stands before VALUES. */
bool sl_values_head(const char *sql, int n, size_t *head);

/* ---- sl_error.c --------------------------------------------------------- */

/* The error of the call on `db` that gave `rc` (an extended code). `sql` is
** the text that was prepared, for the position, or NULL. To be called before
** anything else is done with `db`, on the thread that has it. */
struct prg_error *sl_error_new(sqlite3 *db, int rc, const char *sql);
/* As above for a lock that another connection holds: says how long it was
** waited for. */
struct prg_error *sl_error_locked(int rc, int64_t waited);

/* ---- sl_value.c --------------------------------------------------------- */

/* What a declared type does to a value; see docs/guide/types.md. */
enum sl_class {
  SL_C_PLAIN, /* by storage class */
  SL_C_BOOL,
  SL_C_JSON,
  SL_C_DECIMAL,
  SL_C_DOUBLE,
  SL_C_STAMP,   /* timestamp without a zone */
  SL_C_STAMP_TZ /* in UTC */
};

/* Writes the name of a declared type (lower case, blanks to one, without the
** length) to `name`, which has room for strlen(decl) + 1, and gives its class.
** NULL (an expression) gives "". */
enum sl_class sl_class_of(const char *decl, char *name);
/* Column `i` of the current row. Texts are copied to `t`. False: no memory. */
bool sl_value_read(sqlite3_stmt *st, int i, enum sl_class cl,
                   struct sl_texts *t, struct prg_value *out);
/* Binds parameter `i` (1-based); texts are referred to, not copied. *bytes
** grows by their length. NULL, or a usage error. */
struct prg_error *sl_value_bind(sqlite3_stmt *st, int i,
                                const struct prg_value *v, size_t *bytes);
/* The usage error of a value that cannot be parameter `i`, or NULL. */
struct prg_error *sl_value_refuse(int i, const struct prg_value *v);

/* Gives `v` as the value of a column; texts are referred to, not copied. Their
** length. What sl_value_refuse refuses is an error. */
size_t sl_value_give(sqlite3_context *ctx, const struct prg_value *v);

/* ---- sl_list.c, sl_json.c: functions on every connection ------------------ */

#define SL_LIST "perigee_list"

int sl_list_register(sqlite3 *db);
/* Binds parameter `i`, an argument of perigee_list(), to a list that lives as
** long as the binding. NULL, or a usage error. */
struct prg_error *sl_list_bind(sqlite3_stmt *st, int i, struct prg_vlist *list,
                               size_t *bytes);
int sl_json_register(sqlite3 *db);

/* ---- sl_rows.c: sets of a batch as rows of a table ----------------------- */

int sl_rows_register(sqlite3 *db);
/* May the next sets go in one statement? */
bool sl_rows_may(struct sl_op *op);
/* Does so, and moves op->set. SL_DONE: go on, perhaps singly. */
enum sl_out sl_rows_run(struct sl_op *op);

/* ---- sl_result.c -------------------------------------------------------- */

/* Where texts go: one behind the other, in the room of a result and then in
** pieces of its arena. */
struct sl_texts {
  char *at;
  size_t left;
  struct prg_arena arena;
};

/* What a look-up finds is in the object itself, behind the struct: one
** allocation of a size that malloc has at hand. */
#define SL_RESULT_SIZE ((size_t)1000)

struct sl_result {
  struct prg_result base;
  struct sl_texts texts;
  struct prg_value *values; /* base.nrows * ncols; at first in the room */
  size_t ncols;
  size_t cap; /* rows that fit into values */
  struct prg_value room[];
};

/* An empty result, without a description; `rows`: so many will come, perhaps (0:
** not known). NULL without memory. */
struct sl_result *sl_result_new(size_t ncols, size_t rows);
/* Bytes that it holds. */
size_t sl_result_bytes(const struct sl_result *r);
/* Adds the current row of `st`. False: no memory. */
bool sl_result_add(struct sl_result *r, sqlite3_stmt *st,
                   const unsigned char *classes);
/* The columns of `st` as a description, and their classes (ncols bytes, to be
** freed; NULL when there are none), by the types of `stmt` (NULL: it has none)
** where that has some. PRG_ERR without memory. */
int sl_describe(sqlite3_stmt *st, const struct prg_stmt *stmt,
                struct prg_desc **desc, unsigned char **classes) PRG_MUSTCHECK;

/* ---- sl_stmt.c: statements and where they run --------------------------- */

struct sl_entry {
  struct prg_link lru;    /* in sl_conn.lru when cached and not in use */
  struct sl_entry *chain; /* of its hash bucket */
  struct prg_stmt *key;   /* owned reference */
  sqlite3_stmt *st;       /* NULL: the text holds no statement */
  sqlite3_stmt *rows_st;  /* the same for blocks of sets, or NULL; when */
  bool rows_asked;        /* it was asked for */
  struct prg_desc *desc;  /* owned reference; NULL when it has no columns */
  struct prg_desc *old;   /* owned reference: replaced by the run */
  unsigned char *classes; /* of the columns */
  size_t ncols;
  unsigned char
      *use;     /* of the parameters: sl_list_params; NULL: not asked yet */
  int prepares; /* SQLite's count of its own re-prepares when desc was made */
  struct sl_command cmd;
  bool cached;
  bool was_reset; /* by the run that has ended */
  bool readonly;
  bool planned;   /* the plan was asked for: */
  bool quick;     /* it shows only look-ups */
  bool recursive; /* it shows a recursion: no size of the database bounds it */
  bool slow;      /* was too long inline: to the worker until it proves quick */
  bool proven;    /* 99 of 100 runs were quick: inline whatever the plan */
  unsigned runs, slow_runs;
  unsigned unseen; /* of those that were not timed */
  unsigned regain; /* quick runs after which a slow look-up is trusted again */
  unsigned regained; /* so many it had */
};

/* The same if it is in the cache and not in use, else NULL. */
struct sl_entry *sl_entry_known(struct sl_conn *c, const struct prg_stmt *stmt);
/* The statement for `stmt`, prepared and not in use: from the cache, or new.
** SQLITE_OK, or SQLite's code and *err (but not for a busy code). */
int sl_entry_get(struct sl_conn *c, struct prg_stmt *stmt,
                 struct sl_entry **out, struct prg_error **err);
/* Resets it and puts it back, or frees it. */
void sl_entry_put(struct sl_conn *c, struct sl_entry *e);
/* Did the schema change under it? Then describes its columns again. Called
** when a run has made its first step. PRG_ERR without memory. On the worker: the
** old description, which results share, waits for sl_entry_settle. */
int sl_entry_refresh(struct sl_entry *e) PRG_MUSTCHECK;
/* When a run has ended, on the hub's thread: lets an old description go. */
void sl_entry_settle(struct sl_entry *e);
/* Frees all that are cached. */
void sl_cache_clear(struct sl_conn *c);
/* Would a commit now wait for the disk? */
bool sl_commit_waits(const struct sl_conn *c);
/* A transaction with what it has changed was committed in this time. */
void sl_note_commit(struct sl_conn *c, int64_t took);
/* May this request's statement run on the hub's thread? */
bool sl_may_inline(struct sl_conn *c, struct sl_op *op);
/* Need the next run be timed? Not every one of a statement that has proved quick. */
bool sl_entry_timed(struct sl_entry *e);
/* A run has ended after `took`, or gave way: remembers it for sl_may_inline. */
void sl_entry_ran(struct sl_entry *e, int64_t took, bool gave_way,
                  bool inlined);

/* ---- sl_open.c ---------------------------------------------------------- */

struct sl_conn {
  struct prg_conn base;
  sqlite3 *db;          /* see the head of this file */
  struct sl_file *file; /* noted as open; NULL: none */
  struct prg_worker *worker;
  struct prg_job job;
  void (*work)(struct sl_conn *c); /* what the job does, on the worker */
  bool working;                    /* the worker has `db` */
  bool back;                       /* it has given it back: look at the job */
  bool closing;
  atomic_bool stop; /* the progress handler ends what runs */

  /* Used by whoever has `db`. */
  int64_t at; /* what the clock said a moment ago: nothing that takes time has
                 been done since; 0: it is to be read */
  int64_t guard_due; /* the progress handler ends an inline read then */
  bool guard_hit;
  int64_t patient_until;       /* a checkpoint waits for readers till then */
  bool busy_asked;             /* SQLite offered to wait for a lock */
  const struct prg_text *into; /* table of the INSERT that runs, or NULL */
  bool into_hit;               /* a row was inserted into it */
  int64_t wrote_at;            /* the last commit into the log */
  int wal_pages;               /* length of the log after the last commit */
  int64_t restore[16];         /* session settings after opening (sl_open.c) */
  bool memory;                 /* no file */
  bool wal;
  bool read_only; /* the whole database */
  bool syncs;     /* every commit waits for the disk */
  bool new_log;   /* the next one does, since it begins the log anew */

  /* The hub's thread's. */
  enum { SL_UNOPENED, SL_OPENING, SL_OPENED } opening;
  struct prg_error *open_error; /* written by the worker, then the hub's */
  struct sl_op *op;             /* in hand; NULL: none */
  struct sl_op *spare;          /* to be used again, or NULL */
  struct prg_req unasked;       /* sl_direct.c: stands for the request */
  struct prg_error
      *lost;          /* why the transaction ended by itself: tx is FAILED */
  int64_t tx_changes; /* sqlite3_total_changes64 when it began */
  int64_t
      change_cost; /* nanoseconds that a commit takes for a changed row; 0: not
                          known */
  int checkpoint_at; /* pages in the log that are worth a checkpoint */
  struct sl_entry **buckets;
  size_t nbuckets, nentries;
  struct prg_list lru; /* cached and not in use; the latest first */
  int64_t size;        /* bytes of the database when last looked */
  unsigned size_age;   /* questions since then */
  sqlite3_stmt *size_st;

  sqlite3_stmt *suits_st; /* sl_rows.c; used by whoever has `db` */
};

/* check() of the driver table. */
struct prg_error *sl_check(struct prg_config *cfg);
/* Opens the database and makes its settings; on the worker. Sets open_error
** when it fails. */
void sl_open(struct sl_conn *c);
/* After a session that changed settings or made temporary things: makes all
** as after opening. On the worker. NULL or an error. */
struct prg_error *sl_restore(struct sl_conn *c);
/* Moves the log into the database; on the worker, when no transaction is
** open. */
void sl_checkpoint(struct sl_conn *c);
/* Is it time for that? `idle`: nothing else is to be done. */
bool sl_wants_checkpoint(const struct sl_conn *c, bool idle);
/* When it will be, if nothing else happens; PRG_NEVER. */
int64_t sl_checkpoint_due(const struct sl_conn *c);

/* ---- sl_run.c: one request ---------------------------------------------- */

enum sl_out {
  SL_DONE,  /* ended well */
  SL_FULL,  /* a stream's chunk is full */
  SL_SLOW,  /* gave way: go on on the worker */
  SL_YIELD, /* gave way: go on inline in the hub's next turn */
  SL_BUSY,  /* a lock: try again later */
  SL_FAILED /* op->error */
};

struct sl_op {
  struct sl_conn *c;
  struct prg_req *req;
  struct sl_entry *e; /* in use by this op; NULL before and in scripts */
  enum sl_out (*run)(struct sl_op *op); /* on either thread */
  enum sl_out out;                      /* of the last run */
  bool inlined;                         /* where it runs */
  bool bound;                           /* parameters are bound */
  bool waiting;                         /* for a lock, until retry_at */
  size_t looked;  /* bytes of the result when the clock was looked at */
  bool delivered; /* a chunk was handed out: no second start */
  bool was_tx;    /* a transaction was open before the last statement */
  bool lost;      /* its failure ended that */
  bool own_tx;    /* BATCH: we opened a transaction */
  size_t param_bytes;
  size_t set;  /* BATCH: the next set of parameters */
  bool blocks; /* BATCH: many sets go in one statement */
  bool singly; /* BATCH: none do, or no more */
  int64_t affected;
  bool has_last_id;
  int64_t last_id;
  const char *pos; /* SCRIPT: the next statement */
  struct prg_result
      *none; /* takes the answer when there are no columns, or NULL */
  struct sl_result *res;    /* being filled; QUERY, STREAM */
  struct prg_result *first; /* SCRIPT: the finished ones */
  struct prg_result **tail;
  struct prg_error *error;
  int rc;         /* SQLite's code of a busy or failed run */
  unsigned tries; /* for the lock */
  int64_t retry_at, wait_from;
  bool untimed;          /* how long it takes is not asked */
  int64_t started, took; /* of the run */
};

/* A zeroed one for `req`, which runs `run`; NULL without memory. */
struct sl_op *sl_op_new(struct sl_conn *c, struct prg_req *req,
                        enum sl_out (*run)(struct sl_op *op));
void sl_op_free(struct sl_conn *c, struct sl_op *op);
/* Runs it, on either thread. */
void sl_op_run(struct sl_op *op);
/* A run has ended: is a transaction open? */
void sl_op_look(struct sl_conn *c, struct sl_op *op);
/* prg_driver.direct (sl_direct.c) */
int sl_direct(struct prg_conn *base, struct prg_direct *d);
/* Takes up a request that was just taken off the queue. */
void sl_op_begin(struct sl_conn *c, struct prg_req *req);
/* Goes on with c->op, when the worker is not at it: a lock that may be free, a
** slice of a batch, a stream that was resumed. Until c->op is NULL or waits. */
void sl_op_go(struct sl_conn *c);
/* prg_driver.overdue */
struct prg_error *sl_overdue(struct prg_conn *base, struct prg_req *req);
/* The worker came back with c->op. */
void sl_op_back(struct sl_conn *c);
/* Frees the op of a request that will not be finished (closing). */
void sl_op_drop(struct sl_conn *c, struct sl_op *op);
/* Hands `work` to the worker. PRG_ERR: no thread. */
int sl_submit(struct sl_conn *c, void (*work)(struct sl_conn *c)) PRG_MUSTCHECK;

/* ---- sl_multi.c: runs of several statements ----------------------------- */

/* A set after the other; gives way with SL_YIELD when it runs inline. */
enum sl_out sl_run_batch(struct sl_op *op);
enum sl_out sl_run_script(struct sl_op *op);

/* ---- sl_step.c: what the runs share ------------------------------------- */

/* Binds set `set` of the parameters; SL_DONE or SL_FAILED. */
enum sl_out sl_bind_set(struct sl_op *op, size_t set);
/* A step of `st` gave neither a row nor the end: reads the error, resets, and
** says how to go on. `sql` as in sl_error_new. */
enum sl_out sl_step_failed(struct sl_op *op, sqlite3_stmt *st, int rc,
                           const char *sql);
/* QUERY and STREAM: steps and collects. */
enum sl_out sl_run_rows(struct sl_op *op);
/* Sets affected, last_id and tag after the end of a statement. */
void sl_count(struct sl_conn *c, const struct sl_command *cmd, bool readonly,
              struct prg_result *r);

#endif
