/*
** Lua values as values of a column. What a column takes is said by its class;
** nothing is changed silently: what would be cut, rounded or read as something
** else is refused, naming the column, its type and what came.
*/
#include "bind/crud_int.h"
#include "bind/lvalue.h"

#include <stdio.h>

#include "base/civil.h"

struct conv {
  lua_State *L;
  const struct prg_reader *r;
  const struct prg_target *t;
  enum prg_class cls; /* of the column, or of its members */
};

static void convert(struct conv *c, int i, struct prg_value *out);

static bool has(const struct conv *c, unsigned bit) {
  return (c->r->table->dialect->build & bit) != 0;
}

static const char *name_of(const struct conv *c) {
  return c->t->key != NULL ? c->t->key : c->t->col->name.p;
}

/* ---- refusing ------------------------------------------------------------ */

enum { SHOWN = 80, SHOWN_TEXT = 40 };

/* At most SHOWN_TEXT bytes, and no half of a character. */
static int shown_length(const char *s, size_t n) {
  if (n <= SHOWN_TEXT) return (int)n;
  n = SHOWN_TEXT;
  while (n > 0 && ((unsigned char)s[n] & 0xC0) == 0x80) n--;
  return (int)n;
}

static const char *show_number(lua_State *L, int i, char *buf) {
  double d = lua_tonumber(L, i);
#if PRG_INT64
  if (lua_isinteger(L, i)) {
    (void)snprintf(buf, SHOWN, "%lld", (long long)lua_tointeger(L, i));
    return buf;
  }
#endif
  if (isfinite(d))
    prg_double_text(d, buf);
  else
    (void)snprintf(buf, SHOWN, "%s", isnan(d) ? "NaN" : d < 0 ? "-inf" : "inf");
  return buf;
}

/* What came, for messages; may leave something on the stack. */
static const char *show(lua_State *L, int i, char *buf) {
  const char *s;
  size_t n;
  switch (lua_type(L, i)) {
    case LUA_TNUMBER:
      return show_number(L, i, buf);
    case LUA_TSTRING:
      s = lua_tolstring(L, i, &n);
      (void)snprintf(buf, SHOWN, "\"%.*s%s\"", shown_length(s, n), s,
                     n > SHOWN_TEXT ? "…" : "");
      return buf;
    case LUA_TBOOLEAN:
      return lua_toboolean(L, i) ? "true" : "false";
    case LUA_TLIGHTUSERDATA:
      return lua_touserdata(L, i) == NULL ? "null" : "a userdata";
    default:
      return prg_wrap_describe(L, i);
  }
}

/* Raises "age: 3.5 is not an integer (column of type int4)". */
static void refuse(struct conv *c, int i, const char *wants) {
  char buf[SHOWN];
  prg_refuse_known(c->L, "%.120s: %s is not %s (%s of type %.60s)", name_of(c),
                   show(c->L, i, buf), wants,
                   c->t->member ? "member" : "column", c->t->col->title);
}

/* Raises "age: 70000 is out of range (column of type int2)". */
static void refuse_range(struct conv *c, int i, const char *why) {
  char buf[SHOWN];
  prg_refuse_known(c->L, "%.120s: %s %s (column of type %.60s)", name_of(c),
                   show(c->L, i, buf), why, c->t->col->title);
}

/* ---- numbers ------------------------------------------------------------- */

enum digits { DIGITS_OK, DIGITS_NONE, DIGITS_LARGE };

/* A decimal integer: an optional minus sign and digits. */
static enum digits read_integer(const char *s, size_t n, int64_t *out) {
  bool negative = n > 0 && s[0] == '-';
  uint64_t limit = (uint64_t)INT64_MAX + (negative ? 1 : 0), u = 0;
  size_t k = negative;
  if (k == n) return DIGITS_NONE;
  for (k = negative; k < n; k++)
    if (s[k] < '0' || s[k] > '9') return DIGITS_NONE;
  for (k = negative; k < n; k++) {
    unsigned d = (unsigned)(s[k] - '0');
    if (u > (limit - d) / 10) return DIGITS_LARGE;
    u = u * 10 + d;
  }
  *out = negative ? (int64_t)(0 - u) : (int64_t)u;
  return DIGITS_OK;
}

/* A Lua number. */
static enum digits number_integer(lua_State *L, int i, int64_t *out) {
  double d;
#if PRG_INT64
  if (lua_isinteger(L, i)) {
    *out = lua_tointeger(L, i);
    return DIGITS_OK;
  }
#endif
  d = lua_tonumber(L, i);
  if (!isfinite(d) || d != floor(d)) return DIGITS_NONE;
  if (!(d >= -0x1p63 && d < 0x1p63)) return DIGITS_LARGE;
  *out = (int64_t)d;
  return DIGITS_OK;
}

/* An integer in any of its forms: a number, digits, an int64_t of LuaJIT's. */
static enum digits any_integer(lua_State *L, int i, int64_t *out) {
  const char *s;
  size_t n;
  int type = lua_type(L, i);
  if (type == LUA_TNUMBER) return number_integer(L, i, out);
  if (type == LUA_TSTRING) {
    s = lua_tolstring(L, i, &n);
    return read_integer(s, n, out);
  }
#if !PRG_INT64
  if (type == PRG_TCDATA && prg_cdata_digits(L, i)) {
    enum digits how;
    s = lua_tolstring(L, -1, &n);
    how = read_integer(s, n, out);
    lua_pop(L, 1);
    return how;
  }
#endif
  return DIGITS_NONE;
}

static void set_int(struct prg_value *out, int64_t v) {
  out->type = PRG_INT;
  out->u.i = v;
}

/* Digits beyond int64_t, for a column that has room for them. */
static bool to_large(struct conv *c, int i, struct prg_value *out) {
  if (c->t->col->bits <= 64 || lua_type(c->L, i) != LUA_TSTRING) return false;
  out->type = PRG_DECIMAL;
  out->u.s.p = lua_tolstring(c->L, i, &out->u.s.n);
  return true;
}

static void to_int(struct conv *c, int i, struct prg_value *out) {
  int bits = c->t->col->bits;
  int64_t v = 0, max = INT64_MAX;
  enum digits how = any_integer(c->L, i, &v);
  if (bits > 0 && bits < 64) max = ((int64_t)1 << (bits - 1)) - 1;
  if (how == DIGITS_NONE) refuse(c, i, "an integer");
  if (how == DIGITS_LARGE && to_large(c, i, out)) return;
  if (how == DIGITS_LARGE || v > max || v < -max - 1)
    refuse_range(c, i, "is out of range");
  set_int(out, v);
}

/* NaN, Infinity and -Infinity as words. */
static bool is_special(const char *s, size_t n, double *d) {
  if (n == 3 && memcmp(s, "NaN", 3) == 0)
    *d = (double)NAN;
  else if (n == 8 && memcmp(s, "Infinity", 8) == 0)
    *d = (double)HUGE_VAL;
  else if (n == 9 && memcmp(s, "-Infinity", 9) == 0)
    *d = -(double)HUGE_VAL;
  else
    return false;
  return true;
}

/* An integer that a double cannot hold would be another one. */
static double exact_double(struct conv *c, int i, int64_t v) {
  double d = (double)v;
  if (d >= 0x1p63 || (int64_t)d != v)
    refuse_range(c, i, "cannot be held exactly by a floating-point number");
  return d;
}

static void to_float(struct conv *c, int i, struct prg_value *out) {
  lua_State *L = c->L;
  int type = lua_type(L, i);
  int64_t v;
  size_t n;
  double d = 0;
  bool ok;
  if (type == LUA_TSTRING) {
    const char *s = lua_tolstring(L, i, &n);
    ok = is_special(s, n, &d);
  } else if (type == LUA_TNUMBER && !prg_isinteger(L, i)) {
    d = lua_tonumber(L, i);
    ok = true;
  } else {
    ok = any_integer(L, i, &v) == DIGITS_OK;
    if (ok) d = exact_double(c, i, v);
  }
  if (!ok) refuse(c, i, "a number");
  if (isnan(d) && has(c, PRG_BUILD_NO_NAN))
    refuse_range(c, i, "would be stored as NULL by this database");
  out->type = PRG_DOUBLE;
  out->u.d = d;
}

static void set_decimal(struct prg_value *out, const char *p, size_t n) {
  out->type = PRG_DECIMAL;
  out->u.s.p = p;
  out->u.s.n = n;
}

/* May a decimal of these digits be stored here without loss? */
static void check_digits(struct conv *c, int i, const char *s, size_t n) {
  struct prg_decimal d;
  if (!prg_decimal_read(s, n, &d)) refuse(c, i, "a decimal number");
  if (!has(c, PRG_BUILD_DECIMAL15)) return;
  if (d.digits > 15)
    refuse_range(c, i,
                 "has more than 15 significant digits, which this database "
                 "would round");
  if (d.exponent > 307 || d.exponent < -307)
    refuse_range(c, i, "is out of range for this database");
}

static void decimal_text(struct conv *c, int i, struct prg_value *out) {
  double d;
  size_t n;
  const char *s = lua_tolstring(c->L, i, &n);
  if (is_special(s, n, &d)) {
    if (has(c, PRG_BUILD_NO_NAN))
      refuse_range(c, i, "cannot be stored by this database");
  } else {
    check_digits(c, i, s, n);
  }
  set_decimal(out, s, n);
}

/* A number that is no integer, by the shortest text that reads back as it. */
static void decimal_double(struct conv *c, int i, struct prg_value *out) {
  double d = lua_tonumber(c->L, i);
  char buf[40];
  size_t n;
  if (isnan(d) && !has(c, PRG_BUILD_NO_NAN)) {
    set_decimal(out, "NaN", 3);
    return;
  }
  if (!isfinite(d)) refuse(c, i, "a decimal number");
  if (has(c, PRG_BUILD_DECIMAL15)) { /* it is what the column holds */
    out->type = PRG_DOUBLE;
    out->u.d = d;
    return;
  }
  prg_double_text(d, buf);
  n = strlen(buf);
  set_decimal(out, memcpy(prg_arena_need(c->L, c->r->arena, n, 1), buf, n), n);
}

static void to_numeric(struct conv *c, int i, struct prg_value *out) {
  int type = lua_type(c->L, i);
  int64_t v;
  char buf[24];
  if (type == LUA_TSTRING) {
    decimal_text(c, i, out);
  } else if (any_integer(c->L, i, &v) == DIGITS_OK) {
    int n = snprintf(buf, sizeof buf, "%lld", (long long)v);
    check_digits(c, i, buf, (size_t)n);
    set_int(out, v);
  } else if (type == LUA_TNUMBER) {
    decimal_double(c, i, out);
  } else {
    refuse(c, i, "a decimal number");
  }
}

/* ---- texts --------------------------------------------------------------- */

static void to_text(struct conv *c, int i, struct prg_value *out) {
  if (lua_type(c->L, i) != LUA_TSTRING) refuse(c, i, "a string");
  out->type = PRG_TEXT;
  out->u.s.p = lua_tolstring(c->L, i, &out->u.s.n);
}

static void to_bytes(struct conv *c, int i, struct prg_value *out) {
  lua_State *L = c->L;
  if (lua_type(L, i) == LUA_TTABLE && prg_wrap_of(L, i) == PRG_W_BYTES)
    prg_wrap_field(L, i, "value"); /* the wrapper keeps it */
  else
    lua_pushvalue(L, i);
  if (lua_type(L, -1) != LUA_TSTRING) refuse(c, i, "a string of bytes");
  out->type = PRG_BYTES;
  out->u.s.p = lua_tolstring(L, -1, &out->u.s.n);
  lua_pop(L, 1);
}

static void own_text(struct conv *c, const char *s, size_t n,
                     struct prg_value *out) {
  out->u.s.p = memcpy(prg_arena_need(c->L, c->r->arena, n, 1), s, n);
  out->u.s.n = n;
}

static void to_uuid(struct conv *c, int i, struct prg_value *out) {
  char buf[37];
  if (lua_type(c->L, i) != LUA_TSTRING) refuse(c, i, "a UUID (a string)");
  to_text(c, i, out);
  if (!prg_uuid(out->u.s.p, out->u.s.n, buf))
    refuse(c, i, "a UUID (8-4-4-4-12 hexadecimal digits)");
  own_text(c, buf, 36, out); /* databases may have it as a text */
}

/* Z or an offset behind the time of day. */
static bool has_zone(const struct prg_text *t) {
  size_t i;
  if (t->n == 0) return false;
  if (t->p[t->n - 1] == 'Z' || t->p[t->n - 1] == 'z') return true;
  for (i = sizeof "2026-11-20" - 1; i < t->n; i++)
    if (t->p[i] == '+' || t->p[i] == '-') return true;
  return false;
}

/* What cannot be read here is the server's to refuse. */
static void to_utc(struct conv *c, struct prg_value *out) {
  char buf[PRG_CIVIL_ROOM];
  size_t n;
  if (!has_zone(&out->u.s)) return;
  n = prg_civil(PRG_CIVIL_TIMESTAMPTZ, out->u.s.p, out->u.s.n, buf);
  if (n > 0 && buf[n - 1] == 'Z') own_text(c, buf, n - 1, out);
}

static void to_civil(struct conv *c, int i, struct prg_value *out) {
  static const struct {
    enum prg_civil kind;
    const char *wants;
  } forms[PRG_CLASS_COUNT_] = {
      [PRG_CLASS_DATE] = {PRG_CIVIL_DATE, "a date like 2026-11-20"},
      [PRG_CLASS_TIME] = {PRG_CIVIL_TIME, "a time like 08:30:00"},
      [PRG_CLASS_TIMESTAMP] = {PRG_CIVIL_TIMESTAMP,
                               "a time like 2026-11-20T08:30:00, without a "
                               "zone"},
      [PRG_CLASS_TIMESTAMPTZ] = {PRG_CIVIL_TIMESTAMPTZ,
                                 "a time like 2026-11-20T08:30:00Z"},
  };
  char buf[PRG_CIVIL_ROOM];
  size_t n;
  if (lua_type(c->L, i) != LUA_TSTRING) refuse(c, i, forms[c->cls].wants);
  to_text(c, i, out);
  if (has(c, PRG_BUILD_UTC) &&
      (c->cls == PRG_CLASS_TIMESTAMP || c->cls == PRG_CLASS_TIMESTAMPTZ))
    to_utc(c, out);
  if (!has(c, PRG_BUILD_CANON)) return;
  n = prg_civil(forms[c->cls].kind, out->u.s.p, out->u.s.n, buf);
  if (n == 0) refuse(c, i, forms[c->cls].wants);
  own_text(c, buf, n, out);
}

/* ---- the rest ------------------------------------------------------------ */

static void to_bool(struct conv *c, int i, struct prg_value *out) {
  if (lua_type(c->L, i) != LUA_TBOOLEAN) refuse(c, i, "a boolean");
  out->type = PRG_BOOL;
  out->u.b = lua_toboolean(c->L, i);
}

static void to_json(struct conv *c, int i, struct prg_value *out) {
  out->type = PRG_JSON;
  out->u.s = prg_json_encode(c->L, i, c->r->arena, name_of(c));
}

/* Is the member of an array at `i` one more dimension? A plain table is not
** where members are documents. */
static bool is_dimension(const struct conv *c, int i) {
  enum prg_wrap kind;
  if (lua_type(c->L, i) != LUA_TTABLE) return false;
  kind = prg_wrap_of(c->L, i);
  return kind == PRG_W_ARRAY ||
         (kind == PRG_W_PLAIN && c->cls != PRG_CLASS_JSON);
}

static struct prg_vlist *to_list(struct conv *c, int i, int dims) {
  lua_State *L = c->L;
  struct prg_vlist *list = prg_arena_need(L, c->r->arena, 1, sizeof *list);
  const char *wrong = prg_list_check(L, i, &list->n);
  size_t k;
  if (wrong != NULL) prg_usage(L, "%.120s: not a list: %s", name_of(c), wrong);
  if (dims > PRG_MAX_DIMS)
    prg_usage(L, "%.120s: an array has at most %d dimensions", name_of(c),
              (int)PRG_MAX_DIMS);
  luaL_checkstack(L, 10, "array");
  list->ndim = list->n > 0;
  list->lower = NULL;
  list->items = prg_arena_need(L, c->r->arena, list->n, sizeof *list->items);
  for (k = 0; k < list->n; k++) {
    struct prg_value *item = &list->items[k];
    int top = lua_gettop(L) + 1;
    lua_rawgeti(L, i, (int)k + 1);
    if (is_dimension(c, top)) {
      memset(item, 0, sizeof *item);
      item->type = PRG_LIST;
      item->u.list = to_list(c, top, dims + 1);
      if (k == 0) list->ndim += item->u.list->ndim;
    } else {
      convert(c, top, item);
    }
    lua_settop(L, top - 1);
  }
  return list;
}

static void to_array(struct conv *c, int i, struct prg_value *out) {
  lua_State *L = c->L;
  struct conv inner = *c;
  struct prg_target t = *c->t;
  int32_t lower[PRG_MAX_DIMS], *copy;
  enum prg_wrap kind = PRG_W_BYTES;
  int n;
  if (lua_type(L, i) == LUA_TTABLE) kind = prg_wrap_of(L, i);
  if (kind != PRG_W_PLAIN && kind != PRG_W_OTHER && kind != PRG_W_ARRAY &&
      kind != PRG_W_JSON_ARRAY)
    refuse(c, i, "a list");
  t.member = true;
  inner.t = &t;
  inner.cls = c->t->col->elem;
  out->type = PRG_LIST;
  out->u.list = to_list(&inner, i, 1);
  n = prg_bounds_get(L, i, lower);
  if (n == 0 || out->u.list->n == 0) return; /* an empty array has none */
  if (n != out->u.list->ndim)
    prg_usage(L,
              "%.120s: the array was read with lower bounds for another "
              "number of dimensions (perigee.array(t) of a plain table has "
              "none)",
              name_of(c));
  copy = prg_arena_need(L, c->r->arena, (size_t)n, sizeof *copy);
  memcpy(copy, lower, (size_t)n * sizeof *copy);
  out->u.list->lower = copy;
}

/* ANY and OTHER have no reader: the value decides, as in raw SQL. */
static void by_class(struct conv *c, int i, struct prg_value *out) {
  static void (*const readers[PRG_CLASS_COUNT_])(struct conv *, int,
                                                 struct prg_value *) = {
      [PRG_CLASS_BOOL] = to_bool,       [PRG_CLASS_INT] = to_int,
      [PRG_CLASS_FLOAT] = to_float,     [PRG_CLASS_NUMERIC] = to_numeric,
      [PRG_CLASS_TEXT] = to_text,       [PRG_CLASS_BYTES] = to_bytes,
      [PRG_CLASS_DATE] = to_civil,      [PRG_CLASS_TIME] = to_civil,
      [PRG_CLASS_TIMESTAMP] = to_civil, [PRG_CLASS_TIMESTAMPTZ] = to_civil,
      [PRG_CLASS_UUID] = to_uuid,       [PRG_CLASS_JSON] = to_json,
      [PRG_CLASS_ARRAY] = to_array,
  };
  if (readers[c->cls] != NULL)
    readers[c->cls](c, i, out);
  else
    prg_to_value(c->L, i, c->r->arena, name_of(c), out);
}

/* `i` is absolute. */
static void convert(struct conv *c, int i, struct prg_value *out) {
  lua_State *L = c->L;
  int type = lua_type(L, i);
  memset(out, 0, sizeof *out);
  if (type == LUA_TLIGHTUSERDATA && lua_touserdata(L, i) == NULL) return;
  if (type <= LUA_TNIL)
    prg_usage(L, "%.120s: no value (NULL is perigee.null)", name_of(c));
  if (type == LUA_TUSERDATA && prg_is_default(L, i))
    prg_usage(L,
              "%.120s: perigee.default stands only for the value of a column "
              "in insert, upsert and update",
              name_of(c));
  if (type == LUA_TUSERDATA && prg_is_raw(L, i))
    prg_usage(L, "%.120s: perigee.sql cannot stand here", name_of(c));
  by_class(c, i, out);
}

void prg_target_value(lua_State *L, const struct prg_reader *r, int i,
                      const struct prg_target *t, struct prg_value *out) {
  struct conv c;
  c.L = L;
  c.r = r;
  c.t = t;
  c.cls = t->member ? t->col->elem : t->col->cls;
  luaL_checkstack(L, 10, "value");
  convert(&c, lua_absindex(L, i), out);
}

void prg_column_value(lua_State *L, const struct prg_reader *r, int i,
                      const struct prg_col *col, struct prg_value *out) {
  const struct prg_target t = {col, NULL, false};
  prg_target_value(L, r, i, &t, out);
}

void prg_column_member(lua_State *L, const struct prg_reader *r, int i,
                       const struct prg_col *col, struct prg_value *out) {
  const struct prg_target t = {col, NULL, true};
  prg_target_value(L, r, i, &t, out);
}
