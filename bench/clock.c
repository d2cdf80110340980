/* require "clock": the clocks, a histogram of latencies and the peak of memory,
** which Lua lacks, and the counters of valgrind. The same source for Lua 5.4 and
** LuaJIT. */
#include "latency.h"

#include <lauxlib.h>
#include <lua.h>
#include <sys/resource.h>
#include <time.h>

#if defined __has_include
#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#endif
#endif

static struct latency laps;

static double seconds(clockid_t id) {
  struct timespec t;
  clock_gettime(id, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int wall(lua_State *L) {
  lua_pushnumber(L, seconds(CLOCK_MONOTONIC));
  return 1;
}

/* Of the process, with all its threads. */
static int cpu(lua_State *L) {
  lua_pushnumber(L, seconds(CLOCK_PROCESS_CPUTIME_ID));
  return 1;
}

static int peak_kib(lua_State *L) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  lua_pushnumber(L, (double)usage.ru_maxrss);
  return 1;
}

/* lap(since): notes what has passed; the time. */
static int lap(lua_State *L) {
  double now = seconds(CLOCK_MONOTONIC);
  latency_add(&laps, now - lua_tonumber(L, 1));
  lua_pushnumber(L, now);
  return 1;
}

static int forget(lua_State *L) {
  (void)L;
  memset(&laps, 0, sizeof laps);
  return 0;
}

/* latencies(): median, 99 %, 99.9 %, the longest; how many were slow. */
static int latencies(lua_State *L) {
  lua_pushnumber(L, latency_at(&laps, 0.5));
  lua_pushnumber(L, latency_at(&laps, 0.99));
  lua_pushnumber(L, latency_at(&laps, 0.999));
  lua_pushnumber(L, laps.max);
  lua_pushnumber(L, (double)laps.slow);
  return 5;
}

/* dump(name): under callgrind, writes what was counted since the last dump. */
static int dump(lua_State *L) {
#ifdef CALLGRIND_DUMP_STATS_AT
  CALLGRIND_DUMP_STATS_AT(luaL_checkstring(L, 1));
  return 0;
#else
  return luaL_error(L, "built without valgrind's headers");
#endif
}

int luaopen_clock(lua_State *L);

int luaopen_clock(lua_State *L) {
  static const struct {
    const char *name;
    lua_CFunction fn;
  } functions[] = {
      {"wall", wall},         {"cpu", cpu},       {"lap", lap},
      {"peak_kib", peak_kib}, {"forget", forget}, {"latencies", latencies},
      {"dump", dump},
  };
  size_t i;
  lua_createtable(L, 0, 8);
  for (i = 0; i < sizeof functions / sizeof functions[0]; i++) {
    lua_pushcfunction(L, functions[i].fn);
    lua_setfield(L, -2, functions[i].name);
  }
  return 1;
}
