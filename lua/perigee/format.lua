--- How results print: a list of rows as a table of text.
local core = require "perigee.core"

local MAX_ROWS, MAX_WIDTH = 200, 60

local M = {}

local function width(s)
  local n = 0
  for _ in s:gmatch("[^\128-\191]") do n = n + 1 end
  return n
end

local function clip(s)
  if width(s) <= MAX_WIDTH then return s end
  local n, cut = 0, #s
  for i in s:gmatch("()[^\128-\191]") do
    n = n + 1
    if n == MAX_WIDTH then cut = i - 1 break end
  end
  return s:sub(1, cut) .. "…"
end

local function cell(v)
  if v == nil or v == core.null then return "" end
  if type(v) == "table" then
    local ok, text = pcall(core.json.encode, v)
    v = ok and text or tostring(v)
  end
  local s = tostring(v):gsub("[%c\127]", function(c)
    if c == "\n" then return "\\n" elseif c == "\t" then return "\\t" end
    return ("\\x%02x"):format(c:byte())
  end)
  return clip(s)
end

local function pad(s, n, right)
  local gap = (" "):rep(n - width(s))
  if right then return gap .. s end
  return s .. gap
end

local function line(cells, widths, numeric)
  local out = {}
  for i, w in ipairs(widths) do out[i] = pad(cells[i] or "", w, numeric[i]) end
  return (table.concat(out, " | "):gsub("%s+$", ""))
end

-- Is it written like a number, or nothing? Decimals are strings.
local function is_number(v)
  return v == nil or v == core.null or type(v) == "number"
    or type(v) == "string" and v:find "^%-?%d+%.%d+$" ~= nil
end

local function value_of(row, columns, i)
  local v = rawget(row, columns[i])
  if v == nil then v = rawget(row, i) end
  return v
end

local function summary(rows, shown)
  local text = ("(%d row%s)"):format(#rows, #rows == 1 and "" or "s")
  if #rows == shown then return text end
  return ("… and %d more\n%s"):format(#rows - shown, text)
end

--- Draws rows as a table.
-- @tparam {table,...} rows records or arrays
-- @tparam[opt] {string,...} columns names in order; default rows.columns
-- @treturn string
function M.table(rows, columns)
  columns = columns or rows.columns or {}
  if #columns == 0 then
    return ("(%s rows)"):format(tostring(rows.affected or #rows))
  end
  local widths, numeric, lines = {}, {}, {}
  local shown = math.min(#rows, MAX_ROWS)
  for i, name in ipairs(columns) do
    widths[i], numeric[i] = width(name), shown > 0
  end
  for r = 1, shown do
    local cells = {}
    for i in ipairs(columns) do
      local v = value_of(rows[r], columns, i)
      cells[i] = cell(v)
      widths[i] = math.max(widths[i], width(cells[i]))
      if not is_number(v) then numeric[i] = false end
    end
    lines[r] = cells
  end
  local out, rule = { line(columns, widths, {}) }, {}
  for i, w in ipairs(widths) do rule[i] = ("-"):rep(w) end
  out[2] = table.concat(rule, "-+-")
  for r = 1, shown do out[r + 2] = line(lines[r], widths, numeric) end
  out[#out + 1] = summary(rows, shown)
  return table.concat(out, "\n")
end

--- Draws rows one below the other, a line for each column.
-- @tparam {table,...} rows records or arrays
-- @tparam[opt] {string,...} columns names in order; default rows.columns
-- @treturn string
function M.vertical(rows, columns)
  columns = columns or rows.columns or {}
  local wide, out = 0, {}
  for _, name in ipairs(columns) do wide = math.max(wide, width(name)) end
  local shown = math.min(#rows, MAX_ROWS)
  for r = 1, shown do
    out[#out + 1] = ("-- row %d"):format(r)
    for i, name in ipairs(columns) do
      out[#out + 1] = pad(name, wide, true) .. ": "
        .. cell(value_of(rows[r], columns, i))
    end
  end
  out[#out + 1] = summary(rows, shown)
  return table.concat(out, "\n")
end

local META = {
  __index = function(rows, key)
    local meta = getmetatable(rows)
    if key == "columns" then return meta.columns end
    if key == "affected" then return meta.affected or #rows end
    return nil
  end,
  __tostring = function(rows) return M.table(rows) end,
}
core.set_rows_meta(META)

--- Makes of rows of several statements a list as one statement gives it.
-- @tparam {table,...} rows
-- @tparam {string,...} columns their names
-- @treturn table rows
function M.list(rows, columns)
  local meta = { columns = columns }
  for k, v in pairs(META) do meta[k] = v end
  return setmetatable(rows, meta)
end

return M
