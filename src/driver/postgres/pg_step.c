#include "driver/postgres/pg_int.h"

#include <poll.h>
#include <string.h>

#include "base/mem.h"

/* So many notices fit into libpq's buffer, that is into one step. */
enum { MAX_NOTICES = 512, TLS_READS = 8, MAX_IDLE_READS = 4 };

/* ---- notices ------------------------------------------------------------ */

/* libpq is on the stack: nobody may be told now. */
void pg_on_notice(void *arg, const PGresult *res) {
  struct pg_conn *c = arg;
  const char *severity = PQresultErrorField(res, PG_DIAG_SEVERITY_NONLOCALIZED);
  if (c == NULL) return;
  struct prg_error *e = pg_error_of(res, NULL);
  if (severity != NULL &&
      (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0)) {
    prg_error_unref(c->fatal);
    c->fatal = e;
    return;
  }
  if (c->notices == NULL)
    c->notices = prg_calloc(MAX_NOTICES, sizeof(struct prg_error *));
  if (c->notices == NULL || c->nnotices == MAX_NOTICES) {
    prg_error_unref(e);
    return;
  }
  c->notices[c->nnotices++] = e;
}

void pg_drop_notices(struct pg_conn *c) {
  for (size_t i = 0; i < c->nnotices; i++) prg_error_unref(c->notices[i]);
  c->nnotices = 0;
  prg_free(c->notices);
  c->notices = NULL;
}

static void tell_notices(struct pg_conn *c) {
  for (size_t i = 0; i < c->nnotices; i++)
    prg_conn_tell_notice(&c->base, c->notices[i]);
  pg_drop_notices(c);
}

static void drain_notifications(struct pg_conn *c) {
  PGnotify *n;
  while ((n = PQnotifies(c->pg)) != NULL) PQfreemem(n);
}

/* ---- ending ------------------------------------------------------------- */

void pg_run_fini(struct pg_conn *c) {
  struct pg_run *r = &c->run;
  if (r->loose) {
    pg_cache_close(&c->cache, r->entry->id);
    pg_entry_free(r->entry);
  }
  pg_plan_unref(r->plan);
  if (r->result != NULL) prg_result_free(&r->result->base);
  prg_result_free(r->first);
  if (r->described != NULL) PQclear(r->described);
  prg_free(r->unknown);
  prg_error_unref(r->error);
  memset(r, 0, sizeof *r);
}

struct prg_error *pg_take_error(struct pg_conn *c) {
  struct prg_error *e = c->x.error;
  c->x.error = NULL;
  return e;
}

int pg_finish(struct pg_conn *c, struct prg_result *r, struct prg_error *e) {
  struct prg_req *req = c->req;
  c->req = NULL;
  c->state = NULL;
  pg_run_fini(c);
  if (req == NULL) { /* nothing was asked for: a barrier */
    prg_result_free(r);
    prg_error_unref(e);
    return PRG_OK;
  }
  if (e != NULL && req->stmt != NULL && e->field[PRG_EF_SQL] == NULL)
    prg_error_set(e, PRG_EF_SQL, req->stmt->sql);
  prg_req_finish(req, r, e);
  return PRG_OK;
}

/* The reason that says most: what the server said last, else what libpq saw. */
static struct prg_error *loss_reason(struct pg_conn *c) {
  struct prg_error *e = c->x.error;
  if (e != NULL && e->kind == PRG_K_CLOSED) return pg_take_error(c);
  if (c->fatal != NULL) return prg_error_ref(c->fatal);
  e = pg_error_closed(c->pg);
  if (e != prg_error_oom()) e->sent = c->x.active;
  return e;
}

int pg_lose(struct pg_conn *c, struct prg_error *error) {
  struct prg_error *e = error != NULL ? error : loss_reason(c);
  prg_error_unref(pg_take_error(c));
  c->x.active = false;
  if (c->base.error == NULL) c->base.error = prg_error_ref(e);
  pg_finish(c, NULL, e);
  return PRG_ERR;
}

/* ---- beginning an exchange ---------------------------------------------- */

int pg_flush(struct pg_conn *c) {
  int rc = PQflush(c->pg);
  c->x.want_write = rc > 0;
  return rc < 0 ? pg_lose(c, NULL) : PRG_OK;
}

static void begin(struct pg_conn *c, bool pipeline,
                  void (*on_result)(struct pg_conn *, PGresult *),
                  int (*on_end)(struct pg_conn *)) {
  prg_error_unref(c->x.error);
  memset(&c->x, 0, sizeof c->x);
  c->x.active = true;
  c->x.pipeline = pipeline;
  c->x.on_result = on_result;
  c->x.on_end = on_end;
}

int pg_exchange_begin(struct pg_conn *c, int ok,
                      void (*on_result)(struct pg_conn *, PGresult *),
                      int (*on_end)(struct pg_conn *)) {
  begin(c, false, on_result, on_end);
  return ok ? pg_flush(c) : pg_lose(c, NULL);
}

int pg_pipeline_begin(struct pg_conn *c,
                      void (*on_result)(struct pg_conn *, PGresult *),
                      int (*on_end)(struct pg_conn *)) {
  begin(c, true, on_result, on_end);
  return PQenterPipelineMode(c->pg) ? PRG_OK : pg_lose(c, NULL);
}

int pg_pipeline_sent(struct pg_conn *c, int ok) {
  if (!ok) return pg_lose(c, NULL);
  c->x.sent++;
  return PRG_OK;
}

int pg_pipeline_sync(struct pg_conn *c) {
  if (!PQpipelineSync(c->pg)) return pg_lose(c, NULL);
  c->x.syncs++;
  return pg_flush(c);
}

/* ---- reading an exchange ------------------------------------------------ */

static bool is_lost(const struct pg_conn *c) {
  return PQstatus(c->pg) == CONNECTION_BAD;
}

/* A stream whose owner has not asked for more: the socket is left alone, which
** in the end stops the server. */
static bool is_paused(const struct pg_conn *c) {
  return c->req != NULL && c->req->state == PRG_REQ_PAUSED;
}

/* The tests of "25P02 with its cause" and of retries depend on this. */
static void note_tx(struct pg_conn *c) {
  enum prg_tx tx = PRG_TX_UNKNOWN;
  switch (PQtransactionStatus(c->pg)) {
    case PQTRANS_IDLE:
      tx = PRG_TX_IDLE;
      break;
    case PQTRANS_INTRANS:
      tx = PRG_TX_OPEN;
      break;
    case PQTRANS_INERROR:
      tx = PRG_TX_FAILED;
      break;
    case PQTRANS_ACTIVE:
    case PQTRANS_UNKNOWN:
      break;
  }
  c->base.tx = tx;
  if (tx != PRG_TX_FAILED) {
    prg_error_unref(c->abort_cause);
    c->abort_cause = NULL;
  } else if (c->abort_cause == NULL && c->x.error != NULL) {
    c->abort_cause = prg_error_ref(c->x.error);
  }
}

static void end_exchange(struct pg_conn *c) {
  c->x.active = false;
  c->recancel = PRG_NEVER;
  note_tx(c);
  drain_notifications(c);
}

/* The first error of the exchange. Errors of the DEALLOCATEs in front of a
** Parse do not count: what they should do is done already. */
static void take_error(struct pg_conn *c, PGresult *res) {
  if (PQresultErrorField(res, PG_DIAG_SQLSTATE) == NULL && !is_lost(c))
    c->x.garbled = true; /* libpq's own words */
  const char *where = PQresultErrorField(res, PG_DIAG_SOURCE_FUNCTION);
  if (c->x.error == NULL && c->x.ended >= c->run.nclosing) {
    struct prg_error *e =
        pg_error_of(res, c->req == NULL ? NULL : c->req->stmt);
    if (e->kind == PRG_K_ABORTED && e != prg_error_oom())
      e->cause = prg_error_ref(c->abort_cause);
    c->x.error = e;
    c->x.failed = c->x.ended;
    c->x.revalidate =
        where != NULL && strcmp(where, "RevalidateCachedQuery") == 0;
  }
  PQclear(res);
}

static int take_copy(struct pg_conn *c, PGresult *res) {
  ExecStatusType st = PQresultStatus(res);
  PQclear(res);
  if (c->x.error == NULL)
    c->x.error = prg_error_new(
        PRG_K_UNSUPPORTED, "COPY from or to the client cannot be sent here");
  if (st == PGRES_COPY_OUT && !c->x.pipeline) {
    c->x.copying = true;
    return PRG_OK;
  }
  if (st == PGRES_COPY_IN && !c->x.pipeline &&
      PQputCopyEnd(c->pg, "not supported") >= 0)
    return pg_flush(c);
  return pg_lose(c, pg_take_error(c));
}

/* Throws away what a COPY sends. PRG_AGAIN: more will come. */
static int skip_copy(struct pg_conn *c) {
  char *line;
  int n;
  while ((n = PQgetCopyData(c->pg, &line, 1)) > 0) PQfreemem(line);
  if (n == 0) return PRG_AGAIN;
  c->x.copying = false;
  return PRG_OK;
}

static int take_sync(struct pg_conn *c) {
  if (--c->x.syncs > 0) return PRG_OK;
  if (!PQexitPipelineMode(c->pg)) return pg_lose(c, NULL);
  end_exchange(c);
  return PRG_OK;
}

static int take_null(struct pg_conn *c) {
  if (is_lost(c)) return pg_lose(c, NULL);
  if (c->x.pipeline)
    c->x.ended++;
  else
    end_exchange(c);
  return PRG_OK;
}

static int take_result(struct pg_conn *c, PGresult *res) {
  switch (PQresultStatus(res)) {
    case PGRES_PIPELINE_SYNC:
      PQclear(res);
      return take_sync(c);
    case PGRES_PIPELINE_ABORTED:
      PQclear(res);
      return PRG_OK;
    case PGRES_COPY_IN:
    case PGRES_COPY_OUT:
    case PGRES_COPY_BOTH:
      return take_copy(c, res);
    case PGRES_FATAL_ERROR:
    case PGRES_BAD_RESPONSE:
    case PGRES_NONFATAL_ERROR:
      take_error(c, res);
      /* In pipeline mode a lost connection never comes to its Sync. */
      return is_lost(c) && c->x.pipeline ? pg_lose(c, NULL) : PRG_OK;
    default:
      c->x.on_result(c, res);
      return PRG_OK;
  }
}

/* Has everything that was sent so far been answered? PQgetResult must not be
** asked then. */
static bool is_even(const struct pg_exchange *x) {
  return x->pipeline && x->ended == x->sent && x->syncs == 0;
}

/* Is there nothing to be taken before the socket becomes readable? What OpenSSL
** has decrypted but libpq's buffer had no room for does not make it so, hence
** another read once the socket is empty. */
static bool must_wait(struct pg_conn *c) {
  struct pollfd p = {.events = POLLIN};
  if (!PQisBusy(c->pg) || is_lost(c)) return false;
  if (!c->half_read) return true;
  p.fd = PQsocket(c->pg);
  for (int i = 0; i < TLS_READS; i++) {
    bool empty = poll(&p, 1, 0) <= 0;
    /* A failure shows in the result. */
    if (!PQconsumeInput(c->pg)) return !is_lost(c);
    c->half_read = !empty;
    if (!PQisBusy(c->pg)) return false;
    if (empty) return true;
  }
  prg_conn_kick(&c->base);
  return true;
}

static int take_one(struct pg_conn *c) {
  if (c->x.copying) {
    int rc = skip_copy(c);
    if (rc != PRG_OK) return is_lost(c) ? pg_lose(c, NULL) : rc;
  }
  if (must_wait(c)) return PRG_AGAIN;
  PGresult *res = PQgetResult(c->pg);
  return res == NULL ? take_null(c) : take_result(c, res);
}

/* libpq goes on after a message that it could not read, but nobody knows what
** was in it. */
static int lose_garbled(struct pg_conn *c) {
  struct prg_error *e = pg_take_error(c);
  if (e != NULL && e != prg_error_oom() && e->sqlstate[0] == '\0') {
    if (e->kind == PRG_K_DATABASE) e->kind = PRG_K_CLOSED;
    memcpy(e->sqlstate, "08P01", sizeof "08P01"); /* protocol violation */
  }
  return pg_lose(c, e);
}

/* Reads what is there. PRG_OK: the exchange has ended. */
static int pump(struct pg_conn *c) {
  struct pg_exchange *x = &c->x;
  if (x->want_write && pg_flush(c) != PRG_OK) return PRG_ERR;
  if (x->on_room != NULL && !x->want_write) {
    if (x->on_room(c) != PRG_OK) return PRG_ERR;
    if (x->on_room != NULL && !x->want_write) prg_conn_kick(&c->base);
  }
  while (x->active) {
    if (is_paused(c) || is_even(x)) return PRG_AGAIN;
    int rc = take_one(c);
    if (rc != PRG_OK) return rc;
  }
  if (x->garbled) return lose_garbled(c);
  if (c->req != NULL && c->req->ghost) return pg_finish(c, NULL, NULL);
  return x->on_end(c);
}

/* ---- the loop ----------------------------------------------------------- */

static bool take_next(struct pg_conn *c) {
  struct prg_req *req = prg_conn_next(&c->base);
  if (req == NULL) return false;
  c->req = req;
  switch (req->kind) {
    case PRG_REQ_QUERY:
    case PRG_REQ_STREAM:
    case PRG_REQ_BATCH:
      c->state = pg_query_begin;
      break;
    case PRG_REQ_SCRIPT:
      c->state = pg_script_begin;
      break;
    case PRG_REQ_PING:
      c->state = pg_ping_begin;
      break;
    case PRG_REQ_RESET:
      c->state = pg_reset_begin;
      break;
  }
  return true;
}

static int advance(struct pg_conn *c) {
  for (;;) {
    int rc;
    if (c->base.state != PRG_CONN_READY || c->base.error != NULL)
      return PRG_AGAIN; /* closed by its owner meanwhile */
    if (c->x.active)
      rc = pump(c);
    else if (c->cancelling != NULL)
      return PRG_AGAIN; /* it might hit what would be sent now */
    else if (c->barrier)
      rc = pg_barrier_begin(c);
    else if (c->state == NULL && !take_next(c))
      return PRG_OK;
    else
      rc = c->req->ghost ? pg_finish(c, NULL, NULL) : c->state(c);
    if (rc != PRG_OK) return rc;
  }
}

static int take_input_busy(struct pg_conn *c) {
  c->half_read = PQsslInUse(c->pg) != 0;
  /* A failure shows in the result. */
  if (!PQconsumeInput(c->pg)) return is_lost(c) ? PRG_OK : pg_lose(c, NULL);
  return PRG_OK;
}

/* Nothing is expected: notices, changed parameters, or the end, which is looked
** for a little further than the last words. A server that does not stop talking
** must not stop the loop. */
static int take_input_idle(struct pg_conn *c) {
  struct pollfd p = {.events = POLLIN};
  int rounds = 0;
  do {
    bool ok = PQconsumeInput(c->pg);
    drain_notifications(c); /* parses, and so finds the server's last words */
    if (!ok || is_lost(c) || c->fatal != NULL) return pg_lose(c, NULL);
    p.fd = PQsocket(c->pg);
  } while (++rounds < MAX_IDLE_READS && poll(&p, 1, 0) > 0);
  return PRG_OK;
}

static int take_input(struct pg_conn *c, unsigned ready) {
  if ((ready & (PRG_READ | PRG_HANGUP)) == 0 || is_paused(c)) return PRG_OK;
  return c->x.active ? take_input_busy(c) : take_input_idle(c);
}

static int check_timers(struct pg_conn *c) {
  if (c->cancelling != NULL && prg_now() >= c->cancel_due)
    return pg_lose(c, prg_error_new(PRG_K_CLOSED,
                                    "a cancel request took longer than 10 s"));
  if (c->recancel != PRG_NEVER && prg_now() >= c->recancel) {
    c->recancel = PRG_NEVER;
    pg_cancel(&c->base);
  }
  return PRG_OK;
}

static void fill_wait(struct pg_conn *c, unsigned ready, struct prg_wait *w) {
  w->fd = PQsocket(c->pg);
  w->events = PRG_READ | (c->x.want_write ? PRG_WRITE : 0u);
  if (is_paused(c)) {
    w->events = 0;
    if (ready & PRG_HANGUP) w->fd = -1; /* seen; the rest is read on resume */
  }
  w->due = c->cancelling != NULL ? c->cancel_due : c->recancel;
}

static int step_connecting(struct pg_conn *c, struct prg_wait *w) {
  w->fd = -1;
  w->events = 0;
  if (c->pg != NULL) {
    w->fd = PQsocket(c->pg);
    w->events = PRG_READ;
    return PRG_OK;
  }
  if (c->connecting != NULL) return PRG_AGAIN;
  return pg_connect_start(c) == PRG_OK ? PRG_AGAIN : PRG_ERR;
}

int pg_step(struct prg_conn *base, unsigned ready, struct prg_wait *w) {
  struct pg_conn *c = pg_of(base);
  if (base->state == PRG_CONN_CONNECTING) return step_connecting(c, w);
  int rc = take_input(c, ready);
  if (rc == PRG_OK) rc = check_timers(c);
  if (rc == PRG_OK) rc = advance(c);
  if (c->nnotices > 0) tell_notices(c);
  fill_wait(c, ready, w);
  return rc;
}
