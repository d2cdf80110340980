-- Loaded by Busted before the specs (.busted), on Lua 5.1 to 5.4.
--
--   local helper = require "spec.support.helper"
--   helper.for_each_db(function(name, open)
--     it("pings", function()
--       local db = open { max_size = 2 }
--       db:ping()
--     end)
--   end)
--
-- The environment:
--   PERIGEE_BUILD           build folder (by interpreter: build, build-luajit)
--   PERIGEE_TEST_POSTGRES   URL of a database of ours (spec/support/servers.sh)
--   PERIGEE_TEST_MYSQL      the same (spec/support/mariadb.sh)
--   PERIGEE_TEST_PROXY      a command of the fault proxy with its arguments
--                           ("slice:1"); PostgreSQL and MySQL are reached through it
--   PERIGEE_GC=stress       the collector runs all the time
--   PERIGEE_SEED            of helper.random
--   PERIGEE_SOAK=1          soak tests in full length
--   PERIGEE_TEST_DATA       folder of public data sets, which are not part of the
--                           project (../shared/data)
--   PERIGEE_SLOW            a factor for all time limits (sanitizers: 5)
--   PERIGEE_HOST            cqueues, luv, copas, user or minimal: each spec's body runs
--                           as a task of that host (spec/support/hosts.lua)

local busted = require "busted"

local helper = {}
package.loaded["spec.support.helper"] = helper

local env = os.getenv
local is_jit = type(rawget(_G, "jit")) == "table"

helper.build = env "PERIGEE_BUILD" or (is_jit and "build-luajit" or "build")
package.path = "lua/?.lua;lua/?/init.lua;?.lua;" .. package.path
package.cpath = helper.build .. "/lua/?.so;" .. package.cpath

-- Loaded once and kept: Busted unloads after each file what that file loaded.
do
  local ok, why = pcall(require, "perigee")
  if not ok then print("# no perigee: " .. tostring(why):match "[^\n]*") end
end

-- ---- collector, seed, time ------------------------------------------------

local stressed = env "PERIGEE_GC" == "stress"
if stressed and _VERSION == "Lua 5.4" then
  collectgarbage("incremental", 1, 1000, 1)
elseif stressed then
  collectgarbage("setpause", 1)
  collectgarbage("setstepmul", 1000)
end

-- Factor for every time limit of a spec.
helper.slow = tonumber(env "PERIGEE_SLOW" or nil) or (stressed and 3 or 1)

function helper.patience(seconds)
  return seconds * helper.slow
end

helper.seed = tonumber(env "PERIGEE_SEED" or nil) or os.time() % 1000000
print("# PERIGEE_SEED=" .. helper.seed)

-- A generator, the same for a seed on every Lua: random(n) is 1 … n. Give each
-- use a name, so that one spec run alone sees the same numbers.
function helper.random(name)
  local state = helper.seed % 2147483647
  for i = 1, #name do
    state = (state * 31 + name:byte(i)) % 2147483647
  end
  state = state + 1
  return function(n)
    state = state * 16807 % 2147483647 -- below 2^53 on its way
    return state % n + 1
  end
end

-- How often a soak test repeats: a tenth unless PERIGEE_SOAK=1.
function helper.soak(n)
  if env "PERIGEE_SOAK" == "1" then return n end
  return math.max(1, math.floor(n / 10))
end

-- ---- watchdog -------------------------------------------------------------

-- One process for the whole run; it aborts us when a spec takes too long.
-- A shell gives what runs in the background no input of its own, hence the 3.
-- `env -u`: a preloaded sanitizer is for us alone.
local LIMIT = 60
local watchdog = io.popen(
  ("exec 3<&0; env -u LD_PRELOAD spec/support/watchdog.sh $PPID %d <&3 >&2 &")
    :format(helper.patience(LIMIT)), "w")

local function tell_watchdog(line)
  watchdog:write((line:gsub("\n", " ")), "\n")
  watchdog:flush()
end

-- Gives the running spec this many seconds (times helper.slow) in all.
function helper.watchdog(seconds)
  tell_watchdog("!" .. math.ceil(helper.patience(seconds)))
end

-- Runs a shell command outside of any sanitizer; its output and success.
function helper.sh(command)
  local pipe = assert(io.popen("unset LD_PRELOAD; { " .. command
    .. "\n} 2>&1; printf '\\n%d' $?"))
  local out = pipe:read "*a"
  pipe:close()
  local text, status = out:match "^(.*)\n(%d+)$"
  return text, status == "0"
end

-- A folder of the running spec with these files, { [name] = text }; helper.remove(it).
function helper.folder(files)
  local dir = helper.tmpname()
  assert(os.execute("mkdir -p " .. dir))
  for name, text in pairs(files) do
    local file = assert(io.open(dir .. "/" .. name, "wb"))
    file:write(text)
    file:close()
  end
  return dir
end

function helper.remove(dir)
  os.execute("rm -rf " .. dir)
end

-- The words that run this interpreter in a process of its own, for helper.sh, with a
-- sanitizer that our modules need.
function helper.interpreter()
  local lua = arg and arg[-1] or "lua"
  for i = 0, -20, -1 do
    if arg and arg[i] then lua = arg[i] end
  end
  local preload = env "LD_PRELOAD"
  if not preload or preload == "" then return lua end
  return "LD_PRELOAD=" .. preload .. " " .. lua
end

-- The text of a file of the public data sets, or nil and why: the spec then is pending.
function helper.data(name)
  local path = (env "PERIGEE_TEST_DATA" or "../shared/data") .. "/" .. name
  local file = io.open(path, "rb")
  if not file then return nil, "the data set " .. name .. " is not there" end
  local text = file:read "*a"
  file:close()
  return text
end

-- ---- hosts ----------------------------------------------------------------

helper.host = env "PERIGEE_HOST"

-- Ends the run, visibly, when the host is not there.
local function check_host(hosts)
  local _, missing = hosts.available(helper.host)
  if missing[helper.host] then
    print(("# PERIGEE_HOST=%s: skipped: %s"):format(helper.host, missing[helper.host]))
    os.exit(0, true)
  end
  print("# PERIGEE_HOST=" .. helper.host)
end

-- Has the body of a spec run as a task; what comes before and after it blocks.
local function host_runner()
  if helper.host == "" then helper.host = nil end
  if not helper.host then return nil end
  local hosts = require "spec.support.hosts"
  check_host(hosts)
  return function(element)
    local run = element.run
    element.run = function(...)
      local arguments = { n = select("#", ...), ... }
      hosts.run[helper.host](function()
        run((table.unpack or unpack)(arguments, 1, arguments.n))
      end)
    end
  end
end

local run_in_host = host_runner()

-- ---- exceptions -----------------------------------------------------------

local exceptions = dofile "spec/support/exceptions.lua"

local function full_name(element)
  local names = {}
  while element and element.descriptor ~= "file" and element.name do
    table.insert(names, 1, element.name)
    element = busted.parent(element)
  end
  return table.concat(names, " ")
end

-- The database of the for_each_db block around the spec, or nil.
local function database_of(element)
  while element do
    local name = element.name and element.name:match "^on (.+)$"
    if exceptions[name] and name ~= "hosts" then return name end
    element = busted.parent(element)
  end
end

local function exception_of(element)
  local database = database_of(element)
  for _, name in ipairs { element.name, full_name(element) } do
    local reason = database and exceptions[database][name]
    if reason then return database .. ": " .. reason end
    reason = helper.host and exceptions.hosts[name]
    if type(reason) == "table" then reason = reason[helper.host] end
    if reason then return helper.host .. ": " .. reason end
  end
end

busted.subscribe({ "test", "start" }, function(element)
  tell_watchdog(full_name(element))
  local reason = element.env and exception_of(element)
  if reason then
    local pending = element.env.pending
    element.run = function() pending(reason) end
  elseif run_in_host then
    run_in_host(element)
  end
  return nil, true
end)

-- ---- databases ------------------------------------------------------------

local opened = {} -- handles of the running spec
local paths = {} -- its SQLite files

-- A path for a file of the running spec; it and SQLite's files beside it are
-- removed after the spec.
function helper.tmpname()
  local path = os.tmpname()
  os.remove(path)
  paths[#paths + 1] = path
  return path
end

local proxied = {} -- [socket] = the proxy in front of it, for the whole run

-- The URL, through the proxy that PERIGEE_TEST_PROXY asks for.
local function through_proxy(url, socket)
  local mode = env "PERIGEE_TEST_PROXY"
  if not mode or mode == "" then return url end
  if not proxied[socket] then
    proxied[socket] = require "spec.support.proxy".start(socket)
    proxied[socket]:send((mode:gsub(":", " ")))
  end
  return proxied[socket]:url(url)
end

-- Each spec starts with an empty schema, and without those of other specs. What a
-- spec left locked is told by the time-out.
local EMPTY = [[
do $$
declare s text;
begin
  for s in select nspname from pg_catalog.pg_namespace
    where nspname !~ '^pg_' and nspname <> 'information_schema' loop
    execute format('drop schema %I cascade', s);
  end loop;
end $$;
create schema public]]

local function empty_postgres(url)
  local db = require "perigee".open(url, { max_size = 1 })
  db:script(EMPTY)
  db:close()
end

-- The same on MySQL: tables, views and routines of our database, and other databases.
function helper.empty_mysql(url)
  local db = require "perigee".open(url, { max_size = 1 })
  local own = db:value "select database()"
  for _, name in ipairs(db:query [[select schema_name as name from information_schema.schemata
      where schema_name not in ('mysql', 'sys', 'information_schema', 'performance_schema')]]) do
    db:execute("drop database `" .. name.name:gsub("`", "``") .. "`")
  end
  db:execute("create database `" .. own .. "` character set utf8mb4"
    .. " collate utf8mb4_bin") -- texts are exact, as elsewhere
  db:close()
end

local databases = {
  {
    name = "sqlite",
    url = function(spec)
      spec.path = spec.path or helper.tmpname()
      return "sqlite:///" .. spec.path
    end,
  },
  {
    name = "sqlite memory",
    url = function() return "sqlite::memory:" end,
  },
  {
    name = "postgres",
    missing = not env "PERIGEE_TEST_POSTGRES"
      and "PERIGEE_TEST_POSTGRES is not set",
    url = function(spec)
      local url = through_proxy(env "PERIGEE_TEST_POSTGRES", env "PERIGEE_TEST_PGSOCKET")
      if not spec.emptied then empty_postgres(url) end
      spec.emptied = true
      return url
    end,
  },
  {
    name = "mysql",
    missing = not env "PERIGEE_TEST_MYSQL" and "PERIGEE_TEST_MYSQL is not set",
    url = function(spec)
      local url = through_proxy(env "PERIGEE_TEST_MYSQL", env "PERIGEE_TEST_MYSOCKET")
      if not spec.emptied then helper.empty_mysql(url) end
      spec.emptied = true
      return url
    end,
  },
}

-- Opens `url` for the running spec: checked for leaks and closed after it.
function helper.open(url, options)
  local db = require "perigee".open(url, options)
  opened[#opened + 1] = db
  return db
end

-- Leases that only the collector can return are returned by now, or within
-- the 5 s that an abandoned connection may take.
local function in_use(db)
  local perigee = require "perigee"
  local left
  for _ = 1, helper.patience(60) do
    local ok, stats = pcall(db.stats, db)
    left = ok and stats.in_use or 0
    if left == 0 then return 0 end
    collectgarbage()
    perigee.sleep(0.1)
  end
  return left
end

-- After each spec that used helper.open or for_each_db's open.
function helper.cleanup()
  collectgarbage()
  collectgarbage()
  local leaks = 0
  for _, db in ipairs(opened) do
    leaks = leaks + in_use(db)
    pcall(db.close, db)
  end
  opened = {}
  for _, path in ipairs(paths) do
    for _, suffix in ipairs { "", "-wal", "-shm", "-journal" } do
      os.remove(path .. suffix)
    end
  end
  paths = {}
  collectgarbage()
  if leaks > 0 then
    error(leaks .. " connections are still in use after the spec", 0)
  end
end

-- Is the value one of the list of names (nil: all)?
local function is_wanted(name, only)
  if not only then return true end
  for _, other in ipairs(only) do
    if other == name then return true end
  end
  return false
end

-- Two operands of || as MySQL joins them.
local OPERANDS = { "[%a_]+%b()", "'[^']*'", "%?", "[%w_]+" }

local function join_texts(sql)
  for _, a in ipairs(OPERANDS) do
    for _, b in ipairs(OPERANDS) do
      local pattern, n = "(" .. a .. ")%s*||%s*(" .. b .. ")", 1
      while n > 0 do sql, n = sql:gsub(pattern, "concat(%1, %2)") end
    end
  end
  return sql
end

-- SQL of a spec in the words of the database `name`: the same text but on MySQL, where a
-- quoted name has backticks, a cast to text is one to char, || is not what joins texts, a
-- text that is a key has a length, an integer key is made up only when that is said, and
-- times have no fraction unless they say so.
local MYSQL_WORDS = {
  { "as text%)", "as char)" }, { "text unique", "varchar(190) unique" },
  { "text not null unique", "varchar(190) not null unique" },
  { "text primary key", "varchar(190) primary key" },
  { "integer primary key", "integer primary key auto_increment" },
  { "timestamptz", "datetime(6)" }, { "timestamp with time zone", "datetime(6)" },
  { " timestamp([,)])", " datetime(6)%1" }, { " time([,)])", " time(6)%1" },
}

function helper.sql(name, sql)
  if name ~= "mysql" then return sql end
  sql = sql:gsub('""', "\2"):gsub('"([^"]*)"', "`%1`"):gsub("\2", '"')
  for _, word in ipairs(MYSQL_WORDS) do sql = sql:gsub(word[1], word[2]) end
  return join_texts(sql)
end

-- Scripts that make tables are in the words of most databases; on MySQL they are said in
-- its own while a spec of for_each_db runs there: `plain_script` takes them as they are. A
-- spec may switch that off.
function helper.translate_scripts(on)
  local core = require "perigee.core"
  for _, name in ipairs { "db_methods", "exec_methods" } do
    local methods = core[name]
    local plain = methods.plain_script or methods.script
    methods.plain_script = on and plain or nil
    methods.script = on and function(x, sql, ...)
      if type(sql) == "string" and sql:lower():find "create%s+table"
        and core.driver(x).dialect == "mysql" then
        sql = helper.sql("mysql", sql)
      end
      return plain(x, sql, ...)
    end or plain
  end
end

-- Options of a handle, whose own limits are as long as our patience, unless the spec says
-- how long.
local function patient(options)
  if helper.slow == 1 or (options ~= nil and type(options) ~= "table") then return options end
  local all = {
    acquire_timeout = helper.patience(10),
    connect_timeout = helper.patience(10),
    query_timeout = helper.patience(30),
  }
  for name, value in pairs(options or {}) do all[name] = value end
  return all
end

-- One describe block for each database under test. `define(name, open)`
-- defines specs; `open(options)` in a spec gives a handle on its database,
-- the same one however often it is called (but for memory).
-- `open.url()` is its URL. `only`: a list of names, when not all.
function helper.for_each_db(define, only)
  for _, database in ipairs(databases) do
    if is_wanted(database.name, only) then
      busted.describe("on " .. database.name, function()
        if database.missing then
          busted.pending("is not tested: " .. database.missing)
          return
        end
        local spec
        local open = setmetatable({
          url = function() return database.url(spec) end,
        }, {
          __call = function(self, options)
            return helper.open(self.url(), patient(options))
          end,
        })
        busted.before_each(function()
          spec = {}
          if database.name == "mysql" then helper.translate_scripts(true) end
        end)
        busted.after_each(function()
          if database.name == "mysql" then helper.translate_scripts(false) end
          helper.cleanup()
        end)
        define(database.name, open)
      end)
    end
  end
end

busted.subscribe({ "suite", "end" }, function()
  for _, proxy in pairs(proxied) do proxy:stop() end
  return nil, true
end)

return helper
