/* require "clock": the clocks and the peak of memory, which Lua lacks. The same
** source for Lua 5.4 and LuaJIT. */
#include <lauxlib.h>
#include <lua.h>
#include <sys/resource.h>
#include <time.h>

static int push_clock(lua_State *L, clockid_t id) {
  struct timespec t;
  clock_gettime(id, &t);
  lua_pushnumber(L, (double)t.tv_sec + (double)t.tv_nsec / 1e9);
  return 1;
}

static int wall(lua_State *L) {
  return push_clock(L, CLOCK_MONOTONIC);
}

/* Of the process, with all its threads. */
static int cpu(lua_State *L) {
  return push_clock(L, CLOCK_PROCESS_CPUTIME_ID);
}

static int peak_kib(lua_State *L) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  lua_pushnumber(L, (double)usage.ru_maxrss);
  return 1;
}

int luaopen_clock(lua_State *L);

int luaopen_clock(lua_State *L) {
  lua_createtable(L, 0, 3);
  lua_pushcfunction(L, wall);
  lua_setfield(L, -2, "wall");
  lua_pushcfunction(L, cpu);
  lua_setfield(L, -2, "cpu");
  lua_pushcfunction(L, peak_kib);
  lua_setfield(L, -2, "peak_kib");
  return 1;
}
