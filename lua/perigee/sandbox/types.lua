--- The portable types: their names and arguments, from text and to text. Plain Lua
-- without anything of ours but near.lua: it is also a part of the preludes that run
-- inside the sandbox, and is given that by use().
--
-- A type is { name =, args = {…}, array = dimensions } or { enum =, schema =, values =,
-- array = } or { raw =, array = }.

-- Name, least and most number of arguments, what kind of literal a default is.
local LIST = {
  { "bigint", 0, 0, "integer" }, { "int", 0, 0, "integer" }, { "smallint", 0, 0, "integer" },
  { "boolean", 0, 0, "boolean" },
  { "text", 0, 0, "string" }, { "varchar", 1, 1, "string" }, { "char", 1, 1, "string" },
  { "numeric", 0, 2, "decimal" },
  { "float8", 0, 0, "number" }, { "float4", 0, 0, "number" },
  { "date", 0, 0, "string" }, { "time", 0, 0, "string" }, { "timestamp", 0, 0, "string" },
  { "timestamptz", 0, 0, "string" }, { "interval", 0, 0, "string" },
  { "uuid", 0, 0, "string" }, { "json", 0, 0, "string" }, { "jsonb", 0, 0, "string" },
  { "bytes", 0, 0, "string" },
}

local FORMS = { varchar = "varchar(n)", char = "char(n)", numeric = "numeric(p, s)" }

-- What people also call them.
local ALIASES = {
  integer = "int", int4 = "int", int8 = "bigint", int2 = "smallint", bool = "boolean",
  decimal = "numeric", string = "text", ["character varying"] = "varchar",
  character = "char", float = "float8", double = "float8", ["double precision"] = "float8",
  real = "float4", datetime = "timestamp", ["timestamp with time zone"] = "timestamptz",
  ["timestamp without time zone"] = "timestamp", bytea = "bytes", blob = "bytes",
}

-- A column of serial does not exist: it is an integer with identity.
local SERIALS = { serial = "int", bigserial = "bigint", smallserial = "smallint" }

local M = {}
local by_name, names = {}, {}
local near
for i, entry in ipairs(LIST) do
  names[i] = entry[1]
  by_name[entry[1]] = { least = entry[2], most = entry[3], literal = entry[4] }
end

--- Gives the module what it has its suggestions from.
-- @treturn table the module
function M.use(suggestions)
  near = suggestions
  return M
end

--- All names, in the order of the documentation.
M.names = names

--- Is this the name of a portable type?
function M.is(name)
  return by_name[name] ~= nil
end

--- How many arguments a type takes: least, most.
function M.arity(name)
  return by_name[name].least, by_name[name].most
end

--- What kind of literal stands for a value of the type: "integer", "decimal", "number",
-- "boolean", "string", or "any" for the database's own types.
function M.literal(ty)
  if ty.array or ty.enum then return "string" end
  if ty.raw then return "any" end
  return by_name[ty.name].literal
end

--- What to say of a name that is no type: "" or a hint.
-- @tparam string name
-- @tparam[opt] {string,...} more other names that would do
function M.hint(name, more)
  local lower = name:lower()
  if SERIALS[lower] then
    return (" (%s { identity = true } is meant)"):format(SERIALS[lower])
  end
  if ALIASES[lower] then return (' (is "%s" meant?)'):format(ALIASES[lower]) end
  local all = {}
  for _, n in ipairs(names) do all[#all + 1] = n end
  for _, n in ipairs(more or {}) do all[#all + 1] = n end
  return near.hint(name, all)
end

local function is_whole(v)
  return type(v) == "number" and v == math.floor(v) and v >= 0 and v < 2 ^ 31
end

--- nil, or what is wrong with the arguments of a type.
-- @tparam string name of a portable type
-- @tparam {number,...} args
function M.check_args(name, args)
  local entry = by_name[name]
  local n = #args
  if n < entry.least or n > entry.most then
    if entry.most == 0 then return ("%s takes no length"):format(name) end
    return ("%s is written %s"):format(name, FORMS[name])
  end
  for i, v in ipairs(args) do
    if not is_whole(v) or i == 1 and v < 1 then
      return ("%s: a whole number is expected, not %s"):format(FORMS[name],
        type(v) == "number" and tostring(v) or "a " .. type(v))
    end
  end
  if n == 2 and args[2] > args[1] then
    return ("numeric(%d, %d): the scale is larger than the precision"):format(args[1], args[2])
  end
end

-- The arguments in the text "12, 2".
local function numbers(text)
  local args = {}
  if not text:find "%S" then return nil end
  for part in (text .. ","):gmatch "([^,]*)," do
    local v = part:match "^%s*(%d+)%s*$"
    if not v then return nil end
    args[#args + 1] = tonumber(v)
  end
  return args
end

local function dimensions(text)
  local base, n = text, 0
  while true do
    local rest = base:match "^(.-)%s*%[%s*%]$"
    if not rest then return base, n > 0 and n or nil end
    base, n = rest, n + 1
  end
end

--- The type that a text such as "numeric(12,2)[]" stands for.
-- @tparam string text
-- @tparam[opt] function enum name -> { enum =, schema =, values = } | nil
-- @treturn ?table the type
-- @treturn ?string what is wrong
function M.parse(text, enum)
  local base, array = dimensions((text:gsub("^%s+", ""):gsub("%s+$", "")))
  local known = enum and enum(base)
  if known then
    return { enum = known.enum, schema = known.schema, values = known.values, array = array }
  end
  local name, inner = base:match "^([^(]-)%s*%((.*)%)$"
  name = name or base
  if not by_name[name] then
    return nil, ("unknown type %q%s"):format(name, M.hint(name))
  end
  local args = {}
  if inner then
    args = numbers(inner)
    if not args then return nil, ("type %q is not understood"):format(text) end
  end
  local why = M.check_args(name, args)
  if why then return nil, why end
  return { name = name, args = #args > 0 and args or nil, array = array }
end

--- The text of a type, as a definition names it: "numeric(12,2)[]".
function M.print(ty)
  local text = ty.raw
  if ty.enum then text = ty.schema and ty.schema .. "." .. ty.enum or ty.enum end
  if ty.name then
    text = ty.name
    if ty.args and #ty.args > 0 then
      local args = {}
      for i, v in ipairs(ty.args) do args[i] = ("%d"):format(v) end
      text = text .. "(" .. table.concat(args, ",") .. ")"
    end
  end
  return text .. ("[]"):rep(ty.array or 0)
end

return M
