--- Types of columns for the rules: portable ones and those of a server in one form, and
-- what a change from one to another means.
local types = require "perigee.schema.types"

local M = {}

local ALIASES = {
  integer = "int", int4 = "int", int8 = "bigint", int2 = "smallint", bool = "boolean",
  decimal = "numeric", string = "text", ["character varying"] = "varchar",
  character = "char", bpchar = "char", float = "float8", double = "float8",
  ["double precision"] = "float8", real = "float4", datetime = "timestamp",
  ["timestamp with time zone"] = "timestamptz", ["timestamp without time zone"] = "timestamp",
  ["time without time zone"] = "time", bytea = "bytes", blob = "bytes", clob = "text",
  serial4 = "serial", serial8 = "bigserial", serial2 = "smallserial",
}

local SERIALS = { serial = "int", bigserial = "bigint", smallserial = "smallint" }

local function of_raw(raw)
  local text = raw:lower():gsub("%s+", " "):gsub("^ ", ""):gsub(" $", "")
  local array = 0
  while text:find "%[%d*%]$" do text, array = text:gsub(" ?%[%d*%]$", ""), array + 1 end
  local inner = text:match "%(([^)]*)%)"
  local args = {}
  for n in (inner or ""):gmatch "%d+" do args[#args + 1] = tonumber(n) end
  local base = text:gsub(" ?%([^)]*%)", "")
  base = ALIASES[base] or base
  local serial = SERIALS[base] and base or nil
  return { base = SERIALS[base] or base, args = args, array = array, serial = serial }
end

--- A type in one form: { base, args, array (dimensions), serial, enum, text }.
-- @tparam ?table ty TY
-- @treturn ?table
function M.of(ty)
  if not ty then return nil end
  local kind
  if ty.raw then
    kind = of_raw(ty.raw)
    kind.array = math.max(kind.array, ty.array or 0)
  else
    kind = { base = ty.enum or ty.name, args = ty.args or {}, array = ty.array or 0,
      enum = ty.enum }
  end
  kind.text = types.print(ty)
  return kind
end

-- ---- changes ---------------------------------------------------------------

local TEXTS = { text = true, varchar = true }
local TIMES = { timestamp = true, timestamptz = true, date = true, time = true }

-- Larger takes all values of a smaller one.
local INTEGERS = { smallint = 1, int = 2, bigint = 3, numeric = 4 }

local function same(a, b)
  if a.base ~= b.base or a.array ~= b.array or #a.args ~= #b.args then return false end
  for i, v in ipairs(a.args) do
    if v ~= b.args[i] then return false end
  end
  return true
end

-- A length or precision that has become less; none is unlimited.
local function is_less(from, to)
  return to ~= nil and (from == nil or to < from)
end

local function numeric_loses(a, b)
  if #b.args == 0 then return false end
  local scale_a, scale_b = a.args[2] or 0, b.args[2] or 0
  if #a.args == 0 then return true end
  return scale_b < scale_a or b.args[1] - scale_b < a.args[1] - scale_a
end

--- Does PostgreSQL change the type without writing the table anew?
function M.is_free(a, b)
  if same(a, b) then return true end
  if a.array ~= b.array or a.array > 0 then return false end
  if TEXTS[a.base] and TEXTS[b.base] then return not is_less(a.args[1], b.args[1]) end
  if a.base == "numeric" and b.base == "numeric" then
    if #b.args == 0 then return true end
    return #a.args > 0 and (a.args[2] or 0) == (b.args[2] or 0) and b.args[1] >= a.args[1]
  end
  return a.base == "cidr" and b.base == "inet"
end

local function is_text(kind) return TEXTS[kind.base] or kind.base == "char" end

local function number_loses(a, b)
  if a.base == "float8" or a.base == "float4" then
    return INTEGERS[b.base] ~= nil or b.base == "float4"
  end
  if not INTEGERS[a.base] or not INTEGERS[b.base] then return false end
  return INTEGERS[b.base] < INTEGERS[a.base] or b.base == "numeric" and #b.args > 0
end

--- Can values be lost, cut or refused when the type changes?
function M.loses(a, b)
  if same(a, b) then return false end
  if is_text(a) then return not is_text(b) or is_less(a.args[1], b.args[1]) end
  if is_text(b) then return b.args[1] ~= nil end
  if a.base == "numeric" and b.base == "numeric" then return numeric_loses(a, b) end
  if TIMES[a.base] and TIMES[b.base] then
    return not (b.base == "timestamptz" or a.base == "date")
  end
  return number_loses(a, b)
end

M.same = same

--- "numeric(10,2) to numeric(12,2)"
function M.tell(a, b)
  return ("%s to %s"):format(a and a.text or "?", b and b.text or "?")
end

return M
