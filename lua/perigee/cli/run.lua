--- perigee run FILE [ARGS…]
local core = require "perigee.core"
local database = require "perigee.cli.database"
local failure = require "perigee.cli.failure"
local perigee = require "perigee"
local runner = require "perigee.runner"
local wait = require "perigee.wait"

local unpack = table.unpack or unpack
local M = {
  name = "run",
  summary = "Run a Lua script with an open database.",
  has_script = true,
}

function M.define(command)
  command:description("Run a Lua script. It finds perigee and the open "
    .. "database db, its arguments in arg and in … as in lua.")
  command:argument("FILE", 'The script; "-" is standard input.'):target "file"
  command:argument("ARG", "Arguments of the script."):args "*":target "args"
end

-- ---- the script's world ----------------------------------------------------

local function set_arguments(options, argv)
  local arg = { [0] = options.file }
  for i, word in ipairs(options.args) do arg[i] = word end
  local before = #argv - #options.args -- where FILE is
  for i = 0, before - 1 do arg[i - before] = argv[i] end
  rawset(_G, "arg", arg)
end

-- Modules beside the script come first.
local function set_path(file)
  if file == "-" then return end
  local folder = file:match "^(.*/)" or "./"
  package.path = ("%s?.lua;%s?/init.lua;%s"):format(folder, folder, package.path)
end

-- Tasks remember where they fail, for the report.
local function spawn(fn, ...)
  if type(fn) ~= "function" then return core.spawn(fn) end
  local function rethrow(ok, ...)
    if not ok then error((...), 0) end
    return ...
  end
  return core.spawn(function(...)
    return rethrow(failure.guard(fn, ...))
  end, ...)
end

-- Without any URL, a script that needs no database also runs where SQLite's
-- driver is missing: then `db` raises when it is used.
local function set_globals(db, problem)
  rawset(_G, "perigee", perigee)
  rawset(_G, "db", db)
  perigee.spawn = spawn
  wait.guard = failure.guard
  if db then return end
  setmetatable(_G, { __index = function(_, name)
    if name == "db" then error(problem, 0) end
  end })
end

-- ---- running ---------------------------------------------------------------

local function load_script(file)
  if file == "-" then return loadfile() end
  local f, why = io.open(file, "rb")
  if not f then return nil, why, true end
  local readable, problem = f:read(0)
  f:close()
  if not readable and problem then return nil, file .. ": " .. problem, true end
  return loadfile(file)
end

local function run_script(chunk, args)
  return pcall(perigee.run, function()
    local ok, err = failure.guard(chunk, unpack(args))
    if not ok then error(err, 0) end
  end)
end

local function finish(ok, err)
  if ok then return 0 end
  if runner.interrupts() > 0 then
    failure.say("interrupted")
    return failure.INTERRUPTED
  end
  failure.report(err)
  return failure.status(err)
end

function M.run(options, argv)
  local chunk, why, unreadable = load_script(options.file)
  if not chunk then
    failure.say("%s", why)
    return unreadable and failure.USAGE or failure.SCRIPT
  end
  local db, problem, from = database.open(options)
  if not db and from then
    failure.say("%s", database.explain(problem, from))
    return failure.USAGE
  end
  set_arguments(options, argv)
  set_path(options.file)
  set_globals(db, problem)
  runner.catch_interrupts(false)
  local status = finish(run_script(chunk, options.args))
  if db then pcall(db.close, db) end
  return status
end

return M
