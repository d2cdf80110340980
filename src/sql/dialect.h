/*
** Dialects as data: what the SQL of one database looks like. A dialect is
** constant and has no state; everything in src/sql takes one as its first
** argument.
*/
#ifndef PRG_SQL_DIALECT_H
#define PRG_SQL_DIALECT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/status.h"

/* What the text of a dialect may contain. */
enum prg_lex {
  PRG_LEX_DOLLAR_QUOTE = 1 << 0,   /* $$ … $$ and $tag$ … $tag$ */
  PRG_LEX_E_STRING = 1 << 1,       /* E'…' has backslash escapes */
  PRG_LEX_BACKSLASH = 1 << 2,      /* '…' and "…" have them too */
  PRG_LEX_HASH_COMMENT = 1 << 3,   /* # to the end of the line */
  PRG_LEX_NESTED_COMMENT = 1 << 4, /* slash-star comments nest */
  PRG_LEX_BACKTICK = 1 << 5,       /* `name` */
  PRG_LEX_BRACKET = 1 << 6,        /* [name] */
  PRG_LEX_DQUOTE_STRING = 1 << 7,  /* "…" is a string */
  PRG_LEX_DASH_BLANK = 1 << 8,     /* -- is a comment only before a blank */
  PRG_LEX_CODE_COMMENT = 1 << 9,   /* slash-star-! comments are executed */
  PRG_LEX_AT_VAR = 1 << 10,        /* @name is a variable of the session */
  PRG_LEX_JSON_QMARK = 1 << 11,    /* ? ?| ?& @? are operators */
  PRG_LEX_NATIVE_PARAM = 1 << 12,  /* @name, $name and :1 would be parameters of
                                     the database's own: refused */
  PRG_LEX_ATOMIC = 1 << 13 /* a body in CREATE FUNCTION begins with BEGIN
                                     ATOMIC, not with BEGIN alone */
};

/* How parameters are written in the text that is sent. */
enum prg_param_style {
  PRG_PARAM_DOLLAR,   /* $1 */
  PRG_PARAM_NUMBERED, /* ?1; ? when the text has them by position */
  PRG_PARAM_QUESTION  /* ?, by position only */
};

enum prg_isolation {
  PRG_ISO_READ_COMMITTED = 1 << 0,
  PRG_ISO_REPEATABLE_READ = 1 << 1,
  PRG_ISO_SERIALIZABLE = 1 << 2
};

/* What the first words of a statement say about it (see scan.h). */
struct prg_verb {
  const char *first;  /* upper case */
  const char *second; /* NULL: any; of several rows the first that fits wins */
  unsigned flags;     /* enum prg_scan_flag */
};

/* What a PRAGMA does; one that is not listed reads when it has no argument and
** changes the session when it has one. */
struct prg_pragma {
  const char *name;  /* upper case */
  unsigned bare;     /* flags without an argument */
  unsigned argument; /* flags with one: name = value, name(value) */
};

/* What the statement builder has to know (build.h), besides the texts in the
** dialect. */
enum prg_build {
  PRG_BUILD_UNNEST = 1 << 0,  /* unnest() of one list per column */
  PRG_BUILD_ANY = 1 << 1,     /* = ANY (list), and <> ALL (list) */
  PRG_BUILD_LIST = 1 << 2,    /* IN (SELECT value FROM perigee_list(list)) */
  PRG_BUILD_DEFAULT = 1 << 3, /* DEFAULT in VALUES and SET */
  PRG_BUILD_RETURNING = 1 << 4,
  PRG_BUILD_ON_CONFLICT = 1 << 5,  /* ON CONFLICT (key) DO … */
  PRG_BUILD_ON_DUPLICATE = 1 << 6, /* ON DUPLICATE KEY UPDATE */
  PRG_BUILD_XMAX = 1 << 7,         /* (xmax = 0) tells an inserted row */
  PRG_BUILD_NULLS = 1 << 8,        /* NULLS FIRST and NULLS LAST */
  PRG_BUILD_NULLS_LARGE = 1 << 9,  /* NULL is the largest value by itself */
  PRG_BUILD_LOCK = 1 << 10, /* FOR UPDATE, FOR SHARE, SKIP LOCKED, NOWAIT */
  PRG_BUILD_GLOB = 1 << 11, /* exact patterns are those of GLOB */
  PRG_BUILD_HAS = 1 << 12,  /* @> for arrays and ranges */
  PRG_BUILD_LIMIT_ALL = 1 << 13, /* OFFSET needs a LIMIT before it */
  PRG_BUILD_BARE_CLASH =
      1 << 14,               /* a bare column in what ON CONFLICT sets could
                                     also be the new row's: refused */
  PRG_BUILD_TYPES = 1 << 15, /* columns have types with operators of their own:
                               a pattern wants a text */
  PRG_BUILD_UPDATE_PLAIN = 1 << 16, /* RETURNING, but not of UPDATE */
  PRG_BUILD_STEPS =
      1 << 17, /* its clause for a conflict fires on any key: refused
                                as unsupported, but with prg_returning.mark,
                                which says on which */
  PRG_BUILD_JSON_TABLE =
      1 << 18, /* IN (SELECT v FROM JSON_TABLE(document, …)) */
  PRG_BUILD_IN_TURN =
      1 << 20, /* what UPDATE sets is seen by what is set after it */
  PRG_BUILD_ROW_APART =
      1 << 19, /* a comparison of rows is written out: no index
                                    is entered by one */
  /* values of columns (read by bind/) */
  PRG_BUILD_UTC = 1 << 23,       /* no zones: a time that has one is written in
                                   UTC, without it */
  PRG_BUILD_CANON = 1 << 24,     /* dates, times and UUIDs are texts to it: each
                                   is written in one form only */
  PRG_BUILD_NO_NAN = 1 << 25,    /* no NaN: it would become NULL */
  PRG_BUILD_DECIMAL15 = 1 << 26, /* decimals are doubles */
  PRG_BUILD_ROWID = 1 << 27 /* in a comparison of rows an integer key finds its
                               place behind an index only against a value with a
                               collation (SQLite 3.40, whose planner asks for
                               one; it means nothing for integers) */
};

/* How a comparison is written around its column and its value. */
struct prg_infix {
  const char *before, *between, *after;
};

struct prg_tx_options {
  const char *isolation; /* "read_committed", "repeatable_read",
                            "serializable", or NULL: the database's default */
  bool readonly;
  bool deferrable;
};

struct prg_dialect {
  const char *name;
  unsigned lex;     /* enum prg_lex */
  char ident_quote; /* doubled inside a quoted name */
  enum prg_param_style param;
  int max_params;           /* of one statement; 0: no limit known here */
  size_t max_ident;         /* longest name in bytes; 0: no limit. The server
                               would cut a longer one silently */
  const char *temp_schema;  /* upper case; a table in it is temporary;
                               NULL: none */
  const char *const *touch; /* functions that leave something behind in the
                               session; upper case, ends with NULL */
  const struct prg_verb *verbs; /* ends with first == NULL. What is not in it
                                   is PRG_SCAN_UTILITY */
  const struct prg_pragma *pragmas; /* ends with name == NULL; NULL: the
                                       dialect has no PRAGMA */
  unsigned isolation;               /* levels that exist; enum prg_isolation */
  bool readonly, deferrable;        /* options of BEGIN that exist */
  unsigned build;                   /* enum prg_build */
  size_t few; /* IN lists up to this long are written out, longer ones go as one
                 list; 0: with PRG_BUILD_ANY all as one list */
  const char *share;          /* LOCK: " FOR SHARE" */
  const char *limit_all;      /* LIMIT_ALL: what stands for no limit ("-1") */
  struct prg_infix differs;   /* not the same; NULL is the same as NULL */
  struct prg_infix like;      /* case counts; see PRG_BUILD_GLOB */
  struct prg_infix ilike;     /* case does not count; \ escapes */
  struct prg_infix has_json;  /* the document has this part in it */
  struct prg_infix has_jsonb; /* the same on prg_col.jsonb */
  /* Appends the statement that begins a transaction; the options are checked
  ** and `level` is the isolation level (0: not given). */
  void (*begin)(unsigned level, const struct prg_tx_options *o,
                struct prg_buf *out);
};

extern const struct prg_dialect prg_dialect_postgres;
extern const struct prg_dialect prg_dialect_sqlite;
extern const struct prg_dialect prg_dialect_mysql;
extern const struct prg_dialect prg_dialect_mariadb;

/* "postgres", "sqlite", "mysql" (a driver's `dialect`), "mariadb"; NULL when
** unknown. */
const struct prg_dialect *prg_dialect_find(const char *name);

/* Appends the statement that begins a transaction with these options (`o` may
** be NULL). On MySQL it is two statements when a level is given, because the
** level is not part of START TRANSACTION there. PRG_ERR and *err: kind usage
** for an option or level that the database lacks, naming the option, its value
** and what is allowed; kind resource without memory. Nothing is appended then.
** SQLite: IMMEDIATE unless readonly, so that a transaction that reads first
** cannot fail when it comes to write. */
int prg_dialect_begin(const struct prg_dialect *d,
                      const struct prg_tx_options *o, struct prg_buf *out,
                      struct prg_error **err) PRG_MUSTCHECK;

#endif
