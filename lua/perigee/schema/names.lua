--- Names by convention of keys, constraints and indexes: PostgreSQL's own, so that what
-- was created without names and adopted later has the names that definitions give.
local near = require "perigee.sandbox.near"

local M = {}

--- Bytes that a name may have (NAMEDATALEN - 1).
M.LIMIT = 63

-- ---- cutting ---------------------------------------------------------------

--- The first `n` bytes of a text, without a UTF-8 character cut in two.
function M.clip(text, n)
  if #text <= n then return text end
  while n > 0 do
    local byte = text:byte(n + 1)
    if byte < 0x80 or byte >= 0xC0 then break end -- a character begins there
    n = n - 1
  end
  return text:sub(1, n)
end

--- PostgreSQL's makeObjectName: "name1_name2_label"; when that is too long the longer
-- of the two names loses bytes until it fits.
-- @tparam string name1
-- @tparam ?string name2
-- @tparam string label
function M.make(name1, name2, label)
  local room = M.LIMIT - #label - 1 - (name2 and 1 or 0)
  local n1, n2 = #name1, name2 and #name2 or 0
  while n1 + n2 > room do
    if n1 > n2 then n1 = n1 - 1 else n2 = n2 - 1 end
  end
  local text = M.clip(name1, n1)
  if name2 then text = text .. "_" .. M.clip(name2, n2) end
  return text .. "_" .. label
end

-- The names of columns joined by "_", no further than a name can go.
local function addition(columns)
  local text = ""
  for i, name in ipairs(columns) do
    text = text .. (i > 1 and "_" or "") .. M.clip(name, M.LIMIT)
    if #text > M.LIMIT then break end
  end
  return text
end

-- ---- expressions -----------------------------------------------------------

local WORD = "^[%a_\128-\255][%w_$\128-\255]*"

-- Where the token that begins at `i` and is no word ends, if it is one that hides
-- words: a string, a comment, a dollar quote, a cast's type.
local function skip(sql, i)
  local two = sql:sub(i, i + 1)
  if sql:sub(i, i) == "'" then
    return select(2, sql:find("'", i + 1, true)) or #sql
  elseif two == "--" then
    return (sql:find("\n", i, true)) or #sql
  elseif two == "/*" then
    return select(2, sql:find("*/", i + 2, true)) or #sql
  elseif two == "::" then
    return select(2, sql:find("^::%s*[%w_]*", i)) or i + 1
  end
  local quote = sql:match("^%$[%w_]*%$", i)
  if quote then return select(2, sql:find(quote, i + #quote, true)) or #sql end
  return i
end

-- Calls see(name) with each name in an SQL text that may be a column's: not those of
-- functions, and of "t.c" only c. Names without quotes are folded.
local function each_name(sql, see)
  local i = 1
  while i <= #sql do
    local _, last = sql:find(WORD, i)
    local name = last and sql:sub(i, last):lower()
    if not last then
      _, last = sql:find('^"[^"]*"', i)
      name = last and sql:sub(i + 1, last - 1)
    end
    if last then
      if not sql:find("^%s*[(.]", last + 1) then see(name) end
      i = last + 1
    else
      _, last = sql:find("^%d[%w.]*", i)
      i = (last or skip(sql, i)) + 1
    end
  end
end

--- The columns of a table that an expression mentions, in the table's order. Read from
-- the text, by its words.
-- @tparam table t a table of a tree
-- @tparam string sql
-- @treturn {string,...}
function M.mentioned(t, sql)
  local words, list = {}, {}
  each_name(sql, function(name) words[name] = true end)
  for _, c in ipairs(t.columns) do
    if words[c.name] then list[#list + 1] = c.name end
  end
  return list
end

-- PostgreSQL names an indexed expression by its function.
local function expression_name(sql)
  local name = sql:match "^%s*([%a_][%w_.]*)%s*%b()%s*$"
  name = name and name:match "[^.]*$":lower()
  if not name or name == "cast" or name == "not" then return "expr" end
  return name
end

-- ---- of elements -----------------------------------------------------------

-- The columns of an index as its name has them: none twice.
local function index_parts(index)
  local parts, seen = {}, {}
  local function add(name)
    local text, n = name, 0
    while seen[text] do
      n = n + 1
      local digits = ("%d"):format(n)
      text = M.clip(name, M.LIMIT - #digits) .. digits
    end
    seen[text] = true
    parts[#parts + 1] = text
  end
  for _, key in ipairs(index.keys) do add(key.column or expression_name(key.sql)) end
  for _, name in ipairs(index.include or {}) do add(name) end
  return parts
end

local parts_of = {
  primary_key = function() return nil, "pkey" end,
  unique = function(_, e) return addition(e.columns), "key" end,
  foreign_key = function(_, e) return addition(e.columns), "fkey" end,
  index = function(_, e) return addition(index_parts(e)), "idx" end,
  check = function(t, e)
    local columns = M.mentioned(t, e.sql)
    return #columns == 1 and columns[1] or nil, "check"
  end,
}

--- The name by convention of an element of a table, the first that `is_taken` does not
-- refuse: numbers are added as PostgreSQL does.
-- @tparam table t the table
-- @tparam string kind primary_key, unique, foreign_key, check or index
-- @tparam table element
-- @tparam[opt] function is_taken name -> boolean
-- @treturn string
function M.of(t, kind, element, is_taken)
  local middle, label = parts_of[kind](t, element)
  local name, n = M.make(t.name, middle, label), 0
  while is_taken and is_taken(name) do
    n = n + 1
    name = M.make(t.name, middle, label .. ("%d"):format(n))
  end
  return name
end

--- ' (is "x" meant?)' or "".
M.hint = near.hint

return M
