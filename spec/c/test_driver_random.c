/* A connection and its requests: random calls of owner and driver. */
#include "fake_driver.h"

enum { CALLS = 24 };

struct model {
  struct bed bed;
  struct call call[CALLS];
  unsigned long seed;
};

static unsigned pick(struct model *m, unsigned below) {
  return check_random(&m->seed, below);
}

static void model_open(struct model *m) {
  new_conn(&m->bed);
  fake_in(&m->bed)->may_connect = pick(m, 4) > 0;
  fake_in(&m->bed)->width = 1 + (int)pick(m, 3);
  fake_in(&m->bed)->budget = (int)pick(m, 4) - 1;
  fake_in(&m->bed)->truncates = pick(m, 3) == 0;
  prg_conn_connect(m->bed.conn, prg_now() + PRG_SECOND);
}

static void model_submit(struct model *m, unsigned i) {
  struct call *k = &m->call[i];
  static const enum prg_req_kind kinds[] = {PRG_REQ_QUERY, PRG_REQ_STREAM,
                                            PRG_REQ_PING, PRG_REQ_QUERY};
  if (k->req != NULL) {
    if (k->req->state == PRG_REQ_PAUSED) prg_req_resume(k->req);
    return;
  }
  make(&m->bed, k, kinds[pick(m, 4)]);
  if (pick(m, 2) == 0) k->req->due = prg_now() + 1 + pick(m, 900000);
  k->frees = pick(m, 3) == 0 && k->req->kind != PRG_REQ_STREAM;
  k->closes = pick(m, 40) == 0;
  if (pick(m, 6) == 0) {
    struct call *v = &m->call[pick(m, CALLS)];
    if (v != k && v->req != NULL && v->victim == NULL && !v->frees)
      k->victim = v;
  }
  prg_conn_submit(m->bed.conn, k->req);
}

/* A victim may have been freed or used again meanwhile. */
static void forget_victims(struct model *m, const struct call *gone) {
  for (int i = 0; i < CALLS; i++) {
    if (m->call[i].victim == gone) m->call[i].victim = NULL;
  }
}

static void model_sweep(struct model *m) {
  for (int i = 0; i < CALLS; i++) {
    struct call *k = &m->call[i];
    if (k->req == NULL) {
      forget_victims(m, k);
      continue;
    }
    if (k->req->state == PRG_REQ_DONE) {
      CHECK(k->req->error != NULL || k->req->result != NULL);
      CHECK(k->done <= 4);
      forget_victims(m, k);
      drop(k);
    }
  }
}

static void model_check(struct model *m) {
  struct prg_conn *c = m->bed.conn;
  size_t sent = 0, queued = 0;
  if (c == NULL) return; /* its requests are told by the next turn */
  for (int i = 0; i < CALLS; i++) {
    struct prg_req *req = m->call[i].req;
    if (req == NULL || req->state == PRG_REQ_DONE) continue;
    CHECK(req->conn == c);
    if (req->state == PRG_REQ_QUEUED) {
      queued++;
    } else {
      sent++;
    }
  }
  CHECK(c->queue.count == queued);
  CHECK(c->sent.count + c->paused.count >= sent);
  if (c->state != PRG_CONN_READY) CHECK(prg_conn_is_drained(c));
}

static void model_act(struct model *m) {
  struct prg_conn *c = m->bed.conn;
  unsigned i = pick(m, CALLS), what = pick(m, 100);
  if (c == NULL) {
    turns(&m->bed);
    model_sweep(m);
    model_open(m);
  } else if (what < 40) {
    model_submit(m, i);
  } else if (what < 50) {
    if (m->call[i].req != NULL) {
      forget_victims(m, &m->call[i]);
      drop(&m->call[i]);
    }
  } else if (what < 65) {
    fake_of(c)->budget = (int)pick(m, 5) - 1;
    fake_of(c)->may_connect = true;
    fake_of(c)->deaf = pick(m, 8) == 0;
    if (pick(m, 2) == 0) prg_conn_kick(c);
    if (m->bed.conn != NULL && pick(m, 2) == 0) prg_conn_step(c, PRG_READ);
  } else if (what < 75) {
    prg_clock_fake(prg_now() + pick(m, 400000));
  } else if (what < 97) {
    prg_hub_run(m->bed.hub, 0);
  } else if (what < 98) {
    fake_of(c)->fails = true;
  } else if (what < 99) {
    prg_conn_fail(c, prg_error_new(PRG_K_CLOSED, "random"));
  } else {
    close_bed_conn(&m->bed);
  }
  if (m->bed.conn != NULL && m->bed.conn->state == PRG_CONN_BROKEN &&
      pick(m, 3) == 0) {
    close_bed_conn(&m->bed);
  }
}

static void random_round(unsigned long *seed) {
  static const unsigned features[] = {
      0, PRG_F_CANCEL, PRG_F_CANCEL | PRG_F_PIPELINE,
      PRG_F_CANCEL | PRG_F_INTERLEAVE, PRG_F_PIPELINE | PRG_F_INTERLEAVE};
  static struct model m;
  memset(&m, 0, sizeof m);
  m.seed = *seed;
  open_bed(&m.bed, features[pick(&m, 5)]);
  for (int i = 0; i < 600 && check_failures == 0; i++) {
    model_act(&m);
    model_sweep(&m);
    model_check(&m);
  }
  for (int i = 0; i < CALLS; i++) m.call[i].victim = NULL;
  m.bed.close_on_drained = pick(&m, 2) == 0;
  if (m.bed.conn != NULL) close_bed_conn(&m.bed);
  turns(&m.bed);
  model_sweep(&m);
  for (int i = 0; i < CALLS; i++) CHECK(m.call[i].req == NULL);
  fini_bed(&m.bed);
  *seed = m.seed;
}

static void test_random(void) {
  unsigned long seed = check_seed();
  long rounds = check_rounds(400);
  while (rounds-- > 0 && check_failures == 0) {
    unsigned long start = seed;
    random_round(&seed);
    if (check_failures > 0) fprintf(stderr, "PERIGEE_SEED=%lu\n", start);
  }
}

int main(void) {
  RUN(test_random);
  return check_result();
}
