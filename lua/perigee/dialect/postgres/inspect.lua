--- A live database as a tree: a fixed number of queries, however many tables there
-- are. Names and expressions are as the server says them with the default schema as
-- the search path, so that only names of other schemas have their schema.
local core = require "perigee.core"
local parts = require "perigee.dialect.postgres.parts"
local queries = require "perigee.dialect.postgres.queries"
local objects = require "perigee.dialect.postgres.objects"
local notes = require "perigee.dialect.postgres.notes"
local transaction = require "perigee.transaction"
local util = require "perigee.util"

local usage = util.usage
local M = {}

-- ---- what is read ----------------------------------------------------------

-- The name of a schema in the tree: nil for the default one.
local function logical(view, schema)
  if schema == view.default then return nil end
  return schema
end

local function read_tables(view, query)
  local by_oid, tables = {}, {}
  for i, row in ipairs(query(queries.tables)) do
    local t = parts.table(row, logical(view, row.schema))
    tables[i], by_oid[row.oid] = t, t
  end
  return tables, by_oid
end

local function read_enums(view, query)
  local enums, by_name = {}, {}
  for i, row in ipairs(query(queries.enums)) do
    local e = { schema = logical(view, row.schema), name = row.name,
      values = parts.list(row.values) or {}, comment = row.comment }
    enums[i], by_name[row.schema .. "\0" .. row.name] = e, e
  end
  return enums, by_name
end

-- Puts the rows of a query about parts of tables where they belong.
local function read_parts(by_oid, rows, add)
  for _, row in ipairs(rows) do
    local t = by_oid[row.oid]
    if t then add(t, row) end
  end
end

local function add_column(view, enums)
  return function(t, row)
    local c = parts.column(row)
    local e = row.enum and enums[row.enum_schema .. "\0" .. row.enum]
    if e then
      c.type = { enum = e.name, schema = e.schema, values = parts.copy_list(e.values),
        array = row.is_array and 1 or nil }
    end
    if row.collation then
      c.collation = parts.collation(row.collation, logical(view, row.collation_schema))
    end
    t.columns[#t.columns + 1] = c
  end
end

local function add_constraint(view)
  return function(t, row)
    parts.constraint(t, row, row.ref_schema and logical(view, row.ref_schema))
  end
end

local function add_index(t, row)
  if row.def then t.indexes[#t.indexes + 1] = parts.index(row) end
end

-- ---- objects ---------------------------------------------------------------

-- "CREATE OR REPLACE FUNCTION public.f(": the server always names the schema.
local function without_schema(sql, schema)
  local from, to = sql:find(schema .. ".", 1, true)
  local head = from and sql:sub(1, from - 1)
  if not head or not head:find "^CREATE OR REPLACE %u+ $" then return sql end
  return head .. sql:sub(to + 1)
end

local function owner(view, names)
  local schema, name, column = logical(view, names[1]), names[2], names[3]
  if (schema or ""):find("%.") or name:find("%.") or column:find("%.") then
    return { schema = schema, table = name, column = column }
  end
  return (schema and schema .. "." or "") .. name .. "." .. column
end

local function view_of(row, schema)
  return {
    schema = schema, name = row.name, sql = (row.sql:gsub("^%s+", ""):gsub(";%s*$", "")),
    materialized = row.kind ~= "view" or nil, comment = row.comment,
    with = parts.options(row.options),
  }
end

local function object_of(view, row, schema)
  local o = { kind = row.kind, schema = schema, name = row.name, on = row.on,
    sql = row.sql, comment = row.comment }
  if row.kind == "sequence" and row.options then
    o.owned_by = owner(view, parts.list(row.options))
  elseif row.kind == "extension" then
    o.version = row.extra
  elseif row.extra and not schema then
    o.sql = without_schema(row.sql, row.extra)
  end
  return o
end

local function title(e) return e.schema and e.schema .. "." .. e.name or e.name end

local HAVE_AFTER = {
  ["function"] = true, procedure = true, aggregate = true, trigger = true,
}

-- What has just been dropped by somebody else has no text any more.
local function read_objects(view, query, tree)
  local by_oid, present = {}, {}
  local kinds = query(objects.present, { view.array })[1].present
  for _, kind in ipairs(parts.list(kinds) or {}) do present[kind] = true end
  for _, row in ipairs(query(objects.objects(present), { view.array, view.default })) do
    local schema = logical(view, row.schema)
    local is_view = row.kind == "view" or row.kind == "materialized view"
    local e = row.sql
      and (is_view and view_of(row, schema) or object_of(view, row, schema))
    local list = is_view and tree.views or tree.objects
    list[#list + 1] = e or nil
    if e and (is_view or HAVE_AFTER[e.kind]) then by_oid[row.oid] = e end
  end
  return by_oid
end

-- Only what is in the tree can be named in `after`.
local function read_dependencies(view, query, tree, by_oid)
  local known = {}
  for _, list in ipairs { tree.tables, tree.views, tree.objects } do
    for _, e in ipairs(list) do known[title(e)] = e end
  end
  for _, row in ipairs(query(objects.dependencies, { view.array })) do
    local e = by_oid[row.oid]
    local name = title { schema = logical(view, row.schema), name = row.name }
    if e and known[name] and known[name] ~= e and name ~= e.on then
      e.after = e.after or {}
      e.after[#e.after + 1] = name
    end
  end
end

local function read_notes(view, query, tree)
  for i, row in ipairs(query(notes.notes, { view.array })) do
    tree.notes[i] = { kind = row.kind, schema = row.schema and logical(view, row.schema),
      name = row.name, on = row.on, why = row.why }
  end
end

-- ---- the tree --------------------------------------------------------------

local function by_name(a, b)
  for _, field in ipairs { "schema", "kind", "on" } do
    local one, other = a[field] or "", b[field] or ""
    if one ~= other then return one < other end
  end
  return a.name < b.name
end

--- Puts all lists in the order of their names.
function M.sort(tree)
  for _, list in ipairs { tree.tables, tree.enums, tree.views, tree.objects } do
    table.sort(list, by_name)
    for _, e in ipairs(list) do
      if e.after then table.sort(e.after) end
    end
  end
  table.sort(tree.schemas)
  return tree
end

local function read_all_tables(view, run)
  local tables, by_oid = read_tables(view, function(sql)
    return run(sql, { view.array, view.names or core.null })
  end)
  local enums, enum_of = read_enums(view, function(sql) return run(sql, { view.array }) end)
  if #tables > 0 and not view.names_only then
    local oids = {}
    for oid in pairs(by_oid) do oids[#oids + 1] = oid end
    oids = { core.array(oids) }
    local function of_tables(sql) return run(sql, oids) end
    read_parts(by_oid, of_tables(queries.columns), add_column(view, enum_of))
    read_parts(by_oid, of_tables(queries.constraints(view.version)), add_constraint(view))
    read_parts(by_oid, of_tables(queries.indexes(view.version)), add_index)
  end
  return tables, enums
end

--- Reads a tree through `tx`, whose search path is already as it should be.
-- @tparam table view default (name of the schema that is left out), list (of all
-- schemas), version, names (?list of tables), names_only, notes (false: none)
-- @treturn table
function M.read(tx, view)
  view.array = core.array(view.list)
  view.names = view.names and core.array(view.names)
  local function run(sql, params) return tx:query(sql, params) end
  local tree = { views = {}, objects = {}, schemas = {}, notes = {} }
  tree.tables, tree.enums = read_all_tables(view, run)
  if not view.names then
    local by_oid = read_objects(view, run, tree)
    if not view.names_only and next(by_oid) then
      read_dependencies(view, run, tree, by_oid)
    end
    if view.notes ~= false then read_notes(view, run, tree) end
  end
  for _, s in ipairs(view.list) do
    if s ~= view.default then tree.schemas[#tree.schemas + 1] = s end
  end
  return M.sort(tree)
end

-- ---- which schemas ---------------------------------------------------------

local function choose(view, wanted, existing)
  local is_wanted, other = { [view.default] = true }, {}
  for _, s in ipairs(type(wanted) == "table" and wanted or {}) do is_wanted[s] = true end
  view.list = {}
  for _, s in ipairs(existing) do
    if wanted == "all" or is_wanted[s] then
      view.list[#view.list + 1] = s
    else
      other[#other + 1] = { kind = "schema", name = s,
        why = "it is not among the schemas that are looked at" }
    end
  end
  return other
end

local OPTIONS = { schemas = true, include = true, tables = true, names_only = true }

local function check_options(opts)
  for k in pairs(opts) do
    if not OPTIONS[k] then
      usage("inspect: unknown option %q: allowed are include, names_only, schemas, tables",
        tostring(k))
    end
  end
  return opts
end

--- The settings of the session: default schema, search path, version, schemas.
function M.settings(x)
  local s = x:one(queries.settings)
  if not s.schema then
    usage("the search path (%s) names no schema that exists", s.path)
  end
  s.schemas = parts.list(s.schemas) or {}
  return s
end

--- Keeps what `include(object)` says yes to; the rest becomes notes.
function M.filter(tree, include)
  local function sift(list, kind)
    local kept = {}
    for _, e in ipairs(list) do
      local about = { kind = e.kind or kind, schema = e.schema, name = e.name, on = e.on }
      if include(about) then
        kept[#kept + 1] = e
      else
        about.why = "left out by the configuration"
        tree.notes[#tree.notes + 1] = about
      end
    end
    return kept
  end
  tree.tables, tree.enums = sift(tree.tables, "table"), sift(tree.enums, "enum")
  tree.views, tree.objects = sift(tree.views, "view"), sift(tree.objects, "object")
  return tree
end

-- Calls fn(tx) with the search path set, and sets it back.
local function with_path(tx, path, back, fn)
  local function set(to)
    tx:query("SELECT pg_catalog.set_config('search_path', $1, true)", { to })
  end
  set(path)
  local r = util.pack(pcall(fn, tx))
  if not r[1] then error(r[2], 0) end
  set(back)
  return r[2]
end

local function quote_path(schema) return '"' .. schema:gsub('"', '""') .. '"' end

local JOURNAL = { perigee_migration = true, perigee_migration_step = true }

-- The journal of migrations is no part of the schema; names_only and who asks for a
-- table by its name see it.
local function drop_journal(tree)
  local kept = {}
  for _, t in ipairs(tree.tables) do
    if not JOURNAL[t.name] then kept[#kept + 1] = t end
  end
  tree.tables = kept
end

local function inspect(tx, opts)
  local s = M.settings(tx)
  local view = { default = s.schema, version = s.version, names = opts.tables,
    names_only = opts.names_only }
  local other = choose(view, opts.schemas, s.schemas)
  return with_path(tx, quote_path(s.schema), s.path, function()
    local tree = M.read(tx, view)
    for _, n in ipairs(other) do tree.notes[#tree.notes + 1] = n end
    if not opts.names_only and not opts.tables then drop_journal(tree) end
    if opts.include then M.filter(tree, opts.include) end
    return tree
  end)
end

--- The database as a tree, without the tables of the journal of migrations.
-- @param x executor; on a handle all is read in one snapshot
-- @tparam ?table opts schemas (names besides the default one, or "all"; nil: the
-- default one only), tables (names; then objects are not read), include
-- (`include{ kind =, schema =, name =, on = }` says whether an object counts), names_only
-- (tables without their columns and what hangs on them)
-- @treturn table
-- @raise usage
function M.inspect(x, opts)
  opts = check_options(opts or {})
  local target = transaction.target(x)
  if target and core.info(target).is_tx then return inspect(target, opts) end
  return transaction.transaction(x, function(tx) return inspect(tx, opts) end,
    { isolation = "repeatable_read", readonly = true })
end

return M
