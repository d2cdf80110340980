/*
** Functions of the program that scripts call. A call is a userdata, so that what
** it has copied is freed whatever Lua raises; the program's function runs with
** nothing of Lua's in progress that it could disturb.
*/
#include "host/api_int.h"

#include <stdarg.h>
#include <stdio.h>

#include <lauxlib.h>

#include "base/mem.h"

static const char call_key = 0; /* registry: the metatable of calls */

struct perigee_call {
  perigee *rt;
  const perigee_value *args;
  size_t nargs;
  perigee_value *results;
  size_t nresults;
  struct prg_arena arena; /* of both */
  int kind;               /* of the error */
  bool failed;
  char message[512];
};

static int call__gc(lua_State *L) {
  perigee_call *call = lua_touserdata(L, 1);
  prg_arena_fini(&call->arena);
  return 0;
}

/* [-0, +1, m] */
static perigee_call *push_call(lua_State *L) {
  perigee_call *call = lua_newuserdatauv(L, sizeof *call, 0);
  memset(call, 0, sizeof *call);
  prg_arena_init(&call->arena);
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &call_key) == LUA_TNIL) {
    lua_pop(L, 1);
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, call__gc);
    lua_setfield(L, -2, "__gc");
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &call_key);
  }
  lua_setmetatable(L, -2);
  return call;
}

/* Raises what the call says. */
static int raise_error(lua_State *L, const perigee_call *call) {
  const char *kind = prg__kind_name(call->kind);
  if (kind == NULL) {
    luaL_where(L, 1);
    lua_pushstring(L, call->message);
    lua_concat(L, 2);
    return lua_error(L);
  }
  lua_pushstring(L, call->message);
  return prg__raise(L, kind);
}

static void run_program(lua_State *L, perigee_call *call,
                        const struct prg_native *f) {
  perigee *rt = call->rt;
  lua_State *before = rt->at;
  bool stepping = rt->stepping; /* a finalizer may call at any time */
  int status;
  rt->at = L;
  rt->stepping = true;
  status = f->fn(call, f->data);
  rt->stepping = stepping;
  rt->at = before;
  if (status == 0 || call->failed) return;
  call->failed = true;
  call->kind = PERIGEE_E_SCRIPT;
  (void)snprintf(call->message, sizeof call->message, "%s failed (%d)", f->name,
                 status);
}

/* What scripts call. */
static int trampoline(lua_State *L) {
  const struct prg_native *f = lua_touserdata(L, lua_upvalueindex(1));
  perigee_error *e = NULL;
  perigee_call *call = push_call(L);
  size_t i, n;
  lua_insert(L, 1);
  call->rt = prg__runtime(L);
  call->args = prg__take(call->rt, L, 2, &call->nargs, &call->arena, &e);
  if (call->args == NULL) {
    call->kind = e->kind == PERIGEE_E_RESOURCE ? e->kind : PERIGEE_E_USAGE;
    (void)snprintf(call->message, sizeof call->message, "%s: %s", f->name,
                   e->message);
    perigee_error_free(e);
    return raise_error(L, call);
  }
  lua_settop(L, 1);
  luaL_checkstack(L, LUA_MINSTACK, "call");
  run_program(L, call, f);
  lua_settop(L, 1);
  if (call->failed) return raise_error(L, call);
  n = call->nresults;
  luaL_checkstack(L, (int)n + 4, "results");
  for (i = 0; i < n; i++) prg__value_push(L, &call->results[i]);
  prg_arena_fini(&call->arena);
  return (int)n;
}

/* ---- for the program ----------------------------------------------------- */

size_t perigee_arg_count(const perigee_call *call) {
  return call == NULL ? 0 : call->nargs;
}

const perigee_value *perigee_arg(const perigee_call *call, size_t i) {
  if (call == NULL || i >= call->nargs) return perigee_item(NULL, 0);
  return &call->args[i];
}

perigee *perigee_call_runtime(const perigee_call *call) {
  return call == NULL ? NULL : call->rt;
}

int perigee_return(perigee_call *call, const perigee_value *values, size_t n) {
  const char *why = prg__values_check(values, n);
  if (call == NULL) return -1;
  if (why != NULL)
    return perigee_fail(call, PERIGEE_E_USAGE, "perigee_return: %s", why);
  call->results = prg__values_copy(&call->arena, values, n);
  if (call->results == NULL)
    return perigee_fail(call, PERIGEE_E_RESOURCE, "out of memory");
  call->nresults = n;
  return 0;
}

int perigee_fail(perigee_call *call, int kind, const char *format, ...) {
  va_list ap;
  if (call == NULL) return -1;
  call->failed = true;
  call->kind = kind;
  va_start(ap, format);
  (void)vsnprintf(call->message, sizeof call->message,
                  format == NULL ? "failed" : format, ap);
  va_end(ap);
  return -1;
}

/* ---- making it known ----------------------------------------------------- */

static int p_register(lua_State *L) {
  struct prg_native *f = lua_touserdata(L, 1);
  const char *last = prg__push_holder(L, f->name, true);
  lua_pushstring(L, last);
  lua_pushlightuserdata(L, f);
  lua_pushcclosure(L, trampoline, 1);
  lua_rawset(L, -3);
  return 0;
}

int perigee_register(perigee *rt, const char *name, perigee_native fn,
                     void *data, perigee_error **err) {
  struct prg_native *f;
  size_t n;
  if (!prg__usable(rt, "perigee_register", err)) return -1;
  if (name == NULL || *name == '\0' || fn == NULL)
    return prg__refuse(err, PERIGEE_E_USAGE,
                       "perigee_register: the name or the function is missing");
  n = strlen(name);
  f = prg_calloc(1, sizeof *f + n + 1);
  if (f == NULL) return prg__refuse(err, PERIGEE_E_RESOURCE, "out of memory");
  f->fn = fn;
  f->data = data;
  memcpy(f->name, name, n + 1);
  if (!prg__protect(rt, p_register, f, err)) {
    prg_free(f);
    f = NULL;
  } else {
    prg_list_push_back(&rt->natives, &f->link);
  }
  (void)prg__was_freed(rt);
  return f != NULL ? 0 : -1;
}
