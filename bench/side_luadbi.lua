-- The side-by-side workloads with LuaDBI, which blocks; statements are prepared once.
--
--   side_luadbi.lua TARGET WORKLOAD SECONDS ROWS
local DBI = require "DBI"
local blocking = require "side_blocking"

local target, name, seconds, rows = arg[1], arg[2], tonumber(arg[3]), tonumber(arg[4])
local is_sqlite = name:find "^sqlite"
local c = assert(DBI.Connect(is_sqlite and "SQLite3" or "PostgreSQL", target))
c:autocommit(true)

local statements = {}

local function run(sql, ...)
  local st = statements[sql]
  if not st then
    st = assert(c:prepare(sql))
    statements[sql] = st
  end
  assert(st:execute(...))
  return st
end

local function query(sql, ...)
  local list, n = {}, 0
  for row in run(sql, ...):rows(true) do
    n = n + 1
    list[n] = row
  end
  return list
end

local function value(sql)
  return run(sql):fetch()[1]
end

-- DECLARE is not for prepared statements, so it is no use to keep them.
local function once(sql)
  local st = assert(c:prepare(sql))
  assert(st:execute())
  st:close()
end

local function in_transaction(begin, fn)
  once(begin)
  fn()
  once "COMMIT"
end

local function stream(n, fn)
  in_transaction("BEGIN", function()
    once(blocking.STREAM:format(n))
    repeat
      local got = 0
      for row in run("FETCH 1000 FROM c"):rows(true) do
        got = got + 1
        fn(row)
      end
    until got < 1000
  end)
end

local BULK = "INSERT INTO bulk_1 (a, b, c, d, e, f, g) "
  .. "VALUES ($1, $2, $3, $4, $5, $6, $7)"

local function bulk()
  in_transaction("BEGIN", function()
    for _ = 1, 1000 do
      run(BULK, 10, 11, 10, "TESTTESTTEST", 10.333, 12341234, "123412341234")
    end
  end)
end

local INSERT = "INSERT INTO fresh (grp, score, name) VALUES (?, ?, ?)"

local function insert(values)
  in_transaction("BEGIN IMMEDIATE", function()
    for i = 1, 1000 do run(INSERT, values(i)) end
  end)
end

if is_sqlite then once "PRAGMA synchronous = NORMAL" end
blocking.run({
  run = once, value = value, stream = stream, bulk = bulk, insert = insert,
  lookup = function(id) return query(blocking.LOOKUP .. "?", id)[1] end,
  scan = function(n, fn)
    for row in run(blocking.SCAN .. "?", n):rows(true) do fn(row) end
  end,
  one = function() return query "SELECT 1+1 AS n" end,
  types = function() return query(blocking.TYPES:format("$1", "$2"), -1, true) end,
  series = function()
    return query("SELECT i FROM generate_series(1, $1) AS i", 1000)
  end,
}, name, seconds, rows)
c:close()
