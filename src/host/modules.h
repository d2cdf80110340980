/* Where the runner and the library find their modules: in themselves, and drivers
** beside them. */
#ifndef PRG_HOST_MODULES_H
#define PRG_HOST_MODULES_H

#include <stdbool.h>

#include <lua.h>

/* Makes perigee.core and the embedded Lua modules known to `require`, ahead of
** what is on the disk, and puts the folders of the driver modules in front of
** package.cpath. With `own_globals` the embedded modules have a copy of the
** globals as they are now: scripts may be left with less. [-0, +0, e] */
void prg_modules_open(lua_State *L, bool own_globals);
/* Makes a module of C known to `require`. [-0, +0, e] */
void prg_modules_preload(lua_State *L, const char *name, lua_CFunction open);

#endif
