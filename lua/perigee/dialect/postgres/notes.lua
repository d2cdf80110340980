--- The question to PostgreSQL's catalogues about what is there and not compared, so that
-- nothing is passed over in silence.
-- Parameter: $1 the schemas.
local queries = require "perigee.dialect.postgres.queries"

-- Of relations: kind, SQL of the condition, why.
local RELATIONS = {
  { "partition", "c.relispartition", "a partition is managed by who makes partitions" },
  { "inheritance", "NOT c.relispartition AND EXISTS (SELECT FROM @pg_inherits h "
    .. "WHERE h.inhrelid = c.oid)", "inherits from another table" },
  { "foreign table", "c.relkind = 'f'", "foreign tables are not compared" },
  { "privileges", "c.relacl IS NOT NULL AND c.relpersistence <> 't' "
    .. "AND NOT c.relispartition", "privileges are not compared" },
  { "column privileges", "EXISTS (SELECT FROM @pg_attribute a WHERE a.attrelid = c.oid "
    .. "AND a.attacl IS NOT NULL)", "privileges are not compared" },
  { "tablespace", "c.reltablespace <> 0", "tablespaces are not compared" },
  { "replica identity", "c.relreplident NOT IN ('d', 'n') AND c.relkind IN ('r', 'p')",
    "replica identities are not compared" },
  { "table of a type", "c.reloftype <> 0", "its type is not compared" },
  { "access method", "c.relam <> 0 AND c.relkind IN ('r', 'p', 'm') AND (SELECT am.amname "
    .. "FROM @pg_am am WHERE am.oid = c.relam) <> 'heap'", "access methods are not compared" },
  { "column storage", "c.relkind IN ('r', 'p') AND EXISTS (SELECT FROM @pg_attribute a "
    .. "JOIN @pg_type y ON y.oid = a.atttypid WHERE a.attrelid = c.oid AND a.attnum > 0 "
    .. "AND NOT a.attisdropped AND (a.attstorage <> y.typstorage OR a.attstattarget > 0 "
    .. "OR a.attoptions IS NOT NULL))", "storage and statistics of columns are not compared" },
  { "view column", "c.relkind IN ('v', 'm') AND EXISTS (SELECT FROM @pg_description de "
    .. "WHERE de.objoid = c.oid AND de.classoid = '@pg_class'::@regclass "
    .. "AND de.objsubid > 0)", "comments on its columns are not compared" },
  { "cluster", "EXISTS (SELECT FROM @pg_index i WHERE i.indrelid = c.oid "
    .. "AND i.indisclustered)", "the index it is clustered by is not compared" },
}

local RELATION = "('%s', %s, '%s')"

-- The parts are few, because the server plans each one anew in every transaction, which
-- takes longer than running it.
local RELATIONS_FROM = [[
SELECT v.kind, n.nspname::text AS schema, c.relname::text AS name, NULL::text AS on, v.why
FROM @pg_class c JOIN @pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (VALUES %s) v (kind, is_so, why)
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND n.nspname = ANY ($1::text[])
  AND v.is_so AND ]] .. queries.not_extension("pg_class", "c.oid")

-- What hangs on a table: kind, why, catalogue, column of the table, name, condition.
local ON_TABLES = {
  { "rule", "rules are not compared", "pg_rewrite", "ev_class", "rulename",
    "x.rulename <> '_RETURN'" },
  { "trigger state", "it is not enabled in the usual way, which is not compared",
    "pg_trigger", "tgrelid", "tgname", "NOT x.tgisinternal AND x.tgenabled <> 'O'" },
  { "statistics", "statistics objects are not compared", "pg_statistic_ext", "stxrelid",
    "stxname", "true" },
  { "constraint comment", "comments on constraints are not compared", "pg_constraint",
    "conrelid", "conname", "@obj_description(x.oid, 'pg_constraint') IS NOT NULL" },
  { "inherited check", "it comes from the table above", "pg_constraint", "conrelid",
    "conname", "x.contype = 'c' AND NOT x.conislocal" },
}

local ON_TABLE = "SELECT '%s', x.%s::text, '%s' FROM @%s x WHERE x.%s = c.oid AND %s"

local ON_TABLES_FROM = [[
SELECT x.kind, n.nspname::text, x.name, c.relname::text, x.why
FROM @pg_class c JOIN @pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (%s) x (kind, name, why)
WHERE n.nspname = ANY ($1::text[]) AND NOT c.relispartition]]

-- What lies in a schema: kind, class, name, condition.
local IN_SCHEMAS = {
  { "operator", "pg_operator", "oprname", "true" },
  { "operator class", "pg_opclass", "opcname", "true" },
  { "operator family", "pg_opfamily", "opfname", "true" },
  { "collation", "pg_collation", "collname", "true" },
  { "conversion", "pg_conversion", "conname", "true" },
  { "text search configuration", "pg_ts_config", "cfgname", "true" },
  { "text search dictionary", "pg_ts_dict", "dictname", "true" },
  { "text search parser", "pg_ts_parser", "prsname", "true" },
  { "text search template", "pg_ts_template", "tmplname", "true" },
  { "base type", "pg_type", "typname",
    "x.typtype = 'b' AND x.typelem = 0 AND x.typisdefined" },
  { "aggregate", "pg_proc", "proname", "EXISTS (SELECT FROM @pg_aggregate a "
    .. "WHERE a.aggfnoid = x.oid AND (a.aggkind <> 'n' OR a.aggmtransfn <> 0 "
    .. "OR a.aggsortop <> 0))" },
}

local IN_SCHEMA = [[SELECT '%s', x.%s::text FROM @%s x
  WHERE d.classid = '@%s'::@regclass AND x.oid = d.objid AND %s]]

-- All of these are found by what they depend on: their schema.
local IN_SCHEMAS_FROM = [[
SELECT i.kind, n.nspname::text, i.name, NULL, 'objects of this kind are not compared'
FROM @pg_depend d JOIN @pg_namespace n ON n.oid = d.refobjid
CROSS JOIN LATERAL (%s) i (kind, name)
WHERE d.refclassid = '@pg_namespace'::@regclass AND n.nspname = ANY ($1::text[])
  AND NOT EXISTS (SELECT FROM @pg_depend ext WHERE ext.classid = d.classid
    AND ext.objid = d.objid AND ext.deptype = 'e')]]

-- What belongs to the whole database.
local GLOBAL = {
  [[SELECT 'publication', NULL, p.pubname::text, NULL, 'publications are not compared'
FROM @pg_publication p]],
  [[SELECT 'event trigger', NULL, e.evtname::text, NULL, 'event triggers are not compared'
FROM @pg_event_trigger e WHERE ]] .. queries.not_extension("pg_event_trigger", "e.oid"),
  [[SELECT 'foreign server', NULL, s.srvname::text, NULL, 'foreign servers are not compared'
FROM @pg_foreign_server s]],
  [[SELECT 'cast', NULL, @format_type(k.castsource, NULL) || ' as '
  || @format_type(k.casttarget, NULL), NULL, 'casts are not compared'
FROM @pg_cast k WHERE k.oid >= 16384 AND ]] .. queries.not_extension("pg_cast", "k.oid"),
  [[SELECT 'language', NULL, l.lanname::text, NULL, 'languages are not compared'
FROM @pg_language l WHERE l.oid >= 16384 AND ]]
    .. queries.not_extension("pg_language", "l.oid"),
  [[SELECT 'function privileges', n.nspname::text,
  p.proname || '(' || @oidvectortypes(p.proargtypes) || ')', NULL,
  'privileges are not compared'
FROM @pg_proc p JOIN @pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname = ANY ($1::text[]) AND p.proacl IS NOT NULL AND ]]
    .. queries.not_extension("pg_proc", "p.oid"),
  [[SELECT 'default privileges', n.nspname::text, @pg_get_userbyid(a.defaclrole)::text,
  NULL, 'privileges are not compared'
FROM @pg_default_acl a LEFT JOIN @pg_namespace n ON n.oid = a.defaclnamespace
WHERE n.nspname IS NULL OR n.nspname = ANY ($1::text[])]],
}

-- Puts one text for each row of the list, joined, into `from`.
local function join(from, list, between, text_of)
  local texts = {}
  for i, row in ipairs(list) do texts[i] = text_of(row) end
  return (from:gsub("%%s", function() return table.concat(texts, between) end))
end

local function build()
  local parts = {
    join(RELATIONS_FROM, RELATIONS, ",\n", function(r)
      return RELATION:format(r[1], r[2], r[3])
    end),
    join(ON_TABLES_FROM, ON_TABLES, "\nUNION ALL ", function(r)
      return ON_TABLE:format(r[1], r[5], r[2], r[3], r[4], r[6])
    end),
    join(IN_SCHEMAS_FROM, IN_SCHEMAS, "\nUNION ALL ", function(r)
      return IN_SCHEMA:format(r[1], r[3], r[2], r[2], r[4])
    end),
  }
  for _, sql in ipairs(GLOBAL) do parts[#parts + 1] = sql end
  local sql = table.concat(parts, "\nUNION ALL ")
  return (sql:gsub("@([%a_]+)", "pg_catalog.%1")) .. "\nORDER BY 1, 2, 4, 3"
end

return { notes = build() }
