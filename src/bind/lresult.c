/*
** Results as Lua tables: lists of rows, single rows and single values. What all
** results of a statement share is its shape (lshape.c).
*/
#include "bind/lvalue.h"
#include "bind/shape_int.h"

#define MAKER_ROWS 8     /* fewer are not worth compiling a maker for */
#define MAX_ROOM 1000000 /* rows: a longer list grows as it is filled */

void prg_result_init(lua_State *L, struct prg_db *db) {
  lua_createtable(L, 0, 0);
  db->shapes_ref = luaL_ref(L, LUA_REGISTRYINDEX);
  prg_shapes_start(L, db);
}

void prg_result_fini(lua_State *L, struct prg_db *db) {
  prg_shapes_forget(L, db);
  luaL_unref(L, LUA_REGISTRYINDEX, db->shapes_ref);
  db->shapes_ref = LUA_NOREF;
}

/* How rows are pushed. What it needs is on the stack, at these indices. */
struct pusher {
  struct prg_db *db;
  const struct prg_column *cols;
  int n;      /* columns */
  int codecs; /* the handle's { type = decode }, or 0 */
  int maker;  /* a function that makes a record of values; or 0, and then: */
  int keys;   /* the first of the names */
  bool twins; /* a name is there twice, and the last column counts, also when it
                 is NULL */
};

/* Begins with what all shapes need. The executor is at 1. [-0, +0|1, e] */
static struct pusher push_begin(lua_State *L, struct prg_db *db,
                                const struct prg_desc *d) {
  struct pusher p = {db, d->cols, (int)d->ncols, 0, 0, 0, false};
  luaL_checkstack(L, p.n + 24, "too many columns");
  if (!db->has_codecs) return p;
  prg_push_env(L, 1);
  lua_getfield(L, -1, "decoders");
  lua_remove(L, -2);
  p.codecs = lua_gettop(L);
  return p;
}

/* ---- rows ---------------------------------------------------------------- */

/* Pushes one value; the usual types without a call. NULL is nil. */
static inline void push_value(lua_State *L, const struct prg_db *db,
                              const struct prg_value *v) {
  switch (v->type) {
    case PRG_TEXT:
      lua_pushlstring(L, v->u.s.p, v->u.s.n);
      break;
    case PRG_INT:
      prg_push_int(L, &db->values, v);
      break;
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

/* Pushes the value of a column, through its codec when the handle has one. */
static void push_decoded(lua_State *L, const struct pusher *p, int column,
                         const struct prg_value *v) {
  lua_getfield(L, p->codecs, p->cols[column].type);
  if (!lua_isfunction(L, -1)) {
    lua_pop(L, 1);
    push_value(L, p->db, v);
    return;
  }
  push_value(L, p->db, v);
  if (prg_task_pcall(L, p->db->G, 1, 1) != LUA_OK) lua_error(L);
}

static inline void push_cell(lua_State *L, const struct pusher *p, int column,
                             const struct prg_value *v) {
  if (p->codecs != 0 && v->type != PRG_NULL)
    push_decoded(L, p, column, v);
  else
    push_value(L, p->db, v);
}

static void push_or_null(lua_State *L, const struct pusher *p, int column,
                         const struct prg_value *v) {
  if (v->type == PRG_NULL)
    lua_pushlightuserdata(L, NULL);
  else
    push_cell(L, p, column, v);
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

static void push_made(lua_State *L, const struct pusher *p,
                      const struct prg_value *v) {
  int j;
  lua_pushvalue(L, p->maker);
  for (j = 0; j < p->n; j++) push_cell(L, p, j, &v[j]);
  lua_call(L, p->n, 1);
}

/* A record with the names at `keys`. */
static void push_keyed(lua_State *L, const struct pusher *p,
                       const struct prg_value *v) {
  int j;
  lua_createtable(L, 0, p->n);
  for (j = 0; j < p->n; j++) {
    if (v[j].type == PRG_NULL && !p->twins) continue;
    lua_pushvalue(L, p->keys + j);
    push_cell(L, p, j, &v[j]);
    lua_rawset(L, -3);
  }
}

/* A row alone: each name is needed once, so it is not pushed twice, and whether
** one is there twice matters only where there is a NULL. The shape is on top and
** goes. */
static void push_single(lua_State *L, const struct pusher *p,
                        const struct prg_value *v) {
  int j, shape = lua_gettop(L);
  lua_createtable(L, 0, p->n);
  for (j = 0; j < p->n; j++) {
    if (v[j].type == PRG_NULL && !prg_shape_twins(L, shape)) continue;
    lua_rawgeti(L, shape, j + 1);
    push_cell(L, p, j, &v[j]);
    lua_rawset(L, -3);
  }
  lua_replace(L, shape);
}

static void push_array(lua_State *L, const struct pusher *p,
                       const struct prg_value *v) {
  int j;
  lua_createtable(L, p->n, 0);
  for (j = 0; j < p->n; j++) {
    push_or_null(L, p, j, &v[j]);
    lua_rawseti(L, -2, j + 1);
  }
}

/* ---- lists --------------------------------------------------------------- */

/* Pushes the names of the columns one by one. [-0, +ncols, m] */
static void push_keys(lua_State *L, struct pusher *p,
                      const struct prg_desc *d) {
  int j, shape;
  prg_push_shape(L, p->db, d);
  shape = lua_gettop(L);
  p->twins = prg_shape_twins(L, shape);
  for (j = 1; j <= p->n; j++) lua_rawgeti(L, shape, j);
  lua_remove(L, shape);
  p->keys = shape;
}

/* Pushes a table with room for the rows. [-0, +1, m] */
static void push_room(lua_State *L, const struct prg_result *r) {
  lua_createtable(L, r->nrows > MAX_ROOM ? MAX_ROOM : (int)r->nrows, 0);
}

void prg_rows_begin(lua_State *L, struct prg_db *db, struct prg_result *r,
                    enum prg_shape shape) {
  struct pusher p;
  int j;
  if (shape != PRG_SHAPE_COLUMNS || r->desc == NULL) {
    push_room(L, r);
    return;
  }
  p = (struct pusher){.db = db, .n = (int)r->desc->ncols};
  luaL_checkstack(L, p.n + 24, "too many columns");
  lua_createtable(L, 0, p.n + 1);
  lua_pushinteger(L, (lua_Integer)r->nrows);
  lua_setfield(L, -2, "n"); /* a column of that name takes its place */
  push_keys(L, &p, r->desc);
  for (j = p.n; j-- > 0;) { /* table, k1 … kj */
    push_room(L, r);
    lua_rawset(L, -3 - j);
  }
}

static void add_columns(lua_State *L, struct prg_db *db, struct prg_result *r,
                        const size_t range[2]) {
  int list = lua_gettop(L), j;
  struct pusher p = push_begin(L, db, r->desc);
  size_t i;
  push_keys(L, &p, r->desc);
  for (j = 0; j < p.n; j++) { /* each key is replaced by its column */
    lua_pushvalue(L, p.keys + j);
    lua_rawget(L, list);
    lua_replace(L, p.keys + j);
  }
  for (i = range[0]; i < range[1]; i++) {
    const struct prg_value *v = get_row(L, r, i);
    for (j = 0; j < p.n; j++) {
      push_or_null(L, &p, j, &v[j]);
      lua_rawseti(L, p.keys + j, (int)i + 1);
    }
  }
  lua_settop(L, list);
}

/* Pushes what makes records: a maker, or the names. [-0, +n, m] */
static void push_making(lua_State *L, struct pusher *p,
                        const struct prg_result *r) {
  int shape = lua_gettop(L) + 1;
  if (r->nrows >= MAKER_ROWS) {
    prg_push_shape(L, p->db, r->desc);
    if (prg_push_maker(L, shape, r->desc)) {
      p->maker = lua_gettop(L);
      return;
    }
    lua_settop(L, shape - 1);
  }
  push_keys(L, p, r->desc);
}

/* Puts a block of records into the list. */
static void add_block(lua_State *L, const struct pusher *p,
                      struct prg_result *r, size_t from, int list) {
  int k, j;
  lua_pushvalue(L, p->maker);
  lua_pushvalue(L, list);
  lua_pushinteger(L, (lua_Integer)from + 1);
  for (k = 0; k < PRG_BLOCK_ROWS; k++) {
    const struct prg_value *v = get_row(L, r, from + (size_t)k);
    for (j = 0; j < p->n; j++) push_cell(L, p, j, &v[j]);
  }
  lua_call(L, 2 + p->n * PRG_BLOCK_ROWS, 0);
}

/* Records in blocks, as far as that goes: returns the row that is next. */
static size_t add_blocks(lua_State *L, struct pusher *p, struct prg_result *r,
                         const size_t range[2], int list) {
  size_t i = range[0];
  int top = lua_gettop(L);
  if (range[1] - i < PRG_BLOCK_ROWS) return i;
  prg_push_shape(L, p->db, r->desc);
  if (prg_push_block_maker(L, top + 1, r->desc, r->nrows)) {
    p->maker = top + 2;
    luaL_checkstack(L, p->n * PRG_BLOCK_ROWS + 24, "too many columns");
    for (; i + PRG_BLOCK_ROWS <= range[1]; i += PRG_BLOCK_ROWS)
      add_block(L, p, r, i, list);
    p->maker = 0;
  }
  lua_settop(L, top);
  return i;
}

static void add_records(lua_State *L, struct prg_db *db, struct prg_result *r,
                        const size_t range[2], int class) {
  int list = lua_gettop(L);
  struct pusher p = push_begin(L, db, r->desc);
  size_t i = range[0];
  if (class == 0) i = add_blocks(L, &p, r, range, list);
  if (i < range[1]) push_making(L, &p, r);
  for (; i < range[1]; i++) {
    const struct prg_value *v = get_row(L, r, i);
    if (p.maker != 0)
      push_made(L, &p, v);
    else
      push_keyed(L, &p, v);
    if (class != 0) {
      lua_pushvalue(L, class);
      lua_setmetatable(L, -2);
    }
    lua_rawseti(L, list, (int)i + 1);
  }
  lua_settop(L, list);
}

static void add_arrays(lua_State *L, struct prg_db *db, struct prg_result *r,
                       const size_t range[2]) {
  int list = lua_gettop(L);
  struct pusher p = push_begin(L, db, r->desc);
  size_t i;
  for (i = range[0]; i < range[1]; i++) {
    push_array(L, &p, get_row(L, r, i));
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
    add_arrays(L, db, r, range);
  else
    add_columns(L, db, r, range);
}

void prg_rows_end(lua_State *L, struct prg_db *db, struct prg_result *r,
                  enum prg_shape shape) {
  if (shape == PRG_SHAPE_COLUMNS && r->desc != NULL) return;
  if (r->desc != NULL) {
    prg_push_shape(L, db, r->desc);
    lua_getfield(L, -1, "meta");
    lua_remove(L, -2);
  } else { /* no rows: how many were changed is this result's own */
    lua_createtable(L, 0, 0);
    prg_push_rows_meta(L, -1);
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

/* Pushes a record. A row of many, as streams push them one by one, is made by a
** maker. */
static void push_record(lua_State *L, struct pusher *p, struct prg_result *r,
                        const struct prg_value *v) {
  int shape = lua_gettop(L) + 1;
  prg_push_shape(L, p->db, r->desc);
  if (r->nrows < MAKER_ROWS || !prg_push_maker(L, shape, r->desc)) {
    push_single(L, p, v);
    return;
  }
  p->maker = lua_gettop(L);
  push_made(L, p, v);
  lua_replace(L, shape);
  lua_settop(L, shape);
}

void prg_push_row(lua_State *L, struct prg_db *db, struct prg_result *r,
                  size_t i, const int how[2]) {
  const struct prg_value *v;
  struct pusher p;
  if (r->desc == NULL) {
    push_empty(L, how[1]);
    return;
  }
  v = get_row(L, r, i);
  p = push_begin(L, db, r->desc);
  if (how[0] == PRG_SHAPE_ARRAY)
    push_array(L, &p, v);
  else
    push_record(L, &p, r, v);
  if (how[0] != PRG_SHAPE_ARRAY && how[1] != 0) {
    lua_pushvalue(L, how[1]);
    lua_setmetatable(L, -2);
  }
  if (p.codecs != 0) lua_replace(L, p.codecs);
}

void prg_push_cell(lua_State *L, struct prg_db *db, struct prg_result *r,
                   size_t i) {
  struct pusher p;
  if (r->desc == NULL || r->desc->ncols == 0) {
    lua_pushnil(L);
    return;
  }
  p = push_begin(L, db, r->desc);
  push_cell(L, &p, 0, get_row(L, r, i));
  if (p.codecs != 0) lua_replace(L, p.codecs);
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
  lua_createtable(L, 0, r->has_last_id ? 2 : 1);
  if (r->affected >= 0) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, db->G->affected_ref);
    lua_pushinteger(L, (lua_Integer)r->affected);
    lua_rawset(L, -3);
  }
  if (r->has_last_id) {
    const struct prg_value id = {.type = PRG_INT, .u.i = r->last_id};
    lua_rawgeti(L, LUA_REGISTRYINDEX, db->G->last_id_ref);
    prg_push_int(L, &db->values, &id);
    lua_rawset(L, -3);
  } else if (has_returned_id(db, r)) {
    prg_push_cell(L, db, r, 0);
    lua_setfield(L, -2, "last_id");
  }
  if (r->desc != NULL) {
    prg_push_rows(L, db, r, shape, class);
    lua_setfield(L, -2, "rows");
  }
}

int prg_result_open(lua_State *L) {
  struct prg_state *G = prg_state_get(L);
  lua_pushliteral(L, "affected");
  G->affected_ref = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_pushliteral(L, "last_id");
  G->last_id_ref = luaL_ref(L, LUA_REGISTRYINDEX);
  return prg_shape_open(L);
}
