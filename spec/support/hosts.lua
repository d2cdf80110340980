-- The loops that specs run in: run(fn) has the loop call fn() in a task of its, runs it
-- to its end, and raises fn's error. PERIGEE_HOST names one for the shared specs.
local helper = package.loaded["spec.support.helper"] or {} -- bench/ has none

local M = {}

-- Busted unloads after each file what that file has loaded. Our adapters keep the
-- loops that they have found, so these are loaded once.
local kept = helper.kept or {}
helper.kept = kept

local function load(name)
  local ok, module = true, kept[name]
  if module == nil then ok, module = pcall(require, name) end
  if ok then kept[name], package.loaded[name] = module, module end
  return ok, module
end

-- Calls fn and keeps how it ended.
local function guarded(fn)
  local result = { ended = false }
  return function()
    result.ok, result.err = xpcall(fn, function(err)
      return type(err) == "string" and debug.traceback(err, 2) or err
    end)
    result.ended = true
  end, function(name)
    if not result.ended then error("the loop of " .. name .. " has ended too early", 0) end
    if not result.ok then error(result.err, 0) end
  end
end

local run = {}
M.run = run

function run.cqueues(fn)
  local cq = require "cqueues".new()
  local body, finish = guarded(fn)
  cq:wrap(body)
  assert(cq:loop())
  finish "cqueues"
end

function run.luv(fn)
  local uv = require "luv"
  local body, finish = guarded(fn)
  local timer = uv.new_timer()
  timer:start(0, 0, function()
    timer:close()
    coroutine.wrap(body)()
  end)
  uv.run()
  finish "luv"
end

function run.copas(fn)
  local body, finish = guarded(fn)
  require "copas".loop(body)
  finish "copas"
end

local function in_toyloop(form)
  return function(fn)
    local perigee = require "perigee"
    local loop = require "spec.support.toyloop"
    local body, finish = guarded(fn)
    loop.reset()
    perigee.host(form(loop))
    loop.spawn(body)
    local ok, err = pcall(loop.run)
    perigee.host "auto"
    if not ok then error(err, 0) end
    finish "the user"
  end
end

run.user = in_toyloop(function(loop)
  return { running = loop.running, park = loop.park, wake = loop.wake,
    watch = loop.watch, spawn = loop.spawn }
end)

run.minimal = in_toyloop(function(loop)
  return { name = "minimal", running = loop.running, wait = loop.wait,
    spawn = loop.spawn }
end)

-- ---- the loops' own means, without Perigee ---------------------------------

-- own[host].sleep(seconds) suspends the running coroutine; own[host].spawn(fn) starts
-- another one.
local own = {}
M.own = own

own.cqueues = {
  sleep = function(seconds) require "cqueues".sleep(seconds) end,
  spawn = function(fn) require "cqueues".running():wrap(fn) end,
}

own.luv = {
  sleep = function(seconds)
    local co, timer = coroutine.running(), require "luv".new_timer()
    timer:start(math.floor(seconds * 1000 + 0.5), 0, function()
      timer:close()
      assert(coroutine.resume(co))
    end)
    coroutine.yield()
  end,
  spawn = function(fn) coroutine.wrap(fn)() end,
}

own.copas = {
  sleep = function(seconds) require "copas".pause(seconds) end,
  spawn = function(fn) require "copas".addthread(fn) end,
}

own.user = {
  sleep = function(seconds) require "spec.support.toyloop".sleep(seconds) end,
  spawn = function(fn) require "spec.support.toyloop".spawn(fn) end,
}
own.minimal = own.user

-- ---- which are there -------------------------------------------------------

local NAMES = { "cqueues", "luv", "copas", "user", "minimal" }
local MODULES = { cqueues = "cqueues", luv = "luv", copas = "copas", user = "socket",
  minimal = "socket" }

-- Names of the hosts whose modules are there, and for the others why not. Loads them,
-- or that of one.
function M.available(only)
  local names, missing = {}, {}
  for _, name in ipairs(only and { only } or NAMES) do
    local ok, module = load(MODULES[name])
    if not ok then
      missing[name] = "there is no module " .. MODULES[name]
    elseif name == "copas" and (module._VERSION:match "%d+" + 0) < 4 then
      missing[name] = module._VERSION .. " is older than 4"
      package.loaded.copas = nil
    else
      names[#names + 1] = name
    end
  end
  return names, missing
end

return M
