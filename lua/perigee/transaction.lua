--- Transactions, connections and who is in which.
-- A block (tx or conn) is an executor of core; what this file knows of one is in
-- core.env(block): `owned` (a tx with a connection of its own), `savepoint`, `depth`,
-- `hooks` (on_commit), `streams` (iterators to close at the end).
-- Where the driver can, BEGIN and SAVEPOINT go with the first statement of a block
-- (core.hold_begin), and the end of a block without statements sends nothing.
local core = require "perigee.core"
local wait = require "perigee.wait"
local util = require "perigee.util"

local usage, pack, unpack = util.usage, util.pack, util.unpack

local acquire = wait.leaf(core.acquire)
local block = wait.leaf(core.block)
local control = wait.leaf(core.control)
local sleep = wait.leaf(core.sleep)
local env, is_open, state = core.env, core.is_open, core.state
local enter, leave, joined = core.enter, core.leave, core.joined
local begin_sql, hold_begin = core.begin_sql, core.hold_begin
local M = {}

local NONE = {} -- no options

local ROLLBACK_SECONDS = 5

local function is_db(x)
  return getmetatable(x) == core.db_mt
end

local function handle_of(x)
  return is_db(x) and x or env(x)[1]
end

M.handle_of = handle_of

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
  if o == nil then return NONE end
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

local function is_tx(x)
  return core.info(x).is_tx
end

--- The executor that calls on `x` run in: a block, or nil for the pool.
-- Raises `closed` when the block has ended and its function still runs.
function M.target(x)
  if not is_db(x) then return x end
  local block_of_task = joined(x)
  if block_of_task and not is_open(block_of_task) then
    error(core.new_error("closed", "this transaction has ended"), 0)
  end
  return block_of_task
end

--- Notes that the running task has a pipeline open on the handle (nil: none).
function M.set_piping(db, on)
  local e = env(db)
  e.piping = e.piping or {}
  e.piping[core.current()] = on
  if not next(e.piping) then e.piping = nil end
end

--- Raises `usage` when the running task has one.
function M.refuse_in_pipeline(db, what)
  local piping = env(db).piping
  if piping and piping[core.current()] then
    usage("%s inside of a pipeline: put the pipeline into it", what)
  end
end

-- ---- the end of a block ----------------------------------------------------

local function close_streams(e)
  if not e.streams then return end
  for s in pairs(e.streams) do
    if getmetatable(s) == core.stream_mt then core.cut_stream(s) else s:cut() end
  end
  e.streams = nil
end

-- The block is over, as the database sees it too.
local function conclude(tx, e, reason)
  if e.owned then
    core.release(tx, reason)
    return
  end
  core.end_block(tx)
  if e.query_only then
    core.shield(true)
    pcall(control, e.outer, "PRAGMA query_only = 0", false, ROLLBACK_SECONDS)
    core.shield(false)
  end
end

local function undo(tx, e)
  if e.savepoint then
    control(tx, "ROLLBACK TO SAVEPOINT " .. e.savepoint, true, ROLLBACK_SECONDS)
    control(tx, "RELEASE SAVEPOINT " .. e.savepoint, true, ROLLBACK_SECONDS)
  elseif state(tx) ~= "idle" then
    control(tx, "ROLLBACK", true, ROLLBACK_SECONDS)
  end
end

-- Rolls back and ends the block, whatever state it is in. Never raises; returns
-- the error that the rollback itself had, and then its connection is given up.
local function roll_back(tx)
  local e, ok, err = env(tx), true, nil
  close_streams(e)
  if state(tx) then -- its connection is there
    core.shield(true)
    ok, err = pcall(undo, tx, e)
    core.shield(false)
  end
  conclude(tx, e, not ok and "its rollback failed" or nil)
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
-- other statement brings along.
local function first_error(tx)
  local ok, err = pcall(control, tx, "SELECT 1", false)
  return not ok and type(err) == "table" and err.cause or nil
end

local function commit(tx)
  local e = env(tx)
  if e.streams then close_streams(e) end
  local cause = not e.savepoint and state(tx) == "failed" and first_error(tx) or nil
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
  conclude(tx, e)
  e.committed = true
  if e.hooks then run_hooks(tx, e) end
end

-- ---- the start of a block --------------------------------------------------

-- BEGIN, or what the options make of it. `e` is the handle's.
local function begin_of(x, e, o)
  if e.piping then M.refuse_in_pipeline(handle_of(x), "transaction") end
  if o ~= NONE or not e.begin then
    local sql = begin_sql(x, o.isolation, o.readonly, o.deferrable)
    if o ~= NONE then return sql end
    e.begin = sql
  end
  return e.begin
end

-- Begins inside the block that the task has open on `x`: with BEGIN on a
-- connection, else a savepoint.
local function start_inside(tx, e, o, begin)
  local seconds = o.acquire_timeout -- SQLite: BEGIN waits for the lock of the file
  if is_tx(e.outer) then
    if not env(e[1]).force_rollback then refuse_nested(o) end
    e.savepoint = "perigee_" .. e.depth
    begin, seconds = "SAVEPOINT " .. e.savepoint, nil
  end
  if not hold_begin(tx, begin) then control(tx, begin, false, seconds) end
end

local function open_block(x, o)
  local begin = begin_of(x, env(handle_of(x)), o)
  local tx = block(x)
  local e = env(tx)
  e.outer = e[2]
  e.depth = (env(e.outer).depth or 0) + 1
  local ok, err = pcall(start_inside, tx, e, o, begin)
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
  if dialect ~= "sqlite" or core.info(tx).lane == "read" then return tx end
  env(tx).query_only = true
  local ok, err = pcall(control, tx, "PRAGMA query_only = 1", false)
  if not ok then error(attach(err, roll_back(tx)), 0) end
  return tx
end

-- Begins a transaction on a connection of its own.
local function open_transaction(db, o)
  local begin = begin_of(db, env(db), o) -- first of all: is everything allowed?
  local seconds = o.acquire_timeout
  local tx = acquire(db, o.readonly and "read" or "write", seconds, true)
  local e = env(tx)
  e.owned, e.depth = true, 1
  if not hold_begin(tx, begin) then
    local ok, err = pcall(control, tx, begin, false, seconds)
    if not ok then
      core.release(tx)
      error(err, 0)
    end
  end
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
  if not is_tx(x) then usage("this is a connection, not a transaction") end
  if not is_open(x) then
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

local function end_of_block(db, tx, before, ok, ...)
  leave(db, tx, before)
  if ok then
    if is_open(tx) then commit(tx) end
    return ...
  end
  local err = ...
  if is_open(tx) then err = attach(err, roll_back(tx)) end
  error(err, 0)
end

-- Runs fn in an open block and ends it: commit on return, rollback on error.
local function run_block(db, tx, fn)
  return end_of_block(db, tx, enter(db, tx), wait.guard(fn, tx))
end

local RETRY = { serialization = true, deadlock = true, locked = true }

local function is_retryable(err)
  return type(err) == "table" and getmetatable(err) == core.error
    and err.retryable and RETRY[err.kind]
end

-- `start(x, o)` opens the block of one attempt.
local function run_with_retries(db, fn, start, x, o)
  local left, pause = o.retries, 0.01
  while left > 0 do
    local tx
    local r = pack(pcall(function()
      tx = start(x, o)
      return run_block(db, tx, fn)
    end))
    if r[1] then return unpack(r, 2, r.n) end
    -- what a hook of on_commit raises comes after the commit
    if not is_retryable(r[2]) or tx and env(tx).committed then error(r[2], 0) end
    left = left - 1
    sleep(pause * (0.5 + math.random()))
    pause = math.min(pause * 2, 1)
  end
  return run_block(db, start(x, o), fn)
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
  local o = options == nil and NONE or check_options(options)
  local target = M.target(x)
  local db, start, at = x, open_transaction, x
  if target then
    if o.retries and is_tx(target) then
      usage("retries: the outer transaction has to be repeated")
    end
    db, start, at = handle_of(x), open_on, target
  end
  if o.retries then return run_with_retries(db, fn, start, at, o) end
  return run_block(db, start(at, o), fn)
end

local function end_of_connection(db, conn, before, ok, ...)
  leave(db, conn, before)
  close_streams(env(conn))
  core.release(conn)
  if not ok then error((...), 0) end
  return ...
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
  return end_of_connection(x, conn, enter(x, conn), wait.guard(fn, conn))
end

--- Joins the transaction that `x` is in, or starts one.
function M.ensure_transaction(x, fn, options)
  need_function(fn, "ensure_transaction")
  local target = M.target(x)
  if target and is_tx(target) then
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
    local nested = target and is_tx(target)
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
  if is_db(x) then target = joined(x) end
  return target ~= nil and is_tx(target) and is_open(target)
end

-- ---- leaving a scope -------------------------------------------------------

--- __close of blocks: rolls back and waits where that is possible, else leaves the
-- cleaning to the pool.
function M.close_block(x)
  if not is_open(x) then return end
  if is_tx(x) and core.can_wait() then
    roll_back(x)
  elseif is_tx(x) then
    local e = env(x)
    close_streams(e)
    core.end_block(x)
    if e.owned then core.release(x) end
  else
    core.release(x)
  end
end

--- Test isolation: everything on the handle runs in one transaction, which
-- close() rolls back.
function M.open_root(db)
  local tx = open_transaction(db, NONE)
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
  if is_open(tx) then roll_back(tx) end
end

return M
