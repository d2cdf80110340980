#include "pool/pool_int.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/process.h"

#define CLEAN_LIMIT (5 * PRG_SECOND) /* for draining and resetting */
#define CHECK_LIMIT (2 * PRG_SECOND) /* for a ping */
#define LOOK_AFTER (1 * PRG_MS)      /* idle for so long: is it still there? */
#define BACKOFF_FIRST (10 * PRG_MS)
#define BACKOFF_MAX (5 * PRG_SECOND)
/* A waiter learns of a failed connect only after this: a server that restarts
** is not an error of every call in the meantime. */
#define CONNECT_GRACE (500 * PRG_MS)

static void serve(struct lane *l);
static void grow(struct lane *l);

/* ---- small things ------------------------------------------------------- */

static uint64_t next_random(struct prg_pool *p) {
  p->seed ^= p->seed << 13;
  p->seed ^= p->seed >> 7;
  p->seed ^= p->seed << 17;
  return p->seed;
}

/* A time of 90 to 110 % of `t`: connections made together must not end
** together. */
static int64_t jitter(struct prg_pool *p, int64_t t) {
  if (t >= PRG_NEVER / 2) return PRG_NEVER;
  return t - t / 10 + (int64_t)(next_random(p) % (uint64_t)(t / 5 + 1));
}

static int64_t after(int64_t now, int64_t span) {
  return span >= PRG_NEVER - now ? PRG_NEVER : now + span;
}

static void set_state_now(struct prg_slot *s, enum prg_slot_state state) {
  prg__slot_set_state(s, state);
  s->since = prg_now();
}

/* ---- the end of a slot -------------------------------------------------- */

static void forget_borrower(struct prg_slot *s) {
  prg_free((void *)(uintptr_t)s->where);
  s->where = NULL;
  s->holder = NULL;
  s->leased = s->blocked = false;
  if (s->counted) s->pool->leases--;
  s->counted = false;
}

void prg__slot_destroy(struct prg_slot *s, const char *reason) {
  struct prg_pool *p = s->pool;
  struct lane *l = prg__lane_of(p, s->lane);
  if (prg_link_linked(&s->link)) prg_list_remove(prg__slot_list(s), &s->link);
  prg_timer_clear(p->hub, &s->timer);
  if (s->req != NULL) prg_req_free(s->req);
  if (l->connecting == s) l->connecting = NULL;
  if (s->conn != NULL) prg_conn_close(s->conn, reason);
  forget_borrower(s);
  if (s->state != PRG_SLOT_LOST) l->size--;
  prg_free(s);
  p->count.closed++;
  if (p->closing && prg__pool_size(p) == 0)
    prg_hub_post(p->hub, &p->close_post);
}

/* ---- waiters ------------------------------------------------------------ */

/* A holder that waits cannot give its connections back. */
static void mark_blocked(struct prg_pool *p, const void *holder, bool on) {
  struct prg_list *busy = &p->lists[PRG_SLOT_BUSY];
  struct prg_link *k;
  if (holder == NULL) return;
  for (k = prg_list_first(busy); k != NULL; k = prg_list_next(busy, k)) {
    struct prg_slot *s = PRG_CONTAINER(k, struct prg_slot, link);
    if (s->leased && s->holder == holder) s->blocked = on;
  }
}

struct prg_borrow *prg__lane_first(struct lane *l) {
  struct prg_link *k = prg_list_first(&l->waiters);
  struct prg_link *j = prg_list_first(&l->sharers);
  struct prg_borrow *b, *c;
  if (k == NULL) k = j;
  if (k == NULL) return NULL;
  b = PRG_CONTAINER(k, struct prg_borrow, link);
  if (j == NULL) return b;
  c = PRG_CONTAINER(j, struct prg_borrow, link);
  return c->ticket < b->ticket ? c : b;
}

static struct prg_list *queue_of(struct lane *l, const struct prg_borrow *b) {
  return b->shared ? &l->sharers : &l->waiters;
}

void prg__borrow_stop(struct prg_pool *p, struct prg_borrow *b) {
  int64_t waited = prg_now() - b->since;
  prg_list_remove(queue_of(prg__lane_of(p, b->lane), b), &b->link);
  prg_timer_clear(p->hub, &b->timer);
  mark_blocked(p, b->holder, false);
  p->count.wait_total += waited;
  if (waited > p->count.wait_max) p->count.wait_max = waited;
}

void prg__borrow_refuse(struct prg_pool *p, struct prg_borrow *b,
                        struct prg_error *error) {
  prg__borrow_stop(p, b);
  b->error = error;
  if (b != p->asking) b->done(b);
}

/* Lends one that nobody has. */
static void lend(struct prg_slot *s, struct prg_borrow *b) {
  if (b->shared) b->shared = prg__slot_can_share(s);
  prg__slot_set_state(s, b->shared ? PRG_SLOT_SHARED : PRG_SLOT_BUSY);
  s->since = s->since_head = b->since;
  s->nshared = b->shared;
  s->nlocks = b->shared && b->locks;
  s->reserved = false;
  if (!b->shared) {
    s->holder = b->holder;
    s->leased = s->counted = b->leased;
    s->pool->leases += b->leased;
    s->where = b->where != NULL ? prg_strdup(b->where) : NULL;
  }
  b->alone = true;
  b->slot = s;
  s->pool->count.acquired++;
}

/* One that others have, too. More connections are opened meanwhile. */
static void join(struct prg_slot *s, struct prg_borrow *b) {
  struct lane *l = prg__lane_of(s->pool, s->lane);
  s->nshared++;
  s->nlocks += b->locks;
  b->alone = false;
  b->slot = s;
  s->pool->count.acquired++;
  s->pool->count.pipelined++;
  if (l->size < l->max && l->connecting == NULL) {
    l->crowded = true;
    grow(l);
  }
}

static struct prg_error *timeout_error(struct prg_pool *p, struct lane *l,
                                       const struct prg_borrow *b) {
  struct prg_buf holders;
  struct prg_error *e;
  double waited = (double)(prg_now() - b->since) / (double)PRG_SECOND;
  prg_buf_init(&holders, 2048);
  prg_pool_holders(p, &holders);
  if (l->failure != NULL)
    e = prg_error_new(PRG_K_TIMEOUT,
                      "no connection within %.3g s: the last attempt to "
                      "connect failed: %s",
                      waited, prg_error_message(l->failure));
  else
    e = prg_error_new(PRG_K_TIMEOUT,
                      "no connection within %.3g s: all %zu of the pool are "
                      "in use, %zu callers wait",
                      waited, l->size, prg__lane_waiting(l));
  if (l->failure != NULL && e != prg_error_oom())
    e->cause = prg_error_ref(l->failure);
  if (holders.len > 0 && !holders.failed)
    prg_error_set(e, PRG_EF_DETAIL, holders.data);
  prg_error_set(e, PRG_EF_HINT,
                "raise max_size or acquire_timeout, or hold connections for "
                "less time");
  prg_buf_fini(&holders);
  return e;
}

/* One who waited has gone: what was kept for him is for sharers again. */
static void reopen(struct lane *l) {
  if (!l->reserving) return;
  prg__share_balance(l, prg_now());
  serve(l);
}

static void on_wait_over(struct prg_timer *t) {
  struct prg_borrow *b = PRG_CONTAINER(t, struct prg_borrow, timer);
  struct prg_pool *p = b->owner;
  struct lane *l = prg__lane_of(p, b->lane);
  p->count.timeouts++;
  prg__borrow_refuse(p, b, timeout_error(p, l, b));
  reopen(l);
}

/* ---- checking and lending ----------------------------------------------- */

static void finish_check(struct prg_slot *s, bool alive) {
  struct lane *l = prg__lane_of(s->pool, s->lane);
  prg_timer_clear(s->pool->hub, &s->timer);
  prg_req_free(s->req);
  s->req = NULL;
  if (!alive) {
    prg__slot_destroy(s, "did not answer a ping after idling");
    grow(l);
    return;
  }
  set_state_now(s, PRG_SLOT_IDLE);
  serve(l);
}

static void on_ping_done(struct prg_req *req) {
  struct prg_slot *s = req->owner;
  finish_check(s, req->error == NULL);
}

static void on_check_late(struct prg_timer *t) {
  finish_check(PRG_CONTAINER(t, struct prg_slot, timer), false);
}

/* Starts a ping. The slot is CHECKING, or idle again, or destroyed. */
static void start_check(struct prg_slot *s) {
  set_state_now(s, PRG_SLOT_CHECKING);
  s->req = prg_req_new(PRG_REQ_PING, NULL);
  if (s->req == NULL) {
    prg__slot_destroy(s, "no memory for a ping");
    return;
  }
  s->req->done = on_ping_done;
  s->req->owner = s;
  s->timer.fn = on_check_late;
  prg_timer_set(s->pool->hub, &s->timer, prg_now() + CHECK_LIMIT);
  prg_conn_submit(s->conn, s->req);
  if (s->req->state == PRG_REQ_DONE) {
    bool alive = s->req->error == NULL;
    prg_timer_clear(s->pool->hub, &s->timer);
    prg_req_free(s->req);
    s->req = NULL;
    if (alive)
      set_state_now(s, PRG_SLOT_IDLE);
    else
      prg__slot_destroy(s, "did not answer a ping after idling");
  }
}

/* Has something come that the hub has not seen yet? A script that blocks runs
** the hub only while it waits, and a server may have gone in between. */
static bool has_news(const struct prg_slot *s, int64_t now) {
  struct pollfd p = {.fd = s->conn->watch.fd, .events = POLLIN};
  if (now - s->since < LOOK_AFTER || s->conn->watch.slot == 0) return false;
  return poll(&p, 1, 0) > 0;
}

/* Lets the driver look at what has come. False: the slot is gone. */
static bool is_alive(struct prg_slot *s) {
  prg_conn_step(s->conn, PRG_READ); /* tells of a failure in the next turn */
  if (s->conn->error == NULL) return true;
  prg__slot_destroy(s, "broke while idle");
  return false;
}

/* The newest idle connection that is fit to be lent, or NULL. Retired ones are
** closed on the way, those that idled for long are sent a ping. */
static struct prg_slot *take_idle(struct lane *l, int64_t now) {
  struct prg_link *k = prg_list_last(&l->idle);
  while (k != NULL) {
    struct prg_slot *s = PRG_CONTAINER(k, struct prg_slot, link);
    if (prg__slot_retired(s, now)) {
      prg__slot_destroy(s, "end of its lifetime");
    } else if (now - s->since > l->pool->opts.check_after) {
      start_check(s);
      /* An embedded database answers at once: then it is idle anew. */
    } else if (!has_news(s, now) || is_alive(s)) {
      return s;
    }
    k = prg_list_last(&l->idle);
  }
  return NULL;
}

static void hand_over(struct prg_slot *s, struct prg_borrow *b) {
  struct prg_pool *p = s->pool;
  prg__borrow_stop(p, b);
  b->since = prg_now(); /* of the slot: how long it is held */
  if (s->state == PRG_SLOT_SHARED)
    join(s, b);
  else
    lend(s, b);
  if (b != p->asking) b->done(b);
}

/* Hands idle connections to those who wait, first come first served, and places on
** shared ones. */
static void serve(struct lane *l) {
  struct prg_borrow *b;
  struct prg_slot *s;
  while ((b = prg__lane_first(l)) != NULL) {
    s = l->idle.count > 0 ? take_idle(l, prg_now()) : NULL;
    if (s == NULL) break;
    if (prg__lane_first(l) == b) hand_over(s, b); /* else served meanwhile */
  }
  while (l->sharers.count > 0 && (s = prg__share_find(l, prg_now())) != NULL)
    hand_over(
        s, PRG_CONTAINER(prg_list_first(&l->sharers), struct prg_borrow, link));
  if (l->waiters.count > 0 || l->reserving) prg__share_balance(l, prg_now());
  grow(l);
}

/* ---- connecting --------------------------------------------------------- */

bool prg__is_transient(const struct prg_error *e) {
  if (e->kind == PRG_K_AUTH || e->kind == PRG_K_USAGE ||
      e->kind == PRG_K_PERMISSION || e->kind == PRG_K_UNSUPPORTED)
    return false;
  if (e->code != 0 && e->sqlstate[0] == '\0') return false;
  return strncmp(e->sqlstate, "3D", 2) != 0 &&
         strncmp(e->sqlstate, "42", 2) != 0;
}

bool prg__is_server_busy(const struct prg_error *e) {
  return strcmp(e->sqlstate, "57P03") == 0 ||
         strcmp(e->sqlstate, "53300") == 0 || strcmp(e->sqlstate, "08004") == 0;
}

/* Tells those who should know that connecting failed: all of them when it
** cannot get better, else those who have waited for a while. */
static void tell_failure(struct lane *l) {
  struct prg_error *e = l->failure;
  int64_t now = prg_now();
  struct prg_borrow *b;
  bool fatal = !prg__is_transient(e);
  if (!fatal && prg__is_server_busy(e)) return;
  while ((b = prg__lane_first(l)) != NULL) {
    if (!fatal && now - b->since < CONNECT_GRACE) break;
    prg_error_ref(e);
    prg__borrow_refuse(l->pool, b, e);
  }
}

void prg__lane_set_failure(struct lane *l, struct prg_error *e) {
  prg_error_unref(l->failure);
  l->failure = e;
}

/* `wait`, or less: the last attempt before the first waiter learns that it
** failed is made then, and not long after. */
static int64_t until_grace_ends(struct lane *l, int64_t wait) {
  const struct prg_borrow *b = prg__lane_first(l);
  int64_t left;
  if (b == NULL) return wait;
  left = b->since + CONNECT_GRACE - prg_now();
  return left > 0 && left < wait ? left : wait;
}

/* Takes over `e`. The slot is destroyed. */
static void attempt_failed(struct prg_slot *s, struct prg_error *e) {
  struct prg_pool *p = s->pool;
  struct lane *l = prg__lane_of(p, s->lane);
  int64_t wait;
  p->count.failures++;
  prg__slot_destroy(s, "could not be opened");
  prg__lane_set_failure(l, e);
  l->backoff = l->backoff == 0 ? BACKOFF_FIRST : l->backoff * 2;
  if (l->backoff > BACKOFF_MAX) l->backoff = BACKOFF_MAX;
  wait = l->backoff / 2 + (int64_t)(next_random(p) % (uint64_t)l->backoff) / 2;
  wait = until_grace_ends(l, wait);
  if (!p->closing) prg_timer_set(p->hub, &l->retry, prg_now() + wait);
  tell_failure(l);
}

void prg__lane_on_retry(struct prg_timer *t) {
  grow(PRG_CONTAINER(t, struct lane, retry));
}

static void slot_ready(struct prg_slot *s) {
  struct lane *l = prg__lane_of(s->pool, s->lane);
  if (l->connecting == s) l->connecting = NULL;
  l->backoff = 0;
  prg__lane_set_failure(l, NULL);
  prg_timer_clear(s->pool->hub, &l->retry);
  set_state_now(s, PRG_SLOT_IDLE);
  serve(l);
}

static void opened(struct prg_slot *s) {
  struct prg_pool *p = s->pool;
  p->count.created++;
  if (p->closing) {
    prg__slot_destroy(s, "the pool was closed");
    return;
  }
  s->fresh = true;
  s->trip = s->conn->trip;
  slot_ready(s);
}

static void after_cleaning(struct prg_slot *s);

/* A connection broke. What that means depends on who had it. */
static void broken(struct prg_slot *s) {
  struct prg_conn *c = s->conn;
  struct lane *l = prg__lane_of(s->pool, s->lane);
  switch (s->state) {
    case PRG_SLOT_CONNECTING:
      attempt_failed(
          s, c->error != NULL ? prg_error_ref(c->error) : prg_error_oom());
      break;
    case PRG_SLOT_BUSY: /* its borrowers were told and will return it */
    case PRG_SLOT_SHARED:
      break;
    default:
      /* Inside its own submit, start_check or start_reset sees the error. */
      if (s->req != NULL && s->req->submitting) return;
      prg__slot_destroy(s, "broke while idle");
      grow(l);
  }
}

static void on_conn_event(struct prg_conn *c, enum prg_event ev) {
  struct prg_slot *s = c->owner;
  switch (ev) {
    case PRG_EV_OPENED:
      opened(s);
      break;
    case PRG_EV_BROKEN:
      broken(s);
      break;
    case PRG_EV_DRAINED:
      if (s->state == PRG_SLOT_CLEANING && s->req == NULL) after_cleaning(s);
      break;
    case PRG_EV_NOTICE:
      if (s->pool->notice != NULL)
        s->pool->notice(c->notice, s->pool->notice_ud);
      break;
    case PRG_EV_NOTIFY: /* listeners have a connection of their own */
      break;
  }
}

/* A slot of the lane in state CONNECTING, not connecting yet; or NULL. */
static struct prg_slot *new_slot(struct lane *l) {
  struct prg_pool *p = l->pool;
  enum prg_lane lane = (enum prg_lane)(l - p->lanes);
  struct prg_slot *s = prg_calloc(1, sizeof *s);
  if (s == NULL) return NULL;
  s->pool = p;
  s->lane = lane;
  s->conn = prg_conn_new(p->driver, p->config, p->shared, p->hub, lane);
  if (s->conn == NULL) {
    prg_free(s);
    return NULL;
  }
  s->conn->event = on_conn_event;
  s->conn->owner = s;
  s->generation = p->generation;
  s->retire_at = after(prg_now(), jitter(p, p->opts.lifetime));
  l->size++;
  l->connecting = s;
  set_state_now(s, PRG_SLOT_CONNECTING);
  return s;
}

/* How many connections the lane wants besides those it has. */
static bool wants_more(const struct lane *l) {
  size_t idle = l->idle.count;
  if (l->size >= l->max) return false;
  if (l->crowded || prg__lane_waiting(l) > idle) return true;
  return l == &l->pool->lanes[0] && l->size < l->pool->opts.min_size &&
         l->pool->count.acquired + prg__lane_waiting(l) > 0;
}

/* Opens one more connection when one is wanted and none is being opened. */
static void grow(struct lane *l) {
  struct prg_pool *p = l->pool;
  struct prg_slot *s;
  if (p->closing || l->connecting != NULL || prg_timer_is_set(&l->retry) ||
      !wants_more(l) || prg_pool_is_forked(p))
    return;
  l->crowded = false;
  s = new_slot(l);
  if (s == NULL) {
    prg__lane_set_failure(l, prg_error_oom());
    prg_timer_set(p->hub, &l->retry, prg_now() + BACKOFF_MAX / 50);
    tell_failure(l);
    return;
  }
  prg_conn_connect(s->conn, after(prg_now(), p->config->connect_timeout));
}

/* ---- acquire ------------------------------------------------------------ */

bool prg_pool_is_forked(const struct prg_pool *p) {
  return p->pid != prg_pid();
}

static struct prg_error *self_wait_error(struct prg_pool *p, struct lane *l,
                                         const struct prg_borrow *b) {
  struct prg_list *busy = &p->lists[PRG_SLOT_BUSY];
  struct prg_link *k;
  struct prg_buf holders;
  struct prg_error *e;
  size_t mine = 0;
  for (k = prg_list_first(busy); k != NULL; k = prg_list_next(busy, k))
    if (PRG_CONTAINER(k, struct prg_slot, link)->holder == b->holder) mine++;
  prg_buf_init(&holders, 2048);
  prg_pool_holders(p, &holders);
  e = prg_error_new(
      PRG_K_USAGE,
      mine == l->size
          ? "this task would wait for a connection that it holds itself: %s"
          : "every connection of the pool is held by a task that waits for "
            "another one: %s",
      holders.failed || holders.len == 0 ? "(unknown)" : holders.data);
  prg_error_set(e, PRG_EF_HINT,
                "use the handle of the open block, or raise max_size");
  prg_buf_fini(&holders);
  return e;
}

/* Would b, if it waited, wait for ever? So it is when the lane is full and
** every connection of it is held by a task that waits (b's included). */
static bool would_deadlock(struct prg_pool *p, struct lane *l,
                           const struct prg_borrow *b) {
  struct prg_list *busy = &p->lists[PRG_SLOT_BUSY];
  struct prg_link *k;
  size_t stuck = 0;
  if (b->holder == NULL || l->size < l->max || busy->count < l->size)
    return false;
  for (k = prg_list_first(busy); k != NULL; k = prg_list_next(busy, k)) {
    struct prg_slot *s = PRG_CONTAINER(k, struct prg_slot, link);
    if (prg__lane_of(p, s->lane) != l) continue;
    if (!s->leased || !(s->blocked || s->holder == b->holder)) return false;
    stuck++;
  }
  return stuck == l->size;
}

static int deny(struct prg_borrow *b, struct prg_error *e) {
  b->error = e;
  return PRG_ERR;
}

static int enqueue(struct prg_pool *p, struct lane *l, struct prg_borrow *b) {
  if (p->opts.max_waiting > 0 && prg__lane_waiting(l) >= p->opts.max_waiting)
    return deny(b, prg_error_new(PRG_K_RESOURCE,
                                 "%zu callers wait for a connection already "
                                 "(max_waiting)",
                                 prg__lane_waiting(l)));
  if (would_deadlock(p, l, b)) return deny(b, self_wait_error(p, l, b));
  b->owner = p;
  b->timer.fn = on_wait_over;
  if (b->due != PRG_NEVER) prg_timer_set(p->hub, &b->timer, b->due);
  b->ticket = l->tickets++;
  prg_list_push_back(queue_of(l, b), &b->link);
  mark_blocked(p, b->holder, true);
  if (!b->shared) prg__share_balance(l, b->since);
  p->asking = b;
  grow(l);
  p->asking = NULL;
  if (prg_link_linked(&b->link)) return PRG_AGAIN;
  return b->slot != NULL ? PRG_OK : PRG_ERR; /* connected at once, or refused */
}

int prg_pool_acquire(struct prg_pool *p, struct prg_borrow *b) {
  struct lane *l = prg__lane_of(p, b->lane);
  struct prg_slot *s;
  b->slot = NULL;
  b->shared = false;
  b->error = NULL;
  memset(&b->link, 0, sizeof b->link);
  memset(&b->timer, 0, sizeof b->timer);
  if (p->closing)
    return deny(b,
                prg_error_new(PRG_K_CLOSED, "the database handle is closed"));
  if (prg_pool_is_forked(p) || p->orphaned)
    return deny(b, prg_error_new(PRG_K_USAGE,
                                 "this handle was used before a fork; open "
                                 "one in the child process"));
  b->since = prg_now();
  b->shared = prg__borrow_joins(b);
  if (prg__lane_waiting(l) == 0 && (s = take_idle(l, b->since)) != NULL) {
    lend(s, b);
    return PRG_OK;
  }
  if (b->shared && l->sharers.count == 0 &&
      (s = prg__share_find(l, b->since)) != NULL) {
    join(s, b);
    return PRG_OK;
  }
  return enqueue(p, l, b);
}

bool prg_pool_is_leased_out(struct prg_pool *p, enum prg_lane lane) {
  struct lane *l = prg__lane_of(p, lane);
  struct prg_list *busy = &p->lists[PRG_SLOT_BUSY];
  struct prg_link *k;
  if (l->size < l->max) return false;
  for (k = prg_list_first(busy); k != NULL; k = prg_list_next(busy, k)) {
    struct prg_slot *s = PRG_CONTAINER(k, struct prg_slot, link);
    if (s->leased && prg__lane_of(p, s->lane) == l) return true;
  }
  return false;
}

void prg_pool_forget(struct prg_pool *p, struct prg_borrow *b) {
  if (prg_link_linked(&b->link)) {
    struct lane *l = prg__lane_of(p, b->lane);
    prg__borrow_stop(p, b);
    p->count.abandoned++;
    reopen(l);
  } else if (b->slot != NULL) {
    struct prg_slot *s = b->slot;
    b->slot = NULL;
    prg_pool_leave(s, b, false);
  }
  prg_error_unref(b->error);
  b->error = NULL;
}

/* ---- release ------------------------------------------------------------ */

static void on_clean_late(struct prg_timer *t) {
  struct prg_slot *s = PRG_CONTAINER(t, struct prg_slot, timer);
  struct lane *l = prg__lane_of(s->pool, s->lane);
  prg__slot_destroy(s, "was not clean within 5 s of its return");
  grow(l);
}

static void on_reset_done(struct prg_req *req) {
  struct prg_slot *s = req->owner;
  bool ok = req->error == NULL;
  prg_req_free(req);
  s->req = NULL;
  if (ok && s->conn->tx == PRG_TX_IDLE && !s->pool->closing) {
    s->fresh = true;
    prg_timer_clear(s->pool->hub, &s->timer);
    set_state_now(s, PRG_SLOT_IDLE);
    serve(prg__lane_of(s->pool, s->lane));
  } else {
    struct lane *l = prg__lane_of(s->pool, s->lane);
    prg__slot_destroy(
        s, s->pool->closing ? "the pool was closed" : "could not be reset");
    grow(l);
  }
}

static void start_reset(struct prg_slot *s) {
  s->pool->count.resets++;
  s->req = prg_req_new(PRG_REQ_RESET, NULL);
  if (s->req == NULL) {
    prg__slot_destroy(s, "no memory for a reset");
    return;
  }
  s->req->owner = s;
  s->req->done = on_reset_done;
  prg_conn_submit(s->conn, s->req);
  if (s->req->state == PRG_REQ_DONE) on_reset_done(s->req);
}

/* Does the drained connection need a reset before somebody else uses it? */
static bool needs_reset(struct prg_slot *s, bool leased) {
  const struct prg_conn *c = s->conn;
  if (c->tx != PRG_TX_IDLE) return true;
  if (s->pool->opts.reset == PRG_RESET_NEVER) return false;
  if (s->pool->opts.reset == PRG_RESET_ALWAYS) return true;
  return c->touched || (leased && c->driver->unclean != NULL &&
                        c->driver->unclean(s->conn) != NULL);
}

static void start_cleaning(struct prg_slot *s) {
  set_state_now(s, PRG_SLOT_CLEANING);
  s->timer.fn = on_clean_late;
  prg_timer_set(s->pool->hub, &s->timer, prg_now() + CLEAN_LIMIT);
}

/* CLEANING and drained: the next step. */
static void after_cleaning(struct prg_slot *s) {
  if (s->pool->closing) {
    prg__slot_destroy(s, "the pool was closed");
  } else if (needs_reset(s, true)) {
    start_reset(s);
  } else {
    prg_timer_clear(s->pool->hub, &s->timer);
    set_state_now(s, PRG_SLOT_IDLE);
    serve(prg__lane_of(s->pool, s->lane));
  }
}

static void on_janitor(struct prg_timer *t);

static void arm_janitor(struct prg_pool *p) {
  int64_t span = p->opts.idle_timeout;
  if (prg_timer_is_set(&p->janitor)) return;
  if (p->opts.lifetime < span) span = p->opts.lifetime;
  if (span == PRG_NEVER) return;
  p->janitor.fn = on_janitor;
  prg_timer_set(p->hub, &p->janitor, after(prg_now(), span / 2 + PRG_MS));
}

/* Nobody has it any more. */
static void take_back(struct prg_slot *s, int64_t now) {
  struct prg_pool *p = s->pool;
  struct lane *l = prg__lane_of(p, s->lane);
  bool leased = s->leased;
  if (s->where != NULL || s->holder != NULL) forget_borrower(s);
  if (prg_conn_is_forked(s->conn)) {
    prg__slot_destroy(s, "it is the parent's");
  } else if (s->conn->state != PRG_CONN_READY) {
    prg__slot_destroy(s, "broke while in use");
    grow(l);
  } else if (p->closing) {
    prg__slot_destroy(s, "the pool was closed");
  } else if (s->generation != p->generation) {
    prg__slot_destroy(s, "evicted");
    grow(l);
  } else if (!prg_conn_is_drained(s->conn)) {
    start_cleaning(s);
  } else if (needs_reset(s, leased)) {
    start_cleaning(s);
    start_reset(s);
  } else {
    prg__slot_set_state(s, PRG_SLOT_IDLE);
    s->since = now;
    if (prg__lane_waiting(l) > 0) serve(l);
    arm_janitor(p);
  }
}

void prg_pool_release(struct prg_slot *s) {
  take_back(s, prg_now());
}

/* A short statement that was alone from its beginning to its end, as nearly always
** where nobody shares. */
static bool is_as_ever(const struct prg_slot *s, const struct prg_borrow *b,
                       int64_t now) {
  int64_t took = now - b->since - s->trip;
  return b->shared && b->alone && s->nshared == 1 && took >= 0 &&
         took < PRG__SHORT / 4;
}

void prg_pool_leave(struct prg_slot *s, const struct prg_borrow *b,
                    bool answered) {
  int64_t now = prg_now();
  if (answered && b->stmt != NULL && !is_as_ever(s, b, now))
    prg__share_note(s, b, now);
  if (s->nshared > 1) {
    struct lane *l = prg__lane_of(s->pool, s->lane);
    s->nshared--;
    s->nlocks -= b->locks;
    if (l->sharers.count > 0) serve(l);
    return;
  }
  s->nshared = s->nlocks = 0;
  take_back(s, now);
}

void prg_pool_discard(struct prg_slot *s, const char *reason) {
  struct lane *l = prg__lane_of(s->pool, s->lane);
  prg__slot_destroy(s, reason);
  grow(l);
}

void prg_pool_evict(struct prg_pool *p) {
  int i;
  p->generation++;
  for (i = 0; i < p->nlanes; i++) {
    struct prg_link *k;
    while ((k = prg_list_first(&p->lanes[i].idle)) != NULL)
      prg__slot_destroy(PRG_CONTAINER(k, struct prg_slot, link), "evicted");
  }
}

void prg_pool_evict_like(const struct prg_slot *s) {
  if (s->generation == s->pool->generation) prg_pool_evict(s->pool);
}

/* ---- housekeeping ------------------------------------------------------- */

/* Closes what idled or lived too long, but keeps min_size for idling. */
static void sweep(struct lane *l, int64_t now) {
  struct prg_pool *p = l->pool;
  struct prg_link *k = prg_list_first(&l->idle);
  size_t keep = l == &p->lanes[0] ? p->opts.min_size : 0;
  while (k != NULL) {
    struct prg_slot *s = PRG_CONTAINER(k, struct prg_slot, link);
    k = prg_list_next(&l->idle, k);
    if (prg__slot_retired(s, now))
      prg__slot_destroy(s, "end of its lifetime");
    else if (now - s->since >= p->opts.idle_timeout && l->size > keep)
      prg__slot_destroy(s, "idle for too long");
  }
  grow(l);
}

static void on_janitor(struct prg_timer *t) {
  struct prg_pool *p = PRG_CONTAINER(t, struct prg_pool, janitor);
  int64_t now = prg_now();
  int i;
  for (i = 0; i < p->nlanes; i++) sweep(&p->lanes[i], now);
  if (prg__pool_size(p) > 0) arm_janitor(p);
}
