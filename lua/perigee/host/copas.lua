--- The adapter for copas 4.
-- Copas waits for sockets only, and for one task on each: a leader waits with a socket
-- of its own, which is nothing but the hub's descriptor. The others pause.
local core = require "perigee.core"
local leader = require "perigee.host.leader"
local util = require "perigee.util"

local copas = package.loaded.copas

local VERSION = tostring(copas._VERSION):match "%d[%d.]*" or "0"
local is_old = tonumber(VERSION:match "^%d+") < 4
local pause = copas.pause or copas.sleep -- before 4.3

-- ---- waiting -------------------------------------------------------------------

-- What copas, and select() of LuaSocket, ask of a socket. The first receive has to wait.
local socket = {}
socket.__index = socket

function socket.getfd()
  return core.hub_fd()
end

-- Asked before each wait: has another one's turn ended that of the leader?
function socket:dirty()
  return self.token.woken
end

function socket:receive()
  self.ready = not self.ready
  if self.ready then return nil, "timeout" end
  return "ready"
end

local ways = {}

function ways.watch(_, token)
  if not token.socket then token.socket = setmetatable({ token = token }, socket) end
  token.socket.ready = false
  copas.receive(token.socket, 1)
end

function ways.sleep()
  pause(leader.SECONDS)
end

function ways.rouse(token)
  local co = leader.coroutine(token)
  if co then copas.wakeup(co) end
end

local group = leader.group(ways)

-- ---- whose coroutine ---------------------------------------------------------

-- The coroutines that copas.addthread has made. Copas does not tell, but the function
-- that ends them has to know.
local function find_threads()
  if not debug or type(copas.removethread) ~= "function" then return nil end
  for i = 1, 20 do
    local name, value = debug.getupvalue(copas.removethread, i)
    if not name then return nil end
    if name == "_threads" and type(value) == "table" then return value end
  end
end

local threads = find_threads()

-- Those that serve a socket have a name.
local function is_known(co)
  if not threads then return true end
  return threads[co] or copas.getthreadname(co) ~= tostring(co)
end

local M = { name = "copas", sticky = true, park = leader.park, wake = leader.wake }

function M.running()
  local co, main = coroutine.running()
  if not co or main then return nil end
  if is_old then
    util.usage("copas %s is loaded, and perigee can wait in copas 4 and later: install "
      .. "a newer one, or make this call on the main coroutine, where it blocks",
      VERSION)
  end
  if not copas.running then return nil end
  if not is_known(co) then
    util.usage("this call has to wait, and it is made in a coroutine that copas does "
      .. "not resume itself: make it with perigee.wrap instead of coroutine.wrap, or "
      .. "with copas.addthread")
  end
  return true
end

function M.new()
  return leader.token(group)
end

function M.spawn(fn)
  copas.addthread(fn)
end

function M.why()
  return "the hub as a socket of copas " .. VERSION
end

return M
