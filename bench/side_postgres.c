/*
** The limit of B1 to B10 on PostgreSQL: bare C over libpq, one statement of a
** connection in flight, prepared statements, binary values.
**
**   side_postgres URL WORKLOAD SECONDS ROWS
**
** Every value is looked at (length and first byte). ROWS is for b10. After some
** operations of each worker the checksum is taken, then SECONDS are measured.
*/
#include "lanes.h"

#define BULK_ROWS 10000
#define INSERT_ROWS 1000
#define BULK_COLUMNS "(a, b, c, d, e, f, g)"
#define BULK_CHECK \
  "SELECT count(*) + sum(a + b + c + f + length(d) + length(g)) + sum(e)::int"
#define TRUNCATE_AFTER 50
#define PERSON_RANGE 9975

/* ---- values -------------------------------------------------------------- */

static uint32_t get_u32(const PGresult *r, int row, int column) {
  uint32_t v;
  memcpy(&v, PQgetvalue(r, row, column), 4);
  return ntohl(v);
}

static int get_i16(const PGresult *r, int row, int column) {
  uint16_t v;
  memcpy(&v, PQgetvalue(r, row, column), 2);
  return (int16_t)ntohs(v);
}

static uint64_t length_of(const PGresult *r, int row, int column) {
  return (uint64_t)PQgetlength(r, row, column);
}

static void touch_rows(struct bench *b, const PGresult *r) {
  int i, j, rows = PQntuples(r), columns = PQnfields(r);
  for (i = 0; i < rows; i++)
    for (j = 0; j < columns; j++) {
      int n = PQgetlength(r, i, j);
      if (n > 0)
        b->touched += (unsigned)n + (unsigned char)PQgetvalue(r, i, j)[0];
    }
  b->m.rows += rows;
}

typedef uint64_t (*weigh_fn)(const PGresult *r, int row);

static void take_rows(struct bench *b, const PGresult *r, weigh_fn weigh) {
  int i;
  touch_rows(b, r);
  if (!b->checking) return;
  for (i = 0; i < PQntuples(r); i++) add_check(&b->m, weigh(r, i));
}

static void send_text(struct lane *l, const char *name, int n,
                      const char *const *values) {
  if (!PQsendQueryPrepared(l->c, name, n, values, NULL, NULL, 1))
    die("send", PQerrorMessage(l->c));
}

static void send_ints(struct lane *l, const char *name, int n, int a, int b) {
  static const int lengths[] = {4, 4}, formats[] = {1, 1};
  uint32_t sent[] = {htonl((uint32_t)a), htonl((uint32_t)b)};
  const char *values[] = {(char *)&sent[0], (char *)&sent[1]};
  if (!PQsendQueryPrepared(l->c, name, n, values, lengths, formats, 1))
    die("send", PQerrorMessage(l->c));
}

/* ---- B1 to B4: reads ------------------------------------------------------ */

static uint64_t weigh_int(const PGresult *r, int row) {
  return get_u32(r, row, 0);
}

static void send_plain(struct bench *b, struct lane *l) {
  (void)b;
  send_text(l, "0", 0, NULL);
}

static void take_int(struct bench *b, struct lane *l, const PGresult *r) {
  (void)l;
  take_rows(b, r, weigh_int);
}

static void send_types(struct bench *b, struct lane *l) {
  static const char *const values[] = {"-1", "true"};
  (void)b;
  send_text(l, "0", 2, values);
}

static uint64_t weigh_type(const PGresult *r, int row) {
  return length_of(r, row, 0) + get_u32(r, row, 1) + get_u32(r, row, 2) +
         (uint64_t)(get_i16(r, row, 3) + 2) +
         (uint64_t)PQgetvalue(r, row, 4)[0] + length_of(r, row, 5) +
         (uint64_t)PQgetvalue(r, row, 6)[0] +
         (uint64_t)PQgetvalue(r, row, 7)[0] + length_of(r, row, 8) +
         get_u32(r, row, 9) + get_u32(r, row, 10) + get_u32(r, row, 11);
}

static void take_types(struct bench *b, struct lane *l, const PGresult *r) {
  (void)l;
  take_rows(b, r, weigh_type);
}

static void send_series(struct bench *b, struct lane *l) {
  (void)b;
  send_ints(l, "0", 1, 1000, 0);
}

static uint64_t weigh_blob(const PGresult *r, int row) {
  return length_of(r, row, 0) + (unsigned char)PQgetvalue(r, row, 0)[0];
}

static void take_blobs(struct bench *b, struct lane *l, const PGresult *r) {
  (void)l;
  take_rows(b, r, weigh_blob);
}

/* An array of one dimension: 20 bytes, and then lengths and values. */
static uint64_t weigh_list(const PGresult *r, int row) {
  const char *p = PQgetvalue(r, row, 0);
  uint32_t n, head, tail;
  memcpy(&n, p + 12, 4);
  memcpy(&head, p + 24, 4);
  memcpy(&tail, p + 20 + 8 * (ntohl(n) - 1) + 4, 4);
  return ntohl(n) + ntohl(head) + ntohl(tail);
}

static void take_lists(struct bench *b, struct lane *l, const PGresult *r) {
  (void)l;
  take_rows(b, r, weigh_list);
}

/* ---- B5: bulk ------------------------------------------------------------- */

struct bytes {
  char p[INSERT_ROWS * 160];
  size_t n;
};

static void put_u16(struct bytes *o, unsigned v) {
  uint16_t sent = htons((uint16_t)v);
  memcpy(o->p + o->n, &sent, 2);
  o->n += 2;
}

static void put_u32(struct bytes *o, uint32_t v) {
  v = htonl(v);
  memcpy(o->p + o->n, &v, 4);
  o->n += 4;
}

static void put_int(struct bytes *o, uint32_t v) {
  put_u32(o, 4);
  put_u32(o, v);
}

static void put_double(struct bytes *o, double v) {
  uint64_t bits;
  memcpy(&bits, &v, 8);
  bits = htobe64(bits);
  put_u32(o, 8);
  memcpy(o->p + o->n, &bits, 8);
  o->n += 8;
}

static void put_text(struct bytes *o, const char *s) {
  size_t n = strlen(s);
  put_u32(o, (uint32_t)n);
  memcpy(o->p + o->n, s, n);
  o->n += n;
}

static void put_column(struct bytes *o, int column) {
  switch (column) {
    case 0:
    case 2:
      put_int(o, 10);
      break;
    case 1:
      put_int(o, 11);
      break;
    case 3:
      put_text(o, "TESTTESTTEST");
      break;
    case 4:
      put_double(o, 10.333);
      break;
    case 5:
      put_int(o, 12341234);
      break;
    default:
      put_text(o, "123412341234");
  }
}

/* Every 50th operation begins with a TRUNCATE, on the same connection. */
static void truncate_sometimes(struct bench *b, struct lane *l) {
  char sql[64];
  if (b->checking || l->worker->done % TRUNCATE_AFTER != 0) return;
  (void)snprintf(sql, sizeof sql, "TRUNCATE bulk_%d", l->worker->number);
  run(l->c, sql);
}

static void send_copy(struct bench *b, struct lane *l) {
  char sql[128];
  truncate_sometimes(b, l);
  (void)snprintf(sql, sizeof sql,
                 "COPY bulk_%d " BULK_COLUMNS " FROM STDIN (FORMAT binary)",
                 l->worker->number);
  if (!PQsendQuery(l->c, sql)) die("send", PQerrorMessage(l->c));
}

static void put_data(struct lane *l, const struct bytes *o) {
  if (PQputCopyData(l->c, o->p, (int)o->n) != 1)
    die("copy", PQerrorMessage(l->c));
}

static void copy_rows(struct lane *l, int rows) {
  static struct bytes o;
  int i, j;
  memcpy(o.p, "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0", o.n = 19);
  for (i = 0; i < rows; i++) {
    put_u16(&o, 7);
    for (j = 0; j < 7; j++) put_column(&o, j);
    if (o.n > sizeof o.p - 200) {
      put_data(l, &o);
      o.n = 0;
    }
  }
  put_u16(&o, 0xffff);
  put_data(l, &o);
  if (PQputCopyEnd(l->c, NULL) != 1) die("copy", PQerrorMessage(l->c));
}

static void take_tag(struct bench *b, const PGresult *r) {
  b->m.rows += strtol(PQcmdTuples((PGresult *)r), NULL, 10);
}

static void take_copy(struct bench *b, struct lane *l, const PGresult *r) {
  if (PQresultStatus(r) == PGRES_COPY_IN)
    copy_rows(l, BULK_ROWS);
  else
    take_tag(b, r);
}

static void take_copy_few(struct bench *b, struct lane *l, const PGresult *r) {
  if (PQresultStatus(r) == PGRES_COPY_IN)
    copy_rows(l, INSERT_ROWS);
  else
    take_tag(b, r);
}

/* An array of one dimension with the same member in each place. */
static void make_array(struct bytes *o, Oid member, int column) {
  int i;
  o->n = 0;
  put_u32(o, 1);
  put_u32(o, 0);
  put_u32(o, member);
  put_u32(o, INSERT_ROWS);
  put_u32(o, 1);
  for (i = 0; i < INSERT_ROWS; i++) put_column(o, column);
}

static void send_unnest(struct bench *b, struct lane *l) {
  static const Oid members[] = {23, 23, 23, 25, 701, 23, 25};
  static const int formats[] = {1, 1, 1, 1, 1, 1, 1};
  static struct bytes arrays[7];
  const char *values[7];
  int lengths[7], i;
  char name[16];
  truncate_sometimes(b, l);
  for (i = 0; i < 7; i++) {
    make_array(&arrays[i], members[i], i);
    values[i] = arrays[i].p;
    lengths[i] = (int)arrays[i].n;
  }
  (void)snprintf(name, sizeof name, "u%d", l->worker->number);
  if (l->worker->done == 0 && b->checking) {
    char sql[256];
    (void)snprintf(sql, sizeof sql,
                   "INSERT INTO bulk_%d " BULK_COLUMNS
                   " SELECT * FROM unnest($1::int[], $2::int[], $3::int[], "
                   "$4::text[], $5::float8[], $6::int[], $7::text[])",
                   l->worker->number);
    prepare_untyped(l->c, name, sql);
  }
  if (!PQsendQueryPrepared(l->c, name, 7, values, lengths, formats, 1))
    die("send", PQerrorMessage(l->c));
}

static void take_insert(struct bench *b, struct lane *l, const PGresult *r) {
  (void)l;
  take_tag(b, r);
}

/* ---- B6 to B9: a pool ----------------------------------------------------- */

static void send_world(struct bench *b, struct lane *l) {
  (void)b;
  send_ints(l, "0", 1, (int)(next_random(&l->worker->seed) % 10000) + 1, 0);
}

static uint64_t weigh_world(const PGresult *r, int row) {
  return get_u32(r, row, 0) + get_u32(r, row, 1);
}

static void take_world(struct bench *b, struct lane *l, const PGresult *r) {
  (void)l;
  take_rows(b, r, weigh_world);
}

static void send_transfer(struct bench *b, struct lane *l) {
  struct worker *w = l->worker;
  (void)b;
  switch (l->step) {
    case 0:
      w->id = (int)(next_random(&w->seed) % 156) * 64 + w->number;
      send_text(l, "0", 0, NULL);
      break;
    case 1:
      send_ints(l, "1", 1, w->id, 0);
      break;
    case 2:
      send_ints(l, "2", 2, (w->value + w->id) % 10000 + 1, w->id);
      break;
    default:
      send_text(l, "3", 0, NULL);
  }
}

static void take_transfer(struct bench *b, struct lane *l, const PGresult *r) {
  if (l->step != 1) return;
  l->worker->value = (int)get_u32(r, 0, 0);
  b->m.rows++;
}

static void send_page(struct bench *b, struct lane *l) {
  (void)b;
  send_ints(l, "0", 1, (int)(next_random(&l->worker->seed) % PERSON_RANGE), 0);
}

static uint64_t weigh_person(const PGresult *r, int row) {
  uint64_t weight = get_u32(r, row, 0) + length_of(r, row, 1) +
                    length_of(r, row, 2) + length_of(r, row, 3) +
                    get_u32(r, row, 6);
  if (!PQgetisnull(r, row, 4)) weight++;
  if (!PQgetisnull(r, row, 5)) weight += get_u32(r, row, 5);
  if (!PQgetisnull(r, row, 7)) weight++;
  return weight;
}

static void take_page(struct bench *b, struct lane *l, const PGresult *r) {
  (void)l;
  take_rows(b, r, weigh_person);
}

static void send_fair(struct bench *b, struct lane *l) {
  if (l->worker->number > 0)
    send_world(b, l);
  else
    send_text(l, "1", 0, NULL);
}

static void take_fair(struct bench *b, struct lane *l, const PGresult *r) {
  if (l->worker->number > 0) take_world(b, l, r);
}

/* ---- B10: a stream -------------------------------------------------------- */

static uint64_t read_stream(PGconn *c, long rows, struct measure *m) {
  char number[24];
  const char *values[] = {number};
  uint64_t sum = 0;
  PGresult *r;
  (void)snprintf(number, sizeof number, "%ld", rows);
  if (!PQsendQueryParams(c,
                         "select g, md5(g::text), g*1.5 from "
                         "generate_series(1,$1::int) g",
                         1, NULL, values, NULL, NULL, 1) ||
      !PQsetSingleRowMode(c))
    die("send", PQerrorMessage(c));
  flush_out(c);
  while ((r = next_result(c)) != NULL) {
    check_result(c, r);
    if (PQntuples(r) == 1) sum += get_u32(r, 0, 0);
    m->rows += PQntuples(r);
    PQclear(r);
  }
  if (sum != (uint64_t)rows * (uint64_t)(rows + 1) / 2) die("stream", "wrong");
  return sum;
}

/* Warms up with a tenth of the rows. */
static void stream(const char *url, double seconds, long rows) {
  struct measure m;
  PGconn *c = open_conn(url);
  long start_kib = peak_kib(), operations = 0;
  uint64_t check = read_stream(c, rows / 10, &m);
  double end;
  measure_start(&m);
  end = m.wall + seconds;
  do {
    (void)read_stream(c, rows, &m);
    operations++;
  } while (clock_seconds(CLOCK_MONOTONIC) < end);
  measure_stop(&m);
  m.check = check % CHECK_MODULUS;
  measure_report_side(&m, operations, NULL, start_kib);
  PQfinish(c);
}

/* ---- all of them ---------------------------------------------------------- */

#define EMPTY_BULK                                                            \
  "DO $$ BEGIN FOR i IN 1 .. 10 LOOP EXECUTE format('TRUNCATE bulk_%s', i); " \
  "END LOOP; END $$"
#define FILL_ACCOUNTS  \
  "TRUNCATE accounts;" \
  "INSERT INTO accounts SELECT * FROM world"
#define WORLD "select id, randomnumber from world where id=$1"

/* long: table */
static const struct workload workloads[] = {
    {"b1", 10, 10, 0, 20, 1, {"SELECT 1+1"}, send_plain, take_int, 0, 0},
    {"b1-single", 1, 1, 0, 20, 1, {"SELECT 1+1"}, send_plain, take_int, 0, 0},
    {"b2",
     10,
     10,
     0,
     2,
     1,
     {"select typname, typnamespace, typowner, typlen, typbyval, typcategory, "
      "typispreferred, typisdefined, typdelim, typrelid, typelem, typarray "
      "from pg_type where typtypmod = $1 and typisdefined = $2"},
     send_types,
     take_types,
     0,
     0},
    {"b3",
     10,
     10,
     0,
     2,
     1,
     {"SELECT i FROM generate_series(1, $1) AS i"},
     send_series,
     take_int,
     0,
     0},
    {"b4-bytea",
     10,
     10,
     0,
     2,
     1,
     {"SELECT * FROM blobs"},
     send_plain,
     take_blobs,
     0,
     0},
    {"b4-arrays",
     10,
     10,
     0,
     2,
     1,
     {"SELECT * FROM lists"},
     send_plain,
     take_lists,
     0,
     0},
    {"b5-copy",
     1,
     1,
     0,
     2,
     1,
     {0},
     send_copy,
     take_copy,
     EMPTY_BULK,
     BULK_CHECK " FROM bulk_1"},
    {"b5-copy-10",
     10,
     10,
     0,
     2,
     1,
     {0},
     send_copy,
     take_copy,
     EMPTY_BULK,
     BULK_CHECK " FROM bulk_10"},
    {"b5-insert",
     1,
     1,
     0,
     2,
     1,
     {0},
     send_unnest,
     take_insert,
     EMPTY_BULK,
     BULK_CHECK " FROM bulk_1"},
    {"b5-insert-copy",
     1,
     1,
     0,
     2,
     1,
     {0},
     send_copy,
     take_copy_few,
     EMPTY_BULK,
     BULK_CHECK " FROM bulk_1"},
    {"b5-insert-10",
     10,
     10,
     0,
     2,
     1,
     {0},
     send_unnest,
     take_insert,
     EMPTY_BULK,
     BULK_CHECK " FROM bulk_10"},
    {"b5-insert-10-copy",
     10,
     10,
     0,
     2,
     1,
     {0},
     send_copy,
     take_copy_few,
     EMPTY_BULK,
     BULK_CHECK " FROM bulk_10"},
    {"b6", 64, 4, 0, 20, 1, {WORLD}, send_world, take_world, 0, 0},
    {"b7",
     16,
     8,
     0,
     10,
     4,
     {"BEGIN", "select randomnumber from accounts where id=$1 for update",
      "update accounts set randomnumber=$1 where id=$2", "COMMIT"},
     send_transfer,
     take_transfer,
     FILL_ACCOUNTS,
     "SELECT sum(randomnumber * (id % 7)) FROM accounts"},
    {"b8",
     32,
     4,
     0,
     10,
     1,
     {"select * from person where id > $1 order by id limit 25"},
     send_page,
     take_page,
     0,
     0},
    {"b9",
     64,
     4,
     1,
     4,
     1,
     {WORLD, "select pg_sleep(0.05)"},
     send_fair,
     take_fair,
     0,
     0},
};

int main(int argc, char **argv) {
  size_t i;
  if (argc != 5) die("usage", "side_postgres URL WORKLOAD SECONDS ROWS");
  if (strcmp(argv[2], "b10") == 0) {
    stream(argv[1], strtod(argv[3], NULL), strtol(argv[4], NULL, 10));
    return 0;
  }
  for (i = 0; i < sizeof workloads / sizeof workloads[0]; i++) {
    if (strcmp(argv[2], workloads[i].name) != 0) continue;
    run_workload(&workloads[i], argv[1], strtod(argv[3], NULL));
    return 0;
  }
  die("unknown workload", argv[2]);
}
