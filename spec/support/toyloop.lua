-- A loop as small as a loop can be, on LuaSocket's select: one waiter for each
-- descriptor and direction, like many loops that people have written.
local socket = require "socket"

local resume, yield, running = coroutine.resume, coroutine.yield, coroutine.running

-- What select asks of a socket.
local Fd = {}
Fd.__index = Fd
function Fd:getfd() return self.fd end
function Fd:dirty() return false end

local M = {}

local ready = {} -- coroutines to resume, in order
local sleeping = {} -- [coroutine] = when
local waiting = { r = {}, w = {} } -- [direction][fd] = coroutine or function
local watches = {} -- [fd] = function
local dropped = setmetatable({}, { __mode = "k" })
local inside -- the coroutine that the loop resumes

M.errors = {}
M.waits = 0 -- how often wait() was called

local function step(co)
  inside = co
  local ok, err = resume(co)
  inside = nil
  if not ok then M.errors[#M.errors + 1] = err end
end

function M.spawn(fn)
  ready[#ready + 1] = coroutine.create(fn)
end

-- The coroutine that the loop resumes, or nil.
function M.running()
  return inside
end

function M.sleep(seconds)
  sleeping[running()] = socket.gettime() + seconds
  yield()
end

-- For the minimal form. Two waiters for one descriptor are refused, to see that
-- there are none.
function M.wait(fd, events, seconds)
  local of = waiting[events]
  assert(type(fd) == "number" and of and seconds > 0)
  assert(not of[fd], "there is a waiter already")
  M.waits = M.waits + 1
  local co = inside
  of[fd] = co
  if seconds then sleeping[co] = socket.gettime() + seconds end
  yield()
  sleeping[co] = nil
  if of[fd] == co then of[fd] = nil end
end

-- For the full form.
function M.park(seconds)
  sleeping[inside] = socket.gettime() + seconds
  yield()
end

function M.wake(co)
  if dropped[co] then return end
  sleeping[co] = nil
  ready[#ready + 1] = co
end

function M.watch(fd, fn)
  watches[fd] = fn
end

local function descriptors(direction)
  local list = {}
  for fd in pairs(waiting[direction]) do list[#list + 1] = setmetatable({ fd = fd }, Fd) end
  if direction == "r" then
    for fd in pairs(watches) do list[#list + 1] = setmetatable({ fd = fd }, Fd) end
  end
  return list
end

local function next_time()
  if ready[1] then return 0 end
  local first = math.huge
  for _, time in pairs(sleeping) do first = math.min(first, time) end
  return math.max(0, math.min(first - socket.gettime(), 3600))
end

local function look()
  local r, w = socket.select(descriptors "r", descriptors "w", next_time())
  for direction, list in pairs { r = r, w = w } do
    for _, it in ipairs(list) do
      local co = waiting[direction][it.fd]
      if co then
        waiting[direction][it.fd] = nil
        ready[#ready + 1] = co
      elseif watches[it.fd] then
        local ok, err = pcall(watches[it.fd])
        if not ok then M.errors[#M.errors + 1] = err end
      end
    end
  end
  local now = socket.gettime()
  for co, time in pairs(sleeping) do
    if time <= now then
      sleeping[co] = nil
      ready[#ready + 1] = co
    end
  end
end

local function is_busy()
  return ready[1] or next(sleeping) or next(waiting.r) or next(waiting.w)
end

-- Forgets all that waits, as after a run that failed.
function M.reset()
  ready, sleeping, waiting, watches = {}, {}, { r = {}, w = {} }, {}
end

-- Until nothing is left to do; raises the first error of a coroutine.
function M.run()
  M.errors = {}
  while is_busy() do
    look()
    local now = ready
    ready = {}
    for i = 1, #now do
      if coroutine.status(now[i]) == "suspended" then step(now[i]) end
    end
  end
  if M.errors[1] then error(M.errors[1], 0) end
end

-- Forgets a coroutine, as a host does that kills one.
function M.drop(co)
  dropped[co] = true
  sleeping[co] = nil
  for _, of in pairs(waiting) do
    for fd, other in pairs(of) do
      if other == co then of[fd] = nil end
    end
  end
end

return M
