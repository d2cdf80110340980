/*
** What stops a task: a hook that counts instructions and looks at the clock.
** Once a limit is reached it raises at every instruction of the script, whatever
** catches that; Perigee's own code may go on for a while, to roll back.
*/
#include "host/api_int.h"

#include <stdio.h>

#include <lauxlib.h>

#include "base/clock.h"

/* Instructions from one look to the next. One of them may be a long string made by
** C: where they take their time it is looked at more often. */
enum { STEP = 128, SHORT_STEP = 8, QUICK_US = 1000 };

static const char *const names[] = {
    [PRG_STOP_NONE] = "",
    [PRG_STOP_INSTRUCTIONS] = "the script ran for too long without waiting",
    [PRG_STOP_SECONDS] = "the time of the task is over",
    [PRG_STOP_INTERRUPT] = "interrupted",
    [PRG_STOP_CLOSE] = "the runtime is being closed"};

/* registry: under the addresses of these, the errors to be raised when there is no
** memory for another one */
static const char keys[sizeof names / sizeof *names];
static const char new_error_key = 0; /* registry: core.new_error */

static bool is_ours(lua_State *L, lua_Debug *ar) {
  static const char ours[] = "@embedded:perigee/";
  return lua_getinfo(L, "S", ar) != 0 &&
         strncmp(ar->source, ours, sizeof ours - 1) == 0;
}

static enum prg_stop_why look(perigee *rt, int *step) {
  int64_t now;
  *step = STEP;
  if (rt->left <= 0) return PRG_STOP_INSTRUCTIONS;
  if (atomic_load_explicit(&rt->interrupted, memory_order_relaxed))
    return PRG_STOP_INTERRUPT;
  if (rt->due == PRG_NEVER && rt->close_due == PRG_NEVER) return PRG_STOP_NONE;
  now = prg_now();
  if (now - rt->looked > QUICK_US) *step = SHORT_STEP;
  rt->looked = now;
  if (now >= rt->due) return PRG_STOP_SECONDS;
  return now >= rt->close_due ? PRG_STOP_CLOSE : PRG_STOP_NONE;
}

/* Makes the error that the reason at 1 is for the task whose key is at 2. */
static int p_make_error(lua_State *L) {
  static const char *const kinds[] = {"", "resource", "timeout", "cancelled",
                                      "closed"};
  lua_Integer why = lua_tointeger(L, 1);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &new_error_key);
  lua_pushstring(L, kinds[why]);
  lua_pushstring(L, names[why]);
  lua_call(L, 2, 1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, lua_touserdata(L, 2));
  return 0;
}

/* Fails only without memory. [-0, +0, -] */
static bool make_error(lua_State *L, enum prg_stop_why why, const void *key) {
  bool ok;
  lua_pushcfunction(L, p_make_error);
  lua_pushinteger(L, (lua_Integer)why);
  lua_pushlightuserdata(L, (void *)(uintptr_t)key);
  ok = lua_pcall(L, 2, 0, 0) == LUA_OK;
  if (!ok) lua_pop(L, 1);
  return ok;
}

/* Has a limit been reached now? Then for good. The task gets an error of its own:
** scripts can change it, and it has its place in them. Gives the next step. */
static int watch(lua_State *L, perigee *rt) {
  const void *key = prg_embed_key(rt->state);
  int step;
  rt->stop = look(rt, &step);
  if (rt->stop == PRG_STOP_NONE) return step;
  if (rt->stop == PRG_STOP_CLOSE) rt->late++;
  prg_embed_mark(rt->state, (int)rt->stop);
  if (key != NULL) (void)make_error(L, rt->stop, key);
  return 1;
}

/* [-0, +1, -] */
static void push_error(lua_State *L, const perigee *rt) {
  const void *key = prg_embed_key(rt->state);
  if (key != NULL && lua_rawgetp(L, LUA_REGISTRYINDEX, key) != LUA_TNIL) return;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &keys[rt->stop]);
}

static void on_count(lua_State *L, lua_Debug *ar) {
  perigee *rt = prg__runtime(L);
  int step = lua_gethookcount(L), next = 1;
  if (rt->left == INT64_MAX) return; /* no task: the program's own calls */
  rt->left -= step;
  if (rt->stop == PRG_STOP_NONE) next = watch(L, rt);
  if (step != next) lua_sethook(L, on_count, LUA_MASKCOUNT, next);
  if (rt->stop == PRG_STOP_NONE) return;
  if (rt->grace > 0 && is_ours(L, ar)) {
    rt->grace--;
    return;
  }
  push_error(L, rt);
  lua_error(L);
}

void prg__limit_open(lua_State *L) {
  int why;
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_getfield(L, -1, "perigee.core");
  lua_getfield(L, -1, "new_error");
  lua_rawsetp(L, LUA_REGISTRYINDEX, &new_error_key);
  for (why = PRG_STOP_INSTRUCTIONS; why <= PRG_STOP_CLOSE; why++)
    if (!make_error(L, (enum prg_stop_why)why, &keys[why]))
      luaL_error(L, "not enough memory");
  lua_pop(L, 2);
  lua_sethook(L, on_count, LUA_MASKCOUNT, SHORT_STEP);
}

void prg__stopped(const perigee *rt, enum prg_stop_why stop, perigee_error *e) {
  char text[128];
  switch (stop) {
    case PRG_STOP_INSTRUCTIONS:
      (void)snprintf(text, sizeof text,
                     "the script ran for more than %llu instructions without "
                     "waiting",
                     (unsigned long long)rt->budget);
      prg__problem_becomes(e, PERIGEE_E_LIMIT, text);
      break;
    case PRG_STOP_SECONDS:
      prg__problem_becomes(e, PERIGEE_E_TIMEOUT, names[stop]);
      break;
    case PRG_STOP_INTERRUPT:
      prg__problem_becomes(e, PERIGEE_E_CANCELLED, names[stop]);
      break;
    case PRG_STOP_CLOSE:
      prg__problem_becomes(e, PERIGEE_E_CLOSED, names[stop]);
      break;
    default:
      break;
  }
}
