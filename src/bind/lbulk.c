/*
** insert_many, upsert_many, update_many and delete_many in steps, each one
** statement: bulk_plan reads the list, bulk_run runs a step, bulk_place puts its
** rows where they belong. What is one step is atomic by itself; of more steps
** lua/perigee/bulk.lua makes a transaction.
*/
#include "bind/bulk_int.h"
#include "bind/lvalue.h"

#include "base/mem.h"

static const char bulk_name[] = "perigee.bulk";

/* The column that prg_returning.created adds. */
static const char created_name[] = "perigee:created";
static const char mark_name[] = "perigee:mark"; /* and .mark */

/* ---- the plan ----------------------------------------------------------- */

static void free_bulk(struct prg_bulk *b) {
  prg_table_unref((struct prg_table *)(uintptr_t)b->table);
  b->table = NULL;
  prg_arena_fini(&b->arena);
}

static int bulk__gc(lua_State *L) {
  free_bulk(luaL_checkudata(L, 1, bulk_name));
  return 0;
}

static struct prg_bulk *check_bulk(lua_State *L, int i) {
  struct prg_bulk *b = luaL_checkudata(L, i, bulk_name);
  if (b->table == NULL) prg_usage(L, "this bulk call has ended");
  return b;
}

static struct prg_bulk *push_bulk(lua_State *L) {
  struct prg_bulk *b = lua_newuserdatauv(L, sizeof *b, 0);
  memset(b, 0, sizeof *b);
  prg_arena_init(&b->arena);
  luaL_getmetatable(L, bulk_name);
  lua_setmetatable(L, -2);
  return b;
}

static int refuse_key(lua_State *L, const struct prg_bulk *b,
                      const struct prg_reader *r, const char *why) {
  const char *keys = prg_table_keys(b->table, r->arena);
  return prg_refuse_known(L, "%s: the keys of %s are %s", why,
                          b->table->title.p, keys != NULL ? keys : "…");
}

static void read_key(lua_State *L, struct prg_bulk *b,
                     const struct prg_reader *r, int on) {
  const struct prg_table *t = b->table;
  const struct prg_col *const *cols;
  size_t n, i;
  int *at;
  lua_getfield(L, on, "on");
  if (lua_isnil(L, -1)) {
    b->key = t->pk;
    if (b->key == NULL) refuse_key(L, b, r, "there is no primary key");
    return;
  }
  if (lua_type(L, -1) == LUA_TSTRING) { /* one column */
    lua_createtable(L, 1, 0);
    lua_insert(L, -2);
    lua_rawseti(L, -2, 1);
  }
  cols = prg_read_columns(L, r, lua_gettop(L), "on", &n);
  at = prg_arena_need(L, r->arena, n, sizeof *at);
  for (i = 0; i < n; i++) at[i] = cols[i]->index;
  b->key = prg_table_key(t, at, (int)n);
  if (b->key == NULL)
    refuse_key(L, b, r, "on: no unique key has just these columns");
}

/* The options that say what is done; the others are those of each step. */
static void read_options(lua_State *L, struct prg_bulk *b,
                         const struct prg_reader *r, int o) {
  if (b->mode != PRG_BULK_INSERT) read_key(L, b, r, o);
  lua_getfield(L, o, "set");
  if (b->mode == PRG_BULK_UPSERT && !lua_isnil(L, -1)) {
    b->set_given = true;
    b->sets = prg_read_columns(L, r, lua_gettop(L), "set", &b->nsets);
  }
  if (b->mode != PRG_BULK_INSERT && b->mode != PRG_BULK_UPSERT) return;
  lua_getfield(L, o, "returning");
  if (lua_istable(L, -1)) {
    b->returning.cols =
        prg_read_columns(L, r, lua_gettop(L), "returning", &b->returning.ncols);
    if (b->returning.ncols == 0)
      prg_usage(L, "returning: the list of columns is empty");
  } else if (!lua_isnil(L, -1) && !lua_isboolean(L, -1)) {
    prg_usage(L,
              "returning: false, true or a list of columns is expected, "
              "not %s",
              luaL_typename(L, -1));
  }
  b->returning.any = lua_isnil(L, -1) || lua_toboolean(L, -1);
  lua_getfield(L, o, "whole"); /* for hooks, whatever is returned then */
  if (lua_toboolean(L, -1)) {
    b->returning.any = true;
    b->returning.cols = NULL;
    b->returning.ncols = 0;
  }
  lua_getfield(L, o, "created");
  b->returning.created = b->returning.any && lua_toboolean(L, -1) &&
                         (b->dialect->build & PRG_BUILD_XMAX) != 0;
  b->apart = b->returning.any && (b->dialect->build & PRG_BUILD_RETURNING) == 0;
  b->returning.mark = b->mode == PRG_BULK_UPSERT && b->returning.any &&
                      !b->apart && (b->dialect->build & PRG_BUILD_STEPS) != 0;
}

/* The scope of the handle at 2, as values of its columns. */
static void read_scope(lua_State *L, struct prg_bulk *b,
                       const struct prg_reader *r) {
  size_t k;
  lua_rawgeti(L, 2, 3);
  if (!lua_istable(L, -1)) return;
  b->nscope = lua_rawlen(L, -1) / 2;
  b->scope_cols = prg_arena_need(L, r->arena, b->nscope, sizeof *b->scope_cols);
  b->scope_values =
      prg_arena_need(L, r->arena, b->nscope, sizeof *b->scope_values);
  for (k = 0; k < b->nscope; k++) {
    lua_rawgeti(L, -1, (int)(2 * k) + 1);
    b->scope_cols[k] = prg_read_column(L, r, lua_gettop(L), "scope");
    lua_rawgeti(L, -2, (int)(2 * k) + 2);
    prg_column_value(L, r, lua_gettop(L), b->scope_cols[k],
                     &b->scope_values[k]);
    lua_pop(L, 2);
  }
}

/* core.crud.bulk_plan(x, h, mode, list, options) -> plan, records, steps */
static int crud_bulk_plan(lua_State *L) {
  static const char *const modes[] = {"insert", "upsert", "update", "delete",
                                      NULL};
  struct prg_exec *x;
  struct prg_db *db = prg_exec_resolve(L, &x);
  struct prg_reader r;
  struct prg_bulk *b;
  lua_settop(L, 5);
  luaL_checktype(L, 5, LUA_TTABLE);
  r.db = db;
  r.table = prg_tinfo_check(L, 2);
  b = push_bulk(L);
  b->mode = (enum prg_bulk_mode)luaL_checkoption(L, 3, NULL, modes);
  b->dialect = db->dialect;
  b->collects = (db->driver->features & PRG_F_COLLECT) != 0;
  b->table = prg_table_ref((struct prg_table *)(uintptr_t)r.table);
  r.arena = &b->arena;
  read_options(L, b, &r, 5);
  read_scope(L, b, &r);
  prg_bulk_read(L, b, db, 4);
  lua_pushvalue(L, 6);
  lua_pushinteger(L, (lua_Integer)b->n);
  lua_pushinteger(L, (lua_Integer)b->nsteps);
  return 3;
}

static int own_group(struct prg_bulk *b, struct prg_bulk_group *g) {
  size_t i;
  if (g->form == PRG_BULK_LISTS) {
    for (i = 0; i < g->ncols; i++)
      if (prg_values_own(&b->arena, g->lists[i].items, g->n) != PRG_OK)
        return PRG_ERR;
    return PRG_OK;
  }
  for (i = 0; g->raws != NULL && i < g->ncols; i++) {
    const struct prg_raw *raw = g->raws[i];
    if (raw != NULL &&
        prg_values_own(&b->arena, (struct prg_value *)(uintptr_t)raw->values,
                       raw->n) != PRG_OK)
      return PRG_ERR;
  }
  return prg_values_own(&b->arena, g->rows, g->n * g->ncols);
}

/* core.crud.bulk_own(plan): from now on the plan needs nothing of the list, which
** others may change while a step waits */
static int crud_bulk_own(lua_State *L) {
  struct prg_bulk *b = check_bulk(L, 1);
  struct prg_bulk_group *g;
  for (g = b->first; g != NULL; g = g->next)
    if (own_group(b, g) != PRG_OK) return prg_raise(L, prg_error_oom());
  return 0;
}

/* core.crud.bulk_free(plan) */
static int crud_bulk_free(lua_State *L) {
  free_bulk(luaL_checkudata(L, 1, bulk_name));
  return 0;
}

/* ---- steps -------------------------------------------------------------- */

/* The step at `i`, numbered from 1. */
static void find_step(lua_State *L, int i, struct prg_bulk *b,
                      struct prg_bulk_step *s) {
  size_t k = (size_t)luaL_checkinteger(L, i) - 1;
  const struct prg_bulk_group *g = b->first;
  memset(s, 0, sizeof *s);
  if (k >= b->nsteps) prg_usage(L, "the plan has no step %d", (int)k + 1);
  while (g->next != NULL && g->next->first_step <= k) g = g->next;
  s->b = b;
  s->g = g;
  s->from = (k - g->first_step) * g->per_step;
  s->n = g->n - s->from < g->per_step ? g->n - s->from : g->per_step;
}

const struct prg_bulk_group *prg_bulk_group(lua_State *L, int i, int k) {
  const struct prg_bulk *b = check_bulk(L, i);
  const struct prg_bulk_group *g = b->first;
  lua_Integer n = luaL_checkinteger(L, k);
  while (g != NULL && --n > 0) g = g->next;
  if (g == NULL) prg_usage(L, "the plan has no such group");
  return g;
}

/* core.crud.bulk_group(plan, k) -> records of the group, the names of its columns,
** whether all are plain values; nothing when there is no such group */
static int crud_bulk_group(lua_State *L) {
  const struct prg_bulk *b = check_bulk(L, 1);
  const struct prg_bulk_group *g;
  size_t i;
  if ((size_t)luaL_checkinteger(L, 2) > b->ngroups) return 0;
  g = prg_bulk_group(L, 1, 2);
  lua_pushinteger(L, (lua_Integer)g->n);
  lua_createtable(L, (int)g->ncols, 0);
  for (i = 0; i < g->ncols; i++) {
    lua_pushlstring(L, g->cols[i]->name.p, g->cols[i]->name.n);
    lua_rawseti(L, -2, (int)i + 1);
  }
  lua_pushboolean(L, g->raws == NULL && g->ncols > 0);
  return 3;
}

/* core.crud.bulk_number(plan, k, i) -> the number in the list of record i of the
** group */
static int crud_bulk_number(lua_State *L) {
  const struct prg_bulk_group *g = prg_bulk_group(L, 1, 2);
  size_t i = (size_t)luaL_checkinteger(L, 3);
  if (i >= 1 && i <= g->n) i = g->places[i - 1] + 1;
  lua_pushinteger(L, (lua_Integer)i);
  return 1;
}

/* core.crud.bulk_step(plan, step) -> records, whether their key is left to the
** database */
static int crud_bulk_step(lua_State *L) {
  struct prg_bulk_step s;
  find_step(L, 2, check_bulk(L, 1), &s);
  lua_pushinteger(L, (lua_Integer)s.n);
  lua_pushboolean(L, s.g->fresh);
  return 2;
}

/* ---- leaves ------------------------------------------------------------- */

/* The start of a leaf on a plan (at 3) and a step of it (at 4); the options are
** at 5. */
static struct prg_op *begin(lua_State *L, enum prg_verb_kind verb,
                            struct prg_reader *r, struct prg_bulk_step *s) {
  struct prg_option own[] = {{NULL, 0}};
  struct prg_op *op;
  find_step(L, 4, check_bulk(L, 3), s);
  op = prg_crud_begin(L, verb, r);
  if (r->table != s->b->table)
    prg_usage(L, "the plan was made for another table");
  prg_crud_options(L, op, 5, own);
  s->arena = r->arena;
  s->only = prg_read_scope(L, r, 2);
  return op;
}

/* core.crud.bulk_run(x, h, plan, step, options) -> rows in the order of the
** step's records, or the count; what execute() gives where bulk_fetch is to read
** the rows */
static int crud_bulk_run(lua_State *L) {
  struct prg_reader r;
  struct prg_bulk_step s;
  struct prg_op *op;
  bool resumed;
  int n = prg_crud_resumed(L, &resumed);
  if (resumed) return n;
  lua_settop(L, 5);
  op = begin(L,
             check_bulk(L, 3)->returning.any ? PRG_VERB_QUERY : PRG_VERB_COUNT,
             &r, &s);
  if (s.b->apart) {
    op->verb = PRG_VERB_EXECUTE;
    op->class = 0;
  }
  return prg_bulk_run(L, op, &s);
}

/* The column named by the string at `i`, of which the database has made the values:
** the first is at i + 1, what is between two of them at i + 2. nil: none */
static struct prg_bulk_made read_made(lua_State *L, const struct prg_reader *r,
                                      int i) {
  struct prg_bulk_made made = {NULL, 0, 0};
  struct prg_value v;
  if (lua_isnil(L, i) || lua_isnil(L, i + 1)) return made;
  made.col = prg_read_column(L, r, i, "key");
  prg_column_value(L, r, i + 1, made.col, &v);
  made.first = v.u.i;
  made.increment = (int64_t)luaL_checkinteger(L, i + 2);
  return made;
}

/* core.crud.bulk_fetch(x, h, plan, step, options, made, first, increment) -> the rows
** that bulk_run has inserted */
static int crud_bulk_fetch(lua_State *L) {
  enum { MADE = 6, ARGS = 8 };
  struct prg_reader r;
  struct prg_bulk_step s;
  struct prg_bulk_made made;
  struct prg_op *op;
  bool resumed;
  int n = prg_crud_resumed(L, &resumed);
  if (resumed) return n;
  lua_settop(L, ARGS);
  op = begin(L, PRG_VERB_QUERY, &r, &s);
  made = read_made(L, &r, MADE);
  return prg_bulk_fetch(L, op, &s, &made);
}

/* core.crud.bulk_probe(x, h, plan, step, options) -> what bulk_absent reads:
** which keys of the step's records have no row. rows = "array" in the options */
static int crud_bulk_probe(lua_State *L) {
  struct prg_reader r;
  struct prg_bulk_step s;
  struct prg_op *op;
  bool resumed;
  int n = prg_crud_resumed(L, &resumed);
  if (resumed) return n;
  lua_settop(L, 5);
  op = begin(L, PRG_VERB_QUERY, &r, &s);
  return prg_bulk_probe(L, op, &s);
}

/* ---- what came back ----------------------------------------------------- */

/* What the row on top says of its record, in `into` (or 0: nobody asks), and is not left
** in the row. The mark, of which 2 and 3 are for rows that were not written. */
static int take_told(lua_State *L, const struct prg_returning *told, int name,
                     int into, int place) {
  int mark = 0;
  lua_pushvalue(L, name);
  lua_rawget(L, -2);
  if (told->mark) {
    mark = (int)lua_tonumber(L, -1);
    lua_pop(L, 1);
    lua_pushboolean(L, mark == 0);
  }
  if (into != 0)
    lua_rawseti(L, into, place);
  else
    lua_pop(L, 1);
  lua_pushvalue(L, name);
  lua_pushnil(L);
  lua_rawset(L, -3);
  return mark;
}

/* core.crud.bulk_place(plan, step, rows, into, created) -> the number of a record that
** was not written, for its key is that of a row out of reach, or nil: rows go to their
** places in `into`, and whether they were inserted in `created` (nil: nobody asks) */
static int crud_bulk_place(lua_State *L) {
  struct prg_bulk_step s;
  struct prg_returning told;
  int refused = 0, created;
  size_t i;
  lua_settop(L, 5);
  find_step(L, 2, check_bulk(L, 1), &s);
  told = prg_bulk_returning(&s);
  created = lua_istable(L, 5) ? 5 : 0;
  luaL_checktype(L, 3, LUA_TTABLE);
  luaL_checktype(L, 4, LUA_TTABLE);
  lua_pushstring(L, told.mark ? mark_name : created_name); /* 6 */
  for (i = 0; i < s.n; i++) {
    int place = (int)s.g->places[s.from + i] + 1;
    lua_rawgeti(L, 3, (int)i + 1);
    if (!lua_istable(L, -1)) return prg_usage(L, "a row is missing");
    if (told.mark || told.created) {
      if (take_told(L, &told, 6, created, place) > 1) refused = place;
    } else if (created != 0 && s.g->fresh) {
      lua_pushboolean(L, 1);
      lua_rawseti(L, created, place);
    }
    lua_rawseti(L, 4, place);
  }
  if (refused == 0) return 0;
  lua_pushinteger(L, refused);
  return 1;
}

static void mark(lua_State *L, const struct prg_bulk_step *s, size_t i,
                 bool absent) {
  lua_pushboolean(L, absent);
  lua_rawseti(L, 4, (int)s->g->places[s->from + i] + 1);
}

/* core.crud.bulk_absent(plan, step, rows of bulk_probe, into): at the place of each
** record of the step, whether its key has no row */
static int crud_bulk_absent(lua_State *L) {
  struct prg_bulk_step s;
  size_t i, n;
  lua_settop(L, 4);
  find_step(L, 2, check_bulk(L, 1), &s);
  luaL_checktype(L, 3, LUA_TTABLE);
  luaL_checktype(L, 4, LUA_TTABLE);
  n = lua_rawlen(L, 3);
  if ((s.b->dialect->build & PRG_BUILD_UNNEST) != 0) {
    for (i = 0; i < s.n; i++) mark(L, &s, i, false);
    for (i = 0; i < n; i++) {
      lua_rawgeti(L, 3, (int)i + 1);
      lua_rawgeti(L, -1, 1);
      mark(L, &s, (size_t)lua_tointeger(L, -1) - 1, true);
      lua_pop(L, 2);
    }
    return 0;
  }
  for (i = 0; i < s.n && i < n; i++) {
    lua_rawgeti(L, 3, (int)i + 1);
    lua_rawgeti(L, -1, 1);
    mark(L, &s, i,
         lua_isnumber(L, -1) ? lua_tointeger(L, -1) == 0
                             : !lua_toboolean(L, -1));
    lua_pop(L, 2);
  }
  return 0;
}

static const luaL_Reg functions[] = {
    {"bulk_plan", crud_bulk_plan},     {"bulk_own", crud_bulk_own},
    {"bulk_free", crud_bulk_free},     {"bulk_group", crud_bulk_group},
    {"bulk_number", crud_bulk_number}, {"bulk_step", crud_bulk_step},
    {"bulk_run", crud_bulk_run},       {"bulk_fetch", crud_bulk_fetch},
    {"bulk_probe", crud_bulk_probe},   {"bulk_place", crud_bulk_place},
    {"bulk_absent", crud_bulk_absent}, {NULL, NULL}};

int prg_bulk_open(lua_State *L) {
  luaL_newmetatable(L, bulk_name);
  lua_pushcfunction(L, bulk__gc);
  lua_setfield(L, -2, "__gc");
  lua_pushstring(L, bulk_name);
  lua_setfield(L, -2, "__name");
  lua_pop(L, 1);
  lua_getfield(L, -1, "crud"); /* of lcrud.c */
  prg_set_functions(L, functions);
  lua_pop(L, 1);
  return 0;
}
