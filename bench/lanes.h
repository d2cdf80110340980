/* A loop of many workers over a few connections of PostgreSQL, in bare C: each
** worker in turn gets a connection for one operation, one statement of which is
** in flight. Non-blocking calls and epoll. For side_postgres.c. */
#ifndef PRG_BENCH_LANES_H
#define PRG_BENCH_LANES_H

#include "client_postgres.h"

#include <sys/epoll.h>
#include <unistd.h>

#define MAX_WORKERS 64
#define MAX_LANES 10

struct worker {
  int number; /* from 1; 0 is not measured */
  int64_t seed;
  double since; /* when it began to wait for its operation */
  long done;
  int id, value; /* of the running operation */
};

struct lane {
  PGconn *c;
  struct worker *worker; /* NULL: idle */
  int step;
  uint32_t events;
};

struct bench;

struct workload {
  const char *name;
  int workers, lanes;
  int slow;  /* the first worker is number 0, which is not measured */
  long warm; /* operations of each worker before the measurement */
  int steps; /* statements of an operation */
  const char *statements[4];
  void (*send)(struct bench *b, struct lane *l);
  void (*take)(struct bench *b, struct lane *l, const PGresult *r);
  const char *fill, *check; /* SQL before all, and after warming up */
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
  long operations;
  uint64_t touched; /* of all values, so that all are read */
  struct measure m;
  struct latency latency;
};

static inline void watch(struct bench *b, struct lane *l, uint32_t events) {
  struct epoll_event e = {.events = events, .data = {.ptr = l}};
  if (l->events == events) return;
  if (epoll_ctl(b->ep, l->events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD,
                PQsocket(l->c), &e) != 0)
    die("epoll", "refused");
  l->events = events;
}

/* What does not go out at once does when the socket takes it. */
static inline void push_out(struct bench *b, struct lane *l) {
  int left = PQflush(l->c);
  if (left < 0) die("flush", PQerrorMessage(l->c));
  watch(b, l, left == 1 ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static inline void line_up(struct bench *b, struct worker *w, double now) {
  w->since = now;
  b->queue[(b->first + b->waiting++) % MAX_WORKERS] = w;
}

/* Gives the lane to the worker that has waited longest. */
static inline void serve(struct bench *b, struct lane *l) {
  l->worker = NULL;
  if (b->waiting == 0) return;
  l->worker = b->queue[b->first];
  b->first = (b->first + 1) % MAX_WORKERS;
  b->waiting--;
  l->step = 0;
  b->w->send(b, l);
  push_out(b, l);
}

static inline void end_operation(struct bench *b, struct lane *l) {
  struct worker *w = l->worker;
  double now = clock_seconds(CLOCK_MONOTONIC);
  if (w->number > 0) {
    latency_add(&b->latency, now - w->since);
    b->operations++;
  }
  w->done++;
  if (b->quota > 0 ? w->done < b->quota : now < b->deadline) line_up(b, w, now);
  serve(b, l);
}

static inline void advance(struct bench *b, struct lane *l) {
  PGresult *r;
  if (!PQconsumeInput(l->c)) die("read", PQerrorMessage(l->c));
  while (l->worker != NULL && !PQisBusy(l->c)) {
    r = PQgetResult(l->c);
    if (r != NULL) {
      if (PQresultStatus(r) != PGRES_COPY_IN) check_result(l->c, r);
      b->w->take(b, l, r);
      PQclear(r);
    } else if (++l->step < b->w->steps) {
      b->w->send(b, l);
    } else {
      end_operation(b, l);
    }
  }
  push_out(b, l);
}

static inline int is_busy(const struct bench *b) {
  int i;
  for (i = 0; i < b->w->lanes; i++)
    if (b->lanes[i].worker != NULL) return 1;
  return 0;
}

static inline void run_phase(struct bench *b, long quota, double seconds) {
  struct epoll_event events[MAX_LANES];
  double now = clock_seconds(CLOCK_MONOTONIC);
  int i, n;
  b->quota = quota;
  b->deadline = now + seconds;
  b->operations = 0;
  memset(&b->latency, 0, sizeof b->latency);
  for (i = 0; i < b->w->workers; i++) {
    b->workers[i].done = 0;
    line_up(b, &b->workers[i], now);
  }
  for (i = 0; i < b->w->lanes; i++) serve(b, &b->lanes[i]);
  while (is_busy(b)) {
    n = epoll_wait(b->ep, events, MAX_LANES, -1);
    for (i = 0; i < n; i++) advance(b, events[i].data.ptr);
  }
}

static inline void open_lanes(struct bench *b, const char *url) {
  char name[2] = "0";
  int i, j;
  b->ep = epoll_create1(0);
  for (i = 0; i < b->w->lanes; i++) {
    b->lanes[i].c = open_conn(url);
    if (i == 0 && b->w->fill != NULL) run(b->lanes[0].c, b->w->fill);
    for (j = 0; j < 4 && b->w->statements[j] != NULL; j++) {
      name[0] = (char)('0' + j);
      prepare_untyped(b->lanes[i].c, name, b->w->statements[j]);
    }
  }
}

/* Warms up with the operations whose rows all programs compare, then measures. */
static inline void run_workload(const struct workload *w, const char *url,
                                double seconds) {
  static struct bench b;
  uint64_t check;
  long start_kib;
  int i;
  b.w = w;
  open_lanes(&b, url);
  for (i = 0; i < w->workers; i++)
    b.workers[i] = (struct worker){.number = i + 1 - w->slow, .seed = i + 1};
  start_kib = peak_kib();
  b.checking = 1;
  run_phase(&b, w->warm, 0);
  if (w->check != NULL) check_with(b.lanes[0].c, &b.m, w->check);
  check = b.m.check;
  b.checking = 0;
  measure_start(&b.m);
  run_phase(&b, 0, seconds);
  measure_stop(&b.m);
  b.m.check = check;
  measure_report_side(&b.m, b.operations, &b.latency, start_kib);
  for (i = 0; i < w->lanes; i++) PQfinish(b.lanes[i].c);
  close(b.ep);
}

#endif
