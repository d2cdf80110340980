#include "base/arena.h"

#include <stdint.h>
#include <string.h>

#include "base/mem.h"

#define FIRST_BLOCK ((size_t)1000)
#define LAST_BLOCK ((size_t)256000)

struct prg_arena_block {
  struct prg_arena_block *next;
  size_t size; /* of bytes[] */
  size_t used;
  _Alignas(max_align_t) unsigned char bytes[];
};

static size_t aligned(size_t size) {
  const size_t mask = _Alignof(max_align_t) - 1;
  return (size + mask) & ~mask;
}

static struct prg_arena_block *new_block(size_t size) {
  struct prg_arena_block *k;
  if (size > SIZE_MAX - sizeof *k) return NULL;
  k = prg_alloc(sizeof *k + size);
  if (k == NULL) return NULL;
  k->next = NULL;
  k->size = size;
  k->used = 0;
  return k;
}

/* A block with room for `size` bytes. Blocks double, so that an arena of n
** bytes costs log n allocations; what would leave most of a fresh block unused
** gets one of its own behind the newest, whose rest stays usable. */
static struct prg_arena_block *add_block(struct prg_arena *a, size_t size) {
  struct prg_arena_block *head = a->blocks, *k;
  size_t normal = head == NULL ? FIRST_BLOCK : head->size * 2;
  if (normal > LAST_BLOCK) normal = LAST_BLOCK;
  if (head != NULL && size > normal / 2) {
    k = new_block(size);
    if (k == NULL) return NULL;
    k->next = head->next;
    head->next = k;
  } else {
    k = new_block(size > normal ? size : normal);
    if (k == NULL) return NULL;
    k->next = head;
    a->blocks = k;
  }
  return k;
}

static void free_blocks(struct prg_arena_block *k) {
  while (k != NULL) {
    struct prg_arena_block *next = k->next;
    prg_free(k);
    k = next;
  }
}

void prg_arena_init(struct prg_arena *a) {
  a->blocks = NULL;
  a->used = 0;
}

void prg_arena_fini(struct prg_arena *a) {
  free_blocks(a->blocks);
  prg_arena_init(a);
}

void prg_arena_reset(struct prg_arena *a) {
  a->used = 0;
  if (a->blocks == NULL) return;
  free_blocks(a->blocks->next);
  a->blocks->next = NULL;
  a->blocks->used = 0;
}

void *prg_arena_alloc(struct prg_arena *a, size_t size) {
  struct prg_arena_block *k = a->blocks;
  void *at;
  if (size > SIZE_MAX / 2) return NULL;
  size = aligned(size == 0 ? 1 : size);
  if (k == NULL || k->size - k->used < size) k = add_block(a, size);
  if (k == NULL) return NULL;
  at = k->bytes + k->used;
  k->used += size;
  a->used += size;
  return at;
}

char *prg_arena_dup(struct prg_arena *a, const void *src, size_t len) {
  char *copy = len == SIZE_MAX ? NULL : prg_arena_alloc(a, len + 1);
  if (copy == NULL) return NULL;
  if (len > 0) memcpy(copy, src, len);
  copy[len] = '\0';
  return copy;
}
