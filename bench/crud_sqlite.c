/*
** The limit of the verbs on tables on SQLite: bare C over sqlite3, with statements
** prepared once, on a WAL file.
**
**   crud_sqlite FILE WORKLOAD COUNT
**
** Workloads: insert, update (COUNT statements, each its own transaction),
** insert_many (COUNT rows, one transaction), select (COUNT reads of 50 rows),
** page, page_deep (COUNT pages of 50 rows from the first row on, and from the
** 1,000,000th).
*/
#include "measure.h"

#include <sqlite3.h>

#define INSERT "INSERT INTO fresh (grp, score, name) VALUES (?, ?, ?)"
#define SELECT                                                            \
  "SELECT id, grp, score, name FROM items WHERE grp = ? AND score >= 50 " \
  "ORDER BY id"
#define UPDATE "UPDATE counters SET n = ? WHERE id = ?"
#define PAGE                                                         \
  "SELECT id, at, title FROM walk WHERE (at, id) > (?, ?) ORDER BY " \
  "at, id LIMIT ?"

static sqlite3 *db;

static void check(int status, int wanted) {
  if (status != wanted) die("sqlite", sqlite3_errmsg(db));
}

static void run(const char *sql) {
  check(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
}

static sqlite3_stmt *prepare(const char *sql) {
  sqlite3_stmt *st;
  check(sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &st, NULL),
        SQLITE_OK);
  return st;
}

static void finish(sqlite3_stmt *st) {
  check(sqlite3_step(st), SQLITE_DONE);
  sqlite3_reset(st);
}

/* What was written, read with another statement. */
static void check_with(struct measure *m, const char *sql) {
  sqlite3_stmt *st = prepare(sql);
  check(sqlite3_step(st), SQLITE_ROW);
  m->check = (uint64_t)sqlite3_column_int64(st, 0) % CHECK_MODULUS;
  sqlite3_finalize(st);
}

/* A row's weight is the same in all programs: id and length of a text. */
static void weigh_row(sqlite3_stmt *st, struct measure *m, int text) {
  if (sqlite3_column_text(st, text)[0] == '\0') die("row", "no text");
  add_check(m, (uint64_t)(sqlite3_column_int64(st, 0) +
                          sqlite3_column_bytes(st, text)));
  m->rows++;
}

/* ---- writing ------------------------------------------------------------- */

static void bind_item(sqlite3_stmt *st, int64_t *state, long i) {
  char name[40];
  int n = snprintf(name, sizeof name, "item number %ld", i);
  sqlite3_bind_int64(st, 1, next_random(state) % ITEM_GROUPS);
  sqlite3_bind_double(st, 2, (double)i / 8);
  sqlite3_bind_text(st, 3, name, n, SQLITE_TRANSIENT);
}

static void touch_row(sqlite3_stmt *st) {
  int i, n = sqlite3_column_count(st), bytes = 0;
  for (i = 0; i < n; i++) bytes += sqlite3_column_bytes(st, i);
  if (bytes == 0) die("row", "empty");
}

static void insert(long count, struct measure *m) {
  sqlite3_stmt *st = prepare(INSERT " RETURNING *");
  int64_t state = 1;
  long i;
  run("DELETE FROM fresh");
  measure_start(m);
  for (i = 1; i <= count; i++) {
    bind_item(st, &state, i);
    check(sqlite3_step(st), SQLITE_ROW);
    touch_row(st);
    finish(st);
    m->rows++;
  }
  measure_stop(m);
  sqlite3_finalize(st);
  check_with(m, CHECK_FRESH);
}

static void insert_many(long count, struct measure *m) {
  sqlite3_stmt *st = prepare(INSERT);
  int64_t state = 1;
  long i;
  run("DELETE FROM fresh");
  measure_start(m);
  run("BEGIN IMMEDIATE");
  for (i = 1; i <= count; i++) {
    bind_item(st, &state, i);
    finish(st);
    m->rows++;
  }
  run("COMMIT");
  measure_stop(m);
  sqlite3_finalize(st);
  check_with(m, CHECK_FRESH);
}

static void update(long count, struct measure *m) {
  sqlite3_stmt *st = prepare(UPDATE);
  int64_t state = 1;
  long i;
  run("UPDATE counters SET n = 0");
  measure_start(m);
  for (i = 1; i <= count; i++) {
    sqlite3_bind_int64(st, 1, i);
    sqlite3_bind_int64(st, 2, next_random(&state) % LOOKUP_ROWS + 1);
    finish(st);
    m->rows += sqlite3_changes(db);
  }
  measure_stop(m);
  sqlite3_finalize(st);
  check_with(m, CHECK_COUNTERS);
}

/* ---- reading ------------------------------------------------------------- */

static void select_all(long count, struct measure *m) {
  sqlite3_stmt *st = prepare(SELECT);
  int64_t state = 1;
  long i;
  int status;
  measure_start(m);
  for (i = 0; i < count; i++) {
    sqlite3_bind_int64(st, 1, next_random(&state) % ITEM_GROUPS);
    while ((status = sqlite3_step(st)) == SQLITE_ROW) weigh_row(st, m, 3);
    check(status, SQLITE_DONE);
    sqlite3_reset(st);
  }
  measure_stop(m);
  sqlite3_finalize(st);
}

struct place {
  char at[40];
  int64_t id;
};

static void keep_place(sqlite3_stmt *st, struct place *p) {
  (void)snprintf(p->at, sizeof p->at, "%s",
                 (const char *)sqlite3_column_text(st, 1));
  p->id = sqlite3_column_int64(st, 0);
}

/* The row before the first page. */
static void find_place(long depth, struct place *p) {
  sqlite3_stmt *st;
  memset(p, 0, sizeof *p);
  if (depth == 0) return;
  st = prepare("SELECT id, at FROM walk ORDER BY at, id LIMIT 1 OFFSET ?");
  sqlite3_bind_int64(st, 1, depth - 1);
  check(sqlite3_step(st), SQLITE_ROW);
  keep_place(st, p);
  sqlite3_finalize(st);
}

/* A row more than the page has tells whether there is another. */
static void walk(long depth, long count, struct measure *m) {
  sqlite3_stmt *st = prepare(PAGE);
  struct place p;
  long i, n;
  int status;
  find_place(depth, &p);
  measure_start(m);
  for (i = 0; i < count; i++) {
    sqlite3_bind_text(st, 1, p.at, -1, SQLITE_TRANSIENT);
    sqlite3_bind_int64(st, 2, p.id);
    sqlite3_bind_int64(st, 3, PAGE_ROWS + 1);
    for (n = 0; (status = sqlite3_step(st)) == SQLITE_ROW && n < PAGE_ROWS;
         n++) {
      weigh_row(st, m, 2);
      if (n == PAGE_ROWS - 1) keep_place(st, &p);
    }
    check(status, SQLITE_ROW);
    sqlite3_reset(st);
  }
  measure_stop(m);
  sqlite3_finalize(st);
}

int main(int argc, char **argv) {
  struct measure m;
  const char *what;
  long count;
  if (argc != 4) die("usage", "crud_sqlite FILE WORKLOAD COUNT");
  what = argv[2];
  count = strtol(argv[3], NULL, 10);
  check(sqlite3_open_v2(argv[1], &db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL),
        SQLITE_OK);
  run("PRAGMA synchronous = NORMAL");
  if (strcmp(what, "insert") == 0)
    insert(count, &m);
  else if (strcmp(what, "insert_many") == 0)
    insert_many(count, &m);
  else if (strcmp(what, "select") == 0)
    select_all(count, &m);
  else if (strcmp(what, "update") == 0)
    update(count, &m);
  else if (strcmp(what, "page") == 0)
    walk(0, count, &m);
  else if (strcmp(what, "page_deep") == 0)
    walk(PAGE_DEPTH, count, &m);
  else
    die("unknown workload", what);
  measure_report(&m, strcmp(what, "insert_many") == 0 ? 1 : count);
  sqlite3_close(db);
  return 0;
}
