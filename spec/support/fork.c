/* For spec/hosts/fork_spec.lua: fork() for Lua. It is loaded with
** package.loadlib(build .. "/fork.so", "luaopen_fork"). */
#include <lauxlib.h>
#include <lua.h>
#include <sys/wait.h>
#include <unistd.h>

int luaopen_fork(lua_State *L);

/* fork() -> pid; 0 in the child */
static int l_fork(lua_State *L) {
  lua_pushinteger(L, fork());
  return 1;
}

/* leave(status): ends the child at once, nothing is closed or freed */
static int l_leave(lua_State *L) {
  _exit((int)luaL_checkinteger(L, 1));
}

/* wait(pid) -> exit status, or minus the signal that ended it */
static int l_wait(lua_State *L) {
  int status = 0;
  pid_t pid = (pid_t)luaL_checkinteger(L, 1);
  if (waitpid(pid, &status, 0) != pid) return 0;
  lua_pushinteger(L,
                  WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
  return 1;
}

int luaopen_fork(lua_State *L) {
  lua_createtable(L, 0, 3);
  lua_pushcfunction(L, l_fork);
  lua_setfield(L, -2, "fork");
  lua_pushcfunction(L, l_leave);
  lua_setfield(L, -2, "leave");
  lua_pushcfunction(L, l_wait);
  lua_setfield(L, -2, "wait");
  return 1;
}
