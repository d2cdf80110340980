/*
** The limit of the verbs on tables on PostgreSQL: bare C over libpq, with prepared
** statements, binary values, non-blocking calls and poll.
**
**   crud_postgres URL WORKLOAD COUNT
**
** Workloads: insert, update (COUNT statements, each its own transaction),
** insert_many (COUNT rows in one statement, as arrays), select (COUNT reads of 50
** rows), page, page_deep (COUNT pages of 50 rows from the first row on, and from
** the 1,000,000th).
*/
#include "client_postgres.h"

#define FLOAT8_OID 701
#define TEXT_OID 25
#define TIMESTAMPTZ_OID 1184
#define INT4_ARRAY_OID 1007
#define FLOAT8_ARRAY_OID 1022
#define TEXT_ARRAY_OID 1009

#define INSERT                                                \
  "INSERT INTO fresh (grp, score, name) VALUES ($1, $2, $3) " \
  "RETURNING *"
#define INSERT_MANY                         \
  "INSERT INTO fresh (grp, score, name) "   \
  "SELECT g, s, n FROM unnest($1, $2, $3) " \
  "WITH ORDINALITY AS u (g, s, n, i) ORDER BY i"
#define SELECT                                                             \
  "SELECT id, grp, score, name FROM items WHERE grp = $1 AND score >= $2 " \
  "ORDER BY id"
#define UPDATE "UPDATE counters SET n = $1 WHERE id = $2"
#define PAGE                                                           \
  "SELECT id, at, title FROM walk WHERE (at, id) > ($1, $2) ORDER BY " \
  "at, id LIMIT $3"

/* ---- parameters ---------------------------------------------------------- */

/* At most three, with room for their bytes. */
struct params {
  int n;
  const char *values[3];
  int lengths[3];
  char room[3][8];
};

static void put_bytes(struct params *p, const char *bytes, size_t n) {
  p->values[p->n] = bytes;
  p->lengths[p->n++] = (int)n;
}

static void put_int(struct params *p, int64_t v) {
  uint32_t sent = htonl((uint32_t)v);
  memcpy(p->room[p->n], &sent, 4);
  put_bytes(p, p->room[p->n], 4);
}

static uint64_t double_bits(double v) {
  uint64_t bits;
  memcpy(&bits, &v, 8);
  return htobe64(bits);
}

static void put_double(struct params *p, double v) {
  uint64_t sent = double_bits(v);
  memcpy(p->room[p->n], &sent, 8);
  put_bytes(p, p->room[p->n], 8);
}

/* Runs the prepared statement; its only result. */
static PGresult *ask(PGconn *c, const struct params *p) {
  static const int formats[] = {1, 1, 1};
  PGresult *r, *more;
  if (!PQsendQueryPrepared(c, "q", p->n, p->values, p->lengths, formats, 1))
    die("send", PQerrorMessage(c));
  flush_out(c);
  r = next_result(c);
  check_result(c, r);
  while ((more = next_result(c)) != NULL) PQclear(more);
  return r;
}

static uint32_t get_int(const PGresult *r, int row, int column) {
  uint32_t v;
  memcpy(&v, PQgetvalue(r, row, column), 4);
  return ntohl(v);
}

/* A row's weight is the same in all programs: id and length of a text. */
static void weigh_rows(const PGresult *r, int n, int text, struct measure *m) {
  int i;
  for (i = 0; i < n; i++) {
    if (PQgetvalue(r, i, text)[0] == '\0') die("row", "no text");
    add_check(m, get_int(r, i, 0) + (uint64_t)PQgetlength(r, i, text));
  }
  m->rows += n;
}

/* ---- writing ------------------------------------------------------------- */

static void touch_row(const PGresult *r) {
  int i, n = PQnfields(r), bytes = 0;
  for (i = 0; i < n; i++) bytes += PQgetlength(r, 0, i);
  if (bytes == 0) die("row", "empty");
}

static void insert(PGconn *c, long count, struct measure *m) {
  static const Oid types[] = {INT4_OID, FLOAT8_OID, TEXT_OID};
  int64_t state = 1;
  long i;
  run(c, "TRUNCATE fresh");
  prepare_typed(c, "q", INSERT, 3, types);
  measure_start(m);
  for (i = 1; i <= count; i++) {
    struct params p = {0};
    char name[40];
    PGresult *r;
    put_int(&p, next_random(&state) % ITEM_GROUPS);
    put_double(&p, (double)i / 8);
    put_bytes(&p, name,
              (size_t)snprintf(name, sizeof name, "item number %ld", i));
    r = ask(c, &p);
    touch_row(r);
    m->rows += PQntuples(r);
    PQclear(r);
  }
  measure_stop(m);
  check_with(c, m, CHECK_FRESH);
}

/* An array of one dimension as PostgreSQL reads it. */
struct array {
  char *p;
  size_t n;
};

static void add_u32(struct array *a, uint32_t v) {
  v = htonl(v);
  memcpy(a->p + a->n, &v, 4);
  a->n += 4;
}

static void add_member(struct array *a, const void *bytes, size_t n) {
  add_u32(a, (uint32_t)n);
  memcpy(a->p + a->n, bytes, n);
  a->n += n;
}

static void begin_array(struct array *a, Oid member, long count, size_t room) {
  a->n = 0;
  a->p = malloc(20 + (size_t)count * room);
  if (a->p == NULL) die("memory", "none");
  add_u32(a, 1);
  add_u32(a, 0);
  add_u32(a, member);
  add_u32(a, (uint32_t)count);
  add_u32(a, 1);
}

static void insert_many(PGconn *c, long count, struct measure *m) {
  static const Oid types[] = {INT4_ARRAY_OID, FLOAT8_ARRAY_OID, TEXT_ARRAY_OID};
  struct array arrays[3];
  struct params p = {0};
  int64_t state = 1;
  long i;
  PGresult *r;
  run(c, "TRUNCATE fresh");
  measure_start(m);
  prepare_typed(c, "q", INSERT_MANY, 3, types);
  begin_array(&arrays[0], INT4_OID, count, 8);
  begin_array(&arrays[1], FLOAT8_OID, count, 12);
  begin_array(&arrays[2], TEXT_OID, count, 40);
  for (i = 1; i <= count; i++) {
    uint32_t grp = htonl((uint32_t)(next_random(&state) % ITEM_GROUPS));
    uint64_t score = double_bits((double)i / 8);
    char name[36];
    int n = snprintf(name, sizeof name, "item number %ld", i);
    add_member(&arrays[0], &grp, 4);
    add_member(&arrays[1], &score, 8);
    add_member(&arrays[2], name, (size_t)n);
  }
  for (i = 0; i < 3; i++) put_bytes(&p, arrays[i].p, arrays[i].n);
  r = ask(c, &p);
  m->rows = strtol(PQcmdTuples(r), NULL, 10);
  measure_stop(m);
  PQclear(r);
  for (i = 0; i < 3; i++) free(arrays[i].p);
  check_with(c, m, CHECK_FRESH);
}

static void update(PGconn *c, long count, struct measure *m) {
  static const Oid types[] = {INT4_OID, INT4_OID};
  int64_t state = 1;
  long i;
  run(c, "TRUNCATE counters");
  run(c, "INSERT INTO counters SELECT i, 0 FROM generate_series(1, 10000) i");
  run(c, "ANALYZE counters");
  prepare_typed(c, "q", UPDATE, 2, types);
  measure_start(m);
  for (i = 1; i <= count; i++) {
    struct params p = {0};
    PGresult *r;
    put_int(&p, i);
    put_int(&p, next_random(&state) % LOOKUP_ROWS + 1);
    r = ask(c, &p);
    m->rows += strtol(PQcmdTuples(r), NULL, 10);
    PQclear(r);
  }
  measure_stop(m);
  check_with(c, m, CHECK_COUNTERS);
}

/* ---- reading ------------------------------------------------------------- */

static void select_all(PGconn *c, long count, struct measure *m) {
  static const Oid types[] = {INT4_OID, FLOAT8_OID};
  int64_t state = 1;
  long i;
  prepare_typed(c, "q", SELECT, 2, types);
  measure_start(m);
  for (i = 0; i < count; i++) {
    struct params p = {0};
    PGresult *r;
    put_int(&p, next_random(&state) % ITEM_GROUPS);
    put_double(&p, 50);
    r = ask(c, &p);
    weigh_rows(r, PQntuples(r), 3, m);
    PQclear(r);
  }
  measure_stop(m);
}

struct place {
  char at[8];
  uint32_t id;
};

static void keep_place(const PGresult *r, int row, struct place *p) {
  memcpy(p->at, PQgetvalue(r, row, 1), sizeof p->at);
  p->id = get_int(r, row, 0);
}

/* The row before the first page. */
static void find_place(PGconn *c, long depth, struct place *p) {
  char sql[128];
  PGresult *r;
  memset(p, 0, sizeof *p); /* 2000: before all */
  if (depth == 0) return;
  (void)snprintf(sql, sizeof sql,
                 "SELECT id, at FROM walk ORDER BY at, id LIMIT 1 OFFSET %ld",
                 depth - 1);
  r = PQexecParams(c, sql, 0, NULL, NULL, NULL, NULL, 1);
  check_result(c, r);
  keep_place(r, 0, p);
  PQclear(r);
}

/* A row more than the page has tells whether there is another. */
static void walk(PGconn *c, long depth, long count, struct measure *m) {
  static const Oid types[] = {TIMESTAMPTZ_OID, INT4_OID, INT4_OID};
  struct place place;
  long i;
  find_place(c, depth, &place);
  prepare_typed(c, "q", PAGE, 3, types);
  measure_start(m);
  for (i = 0; i < count; i++) {
    struct params p = {0};
    PGresult *r;
    put_bytes(&p, place.at, sizeof place.at);
    put_int(&p, place.id);
    put_int(&p, PAGE_ROWS + 1);
    r = ask(c, &p);
    if (PQntuples(r) != PAGE_ROWS + 1) die("page", "rows are missing");
    weigh_rows(r, PAGE_ROWS, 2, m);
    keep_place(r, PAGE_ROWS - 1, &place);
    PQclear(r);
  }
  measure_stop(m);
}

int main(int argc, char **argv) {
  struct measure m;
  const char *what;
  long count;
  PGconn *c;
  if (argc != 4) die("usage", "crud_postgres URL WORKLOAD COUNT");
  c = open_conn(argv[1]);
  what = argv[2];
  count = strtol(argv[3], NULL, 10);
  if (strcmp(what, "insert") == 0)
    insert(c, count, &m);
  else if (strcmp(what, "insert_many") == 0)
    insert_many(c, count, &m);
  else if (strcmp(what, "select") == 0)
    select_all(c, count, &m);
  else if (strcmp(what, "update") == 0)
    update(c, count, &m);
  else if (strcmp(what, "page") == 0)
    walk(c, 0, count, &m);
  else if (strcmp(what, "page_deep") == 0)
    walk(c, PAGE_DEPTH, count, &m);
  else
    die("unknown workload", what);
  measure_report(&m, strcmp(what, "insert_many") == 0 ? 1 : count);
  PQfinish(c);
  return 0;
}
