--- What cannot be said in one statement with a new or dropped table: foreign keys to
-- tables that are not there at that moment, and sequences that belong to a column.
local match = require "perigee.schema.diff.match"

local M = {}

local function label_of(e) return match.label(e.schema, e.name) end

--- Sorts so that each comes behind what it needs; otherwise as given. Cycles stay so.
function M.sorted_by_need(list, needs)
  local out, state = {}, {}
  local function visit(item)
    if state[item] then return end
    state[item] = true
    for _, other in ipairs(list) do
      if other ~= item and not state[other] and needs(item, other) then visit(other) end
    end
    out[#out + 1] = item
  end
  for _, item in ipairs(list) do visit(item) end
  return out
end

function M.reversed(list)
  local out = {}
  for i = #list, 1, -1 do out[#out + 1] = list[i] end
  return out
end

-- ---- foreign keys of new and dropped tables -------------------------------------

local function copy_table(t)
  local out = {}
  for key, value in pairs(t) do out[key] = value end
  out.foreign_keys = {}
  return out
end

-- The table without those foreign keys that `stays` says no to, which become changes.
local function without_keys(t, stays, make, out)
  local all = true
  for _, key in ipairs(t.foreign_keys or {}) do all = all and stays(key) end
  if all then return t end
  local copy = copy_table(t)
  for _, key in ipairs(t.foreign_keys) do
    if stays(key) then
      table.insert(copy.foreign_keys, key)
    else
      out[#out + 1] = make(key)
    end
  end
  return copy
end

--- Has the table a foreign key to the other?
function M.refers(t, other)
  for _, key in ipairs(t.foreign_keys or {}) do
    if key.ref.table == other.name and key.ref.schema == other.schema then return true end
  end
  return false
end

-- Tables whose keys or columns change, to which new tables cannot refer yet.
local function unsettled(list)
  local out = {}
  for _, op in ipairs(list) do
    if op.op == "add_column" or op.op == "alter_column" or op.op == "add_unique"
      or op.op == "set_primary_key" or op.op == "add_index" then
      out[match.label(op.schema, op.table)] = true
    end
  end
  return out
end

--- Creates tables parents first; keys to what is not there yet are added afterwards.
-- @tparam table ops changes "create_table"
-- @tparam table list the other changes
-- @treturn table ops in order
-- @treturn table changes "add_foreign_key"
function M.order_created(ops, list)
  local later, out = unsettled(list), {}
  ops = M.sorted_by_need(ops, function(a, b) return M.refers(a.table, b.table) end)
  local new, done = {}, {}
  for _, op in ipairs(ops) do new[label_of(op.table)] = true end
  for _, op in ipairs(ops) do
    local t = op.table
    done[label_of(t)] = true
    op.table = without_keys(t, function(key)
      local ref = match.label(key.ref.schema, key.ref.table)
      if new[ref] then return done[ref] end
      return not later[ref]
    end, function(key)
      return { op = "add_foreign_key", schema = t.schema, table = t.name, key = key,
        phase = op.phase, at = key.at }
    end, out)
  end
  return ops, out
end

--- Drops tables children first; keys among the rest are dropped before.
-- @treturn table ops in order
-- @treturn table changes "drop_foreign_key"
function M.order_dropped(ops)
  local out = {}
  ops = M.reversed(M.sorted_by_need(ops, function(a, b) return M.refers(a.was, b.was) end))
  local gone, dropped = {}, {}
  for _, op in ipairs(ops) do dropped[label_of(op)] = true end
  for _, op in ipairs(M.reversed(ops)) do -- as they would be created again
    local t = op.was
    gone[label_of(t)] = true
    op.was = without_keys(t, function(key)
      local ref = match.label(key.ref.schema, key.ref.table)
      return not dropped[ref] or gone[ref]
    end, function(key)
      return { op = "drop_foreign_key", schema = t.schema, table = t.name, name = key.name,
        was = key, phase = op.phase }
    end, out)
  end
  return ops, out
end

-- ---- sequences of columns -------------------------------------------------------

-- "orders.id" -> the table of the tree and "id"
local function owner_of(tree, object)
  local rest, column = object.owned_by:match "^(.*)%.([^.]*)$"
  for _, t in ipairs(rest and tree.tables or {}) do
    if label_of(t) == rest then
      for _, c in ipairs(t.columns) do
        if c.name == column then return t, c end
      end
    end
  end
end

local function without(e, field)
  local out = {}
  for key, value in pairs(e) do out[key] = value end
  out[field] = nil
  return out
end

-- The change that drops the column or its table.
local function drop_of(list, t, c)
  for _, op in ipairs(list) do
    if op.op == "drop_table" and op.name == t.name and op.schema == t.schema
      or op.op == "drop_column" and op.table == t.name and op.schema == t.schema
      and op.name == c.name then
      return op
    end
  end
end

-- A sequence is owned after its column is there.
local function own_later(p, op, out)
  local object = op.object
  if not object.owned_by or owner_of(p.live, object) then return end
  op.object = without(object, "owned_by")
  out[#out + 1] = { op = "replace_object", object = object, was = op.object, phase = op.phase,
    at = op.at, rank = { 65 } }
end

-- A sequence goes with its column, unless that lets go of it before.
local function let_go(p, op, out)
  local t, c
  if op.was.owned_by then t, c = owner_of(p.live, op.was) end
  local drop = t and drop_of(p.all, t, c)
  if not drop then return end
  op.phase, op.rank = drop.phase, { 65, 1 }
  out[#out + 1] = { op = "alter_column", schema = t.schema, table = t.name, name = c.name,
    set = { default = { none = true } }, was = { default = c.default }, phase = drop.phase,
    rank = { 65, 0 } }
  if drop.op == "drop_column" then
    drop.was = without(drop.was, "default")
  else
    local columns = {}
    for i, column in ipairs(drop.was.columns) do
      columns[i] = column.name == c.name and without(column, "default") or column
    end
    drop.was = without(drop.was, "columns")
    drop.was.columns = columns
  end
end

--- Sequences that belong to new or dropped columns: changes `p.all`.
-- @tparam table p { all = changes, live = tree }
function M.settle_sequences(p)
  local out = {}
  for _, op in ipairs(p.all) do
    local object = op.op == "create_object" and op.object or op.op == "drop_object" and op.was
    if object and object.kind == "sequence" then
      if op.op == "create_object" then own_later(p, op, out) else let_go(p, op, out) end
    end
  end
  for _, op in ipairs(out) do p.all[#p.all + 1] = op end
end

return M
