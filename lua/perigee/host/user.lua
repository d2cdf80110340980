--- The user's own loop: perigee.host{ … } makes an adapter of what it is given.
-- The full form has functions that suspend and resume a task; the minimal form can only
-- wait for a descriptor.
local core = require "perigee.core"
local leader = require "perigee.host.leader"
local util = require "perigee.util"

local usage = util.usage
local M = {}

local FULL = { "name", "running", "park", "wake", "watch", "spawn" }
local MINIMAL = { "name", "running", "wait", "spawn" }

-- ---- validation ----------------------------------------------------------------

local function check_field(key, value, form)
  local known = false
  for _, allowed in ipairs(form) do known = known or key == allowed end
  if not known then
    usage("host: unknown field %q: allowed are %s; or %s", tostring(key),
      table.concat(FULL, ", "), table.concat(MINIMAL, ", "))
  elseif key == "name" then
    if type(value) ~= "string" or value == "" then
      usage("host: name must be a string, not %s", type(value))
    end
  elseif type(value) ~= "function" then
    usage("host: %s must be a function, not %s", key, type(value))
  end
end

local TAKEN = { none = true, perigee = true, auto = true }
for name in pairs(core.host_modules()) do TAKEN[name] = true end

local function check(adapter)
  local form = adapter.wait ~= nil and MINIMAL or FULL
  for key, value in pairs(adapter) do check_field(key, value, form) end
  for _, key in ipairs(form) do
    local may_lack = key == "name" or form == MINIMAL and key == "running"
    if adapter[key] == nil and not may_lack then
      usage("host: %s is missing: needed are running, park, wake, watch and spawn, or "
        .. "wait and spawn", key)
    end
  end
  if TAKEN[adapter.name] then usage("host: the name %q is taken", adapter.name) end
end

-- ---- whose coroutine ---------------------------------------------------------

local function is_main()
  local co, main = coroutine.running()
  return not co or main
end

-- The running task of the user's loop, or nil.
local function running_in(adapter, name)
  local task = adapter.running()
  if not task then return nil end
  if is_main() then
    if task == coroutine.running() then return nil end
    usage("the host %s says that a task of its runs, and the caller is the main "
      .. "coroutine, which cannot be suspended", name)
  end
  if type(task) == "thread" and task ~= coroutine.running() then
    usage("this call has to wait, and it is made in a coroutine that the host %s does "
      .. "not resume itself: make it with perigee.wrap instead of coroutine.wrap", name)
  end
  return task
end

-- ---- the full form -------------------------------------------------------------

-- Each task by its token; not kept from the collector but while it waits.
local tasks = setmetatable({}, { __mode = "kv" })

local function full(adapter, name)
  local watched -- the descriptor that the user's loop watches

  local function watch()
    local fd = core.hub_fd()
    if watched == fd then return end
    adapter.watch(fd, core.turn)
    watched = fd
  end

  local function new()
    local token = { parked = nil }
    tasks[token] = running_in(adapter, name)
    return token
  end

  local function park(token)
    watch()
    token.parked = tasks[token] or adapter.running()
    local ok, err = pcall(adapter.park, leader.SECONDS)
    token.parked = nil
    if not ok then error(err, 0) end
  end

  local function wake(token)
    local task = token.parked
    token.parked = nil
    if task then adapter.wake(task) end
  end

  return { new = new, park = park, wake = wake,
    running = function() return running_in(adapter, name) and true end,
    why = function() return "the hub watched by the host's watch" end }
end

-- ---- the minimal form ------------------------------------------------------------

local SPARE = 64 -- bells that are kept for the next who waits, in whichever loop
local bells = {}

local function minimal(adapter, name)
  local wait = adapter.wait
  local ways = {}

  function ways.watch()
    wait(core.hub_fd(), "r", leader.SECONDS)
  end

  -- Each on a descriptor of its own: a loop may allow one waiter for each.
  function ways.sleep(token)
    local bell = table.remove(bells) or core.bell()
    token.bell = bell
    wait(bell:fd(), "r", leader.SECONDS)
    token.bell = nil
    bell:hush()
    if #bells < SPARE then bells[#bells + 1] = bell end
  end

  function ways.rouse(token)
    if token.bell then token.bell:ring() end
  end

  local group = leader.group(ways)

  local function running()
    if adapter.running then return running_in(adapter, name) and true end
    return not is_main() or nil
  end

  return { park = leader.park, wake = leader.wake, running = running,
    new = function() return leader.token(group) end,
    why = function() return "the hub by the host's wait" end }
end

--- The adapter of a user's functions (docs/guide/hosts.md).
-- @tparam table adapter running, park, wake, watch and spawn; or wait and spawn
-- @treturn table as in docs/internals/hosts.md
-- @raise usage
function M.new(adapter)
  check(adapter)
  local name = adapter.name or "user"
  local host = (adapter.wait and minimal or full)(adapter, name)
  host.name, host.spawn = name, adapter.spawn
  return host
end

return M
