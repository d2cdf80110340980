#include "bind/lvalue.h"

#include <limits.h>
#include <stdio.h>

/* ---- 64-bit integers where a number is a double -------------------------- */

#if !PRG_INT64

static const char make_int64_key = 0; /* registry: (high, low) -> int64_t */
static const char int64_text_key = 0; /* registry: cdata -> text or nil */

/* Both functions need LuaJIT's ffi; a state without it has neither. */
static const char int64_source[] =
    "local ffi = require 'ffi'\n"
    "local i64, u64 = ffi.typeof 'int64_t', ffi.typeof 'uint64_t'\n"
    "local istype, tostring = ffi.istype, tostring\n"
    "local high = i64(4294967296)\n"
    "return function(h, l) return i64(h) * high + i64(l) end,\n"
    "  function(v)\n"
    "    if istype(i64, v) or istype(u64, v) then return tostring(v) end\n"
    "  end\n";

static void open_int64(lua_State *L) {
  int top = lua_gettop(L);
  if (luaL_loadstring(L, int64_source) == 0 && lua_pcall(L, 0, 2, 0) == 0) {
    lua_rawsetp(L, LUA_REGISTRYINDEX, &int64_text_key);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &make_int64_key);
  }
  lua_settop(L, top);
}

static void push_cdata(lua_State *L, int64_t i) {
  uint64_t u = (uint64_t)i;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &make_int64_key);
  if (lua_isnil(L, -1)) prg_usage(L, "int8 = \"cdata\" needs LuaJIT's ffi");
  lua_pushnumber(L, (int32_t)(uint32_t)(u >> 32));
  lua_pushnumber(L, (uint32_t)u);
  lua_call(L, 2, 1);
}

bool prg_cdata_digits(lua_State *L, int i) {
  const char *s;
  size_t n;
  i = lua_absindex(L, i);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &int64_text_key);
  if (lua_isnil(L, -1)) {
    lua_pop(L, 1);
    return false;
  }
  lua_pushvalue(L, i);
  lua_call(L, 1, 1);
  s = lua_tolstring(L, -1, &n);
  if (s == NULL) {
    lua_pop(L, 1);
    return false;
  }
  while (n > 0 && (s[n - 1] == 'L' || s[n - 1] == 'U')) n--;
  lua_pushlstring(L, s, n);
  lua_remove(L, -2);
  return true;
}

static void push_digits(lua_State *L, int64_t i) {
  char buf[24];
  snprintf(buf, sizeof buf, "%lld", (long long)i);
  lua_pushstring(L, buf);
}

void prg_push_long(lua_State *L, const struct prg_value_options *o, int64_t i) {
  if (o->int8 == PRG_INT8_CDATA)
    push_cdata(L, i);
  else
    push_digits(L, i);
}
#endif

/* ---- from the database to Lua -------------------------------------------- */

/* Lua reads the digits by its own rules, which know no locale, but not the
** three words. */
static void push_decimal(lua_State *L, const struct prg_value_options *o,
                         const struct prg_text *s) {
  lua_Number d;
  lua_pushlstring(L, s->p, s->n);
  if (!o->numeric_number) return;
  if (s->n == 3 && memcmp(s->p, "NaN", 3) == 0)
    d = (lua_Number)NAN;
  else if (s->n == 8 && memcmp(s->p, "Infinity", 8) == 0)
    d = (lua_Number)HUGE_VAL;
  else if (s->n == 9 && memcmp(s->p, "-Infinity", 9) == 0)
    d = -(lua_Number)HUGE_VAL;
  else if (lua_isnumber(L, -1))
    d = lua_tonumber(L, -1);
  else
    return; /* not a number after all: the text is what there is */
  lua_pop(L, 1);
  lua_pushnumber(L, d);
}

struct pusher {
  lua_State *L;
  const struct prg_value_options *o;
};

/* Lists of so many members are made by a function that has them all as arguments,
** which takes less time than as many calls of lua_rawseti. */
enum { PACK_MIN = 24, PACK_MAX = 200 };

static const char pack_key = 0; /* registry: function(...) return {...} end */

static void push_inner(struct pusher *p, const struct prg_value *v, int depth);

static int table_size(size_t n) {
  return n > INT_MAX ? INT_MAX : (int)n;
}

/* A member of a list; integers without a call. */
static inline void push_member(struct pusher *p, const struct prg_value *v,
                               int depth) {
  if (v->type == PRG_INT)
    prg_push_int(p->L, p->o, v);
  else
    push_inner(p, v, depth);
}

static void push_packed(struct pusher *p, const struct prg_vlist *list,
                        int depth) {
  lua_State *L = p->L;
  size_t k;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &pack_key);
  for (k = 0; k < list->n; k++) push_member(p, &list->items[k], depth + 1);
  lua_call(L, (int)list->n, 1);
}

static void push_list(struct pusher *p, const struct prg_vlist *list,
                      int depth) {
  lua_State *L = p->L;
  size_t k;
  if (list->n >= PACK_MIN && list->n <= PACK_MAX &&
      lua_checkstack(L, PACK_MAX + 8)) {
    push_packed(p, list, depth);
    return;
  }
  lua_createtable(L, table_size(list->n), 0);
  for (k = 0; k < list->n; k++) {
    push_member(p, &list->items[k], depth + 1);
    lua_rawseti(L, -2, (int)k + 1);
  }
}

static void push_array(struct pusher *p, const struct prg_vlist *list,
                       int depth) {
  push_list(p, list, depth);
  prg_wrap_set(p->L, PRG_W_ARRAY);
  if (list->lower != NULL && list->n > 0 && list->ndim <= PRG_MAX_DIMS)
    prg_bounds_set(p->L, list->lower, list->ndim);
}

static void push_map(struct pusher *p, const struct prg_vmap *map, int depth) {
  lua_State *L = p->L;
  size_t k;
  bool named = map->keys != NULL;
  lua_createtable(L, named ? 0 : table_size(map->n),
                  named ? table_size(map->n) : 0);
  for (k = 0; k < map->n; k++) {
    if (named) lua_pushlstring(L, map->keys[k].p, map->keys[k].n);
    push_inner(p, &map->values[k], depth + 1);
    if (named)
      lua_rawset(L, -3);
    else
      lua_rawseti(L, -2, (int)k + 1);
  }
}

static void push_range(struct pusher *p, const struct prg_vrange *r,
                       int depth) {
  lua_State *L = p->L;
  char bounds[2];
  lua_createtable(L, 0, 3);
  if (r->empty) {
    lua_pushboolean(L, 1);
    lua_setfield(L, -2, "empty");
  } else {
    bounds[0] = r->lower_inc ? '[' : '(';
    bounds[1] = r->upper_inc ? ']' : ')';
    lua_pushlstring(L, bounds, 2);
    lua_setfield(L, -2, "bounds");
    if (r->lower.type != PRG_NULL) {
      push_inner(p, &r->lower, depth + 1);
      lua_setfield(L, -2, "lower");
    }
    if (r->upper.type != PRG_NULL) {
      push_inner(p, &r->upper, depth + 1);
      lua_setfield(L, -2, "upper");
    }
  }
  prg_wrap_set(L, PRG_W_RANGE);
}

static void push_json(struct pusher *p, const struct prg_text *s) {
  if (p->o->json_raw)
    prg_push_raw_json(p->L, s->p, s->n);
  else
    prg_push_json(p->L, s->p, s->n);
}

/* Tables. */
static void push_structure(struct pusher *p, const struct prg_value *v,
                           int depth) {
  if (depth > PRG_MAX_DEPTH || !lua_checkstack(p->L, 8))
    prg_usage(p->L, "a value is nested more than %d deep", PRG_MAX_DEPTH);
  switch (v->type) {
    case PRG_LIST:
      push_array(p, v->u.list, depth);
      break;
    case PRG_MULTIRANGE:
      push_list(p, v->u.list, depth);
      prg_wrap_set(p->L, PRG_W_MULTIRANGE);
      break;
    case PRG_RECORD:
      push_map(p, v->u.map, depth);
      prg_wrap_set(p->L, PRG_W_RECORD);
      break;
    case PRG_HSTORE:
      push_map(p, v->u.map, depth);
      prg_wrap_set(p->L, PRG_W_HSTORE);
      break;
    default:
      push_range(p, v->u.range, depth);
      break;
  }
}

static void push_inner(struct pusher *p, const struct prg_value *v, int depth) {
  lua_State *L = p->L;
  switch (v->type) {
    case PRG_NULL:
      if (depth == 0)
        lua_pushnil(L);
      else
        lua_pushlightuserdata(L, NULL);
      break;
    case PRG_BOOL:
      lua_pushboolean(L, v->u.b);
      break;
    case PRG_INT:
      prg_push_int(L, p->o, v);
      break;
    case PRG_DOUBLE:
      lua_pushnumber(L, v->u.d);
      break;
    case PRG_TEXT:
    case PRG_BYTES:
      lua_pushlstring(L, v->u.s.p, v->u.s.n);
      break;
    case PRG_DECIMAL:
      push_decimal(L, p->o, &v->u.s);
      break;
    case PRG_JSON:
      push_json(p, &v->u.s);
      break;
    default:
      push_structure(p, v, depth);
      break;
  }
}

void prg_push_value(lua_State *L, const struct prg_value_options *o,
                    const struct prg_value *v) {
  struct pusher p;
  p.L = L;
  p.o = o;
  push_inner(&p, v, 0);
}

/* ---- from Lua to the database -------------------------------------------- */

struct taker {
  lua_State *L;
  struct prg_arena *a;
  const char *what;
};

static void take(struct taker *t, int i, int depth, struct prg_value *out);

/* Raises "$3: …", or "inside $3: …" for a part of the value. */
static void refuse(struct taker *t, int depth, const char *why) {
  prg_usage(t->L, "%s%s: %s", depth > 0 ? "inside " : "", t->what, why);
}

static bool is_null(lua_State *L, int i) {
  return lua_isnoneornil(L, i) ||
         (lua_type(L, i) == LUA_TLIGHTUSERDATA && lua_touserdata(L, i) == NULL);
}

static void take_string(lua_State *L, int i, struct prg_value *out) {
  out->type = PRG_TEXT;
  out->u.s.p = lua_tolstring(L, i, &out->u.s.n);
}

static void take_number(lua_State *L, int i, struct prg_value *out) {
  double d;
#if PRG_INT64
  if (lua_isinteger(L, i)) {
    out->type = PRG_INT;
    out->u.i = lua_tointeger(L, i);
    return;
  }
#endif
  d = lua_tonumber(L, i);
  if (d >= -0x1p63 && d < 0x1p63 && d == floor(d) && !(d == 0 && signbit(d))) {
    out->type = PRG_INT;
    out->u.i = (int64_t)d;
  } else {
    out->type = PRG_DOUBLE;
    out->u.d = d;
  }
}

/* The string field `name` of the wrapper at `i`. */
static void take_field(struct taker *t, int i, int depth, const char *name,
                       struct prg_value *out) {
  prg_wrap_field(t->L, i, name);
  if (lua_type(t->L, -1) != LUA_TSTRING)
    prg_usage(t->L, "%s%s: its field %s must be a string, not %s",
              depth > 0 ? "inside " : "", t->what, name,
              prg_wrap_describe(t->L, -1));
  take_string(t->L, -1, out);
  lua_pop(t->L, 1); /* the wrapper keeps it */
}

/* The members of the list at `i`. In an array (dims > 0) a plain table or an
** array is one more dimension. */
static struct prg_vlist *take_list(struct taker *t, int i, int depth,
                                   int dims) {
  lua_State *L = t->L;
  struct prg_vlist *list = prg_arena_need(L, t->a, 1, sizeof *list);
  const char *wrong = prg_list_check(L, i, &list->n);
  size_t k;
  if (wrong != NULL) refuse(t, depth, wrong);
  if (dims > PRG_MAX_DIMS)
    refuse(t, depth, "an array has at most 6 dimensions");
  if (!lua_checkstack(L, 8)) refuse(t, depth, "it is nested too deep");
  list->ndim = list->n > 0;
  list->lower = NULL;
  list->items = prg_arena_need(L, t->a, list->n, sizeof *list->items);
  for (k = 0; k < list->n; k++) {
    struct prg_value *item = &list->items[k];
    enum prg_wrap kind = PRG_W_OTHER;
    int top = lua_gettop(L) + 1;
    lua_rawgeti(L, i, (int)k + 1);
    if (dims > 0 && lua_type(L, top) == LUA_TTABLE) kind = prg_wrap_of(L, top);
    if (kind == PRG_W_PLAIN || kind == PRG_W_ARRAY) {
      memset(item, 0, sizeof *item);
      item->type = PRG_LIST;
      item->u.list = take_list(t, top, depth + 1, dims + 1);
      if (k == 0) list->ndim += item->u.list->ndim;
    } else {
      take(t, top, depth + 1, item);
    }
    lua_settop(L, top - 1);
  }
  return list;
}

static void take_array(struct taker *t, int i, int depth,
                       struct prg_value *out) {
  int32_t lower[PRG_MAX_DIMS], *copy;
  struct prg_vlist *list = take_list(t, i, depth, 1);
  int n = prg_bounds_get(t->L, i, lower);
  out->type = PRG_LIST;
  out->u.list = list;
  if (n == 0 || list->n == 0) return; /* an empty array has no bounds */
  if (n != list->ndim)
    refuse(t, depth,
           "the array was read with lower bounds for another number of "
           "dimensions (perigee.array(t) of a plain table has none)");
  copy = prg_arena_need(t->L, t->a, (size_t)n, sizeof *copy);
  memcpy(copy, lower, (size_t)n * sizeof *copy);
  list->lower = copy;
}

/* The bounds of the range at `i`, "[)" when it does not tell. */
static void take_bounds(struct taker *t, int i, int depth,
                        struct prg_vrange *r) {
  const char *s = "[)";
  prg_wrap_field(t->L, i, "bounds");
  if (lua_type(t->L, -1) == LUA_TSTRING)
    s = lua_tostring(t->L, -1);
  else if (!is_null(t->L, -1))
    s = "";
  if (strcmp(s, "[)") != 0 && strcmp(s, "[]") != 0 && strcmp(s, "()") != 0 &&
      strcmp(s, "(]") != 0)
    refuse(t, depth,
           "the bounds of a range are \"[)\", \"[]\", \"()\" or "
           "\"(]\"");
  r->lower_inc = s[0] == '[';
  r->upper_inc = s[1] == ']';
  lua_pop(t->L, 1);
}

static void check_range_keys(struct taker *t, int i, int depth) {
  lua_State *L = t->L;
  lua_pushnil(L);
  while (lua_next(L, i)) {
    const char *key = "";
    lua_pop(L, 1);
    if (lua_type(L, -1) == LUA_TSTRING) key = lua_tostring(L, -1);
    if (strcmp(key, "lower") != 0 && strcmp(key, "upper") != 0 &&
        strcmp(key, "bounds") != 0 && strcmp(key, "empty") != 0)
      refuse(t, depth, "a range has the fields lower, upper, bounds and empty");
  }
}

static void take_range(struct taker *t, int i, int depth,
                       struct prg_value *out) {
  lua_State *L = t->L;
  struct prg_vrange *r = prg_arena_need(L, t->a, 1, sizeof *r);
  memset(r, 0, sizeof *r);
  check_range_keys(t, i, depth);
  out->type = PRG_RANGE;
  out->u.range = r;
  prg_wrap_field(L, i, "empty");
  r->empty = !is_null(L, -1) && lua_toboolean(L, -1);
  prg_wrap_field(L, i, "lower");
  take(t, lua_gettop(L), depth + 1, &r->lower);
  prg_wrap_field(L, i, "upper");
  take(t, lua_gettop(L), depth + 1, &r->upper);
  lua_pop(L, 3);
  take_bounds(t, i, depth, r);
  if (r->empty && (r->lower.type != PRG_NULL || r->upper.type != PRG_NULL))
    refuse(t, depth, "an empty range has neither lower nor upper");
}

static void take_multirange(struct taker *t, int i, int depth,
                            struct prg_value *out) {
  lua_State *L = t->L;
  struct prg_vlist *list = prg_arena_need(L, t->a, 1, sizeof *list);
  const char *wrong = prg_list_check(L, i, &list->n);
  size_t k;
  if (wrong != NULL) refuse(t, depth, wrong);
  list->ndim = list->n > 0;
  list->lower = NULL;
  list->items = prg_arena_need(L, t->a, list->n, sizeof *list->items);
  for (k = 0; k < list->n; k++) {
    int top = lua_gettop(L) + 1;
    enum prg_wrap kind = PRG_W_OTHER;
    lua_rawgeti(L, i, (int)k + 1);
    if (lua_type(L, top) == LUA_TTABLE) kind = prg_wrap_of(L, top);
    if (kind != PRG_W_PLAIN && kind != PRG_W_RANGE)
      refuse(t, depth, "the members of a multirange are ranges");
    memset(&list->items[k], 0, sizeof list->items[k]);
    take_range(t, top, depth + 1, &list->items[k]);
    lua_settop(L, top - 1);
  }
  out->type = PRG_MULTIRANGE;
  out->u.list = list;
}

/* Number of the names in the table at `i`; all its keys must be strings. */
static size_t count_names(struct taker *t, int i, int depth) {
  size_t n = 0;
  lua_pushnil(t->L);
  while (lua_next(t->L, i)) {
    lua_pop(t->L, 1);
    if (lua_type(t->L, -1) != LUA_TSTRING)
      refuse(t, depth, "it has keys that are not names");
    n++;
  }
  return n;
}

static struct prg_vmap *take_map(struct taker *t, int i, int depth) {
  lua_State *L = t->L;
  struct prg_vmap *map = prg_arena_need(L, t->a, 1, sizeof *map);
  int base = lua_gettop(L);
  size_t k = 0;
  map->n = count_names(t, i, depth);
  map->keys = prg_arena_need(L, t->a, map->n, sizeof *map->keys);
  map->values = prg_arena_need(L, t->a, map->n, sizeof *map->values);
  lua_pushnil(L);
  while (k < map->n && lua_next(L, i)) {
    int top = lua_gettop(L);
    map->keys[k].p = lua_tolstring(L, top - 1, &map->keys[k].n);
    take(t, top, depth + 1, &map->values[k]);
    lua_settop(L, top - 1);
    k++;
  }
  lua_settop(L, base); /* the last key */
  map->n = k;
  return map;
}

/* By name, or by position when the keys are 1 to n. */
static void take_record(struct taker *t, int i, int depth,
                        struct prg_value *out) {
  struct prg_vlist *list;
  struct prg_vmap *map;
  out->type = PRG_RECORD;
  if (lua_rawlen(t->L, i) == 0) {
    out->u.map = take_map(t, i, depth);
    return;
  }
  list = take_list(t, i, depth, 0);
  map = prg_arena_need(t->L, t->a, 1, sizeof *map);
  map->n = list->n;
  map->keys = NULL;
  map->values = list->items;
  out->u.map = map;
}

static void take_hstore(struct taker *t, int i, int depth,
                        struct prg_value *out) {
  size_t k;
  out->type = PRG_HSTORE;
  out->u.map = take_map(t, i, depth);
  for (k = 0; k < out->u.map->n; k++) {
    enum prg_type type = out->u.map->values[k].type;
    if (type != PRG_TEXT && type != PRG_NULL)
      refuse(t, depth, "the values of an hstore are strings or perigee.null");
  }
}

static void take_json(struct taker *t, int i, int depth,
                      struct prg_value *out) {
  out->type = PRG_JSON;
  out->u.s = prg_json_encode(t->L, i, t->a, t->what);
  (void)depth;
}

static void refuse_table(struct taker *t, int i, int depth, bool plain) {
  if (plain)
    refuse(t, depth,
           "a plain table is not a value: use perigee.json(t) for JSON or "
           "perigee.array(t) for an array");
  prg_usage(t->L,
            "%s%s: cannot send %s: a value is nil, perigee.null, a boolean, a "
            "number, a string or made by perigee.json, array, bytes, …",
            depth > 0 ? "inside " : "", t->what, prg_wrap_describe(t->L, i));
}

/* long: table */
static void take_table(struct taker *t, int i, int depth,
                       struct prg_value *out) {
  enum prg_wrap kind = prg_wrap_of(t->L, i);
  switch (kind) {
    case PRG_W_BYTES:
      take_field(t, i, depth, "value", out);
      out->type = PRG_BYTES;
      break;
    case PRG_W_RAW_JSON:
      take_field(t, i, depth, "text", out);
      out->type = PRG_JSON;
      break;
    case PRG_W_JSON:
    case PRG_W_JSON_OBJECT:
    case PRG_W_JSON_ARRAY:
      take_json(t, i, depth, out);
      break;
    case PRG_W_ARRAY:
      take_array(t, i, depth, out);
      break;
    case PRG_W_RECORD:
      take_record(t, i, depth, out);
      break;
    case PRG_W_RANGE:
      take_range(t, i, depth, out);
      break;
    case PRG_W_MULTIRANGE:
      take_multirange(t, i, depth, out);
      break;
    case PRG_W_HSTORE:
      take_hstore(t, i, depth, out);
      break;
    default:
      refuse_table(t, i, depth, kind == PRG_W_PLAIN);
      break;
  }
}

static const char default_key = 0; /* registry: perigee.default */

bool prg_is_default(lua_State *L, int i) {
  bool is;
  if (lua_type(L, i) != LUA_TUSERDATA) return false;
  i = lua_absindex(L, i);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &default_key);
  is = lua_rawequal(L, i, -1);
  lua_pop(L, 1);
  return is;
}

static void refuse_other(struct taker *t, int i, int depth) {
  if (prg_is_default(t->L, i))
    refuse(t, depth,
           "perigee.default stands only for the value of a column in insert, "
           "upsert and update");
  refuse_table(t, i, depth, false);
}

#if !PRG_INT64
/* An int64_t or uint64_t; past int64 it goes as a decimal. */
static bool take_cdata(struct taker *t, int i, struct prg_value *out) {
  bool negative;
  uint64_t u = 0;
  size_t n, k;
  const char *s;
  if (lua_type(t->L, i) != PRG_TCDATA || !prg_cdata_digits(t->L, i))
    return false;
  s = lua_tolstring(t->L, -1, &n);
  negative = s[0] == '-';
  for (k = negative; k < n; k++) u = u * 10 + (uint64_t)(s[k] - '0');
  if (u > INT64_MAX && !negative) {
    char *copy = prg_arena_need(t->L, t->a, n, 1);
    memcpy(copy, s, n);
    out->type = PRG_DECIMAL;
    out->u.s.p = copy;
    out->u.s.n = n;
  } else {
    out->type = PRG_INT;
    out->u.i = (int64_t)(negative ? 0 - u : u);
  }
  lua_pop(t->L, 1);
  return true;
}
#endif

bool prg_quick_value(lua_State *L, int i, struct prg_value *out) {
  switch (lua_type(L, i)) {
    case LUA_TSTRING:
      take_string(L, i, out);
      return true;
    case LUA_TNUMBER:
      take_number(L, i, out);
      return true;
    case LUA_TBOOLEAN:
      out->type = PRG_BOOL;
      out->u.b = lua_toboolean(L, i);
      return true;
    case LUA_TNIL:
      out->type = PRG_NULL;
      return true;
    default:
      return false;
  }
}

/* `i` is absolute. */
static void take(struct taker *t, int i, int depth, struct prg_value *out) {
  lua_State *L = t->L;
  memset(out, 0, sizeof *out);
  if (depth > PRG_MAX_DEPTH || !lua_checkstack(L, 10))
    refuse(t, depth, "it is nested too deep, or contains itself");
  switch (lua_type(L, i)) {
    case LUA_TBOOLEAN:
      out->type = PRG_BOOL;
      out->u.b = lua_toboolean(L, i);
      return;
    case LUA_TNUMBER:
      take_number(L, i, out);
      return;
    case LUA_TSTRING:
      take_string(L, i, out);
      return;
    case LUA_TTABLE:
      take_table(t, i, depth, out);
      return;
    default:
      break;
  }
  if (is_null(L, i)) return;
#if !PRG_INT64
  if (take_cdata(t, i, out)) return;
#endif
  refuse_other(t, i, depth);
}

void prg_to_value(lua_State *L, int i, struct prg_arena *a, const char *what,
                  struct prg_value *out) {
  struct taker t;
  t.L = L;
  t.a = a;
  t.what = what;
  take(&t, lua_absindex(L, i), 0, out);
}

/* ---- opening ------------------------------------------------------------- */

static int default__tostring(lua_State *L) {
  lua_pushliteral(L, "perigee.default");
  return 1;
}

int prg_value_open(lua_State *L) {
  prg_wrap_open(L);
#if !PRG_INT64
  open_int64(L);
#endif
  if (luaL_loadstring(L, "return {...}") != LUA_OK) lua_error(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &pack_key);
  lua_pushlightuserdata(L, NULL);
  lua_setfield(L, -2, "null");
  (void)lua_newuserdatauv(L, 1, 0);
  lua_createtable(L, 0, 2);
  lua_pushliteral(L, "perigee.default");
  lua_setfield(L, -2, "__name");
  lua_pushcfunction(L, default__tostring);
  lua_setfield(L, -2, "__tostring");
  lua_setmetatable(L, -2);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &default_key);
  lua_setfield(L, -2, "default");
  return 0;
}
