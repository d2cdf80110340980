--- One operation as the steps that carry it out.
local columns = require "perigee.dialect.postgres.step_columns"
local ddl = require "perigee.dialect.postgres.ddl"
local enums = require "perigee.dialect.postgres.step_enums"
local keys = require "perigee.dialect.postgres.step_keys"
local objects = require "perigee.dialect.postgres.step_objects"
local ops = require "perigee.schema.ops"
local step = require "perigee.dialect.postgres.step"
local types = require "perigee.dialect.postgres.types"
local util = require "perigee.util"

local quote, qualified = types.quote, types.qualified
local M = {}

local STEPS = {}
for _, part in ipairs { columns, enums, keys, objects } do
  for name, fn in pairs(part) do STEPS[name] = fn end
end

function STEPS.create_schema(op) return step.list(op, ddl.create("schema", op)) end
function STEPS.drop_schema(op) return step.list(op, ddl.drop("schema", op)) end

-- Adds the steps for a part of a new table, which say what they do themselves.
local function add_part(steps, op, sqls, part)
  part.schema, part.table = op.table.schema, op.table.name
  for _, s in ipairs(step.list(op, sqls)) do
    s.what = ops.describe(part)
    steps[#steps + 1] = s
  end
end

-- With its indexes, and foreign keys to tables that are there.
function STEPS.create_table(op)
  local t = op.table
  local steps, ctx = step.list(op, ddl.create("table", t)), { table = t }
  for _, i in ipairs(t.indexes or {}) do
    add_part(steps, op, ddl.create("index", i, ctx), { op = "add_index", index = i })
  end
  for _, f in ipairs(t.foreign_keys or {}) do
    add_part(steps, op, ddl.create("foreign_key", f, ctx), { op = "add_foreign_key", key = f })
  end
  return steps
end

function STEPS.drop_table(op) return step.list(op, ddl.drop("table", op)) end

function STEPS.rename_table(op)
  return { step.new(op, ("ALTER TABLE %s RENAME TO %s"):format(
    qualified(op.schema, op.name), quote(op.to))) }
end

function STEPS.set_comment(op)
  return { step.new(op, ddl.comment { kind = op.kind, schema = op.schema, table = op.table,
    name = op.name or op.table, on = op.table, column = op.column, text = op.text }) }
end

-- ---- options ---------------------------------------------------------------

local function of_postgres(options)
  return ddl.options { options = options }
end

-- SET for what is new or other, RESET for what is gone.
local function storage(op, with, was, out)
  local set, reset = {}, {}
  for k, v in pairs(with) do
    if tostring(was[k]) ~= tostring(v) then set[k] = v end
  end
  for k in pairs(was) do
    if with[k] == nil then reset[#reset + 1] = k end
  end
  table.sort(reset)
  if next(set) then out[#out + 1] = step.alter(op, "SET " .. ddl.parameters(set)) end
  if #reset > 0 then
    out[#out + 1] = step.alter(op, "RESET (" .. table.concat(reset, ", ") .. ")")
  end
end

local function flag(o, k) return o[k] or false end

-- Row security that changes.
local function security(op, o, was)
  local change = {}
  for _, k in ipairs { "row_security", "force_row_security" } do
    if flag(o, k) ~= flag(was, k) then change[k] = flag(o, k) end
  end
  return ddl.row_security({ schema = op.schema, name = op.table }, change)
end

function STEPS.set_options(op)
  local o, was = of_postgres(op.options), of_postgres(op.was)
  if o.partition_by ~= was.partition_by then
    util.usage("%s: how a table is partitioned cannot be changed: make a new one",
      step.key(op))
  end
  local out = {}
  storage(op, o.with or {}, was.with or {}, out)
  local moves = flag(o, "unlogged") ~= flag(was, "unlogged")
  if moves then out[#out + 1] = step.alter(op, o.unlogged and "SET UNLOGGED" or "SET LOGGED") end
  for _, sql in ipairs(security(op, o, was)) do out[#out + 1] = sql end
  return step.list(op, out, { slow = moves or nil })
end

--- The steps of an operation.
-- @tparam table op not sql, run or backfill
-- @tparam table ctx online, fresh, partitioned (set of names of partitioned tables),
-- tree (optional)
-- @treturn {table,...}
-- @raise usage for what cannot be done
function M.steps(op, ctx)
  local fn = STEPS[op.op]
  if not fn then util.usage("%s is not an operation of a dialect", tostring(op.op)) end
  return fn(op, ctx or {})
end

local PARTITIONED = [[
SELECT CASE WHEN n.nspname = pg_catalog.current_schema() THEN '' ELSE n.nspname || '.' END
  || c.relname AS name
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'p']]

--- The partitioned tables, for ctx.partitioned: { ["schema.table"] = true }.
function M.partitioned(x)
  local out = {}
  for _, row in ipairs(x:query(PARTITIONED)) do out[row.name] = true end
  return out
end

return M
