-- MySQL: networks, servers and sessions that fail: what spec/faults is for PostgreSQL.
local perigee = require "perigee"
local helper = require "spec.support.helper"
local check = require "spec.support.check"
local faults = require "spec.support.faults"
local proxies = require "spec.support.proxy"

local seconds, eventually = faults.seconds, faults.eventually
local raises = check.raises
local tcp = os.getenv "PERIGEE_TEST_MYSQL_TCP"
local ca = os.getenv "PERIGEE_TEST_MYCA"

local ENDLESS = [[with recursive c(x) as (select 1 union all select x + 1 from c)
  select count(*) from c]]

helper.for_each_db(function(_, open)
  local running = {}

  local function start()
    local proxy = proxies.start(tcp:match "@([^/]+)/")
    running[#running + 1] = proxy
    proxy.db = proxy:url(tcp)
    return proxy
  end

  local function id_of(x)
    return x:value "select connection_id()"
  end

  -- Behind the back of the one under test.
  local function admin()
    return open { max_size = 1 }
  end

  -- Runs fn beside n tasks that each hold a connection.
  local function all_at_once(db, n, fn)
    local fns, ready = {}, 0
    for i = 1, n do
      fns[i] = function()
        db:connection(function(conn)
          conn:ping()
          ready = ready + 1
          eventually(function() return ready == n end)
          fn(conn, i)
        end)
      end
    end
    perigee.run(function() perigee.gather((table.unpack or unpack)(fns)) end)
  end

  after_each(function()
    for _, proxy in ipairs(running) do proxy:stop() end
    running = {}
  end)

  describe("connecting", function()
    it("to a closed port fails soon, and succeeds when it opens (F-01)", function()
      local proxy = start()
      proxy:refuse()
      local db = helper.open(proxy.db, { max_size = 1 })
      local took = seconds(raises, "connect", db.ping, db)
      assert.is_true(took < helper.patience(2), tostring(took))
      perigee.run(function()
        perigee.spawn(function()
          perigee.sleep(0.1)
          proxy:listen()
        end)
        assert.equal(1, db:value "select 1")
      end)
    end)

    it("waits for a deaf server no longer than it may, nor does closing (F-02)", function()
      local proxy = start()
      proxy:blackhole()
      local db = helper.open(proxy.db, { connect_timeout = 10, acquire_timeout = 0.2 })
      local took = seconds(raises, "timeout", db.ping, db)
      assert.is_true(took >= 0.19 and took < helper.patience(1), tostring(took))
      assert.is_true(seconds(db.close, db) < helper.patience(0.5))
    end)

    it("takes the next host when the first is deaf (F-06)", function()
      local proxy = start()
      proxy:blackhole()
      local url = tcp:gsub("@", "@" .. proxy.address .. ",")
      local took = seconds(faults.ticking, function()
        local db = perigee.open(url, { max_size = 1, connect_timeout = 1 })
        assert.equal(1, db:value "select 1")
        db:close()
      end)
      assert.is_true(took < helper.patience(5), tostring(took))
    end)

    it("waits while the server has too many connections (F-04)", function()
      local other = admin()
      other:execute "create or replace user few@'%' identified by 'few' with max_user_connections 1"
      local url = tcp:gsub("//perigee:perigee@", "//few:few@"):gsub("/perigee$", "/")
      local first = helper.open(url, { max_size = 1 })
      first:ping()
      local second = helper.open(url, { max_size = 1, acquire_timeout = 0.3 })
      local err = raises("timeout", second.ping, second)
      assert.equal(1226, err.cause and err.cause.code)
      local third = helper.open(url, { max_size = 1, acquire_timeout = 10 })
      perigee.run(function()
        perigee.spawn(function()
          perigee.sleep(0.2)
          first:close()
        end)
        assert.equal(1, third:value "select 1")
      end)
      other:execute "drop user few@'%'"
    end)

    it("survives what is cut in the middle of the handshake (F-03, F-07)", function()
      for _, bytes in ipairs { 1, 30, 100, 600 } do
        for _, params in ipairs { "", ca and "?sslmode=require" or "" } do
          local proxy = start()
          proxy:drop_after(bytes, "down")
          local db = helper.open(proxy.db .. params, { max_size = 1 })
          assert.equal(1, db:value "select 1", bytes .. params) -- the next attempt
          db:close()
          proxy:stop()
        end
      end
    end)
  end)

  it("TLS in pieces of three bytes is the same (F-07)", function()
    if not ca then pending "needs openssl" return end
    local proxy = start()
    proxy:slice(3)
    local db = helper.open(proxy.db:gsub("^mysql", "mariadb") .. "?sslmode=require",
      { max_size = 1 })
    local n = 0
    for row in db:each "select repeat('x', 20000) as t from seq_1_to_3" do n = n + #row.t end
    assert.equal(60000, n)
    db:transaction(function(tx)
      for row in tx:each "select seq from seq_1_to_1200" do
        if row.seq % 500 == 0 then assert.equal(row.seq, tx:value("select ?", row.seq)) end
      end
    end)
    raises("timeout", db.query, db, ENDLESS, {}, { timeout = 0.05 })
    assert.equal(1, db:value "select 1")
  end)

  it("a TLS connection that is cut off in a call harms no other one", function()
    if not ca then pending "needs openssl" return end
    local url = tcp:gsub("^mysql", "mariadb") .. "?sslmode=require"
    local other = helper.open(url, { max_size = 1 })
    local id = id_of(other)
    for _ = 1, 3 do
      local db = perigee.open(url, { max_size = 1 })
      db:ping()
      perigee.run(function()
        local task = perigee.spawn(function() raises("closed", db.query, db, ENDLESS) end)
        perigee.sleep(0.05)
        db:close { timeout = 0.01 }
        task:join()
        assert.equal(id, other:value "select connection_id() from (select sleep(0.01)) s")
      end)
    end
  end)

  describe("a network that stalls", function()
    it("with many in flight: each keeps its own deadline (F-18)", function()
      local proxy = start()
      local db = helper.open(proxy.db, { max_size = 8 })
      all_at_once(db, 8, function(conn, i)
        if i == 1 then proxy:stall() end
        local took = seconds(raises, "timeout", conn.query, conn, ENDLESS, {},
          { timeout = 0.1 * i })
        assert.is_true(took < helper.patience(0.1 * i + 0.5), tostring(took))
      end)
      proxy:clear()
      assert.equal(1, db:value "select 1")
    end)

    it("while idle: a check or the deadline tells (F-19)", function()
      local proxy = start()
      local db = helper.open(proxy.db, { max_size = 1, check_after = 0.05 })
      db:ping()
      perigee.sleep(0.1)
      proxy:half_open()
      local took, one = seconds(db.value, db, "select 1")
      assert.equal(1, one)
      assert.is_true(took < helper.patience(5), tostring(took))
    end)

    it("in a reset, in COMMIT, and for the cancel: each place comes back (F-20, F-29)", function()
      local cases = {}

      function cases.reset()
        local proxy = start()
        local db = helper.open(proxy.db, { max_size = 1, reset = "always" })
        db:connection(function(conn)
          conn:execute "set @a = 1"
          proxy:half_open()
        end)
        assert.equal(1, db:value "select 1")
      end

      function cases.commit()
        local proxy = start()
        local db = helper.open(proxy.db, { max_size = 1, query_timeout = 0.3 })
        raises("timeout", db.transaction, db, function(tx)
          tx:query "select 1"
          proxy:half_open()
        end)
        proxy:clear()
        eventually(function() return db:stats().in_use == 0 end, 12)
        assert.equal(1, db:value "select 1")
      end

      function cases.cancel()
        local proxy = start()
        local db = helper.open(proxy.db, { max_size = 1, acquire_timeout = 20 })
        local id = id_of(db)
        proxy:blackhole() -- the connection itself goes on
        local took = seconds(raises, "timeout", db.query, db, ENDLESS, {}, { timeout = 0.1 })
        assert.is_true(took < helper.patience(0.6), tostring(took))
        eventually(function() return db:stats().size == 0 end, 15)
        proxy:clear()
        assert.are_not.equal(id, id_of(db))
        admin():execute("kill " .. id)
      end

      perigee.run(function()
        assert.is_true(seconds(perigee.gather, cases.reset, cases.commit, cases.cancel)
          < helper.patience(14))
      end)
    end)

    it("with a query that is never answered: closing is bounded (F-20)", function()
      local proxy = start()
      local db = helper.open(proxy.db, { max_size = 2 })
      perigee.run(function()
        local task = perigee.spawn(function()
          return raises("closed", db.query, db, ENDLESS)
        end)
        eventually(function() return db:stats().in_use == 1 end)
        perigee.sleep(0.05)
        proxy:half_open()
        local took = seconds(db.close, db, { timeout = 0.2 })
        assert.is_true(took < helper.patience(1.5), tostring(took))
        task:join()
      end)
    end)
  end)

  it("a byte of the server's that is another one harms only what it is part of (F-62)", function()
    local proxy, random = start(), helper.random "corrupt"
    local url = proxy.db:gsub("^mysql", "mariadb")
    for _ = 1, 60 do
      local at = random(400) - 1
      proxy:clear()
      proxy:corrupt(at)
      local db = helper.open(url, { max_size = 1, connect_timeout = 0.3, acquire_timeout = 0.4 })
      local took, ok, err = seconds(pcall, db.query, db, [[select seq, concat('x', seq) as t,
        1.5 as d, now() as n, null as z from seq_1_to_5 where seq > ?]], { 0 }, { timeout = 0.3 })
      assert.is_true(ok or getmetatable(err) == perigee.error, tostring(err))
      assert.is_true(took < helper.patience(1), ("byte %d: %.2f s"):format(at, took))
      db:close { timeout = 0.1 }
    end
    proxy:clear()
    assert.equal(1, helper.open(url, { max_size = 1 }):value "select 1")
  end)

  it("a reset in a query is closed, while idle nobody sees it (F-21)", function()
    for _, how in ipairs { "reset", "fin" } do
      local proxy = start()
      local db = helper.open(proxy.db, { max_size = 1 })
      perigee.run(function()
        perigee.spawn(function()
          eventually(function() return db:stats().in_use == 1 end)
          perigee.sleep(0.05)
          proxy[how](proxy)
        end)
        assert.is_false(raises("closed", db.query, db, "select sleep(30)").retryable)
      end)
      assert.equal(1, db:value "select 1")
    end
  end)

  it("a prepared query takes one round trip (F-23)", function()
    local proxy = start()
    local db = helper.open(proxy.db, { max_size = 1 })
    db:value("select ?", 1)
    proxy:delay(50) -- each way
    local took = seconds(db.value, db, "select ?", 2)
    assert.is_true(took >= 0.09 and took < 0.19, tostring(took))
    proxy:delay(0)
  end)

  it("a parameter and a result of megabytes do not block each other (F-25)", function()
    local proxy = start()
    local db = helper.open(proxy.db, { max_size = 1 })
    local text = ("w"):rep(4000000)
    faults.ticking(function()
      assert.equal(#text, db:value("select length(?)", text))
    end)
    assert.is_true(text == db:value("select ?", text))
  end)

  describe("a session that the server ends", function()
    it("in a transaction: the rest of it runs nowhere (F-13)", function()
      local db, other = open { max_size = 3 }, admin()
      db:execute "create table f13 (n int)"
      local first, second
      local err = raises("closed", db.transaction, db, function(tx)
        tx:execute "insert into f13 values (1)"
        other:execute("kill " .. id_of(tx))
        first = raises("closed", tx.execute, tx, "insert into f13 values (2)")
        second = raises("closed", tx.execute, tx, "insert into f13 values (3)")
        raises("closed", db.execute, db, "insert into f13 values (4)") -- joins
        error(first, 0)
      end)
      assert.equal(first, err)
      assert.equal("closed", second.kind)
      assert.equal(0, db:value "select count(*) from f13")
      raises("closed", db.transaction, db, function(tx)
        tx:execute "insert into f13 values (5)"
        other:execute("kill " .. id_of(tx))
        perigee.sleep(0.05)
      end)
      assert.equal(0, db:value "select count(*) from f13")
    end)

    it("for having been idle: nobody who borrows it sees it (F-16)", function()
      local db = open { max_size = 1, on_connect = function(conn)
        conn:execute "set wait_timeout = 1"
      end }
      assert.equal(7, db:value("select ?", 7))
      eventually(function() return db:stats().size == 0 end)
      assert.equal(7, db:value("select ?", 7)) -- prepared anew
    end)

    it("for a transaction that was idle tells its owner (F-16)", function()
      local db = open { max_size = 1 }
      raises("closed", db.transaction, db, function(tx)
        tx:execute "set idle_transaction_timeout = 1"
        tx:value "select 1"
        perigee.sleep(1.5)
        tx:value "select 2"
      end)
      assert.equal(1, db:value "select 1")
    end)
  end)

  describe("the server", function()
    local function control(command)
      local text, ok = helper.sh(("%s %s '%s'"):format(os.getenv "PERIGEE_TEST_MYCTL", command,
        os.getenv "PERIGEE_TEST_MYDIR"))
      assert.is_true(ok, text)
    end

    it("restarts under five idle connections (P-60)", function()
      helper.watchdog(120)
      local db = open { max_size = 5, acquire_timeout = 20 }
      all_at_once(db, 5, function(conn) assert.equal(2, conn:value("select ? + 1", 1)) end)
      assert.equal(5, db:stats().idle)
      control "restart"
      for i = 1, 20 do assert.equal(i, db:value("select ?", i)) end
    end)

    it("crashes in queries: each is told, and the pool recovers (F-14)", function()
      helper.watchdog(120)
      local db = open { max_size = 4, acquire_timeout = 20 }
      perigee.run(function()
        local tasks = {}
        for i = 1, 4 do
          tasks[i] = perigee.spawn(function()
            return raises("closed", db.query, db, "select sleep(30)")
          end)
        end
        eventually(function() return db:stats().in_use == 4 end)
        perigee.sleep(0.05)
        control "kill"
        for _, task in ipairs(tasks) do assert.is_false(task:join().retryable) end
        control "start-again"
        assert.equal(1, db:value "select 1")
      end)
    end)
  end)
end, { "mysql" })
