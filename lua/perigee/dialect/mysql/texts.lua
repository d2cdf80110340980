--- Texts of the server's as definitions have them: expressions that others can take apart,
-- views without the name of their database, what there is without the one who made it.
local types = require "perigee.dialect.mysql.types"

local quote = types.quote
local M = {}

--- The end of the run in quotes that begins at `at`.
function M.quoted_end(sql, at)
  local mark, i = sql:sub(at, at), at + 1
  while true do
    i = sql:find(mark == "'" and "['\\]" or mark, i)
    if not i then return #sql end
    if sql:sub(i, i) == mark and sql:sub(i + 1, i + 1) ~= mark then return i end
    i = i + 2
  end
end

-- The text with fn(run, first, last) in place of its runs in quotes; nil: without the run and
-- the dot behind it.
local function replaced(sql, fn)
  local out, at = {}, 1
  while true do
    local first = sql:find("['`]", at)
    if not first then break end
    local last = M.quoted_end(sql, first)
    local text = fn(sql:sub(first, last), first, last)
    out[#out + 1] = sql:sub(at, first - 1)
    out[#out + 1] = text
    at = last + (text and 1 or 2)
  end
  out[#out + 1] = sql:sub(at)
  return table.concat(out)
end

--- An expression in which a quote within a text is doubled, not behind a backslash: so
-- others see where texts end.
function M.expression(sql)
  if not (sql and sql:find("\\'", 1, true)) then return sql end
  return replaced(sql, function(run)
    return run:sub(1, 1) == "'" and run:gsub("\\(.)", { ["'"] = "''" }) or run
  end)
end

-- How far back the word before a table is looked for: parentheses stand between.
local BEHIND = 40

-- Is what is at `at`, behind the name of the database, a table or a function? Else the name is
-- an alias that is called as the database, and this its column.
local function is_owned(sql, first, at)
  if sql:find("^[.(]", M.quoted_end(sql, at) + 1) then return true end
  local before = sql:sub(math.max(1, first - BEHIND), first - 1)
  return before:find "from %(*$" ~= nil or before:find "join %(*$" ~= nil
end

--- A view without the database before names.
function M.without_database(sql, database)
  local name = quote(database)
  return replaced(sql, function(run, first, last)
    if run ~= name or sql:sub(last + 1, last + 1) ~= "." or sql:sub(first - 1, first - 1) == "."
      or not is_owned(sql, first, last + 2) then
      return run
    end
    return nil
  end)
end

--- "CREATE DEFINER=`me`@`here` FUNCTION …" without who made it.
function M.without_definer(sql)
  local start = "CREATE DEFINER="
  if sql:sub(1, #start + 1) ~= start .. "`" then return sql end
  local last = M.quoted_end(sql, #start + 1)
  if sql:sub(last + 1, last + 2) == "@`" then last = M.quoted_end(sql, last + 2) end
  return "CREATE" .. sql:sub(last + 1)
end

local function masked(run) return ("x"):rep(#run) end

--- What a trigger does, of what SHOW CREATE gives.
function M.trigger_body(sql)
  local bare = sql:gsub("`[^`]*`", masked):lower()
  local last = select(2, bare:find "%f[%w]for%s+each%s+row%f[%W]%s*")
  if not last then return nil end
  local order = select(2, bare:find("^follows%s+%S+%s+", last + 1))
    or select(2, bare:find("^precedes%s+%S+%s+", last + 1))
  return sql:sub((order or last) + 1)
end

return M
