/* The SQLite driver: what can go wrong outside of it, and its limits. */
#include "sqlite_help.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* ---- faults -------------------------------------------------------------- */

static enum prg_kind open_kind(const char *name, const char *query_text,
                               int *code) {
  struct db d;
  struct prg_conn *c = open_db(&d, name, query_text);
  enum prg_kind kind = PRG_K_COUNT_;
  if (CHECK(c->state == PRG_CONN_BROKEN && c->error != NULL)) {
    kind = c->error->kind;
    *code = c->error->code;
    CHECK(strstr(prg_error_message(c->error), name) != NULL);
  }
  close_db(&d);
  return kind;
}

static void write_file(const char *path, const char *text, size_t n,
                       long offset) {
  FILE *f = fopen(path, offset == 0 ? "w" : "r+");
  CHECK(f != NULL && fseek(f, offset, SEEK_SET) == 0);
  CHECK(fwrite(text, 1, n, f) == n);
  fclose(f);
}

static void test_open_faults(void) {
  int code = 0;
  char junk[5000];
  memset(junk, 'j', sizeof(junk));
  CHECK(open_kind("no/such/folder.db", "", &code) == PRG_K_CONNECT);
  CHECK((code & 0xff) == 14);
  CHECK(open_kind("missing.db", "?mode=rw", &code) == PRG_K_CONNECT);
  CHECK(access(path_of("missing.db"), F_OK) != 0);
  CHECK(open_kind("missing.db", "?mode=ro", &code) == PRG_K_CONNECT);
  write_file(path_of("junk.db"), junk, sizeof(junk), 0);
  CHECK(open_kind("junk.db", "", &code) == PRG_K_CONNECT);
  CHECK(code == 26);
}

static void test_read_only(void) {
  struct db d;
  struct prg_conn *c;
  make_table("ro.db");
  c = open_db(&d, "ro.db", "?mode=ro");
  CHECK(int_of(c, "select count(*) from t") == 1);
  check_kind(c, "insert into t values (1)", PRG_K_PERMISSION, 8);
  close_db(&d);
  c = open_db(&d, "ro.db", "?immutable=1");
  CHECK(int_of(c, "select count(*) from t") == 1);
  check_kind(c, "create table x (a)", PRG_K_PERMISSION, 0);
  close_db(&d);
}

static void test_full(void) {
  struct db d;
  struct prg_conn *c = open_db(&d, "full.db", "");
  struct prg_error *e;
  run(c, "create table t (a)");
  run(c, "pragma max_page_count=20");
  run(c, "begin");
  run(c, "insert into t values (1)");
  e = error_of(c, "insert into t values (zeroblob(1000000))");
  CHECK(e->kind == PRG_K_RESOURCE && e->code == 13);
  prg_error_unref(e);
  if (c->tx == PRG_TX_FAILED) {
    check_kind(c, "insert into t values (1)", PRG_K_ABORTED, 0);
  }
  run(c, "rollback");
  CHECK(int_of(c, "select count(*) from t") == 0);
  run(c, "insert into t values (2)");
  close_db(&d);
}

static void test_corrupt(void) {
  struct db d;
  struct prg_conn *c = open_db(&d, "corrupt.db", "");
  char junk[4096];
  struct prg_error *e;
  memset(junk, 0xee, sizeof(junk));
  run(c, "create table t (a integer primary key, b)");
  run(c,
      "insert into t with recursive n (i) as (select 1 union all select i + "
      "1 from n where i < 5000) select i, hex(randomblob(40)) from n");
  close_db(&d);
  write_file(path_of("corrupt.db"), junk, sizeof(junk), 4096 * 10);
  c = open_db(&d, "corrupt.db", "");
  CHECK(c->state == PRG_CONN_READY);
  e = error_of(c, "select sum(length(b)) from t");
  CHECK(e->kind == PRG_K_DATABASE && (e->code & 0xff) == 11);
  prg_error_unref(e);
  CHECK(int_of(c, "select 1") == 1);
  close_db(&d);
}

/* The log does not grow without end. */
static void test_checkpoint(void) {
  struct db d;
  struct prg_conn *c = open_db(&d, "wal.db", "");
  struct stat st;
  run(c, "create table t (a)");
  for (int i = 0; i < 60; i++)
    run(c, "insert into t values (zeroblob(1000000))");
  for (int i = 0; i < 5; i++) turn(&d);
  CHECK(stat(path_of("wal.db-wal"), &st) == 0);
  CHECK(st.st_size < 40 * 1000 * 1000);
  close_db(&d);
  CHECK(access(path_of("wal.db-wal"), F_OK) != 0);
}

/* After a second of rest all is in the database file. */
static void test_rest(void) {
  struct db d;
  struct prg_conn *c = open_db(&d, "rest.db", "");
  int64_t until = prg_now() + 1300 * PRG_MS;
  struct stat st;
  run(c, "create table t (a)");
  run(c, "insert into t values (zeroblob(100000))");
  CHECK(stat(path_of("rest.db"), &st) == 0 && st.st_size < 100000);
  while (prg_now() < until) turn(&d);
  CHECK(stat(path_of("rest.db"), &st) == 0 && st.st_size > 100000);
  close_db(&d);
}

static void test_cache(void) {
  struct db d;
  struct prg_conn *c = open_db(&d, ":memory:", "");
  char sql[64];
  for (int round = 0; round < 2; round++) {
    for (int i = 0; i < 100; i++) {
      snprintf(sql, sizeof(sql), "select %d", i);
      CHECK(int_of(c, sql) == i);
    }
  }
  close_db(&d);
  CHECK(configure(&d, ":memory:", "") == NULL);
  d.cfg.statement_cache = 0;
  d.hub = prg_hub_new(&(struct prg_error *){NULL});
  current = &d;
  c = connect_lane(&d, 0, PRG_LANE_WRITE);
  for (int i = 0; i < 3; i++) CHECK(int_of(c, "select 3") == 3);
  close_db(&d);
}

static struct prg_value items[] = {{.type = PRG_INT, .u.i = 2},
                                   {.type = PRG_NULL}};
static struct prg_vlist list = {.n = 2, .items = items};
static const struct prg_value list_value = {.type = PRG_LIST, .u.list = &list};

static const struct prg_value many[300];

static struct prg_req *any_kind(int kind, long n) {
  char sql[120];
  struct prg_req *r;
  snprintf(sql, sizeof(sql), "select a, b from t where a < %ld", n + 5);
  switch (kind) {
    case 0:
      return make(PRG_REQ_QUERY, sql, PRG_STMT_READ, 0);
    case 1:
      r = make(PRG_REQ_STREAM, sql, PRG_STMT_READ, 0);
      r->chunk = 1;
      return r;
    case 2:
      r = make(PRG_REQ_BATCH, "insert into u values (1)", PRG_STMT_VALUES, 0);
      r->nsets = 3;
      return r;
    case 3:
      return make(PRG_REQ_SCRIPT, "select 1; select 2, 3", PRG_STMT_MULTI, 0);
    case 4:
      return make(PRG_REQ_QUERY, "create table if not exists u (a)",
                  PRG_STMT_UTILITY, 0);
    case 5:
      return make(PRG_REQ_QUERY, "insert into t (a) values (1, 2)",
                  PRG_STMT_VALUES, 0);
    case 6:
      r = make(PRG_REQ_BATCH, "insert into u values (7), (8) returning a, 'x'",
               PRG_STMT_VALUES, 0);
      r->nsets = 3;
      r->collect = true;
      return r;
    case 7:
      snprintf(sql, sizeof(sql),
               "select %ld from t where 2 in (select value from "
               "perigee_list(?1))",
               n);
      r = make(PRG_REQ_QUERY, sql, PRG_STMT_READ, 1);
      r->params = &list_value;
      return r;
    case 8:
      snprintf(sql, sizeof(sql), "select perigee_json_contains('[%ld]', '%ld')",
               n, n);
      return make(PRG_REQ_QUERY, sql, PRG_STMT_READ, 0);
    case 9: /* several sets in one statement */
      r = make(PRG_REQ_BATCH, "insert into u values (?1)", PRG_STMT_VALUES, 1);
      r->params = many;
      r->nsets = sizeof(many) / sizeof(many[0]);
      return r;
    default:
      return make(PRG_REQ_RESET, NULL, 0, 0);
  }
}

/* The n-th allocation of one request fails. True: there was none so many. */
static bool fail_nth(struct prg_conn *c, int kind, long n) {
  struct prg_req *r = any_kind(kind, n);
  bool reached;
  prg_mem_fail_after(n);
  prg_conn_submit(c, r);
  finish(r);
  if (r->state == PRG_REQ_PAUSED) prg_req_resume(r);
  finish(r);
  reached = prg_mem_fail_after(0) == 0;
  if (reached && r->error != NULL)
    CHECK(r->error->kind == PRG_K_RESOURCE || kind == 5);
  prg_req_free(r);
  while (!prg_conn_is_drained(c)) turn(current);
  CHECK(c->state == PRG_CONN_READY);
  return !reached;
}

/* Each allocation of each kind of request fails once; nothing leaks or
** crashes, and the connection stays good. */
static void test_memory(void) {
  struct db d;
  struct prg_conn *c = open_db(&d, "mem.db", "");
  run(c, "create table t (a numeric, b timestamp)");
  run(c, "create table u (a)");
  run(c, "insert into t values (1.5, '2026-01-01 00:00:00'), (2, 'x')");
  for (int kind = 0; kind < 11; kind++) {
    long n = 1;
    while (n < 200 && !fail_nth(c, kind, n)) n++;
    /* A script's memory is the worker's, a reset needs none. */
    CHECK(n < 200 && (n > 1 || kind == 3 || kind == 10));
    CHECK(c->tx == PRG_TX_IDLE);
    CHECK(int_of(c, "select count(*) from t") == 2);
  }
  CHECK(int_of(c, "select count(*) from u") % 3 == 0);
  close_db(&d);
}

/* Opening with a failing allocation: broken with an error, or open. */
static void test_open_memory(void) {
  for (long n = 1; n < 40; n++) {
    struct db d;
    struct prg_error *e = configure(&d, "openmem.db", "");
    struct prg_conn *c;
    CHECK(e == NULL);
    d.hub = prg_hub_new(&e);
    current = &d;
    c = prg_conn_new(driver, &d.cfg, NULL, d.hub, PRG_LANE_WRITE);
    c->event = on_event;
    c->owner = &d;
    d.conn[0] = c;
    prg_mem_fail_after(n);
    prg_conn_connect(c, PRG_NEVER);
    while (!d.opened && !d.broken) turn(&d);
    prg_mem_fail_after(0);
    CHECK(d.opened || c->error->kind == PRG_K_RESOURCE);
    close_db(&d);
  }
}

/* Connections that create a file and its log at the same moment. */
static void test_open_together(void) {
  for (int round = 0; round < 10; round++) {
    struct db d;
    char name[32];
    struct prg_error *e;
    snprintf(name, sizeof(name), "together%d.db", round);
    e = configure(&d, name, "");
    CHECK(e == NULL);
    d.hub = prg_hub_new(&e);
    current = &d;
    for (int i = 0; i < 4; i++) {
      d.conn[i] = prg_conn_new(driver, &d.cfg, NULL, d.hub,
                               i == 2 ? PRG_LANE_WRITE : PRG_LANE_READ);
      prg_conn_connect(d.conn[i], prg_now() + 10 * PRG_SECOND);
    }
    for (int i = 0; i < 4; i++) {
      while (d.conn[i]->state == PRG_CONN_CONNECTING) turn(&d);
      CHECK(d.conn[i]->state == PRG_CONN_READY);
    }
    run(d.conn[2], "create table t (a)");
    CHECK(int_of(d.conn[0], "select count(*) from t") == 0);
    close_db(&d);
  }
}

/* Closed while the worker opens the file, and by the owner's own done(). */
static void test_close_opening(void) {
  for (int i = 0; i < 20; i++) {
    struct db d;
    struct prg_error *e = configure(&d, "closing.db", "");
    struct prg_conn *c;
    CHECK(e == NULL);
    d.hub = prg_hub_new(&e);
    current = &d;
    c = prg_conn_new(driver, &d.cfg, NULL, d.hub, PRG_LANE_WRITE);
    prg_conn_connect(c, PRG_NEVER);
    if (i % 2 == 0) usleep((useconds_t)i * 50);
    prg_conn_close(c, "test");
    close_db(&d);
  }
}

static void close_in_done(struct prg_req *req) {
  struct db *d = req->owner;
  prg_conn_close(d->conn[0], "test");
  d->conn[0] = NULL;
}

static void test_close_in_done(void) {
  struct db d;
  struct prg_conn *c = open_db(&d, "closing.db", "");
  struct prg_req *r[3];
  for (int i = 0; i < 3; i++) {
    r[i] = make(PRG_REQ_QUERY, "create table if not exists t (a)", 0, 0);
    r[i]->owner = &d;
    prg_conn_submit(c, r[i]);
  }
  r[0]->done = close_in_done;
  finish(r[0]);
  CHECK(r[0]->error == NULL && d.conn[0] == NULL);
  finish(r[2]);
  CHECK(r[1]->error->kind == PRG_K_CLOSED && r[2]->error != NULL);
  for (int i = 0; i < 3; i++) prg_req_free(r[i]);
  close_db(&d);
}

/* A child that inherits a connection must not close it under its parent. */
static void test_fork(void) {
  struct db d;
  struct prg_conn *c = open_db(&d, "fork.db", "");
  int status = -1;
  pid_t pid;
  run(c, "create table t (a)");
  run(c, "begin immediate");
  pid = fork();
  if (pid == 0) {
    prg_conn_close(c, "child");
    _exit(0);
  }
  CHECK(waitpid(pid, &status, 0) == pid && status == 0);
  {
    struct db o;
    struct prg_conn *c2 = open_db(&o, "fork.db", "");
    struct prg_req *r = make(PRG_REQ_QUERY, "begin immediate", 8, 0);
    r->due = prg_now() + 20 * PRG_MS;
    prg_conn_submit(c2, r);
    finish(r);
    CHECK(r->error != NULL && r->error->kind == PRG_K_LOCKED);
    prg_req_free(r);
    close_db(&o);
    current = &d;
  }
  run(c, "insert into t values (1)");
  run(c, "commit");
  close_db(&d);
}

int main(void) {
  if (!begin_tests()) return 0;
  RUN(test_open_faults);
  RUN(test_read_only);
  RUN(test_full);
  RUN(test_corrupt);
  RUN(test_checkpoint);
  RUN(test_rest);
  RUN(test_cache);
  RUN(test_memory);
  RUN(test_open_memory);
  RUN(test_open_together);
  RUN(test_close_opening);
  RUN(test_close_in_done);
  RUN(test_fork);
  return end_tests();
}
