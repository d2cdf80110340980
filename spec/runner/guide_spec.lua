-- docs/guide/migrations.md does what it says: its ```console blocks are typed in order in
-- an empty folder, with a file of SQLite, and what it shows is compared. A Lua block with
-- the word file=NAME is written to that file first. Times, ids and time stamps may differ;
-- a line "..." stands for any lines. A status that is not 0 has to be shown by
-- `echo $?`.

local helper = require "spec.support.helper"
local program = require "spec.support.program"
local script = require "spec.support.script"

local PAGE = "docs/guide/migrations.md"

-- { file = name | console = true, line = n, [1…] = lines }
local function blocks_of(text)
  local list, block, n = {}, nil, 0
  for line in text:gmatch "(.-)\n" do
    n = n + 1
    local info = line:match "^```(.*)$"
    if info and block then
      if block.file or block.console then list[#list + 1] = block end
      block = nil
    elseif info then
      block = { line = n, file = info:match "file=(%S+)", console = info == "console" }
    elseif block then
      block[#block + 1] = line
    end
  end
  return list
end

local function commands_of(block)
  local list = {}
  for i, line in ipairs(block) do
    if line:sub(1, 2) == "$ " then
      list[#list + 1] = { command = line:sub(3), out = {}, err = {}, status = 0,
        line = block.line + i }
    elseif list[1] then
      table.insert(list[#list].out, line)
    end
  end
  return list
end

-- What is different each time, as script.matches has it.
local function as_pattern(line)
  return (line:gsub("%s+%d[%d.]* m?s$", "<time>"):gsub("%d%d%d%d%d%d%d%dT%d%d%d%d%d%d", "<stamp>")
    :gsub("%f[%w]%x%x%x%x%x%x%x%x%x%x%x%x%f[%W]", "<id>"))
end

local function matches(expected, line)
  return script.matches(as_pattern(expected), line)
end

-- Runs a command; the status of one before is what `echo $?` shows.
local function step(place, item, last)
  if item.command == "echo $?" then
    assert.same({ tostring(last) }, item.out, PAGE .. ":" .. item.line)
    return 0
  end
  assert.equal(0, last, ("%s:%d: the status before is not shown"):format(PAGE, item.line))
  local r = place:run(item.command .. " 2>&1")
  item.status = r.status
  while item.out[#item.out] == "" do table.remove(item.out) end
  script.check(item, r, PAGE, matches)
  return r.status
end

describe("the guide to migrations", function()
  if program.is_missing() then
    pending "runs the program that is built for Lua 5.4"
    return
  end
  after_each(helper.cleanup)

  it("does what it says", function()
    local place = script.place "sqlite:app.db"
    local last, n = 0, 0
    local ok, err = pcall(function()
      for _, block in ipairs(blocks_of(program.read_file(PAGE))) do
        if block.file then
          place:write(block.file, table.concat(block, "\n") .. "\n")
        else
          for _, item in ipairs(commands_of(block)) do
            last, n = step(place, item, last), n + 1
          end
        end
      end
    end)
    place:close()
    assert(ok, err)
    assert.is_true(n > 20)
  end)
end)
