-- .ci/layers.lua [ROOT]: who may include whom in src/, and who may yield in
-- lua/. With --self-test it plants one breach of each rule in a tree of its own
-- and wants to hear about every one.

local here = arg[0]:match "^(.*)/" or "."
local tree = dofile(here .. "/tree.lua")

local function set(words)
  local out = {}
  for word in words:gmatch "%S+" do out[word] = true end
  return out
end

-- A folder of src/ and the folders that it may include besides itself. The
-- pure half (sql, page) and the live half (driver, pool) meet only in bind.
local may_include = {
  base = set "",
  sql = set "base",
  page = set "base sql",
  wire = set "base",
  driver = set "base wire",
  pool = set "base driver",
  bind = set "base sql page driver pool",
  host = set "base bind",
}

-- Of these, only the headers named.
local only = {
  host = { bind = set "bind/bind.h" },
}

-- A foreign header (the start of its name) and the folders that may use it.
local foreign = {
  { "lua", "bind host" }, -- lua.h lualib.h lauxlib.h luaconf.h luajit.h
  { "lauxlib.h", "bind host" },
  { "jansson", "bind driver/sqlite" },
  { "libpq", "driver/postgres" },
  { "postgres_ext.h", "driver/postgres" },
  { "pg_config", "driver/postgres" },
  { "sqlite3", "driver/sqlite" },
  { "mysql", "driver/mysql" },
  { "mariadb", "driver/mysql" },
  { "openssl/", "page" },
  { "editline/", "host" },
  { "histedit.h", "host" },
  { "pthread.h", "base" },
  { "threads.h", "base" },
}

-- "driver/sqlite/sl_int.h" -> "driver", "driver/sqlite"
local function folder(path)
  local dir = path:match "^(.*)/[^/]*$" or ""
  return dir:match "^[^/]*", dir
end

local function check_own(bad, file, line, name)
  local top, dir = folder(file:sub(#"src/" + 1))
  local other, other_dir = folder(name)
  if not may_include[other] then
    bad:add(file, line, '"%s": write the path from src/', name)
  elseif other ~= top and not may_include[top][other] then
    bad:add(file, line, "src/%s may not include src/%s", top, other)
  elseif other_dir ~= dir and name:find "_int%.h$" then
    bad:add(file, line, '"%s" is private to src/%s', name, other_dir)
  elseif other_dir ~= dir and other_dir ~= other then
    bad:add(file, line, '"%s" is inside src/%s', name, other_dir)
  end
  local public = only[top] and only[top][other]
  if public and not public[name] then
    bad:add(file, line, 'src/%s may not include "%s"', top, name)
  end
end

local function check_foreign(bad, file, line, name)
  local top, dir = folder(file:sub(#"src/" + 1))
  for _, rule in ipairs(foreign) do
    local allowed = set(rule[2])
    if name:sub(1, #rule[1]) == rule[1] and not (allowed[top] or allowed[dir])
    then
      bad:add(file, line, "<%s> belongs to src/%s", name, rule[2])
    end
  end
end

local function check_c(bad, root, file)
  if not may_include[(folder(file:sub(#"src/" + 1)))] then
    bad:add(file, 1, "a folder that has no rule in .ci/layers.lua")
    return
  end
  for n, line in tree.lines(tree.read(root .. "/" .. file)) do
    local quoted = line:match '^%s*#%s*include%s*"([^"]+)"'
    local angled = line:match "^%s*#%s*include%s*<([^>]+)>"
    if quoted then check_own(bad, file, n, quoted) end
    -- A foreign header in quotes is still a foreign header.
    if angled or quoted then check_foreign(bad, file, n, angled or quoted) end
  end
end

local function may_yield(file)
  return file == "lua/perigee/wait.lua" or file:find "^lua/perigee/host/[^/]+$"
end

local function check_lua(bad, root, file)
  if may_yield(file) then return end
  local code = tree.strip_lua(tree.read(root .. "/" .. file))
  for n, line in tree.lines(code) do
    if line:find "coroutine%s*%.%s*yield" or line:find "%f[%w_]yield%s*%(" then
      bad:add(file, n, "only wait.lua and host/ adapters yield")
    end
  end
end

local function check_tree(root)
  local bad = tree.complaints()
  for _, pattern in ipairs { "*.c", "*.h" } do
    for _, file in ipairs(tree.files(root, "src", pattern)) do
      check_c(bad, root, file)
    end
  end
  for _, file in ipairs(tree.files(root, "lua", "*.lua")) do
    check_lua(bad, root, file)
  end
  return bad
end

-- ---- self-test -----------------------------------------------------------

-- path, line, complaint wanted (none: fine)
local planted = {
  { "src/base/a.c", '#include "sql/sql.h"', "src/base may not" },
  { "src/sql/a.c", '#include "driver/driver.h"', "src/sql may not" },
  { "src/page/a.c", '#include "pool/pool.h"', "src/page may not" },
  { "src/driver/a.c", '#include "sql/sql.h"', "src/driver may not" },
  { "src/wire/a.c", '#include "driver/driver.h"', "src/wire may not" },
  { "src/wire/b.c", "#include <libpq-fe.h>", "belongs to" },
  { "src/driver/b.c", '#include "driver/mock/mk.h"', "is inside" },
  { "src/driver/sqlite/a.c", '#include "driver/postgres/pg.h"', "is inside" },
  { "src/driver/sqlite/b.c", "#include <libpq-fe.h>", "belongs to" },
  { "src/driver/sqlite/c.c", "#include <pthread.h>", "belongs to" },
  { "src/pool/a.c", '#include "driver/driver_int.h"', "is private" },
  { "src/pool/b.c", "# include <lua.h>", "belongs to" },
  { "src/host/a.c", '#include "bind/lconn.h"', "src/host may not" },
  { "src/host/b.c", '#include "pool/pool.h"', "src/host may not" },
  { "src/host/c.c", "#include <jansson.h>", "belongs to" },
  { "src/bind/a.c", '#include "sqlite3.h"', "belongs to" },
  { "src/bind/b.c", '#include "lconn.h"', "path from src" },
  { "src/misc/a.c", "", "has no rule" },
  { "lua/perigee/a.lua", "local y = coroutine.yield", "adapters yield" },
  { "lua/perigee/cli/b.lua", "yield (x)", "adapters yield" },
  { "src/base/ok.c", '#include "base/buf.h"\n#include <pthread.h>' },
  { "src/pool/ok.c", '#include "driver/driver.h"' },
  { "src/driver/postgres/ok.c",
    '#include "driver/postgres/pg_int.h"\n#include <libpq-fe.h>' },
  { "src/bind/ok.c", '#include "pool/pool.h"\n#include <lua.h>' },
  { "src/host/ok.c", '#include "bind/bind.h"\n#include <lualib.h>' },
  { "lua/perigee/wait.lua", "coroutine.yield()" },
  { "lua/perigee/host/luv.lua", "coroutine.yield()" },
  { "lua/perigee/ok.lua", "-- coroutine.yield\nlocal s = 'yield()'" },
}

local function plant(root)
  for _, case in ipairs(planted) do
    local path = root .. "/" .. case[1]
    assert(os.execute("mkdir -p " .. path:match "^(.*)/"))
    local f = assert(io.open(path, "w"))
    f:write(case[2], "\n")
    f:close()
  end
end

local function self_test()
  local root = os.tmpname()
  os.remove(root)
  plant(root)
  local heard = {}
  for _, text in ipairs(check_tree(root)) do
    local file = text:match "^[^:]+"
    heard[file] = (heard[file] or "") .. text
  end
  os.execute("rm -rf " .. root)
  local wrong = tree.complaints()
  for _, case in ipairs(planted) do
    local text, wanted = heard[case[1]], case[3]
    if wanted and not (text and text:find(wanted, 1, true)) then
      wrong:add(case[1], 1, "wanted '%s', heard %s", wanted, tostring(text))
    elseif text and not wanted then
      wrong:add(case[1], 1, "false alarm: %s", text)
    end
  end
  return wrong:report "layers self-test"
end

if arg[1] == "--self-test" then os.exit(self_test()) end
os.exit(check_tree(arg[1] or here .. "/.."):report "layers")
