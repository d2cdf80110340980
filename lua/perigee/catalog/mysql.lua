--- What MySQL and MariaDB say of tables: columns and unique indexes in one result, for one
-- table or all of a database. Temporary tables are not in information_schema.
local M = {}

-- The class of values by the name of a type.
local CLASSES = {
  tinyint = "int", smallint = "int", mediumint = "int", int = "int", bigint = "int",
  year = "int", bit = "int", float = "float", double = "float", decimal = "numeric",
  date = "date", time = "time", datetime = "timestamp", timestamp = "timestamp",
  char = "text", varchar = "text", tinytext = "text", text = "text", mediumtext = "text",
  longtext = "text", enum = "text", set = "text", binary = "bytes", varbinary = "bytes",
  tinyblob = "bytes", blob = "bytes", mediumblob = "bytes", longblob = "bytes",
  json = "json", uuid = "uuid",
}

-- Where no size is the type's own the next one: the server refuses what does not fit.
local BITS = { tinyint = 16, smallint = 16, year = 16, int = 32, mediumint = 32 }
local UNSIGNED_BITS = { tinyint = 16, smallint = 32, mediumint = 32, bigint = 65 }

local function bits_of(row)
  local unsigned = row.title:find("unsigned", 1, true)
  return (unsigned and UNSIGNED_BITS or BITS)[row.type] or 64
end

-- `%s` says which tables. Each part asks one table of information_schema by names that are
-- constants: a join would read all of the server. Rows by what: "a" the table, "b" its checks
-- of columns (MariaDB's JSON is a longtext with one), "c" columns, "k" columns of unique
-- indexes.
local TABLES = [[
SELECT t.table_name AS rel, t.table_type AS kind, 'a' AS what, '' AS ix, 0 AS n, '' AS name,
  '' AS type, '' AS title, 0 AS not_null, 0 AS has_default, '' AS extra, '' AS collation,
  NULL AS part
FROM information_schema.tables t
WHERE t.table_schema = coalesce(:schema, database())%s
/*M!100303 UNION ALL
SELECT t.table_name, '', 'b', '', 0, t.check_clause, '', '', 0, 0, '', '', NULL
FROM information_schema.check_constraints t
WHERE t.constraint_schema = coalesce(:schema, database())%s */
UNION ALL
SELECT t.table_name, '', 'c', '', t.ordinal_position, t.column_name, t.data_type,
  t.column_type, t.is_nullable = 'NO', t.column_default IS NOT NULL, t.extra,
  t.collation_name, NULL
FROM information_schema.columns t
WHERE t.table_schema = coalesce(:schema, database())%s
UNION ALL
SELECT t.table_name, '', 'k', t.index_name, t.seq_in_index, t.column_name, '', '', 0, 0, '', '',
  t.sub_part
FROM information_schema.statistics t
WHERE t.non_unique = 0 AND t.table_schema = coalesce(:schema, database())%s
ORDER BY rel, what, ix, n]]

local ONE = TABLES:gsub("%%s", " AND t.table_name = :name")
local ALL = TABLES:gsub("%%s", "")

local NAMES = [[SELECT table_name AS name FROM information_schema.tables
WHERE table_schema = coalesce(:schema, database()) LIMIT 2000]]

-- What is between two of the keys that one INSERT of many rows makes.
local INCREMENT = "SELECT @@auto_increment_increment"

local function class_of(row, checks)
  if row.type == "tinyint" and row.title == "tinyint(1)" then return "bool" end
  if checks[("json_valid(`%s`)"):format(row.name)] then return "json" end
  return CLASSES[row.type] or "other"
end

local function column(row, checks)
  local class = class_of(row, checks)
  local extra = (row.extra or ""):upper()
  local generated = extra:find(" GENERATED", 1, true) ~= nil
  local auto = extra:find("AUTO_INCREMENT", 1, true) ~= nil
  return {
    name = row.name, type = "", title = row.title, class = class,
    bits = class == "int" and bits_of(row) or nil,
    not_null = tonumber(row.not_null) == 1, generated = generated,
    default = not generated and (tonumber(row.has_default) == 1 or auto), auto = auto or nil,
    orderable = class ~= "json" and class ~= "other",
    folded = class == "text" and not (row.collation or ""):find "_bin$", jsonb = false,
  }
end

-- A column of a unique index; a part of a column, or an expression, makes no key of it.
local function add_key_column(t, row)
  local index = row.name and t.index_of[row.name]
  if t.ix ~= row.ix then
    t.ix = row.ix
    t.key = { name = row.ix, primary = row.ix == "PRIMARY", columns = {}, partial = false }
    table.insert(t.found, t.key.primary and 1 or #t.found + 1, t.key)
  end
  if index and row.part == nil then
    t.key.columns[#t.key.columns + 1] = index
  else
    t.key.partial = true
  end
end

-- That a time is one of UTC, or a text a UUID, only the definition says.
local STORED = { timestamptz = "timestamp", uuid = "text" }

local function refine(columns, definition)
  local types, list = {}, {}
  for _, c in ipairs(definition.columns) do
    local ty = c.type_on and c.type_on.mysql or c.type
    types[c.name] = ty and ty.name
  end
  for i, c in ipairs(columns) do
    local name, copy = types[c.name], c
    if name and STORED[name] == c.class then
      copy = {}
      for k, v in pairs(c) do copy[k] = v end
      copy.class, copy.title, copy.defined = name, name, true
    end
    list[i] = copy
  end
  return list
end

local function finish(t)
  local keys = {}
  for _, k in ipairs(t.found) do
    if not k.partial then keys[#keys + 1] = k end
  end
  local is_view = t.kind:find("VIEW", 1, true) ~= nil
  return {
    name = t.name, is_view = is_view, one_statement = not is_view, columns = t.columns,
    keys = keys, refine = refine, increment = INCREMENT,
  }
end

local function read(rows)
  local tables, t = {}, nil
  for _, row in ipairs(rows) do
    if not t or row.rel ~= t.name then
      if t then tables[#tables + 1] = finish(t) end
      t = { name = row.rel, kind = row.kind, columns = {}, found = {}, index_of = {},
        checks = {} }
    end
    if row.what == "b" then
      t.checks[row.name] = true
    elseif row.what == "k" then
      add_key_column(t, row)
    elseif row.what == "c" then
      t.columns[#t.columns + 1] = column(row, t.checks)
      t.index_of[row.name] = #t.columns
    end
  end
  if t then tables[#tables + 1] = finish(t) end
  return tables
end

--- One table, or nil. Names are exact, though information_schema folds them.
-- @tparam function query `query(sql, params)` gives rows
-- @tparam ?string schema another database; nil: that of the session
-- @tparam string name
-- @param null perigee.null
function M.one(query, schema, name, null)
  for _, t in ipairs(read(query(ONE, { schema = schema or null, name = name }))) do
    if t.name == name then return t end
  end
  return nil
end

--- All tables of a database, by name.
function M.all(query, schema, null)
  local tables = read(query(ALL, { schema = schema or null }))
  table.sort(tables, function(a, b) return a.name < b.name end)
  return tables
end

--- The names of the tables of a database, for a suggestion.
function M.names(query, schema, null)
  return query(NAMES, { schema = schema or null })
end

return M
