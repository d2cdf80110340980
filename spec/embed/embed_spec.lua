-- libperigee as its users have it: installed in a folder of its own, found by
-- pkg-config alone. The program of the guide is compiled by the guide's own command,
-- and the examples of examples/embed/ do what they say, with both libraries.

local helper = require "spec.support.helper"
local program = require "spec.support.program"

local function exists(path)
  local f = io.open(path)
  if f then f:close() end
  return f ~= nil
end

local SHARED = helper.build .. "/libperigee.so"

-- Runs lines of a shell; fails unless they end well.
local function sh(lines)
  local r = program.sh("set -e\n" .. lines)
  assert(r.status == 0, ("%s\nexit status %s\n%s%s"):format(lines, r.status, r.out, r.err))
  return r.out
end

describe("libperigee", function()
  if not exists(SHARED) then
    pending("was not built here")
    return
  end
  -- One that was built with AddressSanitizer wants programs that are.
  local sanitized = program.sh("ldd " .. SHARED).out:find("libasan", 1, true)
  local flags = sanitized and "-fsanitize=address,undefined" or ""
  local root, settings

  setup(function()
    root = sh("mktemp -d"):match "%S+"
    -- As a package is made: below a folder that is not where it will be used.
    sh(("DESTDIR=%s/stage cmake --install %s --prefix /opt/perigee >/dev/null\nmv %s/stage/opt %s/")
      :format(root, helper.build, root, root))
    local prefix = root .. "/opt/perigee"
    local lib = sh(("dirname $(find %s -name 'libperigee.so')"):format(prefix)):match "%S+"
    settings = ("export PKG_CONFIG_PATH=%s/pkgconfig LD_LIBRARY_PATH=%s LDFLAGS='%s'\n")
      :format(lib, lib, flags)
      .. ("export CC='cc %s' CPATH= LSAN_OPTIONS=suppressions=$PWD/.ci/lsan.supp"):format(flags)
      .. ":print_suppressions=0\n"
    sh(("cp -r examples/embed %s/examples"):format(root))
  end)

  teardown(function() sh("rm -rf " .. root) end)

  it("builds and runs the program of the guide by the guide's command", function()
    local page = program.read_file "docs/guide/embedding.md"
    local code = page:match "```c file=moons%.c\n(.-)```"
    local command, output = page:match "```console\n%$ (cc [^\n]+)\n%$ %./moons\n(.-)```"
    local file = assert(io.open(root .. "/moons.c", "w"))
    file:write(code)
    file:close()
    assert(command:sub(1, 3) == "cc ")
    local out = sh(settings .. ("cd %s\n$CC -Wall -Wextra -Werror %s\n./moons")
      :format(root, command:sub(4)))
    assert.equal(output, out)
  end)

  it("has a header for C and C++ of any standard", function()
    local text = "#include <perigee.h>\nint main(void) { perigee_options o; "
      .. "perigee_options_init(&o); return perigee_abi() != PERIGEE_ABI; }\n"
    for _, compiler in ipairs {
      "cc -std=c99 -pedantic -x c", "cc -std=c11 -pedantic -x c",
      "c++ -std=c++11 -pedantic -x c++", "c++ -std=c++20 -x c++",
    } do
      local file = program.file(text)
      sh(settings .. ("%s -Wall -Wextra -Wconversion -Werror %s $(pkg-config --cflags perigee) "
        .. "%s -o %s/tiny -x none $(pkg-config --libs perigee)\n%s/tiny")
        :format(compiler, flags, file, root, root))
    end
  end)

  it("shows perigee_* and prg_*, all of the former documented", function()
    local api = program.read_file "docs/api/c.md"
    local header = program.read_file "src/host/perigee.h"
    local shown = sh("nm -D --defined-only " .. SHARED)
    local n = 0
    for name in shown:gmatch "%x+ %a ([%w_]+)" do
      if name:find "^perigee_" then
        n = n + 1
        assert(header:find("%f[%w_]" .. name .. "%("), name .. " is not in perigee.h")
      elseif not sanitized then
        assert(name:find "^prg_", name .. " should not be seen")
      end
    end
    assert(n > 30)
    for name in header:gmatch "%f[%w_](perigee_[%w_]+)%(" do
      assert(api:find("`" .. name, 1, true) or api:find("`" .. name .. "(", 1, true),
        name .. " is not in docs/api/c.md")
    end
  end)

  for _, static in ipairs { false, true } do
    local kind = static and "static" or "shared"

    describe("with the " .. kind .. " library", function()
      local run

      setup(function()
        local make = static and "make STATIC=1" or "make"
        sh(settings .. ("cd %s/examples\nmake clean\n%s CC=\"$CC -Werror\" LDFLAGS=\"$LDFLAGS\"")
          :format(root, make))
        run = settings .. ("cd %s/examples\n"):format(root)
        if static then
          run = run .. "unset LD_LIBRARY_PATH\nexport LUA_CPATH=\"$(dirname $(find "
            .. root .. "/opt -name core.so))/../?.so;;\"\n"
        end
      end)

      it("the game goes on when a script does not end", function()
        assert.equal(program.read_file "examples/embed/expected/game.txt", sh(run .. "./game"))
      end)

      it("the server answers others while one waits", function()
        local out = sh(run .. [[
./server app.lua "sqlite:///$PWD/moons.db" >log 2>errors & server=$!
trap 'kill $server' EXIT
for i in $(seq 100); do [ -s log ] && break; sleep 0.1; done
url=$(head -n 1 log)
ask() { curl -s -m 60 "$@"; }
ask "$url/count/1000"
ask "$url/count/2000000000" >slow & slow=$! # until the server stops
for i in 1 2 3 4 5; do
  ask "$url/moons/Mars" >mars.$i & pids="$pids $!"
done
wait $pids
cat mars.*
ask -X POST "$url/moons/Jupiter/Europa"
ask -X POST "$url/moons/Jupiter/Europa"
ask "$url/loop"
ask "$url/nothing"
ask "$url/moons/Jupiter"
kill -0 $slow && echo "the slow one waits"
trap - EXIT
kill $server
wait $server
wait $slow || cat slow
cat log | sed '1d']])
        assert.equal(program.read_file "examples/embed/expected/server.txt", out)
      end)
    end)
  end
end)
