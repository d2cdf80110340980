/*
** Results as Lua tables. What all results of a statement share, its column
** names and the metatable of its row lists, is made once per description and
** kept in the handle's table of shapes: { name, …, meta = metatable }, and
** [0] = true when a name is there twice.
*/
#include "bind/bind_int.h"

#define MAX_SHAPES 1024 /* descriptions; then the table starts anew */

static const char rows_key = 0; /* registry: { __index, __tostring } */

static void start_shapes(lua_State *L, struct prg_db *db) {
  lua_createtable(L, 0, 16);
  lua_rawseti(L, LUA_REGISTRYINDEX, db->shapes_ref);
  db->nshapes = 0;
}

void prg_result_init(lua_State *L, struct prg_db *db) {
  lua_createtable(L, 0, 0);
  db->shapes_ref = luaL_ref(L, LUA_REGISTRYINDEX);
  start_shapes(L, db);
}

/* Pushes a metatable for row lists with the names at `names`. [-0, +1, m] */
static void push_rows_meta(lua_State *L, int names) {
  names = lua_absindex(L, names);
  lua_createtable(L, 0, 5);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &rows_key);
  lua_getfield(L, -1, "__index");
  lua_setfield(L, -3, "__index");
  lua_getfield(L, -1, "__tostring");
  lua_setfield(L, -3, "__tostring");
  lua_pop(L, 1);
  lua_pushliteral(L, "perigee.rows");
  lua_setfield(L, -2, "__name");
  lua_pushvalue(L, names);
  lua_setfield(L, -2, "columns");
}

/* Is a name in the list on top twice? [-0, +0, m] */
static bool has_twins(lua_State *L, size_t n) {
  bool found = false;
  size_t i;
  lua_createtable(L, 0, (int)n);
  for (i = 1; i <= n && !found; i++) {
    lua_rawgeti(L, -2, (int)i);
    lua_pushvalue(L, -1);
    lua_rawget(L, -3);
    found = !lua_isnil(L, -1);
    lua_pop(L, 1);
    lua_pushboolean(L, 1);
    lua_rawset(L, -3);
  }
  lua_pop(L, 1);
  return found;
}

/* Pushes the shape of a description. [-0, +1, m] */
static void push_shape(lua_State *L, struct prg_db *db,
                       const struct prg_desc *d) {
  size_t i;
  lua_rawgeti(L, LUA_REGISTRYINDEX, db->shapes_ref);
  lua_rawgeti(L, -1, (int)(d->id & 0x3fffffff));
  if (lua_istable(L, -1)) {
    lua_remove(L, -2);
    return;
  }
  lua_pop(L, 2);
  if (db->nshapes++ >= MAX_SHAPES) start_shapes(L, db);
  lua_createtable(L, (int)d->ncols, 1);
  lua_createtable(L, (int)d->ncols, 0); /* the names that users see */
  for (i = 0; i < d->ncols; i++) {
    lua_pushlstring(L, d->cols[i].name.p, d->cols[i].name.n);
    lua_pushvalue(L, -1);
    lua_rawseti(L, -3, (int)i + 1);
    lua_rawseti(L, -3, (int)i + 1);
  }
  if (has_twins(L, d->ncols)) {
    lua_pushboolean(L, 1);
    lua_rawseti(L, -3, 0);
  }
  push_rows_meta(L, -1);
  lua_remove(L, -2);
  lua_setfield(L, -2, "meta");
  lua_rawgeti(L, LUA_REGISTRYINDEX, db->shapes_ref);
  lua_pushvalue(L, -2);
  lua_rawseti(L, -2, (int)(d->id & 0x3fffffff));
  lua_pop(L, 1);
}

/* Has the shape at `i` a name twice? [-0, +0, -] */
static bool is_twinned(lua_State *L, int i) {
  bool twins;
  lua_rawgeti(L, i, 0);
  twins = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return twins;
}

/* Pushes one value; the usual types without a call. NULL is nil. */
static void push_value(lua_State *L, const struct prg_db *db,
                       const struct prg_value *v) {
  switch (v->type) {
    case PRG_TEXT:
      lua_pushlstring(L, v->u.s.p, v->u.s.n);
      break;
#if PRG_INT64
    case PRG_INT:
      lua_pushinteger(L, (lua_Integer)v->u.i);
      break;
#endif
    case PRG_DOUBLE:
      lua_pushnumber(L, v->u.d);
      break;
    case PRG_BOOL:
      lua_pushboolean(L, v->u.b);
      break;
    case PRG_NULL:
      lua_pushnil(L);
      break;
    default:
      prg_push_value(L, &db->values, v);
  }
}

/* Pushes the value of a column, through its codec when the handle has one.
** `codecs` is the index of the handle's { type = decode }, or 0. */
static void push_decoded(lua_State *L, const struct prg_db *db,
                         const struct prg_column *c, const struct prg_value *v,
                         int codecs) {
  if (codecs != 0 && v->type != PRG_NULL) {
    lua_getfield(L, codecs, c->type);
    if (lua_isfunction(L, -1)) {
      push_value(L, db, v);
      if (prg_task_pcall(L, db->G, 1, 1) != LUA_OK) lua_error(L);
      return;
    }
    lua_pop(L, 1);
  }
  push_value(L, db, v);
}

static const struct prg_value *get_row(lua_State *L, struct prg_result *r,
                                       size_t i) {
  const struct prg_value *v = prg_result_row(r, i);
  if (v == NULL) {
    struct prg_error *e = r->error != NULL ? r->error : prg_error_oom();
    r->error = NULL;
    prg_raise(L, e);
  }
  return v;
}

/* The keys of a record are on the stack from where[0] on; where[1] is as for
** push_decoded; where[2]: a name is there twice, and the last column counts,
** also when it is NULL. */
static void push_record(lua_State *L, struct prg_db *db, struct prg_result *r,
                        const struct prg_value *v, const int where[3]) {
  size_t j, n = r->desc->ncols;
  int keys = where[0], codecs = where[1];
  lua_createtable(L, 0, (int)n);
  for (j = 0; j < n; j++) {
    if (v[j].type == PRG_NULL && !where[2]) continue;
    lua_pushvalue(L, keys + (int)j);
    if (codecs == 0)
      push_value(L, db, &v[j]);
    else
      push_decoded(L, db, &r->desc->cols[j], &v[j], codecs);
    lua_rawset(L, -3);
  }
}

/* A row alone: each name is needed once, so it is not pushed twice, and whether
** one is there twice matters only where there is a NULL. [-0, +1, e] */
static void push_single(lua_State *L, struct prg_db *db, struct prg_result *r,
                        const struct prg_value *v, int codecs) {
  int shape;
  size_t j, n = r->desc->ncols;
  push_shape(L, db, r->desc);
  shape = lua_gettop(L);
  lua_createtable(L, 0, (int)n);
  for (j = 0; j < n; j++) {
    if (v[j].type == PRG_NULL && !is_twinned(L, shape)) continue;
    lua_rawgeti(L, shape, (int)j + 1);
    if (codecs == 0)
      push_value(L, db, &v[j]);
    else
      push_decoded(L, db, &r->desc->cols[j], &v[j], codecs);
    lua_rawset(L, -3);
  }
  lua_replace(L, shape);
}

static void push_or_null(lua_State *L, struct prg_db *db, struct prg_result *r,
                         const struct prg_value *v, const int at[2]) {
  if (v->type == PRG_NULL)
    lua_pushlightuserdata(L, NULL);
  else
    push_decoded(L, db, &r->desc->cols[at[0]], v, at[1]);
}

static void push_array(lua_State *L, struct prg_db *db, struct prg_result *r,
                       const struct prg_value *v, int codecs) {
  size_t j, n = r->desc->ncols;
  lua_createtable(L, (int)n, 0);
  for (j = 0; j < n; j++) {
    const int at[2] = {(int)j, codecs};
    push_or_null(L, db, r, &v[j], at);
    lua_rawseti(L, -2, (int)j + 1);
  }
}

/* Pushes the names of the columns one by one; is one there twice?
** [-0, +ncols, e] */
static bool push_keys(lua_State *L, struct prg_db *db,
                      const struct prg_desc *d) {
  int shape, j, n = (int)d->ncols;
  bool twins;
  luaL_checkstack(L, n + 24, "too many columns");
  push_shape(L, db, d);
  shape = lua_gettop(L);
  twins = is_twinned(L, shape);
  for (j = 1; j <= n; j++) lua_rawgeti(L, shape, j);
  lua_remove(L, shape);
  return twins;
}

/* Pushes the handle's decoders and returns their index, or 0. The executor is
** at 1. [-0, +0|1, e] */
static int push_codecs(lua_State *L, const struct prg_db *db) {
  if (!db->has_codecs) return 0;
  prg_push_env(L, 1);
  lua_getfield(L, -1, "decoders");
  lua_remove(L, -2);
  return lua_gettop(L);
}

/* ---- lists -------------------------------------------------------------- */

void prg_rows_begin(lua_State *L, struct prg_db *db, struct prg_result *r,
                    enum prg_shape shape) {
  size_t j;
  if (shape != PRG_SHAPE_COLUMNS || r->desc == NULL) {
    lua_createtable(L, r->nrows > 1000000 ? 1000000 : (int)r->nrows, 0);
    return;
  }
  lua_createtable(L, 0, (int)r->desc->ncols + 1);
  lua_pushinteger(L, (lua_Integer)r->nrows);
  lua_setfield(L, -2, "n"); /* a column of that name takes its place */
  (void)push_keys(L, db, r->desc);
  for (j = r->desc->ncols; j-- > 0;) { /* table, k1 … kj */
    lua_createtable(L, r->nrows > 1000000 ? 1000000 : (int)r->nrows, 0);
    lua_rawset(L, -3 - (int)j);
  }
}

static void add_columns(lua_State *L, struct prg_db *db, struct prg_result *r,
                        size_t from, size_t to) {
  int list = lua_gettop(L), cols, codecs;
  size_t i, j, n = r->desc->ncols;
  codecs = push_codecs(L, db);
  cols = lua_gettop(L) + 1;
  (void)push_keys(L, db, r->desc);
  for (j = 0; j < n; j++) { /* each key is replaced by its column */
    lua_pushvalue(L, cols + (int)j);
    lua_rawget(L, list);
    lua_replace(L, cols + (int)j);
  }
  for (i = from; i < to; i++) {
    const struct prg_value *v = get_row(L, r, i);
    for (j = 0; j < n; j++) {
      const int at[2] = {(int)j, codecs};
      push_or_null(L, db, r, &v[j], at);
      lua_rawseti(L, cols + (int)j, (int)i + 1);
    }
  }
  lua_settop(L, list);
}

static void add_records(lua_State *L, struct prg_db *db, struct prg_result *r,
                        const size_t range[2], int class) {
  int list = lua_gettop(L), where[3];
  size_t i;
  where[1] = push_codecs(L, db);
  where[0] = lua_gettop(L) + 1;
  where[2] = push_keys(L, db, r->desc);
  for (i = range[0]; i < range[1]; i++) {
    push_record(L, db, r, get_row(L, r, i), where);
    if (class != 0) {
      lua_pushvalue(L, class);
      lua_setmetatable(L, -2);
    }
    lua_rawseti(L, list, (int)i + 1);
  }
  lua_settop(L, list);
}

static void add_arrays(lua_State *L, struct prg_db *db, struct prg_result *r,
                       size_t from, size_t to) {
  int list = lua_gettop(L), codecs;
  size_t i;
  luaL_checkstack(L, 12, "rows");
  codecs = push_codecs(L, db);
  for (i = from; i < to; i++) {
    push_array(L, db, r, get_row(L, r, i), codecs);
    lua_rawseti(L, list, (int)i + 1);
  }
  lua_settop(L, list);
}

/* Rows of no columns: "select from t". */
static void push_empty(lua_State *L, int class) {
  lua_createtable(L, 0, 0);
  if (class == 0) return;
  lua_pushvalue(L, class);
  lua_setmetatable(L, -2);
}

static void add_empty(lua_State *L, const size_t range[2], int class) {
  size_t i;
  for (i = range[0]; i < range[1]; i++) {
    push_empty(L, class);
    lua_rawseti(L, -2, (int)i + 1);
  }
}

void prg_rows_add(lua_State *L, struct prg_db *db, struct prg_result *r,
                  const size_t range[2], const int how[2]) {
  enum prg_shape shape = (enum prg_shape)how[0];
  if (r->desc == NULL) {
    add_empty(L, range, how[1]);
    return;
  }
  if (shape == PRG_SHAPE_RECORD)
    add_records(L, db, r, range, how[1]);
  else if (shape == PRG_SHAPE_ARRAY)
    add_arrays(L, db, r, range[0], range[1]);
  else
    add_columns(L, db, r, range[0], range[1]);
}

void prg_rows_end(lua_State *L, struct prg_db *db, struct prg_result *r,
                  enum prg_shape shape) {
  if (shape == PRG_SHAPE_COLUMNS && r->desc != NULL) return;
  if (r->desc != NULL) {
    push_shape(L, db, r->desc);
    lua_getfield(L, -1, "meta");
    lua_remove(L, -2);
  } else { /* no rows: how many were changed is this result's own */
    lua_createtable(L, 0, 0);
    push_rows_meta(L, -1);
    lua_remove(L, -2);
    if (r->affected >= 0) {
      lua_pushinteger(L, (lua_Integer)r->affected);
      lua_setfield(L, -2, "affected");
    }
  }
  lua_setmetatable(L, -2);
}

void prg_push_rows(lua_State *L, struct prg_db *db, struct prg_result *r,
                   enum prg_shape shape, int class) {
  const size_t range[2] = {0, r->nrows};
  const int how[2] = {(int)shape, class};
  prg_rows_begin(L, db, r, shape);
  prg_rows_add(L, db, r, range, how);
  prg_rows_end(L, db, r, shape);
}

void prg_push_row(lua_State *L, struct prg_db *db, struct prg_result *r,
                  size_t i, const int how[2]) {
  const struct prg_value *v;
  int codecs;
  if (r->desc == NULL) {
    push_empty(L, how[1]);
    return;
  }
  v = get_row(L, r, i);
  luaL_checkstack(L, 24, "row");
  codecs = push_codecs(L, db);
  if (how[0] == PRG_SHAPE_ARRAY)
    push_array(L, db, r, v, codecs);
  else
    push_single(L, db, r, v, codecs);
  if (how[0] != PRG_SHAPE_ARRAY && how[1] != 0) {
    lua_pushvalue(L, how[1]);
    lua_setmetatable(L, -2);
  }
  if (codecs != 0) lua_replace(L, codecs);
}

void prg_push_cell(lua_State *L, struct prg_db *db, struct prg_result *r,
                   size_t i) {
  int codecs, top = lua_gettop(L);
  if (r->desc == NULL || r->desc->ncols == 0) {
    lua_pushnil(L);
    return;
  }
  codecs = push_codecs(L, db);
  push_decoded(L, db, &r->desc->cols[0], get_row(L, r, i), codecs);
  if (codecs != 0) {
    lua_replace(L, top + 1);
    lua_settop(L, top + 1);
  }
}

int64_t prg_result_number(lua_State *L, struct prg_result *r) {
  const struct prg_value *v;
  if (r->desc == NULL || r->desc->ncols == 0 || r->nrows == 0) return 0;
  v = get_row(L, r, 0);
  if (v->type == PRG_BOOL) return v->u.b ? 1 : 0;
  return v->type == PRG_INT ? v->u.i : 0;
}

/* An INSERT's first returned value, where the driver has no id of its own. */
static bool has_returned_id(const struct prg_db *db,
                            const struct prg_result *r) {
  return (db->driver->features & PRG_F_LAST_ID) == 0 && r->desc != NULL &&
         r->nrows > 0 && strncmp(r->tag, "INSERT", 6) == 0;
}

void prg_push_execute(lua_State *L, struct prg_db *db, struct prg_result *r,
                      enum prg_shape shape, int class) {
  lua_createtable(L, 0, 3);
  if (r->affected >= 0) {
    lua_pushinteger(L, (lua_Integer)r->affected);
    lua_setfield(L, -2, "affected");
  }
  if (r->has_last_id) {
    struct prg_value id;
    memset(&id, 0, sizeof id);
    id.type = PRG_INT;
    id.u.i = r->last_id;
    prg_push_value(L, &db->values, &id);
    lua_setfield(L, -2, "last_id");
  } else if (has_returned_id(db, r)) {
    prg_push_cell(L, db, r, 0);
    lua_setfield(L, -2, "last_id");
  }
  if (r->desc != NULL) {
    prg_push_rows(L, db, r, shape, class);
    lua_setfield(L, -2, "rows");
  }
}

/* core.set_rows_meta{ __index = fn, __tostring = fn } */
static int core_set_rows_meta(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &rows_key);
  return 0;
}

int prg_result_open(lua_State *L) {
  lua_createtable(L, 0, 0);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &rows_key);
  lua_pushcfunction(L, core_set_rows_meta);
  lua_setfield(L, -2, "set_rows_meta");
  return 0;
}
