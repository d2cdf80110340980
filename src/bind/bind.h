/* The Lua module "perigee.core". Public header of the binding. */
#ifndef PRG_BIND_BIND_H
#define PRG_BIND_BIND_H

#include <lua.h>

#include "base/status.h"

/* lua_CFunction: pushes the module's table. */
PRG_EXPORT int luaopen_perigee_core(lua_State *L);

/* What the binding knows of one Lua state. */
struct prg_state;

/* The state of L, made by luaopen_perigee_core. [-0, +0, -] */
struct prg_state *prg_state_get(lua_State *L);
/* For the handler of a signal: ends the wait in progress, or the next one, with
** a `cancelled` error; where a loop runs, every task. Returns the coroutine that
** computes instead of waiting, to be stopped by a hook, or NULL. `L` is the main
** thread. */
lua_State *prg_state_interrupt(struct prg_state *G, lua_State *L);
/* Takes back an interrupt that has not reached anything yet. */
void prg_state_calm(struct prg_state *G);

#endif
