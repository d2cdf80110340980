--- Reads the schema of a SQLite database as a live tree: from the texts in sqlite_master,
-- since names of constraints, checks, collations and conflict clauses are only there,
-- held against what the pragmas say.
local core = require "perigee.core"
local expression = require "perigee.dialect.sqlite.expression"
local lexer = require "perigee.dialect.sqlite.lexer"
local live = require "perigee.dialect.sqlite.live"
local parse = require "perigee.dialect.sqlite.parse"
local types = require "perigee.dialect.sqlite.types"

local M = {}

-- ---- what is asked ---------------------------------------------------------

local SCHEMA = [[SELECT type, name, tbl_name AS owner, sql, rootpage AS page
FROM main.sqlite_master WHERE name NOT LIKE 'sqlite\_%%' ESCAPE '\'
  AND name NOT IN ('perigee_migration', 'perigee_migration_step')
  AND tbl_name NOT IN ('perigee_migration', 'perigee_migration_step')%s
ORDER BY name]]

local COLUMNS = [[SELECT m.name AS owner, x.cid AS n, x.name AS name, x.type AS type,
  x."notnull" AS not_null, x.pk AS pk, x.hidden AS hidden,
  (SELECT count(DISTINCT id) FROM pragma_foreign_key_list(m.name, 'main')) AS keys
FROM main.sqlite_master m, pragma_table_xinfo(m.name, 'main') x
WHERE m.type = 'table' AND m.rootpage > 0 AND m.name NOT LIKE 'sqlite\_%%' ESCAPE '\'
%sORDER BY m.name, x.cid]]

local NEAR = [[  AND lower(m.name) IN (SELECT lower(:name)
    UNION SELECT lower(f."table") FROM pragma_foreign_key_list(:name, 'main') f)
]]

-- Compiles all views, so it is asked only where there are virtual tables.
local SHADOWS = [[SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'shadow']]
local VIRTUAL = [[SELECT 1 FROM main.sqlite_master WHERE type = 'table' AND rootpage = 0]]

-- Runs one of the questions above about all tables, or about one: a rebuild reads its table
-- alone, since reading all for each of hundreds takes long.
local function ask(x, sql, part, name)
  if name then return x:query(sql:format(part), { name = name }) end
  return x:query((sql:format ""))
end

--- The version of SQLite as a number: 3040001.
function M.version(x)
  local a, b, c = x:value("SELECT sqlite_version()"):match "^(%d+)%.(%d+)%.?(%d*)"
  return a * 1000000 + b * 1000 + (tonumber(c) or 0)
end

-- { [table] = { xinfo rows, keys = number of foreign keys } } of all tables, or of one and
-- those it refers to.
local function columns_of(x, name)
  local map = {}
  for _, row in ipairs(ask(x, COLUMNS, NEAR, name)) do
    for _, k in ipairs { "n", "not_null", "pk", "hidden", "keys" } do
      row[k] = tonumber(row[k])
    end
    local list = map[row.owner] or {}
    map[row.owner], list.keys = list, row.keys
    list[#list + 1] = row
  end
  return map
end

local function shadows(x, version)
  local set = {}
  if version < 3037000 or not x:first(VIRTUAL) then return set end
  for _, row in ipairs(x:query(SHADOWS)) do set[row.name] = true end
  return set
end

-- ---- references ------------------------------------------------------------

-- { name, key = columns of the primary key, spelt = { [folded] = name } } of all tables,
-- also of those that are not asked for.
local function parents_of(columns)
  local known = {}
  for owner, rows in pairs(columns) do
    local parent = { name = owner, key = {}, spelt = {} }
    for _, row in ipairs(rows) do
      parent.spelt[lexer.fold(row.name)] = row.name
      if row.pk > 0 then parent.key[row.pk] = row.name end
    end
    known[lexer.fold(owner)] = parent
  end
  return known
end

-- Names of other tables and their columns as those spell them, and the key where
-- REFERENCES names none.
local function resolve(tree, columns)
  local known = parents_of(columns)
  for _, t in ipairs(tree.tables) do
    for _, f in ipairs(t.foreign_keys) do
      local parent = known[lexer.fold(f.ref.table)]
      local names = f.ref.columns or parent and parent.key or {}
      f.ref.columns = {}
      for i, name in ipairs(names) do
        f.ref.columns[i] = parent and parent.spelt[lexer.fold(name)] or name
      end
      f.ref.table = parent and parent.name or f.ref.table
    end
  end
end

-- ---- the tree --------------------------------------------------------------

local function wanted(opts)
  local only
  for _, name in ipairs(opts.tables or {}) do
    only = only or {}
    only[name] = true
  end
  return function(kind, name, on)
    if opts.tables and not (only and only[on or name]) then return false end
    return not opts.include or opts.include { kind = kind, name = name, on = on } and true
      or false
  end
end

local function note(tree, kind, name, why)
  tree.notes[#tree.notes + 1] = { kind = kind, name = name, why = why }
end

-- A view with names for its columns, as definitions can say it.
local function view_of(entry)
  local view = parse.view(entry.sql)
  local sql = view.sql
  if view.columns then
    local list, inner = {}, lexer.quote("columns of " .. entry.name)
    for i, name in ipairs(view.columns) do list[i] = lexer.quote(name) end
    sql = ("WITH %s (%s) AS (%s\n) SELECT * FROM %s"):format(inner, table.concat(list, ", "), sql,
      inner)
  end
  return { name = entry.name, sql = sql }
end

local function add_tables(tree, entries, state)
  for _, entry in ipairs(entries) do
    if entry.type == "table" and state.wants("table", entry.name) then
      if state.shadows[entry.name] then
        note(tree, "shadow table", entry.name, "it belongs to a virtual table")
      elseif entry.page == 0 then
        note(tree, "virtual table", entry.name, "virtual tables are not compared")
      else
        local t, names = live.table(entry, state.columns[entry.name] or {})
        tree.tables[#tree.tables + 1] = t
        for _, n in ipairs(live.notes(t)) do tree.notes[#tree.notes + 1] = n end
        state.tables[entry.name], state.names[entry.name] = t, names
      end
    end
  end
end

local function add_others(tree, entries, state)
  for _, entry in ipairs(entries) do
    local t = state.tables[entry.owner]
    if entry.type == "index" and t and entry.sql then
      live.index(entry, t, state.names[entry.owner])
    elseif entry.type == "view" and state.wants("view", entry.name) then
      tree.views[#tree.views + 1] = view_of(entry)
    elseif entry.type == "trigger" and not state.shadows[entry.owner]
      and state.wants("trigger", entry.name, entry.owner) then
      tree.objects[#tree.objects + 1] = {
        kind = "trigger", name = entry.name, on = entry.owner, sql = entry.sql,
      }
    end
  end
end

-- Only names: what `tables()` and `views()` of a handle need.
local function names_only(tree, entries, wants)
  for _, entry in ipairs(entries) do
    if entry.type == "table" and wants("table", entry.name) then
      tree.tables[#tree.tables + 1] = { name = entry.name, columns = {} }
    elseif entry.type == "view" and wants("view", entry.name) then
      tree.views[#tree.views + 1] = { name = entry.name }
    end
  end
  return tree
end

local function check_schemas(schemas)
  for _, name in ipairs(type(schemas) == "table" and schemas or {}) do
    if name ~= "main" then
      types.fail(nil, 'only the main database of SQLite is read, not "%s"', tostring(name))
    end
  end
end

-- All of one moment: what reads from several connections may see several.
local function at_once(x, fn)
  if x:in_transaction() then return fn(x) end
  return x:transaction(fn, { readonly = true })
end

local function read(x, opts, state)
  local only = opts.tables and #opts.tables == 1 and opts.tables[1] or nil
  state.entries = ask(x, SCHEMA, " AND tbl_name = :name", only)
  for _, entry in ipairs(state.entries) do entry.page = tonumber(entry.page) end
  if opts.names_only then return end
  state.version = M.version(x)
  state.columns, state.shadows = columns_of(x, only), shadows(x, state.version)
end

--- The live tree of the main database.
-- @tparam perigee.executor x
-- @tparam[opt] table opts tables: names of the only ones; include: function(object) that
-- gets { kind, name, on } of tables, views and triggers; names_only: no more than that;
-- schemas: "main" is the only one
-- @treturn table tree; its field `version` is that of SQLite (3040001)
-- @raise unsupported when a text in the schema is not understood
function M.inspect(x, opts)
  opts = opts or {}
  check_schemas(opts.schemas)
  local state = { wants = wanted(opts), tables = {}, names = {} }
  at_once(x, function(tx) read(tx, opts, state) end)
  local tree = {
    tables = {}, enums = {}, views = {}, objects = {}, schemas = {}, notes = {},
    version = state.version,
  }
  if opts.names_only then return names_only(tree, state.entries, state.wants) end
  add_tables(tree, state.entries, state)
  add_others(tree, state.entries, state)
  resolve(tree, state.columns)
  return tree
end

--- One live table.
-- @raise undefined
function M.one(x, name)
  local t = M.inspect(x, { tables = { name } }).tables[1]
  if t then return t end
  error(core.new_error("undefined", ('there is no table "%s"'):format(name), { table = name }), 0)
end

-- ---- equality --------------------------------------------------------------

local ALIASES = {
  ["datetime('now')"] = "current_timestamp", ["datetime()"] = "current_timestamp",
  ["date('now')"] = "current_date", ["date()"] = "current_date",
  ["time('now')"] = "current_time", ["time()"] = "current_time",
}

local function canonical(default)
  local normal = expression.text(type(default) == "table" and default.sql or default)
  return ALIASES[normal] or normal
end

--- Are two defaults of live trees, { sql = … } or texts, the same?
function M.same_default(a, b)
  return a == b or canonical(a) == canonical(b)
end

--- Are two texts (expressions, views, triggers) the same but for blanks, comments, case
-- and quotes?
function M.same_text(a, b)
  return a == b or expression.text(a) == expression.text(b)
end

return M
