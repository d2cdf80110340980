/* The Lua module "perigee.core". Public header of the binding. */
#ifndef PRG_BIND_BIND_H
#define PRG_BIND_BIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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

/* ---- an application's own loop (lembed.c) --------------------------------- */

struct prg_task;

/* What is called around each turn of a task; the owner is NULL for those that
** scripts have spawned, the mark 0 for those that have none. */
struct prg_turns {
  void *data;
  void (*before)(void *data, void *owner, int mark);
  void (*after)(void *data, void *owner); /* not after an error of the loop */
};

/* From now on the tasks of L run in prg_embed_turn alone, and the descriptor is
** readable whenever that has something to do. [-0, +0, -] */
struct prg_state *prg_embed_open(lua_State *L);
int prg_embed_fd(const struct prg_state *G);
/* How many tasks have not ended. */
size_t prg_embed_tasks(const struct prg_state *G);
/* Makes the descriptor readable, or a turn return; safe in handlers of signals
** and in other threads. */
void prg_embed_ring(struct prg_state *G);
/* Starts a task that runs the function and `n` arguments on top, and pushes its
** userdata, which the owner has to anchor. [-(n+1), +1, e] */
struct prg_task *prg_embed_spawn(lua_State *L, int n, void *owner);
bool prg_embed_ended(const struct prg_task *t);
/* [-0, +0, e] */
void prg_embed_cancel_all(lua_State *L);
/* Pushes the first error of a task that nobody has joined, and forgets it; false:
** there is none. [-0, +(0|1), -] */
bool prg_embed_failure(lua_State *L);
/* From now on no metatable with a finalizer is taken from scripts: no hook can end
** what runs in one. */
void prg_embed_tame(struct prg_state *G);
/* Marks the running task; the mark is there in all its further turns. */
void prg_embed_mark(struct prg_state *G, int mark);
/* A key of the registry for something of the running task's; it is emptied when the
** task ends. */
const void *prg_embed_key(const struct prg_state *G);
/* One turn: the hub, waiting at most `wait_us` (not at all while a task can go
** on), then each task that can. False: the hub's descriptor is closed.
** [-0, +0, m] */
bool prg_embed_turn(lua_State *L, const struct prg_turns *turns,
                    int64_t wait_us);

#endif
