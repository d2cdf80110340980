--- Columns: from what a script assigns, `bigint { identity = true, pk = true }`, to the
-- form of a tree. A part of the preludes (language.lua).
local M = {}

local L, types

local OPTIONS = {
  "check", "collation", "comment", "default", "deferrable", "deferred", "generated",
  "identity", "index", "match_full", "null", "numeric_as", "on_delete", "on_update", "pk",
  "ref", "stored", "type_on", "unique", "valid", "was",
}

local IDENTITY = { "always", "cache", "cycle", "increment", "max", "min", "start" }
local DATABASES = { "mysql", "postgres", "sqlite" }
local ACTIONS = { "cascade", "no action", "restrict", "set default", "set null" }

local RANGE = { smallint = 2 ^ 15, int = 2 ^ 31, bigint = 2 ^ 63 }

-- ---- defaults --------------------------------------------------------------

local function is_finite(v)
  return type(v) == "number" and v == v and v ~= math.huge and v ~= -math.huge
end

-- Lua 5.4 alone has whole numbers past 2^53; all others were rounded before we see them.
local math_type = rawget(math, "type")

local function is_exact(v)
  return math.abs(v) < 2 ^ 53 or v ~= math.floor(v)
    or math_type ~= nil and math_type(v) == "integer"
end

local function characters(text)
  local _, n = text:gsub("[^\128-\191]", "")
  return n
end

local is_literal = {
  integer = function(v, ty)
    local limit = RANGE[ty.name]
    return is_finite(v) and v == math.floor(v) and v >= -limit and v < limit and is_exact(v)
  end,
  decimal = function(v)
    return is_finite(v) and is_exact(v) or type(v) == "string"
      and (v:find "^[+-]?%d+%.?%d*$" or v:find "^[+-]?%.%d+$") ~= nil
  end,
  number = is_finite,
  boolean = function(v) return type(v) == "boolean" end,
  string = function(v) return type(v) == "string" end,
  any = function(v) return type(v) == "string" or type(v) == "boolean" or is_finite(v) end,
}

local EXPECTED = {
  integer = "a whole number of its range", decimal = "a number or a decimal text",
  number = "a number", boolean = "true or false", string = "a text",
  any = "a text, a number or a boolean",
}

local function check_string(what, ty, v)
  local n = not ty.array and (ty.name == "varchar" or ty.name == "char") and ty.args[1]
  if n and characters(v) > n then
    L.fail('%s: the default "%s" is longer than %d characters', what, v, n)
  end
  if ty.enum and not ty.array then
    for _, value in ipairs(ty.values) do
      if value == v then return end
    end
    L.fail('%s: the default "%s" is not a value of %s: there are %s', what, v,
      types.print(ty), table.concat(ty.values, ", "))
  end
end

--- The default that a script gives: { value = … } or { sql = … }.
function M.default(what, ty, v)
  if L.is_sql(v) then return { sql = v.sql, word = v.word } end
  local kind = types.literal(ty)
  if not is_literal[kind](v, ty) then
    local hint = ""
    if type(v) == "string" and (v:find "%(" or v:upper():find "^CURRENT_") then
      hint = (' (an expression is written sql "%s")'):format(v)
    elseif is_finite(v) and not is_exact(v) then
      hint = ' (so large a number is not exact: write it as sql "…")'
    end
    L.fail("%s: the default of %s is %s, not %s%s", what, types.print(ty), EXPECTED[kind],
      L.show(v), hint)
  end
  if kind == "string" then check_string(what, ty, v) end
  return { value = v }
end

-- ---- identity, generated ---------------------------------------------------

-- Of the database's own types the database says it.
local function takes_identity(ty) return ty.raw ~= nil or types.literal(ty) == "integer" end

--- The identity that a script gives: true, "always" or { start = 10, … }.
function M.identity(what, ty, v)
  if v == nil or v == false then return nil end
  if not takes_identity(ty) then
    L.fail("%s: identity is for bigint, int and smallint, not %s", what, types.print(ty))
  end
  if v == true then return { always = false } end
  if v == "always" then return { always = true } end
  if not L.is_plain(v) then
    L.fail('%s: identity is true, "always" or { start = … }, not %s', what, L.show(v))
  end
  local out = { always = false }
  L.check_options(what .. ": identity", v, IDENTITY)
  for _, k in ipairs(IDENTITY) do
    local kind = (k == "always" or k == "cycle") and "boolean" or "number"
    local x = L.option(what .. ": identity", v, k, kind)
    if kind == "number" and x and x ~= math.floor(x) then
      L.fail("%s: identity: %s must be a whole number", what, k)
    end
    if x ~= nil then out[k] = x end
  end
  return out
end

--- The expression of a generated column: { sql =, stored = }.
function M.generated(what, v, stored)
  if v == nil then
    if stored ~= nil then L.fail("%s: stored is for generated columns", what) end
    return nil
  end
  if not L.is_sql(v) or v.word then
    L.fail('%s: generated = sql "…" is expected, not %s', what, L.show(v))
  end
  if stored ~= nil and type(stored) ~= "boolean" then
    L.fail("%s: stored must be a boolean, not %s", what, L.show(stored))
  end
  return { sql = v.sql, stored = stored or false }
end

-- ---- references ------------------------------------------------------------

--- An action of a foreign key; nil for "no action".
function M.action(what, options, name)
  local v = options[name]
  if v == nil then return nil end
  for _, action in ipairs(ACTIONS) do
    if v == action then return v ~= "no action" and v or nil end
  end
  L.fail('%s: %s is one of %s, not %s', what, name, table.concat(ACTIONS, ", "), L.show(v))
end

local function split(text)
  local list = {}
  for part in (text .. ","):gmatch "%s*([^,]-)%s*," do list[#list + 1] = part end
  return list
end

local function parse_ref(what, text)
  local target, columns = text:match "^%s*([^(]-)%s*%((.*)%)%s*$"
  if target then
    local schema, name = L.name(what .. ": ref", target)
    return { schema = schema, table = name, columns = L.names(what .. ": ref", split(columns)) }
  end
  local parts = {}
  for part in (text .. "."):gmatch "([^.]*)%." do parts[#parts + 1] = part end
  for _, part in ipairs(parts) do
    if part == "" then L.fail('%s: ref = "%s" is not understood', what, text) end
  end
  if #parts == 1 then return { table = parts[1] } end
  if #parts == 2 then return { table = parts[1], columns = { parts[2] } } end
  if #parts == 3 then return { schema = parts[1], table = parts[2], columns = { parts[3] } } end
  L.fail('%s: ref = "%s": write "table.column" or "schema.table(column)"', what, text)
end

--- What a foreign key refers to: "table", "table.column", "schema.table.column",
-- "schema.table(a, b)" or { schema =, table =, column = or columns = }.
-- @treturn table { schema =, table =, columns = or nil }
-- @treturn ?string a name of the key, in the last form
function M.ref(what, v)
  if type(v) == "string" then return parse_ref(what, v) end
  local form = what .. ": ref"
  L.need_table(form, v, '"table.column" or a table')
  L.check_options(form, v, { "column", "columns", "name", "schema", "table" })
  if not L.text(form, v, "table") then L.fail("%s: table is missing", form) end
  local columns = v.columns or v.column
  return {
    schema = L.text(form, v, "schema"), table = v.table,
    columns = columns and L.names(form, columns),
  }, L.text(form, v, "name")
end

-- ---- columns ---------------------------------------------------------------

local function type_on(what, v)
  if v == nil then return nil end
  L.need_table(what .. ": type_on", v, '{ sqlite = text }')
  L.check_options(what .. ": type_on", v, DATABASES)
  local out = {}
  for _, name in ipairs(DATABASES) do
    if v[name] ~= nil then out[name] = L.type_of(what .. ": type_on", v[name]) end
  end
  return out
end

local function numeric_as(what, ty, v)
  if v == nil then return nil end
  if v ~= "text" and v ~= "number" then
    L.fail('%s: numeric_as is "text" or "number", not %s', what, L.show(v))
  end
  if ty.name ~= "numeric" then L.fail("%s: numeric_as is for numeric", what) end
  return v
end

-- true, false or a name.
local function flag(what, options, name)
  local v = options[name]
  if v ~= nil and type(v) ~= "boolean" and (type(v) ~= "string" or v == "") then
    L.fail("%s: %s is true or a name, not %s", what, name, L.show(v))
  end
  return v
end

local OF_REF = { "deferrable", "deferred", "match_full", "on_delete", "on_update" }

local function check_ref_options(what, o)
  for _, name in ipairs(OF_REF) do
    if o[name] ~= nil and o.ref == nil and not (o.unique and name:find "^defer") then
      L.fail("%s: %s is for a column with ref", what, name)
    end
  end
end

local function check_together(what, o)
  local many = (o.default ~= nil and 1 or 0) + (o.identity and 1 or 0) + (o.generated and 1 or 0)
  if many > 1 then
    L.fail("%s: only one of default, identity and generated can be given", what)
  end
  if o.null and o.pk then L.fail("%s: a column of the primary key cannot be null", what) end
  if o.null and o.identity then L.fail("%s: an identity column cannot be null", what) end
  check_ref_options(what, o)
end

--- A foreign key from options that stand at a column or in t:foreign_key.
function M.foreign_key(what, columns, o, at)
  local ref, name = M.ref(what, o.ref)
  return {
    name = name, columns = columns, ref = ref,
    on_delete = M.action(what, o, "on_delete"), on_update = M.action(what, o, "on_update"),
    match_full = L.option(what, o, "match_full", "boolean") or nil,
    deferrable = (L.option(what, o, "deferrable", "boolean") or o.deferred) or nil,
    deferred = L.option(what, o, "deferred", "boolean") or nil,
    valid = M.valid(what, o), at = at,
  }
end

--- valid = false is kept; true is what holds anyway.
function M.valid(what, o)
  if L.option(what, o, "valid", "boolean") == false then return false end
  return nil
end

-- What stands at a column and belongs to the table.
local function extras(what, name, o, at)
  local out = { pk = flag(what, o, "pk"), at = at }
  local unique, index = flag(what, o, "unique"), flag(what, o, "index")
  local given = function(v) return type(v) == "string" and v or nil end
  if unique then
    out.unique = {
      name = given(unique), columns = { name }, at = at,
      deferrable = o.ref == nil and (o.deferrable or o.deferred) or nil,
      deferred = o.ref == nil and o.deferred or nil,
    }
  end
  if index then out.index = { name = given(index), keys = { { column = name } }, at = at } end
  if o.check ~= nil then
    out.check = { sql = L.sql_text(what .. ": check", o.check), column = name, at = at }
  end
  if o.ref ~= nil then out.foreign_key = M.foreign_key(what, { name }, o, at) end
  return out
end

--- A column from what was assigned to it.
-- @tparam string what "column orders.id", for messages
-- @tparam string name
-- @param value bigint, bigint { … }
-- @tparam table at its place, when the value has none
-- @treturn table the column, as in a tree
-- @treturn table what belongs to the table: pk, unique, index, check, foreign_key
function M.build(what, name, value, at)
  local o = {}
  if L.is_column(value) then
    o = value.options
    if value.at and not value.used then at = value.at end
    value.used = true
  elseif not L.is_type(value) then
    L.fail("%s: a type such as bigint { … } is expected, not %s", what,
      L.is_sql(value) and "sql" or type(value) == "string" and "a string" or L.show(value))
  end
  L.check_options(what, o, OPTIONS)
  local ty = L.type_of(what, L.is_column(value) and L.type_from(value) or value)
  check_together(what, o)
  local null = L.option(what, o, "null", "boolean")
  local column = {
    name = name, was = L.text(what, o, "was"), type = ty, null = null or false,
    identity = M.identity(what, ty, o.identity),
    generated = M.generated(what, o.generated, o.stored),
    comment = L.option(what, o, "comment", "string"), collation = L.text(what, o, "collation"),
    numeric_as = numeric_as(what, ty, o.numeric_as), type_on = type_on(what, o.type_on),
    at = at,
  }
  if o.default ~= nil then column.default = M.default(what, ty, o.default) end
  return column, extras(what, name, o, at)
end

function M.use(language)
  L, types = language, language.types
  return M
end

return M
