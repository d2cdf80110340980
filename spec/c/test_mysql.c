/*
** The MySQL driver: rows, streams, batches, what is asked behind a statement,
** transactions, cancelling, lost connections, short memory.
*/
#include <sys/wait.h>

#include "server_bed.h"

static void kill_session(struct bed *admin, struct bed *b) {
  char sql[64];
  snprintf(sql, sizeof sql, "kill %lld", (long long)b->conn->backend);
  expect(admin, sql, "ok");
}

/* ---- rows ---------------------------------------------------------------- */

/* The same cells by text and by a prepared statement. */
static void test_cells(struct bed *b) {
  static const char *const cells[][2] = {
      {"select 5", "5"},
      {"select -9223372036854775808", "-9223372036854775808"},
      {"select 18446744073709551615", "18446744073709551615"},
      {"select 1.50", "1.50"},
      {"select cast(1.5 as double)", "1.5"},
      {"select null", "NULL"},
      {"select 'text'", "text"},
      {"select date '2026-11-20'", "2026-11-20"},
      {"select time '-838:59:59'", "-838:59:59"},
      {"select timestamp '2026-11-20 08:30:00'", "2026-11-20T08:30:00.000000"},
      {"select json_array(1, 2)", "[1, 2]"},
      {"select repeat('x', 100)",
       "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
       "x"
       "xxxxxxxxxxxxxxxxxxxxxxxxxxxx"},
  };
  size_t keep = b->cfg.statement_cache;
  for (size_t i = 0; i < sizeof cells / sizeof cells[0]; i++) {
    for (int k = 0; k < 3; k++) { /* prepared, again, by text */
      b->cfg.statement_cache = k == 2 ? 0 : keep;
      expect_cell(b, cells[i][0], cells[i][1]);
    }
  }
  b->cfg.statement_cache = keep;
}

static void test_counts(struct bed *b) {
  expect(b,
         "create temporary table t (id int auto_increment primary key, n int)",
         "ok");
  struct prg_value n = v_int(7);
  struct prg_req *req = query_with(b, "insert into t (n) values (?)", 1, &n);
  REQUIRE(req->error == NULL);
  CHECK_STR(req->result->tag, "INSERT");
  CHECK(req->result->affected == 1 && req->result->has_last_id &&
        req->result->last_id == 1);
  prg_req_free(req);
  req = query_with(b, "update t set n = ?", 1, &n); /* matched, not changed */
  CHECK(req->error == NULL && req->result->affected == 1);
  prg_req_free(req);
  req = script(b, "select 1; update t set n = 8; select n from t");
  CHECK(req->error == NULL && req->result->next != NULL &&
        req->result->next->affected == 1 && req->result->next->next != NULL);
  prg_req_free(req);
  expect(b, "drop table t", "ok");
}

/* ---- streams ------------------------------------------------------------- */

static void test_stream(struct bed *b) {
  for (int alone = 0; alone < 2; alone++) {
    struct prg_req *req =
        new_req(PRG_REQ_STREAM, "select seq from seq_1_to_12345", 0);
    int64_t next = 1;
    req->alone = alone == 1;
    req->stmt->flags |= PRG_STMT_CURSOR;
    submit(b, req);
    for (;;) {
      if (!CHECK(req->error == NULL && req->result != NULL)) break;
      for (size_t i = 0; i < req->result->nrows; i++)
        if (prg_result_row(req->result, i)->u.i != next++) CHECK(false);
      if (req->state == PRG_REQ_DONE) break;
      if (!req->alone) expect_cell(b, "select 5", "5"); /* beside it */
      resume(b, req);
    }
    CHECK(next == 12346);
    prg_req_free(req);
  }
  expect_cell(b, "select 1", "1");
}

/* Two of one text, and one that is given up. */
static void test_two_streams(struct bed *b) {
  struct prg_req *req[3];
  for (int i = 0; i < 3; i++) {
    req[i] = new_req(PRG_REQ_STREAM, "select seq from seq_1_to_3000", 0);
    req[i]->stmt->flags |= PRG_STMT_CURSOR;
    submit(b, req[i]);
    CHECK(req[i]->state == PRG_REQ_PAUSED);
  }
  prg_req_free(req[1]);
  for (int64_t chunk = 1; chunk < 6; chunk++) {
    for (int i = 0; i < 3; i += 2) {
      resume(b, req[i]);
      REQUIRE(req[i]->result != NULL && req[i]->result->nrows > 0);
      CHECK(prg_result_row(req[i]->result, 0)->u.i == chunk * 500 + 1);
    }
  }
  prg_req_free(req[0]);
  prg_req_free(req[2]);
  expect_cell(b, "select 1", "1");
}

/* ---- batches ------------------------------------------------------------- */

static struct prg_req *batch_of(const char *sql, size_t n) {
  struct prg_req *req = new_req(PRG_REQ_BATCH, sql, 1);
  struct prg_value *p = prg_arena_alloc(&req->arena, n * sizeof *p);
  for (size_t i = 0; i < n; i++) p[i] = v_int((int64_t)i);
  req->params = p;
  req->params_owned = true;
  req->nsets = n;
  return req;
}

static void test_batch(struct bed *b) {
  expect(b, "create temporary table t (a int primary key)", "ok");
  struct prg_req *req = batch_of("insert into t values (? + 0)", 100);
  submit(b, req);
  CHECK(req->error == NULL && req->result->affected == 100);
  prg_req_free(req);
  req = batch_of("insert into t values (199 - ?)", 200); /* the last but 99 */
  submit(b, req);
  CHECK(req->error != NULL && req->error->kind == PRG_K_UNIQUE);
  prg_req_free(req);
  expect_cell(b, "select count(*) from t", "100");
  req = batch_of("insert into t values (? + 1000) returning a", 3);
  req->collect = true;
  submit(b, req);
  CHECK(req->error == NULL && req->result->nrows == 3);
  CHECK_STR(cell(req, 2, 0), "1002");
  prg_req_free(req);
  expect(b, "drop table t", "ok");
}

/* ---- what is asked behind a statement ------------------------------------- */

static void test_key(struct bed *b) {
  expect(b, "create temporary table t (a int, b int, unique ab (a, b))", "ok");
  expect(b, "insert into t values (1, 1)", "ok");
  for (int tx = 0; tx < 2; tx++) {
    if (tx == 1) expect(b, "begin", "ok");
    struct prg_req *req = query(b, "insert into t values (1, 1)");
    REQUIRE(req->error != NULL);
    CHECK_STR(req->error->field[PRG_EF_DETAIL], "Key (a, b) already exists.");
    CHECK_STR(req->error->field[PRG_EF_TABLE], "t");
    CHECK(req->error->field[PRG_EF_COLUMN] == NULL);
    prg_req_free(req);
  }
  CHECK(b->conn->tx == PRG_TX_OPEN);
  expect(b, "rollback", "ok");
  expect(b, "drop table t", "ok");
}

static void test_notices(struct bed *b) {
  b->cfg.notices = true;
  b->notices = 0;
  expect_cell(b, "select 1 / 0", "NULL");
  CHECK(b->notices == 1);
  expect(b, "drop table if exists nothing", "ok");
  CHECK(b->notices == 2);
  b->cfg.notices = false;
  expect_cell(b, "select 1 / 0", "NULL");
  CHECK(b->notices == 2);
}

/* ---- cancelling and giving up --------------------------------------------- */

static const char endless[] =
    "with recursive c(x) as (select 1 union all select x + 1 from c) "
    "select count(*) from c";

static void test_cancel(struct bed *b) {
  int rounds = (int)check_rounds(100);
  for (int i = 0; i < rounds && !b->broken; i++) {
    struct prg_req *req = new_req(PRG_REQ_QUERY, endless, 0);
    req->due = prg_now() + (2 + i % 5) * PRG_MS;
    submit(b, req);
    CHECK(req->error != NULL && req->error->kind == PRG_K_TIMEOUT);
    prg_req_free(req);
    expect_cell(b, "select 1", "1");
  }
  CHECK(!b->broken);
}

static struct prg_req *random_req(unsigned long *seed) {
  static const char *const sqls[] = {
      "select sleep(0.02)",
      "select seq from seq_1_to_20000",
      "select repeat('y', 200000)",
      "select nope",
      "insert into ab (i) values (1)",
      "select 1 / 0",
      "select seq from seq_1_to_10",
      "insert into ab (i) values (0)",
  };
  unsigned k = check_random(seed, 10);
  if (k == 8)
    return batch_of("insert into ab (i) values (? + 1)",
                    1 + check_random(seed, 500));
  if (k == 9)
    return new_req(PRG_REQ_SCRIPT, "select 1; select seq from seq_1_to_9", 0);
  bool stream = check_random(seed, 2) == 0;
  struct prg_req *req =
      new_req(stream ? PRG_REQ_STREAM : PRG_REQ_QUERY, sqls[k], 0);
  if (stream && k != 4 && k != 7 && check_random(seed, 2))
    req->stmt->flags |= PRG_STMT_CURSOR;
  if (stream) req->alone = check_random(seed, 2) == 0;
  if (!stream && check_random(seed, 2)) req->max_rows = 1;
  return req;
}

/* Requests that their owner lets go at any moment. `ab` has the key 0 already. */
static void make_ab(struct bed *b) {
  b->cfg.notices = true;
  expect(b,
         "create temporary table ab (i int, k int as (if(i, null, 0)) "
         "virtual, unique k (k))",
         "ok");
  expect(b, "insert into ab (i) values (0)", "ok");
}

static void test_abandon(struct bed *b) {
  unsigned long seed = check_seed();
  make_ab(b);
  for (int i = 0; i < check_rounds(200) && !b->broken; i++) {
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
  b->cfg.notices = false;
}

/* Closed with something in flight, at any moment. */
static void test_close_busy(void) {
  unsigned long seed = check_seed();
  for (int i = 0; i < 40; i++) {
    struct bed b;
    REQUIRE(bed_open(&b));
    make_ab(&b);
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

/* ---- transactions and sessions --------------------------------------------- */

static void test_transaction(struct bed *b) {
  CHECK(b->conn->tx == PRG_TX_IDLE);
  expect(b, "begin", "ok");
  CHECK(b->conn->tx == PRG_TX_OPEN);
  CHECK(driver->unclean(b->conn) != NULL);
  expect(b, "select nope", "42S22");
  CHECK(b->conn->tx == PRG_TX_OPEN);
  expect(b, "rollback", "ok");
  CHECK(b->conn->tx == PRG_TX_IDLE && driver->unclean(b->conn) == NULL);
  expect(b, "set autocommit = 0", "ok");
  CHECK(driver->unclean(b->conn) != NULL);
  struct prg_req *req = new_req(PRG_REQ_RESET, NULL, 0);
  submit(b, req);
  CHECK_STR(why(req), "ok");
  prg_req_free(req);
  CHECK(driver->unclean(b->conn) == NULL);
  expect_cell(b, "select @@autocommit", "1");
}

static void test_killed(struct bed *admin) {
  struct bed b;
  REQUIRE(bed_open(&b));
  kill_session(admin, &b);
  CHECK(spin(&b, &b.broken, 5));
  bed_close(&b);
  REQUIRE(bed_open(&b));
  bool flag = false;
  struct prg_req *req = new_req(PRG_REQ_QUERY, endless, 0);
  struct prg_req *after = new_req(PRG_REQ_QUERY, "select 1", 0);
  req->done = on_done;
  req->owner = &flag;
  prg_conn_submit(b.conn, req);
  prg_conn_submit(b.conn, after);
  turn(&b, 50);
  kill_session(admin, &b);
  CHECK(spin(&b, &flag, 5) && spin(&b, &b.broken, 5));
  CHECK(req->error != NULL && req->error->kind == PRG_K_CLOSED &&
        req->error->sent && !req->error->retryable);
  CHECK(after->error != NULL && after->error->retryable);
  prg_req_free(req);
  prg_req_free(after);
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

/* ---- short memory ----------------------------------------------------------- */

/* The request that a round of test_memory makes. */
static struct prg_req *memory_req(long n) {
  static const char *const sqls[] = {
      "select seq, concat('x', seq), 1.5 from seq_1_to_700",
      "insert into ab (i) values (0)",
      "select 1 / 0",
      "select 1; select 2",
  };
  long k = n % 6;
  if (k == 5) return batch_of("insert into ab (i) values (? + 1)", 12);
  struct prg_req *req = new_req(k == 3   ? PRG_REQ_SCRIPT
                                : k == 4 ? PRG_REQ_STREAM
                                         : PRG_REQ_QUERY,
                                sqls[k == 4 ? 0 : k], 0);
  if (k == 4) req->stmt->flags |= PRG_STMT_CURSOR;
  return req;
}

/* Each allocation of each kind of request fails once: an error, and all is well. */
static void test_memory(void) {
  long through = 0;
  struct bed b;
  REQUIRE(bed_open(&b));
  make_ab(&b);
  for (long n = 6; n < 6000 && through < 6; n++) {
    struct prg_req *req = memory_req(n);
    b.cfg.statement_cache = 3;
    prg_mem_fail_after(n / 6);
    submit(&b, req);
    while (req->state == PRG_REQ_PAUSED) resume(&b, req);
    through = prg_mem_fail_after(0) > 0 ? through + 1 : 0;
    CHECK(req->error == NULL || req->error->kind == PRG_K_RESOURCE ||
          req->error->kind == PRG_K_UNIQUE || req->error->kind == PRG_K_CLOSED);
    prg_req_free(req);
    if (!b.broken) expect_cell(&b, "select 42", "42");
    if (b.broken) {
      bed_close(&b);
      REQUIRE(bed_open(&b));
      make_ab(&b);
    }
  }
  CHECK(through == 6);
  bed_close(&b);
}

/* ---- all -------------------------------------------------------------------- */

/* By the driver's own protocol, or by the library's. */
static bool run_all(const char *only, const char *protocol) {
  struct bed b, admin;
  setenv("PERIGEE_MYSQL_PROTOCOL", protocol, 1);
  if (!bed_open(&b) || !bed_open(&admin)) return false;
  WITH(test_cells, &b);
  WITH(test_counts, &b);
  WITH(test_stream, &b);
  WITH(test_two_streams, &b);
  WITH(test_batch, &b);
  WITH(test_key, &b);
  WITH(test_notices, &b);
  WITH(test_cancel, &b);
  WITH(test_abandon, &b);
  WITH(test_transaction, &b);
  WITH(test_fork, &b);
  WITH(test_killed, &admin);
  bed_close(&b);
  bed_close(&admin);
  ONE(test_close_busy);
  ONE(test_memory);
  return true;
}

int main(int argc, char **argv) {
  const char *only = argc > 1 ? argv[1] : NULL;
  int rc = server_test_start("mysql", "PERIGEE_TEST_MYSQL");
  if (rc != 0) return rc;
  if (!run_all(only, "wire") || !run_all(only, "libmariadb")) return 1;
  return check_result();
}
