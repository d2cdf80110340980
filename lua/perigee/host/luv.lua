--- The adapter for luv: programs on libuv's loop, Neovim among them.
-- One uv_poll watches the hub's descriptor. It is started once, and keeps the loop alive
-- only while somebody waits. Its callback resumes the coroutines whose waits are over.
local core = require "perigee.core"
local util = require "perigee.util"

local vim = rawget(_G, "vim") -- Neovim runs the loop itself
local uv = package.loaded.luv or package.loaded.uv or vim.uv or vim.loop

local running, status = coroutine.running, coroutine.status
local resume, yield = coroutine.resume, coroutine.yield
local turn, hub_fd, loop_mode = core.turn, core.hub_fd, uv.loop_mode

local weak = { __mode = "v" }

-- ---- what is done from the loop ----------------------------------------------

local tasks = { first = 1, last = 0 } -- functions, in order
local timer

-- One each time: an error goes where luv has the errors of callbacks go.
local function run_next()
  local fn = tasks[tasks.first]
  tasks[tasks.first] = nil
  tasks.first = tasks.first + 1
  if tasks.first <= tasks.last then timer:start(0, 0, run_next) end
  fn()
end

-- Runs fn in a callback of the loop, soon.
local function later(fn)
  tasks.last = tasks.last + 1
  tasks[tasks.last] = fn
  if not timer or timer:is_closing() then timer = uv.new_timer() end
  if not timer:is_active() then timer:start(0, 0, run_next) end
end

-- Resumes a coroutine of the loop; an error is raised later, when all that is to be
-- woken now is woken. luv prints strings only.
local function go_on(co)
  local ok, err = resume(co)
  if ok then return end
  local trace = debug.traceback(co, tostring(err))
  later(function() error(trace, 0) end)
end

-- ---- waiting -------------------------------------------------------------------

local poll, watched -- the handle, and its descriptor
local parked = {} -- the coroutines that wait
local n = 0 -- how many
local held = false -- the handle keeps the loop alive

local function look()
  turn()
  if n == 0 and held then
    held = false
    poll:unref()
  end
end

-- Called again when the user has closed the handle (uv.walk), or after a fork.
local function watch(fd)
  if poll and not poll:is_closing() then poll:close() end
  poll, watched = assert(uv.new_poll(fd)), fd
  assert(poll:start("r", look))
  held = true
end

local M = { name = "luv", sticky = true }

-- In Neovim the loop runs, and loop_mode does not know; where luv is the only host, a
-- wait is for the loop to begin.
local always = vim ~= nil

function M.running(fixed)
  always = fixed or vim ~= nil
  if not always and loop_mode() == nil then return nil end
  local co, main = running()
  if co and not main then return true end
  if loop_mode() == nil and not (vim and vim.in_fast_event()) then return nil end
  util.usage("this call has to wait, and it is made in a callback of luv's loop, which "
    .. "cannot be suspended: make it in a coroutine: coroutine.wrap(function() … end)()")
end

function M.new()
  return setmetatable({ (running()) }, weak)
end

function M.park(token)
  if not always and loop_mode() == nil then return end -- used after the loop: it blocks
  local co, fd = token[1], hub_fd()
  if not poll or watched ~= fd or poll:is_closing() then watch(fd) end
  if not held then
    held = true
    poll:ref()
  end
  parked[co] = true
  n = n + 1
  yield()
  if parked[co] then -- resumed by somebody else
    parked[co] = nil
    n = n - 1
  end
end

function M.wake(token)
  local co = token[1]
  if not co or not parked[co] then return end
  parked[co] = nil
  n = n - 1
  if status(co) == "suspended" then go_on(co) end
end

function M.spawn(fn)
  later(function() go_on(coroutine.create(fn)) end)
end

function M.why()
  return "the hub watched by a uv_poll"
end

return M
