--- Names, literals, types and columns as MySQL and MariaDB read them.
local names = require "perigee.dialect.names"
local util = require "perigee.util"

local usage = util.usage
-- Lua 5.3 and later know integers past 2^53.
local math_type = rawget(math, "type")
local M = {}

local NAME_CHARACTERS = 64

-- A schema is another database here.
M.quote, M.qualified, M.names = names.quoting "`"

--- At most 64 characters: the server refuses longer names.
function M.limit(name)
  local n, at = 0, 1
  while at <= #name do
    n = n + 1
    if n > NAME_CHARACTERS then return name:sub(1, at - 1) end
    at = at + 1
    while at <= #name and name:byte(at) >= 0x80 and name:byte(at) < 0xC0 do at = at + 1 end
  end
  return name
end

local function number_text(v)
  if v ~= v or v == math.huge or v == -math.huge then
    usage("%s cannot be stored by this database", tostring(v))
  end
  if math_type and math_type(v) == "integer" then return ("%d"):format(v) end
  if v == math.floor(v) and math.abs(v) < 2 ^ 53 then return ("%.0f"):format(v) end
  local short = ("%.15g"):format(v)
  return tonumber(short) == v and short or ("%.17g"):format(v)
end

local ESCAPES = { ["'"] = "''", ["\\"] = "\\\\", ["\0"] = "\\0", ["\26"] = "\\Z" }

--- A string, number or boolean as SQL.
function M.literal(v)
  local kind = type(v)
  if kind == "number" then return number_text(v) end
  if kind == "boolean" then return v and "true" or "false" end
  if kind ~= "string" then usage("a literal is a string, number or boolean, not %s", kind) end
  return "'" .. v:gsub("['\\%z\26]", ESCAPES) .. "'"
end

-- ---- types -----------------------------------------------------------------

-- text and bytes are as long as elsewhere; times have microseconds and are in UTC.
local TYPES = {
  bigint = "bigint", int = "int", integer = "int", smallint = "smallint",
  boolean = "boolean", text = "longtext", varchar = "varchar", char = "char",
  numeric = "decimal", float8 = "double", float4 = "float", date = "date",
  time = "time(6)", timestamp = "datetime(6)", timestamptz = "datetime(6)",
  uuid = "char(36)", json = "json", jsonb = "json", bytes = "longblob",
}

local FRACTIONS = { time = "time", timestamp = "datetime", timestamptz = "datetime" }

-- Types whose default must be an expression.
local LARGE = { text = true, json = true, jsonb = true, bytes = true }

local function place(at) return at and ("%s:%s: "):format(at.file, at.line) or "" end

local function portable(ty, at)
  local name = TYPES[ty.name]
  if not name or (ty.array or 0) > 0 then
    usage("%s%s is not a type of MySQL: say with type_on = { mysql = … } what takes its place",
      place(at), ty.array and "an array" or tostring(ty.name))
  end
  local args = ty.args or {}
  if #args == 0 then return ty.name == "numeric" and "decimal(65,30)" or name end
  local list = {}
  for i, v in ipairs(args) do list[i] = number_text(v) end
  return (FRACTIONS[ty.name] or name) .. "(" .. table.concat(list, ",") .. ")"
end

local function type_of(c) return c.type_on and c.type_on.mysql or c.type end

--- A type as SQL.
-- @tparam table of a column (its type_on.mysql wins) or a type
-- @tparam ?table at for messages
function M.type(of, at)
  local ty = of.type and type_of(of) or of
  at = at or of.at
  if ty.raw then return ty.raw end
  if not ty.enum or ty.array then return portable(ty, at) end
  local values = {}
  for i, v in ipairs(ty.values) do values[i] = M.literal(v) end
  return "enum(" .. table.concat(values, ",") .. ")"
end

--- Is the column one of texts or bytes without a length, which no primary or foreign key
-- can have?
function M.is_large(c)
  local ty = type_of(c)
  if not ty.raw then return LARGE[ty.name] or false end
  local raw = ty.raw:lower()
  return raw == "json" or raw:find "^%a*text%f[%A]" ~= nil or raw:find "^%a*blob%f[%A]" ~= nil
end

-- ---- columns ---------------------------------------------------------------

local WORDS = { now = "CURRENT_TIMESTAMP(6)", uuid = "(uuid())" }

--- An expression that something follows: a comment at its end is ended.
function M.closed(sql)
  if sql:find("--", 1, true) or sql:find("#", 1, true) then return sql .. "\n" end
  return sql
end

-- Numbers and strings: in parentheses MySQL would take them for expressions.
local function is_literal(sql)
  return sql:find "^%-?%.?%d[%d.]*$" ~= nil or sql:find "^%-?%d[%d.]*[eE][+-]?%d+$" ~= nil
    or sql:find "^b'[01]*'$" ~= nil or sql:find "^0x%x+$" ~= nil
    or sql:gsub("\\.", ""):gsub("''", ""):find "^'[^']*'$" ~= nil
end

-- Expressions that stand without parentheses, those in one pair of them among others.
local function is_bare(sql, c)
  return sql:upper():find "^CURRENT_TIMESTAMP%s*%(?%d*%)?$" ~= nil or sql:find "^%b()$" ~= nil
    or c.type ~= nil and not M.is_large(c) and is_literal(sql)
end

--- The text of a default, or nil. An expression is in parentheses.
function M.default(c)
  local d = c.default
  if d == nil then return nil end
  if d.sql == nil then
    local text = M.literal(d.value)
    return c.type and M.is_large(c) and "(" .. text .. ")" or text
  end
  if not d.word then return is_bare(d.sql, c) and d.sql or "(" .. M.closed(d.sql) .. ")" end
  local text = WORDS[d.sql]
  if not text then usage("%ssql.%s is not known here", place(c.at), tostring(d.sql)) end
  return text
end

-- ---- as the server says it -------------------------------------------------

--- The server's own words for what it was told: a portable type, the default of a column.
M.shown = {}

function M.shown.type(ty) return ty.name == "boolean" and "tinyint(1)" or M.type(ty) end

function M.shown.default(c)
  local d = c.default
  if d.word then return d.sql == "now" and WORDS.now:lower() or M.default(c) end
  if type(d.value) == "boolean" then return d.value and "1" or "0" end
  if c.type.name == "numeric" then return tostring(d.value) end
  return d.value ~= nil and M.literal(d.value) or M.default(c)
end

--- A column with all its attributes, as CREATE TABLE, ADD and MODIFY take it. `kept`: those
-- of a live one that definitions have no word for.
function M.column(c)
  local out = { M.quote(c.name), M.type(c) }
  local function add(text) out[#out + 1] = text end
  if c.collation then add("COLLATE " .. M.quote(c.collation)) end
  if c.generated then
    add(("GENERATED ALWAYS AS (%s) %s"):format(M.closed(c.generated.sql),
      c.generated.stored == false and "VIRTUAL" or "STORED"))
  end
  -- MariaDB takes neither behind what is generated.
  if not c.generated then add(c.null and "NULL" or "NOT NULL") end
  if c.default and not c.generated then add("DEFAULT " .. M.default(c)) end
  if c.identity then add "AUTO_INCREMENT" end
  if c.comment then add("COMMENT " .. M.literal(c.comment)) end
  if c.kept then add(c.kept) end
  return table.concat(out, " ")
end

return M
