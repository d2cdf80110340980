/*
** Hosts: other people's loops in whose coroutines calls are made. A host
** suspends and resumes tasks (park, wake) and watches the hub's descriptor; it
** is a table of Lua functions (lua/perigee/host/) or, for nginx, of C functions.
** docs/internals/hosts.md has the picture.
*/
#ifndef PRG_BIND_HOST_INT_H
#define PRG_BIND_HOST_INT_H

#include "bind/bind_int.h"

enum prg_host_fn {
  PRG_HOST_RUNNING, /* (fixed) -> true when the caller can be suspended, or nil */
  PRG_HOST_NEW,     /* () -> the token of a new task */
  PRG_HOST_PARK,    /* (token): suspends; LuaJIT: called by wait.lua */
  PRG_HOST_WAKE,    /* (token) */
  PRG_HOST_FNS
};

/* Where the caller is. */
enum prg_host_answer { PRG_HOST_NO, PRG_HOST_TASK };

/* A host. Lives as long as the Lua state. */
struct prg_host {
  struct prg_link link; /* in the state's list */
  const char *name;     /* "cqueues" */
  int fn[PRG_HOST_FNS]; /* registry: Lua functions; LUA_NOREF: in C, below */
  bool sticky;          /* a coroutine that is a task once stays one */
  /* In C; NULL for a host in Lua. */
  /* Where the caller is; raises usage where a loop runs and cannot be waited in.
  ** `t` is the task that its coroutine has had, or NULL: the host may end it, when
  ** the coroutine is used for something else now. [-0, +0, e] */
  enum prg_host_answer (*enter)(lua_State *L, struct prg_host *h,
                                struct prg_task *t);
  /* Fills in t->wakeup of a new task, and pushes its token. [-0, +1, e] */
  void (*make)(lua_State *L, struct prg_host *h, struct prg_task *t);
  /* The task begins, or its coroutine is used again after prg_host_end_task.
  ** [-0, +0, e] */
  void (*begin)(lua_State *L, struct prg_host *h, struct prg_task *t);
  /* Ends the park of a task, at once or soon. No Lua. */
  void (*wake)(struct prg_host *h, struct prg_task *t);
  /* Frees t->wakeup. No Lua. */
  void (*fini)(struct prg_host *h, struct prg_task *t);
  /* The Lua state is being closed, or the hub replaced in a forked child: it
  ** must not be watched any more. No Lua. */
  void (*leave)(struct prg_host *h);
};

/* Adds a host to the state of L; `h` stays the caller's. */
void prg_host_add(struct prg_state *G, struct prg_host *h);
/* The task of the running coroutine in the host that runs it, or NULL when none
** does. Raises usage where it runs but cannot be waited in. [-0, +0, e] */
struct prg_task *prg_host_task(lua_State *L, struct prg_state *G);
/* Its task if it has made one before, without asking the host. [-0, +0, -] */
struct prg_task *prg_host_known(lua_State *L);
/* A parked task of a host is to be woken: by a host in C at once, else in the
** next turn. No Lua. */
void prg_host_wake(struct prg_task *t);
/* The same, but not before the next turn. */
void prg_host_wake_later(struct prg_task *t);
/* A turn of a host in C, when the hub's descriptor is readable: runs the hub and
** wakes. No Lua. */
void prg_host_turn(struct prg_state *G);
/* Tasks of ours can go on, and a host's loop may be the only one that runs: it
** is to have a turn. No Lua. */
void prg_host_kick(struct prg_state *G);
/* The hub was run outside of a turn, which has taken what its host was to see: who
** is woken and waits for a turn shall have one. No Lua. */
void prg_host_ring_again(struct prg_state *G);
/* The coroutine of `t` is over: its operation is dropped, what it holds goes
** back, those who join it are told. No Lua. */
void prg_host_end_task(struct prg_task *t);
/* Drops what is the host's of a task that the collector has found. */
void prg_host_fini_task(lua_State *L, struct prg_task *t);
/* Pushes the park function of t's host and its token. [-0, +2, -] */
void prg_host_push_park(lua_State *L, const struct prg_task *t);
void prg_host_open(lua_State *L);  /* adds its functions to the table on top */
void prg_bell_open(lua_State *L);  /* the same (lbell.c) */
void prg_nginx_open(lua_State *L); /* the same (lnginx.c) */

#endif
