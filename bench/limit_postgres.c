/*
** The limit on PostgreSQL: what bare C over libpq needs for the workloads. One
** prepared statement, binary results, non-blocking calls and poll (epoll where
** there are eight connections), as a client that shares a loop has to do.
**
**   limit_postgres URL WORKLOAD COUNT
**
** Workloads: lookup, lookup8 (COUNT look-ups), read, read-convert (COUNT reads
** of 1,000 rows), single, fetch, whole (one read of COUNT rows: in single-row
** mode, by a cursor, as one result).
** All but read-convert only touch the values: length and first byte of each.
** read-convert makes of each value what a caller in C could use.
*/
#include "client_postgres.h"

#include <sys/epoll.h>
#include <unistd.h>

#define LOOKUP "SELECT id, val FROM lookup WHERE id = $1"
#define COLUMNS "id, big, ratio, name, flag, at, amount, note"
#define READ \
  "SELECT " COLUMNS " FROM mixed WHERE id BETWEEN $1 AND $2 ORDER BY id"
#define ALL "SELECT " COLUMNS " FROM mixed WHERE id <= $1"
#define FETCH_ROWS 500

typedef void (*row_fn)(const PGresult *r, int row, struct measure *m);

/* ---- one statement ------------------------------------------------------- */

static void prepare(PGconn *c, const char *name, const char *sql, int nparams) {
  static const Oid types[] = {INT4_OID, INT4_OID};
  prepare_typed(c, name, sql, nparams, types);
}

static void send_prepared(PGconn *c, const char *name, int n, int a, int b) {
  static const int lengths[] = {4, 4}, formats[] = {1, 1};
  uint32_t sent[] = {htonl((uint32_t)a), htonl((uint32_t)b)};
  const char *values[] = {(char *)&sent[0], (char *)&sent[1]};
  if (!PQsendQueryPrepared(c, name, n, values, lengths, formats, 1))
    die("send", PQerrorMessage(c));
}

/* Reads the results of the statement that was sent. */
static void read_results(PGconn *c, struct measure *m, row_fn each_row) {
  PGresult *r;
  while ((r = next_result(c)) != NULL) {
    int i, n = PQntuples(r);
    check_result(c, r);
    for (i = 0; i < n; i++) each_row(r, i, m);
    m->rows += n;
    PQclear(r);
  }
}

/* ---- values -------------------------------------------------------------- */

/* A look-up's weight is the same in Lua. */
static void weigh_lookup(const PGresult *r, int row, struct measure *m) {
  uint32_t id;
  memcpy(&id, PQgetvalue(r, row, 0), 4);
  if (PQgetvalue(r, row, 1)[0] == '\0') die("look-up", "no value");
  add_check(m, ntohl(id) + (uint64_t)PQgetlength(r, row, 1));
}

static void touch_row(const PGresult *r, int row, struct measure *m) {
  int j, n = PQnfields(r);
  for (j = 0; j < n; j++) {
    int length = PQgetlength(r, row, j);
    if (length > 0) {
      const char *p = PQgetvalue(r, row, j);
      m->check += (uint64_t)length + (unsigned char)p[0];
    }
  }
}

static uint64_t get_u64(const char *p) {
  uint64_t v;
  memcpy(&v, p, 8);
  return be64toh(v);
}

static unsigned get_u16(const char *p) {
  uint16_t v;
  memcpy(&v, p, 2);
  return ntohs(v);
}

static void put_digits(char *out, unsigned v, int n) {
  while (n-- > 0) {
    out[n] = (char)('0' + v % 10);
    v /= 10;
  }
}

/* Microseconds since 2000 as 2026-11-20T08:30:00.123456Z; the date as in Howard
** Hinnant's "chrono-Compatible Low-Level Date Algorithms". */
static size_t format_stamp(int64_t us, char *out) {
  int64_t days = us / 86400000000 - (us % 86400000000 < 0);
  unsigned long part = (unsigned long)(us - days * 86400000000);
  unsigned sec = (unsigned)(part / 1000000), z, yoe, doy, mp, day, month;
  z = (unsigned)(days + 10957 + 719468) % 146097;
  yoe = (z - z / 1460 + z / 36524 - z / 146096) / 365;
  doy = z - (365 * yoe + yoe / 4 - yoe / 100);
  mp = (5 * doy + 2) / 153;
  day = doy - (153 * mp + 2) / 5 + 1;
  month = mp < 10 ? mp + 3 : mp - 9;
  memcpy(out, "0000-00-00T00:00:00.000000Z", 28);
  put_digits(out, 2000 + yoe + (month <= 2), 4);
  put_digits(out + 5, month, 2);
  put_digits(out + 8, day, 2);
  put_digits(out + 11, sec / 3600, 2);
  put_digits(out + 14, sec / 60 % 60, 2);
  put_digits(out + 17, sec % 60, 2);
  put_digits(out + 20, (unsigned)(part % 1000000), 6);
  return 27;
}

/* A numeric as decimal text; positive numbers only, which are all there is. */
static size_t format_numeric(const char *p, char *out) {
  int i, ndigits = (int)get_u16(p), weight = (int16_t)get_u16(p + 2);
  int scale = (int)get_u16(p + 6), groups = (scale + 3) / 4;
  char *start = out, digits[4];
  if (weight < 0) *out++ = '0';
  for (i = 0; i <= weight; i++) {
    int skip = 0;
    put_digits(digits, i < ndigits ? get_u16(p + 8 + 2 * i) : 0, 4);
    if (i == 0)
      while (skip < 3 && digits[skip] == '0') skip++;
    memcpy(out, digits + skip, (size_t)(4 - skip));
    out += 4 - skip;
  }
  if (scale == 0) return (size_t)(out - start);
  *out++ = '.';
  for (i = weight + 1; i <= weight + groups; i++) {
    int at = i;
    put_digits(out, at >= 0 && at < ndigits ? get_u16(p + 8 + 2 * at) : 0, 4);
    out += 4;
  }
  return (size_t)(out - start) - (size_t)(groups * 4 - scale);
}

/* What Perigee gives, without Lua. */
static void convert_row(const PGresult *r, int row, struct measure *m) {
  uint64_t weight;
  uint32_t id;
  double ratio;
  uint64_t bits;
  char copy[64];
  size_t n;
  memcpy(&id, PQgetvalue(r, row, 0), 4);
  weight = ntohl(id) + get_u64(PQgetvalue(r, row, 1));
  bits = get_u64(PQgetvalue(r, row, 2));
  memcpy(&ratio, &bits, 8);
  weight += (uint64_t)(ratio * 8);
  n = (size_t)PQgetlength(r, row, 3);
  memcpy(copy, PQgetvalue(r, row, 3), n);
  weight += weigh_text(copy, n);
  weight += PQgetvalue(r, row, 4)[0] != 0;
  n = format_stamp((int64_t)get_u64(PQgetvalue(r, row, 5)), copy);
  weight += weigh_text(copy, n);
  if (!PQgetisnull(r, row, 6)) {
    n = format_numeric(PQgetvalue(r, row, 6), copy);
    weight += weigh_text(copy, n);
  }
  if (!PQgetisnull(r, row, 7)) {
    n = (size_t)PQgetlength(r, row, 7);
    memcpy(copy, PQgetvalue(r, row, 7), n);
    weight += weigh_text(copy, n);
  }
  add_check(m, weight);
}

/* ---- look-ups ------------------------------------------------------------ */

static void look_up_all(PGconn *c, long count, struct measure *m) {
  int64_t state = 1;
  long i;
  for (i = 0; i < count; i++) {
    int id = (int)(next_random(&state) % LOOKUP_ROWS) + 1;
    send_prepared(c, "q", 1, id, 0);
    flush_out(c);
    read_results(c, m, weigh_lookup);
  }
}

static void lookup(const char *url, long count) {
  struct measure m;
  PGconn *c = open_conn(url);
  prepare(c, "q", LOOKUP, 1);
  measure_start(&m);
  look_up_all(c, WARM_LOOKUPS, &m);
  measure_start(&m);
  look_up_all(c, count, &m);
  measure_stop(&m);
  measure_report(&m, count);
  PQfinish(c);
}

/* A connection that serves some of the workers, one after another. */
struct lane {
  PGconn *conn;
  int worker;    /* LOOKUP_WORKERS and more: done */
  int64_t state; /* of its keys */
  long left;
};

/* Sends the lane's next look-up; false when there is none. */
static int lane_next(struct lane *l, long per_worker) {
  int id;
  if (l->left == 0) {
    l->worker += LOOKUP_CONNS;
    if (l->worker >= LOOKUP_WORKERS) return 0;
    l->state = l->worker + 1;
    l->left = per_worker;
  }
  l->left--;
  id = (int)(next_random(&l->state) % LOOKUP_ROWS) + 1;
  send_prepared(l->conn, "q", 1, id, 0);
  flush_out(l->conn);
  return 1;
}

/* Takes what has come; false when the lane is done. */
static int lane_read(struct lane *l, long per_worker, struct measure *m) {
  PGresult *r;
  if (!PQconsumeInput(l->conn)) die("read", PQerrorMessage(l->conn));
  while (!PQisBusy(l->conn)) {
    r = PQgetResult(l->conn);
    if (r == NULL) return lane_next(l, per_worker);
    check_result(l->conn, r);
    weigh_lookup(r, 0, m);
    m->rows++;
    PQclear(r);
  }
  return 1;
}

static void run_lanes(int ep, struct lane *lanes, long per_worker,
                      struct measure *m) {
  struct epoll_event events[LOOKUP_CONNS];
  int i, n, busy = 0;
  for (i = 0; i < LOOKUP_CONNS; i++) {
    lanes[i].worker = i - LOOKUP_CONNS;
    lanes[i].left = 0;
    busy += lane_next(&lanes[i], per_worker);
  }
  while (busy > 0) {
    n = epoll_wait(ep, events, LOOKUP_CONNS, -1);
    for (i = 0; i < n; i++)
      if (!lane_read(events[i].data.ptr, per_worker, m)) busy--;
  }
}

static void lookup8(const char *url, long count) {
  struct lane lanes[LOOKUP_CONNS];
  struct measure m;
  int i, ep = epoll_create1(0);
  for (i = 0; i < LOOKUP_CONNS; i++) {
    struct epoll_event e = {.events = EPOLLIN, .data = {.ptr = &lanes[i]}};
    lanes[i].conn = open_conn(url);
    prepare(lanes[i].conn, "q", LOOKUP, 1);
    epoll_ctl(ep, EPOLL_CTL_ADD, PQsocket(lanes[i].conn), &e);
  }
  measure_start(&m);
  run_lanes(ep, lanes, WARM_LOOKUPS / LOOKUP_WORKERS + 1, &m);
  measure_start(&m);
  run_lanes(ep, lanes, count / LOOKUP_WORKERS, &m);
  measure_stop(&m);
  measure_report(&m, count / LOOKUP_WORKERS * LOOKUP_WORKERS);
  for (i = 0; i < LOOKUP_CONNS; i++) PQfinish(lanes[i].conn);
  close(ep);
}

/* ---- reads --------------------------------------------------------------- */

static void read_all(PGconn *c, long count, struct measure *m,
                     row_fn each_row) {
  int64_t state = 1;
  long i;
  for (i = 0; i < count; i++) {
    int from = (int)(next_random(&state) % READ_RANGE) + 1;
    send_prepared(c, "q", 2, from, from + READ_ROWS - 1);
    flush_out(c);
    read_results(c, m, each_row);
  }
}

static void read_rows(const char *url, long count, row_fn each_row) {
  struct measure m;
  PGconn *c = open_conn(url);
  prepare(c, "q", READ, 2);
  measure_start(&m);
  read_all(c, WARM_READS, &m, each_row);
  measure_start(&m);
  read_all(c, count, &m, each_row);
  measure_stop(&m);
  measure_report(&m, count);
  PQfinish(c);
}

static void read_single(PGconn *c, long count, struct measure *m) {
  prepare(c, "q", ALL, 1);
  send_prepared(c, "q", 1, (int)count, 0);
  if (!PQsetSingleRowMode(c)) die("single-row mode", "refused");
  flush_out(c);
  read_results(c, m, touch_row);
}

static void read_whole(PGconn *c, long count, struct measure *m) {
  prepare(c, "q", ALL, 1);
  send_prepared(c, "q", 1, (int)count, 0);
  flush_out(c);
  read_results(c, m, touch_row);
}

static void read_fetch(PGconn *c, long count, struct measure *m) {
  char sql[256];
  long before;
  (void)snprintf(sql, sizeof sql,
                 "DECLARE c NO SCROLL CURSOR FOR "
                 "SELECT " COLUMNS " FROM mixed WHERE id <= %ld",
                 count);
  run(c, "BEGIN");
  run(c, sql);
  (void)snprintf(sql, sizeof sql, "FETCH %d FROM c", FETCH_ROWS);
  prepare(c, "f", sql, 0);
  do {
    before = m->rows;
    send_prepared(c, "f", 0, 0, 0);
    flush_out(c);
    read_results(c, m, touch_row);
  } while (m->rows - before == FETCH_ROWS);
  run(c, "COMMIT");
}

static void read_once(const char *url, long count,
                      void (*way)(PGconn *, long, struct measure *)) {
  struct measure m;
  PGconn *c = open_conn(url);
  measure_start(&m);
  way(c, count, &m);
  measure_stop(&m);
  measure_report(&m, 1);
  PQfinish(c);
}

int main(int argc, char **argv) {
  const char *url, *what;
  long count;
  if (argc != 4) die("usage", "limit_postgres URL WORKLOAD COUNT");
  url = argv[1];
  what = argv[2];
  count = strtol(argv[3], NULL, 10);
  if (strcmp(what, "lookup") == 0)
    lookup(url, count);
  else if (strcmp(what, "lookup8") == 0)
    lookup8(url, count);
  else if (strcmp(what, "read") == 0)
    read_rows(url, count, touch_row);
  else if (strcmp(what, "read-convert") == 0)
    read_rows(url, count, convert_row);
  else if (strcmp(what, "single") == 0)
    read_once(url, count, read_single);
  else if (strcmp(what, "fetch") == 0)
    read_once(url, count, read_fetch);
  else if (strcmp(what, "whole") == 0)
    read_once(url, count, read_whole);
  else
    die("unknown workload", what);
  return 0;
}
