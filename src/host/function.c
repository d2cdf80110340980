/* Globals, databases, and functions of scripts for the program. */
#include "host/api_int.h"

#include <stdarg.h>

#include <lauxlib.h>

#include "base/mem.h"

/* ---- globals with dots in their names ------------------------------------ */

static int refuse(lua_State *L, const char *format, ...) {
  va_list ap;
  va_start(ap, format);
  lua_pushvfstring(L, format, ap);
  va_end(ap);
  return prg__raise(L, "usage");
}

/* The length of the first word, 0 when it is no name. */
static size_t word(const char *name) {
  size_t n = strcspn(name, ".");
  return name[n] == '.' && name[n + 1] == '\0' ? 0 : n;
}

const char *prg__push_holder(lua_State *L, const char *name, bool make) {
  const char *whole = name;
  size_t n;
  lua_pushglobaltable(L);
  while ((n = word(name)) > 0 && name[n] == '.') {
    lua_pushlstring(L, name, n);
    lua_rawget(L, -2);
    if (lua_isnil(L, -1) && make) {
      lua_pop(L, 1);
      lua_newtable(L);
      lua_pushlstring(L, name, n);
      lua_pushvalue(L, -2);
      lua_rawset(L, -4);
    }
    if (!lua_istable(L, -1))
      refuse(L, "\"%s\": %s is not a table", whole,
             lua_pushlstring(L, name, n));
    lua_remove(L, -2);
    name += n + 1;
  }
  if (n == 0) refuse(L, "\"%s\" is not a name", whole);
  return name;
}

struct global {
  const char *name;
  const perigee_value *value;
};

/* The last thing that a function of perigee.h does. */
static bool run(perigee *rt, lua_CFunction fn, void *arg, perigee_error **err) {
  bool ok = prg__protect(rt, fn, arg, err);
  (void)prg__was_freed(rt);
  return ok;
}

static int p_set(lua_State *L) {
  struct global *g = lua_touserdata(L, 1);
  const char *last = prg__push_holder(L, g->name, true);
  lua_pushstring(L, last);
  prg__value_push(L, g->value);
  lua_rawset(L, -3);
  return 0;
}

/* What a name that the program gives may not be. */
static bool check_name(const char *what, const char *name,
                       perigee_error **err) {
  if (name != NULL && *name != '\0') return true;
  prg__refuse(err, PERIGEE_E_USAGE, "%s: the name is missing", what);
  return false;
}

int perigee_set(perigee *rt, const char *name, perigee_value value,
                perigee_error **err) {
  struct global g = {name, &value};
  const char *why;
  if (!prg__usable(rt, "perigee_set", err)) return -1;
  if (!check_name("perigee_set", name, err)) return -1;
  why = prg__value_check(&value);
  if (why != NULL)
    return prg__refuse(err, PERIGEE_E_USAGE, "perigee_set: %s", why);
  return run(rt, p_set, &g, err) ? 0 : -1;
}

/* ---- databases ----------------------------------------------------------- */

struct opening {
  const char *name, *url;
  const perigee_value *options;
};

static int p_open_database(lua_State *L) {
  struct opening *o = lua_touserdata(L, 1);
  const char *last = prg__push_holder(L, o->name, true);
  lua_pushstring(L, last);
  prg__push_part(L, "open");
  lua_pushstring(L, o->url);
  if (o->options != NULL)
    prg__value_push(L, o->options);
  else
    lua_pushnil(L);
  lua_call(L, 2, 1);
  lua_rawset(L, -3);
  return 0;
}

int perigee_open(perigee *rt, const char *name, const char *url,
                 const perigee_value *options, perigee_error **err) {
  struct opening o = {name, url, options};
  const char *why = NULL;
  if (!prg__usable(rt, "perigee_open", err)) return -1;
  if (!check_name("perigee_open", name, err)) return -1;
  if (url == NULL)
    why = "the URL is NULL (a variable that is not set?)";
  else if (options != NULL && options->type != PERIGEE_RECORD)
    why = "the options must be a record";
  else if (options != NULL)
    why = prg__value_check(options);
  if (why != NULL)
    return prg__refuse(err, PERIGEE_E_USAGE, "perigee_open: %s", why);
  return run(rt, p_open_database, &o, err) ? 0 : -1;
}

/* ---- functions of scripts ------------------------------------------------ */

struct loading {
  perigee_function *f;
  const char *name, *text;
  size_t length;
};

static perigee_function *new_function(perigee *rt, perigee_error **err) {
  perigee_function *f = prg_calloc(1, sizeof *f);
  if (f == NULL) {
    prg__refuse(err, PERIGEE_E_RESOURCE, "out of memory");
    return NULL;
  }
  f->rt = rt;
  prg_list_push_back(&rt->functions, &f->link);
  return f;
}

/* Runs `fn`, which puts a function into the registry. */
static perigee_function *load(perigee *rt, lua_CFunction fn, struct loading *l,
                              perigee_error **err) {
  l->f = new_function(rt, err);
  if (l->f == NULL || run(rt, fn, l, err)) return l->f;
  perigee_function_free(l->f);
  return NULL;
}

static int keep(lua_State *L, int status, const struct loading *l) {
  if (status != LUA_OK) return lua_error(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, l->f);
  return 0;
}

static int p_load_file(lua_State *L) {
  struct loading *l = lua_touserdata(L, 1);
  return keep(L, luaL_loadfilex(L, l->name, "t"), l);
}

static int p_load_text(lua_State *L) {
  struct loading *l = lua_touserdata(L, 1);
  int status;
  lua_pushfstring(L, "@%s", l->name);
  status = luaL_loadbufferx(L, l->length > 0 ? l->text : "", l->length,
                            lua_tostring(L, -1), "t");
  return keep(L, status, l);
}

static int p_find(lua_State *L) {
  struct loading *l = lua_touserdata(L, 1);
  const char *last = prg__push_holder(L, l->name, false);
  lua_pushstring(L, last);
  lua_rawget(L, -2);
  if (!lua_isfunction(L, -1))
    return refuse(L, "\"%s\" is not a function but %s", l->name,
                  luaL_typename(L, -1));
  return keep(L, LUA_OK, l);
}

perigee_function *perigee_load_file(perigee *rt, const char *path,
                                    perigee_error **err) {
  struct loading l = {NULL, path, NULL, 0};
  if (!prg__usable(rt, "perigee_load_file", err)) return NULL;
  if (!check_name("perigee_load_file", path, err)) return NULL;
  return load(rt, p_load_file, &l, err);
}

perigee_function *perigee_load_text(perigee *rt, const char *name,
                                    const char *text, size_t length,
                                    perigee_error **err) {
  struct loading l = {NULL, name, text, length};
  if (!prg__usable(rt, "perigee_load_text", err)) return NULL;
  if (!check_name("perigee_load_text", name, err)) return NULL;
  if (text == NULL && length > 0) {
    prg__refuse(err, PERIGEE_E_USAGE, "perigee_load_text: the text is NULL");
    return NULL;
  }
  return load(rt, p_load_text, &l, err);
}

perigee_function *perigee_find(perigee *rt, const char *name,
                               perigee_error **err) {
  struct loading l = {NULL, name, NULL, 0};
  if (!prg__usable(rt, "perigee_find", err)) return NULL;
  if (!check_name("perigee_find", name, err)) return NULL;
  return load(rt, p_find, &l, err);
}

void prg__function_push(lua_State *L, const perigee_function *f) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, f);
}

/* Setting a key to nil takes no memory and does not raise. */
void perigee_function_free(perigee_function *f) {
  if (f == NULL) return;
  if (f->rt != NULL) {
    lua_State *L = f->rt->at;
    if (L != NULL && lua_checkstack(L, 1)) {
      lua_pushnil(L);
      lua_rawsetp(L, LUA_REGISTRYINDEX, f);
    }
    prg_list_remove(&f->rt->functions, &f->link);
  }
  prg_free(f);
}

void prg__functions_forget(perigee *rt) {
  struct prg_link *k;
  while ((k = prg_list_pop_front(&rt->functions)) != NULL)
    PRG_CONTAINER(k, perigee_function, link)->rt = NULL;
  while ((k = prg_list_pop_front(&rt->natives)) != NULL)
    prg_free(PRG_CONTAINER(k, struct prg_native, link));
}
