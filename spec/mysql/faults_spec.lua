-- MySQL: dead peers, killed sessions, deadlocks, cancels that come late.
local perigee = require "perigee"
local helper = require "spec.support.helper"
local check = require "spec.support.check"
local faults = require "spec.support.faults"
local proxies = require "spec.support.proxy"

local seconds, eventually = faults.seconds, faults.eventually
local tcp = os.getenv "PERIGEE_TEST_MYSQL_TCP"

-- A statement that only a cancel ends.
local ENDLESS = [[with recursive c(x) as (select 1 union all select x + 1 from c)
  select count(*) from c]]

helper.for_each_db(function(_, open)
  local proxy

  local function through(options)
    open.url() -- empty
    proxy = proxies.start(tcp:match "@([^/]+)/")
    return helper.open(proxy:url(tcp), options)
  end

  after_each(function()
    if proxy then proxy:stop() end
    proxy = nil
  end)

  describe("a dead peer", function()
    it("in a query: the deadline holds, the loop goes on, closing does not wait", function()
      through {} -- the proxy
      faults.ticking(function()
        proxy:clear()
        local db = perigee.open(proxy:url(tcp), { max_size = 1, connect_timeout = 1 })
        db:ping()
        proxy:half_open()
        local took = seconds(check.raises, "timeout", db.query, db, "select 1", {},
          { timeout = 0.2 })
        assert.is_true(took < helper.patience(0.7), tostring(took))
        eventually(function() return db:stats().size == 0 end, 12)
        assert.equal(1, db:value "select 1")
        db:close()
      end)
    end)

    it("that takes no more: a full socket neither waits nor keeps the place", function()
      local much = ("x"):rep(5 * 2 ^ 20)
      through {} -- the proxy
      faults.ticking(function()
        proxy:clear()
        local db = perigee.open(proxy:url(tcp), { max_size = 1, connect_timeout = 1 })
        db:ping()
        proxy:half_open()
        check.raises("timeout", db.value, db, "select length(?)", { much },
          { timeout = 0.2 })
        local took = seconds(db.close, db, { timeout = 0.2 })
        assert.is_true(took < helper.patience(1.5), tostring(took))
      end)
    end)

    it("that accepts and says nothing: connecting has its deadline", function()
      through { max_size = 1 }
      proxy:blackhole()
      for _, url in ipairs { proxy:url(tcp), proxy:url(tcp) .. "?sslmode=require" } do
        local db = helper.open(url, { max_size = 1, connect_timeout = 0.3 })
        local took = seconds(function()
          local ok, err = pcall(db.ping, db)
          assert.is_false(ok)
          assert.is_true(err.kind == "timeout" or err.kind == "connect", tostring(err))
        end)
        assert.is_true(took < helper.patience(1), tostring(took))
      end
    end)

    it("in the middle of rows is closed, and the next query has a new connection", function()
      local db = through { max_size = 1 }
      db:ping()
      proxy:drop_after(100000, "down")
      local n = 0
      local err = check.raises("closed", function()
        for _ in db:each "select repeat('x', 1000) as t from seq_1_to_10000" do n = n + 1 end
      end)
      assert.is_false(err.retryable)
      assert.is_true(n < 10000)
      proxy:clear()
      assert.equal(1, db:value "select 1")
    end)

    it("that is noticed while idle costs no query", function()
      local db = through { max_size = 1 }
      db:ping()
      proxy:fin()
      eventually(function() return db:stats().size == 0 end, 5)
      assert.equal(1, db:value "select 1")
      proxy:reset()
      perigee.sleep(0.05)
      assert.equal(1, db:value "select 1")
    end)
  end)

  it("everything in pieces of a byte is the same", function()
    local db = through { max_size = 1 }
    proxy:slice(1)
    db:script "create table t (a int primary key, b text); insert into t values (1, 'x'), (2, null)"
    assert.same({ { a = 1, b = "x" }, { a = 2 } }, { (table.unpack or unpack)(
      db:query "select * from t where 1 order by a") })
    local n = 0
    for row in db:each "select seq from seq_1_to_50" do n = n + row.seq end
    assert.equal(1275, n)
    check.refuses(db, "unique", db.execute, db, "insert into t values (1, 'y')")
    db:transaction(function(tx)
      for row in tx:each "select a from t order by a" do
        tx:execute("update t set b = ? where a = ?", "z", row.a)
      end
    end)
    assert.equal(2, db:value "select count(*) from t where b = 'z'")
  end)

  describe("a session that the server ends", function()
    it("while idle says why, and costs no query", function()
      local db, admin = open { max_size = 1 }, open { max_size = 1 }
      local id = db:value "select connection_id()"
      admin:execute("kill " .. id)
      eventually(function() return db:stats().size == 0 end, 5)
      assert.not_equal(id, db:value "select connection_id()")
    end)

    it("in a query is closed, not retryable", function()
      local db, admin = open { max_size = 1 }, open { max_size = 1 }
      local id = db:value "select connection_id()"
      perigee.run(function()
        local task = perigee.spawn(function() return db:value(ENDLESS) end)
        perigee.sleep(0.1)
        admin:execute("kill " .. id)
        local err = check.raises("closed", task.join, task)
        assert.is_false(err.retryable)
      end)
      assert.equal(1, db:value "select 1")
    end)

    it("KILL QUERY by somebody else is cancelled, and the connection stays", function()
      local db, admin = open { max_size = 1 }, open { max_size = 1 }
      local id = db:value "select connection_id()"
      perigee.run(function()
        local task = perigee.spawn(function() return db:value(ENDLESS) end)
        perigee.sleep(0.1)
        admin:execute("kill query " .. id)
        check.raises("cancelled", task.join, task)
      end)
      assert.equal(id, db:value "select connection_id()")
    end)
  end)

  describe("a cancel", function()
    it("keeps the connection, and never hits the next statement", function()
      local db = open { max_size = 1 }
      local id = db:value "select connection_id()"
      for i = 1, 40 do
        pcall(db.value, db, "select sum(seq) from seq_1_to_20000 where seq % ? = 0", { i % 7 + 1 },
          { timeout = 0.0005 * (i % 5 + 1) })
        assert.equal(i, db:value("select ?", i))
      end
      assert.equal(id, db:value "select connection_id()")
    end)

    it("that comes when all rows are on their way: they are dropped without a pause", function()
      local url = tcp:gsub("^mysql", "mariadb") -- whose buffers are larger than a socket's
      local db = helper.open(url, { max_size = 1 })
      local took = 0
      perigee.run(function()
        for _ = 1, 4 do
          local task = perigee.spawn(function()
            check.raises("timeout", db.query, db, "select seq from seq_1_to_5000000", {},
              { timeout = 0.05 })
          end)
          perigee.sleep(0.02)
          local due = faults.now() + 0.2
          repeat until faults.now() > due -- the server goes on
          task:join()
          took = took + seconds(db.value, db, "select 1")
        end
      end)
      assert.is_true(took < helper.patience(1.2), tostring(took))
      assert.equal(1, db:stats().created)
    end)

    it("of a write outside of a transaction undoes it", function()
      local db = open { max_size = 1 }
      db:script "create table t (a int)"
      check.raises("timeout", db.execute, db,
        "insert into t select seq from seq_1_to_200000000", {}, { timeout = 0.2 })
      assert.equal(0, db:value "select count(*) from t")
    end)

    it("leaves a transaction open", function()
      local db = open { max_size = 1 }
      db:script "create table t (a int)"
      db:transaction(function(tx)
        tx:execute "insert into t values (1)"
        check.raises("timeout", tx.value, tx, ENDLESS, {}, { timeout = 0.1 })
        tx:execute "insert into t values (2)"
      end)
      assert.equal(2, db:value "select count(*) from t")
    end)
  end)

  describe("a deadlock", function()
    it("is retryable, and its transaction is over: nothing after it runs alone", function()
      local db = open { max_size = 2 }
      db:script "create table t (id int primary key, n int); insert into t values (1, 0), (2, 0)"
      local kinds, after = {}, {}
      perigee.run(function()
        local ready = 0
        local function job(first, second)
          local tx = db:begin()
          tx:execute("update t set n = n + 1 where id = ?", first)
          ready = ready + 1
          eventually(function() return ready == 2 end)
          local ok, err = pcall(tx.execute, tx, "update t set n = n + 1 where id = ?", second)
          if ok then return tx:commit() end
          kinds[#kinds + 1] = err.kind
          assert.is_true(err.retryable)
          local refused, why = pcall(tx.execute, tx, "insert into t values (3, 0)")
          after[#after + 1] = not refused and why.kind
          assert.equal("deadlock", why.cause and why.cause.kind, tostring(why))
          local committed = pcall(tx.commit, tx)
          assert.is_false(committed)
        end
        perigee.gather(function() job(1, 2) end, function() job(2, 1) end)
      end)
      assert.same({ "deadlock" }, kinds)
      assert.same({ "aborted" }, after)
      assert.same({ 2, 2 }, { db:value "select count(*) from t",
        tonumber(db:value "select sum(n) from t") })
      check.usable(db)
    end)

    -- innodb_snapshot_isolation: MariaDB 10.6 on request, 11.6 and later by default.
    it("has its like where a row is not what was read any more", function()
      local db = open { max_size = 2 }
      db:script "create table t (id int primary key, n int); insert into t values (1, 0), (2, 0)"
      local sql = "update t set n = n + 1 where id <= ?"
      for _, many in ipairs { false, true } do
        local tx = db:begin { isolation = "repeatable_read" }
        tx:execute "set innodb_snapshot_isolation = on"
        tx:value "select count(*) from t"
        db:execute "update t set n = n + 1 where id = 1"
        tx:execute "update t set n = 100 where id = 2"
        if many then
          local sets = {}
          for i = 1, 20 do sets[i] = { 1 } end
          check.raises("serialization", tx.execute_many, tx, sql, sets)
        else
          check.raises("serialization", tx.execute, tx, sql, 1)
        end
        check.raises("aborted", tx.execute, tx, "insert into t values (3, 0)")
        tx:rollback()
      end
      assert.same({ { id = 1, n = 2 }, { id = 2, n = 0 } }, db:query "select * from t order by id")
      check.usable(db)
    end)

    it("is tried again by transaction with retries", function()
      local db = open { max_size = 2 }
      db:script "create table t (id int primary key, n int); insert into t values (1, 0), (2, 0)"
      perigee.run(function()
        local ready = 0
        local function job(first, second)
          db:transaction(function(tx)
            tx:execute("update t set n = n + 1 where id = ?", first)
            ready = ready + 1
            eventually(function() return ready >= 2 end)
            tx:execute("update t set n = n + 1 where id = ?", second)
          end, { retries = 3 })
        end
        perigee.gather(function() job(1, 2) end, function() job(2, 1) end)
      end)
      assert.equal(4, tonumber(db:value "select sum(n) from t"))
    end)
  end)

  it("a batch that fails in the middle is undone, and names the set", function()
    local db = open { max_size = 1 }
    db:script "create table t (id int primary key)"
    local err = check.refuses(db, "unique", db.execute_many, db, "insert into t values (?)",
      { { 1 }, { 2 }, { 1 } })
    assert.matches("set 3", err.message)
    assert.equal(0, db:value "select count(*) from t")
  end)
end, { "mysql" })
