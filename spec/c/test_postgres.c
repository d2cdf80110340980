/*
** The PostgreSQL driver: connecting, queries, statements, scripts, resets.
*/
#include <netinet/in.h>
#include <sys/socket.h>

#include "pg_bed.h"

/* ---- connecting --------------------------------------------------------- */

static void fails_to_connect(const char *url, const char *want, double limit) {
  struct bed b;
  struct prg_error *e = bed_setup(&b, url);
  REQUIRE(e == NULL);
  int64_t start = prg_now();
  bed_connect(&b, limit);
  CHECK(b.broken && !b.opened);
  CHECK_STR(b.why, want);
  CHECK(strstr(b.message, "s3cret") == NULL);
  CHECK(strstr(b.message, ".c:") == NULL);
  CHECK(prg_now() - start < (int64_t)((limit + 1) * 1e6));
  bed_close(&b);
}

/* A URL with another database or other parameters than base_url's. */
static const char *url_with(const char *database, const char *params) {
  static char out[1024];
  struct prg_url u;
  struct prg_error *e = NULL;
  struct prg_buf text;
  prg_buf_init(&text, 0);
  if (prg_url_parse(base_url, strlen(base_url), &u, &e) != PRG_OK) return "";
  if (database != NULL) {
    prg_free(u.database);
    u.database = prg_strdup(database);
  }
  prg_url_format(&u, false, &text);
  snprintf(out, sizeof out, "%s%s%s", text.data,
           strchr(text.data, '?') ? "&" : "?", params);
  prg_buf_fini(&text);
  prg_url_fini(&u);
  return out;
}

static void test_connect_errors(void) {
  fails_to_connect("postgresql://u:s3cret@127.0.0.1:1/x", "connect", 5);
  fails_to_connect("postgresql://u:s3cret@/x?host=/nonexistent", "connect", 5);
  fails_to_connect(url_with("no_such_database", "password=s3cret"), "3D000", 5);
  fails_to_connect(url_with(NULL, "user=nobody_here&password=s3cret"), "28000",
                   5);
}

static int deaf_listener(int *port) {
  struct sockaddr_in a = {.sin_family = AF_INET,
                          .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t n = sizeof a;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  bind(fd, (struct sockaddr *)&a, n);
  listen(fd, 5);
  getsockname(fd, (struct sockaddr *)&a, &n);
  *port = ntohs(a.sin_port);
  return fd;
}

static void test_connect_deadline(void) {
  char url[128];
  int port, fd = deaf_listener(&port);
  snprintf(url, sizeof url, "postgresql://u:s3cret@127.0.0.1:%d/x", port);
  fails_to_connect(url, "timeout", 0.3);
  /* Closed while connecting: the thread finds nobody. */
  struct bed b;
  REQUIRE(bed_setup(&b, url) == NULL);
  b.conn = prg_conn_new(driver, &b.cfg, b.shared, b.hub, PRG_LANE_WRITE);
  prg_conn_connect(b.conn, prg_due_in(5));
  turn(&b, 50);
  bed_close(&b);
  /* The hub goes first. */
  REQUIRE(bed_setup(&b, url) == NULL);
  b.conn = prg_conn_new(driver, &b.cfg, b.shared, b.hub, PRG_LANE_WRITE);
  prg_conn_connect(b.conn, prg_due_in(5));
  prg_conn_close(b.conn, "test");
  prg_hub_unref(b.hub);
  driver->shared_free(b.shared);
  prg_url_fini(&b.cfg.url);
  close(fd);
  usleep(500000);
}

static void test_check(void) {
  struct bed b;
  struct prg_error *e = bed_setup(&b, "postgresql://h/d?sslmod=require");
  REQUIRE(e != NULL);
  CHECK(e->kind == PRG_K_USAGE);
  CHECK(strstr(prg_error_message(e), "sslmod") != NULL);
  prg_error_unref(e);
  prg_url_fini(&b.cfg.url);
  e = bed_setup(&b, "postgresql://h/d?client_encoding=LATIN1");
  CHECK(e != NULL && e->kind == PRG_K_USAGE);
  prg_error_unref(e);
  prg_url_fini(&b.cfg.url);
}

/* The first host does not answer, the second is the server. */
static void test_hosts(void) {
  struct prg_url u;
  struct prg_error *e = NULL;
  char url[512];
  int port, fd = deaf_listener(&port);
  const char *tcp = getenv("PERIGEE_TEST_POSTGRES_TCP");
  if (tcp == NULL) tcp = base_url;
  REQUIRE(prg_url_parse(tcp, strlen(tcp), &u, &e) == PRG_OK);
  const char *real = prg_url_param(&u, "port");
  if (real == NULL) real = u.port == NULL ? "5432" : u.port;
  snprintf(url, sizeof url, "postgresql://%s@127.0.0.1:%d,127.0.0.1:%s/%s",
           u.user == NULL ? "" : u.user, port, real, u.database);
  struct bed b;
  if (bed_setup(&b, url) == NULL) {
    if (u.password != NULL) b.cfg.url.password = prg_strdup(u.password);
    bed_connect(&b, 2);
    CHECK(b.opened);
    if (b.broken) fprintf(stderr, "%s\n", b.message);
    bed_close(&b);
  }
  prg_url_fini(&u);
  close(fd);
}

static void test_styles(void) {
  struct bed b;
  const char *url = url_with(
      NULL, "options=-c%20datestyle%3DGerman%20-c%20intervalstyle%3Diso_8601");
  REQUIRE(bed_setup(&b, url) == NULL);
  bed_connect(&b, 10);
  if (!CHECK(b.opened)) {
    fprintf(stderr, "%s\n", b.message);
    bed_close(&b);
    return;
  }
  expect_cell(&b, "show datestyle", "ISO, MDY");
  expect_cell(&b, "show intervalstyle", "postgres");
  struct prg_req *req = new_req(PRG_REQ_RESET, NULL, 0);
  submit(&b, req);
  CHECK_STR(why(req), "ok");
  prg_req_free(req);
  expect_cell(&b, "show datestyle", "ISO, MDY");
  expect_cell(&b, "show intervalstyle", "postgres");
  expect_cell(&b, "show client_encoding", "UTF8");
  expect_cell(&b, "show application_name", "perigee");
  expect_cell(&b, "show tcp_user_timeout", "0"); /* the server's, not ours */
  bed_close(&b);
}

/* ---- queries ------------------------------------------------------------ */

static void test_query(struct bed *b) {
  struct prg_value p[] = {v_int(7), v_text("x"), {.type = PRG_NULL}};
  for (int i = 0; i < 3; i++) {
    struct prg_req *req =
        query_with(b, "select $1, $2::text || 'y', $3::int8 as n", 3, p);
    REQUIRE(req->result != NULL);
    CHECK_STR(cell(req, 0, 0), "7");
    CHECK_STR(cell(req, 0, 1), "xy");
    CHECK_STR(cell(req, 0, 2), "NULL");
    CHECK_STR(req->result->desc->cols[0].type, "int4");
    CHECK_STR(req->result->desc->cols[2].name.p, "n");
    CHECK(req->result->affected == 1);
    CHECK_STR(req->result->tag, "SELECT");
    prg_req_free(req);
  }
  p[0] = v_int(INT64_C(5000000000));
  struct prg_req *req = query_with(b, "select $1", 1, p);
  REQUIRE(req->result != NULL);
  CHECK_STR(req->result->desc->cols[0].type, "int8");
  CHECK_STR(cell(req, 0, 0), "5000000000");
  prg_req_free(req);
  expect_cell(b, "select make_date(2020,1,2)", "2020-01-02");
  expect_cell(b, "select array[1,2,3]", "list of 3");
  expect_cell(b, "select row(1,'a')", "record of 2");
  expect_cell(b, "select 12.50::numeric", "12.50");
  expect_cell(b, "select null::int", "NULL");
  expect_cell(b, "select '(1,2)'::point", "(1,2)");
  expect_cell(b, "select 1 as a, 'r=r/r'::text", "1");
  expect(b, "", "ok");
  expect(b, "-- nothing", "ok");
}

static void test_errors(struct bed *b) {
  struct prg_req *req = query(b, "select  1/0");
  CHECK_STR(why(req), "22012");
  REQUIRE(req->error != NULL);
  CHECK(req->error->kind == PRG_K_DATA && req->error->sent);
  CHECK_STR(req->error->field[PRG_EF_SQL], "select  1/0");
  prg_req_free(req);
  req = query(b, "select nonesuch");
  REQUIRE(req->error != NULL);
  CHECK(req->error->kind == PRG_K_UNDEFINED && req->error->position == 8);
  prg_req_free(req);
  expect(b, "selec", "42601");
  expect(b, "select 1; select 2", "42601");
  expect(b, "select 'abc", "42601");
  expect(b, "create temp table e (id int primary key, n int not null)", "ok");
  expect(b, "insert into e values (1, 1)", "ok");
  req = query(b, "insert into e values (1, 1)");
  REQUIRE(req->error != NULL);
  CHECK(req->error->kind == PRG_K_UNIQUE);
  CHECK_STR(req->error->field[PRG_EF_CONSTRAINT], "e_pkey");
  CHECK_STR(req->error->field[PRG_EF_TABLE], "e");
  CHECK(req->error->field[PRG_EF_DETAIL] != NULL);
  prg_req_free(req);
  req = query(b, "insert into e values (2, null)");
  REQUIRE(req->error != NULL);
  CHECK(req->error->kind == PRG_K_NOT_NULL);
  CHECK_STR(req->error->field[PRG_EF_COLUMN], "n");
  prg_req_free(req);
  expect(b, "drop table e", "ok");
  expect(b, "set statement_timeout = 50", "ok");
  req = query(b, "select pg_sleep(5)");
  REQUIRE(req->error != NULL);
  CHECK(req->error->kind == PRG_K_TIMEOUT);
  prg_req_free(req);
  expect(b, "set statement_timeout = 0", "ok");
}

static void test_encode_error(struct bed *b) {
  struct prg_value p[] = {v_text("abc")};
  struct prg_req *req = query_with(b, "select $1::int", 1, p);
  CHECK(req->error != NULL);
  prg_req_free(req);
  p[0] = (struct prg_value){.type = PRG_DOUBLE, .u.d = 3.5};
  req = query_with(b, "select $1 + 0.25::float8", 1, p);
  CHECK_STR(cell(req, 0, 0), "3.75");
  prg_req_free(req);
  struct prg_vlist list = {.n = 1, .items = p, .ndim = 1};
  p[0] = (struct prg_value){.type = PRG_LIST, .u.list = &list};
  list.items = &(struct prg_value){.type = PRG_BOOL};
  req = query_with(b, "select $1::int", 1, p);
  CHECK_STR(why(req), "usage");
  CHECK(req->error != NULL && !req->error->sent &&
        strstr(prg_error_message(req->error), "$1") != NULL);
  prg_req_free(req);
  expect(b, "create temp table enc (i int)", "ok");
  p[0] = (struct prg_value){.type = PRG_TEXT, .u.s = {"a\0b", 3}};
  req = query_with(b, "select $1::text", 1, p);
  REQUIRE(req->error != NULL);
  CHECK(req->error->kind == PRG_K_DATA || req->error->kind == PRG_K_USAGE);
  prg_req_free(req);
  expect(b, "drop table enc", "ok");
  CHECK(b->conn->tx == PRG_TX_IDLE);
}

static void test_transactions(struct bed *b) {
  struct prg_req *req;
  expect(b, "begin", "ok");
  CHECK(b->conn->tx == PRG_TX_OPEN);
  expect(b, "select 1/0", "22012");
  CHECK(b->conn->tx == PRG_TX_FAILED);
  req = query(b, "select 1");
  CHECK_STR(why(req), "25P02");
  REQUIRE(req->error != NULL && req->error->cause != NULL);
  CHECK(req->error->kind == PRG_K_ABORTED);
  CHECK_STR(req->error->cause->sqlstate, "22012");
  prg_req_free(req);
  req = query(b, "commit");
  CHECK(req->error == NULL);
  CHECK_STR(req->result->tag, "ROLLBACK");
  prg_req_free(req);
  CHECK(b->conn->tx == PRG_TX_IDLE);
  /* A prepare that fails in a transaction, and the statement afterwards. */
  expect(b, "begin", "ok");
  expect(b, "select no_such_thing", "42703");
  expect(b, "rollback", "ok");
  expect_cell(b, "select 1", "1");
}

static void test_types_learnt(struct bed *b) {
  expect(b, "create type pg_temp.pair as (a int, b text)", "ok");
  expect(b, "create type pg_temp.mood as enum ('sad', 'ok')", "ok");
  expect_cell(b, "select row(1,'x')::pg_temp.pair", "record of 2");
  expect_cell(b, "select array[row(1,'x')::pg_temp.pair]", "list of 1");
  expect_cell(b, "select 'ok'::pg_temp.mood", "ok");
  expect_cell(b, "select array['ok']::pg_temp.mood[]", "list of 1");
  expect(b, "alter type pg_temp.pair add attribute c int", "ok");
  expect_cell(b, "select row(1,'x',2)::pg_temp.pair", "record of 3");
  b->cfg.statement_cache = 0;
  expect(b, "create type pg_temp.trio as (a int, b text, c int)", "ok");
  expect_cell(b, "select row(1,'x',3)::pg_temp.trio", "record of 3");
  b->cfg.statement_cache = 100;
  expect(b, "drop type pg_temp.pair, pg_temp.mood, pg_temp.trio", "ok");
}

static void test_unnamed(struct bed *b) {
  b->cfg.statement_cache = 0;
  struct prg_value p[] = {
      v_int(7), v_text("x"), {.type = PRG_BOOL, .u.b = true}};
  struct prg_req *req =
      query_with(b, "select $1 + 1, $2::text, $3, array[1,2]", 3, p);
  CHECK_STR(why(req), "ok");
  CHECK_STR(cell(req, 0, 0), "8");
  CHECK_STR(cell(req, 0, 1), "x");
  CHECK_STR(cell(req, 0, 2), "true");
  CHECK_STR(cell(req, 0, 3), "list of 2");
  prg_req_free(req);
  b->cfg.statement_cache = 100;
}

static size_t prepared(struct bed *b) {
  struct prg_req *req = query(b, "select count(*) from pg_prepared_statements");
  size_t n = (size_t)atol(cell(req, 0, 0));
  prg_req_free(req);
  return n;
}

static void test_lru(struct bed *b) {
  char sql[64];
  b->cfg.statement_cache = 10;
  for (int i = 0; i < 300; i++) {
    snprintf(sql, sizeof sql, "select %d", i);
    char want[16];
    snprintf(want, sizeof want, "%d", i);
    expect_cell(b, sql, want);
  }
  CHECK(prepared(b) <= 10);
  expect(b, "begin", "ok");
  for (int i = 0; i < 300; i++) {
    snprintf(sql, sizeof sql, "select %d + 0", i);
    expect(b, sql, "ok");
  }
  expect(b, "commit", "ok");
  CHECK(prepared(b) <= 10 + 64);
  expect(b, "select 'last'", "ok");
  CHECK(prepared(b) <= 11);
  b->cfg.statement_cache = 1;
  expect(b, "select 'a'", "ok");
  expect(b, "select 'b'", "ok");
  CHECK(prepared(b) <= 2);
  b->cfg.statement_cache = 100;
}

static void test_out_of_date(struct bed *b) {
  expect(b, "create temp table od (a int, b text)", "ok");
  expect(b, "insert into od values (1, 'x')", "ok");
  expect_cell(b, "select * from od", "1");
  expect(b, "alter table od add c int default 5", "ok");
  struct prg_req *req = query(b, "select * from od");
  CHECK_STR(cell(req, 0, 2), "5");
  prg_req_free(req);
  expect(b, "alter table od alter a type text", "ok");
  expect_cell(b, "select * from od", "1");
  /* In a transaction it is an error, once. */
  expect(b, "alter table od drop c", "ok");
  expect(b, "begin", "ok");
  req = query(b, "select * from od");
  CHECK_STR(why(req), "0A000");
  CHECK(req->error != NULL && req->error->retryable);
  prg_req_free(req);
  expect(b, "rollback", "ok");
  expect(b, "begin", "ok");
  expect_cell(b, "select * from od", "1");
  expect(b, "commit", "ok");
  expect(b, "drop table od", "ok");
}

/* A parameter that was of one type when the statement was prepared. */
static void test_param_type_changed(struct bed *b) {
  static const char sql[] = "select b from pt where a = $1";
  struct prg_value p[] = {v_text("1")};
  expect(b, "create temp table pt (a int, b text)", "ok");
  expect(b, "insert into pt values (1, 'x')", "ok");
  for (int i = 0; i < 3; i++) {
    struct prg_req *req = query_with(b, sql, 1, p);
    CHECK_STR(cell(req, 0, 0), "x");
    prg_req_free(req);
    if (i == 0) expect(b, "alter table pt alter a type text", "ok");
  }
  /* In a transaction it is an error, once. */
  expect(b, "alter table pt alter a type int using a::int", "ok");
  expect(b, "begin", "ok");
  struct prg_req *req = query_with(b, sql, 1, p);
  CHECK_STR(why(req), "42883");
  CHECK(req->error != NULL && req->error->retryable);
  prg_req_free(req);
  expect(b, "rollback", "ok");
  expect(b, "begin", "ok");
  req = query_with(b, sql, 1, p);
  CHECK_STR(cell(req, 0, 0), "x");
  prg_req_free(req);
  expect(b, "commit", "ok");
  /* What is simply wrong is told after one more try. */
  expect(b, "drop table pt", "ok");
  req = query_with(b, sql, 1, p);
  CHECK_STR(why(req), "42P01");
  CHECK(req->error != NULL && !req->error->retryable);
  prg_req_free(req);
}

static void test_deallocated(struct bed *b) {
  struct prg_value p[] = {v_text("x")};
  struct prg_req *req = query_with(b, "select $1::text", 1, p);
  prg_req_free(req);
  expect(b, "deallocate all", "ok");
  req = query_with(b, "select $1::text", 1, p);
  CHECK_STR(cell(req, 0, 0), "x");
  prg_req_free(req);
  /* Behind the driver's back. */
  const char *hidden = "do $$ begin execute 'deallocate all'; end $$";
  expect(b, hidden, "ok");
  req = query_with(b, "select $1::text", 1, p);
  CHECK_STR(cell(req, 0, 0), "x");
  prg_req_free(req);
  expect(b, hidden, "ok");
  expect(b, "begin", "ok");
  req = query_with(b, "select $1::text", 1, p);
  CHECK_STR(why(req), "26000");
  CHECK(req->error != NULL && req->error->retryable);
  prg_req_free(req);
  expect(b, "rollback", "ok");
  req = query_with(b, "select $1::text", 1, p);
  CHECK_STR(cell(req, 0, 0), "x");
  prg_req_free(req);
  expect(b, "discard all", "ok");
  expect_cell(b, "select 1", "1");
  /* Names that are not on the server any more are closed without harm. */
  b->cfg.statement_cache = 2;
  expect(b, hidden, "ok");
  for (int i = 0; i < 5; i++) expect(b, "select 'abc'", "ok");
  for (int i = 0; i < 5; i++) {
    char sql[32];
    snprintf(sql, sizeof sql, "select 'n%d'", i);
    expect(b, sql, "ok");
  }
  b->cfg.statement_cache = 100;
}

/* Takes the names that would be given next. */
static const char take_names[] =
    "do $$ declare base text; begin"
    " select substring(name from '^prg_.*_') into base"
    "  from pg_prepared_statements where name like 'prg%' limit 1;"
    " for i in 2..20 loop"
    "  execute 'prepare ' || base || i || ' as select 5';"
    " end loop; end $$";

/* The same name is there already: another is taken, once. */
static void test_name_taken(struct bed *b) {
  struct bed c;
  REQUIRE(bed_open(&c));
  (void)b;
  expect_cell(&c, "select 5", "5");
  expect(&c, take_names, "ok");
  expect_cell(&c, "select 6", "6");
  expect_cell(&c, "select 6", "6");
  bed_close(&c);
}

static void test_no_binary(struct bed *b) {
  expect_cell(b, "select acldefault('r', 10::oid)::text <> ''", "true");
  expect_cell(b, "select (acldefault('n', 10::oid))[1] is null", "false");
  struct prg_req *req = query(b, "select (acldefault('n', 10::oid))[1], 1");
  CHECK_STR(why(req), "ok");
  CHECK_STR(cell(req, 0, 1), "1");
  prg_req_free(req);
}

/* ---- row limits --------------------------------------------------------- */

static void limited(struct bed *b, const char *sql, size_t max, size_t rows,
                    bool truncated) {
  struct prg_req *req = new_req(PRG_REQ_QUERY, sql, 0);
  req->max_rows = max;
  submit(b, req);
  if (CHECK(req->result != NULL)) {
    CHECK(req->result->nrows == rows);
    CHECK(req->result->truncated == truncated);
    if (rows > 0) CHECK_STR(cell(req, 0, 0), "1");
  }
  prg_req_free(req);
}

static void test_max_rows(struct bed *b) {
  const char *many = "select generate_series(1, 2000000)";
  for (int i = 0; i < 6; i++) limited(b, "select 1", 1, 1, false);
  for (int i = 0; i < 3; i++) limited(b, "select 1 where false", 1, 0, false);
  int64_t start = prg_now();
  for (int i = 0; i < 3; i++) {
    limited(b, many, 2, 2, true);
    expect_cell(b, "select 1", "1");
  }
  CHECK(prg_now() - start < 5 * PRG_SECOND);
  limited(b, "select generate_series(1, 2)", 1, 1, true);
  limited(b, "select generate_series(1, 3)", 3, 3, false);
  /* What was calm has more for once. */
  expect(b, "create temp table calm (i int)", "ok");
  expect(b, "insert into calm values (1)", "ok");
  for (int i = 0; i < 4; i++) limited(b, "select i from calm", 1, 1, false);
  expect(b, "insert into calm values (2)", "ok");
  for (int i = 0; i < 2; i++) limited(b, "select i from calm", 1, 1, true);
  /* A transaction survives, and writes are not cut short. */
  expect(b, "begin", "ok");
  limited(b, "select generate_series(1, 100000)", 1, 1, true);
  expect_cell(b, "select 1", "1");
  limited(b,
          "with x as (insert into calm select generate_series(3, 5000) "
          "returning 1) select * from x",
          1, 1, true);
  expect(b, "commit", "ok");
  expect_cell(b, "select count(*) from calm", "5000");
  limited(b, "update calm set i = i returning 1", 1, 1, true);
  expect(b, "drop table calm", "ok");
}

/* ---- scripts, resets ---------------------------------------------------- */

static void test_script(struct bed *b) {
  struct prg_req *req =
      script(b,
             "create temp table sc (i int); insert into sc values (1), (2);"
             "select * from sc; select array[1,2]; drop table sc");
  CHECK_STR(why(req), "ok");
  static const char *const tags[] = {"CREATE TABLE", "INSERT", "SELECT",
                                     "SELECT", "DROP TABLE"};
  struct prg_result *r = req->result;
  for (size_t i = 0; i < 5; i++, r = r->next) {
    REQUIRE(r != NULL);
    CHECK_STR(r->tag, tags[i]);
    if (i == 1) CHECK(r->affected == 2);
    if (i == 2) CHECK(r->nrows == 2 && prg_result_row(r, 1)->u.i == 2);
    if (i == 3) CHECK(prg_result_row(r, 0)->type == PRG_LIST);
  }
  CHECK(r == NULL);
  prg_req_free(req);
  req = script(b, "select 1; select 1/0; select 2");
  CHECK_STR(why(req), "22012");
  prg_req_free(req);
  req = script(b, "copy pg_class to stdout; select 1");
  CHECK_STR(why(req), "unsupported");
  prg_req_free(req);
  expect(b, "create temp table cp (i int)", "ok");
  req = script(b, "copy cp from stdin; select 1");
  CHECK_STR(why(req), "unsupported");
  prg_req_free(req);
  expect(b, "drop table cp", "ok");
  expect_cell(b, "select 1", "1");
  req = new_req(PRG_REQ_PING, NULL, 0);
  submit(b, req);
  CHECK_STR(why(req), "ok");
  prg_req_free(req);
  CHECK(!b->broken);
}

static void reset(struct bed *b) {
  struct prg_req *req = new_req(PRG_REQ_RESET, NULL, 0);
  submit(b, req);
  CHECK_STR(why(req), "ok");
  prg_req_free(req);
}

static void test_reset(struct bed *b) {
  CHECK(driver->unclean(b->conn) == NULL);
  expect(b, "set timezone = 'Asia/Tokyo'", "ok");
  CHECK(driver->unclean(b->conn) != NULL);
  expect(b, "set session authorization postgres", "ok");
  expect(b, "set role pg_monitor", "ok");
  expect(b, "set search_path = pg_catalog", "ok");
  expect(b, "set application_name = 'x'", "ok");
  expect(b, "select pg_advisory_lock(42)", "ok");
  expect(b, "listen some_channel", "ok");
  expect(b, "create temp table rt (i int)", "ok");
  expect(b, "declare rc cursor with hold for select 1", "ok");
  expect(b, "begin", "ok");
  expect(b, "select 1/0", "22012");
  reset(b);
  CHECK(b->conn->tx == PRG_TX_IDLE);
  CHECK(driver->unclean(b->conn) == NULL);
  if (driver->unclean(b->conn))
    fprintf(stderr, "%s\n", driver->unclean(b->conn));
  expect_cell(b, "select current_user::text = session_user::text", "true");
  expect_cell(b, "select count(*) from pg_locks where locktype = 'advisory'",
              "0");
  expect_cell(b, "select count(*) from pg_listening_channels()", "0");
  expect_cell(b, "select count(*) from pg_cursors where name <> ''", "0");
  expect(b, "select * from rt", "42P01");
  expect_cell(b, "show search_path", "\"$user\", public");
}

/* ---- all ---------------------------------------------------------------- */

int main(int argc, char **argv) {
  const char *only = argc > 1 ? argv[1] : NULL;
  struct bed b;
  int rc = pg_test_start();
  if (rc != 0) return rc;
  ONE(test_check);
  ONE(test_connect_errors);
  ONE(test_connect_deadline);
  ONE(test_hosts);
  ONE(test_styles);
  if (!bed_open(&b)) return 1;
  WITH(test_query, &b);
  WITH(test_errors, &b);
  WITH(test_encode_error, &b);
  WITH(test_transactions, &b);
  WITH(test_types_learnt, &b);
  WITH(test_unnamed, &b);
  WITH(test_lru, &b);
  WITH(test_out_of_date, &b);
  WITH(test_param_type_changed, &b);
  WITH(test_deallocated, &b);
  WITH(test_name_taken, &b);
  WITH(test_no_binary, &b);
  WITH(test_max_rows, &b);
  WITH(test_script, &b);
  WITH(test_reset, &b);
  bed_close(&b);
  return check_result();
}
