-- The server ends a session, or the connection ends in the middle of an answer.
-- F-11 … F-14, F-16, F-17, F-58, P-60.

local perigee = require "perigee"
local fake = require "spec.support.fakepg"
local faults = require "spec.support.faults"
local helper = require "spec.support.helper"

local fails, eventually, open = faults.fails, faults.eventually, faults.open

local function pid_of(x)
  return x:value "select pg_backend_pid()"
end

local function terminate(pid)
  assert.is_true(faults.admin():value(
    "select pg_terminate_backend(?, 5000)", pid))
end

faults.on_postgres("A dying backend", function()
  it("F-11 while idle: noticed before anybody borrows it", function()
    local db = open(faults.postgres, { max_size = 1 })
    for _ = 1, helper.soak(100) do
      local pid = pid_of(db)
      terminate(pid)
      eventually(function() return db:stats().size == 0 end)
      assert.are_not.equal(pid, pid_of(db))
    end
  end)

  it("F-11 while idle, borrowed at once: a waiter never sees it", function()
    local db = open(faults.postgres, { max_size = 2 })
    for _ = 1, helper.soak(100) do
      terminate(pid_of(db))
      perigee.sleep(0.02) -- the server tells it within that time
      assert.equal(1, db:value "select 1")
    end
  end)

  it("F-12 while a query runs: 57P01, and no second try", function()
    faults.ticking(function()
      local db = perigee.open(faults.postgres, { max_size = 1 })
      local pid = pid_of(db)
      db:execute "create table if not exists f12 (n int)"
      perigee.spawn(function()
        perigee.sleep(0.05)
        terminate(pid)
      end)
      local err = fails("closed", db.query, db,
        "insert into f12 select 1 from pg_sleep(30)")
      assert.equal("57P01", err.sqlstate)
      assert.is_false(err.retryable or false)
      assert.equal(0, db:value "select count(*)::int from f12")
      assert.are_not.equal(pid, pid_of(db))
      assert.equal(1, db:stats().size)
      db:close()
    end)
    faults.admin():execute "drop table f12"
  end)

  it("F-12 to each of many queries at once", function()
    local db = open(faults.postgres, { max_size = 4, application_name = "f12" })
    perigee.run(function()
      local fns = {}
      for i = 1, 4 do
        fns[i] = function()
          return fails("closed", db.query, db, "select pg_sleep(30)")
        end
      end
      perigee.spawn(function()
        eventually(function() return db:stats().in_use == 4 end)
        faults.admin():query [[select pg_terminate_backend(pid)
          from pg_stat_activity where application_name = 'f12']]
      end)
      perigee.gather((table.unpack or unpack)(fns))
    end)
    assert.equal(0, db:stats().in_use)
    assert.equal(1, db:value "select 1")
  end)

  it("F-13 inside a transaction: the rest of it runs nowhere", function()
    local db = open(faults.postgres, { max_size = 3 })
    db:execute "create table if not exists f13 (n int)"
    local first, second
    local err = fails("closed", db.transaction, db, function(tx)
      tx:execute "insert into f13 values (1)"
      terminate(pid_of(tx))
      first = fails("closed", tx.execute, tx, "insert into f13 values (2)")
      second = fails("closed", tx.execute, tx, "insert into f13 values (3)")
      fails("closed", db.execute, db, "insert into f13 values (4)") -- joins
      error(first, 0)
    end)
    assert.equal(first, err)
    assert.equal("57P01", first.sqlstate)
    assert.equal("57P01", (second.cause or second).sqlstate)
    assert.equal(0, db:value "select count(*)::int from f13")
    db:execute "drop table f13"
    assert.equal(0, db:stats().in_use)
  end)

  it("F-13 before COMMIT: it is not taken for done", function()
    local db = open(faults.postgres, { max_size = 2 })
    local err = fails("closed", db.transaction, db, function(tx)
      terminate(pid_of(tx))
      perigee.sleep(0.05)
    end)
    assert.equal("57P01", (err.cause or err).sqlstate)
    assert.equal(1, db:value "select 1")
  end)

  it("F-14 killed: the others are ended, and the pool recovers", function()
    local db = open(faults.postgres, { max_size = 3, acquire_timeout = 20 })
    local err
    helper.watchdog(120)
    perigee.run(function()
      local victim = perigee.spawn(function()
        return fails(nil, db.query, db, "select pg_sleep(30)")
      end)
      eventually(function() return db:stats().in_use == 1 end)
      local pid = faults.admin():value [[select pid from pg_stat_activity
        where query like 'select pg_sleep(30)%' limit 1]]
      perigee.spawn(function()
        eventually(function() return db:stats().in_use > 1 end)
        helper.sh("kill -KILL " .. pid)
      end)
      err = fails("closed", db.query, db, "select 1 from pg_sleep(29)")
      victim:join()
    end)
    assert.is_true(err.sqlstate == "57P02" or err.sqlstate == nil, err.sqlstate)
    assert.equal(1, db:value "select 1")
    assert.equal(0, db:stats().in_use)
  end)

  it("F-16 idle_session_timeout: gone before anybody borrows it", function()
    local db = open(faults.with(faults.postgres,
      { options = "-c idle_session_timeout=50" }), { max_size = 1 })
    for _ = 1, 3 do
      assert.equal(1, db:value "select 1")
      eventually(function() return db:stats().size == 0 end)
    end
  end)

  it("F-16 idle_in_transaction_session_timeout: 25P03 to its owner", function()
    local db = open(faults.with(faults.postgres,
      { options = "-c idle_in_transaction_session_timeout=50" }),
      { max_size = 1 })
    local err = fails("closed", db.transaction, db, function(tx)
      tx:value "select 1"
      perigee.sleep(helper.patience(0.3))
      tx:value "select 2"
    end)
    assert.equal("25P03", (err.cause or err).sqlstate)
    assert.equal(1, db:value "select 1")
  end)

  it("F-58 a primary that became a standby is left", function()
    local db = open(faults.postgres, { max_size = 3 })
    local pids = {}
    perigee.run(function()
      local fns = {}
      for i = 1, 3 do
        fns[i] = function()
          pids[i] = db:value "select pg_backend_pid() from pg_sleep(0.05)"
        end
      end
      perigee.gather((table.unpack or unpack)(fns))
    end)
    assert.equal(3, db:stats().size)
    -- What a server says that has been demoted.
    local err = fails("permission", db.execute, db, [[do $$ begin
      raise sqlstate '25006' using message = 'cannot execute INSERT'; end $$]])
    assert.equal("25006", err.sqlstate)
    local after = pid_of(db)
    for _, pid in ipairs(pids) do assert.are_not.equal(pid, after) end
  end)

  it("F-58 a transaction that is read-only by its own wish evicts nothing",
    function()
      local db = open(faults.postgres, { max_size = 1 })
      local pid = pid_of(db)
      fails("permission", db.transaction, db, function(tx)
        tx:execute "create table f58 (n int)"
      end, { readonly = true })
      assert.equal(pid, pid_of(db))
    end)

  it("P-60 the server restarts under five idle connections", function()
    helper.watchdog(120)
    local db = open(faults.postgres, { max_size = 5, acquire_timeout = 20 })
    perigee.run(function()
      local fns = {}
      local full = false
      local function hold() -- until there are five
        db:connection(function()
          while not full do
            perigee.sleep(0.01)
            full = full or db:stats().in_use == 5
          end
        end)
      end
      for i = 1, 5 do fns[i] = hold end
      perigee.gather((table.unpack or unpack)(fns))
    end)
    assert.equal(5, db:stats().idle)
    local text, ok = helper.sh(("%s restart '%s'"):format(
      os.getenv "PERIGEE_TEST_PGCTL", os.getenv "PERIGEE_TEST_PGDIR"))
    assert.is_true(ok, text)
    for i = 1, 20 do assert.equal(i, db:value("select ?", i)) end
    assert.is_true(db:ping())
  end)
end)

-- ---- a connection that ends inside an answer --------------------------------

faults.without_server("The end of a connection", function()
  local bind = fake.message("2", "")
  local columns = { "a", 25 }
  local rows = fake.row "one" .. fake.row "two"
  local error_response = fake.error("22012", "division by zero")

  -- A server whose answer to the statement's execution is `bytes`, then the end.
  local function server(bytes)
    return faults.server(fake.hello .. fake.prepared(columns)
      .. "await S\n" .. fake.send(bytes))
  end

  local full = bind .. fake.description(columns) .. rows
    .. fake.complete "SELECT 2"

  local cases = {
    { "before the first byte", "" },
    { "inside the row description",
      (bind .. fake.description(columns)):sub(1, -4) },
    { "inside a row", (bind .. fake.description(columns) .. rows):sub(1, -2) },
    { "between two rows", bind .. fake.description(columns) .. fake.row "one" },
    { "after all rows", bind .. fake.description(columns) .. rows },
    { "between CommandComplete and ReadyForQuery", full },
    { "inside ReadyForQuery", full .. "Z\0\0" },
    { "inside an error", bind .. error_response:sub(1, -5) },
    { "after an error", bind .. error_response },
  }

  for _, case in ipairs(cases) do
    it("F-17 " .. case[1] .. ": no result, and it is destroyed", function()
      local db = open(server(case[2]).url, { max_size = 1 })
      local took, err = faults.seconds(fails, nil, db.query, db, "select a")
      assert.is_true(took < helper.patience(2))
      if case[1] ~= "after an error" then
        assert.equal("closed", err.kind, tostring(err))
        assert.is_false(err.retryable or false)
      end
      eventually(function() return db:stats().size == 0 end)
      assert.equal(0, db:stats().in_use)
    end)

    it("F-17 " .. case[1] .. ", in a stream: an error after the rows", function()
      local db = open(server(case[2]).url, { max_size = 1 })
      local n = 0
      fails(nil, function()
        for _ in db:each "select a" do n = n + 1 end
      end)
      assert.is_true(n <= 2)
      eventually(function() return db:stats().size == 0 end)
    end)
  end
end)
