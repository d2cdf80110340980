--- Lua source text of plain values, as definitions and migrations are written.
local M = {}

local RESERVED = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or
  repeat return then true until while]]):gmatch "%a+" do
  RESERVED[word] = true
end

--- Can the text stand where Lua wants a name?
function M.is_name(text)
  return text:find "^[%a_][%w_]*$" ~= nil and not RESERVED[text]
end

local function escaped(c)
  if c == "\n" then return "\\n" end
  return ("\\%03d"):format(c:byte())
end

--- A text as a literal on one line.
function M.text(s)
  return '"' .. s:gsub('[\\"]', "\\%0"):gsub("%c", escaped) .. '"'
end

-- The level of long brackets in which the text can stand.
local function level_of(s)
  local level = ""
  while s:find("]" .. level .. "]", 1, true) or s:sub(-#level - 1) == "]" .. level do
    level = level .. "="
  end
  return level
end

--- SQL as a literal: on one line when it is one, else between long brackets.
function M.sql(s)
  if not s:find "\n" and #s <= 70 then
    if not s:find '[\\"%c]' then return '"' .. s .. '"' end
    if not s:find "%c" then
      local level = level_of(s)
      return "[" .. level .. "[" .. s .. "]" .. level .. "]"
    end
    return M.text(s)
  end
  if s:find "\r" then return M.text(s) end -- Lua reads line ends as \n
  local level = level_of(s)
  return "[" .. level .. "[\n" .. s .. "]" .. level .. "]"
end

local math_type = rawget(math, "type")

--- A number as a literal.
function M.number(v)
  if v ~= v then return "0/0" end
  if v == math.huge or v == -math.huge then return v > 0 and "math.huge" or "-math.huge" end
  if v == math.floor(v) and v > -2 ^ 53 and v < 2 ^ 53 then return ("%d"):format(v) end
  if math_type and math_type(v) == "integer" then return ("%d"):format(v) end
  for digits = 14, 17 do
    local text = ("%." .. digits .. "g"):format(v)
    if tonumber(text) == v then return text end
  end
  return tostring(v)
end

function M.sorted_keys(map)
  local keys = {}
  for key in pairs(map) do
    if type(key) == "string" then keys[#keys + 1] = key end
  end
  table.sort(keys)
  return keys
end

--- "name" or ["any name"], before " = ".
function M.key(name)
  return M.is_name(name) and name or "[" .. M.text(name) .. "]"
end

--- The constructor of a table from its items, on one line or, when that is long, on several.
-- @tparam table items texts
-- @tparam[opt=""] string indent of the line on which it begins
function M.table(items, indent)
  if #items == 0 then return "{}" end
  local line = "{ " .. table.concat(items, ", ") .. " }"
  if #line + #(indent or "") <= 80 and not line:find "\n" then return line end
  local pad = (indent or "") .. "  "
  return "{\n" .. pad .. table.concat(items, ",\n" .. pad) .. ",\n" .. (indent or "") .. "}"
end

--- Any plain value: lists first, then keys in order. Empty tables and nil are left out of
-- tables, and places (`at`).
function M.value(v, indent)
  if type(v) == "string" then return M.text(v) end
  if type(v) == "number" then return M.number(v) end
  if type(v) ~= "table" then return tostring(v) end
  local items = {}
  for i, item in ipairs(v) do items[i] = M.value(item, (indent or "") .. "  ") end
  for _, key in ipairs(M.sorted_keys(v)) do
    local item = v[key]
    if key ~= "at" and not (type(item) == "table" and next(item) == nil) then
      items[#items + 1] = M.key(key) .. " = " .. M.value(item, (indent or "") .. "  ")
    end
  end
  return M.table(items, indent)
end

--- A list of names: "a" by itself, else { "a", "b" }.
function M.names(list)
  if #list == 1 then return M.text(list[1]) end
  local items = {}
  for i, name in ipairs(list) do items[i] = M.text(name) end
  return M.table(items)
end

return M
