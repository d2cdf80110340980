-- Random pairs of schemas: from A to B and back, with rows in the tables. After each way
-- nothing is left to do, and what was in columns that both have is still there. The seed
-- is printed by spec/support/helper.lua; PERIGEE_SOAK=1 tries 200 pairs for each database.

local helper = require "spec.support.helper"
local support = require "spec.support.schema"
local compare = require "perigee.schema.compare"

local ROWS = 3
-- On MySQL each statement that changes a table is written to the disk several times.
local PAIRS = { sqlite = helper.soak(200), postgres = helper.soak(200), mysql = helper.soak(50) }

-- MySQL has no indexes of whole texts, so a text is short there.
local SHORT = { "varchar(40)", "varchar(60)", '"x"', function(n) return "'it''s " .. n .. "'" end }

-- Types, what they may become without loss, a default, and a value for row n.
local TYPES
local COMMON = {
  { "int", "bigint", "7", function(n) return tostring(n) end },
  { "smallint", "int", "7", function(n) return tostring(n) end },
  { "bigint", "bigint", "7", function(n) return tostring(n * 1000) end },
  { "varchar(20)", "text", '"x"', function(n) return "'v" .. n .. "'" end },
  { "text", "text", '"x"', function(n) return "'it''s " .. n .. "'" end },
  { "boolean", "boolean", "true", function(n) return n % 2 == 0 and "true" or "false" end },
  { "numeric(8, 2)", "numeric(10, 2)", "1", function(n) return n .. ".25" end },
  { "date", "date", '"2026-01-02"', function(n) return "'2026-03-0" .. n .. "'" end },
}

local function is_number(c) return c.kind <= 3 end
local function is_boolean(c) return c.kind == 6 end

-- ---- making ----------------------------------------------------------------

-- A column: what it is (key), its name, kind and whether its type is the wider one.
local function new_column(random, key)
  local c = { key = key, name = key, kind = random(#TYPES), null = random(2) == 1 }
  c.default = not c.null or random(3) == 1 -- a column that comes with rows needs one
  c.unique = not c.default and not is_boolean(c) and random(5) == 1
  c.index = random(4) == 1
  c.check = is_number(c) and random(4) == 1
  return c
end

local function new_table(random, n)
  local t = { key = "t" .. n, name = "t" .. n, columns = {}, parent = nil }
  for i = 1, 1 + random(5) do t.columns[i] = new_column(random, "c" .. i) end
  if n > 1 and random(2) == 1 then t.parent = "t" .. random(n - 1) end
  t.cascade = random(2) == 1
  t.view = random(4) == 1
  t.both = #t.columns > 1 and random(3) == 1
  return t
end

local function copy(v)
  if type(v) ~= "table" then return v end
  local out = {}
  for k, x in pairs(v) do out[k] = copy(x) end
  return out
end

local function change_column(random, c)
  local what = random(8)
  if what == 1 then
    c.wide = true
  elseif what == 2 and not c.unique then
    c.default = true
    c.null = not c.null
  elseif what == 3 and c.null and not c.unique then
    c.default = not c.default
  elseif what == 4 then
    c.name = c.key .. "_renamed"
  elseif what == 5 then
    c.index = not c.index
  elseif what == 6 then
    c.check = is_number(c) and not c.check
  elseif what == 7 and not c.default and not is_boolean(c) then
    c.unique = not c.unique
  end
end

local function change_table(random, t, i)
  for j = #t.columns, 1, -1 do
    if random(6) == 1 and #t.columns > 1 then
      table.remove(t.columns, j)
    else
      change_column(random, t.columns[j])
    end
  end
  if random(2) == 1 then
    table.insert(t.columns, random(#t.columns + 1), new_column(random, "n" .. i))
  end
  if random(3) == 1 then t.cascade = not t.cascade end
  if random(4) == 1 then t.view = not t.view end
  if random(6) == 1 then t.name = t.key .. "_renamed" end
  if random(4) == 1 then t.both = not t.both end
end

-- Another schema like this one.
local function changed(random, tables)
  local out = copy(tables)
  for i, t in ipairs(out) do change_table(random, t, i) end
  if random(3) == 1 then
    local gone = table.remove(out).key
    for _, t in ipairs(out) do if t.parent == gone then t.parent = nil end end
  end
  if random(2) == 1 then out[#out + 1] = new_table(random, #tables + 1) end
  local there = {}
  for _, t in ipairs(out) do there[t.key] = true end
  for _, t in ipairs(out) do if not there[t.parent] then t.parent = nil end end
  return out
end

-- ---- as text ---------------------------------------------------------------

local function by_key(list)
  local out = {}
  for _, e in ipairs(list or {}) do out[e.key] = e end
  return out
end

local function type_of(c) return TYPES[c.kind][c.wide and 2 or 1] end

local function column_text(c, old)
  local items = {}
  local function add(text) items[#items + 1] = text end
  if old and old.name ~= c.name then add(('was = "%s"'):format(old.name)) end
  if c.null then add "null = true" end
  if c.default then add("default = " .. TYPES[c.kind][3]) end
  if c.unique then add "unique = true" end
  if c.index then add "index = true" end
  if c.check then add(('check = "%s > 0"'):format(c.name)) end
  return ("  t.%s = %s { %s }"):format(c.name, type_of(c), table.concat(items, ", "))
end

local function table_text(t, old, names)
  local was = old and old.name ~= t.name and ('{ was = "%s" }, '):format(old.name) or ""
  local lines = { ('table("%s", %sfunction(t)'):format(t.name, was),
    "  t.id = bigint { pk = true }" }
  local before = by_key(old and old.columns)
  for _, c in ipairs(t.columns) do lines[#lines + 1] = column_text(c, before[c.key]) end
  if t.parent then
    lines[#lines + 1] = ('  t.parent_id = bigint { null = true, ref = "%s.id"%s }')
      :format(names[t.parent], t.cascade and ', on_delete = "cascade"' or "")
  end
  local first, second = t.columns[1].name, (t.columns[2] or t.columns[1]).name
  if t.both and first ~= second then
    lines[#lines + 1] = ('  t:index { "%s desc", "%s" }'):format(first, second)
  end
  lines[#lines + 1] = "end)"
  if t.view then
    lines[#lines + 1] = ('view("%s_view", "SELECT id, %s FROM %s")')
      :format(t.key, t.columns[1].name, t.name)
  end
  return table.concat(lines, "\n")
end

-- The definitions of a schema, with the names that another one has.
local function text_of(tables, other)
  local out, names, before = {}, {}, by_key(other)
  for _, t in ipairs(tables) do names[t.key] = t.name end
  for i, t in ipairs(tables) do out[i] = table_text(t, before[t.key], names) end
  return table.concat(out, "\n")
end

-- ---- rows ------------------------------------------------------------------

local function fill(db, tables)
  for _, t in ipairs(tables) do
    for n = 1, ROWS do
      local names, values = { "id" }, { tostring(n) }
      for _, c in ipairs(t.columns) do
        names[#names + 1] = c.name
        values[#values + 1] = TYPES[c.kind][4](n)
      end
      if t.parent then
        names[#names + 1] = "parent_id"
        values[#values + 1] = tostring(n)
      end
      db:script(("insert into %s (%s) values (%s)"):format(t.name, table.concat(names, ", "),
        table.concat(values, ", ")))
    end
  end
end

-- The rows of columns that both schemas have, as texts.
local function read(db, tables, other)
  local out, there = {}, by_key(other)
  for _, t in ipairs(tables) do
    local columns = there[t.key] and by_key(there[t.key].columns)
    for _, c in ipairs(columns and t.columns or {}) do
      if columns[c.key] and columns[c.key].kind == c.kind then
        local list = {}
        for n = 1, ROWS do
          local sql = ("select %s from %s where id = %d"):format(c.name, t.name, n)
          list[n] = tostring(db:value(sql))
        end
        out[t.key .. "." .. c.key] = table.concat(list, ",")
      end
    end
    if columns and t.parent and there[t.key].parent == t.parent then
      local sql = ("select sum(parent_id) from %s"):format(t.name)
      out[t.key .. ".parent"] = tostring(db:value(sql))
    end
  end
  return out
end

-- ---- one pair --------------------------------------------------------------

local function go(db, text)
  local definitions = support.parse(text)
  local found = support.compare(db, definitions, { manage = "all" })
  local left = compare.verify(db, found.live, found.changes, found.wanted)
  assert.same({}, support.lines(left))
  support.apply(db, found.changes)
  assert.same({}, support.lines(support.compare(db, definitions, { manage = "all" }).changes))
end

local function types_of(database)
  if database ~= "mysql" then return COMMON end
  local out = {}
  for i, ty in ipairs(COMMON) do out[i] = ty end
  for i, ty in ipairs(out) do
    if ty[1] == "varchar(20)" then out[i] = { ty[1], "varchar(80)", ty[3], ty[4] } end
    if ty[1] == "text" then out[i] = SHORT end
  end
  return out
end

local function try(db, random)
  local a = {}
  for n = 1, 2 + random(2) do a[n] = new_table(random, n) end
  local b = changed(random, a)
  local text_a, text_b = text_of(a), text_of(b, a)
  local ok, why = pcall(function()
    support.create(db, support.parse(text_a))
    fill(db, a)
    local before = read(db, a, b)
    go(db, text_b)
    go(db, text_of(a, b))
    assert.same(before, read(db, a, b))
  end)
  if not ok then
    why = type(why) == "table" and rawget(why, "message") or tostring(why)
    error(("%s\n---- A\n%s\n---- B\n%s"):format(why, text_a, text_b), 0)
  end
end

helper.for_each_db(function(database, open)
  describe("random schemas", function()
    before_each(function() TYPES = types_of(database) end)

    for n = 1, PAIRS[database] do
      it(("pair %d: from A to B and back"):format(n), function()
        try(open { max_size = 2 }, helper.random(database .. n))
      end)
    end
  end)
end, { "sqlite", "postgres", "mysql" })
