#include "pool/pool.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
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

struct lane {
  struct prg_list idle;    /* newest last */
  struct prg_list waiters; /* oldest first */
  size_t size;             /* slots of the lane, in any state */
  size_t max;
  struct prg_slot *connecting; /* the one attempt, or NULL */
  int64_t backoff;             /* 0: the last attempt was good */
  struct prg_timer retry;
  struct prg_error *failure; /* of the last attempt */
  struct prg_pool *pool;
};

struct prg_pool {
  struct prg_hub *hub;
  const struct prg_driver *driver;
  struct prg_config *config;
  void (*free_config)(struct prg_config *);
  void *shared;
  struct prg_pool_options opts;
  struct lane lanes[PRG_LANES];
  int nlanes;
  /* every slot that is not idle, by state */
  struct prg_list lists[PRG_SLOT_STATES];
  unsigned generation;
  uint64_t seed; /* jitter */
  long pid;
  bool closing;
  bool orphaned;
  struct prg_borrow *asking; /* inside its prg_pool_acquire */
  struct prg_timer janitor;
  struct prg_timer close_timer;
  struct prg_post close_post;
  void (*close_done)(void *ud);
  void *close_ud;
  void (*notice)(const struct prg_error *n, void *ud);
  void *notice_ud;
  struct prg_pool_stats count;
};

static void serve(struct lane *l);
static void grow(struct lane *l);

/* ---- small things ------------------------------------------------------- */

static struct lane *lane_of(struct prg_pool *p, enum prg_lane lane) {
  return &p->lanes[p->nlanes == 1 ? PRG_LANE_WRITE : lane];
}

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

static struct prg_list *list_of(struct prg_slot *s) {
  if (s->state == PRG_SLOT_IDLE) return &lane_of(s->pool, s->lane)->idle;
  return &s->pool->lists[s->state];
}

/* The only place where a slot changes its state. */
static void set_state(struct prg_slot *s, enum prg_slot_state state) {
  if (prg_link_linked(&s->link)) prg_list_remove(list_of(s), &s->link);
  s->state = state;
  prg_list_push_back(list_of(s), &s->link);
}

static void set_state_now(struct prg_slot *s, enum prg_slot_state state) {
  set_state(s, state);
  s->since = prg_now();
}

/* ---- the end of a slot -------------------------------------------------- */

static void close_finished(struct prg_post *post) {
  struct prg_pool *p = PRG_CONTAINER(post, struct prg_pool, close_post);
  void (*done)(void *) = p->close_done;
  p->close_done = NULL;
  prg_timer_clear(p->hub, &p->close_timer);
  if (done != NULL) done(p->close_ud);
}

static size_t total_size(const struct prg_pool *p) {
  return p->lanes[0].size + p->lanes[1].size;
}

static void forget_borrower(struct prg_slot *s) {
  prg_free((void *)(uintptr_t)s->where);
  s->where = NULL;
  s->holder = NULL;
  s->leased = s->blocked = false;
}

/* Closes the connection and frees the slot, whatever its state. */
static void destroy(struct prg_slot *s, const char *reason) {
  struct prg_pool *p = s->pool;
  struct lane *l = lane_of(p, s->lane);
  if (prg_link_linked(&s->link)) prg_list_remove(list_of(s), &s->link);
  prg_timer_clear(p->hub, &s->timer);
  if (s->req != NULL) prg_req_free(s->req);
  if (l->connecting == s) l->connecting = NULL;
  if (s->conn != NULL) prg_conn_close(s->conn, reason);
  forget_borrower(s);
  if (s->state != PRG_SLOT_LOST) l->size--;
  prg_free(s);
  p->count.closed++;
  if (p->closing && total_size(p) == 0) prg_hub_post(p->hub, &p->close_post);
}

static bool retired(const struct prg_slot *s, int64_t now) {
  return s->generation != s->pool->generation || now >= s->retire_at;
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

static void stop_waiting(struct prg_pool *p, struct prg_borrow *b) {
  int64_t waited = prg_now() - b->since;
  prg_list_remove(&lane_of(p, b->lane)->waiters, &b->link);
  prg_timer_clear(p->hub, &b->timer);
  mark_blocked(p, b->holder, false);
  p->count.wait_total += waited;
  if (waited > p->count.wait_max) p->count.wait_max = waited;
}

/* Takes over `error`. */
static void refuse(struct prg_pool *p, struct prg_borrow *b,
                   struct prg_error *error) {
  stop_waiting(p, b);
  b->error = error;
  if (b != p->asking) b->done(b);
}

static void lend(struct prg_slot *s, struct prg_borrow *b) {
  set_state(s, PRG_SLOT_BUSY);
  s->since = b->since;
  s->holder = b->holder;
  s->leased = b->leased;
  s->where = b->where != NULL ? prg_strdup(b->where) : NULL;
  b->slot = s;
  s->pool->count.acquired++;
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
                      waited, l->size, l->waiters.count);
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

static void on_wait_over(struct prg_timer *t) {
  struct prg_borrow *b = PRG_CONTAINER(t, struct prg_borrow, timer);
  struct prg_pool *p = b->owner;
  struct lane *l = lane_of(p, b->lane);
  p->count.timeouts++;
  refuse(p, b, timeout_error(p, l, b));
}

/* ---- checking and lending ----------------------------------------------- */

static void finish_check(struct prg_slot *s, bool alive) {
  struct lane *l = lane_of(s->pool, s->lane);
  prg_timer_clear(s->pool->hub, &s->timer);
  prg_req_free(s->req);
  s->req = NULL;
  if (!alive) {
    destroy(s, "did not answer a ping after idling");
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
    destroy(s, "no memory for a ping");
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
      destroy(s, "did not answer a ping after idling");
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
  destroy(s, "broke while idle");
  return false;
}

/* The newest idle connection that is fit to be lent, or NULL. Retired ones are
** closed on the way, those that idled for long are sent a ping. */
static struct prg_slot *take_idle(struct lane *l, int64_t now) {
  struct prg_link *k = prg_list_last(&l->idle);
  while (k != NULL) {
    struct prg_slot *s = PRG_CONTAINER(k, struct prg_slot, link);
    if (retired(s, now)) {
      destroy(s, "end of its lifetime");
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

/* Hands idle connections to waiters, first come first served. */
static void serve(struct lane *l) {
  struct prg_link *k;
  while ((k = prg_list_first(&l->waiters)) != NULL) {
    struct prg_borrow *b = PRG_CONTAINER(k, struct prg_borrow, link);
    struct prg_slot *s = l->idle.count > 0 ? take_idle(l, prg_now()) : NULL;
    if (s == NULL) break;
    if (prg_list_first(&l->waiters) != k) continue; /* served meanwhile */
    stop_waiting(l->pool, b);
    b->since = prg_now(); /* of the slot: how long it is held */
    lend(s, b);
    if (b != l->pool->asking) b->done(b);
  }
  grow(l);
}

/* ---- connecting --------------------------------------------------------- */

/* Can another attempt have a different end? */
static bool is_transient(const struct prg_error *e) {
  if (e->kind == PRG_K_AUTH || e->kind == PRG_K_USAGE ||
      e->kind == PRG_K_PERMISSION || e->kind == PRG_K_UNSUPPORTED)
    return false;
  return e->code == 0 && strncmp(e->sqlstate, "3D", 2) != 0;
}

static bool is_server_busy(const struct prg_error *e) {
  return strcmp(e->sqlstate, "57P03") == 0 || strcmp(e->sqlstate, "53300") == 0;
}

/* Tells those who should know that connecting failed: all of them when it
** cannot get better, else those who have waited for a while. */
static void tell_failure(struct lane *l) {
  struct prg_error *e = l->failure;
  int64_t now = prg_now();
  struct prg_link *k = prg_list_first(&l->waiters);
  bool fatal = !is_transient(e);
  if (!fatal && is_server_busy(e)) return;
  while (k != NULL) {
    struct prg_borrow *b = PRG_CONTAINER(k, struct prg_borrow, link);
    if (!fatal && now - b->since < CONNECT_GRACE) break;
    prg_error_ref(e);
    refuse(l->pool, b, e);
    k = prg_list_first(&l->waiters);
  }
}

static void set_failure(struct lane *l, struct prg_error *e) {
  prg_error_unref(l->failure);
  l->failure = e;
}

/* `wait`, or less: the last attempt before the first waiter learns that it
** failed is made then, and not long after. */
static int64_t until_grace_ends(struct lane *l, int64_t wait) {
  struct prg_link *k = prg_list_first(&l->waiters);
  int64_t left;
  if (k == NULL) return wait;
  left = PRG_CONTAINER(k, struct prg_borrow, link)->since + CONNECT_GRACE -
         prg_now();
  return left > 0 && left < wait ? left : wait;
}

/* Takes over `e`. The slot is destroyed. */
static void attempt_failed(struct prg_slot *s, struct prg_error *e) {
  struct prg_pool *p = s->pool;
  struct lane *l = lane_of(p, s->lane);
  int64_t wait;
  p->count.failures++;
  destroy(s, "could not be opened");
  set_failure(l, e);
  l->backoff = l->backoff == 0 ? BACKOFF_FIRST : l->backoff * 2;
  if (l->backoff > BACKOFF_MAX) l->backoff = BACKOFF_MAX;
  wait = l->backoff / 2 + (int64_t)(next_random(p) % (uint64_t)l->backoff) / 2;
  wait = until_grace_ends(l, wait);
  if (!p->closing) prg_timer_set(p->hub, &l->retry, prg_now() + wait);
  tell_failure(l);
}

static void on_retry(struct prg_timer *t) {
  grow(PRG_CONTAINER(t, struct lane, retry));
}

static void slot_ready(struct prg_slot *s) {
  struct lane *l = lane_of(s->pool, s->lane);
  if (l->connecting == s) l->connecting = NULL;
  l->backoff = 0;
  set_failure(l, NULL);
  prg_timer_clear(s->pool->hub, &l->retry);
  set_state_now(s, PRG_SLOT_IDLE);
  serve(l);
}

static void opened(struct prg_slot *s) {
  struct prg_pool *p = s->pool;
  p->count.created++;
  if (p->closing) {
    destroy(s, "the pool was closed");
    return;
  }
  s->fresh = true;
  slot_ready(s);
}

static void after_cleaning(struct prg_slot *s);

/* A connection broke. What that means depends on who had it. */
static void broken(struct prg_slot *s) {
  struct prg_conn *c = s->conn;
  struct lane *l = lane_of(s->pool, s->lane);
  switch (s->state) {
    case PRG_SLOT_CONNECTING:
      attempt_failed(
          s, c->error != NULL ? prg_error_ref(c->error) : prg_error_oom());
      break;
    case PRG_SLOT_BUSY: /* its borrower was told and will return it */
      break;
    default:
      /* Inside its own submit, start_check or start_reset sees the error. */
      if (s->req != NULL && s->req->submitting) return;
      destroy(s, "broke while idle");
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
  if (l->waiters.count > idle) return true;
  return l == &l->pool->lanes[0] && l->size < l->pool->opts.min_size &&
         l->pool->count.acquired + l->waiters.count > 0;
}

/* Opens one more connection when one is wanted and none is being opened. */
static void grow(struct lane *l) {
  struct prg_pool *p = l->pool;
  struct prg_slot *s;
  if (p->closing || l->connecting != NULL || prg_timer_is_set(&l->retry) ||
      !wants_more(l) || prg_pool_is_forked(p))
    return;
  s = new_slot(l);
  if (s == NULL) {
    set_failure(l, prg_error_oom());
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
    if (lane_of(p, s->lane) != l) continue;
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
  if (p->opts.max_waiting > 0 && l->waiters.count >= p->opts.max_waiting)
    return deny(b, prg_error_new(PRG_K_RESOURCE,
                                 "%zu callers wait for a connection already "
                                 "(max_waiting)",
                                 l->waiters.count));
  if (would_deadlock(p, l, b)) return deny(b, self_wait_error(p, l, b));
  b->owner = p;
  b->timer.fn = on_wait_over;
  if (b->due != PRG_NEVER) prg_timer_set(p->hub, &b->timer, b->due);
  prg_list_push_back(&l->waiters, &b->link);
  mark_blocked(p, b->holder, true);
  p->asking = b;
  grow(l);
  p->asking = NULL;
  if (prg_link_linked(&b->link)) return PRG_AGAIN;
  return b->slot != NULL ? PRG_OK : PRG_ERR; /* connected at once, or refused */
}

int prg_pool_acquire(struct prg_pool *p, struct prg_borrow *b) {
  struct lane *l = lane_of(p, b->lane);
  struct prg_slot *s;
  b->slot = NULL;
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
  if (l->waiters.count == 0 && (s = take_idle(l, b->since)) != NULL) {
    lend(s, b);
    return PRG_OK;
  }
  return enqueue(p, l, b);
}

bool prg_pool_is_leased_out(struct prg_pool *p, enum prg_lane lane) {
  struct lane *l = lane_of(p, lane);
  struct prg_list *busy = &p->lists[PRG_SLOT_BUSY];
  struct prg_link *k;
  if (l->size < l->max) return false;
  for (k = prg_list_first(busy); k != NULL; k = prg_list_next(busy, k)) {
    struct prg_slot *s = PRG_CONTAINER(k, struct prg_slot, link);
    if (s->leased && lane_of(p, s->lane) == l) return true;
  }
  return false;
}

void prg_pool_forget(struct prg_pool *p, struct prg_borrow *b) {
  if (prg_link_linked(&b->link)) {
    stop_waiting(p, b);
    p->count.abandoned++;
  } else if (b->slot != NULL) {
    struct prg_slot *s = b->slot;
    b->slot = NULL;
    prg_pool_release(s);
  }
  prg_error_unref(b->error);
  b->error = NULL;
}

/* ---- release ------------------------------------------------------------ */

static void on_clean_late(struct prg_timer *t) {
  struct prg_slot *s = PRG_CONTAINER(t, struct prg_slot, timer);
  struct lane *l = lane_of(s->pool, s->lane);
  destroy(s, "was not clean within 5 s of its return");
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
    serve(lane_of(s->pool, s->lane));
  } else {
    struct lane *l = lane_of(s->pool, s->lane);
    destroy(s, s->pool->closing ? "the pool was closed" : "could not be reset");
    grow(l);
  }
}

static void start_reset(struct prg_slot *s) {
  s->pool->count.resets++;
  s->req = prg_req_new(PRG_REQ_RESET, NULL);
  if (s->req == NULL) {
    destroy(s, "no memory for a reset");
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
    destroy(s, "the pool was closed");
  } else if (needs_reset(s, true)) {
    start_reset(s);
  } else {
    prg_timer_clear(s->pool->hub, &s->timer);
    set_state_now(s, PRG_SLOT_IDLE);
    serve(lane_of(s->pool, s->lane));
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

void prg_pool_release(struct prg_slot *s) {
  struct prg_pool *p = s->pool;
  struct lane *l = lane_of(p, s->lane);
  bool leased = s->leased;
  if (s->where != NULL || s->holder != NULL) forget_borrower(s);
  if (prg_conn_is_forked(s->conn)) {
    destroy(s, "it is the parent's");
  } else if (s->conn->state != PRG_CONN_READY) {
    destroy(s, "broke while in use");
    grow(l);
  } else if (p->closing) {
    destroy(s, "the pool was closed");
  } else if (s->generation != p->generation) {
    destroy(s, "evicted");
    grow(l);
  } else if (!prg_conn_is_drained(s->conn)) {
    start_cleaning(s);
  } else if (needs_reset(s, leased)) {
    start_cleaning(s);
    start_reset(s);
  } else {
    set_state_now(s, PRG_SLOT_IDLE);
    if (l->waiters.count > 0) serve(l);
    arm_janitor(p);
  }
}

void prg_pool_discard(struct prg_slot *s, const char *reason) {
  struct lane *l = lane_of(s->pool, s->lane);
  destroy(s, reason);
  grow(l);
}

void prg_pool_evict(struct prg_pool *p) {
  int i;
  p->generation++;
  for (i = 0; i < p->nlanes; i++) {
    struct prg_link *k;
    while ((k = prg_list_first(&p->lanes[i].idle)) != NULL)
      destroy(PRG_CONTAINER(k, struct prg_slot, link), "evicted");
  }
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
    if (retired(s, now))
      destroy(s, "end of its lifetime");
    else if (now - s->since >= p->opts.idle_timeout && l->size > keep)
      destroy(s, "idle for too long");
  }
  grow(l);
}

static void on_janitor(struct prg_timer *t) {
  struct prg_pool *p = PRG_CONTAINER(t, struct prg_pool, janitor);
  int64_t now = prg_now();
  int i;
  for (i = 0; i < p->nlanes; i++) sweep(&p->lanes[i], now);
  if (total_size(p) > 0) arm_janitor(p);
}

void prg_pool_stats(const struct prg_pool *p, struct prg_pool_stats *out) {
  int i;
  *out = p->count;
  out->size = total_size(p);
  out->in_use = p->lists[PRG_SLOT_BUSY].count;
  out->connecting = p->lists[PRG_SLOT_CONNECTING].count;
  out->cleaning =
      p->lists[PRG_SLOT_CLEANING].count + p->lists[PRG_SLOT_CHECKING].count;
  out->idle = out->waiting = out->max_size = 0;
  for (i = 0; i < p->nlanes; i++) {
    out->idle += p->lanes[i].idle.count;
    out->waiting += p->lanes[i].waiters.count;
    out->max_size += p->lanes[i].max;
  }
  out->min_size = p->opts.min_size;
}

void prg_pool_holders(const struct prg_pool *p, struct prg_buf *out) {
  const struct prg_list *busy = &p->lists[PRG_SLOT_BUSY];
  const struct prg_link *k;
  int64_t now = prg_now();
  int n = 0;
  for (k = busy->head.next; k != &busy->head && n < 8; k = k->next) {
    const struct prg_slot *s =
        PRG_CONTAINER((uintptr_t)k, const struct prg_slot, link);
    if (s->where == NULL) continue;
    prg_buf_addf(out, "%s%s (for %.1f s)", n++ > 0 ? ", " : "", s->where,
                 (double)(now - s->since) / (double)PRG_SECOND);
  }
}

/* ---- opening and closing ------------------------------------------------ */

static void init_lanes(struct prg_pool *p) {
  size_t max = p->opts.max_size;
  int i;
  if (p->config->max_conns > 0 && max > p->config->max_conns)
    max = p->config->max_conns;
  p->nlanes = p->config->lanes == 2 ? 2 : 1;
  for (i = 0; i < PRG_LANES; i++) {
    struct lane *l = &p->lanes[i];
    prg_list_init(&l->idle);
    prg_list_init(&l->waiters);
    l->pool = p;
    l->retry.fn = on_retry;
  }
  p->lanes[0].max = p->nlanes == 2 ? 1 : max;
  if (p->nlanes == 2) p->lanes[1].max = max > 1 ? max - 1 : 1;
}

struct prg_pool *prg_pool_new(struct prg_hub *hub, const struct prg_driver *drv,
                              struct prg_config *config,
                              void (*free_config)(struct prg_config *),
                              const struct prg_pool_options *opts) {
  struct prg_pool *p = prg_calloc(1, sizeof *p);
  int i;
  if (p == NULL) {
    free_config(config);
    return NULL;
  }
  p->driver = drv;
  p->config = config;
  p->free_config = free_config;
  p->opts = *opts;
  p->pid = prg_pid();
  p->seed = (uint64_t)prg_now() * 2654435761u + (uintptr_t)p + 1;
  p->close_post.fn = close_finished;
  for (i = 0; i < PRG_SLOT_STATES; i++) prg_list_init(&p->lists[i]);
  init_lanes(p);
  if (drv->shared_new != NULL &&
      (p->shared = drv->shared_new(config)) == NULL) {
    free_config(config);
    prg_free(p);
    return NULL;
  }
  p->hub = prg_hub_ref(hub);
  return p;
}

const struct prg_config *prg_pool_config(const struct prg_pool *p) {
  return p->config;
}

const struct prg_driver *prg_pool_driver(const struct prg_pool *p) {
  return p->driver;
}

void prg_pool_on_notice(struct prg_pool *p,
                        void (*fn)(const struct prg_error *n, void *ud),
                        void *ud) {
  p->notice = fn;
  p->notice_ud = ud;
}

static void destroy_list(struct prg_list *l, const char *reason) {
  struct prg_link *k;
  while ((k = prg_list_first(l)) != NULL)
    destroy(PRG_CONTAINER(k, struct prg_slot, link), reason);
}

/* Ends the connections that are lent out. Their borrowers are told by the
** error of their requests, and still return the slots. */
static void on_close_due(struct prg_timer *t) {
  struct prg_pool *p = PRG_CONTAINER(t, struct prg_pool, close_timer);
  struct prg_list *busy = &p->lists[PRG_SLOT_BUSY];
  struct prg_link *k, *next;
  destroy_list(&p->lists[PRG_SLOT_CONNECTING], "the pool was closed");
  destroy_list(&p->lists[PRG_SLOT_CLEANING], "the pool was closed");
  destroy_list(&p->lists[PRG_SLOT_CHECKING], "the pool was closed");
  for (k = prg_list_first(busy); k != NULL; k = next) {
    struct prg_slot *s = PRG_CONTAINER(k, struct prg_slot, link);
    next = prg_list_next(busy, k);
    prg_conn_fail(
        s->conn, prg_error_new(PRG_K_CLOSED, "the database handle was closed"));
  }
  prg_hub_post(p->hub, &p->close_post);
}

static void refuse_all(struct lane *l) {
  struct prg_link *k;
  while ((k = prg_list_first(&l->waiters)) != NULL)
    refuse(l->pool, PRG_CONTAINER(k, struct prg_borrow, link),
           prg_error_new(PRG_K_CLOSED, "the database handle is closed"));
}

int prg_pool_close(struct prg_pool *p, int64_t due, void (*done)(void *ud),
                   void *ud) {
  int i;
  p->closing = true;
  prg_timer_clear(p->hub, &p->janitor);
  for (i = 0; i < p->nlanes; i++) {
    prg_timer_clear(p->hub, &p->lanes[i].retry);
    refuse_all(&p->lanes[i]);
    destroy_list(&p->lanes[i].idle, "the pool was closed");
  }
  destroy_list(&p->lists[PRG_SLOT_CONNECTING], "the pool was closed");
  destroy_list(&p->lists[PRG_SLOT_CHECKING], "the pool was closed");
  if (p->close_done == NULL) prg_hub_unpost(p->hub, &p->close_post);
  if (total_size(p) == 0) return PRG_OK; /* an earlier caller is still told */
  p->close_done = done;
  p->close_ud = ud;
  p->close_timer.fn = on_close_due;
  if (!prg_timer_is_set(&p->close_timer) || due < p->close_timer.due)
    prg_timer_set(p->hub, &p->close_timer, due);
  return PRG_AGAIN;
}

bool prg_pool_is_closed(const struct prg_pool *p) {
  return p->closing;
}

/* ---- in a forked child -------------------------------------------------- */

/* Nobody of those who wait in the parent goes on here. */
static void forget_lane(struct lane *l) {
  struct prg_link *k;
  while ((k = prg_list_first(&l->waiters)) != NULL)
    stop_waiting(l->pool, PRG_CONTAINER(k, struct prg_borrow, link));
  destroy_list(&l->idle, "it is the parent's");
  prg_timer_clear(l->pool->hub, &l->retry);
  l->backoff = 0;
  set_failure(l, NULL);
}

void prg_pool_adopt(struct prg_pool *p, struct prg_hub *hub) {
  struct prg_link *k;
  int i;
  if (total_size(p) > 0 && !(p->driver->features & PRG_F_REOPEN))
    p->orphaned = true;
  for (i = 0; i < p->nlanes; i++) forget_lane(&p->lanes[i]);
  while ((k = prg_list_first(&p->lists[PRG_SLOT_BUSY])) != NULL) {
    struct prg_slot *s = PRG_CONTAINER(k, struct prg_slot, link);
    lane_of(p, s->lane)->size--;
    set_state(s, PRG_SLOT_LOST);
  }
  destroy_list(&p->lists[PRG_SLOT_CONNECTING], "it is the parent's");
  destroy_list(&p->lists[PRG_SLOT_CLEANING], "it is the parent's");
  destroy_list(&p->lists[PRG_SLOT_CHECKING], "it is the parent's");
  prg_timer_clear(p->hub, &p->janitor);
  prg_timer_clear(p->hub, &p->close_timer);
  prg_hub_unpost(p->hub, &p->close_post);
  p->close_done = NULL;
  prg_hub_ref(hub);
  prg_hub_unref(p->hub);
  p->hub = hub;
  p->pid = prg_pid();
}

bool prg_pool_is_orphaned(const struct prg_pool *p) {
  return p->orphaned;
}

void prg_pool_free(struct prg_pool *p) {
  int i;
  if (p == NULL) return;
  p->closing = true;
  p->close_done = NULL;
  for (i = 0; i < p->nlanes; i++) {
    refuse_all(&p->lanes[i]);
    destroy_list(&p->lanes[i].idle, "the handle was freed");
    prg_timer_clear(p->hub, &p->lanes[i].retry);
  }
  for (i = 0; i < PRG_SLOT_STATES; i++)
    destroy_list(&p->lists[i], "the handle was freed");
  for (i = 0; i < PRG_LANES; i++) set_failure(&p->lanes[i], NULL);
  prg_timer_clear(p->hub, &p->janitor);
  prg_timer_clear(p->hub, &p->close_timer);
  prg_hub_unpost(p->hub, &p->close_post);
  if (p->driver->shared_free != NULL) p->driver->shared_free(p->shared);
  prg_hub_unref(p->hub);
  p->free_config(p->config);
  prg_free(p);
}
