/*
** The MySQL and MariaDB driver, inside. docs/internals/mysql.md tells it as a
** story.
**
** MariaDB Connector/C runs each of its calls on a small stack of its own and
** leaves it when it would wait (mysql_*_start, mysql_*_cont). Such a call is an
** "op" here: a connection has at most one, and what follows it (`then`) is called
** when it is through. Nothing else of the library that could wait is ever called
** on the hub's thread.
*/
#ifndef PRG_DRIVER_MYSQL_MY_INT_H
#define PRG_DRIVER_MYSQL_MY_INT_H

#include <stdbool.h>
#include <stdint.h>

#include <mysql.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/list.h"
#include "base/worker.h"
#include "driver/driver.h"
#include "driver/result.h"
#include "wire/packet.h"

/* After this much work in one step the hub gets a turn. */
#define MY_SLICE (2 * PRG_MS)

struct my_bulk_column;
struct my_conn;
struct my_connect;
struct my_cancel_job;

/* ---- my_decode.c: cells -------------------------------------------------- */

/* What a column's values become. */
enum my_class {
  MY_C_NULL,
  MY_C_BOOL, /* tinyint(1): 0 and 1; others stay numbers */
  MY_C_INT,
  MY_C_BIG, /* 64 bits */
  MY_C_UBIG,
  MY_C_FLOAT, /* single precision, which matters for texts only */
  MY_C_DOUBLE,
  MY_C_DECIMAL,
  MY_C_BIT,
  MY_C_TEXT,
  MY_C_BYTES,
  MY_C_JSON,
  MY_C_DATE,
  MY_C_TIME,
  MY_C_STAMP,   /* without a zone: the server takes back no text with one. The
                   session's zone is UTC */
  MY_C_STAMP_TZ /* with Z: where a definition says timestamptz */
};

/* A column of a plan. `type` to `length` are the server's description, by which a
** changed one is known. */
struct my_column {
  enum my_class cl;
  enum enum_field_types type;
  unsigned flags, charset;
  unsigned long length;
  unsigned char size; /* bytes of a number in a binary row */
};

/* The class of a field and its type's name. `prepared`: what the statement's
** prepare said of it, or NULL. */
enum my_class my_class_of(const MYSQL_FIELD *f, const MYSQL_FIELD *prepared,
                          const char **type);
/* A value of a binary row; `p` is where it begins. NULL, or an error. `zero` is what
** struct my_conn's zero_dates says. */
struct prg_error *my_read_cell(const struct my_column *k,
                               const unsigned char *p, const char *name,
                               bool zero, struct prg_arena *a,
                               struct prg_value *out);
/* The same of the text protocol. `s` NULL: it is null. */
struct prg_error *my_read_text(enum my_class cl, const char *s, size_t n,
                               const char *name, bool zero, struct prg_arena *a,
                               struct prg_value *out);

/* ---- my_time.c ----------------------------------------------------------- */

enum { MY_TIME_ROOM = 40 };

/* Writes a date or time in the one form of docs/guide/types.md; its length. 0: it
** is a zero date, which is `zero` to be written nevertheless. */
size_t my_time_write(enum my_class cl, const MYSQL_TIME *t, bool zero,
                     char *out);
/* Reads what the server writes as text. False: it is something else. */
bool my_time_read(enum my_class cl, const char *s, size_t n, MYSQL_TIME *t);

/* ---- my_encode.c: parameters --------------------------------------------- */

/* NULL, or a usage error: parameter `i` (from 1 on) is not of a kind that can be sent.
** *bytes grows by what it takes at most. */
struct prg_error *my_check_value(int i, const struct prg_value *v,
                                 size_t *bytes);
/* Binds one that can, which must live until the statement has been sent. */
void my_bind_value(const struct prg_value *v, MYSQL_BIND *b);
/* The same where the type and all else are set: only where the value is. */
void my_bind_data(const struct prg_value *v, MYSQL_BIND *b);

/* ---- my_result.c --------------------------------------------------------- */

struct my_result {
  struct prg_result base;
  struct prg_arena arena;   /* the texts */
  struct prg_value *values; /* base.nrows * ncols */
  size_t ncols, cap;        /* rows that fit into values */
  struct prg_value few[];   /* the values of the first rows */
};

/* How the columns of a statement are read. */
struct my_plan {
  struct prg_desc *desc; /* owned reference; NULL: no columns */
  unsigned ncols;
  struct my_column *cols; /* owned */
  unsigned char *sizes;   /* of the columns, behind them */
};

/* NULL without memory. `desc` may be NULL. */
struct my_result *my_result_new(struct prg_desc *desc);
/* Room for one more row, which is counted by my_result_keep. NULL: no memory. */
struct prg_value *my_result_row(struct my_result *r);
void my_result_keep(struct my_result *r);
/* The columns of a result, as far as the server has told them. */
struct my_fields {
  const MYSQL_FIELD *now, *prepared; /* `prepared` may be NULL */
  const bool *json; /* which of them are JSON; NULL: the library knows */
  unsigned n;
  const struct prg_stmt *stmt; /* its own types count, too */
};

/* Reads the description anew where it differs from what the plan has. PRG_ERR: no
** memory. */
int my_plan_update(struct my_plan *p, const struct my_fields *f) PRG_MUSTCHECK;
void my_plan_fini(struct my_plan *p);
/* The first word of `sql` in capitals as the tag, and what the server says of
** counts. */
void my_result_count(struct my_result *r, const char *sql, MYSQL *my);
/* The word alone. */
void my_result_tag(struct prg_result *r, const char *sql);
/* Behind blanks and comments, where the first word of a statement is. */
const char *my_skip_blank(const char *p);

/* ---- my_stmt.c: the cache of prepared statements -------------------------- */

struct my_entry {
  struct prg_link lru;    /* in my_conn.lru when cached */
  struct my_entry *chain; /* of its hash bucket */
  struct prg_stmt *key;   /* owned reference */
  MYSQL_STMT *st;         /* owned */
  struct my_plan plan;
  struct prg_packet_types types;
  bool cached;
  bool changed;  /* its columns are others than the library has been told */
  unsigned turn; /* my_cache.turn when it was made */
};

struct my_cache {
  struct prg_list lru; /* of struct my_entry, the newest last */
  struct my_entry **buckets;
  size_t nbuckets;
  char *database; /* that of the session, as last seen */
  unsigned turn;  /* counts its changes */
};

void my_cache_init(struct my_cache *k);
/* Frees all. The connection is closed, or was reset: nothing is said to the
** server. */
void my_cache_clear(struct my_cache *k);
void my_cache_fini(struct my_cache *k);
/* The session's database is this one. The server runs a statement in the database in which
** it was prepared: those of another one are not found any more. */
void my_cache_look(struct my_cache *k, const char *database);
/* The entry of a statement, the newest now, or NULL. */
struct my_entry *my_cache_find(struct my_cache *k, const struct prg_stmt *stmt);
/* Adds one; without memory it stays outside. */
void my_cache_add(struct my_cache *k, struct my_entry *e);
/* Takes one out; it is its caller's then. */
void my_cache_remove(struct my_cache *k, struct my_entry *e);
struct my_entry *my_entry_new(MYSQL *my, struct prg_stmt *stmt);
/* Frees one whose statement was closed, or whose connection was. */
void my_entry_free(struct my_entry *e);

/* ---- my_error.c ---------------------------------------------------------- */

/* Of the last call on `my`, or on `st` when it is not NULL. */
struct prg_error *my_error_new(MYSQL *my, MYSQL_STMT *st,
                               const struct prg_stmt *stmt);
/* The last error number of either. */
unsigned my_errno(MYSQL *my, MYSQL_STMT *st);
/* What a failed attempt to connect says. */
struct prg_error *my_error_connect(MYSQL *my);
/* Is the connection lost? */
bool my_is_lost(unsigned code);
/* Has the error undone the whole transaction? `on_timeout`: so does a wait for a lock that
** is given up. */
bool my_ends_transaction(unsigned code, bool on_timeout);
/* A warning, or a note. */
struct prg_error *my_error_notice(unsigned code, const char *text);
/* Of an error packet that came unasked; NULL: it is none. */
struct prg_error *my_error_packet(const unsigned char *p, size_t n);

/* ---- my_connect.c -------------------------------------------------------- */

struct prg_error *my_check(struct prg_config *cfg);
/* Starts an attempt on a thread. PRG_ERR and base.error. */
int my_connect_start(struct my_conn *c) PRG_MUSTCHECK;
/* The attempt, should there be one, goes on without its connection. */
void my_connect_abandon(struct my_conn *c);
/* Connects and waits, on a thread: `my` is options only so far. NULL, or the
** error; `over` says that nobody waits any more. */
struct prg_error *my_connect_run(struct my_connect *j);
/* What a session is set to after connecting and after a reset. */
extern const char my_setup[];

/* A description of how to connect that outlives the configuration. NULL without
** memory. It is freed by my_connect_free. */
struct my_connect *my_connect_new(const struct prg_config *cfg, int64_t due);
void my_connect_free(struct my_connect *j);
MYSQL *my_connect_my(struct my_connect *j);
/* Of several hosts only the one that `my` is connected with. */
void my_connect_only(struct my_connect *j, const MYSQL *my);
/* The library is ready for threads. */
void my_library_ready(void);
/* OpenSSL keeps a list of errors for each thread, and whoever has not emptied it makes
** the next call of another connection look like a failure: so it is emptied before. */
void my_tls_forget(void);

/* ---- the connection ------------------------------------------------------ */

/* An op: starts (`ready` is 0) or goes on with a call of the library. MYSQL_WAIT_*
** that it waits for; 0: it is through. */
typedef int my_op(struct my_conn *c, int ready);
/* What follows. */
typedef void my_then(struct my_conn *c);

/* The request in progress. All pointers are its own. */
struct my_run {
  struct prg_req *req;              /* NULL: none */
  struct my_entry *e;               /* cached, or its own */
  struct my_result *res;            /* being filled */
  struct my_plan plan;              /* of the text protocol */
  MYSQL_RES *rows;                  /* of the text protocol */
  struct prg_result *first, **tail; /* SCRIPT, CALL: results so far */
  struct prg_error *error;          /* what it will end with */
  my_then *ready;                   /* what to do with the prepared statement */
  my_then *skipped;                 /* and behind its further results */
  bool rolled_back;                 /* its error has ended the transaction */
  bool was_tx;                      /* a transaction was open when it began */
  bool cursor;                      /* STREAM by a cursor of the server */
  bool whole;     /* which it has not made: all rows are one chunk */
  bool delivered; /* the owner of a QUERY has its answer */
  bool own_tx;    /* BATCH: it has its own transaction */
  bool bulk;      /* BATCH: many sets at a time */
  bool wire; /* the statement was executed by my_wire.c, which reads its rows */
  bool saved;     /* BATCH: a savepoint tells where it began */
  bool retried;   /* prepared anew, once */
  bool asked;     /* which key its error is about */
  const char *at; /* text protocol: the statement that runs */
  size_t rest;    /* rows that nobody wants */
  int64_t from;   /* when the first of them came */
  size_t set;     /* BATCH: the first of those that run */
  size_t sets;    /* BATCH: so many run together */
  unsigned known; /* BATCH: the columns of which the library knew before them */
  int64_t affected;
  bool has_last_id;
  int64_t last_id;
};

/* What is asked behind a statement. */
struct my_more {
  my_then *then;  /* after it */
  char *sql;      /* owned */
  bool elsewhere; /* the error is not of the statement's own table */
  unsigned count; /* warnings that there are */
};

/* Prepared statements by the protocol itself (my_wire.c). */
struct my_wire {
  bool on;     /* on this connection */
  bool caches; /* the server describes columns only when they are others */
  int fd;
  struct prg_inbox in;
  bool dry; /* nothing more can be received now */
  struct prg_buf out;
  size_t sent; /* of `out` */
  enum { MY_W_ANSWER, MY_W_COLUMNS, MY_W_ROWS, MY_W_OVER } state;
  bool skipping;       /* results that nobody wants */
  unsigned ncols;      /* 0: the answer has no rows */
  unsigned column;     /* so many were told */
  MYSQL_FIELD *fields; /* what was told, in `arena`; NULL: nothing new */
  bool *json;          /* which of them are JSON */
  struct prg_arena arena;
  struct prg_packet row; /* the one that was fetched */
};

struct my_conn {
  struct prg_conn base;
  MYSQL *my; /* NULL: not connected */
  struct my_connect *connecting;
  struct my_cancel_job *cancelling;
  bool zero_dates; /* they are texts, not errors */

  my_op *op;     /* in progress, or to be started; NULL: none */
  my_then *then; /* after it; without an op: at once */
  int wants;     /* MYSQL_WAIT_* of an op that was started; 0: it was not */
  /* what ops give */
  int rc;
  my_bool flag;
  MYSQL_ROW row;
  MYSQL_RES *res;
  /* what ops take */
  const char *sql;
  size_t len;
  MYSQL_STMT *st;

  struct my_wire wire;
  struct my_run run;
  struct my_more more;
  struct my_cache cache;
  bool barrier;           /* a cancel may still hit what is sent next */
  int64_t recancel;       /* when to cancel once more */
  struct prg_error *lost; /* why the transaction is gone; owned */
  bool tls;
  bool custom;     /* on_connect changed the session: no reset knows how */
  bool rolls_back; /* a wait for a lock that is given up ends the transaction */
  size_t limit;    /* longest packet that the server takes; 0: unknown */
  const unsigned char **cells; /* of a row; room for ncells */
  size_t ncells;
  MYSQL_BIND *binds; /* of parameters; room for nbinds */
  size_t nbinds;
  struct my_bulk_column *bulk; /* of a packet's sets; room for nbulk */
  size_t nbulk;
};

static inline struct my_conn *my_of(struct prg_conn *base) {
  return (struct my_conn *)(void *)base;
}

/* ---- my_step.c ----------------------------------------------------------- */

int my_step(struct prg_conn *base, unsigned ready, struct prg_wait *w);
/* `op` is next, then `then`. */
void my_do(struct my_conn *c, my_op *op, my_then *then);
/* The same for a statement by the text protocol; c->rc says how it went. */
void my_do_sql(struct my_conn *c, const char *sql, size_t len, my_then *then);
/* Ends the request in progress with what its run has. */
void my_end(struct my_conn *c);
/* The same with the error of the last call; a lost connection is broken. */
void my_fail(struct my_conn *c, MYSQL_STMT *st);
/* The same with an error of ours. */
void my_fail_with(struct my_conn *c, struct prg_error *e);
/* Is a transaction open, as the server told last? */
void my_look(struct my_conn *c);
/* The connection is lost: what the library says. */
void my_broken(struct my_conn *c);

my_op my_op_query, my_op_prepare, my_op_execute, my_op_fetch, my_op_close;
my_op my_op_row, my_op_next, my_op_free_rows, my_op_ping, my_op_reset;
my_op my_op_stmt_next, my_op_stmt_free, my_op_use;

/* ---- my_wire.c ----------------------------------------------------------- */

/* The library has connected. */
void my_wire_init(struct my_conn *c);
void my_wire_fini(struct my_conn *c);
/* A request is through. Nothing may be left of its answer, and memory that was needed for
** much goes. */
void my_wire_end(struct my_conn *c);
/* Writes the packet that executes run.e with these parameters, which can be sent. False: no
** memory. */
bool my_wire_pack(struct my_conn *c, const struct prg_value *params);
/* As my_op_execute, my_op_fetch. The third reads on in further results, which nobody wants:
** a row or a description at a time, until my_wire_is_over. */
my_op my_wire_execute, my_wire_fetch, my_wire_skip;
bool my_wire_is_over(const struct my_conn *c);
/* The columns, when they are not those of the plan. */
bool my_wire_fields(const struct my_conn *c, struct my_fields *f);
/* The cells of the row that was fetched, by the plan. False: it does not fit, and the
** connection ends. */
bool my_wire_cells(struct my_conn *c, const unsigned char **cells);

/* ---- my_query.c, my_text.c, my_batch.c ----------------------------------- */

/* Each begins with c->run.req. */
void my_query_begin(struct my_conn *c);
void my_text_begin(struct my_conn *c); /* QUERY and SCRIPT by text */
void my_batch_begin(struct my_conn *c);
void my_simple_begin(struct my_conn *c); /* PING, RESET */
/* Gets the prepared statement of the request, then does `then`. */
void my_prepare(struct my_conn *c, my_then *then);
/* Room for this many parameters. */
bool my_have_binds(struct my_conn *c, size_t n);
/* Runs run.e with a set of the request's parameters, then does `then`. NULL, or an error:
** nothing is sent. */
struct prg_error *my_execute(struct my_conn *c, size_t set, my_then *then);
/* Gets the next row of what my_execute has run, or of a bulk, then does `then`. */
void my_fetch(struct my_conn *c, my_then *then);
/* The statement has run: describes its columns. NULL, or an error. */
struct prg_error *my_describe(struct my_conn *c);
/* The row that was fetched, into run.res. False: run.error is set. */
bool my_add_row(struct my_conn *c);
/* The rows were read. CALL has more results, and an end of its own: reads them, then does
** `then`; c->rc says how it went. */
void my_skip_results(struct my_conn *c, my_then *then);
/* A stream that was resumed or given up. */
void my_query_resume(struct my_conn *c);
/* Frees what a run holds, but not its request. The connection is closed. */
void my_run_drop(struct my_run *r);
/* Is nobody interested in further rows? */
bool my_is_unwanted(const struct my_conn *c);
/* A row that nobody wants: cancels when there are many. */
void my_count_rest(struct my_conn *c);
/* A chunk is full, or the owner's share of a QUERY. */
void my_deliver(struct my_conn *c, bool truncated);
/* How many rows the owner wants before the next answer. */
size_t my_row_limit(const struct my_conn *c);

/* ---- my_more.c ----------------------------------------------------------- */

/* Has run.error, a duplicate key, say which columns the key has, then does `then`. False:
** there is nothing to ask. */
bool my_ask_key(struct my_conn *c, my_then *then);
/* Tells the warnings of the statement that has run, when somebody listens, then does
** `then`. False: there are none to tell. */
bool my_ask_warnings(struct my_conn *c, my_then *then);
/* The end of rows has been read. mysql_stmt_fetch leaves the number of warnings in the
** packet. */
void my_note_end(struct my_conn *c);

/* ---- my_bulk.c ----------------------------------------------------------- */

/* Can the sets of the batch be sent many at a time? */
bool my_bulk_can(const struct my_conn *c);
/* How many sets from run.set on go into one packet. 0, 1: it is not worth one. */
size_t my_bulk_take(struct my_conn *c);
/* Runs run.e with these, then does `then`. NULL, or an error. */
struct prg_error *my_bulk_execute(struct my_conn *c, size_t sets,
                                  my_then *then);
/* They were sent. */
void my_bulk_over(struct my_conn *c);

/* ---- my_cancel.c --------------------------------------------------------- */

void my_cancel(struct prg_conn *base);
/* KILL QUERY for what runs, whoever is meant. */
void my_kill(struct my_conn *c);
void my_cancel_abandon(struct my_conn *c);

#endif
