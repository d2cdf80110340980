#include "base/process.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

static atomic_long pid; /* 0: not noted yet */

static void note_pid(void) {
  atomic_store_explicit(&pid, (long)getpid(), memory_order_relaxed);
}

static void watch_forks(void) {
  note_pid();
  (void)pthread_atfork(NULL, NULL, note_pid);
}

long prg_pid(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  long p = atomic_load_explicit(&pid, memory_order_relaxed);
  if (p != 0) return p;
  (void)pthread_once(&once, watch_forks);
  return atomic_load_explicit(&pid, memory_order_relaxed);
}
