-- BEGIN and SAVEPOINT that go with the first statement of their block, against scripted
-- faults.

local helper = require "spec.support.helper"
local expect = require "spec.support.expect"
local perigee = require "perigee"

local fails = expect.fails
local run, spawn, sleep = perigee.run, perigee.spawn, perigee.sleep

local log_path

local function open(script, options)
  log_path = helper.tmpname()
  local url = expect.mock(script .. [[

on "select *" rows n:int | 1
on "insert *" affected 1
on "update *" affected 1
]], "features=prelude&log_file=" .. log_path)
  options = options or {}
  options.max_size = options.max_size or 1
  options.query_timeout = 10
  return helper.open(url, options)
end

local function log()
  local file = io.open(log_path)
  local text = file and file:read "*a" or ""
  if file then file:close() end
  return text
end

-- What was sent, in lower case.
local function sent()
  local list = {}
  for kind, sql in log():gmatch "c%d+ (%l+) ?([^\n]*)" do
    if kind == "submit" or kind == "batch" or kind == "script" then
      list[#list + 1] = sql:lower():gsub(" *%[.*", "")
    end
  end
  return list
end

local function insert(tx) return tx:execute "insert into t values (1)" end

after_each(helper.cleanup)

describe("a block", function()
  it("begins with its first statement", function()
    local db = open ""
    db:transaction(function(tx)
      assert.equal("open", tx:info().tx)
      assert.same({}, sent())
      insert(tx)
      tx:transaction(function(sp)
        assert.same({ "begin isolation level serializable", "insert into t values (1)" },
          sent())
        insert(sp)
      end)
    end, { isolation = "serializable" })
    assert.same({
      "begin isolation level serializable", "insert into t values (1)",
      "savepoint perigee_2", "insert into t values (1)",
      "release savepoint perigee_2", "commit",
    }, sent())
  end)

  it("without statements sends nothing, however it ends", function()
    local db = open ""
    local hooks = 0
    db:transaction(function(tx)
      tx:on_commit(function() hooks = hooks + 1 end)
      tx:transaction(function(sp) sp:transaction(function() end) end)
      pcall(tx.transaction, tx, error)
    end)
    assert.is_false((pcall(db.transaction, db, error)))
    db:begin():commit()
    db:begin():rollback()
    db:connection(function(conn) conn:transaction(function() end) end)
    assert.same({}, sent())
    assert.equal(1, hooks)
    assert.equal(0, expect.busy(db))
  end)

  it("in blocks without statements begins them first", function()
    local db = open ""
    db:transaction(function(tx)
      tx:transaction(function(a) a:transaction(insert) end)
    end)
    assert.same({ "begin", "savepoint perigee_2", "savepoint perigee_3",
      "insert into t values (1)", "release savepoint perigee_3",
      "release savepoint perigee_2", "commit" }, sent())
  end)

  it("begins before scripts and batches", function()
    for _, first in ipairs {
      function(tx) tx:script "select 1; select 2" end,
      function(tx) tx:execute_many("insert into t values (?)", { { 1 }, { 2 } }) end,
      function(tx) tx:pipeline(function(p) p:execute "insert into t values (1)" end) end,
    } do
      local db = open ""
      db:transaction(first)
      local list = sent()
      assert.equal("begin", list[1])
      assert.equal("commit", list[#list])
    end
  end)

  it("left alone goes back without a word", function()
    local db = open("", { on_warning = function() end })
    db:begin()
    expect.idle(db)
    assert.same({}, sent())
    assert.equal(0, db:stats().resets)
  end)

  it("tells the hook of its BEGIN, too", function()
    local told = {}
    local db = open("", { on_query = function(e) told[#told + 1] = e.sql:lower() end })
    db:transaction(insert)
    assert.same({ "begin", "insert into t values (1)", "commit" }, told)
  end)
end)

describe("a failing", function()
  it("BEGIN is the first statement's error, and nothing else has run", function()
    local db = open [[on "begin*" times 2 error resource "no room" sqlstate=53100]]
    db:transaction(function(tx)
      for _ = 1, 2 do
        local err = fails("resource", insert, tx)
        assert.equal("53100", err.sqlstate)
        assert.same("BEGIN", err.sql)
      end
      insert(tx) -- begins again
      insert(tx)
    end)
    assert.same({ "begin", "begin", "begin", "insert into t values (1)",
      "insert into t values (1)", "commit" }, sent())
  end)

  it("BEGIN lets no other task's statement through", function()
    local db = open [[on "begin*" times 1 wait 20ms error resource "no room"]]
    run(function()
      db:transaction(function(tx)
        local a, b = spawn(insert, tx), spawn(insert, tx)
        fails("resource", a.join, a)
        b:join()
      end)
    end)
    assert.same({ "begin", "begin", "insert into t values (1)", "commit" }, sent())
  end)

  it("SAVEPOINT fails the transaction around it", function()
    local db = open [[on "savepoint*" times 1 error resource "no room"]]
    local ok, err = pcall(db.transaction, db, function(tx)
      insert(tx)
      fails("resource", tx.transaction, tx, insert)
      fails("aborted", tx.query, tx, "select 1")
      error("out", 0)
    end)
    assert.same({ false, "out" }, { ok, err })
    assert.equal(0, expect.busy(db))
    db:transaction(insert)
  end)
end)

describe("a first statement that is given up", function()
  it("leaves a transaction that can only be rolled back", function()
    local db = open [[on "begin*" times 1 hang]]
    local err = fails("timeout", db.transaction, db, function(tx)
      local e = fails("timeout", tx.execute, tx, "insert into t values (1)", {},
        { timeout = 0.02 })
      local aborted = fails("aborted", tx.query, tx, "select 1")
      assert.equal("timeout", aborted.cause.kind)
      assert.equal("failed", tx:info().tx)
      error(e, 0)
    end)
    assert.is_nil(err.rollback_error)
    local list = sent()
    assert.equal("rollback", list[#list])
    expect.idle(db)
    assert.equal(1, db:stats().created)
    db:transaction(insert)
  end)

  it("makes COMMIT an error", function()
    local db = open [[on "insert *" times 1 hang]]
    fails("aborted", db.transaction, db, function(tx)
      fails("timeout", tx.execute, tx, "insert into t values (1)", {}, { timeout = 0.02 })
    end)
    expect.idle(db)
    db:transaction(insert)
  end)
end)

describe("cancelling", function()
  local statements = { "begin*", "insert *", "savepoint*", "update *", "commit" }

  local function work(db)
    db:transaction(function(tx)
      insert(tx)
      tx:transaction(function(sp) sp:execute "update t set n = 1" end)
    end)
  end

  local function cut(where, phase)
    local db = open(('on "%s" times 1 at %s hang rows n:int | 1'):format(where, phase))
    local job = spawn(work, db)
    expect.eventually(function() return log():find "c%d+ hang\n" end)
    expect.eventually(function() return job:status() == "waiting" end)
    job:cancel()
    fails("cancelled", job.join, job)
    expect.idle(db)
    assert.equal(1, db:value "select 1")
    work(db)
    assert.equal(0, expect.busy(db))
    assert.equal(1, db:stats().created)
  end

  for _, where in ipairs(statements) do
    for _, phase in ipairs { "prepare", "execute", "rows", "done" } do
      it(("at %s of %s gives the connection back"):format(phase, where), function()
        run(cut, where, phase)
      end)
    end
  end

  it("at each turn of the loop keeps the pool whole", function()
    local db = open("", { acquire_timeout = 20 })
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

describe("a lost connection", function()
  for _, where in ipairs { "begin*", "insert *", "savepoint*" } do
    for _, phase in ipairs { "prepare", "execute", "done" } do
      it(("at %s of %s is closed"):format(phase, where), function()
        local db = open(('on "%s" times 1 at %s cut'):format(where, phase))
        fails("closed", db.transaction, db, function(tx)
          insert(tx)
          tx:transaction(insert)
        end)
        assert.equal(0, expect.busy(db))
        db:transaction(insert)
        assert.equal(2, db:stats().created)
      end)
    end
  end
end)
