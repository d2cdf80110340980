/* How long each kind of statement holds the hub's thread, and what it costs.
** Prints a table, which docs/internals/sqlite.md quotes. Blocks are measured in
** processor time of the thread, since other programs take turns too; that it
** does not wait for the disk either is seen with strace (see there). */
#include "sqlite_help.h"

#define BOUND (50 * PRG_MS)

static int64_t cpu_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static struct db d;
static struct prg_conn *c;

struct measure {
  int64_t first;   /* longest block of the first run */
  int64_t longest; /* and of the later ones */
  int64_t total;   /* until the answers were there */
  int runs, inlined;
};

static void note(struct measure *m, int64_t from) {
  int64_t took = cpu_now() - from;
  int64_t *max = m->runs == 0 ? &m->first : &m->longest;
  if (took > *max) *max = took;
}

/* Runs the hub; a turn in which no callback ran was only waiting. */
static void spin(struct measure *m, const struct prg_req *req) {
  while (req->state == PRG_REQ_QUEUED || req->state == PRG_REQ_SENT) {
    int64_t from = cpu_now();
    if (prg_hub_run(d.hub, PRG_SECOND) > 0) note(m, from);
  }
}

static void one(struct measure *m, struct prg_req *req) {
  int64_t begin = prg_now(), from = cpu_now();
  prg_conn_submit(c, req);
  note(m, from);
  if (req->state >= PRG_REQ_PAUSED) m->inlined++;
  spin(m, req);
  while (req->state == PRG_REQ_PAUSED) {
    from = cpu_now();
    prg_req_resume(req);
    note(m, from);
    spin(m, req);
  }
  if (!CHECK(req->error == NULL))
    fprintf(stderr, "  %s\n", prg_error_message(req->error));
  m->total += prg_now() - begin;
  m->runs++;
  prg_req_free(req);
}

static void report(const char *what, const struct measure *m) {
  printf("%-44s %6d %5d%% %10.1f %9.2f %9.2f\n", what, m->runs,
         m->inlined * 100 / m->runs, (double)m->total / (double)m->runs,
         (double)m->first / 1000, (double)m->longest / 1000);
  CHECK(m->first < BOUND && m->longest < BOUND);
}

/* `sql` takes one integer; it gets 1, 2, … */
static void measure(const char *what, enum prg_req_kind kind, const char *sql,
                    int runs) {
  struct measure m = {0, 0, 0, 0, 0};
  struct prg_stmt *st = prg_stmt_new(sql, strlen(sql), flags_of(sql), 1);
  for (int i = 0; i < runs; i++) {
    struct prg_value v = v_int(i + 1);
    struct prg_req *req = prg_req_new(kind, st);
    req->params = &v;
    one(&m, req);
  }
  prg_stmt_unref(st);
  report(what, &m);
}

static void measure_batch(const char *what, size_t sets, int runs) {
  struct measure m = {0, 0, 0, 0, 0};
  const char *sql = "insert into log values (?1, 'some text')";
  struct prg_stmt *st = prg_stmt_new(sql, strlen(sql), PRG_STMT_VALUES, 1);
  for (int i = 0; i < runs; i++) {
    struct prg_req *req = prg_req_new(PRG_REQ_BATCH, st);
    struct prg_value *v = prg_arena_alloc(&req->arena, sets * sizeof(*v));
    for (size_t k = 0; k < sets; k++) v[k] = v_int((int64_t)k);
    req->params = v;
    req->params_owned = true;
    req->nsets = sets;
    one(&m, req);
  }
  prg_stmt_unref(st);
  report(what, &m);
}

/* BEGIN, `n` rows, COMMIT; measures the commit alone. */
static void measure_commit(const char *what, int n, int runs) {
  struct measure m = {0, 0, 0, 0, 0};
  struct prg_stmt *st =
      prg_stmt_new("commit", 6, PRG_STMT_CONTROL | PRG_STMT_UTILITY, 0);
  char sql[160];
  snprintf(sql, sizeof(sql),
           "insert into log with recursive n (i) as (select 1 union all select "
           "i + 1 from n where i < %d) select i, 'some text' from n",
           n);
  for (int i = 0; i < runs; i++) {
    run(c, "begin immediate");
    run(c, sql);
    one(&m, prg_req_new(PRG_REQ_QUERY, st));
  }
  prg_stmt_unref(st);
  report(what, &m);
}

static void fill(void) {
  run_script(c,
             "create table t (a integer primary key, b, c);"
             "create index tb on t (b);"
             "create table log (a, b);"
             "with recursive n (i) as (select 1 union all select i + 1 from "
             "n where i < 200000) insert into t select i, i % 100, "
             "hex(randomblob(20)) from n");
}

static void test_blocks(void) {
  c = open_db(&d, "block.db", "");
  printf("%-44s %6s %6s %10s %9s %9s\n", "", "runs", "inline", "mean us",
         "1st ms", "later ms");
  fill();
  measure("look-up by key", PRG_REQ_QUERY, "select * from t where a = ?1",
          20000);
  measure("select 1 by the worker", PRG_REQ_SCRIPT, "select 1", 5000);
  measure("insert, one row", PRG_REQ_QUERY,
          "insert into log values (?1, 'some text')", 5000);
  measure("update by key", PRG_REQ_QUERY, "update t set c = 'x' where a = ?1",
          5000);
  measure("2,000 rows by index", PRG_REQ_QUERY, "select * from t where b = ?1",
          50);
  measure("100,000 rows by key (looks quick)", PRG_REQ_QUERY,
          "select * from t where a > ?1 limit 100000", 10);
  measure("aggregate over a range (looks quick)", PRG_REQ_QUERY,
          "select sum(length(c)) from t where a > ?1", 20);
  measure("full scan", PRG_REQ_QUERY, "select count(*) from t where c = ?1",
          20);
  measure("scan that is quick (limit)", PRG_REQ_QUERY,
          "select c from t where c <> ?1 limit 10", 2000);
  measure("sort of everything", PRG_REQ_QUERY,
          "select c from t where b <> ?1 order by c limit 10", 10);
  measure("stream of 200,000 rows", PRG_REQ_STREAM,
          "select * from t where a > ?1", 3);
  measure("update of everything", PRG_REQ_QUERY, "update t set b = b + ?1", 3);
  measure_batch("batch of 100", 100, 50);
  measure_batch("batch of 10,000", 10000, 5);
  measure_commit("commit of 100 rows", 100, 50);
  measure_commit("commit of 100,000 rows", 100000, 3);
  {
    int64_t from;
    measure_batch("(before closing) batch of 100", 100, 100);
    from = prg_now();
    close_db(&d);
    printf("%-44s %45.2f ms\n", "closing the last connection",
           (double)(prg_now() - from) / 1000);
  }
}

int main(void) {
  if (!begin_tests()) return 0;
  RUN(test_blocks);
  return end_tests();
}
