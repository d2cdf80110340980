-- What does not belong together says so: a driver of another Perigee, perigee.core in
-- another Lua, in two copies, beside Lua files of another version.

local helper = require "spec.support.helper"
local expect = require "spec.support.expect"
local perigee = require "perigee"
local core = require "perigee.core"

local fails = expect.fails
local is_jit = type(rawget(_G, "jit")) == "table"

local function read(path)
  local f = assert(io.open(path, "rb"))
  local text = f:read "*a"
  f:close()
  return text
end

local function write(path, text)
  local f = assert(io.open(path, "wb"))
  f:write(text)
  f:close()
end

-- Runs `code` in a process of its own with a path for modules in C, this
-- interpreter unless another is named; what it prints and whether it ended well.
local function lua(code, cpath, interpreter)
  local script = helper.tmpname()
  write(script, code)
  local out, ok = helper.sh(("LUA_PATH='%s' LUA_CPATH='%s' LUA_INIT= %s %s"):format(
    "lua/?.lua;lua/?/init.lua;;", cpath .. ";;", interpreter or helper.interpreter(), script))
  os.remove(script)
  return out, ok
end

local build = helper.build .. "/lua/?.so"

describe("a driver module", function()
  after_each(helper.cleanup)

  it("of another driver interface is refused, naming both", function()
    local err = fails("usage", core.driver_version, helper.build .. "/otherabi.so")
    assert.matches("otherabi.so: it was built for driver interface %d+, this Perigee has %d+",
      err.message)
    assert.matches("same version", err.message)
  end)

  it("of another release is refused, naming both", function()
    local err = fails("usage", core.driver_version, helper.build .. "/otherrelease.so")
    assert.matches("it is of Perigee 0.0.9, this is " .. core.version:gsub("%.", "%%."),
      err.message)
  end)

  it("that is none is refused", function()
    local err = fails("usage", core.driver_version, helper.build .. "/lua/perigee/core.so")
    assert.matches("cannot load the driver .*core.so: it is no Perigee driver", err.message)
    err = fails("usage", core.driver_version, "/nowhere/sqlite.so")
    assert.matches("/nowhere/sqlite.so", err.message)
  end)

  it("of another Perigee on package.cpath is never used silently", function()
    local dir = helper.folder {}
    assert(os.execute("mkdir -p " .. dir .. "/perigee/driver"))
    write(dir .. "/perigee/driver/sqlite.so", read(helper.build .. "/otherrelease.so"))
    local old = package.cpath
    package.cpath = dir .. "/?.so;" .. old
    local err = fails("usage", perigee.open, "sqlite::memory:")
    package.cpath = old
    helper.remove(dir)
    assert.matches("perigee/driver/sqlite.so: it is of Perigee 0.0.9", err.message)
  end)
end)

describe("the parts in Lua and in C", function()
  it("are of one version, which is that of the build", function()
    local cmake = read("CMakeLists.txt"):match "project%(perigee VERSION ([%d.]+)"
    assert.equal(cmake, core.version)
    assert.equal(cmake, perigee._VERSION)
  end)

  it("of two versions are refused, naming both", function()
    local out, ok = lua([[
      require("perigee.core").version = "0.0.9"
      require "perigee"]], build)
    assert.is_false(ok)
    assert.matches("the module in Lua is version [%d.]+, perigee.core is version 0.0.9", out)
    assert.matches("core.so", out)
  end)
end)

describe("perigee.core", function()
  -- A second file with the same contents: for the linker another module.
  local dir
  setup(function()
    dir = helper.folder {}
    assert(os.execute("mkdir -p " .. dir .. "/perigee/driver"))
    for _, name in ipairs { "core.so", "driver/sqlite.so" } do
      write(dir .. "/perigee/" .. name, read(helper.build .. "/lua/perigee/" .. name))
    end
  end)
  teardown(function() helper.remove(dir) end)

  it("is refused beside another copy that drivers call", function()
    local out = lua(([[
      local db = require("perigee").open "sqlite::memory:"
      print(db:value "select 1")
      local open = package.loadlib("%s/perigee/core.so", "luaopen_perigee_core")
      print(select(2, pcall(open)))
      print(db:value "select 2")]]):format(dir), build)
    assert.matches("^1\nperigee: two copies of Perigee are in this process, "
      .. "[^\n]*core.so and [^\n]*core.so: [^\n]*\n2\n", out)
  end)

  it("loads no driver once another copy has", function()
    local out = lua(([[
      local other = package.loadlib("%s/perigee/core.so", "luaopen_perigee_core")()
      local db = require("perigee").open "sqlite::memory:"
      print(db:value "select 1")
      local ok, err = pcall(other.driver_version, "%s/perigee/driver/sqlite.so")
      print(ok, err.kind, err.message)
      print(db:value "select 2")]]):format(dir, dir), build)
    assert.matches("^1\nfalse\tusage\tcannot load the driver [^\n]*: two copies of Perigee "
      .. "are in this process[^\n]*\n2\n", out)
  end)

  it("can be opened again from the same file", function()
    local out = lua([[
      local a = require "perigee"
      local first = a.open "sqlite::memory:"
      for name in pairs(package.loaded) do
        if name:find "^perigee" then package.loaded[name] = nil end
      end
      print(first:value "select 1", require("perigee").open "sqlite::memory:":value "select 2")]],
      build)
    assert.matches("^1\t2\n", out)
  end)
end)

-- Needs both builds, of which PERIGEE_BUILD_OTHER is the one for the other Lua.
describe("perigee.core in another Lua", function()
  local other = os.getenv "PERIGEE_BUILD_OTHER" or (is_jit and "build" or "build-luajit")
  local preload = helper.interpreter():match "^LD_PRELOAD=%S+ " or "" -- a sanitizer's
  local other_lua = preload .. (is_jit and "lua5.4" or "luajit")
  local file = io.open(other .. "/lua/perigee/core.so", "rb")
  if not file then
    pending("needs " .. other .. "/lua/perigee/core.so")
    return
  end
  file:close()

  local function check(cpath, interpreter, names)
    local out, ok = lua([[require "perigee"]], cpath, interpreter)
    assert.is_false(ok)
    assert.matches("core.so was built for another Lua than this, " .. names, out)
    assert.matches("package.cpath", out, nil, true)
  end

  it("is refused, naming this Lua", function()
    check(other .. "/lua/?.so", nil, is_jit and "LuaJIT 2" or "Lua 5.4")
  end)

  it("is refused there too", function()
    check(build, other_lua, is_jit and "Lua 5.4" or "LuaJIT 2")
  end)

  it("is refused where both Luas are in the process, before it calls either", function()
    local library = is_jit and "liblua5.4.so.0" or "libluajit-5.1.so.2"
    local out, ok = lua(([[
      assert(package.loadlib("%s", "*"))
      require "perigee"]]):format(library), other .. "/lua/?.so")
    assert.is_false(ok)
    assert.matches("core.so was built for " .. (is_jit and "Lua 5.4" or "LuaJIT")
      .. ", but another Lua %([^\n]*%) has loaded it", out)
  end)
end)
