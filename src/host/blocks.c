#include "host/blocks.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"

/* The sanitizer is to see each block. */
#if defined __SANITIZE_ADDRESS__
#define SMALL ((size_t)0)
#else
#define SMALL ((size_t)PRG_BLOCK_MAX)
#endif

/* Both are also what their addresses are multiples of. */
#define PAGE ((size_t)16384)
#define REGION ((size_t)1 << 20)

struct block {
  struct block *next;
};

struct prg_page {
  struct prg_page *next, *prev; /* of its length with room, or empty */
  struct block *free;           /* blocks that were given back */
  char *fresh;                  /* from here on none was given yet */
  size_t size;                  /* of a block */
  unsigned used;                /* blocks given */
  bool full;                    /* in no list */
  _Alignas(PRG_BLOCK_STEP) char blocks[];
};

/* Pages that come from the system and go back together. It is at the start of the
** first one. */
struct prg_region {
  struct prg_region *next, *prev; /* with empty pages */
  struct prg_page *empty;         /* pages that were given back */
  char *fresh;                    /* from here on none was given yet */
  unsigned used;                  /* pages given */
  bool full;                      /* in no list */
};

/* ---- regions ------------------------------------------------------------- */

static void link_region(struct prg_blocks *b, struct prg_region *r) {
  r->full = false;
  r->prev = NULL;
  r->next = b->regions;
  if (r->next != NULL) r->next->prev = r;
  b->regions = r;
}

static void unlink_region(struct prg_blocks *b, struct prg_region *r) {
  if (r->prev != NULL)
    r->prev->next = r->next;
  else
    b->regions = r->next;
  if (r->next != NULL) r->next->prev = r->prev;
}

static struct prg_region *new_region(struct prg_blocks *b) {
  struct prg_region *r = prg_region_new(REGION);
  if (r == NULL) return NULL;
  memset(r, 0, sizeof *r);
  r->fresh = (char *)r + PAGE;
  b->nregions++;
  link_region(b, r);
  return r;
}

static void free_region(struct prg_blocks *b, struct prg_region *r) {
  unlink_region(b, r);
  b->nregions--;
  prg_region_free(r, REGION);
}

static struct prg_page *take_page(struct prg_blocks *b) {
  struct prg_region *r = b->regions != NULL ? b->regions : new_region(b);
  struct prg_page *g;
  if (r == NULL) return NULL;
  if (r == b->spare) b->spare = NULL;
  g = r->empty;
  if (g != NULL) {
    r->empty = g->next;
  } else {
    g = (struct prg_page *)(void *)r->fresh;
    r->fresh += PAGE;
  }
  r->used++;
  r->full = r->empty == NULL && r->fresh == (char *)r + REGION;
  if (r->full) unlink_region(b, r);
  return g;
}

static void give_page(struct prg_blocks *b, struct prg_page *g) {
  struct prg_region *r =
      (struct prg_region *)(void *)((uintptr_t)g & ~(uintptr_t)(REGION - 1));
  g->next = r->empty;
  r->empty = g;
  if (r->full) link_region(b, r);
  if (--r->used > 0) return;
  if (b->spare == NULL)
    b->spare = r;
  else
    free_region(b, r);
}

/* ---- pages --------------------------------------------------------------- */

static size_t length_of(size_t size) {
  return (size + PRG_BLOCK_STEP - 1) / PRG_BLOCK_STEP;
}

static void link_page(struct prg_blocks *b, struct prg_page *g) {
  struct prg_page **first = &b->pages[g->size / PRG_BLOCK_STEP];
  g->full = false;
  g->prev = NULL;
  g->next = *first;
  if (g->next != NULL) g->next->prev = g;
  *first = g;
}

static void unlink_page(struct prg_blocks *b, struct prg_page *g) {
  if (g->prev != NULL)
    g->prev->next = g->next;
  else
    b->pages[g->size / PRG_BLOCK_STEP] = g->next;
  if (g->next != NULL) g->next->prev = g->prev;
}

static struct prg_page *new_page(struct prg_blocks *b, size_t length) {
  struct prg_page *g = take_page(b);
  if (g == NULL) return NULL;
  g->free = NULL;
  g->fresh = g->blocks;
  g->size = length * PRG_BLOCK_STEP;
  g->used = 0;
  link_page(b, g);
  return g;
}

static bool has_room(const struct prg_page *g) {
  return g->free != NULL || (size_t)((char *)g + PAGE - g->fresh) >= g->size;
}

/* ---- blocks -------------------------------------------------------------- */

static void *take_of(struct prg_page *g) {
  void *p = g->free;
  g->used++;
  if (p != NULL) {
    g->free = g->free->next;
  } else {
    p = g->fresh;
    g->fresh += g->size;
  }
  return p;
}

/* A page is found to be full when it is asked once more. */
static void *take_elsewhere(struct prg_blocks *b, size_t length) {
  struct prg_page *g;
  while ((g = b->pages[length]) != NULL && !has_room(g)) {
    g->full = true;
    unlink_page(b, g);
  }
  if (g == NULL) g = new_page(b, length);
  return g == NULL ? NULL : take_of(g);
}

static inline void *take(struct prg_blocks *b, size_t size) {
  size_t length = length_of(size);
  struct prg_page *g = b->pages[length];
  struct block *k;
  if (g == NULL || g->free == NULL) return take_elsewhere(b, length);
  k = g->free;
  g->free = k->next;
  g->used++;
  return k;
}

static inline void give(struct prg_blocks *b, void *p) {
  struct prg_page *g =
      (struct prg_page *)(void *)((uintptr_t)p & ~(uintptr_t)(PAGE - 1));
  struct block *k = p;
  k->next = g->free;
  g->free = k;
  if (g->full) link_page(b, g);
  /* The only one of its length stays. */
  if (--g->used > 0 || (g->prev == NULL && g->next == NULL)) return;
  unlink_page(b, g);
  give_page(b, g);
}

/* From one length to another, or between pages and malloc. */
static void *move(struct prg_blocks *b, void *p, size_t had, size_t wanted) {
  void *q = wanted <= SMALL ? take(b, wanted) : prg_alloc(wanted);
  if (q == NULL) return NULL;
  memcpy(q, p, had < wanted ? had : wanted);
  if (had <= SMALL)
    give(b, p);
  else
    prg_free(p);
  return q;
}

static void drop(struct prg_blocks *b, void *p, size_t had) {
  if (p == NULL) return;
  if (had <= SMALL)
    give(b, p);
  else
    prg_free(p);
}

void *prg_blocks_resize(struct prg_blocks *b, void *p, size_t had,
                        size_t wanted) {
  if (wanted == 0) {
    drop(b, p, had);
    return NULL;
  }
  if (wanted <= SMALL && prg_mem_refuses()) return NULL;
  if (p == NULL) return wanted <= SMALL ? take(b, wanted) : prg_alloc(wanted);
  if (had > SMALL && wanted > SMALL) return prg_realloc(p, wanted);
  if (had <= SMALL && wanted <= SMALL && length_of(had) == length_of(wanted))
    return p;
  return move(b, p, had, wanted);
}

void prg_blocks_fini(struct prg_blocks *b) {
  for (size_t i = 0; i < sizeof b->pages / sizeof b->pages[0]; i++) {
    if (b->pages[i] != NULL) give_page(b, b->pages[i]);
    b->pages[i] = NULL;
  }
  if (b->spare != NULL) free_region(b, b->spare);
  b->spare = NULL;
}
