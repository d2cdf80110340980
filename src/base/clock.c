#include "base/clock.h"

#include <stdatomic.h>
#include <time.h>

#define REAL_CLOCK INT64_C(-1)

/* Atomic because worker threads read the clock too. */
static _Atomic int64_t fake_now = REAL_CLOCK;

int64_t prg_now(void) {
  struct timespec ts;
  int64_t fake = atomic_load_explicit(&fake_now, memory_order_relaxed);
  if (fake >= 0) return fake;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return (int64_t)ts.tv_sec * PRG_SECOND + ts.tv_nsec / 1000;
}

int64_t prg_due_in(double seconds) {
  int64_t now = prg_now();
  double us = seconds * 1e6;
  if (seconds <= 0) return now;
  /* Not a number is neither: it fails this comparison and never comes due. */
  if (!(us < (double)(PRG_NEVER - now))) return PRG_NEVER;
  return now + (int64_t)us;
}

void prg_clock_fake(int64_t now) {
  atomic_store_explicit(&fake_now, now < 0 ? REAL_CLOCK : now,
                        memory_order_relaxed);
}

bool prg_clock_is_fake(void) {
  return atomic_load_explicit(&fake_now, memory_order_relaxed) >= 0;
}
