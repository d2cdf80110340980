-- Single-row look-ups by primary key.
--
--   lookups.lua URL lookup|lookup8 COUNT
--
-- lookup: one task, one connection. lookup8: 64 tasks over a pool of eight.
local perigee = require "perigee"
local measure = require "measure"

local SQL = "SELECT id, val FROM lookup WHERE id = ?"

local ROWS = measure.LOOKUP_ROWS

-- The keys are those of measure.random, without a call for each.
local function look_up(db, seed, n)
  local check = 0
  for _ = 1, n do
    seed = seed * 16807 % 2147483647
    local row = db:first(SQL, seed % ROWS + 1)
    check = check + row.id + #row.val
  end
  return check % measure.MODULUS
end

local function by_workers(db, _, n)
  local tasks, check = {}, 0
  for w = 1, measure.WORKERS do tasks[w] = perigee.spawn(look_up, db, w, n) end
  for w = 1, measure.WORKERS do check = (check + tasks[w]:join()) % measure.MODULUS end
  return check
end

local WAYS = {
  lookup = { run = look_up, conns = 1, workers = 1 },
  lookup8 = { run = by_workers, conns = measure.CONNS, workers = measure.WORKERS },
}

local url, way, count = arg[1], WAYS[arg[2]], tonumber(arg[3])

perigee.run(function()
  local db = perigee.open(url, { max_size = way.conns })
  local each = math.floor(count / way.workers)
  way.run(db, 1, math.floor(measure.WARM_LOOKUPS / way.workers) + 1)
  local stop = measure.start()
  local check = way.run(db, 1, each)
  stop()(each * way.workers, each * way.workers, check)
  db:close()
end)
