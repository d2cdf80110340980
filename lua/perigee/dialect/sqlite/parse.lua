--- Reads what sqlite_schema keeps: CREATE TABLE, INDEX, TRIGGER and VIEW. SQLite has
-- checked the text, so this reads all that SQLite takes and tells wrong from right only
-- where it would lose something.
local expression = require "perigee.dialect.sqlite.expression"
local lexer = require "perigee.dialect.sqlite.lexer"
local reader = require "perigee.dialect.sqlite.reader"
local unpack = require "perigee.util".unpack

local M = {}

-- ---- pieces ----------------------------------------------------------------

local function conflict(r)
  if not r:takes("ON", "CONFLICT") then return nil end
  local how = r:name():lower()
  return how ~= "abort" and how or nil
end

-- ( a COLLATE nocase DESC, … ) of a key: columns, and { [i] = } of what is not usual.
local function key_columns(r)
  local key = { columns = {} }
  r:needs("(")
  repeat
    local n = #key.columns + 1
    key.columns[n] = r:name()
    if r:takes("COLLATE") then
      key.collations = key.collations or {}
      key.collations[n] = M.collation(r:name())
    end
    if r:takes("DESC") then
      key.desc = key.desc or {}
      key.desc[n] = true
    else
      r:takes("ASC")
    end
  until not r:takes(",")
  if r:takes("AUTOINCREMENT") then key.autoincrement = true end
  r:needs(")")
  return key
end

local function name_list(r)
  local names = {}
  r:needs("(")
  repeat names[#names + 1] = r:name() until not r:takes(",")
  r:needs(")")
  return names
end

local BUILT_IN = { BINARY = true, NOCASE = true, RTRIM = true }

--- A collation's name; built-in ones in capitals.
function M.collation(name)
  local upper = name:upper()
  return BUILT_IN[upper] and upper or name
end

local function action(r)
  if r:takes("SET", "NULL") then return "set null" end
  if r:takes("SET", "DEFAULT") then return "set default" end
  if r:takes("CASCADE") then return "cascade" end
  if r:takes("RESTRICT") then return "restrict" end
  r:needs("NO", "ACTION")
  return nil
end

local function deferrable(r, key)
  local off = r:takes("NOT", "DEFERRABLE")
  if not off and not r:takes("DEFERRABLE") then return false end
  key.deferrable, key.deferred = not off or nil, nil
  if r:takes("INITIALLY", "DEFERRED") then
    key.deferred = not off or nil
  else
    r:takes("INITIALLY", "IMMEDIATE")
  end
  return true
end

-- What follows REFERENCES. Columns that are not written stay away.
local function reference(r, columns)
  local key = { columns = columns, ref = { table = r:name() } }
  if r:sees("(") then key.ref.columns = name_list(r) end
  while true do
    if r:takes("ON", "DELETE") then
      key.on_delete = action(r)
    elseif r:takes("ON", "UPDATE") then
      key.on_update = action(r)
    elseif r:takes("MATCH") then
      key.match_full = r:name():upper() == "FULL" or nil
    elseif not deferrable(r, key) then
      return key
    end
  end
end

-- ---- columns ---------------------------------------------------------------

local STARTS = {
  CONSTRAINT = true, DEFAULT = true, NULL = true, NOT = true, PRIMARY = true, UNIQUE = true,
  CHECK = true, REFERENCES = true, COLLATE = true, DEFERRABLE = true, AS = true,
}

-- The declared type; its text comes from the pragma, here it is only gone over.
local function type_name(r)
  local first = r.at
  while true do
    local token = r.list[r.at]
    if not token or token.kind == "sign" or token.kind == "number"
      or token.upper and STARTS[token.upper] or r:sees("GENERATED", "ALWAYS") then
      break
    end
    r.at = r.at + 1
  end
  if r.at > first and r:sees("(") then r:parentheses() end
  if r.at == first then return "" end
  return r.sql:sub(r.list[first].from, r.list[r.at - 1].to)
end

local function default_value(r)
  if r:sees("(") then return r:parentheses() end
  local from = r.at
  if not r:takes("+") then r:takes("-") end
  if not r.list[r.at] then r:fail() end
  r.at = r.at + 1
  return { from, r.at - 1 }
end

local function generated(r, column)
  r:takes("GENERATED", "ALWAYS")
  r:needs("AS")
  column.generated = { range = r:parentheses(), stored = false }
  if r:takes("STORED") then
    column.generated.stored = true
  else
    r:takes("VIRTUAL")
  end
end

-- What a constraint of a column begins with, and what reads the rest.
local COLUMN = {
  { { "NOT", "NULL" }, function(r, c, _, name)
    c.null, c.null_name, c.null_conflict = false, name, conflict(r)
  end },
  { { "NULL" }, function(r) conflict(r) end },
  { { "PRIMARY", "KEY" }, function(r, c, t, name)
    local key = { name = name, columns = { c.name }, in_column = true }
    if r:takes("DESC") then key.desc = { true } else r:takes("ASC") end
    key.on_conflict = conflict(r)
    key.autoincrement = r:takes("AUTOINCREMENT") or nil
    t.primary_key = key
  end },
  { { "UNIQUE" }, function(r, c, t, name)
    t.uniques[#t.uniques + 1] = { name = name, columns = { c.name }, on_conflict = conflict(r) }
  end },
  { { "CHECK" }, function(r, c, t, name)
    t.checks[#t.checks + 1] = { name = name, range = r:parentheses(), column = c.name }
    conflict(r)
  end },
  { { "DEFAULT" }, function(r, c) c.default = default_value(r) end },
  { { "COLLATE" }, function(r, c)
    local name = M.collation(r:name())
    c.collation = name ~= "BINARY" and name or nil
  end },
  { { "REFERENCES" }, function(r, c, t, name)
    local key = reference(r, { c.name })
    key.name = name
    t.foreign_keys[#t.foreign_keys + 1] = key
  end },
}

local function column_constraint(r, c, t)
  local name = r:takes("CONSTRAINT") and r:name() or nil
  for _, form in ipairs(COLUMN) do
    if r:takes(unpack(form[1])) then
      form[2](r, c, t, name)
      return true
    end
  end
  if r:sees("AS") or r:sees("GENERATED", "ALWAYS") then
    generated(r, c)
    return true
  end
  -- DEFERRABLE may stand after other constraints than REFERENCES, and means nothing there
  local last = t.foreign_keys[#t.foreign_keys]
  return deferrable(r, last and last.columns[1] == c.name and last or {}) or name ~= nil
end

local function column(r, t)
  local c = { name = r:name(), null = true }
  t.columns[#t.columns + 1] = c
  t.names[lexer.fold(c.name)] = c.name
  c.type = type_name(r)
  repeat until not column_constraint(r, c, t)
end

-- ---- tables ----------------------------------------------------------------

local TABLE = {
  { { "PRIMARY", "KEY" }, function(r, t, name)
    t.primary_key = key_columns(r)
    t.primary_key.name, t.primary_key.on_conflict = name, conflict(r)
  end },
  { { "UNIQUE" }, function(r, t, name)
    local key = key_columns(r)
    key.name, key.on_conflict = name, conflict(r)
    t.uniques[#t.uniques + 1] = key
  end },
  { { "CHECK" }, function(r, t, name)
    t.checks[#t.checks + 1] = { name = name, range = r:parentheses() }
    conflict(r)
  end },
  { { "FOREIGN", "KEY" }, function(r, t, name)
    local columns = name_list(r)
    r:needs("REFERENCES")
    local key = reference(r, columns)
    key.name = name
    t.foreign_keys[#t.foreign_keys + 1] = key
  end },
}

-- Commas between constraints of a table may be missing.
local function table_constraint(r, t)
  local name = r:takes("CONSTRAINT") and r:name() or nil
  for _, form in ipairs(TABLE) do
    if r:takes(unpack(form[1])) then
      form[2](r, t, name)
      return true
    end
  end
  return name ~= nil
end

local function starts_constraint(r)
  return r:sees("CONSTRAINT") or r:sees("PRIMARY", "KEY") or r:sees("UNIQUE")
    or r:sees("CHECK") or r:sees("FOREIGN", "KEY")
end

local function body(r, t)
  r:needs("(")
  repeat
    if starts_constraint(r) then
      repeat until not table_constraint(r, t)
    else
      column(r, t)
    end
  until not r:takes(",")
  r:needs(")")
end

local function options(r, t)
  while r.list[r.at] do
    if r:takes("WITHOUT", "ROWID") then
      t.options.without_rowid = true
    elseif r:takes("STRICT") then
      t.options.strict = true
    elseif not r:takes(",") and not r:takes(";") then
      r:fail()
    end
  end
end

-- Names in keys as the columns are spelt.
local function respell(t)
  local function spell(names)
    for i, name in ipairs(names) do names[i] = t.names[lexer.fold(name)] or name end
  end
  if t.primary_key then spell(t.primary_key.columns) end
  for _, key in ipairs(t.uniques) do spell(key.columns) end
  for _, key in ipairs(t.foreign_keys) do spell(key.columns) end
end

-- Expressions are read last, when all columns are known.
local function read_expressions(r, t)
  for _, c in ipairs(t.columns) do
    if c.default then c.default = r:normal(c.default, {}) end
    if c.generated then
      c.generated.sql = r:normal(c.generated.range, t.names)
      c.generated.range = nil
    end
  end
  for _, check in ipairs(t.checks) do
    check.sql = r:normal(check.range, t.names)
    check.range = nil
  end
end

local function create(r, ...)
  r:needs("CREATE")
  if not r:takes("TEMP") then r:takes("TEMPORARY") end
  r:needs(...)
  r:takes("IF", "NOT", "EXISTS")
end

--- A CREATE TABLE.
-- @treturn table { name, columns = { { name, type (as written), null, null_name,
-- null_conflict, default (text), collation, generated = { sql, stored } } … }, names (as
-- expression.normal wants them), primary_key, uniques, checks, foreign_keys, options }; keys have
-- columns, name, on_conflict, desc and collations ({ [i] = }), the primary key also
-- in_column and autoincrement. Nothing that is not written is there.
-- @raise unsupported
function M.table(sql)
  local r = reader.new(sql)
  create(r, "TABLE")
  local t = {
    name = r:object_name(), columns = {}, names = {}, uniques = {}, checks = {},
    foreign_keys = {}, options = {},
  }
  t.names[1] = lexer.fold(t.name)
  body(r, t)
  options(r, t)
  respell(t)
  read_expressions(r, t)
  return t
end

--- Is it a CREATE VIRTUAL TABLE?
function M.is_virtual(sql)
  return reader.new(sql):takes("CREATE", "VIRTUAL")
end

-- ---- indexes ---------------------------------------------------------------

local KEY_ENDS = { ASC = true, DESC = true, NULLS = true }

-- "a COLLATE nocase" as an expression of one column; the collation is taken off.
local function index_key(r, names)
  local range = r:until_comma(KEY_ENDS)
  local key, list = {}, r.list
  local from, to = range[1], range[2]
  if to - from >= 2 and list[to - 1].upper == "COLLATE" then
    key.collation = M.collation(list[to].text)
    to = to - 2
  end
  from, to = expression.strip(list, from, to)
  local one = from == to and list[from]
  local plain = one and (one.kind == "word" or one.kind == "name" or one.kind == "string")
    and names[lexer.fold(one.text)]
  if plain then
    key.column = plain
  else
    key.sql = expression.normal(list, from, to, names)
  end
  key.desc = r:takes("DESC") or nil
  if not key.desc then r:takes("ASC") end
  if r:takes("NULLS") then r:name() end
  return key
end

--- A CREATE INDEX.
-- @tparam string sql
-- @tparam table names of the table's columns, as expression.normal wants them
-- @treturn table { name, table, unique, keys, where }
-- @raise unsupported
function M.index(sql, names)
  local r = reader.new(sql)
  r:needs("CREATE")
  local index = { unique = r:takes("UNIQUE") or nil, keys = {} }
  r:needs("INDEX")
  r:takes("IF", "NOT", "EXISTS")
  index.name = r:object_name()
  r:needs("ON")
  index.table = r:name()
  r:needs("(")
  repeat index.keys[#index.keys + 1] = index_key(r, names) until not r:takes(",")
  r:needs(")")
  if r:takes("WHERE") then index.where = r:normal({ r.at, #r.list }, names) end
  return index
end

-- ---- views -----------------------------------------------------------------

--- A CREATE VIEW.
-- @treturn table { name, columns = names or nil, sql = the query }
-- @raise unsupported
function M.view(sql)
  local r = reader.new(sql)
  create(r, "VIEW")
  local view = { name = r:object_name() }
  if r:sees("(") then view.columns = name_list(r) end
  r:needs("AS")
  view.sql = sql:sub(r.list[r.at] and r.list[r.at].from or #sql + 1)
    :gsub("[%s;]+$", "")
  return view
end

return M
