--- Pipelines: statements on one connection that do not wait for each other.
local core = require "perigee.core"
local wait = require "perigee.wait"
local util = require "perigee.util"
local transaction = require "perigee.transaction"

local usage, check_options = util.usage, util.check_options
local acquire = wait.leaf(core.acquire)
local pipe_wait = wait.leaf(core.pipe_wait)
local get = wait.leaf(core.reply_methods.get)
local M = {}

local VERBS = {}
for name, fn in pairs(core.pipe_verbs) do VERBS[name] = wait.leaf(fn) end

core.pipe_mt.__index = function(_, name)
  local verb = VERBS[name]
  if verb then return verb end
  usage("a pipeline has query, first, one, value and execute, and no %s; what waits in "
    .. "between is for a transaction or connection around it", tostring(name))
end
core.reply_mt.__index = { get = get }
core.pipeline_methods, core.reply_methods = VERBS, core.reply_mt.__index

-- The caller has been told to stop: the answers are not waited for.
local function is_given_up(err)
  return type(err) == "table" and getmetatable(err) == core.error
    and (err.kind == "cancelled" or err.kind == "timeout")
end

local function close(db, conn, p)
  local reply = core.pipe_close(p)
  transaction.set_piping(db, nil)
  if conn then core.release(conn) end
  return reply
end

local function finish(db, conn, p, ok, ...)
  local waited, why = true, nil
  if ok or not is_given_up((...)) then waited, why = pcall(pipe_wait, p) end
  local reply = close(db, conn, p)
  if not ok then error((...), 0) end
  if not waited then error(why, 0) end
  if reply then get(reply) end -- raises
  return ...
end

local function open(db, target, seconds)
  if target then return core.pipe(target, false, seconds) end
  local conn = acquire(db, "write")
  local ok, p = pcall(core.pipe, conn, true, seconds)
  if ok then return p, conn end
  core.release(conn)
  error(p, 0)
end

--- Runs `fn(p)`. The verbs of `p` (query, first, one, value, execute) send at once and
-- return a reply; `reply:get()` waits, and returns or raises what the verb would.
-- On the handle all statements go by one connection, each for itself.
-- @tparam function fn
-- @tparam[opt] table options timeout (seconds for each statement that names none)
-- @return the results of `fn`, when all answers have come
-- @raise what `fn` raises, or the first error that no `get` has raised
function M.pipeline(x, fn, options)
  if type(fn) ~= "function" then
    usage("pipeline: a function is expected, not %s", type(fn))
  end
  local seconds = check_options("pipeline", options, { "timeout" }).timeout
  local target = transaction.target(x)
  local db = transaction.handle_of(x)
  transaction.refuse_in_pipeline(db, "pipeline")
  local p, conn = open(db, target, seconds)
  transaction.set_piping(db, true)
  return finish(db, conn, p, wait.guard(fn, p))
end

return M
