-- Cancelling on the wire: a cancel that comes late must not hit the next one.
-- F-27 … F-29.

local perigee = require "perigee"
local faults = require "spec.support.faults"
local helper = require "spec.support.helper"

local fails, seconds, eventually = faults.fails, faults.seconds,
  faults.eventually
local open = faults.open

faults.on_postgres("Cancelling", function()
  it("F-27 a waiter that is cancelled as it gets a connection passes it on",
    function()
      local db = open(faults.postgres, { max_size = 1 })
      db:ping()
      perigee.run(function()
        for _ = 1, helper.soak(1000) do
          local got
          local first = perigee.spawn(function() db:value "select 1" end)
          local second = perigee.spawn(function() db:value "select 2" end)
          local third = perigee.spawn(function() got = db:value "select 3" end)
          first:join()
          second:cancel() -- it has the connection, or is about to get it
          pcall(second.join, second)
          third:join()
          assert.equal(3, got)
        end
      end)
      assert.equal(0, db:stats().in_use)
      assert.equal(1, db:stats().size)
    end)

  it("F-28 a time-out stops the query and hits nothing else", function()
    helper.watchdog(200)
    local db = open(faults.postgres, { max_size = 1, application_name = "f28" })
    local pid = db:value "select pg_backend_pid()"
    for i = 1, helper.soak(1000) do
      fails("timeout", db.query, db, "select pg_sleep(20)", {},
        { timeout = 0.002 + i % 5 / 1000 })
      assert.equal(i, db:value("select ?::int", i))
      assert.equal(0, faults.admin():value [[select count(*)::int
        from pg_stat_activity where application_name = 'f28'
        and state = 'active' and query like '%pg_sleep(20)%']])
    end
    assert.equal(pid, db:value "select pg_backend_pid()")
  end)

  it("F-28 a time-out near the end of the query gives one or the other",
    function()
      local db = open(faults.postgres, { max_size = 1 })
      db:value "select 1 from pg_sleep(0.001)"
      local late = 0
      for i = 1, helper.soak(2000) do
        local ok, v = pcall(db.value, db,
          "select ?::int from pg_sleep(0.005)", { i },
          { timeout = 0.004 + i % 7 / 2000 })
        if ok then
          assert.equal(i, v)
        else
          assert.equal("timeout", v.kind, tostring(v))
          late = late + 1
        end
        assert.equal(-i, db:value("select ?::int", -i))
      end
      assert.is_true(late > 0)
    end)

  it("F-28 a cancelled task stops its query on the server", function()
    local db = open(faults.postgres, { max_size = 2, application_name = "f28c" })
    perigee.run(function()
      local task = perigee.spawn(function() db:query "select pg_sleep(30)" end)
      eventually(function()
        return faults.admin():value [[select count(*)::int
          from pg_stat_activity where application_name = 'f28c'
          and state = 'active']] == 1
      end)
      task:cancel()
      pcall(task.join, task)
      eventually(function()
        return faults.admin():value [[select count(*)::int
          from pg_stat_activity where application_name = 'f28c'
          and state = 'active']] == 0
      end, 3)
    end)
    assert.equal(1, db:value "select 1")
    assert.equal(1, db:stats().size)
  end)

  it("F-28 in a transaction: it is failed, and rolls back", function()
    local db = open(faults.postgres, { max_size = 1 })
    fails("timeout", db.transaction, db, function(tx)
      tx:query("select pg_sleep(20)", {}, { timeout = 0.05 })
    end)
    local err
    fails("timeout", db.transaction, db, function(tx)
      err = fails("timeout", tx.query, tx, "select pg_sleep(20)", {},
        { timeout = 0.05 })
      local aborted = fails("aborted", tx.query, tx, "select 1")
      assert.is_not_nil(aborted.cause)
      error(err, 0)
    end)
    assert.equal(1, db:value "select 1")
  end)

  it("F-29 a cancel that is late does not hit the next borrower", function()
    local proxy = faults.proxy()
    local db = open(proxy.db, { max_size = 1 })
    db:ping()
    proxy:delay(30)
    for i = 1, helper.soak(100) do
      -- It ends about when the cancel, which takes a connection of its own
      -- through the slow proxy, comes to the server.
      pcall(db.query, db, "select pg_sleep(?)", { 0.04 + i % 10 * 0.02 },
        { timeout = 0.06 })
      assert.equal(i, db:value("select ?::int from pg_sleep(0.02)", i))
    end
    assert.equal(0, db:stats().in_use)
  end)

  it("F-29 a cancel that hangs gives the connection up", function()
    local proxy = faults.proxy()
    local db = open(proxy.db, { max_size = 1 })
    local pid = db:value "select pg_backend_pid()"
    proxy:blackhole() -- for the cancel; the connection itself goes on
    local took = seconds(fails, "timeout", db.query, db,
      "select pg_sleep(20)", {}, { timeout = 0.1 })
    assert.is_true(took < helper.patience(0.5), tostring(took))
    eventually(function() return db:stats().size == 0 end, 15)
    proxy:clear()
    assert.are_not.equal(pid, db:value "select pg_backend_pid()")
  end)

  it("F-29 a cancel whose port is closed gives the connection up", function()
    local proxy = faults.proxy()
    local db = open(proxy.db, { max_size = 1, acquire_timeout = 20 })
    local pid = db:value "select pg_backend_pid()"
    proxy:refuse()
    fails("timeout", db.query, db, "select pg_sleep(20)", {}, { timeout = 0.1 })
    eventually(function() return db:stats().size == 0 end, 15)
    proxy:listen()
    assert.are_not.equal(pid, db:value "select pg_backend_pid()")
  end)
end)
