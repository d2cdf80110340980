--- The order of changes in which each finds what it needs: what stands in the way is
-- dropped, then renamings, new things, changes, additions, and what is not wanted any
-- more; views and the like at the end. SQLite gets all changes of a table side by side,
-- since they are one rebuild.
local apart = require "perigee.schema.order.apart"
local around = require "perigee.schema.order.around"
local diff = require "perigee.schema.diff"
local follow = require "perigee.schema.diff.follow"
local match = require "perigee.schema.diff.match"

local sorted_by_need, reversed, refers = apart.sorted_by_need, apart.reversed, apart.refers
local M = {}

-- Ranks: the first number is the place among all, the second that among the changes of
-- a table which are at the same place.
local VIEWS_OFF, OBJECTS, CHANGES, GONE, VIEWS_ON = 10, 40, 60, 70, 80

local RANKS = {
  drop_view = { VIEWS_OFF }, rename_table = { 20, 0 }, rename_column = { 20, 1 },
  drop_foreign_key = { 30, 0 }, drop_check = { 30, 1 }, drop_index = { 30, 2 },
  drop_unique = { 30, 3 }, drop_primary_key = { 30, 4 },
  rename_constraint = { 32, 0 }, rename_index = { 32, 1 },
  create_schema = { 34 }, create_enum = { 36, 0 }, add_enum_value = { 36, 1 },
  rename_enum_value = { 36, 2 }, create_table = { 50 }, set_enum_values = { 58 },
  add_column = { CHANGES, 0 }, alter_column = { CHANGES, 1 }, set_primary_key = { CHANGES, 2 },
  add_unique = { CHANGES, 3 }, add_check = { CHANGES, 4 }, add_index = { CHANGES, 5 },
  set_options = { CHANGES, 6 }, add_foreign_key = { 62 }, validate = { 64 },
  drop_column = { 66 }, drop_table = { 68 }, drop_enum = { GONE, 1 },
  create_view = { VIEWS_ON }, replace_view = { VIEWS_ON }, set_comment = { 90 },
}

-- The place of a table's change where changes of a table stay together.
local TOGETHER = {
  rename_column = 0, drop_foreign_key = 1, drop_check = 2, drop_index = 3, drop_unique = 4,
  drop_primary_key = 5, rename_constraint = 6, rename_index = 7, drop_column = 8, add_column = 9,
  alter_column = 10, set_primary_key = 11, add_unique = 12, add_check = 13, add_foreign_key = 14,
  validate = 15, set_options = 16, add_index = 17,
}

-- Objects that stand on tables and views; others are what tables stand on.
local UPON = { trigger = true, policy = true, rule = true, index = true, exclusion = true,
  ["event trigger"] = true, statistics = true }
-- Objects that may need tables, or be needed by them.
local CODE = { ["function"] = true, procedure = true, aggregate = true }

local function label_of(e) return match.label(e.schema, e.name) end

-- ---- who needs whom -----------------------------------------------------------

-- The name by which SQL calls it: of "f(integer)" "f".
local function called(e) return (e.name:gsub("%(.*$", "")) end

local function is_needed(element, other)
  for _, name in ipairs(element.after or {}) do
    if name == other.name or name == label_of(other) or name == called(other) then return true end
  end
  if match.is_on(element, other.schema, other.name) then return true end
  return element.sql ~= nil and follow.mentions(element.sql, called(other))
end

-- All SQL that a value of plain data holds.
local function texts(value, out)
  for key, v in pairs(value) do
    if type(v) == "table" then
      texts(v, out)
    elseif type(v) == "string" and (key == "sql" or key == "where" or key == "raw"
      or key == "using") then
      out[#out + 1] = v
    end
  end
  return out
end

-- ---- ranks ----------------------------------------------------------------------

-- Code that tables or columns of the changes name has to be there before them.
local function is_used_by_tables(p, object)
  for _, text in ipairs(p.table_texts) do
    if follow.mentions(text, called(object)) then return true end
  end
  return false
end

local function rank_of_object(p, op)
  local kind = op.kind or op.object.kind
  if op.op == "drop_object" then
    if UPON[kind] then return { VIEWS_OFF } end
    return { GONE, 2 }
  end
  if UPON[kind] then return { VIEWS_ON } end
  if CODE[kind] and not is_used_by_tables(p, op.object) then return { VIEWS_ON } end
  return { OBJECTS }
end

local function rank_of(p, op)
  if op.rank then return op.rank end
  if op.op:find "_object$" then return rank_of_object(p, op) end
  if op.early then return { 31 } end
  if p.together and TOGETHER[op.op] then
    return { CHANGES, p.table_position[match.label(op.schema, op.table)] or 0, TOGETHER[op.op] }
  end
  local rank = RANKS[op.op] or { VIEWS_ON }
  if rank[1] == CHANGES then
    if op.late then rank = { CHANGES, 1.5 } end -- what its expression uses is changed before
    return { CHANGES, p.table_position[match.label(op.schema, op.table)] or 0, rank[2] }
  end
  return rank
end

local function is_before(a, b)
  for i = 1, 3 do
    local x, y = a.rank[i] or 0, b.rank[i] or 0
    if x ~= y then return x < y end
  end
  return a.position < b.position
end

-- Sorts by rank, those of one rank as they were.
local function by_rank(p, list)
  local ranked = {}
  for i, op in ipairs(list) do ranked[i] = { op = op, rank = rank_of(p, op), position = i } end
  table.sort(ranked, is_before)
  for i, one in ipairs(ranked) do list[i] = one.op end
end

-- ---- the whole ------------------------------------------------------------------

local function select_ops(list, name)
  local chosen = {}
  for i = #list, 1, -1 do
    if list[i].op == name then table.insert(chosen, 1, table.remove(list, i)) end
  end
  return chosen
end

local function append(list, more)
  for _, op in ipairs(more) do list[#list + 1] = op end
end

local function order_tables(p, list)
  local created, dropped = select_ops(list, "create_table"), select_ops(list, "drop_table")
  if p.together then -- references need not be there yet
    append(list, sorted_by_need(created, function(a, b) return refers(a.table, b.table) end))
    append(list, reversed(sorted_by_need(dropped, function(a, b) return refers(a.was, b.was) end)))
    return
  end
  local keys
  created, keys = apart.order_created(created, list)
  append(list, created)
  append(list, keys)
  dropped, keys = apart.order_dropped(dropped)
  append(list, keys)
  append(list, dropped)
end

local function element_of(op) return op.view or op.object or op.was end

local IS_ELEMENT = { create_view = true, replace_view = true, drop_view = true,
  create_object = true, replace_object = true, drop_object = true }

-- Views and objects: created behind what they need, dropped before it.
local function order_elements(list)
  local on, off = {}, {}
  for i = #list, 1, -1 do
    local op = list[i]
    if IS_ELEMENT[op.op] and not op.rank then
      table.insert(op.op:find "^drop" and off or on, 1, table.remove(list, i))
    end
  end
  local function needs(a, b) return is_needed(element_of(a), element_of(b)) end
  append(list, reversed(sorted_by_need(off, needs)))
  append(list, sorted_by_need(on, needs))
end

-- Where nothing can be replaced it is dropped and created.
local function split_replaced(list)
  for i = #list, 1, -1 do
    local op, was = list[i], list[i].was
    if op.op == "replace_view" then
      list[i] = { op = "drop_view", schema = was.schema, name = was.name, was = was,
        phase = op.phase }
      list[#list + 1] = { op = "create_view", view = op.view, at = op.at, phase = op.phase }
    elseif op.op == "replace_object" then
      list[i] = { op = "drop_object", kind = was.kind, schema = was.schema, name = was.name,
        on = was.on, was = was, phase = op.phase }
      list[#list + 1] = { op = "create_object", object = op.object, at = op.at, phase = op.phase }
    end
  end
end

local function order_phase(p, phase)
  local list = {}
  for _, op in ipairs(p.all) do
    if op.phase == phase then list[#list + 1] = op end
  end
  if #list == 0 then return list end
  local all = { list = list, live = p.live, wanted = p.wanted, definitions = p.definitions,
    phase = phase, unstated = diff.UNSTATED }
  if p.together then
    split_replaced(list)
    around.extend_views(all)
  else
    around.extend(all)
  end
  order_tables(p, list)
  order_elements(list)
  p.table_texts = {}
  for _, op in ipairs(list) do
    if op.table then texts(op, p.table_texts) end
  end
  by_rank(p, list)
  for _, op in ipairs(list) do op.rank, op.early, op.late = nil, nil, nil end
  return list
end

-- { [label] = position in the tree }
local function positions(tree)
  local out = {}
  for i, t in ipairs(tree.tables) do out[label_of(t)] = i end
  return out
end

--- Puts changes into a working order, and adds what has to be dropped and created again
-- around them.
-- @tparam table result of diff.compare; its changes are changed
-- @tparam table dialect
-- @tparam[opt] table definitions
-- @treturn table changes: those of phase "up", then those of "finish"
function M.plan(result, dialect, definitions)
  local p = { all = {}, live = result.live, wanted = result.wanted,
    definitions = definitions or result.wanted, together = dialect.features.rebuilds,
    table_position = positions(result.wanted) }
  append(p.all, result.changes)
  apart.settle_sequences(p)
  local out = order_phase(p, "up")
  append(out, order_phase(p, "finish"))
  return out
end

return M
