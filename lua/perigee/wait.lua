--- Waiting: the only file, besides the host adapters, that yields.
-- On Lua 5.3 and later the C functions park by themselves. LuaJIT has no
-- continuations: there a function that has to wait returns core.PENDING, and the
-- loop here parks and calls it again, with the same arguments, until it is done.
local core = require "perigee.core"
local util = require "perigee.util"

local usage = util.usage

local PARK, PENDING = core.PARK, core.PENDING
local resume = coroutine.resume
-- nginx puts its own in the place of Lua's: tasks of ours want Lua's.
local host_yield = coroutine.yield
local yield = coroutine._yield or host_yield
local M = {}

-- Messages name the callers outside of this folder.
core.set_own_source(debug.getinfo(1, "S").source:match "^(.*)wait%.lua$" or "")

--- The pcall around a user's function whose error is raised again. The runner
-- replaces it, to remember where the error was.
M.guard = pcall

if core.yields then
  --- Makes a function of core that may wait callable.
  -- @tparam function f
  -- @treturn function
  function M.leaf(f)
    return f
  end

  M.leaf_all = M.leaf
else
  local function park_in_host(park, token)
    local ok, err = pcall(park, token)
    if ok then return end
    core.give_up()
    error(err, 0)
  end

  -- In a host's task the wait is the host's: it says what to park by.
  function M.leaf(f)
    return function(...)
      local result, park, token = f(...)
      while result == PENDING do
        if park then park_in_host(park, token) else yield(PARK) end
        result, park, token = f(...)
      end
      return result
    end
  end

  local function go_on(f, x, ...)
    local first, park, token = ...
    if first ~= PENDING then return ... end
    if park then park_in_host(park, token) else yield(PARK) end
    return go_on(f, x, f(x))
  end

  --- The same for functions of one argument and any number of results.
  function M.leaf_all(f)
    return function(x)
      return go_on(f, x, f(x))
    end
  end
end

-- `parked` holds the coroutines that wait.
local parked = setmetatable({}, { __mode = "k" })

-- Those through which a wait of another one inside of them passes to a host.
local passing = setmetatable({}, { __mode = "k" })

local function check_can_wait()
  if core.can_wait() then return end
  core.give_up() -- a C function between here and the loop
  usage("this call has to wait, and a function around perigee.wrap cannot be "
    .. "suspended (a callback of table.sort, string.gsub or another C function)")
end

local pass

-- What a host's park yields is for the host's loop.
local function pass_to_host(co, ...)
  local me = coroutine.running()
  check_can_wait()
  parked[co] = true
  if me then passing[me] = true end
  local function back(...)
    parked[co] = nil
    if me then passing[me] = nil end
    return pass(co, resume(co, ...))
  end
  return back(host_yield(...))
end

function pass(co, ok, first, ...)
  if not ok then error(first, 0) end
  if first ~= PARK then
    if passing[co] or core.is_parked(co) then return pass_to_host(co, first, ...) end
    return first, ...
  end
  check_can_wait()
  parked[co] = true
  yield(PARK)
  parked[co] = nil
  return pass(co, resume(co))
end

local function raise(ok, ...)
  if not ok then error((...), 0) end
  return ...
end

-- An error that leaves a coroutine does not close its to-be-closed variables; one
-- that is caught inside does, and they may wait.
local function guard(fn)
  if not coroutine.close or type(fn) ~= "function" then return fn end
  return function(...) return raise(pcall(fn, ...)) end
end

--- A coroutine.wrap whose waits pass through: calls of Perigee made in it are made
-- by the task that runs it.
-- @tparam function fn
-- @treturn function
function M.wrap(fn)
  if type(fn) ~= "function" then
    usage("wrap: a function is expected, not " .. type(fn))
  end
  local co = coroutine.create(guard(fn))
  return function(...)
    if parked[co] then usage("another task waits in this perigee.wrap coroutine") end
    core.adopt(co)
    return pass(co, resume(co, ...))
  end
end

return M
