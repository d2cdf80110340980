--- Migrations on a scratch database: everything in the transaction or in memory that
-- the dialect gives, nothing concurrently, nothing in the journal.
local backfill = require "perigee.migrate.backfill"
local plan = require "perigee.migrate.plan"

local M = {}

local WORD = "%f[%w][cC][oO][nN][cC][uU][rR][rR][eE][nN][tT][lL][yY]%f[%W]%s*"

local function pass() end

-- What cannot be in a transaction is run in its other form, if it has one.
local function alone_sql(step)
  local text, n = step.sql:gsub(WORD, "")
  return n > 0 and text or nil
end

local function run_text(m, s, text)
  if m.dialect.features.schemas then return s.run(text) end -- with the names of scratch schemas
  s.x:script(text)
end

-- Most of it runs in a transaction too; what the database refuses there is noted.
local function try_alone(m, s, step, o)
  local ok = pcall(s.x.transaction, s.x, function() run_text(m, s, step.sql) end)
  if not ok then o.note(("%s cannot be run on scratch"):format(step.what)) end
end

local function perform(m, s, step, o)
  plan.complete(step, s.x)
  if step.mode == "run" then
    if o.run then step.call(s.x) end
  elseif step.mode == "batch" then
    if o.run then
      backfill.run(s.x, step.backfill, {
        dialect = m.dialect, in_transaction = true, progress = pass, told = pass,
        each = function(fn) fn(s.x) end,
      })
    end
  elseif step.fn then
    step.fn(s.x)
  else
    local is_alone = step.tx == false and step.raw and m.dialect.features.transactional_ddl
    local text = is_alone and alone_sql(step) or step.sql
    if is_alone and text == step.sql then
      try_alone(m, s, step, o)
    elseif step.otherwise then
      plan.run_text(step, m.dialect, function(sql) run_text(m, s, sql) end)
    elseif text:find "%S" then
      run_text(m, s, text)
    end
  end
end

--- What operations create, as a tree that tells the dialect which kind of scratch it
-- takes. What SQL of their own does is not known, so it counts as the most.
-- @tparam table g graph
-- @tparam {string,...} ids
function M.hint(g, ids)
  local tree = { tables = {}, enums = {}, views = {}, objects = {}, schemas = {} }
  local function note(op)
    if op.op == "create_schema" then table.insert(tree.schemas, op.name) end
    if op.op == "create_table" then table.insert(tree.tables, op.table) end
    if op.op == "create_enum" then table.insert(tree.enums, op) end
    if op.view then table.insert(tree.views, op.view) end
    if op.object then table.insert(tree.objects, op.object) end
    if op.op == "sql" or op.op == "run" then
      table.insert(tree.objects, { kind = "function", name = "?" })
    end
  end
  for _, id in ipairs(ids) do
    local m = g.by_id[id]
    for _, list in ipairs { m.up or {}, m.finish or {} } do
      for _, op in ipairs(list) do note(op) end
    end
  end
  return tree
end

--- Runs operations on scratch.
-- @tparam table m migrations
-- @tparam table s what dialect.scratch gives
-- @tparam table one the migration
-- @tparam string phase
-- @tparam {table,...} list operations
-- @tparam[opt] table o run (boolean: Lua functions and backfills too), online (boolean),
-- note (function), step (function(step), called after each)
function M.run(m, s, one, phase, list, o)
  o = o or {}
  o.note = o.note or pass
  local steps = plan.steps(list, m.dialect, {
    online = o.online or false, one_transaction = true, bytes_sum = one.bytes_sum,
    tree = function() return s.tree_of() end,
    functions = function()
      return require "perigee.migrate.files".functions(one)[phase] or {}
    end,
  })
  for step in steps do
    perform(m, s, step, o)
    if o.step then o.step(step) end
  end
end

--- Runs up and, when `finished` says so, finish of migrations.
-- @tparam {string,...} ids
-- @tparam function finished finished(id) → boolean
function M.all(m, s, g, ids, finished, o)
  for _, id in ipairs(ids) do
    local one = g.by_id[id]
    M.run(m, s, one, "up", one.up or {}, o)
    if one.finish and finished(id) then M.run(m, s, one, "finish", one.finish, o) end
  end
end

return M
