/* The SQLite driver: batches that collect rows, and perigee_list(). */
#include "sqlite_help.h"

/* ---- batches with rows --------------------------------------------------- */

static struct prg_req *collect(struct prg_conn *c, const char *sql, size_t n,
                               int64_t from, int64_t bad) {
  struct prg_req *r = make(PRG_REQ_BATCH, sql, PRG_STMT_VALUES, 1);
  struct prg_value *v = prg_arena_alloc(&r->arena, (n + 1) * sizeof(*v));
  for (size_t i = 0; i < n; i++) v[i] = v_int(from + (int64_t)i);
  if (bad >= 0) v[bad].type = PRG_NULL;
  r->params = v;
  r->params_owned = true;
  r->nsets = n;
  r->collect = true;
  prg_conn_submit(c, r);
  finish(r);
  return r;
}

static int64_t at(struct prg_req *r, size_t row, size_t col) {
  const struct prg_value *v;
  if (!CHECK(r->result != NULL && row < r->result->nrows)) return -1;
  v = prg_result_row(r->result, row) + col;
  CHECK(v->type == PRG_INT);
  return v->u.i;
}

static void test_collect_of(struct prg_conn *c, size_t n) {
  static const char sql[] =
      "insert into t (a) values (?1), (?1 + 1000000) returning a, ok, id";
  struct prg_req *r;
  run(c, "delete from t");
  r = collect(c, sql, n, 10, -1);
  CHECK(r->error == NULL);
  if (CHECK(r->result != NULL && r->result->nrows == 2 * n)) {
    CHECK(r->result->affected == (int64_t)(2 * n));
    CHECK(r->result->desc != NULL && r->result->desc->ncols == 3);
    CHECK(strcmp(r->result->tag, "INSERT") == 0 && r->result->has_last_id);
    for (size_t i = 0; i < n; i++) {
      CHECK(at(r, 2 * i, 0) == 10 + (int64_t)i);
      CHECK(at(r, 2 * i + 1, 0) == 1000010 + (int64_t)i);
      CHECK(prg_result_row(r->result, i)[1].type == PRG_BOOL);
    }
    CHECK(at(r, 2 * n - 1, 2) == r->result->last_id);
  }
  prg_req_free(r);
  /* All or nothing; in a transaction that is its owner's to say. */
  if (c->tx == PRG_TX_OPEN) return;
  r = collect(c, sql, n, 5000, (int64_t)n - 1);
  CHECK(r->error != NULL && r->error->kind == PRG_K_NOT_NULL);
  CHECK(r->result == NULL);
  prg_req_free(r);
  CHECK(int_of(c, "select count(*) from t") == (int64_t)(2 * n));
}

static void test_collect(void) {
  struct db d;
  struct prg_conn *c = open_db(&d, "collect.db", "");
  struct prg_req *r;
  CHECK((driver->features & PRG_F_COLLECT) != 0);
  run(c,
      "create table t (id integer primary key, a int not null, ok bool default "
      "1)");
  test_collect_of(c, 3);    /* here */
  test_collect_of(c, 1000); /* by the worker */
  run(c, "begin");
  test_collect_of(c, 3);
  run(c, "rollback");
  /* No set, no row, rows of a query. */
  r = collect(c, "insert into t (a) values (?1) returning a", 0, 0, -1);
  CHECK(r->error == NULL && r->result->nrows == 0 && r->result->desc != NULL);
  prg_req_free(r);
  r = collect(c, "update t set a = 0 where id = ?1 returning id", 5, 900000,
              -1);
  CHECK(r->error == NULL && r->result->nrows == 0);
  CHECK(r->result->affected == 0 && r->result->desc->ncols == 1);
  prg_req_free(r);
  r = collect(c, "select ?1, ?1 * 2", 150, 1, -1);
  CHECK(r->error == NULL && r->result->nrows == 150 && at(r, 149, 1) == 300);
  prg_req_free(r);
  r = batch(c, "insert into t (a) values (?1) returning a", 2, 0, -1);
  CHECK(r->error == NULL && r->result->nrows == 0 && r->result->desc == NULL);
  prg_req_free(r);
  close_db(&d);
}

/* Types of RETURNING, and a limit that does not stop the insert. */
static void test_returning(void) {
  struct db d;
  struct prg_conn *c = open_db(&d, "returning.db", "");
  struct prg_req *r;
  const struct prg_value *v;
  run(c,
      "create table t (b boolean, ts timestamp, tz timestamptz, j json, d "
      "numeric)");
  for (int way = 0; way < 2; way++) {
    r = make(PRG_REQ_QUERY,
             "insert into t select 1, '2020-01-02 03:04:05', '2020-01-02 "
             "00:00:00+01', '[1]', 1.5 union all select 0, null, null, null, 2 "
             "union all select 0, null, null, null, 2 returning *",
             0, 0);
    r->max_rows = way == 0 ? 0 : 1;
    prg_conn_submit(c, r);
    finish(r);
    if (!CHECK(r->error == NULL && r->result != NULL)) return;
    CHECK(r->result->nrows == (way == 0 ? 3 : 1));
    CHECK(r->result->truncated == (way == 1));
    CHECK(r->result->affected == 3);
    v = prg_result_row(r->result, 0);
    CHECK(v[0].type == PRG_BOOL && v[0].u.b);
    CHECK(is_str(&v[1], PRG_TEXT, "2020-01-02T03:04:05.000000"));
    CHECK(is_str(&v[2], PRG_TEXT, "2020-01-01T23:00:00.000000Z"));
    CHECK(is_str(&v[3], PRG_JSON, "[1]"));
    CHECK(is_str(&v[4], PRG_DECIMAL, "1.5"));
    prg_req_free(r);
  }
  CHECK(int_of(c, "select count(*) from t") == 6);
  close_db(&d);
}

/* ---- lists --------------------------------------------------------------- */

static struct prg_value v_list(struct prg_vlist *l, struct prg_value *items,
                               size_t n) {
  *l = (struct prg_vlist){.n = n, .items = items};
  return (struct prg_value){.type = PRG_LIST, .u.list = l};
}

static void check_list(struct prg_conn *c, const char *sql, struct prg_value v,
                       const char *want) {
  struct prg_req *r = query(c, sql, 1, v);
  if (r->error != NULL) {
    bool ok = strstr(prg_error_message(r->error), want) != NULL &&
              r->error->kind == PRG_K_USAGE;
    if (!CHECK(ok)) fprintf(stderr, "  %s\n", prg_error_message(r->error));
  } else {
    struct prg_value got = cell(r);
    CHECK(is_str(&got, PRG_TEXT, want));
  }
  prg_req_free(r);
}

static void test_list(void) {
  static const char all[] =
      "select group_concat(typeof(value) || ':' || ifnull(value, '-'), ' ') "
      "from perigee_list(?1)";
  struct prg_value items[] = {
      v_int(INT64_C(9007199254740993)),
      {.type = PRG_DOUBLE, .u.d = 1.5},
      v_str("x"),
      v_text(PRG_DECIMAL, "1.50", 4),
      v_text(PRG_JSON, "[1]", 3),
      v_text(PRG_BYTES, "b", 1),
      {.type = PRG_BOOL, .u.b = true},
      {.type = PRG_NULL},
      v_text(PRG_TEXT, NULL, 0),
  };
  struct prg_value odd = {.type = PRG_DOUBLE, .u.d = 0.0 / 0.0};
  struct prg_vlist l, inner = {.n = 0};
  struct prg_value nested = {.type = PRG_LIST, .u.list = &inner};
  struct db d;
  struct prg_conn *c = open_db(&d, ":memory:", "");
  check_list(c, all, v_list(&l, items, 9),
             "integer:9007199254740993 real:1.5 text:x text:1.50 text:[1] "
             "blob:b integer:1 null:- text:");
  check_list(c, "select typeof(sum(value)) from perigee_list ( /* x */ ? )",
             v_list(&l, items, 0), "null");
  check_list(c, all, v_list(&l, &odd, 1), "NaN");
  check_list(c, all, v_list(&l, &nested, 1), "a list");
  check_list(c, all, v_int(1), "takes a list");
  check_list(c, all, (struct prg_value){.type = PRG_NULL}, "takes a list");
  /* Nowhere else is it NULL. */
  check_list(c, "select ?1", v_list(&l, items, 1), "a list");
  check_list(c, "select ?1 from perigee_list(?1)", v_list(&l, items, 1),
             "a list");
  check_list(c, "select 'perigee_list(?1)' || ?1", v_list(&l, items, 1),
             "a list");
  check_list(c, "select value from perigee_list(abs(?1))", v_list(&l, items, 1),
             "a list");
  check_kind(c, "select * from perigee_list", PRG_K_USAGE, 0);
  check_kind(c, "create virtual table v using perigee_list", PRG_K_UNDEFINED,
             0);
  close_db(&d);
}

/* IN compares as with single parameters. */
static void test_affinity(void) {
  static const char *const columns[] = {"i", "t", "n", "r", "b"};
  struct prg_value values[] = {v_int(5),     {.type = PRG_DOUBLE, .u.d = 5},
                               v_str("5"),   v_text(PRG_BYTES, "5", 1),
                               v_str("5.0"), v_str("05")};
  struct db d;
  struct prg_conn *c = open_db(&d, ":memory:", "");
  struct prg_vlist l;
  run(c, "create table t (i integer, t text, n numeric, r real, b)");
  run(c, "insert into t values (5, 5, 5, 5, 5), (5, '5.0', '5', 5, '5')");
  for (size_t i = 0; i < 5; i++) {
    for (size_t k = 0; k < 6; k++) {
      char one[80], list[120];
      struct prg_req *a, *b;
      snprintf(one, sizeof(one), "select count(*) from t where %s in (?1)",
               columns[i]);
      snprintf(list, sizeof(list),
               "select count(*) from t where %s in (select +value from "
               "perigee_list(?1))",
               columns[i]);
      a = query(c, one, 1, values[k]);
      b = query(c, list, 1, v_list(&l, &values[k], 1));
      if (!CHECK(cell(a).u.i == cell(b).u.i))
        fprintf(stderr, "  %s, value %zu\n", columns[i], k);
      prg_req_free(a);
      prg_req_free(b);
    }
  }
  close_db(&d);
}

/* A long list goes to the worker, with a copy of its own; a stream keeps it. */
static void test_long_list(void) {
  enum { MANY = 200000 };
  static const char sql[] =
      "select a from t where a in (select value from perigee_list(?1))";
  struct db d;
  struct prg_conn *c = open_db(&d, "list.db", "");
  struct prg_value *items = prg_calloc(MANY, sizeof(*items)), v;
  struct prg_vlist l;
  struct prg_req *r;
  size_t n = 0;
  int64_t began;
  run(c, "create table t (a integer primary key)");
  run(c,
      "insert into t with recursive n (i) as (select 1 union all select i + "
      "1 from n where i < 300000) select i from n");
  for (int i = 0; i < MANY; i++) items[i] = v_int(i * 2);
  v = v_list(&l, items, MANY);
  r = make(PRG_REQ_STREAM, sql, flags_of(sql), 1);
  r->params = &v;
  r->chunk = 1000;
  began = prg_now();
  prg_conn_submit(c, r);
  memset(items, 0xff, MANY * sizeof(*items)); /* ours again */
  for (finish(r); r->state == PRG_REQ_PAUSED; finish(r)) {
    n += r->result->nrows;
    prg_req_resume(r);
  }
  CHECK(r->error == NULL);
  if (r->result != NULL) n += r->result->nrows;
  CHECK(n == 150000);
  printf("IN over %d values: %d ms\n", MANY, (int)((prg_now() - began) / 1000));
  prg_req_free(r);
  prg_free(items);
  /* A short one is answered at once, in a lane of readers too. */
  c = connect_lane(&d, 1, PRG_LANE_READ);
  for (int i = 0; i < 3; i++) {
    struct prg_value few[2] = {v_int(7), v_int(9)};
    r = make(PRG_REQ_QUERY, sql, flags_of(sql), 1);
    v = v_list(&l, few, 2);
    r->params = &v;
    prg_conn_submit(c, r);
    CHECK(r->state == PRG_REQ_DONE && !r->params_owned);
    CHECK(r->error == NULL && r->result->nrows == 2);
    prg_req_free(r);
  }
  close_db(&d);
}

int main(void) {
  if (!begin_tests()) return 0;
  RUN(test_collect);
  RUN(test_returning);
  RUN(test_list);
  RUN(test_affinity);
  RUN(test_long_list);
  return end_tests();
}
