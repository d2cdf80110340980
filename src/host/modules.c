/*
** Our own Lua code is linked in, so that it always fits the C code
** around it, whatever else is installed. PERIGEE_LUA_DEV=<folder> takes the
** sources of that folder instead: for working on Perigee without a build.
*/
#include "host/modules.h"

#include <dlfcn.h>
#include <limits.h>
#include <link.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <lauxlib.h>

#include "bind/bind.h"
#include "host/embed.h"

/* ---- Lua modules --------------------------------------------------------- */

static const struct prg_embedded *find_embedded(const char *name) {
  const struct prg_embedded *m;
  for (m = prg_embedded_modules; m->name != NULL; m++)
    if (strcmp(m->name, name) == 0) return m;
  return NULL;
}

/* Pushes the path that the module has in the folder of PERIGEE_LUA_DEV, when it
** is there. [-0, +(0|1), e] */
static bool push_dev_path(lua_State *L, const struct prg_embedded *m) {
  const char *dir = getenv("PERIGEE_LUA_DEV");
  if (dir == NULL || dir[0] == '\0') return false;
  lua_pushfstring(L, "%s/%s", dir, m->file);
  if (access(lua_tostring(L, -1), R_OK) == 0) return true;
  lua_pop(L, 1);
  return false;
}

/* A searcher of `require`: loader and where it is from, or why not. The name of
** an embedded chunk tells tracebacks that it is ours. Its first upvalue is a table
** for the globals of embedded modules, or nil. */
static int search(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  const struct prg_embedded *m = find_embedded(name);
  int status;
  if (m == NULL) {
    lua_pushfstring(L, "no module '%s' in the program", name);
    return 1;
  }
  if (push_dev_path(L, m)) {
    status = luaL_loadfile(L, lua_tostring(L, -1));
  } else {
    lua_pushfstring(L, "@embedded:%s", m->file);
    status = luaL_loadbufferx(L, (const char *)m->code, m->len,
                              lua_tostring(L, -1), "t");
  }
  if (status != LUA_OK) return lua_error(L);
  if (lua_istable(L, lua_upvalueindex(1))) {
    lua_pushvalue(L, lua_upvalueindex(1));
    if (lua_setupvalue(L, -2, 1) == NULL) lua_pop(L, 1);
  }
  lua_insert(L, -2); /* stack: name, chunk, path */
  return 2;
}

/* Pushes a copy of the table at `i`; of tables in it too, when `deep`. */
static void push_copy(lua_State *L, int i, bool deep) {
  lua_newtable(L);
  lua_pushnil(L);
  while (lua_next(L, i) != 0) {
    lua_pushvalue(L, -2);
    if (deep && lua_istable(L, -2) && !lua_rawequal(L, -2, i))
      push_copy(L, lua_absindex(L, -2), false);
    else
      lua_pushvalue(L, -2);
    lua_rawset(L, -5);
    lua_pop(L, 1);
  }
}

/* Pushes globals that scripts cannot change: the libraries as they are now. What
** `require` and searching for modules go by is shared. */
static void push_own_globals(lua_State *L) {
  lua_pushglobaltable(L);
  push_copy(L, lua_absindex(L, -1), true);
  lua_remove(L, -2);
  lua_getglobal(L, "package");
  lua_setfield(L, -2, "package");
  lua_pushvalue(L, -1);
  lua_setfield(L, -2, "_G");
}

/* Right after package.preload. */
static void add_searcher(lua_State *L, int package, bool own_globals) {
  int i;
  lua_getfield(L, package, "searchers");
  for (i = (int)lua_rawlen(L, -1); i >= 2; i--) {
    lua_rawgeti(L, -1, i);
    lua_rawseti(L, -2, i + 1);
  }
  if (own_globals)
    push_own_globals(L);
  else
    lua_pushnil(L);
  lua_pushcclosure(L, search, 1);
  lua_rawseti(L, -2, 2);
  lua_pop(L, 1);
}

void prg_modules_preload(lua_State *L, const char *name, lua_CFunction open) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushcfunction(L, open);
  lua_setfield(L, -2, name);
  lua_pop(L, 1);
}

/* ---- driver modules ------------------------------------------------------ */

/* Pushes the folder that this code was loaded from; true: that is the program, no
** shared library. */
static bool push_own_folder(lua_State *L) {
  char path[PATH_MAX];
  struct link_map *map = NULL;
  Dl_info info;
  bool program;
  ssize_t n;
  char *slash;
  if (dladdr1((void *)prg_modules_open, &info, (void **)&map,
              RTLD_DL_LINKMAP) == 0)
    map = NULL;
  program = map == NULL || map->l_name == NULL || map->l_name[0] == '\0';
  if (program) {
    n = readlink("/proc/self/exe", path, sizeof path - 1);
    path[n > 0 ? n : 0] = '\0';
  } else if (realpath(map->l_name, path) == NULL) {
    path[0] = '\0';
  }
  slash = strrchr(path, '/');
  if (slash != NULL) *slash = '\0';
  lua_pushstring(L, slash != NULL ? path : ".");
  return program;
}

/* In the build folder drivers are in lua/ beside the program; installed, where C
** modules are, as seen from our own folder, so that an installed tree can be moved.
** A program that has the static library in it may be anywhere. */
static void add_driver_folders(lua_State *L, int package) {
  const char *dir =
      push_own_folder(L) ? PERIGEE_CMOD_FROM_BIN : PERIGEE_CMOD_FROM_LIB;
  const char *here = lua_tostring(L, -1);
  lua_pushfstring(L, "%s/lua/?.so;", here);
  if (dir[0] == '/')
    lua_pushfstring(L, "%s/?.so;", dir);
  else
    lua_pushfstring(L, "%s/%s/?.so;", here, dir);
#ifdef PERIGEE_CMOD_DIR
  lua_pushliteral(L, PERIGEE_CMOD_DIR "/?.so;");
#else
  lua_pushliteral(L, "");
#endif
  lua_getfield(L, package, "cpath");
  lua_concat(L, 4);
  lua_setfield(L, package, "cpath");
  lua_pop(L, 1);
}

void prg_modules_open(lua_State *L, bool own_globals) {
  int package;
  prg_modules_preload(L, "perigee.core", luaopen_perigee_core);
  lua_getglobal(L, "package");
  package = lua_gettop(L);
  add_searcher(L, package, own_globals);
  add_driver_folders(L, package);
  lua_pop(L, 1);
}
