/*
** Values that are more than a Lua string or number: tables with one of our
** metatables. lwrap.c makes and prints them, lvalue.c and ljson.c send them.
*/
#ifndef PRG_BIND_LVALUE_H
#define PRG_BIND_LVALUE_H

#include "bind/bind_int.h"

#include "base/buf.h"

/* What a table is, by its metatable. The order is that of lwrap.c's table. */
enum prg_wrap {
  PRG_W_PLAIN,    /* no metatable */
  PRG_W_OTHER,    /* somebody else's */
  PRG_W_BYTES,    /* { value = s } */
  PRG_W_JSON,     /* { value = v }; no value: JSON null */
  PRG_W_RAW_JSON, /* { text = s } */
  PRG_W_JSON_OBJECT,
  PRG_W_JSON_ARRAY,
  PRG_W_ARRAY,
  PRG_W_RECORD, /* by name, or a list */
  PRG_W_RANGE,  /* { lower =, upper =, bounds = } or { empty = true } */
  PRG_W_MULTIRANGE,
  PRG_W_HSTORE,
  PRG_W_COUNT_
};

/* ---- lwrap.c ------------------------------------------------------------- */

/* Adds the constructors, which are the metatables, to the table on top.
** [-0, +0, e] */
void prg_wrap_open(lua_State *L);
/* What the table at `i` is. Needs two free slots. [-0, +0, -] */
enum prg_wrap prg_wrap_of(lua_State *L, int i);
/* Pushes the metatable of a kind. [-0, +1, -] */
void prg_wrap_push(lua_State *L, enum prg_wrap kind);
/* Gives the table on top the metatable of a kind. [-0, +0, -] */
void prg_wrap_set(lua_State *L, enum prg_wrap kind);
/* Pushes field `name` of the table at `i`, without metamethods. [-0, +1, m] */
void prg_wrap_field(lua_State *L, int i, const char *name);
/* A name for the type of the value at `i`: the metatable's __name when there
** is one, which may be left on the stack. [-0, +(0|1), m] */
const char *prg_wrap_describe(lua_State *L, int i);
/* Is the table at `i` a list, with the keys 1 to *n and no others? Returns
** NULL, or what is wrong with it. Needs two free slots. [-0, +0, -] */
const char *prg_list_check(lua_State *L, int i, size_t *n);
/* Pushes a copy of the list at `i`; a field `n`, as table.pack sets it, is the
** length, and what is absent up to there becomes perigee.null. Raises usage
** naming `what`. [-0, +1, e] */
void prg_list_copy(lua_State *L, int i, const char *what);
/* Pushes a copy of the table at `i` without its metatable. [-0, +1, m] */
void prg_table_copy(lua_State *L, int i);
/* Raises usage unless the value at `i` is a table of a kind in `kinds` (a set
** of 1 << kind) or one without a metatable of ours. [-0, +0, e] */
void prg_wrap_check(lua_State *L, int i, unsigned kinds, const char *what);

/* Lower bounds of arrays that do not start at 1 are kept beside the table, so
** that `#` and pairs see elements only. Sets the `n` bounds of the table on
** top. [-0, +0, m] */
void prg_bounds_set(lua_State *L, const int32_t *lower, int n);
/* Bounds of the table at `i` into `lower` (room for PRG_MAX_DIMS); returns how
** many there are, 0 for none. [-0, +0, -] */
int prg_bounds_get(lua_State *L, int i, int32_t *lower);

enum {
  PRG_MAX_DIMS = 6,   /* of an array: PostgreSQL's MAXDIM */
  PRG_MAX_DEPTH = 200 /* of values within values */
};

/* ---- memory that the collector frees when something raises --------------- */

struct prg_scratch {
  struct prg_arena arena;
  struct prg_buf buf;
};

/* Pushes one; to be finished by prg_scratch_fini() or the collector.
** [-0, +1, m] */
struct prg_scratch *prg_scratch_push(lua_State *L);
void prg_scratch_fini(struct prg_scratch *s);

/* A text that grows in an arena. A failed append raises (kind resource): it is
** never used where something would leak. */
struct prg_atext {
  lua_State *L;
  struct prg_arena *a;
  char *p;
  size_t n, cap;
};

/* prg_arena_alloc of `count` members; raises when memory is short. */
void *prg_arena_need(lua_State *L, struct prg_arena *a, size_t count,
                     size_t size);
void prg_atext_add(struct prg_atext *t, const void *p, size_t n);
void prg_atext_adds(struct prg_atext *t, const char *s);
/* `s` between double quotes, escaped as JSON wants it. */
void prg_atext_quoted(struct prg_atext *t, const char *s, size_t n);

/* The shortest text that reads back as `d` (not NaN or infinite), with a point
** whatever the locale. `buf` has room for 40 bytes. */
void prg_double_text(double d, char *buf);

/* ---- lvalue.c ------------------------------------------------------------ */

/* The usual values, as prg_to_value takes them, without a name for messages. False
** when the value at `i` is another: no string, number, boolean or nil.
** [-0, +0, -] */
bool prg_quick_value(lua_State *L, int i, struct prg_value *out);
/* Is the value at `i` perigee.default? [-0, +0, -] */
bool prg_is_default(lua_State *L, int i);

#if !PRG_INT64
#define PRG_TCDATA 10 /* LuaJIT's lua_type() of a cdata */
/* Pushes the decimal digits of the int64_t or uint64_t cdata at `i`, or nothing
** (false) when it is another one. [-0, +(0|1), e] */
bool prg_cdata_digits(lua_State *L, int i);
/* Pushes an integer that is not to be, or cannot be, a number. [-0, +1, e] */
void prg_push_long(lua_State *L, const struct prg_value_options *o, int64_t i);
#endif

/* Pushes an integer as the options want it. [-0, +1, e] */
static inline void prg_push_int(lua_State *L, const struct prg_value_options *o,
                                const struct prg_value *v) {
#if PRG_INT64
  (void)o;
  lua_pushinteger(L, v->u.i);
#else
  const int64_t exact = (int64_t)1 << 53;
  bool fits = v->u.i >= -exact && v->u.i <= exact;
  if (fits && (o->int8 == PRG_INT8_AUTO || !v->wide))
    lua_pushnumber(L, (lua_Number)v->u.i);
  else
    prg_push_long(L, o, v->u.i);
#endif
}

/* ---- ljson.c: constructors, lua_CFunctions with the class at 1 ----------- */

int prg_json_make(lua_State *L);
int prg_raw_json_make(lua_State *L);
int prg_json_object_make(lua_State *L);
int prg_json_array_make(lua_State *L);
/* __tostring of all four. */
int prg_json_tostring(lua_State *L);
/* Pushes a raw_json object. [-0, +1, m] */
void prg_push_raw_json(lua_State *L, const char *text, size_t len);

#endif
