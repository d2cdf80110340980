#include "driver/postgres/pg_int.h"

#include <string.h>

#include "base/mem.h"

/* So many notices are told in one step; of the others only how many they were. */
enum { MAX_NOTICES = 512 };

/* ---- notices ------------------------------------------------------------ */

bool pg_is_fatal(const struct prg_wire_fields *f) {
  const char *severity =
      f->of['V'] != NULL ? f->of['V'] : f->of['S']; /* not translated */
  return severity != NULL &&
         (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0);
}

/* The link is on the stack: nobody may be told now. */
void pg_take_notice(struct pg_conn *c, const struct prg_wire_fields *f) {
  struct prg_error *e = pg_error_of(f, NULL);
  if (pg_is_fatal(f)) {
    prg_error_unref(c->fatal);
    c->fatal = e;
    return;
  }
  if (c->notices == NULL)
    c->notices = prg_calloc(MAX_NOTICES, sizeof(struct prg_error *));
  if (c->notices == NULL || c->nnotices == MAX_NOTICES) {
    c->lost_notices++;
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

static void tell_lost(struct pg_conn *c) {
  struct prg_error *e = prg_error_new(PRG_K_USAGE, "notices were dropped");
  if (e == prg_error_oom()) return; /* in another step */
  e->code = c->lost_notices;
  c->lost_notices = 0;
  prg_conn_tell_notice(&c->base, e);
  prg_error_unref(e);
}

static void tell_notices(struct pg_conn *c) {
  for (size_t i = 0; i < c->nnotices; i++)
    prg_conn_tell_notice(&c->base, c->notices[i]);
  pg_drop_notices(c);
  if (c->lost_notices > 0) tell_lost(c);
}

/* ---- runs --------------------------------------------------------------- */

static struct pg_run *run_of(struct prg_link *k) {
  return k == NULL ? NULL : PRG_CONTAINER(k, struct pg_run, link);
}

static struct pg_run *first_of(const struct prg_list *list) {
  return list->count == 0 ? NULL : run_of(list->head.next);
}

/* A run of nothing, in no list; NULL without memory. */
static struct pg_run *run_take(struct pg_conn *c) {
  struct pg_run *r = &c->only;
  if (r->used) r = run_of(prg_list_pop_front(&c->spare));
  if (r == NULL) r = prg_calloc(1, sizeof *r);
  if (r != NULL) r->used = true;
  return r;
}

static void run_release(struct pg_conn *c, struct pg_run *r) {
  r->used = false;
  if (r != &c->only) prg_list_push_back(&c->spare, &r->link);
}

static void free_answers(struct pg_run *r) {
  if (r->result != NULL) prg_result_free(&r->result->base);
  if (r->answer != NULL) prg_result_free(&r->answer->base);
  if (r->first != NULL) prg_result_free(r->first);
}

/* Nearly always there is an entry and a plan, and nothing else. */
void pg_run_fini(struct pg_conn *c) {
  struct pg_run *r = c->run;
  if (r->loose) pg_cache_close(&c->cache, r->entry->id);
  pg_entry_unref(r->entry);
  pg_plan_unref(r->plan);
  free_answers(r);
  if (r->copied != NULL) pg_copied_free(r->copied);
  pg_head_unref(r->described);
  if (r->unknown != NULL) prg_free(r->unknown);
  if (r->error != NULL) prg_error_unref(r->error);
  if (r->x.error != NULL) prg_error_unref(r->x.error);
  memset(&r->x, 0, sizeof *r - offsetof(struct pg_run, x));
}

static void drop_list(struct pg_conn *c, struct prg_list *list) {
  struct prg_link *k;
  while ((k = prg_list_pop_front(list)) != NULL) {
    c->run = run_of(k);
    pg_run_fini(c);
    if (c->run != &c->only) prg_free(c->run);
  }
}

void pg_runs_fini(struct pg_conn *c) {
  if (!prg_link_linked(&c->run->link)) { /* between two of its exchanges */
    pg_run_fini(c);
    if (c->run != &c->only) prg_free(c->run);
  }
  drop_list(c, &c->flight);
  drop_list(c, &c->waiting);
  drop_list(c, &c->spare);
  c->run = &c->only;
}

/* ---- ending ------------------------------------------------------------- */

struct prg_error *pg_take_error(struct pg_conn *c) {
  struct prg_error *e = c->run->x.error;
  c->run->x.error = NULL;
  return e;
}

static void unlist(struct pg_conn *c, struct pg_run *r) {
  if (!prg_link_linked(&r->link)) return;
  prg_list_remove(r->x.active ? &c->flight : &c->waiting, &r->link);
}

int pg_finish(struct pg_conn *c, struct prg_result *r, struct prg_error *e) {
  struct pg_run *run = c->run;
  struct prg_req *req = run->req;
  unlist(c, run);
  run->req = NULL;
  run->state = NULL;
  pg_run_fini(c);
  if (run->used) run_release(c, run);
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

/* The reason that says most: what the server said last, else what the link
** saw. */
static struct prg_error *loss_reason(struct pg_conn *c) {
  struct prg_error *e = c->run->x.error;
  if (e != NULL && e->kind == PRG_K_CLOSED) return pg_take_error(c);
  if (c->fatal != NULL) return prg_error_ref(c->fatal);
  e = c->link->why(c);
  if (e != prg_error_oom()) e->sent = c->run->x.active;
  return e;
}

int pg_lose(struct pg_conn *c, struct prg_error *error) {
  struct prg_error *e = error != NULL ? error : loss_reason(c);
  prg_error_unref(pg_take_error(c));
  if (c->base.error == NULL) c->base.error = prg_error_ref(e);
  pg_finish(c, NULL, e);
  return PRG_ERR;
}

/* ---- an exchange -------------------------------------------------------- */

static void begin(struct pg_conn *c, bool pipeline,
                  void (*on_result)(struct pg_conn *, struct pg_answer *),
                  int (*on_end)(struct pg_conn *)) {
  struct pg_run *r = c->run;
  unlist(c, r);
  if (r->x.error != NULL) prg_error_unref(r->x.error);
  memset(&r->x, 0, sizeof r->x);
  r->x.active = true;
  r->x.pipeline = pipeline;
  r->x.on_result = on_result;
  r->x.on_end = on_end;
  prg_list_push_back(&c->flight, &r->link);
}

void pg_exchange_begin(struct pg_conn *c,
                       void (*on_result)(struct pg_conn *, struct pg_answer *),
                       int (*on_end)(struct pg_conn *)) {
  begin(c, false, on_result, on_end);
}

int pg_pipeline_begin(struct pg_conn *c,
                      void (*on_result)(struct pg_conn *, struct pg_answer *),
                      int (*on_end)(struct pg_conn *)) {
  begin(c, true, on_result, on_end);
  return c->link->begin(c);
}

int pg_exchange_query(struct pg_conn *c, const char *sql,
                      void (*on_result)(struct pg_conn *, struct pg_answer *),
                      int (*on_end)(struct pg_conn *)) {
  begin(c, false, on_result, on_end);
  return c->link->query(c, sql, strlen(sql));
}

/* The tests of "25P02 with its cause" and of retries depend on this. */
static void note_tx(struct pg_conn *c, enum prg_tx tx) {
  c->base.tx = tx;
  if (tx != PRG_TX_FAILED) {
    if (c->abort_cause != NULL) prg_error_unref(c->abort_cause);
    c->abort_cause = NULL;
  } else if (c->abort_cause == NULL && c->run->x.error != NULL) {
    c->abort_cause = prg_error_ref(c->run->x.error);
  }
}

void pg_exchange_ended(struct pg_conn *c, enum prg_tx tx) {
  unlist(c, c->run);
  c->run->x.active = false;
  c->recancel = PRG_NEVER;
  note_tx(c, tx);
}

/* The first error of the exchange. Errors of the DEALLOCATEs in front of a
** Parse do not count: what they should do is done already. */
void pg_take_failure(struct pg_conn *c, const struct prg_wire_fields *f) {
  struct pg_run *r = c->run;
  const char *where = f->of['R'];
  bool prelude = r->preluding;
  r->preluding = false;
  if (r->x.error != NULL || (r->x.ended < r->nclosing && !prelude)) return;
  const struct prg_stmt *stmt = r->req == NULL ? NULL
                                : prelude      ? r->req->prelude
                                               : r->req->stmt;
  struct prg_error *e = pg_error_of(f, stmt);
  if (prelude && e != prg_error_oom()) prg_error_set(e, PRG_EF_SQL, stmt->sql);
  if (e->kind == PRG_K_ABORTED && e != prg_error_oom())
    e->cause = prg_error_ref(c->abort_cause);
  r->x.error = e;
  r->x.failed = r->x.ended;
  r->x.revalidate =
      where != NULL && strcmp(where, "RevalidateCachedQuery") == 0;
}

void pg_refuse_copy(struct pg_conn *c) {
  if (c->run->x.error == NULL)
    c->run->x.error = prg_error_new(
        PRG_K_UNSUPPORTED, "COPY from or to the client cannot be sent here");
}

/* A stream whose owner has not asked for more: the socket is left alone, which
** in the end stops the server. (Of a COPY to the server the owner has to give
** more, and what the server has to say meanwhile is heard.) */
static bool is_paused(const struct pg_conn *c) {
  const struct pg_run *r = first_of(&c->flight);
  return r != NULL && r->req != NULL && r->req->state == PRG_REQ_PAUSED &&
         r->req->kind != PRG_REQ_COPY_IN;
}

/* May c->run send more? */
static bool has_room(const struct pg_conn *c) {
  const struct pg_run *r = c->run;
  return r->x.on_room != NULL && !c->want_write && r->req != NULL &&
         r->req->state != PRG_REQ_PAUSED;
}

/* Has everything that was sent so far been answered? */
static bool is_even(const struct pg_exchange *x) {
  return x->pipeline && x->ended == x->sent && x->syncs == 0;
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

/* A run that is not in flight any more and not finished has something to do, or
** was a barrier. */
static int settle(struct pg_conn *c, struct pg_run *r) {
  if (!r->used || r->x.active) return PRG_OK;
  if (r->state == NULL && r->req == NULL) return pg_finish(c, NULL, NULL);
  if (!prg_link_linked(&r->link)) prg_list_push_back(&c->waiting, &r->link);
  return PRG_OK;
}

static int end_of(struct pg_conn *c) {
  struct pg_run *r = c->run;
  if (r->x.garbled) return lose_garbled(c);
  if (r->req != NULL && r->req->ghost) return pg_finish(c, NULL, NULL);
  int rc = r->x.on_end(c);
  return rc == PRG_OK ? settle(c, r) : rc;
}

/* Reads what is there for the first run in flight. PRG_OK: its exchange has
** ended. */
static int pump(struct pg_conn *c) {
  struct pg_exchange *x = &c->run->x;
  if (c->want_write && c->link->flush(c) != PRG_OK) return PRG_ERR;
  if (has_room(c)) {
    if (x->on_room(c) != PRG_OK) return PRG_ERR;
    if (has_room(c)) prg_conn_kick(&c->base);
  }
  while (x->active) {
    if (is_paused(c) || is_even(x)) return PRG_AGAIN;
    int rc = c->link->take(c);
    if (rc != PRG_OK) return rc;
  }
  return end_of(c);
}

/* ---- the loop ----------------------------------------------------------- */

static int (*state_for(const struct prg_req *req))(struct pg_conn *) {
  switch (req->kind) {
    case PRG_REQ_QUERY:
    case PRG_REQ_STREAM:
    case PRG_REQ_BATCH:
      break;
    case PRG_REQ_SCRIPT:
      return pg_script_begin;
    case PRG_REQ_PING:
      return pg_ping_begin;
    case PRG_REQ_RESET:
      return pg_reset_begin;
    case PRG_REQ_COPY_IN:
    case PRG_REQ_COPY_OUT:
      return pg_copy_begin;
  }
  return pg_query_begin;
}

/* May a request be in flight together with others like it? Its owner says so, and
** it leaves the session as it is. */
static bool is_shareable(const struct pg_conn *c, const struct prg_req *req) {
  return req->share && c->base.pipeline > 1 && req->kind == PRG_REQ_QUERY &&
         req->prelude == NULL && (req->stmt->flags & PRG_STMT_ALONE) == 0 &&
         (c->base.tx == PRG_TX_IDLE || c->base.tx == PRG_TX_OPEN) &&
         c->base.config->statement_cache > 0;
}

/* While something is in flight: may the next request go, too? Not while the one
** before it is being prepared, since it may be of the same statement. */
static bool may_join(const struct pg_conn *c) {
  const struct prg_list *queue = &c->base.queue;
  const struct pg_run *last = run_of(c->flight.head.prev);
  if (queue->count == 0 || !last->shared || last->loose ||
      c->flight.count >= c->base.pipeline)
    return false;
  return is_shareable(c, PRG_CONTAINER(queue->head.next, struct prg_req, link));
}

static int take_next(struct pg_conn *c) {
  if (c->base.queue.count == 0) return PRG_AGAIN;
  if (c->flight.count > 0 && !may_join(c)) return PRG_AGAIN;
  struct pg_run *r = run_take(c);
  struct prg_req *req = prg_conn_next(&c->base);
  if (req == NULL) {
    if (r != NULL) run_release(c, r);
    return PRG_AGAIN;
  }
  if (r == NULL) {
    prg_req_finish(req, NULL, prg_error_oom());
    return PRG_OK;
  }
  r->req = req;
  r->state = state_for(req);
  r->shared = is_shareable(c, req);
  prg_list_push_back(&c->waiting, &r->link);
  return PRG_OK;
}

/* A barrier is a run without a request. */
static int begin_barrier(struct pg_conn *c) {
  if (c->flight.count > 0) return PRG_AGAIN;
  struct pg_run *r = run_take(c);
  if (r == NULL) return pg_lose(c, prg_error_oom());
  c->run = r;
  return pg_barrier_begin(c);
}

/* Does the next thing that needs nothing to be read. PRG_AGAIN: there is none. */
static int send_next(struct pg_conn *c) {
  struct pg_run *r = first_of(&c->waiting);
  if (c->cancelling != NULL) return PRG_AGAIN; /* it might hit what is sent */
  if (c->barrier) return begin_barrier(c);
  if (r == NULL) return take_next(c);
  if (!r->shared && c->flight.count > 0) return PRG_AGAIN;
  c->run = r;
  if (r->req->ghost) return pg_finish(c, NULL, NULL);
  int rc = r->state(c);
  return rc == PRG_OK ? settle(c, r) : rc;
}

static int advance(struct pg_conn *c) {
  for (;;) {
    int rc = PRG_AGAIN;
    if (c->base.state != PRG_CONN_READY || c->base.error != NULL)
      return PRG_AGAIN; /* closed by its owner meanwhile */
    if (c->flight.count > 0) {
      c->run = first_of(&c->flight);
      rc = pump(c);
    }
    if (rc == PRG_AGAIN) rc = send_next(c);
    if (rc != PRG_OK) return rc;
  }
}

static int take_input(struct pg_conn *c, unsigned ready) {
  if ((ready & (PRG_READ | PRG_HANGUP)) == 0 || is_paused(c)) return PRG_OK;
  if (c->flight.count == 0) return c->link->read_idle(c);
  c->run = first_of(&c->flight);
  return c->link->read(c);
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
  w->events = PRG_READ | (c->want_write ? PRG_WRITE : 0u);
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

void pg_on_tick(struct prg_post *p) {
  struct pg_conn *c = PRG_CONTAINER(p, struct pg_conn, tick);
  c->ticking = true;
  prg_conn_step(&c->base, 0);
}

/* What was written in this step goes together. With others in flight the server
** has something to do, and what more is submitted in the hub's turn may go along
** with it. */
static int end_step(struct pg_conn *c) {
  bool later = c->flight.count > 1 && !c->ticking && !c->want_write;
  if (c->flight.count == 0) return c->link->rest(c);
  c->run = first_of(&c->flight);
  if (later && c->link->may_wait(c)) {
    prg_hub_post(c->base.hub, &c->tick);
    return PRG_OK;
  }
  c->ticking = false;
  if (c->link->flush(c) != PRG_OK) return PRG_ERR;
  if (has_room(c)) prg_conn_kick(&c->base); /* the socket has taken the rest */
  return PRG_OK;
}

int pg_step(struct prg_conn *base, unsigned ready, struct prg_wait *w) {
  struct pg_conn *c = pg_of(base);
  if (base->state == PRG_CONN_CONNECTING) return step_connecting(c, w);
  int rc = take_input(c, ready);
  if (rc == PRG_OK) rc = check_timers(c);
  if (rc == PRG_OK) rc = advance(c);
  if (rc == PRG_AGAIN && base->error == NULL && base->state == PRG_CONN_READY)
    rc = end_step(c);
  if (c->nnotices > 0 || c->lost_notices > 0) tell_notices(c);
  if (c->notifies.count > 0) pg_tell_notifies(c);
  fill_wait(c, ready, w);
  return rc;
}
