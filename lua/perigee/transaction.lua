--- Transactions, connections and who is in which.
-- A block (tx or conn) is an executor of core; what this file knows of one is in
-- core.env(block): `conn` (a tx that owns its connection), `savepoint`, `depth`,
-- `hooks` (on_commit), `streams` (iterators to close at the end).
local core = require "perigee.core"
local wait = require "perigee.wait"
local util = require "perigee.util"

local usage, pack, unpack = util.usage, util.pack, util.unpack

local acquire = wait.leaf(core.acquire)
local block = wait.leaf(core.block)
local control = wait.leaf(core.control)
local sleep = wait.leaf(core.sleep)
local env, info = core.env, core.info
local M = {}

local ROLLBACK_SECONDS = 5

local function is_db(x)
  return getmetatable(x) == core.db_mt
end

local function handle_of(x)
  return is_db(x) and x or env(x)[1]
end

local function need_function(fn, what)
  if type(fn) ~= "function" then
    usage("%s: a function is expected, not %s", what, type(fn))
  end
end

-- ---- options ---------------------------------------------------------------

local OPTIONS = {
  isolation = "string",
  readonly = "boolean",
  deferrable = "boolean",
  retries = "number",
  acquire_timeout = "number",
}

local function check_options(o)
  if o == nil then return {} end
  if type(o) ~= "table" then usage("options: a table is expected, not %s", type(o)) end
  for k, v in pairs(o) do
    local want = OPTIONS[k]
    if not want then
      usage("unknown option %q: allowed are acquire_timeout, deferrable, "
        .. "isolation, readonly, retries", tostring(k))
    elseif type(v) ~= want then
      usage("%s: a %s is expected, not %s", k, want, type(v))
    end
  end
  local n = o.retries
  if n and (n < 0 or n ~= math.floor(n) or n == math.huge) then
    usage("retries: must be a whole number from 0 on")
  end
  return o
end

local function refuse_nested(o)
  local k = next(o)
  if k then usage("%s: a block inside a transaction is a savepoint and takes no options", k) end
end

-- ---- who is in which block -------------------------------------------------

--- The innermost block of the running task on the handle, or nil.
local function current(db)
  local scopes = env(db).scopes
  return scopes and (scopes[core.current()] or scopes.all)
end

--- The executor that calls on `x` run in: a block, or nil for the pool.
-- Raises `closed` when the block has ended and its function still runs.
function M.target(x)
  if not is_db(x) then return x end
  local block_of_task = current(x)
  if block_of_task and not info(block_of_task).open then
    error(core.new_error("closed", "this transaction has ended"), 0)
  end
  return block_of_task
end

local function enter(db, x)
  local e, key = env(db), core.current()
  if not e.scopes then e.scopes = setmetatable({}, { __mode = "v" }) end
  local before = e.scopes[key]
  e.scopes[key] = x
  core.scope(db, x, 1)
  return before
end

local function leave(db, x, before)
  env(db).scopes[core.current()] = before
  core.scope(db, x, -1)
end

-- ---- the end of a block ----------------------------------------------------

local function close_streams(e)
  if not e.streams then return end
  for s in pairs(e.streams) do s:close() end
  e.streams = nil
end

-- The block is over, as the database sees it too.
local function conclude(tx, reason)
  local e = env(tx)
  core.end_block(tx)
  if e.conn then
    core.release(e.conn, reason)
  elseif e.query_only then
    core.shield(true)
    pcall(control, e.outer, "PRAGMA query_only = 0", false, ROLLBACK_SECONDS)
    core.shield(false)
  end
end

local function is_broken(tx)
  local i = info(tx)
  return not i.leased or i.broken
end

local function undo(tx, e)
  if e.savepoint then
    control(tx, "ROLLBACK TO SAVEPOINT " .. e.savepoint, true, ROLLBACK_SECONDS)
    control(tx, "RELEASE SAVEPOINT " .. e.savepoint, true, ROLLBACK_SECONDS)
  elseif info(tx).tx ~= "idle" then
    control(tx, "ROLLBACK", true, ROLLBACK_SECONDS)
  end
end

-- Rolls back and ends the block, whatever state it is in. Never raises; returns
-- the error that the rollback itself had, and then its connection is given up.
local function roll_back(tx)
  local e, ok, err = env(tx), true, nil
  close_streams(e)
  if not is_broken(tx) then
    core.shield(true)
    ok, err = pcall(undo, tx, e)
    core.shield(false)
  end
  conclude(tx, not ok and e.conn and "its rollback failed" or nil)
  if ok then return nil end
  return err
end

local function attach(err, problem)
  if problem and type(err) == "table" and getmetatable(err) == core.error
    and err.rollback_error == nil then
    err.rollback_error = problem
  end
  return err
end

-- Runs what on_commit has collected, or hands it to the outer block.
local function run_hooks(tx, e)
  local hooks = e.hooks
  if not hooks then return end
  local outer = e.savepoint and env(e.outer)
  if not outer then
    for i = 1, #hooks do hooks[i]() end
    return
  end
  outer.hooks = outer.hooks or {}
  for i = 1, #hooks do outer.hooks[#outer.hooks + 1] = hooks[i] end
  return tx
end

-- The error that made the transaction fail, which the server's refusal of any
-- other statement brings along; nil when it has not failed.
local function first_error(tx)
  if info(tx).tx ~= "failed" then return nil end
  local ok, err = pcall(control, tx, "SELECT 1", false)
  return not ok and type(err) == "table" and err.cause or nil
end

local function commit(tx)
  local e = env(tx)
  close_streams(e)
  local cause = not e.savepoint and first_error(tx) or nil
  local sql = e.savepoint and "RELEASE SAVEPOINT " .. e.savepoint or "COMMIT"
  local ok, tag = pcall(control, tx, sql, true)
  if ok and not e.savepoint and tag == "ROLLBACK" then
    ok, tag = false, core.new_error("aborted",
      "the transaction was rolled back: a statement in it had failed",
      { cause = cause })
  end
  if not ok then
    error(attach(tag, roll_back(tx)), 0)
  end
  conclude(tx)
  e.committed = true
  run_hooks(tx, e)
end

-- ---- the start of a block --------------------------------------------------

-- Opens a block on `x`, or inside the block that the task has open there: with
-- BEGIN on a connection, else a savepoint.
local function open_block(x, o)
  local begin = core.begin_sql(x, o.isolation, o.readonly, o.deferrable)
  local seconds = o.acquire_timeout -- SQLite: BEGIN waits for the lock of the file
  local tx = block(x)
  local e = env(tx)
  e.outer = e[2]
  e.depth = (env(e.outer).depth or 0) + 1
  local ok, err = pcall(function()
    if info(e.outer).is_tx then
      if not env(e[1]).force_rollback then refuse_nested(o) end
      e.savepoint = "perigee_" .. e.depth
      begin, seconds = "SAVEPOINT " .. e.savepoint, nil
    end
    control(tx, begin, false, seconds)
  end)
  if not ok then
    core.end_block(tx)
    error(err, 0)
  end
  return tx
end

-- SQLite has no read-only transactions: its writer refuses writes meanwhile.
-- (On a connection of the pool the reset undoes that.)
local function make_readonly(tx)
  local dialect = core.driver(tx).dialect
  if dialect ~= "sqlite" or info(tx).lane == "read" then return tx end
  env(tx).query_only = true
  local ok, err = pcall(control, tx, "PRAGMA query_only = 1", false)
  if not ok then error(attach(err, roll_back(tx)), 0) end
  return tx
end

-- Begins a transaction on a connection of its own.
local function open_transaction(db, o)
  core.begin_sql(db, o.isolation, o.readonly, o.deferrable) -- is all allowed?
  local conn = acquire(db, o.readonly and "read" or "write", o.acquire_timeout)
  local ok, tx = pcall(open_block, conn, o)
  if not ok then
    core.release(conn)
    error(tx, 0)
  end
  env(tx).conn = conn
  return o.readonly and make_readonly(tx) or tx
end

-- A transaction on a block that is there.
local function open_on(x, o)
  local tx = open_block(x, o)
  return o.readonly and not env(tx).savepoint and make_readonly(tx) or tx
end

--- Begins a transaction to be ended by commit() or rollback(), or by leaving the
-- scope of a `local tx <close>` (which rolls back).
-- On the handle it has a connection of its own and is never joined by calls on
-- the handle.
-- @tparam[opt] table options isolation, readonly, deferrable, acquire_timeout
-- (seconds to wait for a connection, and for the BEGIN on it)
-- @treturn perigee.exec
function M.begin(x, options)
  local o = check_options(options)
  if o.retries then usage("retries: is for transaction(fn)") end
  if not is_db(x) then return open_on(x, o) end
  local all = env(x).scopes and env(x).scopes.all
  return all and open_on(all, o) or open_transaction(x, o)
end

local function check_open(x)
  if not info(x).is_tx then usage("this is a connection, not a transaction") end
  if not info(x).open then
    error(core.new_error("closed", "this transaction has ended"), 0)
  end
end

-- The end of a transaction that was lent (a body of m:run) is its owner's.
local function check_own(x)
  local owner = env(x).owner
  if owner then usage("%s ends this transaction: return, or raise an error", owner) end
end

--- Commits. What other tasks have queued on the transaction runs before; an error
-- rolls back and is raised.
function M.commit(tx)
  check_open(tx)
  check_own(tx)
  commit(tx)
end

--- Rolls back.
function M.rollback(tx)
  check_open(tx)
  check_own(tx)
  local problem = roll_back(tx)
  if problem then error(problem, 0) end
end

-- ---- blocks ----------------------------------------------------------------

-- Runs fn in an open block and ends it: commit on return, rollback on error.
local function run_block(db, tx, fn)
  local before = enter(db, tx)
  local r = pack(wait.guard(fn, tx))
  leave(db, tx, before)
  if not r[1] then
    local err = r[2]
    if info(tx).open then err = attach(err, roll_back(tx)) end
    error(err, 0)
  end
  if info(tx).open then commit(tx) end
  return unpack(r, 2, r.n)
end

local RETRY = { serialization = true, deadlock = true, locked = true }

local function is_retryable(err)
  return type(err) == "table" and getmetatable(err) == core.error
    and err.retryable and RETRY[err.kind]
end

-- `start()` opens the block of one attempt.
local function run_with_retries(db, fn, o, start)
  local left, pause = o.retries or 0, 0.01
  while true do
    if left == 0 then return run_block(db, start(), fn) end
    local tx
    local r = pack(pcall(function()
      tx = start()
      return run_block(db, tx, fn)
    end))
    if r[1] then return unpack(r, 2, r.n) end
    -- what a hook of on_commit raises comes after the commit
    if not is_retryable(r[2]) or tx and env(tx).committed then error(r[2], 0) end
    left = left - 1
    sleep(pause * (0.5 + math.random()))
    pause = math.min(pause * 2, 1)
  end
end

--- Runs `fn(tx)` in a transaction: commit on return, rollback on error.
-- Inside a transaction it is a savepoint; calls on the handle made by the same
-- task join the innermost block.
-- @tparam function fn
-- @tparam[opt] table options isolation ("read_committed", "repeatable_read",
-- "serializable"), readonly, deferrable, retries (how often to run fn again after
-- a serialization failure, deadlock or lock; default 0), acquire_timeout
-- @return the results of fn
function M.transaction(x, fn, options)
  need_function(fn, "transaction")
  local o = check_options(options)
  local target = M.target(x)
  if not target then
    return run_with_retries(x, fn, o, function() return open_transaction(x, o) end)
  end
  if o.retries and info(target).is_tx then
    usage("retries: the outer transaction has to be repeated")
  end
  return run_with_retries(handle_of(x), fn, o, function() return open_on(target, o) end)
end

--- Runs `fn(conn)` on one connection; calls on the handle made by the same task
-- join it. Session state is reset when it is given back.
-- @tparam function fn
-- @return the results of fn
function M.connection(x, fn)
  need_function(fn, "connection")
  local target = M.target(x)
  if target then return fn(target) end
  local conn = acquire(x, "write")
  local before = enter(x, conn)
  local r = pack(wait.guard(fn, conn))
  leave(x, conn, before)
  close_streams(env(conn))
  core.release(conn)
  if not r[1] then error(r[2], 0) end
  return unpack(r, 2, r.n)
end

--- Joins the transaction that `x` is in, or starts one.
function M.ensure_transaction(x, fn, options)
  need_function(fn, "ensure_transaction")
  local target = M.target(x)
  if target and info(target).is_tx then
    refuse_nested(check_options(options))
    return fn(target)
  end
  return M.transaction(x, fn, options)
end

--- Joins the connection that `x` is on, or takes one.
M.ensure_connection = M.connection

--- A function that runs `fn(...)` in a transaction of its own or, called inside
-- one, in a savepoint; it may call itself.
-- @tparam function fn
-- @tparam[opt] table options as for transaction()
function M.transactional(x, fn, options)
  need_function(fn, "transactional")
  check_options(options)
  return function(...)
    local args = pack(...)
    local target = M.target(x)
    local nested = target and info(target).is_tx
    return M.transaction(x, function()
      return fn(unpack(args, 1, args.n))
    end, not nested and options or nil)
  end
end

--- Calls `fn()` after the outermost transaction has committed; never when it, or a
-- savepoint around, is rolled back.
function M.on_commit(x, fn)
  need_function(fn, "on_commit")
  local tx = M.target(x)
  if not tx then usage("on_commit: no transaction is open in this task") end
  check_open(tx)
  local e = env(tx)
  e.hooks = e.hooks or {}
  e.hooks[#e.hooks + 1] = fn
end

--- Is `x` (for a handle: the running task) in a transaction?
function M.in_transaction(x)
  local target = x
  if is_db(x) then target = current(x) end
  return target ~= nil and info(target).is_tx and info(target).open
end

-- ---- leaving a scope -------------------------------------------------------

--- __close of blocks: rolls back and waits where that is possible, else leaves the
-- cleaning to the pool.
function M.close_block(x)
  local i = info(x)
  if not i.open then return end
  if i.is_tx and core.can_wait() then
    roll_back(x)
  elseif i.is_tx then
    local e = env(x)
    close_streams(e)
    core.end_block(x)
    if e.conn then core.release(e.conn) end
  else
    core.release(x)
  end
end

--- Test isolation: everything on the handle runs in one transaction, which
-- close() rolls back.
function M.open_root(db)
  local tx = open_transaction(db, {})
  local e = env(db)
  e.scopes = e.scopes or setmetatable({}, { __mode = "v" })
  e.scopes.all, e.root = tx, tx
  core.scope(db, tx, 1)
end

function M.close_root(db)
  local e = env(db)
  local tx = e.root
  if not tx then return end
  e.root, e.scopes.all = nil, nil
  core.scope(db, tx, -1)
  if info(tx).open then roll_back(tx) end
end

return M
