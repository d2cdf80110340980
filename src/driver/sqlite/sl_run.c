#include "driver/sqlite/sl_int.h"

#include <string.h>

/* A batch with more sets than this goes to the worker. */
#define INLINE_SETS 100u

/* ---- life, ending -------------------------------------------------------------- */

/* As a rule that of the request before. */
struct sl_op *sl_op_new(struct sl_conn *c, struct prg_req *req,
                        enum sl_out (*run)(struct sl_op *op)) {
  struct sl_op *op = c->spare;

  if (op == NULL) {
    op = prg_calloc(1, sizeof(*op));
    if (op == NULL) return NULL;
  } else {
    c->spare = NULL;
    memset(op, 0, sizeof(*op));
  }
  op->c = c;
  op->req = req;
  op->run = run;
  return op;
}

void sl_op_free(struct sl_conn *c, struct sl_op *op) {
  if (op->e != NULL) sl_entry_put(c, op->e);
  if (op->res != NULL) prg_result_free(&op->res->base);
  prg_result_free(op->first);
  prg_error_unref(op->error);
  if (c->spare == NULL)
    c->spare = op;
  else
    prg_free(op);
}

void sl_op_drop(struct sl_conn *c, struct sl_op *op) {
  if (c->op == op) c->op = NULL;
  op->req->impl = NULL;
  sl_op_free(c, op);
}

static void clear_lost(struct sl_conn *c) {
  prg_error_unref(c->lost);
  c->lost = NULL;
}

/* Some failures end the transaction without being asked. Its owner thinks that
** it is still open, and what he sends must not run as single statements: so it
** counts as failed until it is rolled back, as on other databases. */
static void lose_transaction(struct sl_conn *c, struct sl_op *op) {
  clear_lost(c);
  c->lost = prg_error_ref(op->error);
  c->base.tx = PRG_TX_FAILED;
  if (op->error->field[PRG_EF_HINT] == NULL)
    (void)prg_error_set(op->error, PRG_EF_HINT,
                        "the transaction was rolled back");
}

void sl_op_look(struct sl_conn *c, struct sl_op *op) {
  bool open = !sqlite3_get_autocommit(c->db);

  if (op->lost && op->error != NULL) {
    lose_transaction(c, op);
  } else if (open) {
    if (c->base.tx != PRG_TX_OPEN)
      c->tx_changes = sqlite3_total_changes64(c->db);
    c->base.tx = PRG_TX_OPEN;
  } else if (c->lost == NULL) {
    c->base.tx = PRG_TX_IDLE;
  }
}

/* Ends the request. `op` is gone on return. */
static void end(struct sl_conn *c, struct sl_op *op) {
  struct prg_req *req = op->req;
  struct prg_result *result = op->first;
  struct prg_error *error;

  sl_op_look(c, op);
  if (op->res != NULL) {
    result = &op->res->base;
    result->bytes = sl_result_bytes(op->res);
    if (op->e != NULL && op->e->desc != NULL &&
        (req->kind != PRG_REQ_BATCH || req->collect))
      result->desc = prg_desc_ref(op->e->desc);
  }
  error = op->error;
  op->error = NULL;
  op->res = NULL;
  op->first = NULL;
  sl_op_drop(c, op);
  prg_req_finish(req, result, error);
}

static void tell_sql(const struct sl_op *op, struct prg_error *e) {
  if (op->req->stmt != NULL && e->field[PRG_EF_SQL] == NULL)
    (void)prg_error_set(e, PRG_EF_SQL, op->req->stmt->sql);
}

static void fail(struct sl_conn *c, struct sl_op *op, struct prg_error *e) {
  prg_error_unref(op->error);
  op->error = e;
  /* A batch that is not to be gone on with. */
  if (op->own_tx && !sqlite3_get_autocommit(c->db))
    (void)sqlite3_exec(c->db, "ROLLBACK", NULL, NULL, NULL);
  tell_sql(op, e);
  end(c, op);
}

static void refuse_lane(struct prg_req *req) {
  req->wrong_lane = true;
  req->stmt->lane = PRG_LANE_WRITE;
  prg_req_finish(req, NULL, NULL);
}

/* ---- waiting for a lock -------------------------------------------------- */

static int64_t back_off(unsigned tries) {
  static const int ms[] = {1, 2, 5, 10, 20, 50};
  size_t n = sizeof(ms) / sizeof(ms[0]);

  return ms[tries < n ? tries : n - 1] * PRG_MS;
}

/* The parameters must be ours before the step returns. */
static bool own_params(struct sl_op *op) {
  struct prg_req *req = op->req;

  if (req->params_owned || req->stmt->nparams == 0) return true;
  if (prg_req_own_params(req) != PRG_OK) return false;
  op->bound = false;
  return true;
}

static void wait_for_lock(struct sl_conn *c, struct sl_op *op) {
  int64_t now = prg_now();

  if (op->tries == 0) op->wait_from = now;
  if (!own_params(op)) {
    fail(c, op, prg_error_oom());
    return;
  }
  op->retry_at = now + back_off(op->tries++);
  op->waiting = true;
}

struct prg_error *sl_overdue(struct prg_conn *base, struct prg_req *req) {
  struct sl_conn *c = (struct sl_conn *)(void *)base;
  struct sl_op *op = c->op;
  struct prg_error *e;

  if (op == NULL || op->req != req || !op->waiting || op->tries == 0)
    return NULL;
  e = sl_error_locked(op->rc, prg_now() - op->wait_from);
  tell_sql(op, e);
  return e;
}

/* ---- running ------------------------------------------------------------- */

static bool may_guard(const struct sl_op *op) {
  return op->inlined && op->e != NULL && op->e->readonly && !op->delivered &&
         op->e->cmd.verb < SL_V_BEGIN;
}

void sl_op_run(struct sl_op *op) {
  struct sl_conn *c = op->c;
  bool insert = op->e != NULL && op->e->cmd.verb == SL_V_INSERT;

  op->started = c->at != 0 ? c->at : prg_now();
  c->busy_asked = c->guard_hit = c->into_hit = false;
  c->into = insert ? &op->e->cmd.into : NULL;
  c->guard_due = may_guard(op) ? op->started + SL_GUARD : PRG_NEVER;
  op->out = op->run(op);
  c->guard_due = PRG_NEVER;
  c->into = NULL;
  c->at = op->untimed ? 0 : prg_now();
  op->took = op->untimed ? 0 : c->at - op->started;
}

static void work_op(struct sl_conn *c) {
  sl_op_run(c->op);
}

static void on_job_run(struct prg_job *job) {
  struct sl_conn *c = PRG_CONTAINER(job, struct sl_conn, job);

  c->work(c);
}

static void on_job_done(struct prg_job *job) {
  struct sl_conn *c = PRG_CONTAINER(job, struct sl_conn, job);

  c->working = false;
  c->back = true;
  if (!c->closing) prg_conn_step(&c->base, 0);
}

static void on_job_orphan(struct prg_job *job) {
  struct sl_conn *c = PRG_CONTAINER(job, struct sl_conn, job);

  c->working = false;
}

int sl_submit(struct sl_conn *c, void (*work)(struct sl_conn *c)) {
  c->at = 0;
  if (c->worker == NULL) c->worker = prg_worker_new(c->base.hub);
  if (c->worker == NULL) return PRG_ERR;
  atomic_store(&c->stop, false);
  c->work = work;
  c->job.run = on_job_run;
  c->job.done = on_job_done;
  c->job.orphan = on_job_orphan;
  c->working = true;
  if (prg_worker_submit(c->worker, &c->job) == PRG_OK) return PRG_OK;
  c->working = false;
  return PRG_ERR;
}

static void to_worker(struct sl_conn *c, struct sl_op *op) {
  op->inlined = false;
  if (op->e != NULL && !own_params(op)) {
    fail(c, op, prg_error_oom());
    return;
  }
  if (op->e != NULL && !op->bound && op->run != sl_run_batch &&
      sl_bind_set(op, 0) != SL_DONE) {
    fail(c, op, prg_error_ref(op->error));
    return;
  }
  if (sl_submit(c, work_op) != PRG_OK)
    fail(c, op, prg_error_new(PRG_K_RESOURCE, "no thread for the statement"));
}

static void deliver(struct sl_conn *c, struct sl_op *op) {
  struct prg_result *chunk = &op->res->base;

  chunk->desc = prg_desc_ref(op->e->desc);
  chunk->affected = (int64_t)chunk->nrows;
  chunk->bytes = sl_result_bytes(op->res);
  op->res = NULL;
  op->delivered = true;
  /* The next one may take as long, and it could not be interrupted. */
  if (op->took > SL_QUICK) op->inlined = false;
  op->looked = 0;
  c->op = NULL;
  sl_op_look(c, op);
  prg_req_deliver(op->req, chunk);
}

/* A run has ended on either thread. */
static void settle(struct sl_conn *c, struct sl_op *op) {
  if (op->e != NULL) sl_entry_settle(op->e);
  if (op->run == sl_run_rows && op->e != NULL && op->out != SL_BUSY)
    sl_entry_ran(op->e, op->took, op->out == SL_SLOW, op->inlined);
  if (op->out == SL_DONE && op->e != NULL && op->e->cmd.verb == SL_V_COMMIT)
    sl_note_commit(c, op->took);
  /* A long write may have made a small database large. */
  if (!op->inlined) c->size_age = 0;
  switch (op->out) {
    case SL_DONE:
      end(c, op);
      break;
    case SL_FAILED:
      fail(c, op,
           op->error == NULL ? prg_error_oom() : prg_error_ref(op->error));
      break;
    case SL_FULL:
      deliver(c, op);
      break;
    case SL_SLOW:
      to_worker(c, op);
      break;
    case SL_YIELD:
      op->tries = 0;
      op->retry_at = prg_now();
      op->waiting = true;
      break;
    case SL_BUSY:
      wait_for_lock(c, op);
      break;
  }
}

void sl_op_back(struct sl_conn *c) {
  settle(c, c->op);
}

/* ---- taking up ----------------------------------------------------------- */

static bool is_wrong_lane(const struct sl_conn *c, const struct sl_op *op) {
  const struct prg_req *req = op->req;

  if (c->base.lane != PRG_LANE_READ || req->in_tx) return false;
  return req->kind == PRG_REQ_BATCH || !op->e->readonly;
}

/* A write that gives rows may have to change threads between them. */
static bool needs_own(const struct sl_op *op) {
  return op->req->kind == PRG_REQ_STREAM || op->run == sl_run_batch;
}

static bool choose_inline(struct sl_conn *c, struct sl_op *op) {
  if (op->run == sl_run_batch &&
      (op->req->nsets > INLINE_SETS ||
       (sl_commit_waits(c) && sqlite3_get_autocommit(c->db))))
    return false;
  return sl_may_inline(c, op);
}

/* Gets the statement and binds. False: the op has ended or waits. */
static bool get_ready(struct sl_conn *c, struct sl_op *op) {
  struct prg_error *err = NULL;
  struct prg_req *req = op->req;
  int rc = sl_entry_get(c, req->stmt, &op->e, &err);

  if (rc != SQLITE_OK) {
    op->rc = rc;
    if (err == NULL && rc != SQLITE_BUSY_SNAPSHOT && c->busy_asked)
      wait_for_lock(c, op);
    else
      fail(c, op, err == NULL ? sl_error_new(c->db, rc, NULL) : err);
    return false;
  }
  if (is_wrong_lane(c, op)) {
    sl_op_drop(c, op);
    refuse_lane(req);
    return false;
  }
  if (needs_own(op) && !own_params(op)) {
    fail(c, op, prg_error_oom());
    return false;
  }
  if (op->e->st == NULL) { /* nothing but blanks and comments */
    op->res = sl_result_new(0, 0);
    if (op->res == NULL) op->error = prg_error_oom();
    end(c, op);
    return false;
  }
  if (op->run != sl_run_batch && sl_bind_set(op, 0) != SL_DONE) {
    fail(c, op, prg_error_ref(op->error));
    return false;
  }
  op->inlined = choose_inline(c, op);
  return true;
}

static void cancelled(struct sl_conn *c, struct sl_op *op) {
  fail(c, op, prg_error_new(PRG_K_CANCELLED, "interrupted"));
}

void sl_op_go(struct sl_conn *c) {
  struct sl_op *op = c->op;

  /* What stopped the one before must not meet this one, which may have to read
  ** the schema to be prepared. */
  atomic_store_explicit(&c->stop, false, memory_order_relaxed);
  if (op->req->ghost) {
    cancelled(c, op);
    return;
  }
  op->waiting = false;
  if (op->run == sl_run_script) {
    to_worker(c, op);
    return;
  }
  if (op->e == NULL && !get_ready(c, op)) return;
  if (!op->inlined) {
    to_worker(c, op);
    return;
  }
  if (!op->bound && op->run != sl_run_batch && sl_bind_set(op, 0) != SL_DONE) {
    fail(c, op, prg_error_ref(op->error));
    return;
  }
  sl_op_run(op);
  settle(c, op);
}

/* ---- requests without a statement --------------------------------------- */

static void work_restore(struct sl_conn *c) {
  c->op->error = sl_restore(c);
  c->op->out = c->op->error == NULL ? SL_DONE : SL_FAILED;
}

static void reset(struct sl_conn *c, struct sl_op *op) {
  clear_lost(c);
  if (c->base.touched) {
    sl_cache_clear(c);
    if (sl_submit(c, work_restore) != PRG_OK)
      fail(c, op, prg_error_new(PRG_K_RESOURCE, "no thread for the reset"));
    return;
  }
  if (!sqlite3_get_autocommit(c->db)) {
    int rc = sqlite3_exec(c->db, "ROLLBACK", NULL, NULL, NULL);
    c->at = 0;
    if (rc != SQLITE_OK) op->error = sl_error_new(c->db, rc, NULL);
  }
  end(c, op);
}

/* The transaction has ended by itself: only its end is accepted. */
static void answer_lost(struct sl_conn *c, struct sl_op *op) {
  struct sl_command cmd;
  struct prg_error *e;

  sl_command_read(op->req->stmt->sql, &cmd);
  if (op->req->kind == PRG_REQ_QUERY &&
      (cmd.verb == SL_V_ROLLBACK || cmd.verb == SL_V_COMMIT)) {
    clear_lost(c);
    op->res = sl_result_new(0, 0);
    if (op->res == NULL)
      op->error = prg_error_oom();
    else
      memcpy(op->res->base.tag, "ROLLBACK", sizeof("ROLLBACK"));
    end(c, op);
    return;
  }
  e = prg_error_new(PRG_K_ABORTED,
                    "the transaction was rolled back by an earlier error; only "
                    "ROLLBACK is possible");
  if (e != prg_error_oom()) e->cause = prg_error_ref(c->lost);
  fail(c, op, e);
}

/* Readers of a database without a log would meet the writer's locks: there the
** writer's connection does all. */
static bool sends_all_away(const struct sl_conn *c) {
  return c->base.lane == PRG_LANE_READ && !c->wal;
}

void sl_op_begin(struct sl_conn *c, struct prg_req *req) {
  struct sl_op *op;

  if (req->kind == PRG_REQ_PING) {
    prg_req_finish(req, NULL, NULL);
    return;
  }
  if (req->stmt != NULL && !req->in_tx &&
      (sends_all_away(c) ||
       (c->base.lane == PRG_LANE_READ && req->kind == PRG_REQ_SCRIPT))) {
    refuse_lane(req);
    return;
  }
  op = sl_op_new(c, req,
                 req->kind == PRG_REQ_BATCH    ? sl_run_batch
                 : req->kind == PRG_REQ_SCRIPT ? sl_run_script
                                               : sl_run_rows);
  if (op == NULL) {
    prg_req_finish(req, NULL, prg_error_oom());
    return;
  }
  req->impl = op;
  c->op = op;
  if (req->kind == PRG_REQ_RESET)
    reset(c, op);
  else if (c->lost != NULL)
    answer_lost(c, op);
  else
    sl_op_go(c);
}
