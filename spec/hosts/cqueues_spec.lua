-- cqueues: several controllers, whose leader does what for whom, and what is left when
-- one goes.
local expect = require "spec.support.expect"
local helper = require "spec.support.helper"
local hosts = require "spec.support.hosts"
local perigee = require "perigee"

local now = require "perigee.core".now
local _, missing = hosts.available "cqueues"

local function mock(options)
  return helper.open(expect.mock [[
    on "slow" wait 30ms rows n:int | 1
    on "hang" hang
    on any rows n:int | 2
  ]], options)
end

-- Steps controllers by turns until they are empty; the first error.
local function step_all(...)
  local list, failed = { ... }, nil
  local till = now() + helper.patience(5)
  local function is_empty()
    for _, cq in ipairs(list) do
      if not cq:empty() then return false end
    end
    return true
  end
  while not is_empty() and now() < till do
    for _, cq in ipairs(list) do
      local ok, err = cq:step(0.005)
      if not ok then failed = failed or err end
    end
  end
  assert.is_true(is_empty(), "a controller never ended")
  return failed
end

describe("cqueues", function()
  if missing.cqueues then
    pending("is not tested: " .. missing.cqueues)
    return
  end
  local cqueues = require "cqueues"
  after_each(helper.cleanup)

  it("serves the tasks of a controller inside of another one", function()
    local db, log = mock { max_size = 4 }, {}
    local outer = cqueues.new()
    outer:wrap(function()
      local inner = cqueues.new()
      for i = 1, 3 do
        inner:wrap(function()
          local n = db:value "slow"
          log[#log + 1] = n + i - i
        end)
      end
      assert(inner:loop())
      local n = db:value "outer"
      log[#log + 1] = n
    end)
    outer:wrap(function()
      for _ = 1, 10 do db:query "slow" end
      log[#log + 1] = "other"
    end)
    assert(outer:loop())
    assert.same({ 1, 1, 1, 2, "other" }, log)
    assert.equal(0, outer:count())
  end)

  it("serves controllers that are stepped by turns, and one after the other", function()
    local db, n = mock { max_size = 2 }, 0
    local function work()
      for _ = 1, 5 do
        local one = db:value "slow"
        n = n + one
      end
    end
    for _ = 1, 2 do
      local a, b = cqueues.new(), cqueues.new()
      for _ = 1, 3 do
        a:wrap(work)
        b:wrap(work)
      end
      assert.is_nil(step_all(a, b))
      a:wrap(work)
      assert(a:loop())
      b:wrap(work)
      assert(b:loop())
    end
    assert.equal(80, n)
    expect.idle(db)
  end)

  it("goes on after an error of another coroutine of the loop", function()
    local db, log = mock(), {}
    local cq = cqueues.new()
    cq:wrap(function()
      local n = db:value "slow"
      log[#log + 1] = n
    end)
    cq:wrap(function()
      local n = db:value "fast" + perigee.run(db.value, db, "slow")
      log[#log + 1] = n
    end)
    cq:wrap(function() error("mine", 0) end)
    local ok, err = cq:loop()
    assert.is_false(ok)
    assert.equal("mine", err)
    assert(cq:loop())
    table.sort(log)
    assert.same({ 1, 3 }, log)
  end)

  it("gives the error of a task to the loop", function()
    local cq = cqueues.new()
    cq:wrap(function()
      perigee.spawn(function()
        perigee.sleep(0.001)
        error("nobody's", 0)
      end)
    end)
    local ok, err = cq:loop()
    assert.is_false(ok)
    assert.equal("nobody's", err)
    assert(cq:loop())
  end)

  -- In a coroutine, whose stack keeps nothing from the collector afterwards.
  local function leave_waiting(db)
    local gone = cqueues.new()
    for _ = 1, 3 do
      gone:wrap(function()
        db:transaction(function(tx) tx:query "hang" end)
      end)
    end
    for _ = 1, 100 do
      if db:stats().in_use < 3 then assert(gone:step(0.01)) end
    end
    assert.equal(3, db:stats().in_use)
    gone:close()
  end

  it("gets connections back from a controller that is closed", function()
    local db = mock { max_size = 3 }
    coroutine.wrap(leave_waiting)(db)
    local cq = cqueues.new()
    cq:wrap(function()
      expect.eventually(function()
        collectgarbage()
        return expect.busy(db) == 0
      end)
      assert.equal(2, db:value "again")
    end)
    assert(cq:loop())
  end)

  it("finds another leader for one that is closed", function()
    if not coroutine.close then return pending "no coroutine.close" end
    local db, log, leader = mock(), {}, nil
    local cq = cqueues.new()
    cq:wrap(function()
      leader = coroutine.running()
      db:query "hang"
    end)
    assert(cq:step(0))
    cq:wrap(function() log[1] = db:value "slow" end)
    assert(cq:step(0))
    coroutine.close(leader)
    leader = nil -- luacheck: ignore
    local till = now() + helper.patience(5)
    while not log[1] and now() < till do cq:step(0.1) end
    assert.equal(1, log[1])
    assert(cq:loop(1))
    expect.idle(db)
  end)

  it("keeps no controller from the collector", function()
    local weak = setmetatable({}, { __mode = "v" })
    local db = mock()
    do
      local cq = cqueues.new()
      weak[1] = cq
      for _ = 1, 3 do cq:wrap(function() db:query "slow" end) end
      assert(cq:loop())
    end
    for _ = 1, 3 do collectgarbage() end
    assert.is_nil(weak[1])
  end)
end)
