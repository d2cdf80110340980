/* Database URLs: userdata "perigee.url", immutable. */
#include "bind/lvalue.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

static const char meta_key = 0; /* registry: the metatable */

/* The parts that are texts. */
static const struct part {
  const char *name;
  size_t at;
} parts[] = {
    {"scheme", offsetof(struct prg_url, scheme)},
    {"user", offsetof(struct prg_url, user)},
    {"password", offsetof(struct prg_url, password)},
    {"host", offsetof(struct prg_url, host)},
    {"port", offsetof(struct prg_url, port)},
    {"database", offsetof(struct prg_url, database)},
};

enum { NPARTS = sizeof parts / sizeof *parts };

static char **part_of(struct prg_url *u, const struct part *p) {
  return (char **)(void *)((char *)u + p->at);
}

static const struct part *find_part(const char *name) {
  int k;
  for (k = 0; k < NPARTS; k++)
    if (strcmp(parts[k].name, name) == 0) return &parts[k];
  return NULL;
}

/* Pushes an empty one. [-0, +1, m] */
static struct prg_url *push_url(lua_State *L) {
  struct prg_url *u = lua_newuserdatauv(L, sizeof *u, 0);
  memset(u, 0, sizeof *u);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &meta_key);
  lua_setmetatable(L, -2);
  return u;
}

static struct prg_url *test_url(lua_State *L, int i) {
  bool ours;
  if (lua_type(L, i) != LUA_TUSERDATA || !lua_getmetatable(L, i)) return NULL;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &meta_key);
  ours = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  return ours ? lua_touserdata(L, i) : NULL;
}

static struct prg_url *check_url(lua_State *L, int i) {
  struct prg_url *u = test_url(L, i);
  if (u == NULL)
    prg_usage(L, "a perigee.url is needed, not %s", prg_wrap_describe(L, i));
  return u;
}

/* ---- copies -------------------------------------------------------------- */

static bool copy_text(char **to, const char *from) {
  *to = prg_strdup(from);
  return *to != NULL || from == NULL;
}

static bool copy_params(struct prg_url *to, const struct prg_url *from) {
  if (from->nparams == 0) return true;
  to->params = prg_calloc(from->nparams, sizeof *to->params);
  if (to->params == NULL) return false;
  while (to->nparams < from->nparams) {
    struct prg_param *p = &to->params[to->nparams];
    const struct prg_param *q = &from->params[to->nparams++];
    if (!copy_text(&p->name, q->name) || !copy_text(&p->value, q->value))
      return false;
  }
  return true;
}

/* False without memory; `to`, empty before, is then to be finished. */
static bool copy_url(struct prg_url *to, const struct prg_url *from) {
  return copy_text(&to->scheme, from->scheme) &&
         copy_text(&to->given, from->given) &&
         copy_text(&to->user, from->user) &&
         copy_text(&to->password, from->password) &&
         copy_text(&to->host, from->host) && copy_text(&to->port, from->port) &&
         copy_text(&to->database, from->database) && copy_params(to, from);
}

int prg_url_from_lua(lua_State *L, int i, struct prg_url *out) {
  const struct prg_url *u = test_url(L, i);
  struct prg_error *err = NULL;
  const char *s;
  size_t n;
  memset(out, 0, sizeof *out);
  if (u != NULL) {
    if (copy_url(out, u)) return PRG_OK;
    prg_url_fini(out);
    prg_raise(L, prg_error_oom());
  }
  if (lua_type(L, i) != LUA_TSTRING)
    prg_usage(L, "a database URL is a string or a perigee.url, not %s",
              prg_wrap_describe(L, i));
  s = lua_tolstring(L, i, &n);
  if (prg_url_parse(s, n, out, &err) != PRG_OK) prg_raise(L, err);
  return PRG_OK;
}

static int core_url(lua_State *L) {
  struct prg_url *u;
  lua_settop(L, 1);
  u = push_url(L);
  prg_url_from_lua(L, 1, u);
  return 1;
}

/* ---- parts --------------------------------------------------------------- */

/* A table of name to value; of a name that is there twice the last counts. */
static void push_params(lua_State *L, const struct prg_url *u) {
  size_t k;
  lua_createtable(L, 0, (int)u->nparams);
  for (k = 0; k < u->nparams; k++) {
    lua_pushstring(L, u->params[k].name);
    lua_pushstring(L, u->params[k].value);
    lua_rawset(L, -3);
  }
}

/* The port is a number, unless it is a list of them. */
static void push_part(lua_State *L, const struct part *p, const char *text) {
  if (text == NULL)
    lua_pushnil(L);
  else if (strcmp(p->name, "port") == 0 && strchr(text, ',') == NULL)
    lua_pushinteger(L, (lua_Integer)strtol(text, NULL, 10));
  else
    lua_pushstring(L, text);
}

static int url__index(lua_State *L) {
  struct prg_url *u = check_url(L, 1);
  const struct part *p;
  lua_settop(L, 2);
  if (lua_type(L, 2) != LUA_TSTRING) return 0;
  p = find_part(lua_tostring(L, 2));
  if (p != NULL) {
    push_part(L, p, *part_of(u, p));
  } else if (strcmp(lua_tostring(L, 2), "params") == 0) {
    push_params(L, u);
  } else {
    lua_pushvalue(L, 2);
    lua_rawget(L, lua_upvalueindex(1)); /* the methods */
  }
  return 1;
}

static int url__newindex(lua_State *L) {
  return prg_usage(L,
                   "a perigee.url cannot be changed; url:with{ … } makes a "
                   "new one");
}

static bool same_text(const char *a, const char *b) {
  return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool same_params(const struct prg_url *a, const struct prg_url *b) {
  size_t k;
  if (a->nparams != b->nparams) return false;
  for (k = 0; k < a->nparams; k++)
    if (!same_text(a->params[k].name, b->params[k].name) ||
        !same_text(a->params[k].value, b->params[k].value))
      return false;
  return true;
}

/* The name of a part that differs, or NULL. */
static const char *find_difference(struct prg_url *a, struct prg_url *b) {
  int k;
  for (k = 0; k < NPARTS; k++)
    if (!same_text(*part_of(a, &parts[k]), *part_of(b, &parts[k])))
      return parts[k].name;
  return same_params(a, b) ? NULL : "params";
}

/* The scheme counts as its canonical name: postgresql:// is postgres://. */
static int url__eq(lua_State *L) {
  struct prg_url *a = test_url(L, 1), *b = test_url(L, 2);
  lua_pushboolean(L, a != NULL && b != NULL && find_difference(a, b) == NULL);
  return 1;
}

/* ---- text ---------------------------------------------------------------- */

static int push_format(lua_State *L, const struct prg_url *u, bool mask) {
  struct prg_scratch *s = prg_scratch_push(L);
  prg_url_format(u, mask, &s->buf);
  if (s->buf.failed) prg_raise(L, prg_error_oom());
  lua_pushlstring(L, s->buf.data == NULL ? "" : s->buf.data, s->buf.len);
  prg_scratch_fini(s);
  return 1;
}

static int url__tostring(lua_State *L) {
  return push_format(L, check_url(L, 1), true);
}

static int url_reveal(lua_State *L) {
  return push_format(L, check_url(L, 1), false);
}

static int url__gc(lua_State *L) {
  struct prg_url *u = test_url(L, 1);
  if (u != NULL) prg_url_fini(u);
  return 0;
}

/* ---- url:with{ … } ------------------------------------------------------- */

static void replace_text(lua_State *L, char **field, const char *text) {
  char *copy = prg_strdup(text);
  if (copy == NULL && text != NULL) prg_raise(L, prg_error_oom());
  prg_free(*field);
  *field = copy;
}

/* The text of the value on top: NULL for perigee.null. Only a password may be
** empty; else it is as if the part were not there. */
static const char *part_text(lua_State *L, const char *name) {
  const char *s;
  size_t n;
  if (lua_type(L, -1) == LUA_TLIGHTUSERDATA && lua_touserdata(L, -1) == NULL)
    return NULL;
  if (strcmp(name, "port") == 0 && lua_type(L, -1) == LUA_TNUMBER) {
    if (!prg_isinteger(L, -1))
      prg_usage(L, "url:with: port must be an integer");
  } else if (lua_type(L, -1) != LUA_TSTRING) {
    prg_usage(L, "url:with: %s must be a string or perigee.null, not %s", name,
              prg_wrap_describe(L, -1));
  }
  s = lua_tolstring(L, -1, &n); /* a number becomes a string on the stack */
  if (strlen(s) != n)
    prg_usage(L, "url:with: %s cannot contain a zero byte", name);
  return n == 0 && strcmp(name, "password") != 0 ? NULL : s;
}

static int compare_params(const void *a, const void *b) {
  const struct prg_param *x = a, *y = b;
  return strcmp(x->name, y->name);
}

static void drop_params(struct prg_url *u) {
  while (u->nparams > 0) {
    struct prg_param *p = &u->params[--u->nparams];
    prg_free(p->name);
    prg_free(p->value);
  }
  prg_free(u->params);
  u->params = NULL;
}

/* One parameter: its name and text at -2 and -1 of the stack. */
static void add_param(lua_State *L, struct prg_url *u) {
  struct prg_param *p =
      prg_realloc(u->params, (u->nparams + 1) * sizeof *u->params);
  if (p == NULL) prg_raise(L, prg_error_oom());
  u->params = p;
  p = &p[u->nparams++];
  p->name = p->value = NULL;
  replace_text(L, &p->name, lua_tostring(L, -2));
  replace_text(L, &p->value, lua_tostring(L, -1));
}

/* All parameters from the table on top, sorted by name. */
static void set_params(lua_State *L, struct prg_url *u) {
  drop_params(u);
  if (lua_type(L, -1) != LUA_TTABLE)
    prg_usage(L, "url:with: params must be a table of names and values");
  lua_pushnil(L);
  while (lua_next(L, -2)) {
    if (lua_type(L, -2) != LUA_TSTRING ||
        (lua_type(L, -1) != LUA_TSTRING && lua_type(L, -1) != LUA_TNUMBER))
      prg_usage(L,
                "url:with: params must be a table of names and values, "
                "strings or numbers");
    add_param(L, u);
    lua_pop(L, 1);
  }
  if (u->nparams > 1)
    qsort(u->params, u->nparams, sizeof *u->params, compare_params);
}

static void set_part(lua_State *L, struct prg_url *u, const char *name) {
  const struct part *p = find_part(name);
  if (p != NULL) {
    const char *text = part_text(L, name);
    replace_text(L, part_of(u, p), text);
    if (p == parts) replace_text(L, &u->given, text);
  } else if (strcmp(name, "params") == 0) {
    set_params(L, u);
  } else {
    prg_usage(L,
              "url:with: there is no part %s; the parts are scheme, user, "
              "password, host, port, database and params",
              name);
  }
}

/* The changed parts are written and read again, so that what a URL of this
** scheme cannot say is refused, not dropped. */
static struct prg_url *push_checked(lua_State *L, struct prg_url *changed) {
  struct prg_scratch *s = prg_scratch_push(L);
  struct prg_url *u = push_url(L);
  struct prg_error *err = NULL;
  const char *lost;
  if (changed->scheme == NULL) prg_usage(L, "url:with: a URL needs a scheme");
  prg_url_format(changed, false, &s->buf);
  if (s->buf.failed) prg_raise(L, prg_error_oom());
  if (prg_url_parse(s->buf.data, s->buf.len, u, &err) != PRG_OK)
    prg_raise(L, err);
  prg_scratch_fini(s);
  /* "postgresql" is read as "postgres" */
  replace_text(L, &changed->scheme, u->scheme);
  lost = find_difference(changed, u);
  if (lost != NULL)
    prg_usage(L, "url:with: a %s URL cannot have this %s", u->scheme, lost);
  return u;
}

static int url_with(lua_State *L) {
  struct prg_url *u = check_url(L, 1), *changed;
  lua_settop(L, 2);
  if (lua_type(L, 2) != LUA_TTABLE)
    prg_usage(L, "url:with: a table of parts is needed, not %s",
              prg_wrap_describe(L, 2));
  changed = push_url(L);
  if (!copy_url(changed, u)) prg_raise(L, prg_error_oom());
  lua_pushnil(L);
  while (lua_next(L, 2)) { /* stack: url, parts, changed, key, value */
    if (lua_type(L, 4) != LUA_TSTRING)
      prg_usage(L, "url:with: the keys are names of parts");
    set_part(L, changed, lua_tostring(L, 4));
    lua_settop(L, 4);
  }
  (void)push_checked(L, changed);
  return 1;
}

/* ---- opening ------------------------------------------------------------- */

static const luaL_Reg metamethods[] = {
    {"__newindex", url__newindex},
    {"__eq", url__eq},
    {"__tostring", url__tostring},
    {"__gc", url__gc},
    {NULL, NULL},
};

static void set_functions(lua_State *L, const luaL_Reg *f) {
  for (; f->name != NULL; f++) {
    lua_pushcfunction(L, f->func);
    lua_setfield(L, -2, f->name);
  }
}

int prg_url_open(lua_State *L) {
  static const luaL_Reg methods[] = {
      {"with", url_with}, {"reveal", url_reveal}, {NULL, NULL}};
  lua_createtable(L, 0, 6);
  lua_pushliteral(L, "perigee.url");
  lua_setfield(L, -2, "__name");
  lua_pushliteral(L, "perigee.url"); /* nobody else calls __gc */
  lua_setfield(L, -2, "__metatable");
  set_functions(L, metamethods);
  lua_newtable(L);
  set_functions(L, methods);
  lua_pushcclosure(L, url__index, 1);
  lua_setfield(L, -2, "__index");
  lua_rawsetp(L, LUA_REGISTRYINDEX, &meta_key);
  lua_pushcfunction(L, core_url);
  lua_setfield(L, -2, "url");
  return 0;
}
