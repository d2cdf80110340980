/* What is known of a table, as Lua hands it over: a box around a prg_table. */
#include "bind/crud_int.h"

#define TINFO_MT "perigee.table_info"

static const char tinfo_magic = 0;

struct tinfo {
  const void *magic;
  struct prg_table *table; /* a reference, or NULL while it is made */
};

static int tinfo__gc(lua_State *L) {
  struct tinfo *t = lua_touserdata(L, 1);
  prg_table_unref(t->table);
  t->table = NULL;
  return 0;
}

const struct prg_table *prg_tinfo_check(lua_State *L, int i) {
  const struct tinfo *t = NULL;
  if (lua_type(L, i) == LUA_TTABLE) {
    lua_rawgeti(L, i, 2);
    if (lua_type(L, -1) == LUA_TUSERDATA &&
        lua_rawlen(L, -1) == sizeof(struct tinfo))
      t = lua_touserdata(L, -1);
    lua_pop(L, 1); /* stays in the handle */
  }
  if (t == NULL || t->magic != &tinfo_magic || t->table == NULL)
    prg_usage(L, "a handle of a table is expected, not %s",
              luaL_typename(L, i));
  return t->table;
}

/* ---- the description ---------------------------------------------------- */

/* Pushes field `k` of the table on top and checks its type; nil is refused
** unless it `may` be absent. [-0, +1, e] */
static void push_field(lua_State *L, const char *k, int type, bool may) {
  lua_getfield(L, -1, k);
  if (lua_type(L, -1) == type || (may && lua_isnil(L, -1))) return;
  prg_usage(L, "table_info: %s: a %s is expected, not %s", k,
            lua_typename(L, type), luaL_typename(L, -1));
}

/* A text that stays in the table on top, or NULL. */
static const char *text_field(lua_State *L, const char *k, bool may) {
  const char *s;
  push_field(L, k, LUA_TSTRING, may);
  s = lua_tostring(L, -1);
  lua_pop(L, 1);
  return s;
}

static bool flag_field(lua_State *L, const char *k) {
  bool set;
  lua_getfield(L, -1, k);
  set = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return set;
}

static enum prg_class class_field(lua_State *L, const char *k, bool may) {
  const char *s = text_field(L, k, may);
  enum prg_class c = s != NULL ? prg_class_find(s) : PRG_CLASS_ANY;
  if (c == PRG_CLASS_COUNT_)
    prg_usage(L, "table_info: %s: there is no class \"%s\"", k, s);
  return c;
}

/* From the table on top, in which the texts stay. */
static void read_column(lua_State *L, struct prg_col_spec *c) {
  const char *s;
  c->name = text_field(L, "name", false);
  s = text_field(L, "type", true);
  c->type = s != NULL ? s : "";
  s = text_field(L, "title", true);
  c->title = s != NULL ? s : c->type;
  c->cls = class_field(L, "class", false);
  c->elem = class_field(L, "elem", true);
  push_field(L, "bits", LUA_TNUMBER, true);
  c->bits = lua_isnil(L, -1) ? 64 : (int)lua_tointeger(L, -1);
  lua_pop(L, 1);
  c->not_null = flag_field(L, "not_null");
  c->has_default = flag_field(L, "default");
  c->generated = flag_field(L, "generated");
  c->orderable = flag_field(L, "orderable");
  c->folded = flag_field(L, "folded");
  c->jsonb = flag_field(L, "jsonb");
  c->defined = flag_field(L, "defined");
}

/* `n` zeroed objects that the collector frees. [-0, +1, e] */
static void *push_array(lua_State *L, size_t n, size_t size) {
  void *p = lua_newuserdatauv(L, n * size + 1, 0);
  memset(p, 0, n * size + 1);
  return p;
}

/* Pushes the list `k` of the specification and room for its members.
** [-0, +2, e] */
static void *push_list(lua_State *L, const char *k, size_t size, int *n) {
  lua_pushvalue(L, 2);
  push_field(L, k, LUA_TTABLE, false);
  lua_remove(L, -2);
  *n = (int)lua_rawlen(L, -1);
  return push_array(L, (size_t)*n, size);
}

/* Pushes member `i` of the list at `list`, which has to be a table. */
static void push_member(lua_State *L, int list, int i) {
  lua_rawgeti(L, list, i + 1);
  if (!lua_istable(L, -1))
    prg_usage(L, "table_info: a list of tables is expected");
}

/* [-0, +2, e] */
static void read_columns(lua_State *L, struct prg_table_spec *s) {
  struct prg_col_spec *c = push_list(L, "columns", sizeof *c, &s->ncols);
  int i, list = lua_gettop(L) - 1;
  for (i = 0; i < s->ncols; i++) {
    push_member(L, list, i);
    read_column(L, &c[i]);
    lua_pop(L, 1); /* stays in the list */
  }
  s->cols = c;
}

/* From the table on top; its column numbers go to the room at `cols`. Returns how
** many there are. */
static int read_key(lua_State *L, struct prg_key_spec *k, int *cols,
                    int ncols) {
  const char *name = text_field(L, "name", true);
  int i, n;
  k->name = name != NULL ? name : "";
  k->primary = flag_field(L, "primary");
  push_field(L, "columns", LUA_TTABLE, false);
  n = (int)lua_rawlen(L, -1);
  for (i = 0; i < n; i++) {
    lua_Integer at;
    lua_rawgeti(L, -1, i + 1);
    at = lua_tointeger(L, -1);
    lua_pop(L, 1);
    if (at < 1 || at > ncols)
      prg_usage(L, "table_info: key %s: there is no such column", k->name);
    cols[i] = (int)at - 1;
  }
  lua_pop(L, 1);
  k->ncols = n;
  k->cols = cols;
  return n;
}

/* How many columns all keys of the list at `list` have. */
static size_t count_key_columns(lua_State *L, int list, int nkeys) {
  size_t n = 0;
  int i;
  for (i = 0; i < nkeys; i++) {
    push_member(L, list, i);
    push_field(L, "columns", LUA_TTABLE, false);
    n += lua_rawlen(L, -1);
    lua_pop(L, 2);
  }
  return n;
}

/* [-0, +3, e] */
static void read_keys(lua_State *L, struct prg_table_spec *s) {
  struct prg_key_spec *k = push_list(L, "keys", sizeof *k, &s->nkeys);
  int i, list = lua_gettop(L) - 1;
  int *cols = push_array(L, count_key_columns(L, list, s->nkeys), sizeof *cols);
  for (i = 0; i < s->nkeys; i++) {
    push_member(L, list, i);
    cols += read_key(L, &k[i], cols, s->ncols);
    lua_pop(L, 1);
  }
  s->keys = k;
}

/* core.table_info(db | exec, { schema =, name =, is_view =, columns = { { name =,
** type =, title =, class =, elem =, bits =, not_null =, default =, generated =,
** orderable =, folded =, jsonb =, defined = }, … }, keys = { { name =, primary =, columns =
** { number, … } }, … } }) -> table_info */
static int core_table_info(lua_State *L) {
  struct prg_table_spec spec;
  struct prg_error *err = NULL;
  struct prg_exec *x;
  const struct prg_db *db = prg_exec_resolve(L, &x);
  struct tinfo *t;
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_settop(L, 2);
  t = lua_newuserdatauv(L, sizeof *t, 0);
  t->magic = &tinfo_magic;
  t->table = NULL;
  luaL_getmetatable(L, TINFO_MT);
  lua_setmetatable(L, -2);
  memset(&spec, 0, sizeof spec);
  lua_pushvalue(L, 2);
  spec.schema = text_field(L, "schema", true);
  spec.name = text_field(L, "name", false);
  spec.is_view = flag_field(L, "is_view");
  read_columns(L, &spec);
  read_keys(L, &spec);
  t->table = prg_table_new(db->dialect, &spec, &err);
  if (t->table == NULL) return prg_raise(L, err);
  lua_pushvalue(L, 3);
  return 1;
}

static int tinfo__tostring(lua_State *L) {
  const struct tinfo *t = luaL_checkudata(L, 1, TINFO_MT);
  lua_pushfstring(L, TINFO_MT " %s",
                  t->table != NULL ? t->table->quoted.p : "(freed)");
  return 1;
}

static const luaL_Reg functions[] = {{"table_info", core_table_info},
                                     {NULL, NULL}};

int prg_tinfo_open(lua_State *L) {
  luaL_newmetatable(L, TINFO_MT);
  lua_pushliteral(L, TINFO_MT);
  lua_setfield(L, -2, "__name");
  lua_pushcfunction(L, tinfo__gc);
  lua_setfield(L, -2, "__gc");
  lua_pushcfunction(L, tinfo__tostring);
  lua_setfield(L, -2, "__tostring");
  lua_pop(L, 1);
  prg_set_functions(L, functions);
  return 0;
}
