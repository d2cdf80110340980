-- B1 to B10, and the workloads of the same kind on SQLite and MySQL, through `perigee`.
--
--   side.lua URL WORKLOAD SECONDS ROWS [SHAPE]
--
-- ROWS is for what streams; SHAPE is the form of rows of b2 and b3. Everything goes
-- through the handle, with its pool, deadlines and all else on.
local perigee = require "perigee"
local measure = require "measure"

local url, name, seconds = arg[1], arg[2], tonumber(arg[3])
local ROWS, SHAPE = tonumber(arg[4]), arg[5]

local db

-- ---- reads (b1 to b4) ------------------------------------------------------

local function one_plus_one()
  return 1, db:value "SELECT 1+1"
end

local TYPES = [[select typname, typnamespace, typowner, typlen, typbyval, typcategory,
  typispreferred, typisdefined, typdelim, typrelid, typelem, typarray
  from pg_type where typtypmod = $1 and typisdefined = $2]]
local TYPE_KEYS = { "typname", "typnamespace", "typowner", "typlen", "typbyval",
  "typcategory", "typispreferred", "typisdefined", "typdelim", "typrelid", "typelem",
  "typarray" }

local function weigh_value(v)
  if v == true then return 1 end
  if not v then return 0 end
  return type(v) == "string" and #v or v
end

local function weigh_types(rows)
  local weight = 2 * #rows
  for i = 1, #rows do
    for j, key in ipairs(TYPE_KEYS) do
      weight = weight + weigh_value(rows[i][SHAPE and j or key])
    end
  end
  return weight
end

local TYPE_PARAMETERS, SERIES_PARAMETERS = { -1, true }, { 1000 }
local OPTIONS = SHAPE and { rows = SHAPE }

local function types(_, _, weigh)
  local rows = db:query(TYPES, TYPE_PARAMETERS, OPTIONS)
  return #rows, weigh and weigh_types(rows)
end

local function series(_, _, weigh)
  local rows = db:query("SELECT i FROM generate_series(1, $1) AS i", SERIES_PARAMETERS,
    OPTIONS)
  local n = SHAPE == "columns" and rows.n or #rows
  local weight = weigh and 0
  for i = 1, weigh and n or 0 do
    weight = weight + (SHAPE == "columns" and rows.i[i] or rows[i].i)
  end
  return n, weight
end

local function blobs(_, _, weigh)
  local rows, weight = db:query "SELECT * FROM blobs", weigh and 0
  for i = 1, weigh and #rows or 0 do weight = weight + #rows[i].b + rows[i].b:byte() end
  return #rows, weight
end

local function lists(_, _, weigh)
  local rows, weight = db:query "SELECT * FROM lists", weigh and 0
  for i = 1, weigh and #rows or 0 do
    local a = rows[i].a
    weight = weight + #a + a[1] + a[#a]
  end
  return #rows, weight
end

-- ---- bulk (b5) -------------------------------------------------------------

local BULK_CHECK = "SELECT (count(*) + sum(a + b + c + f + length(d) + length(g)) "
  .. "+ sum(e)::int)::bigint FROM bulk_"

local tables = {}
local records = {}

local function empty_bulk()
  local row = { a = 10, b = 11, c = 10, d = "TESTTESTTEST", e = 10.333, f = 12341234,
    g = "123412341234" }
  for i = 1, 10000 do records[i] = row end
  for i = 1, 10 do
    db:execute("TRUNCATE bulk_" .. i)
    tables[i] = { name = "bulk_" .. i, handle = db:table("bulk_" .. i), batches = 0 }
  end
end

-- Every 50th operation begins with a TRUNCATE, but not while rows are weighed.
local function bulk(number, weigh)
  local t = tables[number]
  if not weigh then
    if t.batches % 50 == 0 then db:execute("TRUNCATE " .. t.name) end
    t.batches = t.batches + 1
  end
  return t
end

local function insert_rows(n)
  local list = {}
  return function(number, _, weigh)
    if #list == 0 then for i = 1, n do list[i] = records[i] end end
    local t = bulk(number, weigh)
    return t.handle:insert_many(list, { returning = false })
  end
end

local function each_record()
  local i = 0
  return function()
    i = i + 1
    return records[i]
  end
end

local function copy_rows(number, _, weigh)
  return db:copy_in(bulk(number, weigh).name, each_record())
end

local function bulk_check(number)
  return function() return db:value(BULK_CHECK .. number) end
end

-- ---- the pool (b6 to b9) ---------------------------------------------------

local function world(_, random)
  local row = db:first("select id, randomnumber from world where id=$1",
    random() % 10000 + 1)
  return 1, row.id + row.randomnumber
end

local function update_account(tx, id)
  local row = tx:first("select randomnumber from accounts where id=$1 for update", id)
  local value = (row.randomnumber + id) % 10000 + 1
  tx:execute("update accounts set randomnumber=$1 where id=$2", value, id)
end

local function transfer(number, random)
  local id = random() % 156 * 64 + number
  db:transaction(function(tx) update_account(tx, id) end)
  return 1
end

local function weigh_person(row)
  return row.id + #row.first_name + #row.last_name + #row.sex + row.height
    + (row.birth_date and 1 or 0) + (row.weight or 0) + (row.update_time and 1 or 0)
end

local function person_page(_, random)
  local rows, weight = db:query("select * from person where id > $1 order by id limit 25",
    random() % 9975), 0
  for i = 1, #rows do weight = weight + weigh_person(rows[i]) end
  return #rows, weight
end

local function fair(number, random)
  if number > 0 then return world(number, random) end
  db:execute "select pg_sleep(0.05)"
  return 1
end

-- ---- streams (b10, scan) ---------------------------------------------------

-- The sum is that of the numbers from 1 on.
local function stream(sql)
  return function(_, _, weigh)
    local want = weigh and ROWS / 10 or ROWS
    local n, sum = 0, 0
    for row in db:each(sql, want) do
      n, sum = n + 1, sum + row.g
    end
    if sum ~= want * (want + 1) / 2 then error("rows are missing") end
    return n, weigh and sum
  end
end

-- ---- SQLite ----------------------------------------------------------------

local function lookup(_, random)
  local row = db:first("SELECT id, val FROM lookup WHERE id = ?", random() % 10000 + 1)
  return 1, row.id + #row.val
end

local INSERT = "INSERT INTO fresh (grp, score, name) VALUES (?, ?, ?)"

local function insert_some(tx, random)
  for i = 1, 1000 do
    tx:execute(INSERT, random() % measure.ITEM_GROUPS, i / 8, "item number " .. i)
  end
end

local function insert(_, random)
  db:transaction(function(tx) insert_some(tx, random) end)
  return 1000
end

-- ---- MySQL -----------------------------------------------------------------

local function weigh_mixed(weight, row)
  return (weight + row.id + row.big + math.floor(row.ratio * 8) + #row.name
    + tonumber(row.at:sub(21, 26)) + #(row.note or "")) % measure.MODULUS
end

local function read(_, random, weigh)
  local first, weight = random() % measure.READ_RANGE + 1, 0
  local rows = db:query(
    "SELECT id, big, ratio, name, at, note FROM mixed WHERE id BETWEEN ? AND ?", first,
    first + measure.READ_ROWS - 1)
  for i = 1, weigh and #rows or 0 do weight = weigh_mixed(weight, rows[i]) end
  return #rows, math.floor(weight)
end

local fresh, few

local function make_items()
  local list, short = {}, {}
  for i = 1, 100000 do
    list[i] = { grp = i % measure.ITEM_GROUPS, score = i / 8, name = "item number " .. i }
    if i <= 10000 then short[i] = list[i] end
  end
  records, few, fresh = list, short, db:table "fresh"
end

local function insert_items(_, _, weigh)
  local list = weigh and few or records
  db:execute "TRUNCATE fresh"
  fresh:insert_many(list, { returning = false })
  return #list
end

-- ---- all of them -----------------------------------------------------------

local function many(n) return { workers = n, max_size = n, warm = 2 } end
local function one(operation, warm) return { operation, warm = warm, max_size = 1 } end
local function with(t, fields)
  for k, v in pairs(fields) do t[k] = v end
  return t
end

local insert_bulk = insert_rows(10000)

-- What copies where there is COPY.
local function load_rows(...)
  return (db.copy_in and copy_rows or insert_bulk)(...)
end

local STREAM = "select g, md5(g::text), g*1.5 from generate_series(1,$1::int) g"
local SCAN = "SELECT id AS g, name, ratio FROM mixed WHERE id <= ?"

local WORKLOADS = {
  b1 = with(many(10), { one_plus_one, warm = 20 }),
  ["b1-single"] = one(one_plus_one, 20),
  b2 = with(many(10), { types }),
  b3 = with(many(10), { series }),
  ["b4-bytea"] = with(many(10), { blobs }),
  ["b4-arrays"] = with(many(10), { lists }),
  ["b5-copy"] = with(one(load_rows, 2), { fill = empty_bulk, check = bulk_check(1) }),
  ["b5-copy-10"] = with(many(10), { load_rows, fill = empty_bulk,
    check = bulk_check(10) }),
  ["b5-insert"] = with(one(insert_rows(1000), 2), { fill = empty_bulk,
    check = bulk_check(1) }),
  ["b5-insert-10"] = with(many(10), { insert_rows(1000), fill = empty_bulk,
    check = bulk_check(10) }),
  b6 = { world, workers = 64, max_size = 4, warm = 20 },
  b7 = { transfer, workers = 16, max_size = 8, warm = 10,
    fill = function()
      db:script "TRUNCATE accounts; INSERT INTO accounts SELECT * FROM world"
    end,
    check = function()
      return db:value "SELECT sum(randomnumber * (id % 7))::bigint FROM accounts"
    end },
  b8 = { person_page, workers = 32, max_size = 4, warm = 10 },
  b9 = { fair, workers = 64, max_size = 4, warm = 4, first = 0 },
  b10 = one(stream(STREAM), 1),
  ["sqlite-lookup"] = with(one(lookup, 512), { block = 32 }),
  ["sqlite-scan"] = one(stream(SCAN), 1),
  ["sqlite-insert"] = with(one(insert, 2), {
    fill = function() db:execute "DELETE FROM fresh" end,
    check = function() return db:value(measure.CHECK_FRESH) end }),
  ["mysql-lookup"] = one(lookup, 512),
  ["mysql-read"] = one(read, 8),
  ["mysql-scan"] = one(stream(SCAN), 1),
  ["mysql-insert"] = with(one(insert_items, 1), { fill = make_items,
    check = function()
      return db:value((measure.CHECK_FRESH:gsub("bigint", "SIGNED")))
    end }),
  ["mysql-pool"] = { lookup, workers = 64, max_size = 8, warm = 20 },
}

perigee.run(function()
  local w = WORKLOADS[name]
  db = perigee.open(url, { max_size = w.max_size })
  if w.fill then w.fill() else db:ping() end
  if w[1] == load_rows and not db.copy_in then w.note = "insert_many, without copy_in" end
  measure.side(w, seconds, w[1], function(fns)
    perigee.gather((table.unpack or unpack)(fns))
  end, w.check)
  db:close()
end)
