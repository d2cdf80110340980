--- Perigee: databases as yielding Lua functions.
-- @module perigee
local core = require "perigee.core"
local wait = require "perigee.wait"
local task = require "perigee.task"
local transaction = require "perigee.transaction"
local each = require "perigee.each"
local format = require "perigee.format"
local opening = require "perigee.open"
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

--- Connections opened so far are closed when they come back.
handle.evict = core.evict

core.db_mt.__index = handle
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

core.exec_mt.__index = block
core.exec_mt.__close = transaction.close_block

-- ---- the module ------------------------------------------------------------

local M = {
  _VERSION = "0.1.0",
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
  table = format.table,
}

for _, name in ipairs {
  "null", "default", "bytes", "json", "raw_json", "json_object", "json_array",
  "array", "range", "multirange", "record", "hstore",
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

return M
