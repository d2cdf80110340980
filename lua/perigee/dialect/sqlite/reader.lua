--- A text as tokens and a place among them: what the parser of CREATE statements reads by.
local core = require "perigee.core"
local expression = require "perigee.dialect.sqlite.expression"
local lexer = require "perigee.dialect.sqlite.lexer"

local M = {}

local Reader = {}
Reader.__index = Reader

--- A reader { sql, list = tokens, at = the next one }.
function M.new(sql)
  return setmetatable({ sql = sql, list = lexer.tokens(sql), at = 1 }, Reader)
end

--- Raises that the text is not understood here.
function Reader:fail()
  local token = self.list[self.at]
  error(core.new_error("unsupported", ("a definition in sqlite_schema is not understood %s: %s")
    :format(token and ("near %q"):format(token.text) or "at its end", self.sql)), 0)
end

--- Is the next token this word or sign? With several: one after the other.
function Reader:sees(...)
  for i = 1, select("#", ...) do
    local token, want = self.list[self.at + i - 1], (select(i, ...))
    if not token or (token.upper or token.kind == "sign" and token.text) ~= want then
      return false
    end
  end
  return true
end

--- Takes them when they are next.
function Reader:takes(...)
  if not self:sees(...) then return false end
  self.at = self.at + select("#", ...)
  return true
end

--- Takes them, or raises.
function Reader:needs(...)
  if not self:takes(...) then self:fail() end
end

--- A name in any kind of quotes or none.
function Reader:name()
  local token = self.list[self.at]
  if not token or token.kind ~= "word" and token.kind ~= "name" and token.kind ~= "string" then
    self:fail()
  end
  self.at = self.at + 1
  return token.text
end

--- A name that may have a schema before it: "main.t" is t.
function Reader:object_name()
  local name = self:name()
  if self:takes(".") then name = self:name() end
  return name
end

--- An expression as { from, to } of the token list; `(` is next and its pair is left off.
function Reader:parentheses()
  if not self:sees("(") then self:fail() end
  local stop = expression.matching(self.list, self.at, #self.list)
  if not stop then self:fail() end
  local range = { self.at + 1, stop - 1 }
  self.at = stop + 1
  return range
end

--- An expression that ends at a comma or parenthesis of this level, or at one of `words`.
function Reader:until_comma(words)
  local from = self.at
  while true do
    local token = self.list[self.at]
    if not token or token.kind == "sign" and (token.text == "," or token.text == ")")
      or token.upper and words and words[token.upper] then
      break
    end
    if token.kind == "sign" and token.text == "(" then
      self:parentheses()
    else
      self.at = self.at + 1
    end
  end
  if self.at == from then self:fail() end
  return { from, self.at - 1 }
end

--- A range as normalised text.
function Reader:normal(range, names)
  return expression.normal(self.list, range[1], range[2], names)
end

return M
