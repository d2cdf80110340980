--- Rows of information_schema as MySQL 8 gives them, said as MariaDB says them. A default is
-- the text of a literal, not SQL, unless it is an expression. Expressions are escaped once
-- more than they should be, and have other characters for those that are not of ASCII:
-- where there could be such, SHOW CREATE is asked.
local types = require "perigee.dialect.mysql.types"
local wide = require "perigee.dialect.mysql.wide"
local written = require "perigee.dialect.mysql.written"

local M = {}

-- The oldest that has all that is asked for and written: checks with names, which are
-- dropped as other constraints are.
local OLDEST = { 8, 0, 19 }

--- Is a server of this version MySQL?
function M.is(version) return version:find "MariaDB" == nil end

--- Is it too old?
-- @treturn ?string the oldest version
function M.wanted(version)
  local parts, n = { version:match "^(%d+)%.(%d+)%.(%d+)" }, nil
  for i, least in ipairs(OLDEST) do
    n = (tonumber(parts[i]) or 0) - least
    if n ~= 0 then break end
  end
  return n < 0 and table.concat(OLDEST, ".") or nil
end

-- ---- expressions -----------------------------------------------------------

local function is_doubtful(text) return text == nil or text:find "[\\?\128-\255]" ~= nil end

local ESCAPES = { n = "\n", r = "\r", t = "\t", b = "\b", ["0"] = "\0", Z = "\26" }

-- A text with the escapes of a string taken off once.
local function unescaped(text)
  return (text:gsub("([\\'])(.)", function(mark, c)
    return mark == "\\" and (ESCAPES[c] or c) or c == "'" and c or nil
  end))
end

-- Gives what SHOW CREATE says where the row is not to be believed; where that does not have it,
-- what the row was before it was escaped.
local function asker(x, owner)
  local text
  return function(expression, find, ...)
    if is_doubtful(expression) then
      text = text or wide.shown(x, "TABLE", owner, "Create Table")
      expression = find(text, ...) or expression and unescaped(expression)
    end
    return expression
  end
end

-- A default that is nothing but a string, as one that is a literal is written.
local function one_string(sql)
  local body = sql:match "^'(.*)'$"
  if not body or body:gsub("\\.", ""):gsub("''", ""):find("'", 1, true) then return sql end
  return types.literal(unescaped(body))
end

-- ---- columns ---------------------------------------------------------------

local NUMBERS = {}
for word in ("tinyint smallint mediumint int bigint decimal float double year bit"):gmatch "%a+" do
  NUMBERS[word] = true
end

-- A default that is no expression, as SQL.
local function literal(x, owner, row)
  local word = row.type:match "^%a+"
  if NUMBERS[word] or word:find "binary$" and row.deflt:find "^0x%x+$" then return row.deflt end
  return row.deflt:find("?", 1, true) and wide.literal_default(x, owner, row.name)
    or types.literal(row.deflt)
end

-- The digits of ON UPDATE are those of the column, and sometimes not said.
local function with_digits(row)
  local digits = row.type:match "%(%d+%)$"
  return digits and row.extra:gsub("([Oo][Nn] update [%u_]+)$", "%1" .. digits) or row.extra
end

local function column(x, owner, row, exact)
  local extra = (row.extra or ""):lower()
  if extra:find " generated" then
    row.expr = written.plain(exact(row.expr, written.column, row.name), true)
  elseif not extra:find("default_generated", 1, true) then
    row.deflt = row.deflt and literal(x, owner, row)
  elseif (row.deflt or ""):find "^CURRENT_TIMESTAMP" then
    row.deflt = row.deflt:lower()
  else
    local sql = exact(row.deflt, written.column, row.name) or "NULL"
    row.deflt = one_string(written.plain(sql))
  end
  if extra:find "on update" then row.extra = with_digits(row) end
end

--- Makes the rows of a table what MariaDB would have said.
-- @param x executor
-- @tparam string owner the table
-- @tparam table rows columns, checks and indexes by table
function M.restore(x, owner, rows)
  local exact = asker(x, owner)
  for _, row in ipairs(rows.columns[owner] or {}) do column(x, owner, row, exact) end
  for _, row in ipairs(rows.checks[owner] or {}) do
    row.expr = written.plain(exact(row.expr, written.check, row.name), true)
  end
  local index, n
  for _, row in ipairs(rows.indexes[owner] or {}) do
    n = row.name == index and n + 1 or 1
    index = row.name
    if row.expr then
      row.expr = written.plain(exact(row.expr, written.index, index, n), true)
    end
  end
end

return M
