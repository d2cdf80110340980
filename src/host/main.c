/* The program perigee: Lua 5.4 with Perigee in it. What it does with its
** arguments is in lua/perigee/cli. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <lauxlib.h>
#include <lualib.h>

#include "host/blocks.h"
#include "host/modules.h"
#include "host/runner.h"

enum { EXIT_BROKEN = 9 };

static struct prg_blocks blocks;

static void *allocate(void *data, void *p, size_t had, size_t wanted) {
  return prg_blocks_resize(data, p, p == NULL ? 0 : had, wanted);
}

/* As luaL_newstate has it: warnings are off until warn("@on"). */
static void on_warning(void *data, const char *text, int more) {
  static bool on, inside;
  (void)data;
  if (!inside && !more && text[0] == '@') {
    if (strcmp(text, "@on") == 0) on = true;
    if (strcmp(text, "@off") == 0) on = false;
    return;
  }
  if (on) {
    fprintf(stderr, "%s%s%s", inside ? "" : "Lua warning: ", text,
            more ? "" : "\n");
    fflush(stderr);
  }
  inside = more != 0;
}

static int add_traceback(lua_State *L) {
  const char *message = luaL_tolstring(L, 1, NULL);
  luaL_traceback(L, L, message, 1);
  return 1;
}

/* argc, argv -> exit status */
static int pmain(lua_State *L) {
  int argc = (int)lua_tointeger(L, 1);
  char **argv = lua_touserdata(L, 2);
  int i;
  luaL_checkversion(L);
  luaL_openlibs(L);
  prg_modules_open(L, false);
  prg_modules_preload(L, "perigee.runner", prg_runner_open);
  lua_getglobal(L, "require");
  lua_pushliteral(L, "perigee.cli");
  lua_call(L, 1, 1);
  lua_getfield(L, -1, "main");
  lua_createtable(L, argc, 0);
  for (i = 0; i < argc; i++) {
    lua_pushstring(L, argv[i]);
    lua_rawseti(L, -2, i);
  }
  lua_call(L, 1, 1);
  return 1;
}

int main(int argc, char **argv) {
  lua_State *L;
  int status;
  L = lua_newstate(allocate, &blocks);
  if (L == NULL) {
    fputs("perigee: not enough memory\n", stderr);
    return EXIT_BROKEN;
  }
  lua_setwarnf(L, on_warning, NULL);
  lua_pushcfunction(L, add_traceback);
  lua_pushcfunction(L, pmain);
  lua_pushinteger(L, argc);
  lua_pushlightuserdata(L, argv);
  if (lua_pcall(L, 2, 1, 1) == LUA_OK) {
    status = (int)lua_tointeger(L, -1);
  } else {
    fprintf(stderr, "perigee: %s\n", lua_tostring(L, -1));
    status = EXIT_BROKEN;
  }
  lua_close(L);
  prg_blocks_fini(&blocks);
  return status;
}
