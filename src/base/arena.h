/* Bump allocator: everything of one result is freed at once. */
#ifndef PRG_BASE_ARENA_H
#define PRG_BASE_ARENA_H

#include <stddef.h>

struct prg_arena_block;

struct prg_arena {
  struct prg_arena_block *blocks; /* newest first */
  size_t used;                    /* bytes handed out since init or reset */
};

void prg_arena_init(struct prg_arena *a);
/* Frees every block. */
void prg_arena_fini(struct prg_arena *a);
/* Forgets the contents and keeps the newest block for reuse. */
void prg_arena_reset(struct prg_arena *a);
/* `size` bytes aligned for any type, or NULL. Not zeroed. */
void *prg_arena_alloc(struct prg_arena *a, size_t size);
/* A copy of `len` bytes with a zero byte after them, or NULL. */
char *prg_arena_dup(struct prg_arena *a, const void *src, size_t len);

#endif
