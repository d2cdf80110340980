/*
** The placeholder scanner: finds the parameters in a user's SQL, writes them
** in the form that the database takes, and says what kind of statement it is.
** One pass, linear time, no knowledge of the schema. The rules are in
** docs/internals/sql.md.
*/
#ifndef PRG_SQL_SCAN_H
#define PRG_SQL_SCAN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/status.h"
#include "sql/dialect.h"

/* Same meaning and same values as enum prg_stmt_flag in driver/driver.h, which
** this folder may not include; bind/ asserts that they are equal. */
enum prg_scan_flag {
  PRG_SCAN_READ = 1 << 0,    /* by its first keyword it only reads */
  PRG_SCAN_CONTROL = 1 << 1, /* begins, ends or marks a transaction */
  PRG_SCAN_SESSION = 1 << 2, /* changes the session: SET, LISTEN, … */
  PRG_SCAN_TOUCH = 1 << 3,   /* names set_config, an advisory lock, … */
  PRG_SCAN_COPY = 1 << 4,    /* COPY … FROM STDIN / TO STDOUT */
  PRG_SCAN_MULTI = 1 << 5,   /* more than one statement */
  PRG_SCAN_EMPTY = 1 << 6,   /* nothing but blanks, comments and semicolons */
  PRG_SCAN_CURSOR = 1 << 7,  /* can be declared as a cursor */
  PRG_SCAN_UTILITY = 1 << 8, /* not worth or not fit for a named statement */
  PRG_SCAN_VALUES = 1 << 9,  /* INSERT … VALUES without any SELECT */
  PRG_SCAN_COMMITS = 1 << 10 /* commits the transaction that it is in */
};

/* How the user wrote the parameters. */
enum prg_style {
  PRG_STYLE_NONE,     /* there are none */
  PRG_STYLE_QUESTION, /* ? */
  PRG_STYLE_DOLLAR,   /* $1 */
  PRG_STYLE_NAMED     /* :name */
};

/* Where a parameter stands in prg_scan.sql. */
struct prg_place {
  size_t at, len; /* of "?", "?2", "$2" */
  size_t value;   /* the index (from 0) of the user's value */
};

struct prg_scan {
  char *sql; /* owned; the text to send, with a zero byte after it */
  size_t len;
  enum prg_style style;
  unsigned flags;   /* enum prg_scan_flag. Of several statements: READ when all
                       read; CONTROL, SESSION, TOUCH, COPY when any does */
  bool unbalanced;  /* a parenthesis without its other half */
  bool locking;     /* FOR UPDATE, FOR SHARE, …: no cursor WITH HOLD */
  char keyword[24]; /* first keyword in upper case; "" when there is none */
  int nvalues;      /* values that the user has to give: the number of ?, the
                       highest $n, the number of distinct names */
  int nparams;      /* parameters of `sql` */
  int *order;       /* owned; nparams of them: the index (from 0) of the user's
                       value that is sent as this parameter. NULL when none */
  int nplaces;      /* parameters as they stand in the text: one that is written
                       twice counts twice, also where nparams counts it once */
  struct prg_place *places; /* owned; nplaces, in the order of the text */
  char **names; /* owned; nvalues names in order of appearance, without the
                       colon; NULL unless style is NAMED */
};

/* Scans `len` bytes at `sql` (nothing of it is kept). PRG_OK fills in `out`,
** for prg_scan_fini. PRG_ERR sets *err and leaves `out` empty:
**  usage: zero byte, not UTF-8, mixed styles, a gap in $n, too many parameters,
**    a parameter syntax of the database's own
**  syntax, with `position`: a literal, name or comment without an end
**  resource: no memory */
int prg_scan(const struct prg_dialect *d, const char *sql, size_t len,
             struct prg_scan *out, struct prg_error **err) PRG_MUSTCHECK;
/* Frees what it owns. An empty (zeroed) one is fine. */
void prg_scan_fini(struct prg_scan *s);

/* "?", "$n", ":name", "none"; for messages. */
const char *prg_style_name(enum prg_style style);

#endif
