/* The Lua module "perigee.runner": what the command line needs of the system. */
#ifndef PRG_HOST_RUNNER_H
#define PRG_HOST_RUNNER_H

#include <lua.h>

/* A lua_CFunction: pushes the module's table. */
int prg_runner_open(lua_State *L);

#endif
