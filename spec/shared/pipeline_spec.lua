-- Pipelines: the same results and errors on every database, one after the other where
-- the database can no better.

local helper = require "spec.support.helper"
local expect = require "spec.support.expect"
local perigee = require "perigee"

local fails = expect.fails

helper.for_each_db(function(name, open)
  local is_postgres = name == "postgres"
  local bad = "insert into t (id, n) values (1, 1)" -- unique

  local function table_t(db)
    db:script "create table t (id integer primary key, n integer)"
  end

  describe("a pipeline", function()
    it("gives replies that know what the verb returns", function()
      local db = open()
      table_t(db)
      local a, b, c = db:pipeline(function(p)
        local insert = p:execute("insert into t values (?, ?), (?, ?)", 1, 10, 2, 20)
        local rows = p:query("select id, n from t where n > :n order by id", { n = 5 })
        local first = p:first "select n from t where id = 2"
        local none = p:first "select n from t where id = 99"
        local one = p:one("select id, n from t where id = ?", { 1 }, { rows = "array" })
        local value, null = p:value "select count(*) from t", p:value "select null"
        assert.same({ affected = 2 }, { affected = insert:get().affected })
        assert.same({ { id = 1, n = 10 }, { id = 2, n = 20 } }, rows:get())
        assert.same({ "id", "n" }, rows:get().columns)
        assert.same({ n = 20 }, first:get())
        assert.is_nil(none:get())
        assert.same({ 1, 10 }, one:get())
        assert.equal(2, value:get())
        assert.is_nil(null:get())
        assert.is_nil(null:get())
        assert.equal(rows:get(), rows:get()) -- made once
        return 1, nil, 3
      end)
      assert.same({ 1, 3 }, { a, c })
      assert.is_nil(b)
      assert.equal(0, db:stats().in_use)
    end)

    it("has all answers when it returns", function()
      local db = open()
      table_t(db)
      local replies = {}
      db:pipeline(function(p)
        for i = 1, 500 do replies[i] = p:execute("insert into t values (?, ?)", i, i) end
        for i = 501, 1000 do replies[i] = p:value("select ? + 0", i) end
      end)
      assert.equal(500, db:value "select count(*) from t")
      assert.equal(1, replies[500]:get().affected)
      assert.equal(1000, replies[1000]:get())
    end)

    it("raises the error of a reply as often as it is asked", function()
      local db = open()
      table_t(db)
      db:execute "insert into t values (1, 1)"
      local again
      db:pipeline(function(p)
        local before, reply, after = p:value "select 1", p:execute(bad), p:value "select 2"
        local err = fails("unique", reply.get, reply)
        assert.equal(err, fails("unique", reply.get, reply))
        assert.matches("insert into t", err.sql)
        assert.same({ 1, 2 }, { before:get(), after:get() }) -- each for itself
        again = reply
      end)
      fails("unique", again.get, again)
    end)

    it("raises the first error that nobody has fetched", function()
      local db = open()
      table_t(db)
      db:execute "insert into t values (1, 1)"
      for at = 1, 3 do
        local list, done = { "select 1", "select 2", "select 3" }, false
        list[at] = bad
        fails("unique", db.pipeline, db, function(p)
          for _, sql in ipairs(list) do p:execute(sql) end
          done = true
        end)
        assert.is_true(done)
      end
      local err = fails("undefined", db.pipeline, db, function(p)
        local fetched = p:execute(bad)
        p:execute "select nope1"
        p:execute "select nope2"
        fails("unique", fetched.get, fetched)
      end)
      assert.matches("nope1", err.message)
      fails("not_found", db.pipeline, db, function(p) p:one "select 1 where 1 = 0" end)
      fails("not_unique", db.pipeline, db, function(p)
        p:one "select 1 union all select 2"
      end)
      assert.equal(0, db:stats().in_use)
    end)

    it("raises what its function raises, when the answers have come", function()
      local db = open()
      table_t(db)
      local reply
      local ok, err = pcall(db.pipeline, db, function(p)
        p:execute(bad)
        p:execute(bad)
        reply = p:value "select 7"
        error("mine", 0)
      end)
      assert.same({ false, "mine" }, { ok, err })
      assert.equal(7, reply:get())
      assert.equal(1, db:value "select count(*) from t")
      assert.equal(0, db:stats().in_use)
    end)

    it("refuses what is no statement, and goes on", function()
      local db = open()
      table_t(db)
      db:pipeline(function(p)
        for _, call in ipairs {
          function() p:query() end, function() p:query {} end, function() p:query "" end,
          function() p:query "select 1; select 2" end,
          function() p:query("select ?", 1, 2) end,
          function() p:query("select ?", print) end,
          function() p:query("select 1", {}, { nonsense = 1 }) end,
          function() p:query("select 1", {}, { timeout = -1 }) end,
          function() p:first("select 1", {}, { rows = "columns" }) end,
          function() p.query("select 1") end, function() p:execute "begin" end,
          function() p:execute "commit" end, function() p:each "select 1" end,
          function() p:transaction(print) end, function() p:begin() end,
          function() p:pipeline(print) end, function() return p.nonsense end,
        } do
          fails("usage", call)
        end
        assert.equal(1, p:value("select 1"):get())
        local reply = p:value "select 2"
        fails("usage", reply.get)
        fails("usage", reply.get, {})
      end)
      for _, arguments in ipairs { {}, { 1 }, { "x" }, { print, 1 }, { print, { x = 1 } },
        { print, { timeout = 0 } }, { print, { timeout = "x" } } } do
        fails("usage", db.pipeline, db, (table.unpack or unpack)(arguments))
      end
      assert.equal(0, db:stats().in_use)
    end)

    it("takes neither a pipeline nor a transaction into it", function()
      local db = open()
      db:pipeline(function()
        fails("usage", db.pipeline, db, print)
        fails("usage", db.transaction, db, print)
        fails("usage", db.begin, db)
      end)
      db:transaction(function(tx)
        tx:pipeline(function()
          fails("usage", tx.pipeline, tx, print)
          fails("usage", tx.transaction, tx, print)
        end)
        tx:transaction(function() end)
      end)
      db:pipeline(function() end)
    end)

    it("ends with its function", function()
      local db = open()
      local kept, reply
      db:pipeline(function(p)
        kept = p
        reply = p:value "select 42"
      end)
      fails("closed", kept.query, kept, "select 1")
      db:close()
      assert.equal(42, reply:get())
      fails("closed", db.pipeline, db, print)
    end)

    it("is for the task that opened it, its replies are for all", function()
      local db = open()
      perigee.run(function()
        db:pipeline(function(p)
          local other = perigee.spawn(function() p:query "select 1" end)
          fails("usage", other.join, other)
          local reply = p:value "select 5"
          local got = { perigee.gather(function() return reply:get() end,
            function() return reply:get() end) }
          assert.same({ 5, 5 }, got)
          local through = perigee.wrap(function() return p:value("select 6"):get() end)
          assert.equal(6, through())
        end)
      end)
    end)

    it("is given up with its task", function()
      local db = open { max_size = 1 }
      table_t(db)
      local slow = is_postgres and "select pg_sleep(20)"
        or "with recursive g(i) as (select 1 union all select i + 1 from g) "
          .. "select count(*) from g"
      perigee.run(function()
        local reply
        local job = perigee.spawn(db.pipeline, db, function(p)
          p:execute(slow)
          reply = p:value "select 1"
          p:execute "insert into t values (1, 1)"
        end)
        expect.eventually(function() return reply end)
        perigee.sleep(0.02)
        job:cancel()
        fails("cancelled", job.join, job)
        fails("cancelled", reply.get, reply)
        expect.idle(db)
        fails("timeout", perigee.timeout, 0.05, db.pipeline, db, function(p)
          p:value(slow):get()
        end)
        expect.idle(db)
      end)
      assert.equal(0, db:value "select count(*) from t")
    end)

    it("leaves a timed out statement to itself", function()
      local db = open { max_size = 1 }
      local slow = is_postgres and "select pg_sleep(20)"
        or "with recursive g(i) as (select 1 union all select i + 1 from g) "
          .. "select count(*) from g"
      db:pipeline(function(p)
        local late = p:value(slow, {}, { timeout = 0.05 })
        local next = p:value "select 2"
        fails("timeout", late.get, late)
        assert.equal(2, next:get())
      end)
      fails("timeout", db.pipeline, db, function(p) p:value(slow) end, { timeout = 0.05 })
      expect.idle(db)
    end)

    it("keeps the rows of every shape and class", function()
      local db = open()
      local class = { __index = { double = function(row) return row.x * 2 end } }
      db:pipeline(function(p)
        local list = p:query("select 3 as x", {}, { class = class })
        local columns = p:query("select 3 as x", {}, { rows = "columns" })
        assert.equal(6, list:get()[1]:double())
        assert.same({ 3 }, columns:get().x)
      end)
    end)

    it("tells the hooks of each statement", function()
      local told = {}
      local db = open { on_query = function(e) told[#told + 1] = e end }
      db:pipeline(function(p)
        p:value "select 1"
        local reply = p:value "select nope"
        fails("undefined", reply.get, reply)
      end)
      table.sort(told, function(a, b) return a.sql < b.sql end)
      assert.equal(2, #told)
      assert.equal("select 1", told[1].sql)
      assert.equal("undefined", told[2].error.kind)
    end)

    it("decodes long lists while others run", function()
      local db = open()
      perigee.run(function()
        db:pipeline(function(p)
          local reply = p:query("with recursive g(i) as (select 1 union all select i + 1 "
            .. "from g where i < 20000) select i from g")
          local function last()
            local rows = reply:get()
            return rows[20000].i
          end
          assert.same({ 20000, 20000 }, { perigee.gather(last, last) })
        end)
      end)
    end)

    it("leaves nothing behind when its objects are dropped", function()
      local db = open { max_size = 1 }
      for _ = 1, 20 do
        db:pipeline(function(p)
          for i = 1, 20 do
            p:value("select ? + 1", i)
            if i % 7 == 0 then collectgarbage() end
          end
        end)
        collectgarbage()
      end
      assert.equal(0, db:stats().in_use)
      assert.equal(1, db:stats().created)
    end)

    it("left in the middle by a coroutine that nobody resumes", function()
      local db = open { max_size = 1, on_warning = function() end }
      do
        local hold = perigee.wrap(function()
          db:pipeline(function(p)
            p:value "select 1"
            coroutine.yield()
            p:value "select 2"
          end)
        end)
        hold()
      end
      expect.idle(db)
      assert.equal(1, db:value "select 1")
    end)
  end)

  describe("a pipeline in a transaction", function()
    it("is part of it", function()
      local db = open { max_size = 1 }
      table_t(db)
      pcall(db.transaction, db, function(tx)
        tx:pipeline(function(p)
          for i = 1, 50 do p:execute("insert into t values (?, 0)", i) end
        end)
        assert.equal(50, tx:value "select count(*) from t")
        db:pipeline(function(p) -- the same task: joins
          assert.equal(50, p:value("select count(*) from t"):get())
        end)
        error "undo"
      end)
      assert.equal(0, db:value "select count(*) from t")
      db:transaction(function(tx)
        tx:transaction(function(sp)
          sp:pipeline(function(p) p:execute "insert into t values (1, 0)" end)
        end)
      end)
      db:connection(function(conn)
        conn:pipeline(function(p) p:execute "insert into t values (2, 0)" end)
      end)
      assert.equal(2, db:value "select count(*) from t")
    end)

    it("has errors as a transaction has them", function()
      local db = open { max_size = 1 }
      table_t(db)
      db:execute "insert into t values (1, 1)"
      local ok, err = pcall(db.transaction, db, function(tx)
        tx:pipeline(function(p)
          p:execute "insert into t values (2, 2)"
          local reply, after = p:execute(bad), p:value "select 5"
          fails("unique", reply.get, reply)
          if not is_postgres then
            assert.equal(5, after:get())
            error("undo", 0)
          end
          assert.equal("unique", fails("aborted", after.get, after).cause.kind)
        end)
      end)
      assert.is_false(ok)
      assert.is_true(err == "undo" or err.kind == "aborted")
      assert.equal(1, db:value "select count(*) from t")
      assert.equal(0, db:stats().in_use)
    end)

    it("that fails rolls it back", function()
      local db = open { max_size = 1 }
      table_t(db)
      fails("unique", db.transaction, db, function(tx)
        tx:pipeline(function(p)
          p:execute(bad)
          p:execute(bad)
        end)
      end)
      assert.equal(0, db:value "select count(*) from t")
      assert.equal(0, db:stats().in_use)
    end)
  end)
end)
