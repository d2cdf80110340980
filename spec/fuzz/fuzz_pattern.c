/*
** libFuzzer: find, match, gmatch and gsub of the sandbox are our own, since their
** steps have to be counted. They must do what those of Lua 5.4 do. An input is a
** pattern, a subject and a replacement, each up to a zero byte; a sandbox takes
** long to make, so each beginning of the pattern is tried too. Links src/bind.
*/
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int luaopen_perigee_core(lua_State *L);

/* Long ones only take Lua's own functions long: they cannot be stopped. */
enum { MAX_PATTERN = 20, MAX_SUBJECT = 24 };

static const char script[] =
    "local core = ...\n"
    "local CODE = [[\n"
    "local s, r = call.s, call.r\n"
    "local out\n"
    "local function add(...)\n"
    "  for i = 1, select('#', ...) do\n"
    "    out[#out + 1] = tostring((select(i, ...)))\n"
    "  end\n"
    "end\n"
    "local function all(p)\n"
    "  for a, b in string.gmatch(s, p) do add(a, b) end\n"
    "end\n"
    "local function try(fn, ...)\n"
    "  out = {}\n"
    "  local ok = pcall(fn, ...)\n"
    "  return ok and table.concat(out, '\\0') or 'error'\n"
    "end\n"
    "local results = {}\n"
    "for n = 0, #call.p do\n"
    "  local p = call.p:sub(1, n)\n"
    "  results[#results + 1] = table.concat({ p,\n"
    "    try(function() add(s:find(p)) end),\n"
    "    try(function() add(s:find(p, #r, #r % 2 == 0)) end),\n"
    "    try(function() add(s:match(p)) end),\n"
    "    try(all, p), try(function() add(s:gsub(p, r)) end) }, '; ')\n"
    "end\n"
    "return table.concat(results, '\\n')]]\n"
    "local lua = load('local call = ...\\n' .. CODE)\n"
    "local prelude = 'return function(_, _, call)\\n' .. CODE .. '\\nend'\n"
    "return function(p, s, r)\n"
    "  local call = { p = p, s = s, r = r }\n"
    "  local ok, ours = pcall(core.sandbox, { prelude_source = prelude,\n"
    "    source = '', name = 'fuzz', call = call })\n"
    "  if not ok then error(ours, 0) end\n"
    "  local theirs = lua(call)\n"
    "  if ours ~= theirs then\n"
    "    error(('%q %q %q: %q, not %q'):format(p, s, r, ours, theirs), 0)\n"
    "  end\n"
    "end\n";

static lua_State *open(void) {
  lua_State *L = luaL_newstate();
  if (L == NULL) abort();
  luaL_openlibs(L);
  if (luaL_loadstring(L, script) != LUA_OK) abort();
  luaL_requiref(L, "perigee.core", luaopen_perigee_core, 0);
  if (lua_pcall(L, 1, 1, 0) != LUA_OK) abort();
  return L; /* the function is at 1 */
}

/* Pushes what is up to a zero byte, at most `max` bytes of it. */
static void push_part(lua_State *L, const uint8_t **p, const uint8_t *end,
                      size_t max) {
  const uint8_t *stop = memchr(*p, 0, (size_t)(end - *p));
  size_t n;
  if (stop == NULL) stop = end;
  n = (size_t)(stop - *p);
  lua_pushlstring(L, (const char *)*p, n > max ? max : n);
  *p = stop < end ? stop + 1 : end;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static lua_State *L;
  const uint8_t *p = data, *end = data + size;
  if (L == NULL) L = open();
  lua_settop(L, 1);
  lua_pushvalue(L, 1);
  push_part(L, &p, end, MAX_PATTERN);
  push_part(L, &p, end, MAX_SUBJECT);
  push_part(L, &p, end, MAX_PATTERN);
  if (lua_pcall(L, 3, 0, 0) != LUA_OK) {
    fprintf(stderr, "%s\n", luaL_tolstring(L, -1, NULL));
    abort();
  }
  return 0;
}
