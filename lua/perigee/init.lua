--- Perigee: databases as yielding Lua functions.
-- @module perigee
local core = require "perigee.load"
local wait = require "perigee.wait"
local task = require "perigee.task"
local host = require "perigee.host"
local transaction = require "perigee.transaction"
local each = require "perigee.each"
local format = require "perigee.format"
local opening = require "perigee.open"
local tables = require "perigee.table"
local crud = require "perigee.crud"
require "perigee.stepwise"
local upsert = require "perigee.upsert"
local save = require "perigee.save"
local claim = require "perigee.claim"
local copy = require "perigee.copy"
local relations = require "perigee.relations"
local export = require "perigee.export"
local listen = require "perigee.listen"
local pipeline = require "perigee.pipeline"
local util = require "perigee.util"

local usage = util.usage

local leaf = wait.leaf

-- ---- verbs of every executor -----------------------------------------------

local verbs = {}
for name, fn in pairs(core.verbs) do verbs[name] = leaf(fn) end

verbs.each = each.each
verbs.begin = transaction.begin
verbs.transaction = transaction.transaction
verbs.ensure_transaction = transaction.ensure_transaction
verbs.connection = transaction.connection
verbs.ensure_connection = transaction.ensure_connection
verbs.transactional = transaction.transactional
verbs.in_transaction = transaction.in_transaction
verbs.on_commit = transaction.on_commit
verbs.notify = listen.notify
verbs.pipeline = pipeline.pipeline

local batch = verbs.execute_many

--- Runs a statement once for each set of parameters: batched, all or nothing.
-- @tparam string sql
-- @tparam {table,...} list of parameter tables
-- @tparam[opt] table options timeout
-- @treturn table { affected = n }
function verbs.execute_many(x, sql, list, options)
  local target = transaction.target(x)
  if target and core.info(target).is_tx then
    return transaction.transaction(x, function(tx)
      return batch(tx, sql, list, options)
    end)
  end
  return batch(x, sql, list, options)
end

--- The driver: { name, dialect, version, features }.
function verbs.driver(x)
  return core.driver(x)
end

-- ---- verbs on tables -------------------------------------------------------

for _, name in ipairs(crud.READS) do tables.add_leaf(name, crud.leaves[name]) end
for _, name in ipairs { "insert", "update", "delete", "page" } do
  tables.add(name, crud[name])
end
for _, name in ipairs { "upsert", "get_or_create", "update_or_create" } do
  tables.add(name, upsert[name])
end
for _, name in ipairs {
  "save", "save_all", "insert_many", "upsert_many", "update_many", "delete_many",
} do
  tables.add(name, save[name])
end
verbs.copy_in = copy.copy_in
verbs.copy_out = copy.copy_out
tables.add("claim", claim.claim)
tables.add("claim_one", claim.claim_one)
for name, fn in pairs(tables.verbs) do verbs[name] = fn end

function tables.methods.preload(handle, rows, relation)
  local h = tables.need_handle(handle, "preload")
  return relations.preload_of(h[1], h, rows, relation)
end

--- `articles(filter, opts)` selects.
function tables.handle_mt.__call(handle, filter, opts)
  return handle:select(filter, opts)
end

verbs.table = tables.new
verbs.preload = relations.preload
verbs.export = export.export
verbs.has_table = export.has_table
verbs.has_column = export.has_column

-- Verbs on definitions, whose modules are loaded when one is first called.
local function later(module, name)
  return function(x, ...) return require(module)[name](x, ...) end
end

for _, name in ipairs {
  "create_all", "drop_all", "create", "drop", "tables", "views", "reflect",
} do
  verbs[name] = later("perigee.schema.database", name)
end
verbs.transform = later("perigee.schema.transform", "transform")

for _, name in ipairs { "drop", "transform" } do
  tables.methods[name] = function(handle, opts)
    return verbs[name](tables.need_handle(handle, name)[1], handle, opts)
  end
end

-- The fields of an executor: its verbs, and `t`. core keeps the verbs for who wants to
-- know them all.
local function index(methods, name)
  core[name] = methods
  return function(x, k)
    local method = methods[k]
    if method ~= nil then return method end
    if k == "t" then return tables.tables(x) end
    return nil
  end
end

-- ---- the handle ------------------------------------------------------------

local handle = {}
for name, fn in pairs(verbs) do handle[name] = fn end

local ping = verbs.ping

--- A round trip; true, or raises. A connection that has died meanwhile is replaced.
function handle.ping(db, options)
  if options ~= nil then usage("ping() takes no arguments") end
  local ok, err = pcall(ping, db)
  if ok then return true end
  if type(err) == "table" and err.kind == "closed" and not core.stats(db).is_closed then
    return ping(db)
  end
  error(err, 0)
end

--- Counts of the pool: size, idle, in_use, connecting, cleaning, waiting, max_size, …
function handle.stats(db)
  return core.stats(db)
end

local close = leaf(core.close)

--- Closes: no new work is taken, waiters get `closed`, connections in use have
-- `timeout` seconds to come back. Twice is fine.
-- @tparam[opt] table options timeout (seconds, default 5)
function handle.close(db, options)
  local seconds = 5
  if options ~= nil then
    if type(options) ~= "table" then usage("close{ timeout = seconds }") end
    for k, v in pairs(options) do
      if k ~= "timeout" then usage("close: unknown option %q: allowed is timeout", tostring(k)) end
      seconds = v
    end
  end
  transaction.close_root(db)
  close(db, seconds)
end

handle.listen = listen.listen

--- Connections opened so far are closed when they come back.
handle.evict = core.evict

core.db_mt.__index = index(handle, "db_methods")
core.db_mt.__close = function(db)
  if core.can_wait() then handle.close(db) else core.close_now(db) end
end

-- ---- connections and transactions ------------------------------------------

local block = {}
for name, fn in pairs(verbs) do block[name] = fn end
block.commit = transaction.commit
block.rollback = transaction.rollback

--- What is known of the connection: { open, is_tx, broken, tx, backend }.
function block.info(x)
  return core.info(x)
end

core.exec_mt.__index = index(block, "exec_methods")
core.exec_mt.__close = transaction.close_block

-- ---- the module ------------------------------------------------------------

local M = {
  _VERSION = core.version,
  open = opening.open,
  from_env = opening.from_env,
  url = core.url,
  error = core.error,
  run = task.run,
  spawn = task.spawn,
  sleep = task.sleep,
  gather = task.gather,
  timeout = task.timeout,
  wrap = task.wrap,
  host = host.host,
  table = format.table,
  retry = claim.retry,
  plural = export.plural,
}

for _, name in ipairs {
  "null", "default", "bytes", "json", "raw_json", "json_object", "json_array",
  "array", "range", "multirange", "record", "hstore", "sql", "any_of", "all_of", "none_of",
} do
  M[name] = core[name]
end

--- Opens a handle, runs `fn(db)` and closes it, also on an error.
-- @return the results of fn
function M.with(url, fn, options)
  if type(fn) ~= "function" then
    usage("with(url, fn): a function is expected, not %s", type(fn))
  end
  local db = opening.open(url, options)
  local function finish(ok, ...)
    pcall(handle.close, db)
    if not ok then error((...), 0) end
    return ...
  end
  return finish(wait.guard(fn, db))
end

-- Loaded when they are first used, so that `require "perigee"` stays light.
local LATER = { migrations = "perigee.migrate", schema = "perigee.schema" }

return setmetatable(M, {
  __index = function(_, name) return LATER[name] and require(LATER[name]) end,
})
