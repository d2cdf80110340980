--- The questions to PostgreSQL's catalogues about tables: one for each kind of thing,
-- for all schemas together. Parameters of `tables`: $1 the schemas, $2 names of tables or
-- NULL for all; of what tables have: $1 the oids of tables.
local M = {}

-- What an extension owns is the extension's business.
local NO_EXTENSION = [[NOT EXISTS (SELECT FROM pg_catalog.pg_depend ext
    WHERE ext.classid = '%s'::pg_catalog.regclass AND ext.objid = %s AND ext.deptype = 'e')]]

function M.not_extension(class, oid)
  return NO_EXTENSION:format("pg_catalog." .. class, oid)
end

--- A name as SQL writes it, without the default schema, which is $2.
-- @tparam string schema SQL that gives the schema's name
-- @tparam string name SQL that gives the name
function M.qname(schema, name)
  return ("(CASE WHEN %s IN ($2, 'pg_catalog') THEN '' "
    .. "ELSE pg_catalog.quote_ident(%s) || '.' END || pg_catalog.quote_ident(%s))")
    :format(schema, schema, name)
end

-- The names of the columns whose numbers the array has.
local function names_of(array, relation)
  return ([[ARRAY(SELECT a.attname::text
      FROM pg_catalog.unnest(%s) WITH ORDINALITY k (num, n)
      JOIN pg_catalog.pg_attribute a ON a.attrelid = %s AND a.attnum = k.num
      ORDER BY k.n)]]):format(array, relation)
end

--- Session and server, before the search path is changed.
M.settings = [[
SELECT pg_catalog.current_schema()::text AS schema,
  pg_catalog.current_setting('search_path') AS path,
  pg_catalog.current_setting('server_version_num')::int4 AS version,
  (SELECT n.nspname::text FROM pg_catalog.pg_namespace n
    WHERE n.oid = pg_catalog.pg_my_temp_schema()) AS temp,
  pg_catalog.array_agg(n.nspname::text ORDER BY n.nspname) AS schemas
FROM pg_catalog.pg_namespace n
WHERE n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema'
  AND ]] .. M.not_extension("pg_namespace", "n.oid")

M.tables = [[
SELECT t.oid::text AS oid, n.nspname::text AS schema, t.relname::text AS name,
  t.relpersistence::text AS persistence, t.reloptions AS options,
  x.reloptions AS toast, t.relrowsecurity AS row_security,
  t.relforcerowsecurity AS force_row_security,
  CASE t.relkind WHEN 'p' THEN pg_catalog.pg_get_partkeydef(t.oid) END AS partition_by,
  pg_catalog.obj_description(t.oid, 'pg_class') AS comment
FROM pg_catalog.pg_class t
JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
LEFT JOIN pg_catalog.pg_class x ON x.oid = t.reltoastrelid
WHERE t.relkind IN ('r', 'p') AND NOT t.relispartition
  AND n.nspname = ANY ($1::text[])
  AND ($2::text[] IS NULL OR t.relname = ANY ($2::text[]))
  AND ]] .. M.not_extension("pg_class", "t.oid")

M.columns = [[
SELECT a.attrelid::text AS oid, a.attname::text AS name, a.attnotnull AS not_null,
  pg_catalog.format_type(a.atttypid, a.atttypmod) AS type,
  e.typname::text AS enum, en.nspname::text AS enum_schema, ty.typtype <> 'e' AS is_array,
  pg_catalog.pg_get_expr(d.adbin, d.adrelid) AS expr,
  a.attidentity::text AS identity, a.attgenerated::text AS generated,
  pg_catalog.col_description(a.attrelid, a.attnum) AS comment,
  co.collname::text AS collation, cn.nspname::text AS collation_schema,
  s.seqstart::text AS start, s.seqincrement::text AS increment, s.seqmin::text AS min,
  s.seqmax::text AS max, s.seqcache::text AS cache, s.seqcycle AS cycle,
  pg_catalog.format_type(s.seqtypid, NULL) AS seq_type
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_type ty ON ty.oid = a.atttypid
LEFT JOIN pg_catalog.pg_type e ON e.typtype = 'e'
  AND e.oid = CASE ty.typtype WHEN 'e' THEN ty.oid ELSE ty.typelem END
LEFT JOIN pg_catalog.pg_namespace en ON en.oid = e.typnamespace
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
LEFT JOIN pg_catalog.pg_collation co
  ON co.oid = a.attcollation AND a.attcollation <> ty.typcollation
LEFT JOIN pg_catalog.pg_namespace cn ON cn.oid = co.collnamespace
LEFT JOIN pg_catalog.pg_depend dep ON dep.refobjid = a.attrelid AND dep.refobjsubid = a.attnum
  AND dep.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
  AND dep.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND dep.deptype = 'i'
LEFT JOIN pg_catalog.pg_sequence s ON s.seqrelid = dep.objid
WHERE a.attrelid = ANY ($1::text[]::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum]]

-- Constraints that a partition or a child got from above are told with those.
local CONSTRAINTS = [[
SELECT con.conrelid::text AS oid, con.conname::text AS name, con.contype::text AS type,
  con.condeferrable AS deferrable, con.condeferred AS deferred,
  con.convalidated AS valid, con.connoinherit AS no_inherit,
  con.confdeltype::text AS on_delete, con.confupdtype::text AS on_update,
  con.confmatchtype::text AS match, pg_catalog.pg_get_expr(con.conbin, con.conrelid) AS expr,
  rn.nspname::text AS ref_schema, r.relname::text AS ref_table,
  ]] .. names_of("con.conkey", "con.conrelid") .. [[ AS columns,
  ]] .. names_of("con.confkey", "con.confrelid") .. [[ AS ref_columns,
  CASE WHEN con.contype IN ('p', 'u') THEN
  ]] .. names_of("(i.indkey::int2[])[i.indnkeyatts:]", "con.conrelid") .. [[ END AS include,
  %s AS nulls_not_distinct, %s AS set_columns
FROM pg_catalog.pg_constraint con
LEFT JOIN pg_catalog.pg_class r ON r.oid = con.confrelid
LEFT JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace
LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = con.conindid
WHERE con.conrelid = ANY ($1::text[]::oid[])
  AND con.contype IN ('p', 'u', 'f', 'c') AND con.conparentid = 0
  AND (con.contype <> 'c' OR con.conislocal)
ORDER BY con.conrelid, con.conname]]

--- @tparam number version server_version_num
function M.constraints(version)
  if version < 150000 then return CONSTRAINTS:format("false", "NULL::text[]") end
  return CONSTRAINTS:format("i.indnullsnotdistinct",
    names_of("con.confdelsetcols", "con.conrelid"))
end

local INDEXES = [[
SELECT i.indrelid::text AS oid, c.relname::text AS name, i.indisunique AS unique,
  i.indisvalid AS valid, am.amname::text AS method, c.reloptions AS options,
  i.indoption::text AS flags, i.indnkeyatts::int4 AS nkeys, i.indkey::text AS numbers,
  ARRAY(SELECT pg_catalog.pg_get_indexdef(c.oid, k, false)
    FROM pg_catalog.generate_series(1, i.indnkeyatts) k ORDER BY k) AS keys,
  ]] .. names_of("i.indkey::int2[]", "i.indrelid") .. [[ AS columns,
  pg_catalog.pg_get_indexdef(c.oid) AS def,
  pg_catalog.pg_get_expr(i.indpred, i.indrelid) AS predicate,
  pg_catalog.obj_description(c.oid, 'pg_class') AS comment,
  %s AS nulls_not_distinct
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_am am ON am.oid = c.relam
WHERE i.indrelid = ANY ($1::text[]::oid[]) AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint con
  WHERE con.conindid = c.oid AND con.contype IN ('p', 'u', 'x'))
ORDER BY i.indrelid, c.relname]]

--- @tparam number version server_version_num
function M.indexes(version)
  return (INDEXES:gsub("%%s", version < 150000 and "false" or "i.indnullsnotdistinct"))
end

M.enums = [[
SELECT n.nspname::text AS schema, t.typname::text AS name,
  ARRAY(SELECT e.enumlabel::text FROM pg_catalog.pg_enum e
    WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder) AS values,
  pg_catalog.obj_description(t.oid, 'pg_type') AS comment
FROM pg_catalog.pg_type t
JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
WHERE t.typtype = 'e' AND n.nspname = ANY ($1::text[])
  AND ]] .. M.not_extension("pg_type", "t.oid")

return M
