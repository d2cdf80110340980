/*
** The pool at random: whatever its borrowers, the server and the clock do, no
** connection is lost or lent twice, there are never too many, and in good
** weather everybody is served. And the same with allocations that fail.
*/
#include "pool_bed.h"

/* ---- at random ---------------------------------------------------------- */

enum { BORROWERS = 24, MAX_SIZE = 5 };

struct world {
  struct bed bed;
  struct want w[BORROWERS];
  bool busy[BORROWERS]; /* waits or holds */
  unsigned long seed;
};

/* I1, I2, I6 after each step. */
static void check_invariants(struct world *x) {
  struct prg_pool_stats s = stats(&x->bed);
  size_t held = 0;
  int i, j;
  CHECK(s.size == s.idle + s.in_use + s.connecting + s.cleaning);
  CHECK(s.size <= MAX_SIZE && s.size >= s.in_use);
  CHECK(toys.count <= s.size); /* a broken one's socket is gone at once */
  CHECK(s.connecting <= 1);
  for (i = 0; i < BORROWERS; i++) {
    const struct prg_slot *slot = x->busy[i] ? x->w[i].b.slot : NULL;
    if (slot == NULL) continue;
    held++;
    CHECK(slot->state == PRG_SLOT_BUSY);
    for (j = 0; j < i; j++) CHECK(!x->busy[j] || x->w[j].b.slot != slot);
  }
  CHECK(held == s.in_use);
}

/* Every idle one is clean; a waiter waits only when nothing is free. */
static void check_settled(struct world *x) {
  struct prg_pool_stats s = stats(&x->bed);
  CHECK(s.waiting == 0 || s.idle == 0);
}

static void spoil(struct world *x, struct want *w) {
  struct toy *t = toy_in(w);
  switch (check_random(&x->seed, 6)) {
    case 0:
      t->base.tx = PRG_TX_OPEN;
      break;
    case 1:
      t->base.touched = true;
      break;
    case 2:
      t->break_now = true;
      prg_conn_kick(&t->base);
      if (check_random(&x->seed, 2) == 0) turns(&x->bed);
      break;
    default:
      break;
  }
}

static void act_on(struct world *x, int i) {
  struct want *w = &x->w[i];
  if (!x->busy[i]) {
    bool holder = check_random(&x->seed, 2) == 0;
    int64_t due = prg_now() + check_random(&x->seed, 2000) * PRG_MS;
    ask(&x->bed, w, holder ? w : NULL, due);
    x->busy[i] = true;
  } else if (w->b.slot != NULL && check_random(&x->seed, 8) == 0) {
    prg_pool_discard(w->b.slot, "at random");
    w->b.slot = NULL;
    x->busy[i] = false;
  } else if (w->b.slot != NULL) {
    CHECK(toy_in(w)->base.tx == PRG_TX_IDLE || w->order < 0);
    spoil(x, w);
    give(w);
    x->busy[i] = false;
  } else if (w->result == PRG_AGAIN && check_random(&x->seed, 3) == 0) {
    prg_pool_forget(x->bed.pool, &w->b);
    x->busy[i] = false;
  }
  if (x->busy[i] && w->result == PRG_ERR) {
    CHECK(w->b.error != NULL && w->b.slot == NULL);
    drop_error(w);
    x->busy[i] = false;
  }
}

static void change_weather(struct world *x) {
  switch (check_random(&x->seed, 8)) {
    case 0:
      refuse_all = !refuse_all;
      break;
    case 1:
      connect_time = check_random(&x->seed, 300) * PRG_MS;
      break;
    case 2:
      reset_fails = check_random(&x->seed, 3) == 0;
      break;
    case 3:
      reset_hangs = check_random(&x->seed, 3) == 0;
      break;
    case 4:
      ping_hangs = check_random(&x->seed, 3) == 0;
      break;
    case 5:
      prg_pool_evict(x->bed.pool);
      break;
    case 6:
      advance(&x->bed, check_random(&x->seed, 5000) * PRG_MS);
      break;
    default:
      turns(&x->bed);
  }
}

/* I5: in good weather everybody is served soon. */
static void check_liveness(struct world *x) {
  int i, k;
  refuse_all = reset_fails = reset_hangs = ping_hangs = false;
  connect_time = PRG_MS;
  for (i = 0; i < BORROWERS; i++) {
    if (x->busy[i] && x->w[i].result != PRG_ERR)
      prg_pool_forget(x->bed.pool, &x->w[i].b); /* gives back what it has */
    else if (x->busy[i])
      drop_error(&x->w[i]);
    x->busy[i] = false;
  }
  for (i = 0; i < 15; i++) { /* as many as may wait */
    ask(&x->bed, &x->w[i], NULL, PRG_NEVER);
    x->busy[i] = true;
  }
  for (k = 0; k < 400; k++) {
    advance(&x->bed, 50 * PRG_MS);
    for (i = 0; i < BORROWERS; i++) {
      if (!x->busy[i] || x->w[i].b.slot == NULL) continue;
      give(&x->w[i]);
      x->busy[i] = false;
    }
  }
  for (i = 0; i < BORROWERS; i++) {
    /* An old refusal of the server may have reached the first ones. */
    CHECK(!x->busy[i] || refused(&x->w[i], PRG_K_CONNECT));
    if (x->busy[i]) drop_error(&x->w[i]);
    x->busy[i] = false;
  }
  CHECK(stats(&x->bed).in_use == 0 && stats(&x->bed).waiting == 0);
}

static void test_random(void) {
  static struct world x;
  struct prg_pool_options o = standard(MAX_SIZE);
  long rounds = check_rounds(60), r, k;
  memset(&x, 0, sizeof x);
  x.seed = check_seed();
  o.idle_timeout = 20 * PRG_SECOND;
  o.lifetime = 60 * PRG_SECOND;
  o.check_after = 2 * PRG_SECOND;
  o.min_size = 1;
  o.max_waiting = 15;
  for (r = 0; r < rounds; r++) {
    int before = check_failures;
    memset(x.busy, 0, sizeof x.busy);
    open_bed(&x.bed, o);
    for (k = 0; k < 500 && check_failures == before; k++) {
      act_on(&x, (int)check_random(&x.seed, BORROWERS));
      check_invariants(&x);
      if (check_random(&x.seed, 5) == 0) change_weather(&x);
      check_invariants(&x);
      check_settled(&x);
    }
    check_liveness(&x);
    close_bed(&x.bed);
    if (check_failures != before) return;
  }
}

/* ---- no memory ---------------------------------------------------------- */

static void test_memory(void) {
  long n;
  for (n = 1; n < 200; n++) {
    struct bed b;
    struct want a, c;
    int i;
    open_bed(&b, standard(1));
    (void)prg_mem_fail_after(n);
    ask(&b, &a, NULL, prg_now() + 5 * PRG_SECOND);
    ask(&b, &c, NULL, prg_now() + 5 * PRG_SECOND);
    for (i = 0; i < 4; i++) advance(&b, 500 * PRG_MS);
    if (a.b.slot != NULL) {
      toy_in(&a)->base.tx = PRG_TX_OPEN;
      give(&a);
    }
    turns(&b);
    (void)prg_mem_fail_after(0);
    for (i = 0; i < 10; i++) advance(&b, 500 * PRG_MS);
    CHECK(a.b.slot == NULL || a.result == PRG_OK);
    if (a.b.slot != NULL) give(&a);
    for (i = 0; i < 10; i++) advance(&b, 500 * PRG_MS);
    CHECK(c.result == PRG_OK || c.b.error != NULL);
    if (c.b.slot != NULL) give(&c);
    drop_error(&a);
    drop_error(&c);
    CHECK(stats(&b).in_use == 0);
    close_bed(&b);
  }
}

int main(void) {
  RUN(test_random);
  RUN(test_memory);
  return check_result();
}
