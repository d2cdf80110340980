--- While a statement waits for a lock: who holds it, asked from another connection by
-- a task beside the run.
local core = require "perigee.core"
local task = require "perigee.task"

local M = {}

local function nothing() end

local function look(run, what)
  local ok, list = pcall(run.dialect.blockers, run.db, run.conn:info().backend)
  if not ok or not list or #list == 0 then return false end
  run.emit { type = "blocked", what = what, blockers = list }
  return true
end

--- Begins to watch; the function that it gives ends that. Where the host has no tasks
-- or the pool no second connection, nobody watches.
function M.start(run, what)
  local seconds = run.options.lock_timeout
  if not run.dialect.blockers or seconds == 0 or run.db:stats().max_size < 2 then
    return nothing
  end
  local is_over = false
  local ok, watcher = pcall(core.spawn, function()
    task.sleep(seconds / 2)
    while not is_over and not look(run, what) do task.sleep(seconds / 4) end
  end)
  if not ok then return nothing end
  return function()
    is_over = true
    pcall(watcher.cancel, watcher)
  end
end

return M
