/*
** The limit of the side-by-side workloads on MySQL and MariaDB: bare C over
** libmariadb, prepared statements, binary values.
**
**   side_mysql URL WORKLOAD SECONDS ROWS
**
** mysql-lookup, mysql-read and mysql-pool: the library's non-blocking calls and
** epoll, one statement of a connection in flight, as a program with an event loop
** has them. mysql-lookup-blocking: the same look-ups by its blocking calls.
** mysql-scan (streams of ROWS rows) and mysql-insert (100,000 rows, by
** COM_STMT_BULK_EXECUTE) block, too. The checksum is taken while warming up.
*/
#include "client_mysql.h"

#include <sys/epoll.h>
#include <unistd.h>

#define LOOKUP "SELECT id, val FROM lookup WHERE id = ?"
#define READ \
  "SELECT id, big, ratio, name, at, note FROM mixed WHERE id BETWEEN ? AND ?"
#define SCAN "SELECT id AS g, name, ratio FROM mixed WHERE id <= ?"
#define INSERT "INSERT INTO fresh (grp, score, name) VALUES (?, ?, ?)"
#define MAX_WORKERS 64
#define MAX_LANES 8
#define MAX_COLUMNS 6
#define TEXT_ROOM 64
#define INSERTS 100000
#define INSERT_BLOCK 10000 /* rows of a packet */

struct cell {
  union {
    int64_t i;
    double d;
    MYSQL_TIME t;
    char s[TEXT_ROOM];
  } u;
  unsigned long length;
  my_bool is_null, error;
};

struct worker {
  int64_t seed;
  double since; /* when it began to wait for its operation */
  long done;
};

struct lane {
  MYSQL *my;
  MYSQL_STMT *st;
  struct worker *worker; /* NULL: idle */
  int64_t params[2];
  struct cell cells[MAX_COLUMNS];
  int storing; /* the statement has run, its rows are being read */
  uint32_t events;
};

struct bench;

struct workload {
  const char *name, *sql;
  int workers, lanes, blocking;
  long warm;         /* operations of each worker before the measurement */
  const char *types; /* of the columns: i, d, t, s */
  void (*set)(struct lane *l);
  uint64_t (*weigh)(const struct lane *l);
};

struct bench {
  const struct workload *w;
  int ep, checking;
  struct lane lanes[MAX_LANES];
  struct worker workers[MAX_WORKERS];
  struct worker *queue[MAX_WORKERS];
  int first, waiting;
  long quota;      /* operations of each worker, 0: until the deadline */
  double deadline; /* of CLOCK_MONOTONIC */
  long operations, start_kib;
  uint64_t touched;
  struct measure m;
  struct latency latency;
};

/* ---- statements ---------------------------------------------------------- */

static void bind_column(struct cell *c, char type, MYSQL_BIND *b) {
  memset(b, 0, sizeof *b);
  b->buffer = &c->u;
  b->length = &c->length;
  b->is_null = &c->is_null;
  b->error = &c->error;
  b->buffer_type = type == 'i'   ? MYSQL_TYPE_LONGLONG
                   : type == 'd' ? MYSQL_TYPE_DOUBLE
                   : type == 't' ? MYSQL_TYPE_DATETIME
                                 : MYSQL_TYPE_STRING;
  b->buffer_length = type == 's' ? TEXT_ROOM : 0;
}

static void bind_params(struct lane *l) {
  MYSQL_BIND b[2];
  size_t i;
  memset(b, 0, sizeof b);
  for (i = 0; i < 2; i++) {
    b[i].buffer_type = MYSQL_TYPE_LONGLONG;
    b[i].buffer = &l->params[i];
  }
  if (mysql_stmt_bind_param(l->st, b) != 0)
    die("bind", mysql_stmt_error(l->st));
}

/* The library forgets where columns go when a statement is run again. */
static void bind_columns(struct lane *l, const char *types) {
  MYSQL_BIND b[MAX_COLUMNS];
  size_t i;
  for (i = 0; types[i] != '\0'; i++) bind_column(&l->cells[i], types[i], &b[i]);
  if (mysql_stmt_bind_result(l->st, b) != 0)
    die("bind", mysql_stmt_error(l->st));
}

static void touch_row(struct bench *b, const struct lane *l) {
  const char *type;
  const struct cell *c = l->cells;
  for (type = b->w->types; *type != '\0'; type++, c++)
    if (!c->is_null) b->touched += c->length + (unsigned char)c->u.s[0];
  b->m.rows++;
  if (b->checking) add_check(&b->m, b->w->weigh(l));
}

static void take_rows(struct bench *b, struct lane *l) {
  int rc;
  while ((rc = mysql_stmt_fetch(l->st)) == 0) touch_row(b, l);
  if (rc != MYSQL_NO_DATA) die("fetch", mysql_stmt_error(l->st));
}

/* ---- look-ups and reads -------------------------------------------------- */

static void set_key(struct lane *l) {
  l->params[0] = next_random(&l->worker->seed) % LOOKUP_ROWS + 1;
}

static uint64_t weigh_key(const struct lane *l) {
  return (uint64_t)l->cells[0].u.i + l->cells[1].length;
}

static void set_range(struct lane *l) {
  l->params[0] = next_random(&l->worker->seed) % READ_RANGE + 1;
  l->params[1] = l->params[0] + READ_ROWS - 1;
}

static uint64_t weigh_mixed(const struct lane *l) {
  const struct cell *c = l->cells;
  return (uint64_t)(c[0].u.i + c[1].u.i + (int64_t)(c[2].u.d * 8)) +
         c[3].length + c[4].u.t.second_part + (c[5].is_null ? 0 : c[5].length);
}

/* ---- many workers over a few connections --------------------------------- */

static void line_up(struct bench *b, struct worker *w, double now) {
  w->since = now;
  b->queue[(b->first + b->waiting++) % MAX_WORKERS] = w;
}

static void watch(struct bench *b, struct lane *l, int wants) {
  uint32_t events =
      (wants & MYSQL_WAIT_WRITE) != 0 ? EPOLLIN | EPOLLOUT : EPOLLIN;
  struct epoll_event e = {.events = events, .data = {.ptr = l}};
  if (l->events == events) return;
  if (epoll_ctl(b->ep, l->events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD,
                (int)mysql_get_socket(l->my), &e) != 0)
    die("epoll", "refused");
  l->events = events;
}

static int begin_operation(struct bench *b, struct lane *l) {
  int rc = 0, wants;
  l->worker = b->queue[b->first];
  b->first = (b->first + 1) % MAX_WORKERS;
  b->waiting--;
  l->storing = 0;
  b->w->set(l);
  wants = mysql_stmt_execute_start(&rc, l->st);
  if (wants == 0 && rc != 0) die("execute", mysql_stmt_error(l->st));
  return wants;
}

static int store_rows(struct bench *b, struct lane *l) {
  int rc = 0, wants;
  l->storing = 1;
  bind_columns(l, b->w->types);
  wants = mysql_stmt_store_result_start(&rc, l->st);
  if (wants == 0 && rc != 0) die("store", mysql_stmt_error(l->st));
  return wants;
}

static int go_on(struct lane *l, int ready) {
  int rc = 0, wants;
  wants = l->storing ? mysql_stmt_store_result_cont(&rc, l->st, ready)
                     : mysql_stmt_execute_cont(&rc, l->st, ready);
  if (wants == 0 && rc != 0) die("execute", mysql_stmt_error(l->st));
  return wants;
}

static void end_operation(struct bench *b, struct lane *l) {
  struct worker *w = l->worker;
  double now = clock_seconds(CLOCK_MONOTONIC);
  latency_add(&b->latency, now - w->since);
  b->operations++;
  w->done++;
  l->worker = NULL;
  if (b->quota > 0 ? w->done < b->quota : now < b->deadline) line_up(b, w, now);
}

/* Until the server is waited for, or nobody is. */
static void drive(struct bench *b, struct lane *l, int ready) {
  int wants = 0;
  if (l->worker != NULL) wants = go_on(l, ready);
  for (;;) {
    if (wants != 0) {
      watch(b, l, wants);
      return;
    }
    if (l->worker == NULL) {
      if (b->waiting == 0) return;
      wants = begin_operation(b, l);
    } else if (!l->storing) {
      wants = store_rows(b, l);
    } else {
      take_rows(b, l);
      end_operation(b, l);
    }
  }
}

static int is_busy(const struct bench *b) {
  int i;
  for (i = 0; i < b->w->lanes; i++)
    if (b->lanes[i].worker != NULL) return 1;
  return 0;
}

static void wait_for_all(struct bench *b) {
  struct epoll_event events[MAX_LANES];
  int i, n;
  for (i = 0; i < b->w->lanes; i++) drive(b, &b->lanes[i], 0);
  while (is_busy(b)) {
    n = epoll_wait(b->ep, events, MAX_LANES, -1);
    for (i = 0; i < n; i++) {
      uint32_t e = events[i].events;
      drive(b, events[i].data.ptr,
            ((e & EPOLLIN) != 0 ? MYSQL_WAIT_READ : 0) |
                ((e & EPOLLOUT) != 0 ? MYSQL_WAIT_WRITE : 0));
    }
  }
}

/* One worker, whose calls wait. */
static void block_for_all(struct bench *b) {
  struct lane *l = &b->lanes[0];
  while (b->waiting > 0) {
    l->worker = b->queue[b->first];
    b->first = (b->first + 1) % MAX_WORKERS;
    b->waiting--;
    b->w->set(l);
    if (mysql_stmt_execute(l->st) != 0) die("execute", mysql_stmt_error(l->st));
    bind_columns(l, b->w->types);
    take_rows(b, l);
    end_operation(b, l);
  }
}

static void run_phase(struct bench *b, long quota, double seconds) {
  double now = clock_seconds(CLOCK_MONOTONIC);
  int i;
  b->quota = quota;
  b->deadline = now + seconds;
  b->operations = 0;
  memset(&b->latency, 0, sizeof b->latency);
  for (i = 0; i < b->w->workers; i++) {
    b->workers[i].done = 0;
    line_up(b, &b->workers[i], now);
  }
  if (b->w->blocking)
    block_for_all(b);
  else
    wait_for_all(b);
}

static void run_lanes(struct bench *b, const char *url, double seconds) {
  uint64_t check;
  int i;
  b->ep = epoll_create1(0);
  for (i = 0; i < b->w->workers; i++) b->workers[i].seed = i + 1;
  for (i = 0; i < b->w->lanes; i++) {
    b->lanes[i].my = open_conn(url, !b->w->blocking);
    b->lanes[i].st = prepare(b->lanes[i].my, b->w->sql);
    bind_params(&b->lanes[i]);
  }
  b->start_kib = peak_kib();
  b->checking = 1;
  run_phase(b, b->w->warm, 0);
  check = b->m.check;
  b->checking = 0;
  measure_start(&b->m);
  run_phase(b, 0, seconds);
  measure_stop(&b->m);
  b->m.check = check;
  measure_report_side(&b->m, b->operations, &b->latency, b->start_kib);
  for (i = 0; i < b->w->lanes; i++) {
    mysql_stmt_close(b->lanes[i].st);
    mysql_close(b->lanes[i].my);
  }
  close(b->ep);
}

/* ---- scans and inserts, one connection ----------------------------------- */

static void scan(struct bench *b, struct lane *l, long rows) {
  int64_t sum = 0;
  int rc;
  l->params[0] = rows;
  if (mysql_stmt_execute(l->st) != 0) die("execute", mysql_stmt_error(l->st));
  bind_columns(l, "isd");
  while ((rc = mysql_stmt_fetch(l->st)) == 0) {
    sum += l->cells[0].u.i;
    b->touched += l->cells[1].length + (unsigned char)l->cells[1].u.s[0] +
                  (uint64_t)l->cells[2].u.d;
  }
  if (rc != MYSQL_NO_DATA) die("fetch", mysql_stmt_error(l->st));
  if (sum != (int64_t)rows * (rows + 1) / 2) die("scan", "wrong");
  add_check(&b->m, (uint64_t)sum);
  b->m.rows += rows;
}

struct record {
  int64_t grp;
  double score;
  unsigned long name_length;
  char name[40];
};

static void bind_records(MYSQL_STMT *st, struct record *r) {
  MYSQL_BIND b[3];
  size_t row = sizeof *r;
  memset(b, 0, sizeof b);
  b[0].buffer_type = MYSQL_TYPE_LONGLONG;
  b[0].buffer = &r->grp;
  b[1].buffer_type = MYSQL_TYPE_DOUBLE;
  b[1].buffer = &r->score;
  b[2].buffer_type = MYSQL_TYPE_STRING;
  b[2].buffer = r->name;
  b[2].length = &r->name_length;
  if (mysql_stmt_attr_set(st, STMT_ATTR_ROW_SIZE, &row) != 0 ||
      mysql_stmt_bind_param(st, b) != 0)
    die("bind", mysql_stmt_error(st));
}

static void insert(struct bench *b, struct lane *l, long rows) {
  static struct record records[INSERT_BLOCK];
  unsigned n = 0;
  long i;
  run(l->my, "TRUNCATE fresh");
  run(l->my, "START TRANSACTION");
  for (i = 1; i <= rows; i++) {
    struct record *r = &records[n++];
    r->grp = i % ITEM_GROUPS;
    r->score = (double)i / 8;
    r->name_length =
        (unsigned long)snprintf(r->name, sizeof r->name, "item number %ld", i);
    if (n < INSERT_BLOCK && i < rows) continue;
    if (mysql_stmt_attr_set(l->st, STMT_ATTR_ARRAY_SIZE, &n) != 0)
      die("bind", mysql_stmt_error(l->st));
    bind_records(l->st, records);
    if (mysql_stmt_execute(l->st) != 0) die("execute", mysql_stmt_error(l->st));
    n = 0;
  }
  run(l->my, "COMMIT");
  b->m.rows += rows;
}

/* Warms up with a tenth of the rows. */
static void run_blocks(struct bench *b, const char *url, double seconds,
                       long rows) {
  int inserts = strcmp(b->w->sql, INSERT) == 0;
  struct lane *l = &b->lanes[0];
  uint64_t check;
  double end;
  l->my = open_conn(url, 0);
  l->st = prepare(l->my, b->w->sql);
  if (!inserts) bind_params(l);
  b->start_kib = peak_kib();
  (inserts ? insert : scan)(b, l, rows / 10);
  check = inserts ? value(l->my, CHECK_FRESH_MYSQL) : b->m.check;
  measure_start(&b->m);
  end = b->m.wall + seconds;
  do {
    (inserts ? insert : scan)(b, l, rows);
    b->operations++;
  } while (clock_seconds(CLOCK_MONOTONIC) < end);
  measure_stop(&b->m);
  b->m.check = check % CHECK_MODULUS;
  measure_report_side(&b->m, b->operations, NULL, b->start_kib);
  mysql_stmt_close(l->st);
  mysql_close(l->my);
}

/* ---- all of them --------------------------------------------------------- */

static const struct workload workloads[] = {
    {"mysql-lookup", LOOKUP, 1, 1, 0, 512, "is", set_key, weigh_key},
    {"mysql-lookup-blocking", LOOKUP, 1, 1, 1, 512, "is", set_key, weigh_key},
    {"mysql-read", READ, 1, 1, 0, 8, "iidsts", set_range, weigh_mixed},
    {"mysql-pool", LOOKUP, 64, 8, 0, 20, "is", set_key, weigh_key},
    {"mysql-scan", SCAN, 1, 1, 1, 0, NULL, NULL, NULL},
    {"mysql-insert", INSERT, 1, 1, 1, 0, NULL, NULL, NULL},
};

int main(int argc, char **argv) {
  static struct bench b;
  double seconds;
  size_t i;
  if (argc != 5) die("usage", "side_mysql URL WORKLOAD SECONDS ROWS");
  seconds = strtod(argv[3], NULL);
  for (i = 0; i < sizeof workloads / sizeof workloads[0]; i++) {
    b.w = &workloads[i];
    if (strcmp(argv[2], b.w->name) != 0) continue;
    if (b.w->set != NULL)
      run_lanes(&b, argv[1], seconds);
    else if (strcmp(b.w->name, "mysql-insert") == 0)
      run_blocks(&b, argv[1], seconds, INSERTS);
    else
      run_blocks(&b, argv[1], seconds, strtol(argv[4], NULL, 10));
    return 0;
  }
  die("unknown workload", argv[2]);
}
