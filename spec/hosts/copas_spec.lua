-- copas: which coroutines are its, what is left by those that it removes, versions.
local expect = require "spec.support.expect"
local helper = require "spec.support.helper"
local hosts = require "spec.support.hosts"
local perigee = require "perigee"

local _, missing = hosts.available "copas"

local function mock(options)
  return helper.open(expect.mock [[
    on "slow" wait 30ms rows n:int | 1
    on "hang" hang
    on any rows n:int | 2
  ]], options)
end

describe("copas", function()
  after_each(helper.cleanup)

  it("older than 4 is refused with both versions", function()
    local path = helper.tmpname()
    local file = assert(io.open(path, "w"))
    file:write(([[
      package.path, package.cpath = %q, %q
      package.loaded.copas = { _VERSION = "Copas 1.2.0", loop = function() end }
      local perigee = require "perigee"
      local db = perigee.open(%q)
      print(db:value "blocks")
      coroutine.wrap(function()
        print(select(2, pcall(db.value, db, "a")))
      end)()
    ]]):format(package.path, package.cpath, expect.mock "on any rows n:int | 2"))
    file:close()
    local out, ok = helper.sh("timeout 20 env " .. helper.interpreter() .. " " .. path)
    assert.is_true(ok, out)
    assert.matches("^2\nusage: copas 1%.2%.0 is loaded, .*copas 4", out)
  end)

  if missing.copas then
    pending("is not tested: " .. missing.copas)
    return
  end
  local copas = require "copas"

  it("knows its threads and those that serve a socket", function()
    local socket = require "socket"
    local db, log = mock(), {}
    local server = assert(socket.bind("127.0.0.1", 0))
    local _, port = server:getsockname()
    copas.addserver(server, copas.handler(function(client)
      local n = db:value "slow"
      log[#log + 1] = n
      client:send(db:value "fast" .. "\n")
      copas.removeserver(server)
    end))
    copas.loop(function()
      local client = copas.wrap(socket.tcp())
      client:connect("127.0.0.1", port)
      local line = client:receive "*l"
      log[#log + 1] = line
      client:close()
      coroutine.wrap(function()
        local err = expect.fails("usage", db.query, db, "fast")
        assert.matches("copas.addthread", err.message, 1, true)
      end)()
    end)
    assert.same({ 1, "2" }, log)
  end)

  -- The leader, or one of those that sleep.
  for _, which in ipairs { 1, 2 } do
    it("gets on when it removes a thread that waits (" .. which .. ")", function()
      local db, log, threads = mock { max_size = 4 }, {}, {}
      copas.loop(function()
        for i = 1, 3 do
          threads[i] = copas.addthread(function()
            local n = db:value(i == which and "hang" or "slow")
            log[#log + 1] = n
          end)
        end
        copas.pause(0.01)
        copas.removethread(threads[which])
        threads = {}
      end)
      assert.same({ 1, 1 }, log)
      copas.loop(function() expect.idle(db) end)
    end)
  end

  it("gives the error of a task to its handler", function()
    local seen
    copas.loop(function()
      copas.seterrorhandler(function(err) seen = err end, true)
      perigee.spawn(function()
        perigee.sleep(0.001)
        error("nobody's", 0)
      end)
    end)
    assert.equal("nobody's", seen)
  end)
end)
