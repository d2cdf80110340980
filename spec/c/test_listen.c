/*
** Listening (pool/listen.c) with a toy server and a clock that the test sets:
** what is sent, who is told of what, and random use under broken connections, a
** silent server and short memory, where each listener must see all numbers in
** order but where it was told of a gap.
*/
#include "base/clock.h"
#include "base/mem.h"
#include "check.h"
#include "pool/listen.h"

enum { NCHANS = 4 };

/* ---- the server --------------------------------------------------------- */

static struct prg_conn *session; /* the one that is open, or NULL */
static bool refuses, silent;
static bool on[NCHANS];     /* it listens */
static int64_t seq[NCHANS]; /* told so far on a channel */
static int sessions, pings;
static char said[512]; /* the last script */

static struct prg_conn *toy_new(void) {
  return prg_calloc(1, sizeof(struct prg_conn));
}

/* "LISTEN c1;UNLISTEN c2;" */
static void run_script(const char *sql) {
  snprintf(said, sizeof said, "%s", sql);
  while (*sql != '\0') {
    bool un = strncmp(sql, "UN", 2) == 0;
    int i = sql[un ? 10 : 8] - '0';
    CHECK(i >= 0 && i < NCHANS && on[i] == un);
    on[i] = !un;
    sql = strchr(sql, ';') + 1;
  }
}

static void answer(struct prg_req *req) {
  if (req->kind == PRG_REQ_PING)
    pings++;
  else
    run_script(req->stmt->sql);
  prg_req_finish(req, NULL, NULL);
}

static int toy_step(struct prg_conn *c, unsigned ready, struct prg_wait *w) {
  (void)ready;
  w->fd = -1;
  if (c->state == PRG_CONN_CONNECTING) {
    if (refuses) {
      c->error = prg_error_new(PRG_K_CONNECT, "nobody is there");
      return PRG_ERR;
    }
    session = c;
    sessions++;
    memset(on, 0, sizeof on);
    return PRG_OK;
  }
  while (!silent) {
    struct prg_req *req = prg_conn_head(c);
    if (req == NULL) req = prg_conn_next(c);
    if (req == NULL) break;
    answer(req);
  }
  return PRG_AGAIN;
}

static void toy_fini(struct prg_conn *c, bool forked) {
  (void)forked;
  if (session == c) session = NULL;
}

static const struct prg_driver toy = {.abi = PRG_DRIVER_ABI,
                                      .name = "toy",
                                      .features = PRG_F_NOTIFY,
                                      .conn_new = toy_new,
                                      .step = toy_step,
                                      .fini = toy_fini};

static void notify(int i) {
  char name[] = "c0", payload[24];
  struct prg_notify n = {{name, 2}, {payload, 0}, 7};
  name[1] = (char)('0' + i);
  n.payload.n =
      (size_t)snprintf(payload, sizeof payload, "%lld", (long long)++seq[i]);
  if (session != NULL && on[i]) prg_conn_tell_notify(session, &n);
}

static void break_session(void) {
  if (session != NULL)
    prg_conn_fail(session, prg_error_new(PRG_K_CLOSED, "cut"));
}

/* ---- listeners ---------------------------------------------------------- */

struct mine {
  struct prg_listener l;
  bool open, woken, was_ready;
  unsigned chans;       /* a bit for each */
  int64_t last[NCHANS]; /* number heard */
  bool any[NCHANS];     /* after a gap any later number will do */
  int64_t base[NCHANS]; /* told when it became ready */
  int notes, gaps;
};

static struct prg_hub *hub;
static struct prg_ear *ear;
static struct prg_config config;

static void note_ready(struct mine *m) {
  if (!m->l.ready || m->was_ready) return;
  m->was_ready = true;
  memcpy(m->base, seq, sizeof seq);
  memcpy(m->last, seq, sizeof seq);
}

static void on_wake(struct prg_listener *l) {
  struct mine *m = PRG_CONTAINER(l, struct mine, l);
  m->woken = true;
  note_ready(m);
}

static bool open_mine(struct mine *m, unsigned chans, size_t max) {
  static char names[NCHANS][3] = {"c0", "c1", "c2", "c3"};
  struct prg_channel_name list[NCHANS];
  size_t n = 0;
  memset(m, 0, sizeof *m);
  prg_list_init(&m->l.queue);
  m->l.wake = on_wake;
  m->l.max_pending = max;
  m->chans = chans;
  for (int i = 0; i < NCHANS; i++) {
    struct prg_text t = {names[i], 2};
    if (chans & 1u << i) list[n++] = (struct prg_channel_name){t, t};
  }
  m->open = prg_listener_open(ear, &m->l, list, n) == PRG_OK;
  m->woken = true; /* it looks at itself first */
  note_ready(m);
  return m->open;
}

static void take(struct mine *m, const struct prg_news *n) {
  int i = n->what.channel.p[1] - '0';
  int64_t number = atoll(n->what.payload.p);
  m->notes++;
  CHECK((m->chans & 1u << i) != 0 && n->what.pid == 7);
  if (number <= m->base[i]) return; /* from before it was ready */
  CHECK(m->any[i] ? number > m->last[i] : number == m->last[i] + 1);
  m->any[i] = false;
  m->last[i] = number;
}

static void take_gap(struct mine *m) {
  m->gaps++;
  for (int i = 0; i < NCHANS; i++) m->any[i] = true;
}

/* What its task would do when it is woken. */
static void look(struct mine *m) {
  struct prg_news *n;
  enum prg_heard what;
  if (!m->open || !m->woken) return;
  m->woken = false;
  while (m->was_ready &&
         (what = prg_listener_next(&m->l, &n)) != PRG_HEARD_NOTHING) {
    if (what == PRG_HEARD_GAP) {
      take_gap(m);
    } else {
      take(m, n);
      prg_news_unref(n);
    }
  }
  if (m->l.ear != NULL) return;
  CHECK(m->l.error != NULL && !m->l.ready); /* who listened is not given up */
  prg_listener_close(&m->l);
  m->open = false;
}

static void close_mine(struct mine *m) {
  if (m->open) prg_listener_close(&m->l);
  m->open = false;
}

static void begin(void) {
  struct prg_ear_options o = {10 * PRG_SECOND, 30 * PRG_SECOND};
  struct prg_error *err = NULL;
  prg_clock_fake(1000 * PRG_SECOND);
  refuses = silent = false;
  session = NULL;
  sessions = pings = 0;
  memset(seq, 0, sizeof seq);
  said[0] = '\0';
  hub = prg_hub_new(&err);
  ear = prg_ear_new(hub, &toy, &config, &o);
}

static void finish(void) {
  prg_ear_free(ear, NULL);
  prg_hub_run(hub, 0);
  CHECK(session == NULL);
  prg_hub_unref(hub);
  prg_clock_fake(-1);
}

static void turns(void) {
  for (int i = 0; i < 5; i++) prg_hub_run(hub, 0);
}

static void advance(int64_t us) {
  prg_clock_fake(prg_now() + us);
  turns();
}

/* ---- one thing after the other ------------------------------------------ */

static void test_channels(void) {
  struct mine a, b;
  begin();
  CHECK(open_mine(&a, 1 | 2, 10) && open_mine(&b, 2 | 4, 10));
  CHECK(!a.l.ready);
  turns();
  CHECK(a.l.ready && b.l.ready && sessions == 1);
  CHECK_STR(said, "LISTEN c0;LISTEN c1;LISTEN c2;");
  look(&a);
  look(&b);
  for (int i = 0; i < NCHANS; i++) notify(i);
  look(&a);
  look(&b);
  CHECK(a.notes == 2 && b.notes == 2);
  close_mine(&a);
  CHECK_STR(said, "UNLISTEN c0;");
  CHECK(open_mine(&a, 2, 10) && a.l.ready); /* at once: it is on */
  silent = true;
  close_mine(&b);                            /* UNLISTEN c2 is out … */
  CHECK(open_mine(&b, 4, 10) && !b.l.ready); /* … and it is wanted again */
  silent = false;
  prg_conn_step(session, 0);
  turns();
  CHECK(b.l.ready && on[2]);
  CHECK_STR(said, "LISTEN c2;");
  close_mine(&a);
  close_mine(&b);
  advance(4 * PRG_SECOND);
  CHECK(session != NULL);
  advance(2 * PRG_SECOND);
  CHECK(session == NULL); /* nobody needs it */
  finish();
}

static void test_gaps(void) {
  struct mine a;
  begin();
  CHECK(open_mine(&a, 1, 3));
  turns();
  look(&a);
  notify(0);
  for (int i = 0; i < 3; i++) { /* three losses, nothing in between */
    break_session();
    turns();
    notify(0);
    advance(20 * PRG_MS);
  }
  notify(0);
  look(&a);
  CHECK(a.notes == 2 && a.gaps == 1 && sessions == 4);
  for (int i = 0; i < 5; i++) notify(0);
  CHECK(a.l.queue.count == 4); /* three, and the gap */
  for (int i = 0; i < 2; i++) {
    struct prg_news *n;
    CHECK(prg_listener_next(&a.l, &n) == PRG_HEARD_NEWS);
    prg_news_unref(n);
    a.last[0]++;
  }
  for (int i = 0; i < 3; i++) notify(0);
  look(&a); /* one, a gap, one, a gap */
  CHECK(a.gaps == 3 && a.notes == 4 && a.any[0]);
  close_mine(&a);
  finish();
}

static void test_silence(void) {
  struct mine a;
  begin();
  CHECK(open_mine(&a, 1, 3));
  turns();
  look(&a);
  advance(20 * PRG_SECOND);
  notify(0);
  advance(20 * PRG_SECOND);
  CHECK(pings == 0); /* something was heard */
  advance(11 * PRG_SECOND);
  CHECK(pings == 1 && sessions == 1);
  silent = true;
  advance(31 * PRG_SECOND);
  advance(6 * PRG_SECOND);
  silent = false;
  advance(1 * PRG_SECOND);
  CHECK(sessions == 2 && on[0]);
  look(&a);
  CHECK(a.gaps == 1);
  prg_ear_evict(ear);
  advance(1 * PRG_SECOND);
  CHECK(sessions == 3 && on[0]);
  close_mine(&a);
  finish();
}

/* ---- at random ---------------------------------------------------------- */

enum { NMINE = 6 };

static void one_thing(struct mine *m, unsigned long *state) {
  struct mine *one = &m[check_random(state, NMINE)];
  switch (check_random(state, 16)) {
    case 0:
      if (!one->open)
        (void)open_mine(one, 1 + check_random(state, 15),
                        1 + check_random(state, 8));
      break;
    case 1:
      close_mine(one);
      break;
    case 2:
      break_session();
      break;
    case 3:
      refuses = check_random(state, 3) == 0;
      break;
    case 4:
      silent = check_random(state, 3) == 0;
      if (!silent && session != NULL) prg_conn_step(session, 0);
      break;
    case 5:
      advance(check_random(state, 8000) * PRG_MS);
      break;
    case 6:
      (void)prg_mem_fail_after(1 + check_random(state, 20));
      break;
    case 7:
      look(one);
      break;
    default:
      notify((int)check_random(state, NCHANS));
      turns();
  }
}

/* All is well again: nobody has been forgotten. */
static void settle(struct mine *m) {
  (void)prg_mem_fail_after(0);
  refuses = silent = false;
  if (session != NULL) prg_conn_step(session, 0);
  for (int i = 0; i < 20; i++) advance(1 * PRG_SECOND);
  for (int i = 0; i < NMINE; i++) look(&m[i]);
  for (int i = 0; i < NCHANS; i++) notify(i);
  for (int i = 0; i < NMINE; i++) {
    look(&m[i]);
    if (!m[i].open) continue;
    CHECK(m[i].l.ready && m[i].l.missing == 0);
    for (int j = 0; j < NCHANS; j++)
      if (m[i].chans & 1u << j) CHECK(m[i].last[j] == seq[j] || m[i].any[j]);
  }
}

static void test_random(void) {
  unsigned long state = check_seed();
  long rounds = check_rounds(200);
  for (long r = 0; r < rounds; r++) {
    struct mine m[NMINE];
    memset(m, 0, sizeof m);
    begin();
    for (int i = 0; i < 200; i++) one_thing(m, &state);
    settle(m);
    for (int i = 0; i < 200; i++) one_thing(m, &state);
    settle(m);
    for (int i = 0; i < NMINE; i++) close_mine(&m[i]);
    finish();
  }
}

int main(void) {
  RUN(test_channels);
  RUN(test_gaps);
  RUN(test_silence);
  RUN(test_random);
  return check_result();
}
