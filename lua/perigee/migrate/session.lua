--- A run: one connection that holds the lock and does everything.
local core = require "perigee.core"
local problem = require "perigee.migrate.problem"
local util = require "perigee.util"

local usage, pack, unpack = util.usage, util.pack, util.unpack
local M = {}

local function who()
  return {
    user = core.user_name and core.user_name() or nil,
    host = core.host_name and core.host_name() or nil,
    version = require "perigee"._VERSION,
  }
end

-- Bodies of m:run, loaded when the first of a file is needed.
local function functions()
  local files = require "perigee.migrate.files"
  local known = {}
  return function(m, phase)
    known[m.id] = known[m.id] or files.functions(m)
    return known[m.id][phase] or {}
  end
end

local function new_run(m, conn)
  return {
    m = m, db = m.db, conn = conn, dialect = m.dialect, journal = m.journal, emit = m.emit,
    options = m.options, fault = m.options.fault, points = 0, who = who(),
    functions = functions(),
  }
end

local function lock_key(m)
  local name = m.journal.schema
  return (name and name .. "." or "") .. "perigee_migration"
end

local function refuse_locked(m, holder)
  error(problem.new(problem.LOCKED, ("another runner has the lock %s%s; waited %g s")
    :format(lock_key(m), holder and " (" .. holder .. ")" or "", m.options.lock_wait),
    { holder = holder }), 0)
end

local function take_lock(m, conn)
  local lock, holder = m.dialect.lock, nil
  if not lock then return end
  local key, is_told = lock_key(m), false
  local got = lock.acquire(conn, key, {
    timeout = m.options.lock_wait,
    on_wait = function(who_has)
      holder = who_has or holder
      if not is_told then
        m.emit { type = "lock", state = "waiting", key = key, holder = holder }
      end
      is_told = true
    end,
  })
  if not got then
    holder = holder or lock.holder and lock.holder(conn, key)
    refuse_locked(m, holder)
  end
  m.emit { type = "lock", state = "obtained", key = key }
end

-- A connection that dies takes the lock along: nothing goes on without it.
local function lost(err)
  if not problem.is_error(err) or err.kind ~= "closed" then return err end
  return problem.new(problem.FAILED, ("%s; the connection that holds the lock was lost; run "
    .. "again to go on"):format(err.message), { cause = err })
end

local function in_lock(m, conn, fn)
  local run, d = new_run(m, conn), m.dialect
  if d.prepare and not d.features.rebuilds then -- there before each transaction
    d.prepare(conn, {
      lock_timeout = m.options.lock_timeout, statement_timeout = m.options.statement_timeout,
    })
  end
  local r = pack(pcall(fn, run))
  if d.restore then pcall(d.restore, conn) end
  if not r[1] then error(lost(r[2]), 0) end
  return unpack(r, 2, r.n)
end

local BUSY = { locked = true, timeout = true }

--- Runs fn(tx) in a transaction on the run's connection. Where the transaction is the lock
-- (SQLite), another runner may be in one: it is waited for as for the lock.
-- @raise migration (exit 5) when it does not begin in `lock_wait` seconds
function M.transaction(run, fn)
  if not run.dialect.features.rebuilds then return run.conn:transaction(fn) end
  local has_begun = false
  local r = pack(pcall(run.conn.transaction, run.conn, function(tx)
    has_begun = true
    return fn(tx)
  end, { acquire_timeout = run.options.lock_wait }))
  if r[1] then return unpack(r, 2, r.n) end
  if not has_begun and problem.is_error(r[2]) and BUSY[r[2].kind] then refuse_locked(run.m) end
  error(r[2], 0)
end

--- Creates the journal, unless it is there.
function M.create_journal(run)
  if run.journal:exists(run.conn) then return end
  if not run.dialect.features.transactional_ddl then return run.journal:create(run.conn) end
  M.transaction(run, function(tx)
    if run.journal:exists(tx) then return end -- SQLite: another was quicker
    run.journal:create(tx)
  end)
end

--- Runs fn(run) with the lock on a connection of its own.
-- @raise migration (exit 5) when the lock is not to be had in `lock_wait` seconds
function M.with(m, verb, fn)
  if m.db:in_transaction() then
    usage("%s: it makes its own transactions and cannot run inside of one", verb)
  end
  return m.db:connection(function(conn)
    take_lock(m, conn)
    local r = pack(pcall(in_lock, m, conn, fn))
    if m.dialect.lock then pcall(m.dialect.lock.release, conn, lock_key(m)) end
    if not r[1] then error(r[2], 0) end
    return unpack(r, 2, r.n)
  end)
end

return M
