--- Operations on enums. MySQL keeps the values with each column: each column that has the
-- enum is changed by itself.
local types = require "perigee.dialect.mysql.types"
local util = require "perigee.util"

local quote, qualified, usage = types.quote, types.qualified, util.usage
local M = {}

-- The columns of an enum: { table, column }.
local function columns_of(op, ctx)
  if not ctx.tree then
    usage("%s: MySQL keeps the values of an enum with each column, and does not say which "
      .. "columns have this one: alter_column(…, { type = enum_type(%q, {…}) })", op.name, op.name)
  end
  local out = {}
  for _, t in ipairs(ctx.tree.tables) do
    for _, c in ipairs(t.columns) do
      if c.type and c.type.enum == op.name and c.type.schema == op.schema then
        out[#out + 1] = { table = t, column = c }
      end
    end
  end
  return out
end

local function modify_all(op, ctx, values, out)
  for _, pair in ipairs(columns_of(op, ctx)) do
    local c = pair.column
    c.type = { enum = op.name, schema = op.schema, values = values }
    out[#out + 1] = ("ALTER TABLE %s MODIFY COLUMN %s"):format(
      qualified(pair.table.schema, pair.table.name), types.column(c))
  end
  return out
end

local function values_now(op, ctx)
  local first = columns_of(op, ctx)[1]
  return first and first.column.type.values or {}
end

local function position(list, value)
  for i, v in ipairs(list) do
    if v == value then return i end
  end
  return nil
end

function M.create_enum() return {} end
M.drop_enum = M.create_enum

function M.add_enum_value(op, ctx)
  local values, at = {}, nil
  for i, v in ipairs(values_now(op, ctx)) do values[i] = v end
  if op.before then
    at = position(values, op.before)
  elseif op.after then
    at = (position(values, op.after) or #values) + 1
  end
  table.insert(values, at or #values + 1, op.value)
  return modify_all(op, ctx, values, {})
end

function M.set_enum_values(op, ctx) return modify_all(op, ctx, op.values, {}) end

-- Both values are allowed while the rows change.
function M.rename_enum_value(op, ctx)
  local old = values_now(op, ctx)
  local both, new = {}, {}
  for i, v in ipairs(old) do
    both[i], new[i] = v, v == op.from and op.to or v
  end
  both[#both + 1] = op.to
  local out = modify_all(op, ctx, both, {})
  for _, pair in ipairs(columns_of(op, ctx)) do
    local c = quote(pair.column.name)
    out[#out + 1] = ("UPDATE %s SET %s = %s WHERE %s = %s"):format(
      qualified(pair.table.schema, pair.table.name), c, types.literal(op.to), c,
      types.literal(op.from))
  end
  return modify_all(op, ctx, new, out)
end

return M
