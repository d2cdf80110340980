/*
** What a sandbox has: of Lua's libraries what is listed here, with functions of
** our own where Lua's could run without end in one piece, catch what must not be
** caught, or run code later. The rest is Lua (lua/perigee/sandbox/base.lua).
*/
#include "bind/sandbox_int.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_FILE = 4 << 20, MAX_MODULE = 200 };

/* ---- base functions ------------------------------------------------------ */

/* After a failed protected call: a limit goes on upwards. The error is on top.
** [-0, +0, e] */
static void pass_limit(lua_State *S, int status) {
  if (status == LUA_ERRMEM) prg_sandbox_stop(S, PRG_STOP_MEMORY);
  if (prg_sandbox_of(S)->stop != PRG_STOP_NONE) lua_error(S);
}

/* lua_pcall of the script's, whose limits it does not catch. */
static int call(lua_State *S, int nargs, int nresults) {
  struct prg_sandbox *box = prg_sandbox_of(S);
  int depth = box->depth, status;
  prg_sandbox_enter(S);
  status = lua_pcall(S, nargs, nresults, 0);
  box->depth = depth;
  if (status != LUA_OK) pass_limit(S, status);
  prg_sandbox_charge(S, status != LUA_OK ? 200 : 10); /* about what it takes */
  return status;
}

static int base_pcall(lua_State *S) {
  int status;
  luaL_checkany(S, 1);
  lua_pushboolean(S, 1);
  lua_insert(S, 1);
  status = call(S, lua_gettop(S) - 2, LUA_MULTRET);
  if (status == LUA_OK) return lua_gettop(S);
  lua_pushboolean(S, 0);
  lua_insert(S, -2);
  return 2;
}

/* The handler is called when the call is over: within it, it would run inside of
** the hook that has raised, where no hook stops it. */
static int base_xpcall(lua_State *S) {
  int n = lua_gettop(S);
  luaL_checktype(S, 2, LUA_TFUNCTION);
  lua_pushvalue(S, 1);
  lua_insert(S, 3); /* stack: function, handler, function, arguments */
  if (call(S, n - 2, LUA_MULTRET) != LUA_OK) {
    (void)call(S, 1, 1); /* the handler, with the error */
    lua_pushboolean(S, 0);
    lua_insert(S, -2);
    return 2;
  }
  lua_pushboolean(S, 1);
  lua_replace(S, 2);
  return lua_gettop(S) - 1;
}

/* Lua's own, but for finalizers: they would run when nobody looks. */
static int base_setmetatable(lua_State *S) {
  luaL_checktype(S, 1, LUA_TTABLE);
  if (lua_type(S, 2) != LUA_TNIL) luaL_checktype(S, 2, LUA_TTABLE);
  lua_settop(S, 2);
  if (luaL_getmetafield(S, 1, "__metatable"))
    return luaL_error(S, "cannot change a protected metatable");
  lua_settop(S, 2);
  if (!lua_isnil(S, 2)) {
    lua_pushliteral(S, "__gc");
    lua_rawget(S, 2);
    if (!lua_isnil(S, 3))
      return luaL_error(S, "there are no finalizers (__gc) here");
    lua_settop(S, 2);
  }
  lua_setmetatable(S, 1);
  return 1;
}

/* string.rep(s, n [, sep]) */
static int string_rep(lua_State *S) {
  size_t len, gap, total, i, max = prg_sandbox_of(S)->limit;
  const char *s = luaL_checklstring(S, 1, &len);
  lua_Integer n = luaL_checkinteger(S, 2);
  const char *sep = luaL_optlstring(S, 3, "", &gap);
  char *out, *to;
  if (n <= 0 || len + gap == 0) {
    lua_pushliteral(S, "");
    return 1;
  }
  if (len > max || gap > max || (size_t)n > max / (len + gap) + 1)
    return prg_sandbox_stop(S, PRG_STOP_MEMORY);
  total = (size_t)n * (len + gap) - gap;
  prg_sandbox_charge(S, total / 16 + (size_t)n);
  out = to = lua_newuserdatauv(S, total + 1, 0);
  for (i = 0; i < (size_t)n; i++) {
    memcpy(to, s, len);
    to += len;
    if (i + 1 == (size_t)n) break;
    memcpy(to, sep, gap);
    to += gap;
  }
  lua_pushlstring(S, out, total);
  return 1;
}

/* ---- for the prelude ----------------------------------------------------- */

/* load_text(source, name, env) -> function | nil, message. Never bytecode, which
** can do anything. */
static int load_text(lua_State *S) {
  size_t n;
  const char *text = luaL_checklstring(S, 1, &n);
  const char *name = luaL_checkstring(S, 2);
  int status;
  lua_settop(S, 3);
  if (n >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) { /* as editors put it */
    text += 3;
    n -= 3;
  }
  prg_sandbox_charge(S, n);
  if (n > 0 && text[0] == LUA_SIGNATURE[0]) {
    lua_pushnil(S);
    lua_pushfstring(S, "%s: it is compiled code; only text is read", name);
    return 2;
  }
  lua_pushfstring(S, "@%s", name);
  status = luaL_loadbufferx(S, text, n, lua_tostring(S, -1), "t");
  if (status != LUA_OK) {
    pass_limit(S, status);
    lua_pushnil(S);
    lua_insert(S, -2);
    return 2;
  }
  if (lua_istable(S, 3)) {
    lua_pushvalue(S, 3);
#if LUA_VERSION_NUM >= 502
    if (lua_setupvalue(S, -2, 1) == NULL) lua_pop(S, 1);
#else
    lua_setfenv(S, -2);
#endif
  }
  return 1;
}

static bool is_ours(const char *source) {
  static const char folder[] = "@perigee/sandbox/";
  return strncmp(source, folder, sizeof folder - 1) == 0;
}

/* where([level]) -> file, line: the function that calls is level 1; without one
** the innermost that is not of a prelude. Nothing when there is none. */
static int where(lua_State *S) {
  lua_Integer level = luaL_optinteger(S, 1, 0);
  bool search = level < 1;
  lua_Debug ar;
  if (search) level = 1;
  for (; level < INT_MAX && lua_getstack(S, (int)level, &ar); level++) {
    (void)lua_getinfo(S, "Sl", &ar);
    if (ar.currentline > 0 && ar.source[0] == '@' &&
        !(search && is_ours(ar.source))) {
      lua_pushstring(S, ar.source + 1);
      lua_pushinteger(S, ar.currentline);
      return 2;
    }
    if (!search) break;
  }
  return 0;
}

/* ---- files for `require` ------------------------------------------------- */

/* "a.b" as "a/b" in `out`; false: it is no name of a module. */
static bool module_path(const char *name, size_t len,
                        char out[MAX_MODULE + 1]) {
  size_t i;
  if (len == 0 || len > MAX_MODULE) return false;
  for (i = 0; i <= len; i++) {
    char c = name[i];
    bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                (c >= '0' && c <= '9') || c == '_' || c == '-';
    bool dot = c == '.' && i > 0 && name[i - 1] != '.' && i + 1 < len;
    if (!word && !dot && i < len) return false;
    out[i] = c == '.' ? '/' : c;
  }
  return true;
}

enum found { FOUND, MISSING, OUTSIDE };

/* Its real path, when that is in the folder. */
static enum found resolve(const char *root, const char *path,
                          char real[PATH_MAX]) {
  char folder[PATH_MAX];
  size_t n;
  if (realpath(root, folder) == NULL || realpath(path, real) == NULL)
    return MISSING;
  n = strcmp(folder, "/") == 0 ? 0 : strlen(folder);
  if (strncmp(real, folder, n) != 0 || real[n] != '/') return OUTSIDE;
  return FOUND;
}

/* Pushes the contents; nothing that raises happens while the file is open.
** [-0, +(0|1), e] */
static bool push_file(lua_State *S, const char *real) {
  struct stat st;
  size_t n = 0;
  ssize_t got = 0;
  char *room;
  int fd;
  if (stat(real, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > MAX_FILE)
    return false;
  room = lua_newuserdatauv(S, (size_t)st.st_size + 1, 0);
  fd = open(real, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
  while (fd >= 0 && n <= (size_t)st.st_size) {
    got = read(fd, room + n, (size_t)st.st_size + 1 - n);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    n += (size_t)got;
  }
  if (fd >= 0) close(fd);
  if (fd < 0 || got < 0 || n > (size_t)st.st_size) { /* it has just grown */
    lua_pop(S, 1);
    return false;
  }
  lua_pushlstring(S, room, n);
  lua_remove(S, -2);
  return true;
}

/* loader(name) -> source, path | nil, why. Reads files below the root only,
** wherever links lead. */
static int loader(lua_State *S) {
  const char *root = prg_sandbox_of(S)->root, *path;
  char module[MAX_MODULE + 1], real[PATH_MAX];
  size_t len;
  const char *name = luaL_checklstring(S, 1, &len);
  lua_settop(S, 1);
  lua_pushnil(S);
  if (!module_path(name, len, module)) {
    lua_pushfstring(S,
                    "\"%s\" is no name of a module (letters, digits, _ and -; "
                    "a dot for a folder)",
                    name);
    return 2;
  }
  if (root == NULL) {
    lua_pushfstring(S, "module \"%s\": there is no folder to load it from",
                    name);
    return 2;
  }
  prg_sandbox_charge(S, 1000); /* system calls */
  if (strcmp(root, ".") == 0)
    path = lua_pushfstring(S, "%s.lua", module);
  else
    path = lua_pushfstring(S, "%s/%s.lua", root, module);
  switch (resolve(root, path, real)) {
    case FOUND:
      if (push_file(S, real)) { /* stack: name, nil, path, source */
        lua_insert(S, 3);
        return 2;
      }
      lua_pushfstring(S,
                      "module \"%s\": %s is no text file of at most 4 MiB that "
                      "can be read",
                      name, path);
      break;
    case OUTSIDE:
      lua_pushfstring(S, "module \"%s\": %s leads out of the folder %s", name,
                      path, root);
      break;
    case MISSING:
      lua_pushfstring(S, "module \"%s\" was not found (no file %s)", name,
                      path);
      break;
  }
  lua_remove(S, 3); /* stack: name, nil, message */
  return 2;
}

/* ---- preludes ------------------------------------------------------------ */

static const char parts_key = 0; /* registry: what part() has loaded */

const struct prg_prelude *prg_prelude_find(const char *name) {
  static const char folder[] = "perigee.sandbox.";
  const struct prg_prelude *p = prg_preludes;
  for (; p->name != NULL; p++)
    if (strncmp(p->name, folder, sizeof folder - 1) == 0 &&
        strcmp(p->name + sizeof folder - 1, name) == 0)
      return p;
  return NULL;
}

void prg_sandbox_run_own(lua_State *S, const char *code, size_t n,
                         const char *file) {
  int status;
  lua_pushfstring(S, "@%s", file);
  status = luaL_loadbufferx(S, code, n, lua_tostring(S, -1), "t");
  if (status != LUA_OK) pass_limit(S, status);
  if (status != LUA_OK) lua_error(S);
  lua_remove(S, -2);
  lua_call(S, 0, 1);
}

/* The same for a file that is linked in. [-0, +1, e] */
static void run_part(lua_State *S, const char *name) {
  const struct prg_prelude *p = prg_prelude_find(name);
  if (p == NULL) luaL_error(S, "the sandbox has no part \"%s\"", name);
  prg_sandbox_run_own(S, (const char *)p->code, p->len, p->file);
}

/* part(name) -> what lua/perigee/sandbox/<name>.lua returns; it is run once. */
static int part(lua_State *S) {
  const char *name = luaL_checkstring(S, 1);
  lua_settop(S, 1);
  lua_rawgetp(S, LUA_REGISTRYINDEX, &parts_key);
  lua_getfield(S, 2, name);
  if (!lua_isnil(S, 3)) return 1;
  run_part(S, name);
  lua_pushvalue(S, -1);
  lua_setfield(S, 2, name);
  return 1;
}

static void set_own(lua_State *S, const luaL_Reg *list) {
  for (; list->name != NULL; list++) {
    lua_pushcfunction(S, list->func);
    lua_setfield(S, -2, list->name);
  }
}

static const luaL_Reg helpers[] = {{"load_text", load_text},
                                   {"where", where},
                                   {"loader", loader},
                                   {"part", part},
                                   {NULL, NULL}};

void prg_sandbox_push_helpers(lua_State *S) {
  prg_unpack(S, &prg_sandbox_of(S)->data);
  lua_newtable(S);
  set_own(S, helpers);
}

/* ---- filling ------------------------------------------------------------- */

static const char *const base_names[] = {
    "error",    "getmetatable", "ipairs", "next",   "rawequal",
    "rawget",   "rawlen",       "rawset", "select", "tonumber",
    "tostring", "type",         "unpack", NULL};
static const char *const string_names[] = {
    "byte", "char", "format", "len", "lower", "reverse", "sub", "upper", NULL};
static const char *const table_names[] = {"concat", "unpack", NULL};
static const char *const math_names[] = {
    "abs",        "ceil", "floor",      "fmod", "huge", "max",
    "maxinteger", "min",  "mininteger", "modf", "pi",   "sqrt",
    "tointeger",  "type", "exp",        "log",  "sin",  "cos",
    "tan",        "asin", "acos",       "atan", NULL};

static const luaL_Reg base_own[] = {{"pcall", base_pcall},
                                    {"xpcall", base_xpcall},
                                    {"setmetatable", base_setmetatable},
                                    {NULL, NULL}};

/* Runs luaopen_x and pushes a table with what is listed of its functions.
** [-0, +1, e] */
static void push_library(lua_State *S, lua_CFunction open, const char *lib,
                         const char *const *names) {
  lua_newtable(S);
  lua_pushcfunction(S, open);
  lua_pushstring(S, lib);
  lua_call(S, 1, 1);
  for (; *names != NULL; names++) {
    lua_getfield(S, -1, *names);
    lua_setfield(S, -3, *names);
  }
  lua_pop(S, 1);
}

/* The table on top becomes that of the globals. */
static void set_globals(lua_State *S) {
  lua_pushvalue(S, -1);
  lua_setfield(S, -2, "_G");
#if LUA_VERSION_NUM >= 502
  lua_rawseti(S, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
#else
  lua_replace(S, LUA_GLOBALSINDEX);
#endif
}

void prg_sandbox_fill(lua_State *S) {
  push_library(S, luaopen_base, "", base_names);
  set_own(S, base_own);
  push_library(S, luaopen_string, "string", string_names);
  set_own(S, prg_sandbox_patterns);
  lua_pushcfunction(S, string_rep);
  lua_setfield(S, -2, "rep");
  lua_pushliteral(S, ""); /* s:rep() is this library's too */
  (void)lua_getmetatable(S, -1);
  lua_pushvalue(S, -3);
  lua_setfield(S, -2, "__index");
  lua_pop(S, 2);
  lua_setfield(S, -2, "string");
  push_library(S, luaopen_table, "table", table_names);
  lua_setfield(S, -2, "table");
  push_library(S, luaopen_math, "math", math_names);
  lua_setfield(S, -2, "math");
  set_globals(S);
  lua_newtable(S);
  lua_rawsetp(S, LUA_REGISTRYINDEX, &parts_key);
  run_part(S, "base");
  lua_pop(S, 1);
}
