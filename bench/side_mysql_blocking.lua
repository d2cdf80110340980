-- The MySQL workloads with LuaSQL and LuaDBI, which block: one connection, no pool.
--
--   side_mysql_blocking.lua luasql|luadbi URL WORKLOAD SECONDS ROWS
local measure = require "measure"

local client, name, seconds, ROWS = arg[1], arg[3], tonumber(arg[4]), tonumber(arg[5])
local user, password, database, socket = arg[2]:match
  "://([^:]+):([^@]+)@/([^?]+)%?socket=(.+)"

local READ = "SELECT id, big, ratio, name, at, note FROM mixed WHERE id BETWEEN "
local SCAN = "SELECT id AS g, name, ratio FROM mixed WHERE id <= "
local INSERT = "INSERT INTO fresh (grp, score, name) VALUES "

-- ---- the two clients -------------------------------------------------------

local clients = {}

-- No parameters; numbers may be texts.
function clients.luasql()
  local c = assert(require("luasql.mysql").mysql():connect(database, user, password,
    "localhost", 0, socket))
  local w = {}
  function w.run(sql) assert(c:execute(sql)) end
  function w.each(sql, params, fn)
    local i = 0
    local cursor = assert(c:execute((sql:gsub("%?", function()
      i = i + 1
      return ("%d"):format(params[i])
    end))))
    local row = cursor:fetch({}, "a")
    while row do
      fn(row)
      row = cursor:fetch({}, "a")
    end
    cursor:close()
  end
  function w.insert(n)
    for first = 1, n, 1000 do
      local list = {}
      for i = first, first + 999 do
        list[#list + 1] = ("(%d,%.17g,'%s')"):format(i % measure.ITEM_GROUPS, i / 8,
          c:escape("item number " .. i))
      end
      w.run(INSERT .. table.concat(list, ","))
    end
  end
  return w
end

-- Statements are prepared once. The library finds the socket by MYSQL_UNIX_PORT.
function clients.luadbi()
  local c = assert(require("DBI").Connect("MySQL", database, user, password, "localhost"))
  c:autocommit(true)
  local statements, w = {}, {}
  local function run(sql, ...)
    local st = statements[sql]
    if not st then
      st = assert(c:prepare(sql))
      statements[sql] = st
    end
    assert(st:execute(...))
    return st
  end
  function w.run(sql) assert(assert(c:prepare(sql)):execute()) end
  function w.each(sql, params, fn)
    for row in run(sql, (table.unpack or unpack)(params)):rows(true) do fn(row) end
  end
  function w.insert(n)
    for i = 1, n do
      run(INSERT .. "(?, ?, ?)", i % measure.ITEM_GROUPS, i / 8, "item number " .. i)
    end
  end
  return w
end

-- ---- workloads -------------------------------------------------------------

local w = clients[client]()

local function int(v) return math.floor(tonumber(v)) end

local function query(sql, ...)
  local list, n = {}, 0
  w.each(sql, { ... }, function(row)
    n = n + 1
    list[n] = row
  end)
  return list
end

local function lookup(_, random)
  local row = query("SELECT id, val FROM lookup WHERE id = ?", random() % 10000 + 1)[1]
  return 1, int(row.id) + #row.val
end

local function weigh_mixed(weight, row)
  return (weight + int(row.id) + int(row.big) + int(tonumber(row.ratio) * 8) + #row.name
    + int(row.at:sub(21, 26)) + #(row.note or "")) % measure.MODULUS
end

local function read(_, random, weigh)
  local first, weight = random() % measure.READ_RANGE + 1, 0
  local rows = query(READ .. "? AND ?", first, first + measure.READ_ROWS - 1)
  for i = 1, weigh and #rows or 0 do weight = weigh_mixed(weight, rows[i]) end
  return #rows, weight
end

local function scan(_, _, weigh)
  local want, sum = weigh and ROWS / 10 or ROWS, 0
  w.each(SCAN .. "?", { want }, function(row) sum = sum + tonumber(row.g) end)
  if sum ~= want * (want + 1) / 2 then error("rows are missing") end
  return want, int(sum)
end

local function insert(_, _, weigh)
  local n = weigh and 10000 or 100000
  w.run "TRUNCATE fresh"
  w.run "SET autocommit = 0"
  w.insert(n)
  w.run "COMMIT"
  w.run "SET autocommit = 1"
  return n
end

local function check()
  return int(query((measure.CHECK_FRESH:gsub("bigint%)", "SIGNED) AS n")))[1].n)
end

local workload = ({
  ["mysql-lookup"] = { lookup, warm = 512 },
  ["mysql-read"] = { read, warm = 8 },
  ["mysql-scan"] = { scan, warm = 1 },
  ["mysql-insert"] = { insert, warm = 1, check = check },
})[name]
measure.side(workload, seconds, workload[1], function(fns) fns[1]() end, workload.check)
