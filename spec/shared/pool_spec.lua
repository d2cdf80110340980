-- The pool as seen from Lua, on every database: waiting, giving back, closing,
-- what a session keeps, hooks. What needs a server to die is at the end.

local helper = require "spec.support.helper"
local expect = require "spec.support.expect"
local perigee = require "perigee"

local fails, settle, eventually = expect.fails, expect.settle, expect.eventually
-- Takes one row of each() and leaves.
local function one_of(db)
  local _, it = db:each "select 1"
  local row = it:next()
  it:close()
  return row
end

local run, spawn, sleep = perigee.run, perigee.spawn, perigee.sleep

local function ctl(command, mode)
  local out, ok = helper.sh(("%q %s %q %s"):format(
    os.getenv "PERIGEE_TEST_PGCTL", command, os.getenv "PERIGEE_TEST_PGDIR",
    mode or ""))
  assert(ok, out)
end

helper.for_each_db(function(name, open)
  describe("waiting for a connection", function()
    it("ends with timeout, and the waiter is forgotten (P-51)", function()
      local db = open { max_size = 1 }
      run(function()
        local tx = db:begin()
        local err = spawn(function()
          return fails("timeout", db.begin, db, { acquire_timeout = 0.05 })
        end):join()
        assert.matches("in use", err.message)
        assert.matches("pool_spec.lua:%d+", err.detail) -- who has it
        assert.is_string(err.hint)
        assert.equal(0, db:stats().waiting)
        assert.equal(1, db:stats().timeouts)
        tx:rollback()
        assert.equal(0, db:stats().in_use)
        db:begin():rollback()
      end)
    end)

    it("serves in the order of coming (P-51)", function()
      local db = open { max_size = 1, acquire_timeout = 30 }
      run(function()
        local order, jobs = {}, {}
        local tx = db:begin()
        for i = 1, 100 do
          jobs[i] = spawn(function()
            db:transaction(function() order[#order + 1] = i end)
          end)
        end
        settle()
        assert.equal(100, db:stats().waiting)
        for i = 10, 100, 10 do jobs[i]:cancel() end
        tx:rollback()
        for i, job in ipairs(jobs) do
          if i % 10 ~= 0 then job:join() else fails("cancelled", job.join, job)
          end
        end
        local want = {}
        for i = 1, 100 do if i % 10 ~= 0 then want[#want + 1] = i end end
        assert.same(want, order)
        assert.equal(10, db:stats().abandoned)
        assert.equal(0, expect.busy(db))
      end)
    end)

    it("loses no connection when the next waiter is cancelled (F-27)",
       function()
      local db = open { max_size = 1, acquire_timeout = 30 }
      run(function()
        local tx = db:begin()
        local first = spawn(db.transaction, db, function() return 1 end)
        local second = spawn(db.transaction, db, function() return 2 end)
        settle()
        tx:rollback() -- handed to `first`, which has not run yet
        first:cancel()
        pcall(first.join, first)
        assert.equal(2, second:join())
        assert.equal(0, expect.busy(db))
      end)
    end)

    it("is limited by max_waiting", function()
      local db = open { max_size = 1, max_waiting = 2, acquire_timeout = 30 }
      run(function()
        local tx = db:begin()
        local a = spawn(db.transaction, db, function() return "a" end)
        local b = spawn(db.transaction, db, function() return "b" end)
        settle()
        local err = spawn(function()
          return fails("resource", db.begin, db)
        end):join()
        assert.matches("max_waiting", err.message)
        tx:rollback()
        assert.equal("a", a:join())
        assert.equal("b", b:join())
      end)
    end)

    it("of all for each other fails at once (F-51)", function()
      local db = open { max_size = 2, acquire_timeout = 30 }
      local size = (name == "postgres" or name == "mysql") and 2 or 1
      local from = os.time()
      run(function()
        local held, failed = 0, nil
        local function job()
          local tx = db:begin()
          held = held + 1
          eventually(function() return held == size end)
          local ok, inner = pcall(db.begin, db)
          if ok then inner:rollback() else failed = inner end
          tx:rollback()
        end
        local jobs = {}
        for i = 1, size do jobs[i] = spawn(job) end
        for i = 1, size do jobs[i]:join() end
        assert.equal("usage", failed.kind)
        assert.matches("pool_spec.lua:%d+", failed.message)
      end)
      assert.is_true(os.time() - from <= 5)
      assert.equal(0, expect.busy(db))
    end)

    it("of each holders for each other names them", function()
      local db = open { max_size = 1, acquire_timeout = 30 }
      db:script "create table t (id integer); insert into t values (1), (2)"
      if name == "sqlite" then return end -- has a reader and a writer
      local err
      local ok, why = pcall(function()
        for _ in db:each "select id from t" do
          local good, e = pcall(db.value, db, "select 1")
          if not good then err = e end
          assert.is_true(good or e.kind == "usage", tostring(e))
        end
      end)
      assert.is_true(ok, tostring(why))
      assert.equal("usage", err.kind)
      assert.matches("pool_spec.lua:%d+", err.message)
      expect.idle(db)
    end)
  end)

  describe("options", function()
    it("are checked at the opening (F-30)", function()
      for _, o in ipairs {
        { max_size = 0 }, { max_size = -1 }, { max_size = 1.5 },
        { max_size = 0 / 0 }, { max_size = true }, { max_size = "x" },
        { min_size = 5, max_size = 2 }, { acquire_timeout = 0 },
        { acquire_timeout = -1 }, { acquire_timeout = 0 / 0 },
        { query_timeout = "x" }, { idle_timeout = {} }, { reset = "maybe" },
        { on_connect = 1 }, { on_notice = "x" }, { max_waiting = -1 },
        { nonsense = 1 }, { force_rollback = "x" }, { lifetime = 0 },
      } do
        fails("usage", perigee.open, open.url(), o)
      end
      fails("usage", perigee.open, open.url(), "x")
      fails("usage", perigee.open, nil)
    end)

    it("of calls are checked before anything is sent (F-30)", function()
      local db = open()
      for _, bad in ipairs { 0, -1, 0 / 0, true, "1", {} } do
        fails("usage", db.query, db, "select 1", {}, { timeout = bad })
      end
      fails("usage", db.query, db, "select 1", {}, { time = 1 })
      fails("usage", db.close, db, { timeout = -1 })
      fails("usage", db.close, db, { time = 1 })
      fails("usage", db.close, db, 1)
      assert.equal(0, db:stats().size)
      assert.equal(1, db:value("select 1", {}, { timeout = 1e300 }))
      assert.equal(1, db:value("select 1", {}, { timeout = math.huge }))
    end)

    it("may be in the URL", function()
      local url = open.url()
      url = url .. (url:find("?", 1, true) and "&" or "?")
      local db = helper.open(url .. "max_size=3&acquire_timeout=2")
      assert.equal(1, db:value "select 1")
      if name == "postgres" then assert.equal(3, db:stats().max_size) end
      fails("usage", perigee.open, url .. "max_size=0")
      fails("usage", function()
        helper.open(url .. "nonsense=1"):query "select 1"
      end)
    end)
  end)

  describe("closing", function()
    it("may be done twice, and ends calls with closed (F-54)", function()
      local db = open()
      assert.equal(1, db:value "select 1")
      db:close()
      db:close()
      for _, f in ipairs { db.query, db.execute, db.value, db.script } do
        fails("closed", f, db, "select 1")
      end
      fails("closed", db.transaction, db, print)
      fails("closed", db.begin, db)
      fails("closed", db.ping, db)
      fails("closed", one_of, db)
      assert.is_true(db:stats().is_closed)
      assert.equal(0, db:stats().size)
      assert.matches("closed", tostring(db))
    end)

    it("gives busy connections time and waiters closed (F-54)", function()
      local db = open { max_size = 1 }
      db:script "create table t (id integer)"
      run(function()
        local ended, may_end
        local busy = spawn(db.transaction, db, function(tx)
          tx:execute "insert into t values (1)"
          repeat sleep(0.001) until may_end
          tx:execute "insert into t values (2)"
          ended = true
        end)
        settle()
        local waiting = spawn(db.begin, db)
        settle()
        local closing = spawn(db.close, db)
        fails("closed", waiting.join, waiting)
        may_end = true
        closing:join()
        assert.is_true(ended)
        busy:join()
        assert.equal(0, db:stats().size)
      end)
    end)

    it("ends what is busy at its deadline (F-54)", function()
      local db = open { max_size = 1 }
      run(function()
        local job = spawn(db.transaction, db, function(tx)
          tx:query "select 1"
          sleep(0.3)
          tx:query "select 1"
        end)
        settle()
        sleep(0.02)
        db:close { timeout = 0.05 }
        local err = fails("closed", job.join, job)
        assert.is_truthy(err)
        eventually(function() return db:stats().size == 0 end)
      end)
    end)

    it("with nothing opened is done at once", function()
      local db = open()
      db:close()
      assert.equal(0, db:stats().created)
      local other = open()
      other:evict()
      other:evict()
      other:close()
    end)

    it("a handle that is dropped is closed by the collector", function()
      local weak = setmetatable({}, { __mode = "k" })
      do
        local db = perigee.open(open.url(), { max_size = 2 })
        assert.equal(1, db:value "select 1")
        weak[db] = true
      end
      collectgarbage()
      collectgarbage()
      assert.is_nil((next(weak)))
    end)
  end)

  it("evict replaces connections when they come back", function()
    local db = open { max_size = 1 }
    if name == "sqlite memory" then return end -- it would lose the database
    db:value "select 1"
    local before = db:stats()
    db:evict()
    assert.equal(before.idle - 1, db:stats().idle)
    db:transaction(function(tx)
      tx:query "select 1"
      db:evict()
      tx:query "select 1"
    end)
    assert.equal(0, db:stats().idle)
    assert.equal(1, db:value "select 1")
    assert.is_true(db:stats().created >= before.created + 2)
  end)

  it("idle and old connections are closed, but for min_size", function()
    if name == "sqlite memory" then return end
    local db = open { max_size = 3, idle_timeout = 0.05 }
    run(function()
      local function job() db:transaction(function() sleep(0.01) end) end
      perigee.gather(job, job, job)
    end)
    assert.is_true(db:stats().size >= 1)
    eventually(function() return db:stats().size == 0 end)
    assert.equal(1, db:value "select 1")
    db:close()
    db = open { max_size = 2, lifetime = 0.05 }
    db:value "select 1"
    local created = db:stats().created
    sleep(0.2)
    db:value "select 1"
    assert.is_true(db:stats().created > created)
  end)

  describe("on_connect", function()
    it("runs once for each connection, before its first use", function()
      local n, ran_in_tx = 0, false
      local db = open { max_size = 1, on_connect = function(conn)
        n = n + 1
        assert.equal(1, conn:value "select 1")
        ran_in_tx = ran_in_tx or conn:in_transaction()
      end }
      for _ = 1, 3 do db:execute "create table if not exists t (id integer)" end
      db:transaction(function(tx) tx:query "select 1" end)
      assert.is_table(one_of(db))
      expect.idle(db)
      assert.equal(tonumber(db:stats().created), n)
      assert.is_false(ran_in_tx)
    end)

    it("that fails raises its error and leaks nothing", function()
      local fail = true
      local db = open { max_size = 1, on_connect = function(conn)
        conn:query "select 1"
        if fail then error({ "mine" }) end
      end }
      for _ = 1, 3 do
        local ok = pcall(db.query, db, "select 1")
        assert.is_false(ok)
        assert.equal(0, expect.busy(db))
      end
      for _, f in ipairs { db.begin, db.ping } do
        assert.is_false((pcall(f, db)))
      end
      assert.is_false((pcall(db.transaction, db, print)))
      assert.is_false((pcall(one_of, db)))
      assert.equal(0, expect.busy(db))
      fail = false
      assert.equal(1, db:value "select 1")
    end)

    it("may fail with an error of the database", function()
      local db = open { max_size = 1, on_connect = function(conn)
        conn:query "select * from no_such_table"
      end }
      fails("undefined", db.query, db, "select 1")
      assert.equal(0, expect.busy(db))
    end)
  end)

  it("statements that change the session are usage on the handle", function()
    local db = open()
    local list = { "begin", "create temporary table x (id integer)" }
    if name == "postgres" then
      for _, sql in ipairs {
        "set search_path = a", "SET LOCAL x.y = 1", "listen a", "unlisten *",
        "prepare p as select 1", "deallocate p", "declare c cursor for select 1",
        "reset all", "discard all", "create temporary table x (id int)",
        "select 1 into temp x", "create temp view x as select 1",
      } do list[#list + 1] = sql end
      list[#list + 1] = "create temp table x (id integer)"
    elseif name == "mysql" then
      for _, sql in ipairs {
        "set @a = 1", "SET SESSION sql_mode = ''", "use other", "lock tables t read",
        "prepare p from 'select 1'", "unlock tables", "start transaction",
        "set names latin1",
      } do list[#list + 1] = sql end
    else
      list[#list + 1] = "pragma foreign_keys = off"
      list[#list + 1] = "attach ':memory:' as x"
    end
    for _, sql in ipairs(list) do
      local err = fails("usage", db.execute, db, sql)
      assert.matches("connection%(%)", err.message)
    end
    assert.equal(0, db:stats().size) -- nothing was sent
  end)

  it("a connection comes back without an open transaction (F-50)", function()
    local db = open { max_size = 1 }
    db:script "create table t (id integer primary key)"
    for _, spoil in ipairs {
      function(conn) conn:execute "begin" end,
      function(conn)
        conn:execute "begin"
        conn:execute "insert into t values (1)"
      end,
      function(conn)
        conn:execute "begin"
        pcall(conn.execute, conn, "select * from nothing")
      end,
      function(conn) conn:script "begin; insert into t values (2)" end,
    } do
      db:connection(spoil)
      assert.equal(0, db:value "select count(*) from t")
      pcall(db.connection, db, function(conn)
        spoil(conn)
        error "x"
      end)
      assert.equal(0, db:value "select count(*) from t")
      db:transaction(function(tx) tx:execute "insert into t values (9)" end)
      assert.equal(1, db:execute("delete from t").affected)
    end
  end)
end)

-- ---- what only PostgreSQL has -----------------------------------------------

helper.for_each_db(function(_, open)
  local function session(x)
    return x:first [[
      select current_setting('search_path') as path,
        coalesce(current_setting('my.v', true), '') as v,
        (select count(*) from pg_locks where locktype = 'advisory') as locks,
        (select count(*) from pg_listening_channels()) as channels,
        (select count(*) from pg_prepared_statements where name = 'p') as p,
        (select count(*) from pg_class
         where relname = 'tmp' and relpersistence = 't') as tmp,
        (select count(*) from pg_cursors where name = 'c') as cursors,
        pg_backend_pid() as pid]]
  end

  local spoils = {
    "set search_path = pg_catalog", "select set_config('my.v', 'x', false)",
    "select pg_advisory_lock(7)", "listen a", "prepare p as select 1",
    "create temp table tmp (id int)", "set my.v = 'y'",
    "declare c cursor with hold for select 1",
    "do $$ begin perform set_config('my.v', 'z', false); end $$",
  }

  local function clean(s)
    return s.path == '"$user", public' and s.v == "" and s.locks == 0
      and s.channels == 0 and s.p == 0 and s.tmp == 0 and s.cursors == 0
  end

  it("what a session keeps is undone when it comes back", function()
    local db = open { max_size = 1 }
    assert.is_true(clean(session(db)))
    for _, sql in ipairs(spoils) do
      db:connection(function(conn)
        conn:execute(sql)
        assert.is_false(clean(session(conn)), sql)
      end)
      assert.is_true(clean(session(db)), sql)
      if not sql:find("^declare") then
        db:transaction(function(tx) tx:execute(sql) end)
        assert.is_true(clean(session(db)), sql)
      end
    end
    assert.is_true(db:stats().resets >= #spoils)
  end)

  it("what a single call leaves is undone, too", function()
    local db = open { max_size = 1 }
    db:query "select set_config('my.v', 'x', false), pg_advisory_lock(7)"
    assert.is_true(clean(session(db)))
    db:query "select pg_advisory_lock_shared(7)"
    assert.is_true(clean(session(db)))
  end)

  it("reset = always and never mean it", function()
    local db = open { max_size = 1, reset = "always" }
    db:script [[create function f() returns void language plpgsql as
      'begin perform set_config(''my.v'', ''hidden'', false); end']]
    db:query "select f()"
    assert.is_true(clean(session(db)))
    assert.is_true(db:stats().resets >= 3)
    db:close()
    db = open { max_size = 1, reset = "never" }
    db:connection(function(conn) conn:execute "set my.v = 'kept'" end)
    assert.equal("kept", session(db).v)
    assert.equal(0, db:stats().resets)
    db:connection(function(conn) conn:execute "begin" end) -- but never dirty
    assert.is_false(db:in_transaction())
    db:transaction(function(tx) tx:query "select 1" end)
    assert.is_true(db:stats().resets <= 1)
  end)

  it("what on_connect sets survives a reset", function()
    local n = 0
    local db = open { max_size = 1, on_connect = function(conn)
      n = n + 1
      conn:execute "set my.v = 'mine'"
      conn:execute "set statement_timeout = '12345ms'"
    end }
    local function check()
      assert.equal("mine", db:value "select current_setting('my.v')")
      assert.equal("12345ms",
                   db:value "select current_setting('statement_timeout')")
    end
    check()
    local pid = db:value "select pg_backend_pid()"
    for _, sql in ipairs(spoils) do
      if not sql:find "my.v" then
        db:connection(function(conn) conn:execute(sql) end)
      end
      check()
    end
    db:connection(function(conn)
      conn:execute "set my.v = 'other'"
      conn:execute "set statement_timeout = 0"
    end)
    check()
    assert.equal(pid, db:value "select pg_backend_pid()")
    assert.is_true(n >= 1)
  end)

  it("notices reach on_notice", function()
    local got = {}
    local db = open { max_size = 1, on_notice = function(notice)
      got[#got + 1] = notice
    end }
    db:script [[do $$ begin
      raise notice 'one' using hint = 'h', detail = 'd';
      raise warning 'two';
    end $$]]
    db:query "select 1"
    eventually(function() return #got == 2 end)
    assert.equal("one", got[1].message)
    assert.equal("d", got[1].detail)
    assert.equal("two", got[2].message)
    assert.equal("01000", got[2].sqlstate)
  end)

  it("of too many notices on_warning is told how many were dropped", function()
    local seen, dropped = 0, 0
    local db = open { max_size = 1, on_notice = function() seen = seen + 1 end,
      on_warning = function(w)
        dropped = dropped + tonumber(w:match "^(%d+) notices were dropped")
      end }
    for _, total in ipairs { 400, 5000 } do
      seen, dropped = 0, 0
      db:script(("do $$ begin for i in 1..%d loop raise notice 'n %%', i; end loop; end $$")
        :format(total))
      assert.equal(total, seen + dropped)
      assert.equal(math.min(total, 400), math.min(seen, 400))
    end
    assert.is_true(seen <= 1000 and dropped > 0)
  end)

  it("a failing on_notice harms nothing", function()
    local warned
    local db = open { max_size = 1, on_notice = function() error "hook" end,
      on_warning = function(w) warned = tostring(w) end }
    assert.equal(1, db:transaction(function(tx)
      tx:execute "do $$ begin raise notice 'x'; end $$"
      return tx:value "select 1"
    end))
    eventually(function()
      db:value "select 1"
      return warned
    end)
    assert.matches("hook", warned)
  end)

  it("a backend killed in a transaction tells all (P-54, F-13)", function()
    -- Through a proxy its last words can be lost with the connection.
    local words = not os.getenv "PERIGEE_TEST_PROXY" and "57P01"
    local db, admin = open { max_size = 2 }, open { max_size = 1 }
    db:script "create table t (id integer)"
    local err = fails("closed", db.transaction, db, function(tx)
      tx:execute "insert into t values (1)"
      local pid = tx:value "select pg_backend_pid()"
      admin:query("select pg_terminate_backend(?)", pid)
      local first = fails("closed", tx.execute, tx,
                          "insert into t values (2)")
      assert.equal(words or first.sqlstate, first.sqlstate)
      fails("closed", tx.execute, tx, "insert into t values (3)")
      fails("closed", db.execute, db, "insert into t values (4)")
      error(first, 0)
    end)
    assert.equal(words or err.sqlstate, err.sqlstate)
    assert.equal(0, db:value "select count(*) from t")
    assert.equal(0, db:stats().in_use)
    err = fails("closed", db.transaction, db, function(tx)
      local pid = tx:value "select pg_backend_pid()"
      admin:query("select pg_terminate_backend(?)", pid)
      sleep(0.05)
    end) -- at COMMIT
    assert.is_truthy(err.message)
    assert.equal(1, db:value "select 1")
  end)

  it("an error of the rollback is attached, not raised", function()
    local db, admin = open { max_size = 1 }, open { max_size = 1 }
    local ok, err = pcall(db.transaction, db, function(tx)
      local pid = tx:value "select pg_backend_pid()"
      admin:query("select pg_terminate_backend(?)", pid)
      sleep(0.05)
      tx:query "select 1/0"
    end)
    assert.is_false(ok)
    assert.equal("closed", err.kind)
    ok, err = pcall(db.transaction, db, function(tx)
      local pid = tx:value "select pg_backend_pid()"
      local _, mine = pcall(tx.query, tx, "select 1/0")
      assert.equal("data", mine.kind)
      admin:query("select pg_terminate_backend(?)", pid)
      error(mine, 0)
    end)
    assert.is_false(ok)
    assert.equal("22012", err.sqlstate) -- the first error, not the last
    assert.equal(1, db:value "select 1")
    assert.equal(0, expect.busy(db))
  end)

  it("a failed transaction names the first error (P-53)", function()
    local db = open()
    db:script "create table t (id integer primary key)"
    db:transaction(function(tx)
      tx:execute "insert into t values (1)"
      local sp = tx:begin()
      fails("unique", sp.execute, sp, "insert into t values (1)")
      local err = fails("aborted", sp.query, sp, "select 1")
      assert.equal("unique", err.cause.kind)
      assert.equal("25P02", err.sqlstate)
      sp:rollback()
      tx:query "select 1"
    end)
    assert.equal(1, db:value "select count(*) from t")
  end)

  it("a COMMIT that answers ROLLBACK is an error (F-45)", function()
    local db = open { max_size = 1 }
    db:script "create table t (id integer primary key)"
    local err = fails("aborted", db.transaction, db, function(tx)
      tx:execute "insert into t values (1)"
      pcall(tx.query, tx, "select 1/0")
      return "as if nothing had happened"
    end)
    assert.is_truthy(err)
    assert.equal(0, db:value "select count(*) from t")
    local tx = db:begin()
    pcall(tx.query, tx, "select 1/0")
    fails("aborted", tx.commit, tx)
    assert.equal(0, db:stats().in_use)
  end)

  it("serialization failures are run again (F-47)", function()
    local db = open { max_size = 2 }
    db:script [[create table t (id integer primary key, n integer);
      insert into t values (1, 0)]]
    local o = { isolation = "serializable", retries = 10 }
    local runs, readers = 0, 0
    run(function()
      local function job()
        db:transaction(function(tx)
          runs = runs + 1
          local n = tx:value "select n from t where id = 1"
          readers = readers + 1
          while readers < 2 do sleep(0.001) end -- two have read the same
          tx:execute("update t set n = ? where id = 1", n + 1)
        end, o)
      end
      perigee.gather(job, job, job, job)
    end)
    assert.equal(4, db:value "select n from t")
    assert.is_true(runs > 4)
    local tries = 0
    local err = fails("serialization", db.transaction, db, function(tx)
      tries = tries + 1
      tx:script "do $$ begin raise sqlstate '40001'; end $$"
    end, { retries = 2 })
    assert.equal(3, tries)
    assert.equal("40001", err.sqlstate)
    assert.is_true(err.retryable)
    tries = 0
    fails("data", db.transaction, db, function(tx)
      tries = tries + 1
      tx:query "select 1/0"
    end, { retries = 2 })
    assert.equal(1, tries)
  end)

  it("a dead idle connection is replaced unseen (F-11)", function()
    local db, admin = open { max_size = 2 }, open { max_size = 1 }
    for _ = 1, 10 do
      local pid = db:value "select pg_backend_pid()"
      admin:query("select pg_terminate_backend(?)", pid)
      eventually(function()
        return admin:value("select count(*) from pg_stat_activity where pid = ?",
                           pid) == 0
      end)
      assert.are_not.equal(pid, db:value "select pg_backend_pid()")
    end
  end)

  it("idle connections survive a restart of the server (P-60)", function()
    if os.getenv "PERIGEE_TEST_PROXY" then return end
    local db = open { max_size = 5 }
    local function job() db:query "select pg_sleep(0.05)" end
    for _, mode in ipairs { "fast", "immediate" } do
      run(function()
        perigee.gather(job, job, job, job, job)
        while db:stats().connecting > 0 do sleep(0.01) end
      end)
      assert.is_true(db:stats().idle >= 2)
      ctl("restart", mode)
      for i = 1, 20 do assert.equal(i, db:value("select ?", i)) end
      db:ping()
      assert.equal(0, expect.busy(db))
    end
  end)
end, { "postgres" })
