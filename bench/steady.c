/* For LD_PRELOAD: a clock that goes on by a microsecond each time it is asked, so that
** what a program does does not depend on how fast it runs; and no chance, so that seeds
** of hashes and of LuaJIT's compiler are always the same. The clock begins far in the
** future, so that no timer of the system comes to an end. */
#include <stdint.h>
#include <string.h>
#include <sys/random.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define START 4000000000
#define STEPS 1000000 /* in a second */

static int64_t steps;

int clock_gettime(clockid_t id, struct timespec *t) {
  (void)id;
  steps++;
  t->tv_sec = (time_t)(START + steps / STEPS);
  t->tv_nsec = steps % STEPS * (1000000000 / STEPS);
  return 0;
}

/* Lua 5.4 makes its seed of this, too. */
time_t time(time_t *t) {
  if (t != NULL) *t = START;
  return START;
}

int getentropy(void *bytes, size_t n) {
  memset(bytes, 1, n);
  return 0;
}

ssize_t getrandom(void *bytes, size_t n, unsigned flags) {
  (void)flags;
  memset(bytes, 1, n);
  return (ssize_t)n;
}
