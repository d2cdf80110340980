-- Medians and ratios of what programs have measured in rounds.
local M = {}

--- The value below which a share of the sorted values lies, between two in proportion.
local function quantile(values, share)
  local at = 1 + (#values - 1) * share
  local low = math.floor(at)
  local high = math.min(low + 1, #values)
  return values[low] + (values[high] - values[low]) * (at - low)
end

local function median(values)
  table.sort(values)
  return quantile(values, 0.5)
end

local function each_of(results, key)
  local values = {}
  for i, r in ipairs(results) do values[i] = r[key] / r.operations end
  table.sort(values)
  return values
end

-- Seconds of one operation.
local function pace(r) return r.wall / r.operations end

-- Round by round, since a shared machine drifts: the limit's / this one's.
local function ratio(limit, results, key)
  local values = {}
  for i, r in ipairs(results) do
    values[i] = limit[i][key] / limit[i].operations / (r[key] / r.operations)
  end
  return median(values)
end

local function is_measured(program)
  return not program.missing and #program.results > 0
end

-- The peer whose median is the best.
local function best_peer(list)
  local best, time
  for _, program in ipairs(list) do
    if program.role == "peer" and is_measured(program) then
      local wall = median(each_of(program.results, "wall"))
      if not time or wall < time then best, time = program, wall end
    end
  end
  return best
end

-- How often as fast as the peer that was the fastest of its round.
local function peer_ratio(list, results)
  local values = {}
  for i, r in ipairs(results) do
    local time = math.huge
    for _, program in ipairs(list) do
      if program.role == "peer" and is_measured(program) then
        time = math.min(time, pace(program.results[i]))
      end
    end
    values[i] = time / pace(r)
  end
  return median(values)
end

local function median_of(results, key)
  local values = {}
  for i, r in ipairs(results) do values[i] = r[key] end
  return values[1] and median(values)
end

local function worst_of(results, key)
  local worst
  for _, r in ipairs(results) do
    if r[key] and (not worst or r[key] > worst) then worst = r[key] end
  end
  return worst
end

local function growth(results)
  local values = {}
  for i, r in ipairs(results) do
    if r.start_kib then values[i] = r.peak_kib - r.start_kib end
  end
  return values[1] and median(values)
end

local function summary(w, driver, program, list)
  local results, limit = program.results, list[1].results
  local wall, peer = each_of(results, "wall"), best_peer(list)
  local s = {
    workload = w.name, group = w.group, title = w.title, driver = driver,
    program = program.name, role = program.role, rounds = #results,
    operations = results[1].operations,
    rows = median_of(results, "rows") / median_of(results, "operations"),
    wall = median(wall), wall_min = wall[1], wall_max = wall[#wall],
    wall_q1 = quantile(wall, 0.25), wall_q3 = quantile(wall, 0.75),
    cpu = median(each_of(results, "cpu")),
    throughput_ratio = ratio(limit, results, "wall"),
    cpu_ratio = ratio(limit, results, "cpu"),
    best_ratio = each_of(limit, "wall")[1] / wall[1],
    peak_kib = worst_of(results, "peak_kib"), growth_kib = growth(results),
    longest = worst_of(results, "longest"), slow = worst_of(results, "slow"),
    note = results[1].note,
  }
  for _, key in ipairs { "p50", "p99", "p999" } do
    if results[1][key] and not w.rows then s[key] = median_of(results, key) end
  end
  if peer then
    s.peer, s.peer_ratio = peer.name, peer_ratio(list, results)
  end
  return s
end

--- One for each program of a workload, flat; of one that did not run: workload,
-- driver, program, role, missing.
function M.summaries(w, driver, list)
  local out = {}
  for i, program in ipairs(list) do
    out[i] = is_measured(program) and summary(w, driver, program, list)
      or { workload = w.name, group = w.group, title = w.title, driver = driver,
        program = program.name, role = program.role, missing = program.missing }
  end
  return out
end

return M
