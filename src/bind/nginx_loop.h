/*
** What is used of nginx and ngx_lua: the loop, in which the hub's descriptor is
** watched, and the functions of ngx_lua. All of it is looked up by name at run time:
** in other programs nothing is found. docs/internals/nginx.md has the picture.
*/
#ifndef PRG_BIND_NGINX_LOOP_H
#define PRG_BIND_NGINX_LOOP_H

#include <stdbool.h>
#include <stddef.h>

#include "bind/nginx_abi.h"

struct lua_State;

/* Functions of ngx_lua, for the subsystem http or stream. All there, or none. */
struct prg_ngx {
  void *(*get_request)(struct lua_State *L); /* NULL where none runs */
  /* A number with one bit set; negative when the request has none. NULL in
  ** stream: ngx.get_phase tells a name. */
  int (*get_phase)(void *request, char **err);
  /* What ngx_lua keeps of a coroutine; NULL in old LuaJITs. */
  struct abi_thread *(*get_thread)(struct lua_State *L);
  int (*sema_new)(void **sem, int n, char **err);
  int (*sema_post)(void *sem, int n);
  /* Takes one without waiting when the time is 0. */
  int (*sema_wait)(void *request, void *sem, int ms, unsigned char *err,
                   size_t *len);
  int (*sema_count)(void *sem); /* what is left less who waits */
  void (*sema_gc)(void *sem);
  struct abi_cleanup *(*cleanup_add)(void *request, size_t size);
  struct abi_cycle **cycle;
  bool found;
  const char *missing; /* the first that was not found */
};

/* Found once in a process. */
const struct prg_ngx *prg_ngx_get(bool stream);

/* Takes a coroutine out of what it waits in, if it does. */
void prg_ngx_clean_up(const struct prg_ngx *n, struct abi_thread *t);

/* A descriptor in nginx's own loop; zeroed is "not watched". */
struct prg_ngx_watch {
  struct abi_connection *conn; /* nginx's, with a duplicate of the descriptor */
  long pid;                    /* of the worker */
  void (*fn)(void *arg);       /* set by the user; runs in the loop, no Lua */
  void *arg;                   /* set by the user */
};

enum prg_ngx_answer {
  PRG_NGX_WATCHED,
  PRG_NGX_REFUSED, /* it is not nginx as we know it, for good */
  PRG_NGX_FULL     /* no connection, or no descriptor, is free now */
};

/* Starts to watch when nginx is as we know it. `why` says why not. */
enum prg_ngx_answer prg_ngx_watch(struct prg_ngx_watch *w, int fd, char *why,
                                  size_t size);
/* Before the descriptor is closed. Not watched is fine; in a forked child the
** parent's watch is left alone. */
void prg_ngx_unwatch(struct prg_ngx_watch *w);
/* "1.22.1", or "" where there is no nginx. */
void prg_ngx_version(char *out, size_t size);

#endif
