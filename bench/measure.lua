-- What every Lua program here needs; measure.h is the same in C.
local clock = require "clock"

local M = {
  LOOKUP_ROWS = 10000,
  WORKERS = 64,
  CONNS = 8,
  READ_ROWS = 1000,
  READ_RANGE = 900000,
  WARM_LOOKUPS = 500,
  WARM_READS = 5,
  MODULUS = 1000000007,
  ITEM_GROUPS = 2000,
  PAGE_ROWS = 50,
  PAGE_DEPTH = 1000000,
  -- What the writing workloads have to leave behind.
  CHECK_FRESH = "SELECT CAST(count(*) + 3 * sum(grp) + 7 * sum(length(name)) AS bigint)"
    .. " FROM fresh",
  CHECK_COUNTERS = "SELECT CAST(sum(n * (id % 7)) AS bigint) FROM counters",
}

local byte = string.byte

--- Park and Miller's generator.
-- @treturn function the next number at each call
function M.random(state)
  return function()
    state = state * 16807 % 2147483647
    return state
  end
end

local function weigh_text(s)
  return #s + byte(s, 1) + 7 * byte(s, -2) + byte(s, -1)
end

-- SQLite keeps 4.50 as 4.5: there the first byte counts alone.
local weigh_decimal = {
  postgres = weigh_text,
  sqlite = function(s) return byte(s, 1) end,
}

--- The weight of a row of `mixed`.
function M.weigh_mixed(check, row, driver)
  local weight = row.id + row.big + math.floor(row.ratio * 8) + weigh_text(row.name)
    + (row.flag and 1 or 0) + weigh_text(row.at)
  if row.amount ~= nil then weight = weight + weigh_decimal[driver](row.amount) end
  if row.note ~= nil then weight = weight + weigh_text(row.note) end
  return (check + weight) % M.MODULUS
end

-- A line of JSON as measure_report_side of measure.h prints it.
local LATENCIES = ',"p50":%.9f,"p99":%.9f,"p999":%.9f,"longest":%.9f,"slow":%d'

--- Warms up with `warm` operations of each worker, whose rows are weighed, then
-- measures for `seconds`.
-- @tparam table w workload: `workers` (1), `warm`, `block` (1: operations between
-- two readings of the clock; latencies only with 1), `first` (1: the number of the
-- first worker; 0 is not measured), `note`
-- @tparam function operation `(number, random, weigh) -> rows, weight`: the worker's
-- number, its generator, and whether the rows are to be weighed
-- @tparam function together `(fns)`: calls the functions, as tasks where there are some
-- @tparam[opt] function check gives the check instead of the weights
function M.side(w, seconds, operation, together, check)
  local workers, block, first = w.workers or 1, w.block or 1, w.first or 1
  local operations, rows, weight, deadline, rounds = 0, 0, 0, 0, nil
  local randoms, fns = {}, {}
  local function work(number)
    local random, done, got = randoms[number], 0, 0
    local at = clock.wall()
    repeat
      for _ = 1, block do
        local n, plus = operation(number, random, rounds ~= nil)
        got = got + n
        if plus then weight = (weight + plus) % M.MODULUS end
      end
      done = done + block
      if number > 0 then at = clock.lap(at) else at = clock.wall() end
    until rounds and done >= rounds or not rounds and at >= deadline
    if number > 0 then operations, rows = operations + done, rows + got end
  end
  for i = 1, workers do
    local number = i - 1 + first
    randoms[number] = M.random(i)
    fns[i] = function() work(number) end
  end
  local start_kib = clock.peak_kib()
  rounds = w.warm
  together(fns)
  local checked = check and check() % M.MODULUS or weight
  operations, rows, rounds = 0, 0, nil
  clock.forget()
  collectgarbage()
  local wall, cpu = clock.wall(), clock.cpu()
  deadline = wall + seconds
  together(fns)
  wall, cpu = clock.wall() - wall, clock.cpu() - cpu
  io.write(('{"operations":%d,"rows":%d,"wall":%.6f,"cpu":%.6f,"check":%d'):format(
    operations, rows, wall, cpu, checked),
    (',"peak_kib":%d,"start_kib":%d'):format(clock.peak_kib(), start_kib),
    block == 1 and LATENCIES:format(clock.latencies()) or "",
    w.note and (',"note":"%s"'):format(w.note) or "", "}\n")
end

--- Starts to measure.
-- @treturn function stops, and gives what to call with operations, rows and check
-- to print the result as one line of JSON
function M.start()
  collectgarbage()
  local wall, cpu = clock.wall(), clock.cpu()
  return function()
    wall, cpu = clock.wall() - wall, clock.cpu() - cpu
    return function(operations, rows, check)
      print(('{"operations":%d,"rows":%d,"wall":%.6f,"cpu":%.6f,"check":%d,"peak_kib":%d}')
        :format(operations, rows, wall, cpu, check, clock.peak_kib()))
    end
  end
end

return M
