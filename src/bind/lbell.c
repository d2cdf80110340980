/*
** perigee.bell: a descriptor that one waiting task of a foreign loop can wait
** on by itself. For adapters that know no other way to suspend a coroutine than
** to wait for a descriptor, in loops that may allow one waiter for each.
*/
#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "bind/host_int.h"

#define BELL_MT "perigee.bell"

struct bell {
  int fd; /* -1: not open */
};

static const struct bell *check_bell(lua_State *L) {
  return luaL_checkudata(L, 1, BELL_MT);
}

/* core.bell() -> a bell; raises resource */
static int core_bell(lua_State *L) {
  struct bell *b = lua_newuserdatauv(L, sizeof *b, 0);
  b->fd = -1;
  luaL_getmetatable(L, BELL_MT);
  lua_setmetatable(L, -2);
  b->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (b->fd < 0)
    return prg_raise(
        L, prg_error_new(PRG_K_RESOURCE, "no descriptor for a waiting task: %s",
                         errno == EMFILE || errno == ENFILE
                             ? "too many files are open"
                             : "out of memory"));
  return 1;
}

/* bell:fd() -> the descriptor, readable from ring to hush */
static int bell_fd(lua_State *L) {
  lua_pushinteger(L, check_bell(L)->fd);
  return 1;
}

static int bell_ring(lua_State *L) {
  static const uint64_t one = 1;
  /* EAGAIN means a counter at its maximum: readable already. */
  ssize_t n = write(check_bell(L)->fd, &one, sizeof one);
  (void)n;
  return 0;
}

static int bell_hush(lua_State *L) {
  uint64_t count;
  /* EAGAIN means that it has not rung. */
  ssize_t n = read(check_bell(L)->fd, &count, sizeof count);
  (void)n;
  return 0;
}

static int bell__gc(lua_State *L) {
  struct bell *b = luaL_checkudata(L, 1, BELL_MT);
  if (b->fd >= 0) close(b->fd);
  b->fd = -1;
  return 0;
}

static const luaL_Reg bell_methods[] = {
    {"fd", bell_fd}, {"ring", bell_ring}, {"hush", bell_hush}, {NULL, NULL}};

static const luaL_Reg functions[] = {{"bell", core_bell}, {NULL, NULL}};

void prg_bell_open(lua_State *L) {
  luaL_newmetatable(L, BELL_MT);
  lua_pushcfunction(L, bell__gc);
  lua_setfield(L, -2, "__gc");
  lua_createtable(L, 0, 3);
  prg_set_functions(L, bell_methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  prg_set_functions(L, functions);
}
