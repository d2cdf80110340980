#include "driver/sqlite/sl_int.h"

#include <string.h>

/* How often the clock is looked at between rows. */
#define CLOCK_ROWS 64u
#define CLOCK_BYTES (size_t)(256 * 1024)

/* A list goes to perigee_list() as it is. */
static struct prg_error *bind_list(struct sl_op *op, int i,
                                   const struct prg_value *v) {
  struct sl_entry *e = op->e;
  int n = op->req->stmt->nparams;

  if (e->use == NULL) {
    e->use = prg_calloc((size_t)n, 1);
    if (e->use == NULL) return prg_error_oom();
    sl_list_params(e->key->sql, n, e->use);
  }
  if (e->use[i] != SL_AS_LIST) return sl_value_refuse(i + 1, v);
  return sl_list_bind(e->st, i + 1, v->u.list, &op->param_bytes);
}

enum sl_out sl_bind_set(struct sl_op *op, size_t set) {
  int n = op->req->stmt->nparams;
  const struct prg_value *v = op->req->params + set * (size_t)n;

  for (int i = 0; i < n; i++) {
    op->error = v[i].type == PRG_LIST
                    ? bind_list(op, i, &v[i])
                    : sl_value_bind(op->e->st, i + 1, &v[i], &op->param_bytes);
    if (op->error != NULL) return SL_FAILED;
  }
  op->bound = true;
  return SL_DONE;
}

/* A batch keeps the rows of the sets that went well. */
static void drop_rows(struct sl_op *op) {
  if (op->res == NULL || op->run == sl_run_batch) return;
  prg_result_free(&op->res->base);
  op->res = NULL;
}

/* May the run be done once more from its start? */
static bool can_repeat(const struct sl_op *op) {
  return !op->delivered;
}

enum sl_out sl_step_failed(struct sl_op *op, sqlite3_stmt *st, int rc,
                           const char *sql) {
  struct sl_conn *c = op->c;
  enum sl_out out = SL_FAILED;

  op->rc = rc;
  if ((rc & 0xff) == SQLITE_INTERRUPT && c->guard_hit) {
    out = SL_SLOW;
  } else if ((rc & 0xff) == SQLITE_BUSY && rc != SQLITE_BUSY_SNAPSHOT &&
             c->busy_asked && can_repeat(op)) {
    out = SL_BUSY;
  } else {
    op->error = sl_error_new(c->db, rc, sql);
  }
  (void)sqlite3_reset(st);
  drop_rows(op);
  op->lost = op->was_tx && sqlite3_get_autocommit(c->db);
  return out;
}

static enum sl_out no_memory(struct sl_op *op) {
  op->error = prg_error_oom();
  (void)sqlite3_reset(op->e->st);
  drop_rows(op);
  op->lost = op->was_tx && sqlite3_get_autocommit(op->c->db);
  return SL_FAILED;
}

void sl_count(struct sl_conn *c, const struct sl_command *cmd, bool readonly,
              struct prg_result *r) {
  memcpy(r->tag, cmd->tag, sizeof(r->tag));
  if (cmd->verb >= SL_V_INSERT && cmd->verb <= SL_V_DELETE && !readonly) {
    r->affected = sqlite3_changes64(c->db);
    if (cmd->verb == SL_V_INSERT && r->affected > 0 && c->into_hit) {
      r->has_last_id = true;
      r->last_id = sqlite3_last_insert_rowid(c->db);
    }
  } else if (cmd->verb == SL_V_SELECT || cmd->verb == SL_V_EXPLAIN ||
             (cmd->verb == SL_V_PRAGMA && r->nrows > 0)) {
    r->affected = (int64_t)r->nrows;
  } else {
    r->affected = -1;
  }
}

/* The end of the statement, after its last row or after enough of them. */
static enum sl_out finish_rows(struct sl_op *op) {
  sl_count(op->c, &op->e->cmd, op->e->readonly,
           op->res != NULL ? &op->res->base : op->none);
  (void)sqlite3_reset(op->e->st);
  op->e->was_reset = true;
  return SL_DONE;
}

/* An inline run has collected rows for too long. A stream goes on where it is,
** on the other thread; a query has borrowed parameters and starts again. */
static enum sl_out give_way(struct sl_op *op) {
  if (op->req->kind == PRG_REQ_STREAM) return SL_SLOW;
  (void)sqlite3_reset(op->e->st);
  op->looked = 0;
  drop_rows(op);
  return SL_SLOW;
}

static bool is_too_long(struct sl_op *op) {
  size_t n = op->res->base.nrows, bytes = op->res->texts.arena.used;

  if (!op->inlined || !op->e->readonly) return false;
  if (n % CLOCK_ROWS != 0 && bytes - op->looked < CLOCK_BYTES) return false;
  op->looked = bytes;
  return n > SL_INLINE_ROWS || prg_now() - op->started > SL_GUARD;
}

static size_t row_limit(const struct sl_op *op) {
  const struct prg_req *req = op->req;

  if (req->kind != PRG_REQ_STREAM)
    return req->max_rows == 0 ? SIZE_MAX : req->max_rows;
  /* A write is not left half done between two chunks: one chunk has all. */
  if (!op->e->readonly) return SIZE_MAX;
  return req->chunk == 0 ? 500 : req->chunk;
}

/* After a step: the result to put rows into. A chunk of a stream will be full. */
static bool have_result(struct sl_op *op, size_t limit) {
  bool stream = op->req->kind == PRG_REQ_STREAM && limit != SIZE_MAX;

  if (op->res != NULL) return true;
  if (sl_entry_refresh(op->e) != PRG_OK) return false;
  if (op->none != NULL && op->e->ncols == 0) {
    prg_result_none(op->none);
    return true;
  }
  op->res = sl_result_new(op->e->ncols, stream ? limit : 0);
  return op->res != NULL;
}

/* Is it a chunk of a stream, to be delivered? */
static bool is_full(const struct sl_op *op, size_t limit) {
  if (op->req->kind != PRG_REQ_STREAM || limit == SIZE_MAX) return false;
  return op->res->base.nrows == limit ||
         sl_result_bytes(op->res) >= PRG_CHUNK_BYTES;
}

enum sl_out sl_run_rows(struct sl_op *op) {
  struct sl_entry *e = op->e;
  size_t limit = row_limit(op);

  op->was_tx = !sqlite3_get_autocommit(op->c->db);
  for (;;) {
    int rc = sqlite3_step(e->st);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
      return sl_step_failed(op, e->st, rc, e->key->sql);
    if (!have_result(op, limit)) return no_memory(op);
    if (rc == SQLITE_DONE) return finish_rows(op);
    if (op->res->base.nrows == limit) {
      op->res->base.truncated = true;
      if (e->readonly) return finish_rows(op);
      continue; /* a write is always taken to its end */
    }
    if (!sl_result_add(op->res, e->st, e->classes)) return no_memory(op);
    if (is_full(op, limit)) return SL_FULL;
    if (is_too_long(op)) return give_way(op);
  }
}
