--- A live database of MariaDB as a tree: a fixed number of queries, and one for each routine
-- and event. Expressions are as the server says them.
local core = require "perigee.core"
local parts = require "perigee.dialect.mysql.parts"
local queries = require "perigee.dialect.mysql.queries"
local types = require "perigee.dialect.mysql.types"
local util = require "perigee.util"

local quote = types.quote
local M = {}

local JOURNAL = { perigee_migration = true, perigee_migration_step = true }

local function note(tree, kind, name, on, why)
  tree.notes[#tree.notes + 1] = { kind = kind, name = name, on = on, why = why }
end

-- ---- what is wanted --------------------------------------------------------

local OPTIONS = { schemas = true, include = true, tables = true, names_only = true }

local function check_options(opts, database)
  for k in pairs(opts) do
    if not OPTIONS[k] then
      util.usage("inspect: unknown option %q: allowed are include, names_only, schemas, tables",
        tostring(k))
    end
  end
  for _, name in ipairs(type(opts.schemas) == "table" and opts.schemas or {}) do
    if name ~= database then
      util.usage("only the database of the session, %s, is read, not %s", tostring(database),
        tostring(name))
    end
  end
end

--- The session's database, its defaults and the server.
-- @raise usage without a database; unsupported on a server that is no MariaDB
function M.settings(x)
  local s = x:one(queries.settings)
  if not s.name then util.usage("the session has no database (mysql://…/name)") end
  if not s.version:find "MariaDB" then
    error(core.new_error("unsupported",
      "definitions are read from MariaDB; this server is MySQL " .. s.version), 0)
  end
  return s
end

-- Asks about all tables, or about those named.
local function asker(x, opts)
  if not opts.tables then return function(sql) return x:query((sql:format "")) end end
  local marks = {}
  for i in ipairs(opts.tables) do marks[i] = "?" end
  local part = #marks > 0 and " AND t.table_name IN (" .. table.concat(marks, ", ") .. ")"
    or " AND false"
  return function(sql) return x:query(sql:format(part), opts.tables) end
end

-- { [table] = its rows }
local function by_owner(rows)
  local map = {}
  for _, row in ipairs(rows) do
    local list = map[row.owner] or {}
    map[row.owner] = list
    list[#list + 1] = row
  end
  return map
end

-- ---- tables ----------------------------------------------------------------

local function read_checks(tree, t, rows)
  local json = {}
  for _, row in ipairs(rows) do
    local column = parts.json_of(row)
    if column then
      json[column] = true
    elseif row.level == "Column" then
      note(tree, "check", row.name, t.name, "it is a part of its column")
    else
      t.checks[#t.checks + 1] = { name = row.name, sql = row.expr }
    end
  end
  return json
end

local function read_columns(tree, t, rows, collation, json)
  for _, row in ipairs(rows) do
    t.columns[#t.columns + 1] = parts.column(row, collation, json[row.name] or false)
    local why = parts.oddity(row)
    if why then note(tree, "column", row.name, t.name, why .. " is not compared") end
  end
end

local function read_table(tree, row, settings, rows)
  local t, name = parts.table(row, settings), row.name
  local json = read_checks(tree, t, rows.checks[name] or {})
  read_columns(tree, t, rows.columns[name] or {}, row.collation, json)
  parts.indexes(t, rows.indexes[name] or {})
  parts.foreign_keys(t, rows.foreign_keys[name] or {})
  tree.tables[#tree.tables + 1] = t
end

local function read_tables(x, tree, settings, opts)
  local ask, wanted = asker(x, opts), {}
  for _, row in ipairs(ask(queries.tables)) do
    local is_own = JOURNAL[row.name] and not opts.tables
    if row.kind == "BASE TABLE" and (opts.names_only or not is_own) then
      wanted[#wanted + 1] = row
    elseif not row.kind:find "VIEW" and not is_own then
      note(tree, row.kind:lower(), row.name, nil, "it is not compared")
    end
  end
  if opts.names_only or #wanted == 0 then
    for i, row in ipairs(wanted) do tree.tables[i] = { name = row.name, columns = {} } end
    return
  end
  local rows = {}
  for _, what in ipairs { "columns", "indexes", "foreign_keys", "checks" } do
    rows[what] = by_owner(ask(queries[what]))
  end
  for _, row in ipairs(wanted) do read_table(tree, row, settings, rows) end
end

-- ---- views and objects -----------------------------------------------------

--- A text without the database before names. Strings stay.
function M.without_database(sql, database)
  local prefix, out, at = quote(database) .. ".", {}, 1
  while at <= #sql do
    local c = sql:sub(at, at)
    if c == "'" then
      local stop = at + 1
      while stop <= #sql and sql:sub(stop, stop) ~= "'" do
        stop = stop + (sql:sub(stop, stop) == "\\" and 2 or 1)
      end
      out[#out + 1] = sql:sub(at, stop)
      at = stop + 1
    elseif c == "`" and sql:sub(at, at + #prefix - 1) == prefix then
      at = at + #prefix
    else
      local stop = c == "`" and sql:find("`", at + 1, true) or at
      out[#out + 1] = sql:sub(at, stop)
      at = stop + 1
    end
  end
  return table.concat(out)
end

-- The other views that a view names.
local function find_after(tree)
  for _, v in ipairs(tree.views) do
    for _, other in ipairs(tree.views) do
      if other ~= v and v.sql:find(quote(other.name), 1, true) then
        v.after = v.after or {}
        v.after[#v.after + 1] = other.name
      end
    end
  end
end

local function read_views(x, tree, settings, opts)
  for _, row in ipairs(x:query(queries.views)) do
    local v = { name = row.name }
    if not opts.names_only then v.sql = M.without_database(row.expr, settings.name) end
    if row.checked ~= "NONE" then
      note(tree, "view", row.name, nil, "its WITH CHECK OPTION is not compared")
    end
    tree.views[#tree.views + 1] = v
  end
  if not opts.names_only then find_after(tree) end
end

-- "CREATE DEFINER=`me`@`here` FUNCTION …": who made it is not compared.
local function without_definer(sql)
  return (sql:gsub("^CREATE DEFINER=%S+ ", "CREATE ", 1))
end

local TITLES = { ["function"] = "Function", procedure = "Procedure", event = "Event" }

local function read_objects(x, tree)
  for _, row in ipairs(x:query(queries.triggers)) do
    tree.objects[#tree.objects + 1] = {
      kind = "trigger", name = row.name, on = row.owner,
      sql = ("CREATE TRIGGER %s %s %s ON %s FOR EACH ROW %s"):format(quote(row.name), row.timing,
        row.event, quote(row.owner), row.body),
    }
  end
  for _, row in ipairs(x:query(queries.routines)) do
    local title = TITLES[row.kind]
    if title then
      local shown = x:one(("SHOW CREATE %s %s"):format(row.kind, quote(row.name)))
      tree.objects[#tree.objects + 1] = { kind = row.kind, name = row.name,
        sql = without_definer(shown["Create " .. title]) }
    else
      note(tree, row.kind, row.name, nil, "it is not compared")
    end
  end
end

-- ---- the tree --------------------------------------------------------------

local function filter(tree, include)
  local function sift(list, kind)
    local kept = {}
    for _, e in ipairs(list) do
      local about = { kind = e.kind or kind, name = e.name, on = e.on }
      if include(about) then
        kept[#kept + 1] = e
      else
        note(tree, about.kind, about.name, about.on, "left out by the configuration")
      end
    end
    return kept
  end
  tree.tables, tree.views = sift(tree.tables, "table"), sift(tree.views, "view")
  tree.objects = sift(tree.objects, "object")
end

--- Reads a tree through one connection.
function M.read(x, opts)
  local settings = M.settings(x)
  check_options(opts, settings.name)
  local tree = {
    tables = {}, enums = {}, views = {}, objects = {}, schemas = {}, notes = {},
  }
  read_tables(x, tree, settings, opts)
  if not opts.tables then
    read_views(x, tree, settings, opts)
    if not opts.names_only then read_objects(x, tree) end
  end
  if opts.include then filter(tree, opts.include) end
  return tree
end

--- The database of the session as a tree, without the tables of the journal of migrations.
-- @param x executor
-- @tparam ?table opts tables (names; then views and objects are not read), include
-- (`include{ kind =, name =, on = }` says whether something counts), names_only (tables
-- without their columns), schemas (the session's database is the only one)
-- @treturn table
-- @raise usage; unsupported on MySQL
function M.inspect(x, opts) return M.read(x, opts or {}) end

--- Are two defaults of live trees the same?
function M.same_default(a, b)
  if a == nil or b == nil then return a == b end
  return a.sql == b.sql
end

--- Texts come from the same server: equal ones are equal.
function M.same_text(a, b) return a == b end

return M
