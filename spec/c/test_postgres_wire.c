/*
** The PostgreSQL driver with its own codec: several statements in flight, each a
** transaction of its own, and what libpq cannot do. An argument selects tests by a
** part of their name.
*/
#include "pg_bed.h"

enum { MANY = 40 };

static bool wire_open(struct bed *b, int pipeline) {
  char url[1024];
  snprintf(url, sizeof url, "%s%cprotocol=wire", base_url,
           strchr(base_url, '?') == NULL ? '?' : '&');
  struct prg_error *e = bed_setup(b, url);
  if (!CHECK(e == NULL)) return false;
  b->cfg.pipeline = pipeline;
  bed_connect(b, 10);
  if (b->broken) fprintf(stderr, "%s\n", b->message);
  return CHECK(b->opened);
}

/* ---- several in flight -------------------------------------------------- */

struct burst {
  struct prg_req *req[MANY];
  int n, done;
  int order[MANY]; /* the numbers of those that are done, as they were done */
};

struct member {
  struct burst *burst;
  int number;
};

static void on_member(struct prg_req *req) {
  struct member *m = req->owner;
  m->burst->order[m->burst->done++] = m->number;
}

static void add(struct bed *b, struct burst *all, struct member *m,
                const char *sql) {
  struct prg_req *req = new_req(PRG_REQ_QUERY, sql, 0);
  *m = (struct member){all, all->n};
  req->done = on_member;
  req->owner = m;
  req->share = true;
  all->req[all->n++] = req;
  prg_conn_submit(b->conn, req);
}

static void wait_all(struct bed *b, struct burst *all, double seconds) {
  int64_t due = prg_due_in(seconds);
  while (all->done < all->n && prg_now() < due)
    prg_hub_run(b->hub, 10 * PRG_MS);
  CHECK(all->done == all->n);
}

static void free_all(struct burst *all) {
  for (int i = 0; i < all->n; i++) prg_req_free(all->req[i]);
}

/* F-31: an error is only its own statement's. */
static void test_isolated(struct bed *b) {
  struct burst all = {.n = 0};
  struct member m[MANY];
  for (int round = 0; round < 2; round++) { /* prepared, then cached */
    all = (struct burst){.n = 0};
    add(b, &all, &m[0], "select 1");
    add(b, &all, &m[1], "select 1/0");
    add(b, &all, &m[2], "select 'x'::text");
    add(b, &all, &m[3], "selec");
    add(b, &all, &m[4], "select count(*)::int from pg_class where oid = 1259");
    wait_all(b, &all, 10);
    CHECK_STR(cell(all.req[0], 0, 0), "1");
    CHECK_STR(why(all.req[1]), "22012");
    CHECK_STR(cell(all.req[2], 0, 0), "x");
    CHECK_STR(why(all.req[3]), "42601");
    CHECK_STR(cell(all.req[4], 0, 0), "1");
    free_all(&all);
  }
}

/* They do run one behind the other without waiting: forty in flight take less
** than forty round trips of a slow proxy would, and here at least all are sent
** before the first is answered. */
static void test_together(struct bed *b) {
  struct burst all = {.n = 0};
  struct member m[MANY];
  expect_cell(b, "select 7", "7");
  add(b, &all, &m[0], "select pg_sleep(0.1)");
  for (int i = 1; i < 30; i++) add(b, &all, &m[i], "select 7");
  turn(b, 50);
  for (int i = 2; i < 30; i++) CHECK(all.req[i]->state == PRG_REQ_SENT);
  CHECK(all.done == 0);
  wait_all(b, &all, 10);
  for (int i = 0; i < 30; i++) CHECK(all.order[i] == i);
  for (int i = 1; i < 30; i++) CHECK_STR(cell(all.req[i], 0, 0), "7");
  free_all(&all);
}

/* What leaves something behind goes alone. */
static void test_alone(struct bed *b) {
  struct burst all = {.n = 0};
  struct member m[MANY];
  add(b, &all, &m[0], "select pg_sleep(0.1)");
  add(b, &all, &m[1], "begin");
  add(b, &all, &m[2], "select 2");
  add(b, &all, &m[3], "select 3");
  add(b, &all, &m[4], "rollback");
  turn(b, 50);
  CHECK(all.req[1]->state == PRG_REQ_QUEUED);
  wait_all(b, &all, 10);
  for (int i = 0; i < 5; i++) {
    CHECK(all.order[i] == i);
    CHECK_STR(why(all.req[i]), "ok");
  }
  CHECK(b->conn->tx == PRG_TX_IDLE);
  free_all(&all);
}

/* F-35: the first takes too long; those behind it have their answers. */
static void test_late_head(struct bed *b) {
  struct burst all = {.n = 0};
  struct member m[MANY];
  struct prg_req *slow =
      new_req(PRG_REQ_QUERY, "select pg_sleep(20), 'late'", 0);
  bool flag = false;
  slow->done = on_done;
  slow->owner = &flag;
  slow->share = true;
  slow->due = prg_due_in(0.1);
  prg_conn_submit(b->conn, slow);
  turn(b, 30);
  for (int i = 0; i < 10; i++) add(b, &all, &m[i], "select 8");
  wait_all(b, &all, 10);
  CHECK(flag);
  CHECK_STR(why(slow), "timeout");
  for (int i = 0; i < 10; i++) CHECK_STR(cell(all.req[i], 0, 0), "8");
  free_all(&all);
  prg_req_free(slow);
  expect_cell(b, "select 9", "9");
}

/* One in the middle is given up: its neighbours do not notice. */
static void test_given_up(struct bed *b) {
  struct burst all = {.n = 0};
  struct member m[MANY];
  expect_cell(b, "select 5", "5");
  add(b, &all, &m[0], "select pg_sleep(0.05)");
  for (int i = 1; i < 6; i++) add(b, &all, &m[i], "select 5");
  turn(b, 20);
  prg_req_free(all.req[3]);
  all.req[3] = all.req[--all.n];
  wait_all(b, &all, 10);
  for (int i = 1; i < all.n; i++) CHECK_STR(cell(all.req[i], 0, 0), "5");
  free_all(&all);
}

/* F-34: the connection dies with many in flight. */
static void test_dies(struct bed *admin) {
  struct burst all = {.n = 0};
  struct member m[MANY];
  struct bed b;
  if (!wire_open(&b, 32)) return;
  expect_cell(&b, "select 5", "5");
  add(&b, &all, &m[0], "select pg_sleep(20)");
  for (int i = 1; i < MANY; i++) add(&b, &all, &m[i], "select 5");
  turn(&b, 50);
  kill_backend(admin, &b);
  wait_all(&b, &all, 10);
  int unsent = 0;
  for (int i = 0; i < MANY; i++) {
    const struct prg_error *e = all.req[i]->error;
    CHECK(e != NULL && e->kind == PRG_K_CLOSED && e->retryable == !e->sent);
    unsent += e != NULL && !e->sent;
  }
  CHECK(unsent >= MANY - 32 && unsent < MANY);
  free_all(&all);
  bed_close(&b);
}

/* F-44: a statement leaves the cache while it is in flight. */
static void test_evicted(void) {
  struct burst all = {.n = 0};
  struct member m[MANY];
  struct bed b;
  char sql[64];
  if (!wire_open(&b, 32)) return;
  b.cfg.statement_cache = 2;
  for (int round = 0; round < 20; round++) {
    all = (struct burst){.n = 0};
    for (int i = 0; i < 20; i++) {
      snprintf(sql, sizeof sql, "select %d", i * (round % 5) % 7);
      add(&b, &all, &m[i], sql);
    }
    wait_all(&b, &all, 10);
    for (int i = 0; i < 20; i++) {
      snprintf(sql, sizeof sql, "%d", i * (round % 5) % 7);
      CHECK_STR(cell(all.req[i], 0, 0), sql);
    }
    free_all(&all);
  }
  expect_cell(&b, "select count(*) <= 3 from pg_prepared_statements", "true");
  bed_close(&b);
}

/* A table changes under cached statements that are in flight behind the change. */
static void test_changed(struct bed *b) {
  struct burst all = {.n = 0};
  struct member m[MANY];
  expect(b, "create temp table ch as select 1 as a", "ok");
  expect_cell(b, "select * from ch", "1");
  expect(b, "alter table ch add b text default 'new'", "ok");
  for (int i = 0; i < 10; i++) add(b, &all, &m[i], "select * from ch");
  wait_all(b, &all, 10);
  for (int i = 0; i < 10; i++) CHECK_STR(cell(all.req[i], 0, 1), "new");
  free_all(&all);
  expect(b, "drop table ch", "ok");
}

/* ---- what libpq cannot do ----------------------------------------------- */

/* A column without a binary form of ours does not make the others texts. */
static void test_formats(struct bed *b) {
  static const char sql[] =
      "select '{1,2,3}'::int[], 'postgres=r/postgres'::aclitem, row(1, 'x'),"
      " '(1,2)'::point, 0.1::float4";
  struct prg_req *req = query(b, sql);
  CHECK_STR(cell(req, 0, 0), "list of 3");
  CHECK_STR(cell(req, 0, 1), "postgres=r/postgres");
  CHECK_STR(cell(req, 0, 2), "record of 2");
  CHECK_STR(cell(req, 0, 3), "(1,2)");
  CHECK_STR(cell(req, 0, 4), "0.10000000149011612");
  prg_req_free(req);
}

/* A zero byte does not cut a text. */
static void test_zero(struct bed *b) {
  struct prg_value v = {.type = PRG_TEXT, .u.s = {"ab\0cd", 5}};
  struct prg_req *req = query_with(b, "select length($1::text)", 1, &v);
  CHECK_STR(why(req), "22021");
  prg_req_free(req);
}

/* More parameters than libpq lets a Describe have. */
static void test_many_params(struct bed *b) {
  enum { N = 20000 };
  struct prg_buf sql;
  struct prg_value *v = prg_calloc(N, sizeof *v);
  prg_buf_init(&sql, 0);
  prg_buf_adds(&sql, "select $1::int");
  for (int i = 1; i < N; i++) prg_buf_addf(&sql, "+$%d", i + 1);
  for (int i = 0; i < N; i++) v[i] = v_int(1);
  expect(b, "set max_stack_depth = '7MB'", "ok");
  struct prg_req *req = query_with(b, sql.data, N, v);
  if (req->error == NULL || strcmp(why(req), "54001") != 0)
    CHECK_STR(cell(req, 0, 0), "20000");
  prg_req_free(req);
  expect(b, "reset max_stack_depth", "ok");
  prg_buf_fini(&sql);
  prg_free(v);
}

/* ---- the rest ----------------------------------------------------------- */

static void test_session(struct bed *b) {
  CHECK(driver->unclean(b->conn) == NULL);
  expect(b, "set timezone = 'Asia/Tokyo'", "ok");
  CHECK_STR(driver->unclean(b->conn), "TimeZone was changed");
  expect(b, "reset timezone", "ok");
  CHECK(driver->unclean(b->conn) == NULL);
}

static void test_usage(void) {
  static const char *const wrong[] = {"protocol=tcp", "pipelin=1"};
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    struct prg_config cfg;
    struct prg_error *e = NULL;
    char url[64];
    memset(&cfg, 0, sizeof cfg);
    snprintf(url, sizeof url, "postgresql://h/d?%s", wrong[i]);
    REQUIRE(prg_url_parse(url, strlen(url), &cfg.url, &e) == PRG_OK);
    e = driver->check(&cfg);
    CHECK(e != NULL && e->kind == PRG_K_USAGE);
    prg_error_unref(e);
    prg_url_fini(&cfg.url);
  }
}

int main(int argc, char **argv) {
  const char *only = argc > 1 ? argv[1] : NULL;
  struct bed b, admin;
  int rc = pg_test_start();
  if (rc != 0) return rc;
  if (!wire_open(&b, 32) || !bed_open(&admin)) return 1;
  WITH(test_isolated, &b);
  WITH(test_together, &b);
  WITH(test_alone, &b);
  WITH(test_late_head, &b);
  WITH(test_given_up, &b);
  WITH(test_dies, &admin);
  ONE(test_evicted);
  WITH(test_changed, &b);
  WITH(test_formats, &b);
  WITH(test_zero, &b);
  WITH(test_many_params, &b);
  WITH(test_session, &b);
  ONE(test_usage);
  CHECK(!b.broken);
  bed_close(&b);
  bed_close(&admin);
  return check_result();
}
