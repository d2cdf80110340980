/*
** The mock driver's own declarations: the script (what to answer), a run (one
** request on its way through the phases) and the connection. The script
** language is told in docs/internals/mock.md.
*/
#ifndef PRG_DRIVER_MOCK_INT_H
#define PRG_DRIVER_MOCK_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/hub.h"
#include "base/list.h"
#include "driver/driver.h"

/* ---- the script --------------------------------------------------------- */

enum mk_subject {
  MK_ON_SQL,     /* a statement that matches the rule's pattern */
  MK_ON_ECHO,    /* SELECT of parameters: "select $1 …" or "select ? …" */
  MK_ON_CONNECT, /* connecting (the n-th of the handle, or each) */
  MK_ON_PING,
  MK_ON_RESET
};

/* Where a request is. A rule's disturbances happen at the end of a phase. */
enum mk_phase { MK_QUEUED, MK_PREPARE, MK_EXECUTE, MK_ROWS, MK_DONE };

enum mk_op_kind {
  MK_WAIT,  /* `n` microseconds */
  MK_PARK,  /* `n` turns of the hub */
  MK_HANG,  /* until cancelled */
  MK_CUT,   /* the connection breaks */
  MK_NOTICE /* the server says `text` */
};

struct mk_op {
  struct mk_op *next; /* in the order of their phases */
  enum mk_op_kind kind;
  enum mk_phase phase;
  int64_t n;
  const char *text;
};

enum mk_answer {
  MK_PLAIN,  /* no rows */
  MK_TABLE,  /* the rule's rows */
  MK_SERIES, /* the integers from 1 to nrows */
  MK_ECHO,   /* the parameters as one row */
  MK_FAULT   /* an error */
};

/* What to make an error object of. */
struct mk_fault {
  enum prg_kind kind;
  int code, position;
  const char *sqlstate; /* or NULL */
  const char *field[PRG_EF_COUNT_];
};

struct mk_rule {
  struct mk_rule *next;
  enum mk_subject subject;
  const char *pattern; /* MK_ON_SQL */
  int64_t nth;         /* MK_ON_CONNECT: 0 is each */
  int64_t times, uses; /* used up after `times` uses; 0: never */
  struct mk_op *ops;
  enum mk_answer answer;
  struct prg_desc *desc; /* MK_TABLE, MK_SERIES; owned reference */
  size_t nrows;
  struct prg_value *cells; /* MK_TABLE: nrows * desc->ncols, in the arena */
  int64_t affected;        /* -1: not said */
  bool has_last_id;
  int64_t last_id;
  const char *tag; /* or NULL */
  struct mk_fault fault;
  bool deaf;       /* cannot be cancelled */
  bool rolls_back; /* COMMIT answers ROLLBACK */
  bool wrong_lane;
  bool sets_tx;
  enum prg_tx tx;    /* with sets_tx: transaction state after the answer */
  int64_t die;       /* microseconds until idle death; -1: lives */
  const char *dirty; /* reason that unclean() gives from now on, or NULL */
};

struct mk_script {
  int refs;
  char *text; /* as read; owned */
  struct mk_rule *rules;
  struct prg_arena arena;
};

/* Parses a copy of `text`. One reference; NULL and *err (kind usage, with the
** number of the line) otherwise. */
struct mk_script *mk_script_new(const char *text, struct prg_error **err);
struct mk_script *mk_script_ref(struct mk_script *s);
/* NULL is fine. */
void mk_script_unref(struct mk_script *s);

/* What a rule is looked up for. */
struct mk_question {
  enum mk_subject subject;
  const char *sql; /* MK_ON_SQL */
  size_t len;
  int nparams;
  int64_t nth; /* MK_ON_CONNECT */
};

/* The first rule that fits and is not used up, or NULL. Does not count a use.
** Asking for MK_ON_SQL finds MK_ON_ECHO rules as well. */
struct mk_rule *mk_script_find(struct mk_script *s,
                               const struct mk_question *q);

/* ---- runs --------------------------------------------------------------- */

/* What holds a run up at the moment. */
struct mk_hold {
  bool hang;
  uint64_t turn; /* until the connection's turn counter is here */
  int64_t due;   /* until then; 0: no time */
};

struct mk_run {
  struct prg_link link;     /* in mk_conn.runs, so that nothing leaks when the
                               connection breaks */
  struct mk_script *script; /* owned reference; keeps `rule` alive */
  struct mk_rule *rule;     /* NULL: the default answer */
  struct mk_op *op;         /* next to do */
  struct mk_hold hold;
  const char *sql; /* the statement that runs: a part of the request's */
  size_t len;
  bool preluding;   /* the prelude of the request runs */
  size_t pos;       /* SCRIPT: where the next statement starts */
  bool answered;    /* STREAM: first_row is valid */
  size_t first_row; /* STREAM: of the next chunk */
  size_t total;     /* STREAM: rows in all */
  struct prg_result *chain, **tail; /* SCRIPT: results so far; owned */
};

/* ---- connections -------------------------------------------------------- */

enum { MK_SAVEPOINTS = 32, MK_NAME = 64 };

/* What all connections of a handle share. */
struct mk_shared {
  struct prg_driver driver; /* ours, with the features that the URL asks for */
  const struct prg_config *config;
  struct mk_script *script; /* last one read; owned reference */
  int connects;
  int64_t turns; /* turns of the hub that each answer takes */
};

struct mk_conn {
  struct prg_conn base;
  struct mk_shared *shared;
  int number; /* counts the connections of the handle from 1; 0: not started */
  struct prg_post post;
  uint64_t turn;       /* turns of the hub that were waited for */
  struct mk_run greet; /* while CONNECTING */
  struct mk_run front; /* phase QUEUED, of the head of the queue: of the request
                           whose `impl` it is */
  struct prg_list runs;
  bool cancel; /* wanted, and not done yet */
  bool dying;
  struct mk_hold death; /* with dying */
  char dirty[MK_NAME];  /* "": clean */
  size_t nsavepoints;
  char savepoints[MK_SAVEPOINTS][MK_NAME];
};

/* ---- answers (mk_answer.c) ---------------------------------------------- */

/* The error that a rule describes. */
struct prg_error *mk_fault_error(const struct mk_fault *f);
/* How many rows the run's statement gives. */
size_t mk_answer_rows(const struct mk_run *r);
/* Rows [first, first + n) of the run's statement. NULL and *err otherwise.
** The result keeps what it needs alive. */
struct prg_result *mk_answer_slice(const struct prg_req *req,
                                   const struct mk_run *r, size_t first,
                                   size_t n, struct prg_error **err);

/* Does the statement's effect on the transaction, or gives the error that the
** statement fails with (its own, the rule's, or `aborted`). Fills in `tag`
** (sizeof prg_result.tag). */
struct prg_error *mk_tx_apply(struct mk_conn *m, const struct mk_run *r,
                              char *tag);
/* A statement failed: an open transaction is now a failed one. */
void mk_tx_failed(struct mk_conn *m);

/* ---- log (mk_log.c) ----------------------------------------------------- */

/* Appends "c<number> <what>" and, when given, the request's SQL and
** parameters to the log file; does nothing when the URL names none. */
void mk_log(struct mk_conn *m, const char *what, const struct prg_req *req);
/* As before, with a word or two behind it. */
void mk_log_text(struct mk_conn *m, const char *what, const char *text);

#endif
