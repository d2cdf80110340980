/*
** Statements without a request: what is prepared, and may run on the hub's thread,
** is run at once, on the caller's own values. Whatever needs more (a lock, the
** worker, a checkpoint after it, a text seen for the first time) is left to a
** request.
*/
#include "driver/sqlite/sl_int.h"

/* Outside a transaction a write ends with a commit, and with what follows from that. */
static bool is_fit(const struct sl_conn *c, const struct sl_entry *e) {
  if (e->st == NULL || e->cmd.verb < SL_V_SELECT || e->cmd.verb > SL_V_DELETE)
    return false;
  return e->readonly || c->base.tx != PRG_TX_IDLE;
}

static bool is_free(const struct sl_conn *c) {
  return !c->working && !c->back && c->op == NULL && c->lost == NULL &&
         (c->base.lane == PRG_LANE_WRITE || c->wal);
}

/* The run has ended, well or not. */
static int end(struct sl_conn *c, struct sl_op *op, struct prg_direct *d) {
  if (op->out == SL_FAILED && op->error == NULL) op->error = prg_error_oom();
  sl_op_look(c, op);
  d->error = op->error;
  op->error = NULL;
  if (d->error != NULL) {
    if (d->error->field[PRG_EF_SQL] == NULL)
      (void)prg_error_set(d->error, PRG_EF_SQL, d->stmt->sql);
  } else if (op->res == NULL) {
    d->result = d->none;
  } else {
    d->result = &op->res->base;
    d->result->bytes = sl_result_bytes(op->res);
    d->result->desc = prg_desc_ref(op->e->desc);
    op->res = NULL;
  }
  sl_op_free(c, op);
  return PRG_OK;
}

static int run(struct sl_conn *c, struct sl_op *op, struct prg_direct *d) {
  struct sl_entry *e = op->e;

  if (sl_bind_set(op, 0) != SL_DONE) {
    op->out = SL_FAILED;
    return end(c, op, d);
  }
  op->inlined = sl_may_inline(c, op);
  if (op->inlined) {
    op->untimed = !sl_entry_timed(e);
    sl_op_run(op);
    sl_entry_settle(e);
    if (op->out == SL_SLOW || (op->out != SL_BUSY && !op->untimed))
      sl_entry_ran(e, op->took, op->out == SL_SLOW, true);
    if (op->out == SL_DONE || op->out == SL_FAILED) return end(c, op, d);
  }
  sl_op_free(c, op);
  return PRG_AGAIN;
}

int sl_direct(struct prg_conn *base, struct prg_direct *d) {
  struct sl_conn *c = (struct sl_conn *)(void *)base;
  struct prg_req *req = &c->unasked;
  struct sl_entry *e;
  struct sl_op *op;

  if (!is_free(c)) return PRG_AGAIN;
  e = sl_entry_known(c, d->stmt);
  if (e == NULL) return PRG_AGAIN;
  op = is_fit(c, e) ? sl_op_new(c, req, sl_run_rows) : NULL;
  if (op == NULL) {
    sl_entry_put(c, e);
    return PRG_AGAIN;
  }
  req->kind = PRG_REQ_QUERY;
  req->stmt = d->stmt;
  req->params = d->params;
  req->max_rows = d->max_rows;
  op->e = e;
  op->none = d->none;
  c->at = d->now;
  atomic_store_explicit(&c->stop, false, memory_order_relaxed);
  return run(c, op, d);
}
