-- Single-row look-ups by primary key in one host: what a wait costs in it.
--
--   hosts.lua URL HOST/lookup|HOST/lookup8 COUNT
--
-- lookup: one task, one connection. lookup8: 64 tasks over a pool of eight. HOST:
-- perigee (the built-in loop), none (calls block), cqueues, luv, copas, user or minimal
-- (the two forms of perigee.host{ … }, in the toy loop of the specs). Ends with status 3
-- when the host is not installed.
local perigee = require "perigee"
local measure = require "measure"

local SQL = "SELECT id, val FROM lookup WHERE id = ?"
local ROWS = measure.LOOKUP_ROWS
local url, host, way, count = arg[1], arg[2]:match "^(.*)/", arg[2]:match "/(.*)$",
  tonumber(arg[3])
local WORKERS = { lookup = 1, lookup8 = measure.WORKERS }
local CONNS = { lookup = 1, lookup8 = measure.CONNS }

local function look_up(db, seed, n)
  local check = 0
  for _ = 1, n do
    seed = seed * 16807 % 2147483647
    local row = db:first(SQL, seed % ROWS + 1)
    check = check + row.id + #row.val
  end
  return check % measure.MODULUS
end

local function by_workers(db, n)
  if WORKERS[way] == 1 then return look_up(db, 1, n) end
  local tasks, check = {}, 0
  for w = 1, WORKERS[way] do tasks[w] = perigee.spawn(look_up, db, w, n) end
  for w = 1, WORKERS[way] do check = (check + tasks[w]:join()) % measure.MODULUS end
  return check
end

local function body()
  local db = perigee.open(url, { max_size = CONNS[way] })
  local each = math.floor(count / WORKERS[way])
  by_workers(db, math.floor(measure.WARM_LOOKUPS / WORKERS[way]) + 1)
  local stop = measure.start()
  local check = by_workers(db, each)
  stop()(each * WORKERS[way], each * WORKERS[way], check)
  db:close()
end

if host == "perigee" then
  perigee.run(body)
elseif host == "none" then
  body()
else
  local hosts = require "spec.support.hosts"
  local _, missing = hosts.available(host)
  if missing[host] then
    io.stderr:write(host, ": ", missing[host], "\n")
    os.exit(3)
  end
  hosts.run[host](body)
end
