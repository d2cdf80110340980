-- What has to be so in every host, each in a loop of its own: how it is found, whose
-- tasks are whose, that its loop ends and is never blocked.
local expect = require "spec.support.expect"
local helper = require "spec.support.helper"
local hosts = require "spec.support.hosts"
local perigee = require "perigee"

local clock = require "perigee.core".now
local unpack = table.unpack or unpack
local names, missing = hosts.available()
local function lacks(name)
  describe("in " .. name, function() pending("is not tested: " .. missing[name]) end)
end
for name in pairs(missing) do lacks(name) end


-- Counts how often a timer of the loop ticks, and the longest time between two.
local function start_ticker(host)
  local ticker = { n = 0, longest = 0 }
  hosts.own[host].spawn(function()
    local last = clock()
    while not ticker.stop do
      hosts.own[host].sleep(0.005)
      local now = clock()
      ticker.n, ticker.longest = ticker.n + 1, math.max(ticker.longest, now - last)
      last = now
    end
  end)
  hosts.own[host].sleep(0.01)
  ticker.n, ticker.longest = 0, 0
  return ticker
end

-- The ticks of f(), which lasts `seconds` at least.
local function ticks_during(host, seconds, f)
  local ticker = start_ticker(host)
  local from = clock()
  f()
  while clock() - from < seconds do hosts.own[host].sleep(0.005) end
  ticker.stop = true
  return ticker
end

local function in_host(host)
  local run = hosts.run[host]

  it("is found, and only while its loop runs", function()
    assert.equal("none", (perigee.host()))
    run(function()
      local name, why = perigee.host()
      assert.equal(host, name)
      assert.equal("string", type(why))
    end)
    assert.equal("none", (perigee.host()))
  end)

  it("ends its loop while the pool is idle, and begins again", function()
    local db = helper.open(expect.mock "on any rows n:int | 1", { max_size = 4 })
    for _ = 1, 3 do
      run(function()
        perigee.gather(function() db:query "a" end, function() db:query "b" end)
      end)
      assert.is_true(db:stats().idle > 0)
      assert.equal(1, db:value "with no loop")
    end
    db:close()
    run(function() perigee.sleep(0.001) end)
  end)

  it("suspends the task alone", function()
    run(function()
      local log = {}
      perigee.spawn(function()
        for i = 1, 3 do
          perigee.sleep(0.02)
          log[#log + 1] = i
        end
      end)
      perigee.sleep(0.01)
      log[#log + 1] = "main"
      expect.eventually(function() return log[4] end)
      assert.same({ "main", 1, 2, 3 }, log)
    end)
  end)

  it("lets coroutines of the loop's own wait at once", function()
    local db = helper.open(expect.mock [[on any wait 50ms rows n:int | 1]], { max_size = 8 })
    local from, sum = clock(), 0
    run(function()
      for _ = 1, 8 do
        hosts.own[host].spawn(function()
          local one = db:value "slow"
          sum = sum + one
        end)
      end
    end)
    assert.equal(8, sum)
    assert.is_true(clock() - from < helper.patience(0.3))
    expect.idle(db)
  end)

  it("hands an error to whom it belongs", function()
    run(function()
      local db = helper.open(expect.mock [[on any error undefined "no such table"]])
      local err = expect.fails("undefined", db.query, db, "x")
      local seen
      perigee.run(function()
        local task = perigee.spawn(function() db:query "x" end)
        seen = expect.fails("undefined", task.join, task)
      end)
      assert.equal(err.message, seen.message)
      expect.fails("undefined", perigee.gather, function() db:query "x" end)
    end)
  end)

  it("takes a wait in perigee.wrap, and in a plain coroutine as the host does", function()
    local db = helper.open(expect.mock "on any rows n:int | 1")
    run(function()
      local sum = 0
      for n in perigee.wrap(function()
        for _ = 1, 3 do coroutine.yield(db:value "n") end
      end) do sum = sum + n end
      assert.equal(3, sum)
      if host == "luv" then return end
      coroutine.wrap(function()
        local err = expect.fails("usage", db.value, db, "n")
        assert.matches("perigee.wrap", err.message, 1, true)
      end)()
    end)
  end)

  it("wakes whom time-outs and cancels end", function()
    local db = helper.open(expect.mock [[
      on "hang" hang
      on any rows n:int | 1
    ]], { max_size = 2 })
    run(function()
      expect.fails("timeout", db.query, db, "hang", {}, { timeout = 0.03 })
      expect.fails("timeout", perigee.timeout, 0.03, db.query, db, "hang")
      local task = perigee.spawn(function() db:query "hang" end)
      perigee.sleep(0.02)
      task:cancel()
      expect.fails("cancelled", task.join, task)
      assert.equal(1, db:value "n")
      expect.idle(db)
    end)
  end)

  it("serves many tasks that start, wait and end", function()
    local db = helper.open(expect.mock "on any rows n:int | 1", { max_size = 4 })
    local n = 0
    run(function()
      for _ = 1, 40 do
        perigee.spawn(function()
          for i = 1, 20 do
            local one = db:value "n"
            n = n + one
            if i % 5 == 0 then perigee.sleep(0) end
          end
        end)
      end
    end)
    assert.equal(800, n)
    expect.idle(db)
  end)

  it("is not blocked by slow calls, nor by many quick ones", function()
    run(function()
      local db = helper.open("sqlite:///" .. helper.tmpname())
      db:script [[
        create table t (id integer primary key, x text);
        with recursive n(i) as (select 1 union all select i + 1 from n where i < 2000)
        insert into t select i, 'some text' from n;
      ]]
      local slow = [[with recursive n(i) as (select 1 union all select i + 1 from n
        where i < 5000000) select count(*) from n]]
      local ticker = ticks_during(host, 0.3, function() db:value(slow) end)
      assert.is_true(ticker.longest < helper.patience(0.15), "slow " .. ticker.longest)
      ticker = ticks_during(host, 0.3, function()
        local till = clock() + 0.3
        while clock() < till do db:value("select x from t where id = ?", 77) end
      end)
      assert.is_true(ticker.n >= 5, "quick: " .. ticker.n)
      assert.is_true(ticker.longest < helper.patience(0.15), "quick " .. ticker.longest)
      db:close()
    end)
  end)
end

for _, host in ipairs(names) do
  describe("in " .. host, function()
    after_each(helper.cleanup)
    in_host(host)
  end)
end

-- ---- with PostgreSQL ---------------------------------------------------------

local function with_postgres(host, open)
  local run = hosts.run[host]

  it("joins a transaction by the task", function()
    run(function()
      local db = open { max_size = 4 }
      db:script "create table t (id int primary key)"
      db:transaction(function(tx)
        tx:execute "insert into t values (1)"
        assert.equal(1, db:value "select count(*) from t")
        perigee.gather(function()
          assert.equal(0, db:value "select count(*) from t")
        end)
        hosts.own[host].sleep(0.01)
        assert.equal(1, db:value "select count(*) from t")
      end)
      db:close()
    end)
  end)

  it("makes each of pg_sleep wait at once", function()
    run(function()
      local db = open { max_size = 10 }
      local from, calls = clock(), {}
      for i = 1, 10 do
        calls[i] = function() return db:value("select ?::int from pg_sleep(0.1)", i) end
      end
      assert.same({ 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 }, { perigee.gather(unpack(calls)) })
      assert.is_true(clock() - from < helper.patience(0.6))
      db:close()
    end)
  end)

  it("breaks out of each, and waits for a connection", function()
    run(function()
      local db = open { max_size = 1 }
      local n = 0
      for row in db:each "select generate_series(1, 100000) as i" do
        n = n + row.i
        if row.i == 10 then break end
      end
      collectgarbage()
      assert.equal(55, n)
      local calls = {}
      for i = 1, 6 do calls[i] = function() return db:value "select 1" end end
      assert.equal(6, #{ perigee.gather(unpack(calls)) })
      db:close()
    end)
  end)

  it("runs on_connect and hooks that wait", function()
    run(function()
      local connected = 0
      local db = open { max_size = 2, on_connect = function(conn)
        conn:query "select pg_sleep(0.02)"
        connected = connected + 1
      end }
      db:script "create table h (id int primary key, n int)"
      local rows = db:table "h"
      assert.equal(1, connected)
      local function hold() -- until there are two
        db:connection(function()
          for _ = 1, helper.patience(1000) do
            if connected < 2 then perigee.sleep(0.01) end
          end
        end)
      end
      perigee.gather(hold, hold)
      assert.equal(2, connected)
      rows:insert { id = 1, n = 1 }
      assert.equal(1, rows:at(1).n)
      db:close()
    end)
  end)

  it("is not blocked by connecting, slow queries or a result of 200,000 rows", function()
    run(function()
      local db
      local ticker = ticks_during(host, 0.1, function()
        db = open { max_size = 2 }
        db:query "select pg_sleep(0.3)"
      end)
      assert.is_true(ticker.n >= 5, "connecting: " .. ticker.n)
      assert.is_true(ticker.longest < helper.patience(0.15), "query " .. ticker.longest)
      collectgarbage()
      ticker = ticks_during(host, 0.1, function()
        assert.equal(200000, #db:query "select i, i * 2 as j from generate_series(1, 200000) i")
      end)
      assert.is_true(ticker.n >= 5, "rows: " .. ticker.n)
      assert.is_true(ticker.longest < helper.patience(0.15), "rows " .. ticker.longest)
      db:close()
    end)
  end)
end

helper.for_each_db(function(_, open)
  for _, host in ipairs(names) do
    describe("in " .. host, function() with_postgres(host, open) end)
  end
end, { "postgres" })
