--- What stands in the way of a change on databases that refuse to alter what something
-- depends on (PostgreSQL): views, triggers, policies, generated columns and foreign keys
-- are dropped before it and created again behind it.
local follow = require "perigee.schema.diff.follow"
local match = require "perigee.schema.diff.match"
local tables = require "perigee.schema.diff.tables"

local M = {}

-- Objects on a table that keep its columns from being altered.
local GUARDS = { trigger = true, policy = true, rule = true }

local function find(list, schema, name)
  for _, e in ipairs(list or {}) do
    if e.name == name and e.schema == schema then return e end
  end
end

local function same_object(a, b)
  return a.kind == b.kind and a.name == b.name and a.schema == b.schema and a.on == b.on
end

local function find_object(list, object)
  for _, e in ipairs(list or {}) do
    if same_object(e, object) then return e end
  end
end

-- The element as the definitions have it, as it is wanted, or as it is.
local function future(p, list, live, look)
  return look(p.definitions[list], live) or look(p.wanted[list], live) or live
end

local function find_view(list, v) return find(list, v.schema, v.name) end

local function column_of(t, name)
  for _, column in ipairs(t and t.columns or {}) do
    if column.name == name then return column end
  end
end

-- ---- what is touched ----------------------------------------------------------

-- touched[label of table] = { schema, name, columns = { [column] = "type" | "drop" } }
local function touch(p, schema, name, column, how)
  local key = match.label(schema, name)
  p.touched[key] = p.touched[key] or { schema = schema, name = name, columns = {} }
  p.touched[key].columns[column] = how
end

-- The touched columns of a table.
local function touched_columns(p, schema, name)
  local entry = p.touched[match.label(schema, name)]
  return entry and entry.columns or {}
end

local function touch_enum(p, op)
  for _, t in ipairs(p.live.tables) do
    for _, column in ipairs(t.columns) do
      if column.type.enum == op.name and column.type.schema == op.schema then
        touch(p, t.schema, t.name, column.name, "type")
      end
    end
  end
end

local function collect(p)
  for _, op in ipairs(p.list) do
    if op.op == "alter_column" and (op.set.type or op.set.collation or op.set.generated) then
      touch(p, op.schema, op.table, op.name, "type")
    elseif op.op == "drop_column" then
      touch(p, op.schema, op.table, op.name, "drop")
    elseif op.op == "set_enum_values" then
      touch_enum(p, op)
    end
  end
end

-- ---- generated columns --------------------------------------------------------

local function is_pending(p, op_name, t, field, name)
  for i, op in ipairs(p.list) do
    if op.op == op_name and op.table == t.name and op.schema == t.schema and op[field] == name then
      return i
    end
  end
end

local DEPENDENTS = {
  { "uniques", "unique", "key" }, { "checks", "check", "check" },
  { "indexes", "index", "index" }, { "foreign_keys", "foreign_key", "key" },
}

-- Drops and adds again what uses the column, unless a change of its own does.
local function renew_dependents(p, live, wanted, definition, column)
  for _, kind in ipairs(DEPENDENTS) do
    local list, op, field = kind[1], kind[2], kind[3]
    for _, e in ipairs(live[list] or {}) do
      local later = e.name and find(definition[list], nil, e.name)
        or e.name and find(wanted[list], nil, e.name)
      if later and tables.uses(e, column) and not is_pending(p, "drop_" .. op, live, "name", e.name)
      then
        p:add { op = "drop_" .. op, schema = live.schema, table = live.name, name = e.name,
          was = e }
        p:add { op = "add_" .. op, schema = live.schema, table = live.name, [field] = later }
      end
    end
  end
end

-- A generated column is computed again: dropped and added.
local function renew_column(p, live, name, reason)
  local wanted = find(p.wanted.tables, live.schema, live.name) or live
  local definition = find(p.definitions.tables, live.schema, live.name) or wanted
  local old = column_of(live, name)
  local new = column_of(definition, name) or column_of(wanted, name)
  local at = is_pending(p, "alter_column", live, "name", name)
  if at then table.remove(p.list, at) end
  p:add { op = "drop_column", schema = live.schema, table = live.name, name = name, was = old,
    early = true, allows = { { rule = "drop-column", reason = reason } } }
  p:add { op = "add_column", schema = live.schema, table = live.name, column = new, at = new.at,
    late = true }
  renew_dependents(p, live, wanted, definition, name)
  touch(p, live.schema, live.name, name, "drop")
end

local COMPUTED = "its values are computed again"

-- Columns whose expression changed, or uses a column that changes.
local function renew_generated(p)
  local function renews(t, columns, column)
    local at = is_pending(p, "alter_column", t, "name", column.name)
    local set = at and p.list[at].set
    if set and set.generated then return set.generated.sql ~= nil end
    if not column.generated or columns[column.name] == "drop" then return false end
    for name, how in pairs(columns) do
      if how == "type" and name ~= column.name and follow.mentions(column.generated.sql, name) then
        return true
      end
    end
    return column.generated and set ~= nil and set.type ~= nil
  end
  for _, t in ipairs(p.live.tables) do
    local columns = touched_columns(p, t.schema, t.name)
    for _, column in ipairs(next(columns) and t.columns or {}) do
      if renews(t, columns, column) then
        renew_column(p, t, column.name, column.generated and COMPUTED or p.unstated)
      end
    end
  end
end

-- ---- foreign keys -------------------------------------------------------------

local function any_touched(columns, names)
  for _, name in ipairs(names or {}) do
    if columns[name] then return true end
  end
  return false
end

local function same_columns(a, b)
  local set = {}
  for _, name in ipairs(a or {}) do set[name] = true end
  for _, name in ipairs(b or {}) do
    if not set[name] then return false end
  end
  return #(a or {}) == #(b or {})
end

local KEY_GOES = { drop_primary_key = true, set_primary_key = true, drop_unique = true }

-- Does the key that it refers to go?
local function loses_key(p, ref)
  for _, op in ipairs(p.list) do
    if KEY_GOES[op.op] and op.was and op.table == ref.table and op.schema == ref.schema
      and same_columns(op.was.columns, ref.columns) then
      return true
    end
  end
  return false
end

-- When both ends change their type, they differ in between; and none may keep the key that
-- it refers to from being dropped.
local function renew_foreign_keys(p)
  for _, t in ipairs(p.live.tables) do
    local wanted = find(p.wanted.tables, t.schema, t.name)
    local definition = find(p.definitions.tables, t.schema, t.name) or wanted
    for _, key in ipairs(wanted and t.foreign_keys or {}) do
      local later = find(definition.foreign_keys, nil, key.name)
        or find(wanted.foreign_keys, nil, key.name)
      local both = any_touched(touched_columns(p, t.schema, t.name), key.columns)
        and any_touched(touched_columns(p, key.ref.schema, key.ref.table), key.ref.columns)
      if later and (both or loses_key(p, key.ref))
        and not is_pending(p, "drop_foreign_key", t, "name", key.name) then
        p:add { op = "drop_foreign_key", schema = t.schema, table = t.name, name = key.name,
          was = key }
        p:add { op = "add_foreign_key", schema = t.schema, table = t.name, key = later }
      end
    end
  end
end

-- ---- views and guards ---------------------------------------------------------

local function uses_touched(p, view)
  for _, entry in pairs(p.touched) do
    if follow.mentions(view.sql, entry.name) then
      for name in pairs(entry.columns) do
        if follow.mentions(view.sql, name) then return true end
      end
    end
  end
  return false
end

-- Is there something on the view?
local function is_used(p, v)
  for _, other in ipairs(p.live.views) do
    if other ~= v and follow.mentions(other.sql, v.name) then return true end
  end
  for _, object in ipairs(p.live.objects) do
    if match.is_on(object, v.schema, v.name) then return true end
  end
  return false
end

-- Adds the views that are on others of the set.
local function close_over(p, affected)
  local more = true
  while more do
    more = false
    for _, v in ipairs(p.live.views) do
      for other in pairs(affected) do
        if not affected[v] and follow.mentions(v.sql, other.name) then
          affected[v], more = true, true
          break
        end
      end
    end
  end
end

-- Does the text have a name that is renamed?
local function uses_renamed(p, text)
  for _, op in ipairs(p.list) do
    if (op.op == "rename_table" or op.op == "rename_column") and follow.mentions(text, op.name) then
      return true
    end
  end
  return false
end

-- The live views that have to go: those that use what is touched, those that are
-- replaced while others are on them or names in them change (as they were, they can be
-- created again only with the old names), and those on these.
local function affected_views(p)
  local affected = {}
  for _, v in ipairs(p.live.views) do
    affected[v] = uses_touched(p, v) or nil
  end
  for _, op in ipairs(p.list) do
    local v = op.op == "replace_view" and find_view(p.live.views, op.was)
    if v and (is_used(p, v) or uses_renamed(p, v.sql)) then affected[v] = true end
  end
  close_over(p, affected)
  return affected
end

-- The index in the list of the change of a view: "replace_view" or "drop_view".
local function change_of_view(p, v)
  for i, op in ipairs(p.list) do
    local name = op.was and type(op.was) == "table" and op.was.name or op.name
    if (op.op == "replace_view" or op.op == "drop_view") and name == v.name
      and (op.was or op).schema == v.schema then
      return i
    end
  end
end

local function renew_view(p, v)
  local i = change_of_view(p, v)
  local op = i and p.list[i]
  if op and op.op == "drop_view" then return end
  if op then table.remove(p.list, i) end
  local later = op and op.view or future(p, "views", v, find_view)
  p:add { op = "drop_view", schema = v.schema, name = v.name, was = v }
  p:add { op = "create_view", view = later, at = later.at }
end

local function renew_object(p, object)
  for i, op in ipairs(p.list) do
    if op.op == "drop_object" and same_object(op, object) then return end
    if op.op == "replace_object" and same_object(op.was, object) then
      table.remove(p.list, i)
      break
    end
  end
  local later = future(p, "objects", object, find_object)
  p:add { op = "drop_object", kind = object.kind, schema = object.schema, name = object.name,
    on = object.on, was = object }
  p:add { op = "create_object", object = later, at = later.at }
end

local function guards(p, object)
  if not GUARDS[object.kind] then return false end
  for _, entry in pairs(p.touched) do
    if match.is_on(object, entry.schema, entry.name) then
      for name in pairs(entry.columns) do
        if follow.mentions(object.sql, name) then return true end
      end
    end
  end
  for _, op in ipairs(p.list) do
    if op.op == "replace_object" and same_object(op.was, object) then
      return uses_renamed(p, object.sql)
    end
  end
  return false
end

local function renew_views(p)
  local affected = affected_views(p)
  for _, object in ipairs(p.live.objects) do
    local renews = guards(p, object)
    for v in pairs(affected) do renews = renews or match.is_on(object, v.schema, v.name) end
    if renews then renew_object(p, object) end
  end
  for _, v in ipairs(p.live.views) do
    if affected[v] then renew_view(p, v) end
  end
end

local function add(p, op)
  op.phase = p.phase
  p.list[#p.list + 1] = op
end

-- The live views that are dropped and created again.
local function renewed_views(p)
  local created, renewed = {}, {}
  for _, op in ipairs(p.list) do
    if op.op == "create_view" then created[match.label(op.view.schema, op.view.name)] = true end
  end
  for _, op in ipairs(p.list) do
    local v = op.op == "drop_view" and created[match.label(op.schema, op.name)]
      and find_view(p.live.views, op)
    if v then renewed[v] = true end
  end
  return renewed
end

--- The same where nothing but views stands in the way (SQLite): what is on a view that is
-- dropped and created again.
-- @tparam table p as of extend
function M.extend_views(p)
  p.add = add
  local affected = renewed_views(p)
  close_over(p, affected)
  for _, object in ipairs(p.live.objects) do
    for v in pairs(affected) do
      if match.is_on(object, v.schema, v.name) then renew_object(p, object) end
    end
  end
  for _, v in ipairs(p.live.views) do
    if affected[v] then renew_view(p, v) end
  end
end

--- Adds to the changes of one phase what has to be dropped and created again.
-- @tparam table p { list = changes, live=, wanted=, definitions=, phase=, unstated = the
--   reason that stands for none }; the list is changed
function M.extend(p)
  p.touched, p.add = {}, add
  collect(p)
  renew_generated(p)
  renew_foreign_keys(p)
  renew_views(p)
end

return M
