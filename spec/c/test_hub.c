/* hub and worker */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/hub.h"
#include "base/mem.h"
#include "base/worker.h"
#include "check.h"

static struct prg_hub *new_hub(void) {
  struct prg_error *err = NULL;
  struct prg_hub *h = prg_hub_new(&err);
  if (!CHECK(h != NULL)) exit(1);
  return h;
}

static bool is_readable(int fd) {
  struct pollfd p = {fd, POLLIN, 0};
  return poll(&p, 1, 0) == 1;
}

/* ---- watches ------------------------------------------------------------ */

struct pair {
  struct prg_watch watch;
  struct prg_hub *hub;
  int mine, peer;
  int calls;
  unsigned ready;
  struct pair *kill; /* unwatched by the callback */
};

static void on_pair(struct prg_watch *w, unsigned ready) {
  struct pair *p = PRG_CONTAINER(w, struct pair, watch);
  p->calls++;
  p->ready = ready;
  if (p->kill != NULL) prg_hub_unwatch(p->hub, &p->kill->watch);
}

static void open_pair(struct prg_hub *h, struct pair *p) {
  int fds[2];
  memset(p, 0, sizeof *p);
  if (!CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0)) exit(1);
  p->hub = h;
  p->mine = fds[0];
  p->peer = fds[1];
  p->watch.fn = on_pair;
}

static void close_pair(struct pair *p) {
  prg_hub_unwatch(p->hub, &p->watch);
  close(p->mine);
  if (p->peer >= 0) close(p->peer);
}

static void test_watch(void) {
  struct prg_hub *h = new_hub();
  struct pair p;
  char c;
  open_pair(h, &p);
  CHECK(!prg_hub_busy(h));
  CHECK(prg_hub_watch(h, &p.watch, p.mine, PRG_READ) == PRG_OK);
  CHECK(prg_hub_busy(h));
  CHECK(prg_hub_run(h, 0) == 0);
  CHECK(write(p.peer, "x", 1) == 1);
  CHECK(is_readable(prg_hub_fd(h)));
  CHECK(prg_hub_run(h, PRG_NEVER) == 1 && p.ready == PRG_READ);
  CHECK(prg_hub_run(h, 0) == 1); /* level triggered */
  CHECK(read(p.mine, &c, 1) == 1);
  CHECK(prg_hub_run(h, 0) == 0);
  CHECK(prg_hub_watch(h, &p.watch, p.mine, PRG_READ | PRG_WRITE) == PRG_OK);
  CHECK(prg_hub_run(h, 0) == 1 && p.ready == PRG_WRITE);
  prg_hub_unwatch(h, &p.watch);
  CHECK(prg_hub_run(h, 0) == 0);
  prg_hub_unwatch(h, &p.watch);
  CHECK(prg_hub_watch(h, &p.watch, -1, PRG_READ) == PRG_ERR && errno == EBADF);
  CHECK(p.watch.slot == 0 && !prg_hub_busy(h));
  close_pair(&p);
  prg_hub_unref(h);
}

static void test_hangup_without_events_is_told_once(void) {
  struct prg_hub *h = new_hub();
  struct pair p;
  open_pair(h, &p);
  CHECK(prg_hub_watch(h, &p.watch, p.mine, 0) == PRG_OK);
  CHECK(write(p.peer, "x", 1) == 1);
  CHECK(prg_hub_run(h, 0) == 0);
  close(p.peer);
  p.peer = -1;
  CHECK(prg_hub_run(h, 0) == 1 && p.ready == PRG_HANGUP);
  CHECK(prg_hub_run(h, 0) == 0);
  CHECK(prg_hub_watch(h, &p.watch, p.mine, PRG_READ) == PRG_OK);
  CHECK(prg_hub_run(h, 0) == 1 && p.ready == (PRG_READ | PRG_HANGUP));
  close_pair(&p);
  prg_hub_unref(h);
}

/* Client libraries close and open sockets under one number. */
static void test_reopened_number(void) {
  struct prg_hub *h = new_hub();
  struct pair p, q;
  open_pair(h, &p);
  CHECK(prg_hub_watch(h, &p.watch, p.mine, PRG_READ) == PRG_OK);
  open_pair(h, &q);
  CHECK(dup2(q.mine, p.mine) == p.mine); /* closes the old one */
  CHECK(prg_hub_watch(h, &p.watch, p.mine, PRG_READ) == PRG_OK);
  CHECK(write(q.peer, "x", 1) == 1);
  CHECK(prg_hub_run(h, 0) == 1 && p.calls == 1);
  /* And under another one. */
  CHECK(prg_hub_watch(h, &p.watch, q.mine, PRG_READ) == PRG_OK);
  CHECK(prg_hub_run(h, 0) == 1 && p.calls == 2);
  /* Closed before it is unwatched. */
  prg_hub_unwatch(h, &p.watch);
  CHECK(prg_hub_watch(h, &p.watch, p.mine, PRG_READ) == PRG_OK);
  close_pair(&p);
  close_pair(&q);
  CHECK(prg_hub_run(h, 0) == 0);
  prg_hub_unref(h);
}

static void test_unwatched_in_the_same_batch(void) {
  struct prg_hub *h = new_hub();
  struct pair p, q;
  open_pair(h, &p);
  open_pair(h, &q);
  p.kill = &q;
  q.kill = &p;
  CHECK(prg_hub_watch(h, &p.watch, p.mine, PRG_READ) == PRG_OK);
  CHECK(prg_hub_watch(h, &q.watch, q.mine, PRG_READ) == PRG_OK);
  CHECK(write(p.peer, "x", 1) == 1 && write(q.peer, "x", 1) == 1);
  CHECK(prg_hub_run(h, 0) == 1);
  CHECK(p.calls + q.calls == 1);
  close_pair(&p);
  close_pair(&q);
  prg_hub_unref(h);
}

static void test_many_watches(void) {
  enum { N = 100 };
  struct prg_hub *h = new_hub();
  static struct pair p[N];
  int calls = 0;
  for (int i = 0; i < N; i++) {
    open_pair(h, &p[i]);
    CHECK(prg_hub_watch(h, &p[i].watch, p[i].mine, PRG_WRITE) == PRG_OK);
  }
  while (calls < N) calls += prg_hub_run(h, 0);
  for (int i = 0; i < N; i++) CHECK(p[i].calls >= 1);
  for (int i = 0; i < N; i++) close_pair(&p[i]);
  CHECK(!prg_hub_busy(h));
  prg_hub_unref(h);
}

/* ---- timers ------------------------------------------------------------- */

struct alarm {
  struct prg_timer timer;
  struct prg_hub *hub;
  int fired;
  int64_t again; /* set again for this time when it fires, unless 0 */
  struct alarm *clear;
};

static void on_alarm(struct prg_timer *t) {
  struct alarm *a = PRG_CONTAINER(t, struct alarm, timer);
  CHECK(!prg_timer_is_set(t));
  CHECK(t->due <= prg_now());
  a->fired++;
  if (a->again != 0) prg_timer_set(a->hub, t, a->again);
  if (a->clear != NULL) prg_timer_clear(a->hub, &a->clear->timer);
}

static void test_timers(void) {
  struct prg_hub *h = new_hub();
  struct alarm a = {.timer.fn = on_alarm, .hub = h};
  struct alarm b = {.timer.fn = on_alarm, .hub = h};
  prg_clock_fake(1000);
  prg_timer_set(h, &a.timer, 2000);
  prg_timer_set(h, &b.timer, 1500);
  CHECK(prg_timer_is_set(&a.timer));
  CHECK(prg_hub_run(h, 0) == 0);
  prg_clock_fake(1700);
  CHECK(prg_hub_run(h, PRG_NEVER) == 1 && b.fired == 1 && a.fired == 0);
  prg_clock_fake(2000);
  a.again = 10; /* the past: once a turn, not for ever */
  CHECK(prg_hub_run(h, 0) == 1 && a.fired == 1);
  CHECK(prg_hub_run(h, 0) == 1 && a.fired == 2);
  a.again = 0;
  CHECK(prg_hub_run(h, 0) == 1 && a.fired == 3);
  CHECK(prg_hub_run(h, 0) == 0);
  /* Cleared by a neighbour that fires in the same turn. */
  prg_timer_set(h, &a.timer, 1000);
  prg_timer_set(h, &b.timer, 1100);
  a.clear = &b;
  CHECK(prg_hub_run(h, 0) == 1 && !prg_timer_is_set(&b.timer));
  CHECK(!prg_hub_busy(h));
  prg_clock_fake(-1);
  prg_timer_set(h, &a.timer, prg_now() + 3 * PRG_MS);
  CHECK(prg_hub_run(h, PRG_NEVER) == 1);
  prg_hub_unref(h);
}

/* Random sets and clears against an array. */
static void test_timers_random(void) {
  enum { N = 60 };
  struct prg_hub *h = new_hub();
  static struct alarm a[N];
  int64_t due[N];
  unsigned long seed = check_seed();
  long rounds = check_rounds(20000);
  int64_t now = 1;
  prg_clock_fake(now);
  for (int i = 0; i < N; i++) {
    a[i] = (struct alarm){.timer.fn = on_alarm, .hub = h};
    due[i] = 0;
  }
  for (long r = 0; r < rounds; r++) {
    unsigned i = check_random(&seed, N), what = check_random(&seed, 10);
    if (what < 6) {
      due[i] = now + check_random(&seed, 200);
      prg_timer_set(h, &a[i].timer, due[i]);
    } else if (what < 8) {
      due[i] = 0;
      prg_timer_clear(h, &a[i].timer);
    } else {
      int want = 0;
      now += check_random(&seed, 60);
      prg_clock_fake(now);
      for (int k = 0; k < N; k++) {
        bool fires = due[k] != 0 && due[k] <= now;
        want += fires;
        a[k].fired = fires ? -1 : 0;
        if (fires) due[k] = 0;
      }
      CHECK(prg_hub_run(h, 0) == want);
      for (int k = 0; k < N; k++) CHECK(a[k].fired == 0);
    }
    CHECK(prg_timer_is_set(&a[i].timer) == (due[i] != 0));
    if (check_failures > 0) break;
  }
  for (int i = 0; i < N; i++) prg_timer_clear(h, &a[i].timer);
  CHECK(!prg_hub_busy(h));
  prg_clock_fake(-1);
  prg_hub_unref(h);
}

static void test_armed(void) {
  struct prg_hub *h = new_hub();
  struct alarm a = {.timer.fn = on_alarm, .hub = h};
  struct pollfd p = {prg_hub_fd(h), POLLIN, 0};
  prg_timer_set(h, &a.timer, prg_now() + 5 * PRG_MS);
  CHECK(poll(&p, 1, 20) == 0); /* the built-in loop needs no timerfd */
  prg_hub_arm(h, true);
  CHECK(poll(&p, 1, 1000) == 1);
  CHECK(prg_hub_run(h, 0) >= 1 && a.fired == 1);
  CHECK(prg_hub_run(h, 0) == 0);
  CHECK(!is_readable(p.fd));
  prg_timer_set(h, &a.timer, prg_now() + 50 * PRG_SECOND);
  CHECK(!is_readable(p.fd));
  prg_timer_set(h, &a.timer, prg_now() + 5 * PRG_MS);
  CHECK(poll(&p, 1, 1000) == 1);
  while (a.fired == 1) prg_hub_run(h, 0);
  prg_timer_set(h, &a.timer, 1); /* in the past */
  CHECK(poll(&p, 1, 1000) == 1);
  while (a.fired == 2) prg_hub_run(h, 0);
  prg_hub_unref(h);
}

/* ---- posts, interrupts -------------------------------------------------- */

struct note {
  struct prg_post post;
  struct prg_hub *hub;
  int calls;
  bool again;
  struct note *drop;
};

static void on_note(struct prg_post *p) {
  struct note *n = PRG_CONTAINER(p, struct note, post);
  n->calls++;
  if (n->again) prg_hub_post(n->hub, p);
  if (n->drop != NULL) prg_hub_unpost(n->hub, &n->drop->post);
}

static void test_posts(void) {
  struct prg_hub *h = new_hub();
  struct note a = {.post.fn = on_note, .hub = h};
  struct note b = {.post.fn = on_note, .hub = h};
  prg_hub_post(h, &a.post);
  prg_hub_post(h, &a.post);
  prg_hub_post(h, &b.post);
  a.drop = &b;
  CHECK(prg_hub_busy(h));
  CHECK(prg_hub_run(h, PRG_NEVER) == 1 && a.calls == 1 && b.calls == 0);
  a.again = true;
  prg_hub_post(h, &a.post);
  CHECK(prg_hub_run(h, PRG_NEVER) == 1 && a.calls == 2);
  a.again = false;
  CHECK(prg_hub_run(h, PRG_NEVER) == 1 && a.calls == 3);
  prg_hub_arm(h, true);
  CHECK(!is_readable(prg_hub_fd(h)));
  prg_hub_post(h, &b.post);
  CHECK(is_readable(prg_hub_fd(h)));
  CHECK(prg_hub_run(h, 0) == 1);
  CHECK(!is_readable(prg_hub_fd(h)));
  prg_hub_unpost(h, &b.post);
  prg_hub_unref(h);
}

static struct prg_hub *signalled;

static void on_signal(int sig) {
  (void)sig;
  prg_hub_interrupt(signalled);
}

static void test_interrupt(void) {
  struct prg_hub *h = signalled = new_hub();
  prg_hub_interrupt(h);
  CHECK(prg_hub_run(h, PRG_NEVER) == 0);
  signal(SIGALRM, on_signal);
  alarm(1);
  CHECK(prg_hub_run(h, PRG_NEVER) == 0);
  prg_hub_run(h, 0);
  signal(SIGALRM, SIG_DFL);
  prg_hub_unref(h);
}

static void test_forked(void) {
  struct prg_hub *h = new_hub();
  struct pair p;
  pid_t child;
  int status = 1;
  open_pair(h, &p);
  CHECK(prg_hub_watch(h, &p.watch, p.mine, PRG_READ) == PRG_OK);
  child = fork();
  if (child == 0) {
    bool ok = prg_hub_run(h, 0) == PRG_ERR;
    prg_hub_unwatch(h, &p.watch); /* must not reach the parent's set */
    ok = ok && prg_hub_watch(h, &p.watch, p.mine, PRG_READ) == PRG_ERR;
    prg_hub_unref(h);
    _exit(ok ? 0 : 1);
  }
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  CHECK(write(p.peer, "x", 1) == 1);
  CHECK(prg_hub_run(h, 0) == 1);
  close_pair(&p);
  prg_hub_unref(h);
}

static void test_hub_without_memory(void) {
  for (long n = 1;; n++) {
    struct prg_error *err = NULL;
    struct prg_hub *h;
    struct pair p;
    long left;
    prg_mem_fail_after(n);
    h = prg_hub_new(&err);
    if (h != NULL) {
      open_pair(h, &p);
      if (prg_hub_watch(h, &p.watch, p.mine, PRG_READ) != PRG_OK) {
        CHECK(errno == ENOMEM && p.watch.slot == 0);
      }
      close_pair(&p);
    } else {
      CHECK(err != NULL && err->kind == PRG_K_RESOURCE);
    }
    left = prg_mem_fail_after(0);
    prg_hub_unref(h);
    prg_error_unref(err);
    if (left != 0) break;
  }
}

/* ---- jobs --------------------------------------------------------------- */

static atomic_int runs, orphans, running;
static int dones;
static atomic_bool hold;

static void job_run(struct prg_job *job) {
  (void)job;
  atomic_fetch_add(&running, 1);
  while (atomic_load(&hold)) usleep(200);
  atomic_fetch_add(&runs, 1);
}

static void job_done(struct prg_job *job) {
  dones++;
  prg_free(job);
}

static void job_orphan(struct prg_job *job) {
  prg_free(job);
  atomic_fetch_add(&orphans, 1);
}

static struct prg_job *new_job(void) {
  struct prg_job *job = prg_calloc(1, sizeof *job);
  job->run = job_run;
  job->done = job_done;
  job->orphan = job_orphan;
  return job;
}

static void reset_counts(void) {
  atomic_store(&runs, 0);
  atomic_store(&orphans, 0);
  atomic_store(&running, 0);
  dones = 0;
}

static void test_spawn(void) {
  struct prg_hub *h = new_hub();
  reset_counts();
  for (int i = 0; i < 20; i++) CHECK(prg_job_spawn(h, new_job()) == PRG_OK);
  CHECK(prg_hub_busy(h));
  while (dones < 20) CHECK(prg_hub_run(h, PRG_NEVER) >= 0);
  CHECK(!prg_hub_busy(h) && atomic_load(&orphans) == 0);
  prg_hub_unref(h);
}

static void test_spawn_orphaned(void) {
  struct prg_hub *h = new_hub();
  reset_counts();
  atomic_store(&hold, true);
  for (int i = 0; i < 4; i++) CHECK(prg_job_spawn(h, new_job()) == PRG_OK);
  prg_hub_unref(h);
  atomic_store(&hold, false);
  while (atomic_load(&orphans) < 4) usleep(200);
  CHECK(dones == 0 && atomic_load(&runs) == 4);
}

/* Finished, but the hub goes away before it looks. */
static void test_finished_and_orphaned(void) {
  struct prg_hub *h = new_hub();
  reset_counts();
  CHECK(prg_job_spawn(h, new_job()) == PRG_OK);
  while (!is_readable(prg_hub_fd(h))) usleep(200);
  prg_hub_unref(h);
  CHECK(dones == 0 && atomic_load(&orphans) == 1);
}

static void test_worker(void) {
  struct prg_hub *h = new_hub();
  struct prg_worker *w = prg_worker_new(h);
  reset_counts();
  REQUIRE(w != NULL);
  for (int i = 0; i < 1000; i++) {
    CHECK(prg_worker_submit(w, new_job()) == PRG_OK);
    if (i % 7 == 0) prg_hub_run(h, 0);
  }
  while (dones < 1000) prg_hub_run(h, PRG_NEVER);
  prg_worker_free(w);
  CHECK(atomic_load(&orphans) == 0 && !prg_hub_busy(h));
  w = prg_worker_new(h); /* never started */
  prg_worker_free(w);
  prg_worker_free(NULL);
  prg_hub_unref(h);
}

static void test_worker_freed_early(void) {
  struct prg_hub *h = new_hub();
  struct prg_worker *w = prg_worker_new(h);
  struct prg_worker *other = prg_worker_new(h);
  pthread_t unused = pthread_self();
  (void)unused;
  reset_counts();
  CHECK(prg_worker_submit(other, new_job()) == PRG_OK);
  while (atomic_load(&runs) < 1) usleep(200);
  atomic_store(&hold, true);
  for (int i = 0; i < 3; i++) CHECK(prg_worker_submit(w, new_job()) == PRG_OK);
  while (atomic_load(&running) < 2) usleep(200);
  atomic_store(&hold, false);
  prg_worker_free(w);
  CHECK(dones >= 1 && dones + atomic_load(&orphans) == 3);
  while (prg_hub_busy(h)) prg_hub_run(h, PRG_NEVER);
  CHECK(dones + atomic_load(&orphans) == 4);
  prg_worker_free(other);
  prg_hub_unref(h);
}

int main(void) {
  RUN(test_watch);
  RUN(test_hangup_without_events_is_told_once);
  RUN(test_reopened_number);
  RUN(test_unwatched_in_the_same_batch);
  RUN(test_many_watches);
  RUN(test_timers);
  RUN(test_timers_random);
  RUN(test_armed);
  RUN(test_posts);
  RUN(test_interrupt);
  RUN(test_forked);
  RUN(test_hub_without_memory);
  RUN(test_spawn);
  RUN(test_spawn_orphaned);
  RUN(test_finished_and_orphaned);
  RUN(test_worker);
  RUN(test_worker_freed_early);
  return check_result();
}
