--- Steps of constraints and indexes. On a table in use: built and checked while others
-- read and write it.
local ddl = require "perigee.dialect.postgres.ddl"
local step = require "perigee.dialect.postgres.step"
local types = require "perigee.dialect.postgres.types"

local quote, qualified = types.quote, types.qualified
local M = {}

-- ---- indexes ---------------------------------------------------------------

-- A build that failed leaves an index that is not valid and in the way.
local CLEAN = [[

BEGIN
  IF EXISTS (SELECT FROM pg_catalog.pg_index
    WHERE indexrelid = pg_catalog.to_regclass(%s) AND NOT indisvalid) THEN
    PERFORM pg_catalog.set_config('lock_timeout', '2s', true);
    DROP INDEX %s;
  END IF;
END
]]

local IS_VALID = "SELECT EXISTS (SELECT FROM pg_catalog.pg_index "
  .. "WHERE indexrelid = pg_catalog.to_regclass(%s) AND indisvalid)"

-- CREATE INDEX CONCURRENTLY. It has no lock_timeout, which would end its waiting for
-- older transactions and leave half an index.
local function concurrently(op, index)
  local ref = step.reference(op.schema, index.name)
  return step.new(op, ddl.index(index, { schema = op.schema, name = op.table }, true), {
    tx = false, lock = false, slow = true, probe = { sql = IS_VALID:format(ref) },
    before = { "DO " .. step.dollars(CLEAN:format(ref, qualified(op.schema, index.name))) },
  })
end

function M.add_index(op, ctx)
  local out
  if step.is_online(op, ctx) and op.concurrently ~= false and op.index.name then
    out = { concurrently(op, op.index) }
  else
    out = { step.new(op, ddl.index(op.index, { schema = op.schema, name = op.table }),
      { slow = true }) }
  end
  if op.index.comment then
    out[2] = step.new(op, ddl.comment { kind = "index", schema = op.schema,
      name = op.index.name, text = op.index.comment })
  end
  return out
end

function M.drop_index(op, ctx)
  local name = qualified(op.schema, op.name)
  if not step.is_online(op, ctx) or op.concurrently == false then
    return { step.new(op, "DROP INDEX " .. name) }
  end
  return { step.new(op, "DROP INDEX CONCURRENTLY " .. name, {
    tx = false, lock = false, slow = true,
    probe = { sql = ("SELECT pg_catalog.to_regclass(%s) IS NULL"):format(
      step.reference(op.schema, op.name)) },
  }) }
end

function M.rename_index(op)
  return { step.new(op, ("ALTER INDEX %s RENAME TO %s"):format(
    qualified(op.schema, op.name), quote(op.to))) }
end

-- ---- unique keys and primary keys ------------------------------------------

local function timing(k)
  if k.deferred then return " DEFERRABLE INITIALLY DEFERRED" end
  return k.deferrable and " DEFERRABLE" or ""
end

-- The index first, concurrently; then it becomes the constraint.
local function by_index(op, word, index_name, before)
  local k = op.key
  local index = { name = index_name, unique = true, keys = {}, include = k.include,
    nulls_not_distinct = k.nulls_not_distinct }
  for i, c in ipairs(k.columns) do index.keys[i] = { column = c } end
  return {
    concurrently(op, index),
    step.new(op, step.alter(op, ("%sADD CONSTRAINT %s %s USING INDEX %s%s"):format(
      before or "", quote(k.name), word, quote(index_name), timing(k))), { slow = true }),
  }
end

function M.add_unique(op, ctx)
  if step.is_online(op, ctx) and op.key.name then
    return by_index(op, "UNIQUE", op.key.name)
  end
  return step.list(op, ddl.create("unique", op.key, {
    table = { schema = op.schema, name = op.table } }), { slow = true })
end

function M.set_primary_key(op, ctx)
  local drop = op.was and op.was.name and "DROP CONSTRAINT " .. quote(op.was.name) .. ", " or ""
  if step.is_online(op, ctx) and op.key.name then
    -- the name of the old key is often that of the new one
    return by_index(op, "PRIMARY KEY", types.limit(op.key.name .. "_new"), drop)
  end
  return { step.new(op, step.alter(op, drop .. "ADD "
    .. ddl.constraint("primary_key", op.key)), { slow = true }) }
end

-- ---- checks and foreign keys -----------------------------------------------

local function validate(op, name)
  return step.new(op, step.alter(op, "VALIDATE CONSTRAINT " .. quote(name)),
    { own = true, slow = true })
end

local function add_checked(kind, field)
  return function(op, ctx)
    local e = op[field]
    local online = step.is_online(op, ctx) and e.name ~= nil
    local sql = step.alter(op, "ADD " .. ddl.constraint(kind, e))
    if not online then return { step.new(op, sql, { slow = true }) } end
    if e.valid == false then return { step.new(op, sql) } end
    return { step.new(op, sql .. " NOT VALID"), validate(op, e.name) }
  end
end

M.add_check = add_checked("check", "check")
M.add_foreign_key = add_checked("foreign_key", "key")

function M.validate(op) return { validate(op, op.name) } end

local function drop_constraint(op)
  local name = op.name or op.was and op.was.name
  return { step.new(op, step.alter(op, "DROP CONSTRAINT " .. quote(name))) }
end

M.drop_unique, M.drop_check = drop_constraint, drop_constraint
M.drop_foreign_key = drop_constraint

function M.drop_primary_key(op)
  -- the server's own name, when none is said
  local name = op.name or op.was and op.was.name or types.limit(op.table .. "_pkey")
  return { step.new(op, step.alter(op, "DROP CONSTRAINT " .. quote(name))) }
end

function M.rename_constraint(op)
  return { step.new(op, step.alter(op, ("RENAME CONSTRAINT %s TO %s"):format(
    quote(op.name), quote(op.to)))) }
end

return M
