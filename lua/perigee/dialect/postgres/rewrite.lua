--- Names of schemas inside SQL texts: into those of a scratch space and back again.
local lexer = require "perigee.dialect.postgres.lexer"

local M = {}

local NAMES = { name = true, quoted = true }

local OF_SEQUENCES = { nextval = true, currval = true, setval = true }

-- Is the string at `from` … `stop` the name of an object?
local function is_reference(sql, from, stop)
  if sql:find("^%s*::%s*[%a_.]*reg%a+", stop + 1) then return true end
  local before = sql:sub(math.max(1, from - 20), from - 1)
  return OF_SEQUENCES[(before:match "(%a+)%s*%($" or ""):lower()] or false
end

-- All tokens with their positions.
local function scan(sql)
  local list = {}
  for kind, text, from in lexer.tokens(sql) do
    list[#list + 1] = { kind = kind, text = text, from = from }
  end
  return list
end

local function next_solid(list, i, step)
  i = i + step
  while list[i] and (list[i].kind == "comment" or list[i].text:find "^%s$") do i = i + step end
  return list[i], i
end

-- What a name turns into: text, and whether the dot after it goes as well.
local function translate(list, i, map)
  local token = list[i]
  local to = map[lexer.meaning(token.kind, token.text)]
  if not to then return nil end
  local before, after = next_solid(list, i, -1), next_solid(list, i, 1)
  if after and after.text == "." and not (before and before.text == ".") then
    return to
  end
  if to ~= "" and before and before.kind == "name" and before.text:upper() == "SCHEMA" then
    return to
  end
  return nil
end

local forward

-- The body of DO, in which strings are parts of statements, too; in what it executes (in
-- dollar quotes again) they are not.
local function in_dollars(text, map, mode)
  local tag = text:match "^%$[^$]*%$"
  local inner = forward(text:sub(#tag + 1, -#tag - 1), map, mode == "do" and "body" or nil)
  return tag .. inner .. tag
end

-- A token that is no name of a schema. `mode` is "do" in DO, "body" in its body.
local function other_token(sql, token, map, mode)
  local text = token.text
  if token.kind == "dollar" and mode then return in_dollars(text, map, mode) end
  if token.kind ~= "string" or text:sub(1, 1) ~= "'" then return text end
  if mode ~= "body" and not is_reference(sql, token.from, token.from + #text - 1) then
    return text
  end
  return "'" .. forward(text:sub(2, -2), map) .. "'"
end

function forward(sql, map, mode)
  local list, out, i = scan(sql), {}, 1
  while list[i] do
    local token = list[i]
    local to = NAMES[token.kind] and translate(list, i, map)
    if to == "" then
      local _, dot = next_solid(list, i, 1)
      i = dot
    else
      out[#out + 1] = to and '"' .. to .. '"' or other_token(sql, token, map, mode)
    end
    i = i + 1
  end
  return table.concat(out)
end

-- Can one of the names be in the text? To search is much faster than to read the tokens.
local function may_name(sql, map)
  local lower = sql:lower()
  for name in pairs(map) do
    if name:find '"' or lower:find(name:lower(), 1, true) then return true end
  end
  return lower:find('u&"', 1, true) ~= nil
end

--- The text with schemas called otherwise.
-- @tparam string sql
-- @tparam table map name of a schema = the new name, or "" to leave it out; only names
-- before a dot (and after the word SCHEMA) count. Bodies in dollar quotes are left alone,
-- but for those of DO.
-- @treturn string
function M.forward(sql, map)
  if not may_name(sql, map) then return sql end
  return forward(sql, map, sql:find "^%s*[dD][oO]%s" and "do" or nil)
end

local function plain(text) return (text:gsub("%p", "%%%0")) end

--- A function that puts the real names back into a text.
-- @tparam {table,...} list { from = the scratch name, to = name or nil for none, text =
-- the name as the server writes it }
function M.backward(list)
  return function(text)
    for _, pair in ipairs(list) do
      if text == pair.from then return pair.to or text end
      if text:find(pair.from, 1, true) then
        local from = plain(pair.from) .. "%f[%D]" -- …_1 is not the beginning of …_10
        text = text:gsub('"?' .. from .. '"?%.',
          (pair.text and pair.text .. "." or ""):gsub("%%", "%%%%"))
        text = text:gsub(from, ((pair.text or ""):gsub("%%", "%%%%")))
      end
    end
    return text
  end
end

--- Applies `change` to all strings of plain data, keys left as they are.
function M.each_text(value, change)
  for k, v in pairs(value) do
    if type(v) == "string" then
      value[k] = change(v)
    elseif type(v) == "table" then
      M.each_text(v, change)
    end
  end
  return value
end

return M
