--- The questions to PostgreSQL's catalogues about all that is not a table: views,
-- functions and other objects as the texts that create them, and what needs what.
-- Parameters: $1 the schemas, $2 the default one, whose names
-- are given without it.
local queries = require "perigee.dialect.postgres.queries"

local qname, not_extension = queries.qname, queries.not_extension
local M = {}

-- The text with pg_catalog before the names of the server's own things.
local function catalog(sql)
  return (sql:gsub("%f[%w@]@([%a_]+)", "pg_catalog.%1"))
end

-- Each part gives: kind, schema, name, on, sql, extra, comment, oid (of class).
local function part(sql, values)
  return catalog((sql:gsub("<([%w_]+)>", values or {})))
end

local VIEWS = part([[
SELECT CASE c.relkind WHEN 'v' THEN 'view' ELSE 'materialized view' END AS kind,
  n.nspname::text AS schema, c.relname::text AS name, NULL AS on,
  @pg_get_viewdef(c.oid) AS sql, NULL AS extra,
  @obj_description(c.oid, 'pg_class') AS comment, c.oid::text AS oid,
  c.reloptions AS options
FROM @pg_class c JOIN @pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('v', 'm') AND n.nspname = ANY ($1::text[]) AND <own>]],
  { own = not_extension("pg_class", "c.oid") })

local FUNCTIONS = part([[
SELECT CASE p.prokind WHEN 'p' THEN 'procedure' ELSE 'function' END, n.nspname::text,
  p.proname || '(' || @oidvectortypes(p.proargtypes) || ')', NULL,
  @pg_get_functiondef(p.oid), @quote_ident(n.nspname),
  @obj_description(p.oid, 'pg_proc'), p.oid::text, NULL
FROM @pg_proc p JOIN @pg_namespace n ON n.oid = p.pronamespace
WHERE p.prokind <> 'a' AND n.nspname = ANY ($1::text[])
  AND NOT EXISTS (SELECT FROM @pg_depend x WHERE x.classid = '@pg_proc'::@regclass
    AND x.objid = p.oid AND x.deptype IN ('e', 'i'))]])

-- The name of a function that an aggregate is made of, or NULL.
local function support(column, word)
  return ([[coalesce((SELECT ', %s = ' || %s FROM @pg_proc f
    JOIN @pg_namespace fn ON fn.oid = f.pronamespace WHERE f.oid = a.%s), '')]])
    :format(word, qname("fn.nspname", "f.proname"), column)
end

local AGGREGATES = part([[
SELECT 'aggregate', n.nspname::text,
  p.proname || '(' || @oidvectortypes(p.proargtypes) || ')', NULL,
  'CREATE AGGREGATE ' || <q> || '(' || CASE p.pronargs WHEN 0 THEN '*'
    ELSE @pg_get_function_arguments(p.oid) END || ') ('
    || @substr(<sfunc>, 3) || ', STYPE = ' || @format_type(a.aggtranstype, NULL)
    || CASE WHEN a.aggtransspace > 0 THEN ', SSPACE = ' || a.aggtransspace ELSE '' END
    || <final> || CASE WHEN a.aggfinalextra THEN ', FINALFUNC_EXTRA' ELSE '' END
    || <combine> || <serial> || <deserial>
    || coalesce(', INITCOND = ' || @quote_literal(a.agginitval), '')
    || CASE p.proparallel WHEN 's' THEN ', PARALLEL = SAFE'
      WHEN 'r' THEN ', PARALLEL = RESTRICTED' ELSE '' END || ')',
  NULL, @obj_description(p.oid, 'pg_proc'), p.oid::text, NULL
FROM @pg_proc p JOIN @pg_namespace n ON n.oid = p.pronamespace
JOIN @pg_aggregate a ON a.aggfnoid = p.oid
WHERE a.aggkind = 'n' AND a.aggmtransfn = 0 AND a.aggsortop = 0
  AND n.nspname = ANY ($1::text[]) AND <own>]], {
  q = qname("n.nspname", "p.proname"), own = not_extension("pg_proc", "p.oid"),
  sfunc = support("aggtransfn", "SFUNC"), final = support("aggfinalfn", "FINALFUNC"),
  combine = support("aggcombinefn", "COMBINEFUNC"),
  serial = support("aggserialfn", "SERIALFUNC"),
  deserial = support("aggdeserialfn", "DESERIALFUNC"),
})

-- Rows of tables, views and so on have types as well; those are not objects.
local TYPE_FROM = [[
FROM @pg_type t JOIN @pg_namespace n ON n.oid = t.typnamespace
WHERE n.nspname = ANY ($1::text[]) AND <own> AND ]]

local TYPE_VALUES = {
  q = qname("n.nspname", "t.typname"), own = not_extension("pg_type", "t.oid"),
  collation = qname("cn.nspname", "co.collname"),
  opclass = qname("opn.nspname", "op.opcname"),
  diff = qname("fn.nspname", "f.proname"),
}

local DOMAINS = part([[
SELECT 'domain', n.nspname::text, t.typname::text, NULL,
  'CREATE DOMAIN ' || <q> || ' AS ' || @format_type(t.typbasetype, t.typtypmod)
    || coalesce((SELECT ' COLLATE ' || <collation> FROM @pg_collation co
      JOIN @pg_namespace cn ON cn.oid = co.collnamespace
      JOIN @pg_type b ON b.oid = t.typbasetype
      WHERE co.oid = t.typcollation AND b.typcollation <> t.typcollation), '')
    || coalesce(' DEFAULT ' || @pg_get_expr(t.typdefaultbin, 0), '')
    || CASE WHEN t.typnotnull THEN ' NOT NULL' ELSE '' END
    || coalesce((SELECT @string_agg(' CONSTRAINT ' || @quote_ident(k.conname) || ' '
      || @pg_get_constraintdef(k.oid), '' ORDER BY k.conname) FROM @pg_constraint k
      WHERE k.contypid = t.oid AND k.contype = 'c'), ''),
  NULL, @obj_description(t.oid, 'pg_type'), t.oid::text, NULL
]]
  .. TYPE_FROM .. "t.typtype = 'd'", TYPE_VALUES)

local COMPOSITES = part([[
SELECT 'type', n.nspname::text, t.typname::text, NULL,
  'CREATE TYPE ' || <q> || ' AS (' || coalesce((SELECT @string_agg(
      @quote_ident(a.attname) || ' ' || @format_type(a.atttypid, a.atttypmod)
      || coalesce((SELECT ' COLLATE ' || <collation> FROM @pg_collation co
        JOIN @pg_namespace cn ON cn.oid = co.collnamespace
        JOIN @pg_type b ON b.oid = a.atttypid
        WHERE co.oid = a.attcollation AND b.typcollation <> a.attcollation), ''),
      ', ' ORDER BY a.attnum)
    FROM @pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0
      AND NOT a.attisdropped), '') || ')',
  NULL, @obj_description(t.oid, 'pg_type'), t.oid::text, NULL
]]
  .. TYPE_FROM .. [[t.typtype = 'c' AND EXISTS (SELECT FROM @pg_class c
    WHERE c.oid = t.typrelid AND c.relkind = 'c')]], TYPE_VALUES)

local RANGES = part([[
SELECT 'range', n.nspname::text, t.typname::text, NULL,
  'CREATE TYPE ' || <q> || ' AS RANGE (SUBTYPE = ' || @format_type(r.rngsubtype, NULL)
    || coalesce((SELECT ', SUBTYPE_OPCLASS = ' || <opclass> FROM @pg_opclass op
      JOIN @pg_namespace opn ON opn.oid = op.opcnamespace
      WHERE op.oid = r.rngsubopc AND NOT op.opcdefault), '')
    || coalesce((SELECT ', COLLATION = ' || <collation> FROM @pg_collation co
      JOIN @pg_namespace cn ON cn.oid = co.collnamespace
      JOIN @pg_type b ON b.oid = r.rngsubtype
      WHERE co.oid = r.rngcollation AND b.typcollation <> r.rngcollation), '')
    || coalesce((SELECT ', SUBTYPE_DIFF = ' || <diff> FROM @pg_proc f
      JOIN @pg_namespace fn ON fn.oid = f.pronamespace WHERE f.oid = r.rngsubdiff), '')
    || ')',
  NULL, @obj_description(t.oid, 'pg_type'), t.oid::text, NULL
FROM @pg_range r JOIN @pg_type t ON t.oid = r.rngtypid
JOIN @pg_namespace n ON n.oid = t.typnamespace
WHERE n.nspname = ANY ($1::text[]) AND <own>]], TYPE_VALUES)

-- Sequences of identity columns belong to the columns. What is as it would be
-- anyway is left out of the text.
local SEQUENCES = part([[
SELECT 'sequence', n.nspname::text, c.relname::text, NULL,
  'CREATE ' || CASE c.relpersistence WHEN 'u' THEN 'UNLOGGED ' ELSE '' END
    || 'SEQUENCE ' || <q>
    || CASE s.seqtypid WHEN 20 THEN '' ELSE ' AS ' || @format_type(s.seqtypid, NULL) END
    || CASE s.seqincrement WHEN 1 THEN '' ELSE ' INCREMENT BY ' || s.seqincrement END
    || CASE s.seqmin WHEN 1 THEN '' ELSE ' MINVALUE ' || s.seqmin END
    || CASE WHEN s.seqmax = CASE s.seqtypid WHEN 21 THEN 32767 WHEN 23 THEN 2147483647
      ELSE 9223372036854775807 END THEN '' ELSE ' MAXVALUE ' || s.seqmax END
    || CASE WHEN s.seqstart = s.seqmin THEN '' ELSE ' START WITH ' || s.seqstart END
    || CASE s.seqcache WHEN 1 THEN '' ELSE ' CACHE ' || s.seqcache END
    || CASE WHEN s.seqcycle THEN ' CYCLE' ELSE '' END,
  NULL, @obj_description(c.oid, 'pg_class'), c.oid::text,
  (SELECT ARRAY[rn.nspname::text, r.relname::text, a.attname::text]
    FROM @pg_depend o JOIN @pg_class r ON r.oid = o.refobjid
    JOIN @pg_namespace rn ON rn.oid = r.relnamespace
    JOIN @pg_attribute a ON a.attrelid = r.oid AND a.attnum = o.refobjsubid
    WHERE o.classid = '@pg_class'::@regclass AND o.objid = c.oid
      AND o.refclassid = '@pg_class'::@regclass AND o.deptype = 'a' LIMIT 1)
FROM @pg_sequence s JOIN @pg_class c ON c.oid = s.seqrelid
JOIN @pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ANY ($1::text[])
  AND NOT EXISTS (SELECT FROM @pg_depend x WHERE x.classid = '@pg_class'::@regclass
    AND x.objid = c.oid AND x.deptype IN ('e', 'i'))]],
  { q = qname("n.nspname", "c.relname") })

local ON_TABLES = [[
JOIN @pg_class c ON c.oid = %s JOIN @pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ANY ($1::text[]) AND NOT c.relispartition AND <own> AND ]]

local ON_VALUES = {
  q = qname("n.nspname", "c.relname"), own = not_extension("pg_class", "c.oid"),
}

local TRIGGERS = part([[
SELECT 'trigger', n.nspname::text, t.tgname::text, c.relname::text,
  @pg_get_triggerdef(t.oid, true), NULL, @obj_description(t.oid, 'pg_trigger'),
  t.oid::text, NULL
FROM @pg_trigger t ]] .. ON_TABLES:format "t.tgrelid"
  .. "NOT t.tgisinternal AND t.tgparentid = 0", ON_VALUES)

local EXCLUSIONS = part([[
SELECT 'exclusion', n.nspname::text, k.conname::text, c.relname::text,
  'ALTER TABLE ' || <q> || ' ADD CONSTRAINT ' || @quote_ident(k.conname) || ' '
    || @pg_get_constraintdef(k.oid), NULL, @obj_description(k.oid, 'pg_constraint'),
  k.oid::text, NULL
FROM @pg_constraint k ]] .. ON_TABLES:format "k.conrelid"
  .. "k.contype = 'x' AND k.conparentid = 0", ON_VALUES)

local POLICIES = part([[
SELECT 'policy', n.nspname::text, p.polname::text, c.relname::text,
  'CREATE POLICY ' || @quote_ident(p.polname) || ' ON ' || <q>
    || CASE WHEN p.polpermissive THEN '' ELSE ' AS RESTRICTIVE' END
    || CASE p.polcmd WHEN 'r' THEN ' FOR SELECT' WHEN 'a' THEN ' FOR INSERT'
      WHEN 'w' THEN ' FOR UPDATE' WHEN 'd' THEN ' FOR DELETE' ELSE '' END
    || CASE WHEN p.polroles = '{0}' THEN '' ELSE ' TO ' || (SELECT @string_agg(
      CASE u WHEN 0 THEN 'PUBLIC' ELSE @quote_ident(@pg_get_userbyid(u)) END, ', '
      ORDER BY @pg_get_userbyid(u)) FROM @unnest(p.polroles) u) END
    || coalesce(' USING (' || @pg_get_expr(p.polqual, c.oid) || ')', '')
    || coalesce(' WITH CHECK (' || @pg_get_expr(p.polwithcheck, c.oid) || ')', ''),
  NULL, @obj_description(p.oid, 'pg_policy'), p.oid::text, NULL
FROM @pg_policy p ]] .. ON_TABLES:format "p.polrelid" .. "true", ON_VALUES)

local INDEXES = part([[
SELECT 'index', n.nspname::text, ic.relname::text, c.relname::text,
  @pg_get_indexdef(ic.oid, 0, true), NULL, @obj_description(ic.oid, 'pg_class'),
  ic.oid::text, NULL
FROM @pg_index i JOIN @pg_class ic ON ic.oid = i.indexrelid ]]
  .. ON_TABLES:format "i.indrelid" .. "c.relkind = 'm'", ON_VALUES)

local EXTENSIONS = part([[
SELECT 'extension', n.nspname::text, e.extname::text, NULL,
  'CREATE EXTENSION ' || @quote_ident(e.extname) || CASE WHEN n.nspname = $2 THEN ''
    ELSE ' WITH SCHEMA ' || @quote_ident(n.nspname) END, e.extversion,
  NULL, e.oid::text, NULL::text[]
FROM @pg_extension e JOIN @pg_namespace n ON n.oid = e.extnamespace
WHERE n.nspname <> 'pg_catalog']])

-- What is there, as the letters by which PARTS are chosen: c and relkind, f and prokind,
-- t and typtype; what is on tables only by whether there is any in the database.
M.present = part [[
SELECT @array_agg(DISTINCT o.what) AS present FROM (
  SELECT CASE d.classid
    WHEN '@pg_class'::@regclass THEN
      (SELECT 'c' || c.relkind::text FROM @pg_class c WHERE c.oid = d.objid)
    WHEN '@pg_proc'::@regclass THEN
      (SELECT 'f' || p.prokind::text FROM @pg_proc p WHERE p.oid = d.objid)
    WHEN '@pg_type'::@regclass THEN
      (SELECT 't' || t.typtype::text FROM @pg_type t WHERE t.oid = d.objid) END
  FROM @pg_depend d JOIN @pg_namespace n ON n.oid = d.refobjid
  WHERE d.refclassid = '@pg_namespace'::@regclass AND n.nspname = ANY ($1::text[])
  UNION ALL SELECT 'trigger' WHERE EXISTS (SELECT FROM @pg_trigger WHERE NOT tgisinternal)
  UNION ALL SELECT 'exclusion' WHERE EXISTS (SELECT FROM @pg_constraint WHERE contype = 'x')
  UNION ALL SELECT 'policy' WHERE EXISTS (SELECT FROM @pg_policy)
  ) o (what) WHERE o.what IS NOT NULL]]

local PARTS = {
  { EXTENSIONS },
  { VIEWS, "cv", "cm" }, { INDEXES, "cm" }, { SEQUENCES, "cS" },
  { FUNCTIONS, "ff", "fp", "fw" }, { AGGREGATES, "fa" },
  { DOMAINS, "td" }, { COMPOSITES, "tc" }, { RANGES, "tr" },
  { TRIGGERS, "trigger" }, { EXCLUSIONS, "exclusion" }, { POLICIES, "policy" },
}

local COLUMNS = "kind, schema, name, \"on\", sql, extra, comment, oid, options"

--- All objects, in one result. Only kinds that are there are asked for, because to plan
-- the whole takes the server longer than to run it.
-- @tparam table present set of what `present` gave
-- @treturn string SQL
function M.objects(present)
  local chosen = {}
  for _, p in ipairs(PARTS) do
    local is_there = not p[2]
    for i = 2, #p do is_there = is_there or present[p[i]] end
    if is_there then chosen[#chosen + 1] = p[1] end
  end
  return ("SELECT * FROM (%s) o (%s) WHERE $1::text[] IS NOT NULL")
    :format(table.concat(chosen, "\nUNION ALL "), COLUMNS)
end

--- What views, functions and triggers need: oid of the one, name of the other.
M.dependencies = part([[
SELECT DISTINCT coalesce(r.ev_class, d.objid)::text AS oid, n.nspname::text AS schema,
  coalesce(c.relname::text, p.proname || '(' || @oidvectortypes(p.proargtypes) || ')')
    AS name
FROM @pg_depend d
LEFT JOIN @pg_rewrite r ON d.classid = '@pg_rewrite'::@regclass AND r.oid = d.objid
LEFT JOIN @pg_type t ON d.refclassid = '@pg_type'::@regclass AND t.oid = d.refobjid
LEFT JOIN @pg_type te ON te.oid = t.typelem AND te.typarray = t.oid
LEFT JOIN @pg_class c ON c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.oid = CASE
  WHEN d.refclassid = '@pg_class'::@regclass THEN d.refobjid
  ELSE coalesce(nullif(t.typrelid, 0), te.typrelid) END
LEFT JOIN @pg_proc p ON d.refclassid = '@pg_proc'::@regclass AND p.oid = d.refobjid
JOIN @pg_namespace n ON n.oid = coalesce(c.relnamespace, p.pronamespace)
WHERE d.classid IN ('@pg_rewrite'::@regclass, '@pg_proc'::@regclass,
    '@pg_trigger'::@regclass)
  AND n.nspname = ANY ($1::text[])
  AND coalesce(c.oid, p.oid) <> coalesce(r.ev_class, d.objid)]])

return M
