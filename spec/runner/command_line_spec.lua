-- The command line is documented: every command and option that --help tells of is in
-- docs/api/command-line.md. And what is for people's eyes on a terminal.

local helper = require "spec.support.helper"
local program = require "spec.support.program"
local script = require "spec.support.script"

describe("the command line", function()
  if program.is_missing() then
    pending "runs the program that is built for Lua 5.4"
    return
  end
  after_each(helper.cleanup)

  local page = program.read_file "docs/api/command-line.md"

  local function help(words)
    words[#words + 1] = "--help"
    local r = program.run(words)
    assert.equal(0, r.status, r.err)
    assert.equal("", r.err)
    return r.out
  end

  -- The names in the first column below titles that match; options: all their forms.
  local function commands_in(text)
    local list, inside = {}, false
    for line in text:gmatch "[^\n]+" do
      if line:find "^%a.*:$" then
        inside = not line:find "^Options" and not line:find "^Arguments"
      elseif inside then
        list[#list + 1] = line:match "^   (%l[%l-]*)%s"
      end
    end
    return list
  end

  local function check_options(text, command)
    local n = 0
    for line in text:gmatch "[^\n]+" do
      for option in (line:match "^   (%-.-)   " or line:match "^   (%-.*)$" or "")
        :gmatch "%-[%a-]+"
      do
        n = n + 1
        assert.truthy(page:find("[`\n,|( %[]" .. option:gsub("%-", "%%-") .. "[`%s]"),
          ("%s %s is not in docs/api/command-line.md"):format(command, option))
      end
    end
    assert.is_true(n > 2)
  end

  local function check(words, name)
    local given = { (table.unpack or unpack)(words) }
    local text = help(given)
    assert.truthy(page:find("`" .. name:gsub("%-", "%%-") .. "[` ]")
      or name == "perigee", name .. " is not in docs/api/command-line.md")
    local inner = commands_in(text)
    if #inner == 0 or name == "perigee" then check_options(text, name) end
    for _, command in ipairs(inner) do
      local more = { (table.unpack or unpack)(words) }
      more[#more + 1] = command
      check(more, name == "perigee" and command or name .. " " .. command)
    end
    return #inner
  end

  it("is all in docs/api/command-line.md", function()
    helper.watchdog(60)
    assert.is_true(check({}, "perigee") > 25)
  end)

  describe("on a terminal", function()
    local place
    before_each(function()
      place = script.place "sqlite:app.db"
      place:write("schema.lua", "table('a', function(t) t.id = bigint { pk = true } end)")
      place:write("migrations/20260101T000000_slow.lua", [[
        return migration {
          id = "aaaaaaaaaaaa", after = {}, message = "slow",
          up = function(m)
            m:run(function() require "perigee".sleep(0.9) end)
          end,
          down = false,
        }]])
    end)
    after_each(function() place:close() end)

    -- What a terminal gets. LC_ALL: script(1) must not touch the bytes.
    local function show(command, env)
      local r = place:run(("env -u LD_PRELOAD TERM=xterm %s script -qefc '%s' out.txt "
        .. ">/dev/null </dev/null; cat out.txt"):format(env or "", command))
      return r.out
    end

    it("is coloured, unless somebody says no", function()
      assert.truthy(show("perigee check"):find("\27[32m+", 1, true))
      assert.truthy(show("perigee upgrade"):find("\27[32mapplied", 1, true))
      for _, env in ipairs { "NO_COLOR=1", "TERM=dumb" } do
        assert.falsy(show("perigee check", env):find("\27[", 1, true))
      end
      assert.falsy(place:run("perigee check").out:find("\27", 1, true))
    end)

    it("shows how long a step takes, and takes that away", function()
      local text = show "perigee upgrade"
      assert.truthy(text:find "\r  1/1 run function 1  [%d.]+ m?s\27%[K", text)
      assert.truthy(text:find "\r\27%[K  1 run ", text)
      assert.falsy(place:run("rm app.db; perigee upgrade 2>&1").out:find("\r", 1, true))
    end)
  end)
end)
