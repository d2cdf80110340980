--- Columns as source text: type { options }.
local lua = require "perigee.schema.write.lua"
local types = require "perigee.schema.write.types"

local M = {}

local function add(items, name, text)
  if text ~= nil then items[#items + 1] = name .. " = " .. text end
end

--- An identity as source text.
function M.identity(identity)
  if not identity then return nil end
  if identity.none then return "none" end
  local more = {}
  for _, key in ipairs(lua.sorted_keys(identity)) do
    if key ~= "always" then add(more, key, lua.value(identity[key])) end
  end
  if #more == 0 then return identity.always and '"always"' or "true" end
  if identity.always then table.insert(more, 1, "always = true") end
  return lua.table(more)
end

local function type_on(p, map)
  if not map then return nil end
  local items = {}
  for _, name in ipairs(lua.sorted_keys(map)) do
    add(items, name, (types.text(map[name], p.enum)))
  end
  return lua.table(items)
end

-- The options of a column by themselves, without what belongs to the table.
local function options(p, c, ty)
  local items = {}
  if c.null then add(items, "null", "true") end
  add(items, "identity", M.identity(c.identity))
  add(items, "default", types.default(p.dialect, c, ty))
  if c.generated then
    add(items, "generated", "sql " .. lua.sql(c.generated.sql))
    if c.generated.stored then add(items, "stored", "true") end
  end
  if c.collation then add(items, "collation", lua.text(c.collation)) end
  if c.numeric_as then add(items, "numeric_as", lua.text(c.numeric_as)) end
  add(items, "type_on", type_on(p, c.type_on))
  if c.comment then add(items, "comment", lua.text(c.comment)) end
  return items
end

--- A type as the printer writes it.
-- @tparam table p the printer: dialect, enum = f(type) -> text
-- @treturn string
-- @treturn table the type in portable form
function M.type(p, ty)
  local portable = types.portable(p.dialect, ty)
  return types.text(portable, p.enum), portable
end

-- A column that is the rowid may be called by any integer's name.
local function type_of(p, c)
  if c.identity and c.type.raw and p.dialect and p.dialect.features.rebuilds then
    return { name = "bigint" }
  end
  return types.portable(p.dialect, c.type)
end

--- A column.
-- @tparam table p the printer
-- @tparam table c
-- @tparam[opt] table more texts of further options
-- @tparam[opt] string indent
-- @treturn string
function M.column(p, c, more, indent)
  local ty = type_of(p, c)
  local text = types.text(ty, p.enum)
  local items = options(p, c, ty)
  for _, item in ipairs(more or {}) do items[#items + 1] = item end
  if #items == 0 then return text end
  return text .. " " .. lua.table(items, indent)
end

return M
