-- Reads of 1,000 rows of mixed types, as a list of records.
--
--   reads.lua URL read COUNT
--
-- What was read is checked after the measurement, by reading it again.
local perigee = require "perigee"
local measure = require "measure"

local SQL = "SELECT id, big, ratio, name, flag, at, amount, note FROM mixed "
  .. "WHERE id BETWEEN ? AND ? ORDER BY id"

local function nothing(rows)
  if #rows ~= measure.READ_ROWS then error("rows are missing") end
end

local function read_all(db, n, look)
  local random = measure.random(1)
  for _ = 1, n do
    local from = random() % measure.READ_RANGE + 1
    look(db:query(SQL, from, from + measure.READ_ROWS - 1))
  end
end

local url, count = arg[1], tonumber(arg[3])

perigee.run(function()
  local db = perigee.open(url, { max_size = 1 })
  local driver, check = db:driver().name, 0
  read_all(db, measure.WARM_READS, nothing)
  local stop = measure.start()
  read_all(db, count, nothing)
  local report = stop()
  read_all(db, count, function(rows)
    for i = 1, #rows do check = measure.weigh_mixed(check, rows[i], driver) end
  end)
  report(count, count * measure.READ_ROWS, check)
  db:close()
end)
