/*
** Values between Lua and the program. In both directions they are copied. What
** comes out of Lua is read without metamethods and without taking memory of
** Lua's, so that nothing can be raised between two pieces of memory of ours.
*/
#include "host/api_int.h"

#include <stdlib.h>

#include <lauxlib.h>

enum { MAX_DEPTH = 100 };

static const perigee_value nil = {PERIGEE_NIL, 0, {0}};

/* ---- reading ------------------------------------------------------------- */

const perigee_value *perigee_item(const perigee_value *list, size_t i) {
  if (list == NULL || list->type != PERIGEE_LIST || i >= list->count)
    return &nil;
  return &list->as.items[i];
}

const perigee_value *perigee_get(const perigee_value *record,
                                 const char *name) {
  size_t i, n;
  if (record == NULL || record->type != PERIGEE_RECORD || name == NULL)
    return &nil;
  n = strlen(name);
  for (i = 0; i < record->count; i++) {
    const perigee_field *f = &record->as.fields[i];
    if (f->length == n && memcmp(f->name, name, n) == 0) return &f->value;
  }
  return &nil;
}

int64_t perigee_as_integer(const perigee_value *v, int64_t otherwise) {
  if (v == NULL) return otherwise;
  if (v->type == PERIGEE_INTEGER) return v->as.integer;
  if (v->type == PERIGEE_NUMBER && v->as.number >= -0x1p63 &&
      v->as.number < 0x1p63 && v->as.number == (double)(int64_t)v->as.number)
    return (int64_t)v->as.number;
  return otherwise;
}

double perigee_as_number(const perigee_value *v, double otherwise) {
  if (v == NULL) return otherwise;
  if (v->type == PERIGEE_NUMBER) return v->as.number;
  return v->type == PERIGEE_INTEGER ? (double)v->as.integer : otherwise;
}

const char *perigee_as_text(const perigee_value *v, const char *otherwise) {
  return v != NULL && v->type == PERIGEE_STRING ? v->as.string : otherwise;
}

int perigee_as_boolean(const perigee_value *v) {
  if (v == NULL || v->type == PERIGEE_NIL || v->type == PERIGEE_NULL) return 0;
  return v->type != PERIGEE_BOOLEAN || v->as.boolean;
}

/* ---- values of the program's --------------------------------------------- */

static const char *check(const perigee_value *v, int depth);

static const char *check_fields(const perigee_value *v, int depth) {
  size_t i;
  for (i = 0; i < v->count; i++) {
    const perigee_field *f = &v->as.fields[i];
    const char *why;
    if (f->name == NULL) return "a field has no name";
    why = check(&f->value, depth + 1);
    if (why != NULL) return why;
  }
  return NULL;
}

static const char *check_items(const perigee_value *v, int depth) {
  size_t i;
  for (i = 0; i < v->count; i++) {
    const char *why;
    if (v->as.items[i].type == PERIGEE_NIL)
      return "an item of a list is nil; perigee_null() stands for NULL";
    why = check(&v->as.items[i], depth + 1);
    if (why != NULL) return why;
  }
  return NULL;
}

static const char *check(const perigee_value *v, int depth) {
  if (depth > MAX_DEPTH) return "it is nested more than 100 deep";
  switch (v->type) {
    case PERIGEE_NIL:
    case PERIGEE_NULL:
    case PERIGEE_BOOLEAN:
    case PERIGEE_INTEGER:
    case PERIGEE_NUMBER:
      return NULL;
    case PERIGEE_STRING:
      if (v->count > 0 && v->as.string == NULL) return "a string is NULL";
      return v->count > PTRDIFF_MAX ? "a string is too long" : NULL;
    case PERIGEE_LIST:
      if (v->count > 0 && v->as.items == NULL) return "a list is NULL";
      return check_items(v, depth);
    case PERIGEE_RECORD:
      if (v->count > 0 && v->as.fields == NULL) return "a record is NULL";
      return check_fields(v, depth);
  }
  return "its type is unknown";
}

const char *prg__value_check(const perigee_value *v) {
  return check(v, 0);
}

const char *prg__values_check(const perigee_value *v, size_t n) {
  size_t i;
  if (n > 0 && v == NULL) return "there are no values at NULL";
  if (n > 200) return "more than 200 values; put them into a list";
  for (i = 0; i < n; i++) {
    const char *why = check(&v[i], 0);
    if (why != NULL) return why;
  }
  return NULL;
}

void prg__value_push(lua_State *L, const perigee_value *v) {
  size_t i;
  luaL_checkstack(L, 4, "value");
  switch (v->type) {
    case PERIGEE_NIL:
      lua_pushnil(L);
      break;
    case PERIGEE_NULL:
      lua_pushlightuserdata(L, NULL);
      break;
    case PERIGEE_BOOLEAN:
      lua_pushboolean(L, v->as.boolean);
      break;
    case PERIGEE_INTEGER:
      lua_pushinteger(L, v->as.integer);
      break;
    case PERIGEE_NUMBER:
      lua_pushnumber(L, v->as.number);
      break;
    case PERIGEE_STRING:
      lua_pushlstring(L, v->count > 0 ? v->as.string : "", v->count);
      break;
    case PERIGEE_LIST:
      lua_createtable(L, v->count < 1000000 ? (int)v->count : 0, 0);
      for (i = 0; i < v->count; i++) {
        prg__value_push(L, &v->as.items[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
      }
      break;
    case PERIGEE_RECORD:
      lua_createtable(L, 0, v->count < 1000000 ? (int)v->count : 0);
      for (i = 0; i < v->count; i++) {
        const perigee_field *f = &v->as.fields[i];
        lua_pushlstring(L, f->name, f->length);
        prg__value_push(L, &f->value);
        lua_rawset(L, -3);
      }
      break;
  }
}

/* ---- copies -------------------------------------------------------------- */

static bool copy(struct prg_arena *a, const perigee_value *v,
                 perigee_value *out);

static bool copy_fields(struct prg_arena *a, const perigee_value *v,
                        perigee_value *out) {
  perigee_field *f = prg_arena_alloc(a, v->count * sizeof *f);
  size_t i;
  out->as.fields = f;
  for (i = 0; f != NULL && i < v->count; i++) {
    const perigee_field *from = &v->as.fields[i];
    f[i].name = prg_arena_dup(a, from->name, from->length);
    f[i].length = from->length;
    if (f[i].name == NULL || !copy(a, &from->value, &f[i].value)) return false;
  }
  return f != NULL;
}

static bool copy(struct prg_arena *a, const perigee_value *v,
                 perigee_value *out) {
  *out = *v;
  if (v->type == PERIGEE_STRING) {
    out->as.string =
        prg_arena_dup(a, v->count > 0 ? v->as.string : "", v->count);
    return out->as.string != NULL;
  }
  if (v->type == PERIGEE_RECORD) return copy_fields(a, v, out);
  if (v->type != PERIGEE_LIST) return true;
  out->as.items = prg__values_copy(a, v->as.items, v->count);
  return out->as.items != NULL;
}

perigee_value *prg__values_copy(struct prg_arena *a, const perigee_value *v,
                                size_t n) {
  perigee_value *out = prg_arena_alloc(a, n * sizeof *out);
  size_t i;
  for (i = 0; out != NULL && i < n; i++)
    if (!copy(a, &v[i], &out[i])) return NULL;
  return out;
}

/* ---- values of Lua's ----------------------------------------------------- */

static bool take(struct prg_taker *t, int i, int depth, perigee_value *out);

static void *need(struct prg_taker *t, size_t size) {
  if (t->arena->used > t->max || size > t->max - t->arena->used) {
    t->too_large = true;
    return NULL;
  }
  return prg_arena_alloc(t->arena, size);
}

static const char *take_bytes(struct prg_taker *t, const char *s, size_t n) {
  char *p = need(t, n + 1);
  if (p == NULL) return NULL;
  memcpy(p, s, n);
  p[n] = '\0';
  return p;
}

/* What the table at `i` is: its keys are counted, and looked at. */
static enum perigee_type kind_of(struct prg_taker *t, int i, size_t *count) {
  lua_State *L = t->L;
  size_t len = lua_rawlen(L, i), numbers = 0, names = 0;
  lua_pushnil(L);
  while (lua_next(L, i) != 0) {
    lua_pop(L, 1);
    if (lua_type(L, -1) == LUA_TSTRING) {
      names++;
    } else if (lua_isinteger(L, -1) && lua_tointeger(L, -1) >= 1 &&
               (lua_Unsigned)lua_tointeger(L, -1) <= len) {
      numbers++;
    } else {
      lua_pop(L, 1);
      t->why = "a table has keys that are neither strings nor 1 to n";
      return PERIGEE_NIL;
    }
  }
  *count = numbers + names;
  if (names == 0 && numbers == len) {
    bool record = false;
    if (len == 0 && lua_getmetatable(L, i)) {
      record = lua_topointer(L, -1) == t->record;
      lua_pop(L, 1);
    }
    return record ? PERIGEE_RECORD : PERIGEE_LIST;
  }
  if (numbers == 0) return PERIGEE_RECORD;
  t->why = names > 0 ? "a table has both a list and fields"
                     : "a list has a hole; perigee.null stands for NULL";
  return PERIGEE_NIL;
}

static bool take_items(struct prg_taker *t, int i, int depth,
                       perigee_value *out) {
  perigee_value *items = need(t, out->count * sizeof *items);
  size_t k;
  if (items == NULL) return false;
  out->as.items = items;
  for (k = 0; k < out->count; k++) {
    lua_rawgeti(t->L, i, (lua_Integer)k + 1);
    if (!take(t, lua_gettop(t->L), depth + 1, &items[k])) return false;
    lua_pop(t->L, 1);
  }
  return true;
}

static int compare_fields(const void *x, const void *y) {
  const perigee_field *a = x, *b = y;
  size_t n = a->length < b->length ? a->length : b->length;
  int order = memcmp(a->name, b->name, n);
  if (order != 0) return order;
  return a->length < b->length ? -1 : a->length > b->length;
}

static bool take_fields(struct prg_taker *t, int i, int depth,
                        perigee_value *out) {
  lua_State *L = t->L;
  perigee_field *f = need(t, out->count * sizeof *f);
  size_t k = 0;
  if (f == NULL) return false;
  out->as.fields = f;
  lua_pushnil(L);
  while (lua_next(L, i) != 0) {
    const char *name = lua_tolstring(L, -2, &f[k].length);
    f[k].name = take_bytes(t, name, f[k].length);
    if (f[k].name == NULL) return false;
    if (!take(t, lua_gettop(L), depth + 1, &f[k].value)) return false;
    lua_pop(L, 1);
    k++;
  }
  qsort(f, k, sizeof *f, compare_fields);
  return true;
}

static bool take_table(struct prg_taker *t, int i, int depth,
                       perigee_value *out) {
  if (depth >= MAX_DEPTH) {
    t->why = "it is nested more than 100 deep, or contains itself";
    return false;
  }
  if (!lua_checkstack(t->L, 4)) return false; /* memory */
  out->type = kind_of(t, i, &out->count);
  if (out->type == PERIGEE_LIST) return take_items(t, i, depth, out);
  return out->type == PERIGEE_RECORD && take_fields(t, i, depth, out);
}

static bool take_number(lua_State *L, int i, perigee_value *out) {
  if (lua_isinteger(L, i))
    *out = perigee_integer(lua_tointeger(L, i));
  else
    *out = perigee_number(lua_tonumber(L, i));
  return true;
}

static bool take(struct prg_taker *t, int i, int depth, perigee_value *out) {
  lua_State *L = t->L;
  memset(out, 0, sizeof *out);
  switch (lua_type(L, i)) {
    case LUA_TNIL:
      return true;
    case LUA_TBOOLEAN:
      *out = perigee_boolean(lua_toboolean(L, i));
      return true;
    case LUA_TNUMBER:
      return take_number(L, i, out);
    case LUA_TSTRING:
      out->type = PERIGEE_STRING;
      out->as.string = lua_tolstring(L, i, &out->count);
      out->as.string = take_bytes(t, out->as.string, out->count);
      return out->as.string != NULL;
    case LUA_TTABLE:
      return take_table(t, i, depth, out);
    case LUA_TLIGHTUSERDATA:
      out->type = PERIGEE_NULL;
      if (lua_touserdata(L, i) == NULL) return true;
      t->why = "a light userdata is not a value for the program";
      return false;
    case LUA_TFUNCTION:
      t->why = "a function is not a value for the program";
      return false;
    default:
      t->why = "a userdata or thread is not a value for the program";
      return false;
  }
}

perigee_value *prg__values_take(struct prg_taker *t, int first, size_t *n) {
  int i, top = lua_gettop(t->L);
  perigee_value *out;
  *n = 0;
  out = need(t, (size_t)(top - first + 2) * sizeof *out);
  for (i = first; out != NULL && i <= top; i++) {
    bool ok = take(t, i, 0, &out[i - first]);
    lua_settop(t->L, top);
    if (!ok) return NULL;
  }
  if (out == NULL) return NULL;
  *n = (size_t)(top - first + 1);
  out[*n] = nil; /* who asks for the first finds one */
  return out;
}
