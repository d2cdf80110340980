/* Lines from a terminal. */
#ifndef PRG_HOST_LINE_H
#define PRG_HOST_LINE_H

#include <lua.h>

/* Adds read_line, add_history, open_history and editing to the table on top.
** [-0, +0, e] */
void prg_line_open(lua_State *L);

#endif
