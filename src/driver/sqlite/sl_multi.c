#include "driver/sqlite/sl_int.h"

#include <string.h>

/* ---- batches ------------------------------------------------------------- */

/* BEGIN, COMMIT or ROLLBACK of our own. */
static enum sl_out control(struct sl_op *op, const char *sql) {
  int rc = sqlite3_exec(op->c->db, sql, NULL, NULL, NULL);

  if (rc == SQLITE_OK) return SL_DONE;
  op->rc = rc;
  if ((rc & 0xff) == SQLITE_BUSY && op->c->busy_asked) return SL_BUSY;
  op->error = sl_error_new(op->c->db, rc, NULL);
  return SL_FAILED;
}

static enum sl_out no_memory(struct sl_op *op) {
  op->error = prg_error_oom();
  return SL_FAILED;
}

/* With `collect`, the result that the rows of all sets go to. Its columns are
** known when a first step was made. */
static enum sl_out have_result(struct sl_op *op) {
  if (sl_entry_refresh(op->e) != PRG_OK) return no_memory(op);
  if (op->res == NULL) op->res = sl_result_new(op->e->ncols, op->req->nsets);
  if (op->res == NULL) return no_memory(op);
  if (op->res->ncols == op->e->ncols) return SL_DONE;
  op->error = prg_error_new(PRG_K_DATABASE,
                            "the columns have changed during the batch");
  return SL_FAILED;
}

/* Takes the rows of one set. A set that is done again leaves none of its own. */
static enum sl_out step_set(struct sl_op *op) {
  struct sl_entry *e = op->e;
  bool collect = op->req->collect;
  size_t before = op->res == NULL ? 0 : op->res->base.nrows;
  enum sl_out out = SL_DONE;
  int rc;

  do {
    rc = sqlite3_step(e->st);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
      out = sl_step_failed(op, e->st, rc, e->key->sql);
    else if (collect)
      out = have_result(op);
    if (out == SL_DONE && collect && rc == SQLITE_ROW &&
        !sl_result_add(op->res, e->st, e->classes))
      out = no_memory(op);
  } while (rc == SQLITE_ROW && out == SL_DONE);
  if (out != SL_DONE && op->res != NULL) op->res->base.nrows = before;
  return out;
}

static enum sl_out run_set(struct sl_op *op) {
  struct sl_conn *c = op->c;
  struct sl_entry *e = op->e;
  enum sl_out out = sl_bind_set(op, op->set);

  if (out != SL_DONE) return out;
  c->into_hit = false;
  out = step_set(op);
  if (out == SL_DONE && e->cmd.verb >= SL_V_INSERT &&
      e->cmd.verb <= SL_V_DELETE) {
    int64_t n = sqlite3_changes64(c->db);
    op->affected += n;
    if (n > 0 && c->into_hit) {
      op->has_last_id = true;
      op->last_id = sqlite3_last_insert_rowid(c->db);
    }
  }
  (void)sqlite3_reset(e->st);
  return out;
}

/* The next set, or several at once. */
static enum sl_out run_next(struct sl_op *op) {
  enum sl_out out;

  if (sl_rows_may(op)) return sl_rows_run(op);
  out = run_set(op);
  if (out == SL_DONE) op->set++;
  return out;
}

static enum sl_out run_sets(struct sl_op *op) {
  while (op->set < op->req->nsets) {
    enum sl_out out;
    if (op->inlined && prg_now() - op->started > SL_SLICE) return SL_YIELD;
    if (atomic_load_explicit(&op->c->stop, memory_order_relaxed)) {
      op->error = prg_error_new(PRG_K_CANCELLED, "interrupted");
      return SL_FAILED;
    }
    out = run_next(op);
    if (out != SL_DONE) return out;
  }
  return SL_DONE;
}

static void name_set(struct sl_op *op) {
  struct prg_buf b;

  prg_buf_init(&b, 0);
  prg_buf_addf(&b, "set %zu: %s", op->set + 1, prg_error_message(op->error));
  if (!b.failed) (void)prg_error_set(op->error, PRG_EF_MESSAGE, b.data);
  prg_buf_fini(&b);
}

static enum sl_out batch_failed(struct sl_op *op) {
  if (op->set < op->req->nsets) name_set(op);
  /* Some errors have rolled back already. */
  if (op->own_tx && !sqlite3_get_autocommit(op->c->db))
    (void)sqlite3_exec(op->c->db, "ROLLBACK", NULL, NULL, NULL);
  /* What was lost is only ours. */
  if (op->own_tx) op->lost = false;
  op->own_tx = false;
  return SL_FAILED;
}

static enum sl_out batch_result(struct sl_op *op) {
  if (op->res == NULL)
    op->res = sl_result_new(op->req->collect ? op->e->ncols : 0, 0);
  if (op->res == NULL) return no_memory(op);
  memcpy(op->res->base.tag, op->e->cmd.tag, sizeof(op->res->base.tag));
  op->res->base.affected = op->affected;
  op->res->base.has_last_id = op->has_last_id;
  op->res->base.last_id = op->last_id;
  return SL_DONE;
}

enum sl_out sl_run_batch(struct sl_op *op) {
  struct sl_conn *c = op->c;
  enum sl_out out = SL_DONE;

  op->was_tx = !sqlite3_get_autocommit(c->db);
  if (!op->was_tx && !op->e->readonly) {
    out = control(op, "BEGIN IMMEDIATE");
    if (out != SL_DONE) return out;
    op->own_tx = op->was_tx = true;
  }
  out = run_sets(op);
  /* Before the commit: after it there is no way back. */
  if (out == SL_DONE) out = batch_result(op);
  if (out == SL_DONE && op->own_tx) out = control(op, "COMMIT");
  if (out == SL_FAILED) return batch_failed(op);
  return out;
}

/* ---- scripts ------------------------------------------------------------- */

static bool new_result(sqlite3_stmt *st, struct sl_result **out,
                       unsigned char **classes) {
  struct prg_desc *desc;

  if (sl_describe(st, NULL, &desc, classes) != PRG_OK) return false;
  *out = sl_result_new(desc == NULL ? 0 : desc->ncols, 0);
  if (*out == NULL) {
    prg_desc_unref(desc);
    prg_free(*classes);
    *classes = NULL;
    return false;
  }
  (*out)->base.desc = desc; /* made here, nobody else's: no race of counts */
  return true;
}

static enum sl_out script_rows(struct sl_op *op, sqlite3_stmt *st,
                               const struct sl_command *cmd) {
  unsigned char *classes = NULL;
  struct sl_result *r = NULL;
  enum sl_out out = SL_DONE;
  int rc;

  /* The first step may prepare anew; the columns are known after it. */
  for (rc = sqlite3_step(st); out == SL_DONE; rc = sqlite3_step(st)) {
    if (rc != SQLITE_ROW && rc != SQLITE_DONE) {
      out = sl_step_failed(op, st, rc, op->pos);
    } else if ((r == NULL && !new_result(st, &r, &classes)) ||
               (rc == SQLITE_ROW && !sl_result_add(r, st, classes))) {
      op->error = prg_error_oom();
      out = SL_FAILED;
    }
    if (rc != SQLITE_ROW || out != SL_DONE) break;
  }
  prg_free(classes);
  if (out == SL_DONE) {
    sl_count(op->c, cmd, sqlite3_stmt_readonly(st) != 0, &r->base);
    r->base.bytes = sl_result_bytes(r);
    *op->tail = &r->base;
    op->tail = &r->base.next;
  } else if (r != NULL) {
    prg_result_free(&r->base);
  }
  return out;
}

/* The statement at op->pos. Moves op->pos when it has run. */
static enum sl_out script_one(struct sl_op *op) {
  struct sl_conn *c = op->c;
  struct sl_command cmd;
  sqlite3_stmt *st = NULL;
  const char *tail = op->pos;
  enum sl_out out;
  int rc;

  op->was_tx = !sqlite3_get_autocommit(c->db);
  rc = sqlite3_prepare_v2(c->db, op->pos, -1, &st, &tail);
  if (rc != SQLITE_OK) return sl_step_failed(op, NULL, rc, op->pos);
  if (st == NULL) { /* nothing but a comment */
    op->pos = tail;
    return SL_DONE;
  }
  sl_command_read(op->pos, &cmd);
  c->into = cmd.verb == SL_V_INSERT ? &cmd.into : NULL;
  c->into_hit = false;
  out = script_rows(op, st, &cmd);
  sqlite3_finalize(st);
  c->into = NULL;
  if (out == SL_DONE) op->pos = tail;
  return out;
}

/* A position inside the statement becomes one inside the script. */
static void move_position(struct sl_op *op) {
  if (op->error->position == 0) return;
  for (const char *p = op->req->stmt->sql; p < op->pos; p++) {
    if (((unsigned char)*p & 0xc0) != 0x80) op->error->position++;
  }
}

enum sl_out sl_run_script(struct sl_op *op) {
  if (op->pos == NULL) {
    op->pos = op->req->stmt->sql;
    op->tail = &op->first;
  }
  for (op->pos = sl_skip_blank(op->pos); *op->pos != '\0';
       op->pos = sl_skip_blank(op->pos)) {
    enum sl_out out = script_one(op);
    if (out == SL_FAILED) move_position(op);
    if (out != SL_DONE) return out;
    if (atomic_load_explicit(&op->c->stop, memory_order_relaxed)) {
      op->error = prg_error_new(PRG_K_CANCELLED, "interrupted");
      return SL_FAILED;
    }
  }
  return SL_DONE;
}
