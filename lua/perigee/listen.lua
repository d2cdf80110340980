--- LISTEN and NOTIFY: what sessions of a database tell each other.
-- The connection, its loss and its return are core's (src/pool/listen.c); here are
-- arguments and callbacks.
local core = require "perigee.core"
local host = require "perigee.host"
local wait = require "perigee.wait"
local util = require "perigee.util"

local usage = util.usage

local MAX_PENDING = 10000
local MAX_CHANNEL = 63 -- bytes; PostgreSQL cuts longer names in LISTEN

local ready = wait.leaf(core.listener_ready)
local next_news = wait.leaf(core.listener_methods.next)
core.listener_methods.next = next_news
core.listener_mt.__call = next_news

local execute = wait.leaf(core.verbs.execute)

local M = {}

local function check_channel(verb, name)
  if type(name) ~= "string" then
    usage("%s: the name of a channel is expected, not %s", verb, type(name))
  elseif name == "" or #name > MAX_CHANNEL or name:find("\0", 1, true) then
    usage("%s: %q is no name of a channel: 1 to %d bytes, without a zero byte", verb,
      name:sub(1, MAX_CHANNEL + 1), MAX_CHANNEL)
  end
end

local function check_supported(verb, x)
  if core.can_notify(x) then return end
  error(core.new_error("unsupported", verb .. ": " .. core.driver(x).dialect
    .. " has no notifications"), 0)
end

-- One name or a list of them; each once.
local function channel_list(channels)
  if type(channels) ~= "table" then channels = { channels, n = 1 } end
  local list, seen = {}, {}
  for i = 1, channels.n or #channels do
    local name = channels[i]
    check_channel("listen", name)
    if not seen[name] then list[#list + 1] = name end
    seen[name] = true
  end
  if #list == 0 then usage "listen: the name of a channel is expected, or a list of them" end
  return list
end

local function max_pending(options)
  local n = util.check_options("listen", options, { "max_pending" }).max_pending
  if n == nil then return MAX_PENDING end
  if type(n) ~= "number" or n ~= math.floor(n) or n < 1 or n > 1e9 then
    usage("listen: max_pending: a whole number from 1 on is expected, not %s", tostring(n))
  end
  return n
end

local function serve(listener, callback)
  local ok, err = wait.guard(function()
    for news in next_news, listener do callback(news) end
  end)
  listener:close()
  if not ok then error(err, 0) end
end

--- Hears what is sent on channels by `notify`, from when this returns on.
--
-- Without a callback: an iterator for the generic for, and an object with `:next()` and
-- `:close()`. With one: a task of its own calls it, one notification after the other;
-- the object has `:close()`. A notification is `{ channel, payload, pid }`. After what may
-- have been missed (the connection was lost, or more than `max_pending` have waited) one
-- comes that is `{ gap = true }`.
-- @tparam string|{string,...} channels exact names, 1 to 63 bytes
-- @tparam[opt] function callback
-- @tparam[opt] table options max_pending (10,000)
-- @treturn perigee.listener
-- @raise usage, unsupported (SQLite), and what connecting raises
function M.listen(db, channels, callback, options)
  if type(callback) == "table" and options == nil then callback, options = nil, callback end
  if callback ~= nil and type(callback) ~= "function" then
    usage("listen: the callback must be a function, not %s", type(callback))
  end
  local list, max = channel_list(channels), max_pending(options)
  check_supported("listen", db)
  local listener = core.listener(db, list, max)
  ready(listener)
  if callback then
    host.spawn(serve, listener, callback)
    return listener
  end
  return listener, nil, nil, listener
end

--- Tells all that listen on a channel, when the transaction is committed.
-- @tparam string channel 1 to 63 bytes
-- @tparam[opt] string payload less than 8,000 bytes (empty)
-- @raise usage, unsupported (SQLite), and what execute raises
function M.notify(x, channel, payload)
  check_channel("notify", channel)
  if payload ~= nil and type(payload) ~= "string" then
    usage("notify: the payload must be a string, not %s", type(payload))
  end
  check_supported("notify", x)
  execute(x, "select pg_notify($1, $2)", channel, payload or "")
end

return M
