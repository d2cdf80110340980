--- SQLite's tokens: what a CREATE statement in sqlite_schema is made of.
local M = {}

local CLOSING = { ['"'] = '"', ["`"] = "`", ["["] = "]", ["'"] = "'" }
local LONG_SIGNS = {
  ["->>"] = true, ["->"] = true, ["||"] = true, ["<>"] = true, ["!="] = true,
  ["<="] = true, [">="] = true, ["=="] = true, ["<<"] = true, [">>"] = true,
}

local function skip_blanks(sql, at)
  while true do
    local stop = sql:match("^%s+()", at) or sql:match("^%-%-[^\n]*()", at)
    if not stop and sql:sub(at, at + 1) == "/*" then
      stop = sql:match("^/%*.-%*/()", at) or #sql + 1
    end
    if not stop then return at end
    at = stop
  end
end

-- What stands in quotes that begin at `at`, and where it ends.
local function quoted(sql, at)
  local close = CLOSING[sql:sub(at, at)]
  local stop = at
  while true do
    stop = sql:find(close, stop + 1, true)
    if not stop then return sql:sub(at + 1), #sql end
    if close == "]" or sql:sub(stop + 1, stop + 1) ~= close then break end
    stop = stop + 1
  end
  local text = sql:sub(at + 1, stop - 1)
  if close ~= "]" then text = text:gsub(close .. close, close) end
  return text, stop
end

local function number_end(sql, at)
  local stop = sql:match("^0[xX][%x_]+()", at)
  if stop then return stop - 1 end
  stop = sql:match("^[%d_]*%.?[%d_]*()", at)
  return (sql:match("^[eE][+-]?%d+()", stop) or stop) - 1
end

local function sign_end(sql, at)
  if LONG_SIGNS[sql:sub(at, at + 2)] then return at + 2 end
  if LONG_SIGNS[sql:sub(at, at + 1)] then return at + 1 end
  return at
end

--- The next token of `sql` from byte `at` on. nil at the end.
-- @treturn ?string "word" (no quotes), "name" (in `"`, "`" or brackets), "string", "blob",
-- "number" or "sign"
-- @treturn string its text; of names and strings without quotes
-- @treturn number its first byte
-- @treturn number its last byte
function M.next(sql, at)
  at = skip_blanks(sql, at)
  local first = sql:sub(at, at)
  if first == "" then return nil end
  if CLOSING[first] then
    local text, stop = quoted(sql, at)
    return first == "'" and "string" or "name", text, at, stop
  end
  if sql:find("^[xX]'", at) then
    local text, stop = quoted(sql, at + 1)
    return "blob", text, at, stop
  end
  if sql:find("^%.?%d", at) then
    local stop = number_end(sql, at)
    return "number", sql:sub(at, stop), at, stop
  end
  local stop = sql:match("^[%a_\128-\255][%w_$\128-\255]*()", at)
  if stop then return "word", sql:sub(at, stop - 1), at, stop - 1 end
  stop = sign_end(sql, at)
  return "sign", sql:sub(at, stop), at, stop
end

--- All tokens: a list of { kind, text, from, to, quote = first byte, upper = a word in
-- capitals }.
function M.tokens(sql)
  local list, at = {}, 1
  while true do
    local kind, text, from, to = M.next(sql, at)
    if not kind then return list end
    list[#list + 1] = {
      kind = kind, text = text, from = from, to = to, quote = sql:sub(from, from),
      upper = kind == "word" and text:upper() or nil,
    }
    at = to + 1
  end
end

-- ---- words -----------------------------------------------------------------

local KEYWORDS = {}
for word in ([[abort action add after all alter always analyze and as asc attach autoincrement
  before begin between by cascade case cast check collate column commit conflict constraint
  create cross current current_date current_time current_timestamp database default deferrable
  deferred delete desc detach distinct do drop each else end escape except exclude exclusive
  exists explain fail filter first following for foreign from full generated glob group groups
  having if ignore immediate in index indexed initially inner insert instead intersect into is
  isnull join key last left like limit match materialized natural no not nothing notnull null
  nulls of offset on or order others outer over partition plan pragma preceding primary query
  raise range recursive references regexp reindex release rename replace restrict returning
  right rollback row rows savepoint select set table temp temporary then ties to transaction
  trigger unbounded union unique update using vacuum values view virtual when where window with
  without]]):gmatch "%S+" do
  KEYWORDS[word] = true
end
M.keywords = KEYWORDS

--- A name in double quotes.
function M.quote(name)
  return '"' .. name:gsub('"', '""') .. '"'
end

--- A text in single quotes.
function M.string(text)
  if text:find("\0", 1, true) then
    text = text:gsub(".", function(c) return ("%02x"):format(c:byte()) end)
    return "CAST(x'" .. text .. "' AS TEXT)"
  end
  return "'" .. text:gsub("'", "''") .. "'"
end

--- Names are equal whatever the case of their ASCII letters.
function M.fold(name)
  return (name:gsub("%u", string.lower))
end

return M
