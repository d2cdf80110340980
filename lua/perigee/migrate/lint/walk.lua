--- What the rules see: the operations of a phase one after the other, each with the
-- tables as they are before it. SQL of one's own is there as what it does (raw.lua).
local kinds = require "perigee.migrate.lint.kinds"
local model = require "perigee.schema.model"
local ops = require "perigee.schema.ops"
local raw = require "perigee.migrate.lint.raw"
local statement = require "perigee.migrate.lint.statement"

local M = {}

local Context = { kinds = kinds }
Context.__index = Context

local DEFAULT_SCHEMA = { postgres = "public", sqlite = "main" }

-- ---- units -----------------------------------------------------------------

local BODIES = { ["function"] = true, procedure = true, trigger = true, domain = true,
  exclusion = true }

-- The text of an object that says more than its kind.
local function body_of(op)
  local o = (op.op == "create_object" or op.op == "replace_object") and op.object
  return o and BODIES[o.kind] and o.sql or nil
end

-- Names in the default schema have none.
local function without_default(unit, default)
  local list = { unit }
  local t = type(unit.table) == "table" and unit.table or nil
  list[#list + 1] = t
  list[#list + 1] = unit.view
  list[#list + 1] = unit.key and unit.key.ref
  for _, f in ipairs(t and t.foreign_keys or {}) do list[#list + 1] = f.ref end
  for _, e in ipairs(list) do
    if e.schema == default then e.schema = nil end
  end
  return unit
end

local function add_raw(list, op, given, c)
  for i, unit in ipairs(raw.operations(given, c.name)) do
    unit.origin, unit.statement = op, i
    list[#list + 1] = without_default(unit, c.default_schema)
  end
end

-- The operations of a phase and, behind each that is SQL, what it does.
local function units_of(list, c)
  local units = {}
  for _, op in ipairs(list) do
    units[#units + 1] = op
    local body = body_of(op)
    if op.op == "sql" then
      add_raw(units, op, op, c)
    elseif body then
      add_raw(units, op, { op = "sql", text = { default = body }, at = op.at }, c)
    end
  end
  return units
end

-- ---- what rules ask --------------------------------------------------------

--- All units of the phase.
function Context:units() return self.all end

--- The table as it is before the operation, or nil when it is not known.
function Context:find(schema, name)
  return (model.find(self.tree, schema, name))
end

--- Was the table there before the migration?
function Context:in_use(schema, name)
  return not self.fresh[model.key { schema = schema, name = name or "?" }]
end

--- Does the operation let others work, as Perigee does it?
function Context:is_online(op)
  return self.online and not op.raw and op.concurrently ~= false
end

--- The types of a column before and after: kinds, each nil when it is not known. Nothing
-- when the type stays.
function Context:type_change(op)
  local ty = op.op == "modify" and op.column.type or op.set and op.set.type
  if not ty then return nil, nil end
  local t = self:find(op.schema, op.table)
  local column = t and model.column(t, op.name)
  local from = kinds.of(column and column.type or op.was and op.was.type)
  local to = kinds.of(ty)
  if from and kinds.same(from, to) then return nil, nil end
  return from, to
end

--- Is the column known to be NOT NULL already?
function Context:is_not_null(op)
  local t = self:find(op.schema, op.table)
  local column = t and model.column(t, op.name)
  return column ~= nil and column.null == false
end

-- Calls see(unit) for the units behind the current one until it gives something.
local function behind(c, see)
  for i = c.at + 1, #c.all do
    local found = see(c.all[i])
    if found then return found end
  end
  return nil
end

local function is_on(unit, schema, name)
  return unit.table == name and unit.schema == schema
end

--- Is the table given a primary key later in the phase?
function Context:sets_key_later(op)
  return behind(self, function(unit)
    return unit.op == "set_primary_key" and is_on(unit, op.table.schema, op.table.name)
  end)
end

--- Is an index that begins with these columns made later in the phase?
function Context:index_follows(_, t, columns)
  return behind(self, function(unit)
    if unit.op ~= "add_index" or not is_on(unit, t.schema, t.name) then return false end
    for i, name in ipairs(columns) do
      if not unit.index.keys[i] or unit.index.keys[i].column ~= name then return false end
    end
    return true
  end)
end

--- Is a view with the old name of the table made later in the phase?
function Context:view_follows(op)
  return behind(self, function(unit)
    return unit.op == "create_view" and unit.view.name == op.name
      and unit.view.schema == op.schema
  end)
end

--- A view that has the column of the operation, as far as its words tell.
function Context:view_with(op)
  for _, view in ipairs(self.tree.views or {}) do
    local has_table, has_column = false, false
    for _, token in ipairs(statement.tokens(view.sql or "", self.name)) do
      has_table = has_table or token.name == op.table
      has_column = has_column or token.name == op.name
    end
    if has_table and has_column then return view end
  end
  return nil
end

--- May a table that was there before have a column of the enum?
function Context:enum_in_use(op)
  if not model.find_enum(self.tree, op.schema, op.name) then
    return not self.fresh_enums[op.name]
  end
  for _, t in ipairs(self.tree.tables) do
    for _, column in ipairs(self:in_use(t.schema, t.name) and t.columns or {}) do
      if column.type and column.type.enum == op.name then return true end
    end
  end
  return false
end

--- The foreign key that an operation names.
function Context:foreign_key(op)
  local t = self:find(op.schema, op.table)
  for _, f in ipairs(t and t.foreign_keys or {}) do
    if f.name == op.name then return f end
  end
  return nil
end

-- ---- walking ---------------------------------------------------------------

local APPLIED = {
  drop_table = true, drop_column = true, rename_column = true, rename_table = true,
  add_column = true, create_table = true, create_schema = true,
}

-- Changes the tree. What it does not have stays unknown.
local function apply(c, unit)
  if unit.op == "create_table" then c.fresh[model.key(unit.table)] = true end
  if unit.op == "create_enum" then c.fresh_enums[unit.name] = true end
  if unit.op == "rename_table" then
    local old = model.key { schema = unit.schema, name = unit.name }
    c.fresh[model.key { schema = unit.schema, name = unit.to }] = c.fresh[old]
  end
  if not unit.raw or APPLIED[unit.op] then pcall(ops.apply, c.tree, unit) end
end

--- Goes through a phase.
-- @tparam table o name (of the dialect), dialect, online, tree (is changed), default_schema
-- @tparam {table,...} list operations
-- @tparam function visit visit(unit, context): before the unit is applied to the tree
-- @treturn table the context
function M.phase(o, list, visit)
  local c = setmetatable({
    name = o.name, dialect = o.dialect, online = o.online ~= false, tree = o.tree,
    default_schema = o.default_schema or DEFAULT_SCHEMA[o.name], fresh = {}, fresh_enums = {},
    at = 0,
  }, Context)
  c.all = units_of(list, c)
  for i, unit in ipairs(c.all) do
    c.at = i
    visit(unit, c)
    apply(c, unit)
  end
  return c
end

--- Applies operations to a tree without looking at them.
function M.apply(o, list)
  M.phase(o, list, function() end)
end

return M
