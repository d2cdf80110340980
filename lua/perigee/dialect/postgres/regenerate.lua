--- A new expression for a generated column. Before version 17 the server cannot change
-- one: the column is dropped and added again at the end of the table, and what hung on it
-- (keys, checks, indexes, comment) is made again.
local ddl = require "perigee.dialect.postgres.ddl"
local inspect = require "perigee.dialect.postgres.inspect"
local step = require "perigee.dialect.postgres.step"
local types = require "perigee.dialect.postgres.types"
local util = require "perigee.util"

local M = {}

local SET_EXPRESSION = 170000

local function names_column(list, name)
  for _, c in ipairs(list or {}) do
    if c == name then return true end
  end
  return false
end

-- Is the column among the words of the text?
local function mentions(sql, name)
  return sql ~= nil and (sql:find(types.quote(name), 1, true) ~= nil
    or (" " .. sql .. " "):find("[^%w_$]" .. name:gsub("%p", "%%%0") .. "[^%w_$]") ~= nil)
end

local function is_indexed(i, name)
  for _, k in ipairs(i.keys) do
    if k.column == name or mentions(k.sql, name) then return true end
  end
  return names_column(i.include, name) or mentions(i.where, name)
end

-- What goes with the column when it is dropped.
local function dependants(t, name)
  local out, ctx = {}, { table = t }
  local function add(kind, e)
    for _, sql in ipairs(ddl.create(kind, e, ctx)) do out[#out + 1] = sql end
  end
  if t.primary_key and names_column(t.primary_key.columns, name) then
    add("primary_key", t.primary_key)
  end
  for _, k in ipairs(t.uniques) do
    if names_column(k.columns, name) or names_column(k.include, name) then add("unique", k) end
  end
  for _, x in ipairs(t.checks) do
    if mentions(x.sql, name) then add("check", x) end
  end
  for _, i in ipairs(t.indexes) do
    if is_indexed(i, name) then add("index", i) end
  end
  for _, f in ipairs(t.foreign_keys) do
    if names_column(f.columns, name) then add("foreign_key", f) end
  end
  return out
end

local function find(tree, op)
  for _, t in ipairs(tree.tables) do
    if t.name == op.table and t.schema == op.schema then
      for _, c in ipairs(t.columns) do
        if c.name == op.name then return t, c end
      end
    end
  end
  util.usage("there is no column %s.%s", step.key(op), op.name)
end

local function set_expression(op)
  return step.alter(op, ("ALTER COLUMN %s SET EXPRESSION AS (%s)"):format(
    types.quote(op.name), op.set.generated.sql))
end

-- The statements that make the column anew.
local function again(op, x)
  local t, c = find(inspect.inspect(x, { tables = { op.table },
    schemas = op.schema and { op.schema } or nil }), op)
  local new = {}
  for k, v in pairs(c) do new[k] = v end
  new.type = op.set.type or c.type
  new.generated, new.default, new.identity = op.set.generated, nil, nil
  if op.set.null ~= nil then new.null = op.set.null end
  local out = {
    step.alter(op, ("DROP COLUMN %s"):format(types.quote(op.name))),
    step.alter(op, "ADD COLUMN " .. types.column(new)),
  }
  for _, sql in ipairs(dependants(t, op.name)) do out[#out + 1] = sql end
  if c.comment then
    out[#out + 1] = ddl.comment { schema = op.schema, table = op.table, column = op.name,
      text = c.comment }
  end
  return out
end

--- The step. Its SQL is for reading, and for scripts for version 17 and later.
function M.step(op)
  return step.new(op, set_expression(op), {
    slow = true,
    fn = function(x)
      local is_new = inspect.settings(x).version >= SET_EXPRESSION
      local can_change = is_new and op.was and type(op.was.generated) == "table"
        and not op.was.generated.none and op.set.type == nil
      for _, sql in ipairs(can_change and { set_expression(op) } or again(op, x)) do
        x:script(sql)
      end
    end,
  })
end

return M
