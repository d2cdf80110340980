/*
** The limit of the side-by-side workloads on SQLite: bare C over sqlite3, statements
** prepared once, on a WAL file.
**
**   side_sqlite FILE WORKLOAD SECONDS ROWS
**
** Workloads: sqlite-lookup, sqlite-scan (streams of ROWS rows), sqlite-insert (a
** transaction of 1,000 inserts). The checksum is taken while warming up.
*/
#include "measure.h"

#include <sqlite3.h>

#define LOOKUP "SELECT id, val FROM lookup WHERE id = ?"
#define SCAN "SELECT id AS g, name, ratio FROM mixed WHERE id <= ?"
#define INSERT "INSERT INTO fresh (grp, score, name) VALUES (?, ?, ?)"
#define BLOCK 32
#define WARM_BLOCKS 16
#define WARM_INSERTS 2
#define INSERTS 1000

struct source {
  sqlite3 *db;
  sqlite3_stmt *st;
  int64_t seed;
  struct measure m;
  struct latency latency;
  long operations, start_kib, rows;
};

static sqlite3_stmt *prepare(struct source *s, const char *sql) {
  sqlite3_stmt *st;
  if (sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &st,
                         NULL) != SQLITE_OK)
    die("prepare", sqlite3_errmsg(s->db));
  return st;
}

static void run(struct source *s, const char *sql) {
  if (sqlite3_exec(s->db, sql, NULL, NULL, NULL) != SQLITE_OK)
    die("run", sqlite3_errmsg(s->db));
}

static void finish(struct source *s, sqlite3_stmt *st, int status) {
  if (status != SQLITE_DONE) die("step", sqlite3_errmsg(s->db));
  sqlite3_reset(st);
}

static uint64_t value(struct source *s, const char *sql) {
  sqlite3_stmt *st = prepare(s, sql);
  uint64_t v;
  if (sqlite3_step(st) != SQLITE_ROW) die("check", sqlite3_errmsg(s->db));
  v = (uint64_t)sqlite3_column_int64(st, 0);
  sqlite3_finalize(st);
  return v;
}

/* ---- workloads ----------------------------------------------------------- */

static void look_up_block(struct source *s, int warming) {
  int i;
  (void)warming;
  for (i = 0; i < BLOCK; i++) {
    sqlite3_bind_int64(s->st, 1, next_random(&s->seed) % LOOKUP_ROWS + 1);
    if (sqlite3_step(s->st) != SQLITE_ROW) die("look-up", "no row");
    if (sqlite3_column_text(s->st, 1)[0] == '\0') die("look-up", "no value");
    add_check(&s->m, (uint64_t)(sqlite3_column_int64(s->st, 0) +
                                sqlite3_column_bytes(s->st, 1)));
    finish(s, s->st, sqlite3_step(s->st));
  }
  s->operations += BLOCK;
  s->m.rows += BLOCK;
}

/* Warms up with a tenth of the rows. */
static void scan(struct source *s, int warming) {
  int64_t want = warming ? s->rows / 10 : s->rows, sum = 0;
  uint64_t touched = 0;
  int status;
  sqlite3_bind_int64(s->st, 1, want);
  while ((status = sqlite3_step(s->st)) == SQLITE_ROW) {
    sum += sqlite3_column_int64(s->st, 0);
    touched += sqlite3_column_text(s->st, 1)[0];
    touched += (uint64_t)sqlite3_column_bytes(s->st, 1);
    touched += (uint64_t)sqlite3_column_double(s->st, 2);
  }
  finish(s, s->st, status);
  if (sum != want * (want + 1) / 2 || touched == 0) die("scan", "wrong");
  add_check(&s->m, (uint64_t)sum);
  s->operations++;
  s->m.rows += want;
}

static void insert(struct source *s, int warming) {
  int i;
  (void)warming;
  run(s, "BEGIN IMMEDIATE");
  for (i = 1; i <= INSERTS; i++) {
    char name[40];
    int n = snprintf(name, sizeof name, "item number %d", i);
    sqlite3_bind_int64(s->st, 1, next_random(&s->seed) % ITEM_GROUPS);
    sqlite3_bind_double(s->st, 2, i / 8.0);
    sqlite3_bind_text(s->st, 3, name, n, SQLITE_STATIC);
    finish(s, s->st, sqlite3_step(s->st));
  }
  run(s, "COMMIT");
  s->operations++;
  s->m.rows += INSERTS;
}

/* ---- all of them --------------------------------------------------------- */

static const struct workload {
  const char *name, *sql, *fill, *check;
  int warm;
  void (*operation)(struct source *s, int warming);
} workloads[] = {
    {"sqlite-lookup", LOOKUP, NULL, NULL, WARM_BLOCKS, look_up_block},
    {"sqlite-scan", SCAN, NULL, NULL, 1, scan},
    {"sqlite-insert", INSERT, "DELETE FROM fresh", CHECK_FRESH, WARM_INSERTS,
     insert},
};

static void measure_loop(struct source *s, const struct workload *w,
                         double seconds) {
  double at, end;
  measure_start(&s->m);
  at = s->m.wall;
  end = at + seconds;
  do {
    double now;
    w->operation(s, 0);
    now = clock_seconds(CLOCK_MONOTONIC);
    latency_add(&s->latency, now - at);
    at = now;
  } while (at < end);
  measure_stop(&s->m);
}

static void run_workload(const char *file, const struct workload *w,
                         double seconds, long rows) {
  static struct source s = {.seed = 1};
  uint64_t check;
  int i;
  if (sqlite3_open_v2(file, &s.db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
                      NULL) != SQLITE_OK)
    die("open", sqlite3_errmsg(s.db));
  run(&s, "PRAGMA synchronous = NORMAL");
  if (w->fill != NULL) run(&s, w->fill);
  s.st = prepare(&s, w->sql);
  s.rows = rows;
  s.start_kib = peak_kib();
  for (i = 0; i < w->warm; i++) w->operation(&s, 1);
  check = w->check != NULL ? value(&s, w->check) : s.m.check;
  s.operations = 0;
  measure_loop(&s, w, seconds);
  s.m.check = check % CHECK_MODULUS;
  measure_report_side(&s.m, s.operations,
                      w->operation == look_up_block ? NULL : &s.latency,
                      s.start_kib);
  sqlite3_finalize(s.st);
  sqlite3_close(s.db);
}

int main(int argc, char **argv) {
  size_t i;
  if (argc != 5) die("usage", "side_sqlite FILE WORKLOAD SECONDS ROWS");
  for (i = 0; i < sizeof workloads / sizeof workloads[0]; i++) {
    if (strcmp(argv[2], workloads[i].name) != 0) continue;
    run_workload(argv[1], &workloads[i], strtod(argv[3], NULL),
                 strtol(argv[4], NULL, 10));
    return 0;
  }
  die("unknown workload", argv[2]);
}
