--- preload: rows of other tables put into rows, with one query for each relation.
local core = require "perigee.core"
local crud = require "perigee.crud"
local tables = require "perigee.table"
local util = require "perigee.util"

local usage = util.usage
local M = {}

local FIELDS = {
  table = true, key = true, column = true, many = true, filter = true, order_by = true,
  columns = true, class = true, timeout = true,
}

local function allowed()
  local names = {}
  for k in pairs(FIELDS) do names[#names + 1] = k end
  table.sort(names)
  return table.concat(names, ", ")
end

local function check(name, r)
  if type(name) ~= "string" or type(r) ~= "table" then
    usage("preload: { name = { table =, key = } } is expected")
  end
  for k in pairs(r) do
    if not FIELDS[k] then
      usage("preload: %s: unknown field %q: allowed are %s", name, tostring(k), allowed())
    end
  end
  if r.table == nil then usage("preload: %s: table is missing", name) end
  if type(r.key) ~= "string" then
    usage("preload: %s: key: the name of a column is expected", name)
  end
  if r.column ~= nil and type(r.column) ~= "string" then
    usage("preload: %s: column: the name of a column is expected", name)
  end
  if r.columns ~= nil and type(r.columns) ~= "table" then
    usage("preload: %s: columns: a list of columns is expected, not %s", name,
      type(r.columns))
  end
end

-- The one column of a table's primary key.
local function single_pk(entry, name)
  if entry and entry.pk and #entry.pk == 1 then return entry.pk[1] end
  usage("preload: %s: say `column`: there is no primary key of one column", name)
end

-- A value as the key of a table: boxed integers of LuaJIT are not equal by rawequal.
local function index_of(v)
  return type(v) == "cdata" and tostring(v) or v
end

-- The different values of a field, as a list.
local function collect(rows, field)
  local seen, values = {}, {}
  for _, row in ipairs(rows) do
    local v = rawget(row, field)
    if v ~= nil and v ~= core.null and not seen[index_of(v)] then
      seen[index_of(v)] = true
      values[#values + 1] = v
    end
  end
  return values
end

-- The columns to read: those wanted, and the one to tell the rows apart by.
local function with_column(columns, column)
  if columns == nil then return nil, false end
  local list, has = {}, false
  for k, v in pairs(columns) do
    list[k] = v
    has = has or v == column and type(k) == "number" or k == column
  end
  if not has then list[#list + 1] = column end
  return list, not has
end

-- Rows of the other table by the value of `theirs`: lists, or the first of each.
local function group(rows, theirs, many, drop)
  local found = {}
  for _, row in ipairs(rows) do
    local k = index_of(rawget(row, theirs))
    if drop then rawset(row, theirs, nil) end
    if many then
      found[k] = found[k] or {}
      found[k][#found[k] + 1] = row
    elseif found[k] == nil then
      found[k] = row
    end
  end
  return found
end

-- No row has a value: has ours such a column at all?
local function need_ours(entry, name, column)
  if entry and not entry.by_name[column] then
    usage("preload: %s: the rows have no column %s", name, column)
  end
end

-- Raises usage when the other table has no such column.
local function need_column(x, h, name, column)
  if tables.entry(x, h).by_name[column] then return end
  local err = core.new_error("usage",
    ("preload: %s: there is no column %q in %s"):format(name, column, h.name))
  err.unknown = true
  error(err, 0)
end

-- The rows of the other table by the value of `theirs`.
local function read(x, h, r, theirs, values)
  local columns, drop = with_column(r.columns, theirs)
  local order = r.order_by
  if order == nil then order = tables.entry(x, h).pk end
  local list = crud.select(x, h, { r.filter or {}, [theirs] = values },
    { columns = columns, order_by = order, class = r.class, timeout = r.timeout })
  return group(list, theirs, r.many, drop)
end

local function load(x, rows, name, r, our_entry)
  local h = tables.resolve(x, r.table)
  local entry = tables.entry(x, h)
  local ours, theirs
  if r.many then
    ours, theirs = r.column or single_pk(our_entry, name), r.key
  else
    ours, theirs = r.key, r.column or single_pk(entry, name)
  end
  if name == ours then usage("preload: %s: the rows need their column %s", name, ours) end
  tables.call_all(need_column, x, h, name, theirs)
  local values = collect(rows, ours)
  if #values == 0 and #rows > 0 then need_ours(our_entry, name, ours) end
  local found = #values > 0 and read(x, h, r, theirs, values) or {}
  for _, row in ipairs(rows) do
    local v = rawget(row, ours)
    local other
    if v ~= nil then other = found[index_of(v)] end
    if other == nil and r.many then other = {} end
    rawset(row, name, other)
  end
end

local function check_rows(rows)
  local n = 0
  for _ in next, type(rows) == "table" and rows or {} do n = n + 1 end
  for i = 1, n do
    if type(rawget(rows, i)) ~= "table" then n = -1 end
  end
  if type(rows) ~= "table" or n < 0 then
    usage("preload(rows, relations): a list of rows is expected")
  end
end

local function preload(x, rows, relations, our_entry)
  check_rows(rows)
  if type(relations) ~= "table" then
    usage("preload(rows, relations): { name = { table =, key = } } is expected")
  end
  local names = {}
  for name, r in pairs(relations) do
    check(name, r)
    names[#names + 1] = name
  end
  table.sort(names)
  for _, name in ipairs(names) do load(x, rows, name, relations[name], our_entry) end
  return rows
end

--- Puts rows of other tables into these rows, which are changed: row[name] is the row
-- that row[key] names (many-to-one), or with many = true the list of those whose `key`
-- names our row. One query for each relation.
-- @tparam {table,...} rows
-- @tparam table relations { name = { table =, key =, column =, many =, filter =,
-- order_by =, columns = } }; column: of the other table, or with `many` of ours; default
-- the primary key
-- @treturn {table,...} rows
function M.preload(x, rows, relations)
  return preload(x, rows, relations, nil)
end

--- The same for rows of the handle's table, whose primary key is known.
function M.preload_of(x, h, rows, relations)
  return preload(x, rows, relations, tables.entry(x, h))
end

return M
