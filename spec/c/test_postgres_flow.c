/*
** The PostgreSQL driver: streams, batches, cancelling, lost connections, short
** memory.
*/
#include <sys/wait.h>

#include "pg_bed.h"

/* ---- streams ------------------------------------------------------------ */

static size_t status_kb(const char *key) {
  char line[256];
  size_t kb = 0;
  FILE *f = fopen("/proc/self/status", "r");
  while (f != NULL && fgets(line, sizeof line, f) != NULL)
    if (strncmp(line, key, strlen(key)) == 0)
      kb = strtoul(line + strlen(key), NULL, 10);
  if (f != NULL) fclose(f);
  return kb;
}

static void test_stream(struct bed *b) {
  struct prg_req *req =
      new_req(PRG_REQ_STREAM, "select generate_series(1, 12345)", 0);
  size_t rows = 0, chunks = 0;
  int64_t next = 1;
  submit(b, req);
  for (;;) {
    if (!CHECK(req->error == NULL && req->result != NULL)) break;
    for (size_t i = 0; i < req->result->nrows; i++)
      if (prg_result_row(req->result, i)->u.i != next++) CHECK(false);
    rows += req->result->nrows;
    chunks++;
    if (req->state == PRG_REQ_DONE) break;
    CHECK(req->result->nrows == 500);
    resume(b, req);
  }
  CHECK(rows == 12345 && chunks == 25);
  prg_req_free(req);
  expect_cell(b, "select 1", "1");
}

/* 400 MB would come; while nobody asks, little is taken. */
static void test_back_pressure(struct bed *b) {
  struct prg_req *req =
      new_req(PRG_REQ_STREAM,
              "select repeat('x', 20000) from generate_series(1, 20000)", 0);
  req->chunk = 10;
  submit(b, req);
  REQUIRE(req->state == PRG_REQ_PAUSED);
  size_t before = status_kb("VmRSS:");
  turn(b, 500);
  for (int i = 0; i < 20; i++) resume(b, req);
  CHECK(status_kb("VmRSS:") < before + 40000);
  CHECK(req->state == PRG_REQ_PAUSED);
  prg_req_free(req); /* in the middle */
  expect_cell(b, "select 1", "1");
  CHECK(!b->broken);
}

static void test_stream_error(struct bed *b) {
  struct prg_req *req = new_req(
      PRG_REQ_STREAM, "select 1/(3000-i) from generate_series(1,5000) i", 0);
  submit(b, req);
  size_t chunks = 1;
  for (; req->state == PRG_REQ_PAUSED; chunks++) resume(b, req);
  CHECK_STR(why(req), "22012");
  CHECK(chunks > 4);
  prg_req_free(req);
  req = new_req(PRG_REQ_STREAM, "select 1 where false", 0);
  submit(b, req);
  CHECK(req->state == PRG_REQ_DONE && req->result != NULL &&
        req->result->nrows == 0 && req->result->desc != NULL);
  prg_req_free(req);
}

/* The server dies under a paused stream: told on resume, and no spinning. */
static void test_stream_killed(struct bed *b, struct bed *admin) {
  char sql[128];
  struct prg_req *req =
      new_req(PRG_REQ_STREAM,
              "select repeat('x', 1000) from generate_series(1, 100000)", 0);
  submit(b, req);
  REQUIRE(req->state == PRG_REQ_PAUSED);
  snprintf(sql, sizeof sql, "select pg_terminate_backend(%lld)",
           (long long)b->conn->backend);
  expect_cell(admin, sql, "true");
  int64_t due = prg_now() + 200 * PRG_MS;
  long turns = 0;
  for (; prg_now() < due; turns++) prg_hub_run(b->hub, 20 * PRG_MS);
  CHECK(turns < 100);
  while (req->state == PRG_REQ_PAUSED) resume(b, req);
  CHECK(req->error != NULL && req->error->kind == PRG_K_CLOSED);
  CHECK(spin(b, &b->broken, 5));
  prg_req_free(req);
}

/* ---- batches ------------------------------------------------------------ */

static struct prg_req *batch(struct bed *b, const char *sql, int n,
                             size_t nsets, size_t bad, size_t width) {
  struct prg_req *req = new_req(PRG_REQ_BATCH, sql, n);
  struct prg_value *p =
      prg_arena_alloc(&req->arena, nsets * (size_t)n * sizeof *p);
  char *big = prg_arena_alloc(&req->arena, width + 1);
  memset(big, 'x', width);
  for (size_t i = 0; i < nsets; i++) {
    p[i * (size_t)n] = v_int((int64_t)i);
    if (i == bad) p[i * (size_t)n] = v_int(0);
    if (n < 2) continue;
    p[i * (size_t)n + 1].type = PRG_TEXT;
    p[i * (size_t)n + 1].u.s = (struct prg_text){big, width};
  }
  req->params = p;
  req->params_owned = true;
  req->nsets = nsets;
  submit(b, req);
  return req;
}

static void test_batch(struct bed *b) {
  const char *sql = "insert into bt values ($1, $2)";
  expect(b, "create temp table bt (i int primary key, s text)", "ok");
  struct prg_req *req = batch(b, sql, 2, 5000, SIZE_MAX, 10);
  CHECK_STR(why(req), "ok");
  REQUIRE(req->result != NULL);
  CHECK(req->result->affected == 5000);
  CHECK_STR(req->result->tag, "INSERT");
  prg_req_free(req);
  expect_cell(b, "select count(*) from bt", "5000");
  expect(b, "delete from bt", "ok");
  /* One is wrong: nothing stays. */
  req = batch(b, sql, 2, 5000, 3210, 10);
  CHECK_STR(why(req), "23505");
  CHECK(req->error != NULL &&
        strncmp(prg_error_message(req->error), "set 3211: ", 10) == 0);
  prg_req_free(req);
  expect_cell(b, "select count(*) from bt", "0");
  b->cfg.statement_cache = 0;
  req = batch(b, sql, 2, 1000, SIZE_MAX, 10);
  CHECK_STR(why(req), "ok");
  prg_req_free(req);
  req = batch(b, sql, 2, 1000, 5, 10);
  CHECK(strncmp(prg_error_message(req->error), "set 1: ", 7) == 0);
  prg_req_free(req);
  b->cfg.statement_cache = 100;
  expect_cell(b, "select count(*) from bt", "1000");
  expect(b, "drop table bt", "ok");
  req = batch(b, "select $1::int", 1, 3, SIZE_MAX, 1);
  CHECK_STR(why(req), "ok");
  prg_req_free(req);
}

/* Both sides have a lot to say. */
static void test_batch_big(struct bed *b) {
  struct prg_req *req =
      batch(b, "select $1::int, $2::text || $2", 2, 100000, SIZE_MAX, 1000);
  CHECK_STR(why(req), "ok");
  CHECK(req->result != NULL && req->result->affected == 100000);
  prg_req_free(req);
  expect_cell(b, "select 1", "1");
}

/* The parameters of a later set are refused before they are sent. */
static void test_batch_refused(struct bed *b) {
  expect(b, "create temp table br (i int, s text)", "ok");
  struct prg_req *req =
      new_req(PRG_REQ_BATCH, "insert into br values ($1, $2)", 2);
  struct prg_value *p = prg_arena_alloc(&req->arena, 2000 * sizeof *p);
  for (int i = 0; i < 2000; i += 2) {
    p[i] = v_int(i);
    p[i + 1] = v_text("x");
  }
  struct prg_vlist list = {.n = 0};
  p[1500] = (struct prg_value){.type = PRG_LIST, .u.list = &list};
  req->params = p;
  req->params_owned = true;
  req->nsets = 1000;
  submit(b, req);
  CHECK_STR(why(req), "usage");
  CHECK(req->error != NULL &&
        strncmp(prg_error_message(req->error), "set 751: ", 9) == 0);
  prg_req_free(req);
  CHECK(b->conn->tx == PRG_TX_IDLE);
  expect_cell(b, "select count(*) from br", "0");
  expect(b, "drop table br", "ok");
}

/* ---- how parameters are declared ---------------------------------------- */

static struct prg_req *typed(struct bed *b, const char *sql, int n,
                             const unsigned char *how,
                             const struct prg_value *params) {
  struct prg_req *req = new_req(PRG_REQ_QUERY, sql, n);
  req->stmt->typed = (unsigned char *)prg_memdup(how, (size_t)n);
  req->params = params;
  submit(b, req);
  return req;
}

static void expect_typed(struct bed *b, const char *sql, unsigned char how,
                         struct prg_value v, const char *want) {
  struct prg_req *req = typed(b, sql, 1, &how, &v);
  const char *got =
      req->error == NULL ? cell(req, 0, 0) : prg_error_message(req->error);
  if (!CHECK_STR(got, want)) fprintf(stderr, "  %s\n", sql);
  prg_req_free(req);
}

/* An inferred parameter has the type of its place whatever the value is. */
static void test_typed(struct bed *b) {
  const char *sql = "select pg_typeof(coalesce($1, 1::int8))::text";
  struct prg_value d = {.type = PRG_DOUBLE, .u.d = 3.5};
  expect_typed(b, sql, 1, v_int(7), "bigint");
  expect_typed(b, sql, 0, v_int(7), "bigint");
  expect_typed(b, sql, 0, v_text("7"), "bigint");
  expect_typed(b, sql, 0, (struct prg_value){.type = PRG_NULL}, "bigint");
  expect_typed(b, sql, 1, d, "double precision");
  expect_typed(b, sql, 0, d,
               "$1: 3.5 is not a whole number, which bigint takes");
  d.u.d = 3;
  expect_typed(b, sql, 0, d, "bigint");
  sql = "select pg_typeof(coalesce($1, 1::int2))::text";
  expect_typed(b, sql, 0, v_int(7), "smallint");
  expect_typed(b, sql, 0, v_int(70000),
               "$1: 70000 is out of range for smallint");
  expect_typed(b, sql, 1, v_int(70000), "integer");
  sql = "select pg_typeof(coalesce($1, 'a'::text))::text";
  expect_typed(b, sql, 0, v_int(7), "text");
}

/* libpq takes a description of so many parameters for garbage. */
static void test_many_params(struct bed *b) {
  enum { MANY = 40000 };
  struct prg_buf sql;
  struct prg_req *req = NULL;
  prg_buf_init(&sql, 0);
  prg_buf_adds(&sql, "insert into many select count(*) from (values ($1::int)");
  for (int i = 2; i <= MANY; i++) prg_buf_addf(&sql, ",($%d)", i);
  prg_buf_adds(&sql, ") v returning n, 1.5, array[1,2]");
  expect(b, "create temp table many (n int)", "ok");
  for (int way = 0; way < 3; way++) {
    size_t nsets = way == 2 ? 3 : 1;
    struct prg_value *p;
    prg_req_free(req);
    req = new_req(way == 2 ? PRG_REQ_BATCH : PRG_REQ_QUERY, sql.data, MANY);
    if (way == 1) req->stmt->typed = prg_calloc(MANY, 1);
    p = prg_arena_alloc(&req->arena, nsets * MANY * sizeof *p);
    for (size_t i = 0; i < nsets * MANY; i++) p[i] = v_int((int64_t)i);
    req->params = p;
    req->params_owned = true;
    req->nsets = nsets;
    submit(b, req);
    if (!CHECK_STR(why(req), "ok") || way == 2) continue;
    CHECK_STR(cell(req, 0, 0), "40000");
    CHECK_STR(cell(req, 0, 1), "1.5");
    CHECK_STR(cell(req, 0, 2), "list of 2");
  }
  if (req->result != NULL) CHECK(req->result->affected == 3);
  prg_req_free(req);
  prg_buf_fini(&sql);
  expect_cell(b, "select sum(n) from many", "200000");
  expect(b, "drop table many", "ok");
}

/* ---- cancelling and giving up ------------------------------------------- */

static void test_cancel(struct bed *b) {
  int rounds = (int)check_rounds(200);
  for (int i = 0; i < rounds && !b->broken; i++) {
    struct prg_req *req = new_req(PRG_REQ_QUERY, "select pg_sleep(20)", 0);
    req->due = prg_now() + (2 + i % 5) * PRG_MS;
    submit(b, req);
    CHECK(req->error != NULL && req->error->kind == PRG_K_TIMEOUT);
    prg_req_free(req);
    expect_cell(b, "select 1", "1");
  }
  CHECK(!b->broken);
}

/* In a transaction: it is aborted, and the cause is told. */
static void test_cancel_in_tx(struct bed *b) {
  expect(b, "begin", "ok");
  struct prg_req *req = new_req(PRG_REQ_QUERY, "select pg_sleep(20)", 0);
  req->due = prg_now() + 20 * PRG_MS;
  submit(b, req);
  CHECK(req->error != NULL && req->error->kind == PRG_K_TIMEOUT);
  prg_req_free(req);
  req = query(b, "select 1");
  CHECK_STR(why(req), "25P02");
  CHECK(req->error != NULL && req->error->cause != NULL &&
        strcmp(req->error->cause->sqlstate, "57014") == 0);
  prg_req_free(req);
  expect(b, "rollback", "ok");
}

static struct prg_req *random_req(unsigned long *seed) {
  static const char *const sqls[] = {
      "select pg_sleep(0.02)",      "select generate_series(1, 20000)",
      "select repeat('y', 200000)", "select 1/0",
      "insert into ab values (1)",
  };
  char text[64];
  unsigned k = check_random(seed, 7);
  if (k == 5) {
    snprintf(text, sizeof text, "select %u", check_random(seed, 1000));
    return new_req(PRG_REQ_QUERY, text, 0);
  }
  if (k == 6) {
    struct prg_req *req =
        new_req(PRG_REQ_BATCH, "insert into ab values ($1)", 1);
    size_t n = 1 + check_random(seed, 3000);
    struct prg_value *p = prg_arena_alloc(&req->arena, n * sizeof *p);
    for (size_t i = 0; i < n; i++) p[i] = v_int(1);
    req->params = p;
    req->params_owned = true;
    req->nsets = n;
    return req;
  }
  bool stream = check_random(seed, 2) == 0;
  struct prg_req *req =
      new_req(stream ? PRG_REQ_STREAM : PRG_REQ_QUERY, sqls[k], 0);
  if (!stream && check_random(seed, 2)) req->max_rows = 1;
  return req;
}

/* Requests that their owner lets go at any moment. */
static void test_abandon(struct bed *b) {
  unsigned long seed = check_seed();
  expect(b, "create temp table ab (i int)", "ok");
  for (int i = 0; i < check_rounds(300) && !b->broken; i++) {
    struct prg_req *req = random_req(&seed);
    prg_conn_submit(b->conn, req);
    unsigned turns = check_random(&seed, 8);
    for (unsigned k = 0; k < turns; k++)
      prg_hub_run(b->hub, check_random(&seed, 3) * PRG_MS);
    if (req->state == PRG_REQ_PAUSED && check_random(&seed, 2))
      prg_req_resume(req);
    prg_req_free(req);
    if (check_random(&seed, 3) == 0) expect_cell(b, "select 77", "77");
  }
  expect_cell(b, "select 78", "78");
  CHECK(!b->broken && b->conn->tx == PRG_TX_IDLE);
  expect(b, "drop table ab", "ok");
}

/* Closed with something in flight, at any moment. */
static void test_close_busy(void) {
  unsigned long seed = check_seed();
  for (int i = 0; i < 40; i++) {
    struct bed b;
    REQUIRE(bed_open(&b));
    expect(&b, "create temp table ab (i int)", "ok");
    struct prg_req *reqs[3];
    for (int k = 0; k < 3; k++) {
      reqs[k] = random_req(&seed);
      if (check_random(&seed, 2))
        reqs[k]->due = prg_now() + check_random(&seed, 5000);
      prg_conn_submit(b.conn, reqs[k]);
    }
    unsigned turns = check_random(&seed, 10);
    for (unsigned k = 0; k < turns; k++)
      prg_hub_run(b.hub, check_random(&seed, 2) * PRG_MS);
    prg_conn_close(b.conn, "test");
    b.conn = NULL;
    for (int k = 0; k < 3; k++) prg_req_free(reqs[k]);
    bed_close(&b);
  }
}

/* ---- death -------------------------------------------------------------- */

static void test_killed_idle(struct bed *admin) {
  struct bed b;
  REQUIRE(bed_open(&b));
  kill_backend(admin, &b);
  CHECK(spin(&b, &b.broken, 5));
  CHECK_STR(b.why, "57P01");
  bed_close(&b);
}

static void test_killed_busy(struct bed *admin) {
  struct bed b;
  bool flag = false;
  REQUIRE(bed_open(&b));
  struct prg_req *req = new_req(PRG_REQ_QUERY, "select pg_sleep(20)", 0);
  struct prg_req *after = new_req(PRG_REQ_QUERY, "select 1", 0);
  req->done = on_done;
  req->owner = &flag;
  prg_conn_submit(b.conn, req);
  prg_conn_submit(b.conn, after);
  turn(&b, 50);
  kill_backend(admin, &b);
  CHECK(spin(&b, &flag, 5));
  CHECK_STR(why(req), "57P01");
  CHECK(req->error != NULL && req->error->kind == PRG_K_CLOSED &&
        req->error->sent && !req->error->retryable);
  CHECK(spin(&b, &b.broken, 5));
  CHECK_STR(why(after), "57P01");
  CHECK(after->error != NULL && after->error->retryable);
  prg_req_free(req);
  prg_req_free(after);
  bed_close(&b);
}

static void test_idle_in_tx_timeout(void) {
  struct bed b;
  REQUIRE(bed_open(&b));
  expect(&b, "set idle_in_transaction_session_timeout = 50", "ok");
  expect(&b, "begin", "ok");
  CHECK(spin(&b, &b.broken, 5));
  CHECK_STR(b.why, "25P03");
  bed_close(&b);
}

/* A child process lets the parent's session alone. */
static void test_fork(struct bed *b) {
  int status = 0;
  fflush(NULL);
  pid_t pid = fork();
  if (pid == 0) {
    prg_conn_close(b->conn, "child");
    _exit(0);
  }
  waitpid(pid, &status, 0);
  CHECK(status == 0);
  turn(b, 50);
  expect_cell(b, "select 1", "1");
  CHECK(!b->broken);
}

static void test_notices(struct bed *b) {
  b->notices = 0;
  expect(b,
         "do $$ begin for i in 1..100 loop raise notice 'n'; end loop; "
         "end $$",
         "ok");
  CHECK(b->notices > 0);
  expect(b, "listen ch", "ok");
  for (int i = 0; i < 50; i++) expect(b, "select pg_notify('ch', 'x')", "ok");
  expect(b, "unlisten ch", "ok");
}

/* ---- short memory ------------------------------------------------------- */

static void use_all(struct bed *b, const char *extra) {
  struct prg_value p[] = {v_int(7), v_text("some text")};
  char sql[96];
  snprintf(sql, sizeof sql, "select $1 + 0, $2::text, array[1,2] -- %s", extra);
  prg_req_free(query_with(b, sql, 2, p));
  struct prg_req *req =
      new_req(PRG_REQ_STREAM, "select generate_series(1, 1200)::text", 0);
  submit(b, req);
  while (req->state == PRG_REQ_PAUSED) resume(b, req);
  prg_req_free(req);
  prg_req_free(script(b, "select 1; select 2"));
  req = new_req(PRG_REQ_QUERY, "select generate_series(1, 20)", 0);
  req->max_rows = 3;
  submit(b, req);
  if (req->result != NULL) prg_result_row(req->result, 0);
  prg_req_free(req);
  prg_req_free(query(b, "select 1/0"));
}

static void test_memory(void) {
  long left = 0;
  for (long n = 1; n < 2000 && left == 0; n++) {
    struct bed b;
    char extra[24];
    REQUIRE(bed_open(&b));
    b.cfg.statement_cache = 3;
    snprintf(extra, sizeof extra, "%ld", n);
    struct prg_req *warm = new_req(PRG_REQ_PING, NULL, 0);
    submit(&b, warm);
    prg_req_free(warm);
    struct prg_stmt *stmt =
        prg_stmt_new("select 5, $1::text", 18, PRG_STMT_READ, 1);
    struct prg_req *req = prg_req_new(PRG_REQ_QUERY, stmt);
    struct prg_value p[] = {v_text("abc")};
    req->params = p;
    if (n % 3 == 1) req->max_rows = 1;
    if (n % 3 == 2) req->kind = PRG_REQ_STREAM;
    prg_mem_fail_after((n + 2) / 3);
    submit(&b, req);
    if (req->state == PRG_REQ_PAUSED) resume(&b, req);
    if (req->result != NULL && req->result->nrows > 0)
      prg_result_row(req->result, 0);
    left = prg_mem_fail_after(0);
    CHECK(req->error == NULL || req->error->kind == PRG_K_RESOURCE ||
          req->error->kind == PRG_K_CLOSED);
    prg_req_free(req);
    prg_stmt_unref(stmt);
    if (!b.broken) use_all(&b, extra);
    bed_close(&b);
  }
  CHECK(left > 0);
}

static void test_memory_batch(void) {
  long left = 0;
  for (long n = 1; n < 2000 && left == 0; n++) {
    struct bed b;
    REQUIRE(bed_open(&b));
    expect(&b, "create temp table mb (i int)", "ok");
    struct prg_req *req =
        new_req(PRG_REQ_BATCH, "insert into mb values ($1)", 1);
    struct prg_value *p = prg_arena_alloc(&req->arena, 600 * sizeof *p);
    for (int i = 0; i < 600; i++) p[i] = v_int(i);
    req->params = p;
    req->params_owned = true;
    req->nsets = 600;
    prg_mem_fail_after(n);
    submit(&b, req);
    left = prg_mem_fail_after(0);
    bool ok = req->error == NULL;
    prg_req_free(req);
    if (!b.broken) expect_cell(&b, "select count(*) from mb", ok ? "600" : "0");
    bed_close(&b);
  }
  CHECK(left > 0);
}

/* ---- all ---------------------------------------------------------------- */

int main(int argc, char **argv) {
  const char *only = argc > 1 ? argv[1] : NULL;
  struct bed b, admin;
  int rc = pg_test_start();
  if (rc != 0) return rc;
  if (!bed_open(&b) || !bed_open(&admin)) return 1;
  WITH(test_stream, &b);
  WITH(test_back_pressure, &b);
  WITH(test_stream_error, &b);
  WITH(test_batch, &b);
  WITH(test_batch_big, &b);
  WITH(test_batch_refused, &b);
  WITH(test_typed, &b);
  WITH(test_many_params, &b);
  WITH(test_cancel, &b);
  WITH(test_cancel_in_tx, &b);
  WITH(test_abandon, &b);
  WITH(test_notices, &b);
  WITH(test_fork, &b);
  WITH(test_killed_idle, &admin);
  WITH(test_killed_busy, &admin);
  ONE(test_idle_in_tx_timeout);
  if (only == NULL || strstr("test_stream_killed", only))
    test_stream_killed(&b, &admin);
  bed_close(&b);
  bed_close(&admin);
  ONE(test_close_busy);
  ONE(test_memory);
  ONE(test_memory_batch);
  return check_result();
}
