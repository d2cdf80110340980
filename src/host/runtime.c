/*
** A runtime: the Lua state with its limits, made and closed. All that may raise
** runs in prg__protect; the functions of perigee.h around it look at their
** arguments and turn what was raised into an error value.
*/
#include "host/api_int.h"

#include <stdio.h>

#include <lauxlib.h>
#include <lualib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/process.h"
#include "host/modules.h"

#define MOST_TAKEN ((size_t)1 << 30) /* bytes of values for the program */

static const char parts_key = 0; /* registry: perigee.embed */

/* ---- who calls ----------------------------------------------------------- */

const void *prg__thread(void) {
  static _Thread_local char here;
  return &here;
}

bool prg__usable(const perigee *rt, const char *what, perigee_error **err) {
  if (rt == NULL) {
    prg__refuse(err, PERIGEE_E_USAGE, "%s: the runtime is NULL", what);
  } else if (rt->thread != prg__thread()) {
    prg__refuse(err, PERIGEE_E_USAGE,
                "%s: the runtime belongs to the thread that made it", what);
  } else if (rt->pid != prg_pid()) {
    prg__refuse(err, PERIGEE_E_USAGE,
                "%s: the runtime was made before fork(): make one in the child",
                what);
  } else if (rt->L == NULL || rt->free_soon) {
    prg__refuse(err, PERIGEE_E_CLOSED, "%s: the runtime is closed", what);
  } else {
    return true;
  }
  return false;
}

perigee *prg__runtime(lua_State *L) {
  void *rt;
  (void)lua_getallocf(L, &rt);
  return rt;
}

void prg__push_part(lua_State *L, const char *name) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &parts_key);
  lua_getfield(L, -1, name);
  lua_remove(L, -2);
}

/* The error value at 1 -> its fields, as a perigee_error at *2. While the runtime
** is made there is nobody to ask; error objects have the same fields. */
static int p_describe(lua_State *L) {
  perigee_error **out = lua_touserdata(L, 2);
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &parts_key) == LUA_TTABLE) {
    lua_getfield(L, -1, "describe");
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
  } else {
    lua_settop(L, 1);
  }
  if (!lua_istable(L, -1)) {
    *out = prg__problem(PERIGEE_E_USAGE, "%s", luaL_tolstring(L, -1, NULL));
    return 0;
  }
  *out = prg__problem_read(L, lua_gettop(L));
  return 0;
}

perigee_error *prg__pop_problem(perigee *rt) {
  lua_State *L = rt->at;
  perigee_error *e = NULL;
  bool described;
  lua_pushcfunction(L, p_describe);
  lua_insert(L, -2);
  lua_pushlightuserdata(L, &e);
  described = lua_pcall(L, 2, 0, 0) == LUA_OK;
  if (described && e != NULL) return e;
  e = prg__problem(PERIGEE_E_RESOURCE, "%s",
                   lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1)
                                                  : "not enough memory");
  lua_pop(L, 1);
  return e;
}

bool prg__protect(perigee *rt, lua_CFunction fn, void *arg,
                  perigee_error **err) {
  lua_State *L = rt->at;
  if (!lua_checkstack(L, 8)) {
    prg__refuse(err, PERIGEE_E_RESOURCE, "not enough memory");
    return false;
  }
  lua_pushcfunction(L, fn);
  lua_pushlightuserdata(L, arg);
  if (lua_pcall(L, 1, 0, 0) == LUA_OK) return true;
  prg__hand_over(err, prg__pop_problem(rt));
  return false;
}

bool prg__was_freed(perigee *rt) {
  if (!rt->free_soon || rt->stepping) return false;
  rt->free_soon = false;
  perigee_free(rt);
  return true;
}

void prg__log(const perigee *rt, const char *line) {
  if (rt->log != NULL)
    rt->log(rt->data, line);
  else
    fprintf(stderr, "perigee: %s\n", line); /* allowed: fprintf */
}

perigee_value *prg__take(perigee *rt, lua_State *L, int first, size_t *n,
                         struct prg_arena *a, perigee_error **e) {
  struct prg_taker t = {L, a, MOST_TAKEN, rt->record, NULL, false};
  perigee_value *v;
  if (rt->limit > 0 && rt->limit < t.max) t.max = rt->limit;
  v = prg__values_take(&t, first, n);
  if (v != NULL) return v;
  if (t.why != NULL)
    *e = prg__problem(PERIGEE_E_USAGE, "%s", t.why);
  else if (t.too_large)
    *e = prg__problem(PERIGEE_E_LIMIT,
                      "values for the program need more than %zu bytes", t.max);
  else
    *e = prg__problem(PERIGEE_E_RESOURCE, "out of memory");
  return NULL;
}

/* ---- making one ---------------------------------------------------------- */

static void *allocate(void *data, void *p, size_t old, size_t wanted) {
  perigee *rt = data;
  size_t had = p == NULL ? 0 : old; /* without a block `old` is a type */
  size_t limit = rt->limit + rt->spare;
  void *q;
  if (wanted > had && rt->limit > 0 &&
      (rt->used > limit || wanted - had > limit - rt->used)) {
    rt->starved = true;
    return NULL;
  }
  q = prg_blocks_resize(&rt->blocks, p, had, wanted);
  if (q == NULL && wanted > 0) return NULL;
  rt->used = rt->used - had + wanted;
  return q;
}

static int native_log(lua_State *L) {
  prg__log(prg__runtime(L), luaL_checkstring(L, 1));
  return 0;
}

static int native_stopped(lua_State *L) {
  lua_pushboolean(L, prg__runtime(L)->stop != PRG_STOP_NONE);
  return 1;
}

static void push_config(lua_State *L, const perigee_options *o) {
  int i;
  lua_createtable(L, 0, 5);
  lua_pushboolean(L, (o->libraries & PERIGEE_LIB_IO) != 0);
  lua_setfield(L, -2, "io");
  lua_pushboolean(L, (o->libraries & PERIGEE_LIB_OS) != 0);
  lua_setfield(L, -2, "os");
  lua_pushboolean(L, (o->libraries & PERIGEE_LIB_PACKAGE) != 0);
  lua_setfield(L, -2, "package");
  lua_pushboolean(L, (o->libraries & PERIGEE_LIB_DEBUG) != 0);
  lua_setfield(L, -2, "debug");
  if (o->modules == NULL) return;
  lua_newtable(L);
  for (i = 0; o->modules[i] != NULL; i++) {
    lua_pushstring(L, o->modules[i]);
    lua_rawseti(L, -2, i + 1);
  }
  lua_setfield(L, -2, "modules");
}

static void set_paths(lua_State *L, const perigee_options *o) {
  lua_getglobal(L, "package");
  if (o->path != NULL) {
    lua_pushstring(L, o->path);
    lua_setfield(L, -2, "path");
  }
  if (o->cpath != NULL) {
    lua_pushstring(L, o->cpath);
    lua_setfield(L, -2, "cpath");
  }
  lua_pop(L, 1);
}

/* The metatable of json_object, which an empty record has. */
static const void *find_record(lua_State *L) {
  const void *mt;
  lua_getglobal(L, "require");
  lua_pushliteral(L, "perigee.core");
  lua_call(L, 1, 1);
  lua_getfield(L, -1, "json_object");
  mt = lua_topointer(L, -1);
  lua_pop(L, 2);
  return mt;
}

/* Fills a new state: the libraries, Perigee, the world of the scripts. */
static int p_open(lua_State *L) {
  const perigee_options *o = lua_touserdata(L, 1);
  perigee *rt = prg__runtime(L);
  luaL_checkversion(L);
  luaL_openlibs(L);
  set_paths(L, o);
  prg_modules_open(L, true);
  rt->record = find_record(L);
  rt->state = prg_embed_open(L);
  lua_getglobal(L, "require");
  lua_pushliteral(L, "perigee.embed");
  lua_call(L, 1, 1);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &parts_key);
  lua_getfield(L, -1, "setup");
  lua_pushglobaltable(L);
  push_config(L, o);
  lua_pushcfunction(L, native_log);
  lua_pushcfunction(L, native_stopped);
  lua_call(L, 4, 0);
  if ((o->libraries & PERIGEE_LIB_DEBUG) == 0) prg_embed_tame(rt->state);
  prg__limit_open(L);
  lua_gc(L, LUA_GCCOLLECT);
  return 0;
}

/* A span of the program's as microseconds. */
static int64_t span_of(double seconds) {
  return seconds >= 9e12 ? PRG_NEVER : (int64_t)(seconds * 1e6);
}

/* Has the program options that are newer than this library, and uses them? */
static bool has_unknown(const perigee_options *given) {
  const unsigned char *bytes = (const unsigned char *)given;
  size_t i;
  for (i = sizeof *given; i < given->size; i++)
    if (bytes[i] != 0) return true;
  return false;
}

/* What the program's options say, as far as it knows them. */
static bool read_options(const perigee_options *given, perigee_options *o,
                         perigee_error **err) {
  perigee_options_init(o);
  if (given == NULL) return true;
  if (given->abi != PERIGEE_ABI ||
      given->size < offsetof(perigee_options, libraries)) {
    prg__refuse(err, PERIGEE_E_USAGE,
                "perigee_new: the options were not made by "
                "perigee_options_init, or the program was compiled for "
                "another libperigee (ABI %d, this one has %d)",
                given->abi, PERIGEE_ABI);
    return false;
  }
  memcpy(o, given, given->size < sizeof *o ? given->size : sizeof *o);
  if ((o->libraries & ~(unsigned)PERIGEE_LIB_ALL) != 0 ||
      !(o->seconds >= 0 && o->seconds <= 1e300) || has_unknown(given)) {
    prg__refuse(err, PERIGEE_E_USAGE,
                "perigee_new: the options have a library, a time or a field "
                "that does not exist here");
    return false;
  }
  return true;
}

static perigee *new_runtime(const perigee_options *o) {
  perigee *rt = prg_calloc(1, sizeof *rt);
  if (rt == NULL) return NULL;
  rt->thread = prg__thread();
  rt->pid = prg_pid();
  rt->budget = o->instructions;
  rt->left = INT64_MAX;
  rt->due = rt->close_due = PRG_NEVER;
  rt->span = o->seconds > 0 ? span_of(o->seconds) : PRG_NEVER;
  rt->log = o->log;
  rt->data = o->data;
  atomic_init(&rt->interrupted, 0);
  prg_list_init(&rt->tasks);
  prg_list_init(&rt->ended);
  prg_list_init(&rt->functions);
  prg_list_init(&rt->natives);
  return rt;
}

perigee *perigee_new(const perigee_options *options, perigee_error **err) {
  perigee_options o;
  perigee *rt;
  if (!read_options(options, &o, err)) return NULL;
  rt = new_runtime(&o);
  if (rt != NULL) rt->L = rt->at = lua_newstate(allocate, rt);
  if (rt == NULL || rt->L == NULL) {
    prg_free(rt);
    prg__refuse(err, PERIGEE_E_RESOURCE, "perigee_new: not enough memory");
    return NULL;
  }
  if (!prg__protect(rt, p_open, &o, err)) {
    perigee_free(rt);
    return NULL;
  }
  if (o.memory > 0 && o.memory <= rt->used) {
    prg__refuse(err, PERIGEE_E_USAGE,
                "perigee_new: a limit of %zu bytes; the empty runtime has %zu",
                o.memory, rt->used);
    perigee_free(rt);
    return NULL;
  }
  /* So large that nothing is added to it. */
  rt->limit = o.memory > SIZE_MAX / 2 ? 0 : o.memory;
  return rt;
}

size_t perigee_memory(const perigee *rt) {
  return rt == NULL || rt->L == NULL ? 0 : rt->used;
}

/* ---- closing ------------------------------------------------------------- */

static void close_lua(perigee *rt) {
  lua_State *L = rt->L;
  rt->limit = 0; /* finalizers have to work */
  rt->at = NULL;
  rt->L = NULL;
  lua_sethook(L, NULL, 0, 0);
  rt->stepping = true; /* finalizers may call the program */
  lua_close(L);
  prg_blocks_fini(&rt->blocks);
  rt->stepping = false;
  rt->state = NULL;
}

int perigee_close(perigee *rt, double seconds, perigee_error **err) {
  size_t left;
  int64_t now = prg_now();
  if (rt != NULL && rt->L == NULL) return 0;
  if (!prg__usable(rt, "perigee_close", err)) return -1;
  if (rt->stepping)
    return prg__refuse(err, PERIGEE_E_USAGE,
                       "perigee_close: called in a function that the runtime "
                       "itself calls");
  if (!(seconds >= 0))
    return prg__refuse(err, PERIGEE_E_USAGE, "perigee_close: %g is not a time",
                       seconds);
  rt->close_due = span_of(seconds);
  rt->close_due =
      rt->close_due >= PRG_NEVER - now ? PRG_NEVER : now + rt->close_due;
  rt->limit = 0; /* what is left to do must not fail for it */
  left = prg__tasks_end(rt);
  if (left == 0) left = rt->late; /* ended, but not by themselves */
  close_lua(rt);
  prg__tasks_close(rt);
  (void)prg__was_freed(rt);
  if (left == 0) return 0;
  return prg__refuse(err, PERIGEE_E_TIMEOUT,
                     "perigee_close: %zu tasks or databases had not ended "
                     "after %g s",
                     left, seconds);
}

void perigee_free(perigee *rt) {
  if (rt == NULL) return;
  if (rt->stepping) {
    rt->free_soon = true;
    return;
  }
  if (rt->L != NULL) close_lua(rt);
  prg__tasks_forget(rt);
  prg__functions_forget(rt);
  prg_free(rt);
}

/* ---- version ------------------------------------------------------------- */

const char *perigee_version(void) {
  return PERIGEE_VERSION;
}

int perigee_abi(void) {
  return PERIGEE_ABI;
}
