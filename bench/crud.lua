-- The verbs on tables.
--
--   crud.lua URL WORKLOAD COUNT
--
-- insert, update: COUNT calls, each its own transaction. insert_many: COUNT rows in
-- one call. select: COUNT reads of 50 rows by a filter. page, page_deep: COUNT pages
-- of 50 rows from the first row on, and from the 1,000,000th.
local perigee = require "perigee"
local measure = require "measure"

local GROUPS, MODULUS = measure.ITEM_GROUPS, measure.MODULUS

local function item(random, i)
  return { grp = random() % GROUPS, score = i / 8, name = "item number " .. i }
end

local function insert(db, count, start)
  local fresh, random, rows = db:table "fresh", measure.random(1), 0
  fresh:delete({}, { all = true })
  local stop = start()
  for i = 1, count do
    local record = item(random, i)
    if fresh:insert(record).name == record.name then rows = rows + 1 end
  end
  return stop(), rows, db:value(measure.CHECK_FRESH)
end

local function insert_many(db, count, start)
  local fresh, random, list = db:table "fresh", measure.random(1), {}
  fresh:delete({}, { all = true })
  for i = 1, count do list[i] = item(random, i) end
  local stop = start()
  local rows = fresh:insert_many(list, { returning = false })
  return stop(), rows, db:value(measure.CHECK_FRESH)
end

-- On PostgreSQL updated rows leave dead ones behind: every program begins with a
-- new table.
local function reset_counters(db)
  if db:driver().dialect ~= "postgres" then
    return db:update("counters", {}, { n = 0 }, { all = true })
  end
  db:script [[
    truncate counters;
    insert into counters select i, 0 from generate_series(1, 10000) i;
    analyze counters]]
end

local function update(db, count, start)
  local counters, random, rows = db:table "counters", measure.random(1), 0
  reset_counters(db)
  local stop = start()
  for i = 1, count do
    rows = rows
      + counters:update({ id = random() % measure.LOOKUP_ROWS + 1 }, { n = i })
  end
  return stop(), rows, db:value(measure.CHECK_COUNTERS)
end

local function select_rows(db, count, start)
  local items, random, n, check = db:table "items", measure.random(1), 0, 0
  local options = { order_by = "id" }
  local stop = start()
  for _ = 1, count do
    local rows = items:select({ grp = random() % GROUPS, ["score:ge"] = 50 }, options)
    for i = 1, #rows do check = check + rows[i].id + #rows[i].name end
    n = n + #rows
  end
  return stop(), n, check
end

-- The cursor behind so many rows, in large pages.
local function cursor_at(pages, depth)
  local cursor
  for _ = 1, depth / 10000 do
    cursor = pages:page(nil, { order_by = "at", limit = 10000, cursor = cursor }).next
  end
  return cursor
end

local function walk(db, count, start, depth)
  local pages, n, check = db:table "walk", 0, 0
  local options = { order_by = "at", limit = measure.PAGE_ROWS,
    cursor = cursor_at(pages, depth) }
  local stop = start()
  for _ = 1, count do
    local page = pages:page(nil, options)
    local rows = page.rows
    for i = 1, #rows do check = check + rows[i].id + #rows[i].title end
    n, options.cursor = n + #rows, page.next
  end
  return stop(), n, check
end

local WAYS = {
  insert = insert,
  insert_many = insert_many,
  update = update,
  select = select_rows,
  page = function(db, count, start) return walk(db, count, start, 0) end,
  page_deep = function(db, count, start)
    return walk(db, count, start, measure.PAGE_DEPTH)
  end,
}

local url, way, count = arg[1], arg[2], tonumber(arg[3])

perigee.run(function()
  local db = perigee.open(url, { max_size = 1, max_limit = 10000 })
  local report, rows, check = WAYS[way](db, count, measure.start)
  report(way == "insert_many" and 1 or count, rows, check % MODULUS)
  db:close()
end)
