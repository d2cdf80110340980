--- What commands show: lines, tables and JSON on standard output, progress on
-- standard error when that is a terminal.
local perigee = require "perigee"
local runner = require "perigee.runner"

local M = {}

local Output = {}
Output.__index = Output

local COLORS = {
  red = "31", green = "32", yellow = "33", blue = "34", cyan = "36",
  bold = "1", dim = "2",
}

local function wants_color(fd)
  local no = os.getenv "NO_COLOR"
  return runner.isatty(fd) and (no == nil or no == "")
    and os.getenv "TERM" ~= "dumb"
end

--- How a command shows things.
-- @tparam table options of the command line: quiet, json
-- @return an object with the methods below
function M.new(options)
  return setmetatable({
    quiet = options.quiet or false,
    json = options.json or false,
    color = wants_color(1),
    live = runner.isatty(2) and not options.quiet and not options.json,
    drawn = false, -- is a line of progress on the screen?
  }, Output)
end

-- ---- text ------------------------------------------------------------------

--- Columns that a text takes: code points, without colours.
function M.width(text)
  local n = 0
  for _ in text:gsub("\27%[[%d;]*m", ""):gmatch "[^\128-\191]" do n = n + 1 end
  return n
end

--- A number of seconds for people: "12 ms", "6.1 s", "2 min 3 s", "1 h 4 min".
function M.elapsed(seconds)
  if seconds < 0.9995 then return ("%.0f ms"):format(seconds * 1e3) end
  if seconds < 59.95 then return ("%.1f s"):format(seconds) end
  local s = math.floor(seconds + 0.5)
  local minutes = math.floor(s / 60)
  if minutes < 60 then return ("%d min %d s"):format(minutes, s % 60) end
  return ("%d h %d min"):format(math.floor(minutes / 60), minutes % 60)
end

--- "1 204 511": groups of three, with a space.
function M.count(n)
  local text = ("%.0f"):format(n)
  local head, rest = text:match "^(%-?%d%d?%d?)(.*)$"
  while #rest % 3 ~= 0 do
    head, rest = text:sub(1, #head - 1), text:sub(#head)
  end
  return head .. rest:gsub("%d%d%d", " %0")
end

--- "1 table", "2 tables".
function M.plural(n, word, words)
  return ("%s %s"):format(M.count(n), n == 1 and word or words or word .. "s")
end

--- Text that cannot move the cursor of a terminal.
function M.safe(text)
  return (tostring(text):gsub("[%c\127]", function(c)
    if c == "\n" or c == "\t" then return " " end
    return ("\\x%02x"):format(c:byte())
  end))
end

--- Colours text, on a terminal.
-- @tparam string color red, green, yellow, blue, cyan, bold or dim
function Output:paint(color, text)
  if not self.color or text == "" then return text end
  return ("\27[%sm%s\27[0m"):format(COLORS[color], text)
end

-- ---- lines -----------------------------------------------------------------

--- Writes a line of what the command was asked for, whatever the options are.
function Output:print(text)
  self:clear()
  io.stdout:write(text, "\n")
end

--- Writes a line about what is done: not with --quiet or --json.
function Output:say(text, ...)
  if self.quiet or self.json then return end
  if select("#", ...) > 0 then text = text:format(...) end
  self:print(text)
  io.stdout:flush()
end

--- Writes a warning to standard error.
function Output:warn(text, ...)
  if select("#", ...) > 0 then text = text:format(...) end
  self:clear()
  io.stdout:flush()
  io.stderr:write("perigee: ", text, "\n")
end

-- ---- tables ----------------------------------------------------------------

-- The widths of columns in code points.
local function measure(rows, columns)
  local widths = {}
  for i in ipairs(columns) do
    widths[i] = 0
    for _, row in ipairs(rows) do
      local w = M.width(row[i] or "")
      if w > widths[i] then widths[i] = w end
    end
  end
  return widths
end

--- Lines of text with aligned columns, two spaces between them.
-- @tparam {{string,...},...} rows cells may be coloured
-- @tparam {string,...} columns "l" or "r" for each
-- @tparam[opt=""] string indent before each line
-- @treturn {string,...}
function M.align(rows, columns, indent)
  local widths, lines = measure(rows, columns), {}
  for n, row in ipairs(rows) do
    local cells = {}
    for i, side in ipairs(columns) do
      local cell = row[i] or ""
      local gap = (" "):rep(widths[i] - M.width(cell))
      cells[i] = side == "r" and gap .. cell or cell .. gap
    end
    lines[n] = (indent or "") .. table.concat(cells, "  "):gsub("%s+$", "")
  end
  return lines
end

--- Writes aligned lines, as print does.
function Output:lines(rows, columns, indent)
  for _, line in ipairs(M.align(rows, columns, indent)) do self:print(line) end
end

--- Writes a table with titles, as print does.
-- @tparam {string,...} titles
-- @tparam {{string,...},...} rows
-- @tparam {string,...} columns "l" or "r" for each
function Output:table(titles, rows, columns)
  local all = { {} }
  for i, title in ipairs(titles) do all[1][i] = self:paint("bold", title) end
  for i, row in ipairs(rows) do
    all[i + 1] = {}
    for j in ipairs(titles) do all[i + 1][j] = M.safe(row[j] or "") end
  end
  self:lines(all, columns)
end

-- ---- JSON ------------------------------------------------------------------

local KINDS = { string = true, number = true, boolean = true }

-- A copy that has only what JSON has. An empty table is a list here.
local function plain(v, depth)
  if type(v) ~= "table" then
    if KINDS[type(v)] or v == perigee.null then return v end
    return nil
  end
  if depth > 60 then return nil end
  local out, n = {}, #v
  if n > 0 or next(v) == nil then
    for i = 1, n do
      local item = plain(v[i], depth + 1)
      out[i] = item == nil and perigee.null or item
    end
    return perigee.json_array(out)
  end
  for key, value in pairs(v) do
    if type(key) == "string" then out[key] = plain(value, depth + 1) end
  end
  return perigee.json_object(out)
end

--- Writes a value as one line of JSON, keys in order. Functions are left out.
function Output:data(value)
  self:print(tostring(perigee.json(plain(value, 0))))
end

-- ---- progress --------------------------------------------------------------

--- Shows a line of progress in place of the last one; does nothing when standard
-- error is no terminal.
function Output:progress(text)
  if not self.live then return end
  io.stdout:flush()
  io.stderr:write("\r", M.safe(text), "\27[K")
  io.stderr:flush()
  self.drawn = true
end

--- Takes the line of progress away.
function Output:clear()
  if not self.drawn then return end
  self.drawn = false
  io.stderr:write "\r\27[K"
  io.stderr:flush()
end

return M
