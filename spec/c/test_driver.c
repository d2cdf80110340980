/* driver.c, request.c, stmt.c and result.c; test_driver_random.c has more. */
#include <sys/socket.h>
#include <sys/wait.h>

#include "fake_driver.h"

/* ---- connecting --------------------------------------------------------- */

static void test_open_and_close(void) {
  struct bed b;
  open_bed(&b, 0);
  CHECK(b.drained == 0);
  close_bed_conn(&b);
  CHECK(finis == 1 && b.broken == 0);
  fini_bed(&b);
}

static void test_close_when_new(void) {
  struct bed b;
  init_bed(&b, 0);
  close_bed_conn(&b);
  CHECK(finis == 1);
  fini_bed(&b);
}

static void test_close_inside_events(void) {
  struct bed b;
  init_bed(&b, 0);
  b.close_on_open = true;
  prg_conn_connect(b.conn, PRG_NEVER);
  CHECK(b.conn == NULL && finis == 1);
  new_conn(&b);
  fake_in(&b)->fails = true;
  b.close_on_broken = true;
  prg_conn_connect(b.conn, PRG_NEVER);
  CHECK(b.conn == NULL && finis == 2 && b.broken == 1);
  fini_bed(&b);
}

static void test_connect_timeout(void) {
  struct bed b;
  init_bed(&b, 0);
  fake_in(&b)->may_connect = false;
  prg_conn_connect(b.conn, prg_now() + 10 * PRG_SECOND);
  turns(&b);
  CHECK(b.broken == 0);
  prg_clock_fake(11 * PRG_SECOND);
  turns(&b);
  CHECK(b.broken == 1 && b.conn->state == PRG_CONN_BROKEN && finis == 1);
  CHECK(b.conn->error->kind == PRG_K_TIMEOUT);
  CHECK_STR(prg_error_message(b.conn->error),
            "connecting took longer than 10 s");
  fini_bed(&b);
  CHECK(finis == 1);
}

static void test_connect_later(void) {
  struct bed b;
  struct call k;
  init_bed(&b, 0);
  fake_in(&b)->may_connect = false;
  prg_conn_connect(b.conn, prg_now() + PRG_SECOND);
  make(&b, &k, PRG_REQ_QUERY);
  submit(&k);
  CHECK(has_error(&k, PRG_K_CLOSED) && k.req->error->retryable);
  drop(&k);
  fake_in(&b)->may_connect = true;
  prg_conn_kick(b.conn);
  turns(&b);
  CHECK(b.opened == 1);
  prg_clock_fake(5 * PRG_SECOND);
  turns(&b);
  CHECK(b.broken == 0);
  fini_bed(&b);
}

/* ---- requests ----------------------------------------------------------- */

static void test_at_once(void) {
  struct bed b;
  struct call k;
  open_bed(&b, 0);
  make(&b, &k, PRG_REQ_QUERY);
  k.req->due = prg_now() + 3;
  submit(&k);
  CHECK(k.req->state == PRG_REQ_DONE && k.done == 0);
  CHECK(k.req->result != NULL && k.req->error == NULL);
  CHECK(b.drained == 1);
  drop(&k);
  turns(&b);
  CHECK(b.drained == 1);
  fini_bed(&b);
}

static void test_later(void) {
  struct bed b;
  struct call k;
  open_bed(&b, 0);
  fake_in(&b)->budget = 0;
  make(&b, &k, PRG_REQ_QUERY);
  submit(&k);
  CHECK(k.req->state == PRG_REQ_SENT && !prg_conn_is_drained(b.conn));
  fake_in(&b)->budget = 1;
  prg_conn_step(b.conn, 0);
  CHECK(k.done == 1 && k.req->state == PRG_REQ_DONE && b.drained == 1);
  drop(&k);
  fini_bed(&b);
}

static void test_queue_copies_parameters(void) {
  struct bed b;
  struct call k[2];
  open_bed(&b, 0);
  fake_in(&b)->budget = 0;
  for (int i = 0; i < 2; i++) {
    make(&b, &k[i], PRG_REQ_QUERY);
    submit(&k[i]);
  }
  CHECK(k[1].req->state == PRG_REQ_QUEUED && k[1].req->params_owned);
  steps = 0;
  prg_conn_kick(b.conn);
  prg_conn_kick(b.conn);
  turns(&b);
  CHECK(steps == 1);
  fake_in(&b)->budget = -1;
  prg_conn_kick(b.conn);
  turns(&b);
  CHECK(k[0].done == 1 && k[1].done == 1 && b.drained == 1);
  CHECK(steps == 2); /* finishing asks for no further step */
  drop(&k[0]);
  drop(&k[1]);
  fini_bed(&b);
}

static void test_done_submits_frees_and_closes(void) {
  struct bed b;
  struct call k[4];
  open_bed(&b, 0);
  fake_in(&b)->budget = 0;
  for (int i = 0; i < 4; i++) make(&b, &k[i], PRG_REQ_QUERY);
  k[0].next = &k[2];
  k[0].victim = &k[1];
  k[0].frees = true;
  k[2].next = &k[3];
  k[2].closes = true;
  submit(&k[0]);
  submit(&k[1]);
  fake_in(&b)->budget = 2;
  prg_conn_step(b.conn, 0);
  CHECK(k[0].done == 1 && k[0].req == NULL && k[1].done == 0);
  CHECK(b.conn == NULL);
  turns(&b); /* it is freed when the driver is off the stack */
  CHECK(finis == 1 && k[2].done == 1 && k[2].req->result != NULL);
  CHECK(k[3].done == 1 || has_error(&k[3], PRG_K_CLOSED));
  drop(&k[2]);
  drop(&k[3]);
  fini_bed(&b);
}

static void test_touched(void) {
  struct bed b;
  struct call k;
  open_bed(&b, 0);
  b.stmt->flags = PRG_STMT_SESSION;
  make(&b, &k, PRG_REQ_QUERY);
  submit(&k);
  CHECK(b.conn->touched);
  drop(&k);
  make(&b, &k, PRG_REQ_RESET);
  submit(&k);
  CHECK(!b.conn->touched);
  drop(&k);
  prg_req_free(NULL);
  make(&b, &k, PRG_REQ_PING);
  drop(&k); /* never submitted */
  fini_bed(&b);
}

static void test_notice(void) {
  struct bed b;
  open_bed(&b, 0);
  prg_conn_tell_notice(b.conn, prg_error_oom());
  CHECK(b.notices == 1 && b.conn->notice == NULL);
  fini_bed(&b);
}

/* ---- deadlines and ghosts ----------------------------------------------- */

static void test_deadline_in_flight(void) {
  struct bed b;
  struct call k[2];
  open_bed(&b, PRG_F_CANCEL);
  fake_in(&b)->budget = 0;
  for (int i = 0; i < 2; i++) make(&b, &k[i], PRG_REQ_QUERY);
  k[0].req->due = prg_now() + 30 * PRG_SECOND;
  submit(&k[0]);
  submit(&k[1]);
  prg_clock_fake(31 * PRG_SECOND);
  CHECK(prg_hub_run(b.hub, 0) == 1);
  CHECK(k[0].done == 1 && has_error(&k[0], PRG_K_TIMEOUT));
  CHECK_STR(prg_error_message(k[0].req->error),
            "the query took longer than 30 s");
  CHECK(k[0].req->error->sent && !k[0].req->error->retryable);
  CHECK_STR(k[0].req->error->field[PRG_EF_SQL], "select $1");
  CHECK(cancels == 1 && k[1].req->state == PRG_REQ_QUEUED);
  drop(&k[0]);
  turns(&b); /* the ghost ends, the neighbour is sent */
  CHECK(k[1].req->state == PRG_REQ_SENT && b.drained == 0);
  fake_in(&b)->budget = 1;
  prg_conn_kick(b.conn);
  turns(&b);
  CHECK(k[1].done == 1 && k[1].req->error == NULL && b.drained == 1);
  drop(&k[1]);
  prg_clock_fake(100 * PRG_SECOND);
  turns(&b);
  CHECK(b.broken == 0); /* the timer of the cancel was cleared */
  fini_bed(&b);
}

static void test_deadline_in_queue(void) {
  struct bed b;
  struct call k[2];
  open_bed(&b, PRG_F_CANCEL);
  fake_in(&b)->budget = 0;
  for (int i = 0; i < 2; i++) make(&b, &k[i], PRG_REQ_QUERY);
  submit(&k[0]);
  k[1].req->due = prg_now() + 150 * PRG_MS;
  submit(&k[1]);
  prg_clock_fake(2 * PRG_SECOND);
  turns(&b);
  CHECK(k[1].done == 1 && has_error(&k[1], PRG_K_TIMEOUT));
  CHECK_STR(prg_error_message(k[1].req->error),
            "the query took longer than 0.15 s");
  CHECK(!k[1].req->error->sent && cancels == 0);
  CHECK(k[0].req->state == PRG_REQ_SENT);
  drop(&k[1]);
  drop(&k[0]);
  turns(&b);
  CHECK(cancels == 1 && b.drained == 1);
  make(&b, &k[0], PRG_REQ_QUERY); /* late from the start */
  k[0].req->due = 5;
  submit(&k[0]);
  CHECK(has_error(&k[0], PRG_K_TIMEOUT) && k[0].done == 0);
  CHECK_STR(prg_error_message(k[0].req->error),
            "the time for the query was over before it was sent");
  drop(&k[0]);
  fini_bed(&b);
}

/* Only the request that runs is cancelled, and the 5 s begin there. */
static void test_ghost_behind_a_neighbour(void) {
  struct bed b;
  struct call k[3];
  open_bed(&b, PRG_F_CANCEL | PRG_F_PIPELINE);
  fake_in(&b)->budget = 0;
  fake_in(&b)->width = 3;
  for (int i = 0; i < 3; i++) {
    make(&b, &k[i], PRG_REQ_QUERY);
    submit(&k[i]);
    CHECK(k[i].req->state == PRG_REQ_SENT);
  }
  drop(&k[1]);
  prg_clock_fake(100 * PRG_SECOND);
  turns(&b);
  CHECK(cancels == 0 && b.broken == 0);
  fake_in(&b)->budget = 1;
  prg_conn_kick(b.conn);
  CHECK(prg_hub_run(b.hub, 0) == 1);
  CHECK(k[0].done == 1 && cancels == 1 && k[2].done == 0);
  turns(&b);
  fake_in(&b)->budget = 1;
  prg_conn_kick(b.conn);
  turns(&b);
  CHECK(k[2].done == 1 && k[2].req->error == NULL && b.drained == 1);
  drop(&k[0]);
  drop(&k[2]);
  fini_bed(&b);
}

static void test_ghost_that_does_not_end(void) {
  struct bed b;
  struct call k[2];
  open_bed(&b, PRG_F_CANCEL);
  fake_in(&b)->budget = 0;
  fake_in(&b)->deaf = true;
  for (int i = 0; i < 2; i++) {
    make(&b, &k[i], PRG_REQ_QUERY);
    submit(&k[i]);
  }
  drop(&k[0]);
  turns(&b);
  prg_clock_fake(5900 * PRG_MS);
  turns(&b);
  CHECK(b.broken == 0);
  prg_clock_fake(6 * PRG_SECOND);
  turns(&b);
  CHECK(b.broken == 1 && finis == 1 && b.drained == 0);
  CHECK(strstr(prg_error_message(b.conn->error), "within 5 s") != NULL);
  CHECK(k[1].done == 1 && has_error(&k[1], PRG_K_CLOSED));
  CHECK(k[1].req->error->retryable && !k[1].req->error->sent);
  CHECK(k[1].req->error->cause == b.conn->error);
  drop(&k[1]);
  fini_bed(&b);
}

static void test_timed_out_and_kept(void) {
  struct bed b;
  struct call k;
  open_bed(&b, PRG_F_CANCEL);
  fake_in(&b)->budget = 0;
  make(&b, &k, PRG_REQ_QUERY);
  k.req->due = prg_now() + 5;
  submit(&k);
  prg_clock_fake(2 * PRG_SECOND);
  turns(&b);
  CHECK(k.done == 1 && b.drained == 1);
  CHECK(has_error(&k, PRG_K_TIMEOUT)); /* its owner still looks at it */
  drop(&k);
  fini_bed(&b);
}

static void test_truncated(void) {
  struct bed b;
  struct call k;
  open_bed(&b, PRG_F_CANCEL);
  fake_in(&b)->truncates = true;
  fake_in(&b)->budget = 1;
  make(&b, &k, PRG_REQ_QUERY);
  submit(&k);
  CHECK(k.req->state == PRG_REQ_DONE && k.req->result != NULL && k.done == 0);
  CHECK(b.drained == 0 && b.conn->sent.count == 1);
  drop(&k);
  prg_clock_fake(100 * PRG_SECOND);
  turns(&b);
  CHECK(b.broken == 0 && cancels == 0); /* its end is the driver's business */
  fake_in(&b)->budget = 1;
  prg_conn_kick(b.conn);
  turns(&b);
  CHECK(b.drained == 1);
  fini_bed(&b);
}

/* ---- streams ------------------------------------------------------------ */

static void stream(unsigned features) {
  struct bed b;
  struct call k, q;
  open_bed(&b, features);
  make(&b, &k, PRG_REQ_STREAM);
  k.req->due = prg_now() + 100;
  submit(&k);
  CHECK(k.req->state == PRG_REQ_PAUSED && k.req->more && k.done == 0);
  prg_clock_fake(2 * PRG_SECOND);
  turns(&b);
  CHECK(k.req->state == PRG_REQ_PAUSED); /* a paused stream has no deadline */
  make(&b, &q, PRG_REQ_QUERY);
  submit(&q);
  if (features & PRG_F_INTERLEAVE) CHECK(q.req->state == PRG_REQ_DONE);
  if (!(features & PRG_F_INTERLEAVE)) CHECK(q.req->state == PRG_REQ_QUEUED);
  k.req->due = prg_now() + 100;
  prg_req_resume(k.req);
  CHECK(k.req->state == PRG_REQ_PAUSED && k.req->result != NULL);
  fake_in(&b)->budget = 0;
  prg_req_resume(k.req);
  CHECK(k.req->state == PRG_REQ_SENT && k.req->result == NULL);
  fake_in(&b)->budget = -1;
  prg_conn_kick(b.conn);
  turns(&b);
  CHECK(k.done == 1 && k.req->state == PRG_REQ_DONE && !k.req->more);
  CHECK(q.req->state == PRG_REQ_DONE);
  prg_req_resume(k.req); /* does nothing */
  drop(&k);
  drop(&q);
  /* Abandoned while paused. */
  make(&b, &k, PRG_REQ_STREAM);
  submit(&k);
  drop(&k);
  turns(&b);
  CHECK(prg_conn_is_drained(b.conn));
  /* Broken while paused: the chunk stays readable until resumed. */
  make(&b, &k, PRG_REQ_STREAM);
  submit(&k);
  prg_conn_fail(b.conn, prg_error_new(PRG_K_CLOSED, "gone"));
  prg_conn_fail(b.conn, prg_error_new(PRG_K_CLOSED, "gone again"));
  turns(&b);
  CHECK(k.done == 1 && k.req->state == PRG_REQ_DONE);
  CHECK(k.req->error != NULL && k.req->result != NULL);
  prg_req_resume(k.req);
  CHECK(k.req->result == NULL);
  drop(&k);
  fini_bed(&b);
}

static void test_stream(void) {
  stream(PRG_F_CANCEL);
  stream(PRG_F_CANCEL | PRG_F_INTERLEAVE);
}

/* ---- breaking ----------------------------------------------------------- */

static void test_break_in_step(void) {
  struct bed b;
  struct call k[3];
  open_bed(&b, 0);
  fake_in(&b)->budget = 0;
  for (int i = 0; i < 3; i++) {
    make(&b, &k[i], PRG_REQ_QUERY);
    submit(&k[i]);
  }
  drop(&k[2]);
  fake_in(&b)->fails = true;
  prg_conn_kick(b.conn);
  turns(&b);
  CHECK(b.broken == 1 && finis == 1);
  CHECK(has_error(&k[0], PRG_K_CLOSED) && k[0].req->error->sent);
  CHECK(!k[0].req->error->retryable && k[1].req->error->retryable);
  CHECK_STR(prg_error_message(k[1].req->error),
            "the connection is closed: the server went away");
  drop(&k[0]);
  drop(&k[1]);
  make(&b, &k[0], PRG_REQ_QUERY);
  submit(&k[0]);
  CHECK(has_error(&k[0], PRG_K_CLOSED) && k[0].done == 0);
  CHECK(k[0].req->error->retryable);
  drop(&k[0]);
  fini_bed(&b);
}

/* done() of one that failed with its connection submits another. */
static void test_break_and_submit(void) {
  struct bed b;
  struct call k[2];
  open_bed(&b, 0);
  fake_in(&b)->budget = 0;
  make(&b, &k[0], PRG_REQ_QUERY);
  make(&b, &k[1], PRG_REQ_QUERY);
  submit(&k[0]);
  k[0].next = &k[1];
  b.close_on_broken = true;
  prg_conn_fail(b.conn, prg_error_new(PRG_K_CLOSED, "gone"));
  CHECK(k[0].done == 0); /* the driver is on the stack */
  turns(&b);
  CHECK(k[0].done == 1 && has_error(&k[1], PRG_K_CLOSED) && k[1].done == 0);
  CHECK(b.conn == NULL);
  drop(&k[0]);
  drop(&k[1]);
  fini_bed(&b);
}

static void test_close_tells_everybody(void) {
  struct bed b;
  struct call k[3];
  open_bed(&b, PRG_F_INTERLEAVE);
  make(&b, &k[0], PRG_REQ_STREAM);
  submit(&k[0]);
  fake_in(&b)->budget = 0;
  for (int i = 1; i < 3; i++) {
    make(&b, &k[i], PRG_REQ_QUERY);
    submit(&k[i]);
  }
  close_bed_conn(&b);
  for (int i = 0; i < 3; i++) {
    CHECK(k[i].done == 1 && k[i].req->error->kind == PRG_K_CLOSED);
    CHECK_STR(prg_error_message(k[i].req->error->cause), "the test closed it");
    drop(&k[i]);
  }
  CHECK(b.broken == 0);
  fini_bed(&b);
}

static void test_close_when_drained(void) {
  struct bed b;
  struct call k;
  open_bed(&b, 0);
  b.close_on_drained = true;
  make(&b, &k, PRG_REQ_QUERY);
  submit(&k);
  CHECK(b.conn == NULL && k.req->state == PRG_REQ_DONE && k.req->error == NULL);
  drop(&k);
  turns(&b);
  CHECK(finis == 1);
  fini_bed(&b);
}

/* As a pool does that resets a connection which was given back busy. */
static void test_submit_when_drained(void) {
  struct bed b;
  struct call k, next;
  open_bed(&b, 0);
  make(&b, &k, PRG_REQ_QUERY);
  make(&b, &next, PRG_REQ_PING);
  b.on_drained = next.req;
  submit(&k);
  CHECK(k.req->state == PRG_REQ_DONE);
  turns(&b);
  CHECK(next.done == 1);
  drop(&k);
  drop(&next);
  fini_bed(&b);
}

static void submit_again(struct prg_req *req) {
  struct call *k = req->owner;
  k->done++;
  prg_conn_submit(k->bed->conn, k->next->req);
}

/* Whoever waited in vain behind a cancel may ask once more from done(). */
static void test_submit_when_late(void) {
  struct bed b;
  struct call k, next;
  open_bed(&b, 0);
  fake_in(&b)->width = 0; /* takes nothing up */
  make(&b, &k, PRG_REQ_PING);
  make(&b, &next, PRG_REQ_PING);
  k.next = &next;
  k.req->done = submit_again;
  k.req->due = prg_now() + PRG_SECOND;
  submit(&k);
  CHECK(k.req->state == PRG_REQ_QUEUED);
  fake_in(&b)->width = 1;
  prg_clock_fake(prg_now() + 2 * PRG_SECOND);
  turns(&b);
  CHECK(k.done == 1 && next.done == 1);
  drop(&k);
  drop(&next);
  fini_bed(&b);
}

static void test_socket(void) {
  struct bed b;
  int fds[2];
  char c;
  init_bed(&b, 0);
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
  fake_in(&b)->fd = fds[0];
  prg_conn_connect(b.conn, PRG_NEVER);
  steps = 0;
  CHECK(prg_hub_run(b.hub, 0) == 0);
  CHECK(write(fds[1], "x", 1) == 1);
  CHECK(prg_hub_run(b.hub, 0) == 1 && steps == 1);
  CHECK(read(fds[0], &c, 1) == 1);
  fake_in(&b)->fd = -1;
  prg_conn_kick(b.conn);
  turns(&b);
  CHECK(b.conn->watch.slot == 0);
  fake_in(&b)->fd = 1000000; /* cannot be watched */
  prg_conn_kick(b.conn);
  turns(&b);
  CHECK(b.broken == 1);
  fini_bed(&b);
  close(fds[0]);
  close(fds[1]);
}

static void test_forked(void) {
  struct bed b;
  pid_t child;
  int status = 1;
  open_bed(&b, 0);
  child = fork();
  if (child == 0) {
    struct prg_req *req = prg_req_new(PRG_REQ_PING, NULL);
    int before = steps;
    check_failures = 0;
    prg_conn_submit(b.conn, req); /* refused, and the driver hears of nothing */
    CHECK(req->error != NULL && req->error->kind == PRG_K_CLOSED);
    prg_conn_kick(b.conn);
    CHECK(steps == before && prg_conn_is_forked(b.conn));
    prg_req_free(req);
    close_bed_conn(&b);
    CHECK(forked_finis == 1);
    _exit(check_failures == 0 ? 0 : 1);
  }
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  close_bed_conn(&b);
  CHECK(forked_finis == 0 && finis == 1);
  fini_bed(&b);
}

/* ---- parameters, statements, results ------------------------------------ */

static void test_parameters_are_copied(void) {
  int32_t lower[1] = {0};
  struct prg_value items[2] = {{.type = PRG_TEXT, .u.s = {"in", 2}},
                               {.type = PRG_NULL}};
  struct prg_vlist list = {2, items, 1, lower};
  struct prg_text keys[1] = {{"key", 3}};
  struct prg_value inner[1] = {{.type = PRG_BYTES, .u.s = {"b\0c", 3}}};
  struct prg_vmap map = {1, keys, inner};
  struct prg_vrange range = {false,
                             true,
                             false,
                             {.type = PRG_INT, .u.i = 1},
                             {.type = PRG_DECIMAL, .u.s = {"1.5", 3}}};
  struct prg_value v[4] = {{.type = PRG_LIST, .u.list = &list},
                           {.type = PRG_HSTORE, .u.map = &map},
                           {.type = PRG_RANGE, .u.range = &range},
                           {.type = PRG_INT, .u.i = 9}};
  struct prg_stmt *s = prg_stmt_new("x", 1, 0, 4);
  for (long n = 0;; n++) {
    struct prg_req *req = prg_req_new(PRG_REQ_QUERY, s);
    struct prg_vlist *l;
    long left;
    int rc;
    req->params = v;
    prg_mem_fail_after(n + 1);
    rc = prg_req_own_params(req);
    left = prg_mem_fail_after(0);
    if (left == 0) {
      CHECK(rc == PRG_ERR && !req->params_owned);
      prg_req_free(req);
      continue;
    }
    CHECK(rc == PRG_OK && req->params != v);
    l = req->params[0].u.list;
    CHECK(l != &list && l->items != items && l->lower[0] == 0);
    CHECK_STR(l->items[0].u.s.p, "in");
    CHECK(l->items[0].u.s.p != items[0].u.s.p);
    CHECK(req->params[1].u.map->keys[0].p != keys[0].p);
    CHECK(req->params[1].u.map->values[0].u.s.p[2] == 'c');
    CHECK_STR(req->params[2].u.range->upper.u.s.p, "1.5");
    CHECK(req->params[3].u.i == 9);
    CHECK(prg_req_own_params(req) == PRG_OK);
    prg_req_free(req);
    break;
  }
  prg_stmt_unref(s);
}

static void test_stmt_and_desc(void) {
  struct prg_stmt *a = prg_stmt_new("select 1; drop", 8, PRG_STMT_READ, 0);
  struct prg_stmt *b = prg_stmt_new("select 1", 8, 0, 0);
  struct prg_desc *d, *e;
  char *names;
  CHECK_STR(a->sql, "select 1");
  CHECK(a->hash == b->hash && a->lane == PRG_LANE_READ);
  CHECK(b->lane == PRG_LANE_WRITE);
  prg_stmt_unref(prg_stmt_ref(a));
  prg_stmt_unref(a);
  prg_stmt_unref(b);
  prg_stmt_unref(NULL);
  d = prg_desc_new(2, 8, &names);
  e = prg_desc_new(0, 0, &names);
  CHECK(d->id != e->id && d->ncols == 2 && d->cols[1].oid == 0);
  CHECK(prg_desc_new(SIZE_MAX / 2, 0, &names) == NULL);
  prg_desc_unref(prg_desc_ref(d));
  prg_desc_unref(d);
  prg_desc_unref(e);
}

static void test_load(void) {
  struct prg_error *err = NULL;
  CHECK(prg_driver_load("/nonexistent/x.so", &err) == NULL);
  REQUIRE(err != NULL && err->kind == PRG_K_USAGE);
  CHECK(strstr(prg_error_message(err), "/nonexistent/x.so") != NULL);
  prg_error_unref(err);
  err = NULL;
  CHECK(prg_driver_load("libm.so.6", &err) == NULL);
  REQUIRE(err != NULL && err->kind == PRG_K_USAGE);
  CHECK(strstr(prg_error_message(err), "no Perigee driver") != NULL);
  prg_error_unref(err);
}

/* ---- without memory ----------------------------------------------------- */

static void without_memory(struct bed *b) {
  struct call k[4];
  new_conn(b);
  if (b->conn == NULL) return;
  fake_in(b)->budget = 0;
  prg_conn_connect(b->conn, prg_now() + PRG_SECOND);
  for (int i = 0; i < 4; i++) {
    make(b, &k[i], i == 2 ? PRG_REQ_STREAM : PRG_REQ_QUERY);
    if (k[i].req == NULL) continue;
    k[i].req->due = prg_now() + (i + 1) * PRG_SECOND;
    submit(&k[i]);
  }
  turns(b);
  prg_clock_fake(prg_now() + 1500 * PRG_MS);
  turns(b);
  fake_in(b)->budget = 1;
  prg_conn_kick(b->conn);
  turns(b);
  if (k[1].req != NULL) drop(&k[1]);
  fake_in(b)->budget = 1;
  prg_conn_kick(b->conn);
  turns(b);
  prg_conn_fail(b->conn, prg_error_new(PRG_K_CLOSED, "gone"));
  turns(b);
  for (int i = 0; i < 4; i++) {
    if (k[i].req == NULL) continue;
    CHECK(k[i].req->state == PRG_REQ_DONE);
    drop(&k[i]);
  }
  close_bed_conn(b);
}

static void test_without_memory(void) {
  long left = 0;
  for (long n = 1; left == 0; n++) {
    struct bed b;
    open_bed(&b, PRG_F_CANCEL);
    close_bed_conn(&b);
    prg_mem_fail_after(n);
    without_memory(&b);
    left = prg_mem_fail_after(0);
    fini_bed(&b);
  }
}

int main(void) {
  RUN(test_open_and_close);
  RUN(test_close_when_new);
  RUN(test_close_inside_events);
  RUN(test_connect_timeout);
  RUN(test_connect_later);
  RUN(test_at_once);
  RUN(test_later);
  RUN(test_queue_copies_parameters);
  RUN(test_done_submits_frees_and_closes);
  RUN(test_touched);
  RUN(test_notice);
  RUN(test_deadline_in_flight);
  RUN(test_deadline_in_queue);
  RUN(test_ghost_behind_a_neighbour);
  RUN(test_ghost_that_does_not_end);
  RUN(test_timed_out_and_kept);
  RUN(test_truncated);
  RUN(test_stream);
  RUN(test_break_in_step);
  RUN(test_break_and_submit);
  RUN(test_close_tells_everybody);
  RUN(test_close_when_drained);
  RUN(test_submit_when_drained);
  RUN(test_submit_when_late);
  RUN(test_socket);
  RUN(test_forked);
  RUN(test_parameters_are_copied);
  RUN(test_stmt_and_desc);
  RUN(test_load);
  RUN(test_without_memory);
  return check_result();
}
