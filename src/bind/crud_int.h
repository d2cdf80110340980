/*
** Verbs on tables: from Lua arguments to a statement. Each leaf reads its
** arguments into plain data (conditions, sets, orders) in the operation's arena,
** has the statement built or found, and runs it as any call (lcall.c).
**
** A leaf is called as core.crud.verb(x, h, …): the executor at index 1, at 2 the
** state of a handle (lua/perigee/table.lua), a table of which C reads
**   h[2]  userdata "perigee.table_info": what is known of the table
**   h[3]  nil, or the scope: { column, value, column, value, … }
**   h[4]  nil, or the class of rows
*/
#ifndef PRG_BIND_CRUD_INT_H
#define PRG_BIND_CRUD_INT_H

#include "bind/bind_int.h"

#include "page/cursor.h"
#include "sql/build.h"

/* ---- what is known of a table (ltable.c) --------------------------------- */

/* core.table_info(db, spec) -> userdata. Adds itself to the table on top.
** [-0, +0, m] */
int prg_tinfo_open(lua_State *L);
/* The table of the state at `i` (h[2]). Raises usage. [-0, +0, e] */
const struct prg_table *prg_tinfo_check(lua_State *L, int i);

/* ---- reading arguments --------------------------------------------------- */

/* Where arguments are read to. */
struct prg_reader {
  struct prg_db *db;
  const struct prg_table *table;
  struct prg_arena *arena;
};

/* Raises usage for a column that the table does not have, naming those it has;
** the error object has `unknown = true`. [-0, +0, e] */
int prg_unknown_column(lua_State *L, const struct prg_reader *r,
                       const char *where, const char *name);
/* Raises usage for what is wrong by what is known of the table (types, keys); the
** error object has `outdated = true`: Lua reads that again before it gives up.
** [-0, +0, e] */
int prg_refuse_known(lua_State *L, const char *fmt, ...) PRG_PRINTF(2, 3);
/* The column named by the string at `i`; `where` ("order_by", "columns", …) is
** for the message. Raises usage. [-0, +0, e] */
const struct prg_col *prg_read_column(lua_State *L, const struct prg_reader *r,
                                      int i, const char *where);

/* lcolumn.c: the Lua value at `i` as a value of the column, converted and checked
** by its class; perigee.null gives PRG_NULL. Not for perigee.default and
** fragments. Strings are borrowed as by prg_to_value. Raises usage naming the
** column. [-0, +0, e] */
void prg_column_value(lua_State *L, const struct prg_reader *r, int i,
                      const struct prg_col *col, struct prg_value *out);
/* The same for a member of a column of arrays. [-0, +0, e] */
void prg_column_member(lua_State *L, const struct prg_reader *r, int i,
                       const struct prg_col *col, struct prg_value *out);
/* What a value is for. */
struct prg_target {
  const struct prg_col *col;
  const char *key; /* of a filter, for messages; NULL: they name the column */
  bool member;     /* of an array */
};
/* Both of them. [-0, +0, e] */
void prg_target_value(lua_State *L, const struct prg_reader *r, int i,
                      const struct prg_target *t, struct prg_value *out);

/* lraw.c: perigee.sql(text, …). Adds the constructor to the table on top. */
int prg_raw_open(lua_State *L);
bool prg_is_raw(lua_State *L, int i);
/* The fragment at `i`, scanned (by the handle's cache) and cut. Raises usage for
** several statements or parameters that do not match. [-0, +0, e] */
const struct prg_raw *prg_read_raw(lua_State *L, const struct prg_reader *r,
                                   int i);

/* lfilter.c: adds any_of, all_of and none_of to the table on top. */
int prg_filter_open(lua_State *L);
/* The filter at `i` (nil: NULL), sorted. Values stay where prg_to_value says:
** the filter has to stay on the stack. Raises usage. [-0, +0, e] */
struct prg_cond *prg_read_filter(lua_State *L, const struct prg_reader *r,
                                 int i);
/* Is the value at `i` any_of, all_of or none_of? Needs two free slots. */
bool prg_is_group(lua_State *L, int i);
/* The scope of the handle at `h` as a condition, or NULL. [-0, +0, e] */
struct prg_cond *prg_read_scope(lua_State *L, const struct prg_reader *r,
                                int h);
/* Both are so; either may be NULL. */
struct prg_cond *prg_cond_both(lua_State *L, struct prg_arena *a,
                               struct prg_cond *c, struct prg_cond *d);

/* Is the value at `i` a table whose fields can be those of a record (lrecord.c)?
** Needs two free slots. */
bool prg_is_record(lua_State *L, int i);
/* lrecord.c: a record (or nil: empty) at `i` as sets, in the order of the table's
** columns; *n of them. `is_default` where it has perigee.default. Unknown
** columns, an array part, generated columns: usage. The scope of the handle at
** `h` is added (insert) or must not be contradicted. [-0, +0, e] */
struct prg_set *prg_read_record(lua_State *L, const struct prg_reader *r, int i,
                                int h, size_t *n);
/* The same for an update: the scope must not be contradicted, and is not added. */
struct prg_set *prg_read_values(lua_State *L, const struct prg_reader *r, int i,
                                int h, size_t *n);
/* Are two values of one column the same? Scalars and NULL; lists and what else is
** compared by the database never are. */
bool prg_same_value(const struct prg_value *a, const struct prg_value *b);
/* order_by at `i` (string or list; nil: none). [-0, +0, e] */
struct prg_order *prg_read_order(lua_State *L, const struct prg_reader *r,
                                 int i, size_t *n);
/* The same where names of the statement's own may stand, too, and come first
** (GROUP); orders point into `names`. [-0, +0, e] */
struct prg_names {
  size_t n;
  const struct prg_text *names;
};
struct prg_order *prg_read_order_of(lua_State *L, const struct prg_reader *r,
                                    int i, const struct prg_names *names,
                                    size_t *n);
/* A list of column names at `i`. [-0, +0, e] */
const struct prg_col *const *prg_read_columns(lua_State *L,
                                              const struct prg_reader *r, int i,
                                              const char *where, size_t *n);
/* A limit or offset: a whole number from 0 on; nil gives NULL. [-0, +0, e] */
const struct prg_value *prg_read_count(lua_State *L, const struct prg_reader *r,
                                       int i, const char *what);
/* The primary key (or key) from the value at `i`, as the condition that finds its
** row. A scalar, or a table by name or by position. [-0, +0, e] */
struct prg_cond *prg_read_key(lua_State *L, const struct prg_reader *r, int i,
                              const struct prg_key *key);

/* ---- running (lcrud.c) --------------------------------------------------- */

/* The arguments of a leaf. */
enum { PRG_A_X = 1, PRG_A_TABLE, PRG_A_FIRST, PRG_A_SECOND, PRG_A_THIRD };

/* What an option of a verb is called, and where it was found: a stack index, or
** 0. The list ends with NULL. */
struct prg_option {
  const char *name;
  int at;
};

/* The start of a leaf: the operation, with a reference on the table of the handle
** at 2. [-0, +0, e] */
struct prg_op *prg_crud_begin(lua_State *L, enum prg_verb_kind verb,
                              struct prg_reader *r);
/* Reads the options at `i` (nil: none): those in `own`, whose values are pushed,
** and timeout; rows and class unless the verb is COUNT or EXISTS. Only QUERY may
** have rows = "columns". [-0, +n, e] */
void prg_crud_options(lua_State *L, struct prg_op *op, int i,
                      struct prg_option *own);
/* Finds or builds the statement and runs it. `emit` writes `what`.
** As the value of a lua_CFunction. [-0, +n, e] */
int prg_crud_run(lua_State *L, struct prg_op *op,
                 void (*emit)(struct prg_emit *, const void *),
                 const void *what);
/* The same for a SELECT; one that locks rows is none of a reader's. */
int prg_crud_run_select(lua_State *L, struct prg_op *op,
                        const struct prg_select *s);
/* The same as a batch of `nsets` sets of values, laid out one after the other in
** the arena; `emit` is run with those of the first. Unless the verb is COUNT the
** rows are collected. */
int prg_crud_run_batch(lua_State *L, struct prg_op *op,
                       void (*emit)(struct prg_emit *, const void *),
                       const void *what, const struct prg_value *sets,
                       size_t nsets);
/* LuaJIT: the value of a leaf that is called again, or PRG_PENDING when it is
** not (it has to begin). */
int prg_crud_resumed(lua_State *L, bool *resumed);
/* The condition and the scope of the handle at 2. [-0, +0, e] */
const struct prg_cond *prg_crud_scoped(lua_State *L, const struct prg_reader *r,
                                       struct prg_cond *c);
/* Memory for `n` objects in the arena, zeroed. Raises. [-0, +0, e] */
void *prg_crud_need(lua_State *L, const struct prg_reader *r, size_t n,
                    size_t size);
/* The error of a verb that found no row, or several. No Lua. */
struct prg_error *prg_crud_refusal(const struct prg_op *op, bool none);

/* lpage.c: the answer of a PRG_VERB_PAGE out of op->result and op->page: pushes
** one value, or gives way with PRG_PENDING (prg_call_push_list, bind_int.h) and is
** called again. [-0, +1, e] */
int prg_page_push(lua_State *L, struct prg_op *op);

int prg_crud_open(lua_State *L);    /* lcrud.c: core.crud */
void prg_select_open(lua_State *L); /* lselect.c: adds to the table on top */
int prg_bulk_open(lua_State *L);    /* lbulk.c: core.crud's bulk leaves */
int prg_page_open(lua_State *L);    /* lpage.c: core.crud.page, core.keyring */

#endif
