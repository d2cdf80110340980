/*
** The verbs of executors in C: they read the arguments of a call and hand it to
** lcall.c.
*/
#include "bind/bind_int.h"

/* x:query(sql, …) and its kin */
static int call_statement(lua_State *L, enum prg_verb_kind verb,
                          size_t max_rows) {
  struct prg_op *op = prg_call_resumed(L);
  struct prg_value *params;
  if (op != NULL) return prg_op_run(L, op);
  op = prg_call_begin(L, verb);
  op->sql = prg_sql_get(L, op->db, 2);
  op->opts = prg_sql_params(L, op->sql, 3, &op->arena, &params);
  prg_call_options(L, op);
  prg_call_check(L, op);
  if (max_rows > 0 && op->shape == PRG_SHAPE_COLUMNS)
    prg_usage(L, "rows = \"columns\" is for query()");
  return prg_call_run(L, op, params, max_rows);
}

static int x_query(lua_State *L) {
  return call_statement(L, PRG_VERB_QUERY, 0);
}

static int x_first(lua_State *L) {
  return call_statement(L, PRG_VERB_FIRST, 1);
}

static int x_one(lua_State *L) {
  return call_statement(L, PRG_VERB_ONE, 1);
}

static int x_value(lua_State *L) {
  return call_statement(L, PRG_VERB_VALUE, 1);
}

static int x_execute(lua_State *L) {
  return call_statement(L, PRG_VERB_EXECUTE, 0);
}

/* ---- scripts, batches, pings, transaction control ----------------------- */

/* x:script(sql [, opts]) */
static int x_script(lua_State *L) {
  struct prg_op *op = prg_call_resumed(L);
  if (op != NULL) return prg_op_run(L, op);
  lua_settop(L, 3);
  op = prg_call_begin(L, PRG_VERB_SCRIPT);
  op->sql = prg_sql_once(L, op->db, 2);
  op->sql->refs++;
  if (!lua_isnil(L, 3)) {
    if (!prg_is_plain_table(L, 3))
      prg_usage(L,
                "script: the options must be a table, not %s (a script "
                "takes no parameters)",
                luaL_typename(L, 3));
    op->opts = 3;
  }
  prg_call_options(L, op);
  if (op->sql->scan.nparams > 0)
    prg_usage(L, "a script takes no parameters, and this one has %d",
              op->sql->scan.nparams);
  if ((op->sql->stmt->flags & PRG_STMT_COPY) != 0)
    prg_usage(L, "COPY from or to the client cannot be part of a script");
  if (op->exec != NULL && op->exec->is_tx &&
      (op->sql->stmt->flags & PRG_STMT_CONTROL) != 0)
    prg_usage(L,
              "the script begins or ends a transaction, and it is called "
              "in a transaction block");
  if (op->exec != NULL && op->exec->is_tx &&
      (op->sql->stmt->flags & PRG_STMT_COMMITS) != 0)
    prg_usage(L,
              "the script has statements that would commit the transaction "
              "on this database: they are not possible inside one");
  if ((op->sql->stmt->flags & PRG_STMT_EMPTY) != 0) {
    prg_op_drop(op);
    lua_createtable(L, 0, 0);
    return 1;
  }
  op->sql->stmt->lane = PRG_LANE_WRITE;
  prg_call_request(L, op, PRG_REQ_SCRIPT);
  return prg_op_run(L, op);
}

/* The sets of a batch, one after the other, in the arena. */
static struct prg_value *read_sets(lua_State *L, struct prg_op *op, int list) {
  size_t i, n = lua_rawlen(L, list);
  size_t width = (size_t)op->sql->scan.nparams;
  struct prg_value *all =
      prg_arena_alloc(&op->arena, sizeof *all * (n * width + 1));
  if (all == NULL) prg_raise(L, prg_error_oom());
  for (i = 0; i < n; i++) {
    struct prg_value *v;
    lua_rawgeti(L, list, (int)i + 1);
    if (!prg_is_plain_table(L, -1))
      prg_usage(L, "set %d of the list is not a table of parameters",
                (int)i + 1);
    v = prg_sql_table(L, op->sql, lua_gettop(L), &op->arena);
    memcpy(all + i * width, v, sizeof *v * width);
    lua_pop(L, 1);
  }
  return all;
}

/* core.execute_many(x, sql, list [, opts]) -> { affected } */
static int x_execute_many(lua_State *L) {
  struct prg_op *op = prg_call_resumed(L);
  if (op != NULL) return prg_op_run(L, op);
  lua_settop(L, 4);
  op = prg_call_begin(L, PRG_VERB_MANY);
  op->sql = prg_sql_get(L, op->db, 2);
  if (lua_type(L, 3) != LUA_TTABLE)
    prg_usage(L, "execute_many: a list of parameter tables is expected, not %s",
              luaL_typename(L, 3));
  if (!lua_isnil(L, 4)) {
    if (!prg_is_plain_table(L, 4))
      prg_usage(L, "the options must be a table, not %s", luaL_typename(L, 4));
    op->opts = 4;
  }
  prg_call_options(L, op);
  if (op->shape != PRG_SHAPE_RECORD || op->class)
    prg_usage(L, "execute_many gives no rows: the only option is timeout");
  prg_call_check(L, op);
  if (lua_rawlen(L, 3) == 0) {
    lua_pushnil(L);
    if (lua_next(L, 3) != 0)
      prg_usage(L,
                "execute_many: a list of parameter tables is expected, "
                "{ { … }, … }");
    prg_op_drop(op);
    lua_createtable(L, 0, 1);
    lua_pushinteger(L, 0);
    lua_setfield(L, -2, "affected");
    return 1;
  }
  op->sql->stmt->lane = PRG_LANE_WRITE;
  return prg_call_run_batch(L, op, read_sets(L, op, 3), lua_rawlen(L, 3),
                            false);
}

/* x:ping() */
static int x_ping(lua_State *L) {
  struct prg_op *op = prg_call_resumed(L);
  if (op != NULL) return prg_op_run(L, op);
  lua_settop(L, 1);
  op = prg_call_begin(L, PRG_VERB_PING);
  prg_call_options(L, op);
  prg_call_request(L, op, PRG_REQ_PING);
  return prg_op_run(L, op);
}

/* core.control(block, sql, ends [, seconds]) -> command tag: a statement of the
** Lua part on its own block; `ends`: later calls on the block are refused from
** now on */
static int core_control(lua_State *L) {
  struct prg_op *op = prg_call_resumed(L);
  struct prg_exec *x;
  if (op != NULL) return prg_op_run(L, op);
  lua_settop(L, 4);
  x = prg_exec_test(L, 1);
  if (x == NULL) return prg_usage(L, "control: a block is expected");
  if (x->lease != NULL) prg_slot_check_own(L, x->lease->slot);
  prg_db_check_usable(L, x->db);
  op = prg_call_begin_on(L, x->db, x, PRG_VERB_CONTROL);
  op->closing = lua_toboolean(L, 3);
  op->sql = prg_sql_get(L, op->db, 2);
  prg_call_options(L, op);
  if (!lua_isnil(L, 4)) op->span = prg_check_seconds(L, 4, "control");
  prg_call_request(L, op, PRG_REQ_QUERY);
  return prg_op_run(L, op);
}

/* core.internal(x, sql, …) -> { affected, … }: as execute, for statements of
*the
** Lua part that clean up behind themselves (a cursor in a transaction) */
static int core_internal(lua_State *L) {
  return call_statement(L, PRG_VERB_INTERNAL, 0);
}

/* core.begin_sql(x, isolation | nil, readonly, deferrable) -> SQL */
static int core_begin_sql(lua_State *L) {
  struct prg_tx_options o;
  struct prg_error *err = NULL;
  struct prg_exec *x;
  struct prg_db *db;
  struct prg_buf b;
  lua_settop(L, 4);
  db = prg_exec_resolve(L, &x);
  o.isolation = luaL_optstring(L, 2, NULL);
  o.readonly = lua_toboolean(L, 3);
  o.deferrable = lua_toboolean(L, 4);
  prg_buf_init(&b, 4096);
  if (prg_dialect_begin(db->dialect, &o, &b, &err) != PRG_OK) {
    prg_buf_fini(&b);
    return prg_raise(L, err);
  }
  lua_pushlstring(L, b.data, b.len); /* may lose b on a memory error: 4 KiB */
  prg_buf_fini(&b);
  return 1;
}

/* core.describe(x, sql) -> { read, cursor, locks, keyword }: what the scanner
** says of a statement */
static int core_describe(lua_State *L) {
  struct prg_exec *x;
  struct prg_db *db = prg_exec_resolve(L, &x);
  struct prg_sql *s = prg_sql_get(L, db, 2);
  s->refs--; /* the cache keeps it */
  lua_createtable(L, 0, 4);
  lua_pushboolean(L, (s->stmt->flags & PRG_STMT_READ) != 0);
  lua_setfield(L, -2, "read");
  lua_pushboolean(L, (s->stmt->flags & PRG_STMT_CURSOR) != 0);
  lua_setfield(L, -2, "cursor");
  lua_pushboolean(L, s->scan.locking);
  lua_setfield(L, -2, "locks");
  lua_pushstring(L, s->scan.keyword);
  lua_setfield(L, -2, "keyword");
  return 1;
}

static const luaL_Reg verbs[] = {{"query", x_query},
                                 {"first", x_first},
                                 {"one", x_one},
                                 {"value", x_value},
                                 {"execute", x_execute},
                                 {"execute_many", x_execute_many},
                                 {"script", x_script},
                                 {"ping", x_ping},
                                 {NULL, NULL}};

static const luaL_Reg functions[] = {{"control", core_control},
                                     {"internal", core_internal},
                                     {"begin_sql", core_begin_sql},
                                     {"describe", core_describe},
                                     {NULL, NULL}};

int prg_call_open(lua_State *L) {
  lua_createtable(L, 0, 8);
  prg_set_functions(L, verbs);
  lua_setfield(L, -2, "verbs");
  prg_set_functions(L, functions);
  return 0;
}
