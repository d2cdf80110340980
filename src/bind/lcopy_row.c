/*
** Rows of a COPY: each is read into one cell per column, which the driver writes
** into the frame. Between two rows nothing is kept but the frame.
*/
#include "bind/copy_int.h"
#include "bind/lvalue.h"

#include <math.h>

#include "base/mem.h"

/* ---- columns ------------------------------------------------------------ */

static void add_names(luaL_Buffer *b, const struct prg_copier *s) {
  size_t i;
  for (i = 0; i < s->ncols; i++) {
    if (i > 0) luaL_addstring(b, ", ");
    luaL_addlstring(b, s->cols[i]->quoted.p, s->cols[i]->quoted.n);
  }
}

static void check_columns(lua_State *L, struct prg_copier *s) {
  size_t i, k;
  if (s->ncols == 0) prg_usage(L, "copy_in: there are no columns");
  for (i = 0; i < s->ncols; i++) {
    if (s->cols[i]->generated)
      prg_usage(L, "%s: the database computes this column, it cannot be set",
                s->cols[i]->name.p);
    for (k = 0; k < i; k++)
      if (s->cols[k] == s->cols[i])
        prg_usage(L, "columns: %s is there twice", s->cols[i]->name.p);
  }
}

static void add_select(luaL_Buffer *b, const struct prg_copier *s) {
  luaL_addstring(b, "SELECT ");
  add_names(b, s);
  luaL_addstring(b, " FROM ");
  luaL_addlstring(b, s->table->quoted.p, s->table->quoted.n);
}

/* Statements for the columns: the COPY and what describes them. */
static void push_statements(lua_State *L, const struct prg_copier *s) {
  const struct prg_table *t = s->table;
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  luaL_addstring(&b, "COPY ");
  luaL_addlstring(&b, t->quoted.p, t->quoted.n);
  luaL_addstring(&b, " (");
  add_names(&b, s);
  luaL_addstring(&b, ") FROM STDIN");
  luaL_pushresult(&b);
  luaL_buffinit(L, &b);
  add_select(&b, s);
  luaL_pushresult(&b);
}

int prg_copy_select(lua_State *L) {
  struct prg_exec *x;
  struct prg_copier s;
  struct prg_reader r;
  struct prg_scratch *scratch;
  luaL_Buffer b;
  size_t k;
  const struct prg_col **all;
  memset(&s, 0, sizeof s);
  lua_settop(L, 3);
  r.db = prg_exec_resolve(L, &x);
  r.table = s.table = prg_tinfo_check(L, 2);
  scratch = prg_scratch_push(L);
  r.arena = &scratch->arena;
  if (lua_isnil(L, 3)) {
    s.ncols = (size_t)s.table->ncols;
    all = prg_arena_need(L, r.arena, s.ncols, sizeof *all);
    for (k = 0; k < s.ncols; k++) all[k] = &s.table->cols[k];
    s.cols = all;
  } else {
    s.cols = prg_read_columns(L, &r, 3, "columns", &s.ncols);
  }
  if (s.ncols == 0) return prg_usage(L, "columns: there are none");
  luaL_buffinit(L, &b);
  add_select(&b, &s);
  luaL_pushresult(&b);
  prg_scratch_fini(scratch);
  return 1;
}

void prg_copy_columns(lua_State *L, struct prg_copier *s, int i) {
  const struct prg_reader r = {s->is.db, s->table, &s->arena};
  size_t n = 16;
  if (s->cols == NULL)
    s->cols = prg_read_columns(L, &r, i, "columns", &s->ncols);
  check_columns(L, s);
  while (n < 4 * s->ncols) n *= 2;
  s->names = prg_arena_need(L, &s->arena, n, sizeof *s->names);
  memset(s->names, 0, n * sizeof *s->names);
  s->names_mask = n - 1;
  s->order = prg_arena_need(L, &s->arena, s->ncols, sizeof *s->order);
  memset(s->order, 0, s->ncols * sizeof *s->order);
  s->cells = prg_arena_need(L, &s->arena, s->ncols, sizeof *s->cells);
  memset(s->cells, 0, s->ncols * sizeof *s->cells);
  push_statements(L, s);
}

/* ---- one row ------------------------------------------------------------ */

static size_t refuse_name(lua_State *L, const struct prg_copier *s,
                          const char *name, size_t n) {
  const struct prg_reader r = {s->is.db, s->table, (struct prg_arena *)&s->row};
  if (prg_table_col(s->table, name, n) == NULL)
    prg_unknown_column(L, &r, "record", name);
  prg_usage(L,
            s->explicit_cols
                ? "%s is not among the columns that are copied"
                : "%s: the first record has no such column; name all that are "
                  "to be copied: columns = { … }",
            name);
  return 0;
}

/* Keeps the string at `i`, so that no other one can have its address. */
static void keep_name(lua_State *L, size_t k, int i) {
  lua_pushvalue(L, i);
  lua_getiuservalue(L, 1, 1);
  lua_rawgeti(L, -1, 4);
  lua_pushvalue(L, -3);
  lua_rawseti(L, -2, (int)k + 1);
  lua_pop(L, 3);
}

/* The place of the column that the value at `i` names, which was not found by its
** address. */
static size_t name_column(lua_State *L, struct prg_copier *s, int i) {
  const void *p = lua_topointer(L, i);
  struct prg_copy_name *name =
      &s->names[((uintptr_t)p >> 4 ^ (uintptr_t)p >> 12) & s->names_mask];
  size_t n, k;
  const char *text;
  i = lua_absindex(L, i);
  if (lua_type(L, i) != LUA_TSTRING)
    prg_usage(L,
              "a record is a table of columns by name; this one has a key of "
              "type %s%s",
              luaL_typename(L, i),
              s->explicit_cols ? "" : " (lists want columns = { … })");
  text = lua_tolstring(L, i, &n);
  for (k = 0; k < s->ncols; k++) {
    const struct prg_text *t = &s->cols[k]->name;
    if (t->n == n && memcmp(t->p, text, n) == 0) break;
  }
  if (k == s->ncols) return refuse_name(L, s, text, n);
  for (n = 0; n <= s->names_mask;
       n++) /* its older address is free for others */
    if (s->names[n].p != NULL && s->names[n].col == k) s->names[n].p = NULL;
  for (n = 0; n < s->ncols; n++)
    if (s->order[n].col == k) s->order[n].p = NULL;
  keep_name(L, k, i);
  name->p = p;
  name->col = k;
  return k;
}

/* The place of the column that the key at -2 names, the `nth` of its record. */
static inline size_t find_column(lua_State *L, struct prg_copier *s,
                                 size_t nth) {
  const void *p = lua_topointer(L, -2);
  struct prg_copy_name *next = &s->order[nth < s->ncols ? nth : 0];
  const struct prg_copy_name *name;
  if (next->p == p && p != NULL) return next->col;
  name = &s->names[((uintptr_t)p >> 4 ^ (uintptr_t)p >> 12) & s->names_mask];
  if (name->p != p || p == NULL) (void)name_column(L, s, -2);
  next->p = p;
  next->col = name->col;
  return name->col;
}

/* The value on top, for the column. */
static inline void read_value(lua_State *L, struct prg_copier *s, size_t k) {
  const struct prg_col *c = s->cols[k];
  if (!prg_read_plain(L, lua_type(L, -1), c, &s->cells[k])) {
    const struct prg_reader r = {s->is.db, s->table, &s->row};
    prg_column_value(L, &r, lua_gettop(L), c, &s->cells[k]);
  }
}

static void read_record(lua_State *L, struct prg_copier *s, int t) {
  size_t nth;
  lua_pushnil(L);
  for (nth = 0; lua_next(L, t) != 0; nth++) {
    read_value(L, s, find_column(L, s, nth));
    lua_settop(L, t + 1);
  }
}

static void read_list(lua_State *L, struct prg_copier *s, int t) {
  size_t k;
  if (lua_rawlen(L, t) > s->ncols)
    prg_usage(L, "the row has %d values, and there are %d columns",
              (int)lua_rawlen(L, t), (int)s->ncols);
  for (k = 0; k < s->ncols; k++) {
    lua_rawgeti(L, t, (int)k + 1);
    if (!lua_isnil(L, -1)) read_value(L, s, k);
    lua_settop(L, t);
  }
}

/* Gives the cells to the driver. */
static void write_row(lua_State *L, struct prg_copier *s,
                      const struct prg_value *cells) {
  struct prg_error *e = NULL;
  s->nrows++;
  if (s->is.db->driver->copy_row(s->is.req, cells, &e) == PRG_OK) return;
  s->reading = true;
  prg_raise(L, e);
}

static bool is_record(lua_State *L, int t) {
  if (lua_type(L, t) != LUA_TTABLE) return false;
  if (!lua_getmetatable(L, t)) return true;
  lua_pop(L, 1);
  return prg_is_record(L, t);
}

/* The row at `t`, which is the top. */
static void put_row(lua_State *L, struct prg_copier *s, int t) {
  size_t k;
  s->reading = true;
  if (s->row.used > 0) prg_arena_reset(&s->row);
  for (k = 0; k < s->ncols; k++) s->cells[k].type = PRG_NULL;
  if (s->explicit_cols && lua_type(L, t) == LUA_TTABLE && lua_rawlen(L, t) > 0)
    read_list(L, s, t);
  else if (is_record(L, t))
    read_record(L, s, t);
  else
    prg_usage(L, "a record is a table of columns, not %s",
              prg_wrap_describe(L, t));
  s->reading = false;
  write_row(L, s, s->cells);
}

/* ---- methods ------------------------------------------------------------ */

/* copier:put(row) -> is it time to send? When the COPY has ended meanwhile the row is not
** looked at, and sending tells why. */
static int copy_put(lua_State *L) {
  struct prg_copier *s = prg_copier_check(L, 1);
  lua_settop(L, 2);
  luaL_checkstack(L, 12, "row");
  if (!prg_copy_is_full(s)) put_row(L, s, 2);
  lua_pushboolean(L, prg_copy_is_full(s));
  return 1;
}

/* copier:put_list(list, i) -> the first record that did not go into the frame; nil:
** all did */
static int copy_put_list(lua_State *L) {
  struct prg_copier *s = prg_copier_check(L, 1);
  size_t i = (size_t)luaL_checkinteger(L, 3), n;
  luaL_checktype(L, 2, LUA_TTABLE);
  luaL_checkstack(L, 12, "row");
  n = lua_rawlen(L, 2);
  for (; i <= n && !prg_copy_is_full(s); i++) {
    lua_settop(L, 3);
    lua_rawgeti(L, 2, (int)i);
    put_row(L, s, 4);
  }
  if (i <= n) {
    lua_pushinteger(L, (lua_Integer)i);
    return 1;
  }
  lua_pushnil(L);
  return 1;
}

/* copier:put_group(plan, group, i) -> the same for a group of a plan of insert_many,
** of whose columns the copier was made; i from 0 */
static int copy_put_group(lua_State *L) {
  struct prg_copier *s = prg_copier_check(L, 1);
  const struct prg_bulk_group *g = prg_bulk_group(L, 2, 3);
  size_t i = (size_t)luaL_checkinteger(L, 4), k;
  if (g->ncols != s->ncols) return prg_usage(L, "the plan has other columns");
  for (; i < g->n && !prg_copy_is_full(s); i++) {
    for (k = 0; k < s->ncols; k++) s->cells[k] = *prg_bulk_cell(g, i, k);
    write_row(L, s, s->cells);
  }
  if (i < g->n)
    lua_pushinteger(L, (lua_Integer)i);
  else
    lua_pushnil(L);
  return 1;
}

/* copier:put_bytes(s, from) -> where the rest of it begins; nil: there is none */
static int copy_put_bytes(lua_State *L) {
  struct prg_copier *s = prg_copier_check(L, 1);
  size_t n, from = (size_t)luaL_checkinteger(L, 3), room;
  const char *p = lua_tolstring(L, 2, &n);
  struct prg_buf *b;
  if (lua_type(L, 2) != LUA_TSTRING)
    return prg_usage(L, "copy_in: a COPY statement takes strings, not %s",
                     luaL_typename(L, 2));
  if (from <= n && !prg_copy_is_full(s)) {
    b = &s->is.req->copy->out;
    room = PRG_COPY_FRAME - b->len;
    if (room > n - from + 1) room = n - from + 1;
    prg_buf_add(b, p + from - 1, room);
    if (b->failed) return prg_raise(L, prg_error_oom());
    from += room;
  }
  if (from > n)
    lua_pushnil(L);
  else
    lua_pushinteger(L, (lua_Integer)from);
  return 1;
}

const luaL_Reg prg_copy_rows[] = {{"put", copy_put},
                                  {"put_list", copy_put_list},
                                  {"put_group", copy_put_group},
                                  {"put_bytes", copy_put_bytes},
                                  {NULL, NULL}};
