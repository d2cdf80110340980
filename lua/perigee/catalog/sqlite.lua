--- What SQLite's schema says of tables. A column's class comes from its declared
-- type, by the rules by which results are read (the SQLite driver), and by the
-- affinity that SQLite itself sees in the name.
local lexer = require "perigee.dialect.sqlite.lexer"

local M = {}

-- ---- classes ---------------------------------------------------------------

local CLASSES = {
  bool = "bool", boolean = "bool",
  json = "json", jsonb = "json", json_text = "json",
  numeric = "numeric", decimal = "numeric",
  real = "float", double = "float", ["double precision"] = "float", float = "float",
  date = "date", time = "time",
  timestamp = "timestamp", datetime = "timestamp",
  ["timestamp without time zone"] = "timestamp",
  timestamptz = "timestamptz", ["timestamp with time zone"] = "timestamptz",
  uuid = "uuid", bytea = "bytes", binary = "bytes", varbinary = "bytes",
  -- have "int" in them and no integers
  interval = "any", point = "any",
}

local SMALL = { smallint = true, int2 = true }

-- "TIMESTAMP (6)  WITH time zone" gives "timestamp with time zone".
local function plain_name(declared)
  local s = declared:gsub("%b()", " "):gsub("%s+", " "):lower()
  return (s:gsub("^ ", ""):gsub(" $", ""))
end

local function class_of(declared)
  local name = plain_name(declared)
  if name == "" then return "any", name end
  if CLASSES[name] then return CLASSES[name], name end
  if name:find("[]", 1, true) then return "json", name end
  if name:find("int", 1, true) then return "int", name end
  for _, word in ipairs { "char", "clob", "text" } do
    if name:find(word, 1, true) then return "text", name end
  end
  if name:find("blob", 1, true) then return "bytes", name end
  for _, word in ipairs { "real", "floa", "doub" } do
    if name:find(word, 1, true) then return "float", name end
  end
  return "any", name
end

--- The class of a declared type ("int", "text", "any", …), and its bits for integers.
function M.class_of(declared)
  local class, name = class_of(declared)
  return class, class == "int" and (SMALL[name] and 16 or 64) or nil
end

--- Have values of the class an order that may be asked for?
function M.is_orderable(class)
  return class ~= "json"
end

-- ---- collations and STRICT -------------------------------------------------

local SIGNS = {
  ["("] = function(state)
    state.depth = state.depth + 1
    if state.depth == 1 then state.next = "column" end
  end,
  [")"] = function(state) state.depth = state.depth - 1 end,
  [","] = function(state)
    if state.depth == 1 then state.next = "column" end
  end,
}

-- The text of a CREATE TABLE, token by token: `depth` of parentheses, the `column` whose
-- definition it is, and what the next token is (`next`: "column", "collation" or nil).
local function follow(state, word, bare)
  local sign = bare and SIGNS[word]
  if sign then return sign(state) end
  if state.next == "collation" then
    state.found[state.column] = word:upper() ~= "BINARY" or nil
    state.next = nil
  elseif state.next == "column" then
    state.column, state.next = word, nil
  elseif bare and state.depth == 1 and state.column and word:upper() == "COLLATE" then
    state.next = "collation"
  elseif bare and state.depth == 0 and state.column and word:upper() == "STRICT" then
    state.strict = true
  end
end

-- { [column] = true } for those that a CREATE TABLE gives a collation other than BINARY,
-- and whether it ends with STRICT.
local function read_create(sql)
  local state = { found = {}, depth = 0 }
  local kind, word, _, stop = lexer.next(sql, 1)
  while kind do
    follow(state, word, kind == "word" or kind == "sign")
    kind, word, _, stop = lexer.next(sql, stop + 1)
  end
  return state.found, state.strict
end

-- ---- reading ---------------------------------------------------------------

-- `t` is the tables asked for. Rows with what = 'k' are columns of unique indexes,
-- `name` then is the column's collation.
local TABLES = [[
WITH t AS (%s)
SELECT t.name AS rel, t.type AS kind, 'c' AS what, '' AS ix, x.cid AS n,
  x.name AS name, x.type AS type, x."notnull" AS not_null,
  x.dflt_value IS NOT NULL AS has_default, x.pk AS pk, x.hidden AS hidden,
  CASE x.cid WHEN 0 THEN t.sql END AS sql
FROM t, pragma_table_xinfo(t.name, t.place) x
UNION ALL
SELECT t.name, t.type, 'k', l.name, i.seqno, i.coll, l.origin, 0, 0, i.cid, 0, NULL
FROM t, pragma_index_list(t.name, t.place) l, pragma_index_xinfo(l.name, t.place) i
WHERE l."unique" AND NOT l.partial AND i.key
ORDER BY rel, what, ix, n]]

local ONE = "SELECT name, type, sql, %s AS place FROM %s.sqlite_master"
  .. " WHERE type IN ('table', 'view') AND name = :name"
local ALL = "SELECT name, type, sql, %s AS place FROM %s.sqlite_master"
  .. " WHERE type = :type AND name NOT LIKE 'sqlite\\_%%' ESCAPE '\\'"
local NAMES = "SELECT name, %s AS place FROM %s.sqlite_master"
  .. " WHERE type IN ('table', 'view') LIMIT 2000"

local function from(text, schema)
  return text:format("'" .. schema:gsub("'", "''") .. "'",
    '"' .. schema:gsub('"', '""') .. '"')
end

local function all_of(tables)
  return (TABLES:gsub("%%s", function() return tables end))
end

local TEMP_OR_MAIN = all_of(from(ONE, "temp") .. " UNION ALL " .. from(ONE, "main")
  .. " AND NOT EXISTS (" .. from(ONE, "temp") .. ")")

local function column(row, collated)
  local class, bits = M.class_of(row.type)
  return {
    name = row.name, type = "", title = row.type, class = class,
    bits = bits,
    not_null = row.not_null == 1, default = row.has_default == 1 and row.hidden == 0,
    generated = row.hidden > 1, orderable = M.is_orderable(class),
    folded = collated[row.name] or false, jsonb = false,
  }
end

local function add_column(t, row)
  if row.sql then t.collated, t.strict = read_create(row.sql) end
  if row.hidden == 1 then return end -- of a virtual table; not in SELECT *
  t.columns[#t.columns + 1] = column(row, t.collated or {})
  t.index_of[row.n] = #t.columns
  if row.pk > 0 then
    t.pk = t.pk or {}
    t.pk[row.pk] = #t.columns
  end
end

-- A column of a unique index: of the collation that counts for its key.
local function add_key_column(t, row)
  local index = t.index_of[row.pk]
  t.has_pk_index = t.has_pk_index or row.type == "pk"
  if t.index ~= row.ix then
    t.index = row.ix
    t.key = { name = row.ix, primary = false, columns = {}, partial = false }
    if row.type ~= "pk" then t.keys[#t.keys + 1] = t.key end
  end
  if index then
    t.columns[index].folded = t.columns[index].folded or row.name:upper() ~= "BINARY"
    t.key.columns[#t.key.columns + 1] = index
  else
    t.key.partial = true -- an expression
  end
end

-- INTEGER PRIMARY KEY is the rowid, which SQLite makes up; it needs no index.
local function finish(t)
  local keys = {}
  if t.pk then
    keys[1] = { name = "", primary = true, columns = t.pk }
    local first = t.columns[t.pk[1]]
    if #t.pk == 1 and not t.has_pk_index and first.title:lower() == "integer" then
      first.default, first.not_null = true, true
    end
  end
  for _, k in ipairs(t.keys) do
    if not k.partial then keys[#keys + 1] = k end
  end
  return {
    schema = t.schema, name = t.name, is_view = t.is_view, one_statement = false,
    strict = t.strict and not t.is_view, columns = t.columns, keys = keys,
  }
end

local NUMBERS = { "n", "not_null", "has_default", "pk", "hidden" }

local function read(rows, schema)
  local tables, t = {}, nil
  for _, row in ipairs(rows) do
    for _, k in ipairs(NUMBERS) do row[k] = tonumber(row[k]) end -- of any int8 mode
    if not t or row.rel ~= t.name then
      if t then tables[#tables + 1] = finish(t) end
      t = {
        schema = schema, name = row.rel, is_view = row.kind == "view",
        columns = {}, keys = {}, index_of = {},
      }
    end
    if row.what == "c" then add_column(t, row) else add_key_column(t, row) end
  end
  if t then tables[#tables + 1] = finish(t) end
  return tables
end

--- One table, or nil. SQLite folds names; here they are exact.
-- @tparam function query `query(sql, params)` gives rows
-- @tparam ?string schema "main", "temp" or an attached database; nil: the first two
-- @tparam string name
function M.one(query, schema, name)
  if not schema then return read(query(TEMP_OR_MAIN, { name = name }))[1] end
  local ok, rows = pcall(query, all_of(from(ONE, schema)), { name = name })
  if ok then return read(rows, schema)[1] end
  if type(rows) ~= "table" or rows.kind ~= "undefined" then error(rows, 0) end
  return nil -- there is no such schema
end

--- All tables of a schema, by name. Views that cannot be read any more are left out.
-- @tparam function query
-- @tparam ?string schema nil: main
function M.all(query, schema)
  local sql = all_of(from(ALL, schema or "main"))
  local tables = read(query(sql, { type = "table" }), schema)
  local ok, rows = pcall(query, sql, { type = "view" })
  if ok then
    for _, view in ipairs(read(rows, schema)) do tables[#tables + 1] = view end
  end
  table.sort(tables, function(a, b) return a.name < b.name end)
  return tables
end

--- The names of the tables of a schema, for a suggestion.
function M.names(query, schema)
  return query(from(NAMES, schema or "main"), {})
end

return M
