--- Steps of enum types.
local ddl = require "perigee.dialect.postgres.ddl"
local step = require "perigee.dialect.postgres.step"
local types = require "perigee.dialect.postgres.types"

local qualified, literal = types.qualified, types.literal
local M = {}

function M.create_enum(op) return step.list(op, ddl.create("enum", op)) end

function M.drop_enum(op) return step.list(op, ddl.drop("enum", op)) end

local HAS_VALUE = "SELECT EXISTS (SELECT FROM pg_catalog.pg_enum "
  .. "WHERE enumtypid = pg_catalog.to_regtype(%s) AND enumlabel = %s)"

-- In a transaction of its own, because the value cannot be used in the one that adds it.
function M.add_enum_value(op)
  local where = ""
  if op.before then
    where = " BEFORE " .. literal(op.before)
  elseif op.after then
    where = " AFTER " .. literal(op.after)
  end
  return { step.new(op, ("ALTER TYPE %s ADD VALUE %s%s"):format(
    qualified(op.schema, op.name), literal(op.value), where), {
    tx = false,
    probe = { sql = HAS_VALUE:format(step.reference(op.schema, op.name), literal(op.value)) },
  }) }
end

function M.rename_enum_value(op)
  return { step.new(op, ("ALTER TYPE %s RENAME VALUE %s TO %s"):format(
    qualified(op.schema, op.name), literal(op.from), literal(op.to))) }
end

-- The type is made anew and every column of it converted through text. Defaults, checks
-- and indexes that mention values are taken off before and put back, as their texts were
-- before the old type was renamed. <type> is the name, <quoted> the same inside of a
-- string, <ref> as a literal.
local RECREATE = [[

DECLARE
  drops text[]; changes text[]; restores text[]; sql text;
BEGIN
  WITH used AS (
    SELECT c.oid AS rel, c.oid::pg_catalog.regclass::text AS tab, a.attnum,
      pg_catalog.quote_ident(a.attname) AS col, t.oid <> <ref>::pg_catalog.regtype AS is_array,
      pg_catalog.pg_get_expr(d.adbin, d.adrelid) AS expr
    FROM pg_catalog.pg_type t
    JOIN pg_catalog.pg_attribute a ON a.atttypid = t.oid AND NOT a.attisdropped
    JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
    LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
      AND a.attgenerated = ''
    WHERE c.relkind IN ('r', 'p') AND a.attinhcount = 0
      AND <ref>::pg_catalog.regtype IN (t.oid, t.typelem)
  ), parts AS (
    SELECT 1 AS n, tab, 'ALTER TABLE ' || tab || ' ALTER COLUMN ' || col || ' DROP DEFAULT'
        AS off,
      NULL AS change,
      'ALTER TABLE ' || tab || ' ALTER COLUMN ' || col || ' SET DEFAULT ' || expr AS back
    FROM used WHERE expr IS NOT NULL
    UNION ALL
    SELECT 2, tab, NULL, 'ALTER TABLE ' || tab || ' ALTER COLUMN ' || col || ' TYPE <quoted>'
      || CASE WHEN is_array THEN '[] USING ' || col || '::text[]::<quoted>[]'
        ELSE ' USING ' || col || '::text::<quoted>' END, NULL
    FROM used
    UNION ALL
    SELECT DISTINCT 3, tab, 'ALTER TABLE ' || tab || ' DROP CONSTRAINT '
      || pg_catalog.quote_ident(k.conname), NULL, 'ALTER TABLE ' || tab
      || ' ADD CONSTRAINT ' || pg_catalog.quote_ident(k.conname) || ' '
      || pg_catalog.pg_get_constraintdef(k.oid)
    FROM used JOIN pg_catalog.pg_constraint k ON k.conrelid = rel AND k.contype = 'c'
      AND attnum = ANY (k.conkey) AND k.coninhcount = 0
    UNION ALL
    SELECT DISTINCT 4, tab, 'DROP INDEX ' || i.indexrelid::pg_catalog.regclass::text, NULL,
      pg_catalog.pg_get_indexdef(i.indexrelid)
    FROM used JOIN pg_catalog.pg_index i ON i.indrelid = rel
      AND (i.indpred IS NOT NULL OR i.indexprs IS NOT NULL)
    JOIN pg_catalog.pg_depend p ON p.objid = i.indexrelid AND p.refobjid = rel
      AND p.refobjsubid = attnum
      AND p.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
  )
  SELECT pg_catalog.array_agg(off ORDER BY n, tab) FILTER (WHERE off IS NOT NULL),
    pg_catalog.array_agg(change ORDER BY n, tab) FILTER (WHERE change IS NOT NULL),
    pg_catalog.array_agg(back ORDER BY n, tab) FILTER (WHERE back IS NOT NULL)
  INTO drops, changes, restores FROM parts;
  FOREACH sql IN ARRAY coalesce(drops, '{}') LOOP EXECUTE sql; END LOOP;
  ALTER TYPE <type> RENAME TO <old>;
  CREATE TYPE <type> AS ENUM (<values>);
  FOREACH sql IN ARRAY coalesce(changes, '{}') LOOP EXECUTE sql; END LOOP;
  DROP TYPE <old_type>;
  FOREACH sql IN ARRAY coalesce(restores, '{}') LOOP EXECUTE sql; END LOOP;
END
]]

function M.set_enum_values(op)
  local values = {}
  for i, v in ipairs(op.values) do values[i] = literal(v) end
  local old = types.limit("perigee_old_" .. op.name)
  local name = qualified(op.schema, op.name)
  local parts = {
    ref = step.reference(op.schema, op.name), type = name, quoted = (name:gsub("'", "''")),
    old = types.quote(old),
    old_type = qualified(op.schema, old), values = table.concat(values, ", "),
  }
  local text = RECREATE:gsub("<([%w_]+)>", parts)
  return { step.new(op, "DO " .. step.dollars(text), { slow = true }) }
end

return M
