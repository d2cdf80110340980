/*
** The smallest driver there is, and an owner of its connection, for the tests
** of src/driver: a request is answered when the test's `budget` allows.
*/
#ifndef PRG_SPEC_FAKE_DRIVER_H
#define PRG_SPEC_FAKE_DRIVER_H

#include "base/clock.h"
#include "base/mem.h"
#include "check.h"
#include "driver/driver.h"

/* ---- a driver ----------------------------------------------------------- */

struct fake {
  struct prg_conn base;
  bool may_connect; /* step() says PRG_OK while connecting */
  bool fails;       /* the next step says PRG_ERR */
  bool deaf;        /* cancel() has no effect */
  bool cancelled;   /* the head, if a ghost, ends in the next step */
  int budget;       /* requests that it may still answer; -1: any number */
  int width;        /* requests in flight */
  int fd;           /* to wait for, or -1 */
  bool truncates;   /* answers a QUERY early, and finishes it by budget */
};

static int live_results, live_impls, finis, cancels, steps, forked_finis;
static struct prg_driver fake_driver;

static inline struct fake *fake_of(struct prg_conn *c) {
  return PRG_CONTAINER(c, struct fake, base);
}

static inline struct prg_conn *fake_new(void) {
  struct fake *f = prg_calloc(1, sizeof *f);
  if (f == NULL) return NULL;
  f->may_connect = true;
  f->budget = -1;
  f->width = 1;
  f->fd = -1;
  return &f->base;
}

static inline void fake_result_free(struct prg_result *r) {
  live_results--;
  prg_free(r);
}

static const struct prg_result_ops fake_ops = {NULL, fake_result_free};

static inline struct prg_result *fake_result(int64_t affected) {
  struct prg_result *r = prg_calloc(1, sizeof *r);
  if (r == NULL) return NULL;
  live_results++;
  r->ops = &fake_ops;
  r->affected = affected;
  return r;
}

/* The number of a request is its first parameter. */
static inline int64_t number_of(const struct prg_req *req) {
  return req->params == NULL ? 0 : req->params[0].u.i;
}

static inline void drop_impl(struct prg_req *req) {
  if (req->impl != NULL) live_impls--;
  prg_free(req->impl);
  req->impl = NULL;
}

static inline void finish(struct prg_req *req) {
  struct prg_result *r;
  struct prg_error *e = NULL;
  drop_impl(req);
  r = fake_result(number_of(req));
  if (r == NULL) e = prg_error_oom();
  prg_req_finish(req, r, e);
}

/* Does what it may for the first request. False: nothing. */
static inline bool work(struct fake *f, struct prg_req *req) {
  if (req->state == PRG_REQ_PAUSED) return false;
  if (req->ghost && f->cancelled) {
    f->cancelled = false;
    finish(req);
    return true;
  }
  if (f->budget == 0) return false;
  if (f->budget > 0) f->budget--;
  if (req->kind == PRG_REQ_STREAM && req->step < 2) {
    req->step++;
    prg_req_deliver(req, fake_result(number_of(req)));
  } else if (req->kind == PRG_REQ_QUERY && f->truncates && req->step == 0) {
    req->step = 1;
    prg_req_deliver(req, fake_result(number_of(req)));
  } else {
    finish(req);
  }
  return true;
}

static inline int fake_step(struct prg_conn *c, unsigned ready,
                            struct prg_wait *w) {
  struct fake *f = fake_of(c);
  struct prg_req *req;
  (void)ready;
  steps++;
  w->fd = f->fd;
  if (f->fails) {
    c->error = prg_error_new(PRG_K_CONNECT, "the server went away");
    return PRG_ERR;
  }
  if (c->state == PRG_CONN_CONNECTING) {
    return f->may_connect ? PRG_OK : PRG_AGAIN;
  }
  do {
    while ((int)c->sent.count < f->width && (req = prg_conn_next(c)) != NULL) {
      if (prg_req_own_params(req) != PRG_OK) {
        prg_req_finish(req, NULL, prg_error_oom());
        continue;
      }
      req->impl = prg_alloc(1);
      if (req->impl != NULL) live_impls++;
    }
    req = prg_conn_head(c);
  } while (req != NULL && work(f, req));
  return PRG_AGAIN;
}

static inline void fake_cancel(struct prg_conn *c) {
  struct fake *f = fake_of(c);
  cancels++;
  CHECK(prg_conn_head(c) != NULL && prg_conn_head(c)->ghost);
  if (!f->deaf) f->cancelled = true;
}

static inline void fini_list(struct prg_list *l) {
  for (struct prg_link *k = prg_list_first(l); k != NULL;
       k = prg_list_next(l, k)) {
    drop_impl(PRG_CONTAINER(k, struct prg_req, link));
  }
}

static inline void fake_fini(struct prg_conn *c, bool forked) {
  finis++;
  if (forked) forked_finis++;
  CHECK(c->watch.slot == 0); /* nothing is watched when sockets are closed */
  fini_list(&c->sent);
  fini_list(&c->paused);
}

static struct prg_driver fake_driver = {.abi = PRG_DRIVER_ABI,
                                        .name = "fake",
                                        .features = PRG_F_CANCEL,
                                        .conn_new = fake_new,
                                        .step = fake_step,
                                        .cancel = fake_cancel,
                                        .fini = fake_fini};

/* ---- an owner ----------------------------------------------------------- */

struct bed {
  struct prg_hub *hub;
  struct prg_conn *conn;
  struct prg_stmt *stmt; /* one parameter */
  int opened, broken, drained, notices;
  bool close_on_open, close_on_broken, close_on_drained;
  struct prg_req *on_drained; /* to be submitted then, once */
};

static inline struct fake *fake_in(struct bed *b) {
  return fake_of(b->conn);
}

static inline void close_bed_conn(struct bed *b) {
  struct prg_conn *c = b->conn;
  b->conn = NULL;
  prg_conn_close(c, "the test closed it");
}

static inline void on_event(struct prg_conn *c, enum prg_event ev) {
  struct bed *b = c->owner;
  switch (ev) {
    case PRG_EV_OPENED:
      b->opened++;
      if (b->close_on_open) close_bed_conn(b);
      break;
    case PRG_EV_BROKEN:
      b->broken++;
      CHECK(c->error != NULL && prg_conn_is_drained(c));
      if (b->close_on_broken) close_bed_conn(b);
      break;
    case PRG_EV_DRAINED:
      b->drained++;
      CHECK(prg_conn_is_drained(c));
      if (b->close_on_drained) close_bed_conn(b);
      if (b->on_drained != NULL) {
        struct prg_req *req = b->on_drained;
        b->on_drained = NULL;
        prg_conn_submit(c, req);
      }
      break;
    case PRG_EV_NOTICE:
      b->notices++;
      CHECK(c->notice != NULL);
      break;
    case PRG_EV_NOTIFY:
      break;
  }
}

static inline void new_conn(struct bed *b) {
  b->conn = prg_conn_new(&fake_driver, NULL, NULL, b->hub, PRG_LANE_WRITE);
  if (b->conn == NULL) return;
  b->conn->owner = b;
  b->conn->event = on_event;
}

static inline void init_bed(struct bed *b, unsigned features) {
  struct prg_error *err = NULL;
  memset(b, 0, sizeof *b);
  prg_clock_fake(PRG_SECOND);
  fake_driver.features = features;
  live_results = live_impls = finis = cancels = steps = 0;
  b->hub = prg_hub_new(&err);
  b->stmt = prg_stmt_new("select $1", 9, PRG_STMT_READ, 1);
  if (!CHECK(b->hub != NULL && b->stmt != NULL)) exit(1);
  new_conn(b);
}

static inline void open_bed(struct bed *b, unsigned features) {
  init_bed(b, features);
  prg_conn_connect(b->conn, PRG_NEVER);
  CHECK(b->opened == 1 && b->conn->state == PRG_CONN_READY);
}

static inline void turns(struct bed *b) {
  for (int i = 0; i < 6; i++) CHECK(prg_hub_run(b->hub, 0) >= 0);
}

static inline void fini_bed(struct bed *b) {
  if (b->conn != NULL) close_bed_conn(b);
  turns(b);
  CHECK(live_results == 0 && live_impls == 0);
  CHECK(!prg_hub_busy(b->hub));
  prg_stmt_unref(b->stmt);
  prg_hub_unref(b->hub);
  prg_clock_fake(-1);
}

/* A request with its owner. */
struct call {
  struct prg_req *req;
  struct bed *bed;
  int done;
  bool frees, closes;
  struct call *next;   /* submitted by done() */
  struct call *victim; /* freed by done() */
};

static inline void submit(struct call *k) {
  struct prg_value v = {.type = PRG_INT, .u.i = 0};
  k->req->params = &v;
  prg_conn_submit(k->bed->conn, k->req);
  if (!k->req->params_owned) k->req->params = NULL;
}

static inline void drop(struct call *k) {
  prg_req_free(k->req);
  k->req = NULL;
}

static inline void on_done(struct prg_req *req) {
  struct call *k = req->owner;
  k->done++;
  CHECK(req->state == PRG_REQ_DONE || req->state == PRG_REQ_PAUSED);
  if (k->next != NULL) submit(k->next);
  if (k->victim != NULL && k->victim->req != NULL &&
      !k->victim->req->submitting)
    drop(k->victim);
  if (k->closes && k->bed->conn != NULL) close_bed_conn(k->bed);
  if (k->frees) drop(k);
}

static inline void make(struct bed *b, struct call *k, enum prg_req_kind kind) {
  memset(k, 0, sizeof *k);
  k->bed = b;
  k->req = prg_req_new(kind, b->stmt);
  if (k->req == NULL) return;
  k->req->owner = k;
  k->req->done = on_done;
}

static inline bool has_error(const struct call *k, enum prg_kind kind) {
  return k->req->state == PRG_REQ_DONE && k->req->error != NULL &&
         k->req->error->kind == kind && k->req->result == NULL;
}

#endif
