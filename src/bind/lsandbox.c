/*
** core.sandbox(request): runs a prelude of ours over a text of the user's in a Lua
** state of its own, and returns a copy of what the prelude returns.
**
** The state belongs to a userdata from its first moment. Memory is counted by an
** allocator in front of the state's own, which luaL_newstate has brought (on x64
** LuaJIT may not take another one); the hook counts instructions and looks at the
** processor time, for what a single instruction may cost. A limit that is reached
** stays so: every further instruction raises, and pcall lets it pass.
*/
#include "bind/sandbox_int.h"

#include <stdio.h>
#include <time.h>

/* Calls in progress: Lua itself counts its stack, which would fill the memory. */
enum {
  STEP = 1000,
  MAX_CALLS = 16000,
  MAX_DEPTH = 150,
  MAX_SECONDS = 60,
  MAX_MESSAGE = 4096
};

#define MIB 1048576.0

static const char box_key = 0; /* registry: the metatable */

/* ---- limits -------------------------------------------------------------- */

static int64_t cpu_now(void) {
  struct timespec ts = {0, 0};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
  return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void *allocate(void *data, void *p, size_t old, size_t wanted) {
  struct prg_sandbox *box = data;
  size_t had = p == NULL ? 0 : old; /* without a block `old` is a type */
  void *q;
  if (wanted > had &&
      (box->used > box->limit || wanted - had > box->limit - box->used))
    return NULL;
  q = box->alloc(box->alloc_data, p, old, wanted);
  if (q == NULL && wanted > had) box->starved = true;
  if (q != NULL || wanted == 0)
    box->used = (box->used > had ? box->used - had : 0) + wanted;
  return q;
}

struct prg_sandbox *prg_sandbox_of(lua_State *S) {
  void *box;
  (void)lua_getallocf(S, &box);
  return box;
}

/* The count hook. */
static void count(lua_State *S, lua_Debug *ar) {
  struct prg_sandbox *box = prg_sandbox_of(S);
  if (box->stop == PRG_STOP_NONE) {
    box->left -= box->step;
    if (lua_getstack(S, MAX_CALLS, ar)) luaL_error(S, "stack overflow");
    if (box->left > 0 && cpu_now() < box->due) return;
  }
  prg_sandbox_stop(S, box->left > 0 ? PRG_STOP_SECONDS : PRG_STOP_INSTRUCTIONS);
}

int prg_sandbox_stop(lua_State *S, enum prg_stop why) {
  struct prg_sandbox *box = prg_sandbox_of(S);
  if (box->stop == PRG_STOP_NONE) box->stop = why;
  lua_sethook(S, count, LUA_MASKCOUNT, 1);
  lua_pushnil(S);
  return lua_error(S);
}

void prg_sandbox_charge(lua_State *S, size_t n) {
  struct prg_sandbox *box = prg_sandbox_of(S);
  if (n > (size_t)box->budget || (box->left -= (int64_t)n) <= 0)
    prg_sandbox_stop(S, PRG_STOP_INSTRUCTIONS);
}

void prg_sandbox_enter(lua_State *S) {
  if (++prg_sandbox_of(S)->depth > MAX_DEPTH) luaL_error(S, "stack overflow");
}

void prg_sandbox_leave(lua_State *S) {
  prg_sandbox_of(S)->depth--;
}

/* ---- inside -------------------------------------------------------------- */

/* Raised where Lua does not know of a line. */
static bool has_no_line(const char *s) {
  return strncmp(s, "stack overflow", 14) == 0 ||
         strncmp(s, "C stack overflow", 16) == 0 ||
         strcmp(s, "error in error handling") == 0;
}

/* The text of the error on top, without running anything of the script's. */
static void note_error(lua_State *S, struct prg_sandbox *box) {
  const char *s = NULL;
  size_t n = 0;
  const char *type = luaL_typename(S, -1);
  if (lua_istable(S, -1)) {
    lua_pushliteral(S, "message");
    lua_rawget(S, -2);
  }
  if (lua_isstring(S, -1)) s = lua_tolstring(S, -1, &n);
  box->failed = true;
  prg_buf_reset(&box->text);
  if (s == NULL || has_no_line(s))
    prg_buf_addf(&box->text, "%s: ", box->name.p);
  if (s == NULL)
    prg_buf_addf(&box->text, "the script raised a %s instead of a message",
                 type);
  else
    prg_buf_add(&box->text, s, n > MAX_MESSAGE ? MAX_MESSAGE : n);
}

static void note_result(lua_State *S, struct prg_sandbox *box) {
  prg_buf_reset(&box->data);
  prg_buf_addf(&box->text, "%s: the result cannot be taken out: ", box->name.p);
  if (!prg_pack(S, &box->data, &box->text))
    box->failed = true;
  else if (box->data.failed)
    prg_sandbox_stop(S, PRG_STOP_MEMORY);
}

/* All that happens in the state, in a protected call. */
static int run(lua_State *S) {
  struct prg_sandbox *box = prg_sandbox_of(S);
  int status;
#ifdef LUAJIT_VERSION_NUM
  (void)luaJIT_setmode(S, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
  (void)lua_gc(S, LUA_GCSETPAUSE, 110); /* nothing collects at the limit */
#endif
  prg_sandbox_fill(S);
  lua_sethook(S, count, LUA_MASKCOUNT, box->step);
  lua_settop(S, 0);
  /* The prelude returns a function. */
  prg_sandbox_run_own(S, box->start.p, box->start.n, box->start_file);
  lua_pushlstring(S, box->source.p, box->source.n);
  lua_pushstring(S, box->name.p);
  prg_sandbox_push_helpers(S);
  status = lua_pcall(S, 4, 1, 0);
  if (status == LUA_ERRMEM) prg_sandbox_stop(S, PRG_STOP_MEMORY);
  if (status != LUA_OK)
    note_error(S, box);
  else
    note_result(S, box);
  return 0;
}

/* ---- outside ------------------------------------------------------------- */

static void close_state(struct prg_sandbox *box) {
  lua_State *S = box->S;
  box->S = NULL;
  if (S == NULL) return;
  lua_setallocf(S, box->alloc, box->alloc_data); /* LuaJIT frees that too */
  lua_sethook(S, NULL, 0, 0);
  lua_close(S);
}

static int box__gc(lua_State *L) {
  struct prg_sandbox *box = lua_touserdata(L, 1);
  close_state(box);
  prg_buf_fini(&box->data);
  prg_buf_fini(&box->text);
  return 0;
}

/* Pushes the userdata, without a state. */
static struct prg_sandbox *push_box(lua_State *L) {
  struct prg_sandbox *box = lua_newuserdatauv(L, sizeof *box, 0);
  memset(box, 0, sizeof *box);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &box_key);
  lua_setmetatable(L, -2);
  return box;
}

/* Makes the state and runs in it; the status of the call. Nothing of L's. */
static int run_state(struct prg_sandbox *box) {
  int status;
  lua_State *S = box->S = luaL_newstate();
  if (S == NULL) {
    box->starved = true;
    return LUA_ERRMEM;
  }
  box->used = (size_t)lua_gc(S, LUA_GCCOUNT, 0) << 10;
  box->alloc = lua_getallocf(S, &box->alloc_data);
  lua_setallocf(S, allocate, box);
  box->due = cpu_now() + (int64_t)MAX_SECONDS * 1000000;
#if LUA_VERSION_NUM >= 502
  lua_pushcfunction(S, run);
  status = lua_pcall(S, 0, 0, 0);
#else
  status = lua_cpcall(S, run, NULL);
#endif
  if (status == LUA_ERRMEM && box->stop == PRG_STOP_NONE)
    box->stop = PRG_STOP_MEMORY;
  /* Of our own part: a message without memory of the state's. */
  if (status != LUA_OK && box->stop == PRG_STOP_NONE && !box->failed) {
    const char *s = lua_type(S, -1) == LUA_TSTRING ? lua_tostring(S, -1) : "?";
    box->failed = true;
    prg_buf_reset(&box->text);
    prg_buf_addf(&box->text, "%s: %.200s", box->name.p, s);
  }
  return status;
}

/* "100,000,000" */
static const char *grouped(int64_t n, char out[40]) {
  char digits[24];
  int i, k = 0, len = snprintf(digits, sizeof digits, "%lld", (long long)n);
  for (i = 0; i < len; i++) {
    if (i > 0 && (len - i) % 3 == 0) out[k++] = ',';
    out[k++] = digits[i];
  }
  out[k] = '\0';
  return out;
}

static struct prg_error *error_of(const struct prg_sandbox *box) {
  char number[40];
  const char *name = box->name.p;
  if (box->starved || box->text.failed) return prg_error_oom();
  switch (box->stop) {
    case PRG_STOP_INSTRUCTIONS:
      return prg_error_new(PRG_K_USAGE,
                           "%s: the script ran for more than %s instructions",
                           name, grouped(box->budget, number));
    case PRG_STOP_SECONDS:
      return prg_error_new(PRG_K_USAGE,
                           "%s: the script ran for more than %d seconds", name,
                           MAX_SECONDS);
    case PRG_STOP_MEMORY:
      return prg_error_new(PRG_K_USAGE,
                           "%s: the script needs more than %.4g MiB of memory",
                           name, (double)box->limit / MIB);
    default:
      return prg_error_new(PRG_K_USAGE, "%s",
                           box->text.len > 0 ? box->text.data : name);
  }
}

/* ---- the request --------------------------------------------------------- */

enum { A_REQUEST = 1, A_BOX };

/* Pushes a field, which stays on the stack. [-0, +1, e] */
static const char *text_field(lua_State *L, const char *name, size_t *len) {
  lua_getfield(L, A_REQUEST, name);
  if (lua_isnil(L, -1)) return NULL;
  if (lua_type(L, -1) != LUA_TSTRING)
    prg_usage(L, "sandbox: %s must be a string", name);
  return lua_tolstring(L, -1, len);
}

static double number_field(lua_State *L, const char *name, double standard) {
  double d = standard;
  lua_getfield(L, A_REQUEST, name);
  if (!lua_isnil(L, -1)) {
    d = lua_type(L, -1) == LUA_TNUMBER ? (double)lua_tonumber(L, -1) : 0;
    if (!(d >= 1 && d <= 0x1p40))
      prg_usage(L, "sandbox: %s must be a positive number", name);
  }
  lua_pop(L, 1);
  return d;
}

static void check_keys(lua_State *L) {
  static const char *const known[] = {"prelude", "prelude_source", "source",
                                      "name",    "root",           "call",
                                      "memory",  "instructions",   NULL};
  lua_pushnil(L);
  while (lua_next(L, A_REQUEST)) {
    const char *const *k = known;
    const char *key;
    lua_pop(L, 1);
    key = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "?";
    while (*k != NULL && strcmp(*k, key) != 0) k++;
    if (*k == NULL) prg_usage(L, "sandbox: unknown field \"%s\"", key);
  }
}

/* Which prelude: by name, or (specs) the text itself. */
static void read_start(lua_State *L, struct prg_sandbox *box) {
  const struct prg_prelude *p;
  size_t n;
  const char *s = text_field(L, "prelude_source", &n);
  if (s != NULL) {
    box->start = (struct prg_text){s, n};
    box->start_file = "prelude.lua";
    return;
  }
  s = text_field(L, "prelude", &n);
  if (s == NULL) prg_usage(L, "sandbox: which prelude?");
  p = prg_prelude_find(s);
  if (p == NULL) prg_usage(L, "sandbox: there is no prelude \"%s\"", s);
  box->start = (struct prg_text){(const char *)p->code, p->len};
  box->start_file = p->file;
}

static void read_request(lua_State *L, struct prg_sandbox *box) {
  size_t n = 0;
  check_keys(L);
  read_start(L, box);
  box->source.p = text_field(L, "source", &box->source.n);
  box->name.p = text_field(L, "name", &box->name.n);
  if (box->source.p == NULL || box->name.p == NULL)
    prg_usage(L, "sandbox: source and name are needed");
  box->root = text_field(L, "root", &n);
  box->limit = (size_t)number_field(L, "memory", 64 * MIB);
  box->budget = (int64_t)number_field(L, "instructions", 100e6);
  box->left = box->budget;
  box->step = box->budget < STEP ? (int)box->budget : STEP;
  prg_buf_init(&box->data, box->limit);
  prg_buf_init(&box->text, 4 * MAX_MESSAGE + box->name.n);
  lua_getfield(L, A_REQUEST, "call");
  if (!prg_pack(L, &box->data, &box->text))
    prg_usage(L, "sandbox: call: %s", box->text.data);
  if (box->data.failed) prg_raise(L, prg_error_oom());
}

/* core.sandbox { prelude = "definitions", source = text, name = "schema.lua",
** root = folder, call = data, memory = bytes, instructions = count } -> data.
** Raises usage: "schema.lua:3: …" */
static int core_sandbox(lua_State *L) {
  struct prg_sandbox *box;
  int status;
  luaL_checktype(L, A_REQUEST, LUA_TTABLE);
  lua_settop(L, A_REQUEST);
  box = push_box(L);
  read_request(L, box);
  status = run_state(box);
  close_state(box);
  if (status != LUA_OK || box->failed) return prg_raise(L, error_of(box));
  prg_unpack(L, &box->data);
  prg_buf_fini(&box->data);
  return 1;
}

static const luaL_Reg functions[] = {{"sandbox", core_sandbox}, {NULL, NULL}};

void prg_sandbox_open(lua_State *L) {
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, box__gc);
  lua_setfield(L, -2, "__gc");
  lua_rawsetp(L, LUA_REGISTRYINDEX, &box_key);
  prg_set_functions(L, functions);
}
