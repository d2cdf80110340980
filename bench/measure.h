/* What every C program here needs: clocks, the sequence of keys, the weight of
** a row and the line that tells the result. measure.lua is the same in Lua. */
#ifndef PRG_BENCH_MEASURE_H
#define PRG_BENCH_MEASURE_H

#include "latency.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define LOOKUP_ROWS 10000
#define LOOKUP_WORKERS 64
#define LOOKUP_CONNS 8
#define READ_ROWS 1000
#define READ_RANGE 900000 /* reads begin at ids 1 to this */
#define WARM_LOOKUPS 500
#define WARM_READS 5
#define CHECK_MODULUS UINT64_C(1000000007)
#define ITEM_GROUPS 2000
#define PAGE_ROWS 50
#define PAGE_DEPTH 1000000
/* What the writing workloads have to leave behind. */
#define CHECK_FRESH                                                        \
  "SELECT CAST(count(*) + 3 * sum(grp) + 7 * sum(length(name)) AS bigint)" \
  " FROM fresh"
#define CHECK_COUNTERS "SELECT CAST(sum(n * (id % 7)) AS bigint) FROM counters"

struct measure {
  double wall, cpu; /* at the start; at the end: what was used */
  uint64_t check;   /* of what was read; the Lua programs get the same */
  long rows;
};

static inline double clock_seconds(clockid_t id) {
  struct timespec t;
  clock_gettime(id, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static inline void measure_start(struct measure *m) {
  memset(m, 0, sizeof *m);
  m->cpu = clock_seconds(CLOCK_PROCESS_CPUTIME_ID);
  m->wall = clock_seconds(CLOCK_MONOTONIC);
}

static inline void measure_stop(struct measure *m) {
  m->wall = clock_seconds(CLOCK_MONOTONIC) - m->wall;
  m->cpu = clock_seconds(CLOCK_PROCESS_CPUTIME_ID) - m->cpu;
}

static inline long peak_kib(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

/* One line of JSON, as measure.lua prints it. */
static inline void measure_report(const struct measure *m, long operations) {
  printf(
      "{\"operations\":%ld,\"rows\":%ld,\"wall\":%.6f,\"cpu\":%.6f,"
      "\"check\":%" PRIu64 ",\"peak_kib\":%ld}\n",
      operations, m->rows, m->wall, m->cpu, m->check, peak_kib());
}

/* The same with latencies (NULL: there are none) and the peak of memory that
** there was at the start. */
static inline void measure_report_side(const struct measure *m, long operations,
                                       const struct latency *h,
                                       long start_kib) {
  printf(
      "{\"operations\":%ld,\"rows\":%ld,\"wall\":%.6f,\"cpu\":%.6f,"
      "\"check\":%" PRIu64 ",\"peak_kib\":%ld,\"start_kib\":%ld",
      operations, m->rows, m->wall, m->cpu, m->check, peak_kib(), start_kib);
  if (h != NULL)
    printf(
        ",\"p50\":%.9f,\"p99\":%.9f,\"p999\":%.9f,\"longest\":%.9f,"
        "\"slow\":%ld",
        latency_at(h, 0.5), latency_at(h, 0.99), latency_at(h, 0.999), h->max,
        h->slow);
  printf("}\n");
}

/* Park and Miller's generator: exact in a double, so Lua has the same keys. */
static inline int64_t next_random(int64_t *state) {
  *state = *state * 16807 % 2147483647;
  return *state;
}

static inline void add_check(struct measure *m, uint64_t weight) {
  m->check = (m->check + weight) % CHECK_MODULUS;
}

/* Texts here have two bytes at least. */
static inline uint64_t weigh_text(const char *p, size_t n) {
  const unsigned char *s = (const unsigned char *)p;
  return n + s[0] + UINT64_C(7) * s[n - 2] + s[n - 1];
}

static inline void die(const char *what, const char *why) {
  fprintf(stderr, "%s: %s\n", what, why);
  exit(1);
}

#endif
