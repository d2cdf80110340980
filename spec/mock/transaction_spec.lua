-- Transactions and the pool against scripted faults: every statement of a
-- block fails, hangs or loses its connection at every point.

local helper = require "spec.support.helper"
local expect = require "spec.support.expect"
local perigee = require "perigee"

local fails = expect.fails
local run, spawn, sleep = perigee.run, perigee.spawn, perigee.sleep

local log_path

local function open(script, options, params)
  log_path = helper.tmpname()
  local url = expect.mock(script .. [[

on "select *" rows n:int | 1
on "insert *" affected 1
on "update *" affected 1
]], "log_file=" .. log_path .. (params and "&" .. params or ""))
  options = options or {}
  options.max_size = options.max_size or 1
  options.query_timeout = 10
  return helper.open(url, options)
end

-- What was sent, in lower case: { "begin", "insert …", … }.
local function sent()
  local list = {}
  for line in io.lines(log_path) do
    local sql = line:match "^c%d+ submit (.-) *%[?%]?$"
      or line:match "^c%d+ (reset)"
    if sql then list[#list + 1] = sql:lower() end
  end
  return list
end

local function events(word)
  local n = 0
  for line in io.lines(log_path) do
    if line:find(word, 1, true) then n = n + 1 end
  end
  return n
end

local function insert(tx) tx:execute "insert into t values (1)" end

after_each(helper.cleanup)

describe("a transaction sends", function()
  it("what belongs to it, in order", function()
    local db = open ""
    db:transaction(function(tx)
      insert(tx)
      tx:transaction(function(sp)
        insert(sp)
        pcall(sp.transaction, sp, function() error "x" end)
      end)
    end, { isolation = "serializable" })
    assert.same({
      "begin isolation level serializable", "insert into t values (1)",
      "savepoint perigee_2", "insert into t values (1)", "savepoint perigee_3",
      "rollback to savepoint perigee_3", "release savepoint perigee_3",
      "release savepoint perigee_2", "commit",
    }, sent())
  end)

  it("nothing when its options are wrong", function()
    local db = open ""
    fails("usage", db.transaction, db, insert, { isolation = "bogus" })
    assert.equal(0, db:stats().created)
  end)
end)

describe("a failing", function()
  it("BEGIN is raised and the connection comes back (P-44)", function()
    local db = open [[on "begin*" times 1 error resource "no room" sqlstate=53100]]
    local called
    local err = fails("resource", db.transaction, db, function() called = 1 end)
    assert.equal("53100", err.sqlstate)
    assert.is_nil(called)
    assert.equal(0, expect.busy(db))
    db:transaction(insert)
  end)

  it("BEGIN on a connection leaves that usable", function()
    local db = open [[on "begin*" times 1 error resource "no room"]]
    db:connection(function(conn)
      fails("resource", conn.transaction, conn, insert)
      conn:transaction(insert)
      assert.equal(1, conn:value "select 1")
    end)
  end)

  it("SAVEPOINT is raised, and the outer block goes on", function()
    local db = open [[on "savepoint*" times 1 error resource "no room"
      on "savepoint*" tx open]]
    local ok, err = pcall(db.transaction, db, function(tx)
      fails("resource", tx.transaction, tx, insert)
      -- As in PostgreSQL the transaction is failed now.
      fails("aborted", tx.query, tx, "select 1")
      error("out", 0)
    end)
    assert.same({ false, "out" }, { ok, err })
    assert.equal(0, expect.busy(db))
    db:transaction(function(tx) tx:transaction(insert) end)
  end)

  it("COMMIT rolls back and leaves the pool whole (P-43)", function()
    local db = open [[on "commit" times 1 error foreign_key "x" sqlstate=23503]]
    local err = fails("foreign_key", db.transaction, db, insert)
    assert.equal("23503", err.sqlstate)
    assert.equal(0, expect.busy(db))
    assert.equal(1, db:value "select 1")
    assert.equal(1, db:stats().created)
    db:transaction(insert)
  end)

  it("COMMIT that answers ROLLBACK is an error (F-45)", function()
    local db = open [[on "commit" times 1 commit-rolls-back]]
    local hook
    fails("aborted", db.transaction, db, function(tx)
      tx:on_commit(function() hook = true end)
    end)
    assert.is_nil(hook)
    assert.equal(0, expect.busy(db))
    db:transaction(insert)
  end)

  it("ROLLBACK is attached to the error, not raised (P-54)", function()
    local db = open [[on "rollback" times 1 error database "no rollback"]]
    local err = fails("unique", db.transaction, db, function()
      error(setmetatable({ kind = "unique", message = "mine" }, perigee.error))
    end)
    assert.equal("mine", err.message)
    assert.equal("no rollback", err.rollback_error.message)
    assert.equal(0, expect.busy(db))
    db:transaction(insert)
    assert.equal(2, db:stats().created) -- the first was given up
  end)

  it("ROLLBACK keeps an error that is no object", function()
    local db = open [[on "rollback" times 1 error database "no rollback"]]
    local ok, err = pcall(db.transaction, db, function() error("mine", 0) end)
    assert.same({ false, "mine" }, { ok, err })
    local tx = db:begin()
    tx:rollback()
    assert.equal(0, expect.busy(db))
  end)

  it("explicit rollback is raised, and the connection given up", function()
    local db = open [[on "rollback" times 1 error database "no rollback"]]
    local tx = db:begin()
    fails("database", tx.rollback, tx)
    fails("closed", tx.rollback, tx)
    assert.equal(0, expect.busy(db))
    db:transaction(insert)
  end)

  it("ROLLBACK TO leaves the rest to the outer block", function()
    local db = open [[on "rollback to*" times 1 error database "no rollback"]]
    local ok, err = pcall(db.transaction, db, function(tx)
      local _, inner = pcall(tx.transaction, tx, function() error("x", 0) end)
      assert.equal("x", inner)
      error("outer", 0)
    end)
    assert.same({ false, "outer" }, { ok, err })
    assert.equal(0, expect.busy(db))
    db:transaction(insert)
  end)

  it("on_commit hook is raised; the others have run before", function()
    local db = open ""
    local log = {}
    local ok, err = pcall(db.transaction, db, function(tx)
      tx:on_commit(function() log[1] = "first" end)
      tx:on_commit(function() error("hook", 0) end)
    end)
    assert.same({ false, "hook" }, { ok, err })
    assert.same({ "first" }, log)
    assert.equal("commit", sent()[2])
    assert.equal(0, expect.busy(db))
  end)
end)

describe("a lost connection", function()
  for _, where in ipairs { "begin*", "insert *", "savepoint*", "release*",
                           "rollback to*", "rollback", "commit" } do
    for _, phase in ipairs { "prepare", "execute", "done" } do
      it(("at %s of %s is closed, once"):format(phase, where), function()
        local db = open(('on "%s" times 1 at %s cut'):format(where, phase))
        local fail = where:find "^rollback"
        local function work()
          db:transaction(function(tx)
            insert(tx)
            pcall(tx.transaction, tx, function()
              if where == "rollback to*" then error("undo", 0) end
            end)
            if fail then error("undo", 0) end
          end)
        end
        local ok, err = pcall(work)
        assert.is_false(ok)
        if err ~= "undo" then assert.equal("closed", err.kind) end
        if where == "commit" and phase ~= "prepare" then
          assert.is_not_true(err.retryable) -- who knows what it did
        end
        assert.equal(0, expect.busy(db))
        assert.equal(1, db:value "select 1")
        assert.equal(2, db:stats().created)
        assert.is_false(db:in_transaction())
      end)
    end
  end

  it("while idle is replaced before anybody borrows it", function()
    local db = open [[on "select die" die rows n:int | 1]]
    for _ = 1, 5 do
      assert.equal(1, db:value "select die")
      expect.eventually(function() return db:stats().size == 0 end)
      assert.equal(1, db:value "select 1")
      db:evict()
    end
  end)

  it("between statements of a transaction fails the rest (F-13)", function()
    local db = open [[on "select die" die rows n:int | 1]]
    local err = fails("closed", db.transaction, db, function(tx)
      tx:query "select die"
      sleep(0.02)
      local e = fails("closed", tx.query, tx, "select 1")
      fails("closed", db.query, db, "select 2")
      fails("closed", tx.transaction, tx, insert)
      error(e, 0)
    end)
    assert.equal("57P01", err.sqlstate)
    assert.equal(0, events "select 2")
    assert.equal(1, db:value "select 1")
  end)
end)

describe("cancelling", function()
  local statements = { "begin*", "insert *", "savepoint*", "release*",
    "select 3", "update *", "commit" }

  local function work(db)
    db:transaction(function(tx)
      insert(tx)
      tx:transaction(function(sp) sp:execute "update t set n = 1" end)
      for _ in tx:each "select 3" do sleep(0) end
    end)
  end

  -- A cancel that comes before the hang would leave its rule to what comes later.
  local function await_hang(log)
    expect.eventually(function()
      local file = io.open(log)
      local text = file and file:read "*a" or ""
      if file then file:close() end
      return text:find("^c%d+ hang\n") or text:find "\nc%d+ hang\n"
    end)
  end

  -- Hangs at `where`, is cancelled, and the handle goes on.
  local function cut(where, phase, deaf)
    local db = open(('on "%s" times 1 at %s hang%s rows n:int | 1')
      :format(where, phase, deaf), { acquire_timeout = 20 })
    local job = spawn(work, db)
    await_hang(log_path)
    expect.eventually(function() return job:status() == "waiting" end)
    job:cancel()
    fails("cancelled", job.join, job)
    if deaf == "" then expect.idle(db) end
    assert.equal(1, db:value "select 1")
    -- What never left the queue leaves its rule unused.
    if phase ~= "queued" then work(db) end
    assert.equal(0, expect.busy(db))
    return db
  end

  for _, where in ipairs(statements) do
    for _, phase in ipairs { "queued", "prepare", "execute", "rows", "done" } do
      it(("at %s of %s gives the connection back (F-26)"):format(phase, where),
         function()
        run(cut, where, phase, "")
      end)
    end
  end

  it("what does not listen gives the connection up in time", function()
    run(function()
      local jobs = {}
      for i, where in ipairs(statements) do
        jobs[i] = spawn(cut, where, "execute", " deaf")
      end
      for _, job in ipairs(jobs) do
        assert.equal(2, job:join():stats().created)
      end
    end)
  end)

  it("while the pool connects lets that go on for others", function()
    local db = open "on connect 1 wait 30ms"
    run(function()
      local a, b = spawn(db.query, db, "select 1"), spawn(db.query, db,
                                                          "select 2")
      sleep(0.005)
      a:cancel()
      fails("cancelled", a.join, a)
      b:join()
      assert.equal(1, db:stats().created)
    end)
  end)

  it("while a reset runs (release) concerns nobody", function()
    local db = open [[on reset wait 20ms
      on "select dirty" dirty "spoiled" rows n:int | 1]]
    run(function()
      local a = spawn(db.connection, db, function(conn)
        conn:query "select dirty"
      end)
      a:join() -- release does not wait
      assert.equal(1, db:stats().cleaning)
      local b = spawn(db.query, db, "select 1")
      sleep(0.002)
      b:cancel()
      fails("cancelled", b.join, b)
      assert.equal(1, db:value "select 1")
      assert.equal(1, db:stats().resets)
      assert.equal(1, db:stats().created)
    end)
  end)

  it("at each turn of the loop keeps the pool whole", function()
    local db = open("", { acquire_timeout = 20 }, "turns=2")
    run(function()
      for i = 0, 200 do
        local job = spawn(work, db)
        for _ = 1, i do sleep(0) end
        local alive = job:cancel()
        local ok, err = pcall(job.join, job)
        assert.is_true(ok or err.kind == "cancelled")
        assert.equal(1, db:value "select 1")
        expect.idle(db)
        if not alive then return end
      end
      error "it never came to its end"
    end)
  end)
end)

describe("retries", function()
  for _, kind in ipairs { "serialization", "deadlock", "locked" } do
    it("run it again after " .. kind, function()
      local db = open(('on "insert *" times 2 error %s "again"'):format(kind))
      local n = 0
      local v = db:transaction(function(tx)
        n = n + 1
        insert(tx)
        return "v"
      end, { retries = 5 })
      assert.same({ "v", 3 }, { v, n })
      assert.equal(1, db:stats().created)
    end)
  end

  it("also when COMMIT says so", function()
    local db = open [[on "commit" times 1 error serialization "again"]]
    local n, hooks = 0, 0
    db:transaction(function(tx)
      n = n + 1
      tx:on_commit(function() hooks = hooks + 1 end)
    end, { retries = 1 })
    assert.same({ 2, 1 }, { n, hooks })
  end)

  it("end with the last error, and wait longer each time", function()
    local db = open [[on "insert *" error serialization "again"]]
    local n, from = 0, os.clock()
    fails("serialization", db.transaction, db, function(tx)
      n = n + 1
      insert(tx)
    end, { retries = 3 })
    assert.equal(4, n)
    assert.is_true(os.clock() - from < 5)
    n = 0
    fails("serialization", db.transaction, db, function(tx)
      n = n + 1
      insert(tx)
    end)
    assert.equal(1, n)
  end)

  it("are not for other errors, nor for errors of others' making", function()
    local db = open [[on "insert *" error unique "twice"]]
    for _, f in ipairs {
      insert, function() error "x" end,
      function() error { kind = "serialization", retryable = true } end,
    } do
      local n = 0
      assert.is_false((pcall(db.transaction, db, function(tx)
        n = n + 1
        f(tx)
      end, { retries = 5 })))
      assert.equal(1, n)
    end
  end)

  it("can be cancelled while they wait", function()
    local db = open [[on "insert *" error serialization "again"]]
    run(function()
      local job = spawn(db.transaction, db, insert, { retries = 1000 })
      sleep(0.05)
      job:cancel()
      fails("cancelled", job.join, job)
      expect.idle(db)
    end)
  end)
end)

describe("the pool", function()
  it("resets what calls itself dirty, and closes what cannot be", function()
    local db = open [[on "select dirty" dirty "spoiled" rows n:int | 1
      on reset times 1
      on reset error database "no reset"]]
    for i = 1, 2 do
      db:connection(function(conn) conn:query "select dirty" end)
      assert.equal(1, db:value "select 1")
      assert.equal(i, db:stats().resets)
    end
    assert.equal(2, db:stats().created)
  end)

  it("closes what is not clean within its time", function()
    local db = open([[on "select dirty" dirty "spoiled" rows n:int | 1
      on reset hang deaf]], { acquire_timeout = 20 })
    db:connection(function(conn) conn:query "select dirty" end)
    helper.watchdog(60)
    assert.equal(1, db:value "select 1") -- 5 s later, on another one
    assert.equal(2, db:stats().created)
  end)

  it("tells waiters why it cannot connect (F-01)", function()
    local db = open([[on connect fail connect "refused" sqlstate=08001]],
                    { acquire_timeout = 20 })
    local err = fails("connect", db.query, db, "select 1")
    assert.matches("refused", err.message)
    assert.is_true(db:stats().failures >= 2) -- tried again before
    local short = open([[on connect fail connect "full" sqlstate=53300]],
                       { acquire_timeout = 0.1 })
    err = fails("timeout", short.query, short, "select 1")
    assert.matches("full", err.message)
    assert.equal("53300", err.cause.sqlstate)
  end)

  it("recovers when the server does (I5)", function()
    local script = {}
    for i = 1, 6 do
      script[i] = ('on connect %d fail connect "starting" sqlstate=57P03')
        :format(i)
    end
    local db = open(table.concat(script, "\n"), { acquire_timeout = 20 })
    assert.equal(1, db:value "select 1")
    assert.equal(6, db:stats().failures)
  end)

  it("leaves a primary that became a standby (F-58)", function()
    local db = open([[on "update *" times 1 error permission "ro" ]]
      .. "sqlstate=25006", { max_size = 3 })
    run(function()
      local function hold() db:transaction(function() sleep(0.01) end) end
      perigee.gather(hold, hold, hold)
    end)
    local before = db:stats().created
    fails("permission", db.execute, db, "update t set n = 1")
    assert.equal(0, db:stats().size)
    db:execute "update t set n = 1"
    assert.is_true(db:stats().created > before)
  end)

  it("serves thousands of callers with eight connections", function()
    local db = open("on echo", { max_size = 8, acquire_timeout = 60 })
    local n = helper.soak(10000)
    helper.watchdog(120)
    run(function()
      local right = 0
      for i = 1, n do
        spawn(function()
          for j = 1, 10 do
            if db:value("select ?", i * 10 + j) == i * 10 + j then
              right = right + 1
            end
          end
        end)
      end
      expect.eventually(function() return right == n * 10 end, 60)
    end)
    assert.is_true(db:stats().created <= 8)
    assert.equal(0, expect.busy(db))
  end)
end)
