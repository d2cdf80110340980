--- What the files about steps share: how a step is made, and whether a table has to be
-- changed while it is in use.
local ops = require "perigee.schema.ops"
local types = require "perigee.dialect.postgres.types"

local M = {}

--- A step of an operation: in a transaction, with strong locks, unless `fields` say
-- otherwise.
-- @treturn table
function M.new(op, sql, fields)
  local step = { sql = sql, tx = true, lock = true, what = ops.describe(op) }
  for k, v in pairs(fields or {}) do step[k] = v end
  return step
end

--- Steps of several statements.
function M.list(op, sqls, fields)
  local out = {}
  for i, sql in ipairs(sqls) do out[i] = M.new(op, sql, fields) end
  return out
end

--- "schema.table", or "table" in the default schema.
function M.key(op)
  return op.schema and op.schema .. "." .. op.table or op.table
end

local function table_of(tree, op)
  for _, t in ipairs(tree and tree.tables or {}) do
    if t.schema == op.schema and t.name == op.table then return t end
  end
  return nil
end

--- Is the table partitioned? Known from ctx.partitioned (names) or ctx.tree.
function M.is_partitioned(op, ctx)
  if ctx.partitioned and ctx.partitioned[M.key(op)] then return true end
  local t = table_of(ctx.tree, op)
  local o = t and t.options and t.options.postgres
  return o ~= nil and o.partition_by ~= nil
end

--- Is the table to be changed without stopping those who use it? Not when it was made in
-- this migration. Partitioned tables cannot have most of these forms.
function M.is_online(op, ctx)
  if not ctx.online or ctx.fresh and ctx.fresh[M.key(op)] then return false end
  return not M.is_partitioned(op, ctx)
end

--- The column of ctx.tree that the operation is about, or nil.
function M.column(op, ctx)
  local t = table_of(ctx.tree, op)
  for _, c in ipairs(t and t.columns or {}) do
    if c.name == op.name then return c end
  end
  return nil
end

--- `ALTER TABLE "t" …`
function M.alter(op, action)
  return ("ALTER TABLE %s %s"):format(types.qualified(op.schema, op.table), action)
end

--- A name as the text that regclass and regtype read.
function M.reference(schema, name)
  return types.literal(types.qualified(schema, name))
end

--- A text in dollar quotes whose tag is not in it.
function M.dollars(text, tag)
  tag = tag or "perigee"
  while text:find("$" .. tag .. "$", 1, true) do tag = tag .. "_" end
  return ("$%s$%s$%s$"):format(tag, text, tag)
end

--- Runs `first`; when the server says that what is there cannot be replaced by it, the
-- `others` one by one.
-- @tparam string condition of PL/pgSQL
function M.replace(first, condition, others)
  local body = { "\nBEGIN\n  EXECUTE ", M.dollars(first, "sql"), ";\nEXCEPTION WHEN ", condition,
    " THEN\n" }
  for _, sql in ipairs(others) do
    body[#body + 1] = "  EXECUTE " .. M.dollars(sql, "sql") .. ";\n"
  end
  body[#body + 1] = "END\n"
  return "DO " .. M.dollars(table.concat(body))
end

return M
