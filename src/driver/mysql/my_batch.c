/* BATCH: one prepared statement with several sets of parameters. On MariaDB they are
** sent many at a time, as one statement for the server, which then does not say which
** of them it has refused: all is undone, and done again set by set. */
#include "driver/mysql/my_int.h"

#include <string.h>

#include "base/buf.h"

static const char begin_sql[] = "START TRANSACTION";
static const char commit_sql[] = "COMMIT";
static const char rollback_sql[] = "ROLLBACK";
static const char save_sql[] = "SAVEPOINT `perigee:batch`";
static const char undo_sql[] = "ROLLBACK TO SAVEPOINT `perigee:batch`";
static const char release_sql[] = "RELEASE SAVEPOINT `perigee:batch`";

/* Fewer sets are not worth a savepoint. */
enum { BULK_SETS = 8 };

/* After these nothing is done again. */
enum { LOCK_WAIT = 1205, KILLED = 1317, TOO_LONG = 1969 };

static my_then run_set;

/* ---- ends ----------------------------------------------------------------- */

static void name_set(struct my_conn *c) {
  struct prg_error *e = c->run.error;
  size_t first = c->run.set + 1, last = c->run.set + c->run.sets;
  struct prg_buf b;
  prg_buf_init(&b, 0);
  if (last > first)
    prg_buf_addf(&b, "sets %zu to %zu: ", first, last);
  else
    prg_buf_addf(&b, "set %zu: ", first);
  prg_buf_addf(&b, "%s", prg_error_message(e));
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

static void roll_back(struct my_conn *c) {
  my_do_sql(c, rollback_sql, sizeof rollback_sql - 1, after_rollback);
}

/* With run.error set. In a transaction of the owner's what was done stays. */
static void fail_batch(struct my_conn *c) {
  name_set(c);
  if (c->run.own_tx)
    roll_back(c);
  else
    my_end(c);
}

/* ---- once more, set by set -------------------------------------------------- */

static void after_again(struct my_conn *c) {
  if (c->rc != 0)
    my_fail(c, NULL);
  else
    run_set(c);
}

/* What a table without transactions has kept must not come twice: then the error is
** told, without its set. */
static void after_undo(struct my_conn *c) {
  struct my_run *r = &c->run;
  if (c->rc != 0 || c->my->warning_count > 0) {
    after_rollback(c);
    return;
  }
  prg_error_unref(r->error);
  r->error = NULL;
  if (r->res != NULL) prg_result_free(&r->res->base);
  r->res = NULL;
  r->set = 0;
  r->affected = 0;
  r->has_last_id = false;
  if (r->own_tx)
    my_do_sql(c, begin_sql, sizeof begin_sql - 1, after_again);
  else
    run_set(c);
}

/* The packet of several sets has failed. False: it stays at that. */
static bool try_again(struct my_conn *c, unsigned code) {
  struct my_run *r = &c->run;
  if (r->sets == 1 || r->req->ghost || code == LOCK_WAIT || code == KILLED ||
      code == TOO_LONG || my_ends_transaction(code, c->rolls_back))
    return false;
  r->bulk = false;
  if (r->own_tx)
    my_do_sql(c, rollback_sql, sizeof rollback_sql - 1, after_undo);
  else
    my_do_sql(c, undo_sql, sizeof undo_sql - 1, after_undo);
  return true;
}

/* The last call has failed. */
static void fail_set(struct my_conn *c, MYSQL_STMT *st) {
  if (my_is_lost(my_errno(c->my, st))) {
    my_broken(c);
    return;
  }
  prg_error_unref(c->run.error); /* of a row before it */
  c->run.error = my_error_new(c->my, st, c->run.req->stmt);
  if (try_again(c, my_errno(c->my, st))) return;
  name_set(c);
  if (!c->run.own_tx)
    my_fail(c, st);
  else if (!my_ask_key(c, roll_back))
    roll_back(c);
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
  c->run.set += c->run.sets;
  if (!my_ask_warnings(c, run_set)) run_set(c);
}

static void after_skip(struct my_conn *c) {
  if (c->rc != 0)
    fail_set(c, c->st);
  else if (c->run.error != NULL)
    fail_batch(c);
  else
    set_over(c);
}

/* A row is counted, and kept where rows are wanted. */
static void take_row(struct my_conn *c) {
  struct my_run *r = &c->run;
  if (r->error == NULL && (!r->req->collect || my_add_row(c))) r->affected++;
}

/* Also rows that nobody wants are read one by one: an error may come after them. */
static void after_fetch(struct my_conn *c) {
  if (c->rc == MYSQL_NO_DATA) {
    my_note_end(c);
    my_skip_results(c, after_skip);
  } else if (c->rc == 0 || c->rc == MYSQL_DATA_TRUNCATED) {
    take_row(c);
    my_fetch(c, after_fetch);
  } else {
    fail_set(c, c->st);
  }
}

/* The rows of all sets go into one result. */
static struct prg_error *collect(struct my_conn *c) {
  struct my_run *r = &c->run;
  struct prg_error *e = my_describe(c);
  if (e == NULL && r->res == NULL) {
    r->res = my_result_new(r->e->plan.desc);
    if (r->res == NULL) e = prg_error_oom();
  }
  if (e == NULL && r->res->base.desc != r->e->plan.desc)
    e = prg_error_new(PRG_K_DATABASE,
                      "the columns have changed during the batch");
  return e;
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
  if (r->sets > 1) my_bulk_over(c);
  if (c->rc != 0) {
    fail_set(c, c->st);
    return;
  }
  if (c->my->field_count == 0) {
    count(r, c->my);
    set_over(c);
    return;
  }
  /* What is told now is not told again. */
  r->error = r->req->collect ? collect(c) : my_describe(c);
  my_fetch(c, after_fetch);
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
    else if (r->saved)
      my_do_sql(c, release_sql, sizeof release_sql - 1, after_commit);
    else
      finish(c);
    return;
  }
  /* The library knows nothing of columns that it was not told of. */
  r->sets = r->bulk && !r->e->changed ? my_bulk_take(c) : 1;
  if (r->sets < 2) r->sets = 1;
  r->error = r->sets > 1 ? my_bulk_execute(c, r->sets, after_execute)
                         : my_execute(c, r->set, after_execute);
  if (r->error != NULL) fail_batch(c);
}

static void after_begin(struct my_conn *c) {
  if (c->rc != 0) {
    my_fail(c, NULL);
    return;
  }
  c->run.own_tx = !c->run.was_tx;
  c->run.saved = c->run.was_tx;
  run_set(c);
}

static void start(struct my_conn *c) {
  struct my_run *r = &c->run;
  r->bulk = r->req->nsets >= BULK_SETS && my_bulk_can(c);
  if (!r->was_tx)
    my_do_sql(c, begin_sql, sizeof begin_sql - 1, after_begin);
  else if (r->bulk)
    my_do_sql(c, save_sql, sizeof save_sql - 1, after_begin);
  else
    run_set(c);
}

void my_batch_begin(struct my_conn *c) {
  my_prepare(c, start);
}
