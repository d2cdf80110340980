/*
** Is it the right Lua that loads us, and are we the only Perigee of the process?
** A module for another Lua mostly cannot be loaded at all, for want of functions
** (lua/perigee/load.lua explains that), but where a process has several Luas it
** finds some of each. Nothing of Lua may be called before this is known.
*/
#include "bind/bind_int.h"

#include <dlfcn.h>

/* A function that no other version of Lua has. */
#if LUA_VERSION_NUM >= 504
#define OWN_FUNCTION "lua_newuserdatauv"
#define OWN_NAME LUA_VERSION
#elif LUA_VERSION_NUM >= 502
#define OWN_FUNCTION "lua_setuservalue"
#define OWN_NAME LUA_VERSION
#else
#define OWN_FUNCTION "lua_objlen"
#define OWN_NAME "LuaJIT"
#endif

typedef int (*error_function)(lua_State *L, const char *fmt, ...);

/* The file that `address` is in. */
static bool find_file(void *address, Dl_info *info) {
  return address != NULL && dladdr(address, info) != 0 &&
         info->dli_fname != NULL;
}

/* By the luaL_error of the Lua that called: it is the same in all of them. */
static void refuse_caller(lua_State *L, const Dl_info *caller) {
  void *so = dlopen(caller->dli_fname, RTLD_LAZY | RTLD_NOLOAD);
  error_function fail;
  /* A pointer to data is one to a function in POSIX, not in C. */
  *(void **)&fail = dlsym(so != NULL ? so : RTLD_DEFAULT, "luaL_error");
  if (fail != NULL)
    fail(L,
         "%s was built for %s, but another Lua (%s) has loaded it: correct "
         "package.cpath",
         prg_driver_own_copy(), OWN_NAME, caller->dli_fname);
}

/* A program that contains the Lua library may show its functions as its own. */
static void check_lua(lua_State *L, void *caller) {
  Dl_info by, bound, ours;
  if (!find_file(caller, &by) ||
      !find_file(dlsym(RTLD_DEFAULT, OWN_FUNCTION), &bound) ||
      !find_file((void *)prg_load_check, &ours))
    return;
  if (by.dli_fbase != bound.dli_fbase && bound.dli_fbase != ours.dli_fbase)
    refuse_caller(L, &by);
}

void prg_load_check(lua_State *L, void *caller) {
  const char *other;
  check_lua(L, caller);
  other = prg_driver_other_copy();
  if (other != NULL)
    luaL_error(L,
               "perigee: two copies of Perigee are in this process, %s and %s: "
               "correct package.cpath so that one is found",
               other, prg_driver_own_copy());
}

void prg_load_open(lua_State *L) {
  lua_pushliteral(L, PERIGEE_VERSION);
  lua_setfield(L, -2, "version");
}
