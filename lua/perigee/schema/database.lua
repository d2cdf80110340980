--- Definitions and the database: create_all, drop_all, create, drop, reflect, and the
-- names of tables and views. Changing a table is in transform.lua.
local catalog = require "perigee.catalog"
local core = require "perigee.core"
local dialect = require "perigee.dialect"
local model = require "perigee.schema.model"
local schema = require "perigee.schema"
local tables = require "perigee.table"
local transaction = require "perigee.transaction"
local util = require "perigee.util"

local usage = util.usage
local M = {}

-- ---- statements ------------------------------------------------------------

-- Runs one statement. What the database refuses is said with the place of the definition.
local function run_one(tx, s)
  local ok, err = pcall(tx.execute, tx, s.sql)
  if ok then return end
  if s.at and s.at.file and getmetatable(err) == core.error then
    local message = err.kind == "syntax" and s.syntax or err.message
    err.message = ("%s:%d: %s: %s"):format(s.at.file, s.at.line, s.what, message)
  end
  error(err, 0)
end

-- Calls fn in one transaction, or in that of `x`; where DDL commits by itself, on one
-- connection.
local function at_once(x, d, fn)
  if d.features.transactional_ddl then return transaction.ensure_transaction(x, fn) end
  if x:in_transaction() then
    usage("statements that create or drop commit a transaction on this database: they are "
      .. "not possible inside one")
  end
  return transaction.ensure_connection(x, fn)
end

-- Runs statements. What is known of tables is read again: core counts statements that
-- change them.
local function run_all(x, d, statements)
  if #statements == 0 then return end
  at_once(x, d, function(tx)
    for _, s in ipairs(statements) do run_one(tx, s) end
  end)
end

local function tree_of(verb, s)
  if schema.is(s) then return s.tree end
  usage("%s: definitions are expected (perigee.schema.load), not %s", verb, type(s))
end

local function definition_of(verb, t)
  if schema.is_definition(t) then return t end
  usage("%s: a definition of a table is expected (schema.tables.name), not %s", verb,
    type(t))
end

-- ---- what is there ---------------------------------------------------------

local LISTS = { "tables", "enums", "views", "objects" }
local TITLES = { tables = "table", enums = "enum", views = "view" }

-- Functions have types in their names, for which the server has its own words. There is
-- one extension of a name, in whatever schema.
local function key_of(d, list, e)
  local name = e.kind and d.signature and d.signature(e.name) or e.name
  local space = e.kind ~= "extension" and e.schema or ""
  return (TITLES[list] or e.kind) .. "\0" .. space .. "\0" .. (e.on or "") .. "\0" .. name
end

-- The schemas that a tree names; nil when it names none.
local function schemas_of(tree)
  local seen, out = {}, {}
  local function add(name)
    if name and not seen[name] then
      seen[name] = true
      out[#out + 1] = name
    end
  end
  for _, name in ipairs(tree.schemas or {}) do add(name) end
  for _, list in ipairs(LISTS) do
    for _, e in ipairs(tree[list] or {}) do add(e.schema) end
  end
  return out
end

-- { [key] = the element as it is there } for what the database has.
local function present(x, d, tree)
  local found = {}
  local live = d.inspect(x, { schemas = schemas_of(tree) })
  for _, list in ipairs(LISTS) do
    for _, e in ipairs(live[list] or {}) do found[key_of(d, list, e)] = e end
  end
  for _, name in ipairs(live.schemas or {}) do found["schema\0" .. name] = true end
  return found
end

-- The part of a tree that is not there.
local function absent_part(d, tree, found)
  local out = { schemas = {}, notes = {} }
  for _, list in ipairs(LISTS) do
    out[list] = {}
    for _, e in ipairs(tree[list] or {}) do
      if not found[key_of(d, list, e)] then table.insert(out[list], e) end
    end
  end
  for _, name in ipairs(tree.schemas or {}) do
    if not found["schema\0" .. name] then table.insert(out.schemas, name) end
  end
  return out
end

-- The schemas in which there is something that is not in the set: { [name] = true }
local function shared_schemas(found, ours)
  local shared = {}
  for _, e in pairs(found) do
    local stands = e ~= true and e.schema and not (e.on or e.owned_by)
    if stands and not ours[e] then shared[e.schema] = true end
  end
  return shared
end

-- The part of a tree that is there, with the keys that its tables have there; schemas
-- only where nothing else is in them.
local function present_part(d, tree, found)
  local out, ours = { schemas = {}, notes = {} }, {}
  for _, list in ipairs(LISTS) do
    out[list] = {}
    for _, e in ipairs(tree[list] or {}) do
      local live = found[key_of(d, list, e)]
      if live then
        table.insert(out[list], list == "tables" and live or e)
        ours[live] = true
      end
    end
  end
  local shared = shared_schemas(found, ours)
  for _, name in ipairs(tree.schemas or {}) do
    if found["schema\0" .. name] and not shared[name] then table.insert(out.schemas, name) end
  end
  return out
end

local function names_of(tree)
  local names = {}
  for _, t in ipairs(tree.tables) do names[#names + 1] = model.key(t) end
  return names
end

-- ---- all of a schema -------------------------------------------------------

--- Creates what the definitions have and the database has not, in an order that works
-- (parents first, constraints between tables that need each other last), in one
-- transaction. What is there is left as it is: migrations change it.
-- @tparam perigee.schema s
-- @treturn {string,...} the tables created
-- @raise usage; and what the database says
function M.create_all(x, s)
  local tree = tree_of("create_all", s)
  local d = dialect.of(x)
  local absent = absent_part(d, tree, present(x, d, tree))
  run_all(x, d, d.create_tree(absent, { tree = tree }))
  return names_of(absent)
end

--- Drops what the definitions have, if it is there, children first, in one transaction.
-- Tables that the definitions do not name stay; when one of them refers to a table that
-- goes, the database refuses.
-- @tparam perigee.schema s
-- @treturn {string,...} the tables dropped
function M.drop_all(x, s)
  local tree = tree_of("drop_all", s)
  local d = dialect.of(x)
  local there = present_part(d, tree, present(x, d, tree))
  run_all(x, d, d.drop_tree(there, { tree = tree }))
  return names_of(there)
end

-- ---- one table -------------------------------------------------------------

local function alone(definition)
  return {
    tables = { definition.tree }, enums = {}, views = {}, objects = {}, schemas = {},
    notes = {},
  }
end

-- The enums that the columns of a table have and the database has not.
local function add_enums(x, d, definition, tree)
  local wanted = {}
  for _, e in ipairs(definition.enums or {}) do wanted[#wanted + 1] = e end
  if #wanted == 0 then return tree end
  tree.enums = wanted
  tree.enums = absent_part(d, tree, present(x, d, tree)).enums
  return tree
end

--- Creates one table, with its indexes, and the enums that it needs.
-- @tparam perigee.definition t schema.tables.name
-- @tparam[opt] table opts if_not_exists = true: false is returned when it is there;
-- replace = true: an existing table is dropped first, with its rows
-- @treturn boolean whether it was created
-- @raise usage, duplicate
function M.create(x, t, opts)
  local definition = definition_of("create", t)
  local o = util.check_options("create", opts, { "if_not_exists", "replace" })
  local d = dialect.of(x)
  local is_there = catalog.read(x, definition.schema, definition.name) ~= nil
  if is_there and o.if_not_exists and not o.replace then return false end
  at_once(x, d, function(tx)
    if is_there and o.replace then
      tx:execute("DROP TABLE " .. d.qualified(definition.schema, definition.name))
    end
    local tree = add_enums(tx, d, definition, alone(definition))
    run_all(tx, d, d.create_tree(tree, { tree = tree }))
  end)
  return true
end

--- Drops a table.
-- @tparam string|perigee.table|perigee.definition t
-- @tparam[opt] table opts if_exists = true: no error when it is not there;
-- cascade = true: also what depends on it (PostgreSQL)
-- @treturn boolean whether there was one
-- @raise undefined; usage on a database without CASCADE
function M.drop(x, t, opts)
  local h = tables.new(x, t)
  local o = util.check_options("drop", opts, { "if_exists", "cascade" })
  local d = dialect.of(x)
  if o.cascade and not d.features.cascade then
    usage("drop: cascade is not known to %s", d.name)
  end
  if o.if_exists and not catalog.read(x, h.schema, h.name) then return false end
  x:execute("DROP TABLE " .. d.qualified(h.schema, h.name)
    .. (o.cascade and " CASCADE" or ""))
  return true
end

-- ---- what there is ---------------------------------------------------------

local function names(verb, x, opts, allowed, is_wanted)
  local o = util.check_options(verb, opts, allowed)
  if o.schema ~= nil and type(o.schema) ~= "string" then
    usage("%s: schema: a name is expected, not %s", verb, type(o.schema))
  end
  local out = {}
  for _, entry in ipairs(catalog.read_all(x, o.schema)) do
    if is_wanted(entry) and (o.partitions or not entry.is_partition) then
      out[#out + 1] = entry.name
    end
  end
  table.sort(out)
  return out
end

--- The names of the tables of a schema, sorted. One query.
-- @tparam[opt] table opts schema (that of unqualified names); partitions = true: those
-- of partitioned tables too
-- @treturn {string,...}
function M.tables(x, opts)
  return names("tables", x, opts, { "schema", "partitions" },
    function(entry) return not entry.is_view end)
end

--- The names of the views of a schema, sorted, materialized ones too.
-- @tparam[opt] table opts schema
-- @treturn {string,...}
function M.views(x, opts)
  return names("views", x, opts, { "schema" }, function(entry) return entry.is_view end)
end

--- Reads tables, views and what else there is, as definitions: types and expressions are
-- in the words of the database.
-- @tparam[opt] table opts schemas (a list; nil: that of unqualified names), include
-- (function(object) that is given { kind, schema, name } and tells whether it is wanted),
-- tables (a list of names: only these)
-- @treturn perigee.schema with `tree`, `tables.name`, `each()`; tree.notes lists what was
-- found and cannot be described
function M.reflect(x, opts)
  local o = util.check_options("reflect", opts, { "schemas", "include", "tables" })
  return schema.of(dialect.of(x).inspect(x, o))
end

return M
