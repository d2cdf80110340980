--- Cuts typed lines into SQL statements: where a semicolon ends one depends on
-- quotes, comments and the bodies of triggers.
local M = {}

local Reader = {}
Reader.__index = Reader

local ROUTINES = { TRIGGER = true, FUNCTION = true, PROCEDURE = true, EVENT = true }
-- What ends with END and its own word on MySQL: END IF.
local BLOCKS = { IF = true, LOOP = true, WHILE = true, REPEAT = true }

--- A reader for the SQL of a dialect.
-- @tparam string dialect "postgres", "sqlite" or "mysql"
function M.reader(dialect)
  return setmetatable({ dialect = dialect }, Reader):clear()
end

--- Forgets what has been collected.
function Reader:clear()
  self.lines = {}
  self.inside = nil -- what the text is in: a quote, "$tag$" or "*/"
  self.nested = 0 -- comments, on PostgreSQL
  self:start()
  return self
end

function Reader:start()
  self.first, self.seen, self.routine = nil, false, false
  self.depth = 0 -- of BEGIN … END in a CREATE TRIGGER and its like
  self.ended = false -- was the last token END?
end

-- ---- inside of something ---------------------------------------------------

local function skip_comment(self, line, i)
  while true do
    local at, _, mark = line:find("([*/][*/])", i)
    if not at then return #line + 1 end
    if mark == "*/" then
      self.nested = self.nested - 1
      if self.nested == 0 or self.dialect ~= "postgres" then
        self.inside = nil
        return at + 2
      end
      i = at + 2
    elseif mark == "/*" then
      self.nested = self.nested + 1
      i = at + 2
    else
      i = at + 1
    end
  end
end

-- A quote that is doubled is text. In E'…' and on MySQL a backslash hides one.
local function skip_quoted(self, line, i)
  local close = self.inside
  while true do
    local at = line:find(self.escapes and "[\\%" .. close .. "]" or close, i,
      not self.escapes)
    if not at then return #line + 1 end
    if line:sub(at, at) == "\\" then
      i = at + 2
    elseif line:sub(at + 1, at + 1) == close and close ~= "]" then
      i = at + 2
    else
      self.inside = nil
      return at + 1
    end
  end
end

local function skip(self, line, i)
  if self.inside == "*/" then return skip_comment(self, line, i) end
  if #self.inside == 1 then return skip_quoted(self, line, i) end
  local _, last = line:find(self.inside, i, true)
  if not last then return #line + 1 end
  self.inside = nil
  return last + 1
end

-- ---- tokens ----------------------------------------------------------------

-- `after`: the word behind it.
local function take_word(self, word, after)
  word = word:upper()
  self.first = self.first or word
  if self.first == "CREATE" and ROUTINES[word] then self.routine = true end
  if not self.routine then return end
  local closes = self.ended and word == "CASE" -- END CASE
  self.ended = word == "END"
  if word == "BEGIN" or (word == "CASE" and self.depth > 0 and not closes) then
    self.depth = self.depth + 1
  elseif word == "END" and self.depth > 0
    and not (after and BLOCKS[after:upper()])
  then
    self.depth = self.depth - 1
  end
end

local function open_quote(self, c, escapes)
  self.inside = c == "[" and "]" or c
  self.escapes = escapes or (self.dialect == "mysql" and c ~= "`")
end

-- Does a comment begin here that goes to the end of the line?
local function is_comment(self, line, i)
  if self.dialect ~= "mysql" then return line:find("^%-%-", i) ~= nil end
  return line:find("^#", i) ~= nil or line:find("^%-%-%s", i) ~= nil
    or line:find("^%-%-$", i) ~= nil
end

-- Takes the token at i. Returns the place after it, and whether it is a
-- semicolon that ends the statement.
local function take(self, line, i)
  local c = line:sub(i, i)
  local word = line:match("^[%a_\128-\255][%w_$\128-\255]*", i)
  if is_comment(self, line, i) then return #line + 1 end
  if line:sub(i, i + 1) == "/*" then
    self.inside, self.nested = "*/", 1
    return i + 2
  end
  if c == ";" and self.depth == 0 then return i + 1, true end
  self.seen = true
  if word then
    take_word(self, word, line:match("^%s+(%a+)", i + #word))
    i = i + #word
    if line:sub(i, i) == "'" and word:upper() == "E"
      and self.dialect == "postgres"
    then
      open_quote(self, "'", true)
      return i + 1
    end
    return i
  end
  self.ended = false
  local tag = self.dialect == "postgres"
    and line:match("^%$[%a_\128-\255]?[%w_\128-\255]*%$", i)
  if tag then
    self.inside = tag
    return i + #tag
  end
  local opens = self.dialect == "sqlite" and "['\"`[]" or "['\"`]"
  if c:find(opens) then open_quote(self, c) end
  return i + 1
end

-- ---- lines -----------------------------------------------------------------

--- Adds a line.
-- @treturn {string,...} the statements that are complete now
function Reader:add(line)
  local done, from, i = {}, 1, 1
  while i <= #line do
    local ends
    if self.inside then
      i = skip(self, line, i)
    else
      i = line:find("%S", i) or #line + 1
      if i <= #line then i, ends = take(self, line, i) end
    end
    if ends then
      self.lines[#self.lines + 1] = line:sub(from, i - 2)
      if self.seen then done[#done + 1] = table.concat(self.lines, "\n") end
      self.lines, from = {}, i
      self:start()
    end
  end
  if self:is_pending() then self.lines[#self.lines + 1] = line:sub(from) end
  return done
end

--- Has a statement begun that is not complete?
function Reader:is_pending()
  return self.seen or self.inside ~= nil
end

--- What has begun, as it is; nil when nothing has.
function Reader:rest()
  local text = self:is_pending() and table.concat(self.lines, "\n") or nil
  self:clear()
  return text
end

return M
