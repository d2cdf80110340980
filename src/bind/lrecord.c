/*
** Records, keys, orders and lists of columns: Lua tables by the names of
** columns.
*/
#include "bind/crud_int.h"
#include "bind/lvalue.h"

#include <stdarg.h>
#include <stdio.h>

/* ---- columns ------------------------------------------------------------- */

int prg_unknown_column(lua_State *L, const struct prg_reader *r,
                       const char *where, const char *name) {
  const char *columns = prg_table_columns(r->table, r->arena);
  prg_push_error(
      L, prg_error_new(PRG_K_USAGE,
                       "%s: there is no column \"%.120s\" in %s (columns: %s)",
                       where, name, r->table->title.p,
                       columns != NULL ? columns : "…"));
  lua_pushboolean(L, 1);
  lua_setfield(L, -2, "unknown");
  return lua_error(L);
}

int prg_refuse_known(lua_State *L, const char *fmt, ...) {
  char text[512];
  va_list ap;
  va_start(ap, fmt);
  (void)vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  prg_push_error(L, prg_error_new(PRG_K_USAGE, "%s", text));
  lua_pushboolean(L, 1);
  lua_setfield(L, -2, "outdated");
  return lua_error(L);
}

const struct prg_col *prg_read_column(lua_State *L, const struct prg_reader *r,
                                      int i, const char *where) {
  const struct prg_col *col;
  const char *s;
  size_t n;
  if (lua_type(L, i) != LUA_TSTRING)
    prg_usage(L, "%s: the name of a column is needed, not %s", where,
              prg_wrap_describe(L, i));
  s = lua_tolstring(L, i, &n);
  col = prg_table_col(r->table, s, n);
  if (col == NULL) prg_unknown_column(L, r, where, s);
  return col;
}

/* The length of the list at `i`; raises usage for what is none. */
static size_t check_list(lua_State *L, int i, const char *where,
                         const char *wants) {
  const char *wrong;
  size_t n = 0;
  if (lua_type(L, i) != LUA_TTABLE)
    prg_usage(L, "%s: %s is needed, not %s", where, wants,
              prg_wrap_describe(L, i));
  wrong = prg_list_check(L, i, &n);
  if (wrong != NULL) prg_usage(L, "%s: %s is needed: %s", where, wants, wrong);
  return n;
}

const struct prg_col *const *prg_read_columns(lua_State *L,
                                              const struct prg_reader *r, int i,
                                              const char *where, size_t *n) {
  const struct prg_col **cols;
  size_t k;
  luaL_checkstack(L, 10, where);
  i = lua_absindex(L, i);
  *n = check_list(L, i, where, "a list of columns");
  cols = prg_arena_need(L, r->arena, *n, sizeof *cols);
  for (k = 0; k < *n; k++) {
    lua_rawgeti(L, i, (int)k + 1);
    cols[k] = prg_read_column(L, r, lua_gettop(L), where);
    lua_pop(L, 1);
  }
  return cols;
}

/* ---- records ------------------------------------------------------------- */

static bool same_text(const struct prg_text *a, const struct prg_text *b) {
  return a->n == b->n && (a->n == 0 || memcmp(a->p, b->p, a->n) == 0);
}

bool prg_same_value(const struct prg_value *a, const struct prg_value *b) {
  if (a->type != b->type) return false;
  switch (a->type) {
    case PRG_NULL:
      return true;
    case PRG_BOOL:
      return a->u.b == b->u.b;
    case PRG_INT:
      return a->u.i == b->u.i;
    case PRG_DOUBLE:
      return a->u.d == b->u.d;
    case PRG_TEXT:
    case PRG_BYTES:
    case PRG_DECIMAL:
    case PRG_JSON:
      return same_text(&a->u.s, &b->u.s);
    default:
      return false;
  }
}

/* A record on its way: a set for each column of the table, used or not. */
struct record {
  lua_State *L;
  const struct prg_reader *r;
  struct prg_set *sets; /* col NULL: not given */
};

bool prg_is_record(lua_State *L, int i) {
  enum prg_wrap kind;
  if (lua_type(L, i) != LUA_TTABLE || prg_is_group(L, i)) return false;
  kind = prg_wrap_of(L, i);
  return kind == PRG_W_PLAIN || kind == PRG_W_OTHER || kind == PRG_W_RECORD ||
         kind == PRG_W_JSON_OBJECT;
}

static void check_record(lua_State *L, int i) {
  if (!prg_is_record(L, i))
    prg_usage(L, "a record is a table of columns, not %s",
              prg_wrap_describe(L, i));
}

/* The value at `i` for a column. */
static void read_set(struct record *rec, int i, const struct prg_col *col) {
  struct prg_set *s = &rec->sets[col->index];
  lua_State *L = rec->L;
  if (col->generated)
    prg_usage(L, "%s: the database computes this column, it cannot be set",
              col->name.p);
  s->col = col;
  if (prg_is_default(L, i))
    s->is_default = true;
  else if (prg_is_raw(L, i))
    s->to.raw = prg_read_raw(L, rec->r, i);
  else
    prg_column_value(L, rec->r, i, col, &s->to.value);
}

/* The fields of the table at `i`, without metamethods: rows of a class are
** records too. */
static void read_fields(struct record *rec, int i) {
  lua_State *L = rec->L;
  if (lua_isnoneornil(L, i)) return;
  check_record(L, i);
  lua_pushnil(L);
  while (lua_next(L, i)) {
    int top = lua_gettop(L);
    if (lua_type(L, top - 1) == LUA_TNUMBER)
      prg_usage(L,
                "a record has the names of columns as keys, and this one has "
                "an array part");
    if (lua_type(L, top - 1) != LUA_TSTRING)
      prg_usage(L, "a record has the names of columns as keys, not a %s",
                luaL_typename(L, top - 1));
    read_set(rec, top, prg_read_column(L, rec->r, top - 1, "record"));
    lua_settop(L, top - 1); /* stays in the table */
  }
}

/* What the scope says of a column, against what the record says. */
static void apply_scope(struct record *rec, const struct prg_cond *c,
                        bool add) {
  struct prg_set *s = &rec->sets[c->col->index];
  if (s->col == NULL) {
    if (!add) return;
    s->col = c->col;
    s->to.value = c->u.cmp.to.value;
    return;
  }
  if (s->is_default || s->to.raw != NULL ||
      !prg_same_value(&s->to.value, &c->u.cmp.to.value))
    prg_usage(rec->L, "%s: the scope has another value for this column",
              c->col->name.p);
}

static size_t pack(struct prg_set *sets, size_t n) {
  size_t k, used = 0;
  for (k = 0; k < n; k++)
    if (sets[k].col != NULL) sets[used++] = sets[k];
  return used;
}

static struct prg_set *read_record(struct record *rec, int i, int h, bool add,
                                   size_t *n) {
  size_t ncols = (size_t)rec->r->table->ncols;
  const struct prg_cond *scope;
  luaL_checkstack(rec->L, 20, "record");
  rec->sets = prg_arena_need(rec->L, rec->r->arena, ncols, sizeof *rec->sets);
  memset(rec->sets, 0, ncols * sizeof *rec->sets);
  read_fields(rec, lua_absindex(rec->L, i));
  scope = h != 0 ? prg_read_scope(rec->L, rec->r, h) : NULL;
  if (scope != NULL)
    for (scope = scope->u.parts; scope != NULL; scope = scope->next)
      apply_scope(rec, scope, add);
  *n = pack(rec->sets, ncols);
  return rec->sets;
}

struct prg_set *prg_read_record(lua_State *L, const struct prg_reader *r, int i,
                                int h, size_t *n) {
  struct record rec = {L, r, NULL};
  return read_record(&rec, i, h, true, n);
}

struct prg_set *prg_read_values(lua_State *L, const struct prg_reader *r, int i,
                                int h, size_t *n) {
  struct record rec = {L, r, NULL};
  return read_record(&rec, i, h, false, n);
}

/* ---- orders -------------------------------------------------------------- */

struct ordering {
  lua_State *L;
  const struct prg_reader *r;
  const struct prg_names *names; /* or NULL */
};

static bool find_ordered(const struct ordering *o, const char *s, size_t n,
                         struct prg_order *out) {
  const struct prg_text name = {s, n};
  size_t k;
  for (k = 0; o->names != NULL && k < o->names->n; k++)
    if (same_text(&o->names->names[k], &name)) {
      out->alias = &o->names->names[k];
      return true;
    }
  out->col = prg_table_col(o->r->table, s, n);
  return out->col != NULL;
}

/* "column" or "-column". */
static void read_ordered(struct ordering *o, int i, struct prg_order *out) {
  size_t n;
  const char *s = lua_tolstring(o->L, i, &n);
  if (!find_ordered(o, s, n, out)) {
    if (n > 0 && s[0] == '-' && find_ordered(o, s + 1, n - 1, out))
      out->desc = true;
    else
      prg_unknown_column(o->L, o->r, "order_by",
                         n > 0 && s[0] == '-' ? s + 1 : s);
  }
  if (out->col != NULL && !out->col->orderable)
    prg_usage(o->L, "order_by: %s, a column of type %s, has no order",
              out->col->name.p, out->col->title);
}

static enum prg_nulls read_nulls(lua_State *L, int i) {
  const char *s = lua_type(L, i) == LUA_TSTRING ? lua_tostring(L, i) : "";
  if (strcmp(s, "first") == 0) return PRG_NULLS_FIRST;
  if (strcmp(s, "last") != 0)
    prg_usage(L, "order_by: nulls is \"first\" or \"last\"");
  return PRG_NULLS_LAST;
}

/* The fields beside [1] of { "column", desc = true, nulls = "first" }. */
static void read_order_field(struct ordering *o, int key,
                             struct prg_order *out) {
  lua_State *L = o->L;
  const char *name = "";
  if (lua_type(L, key) == LUA_TNUMBER && lua_tonumber(L, key) == 1) return;
  if (lua_type(L, key) == LUA_TSTRING) name = lua_tostring(L, key);
  if (strcmp(name, "nulls") == 0) {
    out->nulls = read_nulls(L, key + 1);
  } else if (strcmp(name, "desc") == 0) {
    if (lua_type(L, key + 1) != LUA_TBOOLEAN)
      prg_usage(L, "order_by: desc is true or false, not %s",
                prg_wrap_describe(L, key + 1));
    if (lua_toboolean(L, key + 1)) out->desc = true;
  } else {
    prg_usage(L,
              "order_by: { column, desc = …, nulls = … } has %s%.60s%s, which "
              "is not known",
              *name != '\0' ? "a field \"" : "a key of type ",
              *name != '\0' ? name : luaL_typename(L, key),
              *name != '\0' ? "\"" : "");
  }
}

static void read_subject(struct ordering *o, int i, struct prg_order *out) {
  if (lua_type(o->L, i) == LUA_TSTRING)
    read_ordered(o, i, out);
  else if (prg_is_raw(o->L, i))
    out->raw = prg_read_raw(o->L, o->r, i);
  else
    prg_usage(o->L,
              "order_by: a column, \"-column\", { column, desc = …, nulls = "
              "… } or perigee.sql is needed, not %s",
              prg_wrap_describe(o->L, i));
}

/* One member. `i` is absolute. */
static void read_order(struct ordering *o, int i, struct prg_order *out) {
  lua_State *L = o->L;
  memset(out, 0, sizeof *out);
  if (lua_type(L, i) != LUA_TTABLE) {
    read_subject(o, i, out);
    return;
  }
  lua_rawgeti(L, i, 1);
  read_subject(o, lua_gettop(L), out);
  lua_pop(L, 1);
  lua_pushnil(L);
  while (lua_next(L, i)) {
    int top = lua_gettop(L);
    read_order_field(o, top - 1, out);
    lua_settop(L, top - 1);
  }
}

/* { "column", desc = true } rather than a list of members? */
static bool is_single(lua_State *L, int i) {
  bool single;
  if (lua_type(L, i) != LUA_TTABLE) return true;
  lua_pushliteral(L, "desc");
  lua_rawget(L, i);
  lua_pushliteral(L, "nulls");
  lua_rawget(L, i);
  single = !lua_isnil(L, -1) || !lua_isnil(L, -2);
  lua_pop(L, 2);
  return single;
}

struct prg_order *prg_read_order_of(lua_State *L, const struct prg_reader *r,
                                    int i, const struct prg_names *names,
                                    size_t *n) {
  struct ordering o = {L, r, names};
  struct prg_order *out;
  size_t k;
  *n = 0;
  if (lua_isnoneornil(L, i)) return NULL;
  luaL_checkstack(L, 20, "order_by");
  i = lua_absindex(L, i);
  if (is_single(L, i)) {
    out = prg_arena_need(L, r->arena, 1, sizeof *out);
    read_order(&o, i, out);
    *n = 1;
    return out;
  }
  *n = check_list(L, i, "order_by", "a column or a list");
  out = prg_arena_need(L, r->arena, *n, sizeof *out);
  for (k = 0; k < *n; k++) {
    lua_rawgeti(L, i, (int)k + 1);
    read_order(&o, lua_gettop(L), &out[k]);
    lua_pop(L, 1);
  }
  return out;
}

struct prg_order *prg_read_order(lua_State *L, const struct prg_reader *r,
                                 int i, size_t *n) {
  return prg_read_order_of(L, r, i, NULL, n);
}

/* ---- counts and keys ----------------------------------------------------- */

const struct prg_value *prg_read_count(lua_State *L, const struct prg_reader *r,
                                       int i, const char *what) {
  struct prg_value *v;
  double d = -1;
  if (lua_isnoneornil(L, i)) return NULL;
  if (lua_type(L, i) == LUA_TNUMBER) d = lua_tonumber(L, i);
  if (!(d >= 0 && d < 0x1p63 && d == floor(d)))
    prg_usage(L, "%s: a whole number from 0 on is needed, not %s", what,
              lua_type(L, i) == LUA_TNUMBER ? lua_tostring(L, i)
                                            : prg_wrap_describe(L, i));
  v = prg_arena_need(L, r->arena, 1, sizeof *v);
  memset(v, 0, sizeof *v);
  v->type = PRG_INT;
#if PRG_INT64
  v->u.i = lua_isinteger(L, i) ? lua_tointeger(L, i) : (int64_t)d;
#else
  v->u.i = (int64_t)d;
#endif
  return v;
}

struct key_reader {
  lua_State *L;
  const struct prg_reader *r;
  const struct prg_key *key;
};

static const struct prg_col *key_col(const struct key_reader *k, int j) {
  return &k->r->table->cols[k->key->cols[j]];
}

/* Raises usage: `why`, and what the key is. */
static void refuse_key(const struct key_reader *k, const char *why) {
  char names[200];
  size_t used = 0;
  int j;
  names[0] = '\0';
  for (j = 0; j < k->key->ncols && used < sizeof names; j++)
    used += (size_t)snprintf(names + used, sizeof names - used, "%s%.60s",
                             j > 0 ? ", " : "", key_col(k, j)->name.p);
  prg_usage(k->L, "%s: %s (the key is %s)", k->r->table->title.p, why, names);
}

static struct prg_cond *key_part(const struct key_reader *k, int i, int j) {
  struct prg_cond *c = prg_cond_new(k->r->arena, PRG_COND_CMP);
  if (c == NULL) prg_raise(k->L, prg_error_oom());
  c->col = key_col(k, j);
  c->u.cmp.op = PRG_EQ;
  if (lua_isnoneornil(k->L, i)) refuse_key(k, "a value of the key is missing");
  prg_column_value(k->L, k->r, i, c->col, &c->u.cmp.to.value);
  if (c->u.cmp.to.value.type == PRG_NULL)
    refuse_key(k, "a value of the key is null");
  return c;
}

/* Is the value at `i` a table of values rather than a value? */
static bool is_key_table(lua_State *L, int i) {
  enum prg_wrap kind;
  if (lua_type(L, i) != LUA_TTABLE) return false;
  kind = prg_wrap_of(L, i);
  return kind == PRG_W_PLAIN || kind == PRG_W_OTHER ||
         kind == PRG_W_JSON_OBJECT || kind == PRG_W_JSON_ARRAY ||
         kind == PRG_W_RECORD;
}

/* The number of keys of the table at `i`; *named: they are names, which are
** checked. */
static int check_keys(const struct key_reader *k, int i, bool *named) {
  lua_State *L = k->L;
  int n = 0, names = 0, j;
  lua_pushnil(L);
  while (lua_next(L, i)) {
    lua_pop(L, 1);
    n++;
    if (lua_type(L, -1) != LUA_TSTRING) continue;
    names++;
    const struct prg_col *col = prg_read_column(L, k->r, lua_gettop(L), "key");
    for (j = 0; j < k->key->ncols && key_col(k, j) != col;) j++;
    if (j == k->key->ncols)
      refuse_key(k, "a column does not belong to the key");
  }
  if (names > 0 && names < n)
    refuse_key(k, "the key has names and an array part");
  *named = names > 0;
  return n;
}

struct prg_cond *prg_read_key(lua_State *L, const struct prg_reader *r, int i,
                              const struct prg_key *key) {
  const struct key_reader k = {L, r, key};
  struct prg_cond *group;
  bool named;
  int j;
  luaL_checkstack(L, 20, "key");
  i = lua_absindex(L, i);
  group = prg_cond_new(r->arena, PRG_COND_AND);
  if (group == NULL) prg_raise(L, prg_error_oom());
  if (!is_key_table(L, i)) {
    if (key->ncols != 1) refuse_key(&k, "one value is not a whole key");
    prg_cond_add(group, key_part(&k, i, 0));
    return group;
  }
  if (check_keys(&k, i, &named) != key->ncols)
    refuse_key(&k, "another number of values than the key has");
  for (j = 0; j < key->ncols; j++) {
    if (named) {
      const struct prg_text *name = &key_col(&k, j)->name;
      lua_pushlstring(L, name->p, name->n);
      lua_rawget(L, i);
    } else {
      lua_rawgeti(L, i, j + 1);
    }
    prg_cond_add(group, key_part(&k, lua_gettop(L), j));
    lua_pop(L, 1); /* stays in the table */
  }
  return group;
}
