--- What a run of migrations needs of its connection.
local core = require "perigee.core"
local rebuild = require "perigee.dialect.sqlite.rebuild"
local steps = require "perigee.dialect.sqlite.steps"

local M = {}

-- { [conn] = { name = value before } }
local saved = setmetatable({}, { __mode = "k" })

local function needs_rebuild(opts)
  if opts and opts.ops then return steps.may_rebuild(opts.ops) end
  if not opts or not opts.steps then return true end
  for _, step in ipairs(opts.steps) do
    if step.keys_off then return true end
  end
  return false
end

local function is_on(value)
  return value == true or tonumber(value) == 1
end

--- Prepares a connection, outside of a transaction: SQLite ignores a change of
-- foreign_keys inside. A table that is built anew must be dropped without its children
-- noticing, so their keys are not enforced meanwhile; the steps check them.
-- @tparam perigee.exec conn
-- @tparam[opt] table opts steps: those that will run, or ops: the operations. When none
-- of them needs it, foreign keys stay enforced
function M.prepare(conn, opts)
  local before = {
    foreign_keys = conn:value "PRAGMA foreign_keys",
    legacy_alter_table = conn:value "PRAGMA legacy_alter_table",
  }
  saved[conn] = saved[conn] or before
  if needs_rebuild(opts) then
    if is_on(before.foreign_keys) then saved[conn].orphans = rebuild.all_orphans(conn) end
    conn:execute "PRAGMA foreign_keys = OFF"
  end
  conn:execute "PRAGMA legacy_alter_table = OFF"
end

--- Raises when rows have lost their parents since prepare() turned foreign keys off: for
-- right before the COMMIT, since the user's own statements ran unchecked too.
-- @tparam perigee.executor conn the connection of prepare()
-- @tparam[opt] perigee.executor tx the transaction on it
-- @raise foreign_key
function M.before_commit(conn, tx)
  local before = saved[conn]
  if before and before.orphans then
    rebuild.check_orphans(rebuild.all_orphans(tx or conn), before.orphans)
  end
end

--- Sets back what prepare() changed. Without a prepare() it does nothing.
function M.restore(conn)
  local before = saved[conn]
  if not before then return end
  saved[conn] = nil
  for _, name in ipairs { "foreign_keys", "legacy_alter_table" } do
    conn:execute(("PRAGMA %s = %s"):format(name, is_on(before[name]) and "ON" or "OFF"))
  end
end

local LOOK = 1 -- seconds between two words about a wait

-- Is the file free to be written? `seconds` is how long to wait for that.
local function is_free(conn, seconds)
  local ok, err = pcall(conn.transaction, conn, function() end, { acquire_timeout = seconds })
  if ok then return true end
  local is_busy = getmetatable(err) == core.error
    and (err.kind == "locked" or err.kind == "timeout")
  if not is_busy then error(err, 0) end
  return false
end

-- The file's own lock is all there is: BEGIN IMMEDIATE lets one writer in. A migration is
-- one transaction, so who comes second reads what the first has done; here he waits for
-- the end of that.
local function acquire(conn, _, opts)
  local deadline = core.now() + opts.timeout
  local seconds = 0.02
  repeat
    if is_free(conn, math.min(seconds, math.max(deadline - core.now(), 0.01))) then return true end
    if opts.on_wait then opts.on_wait(nil) end
    seconds = LOOK
  until core.now() >= deadline
  return nil
end

M.lock = {
  acquire = acquire,
  release = function() end,
  holder = function() return nil end,
}

return M
