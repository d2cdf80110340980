/*
** The program's own Lua code is linked in, so that it always fits the C code
** around it, whatever else is installed. PERIGEE_LUA_DEV=<folder> takes the
** sources of that folder instead: for working on Perigee without a build.
*/
#include "host/modules.h"

#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <lauxlib.h>

#include "bind/bind.h"
#include "host/embed.h"
#include "host/runner.h"

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
** an embedded chunk tells tracebacks that it is ours. */
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
  lua_insert(L, -2); /* stack: name, chunk, path */
  return 2;
}

/* Right after package.preload. */
static void add_searcher(lua_State *L, int package) {
  int i;
  lua_getfield(L, package, "searchers");
  for (i = (int)lua_rawlen(L, -1); i >= 2; i--) {
    lua_rawgeti(L, -1, i);
    lua_rawseti(L, -2, i + 1);
  }
  lua_pushcfunction(L, search);
  lua_rawseti(L, -2, 2);
  lua_pop(L, 1);
}

static void preload(lua_State *L, const char *name, lua_CFunction open) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushcfunction(L, open);
  lua_setfield(L, -2, name);
  lua_pop(L, 1);
}

/* ---- driver modules ------------------------------------------------------ */

/* Pushes the folder that the program is in, "." when that is unknown. */
static const char *push_program_folder(lua_State *L) {
  char path[PATH_MAX];
  ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
  char *slash;
  path[n > 0 ? n : 0] = '\0';
  slash = strrchr(path, '/');
  if (slash == NULL) return lua_pushstring(L, ".");
  *slash = '\0';
  return lua_pushstring(L, path);
}

/* In the build folder drivers are in lua/ beside the program; installed, where
** C modules are, PERIGEE_CMOD_DIR as seen from the program's folder. */
static void add_driver_folders(lua_State *L, int package) {
  const char *here = push_program_folder(L);
  const char *cpath;
  lua_getfield(L, package, "cpath");
  cpath = lua_tostring(L, -1);
  if (PERIGEE_CMOD_DIR[0] == '/')
    lua_pushfstring(L, "%s/lua/?.so;%s/?.so;%s", here, PERIGEE_CMOD_DIR, cpath);
  else
    lua_pushfstring(L, "%s/lua/?.so;%s/%s/?.so;%s", here, here,
                    PERIGEE_CMOD_DIR, cpath);
  lua_setfield(L, package, "cpath");
  lua_pop(L, 2);
}

void prg_modules_open(lua_State *L) {
  int package;
  preload(L, "perigee.core", luaopen_perigee_core);
  preload(L, "perigee.runner", prg_runner_open);
  lua_getglobal(L, "package");
  package = lua_gettop(L);
  add_searcher(L, package);
  add_driver_folders(L, package);
  lua_pop(L, 1);
}
