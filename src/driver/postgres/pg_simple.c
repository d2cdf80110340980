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

static void ignore(struct pg_conn *c, PGresult *res) {
  (void)c;
  PQclear(res);
}

/* ---- scripts ------------------------------------------------------------ */

static void fail_script(struct pg_conn *c) {
  if (c->run.error == NULL) c->run.error = prg_error_oom();
}

static struct pg_result *as_result(struct prg_result *r) {
  return (struct pg_result *)(void *)r;
}

static void on_statement(struct pg_conn *c, PGresult *res) {
  struct pg_run *r = &c->run;
  struct pg_result *out = r->error == NULL ? pg_result_new() : NULL;
  if (out == NULL) {
    PQclear(res);
    fail_script(c);
    return;
  }
  pg_result_tag(&out->base, res);
  pg_note_tag(c, out->base.tag);
  if (r->first == NULL)
    r->first = &out->base;
  else
    r->last->next = &out->base;
  r->last = &out->base;
  if (PQnfields(res) == 0)
    PQclear(res);
  else if (pg_learn_add(c, res) != PRG_OK || pg_result_add(out, res) != PRG_OK)
    fail_script(c);
}

static int plan_one(struct pg_conn *c, struct pg_result *r) {
  if (r->nparts == 0) return PRG_OK;
  struct pg_plan *p = pg_plan_new(pg_shared_of(c), r->parts[0], PG_TEXT_FORMAT);
  if (p == NULL) return PRG_ERR;
  int rc = pg_result_plan(r, p);
  pg_plan_unref(p);
  return rc;
}

static int finish_script(struct pg_conn *c) {
  struct prg_result *first = c->run.first;
  for (struct prg_result *r = first; r != NULL; r = r->next)
    if (plan_one(c, as_result(r)) != PRG_OK)
      return pg_finish(c, NULL, prg_error_oom());
  c->run.first = NULL;
  return pg_finish(c, first, NULL);
}

static int after_script(struct pg_conn *c) {
  struct pg_run *r = &c->run;
  struct prg_error *e = pg_take_error(c);
  if (e == NULL) {
    e = r->error;
    r->error = NULL;
  }
  return e != NULL ? pg_finish(c, NULL, e) : pg_learn(c, finish_script);
}

int pg_script_begin(struct pg_conn *c) {
  struct prg_error *e = pg_refuse(c->req);
  if (e != NULL) return pg_finish(c, NULL, e);
  return pg_exchange_begin(c, PQsendQuery(c->pg, c->req->stmt->sql),
                           on_statement, after_script);
}

/* ---- round trips -------------------------------------------------------- */

static int after_all(struct pg_conn *c) {
  struct prg_error *e = pg_take_error(c);
  struct pg_result *out = e == NULL ? pg_result_new() : NULL;
  if (out == NULL) return pg_finish(c, NULL, e == NULL ? prg_error_oom() : e);
  return pg_finish(c, &out->base, NULL);
}

int pg_ping_begin(struct pg_conn *c) {
  return pg_exchange_begin(c, PQsendQuery(c->pg, ""), ignore, after_all);
}

static int after_deallocate(struct pg_conn *c) {
  struct prg_error *e = pg_take_error(c);
  if (e != NULL) return pg_finish(c, NULL, e);
  pg_cache_clear(&c->cache);
  c->prepared = false;
  return pg_exchange_begin(c, PQsendQuery(c->pg, reset_sql), ignore, after_all);
}

static int send_reset(struct pg_conn *c) {
  if (c->prepared)
    return pg_exchange_begin(c, PQsendQuery(c->pg, "DEALLOCATE ALL"), ignore,
                             after_deallocate);
  return pg_exchange_begin(c, PQsendQuery(c->pg, reset_sql), ignore, after_all);
}

static int after_rollback(struct pg_conn *c) {
  struct prg_error *e = pg_take_error(c);
  if (e != NULL) return pg_finish(c, NULL, e);
  c->state = send_reset;
  return PRG_OK;
}

/* The ROLLBACK goes alone: in one message with the rest, the rest would run in
** the transaction that it ends. */
int pg_reset_begin(struct pg_conn *c) {
  if (PQtransactionStatus(c->pg) == PQTRANS_IDLE) return send_reset(c);
  return pg_exchange_begin(c, PQsendQuery(c->pg, "ROLLBACK"), ignore,
                           after_rollback);
}

/* ---- the barrier -------------------------------------------------------- */

/* A cancel that was on its way for longer than the query hits this, and the
** next query is safe. */
static int after_barrier(struct pg_conn *c) {
  prg_error_unref(pg_take_error(c));
  return PRG_OK;
}

int pg_barrier_begin(struct pg_conn *c) {
  c->barrier = false;
  return pg_exchange_begin(c, PQsendQuery(c->pg, ""), ignore, after_barrier);
}
