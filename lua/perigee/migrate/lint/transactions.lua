--- Rules of statements that are in one transaction: locks are held to its end.
local core = require "perigee.core"
local model = require "perigee.schema.model"
local plan = require "perigee.migrate.plan"
local raw = require "perigee.migrate.lint.raw"
local statement = require "perigee.migrate.lint.statement"

local M = {}

local POSTGRES = { "postgres" }

M.rules = {
  {
    id = "several-ae-locks-in-one-tx", level = "warning", databases = POSTGRES,
    danger = "The locks of all statements are held to the end; two that take them in another "
      .. "order wait for each other for ever.",
    safe = "one table in a migration",
  },
  {
    id = "backfill-and-ddl-same-tx", level = "error", databases = POSTGRES,
    danger = "The lock of the first is held as long as the second takes.",
    safe = "backfill, which has transactions of its own; or another migration",
  },
  {
    id = "not-valid-and-validate-same-tx", level = "error", databases = POSTGRES,
    danger = "The lock of NOT VALID is held while all rows are checked: nothing is gained.",
    safe = "m:validate, which begins a transaction of its own",
  },
  {
    id = "enum-value-used-in-same-tx", level = "error", databases = POSTGRES,
    danger = "A new value cannot be used before the transaction that adds it has ended.",
    safe = "add_enum_value, or m:sql { …, tx = false }",
  },
}

-- What locks a table so that nobody reads it.
local STRONG = {}
for word in ([[add_column drop_column alter_column rename_column rename_table rename_constraint
  drop_constraint add_check add_unique set_primary_key add_exclusion set_storage drop_table
  truncate]]):gmatch "%S+" do
  STRONG[word] = true
end

local WRITES = { update = true, delete = true, delete_all = true }

-- ---- the statements of a transaction ---------------------------------------

local function statements_of(step, default)
  local out = {}
  for _, did in ipairs(raw.operations({ op = "sql", text = { default = step.sql or "" } },
    "postgres")) do
    if did.schema == default then did.schema = nil end
    did.step = step
    out[#out + 1] = did
  end
  if step.mode == "run" then out[1] = { op = "run", step = step } end
  return out
end

-- The steps of a phase; nil when the dialect cannot tell them.
local function steps_of(o, list)
  if not (o.dialect and o.dialect.steps and o.name == "postgres") then return nil end
  local ok, steps = pcall(plan.all, list, o.dialect, { online = o.online })
  if ok then return steps end
  if getmetatable(steps) ~= core.error then error(steps, 0) end
  return nil
end

local function key_of(did)
  return model.key { schema = did.schema, name = did.table or did.name or "?" }
end

-- ---- looking ---------------------------------------------------------------

local LOOK = {}

LOOK["several-ae-locks-in-one-tx"] = function(did, seen, tell)
  if not STRONG[did.op] then return end
  local key = key_of(did)
  if seen.fresh[key] or seen.told == key then return end
  if seen.locked and seen.locked ~= key then
    tell(("%s is locked while %s still is"):format(key, seen.locked))
    seen.told = key
  end
  seen.locked = seen.locked or key
end

LOOK["backfill-and-ddl-same-tx"] = function(did, seen, tell)
  if did.op == "run" and seen.held then
    return tell(("the function runs while %s is locked"):format(seen.held))
  end
  local key = key_of(did)
  if WRITES[did.op] and seen.held and not seen.fresh[key] then
    tell(("rows of %s are written while %s is locked"):format(key, seen.held))
  end
  if STRONG[did.op] and not seen.fresh[key] then seen.held = seen.held or key end
end

LOOK["not-valid-and-validate-same-tx"] = function(did, seen, tell)
  local e = did.op == "add_check" and did.check or did.op == "add_foreign_key" and did.key
  if e and e.valid == false and e.name then
    seen[e.name] = true
  elseif did.op == "validate" and seen[did.name or ""] then
    tell(("%s: is checked while the lock of NOT VALID is held"):format(did.name))
  end
end

LOOK["enum-value-used-in-same-tx"] = function(did, seen, tell)
  for _, token in ipairs(statement.tokens(did.sql or "", "postgres")) do
    local value = token.kind == "string" and token.text:match "^'(.*)'$"
    if value and seen[value] and did.op ~= "add_enum_value" then
      tell(("'%s' cannot be used yet"):format(value))
    end
  end
  if did.op == "add_enum_value" then seen[did.value] = true end
end

local function look(rule, groups, o, emit)
  for _, group in ipairs(groups) do
    local seen = { fresh = o.fresh }
    for _, step in ipairs(group.tx and group or {}) do
      for _, did in ipairs(statements_of(step, o.default_schema)) do
        LOOK[rule.id](did, seen, function(message)
          emit(rule, step.op, { message = message })
        end)
      end
    end
  end
end

--- Looks at the transactions of a phase.
-- @tparam table o name, dialect, online, default_schema, fresh (tables made in the phase)
-- @tparam {table,...} list operations
-- @tparam function emit emit(rule, operation, { message = })
function M.check(o, list, emit)
  local steps = steps_of(o, list)
  if not steps then return end
  local groups = plan.groups(steps)
  for _, rule in ipairs(M.rules) do look(rule, groups, o, emit) end
end

return M
