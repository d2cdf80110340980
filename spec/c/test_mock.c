/*
** The mock driver, driven through driver.c: every wait point, every way to
** leave it, and the failing allocator.
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "driver/driver.h"

static const struct prg_driver *driver;

static int failures;

#define CHECK(cond)                                              \
  do {                                                           \
    if (!(cond)) {                                               \
      failures++;                                                \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); \
    }                                                            \
  } while (0)

/* ---- a handle with one connection --------------------------------------- */

struct bed {
  struct prg_config cfg;
  void *shared;
  struct prg_hub *hub;
  struct prg_conn *conn; /* NULL once closed */
  bool opened, broken, drained;
  int notices;
  const char *why; /* kind of the error that broke it */
};

static void on_event(struct prg_conn *c, enum prg_event ev) {
  struct bed *b = c->owner;
  if (ev == PRG_EV_OPENED) b->opened = true;
  if (ev == PRG_EV_DRAINED) b->drained = true;
  if (ev == PRG_EV_NOTICE) b->notices++;
  if (ev != PRG_EV_BROKEN) return;
  b->broken = true;
  b->why = prg_kind_name(c->error->kind);
}

static void add_escaped(struct prg_buf *b, const char *s) {
  for (; *s != '\0'; s++) prg_buf_addf(b, "%%%02X", (unsigned char)*s);
}

/* `params`: more of the query string, "&lanes=2". False without memory. */
static bool start_bed(struct bed *b, const char *script, const char *params) {
  struct prg_buf url;
  struct prg_error *err = NULL;
  memset(b, 0, sizeof *b);
  prg_buf_init(&url, 0);
  prg_buf_adds(&url, "mock:test?script=");
  add_escaped(&url, script);
  prg_buf_adds(&url, params);
  if (url.failed ||
      prg_url_parse(url.data, url.len, &b->cfg.url, &err) != PRG_OK)
    goto failed;
  err = driver->check(&b->cfg);
  if (err != NULL) goto failed;
  b->shared = driver->shared_new(&b->cfg);
  b->hub = prg_hub_new(&err);
  if (b->shared == NULL || b->hub == NULL) goto failed;
  b->conn = prg_conn_new(driver, &b->cfg, b->shared, b->hub, PRG_LANE_WRITE);
  if (b->conn == NULL) goto failed;
  b->conn->event = on_event;
  b->conn->owner = b;
  prg_buf_fini(&url);
  return true;
failed:
  prg_error_unref(err);
  prg_buf_fini(&url);
  return false;
}

static void close_conn(struct bed *b) {
  if (b->conn != NULL) prg_conn_close(b->conn, "the test is over");
  b->conn = NULL;
}

static void end_bed(struct bed *b) {
  close_conn(b);
  if (b->shared != NULL) driver->shared_free(b->shared);
  if (b->hub != NULL) {
    CHECK(!prg_hub_busy(b->hub));
    prg_hub_unref(b->hub);
  }
  prg_url_fini(&b->cfg.url);
}

/* Runs the hub until nothing comes at once. */
static void settle(struct bed *b) {
  for (int i = 0; i < 200; i++)
    if (prg_hub_run(b->hub, 0) == 0 && i > 20) break;
}

/* What is held in the queue is looked at again every millisecond. */
static void settle_queue(struct bed *b) {
  for (int i = 0; i < 10; i++) prg_hub_run(b->hub, 2 * PRG_MS);
  settle(b);
}

static void advance(struct bed *b, int64_t us) {
  prg_clock_fake(prg_now() + us);
  settle(b);
}

static bool open_bed(struct bed *b, const char *script, const char *params) {
  if (!start_bed(b, script, params)) {
    CHECK(false);
    end_bed(b);
    return false;
  }
  prg_conn_connect(b->conn, PRG_NEVER);
  settle(b);
  CHECK(b->opened);
  return b->opened;
}

/* ---- requests ----------------------------------------------------------- */

static int done_calls;

static void on_done(struct prg_req *req) {
  int *n = req->owner;
  ++*n;
}

static struct prg_req *make(enum prg_req_kind kind, const char *sql) {
  struct prg_stmt *s = NULL;
  unsigned flags = strncmp(sql, "select", 6) == 0 ? PRG_STMT_READ : 0;
  int nparams = strstr(sql, "$1") != NULL;
  if (sql[0] != '\0') {
    s = prg_stmt_new(sql, strlen(sql), flags, nparams);
    if (s == NULL) return NULL;
  }
  struct prg_req *req = prg_req_new(kind, s);
  prg_stmt_unref(s);
  if (req == NULL) return NULL;
  req->done = on_done;
  req->owner = &done_calls;
  return req;
}

static struct prg_req *submit(struct bed *b, const char *sql) {
  struct prg_req *req = make(PRG_REQ_QUERY, sql);
  prg_conn_submit(b->conn, req);
  return req;
}

/* "rows 2", "ok 3", "unique", …; frees the request. */
static const char *outcome(struct prg_req *req) {
  static char text[64];
  if (req->state != PRG_REQ_DONE)
    snprintf(text, sizeof text, "state %d", (int)req->state);
  else if (req->error != NULL)
    snprintf(text, sizeof text, "%s", prg_kind_name(req->error->kind));
  else if (req->result == NULL)
    snprintf(text, sizeof text, "nothing");
  else if (req->result->desc != NULL)
    snprintf(text, sizeof text, "rows %zu", req->result->nrows);
  else
    snprintf(text, sizeof text, "ok %lld %s", (long long)req->result->affected,
             req->result->tag);
  prg_req_free(req);
  return text;
}

static const char *ask(struct bed *b, const char *sql) {
  struct prg_req *req = submit(b, sql);
  settle(b);
  return outcome(req);
}

#define CHECK_IS(got, want)                                            \
  do {                                                                 \
    const char *got_ = (got);                                          \
    if (strcmp(got_, (want)) != 0) {                                   \
      failures++;                                                      \
      fprintf(stderr, "%s:%d: %s, not %s\n", __FILE__, __LINE__, got_, \
              (want));                                                 \
    }                                                                  \
  } while (0)

/* ---- tests -------------------------------------------------------------- */

static void test_answers(void) {
  struct bed b;
  if (!open_bed(&b,
                "# comment\n"
                "on \"select 1\" rows id:int,name:text | 1,a | 2,\"b, |\" | "
                "null,null\n"
                "on \"insert*\" times 1 affected 3 last_id 7\n"
                "on \"insert*\" error unique \"dup \\\"k\\\"\" sqlstate=23505 "
                "constraint=k code=5\n"
                "on \"n\" series 10\n"
                "on echo\n",
                ""))
    return;
  struct prg_req *r = submit(&b, "SELECT\t1;");
  CHECK(r->state == PRG_REQ_SENT);
  settle(&b);
  CHECK(r->state == PRG_REQ_DONE && r->result != NULL && done_calls == 1);
  if (r->result != NULL && r->result->nrows == 3) {
    const struct prg_value *v = prg_result_row(r->result, 1);
    CHECK(v[0].u.i == 2 && memcmp(v[1].u.s.p, "b, |", 4) == 0);
    CHECK(prg_result_row(r->result, 2)[1].type == PRG_NULL);
    CHECK_IS(r->result->desc->cols[1].name.p, "name");
  }
  CHECK_IS(outcome(r), "rows 3");
  r = submit(&b, "insert into t");
  settle(&b);
  CHECK(r->result != NULL && r->result->last_id == 7);
  CHECK_IS(outcome(r), "ok 3 INSERT");
  r = submit(&b, "insert into t");
  settle(&b);
  CHECK(r->error != NULL && r->error->code == 5);
  CHECK_IS(r->error->field[PRG_EF_CONSTRAINT], "k");
  CHECK_IS(prg_error_message(r->error), "dup \"k\"");
  CHECK_IS(outcome(r), "unique");
  CHECK_IS(ask(&b, "what"), "undefined");
  r = make(PRG_REQ_QUERY, "n");
  r->max_rows = 4;
  prg_conn_submit(b.conn, r);
  settle(&b);
  CHECK(r->result != NULL && r->result->truncated);
  CHECK_IS(outcome(r), "rows 4");
  end_bed(&b);
}

/* Every answer must match its question, also when many are in flight. */
static void test_echo(const char *params) {
  enum { N = 200 };
  struct bed b;
  struct prg_req *r[N];
  if (!open_bed(&b, "on echo", params)) return;
  for (int i = 0; i < N; i++) {
    struct prg_value v = {.type = PRG_INT, .u.i = i};
    r[i] = make(PRG_REQ_QUERY, "select $1");
    r[i]->params = &v;
    prg_conn_submit(b.conn, r[i]);
  }
  for (int i = 0; i < 2000 && !prg_conn_is_drained(b.conn); i++)
    prg_hub_run(b.hub, 0);
  for (int i = 0; i < N; i++) {
    bool ok = r[i]->result != NULL && r[i]->result->nrows == 1 &&
              prg_result_row(r[i]->result, 0)->u.i == i;
    CHECK(ok);
    prg_req_free(r[i]);
  }
  end_bed(&b);
}

static void test_transactions(void) {
  struct bed b;
  if (!open_bed(&b,
                "on \"bad\" error check\n"
                "on \"ok\" affected 1\n"
                "on \"end\" error unique sqlstate=23505\n",
                ""))
    return;
  CHECK_IS(ask(&b, "begin"), "ok -1 BEGIN");
  CHECK(b.conn->tx == PRG_TX_OPEN);
  CHECK(driver->unclean(b.conn) != NULL);
  CHECK_IS(ask(&b, "savepoint a"), "ok -1 SAVEPOINT");
  CHECK_IS(ask(&b, "bad"), "check");
  CHECK(b.conn->tx == PRG_TX_FAILED);
  CHECK_IS(ask(&b, "ok"), "aborted");
  CHECK_IS(ask(&b, "rollback to savepoint a"), "ok -1 ROLLBACK");
  CHECK_IS(ask(&b, "ok"), "ok 1 OK");
  CHECK_IS(ask(&b, "release a"), "ok -1 RELEASE");
  CHECK_IS(ask(&b, "release a"), "database");
  CHECK_IS(ask(&b, "commit"), "ok -1 ROLLBACK");
  CHECK(b.conn->tx == PRG_TX_IDLE);
  CHECK_IS(ask(&b, "BEGIN ISOLATION LEVEL SERIALIZABLE"), "ok -1 BEGIN");
  CHECK_IS(ask(&b, "end"), "unique");
  CHECK(b.conn->tx == PRG_TX_IDLE);
  CHECK_IS(ask(&b, "begin"), "ok -1 BEGIN");
  struct prg_req *r = make(PRG_REQ_RESET, "");
  prg_conn_submit(b.conn, r);
  settle(&b);
  CHECK_IS(outcome(r), "nothing");
  CHECK(driver->unclean(b.conn) == NULL);
  end_bed(&b);
}

static void test_batch_script_ping(void) {
  struct bed b;
  struct prg_value v[3] = {
      {.type = PRG_INT}, {.type = PRG_INT}, {.type = PRG_INT}};
  if (!open_bed(&b,
                "on \"a $1\" affected 2\non \"b ';'\" affected 1\n"
                "on \"c\" rows x:int | 1\non \"d\" error data\n",
                ""))
    return;
  struct prg_req *r = make(PRG_REQ_BATCH, "a $1");
  r->params = v;
  r->nsets = 3;
  prg_conn_submit(b.conn, r);
  settle(&b);
  CHECK_IS(outcome(r), "ok 6 A");
  r = make(PRG_REQ_SCRIPT, "begin; b ';' ;; c;\n");
  prg_conn_submit(b.conn, r);
  settle(&b);
  size_t n = 0;
  for (struct prg_result *k = r->result; k != NULL; k = k->next) n++;
  CHECK(n == 3);
  CHECK_IS(outcome(r), "ok -1 BEGIN");
  r = make(PRG_REQ_SCRIPT, "c; d; c");
  prg_conn_submit(b.conn, r);
  settle(&b);
  CHECK_IS(outcome(r), "data");
  CHECK(b.conn->tx == PRG_TX_FAILED);
  r = make(PRG_REQ_PING, "");
  prg_conn_submit(b.conn, r);
  settle(&b);
  CHECK_IS(outcome(r), "nothing");
  end_bed(&b);
}

static void test_stream(const char *params) {
  struct bed b;
  if (!open_bed(&b, "on \"n\" series 25\non \"cut\" series 25 at rows cut\n",
                params))
    return;
  struct prg_req *r = make(PRG_REQ_STREAM, "n");
  r->chunk = 10;
  prg_conn_submit(b.conn, r);
  int64_t next = 1;
  for (int i = 0; i < 3; i++) {
    settle(&b);
    CHECK(r->result != NULL && r->more == (i < 2));
    for (size_t k = 0; r->result != NULL && k < r->result->nrows; k++)
      CHECK(prg_result_row(r->result, k)->u.i == next++);
    if (i < 2) prg_req_resume(r);
  }
  CHECK(next == 26);
  CHECK_IS(outcome(r), "rows 5");
  r = make(PRG_REQ_STREAM, "n"); /* given up in the middle */
  r->chunk = 10;
  prg_conn_submit(b.conn, r);
  settle(&b);
  CHECK(r->state == PRG_REQ_PAUSED);
  prg_req_free(r);
  settle(&b);
  CHECK(prg_conn_is_drained(b.conn));
  CHECK_IS(ask(&b, "n"), "rows 25");
  r = make(PRG_REQ_STREAM, "cut");
  r->chunk = 10;
  prg_conn_submit(b.conn, r);
  settle(&b);
  CHECK(r->state == PRG_REQ_PAUSED);
  prg_req_resume(r);
  settle(&b);
  CHECK_IS(outcome(r), "closed");
  CHECK(b.broken);
  end_bed(&b);
}

/* Gives a request up at a phase; its neighbour must not notice. */
static void test_abandon(const char *phase, const char *what) {
  char script[128];
  struct bed b;
  snprintf(script, sizeof script, "on \"x\" at %s %s rows a:int | 1\n%s", phase,
           what, "on \"y\" rows a:int | 2\n");
  if (!open_bed(&b, script, "")) return;
  struct prg_req *x = submit(&b, "x");
  struct prg_req *y = submit(&b, "y");
  settle(&b);
  CHECK(x->state != PRG_REQ_DONE && y->state != PRG_REQ_DONE);
  prg_req_free(x);
  settle_queue(&b);
  CHECK(b.opened && !b.broken && b.drained);
  CHECK_IS(outcome(y), "rows 1");
  end_bed(&b);
}

/* A new request where a freed one was is not taken for it. */
static void test_queued_again(void) {
  struct bed b;
  if (!open_bed(&b, "on \"x\" at queued hang\non \"y\" affected 1", "")) return;
  for (int i = 0; i < 5; i++) {
    prg_req_free(submit(&b, "x"));
    CHECK_IS(ask(&b, "y"), "ok 1 Y");
  }
  end_bed(&b);
}

static void test_cut(const char *phase, bool sent) {
  char script[64];
  struct bed b;
  snprintf(script, sizeof script, "on \"x\" at %s cut\non \"y\" affected 1",
           phase);
  if (!open_bed(&b, script, "")) return;
  struct prg_req *x = submit(&b, "x");
  settle(&b);
  CHECK(b.broken);
  CHECK(x->error != NULL && x->error->sent == sent);
  CHECK_IS(outcome(x), "closed");
  x = submit(&b, "y");
  CHECK_IS(outcome(x), "closed");
  end_bed(&b);
}

static void test_deadline(void) {
  struct bed b;
  prg_clock_fake(1000 * PRG_SECOND);
  if (!open_bed(&b, "on \"x\" hang\non \"slow\" wait 20ms affected 1", ""))
    return;
  struct prg_req *r = submit(&b, "slow");
  settle(&b);
  advance(&b, 19 * PRG_MS);
  CHECK(r->state == PRG_REQ_SENT);
  advance(&b, 2 * PRG_MS);
  CHECK_IS(outcome(r), "ok 1 SLOW");
  r = make(PRG_REQ_QUERY, "x");
  r->due = prg_now() + PRG_SECOND;
  prg_conn_submit(b.conn, r);
  settle(&b);
  advance(&b, 2 * PRG_SECOND);
  CHECK_IS(outcome(r), "timeout");
  CHECK(!b.broken);
  r = submit(&b, "slow");
  settle(&b);
  advance(&b, PRG_SECOND);
  CHECK_IS(outcome(r), "ok 1 SLOW");
  end_bed(&b);
  prg_clock_fake(-1);
}

/* Who does not hear the cancel loses the connection after 5 s. */
static void test_deaf(const char *params) {
  struct bed b;
  prg_clock_fake(1000 * PRG_SECOND);
  if (!open_bed(&b, "on \"x\" hang deaf", params)) return;
  struct prg_req *r = submit(&b, "x");
  settle(&b);
  prg_req_free(r);
  advance(&b, 4 * PRG_SECOND);
  CHECK(!b.broken);
  advance(&b, 2 * PRG_SECOND);
  CHECK(b.broken);
  end_bed(&b);
  prg_clock_fake(-1);
}

static void test_connect(void) {
  struct bed b;
  prg_clock_fake(1000 * PRG_SECOND);
  if (start_bed(&b, "on connect 1 wait 20ms fail connect \"refused\"", "")) {
    prg_conn_connect(b.conn, PRG_NEVER);
    settle(&b);
    CHECK(!b.broken);
    advance(&b, 21 * PRG_MS);
    CHECK(b.broken && !b.opened);
    CHECK_IS(prg_error_message(b.conn->error), "refused");
    close_conn(&b);
    b.conn = prg_conn_new(driver, &b.cfg, b.shared, b.hub, PRG_LANE_WRITE);
    b.conn->event = on_event;
    b.conn->owner = &b;
    prg_conn_connect(b.conn, PRG_NEVER);
    settle(&b);
    CHECK(b.opened);
  }
  end_bed(&b);
  if (start_bed(&b, "on connect hang", "")) {
    prg_conn_connect(b.conn, prg_now() + PRG_SECOND);
    settle(&b);
    advance(&b, 2 * PRG_SECOND);
    CHECK(b.broken);
    CHECK_IS(b.why, "timeout");
  }
  end_bed(&b);
  prg_clock_fake(-1);
}

static void test_session(void) {
  struct bed b;
  if (!open_bed(&b,
                "on \"d\" dirty \"left a lock\"\non \"n\" notice \"hey\"\n"
                "on \"x\" affected 1 die\non \"p\" park 3\n",
                ""))
    return;
  CHECK_IS(ask(&b, "n"), "ok -1 N");
  CHECK(b.notices == 1);
  CHECK_IS(ask(&b, "p"), "ok -1 P");
  CHECK_IS(ask(&b, "d"), "ok -1 D");
  CHECK_IS(driver->unclean(b.conn), "left a lock");
  CHECK_IS(ask(&b, "x"), "ok 1 X");
  CHECK(b.broken);
  CHECK_IS(b.why, "closed");
  end_bed(&b);
}

static void test_lanes(void) {
  struct bed b;
  if (!start_bed(&b, "on any affected 1", "&lanes=2")) return;
  CHECK(b.cfg.lanes == 2);
  b.conn->lane = PRG_LANE_READ;
  prg_conn_connect(b.conn, PRG_NEVER);
  settle(&b);
  CHECK(b.conn->driver->features & PRG_F_LANES);
  struct prg_req *r = submit(&b, "update t");
  settle(&b);
  CHECK(r->state == PRG_REQ_DONE && r->wrong_lane);
  CHECK(r->stmt->lane == PRG_LANE_WRITE);
  prg_req_free(r);
  CHECK_IS(ask(&b, "select 1"), "ok 1 SELECT");
  end_bed(&b);
}

static void test_inline(void) {
  struct bed b;
  if (!open_bed(&b, "on \"select 1\" rows a:int | 1", "&turns=0")) return;
  done_calls = 0;
  struct prg_req *r = submit(&b, "select 1");
  CHECK(r->state == PRG_REQ_DONE && done_calls == 0);
  CHECK_IS(outcome(r), "rows 1");
  end_bed(&b);
}

static void write_file(const char *path, const char *text) {
  FILE *f = fopen(path, "w");
  CHECK(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0);
}

static void test_files(void) {
  char script[] = "/tmp/mock_script_XXXXXX", log[] = "/tmp/mock_log_XXXXXX";
  char params[128], text[512] = "";
  struct bed b;
  close(mkstemp(script));
  close(mkstemp(log));
  snprintf(params, sizeof params, "&script_file=%s&log_file=%s", script, log);
  write_file(script, "on \"a\" times 1 affected 1\non \"a\" affected 2\n");
  if (open_bed(&b, "", params)) {
    CHECK_IS(ask(&b, "a"), "ok 1 A");
    CHECK_IS(ask(&b, "a"), "ok 2 A");
    write_file(script, "on \"a\" affected 3\non echo\n");
    CHECK_IS(ask(&b, "a"), "ok 3 A");
    struct prg_value v = {.type = PRG_TEXT, .u.s = {"x\"y", 3}};
    struct prg_req *r = make(PRG_REQ_QUERY, "select\n$1");
    r->params = &v;
    prg_conn_submit(b.conn, r);
    settle(&b);
    CHECK_IS(outcome(r), "rows 1");
    write_file(script, "on \"a\" nonsense\n");
    CHECK_IS(ask(&b, "a"), "usage");
    end_bed(&b);
  }
  FILE *f = fopen(log, "r");
  CHECK(f != NULL && fread(text, 1, sizeof text - 1, f) > 0);
  if (f != NULL) fclose(f);
  CHECK(strstr(text, "c1 connect write\nc1 ready\nc1 submit a\n") == text);
  CHECK(strstr(text, "c1 submit select\\n$1 [\"x\\\"y\"]\nc1 done\n") != NULL);
  CHECK(strstr(text, "c1 close\n") != NULL);
  unlink(script);
  unlink(log);
}

static void test_bad_scripts(void) {
  static const char *const bad[] = {"off",
                                    "on",
                                    "on what",
                                    "on any what",
                                    "on any wait",
                                    "on any wait 5h",
                                    "on any at sea",
                                    "on any times",
                                    "on any error nice",
                                    "on any \"x",
                                    "on any rows",
                                    "on any rows a",
                                    "on any rows a:b",
                                    "on any rows a:int | x",
                                    "on any rows a:int | 1,2",
                                    "on any rows a:int,b:int | 1",
                                    "on any tx half",
                                    "on any error data sqlstate=1",
                                    "on any rows a:bytes | 0g",
                                    "on any series 1 series 2"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    struct bed b;
    bool ok = start_bed(&b, bad[i], "");
    if (ok) fprintf(stderr, "accepted: %s\n", bad[i]);
    CHECK(!ok);
    end_bed(&b);
  }
  static const char *const params[] = {"&nonsense=1", "&lanes=3", "&turns=x",
                                       "&features=fast"};
  for (size_t i = 0; i < sizeof params / sizeof *params; i++) {
    struct bed b;
    CHECK(!start_bed(&b, "", params[i]));
    end_bed(&b);
  }
}

/* One of everything; gives up wherever memory is short. */
static void use_everything(struct bed *b) {
  static const char *const sql[] = {"begin", "a", "select $1", "bad",
                                    "rollback"};
  struct prg_req *r[5] = {NULL};
  struct prg_value v = {.type = PRG_TEXT, .u.s = {"abc", 3}};
  prg_conn_connect(b->conn, PRG_NEVER);
  settle(b);
  for (size_t i = 0; i < 5; i++) {
    r[i] = make(i == 1 ? PRG_REQ_STREAM : PRG_REQ_QUERY, sql[i]);
    if (r[i] == NULL) continue;
    r[i]->params = &v;
    r[i]->chunk = 1;
    prg_conn_submit(b->conn, r[i]);
  }
  for (int i = 0; i < 5; i++) {
    settle(b);
    if (r[1] != NULL && r[1]->state == PRG_REQ_PAUSED) prg_req_resume(r[1]);
  }
  struct prg_req *s = make(PRG_REQ_SCRIPT, "a; a; bad");
  if (s != NULL) prg_conn_submit(b->conn, s);
  settle(b);
  for (size_t i = 0; i < 5; i++) {
    CHECK(r[i] == NULL || r[i]->state == PRG_REQ_DONE);
    prg_req_free(r[i]);
  }
  prg_req_free(s);
}

static void test_no_memory(void) {
  long n = 0;
  bool ended = false;
  while (!ended && ++n < 2000) {
    struct bed b;
    prg_mem_fail_after(n);
    if (start_bed(&b,
                  "on echo\non \"a\" notice \"x\" rows n:int | 1 | 2\n"
                  "on \"bad\" error unique \"d\" constraint=k\n",
                  ""))
      use_everything(&b);
    ended = prg_mem_fail_after(0) > 0; /* it was not reached */
    end_bed(&b);
  }
  CHECK(ended && n > 30);
}

/* The module in the build folder. */
static bool load_driver(void) {
  char path[1024];
  struct prg_error *err = NULL;
  const char *build = getenv("PERIGEE_BUILD");
  snprintf(path, sizeof path, "%s/lua/perigee/driver/mock.so",
           build != NULL ? build : "build");
  driver = prg_driver_load(path, &err);
  if (driver == NULL) fprintf(stderr, "%s\n", prg_error_message(err));
  prg_error_unref(err);
  return driver != NULL;
}

int main(void) {
  static const char *const phases[] = {"queued", "prepare", "execute", "rows",
                                       "done"};
  if (!load_driver()) return 1;
  test_answers();
  test_echo("");
  test_echo("&features=no_pipeline");
  test_echo("&turns=0");
  test_transactions();
  test_batch_script_ping();
  test_stream("");
  test_stream("&features=interleave");
  test_stream("&turns=0&features=no_pipeline");
  for (size_t i = 0; i < 5; i++) {
    test_abandon(phases[i], "hang");
    test_abandon(phases[i], "wait 1s");
    test_cut(phases[i], i > 0);
  }
  test_queued_again();
  test_deadline();
  test_deaf("");
  test_deaf("&features=no_cancel");
  test_connect();
  test_session();
  test_lanes();
  test_inline();
  test_files();
  test_bad_scripts();
  test_no_memory();
  if (failures == 0) puts("mock: ok");
  return failures != 0;
}
