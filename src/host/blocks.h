/*
** Memory of a Lua state. Lua makes small blocks by the thousand, drops at once all
** that a round of the collector has found, and tells the length of each. So small
** ones come out of pages of one length, without a header, and the one that was
** dropped last is the next to be given. Large ones are malloc's.
*/
#ifndef PRG_HOST_BLOCKS_H
#define PRG_HOST_BLOCKS_H

#include <stddef.h>

enum { PRG_BLOCK_STEP = 16, PRG_BLOCK_MAX = 256 };

struct prg_page;
struct prg_region;

/* Zeroed is empty. Of one thread at a time, as a Lua state is. */
struct prg_blocks {
  /* By length: pages with room, the one in use first. */
  struct prg_page *pages[PRG_BLOCK_MAX / PRG_BLOCK_STEP + 1];
  struct prg_region *regions; /* with empty pages, the one in use first */
  struct prg_region *spare;   /* one of them, all of whose pages are empty */
  size_t nregions;            /* all that there are */
};

/* As a lua_Alloc: `had` is the length of `p`, 0 when that is NULL. */
void *prg_blocks_resize(struct prg_blocks *b, void *p, size_t had,
                        size_t wanted);
/* When all blocks were given back. */
void prg_blocks_fini(struct prg_blocks *b);

#endif
