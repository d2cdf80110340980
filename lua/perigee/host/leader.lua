--- Waiting by turns, for hosts in which a coroutine itself waits for a descriptor.
-- One of the tasks that wait, the leader, waits for the hub's descriptor and has the
-- hub do what is due (core.turn); the others sleep by what their host has for that.
-- When the leader's own wait is over, another one is roused to lead. So nothing of
-- ours stays in the host's loop when nobody waits.
--
-- A leader can be lost: its coroutine is closed, or dropped, or its host forgets it. So
-- a sleep lasts a second at most, and who finds then that nobody has looked does it.
local core = require "perigee.core"

local turn, running, status = core.turn, coroutine.running, coroutine.status

local M = {}

--- How long a task sleeps or leads before it looks by itself.
M.SECONDS = 1

-- The coroutine of each task, as long as there is one.
local coroutines = setmetatable({}, { __mode = "kv" })

-- The task in which core.turn runs.
local turning

--- The tasks that wait in one loop.
-- @tparam table ways how the host does it:
--   watch(group, token): waits for the hub's descriptor, a second or longer;
--   sleep(token): waits for rouse, a second at most; rouse(token);
--   interrupt(token): ends a watch early (optional)
-- @treturn table a group; fields of the host's own may be added
function M.group(ways)
  return {
    ways = ways,
    leader = nil, -- its token
    confirmed = false, -- it has begun to watch
    turns = 0, -- how often the hub was looked at
    wakes = 0,
    n = 0, -- sleepers: the last one has this index
    sleepers = setmetatable({}, { __mode = "v" }), -- tokens; may have holes
  }
end

--- The token of a new task, whose coroutine runs.
function M.token(group)
  local token = { group = group, woken = false, place = nil }
  coroutines[token] = running()
  return token
end

--- The coroutine of a task, or nil when the collector has it.
function M.coroutine(token)
  return coroutines[token]
end

local function is_alive(token)
  local co = coroutines[token]
  return co ~= nil and status(co) ~= "dead"
end

local function lie_down(group, token)
  local n = group.n + 1
  group.n, group.sleepers[n], token.place = n, token, n
end

-- The last sleeper takes the place of this one.
local function get_up(group, token)
  local place, sleepers = token.place, group.sleepers
  if not place then return end
  token.place = nil
  local last = sleepers[group.n]
  sleepers[group.n] = nil
  group.n = group.n - 1
  if place <= group.n then
    sleepers[place] = last -- nil: the collector has it
    if last then last.place = place end
  end
end

-- Who slept last is the likeliest to be there still.
local function last_sleeper(group)
  local sleepers = group.sleepers
  while group.n > 0 do
    local token = sleepers[group.n]
    if token and is_alive(token) then return token end
    sleepers[group.n] = nil
    if token then token.place = nil end
    group.n = group.n - 1
  end
end

local function hand_on(group)
  local token = last_sleeper(group)
  group.leader, group.confirmed = token, false
  if not token then return end
  get_up(group, token)
  group.ways.rouse(token)
end

local function look(group, token)
  local before = turning
  turning = token
  group.turns = group.turns + 1
  local ok, err = pcall(turn)
  turning = before
  if not ok then error(err, 0) end
end

local function lead(group, token)
  group.leader, group.confirmed = token, true
  group.ways.watch(group, token)
  look(group, token)
end

local function sleep(group, token)
  local turns = group.turns
  lie_down(group, token)
  local ok, err = pcall(group.ways.sleep, token)
  get_up(group, token)
  if not ok then error(err, 0) end
  if token.woken or group.leader == token or group.turns ~= turns then return end
  -- Nobody has looked for a second. If there is something to see, the leader does
  -- not watch any more.
  local wakes = group.wakes
  look(group, token)
  if group.wakes ~= wakes then group.leader = token end
end

-- Is there somebody else to wait for the descriptor?
local function is_led(group, token)
  local leader = group.leader
  return leader and leader ~= token and group.confirmed and is_alive(leader)
end

--- The park of an adapter.
function M.park(token)
  local group = token.group
  local ok, err = true, nil
  while ok and not token.woken do
    ok, err = pcall(is_led(group, token) and sleep or lead, group, token)
  end
  token.woken = false
  if group.leader == token then hand_on(group) end
  if not ok then error(err, 0) end
end

--- The wake of an adapter.
function M.wake(token)
  local group = token.group
  token.woken = true
  group.wakes = group.wakes + 1
  if token == turning then return end
  if token.place then
    group.ways.rouse(token)
  elseif group.leader == token and group.confirmed and group.ways.interrupt then
    group.ways.interrupt(token)
  end
end

return M
