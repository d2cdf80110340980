-- Pipelines on PostgreSQL: that statements do not wait for each other, lost connections,
-- cancels in the middle, by the codec and by libpq.

local helper = require "spec.support.helper"
local expect = require "spec.support.expect"
local faults = require "spec.support.faults"
local perigee = require "perigee"

local fails = expect.fails

local function sum_of(p, n)
  local replies, sum = {}, 0
  for i = 1, n do replies[i] = p:value("select ?::int + 0", i) end
  for i = 1, n do sum = sum + replies[i]:get() end
  return sum
end

faults.on_postgres("A pipeline", function()
  -- Seconds for 20 statements over a connection of 20 ms each way.
  local function time(options, run)
    local proxy = faults.proxy()
    local db = helper.open(faults.by_wire(proxy.db), { max_size = 1, pipeline = options.pipeline })
    assert.equal(3, db:pipeline(function(p) return sum_of(p, 2) end)) -- known from now on
    proxy:delay(20)
    local least = math.huge -- of several: others may have the processor meanwhile
    for _ = 1, 3 do
      local before = faults.now()
      run(db)
      least = math.min(least, faults.now() - before)
    end
    return least
  end

  local function pipeline(x) assert.equal(210, x:pipeline(function(p) return sum_of(p, 20) end)) end

  it("takes the time of one statement, also in a transaction", function()
    local alone = time({}, pipeline)
    assert.is_true(alone < 0.2, "on the handle: " .. alone)
    local inside = time({}, function(db) db:transaction(pipeline) end) -- and BEGIN, COMMIT
    assert.is_true(inside < 0.28, "in a transaction: " .. inside)
  end)

  it("sends one after the other where statements do not share", function()
    assert.is_true(time({ pipeline = 0 }, pipeline) > 0.6)
  end)
end)

local function specs(open, link)
  local db, other

  before_each(function()
    local url = faults.with(open.url(), { protocol = link })
    db, other = helper.open(url, { max_size = 1 }), helper.open(url, { max_size = 1 })
    db:script "create table t (id integer primary key, n integer)"
  end)

  it("ends all replies of a lost connection", function()
    local replies = {}
    local err = fails("closed", db.pipeline, db, function(p)
      local backend = p:value("select pg_backend_pid()"):get()
      replies[1] = p:value "select pg_sleep(20)"
      for i = 2, 10 do replies[i] = p:value "select 1" end
      other:execute("select pg_terminate_backend(?)", backend)
      for i = 1, 10 do fails("closed", replies[i].get, replies[i]) end
      p:execute "select 1"
    end)
    assert.is_not_nil(err)
    fails("closed", replies[10].get, replies[10])
    assert.equal(1, db:value "select 1")
    assert.equal(0, db:stats().in_use)
  end)

  it("raises on a lost connection, also when nobody asks for a reply", function()
    local calls = 0
    local err = fails("closed", db.pipeline, db, function(p)
      local backend = p:value("select pg_backend_pid()"):get()
      other:execute("select pg_terminate_backend(?)", backend)
      while true do
        calls = calls + 1
        p:execute "select 1"
      end
    end)
    assert.is_not_nil(err.cause)
    assert.is_true(calls < 100000)
    assert.equal(1, db:value "select 1")
  end)

  it("of a transaction whose connection is lost rolls back", function()
    fails("closed", db.transaction, db, function(tx)
      tx:pipeline(function(p)
        for i = 1, 10 do p:execute("insert into t values (?, 0)", i) end
        other:execute("select pg_terminate_backend(?)", tx:info().backend)
        p:execute "select pg_sleep(20)"
      end)
    end)
    assert.equal(0, db:value "select count(*) from t")
  end)

  it("is cancelled at each turn of the loop, and nothing is dirty", function()
    perigee.run(function()
      for turn = 0, 60 do
        local job = perigee.spawn(turn % 2 == 0 and db.pipeline or function()
          db:transaction(function(tx)
            tx:execute("insert into t values (?, 0)", turn)
            tx:pipeline(function(p) sum_of(p, 20) end)
            error("undo", 0)
          end)
        end, db, function(p) sum_of(p, 20) end)
        for _ = 1, turn do perigee.sleep(0) end
        job:cancel()
        local ok, err = pcall(job.join, job)
        assert.is_true(ok or err == "undo" or err.kind == "cancelled")
        assert.equal(turn, db:value("select ?::int", turn))
        expect.idle(db)
      end
    end)
    assert.equal(0, db:value "select count(*) from t")
  end)

  it("lets an error in a transaction be seen by what follows", function()
    fails("aborted", db.transaction, db, function(tx)
      tx:pipeline(function(p)
        local good, bad = p:value "select 1", p:value "select 1/0"
        local rest = {}
        for i = 1, 20 do rest[i] = p:execute("insert into t values (?, 0)", i) end
        assert.equal(1, good:get())
        fails("data", bad.get, bad)
        for i = 1, 20 do
          assert.equal("data", fails("aborted", rest[i].get, rest[i]).cause.kind)
        end
      end)
    end)
    assert.equal(0, db:value "select count(*) from t")
  end)

  it("takes a thousand statements with many and with long rows", function()
    -- Slices of a byte are for messages in pieces, not for many megabytes.
    local big = ("x"):rep(os.getenv "PERIGEE_TEST_PROXY" and 1000 or 100000)
    db:pipeline(function(p)
      local list = {}
      for i = 1, 1000 do
        list[i] = i % 10 == 0 and p:value("select ?::text", big)
          or p:query("select generate_series(1, ?::int) as n", i % 50)
      end
      for i = 1, 1000 do
        local v = list[i]:get()
        assert.equal(i % 10 == 0 and #big or i % 50, #v)
      end
    end)
  end)

  it("on a connection takes what changes the session", function()
    db:connection(function(conn)
      conn:pipeline(function(p)
        p:execute "set application_name = 'piped'"
        assert.equal("piped", p:value("show application_name"):get())
      end)
    end)
    fails("usage", db.pipeline, db, function(p) p:execute "set application_name = 'x'" end)
    assert.not_equal("piped", db:value "show application_name")
  end)

  it("that changes tables lets the handle know", function()
    db:insert("t", { id = 1, n = 1 })
    db:pipeline(function(p) p:execute "alter table t add column s text" end)
    db:insert("t", { id = 2, n = 2, s = "new" })
    assert.equal("new", db.t.t:get(2).s)
  end)
end

helper.for_each_db(function(_, open)
  for _, link in ipairs { "wire", "libpq" } do
    describe("a pipeline by " .. link, function() specs(open, link) end)
  end
end, { "postgres" })
