-- The user's own loop: what perigee.host{ … } takes, and loops that do not do what they
-- say: the work gets done all the same, or the error is a specific one.
local core = require "perigee.core"
local expect = require "spec.support.expect"
local helper = require "spec.support.helper"
local hosts = require "spec.support.hosts"
local perigee = require "perigee"

local _, missing = hosts.available "user"

local function mock(options)
  return helper.open(expect.mock [[
    on "slow" wait 20ms rows n:int | 1
    on "hang" hang
    on any rows n:int | 2
  ]], options)
end

local function nothing() end

local function fields(more)
  local t = { running = nothing, park = nothing, wake = nothing, watch = nothing,
    spawn = nothing }
  for key, value in pairs(more or {}) do t[key] = value end
  return t
end

describe("perigee.host", function()
  after_each(function() perigee.host "auto" end)

  it("refuses what is missing, unknown or of another type", function()
    for _, case in ipairs {
      { {}, "running is missing" },
      { { running = nothing, park = nothing, wake = nothing, spawn = nothing },
        "watch is missing" },
      { { wait = nothing }, "spawn is missing" },
      { { wait = nothing, spawn = nothing, park = nothing }, '"park"' },
      { fields { colour = nothing }, '"colour"' },
      { fields { [1] = nothing }, '"1"' },
      { fields { colour = "red" }, 'unknown field "colour"' },
      { fields { park = true }, "park must be a function, not boolean" },
      { fields { name = 7 }, "name must be a string, not number" },
      { fields { name = "luv" }, '"luv" is taken' },
    } do
      local err = expect.fails("usage", perigee.host, case[1])
      assert.matches(case[2], err.message, 1, true)
    end
    expect.fails("usage", perigee.host, "twisted")
    expect.fails("usage", perigee.host, "auto", { way = "hub" })
    expect.fails("usage", perigee.host, fields(), { way = "hub" })
    assert.equal("none", (perigee.host()))
  end)

  it("refuses a loop that the program has not loaded", function()
    local err = expect.fails("usage", perigee.host, "nginx")
    assert.matches("nginx is not loaded", err.message, 1, true)
  end)

  it("has the name that it is given", function()
    perigee.host(fields { running = function() return coroutine.running() end,
      name = "mine" })
    coroutine.wrap(function() assert.equal("mine", (perigee.host())) end)()
    assert.equal("none", (perigee.host()))
  end)

  it("refuses a task that is not the caller, and the main coroutine", function()
    local db = mock()
    local other
    perigee.host(fields { running = function() return other end })
    other = coroutine.create(nothing)
    coroutine.wrap(function()
      local err = expect.fails("usage", db.query, db, "fast")
      assert.matches("perigee.wrap", err.message, 1, true)
    end)()
    local err = expect.fails("usage", db.query, db, "fast")
    assert.matches("main coroutine", err.message, 1, true)
    other = nil
    assert.equal(2, db:value "blocks")
    perigee.host "auto"
    helper.cleanup()
  end)
end)

describe("core.bell", function()
  it("is readable from ring to hush, and closed by the collector", function()
    local fd
    local function is_there()
      return select(2, helper.sh(("readlink /proc/$PPID/fd/%d | grep eventfd"):format(fd)))
    end
    coroutine.wrap(function()
      local bell = core.bell()
      fd = bell:fd()
      assert.is_true(is_there())
      bell:ring()
      bell:ring()
      bell:hush()
      bell:hush()
    end)()
    collectgarbage()
    collectgarbage()
    assert.is_false(is_there())
  end)
end)

describe("a loop that lies", function()
  if missing.user then
    pending("is not tested: " .. missing.user)
    return
  end
  local loop = require "spec.support.toyloop"
  local leader = require "perigee.host.leader"
  local seconds = leader.SECONDS

  before_each(function() leader.SECONDS = 0.05 end)
  after_each(function()
    leader.SECONDS = seconds
    perigee.host "auto"
    helper.cleanup()
  end)

  -- Runs fn with a host of which `lies` are not as they should be.
  local function run(lies, fn)
    local host = lies.wait and { running = loop.running, spawn = loop.spawn }
      or { running = loop.running, park = loop.park, wake = loop.wake,
        watch = loop.watch, spawn = loop.spawn }
    for key, value in pairs(lies) do host[key] = value end
    loop.reset()
    perigee.host(host)
    local ended
    loop.spawn(function()
      fn()
      ended = true
    end)
    loop.run()
    assert.is_true(ended)
  end

  it("and starts no more tasks: gather leaves none behind", function()
    local started, ran = 0, 0
    local function member() ran = ran + 1 end
    run({ spawn = function(fn)
      started = started + 1
      if started == 3 then error("no more tasks", 0) end
      loop.spawn(fn)
    end }, function()
      local ok, err = pcall(perigee.gather, member, member, member, member)
      assert.is_false(ok)
      assert.equal("no more tasks", err)
      perigee.sleep(0.02)
    end)
    assert.same({ 3, 0 }, { started, ran })
  end)

  local function work()
    local db = mock { max_size = 2 }
    local function three()
      local sum = 0
      for _ = 1, 3 do sum = sum + db:value "slow" end
      return sum
    end
    assert.same({ 3, 3, 3 }, { perigee.gather(three, three, three) })
    expect.fails("timeout", db.query, db, "hang", {}, { timeout = 0.02 })
    expect.idle(db)
  end

  it("and never suspends", function()
    for _, lies in ipairs { { park = nothing }, { wait = nothing } } do
      run(lies, function()
        local db = mock { max_size = 2 }
        for _ = 1, 3 do assert.equal(1, db:value "slow") end
        expect.fails("timeout", db.query, db, "hang", {}, { timeout = 0.02 })
        expect.idle(db)
      end)
    end
  end)

  it("and wakes early, all the time", function()
    run({ park = function() loop.sleep(0.001) end }, work)
    run({ wait = function() loop.sleep(0.001) end }, work)
  end)

  it("and never wakes", function() run({ wake = nothing }, work) end)
  it("and never watches", function() run({ watch = nothing }, work) end)

  it("and only knows the time", function()
    run({ wait = function(_, _, s) loop.sleep(s) end }, work)
  end)

  it("and wakes twice", function()
    run({ wake = function(co)
      loop.wake(co)
      loop.wake(co)
    end }, work)
  end)

  it("and resumes in its wake", function()
    local resume = coroutine.resume
    local inside
    local function step(co)
      local before = inside
      inside = co
      local ok, err = resume(co)
      inside = before
      if not ok then error(err, 0) end
    end
    run({ wake = function(co)
      if co == inside then return end
      if type(co) == "thread" then step(co) end
    end, running = function() return inside or loop.running() end,
    park = function() coroutine.yield() end,
    watch = function(fd)
      loop.spawn(function()
        for _ = 1, 400 do
          loop.wait(fd, "r", 0.01)
          core.turn()
        end
      end)
    end }, function()
      local db = mock()
      assert.equal(1, db:value "slow")
      assert.equal(1, db:value "slow")
    end)
  end)

  it("and raises in park, or in wait", function()
    for _, lies in ipairs {
      { park = function() error("no park today", 0) end },
      { wait = function() error("no park today", 0) end },
    } do
      run(lies, function()
        local db = mock { max_size = 1 }
        local ok, err = pcall(db.query, db, "slow")
        assert.is_false(ok)
        assert.equal("no park today", err)
        perigee.host "auto"
        expect.idle(db)
      end)
    end
  end)

  it("and raises in wake: the others are woken, then it is the loop's", function()
    local victim
    local ok, err = pcall(run, { wake = function(co)
      loop.wake(co)
      if co == victim then
        victim = nil
        error("no wake today", 0)
      end
    end }, function()
      local db = mock()
      perigee.gather(function()
        victim = coroutine.running()
        assert.equal(1, db:value "slow")
      end, function() assert.equal(1, db:value "slow") end)
    end)
    assert.is_false(ok)
    assert.equal("no wake today", err)
  end)

  -- The leader, or one that sleeps. In the full form it is held until its wait is over,
  -- as nobody else may.
  for _, which in ipairs { 1, 2 } do
    it("and drops a task that waits (" .. which .. ")", function()
      for _, form in ipairs { {}, { wait = loop.wait } } do
        run(form, function()
          local db, done, tasks = mock { max_size = 4 }, 0, {}
          for i = 1, 3 do
            loop.spawn(function()
              tasks[i] = coroutine.running()
              if i == which then db:query("hang", {}, { timeout = 0.1 }) end
              db:query "slow"
              done = done + 1
            end)
          end
          loop.sleep(0.01)
          loop.drop(tasks[which])
          tasks[which] = nil
          while done < 2 do loop.sleep(0.005) end
          expect.eventually(function()
            collectgarbage()
            return expect.busy(db) == 0
          end)
        end)
      end
    end)
  end
end)
