--- Names, literals, types and columns as PostgreSQL reads them.
local util = require "perigee.util"

local usage = util.usage
-- Lua 5.3 and later know integers past 2^53.
local math_type = rawget(math, "type")
local M = {}

local NAME_BYTES = 63

-- ---- names and literals ----------------------------------------------------

--- An identifier in quotes.
function M.quote(name)
  if type(name) ~= "string" or name == "" then
    usage("a name is expected, not %s", type(name) == "string" and '""' or type(name))
  end
  if name:find("\0", 1, true) then usage("a name cannot hold a zero byte: %q", name) end
  return '"' .. name:gsub('"', '""') .. '"'
end

--- `"schema"."name"`; without schema the name alone.
function M.qualified(schema, name)
  return schema and M.quote(schema) .. "." .. M.quote(name) or M.quote(name)
end

--- Names in quotes, with commas.
function M.names(list)
  local out = {}
  for i, name in ipairs(list) do out[i] = M.quote(name) end
  return table.concat(out, ", ")
end

--- The name as the server would cut it: at most 63 bytes, no half characters.
function M.limit(name)
  if #name <= NAME_BYTES then return name end
  local n = NAME_BYTES
  while n > 0 and name:byte(n + 1) >= 0x80 and name:byte(n + 1) < 0xC0 do n = n - 1 end
  return name:sub(1, n)
end

local function number_text(v)
  if v ~= v then return "'NaN'" end
  if v == math.huge then return "'Infinity'" end
  if v == -math.huge then return "'-Infinity'" end
  if math_type and math_type(v) == "integer" then return ("%d"):format(v) end
  if v == math.floor(v) and math.abs(v) < 2 ^ 53 then return ("%.0f"):format(v) end
  local short = ("%.15g"):format(v)
  return tonumber(short) == v and short or ("%.17g"):format(v)
end

--- A string, number or boolean as SQL. A string with backslashes is safe whatever
-- standard_conforming_strings says.
function M.literal(v)
  local kind = type(v)
  if kind == "number" then return number_text(v) end
  if kind == "boolean" then return v and "true" or "false" end
  if kind ~= "string" then usage("a literal is a string, number or boolean, not %s", kind) end
  if v:find("\0", 1, true) then usage("a text cannot hold a zero byte: %q", v) end
  local text = "'" .. v:gsub("'", "''") .. "'"
  if v:find("\\", 1, true) then text = "E" .. text:gsub("\\", "\\\\") end
  return text
end

--- SQL of the user's, such that a comment at its end does not swallow what follows.
function M.closed(sql)
  return sql:find("--", 1, true) and sql .. "\n" or sql
end

-- ---- types -----------------------------------------------------------------

local TYPES = {
  bigint = "bigint", int = "integer", integer = "integer", smallint = "smallint",
  boolean = "boolean", text = "text", varchar = "character varying", char = "character",
  numeric = "numeric", float8 = "double precision", float4 = "real", date = "date",
  time = "time", timestamp = "timestamp", timestamptz = "timestamp with time zone",
  interval = "interval", uuid = "uuid", json = "json", jsonb = "jsonb", bytes = "bytea",
}

local function place(at)
  return at and ("%s:%s: "):format(at.file, at.line) or ""
end

--- "schema.lua:3: ", or "".
M.place = place

local function with_args(ty, at)
  local name = TYPES[ty.name]
  if not name then usage("%sunknown type %q", place(at), tostring(ty.name)) end
  if not ty.args or #ty.args == 0 then return name end
  local args = {}
  for i, v in ipairs(ty.args) do args[i] = number_text(v) end
  local list = "(" .. table.concat(args, ",") .. ")"
  -- timestamp(3) with time zone
  local head, tail = name:match "^(%a+)( with .*)$"
  return head and head .. list .. tail or name .. list
end

--- A type as SQL.
-- @tparam table of a column (its type_on.postgres wins) or a type
-- @tparam ?table at { file =, line = } for messages
function M.type(of, at)
  local ty = of
  if of.type then
    ty, at = of.type_on and of.type_on.postgres or of.type, at or of.at
  end
  local text
  if ty.raw then
    text = ty.raw
  elseif ty.enum then
    text = M.qualified(ty.schema, ty.enum)
  else
    text = with_args(ty, at)
  end
  return text .. ("[]"):rep(ty.array or 0)
end

-- ---- columns ---------------------------------------------------------------

local WORDS = { now = "now()", uuid = "gen_random_uuid()" }

--- The text of a default, or nil.
-- @tparam table c a column or { default = … }
function M.default(c)
  local d = c.default
  if d == nil then return nil end
  if d.sql == nil then return M.literal(d.value) end
  if not d.word then return M.closed(d.sql) end
  local text = WORDS[d.sql]
  if not text then usage("%ssql.%s is not known here", place(c.at), tostring(d.sql)) end
  return text
end

local SEQUENCE = {
  { "type", "AS %s" }, { "increment", "INCREMENT BY %s" }, { "min", "MINVALUE %s" },
  { "max", "MAXVALUE %s" }, { "start", "START WITH %s" }, { "cache", "CACHE %s" },
}

--- The options of a sequence: "START WITH 10 CACHE 5", or "".
function M.sequence_options(o)
  local out = {}
  for _, pair in ipairs(SEQUENCE) do
    local v = o[pair[1]]
    if v ~= nil then
      out[#out + 1] = pair[2]:format(type(v) == "number" and number_text(v) or v)
    end
  end
  if o.cycle then out[#out + 1] = "CYCLE" end
  return table.concat(out, " ")
end

--- "GENERATED BY DEFAULT AS IDENTITY (START WITH 10)"
function M.identity(identity)
  local o = type(identity) == "table" and identity or { always = identity == "always" }
  local options = M.sequence_options(o)
  return ("GENERATED %s AS IDENTITY%s"):format(o.always and "ALWAYS" or "BY DEFAULT",
    options ~= "" and " (" .. options .. ")" or "")
end

--- A collation: its name, or (starting with a quote) text as it is written.
function M.collation(name)
  return name:sub(1, 1) == '"' and name or M.quote(name)
end

--- What a generated column says of itself.
function M.generated(g)
  return ("GENERATED ALWAYS AS (%s) %s"):format(M.closed(g.sql),
    g.stored == false and "VIRTUAL" or "STORED")
end

--- A column as it stands in CREATE TABLE or ADD COLUMN.
function M.column(c)
  local out = { M.quote(c.name), M.type(c) }
  local function add(text) out[#out + 1] = text end
  if c.collation then add("COLLATE " .. M.collation(c.collation)) end
  if c.generated then
    add(M.generated(c.generated))
  elseif c.identity then
    add(M.identity(c.identity))
  elseif c.default then
    add("DEFAULT " .. M.default(c))
  end
  if not c.null then add "NOT NULL" end
  return table.concat(out, " ")
end

-- ---- functions -------------------------------------------------------------

--- Short names of types, and how the server calls them.
M.ALIASES = {
  int = "integer", int4 = "integer", int8 = "bigint", int2 = "smallint", bool = "boolean",
  float8 = "double precision", float4 = "real", decimal = "numeric", char = "character",
  varchar = "character varying", varbit = "bit varying", time = "time without time zone",
  timetz = "time with time zone", timestamp = "timestamp without time zone",
  timestamptz = "timestamp with time zone",
}

--- The name of a function with the types of its arguments, as the server says it:
-- "f(int, varchar(10)[])" is "f(integer, character varying[])".
function M.signature(name)
  local head, args = name:match "^(.-)%((.*)%)$"
  if not head then return name end
  local out = {}
  for arg in args:gsub("%b()", ""):gmatch "[^,]+" do
    local text, brackets = arg:gsub("%s+", " "):match "^ ?(.-) ?([%[%] ]*)$"
    local word = text:find('"', 1, true) and text or text:lower()
    out[#out + 1] = (M.ALIASES[word] or word) .. brackets:gsub(" ", "")
  end
  return head .. "(" .. table.concat(out, ", ") .. ")"
end

return M
