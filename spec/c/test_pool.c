/*
** The pool: who gets a connection and when, what happens to one that comes back,
** and what is closed.
*/
#include <sys/wait.h>
#include <unistd.h>

#include "pool_bed.h"

/* ---- waiting ------------------------------------------------------------ */

static void test_lends_and_takes_back(void) {
  struct bed b;
  struct want a, c;
  open_bed(&b, standard(2));
  CHECK(stats(&b).size == 0); /* nothing is opened before it is wanted */
  want(&b, &a);
  turns(&b);
  REQUIRE(a.result == PRG_OK && a.done <= 1);
  CHECK(stats(&b).in_use == 1 && stats(&b).size == 1);
  give(&a);
  CHECK(stats(&b).idle == 1 && stats(&b).in_use == 0);
  want(&b, &c);
  CHECK(c.result == PRG_OK && opened_total == 1); /* at once, the same one */
  give(&c);
  close_bed(&b);
}

static void test_newest_idle_first(void) {
  struct bed b;
  struct want w[3];
  const struct prg_conn *last;
  int i;
  open_bed(&b, standard(3));
  for (i = 0; i < 3; i++) want(&b, &w[i]);
  turns(&b);
  for (i = 0; i < 3; i++) CHECK(w[i].result == PRG_OK);
  last = w[1].b.slot->conn;
  give(&w[0]);
  give(&w[2]);
  give(&w[1]);
  want(&b, &w[0]);
  CHECK(w[0].b.slot->conn == last);
  give(&w[0]);
  close_bed(&b);
}

static void test_fifo_and_timeouts(void) { /* F-52 */
  enum { N = 1000, MAX = 4 };
  static struct want w[N];
  unsigned long seed = check_seed();
  struct bed b;
  int i, before = 0, expired = 0;
  open_bed(&b, standard(MAX));
  for (i = 0; i < N; i++) {
    bool dies = i >= MAX && check_random(&seed, 2) == 0;
    ask(&b, &w[i], NULL, dies ? prg_now() + PRG_SECOND : PRG_NEVER);
    if (i == MAX - 1) turns(&b);
  }
  turns(&b);
  CHECK(stats(&b).in_use == MAX && stats(&b).waiting == N - MAX);
  advance(&b, 2 * PRG_SECOND);
  for (i = 0; i < N; i++)
    if (w[i].done > 0 && w[i].result == PRG_ERR) {
      CHECK(refused(&w[i], PRG_K_TIMEOUT));
      drop_error(&w[i]);
      expired++;
    }
  CHECK((int)stats(&b).timeouts == expired && expired > N / 3);
  CHECK((int)stats(&b).waiting == N - MAX - expired);
  for (i = 0; i < N; i++) {
    if (w[i].result == PRG_ERR) continue;
    CHECK(w[i].result == PRG_OK && w[i].b.slot != NULL);
    if (i >= MAX) CHECK(w[i].order > before); /* I4 */
    before = w[i].order;
    give(&w[i]);
    if (i % 7 == 0) turns(&b);
  }
  CHECK(stats(&b).in_use == 0 && stats(&b).waiting == 0);
  CHECK(max_alive <= MAX && stats(&b).idle == stats(&b).size);
  close_bed(&b);
}

static void test_timeout_says_who(void) {
  struct bed b;
  struct want a, c;
  open_bed(&b, standard(1));
  ask(&b, &a, NULL, PRG_NEVER);
  turns(&b);
  ask(&b, &c, NULL, prg_now() + PRG_SECOND);
  CHECK(c.result == PRG_AGAIN);
  advance(&b, PRG_SECOND / 2);
  CHECK(c.done == 0);
  advance(&b, PRG_SECOND / 2);
  REQUIRE(c.done == 1 && refused(&c, PRG_K_TIMEOUT));
  CHECK(strstr(c.b.error->field[PRG_EF_DETAIL], "a.lua:1") != NULL);
  CHECK(!prg_link_linked(&c.b.link));
  drop_error(&c);
  give(&a);
  CHECK(c.done == 1 && c.b.slot == NULL); /* I3 */
  close_bed(&b);
}

static void test_forget(void) { /* F-27, I3 */
  struct bed b;
  struct want a, c, d;
  open_bed(&b, standard(1));
  want(&b, &a);
  turns(&b);
  want(&b, &c);
  want(&b, &d);
  prg_pool_forget(b.pool, &c.b); /* in the queue */
  CHECK(stats(&b).waiting == 1 && stats(&b).abandoned == 1);
  give(&a);
  CHECK(c.done == 0 && d.result == PRG_OK);
  want(&b, &c);
  want(&b, &a);
  give(&d);
  CHECK(c.result == PRG_OK);
  prg_pool_forget(b.pool, &c.b); /* handed over in this very turn */
  CHECK(a.result == PRG_OK && c.b.slot == NULL);
  give(&a);
  CHECK(stats(&b).in_use == 0 && stats(&b).idle == 1);
  close_bed(&b);
}

static void test_max_waiting(void) {
  struct prg_pool_options o = standard(1);
  struct bed b;
  struct want w[4];
  int i;
  o.max_waiting = 2;
  open_bed(&b, o);
  want(&b, &w[0]);
  turns(&b);
  for (i = 1; i < 4; i++) want(&b, &w[i]);
  CHECK(w[1].result == PRG_AGAIN && w[2].result == PRG_AGAIN);
  CHECK(refused(&w[3], PRG_K_RESOURCE) && w[3].done == 0);
  drop_error(&w[3]);
  for (i = 0; i < 3; i++) give(&w[i]);
  close_bed(&b);
}

static void test_deadlock(void) { /* F-51 */
  struct bed b;
  struct want a, c, d, e;
  int one, two;
  open_bed(&b, standard(2));
  ask(&b, &a, &one, PRG_NEVER);
  ask(&b, &c, &two, PRG_NEVER);
  turns(&b);
  ask(&b, &d, &one, PRG_NEVER);
  CHECK(d.result == PRG_AGAIN); /* `two` may give back */
  ask(&b, &e, &two, PRG_NEVER);
  CHECK(refused(&e, PRG_K_USAGE)); /* it cannot: it would wait, too */
  CHECK(strstr(prg_error_message(e.b.error), "a.lua:1") != NULL);
  drop_error(&e);
  give(&c);
  CHECK(d.result == PRG_OK);
  ask(&b, &c, &one, PRG_NEVER);
  CHECK(refused(&c, PRG_K_USAGE)); /* it holds all of them itself */
  drop_error(&c);
  ask(&b, &c, &two, PRG_NEVER);
  CHECK(c.result == PRG_AGAIN);
  give(&a);
  CHECK(c.result == PRG_OK);
  give(&c);
  give(&d);
  close_bed(&b);
}

static void test_waiting_is_unmarked(void) {
  struct bed b;
  struct want a, c, d;
  int one, two;
  open_bed(&b, standard(2));
  ask(&b, &a, &one, PRG_NEVER);
  ask(&b, &c, &two, PRG_NEVER);
  turns(&b);
  ask(&b, &d, &one, prg_now() + PRG_SECOND);
  advance(&b, 2 * PRG_SECOND);
  CHECK(refused(&d, PRG_K_TIMEOUT)); /* `one` waits no more … */
  drop_error(&d);
  ask(&b, &d, &two, PRG_NEVER);
  CHECK(d.result == PRG_AGAIN); /* … so `two` may */
  prg_pool_forget(b.pool, &d.b);
  ask(&b, &d, &one, PRG_NEVER);
  CHECK(d.result == PRG_AGAIN);
  prg_pool_forget(b.pool, &d.b);
  give(&a);
  give(&c);
  close_bed(&b);
}

/* ---- connecting --------------------------------------------------------- */

static void test_spike(void) { /* F-59 */
  enum { N = 50, IDLE = 5 };
  static struct want w[N];
  struct bed b;
  int i, done = 0, ms;
  open_bed(&b, standard(N));
  for (i = 0; i < IDLE; i++) want(&b, &w[i]);
  turns(&b);
  for (i = 0; i < IDLE; i++) give(&w[i]);
  CHECK(opened_total == IDLE);
  connect_time = 150 * PRG_MS;
  for (i = 0; i < N; i++) want(&b, &w[i]);
  for (ms = 0; ms < 40 && done < N; ms += 2) { /* each holds for 2 ms */
    bool held[N];
    for (i = 0; i < N; i++)
      held[i] = w[i].result == PRG_OK && w[i].b.slot != NULL;
    advance(&b, 2 * PRG_MS);
    for (i = 0; i < N; i++)
      if (held[i]) {
        give(&w[i]);
        done++;
      }
  }
  CHECK(done == N); /* before the first new connection was there */
  CHECK(stats(&b).size <= IDLE + 1);
  close_bed(&b);
}

static void test_survives_forgotten_wish(void) {
  struct bed b;
  struct want a;
  open_bed(&b, standard(2));
  connect_time = PRG_SECOND;
  want(&b, &a);
  advance(&b, PRG_MS);
  CHECK(stats(&b).connecting == 1);
  prg_pool_forget(b.pool, &a.b);
  advance(&b, PRG_SECOND); /* goes on in the background, for the next */
  CHECK(stats(&b).idle == 1 && stats(&b).in_use == 0);
  close_bed(&b);
}

static void test_back_off(void) {
  struct bed b;
  struct want a;
  int i, attempts;
  open_bed(&b, standard(2));
  refuse_all = true;
  want(&b, &a);
  advance(&b, 100 * PRG_MS);
  CHECK(a.done == 0); /* a server that restarts is no error yet */
  for (i = 0; i < 100 && a.done == 0; i++) advance(&b, 50 * PRG_MS);
  REQUIRE(refused(&a, PRG_K_CONNECT));
  drop_error(&a);
  CHECK(i > 5);
  attempts = (int)stats(&b).failures;
  CHECK(attempts >= 3 && attempts < 40);
  for (i = 0; i < 600; i++) advance(&b, 100 * PRG_MS);
  CHECK((int)stats(&b).failures <= attempts + 1); /* nobody wants one */
  want(&b, &a);
  attempts = (int)stats(&b).failures;
  for (i = 0; i < 600; i++) {
    advance(&b, 100 * PRG_MS);
    if (a.done > 0 && a.result == PRG_ERR) {
      drop_error(&a);
      want(&b, &a);
    }
  }
  attempts = (int)stats(&b).failures - attempts;
  CHECK(attempts >= 60 / 5 && attempts < 60 * 2); /* seldom, but for ever: I5 */
  refuse_all = false;
  for (i = 0; i < 60 && a.result != PRG_OK; i++) advance(&b, 100 * PRG_MS);
  CHECK(a.result == PRG_OK);
  if (a.b.slot != NULL) give(&a);
  close_bed(&b);
}

static void test_hopeless_fails_fast(void) { /* F-04 */
  struct bed b;
  struct want a, c;
  open_bed(&b, standard(2));
  refuse_all = true;
  refusal = prg_error_new(PRG_K_AUTH, "wrong password");
  want(&b, &a);
  want(&b, &c);
  advance(&b, 100 * PRG_MS);
  CHECK(refused(&a, PRG_K_AUTH) && refused(&c, PRG_K_AUTH));
  CHECK(a.done == 0 && c.done == 1); /* one was told by acquire itself */
  CHECK(stats(&b).connecting == 0 && stats(&b).size == 0); /* I8 */
  drop_error(&a);
  drop_error(&c);
  close_bed(&b);
}

static void test_busy_server_is_waited_for(void) {
  struct bed b;
  struct want a;
  int i;
  open_bed(&b, standard(2));
  refuse_all = true;
  refusal = prg_error_new(PRG_K_CONNECT, "too many clients");
  memcpy(refusal->sqlstate, "53300", 6);
  ask(&b, &a, NULL, prg_now() + 10 * PRG_SECOND);
  for (i = 0; i < 90; i++) advance(&b, 100 * PRG_MS);
  CHECK(a.done == 0);
  for (i = 0; i < 20; i++) advance(&b, 100 * PRG_MS);
  REQUIRE(refused(&a, PRG_K_TIMEOUT));
  CHECK(a.b.error->cause != NULL); /* the waiter learns why */
  CHECK(strstr(prg_error_message(a.b.error), "too many clients") != NULL);
  drop_error(&a);
  close_bed(&b);
}

static void test_connect_has_a_deadline(void) {
  struct bed b;
  struct want a;
  open_bed(&b, standard(1));
  connect_time = PRG_NEVER;
  ask(&b, &a, NULL, PRG_NEVER);
  advance(&b, 9 * PRG_SECOND);
  CHECK(stats(&b).connecting == 1);
  connect_time = 0;
  advance(&b, 2 * PRG_SECOND);
  advance(&b, PRG_SECOND);
  CHECK(a.done == 1);
  if (a.result == PRG_OK)
    give(&a);
  else
    drop_error(&a);
  close_bed(&b);
}

/* ---- coming back -------------------------------------------------------- */

static void test_reset(void) {
  struct bed b;
  struct want a, c;
  open_bed(&b, standard(1));
  want(&b, &a);
  turns(&b);
  CHECK(a.b.slot->fresh);
  a.b.slot->fresh = false;
  give(&a);
  CHECK(resets == 0);
  want(&b, &a);
  CHECK(!a.b.slot->fresh);
  toy_in(&a)->base.tx = PRG_TX_OPEN;
  reset_hangs = true;
  give(&a);
  CHECK(stats(&b).cleaning == 1 && stats(&b).idle == 0);
  want(&b, &c);
  turns(&b);
  CHECK(c.result == PRG_AGAIN); /* I6: not before it is clean */
  reset_hangs = false;
  prg_conn_kick(&PRG_CONTAINER(prg_list_first(&toys), struct toy, link)->base);
  turns(&b);
  CHECK(c.result == PRG_OK && resets == 1 && opened_total == 1);
  CHECK(c.b.slot->fresh);
  toy_in(&c)->base.touched = true;
  give(&c);
  turns(&b);
  CHECK(resets == 2 && stats(&b).idle == 1);
  close_bed(&b);
}

static void test_reset_policies(void) {
  struct prg_pool_options o = standard(1);
  struct bed b;
  struct want a;
  int one;
  o.reset = PRG_RESET_ALWAYS;
  open_bed(&b, o);
  want(&b, &a);
  turns(&b);
  give(&a);
  turns(&b);
  CHECK(resets == 1);
  close_bed(&b);
  o.reset = PRG_RESET_NEVER;
  open_bed(&b, o);
  want(&b, &a);
  turns(&b);
  toy_in(&a)->base.touched = true;
  give(&a);
  turns(&b);
  CHECK(resets == 0);
  want(&b, &a);
  toy_in(&a)->base.tx = PRG_TX_FAILED;
  give(&a);
  turns(&b);
  CHECK(resets == 1); /* an open transaction is never kept */
  close_bed(&b);
  open_bed(&b, standard(1));
  ask(&b, &a, &one, PRG_NEVER);
  turns(&b);
  toy_in(&a)->dirty = true;
  give(&a);
  turns(&b);
  CHECK(resets == 1);
  close_bed(&b);
}

static void test_failed_reset_closes(void) {
  struct bed b;
  struct want a, c;
  open_bed(&b, standard(1));
  want(&b, &a);
  turns(&b);
  want(&b, &c);
  toy_in(&a)->base.tx = PRG_TX_OPEN;
  reset_fails = true;
  give(&a);
  turns(&b);
  turns(&b);
  CHECK(c.result == PRG_OK && opened_total == 2);
  give(&c);
  close_bed(&b);
}

static void test_cleaning_has_a_deadline(void) { /* F-20 */
  struct bed b;
  struct want a, c;
  open_bed(&b, standard(1));
  want(&b, &a);
  turns(&b);
  toy_in(&a)->base.tx = PRG_TX_OPEN;
  reset_hangs = true;
  want(&b, &c);
  give(&a);
  turns(&b);
  advance(&b, 4 * PRG_SECOND);
  CHECK(c.result == PRG_AGAIN && max_alive == 1);
  advance(&b, 2 * PRG_SECOND);
  turns(&b);
  CHECK(c.result == PRG_OK && opened_total == 2);
  if (c.b.slot != NULL) give(&c);
  close_bed(&b);
}

static void test_unread_answer_is_drained(void) {
  struct bed b;
  struct want a, c;
  struct prg_req *req;
  struct toy *t;
  open_bed(&b, standard(1));
  want(&b, &a);
  turns(&b);
  t = toy_in(&a);
  t->stuck = true;
  req = prg_req_new(PRG_REQ_PING, NULL);
  REQUIRE(req != NULL);
  prg_conn_submit(&t->base, req);
  turns(&b);
  prg_req_free(req); /* a ghost now */
  want(&b, &c);
  give(&a);
  turns(&b);
  CHECK(stats(&b).cleaning == 1 && c.result == PRG_AGAIN);
  t->stuck = false;
  prg_conn_kick(&t->base);
  turns(&b);
  CHECK(c.result == PRG_OK && opened_total == 1);
  if (c.b.slot != NULL) give(&c);
  close_bed(&b);
}

static void test_broken_ones_are_replaced(void) {
  struct bed b;
  struct want a, c;
  open_bed(&b, standard(1));
  want(&b, &a);
  turns(&b);
  want(&b, &c);
  toy_in(&a)->break_now = true;
  prg_conn_kick(a.b.slot->conn);
  turns(&b);
  CHECK(a.b.slot->conn->state == PRG_CONN_BROKEN);
  CHECK(stats(&b).in_use == 1 && c.result == PRG_AGAIN);
  give(&a);
  turns(&b);
  CHECK(c.result == PRG_OK && opened_total == 2);
  give(&c);
  toy_of(&PRG_CONTAINER(prg_list_first(&toys), struct toy, link)->base)
      ->break_now = true; /* while idle */
  prg_conn_kick(&PRG_CONTAINER(prg_list_first(&toys), struct toy, link)->base);
  turns(&b);
  CHECK(stats(&b).size == 0 && toys.count == 0);
  close_bed(&b);
}

static void test_discard(void) {
  struct bed b;
  struct want a, c;
  open_bed(&b, standard(1));
  want(&b, &a);
  turns(&b);
  want(&b, &c);
  prg_pool_discard(a.b.slot, "the test says so");
  turns(&b);
  CHECK(c.result == PRG_OK && opened_total == 2);
  give(&c);
  close_bed(&b);
}

/* ---- growing old -------------------------------------------------------- */

static void test_lifetime_has_jitter(void) { /* F-55 */
  enum { N = 100 };
  static struct want w[N];
  struct prg_pool_options o = standard(N);
  struct bed b;
  int i, s, worst = 0, ended = 0, left = N;
  o.lifetime = 1800 * PRG_SECOND;
  open_bed(&b, o);
  for (i = 0; i < N; i++) want(&b, &w[i]);
  for (i = 0; i < N; i++) turns(&b);
  CHECK(stats(&b).in_use == N);
  for (s = 1500; s < 2000; s++) {
    int now = 0;
    prg_clock_fake((1000 + s) * PRG_SECOND);
    for (i = 0; i < N; i++)
      if (w[i].b.slot != NULL && prg_now() >= w[i].b.slot->retire_at) {
        give(&w[i]); /* in use it may get older; it ends when it returns */
        now++;
      }
    ended += now;
    if (now > worst) worst = now;
    if (s < 1619) CHECK(ended == 0);
  }
  CHECK(ended == N && worst < N / 10);
  advance(&b, 3600 * PRG_SECOND);
  left = (int)stats(&b).size;
  CHECK(left == 0);
  close_bed(&b);
}

static void test_old_ones_are_not_lent(void) {
  struct prg_pool_options o = standard(1);
  struct bed b;
  struct want a;
  o.lifetime = 100 * PRG_SECOND;
  open_bed(&b, o);
  want(&b, &a);
  turns(&b);
  give(&a);
  prg_clock_fake(prg_now() + 111 * PRG_SECOND); /* no turn of the hub */
  want(&b, &a);
  turns(&b);
  CHECK(a.result == PRG_OK && opened_total == 2);
  give(&a);
  close_bed(&b);
}

static void test_idle_timeout(void) {
  struct prg_pool_options o = standard(5);
  struct want w[5];
  struct bed b;
  int i;
  o.idle_timeout = 600 * PRG_SECOND;
  o.min_size = 2;
  open_bed(&b, o);
  for (i = 0; i < 5; i++) want(&b, &w[i]);
  for (i = 0; i < 5; i++) turns(&b);
  for (i = 0; i < 5; i++) give(&w[i]);
  for (i = 0; i < 5; i++) advance(&b, 100 * PRG_SECOND);
  CHECK(stats(&b).size == 5);
  for (i = 0; i < 10; i++) advance(&b, 100 * PRG_SECOND);
  CHECK(stats(&b).size == 2); /* min_size stay */
  close_bed(&b);
}

static void test_check_after_idling(void) {
  struct prg_pool_options o = standard(1);
  struct bed b;
  struct want a, c;
  o.check_after = 30 * PRG_SECOND;
  open_bed(&b, o);
  want(&b, &a);
  turns(&b);
  give(&a);
  advance(&b, 10 * PRG_SECOND);
  want(&b, &a);
  CHECK(a.result == PRG_OK && pings == 0);
  give(&a);
  advance(&b, 60 * PRG_SECOND);
  want(&b, &a);
  turns(&b);
  CHECK(a.result == PRG_OK && pings == 1 && opened_total == 1);
  give(&a);
  ping_hangs = true; /* F-19 */
  advance(&b, 60 * PRG_SECOND);
  want(&b, &a);
  want(&b, &c);
  turns(&b);
  CHECK(a.result == PRG_AGAIN && stats(&b).cleaning == 1);
  advance(&b, 3 * PRG_SECOND);
  turns(&b);
  CHECK(a.result == PRG_OK && opened_total == 2);
  if (a.b.slot != NULL) give(&a);
  CHECK(c.result == PRG_OK);
  if (c.b.slot != NULL) give(&c);
  close_bed(&b);
}

static void test_evict(void) { /* F-58 */
  struct bed b;
  struct want a, c;
  open_bed(&b, standard(2));
  want(&b, &a);
  want(&b, &c);
  turns(&b);
  turns(&b);
  give(&c);
  prg_pool_evict(b.pool);
  CHECK(stats(&b).idle == 0 && stats(&b).in_use == 1);
  give(&a);
  CHECK(stats(&b).size == 0);
  want(&b, &a);
  turns(&b);
  CHECK(a.result == PRG_OK && opened_total == 3);
  give(&a);
  CHECK(stats(&b).idle == 1);
  close_bed(&b);
}

/* ---- closing ------------------------------------------------------------ */

static int closed_calls;

static void on_closed(void *ud) {
  (void)ud;
  closed_calls++;
}

static void test_close_drains(void) { /* F-54 */
  struct bed b;
  struct want a, c, d;
  open_bed(&b, standard(1));
  closed_calls = 0;
  want(&b, &a);
  turns(&b);
  want(&b, &c);
  CHECK(prg_pool_close(b.pool, prg_now() + 5 * PRG_SECOND, on_closed, NULL) ==
        PRG_AGAIN);
  CHECK(refused(&c, PRG_K_CLOSED));
  drop_error(&c);
  want(&b, &d);
  CHECK(refused(&d, PRG_K_CLOSED));
  drop_error(&d);
  turns(&b);
  CHECK(closed_calls == 0 && a.b.slot->conn->state == PRG_CONN_READY);
  give(&a);
  turns(&b);
  CHECK(closed_calls == 1 && stats(&b).size == 0 && toys.count == 0);
  CHECK(prg_pool_close(b.pool, prg_now(), on_closed, NULL) == PRG_OK);
  turns(&b);
  CHECK(closed_calls == 1);
  close_bed(&b);
}

static void test_close_by_force(void) {
  struct bed b;
  struct want a;
  open_bed(&b, standard(1));
  closed_calls = 0;
  want(&b, &a);
  turns(&b);
  CHECK(prg_pool_close(b.pool, prg_now() + 5 * PRG_SECOND, on_closed, NULL) ==
        PRG_AGAIN);
  advance(&b, 6 * PRG_SECOND);
  CHECK(a.b.slot->conn->state == PRG_CONN_BROKEN);
  CHECK(closed_calls == 1);
  give(&a);
  turns(&b);
  CHECK(stats(&b).size == 0 && toys.count == 0);
  close_bed(&b);
}

static void test_close_at_once(void) {
  struct bed b;
  struct want a;
  open_bed(&b, standard(2));
  CHECK(prg_pool_close(b.pool, PRG_NEVER, on_closed, NULL) == PRG_OK);
  close_bed(&b);
  open_bed(&b, standard(2));
  connect_time = PRG_NEVER;
  want(&b, &a);
  turns(&b);
  CHECK(stats(&b).connecting == 1);
  CHECK(prg_pool_close(b.pool, PRG_NEVER, on_closed, NULL) == PRG_OK);
  CHECK(refused(&a, PRG_K_CLOSED) && stats(&b).size == 0);
  drop_error(&a);
  turns(&b);
  CHECK(toys.count == 0);
  close_bed(&b);
}

/* What is idle is forgotten, who waits is taken off, what is lent is lost and still
** given back. */
static void adopt(struct bed *b, struct want *lent, struct want *waiting) {
  struct prg_error *err = NULL;
  struct prg_hub *hub = prg_hub_new(&err);
  struct want w;
  CHECK(hub != NULL && prg_pool_is_forked(b->pool));
  want(b, &w);
  CHECK(refused(&w, PRG_K_USAGE));
  drop_error(&w);
  prg_hub_forget(b->hub);
  prg_pool_adopt(b->pool, hub);
  CHECK(!prg_pool_is_forked(b->pool) && prg_pool_is_orphaned(b->pool));
  CHECK(stats(b).size == 0 && stats(b).waiting == 0 && toys.count == 1);
  if (waiting != NULL) {
    CHECK(waiting->done == 0);
    prg_pool_forget(b->pool, &waiting->b);
  }
  CHECK(prg_conn_is_forked(lent->b.slot->conn));
  give(lent);
  CHECK(toys.count == 0 && stats(b).size == 0);
  want(b, &w); /* the driver cannot open it again */
  CHECK(refused(&w, PRG_K_USAGE));
  drop_error(&w);
  CHECK(prg_pool_close(b->pool, PRG_NEVER, on_closed, NULL) == PRG_OK);
  prg_pool_free(b->pool);
  prg_hub_unref(hub);
}

static void adopt_in_child(struct bed *b, struct want *lent,
                           struct want *waiting) {
  int status = 1;
  pid_t child = fork();
  if (child == 0) {
    check_failures = 0;
    adopt(b, lent, waiting);
    _exit(check_failures == 0 ? 0 : 1);
  }
  CHECK(waitpid(child, &status, 0) == child && status == 0);
}

static void test_fork_with_waiter(void) {
  struct bed b;
  struct want lent, waiting;
  open_bed(&b, standard(1));
  want(&b, &lent);
  turns(&b);
  ask(&b, &waiting, NULL, prg_now() + PRG_SECOND);
  CHECK(stats(&b).waiting == 1);
  adopt_in_child(&b, &lent, &waiting);
  give(&lent);
  CHECK(waiting.result == PRG_OK);
  give(&waiting);
  close_bed(&b);
}

static void test_fork_with_idle(void) {
  struct bed b;
  struct want lent, idle;
  open_bed(&b, standard(2));
  want(&b, &lent);
  turns(&b);
  want(&b, &idle);
  turns(&b);
  give(&idle);
  CHECK(stats(&b).idle == 1 && stats(&b).in_use == 1);
  adopt_in_child(&b, &lent, NULL);
  give(&lent);
  CHECK(stats(&b).idle == 2);
  close_bed(&b);
}

int main(void) {
  RUN(test_lends_and_takes_back);
  RUN(test_newest_idle_first);
  RUN(test_fifo_and_timeouts);
  RUN(test_timeout_says_who);
  RUN(test_forget);
  RUN(test_max_waiting);
  RUN(test_deadlock);
  RUN(test_waiting_is_unmarked);
  RUN(test_spike);
  RUN(test_survives_forgotten_wish);
  RUN(test_back_off);
  RUN(test_hopeless_fails_fast);
  RUN(test_busy_server_is_waited_for);
  RUN(test_connect_has_a_deadline);
  RUN(test_reset);
  RUN(test_reset_policies);
  RUN(test_failed_reset_closes);
  RUN(test_cleaning_has_a_deadline);
  RUN(test_unread_answer_is_drained);
  RUN(test_broken_ones_are_replaced);
  RUN(test_discard);
  RUN(test_lifetime_has_jitter);
  RUN(test_old_ones_are_not_lent);
  RUN(test_idle_timeout);
  RUN(test_check_after_idling);
  RUN(test_evict);
  RUN(test_close_drains);
  RUN(test_close_by_force);
  RUN(test_close_at_once);
  RUN(test_fork_with_waiter);
  RUN(test_fork_with_idle);
  return check_result();
}
