-- What the fault specs share: a loop that is watched, errors, the server by a
-- proxy and behind our back.

local helper = require "spec.support.helper"
local core = require "perigee.core"
local perigee = require "perigee"
local fake = require "spec.support.fakepg"
local proxies = require "spec.support.proxy"

local faults = { now = core.now }

faults.postgres = os.getenv "PERIGEE_TEST_POSTGRES"
faults.tcp = os.getenv "PERIGEE_TEST_POSTGRES_TCP"

-- ---- the loop keeps ticking -------------------------------------------------

local TICK = 0.005
local LIMIT = 10 * TICK

local function tick(state)
  local last = core.now()
  while not state.stopped do
    perigee.sleep(TICK)
    local now = core.now()
    state.ticks = state.ticks + 1
    state.gap = math.max(state.gap, now - last)
    last = now
  end
end

local function run_beside_ticks(fn)
  local state = { ticks = 0, gap = 0 }
  local results
  perigee.run(function()
    local ticker = perigee.spawn(tick, state)
    perigee.sleep(0) -- it begins before fn does
    local ok, err = pcall(function() results = { fn() } end)
    state.stopped = true
    ticker:join()
    if not ok then error(err, 0) end
  end)
  return state, results
end

-- Runs fn as a task beside one that counts every 5 ms. The machine itself may
-- hold us up: three in a row are no accident. (`fn` must bear to be repeated.)
function faults.ticking(fn)
  local state, results
  for _ = 1, 3 do
    -- Rubbish of earlier specs is not what is measured here.
    collectgarbage()
    state, results = run_beside_ticks(fn)
    if state.gap < helper.patience(LIMIT) then
      return (table.unpack or unpack)(results)
    end
  end
  error(("the loop stood still for %.1f ms"):format(state.gap * 1000), 2)
end

-- ---- errors and time --------------------------------------------------------

-- The error of fn(…), of this kind (nil: any).
function faults.fails(kind, fn, ...)
  local ok, err = pcall(fn, ...)
  if ok then error(("no error, where %s was expected"):format(kind), 2) end
  if type(err) ~= "table" or getmetatable(err) ~= perigee.error then
    error("not an error of Perigee: " .. tostring(err), 2)
  end
  if kind and err.kind ~= kind then
    error(("kind %s was expected, not: %s (%s)"):format(
      kind, tostring(err), tostring(err.sqlstate)), 2)
  end
  return err
end

-- Seconds that fn(…) takes, and its results.
function faults.seconds(fn, ...)
  local began = core.now()
  local results = { pcall(fn, ...) }
  local took = core.now() - began
  if not results[1] then error(results[2], 0) end
  return took, (table.unpack or unpack)(results, 2)
end

-- Waits until fn() is true, for at most `limit` seconds (default 10).
function faults.eventually(fn, limit)
  local due = core.now() + helper.patience(limit or 10)
  repeat
    local value = fn()
    if value then return value end
    perigee.sleep(0.01)
  until core.now() > due
  error("it did not come to pass in time", 2)
end

-- ---- the server -------------------------------------------------------------

-- Opens a handle for the running spec.
faults.open = helper.open

-- The URL with more parameters.
function faults.with(url, params)
  local out = {}
  for name, value in pairs(params) do
    out[#out + 1] = name .. "=" .. tostring(value):gsub("[^%w%-_.]", function(c)
      return ("%%%02X"):format(c:byte())
    end)
  end
  return url .. (url:find("?", 1, true) and "&" or "?") .. table.concat(out, "&")
end

-- The URL by our own codec, whatever PERIGEE_POSTGRES_PROTOCOL says.
function faults.by_wire(url)
  return faults.with(url, { protocol = "wire" })
end

-- A command that runs a Lua script as we are run.
function faults.lua()
  local lua, i = "lua", -1
  while arg and arg[i] do
    lua, i = arg[i], i - 1
  end
  return ("PERIGEE_BUILD='%s' '%s'"):format(helper.build, lua)
end

local admin

-- A connection behind the back of the one under test, for the whole run.
function faults.admin()
  if not admin then
    admin = perigee.open(faults.postgres, { max_size = 2 })
  end
  return admin
end

-- How many sessions of this application_name the server has.
function faults.sessions(name)
  return faults.admin():value([[select count(*)::int from pg_stat_activity
    where application_name = ?]], name)
end

local running = {}

-- A fault proxy in front of the server; its URL is `proxy.db`. With `tcp` the
-- server is reached by TCP (TLS, password). Stopped after the spec.
function faults.proxy(tcp)
  local target = os.getenv "PERIGEE_TEST_PGSOCKET"
  if tcp then target = "127.0.0.1:" .. os.getenv "PERIGEE_TEST_PGPORT" end
  local proxy = proxies.start(target)
  running[#running + 1] = proxy
  proxy.db = proxy:url(tcp and faults.tcp or faults.postgres)
  return proxy
end

-- A scripted server. Stopped after the spec.
function faults.server(script)
  local server = fake.start(script)
  running[#running + 1] = server
  return server
end

-- A free port of 127.0.0.1 that nobody listens on.
function faults.closed_port()
  local proxy = faults.proxy()
  proxy:refuse()
  return proxy.port
end

local function cleanup()
  local ok, err = pcall(helper.cleanup)
  for _, thing in ipairs(running) do thing:stop() end
  running = {}
  if not ok then error(err, 0) end
end

-- A describe block of specs that need the PostgreSQL server.
function faults.on_postgres(title, define)
  local busted = require "busted"
  busted.describe(title, function()
    if not faults.postgres then
      busted.pending "is not tested: PERIGEE_TEST_POSTGRES is not set"
      return
    end
    busted.after_each(cleanup)
    define()
  end)
end

-- One of specs that need nothing but the PostgreSQL driver.
function faults.without_server(title, define)
  local busted = require "busted"
  busted.describe(title, function()
    if not package.searchpath("perigee.driver.postgres", package.cpath) then
      busted.pending "is not tested: the postgres driver was not built"
      return
    end
    busted.after_each(cleanup)
    define()
  end)
end

return faults
