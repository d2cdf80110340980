-- Cancelling and timing out at every point where a call waits (P-55, F-26).

local helper = require "spec.support.helper"
local expect = require "spec.support.expect"
local perigee = require "perigee"

local fails, eventually = expect.fails, expect.eventually
local run, spawn, sleep = perigee.run, perigee.spawn, perigee.sleep

-- Everything that waits, one after the other.
local function work(db)
  db:transaction(function(tx)
    tx:execute "insert into t (id, n) values (1, 1)"
    tx:transaction(function(sp)
      sp:execute "insert into t (id, n) values (2, 2)"
    end)
    for _ in tx:each "select id from t order by id" do
      tx:execute "update t set n = n + 1"
    end
    tx:value "select count(*) from t"
  end)
end

helper.for_each_db(function(name, open)
  local function prepare()
    local db = open { max_size = 2, acquire_timeout = 20 }
    db:script "create table t (id integer primary key, n integer)"
    return db
  end

  -- All of work() or nothing, and a pool that is whole.
  local function check(db, i)
    assert.equal(i, db:value("select ?", i))
    local n = db:value "select count(*) from t"
    assert.is_true(n == 0 or n == 2, "half of it was done")
    db:execute "delete from t"
    return n == 2
  end

  it("at any turn of the loop undoes the whole", function()
    local db = prepare()
    local done, undone = 0, 0
    helper.watchdog(120)
    run(function()
      local i, early = 0, true
      while early and i < 100000 do
        local job = spawn(work, db)
        for turn = 1, i do
          if job:status() == "done" then break end
          -- Turns that take no time would starve the server of a busy machine.
          sleep(turn > 300 and 1e-4 or 0)
        end
        early = job:cancel()
        local ok, err = pcall(job.join, job)
        if not ok then assert.equal(early and "cancelled" or nil, err.kind, tostring(err)) end
        if check(db, i) then done = done + 1 else undone = undone + 1 end
        i = i + 1 + math.floor(i / 20)
      end
      expect.idle(db)
    end)
    assert.is_true(done >= 1, "it never came to its end")
    assert.is_true(undone >= 1)
  end)

  it("by perigee.timeout at any moment does the same", function()
    local db = prepare()
    local random = helper.random "timeout at any moment"
    run(function()
      for i = 1, helper.soak(500) do
        local ok, err = pcall(perigee.timeout, random(5000) / 1e6, work, db)
        if not ok then assert.equal("timeout", err.kind, tostring(err)) end
        check(db, i)
      end
      expect.idle(db)
    end)
  end)

  it("tells the task its reason, and lets it clean up", function()
    local db = prepare()
    run(function()
      local cleaned
      local job = spawn(function()
        local ok, err = pcall(db.transaction, db, function(tx)
          tx:execute "insert into t values (1, 1)"
          sleep(100)
        end)
        assert.is_false(ok)
        cleaned = db:value "select count(*) from t" -- calls work again
        error(err, 0)
      end)
      eventually(function() return db:stats().in_use == 1 end)
      sleep(0.02)
      job:cancel "reason"
      local _, err = pcall(job.join, job)
      assert.matches("reason", tostring(err))
      assert.equal(0, cleaned)
      assert.equal(0, db:stats().in_use)
    end)
  end)

  it("of a member cancels the rest of a gather in a tx", function()
    local db = prepare()
    run(function()
      pcall(db.transaction, db, function(tx)
        pcall(perigee.gather, function()
          tx:execute "insert into t values (1, 1)"
          error "stop"
        end, function()
          for _ = 1, 100 do tx:query "select 1" end
        end, function()
          db:query "select 1"
          sleep(100)
        end)
        tx:query "select 1" -- goes on
        error "undo"
      end)
      assert.equal(0, db:value "select count(*) from t")
      assert.equal(0, expect.busy(db))
    end)
  end)

  it("of a task that waits at a savepoint's gate", function()
    local db = prepare()
    run(function()
      db:transaction(function(tx)
        tx:transaction(function(sp)
          local other = spawn(tx.query, tx, "select 1")
          local third = spawn(tx.transaction, tx, function() end)
          expect.settle()
          other:cancel()
          third:cancel()
          fails("cancelled", other.join, other)
          fails("cancelled", third.join, third)
          fails("timeout", function()
            spawn(function()
              perigee.timeout(0.01, tx.query, tx, "select 1")
            end):join()
          end)
          sp:execute "insert into t values (1, 1)"
        end)
      end)
      assert.equal(1, db:value "select count(*) from t")
    end)
  end)

  it("never delivers the answer to another caller", function()
    local db = open { max_size = 3, acquire_timeout = 30 }
    local random = helper.random "never delivers"
    local rounds, kinds = helper.soak(10000), {}
    helper.watchdog(200)
    run(function()
      local function worker(w)
        for i = 1, rounds / 10 do
          local token = w * 1000000 + i
          local job = spawn(function()
            local v = db:value("select ? * 7 + 1", token)
            assert.equal(token * 7 + 1, v)
            return v
          end)
          for _ = 1, random(6) - 1 do sleep(0) end
          if random(3) > 1 then job:cancel() end
          local ok, err = pcall(job.join, job)
          local kind = ok and "ok" or type(err) == "table" and err.kind
            or tostring(err)
          kinds[kind] = (kinds[kind] or 0) + 1
        end
      end
      local jobs = {}
      for w = 1, 10 do jobs[w] = spawn(worker, w) end
      for w = 1, 10 do jobs[w]:join() end
      expect.idle(db)
      for i = 1, 20 do assert.equal(i, db:value("select ?", i)) end
    end)
    for kind in pairs(kinds) do
      assert.is_true(kind == "ok" or kind == "cancelled", kind)
    end
    assert.is_true(kinds.ok > 0)
    if name ~= "sqlite memory" then
      assert.is_true((kinds.cancelled or 0) > 0)
    end
  end)
end)

helper.for_each_db(function(_, open)
  local admin, db
  before_each(function()
    admin = open { max_size = 1 }
    db = open { max_size = 2, acquire_timeout = 10,
      application_name = "cancel_spec" }
    db:script [[create table t (id integer primary key, n integer);
      create function slow() returns trigger language plpgsql as
        'begin perform pg_sleep(100); return new; end';
      create constraint trigger c after insert on t
        deferrable initially deferred
        for each row when (new.n = 7) execute function slow()]]
  end)

  local function active()
    return admin:value [[select count(*) from pg_stat_activity
      where application_name = 'cancel_spec' and state = 'active']]
  end

  -- Spawns f, waits until the server works on it, stops it by `stop`.
  local function stopped(f, kind)
    run(function()
      local job = spawn(f)
      eventually(function() return active() == 1 end)
      if kind == "cancelled" then job:cancel() end
      local err = fails(kind, job.join, job)
      assert.is_truthy(err.message)
      eventually(function() return active() == 0 end)
      expect.idle(db)
      for i = 1, 5 do assert.equal(i, db:value("select ?", i)) end
    end)
  end

  local limit = { timeout = helper.patience(0.3) } -- seen at work meanwhile
  local points = {
    query = function(o) db:query("select pg_sleep(?)", { 100 }, o) end,
    execute = function(o)
      db:execute("update t set n = pg_sleep(?)::text::int", { 100 }, o)
      db:execute("do $$ begin perform pg_sleep(100); end $$", {}, o)
    end,
    script = function(o) db:script("select 1; select pg_sleep(100)", o) end,
    ["query in a transaction"] = function(o)
      db:transaction(function(tx)
        tx:query("select pg_sleep(?)", { 100 }, o)
      end)
    end,
    ["query in a savepoint"] = function(o)
      db:transaction(function(tx)
        tx:transaction(function(sp)
          sp:query("select pg_sleep(?)", { 100 }, o)
        end)
      end)
    end,
    each = function(o)
      for _ in db:each("select i, pg_sleep(case when i > 1200 then 100 else 0 "
        .. "end) from generate_series(1, 2000) i", {}, o) do
        assert.is_truthy(true)
      end
    end,
    ["each in a transaction"] = function(o)
      db:transaction(function(tx)
        for _ in tx:each("select i, pg_sleep(case when i > 700 then 100 else "
          .. "0 end) from generate_series(1, 2000) i", {}, o) do
          assert.is_truthy(true)
        end
      end)
    end,
  }

  for point, f in pairs(points) do
    it("in " .. point .. " stops the server", function()
      stopped(function() f(nil) end, "cancelled")
    end)

    it("by time in " .. point .. " stops the server", function()
      stopped(function() f(limit) end, "timeout")
    end)
  end

  it("in COMMIT stops the server and says what is not known", function()
    run(function()
      local job = spawn(db.transaction, db, function(tx)
        tx:execute "insert into t values (1, 7)"
      end)
      eventually(function() return active() == 1 end)
      job:cancel()
      local err = fails("cancelled", job.join, job)
      assert.is_truthy(err)
      eventually(function() return active() == 0 end, 8)
      expect.idle(db)
      assert.equal(0, db:value "select count(*) from t")
    end)
  end)

  it("by statement_timeout of the server is timeout, too", function()
    db:connection(function(conn)
      conn:execute "set statement_timeout = '20ms'"
      local err = fails("timeout", conn.query, conn, "select pg_sleep(100)")
      assert.equal("57014", err.sqlstate)
    end)
  end)

  it("of another session by its administrator is cancelled", function()
    run(function()
      local job = spawn(db.query, db, "select pg_sleep(100)")
      eventually(function() return active() == 1 end)
      admin:query [[select pg_cancel_backend(pid) from pg_stat_activity
        where application_name = 'cancel_spec' and state = 'active']]
      local err = fails("cancelled", job.join, job)
      assert.equal("57014", err.sqlstate)
    end)
  end)

  it("never hits the next query (F-28)", function()
    local one = open { max_size = 1, acquire_timeout = 20 }
    helper.watchdog(200)
    run(function()
      for i = 1, helper.soak(1000) do
        fails("timeout", one.query, one, "select pg_sleep(?)", { 100 },
              { timeout = 0.002 })
        assert.equal(i, one:value("select ?", i))
      end
      expect.idle(one)
    end)
  end)

  it("while connecting loses nothing", function()
    local random = helper.random "while connecting"
    run(function()
      for i = 1, 30 do
        local fresh = open { max_size = 2 }
        local job = spawn(fresh.query, fresh, "select 1")
        sleep(random(3000) / 1e6)
        job:cancel()
        pcall(job.join, job)
        expect.idle(fresh)
        if i % 2 == 0 then
          assert.equal(i, fresh:value("select ?", i))
        end
        fresh:close()
        assert.equal(0, fresh:stats().size)
      end
    end)
  end)
end, { "postgres" })
