--- Types and defaults of live trees in the portable words of definitions, where the
-- server means the same by them; else the server's own.
local lua = require "perigee.schema.write.lua"
local shared = require "perigee.schema.types"

local M = {}

-- What format_type of PostgreSQL prints.
local POSTGRES = {
  bigint = "bigint", integer = "int", smallint = "smallint", boolean = "boolean", text = "text",
  numeric = "numeric", ["double precision"] = "float8", real = "float4", date = "date",
  ["time without time zone"] = "time", ["timestamp without time zone"] = "timestamp",
  ["timestamp with time zone"] = "timestamptz", interval = "interval", uuid = "uuid",
  json = "json", jsonb = "jsonb", bytea = "bytes",
}
local POSTGRES_LENGTH = { ["character varying"] = "varchar", character = "char",
  numeric = "numeric" }

-- "numeric(12,2)[]" -> "numeric", { 12, 2 }, 1
local function parts(raw)
  local base, array = raw, 0
  while base:sub(-2) == "[]" do base, array = base:sub(1, -3), array + 1 end
  local name, inner = base:match "^([^()]+)%(([%d, ]+)%)$"
  if not name then return base, nil, array end
  local args = {}
  for digits in inner:gmatch "%d+" do args[#args + 1] = tonumber(digits) end
  return name:match "^(.-)%s*$", args, array
end

local function from_postgres(raw)
  local base, args, array = parts(raw)
  local name
  if args then name = POSTGRES_LENGTH[base] else name = POSTGRES[base] end
  if not name then return nil end
  return { name = name, args = args, array = array > 0 and array or nil }
end

-- How the server says what it was told: dialect.shown, where that is not as it was told.
local function shown(dialect, what)
  return dialect.shown and dialect.shown[what] or dialect[what]
end

local function from_words(dialect, raw)
  local _, args = parts(raw)
  for _, name in ipairs(shared.names) do
    -- a length in the words may be part of the type: datetime(6)
    for _, ty in ipairs { { name = name, args = args }, args and { name = name } } do
      local ok, words = pcall(shown(dialect, "type"), ty)
      local takes = shared.check_args(name, ty.args or {}) == nil
      if ok and takes and words == raw then return ty end
    end
  end
end

--- The portable type for the server's words.
-- @tparam ?table dialect PostgreSQL when absent
-- @tparam table ty a type
-- @treturn table { name =, … }, or `ty` itself
function M.portable(dialect, ty)
  if not ty.raw then return ty end
  local found
  if not dialect or dialect.name == "postgres" then -- the words of others are in capitals
    found = from_postgres(ty.raw)
  else
    found = from_words(dialect, ty.raw)
  end
  if not found or shared.check_args(found.name, found.args or {}) then return ty end
  return found
end

--- A type as source text, "varchar(32)", without options.
-- @tparam table ty
-- @tparam function enum gives the text for an enum
function M.text(ty, enum)
  local text
  if ty.raw then
    return "raw " .. lua.text(ty.raw .. ("[]"):rep(ty.array or 0))
  elseif ty.enum then
    text = enum(ty)
  else
    text = shared.print { name = ty.name, args = ty.args }
    text = text:gsub(",", ", ")
  end
  for _ = 1, ty.array or 0 do text = "array(" .. text .. ")" end
  return text
end

-- ---- defaults -----------------------------------------------------------------

local function unquoted(text)
  local inner = text:match "^'(.*)'$"
  if not inner or inner:gsub("''", ""):find("'", 1, true) then return nil end
  return (inner:gsub("''", "'"))
end

local NOW = { ["now()"] = true, CURRENT_TIMESTAMP = true }
local MOMENTS = { timestamp = true, timestamptz = true }

-- Is it what the server says of sql.now?
local function is_now(dialect, c, ty)
  return dialect and dialect.shown and MOMENTS[ty.name] and c.default.sql
    == dialect.shown.default { type = ty, name = c.name, default = { sql = "now", word = true } }
end

local function has(list, value)
  for _, v in ipairs(list or {}) do
    if v == value then return true end
  end
  return false
end

-- PostgreSQL prints a text with its type behind it.
local function without_cast(text, on_postgres)
  return on_postgres and text:match "^('.*')::[^']*$" or text
end

local LITERALS = {}

function LITERALS.string(text, ty, on_postgres)
  local plain = without_cast(text, on_postgres)
  if on_postgres and plain == text then return nil end
  local s = unquoted(plain)
  if ty.enum and not ty.array and not has(ty.values, s) then return nil end
  return s
end

local BOOLEANS = { ["true"] = true, ["1"] = true, ["false"] = false, ["0"] = false }

function LITERALS.boolean(text) return BOOLEANS[text:lower()] end

function LITERALS.integer(text, _, on_postgres)
  local digits = on_postgres and unquoted(without_cast(text, true)) or text
  if #digits > 15 or not digits:find "^%-?%d+$" or digits:find "^%-?0%d" then return nil end
  return tonumber(digits)
end

function LITERALS.decimal(text, ty, on_postgres)
  local digits = on_postgres and unquoted(without_cast(text, true)) or text
  if digits and digits:find "^%-?%d+%.%d+$" then return digits end
  return LITERALS.integer(text, ty, on_postgres)
end

--- The default of a column as source text, or nil: a literal, or sql "…".
-- @tparam table c column of a live tree or of definitions
-- @tparam table ty its type in portable form
function M.default(dialect, c, ty)
  local default = c.default
  if not default then return nil end
  if default.none then return "none" end
  if default.word then return "sql." .. default.sql end
  if default.value ~= nil then return lua.value(default.value) end
  local on_postgres = dialect and dialect.name == "postgres"
  if on_postgres and ty.name == "timestamptz" and NOW[default.sql] then return "sql.now" end
  if is_now(dialect, c, ty) then return "sql.now" end
  local read = LITERALS[shared.literal(ty)]
  if read and dialect then
    local value = read(default.sql, ty, on_postgres)
    local copy = { type = ty, default = { value = value }, name = c.name }
    if value ~= nil and (on_postgres or shown(dialect, "default")(copy) == default.sql) then
      return lua.value(value)
    end
  end
  return "sql " .. lua.sql(default.sql)
end

return M
