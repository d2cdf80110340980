--- Hosts: whose loop runs the caller, and what runs in it.
-- Core asks the adapters of the loops that the program has loaded, at each call, and
-- waits by their means (docs/internals/hosts.md). This file finds and registers them,
-- and has what is Lua for tasks that a host runs.
local core = require "perigee.core"
local wait = require "perigee.wait"
local util = require "perigee.util"

local usage, pack, unpack = util.usage, util.pack, util.unpack

local sleep = wait.leaf(core.sleep)
local join = wait.leaf_all(core.task_methods.join)
core.task_methods.join = join

local M = {}

-- ---- adapters --------------------------------------------------------------

local modules = core.host_modules() -- { [name] = { module, … } }
local adapters = {}

-- A table of functions as docs/guide/hosts.md says, or a host in C (nginx), which adds
-- itself to core.
local function add(adapter)
  adapters[adapter.name] = adapter
  if adapter.park then core.add_host(adapter) end
end

local function load(name)
  if not adapters[name] then add(require("perigee.host." .. name)) end
end

core.set_host_loader(load)

local function names()
  local list = {}
  for name in pairs(modules) do list[#list + 1] = name end
  table.sort(list)
  return table.concat(list, ", ")
end

-- Has the program loaded it? Neovim has luv in `vim`.
local function is_there(name)
  for _, module in ipairs(modules[name]) do
    if package.loaded[module] then return true end
  end
  return name == "luv" and rawget(_G, "vim") ~= nil
end

local fixed -- the adapter that perigee.host has fixed

local function fix(name, options)
  if not modules[name] then
    usage("host: %q is not known: allowed are auto, %s, or a table of functions",
      tostring(name), names())
  end
  if not adapters[name] and not is_there(name) then
    usage("host: %s is not loaded in this program", name)
  end
  load(name)
  local adapter = adapters[name]
  if options ~= nil then
    if not adapter.configure then usage("host: %s takes no options", name) end
    adapter.configure(options)
  end
  fixed = adapter
  core.fix_host(name)
end

local function tell()
  local name = core.host()
  if name then
    local adapter = adapters[name]
    return name, adapter.why and adapter.why() or "its own loop"
  end
  if core.in_loop() then return "perigee", "perigee.run" end
  return "none", fixed and fixed.name .. " does not run here: calls block"
    or "no loop runs here: calls block"
end

--- Whose loop runs the caller; or sets it.
--
-- Without an argument: the name ("none": calls block, "perigee": perigee.run, "nginx",
-- "cqueues", "luv", "copas" or the user's) and one line that says how waiting is done.
-- With "cqueues" and so on, only that loop is asked from now on, in this Lua state; with
-- "auto", all that are loaded. With a table, the user's own loop: `name`, `running`,
-- `park`, `wake`, `watch` and `spawn`, or only `wait(fd, events, seconds)` and `spawn`.
-- @tparam[opt] string|table which
-- @tparam[opt] table options of nginx: way = "hub" or "relay"
-- @treturn string the name
-- @treturn string how
function M.host(which, options)
  if options ~= nil and (which == "auto" or type(which) ~= "string") then
    usage "host: only nginx takes options"
  end
  if type(which) == "table" then
    local adapter = require("perigee.host.user").new(which)
    add(adapter)
    fixed = adapter
    core.fix_host(adapter.name)
  elseif which == "auto" then
    fixed = nil
    core.fix_host(nil)
  elseif which ~= nil then
    fix(which, options)
  end
  return tell()
end

-- ---- tasks in a host -------------------------------------------------------

-- The group of perigee.run that a task belongs to, by the task's identity. Weak: a task
-- that its host ends (a request that is aborted) does not get to `ended`.
local groups = setmetatable({}, { __mode = "v" })

local function cancel_all(group)
  local list = {}
  for task in pairs(group.alive) do list[#list + 1] = task end
  for i = 1, #list do list[i]:cancel() end
end

-- A member of the group has ended.
local function leave(group, task, ok)
  group.alive[task] = nil
  if task == group.first and not ok then cancel_all(group) end
  if not next(group.alive) then core.hosted_end(group.latch, true) end
end

-- A task is over: those who wait for it are told.
local function ended(task, group, ok, ...)
  local heard = core.hosted_end(task, ok, ...)
  if group then
    -- The first is kept, as in the built-in loop, until somebody joins it.
    local failure = group.failure
    if not ok and not heard and (not failure or core.hosted_heard(failure.task)) then
      group.failure = { task = task, err = (...) }
    end
    leave(group, task, ok)
  elseif not ok and not heard then
    error((...), 0) -- the host's own way with errors has it
  end
end

local function finished(task, group, ...)
  groups[core.current()] = nil
  return ended(task, group, ...)
end

-- A task begins after the one that has started it has gone on, as in the built-in loop;
-- some hosts run it at once.
local function begin(at_once, fn, ...)
  if at_once then sleep(0) end
  return fn(...)
end

-- Starts fn(...) as a task of the host that runs the caller.
local function start(name, group, fn, ...)
  local adapter = adapters[name]
  if not adapter.spawn then usage("the host %s has no spawn", name) end
  local task, args = core.hosted(), pack(...)
  if group then
    group.alive[task] = true
    group.first = group.first or task
  end
  local at_once = true
  local ok, err = pcall(adapter.spawn, function()
    local able, begun = pcall(core.hosted_begin, task)
    if not able then -- the host has no task for it
      ended(task, group, false, begun)
    elseif begun then
      groups[core.current()] = group
      finished(task, group, wait.guard(begin, at_once, fn, unpack(args, 1, args.n)))
    elseif group then -- cancelled before
      leave(group, task, true)
    end
  end)
  at_once = false
  if not ok then
    task:cancel()
    if group then leave(group, task, true) end
    error(err, 0)
  end
  return task
end

--- perigee.spawn: by the host that runs the caller, if there is one.
function M.spawn(fn, ...)
  local name = core.host()
  if not name then return core.spawn(fn, ...) end
  if type(fn) ~= "function" then usage("spawn: a function is expected, not %s", type(fn)) end
  return start(name, groups[core.current()], fn, ...)
end

-- perigee.run in a task of a host: the same rules, in the host's loop.
local function run(name, fn, ...)
  local group = { alive = {}, failure = nil, latch = core.hosted() }
  local first = start(name, group, fn, ...)
  local ok, err = pcall(join, group.latch)
  if not ok then -- the caller was cancelled
    cancel_all(group)
    core.shield(true)
    pcall(join, group.latch)
    core.shield(false)
    error(err, 0)
  end
  local r = pack(pcall(join, first))
  if not r[1] then error(r[2], 0) end
  local failure = group.failure
  if failure and not core.hosted_heard(failure.task) then error(failure.err, 0) end
  return unpack(r, 2, r.n)
end

--- perigee.run: in the built-in loop, or in a task of the host that runs the caller.
function M.run(fn, ...)
  local name = core.host()
  if not name then return core.run(fn, ...) end
  return run(name, fn, ...)
end

return M
