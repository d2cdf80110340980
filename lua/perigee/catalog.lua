--- What is known of the tables of a handle: read from the database's catalogue at
-- the first use, one query for a table, and kept in the handle's environment.
-- An entry is { info (userdata of core), schema, name, columns, keys, kind, at, ddl }. A
-- definition of the table may make another one of it, whose `base` it is.
-- It is read again when DDL ran through the handle (core counts it in env.ddl), when
-- the database says that the table or a column is undefined, and, at most once a
-- second, when a call names a column that is not known.
local core = require "perigee.core"
local wait = require "perigee.wait"
local defined = require "perigee.catalog.defined"
local near = require "perigee.sandbox.near"
local util = require "perigee.util"

local SOURCES = {
  postgres = require "perigee.catalog.postgres",
  sqlite = require "perigee.catalog.sqlite",
  mysql = require "perigee.catalog.mysql",
}

local env, now = core.env, core.now
local run_query = wait.leaf(core.verbs.query)
local M = {}

local REFRESH_SECONDS = 1

local function handle_of(x)
  return getmetatable(x) == core.db_mt and x or env(x)[1]
end

local function key_of(schema, name)
  return (schema or "") .. "\0" .. name
end

--- What is kept for the handle of `x`: { env, tables = { [key] = entry },
-- handles = { [text] = handle of perigee.table }, and by what a definition is: `defined`
-- = { [tree] = entry }, `by_definition` = { [definition] = handle } }. These do not keep
-- definitions alive, for nothing in them has a way back to its key.
function M.of(x)
  local e = env(x)
  local catalog = e.catalog
  if catalog then return catalog end
  local root = env(handle_of(x))
  catalog = root.catalog
  if not catalog then
    catalog = {
      env = root, tables = {}, handles = {},
      defined = setmetatable({}, { __mode = "k" }),
      by_definition = setmetatable({}, { __mode = "k" }),
    }
    root.catalog = catalog
  end
  e.catalog = catalog
  return catalog
end

local function source_of(x)
  local dialect = core.driver(x).dialect
  local source = SOURCES[dialect]
  if not source then
    error(core.new_error("unsupported",
      ("tables of a %s database cannot be read"):format(dialect)), 0)
  end
  return source, function(sql, params) return run_query(x, sql, params) end
end

-- ---- entries ---------------------------------------------------------------

-- The names of the primary key's columns, or nil.
local function primary_names(spec)
  local key = spec.keys[1]
  if not key or not key.primary then return nil end
  local names = {}
  for i, c in ipairs(key.columns) do names[i] = spec.columns[c].name end
  return names
end

-- The column that the database counts, or nil.
local function auto_name(spec)
  for _, c in ipairs(spec.columns) do
    if c.auto then return c.name end
  end
end

local function new_entry(x, spec, at, ddl)
  local by_name, features = {}, core.driver(x).features
  for _, c in ipairs(spec.columns) do by_name[c.name] = c end
  return {
    info = core.table_info(handle_of(x), spec), schema = spec.schema, name = spec.name,
    columns = spec.columns, by_name = by_name, keys = spec.keys,
    pk = primary_names(spec), is_view = spec.is_view, is_partition = spec.is_partition,
    one_statement = spec.one_statement and not by_name["perigee:created"],
    -- what stepwise.lua is for: conflicts with one key, and rows read by another statement
    steps = features.steps, apart = not features.returning,
    auto = auto_name(spec), increment = spec.increment,
    copies = spec.copies, refine = spec.strict and defined.columns or spec.refine, at = at,
    ddl = ddl,
  }
end

local function enter(x, catalog, schema, spec, ddl)
  spec.schema = schema
  local entry = new_entry(x, spec, now(), ddl)
  catalog.tables[key_of(schema, spec.name)] = entry
  return entry
end

-- The entry of a table of which the database says less than its definition.
local function define(x, catalog, base, definition)
  local entry = catalog.defined[definition]
  if entry and entry.base == base then return entry end
  local spec = {}
  for k, v in pairs(base) do spec[k] = v end
  spec.columns = base.refine(base.columns, definition)
  entry = new_entry(x, spec, base.at, base.ddl)
  entry.base = base
  catalog.defined[definition] = entry
  return entry
end

--- Reads a table anew. nil when there is none.
function M.read(x, schema, name)
  local catalog = M.of(x)
  local source, query = source_of(x)
  local ddl = catalog.env.ddl
  local spec = source.one(query, schema, name, core.null)
  if spec then return enter(x, catalog, schema, spec, ddl) end
  catalog.tables[key_of(schema, name)] = nil
  return nil
end

--- Reads all tables of a schema in a few queries; a list of entries by name.
-- @tparam ?string schema nil: the one where unqualified names are created
function M.read_all(x, schema)
  local catalog = M.of(x)
  local source, query = source_of(x)
  local ddl, entries = catalog.env.ddl, {}
  for i, spec in ipairs(source.all(query, schema, core.null)) do
    entries[i] = enter(x, catalog, schema, spec, ddl)
  end
  return entries
end

-- ---- tables that are not there ---------------------------------------------

local function similar(x, schema, name)
  local source, query = source_of(x)
  local ok, rows = pcall(source.names, query, schema, core.null)
  local list = {}
  for i, row in ipairs(ok and rows or {}) do list[i] = row.name end
  return near.nearest(name, list)
end

local function raise_undefined(x, schema, name)
  local title = schema and schema .. "." .. name or name
  local other = similar(x, schema, name)
  local hint = other and (' (is "%s" meant?)'):format(other) or ""
  error(core.new_error("undefined", ('there is no table "%s"%s'):format(title, hint),
    { table = name, schema = schema }), 0)
end

-- ---- for handles -----------------------------------------------------------

--- The entry of a table, read if it is not known or not current.
-- @tparam ?table definition of the table (its tree), where there is one
-- @raise undefined
function M.get(x, catalog, schema, name, definition)
  local entry = catalog.tables[key_of(schema, name)]
  if not entry or entry.ddl ~= catalog.env.ddl then
    entry = M.read(x, schema, name) or raise_undefined(x, schema, name)
  end
  if definition and entry.refine then return define(x, catalog, entry, definition) end
  return entry
end

--- After a call that named an unknown column: is there newer knowledge now?
-- So that a loop of wrong calls does not ask each time, nothing younger than a
-- second is read again.
function M.refresh(x, entry)
  if now() - entry.at < REFRESH_SECONDS then return false end
  return (pcall(M.read, x, entry.schema, entry.name))
end

--- The database does not know what the entry says: the next use reads it.
function M.forget(entry)
  entry.ddl = false
  if entry.base then entry.base.ddl = false end
end

-- ---- names -----------------------------------------------------------------

local function check_part(part, text)
  if type(part) ~= "string" or part == "" then
    util.usage("%s is not the name of a table", text)
  end
  return part
end

--- Schema (or nil) and name that a string, { schema =, name = } or a definition stands
-- for, and the definition's tree.
function M.parse(t)
  if type(t) == "string" then
    local schema, name = t:match "^([^.]*)%.([^.]*)$"
    if not schema and t:find(".", 1, true) then
      util.usage('table %q: a name with dots is given as { schema = "…", name = "…" }', t)
    end
    local shown = ("%q"):format(t)
    return schema and check_part(schema, shown), check_part(name or t, shown)
  end
  local definitions = package.loaded["perigee.schema"]
  if definitions and definitions.is_definition(t) then return t.schema, t.name, t.tree end
  if type(t) ~= "table" or getmetatable(t) ~= nil then
    util.usage("a table is named by a string, { schema =, name = }, a definition or a "
      .. "handle, not %s", type(t))
  end
  for k in pairs(t) do
    if k ~= "schema" and k ~= "name" then
      util.usage("table: unknown field %q: allowed are name, schema", tostring(k))
    end
  end
  return t.schema ~= nil and check_part(t.schema, "schema") or nil, check_part(t.name, "name")
end

return M
