#include "driver/driver.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/process.h"
#include "driver/driver_int.h"

#define CANCEL_TIME (5 * PRG_SECOND) /* until a ghost must have ended */
#define STEPS_IN_A_ROW 16            /* then other connections have a turn */

/*
** Who is on the stack decides what may happen. Driver code runs with depth > 0,
** but also in its own callbacks (the done() of a job) with depth 0, from where
** it calls prg_conn_step, prg_conn_fail, prg_req_finish or prg_req_deliver. In
** both cases the connection must not be broken or freed under its feet: that is
** left to settle(), which runs when driver code is off the stack, or to a post.
*/

static void set_state(struct prg_conn *c, enum prg_conn_state state) {
  c->state = state;
}

static void tell(struct prg_conn *c, enum prg_event ev) {
  if (c->event == NULL || c->closing) return;
  c->depth++;
  c->event(c, ev);
  c->depth--;
}

bool prg_conn_is_drained(const struct prg_conn *c) {
  return c->queue.count + c->sent.count + c->paused.count == 0;
}

bool prg_conn_is_forked(const struct prg_conn *c) {
  return c->pid != prg_pid();
}

/* ---- ending ------------------------------------------------------------- */

static void stop_waiting(struct prg_conn *c) {
  prg_hub_unwatch(c->hub, &c->watch);
  prg_timer_clear(c->hub, &c->timer);
  prg_timer_clear(c->hub, &c->connect_timer);
  prg_timer_clear(c->hub, &c->cancel_timer);
}

/* While the requests are still listed, so that the driver can free what it
** keeps in their `impl`. */
static void fini_driver(struct prg_conn *c) {
  if (c->finished) return;
  c->finished = true;
  c->driver->fini(c, prg_conn_is_forked(c));
}

static struct prg_error *closed_error(struct prg_conn *c, bool sent) {
  struct prg_error *e =
      prg_error_new(PRG_K_CLOSED, "the connection is closed: %s",
                    prg_error_message(c->error));
  if (e != prg_error_oom()) {
    e->sent = sent;
    e->retryable = !sent;
    e->cause = prg_error_ref(c->error);
    memcpy(e->sqlstate, c->error->sqlstate, sizeof e->sqlstate);
  }
  return e;
}

static void fail_list(struct prg_conn *c, struct prg_list *list, bool sent) {
  struct prg_link *k;
  while ((k = prg_list_first(list)) != NULL) {
    struct prg_req *req = PRG_CONTAINER(k, struct prg_req, link);
    prg__req_end(req, NULL, req->ghost ? NULL : closed_error(c, sent));
  }
}

/* Again and again, because a done() that frees a paused stream moves it. */
static void fail_requests(struct prg_conn *c) {
  while (!prg_conn_is_drained(c)) {
    fail_list(c, &c->sent, true);
    fail_list(c, &c->paused, true);
    fail_list(c, &c->queue, false);
  }
}

static void break_conn(struct prg_conn *c) {
  c->depth++;
  stop_waiting(c);
  set_state(c, PRG_CONN_BROKEN);
  fini_driver(c);
  fail_requests(c);
  tell(c, PRG_EV_BROKEN);
  c->depth--;
}

static void free_conn(struct prg_conn *c) {
  c->depth++; /* an owner's done() may still submit, and is refused */
  stop_waiting(c);
  fini_driver(c);
  fail_requests(c);
  prg_hub_unpost(c->hub, &c->post);
  prg_error_unref(c->error);
  prg_hub_unref(c->hub);
  prg_free(c);
}

/* ---- settling ----------------------------------------------------------- */

/* A driver that takes one request at a time need not hear of the next. */
static bool can_start(const struct prg_conn *c) {
  return c->sent.count == 0 || (c->driver->features & PRG_F_PIPELINE);
}

/* A ghost is the driver's business only while it is the one that runs: before
** that, cancelling would hit a neighbour. */
static void hunt_ghost(struct prg_conn *c) {
  struct prg_req *req = prg_conn_head(c);
  if (req == NULL || !req->ghost || req->told || prg_conn_is_forked(c)) return;
  req->told = true;
  prg_timer_set(c->hub, &c->cancel_timer, prg_now() + CANCEL_TIME);
  if (c->driver->features & PRG_F_CANCEL) {
    c->depth++;
    c->driver->cancel(c);
    c->depth--;
  }
  prg_conn_kick(c); /* a paused one must be read to its end */
}

/* Does what had to wait for the end of a step. With `above`, code of the driver
** called us and goes on afterwards. The connection may be gone on return. */
static void settle(struct prg_conn *c, bool above) {
  if (c->depth > 0) return;
  if (!c->closing && c->state == PRG_CONN_READY && c->error == NULL) {
    hunt_ghost(c);
    if (!c->drained_told && c->error == NULL && prg_conn_is_drained(c)) {
      c->drained_told = true;
      tell(c, PRG_EV_DRAINED);
    }
    /* Submitted by an event or a done() that no step is around. */
    if (c->fresh && can_start(c)) prg_conn_kick(c);
  }
  if (!c->closing && (c->error == NULL || c->state == PRG_CONN_BROKEN)) return;
  if (above) {
    prg_hub_post(c->hub, &c->post);
    return;
  }
  if (!c->closing) break_conn(c);
  if (c->closing) free_conn(c);
}

/* ---- stepping ----------------------------------------------------------- */

static int apply_wait(struct prg_conn *c, const struct prg_wait *w) {
  struct prg_watch *watch = &c->watch;
  if (w->due == PRG_NEVER) {
    prg_timer_clear(c->hub, &c->timer);
  } else if (!prg_timer_is_set(&c->timer) || c->timer.due != w->due) {
    prg_timer_set(c->hub, &c->timer, w->due);
  }
  if (w->fd < 0) {
    prg_hub_unwatch(c->hub, watch);
    watch->fd = -1;
    return PRG_OK;
  }
  /* Only while connecting do client libraries change sockets. */
  if (watch->slot != 0 && watch->fd == w->fd && watch->events == w->events &&
      c->state == PRG_CONN_READY) {
    return PRG_OK;
  }
  return prg_hub_watch(c->hub, watch, w->fd, w->events);
}

static void become_ready(struct prg_conn *c) {
  prg_timer_clear(c->hub, &c->connect_timer);
  set_state(c, PRG_CONN_READY);
  tell(c, PRG_EV_OPENED);
}

/* One call of the driver. Not PRG_OK: the connection is to be given up. */
static int step_once(struct prg_conn *c, unsigned ready, struct prg_wait *w) {
  int rc;
  w->events = PRG_READ;
  w->due = PRG_NEVER;
  rc = c->driver->step(c, ready, w);
  if (rc == PRG_ERR && c->error == NULL) c->error = prg_error_oom();
  if (c->error != NULL || c->closing) return PRG_ERR;
  if (rc == PRG_OK && c->state == PRG_CONN_CONNECTING) become_ready(c);
  return c->error != NULL || c->closing ? PRG_ERR : PRG_OK;
}

static bool wants_step(const struct prg_conn *c) {
  return c->again || (c->fresh && can_start(c));
}

static void run_step(struct prg_conn *c, unsigned ready, bool above) {
  struct prg_wait w = {c->watch.fd, 0, 0};
  int rc, n = 0;
  if (c->depth > 0) {
    c->again = true;
    return;
  }
  if (c->state != PRG_CONN_CONNECTING && c->state != PRG_CONN_READY) return;
  if (prg_conn_is_forked(c)) return;
  c->depth++;
  do {
    c->again = c->fresh = false;
    rc = c->error != NULL || c->closing ? PRG_ERR : step_once(c, ready, &w);
    ready = 0;
    c->now = 0;
  } while (rc == PRG_OK && wants_step(c) && ++n < STEPS_IN_A_ROW);
  if (rc == PRG_OK && wants_step(c)) prg_hub_post(c->hub, &c->post);
  c->again = c->fresh = false;
  if (rc == PRG_OK && apply_wait(c, &w) != PRG_OK) {
    c->error = prg_error_new(PRG_K_CONNECT, "cannot wait for the server: %s",
                             strerror(errno));
  }
  c->depth--;
  settle(c, above);
}

static void on_ready(struct prg_watch *w, unsigned ready) {
  run_step(PRG_CONTAINER(w, struct prg_conn, watch), ready, false);
}

static void on_timer(struct prg_timer *t) {
  run_step(PRG_CONTAINER(t, struct prg_conn, timer), 0, false);
}

static void on_post(struct prg_post *p) {
  struct prg_conn *c = PRG_CONTAINER(p, struct prg_conn, post);
  if (c->closing || c->error != NULL) {
    settle(c, false);
  } else {
    run_step(c, 0, false);
  }
}

static void on_connect_timer(struct prg_timer *t) {
  struct prg_conn *c = PRG_CONTAINER(t, struct prg_conn, connect_timer);
  char text[32];
  if (c->error == NULL) {
    c->error = prg_error_new(PRG_K_TIMEOUT, "connecting took longer than %s",
                             prg__seconds(t->due - c->began, text));
  }
  settle(c, false);
}

static void on_cancel_timer(struct prg_timer *t) {
  struct prg_conn *c = PRG_CONTAINER(t, struct prg_conn, cancel_timer);
  if (c->error == NULL) {
    c->error = prg_error_new(
        PRG_K_CLOSED, "a query that was given up did not end within 5 s");
  }
  settle(c, false);
}

/* ---- for owners --------------------------------------------------------- */

struct prg_conn *prg_conn_new(const struct prg_driver *d,
                              const struct prg_config *cfg, void *shared,
                              struct prg_hub *hub, enum prg_lane lane) {
  struct prg_conn *c = d->conn_new();
  if (c == NULL) return NULL;
  c->driver = d;
  c->config = cfg;
  c->shared = shared;
  c->hub = prg_hub_ref(hub);
  c->lane = lane;
  set_state(c, PRG_CONN_NEW);
  prg_list_init(&c->queue);
  prg_list_init(&c->sent);
  prg_list_init(&c->paused);
  c->pid = prg_pid();
  c->watch.fd = -1;
  c->watch.fn = on_ready;
  c->timer.fn = on_timer;
  c->connect_timer.fn = on_connect_timer;
  c->cancel_timer.fn = on_cancel_timer;
  c->post.fn = on_post;
  c->drained_told = true; /* it never had anything */
  return c;
}

void prg_conn_connect(struct prg_conn *c, int64_t due) {
  set_state(c, PRG_CONN_CONNECTING);
  c->pid = prg_pid();
  c->began = prg_now();
  if (due != PRG_NEVER) prg_timer_set(c->hub, &c->connect_timer, due);
  run_step(c, 0, false);
}

void prg_conn_close(struct prg_conn *c, const char *reason) {
  if (c == NULL || c->closing) return;
  if (c->error == NULL) c->error = prg_error_new(PRG_K_CLOSED, "%s", reason);
  c->closing = true;
  set_state(c, PRG_CONN_CLOSED);
  stop_waiting(c);
  settle(c, false);
}

static bool is_dead(const struct prg_conn *c) {
  return c->state != PRG_CONN_READY || c->error != NULL || c->closing ||
         prg_conn_is_forked(c);
}

static struct prg_error *refusal(struct prg_conn *c) {
  struct prg_error *e;
  if (c->error != NULL) return closed_error(c, false);
  if (prg_conn_is_forked(c))
    return prg_error_new(PRG_K_CLOSED,
                         "the connection is that of the process that this one "
                         "was forked from");
  e = prg_error_new(PRG_K_CLOSED, "the connection is not open yet");
  if (e != prg_error_oom()) e->retryable = true;
  return e;
}

/* Somebody reads or writes a COPY, and what is sent behind it would wait for the
** one who sends it. */
static bool is_copying(struct prg_conn *c) {
  const struct prg_req *req = prg_conn_head(c);
  return req != NULL && req->state == PRG_REQ_PAUSED && req->copy != NULL;
}

static struct prg_error *copying_error(void) {
  return prg_error_new(
      PRG_K_USAGE,
      "a COPY is in progress on this connection: end it first, "
      "or use another connection");
}

void prg_conn_submit(struct prg_conn *c, struct prg_req *req) {
  int64_t now = 0;
  req->conn = c;
  req->in_tx = c->tx != PRG_TX_IDLE;
  req->submitting = true;
  if (req->due != PRG_NEVER) {
    now = req->now != 0 ? req->now : prg_now();
    req->timeout = req->due > now ? req->due - now : 0;
  }
  if (is_dead(c)) {
    prg__req_end(req, NULL, refusal(c));
  } else if (is_copying(c)) {
    prg__req_end(req, NULL, copying_error());
  } else if (req->due <= now) {
    prg__req_end(req, NULL, prg__timeout_error(req, false));
  } else {
    req->state = PRG_REQ_QUEUED;
    prg_list_push_back(&c->queue, &req->link);
    c->drained_told = false;
    if (c->depth > 0) {
      c->fresh = true;
    } else if (can_start(c)) {
      c->now = now;
      run_step(c, 0, false);
    }
    prg__req_submitted(req);
  }
  req->submitting = false;
}

int prg_conn_direct(struct prg_conn *c, struct prg_direct *d) {
  int rc;
  if ((c->driver->features & PRG_F_DIRECT) == 0 || c->depth > 0 || is_dead(c) ||
      !prg_conn_is_drained(c))
    return PRG_AGAIN;
  d->result = NULL;
  d->error = NULL;
  c->depth++;
  rc = c->driver->direct(c, d);
  c->depth--;
  if (c->closing || c->error != NULL) settle(c, false);
  return rc;
}

void prg_req_resume(struct prg_req *req) {
  struct prg_conn *c = req->conn;
  if (req->state == PRG_REQ_DONE && req->error != NULL) {
    prg_result_free(req->result);
    req->result = NULL;
  }
  if (req->state != PRG_REQ_PAUSED) return;
  prg__req_unpause(req);
  req->submitting = true;
  if (req->due != PRG_NEVER && req->due > prg_now()) {
    req->timeout = req->due - prg_now();
  }
  if (c->depth > 0) {
    c->again = true;
  } else {
    run_step(c, 0, false);
  }
  prg__req_submitted(req);
  req->submitting = false;
}

/* What changed outside a step: a queued request went away (no `kick`), or one
** in flight became a ghost. */
void prg__conn_changed(struct prg_conn *c, bool kick) {
  if (kick) prg_conn_kick(c);
  settle(c, false);
}

/* ---- for drivers -------------------------------------------------------- */

struct prg_req *prg_conn_next(struct prg_conn *c) {
  struct prg_link *k = is_dead(c) ? NULL : prg_list_pop_front(&c->queue);
  struct prg_req *req;
  if (k == NULL) return NULL;
  if (c->queue.count == 0) c->fresh = false;
  req = PRG_CONTAINER(k, struct prg_req, link);
  prg_list_push_back(&c->sent, k);
  req->state = PRG_REQ_SENT;
  if (req->stmt != NULL && !req->tidy &&
      (req->stmt->flags & (PRG_STMT_TOUCH | PRG_STMT_SESSION))) {
    c->touched = true;
  }
  return req;
}

struct prg_req *prg_conn_head(struct prg_conn *c) {
  struct prg_link *k = prg_list_first(&c->sent);
  return k == NULL ? NULL : PRG_CONTAINER(k, struct prg_req, link);
}

void prg_req_finish(struct prg_req *req, struct prg_result *result,
                    struct prg_error *error) {
  struct prg_conn *c = req->conn;
  bool inside = c->depth > 0;
  if (req->kind == PRG_REQ_RESET && error == NULL) c->touched = false;
  c->depth++;
  prg__req_end(req, result, error);
  c->depth--;
  /* From a callback of the driver's own: the rest in the next turn. */
  if (!inside) prg_conn_kick(c);
}

void prg_req_deliver(struct prg_req *req, struct prg_result *chunk) {
  struct prg_conn *c = req->conn;
  bool inside = c->depth > 0;
  c->depth++;
  prg__req_deliver(req, chunk);
  c->depth--;
  if (!inside) prg_conn_kick(c);
}

void prg_conn_kick(struct prg_conn *c) {
  if (c->depth > 0) {
    c->again = true;
  } else {
    prg_hub_post(c->hub, &c->post);
  }
}

void prg_conn_step(struct prg_conn *c, unsigned ready) {
  run_step(c, ready, true);
}

void prg_conn_fail(struct prg_conn *c, struct prg_error *error) {
  if (c->error != NULL || c->closing) {
    prg_error_unref(error);
    return;
  }
  c->error = error;
  if (c->depth == 0) prg_hub_post(c->hub, &c->post);
}

void prg_conn_tell_notice(struct prg_conn *c, const struct prg_error *notice) {
  c->notice = notice;
  tell(c, PRG_EV_NOTICE);
  c->notice = NULL;
  settle(c, true);
}

void prg_conn_tell_notify(struct prg_conn *c, const struct prg_notify *notify) {
  c->notify = notify;
  tell(c, PRG_EV_NOTIFY);
  c->notify = NULL;
  settle(c, true);
}
