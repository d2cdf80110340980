--- Changes the text of a migration file: the list `after`. The rest stays as it was
-- written. Pure.
local util = require "perigee.util"

local usage = util.usage
local M = {}

-- The end of a comment, string or long bracket that begins at i, or nil.
local function skip(text, i)
  local comment = text:match("^%-%-()", i)
  local level, body = text:match("^%[(=*)%[()", comment or i)
  if level then
    local _, last = text:find("]" .. level .. "]", body, true)
    return (last or #text) + 1
  elseif comment then
    return text:match("^[^\n]*()", comment)
  end
  local quote = text:match("^[\"']", i)
  if not quote then return nil end
  i = i + 1
  while i <= #text do
    local c = text:sub(i, i)
    if c == quote then return i + 1 end
    i = i + (c == "\\" and 2 or 1)
  end
  return #text + 1
end

local STEP = { ["{"] = 1, ["("] = 1, ["}"] = -1, [")"] = -1 }

-- Calls visit(word, from, to, depth, outer) for each name; true ends the walk. `outer` is
-- the word before the outermost brace.
local function walk(text, visit)
  local i, depth, outer = 1, 0, nil
  while i <= #text do
    local past = skip(text, i)
    local word = not past and text:match("^[%a_][%w_]*", i)
    if past then
      i = past
    elseif word then
      if depth == 0 then outer = word end
      if visit(word, i, i + #word, depth, outer) then return true end
      i = i + #word
    else
      local number = text:match("^%d[%w.]*()", i)
      depth = depth + (STEP[text:sub(i, i)] or 0)
      i = number or i + 1
    end
  end
  return false
end

-- From the brace at i to the one that closes it.
local function braces(text, i)
  local depth = 0
  while i <= #text do
    local past = skip(text, i)
    if past then
      i = past
    else
      depth = depth + (STEP[text:sub(i, i)] or 0)
      i = i + 1
      if depth == 0 then return i end
    end
  end
  return nil
end

-- Where the value of a key of migration{…} is: first, past the last; or nil.
local function value_of(text, key, close)
  local first, past
  walk(text, function(word, _, to, depth, outer)
    if word ~= key or outer ~= "migration" or depth < 1 or depth > 2 then return false end
    local value = text:match("^%s*=%s*()", to)
    local stop = value and close(value)
    if not stop then return false end
    first, past = value, stop
    return true
  end)
  return first, past
end

local function list_text(ids)
  if #ids == 0 then return "{}" end
  local out = {}
  for i, id in ipairs(ids) do out[i] = ('"%s"'):format(id) end
  return "{ " .. table.concat(out, ", ") .. " }"
end

--- The text of a migration with other parents.
-- @tparam string text
-- @tparam {string,...} ids
-- @tparam string path for messages
-- @treturn string
-- @raise usage when the place is not found
function M.set_after(text, ids, path)
  local first, past = value_of(text, "after", function(i)
    return text:sub(i, i) == "{" and braces(text, i)
  end)
  if first then return text:sub(1, first - 1) .. list_text(ids) .. text:sub(past) end
  first, past = value_of(text, "id", function(i) return skip(text, i) end)
  if not first then
    usage("%s: `after` is not found as a list in migration{…}: change it by hand to %s", path,
      list_text(ids))
  end
  return text:sub(1, past - 1) .. ", after = " .. list_text(ids) .. text:sub(past)
end

return M
