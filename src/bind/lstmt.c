/* Statements: the scanned form of each SQL text, kept per handle, and the
** values of a call matched to its placeholders. */
#include "bind/lvalue.h"

#include <stdio.h>

#include "base/mem.h"

#define MAX_CACHED 4096 /* texts; then the cache starts anew */

#define SAME(flag) \
  _Static_assert((int)PRG_STMT_##flag == (int)PRG_SCAN_##flag, #flag)
SAME(READ);
SAME(CONTROL);
SAME(SESSION);
SAME(TOUCH);
SAME(COPY);
SAME(MULTI);
SAME(EMPTY);
SAME(CURSOR);
SAME(UTILITY);
SAME(VALUES);
SAME(COMMITS);

static const char box_key = 0; /* registry: metatable of the cache's boxes */

void prg_sql_unref(struct prg_sql *s) {
  if (s == NULL || --s->refs > 0) return;
  prg_stmt_unref(s->stmt);
  prg_scan_fini(&s->scan);
  prg_free(s);
}

static int box__gc(lua_State *L) {
  struct prg_sql **box = lua_touserdata(L, 1);
  prg_sql_unref(*box);
  *box = NULL;
  return 0;
}

static bool is_in_order(const struct prg_scan *scan) {
  int i;
  for (i = 0; i < scan->nparams; i++)
    if (scan->order[i] != i) return false;
  return scan->nparams == scan->nvalues;
}

/* Scans the text into `s`. NULL, or the error. */
static struct prg_error *scan(const struct prg_dialect *d, const char *text,
                              size_t len, struct prg_sql *s) {
  struct prg_error *err = NULL;
  if (prg_scan(d, text, len, &s->scan, &err) != PRG_OK) {
    if (err != prg_error_oom()) prg_error_set(err, PRG_EF_SQL, text);
    return err;
  }
  s->in_order = is_in_order(&s->scan);
  s->stmt =
      prg_stmt_new(s->scan.sql, s->scan.len, s->scan.flags, s->scan.nparams);
  return s->stmt == NULL ? prg_error_oom() : NULL;
}

/* Most calls are made with a string that was used before: the same object, as it
** is interned, or a constant. The cache keeps those that are its keys, so while
** they are in there their addresses are nobody else's. */
static struct prg_sql **recent(struct prg_db *db, const char *text) {
  uintptr_t n = (uintptr_t)text >> 4;
  return &db->recent[(n ^ (n >> 6)) % PRG_RECENT_SQL];
}

static void remember(struct prg_db *db, struct prg_sql *s) {
  struct prg_sql **at = recent(db, s->key);
  if (*at == s) return;
  prg_sql_unref(*at);
  s->refs++;
  *at = s;
}

void prg_sql_forget(struct prg_db *db) {
  size_t i;
  for (i = 0; i < PRG_RECENT_SQL; i++) {
    prg_sql_unref(db->recent[i]);
    db->recent[i] = NULL;
  }
}

static void start_cache(lua_State *L, struct prg_db *db) {
  prg_sql_forget(db);
  lua_createtable(L, 0, 64);
  lua_rawseti(L, LUA_REGISTRYINDEX, db->sql_ref);
  db->nsql = 0;
}

struct prg_sql *prg_sql_once(lua_State *L, struct prg_db *db, int i) {
  struct prg_error *err;
  struct prg_sql **box, *s;
  size_t len;
  const char *text;
  if (lua_type(L, i) != LUA_TSTRING)
    prg_usage(L, "the SQL text must be a string, not %s", luaL_typename(L, i));
  text = lua_tolstring(L, i, &len);
  box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &box_key);
  lua_setmetatable(L, -2);
  s = *box = prg_calloc(1, sizeof *s);
  if (s == NULL) prg_raise(L, prg_error_oom());
  s->refs = 1;
  err = scan(db->dialect, text, len, s);
  if (err != NULL) prg_raise(L, err);
  return s;
}

/* Scans the string at `i` and puts it into the cache. [-0, +1, e] */
static struct prg_sql *add(lua_State *L, struct prg_db *db, int i) {
  struct prg_sql *s = prg_sql_once(L, db, i);
  if (db->nsql >= MAX_CACHED) start_cache(L, db);
  lua_rawgeti(L, LUA_REGISTRYINDEX, db->sql_ref);
  lua_pushvalue(L, i);
  lua_pushvalue(L, -3);
  lua_rawset(L, -3);
  lua_pop(L, 1);
  db->nsql++;
  s->key = lua_tostring(L, i);
  return s;
}

struct prg_sql *prg_sql_push(lua_State *L, struct prg_db *db, int i) {
  struct prg_sql **box;
  i = lua_absindex(L, i);
  if (lua_type(L, i) != LUA_TSTRING) return prg_sql_once(L, db, i);
  lua_rawgeti(L, LUA_REGISTRYINDEX, db->sql_ref);
  lua_pushvalue(L, i);
  lua_rawget(L, -2);
  lua_remove(L, -2);
  box = lua_touserdata(L, -1);
  if (box != NULL) return *box;
  lua_pop(L, 1);
  return add(L, db, i);
}

struct prg_sql *prg_sql_get(lua_State *L, struct prg_db *db, int i) {
  const char *text = lua_type(L, i) == LUA_TSTRING ? lua_tostring(L, i) : NULL;
  struct prg_sql *s = text == NULL ? NULL : *recent(db, text);
  if (s == NULL || s->key != text) {
    s = prg_sql_push(L, db, i);
    if (s->key == text) remember(db, s);
    lua_pop(L, 1);
  }
  s->refs++;
  return s;
}

/* ---- values of a call --------------------------------------------------- */

/* "$2" and the like for messages, in the style of the text. */
static const char *value_name(const struct prg_sql *s, int i, char buf[80]) {
  if (s->scan.style == PRG_STYLE_NAMED)
    (void)snprintf(buf, 80, ":%.70s", s->scan.names[i]);
  else if (s->scan.style == PRG_STYLE_DOLLAR)
    (void)snprintf(buf, 80, "$%d", i + 1);
  else
    (void)snprintf(buf, 80, "parameter %d", i + 1);
  return buf;
}

bool prg_is_plain_table(lua_State *L, int i) {
  if (lua_type(L, i) != LUA_TTABLE) return false;
  if (!lua_getmetatable(L, i)) return true;
  lua_pop(L, 1);
  return false;
}

static void plain_values(lua_State *L, const struct prg_sql *s, int first,
                         struct prg_arena *a, struct prg_value *v) {
  int i, n = lua_gettop(L) - first + 1;
  char name[80];
  if (n == s->scan.nvalues + 1 && prg_is_plain_table(L, first + n - 1))
    prg_usage(L,
              "options come after a table of parameters: "
              "query(sql, { … }, options)");
  if (n != s->scan.nvalues)
    prg_usage(L, "the statement has %d parameter%s, and %d value%s given",
              s->scan.nvalues, s->scan.nvalues == 1 ? "" : "s", n,
              n == 1 ? " is" : "s are");
  if (s->scan.style == PRG_STYLE_NAMED && n > 0)
    prg_usage(L,
              "the statement has named parameters (%s): give them in a table",
              value_name(s, 0, name));
  for (i = 0; i < n; i++)
    if (!prg_quick_value(L, first + i, &v[i]))
      prg_to_value(L, first + i, a, value_name(s, i, name), &v[i]);
}

/* Pushes the value for placeholder `i` out of the table at `t`. */
static void push_given(lua_State *L, const struct prg_sql *s, int t, int i) {
  if (s->scan.style == PRG_STYLE_NAMED) {
    lua_pushstring(L, s->scan.names[i]);
    lua_rawget(L, t);
  } else {
    lua_rawgeti(L, t, i + 1);
  }
}

static bool is_name(const struct prg_sql *s, const char *key) {
  int i;
  for (i = 0; i < s->scan.nvalues; i++)
    if (strcmp(s->scan.names[i], key) == 0) return true;
  return false;
}

/* Finds the key of the table that no placeholder asks for, and tells. */
static void complain_extra(lua_State *L, const struct prg_sql *s, int t) {
  lua_pushnil(L);
  while (lua_next(L, t) != 0) {
    lua_pop(L, 1);
    if (s->scan.style == PRG_STYLE_NAMED) {
      if (lua_type(L, -1) != LUA_TSTRING)
        prg_usage(L,
                  "the statement has named parameters, and the table has "
                  "a key of type %s",
                  luaL_typename(L, -1));
      if (!is_name(s, lua_tostring(L, -1)))
        prg_usage(L, "there is no parameter :%s in the statement",
                  lua_tostring(L, -1));
    } else if (lua_type(L, -1) == LUA_TSTRING) {
      prg_usage(L,
                "the table of parameters has the key \"%s\": the statement "
                "has %d positional parameters",
                lua_tostring(L, -1), s->scan.nvalues);
    }
  }
  prg_usage(L, "too many values: the statement has %d parameters",
            s->scan.nvalues);
}

static void table_values(lua_State *L, const struct prg_sql *s, int t,
                         struct prg_arena *a, struct prg_value *v) {
  int i, extra = 0;
  char name[80];
  for (i = 0; i < s->scan.nvalues; i++) {
    push_given(L, s, t, i);
    if (lua_isnil(L, -1))
      prg_usage(L, "no value for %s (NULL is perigee.null)",
                value_name(s, i, name));
    if (!prg_quick_value(L, lua_gettop(L), &v[i]))
      prg_to_value(L, lua_gettop(L), a, value_name(s, i, name), &v[i]);
    lua_pop(L, 1); /* stays in the table */
  }
  lua_pushnil(L);
  while (lua_next(L, t) != 0) {
    lua_pop(L, 1);
    extra++;
  }
  if (extra > s->scan.nvalues) complain_extra(L, s, t);
}

/* From the order of the user's values to the order of what is sent. */
static struct prg_value *reorder(lua_State *L, const struct prg_sql *s,
                                 struct prg_arena *a, struct prg_value *v) {
  struct prg_value *out;
  int i;
  if (s->in_order) return v;
  out = prg_arena_alloc(a, sizeof *out * (size_t)(s->scan.nparams + 1));
  if (out == NULL) prg_raise(L, prg_error_oom());
  for (i = 0; i < s->scan.nparams; i++) out[i] = v[s->scan.order[i]];
  return out;
}

static struct prg_value *new_values(lua_State *L, const struct prg_sql *s,
                                    struct prg_arena *a) {
  struct prg_value *v =
      prg_arena_alloc(a, sizeof *v * (size_t)(s->scan.nvalues + 1));
  if (v == NULL) prg_raise(L, prg_error_oom());
  return v;
}

struct prg_value *prg_sql_values(lua_State *L, const struct prg_sql *s, int t,
                                 struct prg_arena *a) {
  struct prg_value *v = new_values(L, s, a);
  table_values(L, s, t, a, v);
  return v;
}

struct prg_value *prg_sql_table(lua_State *L, const struct prg_sql *s, int t,
                                struct prg_arena *a) {
  return reorder(L, s, a, prg_sql_values(L, s, t, a));
}

int prg_sql_params(lua_State *L, const struct prg_sql *s, int first,
                   struct prg_arena *a, struct prg_value **params) {
  int n = lua_gettop(L) - first + 1;
  struct prg_value *v;
  *params = NULL;
  if (n >= 1 && prg_is_plain_table(L, first)) {
    if (n > 2)
      prg_usage(L,
                "after the table of parameters only a table of options may "
                "follow");
    if (n == 2 && !lua_isnil(L, first + 1) && !prg_is_plain_table(L, first + 1))
      prg_usage(L, "the options must be a table, not %s",
                luaL_typename(L, first + 1));
    *params = prg_sql_table(L, s, first, a);
    return n == 2 && lua_istable(L, first + 1) ? first + 1 : 0;
  }
  if (n == 0 && s->scan.nvalues == 0) return 0;
  v = new_values(L, s, a);
  plain_values(L, s, first, a, v);
  *params = reorder(L, s, a, v);
  return 0;
}

void prg_sql_open(lua_State *L) {
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, box__gc);
  lua_setfield(L, -2, "__gc");
  lua_rawsetp(L, LUA_REGISTRYINDEX, &box_key);
}

void prg_sql_init(lua_State *L, struct prg_db *db) {
  lua_createtable(L, 0, 0);
  db->sql_ref = luaL_ref(L, LUA_REGISTRYINDEX);
  start_cache(L, db);
}
