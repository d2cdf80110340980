--- SQL texts of migrations as statements made of tokens, by the lexical rules of the
-- database. Only what rules have to know is read: the first words, names, lists.
local postgres = require "perigee.dialect.postgres.lexer"
local sqlite = require "perigee.dialect.sqlite.lexer"

local M = {}

-- ---- tokens ----------------------------------------------------------------

-- A token is { kind = "word", "name", "string", "number" or "sign", text, upper = of
-- words, name = what a word or name means, from, to }.
local POSTGRES = { name = "word", quoted = "name", string = "string", dollar = "string" }

local function postgres_tokens(sql)
  local list = {}
  for kind, text, from in postgres.tokens(sql) do
    if kind ~= "comment" and not text:find "^%s$" then
      local t = {
        kind = POSTGRES[kind] or text:find "^%d" and "number" or "sign", text = text,
        from = from, to = from + #text - 1,
      }
      if t.kind == "word" then t.upper = text:upper() end
      if t.kind == "word" or t.kind == "name" then t.name = postgres.meaning(kind, text) end
      list[#list + 1] = t
    end
  end
  return list
end

local function other_tokens(sql)
  local list = sqlite.tokens(sql)
  for _, t in ipairs(list) do
    if t.kind == "word" or t.kind == "name" then t.name = t.text end
  end
  return list
end

--- The tokens of a text.
-- @tparam string sql
-- @tparam string database name of a dialect
function M.tokens(sql, database)
  return database == "postgres" and postgres_tokens(sql) or other_tokens(sql)
end

-- ---- a statement -----------------------------------------------------------

local Statement = {}
Statement.__index = Statement

local function is_word(token, word)
  return token ~= nil and (token.upper or token.kind == "sign" and token.text) == word
end

--- Are the next tokens these words or signs?
function Statement:sees(...)
  for i = 1, select("#", ...) do
    if not is_word(self.list[self.at + i - 1], (select(i, ...))) then return false end
  end
  return true
end

--- Takes them when they are next.
function Statement:takes(...)
  if not self:sees(...) then return false end
  self.at = self.at + select("#", ...)
  return true
end

--- Takes the first of several words that is next, and gives it.
function Statement:takes_one(...)
  for i = 1, select("#", ...) do
    local word = select(i, ...)
    if self:takes(word) then return word end
  end
  return nil
end

--- A name that may have a schema before it: name, schema; nil when none is next.
function Statement:name()
  local token = self.list[self.at]
  if not token or not token.name then return nil end
  self.at = self.at + 1
  local following = self.list[self.at + 1]
  if is_word(self.list[self.at], ".") and following and following.name then
    self.at = self.at + 2
    return following.name, token.name
  end
  return token.name, nil
end

--- Do these words follow each other somewhere from here on? The position of the first.
function Statement:find(...)
  local n = select("#", ...)
  for at = self.at, #self.list - n + 1 do
    local found = true
    for i = 1, n do found = found and is_word(self.list[at + i - 1], (select(i, ...))) end
    if found then return at end
  end
  return nil
end

-- Calls see(at, token) for tokens from here on that are not in parentheses.
function Statement:outside(see)
  local depth = 0
  for at = self.at, #self.list do
    local token = self.list[at]
    if is_word(token, ")") then depth = depth - 1 end
    if depth == 0 and see(at, token) then return at end
    if is_word(token, "(") then depth = depth + 1 end
  end
  return nil
end

--- As find, of one word outside of parentheses.
function Statement:find_outside(word)
  return self:outside(function(_, token) return is_word(token, word) end)
end

--- The text of tokens `from` … `to` (default: the last).
function Statement:text(from, to)
  local first, last = self.list[from], self.list[to or #self.list]
  return first and last and self.sql:sub(first.from, last.to) or ""
end

--- The rest, cut at commas outside of parentheses: statements.
function Statement:parts()
  local parts, part = {}, {}
  self:outside(function(at, token)
    if is_word(token, ",") then
      parts[#parts + 1], part = part, {}
    else
      part.from = part.from or at
      part.to = at
    end
  end)
  parts[#parts + 1] = part
  local out = {}
  for _, p in ipairs(parts) do
    if p.from then out[#out + 1] = M.new(self.sql, self.list, p.from, p.to) end
  end
  return out
end

--- The names in the parentheses that are next: { "a", "b" }; other keys are left out.
function Statement:names()
  local list = {}
  if not self:takes "(" then return list end
  while self.list[self.at] and not self:sees ")" do
    local name = self:name()
    if name then list[#list + 1] = name end
    while self.list[self.at] and not self:sees ")" and not self:takes "," do
      self.at = self.at + 1
    end
  end
  self:takes ")"
  return list
end

--- A statement of the tokens `from` … `to` of a list.
function M.new(sql, tokens, from, to)
  local list = {}
  for i = from, to do list[#list + 1] = tokens[i] end
  return setmetatable({ sql = sql, list = list, at = 1 }, Statement)
end

-- ---- splitting -------------------------------------------------------------

-- How a word changes the depth of blocks in the body of a CREATE.
local BLOCK = { BEGIN = 1, CASE = 1, END = -1 }

--- The statements of a text, without those that are empty.
-- @tparam string sql
-- @tparam string database
-- @treturn {table,...}
function M.split(sql, database)
  local tokens, out = M.tokens(sql, database), {}
  local from, depth = 1, 0
  for i, token in ipairs(tokens) do
    if is_word(tokens[from], "CREATE") then
      depth = math.max(0, depth + (token.upper and BLOCK[token.upper] or 0))
    end
    if is_word(token, ";") and depth == 0 then
      if i > from then out[#out + 1] = M.new(sql, tokens, from, i - 1) end
      from = i + 1
    end
  end
  if from <= #tokens then out[#out + 1] = M.new(sql, tokens, from, #tokens) end
  return out
end

--- Does a statement of a text end the transaction that it would be in?
-- @tparam string sql
-- @tparam table dialect commits: first words of such statements
function M.commits(sql, dialect)
  for _, s in ipairs(dialect.commits and M.split(sql, dialect.name) or {}) do
    if dialect.commits[s.list[1].upper or ""] then return true end
  end
  return false
end

return M
