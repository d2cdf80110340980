/* Where the program finds its modules: in itself, and drivers beside it. */
#ifndef PRG_HOST_MODULES_H
#define PRG_HOST_MODULES_H

#include <lua.h>

/* Makes perigee.core, perigee.runner and the embedded Lua modules known to
** `require`, ahead of what is on the disk, and puts the folders of the driver
** modules in front of package.cpath. [-0, +0, e] */
void prg_modules_open(lua_State *L);

#endif
