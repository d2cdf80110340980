--- Asking the server about the operations of a phase: which tables of the database it
-- would lock, read and write anew. Only tables of the default schema are asked about, and
-- only what does nothing but change them.
local core = require "perigee.core"
local model = require "perigee.schema.model"

local M = {}

local function set(text)
  local out = {}
  for word in text:gmatch "%S+" do out[word] = true end
  return out
end

-- Operations that may be run on a copy.
local STRUCTURED = set [[add_column drop_column alter_column set_primary_key drop_primary_key
  add_unique drop_unique add_foreign_key drop_foreign_key add_check drop_check validate add_index
  drop_index set_options]]
local RAW = set [[add_column drop_column alter_column set_primary_key add_unique add_foreign_key
  add_check add_exclusion validate add_index set_storage drop_constraint alter_other modify
  drop_index drop_foreign_key drop_primary_key]]

-- ---- what is copied --------------------------------------------------------

local function referred(unit)
  return unit.key and unit.key.ref or nil
end

-- The tables that a statement is about, with those at the other end of their foreign keys.
local function tables_for(c, units)
  local names = {}
  for _, unit in ipairs(units) do
    names[unit.table] = true
    local ref = referred(unit)
    if ref then names[ref.table] = true end
    for _, f in ipairs(c:find(nil, unit.table).foreign_keys or {}) do
      if not f.ref.schema then names[f.ref.table] = true end
    end
    for _, t in ipairs(c.tree.tables) do
      for _, f in ipairs(not t.schema and t.foreign_keys or {}) do
        if f.ref.table == unit.table and not f.ref.schema then names[t.name] = true end
      end
    end
  end
  return names
end

local function copied(t, names)
  local copy = model.copy(t)
  copy.foreign_keys = {}
  for _, f in ipairs(t.foreign_keys or {}) do
    if not f.ref.schema and names[f.ref.table] then
      copy.foreign_keys[#copy.foreign_keys + 1] = model.copy(f)
    end
  end
  local options = copy.options and copy.options.postgres
  if options then options.unlogged, options.tablespace = nil, nil end
  return copy
end

-- Adds an enum that a type needs, once.
local function add_enum(tree, ty)
  if not (ty and ty.enum and ty.values) or ty.schema then return end
  if not model.find_enum(tree, nil, ty.enum) then
    tree.enums[#tree.enums + 1] = { name = ty.enum, values = model.copy(ty.values) }
  end
end

local function small_tree(c, units)
  local tree, names = model.empty(), tables_for(c, units)
  for _, t in ipairs(c.tree.tables) do
    if not t.schema and names[t.name] then
      tree.tables[#tree.tables + 1] = copied(t, names)
      for _, column in ipairs(t.columns) do add_enum(tree, column.type) end
    end
  end
  for _, unit in ipairs(units) do
    add_enum(tree, unit.column and unit.column.type or unit.set and unit.set.type)
  end
  return tree
end

-- ---- what is asked ---------------------------------------------------------

local function is_known(c, unit)
  local ref = referred(unit)
  return type(unit.table) == "string" and unit.schema == nil and c:in_use(nil, unit.table)
    and c:find(nil, unit.table) ~= nil
    and (not ref or ref.schema == nil and c:find(nil, ref.table) ~= nil)
end

-- All that one statement of SQL does, when each of it may be run on a copy.
local function units_of_statement(c, unit)
  local units = {}
  for _, other in ipairs(c.all) do
    if other.origin == unit.origin and other.sql == unit.sql then
      if not RAW[other.op] or other.concurrently or not is_known(c, other) then return nil end
      units[#units + 1] = other
    end
  end
  return units
end

-- CONCURRENTLY is refused in a transaction, and the copies are empty.
local function in_transaction(sql)
  return (sql:gsub("^([%u ]* INDEX) CONCURRENTLY ", "%1 "))
end

local function steps_of(c, unit)
  local ok, steps = pcall(c.dialect.steps, unit, { online = c.online, fresh = {}, tree = c.tree })
  if not ok then
    if getmetatable(steps) ~= core.error then error(steps, 0) end
    return nil
  end
  local out = {}
  for i, step in ipairs(steps) do
    if step.fn then return nil end
    out[i] = { sql = in_transaction(step.otherwise or step.sql), keep = true,
      aside = c.dialect.features.transactional_ddl and step.tx == false }
  end
  return out
end

-- The facts of all steps as one. What is done CONCURRENTLY is not so on a copy.
local function merged(list, steps, stops_writes)
  local all = { rewrites = {}, scans = {}, rebuilds = {}, why = {}, steps = list }
  for i, facts in ipairs(list) do
    for _, field in ipairs { "rebuilds", "why" } do
      for name, v in pairs(facts[field] or {}) do all[field][name] = v end
    end
    for name in pairs(steps[i].aside and {} or facts.rewrites) do all.rewrites[name] = true end
    for name, mode in pairs(steps[i].aside and {} or facts.scans) do
      if stops_writes(mode) then all.scans[name] = mode end
    end
  end
  return all
end

--- What the server says of a unit: { rewrites, scans (while nobody writes), rebuilds (while
-- others write), why (by table), steps }; nil when it cannot be asked.
-- @tparam table space of the dialect's measure
-- @tparam table c context
-- @tparam table unit operation
function M.facts(space, c, unit)
  local units, steps
  if unit.raw then
    units = RAW[unit.op] and is_known(c, unit) and units_of_statement(c, unit)
    steps = { { sql = unit.sql, keep = false } }
  elseif STRUCTURED[unit.op] and is_known(c, unit) then
    units, steps = { unit }, steps_of(c, unit)
  end
  if not units or not steps then return nil end
  local list = space:facts(small_tree(c, units), steps)
  return list and merged(list, steps, c.dialect.stops_writes) or nil
end

-- ---- sizes -----------------------------------------------------------------

local function short(n, units, base)
  local i = 1
  while n >= base and i < #units do n, i = n / base, i + 1 end
  local text = (n < 10 and i > 1) and ("%.1f"):format(n) or ("%.0f"):format(n)
  return text .. units[i]
end

local ROWS = { " rows", " thousand rows", " million rows", " billion rows" }
local BYTES = { " bytes", " kB", " MB", " GB", " TB" }

--- "1.2 million rows, 41 GB"; nil for a table without rows.
function M.tell_size(size)
  if not size or size.rows == 0 then return nil end
  if size.rows < 0 then
    return size.bytes > 0 and short(size.bytes, BYTES, 1024) or nil
  end
  return short(size.rows, ROWS, 1000) .. ", " .. short(size.bytes, BYTES, 1024)
end

return M
