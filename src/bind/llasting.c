/*
** The life of requests that outlive their call. One on the handle holds a connection
** of its own from the first wait to its end.
*/
#include "bind/lasting_int.h"

#include "base/clock.h"

void prg_lasting_end(struct prg_lasting *s) {
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

void prg_lasting_cut(struct prg_lasting *s) {
  s->cut = s->cut || s->req != NULL;
  prg_lasting_end(s);
}

static void end_held(struct prg_holding *h) {
  prg_lasting_cut(PRG_CONTAINER(h, struct prg_lasting, held));
}

void prg_lasting_anchor(lua_State *L, const struct prg_lasting *s, int i, int x,
                        int opts) {
  lua_createtable(L, 4, 0);
  if (s->exec == NULL || prg_db_test(L, x) != NULL) {
    lua_pushvalue(L, x);
  } else {
    lua_getiuservalue(L, x, 1);
    lua_rawgeti(L, -1, 1);
    lua_remove(L, -2);
  }
  lua_rawseti(L, -2, 1);
  lua_pushvalue(L, x);
  lua_rawseti(L, -2, 3);
  if (opts != 0) {
    lua_pushvalue(L, opts);
    lua_rawseti(L, -2, 2);
  }
  lua_setiuservalue(L, i, 1);
}

/* ---- waiting ------------------------------------------------------------ */

static void abandon(struct prg_op *op) {
  struct prg_lasting *s = op->data;
  op->data = NULL;
  op->req = NULL; /* lent for prg_call_acquire */
  if (s != NULL) s->op = NULL;
  prg_call_abandon(op);
  if (s != NULL) prg_lasting_end(s);
}

struct prg_op *prg_lasting_begin(lua_State *L, struct prg_lasting *s,
                                 int (*step)(lua_State *, struct prg_op *),
                                 const char *what) {
  struct prg_op *op;
  prg_slot_check_own(L, s->slot);
  prg_db_check_usable(L, s->db);
  if (s->op != NULL) prg_usage(L, "another task waits for %s", what);
  op = prg_op_begin(L, PRG_OP_STREAM, step, abandon);
  op->data = s;
  op->db = s->db;
  op->req = s->sent ? NULL : s->req;
  if (!s->sent) /* it may be collected before the wait is over */
    op->borrow.where = prg_arena_dup(&op->arena, s->where, strlen(s->where));
  op->due = prg_op_due(op->task, s->span);
  s->op = op;
  return op;
}

static void on_news(struct prg_req *req) {
  struct prg_lasting *s = req->owner;
  if (s->op != NULL) prg_op_wake(s->op);
}

int prg_lasting_start(lua_State *L, struct prg_op *op, enum prg_lane lane) {
  struct prg_lasting *s = op->data;
  struct prg_conn *c;
  if (s->sent) return 0;
  if (s->exec != NULL) {
    op->exec = s->exec;
    if (prg_exec_pass_gate(L, op) == PRG_PENDING ||
        prg_exec_begin(L, op, NULL) == PRG_PENDING)
      return PRG_PENDING;
    c = op->exec->lease->slot->conn;
  } else {
    if (prg_call_acquire(L, op, lane) == PRG_PENDING) return PRG_PENDING;
    s->slot = op->slot;
    op->slot = NULL;
    c = s->slot->conn;
  }
  if (s->exec == NULL || s->bound) prg_hold(&s->held, op->task, end_held);
  s->sent = true;
  s->began = prg_now();
  s->req->done = on_news;
  s->req->owner = s;
  s->req->due = prg_op_due(op->task, s->span);
  prg_conn_submit(c, s->req);
  return 0;
}

void prg_lasting_resume(struct prg_op *op) {
  struct prg_lasting *s = op->data;
  s->req->due = prg_op_due(op->task, s->span);
  prg_req_resume(s->req);
}

void prg_lasting_leave(struct prg_op *op) {
  struct prg_lasting *s = op->data;
  s->op = NULL;
  op->data = NULL;
  prg_op_drop(op);
}

void prg_lasting_finish(lua_State *L, struct prg_op *op, int64_t rows,
                        struct prg_error *e) {
  struct prg_lasting *s = op->data;
  const struct prg_told t = {s->sql, s->began, rows, e};
  if (e != NULL && s->sql != NULL && e->field[PRG_EF_SQL] == NULL)
    prg_error_set(e, PRG_EF_SQL, s->sql->stmt->sql);
  prg_lasting_leave(op);
  if (s->db->has_on_query && s->sql != NULL) prg_call_tell(L, s->db, &t);
  if (s->db->news != NULL) prg_db_tell_news(L, s->db);
  prg_lasting_end(s);
  if (e != NULL) prg_raise(L, e);
}
