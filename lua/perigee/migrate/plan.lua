--- Operations to steps, and steps to groups that are one transaction.
-- A step is what the dialect gives (sql, tx, own, what, probe, again, before, lock, slow,
-- fn, make, otherwise) with n (its number in the phase), sum (of what it does) and mode:
-- "tx", "notx", "batch" (backfill) or "run" (a Lua function). again: one whose end is not
-- known may be run once more; make(x): the text is written when its turn comes; otherwise:
-- what is run where the server refuses sql because others would have to wait.
local core = require "perigee.core"
local model = require "perigee.schema.model"
local ops = require "perigee.schema.ops"
local statement = require "perigee.migrate.lint.statement"
local util = require "perigee.util"

local usage = util.usage
local M = {}

local OPAQUE = { sql = true, run = true, backfill = true }

local function where_of(op)
  local at = op.at
  if not at or not at.file then return "" end
  return ("%s:%s: "):format(at.file, tostring(at.line))
end

-- ---- the operations that are not a dialect's -------------------------------

local function sql_steps(op, dialect)
  local text = op.text[dialect.name] or op.text.default
  if not text or not text:find "%S" then return {} end
  local probe = op.probe
  if type(probe) == "table" then probe = probe[dialect.name] or probe.default end
  return { {
    sql = text, tx = op.tx ~= false and not statement.commits(text, dialect), raw = true,
    what = ops.describe(op), slow = true, lock = true, probe = probe and { sql = probe } or nil,
  } }
end

local function run_steps(op, o)
  local fn = o.functions and o.functions()[op.n]
  if o.functions and not fn then
    usage("%sm:run: the function is not there when the file is loaded again", where_of(op))
  end
  return { {
    tx = true, mode = "run", slow = true, what = ops.describe(op), call = fn,
    text = ("run %d of %s"):format(op.n, o.bytes_sum or ""),
  } }
end

local function backfill_steps(op, o)
  local is_alone = not o.one_transaction
  return { {
    tx = not is_alone, mode = "batch", slow = true, what = ops.describe(op), backfill = op,
    text = ops.canonical(op),
  } }
end

local function opaque_steps(op, dialect, o)
  if op.op == "sql" then return sql_steps(op, dialect) end
  if op.op == "run" then return run_steps(op, o) end
  return backfill_steps(op, o)
end

-- ---- steps -----------------------------------------------------------------

local function finish_step(step, op, n)
  step.n = n
  step.op = op
  step.at = op and op.at
  step.mode = step.mode or (step.tx == false and "notx" or "tx")
  local text = step.text or step.sql or step.what
  step.sum = core.sha256(text)
  return step
end

local function note_fresh(fresh, op)
  if op.op == "create_table" then fresh[model.key(op.table)] = true end
end

-- The dialect's steps for a run of structural operations.
local function structural(list, dialect, ctx)
  if dialect.steps_many then
    local steps, tree = dialect.steps_many(list, ctx)
    ctx.tree = tree or ctx.tree
    return steps
  end
  local steps = {}
  for _, op in ipairs(list) do
    for _, step in ipairs(dialect.steps(op, ctx)) do
      step.op = step.op or op
      steps[#steps + 1] = step
    end
    note_fresh(ctx.fresh, op)
  end
  return steps
end

--- An iterator over the steps of a phase: it gives a step or nil. What a step does may
-- depend on the tables that are there by then (SQLite), so the steps of an operation
-- are made when they are asked for. The second result tells how many there are, or nil
-- as long as that is not known.
-- @tparam {table,...} list operations
-- @tparam table dialect
-- @tparam table o tree (function that inspects; called where the dialect needs it),
-- online, functions, bytes_sum, one_transaction, partitioned (names of partitioned tables)
function M.steps(list, dialect, o)
  local ctx = {
    online = o.online ~= false, fresh = {}, default_schema = o.default_schema,
    partitioned = o.partitioned,
  }
  local at, n, ready = 1, 0, {}
  local function refill()
    local op = list[at]
    if OPAQUE[op.op] then
      at = at + 1
      return opaque_steps(op, dialect, o), op
    end
    local run = {}
    while list[at] and not OPAQUE[list[at].op] do
      run[#run + 1] = list[at]
      at = at + 1
    end
    -- what has to be built anew depends on what is there by then
    if o.tree and dialect.features.rebuilds then ctx.tree = o.tree() end
    return structural(run, dialect, ctx)
  end
  return function()
    while #ready == 0 and list[at] do
      local steps, op = refill()
      for _, step in ipairs(steps) do
        n = n + 1
        ready[#ready + 1] = finish_step(step, step.op or op, n)
      end
    end
    return table.remove(ready, 1)
  end, function()
    return not list[at] and n or nil
  end
end

--- All steps of a phase as a list.
function M.all(list, dialect, o)
  local steps = {}
  for step in M.steps(list, dialect, o) do steps[#steps + 1] = step end
  return steps
end

--- Writes the text of a step that says again what is there.
-- @param x executor
function M.complete(step, x)
  if step.make then step.make(x) end
end

--- Runs the text of a step. What would keep others waiting is refused by the server, told,
-- and run all the same.
-- @tparam table step
-- @tparam table dialect
-- @tparam function script script(sql) runs it
-- @tparam ?function told told(message)
function M.run_text(step, dialect, script, told)
  if not step.otherwise then return script(step.sql) end
  local ok, err = pcall(script, step.sql)
  if ok then return end
  if not dialect.is_refused(err) then error(err, 0) end
  if told then told(err.message) end
  step.sql, step.otherwise = step.otherwise, nil
  script(step.sql)
end

--- Can the steps be known before the first has run?
function M.is_lazy(dialect)
  return dialect.features.rebuilds
end

--- Consecutive transactional steps as one group { tx = true, steps… }, others each in
-- one of its own.
function M.groups(steps)
  local groups, group = {}, nil
  for _, step in ipairs(steps) do
    if step.tx == false then
      groups[#groups + 1] = { tx = false, step }
      group = nil
    else
      if not group or step.own then
        group = { tx = true }
        groups[#groups + 1] = group
      end
      group[#group + 1] = step
    end
  end
  return groups
end

return M
