--- Operations as steps. What changes one table is one ALTER TABLE with several clauses:
-- all or nothing, and one copy of the table at most. Each step is its own, because the
-- database commits before and after each statement.
local ddl = require "perigee.dialect.mysql.ddl"
local ops = require "perigee.schema.ops"
local probes = require "perigee.dialect.mysql.probes"
local types = require "perigee.dialect.mysql.types"
local util = require "perigee.util"

local quote, qualified, usage = types.quote, types.qualified, util.usage
local M = {}

local function title(op) return op.schema and op.schema .. "." .. op.table or op.table end

-- ---- columns: what MODIFY has to restate -----------------------------------

local function find_table(ctx, schema, name)
  for _, t in ipairs(ctx.tree and ctx.tree.tables or {}) do
    if t.schema == schema and t.name == name then return t end
  end
  return nil
end

local function find_column(ctx, op, name)
  local t = find_table(ctx, op.schema, op.table)
  for _, c in ipairs(t and t.columns or {}) do
    if c.name == name then return c end
  end
  usage("%s.%s: MySQL wants all attributes of a column restated, and the column is not known "
    .. "(ctx.tree)", title(op), name)
end

local function copy(c)
  local out = {}
  for k, v in pairs(c) do out[k] = v end
  return out
end

local function is_none(v) return type(v) == "table" and v.none == true end

-- The column as it is with the changes put in; the tree follows.
local function changed(op, ctx)
  local c = find_column(ctx, op, op.name)
  for k, v in pairs(op.set) do
    if is_none(v) or v == false and k ~= "null" then c[k] = nil else c[k] = v end
  end
  return c
end

local CLAUSES = {}

function CLAUSES.add_column(op, ctx)
  local t = find_table(ctx, op.schema, op.table)
  if t then table.insert(t.columns, copy(op.column)) end
  return "ADD COLUMN " .. types.column(op.column)
end

function CLAUSES.drop_column(op, ctx)
  local t = find_table(ctx, op.schema, op.table)
  for i, c in ipairs(t and t.columns or {}) do
    if c.name == op.name then table.remove(t.columns, i) break end
  end
  return "DROP COLUMN " .. quote(op.name)
end

function CLAUSES.rename_column(op, ctx)
  local t = find_table(ctx, op.schema, op.table)
  for _, c in ipairs(t and t.columns or {}) do
    if c.name == op.name then c.name = op.to end
  end
  return ("RENAME COLUMN %s TO %s"):format(quote(op.name), quote(op.to))
end

-- A default alone can be set without the rest.
function CLAUSES.alter_column(op, ctx)
  local only = next(op.set)
  if only == "default" and next(op.set, only) == nil then
    local d = op.set.default
    if is_none(d) then return ("ALTER COLUMN %s DROP DEFAULT"):format(quote(op.name)) end
    return ("ALTER COLUMN %s SET DEFAULT %s"):format(quote(op.name),
      types.default { default = d, at = op.at })
  end
  if op.using then
    usage("%s.%s: MySQL has no USING: convert the values with a backfill", title(op), op.name)
  end
  return "MODIFY COLUMN " .. types.column(changed(op, ctx))
end

-- ---- keys, checks, indexes -------------------------------------------------

local function add(kind, field)
  return function(op) return "ADD " .. ddl.clause(kind, op[field]) end
end

local function drop(kind)
  return function(op)
    return "DROP " .. ddl.drop_clause(kind, { name = op.name or op.was and op.was.name })
  end
end

for name, pair in pairs {
  unique = { "unique", "key" }, foreign_key = { "foreign_key", "key" },
  check = { "check", "check" }, index = { "index", "index" },
} do
  CLAUSES["add_" .. name], CLAUSES["drop_" .. name] = add(pair[1], pair[2]), drop(pair[1])
end

function CLAUSES.set_primary_key(op)
  return (op.was and "DROP PRIMARY KEY, " or "") .. "ADD " .. ddl.clause("primary_key", op.key)
end

function CLAUSES.drop_primary_key() return "DROP PRIMARY KEY" end

function CLAUSES.rename_index(op)
  return ("RENAME INDEX %s TO %s"):format(quote(op.name), quote(op.to))
end

function CLAUSES.rename_constraint(op)
  usage("%s: MySQL cannot rename the constraint %s: drop it and add it", title(op), op.name)
end

function CLAUSES.set_options(op)
  local list = ddl.options(op.options)
  return #list > 0 and table.concat(list, " ") or nil
end

function CLAUSES.set_comment(op, ctx)
  if op.kind and op.kind ~= "table" then
    usage("MySQL has no comments on a %s (%s)", op.kind, tostring(op.name))
  end
  if not op.column then return "COMMENT = " .. types.literal(op.text or "") end
  return "MODIFY COLUMN " .. types.column(changed({ schema = op.schema, table = op.table,
    name = op.column, set = { comment = op.text or { none = true } } }, ctx))
end

-- ---- enums -----------------------------------------------------------------

-- The columns of an enum: { table, column }.
local function columns_of(op, ctx)
  local out = {}
  for _, t in ipairs(ctx.tree and ctx.tree.tables or {}) do
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

local STATEMENTS = {}

function STATEMENTS.create_enum() return {} end
STATEMENTS.drop_enum = STATEMENTS.create_enum

function STATEMENTS.add_enum_value(op, ctx)
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

function STATEMENTS.set_enum_values(op, ctx) return modify_all(op, ctx, op.values, {}) end

-- Both values are allowed while the rows change.
function STATEMENTS.rename_enum_value(op, ctx)
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

-- ---- all else --------------------------------------------------------------

function STATEMENTS.create_schema(op) return ddl.create("schema", op) end
function STATEMENTS.drop_schema(op) return ddl.drop("schema", op) end

local function deep_copy(v)
  if type(v) ~= "table" then return v end
  local out = {}
  for k, x in pairs(v) do out[k] = deep_copy(x) end
  return out
end

function STATEMENTS.create_table(op, ctx)
  if ctx.tree then table.insert(ctx.tree.tables, deep_copy(op.table)) end
  local out = ddl.create("table", op.table)
  for _, f in ipairs(op.table.foreign_keys or {}) do
    out[#out + 1] = ddl.create("foreign_key", f, { table = op.table })[1]
  end
  return out
end

function STATEMENTS.drop_table(op) return ddl.drop("table", op) end

function STATEMENTS.rename_table(op, ctx)
  local t = find_table(ctx, op.schema, op.name)
  if t then t.name = op.to end
  return { ("RENAME TABLE %s TO %s"):format(qualified(op.schema, op.name),
    qualified(op.schema, op.to)) }
end

-- Constraints are checked when they are added.
function STATEMENTS.validate() return {} end

function STATEMENTS.create_view(op) return ddl.create("view", op.view) end
function STATEMENTS.drop_view(op) return ddl.drop("view", op) end
function STATEMENTS.replace_view(op) return ddl.create("view", op.view, { replace = true }) end
function STATEMENTS.create_object(op) return ddl.create("object", op.object) end
function STATEMENTS.drop_object(op) return ddl.drop("object", op) end

function STATEMENTS.replace_object(op)
  return { ddl.drop("object", op.was or op.object)[1], ddl.create("object", op.object)[1] }
end

-- ---- steps -----------------------------------------------------------------

-- `text` is what makes it this step: what is restated is not what the operation says.
local function step(sql, what, text, probe, again)
  return { sql = sql, tx = false, what = what, text = text, lock = true, probe = probe,
    again = again or nil }
end

-- Foreign keys are added by themselves: with other changes the table would be copied.
local function is_alone(op) return op.op == "add_foreign_key" end

local function flush(run, out)
  if not run or #run.clauses == 0 then return end
  local texts = {}
  for i, op in ipairs(run.ops) do texts[i] = ops.canonical(op) end
  out[#out + 1] = step(("ALTER TABLE %s\n  %s"):format(run.table,
    table.concat(run.clauses, ",\n  ")), table.concat(run.what, "; "),
    table.concat(texts, "\n"), probes.together(run.ops))
end

-- A column is altered once in a statement: a second change begins another.
local function fits(run, op)
  local column = (op.op == "alter_column" or op.op == "rename_column") and op.name
    or op.op == "set_comment" and op.column
  return run and op.table and run.table == qualified(op.schema, op.table) and not is_alone(op)
    and not run.alone and not (column and run.columns[column])
end

local function note_column(run, op)
  if op.op == "rename_column" then run.columns[op.to] = true end
  if op.op == "set_comment" and op.column then run.columns[op.column] = true end
  if op.name then run.columns[op.name] = true end
  if op.op == "add_column" then run.columns[op.column.name] = true end
end

--- The steps of operations, consecutive ones of a table in one statement.
-- @tparam {table,...} list
-- @tparam ?table ctx tree: the live tree, for what has to be restated
-- @treturn {table,...}
-- @treturn table the tree after them, as far as it matters here
function M.steps_many(list, ctx)
  ctx = { tree = deep_copy(ctx and ctx.tree) }
  local out, run = {}, nil
  for _, op in ipairs(list) do
    local clause, statements = CLAUSES[op.op], STATEMENTS[op.op]
    if not clause and not statements then
      usage("%s is not an operation of a dialect", tostring(op.op))
    end
    local what = ops.describe(op)
    if statements or not fits(run, op) then
      flush(run, out)
      run = nil
    end
    if statements then
      for n, sql in ipairs(statements(op, ctx)) do
        out[#out + 1] = step(sql, what, n .. " " .. ops.canonical(op), probes.of(op, n))
      end
    else
      run = run or { table = qualified(op.schema, op.table), clauses = {}, what = {},
        ops = {}, columns = {}, alone = is_alone(op) }
      run.clauses[#run.clauses + 1] = clause(op, ctx)
      run.what[#run.what + 1] = what
      run.ops[#run.ops + 1] = op
      note_column(run, op)
    end
  end
  flush(run, out)
  return out, ctx.tree
end

--- The steps of one operation.
function M.steps(op, ctx) return (M.steps_many({ op }, ctx)) end

return M
