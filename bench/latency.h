/* A histogram of latencies, 64 steps for each power of two of nanoseconds: its
** answers are right to within 2 %. For the C programs and for clock.c. */
#ifndef PRG_BENCH_LATENCY_H
#define PRG_BENCH_LATENCY_H

#include <stdint.h>
#include <string.h>

#define LATENCY_STEPS 64
#define LATENCY_SLOW 0.2 /* seconds; who waits longer is counted */

struct latency {
  uint32_t count[40 * LATENCY_STEPS];
  uint64_t n;
  long slow;
  double max; /* seconds */
};

static inline void latency_add(struct latency *h, double seconds) {
  uint64_t ns = seconds > 0 ? (uint64_t)(seconds * 1e9) : 0;
  size_t at = (size_t)ns, last = sizeof h->count / sizeof h->count[0] - 1;
  if (ns >= LATENCY_STEPS) {
    int shift = 63 - __builtin_clzll(ns) - 6;
    at = (size_t)(shift + 1) * LATENCY_STEPS + (ns >> shift) - LATENCY_STEPS;
  }
  h->count[at < last ? at : last]++;
  h->n++;
  if (seconds > h->max) h->max = seconds;
  if (seconds > LATENCY_SLOW) h->slow++;
}

/* The latency in seconds that this share of all does not exceed. */
static inline double latency_at(const struct latency *h, double share) {
  uint64_t want = (uint64_t)(share * (double)h->n), seen = 0;
  size_t i, shift;
  double middle;
  for (i = 0; i < sizeof h->count / sizeof h->count[0]; i++) {
    seen += h->count[i];
    if (seen > want) break;
  }
  if (i < LATENCY_STEPS) return (double)i / 1e9;
  shift = i / LATENCY_STEPS - 1;
  middle = ((double)(i % LATENCY_STEPS) + LATENCY_STEPS + 0.5) *
           (double)(UINT64_C(1) << shift) / 1e9;
  return middle < h->max ? middle : h->max;
}

#endif
