/* The Lua sources that the program carries in itself; made by
** cmake/embed.lua. */
#ifndef PRG_HOST_EMBED_H
#define PRG_HOST_EMBED_H

#include <stddef.h>

struct prg_embedded {
  const char *name; /* of the module: "perigee.cli.run" */
  const char *file; /* as it is called in tracebacks: "perigee/cli/run.lua" */
  const unsigned char *code;
  size_t len;
};

/* Ends with a NULL name. */
extern const struct prg_embedded prg_embedded_modules[];

#endif
