/*
** The allocator of Lua states (src/host/blocks.h): blocks keep what is in them while
** others come, go and change their lengths, and all memory goes back.
*/
#include "base/mem.h"
#include "check.h"
#include "host/blocks.h"

#include <stdint.h>
#include <string.h>

#define MANY 20000

struct held {
  unsigned char *p;
  size_t n;
  unsigned char mark;
};

static struct held held[MANY];
static uint32_t state = 1;

static uint32_t number(uint32_t below) {
  state = state * 1664525u + 1013904223u;
  return (state >> 8) % below;
}

/* Mostly as Lua's, around the border to large ones, some large. */
static size_t length(void) {
  uint32_t kind = number(10);
  if (kind < 7) return 1 + number(100);
  return kind < 9 ? PRG_BLOCK_MAX - 20 + number(40) : 1 + number(5000);
}

static void check_held(const struct held *h) {
  for (size_t i = 0; i < h->n; i++) {
    if (h->p[i] == h->mark) continue;
    CHECK(h->p[i] == h->mark);
    return;
  }
}

static void resize(struct prg_blocks *b, struct held *h, size_t n) {
  size_t keep = n < h->n ? n : h->n;
  unsigned char *p;
  check_held(h);
  p = prg_blocks_resize(b, h->p, h->n, n);
  CHECK((p != NULL) == (n > 0));
  CHECK((uintptr_t)p % PRG_BLOCK_STEP == 0);
  for (size_t i = 0; i < keep; i++) CHECK(p[i] == h->mark);
  h->p = p;
  h->n = n;
  h->mark = (unsigned char)number(256);
  if (n > 0) memset(p, h->mark, n);
}

static void drop_all(struct prg_blocks *b) {
  for (size_t i = 0; i < MANY; i++) resize(b, &held[i], 0);
}

static void test_random(void) {
  struct prg_blocks b = {0};
  for (int round = 0; round < 3; round++) {
    for (int i = 0; i < 200000; i++)
      resize(&b, &held[number(MANY)], number(3) == 0 ? 0 : length());
    drop_all(&b);
    CHECK(b.nregions <= 2); /* a page of each length, and a spare region */
  }
  prg_blocks_fini(&b);
  CHECK(b.nregions == 0);
}

/* What is dropped in the order of making and against it is used again. */
static void test_again(void) {
  struct prg_blocks b = {0};
  size_t most = 0;
  for (int round = 0; round < 20; round++) {
    for (size_t i = 0; i < MANY; i++) resize(&b, &held[i], 48);
    if (round == 0) most = b.nregions;
    CHECK(b.nregions <= most + 1);
    for (size_t i = 0; i < MANY; i++)
      resize(&b, &held[round % 2 == 0 ? i : MANY - 1 - i], 0);
  }
  prg_blocks_fini(&b);
  CHECK(b.nregions == 0);
}

static void test_no_memory(void) {
  struct prg_blocks b = {0};
  void *p = prg_blocks_resize(&b, NULL, 0, 40), *q;
  (void)prg_mem_fail_after(1);
  CHECK(prg_blocks_resize(&b, NULL, 0, 40) == NULL);
  (void)prg_mem_fail_after(1);
  CHECK(prg_blocks_resize(&b, p, 40, 4000) == NULL); /* p is still there */
  (void)prg_mem_fail_after(0);
  q = prg_blocks_resize(&b, p, 40, 4000);
  CHECK(q != NULL);
  CHECK(prg_blocks_resize(&b, q, 4000, 0) == NULL);
  CHECK(prg_blocks_resize(&b, NULL, 0, 0) == NULL);
  prg_blocks_fini(&b);
  CHECK(b.nregions == 0);
}

int main(void) {
  RUN(test_random);
  RUN(test_again);
  RUN(test_no_memory);
  return check_result();
}
