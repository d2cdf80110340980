-- What the specs of definitions and differences share: definitions from text, created on
-- a database; operations run on it as a migration runs them; differences as lines.

local compare = require "perigee.schema.compare"
local dialects = require "perigee.dialect"
local diff = require "perigee.schema.diff"
local ops = require "perigee.schema.ops"
local schema = require "perigee.schema"

local M = {}

-- The definitions of a text, completed.
function M.parse(text, name)
  return schema.parse(text, { name = name or "schema.lua" })
end

-- Creates the definitions on an empty database.
function M.create(db, definitions)
  local d = dialects.of(db)
  for _, item in ipairs(d.create_tree(definitions.tree)) do db:script(item.sql) end
end

-- Changes as their lines.
function M.lines(changes)
  local out = {}
  for i, change in ipairs(changes) do out[i] = diff.describe(change).text end
  return out
end

local function run_step(x, step)
  for _, sql in ipairs(step.before or {}) do x:script(sql) end
  if step.fn then
    step.fn(x)
  elseif step.sql and step.sql ~= "" then
    x:script(step.sql)
  end
end

local function run_together(d, x, list)
  for _, step in ipairs(d.steps_many(list, { tree = d.inspect(x), online = false })) do
    run_step(x, step)
  end
end

local function run_rebuilds(d, conn, list)
  if not d.features.transactional_ddl then return run_together(d, conn, list) end
  d.prepare(conn, { ops = list })
  conn:transaction(function(tx)
    run_together(d, tx, list)
    d.before_commit(conn, tx)
  end)
  d.restore(conn)
end

-- Runs operations on the database.
function M.apply(db, list)
  local d = dialects.of(db)
  db:connection(function(conn)
    if d.steps_many then return run_rebuilds(d, conn, list) end
    local fresh = {}
    for _, op in ipairs(list) do
      if op.op == "create_table" then
        fresh[(op.table.schema and op.table.schema .. "." or "") .. op.table.name] = true
      end
      for _, step in ipairs(d.steps(op, { online = true, fresh = fresh })) do
        run_step(conn, step)
      end
    end
  end)
end

-- Runs what undoes operations.
function M.undo(db, list)
  local inverse, why = ops.inverse_all(list)
  assert(inverse, why)
  M.apply(db, inverse)
end

-- The names of all that a comparison wants to be told may be dropped.
function M.everything(found)
  local list = {}
  for i, decision in ipairs(found.decisions) do list[i] = decision.what end
  return list
end

-- Compares; what would be lost may be, and nothing waits for another phase.
function M.compare(db, definitions, options)
  local o = { phase = "up" }
  for k, v in pairs(options or {}) do o[k] = v end
  local found = compare.against(db, definitions, o)
  if #found.decisions > 0 and not o.drop then
    o.drop = M.everything(found)
    found = compare.against(db, definitions, o)
  end
  return found
end

return M
