--- The session of a run of migrations: its limits, the lock between runners.
local core = require "perigee.core"
local task = require "perigee.task"
local util = require "perigee.util"

local M = {}

-- ---- limits ----------------------------------------------------------------

-- DDL waits for the locks of a table as long as lock_wait_timeout says, in whole seconds,
-- at least one.
local function wait_seconds(seconds)
  if seconds <= 0 then return 86400 end
  return math.max(1, math.floor(seconds + 0.5))
end

local function check(verb, opts, known)
  for k in pairs(opts) do
    if not known[k] then
      util.usage("%s: unknown option %q: allowed are lock_timeout, statement_timeout", verb,
        tostring(k))
    end
  end
end

-- Each server reads its own: MariaDB seconds, MySQL milliseconds, and there for SELECTs only.
local STATEMENT_TIME = "SET SESSION /*M!100100 max_statement_time = %.3f */"
  .. "/*!80000 max_execution_time = %d */"

--- Sets the limits of the steps that follow; seconds, 0 for none.
-- @tparam table o lock_timeout, statement_timeout
function M.adjust(conn, o)
  if o.lock_timeout then
    local n = wait_seconds(o.lock_timeout)
    conn:script(("SET SESSION lock_wait_timeout = %d, SESSION innodb_lock_wait_timeout = %d")
      :format(n, n))
  end
  if o.statement_timeout then
    local n = math.max(0, o.statement_timeout)
    conn:script((STATEMENT_TIME):format(n, n > 0 and math.max(1, math.floor(n * 1000 + 0.5)) or 0))
  end
end

local KNOWN = { lock_timeout = true, statement_timeout = true, steps = true, ops = true }

--- Prepares the session of a run.
-- @tparam ?table opts lock_timeout (seconds, default 2), statement_timeout (seconds,
-- default none)
function M.prepare(conn, opts)
  opts = opts or {}
  check("prepare", opts, KNOWN)
  M.adjust(conn, { lock_timeout = opts.lock_timeout or 2,
    statement_timeout = opts.statement_timeout or 0 })
end

--- Puts back what prepare and adjust have changed.
function M.restore(conn)
  conn:script("SET SESSION lock_wait_timeout = DEFAULT, "
    .. "SESSION innodb_lock_wait_timeout = DEFAULT /*M!100100 , SESSION max_statement_time = "
    .. "DEFAULT *//*!80000 , SESSION max_execution_time = DEFAULT */")
end

-- ---- the lock --------------------------------------------------------------

local FIRST_PAUSE, LAST_PAUSE = 0.025, 2
local LOCK_WAIT = 60

-- Names of locks are the server's, and have at most 64 characters.
local function name_of(conn, key)
  local database = conn:value "SELECT database()"
  return "perigee:" .. core.sha256(tostring(database) .. "\0" .. key):sub(1, 40)
end

local HOLDER = [[SELECT p.id AS id, p.user AS user_name, p.host AS host
FROM information_schema.processlist p WHERE p.id = IS_USED_LOCK(?)]]

--- Who holds the lock, in words; nil when nobody does.
-- @tparam string key
function M.holder(conn, key)
  local row = conn:first(HOLDER, { name_of(conn, key) })
  return row and ("connection %s, user %s from %s"):format(tostring(row.id), row.user_name,
    row.host) or nil
end

local OPTIONS = { timeout = true, on_wait = true }

--- Takes the lock of a run. It is asked for again and again, so that the wait can be told
-- of and ended.
-- @param conn connection, not in a transaction
-- @tparam string key
-- @tparam ?table opts timeout (seconds to wait in all, default 60), on_wait
-- (`on_wait(holder)`, called once for each refusal)
-- @treturn boolean true, or nil when the time is over
function M.acquire(conn, key, opts)
  opts = opts or {}
  for k in pairs(opts) do
    if not OPTIONS[k] then
      util.usage("lock: unknown option %q: allowed are on_wait, timeout", tostring(k))
    end
  end
  if conn:in_transaction() then util.usage("lock: it cannot be taken inside a transaction") end
  local name = name_of(conn, key)
  local deadline, pause = core.now() + (opts.timeout or LOCK_WAIT), FIRST_PAUSE
  while tonumber(conn:value("SELECT GET_LOCK(?, 0)", { name })) ~= 1 do
    if opts.on_wait then opts.on_wait(M.holder(conn, key)) end
    local left = deadline - core.now()
    if left <= 0 then return nil end
    task.sleep(math.min(pause * (0.5 + math.random()), left))
    pause = math.min(pause * 2, LAST_PAUSE)
  end
  return true
end

--- Gives the lock back.
function M.release(conn, key)
  return tonumber(conn:value("SELECT RELEASE_LOCK(?)", { name_of(conn, key) })) == 1
end

M.lock = { acquire = M.acquire, release = M.release, holder = M.holder }

return M
