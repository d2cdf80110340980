/*
** Shapes of results: made once per description, kept in the handle's table of
** shapes under the description's id.
*/
#include "bind/shape_int.h"

#define MAX_SHAPES 1024 /* descriptions; then the table starts anew */

static const char rows_key = 0; /* registry: { __index, __tostring } */

void prg_shapes_start(lua_State *L, struct prg_db *db) {
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

void prg_push_shape(lua_State *L, struct prg_db *db, const struct prg_desc *d) {
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

#define MAX_MADE 100 /* columns: a function has 200 parameters at most */

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

/* Pushes return function(v1,v2) return {["id"]=v1,["name"]=v2,} end */
static void push_source(lua_State *L, const struct prg_desc *d) {
  luaL_Buffer b;
  char value[24];
  size_t i;
  luaL_buffinit(L, &b);
  luaL_addstring(&b, "return function(");
  for (i = 0; i < d->ncols; i++) {
    snprintf(value, sizeof value, i == 0 ? "v%d" : ",v%d", (int)i);
    luaL_addstring(&b, value);
  }
  luaL_addstring(&b, ") return {");
  for (i = 0; i < d->ncols; i++) {
    luaL_addstring(&b, "[\"");
    add_name(&b, &d->cols[i].name);
    snprintf(value, sizeof value, "\"]=v%d,", (int)i);
    luaL_addstring(&b, value);
  }
  luaL_addstring(&b, "} end");
  luaL_pushresult(&b);
}

bool prg_push_maker(lua_State *L, int i, const struct prg_desc *d) {
  size_t len;
  const char *source;
  if (d->ncols == 0 || d->ncols > MAX_MADE) return false;
  lua_rawgeti(L, i, (int)d->ncols + 1);
  if (lua_isfunction(L, -1)) return true;
  lua_pop(L, 1);
  if (prg_shape_twins(L, i)) return false;
  push_source(L, d);
  source = lua_tolstring(L, -1, &len);
  if (luaL_loadbuffer(L, source, len, "=record") != 0) lua_error(L);
  lua_remove(L, -2);
  lua_call(L, 0, 1);
  lua_pushvalue(L, -1);
  lua_rawseti(L, i, (int)d->ncols + 1);
  return true;
}

#else

bool prg_push_maker(lua_State *L, int i, const struct prg_desc *d) {
  (void)L;
  (void)i;
  (void)d;
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
