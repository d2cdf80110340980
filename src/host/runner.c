#include "host/runner.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <lauxlib.h>

#include "base/clock.h"
#include "host/line.h"
#include "host/signal.h"

/* runner.isatty(fd) */
static int runner_isatty(lua_State *L) {
  lua_pushboolean(L, isatty((int)luaL_checkinteger(L, 1)));
  return 1;
}

/* runner.now() -> seconds that only grow */
static int runner_now(lua_State *L) {
  lua_pushnumber(L, (lua_Number)prg_now() / 1e6);
  return 1;
}

/* runner.flush() -> has standard output taken everything so far? print() flushes
** for itself and tells nobody. */
static int runner_flush(lua_State *L) {
  bool taken = fflush(stdout) == 0 && !ferror(stdout);
  lua_pushboolean(L, taken);
  return 1;
}

/* runner.mkdir(path): one folder, for its owner alone; true when it is there */
static int runner_mkdir(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  lua_pushboolean(L, mkdir(path, 0700) == 0 || errno == EEXIST);
  return 1;
}

/* runner.catch_interrupts(always): SIGINT ends what runs; `always` false: the
** second one ends the program */
static int runner_catch_interrupts(lua_State *L) {
  prg_signal_catch(L, lua_toboolean(L, 1));
  return 0;
}

/* runner.interrupts() -> how many there were since the last call */
static int runner_interrupts(lua_State *L) {
  lua_pushinteger(L, prg_signal_take(L));
  return 1;
}

static const luaL_Reg functions[] = {
    {"isatty", runner_isatty},
    {"now", runner_now},
    {"flush", runner_flush},
    {"mkdir", runner_mkdir},
    {"catch_interrupts", runner_catch_interrupts},
    {"interrupts", runner_interrupts},
    {NULL, NULL}};

int prg_runner_open(lua_State *L) {
  luaL_newlib(L, functions);
  prg_line_open(L);
  lua_pushliteral(L, PERIGEE_VERSION);
  lua_setfield(L, -2, "version");
  return 1;
}
