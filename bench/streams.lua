-- One read of many rows of mixed types.
--
--   streams.lua URL each|fetch|query COUNT
--
-- each: by db:each. fetch: by each in a transaction (PostgreSQL: a cursor). query:
-- as one list of records.
local perigee = require "perigee"
local measure = require "measure"

local SQL = "SELECT id, big, ratio, name, flag, at, amount, note FROM mixed "
  .. "WHERE id <= ?"

local function each(db, count)
  local n, sum = 0, 0
  for row in db:each(SQL, count) do
    n, sum = n + 1, sum + row.id
  end
  return n, sum
end

local WAYS = {
  each = each,
  fetch = function(db, count)
    return db:transaction(function(tx) return each(tx, count) end)
  end,
  query = function(db, count)
    local rows, sum = db:query(SQL, count), 0
    for i = 1, #rows do sum = sum + rows[i].id end
    return #rows, sum
  end,
}

local url, way, count = arg[1], WAYS[arg[2]], tonumber(arg[3])

perigee.run(function()
  local db = perigee.open(url, { max_size = 1, query_timeout = 300 })
  db:ping()
  local stop = measure.start()
  local n, sum = way(db, count)
  local report = stop()
  if n ~= count then error("rows are missing") end
  report(1, n, sum % measure.MODULUS)
  db:close()
end)
