/*
** Error objects. One kind for one mistake on every database (the table of
** kinds is docs/guide/errors.md). Reference counted; not thread safe: a
** worker hands its error over with its job. Making one never fails: without
** memory prg_error_new() gives a static object that says so.
*/
#ifndef PRG_BASE_ERROR_H
#define PRG_BASE_ERROR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

/* Order is that of the names in error.c. */
enum prg_kind {
  PRG_K_DATABASE, /* an error of the database with no kind of its own */
  PRG_K_UNIQUE,
  PRG_K_FOREIGN_KEY,
  PRG_K_NOT_NULL,
  PRG_K_CHECK,
  PRG_K_EXCLUSION,
  PRG_K_DATA,
  PRG_K_SERIALIZATION, /* retryable */
  PRG_K_DEADLOCK,      /* retryable */
  PRG_K_LOCKED,        /* retryable */
  PRG_K_TIMEOUT,
  PRG_K_CANCELLED,
  PRG_K_CLOSED,
  PRG_K_CONNECT,
  PRG_K_AUTH,
  PRG_K_SYNTAX,
  PRG_K_UNDEFINED,
  PRG_K_DUPLICATE,
  PRG_K_PERMISSION,
  PRG_K_UNSUPPORTED,
  PRG_K_ABORTED,
  PRG_K_RESOURCE,
  PRG_K_USAGE,
  PRG_K_NOT_FOUND,
  PRG_K_NOT_UNIQUE,
  PRG_K_CURSOR,
  PRG_K_MIGRATION,
  PRG_K_COUNT_
};

/* Texts of an error; each may be NULL. */
enum prg_error_field {
  PRG_EF_MESSAGE,
  PRG_EF_DETAIL,
  PRG_EF_HINT,
  PRG_EF_CONSTRAINT,
  PRG_EF_SCHEMA,
  PRG_EF_TABLE,
  PRG_EF_COLUMN,
  PRG_EF_SQL,
  PRG_EF_COUNT_
};

struct prg_error {
  int refs;
  enum prg_kind kind;
  bool retryable; /* set from the kind by prg_error_new; may be changed */
  bool sent;      /* something may have reached the server */
  int code;       /* native code (SQLite extended code, MySQL errno); 0 none */
  int position;   /* 1-based character of the SQL text; 0 none */
  int64_t record; /* of a list or COPY, from 1: which one it is about; 0 none */
  char sqlstate[6];           /* "" when the database has none */
  char *field[PRG_EF_COUNT_]; /* owned */
  struct prg_error *cause;    /* owned reference, or NULL */
};

/* A new error with one reference and a formatted message. */
struct prg_error *prg_error_new(enum prg_kind kind, const char *fmt, ...)
    PRG_PRINTF(2, 3);
/* "out of memory" (PRG_K_RESOURCE); static, costs nothing. */
struct prg_error *prg_error_oom(void);
/* Copies `text` into a field (NULL clears it). Does nothing on the static
** object or when memory is short. Returns `e`. */
struct prg_error *prg_error_set(struct prg_error *e, enum prg_error_field f,
                                const char *text);
struct prg_error *prg_error_ref(struct prg_error *e);
/* NULL is fine. */
void prg_error_unref(struct prg_error *e);
const char *prg_error_message(const struct prg_error *e);
/* "unique", "foreign_key", ...; the name users see. */
const char *prg_kind_name(enum prg_kind kind);
bool prg_kind_retryable(enum prg_kind kind);

#endif
