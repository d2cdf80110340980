--- One table of a SQLite database as T, from the text of its CREATE TABLE held against what
-- the pragmas say.
local core = require "perigee.core"
local lexer = require "perigee.dialect.sqlite.lexer"
local parse = require "perigee.dialect.sqlite.parse"
local types = require "perigee.dialect.sqlite.types"

local M = {}

-- ---- columns ---------------------------------------------------------------

local NUMERIC = { integer = true, real = true, numeric = true }
local BOOLEAN = { BOOLEAN = true, BOOL = true }

local function is_plain_number(text)
  return text:find "^-?%d+$" and not text:find "^-?0%d" and #text < 16
end

-- [kind of the only token] = what the column makes of it, or nil
local STORED = {
  string = function(token, affinity)
    return NUMERIC[affinity] and is_plain_number(token.text) and token.text or nil
  end,
  number = function(token, affinity)
    return affinity == "text" and token.text:find "^%d+$" and lexer.string(token.text) or nil
  end,
  word = function(token)
    return token.upper == "TRUE" and "1" or token.upper == "FALSE" and "0" or nil
  end,
}

-- A default as the column stores it: '0' is 0 in a column of numbers.
local function default_of(sql, raw)
  if not sql or sql == "null" then return nil end
  sql = sql:gsub("^%+%s*", "")
  local list = lexer.tokens(sql)
  local stored = #list == 1 and STORED[list[1].kind]
  sql = stored and stored(list[1], types.affinity(raw)) or sql
  if BOOLEAN[raw] then sql = sql == "1" and "true" or sql == "0" and "false" or sql end
  return { sql = sql }
end

-- What only SQLite has and definitions cannot say is apart, in `sqlite`, and not compared.
local function own(fields) return next(fields) ~= nil and fields or nil end

local function column(c, row)
  local raw = types.normal(row.type)
  return {
    name = c.name, type = { raw = raw }, null = row.not_null == 0,
    default = default_of(c.default, raw), collation = c.collation, generated = c.generated,
    sqlite = own { null_name = c.null_name, null_conflict = c.null_conflict },
  }
end

local function fail(name, what)
  error(core.new_error("unsupported",
    ('table "%s": its definition and its pragmas disagree about %s'):format(name, what)), 0)
end

local function columns(t, parsed, rows)
  local visible = {}
  for _, row in ipairs(rows) do
    if row.hidden ~= 1 then visible[#visible + 1] = row end
  end
  if #visible ~= #parsed.columns then fail(t.name, "the columns") end
  for i, c in ipairs(parsed.columns) do
    if visible[i].name ~= c.name then fail(t.name, 'column "' .. c.name .. '"') end
    t.columns[i] = column(c, visible[i])
  end
  if rows.keys ~= #parsed.foreign_keys then fail(t.name, "foreign keys") end
end

-- ---- keys ------------------------------------------------------------------

local function find(list, name)
  for _, e in ipairs(list) do
    if e.name == name then return e end
  end
end

-- INTEGER PRIMARY KEY is the rowid, unless DESC is written in the column.
local function is_rowid(t, key, options)
  if #key.columns ~= 1 or options.without_rowid then return false end
  return find(t.columns, key.columns[1]).type.raw == "INTEGER"
    and not (key.in_column and key.desc)
end

-- The collations of a key that are not its columns'.
local function other_collations(t, key)
  local out = {}
  for i, name in ipairs(key.columns) do
    local collation = key.collations and key.collations[i]
    if collation ~= (find(t.columns, name).collation or "BINARY") then out[i] = collation end
  end
  return own(out)
end

local function key_of(t, key)
  return {
    name = key.name, columns = key.columns,
    sqlite = own {
      on_conflict = key.on_conflict, desc = key.desc, collations = other_collations(t, key),
    },
  }
end

-- SQLite lets NULL into keys that are not the rowid; definitions have no word for that.
local function set_null_keys(t, key)
  for _, name in ipairs(key.columns) do
    local c = find(t.columns, name)
    if c.null then
      c.null, c.sqlite = false, c.sqlite or {}
      c.sqlite.null_key = true
    end
  end
end

local function primary_key(t, parsed)
  local key = parsed.primary_key
  if not key then return end
  local is_alias = is_rowid(t, key, parsed.options)
  if is_alias then
    local c = find(t.columns, key.columns[1])
    c.identity, c.null = { always = key.autoincrement or false }, false
    key.desc, key.collations = nil, nil
  end
  set_null_keys(t, key)
  t.primary_key = key_of(t, key)
  if not is_alias and key.in_column and key.desc
    and find(t.columns, key.columns[1]).type.raw == "INTEGER" then
    t.primary_key.sqlite.in_column = true
  end
end

-- ---- tables ----------------------------------------------------------------

local function by_name(list, title)
  table.sort(list, function(a, b)
    local x, y = a.name or "", b.name or ""
    if x ~= y then return x < y end
    return title(a) < title(b)
  end)
end

local function joined(key) return table.concat(key.columns, "\0") end

local function sort_lists(t)
  by_name(t.uniques, joined)
  by_name(t.foreign_keys, function(f)
    return joined(f) .. "\0" .. f.ref.table
  end)
  by_name(t.checks, function(c) return c.sql end)
end

-- The enum that a check stands for by its name: see ddl.enum_check.
local function enum_of(check)
  if not check.name or not check.column or not check.sql:find " in %('.*'%)$" then return nil end
  return check.name:match "^(.-)_enum_."
end

--- A table from its text.
-- @tparam table entry of sqlite_master: name, sql
-- @tparam table rows of pragma_table_xinfo, and `keys`: how many foreign keys there are
-- @treturn table T
-- @treturn table names of its columns, as expression.normal wants them
-- @raise unsupported
function M.table(entry, rows)
  local parsed = parse.table(entry.sql)
  local t = {
    name = entry.name, columns = {}, uniques = {}, checks = parsed.checks,
    foreign_keys = parsed.foreign_keys, indexes = {}, options = {},
  }
  columns(t, parsed, rows)
  primary_key(t, parsed)
  for i, key in ipairs(parsed.uniques) do t.uniques[i] = key_of(t, key) end
  for _, check in ipairs(t.checks) do check.enum = enum_of(check) end
  if next(parsed.options) then t.options.sqlite = parsed.options end
  sort_lists(t)
  return t, parsed.names
end

--- An index, added to its table.
function M.index(entry, t, names)
  local index = parse.index(entry.sql, names)
  index.table = nil
  index.name = entry.name
  for _, key in ipairs(index.keys) do
    local c = key.column and find(t.columns, key.column)
    if key.collation == (c and c.collation or "BINARY") then key.collation = nil end
  end
  t.indexes[#t.indexes + 1] = index
end

-- ---- what is not compared --------------------------------------------------

local KEY_WORDS = {
  { "on_conflict", "ON CONFLICT" }, { "desc", "DESC" }, { "collations", "COLLATE" },
}

local function key_note(key, out)
  local words = {}
  for _, word in ipairs(KEY_WORDS) do
    if key and key.sqlite and key.sqlite[word[1]] then words[#words + 1] = word[2] end
  end
  if #words == 0 then return end
  out[#out + 1] = {
    kind = "key", name = key.name or table.concat(key.columns, ", "),
    why = table.concat(words, ", ") .. " of a key is not compared",
  }
end

--- What a table has and nobody compares, as notes.
function M.notes(t)
  local out = {}
  for _, c in ipairs(t.columns) do
    if c.sqlite and c.sqlite.null_key then
      out[#out + 1] = {
        kind = "column", name = c.name,
        why = "SQLite takes NULL in this primary key, which says nothing of NOT NULL",
      }
    end
    if c.sqlite and c.sqlite.null_conflict then
      out[#out + 1] = {
        kind = "column", name = c.name, why = "ON CONFLICT of NOT NULL is not compared",
      }
    end
  end
  key_note(t.primary_key, out)
  for _, key in ipairs(t.uniques) do key_note(key, out) end
  for _, n in ipairs(out) do n.on = t.name end
  return out
end

return M
