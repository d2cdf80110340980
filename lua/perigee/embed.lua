--- What a program that embeds the runner (perigee.h) starts with: the world of its
-- scripts, and the function that runs each task.
local core = require "perigee.core"
local failure = require "perigee.cli.failure"
local wait = require "perigee.wait"
local perigee = require "perigee"

local usage = require("perigee.util").usage

local M = {}

-- ---- the world of scripts --------------------------------------------------

-- Names of the basic library that need more than a script has without asking.
local FILES = { "dofile", "loadfile" }
local SAFE_OS = { "time", "date", "clock", "difftime" }

local function pick(from, names)
  local to = {}
  for _, name in ipairs(names) do to[name] = from[name] end
  return to
end

local function raise(ok, ...)
  if not ok then error((...), 0) end
  return ...
end

-- Texts only: compiled code can do anything. Perigee's own code goes on for a while
-- after a limit, so nothing else may have its name.
local function make_load(load)
  return function(chunk, name, mode, ...)
    if mode ~= nil and not tostring(mode):find "t" then
      error("load: only text is read here", 2)
    end
    if type(name) == "string" and name:find "^@embedded:" then
      error("load: that name is one of Perigee's own", 2)
    end
    return load(chunk, name, "t", ...)
  end
end

-- Finalizers run where no limit holds.
local function make_setmetatable(set)
  return function(t, mt)
    if type(mt) == "table" and rawget(mt, "__gc") ~= nil then
      error("there are no finalizers (__gc) here", 2)
    end
    return set(t, mt)
  end
end

-- The functions in a metatable of userdata take nothing but that userdata.
local function make_getmetatable(get)
  return function(x)
    if type(x) == "userdata" then return false end
    return get(x)
  end
end

-- The handler of an error runs where no limit holds, if a limit was the error.
local function make_xpcall(xpcall, stopped)
  return function(f, handler, ...)
    if type(handler) ~= "function" then return xpcall(f, handler, ...) end
    return xpcall(f, function(err)
      if stopped() then return err end
      return handler(err)
    end, ...)
  end
end

-- So do the to-be-closed variables of a coroutine that a limit has ended, unless
-- its error was caught inside.
local function guard_body(fn)
  if type(fn) ~= "function" then return fn end
  return function(...) return raise(pcall(fn, ...)) end
end

local function limit_world(g, stopped)
  g.load = make_load(load)
  g.setmetatable = make_setmetatable(setmetatable)
  g.getmetatable = make_getmetatable(getmetatable)
  g.xpcall = make_xpcall(xpcall, stopped)
  local create, wrap = coroutine.create, coroutine.wrap
  g.coroutine.create = function(fn) return create(guard_body(fn)) end
  g.coroutine.wrap = function(fn) return wrap(guard_body(fn)) end
end

local function make_require(g, config)
  local allowed
  if config.modules then
    allowed = {}
    for _, name in ipairs(config.modules) do allowed[name] = true end
  end
  local standard = {}
  for name in pairs(package.loaded) do
    local lib = rawget(_G, name)
    if type(lib) == "table" and name ~= "_G" then standard[name] = true end
  end
  return function(name)
    if standard[name] and type(g[name]) == "table" then return g[name] end
    if standard[name] or name == "perigee.embed" or allowed and not allowed[name] then
      error(("module '%s' is not allowed here"):format(tostring(name)), 2)
    end
    return require(name)
  end
end

-- Tasks remember where they fail.
local function spawn(fn, ...)
  if type(fn) ~= "function" then return core.spawn(fn) end
  return core.spawn(function(...) return raise(failure.guard(fn, ...)) end, ...)
end

--- Makes the globals of the scripts what the options say. This file and all others
-- of Perigee have globals of their own.
-- @tparam table g the globals
-- @tparam table config flags io, os, package, debug; a list of modules
-- @tparam function log takes a line
-- @tparam function stopped was the limit of the running task reached?
function M.setup(g, config, log, stopped)
  M.log = log
  local plain = config.package and not config.modules
  g.require = plain and require or make_require(g, config)
  if not config.debug then
    g.debug = nil
    limit_world(g, stopped)
  end
  if not config.package then g.package = nil end
  if not config.os then g.os = pick(os, SAFE_OS) end
  if not config.io then
    g.io = nil
    for _, name in ipairs(FILES) do g[name] = nil end
  end
  local has_perigee = not config.modules
  for _, name in ipairs(config.modules or {}) do
    if name == "perigee" then has_perigee = true end
  end
  if has_perigee then g.perigee = perigee end
  perigee.spawn = spawn
  wait.guard = failure.guard
end

-- ---- databases -------------------------------------------------------------

local databases = {}

--- Opens a database that the program gives its scripts.
function M.open(url, options)
  local given = {}
  for name, value in pairs(options or {}) do given[name] = value end
  if not given.on_warning then
    given.on_warning = function(message) M.log("warning: " .. tostring(message)) end
  end
  if given.force_rollback then
    usage("open: force_rollback is for tests; it would block the program here")
  end
  local db = perigee.open(url, given)
  databases[#databases + 1] = db
  return db
end

--- Closes what open() has opened; runs as a task.
-- @tparam number seconds
function M.close(seconds)
  for _, db in ipairs(databases) do pcall(db.close, db, { timeout = seconds }) end
end

-- ---- tasks -----------------------------------------------------------------

local FIELDS = {
  "kind", "sqlstate", "code", "position", "detail", "hint", "constraint", "schema",
  "table", "column", "sql", "retryable",
}

--- An error as plain fields, for the program.
function M.describe(err)
  local out = { traceback = failure.trace_text(err) }
  if failure.is_error(err) then
    for _, name in ipairs(FIELDS) do out[name] = rawget(err, name) end
    out.message = tostring(rawget(err, "message"))
    return out
  end
  local line, more = failure.line(err)
  out.message = more ~= "" and line .. "\n" .. more or line
  if err == "not enough memory" then out.kind = "resource" end
  return out
end

local function finish(ok, ...)
  if ok then return true, ... end
  return false, M.describe((...))
end

--- Runs a function of a script as the first and only thing of a task.
-- @tparam number due as core.set_deadline takes it
-- @tparam function fn
-- @return true and the results, or false and the fields of the error
function M.run(due, fn, ...)
  core.set_deadline(due)
  return finish(failure.guard(fn, ...))
end

return M
