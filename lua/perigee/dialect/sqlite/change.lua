--- What operations make of one table, before it is built anew: the new table and where its
-- values come from.
local apply = require "perigee.schema.apply"
local ddl = require "perigee.dialect.sqlite.ddl"
local expression = require "perigee.dialect.sqlite.expression"
local lexer = require "perigee.dialect.sqlite.lexer"
local model = require "perigee.schema.model"
local ops = require "perigee.schema.ops"
local types = require "perigee.dialect.sqlite.types"

local M = {}

local quote = lexer.quote

local function find_check(t, test)
  for i, check in ipairs(t.checks or {}) do
    if test(check) then return check, i end
  end
end

--- The check of a table that is just the one that shall be added, or nil.
function M.same_check(t, wanted)
  local names = {}
  for _, c in ipairs(t.columns) do names[lexer.fold(c.name)] = c.name end
  return find_check(t, function(check)
    return check.name ~= nil and check.name == wanted.name
      and expression.text(check.sql, names) == expression.text(wanted.sql, names)
  end)
end

-- ---- enums -----------------------------------------------------------------

-- The check that stands for the enum of a column of a live table.
local function enum_check(t, column, enum)
  return find_check(t, function(check)
    return check.column == column and check.enum ~= nil and (not enum or check.enum == enum)
  end)
end

--- The columns of a table that have an enum: a list of names.
function M.enum_columns(t, enum)
  local list = {}
  for _, c in ipairs(t.columns) do
    if c.type and c.type.enum == enum or enum_check(t, c.name, enum) then
      list[#list + 1] = c.name
    end
  end
  return list
end

local function strings_of(sql)
  local values = {}
  for _, token in ipairs(lexer.tokens(sql)) do
    if token.kind == "string" then values[#values + 1] = token.text end
  end
  return values
end

local function renamed(values, op)
  local list = {}
  for i, v in ipairs(values) do list[i] = v == op.from and op.to or v end
  return list
end

local VALUES = {
  add_enum_value = apply.with_value,
  set_enum_values = function(_, op) return op.values end,
  rename_enum_value = renamed,
}

local function check_sql(column, values)
  local list = {}
  for i, v in ipairs(values) do list[i] = lexer.string(v) end
  return quote(column) .. " IN (" .. table.concat(list, ", ") .. ")"
end

local function follow_default(c, op)
  if not c.default then return end
  if c.default.value == op.from then c.default.value = op.to end
  if c.default.sql == lexer.string(op.from) then c.default.sql = lexer.string(op.to) end
end

-- One column of an enum whose values change.
local function change_enum(t, map, op)
  for _, name in ipairs(M.enum_columns(t, op.name)) do
    local c = model.column(t, name)
    local check = enum_check(t, name, op.name)
    local values = VALUES[op.op](check and strings_of(check.sql) or c.type.values or {}, op)
    if check then check.sql = check_sql(name, values) end
    if c.type.enum then c.type.values = model.copy(values) end
    if op.op == "rename_enum_value" then
      follow_default(c, op)
      map[name] = ("CASE %s WHEN %s THEN %s ELSE %s END"):format(quote(name),
        lexer.string(op.from), lexer.string(op.to), quote(name))
    end
  end
end

-- ---- operations that mean more on SQLite -----------------------------------

local STRICT = {
  int = "INTEGER", bool = "INTEGER", float = "REAL", numeric = "REAL", bytes = "BLOB",
  any = "ANY",
}

-- Types of a table that becomes STRICT.
local function make_strict(t)
  for _, c in ipairs(t.columns) do
    if c.type.raw and not types.is_strict(c.type.raw) then
      c.type = { raw = STRICT[(types.class_of(c.type.raw))] or "TEXT" }
    end
  end
end

local BEFORE = {}

function BEFORE.alter_column(t, map, op)
  local c = model.column(t, op.name)
  if c and c.sqlite and op.set.null == false then c.sqlite.null_key = nil end
  if op.using then map[op.name] = op.using end
  if op.set.type then
    local _, i = enum_check(t, op.name)
    if i then table.remove(t.checks, i) end
  end
end

function BEFORE.drop_column(_, map, op) map[op.name] = nil end

function BEFORE.add_check(t, _, op) return M.same_check(t, op.check) ~= nil end

-- These do nothing to a table of SQLite.
local function skip() return true end
BEFORE.validate, BEFORE.set_comment = skip, skip

for name in pairs(VALUES) do
  BEFORE[name] = function(t, map, op)
    change_enum(t, map, op)
    return true
  end
end

local AFTER = {}

-- Rows that are there get the default of now, whatever becomes of it later on.
function AFTER.add_column(_, map, op)
  if not op.column.generated then map[op.column.name] = ddl.default(op.column) end
end

-- A lone key that is declared INTEGER makes up values, whatever is said of it.
function AFTER.alter_column(t, _, op)
  local c = model.column(t, op.name)
  if c and op.set.identity and not c.identity and c.type.raw == "INTEGER" then
    c.type = { raw = "INT" }
  end
end

function AFTER.set_options(t)
  local options = t.options.sqlite
  if options and options.strict then make_strict(t) end
end

local function is_in(key, name)
  for _, column in ipairs(key and key.columns or {}) do
    if column == name then return true end
  end
  return false
end

-- An INTEGER column that is not the key any more makes up no values, and one that could be
-- NULL in the key is again what it was declared.
local function leave_key(t)
  local key = t.primary_key
  for _, c in ipairs(t.columns) do
    if c.identity and c.type.raw and not (is_in(key, c.name) and #key.columns == 1) then
      c.identity = nil
    end
    if c.sqlite and c.sqlite.null_key and not is_in(key, c.name) then
      c.null, c.sqlite.null_key = true, nil
    end
  end
end

--- Does one operation to the only table of a tree.
-- @tparam table t changed in place
-- @tparam table map { [new column] = expression over the old table }, changed in place
-- @tparam table op
function M.apply(t, map, op)
  local before, after = BEFORE[op.op], AFTER[op.op]
  if before and before(t, map, op) == true then return end
  local tree = model.empty()
  tree.tables[1] = t
  ops.apply(tree, op)
  if after then after(t, map, op) end
end

--- A function for rebuild.run: the operations one after the other.
-- @tparam {table,...} list operations on one table
function M.of(list)
  return function(before)
    local t, map = model.copy(before), {}
    for _, c in ipairs(t.columns) do map[c.name] = quote(c.name) end
    for _, op in ipairs(list) do M.apply(t, map, op) end
    leave_key(t)
    return t, map
  end
end

-- ---- names in expressions --------------------------------------------------

--- RENAME COLUMN as SQLite does it in the expressions of the table.
function M.rename_column(t, from, to)
  local function follow(e, field)
    if e[field] then e[field] = expression.rename(e[field], from, to) end
  end
  for _, c in ipairs(t.columns) do
    if c.generated then follow(c.generated, "sql") end
  end
  for _, check in ipairs(t.checks or {}) do follow(check, "sql") end
  for _, index in ipairs(t.indexes or {}) do
    follow(index, "where")
    for _, key in ipairs(index.keys) do follow(key, "sql") end
  end
end

return M
