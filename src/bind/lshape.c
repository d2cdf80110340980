/*
** Shapes of results: made once per description, kept in the handle's table of
** shapes under the description's id.
*/
#include "bind/shape_int.h"

#define MAX_SHAPES 1024 /* descriptions; then the table starts anew */

static const char rows_key = 0; /* registry: { __index, __tostring } */

void prg_shapes_forget(lua_State *L, struct prg_db *db) {
  size_t i;
  for (i = 0; i < PRG_RECENT_SHAPES; i++) {
    if (db->recent_shapes[i].id != 0)
      luaL_unref(L, LUA_REGISTRYINDEX, db->recent_shapes[i].ref);
    db->recent_shapes[i].id = 0;
  }
}

void prg_shapes_start(lua_State *L, struct prg_db *db) {
  prg_shapes_forget(L, db);
  lua_createtable(L, 0, 16);
  lua_rawseti(L, LUA_REGISTRYINDEX, db->shapes_ref);
  db->nshapes = 0;
}

void prg_push_rows_meta(lua_State *L, int names) {
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

/* From the table, or new. [-0, +1, m] */
static void find_shape(lua_State *L, struct prg_db *db,
                       const struct prg_desc *d) {
  size_t i;
  lua_rawgeti(L, LUA_REGISTRYINDEX, db->shapes_ref);
  lua_rawgeti(L, -1, (int)(d->id & 0x3fffffff));
  if (lua_istable(L, -1)) {
    lua_remove(L, -2);
    return;
  }
  lua_pop(L, 2);
  if (db->nshapes++ >= MAX_SHAPES) prg_shapes_start(L, db);
  lua_createtable(L, (int)d->ncols + 1, 1);
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
  prg_push_rows_meta(L, -1);
  lua_remove(L, -2);
  lua_setfield(L, -2, "meta");
  lua_rawgeti(L, LUA_REGISTRYINDEX, db->shapes_ref);
  lua_pushvalue(L, -2);
  lua_rawseti(L, -2, (int)(d->id & 0x3fffffff));
  lua_pop(L, 1);
}

void prg_push_shape(lua_State *L, struct prg_db *db, const struct prg_desc *d) {
  size_t i = (size_t)(d->id % PRG_RECENT_SHAPES);
  int ref = LUA_NOREF;
  if (db->recent_shapes[i].id == d->id) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, db->recent_shapes[i].ref);
    return;
  }
  find_shape(L, db, d); /* which may forget the others */
  if (db->recent_shapes[i].id != 0) {
    ref = db->recent_shapes[i].ref;
    lua_pushvalue(L, -1);
    lua_rawseti(L, LUA_REGISTRYINDEX, ref);
  } else {
    lua_pushvalue(L, -1);
    ref = luaL_ref(L, LUA_REGISTRYINDEX);
  }
  db->recent_shapes[i].ref = ref;
  db->recent_shapes[i].id = d->id;
}

bool prg_shape_twins(lua_State *L, int i) {
  bool twins;
  lua_rawgeti(L, i, 0);
  twins = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return twins;
}

/* ---- makers ---------------------------------------------------------------
** LuaJIT copies a table that has its keys already in less time than it takes to
** put the keys into an empty one, but only for code that is compiled: so the
** names go into a function's text. Lua 5.4 gains nothing by it. */

#ifdef LUAJIT_VERSION_NUM

#define MAX_MADE 100  /* columns: a function has 200 parameters at most */
#define MAX_BLOCK 120 /* values of all rows of a block */
#define LONG_LIST 200 /* rows: worth a function also when it is the first */

/* Any name: what is not a plain letter goes as a number of three digits. */
static void add_name(luaL_Buffer *b, const struct prg_text *name) {
  char code[8];
  size_t i;
  for (i = 0; i < name->n; i++) {
    unsigned char c = (unsigned char)name->p[i];
    bool plain = c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (plain) {
      luaL_addchar(b, (char)c);
    } else {
      snprintf(code, sizeof code, "\\%03u", c);
      luaL_addlstring(b, code, 4);
    }
  }
}

/* Adds v1,v2,… for the columns, counted from `first`. */
static void add_values(luaL_Buffer *b, const struct prg_desc *d, size_t first) {
  char value[24];
  size_t i;
  for (i = 0; i < d->ncols; i++) {
    snprintf(value, sizeof value, i == 0 ? "v%d" : ",v%d", (int)(first + i));
    luaL_addstring(b, value);
  }
}

/* Adds {["id"]=v1,["name"]=v2,} */
static void add_record(luaL_Buffer *b, const struct prg_desc *d, size_t first) {
  char value[24];
  size_t i;
  luaL_addchar(b, '{');
  for (i = 0; i < d->ncols; i++) {
    luaL_addstring(b, "[\"");
    add_name(b, &d->cols[i].name);
    snprintf(value, sizeof value, "\"]=v%d,", (int)(first + i));
    luaL_addstring(b, value);
  }
  luaL_addchar(b, '}');
}

/* Pushes return function(v0,v1) return {["id"]=v0,["name"]=v1,} end */
static void push_source(lua_State *L, const struct prg_desc *d) {
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  luaL_addstring(&b, "return function(");
  add_values(&b, d, 0);
  luaL_addstring(&b, ") return ");
  add_record(&b, d, 0);
  luaL_addstring(&b, " end");
  luaL_pushresult(&b);
}

/* Pushes return function(t,k,v0,v1,…) t[k+0]={…} t[k+1]={…} … end */
static void push_block_source(lua_State *L, const struct prg_desc *d) {
  luaL_Buffer b;
  char place[24];
  size_t r;
  luaL_buffinit(L, &b);
  luaL_addstring(&b, "return function(t,k");
  for (r = 0; r < PRG_BLOCK_ROWS; r++) {
    luaL_addchar(&b, ',');
    add_values(&b, d, r * d->ncols);
  }
  luaL_addchar(&b, ')');
  for (r = 0; r < PRG_BLOCK_ROWS; r++) {
    snprintf(place, sizeof place, " t[k+%d]=", (int)r);
    luaL_addstring(&b, place);
    add_record(&b, d, r * d->ncols);
  }
  luaL_addstring(&b, " end");
  luaL_pushresult(&b);
}

/* Makes of the source on top the function that it returns, and keeps it as [n] of
** the shape at `i`. [-1, +1, e] */
static void keep_function(lua_State *L, int i, int n) {
  size_t len;
  const char *source = lua_tolstring(L, -1, &len);
  if (luaL_loadbuffer(L, source, len, "=record") != 0) lua_error(L);
  lua_remove(L, -2);
  lua_call(L, 0, 1);
  lua_pushvalue(L, -1);
  lua_rawseti(L, i, n);
}

bool prg_push_maker(lua_State *L, int i, const struct prg_desc *d) {
  if (d->ncols == 0 || d->ncols > MAX_MADE) return false;
  lua_rawgeti(L, i, (int)d->ncols + 1);
  if (lua_isfunction(L, -1)) return true;
  lua_pop(L, 1);
  if (prg_shape_twins(L, i)) return false;
  push_source(L, d);
  keep_function(L, i, (int)d->ncols + 1);
  return true;
}

bool prg_push_block_maker(lua_State *L, int i, const struct prg_desc *d,
                          size_t nrows) {
  bool again;
  if (d->ncols == 0 || d->ncols * PRG_BLOCK_ROWS > MAX_BLOCK) return false;
  lua_rawgeti(L, i, (int)d->ncols + 2);
  if (lua_isfunction(L, -1)) return true;
  lua_rawgeti(L, i, (int)d->ncols + 1);
  again = lua_isfunction(L, -1);
  lua_pop(L, 2);
  if ((nrows < LONG_LIST && !again) || prg_shape_twins(L, i)) return false;
  push_block_source(L, d);
  keep_function(L, i, (int)d->ncols + 2);
  return true;
}

#else

bool prg_push_maker(lua_State *L, int i, const struct prg_desc *d) {
  (void)L;
  (void)i;
  (void)d;
  return false;
}

bool prg_push_block_maker(lua_State *L, int i, const struct prg_desc *d,
                          size_t nrows) {
  (void)L;
  (void)i;
  (void)d;
  (void)nrows;
  return false;
}

#endif

/* core.set_rows_meta{ __index = fn, __tostring = fn } */
static int core_set_rows_meta(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &rows_key);
  return 0;
}

int prg_shape_open(lua_State *L) {
  lua_createtable(L, 0, 0);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &rows_key);
  lua_pushcfunction(L, core_set_rows_meta);
  lua_setfield(L, -2, "set_rows_meta");
  return 0;
}
