--- What operations do to a tree; see ops.apply. The text of expressions is left as it is:
-- the database changes names in there by itself.
local check = require "perigee.schema.check"
local model = require "perigee.schema.model"
local names = require "perigee.schema.names"

local copy = model.copy
local M = {}

-- ---- helpers ---------------------------------------------------------------

local function fail(op, text, ...)
  check.fail(op.at, "%s: %s", op.describe, text:format(...))
end

local function key_of(schema, name)
  return model.key { schema = schema, name = name }
end

local function need_table(tree, op, name)
  local t, i = model.find(tree, op.schema, name or op.table)
  if not t then fail(op, 'there is no table "%s"', key_of(op.schema, name or op.table)) end
  return t, i
end

local function need_column(t, op, name)
  local c, i = model.column(t, name)
  if not c then fail(op, 'there is no column "%s"', name) end
  return c, i
end

local function same_list(a, b)
  if #(a or {}) ~= #(b or {}) then return false end
  for i, v in ipairs(a or {}) do
    if v ~= b[i] then return false end
  end
  return true
end

local function is_same(e, was)
  if was.sql then return e.sql == was.sql end
  return was.columns and same_list(e.columns, was.columns)
end

-- The element of a list by its name; one without a name by what it was.
local function find_element(list, name, was)
  for i, e in ipairs(list or {}) do
    if name and e.name == name then return e, i end
  end
  if not was then return nil end
  for i, e in ipairs(list or {}) do
    if not e.name and is_same(e, was) then return e, i end
  end
end

local function has(list, name)
  for _, v in ipairs(list or {}) do
    if v == name then return true end
  end
  return false
end

local function replace(list, from, to)
  for i, v in ipairs(list or {}) do
    if v == from then list[i] = to end
  end
end

-- Removes the elements for which f is true.
local function remove_if(list, f)
  for i = #(list or {}), 1, -1 do
    if f(list[i]) then table.remove(list, i) end
  end
end

-- Calls fn(column type) with each type of an enum.
local function each_enum_type(tree, op, fn)
  for _, t in ipairs(tree.tables) do
    for _, c in ipairs(t.columns) do
      if c.type.enum == op.name and c.type.schema == op.schema then fn(c.type) end
    end
  end
end

-- Every foreign key that refers to a table.
local function each_reference(tree, t, fn)
  for _, other in ipairs(tree.tables) do
    for _, f in ipairs(other.foreign_keys or {}) do
      if f.ref.table == t.name and f.ref.schema == t.schema then fn(f) end
    end
  end
end

-- ---- enums -----------------------------------------------------------------

--- The values of an enum after an add_enum_value.
function M.with_value(values, op)
  local list, done = {}, false
  for _, v in ipairs(values) do
    if v == op.before then list[#list + 1], done = op.value, true end
    list[#list + 1] = v
    if v == op.after then list[#list + 1], done = op.value, true end
  end
  if not done then list[#list + 1] = op.value end
  return list
end

local function set_values(tree, op, change)
  local e = model.find_enum(tree, op.schema, op.name)
  if e then e.values = change(e.values) end
  each_enum_type(tree, op, function(ty) ty.values = change(ty.values or {}) end)
end

local APPLY = {}

function APPLY.create_enum(tree, op)
  if model.find_enum(tree, op.schema, op.name) then fail(op, "the enum is there already") end
  tree.enums[#tree.enums + 1] = {
    schema = op.schema, name = op.name, values = copy(op.values), at = copy(op.at),
  }
end

function APPLY.drop_enum(tree, op)
  local _, i = model.find_enum(tree, op.schema, op.name)
  if i then table.remove(tree.enums, i) end
end

function APPLY.add_enum_value(tree, op)
  set_values(tree, op, function(values) return M.with_value(values, op) end)
end

function APPLY.rename_enum_value(tree, op)
  set_values(tree, op, function(values)
    local list = copy(values)
    replace(list, op.from, op.to)
    return list
  end)
end

function APPLY.set_enum_values(tree, op)
  set_values(tree, op, function() return copy(op.values) end)
end

-- ---- schemas and tables ----------------------------------------------------

function APPLY.create_schema(tree, op)
  tree.schemas = tree.schemas or {}
  if not has(tree.schemas, op.name) then tree.schemas[#tree.schemas + 1] = op.name end
end

function APPLY.drop_schema(tree, op)
  remove_if(tree.schemas, function(name) return name == op.name end)
end

function APPLY.create_table(tree, op)
  local t = copy(op.table)
  if model.find(tree, t.schema, t.name) then fail(op, "the table is there already") end
  t.at = t.at or copy(op.at)
  for _, field in ipairs { "uniques", "foreign_keys", "checks", "indexes", "options" } do
    t[field] = t[field] or {}
  end
  tree.tables[#tree.tables + 1] = t
end

-- Does the object stand on the table, which it names with its schema or has it itself?
local function is_on(o, t)
  return o.on == t.name and o.schema == t.schema or o.on == model.key(t)
end

function APPLY.drop_table(tree, op)
  local t, i = need_table(tree, op, op.name)
  table.remove(tree.tables, i)
  remove_if(tree.objects, function(o) return is_on(o, t) end)
end

function APPLY.rename_table(tree, op)
  local t = need_table(tree, op, op.name)
  if model.find(tree, op.schema, op.to) then fail(op, "there is already a table %s", op.to) end
  local from, to = model.key(t), key_of(op.schema, op.to)
  each_reference(tree, t, function(f) f.ref.table = op.to end)
  for _, o in ipairs(tree.objects or {}) do
    if is_on(o, t) then o.on = o.on == t.name and op.to or to end
    replace(o.after, from, to)
  end
  for _, v in ipairs(tree.views or {}) do replace(v.after, from, to) end
  t.name = op.to
end

function APPLY.set_options(tree, op)
  need_table(tree, op).options = copy(op.options)
end

-- What a comment is of.
local function commented(tree, op)
  if op.kind == "index" then
    return (find_element(need_table(tree, op).indexes, op.name))
  elseif op.kind == "view" or op.kind == "enum" then
    return (model["find_" .. op.kind](tree, op.schema, op.name))
  elseif op.kind and op.kind ~= "table" and op.kind ~= "column" then
    return (model.find_object(tree,
      { kind = op.kind, schema = op.schema, name = op.name, on = op.table }))
  end
  local t = need_table(tree, op)
  return op.column and need_column(t, op, op.column) or t
end

function APPLY.set_comment(tree, op)
  local e = commented(tree, op)
  if e then e.comment = op.text end
end

-- ---- columns ---------------------------------------------------------------

function APPLY.add_column(tree, op)
  local t = need_table(tree, op)
  if model.column(t, op.column.name) then fail(op, "the column is there already") end
  t.columns[#t.columns + 1] = copy(op.column)
end

local function index_has(index, name)
  for _, key in ipairs(index.keys) do
    if key.column == name or key.sql and names.mentioned(
      { columns = { { name = name } } }, key.sql)[1] then return true end
  end
  return has(index.include, name)
    or index.where ~= nil and names.mentioned({ columns = { { name = name } } }, index.where)[1]
end

-- With a column go the keys, constraints and indexes of its table that have it.
function APPLY.drop_column(tree, op)
  local t = need_table(tree, op)
  local _, i = need_column(t, op, op.name)
  local function in_key(k) return has(k.columns, op.name) end
  remove_if(t.checks, function(x)
    return x.column == op.name or has(names.mentioned(t, x.sql), op.name)
  end)
  remove_if(t.indexes, function(x) return index_has(x, op.name) end)
  remove_if(t.uniques, in_key)
  remove_if(t.foreign_keys, in_key)
  if t.primary_key and in_key(t.primary_key) then t.primary_key = nil end
  table.remove(t.columns, i)
end

function APPLY.rename_column(tree, op)
  local t = need_table(tree, op)
  local c = need_column(t, op, op.name)
  if model.column(t, op.to) then fail(op, 'there is already a column "%s"', op.to) end
  c.name = op.to
  if t.primary_key then replace(t.primary_key.columns, op.name, op.to) end
  for _, k in ipairs(t.uniques or {}) do replace(k.columns, op.name, op.to) end
  for _, f in ipairs(t.foreign_keys or {}) do replace(f.columns, op.name, op.to) end
  for _, x in ipairs(t.checks or {}) do
    if x.column == op.name then x.column = op.to end
  end
  for _, index in ipairs(t.indexes or {}) do
    for _, key in ipairs(index.keys) do
      if key.column == op.name then key.column = op.to end
    end
    replace(index.include, op.name, op.to)
  end
  each_reference(tree, t, function(f) replace(f.ref.columns, op.name, op.to) end)
end

function APPLY.alter_column(tree, op)
  local c = need_column(need_table(tree, op), op, op.name)
  for k, v in pairs(op.set) do
    local none = type(v) == "table" and v.none
    c[k] = not none and copy(v) or nil
    if v == false then c[k] = false end
  end
end

-- ---- keys, constraints, indexes --------------------------------------------

local function add(list_name, field)
  return function(tree, op)
    local t = need_table(tree, op)
    local e = op[field]
    t[list_name] = t[list_name] or {}
    if e.name and find_element(t[list_name], e.name) then
      fail(op, "there is already one of that name")
    end
    t[list_name][#t[list_name] + 1] = copy(e)
  end
end

local function drop(list_name)
  return function(tree, op)
    local t = need_table(tree, op)
    local _, i = find_element(t[list_name], op.name, op.was)
    if not i then fail(op, "it is not there") end
    table.remove(t[list_name], i)
  end
end

APPLY.add_unique, APPLY.drop_unique = add("uniques", "key"), drop "uniques"
APPLY.add_foreign_key = add("foreign_keys", "key")
APPLY.drop_foreign_key = drop "foreign_keys"
APPLY.add_check, APPLY.drop_check = add("checks", "check"), drop "checks"
APPLY.add_index, APPLY.drop_index = add("indexes", "index"), drop "indexes"

function APPLY.set_primary_key(tree, op)
  local t = need_table(tree, op)
  for _, name in ipairs(op.key.columns) do need_column(t, op, name).null = false end
  t.primary_key = copy(op.key)
end

function APPLY.drop_primary_key(tree, op)
  need_table(tree, op).primary_key = nil
end

local function find_constraint(t, name)
  if t.primary_key and t.primary_key.name == name then return t.primary_key end
  for _, field in ipairs { "uniques", "foreign_keys", "checks" } do
    local e = find_element(t[field], name)
    if e then return e end
  end
end

function APPLY.validate(tree, op)
  local e = find_constraint(need_table(tree, op), op.name)
  if not e then fail(op, "it is not there") end
  e.valid = nil
end

function APPLY.rename_constraint(tree, op)
  local e = find_constraint(need_table(tree, op), op.name)
  if not e then fail(op, "it is not there") end
  e.name = op.to
end

function APPLY.rename_index(tree, op)
  local t = need_table(tree, op)
  local e = find_element(t.indexes, op.name) or find_constraint(t, op.name)
  if not e then fail(op, "it is not there") end
  e.name = op.to
end

-- ---- views and other objects -----------------------------------------------

function APPLY.create_view(tree, op)
  if model.find_view(tree, op.view.schema, op.view.name) then
    fail(op, "the view is there already")
  end
  tree.views[#tree.views + 1] = copy(op.view)
end

function APPLY.drop_view(tree, op)
  local _, i = model.find_view(tree, op.schema, op.name)
  if not i then fail(op, "it is not there") end
  table.remove(tree.views, i)
end

function APPLY.replace_view(tree, op)
  local _, i = model.find_view(tree, op.view.schema, op.view.name)
  tree.views[i or #tree.views + 1] = copy(op.view)
end

function APPLY.create_object(tree, op)
  if model.find_object(tree, op.object) then fail(op, "it is there already") end
  tree.objects[#tree.objects + 1] = copy(op.object)
end

function APPLY.drop_object(tree, op)
  local _, i = model.find_object(tree, op)
  if not i then fail(op, "it is not there") end
  table.remove(tree.objects, i)
end

function APPLY.replace_object(tree, op)
  local _, i = model.find_object(tree, op.object)
  tree.objects[i or #tree.objects + 1] = copy(op.object)
end

-- What a program in SQL or Lua does is not known here.
local function nothing() end
APPLY.backfill, APPLY.sql, APPLY.run = nothing, nothing, nothing

--- See ops.apply.
-- @tparam table tree
-- @tparam table op
-- @tparam string describe what the operation does, for messages
function M.apply(tree, op, describe)
  APPLY[op.op](tree, setmetatable({ describe = describe }, { __index = op }), op)
  return tree
end

return M
