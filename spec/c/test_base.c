/* mem, clock, buf, arena, error */
#include <time.h>
#include <math.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "check.h"

static void test_mem_fails_the_nth(void) {
  void *p;
  prg_mem_fail_after(2);
  p = prg_alloc(0);
  CHECK(p != NULL);
  CHECK(prg_strdup("x") == NULL);
  prg_free(p);
  p = prg_strdup("x");
  CHECK_STR(p, "x");
  prg_free(p);
  CHECK(prg_mem_fail_after(5) == 0);
  CHECK(prg_mem_fail_after(0) == 5);
  CHECK(prg_strdup(NULL) == NULL);
  CHECK(prg_calloc(SIZE_MAX, 2) == NULL);
}

/* F-56: whoever sets the wall clock moves no deadline. */
static void test_clock_is_monotonic(void) {
  struct timespec t;
  int64_t us, now;
  clock_gettime(CLOCK_MONOTONIC, &t);
  us = (int64_t)t.tv_sec * PRG_SECOND + t.tv_nsec / 1000;
  now = prg_now();
  CHECK(now >= us && now < us + PRG_SECOND);
}

static void test_clock(void) {
  int64_t a = prg_now(), b;
  CHECK(a > 0);
  b = prg_now();
  CHECK(b >= a);
  prg_clock_fake(1000);
  CHECK(prg_clock_is_fake());
  CHECK(prg_now() == 1000);
  CHECK(prg_due_in(1.5) == 1501000);
  CHECK(prg_due_in(0) == 1000);
  CHECK(prg_due_in(-3) == 1000);
  CHECK(prg_due_in(INFINITY) == PRG_NEVER);
  CHECK(prg_due_in(1e300) == PRG_NEVER);
  CHECK(prg_due_in(9.3e12) == PRG_NEVER);
  CHECK(prg_due_in((double)NAN) == PRG_NEVER);
  prg_clock_fake(-1);
  CHECK(!prg_clock_is_fake());
  CHECK(prg_now() >= b);
}

static void test_buf_grows(void) {
  struct prg_buf b;
  char *text;
  prg_buf_init(&b, 0);
  for (int i = 0; i < 1000; i++) prg_buf_addf(&b, "%d,", i);
  prg_buf_addc(&b, 'x');
  prg_buf_add(&b, NULL, 0);
  CHECK(b.len == 3891 && strlen(b.data) == 3891);
  CHECK(strncmp(b.data, "0,1,2,", 6) == 0);
  text = prg_buf_take(&b);
  CHECK(text != NULL && text[3890] == 'x');
  prg_free(text);
  CHECK(b.data == NULL && b.len == 0);
  text = prg_buf_take(&b);
  CHECK_STR(text, "");
  prg_free(text);
  prg_buf_fini(&b);
}

static void test_buf_limit(void) {
  struct prg_buf b;
  prg_buf_init(&b, 4);
  prg_buf_adds(&b, "abcd");
  CHECK(!b.failed);
  CHECK_STR(b.data, "abcd");
  prg_buf_addc(&b, 'e');
  CHECK(b.failed);
  prg_buf_adds(&b, "");
  CHECK(prg_buf_space(&b, 0) == NULL);
  prg_buf_reset(&b);
  CHECK(!b.failed && b.len == 0);
  prg_buf_adds(&b, "xy");
  CHECK_STR(b.data, "xy");
  prg_buf_add(&b, "abc", SIZE_MAX);
  CHECK(b.failed);
  CHECK(prg_buf_take(&b) == NULL);
  CHECK(b.data == NULL);
}

static void test_buf_without_memory(void) {
  for (long n = 1;; n++) {
    struct prg_buf b;
    char *text;
    long left;
    prg_buf_init(&b, 0);
    prg_mem_fail_after(n);
    for (int i = 0; i < 100; i++) prg_buf_addf(&b, "%s", "0123456789");
    text = prg_buf_take(&b);
    left = prg_mem_fail_after(0);
    if (left == 0) CHECK(text == NULL);
    if (left != 0) CHECK(text != NULL && strlen(text) == 1000);
    prg_free(text);
    prg_buf_fini(&b);
    if (left != 0) break;
  }
}

static void test_arena(void) {
  struct prg_arena a;
  char *first, *text;
  prg_arena_init(&a);
  for (size_t i = 0; i < 2000; i++) {
    unsigned char *p = prg_arena_alloc(&a, i);
    REQUIRE(p != NULL);
    CHECK((uintptr_t)p % _Alignof(max_align_t) == 0);
    memset(p, (int)i, i);
  }
  text = prg_arena_dup(&a, "hello", 5);
  CHECK_STR(text, "hello");
  CHECK(prg_arena_alloc(&a, SIZE_MAX) == NULL);
  CHECK(prg_arena_dup(&a, "", SIZE_MAX) == NULL);
  CHECK(a.used >= 2000 * 1999 / 2);
  prg_arena_reset(&a);
  CHECK(a.used == 0);
  first = prg_arena_alloc(&a, 10);
  CHECK(first != NULL && a.used == 16);
  CHECK(prg_arena_alloc(&a, 5000000) != NULL);
  CHECK(prg_arena_alloc(&a, 10) == first + 16);
  prg_arena_fini(&a);
  prg_mem_fail_after(1);
  CHECK(prg_arena_alloc(&a, 1) == NULL);
  prg_arena_fini(&a);
}

static void test_error(void) {
  struct prg_error *e = prg_error_new(PRG_K_UNIQUE, "duplicate %s", "key");
  struct prg_error *outer = prg_error_new(PRG_K_DEADLOCK, "x");
  CHECK_STR(prg_error_message(e), "duplicate key");
  CHECK(!e->retryable && outer->retryable);
  CHECK_STR(prg_kind_name(e->kind), "unique");
  CHECK(prg_error_set(e, PRG_EF_TABLE, "users") == e);
  CHECK_STR(e->field[PRG_EF_TABLE], "users");
  prg_error_set(e, PRG_EF_TABLE, NULL);
  CHECK(e->field[PRG_EF_TABLE] == NULL);
  outer->cause = prg_error_ref(e);
  prg_error_unref(e);
  CHECK_STR(prg_error_message(outer->cause), "duplicate key");
  prg_error_unref(outer);
  prg_error_unref(NULL);
  CHECK_STR(prg_kind_name(PRG_K_MIGRATION), "migration");
  CHECK_STR(prg_kind_name(PRG_K_LOCKED), "locked");
  CHECK_STR(prg_kind_name(PRG_K_ABORTED), "aborted");
  CHECK(prg_kind_retryable(PRG_K_LOCKED));
  CHECK(!prg_kind_retryable(PRG_K_TIMEOUT));
}

static void test_error_chain_is_long(void) {
  struct prg_error *e = NULL;
  for (int i = 0; i < 200000; i++) {
    struct prg_error *outer = prg_error_new(PRG_K_DATABASE, "%d", i);
    outer->cause = e;
    e = outer;
  }
  prg_error_unref(e);
}

static void test_error_without_memory(void) {
  for (long n = 1; n <= 4; n++) {
    struct prg_error *e;
    prg_mem_fail_after(n);
    e = prg_error_new(PRG_K_DATA, "a message");
    prg_error_set(e, PRG_EF_SQL, "select 1");
    prg_mem_fail_after(0);
    if (n <= 2) {
      CHECK(e == prg_error_oom() && e->kind == PRG_K_RESOURCE);
      CHECK_STR(prg_error_message(e), "out of memory");
    } else {
      CHECK(e->kind == PRG_K_DATA);
      CHECK((e->field[PRG_EF_SQL] != NULL) == (n == 4));
    }
    prg_error_unref(e);
  }
  prg_error_unref(prg_error_ref(prg_error_oom()));
  CHECK_STR(prg_error_message(prg_error_oom()), "out of memory");
}

int main(void) {
  RUN(test_mem_fails_the_nth);
  RUN(test_clock);
  RUN(test_clock_is_monotonic);
  RUN(test_buf_grows);
  RUN(test_buf_limit);
  RUN(test_buf_without_memory);
  RUN(test_arena);
  RUN(test_error);
  RUN(test_error_chain_is_long);
  RUN(test_error_without_memory);
  return check_result();
}
