/*
** Sharing of connections: which statements do, which connections are shared, and
** that those who want one alone get it.
*/
#include <sys/wait.h>
#include <unistd.h>

#include "pool_bed.h"

enum { DEPTH = 4 };

/* A statement that takes so many microseconds on the average; 0: nobody knows. */
static struct prg_stmt *statement(unsigned spent) {
  struct prg_stmt *s = prg_stmt_new("select 1", 8, PRG_STMT_READ, 0);
  if (!CHECK(s != NULL)) exit(1);
  s->spent = spent;
  return s;
}

static void open_shared(struct bed *b, struct prg_pool_options o) {
  open_bed(b, o);
  in_flight = DEPTH;
}

static void share(struct bed *b, struct want *w, struct prg_stmt *s) {
  ask_for(b, w, s, PRG_NEVER);
}

/* ---- who shares --------------------------------------------------------- */

static void test_first_run_is_alone(void) {
  struct prg_stmt *s = statement(0);
  struct bed b;
  struct want w[2];
  open_shared(&b, standard(1));
  share(&b, &w[0], s);
  turns(&b);
  share(&b, &w[1], s);
  CHECK(w[0].result == PRG_OK && !w[0].b.shared && w[1].result == PRG_AGAIN);
  leave(&w[0]);
  CHECK(s->spent > 0 && w[1].result == PRG_OK && !w[1].b.shared);
  leave(&w[1]);
  share(&b, &w[0], s);
  share(&b, &w[1], s);
  CHECK(w[0].b.shared && w[1].b.shared && w[0].b.slot == w[1].b.slot);
  CHECK(stats(&b).in_use == 1 && stats(&b).shared == 1);
  CHECK(stats(&b).pipelined == 1);
  leave(&w[0]);
  leave(&w[1]);
  CHECK(stats(&b).idle == 1 && stats(&b).shared == 0);
  close_bed(&b);
  prg_stmt_unref(s);
}

static void test_idle_first_then_least(void) {
  struct prg_stmt *s = statement(1);
  struct bed b;
  struct want w[6];
  int i, on_first = 0;
  open_shared(&b, standard(2));
  connect_time = 100 * PRG_MS;
  share(&b, &w[0], s);
  advance(&b, 100 * PRG_MS);
  CHECK(w[0].result == PRG_OK && opened_total == 1);
  share(&b, &w[1], s); /* shares, and another is opened meanwhile */
  CHECK(w[1].b.slot == w[0].b.slot && stats(&b).connecting == 1);
  leave(&w[1]);
  advance(&b, 100 * PRG_MS);
  CHECK(opened_total == 2 && stats(&b).idle == 1);
  w[0].b.slot->since_head = prg_now();
  for (i = 1; i < 6; i++) {
    share(&b, &w[i], s);
    CHECK(w[i].result == PRG_OK);
    if (i == 1) CHECK(w[1].b.slot != w[0].b.slot);
    on_first += w[i].b.slot == w[0].b.slot;
  }
  CHECK(on_first == 2); /* three each */
  for (i = 0; i < 6; i++) leave(&w[i]);
  CHECK(stats(&b).idle == 2 && opened_total == 2);
  close_bed(&b);
  prg_stmt_unref(s);
}

static void test_depth(void) {
  struct prg_stmt *s = statement(1);
  struct bed b;
  struct want w[DEPTH + 3];
  int i;
  open_shared(&b, standard(1));
  for (i = 0; i < DEPTH + 3; i++) {
    share(&b, &w[i], s);
    if (i == 0) turns(&b);
  }
  CHECK(stats(&b).shared == DEPTH - 1 && stats(&b).waiting == 3);
  prg_pool_forget(b.pool, &w[DEPTH].b);
  leave(&w[2]);
  CHECK(w[DEPTH + 1].result == PRG_OK && w[DEPTH + 2].result == PRG_AGAIN);
  leave(&w[0]);
  CHECK(w[DEPTH + 2].result == PRG_OK && stats(&b).waiting == 0);
  for (i = 1; i < DEPTH + 3; i++)
    if (i != 2 && i != DEPTH) leave(&w[i]);
  CHECK(stats(&b).idle == 1);
  close_bed(&b);
  prg_stmt_unref(s);
}

static void test_none_where_it_must_not(void) {
  struct prg_pool_options o = standard(1);
  struct prg_stmt *s = statement(1);
  struct bed b;
  struct want w[2];
  int round;
  for (round = 0; round < 3; round++) {
    o.reset = round == 1 ? PRG_RESET_ALWAYS : PRG_RESET_AUTO;
    o.setup = round == 2; /* a fresh one is set up by one borrower */
    open_shared(&b, o);
    if (round == 0) in_flight = 1; /* a pooler */
    share(&b, &w[0], s);
    turns(&b);
    share(&b, &w[1], s);
    CHECK(!w[0].b.shared && w[1].result == PRG_AGAIN);
    w[0].b.slot->fresh = false;
    leave(&w[0]);
    turns(&b);
    CHECK(w[1].result == PRG_OK && w[1].b.shared == (round == 2));
    leave(&w[1]);
    turns(&b);
    close_bed(&b);
  }
  prg_stmt_unref(s);
}

/* ---- time --------------------------------------------------------------- */

static void test_nothing_behind_what_is_slow(void) {
  struct prg_stmt *s = statement(1), *slow = statement(2001);
  struct bed b;
  struct want w[3];
  open_shared(&b, standard(1));
  share(&b, &w[0], s);
  turns(&b);
  advance(&b, 5 * PRG_MS);
  share(&b, &w[1], s);
  CHECK(w[1].result == PRG_OK);
  advance(&b, 1);
  share(&b, &w[2], s);
  CHECK(w[2].result == PRG_AGAIN);
  leave(&w[0]); /* the next has just begun */
  CHECK(w[2].result == PRG_OK);
  leave(&w[1]);
  share(&b, &w[0], slow);
  CHECK(w[0].result == PRG_AGAIN); /* it goes behind nobody, and alone */
  leave(&w[2]);
  CHECK(w[0].result == PRG_OK && !w[0].b.shared);
  leave(&w[0]);
  CHECK(slow->spent < 2000); /* this time it was fast */
  close_bed(&b);
  prg_stmt_unref(s);
  prg_stmt_unref(slow);
}

static void test_average(void) {
  struct prg_stmt *s = statement(0);
  struct bed b;
  struct want w;
  int i;
  open_shared(&b, standard(1));
  share(&b, &w, s);
  turns(&b);
  for (i = 0; i < 40; i++) {
    advance(&b, 50 * PRG_MS);
    leave(&w);
    CHECK(s->spent > 2000); /* from the first time on */
    share(&b, &w, s);
    CHECK(!w.b.shared);
  }
  CHECK(s->spent > 40000 && s->spent <= 50000);
  for (i = 0; i < 20; i++) {
    leave(&w);
    share(&b, &w, s);
  }
  CHECK(w.b.shared); /* forgiven */
  advance(&b, 3600 * PRG_SECOND);
  leave(&w);
  CHECK(s->spent < 10000); /* and what stalls once soon is */
  close_bed(&b);
  prg_stmt_unref(s);
}

/* A server that is far away is not slow. */
static void test_round_trip_does_not_count(void) {
  struct prg_stmt *s = statement(1);
  struct bed b;
  struct want w[3];
  int i;
  open_shared(&b, standard(1));
  share(&b, &w[0], s);
  turns(&b);
  w[0].b.slot->trip = 40 * PRG_MS;
  advance(&b, 30 * PRG_MS);
  leave(&w[0]);
  CHECK(s->spent <= 1);
  share(&b, &w[0], s);
  CHECK(w[0].b.shared && w[0].b.slot->trip == 30 * PRG_MS);
  for (i = 1; i < 3; i++) {
    advance(&b, 10 * PRG_MS);
    share(&b, &w[i], s);
    CHECK(w[i].result == PRG_OK);
  }
  for (i = 0; i < 3; i++) {
    advance(&b, 10 * PRG_MS);
    leave(&w[i]);
  }
  CHECK(s->spent < 100);
  close_bed(&b);
  prg_stmt_unref(s);
}

/* ---- those who want one alone ------------------------------------------- */

static void test_alone_does_not_starve(void) {
  struct prg_stmt *s = statement(1);
  struct bed b;
  struct want w[4], alone, late;
  int i;
  open_shared(&b, standard(1));
  share(&b, &w[0], s);
  turns(&b);
  share(&b, &w[1], s);
  want(&b, &alone);
  CHECK(alone.result == PRG_AGAIN);
  share(&b, &w[2], s); /* nobody joins any more */
  ask_for(&b, &late, s, PRG_NEVER);
  CHECK(w[2].result == PRG_AGAIN && late.result == PRG_AGAIN);
  leave(&w[0]);
  CHECK(alone.result == PRG_AGAIN && w[2].result == PRG_AGAIN);
  leave(&w[1]);
  CHECK(alone.result == PRG_OK && w[2].result == PRG_AGAIN);
  give(&alone);
  CHECK(w[2].result == PRG_OK && late.b.slot == w[2].b.slot);
  want(&b, &alone);
  share(&b, &w[3], s);
  CHECK(w[3].result == PRG_AGAIN);
  prg_pool_forget(b.pool, &alone.b); /* it waits no more */
  CHECK(w[3].result == PRG_OK);
  ask(&b, &alone, NULL, prg_now() + PRG_MS);
  share(&b, &w[0], s);
  CHECK(w[0].result == PRG_AGAIN);
  advance(&b, PRG_MS);
  CHECK(refused(&alone, PRG_K_TIMEOUT) && w[0].result == PRG_OK);
  drop_error(&alone);
  leave(&late);
  for (i = 0; i < 4; i++)
    if (i != 1) leave(&w[i]);
  CHECK(stats(&b).idle == 1);
  close_bed(&b);
  prg_stmt_unref(s);
}

/* One of three is kept for one who waits, and not the one that is stuck. */
static void test_one_each_is_kept(void) {
  struct prg_stmt *s = statement(1);
  struct bed b;
  struct want w[3], alone, more;
  int i;
  open_shared(&b, standard(3));
  for (i = 0; i < 3; i++) want(&b, &w[i]);
  turns(&b);
  for (i = 0; i < 3; i++) give(&w[i]);
  for (i = 0; i < 3; i++) share(&b, &w[i], s);
  w[0].b.slot->since_head = prg_now() - 20 * PRG_MS;
  want(&b, &alone);
  CHECK(alone.result == PRG_AGAIN);
  CHECK(w[0].b.slot->reserved && w[1].b.slot->reserved);
  CHECK(!w[2].b.slot->reserved);
  share(&b, &more, s);
  CHECK(more.b.slot == w[2].b.slot);
  leave(&w[1]);
  CHECK(alone.result == PRG_OK && !w[0].b.slot->reserved);
  give(&alone);
  leave(&w[0]);
  leave(&w[2]);
  leave(&more);
  close_bed(&b);
  prg_stmt_unref(s);
}

/* Behind what may wait for a lock nobody goes while a transaction may have it. */
static void test_locks(void) {
  struct prg_stmt *s = statement(1);
  struct bed b;
  struct want w[3], tx;
  int holder, i;
  open_shared(&b, standard(2));
  ask(&b, &tx, &holder, PRG_NEVER);
  turns(&b);
  for (i = 0; i < 2; i++) {
    memset(&w[i], 0, sizeof w[i]);
    w[i].b.stmt = s;
    w[i].b.due = PRG_NEVER;
    w[i].b.done = on_done;
    w[i].b.locks = i == 1;
    w[i].result = prg_pool_acquire(b.pool, &w[i].b);
    turns(&b);
  }
  CHECK(w[1].b.slot == w[0].b.slot); /* itself it may wait */
  share(&b, &w[2], s);
  CHECK(w[2].result == PRG_AGAIN);
  leave(&w[0]);
  CHECK(w[2].result == PRG_AGAIN);
  give(&tx);
  CHECK(w[2].result == PRG_OK && w[2].b.slot != w[1].b.slot);
  share(&b, &w[0], s);
  CHECK(w[0].result == PRG_OK);
  ask(&b, &tx, &holder, PRG_NEVER);
  CHECK(tx.result == PRG_AGAIN);
  for (i = 0; i < 3; i++) leave(&w[i]);
  CHECK(tx.result == PRG_OK);
  give(&tx);
  close_bed(&b);
  prg_stmt_unref(s);
}

/* ---- when something happens --------------------------------------------- */

static void test_broken_under_sharers(void) {
  struct prg_stmt *s = statement(1);
  struct bed b;
  struct want w[4];
  struct toy *t;
  open_shared(&b, standard(1));
  share(&b, &w[0], s);
  turns(&b);
  share(&b, &w[1], s);
  t = toy_in(&w[0]);
  t->break_now = true;
  prg_conn_kick(&t->base);
  turns(&b);
  share(&b, &w[2], s);
  CHECK(w[2].result == PRG_AGAIN);
  leave(&w[0]);
  CHECK(stats(&b).size == 1 && w[2].result == PRG_AGAIN);
  leave(&w[1]);
  turns(&b);
  CHECK(w[2].result == PRG_OK && opened_total == 2);
  leave(&w[2]);
  close_bed(&b);
  prg_stmt_unref(s);
}

static void test_old_ones_empty(void) {
  struct prg_stmt *s = statement(1);
  struct bed b;
  struct want w[3];
  open_shared(&b, standard(2));
  share(&b, &w[0], s);
  turns(&b);
  prg_pool_evict_like(w[0].b.slot);
  share(&b, &w[1], s);
  turns(&b);
  CHECK(w[1].result == PRG_OK && w[1].b.slot != w[0].b.slot);
  prg_pool_evict_like(w[0].b.slot); /* that is known */
  share(&b, &w[2], s);
  CHECK(w[2].b.slot == w[1].b.slot);
  leave(&w[0]);
  leave(&w[1]);
  leave(&w[2]);
  CHECK(stats(&b).idle == 1 && stats(&b).size == 1);
  close_bed(&b);
  prg_stmt_unref(s);
}

static void test_cleaned_after_the_last(void) {
  struct prg_stmt *s = statement(1);
  struct bed b;
  struct want w[2];
  open_shared(&b, standard(1));
  share(&b, &w[0], s);
  turns(&b);
  share(&b, &w[1], s);
  toy_in(&w[0])->base.touched = true;
  leave(&w[0]);
  CHECK(resets == 0);
  leave(&w[1]);
  CHECK(resets == 1 && stats(&b).idle == 1);
  close_bed(&b);
  prg_stmt_unref(s);
}

static void on_closed(void *ud) {
  ++*(int *)ud;
}

static void test_close_with_sharers(void) {
  struct prg_stmt *s = statement(1);
  struct bed b;
  struct want w[3];
  int closed = 0, i;
  open_shared(&b, standard(1));
  for (i = 0; i < 2; i++) {
    share(&b, &w[i], s);
    turns(&b);
  }
  CHECK(prg_pool_close(b.pool, prg_now() + PRG_SECOND, on_closed, &closed) ==
        PRG_AGAIN);
  share(&b, &w[2], s);
  CHECK(refused(&w[2], PRG_K_CLOSED));
  drop_error(&w[2]);
  leave(&w[0]);
  turns(&b);
  CHECK(closed == 0);
  advance(&b, PRG_SECOND); /* by force */
  CHECK(closed == 1);
  leave(&w[1]);
  CHECK(stats(&b).size == 0);
  close_bed(&b);
  prg_stmt_unref(s);
}

/* In the child the borrowers still return what the parent has lent them. */
static void in_child(struct bed *b, struct want *w) {
  struct prg_error *err = NULL;
  struct prg_hub *hub = prg_hub_new(&err);
  prg_hub_forget(b->hub);
  prg_pool_adopt(b->pool, hub);
  CHECK(stats(b).size == 0 && toys.count == 1);
  leave(&w[0]);
  CHECK(toys.count == 1);
  leave(&w[1]);
  CHECK(toys.count == 0);
  prg_pool_free(b->pool);
  prg_hub_unref(hub);
}

static void test_fork(void) {
  struct prg_stmt *s = statement(1);
  struct bed b;
  struct want w[2];
  int status = 1;
  open_shared(&b, standard(1));
  share(&b, &w[0], s);
  turns(&b);
  share(&b, &w[1], s);
  pid_t child = fork();
  if (child == 0) {
    check_failures = 0;
    in_child(&b, w);
    _exit(check_failures == 0 ? 0 : 1);
  }
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  leave(&w[0]);
  leave(&w[1]);
  CHECK(stats(&b).idle == 1);
  close_bed(&b);
  prg_stmt_unref(s);
}

/* ---- at random ---------------------------------------------------------- */

enum { BORROWERS = 40, MAX_SIZE = 3, STMTS = 4 };

struct world {
  struct bed bed;
  struct want w[BORROWERS];
  bool busy[BORROWERS], shares[BORROWERS];
  struct prg_stmt *stmts[STMTS];
  unsigned long seed;
};

static size_t count_on(struct world *x, const struct prg_slot *s) {
  size_t n = 0;
  int i;
  for (i = 0; i < BORROWERS; i++) n += x->busy[i] && x->w[i].b.slot == s;
  return n;
}

static void check_invariants(struct world *x) {
  struct prg_pool_stats s = stats(&x->bed);
  size_t waiting = 0;
  int i;
  CHECK(s.size <= MAX_SIZE);
  CHECK(s.size == s.idle + s.in_use + s.connecting + s.cleaning);
  for (i = 0; i < BORROWERS; i++) {
    const struct want *w = &x->w[i];
    if (!x->busy[i]) continue;
    waiting += w->b.slot == NULL;
    if (w->b.slot == NULL) continue;
    CHECK(w->b.slot->state == (w->b.shared ? PRG_SLOT_SHARED : PRG_SLOT_BUSY));
    CHECK(count_on(x, w->b.slot) == (w->b.shared ? w->b.slot->nshared : 1));
    CHECK(w->b.slot->nshared <= DEPTH);
  }
  CHECK(waiting == s.waiting && (s.waiting == 0 || s.idle == 0));
}

static void finish_one(struct world *x, int i) {
  struct want *w = &x->w[i];
  if (check_random(&x->seed, 40) == 0) {
    toy_in(w)->break_now = true;
    prg_conn_kick(w->b.slot->conn);
    turns(&x->bed);
  }
  if (x->shares[i])
    leave(w);
  else
    give(w);
  x->busy[i] = false;
}

static void act_on(struct world *x, int i) {
  struct want *w = &x->w[i];
  if (x->busy[i] && w->b.slot != NULL) {
    finish_one(x, i);
  } else if (x->busy[i]) {
    if (check_random(&x->seed, 4) != 0) return;
    prg_pool_forget(x->bed.pool, &w->b);
    x->busy[i] = false;
  } else {
    int64_t due = prg_now() + check_random(&x->seed, 400) * PRG_MS;
    x->busy[i] = true;
    x->shares[i] = check_random(&x->seed, 4) != 0;
    if (x->shares[i])
      ask_for(&x->bed, w, x->stmts[check_random(&x->seed, STMTS)], due);
    else
      ask(&x->bed, w, NULL, due);
  }
}

static void sweep_refused(struct world *x) {
  int i;
  for (i = 0; i < BORROWERS; i++) {
    if (!x->busy[i] || x->w[i].result != PRG_ERR) continue;
    drop_error(&x->w[i]);
    x->busy[i] = false;
  }
}

/* Whoever waits gets it when those who have it go on. */
static void check_liveness(struct world *x) {
  int i, round;
  for (round = 0; round < 4 * BORROWERS; round++) {
    for (i = 0; i < BORROWERS; i++)
      if (x->busy[i] && x->w[i].b.slot != NULL) {
        if (x->shares[i])
          leave(&x->w[i]);
        else
          give(&x->w[i]);
        x->busy[i] = false;
      }
    advance(&x->bed, PRG_MS / 4);
    sweep_refused(x);
  }
  CHECK(stats(&x->bed).waiting == 0 && stats(&x->bed).in_use == 0);
}

static void test_random(void) {
  struct world x;
  int i, k;
  memset(&x, 0, sizeof x);
  x.seed = check_seed();
  open_shared(&x.bed, standard(MAX_SIZE));
  for (i = 0; i < STMTS; i++) x.stmts[i] = statement(0);
  for (k = 0; k < 30; k++) {
    for (i = 0; i < 300; i++) {
      act_on(&x, (int)check_random(&x.seed, BORROWERS));
      if (check_random(&x.seed, 4) == 0)
        advance(&x.bed, check_random(&x.seed, 3000));
      if (check_random(&x.seed, 200) == 0) prg_pool_evict(x.bed.pool);
      sweep_refused(&x);
      check_invariants(&x);
    }
    check_liveness(&x);
  }
  CHECK(stats(&x.bed).pipelined > 0);
  close_bed(&x.bed);
  for (i = 0; i < STMTS; i++) prg_stmt_unref(x.stmts[i]);
}

int main(void) {
  RUN(test_first_run_is_alone);
  RUN(test_idle_first_then_least);
  RUN(test_depth);
  RUN(test_none_where_it_must_not);
  RUN(test_nothing_behind_what_is_slow);
  RUN(test_average);
  RUN(test_round_trip_does_not_count);
  RUN(test_alone_does_not_starve);
  RUN(test_one_each_is_kept);
  RUN(test_locks);
  RUN(test_broken_under_sharers);
  RUN(test_old_ones_empty);
  RUN(test_cleaned_after_the_last);
  RUN(test_close_with_sharers);
  RUN(test_fork);
  RUN(test_random);
  return check_result();
}
