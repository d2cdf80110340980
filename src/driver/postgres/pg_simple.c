#include "driver/postgres/pg_int.h"

#include "base/mem.h"

/* Everything back to what it was after connecting, but for the prepared
** statements, which are ours (they go when the user has prepared some, too). As DISCARD ALL does it (manual, DISCARD), in an
** order in which no step undoes another. RESET ALL gives the server's own
** styles back, and the decoders of texts need these. */
static const char reset_sql[] =
    "SELECT pg_catalog.pg_advisory_unlock_all();"
    "CLOSE ALL;"
    "UNLISTEN *;"
    "RESET SESSION AUTHORIZATION;"
    "RESET ALL;"
    "DISCARD TEMP;"
    "DISCARD SEQUENCES;"
    "SET DateStyle = 'ISO, MDY';"
    "SET IntervalStyle = 'postgres'";

static void ignore(struct pg_conn *c, struct pg_answer *a) {
  (void)c;
  (void)a;
}

/* ---- scripts ------------------------------------------------------------ */

static void fail_script(struct pg_conn *c) {
  if (c->run->error == NULL) c->run->error = prg_error_oom();
}

static struct pg_result *as_result(struct prg_result *r) {
  return (struct pg_result *)(void *)r;
}

/* A statement's result is the last of the chain once it has a tag. */
static void on_statement(struct pg_conn *c, struct pg_answer *a) {
  struct pg_run *r = c->run;
  if (r->error == NULL && r->result == NULL) r->result = pg_result_new();
  struct pg_result *out = r->result;
  if (out == NULL) {
    fail_script(c);
    return;
  }
  bool rows = a->nrows > 0 || pg_cols_count(a->cols) > 0;
  if (rows && pg_result_add(out, a) != PRG_OK) fail_script(c);
  if (!a->end) return;
  pg_result_tag(&out->base, a);
  pg_note_tag(c, out->base.tag);
  if (pg_learn_add(c, pg_result_cols(out)) != PRG_OK) fail_script(c);
  if (r->first == NULL)
    r->first = &out->base;
  else
    r->last->next = &out->base;
  r->last = &out->base;
  r->result = NULL;
}

static int plan_one(struct pg_conn *c, struct pg_result *r) {
  struct pg_cols cols = pg_result_cols(r);
  if (pg_cols_count(cols) == 0) return PRG_OK;
  struct pg_plan *p = pg_plan_new(pg_shared_of(c), cols, PG_TEXT_FORMAT);
  if (p == NULL) return PRG_ERR;
  int rc = pg_result_plan(r, p);
  pg_plan_unref(p);
  return rc;
}

static int finish_script(struct pg_conn *c) {
  struct prg_result *first = c->run->first;
  for (struct prg_result *r = first; r != NULL; r = r->next)
    if (plan_one(c, as_result(r)) != PRG_OK)
      return pg_finish(c, NULL, prg_error_oom());
  c->run->first = NULL;
  return pg_finish(c, first, NULL);
}

static int after_script(struct pg_conn *c) {
  struct pg_run *r = c->run;
  struct prg_error *e = pg_take_error(c);
  if (e == NULL) {
    e = r->error;
    r->error = NULL;
  }
  return e != NULL ? pg_finish(c, NULL, e) : pg_learn(c, finish_script);
}

int pg_script_begin(struct pg_conn *c) {
  struct prg_error *e = pg_refuse(c->run->req);
  if (e != NULL) return pg_finish(c, NULL, e);
  return pg_exchange_query(c, c->run->req->stmt->sql, on_statement,
                           after_script);
}

/* ---- round trips -------------------------------------------------------- */

static int after_all(struct pg_conn *c) {
  struct prg_error *e = pg_take_error(c);
  struct pg_result *out = e == NULL ? pg_result_new() : NULL;
  if (out == NULL) return pg_finish(c, NULL, e == NULL ? prg_error_oom() : e);
  return pg_finish(c, &out->base, NULL);
}

int pg_ping_begin(struct pg_conn *c) {
  return pg_exchange_query(c, "", ignore, after_all);
}

static int after_deallocate(struct pg_conn *c) {
  struct prg_error *e = pg_take_error(c);
  if (e != NULL) return pg_finish(c, NULL, e);
  pg_cache_clear(&c->cache);
  c->prepared = false;
  return pg_exchange_query(c, reset_sql, ignore, after_all);
}

static int send_reset(struct pg_conn *c) {
  if (c->prepared)
    return pg_exchange_query(c, "DEALLOCATE ALL", ignore, after_deallocate);
  return pg_exchange_query(c, reset_sql, ignore, after_all);
}

static int after_rollback(struct pg_conn *c) {
  struct prg_error *e = pg_take_error(c);
  if (e != NULL) return pg_finish(c, NULL, e);
  c->run->state = send_reset;
  return PRG_OK;
}

/* The ROLLBACK goes alone: in one message with the rest, the rest would run in
** the transaction that it ends. */
int pg_reset_begin(struct pg_conn *c) {
  if (c->base.tx == PRG_TX_IDLE) return send_reset(c);
  return pg_exchange_query(c, "ROLLBACK", ignore, after_rollback);
}

/* ---- the barrier -------------------------------------------------------- */

/* A cancel that was on its way for longer than the query hits this, and the
** next query is safe. */
static int after_barrier(struct pg_conn *c) {
  prg_error_unref(pg_take_error(c));
  c->stray = false;
  return PRG_OK;
}

int pg_barrier_begin(struct pg_conn *c) {
  c->barrier = false;
  return pg_exchange_query(c, "", ignore, after_barrier);
}
