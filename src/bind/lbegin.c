/*
** BEGIN and SAVEPOINT are not sent when a block is opened but with its first
** statement, where the driver can (PRG_F_PRELUDE): in the same round trip, and a
** block without statements costs nothing. Until the answer has come no other call
** runs in the block, because without a transaction it would be committed at once.
*/
#include "bind/bind_int.h"

#include "base/clock.h"

/* ---- what has become of it ---------------------------------------------- */

enum prg_tx prg_exec_tx(const struct prg_exec *x) {
  enum prg_tx tx = x->lease->slot->conn->tx;
  for (; x != NULL && tx == PRG_TX_IDLE; x = x->parent) {
    if (x->begin == PRG_BEGIN_LOST) return PRG_TX_FAILED;
    if (x->begin != PRG_BEGUN) return PRG_TX_OPEN;
  }
  return tx;
}

static void set_begun(struct prg_exec *x) {
  x->begin = PRG_BEGUN;
  prg_sql_unref(x->begin_sql);
  x->begin_sql = NULL;
  prg_error_unref(x->begin_error);
  x->begin_error = NULL;
}

bool prg_exec_hold_begin(struct prg_exec *x, struct prg_sql *sql) {
  const struct prg_slot *slot = x->lease->slot;
  if (slot == NULL || !(slot->conn->driver->features & PRG_F_PRELUDE))
    return false;
  x->begin = PRG_UNBEGUN;
  x->begin_sql = sql;
  return true;
}

void prg_exec_forget_begin(struct prg_exec *x) {
  if (x->beginner != NULL) x->beginner->begins = NULL;
  x->beginner = NULL;
  set_begun(x);
}

/* Is it in flight without anybody who waits for it? */
static bool is_given_up(const struct prg_req *req) {
  return req->state == PRG_REQ_SENT || req->state == PRG_REQ_PAUSED ||
         req->ghost;
}

static void lose(struct prg_exec *x, const struct prg_req *req) {
  x->begin = PRG_BEGIN_LOST;
  x->begin_error =
      req->error != NULL
          ? prg_error_ref(req->error)
          : prg_error_new(PRG_K_CANCELLED, "the statement was given up");
}

void prg_exec_note_begin(struct prg_op *op, const struct prg_req *req) {
  struct prg_exec *x = op->begins;
  bool begun = req->prelude != NULL
                   ? req->begun
                   : req->state == PRG_REQ_DONE && req->error == NULL;
  op->begins = NULL;
  if (x == NULL) return;
  x->beginner = NULL;
  if (begun)
    set_begun(x);
  else if (is_given_up(req))
    lose(x, req);
  else
    x->begin = PRG_UNBEGUN;
  prg_op_wake_first(&x->gate);
}

struct prg_exec *prg_exec_beginning(const struct prg_op *op,
                                    struct prg_exec *x) {
  for (; x != NULL; x = x->parent)
    if (x->begin == PRG_BEGINS && x->beginner != op) return x;
  return NULL;
}

/* ---- sending ------------------------------------------------------------ */

static void on_lead(struct prg_req *req) {
  prg_op_wake(req->owner);
}

static void begins(struct prg_op *op, struct prg_exec *x) {
  x->begin = PRG_BEGINS;
  x->beginner = op;
  op->begins = x;
  prg_sql_unref(op->begin_sql);
  op->begin_sql = x->begin_sql;
  op->begin_sql->refs++;
}

static int fail(lua_State *L, struct prg_op *op, struct prg_error *e) {
  prg_op_drop(op);
  return prg_raise(L, e);
}

static int refuse_lost(lua_State *L, struct prg_op *op,
                       const struct prg_exec *x) {
  struct prg_error *e = prg_error_new(
      PRG_K_ABORTED,
      "the transaction can only be rolled back: its first statement was given "
      "up");
  if (e != prg_error_oom()) e->cause = prg_error_ref(x->begin_error);
  return fail(L, op, e);
}

/* BEGIN as a request of its own. */
static int send_alone(lua_State *L, struct prg_op *op, struct prg_exec *x) {
  struct prg_req *req = prg_req_new(PRG_REQ_QUERY, x->begin_sql->stmt);
  if (req == NULL) return fail(L, op, prg_error_oom());
  op->lead = req;
  begins(op, x);
  req->due = op->due;
  req->done = on_lead;
  req->owner = op;
  prg_conn_submit(x->lease->slot->conn, req);
  return 0;
}

void prg_exec_tell_begin(lua_State *L, struct prg_op *op,
                         const struct prg_error *e) {
  const struct prg_told t = {op->begin_sql, op->began, -1, e};
  if (op->db->has_on_query && op->begin_sql != NULL)
    prg_call_tell(L, op->db, &t);
}

/* 0: the answer was there. */
static int take_lead(lua_State *L, struct prg_op *op) {
  struct prg_req *req = op->lead;
  if (req->state != PRG_REQ_DONE) return PRG_PENDING;
  prg_exec_note_begin(op, req);
  prg_exec_tell_begin(L, op, req->error);
  if (req->error != NULL) {
    struct prg_error *e = req->error;
    req->error = NULL;
    if (e->field[PRG_EF_SQL] == NULL)
      prg_error_set(e, PRG_EF_SQL, req->stmt->sql);
    return fail(L, op, e);
  }
  op->lead = NULL;
  prg_req_free(req);
  return 0;
}

int prg_exec_begin(lua_State *L, struct prg_op *op, struct prg_req *req) {
  struct prg_exec *x, *first, *last;
  for (;;) {
    if (op->lead != NULL && take_lead(L, op) == PRG_PENDING) return PRG_PENDING;
    first = last = NULL;
    for (x = op->exec; x != NULL; x = x->parent) {
      if (x->begin == PRG_BEGIN_LOST) return refuse_lost(L, op, x);
      if (x->begin != PRG_UNBEGUN) continue;
      if (last == NULL) last = x;
      first = x;
    }
    if (first == NULL) return 0;
    if (first == last && req != NULL) {
      req->prelude = prg_stmt_ref(first->begin_sql->stmt);
      begins(op, first);
      return 0;
    }
    send_alone(L, op, first);
  }
}
