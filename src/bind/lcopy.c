/*
** COPY to the database: core.copy_in makes a copier, which holds a connection from
** the first wait() to its end. Between two waits rows are put into its frame
** (lcopy_row.c); lua/perigee/copy.lua says in which order.
*/
#include "bind/copy_int.h"
#include "bind/lvalue.h"

#include "base/clock.h"
#include "base/mem.h"

#define COPY_MT "perigee.copy"
#define SLICE_TIME (2 * PRG_MS) /* then other tasks have their turn */

static const char copier_magic = 0;

/* Asked for each row. */
struct prg_copier *prg_copier_check(lua_State *L, int i) {
  struct prg_copier *s = lua_touserdata(L, i);
  if (s != NULL && !lua_islightuserdata(L, i) &&
      lua_rawlen(L, i) == sizeof *s && s->magic == &copier_magic)
    return s;
  luaL_checkudata(L, i, COPY_MT); /* raises */
  return NULL;
}

/* Gives everything back: what was not finished is given up. No Lua. */
static void end_copier(struct prg_copier *s) {
  prg_unhold(&s->held);
  if (s->req != NULL) prg_req_free(s->req);
  s->req = NULL;
  if (s->slot != NULL && s->db->pool != NULL) prg_pool_release(s->slot);
  s->slot = NULL;
  prg_sql_unref(s->sql);
  s->sql = NULL;
  if (s->op != NULL) {
    s->op->req = NULL; /* it was lent */
    s->op->data = NULL;
    prg_op_wake(s->op);
  }
  s->op = NULL;
}

static void end_held(struct prg_holding *h) {
  end_copier(PRG_CONTAINER(h, struct prg_copier, held));
}

static int copy__gc(lua_State *L) {
  struct prg_copier *s = prg_copier_check(L, 1);
  end_copier(s);
  prg_table_unref((struct prg_table *)(uintptr_t)s->table);
  s->table = NULL;
  prg_arena_fini(&s->arena);
  prg_arena_fini(&s->row);
  return 0;
}

/* ---- waiting ------------------------------------------------------------ */

static void copy_abandon(struct prg_op *op) {
  struct prg_copier *s = op->data;
  op->data = NULL;
  op->req = NULL; /* the copier's, lent for prg_call_acquire */
  if (s != NULL) s->op = NULL;
  prg_call_abandon(op);
  if (s != NULL) end_copier(s);
}

static void on_ready(struct prg_req *req) {
  struct prg_copier *s = req->owner;
  if (s->op != NULL) prg_op_wake(s->op);
}

/* The operation is over and the copier stays. */
static void leave(struct prg_op *op) {
  struct prg_copier *s = op->data;
  s->op = NULL;
  op->data = NULL;
  op->req = NULL;
  prg_op_drop(op);
}

static void tell(lua_State *L, struct prg_copier *s, int64_t rows,
                 const struct prg_error *e) {
  const struct prg_told t = {s->sql, s->began, rows, e};
  if (s->db->has_on_query && s->sql != NULL) prg_call_tell(L, s->db, &t);
  if (s->db->news != NULL) prg_db_tell_news(L, s->db);
}

/* Gets the connection and sends. 0 or PRG_PENDING. */
static int start(lua_State *L, struct prg_op *op) {
  struct prg_copier *s = op->data;
  struct prg_conn *c;
  if (s->exec != NULL) {
    op->exec = s->exec;
    if (prg_exec_pass_gate(L, op) == PRG_PENDING ||
        prg_exec_begin(L, op, NULL) == PRG_PENDING)
      return PRG_PENDING;
    c = op->exec->lease->slot->conn;
  } else {
    if (prg_call_acquire(L, op, PRG_LANE_WRITE) == PRG_PENDING)
      return PRG_PENDING;
    s->slot = op->slot;
    op->slot = NULL;
    c = s->slot->conn;
  }
  prg_hold(&s->held, op->task, end_held);
  s->sent = true;
  s->began = prg_now();
  s->req->done = on_ready;
  s->req->owner = s;
  s->req->due = prg_op_due(op->task, s->span);
  prg_conn_submit(c, s->req);
  return 0;
}

/* Sends the frame. */
static void go_on(struct prg_op *op) {
  struct prg_copier *s = op->data;
  s->go = false;
  s->bytes += (int64_t)s->req->copy->out.len;
  s->req->due = prg_op_due(op->task, s->span);
  prg_req_resume(s->req);
}

static int ended(lua_State *L, struct prg_op *op) {
  struct prg_copier *s = op->data;
  struct prg_error *e = s->req->error;
  int64_t rows = -1;
  s->req->error = NULL;
  if (s->req->result != NULL) rows = s->req->result->affected;
  if (e != NULL && s->sql != NULL && e->field[PRG_EF_SQL] == NULL)
    prg_error_set(e, PRG_EF_SQL, s->sql->stmt->sql);
  leave(op);
  tell(L, s, rows, e);
  end_copier(s);
  if (e != NULL) return prg_raise(L, e);
  lua_pushinteger(L, (lua_Integer)(rows < 0 ? 0 : rows));
  return 1;
}

/* A source that never waits must not keep the others from it for long. */
static bool is_long(struct prg_copier *s, const struct prg_op *op) {
  int64_t now = prg_now();
  if (op->task->co == NULL || now - s->turned < SLICE_TIME) return false;
  s->turned = now;
  return true;
}

static int wait_step(lua_State *L, struct prg_op *op) {
  struct prg_copier *s = op->data;
  if (s == NULL) { /* it was ended */
    prg_op_drop(op);
    return prg_raise(L, prg_error_new(PRG_K_CLOSED, "the COPY was given up"));
  }
  if (!s->sent && start(L, op) == PRG_PENDING) return PRG_PENDING;
  if (s->go && s->req->state == PRG_REQ_PAUSED) {
    go_on(op);
    if (s->req->state == PRG_REQ_PAUSED && is_long(s, op)) {
      prg_op_wake(op);
      return PRG_PENDING;
    }
  }
  if (s->req->state == PRG_REQ_DONE) return ended(L, op);
  if (s->req->state != PRG_REQ_PAUSED) return PRG_PENDING;
  leave(op);
  return 0;
}

/* copier:wait([how]): sends what was put ("end": that was all; "fail": nothing of it
** is to stay) and waits until more is wanted -> nothing; the number of rows when the
** COPY has ended */
static int copy_wait(lua_State *L) {
  static const char *const names[] = {"more", "end", "fail", NULL};
  struct prg_op *op = prg_op_resumed(L, wait_step);
  struct prg_copier *s;
  int how;
  if (op != NULL) return prg_op_run(L, op);
  s = prg_copier_check(L, 1);
  how = luaL_checkoption(L, 2, "more", names);
  lua_settop(L, 1);
  if (s->req == NULL)
    return prg_raise(L, prg_error_new(PRG_K_CLOSED, "the COPY has ended"));
  prg_slot_check_own(L, s->slot);
  prg_db_check_usable(L, s->db);
  if (s->op != NULL) return prg_usage(L, "another task waits for this COPY");
  op = prg_op_begin(L, PRG_OP_STREAM, wait_step, copy_abandon);
  s->req->copy->end = how == 1;
  s->req->copy->fail = how == 2;
  s->go = s->sent;
  op->data = s;
  op->db = s->db;
  op->req = s->sent ? NULL : s->req;
  if (!s->sent)
    op->borrow.where = prg_arena_dup(&op->arena, s->where, strlen(s->where));
  op->due = prg_op_due(op->task, s->span);
  s->op = op;
  return prg_op_run(L, op);
}

/* copier:close(): gives up what was not finished, without waiting */
static int copy_close(lua_State *L) {
  end_copier(prg_copier_check(L, 1));
  return 0;
}

/* copier:info() -> rows given, bytes sent, number of the row that was being read when
** an error was raised, or nil */
static int copy_info(lua_State *L) {
  const struct prg_copier *s = prg_copier_check(L, 1);
  lua_pushinteger(L, (lua_Integer)s->nrows);
  lua_pushinteger(L, (lua_Integer)s->bytes);
  if (!s->reading) return 2;
  lua_pushinteger(L, (lua_Integer)s->nrows + 1);
  return 3;
}

/* ---- opening ------------------------------------------------------------ */

static struct prg_copier *push_copier(lua_State *L) {
  struct prg_exec *x;
  struct prg_db *db = prg_exec_resolve(L, &x);
  struct prg_copier *s = lua_newuserdatauv(L, sizeof *s, 1);
  memset(s, 0, sizeof *s);
  s->magic = &copier_magic;
  s->db = db;
  s->exec = x;
  prg_arena_init(&s->arena);
  prg_arena_init(&s->row);
  luaL_getmetatable(L, COPY_MT);
  lua_setmetatable(L, -2);
  return s;
}

static void set_uservalue(lua_State *L, int copier, bool in_block) {
  lua_createtable(L, 3, 0);
  if (!in_block || prg_db_test(L, 1) != NULL) {
    lua_pushvalue(L, 1);
  } else {
    lua_getiuservalue(L, 1, 1);
    lua_rawgeti(L, -1, 1);
    lua_remove(L, -2);
  }
  lua_rawseti(L, -2, 1);
  lua_pushvalue(L, 1);
  lua_rawseti(L, -2, 3);
  lua_createtable(L, 0, 0); /* [4]: names of columns */
  lua_rawseti(L, -2, 4);
  lua_setiuservalue(L, copier, 1);
}

static void read_timeout(lua_State *L, struct prg_copier *s, int i) {
  s->span = s->db->query_timeout;
  if (lua_isnoneornil(L, i)) return;
  lua_pushvalue(L, i);
  s->span = prg_check_seconds(L, -1, "timeout");
  if (s->span == 0) prg_usage(L, "timeout: must be greater than 0");
  lua_pop(L, 1);
}

static void check_statement(lua_State *L, const struct prg_copier *s) {
  unsigned f = s->sql->stmt->flags;
  if ((f & PRG_STMT_MULTI) != 0)
    prg_usage(L, "the text holds several statements");
  if ((f & PRG_STMT_COPY) == 0)
    prg_usage(L, "copy_in: a statement COPY … FROM STDIN is expected");
}

static void new_request(lua_State *L, struct prg_copier *s, struct prg_sql *of,
                        bool rows) {
  s->req = prg_req_new_copy(PRG_REQ_COPY_IN, of->stmt);
  if (s->req == NULL) prg_raise(L, prg_error_oom());
  s->req->copy->rows = rows;
  if (!rows) return;
  s->req->copy->sql = prg_strdup(s->sql->stmt->sql);
  if (s->req->copy->sql == NULL) prg_raise(L, prg_error_oom());
}

/* Stack: x, h, columns, timeout, explicit, copier. */
static void open_rows(lua_State *L, struct prg_copier *s) {
  struct prg_sql *like;
  if (s->table->dialect != s->db->dialect)
    prg_usage(L, "the handle of %s is of another kind of database",
              s->table->title.p);
  prg_copy_columns(L, s, 3);
  s->sql = prg_sql_get(L, s->db, -2);
  like = prg_sql_push(L, s->db, -1);
  new_request(L, s, like, true);
}

/* core.copy_in(x, h | nil, columns | sql, timeout, explicit) -> copier. `explicit`:
** the caller has named the columns */
static int core_copy_in(lua_State *L) {
  struct prg_copier *s;
  (void)prg_op_check(L);
  lua_settop(L, 5);
  s = push_copier(L); /* 6 */
  if ((s->db->driver->features & PRG_F_COPY) == 0)
    return prg_raise(
        L, prg_error_new(PRG_K_UNSUPPORTED, "this database has no COPY"));
  read_timeout(L, s, 4);
  s->explicit_cols = lua_toboolean(L, 5);
  if (lua_isnil(L, 2)) {
    s->sql = prg_sql_get(L, s->db, 3);
    check_statement(L, s);
    new_request(L, s, s->sql, false);
  } else {
    const struct prg_table *t = prg_tinfo_check(L, 2);
    s->table = prg_table_ref((struct prg_table *)(uintptr_t)t);
    open_rows(L, s);
  }
  prg_exec_where(L, s->where, sizeof s->where);
  set_uservalue(L, 6, s->exec != NULL);
  lua_settop(L, 6);
  return 1;
}

static const luaL_Reg methods[] = {{"wait", copy_wait},
                                   {"close", copy_close},
                                   {"info", copy_info},
                                   {NULL, NULL}};

int prg_copy_open(lua_State *L) {
  luaL_newmetatable(L, COPY_MT);
  lua_pushliteral(L, COPY_MT);
  lua_setfield(L, -2, "__name");
  lua_pushcfunction(L, copy__gc);
  lua_setfield(L, -2, "__gc");
  lua_createtable(L, 0, 8);
  prg_set_functions(L, methods);
  prg_set_functions(L, prg_copy_rows);
  lua_pushvalue(L, -1);
  lua_setfield(L, -3, "__index");
  lua_setfield(L, -3, "copy_methods");
  lua_pop(L, 1);
  lua_pushcfunction(L, core_copy_in);
  lua_setfield(L, -2, "copy_in");
  lua_pushcfunction(L, prg_copy_select);
  lua_setfield(L, -2, "copy_select");
  return 0;
}
