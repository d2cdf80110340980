--- As much of PostgreSQL's lexical rules as is needed to look into SQL texts: where
-- strings, quoted names, comments and dollar quotes begin and end.
local M = {}

-- Each gives the position after the token that begins at `i`, or nil.
local function dollar_end(sql, i)
  local tag = sql:match("^%$[%a_\128-\255]?[%w_\128-\255]*%$", i)
  if not tag then return nil end
  local _, stop = sql:find(tag, i + #tag, true)
  return (stop or #sql) + 1
end

local function quoted_end(sql, i, mark, escapes)
  local at = i + 1
  while at <= #sql do
    local c = sql:sub(at, at)
    if escapes and c == "\\" then
      at = at + 2
    elseif c ~= mark then
      at = at + 1
    elseif sql:sub(at + 1, at + 1) == mark then
      at = at + 2
    else
      return at + 1
    end
  end
  return #sql + 1
end

local function comment_end(sql, i)
  local depth, at = 0, i
  repeat
    local open = sql:find("/*", at, true)
    local close = sql:find("*/", at, true)
    if not close then return #sql + 1 end
    if open and open < close then
      depth, at = depth + 1, open + 2
    else
      depth, at = depth - 1, close + 2
    end
  until depth == 0
  return at
end

-- The token at `i`: its kind and the position after it. Kinds: name, quoted, string,
-- dollar, comment, other (one byte, blanks too).
local function token(sql, i)
  local two = sql:sub(i, i + 1)
  local c = two:sub(1, 1)
  if two == "--" then return "comment", (sql:find("\n", i, true) or #sql) + 1 end
  if two == "/*" then return "comment", comment_end(sql, i) end
  if c == "'" then return "string", quoted_end(sql, i, "'") end
  if c == '"' then return "quoted", quoted_end(sql, i, '"') end
  if two == "e'" or two == "E'" then return "string", quoted_end(sql, i + 1, "'", true) end
  local stop = c == "$" and dollar_end(sql, i)
  if stop then return "dollar", stop end
  local _, last = sql:find("^[%a_\128-\255][%w_$\128-\255]*", i)
  if last then return "name", last + 1 end
  _, last = sql:find("^%d[%w_.]*", i)
  return "other", (last or i) + 1
end

--- Iterates over the tokens of a text: kind, text, position.
function M.tokens(sql)
  local at = 1
  return function()
    if at > #sql then return nil end
    local from = at
    local kind, stop = token(sql, from)
    at = stop
    return kind, sql:sub(from, stop - 1), from
  end
end

--- The position of the first of `marks` (a set of bytes) outside of strings and
-- parentheses, from `from` on; nil when there is none.
function M.find_outside(sql, from, marks)
  local depth, at = 0, from
  while at <= #sql do
    local _, stop = token(sql, at)
    local c = sql:sub(at, at)
    if stop == at + 1 then
      if depth == 0 and marks[c] then return at end
      if c == "(" then depth = depth + 1 end
      if c == ")" then depth = depth - 1 end
    end
    at = stop
  end
  return nil
end

--- Without parentheses around the whole.
function M.strip(sql)
  while sql:sub(1, 1) == "("
    and M.find_outside(sql, 2, { [")"] = true }) == #sql do
    sql = sql:sub(2, -2)
  end
  return sql
end

--- The name that a token of kind name or quoted means: folded, or unquoted.
function M.meaning(kind, text)
  if kind == "quoted" then return (text:sub(2, -2):gsub('""', '"')) end
  return text:lower()
end

local SKIPPED = { ["if"] = true, ["not"] = true, exists = true }

--- What follows `CREATE … KEYWORD [IF NOT EXISTS] [schema.]name` in a text.
-- @tparam string sql
-- @tparam string keyword in lower case
-- @treturn string the rest, or ""
function M.after_name(sql, keyword)
  local has_keyword, has_name = false, false
  for kind, text, from in M.tokens(sql) do
    local is_name = kind == "name" or kind == "quoted"
    local is_blank = kind == "comment" or text:find "^%s$" ~= nil
    if not has_keyword then
      has_keyword = kind == "name" and text:lower() == keyword
    elseif is_name and not has_name and not SKIPPED[text:lower()] then
      has_name = true
    elseif text == "." then
      has_name = false
    elseif has_name and not is_blank then
      return sql:sub(from)
    end
  end
  return ""
end

return M
