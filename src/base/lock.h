/* Locks for the little state that a whole process shares. */
#ifndef PRG_BASE_LOCK_H
#define PRG_BASE_LOCK_H

#include <pthread.h>

typedef pthread_mutex_t prg_lock;

#define PRG_LOCK_INIT PTHREAD_MUTEX_INITIALIZER

static inline void prg_lock_take(prg_lock *l) {
  (void)pthread_mutex_lock(l);
}

static inline void prg_lock_give(prg_lock *l) {
  (void)pthread_mutex_unlock(l);
}

typedef pthread_once_t prg_once;

#define PRG_ONCE_INIT PTHREAD_ONCE_INIT

/* Runs `fn` once per process and `once`; others wait for its end. */
static inline void prg_once_run(prg_once *once, void (*fn)(void)) {
  (void)pthread_once(once, fn);
}

#endif
