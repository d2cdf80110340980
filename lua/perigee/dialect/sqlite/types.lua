--- Declared types on SQLite. The name decides twice: SQLite sees an affinity in it, the
-- driver a kind of value (src/driver/sqlite/sl_value.c). Portable types get names that
-- come out right both times; in STRICT tables only SQLite's own five are allowed.
local catalog = require "perigee.catalog.sqlite"
local lexer = require "perigee.dialect.sqlite.lexer"
local util = require "perigee.util"

local M = {}

local class_of = catalog.class_of
--- The class of a declared type as the driver reads it, and the bits of integers.
M.class_of = class_of

-- [portable name] = { declared, in STRICT tables }
local NAMES = {
  bigint = { "BIGINT", "INTEGER" }, int = { "INTEGER", "INTEGER" },
  smallint = { "SMALLINT", "INTEGER" }, boolean = { "BOOLEAN", "INTEGER" },
  text = { "TEXT", "TEXT" }, varchar = { "VARCHAR", "TEXT" }, char = { "CHAR", "TEXT" },
  numeric = { "NUMERIC", "REAL" },
  float8 = { "DOUBLE PRECISION", "REAL" }, float4 = { "REAL", "REAL" },
  date = { "DATE", "TEXT" }, time = { "TIME", "TEXT" },
  timestamp = { "TIMESTAMP", "TEXT" }, timestamptz = { "TIMESTAMPTZ", "TEXT" },
  interval = { "SPAN_TEXT", "TEXT" }, uuid = { "UUID", "TEXT" },
  json = { "JSON_TEXT", "TEXT" }, jsonb = { "JSON_TEXT", "TEXT" },
  bytes = { "BLOB", "BLOB" },
}

-- These say nothing that SQLite keeps, but a reader of the schema is glad of them.
local WITH_ARGS = { varchar = true, char = true, numeric = true }

local STRICT = {
  INT = true, INTEGER = true, REAL = true, TEXT = true, BLOB = true, ANY = true,
}

local function fail(at, text, ...)
  local place = at and ("%s:%d: "):format(at.file, at.line) or ""
  util.usage("%s%s", place, text:format(...))
end
M.fail = fail

--- A declared type in one form: capitals, no needless blanks.
function M.normal(raw)
  local text = raw:gsub("%s+", " "):upper()
  text = text:gsub(" ?%( ?", "("):gsub(" ?%) ?", ")"):gsub(" ?, ?", ",")
  return (text:gsub("^ ", ""):gsub(" $", ""))
end

local AFFINITIES = {
  { "INT", "integer" }, { "CHAR", "text" }, { "CLOB", "text" }, { "TEXT", "text" },
  { "BLOB", "blob" }, { "REAL", "real" }, { "FLOA", "real" }, { "DOUB", "real" },
}

--- The affinity that SQLite sees in a declared type: "integer", "text", "blob", "real" or
-- "numeric".
function M.affinity(raw)
  local text = raw:upper()
  if text == "" then return "blob" end
  for _, rule in ipairs(AFFINITIES) do
    if text:find(rule[1], 1, true) then return rule[2] end
  end
  return "numeric"
end

--- Are two declared types the same, to SQLite and to the driver? Kinds of integers differ
-- by name only, and so do texts without a length.
function M.same(a, b)
  if a == b then return true end
  local x, y = M.normal(a), M.normal(b)
  if x == y then return true end
  local class, bits = class_of(x)
  local other, other_bits = class_of(y)
  return M.affinity(x) == M.affinity(y) and class == other and bits == other_bits
    and x:match "%b()" == y:match "%b()"
end

--- Is it a type of STRICT tables?
function M.is_strict(raw) return STRICT[M.normal(raw)] or false end

local function raw_text(text, strict, at)
  local name = M.normal(text)
  if strict and not STRICT[name] then
    fail(at, "a STRICT table has no type %s: allowed are INT, INTEGER, REAL, TEXT, BLOB, ANY",
      text)
  end
  local plain = name:gsub("%([%d+,. -]*%)$", "")
  return plain:find "^[%a_]?[%w_ ]*$" and name or lexer.quote(name)
end

local function portable(c, ty, strict, at)
  local names = NAMES[ty.name]
  if not names then fail(at, 'SQLite has no type for "%s"', tostring(ty.name)) end
  if strict then
    if ty.name == "numeric" and c.numeric_as == "text" then return "TEXT" end
    return names[2]
  end
  if ty.name == "numeric" and c.numeric_as == "text" then return "NUMERIC_TEXT" end
  if WITH_ARGS[ty.name] and ty.args and #ty.args > 0 then
    return names[1] .. "(" .. table.concat(ty.args, ",") .. ")"
  end
  return names[1]
end

--- The declared type of a column (or of a type by itself).
-- @tparam table c a column C or a type TY
-- @tparam ?table at { file, line } for messages
-- @tparam ?boolean strict in a STRICT table
-- @treturn string
-- @raise usage for what SQLite has no type for
function M.text(c, at, strict)
  local is_type = c.name ~= nil and c.type == nil or c.raw or c.enum
  local column = is_type and {} or c
  local ty = not is_type and (c.type_on and c.type_on.sqlite or c.type) or c
  at = at or column.at
  if ty.array then
    fail(at, 'SQLite has no arrays: give the column a type for SQLite, '
      .. 'as type_on = { sqlite = json }')
  end
  if ty.raw then return raw_text(ty.raw, strict, at) end
  if ty.enum then return "TEXT" end
  return portable(column, ty, strict, at)
end

return M
