-- each(), and verbs that read fewer rows than there are.
local perigee = require "perigee"
local helper = require "spec.support.helper"
local check = require "spec.support.check"

-- Fewer rows where each costs much: through the proxy, which cuts what comes
-- into pieces, and with a collector that never rests.
local proxied = check.proxied
local share = proxied and 500 or os.getenv "PERIGEE_GC" == "stress" and 5 or 1
local MILLION = 1000000 / share

-- n rows made by the server.
local function series(name, n)
  if name == "postgres" then
    return ("select x, 'row ' || x as t from generate_series(1, %d) as x")
      :format(n)
  end
  if name == "mysql" then
    return ("select seq as x, concat('row ', seq) as t from seq_1_to_%d"):format(n)
  end
  return ([[with recursive c(x) as (select 1 union all select x + 1 from c
    limit %d) select x, 'row ' || x as t from c]]):format(n)
end

-- Kilobytes that Lua holds.
local function lua_memory()
  collectgarbage()
  collectgarbage()
  return collectgarbage "count"
end

-- Those of the process; a sanitizer keeps what was freed.
local function process_memory()
  local f = not os.getenv "LD_PRELOAD" and io.open "/proc/self/statm"
  if not f then return 0 end
  local pages = f:read "*a":match "^%d+ (%d+)"
  f:close()
  return tonumber(pages) * 4
end

helper.for_each_db(function(name, open)
  local function fill(db, n)
    db:script "create table t (id integer primary key, v integer)"
    db:execute("insert into t select x, 0 from (" .. series(name, n) .. ") s")
  end

  -- Runs f with the handle, a connection and a transaction.
  local function on_each(db, f)
    f(db)
    db:connection(f)
    db:transaction(f)
    db:transaction(function(tx) tx:transaction(f) end)
  end

  describe("each", function()
    it("gives all rows in order, in a block or not", function()
      local db = open()
      on_each(db, function(x)
        local n = 0
        for row in x:each(series(name, 1700)) do
          n = n + 1
          assert.equal(n, row.x)
          assert.equal("row " .. n, row.t)
        end
        assert.equal(1700, n)
        for _ in x:each "select 1 as a where 1 = 0" do error "no row" end
        for row in x:each("select cast(? as integer) as a", 5) do
          assert.equal(5, row.a)
        end
      end)
      check.usable(db)
    end)

    it("on the handle lets other queries run inside the loop (P-41)",
       function()
      local db = open()
      local rows = helper.soak(10000)
      fill(db, rows)
      local n = 0
      for row in db:each "select id from t order by id" do
        if row.id % 10 == 0 then
          n = n + db:execute("update t set v = v + 1 where id = ?", row.id)
            .affected
        end
      end
      assert.equal(rows / 10, n)
    end)

    it("in a block lets other queries run inside the loop (P-41)", function()
      local db = open { max_size = 1 }
      local rows = helper.soak(10000)
      fill(db, rows)
      db:transaction(function(tx)
        for row in tx:each "select id from t order by id" do
          if row.id % 10 == 0 then
            tx:execute("update t set v = 2 where id = ?", row.id)
          end
        end
      end)
      assert.equal(rows / 10, db:value "select count(*) from t where v = 2")
      db:connection(function(conn)
        local seen = 0
        for row in conn:each "select id from t where v = 2 order by id" do
          seen = seen + conn:value("select v from t where id = ?", row.id)
        end
        assert.equal(rows / 5, seen)
      end)
      check.usable(db)
    end)

    it("nests", function()
      local db = open()
      local function nest(x)
        local sum = 0
        for a in x:each(series(name, 20)) do
          for b in x:each(series(name, 20)) do
            sum = sum + a.x * b.x
            if b.x == 15 then break end
          end
        end
        return sum
      end
      db:transaction(function(tx) assert.equal(210 * 120, nest(tx)) end)
      db:connection(function(c) assert.equal(210 * 120, nest(c)) end)
      collectgarbage()
    end)

    it("takes constant memory (P-41)", function()
      local db = open()
      local rows = helper.soak(MILLION)
      local sql = series(name, rows)
      local function run(x)
        local first, worst, n = nil, 0, 0
        for row in x:each(sql) do
          n = n + 1
          assert(row.x == n)
          if n % 10000 == 0 then
            local now = lua_memory()
            first = first or now
            worst = math.max(worst, now - first)
          end
        end
        assert.equal(rows, n)
        assert.is_true(worst < 1024, worst .. " kB more")
      end
      helper.watchdog(120)
      run(db)
      local before = process_memory()
      on_each(db, run)
      assert.is_true(process_memory() - before < 20480,
        process_memory() - before .. " kB more")
    end)

    it("has few large rows at a time", function()
      if proxied then return end
      local db = open()
      local text = name:find "sqlite" and "hex(zeroblob(1000000))" or "repeat('0', 2000000)"
      local sql = ("select s.x, %s as t from (%s) s"):format(text, series(name, 60))
      local n, worst = 0, 0
      local before = process_memory()
      for row in db:each(sql) do
        n = n + 1
        assert.equal(2000000, #row.t)
        collectgarbage()
        worst = math.max(worst, process_memory() - before)
      end
      assert.equal(60, n)
      assert.is_true(worst < 60000, worst .. " kB more") -- of 120,000
    end)

    it("cleans up after break (P-42)", function()
      local db = open { max_size = 2 }
      for _ = 1, helper.soak(proxied and 20 or 200) do
        on_each(db, function(x)
          for row in x:each(series(name, MILLION / 10)) do
            if row.x == 3 then break end
          end
          if check.is_jit then collectgarbage() end
          assert.equal(5, x:value "select 5")
        end)
      end
      collectgarbage()
      check.usable(db)
      assert.is_true(db:stats().size <= 2)
    end)

    it("cleans up after an error in the loop (P-42)", function()
      local db = open { max_size = 2 }
      local thing = {}
      for _ = 1, 20 do
        local ok, err = pcall(on_each, db, function(x)
          for _ in x:each(series(name, MILLION / 10)) do error(thing) end
        end)
        assert.is_false(ok)
        assert.equal(thing, err)
        for _, verb in ipairs { "connection", "transaction" } do
          ok, err = pcall(db[verb], db, function(x)
            for _ in x:each(series(name, MILLION / 10)) do error(thing) end
          end)
          assert.is_false(ok)
          assert.equal(thing, err)
        end
        collectgarbage()
        collectgarbage()
      end
      check.usable(db)
    end)

    it("cleans up after close, also twice and at the end (P-42)", function()
      local db = open { max_size = 1 }
      for _ = 1, 20 do
        local step, it = db:each(series(name, MILLION / 10))
        assert.equal(1, step(it).x)
        assert.equal(2, it:next().x)
        assert.equal(3, it().x)
        it:close()
        it:close()
        assert.is_nil(it:next())
        assert.is_nil(step(it))
        assert.equal(5, db:value "select 5")
        step, it = db:each "select 1 as x"
        assert.equal(1, step(it).x)
        assert.is_nil(step(it))
        assert.is_nil(step(it))
        it:close()
        assert.equal(5, db:value "select 5")
      end
      db:transaction(function(tx)
        local _, it = tx:each(series(name, MILLION / 10))
        assert.equal(1, it:next().x)
        it:close()
        assert.is_nil(it:next())
        assert.equal(5, tx:value "select 5")
      end)
      check.usable(db)
    end)

    it("cleans up after it was dropped, at a collection (P-42)", function()
      local db = open { max_size = 1 }
      for _ = 1, 10 do
        do
          local step, it = db:each(series(name, MILLION / 10))
          step(it)
        end
        collectgarbage()
        collectgarbage()
        assert.equal(5, db:value "select 5")
      end
      -- one that never began
      db:each(series(name, MILLION / 10))
      collectgarbage()
      collectgarbage()
      check.usable(db)
    end)

    it("cleans up after the coroutine that ran it was dropped (P-42)",
       function()
      local db = open { max_size = 1 }
      for _ = 1, 10 do
        do
          local gen = perigee.wrap(function()
            for row in db:each(series(name, MILLION / 10)) do
              coroutine.yield(row.x)
            end
          end)
          assert.equal(1, gen())
          assert.equal(2, gen())
        end
        collectgarbage()
        collectgarbage()
        assert.equal(5, db:value "select 5")
      end
      if coroutine.close then
        local co = coroutine.create(function()
          for row in db:each(series(name, MILLION / 10)) do
            coroutine.yield(row.x)
          end
        end)
        assert.is_true(coroutine.resume(co))
        assert.is_true((coroutine.close(co)))
        assert.equal(5, db:value "select 5")
      end
      check.usable(db)
    end)

    it("cleans up after its task was cancelled (P-42)", function()
      local db = open { max_size = 1 }
      perigee.run(function()
        for _ = 1, 10 do
          local started = false
          local task = perigee.spawn(function()
            for _ in db:each(series(name, MILLION / 10)) do
              started = true
              perigee.sleep(10)
            end
          end)
          while not started do perigee.sleep(0.001) end
          task:cancel()
          check.raises("cancelled", task.join, task)
          collectgarbage()
          collectgarbage()
          assert.equal(5, db:value "select 5")
        end
      end)
      check.usable(db)
    end)

    it("left early again and again never uses up the pool (P-42)", function()
      local db = open { max_size = 2 }
      for i = 1, 50 do
        for row in db:each(series(name, MILLION / 10)) do
          if row.x == 2 then break end
        end
        pcall(function()
          for _ in db:each(series(name, MILLION / 10)) do error "stop" end
        end)
        assert.equal(i, db:value("select cast(? as integer)", i))
      end
      collectgarbage()
      collectgarbage()
      check.usable(db)
    end)

    it("that outlives its transaction ends with closed, or has all its rows", function()
      local db = open { max_size = 1 }
      local step, it
      db:transaction(function(tx)
        step, it = tx:each(series(name, 5000))
        step(it)
      end)
      local n = 1
      local ok, err = pcall(function()
        while step(it) do n = n + 1 end
      end)
      if ok then assert.equal(5000, n) else assert.equal("closed", err.kind, tostring(err)) end
      it:close()
      check.usable(db)
    end)

    it("raises the error of its statement, at the start or later", function()
      local db = open { max_size = 1 }
      on_each(db, function(x)
        local ok, err = pcall(x.transaction, x, function(tx)
          for _ in tx:each "select * from nope" do error "a row" end
        end)
        assert.is_false(ok)
        assert.equal("undefined", err.kind, tostring(err))
      end)
      check.refuses(db, "undefined", function()
        for _ in db:each "select * from nope" do error "a row" end
      end)
      if name == "postgres" then
        local n = 0
        check.refuses(db, "data", function()
          for row in db:each
            "select 10 / (3000 - x) as y, x from generate_series(1, 5000) x" do
            n = row.x
          end
        end)
        assert.is_true(n > 0 and n < 3000)
      end
    end)

    it("takes statements that cannot be declared as a cursor", function()
      local db = open()
      db:script "create table t (id integer primary key)"
      on_each(db, function(x)
        local n = 0
        for row in x:each [[insert into t select coalesce(max(id), 0) + 1
          from t returning id]] do
          n = n + row.id
        end
        assert.is_true(n > 0)
      end)
      assert.equal(4, db:value "select count(*) from t")
    end)

    it("refuses a pool full of itself at once, by name", function()
      local db = open { max_size = 1, acquire_timeout = helper.patience(20) }
      if db:driver().features.interleave then return end
      local before = os.time()
      local err = check.raises("usage", function()
        for _ in db:each(series(name, MILLION / 10)) do db:value "select 1" end
      end)
      assert.is_true(os.time() - before < helper.patience(5))
      assert.is_truthy(err.message)
      collectgarbage()
      collectgarbage()
      check.usable(db)
    end)
  end)

  describe("first, one and value", function()
    it("read no more than they need of a million rows (P-59)", function()
      local db = open { max_size = 1 }
      local sql = series(name, MILLION)
      db:script "create table w (id integer)"
      db:first(sql)
      local created = check.created(db)
      local before, t0 = process_memory(), nil
      local function run(x)
        t0 = os.clock()
        for _ = 1, 2 do
          assert.equal(1, x:first(sql).x)
          assert.equal(1, x:value(sql))
          assert.equal(42, x:value "select 42")
          check.raises("not_unique", x.one, x, sql)
          assert.equal(42, x:value "select 42")
        end
      end
      run(db)
      assert.is_true(proxied or os.clock() - t0 < helper.patience(0.5))
      -- A statement in a transaction cannot be cancelled: PostgreSQL's rows are
      -- read over.
      db:transaction(run)
      assert.is_true(process_memory() - before < 8192,
        process_memory() - before .. " kB more")
      check.usable(db)
      assert.equal(created, check.created(db))
    end)

    it("are fast on a million rows, on the clock (P-59)", function()
      local db = open { max_size = 1 }
      local sql = series(name, MILLION)
      local function elapsed(f)
        local seconds
        local probe = open { max_size = 1, on_query = function(q)
          seconds = q.seconds
        end }
        f(probe)
        probe:close()
        return seconds
      end
      local best = math.huge
      for _ = 1, 8 do
        best = math.min(best, elapsed(function(probe)
          probe:first "select 1"
          probe:first(sql)
        end))
      end
      assert.is_true(best < helper.patience(0.2), best .. " s")
      assert.equal(1, db:first(sql).x)
    end)

    it("do not abort the transaction they are in (P-59)", function()
      local db = open { max_size = 1 }
      fill(db, 100)
      db:transaction(function(tx)
        tx:execute "update t set v = 1 where id = 1"
        for _ = 1, 3 do
          tx:first(series(name, MILLION))
          tx:first "select * from t where id > 5"
        end
        tx:execute "update t set v = 2 where id = 2"
      end)
      assert.equal(3, tonumber(db:value "select sum(v) from t"))
    end)

    it("leave the caller's own LIMIT and ORDER alone (P-59)", function()
      local db = open()
      fill(db, 10)
      assert.equal(8, db:value [[select id from t order by id desc
        limit 3 offset 2]])
      assert.equal(10, db:first("select id from t order by id desc; ").id)
      assert.equal(10, db:first("select id from t order by id desc -- x").id)
    end)
  end)
end)
