/* Batches whose sets go many in one statement: nobody sees a difference. Each case
** runs twice: "t" goes in blocks where its table allows that, "main.t" singly. */
#include "sqlite_help.h"

enum { SETS = 2000 };

/* Two parameters for each set: a number and a text, or what `spoil` makes of it. */
typedef void (*spoiler)(struct prg_value *v, size_t sets);

static struct prg_req *pairs(struct prg_conn *c, const char *sql,
                             spoiler spoil) {
  struct prg_req *r = make(PRG_REQ_BATCH, sql, PRG_STMT_VALUES, 2);
  struct prg_value *v =
      prg_arena_alloc(&r->arena, 2 * (size_t)SETS * sizeof(*v));
  for (size_t i = 0; i < SETS; i++) {
    char text[32];
    int n = snprintf(text, sizeof(text), "text %zu", i + 1);
    v[2 * i] = v_int((int64_t)i + 1);
    v[2 * i + 1] =
        v_text(PRG_TEXT, prg_arena_dup(&r->arena, text, (size_t)n), (size_t)n);
  }
  if (spoil != NULL) spoil(v, SETS);
  r->params = v;
  r->params_owned = true;
  r->nsets = SETS;
  prg_conn_submit(c, r);
  finish(r);
  return r;
}

/* All that can be seen of a run, as a text. */
static void tell(struct prg_conn *c, struct prg_req *r, char *out,
                 size_t size) {
  static const char dump[] =
      "select count(*) || ' ' || total(a) || ' ' || coalesce(group_concat(a || "
      "':' || coalesce(b, '-') || ':' || typeof(a) || typeof(b)), '') from t";
  struct prg_req *q;
  struct prg_value v;
  int n;
  if (r->error != NULL)
    n = snprintf(out, size, "%s %lld %s; ", prg_kind_name(r->error->kind),
                 (long long)r->error->code, prg_error_message(r->error));
  else
    n = snprintf(out, size, "%lld %d %lld; ", (long long)r->result->affected,
                 r->result->has_last_id,
                 r->result->has_last_id ? (long long)r->result->last_id : 0);
  n += snprintf(out + n, size - (size_t)n, "tx %d; ", (int)c->tx);
  if (c->tx == PRG_TX_FAILED) return;
  q = query(c, dump, 0);
  v = cell(q);
  snprintf(out + n, size - (size_t)n, "%.*s", (int)v.u.s.n, v.u.s.p);
  prg_req_free(q);
}

static char blocks[200000], singly[200000];

static void same_both_ways(const char *setup, bool in_tx, const char *columns,
                           spoiler spoil) {
  char *const outs[] = {blocks, singly};
  const char *const names[] = {"t", "main.t"};
  char sql[128];
  for (int k = 0; k < 2; k++) {
    struct db d;
    struct prg_conn *c = open_db(&d, k == 0 ? "blocks.db" : "singly.db", "");
    struct prg_req *r;
    run_script(c, "drop table if exists t; drop table if exists log");
    run_script(c, setup);
    if (in_tx) run(c, "begin");
    snprintf(sql, sizeof(sql), "insert into %s %s values (?1, ?2)", names[k],
             columns);
    r = pairs(c, sql, spoil);
    tell(c, r, outs[k], sizeof(blocks));
    prg_req_free(r);
    if (in_tx) run(c, "rollback");
    close_db(&d);
  }
  if (CHECK(strcmp(blocks, singly) == 0)) return;
  fprintf(stderr, "  %s\n  %.200s\n  %.200s\n", setup, blocks, singly);
}

static void null_at_700(struct prg_value *v, size_t n) {
  (void)n;
  v[2 * 699 + 1].type = PRG_NULL;
}

static void null_at_end(struct prg_value *v, size_t n) {
  v[2 * n - 1].type = PRG_NULL;
}

static void twin_at_513(struct prg_value *v, size_t n) {
  (void)n;
  v[(size_t)2 * 513] = v[(size_t)2 * 512];
}

static void nan_at_900(struct prg_value *v, size_t n) {
  (void)n;
  v[2 * 899].type = PRG_DOUBLE;
  v[2 * 899].u.d = strtod("nan", NULL);
}

static void list_at_2(struct prg_value *v, size_t n) {
  static struct prg_vlist list;
  (void)n;
  v[2].type = PRG_LIST;
  v[2].u.list = &list;
}

static void text_for_number(struct prg_value *v, size_t n) {
  (void)n;
  v[(size_t)2 * 1000] = v_str("no number");
}

/* Of each kind of value some. */
static void all_kinds(struct prg_value *v, size_t n) {
  for (size_t i = 0; i < n; i++) {
    struct prg_value *b = &v[2 * i + 1];
    switch (i % 9) {
      case 0:
        b->type = PRG_NULL;
        break;
      case 1:
        b->type = PRG_BOOL;
        b->u.b = true;
        break;
      case 2:
        b->type = PRG_DOUBLE;
        b->u.d = (double)i / 8;
        break;
      case 3:
        b->type = PRG_BYTES;
        break;
      case 4:
        *b = v_text(PRG_DECIMAL, "12.50", 5);
        break;
      case 5:
        *b = v_text(PRG_TEXT, NULL, 0);
        break;
      case 6:
        *b = v_text(PRG_BYTES, NULL, 0);
        break;
      case 7:
        *b = v_int(INT64_MIN);
        break;
      default:
        break;
    }
  }
}

/* One row refers to the next: only a single statement refuses it. */
static void refer_to_next(struct prg_value *v, size_t n) {
  for (size_t i = 0; i < n; i++) v[2 * i + 1] = v_int(1);
  v[2 * 699 + 1] = v_int(701);
}

static void large(struct prg_value *v, size_t n) {
  static char text[3000];
  memset(text, 'x', sizeof(text));
  for (size_t i = 0; i < n; i += 40)
    v[2 * i + 1] = v_text(PRG_TEXT, text, sizeof(text));
}

static void test_same(void) {
  static const struct {
    const char *setup;
    spoiler spoil;
  } cases[] = {
      {"create table t (a integer primary key, b text)", NULL},
      {"create table t (a integer primary key, b text)", large},
      {"create table t (a integer primary key, b)", all_kinds},
      {"create table t (a integer primary key, b text)", all_kinds},
      {"create table t (a integer primary key, b numeric)", all_kinds},
      {"create table t (a int, b text not null)", null_at_700},
      {"create table t (a int, b text not null)", null_at_end},
      {"create table t (a int unique, b text)", twin_at_513},
      {"create table t (a int primary key, b text) without rowid", NULL},
      {"create table t (a int primary key, b text) without rowid", twin_at_513},
      {"create table t (a integer primary key, b text)", nan_at_900},
      {"create table t (a integer primary key, b text)", list_at_2},
      {"create table t (a integer primary key, b text)", text_for_number},
      {"create table t (a int, b text check (b <> 'text 1234'))", NULL},
      {"create table t (a int unique on conflict ignore, b text)", twin_at_513},
      {"create table t (a int unique on conflict replace, b text)",
       twin_at_513},
      {"create table t (a int unique on conflict fail, b text)", twin_at_513},
      {"create table t (a int unique on conflict rollback, b text)",
       twin_at_513},
      {"create table t (a integer primary key, b int references t)",
       refer_to_next},
      {"create table t (a integer primary key, b int references t deferrable "
       "initially deferred)",
       refer_to_next},
      {"create table t (a int, b text); create table log (n); "
       "create trigger x after insert on t begin insert into log "
       "values (new.a); update t set b = changes() where a = new.a - 1; end",
       NULL},
      {"create table t (a int, b text); "
       "create trigger x before insert on t when new.a = 600 begin "
       "select raise(rollback, 'no'); end",
       NULL},
      {"create table t (a int, b text); "
       "create trigger x before insert on t when new.a = 600 begin "
       "select raise(fail, 'no'); end",
       NULL},
      {"create table t (a int, b text); "
       "create trigger x before insert on t when new.a % 3 = 0 begin "
       "select raise(ignore); end",
       NULL},
      {"create table t (a int, b text); pragma max_page_count = 20", large},
      {"create table t (a int, b text); "
       "create temp table log (a int, b text)",
       NULL},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    same_both_ways(cases[i].setup, false, "(a, b)", cases[i].spoil);
    same_both_ways(cases[i].setup, true, "(a, b)", cases[i].spoil);
  }
  same_both_ways("create table t (a int, b int)", false, "", NULL);
  same_both_ways("create table t (b int, a text)", false, "(\"a\", [b])", NULL);
}

/* What the name means, and the schema, may be another than last time. */
static void test_changing(void) {
  struct db d;
  struct prg_conn *c = open_db(&d, "changing.db", ""), *o;
  static const char sql[] = "insert into t (a, b) values (?1, ?2)";
  run_script(c, "create table t (a, b); create table log (n)");
  prg_req_free(pairs(c, sql, NULL));
  CHECK(int_of(c, "select count(*) from t") == SETS);
  o = connect_lane(&d, 1, PRG_LANE_WRITE);
  run(o,
      "create trigger x after insert on t begin insert into log values "
      "(changes()); end");
  prg_req_free(pairs(c, sql, NULL));
  CHECK(int_of(c, "select count(*) from log where n = 1") == SETS - 1);
  run(o, "drop trigger x");
  run(o, "alter table t add column d default 7");
  prg_req_free(pairs(c, sql, NULL));
  CHECK(int_of(c, "select count(*) from t where d = 7") == 3 * SETS);
  run(c, "create temp table t (a, b)");
  prg_req_free(pairs(c, sql, NULL));
  CHECK(int_of(c, "select count(*) from temp.t") == SETS);
  CHECK(int_of(c, "select count(*) from main.t") == 3 * SETS);
  close_db(&d);
}

/* Defaults are made for each row; the table is nobody else's. */
static void test_defaults(void) {
  struct db d;
  struct prg_conn *c = open_db(&d, "defaults.db", "");
  struct prg_req *r;
  run(c,
      "create table t (id text not null default (hex(randomblob(16))), a, b, "
      "l int default (last_insert_rowid()))");
  prg_req_free(pairs(c, "insert into t (a, b) values (?, ?)", NULL));
  CHECK(int_of(c, "select count(distinct id) from t") == SETS);
  CHECK(int_of(c, "select count(*) from t where l = rowid - 1") == SETS);
  CHECK(int_of(c, "select sum(a) from t") == (int64_t)SETS * (SETS + 1) / 2);
  run_script(c, "drop table t; create table t (a, b, n default (changes()))");
  prg_req_free(pairs(c, "insert into t (a, b) values (?1, ?2)", NULL));
  CHECK(int_of(c, "select count(*) from t where n = 1") >= SETS - 1);
  check_kind(c, "select * from perigee_rows", PRG_K_DATABASE, 1);
  check_kind(c, "select * from perigee_rows(1)", PRG_K_DATABASE, 1);
  r = query(c, "select * from perigee_rows(?1)", 1, v_int(1));
  CHECK(r->error != NULL);
  prg_req_free(r);
  close_db(&d);
}

/* Given up in the middle: nothing stays, and the connection goes on. */
static void test_given_up(void) {
  struct db d;
  struct prg_conn *c = open_db(&d, "given.db", "");
  run(c, "create table t (a int unique)");
  for (int i = 0; i < 20; i++) {
    size_t n = 100000;
    struct prg_req *r =
        make(PRG_REQ_BATCH, "insert into t values (?1)", PRG_STMT_VALUES, 1);
    struct prg_value *v = prg_arena_alloc(&r->arena, n * sizeof(*v));
    for (size_t k = 0; k < n; k++) v[k] = v_int((int64_t)(k * 7919 % n));
    r->params = v;
    r->params_owned = true;
    r->nsets = n;
    prg_conn_submit(c, r);
    (void)prg_hub_run(d.hub, (i + 1) * 200);
    if (r->state == PRG_REQ_DONE) run(c, "delete from t");
    prg_req_free(r);
    CHECK(int_of(c, "select count(*) from t") == 0);
    CHECK(c->tx == PRG_TX_IDLE);
  }
  close_db(&d);
}

int main(void) {
  if (!begin_tests()) return 0;
  RUN(test_same);
  RUN(test_changing);
  RUN(test_defaults);
  RUN(test_given_up);
  return end_tests();
}
