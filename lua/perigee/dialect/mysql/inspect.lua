--- A live database as a tree: a fixed number of queries, and one for each routine
-- and event, and for what information_schema does not give as it is. Expressions are as
-- the server says them.
local core = require "perigee.core"
local mysql8 = require "perigee.dialect.mysql.mysql8"
local parts = require "perigee.dialect.mysql.parts"
local queries = require "perigee.dialect.mysql.queries"
local texts = require "perigee.dialect.mysql.texts"
local types = require "perigee.dialect.mysql.types"
local util = require "perigee.util"
local wide = require "perigee.dialect.mysql.wide"

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
-- @raise usage without a database; unsupported on a MySQL that is too old
function M.settings(x)
  local s = x:one(queries.settings)
  if not s.name then util.usage("the session has no database (mysql://…/name)") end
  s.is_mysql = mysql8.is(s.version)
  local oldest = s.is_mysql and mysql8.wanted(s.version)
  if oldest then
    error(core.new_error("unsupported", ("definitions are read from MariaDB and from MySQL %s "
      .. "or later; this server is MySQL %s"):format(oldest, s.version)), 0)
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

-- The checks of a table; those that are a part of a column: { [column] = SQL }.
local function read_checks(tree, t, rows)
  local columns = {}
  for _, row in ipairs(rows) do
    if row.level == "Column" then
      columns[row.name] = row.expr
    else
      local idle = tonumber(row.idle) == 1
      t.checks[#t.checks + 1] = { name = row.name, sql = texts.expression(row.expr),
        kept = idle and "NOT ENFORCED" or nil }
      if idle then note(tree, "check", row.name, t.name, "NOT ENFORCED is not compared") end
    end
  end
  return columns
end

local function read_columns(tree, t, rows, collation, checks)
  for _, row in ipairs(rows) do
    local c, oddities = parts.column(row, collation, checks[row.name])
    t.columns[#t.columns + 1] = c
    for _, what in ipairs(oddities) do
      note(tree, "column", row.name, t.name, what .. " is not compared")
    end
  end
end

local function read_table(tree, row, settings, rows)
  local t, others = parts.table(row, settings)
  local name = row.name
  if others then note(tree, "table", name, nil, "not compared: " .. others) end
  local checks = read_checks(tree, t, rows.checks[name] or {})
  read_columns(tree, t, rows.columns[name] or {}, row.collation, checks)
  local why = parts.indexes(t, rows.indexes[name] or {}, function(index)
    note(tree, "index", index, name, "that it is not used (invisible) is not compared")
  end)
  if why then note(tree, "table", name, nil, why .. " is not compared") end
  parts.foreign_keys(t, rows.foreign_keys[name] or {})
  tree.tables[#tree.tables + 1] = t
end

local function has_key(t, columns)
  local wanted = {}
  for _, name in ipairs(columns) do wanted[name] = true end
  local function fits(names)
    for _, name in ipairs(names) do
      if not wanted[name] then return false end
    end
    return #names == #columns
  end
  if t.primary_key and fits(t.primary_key.columns) then return true end
  for _, k in ipairs(t.uniques) do
    if fits(k.columns) then return true end
  end
  for _, i in ipairs(t.indexes) do
    if i.unique and fits(parts.plain_columns(i) or {}) then return true end
  end
  return false
end

-- InnoDB lets foreign keys refer to any indexed columns, and to other databases. In
-- definitions they refer to a key of a table there is.
local function leave_out_keys(tree)
  local by_name = {}
  for _, t in ipairs(tree.tables) do by_name[t.name] = t end
  for _, t in ipairs(tree.tables) do
    local kept = {}
    for _, f in ipairs(t.foreign_keys) do
      local parent = not f.ref.schema and by_name[f.ref.table]
      if parent and has_key(parent, f.ref.columns) then
        kept[#kept + 1] = f
      else
        note(tree, "foreign key", f.name, t.name, parent and "it refers to no key"
          or "it refers to what is not read here")
      end
    end
    t.foreign_keys = kept
  end
end

-- The rows of the tables that are read; others that are no views are noted.
local function wanted_tables(tree, list, opts)
  local wanted = {}
  for _, row in ipairs(list) do
    local is_own = JOURNAL[row.name] and not opts.tables
    if row.kind == "BASE TABLE" and (opts.names_only or not is_own) then
      wanted[#wanted + 1] = row
    elseif not row.kind:find "VIEW" and not is_own then
      note(tree, row.kind:lower(), row.name, nil, "it is not compared")
    end
  end
  return wanted
end

local function read_tables(x, tree, settings, opts)
  local ask = asker(x, opts)
  local wanted = wanted_tables(tree, ask(queries.tables), opts)
  if opts.names_only or #wanted == 0 then
    for i, row in ipairs(wanted) do tree.tables[i] = { name = row.name, columns = {} } end
    return
  end
  local rows = {}
  for _, what in ipairs { "columns", "indexes", "foreign_keys" } do
    rows[what] = by_owner(ask(queries[what]))
  end
  rows.checks = by_owner(ask(settings.is_mysql and queries.mysql_checks or queries.checks))
  local server = settings.is_mysql and mysql8 or wide
  for _, row in ipairs(wanted) do
    server.restore(x, row.name, rows)
    read_table(tree, row, settings, rows)
  end
  if not opts.tables then leave_out_keys(tree) end
end

-- ---- views and objects -----------------------------------------------------

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

-- The text of a view; nil when the user may not read it.
local function view_text(x, row, settings)
  if row.expr == "" then return nil end
  return texts.expression(wide.text(x, texts.without_database(row.expr, settings.name),
    "VIEW", row.name, "Create View"))
end

local function read_views(x, tree, settings, opts)
  for _, row in ipairs(x:query(queries.views)) do
    local v = { name = row.name }
    if not opts.names_only then v.sql = view_text(x, row, settings) end
    if row.checked ~= "NONE" then
      note(tree, "view", row.name, nil, "its WITH CHECK OPTION is not compared")
    end
    if v.sql or opts.names_only then
      tree.views[#tree.views + 1] = v
    else
      note(tree, "view", row.name, nil, "this user may not read it (SHOW VIEW)")
    end
  end
  if not opts.names_only then find_after(tree) end
end

local TITLES = { ["function"] = "Function", procedure = "Procedure", event = "Event" }

-- information_schema has the body of a trigger without the backslashes of its texts.
local function trigger_body(x, row)
  if not (wide.is_doubtful(row.body) or row.body:find "[\\%z]") then return row.body end
  local shown = x:one("SHOW CREATE TRIGGER " .. quote(row.name))["SQL Original Statement"]
  return texts.trigger_body(texts.without_definer(shown)) or row.body
end

local function read_objects(x, tree)
  for _, row in ipairs(x:query(queries.triggers)) do
    tree.objects[#tree.objects + 1] = {
      kind = "trigger", name = row.name, on = row.owner,
      sql = ("CREATE TRIGGER %s %s %s ON %s FOR EACH ROW %s"):format(quote(row.name), row.timing,
        row.event, quote(row.owner), trigger_body(x, row)),
    }
  end
  for _, row in ipairs(x:query(queries.routines)) do
    local title = TITLES[row.kind]
    local shown = title and x:one(("SHOW CREATE %s %s"):format(row.kind, quote(row.name)))
    local sql = title and shown["Create " .. title]
    if sql then
      tree.objects[#tree.objects + 1] = { kind = row.kind, name = row.name,
        sql = texts.without_definer(sql) }
    else
      note(tree, row.kind, row.name, nil, title and "this user may not read it"
        or "it is not compared")
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
    -- what a table has that does not say it
    defaults = { engine = settings.engine, collation = settings.collation },
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
-- @raise usage; unsupported on a MySQL before 8.0.19
function M.inspect(x, opts) return M.read(x, opts or {}) end

--- Are two defaults of live trees the same? Of an empty table the wide characters are lost.
function M.same_default(a, b)
  if a == nil or b == nil then return a == b end
  return wide.same(a.sql, b.sql)
end

--- Texts come from the same server: equal ones are equal.
function M.same_text(a, b) return a == b end

return M
