-- Runs scripts of commands: text files with what is typed and what is answered.
--
--   What this case shows: all lines up to the first file or command.
--   only: sqlite
--
--   -- schema.lua --
--   table("notes", function(t) … end)
--   $ perigee check
--     + table  notes
--   1 difference
--   ! perigee: this line was on standard error
--   exit 1
--
-- `-- NAME --` writes a file, up to the next such line or command. Below a command
-- (a line for sh) are the lines of its standard output, those of standard error with
-- `! ` before them, and `exit N` when the status is not 0. A line `...` stands for any
-- lines; in a line <time> is a time, <id> and <stamp> those of a migration, <n> a number
-- and <any> anything. `[sqlite] `, `[postgres] `, `[mysql] ` or `[sqlite postgres] ` before
-- a line: only there. A line that begins with `# ` is a remark. $URL and $DATABASE_URL are
-- the database, which is empty at first; the folder is the script's own. Steps of DDL are
-- told as `tx`, also where a database has no transactions around them (MySQL).
local helper = require "spec.support.helper"
local program = require "spec.support.program"

local script = {}

-- ---- reading ---------------------------------------------------------------

local DATABASES = { sqlite = true, postgres = true, mysql = true }

-- The line without its condition; nil when it is for other databases.
local function only_for(line, database)
  local names, rest = line:match "^%[(%l[%l ]*)%] (.*)$"
  local mine = false
  for name in (names or ""):gmatch "%l+" do
    if not DATABASES[name] then return line end
    mine = mine or name == database
  end
  if names then return mine and rest or nil end
  return line
end

-- Steps that are run in a transaction elsewhere and by themselves on MySQL.
local ALONE = { create = true, drop = true, add = true, alter = true, rename = true, set = true }

-- The line as it is said on the database: "  1 tx    create table a" is notx on MySQL.
local function said_on(line, database)
  if database ~= "mysql" or not line then return line end
  local number, rest, word = line:match "^(%s+%d+ )tx  (  (%l+) .*)$"
  return ALONE[word] and number .. "notx" .. rest or line
end

local function add_expected(item, line)
  local status = line:match "^exit (%d+)$"
  if status then
    item.status = tonumber(status)
  elseif line:find "^! " or line == "!" then
    table.insert(item.err, line:sub(3))
  else
    table.insert(item.out, line)
  end
end

local function begin(items, line, n)
  local name = line:match "^%-%- (%S+) %-%-$"
  if name then
    items[#items + 1] = { file = name, line = n }
  elseif line:sub(1, 2) == "$ " then
    items[#items + 1] = { command = line:sub(3), out = {}, err = {}, status = 0, line = n }
  else
    return false
  end
  return true
end

-- Lines that are for a command of another database go with it.
local function take(state, line, n, database)
  local mine = said_on(only_for(line, database), database)
  local is_start = line:find "^%-%- %S+ %-%-$" or line:find "^%$ "
    or line:find "^%[%l[%l ]*%] %$ " or line:find "^%[%l[%l ]*%] %-%- "
  if is_start then
    state.skipping = mine == nil
    if mine then begin(state.items, mine, n) end
    return
  end
  local item = state.items[#state.items]
  if state.skipping or not mine or mine:find "^# " then return end
  if not item then
    state.only = state.only or mine:match "^only: (%l+)$"
  elseif item.file then
    item[#item + 1] = mine
  else
    add_expected(item, mine)
  end
end

-- Empty lines at the end of what is expected, and of a file, are for the eye.
local function trim(items)
  for _, item in ipairs(items) do
    local lines = item.out or item
    while lines[#lines] == "" do table.remove(lines) end
  end
end

--- Reads a script. Returns its items (files and commands) and `only`.
function script.read(text, database)
  local state, n = { items = {} }, 0
  for line in (text:gsub("\n$", "") .. "\n"):gmatch "(.-)\n" do
    n = n + 1
    take(state, line, n, database)
  end
  trim(state.items)
  return state.items, state.only
end

-- ---- comparing -------------------------------------------------------------

local WILD = {
  time = "%s*%d[%d.]* m?s", id = "%x%x%x%x%x%x%x%x%x%x%x%x",
  stamp = "%d%d%d%d%d%d%d%dT%d%d%d%d%d%d", n = "%d+", any = ".*",
}

local function pattern_of(line)
  local out = line:gsub("[%^%$%(%)%%%.%[%]%*%+%-%?]", "%%%0")
  out = out:gsub("%s*<(%l+)>", function(name)
    if name == "time" then return WILD.time end
  end)
  return "^" .. out:gsub("<(%l+)>", WILD) .. "$"
end

--- Is it the line that is expected?
function script.matches(expected, line)
  return expected == line or line:find(pattern_of(expected)) ~= nil
end

-- Do the lines from j match what is expected from i on?
local function agree(expected, i, lines, j, matches)
  while expected[i] do
    if expected[i] == "..." then
      for k = j, #lines + 1 do
        if agree(expected, i + 1, lines, k, matches) then return true end
      end
      return false
    end
    if not lines[j] or not matches(expected[i], lines[j]) then return false end
    i, j = i + 1, j + 1
  end
  return j == #lines + 1
end

local function lines_of(text)
  local lines = {}
  for line in (text:gsub("\n$", "") .. (text == "" and "" or "\n")):gmatch "(.-)\n" do
    lines[#lines + 1] = line
  end
  return lines
end

--- Compares lines with a text; "..." stands for any lines.
function script.agrees(expected, text, matches)
  return agree(expected, 1, lines_of(text), 1, matches or script.matches)
end

-- ---- running ---------------------------------------------------------------

local function quote(word)
  return "'" .. word:gsub("'", "'\\''") .. "'"
end

local Place = {}
Place.__index = Place

--- A folder where commands run, for the running spec.
function script.place(url)
  local folder = helper.tmpname()
  assert(os.execute("mkdir " .. folder))
  local build = helper.build
  if build:sub(1, 1) ~= "/" then build = '"$PWD"/' .. build end
  return setmetatable({
    folder = folder,
    start = ("unset DATABASE PERIGEE_TEST_FAULT NO_COLOR; PATH=%s:$PATH; export PATH; "
      .. "URL=%s; DATABASE_URL=$URL; export URL DATABASE_URL; cd %s; ")
      :format(build, quote(url), folder),
  }, Place)
end

--- Writes a file in the folder.
function Place:write(name, text)
  local folder = name:match "^(.*)/[^/]*$"
  if folder then assert(os.execute("mkdir -p " .. self.folder .. "/" .. folder)) end
  local f = assert(io.open(self.folder .. "/" .. name, "wb"))
  f:write(text)
  f:close()
end

--- Runs a command: { out, err, status }.
function Place:run(command)
  return program.sh("( " .. self.start .. command .. "\n)")
end

--- Removes the folder.
function Place:close()
  os.execute("rm -rf " .. self.folder)
end

local function shown(r)
  local out = r.out
  for _, line in ipairs(lines_of(r.err)) do out = out .. "! " .. line .. "\n" end
  return out .. (r.status ~= 0 and "exit " .. r.status .. "\n" or "")
end

--- Checks the result of an item of script.read; raises what was wrong.
function script.check(item, r, where, matches)
  if r.status == item.status and script.agrees(item.out, r.out, matches)
    and script.agrees(item.err, r.err, matches)
  then
    return
  end
  local wanted = table.concat(item.out, "\n") .. (#item.out > 0 and "\n" or "")
  for _, line in ipairs(item.err) do wanted = wanted .. "! " .. line .. "\n" end
  if item.status ~= 0 then wanted = wanted .. "exit " .. item.status .. "\n" end
  error(("%s:%d: $ %s\n---- expected\n%s---- was\n%s----"):format(where, item.line,
    item.command, wanted, shown(r)), 0)
end

--- Runs all items of a script.
function script.run(items, url, where)
  local place = script.place(url)
  local ok, err = pcall(function()
    for _, item in ipairs(items) do
      if item.file then
        place:write(item.file, table.concat(item, "\n") .. "\n")
      else
        script.check(item, place:run(item.command), where)
      end
    end
  end)
  place:close()
  if not ok then error(err, 0) end
end

return script
