--- Characters of four bytes in texts of information_schema, which is in utf8mb3: the server
-- gives question marks for them, one or four. Where there is such a mark, the text is asked
-- for in another way: what is restated would be changed else.
local types = require "perigee.dialect.mysql.types"

local quote = types.quote
local M = {}

local WIDE = "[\240-\247][\128-\191][\128-\191][\128-\191]"

--- Has the text a mark that may stand for something else?
function M.is_doubtful(text)
  return type(text) == "string" and text:find("?", 1, true) ~= nil
end

-- `shown` with marks in place of wide characters, and where each of its bytes comes from.
local function folded(shown, marks)
  local out, from, at = {}, {}, 1
  while at <= #shown do
    local is_wide = shown:find("^" .. WIDE, at) ~= nil
    for _ = 1, is_wide and marks or 1 do
      out[#out + 1] = is_wide and "?" or shown:sub(at, at)
      from[#from + 1] = at
    end
    at = at + (is_wide and 4 or 1)
  end
  from[#from + 1] = at
  return table.concat(out), from
end

--- A text as it was before its wide characters were lost.
-- @tparam string text
-- @tparam string shown what has it somewhere, whole
-- @treturn string
function M.restored(text, shown)
  for _, marks in ipairs { 4, 1 } do
    local all, from = folded(shown, marks)
    local first, last = all:find(text, 1, true)
    if first then return shown:sub(from[first], from[last + 1] - 1) end
  end
  return text
end

--- Are two texts the same, as far as one tells that may have lost characters?
function M.same(a, b)
  return a == b or (folded(a, 1)) == b or (folded(b, 1)) == a
end

--- SHOW CREATE of something.
-- @param x executor
-- @tparam string what TABLE or VIEW
-- @tparam string name
-- @tparam string column of the result
function M.shown(x, what, name, column)
  return x:one(("SHOW CREATE %s %s"):format(what, quote(name)))[column]
end

--- The text of a view.
function M.text(x, text, what, name, column)
  if not M.is_doubtful(text) then return text end
  return M.restored(text, M.shown(x, what, name, column))
end

--- A default that is a plain text has lost them in SHOW CREATE, too. (For a column that is NOT
-- NULL the server needs a row to tell it: in an empty table the marks stay.)
-- @treturn ?string the default as SQL, when it has wide characters
function M.literal_default(x, owner, name)
  local value = x:value(("SELECT DEFAULT(t.%s) FROM (SELECT 1) o LEFT JOIN %s t ON true LIMIT 1")
    :format(quote(name), quote(owner)))
  return type(value) == "string" and value:find(WIDE) and types.literal(value) or nil
end

--- Puts back what rows of columns and checks of a table have lost.
-- @param x executor
-- @tparam string owner the table
-- @tparam table rows columns and checks by table
function M.restore(x, owner, rows)
  local text
  local function put_back(row, field)
    if not M.is_doubtful(row[field]) then return end
    text = text or M.shown(x, "TABLE", owner, "Create Table")
    row[field] = M.restored(row[field], text)
  end
  for _, row in ipairs(rows.columns[owner] or {}) do
    if M.is_doubtful(row.deflt) and row.deflt:find "^'" then
      row.deflt = M.literal_default(x, owner, row.name) or row.deflt
    else
      put_back(row, "deflt")
    end
    put_back(row, "expr")
  end
  for _, row in ipairs(rows.checks[owner] or {}) do put_back(row, "expr") end
end

return M
