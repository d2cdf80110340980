/* Database handles: opening, hooks, statistics, closing. */
#include "bind/bind_int.h"

#include "base/clock.h"
#include "base/mem.h"

#define DB_MT "perigee.db"

static const char db_magic = 0;

struct prg_db *prg_db_test(lua_State *L, int i) {
  struct prg_db *db = lua_touserdata(L, i);
  if (db == NULL || lua_islightuserdata(L, i) ||
      lua_rawlen(L, i) != sizeof(struct prg_db) || db->magic != &db_magic)
    return NULL;
  return db;
}

struct prg_db *prg_db_check(lua_State *L, int i) {
  struct prg_db *db = prg_db_test(L, i);
  if (db == NULL)
    prg_usage(L, "a database handle is expected, not %s", luaL_typename(L, i));
  return db;
}

void prg_db_check_usable(lua_State *L, const struct prg_db *db) {
  if (db->pool == NULL)
    prg_raise(L, prg_error_new(PRG_K_CLOSED, "the handle is closed"));
  if (prg_pool_is_forked(db->pool)) {
    prg_state_own(L);
    prg_pool_adopt(db->pool, db->G->hub);
  }
  if (prg_pool_is_orphaned(db->pool) && !prg_pool_is_closed(db->pool))
    prg_usage(
        L,
        "this handle was used before a fork, and the %s driver cannot open "
        "its database again beside the parent's connections; close the "
        "handle before the fork and open one in the child process",
        db->driver->name);
}

void prg_slot_check_own(lua_State *L, const struct prg_slot *slot) {
  if (slot != NULL && prg_conn_is_forked(slot->conn))
    prg_usage(L,
              "this connection was taken before a fork, and belongs to the "
              "parent process; take one in the child");
}

void prg_push_env(lua_State *L, int i) {
  lua_getiuservalue(L, i, 1);
  if (prg_db_test(L, i) != NULL) return;
  lua_rawgeti(L, -1, 1); /* a block: its handle */
  lua_getiuservalue(L, -1, 1);
  lua_replace(L, -3);
  lua_pop(L, 1);
}

void prg_db_note_ddl(lua_State *L) {
  lua_Integer n;
  prg_push_env(L, 1);
  if (lua_istable(L, -1)) {
    lua_getfield(L, -1, "ddl");
    n = lua_tointeger(L, -1);
    lua_pop(L, 1);
    lua_pushinteger(L, n + 1);
    lua_setfield(L, -2, "ddl");
  }
  lua_pop(L, 1);
}

/* ---- opening ------------------------------------------------------------ */

static void free_config(struct prg_config *c) {
  prg_url_fini(&c->url);
  prg_free(c->application_name);
  prg_free(c);
}

/* Field `k` of the options at `i`: seconds, or `standard` when absent. */
static int64_t seconds_field(lua_State *L, int i, const char *k,
                             int64_t standard) {
  int64_t v = standard;
  lua_getfield(L, i, k);
  if (!lua_isnil(L, -1)) v = prg_check_seconds(L, -1, k);
  lua_pop(L, 1);
  return v;
}

static size_t count_field(lua_State *L, int i, const char *k, size_t standard) {
  size_t v = standard;
  lua_getfield(L, i, k);
  if (!lua_isnil(L, -1)) v = (size_t)luaL_checkinteger(L, -1);
  lua_pop(L, 1);
  return v;
}

static int choice_field(lua_State *L, int i, const char *k,
                        const char *const *names) {
  const char *s;
  int v = 0, j;
  lua_getfield(L, i, k);
  s = lua_tostring(L, -1);
  for (j = 0; s != NULL && names[j] != NULL; j++)
    if (strcmp(s, names[j]) == 0) v = j;
  lua_pop(L, 1);
  return v;
}

static bool has_field(lua_State *L, int i, const char *k) {
  bool has;
  lua_getfield(L, i, k);
  has = !lua_isnil(L, -1);
  lua_pop(L, 1);
  return has;
}

static void read_pool_options(lua_State *L, int i, struct prg_pool_options *o) {
  static const char *const resets[] = {"auto", "always", "never", NULL};
  o->min_size = count_field(L, i, "min_size", 0);
  o->max_size = count_field(L, i, "max_size", 4);
  o->max_waiting = count_field(L, i, "max_waiting", 0);
  o->idle_timeout = seconds_field(L, i, "idle_timeout", 600 * PRG_SECOND);
  o->lifetime = seconds_field(L, i, "lifetime", 1800 * PRG_SECOND);
  o->check_after = seconds_field(L, i, "check_after", 30 * PRG_SECOND);
  o->reset = (enum prg_reset_policy)choice_field(L, i, "reset", resets);
  o->setup = has_field(L, i, "setup");
}

static void read_handle_options(lua_State *L, int i, struct prg_db *db) {
  static const char *const numeric[] = {"string", "number", NULL};
  static const char *const json[] = {"value", "raw", NULL};
  static const char *const int8[] = {"auto", "string", "cdata", NULL};
  db->acquire_timeout = seconds_field(L, i, "acquire_timeout", 10 * PRG_SECOND);
  db->query_timeout = seconds_field(L, i, "query_timeout", 30 * PRG_SECOND);
  db->values.numeric_number = choice_field(L, i, "numeric", numeric) == 1;
  db->values.json_raw = choice_field(L, i, "json", json) == 1;
  db->values.int8 = (enum prg_int8_mode)choice_field(L, i, "int8", int8);
  db->has_on_query = has_field(L, i, "on_query");
  db->has_on_notice = has_field(L, i, "on_notice");
  db->has_on_connect = has_field(L, i, "setup");
  db->has_codecs = has_field(L, i, "decoders");
}

/* A call may bring any number, and they are told after it. So many are; of the rest
** how many they were. */
enum { MAX_NEWS = 1000 };

void prg_db_note(struct prg_db *db, struct prg_error *e) {
  if (e == prg_error_oom()) return;
  if (db->nnews == MAX_NEWS) {
    db->lost_news++;
    prg_error_unref(e);
    return;
  }
  if (db->news == NULL)
    db->news = e;
  else
    db->last_news->cause = e;
  db->last_news = e;
  db->nnews++;
}

static void on_notice(const struct prg_error *n, void *ud) {
  struct prg_db *db = ud;
  struct prg_error *copy;
  if (!db->has_on_notice) return;
  if (n->kind == PRG_K_USAGE) {
    db->lost_news += (unsigned)n->code;
    return;
  }
  copy = prg_error_new(n->kind, "%s", prg_error_message(n));
  if (copy == prg_error_oom()) {
    db->lost_news++;
    return;
  }
  prg_error_set(copy, PRG_EF_DETAIL, n->field[PRG_EF_DETAIL]);
  prg_error_set(copy, PRG_EF_HINT, n->field[PRG_EF_HINT]);
  memcpy(copy->sqlstate, n->sqlstate, sizeof copy->sqlstate);
  copy->code = n->code;
  prg_db_note(db, copy);
}

/* Fills a fresh config from the URL at 1 and the options at 3; it is anchored in
** *slot, which the box's __gc frees. */
static void fill_config(lua_State *L, struct prg_config *c) {
  const char *name;
  prg_url_from_lua(L, 1, &c->url);
  c->connect_timeout = seconds_field(L, 3, "connect_timeout", 10 * PRG_SECOND);
  c->statement_cache = count_field(L, 3, "statement_cache", 256);
  c->pipeline =
      has_field(L, 3, "pipeline") ? (int)count_field(L, 3, "pipeline", 0) : -1;
  c->notices = has_field(L, 3, "on_notice");
  c->lanes = 1;
  lua_getfield(L, 3, "application_name");
  name = lua_tostring(L, -1);
  if (name != NULL && (c->application_name = prg_strdup(name)) == NULL)
    prg_raise(L, prg_error_oom());
  lua_pop(L, 1);
}

static int config_box__gc(lua_State *L) {
  struct prg_config **box = lua_touserdata(L, 1);
  if (*box != NULL) free_config(*box);
  *box = NULL;
  return 0;
}

/* Pushes a box that owns an empty config. [-0, +1, e] */
static struct prg_config **push_config(lua_State *L) {
  struct prg_config **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, config_box__gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  *box = prg_calloc(1, sizeof **box);
  if (*box == NULL) prg_raise(L, prg_error_oom());
  return box;
}

static struct prg_db *push_db(lua_State *L) {
  struct prg_db *db = lua_newuserdatauv(L, sizeof *db, 1);
  memset(db, 0, sizeof *db);
  db->magic = &db_magic;
  db->G = prg_state_get(L);
  db->sql_ref = db->shapes_ref = LUA_NOREF;
  prg_list_init(&db->closers);
  lua_pushvalue(L, 3); /* the options are the environment */
  lua_setiuservalue(L, -2, 1);
  luaL_getmetatable(L, DB_MT);
  lua_setmetatable(L, -2);
  return db;
}

/* core.open(url, path of the driver module, options) -> db. The options were
** checked by the Lua part and become the handle's environment. */
static int core_open(lua_State *L) {
  struct prg_error *err = NULL;
  struct prg_pool_options po;
  struct prg_config **config;
  struct prg_db *db;
  const char *path = luaL_checkstring(L, 2);
  luaL_checktype(L, 3, LUA_TTABLE);
  lua_settop(L, 3);
  prg_state_own(L);
  config = push_config(L);
  fill_config(L, *config);
  db = push_db(L);
  prg_sql_init(L, db);
  prg_result_init(L, db);
  read_handle_options(L, 3, db);
  read_pool_options(L, 3, &po);
  db->driver = prg_driver_load(path, &err);
  if (db->driver == NULL) return prg_raise(L, err);
  err = db->driver->check(*config);
  if (err != NULL) return prg_raise(L, err);
  db->shares = (db->driver->features & PRG_F_PIPELINE) != 0 &&
               (*config)->pipeline != 0 && po.reset != PRG_RESET_ALWAYS;
  db->dialect = prg_dialect_find(
      (*config)->dialect != NULL ? (*config)->dialect : db->driver->dialect);
  if (db->dialect == NULL)
    return prg_usage(L, "the driver %s names no known dialect", path);
  {
    struct prg_config *c = *config;
    *config = NULL; /* the pool owns it now */
    db->pool = prg_pool_new(db->G->hub, db->driver, c, free_config, &po);
  }
  if (db->pool == NULL) return prg_raise(L, prg_error_oom());
  prg_pool_on_notice(db->pool, on_notice, db);
  return 1;
}

static int db__gc(lua_State *L) {
  struct prg_db *db = prg_db_check(L, 1); /* a script can call it */
  struct prg_pool *pool = db->pool;
  prg_task_forget_db(L, db);
  prg_db_deafen(db);
  db->pool = NULL;
  prg_pool_free(pool);
  prg_sql_forget(db);
  luaL_unref(L, LUA_REGISTRYINDEX, db->sql_ref);
  db->sql_ref = LUA_NOREF;
  prg_result_fini(L, db);
  prg_error_unref(db->news);
  db->news = NULL;
  return 0;
}

/* ---- hooks -------------------------------------------------------------- */

static void push_query_event(lua_State *L, const struct prg_told *t) {
  lua_createtable(L, 0, 4);
  if (t->sql != NULL) {
    lua_pushlstring(L, t->sql->stmt->sql, t->sql->stmt->len);
    lua_setfield(L, -2, "sql");
  }
  lua_pushnumber(L, (lua_Number)(prg_now() - t->began) / 1e6);
  lua_setfield(L, -2, "seconds");
  if (t->rows >= 0) {
    lua_pushinteger(L, (lua_Integer)t->rows);
    lua_setfield(L, -2, "rows");
  }
  if (t->error != NULL) {
    prg_push_error(L, prg_error_ref((struct prg_error *)(uintptr_t)t->error));
    lua_setfield(L, -2, "error");
  }
}

/* Calls the function on top with the argument below it; its error is a warning,
** not the caller's. [-2, +0, e] */
static void call_hook(lua_State *L, struct prg_state *G, int env) {
  lua_insert(L, -2);
  if (prg_task_pcall(L, G, 1, 0) == LUA_OK) return;
  lua_getfield(L, env, "warn");
  lua_insert(L, -2);
  if (prg_task_pcall(L, G, 1, 0) != LUA_OK) lua_pop(L, 1);
}

void prg_call_tell(lua_State *L, struct prg_db *db, const struct prg_told *t) {
  int top = lua_gettop(L);
  prg_push_env(L, 1);
  push_query_event(L, t);
  lua_getfield(L, top + 1, "on_query");
  call_hook(L, db->G, top + 1);
  lua_settop(L, top);
}

/* The oldest of the news, out of the chain. After them, what was lost. */
static struct prg_error *take_news(struct prg_db *db) {
  struct prg_error *e = db->news;
  db->news = e->cause;
  e->cause = NULL;
  db->nnews--;
  if (db->news == NULL && db->lost_news > 0) {
    unsigned n = db->lost_news;
    db->lost_news = 0;
    prg_db_note(db, prg_error_new(PRG_K_USAGE,
                                  "%u notices were dropped: too many came "
                                  "during one call",
                                  n));
  }
  return e;
}

void prg_db_tell_news(lua_State *L, struct prg_db *db) {
  int top = lua_gettop(L);
  prg_push_env(L, 1);
  while (db->news != NULL) {
    struct prg_error *e = take_news(db);
    bool ours = e->kind == PRG_K_USAGE;
    prg_push_error(L, e);
    if (ours) {
      lua_getfield(L, -1, "message");
      lua_replace(L, -2);
    }
    lua_getfield(L, top + 1, ours ? "warn" : "on_notice");
    call_hook(L, db->G, top + 1);
  }
  lua_settop(L, top);
}

/* ---- closing ------------------------------------------------------------ */

static void on_closed(void *ud) {
  struct prg_db *db = ud;
  prg_op_wake_all(&db->closers);
}

static int close_step(lua_State *L, struct prg_op *op) {
  struct prg_db *db = op->db;
  struct prg_pool_stats s;
  (void)L;
  if (op->gate_list != NULL) return PRG_PENDING;
  prg_pool_stats(db->pool, &s);
  if (s.size > 0 && op->phase == PRG_PHASE_GATE) {
    op->phase = PRG_PHASE_RUN;
    if (prg_pool_close(db->pool, op->due, on_closed, db) == PRG_AGAIN) {
      prg_op_queue(op, &db->closers);
      return PRG_PENDING;
    }
  }
  prg_op_drop(op);
  return 0;
}

/* core.close(db, seconds): no new work; waits for the connections in use */
static int core_close(lua_State *L) {
  struct prg_op *op = prg_op_resumed(L, close_step);
  struct prg_db *db;
  int64_t span;
  if (op != NULL) return prg_op_run(L, op);
  lua_settop(L, 2);
  db = prg_db_check(L, 1);
  if (db->pool == NULL) return 0;
  if (prg_pool_is_forked(db->pool)) {
    prg_state_own(L);
    prg_pool_adopt(db->pool, db->G->hub);
  }
  span = prg_check_seconds(L, 2, "timeout");
  (void)prg_op_check(L);
  prg_db_deafen(db);
  if (prg_pool_close(db->pool, prg_now() + (span < PRG_NEVER / 2 ? span : 0),
                     on_closed, db) == PRG_OK)
    return 0;
  op = prg_op_begin(L, PRG_OP_CLOSE, close_step, NULL);
  op->db = db;
  op->due = prg_op_due(op->task, span);
  return prg_op_run(L, op);
}

/* core.close_now(db): without waiting, as the collector would */
static int core_close_now(lua_State *L) {
  struct prg_db *db = prg_db_check(L, 1);
  prg_db_deafen(db);
  if (db->pool != NULL)
    (void)prg_pool_close(db->pool, prg_now(), on_closed, db);
  return 0;
}

/* ---- telling ------------------------------------------------------------ */

static void set_count(lua_State *L, const char *k, uint64_t n) {
  lua_pushinteger(L, (lua_Integer)n);
  lua_setfield(L, -2, k);
}

/* core.stats(db) -> table */
static int core_stats(lua_State *L) {
  struct prg_db *db = prg_db_check(L, 1);
  struct prg_pool_stats s;
  memset(&s, 0, sizeof s);
  if (db->pool != NULL) prg_pool_stats(db->pool, &s);
  lua_createtable(L, 0, 22);
  set_count(L, "size", s.size);
  set_count(L, "idle", s.idle);
  set_count(L, "in_use", s.in_use);
  set_count(L, "connecting", s.connecting);
  set_count(L, "cleaning", s.cleaning);
  set_count(L, "waiting", s.waiting);
  set_count(L, "shared", s.shared);
  set_count(L, "pipelined", s.pipelined);
  set_count(L, "min_size", s.min_size);
  set_count(L, "max_size", s.max_size);
  set_count(L, "acquired", s.acquired);
  set_count(L, "created", s.created);
  set_count(L, "closed", s.closed);
  set_count(L, "timeouts", s.timeouts);
  set_count(L, "abandoned", s.abandoned);
  set_count(L, "resets", s.resets);
  set_count(L, "failures", s.failures);
  lua_pushnumber(L, (lua_Number)s.wait_total / 1e6);
  lua_setfield(L, -2, "wait_total");
  lua_pushnumber(L, (lua_Number)s.wait_max / 1e6);
  lua_setfield(L, -2, "wait_max");
  lua_pushboolean(L, db->pool == NULL || prg_pool_is_closed(db->pool));
  lua_setfield(L, -2, "is_closed");
  return 1;
}

/* core.evict(db): connections opened so far are closed when they come back */
static int core_evict(lua_State *L) {
  struct prg_db *db = prg_db_check(L, 1);
  if (db->pool != NULL) prg_pool_evict(db->pool);
  prg_db_rehear(db);
  return 0;
}

/* core.driver(db) -> { name, dialect, version, features = { … } } */
static int core_driver(lua_State *L) {
  static const char *const names[] = {"pipeline",    "cancel", "interleave",
                                      "cursor",      "lanes",  "last_id",
                                      "cursor_hold", "collect"};
  struct prg_exec *x;
  struct prg_db *db = prg_exec_resolve(L, &x);
  size_t i;
  lua_createtable(L, 0, 4);
  lua_pushstring(L, db->driver->name);
  lua_setfield(L, -2, "name");
  lua_pushstring(L, db->driver->dialect);
  lua_setfield(L, -2, "dialect");
  lua_pushstring(L, db->driver->version());
  lua_setfield(L, -2, "version");
  lua_createtable(L, 0, 8);
  for (i = 0; i < sizeof names / sizeof names[0]; i++) {
    lua_pushboolean(L, (db->driver->features & (1u << i)) != 0);
    lua_setfield(L, -2, names[i]);
  }
  lua_pushboolean(L, (db->dialect->build & PRG_BUILD_LOCK) != 0);
  lua_setfield(L, -2, "row_locks");
  lua_pushboolean(L, (db->driver->features & PRG_F_COPY) != 0);
  lua_setfield(L, -2, "copy");
  lua_pushboolean(L, (db->driver->features & PRG_F_NOTIFY) != 0);
  lua_setfield(L, -2, "notify");
  lua_pushboolean(L, (db->dialect->build & PRG_BUILD_STEPS) != 0);
  lua_setfield(L, -2, "steps");
  lua_pushboolean(L, (db->dialect->build & PRG_BUILD_RETURNING) != 0);
  lua_setfield(L, -2, "returning");
  lua_setfield(L, -2, "features");
  return 1;
}

/* core.driver_version(path of the driver module) -> name, version of its client
** library */
static int core_driver_version(lua_State *L) {
  struct prg_error *err = NULL;
  const struct prg_driver *d = prg_driver_load(luaL_checkstring(L, 1), &err);
  if (d == NULL) return prg_raise(L, err);
  lua_pushstring(L, d->name);
  lua_pushstring(L, d->version());
  return 2;
}

/* core.scope(db, block, +1 | -1): how many blocks are joined by tasks. One that
** is dropped with its task takes its part of the count with it. */
static int core_scope(lua_State *L) {
  struct prg_db *db = prg_db_check(L, 1);
  struct prg_exec *x = prg_exec_test(L, 2);
  int change = (int)luaL_checkinteger(L, 3);
  db->scopes += change;
  if (x != NULL) x->scopes += change;
  return 0;
}

static int db__tostring(lua_State *L) {
  struct prg_db *db = prg_db_check(L, 1);
  struct prg_buf b;
  if (db->pool == NULL) {
    lua_pushliteral(L, "perigee.db (freed)");
    return 1;
  }
  prg_buf_init(&b, 65536);
  prg_url_format(&prg_pool_config(db->pool)->url, true, &b);
  lua_pushfstring(L, "perigee.db: %s%s", b.failed ? "?" : b.data,
                  prg_pool_is_closed(db->pool) ? " (closed)" : "");
  prg_buf_fini(&b);
  return 1;
}

static const luaL_Reg functions[] = {{"open", core_open},
                                     {"close", core_close},
                                     {"close_now", core_close_now},
                                     {"stats", core_stats},
                                     {"evict", core_evict},
                                     {"driver", core_driver},
                                     {"driver_version", core_driver_version},
                                     {"scope", core_scope},
                                     {NULL, NULL}};

int prg_db_open(lua_State *L) {
  luaL_newmetatable(L, DB_MT);
  lua_pushliteral(L, DB_MT);
  lua_setfield(L, -2, "__name");
  lua_pushcfunction(L, db__gc);
  lua_setfield(L, -2, "__gc");
  lua_pushcfunction(L, db__tostring);
  lua_setfield(L, -2, "__tostring");
  lua_setfield(L, -2, "db_mt");
  prg_set_functions(L, functions);
  return 0;
}
