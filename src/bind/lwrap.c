#include "bind/lvalue.h"

#include <limits.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- memory -------------------------------------------------------------- */

static const char scratch_key = 0; /* registry: metatable of prg_scratch */

void prg_scratch_fini(struct prg_scratch *s) {
  prg_arena_fini(&s->arena);
  prg_buf_fini(&s->buf);
}

static int scratch__gc(lua_State *L) {
  prg_scratch_fini(lua_touserdata(L, 1));
  return 0;
}

struct prg_scratch *prg_scratch_push(lua_State *L) {
  struct prg_scratch *s = lua_newuserdatauv(L, sizeof *s, 0);
  prg_arena_init(&s->arena);
  prg_buf_init(&s->buf, 0);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &scratch_key);
  lua_setmetatable(L, -2);
  return s;
}

void *prg_arena_need(lua_State *L, struct prg_arena *a, size_t count,
                     size_t size) {
  void *p = NULL;
  if (count <= SIZE_MAX / 2 / size) p = prg_arena_alloc(a, count * size);
  if (p == NULL) prg_raise(L, prg_error_oom());
  return p;
}

/* What was outgrown stays in the arena until its end: at most as much again. */
static void atext_grow(struct prg_atext *t, size_t n) {
  const size_t max = (size_t)1 << 30;
  size_t cap = t->cap < 128 ? 128 : t->cap;
  char *p;
  if (n > max || t->n > max - n)
    prg_raise(t->L, prg_error_new(PRG_K_RESOURCE, "text over 1 GiB"));
  while (cap < t->n + n) cap *= 2;
  p = prg_arena_need(t->L, t->a, cap, 1);
  if (t->n > 0) memcpy(p, t->p, t->n);
  t->p = p;
  t->cap = cap;
}

void prg_atext_add(struct prg_atext *t, const void *p, size_t n) {
  if (n > t->cap - t->n) atext_grow(t, n);
  if (n > 0) memcpy(t->p + t->n, p, n);
  t->n += n;
}

void prg_atext_adds(struct prg_atext *t, const char *s) {
  prg_atext_add(t, s, strlen(s));
}

/* The letter of a short escape, or 0. */
static char escape_letter(unsigned char c) {
  switch (c) {
    case '"':
    case '\\':
      return (char)c;
    case '\b':
      return 'b';
    case '\f':
      return 'f';
    case '\n':
      return 'n';
    case '\r':
      return 'r';
    case '\t':
      return 't';
    default:
      return 0;
  }
}

void prg_atext_quoted(struct prg_atext *t, const char *s, size_t n) {
  size_t i, from = 0;
  prg_atext_add(t, "\"", 1);
  for (i = 0; i < n; i++) {
    unsigned char c = (unsigned char)s[i];
    char esc[8];
    int len;
    if (c >= 0x20 && c != '"' && c != '\\') continue;
    prg_atext_add(t, s + from, i - from);
    from = i + 1;
    if (escape_letter(c) != 0)
      len = snprintf(esc, sizeof esc, "\\%c", escape_letter(c));
    else
      len = snprintf(esc, sizeof esc, "\\u%04x", c);
    prg_atext_add(t, esc, (size_t)len);
  }
  prg_atext_add(t, s + from, n - from);
  prg_atext_add(t, "\"", 1);
}

void prg_double_text(double d, char *buf) {
  const char *point = localeconv()->decimal_point;
  size_t len = strlen(point);
  char *at;
  /* 15 digits always survive; subnormal numbers have fewer than that. */
  int digits = fabs(d) < 0x1p-1022 ? 1 : 15;
  for (; digits < 18; digits++) {
    snprintf(buf, 40, "%.*g", digits, d);
    if (strtod(buf, NULL) == d) break;
  }
  at = len > 0 ? strstr(buf, point) : NULL;
  if (at != NULL) {
    *at = '.';
    memmove(at + 1, at + len, strlen(at + len) + 1);
  }
}

/* ---- metatables ---------------------------------------------------------- */

static const char kinds_key = 0;       /* registry: metatable to kind */
static const char bounds_key = 0;      /* registry: array to its lower bounds */
static const char metas[PRG_W_COUNT_]; /* registry: the metatables */

void prg_wrap_push(lua_State *L, enum prg_wrap kind) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &metas[kind]);
}

void prg_wrap_set(lua_State *L, enum prg_wrap kind) {
  prg_wrap_push(L, kind);
  lua_setmetatable(L, -2);
}

enum prg_wrap prg_wrap_of(lua_State *L, int i) {
  enum prg_wrap kind = PRG_W_OTHER;
  if (!lua_getmetatable(L, i)) return PRG_W_PLAIN;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &kinds_key);
  lua_insert(L, -2);
  lua_rawget(L, -2);
  if (lua_type(L, -1) == LUA_TNUMBER)
    kind = (enum prg_wrap)lua_tointeger(L, -1);
  lua_pop(L, 2);
  return kind;
}

void prg_wrap_field(lua_State *L, int i, const char *name) {
  i = lua_absindex(L, i);
  lua_pushstring(L, name);
  lua_rawget(L, i);
}

const char *prg_wrap_describe(lua_State *L, int i) {
  i = lua_absindex(L, i);
  if (lua_getmetatable(L, i)) {
    prg_wrap_field(L, -1, "__name");
    lua_remove(L, -2);
    if (lua_type(L, -1) == LUA_TSTRING) return lua_tostring(L, -1);
    lua_pop(L, 1);
  }
  if (lua_type(L, i) == LUA_TTABLE) return "a plain table";
  return luaL_typename(L, i);
}

/* ---- tables -------------------------------------------------------------- */

const char *prg_list_check(lua_State *L, int i, size_t *n) {
  size_t count = 0, max = 0;
  i = lua_absindex(L, i);
  lua_pushnil(L);
  while (lua_next(L, i)) {
    lua_Integer key = 0;
    lua_pop(L, 1);
    if (lua_type(L, -1) == LUA_TNUMBER && prg_isinteger(L, -1))
      key = lua_tointeger(L, -1);
    if (key < 1) {
      lua_pop(L, 1);
      return "it has keys other than 1 to n";
    }
    if ((size_t)key > max) max = (size_t)key;
    count++;
  }
  if (max != count) return "it has a hole (perigee.null stands for NULL)";
  if (count > INT_MAX) return "it is too long";
  *n = count;
  return NULL;
}

/* [-0, +1, m] */
static void table_copy_to(lua_State *L, int i) {
  lua_pushnil(L);
  while (lua_next(L, i)) { /* stack: copy, key, value */
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, -4);
  }
}

void prg_table_copy(lua_State *L, int i) {
  size_t n;
  i = lua_absindex(L, i);
  n = lua_rawlen(L, i);
  lua_createtable(L, n > INT_MAX ? INT_MAX : (int)n, 0);
  table_copy_to(L, i);
}

/* Takes the field `n` off the list on top and fills its holes. */
static void fill_holes(lua_State *L, const char *what) {
  lua_Integer k, n = -1;
  prg_wrap_field(L, -1, "n");
  if (lua_isnil(L, -1)) {
    lua_pop(L, 1);
    return;
  }
  if (lua_type(L, -1) == LUA_TNUMBER && prg_isinteger(L, -1))
    n = lua_tointeger(L, -1);
  lua_pop(L, 1);
  if (n < 0 || n > INT_MAX)
    prg_usage(L, "%s: the field n must be the length of the list", what);
  lua_pushliteral(L, "n");
  lua_pushnil(L);
  lua_rawset(L, -3);
  for (k = 1; k <= n; k++) {
    lua_rawgeti(L, -1, (int)k);
    if (lua_isnil(L, -1)) {
      lua_pushlightuserdata(L, NULL);
      lua_rawseti(L, -3, (int)k);
    }
    lua_pop(L, 1);
  }
}

void prg_list_copy(lua_State *L, int i, const char *what) {
  const char *wrong;
  size_t n;
  prg_table_copy(L, i);
  fill_holes(L, what);
  wrong = prg_list_check(L, -1, &n);
  if (wrong != NULL) prg_usage(L, "%s: not a list: %s", what, wrong);
}

void prg_wrap_check(lua_State *L, int i, unsigned kinds, const char *what) {
  kinds |= 1u << PRG_W_PLAIN | 1u << PRG_W_OTHER;
  if (lua_type(L, i) != LUA_TTABLE || !(kinds & 1u << prg_wrap_of(L, i)))
    prg_usage(L, "%s: a table is needed, not %s", what,
              prg_wrap_describe(L, i));
}

void prg_bounds_set(lua_State *L, const int32_t *lower, int n) {
  int k;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &bounds_key);
  lua_pushvalue(L, -2);
  lua_createtable(L, n, 0);
  for (k = 0; k < n; k++) {
    lua_pushinteger(L, lower[k]);
    lua_rawseti(L, -2, k + 1);
  }
  lua_rawset(L, -3);
  lua_pop(L, 1);
}

int prg_bounds_get(lua_State *L, int i, int32_t *lower) {
  int k, n = 0;
  i = lua_absindex(L, i);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &bounds_key);
  lua_pushvalue(L, i);
  lua_rawget(L, -2);
  if (lua_type(L, -1) == LUA_TTABLE) n = (int)lua_rawlen(L, -1);
  if (n > PRG_MAX_DIMS) n = PRG_MAX_DIMS;
  for (k = 0; k < n; k++) {
    lua_rawgeti(L, -1, k + 1);
    lower[k] = (int32_t)lua_tointeger(L, -1);
    lua_pop(L, 1);
  }
  lua_pop(L, 2);
  return n;
}

/* ---- constructors: lua_CFunctions, the class at 1 ------------------------ */

static int bytes_make(lua_State *L) {
  lua_settop(L, 2);
  if (lua_type(L, 2) == LUA_TTABLE && prg_wrap_of(L, 2) == PRG_W_BYTES)
    return 1;
  if (lua_type(L, 2) != LUA_TSTRING)
    prg_usage(L, "perigee.bytes: a string is needed, not %s",
              prg_wrap_describe(L, 2));
  lua_createtable(L, 0, 1);
  lua_pushvalue(L, 2);
  lua_setfield(L, -2, "value");
  prg_wrap_set(L, PRG_W_BYTES);
  return 1;
}

static int array_make(lua_State *L) {
  int32_t lower[PRG_MAX_DIMS];
  int n;
  lua_settop(L, 2);
  prg_wrap_check(L, 2, 1u << PRG_W_ARRAY | 1u << PRG_W_JSON_ARRAY,
                 "perigee.array");
  prg_list_copy(L, 2, "perigee.array");
  prg_wrap_set(L, PRG_W_ARRAY);
  n = prg_bounds_get(L, 2, lower);
  if (n > 0) prg_bounds_set(L, lower, n);
  return 1;
}

static int record_make(lua_State *L) {
  lua_settop(L, 2);
  prg_wrap_check(L, 2, 1u << PRG_W_RECORD | 1u << PRG_W_JSON_OBJECT,
                 "perigee.record");
  prg_table_copy(L, 2);
  fill_holes(L, "perigee.record");
  prg_wrap_set(L, PRG_W_RECORD);
  return 1;
}

static int hstore_make(lua_State *L) {
  lua_settop(L, 2);
  prg_wrap_check(L, 2, 1u << PRG_W_HSTORE | 1u << PRG_W_JSON_OBJECT,
                 "perigee.hstore");
  prg_table_copy(L, 2);
  prg_wrap_set(L, PRG_W_HSTORE);
  return 1;
}

static int multirange_make(lua_State *L) {
  lua_settop(L, 2);
  prg_wrap_check(L, 2, 1u << PRG_W_MULTIRANGE | 1u << PRG_W_ARRAY,
                 "perigee.multirange");
  prg_list_copy(L, 2, "perigee.multirange");
  prg_wrap_set(L, PRG_W_MULTIRANGE);
  return 1;
}

/* Sets field `name` of the table on top to argument `i` unless it is nil. */
static void set_argument(lua_State *L, int i, const char *name) {
  if (lua_isnil(L, i)) return;
  lua_pushvalue(L, i);
  lua_setfield(L, -2, name);
}

/* range(t) or range(lower, upper, bounds). */
static int range_make(lua_State *L) {
  int nargs = lua_gettop(L) - 1;
  enum prg_wrap kind = PRG_W_BYTES;
  if (nargs < 1 || nargs > 3)
    prg_usage(L, "perigee.range: takes a table, or lower, upper and bounds");
  lua_settop(L, 4);
  if (nargs == 1 && lua_type(L, 2) == LUA_TTABLE) kind = prg_wrap_of(L, 2);
  if (nargs == 1) {
    if (kind != PRG_W_PLAIN && kind != PRG_W_RANGE)
      prg_usage(L, "perigee.range: a table, or lower and upper, not %s",
                prg_wrap_describe(L, 2));
    prg_table_copy(L, 2);
  } else {
    lua_createtable(L, 0, 3);
    set_argument(L, 2, "lower");
    set_argument(L, 3, "upper");
    lua_pushliteral(L, "[)");
    if (lua_isnil(L, 4)) lua_replace(L, 4);
    lua_settop(L, 5);
    set_argument(L, 4, "bounds");
  }
  prg_wrap_set(L, PRG_W_RANGE);
  return 1;
}

/* ---- printing: __tostring ------------------------------------------------ */

enum { SHOW_DEPTH = 16, SHOW_ITEMS = 100, SHOW_BYTES = 32, SHOW_TEXT = 10000 };

static void show(struct prg_atext *t, int i, int depth);

static void show_bytes(struct prg_atext *t, int i) {
  size_t n = 0, k;
  const char *s;
  char hex[48];
  prg_wrap_field(t->L, i, "value");
  s = lua_tolstring(t->L, -1, &n);
  prg_atext_adds(t, "\\x");
  for (k = 0; s != NULL && k < n && k < SHOW_BYTES; k++) {
    snprintf(hex, sizeof hex, "%02x", (unsigned char)s[k]);
    prg_atext_adds(t, hex);
  }
  if (n > SHOW_BYTES) {
    snprintf(hex, sizeof hex, "… (%zu bytes)", n);
    prg_atext_adds(t, hex);
  }
  lua_pop(t->L, 1);
}

static void show_range(struct prg_atext *t, int i, int depth) {
  lua_State *L = t->L;
  const char *bounds;
  bool empty;
  prg_wrap_field(L, i, "empty");
  empty = lua_toboolean(L, -1);
  prg_wrap_field(L, i, "bounds");
  prg_wrap_field(L, i, "lower");
  prg_wrap_field(L, i, "upper"); /* stack: empty, bounds, lower, upper */
  bounds = lua_type(L, -3) == LUA_TSTRING ? lua_tostring(L, -3) : "";
  if (strlen(bounds) != 2) bounds = "[)";
  if (empty) {
    prg_atext_adds(t, "empty");
  } else {
    int top = lua_gettop(L);
    prg_atext_add(t, bounds, 1);
    if (!lua_isnil(L, top - 1)) show(t, top - 1, depth + 1);
    prg_atext_adds(t, ",");
    if (!lua_isnil(L, top)) show(t, top, depth + 1);
    prg_atext_add(t, bounds + 1, 1);
  }
  lua_pop(L, 4);
}

/* Items of a list without their keys, then those with names. */
static void show_table(struct prg_atext *t, int i, int depth) {
  lua_State *L = t->L;
  size_t list = lua_rawlen(L, i), shown = 0;
  bool more = false;
  prg_atext_adds(t, "{");
  while (shown < list && !more) {
    if (shown > 0) prg_atext_adds(t, ", ");
    lua_rawgeti(L, i, (int)++shown);
    show(t, lua_gettop(L), depth + 1);
    lua_pop(L, 1);
    more = shown == SHOW_ITEMS || t->n > SHOW_TEXT;
  }
  more = shown < list;
  lua_pushnil(L);
  while (lua_next(L, i)) {
    int top = lua_gettop(L);
    if (lua_type(L, top - 1) == LUA_TSTRING) {
      more = more || shown >= SHOW_ITEMS || t->n > SHOW_TEXT;
      if (more) break;
      if (shown++ > 0) prg_atext_adds(t, ", ");
      prg_atext_adds(t, lua_tostring(L, top - 1));
      prg_atext_adds(t, " = ");
      show(t, top, depth + 1);
    }
    lua_settop(L, top - 1);
  }
  if (more) prg_atext_adds(t, ", …");
  prg_atext_adds(t, "}");
}

static void show_number(struct prg_atext *t, int i) {
  char buf[40];
  double d = lua_tonumber(t->L, i);
#if PRG_INT64
  if (lua_isinteger(t->L, i))
    snprintf(buf, sizeof buf, "%lld", (long long)lua_tointeger(t->L, i));
  else
#endif
      if (isfinite(d))
    prg_double_text(d, buf);
  else
    snprintf(buf, sizeof buf, "%s", isnan(d) ? "nan" : d < 0 ? "-inf" : "inf");
  prg_atext_adds(t, buf);
}

/* JSON is printed by its own __tostring, a C function that does not raise but
** for memory. */
static void show_json(struct prg_atext *t, int i) {
  lua_State *L = t->L;
  size_t n;
  const char *s;
  lua_pushcfunction(L, prg_json_tostring);
  lua_pushvalue(L, i);
  lua_call(L, 1, 1);
  s = lua_tolstring(L, -1, &n);
  prg_atext_add(t, s, n);
  lua_pop(L, 1);
}

static void show_wrapped(struct prg_atext *t, int i, int depth) {
  switch (prg_wrap_of(t->L, i)) {
    case PRG_W_BYTES:
      show_bytes(t, i);
      break;
    case PRG_W_JSON:
    case PRG_W_RAW_JSON:
    case PRG_W_JSON_OBJECT:
    case PRG_W_JSON_ARRAY:
      show_json(t, i);
      break;
    case PRG_W_RANGE:
      show_range(t, i, depth);
      break;
    default:
      show_table(t, i, depth);
      break;
  }
}

/* `i` is absolute. */
static void show(struct prg_atext *t, int i, int depth) {
  lua_State *L = t->L;
  int top = lua_gettop(L);
  size_t n;
  const char *s;
  luaL_checkstack(L, 10, NULL);
  switch (lua_type(L, i)) {
    case LUA_TBOOLEAN:
      prg_atext_adds(t, lua_toboolean(L, i) ? "true" : "false");
      break;
    case LUA_TNUMBER:
      show_number(t, i);
      break;
    case LUA_TSTRING:
      s = lua_tolstring(L, i, &n);
      prg_atext_quoted(t, s, n);
      break;
    case LUA_TTABLE:
      if (depth < SHOW_DEPTH)
        show_wrapped(t, i, depth);
      else
        prg_atext_adds(t, "…");
      lua_settop(L, top);
      break;
    default:
      prg_atext_adds(
          t, lua_touserdata(L, i) == NULL ? "null" : luaL_typename(L, i));
      break;
  }
}

static int wrap__tostring(lua_State *L) {
  struct prg_atext t = {0};
  struct prg_scratch *s;
  lua_settop(L, 1);
  if (lua_type(L, 1) != LUA_TTABLE) return prg_usage(L, "not a value");
  s = prg_scratch_push(L);
  t.L = L;
  t.a = &s->arena;
  show(&t, 1, 0);
  lua_pushlstring(L, t.p == NULL ? "" : t.p, t.n);
  prg_scratch_fini(s);
  return 1;
}

/* ---- opening ------------------------------------------------------------- */

struct wrap_class {
  const char *name; /* in the module's table */
  lua_CFunction make, tostring;
};

static const struct wrap_class classes[PRG_W_COUNT_] = {
    [PRG_W_BYTES] = {"bytes", bytes_make, wrap__tostring},
    [PRG_W_JSON] = {"json", prg_json_make, prg_json_tostring},
    [PRG_W_RAW_JSON] = {"raw_json", prg_raw_json_make, prg_json_tostring},
    [PRG_W_JSON_OBJECT] = {"json_object", prg_json_object_make,
                           prg_json_tostring},
    [PRG_W_JSON_ARRAY] = {"json_array", prg_json_array_make, prg_json_tostring},
    [PRG_W_ARRAY] = {"array", array_make, wrap__tostring},
    [PRG_W_RECORD] = {"record", record_make, wrap__tostring},
    [PRG_W_RANGE] = {"range", range_make, wrap__tostring},
    [PRG_W_MULTIRANGE] = {"multirange", multirange_make, wrap__tostring},
    [PRG_W_HSTORE] = {"hstore", hstore_make, wrap__tostring},
};

static int constructor__tostring(lua_State *L) {
  lua_settop(L, 1);
  prg_wrap_field(L, 1, "__name");
  return 1;
}

/* stack: module, kinds. Adds one class to both. */
static void open_class(lua_State *L, enum prg_wrap kind) {
  const struct wrap_class *k = &classes[kind];
  lua_createtable(L, 0, 4);
  lua_pushfstring(L, "perigee.%s", k->name);
  lua_setfield(L, -2, "__name");
  lua_pushcfunction(L, k->tostring);
  lua_setfield(L, -2, "__tostring");
  lua_createtable(L, 0, 3); /* what makes the metatable a constructor */
  lua_pushliteral(L, "perigee.constructor");
  lua_setfield(L, -2, "__name");
  lua_pushcfunction(L, k->make);
  lua_setfield(L, -2, "__call");
  lua_pushcfunction(L, constructor__tostring);
  lua_setfield(L, -2, "__tostring");
  lua_setmetatable(L, -2); /* stack: module, kinds, class */
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &metas[kind]);
  lua_pushvalue(L, -1);
  lua_pushinteger(L, (lua_Integer)kind);
  lua_rawset(L, -4);
  lua_setfield(L, -3, k->name);
}

void prg_wrap_open(lua_State *L) {
  int kind;
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, scratch__gc);
  lua_setfield(L, -2, "__gc");
  lua_rawsetp(L, LUA_REGISTRYINDEX, &scratch_key);
  lua_newtable(L); /* the bounds: weak keys, so that arrays can go */
  lua_createtable(L, 0, 1);
  lua_pushliteral(L, "k");
  lua_setfield(L, -2, "__mode");
  lua_setmetatable(L, -2);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &bounds_key);
  lua_createtable(L, 0, PRG_W_COUNT_);
  for (kind = PRG_W_BYTES; kind < PRG_W_COUNT_; kind++)
    open_class(L, (enum prg_wrap)kind);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &kinds_key);
}
