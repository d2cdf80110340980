-- Runs the workloads whose instructions bench/instructions counts, under callgrind: each
-- several times, with a dump of what was counted after each time.
--
--   instructions.lua POSTGRES_URL SQLITE_URL
--
-- The collector stands still meanwhile: how many of its rounds fall into a run is chance.
-- The tables are made here, so that the rows do not depend on the server's version.
local perigee = require "perigee"
local measure = require "measure"
local clock = require "clock"

local TYPES = [[
  DROP TABLE IF EXISTS bench_types, bench_world;
  CREATE TABLE bench_types AS SELECT ('type_' || i)::name AS typname,
    i::oid AS typnamespace, 10::oid AS typowner, (i % 64)::int2 AS typlen,
    i % 2 = 0 AS typbyval, 'U'::"char" AS typcategory, false AS typispreferred,
    true AS typisdefined, ','::"char" AS typdelim, i::oid AS typrelid, 0::oid AS typelem,
    (i + 1)::oid AS typarray, -1 AS typtypmod
  FROM generate_series(1, 609) i;
  CREATE TABLE bench_world (id int PRIMARY KEY, randomnumber int NOT NULL);
  INSERT INTO bench_world SELECT i, i * 7919 % 10000 + 1 FROM generate_series(1, 10000) i;
  ANALYZE bench_types, bench_world]]

local LOOKUP = [[
  CREATE TABLE lookup (id INTEGER PRIMARY KEY, val TEXT NOT NULL);
  WITH RECURSIVE g(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM g WHERE i < 10000)
  INSERT INTO lookup SELECT i, 'the value of row ' || i FROM g]]

local SELECT_TYPES = [[select typname, typnamespace, typowner, typlen, typbyval,
  typcategory, typispreferred, typisdefined, typdelim, typrelid, typelem, typarray
  from bench_types where typtypmod = $1 and typisdefined = $2]]

local TIMES = 4

-- name, how often in one run, operation
local WORKLOADS = {
  { "b1", 500, function(db) return db:value "SELECT 1+1" == 2 end },
  { "b2", 5, function(db) return #db:query(SELECT_TYPES, -1, true) == 609 end },
  { "b3", 10, function(db)
    return #db:query("SELECT i FROM generate_series(1, $1) AS i", 1000) == 1000
  end },
  { "b6", 500, function(db, random)
    local id = random() % 10000 + 1
    return db:first("select id, randomnumber from bench_world where id=$1", id).id == id
  end },
  { "sqlite-lookup", 500, function(db, random)
    local id = random() % 10000 + 1
    return db:first("SELECT id, val FROM lookup WHERE id = ?", id).id == id
  end },
}

local function repeat_operation(operation, db, times)
  local random = measure.random(1)
  for _ = 1, times do
    if not operation(db, random) then error("the result is wrong", 0) end
  end
end

local function count(w, db)
  local name, times, operation = w[1], w[2], w[3]
  repeat_operation(operation, db, times)
  for _ = 1, TIMES do
    collectgarbage()
    collectgarbage "stop"
    clock.dump "between"
    repeat_operation(operation, db, times)
    clock.dump(("%s %d"):format(name, times))
    collectgarbage "restart"
  end
end

perigee.run(function()
  local postgres = perigee.open(arg[1], { max_size = 1 })
  local sqlite = perigee.open(arg[2], { max_size = 1 })
  postgres:script(TYPES)
  sqlite:script(LOOKUP)
  for _, w in ipairs(WORKLOADS) do count(w, w[1] == "sqlite-lookup" and sqlite or postgres) end
  postgres:script "DROP TABLE bench_types, bench_world"
  postgres:close()
  sqlite:close()
end)
