-- .ci/funcsize.lua [ROOT]: C functions up to 60 lines (dispatchers and tables
-- marked `/* long: table */` excepted), Lua functions up to 50, files up to
-- 1000. Specs' describe blocks are functions only by syntax: not checked.

local here = arg[0]:match "^(.*)/" or "."
local tree = dofile(here .. "/tree.lua")
local root = arg[1] or here .. "/.."

local MAX_C, MAX_LUA, MAX_FILE = 60, 50, 1000

local bad = tree.complaints()

local function split_lines(text)
  local out = {}
  for n, line in tree.lines(text) do out[n] = line end
  if out[#out] == "" then out[#out] = nil end
  return out
end

-- Is there a mark from the line before the function to its end?
local function is_marked(lines, from, to)
  for n = math.max(1, from - 1), to do
    if lines[n] and lines[n]:find("long: table", 1, true) then return true end
  end
  return false
end

local function check_c(file, lines)
  local pipe = assert(io.popen((
    "cd '%s' && ctags --languages=C --langmap=C:+.h --kinds-C=f --fields=+ne "
    .. "--sort=no -f - '%s'"):format(root, file)))
  for tag in pipe:lines() do
    local from = tonumber(tag:match "\tline:(%d+)")
    local to = tonumber(tag:match "\tend:(%d+)")
    if from and to and to - from + 1 > MAX_C
      and not is_marked(lines, from, to)
    then
      bad:add(file, from, "%s is %d lines (at most %d)", tag:match "^[^\t]+",
        to - from + 1, MAX_C)
    end
  end
  assert(pipe:close(), "ctags failed")
end

local opens = { ["if"] = true, ["do"] = true, ["repeat"] = true }
local closes = { ["end"] = true, ["until"] = true }

local function check_lua(file, text)
  local open = {} -- the line of each open function, false for other blocks
  for n, line in tree.lines(tree.strip_lua(text)) do
    for word in line:gmatch "[%a_][%w_]*" do
      if word == "function" then
        open[#open + 1] = n
      elseif opens[word] then
        open[#open + 1] = false
      elseif closes[word] then
        local from = table.remove(open)
        if from and n - from + 1 > MAX_LUA then
          bad:add(file, from, "function of %d lines (at most %d)",
            n - from + 1, MAX_LUA)
        end
      end
    end
  end
  if #open > 0 then bad:add(file, 1, "blocks do not balance") end
end

local function check(file)
  local text = tree.read(root .. "/" .. file)
  local lines = split_lines(text)
  if #lines > MAX_FILE then
    bad:add(file, #lines, "%d lines (at most %d)", #lines, MAX_FILE)
  end
  if file:find "%.[ch]$" then
    check_c(file, lines)
  elseif file:find "%.lua$" and not file:find "_spec%.lua$" then
    check_lua(file, text)
  end
end

for _, pattern in ipairs { "*.c", "*.h", "*.lua" } do
  local dirs = "src lua spec examples bench .ci"
  for _, file in ipairs(tree.files(root, dirs, pattern)) do check(file) end
end
os.exit(bad:report "funcsize")
