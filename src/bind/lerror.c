/* Error objects: a table with the metatable perigee.error for each C error. */
#include "bind/bind_int.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"

static const char error_key = 0; /* registry: the metatable */

static const char *const field_names[PRG_EF_COUNT_] = {
    "message", "detail", "hint",   "constraint",
    "schema",  "table",  "column", "sql"};

/* [-0, +0, m] the object is on top */
static void set_fields(lua_State *L, const struct prg_error *e) {
  int i;
  lua_pushstring(L, prg_kind_name(e->kind));
  lua_setfield(L, -2, "kind");
  for (i = 0; i < PRG_EF_COUNT_; i++) {
    if (e->field[i] == NULL) continue;
    lua_pushstring(L, e->field[i]);
    lua_setfield(L, -2, field_names[i]);
  }
  lua_pushstring(L, prg_error_message(e));
  lua_setfield(L, -2, "message");
  if (e->sqlstate[0] != '\0') {
    lua_pushstring(L, e->sqlstate);
    lua_setfield(L, -2, "sqlstate");
  }
  if (e->code != 0) {
    lua_pushinteger(L, e->code);
    lua_setfield(L, -2, "code");
  }
  if (e->position > 0) {
    lua_pushinteger(L, e->position);
    lua_setfield(L, -2, "position");
  }
  if (e->record > 0) {
    lua_pushinteger(L, (lua_Integer)e->record);
    lua_setfield(L, -2, "record");
  }
  lua_pushboolean(L, e->retryable);
  lua_setfield(L, -2, "retryable");
}

static void push_object(lua_State *L, const struct prg_error *e) {
  luaL_checkstack(L, 6, "error object");
  lua_createtable(L, 0, 8);
  set_fields(L, e);
  if (e->cause != NULL) {
    push_object(L, e->cause);
    lua_setfield(L, -2, "cause");
  }
  lua_rawgetp(L, LUA_REGISTRYINDEX, &error_key);
  lua_setmetatable(L, -2);
}

/* The C error is anchored in a box while Lua builds the object, so that a
** memory error of Lua's does not lose it. */
static int box__gc(lua_State *L) {
  struct prg_error **box = lua_touserdata(L, 1);
  prg_error_unref(*box);
  *box = NULL;
  return 0;
}

void prg_push_error(lua_State *L, struct prg_error *e) {
  struct prg_state *G = prg_state_get(L); /* NULL while the module is loaded */
  struct prg_error **box;
  if (G != NULL) { /* until it has its box; else the next one finds it here */
    prg_error_unref(G->limbo);
    G->limbo = e;
  }
  lua_rawgetp(L, LUA_REGISTRYINDEX, &box__gc); /* metatable of boxes */
  box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = e;
  if (G != NULL) G->limbo = NULL;
  lua_insert(L, -2);
  lua_setmetatable(L, -2);
  push_object(L, e);
  box = lua_touserdata(L, -2);
  prg_error_unref(*box);
  *box = NULL;
  lua_remove(L, -2);
}

int prg_raise(lua_State *L, struct prg_error *e) {
  prg_push_error(L, e);
  return lua_error(L);
}

int prg_usage(lua_State *L, const char *fmt, ...) {
  char text[512];
  va_list ap;
  va_start(ap, fmt);
  (void)vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  return prg_raise(L, prg_error_new(PRG_K_USAGE, "%s", text));
}

static enum prg_kind kind_of(const char *name) {
  int i;
  for (i = 0; name != NULL && i < PRG_K_COUNT_; i++)
    if (strcmp(prg_kind_name((enum prg_kind)i), name) == 0)
      return (enum prg_kind)i;
  return PRG_K_DATABASE;
}

/* Pushes field `k` of the table at `i` without metamethods. */
static const char *raw_string(lua_State *L, int i, const char *k) {
  lua_pushstring(L, k);
  lua_rawget(L, lua_absindex(L, i));
  return lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
}

static struct prg_error *from_table(lua_State *L, int i) {
  struct prg_error *e;
  enum prg_kind kind;
  const char *s;
  int f;
  i = lua_absindex(L, i);
  kind = kind_of(raw_string(L, i, "kind"));
  s = raw_string(L, i, "message");
  e = prg_error_new(kind, "%s", s != NULL ? s : "(error object)");
  lua_pop(L, 2);
  for (f = PRG_EF_MESSAGE + 1; f < PRG_EF_COUNT_; f++) {
    if ((s = raw_string(L, i, field_names[f])) != NULL)
      prg_error_set(e, (enum prg_error_field)f, s);
    lua_pop(L, 1);
  }
  if ((s = raw_string(L, i, "sqlstate")) != NULL && strlen(s) == 5 &&
      e != prg_error_oom())
    memcpy(e->sqlstate, s, 6);
  lua_pop(L, 1);
  return e;
}

struct prg_error *prg_error_from(lua_State *L, int i) {
  if (!lua_checkstack(L, 4)) return prg_error_oom();
  if (lua_type(L, i) == LUA_TTABLE) return from_table(L, i);
  if (lua_type(L, i) == LUA_TSTRING)
    return prg_error_new(PRG_K_DATABASE, "%s", lua_tostring(L, i));
  return prg_error_new(PRG_K_DATABASE, "error of type %s",
                       lua_typename(L, lua_type(L, i)));
}

/* "kind: message", on one line and without control characters. */
static int error__tostring(lua_State *L) {
  luaL_Buffer b;
  const char *kind, *s;
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  kind = raw_string(L, 1, "kind");
  s = raw_string(L, 1, "message");
  luaL_buffinit(L, &b);
  luaL_addstring(&b, kind != NULL ? kind : "error");
  luaL_addstring(&b, ": ");
  for (; s != NULL && *s != '\0'; s++)
    luaL_addchar(&b, (unsigned char)*s < ' ' || *s == 127 ? ' ' : *s);
  luaL_pushresult(&b);
  return 1;
}

static int error_concat(lua_State *L) {
  int i;
  for (i = 1; i <= 2; i++) {
    if (lua_type(L, i) != LUA_TTABLE) continue;
    lua_pushcfunction(L, error__tostring);
    lua_pushvalue(L, i);
    lua_call(L, 1, 1);
    lua_replace(L, i);
  }
  lua_settop(L, 2);
  lua_concat(L, 2);
  return 1;
}

/* core.new_error(kind, message [, fields]) -> object */
static int core_new_error(lua_State *L) {
  const char *kind = luaL_checkstring(L, 1);
  const char *message = luaL_checkstring(L, 2);
  lua_settop(L, 3);
  prg_push_error(L, prg_error_new(kind_of(kind), "%s", message));
  if (lua_istable(L, 3)) {
    lua_pushnil(L);
    while (lua_next(L, 3) != 0) {
      lua_pushvalue(L, -2);
      lua_insert(L, -2); /* object, key, key, value */
      lua_rawset(L, -4);
    }
  }
  return 1;
}

int prg_error_open(lua_State *L) {
  lua_createtable(L, 0, 1); /* metatable of boxes */
  lua_pushcfunction(L, box__gc);
  lua_setfield(L, -2, "__gc");
  lua_rawsetp(L, LUA_REGISTRYINDEX, &box__gc);
  lua_createtable(L, 0, 4);
  lua_pushliteral(L, "perigee.error");
  lua_setfield(L, -2, "__name");
  lua_pushcfunction(L, error__tostring);
  lua_setfield(L, -2, "__tostring");
  lua_pushcfunction(L, error_concat);
  lua_setfield(L, -2, "__concat");
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &error_key);
  lua_setfield(L, -2, "error");
  lua_pushcfunction(L, core_new_error);
  lua_setfield(L, -2, "new_error");
  return 0;
}
