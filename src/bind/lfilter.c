/*
** Filters: Lua tables as conditions. Each key is a column, or a column and an
** operator; the array part has groups, fragments and filters. What is not
** understood raises, since a condition left out would be another statement.
*/
#include "bind/crud_int.h"
#include "bind/lvalue.h"

enum { MAX_NESTED = 100 };

/* ---- groups -------------------------------------------------------------- */

enum group { GROUP_NONE, GROUP_ALL, GROUP_ANY, GROUP_NOR, GROUP_COUNT_ };

static const struct {
  const char *name;
  enum prg_cond_kind kind;
} groups[GROUP_COUNT_] = {
    [GROUP_ALL] = {"all_of", PRG_COND_AND},
    [GROUP_ANY] = {"any_of", PRG_COND_OR},
    [GROUP_NOR] = {"none_of", PRG_COND_NOR},
};

static const char groups_key = 0; /* registry: metatable to group and back */

/* Which group the value at `i` is. Needs two free slots. */
static enum group group_of(lua_State *L, int i) {
  enum group g;
  if (lua_type(L, i) != LUA_TTABLE || !lua_getmetatable(L, i))
    return GROUP_NONE;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &groups_key);
  lua_insert(L, -2);
  lua_rawget(L, -2);
  g = (enum group)lua_tointeger(L, -1); /* nil is 0 */
  lua_pop(L, 2);
  return g;
}

bool prg_is_group(lua_State *L, int i) {
  return group_of(L, i) != GROUP_NONE;
}

/* any_of { … }: a copy, so that what is done to the table later is of no
** effect. */
static int make_group(lua_State *L, enum group g) {
  int n = lua_gettop(L);
  bool ok =
      n == 1 && lua_type(L, 1) == LUA_TTABLE && group_of(L, 1) == GROUP_NONE;
  if (ok) {
    enum prg_wrap kind = prg_wrap_of(L, 1);
    ok =
        kind == PRG_W_PLAIN || kind == PRG_W_OTHER || kind == PRG_W_JSON_OBJECT;
  }
  if (!ok)
    prg_usage(L,
              "perigee.%s takes one table, whose conditions are its parts: "
              "%s{ … }, not %s",
              groups[g].name, groups[g].name,
              n == 0   ? "nothing"
              : n == 1 ? prg_wrap_describe(L, 1)
                       : "several values");
  prg_table_copy(L, 1);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &groups_key);
  lua_rawgeti(L, -1, (int)g);
  lua_setmetatable(L, -3);
  lua_pop(L, 1);
  return 1;
}

static int make_all(lua_State *L) {
  return make_group(L, GROUP_ALL);
}

static int make_any(lua_State *L) {
  return make_group(L, GROUP_ANY);
}

static int make_none(lua_State *L) {
  return make_group(L, GROUP_NOR);
}

/* ---- keys ---------------------------------------------------------------- */

enum op {
  OP_SHORT, /* column = value */
  OP_EQ,
  OP_NE,
  OP_GT,
  OP_GE,
  OP_LT,
  OP_LE,
  OP_IN,
  OP_NOT_IN,
  OP_LIKE,
  OP_ILIKE,
  OP_PREFIX,
  OP_CONTAINS,
  OP_BETWEEN,
  OP_IS_NULL,
  OP_COUNT_
};

static const char *const op_names[OP_COUNT_] = {
    "",       "eq",   "ne",    "gt",     "ge",       "lt",      "le",     "in",
    "not_in", "like", "ilike", "prefix", "contains", "between", "is_null"};

#define ALL_OPS                                                         \
  "eq, ne, gt, ge, lt, le, in, not_in, like, ilike, prefix, contains, " \
  "between, is_null"

enum { KEY_ROOM = 120 };

/* One key of a filter. */
struct entry {
  lua_State *L;
  const struct prg_reader *r;
  struct prg_target t; /* the column, and the key for messages */
  enum op op;
  char key[KEY_ROOM];
};

static struct prg_cond *new_cond(lua_State *L, const struct prg_reader *r,
                                 enum prg_cond_kind kind) {
  struct prg_cond *c = prg_cond_new(r->arena, kind);
  if (c == NULL) prg_raise(L, prg_error_oom());
  return c;
}

static struct prg_cond *on_column(struct entry *e, enum prg_cond_kind kind) {
  struct prg_cond *c = new_cond(e->L, e->r, kind);
  c->col = e->t.col;
  return c;
}

static enum op find_op(const char *name, size_t n) {
  int k;
  for (k = OP_EQ; k < OP_COUNT_; k++)
    if (strlen(op_names[k]) == n && memcmp(op_names[k], name, n) == 0)
      return (enum op)k;
  return OP_SHORT;
}

static const char *last_colon(const char *s, size_t n) {
  while (n > 0)
    if (s[--n] == ':') return s + n;
  return NULL;
}

/* Reads the key at `i`, a string. */
static void read_key(struct entry *e, int i) {
  size_t n, shown;
  const char *s = lua_tolstring(e->L, i, &n);
  const char *colon = last_colon(s, n);
  e->op = OP_SHORT;
  e->t.member = false;
  e->t.col = prg_table_col(e->r->table, s, n);
  if (e->t.col != NULL) {
    e->t.key = NULL;
    return;
  }
  shown = n < sizeof e->key ? n : sizeof e->key - 1;
  memcpy(e->key, s, shown);
  e->key[shown] = '\0';
  e->t.key = e->key;
  if (colon != NULL) {
    e->t.col = prg_table_col(e->r->table, s, (size_t)(colon - s));
    e->op = find_op(colon + 1, n - (size_t)(colon - s) - 1);
  }
  if (e->t.col == NULL) prg_unknown_column(e->L, e->r, "filter", s);
  if (e->op == OP_SHORT)
    prg_usage(e->L,
              "filter \"%s\": there is no operator \"%.60s\" (allowed: "
              "%s)",
              e->key, colon + 1, ALL_OPS);
}

static const char *name_of(const struct entry *e) {
  return e->t.key != NULL ? e->t.key : e->t.col->name.p;
}

/* Raises `filter "age:gt": why`. */
static void refuse(struct entry *e, const char *why) {
  prg_usage(e->L, "filter \"%.120s\": %s", name_of(e), why);
}

/* Raises `filter "age:gt": what is needed, not what came`. */
static void refuse_value(struct entry *e, int i, const char *wants) {
  const char *came = prg_wrap_describe(e->L, i);
  if (lua_type(e->L, i) == LUA_TLIGHTUSERDATA) came = "null";
  if (group_of(e->L, i) == GROUP_NONE && prg_is_plain_table(e->L, i))
    came = "a table";
  prg_usage(e->L, "filter \"%.120s\": %s, not %s", name_of(e), wants, came);
}

/* ---- values -------------------------------------------------------------- */

static bool is_null(lua_State *L, int i) {
  return lua_type(L, i) == LUA_TLIGHTUSERDATA && lua_touserdata(L, i) == NULL;
}

/* Is the table at `i` one that can be a list of values? */
static bool is_listlike(lua_State *L, int i) {
  enum prg_wrap kind;
  if (lua_type(L, i) != LUA_TTABLE || group_of(L, i) != GROUP_NONE)
    return false;
  kind = prg_wrap_of(L, i);
  return kind == PRG_W_PLAIN || kind == PRG_W_OTHER || kind == PRG_W_ARRAY ||
         kind == PRG_W_JSON_ARRAY;
}

/* A table that is no value: lists and maps, and whatever is not ours. */
static bool is_structure(const struct entry *e, int i) {
  enum prg_wrap kind;
  if (lua_type(e->L, i) != LUA_TTABLE) return false;
  kind = prg_wrap_of(e->L, i);
  if (kind == PRG_W_ARRAY) return e->t.col->cls != PRG_CLASS_ARRAY;
  return kind == PRG_W_PLAIN || kind == PRG_W_OTHER ||
         kind == PRG_W_JSON_OBJECT || kind == PRG_W_JSON_ARRAY;
}

/* A value or fragment to compare with. */
static void read_operand(struct entry *e, int i, struct prg_operand *out) {
  lua_State *L = e->L;
  out->raw = NULL;
  if (prg_is_raw(L, i)) {
    out->raw = prg_read_raw(L, e->r, i);
    return;
  }
  if (is_null(L, i))
    refuse(e, e->op == OP_EQ ? "a value is needed, not null (NULL is found "
                               "by is_null)"
                             : "a value is needed, not null");
  if (is_structure(e, i))
    refuse_value(e, i,
                 e->op == OP_EQ || e->op == OP_NE
                     ? "one value is needed (in and not_in take a list)"
                     : "one value is needed");
  prg_target_value(L, e->r, i, &e->t, &out->value);
}

/* What the database can compare for equality. */
static void check_equality(struct entry *e) {
  const struct prg_col *c = e->t.col;
  if (c->cls == PRG_CLASS_JSON && !c->jsonb)
    refuse(e,
           "documents of this type cannot be compared: use contains or "
           "is_null");
}

static void check_order(struct entry *e) {
  const struct prg_col *c = e->t.col;
  if (!c->orderable)
    prg_usage(e->L, "filter \"%.120s\": a column of type %.60s has no order",
              name_of(e), c->title);
}

/* ---- operators ----------------------------------------------------------- */

static struct prg_cond *null_cond(struct entry *e, bool is_not_null) {
  struct prg_cond *c = on_column(e, PRG_COND_NULL);
  c->u.is_not_null = is_not_null;
  return c;
}

static struct prg_cond *compare(struct entry *e, int i, enum prg_cmp op) {
  struct prg_cond *c;
  if (op == PRG_NE && is_null(e->L, i)) return null_cond(e, true);
  if (op == PRG_EQ || op == PRG_NE) {
    if (!prg_is_raw(e->L, i)) check_equality(e);
  } else {
    check_order(e);
  }
  c = on_column(e, PRG_COND_CMP);
  c->u.cmp.op = op;
  read_operand(e, i, &c->u.cmp.to);
  return c;
}

/* The values of the list at `i`, without the nulls; *nulls: there was one. */
static struct prg_vlist *read_list(struct entry *e, int i, bool *nulls) {
  lua_State *L = e->L;
  struct prg_vlist *list;
  size_t n, k;
  const char *wrong;
  int top = lua_gettop(L) + 1;
  if (!is_listlike(L, i)) refuse_value(e, i, "a list is needed");
  wrong = prg_list_check(L, i, &n);
  if (wrong != NULL)
    prg_usage(L, "filter \"%.120s\": a list is needed: %s", name_of(e), wrong);
  list = prg_arena_need(L, e->r->arena, 1, sizeof *list);
  list->items = prg_arena_need(L, e->r->arena, n, sizeof *list->items);
  list->n = 0;
  list->ndim = n > 0;
  list->lower = NULL;
  *nulls = false;
  for (k = 1; k <= n; k++) {
    lua_rawgeti(L, i, (int)k);
    if (is_null(L, top)) {
      *nulls = true;
    } else {
      if (prg_is_raw(L, top))
        refuse(e,
               "perigee.sql cannot be a member of a list: use any_of, or "
               "write the condition in SQL");
      prg_target_value(L, e->r, top, &e->t, &list->items[list->n++]);
    }
    lua_settop(L, top - 1); /* stays in the list */
  }
  return list;
}

/* Lists of arrays would be arrays of one more dimension. */
static struct prg_cond *one_by_one(struct entry *e,
                                   const struct prg_vlist *list, bool negated) {
  struct prg_cond *group =
      new_cond(e->L, e->r, negated ? PRG_COND_NOR : PRG_COND_OR);
  size_t k;
  for (k = 0; k < list->n; k++) {
    struct prg_cond *c = on_column(e, PRG_COND_CMP);
    c->u.cmp.op = PRG_EQ;
    c->u.cmp.to.value = list->items[k];
    prg_cond_add(group, c);
  }
  return group;
}

static struct prg_cond *in_list(struct entry *e, const struct prg_vlist *list,
                                bool negated) {
  struct prg_cond *c;
  if (list->n == 0)
    return new_cond(e->L, e->r, negated ? PRG_COND_AND : PRG_COND_OR);
  if (e->t.col->cls == PRG_CLASS_ARRAY) return one_by_one(e, list, negated);
  c = on_column(e, PRG_COND_IN);
  c->u.in.negated = negated;
  c->u.in.list = list;
  return c;
}

/* With a null in the list: is it one of the others, or NULL? */
static struct prg_cond *membership(struct entry *e, int i, bool negated) {
  struct prg_cond *c, *both;
  struct prg_vlist *list;
  bool nulls;
  if (prg_is_raw(e->L, i))
    refuse(e,
           "a list is needed, not perigee.sql: write the condition in SQL, "
           "as perigee.sql(\"column in (select …)\")");
  list = read_list(e, i, &nulls);
  if (list->n > 0) check_equality(e);
  if (!nulls) return in_list(e, list, negated);
  if (list->n == 0) return null_cond(e, negated);
  c = in_list(e, list, negated);
  both = new_cond(e->L, e->r, negated ? PRG_COND_AND : PRG_COND_OR);
  prg_cond_add(both, c);
  prg_cond_add(both, null_cond(e, negated));
  return both;
}

static void refuse_map(struct entry *e, int i) {
  if (group_of(e->L, i) != GROUP_NONE)
    refuse(e, "a group stands in the array part of a filter, without a name");
  if (e->t.col->cls == PRG_CLASS_JSON)
    prg_usage(e->L,
              "filter \"%.120s\": a table with keys is not a list of values; "
              "[\"%.60s:contains\"] finds documents that have it in them",
              name_of(e), e->t.col->name.p);
  refuse(e, "a value or a list of values is needed, not a table with keys");
}

/* column = value */
static struct prg_cond *short_form(struct entry *e, int i) {
  lua_State *L = e->L;
  size_t n;
  if (is_null(L, i)) return null_cond(e, false);
  if (!is_structure(e, i)) return compare(e, i, PRG_EQ);
  if (!is_listlike(L, i) || prg_list_check(L, i, &n) != NULL) refuse_map(e, i);
  if (e->t.col->cls == PRG_CLASS_ARRAY && n > 0) {
    lua_rawgeti(L, i, 1);
    if (lua_type(L, -1) != LUA_TTABLE && !is_null(L, -1))
      refuse(e,
             "a plain list means one of these arrays: perigee.array{ … } is "
             "the array itself, and contains finds its members");
    lua_pop(L, 1);
  }
  return membership(e, i, false);
}

static struct prg_cond *between(struct entry *e, int i) {
  lua_State *L = e->L;
  struct prg_cond *c;
  size_t n = 0;
  check_order(e);
  if (!is_listlike(L, i) || prg_list_check(L, i, &n) != NULL || n != 2)
    refuse(e, "a list of two values is needed: { low, high }");
  c = on_column(e, PRG_COND_BETWEEN);
  lua_rawgeti(L, i, 1);
  lua_rawgeti(L, i, 2);
  read_operand(e, lua_gettop(L) - 1, &c->u.between.low);
  read_operand(e, lua_gettop(L), &c->u.between.high);
  lua_pop(L, 2);
  return c;
}

static struct prg_cond *is_null_op(struct entry *e, int i) {
  if (lua_type(e->L, i) != LUA_TBOOLEAN)
    refuse_value(e, i, "true or false is needed");
  return null_cond(e, !lua_toboolean(e->L, i));
}

static struct prg_cond *match(struct entry *e, int i, enum prg_match how) {
  struct prg_cond *c = on_column(e, PRG_COND_MATCH);
  c->u.match.how = how;
  prg_target_value(e->L, e->r, i, &e->t, &c->u.match.value);
  return c;
}

static bool is_textual(const struct prg_col *c) {
  return c->cls == PRG_CLASS_TEXT || c->cls == PRG_CLASS_ANY;
}

/* Databases differ in what a last backslash without a character is. */
static void check_pattern(struct entry *e, int i) {
  size_t n, slashes = 0;
  const char *s = lua_tolstring(e->L, i, &n);
  while (slashes < n && s[n - 1 - slashes] == '\\') slashes++;
  if (slashes % 2 == 1)
    refuse(e, "the pattern ends with a backslash that escapes nothing");
}

static struct prg_cond *text_match(struct entry *e, int i, enum prg_match how) {
  if (!is_textual(e->t.col))
    prg_usage(e->L,
              "filter \"%.120s\": only columns of text have this operator; "
              "this one is of type %.60s",
              name_of(e), e->t.col->title);
  if (lua_type(e->L, i) != LUA_TSTRING)
    refuse_value(e, i, "a string is needed");
  if (how == PRG_LIKE || how == PRG_ILIKE) check_pattern(e, i);
  return match(e, i, how);
}

static struct prg_cond *contains(struct entry *e, int i) {
  const struct prg_col *c = e->t.col;
  if (is_textual(c)) return text_match(e, i, PRG_CONTAINS);
  if (is_null(e->L, i) || prg_is_raw(e->L, i))
    refuse_value(e, i, "a value is needed");
  if (c->cls == PRG_CLASS_JSON) return match(e, i, PRG_HAS_JSON);
  if (c->cls == PRG_CLASS_ARRAY) {
    if (!is_listlike(e->L, i)) refuse_value(e, i, "a list is needed");
    return match(e, i, PRG_HAS_ITEMS);
  }
  if (c->cls == PRG_CLASS_OTHER &&
      (e->r->table->dialect->build & PRG_BUILD_HAS) != 0)
    return match(e, i, PRG_HAS_ITEMS);
  prg_usage(e->L, "filter \"%.120s\": a column of type %.60s has no contains",
            name_of(e), c->title);
  return NULL;
}

static struct prg_cond *read_entry(struct entry *e, int i) {
  switch (e->op) {
    case OP_EQ:
      return compare(e, i, PRG_EQ);
    case OP_NE:
      return compare(e, i, PRG_NE);
    case OP_GT:
      return compare(e, i, PRG_GT);
    case OP_GE:
      return compare(e, i, PRG_GE);
    case OP_LT:
      return compare(e, i, PRG_LT);
    case OP_LE:
      return compare(e, i, PRG_LE);
    case OP_IN:
      return membership(e, i, false);
    case OP_NOT_IN:
      return membership(e, i, true);
    case OP_LIKE:
      return text_match(e, i, PRG_LIKE);
    case OP_ILIKE:
      return text_match(e, i, PRG_ILIKE);
    case OP_PREFIX:
      return text_match(e, i, PRG_PREFIX);
    case OP_CONTAINS:
      return contains(e, i);
    case OP_BETWEEN:
      return between(e, i);
    case OP_IS_NULL:
      return is_null_op(e, i);
    default:
      return short_form(e, i);
  }
}

/* ---- tables -------------------------------------------------------------- */

struct filter {
  lua_State *L;
  const struct prg_reader *r;
  int depth;
};

static struct prg_cond *read_any(struct filter *f, int i);

/* The keys that are names, into the group; returns how many others there are,
** which are positive integers. */
static size_t read_keys(struct filter *f, int i, struct prg_cond *group) {
  lua_State *L = f->L;
  struct entry e;
  size_t n = 0;
  e.L = L;
  e.r = f->r;
  lua_pushnil(L);
  while (lua_next(L, i)) {
    int top = lua_gettop(L);
    if (lua_type(L, top - 1) == LUA_TSTRING) {
      read_key(&e, top - 1);
      prg_cond_add(group, read_entry(&e, top));
    } else if (lua_type(L, top - 1) == LUA_TNUMBER &&
               prg_isinteger(L, top - 1) && lua_tointeger(L, top - 1) > 0) {
      n++;
    } else {
      prg_usage(L, "filter: a key is the name of a column, not a %s",
                luaL_typename(L, top - 1));
    }
    lua_settop(L, top - 1); /* stays in the table */
  }
  return n;
}

static struct prg_cond *read_table(struct filter *f, int i,
                                   enum prg_cond_kind kind) {
  lua_State *L = f->L;
  struct prg_cond *group = new_cond(L, f->r, kind);
  size_t k, n;
  if (++f->depth > MAX_NESTED || !lua_checkstack(L, 20))
    prg_usage(L, "filter: nested more than %d deep, or containing itself",
              (int)MAX_NESTED);
  n = read_keys(f, i, group);
  for (k = 1; k <= n; k++) {
    lua_rawgeti(L, i, (int)k);
    if (lua_isnil(L, -1))
      prg_usage(L,
                "filter: its array part has a hole at %zu (a condition that "
                "is nil?)",
                k);
    prg_cond_add(group, read_any(f, lua_gettop(L)));
    lua_pop(L, 1);
  }
  prg_cond_sort(group);
  f->depth--;
  return group;
}

/* Is the value at `i`, which is no group, a table of conditions? */
static bool is_conditions(lua_State *L, int i) {
  enum prg_wrap kind;
  if (lua_type(L, i) != LUA_TTABLE) return false;
  kind = prg_wrap_of(L, i);
  return kind == PRG_W_PLAIN || kind == PRG_W_OTHER ||
         kind == PRG_W_JSON_OBJECT;
}

/* A filter, a group or a fragment. `i` is absolute. */
static struct prg_cond *read_any(struct filter *f, int i) {
  lua_State *L = f->L;
  enum group g = group_of(L, i);
  if (g != GROUP_NONE) return read_table(f, i, groups[g].kind);
  if (prg_is_raw(L, i)) {
    struct prg_cond *c = new_cond(L, f->r, PRG_COND_RAW);
    c->u.raw = prg_read_raw(L, f->r, i);
    return c;
  }
  if (is_conditions(L, i)) return read_table(f, i, PRG_COND_AND);
  prg_usage(L,
            f->depth == 0
                ? "a filter is a table of conditions, not %s"
                : "filter: a member of its array part is any_of, all_of, "
                  "none_of, perigee.sql or a filter, not %s",
            is_null(L, i) ? "null" : prg_wrap_describe(L, i));
  return NULL;
}

struct prg_cond *prg_read_filter(lua_State *L, const struct prg_reader *r,
                                 int i) {
  struct filter f;
  if (lua_isnoneornil(L, i)) return NULL;
  f.L = L;
  f.r = r;
  f.depth = 0;
  luaL_checkstack(L, 20, "filter");
  return read_any(&f, lua_absindex(L, i));
}

/* ---- scopes -------------------------------------------------------------- */

struct prg_cond *prg_read_scope(lua_State *L, const struct prg_reader *r,
                                int h) {
  struct prg_cond *group, *c;
  int top = lua_gettop(L), k, n;
  luaL_checkstack(L, 20, "scope");
  lua_rawgeti(L, h, 3); /* the handle keeps it */
  n = lua_istable(L, -1) ? (int)lua_rawlen(L, -1) : 0;
  if (n == 0) {
    lua_settop(L, top);
    return NULL;
  }
  group = new_cond(L, r, PRG_COND_AND);
  for (k = 1; k + 1 <= n; k += 2) {
    lua_rawgeti(L, top + 1, k);
    lua_rawgeti(L, top + 1, k + 1);
    c = new_cond(L, r, PRG_COND_CMP);
    c->col = prg_read_column(L, r, top + 2, "scope");
    c->u.cmp.op = PRG_EQ;
    prg_column_value(L, r, top + 3, c->col, &c->u.cmp.to.value);
    if (c->u.cmp.to.value.type == PRG_NULL)
      prg_usage(L, "scope: %s must have a value, not null", c->col->name.p);
    prg_cond_add(group, c);
    lua_settop(L, top + 1);
  }
  lua_settop(L, top);
  return group;
}

struct prg_cond *prg_cond_both(lua_State *L, struct prg_arena *a,
                               struct prg_cond *c, struct prg_cond *d) {
  struct prg_cond *group;
  if (c == NULL) return d;
  if (d == NULL) return c;
  group = prg_cond_new(a, PRG_COND_AND);
  if (group == NULL) prg_raise(L, prg_error_oom());
  prg_cond_add(group, c);
  prg_cond_add(group, d);
  return group;
}

/* ---- for hooks ----------------------------------------------------------- */

/* core.filter_kind(v) -> "part" of what can only be a member of a filter's array
** part, "filter" of a table of conditions, nil of what is no filter at all */
static int filter_kind(lua_State *L) {
  lua_settop(L, 1);
  if (prg_is_group(L, 1) || prg_is_raw(L, 1))
    lua_pushliteral(L, "part");
  else if (is_conditions(L, 1))
    lua_pushliteral(L, "filter");
  else
    lua_pushnil(L);
  return 1;
}

/* core.is_record(v) -> boolean */
static int is_record(lua_State *L) {
  lua_settop(L, 1);
  lua_pushboolean(L, prg_is_record(L, 1));
  return 1;
}

int prg_filter_open(lua_State *L) {
  static const lua_CFunction makers[GROUP_COUNT_] = {
      [GROUP_ALL] = make_all, [GROUP_ANY] = make_any, [GROUP_NOR] = make_none};
  int g;
  lua_createtable(L, GROUP_COUNT_, GROUP_COUNT_);
  for (g = GROUP_ALL; g < GROUP_COUNT_; g++) {
    lua_createtable(L, 0, 1);
    lua_pushfstring(L, "perigee.%s", groups[g].name);
    lua_setfield(L, -2, "__name");
    lua_pushvalue(L, -1);
    lua_rawseti(L, -3, g);
    lua_pushinteger(L, g);
    lua_rawset(L, -3); /* stack: core, groups */
    lua_pushcfunction(L, makers[g]);
    lua_setfield(L, -3, groups[g].name);
  }
  lua_rawsetp(L, LUA_REGISTRYINDEX, &groups_key);
  lua_pushcfunction(L, filter_kind);
  lua_setfield(L, -2, "filter_kind");
  lua_pushcfunction(L, is_record);
  lua_setfield(L, -2, "is_record");
  return 0;
}
