/* The module "perigee.core": what the files of this folder add to one table. */
#include "bind/host_int.h"
#include "bind/copy_int.h"
#include "bind/crud_int.h"

static const char functions_key = 0; /* registry: { [address] = true } */

void prg_set_functions(lua_State *L, const luaL_Reg *list) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &functions_key);
  for (; list->name != NULL; list++) {
    lua_pushcfunction(L, list->func);
    lua_setfield(L, -3, list->name);
    lua_pushboolean(L, 1);
    lua_rawsetp(L, -2, (void *)(uintptr_t)list->func);
  }
  lua_pop(L, 1);
}

bool prg_in_function(lua_State *L) {
  int level, top = lua_gettop(L);
  lua_Debug ar;
  bool found = false;
  if (!lua_checkstack(L, 6)) return true;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &functions_key);
  for (level = 1; !found && lua_getstack(L, level, &ar); level++) {
    lua_CFunction f;
    (void)lua_getinfo(L, "f", &ar);
    f = lua_tocfunction(L, -1);
    lua_rawgetp(L, top + 1, (void *)(uintptr_t)f);
    found = f != NULL && lua_toboolean(L, -1);
    lua_settop(L, top + 1);
  }
  lua_settop(L, top);
  return found;
}

int luaopen_perigee_core(lua_State *L) {
  prg_load_check(L, __builtin_return_address(0));
  lua_settop(L, 0);
  lua_createtable(L, 0, 64);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &functions_key);
  lua_createtable(L, 0, 64);
  prg_error_open(L);
  prg_state_open(L);
  prg_task_open(L);
  prg_value_open(L);
  prg_json_open(L);
  prg_sql_open(L);
  prg_result_open(L);
  prg_db_open(L);
  prg_exec_open(L);
  prg_call_open(L);
  prg_tinfo_open(L);
  prg_raw_open(L);
  prg_filter_open(L);
  prg_crud_open(L);
  prg_bulk_open(L);
  prg_page_open(L);
  prg_stream_open(L);
  prg_copy_open(L);
  prg_pipe_open(L);
  prg_listen_open(L);
  prg_url_open(L);
  prg_sandbox_open(L);
  prg_files_open(L);
  prg_load_open(L);
  prg_bell_open(L);
  prg_host_open(L);
  prg_nginx_open(L);
  lua_pushlightuserdata(L, (void *)(uintptr_t)&prg_mark_park);
  lua_setfield(L, -2, "PARK");
  lua_pushlightuserdata(L, (void *)(uintptr_t)&prg_mark_pending);
  lua_setfield(L, -2, "PENDING");
  lua_pushboolean(L, PRG_HAVE_YIELDK);
  lua_setfield(L, -2, "yields");
  return 1;
}
