-- What core promises whatever a host does: no wake-up is lost, no task is waited for in
-- vain, and nothing refers to what the collector has taken.
local expect = require "spec.support.expect"
local helper = require "spec.support.helper"
local hosts = require "spec.support.hosts"
local perigee = require "perigee"

local _, missing = hosts.available "user"

local function mock(options)
  return helper.open(expect.mock [[
    on "slow" wait 20ms rows n:int | 1
    on "long" wait 80ms rows n:int | 3
    on "hang" hang
    on any rows n:int | 2
  ]], options)
end

describe("a host's task", function()
  if missing.user then
    pending("is not tested: " .. missing.user)
    return
  end
  local socket = require "socket"
  local inside, ready, watched, turn

  local function step(co)
    local before = inside
    inside = co
    local ok, err = coroutine.resume(co)
    inside = before
    assert(ok, err)
  end

  -- A host without time: who is not woken sleeps for ever.
  local function use(more)
    local host = {
      running = function() return inside end,
      park = function() coroutine.yield() end,
      wake = function(co) ready[#ready + 1] = co end,
      watch = function(fd, fn) watched, turn = fd, fn end,
      spawn = function(fn) ready[#ready + 1] = coroutine.create(fn) end,
    }
    for key, value in pairs(more or {}) do host[key] = value end
    inside, ready, watched = nil, {}, nil
    perigee.host(host)
  end

  local function resume_ready()
    local now = ready
    ready = {}
    for i = 1, #now do
      if coroutine.status(now[i]) == "suspended" then step(now[i]) end
    end
  end

  local function start(fn)
    local co = coroutine.create(fn)
    step(co)
    return co
  end

  local function look()
    local fd = { getfd = function() return watched end, dirty = function() return false end }
    if socket.select({ fd }, nil, 0.02)[1] then turn() end
  end

  -- Runs the loop until done() is true.
  local function loop_until(done)
    local stop = socket.gettime() + helper.patience(2)
    while not done() do
      assert.is_true(socket.gettime() < stop, "nobody was woken")
      resume_ready()
      if not ready[1] and watched then look() end
    end
  end

  after_each(function()
    inside = nil
    perigee.host "auto"
    helper.cleanup()
  end)

  it("is woken though another one has run the hub", function()
    for _, elsewhere in ipairs {
      function(db) db:value "long" end, -- the main coroutine blocks
      function(db) perigee.run(function() db:value "long" end) end,
    } do
      use()
      local db, n = mock()
      start(function() n = db:value "slow" end)
      elsewhere(db)
      loop_until(function() return n end)
    end
  end)

  it("is woken though another one was resumed too early", function()
    use()
    local db, a, b = mock()
    start(function() a = db:value "slow" end)
    local other = start(function() b = db:value "long" end)
    socket.sleep(0.04)
    for _ = 1, 3 do step(other) end
    loop_until(function() return a and b end)
    assert.same({ 1, 3 }, { a, b })
  end)

  it("gets on in a turn in which park does not suspend", function()
    local turning, tries = false, 0
    use { park = function()
      if not turning then return coroutine.yield() end
      tries = tries + 1
      if tries > 10000 then error("the hub is not run", 0) end
    end, wake = function(co)
      turning = true
      step(co)
      turning = false
    end }
    local db, n = mock(), 0
    start(function()
      for _ = 1, 3 do n = n + db:value "slow" end
    end)
    loop_until(function() return n == 3 end)
  end)

  it("keeps its answer from a finaliser that makes a call while it parks", function()
    use { park = function()
      collectgarbage()
      collectgarbage()
      coroutine.yield()
    end }
    local db, n, ok, err = mock()
    local function call() ok, err = pcall(db.value, db, "long") end
    if rawget(_G, "newproxy") then
      getmetatable(rawget(_G, "newproxy")(true)).__gc = call
    else
      setmetatable({}, { __gc = call })
    end
    start(function() n = db:value "slow" end)
    loop_until(function() return n end)
    assert.equal(1, n)
    assert.is_false(ok)
    assert.equal("usage", err.kind)
  end)

  it("does not wait for one that could not be spawned", function()
    local broken = false
    use { spawn = function(fn)
      if broken then error("no spawn today", 0) end
      ready[#ready + 1] = coroutine.create(fn)
    end }
    local result, ok, err
    start(function()
      result = perigee.run(function()
        broken = true
        ok, err = pcall(perigee.spawn, function() end)
        return 7
      end)
    end)
    loop_until(function() return result end)
    assert.same({ 7, false, "no spawn today" }, { result, ok, err })
  end)

  it("tells those who join it that its host had none for it", function()
    local refused
    use { running = function()
      if refused and inside ~= refused then error("no task today", 0) end
      return inside
    end }
    local err
    refused = start(function()
      coroutine.yield()
      local task = perigee.spawn(function() end)
      err = select(2, pcall(task.join, task))
    end)
    step(refused)
    loop_until(function() return err end)
    assert.equal("no task today", err)
  end)

  it("keeps one failure of many in a run", function()
    use()
    local grown, err
    collectgarbage()
    collectgarbage()
    local before = collectgarbage "count"
    start(function()
      err = select(2, pcall(perigee.run, function()
        for i = 1, 2000 do
          perigee.spawn(function() error({ i = i, text = ("x"):rep(1000) .. i }, 0) end)
          if i % 50 == 0 then perigee.sleep(0.0001) end
        end
        perigee.sleep(0.001)
        for _ = 1, 4 do collectgarbage() end
        grown = collectgarbage "count" - before
      end))
    end)
    loop_until(function() return err end)
    assert.equal(1, err.i)
    assert.is_true(grown < 1000, grown)
  end)

  -- The place where it asked was on the stack that is gone.
  it("may be closed while it waits for a connection", function()
    if not coroutine.close then return end
    for _, wait in ipairs {
      function(db) db:connection(function() end) end,
      function(db)
        local next_row, rows = db:each "fast"
        next_row(rows)
      end,
    } do
      use()
      local db = mock { max_size = 1 }
      local done
      start(function()
        db:connection(function() db:value "slow" end)
        done = true
      end)
      local co = start(function() wait(db) end)
      coroutine.close(co)
      for _ = 1, 3 do collectgarbage() end
      loop_until(function() return done end)
      co, ready = nil, {} -- luacheck: ignore co
      expect.eventually(function()
        collectgarbage()
        return expect.busy(db) == 0
      end)
    end
  end)
end)
