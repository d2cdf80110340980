--- Operations as steps. What changes one table is one ALTER TABLE with several clauses:
-- all or nothing, and one copy of the table at most. Each step is its own, because the
-- database commits before and after each statement.
--
-- MODIFY takes away what it does not say. Where the tables are not given (ctx.tree), such a
-- statement is written when its turn comes, of the table as it is by then: step.make(x).
local core = require "perigee.core"
local ddl = require "perigee.dialect.mysql.ddl"
local follow = require "perigee.schema.diff.follow"
local enums = require "perigee.dialect.mysql.enums"
local inspect = require "perigee.dialect.mysql.inspect"
local key_indexes = require "perigee.dialect.mysql.key_indexes"
local model = require "perigee.schema.model"
local online = require "perigee.dialect.mysql.online"
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
  if t then usage("%s: there is no column %s", title(op), name) end
  error(core.new_error("undefined", ("there is no table %s in this database"):format(title(op))), 0)
end

local function copy(c)
  local out = {}
  for k, v in pairs(c) do out[k] = v end
  return out
end

-- The type of the column that an operation changes.
local function type_before(op, ctx)
  local t = find_table(ctx, op.schema, op.table)
  for _, c in ipairs(op.op == "alter_column" and t and t.columns or {}) do
    if c.name == op.name then return c.type end
  end
  return nil
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

-- Generated columns and a column's own check follow; a check of the table has to go and come.
function CLAUSES.rename_column(op, ctx)
  local t = find_table(ctx, op.schema, op.table)
  local clauses, checks = {}, {}
  for _, check in ipairs(t and t.checks or {}) do
    if follow.mentions(check.sql, op.name) then
      checks[#checks + 1] = check
      clauses[#clauses + 1] = "DROP " .. ddl.drop_clause("check", check)
    end
  end
  if t then follow.column(ctx.tree, t, op.name, op.to) end
  clauses[#clauses + 1] = ("RENAME COLUMN %s TO %s"):format(quote(op.name), quote(op.to))
  for _, check in ipairs(checks) do
    clauses[#clauses + 1] = "ADD " .. ddl.clause("check", check)
  end
  return table.concat(clauses, ",\n  ")
end

-- A default alone can be set without the rest. (MySQL's SET DEFAULT has no CURRENT_TIMESTAMP.)
local function sets_default(op)
  local only = next(op.set)
  if only ~= "default" or next(op.set, only) ~= nil then return false end
  local d = op.set.default
  return is_none(d) or not types.default { default = d, at = op.at }:find "^CURRENT_TIMESTAMP"
end

function CLAUSES.alter_column(op, ctx)
  if sets_default(op) then
    local d = op.set.default
    if is_none(d) then return ("ALTER COLUMN %s DROP DEFAULT"):format(quote(op.name)) end
    local text = types.default { default = d, at = op.at }
    if type(d.value) == "string" then text = "(" .. text .. ")" end -- of a longtext, too
    return ("ALTER COLUMN %s SET DEFAULT %s"):format(quote(op.name), text)
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

local drop_foreign_key = CLAUSES.drop_foreign_key

function CLAUSES.drop_foreign_key(op, ctx)
  return drop_foreign_key(op) .. key_indexes.along(find_table(ctx, op.schema, op.table),
    op.name or op.was and op.was.name)
end

for name, list in pairs { drop_index = "indexes", drop_unique = "uniques" } do
  local plain = CLAUSES[name]
  CLAUSES[name] = function(op, ctx)
    return plain(op) .. key_indexes.instead(find_table(ctx, op.schema, op.table), list,
      op.name or op.was and op.was.name)
  end
end

function CLAUSES.set_primary_key(op)
  return (op.was and "DROP PRIMARY KEY, " or "") .. "ADD " .. ddl.clause("primary_key", op.key)
end

function CLAUSES.drop_primary_key() return "DROP PRIMARY KEY" end

function CLAUSES.rename_index(op)
  return ("RENAME INDEX %s TO %s"):format(quote(op.name), quote(op.to))
end

local function renamed(list, op)
  for _, e in ipairs(list or {}) do
    if e.name == op.name then
      e.name = op.to
      return e
    end
  end
  return nil
end

-- A key is an index and can be renamed; others are dropped and added.
function CLAUSES.rename_constraint(op, ctx)
  local t = find_table(ctx, op.schema, op.table) or {}
  if renamed(t.uniques, op) then return CLAUSES.rename_index(op) end
  for _, kind in ipairs { "foreign_key", "check" } do
    local e = renamed(t[kind .. "s"], op)
    local along = t.made and t.made[op.name] and ", DROP INDEX " .. quote(op.name) or ""
    if e then
      if along ~= "" then t.made[op.name], t.made[op.to] = nil, true end
      return ("DROP %s%s, ADD %s"):format(ddl.drop_clause(kind, { name = op.name }), along,
        ddl.clause(kind, e))
    end
  end
  usage("%s: there is no constraint %s", title(op), op.name)
end

local function mysql_options(options) return options and options.mysql or {} end

-- The columns that have the collation of the table follow it only when they are restated.
local function following_columns(t)
  local out = {}
  for _, c in ipairs(t and t.columns or {}) do
    local words = not c.collation and types.type(c):lower() or ""
    if words:find "char" or words:find "text" or words:find "^enum" or words:find "^set" then
      out[#out + 1] = "MODIFY COLUMN " .. types.column(c)
    end
  end
  return out
end

-- What is not said any more is as in a table that never said it.
function CLAUSES.set_options(op, ctx)
  local new, defaults = copy(mysql_options(op.options)), ctx.tree and ctx.tree.defaults or {}
  for k in pairs(mysql_options(op.was)) do
    if new[k] == nil then new[k] = k == "row_format" and "DEFAULT" or defaults[k] end
  end
  local list = ddl.options { mysql = new }
  if new.collation or new.charset then
    for _, clause in ipairs(following_columns(find_table(ctx, op.schema, op.table))) do
      list[#list + 1] = clause
    end
  end
  return table.concat(list, ", ")
end

function CLAUSES.set_comment(op, ctx)
  if op.kind and op.kind ~= "table" then
    usage("MySQL has no comments on a %s (%s)", op.kind, tostring(op.name))
  end
  if not op.column then return "COMMENT = " .. types.literal(op.text or "") end
  return "MODIFY COLUMN " .. types.column(changed({ schema = op.schema, table = op.table,
    name = op.column, set = { comment = op.text or { none = true } } }, ctx))
end

-- ---- all else --------------------------------------------------------------

local STATEMENTS = {}
for name, statements in pairs(enums) do STATEMENTS[name] = statements end

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
  if t then follow.table(ctx.tree, t, op.to) end
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

local ASKS = { rename_constraint = true, rename_column = true, set_options = true,
  drop_foreign_key = true, drop_index = true, drop_unique = true }

-- A renaming of a column drops and adds checks: what else does is another statement.
local ON_CHECKS = { rename_constraint = true, drop_check = true, add_check = true }

-- Does what it says depend on what is there?
local function restates(op)
  if op.op == "alter_column" then return not sets_default(op) end
  return ASKS[op.op] or op.op == "set_comment" and op.column ~= nil
end

-- One statement: its text and, when it asks that others can write meanwhile, what is to be
-- run where the server refuses that.
local function written(run, ctx)
  local clauses, is_online = {}, ctx.online and not ctx.fresh[title(run.ops[1])]
  for i, op in ipairs(run.ops) do
    local before = type_before(op, ctx)
    clauses[i] = CLAUSES[op.op](op, ctx)
    is_online = is_online and online.is(op, before, clauses[i])
  end
  local sql = ("ALTER TABLE %s\n  %s"):format(run.table, table.concat(clauses, ",\n  "))
  if not is_online then return sql end
  return sql .. ",\n  " .. online.CLAUSE, sql
end

local function flush(run, out, ctx)
  if not run then return end
  local texts, what = {}, {}
  for i, op in ipairs(run.ops) do texts[i], what[i] = ops.canonical(op), ops.describe(op) end
  local one = step(nil, table.concat(what, "; "), table.concat(texts, "\n"),
    probes.together(run.ops))
  out[#out + 1] = one
  if ctx.tree or not run.restates then
    one.sql, one.otherwise = written(run, ctx)
    return
  end
  local known = { online = ctx.online, fresh = copy(ctx.fresh) }
  function one.make(x)
    known.tree = inspect.inspect(x, { tables = { run.ops[1].table } })
    one.sql, one.otherwise = written(run, known)
  end
end

-- Would the checks that a renaming drops and adds be met twice, or a name be used twice?
local function clashes(run, op)
  if op.op ~= "rename_column" then return run.renames and ON_CHECKS[op.op] end
  return run.renames or run.on_checks or run.columns[op.to]
end

-- A column is altered once in a statement, and a name is used once: else another begins.
local function fits(run, op)
  local column = (op.op == "alter_column" or op.op == "rename_column") and op.name
    or op.op == "set_comment" and op.column
  return run and op.table and run.table == qualified(op.schema, op.table) and not is_alone(op)
    and not run.alone and not (column and run.columns[column]) and not clashes(run, op)
end

local function note_column(run, op)
  if op.op == "rename_column" then run.columns[op.to] = true end
  if op.op == "set_comment" and op.column then run.columns[op.column] = true end
  if op.name then run.columns[op.name] = true end
  if op.op == "add_column" then run.columns[op.column.name] = true end
end

local function is_nothing(op)
  return op.op == "set_options" and #ddl.options(op.options) == 0
    and next(mysql_options(op.was)) == nil
end

local function add_to(run, op)
  run = run or { table = qualified(op.schema, op.table), ops = {}, columns = {},
    alone = is_alone(op) }
  run.ops[#run.ops + 1] = op
  run.restates = run.restates or restates(op)
  run.renames = run.renames or op.op == "rename_column"
  run.on_checks = run.on_checks or ON_CHECKS[op.op]
  note_column(run, op)
  return run
end

local function add_statements(out, op, statements, ctx)
  for n, sql in ipairs(statements(op, ctx)) do
    out[#out + 1] = step(sql, ops.describe(op), n .. " " .. ops.canonical(op), probes.of(op, n))
  end
  if op.op == "create_table" then ctx.fresh[model.key(op.table)] = true end
  if op.op == "rename_table" then
    ctx.fresh[model.key { schema = op.schema, name = op.to }] = ctx.fresh[model.key(op)]
  end
end

--- The steps of operations, consecutive ones of a table in one statement.
-- @tparam {table,...} list
-- @tparam ?table ctx tree (the live tree, for what has to be restated; without it such a
-- step has make(x) in place of its text), online (boolean: ask that others can write
-- meanwhile), fresh ({ [table] = true }: created just now; what is created is added)
-- @treturn {table,...}
-- @treturn table the tree after them, as far as it matters here
function M.steps_many(list, ctx)
  ctx = ctx or {}
  ctx = { tree = ctx.tree and deep_copy(ctx.tree), online = ctx.online, fresh = ctx.fresh or {} }
  local out, run = {}, nil
  for _, op in ipairs(list) do
    local statements = STATEMENTS[op.op]
    if not CLAUSES[op.op] and not statements then
      usage("%s is not an operation of a dialect", tostring(op.op))
    end
    if statements or not fits(run, op) then
      flush(run, out, ctx)
      run = nil
    end
    if statements then
      add_statements(out, op, statements, ctx)
    elseif not is_nothing(op) then
      run = add_to(run, op)
    end
  end
  flush(run, out, ctx)
  return out, ctx.tree
end

--- The steps of one operation.
function M.steps(op, ctx) return (M.steps_many({ op }, ctx)) end

return M
