--- SQL that creates and drops what a tree has, for SQLite.
local lexer = require "perigee.dialect.sqlite.lexer"
local types = require "perigee.dialect.sqlite.types"

local M = {}

local quote, fail = lexer.quote, types.fail
M.fail = fail

-- ---- values ----------------------------------------------------------------

--- A value as a literal.
function M.literal(v)
  local kind = type(v)
  if kind == "string" then return lexer.string(v) end
  if kind == "boolean" then return v and "1" or "0" end
  if kind ~= "number" then types.fail(nil, "a %s is no literal", kind) end
  if v ~= v then types.fail(nil, "NaN cannot be stored in SQLite") end
  if v == math.huge then return "9e999" end
  if v == -math.huge then return "-9e999" end
  local whole = tostring(v)
  if whole:find "^-?%d+$" then return whole end -- all digits of an integer of Lua 5.4
  if v == math.floor(v) and math.abs(v) < 2 ^ 53 then return ("%d"):format(v) end
  local short = ("%.15g"):format(v)
  return tonumber(short) == v and short or ("%.17g"):format(v)
end

-- Times in the form that the driver stores, whose order is the order of time.
local NOW = {
  date = "date('now')", time = "strftime('%H:%M:%f000', 'now')",
  timestamp = "strftime('%Y-%m-%dT%H:%M:%f000', 'now')",
}
local NOW_ZONE = "strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')"

local UUID = "lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4'"
  .. " || substr(hex(randomblob(2)), 2) || '-' || substr('89ab', abs(random() % 4) + 1, 1)"
  .. " || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))"

--- The portable words of definitions, `sql.now` and `sql.uuid`, as SQL.
-- @tparam string word
-- @tparam ?table ty the type of the column
function M.word(word, ty, at)
  if word == "uuid" then return UUID end
  if word ~= "now" then fail(at, 'SQLite has nothing for sql.%s', word) end
  local kind = ty and (ty.name or ty.raw and types.class_of(ty.raw))
  return NOW[kind] or NOW_ZONE
end

local BARE = { string = true, blob = true, number = true }
local CONSTANT = {
  NULL = true, TRUE = true, FALSE = true,
  CURRENT_TIMESTAMP = true, CURRENT_DATE = true, CURRENT_TIME = true,
}

-- Does SQLite take the expression behind DEFAULT without parentheses?
local function is_plain(sql)
  local list = lexer.tokens(sql)
  local first = list[1]
  if #list == 1 then return BARE[first.kind] or CONSTANT[first.upper or ""] end
  return #list == 2 and (first.text == "-" or first.text == "+") and list[2].kind == "number"
end

-- A comment at the end must not swallow what follows.
local function closed(sql)
  return sql:find("--", 1, true) and sql .. "\n" or sql
end

local function parentheses(sql)
  return "(" .. closed(sql) .. ")"
end

local function ty_of(c)
  return c.type_on and c.type_on.sqlite or c.type
end

--- What stands behind DEFAULT, or nil.
function M.default(c)
  local d = c.default
  if not d then return nil end
  local ty = ty_of(c)
  if d.sql == nil then
    if type(d.value) == "boolean" then return d.value and "TRUE" or "FALSE" end
    local text = M.literal(d.value)
    return is_plain(text) and text or parentheses(text)
  end
  local sql = d.word and M.word(d.sql, ty, c.at) or d.sql
  return is_plain(sql) and not sql:find("--", 1, true) and sql or parentheses(sql)
end

-- ---- columns ---------------------------------------------------------------

local function options_of(t)
  return t and t.options and t.options.sqlite or {}
end
M.options_of = options_of

local function constraint(name)
  return name and "CONSTRAINT " .. quote(name) .. " " or ""
end

--- "CONSTRAINT name " or nothing.
M.constraint = constraint

local function on_conflict(how)
  return how and " ON CONFLICT " .. how:upper() or ""
end

local NOTHING = {}

-- What only SQLite has: see the live tree (live.lua).
local function own(e) return e.sqlite or NOTHING end

local function list_of(columns)
  local out = {}
  for i, name in ipairs(columns) do out[i] = quote(name) end
  return table.concat(out, ", ")
end

-- The key is written in the column: the rowid by its name, and the one form in which an
-- INTEGER key is not the rowid.
local function key_in_column(c, t)
  local key = t and t.primary_key
  if not key or #key.columns ~= 1 or key.columns[1] ~= c.name then return nil end
  if c.identity then return key end
  return own(key).in_column and key or nil
end

local function identity_clause(c, t)
  local key = key_in_column(c, t)
  if not c.identity then
    if not key then return nil end
    return constraint(key.name) .. "PRIMARY KEY DESC" .. on_conflict(own(key).on_conflict)
  end
  if not key then
    fail(c.at, 'column "%s": on SQLite identity is for a primary key of one column', c.name)
  end
  if options_of(t).without_rowid then
    fail(c.at, 'column "%s": a table WITHOUT ROWID has no identity', c.name)
  end
  return constraint(key.name) .. "PRIMARY KEY" .. on_conflict(own(key).on_conflict)
    .. (c.identity.always and " AUTOINCREMENT" or "")
end

--- The declared type of a column of a table.
function M.type(c, t)
  if c.identity then return "INTEGER" end
  local text = types.text(c, c.at, options_of(t).strict)
  -- INTEGER PRIMARY KEY would make up values, which nobody asked for here
  local key = t and t.primary_key
  local ty = ty_of(c)
  if text == "INTEGER" and not ty.raw and key and #key.columns == 1
    and key.columns[1] == c.name then
    return "INT"
  end
  return text
end

local function check_clause(check)
  return constraint(check.name) .. "CHECK " .. parentheses(check.sql)
end

--- A check as a clause.
M.check = check_clause

--- The CHECK that stands for an enum: { name, sql, column }. Its name says which enum, so
-- that it is found again, also when the table or the column has got another name.
function M.enum_check(c)
  local ty = ty_of(c)
  local values = {}
  for i, v in ipairs(ty.values or {}) do values[i] = lexer.string(v) end
  if #values == 0 then fail(c.at, 'the enum "%s" has no values', ty.enum) end
  return {
    name = ty.enum .. "_enum_" .. c.name, column = c.name,
    sql = quote(c.name) .. " IN (" .. table.concat(values, ", ") .. ")",
  }
end

local function has_check(t, name)
  for _, check in ipairs(t and t.checks or {}) do
    if check.name == name then return true end
  end
  return false
end

-- Checks that are written in the column: of an enum, and those that say so.
local function column_checks(c, t, out)
  if ty_of(c).enum then
    local check = M.enum_check(c)
    if not has_check(t, check.name) then out[#out + 1] = check_clause(check) end
  end
  for _, check in ipairs(t and t.checks or {}) do
    if check.column == c.name then out[#out + 1] = check_clause(check) end
  end
end

--- A column as it stands in CREATE TABLE and behind ADD COLUMN.
-- @tparam table c
-- @tparam ?table t the table: without it there is no key and no check
function M.column(c, t)
  local out = { quote(c.name) }
  local ty = M.type(c, t)
  if ty ~= "" then out[2] = ty end
  local identity = identity_clause(c, t)
  if identity then out[#out + 1] = identity end
  if not c.null and not c.identity and not own(c).null_key then
    out[#out + 1] = constraint(own(c).null_name) .. "NOT NULL"
      .. on_conflict(own(c).null_conflict)
  end
  local default = M.default(c)
  if default then out[#out + 1] = "DEFAULT " .. default end
  if c.collation then out[#out + 1] = "COLLATE " .. quote(c.collation) end
  if c.generated then
    out[#out + 1] = "GENERATED ALWAYS AS " .. parentheses(c.generated.sql)
      .. (c.generated.stored and " STORED" or " VIRTUAL")
  end
  column_checks(c, t, out)
  return table.concat(out, " ")
end

-- ---- constraints -----------------------------------------------------------

local function key_columns(key)
  local out, desc, collations = {}, own(key).desc or NOTHING, own(key).collations or NOTHING
  for i, name in ipairs(key.columns) do
    local collation = collations[i]
    out[i] = quote(name) .. (collation and " COLLATE " .. quote(collation) or "")
      .. (desc[i] and " DESC" or "")
  end
  return " (" .. table.concat(out, ", ") .. ")"
end

local function key_clause(key, words)
  if key.nulls_not_distinct then
    fail(key.at, "SQLite has no NULLS NOT DISTINCT")
  end
  if key.deferrable then fail(key.at, "a key of SQLite cannot be deferrable") end
  return constraint(key.name) .. words .. key_columns(key) .. on_conflict(own(key).on_conflict)
end

--- A foreign key as a clause of CREATE TABLE.
function M.foreign_key(f)
  local sql = constraint(f.name) .. "FOREIGN KEY (" .. list_of(f.columns) .. ") "
    .. M.references(f)
  return sql
end

--- The part of a foreign key from REFERENCES on.
function M.references(f)
  if f.ref.schema then fail(f.at, "SQLite has no schemas (%s.%s)", f.ref.schema, f.ref.table) end
  if f.on_delete_columns then fail(f.at, "SQLite has no SET NULL of some columns only") end
  local sql = "REFERENCES " .. quote(f.ref.table)
  if f.ref.columns and #f.ref.columns > 0 then
    sql = sql .. " (" .. list_of(f.ref.columns) .. ")"
  end
  if f.on_delete then sql = sql .. " ON DELETE " .. f.on_delete:upper() end
  if f.on_update then sql = sql .. " ON UPDATE " .. f.on_update:upper() end
  if f.match_full then sql = sql .. " MATCH FULL" end
  if f.deferrable then
    sql = sql .. " DEFERRABLE" .. (f.deferred and " INITIALLY DEFERRED" or "")
  end
  return sql
end

local function has_column(t, name)
  for _, c in ipairs(t.columns) do
    if c.name == name then return true end
  end
  return false
end

local function is_in_column(t, key)
  for _, c in ipairs(t.columns) do
    if key_in_column(c, t) == key then return true end
  end
  return false
end

-- ---- tables ----------------------------------------------------------------

local function table_items(t)
  local items = {}
  for i, c in ipairs(t.columns) do items[i] = M.column(c, t) end
  if t.primary_key and not is_in_column(t, t.primary_key) then
    items[#items + 1] = key_clause(t.primary_key, "PRIMARY KEY")
  end
  for _, key in ipairs(t.uniques or {}) do items[#items + 1] = key_clause(key, "UNIQUE") end
  for _, f in ipairs(t.foreign_keys or {}) do items[#items + 1] = M.foreign_key(f) end
  for _, check in ipairs(t.checks or {}) do
    if not check.column or not has_column(t, check.column) then
      items[#items + 1] = check_clause(check)
    end
  end
  return items
end

local function table_options(t)
  local options, out = options_of(t), {}
  if options.strict then out[#out + 1] = "STRICT" end
  if options.without_rowid then out[#out + 1] = "WITHOUT ROWID" end
  return #out > 0 and " " .. table.concat(out, ", ") or ""
end

local function need_main(e, what)
  if e.schema then
    fail(e.at, 'SQLite has no schemas: %s "%s.%s"', what, e.schema, e.name)
  end
end

--- CREATE TABLE, with its foreign keys and without its indexes.
-- @tparam table t
-- @tparam ?string name another name than the table's
function M.table(t, name)
  need_main(t, "table")
  return ("CREATE TABLE %s (\n  %s\n)%s"):format(quote(name or t.name),
    table.concat(table_items(t), ",\n  "), table_options(t))
end

local function index_key(key)
  local sql = key.column and quote(key.column) or closed(key.sql)
  return sql .. (key.collation and " COLLATE " .. quote(key.collation) or "")
    .. (key.desc and " DESC" or "")
end

--- CREATE INDEX. What only changes the speed of other databases (INCLUDE, storage
-- parameters, operator classes, the place of NULLs) is left out.
function M.index(index, t)
  if index.method and index.method ~= "btree" then
    fail(index.at, 'SQLite has no index method "%s"', index.method)
  end
  if index.nulls_not_distinct then fail(index.at, "SQLite has no NULLS NOT DISTINCT") end
  local keys = {}
  for i, key in ipairs(index.keys) do keys[i] = index_key(key) end
  return ("CREATE %sINDEX %s ON %s (%s)%s"):format(index.unique and "UNIQUE " or "",
    quote(index.name), quote(t.name), table.concat(keys, ", "),
    index.where and " WHERE " .. index.where or "")
end

--- CREATE VIEW.
function M.view(v)
  need_main(v, "view")
  if v.materialized then fail(v.at, 'SQLite has no materialized views: "%s"', v.name) end
  return ("CREATE VIEW %s AS %s"):format(quote(v.name), v.sql)
end

--- The text of an object: a trigger, the only kind there is.
function M.object(o)
  if o.kind ~= "trigger" then fail(o.at, 'SQLite has no %s ("%s")', o.kind, o.name) end
  return o.sql
end

-- ---- by kind ---------------------------------------------------------------

local function nothing() return {} end

local CREATE = {
  schema = function(e) fail(e.at, 'SQLite has no schemas: "%s"', e.name or tostring(e)) end,
  enum = nothing, comment = nothing, foreign_key = nothing,
  table = function(t) return { M.table(t) } end,
  index = function(i, ctx) return { M.index(i, ctx.table) } end,
  view = function(v) return { M.view(v) } end,
  object = function(o) return { M.object(o) } end,
}

local function drop_of(what)
  return function(e) return { "DROP " .. what .. " " .. quote(e.name) } end
end

local DROP = {
  schema = CREATE.schema, enum = nothing, comment = nothing, foreign_key = nothing,
  table = drop_of "TABLE", index = drop_of "INDEX", view = drop_of "VIEW",
  object = function(o)
    M.object(o)
    return { "DROP TRIGGER " .. quote(o.name) }
  end,
}

local function by_kind(map, kind, element, ctx)
  local fn = map[kind]
  if not fn then fail(nil, 'SQLite: nothing is known of the kind "%s"', tostring(kind)) end
  return fn(element, ctx or {})
end

--- The statements that create an element. Enums, comments and foreign keys have none of
-- their own here: they are in the tables, or nowhere.
-- @tparam string kind schema, enum, table, foreign_key, index, view, object or comment
-- @tparam table element
-- @tparam ?table ctx table: the table of an index
-- @treturn {string,...}
function M.create(kind, element, ctx)
  return by_kind(CREATE, kind, element, ctx)
end

--- The statements that drop an element.
function M.drop(kind, element, ctx)
  return by_kind(DROP, kind, element, ctx)
end

return M
