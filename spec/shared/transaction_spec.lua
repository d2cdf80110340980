-- Transactions on every database: blocks, savepoints, who is inside, options.

local helper = require "spec.support.helper"
local expect = require "spec.support.expect"
local perigee = require "perigee"

local fails, settle = expect.fails, expect.settle
local unpack = table.unpack or unpack

local function table_t(db)
  db:script "create table t (id integer primary key, n integer)"
end

local function insert(x, id, n)
  return x:execute("insert into t (id, n) values (?, ?)", id, n or 0)
end

local function count(x)
  return x:value "select count(*) from t"
end

helper.for_each_db(function(name, open)
  local is_postgres, is_mysql = name == "postgres", name == "mysql"

  describe("a transaction", function()
    it("commits on return and hands over every result", function()
      local db = open()
      table_t(db)
      local function results(...) return select("#", ...), ... end
      local n, a, b, c = results(db:transaction(function(tx)
        insert(tx, 1)
        return 1, nil, nil
      end))
      assert.same({ 3, 1 }, { n, a })
      assert.is_nil(b or c)
      assert.equal(1, count(db))
    end)

    it("commits on return of nil, err", function()
      local db = open()
      table_t(db)
      local v, why = db:transaction(function(tx)
        insert(tx, 1)
        return nil, "not an exception"
      end)
      assert.is_nil(v)
      assert.equal("not an exception", why)
      assert.equal(1, count(db))
    end)

    it("rolls back on an error and raises that very value", function()
      local db = open()
      table_t(db)
      for _, value in ipairs { "text", { "table" }, 7, print } do
        local ok, err = pcall(db.transaction, db, function(tx)
          insert(tx, 1)
          error(value, 0)
        end)
        assert.is_false(ok)
        assert.equal(value, err)
        assert.equal(0, count(db))
      end
      local ok, err = pcall(db.transaction, db, function(tx)
        insert(tx, 1)
        error()
      end)
      assert.is_false(ok)
      assert.is_nil(err)
      assert.equal(0, count(db))
    end)

    it("ends with its block: later calls on tx are closed", function()
      local db = open()
      table_t(db)
      local kept
      db:transaction(function(tx) kept = tx end)
      local calls = {
        function() kept:query "select 1" end,
        function() kept:execute "insert into t values (9, 9)" end,
        function() kept:transaction(function() end) end,
        function() kept:begin() end,
        function() kept:commit() end,
        function() kept:rollback() end,
        function() kept:on_commit(print) end,
        function() kept:script "select 1" end,
        function() for _ in kept:each "select 1" do error "a row" end end,
        function() kept:execute_many("insert into t values (?, 1)", { { 8 } })
        end,
      }
      for _, call in ipairs(calls) do fails("closed", call) end
      pcall(db.transaction, db, function(tx)
        kept = tx
        error "x"
      end)
      for _, call in ipairs(calls) do fails("closed", call) end
      assert.equal(0, count(db))
      assert.is_false(kept:in_transaction())
    end)

    it("takes its options from a closed list (P-47)", function()
      local db = open()
      for _, bad in ipairs {
        { isolation = "bogus" }, { isolation = 1 }, { nonsense = 1 },
        { readonly = 1 }, { retries = -1 }, { retries = 1.5 },
        { retries = 0 / 0 }, { retries = math.huge }, { acquire_timeout = -1 },
        { acquire_timeout = 0 / 0 }, { isolation = "SERIALIZABLE" }, { [1] = true },
      } do
        local called = false
        fails("usage", db.transaction, db, function() called = true end, bad)
        assert.is_false(called)
      end
      fails("usage", db.transaction, db, function() end, "serializable")
      fails("usage", db.transaction, db)
      fails("usage", db.begin, db, { retries = 1 })
      fails("usage", db.begin, db, { isolation = "bogus" })
      fails("usage", db.transactional, db, function() end, { nonsense = 1 })
      local err = fails("usage", db.transaction, db, print, { nonsense = 1 })
      assert.matches("isolation", err.message) -- what is allowed
    end)

    it("leaves the pool whole when it cannot begin (P-44)", function()
      local db = open { max_size = 1 }
      for _ = 1, 3 do
        fails("usage", db.transaction, db, print, { isolation = "bogus" })
      end
      assert.equal(1, db:value "select 1")
      assert.equal(0, db:stats().in_use)
    end)

    it("leaves the pool whole when COMMIT fails (P-43, F-46)", function()
      local db = open { max_size = 1, acquire_timeout = 5 }
      db:script [[
        create table parent (id integer primary key);
        create table child (id integer primary key, parent integer
          references parent (id) deferrable initially deferred)]]
      for _ = 1, 3 do
        local reached = false
        local err = fails("foreign_key", function()
          db:transaction(function(tx)
            tx:execute "insert into child values (1, 99)"
            reached = true
          end)
        end)
        assert.is_true(reached)
        if is_postgres then assert.equal("23503", err.sqlstate) end
        assert.equal(0, db:value "select count(*) from child")
        assert.equal(0, db:stats().in_use)
      end
      local tx = db:begin()
      tx:execute "insert into child values (1, 99)"
      fails("foreign_key", tx.commit, tx)
      fails("closed", tx.commit, tx)
      assert.equal(0, db:value "select count(*) from child")
    end)

    it("is joined by calls on the handle of the same task (P-52)", function()
      local db = open { max_size = 1, acquire_timeout = 5 }
      table_t(db)
      pcall(db.transaction, db, function(tx)
        insert(tx, 1)
        assert.equal(1, count(db)) -- a helper that was not given tx
        insert(db, 2)
        db:transaction(function(inner)
          insert(db, 3)
          assert.equal(3, count(inner))
        end)
        db:connection(function(conn) insert(conn, 4) end)
        local n = 0
        for _ in db:each "select id from t" do n = n + 1 end
        assert.equal(4, n)
        assert.equal(4, count(tx))
        error "undo"
      end)
      assert.equal(0, count(db))
    end)

    it("is not joined by the handle of another database", function()
      local db, other = open(), helper.open "sqlite::memory:"
      table_t(db)
      table_t(other)
      pcall(db.transaction, db, function()
        insert(db, 1)
        insert(other, 1)
        error "undo"
      end)
      assert.equal(0, count(db))
      assert.equal(1, count(other))
    end)

    it("tells whether one is in it", function()
      local db = open()
      assert.is_false(db:in_transaction())
      db:connection(function(conn)
        assert.is_false(conn:in_transaction())
        assert.is_false(db:in_transaction())
        conn:transaction(function(tx)
          assert.is_true(tx:in_transaction())
          assert.is_true(db:in_transaction())
        end)
        assert.is_false(db:in_transaction())
      end)
      local tx = db:begin() -- never joined
      assert.is_false(db:in_transaction())
      assert.is_true(tx:in_transaction())
      tx:rollback()
      assert.is_false(tx:in_transaction())
    end)

    it("refuses BEGIN, COMMIT and their kin as SQL (F-49)", function()
      local db = open()
      table_t(db)
      for _, sql in ipairs {
        "begin", "commit", "rollback", "savepoint a", "release a",
        " /* x */ BEGIN", is_mysql and "start transaction" or "end", "rollback to a",
      } do
        fails("usage", db.execute, db, sql)
        fails("usage", db.query, db, sql)
        fails("usage", db.transaction, db, function(tx) tx:execute(sql) end)
      end
      db:script "begin; insert into t values (9, 9)" -- open at its end
      assert.equal(0, count(db))
      assert.is_false(db:in_transaction())
      fails("usage", db.transaction, db, function(tx)
        insert(tx, 1)
        tx:script "select 1; commit; select 2"
      end)
      db:transaction(function() fails("usage", db.script, db, "commit") end)
      assert.equal(0, count(db))
      assert.is_false(db:in_transaction())
    end)

    it("survives errors three levels deep (F-48)", function()
      local db = open { max_size = 1 }
      table_t(db)
      db:transaction(function(tx)
        insert(tx, 1)
        tx:transaction(function(a)
          insert(a, 2)
          pcall(a.transaction, a, function(b)
            insert(b, 3)
            perigee.sleep(0)
            pcall(b.transaction, b, function(c)
              insert(c, 4)
              error "c"
            end)
            assert.equal(3, count(b))
            error "b"
          end)
          assert.equal(2, count(a))
        end)
      end)
      assert.equal(2, count(db))
      assert.equal(0, db:stats().in_use)
    end)
  end)

  describe("begin", function()
    it("is ended by commit or rollback, once", function()
      local db = open()
      table_t(db)
      local tx = db:begin()
      insert(tx, 1)
      tx:commit()
      fails("closed", tx.commit, tx)
      fails("closed", tx.rollback, tx)
      tx = db:begin()
      insert(tx, 2)
      tx:rollback()
      fails("closed", tx.rollback, tx)
      assert.equal(1, count(db))
      assert.equal(0, db:stats().in_use)
      db:connection(function(conn)
        fails("usage", conn.commit, conn)
        fails("usage", conn.rollback, conn)
        fails("usage", conn.on_commit, conn, print)
      end)
    end)

    it("waits for itself in vain: usage at once, with the line", function()
      local db = open { max_size = 1 }
      local line = debug.getinfo(1, "l").currentline + 1
      local tx = db:begin()
      local from = os.time()
      local err = fails("usage", db.begin, db)
      assert.is_true(os.time() - from <= 2)
      assert.matches("transaction_spec.lua:" .. line, err.message, 1, true)
      tx:rollback()
      db:transaction(function()
        fails("usage", db.begin, db)
      end)
      db:begin():rollback()
    end)

    it("inside a transaction is a savepoint on tx", function()
      local db = open()
      table_t(db)
      db:transaction(function(tx)
        insert(tx, 1)
        local sp = tx:begin()
        insert(sp, 2)
        sp:rollback()
        sp = tx:begin()
        insert(tx, 3) -- the same task: runs inside
        sp:commit()
        assert.equal(2, count(tx))
      end)
      assert.equal(2, count(db))
    end)

    it("left alone is rolled back by the collector (F-53)", function()
      local warnings = {}
      local db = open { max_size = 1, on_warning = function(w)
        warnings[#warnings + 1] = tostring(w)
      end }
      table_t(db)
      insert(db:begin(), 1)
      expect.idle(db)
      assert.equal(0, count(db))
      assert.equal(1, #warnings)
      assert.matches("transaction_spec.lua:%d+", warnings[1])
    end)

    it("left alone with savepoints in it, too", function()
      local db = open { max_size = 1, on_warning = function() end }
      table_t(db)
      do
        local tx = db:begin()
        insert(tx, 1)
        insert(tx:begin():begin(), 2)
      end
      expect.idle(db)
      assert.equal(0, count(db))
    end)
  end)

  describe("a savepoint", function()
    it("makes a caught error harmless (P-53)", function()
      local db = open()
      table_t(db)
      db:transaction(function(tx)
        insert(tx, 1)
        fails("unique", tx.transaction, tx, function(sp) insert(sp, 1) end)
        insert(tx, 2)
      end)
      assert.equal(2, count(db))
    end)

    it("takes no options", function()
      local db = open()
      db:transaction(function(tx)
        for _, o in ipairs {
          { isolation = "serializable" }, { readonly = true }, { retries = 1 },
        } do
          fails("usage", tx.transaction, tx, print, o)
          fails("usage", db.transaction, db, print, o)
          fails("usage", tx.begin, tx, o)
          fails("usage", tx.ensure_transaction, tx, print, o)
        end
      end)
    end)

    it("lets calls of other tasks on outer handles wait", function()
      local db = open()
      table_t(db)
      perigee.run(function()
        db:transaction(function(tx)
          local other
          pcall(tx.transaction, tx, function(sp)
            other = perigee.spawn(insert, tx, 1)
            settle()
            assert.equal("waiting", other:status())
            insert(tx, 2) -- the same task: inside
            assert.equal(1, count(sp))
            settle()
            assert.equal("waiting", other:status())
            error "undo"
          end)
          other:join()
          assert.equal(1, count(tx))
          assert.equal(1, tx:value "select id from t")
        end)
      end)
      assert.equal(1, count(db))
    end)

    it("of two tasks in one transaction run one after the other", function()
      local db = open()
      table_t(db)
      perigee.run(function()
        db:transaction(function(tx)
          local jobs = {}
          for i = 1, 20 do
            jobs[i] = function()
              pcall(tx.transaction, tx, function(sp)
                insert(sp, i)
                perigee.sleep(0)
                assert.equal(1, sp:value("select count(*) from t where id = ?",
                                         i))
                if i % 2 == 0 then error "undo" end
              end)
            end
          end
          perigee.gather(unpack(jobs))
        end)
      end)
      assert.equal(10, count(db))
      assert.equal(0, db:value "select count(*) from t where id % 2 = 0")
    end)

    it("whose task ends at the same time as the block's", function()
      local db = open()
      table_t(db)
      perigee.run(function()
        local job
        db:transaction(function(tx)
          job = perigee.spawn(function()
            tx:transaction(function(sp)
              insert(sp, 1)
              perigee.sleep(0.01)
              insert(sp, 2)
            end)
          end)
          settle()
        end) -- COMMIT waits for the savepoint of the other task
        job:join()
      end)
      assert.equal(2, count(db))
      assert.equal(0, db:stats().in_use)
    end)
  end)

  describe("child tasks (P-40)", function()
    it("that use tx are inside, queued", function()
      local db = open()
      table_t(db)
      perigee.run(function()
        pcall(db.transaction, db, function(tx)
          insert(tx, 0)
          local jobs = {}
          for i = 1, 20 do
            jobs[i] = function()
              insert(tx, i, i)
              return tx:value("select n from t where id = ?", i)
            end
          end
          local got = { perigee.gather(unpack(jobs)) }
          for i = 1, 20 do assert.equal(i, got[i]) end
          assert.equal(21, count(tx))
          error "undo"
        end)
      end)
      assert.equal(0, count(db))
    end)

    it("that use db are outside", function()
      local db = open()
      table_t(db)
      perigee.run(function()
        local child, inside
        db:transaction(function(tx)
          insert(tx, 1)
          child = perigee.spawn(function()
            inside = db:in_transaction()
            return count(db)
          end)
          settle()
          -- A database in memory has one connection, taken by turns.
          if name ~= "sqlite memory" then assert.equal(0, child:join()) end
        end)
        assert.is_false(inside)
        if name == "sqlite memory" then assert.equal(1, child:join()) end
      end)
    end)

    it("that call before the end run before COMMIT", function()
      local db = open()
      table_t(db)
      perigee.run(function()
        local jobs, failed = {}, 0
        db:transaction(function(tx)
          for i = 1, 30 do
            jobs[i] = perigee.spawn(function()
              if i > 20 then perigee.sleep(0.2) end
              local ok, err = pcall(insert, tx, i)
              if not ok then
                assert.equal("closed", err.kind)
                failed = failed + 1
              end
            end)
          end
          perigee.sleep(0)
        end)
        for _, job in ipairs(jobs) do job:join() end
        assert.equal(10, failed)
      end)
      assert.equal(20, count(db))
    end)

    it("inside perigee.timeout and perigee.wrap stay inside", function()
      local db = open()
      table_t(db)
      perigee.run(function()
        pcall(db.transaction, db, function(tx)
          perigee.timeout(10, function()
            insert(db, 1)
            insert(tx, 2)
          end)
          local gen = perigee.wrap(function()
            insert(db, 3)
            coroutine.yield "between"
            insert(tx, 4)
            return "end"
          end)
          assert.equal("between", gen())
          assert.equal("end", gen())
          assert.equal(4, count(tx))
          error "undo"
        end)
      end)
      assert.equal(0, count(db))
    end)

    it("never mix, however often", function()
      local db = open { max_size = 4, acquire_timeout = 30 }
      table_t(db)
      local rounds = helper.soak(1000)
      helper.watchdog(120)
      perigee.run(function()
        for round = 1, rounds do
          local outside
          pcall(db.transaction, db, function(tx)
            insert(tx, 1, round)
            local function child() return tx:value "select n from t" end
            outside = perigee.spawn(count, db)
            local a, b, c = perigee.gather(child, child, function()
              return perigee.timeout(20, child)
            end)
            assert.same({ round, round, round }, { a, b, c })
            error "undo"
          end)
          assert.equal(0, outside:join())
        end
      end)
      assert.equal(0, db:stats().in_use)
    end)
  end)

  describe("wrappers", function()
    it("transactional may call itself, five deep (P-46)", function()
      local db = open { max_size = 1 }
      table_t(db)
      local f
      f = db:transactional(function(depth, ...)
        insert(db, depth)
        if depth < 5 then return f(depth + 1, ...) end
        return ...
      end)
      local a, b = f(1, "x", nil)
      assert.equal("x", a)
      assert.is_nil(b)
      assert.equal(5, count(db))
    end)

    it("transactional may run in ten tasks at once (P-46)", function()
      local db = open { acquire_timeout = 30 }
      table_t(db)
      local f
      f = db:transactional(function(id, depth)
        insert(db, id * 10 + depth)
        if depth < 3 then f(id, depth + 1) end
      end)
      perigee.run(function()
        local jobs = {}
        for i = 1, 10 do jobs[i] = function() f(i, 1) end end
        perigee.gather(unpack(jobs))
      end)
      assert.equal(30, count(db))
    end)

    it("transactional rolls back what failed", function()
      local db = open()
      table_t(db)
      local f = db:transactional(function(id, fail)
        insert(db, id)
        if fail then error("no", 0) end
        return id
      end)
      assert.equal(1, f(1))
      assert.has_error(function() f(2, true) end, "no")
      db:transaction(function()
        f(3)
        pcall(f, 4, true)
      end)
      assert.equal(2, count(db))
    end)

    it("ensure_transaction joins or begins", function()
      local db = open { max_size = 1 }
      table_t(db)
      local joined
      db:transaction(function(tx)
        db:ensure_transaction(function(inner) joined = inner == tx end)
        assert.is_true(joined)
        tx:ensure_transaction(function(inner) joined = inner == tx end)
        assert.is_true(joined)
      end)
      pcall(db.ensure_transaction, db, function(tx)
        insert(tx, 1)
        error "undo"
      end)
      assert.equal(0, count(db))
      db:connection(function(conn)
        conn:ensure_transaction(function(tx)
          assert.is_true(tx:in_transaction())
          insert(tx, 2)
        end)
        assert.is_false(conn:in_transaction())
      end)
      assert.equal(1, count(db))
    end)

    it("ensure_connection joins or takes one", function()
      local db = open { max_size = 1 }
      db:ensure_connection(function(conn)
        db:ensure_connection(function(same) assert.equal(conn, same) end)
        conn:transaction(function(tx)
          db:ensure_connection(function(same) assert.equal(tx, same) end)
        end)
      end)
      local kept
      db:connection(function(conn) kept = conn end)
      fails("closed", kept.query, kept, "select 1")
      fails("closed", kept.transaction, kept, print)
      assert.equal(0, db:stats().in_use)
      local ok, err = pcall(db.connection, db, function() error("x", 0) end)
      assert.same({ false, "x" }, { ok, err })
      assert.equal(0, db:stats().in_use)
    end)
  end)

  describe("on_commit", function()
    it("runs after the outermost COMMIT, in order", function()
      local db = open { max_size = 1 }
      table_t(db)
      local log = {}
      local function note(s)
        return function() log[#log + 1] = s .. tostring(count(db)) end
      end
      db:transaction(function(tx)
        tx:on_commit(note "a")
        tx:transaction(function(sp)
          sp:on_commit(note "b")
          sp:transaction(function(deep) deep:on_commit(note "c") end)
        end)
        assert.same({}, log)
        insert(tx, 1)
        tx:on_commit(note "d")
      end)
      assert.same({ "a1", "b1", "c1", "d1" }, log)
    end)

    it("on the handle is that of the task's transaction", function()
      local db = open()
      local log = {}
      fails("usage", db.on_commit, db, print)
      db:transaction(function()
        db:on_commit(function() log[1] = "committed" end)
        assert.same({}, log)
      end)
      assert.same({ "committed" }, log)
      fails("usage", db.on_commit, db, print)
    end)

    it("never runs after a rollback, of a savepoint neither", function()
      local db = open()
      local log = {}
      local function note(s)
        return function() log[#log + 1] = s end
      end
      pcall(db.transaction, db, function(tx)
        tx:on_commit(note "rolled back")
        error "x"
      end)
      db:transaction(function(tx)
        pcall(tx.transaction, tx, function(sp)
          sp:on_commit(note "savepoint")
          sp:transaction(function(deep) deep:on_commit(note "deep") end)
          error "x"
        end)
        tx:on_commit(note "kept")
      end)
      local tx = db:begin()
      tx:on_commit(note "begin")
      tx:rollback()
      assert.same({ "kept" }, log)
      tx = db:begin()
      tx:on_commit(note "begin")
      tx:commit()
      assert.same({ "kept", "begin" }, log)
      fails("usage", db.transaction, db, function(t) t:on_commit "x" end)
    end)
  end)

  describe("isolation by test", function()
    it("undoes everything at the close (force_rollback)", function()
      local db = open()
      table_t(db)
      -- A database in memory lives and dies with its handle.
      local test = name == "sqlite memory" and db
        or open { force_rollback = true }
      if test == db then return end
      insert(test, 1)
      test:transaction(function(tx) insert(tx, 2) end)
      local tx = test:begin()
      insert(tx, 3)
      tx:commit()
      pcall(test.transaction, test, function(t)
        insert(t, 4)
        error "undo"
      end)
      assert.equal(3, count(test))
      test:close()
      assert.is_true(test:stats().is_closed)
      assert.equal(0, count(db))
    end)

    it("serialises ten tasks with transactions (P-45)", function()
      local db = name ~= "sqlite memory" and open()
      if db then table_t(db) end
      local test = open { force_rollback = true, acquire_timeout = 20 }
      if not db then table_t(test) end
      perigee.run(function()
        local jobs = {}
        for i = 1, 10 do
          jobs[i] = function()
            test:transaction(function(tx)
              insert(tx, i)
              perigee.sleep(0)
              assert.equal(1, tx:value("select count(*) from t where id = ?",
                                       i))
              tx:transaction(function(sp) insert(sp, 100 + i) end)
            end, i % 2 == 0 and { isolation = "serializable" } or nil)
          end
        end
        perigee.gather(unpack(jobs))
        assert.equal(20, count(test))
      end)
      test:close()
      assert.equal(0, test:stats().in_use)
      if db then assert.equal(0, count(db)) end
    end)

    it("closes also in the middle of a transaction", function()
      local test = open { force_rollback = true }
      perigee.run(function()
        local job = perigee.spawn(function()
          return pcall(test.transaction, test, function(tx)
            tx:query "select 1"
            perigee.sleep(0.05)
            tx:query "select 1"
          end)
        end)
        settle()
        test:close { timeout = 0.2 }
        assert.is_true(test:stats().is_closed)
        job:join()
      end)
      assert.equal(0, test:stats().in_use)
    end)
  end)

  if _VERSION == "Lua 5.4" then
    describe("leaving a scope:", function()
      require "spec.support.close54"(open)
    end)
  end

  it("concurrent read-modify-write loses nothing (P-48)", function()
    local db = open { acquire_timeout = 30 }
    table_t(db)
    insert(db, 1, 0)
    perigee.run(function()
      local jobs = {}
      for i = 1, 20 do
        jobs[i] = function()
          for _ = 1, 10 do
            db:transaction(function(tx)
              local lock = (is_postgres or is_mysql) and " for update" or ""
              local n = tx:value("select n from t where id = 1" .. lock)
              perigee.sleep(0)
              tx:execute("update t set n = ? where id = 1", n + 1)
            end)
          end
        end
      end
      perigee.gather(unpack(jobs))
    end)
    assert.equal(200, db:value "select n from t")
  end)

  it("options that the database lacks are usage", function()
    local db = open()
    if is_postgres then
      for level, shown in pairs {
        read_committed = "read committed", serializable = "serializable",
        repeatable_read = "repeatable read",
      } do
        db:transaction(function(tx)
          assert.equal(shown, tx:value "show transaction_isolation")
        end, { isolation = level })
      end
      db:transaction(function(tx)
        assert.equal("on", tx:value "show transaction_read_only")
        assert.equal("on", tx:value "show transaction_deferrable")
      end, { readonly = true, deferrable = true, isolation = "serializable" })
    elseif is_mysql then
      db:script "create table seen (n integer)"
      for level, shown in pairs {
        read_committed = "READ COMMITTED", serializable = "SERIALIZABLE",
        repeatable_read = "REPEATABLE READ",
      } do
        db:transaction(function(tx)
          tx:query "select * from seen"
          perigee.sleep(0.2) -- the server looks at this table ten times a second
          assert.equal(shown, tx:value [[select trx_isolation_level
            from information_schema.innodb_trx
            where trx_mysql_thread_id = connection_id()]])
        end, { isolation = level })
      end
      fails("usage", db.transaction, db, print, { deferrable = true })
    else
      fails("usage", db.transaction, db, print, { isolation = "read_committed" })
      fails("usage", db.transaction, db, print, { deferrable = true })
      assert.equal(1, db:transaction(function(tx)
        return tx:value "select 1"
      end, { isolation = "serializable" }))
    end
    table_t(db)
    fails("permission", db.transaction, db, function(tx) insert(tx, 1) end,
          { readonly = true })
    assert.equal(0, count(db))
    db:transaction(function(tx) insert(tx, 1) end)
    assert.equal(1, count(db))
  end)
end)
