--- Operations as statements for SQLite: ALTER TABLE where it can, else the table is built
-- anew, once for all operations that follow each other on it.
local change = require "perigee.dialect.sqlite.change"
local ddl = require "perigee.dialect.sqlite.ddl"
local expression = require "perigee.dialect.sqlite.expression"
local lexer = require "perigee.dialect.sqlite.lexer"
local model = require "perigee.schema.model"
local ops = require "perigee.schema.ops"
local rebuild = require "perigee.dialect.sqlite.rebuild"

local M = {}

local quote = lexer.quote

-- ALTER TABLE … ADD/DROP CONSTRAINT, ALTER COLUMN … SET/DROP NOT NULL
local WITH_CONSTRAINTS = 3053000

local function step(op, sql, more)
  local s = { sql = sql, what = ops.describe(op), tx = true, at = op.at }
  for k, v in pairs(more or {}) do s[k] = v end
  return s
end

-- ---- what ALTER TABLE can do -----------------------------------------------

local function alter(op, rest)
  return step(op, "ALTER TABLE " .. quote(op.table) .. " " .. rest)
end

local NOT_CONSTANT = { current_timestamp = true, current_date = true, current_time = true }

-- ADD COLUMN takes constants only.
local function is_constant(default)
  return default == nil or default:sub(1, 1) ~= "("
    and not NOT_CONSTANT[default:lower()]
end

local function has_triggers_or_views(tree, name)
  for _, list in ipairs { tree.views or {}, tree.objects or {} } do
    for _, e in ipairs(list) do
      if e.on == name or expression.mentions(e.sql or "", name) then return true end
    end
  end
  return false
end

-- Is there an expression of the table, besides the column's own check, that has it?
local function is_mentioned(t, name)
  for _, check in ipairs(t.checks or {}) do
    if check.column ~= name and expression.mentions(check.sql, name) then return true end
  end
  for _, c in ipairs(t.columns) do
    if c.generated and expression.mentions(c.generated.sql, name) then return true end
  end
  return false
end

-- Is the column in no key, index or expression of the table? What drop_column takes with
-- it tells.
local function is_free(t, op)
  if is_mentioned(t, op.name) then return false end
  local after = change.of { op } (t)
  for _, field in ipairs { "indexes", "uniques", "foreign_keys" } do
    if #(after[field] or {}) ~= #(t[field] or {}) then return false end
  end
  return (after.primary_key == nil) == (t.primary_key == nil)
end

local function find(list, name)
  for _, e in ipairs(list or {}) do
    if e.name == name then return e end
  end
end

-- [operation] = function(op, t, state) that gives steps, or nil when the table must be
-- built anew. state: tree, version, added = { [column] = the step of its ADD COLUMN }.
local NATIVE = {}

function NATIVE.add_column(op, t, state)
  local c = op.column
  local default = ddl.default(c)
  if c.identity or c.generated and c.generated.stored or not is_constant(default)
    or not c.null and (not default or default:lower() == "null") then
    return nil
  end
  local s = alter(op, "ADD COLUMN " .. ddl.column(c, t))
  state.added[c.name] = { step = s, has_default = default ~= nil }
  return { s }
end

-- A key of a column that has just been added is written with it.
function NATIVE.add_foreign_key(op, _, state)
  local f = op.key
  local added = #f.columns == 1 and state.added[f.columns[1]]
  if not added or added.has_default then return nil end
  added.step.sql = added.step.sql .. " " .. ddl.constraint(f.name) .. ddl.references(f)
  added.step.what = added.step.what .. ", " .. ops.describe(op)
  return {}
end

function NATIVE.drop_column(op, t, state)
  if not is_free(t, op) or has_triggers_or_views(state.tree, t.name) then return nil end
  return { alter(op, "DROP COLUMN " .. quote(op.name)) }
end

function NATIVE.alter_column(op, t, state)
  local only = next(op.set)
  if next(op.set, only) ~= nil or op.using then return nil end
  if only == "comment" then return {} end
  local key = t.primary_key
  if only ~= "null" or state.version < WITH_CONSTRAINTS
    or key and #key.columns == 1 and key.columns[1] == op.name then
    return nil
  end
  return { alter(op, "ALTER COLUMN " .. quote(op.name)
    .. (op.set.null and " DROP NOT NULL" or " SET NOT NULL")) }
end

function NATIVE.add_check(op, t, state)
  if change.same_check(t, op.check) then return {} end
  if state.version < WITH_CONSTRAINTS then return nil end
  return { alter(op, "ADD " .. ddl.check(op.check)) }
end

function NATIVE.drop_check(op, t, state)
  local check = find(t.checks, op.name)
  if not op.name or not check or state.version < WITH_CONSTRAINTS then return nil end
  return { alter(op, "DROP CONSTRAINT " .. quote(op.name)) }
end

function NATIVE.add_index(op, t) return { step(op, ddl.index(op.index, t)) } end

function NATIVE.drop_index(op) return { step(op, "DROP INDEX " .. quote(op.name)) } end

function NATIVE.rename_index(op, t)
  local index = model.copy(find(t.indexes, op.name))
  if not index then return nil end
  index.name = op.to
  return {
    step(op, "DROP INDEX " .. quote(op.name)), step(op, ddl.index(index, t)),
  }
end

function NATIVE.validate() return {} end
NATIVE.set_comment = NATIVE.validate

for _, name in ipairs {
  "set_primary_key", "drop_primary_key", "add_unique", "drop_unique", "drop_foreign_key",
  "rename_constraint", "set_options",
} do
  NATIVE[name] = function() return nil end
end

-- ---- what it cannot --------------------------------------------------------

local function triggers_of(tree, name)
  local list = {}
  for _, o in ipairs(tree.objects or {}) do
    if o.on == name then list[#list + 1] = o.sql end
  end
  return list
end

local function titles(list)
  local out = {}
  for i, op in ipairs(list) do out[i] = ops.describe(op) end
  return table.concat(out, ", ")
end

local function is_same(before, after)
  if ddl.table(before) ~= ddl.table(after) then return false end
  if #(before.indexes or {}) ~= #(after.indexes or {}) then return false end
  for i, index in ipairs(before.indexes or {}) do
    if ddl.index(index, before) ~= ddl.index(after.indexes[i], after) then return false end
  end
  return true
end

local function is_asked_for(list)
  for _, op in ipairs(list) do
    if op.using then return true end
  end
  return false
end

local function rebuild_step(t, list, state)
  local change_table = change.of(list)
  local after, map = change_table(t)
  if not is_asked_for(list) and is_same(t, after) then return {} end
  local first, second = rebuild.script(t, after, map, triggers_of(state.tree, t.name))
  for _, sql in ipairs(second) do first[#first + 1] = sql end
  return {
    {
      sql = table.concat(first, ";\n"), what = titles(list) .. " (the table is built anew)",
      tx = true, keys_off = true, slow = true, at = list[1].at,
      fn = function(conn) rebuild.run(conn, t.name, change_table) end,
    },
  }
end

-- ---- operations on one table -----------------------------------------------

local function need_table(tree, op, name)
  local t = op.schema == nil and model.find(tree, nil, name)
  if not t then
    ddl.fail(op.at, '%s: there is no table "%s"', ops.describe(op),
      (op.schema and op.schema .. "." or "") .. tostring(name))
  end
  return t
end

-- All operations natively, or nil.
local function natively(t, list, state)
  local out, now = {}, model.copy(t)
  state.added = {}
  for _, op in ipairs(list) do
    local steps = NATIVE[op.op](op, now, state)
    if not steps then return nil end
    for _, s in ipairs(steps) do out[#out + 1] = s end
    change.apply(now, {}, op)
  end
  return out
end

local function on_table(list, state)
  local t = need_table(state.tree, list[1], list[1].table)
  local steps = natively(t, list, state) or rebuild_step(t, list, state)
  local after = change.of(list)(t)
  for i, e in ipairs(state.tree.tables) do
    if e == t then state.tree.tables[i] = after end
  end
  return steps
end

-- ---- all others ------------------------------------------------------------

local function nothing() return {} end

local function statements(kind, field)
  return function(op)
    local out = {}
    for _, sql in ipairs(ddl.create(kind, op[field])) do out[#out + 1] = step(op, sql) end
    return out
  end
end

local OTHER = {
  create_enum = nothing, drop_enum = nothing, create_view = statements("view", "view"),
  create_object = statements("object", "object"),
}

function OTHER.create_schema(op) return ddl.create("schema", op) end
OTHER.drop_schema = OTHER.create_schema

function OTHER.create_table(op)
  local out = { step(op, ddl.table(op.table)) }
  for _, index in ipairs(op.table.indexes or {}) do
    out[#out + 1] = step(op, ddl.index(index, op.table), { what = ops.describe {
      op = "add_index", schema = op.table.schema, table = op.table.name, index = index,
    } })
  end
  return out
end

function OTHER.drop_table(op, state)
  need_table(state.tree, op, op.name)
  local sql = "DROP TABLE " .. quote(op.name)
  return { step(op, sql, {
    keys_off = true, fn = function(conn) rebuild.drop(conn, op.name) end,
  }) }
end

local function rename(op, from, to)
  return step(op, ("ALTER TABLE %s RENAME TO %s"):format(quote(from), quote(to)))
end

-- For SQLite a name in other letters is taken by the table itself.
function OTHER.rename_table(op, state)
  need_table(state.tree, op, op.name)
  if lexer.fold(op.name) ~= lexer.fold(op.to) then return { rename(op, op.name, op.to) } end
  local between = rebuild.PREFIX .. op.name
  return { rename(op, op.name, between), rename(op, between, op.to) }
end

function OTHER.rename_column(op, state)
  local t = need_table(state.tree, op, op.table)
  change.rename_column(t, op.name, op.to)
  return { alter(op, ("RENAME COLUMN %s TO %s"):format(quote(op.name), quote(op.to))) }
end

function OTHER.drop_view(op) return { step(op, "DROP VIEW " .. quote(op.name)) } end

function OTHER.replace_view(op)
  local sql = { ddl.drop("view", op.view)[1], ddl.view(op.view) }
  return { step(op, table.concat(sql, ";\n"), {
    fn = function(conn) rebuild.replace_view(conn, op.view.name, sql) end,
  }) }
end

function OTHER.drop_object(op)
  return { step(op, ddl.drop("object", { kind = op.kind, name = op.name, at = op.at })[1]) }
end

function OTHER.replace_object(op)
  return {
    step(op, ddl.drop("object", op.object)[1]), step(op, ddl.object(op.object)),
  }
end

local function change_enum(op, state)
  local out = {}
  for i, t in ipairs(state.tree.tables) do
    if #change.enum_columns(t, op.name) > 0 then
      local steps = rebuild_step(t, { op }, state)
      for _, s in ipairs(steps) do
        s.what = ops.describe(op) .. ' (table "' .. t.name .. '" is built anew)'
        out[#out + 1] = s
      end
      state.tree.tables[i] = change.of { op } (t)
    end
  end
  return out
end

local ENUMS = { add_enum_value = true, set_enum_values = true, rename_enum_value = true }

-- The tree after an operation that is not one of NATIVE.
local function follow(op, state)
  if not ENUMS[op.op] then ops.apply(state.tree, op) end
end

-- The operations from `i` on that are on the table of the first.
local function run_of(list, i)
  local run = { list[i] }
  while list[i + #run] and NATIVE[list[i + #run].op]
    and list[i + #run].table == list[i].table and list[i + #run].schema == list[i].schema do
    run[#run + 1] = list[i + #run]
  end
  return run
end

--- Several operations as steps. Those that follow each other on one table and need it
-- built anew share that.
-- @tparam {table,...} list operations of structure (no sql, run, backfill)
-- @tparam table ctx tree: the live tree before them
-- @treturn {table,...} steps. With `fn` that is what to run, and `sql` is for reading;
-- with `keys_off` foreign keys must not be enforced meanwhile
-- @raise usage for what SQLite cannot do
function M.many(list, ctx)
  local tree = model.copy(ctx and ctx.tree or model.empty())
  local state, out, i = { tree = tree, version = tree.version or 0 }, {}, 1
  while i <= #list do
    local op, steps = list[i]
    if NATIVE[op.op] and op.table then
      local run = run_of(list, i)
      steps = on_table(run, state)
      i = i + #run
    else
      local fn = ENUMS[op.op] and change_enum or OTHER[op.op] or NATIVE[op.op] and nothing
      if not fn then ddl.fail(op.at, "SQLite: %s is no operation of structure", tostring(op.op)) end
      steps = fn(op, state)
      follow(op, state)
      i = i + 1
    end
    for _, s in ipairs(steps) do out[#out + 1] = s end
  end
  return out
end

--- One operation as steps; see many().
function M.one(op, ctx) return M.many({ op }, ctx) end

local KEYS_ON = {
  create_table = true, rename_table = true, rename_column = true, add_index = true,
  drop_index = true, rename_index = true, create_view = true, drop_view = true,
  replace_view = true, create_object = true, drop_object = true, replace_object = true,
  create_enum = true, drop_enum = true, validate = true, set_comment = true,
  sql = true, run = true, backfill = true,
}

--- May one of the operations need foreign keys not to be enforced? Known without a tree.
function M.may_rebuild(list)
  for _, op in ipairs(list) do
    if not KEYS_ON[op.op] then return true end
  end
  return false
end

return M
