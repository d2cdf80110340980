/*
** Shapes: what all results of one description share. A shape is a Lua table,
** made once and kept with the handle:
**
**   [1] … [n]  the names of the columns
**   [n + 1]    a function that makes a record (LuaJIT, once there was a list)
**   [n + 2]    one that makes a block of them (LuaJIT)
**   [0]        true when a name is there twice
**   meta       the metatable of row lists
*/
#ifndef PRG_BIND_SHAPE_INT_H
#define PRG_BIND_SHAPE_INT_H

#include "bind/bind_int.h"

/* Forgets the handle's shapes; their table must be there. [-0, +0, m] */
void prg_shapes_start(lua_State *L, struct prg_db *db);
/* Lets those go that are at hand besides the table. [-0, +0, -] */
void prg_shapes_forget(lua_State *L, struct prg_db *db);
/* Pushes the shape of a description. [-0, +1, m] */
void prg_push_shape(lua_State *L, struct prg_db *db, const struct prg_desc *d);
/* Has the shape at `i` a name twice? [-0, +0, -] */
bool prg_shape_twins(lua_State *L, int i);
/* Pushes what makes records of the shape at `i`: a function that takes a row's
** values, nil for NULL. When there is none: pushes nothing and says false.
** [-0, +0|1, m] */
bool prg_push_maker(lua_State *L, int i, const struct prg_desc *d);
/* The same for a function(list, k, …) that takes the values of so many rows and puts
** their records into the list from [k] on. There is none where that does not pay, as
** in the first list of a description unless that is long: `nrows`. [-0, +0|1, m] */
enum { PRG_BLOCK_ROWS = 8 };
bool prg_push_block_maker(lua_State *L, int i, const struct prg_desc *d,
                          size_t nrows);
/* Pushes a metatable for row lists with the names at `names`. [-0, +1, m] */
void prg_push_rows_meta(lua_State *L, int names);

/* core.set_rows_meta */
int prg_shape_open(lua_State *L);

#endif
