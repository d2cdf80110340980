-- Walking pages while rows are inserted, deleted and moved: what nobody touches is seen
-- once, in order, in both directions (P-09b).
local perigee = require "perigee"
local helper = require "spec.support.helper"

local ROWS, VALUES = 60, 8

local ORDERS = {
  { "id" },
  { "-score" },
  { "score", "-id" },
  { "score", "-place" },
  { { "place", desc = true, nulls = "last" } },
  { "place", "score" },
}

local function random_place(random)
  local n = random(VALUES)
  return n == 1 and perigee.null or n
end

local function fill(db, random)
  db:script [[
    drop table if exists walked;
    create table walked (id integer primary key, score integer not null, place integer)]]
  local list = {}
  for i = 1, ROWS do
    list[i] = { id = i * 10, score = random(VALUES), place = random_place(random) }
  end
  db:insert_many("walked", list)
end

-- ---- what others do ---------------------------------------------------------

-- A walk in progress: what it has seen (a list, and how often by id), and which rows
-- somebody has touched.
local function new_walk(db, random)
  return { db = db, random = random, seen = {}, times = {}, touched = {} }
end

local function note(walk, page, back)
  for i = 1, #page.rows do
    local row = page.rows[back and #page.rows + 1 - i or i]
    walk.seen[#walk.seen + 1] = row
    walk.times[row.id] = (walk.times[row.id] or 0) + 1
  end
end

-- A row that was seen, or any.
local function choose(walk)
  local random = walk.random
  if random(2) == 1 and #walk.seen > 0 then return walk.seen[random(#walk.seen)].id end
  return random(ROWS) * 10
end

local changes = {}

function changes.insert(walk)
  local random = walk.random
  local id
  repeat
    id = random(ROWS * 10 + 9)
  until id % 10 ~= 0 and not walk.touched[id]
  walk.touched[id] = true
  walk.db:insert("walked", { id = id, score = random(VALUES), place = random_place(random) })
end

function changes.delete(walk)
  local id = choose(walk)
  walk.touched[id] = true
  walk.db:delete("walked", { id = id })
end

function changes.move(walk)
  local random, id = walk.random, choose(walk)
  walk.touched[id] = true
  walk.db:update("walked", { id = id },
    { score = random(VALUES), place = random_place(random) })
end

-- The row that the cursor stands on goes, or goes elsewhere.
function changes.edge(walk)
  local last = walk.seen[#walk.seen]
  if not last then return end
  walk.touched[last.id] = true
  if walk.random(2) == 1 then
    walk.db:delete("walked", { id = last.id })
  else
    walk.db:update("walked", { id = last.id },
      { score = walk.random(VALUES), place = random_place(walk.random) })
  end
end

local KINDS = { "insert", "delete", "move", "edge" }

local function disturb(walk)
  for _ = 1, walk.random(4) - 1 do changes[KINDS[walk.random(#KINDS)]](walk) end
end

-- ---- walking ------------------------------------------------------------------

-- From the first page to the last, or with `back` the other way.
local function go(walk, order, back)
  local limit = walk.random(9)
  local page = walk.db:page("walked", nil, { order_by = order, limit = limit })
  if back then
    while page.next do page = walk.db:page("walked", nil, { cursor = page.next }) end
  end
  local pages = 1
  note(walk, page, back)
  while page[back and "prev" or "next"] do
    disturb(walk)
    page = walk.db:page("walked", nil, { cursor = page[back and "prev" or "next"] })
    note(walk, page, back)
    pages = pages + 1
    assert.is_true(pages < 20 * ROWS, "it never ends")
  end
end

-- The rows that are as they were, in their order.
local function untouched(walk, order)
  local ids = {}
  for _, row in ipairs(walk.db:select("walked", nil, { order_by = order })) do
    if not walk.touched[row.id] then ids[#ids + 1] = row.id end
  end
  return ids
end

local function check(walk, order, back)
  local expected, found = untouched(walk, order), {}
  for _, row in ipairs(walk.seen) do
    if not walk.touched[row.id] then found[#found + 1] = row.id end
  end
  if back then
    for i = 1, math.floor(#found / 2) do
      found[i], found[#found + 1 - i] = found[#found + 1 - i], found[i]
    end
  end
  assert.same(expected, found)
  for _, id in ipairs(expected) do assert.equal(1, walk.times[id]) end
end

-- The order with the key that pages put at its end.
local function whole(order)
  local list = {}
  for i, o in ipairs(order) do list[i] = o end
  local last = order[#order]
  if last == "id" or last == "-id" then return list end
  local desc = type(last) == "table" and last.desc or tostring(last):sub(1, 1) == "-"
  list[#list + 1] = desc and "-id" or "id"
  return list
end

helper.for_each_db(function(_, open)
  describe("pages while rows come, go and move", function()
    for _, way in ipairs { "next", "prev" } do
      it("by " .. way .. " lose and repeat no row that nobody touches (P-09b)", function()
        helper.watchdog(120)
        local random = helper.random("walk " .. way)
        local db = open()
        for round = 1, math.max(12, helper.soak(60)) do
          local order = ORDERS[(round - 1) % #ORDERS + 1]
          fill(db, random)
          local walk = new_walk(db, random)
          go(walk, order, way == "prev")
          check(walk, whole(order), way == "prev")
        end
      end)
    end
  end)
end)
