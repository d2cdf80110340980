--- The adapter for cqueues, and what is built on it (lua-http).
-- A leader polls the hub's descriptor: cqueues leaves it in its epoll set from one poll
-- to the next. The others wait on a condition. Each controller has a group.
local core = require "perigee.core"
local leader = require "perigee.host.leader"
local util = require "perigee.util"

local cqueues = package.loaded.cqueues
local condition = require "cqueues.condition"

local running, POLL, yield = cqueues.running, cqueues._POLL, coroutine.yield

local ways = {}

function ways.watch(group)
  group.hub.pollfd = core.hub_fd()
  yield(POLL, group.hub)
end

function ways.sleep(token)
  if not token.condition then token.condition = condition.new() end
  yield(POLL, token.condition, leader.SECONDS)
end

function ways.rouse(token)
  token.condition:signal()
end

-- Ends the polls of all leaders; those that are not woken poll again.
function ways.interrupt(token)
  cqueues.cancel(token.group.hub.pollfd)
end

local groups = setmetatable({}, { __mode = "k" }) -- by controller

local function group_of(controller)
  local group = groups[controller]
  if not group then
    group = leader.group(ways)
    group.hub = { events = "r" }
    group.first, group.last, group.starting = 1, 0, {}
    groups[controller] = group
  end
  return group
end

local M = {
  name = "cqueues",
  sticky = true,
  park = leader.park,
  wake = leader.wake,
}

function M.running()
  local controller, direct = running()
  if not controller then return nil end
  if not direct then
    util.usage("this call has to wait, and it is made in a coroutine that cqueues does "
      .. "not resume itself: make it with perigee.wrap instead of coroutine.wrap, or "
      .. "with the controller's wrap")
  end
  return true
end

function M.new()
  return leader.token(group_of((running())))
end

-- The coroutines that a controller is given run last one first. So each takes the
-- function whose turn it is.
local function run_next(group)
  local fn = group.starting[group.first]
  group.starting[group.first] = nil
  group.first = group.first + 1
  fn()
end

function M.spawn(fn)
  local controller = running()
  local group = group_of(controller)
  group.last = group.last + 1
  group.starting[group.last] = fn
  controller:wrap(run_next, group)
end

function M.why()
  return "the hub polled in cqueues' loop"
end

return M
