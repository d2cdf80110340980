-- luv: callbacks, errors, handles that the user closes, coroutines that are started
-- before the loop.
local expect = require "spec.support.expect"
local helper = require "spec.support.helper"
local hosts = require "spec.support.hosts"
local perigee = require "perigee"

local _, missing = hosts.available "luv"

local SCRIPT = [[
  on "slow" wait 30ms rows n:int | 1
  on "hang" hang
  on any rows n:int | 2
]]

local function mock(options)
  return helper.open(expect.mock(SCRIPT), options)
end

-- Runs text in an interpreter of its own, with perigee, uv and db; its output.
local function script(text)
  local path = helper.tmpname()
  local file = assert(io.open(path, "w"))
  file:write(([[
    package.path, package.cpath = %q, %q
    local perigee, uv = require "perigee", require "luv"
    local db = perigee.open(%q)
  ]]):format(package.path, package.cpath, expect.mock(SCRIPT)), text)
  file:close()
  return helper.sh("timeout 20 env " .. helper.interpreter() .. " " .. path)
end

describe("luv", function()
  if missing.luv then
    pending("is not tested: " .. missing.luv)
    return
  end
  local uv = require "luv"
  after_each(helper.cleanup)

  local function soon(fn)
    local timer = uv.new_timer()
    timer:start(0, 0, function()
      timer:close()
      fn()
    end)
  end

  it("refuses a call in a callback, and names coroutine.wrap", function()
    local db, err, n = mock(), nil, nil
    soon(function()
      err = expect.fails("usage", db.query, db, "fast")
      coroutine.wrap(function() n = db:value "fast" end)()
    end)
    uv.run()
    assert.matches("coroutine.wrap", err.message, 1, true)
    assert.equal(2, n)
  end)

  it("blocks outside of the loop, and waits there when it is the only host", function()
    local db, log = mock(), {}
    local function work()
      log[#log + 1] = "start"
      local n = db:value "slow"
      log[#log + 1] = n
    end
    coroutine.wrap(work)()
    assert.same({ "start", 1 }, log)
    perigee.host "luv"
    finally(function() perigee.host "auto" end)
    log = {}
    coroutine.wrap(work)()
    coroutine.wrap(work)()
    log[#log + 1] = "run"
    uv.run()
    assert.same({ "start", "start", "run", 1, 1 }, log)
  end)

  it("blocks in a coroutine that goes on after the loop", function()
    local db, co, n = mock(), nil, nil
    soon(function()
      co = coroutine.create(function()
        db:query "fast"
        coroutine.yield()
        n = db:value "slow"
      end)
      coroutine.resume(co)
    end)
    uv.run()
    assert.is_nil(n)
    assert(coroutine.resume(co))
    assert.equal(1, n)
  end)

  it("makes its handle anew when the user has closed all", function()
    local db, log = mock(), {}
    soon(function()
      coroutine.wrap(function()
        local n = db:value "slow"
        log[#log + 1] = n
      end)()
      soon(function()
        uv.walk(function(handle)
          if not handle:is_closing() then handle:close() end
        end)
        coroutine.wrap(function()
          local n = db:value "fast"
          log[#log + 1] = n
        end)()
      end)
    end)
    uv.run()
    assert.same({ 2, 1 }, log)
    uv.walk(function(handle)
      if not handle:is_closing() then handle:close() end
    end)
    uv.run()
    soon(function() coroutine.wrap(function() log[3] = db:value "slow" end)() end)
    uv.run()
    assert.equal(1, log[3])
  end)

  it("takes a resume by somebody else for none", function()
    local db, co, n = mock(), nil, nil
    soon(function()
      co = coroutine.create(function() n = db:value "slow" end)
      coroutine.resume(co)
      for _ = 1, 5 do coroutine.resume(co) end
    end)
    uv.run()
    assert.equal(1, n)
    expect.idle(db)
  end)

  it("ends its loop when a coroutine that waits is closed", function()
    if not coroutine.close then return pending "no coroutine.close" end
    local db = mock { max_size = 1 }
    soon(function()
      local co = coroutine.create(function() db:query "slow" end)
      coroutine.resume(co)
      coroutine.close(co)
    end)
    uv.run()
    expect.idle(db)
    assert.equal(2, db:value "fast")
  end)

  it("wakes all others before an error goes to luv", function()
    local out, ok = script [[
      local timer = uv.new_timer()
      timer:start(0, 0, function()
        timer:close()
        for i = 1, 3 do
          coroutine.wrap(function()
            perigee.sleep(0.01)
            if i < 3 then error("boom " .. i) end
            print "third"
          end)()
        end
        uv.sleep(30) -- all three are due at once
      end)
      uv.run()
      print "not reached"
    ]]
    assert.is_false(ok)
    assert.matches("third\n", out, 1, true)
    assert.matches("Uncaught Error: .*boom 1", out)
    assert.is_nil(out:find("not reached", 1, true))
  end)

  it("tells luv of our error objects in words", function()
    local out = script [[
      perigee.host "luv"
      coroutine.wrap(function() perigee.sleep(0) db:query("a", 1, 2, 3) end)()
      uv.run()
    ]]
    assert.matches("Uncaught Error: usage: ", out, 1, true)
  end)

  it("is Neovim's, whose loop always runs", function()
    local out, ok = script [[
      local fast = false
      vim = { uv = uv, in_fast_event = function() return fast end }
      print((perigee.host()))
      print(db:value "blocks")
      coroutine.wrap(function() print((perigee.host()), db:value "slow") end)()
      print "started"
      uv.run()
      fast = true
      print(select(2, pcall(db.query, db, "a")).kind)
    ]]
    assert.is_true(ok, out)
    assert.equal("none\n2\nstarted\nluv\t1\nusage\n", out)
  end)
end)
