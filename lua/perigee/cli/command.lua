--- What commands have in common: the configuration, the database, the migrations,
-- and what an error means to the shell.
local perigee = require "perigee"
local config = require "perigee.cli.config"
local core = require "perigee.core"
local database = require "perigee.cli.database"
local events = require "perigee.cli.events"
local failure = require "perigee.cli.failure"
local files = require "perigee.cli.files"
local output = require "perigee.cli.output"
local runner = require "perigee.runner"

local M = {}

--- Exit statuses.
M.DIFFERENT, M.LINT, M.DECISION = 1, 3, 4

local Context = {}
Context.__index = Context

--- Raises an error of usage: exit status 2.
function M.refuse(fmt, ...)
  error(core.new_error("usage", select("#", ...) > 0 and fmt:format(...) or fmt), 0)
end

-- ---- options ---------------------------------------------------------------

--- --json, for commands whose output is data.
function M.add_json(parser)
  parser:flag("--json", "Write JSON.")
end

--- --quiet, for commands that do something.
function M.add_quiet(parser)
  parser:flag("-q --quiet", "Write errors only.")
end

--- --yes, for commands that destroy something.
function M.add_yes(parser)
  parser:flag("--yes", "Do it: nothing is asked.")
end

--- Raises unless --yes was given.
-- @tparam table options
-- @tparam string what would be done, as in "drop database shop"
function M.need_yes(options, what)
  if not options.yes then M.refuse("this would %s; add --yes to do it", what) end
end

--- Takes the values of an option that may be repeated and that takes lists:
-- "a,b" is the same as two options.
function M.list(values)
  if values == nil then return nil end
  local out = {}
  for _, value in ipairs(values) do
    for item in value:gmatch "[^,]+" do out[#out + 1] = item:match "^%s*(.-)%s*$" end
  end
  return #out > 0 and out or nil
end

--- The dialect of an executor. Modules of definitions and migrations are loaded by
-- the commands that need them.
function M.dialect(x)
  return require "perigee.dialect".of(x)
end

-- ---- the context of a command ----------------------------------------------

--- A path of the project: beside perigee.lua.
function Context:path(name)
  return config.beside(self.config.folder, name)
end

--- The path of the definitions.
function Context:schema_path()
  return self:path(self.config.schema or "schema.lua")
end

--- The folder of the migrations.
function Context:migrations_path()
  return self:path(self.config.migrations or "migrations")
end

--- Its URL in text, with the password; and where that is from.
function Context:url()
  return database.url(self.options, self.config)
end

--- The open database. Its queries have no limit of time: what they wait for is
-- limited by the commands.
-- @raise usage for a bad URL
function Context:db()
  if not self.handle then
    local text, from = self:url()
    local ok, db = pcall(perigee.open, text, { query_timeout = math.huge })
    if not ok then
      if not failure.is_error(db) then error(db, 0) end
      M.refuse("%s", database.explain(db, from))
    end
    self.handle = db
  end
  return self.handle
end

local function absent(self, what, path, key)
  local hint = self.config.path
    and (self.config[key] and "it is named in " or "see ") .. self.config.path
    or "there is no perigee.lua here either; perigee init makes both"
  M.refuse("there is no %s %s; %s", what, path, hint)
end

--- The definitions.
-- @raise usage when the file is missing or wrong
function Context:schema()
  local path = self:schema_path()
  if not files.exists(path) then absent(self, "file", path, "schema") end
  return require "perigee.schema".load(path)
end

-- Tests kill the program at a boundary of two statements.
local function fault()
  local spec = os.getenv "PERIGEE_TEST_FAULT"
  local point, n = (spec or ""):match "^(%a+):(%d+)$"
  if not point then return nil end
  return function(at, k)
    if at == point and k == tonumber(n) then os.execute "kill -9 $PPID" end
  end
end

--- The migrations of the project with the database open; what happens is shown.
-- @tparam[opt] table extra options of perigee.migrations.open; schema = false: none
function Context:migrations(extra)
  local c = self.config
  self.events = self.events or events.new(self.out)
  local dir = self:migrations_path()
  if not files.exists(dir) then absent(self, "folder", dir, "migrations") end
  local opts = {
    dir = dir, schema = self:schema_path(), include = c.include, manage = c.manage,
    journal_schema = c.journal_schema, lock_timeout = c.lock_timeout,
    lock_wait = c.lock_wait, statement_timeout = c.statement_timeout,
    retries = c.retries, allow = c.allow, schemas = c.schemas, online = c.online,
    fault = fault(),
    on_event = self.events.handler,
  }
  for key, value in pairs(extra or {}) do opts[key] = value end
  opts.schema = opts.schema or nil
  return require "perigee.migrate".open(self:db(), opts)
end

-- ---- running ---------------------------------------------------------------

local OWN = { usage = true, migration = true }

--- The exit status for an error.
function M.status(err)
  if not failure.is_error(err) then return failure.SCRIPT end
  if err.exit then return err.exit end
  if err.kind == "usage" then return failure.USAGE end
  return failure.status(err)
end

-- Options of verbs in a message, "redo = true", as they are typed: "--redo".
local function in_options(message)
  return (message:gsub("(%l[%l_]*) = true", function(name)
    return "--" .. name:gsub("_", "-")
  end))
end

-- Messages of ours say all; others begin with their kind. Where nothing was sent, the
-- statement says nothing.
local function report(out, err)
  out:clear()
  if failure.is_error(err) and (err.kind == "connect" or err.kind == "auth") then
    return failure.say("%s", (failure.line(err)))
  end
  if not (failure.is_error(err) and OWN[err.kind]) then return failure.report(err) end
  local message = tostring(err.message)
  if err.kind == "migration" then message = in_options(message) end
  local first, rest = message:match "^([^\n]*)\n?(.*)$"
  failure.say("%s", first)
  for line in rest:gmatch "[^\n]+" do io.stderr:write("  ", line, "\n") end
  failure.tell_fields(err)
end

local function finish(out, ok, result)
  if ok then return result or 0 end
  if runner.interrupts() > 0 then
    out:clear()
    failure.say("interrupted")
    return failure.INTERRUPTED
  end
  report(out, result)
  return M.status(result)
end

--- Makes the run() of a command.
-- @tparam function body gets the context (options, out, config and the methods
-- above) and the options; it returns the exit status, nothing is 0. It may wait.
-- @tparam[opt] table how no_config: the configuration is not read
function M.runner(body, how)
  return function(options)
    local out = output.new(options)
    local self = setmetatable({ options = options, out = out }, Context)
    runner.catch_interrupts(false)
    local result
    local ok, err = pcall(perigee.run, function()
      local done, why = failure.guard(function()
        self.config = how and how.no_config and { folder = "" } or config.load(options)
        result = body(self, options)
      end)
      if self.events then self.events:stop() end
      if not done then error(why, 0) end
    end)
    if ok then err = result end
    local status = finish(out, ok, err)
    if self.handle then pcall(self.handle.close, self.handle) end
    return status
  end
end

return M
