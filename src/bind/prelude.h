/* The Lua sources that every sandbox starts with, lua/perigee/sandbox/; made by
** cmake/embed.lua. */
#ifndef PRG_BIND_PRELUDE_H
#define PRG_BIND_PRELUDE_H

#include <stddef.h>

struct prg_prelude {
  const char *name; /* "perigee.sandbox.definitions" */
  const char *file; /* "perigee/sandbox/definitions.lua" */
  const unsigned char *code;
  size_t len;
};

/* Ends with a NULL name. */
extern const struct prg_prelude prg_preludes[];

#endif
