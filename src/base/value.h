/*
** A value on its way between Lua and a database: a cell of a result or a
** parameter. Plain data, no owner of its own: texts, lists and maps live in
** the memory of whoever made it (a result, an arena, a Lua string) and the
** maker says for how long.
*/
#ifndef PRG_BASE_VALUE_H
#define PRG_BASE_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum prg_type {
  PRG_NULL,
  PRG_BOOL,       /* u.b */
  PRG_INT,        /* u.i */
  PRG_DOUBLE,     /* u.d */
  PRG_TEXT,       /* u.s */
  PRG_BYTES,      /* u.s; parameters: sent as binary data */
  PRG_DECIMAL,    /* u.s: exact decimal text, or NaN, Infinity, -Infinity */
  PRG_JSON,       /* u.s: a JSON document as text */
  PRG_LIST,       /* u.list: an array (nested lists for more dimensions) */
  PRG_RECORD,     /* u.map: composite; keys in attribute order, NULL names for
                  an anonymous record */
  PRG_RANGE,      /* u.range */
  PRG_MULTIRANGE, /* u.list of ranges */
  PRG_HSTORE      /* u.map: text to text or NULL */
};

struct prg_text {
  const char *p;
  size_t n;
};

struct prg_value {
  enum prg_type type;
  bool wide; /* PRG_INT of a result: from a 64-bit column (int8, SQLite
                INTEGER). Whoever sets PRG_INT sets it, to false otherwise; Lua
                without integers gives all values of such a column one type */
  union {
    bool b;
    int64_t i;
    double d;
    struct prg_text s;
    struct prg_vlist *list;
    struct prg_vmap *map;
    struct prg_vrange *range;
  } u;
};

/* An array. Only the outermost list of a multi-dimensional array has bounds. */
struct prg_vlist {
  size_t n;
  struct prg_value *items;
  int ndim;             /* results: dimensions, 0 for the empty array */
  const int32_t *lower; /* ndim lower bounds, or NULL when all are 1 */
};

struct prg_vmap {
  size_t n;
  struct prg_text *keys; /* NULL: values are by position */
  struct prg_value *values;
};

struct prg_vrange {
  bool empty;
  bool lower_inc, upper_inc;     /* '[' and ']' */
  struct prg_value lower, upper; /* PRG_NULL: unbounded */
};

#endif
