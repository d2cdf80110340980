--- What PostgreSQL's catalogue says of tables: columns, types and keys in one
-- result, for one table or all of a schema.
local M = {}

-- The class of values by the name of a type of pg_catalog.
local CLASSES = {
  bool = "bool", int2 = "int", int4 = "int", int8 = "int", oid = "int",
  float4 = "float", float8 = "float", numeric = "numeric",
  text = "text", varchar = "text", bpchar = "text", name = "text", char = "text",
  bytea = "bytes", date = "date", time = "time", timetz = "time",
  timestamp = "timestamp", timestamptz = "timestamptz", uuid = "uuid",
  json = "json", jsonb = "json",
}
local BITS = { int2 = 16, int4 = 32, int8 = 64, oid = 64 }

-- `t` is the tables asked for. A domain stands for the type below it, whose name
-- is also what parameters are cast to: the domain checks them on assignment, and
-- should not when they are only compared. A row with what = 'k' is a key. A table
-- without columns has one row, too.
local TABLES = [[
WITH t AS (
  SELECT c.oid, c.relname, n.nspname, c.relkind, c.relispartition,
    c.relhasrules OR c.relrowsecurity AS guarded
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND %s)
SELECT t.oid::text AS rel, t.nspname::text AS schema, t.relname::text AS rel_name,
  t.relkind::text AS kind, t.relispartition AS is_partition, t.guarded, 'c' AS what,
  a.attnum::int4 AS n, a.attname::text AS name,
  '"' || replace(bn.nspname, '"', '""') || '"."' || replace(b.typname, '"', '""')
    || '"' AS type,
  pg_catalog.format_type(a.atttypid, a.atttypmod) AS title,
  b.typname::text AS base, b.typtype::text AS base_kind,
  coalesce(eb.typnamespace, b.typnamespace) = 'pg_catalog'::regnamespace AS builtin,
  eb.typname::text AS elem,
  eb.typtype::text AS elem_kind,
  a.attnotnull OR coalesce(d.strict, false) AS not_null,
  a.atthasdef OR a.attidentity <> '' OR coalesce(d.defaults, false) AS has_default,
  a.attgenerated <> '' AS generated, a.attidentity = 'a' AS always,
  NOT coalesce(co.collisdeterministic, true) AS folded,
  EXISTS (SELECT FROM pg_catalog.pg_opclass o WHERE o.opcmethod = 403
    AND o.opcdefault AND o.opcintype = coalesce(eb.oid, b.oid)) AS ordered,
  NULL::text AS cols, NULL::int4 AS ncols
FROM t
LEFT JOIN pg_catalog.pg_attribute a
  ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_catalog.pg_type ty ON ty.oid = a.atttypid
LEFT JOIN LATERAL (
  WITH RECURSIVE d AS (
    SELECT ty.typbasetype AS oid, ty.typnotnull AS strict,
      ty.typdefault IS NOT NULL AS defaults, 1 AS level
    UNION ALL
    SELECT p.typbasetype, p.typnotnull, p.typdefault IS NOT NULL, d.level + 1
    FROM d JOIN pg_catalog.pg_type p ON p.oid = d.oid WHERE p.typtype = 'd')
  SELECT bool_or(d.strict) AS strict, bool_or(d.defaults) AS defaults,
    (array_agg(d.oid ORDER BY d.level DESC))[1] AS oid
  FROM d) d ON ty.typtype = 'd'
LEFT JOIN pg_catalog.pg_type b ON b.oid = coalesce(d.oid, ty.oid)
LEFT JOIN pg_catalog.pg_namespace bn ON bn.oid = b.typnamespace
LEFT JOIN pg_catalog.pg_type e ON e.oid = b.typelem AND e.typarray = b.oid
LEFT JOIN pg_catalog.pg_type eb
  ON eb.oid = CASE e.typtype WHEN 'd' THEN e.typbasetype ELSE e.oid END
LEFT JOIN pg_catalog.pg_collation co ON co.oid = a.attcollation
UNION ALL
SELECT t.oid::text, t.nspname::text, t.relname::text, t.relkind::text,
  t.relispartition, t.guarded, 'k', (CASE WHEN i.indisprimary THEN 0 ELSE 1 END),
  ic.relname::text, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
  NULL, i.indisprimary, i.indkey::text, i.indnkeyatts::int4
FROM t
JOIN pg_catalog.pg_index i ON i.indrelid = t.oid
JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
WHERE i.indisunique AND i.indisvalid AND i.indimmediate AND NOT i.indisexclusion
  AND i.indpred IS NULL AND i.indexprs IS NULL
ORDER BY rel, what, n, name]]

local VISIBLE = TABLES:format "c.relname = $1 AND pg_catalog.pg_table_is_visible(c.oid)"
local IN_SCHEMA = TABLES:format "c.relname = $1 AND n.nspname = $2"
local ALL = TABLES:format "n.nspname = coalesce($1::text, pg_catalog.current_schema())"

local NAMES = [[
SELECT c.relname::text AS name
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND n.nspname = coalesce($1::text, pg_catalog.current_schema()) LIMIT 2000]]

-- The class of a type by the name and kind of its catalogue row.
local function class_of(name, kind, builtin)
  if kind == "e" then return "text" end
  if not builtin then return name == "citext" and "text" or "other" end
  return kind == "b" and CLASSES[name] or "other"
end

local ORDERED_KINDS = { c = true, e = true, r = true, m = true }

local function is_orderable(row, class)
  if class == "json" then return row.base == "jsonb" end
  if class == "array" then
    return row.ordered or ORDERED_KINDS[row.elem_kind] or row.elem == "varchar"
  end
  return class ~= "other" or row.ordered or ORDERED_KINDS[row.base_kind] or false
end

local function column(row)
  local class, elem
  if row.elem then
    class, elem = "array", class_of(row.elem, row.elem_kind, row.builtin)
  else
    class = class_of(row.base, row.base_kind, row.builtin)
  end
  return {
    name = row.name, type = row.type, title = row.title, class = class, elem = elem,
    bits = BITS[row.elem or row.base], not_null = row.not_null,
    default = row.has_default and not row.generated, generated = row.generated,
    orderable = is_orderable(row, class),
    -- char(n) does not see blanks at the end
    folded = row.folded or row.base == "citext" or row.base == "bpchar",
    jsonb = row.base == "jsonb", always = row.always,
  }
end

-- "3 1": attribute numbers; what was dropped leaves gaps in them.
local function key(row, index_of)
  local cols = {}
  for n in row.cols:gmatch "%d+" do
    if #cols < row.ncols then cols[#cols + 1] = index_of[tonumber(n)] end
  end
  return { name = row.name, primary = row.ordered, columns = cols }
end

local function read(rows)
  local tables, at, index_of = {}, nil, nil
  for _, row in ipairs(rows) do
    local t = tables[#tables]
    if row.rel ~= at then
      at, index_of = row.rel, {}
      t = {
        schema = row.schema, name = row.rel_name, kind = row.kind,
        is_partition = row.is_partition, is_view = row.kind == "v" or row.kind == "m",
        one_statement = row.kind == "r",
        -- COPY knows no rules, and refuses where rows have policies
        copies = row.kind == "r" and not row.guarded, columns = {}, keys = {},
      }
      tables[#tables + 1] = t
    end
    if row.what == "k" then
      t.keys[#t.keys + 1] = key(row, index_of)
    elseif row.name then
      t.columns[#t.columns + 1] = column(row)
      index_of[row.n] = #t.columns
    end
  end
  return tables
end

--- One table, or nil.
-- @tparam function query `query(sql, params)` gives rows
-- @tparam ?string schema nil: as the search path finds it
-- @tparam string name
function M.one(query, schema, name)
  if schema then return read(query(IN_SCHEMA, { name, schema }))[1] end
  return read(query(VISIBLE, { name }))[1]
end

--- All tables of a schema, by name.
-- @tparam function query
-- @tparam ?string schema nil: the first of the search path
-- @param null perigee.null
function M.all(query, schema, null)
  local tables = read(query(ALL, { schema or null }))
  table.sort(tables, function(a, b) return a.name < b.name end)
  return tables
end

--- The names of the tables of a schema, for a suggestion.
function M.names(query, schema, null)
  return query(NAMES, { schema or null })
end

return M
