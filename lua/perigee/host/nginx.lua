--- nginx with ngx_lua as a host: what is Lua of it.
-- The rest is C (src/bind/lnginx.c), which also adds the host to core.
-- docs/internals/nginx.md has the picture.
local core = require "perigee.core"
local util = require "perigee.util"

local usage = util.usage
local ngx = package.loaded.ngx or {}
local subsystem = ngx.config and ngx.config.subsystem or "http"

local M = { name = "nginx" }

-- ---- the relay -------------------------------------------------------------

-- A byte comes each half second, and whenever the hub has something to do.
local function read_relay(path)
  local sock = ngx.socket.tcp()
  sock:settimeouts(10000, 10000, 60000)
  assert(sock:connect("unix:" .. path))
  core.nginx_relay_start()
  while core.nginx_relay_turn(ngx.worker.exiting()) do assert(sock:receive(1)) end
  sock:close()
end

local function relay()
  local path = core.nginx_relay_listen()
  if not path then return end -- another one reads
  local ok, err = pcall(read_relay, path)
  core.nginx_relay_stop()
  if not ok then ngx.log(ngx.ERR, "perigee: the relay has ended: ", tostring(err)) end
end

local function start_relay()
  local ok, err = ngx.timer.at(0, relay)
  if not ok then
    error(core.new_error("resource", "nginx: the relay cannot be started: " .. err), 0)
  end
end

-- ---- the adapter -----------------------------------------------------------

core.nginx_add{
  subsystem = subsystem,
  start_relay = start_relay,
  get_phase = ngx.get_phase or function() return "init" end,
}

-- ngx_lua keeps an ended light thread until the one that started it ends or waits for
-- it. So whoever starts many waits for those that have ended: [coroutine] = { task =
-- its identity, next = an index, threads… }.
local started = setmetatable({}, { __mode = "k" })

local function bury_one(list)
  local i = list.next < #list and list.next + 1 or 1
  local thread = list[i]
  list.next = i
  if not thread or coroutine.status(thread) ~= "zombie" then return end
  list[i] = list[#list]
  list[#list] = nil
  ngx.thread.wait(thread)
end

function M.spawn(fn)
  local co, task = coroutine.running(), core.current()
  local list = started[co]
  if not list or list.task ~= task then -- else they are of another request
    list = { task = task, next = 0 }
    started[co] = list
  end
  bury_one(list)
  bury_one(list)
  list[#list + 1] = ngx.thread.spawn(fn)
end

--- The options of perigee.host("nginx", …).
-- @tparam table options way: "hub", "relay" or "auto"
function M.configure(options)
  options = util.check_options("host", options, { "way" })
  local way = options.way or "auto"
  if way ~= "hub" and way ~= "relay" and way ~= "auto" then
    usage("host: the way in nginx is \"hub\", \"relay\" or \"auto\", not %q", tostring(way))
  end
  core.nginx_way(way)
end

--- One line for perigee.host().
function M.why()
  local way, reason = core.nginx_way()
  if way == "hub" then
    return "the hub in the loop of nginx " .. core.nginx_version()
  elseif way == "relay" then
    return "a relay thread: " .. reason
  end
  return "not used yet in this process"
end

return M
