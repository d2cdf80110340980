--- Migrations of a database: `perigee.migrations.open(db, dir)`.
-- The verbs are those of the program. Each reads the folder anew, waits as every verb of
-- a handle does, and raises errors of kind "migration" with the exit status of the
-- program in `exit` (docs/api/migrations.md).
--
-- For tests of crashes, the option `fault` is called as fault(point, n) at every
-- boundary of a statement: point is "before" or "after" it, "between" the end of a step
-- that runs alone and the record of it; n counts the boundaries of the run from 1.
local core = require "perigee.core"
local dialects = require "perigee.dialect"
local graph = require "perigee.migrate.graph"
local journal = require "perigee.migrate.journal"
local util = require "perigee.util"

local usage = util.usage
local M = {}

local migrations = {}
local methods = {}
migrations.__index = methods
migrations.__name = "perigee.migrations"

-- ---- options ---------------------------------------------------------------

local function number(name, v)
  if type(v) ~= "number" or v ~= v or v < 0 then
    usage("%s: a number from 0 on is expected, not %s", name, tostring(v))
  end
  return v
end

local function of_type(want)
  return function(name, v)
    if type(v) ~= want then usage("%s: a %s is expected, not %s", name, want, type(v)) end
    return v
  end
end

local function any(_, v) return v end

-- name = { check, default }
local OPTIONS = {
  dir = { of_type "string" }, schema = { any }, include = { of_type "function" },
  journal_schema = { of_type "string" }, on_event = { of_type "function" },
  lock_timeout = { number, 2 }, lock_wait = { number, 60 }, retries = { number, 10 },
  retry_pause = { number, 0.5 }, statement_timeout = { number, 30 },
  allow = { of_type "table" }, online = { of_type "boolean", true },
  schemas = { of_type "table" }, manage = { any }, fault = { of_type "function" },
}

local function read_options(given)
  local names, o = {}, {}
  for name, option in pairs(OPTIONS) do
    names[#names + 1] = name
    o[name] = option[2]
  end
  table.sort(names)
  for k, v in pairs(given) do
    local option = OPTIONS[k]
    if not option then
      usage("migrations: unknown option %q: allowed are %s", tostring(k),
        table.concat(names, ", "))
    end
    o[k] = option[1](k, v)
  end
  if not o.dir then usage("migrations: the folder is missing (dir)") end
  return o
end

--- Migrations of a database. Nothing is read before the first verb.
-- @tparam perigee.db db
-- @tparam string|table options the folder, or a table: dir, schema (definitions: a path
-- or an object of perigee.schema), include (function(object) → boolean), schemas (names
-- of schemas besides the default one), manage ("all": see diff), journal_schema,
-- lock_timeout (seconds that a statement waits for a lock, 2), statement_timeout (seconds
-- of a short statement, 30), lock_wait (seconds to wait for another runner, 60), retries
-- (10), retry_pause (seconds before the first, 0.5), online (boolean, true), allow
-- ({ [rule] = reason }), on_event (function(event)), fault (for tests)
-- @treturn perigee.migrations
-- @raise usage, unsupported
function M.open(db, options)
  if getmetatable(db) ~= core.db_mt then
    usage("migrations.open(db, dir): a handle is expected, not %s", type(db))
  end
  if type(options) == "string" then options = { dir = options } end
  if type(options) ~= "table" then
    usage("migrations.open(db, dir): a folder or a table of options is expected")
  end
  local o = read_options(options)
  local dialect = dialects.of(db)
  if not dialect.lock then
    error(core.new_error("unsupported",
      ("migrations cannot be run on a %s database"):format(dialect.name)), 0)
  end
  local on_event = o.on_event
  return setmetatable({
    db = db, dir = o.dir, options = o, dialect = dialect,
    journal = journal.new(dialect, o.journal_schema),
    inspect_options = { schemas = o.schemas, include = o.include },
    emit = function(event)
      if on_event then on_event(event) end
    end,
  }, migrations)
end

function migrations.__tostring(m)
  return ("perigee.migrations %s on %s"):format(m.dir, tostring(m.db))
end

-- ---- what the verbs share --------------------------------------------------

--- The graph of the files as they are now.
function methods.graph(m)
  return graph.new(require "perigee.migrate.files".read(m.dir))
end

--- Are definitions known?
function methods.has_wanted(m)
  return m.options.schema ~= nil
end

--- The definitions, loaded when they are a path.
-- @raise usage when there are none
function methods.wanted(m)
  local schema = m.options.schema
  if schema == nil then
    usage("no definitions are known: open the migrations with schema = path")
  end
  if type(schema) == "string" then return require "perigee.schema".load(schema) end
  return schema
end

-- ---- verbs -----------------------------------------------------------------

local VERBS = {
  upgrade = "run", finish = "run", downgrade = "run",
  resume = "recover", abandon = "recover", stamp = "recover", sync = "recover",
  status = "status", ready = "status", current = "status", heads = "status",
  history = "status", show = "status",
  check = "differ", diff = "differ", drift = "differ", lint = "differ",
  revision = "edit", merge = "edit", rebase = "edit", squash = "edit", repair = "edit",
  test = "proof", sql = "offline",
}

for verb, module in pairs(VERBS) do
  methods[verb] = function(m, ...)
    return require("perigee.migrate." .. module)[verb](m, ...)
  end
end

return M
