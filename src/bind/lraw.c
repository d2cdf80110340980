/*
** perigee.sql(text, …): SQL of the user's own inside of a verb: a condition, a
** value, an order, a column. A userdata whose uservalue is { text, values }, so
** that what was checked cannot be changed. The text is scanned when it is used,
** since only then the dialect is known.
*/
#include "bind/crud_int.h"
#include "bind/lvalue.h"

static const char raw_key = 0; /* registry: the metatable */

bool prg_is_raw(lua_State *L, int i) {
  bool is;
  if (lua_type(L, i) != LUA_TUSERDATA || !lua_getmetatable(L, i)) return false;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &raw_key);
  is = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  return is;
}

/* ---- making one ---------------------------------------------------------- */

/* Is the argument at `i` a value that raw SQL takes? */
static void check_value(lua_State *L, int i) {
  bool ok;
  switch (lua_type(L, i)) {
    case LUA_TFUNCTION:
    case LUA_TTHREAD:
    case LUA_TUSERDATA:
      ok = false;
      break;
    case LUA_TLIGHTUSERDATA:
      ok = lua_touserdata(L, i) == NULL;
      break;
    case LUA_TTABLE:
      ok = !prg_is_plain_table(L, i);
      break;
    default:
      ok = true;
  }
  if (!ok)
    prg_usage(L,
              "perigee.sql: parameter %d cannot be %s (parameters are plain "
              "values, or one table of them)",
              i - 1, prg_wrap_describe(L, i));
}

/* Pushes the arguments from 2 to `n` as a list; nil is NULL. */
static void push_list(lua_State *L, int n) {
  int i;
  lua_createtable(L, n > 1 ? n - 1 : 0, 0);
  for (i = 2; i <= n; i++) {
    check_value(L, i);
    if (lua_isnil(L, i))
      lua_pushlightuserdata(L, NULL);
    else
      lua_pushvalue(L, i);
    lua_rawseti(L, -2, i - 1);
  }
}

/* perigee.sql(text, …) or perigee.sql(text, { … }) */
static int raw_make(lua_State *L) {
  int n = lua_gettop(L);
  if (lua_type(L, 1) != LUA_TSTRING)
    prg_usage(L, "perigee.sql: the SQL text must be a string, not %s",
              n > 0 ? prg_wrap_describe(L, 1) : "nothing");
  (void)lua_newuserdatauv(L, 1, 1);
  lua_createtable(L, 2, 0);
  lua_pushvalue(L, 1);
  lua_rawseti(L, -2, 1);
  if (n == 2 && prg_is_plain_table(L, 2))
    prg_table_copy(L, 2);
  else
    push_list(L, n);
  lua_rawseti(L, -2, 2);
  lua_setiuservalue(L, -2, 1);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &raw_key);
  lua_setmetatable(L, -2);
  return 1;
}

/* Without the values, which may be secret. */
static int raw__tostring(lua_State *L) {
  if (!prg_is_raw(L, 1)) return prg_usage(L, "not a perigee.sql");
  lua_getiuservalue(L, 1, 1);
  lua_rawgeti(L, -1, 1);
  lua_pushliteral(L, "perigee.sql ");
  lua_insert(L, -2);
  lua_concat(L, 2);
  return 1;
}

/* ---- using it ------------------------------------------------------------ */

static void check_flags(lua_State *L, const struct prg_sql *s) {
  const char *wrong = NULL;
  if (s->stmt->flags & PRG_STMT_EMPTY)
    wrong = "the text is empty";
  else if (s->stmt->flags & PRG_STMT_MULTI)
    wrong = "the text must be one expression, without a semicolon";
  else if (s->scan.unbalanced) /* it would leave the place it is put in */
    wrong = "a parenthesis has no other half";
  if (wrong != NULL)
    prg_usage(L, "perigee.sql \"%.200s\": %s", s->stmt->sql, wrong);
}

const struct prg_raw *prg_read_raw(lua_State *L, const struct prg_reader *r,
                                   int i) {
  int top = lua_gettop(L);
  const struct prg_sql *s;
  struct prg_value *values;
  struct prg_raw *raw;
  luaL_checkstack(L, 12, "perigee.sql");
  lua_getiuservalue(L, i, 1); /* its strings stay where they are */
  lua_rawgeti(L, top + 1, 1);
  lua_rawgeti(L, top + 1, 2);
  s = prg_sql_push(L, r->db, top + 2); /* stack: …, own, text, values, box */
  check_flags(L, s);
  values = prg_sql_values(L, s, top + 3, r->arena);
  raw = prg_raw_new(r->arena, &s->scan, values);
  if (raw == NULL) prg_raise(L, prg_error_oom());
  lua_settop(L, top);
  return raw;
}

int prg_raw_open(lua_State *L) {
  lua_createtable(L, 0, 3);
  lua_pushliteral(L, "perigee.sql");
  lua_setfield(L, -2, "__name");
  lua_pushcfunction(L, raw__tostring);
  lua_setfield(L, -2, "__tostring");
  lua_pushliteral(L, "perigee.sql");
  lua_setfield(L, -2, "__metatable");
  lua_rawsetp(L, LUA_REGISTRYINDEX, &raw_key);
  lua_pushcfunction(L, raw_make);
  lua_setfield(L, -2, "sql");
  return 0;
}
