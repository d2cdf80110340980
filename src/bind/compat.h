/* What differs between Lua 5.4, 5.3 and LuaJIT (5.1). */
#ifndef PRG_BIND_COMPAT_H
#define PRG_BIND_COMPAT_H

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include <math.h>
#include <stdint.h>
#include <string.h>

#if LUA_VERSION_NUM >= 503
#define PRG_HAVE_YIELDK 1 /* C functions may wait in the middle */
#define PRG_INT64 1       /* a Lua integer holds an int64 */
#else
#define PRG_HAVE_YIELDK 0
#define PRG_INT64 0
#endif

#if LUA_VERSION_NUM >= 504

static inline int prg_resume(lua_State *co, lua_State *from, int nargs,
                             int *nres) {
  return lua_resume(co, from, nargs, nres);
}

#else

static inline int prg_resume(lua_State *co, lua_State *from, int nargs,
                             int *nres) {
#if LUA_VERSION_NUM >= 502
  int status = lua_resume(co, from, nargs);
#else
  int status = lua_resume(co, nargs);
  (void)from;
#endif
  *nres = lua_gettop(co);
  return status;
}

#endif

#if LUA_VERSION_NUM < 504
#define lua_newuserdatauv(L, size, n) lua_newuserdata(L, size)
#if LUA_VERSION_NUM == 503
#define lua_setiuservalue(L, i, n) lua_setuservalue(L, i)
#define lua_getiuservalue(L, i, n) lua_getuservalue(L, i)
#else
#define lua_setiuservalue(L, i, n) lua_setfenv(L, i)
#define lua_getiuservalue(L, i, n) lua_getfenv(L, i)
#endif
#endif

#if LUA_VERSION_NUM < 502
#define lua_rawlen(L, i) lua_objlen(L, i)
#define LUA_OK 0

static inline int lua_absindex(lua_State *L, int i) {
  return i > 0 || i <= LUA_REGISTRYINDEX ? i : lua_gettop(L) + i + 1;
}

static inline void lua_rawgetp(lua_State *L, int i, const void *p) {
  i = lua_absindex(L, i);
  lua_pushlightuserdata(L, (void *)(uintptr_t)p);
  lua_rawget(L, i);
}

static inline void lua_rawsetp(lua_State *L, int i, const void *p) {
  i = lua_absindex(L, i);
  lua_pushlightuserdata(L, (void *)(uintptr_t)p);
  lua_insert(L, -2);
  lua_rawset(L, i);
}

#ifndef LUAJIT_VERSION_NUM
#include <luajit.h>
#endif

#endif

#if LUA_VERSION_NUM < 503
static inline int prg_isinteger(lua_State *L, int i) {
  lua_Number n = lua_tonumber(L, i);
  return lua_type(L, i) == LUA_TNUMBER && n == floor(n) && fabs(n) <= 0x1p53 &&
         !(n == 0 && signbit(n));
}
#else
#define prg_isinteger(L, i) lua_isinteger(L, i)
#endif

#endif
