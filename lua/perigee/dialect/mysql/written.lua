--- Expressions in SHOW CREATE TABLE, as the server would take them again.
local texts = require "perigee.dialect.mysql.texts"
local types = require "perigee.dialect.mysql.types"

local quote = types.quote
local M = {}

-- Calls fn(character, position) for what is outside of strings and names, and goes on
-- behind the position that it gives; ends where it gives nothing.
local function walk(text, at, fn)
  while at and at <= #text do
    local c = text:sub(at, at)
    if c == "'" or c == "`" then
      at = texts.quoted_end(text, at) + 1
    else
      at = fn(c, at)
      at = at and at + 1
    end
  end
end

-- Where the parenthesis that opens at `at` closes.
local function group_end(text, at)
  local depth, stop = 0, #text
  walk(text, at, function(c, i)
    if c == "(" then depth = depth + 1 elseif c == ")" then depth = depth - 1 end
    if depth > 0 then return i end
    stop = i
    return nil
  end)
  return stop
end

local function inside(text, at) return text:sub(at + 1, group_end(text, at) - 1) end

--- What a column is computed of, or its default in parentheses.
-- @tparam string text of SHOW CREATE TABLE
-- @tparam string name
-- @treturn ?string
function M.column(text, name)
  local _, start = text:find("\n  " .. quote(name) .. " ", 1, true)
  local found
  walk(text, start, function(c, i)
    if c == "," or c == "\n" then return nil end
    if c ~= "(" then return i end
    local before = text:sub(start, i - 1)
    if before:find " AS $" or before:find " DEFAULT $" then
      found = inside(text, i)
      return nil
    end
    return group_end(text, i)
  end)
  return found
end

--- The condition of a check.
function M.check(text, name)
  local _, at = text:find("\n  CONSTRAINT " .. quote(name) .. " CHECK (", 1, true)
  return at and inside(text, at)
end

--- The expression that is the n-th part of an index.
function M.index(text, name, n)
  local _, at = text:find("\n  KEY " .. quote(name) .. " (", 1, true)
  if not at then _, at = text:find("\n  UNIQUE KEY " .. quote(name) .. " (", 1, true) end
  local part, found = 1, nil
  walk(text, at and at + 1, function(c, i)
    if c == ")" then return nil end
    if c == "," then part = part + 1 end
    if c ~= "(" then return i end
    if part == n then
      found = inside(text, i)
      return nil
    end
    return group_end(text, i)
  end)
  return found
end

local OWN = "_utf8mb4"

--- An expression without what it has for nobody: the character set of the session before
-- strings; parentheses around the whole, where something else puts them there.
-- @tparam string sql
-- @tparam ?boolean unwrap
-- @treturn string
function M.plain(sql, unwrap)
  local out, from = {}, 1
  walk(sql, 1, function(_, i)
    local last = i + #OWN - 1
    if sql:sub(i, last + 1) ~= OWN .. "'" or sql:sub(i - 1, i - 1):find "[%w_$]" then return i end
    out[#out + 1] = sql:sub(from, i - 1)
    from = last + 1
    return last
  end)
  out[#out + 1] = sql:sub(from)
  local text = table.concat(out)
  if unwrap and text:sub(1, 1) == "(" and group_end(text, 1) == #text then
    return text:sub(2, -2)
  end
  return text
end

return M
