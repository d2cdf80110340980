/* The SQLite driver: parameters, values, counts, errors, transactions, scripts. */
#include "sqlite_help.h"

#include <math.h>

/* ---- parameters of the URL ------------------------------------------------ */

static void refused(const char *name, const char *query_text,
                    const char *mention) {
  struct db d;
  struct prg_error *e = configure(&d, name, query_text);
  CHECK(e != NULL && e->kind == PRG_K_USAGE);
  if (e != NULL) CHECK(strstr(prg_error_message(e), mention) != NULL);
  prg_error_unref(e);
  prg_url_fini(&d.cfg.url);
}

static void lanes(const char *name, const char *query_text, int n,
                  size_t conns) {
  struct db d;
  CHECK(configure(&d, name, query_text) == NULL);
  CHECK(d.cfg.lanes == n && d.cfg.max_conns == conns);
  prg_url_fini(&d.cfg.url);
}

static void test_check(void) {
  refused("a.db", "?colour=red", "colour");
  refused("a.db", "?mode=fast", "mode");
  refused("a.db", "?cache_size=1e3", "cache_size");
  refused("a.db", "?synchronous=3", "synchronous");
  lanes("a.db", "", 2, 0);
  lanes(":memory:", "", 1, 1);
  lanes("a.db", "?mode=memory", 1, 1);
  lanes("a.db", "?mode=ro", 1, 0);
  lanes("a.db", "?journal_mode=delete", 1, 1);
}

/* ---- values -------------------------------------------------------------- */

static void test_storage(void) {
  struct db d;
  struct prg_conn *c = open_db(&d, ":memory:", "");
  struct prg_req *r =
      query(c, "select ?1, ?2, ?3, ?4, ?5, ?6, ?7", 7, v_int(INT64_MIN),
            v_int(INT64_MAX), v_text(PRG_TEXT, "a\0b", 3),
            v_text(PRG_BYTES, "\0\xff", 2), v_text(PRG_BYTES, NULL, 0),
            (struct prg_value){.type = PRG_DOUBLE, .u.d = INFINITY},
            (struct prg_value){.type = PRG_BOOL, .u.b = true});
  const struct prg_value *v;
  CHECK(r->state == PRG_REQ_DONE && done_calls == 0);
  REQUIRE(r->error == NULL && r->result->nrows == 1);
  v = prg_result_row(r->result, 0);
  CHECK(v[0].type == PRG_INT && v[0].u.i == INT64_MIN);
  CHECK(v[1].type == PRG_INT && v[1].u.i == INT64_MAX);
  CHECK(is_text(&v[2], PRG_TEXT, "a\0b", 3));
  CHECK(is_text(&v[3], PRG_BYTES, "\0\xff", 2));
  CHECK(is_text(&v[4], PRG_BYTES, "", 0));
  CHECK(v[5].type == PRG_DOUBLE && isinf(v[5].u.d));
  CHECK(v[6].type == PRG_INT && v[6].u.i == 1);
  CHECK(r->result->desc->ncols == 7);
  CHECK_STR(r->result->desc->cols[0].type, "");
  CHECK(r->result->affected == 1);
  CHECK_STR(r->result->tag, "SELECT");
  prg_req_free(r);
  r = query(c, "select ?1, ?2", 2, v_int(1),
            (struct prg_value){.type = PRG_DOUBLE, .u.d = NAN});
  REQUIRE(r->error != NULL);
  CHECK(r->error->kind == PRG_K_USAGE);
  CHECK(strstr(prg_error_message(r->error), "?2") != NULL);
  prg_req_free(r);
  r = query(c, "select ?1", 1, (struct prg_value){.type = PRG_LIST});
  CHECK(r->error != NULL && r->error->kind == PRG_K_USAGE);
  CHECK(strstr(r->error->field[PRG_EF_HINT], "perigee.json") != NULL);
  prg_req_free(r);
  close_db(&d);
}

static void test_declared(void) {
  struct db d;
  struct prg_conn *c = open_db(&d, ":memory:", "");
  struct prg_req *r;
  const struct prg_value *v;
  run(c,
      "create table t (b Boolean, j json_text, n decimal(30, 10), r "
      "DOUBLE precision, ts timestamp, tz Timestamp  with time zone, "
      "d date, s varchar(30))");
  run(c,
      "insert into t values (1, '[1]', 0.1, 3, '2026-11-20 08:30:00', "
      "'2026-11-20 00:30:00.5+02:00', '2026-11-20', 7)");
  run(c,
      "insert into t values (2, x'00', 1e20, 3.5, "
      "'2026-11-20T08:30:00+01:00', '2026-02-30 00:00:00', 'x', null)");
  r = query(c, "select *, b + 0 from t", 0);
  REQUIRE(r->error == NULL && r->result->nrows == 2);
  v = prg_result_row(r->result, 0);
  CHECK(v[0].type == PRG_BOOL && v[0].u.b);
  CHECK(is_str(&v[1], PRG_JSON, "[1]"));
  CHECK(is_str(&v[2], PRG_DECIMAL, "0.1"));
  CHECK(v[3].type == PRG_DOUBLE && v[3].u.d == 3);
  CHECK(is_str(&v[4], PRG_TEXT, "2026-11-20T08:30:00.000000"));
  CHECK(is_str(&v[5], PRG_TEXT, "2026-11-19T22:30:00.500000Z"));
  CHECK(is_str(&v[6], PRG_TEXT, "2026-11-20"));
  CHECK(is_str(&v[7], PRG_TEXT, "7"));
  CHECK(v[8].type == PRG_INT && v[8].u.i == 1);
  v = prg_result_row(r->result, 1);
  CHECK(v[0].type == PRG_INT && v[0].u.i == 2);
  CHECK(v[1].type == PRG_BYTES);
  CHECK(is_str(&v[2], PRG_DECIMAL, "100000000000000000000"));
  CHECK(is_str(&v[4], PRG_TEXT, "2026-11-20T08:30:00+01:00"));
  CHECK(is_str(&v[5], PRG_TEXT, "2026-02-30 00:00:00"));
  CHECK(v[7].type == PRG_NULL);
  CHECK_STR(r->result->desc->cols[2].type, "decimal");
  CHECK_STR(r->result->desc->cols[5].type, "timestamp with time zone");
  CHECK_STR(r->result->desc->cols[7].name.p, "s");
  prg_req_free(r);
  close_db(&d);
}

static void check_decimal(struct prg_conn *c, const char *number,
                          const char *want) {
  char sql[128];
  struct prg_req *r;
  struct prg_value v;
  run(c, "delete from n");
  snprintf(sql, sizeof(sql), "insert into n select %s", number);
  run(c, sql);
  r = query(c, "select n from n", 0);
  v = cell(r);
  CHECK(is_str(&v, PRG_DECIMAL, want));
  prg_req_free(r);
}

static void test_decimals(void) {
  struct db d;
  struct prg_conn *c = open_db(&d, ":memory:", "");
  run(c, "create table n (n numeric)");
  check_decimal(c, "5", "5");
  check_decimal(c, "-9223372036854775808", "-9223372036854775808");
  check_decimal(c, "12.5", "12.5");
  check_decimal(c, "-0.001", "-0.001");
  check_decimal(c, "0.1 + 0.2", "0.30000000000000004");
  check_decimal(c, "1.25e-7", "0.000000125");
  check_decimal(c, "1e23", "100000000000000000000000");
  check_decimal(c, "9e999", "Infinity");
  check_decimal(c, "'-9e999x'", "-9e999x");
  close_db(&d);
}

/* ---- counts -------------------------------------------------------------- */

static void check_insert(struct prg_conn *c, const char *sql, int64_t affected,
                         int64_t id) {
  struct prg_req *r = query(c, sql, 0);
  if (CHECK(r->error == NULL)) {
    bool ok = r->result->affected == affected &&
              r->result->has_last_id == (id != 0) &&
              (id == 0 || r->result->last_id == id);
    CHECK(ok);
    if (!ok)
      fprintf(stderr, "  %s: %lld, %d %lld\n", sql,
              (long long)r->result->affected, r->result->has_last_id,
              (long long)r->result->last_id);
  } else {
    fprintf(stderr, "  %s\n", prg_error_message(r->error));
  }
  prg_req_free(r);
}

static void test_counts(void) {
  struct db d;
  struct prg_conn *c = open_db(&d, ":memory:", "");
  CHECK(run(c, "create table t (id integer primary key, a unique)") == -1);
  CHECK(run(c, "create table w (id text primary key) without rowid") == -1);
  CHECK(run(c, "create table \"l og\" (id integer primary key, what)") == -1);
  run(c,
      "create trigger tr after insert on w begin "
      "insert into \"l og\" values (77, 'w'); end");
  check_insert(c, "insert into t values (5, 'x')", 1, 5);
  check_insert(c, "insert into t values (6, 'x') on conflict do nothing", 0, 0);
  check_insert(c,
               "insert into t values (9, 'x') on conflict (a) do update set "
               "a = 'y'",
               1, 0);
  check_insert(c, "insert into w values ('a')", 1, 0);
  check_insert(c, "insert into main.[l og] values (5, 1), (6, 2)", 2, 6);
  check_insert(c, "replace into \"t\" values (5, 'z')", 1, 5);
  check_insert(c,
               "with x (n) as (values (11), (12)) insert into t select n, n "
               "from x",
               2, 12);
  check_insert(
      c, "insert into t (a) values (last_insert_rowid() + 88) returning a", 1,
      13);
  CHECK(int_of(c, "select a from t where id = 13") == 100);
  CHECK(run(c, "update t set a = a where id > 10") == 3);
  CHECK(run(c, "update t set a = a where id > 100") == 0);
  CHECK(run(c, "delete from t") == 4);
  CHECK(run(c, "select 1 union select 2") == 2);
  CHECK(run(c, "begin") == -1);
  CHECK(run(c, "commit") == -1);
  CHECK(run(c, "-- nothing") == -1);
  close_db(&d);
}

static void test_limits(void) {
  struct db d;
  struct prg_conn *c = open_db(&d, ":memory:", "");
  struct prg_req *r = make(PRG_REQ_QUERY, "values (1), (2), (3)", 0, 0);
  r->max_rows = 2;
  prg_conn_submit(c, r);
  finish(r);
  REQUIRE(r->error == NULL);
  CHECK(r->result->nrows == 2 && r->result->truncated);
  prg_req_free(r);
  r = make(PRG_REQ_QUERY, "values (1), (2)", 0, 0);
  r->max_rows = 2;
  prg_conn_submit(c, r);
  finish(r);
  CHECK(r->result->nrows == 2 && !r->result->truncated);
  prg_req_free(r);
  run(c, "create table t (a)");
  r = make(PRG_REQ_QUERY, "insert into t values (1), (2), (3) returning a", 0,
           0);
  r->max_rows = 1;
  prg_conn_submit(c, r);
  finish(r);
  CHECK(r->result->nrows == 1 && r->result->affected == 3);
  prg_req_free(r);
  CHECK(int_of(c, "select count(*) from t") == 3);
  close_db(&d);
}

/* ---- errors -------------------------------------------------------------- */

static struct prg_conn *open_errors(struct db *d, const char *name) {
  struct prg_conn *c = open_db(d, name, "");
  run_script(c,
             "create table p (id integer primary key);"
             "create table t (id integer primary key, a text unique, "
             "b int not null default 1, c int constraint pos check (c > 0), "
             "p references p, unique (b, c));"
             "create table r (p references p on delete restrict);"
             "create index e on p (abs(id));"
             "create table x (a); create unique index ue on x "
             "(lower(a));insert into x values ('x');"
             "create table s (i integer) strict;"
             "insert into t (id, a, c) values (1, 'x', 1);"
             "insert into p values (3); insert into r values (3);");
  return c;
}

static void test_error_fields(void) {
  struct db d;
  struct prg_conn *c = open_errors(&d, "fields.db");
  struct prg_error *e;
  e = error_of(c, "insert into t (a) values ('x')");
  CHECK(e->kind == PRG_K_UNIQUE && e->code == 2067 && !e->retryable);
  CHECK_STR(e->field[PRG_EF_TABLE], "t");
  CHECK_STR(e->field[PRG_EF_COLUMN], "a");
  CHECK_STR(e->field[PRG_EF_CONSTRAINT], "t.a");
  CHECK(e->field[PRG_EF_SQL] != NULL);
  prg_error_unref(e);
  e = error_of(c, "insert into t (b, c) values (1, 1)");
  CHECK(e->kind == PRG_K_UNIQUE);
  CHECK_STR(e->field[PRG_EF_CONSTRAINT], "t.b, t.c");
  CHECK_STR(e->field[PRG_EF_COLUMN], NULL);
  prg_error_unref(e);
  e = error_of(c, "insert into x values ('X')");
  CHECK(e->kind == PRG_K_UNIQUE);
  CHECK_STR(e->field[PRG_EF_CONSTRAINT], "ue");
  prg_error_unref(e);
  e = error_of(c, "insert into t (b) values (null)");
  CHECK(e->kind == PRG_K_NOT_NULL && e->code == 1299);
  CHECK_STR(e->field[PRG_EF_COLUMN], "b");
  prg_error_unref(e);
  e = error_of(c, "insert into t (c) values (0)");
  CHECK(e->kind == PRG_K_CHECK);
  CHECK_STR(e->field[PRG_EF_CONSTRAINT], "pos");
  prg_error_unref(e);
  e = error_of(c, "insert into s values ('many')");
  CHECK(e->kind == PRG_K_DATA && e->code == 3091);
  CHECK_STR(e->field[PRG_EF_TABLE], "s");
  CHECK_STR(e->field[PRG_EF_COLUMN], "i");
  prg_error_unref(e);
  close_db(&d);
}

static void test_error_kinds(void) {
  struct db d;
  struct prg_conn *c = open_errors(&d, "kinds.db");
  struct prg_error *e;
  check_kind(c, "insert into t (id) values (1)", PRG_K_UNIQUE, 1555);
  check_kind(c, "insert into t (p) values (7)", PRG_K_FOREIGN_KEY, 787);
  check_kind(c, "delete from p", PRG_K_FOREIGN_KEY, 0);
  check_kind(c, "insert into t (id) values ('x')", PRG_K_DATA, 20);
  check_kind(c, "selec 1", PRG_K_SYNTAX, 1);
  check_kind(c, "select (1", PRG_K_SYNTAX, 1);
  check_kind(c, "select 'abc", PRG_K_SYNTAX, 1);
  check_kind(c, "select * from nope", PRG_K_UNDEFINED, 1);
  check_kind(c, "select nope from t", PRG_K_UNDEFINED, 1);
  check_kind(c, "select nope(1)", PRG_K_UNDEFINED, 1);
  check_kind(c, "insert into t (nope) values (1)", PRG_K_UNDEFINED, 1);
  check_kind(c, "select \"nope\" from t", PRG_K_UNDEFINED, 1);
  check_kind(c, "create table t (a)", PRG_K_DUPLICATE, 1);
  check_kind(c, "create index e on t (a)", PRG_K_DUPLICATE, 1);
  check_kind(c, "create table z (a, a)", PRG_K_DUPLICATE, 1);
  check_kind(c, "select 1; select 2", PRG_K_USAGE, 0);
  check_kind(c, "select 1; selec 2", PRG_K_USAGE, 0);
  run(c, "select 1; -- ; select 2");
  e = error_of(c, "select '\xc3\xa9\xc3\xa9', nope from t");
  CHECK(e->position == 14);
  prg_error_unref(e);
  close_db(&d);
}

/* ---- transactions -------------------------------------------------------- */

static void test_transactions(void) {
  struct db d;
  struct prg_conn *c = open_db(&d, "tx.db", "");
  struct prg_req *r;
  run(c, "create table t (a)");
  CHECK(c->tx == PRG_TX_IDLE);
  run(c, "begin immediate");
  CHECK(c->tx == PRG_TX_OPEN);
  run(c, "savepoint a");
  run(c, "insert into t values (1)");
  run(c, "rollback to a");
  CHECK(c->tx == PRG_TX_OPEN);
  run(c, "release a");
  run(c, "insert into t values (2)");
  CHECK(driver->unclean(c) != NULL);
  run(c, "commit");
  CHECK(c->tx == PRG_TX_IDLE && driver->unclean(c) == NULL);
  CHECK(int_of(c, "select a from t") == 2);
  /* A failure that ends the transaction by itself. */
  run(c, "begin");
  run(c, "insert into t values (3)");
  check_kind(c, "insert or rollback into t select abs(-9223372036854775808)",
             PRG_K_DATABASE, 0);
  run(c, "rollback");
  run(c, "create unique index u on t (a)");
  run(c, "begin");
  run(c, "insert into t values (3)");
  r = query(c, "insert or rollback into t values (2)", 0);
  CHECK(r->error != NULL && r->error->kind == PRG_K_UNIQUE);
  CHECK(r->error != NULL && r->error->field[PRG_EF_HINT] != NULL);
  prg_req_free(r);
  CHECK(c->tx == PRG_TX_FAILED);
  r = query(c, "insert into t values (4)", 0);
  CHECK(r->error != NULL && r->error->kind == PRG_K_ABORTED);
  CHECK(r->error->cause != NULL && r->error->cause->kind == PRG_K_UNIQUE);
  prg_req_free(r);
  r = query(c, "commit", 0);
  CHECK(r->error == NULL);
  CHECK_STR(r->result->tag, "ROLLBACK");
  prg_req_free(r);
  CHECK(c->tx == PRG_TX_IDLE);
  CHECK(int_of(c, "select count(*) from t") == 1);
  close_db(&d);
}

static void test_reset(void) {
  struct db d;
  struct prg_conn *c = open_db(&d, "reset.db", "");
  struct prg_req *r;
  struct prg_stmt *st;
  run(c, "create table t (a)");
  run(c, "begin");
  run(c, "insert into t values (1)");
  r = make(PRG_REQ_RESET, NULL, 0, 0);
  prg_conn_submit(c, r);
  CHECK(r->state == PRG_REQ_DONE && r->error == NULL);
  prg_req_free(r);
  CHECK(c->tx == PRG_TX_IDLE);
  CHECK(int_of(c, "select count(*) from t") == 0);
  st = prg_stmt_new("create temp table x (a)", 23, PRG_STMT_SESSION, 0);
  r = prg_req_new(PRG_REQ_QUERY, st);
  prg_stmt_unref(st);
  prg_conn_submit(c, r);
  finish(r);
  prg_req_free(r);
  CHECK(c->touched && driver->unclean(c) != NULL);
  run(c, "pragma foreign_keys=off");
  run(c, "pragma synchronous=full");
  run(c, "attach ':memory:' as \"o\"\"dd\"");
  run(c, "select * from x");
  r = make(PRG_REQ_RESET, NULL, 0, 0);
  prg_conn_submit(c, r);
  finish(r);
  CHECK(r->error == NULL);
  prg_req_free(r);
  CHECK(!c->touched && driver->unclean(c) == NULL);
  check_kind(c, "select * from x", PRG_K_UNDEFINED, 0);
  CHECK(int_of(c, "pragma foreign_keys") == 1);
  CHECK(int_of(c, "pragma synchronous") == 1);
  CHECK(int_of(c, "select count(*) from pragma_database_list where seq > 1") ==
        0);
  r = make(PRG_REQ_PING, NULL, 0, 0);
  prg_conn_submit(c, r);
  CHECK(r->state == PRG_REQ_DONE && r->error == NULL);
  prg_req_free(r);
  close_db(&d);
}

/* ---- scripts and batches ------------------------------------------------- */

static void test_script(void) {
  struct db d;
  struct prg_conn *c = open_db(&d, ":memory:", "");
  struct prg_req *r = script(
      c,
      " -- a comment\n create table t (a); ; insert into t values (1), (2);"
      "create trigger g after insert on t begin select 1; select 2; end;"
      "select a, 'x;y' as b from t /* ; */; -- the end");
  struct prg_result *s;
  REQUIRE(r->error == NULL);
  s = r->result;
  CHECK(s->affected == -1);
  CHECK(s->next->affected == 2 && s->next->has_last_id);
  s = s->next->next->next;
  CHECK(s->nrows == 2 && s->next == NULL);
  CHECK_STR(s->desc->cols[1].name.p, "b");
  CHECK(is_str(prg_result_row(s, 1) + 1, PRG_TEXT, "x;y"));
  prg_req_free(r);
  r = script(c,
             "insert into t values (7);\ninsert into nope values (1); "
             "insert into t values (8)");
  CHECK(r->error != NULL && r->error->kind == PRG_K_UNDEFINED);
  prg_req_free(r);
  r = script(c, "select 1;\n select '\xc3\xa9', nope from t");
  CHECK(r->error != NULL && r->error->position == 24);
  prg_req_free(r);
  CHECK(int_of(c, "select max(a) from t") == 7);
  r = script(c, " -- nothing");
  CHECK(r->error == NULL);
  prg_req_free(r);
  close_db(&d);
}

static void test_batch(void) {
  static const size_t sizes[] = {3, 90, 5000};
  struct db d;
  struct prg_conn *c = open_db(&d, "batch.db", "");
  int64_t from = 0;
  run(c, "create table t (a integer primary key not null)");
  run(c, "create table n (a int not null)");
  for (size_t i = 0; i < 3; i++) {
    struct prg_req *r =
        batch(c, "insert into t values (?1)", sizes[i], from + 1, -1);
    CHECK(r->error == NULL);
    CHECK(r->result->affected == (int64_t)sizes[i]);
    from += (int64_t)sizes[i];
    CHECK(r->result->has_last_id && r->result->last_id == from);
    prg_req_free(r);
    r = batch(c, "insert into n values (?1)", sizes[i], 1,
              (int64_t)sizes[i] - 1);
    CHECK(r->error != NULL && r->error->kind == PRG_K_NOT_NULL);
    CHECK(strncmp(prg_error_message(r->error), "set ", 4) == 0);
    prg_req_free(r);
    CHECK(c->tx == PRG_TX_IDLE);
    CHECK(int_of(c, "select count(*) from n") == 0);
  }
  CHECK(int_of(c, "select count(*) from t") == from);
  run(c, "begin");
  prg_req_free(batch(c, "insert into n values (?1)", 5, 1, -1));
  CHECK(c->tx == PRG_TX_OPEN);
  run(c, "rollback");
  CHECK(int_of(c, "select count(*) from n") == 0);
  close_db(&d);
}

int main(void) {
  if (!begin_tests()) return 0;
  RUN(test_check);
  RUN(test_storage);
  RUN(test_declared);
  RUN(test_decimals);
  RUN(test_counts);
  RUN(test_limits);
  RUN(test_error_fields);
  RUN(test_error_kinds);
  RUN(test_transactions);
  RUN(test_reset);
  RUN(test_script);
  RUN(test_batch);
  return end_tests();
}
