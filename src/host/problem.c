/* Errors for the program: one piece of memory each, with copies of all texts. */
#include "host/api_int.h"

#include <stdarg.h>
#include <stdio.h>

#include <lauxlib.h>

#include "base/error.h"
#include "base/mem.h"

/* The program has its own list of kinds, which must be that of the base. */
_Static_assert((int)PERIGEE_E_DATABASE == (int)PRG_K_DATABASE, "kinds");
_Static_assert((int)PERIGEE_E_DATA == (int)PRG_K_DATA, "kinds");
_Static_assert((int)PERIGEE_E_TIMEOUT == (int)PRG_K_TIMEOUT, "kinds");
_Static_assert((int)PERIGEE_E_CLOSED == (int)PRG_K_CLOSED, "kinds");
_Static_assert((int)PERIGEE_E_RESOURCE == (int)PRG_K_RESOURCE, "kinds");
_Static_assert((int)PERIGEE_E_MIGRATION == (int)PRG_K_COUNT_ - 1, "kinds");

/* What the program sees, and where its texts are. */
struct problem {
  perigee_error seen;
  struct prg_arena arena;
};

static perigee_error no_memory = {PERIGEE_E_RESOURCE,
                                  "resource",
                                  "out of memory",
                                  0,
                                  NULL,
                                  0,
                                  0,
                                  NULL,
                                  NULL,
                                  NULL,
                                  NULL,
                                  NULL,
                                  NULL,
                                  NULL,
                                  NULL};

const char *prg__kind_name(int kind) {
  if (kind < 0 || kind >= PRG_K_COUNT_) return NULL;
  return prg_kind_name((enum prg_kind)kind);
}

static const char *name_of(int kind) {
  const char *name = prg__kind_name(kind);
  if (name != NULL) return name;
  return kind == PERIGEE_E_LIMIT ? "limit" : "script";
}

static int kind_of(const char *name) {
  int i;
  if (name == NULL) return PERIGEE_E_SCRIPT;
  for (i = 0; i < PRG_K_COUNT_; i++)
    if (strcmp(prg_kind_name((enum prg_kind)i), name) == 0) return i;
  return strcmp(name, "limit") == 0 ? PERIGEE_E_LIMIT : PERIGEE_E_SCRIPT;
}

static struct problem *new_problem(int kind) {
  struct problem *p = prg_calloc(1, sizeof *p);
  if (p == NULL) return NULL;
  prg_arena_init(&p->arena);
  p->seen.kind = kind;
  p->seen.name = name_of(kind);
  return p;
}

perigee_error *prg__problem(int kind, const char *format, ...) {
  struct problem *p = new_problem(kind);
  char text[1024];
  va_list ap;
  if (p == NULL) return &no_memory;
  va_start(ap, format);
  (void)vsnprintf(text, sizeof text, format, ap);
  va_end(ap);
  p->seen.message = prg_arena_dup(&p->arena, text, strlen(text));
  if (p->seen.message != NULL) return &p->seen;
  perigee_error_free(&p->seen);
  return &no_memory;
}

void perigee_error_free(perigee_error *err) {
  struct problem *p = (struct problem *)(void *)err;
  if (err == NULL || err == &no_memory) return;
  prg_arena_fini(&p->arena);
  prg_free(p);
}

void prg__problem_becomes(perigee_error *e, int kind, const char *message) {
  struct problem *p = (struct problem *)(void *)e;
  char *copy;
  if (e == &no_memory) return;
  copy = prg_arena_dup(&p->arena, message, strlen(message));
  if (copy != NULL) e->message = copy;
  e->kind = kind;
  e->name = name_of(kind);
}

int prg__hand_over(perigee_error **err, perigee_error *e) {
  if (err != NULL)
    *err = e;
  else
    perigee_error_free(e);
  return -1;
}

int prg__raise(lua_State *L, const char *kind) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_getfield(L, -1, "perigee.core");
  lua_getfield(L, -1, "new_error");
  lua_pushstring(L, kind);
  lua_pushvalue(L, -5); /* stack: message, loaded, core, new_error, kind */
  lua_call(L, 2, 1);
  return lua_error(L);
}

/* ---- out of Lua ---------------------------------------------------------- */

/* A copy of the string in the field, or NULL. Nothing of ours can be lost: the
** problem is filled in when all of Lua's strings are there. */
static const char *text(struct problem *p, lua_State *L, int i,
                        const char *name) {
  const char *s = NULL;
  size_t n;
  lua_getfield(L, i, name);
  if (lua_type(L, -1) == LUA_TSTRING) {
    s = lua_tolstring(L, -1, &n);
    s = prg_arena_dup(&p->arena, s, n);
  }
  lua_pop(L, 1);
  return s;
}

/* Names that are in use already take no memory of Lua's. */
static void need_names(lua_State *L) {
  static const char *const names[] = {
      "kind",   "message", "sqlstate",   "code",     "position",
      "detail", "hint",    "constraint", "schema",   "table",
      "column", "sql",     "traceback",  "retryable"};
  size_t i;
  luaL_checkstack(L, 20, "error");
  for (i = 0; i < sizeof names / sizeof *names; i++)
    lua_pushstring(L, names[i]);
}

static void read_fields(struct problem *p, lua_State *L, int i) {
  perigee_error *e = &p->seen;
  e->message = text(p, L, i, "message");
  e->sqlstate = text(p, L, i, "sqlstate");
  e->detail = text(p, L, i, "detail");
  e->hint = text(p, L, i, "hint");
  e->constraint = text(p, L, i, "constraint");
  e->schema = text(p, L, i, "schema");
  e->table = text(p, L, i, "table");
  e->column = text(p, L, i, "column");
  e->sql = text(p, L, i, "sql");
  e->traceback = text(p, L, i, "traceback");
  lua_getfield(L, i, "code");
  lua_getfield(L, i, "position");
  lua_getfield(L, i, "retryable");
  e->code = (int)lua_tointeger(L, -3);
  e->position = (int)lua_tointeger(L, -2);
  e->retryable = lua_toboolean(L, -1);
  lua_pop(L, 3);
}

perigee_error *prg__problem_read(lua_State *L, int i) {
  struct problem *p;
  int top = lua_gettop(L);
  need_names(L);
  lua_getfield(L, i, "kind");
  p = new_problem(kind_of(lua_tostring(L, -1)));
  if (p != NULL) read_fields(p, L, i);
  lua_settop(L, top);
  if (p == NULL || p->seen.message != NULL) {
    return p == NULL ? &no_memory : &p->seen;
  }
  perigee_error_free(&p->seen);
  return &no_memory;
}
