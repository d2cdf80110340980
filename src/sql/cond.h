/*
** Conditions: what a filter, a scope, a search and the place of a page come to.
** A tree of plain data in somebody's arena; values in it are parameters, never
** SQL. Columns point into a prg_table that outlives the tree.
**
** A condition is true or not: NULL counts as not true, and a negation is the
** exact complement (`ne 1` has the rows where the column is NULL, as `eq 1` has
** them not). The builder writes it so that this holds on each database.
*/
#ifndef PRG_SQL_COND_H
#define PRG_SQL_COND_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/value.h"
#include "sql/scan.h"
#include "sql/table.h"

/* SQL of the user's own, cut at its parameters:
** text[0] value[0] text[1] value[1] … text[n]. The order of values is that of
** the text; `?`, `$1` and `:name` are gone. */
struct prg_raw {
  size_t n;                       /* parameters */
  const struct prg_text *text;    /* n + 1 */
  const struct prg_value *values; /* n */
};

/* The right side of a comparison, or what a column is set to. */
struct prg_operand {
  const struct prg_raw *raw; /* or NULL: the value */
  struct prg_value value;
};

enum prg_cmp { PRG_EQ, PRG_NE, PRG_GT, PRG_GE, PRG_LT, PRG_LE };

enum prg_match {
  PRG_LIKE,      /* pattern with % and _, \ escapes; case counts */
  PRG_ILIKE,     /* case does not count */
  PRG_PREFIX,    /* begins with this text; case counts */
  PRG_CONTAINS,  /* has this text in it; case counts */
  PRG_ICONTAINS, /* the same and case does not count: search */
  PRG_HAS_JSON,  /* JSON containment: PRG_JSON value */
  PRG_HAS_ITEMS  /* an array has all these members, a range this element: the
                    database's own @> */
};

enum prg_cond_kind {
  PRG_COND_AND, /* of its parts; none: true */
  PRG_COND_OR,  /* none: false */
  PRG_COND_NOR, /* none of its parts is true; no parts: true */
  PRG_COND_CMP,
  PRG_COND_IN, /* a value of the list, which has no NULL in it (that is an OR
                  with NULL); an empty list is an OR without parts */
  PRG_COND_NULL,
  PRG_COND_BETWEEN, /* a ≤ column ≤ b */
  PRG_COND_MATCH,
  PRG_COND_ROW, /* (c1, c2, …) cmp (v1, v2, …) as SQL compares rows; GT, GE, LT
                   or LE, columns that are NOT NULL */
  PRG_COND_RAW
};

struct prg_cond {
  enum prg_cond_kind kind;
  struct prg_cond *next;     /* the next part of the same AND, OR, NOR */
  struct prg_cond *last;     /* AND, OR, NOR: of its parts, for prg_cond_add */
  const struct prg_col *col; /* CMP, IN, NULL, BETWEEN, MATCH */
  union {
    struct prg_cond *parts; /* AND, OR, NOR: the first, or NULL */
    struct {
      enum prg_cmp op;
      struct prg_operand to; /* its value is never PRG_NULL */
    } cmp;
    struct {
      bool negated;
      const struct prg_vlist *list;
    } in;
    bool is_not_null; /* NULL: IS NOT NULL */
    struct {
      struct prg_operand low, high;
    } between;
    struct {
      enum prg_match how;
      struct prg_value value;
    } match;
    struct {
      enum prg_cmp op;
      size_t n;
      const struct prg_col *const *cols;
      const struct prg_value *values;
    } row;
    const struct prg_raw *raw;
  } u;
};

/* A zeroed condition in the arena, or NULL. */
struct prg_cond *prg_cond_new(struct prg_arena *a, enum prg_cond_kind kind);
/* Adds a part at the end of an AND, OR or NOR. */
void prg_cond_add(struct prg_cond *group, struct prg_cond *part);
/* Is it an AND without parts, or of such: no restriction at all? NULL is. */
bool prg_cond_is_all(const struct prg_cond *c);
/* Sorts the parts of groups that came from a table (whose order is chance) by
** column, operator and kind, so that one filter gives one statement. Raw parts
** and groups keep their order, behind. */
void prg_cond_sort(struct prg_cond *group);

/* Cuts a fragment at its parameters. `values` (scan->nvalues of them, in the
** user's order) are copied by prg_scan's order; the texts are copied into `a`.
** `scan` is of this dialect. NULL: no memory. */
struct prg_raw *prg_raw_new(struct prg_arena *a, const struct prg_scan *scan,
                            const struct prg_value *values);

#endif
