/* Verbs that read one table: select, find, get, exists, count, group. */
#include "bind/crud_int.h"

#include <stdlib.h>

/* ---- options ------------------------------------------------------------ */

static enum prg_lock read_lock(lua_State *L, int i) {
  static const struct {
    const char *name;
    enum prg_lock lock;
  } locks[] = {{"update", PRG_LOCK_UPDATE},
               {"update nowait", PRG_LOCK_UPDATE_NOWAIT},
               {"update skip_locked", PRG_LOCK_UPDATE_SKIP},
               {"share", PRG_LOCK_SHARE},
               {"share nowait", PRG_LOCK_SHARE_NOWAIT},
               {"share skip_locked", PRG_LOCK_SHARE_SKIP}};
  const char *s =
      lua_type(L, i) == LUA_TSTRING ? lua_tostring(L, i) : luaL_typename(L, i);
  size_t k;
  if (i == 0) return PRG_LOCK_NONE;
  for (k = 0; k < sizeof locks / sizeof locks[0]; k++)
    if (strcmp(s, locks[k].name) == 0) return locks[k].lock;
  prg_usage(L,
            "lock = %s: allowed are \"update\" and \"share\", alone or with "
            "\" nowait\" or \" skip_locked\"",
            s);
  return PRG_LOCK_NONE;
}

static int by_alias(const void *a, const void *b) {
  const struct prg_item *x = a, *y = b;
  size_t n = x->alias.n < y->alias.n ? x->alias.n : y->alias.n;
  int d = memcmp(x->alias.p, y->alias.p, n);
  if (d != 0) return d;
  return x->alias.n < y->alias.n ? -1 : x->alias.n > y->alias.n;
}

/* alias = perigee.sql(…) or alias = "column": key and value are on top. */
static void read_aliased(lua_State *L, const struct prg_reader *r,
                         struct prg_item *item) {
  int value = lua_gettop(L);
  item->alias.p = lua_tolstring(L, value - 1, &item->alias.n);
  if (prg_is_raw(L, value))
    item->raw = prg_read_raw(L, r, value);
  else if (lua_type(L, value) == LUA_TSTRING)
    item->col = prg_read_column(L, r, value, "columns");
  else
    prg_usage(L,
              "columns.%s: the name of a column or perigee.sql(…) is "
              "expected, not %s",
              item->alias.p, luaL_typename(L, value));
}

/* The named items of the list at `i`; returns how many there are. They are in
** the order of their names, as that of the table is chance. */
static size_t read_aliases(lua_State *L, const struct prg_reader *r, int i,
                           struct prg_item *items, size_t list) {
  size_t n = 0;
  lua_pushnil(L);
  while (lua_next(L, i) != 0) {
    if (lua_type(L, -2) == LUA_TSTRING) {
      read_aliased(L, r, &items[n++]);
    } else {
      lua_Number k = lua_tonumber(L, -2);
      if (!(k >= 1 && k <= (lua_Number)list && prg_isinteger(L, -2)))
        prg_usage(L, "columns: a list of names is expected");
    }
    lua_pop(L, 1); /* stays in the table */
  }
  qsort(items, n, sizeof *items, by_alias);
  return n;
}

static size_t count_pairs(lua_State *L, int i) {
  size_t n = 0;
  lua_pushnil(L);
  while (lua_next(L, i) != 0) {
    lua_pop(L, 1);
    n++;
  }
  return n;
}

/* columns = { "name", …, alias = perigee.sql(…) } */
static void read_items(lua_State *L, const struct prg_reader *r, int i,
                       struct prg_select *s) {
  struct prg_item *items;
  size_t k, n, list;
  if (i == 0) return;
  if (lua_type(L, i) != LUA_TTABLE || prg_is_raw(L, i))
    prg_usage(L, "columns: a list of names is expected, not %s",
              luaL_typename(L, i));
  list = lua_rawlen(L, i);
  n = count_pairs(L, i);
  if (n == 0) prg_usage(L, "columns: the list is empty");
  items = prg_crud_need(L, r, n > list ? n : list, sizeof *items);
  for (k = 0; k < list; k++) {
    lua_rawgeti(L, i, (int)k + 1);
    if (prg_is_raw(L, -1))
      prg_usage(L,
                "columns: an expression needs a name: "
                "columns = { name = perigee.sql(…) }");
    items[k].col = prg_read_column(L, r, lua_gettop(L), "columns");
    lua_pop(L, 1);
  }
  s->nitems = list + read_aliases(L, r, i, items + list, list);
  s->items = items;
}

/* An order by the primary key. */
static void order_by_key(lua_State *L, const struct prg_reader *r,
                         struct prg_select *s) {
  const struct prg_key *key = r->table->pk;
  struct prg_order *order;
  int i;
  if (key == NULL) return;
  order = prg_crud_need(L, r, (size_t)key->ncols, sizeof *order);
  for (i = 0; i < key->ncols; i++) order[i].col = &r->table->cols[key->cols[i]];
  s->norder = (size_t)key->ncols;
  s->order = order;
}

static const struct prg_value one_row = {.type = PRG_INT, .u = {.i = 1}};
static const struct prg_value two_rows = {.type = PRG_INT, .u = {.i = 2}};

/* select(x, h, filter, opts) -> rows */
static int crud_select(lua_State *L) {
  struct prg_option own[] = {{"order_by", 0}, {"limit", 0}, {"offset", 0},
                             {"columns", 0},  {"lock", 0},  {NULL, 0}};
  struct prg_select s = {.nitems = 0};
  struct prg_reader r;
  struct prg_op *op;
  bool resumed;
  int n = prg_crud_resumed(L, &resumed);
  if (resumed) return n;
  lua_settop(L, PRG_A_SECOND);
  op = prg_crud_begin(L, PRG_VERB_QUERY, &r);
  prg_crud_options(L, op, PRG_A_SECOND, own);
  s.table = r.table;
  s.where = prg_crud_scoped(L, &r, prg_read_filter(L, &r, PRG_A_FIRST));
  if (own[0].at != 0) s.order = prg_read_order(L, &r, own[0].at, &s.norder);
  if (own[1].at != 0) s.limit = prg_read_count(L, &r, own[1].at, "limit");
  if (own[2].at != 0) s.offset = prg_read_count(L, &r, own[2].at, "offset");
  read_items(L, &r, own[3].at, &s);
  s.lock = read_lock(L, own[4].at);
  return prg_crud_run_select(L, op, &s);
}

/* find(x, h, filter, opts) -> the row, or raises */
static int crud_find(lua_State *L) {
  struct prg_option own[] = {{"columns", 0}, {"lock", 0}, {NULL, 0}};
  struct prg_select s = {.limit = &two_rows};
  struct prg_reader r;
  struct prg_op *op;
  bool resumed;
  int n = prg_crud_resumed(L, &resumed);
  if (resumed) return n;
  lua_settop(L, PRG_A_SECOND);
  op = prg_crud_begin(L, PRG_VERB_ONE, &r);
  prg_crud_options(L, op, PRG_A_SECOND, own);
  s.table = r.table;
  s.where = prg_crud_scoped(L, &r, prg_read_filter(L, &r, PRG_A_FIRST));
  read_items(L, &r, own[0].at, &s);
  s.lock = read_lock(L, own[1].at);
  return prg_crud_run_select(L, op, &s);
}

/* find_first(x, h, filter, opts) -> row or nil */
static int crud_find_first(lua_State *L) {
  struct prg_option own[] = {
      {"order_by", 0}, {"columns", 0}, {"lock", 0}, {"offset", 0}, {NULL, 0}};
  struct prg_select s = {.limit = &one_row};
  struct prg_reader r;
  struct prg_op *op;
  bool resumed;
  int n = prg_crud_resumed(L, &resumed);
  if (resumed) return n;
  lua_settop(L, PRG_A_SECOND);
  op = prg_crud_begin(L, PRG_VERB_FIRST, &r);
  prg_crud_options(L, op, PRG_A_SECOND, own);
  s.table = r.table;
  s.where = prg_crud_scoped(L, &r, prg_read_filter(L, &r, PRG_A_FIRST));
  if (own[0].at != 0)
    s.order = prg_read_order(L, &r, own[0].at, &s.norder);
  else
    order_by_key(L, &r, &s);
  read_items(L, &r, own[1].at, &s);
  s.lock = read_lock(L, own[2].at);
  if (own[3].at != 0) s.offset = prg_read_count(L, &r, own[3].at, "offset");
  return prg_crud_run_select(L, op, &s);
}

/* The row with a primary key. */
static int by_key(lua_State *L, enum prg_verb_kind verb) {
  struct prg_option own[] = {{"columns", 0}, {"lock", 0}, {NULL, 0}};
  struct prg_select s = {.limit = &one_row};
  struct prg_reader r;
  struct prg_op *op;
  struct prg_cond *key;
  bool resumed;
  int n = prg_crud_resumed(L, &resumed);
  if (resumed) return n;
  lua_settop(L, PRG_A_SECOND);
  op = prg_crud_begin(L, verb, &r);
  if (r.table->pk == NULL)
    prg_refuse_known(L, "%s has no primary key: use find() with a filter",
                     r.table->title.p);
  prg_crud_options(L, op, PRG_A_SECOND, own);
  s.table = r.table;
  key = prg_read_key(L, &r, PRG_A_FIRST, r.table->pk);
  op->key = key;
  s.where = prg_crud_scoped(L, &r, key);
  read_items(L, &r, own[0].at, &s);
  s.lock = read_lock(L, own[1].at);
  return prg_crud_run_select(L, op, &s);
}

/* get(x, h, key, opts) -> row or nil */
static int crud_get(lua_State *L) {
  return by_key(L, PRG_VERB_FIRST);
}

/* at(x, h, key, opts) -> row, or raises not_found */
static int crud_at(lua_State *L) {
  return by_key(L, PRG_VERB_ONE);
}

struct test {
  const struct prg_table *table;
  const struct prg_cond *where;
};

static void emit_exists(struct prg_emit *e, const void *what) {
  const struct test *t = what;
  prg_emit_exists(e, t->table, t->where);
}

static void emit_count(struct prg_emit *e, const void *what) {
  const struct test *t = what;
  prg_emit_count(e, t->table, t->where);
}

static int run_test(lua_State *L, enum prg_verb_kind verb,
                    void (*emit)(struct prg_emit *, const void *)) {
  struct prg_option own[] = {{NULL, 0}};
  struct prg_reader r;
  struct prg_op *op;
  struct test t;
  bool resumed;
  int n = prg_crud_resumed(L, &resumed);
  if (resumed) return n;
  lua_settop(L, PRG_A_SECOND);
  op = prg_crud_begin(L, verb, &r);
  prg_crud_options(L, op, PRG_A_SECOND, own);
  t.table = r.table;
  t.where = prg_crud_scoped(L, &r, prg_read_filter(L, &r, PRG_A_FIRST));
  return prg_crud_run(L, op, emit, &t);
}

/* exists(x, h, filter, opts) -> boolean */
static int crud_exists(lua_State *L) {
  return run_test(L, PRG_VERB_EXISTS, emit_exists);
}

/* count(x, h, filter, opts) -> integer */
static int crud_count(lua_State *L) {
  return run_test(L, PRG_VERB_COUNT, emit_count);
}

/* ---- group -------------------------------------------------------------- */

static const struct {
  const char *name;
  enum prg_aggregate fn;
} aggregates[] = {
    {"sum", PRG_SUM}, {"min", PRG_MIN}, {"max", PRG_MAX}, {"avg", PRG_AVG}};

enum { NAGGREGATES = sizeof aggregates / sizeof aggregates[0] };

/* Where the items of a group are collected. */
struct grouping {
  const struct prg_reader *r;
  struct prg_select s;
  struct prg_item *items;
};

static struct prg_item *find_alias(struct grouping *g,
                                   const struct prg_text *name) {
  size_t i;
  for (i = 0; i < g->s.nitems; i++) {
    struct prg_item *k = &g->items[i];
    const struct prg_text *n = k->alias.p != NULL ? &k->alias : &k->col->name;
    if (n->n == name->n && memcmp(n->p, name->p, n->n) == 0) return k;
  }
  return NULL;
}

static void add_aggregate(lua_State *L, struct grouping *g,
                          const struct prg_item *item) {
  if (find_alias(g, &item->alias) != NULL)
    prg_usage(L, "group: two columns of the result would be called \"%s\"",
              item->alias.p);
  g->items[g->s.nitems++] = *item;
}

/* Can the column be added up? */
static bool is_summable(const struct prg_col *c) {
  switch (c->cls) {
    case PRG_CLASS_INT:
    case PRG_CLASS_FLOAT:
    case PRG_CLASS_NUMERIC:
    case PRG_CLASS_ANY:
    case PRG_CLASS_OTHER:
      return true;
    default:
      return false;
  }
}

static void check_aggregate(lua_State *L, const struct prg_item *k,
                            const char *name) {
  bool adds = k->fn == PRG_SUM || k->fn == PRG_AVG;
  if (adds ? is_summable(k->col) : k->col->orderable) return;
  prg_usage(L, "group: %s of %s is not possible: the column is of type %s",
            name, k->col->name.p, k->col->title);
}

/* sum = { alias = "column", … } at `i` */
static void read_aggregate(lua_State *L, struct grouping *g, int i, int a) {
  const char *name = aggregates[a].name;
  size_t from = g->s.nitems;
  if (lua_type(L, i) != LUA_TTABLE)
    prg_usage(L, "%s: { name = \"column\" } is expected, not %s", name,
              luaL_typename(L, i));
  lua_pushnil(L);
  while (lua_next(L, i) != 0) {
    struct prg_item item = {.aggregated = true, .fn = aggregates[a].fn};
    if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING)
      prg_usage(L, "%s: { name = \"column\" } is expected", name);
    item.alias.p = lua_tolstring(L, -2, &item.alias.n);
    item.col = prg_read_column(L, g->r, lua_gettop(L), name);
    check_aggregate(L, &item, name);
    add_aggregate(L, g, &item);
    lua_pop(L, 1);
  }
  qsort(g->items + from, g->s.nitems - from, sizeof *g->items, by_alias);
}

/* by = "column" or a list of them */
static void read_by(lua_State *L, struct grouping *g, int i) {
  struct prg_select *s = &g->s;
  size_t k;
  if (i == 0) return;
  if (lua_type(L, i) == LUA_TSTRING) {
    const struct prg_col **list = prg_crud_need(L, g->r, 1, sizeof *list);
    list[0] = prg_read_column(L, g->r, i, "by");
    s->group = list;
    s->ngroup = 1;
  } else {
    s->group = prg_read_columns(L, g->r, i, "by", &s->ngroup);
  }
  for (k = 0; k < s->ngroup; k++) {
    if (find_alias(g, &s->group[k]->name) != NULL)
      prg_usage(L, "by: the column %s is there twice", s->group[k]->name.p);
    g->items[s->nitems++].col = s->group[k];
  }
}

/* How many items there may be at most. */
static size_t count_items(lua_State *L, const struct prg_option *own) {
  size_t n = 2;
  int k;
  for (k = 0; own[k].name != NULL; k++)
    if (own[k].at != 0 && lua_istable(L, own[k].at))
      n += count_pairs(L, own[k].at) + lua_rawlen(L, own[k].at);
  return n;
}

/* The names that aggregates have. */
static struct prg_names read_names(lua_State *L, const struct grouping *g) {
  struct prg_text *names = prg_crud_need(L, g->r, g->s.nitems, sizeof *names);
  struct prg_names out = {0, names};
  size_t i;
  for (i = 0; i < g->s.nitems; i++)
    if (g->items[i].alias.p != NULL) names[out.n++] = g->items[i].alias;
  return out;
}

/* order_by at `i`: names of aggregates, and columns that are in `by`. */
static void read_group_order(lua_State *L, struct grouping *g, int i) {
  const struct prg_names names = read_names(L, g);
  struct prg_select *s = &g->s;
  size_t k;
  s->order = prg_read_order_of(L, g->r, i, &names, &s->norder);
  for (k = 0; k < s->norder; k++) {
    const struct prg_col *c = s->order[k].col;
    if (c != NULL && find_alias(g, &c->name) == NULL)
      prg_usage(L,
                "order_by: %s is neither in `by` nor the name of an aggregate",
                c->name.p);
  }
}

/* Without order_by: the columns of `by`. */
static void order_by_group(lua_State *L, struct grouping *g) {
  struct prg_order *order = prg_crud_need(L, g->r, g->s.ngroup, sizeof *order);
  size_t k;
  for (k = 0; k < g->s.ngroup; k++) order[k].col = g->s.group[k];
  g->s.norder = g->s.ngroup;
  g->s.order = order;
}

/* The items: the columns of `by`, then the aggregates. */
static void read_group(lua_State *L, struct grouping *g,
                       const struct prg_option *own) {
  struct prg_item count = {.aggregated = true, .fn = PRG_COUNT};
  int k, name = own[1].at;
  size_t plain;
  read_by(L, g, own[0].at);
  plain = g->s.nitems;
  if (name != 0) {
    if (lua_type(L, name) != LUA_TSTRING)
      prg_usage(L, "count: the name of the column is expected, not %s",
                luaL_typename(L, name));
    count.alias.p = lua_tolstring(L, name, &count.alias.n);
    add_aggregate(L, g, &count);
  }
  for (k = 0; k < NAGGREGATES; k++)
    if (own[2 + k].at != 0) read_aggregate(L, g, own[2 + k].at, k);
  if (g->s.nitems > plain) return;
  count.alias = (struct prg_text){"count", 5};
  add_aggregate(L, g, &count);
}

/* group(x, h, filter, { by =, count =, sum = …, order_by =, limit =, offset = })
** -> rows */
static int crud_group(lua_State *L) {
  struct prg_option own[] = {
      {"by", 0},  {"count", 0},    {"sum", 0},   {"min", 0},    {"max", 0},
      {"avg", 0}, {"order_by", 0}, {"limit", 0}, {"offset", 0}, {NULL, 0}};
  const struct prg_option *order = &own[2 + NAGGREGATES];
  struct grouping g = {.r = NULL};
  struct prg_reader r;
  struct prg_op *op;
  bool resumed;
  int n = prg_crud_resumed(L, &resumed);
  if (resumed) return n;
  lua_settop(L, PRG_A_SECOND);
  op = prg_crud_begin(L, PRG_VERB_QUERY, &r);
  prg_crud_options(L, op, PRG_A_SECOND, own);
  g.r = &r;
  g.s.table = r.table;
  g.s.items = g.items =
      prg_crud_need(L, &r, count_items(L, own), sizeof *g.items);
  g.s.where = prg_crud_scoped(L, &r, prg_read_filter(L, &r, PRG_A_FIRST));
  read_group(L, &g, own);
  if (order->at != 0)
    read_group_order(L, &g, order->at);
  else
    order_by_group(L, &g);
  if (order[1].at != 0) g.s.limit = prg_read_count(L, &r, order[1].at, "limit");
  if (order[2].at != 0)
    g.s.offset = prg_read_count(L, &r, order[2].at, "offset");
  return prg_crud_run_select(L, op, &g.s);
}

static const luaL_Reg verbs[] = {{"select", crud_select},
                                 {"find", crud_find},
                                 {"find_first", crud_find_first},
                                 {"exists", crud_exists},
                                 {"count", crud_count},
                                 {"get", crud_get},
                                 {"at", crud_at},
                                 {"group", crud_group},
                                 {NULL, NULL}};

void prg_select_open(lua_State *L) {
  prg_set_functions(L, verbs);
}
