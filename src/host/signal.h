/* Ctrl-C. */
#ifndef PRG_HOST_SIGNAL_H
#define PRG_HOST_SIGNAL_H

#include <stdbool.h>

#include <lua.h>

/* From now on SIGINT makes the wait in progress, or the Lua code that runs,
** raise an error. `always` false: once, and the next one ends the program.
** `L` is the main thread of its state. perigee.core must be loaded. */
void prg_signal_catch(lua_State *L, bool always);
/* How many came since the last call. Forgets what they have not reached yet. */
int prg_signal_take(lua_State *L);
/* While `on`, an interrupt is only counted: somebody reads a line. */
void prg_signal_prompting(bool on);
/* Came one that was not taken? */
bool prg_signal_pending(void);

#endif
