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
