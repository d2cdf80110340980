-- A loop that Perigee does not know, and how it is told of it.
--
--   lua5.4 host_adapter.lua URL
--
-- The loop is a toy: coroutines that are ready, coroutines that sleep, and select() of
-- LuaSocket for descriptors. What Perigee needs of a loop is at the end, in two forms.
local socket = require "socket"
local perigee = require "perigee"

local url = arg[1] or "sqlite::memory:"

-- ---- the loop --------------------------------------------------------------------

local ready, waiting, watched, current = {}, {}, {}, nil

local function spawn(fn)
  ready[#ready + 1] = coroutine.create(fn)
end

-- Suspends the running coroutine until the time is over or somebody makes it ready; with
-- a descriptor also until that is readable.
local function wait(fd, _, seconds)
  local co = current
  waiting[co] = { fd = fd, till = socket.gettime() + seconds }
  coroutine.yield()
  waiting[co] = nil
end

local function step()
  local list, time = {}, ready[1] and 0 or 3600
  local function add(fd, what)
    list[#list + 1] = { getfd = function() return fd end, dirty = function() end, what = what }
  end
  for fd, fn in pairs(watched) do add(fd, fn) end
  for co, w in pairs(waiting) do
    if w.fd then add(w.fd, co) end
    time = math.max(0, math.min(time, w.till - socket.gettime()))
  end
  for _, it in ipairs((socket.select(list, nil, time))) do
    if type(it.what) == "function" then it.what() else ready[#ready + 1] = it.what end
  end
  for co, w in pairs(waiting) do
    if w.till <= socket.gettime() then ready[#ready + 1] = co end
  end
  local now = ready
  ready = {}
  for _, co in ipairs(now) do
    current = co
    if coroutine.status(co) == "suspended" then assert(coroutine.resume(co)) end
    current = nil
  end
end

local function run()
  while ready[1] or next(waiting) do step() end
end

-- ---- what Perigee is told ----------------------------------------------------------

-- The full form: how a task is suspended and made ready, and one descriptor that the
-- loop watches as long as it lives.
local full = {
  name = "toy",
  running = function() return current end,
  park = function(seconds) wait(nil, nil, seconds) end,
  wake = function(co) ready[#ready + 1] = co end,
  watch = function(fd, fn) watched[fd] = fn end,
  spawn = spawn,
}

-- The minimal form: a loop whose coroutines can wait for a descriptor.
local minimal = { name = "toy", running = full.running, wait = wait, spawn = spawn }

-- ---- and its use -------------------------------------------------------------------

for form, adapter in pairs { full = full, minimal = minimal } do
  perigee.host(adapter)
  local log, took = {}, nil
  spawn(function()
    local db = perigee.open(url, { max_size = 4 })
    local from = socket.gettime()
    log[1] = perigee.host()
    log[2], log[3] = perigee.gather(
      function() return db:value "select 40 + 2" end,
      function()
        perigee.sleep(0.05)
        return db:transaction(function(tx) return tx:value "select 43" end)
      end)
    took = socket.gettime() - from
    db:close()
  end)
  run()
  assert(log[1] == "toy" and log[2] == 42 and log[3] == 43, form)
  assert(took >= 0.05 and took < 1, form)
  watched = {}
end
perigee.host "auto"
print "both forms work"
