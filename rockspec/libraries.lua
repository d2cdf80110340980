-- Finds the libraries that a rock is built with, for rockspec/Makefile.
--
--   lua libraries.lua OUTPUT "LIBRARY…" NAME=VALUE…
--
-- Compiles and links a few lines with each LIBRARY and writes what the compiler
-- has to be told into OUTPUT, a piece of a makefile: <NAME>_CFLAGS, <NAME>_LIBS. What
-- is not there is named, all of it at once, with the package that has it. NAME=VALUE:
-- CC, the variables of LuaRocks, and those of its convention: JANSSON_INCDIR,
-- JANSSON_LIBDIR. Runs in any Lua.

-- test: must compile; needs: what to install; optional: left out when not found.
-- flags: where distributions have it, each pair to be tried in turn.
local known = {
  openssl = {
    name = "OPENSSL",
    title = "OpenSSL 1.1.1 or later (openssl/evp.h, libcrypto)",
    packages = "Debian: libssl-dev · Fedora: openssl-devel · Alpine: openssl-dev",
    module = "libcrypto",
    libraries = "-lcrypto",
    test = [[#include <openssl/evp.h>
#if OPENSSL_VERSION_NUMBER < 0x10101000L
#error too old
#endif
int main(void) { return EVP_aes_256_gcm() == NULL; }]],
  },
  jansson = {
    name = "JANSSON",
    title = "Jansson (jansson.h, libjansson)",
    packages = "Debian: libjansson-dev · Fedora: jansson-devel · Alpine: jansson-dev",
    module = "jansson",
    libraries = "-ljansson",
    test = [[#include <jansson.h>
int main(void) { return json_object() == NULL; }]],
  },
  sqlite = {
    name = "SQLITE",
    title = "SQLite 3.31 or later (sqlite3.h, libsqlite3)",
    packages = "Debian: libsqlite3-dev · Fedora: sqlite-devel · Alpine: sqlite-dev",
    module = "sqlite3",
    libraries = "-lsqlite3",
    test = [[#include <sqlite3.h>
#if SQLITE_VERSION_NUMBER < 3031000
#error too old
#endif
int main(void) { return sqlite3_libversion_number() == 0; }]],
  },
  postgres = {
    name = "PQ",
    title = "libpq 14 or later (libpq-fe.h, libpq)",
    packages = "Debian: libpq-dev · Fedora: libpq-devel · Alpine: libpq-dev",
    module = "libpq",
    folders = { "/usr/include/postgresql", "/usr/include/pgsql" },
    libraries = "-lpq",
    test = [[#include <libpq-fe.h>
int main(void) { return PQenterPipelineMode(NULL); }]],
  },
  mariadb = {
    name = "MARIADB",
    title = "MariaDB Connector/C 3.1 or later (mysql.h, libmariadb)",
    packages = "Debian: libmariadb-dev · Fedora: mariadb-connector-c-devel · "
      .. "Alpine: mariadb-connector-c-dev",
    module = "libmariadb",
    folders = { "/usr/include/mariadb", "/usr/include/mysql" },
    libraries = "-lmariadb",
    test = [[#include <mysql.h>
int main(void) { return mysql_optionsv(0, MARIADB_OPT_RESTRICTED_AUTH, ""); }]],
  },
  -- Found without a look at the library: whoever loads perigee.core has it.
  lua = {
    name = "LUA",
    title = "the headers of Lua 5.4 or 5.3 (lua.h, lauxlib.h)",
    packages = "Debian: liblua5.4-dev · Fedora: lua-devel · Alpine: lua5.4-dev",
    libraries = "",
    test = [[#include <lua.h>
#include <lauxlib.h>
#if LUA_VERSION_NUM != 504 && LUA_VERSION_NUM != 503
#error neither
#endif
int main(void) { return 0; }]],
  },
  luajit = {
    name = "LUA",
    title = "the headers of LuaJIT 2.1 (luajit.h, lua.h; Perigee does not run on Lua 5.1)",
    packages = "Debian: libluajit-5.1-dev · Fedora: luajit-devel · Alpine: luajit-dev",
    module = "luajit",
    folders = { "/usr/local/include/luajit-2.1", "/usr/include/luajit-2.1" },
    libraries = "",
    test = [[#include <lua.h>
#include <luajit.h>
#if LUAJIT_VERSION_NUM < 20100
#error too old
#endif
int main(void) { return 0; }]],
  },
  -- The interpreter as a library, for the runner.
  liblua = {
    name = "LIBLUA",
    title = "Lua 5.4 as a library (liblua5.4)",
    packages = "Debian: liblua5.4-dev · Fedora: lua-devel · Alpine: lua5.4-dev",
    variants = { "-llua5.4", "-llua-5.4", "-llua54", "-llua" },
    -- All of a static one: modules in C may call what the runner does not.
    around = "-Wl,--whole-archive %s -Wl,--no-whole-archive -lm -ldl",
    test = [[#include <lauxlib.h>
#include <lualib.h>
#if LUA_VERSION_NUM != 504
#error another
#endif
int main(void) {
  lua_State *L = luaL_newstate();
  luaL_openlibs(L);
  return lua_newuserdatauv(L, 1, 1) == NULL;
}]],
  },
  libedit = {
    name = "LIBEDIT",
    optional = true,
    module = "libedit",
    libraries = "-ledit",
    defines = "-DPERIGEE_LIBEDIT=1",
    test = [[#include <stdio.h>
#include <histedit.h>
int main(void) { return history_init() == NULL; }]],
  },
}

local given = {}
local scratch -- the path of the file that is compiled, without its ending

local function quote(s)
  return "'" .. s:gsub("'", "'\\''") .. "'"
end

local function has_value(name)
  local value = given[name]
  return value and value ~= "" and value or nil
end

local function runs(command)
  local status = os.execute(command .. " >/dev/null 2>&1 </dev/null")
  return status == true or status == 0
end

local function output_of(command)
  local pipe = io.popen(command .. " 2>/dev/null </dev/null")
  if not pipe then return "" end
  local text = pipe:read "*a" or ""
  pipe:close()
  return (text:gsub("%s+$", ""))
end

-- Quotes paths only: whatever is more than a path is the user's own affair.
local function includes(dir)
  return dir and "-I" .. quote(dir) or ""
end

local function searches(dir)
  return dir and ("-L%s -Wl,-rpath,%s"):format(quote(dir), quote(dir)) or ""
end

-- The folders that LuaRocks takes for granted need no mention, and mentioned they
-- would come before those of the distribution.
local standard = {
  ["/usr/include"] = true, ["/usr/local/include"] = true, ["/include"] = true,
  ["/usr/lib"] = true, ["/usr/local/lib"] = true, ["/lib"] = true,
}

local function folder(name)
  local dir = has_value(name)
  return not standard[dir] and dir or nil
end

-- Ways to compile with a library: what the user said, then what is usual.
local function ways(library)
  local list = {}
  local function add(cflags, search)
    for _, libs in ipairs(library.variants or { library.libraries }) do
      libs = (library.around or "%s"):format(libs)
      list[#list + 1] = { cflags = cflags, libs = search .. " " .. libs }
    end
  end
  local inc, lib = folder(library.name .. "_INCDIR"), folder(library.name .. "_LIBDIR")
  if library.variants then -- of Lua itself
    inc = has_value "LUA_INCDIR"
    local home = has_value "LUA_DIR"
    lib = has_value "LUA_LIBDIR" or home and home ~= "/usr" and home .. "/lib" or nil
  end
  add(includes(inc), searches(lib))
  if inc or lib then add(includes(inc), "") end
  for _, dir in ipairs(library.folders or {}) do add(includes(dir), searches(lib)) end
  if library.module then
    local ask = "pkg-config %s " .. library.module
    local libs = output_of(ask:format "--libs-only-L")
    if runs(ask:format "--exists") then
      add(output_of(ask:format "--cflags"), libs)
    end
  end
  return list
end

local function compiles(library, way)
  local f = assert(io.open(scratch .. ".c", "w"))
  f:write(library.test, "\n")
  f:close()
  return runs(("%s %s %s -o %s %s %s"):format(given.CC or "cc", given.CFLAGS or "",
    way.cflags, quote(scratch), quote(scratch .. ".c"), way.libs))
end

local function find(library)
  for _, way in ipairs(ways(library)) do
    if compiles(library, way) then return way end
  end
end

local function complain(missing)
  local lines = { "", "perigee: not found, or too old:" }
  for _, library in ipairs(missing) do
    lines[#lines + 1] = "  " .. library.title
    lines[#lines + 1] = "      " .. library.packages
  end
  local name = missing[1].name:gsub("LIBLUA", "LUA")
  lines[#lines + 1] = "Install the packages, or say where a library is: "
    .. ("%s_DIR=/opt/%s"):format(name, name:lower())
  io.stderr:write(table.concat(lines, "\n"), "\n\n")
  os.exit(1)
end

local function write(path, text)
  local old = io.open(path, "rb")
  if old then
    local same = old:read "*a" == text
    old:close()
    if same then return end -- what depends on it need not be made again
  end
  local f = assert(io.open(path, "wb"))
  f:write(text)
  f:close()
end

local output, wanted = arg[1], arg[2]
for i = 3, #arg do
  local name, value = arg[i]:match "^([%w_]+)=(.*)$"
  if name then given[name] = value end
end
scratch = output .. ".test"

local lines, missing = {}, {}
for word in wanted:gmatch "%S+" do
  local library = known[word]
  local way = find(library)
  if way then
    lines[#lines + 1] = ("%s_CFLAGS = %s %s\n%s_LIBS = %s\n"):format(library.name,
      way.cflags, library.defines or "", library.name, way.libs)
  elseif not library.optional then
    missing[#missing + 1] = library
  end
end
os.remove(scratch)
os.remove(scratch .. ".c")
if missing[1] then complain(missing) end
write(output, table.concat(lines))
