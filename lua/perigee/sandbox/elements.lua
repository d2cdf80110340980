--- Keys, constraints, indexes, views and other objects: from what a script writes to the
-- form of a tree. A part of the preludes (language.lua).
local M = {}

local L, column

-- What each database knows of a table besides the portable things.
M.OPTIONS = {
  mysql = { "charset", "collation", "engine", "row_format" },
  postgres = { "force_row_security", "partition_by", "row_security", "unlogged", "with" },
  sqlite = { "strict", "without_rowid" },
}

-- ---- keys ------------------------------------------------------------------

local KEY = { "deferrable", "deferred", "include", "name" }
local UNIQUE = { "deferrable", "deferred", "include", "name", "nulls_not_distinct" }

local function as_list(what, spec, form)
  if type(spec) == "string" then return { spec } end
  return L.need_table(what, spec, form)
end

local function columns_of(what, spec)
  local list = {}
  for i = 1, #spec do list[i] = spec[i] end
  list = L.names(what, list)
  if #list == 0 then L.fail("%s: no columns are named", what) end
  return list
end

local function flag(what, spec, name)
  return L.option(what, spec, name, "boolean") or nil
end

local function key(what, spec, allowed, at)
  spec = as_list(what, spec, '{ "a", "b" }')
  L.check_options(what, spec, allowed, true)
  return {
    name = L.text(what, spec, "name"), columns = columns_of(what, spec),
    include = spec.include and L.names(what .. ": include", spec.include),
    nulls_not_distinct = flag(what, spec, "nulls_not_distinct"),
    deferrable = (flag(what, spec, "deferrable") or spec.deferred) or nil,
    deferred = flag(what, spec, "deferred"), at = at,
  }
end

--- A primary key: { "a", "b", name = … }.
function M.primary_key(what, spec, at, more)
  return key(what, spec, M.with(KEY, more), at)
end

--- A unique key: { "a", "b", name = …, nulls_not_distinct = true }.
function M.unique(what, spec, at)
  return key(what, spec, UNIQUE, at)
end

--- A list of allowed options with another one put in.
function M.with(list, ...)
  local out = {}
  for i, name in ipairs(list) do out[i] = name end
  for _, name in ipairs { ... } do out[#out + 1] = name end
  table.sort(out)
  return out
end

local FOREIGN_KEY = {
  "deferrable", "deferred", "match_full", "name", "on_delete", "on_delete_columns",
  "on_update", "ref", "valid",
}

--- A foreign key: { "a", "b", ref = "t(x, y)", on_delete = … }.
function M.foreign_key(what, spec, at)
  L.need_table(what, spec, '{ "a", ref = "t(x)" }')
  L.check_options(what, spec, FOREIGN_KEY, true)
  local columns = columns_of(what, spec)
  if spec.ref == nil then L.fail("%s: ref is missing", what) end
  if #columns > 1 and type(spec.ref) == "string" and spec.ref:find "^[^(]*%." then
    L.fail('%s: ref = "%s": write "table(x, y)" or "schema.table(x, y)"', what, spec.ref)
  end
  local f = column.foreign_key(what, columns, spec, at)
  f.name = L.text(what, spec, "name") or f.name
  f.on_delete_columns = spec.on_delete_columns
    and L.names(what .. ": on_delete_columns", spec.on_delete_columns)
  return f
end

-- ---- checks ----------------------------------------------------------------

local CHECK = { "column", "name", "no_inherit", "sql", "valid" }

--- A check: (expr), (name, expr), (name, expr, options) or { sql =, name = … }.
function M.check(what, first, second, third, at)
  local o = third or {}
  local name, sql = first, second
  if second == nil and L.is_plain(first) then
    o, name, sql = first, first.name, first.sql or first[1]
  elseif second == nil then
    name, sql = nil, first
  end
  L.need_table(what, o, "a table of options")
  L.check_options(what, o, CHECK, o == first)
  if name ~= nil and (type(name) ~= "string" or name == "") then
    L.fail("%s: a name is expected, not %s", what, L.show(name))
  end
  if sql == nil then L.fail("%s: the expression is missing", what) end
  return {
    name = name, sql = L.sql_text(what, sql), valid = column.valid(what, o),
    no_inherit = flag(what, o, "no_inherit"), column = L.text(what, o, "column"), at = at,
  }
end

-- ---- indexes ---------------------------------------------------------------

local INDEX = {
  "comment", "include", "method", "name", "nulls_not_distinct", "unique", "where", "with",
}
local INDEX_KEY = { "collation", "column", "desc", "length", "nulls", "opclass", "sql" }

-- "created_at desc nulls last"
local function key_of_text(text)
  local out = {}
  local function strip(pattern)
    local rest, word = text:match("^(.-%S)%s+" .. pattern .. "%s*$")
    if rest then text = rest end
    return word and word:lower()
  end
  if text:lower():find "%snulls%s+%a+%s*$" then
    local word = text:lower():match "%snulls%s+(%a+)%s*$"
    if word == "first" or word == "last" then
      out.nulls = word
      text = text:match "^(.-)%s+%a+%s+%a+%s*$"
    end
  end
  local word = strip "([dD][eE][sS][cC])" or strip "([aA][sS][cC])"
  out.desc = word == "desc" or nil
  out.column = text
  return out
end

local function index_key(what, v)
  if L.is_sql(v) then return { sql = L.sql_text(what, v) } end
  if type(v) == "string" and v ~= "" then return key_of_text(v) end
  L.need_table(what, v, 'a column, sql "…" or a table')
  L.check_options(what, v, INDEX_KEY, true)
  local sql = L.sql_text(what, L.is_sql(v[1]) and v[1] or v.sql)
  local name = L.text(what, v, "column") or not sql and type(v[1]) == "string" and v[1] or nil
  if (sql == nil) == (name == nil) then L.fail("%s: either column or sql is expected", what) end
  if v.nulls ~= nil and v.nulls ~= "first" and v.nulls ~= "last" then
    L.fail('%s: nulls is "first" or "last", not %s', what, L.show(v.nulls))
  end
  return {
    column = name, sql = sql, desc = flag(what, v, "desc"), nulls = v.nulls,
    opclass = L.text(what, v, "opclass"), collation = L.text(what, v, "collation"),
    length = L.option(what, v, "length", "number"),
  }
end

-- A table of storage parameters and the like: names and plain values.
local function settings(what, v)
  if v == nil then return nil end
  L.need_table(what, v, "a table of settings")
  local out = {}
  for _, k in ipairs(L.sorted_keys(v)) do
    local kind = type(v[k])
    if type(k) ~= "string" or kind ~= "string" and kind ~= "number" and kind ~= "boolean" then
      L.fail("%s: names and plain values are expected", what)
    end
    out[k] = v[k]
  end
  return out
end

--- An index: { "a", "b desc", sql "lower(c)", unique = true, where = … }.
function M.index(what, spec, at, more)
  if L.is_sql(spec) then spec = { spec } end
  spec = as_list(what, spec, '{ "a", "b desc" }')
  L.check_options(what, spec, M.with(INDEX, more), true)
  local keys = {}
  for i = 1, #spec do keys[i] = index_key(what, spec[i]) end
  if #keys == 0 then L.fail("%s: no columns are named", what) end
  local method = L.text(what, spec, "method")
  return {
    name = L.text(what, spec, "name"), keys = keys, unique = flag(what, spec, "unique"),
    method = method ~= "btree" and method or nil, where = L.sql_text(what, spec.where),
    include = spec.include and L.names(what .. ": include", spec.include),
    with = settings(what .. ": with", spec.with), comment = L.text(what, spec, "comment"),
    nulls_not_distinct = flag(what, spec, "nulls_not_distinct"), at = at,
  }
end

-- ---- options of a database -------------------------------------------------

--- The options of a table for one database.
function M.options(what, database, v)
  local allowed = M.OPTIONS[database]
  if not allowed then
    L.fail("%s: there is no database %s: allowed are mysql, postgres, sqlite", what,
      L.show(database))
  end
  what = ("%s %s"):format(what, database)
  L.need_table(what, v, "a table of options")
  L.check_options(what, v, allowed)
  local out = {}
  for _, k in ipairs(allowed) do
    local x = v[k]
    if k == "with" then
      x = settings(what .. ": with", x)
    elseif type(x) == "table" or type(x) == "function" then
      L.fail("%s: %s: a plain value is expected, not %s", what, k, L.show(x))
    end
    out[k] = x
  end
  return out
end

-- ---- views and other objects -----------------------------------------------

local function trim(text)
  return (text:gsub("^%s+", ""):gsub("%s+$", ""))
end

local VIEW = { "after", "comment", "materialized", "schema", "sql", "was", "with" }

local function after_of(what, o)
  return o.after ~= nil and L.names(what .. ": after", o.after) or nil
end

--- A view: (name, sql) or (name, options, sql). `was` is left to the caller.
function M.view(name, o, sql, at)
  if sql == nil and not L.is_plain(o) then o, sql = {}, o end
  local what = "view " .. L.label(name)
  o = L.need_table(what, o or {}, "a table of options")
  L.check_options(what, o, VIEW)
  if sql == nil then sql = o.sql end
  if sql == nil then L.fail("%s: the query is missing", what) end
  local schema, plain = L.name("view", name, L.text(what, o, "schema"))
  local text = trim(L.sql_text(what, sql)):gsub("%s*;$", "")
  return {
    schema = schema, name = plain, sql = text, after = after_of(what, o),
    materialized = flag(what, o, "materialized"), comment = L.text(what, o, "comment"),
    with = settings(what .. ": with", o.with), at = at,
  }
end

local OBJECT = {
  "after", "comment", "kind", "name", "on", "owned_by", "schema", "sql", "version",
}

-- Schema and name of an object: "crm.f(audit.kind)" has its schema in the name, unless it
-- stands on a table.
local function object_name(what, o)
  local schema = L.text(what, o, "schema")
  if schema or o.on or o.kind == "extension" then return schema, o.name end
  local first, rest = o.name:match "^([^.(]+)%.(.+)$"
  return first, rest or o.name
end

--- Any other object: { kind =, name =, sql =, on =, after =, schema = }.
function M.object(what, o, at, more)
  L.need_table(what, o, "a table")
  L.check_options(what, o, M.with(OBJECT, more))
  for _, field in ipairs { "kind", "name" } do
    if not L.text(what, o, field) then L.fail("%s: %s is missing", what, field) end
  end
  what = ("%s %s"):format(o.kind, o.name)
  if o.sql == nil then L.fail("%s: sql is missing", what) end
  local on_schema, on = nil, L.text(what, o, "on")
  if on then on_schema, on = L.name(what .. ": on", on) end
  local schema, name = object_name(what, o)
  return {
    kind = o.kind, schema = schema, name = name,
    on = on_schema and on_schema .. "." .. on or on, sql = trim(L.sql_text(what, o.sql)),
    after = after_of(what, o), comment = L.text(what, o, "comment"),
    version = L.text(what, o, "version"), owned_by = L.text(what, o, "owned_by"), at = at,
  }
end

function M.use(language, columns)
  L, column = language, columns
  return M
end

return M
