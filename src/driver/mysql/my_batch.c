/* BATCH: one prepared statement with several sets of parameters. */
#include "driver/mysql/my_int.h"

#include <string.h>

#include "base/buf.h"

static const char begin_sql[] = "START TRANSACTION";
static const char commit_sql[] = "COMMIT";
static const char rollback_sql[] = "ROLLBACK";

static my_then run_set;

/* ---- ends ----------------------------------------------------------------- */

static void name_set(struct my_conn *c) {
  struct prg_error *e = c->run.error;
  struct prg_buf b;
  prg_buf_init(&b, 0);
  prg_buf_addf(&b, "set %zu: %s", c->run.set + 1, prg_error_message(e));
  if (!b.failed) (void)prg_error_set(e, PRG_EF_MESSAGE, b.data);
  prg_buf_fini(&b);
}

static void after_rollback(struct my_conn *c) {
  if (c->rc != 0 && my_is_lost(mysql_errno(c->my))) {
    my_broken(c);
    return;
  }
  my_end(c);
}

/* With run.error set. In a transaction of the owner's what was done stays. */
static void fail_batch(struct my_conn *c) {
  name_set(c);
  if (c->run.own_tx)
    my_do_sql(c, rollback_sql, sizeof rollback_sql - 1, after_rollback);
  else
    my_end(c);
}

/* The last call has failed. */
static void fail_set(struct my_conn *c, MYSQL_STMT *st) {
  if (my_is_lost(my_errno(c->my, st))) {
    my_broken(c);
    return;
  }
  c->run.error = my_error_new(c->my, st, c->run.req->stmt);
  name_set(c);
  if (c->run.own_tx)
    my_do_sql(c, rollback_sql, sizeof rollback_sql - 1, after_rollback);
  else
    my_fail(c, st);
}

static void finish(struct my_conn *c) {
  struct my_run *r = &c->run;
  if (r->res == NULL) r->res = my_result_new(NULL);
  if (r->res == NULL) {
    r->error = prg_error_oom();
    my_end(c);
    return;
  }
  my_result_tag(&r->res->base, r->req->stmt->sql);
  r->res->base.affected = r->affected;
  r->res->base.has_last_id = r->has_last_id;
  r->res->base.last_id = r->last_id;
  my_end(c);
}

static void after_commit(struct my_conn *c) {
  if (c->rc != 0) {
    my_fail(c, NULL);
    return;
  }
  finish(c);
}

/* ---- sets ----------------------------------------------------------------- */

static void set_over(struct my_conn *c) {
  c->run.set++;
  run_set(c);
}

static void after_free(struct my_conn *c) {
  if (c->flag != 0)
    fail_set(c, c->st);
  else
    set_over(c);
}

static void after_fetch(struct my_conn *c) {
  if (c->rc == MYSQL_NO_DATA) {
    if (c->run.error != NULL)
      fail_batch(c);
    else
      set_over(c);
  } else if (c->rc == 0 || c->rc == MYSQL_DATA_TRUNCATED) {
    if (c->run.error == NULL && my_add_row(c)) c->run.affected++;
    my_do(c, my_op_fetch, after_fetch);
  } else {
    fail_set(c, c->st);
  }
}

/* The rows of all sets go into one result. */
static void collect(struct my_conn *c) {
  struct my_run *r = &c->run;
  struct prg_error *e = my_describe(c);
  if (e == NULL && r->res == NULL) {
    r->res = my_result_new(r->e->plan.desc);
    if (r->res == NULL) e = prg_error_oom();
  }
  if (e == NULL && r->res->base.desc != r->e->plan.desc)
    e = prg_error_new(PRG_K_DATABASE,
                      "the columns have changed during the batch");
  r->error = e;
  my_do(c, my_op_fetch, after_fetch);
}

static void count(struct my_run *r, MYSQL *my) {
  uint64_t n = mysql_affected_rows(my), id = mysql_insert_id(my);
  if (n != UINT64_MAX) r->affected += (int64_t)n;
  if (id == 0) return;
  r->has_last_id = true;
  r->last_id = (int64_t)id;
}

static void after_execute(struct my_conn *c) {
  struct my_run *r = &c->run;
  if (c->rc != 0) {
    fail_set(c, c->st);
    return;
  }
  if (c->my->field_count == 0) {
    count(r, c->my);
    set_over(c);
  } else if (r->req->collect) {
    collect(c);
  } else {
    my_do(c, my_op_stmt_free, after_free); /* reads its rows */
  }
}

static void run_set(struct my_conn *c) {
  struct my_run *r = &c->run;
  if (r->req->ghost) {
    r->error = prg_error_new(PRG_K_CANCELLED, "interrupted");
    fail_batch(c);
    return;
  }
  if (r->set == r->req->nsets) {
    if (r->own_tx)
      my_do_sql(c, commit_sql, sizeof commit_sql - 1, after_commit);
    else
      finish(c);
    return;
  }
  r->error = my_bind_set(c, r->set);
  if (r->error != NULL) {
    fail_batch(c);
    return;
  }
  c->st = r->e->st;
  my_do(c, my_op_execute, after_execute);
}

static void after_begin(struct my_conn *c) {
  if (c->rc != 0) {
    my_fail(c, NULL);
    return;
  }
  c->run.own_tx = true;
  run_set(c);
}

static void start(struct my_conn *c) {
  if (c->run.was_tx)
    run_set(c);
  else
    my_do_sql(c, begin_sql, sizeof begin_sql - 1, after_begin);
}

void my_batch_begin(struct my_conn *c) {
  my_prepare(c, start);
}
