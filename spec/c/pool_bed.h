/*
** For the tests of the pool: a driver whose every step the test decides, a pool
** on it, its borrowers, and a clock that the test sets.
*/
#ifndef PRG_SPEC_POOL_BED_H
#define PRG_SPEC_POOL_BED_H

#include "base/clock.h"
#include "base/mem.h"
#include "check.h"
#include "pool/pool.h"

/* ---- a driver ----------------------------------------------------------- */

struct toy {
  struct prg_conn base;
  struct prg_link link; /* in `toys` */
  int64_t open_at;      /* PRG_NEVER: not before it is told */
  bool refuse;
  bool break_now;
  bool dirty;
  bool stuck; /* answers nothing */
};

static struct prg_list toys; /* every connection that is alive */
static int64_t connect_time; /* of new connections */
static size_t in_flight;     /* of new connections: requests at most */
static bool refuse_all;
static struct prg_error *refusal;
static int opened_total, max_alive, resets, pings;
static bool reset_fails, ping_hangs, reset_hangs;

static inline struct toy *toy_of(struct prg_conn *c) {
  return PRG_CONTAINER(c, struct toy, base);
}

static inline struct prg_conn *toy_new(void) {
  struct toy *t = prg_calloc(1, sizeof *t);
  if (t == NULL) return NULL;
  t->open_at = connect_time == PRG_NEVER ? PRG_NEVER : prg_now() + connect_time;
  t->refuse = refuse_all;
  prg_list_push_back(&toys, &t->link);
  if ((int)toys.count > max_alive) max_alive = (int)toys.count;
  return &t->base;
}

static inline int toy_break(struct prg_conn *c, enum prg_kind kind,
                            const char *why) {
  c->error =
      refusal != NULL ? prg_error_ref(refusal) : prg_error_new(kind, "%s", why);
  return PRG_ERR;
}

static inline int step_connect(struct toy *t, struct prg_wait *w) {
  w->due = t->open_at;
  if (prg_now() < t->open_at) return PRG_AGAIN;
  if (t->refuse) return toy_break(&t->base, PRG_K_CONNECT, "refused");
  opened_total++;
  t->base.pipeline = in_flight;
  return PRG_OK;
}

static inline void answer(struct toy *t, struct prg_req *req) {
  struct prg_error *e = NULL;
  if (req->kind == PRG_REQ_PING) pings++;
  if (req->kind == PRG_REQ_RESET) {
    resets++;
    if (reset_fails) e = prg_error_new(PRG_K_DATABASE, "no reset");
    t->base.tx = PRG_TX_IDLE;
    t->dirty = false;
  }
  prg_req_finish(req, NULL, e);
}

static inline int toy_step(struct prg_conn *c, unsigned ready,
                           struct prg_wait *w) {
  struct toy *t = toy_of(c);
  struct prg_req *req;
  (void)ready;
  w->fd = -1;
  if (t->break_now) return toy_break(c, PRG_K_CLOSED, "went away");
  if (c->state == PRG_CONN_CONNECTING) return step_connect(t, w);
  while ((req = prg_conn_head(c)) != NULL || (req = prg_conn_next(c)) != NULL) {
    if (t->stuck && !req->ghost) return PRG_AGAIN;
    if (req->kind == PRG_REQ_PING && ping_hangs) return PRG_AGAIN;
    if (req->kind == PRG_REQ_RESET && reset_hangs) return PRG_AGAIN;
    if (t->stuck) return PRG_AGAIN;
    answer(t, req);
  }
  return PRG_OK;
}

static inline void toy_cancel(struct prg_conn *c) {
  (void)c;
}

static inline const char *toy_unclean(struct prg_conn *c) {
  return toy_of(c)->dirty ? "it is dirty" : NULL;
}

static inline void toy_fini(struct prg_conn *c, bool forked) {
  (void)forked;
  prg_list_remove(&toys, &toy_of(c)->link);
}

static const struct prg_driver toy_driver = {.abi = PRG_DRIVER_ABI,
                                             .name = "toy",
                                             .features = PRG_F_CANCEL,
                                             .conn_new = toy_new,
                                             .step = toy_step,
                                             .cancel = toy_cancel,
                                             .unclean = toy_unclean,
                                             .fini = toy_fini};

/* ---- a pool and its borrowers ------------------------------------------- */

struct bed {
  struct prg_hub *hub;
  struct prg_pool *pool;
  struct prg_pool_options opts;
};

struct want {
  struct prg_borrow b;
  int result; /* of acquire; PRG_OK or PRG_ERR also when that came later */
  int order;  /* when it was served, from 1 on; 0: not yet */
  int done;
};

static int served, configs;

static inline void free_config(struct prg_config *c) {
  configs--;
  prg_free(c);
}

static inline void on_done(struct prg_borrow *b) {
  struct want *w = PRG_CONTAINER(b, struct want, b);
  w->done++;
  w->order = ++served;
  w->result = b->slot != NULL ? PRG_OK : PRG_ERR;
  CHECK((b->slot != NULL) != (b->error != NULL));
}

static inline struct prg_pool_options standard(size_t max) {
  struct prg_pool_options o = {.max_size = max,
                               .idle_timeout = PRG_NEVER,
                               .lifetime = PRG_NEVER,
                               .check_after = PRG_NEVER};
  return o;
}

static inline void open_bed(struct bed *b, struct prg_pool_options opts) {
  struct prg_error *err = NULL;
  struct prg_config *config = prg_calloc(1, sizeof *config);
  memset(b, 0, sizeof *b);
  prg_list_init(&toys);
  prg_clock_fake(1000 * PRG_SECOND);
  connect_time = 0;
  in_flight = 0;
  refuse_all = reset_fails = ping_hangs = reset_hangs = false;
  opened_total = max_alive = resets = pings = served = 0;
  b->hub = prg_hub_new(&err);
  if (!CHECK(config != NULL && b->hub != NULL)) exit(1);
  config->connect_timeout = 10 * PRG_SECOND;
  config->lanes = 1;
  configs++;
  b->opts = opts;
  b->pool = prg_pool_new(b->hub, &toy_driver, config, free_config, &opts);
  if (!CHECK(b->pool != NULL)) exit(1);
}

static inline void turns(struct bed *b) {
  int i;
  for (i = 0; i < 8; i++) CHECK(prg_hub_run(b->hub, 0) >= 0);
}

static inline void advance(struct bed *b, int64_t us) {
  prg_clock_fake(prg_now() + us);
  turns(b);
}

/* I7: after the end nothing is left. */
static inline void close_bed(struct bed *b) {
  prg_pool_free(b->pool);
  turns(b);
  CHECK(toys.count == 0);
  CHECK(configs == 0);
  CHECK(!prg_hub_busy(b->hub));
  prg_hub_unref(b->hub);
  prg_error_unref(refusal);
  refusal = NULL;
  prg_clock_fake(-1);
}

/* For one statement, which may share. */
static inline void ask_for(struct bed *b, struct want *w, struct prg_stmt *stmt,
                           int64_t due) {
  memset(w, 0, sizeof *w);
  w->b.lane = PRG_LANE_WRITE;
  w->b.due = due;
  w->b.stmt = stmt;
  w->b.done = on_done;
  w->result = prg_pool_acquire(b->pool, &w->b);
  if (w->result == PRG_OK) w->order = ++served;
}

static inline void ask(struct bed *b, struct want *w, const void *holder,
                       int64_t due) {
  memset(w, 0, sizeof *w);
  w->b.lane = PRG_LANE_WRITE;
  w->b.due = due;
  w->b.leased = holder != NULL;
  w->b.holder = holder;
  w->b.where = "a.lua:1";
  w->b.done = on_done;
  w->result = prg_pool_acquire(b->pool, &w->b);
  if (w->result == PRG_OK) w->order = ++served;
}

static inline void want(struct bed *b, struct want *w) {
  ask(b, w, NULL, PRG_NEVER);
}

static inline void give(struct want *w) {
  struct prg_slot *s = w->b.slot;
  w->b.slot = NULL;
  if (CHECK(s != NULL)) prg_pool_release(s);
}

/* The statement was answered. */
static inline void leave(struct want *w) {
  struct prg_slot *s = w->b.slot;
  w->b.slot = NULL;
  if (CHECK(s != NULL)) prg_pool_leave(s, &w->b, true);
}

static inline void drop_error(struct want *w) {
  prg_error_unref(w->b.error);
  w->b.error = NULL;
}

static inline bool refused(const struct want *w, enum prg_kind kind) {
  return w->result == PRG_ERR && w->b.error != NULL && w->b.error->kind == kind;
}

static inline struct prg_pool_stats stats(struct bed *b) {
  struct prg_pool_stats s;
  prg_pool_stats(b->pool, &s);
  return s;
}

static inline struct toy *toy_in(struct want *w) {
  return toy_of(w->b.slot->conn);
}

#endif
