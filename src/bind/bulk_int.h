/*
** Bulk verbs: a list of records, read once into plain data, and the statements
** that write it. lbulk_read.c reads (with lbulk_value.c), lbulk_step.c makes
** the statements, lbulk.c has the functions for Lua.
*/
#ifndef PRG_BIND_BULK_INT_H
#define PRG_BIND_BULK_INT_H

#include "bind/crud_int.h"

#define PRG_BULK_BUCKETS 256

enum prg_bulk_mode {
  PRG_BULK_INSERT,
  PRG_BULK_UPSERT,
  PRG_BULK_UPDATE,
  PRG_BULK_DELETE
};

/* How the records of a group are written. */
enum prg_bulk_form {
  PRG_BULK_LISTS,  /* one statement, one list per column */
  PRG_BULK_VALUES, /* statements of many rows of parameters */
  PRG_BULK_BATCH,  /* one statement, sent once with all sets of parameters */
  PRG_BULK_SINGLE  /* a statement for each record */
};

/* Records that name the same columns, in the order of the input. */
struct prg_bulk_group {
  struct prg_bulk_group *next; /* in the order of their first records */
  struct prg_bulk_group *same; /* in the same bucket */
  const uint64_t *given;       /* the set of columns */
  enum prg_bulk_form form;
  bool fresh; /* UPSERT: the key is left to the database; a plain insert */
  size_t ncols;
  const struct prg_col *
      *cols; /* UPDATE: the key is first for LISTS, else last */
  size_t n, cap;
  struct prg_value *rows;           /* not LISTS: row by row */
  struct prg_vlist *lists;          /* LISTS: one per column */
  const struct prg_vlist **list_of; /* their addresses */
  const struct prg_raw **raws; /* the one record of the group has fragments:
                                  ncols, NULL where there is a value */
  size_t *places;              /* in the input, from 0 */
  size_t per_step;             /* records in a statement */
  size_t first_step;           /* of all statements, from 0 */
};

/* Userdata "perigee.bulk". */
struct prg_bulk {
  enum prg_bulk_mode mode;
  const struct prg_dialect *dialect;
  bool collects;                 /* a batch can give rows */
  const struct prg_table *table; /* a reference; NULL: freed */
  const struct prg_key *key;     /* not INSERT */
  struct prg_returning returning;
  bool apart;     /* no statement gives the rows that it writes: those of an
                     insert are read by their keys */
  bool set_given; /* UPSERT: `sets` are what an existing row gets, else all */
  size_t nsets;
  const struct prg_col *const *sets;
  size_t nscope;
  const struct prg_col **scope_cols;
  struct prg_value *scope_values; /* borrowed from the handle */
  size_t n;                       /* records */
  size_t ngroups, nsteps;
  struct prg_bulk_group *first, *last;
  struct prg_bulk_group *buckets[PRG_BULK_BUCKETS];
  struct prg_arena arena;
};

/* Stands among a group's `raws` for DEFAULT. */
extern const struct prg_raw prg_bulk_default;

/* lbulk_read.c: reads the list at `i` for the handle at 2. Raises usage, with the
** number of the record before the message. [-0, +0, e] */
void prg_bulk_read(lua_State *L, struct prg_bulk *b, struct prg_db *db, int i);

/* One step: the rows of a group from `from` on. */
struct prg_bulk_step {
  struct prg_bulk *b;
  const struct prg_bulk_group *g;
  size_t from, n;
  struct prg_arena *arena;     /* of the operation */
  const struct prg_cond *only; /* the scope, or NULL */
  union {
    struct prg_insert insert;
    struct prg_insert_many insert_many;
    struct prg_update update;
    struct prg_update_many update_many;
    struct prg_delete delete;
  } u;
};

/* lbulk_step.c: runs the step; its rows are in the order of its records, and the
** result is the count when none are wanted. As the value of a lua_CFunction.
** [-0, +n, e] */
int prg_bulk_run(lua_State *L, struct prg_op *op, struct prg_bulk_step *s);
/* Asks which of the step's keys have no row: rows with their numbers in the step
** (where the dialect has UNNEST), or for each key whether it has one. The same.
** [-0, +n, e] */
int prg_bulk_probe(lua_State *L, struct prg_op *op, struct prg_bulk_step *s);
/* prg_bulk.apart: reads the rows that the step has inserted, in the order of its
** records. `made`: the column that the database has made keys of (or NULL), by
** `increment` from `first` on. The same. [-0, +n, e] */
struct prg_bulk_made {
  const struct prg_col *col;
  int64_t first, increment;
};
int prg_bulk_fetch(lua_State *L, struct prg_op *op, struct prg_bulk_step *s,
                   const struct prg_bulk_made *made);
/* What the step's statement returns: a plain insert need not tell whether it has
** inserted. */
struct prg_returning prg_bulk_returning(const struct prg_bulk_step *s);

/* lbulk_value.c: the same for what prg_same_value takes as the same. */
uint64_t prg_bulk_hash(const struct prg_value *v);
/* Writes the value for a message, cut at `size` (at least 1), which has room for
** the zero byte; its length. */
size_t prg_bulk_print(const struct prg_value *v, char *out, size_t size);

static inline const struct prg_value *prg_bulk_cell(
    const struct prg_bulk_group *g, size_t row, size_t col) {
  return g->form == PRG_BULK_LISTS ? &g->lists[col].items[row]
                                   : &g->rows[row * g->ncols + col];
}

/* A number in a column of just that. */
static inline bool prg_read_plain_number(lua_State *L, const struct prg_col *c,
                                         struct prg_value *out) {
  const double exact = 9007199254740992.0;
  double d;
  if (c->cls == PRG_CLASS_INT) {
#if PRG_INT64
    int whole;
    int64_t i = lua_tointegerx(L, -1, &whole);
    if (!whole) return false;
#else
    int64_t i;
    d = lua_tonumber(L, -1);
    if (!(d > -exact && d < exact)) return false;
    i = (int64_t)d;
    if ((double)i != d) return false;
#endif
    if (c->bits > 0 && c->bits < 64 && (i >> (c->bits - 1)) != 0 &&
        (i >> (c->bits - 1)) != -1)
      return false;
    *out = (struct prg_value){.type = PRG_INT};
    out->u.i = i;
    return true;
  }
  if (c->cls != PRG_CLASS_FLOAT) return false;
  d = lua_tonumber(L, -1);
  *out = (struct prg_value){.type = PRG_DOUBLE};
  out->u.d = d;
  return d > -exact && d < exact;
}

/* The value on top as prg_column_value reads it, when it is as most are: a text or a
** number in a column of just that. False: that has to look at it. */
static inline bool prg_read_plain(lua_State *L, int type,
                                  const struct prg_col *c,
                                  struct prg_value *out) {
  if (type == LUA_TSTRING && c->cls == PRG_CLASS_TEXT) {
    *out = (struct prg_value){.type = PRG_TEXT};
    out->u.s.p = lua_tolstring(L, -1, &out->u.s.n);
    return true;
  }
  return type == LUA_TNUMBER && prg_read_plain_number(L, c, out);
}

/* The group with number `k` (from 1) of the plan at `i`. Raises usage. [-0, +0, e] */
const struct prg_bulk_group *prg_bulk_group(lua_State *L, int i, int k);

#endif
