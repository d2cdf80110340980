--- When two elements of live trees say the same. Names, places in files and what is
-- compared by itself (validity) are left out; expressions are compared by the dialect.
local M = {}

local LEFT_OUT = { name = true, at = true, was = true, valid = true, after = true, comment = true,
  sqlite = true } -- what only SQLite has of an element is in the notes of its tree
local NOTHING = {}

local function with(more)
  local set = {}
  for key in pairs(LEFT_OUT) do set[key] = true end
  for _, key in ipairs(more) do set[key] = true end
  return set
end

local function is_same_string(a, b) return a == b end

--- How the texts of a dialect are compared. `renamed`: columns of the two sides were
-- renamed by us, who do not know which names the server quotes.
-- @tparam[opt] table dialect
-- @treturn table { text = f(a, b), default = f(a, b), type = f(a, b) }
function M.rules(dialect, renamed)
  local d = dialect or NOTHING
  local same = d.same_text or is_same_string
  local function text(a, b)
    if a == nil or b == nil then return a == b end
    if a == b or same(a, b) then return true end
    return renamed and a:gsub('"([%l_][%l%d_]*)"', "%1") == b:gsub('"([%l_][%l%d_]*)"', "%1")
      or false
  end
  local function default(a, b)
    return text(a.sql, b.sql) or d.same_default and d.same_default(a, b) or false
  end
  -- only where declared types are free text do different words mean the same
  local by_words = d.features and d.features.rebuilds and d.same_type
  return { text = text, default = default, type = by_words or is_same_string }
end

--- Are two values of plain data equal? Absent and false are one.
-- @tparam[opt] table left_out set of keys of the outermost tables that do not count
function M.data(a, b, left_out)
  a, b = a or nil, b or nil
  if type(a) ~= "table" or type(b) ~= "table" then return a == b end
  for key, value in pairs(a) do
    if not (left_out and left_out[key]) and not M.data(value, b[key]) then return false end
  end
  for key, value in pairs(b) do
    if value and a[key] == nil and not (left_out and left_out[key]) then return false end
  end
  return true
end

local function one_key(rules, a, b)
  if (a.column or a.sql) == nil or a.column ~= b.column then return false end
  return M.data(a, b, { sql = true }) and rules.text(a.sql, b.sql)
end

local function same_keys(rules, a, b)
  if #a ~= #b then return false end
  for i = 1, #a do
    if not one_key(rules, a[i], b[i]) then return false end
  end
  return true
end


local CHECK, INDEX = with { "sql", "column", "enum" }, with { "keys", "where" }
local TEXT = with { "sql", "columns", "version" }

--- Keys and foreign keys.
function M.key(_, a, b)
  return M.data(a, b, LEFT_OUT)
end

--- Checks; whether SQLite has them in the column's definition does not count.
function M.check(rules, a, b)
  return M.data(a, b, CHECK) and rules.text(a.sql, b.sql)
end

--- Indexes.
function M.index(rules, a, b)
  return M.data(a, b, INDEX) and same_keys(rules, a.keys, b.keys) and rules.text(a.where, b.where)
end

--- Views and objects.
function M.object(rules, a, b)
  return M.data(a, b, TEXT) and rules.text(a.sql, b.sql)
end

-- A type as one string: its words, and which enum.
local function type_words(t)
  local words = t.raw
  if t.enum then words = "enum " .. (t.schema or "") .. "." .. t.enum end
  if not words then
    words = t.name .. (t.args and #t.args > 0 and "(" .. table.concat(t.args, ",") .. ")" or "")
  end
  return words .. ("[]"):rep(t.array or 0)
end

--- Types.
function M.type(rules, a, b)
  a, b = type_words(a), type_words(b)
  return a == b or rules.type(a, b)
end

--- Defaults, which may be absent.
function M.default(rules, a, b)
  if not a or not b then return a == b end
  if a.sql and b.sql then return rules.default(a, b) end
  return M.data(a, b)
end

--- Generated columns' expressions, which may be absent.
function M.generated(rules, a, b)
  if not a or not b then return not a == not b end
  return not a.stored == not b.stored and rules.text(a.sql, b.sql)
end

return M
