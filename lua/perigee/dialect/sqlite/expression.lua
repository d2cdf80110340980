--- One form for expressions that mean the same to SQLite: blanks, comments, the case of
-- words, the kind of quotes and outer parentheses do not count. The result is SQL again.
local lexer = require "perigee.dialect.sqlite.lexer"

local M = {}

local SIGNS = { ["!="] = "<>", ["=="] = "=" }

-- A double-quoted word that is no column is a string for SQLite (its "misfeature"); not
-- where only a name can stand.
local function is_string(list, i, names, from, to)
  local token = list[i]
  if token.quote ~= '"' or names == nil or names[lexer.fold(token.text)] then return false end
  local after, before = i < to and list[i + 1], i > from and list[i - 1]
  if after and (after.text == "(" or after.text == ".") and after.kind == "sign" then
    return false
  end
  if not before then return true end
  return not (before.kind == "sign" and before.text == "." or before.upper == "COLLATE"
    or before.upper == "AS")
end

local function name_of(text, names)
  local folded = lexer.fold(text)
  local name = names and names[folded] or folded
  if name:find "^[%l_][%l%d_]*$" and not lexer.keywords[name] then return name end
  return lexer.quote(name)
end

-- Keywords that stand bare for a column in an expression.
local SOFT = {}
for word in ([[abort action after analyze attach before begin cascade column conflict database
  deferred detach each exclusive explain fail first for generated immediate indexed initially
  instead key last materialized no plan pragma query recursive reindex release rename replace
  restrict row savepoint temp temporary trigger vacuum view virtual with without always
  others]]):gmatch "%S+" do
  SOFT[word] = true
end

local function word_of(token, names)
  local low = lexer.fold(token.text)
  if lexer.keywords[low] and not (SOFT[low] and names and names[low]) then return low, true end
  return name_of(token.text, names), false
end

local PRINT = {
  word = word_of,
  name = function(token, names) return name_of(token.text, names), false end,
  string = function(token) return lexer.string(token.text) end,
  blob = function(token) return "x'" .. token.text:lower() .. "'" end,
  number = function(token) return token.text:lower() end,
  sign = function(token) return SIGNS[token.text] or token.text end,
}

-- The table's own name before a dot.
local function is_qualifier(list, i, names)
  local token, dot = list[i], list[i + 1]
  return names and names[1] and list[i + 2] and dot.kind == "sign" and dot.text == "."
    and (token.kind == "word" or token.kind == "name")
    and lexer.fold(token.text) == names[1]
end

local function print_token(list, i, names, from, to)
  local token = list[i]
  if token.kind == "name" and is_string(list, i, names, from, to) then
    return lexer.string(token.text), false
  end
  return PRINT[token.kind](token, names)
end

-- The last token of the pair of parentheses that begins at `i`.
local function matching(list, i, to)
  local depth = 0
  for k = i, to do
    local token = list[k]
    if token.kind == "sign" then
      if token.text == "(" then depth = depth + 1 end
      if token.text == ")" then
        depth = depth - 1
        if depth == 0 then return k end
      end
    end
  end
end
M.matching = matching

local function strip(list, from, to)
  while from < to and list[from].kind == "sign" and list[from].text == "("
    and matching(list, from, to) == to do
    from, to = from + 1, to - 1
  end
  return from, to
end
M.strip = strip

-- Does a sign that follows `before` belong to the number behind it?
local function is_prefix(token, before)
  if token.kind ~= "sign" or token.text ~= "-" and token.text ~= "+" and token.text ~= "~" then
    return false
  end
  return not before or before.is_key
    or before.kind == "sign" and before.text ~= ")"
end

local TIGHT_BEFORE = { [")"] = true, [","] = true, ["."] = true, [";"] = true }
local TIGHT_AFTER = { ["("] = true, ["."] = true }

local function has_blank(before, token)
  if not before or before.is_prefix then return false end
  if before.kind == "sign" and TIGHT_AFTER[before.text] then return false end
  if token.kind ~= "sign" then return true end
  if TIGHT_BEFORE[token.text] then return false end
  if token.text == "(" then
    return before.is_key or before.kind == "sign"
  end
  return true
end

--- The tokens `from` … `to` of a list as normalised text.
-- @tparam table list of lexer.tokens
-- @tparam number from
-- @tparam number to
-- @tparam ?table names { [folded name] = name } of the columns, and the folded name of
-- their table as [1]: "t.a" is "a" then. Without it no double-quoted word is taken for a
-- string
-- @treturn string
function M.normal(list, from, to, names)
  from, to = strip(list, from, to)
  local out, before, i = {}, nil, from
  while i <= to do
    if is_qualifier(list, i, names) then i = i + 2 end
    local token = list[i]
    local text, is_key = print_token(list, i, names, from, to)
    local now = { kind = token.kind, text = token.text, is_key = is_key }
    now.is_prefix = is_prefix(token, before)
    if has_blank(before, now) then out[#out + 1] = " " end
    out[#out + 1] = text
    before = now
    i = i + 1
  end
  return table.concat(out)
end

--- A whole text, normalised.
function M.text(sql, names)
  local list = lexer.tokens(sql)
  return M.normal(list, 1, #list, names)
end

--- Does an expression name the column?
function M.mentions(sql, column)
  local folded = lexer.fold(column)
  for _, token in ipairs(lexer.tokens(sql)) do
    if (token.kind == "word" or token.kind == "name") and lexer.fold(token.text) == folded then
      return true
    end
  end
  return false
end

--- An expression in which a column has another name.
function M.rename(sql, from, to)
  local folded, out, at = lexer.fold(from), {}, 1
  local list = lexer.tokens(sql)
  for i, token in ipairs(list) do
    local after = list[i + 1]
    if (token.kind == "word" or token.kind == "name") and lexer.fold(token.text) == folded
      and not (after and after.text == "(" and token.kind == "word") then
      out[#out + 1] = sql:sub(at, token.from - 1) .. lexer.quote(to)
      at = token.to + 1
    end
  end
  return table.concat(out) .. sql:sub(at)
end

return M
