--- The session of a run of migrations: its limits, the lock between runners, and who is
-- in the way.
local core = require "perigee.core"
local task = require "perigee.task"
local util = require "perigee.util"

local M = {}

-- ---- limits ----------------------------------------------------------------

local function milliseconds(seconds)
  return ("%d"):format(math.max(0, math.floor((seconds or 0) * 1000 + 0.5)))
end

local function set(conn, name, value)
  conn:query("SELECT pg_catalog.set_config($1, $2, false)", { name, value })
end

local ADJUSTABLE = { "lock_timeout", "statement_timeout" }

--- Sets the limits of the steps that follow; seconds, 0 for none.
-- @tparam table o lock_timeout, statement_timeout
function M.adjust(conn, o)
  for _, name in ipairs(ADJUSTABLE) do
    if o[name] then set(conn, name, milliseconds(o[name])) end
  end
end

local KNOWN = { lock_timeout = true, statement_timeout = true, steps = true, ops = true }

--- Prepares the session of a run.
-- @tparam ?table opts lock_timeout (seconds, default 2), statement_timeout (seconds,
-- default none)
function M.prepare(conn, opts)
  opts = opts or {}
  for k in pairs(opts) do
    if not KNOWN[k] then
      util.usage("prepare: unknown option %q: allowed are lock_timeout, statement_timeout",
        tostring(k))
    end
  end
  M.adjust(conn, { lock_timeout = opts.lock_timeout or 2,
    statement_timeout = opts.statement_timeout or 0 })
  set(conn, "idle_in_transaction_session_timeout", "0")
end

--- Puts back what prepare and adjust have changed.
function M.restore(conn)
  conn:script("RESET lock_timeout; RESET statement_timeout; "
    .. "RESET idle_in_transaction_session_timeout")
end

-- ---- the lock --------------------------------------------------------------

local FIRST_PAUSE, LAST_PAUSE = 0.025, 2
local LOCK_WAIT = 60

-- Two numbers of four bytes: one that says perigee, one of database and key.
local CLASS = 0x70657267 -- "perg"

local function number_of(conn, key)
  local database = conn:value "SELECT pg_catalog.current_database()::text"
  local n = tonumber(core.sha256(database .. "\0" .. key):sub(1, 8), 16)
  return n >= 2 ^ 31 and n - 2 ^ 32 or n
end

local TRY = "SELECT pg_catalog.pg_try_advisory_lock($1::int4, $2::int4)"

-- Which backend holds it? The numbers in pg_locks are unsigned.
local HOLDER = [[
SELECT l.pid::int4 AS pid, a.application_name AS application,
  a.client_addr::text AS address, a.usename::text AS user_name,
  pg_catalog.date_part('epoch', pg_catalog.now() - a.backend_start)::float8 AS age
FROM pg_catalog.pg_locks l
LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
  AND l.database = (SELECT oid FROM pg_catalog.pg_database
    WHERE datname = pg_catalog.current_database())
  AND l.classid::int8 = $1::int8 AND l.objid::int8 = $2::int8 & 4294967295]]

local function holder_row(conn, key)
  return conn:first(HOLDER, { CLASS, number_of(conn, key) })
end

--- Who holds the lock, in words; nil when nobody does.
-- @tparam string key
function M.holder(conn, key)
  local row = holder_row(conn, key)
  if not row then return nil end
  local from = row.address and " from " .. row.address or ""
  return ("backend %d, user %s%s%s"):format(row.pid, row.user_name or "?", from,
    (row.application or "") ~= "" and ", " .. row.application or "")
end

-- A pooler that gives each transaction another server session would leave the lock with
-- a session that is not ours.
local function check_session(conn, key)
  local holder = holder_row(conn, key)
  local mine = conn:value "SELECT pg_catalog.pg_backend_pid()::int4"
  if holder and holder.pid == mine then return end
  error(core.new_error("unsupported", "the lock was taken by another server session than "
    .. "the one that answers now: a pooler in transaction mode (PgBouncer) is in between; "
    .. "migrations need a direct connection or one in session mode"), 0)
end

local OPTIONS = { timeout = true, on_wait = true }

--- Takes the lock of a run. It is asked for again and again, outside of a transaction: a
-- session that waits for it inside of the server would deadlock with CREATE INDEX
-- CONCURRENTLY of the one that has it.
-- @param conn connection, not in a transaction
-- @tparam string key
-- @tparam ?table opts timeout (seconds to wait in all, default 60), on_wait
-- (`on_wait(holder)`, called once for each refusal)
-- @treturn boolean true, or nil when the time is over
-- @raise unsupported behind a pooler in transaction mode
function M.acquire(conn, key, opts)
  opts = opts or {}
  for k in pairs(opts) do
    if not OPTIONS[k] then
      util.usage("lock: unknown option %q: allowed are on_wait, timeout", tostring(k))
    end
  end
  if conn:in_transaction() then util.usage("lock: it cannot be taken inside a transaction") end
  local n = number_of(conn, key)
  local deadline, pause = core.now() + (opts.timeout or LOCK_WAIT), FIRST_PAUSE
  while not conn:value(TRY, { CLASS, n }) do
    if opts.on_wait then opts.on_wait(M.holder(conn, key)) end
    local left = deadline - core.now()
    if left <= 0 then return nil end
    task.sleep(math.min(pause * (0.5 + math.random()), left))
    pause = math.min(pause * 2, LAST_PAUSE)
  end
  check_session(conn, key)
  return true
end

--- Gives the lock back.
function M.release(conn, key)
  return conn:value("SELECT pg_catalog.pg_advisory_unlock($1::int4, $2::int4)",
    { CLASS, number_of(conn, key) })
end

M.lock = { acquire = M.acquire, release = M.release, holder = M.holder }

-- ---- who blocks ------------------------------------------------------------

local BLOCKERS = [[
SELECT a.pid::int4 AS pid, a.query AS query, a.application_name AS application,
  a.usename::text AS user_name, a.state AS state,
  pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() - a.xact_start)::float8 AS age
FROM pg_catalog.pg_stat_activity a
WHERE a.pid = ANY (pg_catalog.pg_blocking_pids($1::int4)) ORDER BY a.xact_start]]

--- Who a waiting backend waits for, oldest transaction first.
-- @param x another connection
-- @tparam number pid of the backend that waits
-- @treturn {table,...} { pid =, query =, age = seconds of its transaction, application =,
-- user_name =, state = }, or nil when nobody blocks it
function M.blockers(x, pid)
  local list = {}
  for i, row in ipairs(x:query(BLOCKERS, { pid })) do
    list[i] = { pid = row.pid, query = row.query, age = row.age, state = row.state,
      application = row.application, user_name = row.user_name }
  end
  return #list > 0 and list or nil
end

return M
