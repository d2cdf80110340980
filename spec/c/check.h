/*
** A tiny harness. A test program is a list of functions:
**
**   static void test_it(void) { CHECK(1 + 1 == 2); }
**   int main(void) { RUN(test_it); return check_result(); }
**
** A failed check is printed and counted, and the test goes on; REQUIRE leaves the
** function, for what would crash otherwise.
*/
#ifndef PRG_SPEC_CHECK_H
#define PRG_SPEC_CHECK_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int check_failures, check_count;

static inline bool check_that(bool ok, const char *text, const char *file,
                              int line) {
  check_count++;
  if (!ok) {
    check_failures++;
    fprintf(stderr, "%s:%d: failed: %s\n", file, line, text);
  }
  return ok;
}

static inline bool check_same_text(const char *got, const char *want,
                                   const char *file, int line) {
  bool ok = got == NULL || want == NULL ? got == want : !strcmp(got, want);
  check_that(ok, "texts differ", file, line);
  if (!ok) {
    fprintf(stderr, "  got:  %s\n  want: %s\n", got == NULL ? "(NULL)" : got,
            want == NULL ? "(NULL)" : want);
  }
  return ok;
}

#define CHECK(cond) check_that((cond), #cond, __FILE__, __LINE__)
#define CHECK_STR(got, want) check_same_text(got, want, __FILE__, __LINE__)
#define REQUIRE(cond)         \
  do {                        \
    if (!CHECK(cond)) return; \
  } while (0)

#define RUN(test)                            \
  do {                                       \
    int before_ = check_failures;            \
    test();                                  \
    if (check_failures != before_) {         \
      fprintf(stderr, "FAILED %s\n", #test); \
    }                                        \
  } while (0)

static inline int check_result(void) {
  printf("%d checks, %d failed\n", check_count, check_failures);
  return check_failures == 0 ? 0 : 1;
}

/* Random tests print their seed; PERIGEE_SEED repeats one. */
static inline unsigned long check_seed(void) {
  const char *given = getenv("PERIGEE_SEED");
  unsigned long seed = given != NULL ? strtoul(given, NULL, 0)
                                     : (unsigned long)time(NULL) * 1000003UL +
                                           (unsigned long)getpid();
  printf("seed %lu\n", seed);
  fflush(stdout);
  return seed;
}

/* How often a random test repeats: ten times more with PERIGEE_SOAK=1. */
static inline long check_rounds(long normal) {
  const char *soak = getenv("PERIGEE_SOAK");
  return soak != NULL && strcmp(soak, "1") == 0 ? normal * 10 : normal;
}

static inline unsigned check_random(unsigned long *state, unsigned below) {
  *state = *state * 6364136223846793005UL + 1442695040888963407UL;
  return (unsigned)(*state >> 33) % below;
}

#endif
