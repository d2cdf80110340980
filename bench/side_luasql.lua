-- The side-by-side workloads with LuaSQL: it blocks, has no parameters, and gives
-- PostgreSQL's values as texts.
--
--   side_luasql.lua TARGET WORKLOAD SECONDS ROWS
local blocking = require "side_blocking"

local target, name, seconds, rows = arg[1], arg[2], tonumber(arg[3]), tonumber(arg[4])
local is_sqlite = name:find "^sqlite"
local driver = require(is_sqlite and "luasql.sqlite3" or "luasql.postgres")
local environment = is_sqlite and driver.sqlite3() or driver.postgres()
local c = assert(environment:connect(target))

local function run(sql) return assert(c:execute(sql)) end

local function each(sql, fn)
  local cursor = run(sql)
  local row = cursor:fetch({}, "a")
  while row do
    fn(row)
    row = cursor:fetch({}, "a")
  end
  cursor:close()
end

local function query(sql)
  local list, n = {}, 0
  each(sql, function(row)
    n = n + 1
    list[n] = row
  end)
  return list
end

local function value(sql)
  local cursor = run(sql)
  local v = cursor:fetch()
  cursor:close()
  return v
end

local function stream(n, fn)
  run "BEGIN"
  run(blocking.STREAM:format(n))
  repeat
    local got = 0
    each("FETCH 1000 FROM c", function(row)
      got = got + 1
      fn(row)
    end)
  until got < 1000
  run "COMMIT"
end

local function bulk()
  local values = {}
  for i = 1, 1000 do
    values[i] = ("(%d,%d,%d,'%s',%.17g,%d,'%s')"):format(10, 11, 10,
      c:escape "TESTTESTTEST", 10.333, 12341234, c:escape "123412341234")
  end
  run("INSERT INTO bulk_1 (a, b, c, d, e, f, g) VALUES " .. table.concat(values, ","))
end

local function insert(values)
  run "BEGIN IMMEDIATE"
  for i = 1, 1000 do
    local grp, score, text = values(i)
    run(("INSERT INTO fresh (grp, score, name) VALUES (%d, %.17g, '%s')"):format(grp,
      score, c:escape(text)))
  end
  run "COMMIT"
end

local function lookup(id)
  return query(blocking.LOOKUP .. math.floor(id))[1]
end

if is_sqlite then run "PRAGMA synchronous = NORMAL" end
blocking.run({
  run = run, value = value, stream = stream, bulk = bulk, insert = insert,
  lookup = lookup,
  scan = function(n, fn) each(blocking.SCAN .. math.floor(n), fn) end,
  one = function() return query "SELECT 1+1 AS n" end,
  types = function() return query(blocking.TYPES:format("-1", "true")) end,
  series = function() return query "SELECT i FROM generate_series(1, 1000) AS i" end,
}, name, seconds, rows)
c:close()
environment:close()
