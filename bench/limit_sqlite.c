/*
** The limit on SQLite: what bare C over sqlite3 needs for the workloads, with
** statements prepared once, on a WAL file.
**
**   limit_sqlite FILE WORKLOAD COUNT
**
** Workloads: lookup (COUNT look-ups), lookup8 (the same over eight
** connections), read, read-convert (COUNT reads of 1,000 rows), stream (one
** read of COUNT rows). All but read-convert only touch the values: texts by
** length and first byte. read-convert copies texts out and formats decimals.
*/
#include "measure.h"

#include <sqlite3.h>

#define LOOKUP "SELECT id, val FROM lookup WHERE id = ?"
#define COLUMNS "id, big, ratio, name, flag, at, amount, note"
#define READ \
  "SELECT " COLUMNS " FROM mixed WHERE id BETWEEN ? AND ? ORDER BY id"
#define ALL "SELECT " COLUMNS " FROM mixed WHERE id <= ?"

typedef void (*row_fn)(sqlite3_stmt *st, struct measure *m);

struct source {
  sqlite3 *db;
  sqlite3_stmt *st;
};

static void open_source(struct source *s, const char *file, const char *sql) {
  if (sqlite3_open_v2(file, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
                      NULL) != SQLITE_OK)
    die("open", sqlite3_errmsg(s->db));
  if (sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &s->st,
                         NULL) != SQLITE_OK)
    die("prepare", sqlite3_errmsg(s->db));
}

static void close_source(struct source *s) {
  sqlite3_finalize(s->st);
  sqlite3_close(s->db);
}

static void run(struct source *s, struct measure *m, row_fn each_row) {
  int status;
  while ((status = sqlite3_step(s->st)) == SQLITE_ROW) {
    each_row(s->st, m);
    m->rows++;
  }
  if (status != SQLITE_DONE) die("step", sqlite3_errmsg(s->db));
  sqlite3_reset(s->st);
}

/* ---- values -------------------------------------------------------------- */

/* A look-up's weight is the same in Lua. */
static void weigh_lookup(sqlite3_stmt *st, struct measure *m) {
  if (sqlite3_column_text(st, 1)[0] == '\0') die("look-up", "no value");
  add_check(
      m, (uint64_t)(sqlite3_column_int64(st, 0) + sqlite3_column_bytes(st, 1)));
}

static void touch_row(sqlite3_stmt *st, struct measure *m) {
  int i, n = sqlite3_column_count(st);
  for (i = 0; i < n; i++) {
    switch (sqlite3_column_type(st, i)) {
      case SQLITE_INTEGER:
        m->check += (uint64_t)sqlite3_column_int64(st, i);
        break;
      case SQLITE_FLOAT:
        m->check += (uint64_t)sqlite3_column_double(st, i);
        break;
      case SQLITE_NULL:
        break;
      default:
        m->check += sqlite3_column_text(st, i)[0];
        m->check += (uint64_t)sqlite3_column_bytes(st, i);
    }
  }
}

static uint64_t copy_column(sqlite3_stmt *st, int i) {
  char copy[64];
  const unsigned char *p = sqlite3_column_text(st, i);
  size_t n = (size_t)sqlite3_column_bytes(st, i);
  if (n > sizeof copy) die("text", "too long");
  memcpy(copy, p, n);
  return weigh_text(copy, n);
}

/* What Perigee gives, without Lua. */
static void convert_row(sqlite3_stmt *st, struct measure *m) {
  uint64_t weight = (uint64_t)sqlite3_column_int64(st, 0) +
                    (uint64_t)sqlite3_column_int64(st, 1) +
                    (uint64_t)(sqlite3_column_double(st, 2) * 8) +
                    copy_column(st, 3) + (sqlite3_column_int(st, 4) != 0) +
                    copy_column(st, 5);
  if (sqlite3_column_type(st, 6) != SQLITE_NULL) {
    char number[32];
    int n =
        snprintf(number, sizeof number, "%.15g", sqlite3_column_double(st, 6));
    weight += (uint64_t)(unsigned char)number[0];
    m->check += (uint64_t)(n > 99);
  }
  if (sqlite3_column_type(st, 7) != SQLITE_NULL) weight += copy_column(st, 7);
  add_check(m, weight);
}

/* ---- workloads ----------------------------------------------------------- */

static void look_up(struct source *s, int64_t *state, struct measure *m) {
  sqlite3_bind_int64(s->st, 1, next_random(state) % LOOKUP_ROWS + 1);
  run(s, m, weigh_lookup);
}

static void look_up_all(struct source *s, long count, struct measure *m) {
  int64_t state = 1;
  long i;
  for (i = 0; i < count; i++) look_up(s, &state, m);
}

static void lookup(const char *file, long count) {
  struct measure m;
  struct source s;
  open_source(&s, file, LOOKUP);
  measure_start(&m);
  look_up_all(&s, WARM_LOOKUPS, &m);
  measure_start(&m);
  look_up_all(&s, count, &m);
  measure_stop(&m);
  measure_report(&m, count);
  close_source(&s);
}

/* The workers take turns, as coroutines would. */
static void run_workers(struct source *s, long per_worker, struct measure *m) {
  int64_t states[LOOKUP_WORKERS];
  long i;
  int w;
  for (w = 0; w < LOOKUP_WORKERS; w++) states[w] = w + 1;
  for (i = 0; i < per_worker; i++)
    for (w = 0; w < LOOKUP_WORKERS; w++)
      look_up(&s[w % LOOKUP_CONNS], &states[w], m);
}

static void lookup8(const char *file, long count) {
  struct source s[LOOKUP_CONNS];
  struct measure m;
  int i;
  for (i = 0; i < LOOKUP_CONNS; i++) open_source(&s[i], file, LOOKUP);
  measure_start(&m);
  run_workers(s, WARM_LOOKUPS / LOOKUP_WORKERS + 1, &m);
  measure_start(&m);
  run_workers(s, count / LOOKUP_WORKERS, &m);
  measure_stop(&m);
  measure_report(&m, count / LOOKUP_WORKERS * LOOKUP_WORKERS);
  for (i = 0; i < LOOKUP_CONNS; i++) close_source(&s[i]);
}

static void read_all(struct source *s, long count, struct measure *m,
                     row_fn each_row) {
  int64_t state = 1;
  long i;
  for (i = 0; i < count; i++) {
    int64_t from = next_random(&state) % READ_RANGE + 1;
    sqlite3_bind_int64(s->st, 1, from);
    sqlite3_bind_int64(s->st, 2, from + READ_ROWS - 1);
    run(s, m, each_row);
  }
}

static void read_rows(const char *file, long count, row_fn each_row) {
  struct measure m;
  struct source s;
  open_source(&s, file, READ);
  measure_start(&m);
  read_all(&s, WARM_READS, &m, each_row);
  measure_start(&m);
  read_all(&s, count, &m, each_row);
  measure_stop(&m);
  measure_report(&m, count);
  close_source(&s);
}

static void stream(const char *file, long count) {
  struct measure m;
  struct source s;
  open_source(&s, file, ALL);
  measure_start(&m);
  sqlite3_bind_int64(s.st, 1, count);
  run(&s, &m, touch_row);
  measure_stop(&m);
  measure_report(&m, 1);
  close_source(&s);
}

int main(int argc, char **argv) {
  const char *file, *what;
  long count;
  if (argc != 4) die("usage", "limit_sqlite FILE WORKLOAD COUNT");
  file = argv[1];
  what = argv[2];
  count = strtol(argv[3], NULL, 10);
  if (strcmp(what, "lookup") == 0)
    lookup(file, count);
  else if (strcmp(what, "lookup8") == 0)
    lookup8(file, count);
  else if (strcmp(what, "read") == 0)
    read_rows(file, count, touch_row);
  else if (strcmp(what, "read-convert") == 0)
    read_rows(file, count, convert_row);
  else if (strcmp(what, "stream") == 0)
    stream(file, count);
  else
    die("unknown workload", what);
  return 0;
}
