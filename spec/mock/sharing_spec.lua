-- Many tasks on few connections of the mock driver, where each answer, loss and
-- cancel comes at a moment of the script's choice.

local helper = require "spec.support.helper"
local expect = require "spec.support.expect"
local perigee = require "perigee"

local RULES = [[
on "select cut" cut
on "select hang" hang
on "select wrong" error database "wrong" sqlstate=22012
on "select later" at prepare wait 1ms
on "insert *" affected 1
on echo echo
]]

local function open(options)
  options.query_timeout = 10
  return helper.open(expect.mock(RULES), options)
end

-- What the pool knows of a statement before it shares.
local function warm(db)
  for _ = 1, 3 do
    db:value("select $1", 1)
    pcall(db.value, db, "select wrong")
    db:execute "select later"
  end
end

local function tasks(n, fn)
  perigee.run(function()
    local list = {}
    for i = 1, n do list[i] = perigee.spawn(fn, i) end
    for i = 1, n do list[i]:join() end
  end)
end

after_each(helper.cleanup)

describe("sharing", function()
  it("gives each its own answer, with so many in flight as are allowed", function()
    local db = open { max_size = 2, pipeline = 4 }
    warm(db)
    local most = 0
    tasks(30, function(i)
      for k = 1, 10 do
        assert.equal(i * 100 + k, db:value("select $1", i * 100 + k))
        most = math.max(most, db:stats().shared)
      end
    end)
    assert.is_true(most > 0 and most <= 6, tostring(most))
    assert.same({ 2, 0, 0 }, { db:stats().size, db:stats().in_use, db:stats().shared })
  end)

  it("is off where the driver says nothing", function()
    local db = open { max_size = 1 }
    warm(db)
    tasks(10, function(i) assert.equal(i, db:value("select $1", i)) end)
    assert.equal(0, db:stats().pipelined)
  end)

  it("bears losses, cancels, errors and transactions at random", function()
    local db = open { max_size = 3, pipeline = 8 }
    warm(db)
    local random = helper.random "mock sharing"
    local acts = {
      function(i) assert.equal(i, db:value("select $1", i)) end,
      function()
        local ok, err = pcall(db.value, db, "select wrong")
        assert(not ok)
        if err.kind ~= "database" then error(err, 0) end
      end,
      function() db:execute "select later" end,
      function() pcall(db.value, db, "select cut") end,
      function()
        local task = perigee.spawn(db.value, db, "select hang")
        perigee.sleep(0.0005)
        task:cancel()
        pcall(task.join, task)
      end,
      function(i)
        local task = perigee.spawn(db.value, db, "select $1", i)
        task:cancel()
        pcall(task.join, task)
      end,
      function(i)
        pcall(db.transaction, db, function(tx)
          tx:execute "insert into t values (1)"
          assert.equal(i, tx:value("select $1", i))
        end)
      end,
    }
    local answered = 0
    tasks(24, function(i)
      for _ = 1, 40 do
        local k = random(20)
        local ok, err = pcall(acts[k] or acts[1], i)
        if ok then
          answered = answered + 1
        else -- its connection was lost by another
          assert.equal("closed", type(err) == "table" and err.kind or err)
        end
      end
    end)
    assert.is_true(answered > 400, tostring(answered))
    perigee.sleep(0.05)
    local s = db:stats()
    assert.is_true(s.pipelined > 0)
    assert.same({ 0, 0, 0 }, { s.in_use, s.shared, s.waiting })
    assert.equal(7, db:value("select $1", 7))
  end)
end)
