-- Commands as they are typed: spec/runner/scripts/*.txt, each on every database. The
-- format is told in spec/support/script.lua.

local helper = require "spec.support.helper"
local program = require "spec.support.program"
local script = require "spec.support.script"

local FOLDER = "spec/runner/scripts/"

describe("the script", function()
  if program.is_missing() then
    pending "runs the program that is built for Lua 5.4"
    return
  end

  local names = {}
  for name in helper.sh("ls " .. FOLDER):gmatch "([%w_%-]+)%.txt" do
    names[#names + 1] = name
  end

  helper.for_each_db(function(database, open)
    for _, name in ipairs(names) do
      local path = FOLDER .. name .. ".txt"
      local items, only = script.read(program.read_file(path), database)
      if not only or only == database then
        it(name, function()
          assert.truthy(#items > 0, path .. " has no commands")
          local url = database == "sqlite" and "sqlite:app.db" or open.url()
          script.run(items, url, path)
        end)
      end
    end
  end, { "sqlite", "postgres", "mysql" })

  it("harness finds what is wrong", function()
    local function read(text) return (script.read(text, "sqlite")) end
    local function run(text) script.run(read(text), "sqlite:app.db", "x") end
    run "$ echo a; echo b >&2; exit 3\na\n! b\nexit 3"
    run "$ printf 'a\\nb\\nc 12 ms\\n'\n...\nc <time>"
    run "[postgres] $ false\n[sqlite] $ true"
    run "-- sub/a.txt --\none\n\n$ cat sub/a.txt\none"
    for _, text in ipairs { "$ echo a", "$ echo a\nb", "$ true\nexit 1", "$ exit 2",
      "$ echo x >&2", "$ echo a; echo b\n...\na", "$ echo a\na\n! b" }
    do
      assert.has_error(function() run(text) end)
    end
  end)
end)
