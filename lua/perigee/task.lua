--- Tasks of the built-in loop: run, spawn, sleep, gather, timeout.
local core = require "perigee.core"
local host = require "perigee.host"
local wait = require "perigee.wait"
local util = require "perigee.util"

local usage, pack, unpack = util.usage, util.pack, util.unpack

local M = {}

local join = core.task_methods.join

--- Runs `fn(...)` as the first task of the built-in loop, and every task that is
-- spawned meanwhile, to the end.
-- An error of `fn` cancels the other tasks and is raised; so is the first error
-- of a spawned task that nobody joined.
-- @tparam function fn
-- @return the results of `fn`
function M.run(fn, ...)
  if type(fn) ~= "function" then usage("run: a function is expected, not %s", type(fn)) end
  return host.run(fn, ...)
end

--- Starts `fn(...)` as a task; it runs when the running one waits.
-- Outside of run(), it runs whenever a call blocks.
-- @tparam function fn
-- @treturn perigee.task with :join(), :cancel() and :status()
M.spawn = host.spawn

--- Suspends the task.
-- @tparam number seconds
M.sleep = wait.leaf(core.sleep)

-- Waits for all, whatever happens: nobody may be left running.
local function join_all(tasks)
  core.shield(true)
  for i = 1, tasks.n do
    if tasks[i] then pcall(join, tasks[i]) end
  end
  core.shield(false)
end

local function cancel_all(tasks, but)
  for i = 1, tasks.n do
    if i ~= but and tasks[i] then tasks[i]:cancel() end
  end
end

-- A task that tells the group of its failure at once.
local function spawn_member(group, i, fn)
  group[i] = host.spawn(function()
    local r = pack(wait.guard(fn))
    if not r[1] and not group.failed then
      group.failed, group.err = true, r[2]
      cancel_all(group, i)
    end
    return r
  end)
end

-- All of them, or none is left when one cannot be started.
local function spawn_members(group, fns)
  for i = 1, fns.n do
    local ok, err = pcall(spawn_member, group, i, fns[i])
    if not ok then
      cancel_all(group)
      join_all(group)
      error(err, 0)
    end
  end
end

--- Runs functions as tasks and waits for all of them.
-- The first error cancels the others and is raised when they have ended.
-- @param ... functions
-- @return the first result of each function, in order
function M.gather(...)
  local fns = pack(...)
  local group, results = { n = fns.n }, { n = fns.n }
  for i = 1, fns.n do
    if type(fns[i]) ~= "function" then
      usage("gather: argument %d is not a function but %s", i, type(fns[i]))
    end
  end
  spawn_members(group, fns)
  if group.failed then cancel_all(group) end -- a host may run them at once
  for i = 1, fns.n do
    local ok, r = pcall(join, group[i])
    if not ok then -- this task was cancelled, or a member before it began
      if not group.failed then group.failed, group.err = true, r end
      cancel_all(group)
      join_all(group)
      error(group.err, 0)
    end
    results[i] = r[2]
  end
  if group.failed then error(group.err, 0) end
  return unpack(results, 1, results.n)
end

local function restore(before, ok, ...)
  core.set_deadline(before)
  if not ok then error((...), 0) end
  return ...
end

--- Bounds the waits of `fn(...)`: a wait that lasts longer raises `timeout`.
-- @tparam number seconds
-- @tparam function fn
-- @return the results of `fn`
function M.timeout(seconds, fn, ...)
  if type(fn) ~= "function" then
    usage("timeout: a function is expected, not %s", type(fn))
  end
  return restore(core.deadline(seconds), wait.guard(fn, ...))
end

M.wrap = wait.wrap

return M
