-- Statements of many tasks share connections: what does and what does not, fairness,
-- hooks, and everything at once.

local perigee = require "perigee"
local faults = require "spec.support.faults"
local helper = require "spec.support.helper"

local open, eventually = faults.open, faults.eventually
local postgres = faults.postgres and faults.by_wire(faults.postgres) -- libpq does not share

local NAP = "select ?::int from (select pg_sleep(?)) s"

local function warm(db, ...)
  for _ = 1, 8 do db:query(...) end
end

-- Runs fn(1) … fn(n) as tasks and waits for them; the first error is raised.
local function tasks(n, fn)
  perigee.run(function()
    local list = {}
    for i = 1, n do list[i] = perigee.spawn(fn, i) end
    for i = 1, n do list[i]:join() end
  end)
end

faults.on_postgres("Shared connections", function()
  it("are what many tasks have; a lone one has its own", function()
    local db = open(postgres, { max_size = 2 })
    warm(db, NAP, 1, 0)
    for _ = 1, 10 do assert.equal(3, db:value(NAP, 3, 0)) end
    assert.equal(0, db:stats().pipelined)
    local most = 0
    tasks(50, function(i)
      for k = 1, 20 do
        assert.equal(i * k, db:value(NAP, i * k, 0))
        most = math.max(most, db:stats().shared)
      end
    end)
    local s = db:stats()
    assert.is_true(s.pipelined > 100 and most > 8, s.pipelined .. " " .. most)
    assert.same({ 2, 0, 0 }, { s.size, s.in_use, s.shared })
  end)

  it("are switched off by pipeline = 0, 1, reset = always, and libpq", function()
    local more = faults.with(faults.postgres, { protocol = "libpq" })
    for _, o in ipairs { { pipeline = 0 }, { pipeline = 1 }, { reset = "always" }, {} } do
      local url = next(o) and postgres or more
      o.max_size = 2
      local db = open(url, o)
      warm(db, NAP, 1, 0)
      tasks(20, function(i) assert.equal(i, db:value(NAP, i, 0)) end)
      assert.equal(0, db:stats().pipelined)
    end
  end)

  it("take pipeline from the URL, from 0 to 256", function()
    local db = open(faults.with(postgres, { pipeline = 2, max_size = 1 }))
    warm(db, NAP, 1, 0)
    local most = 0
    tasks(20, function(i)
      assert.equal(i, db:value(NAP, i, 0))
      most = math.max(most, db:stats().shared)
    end)
    assert.is_true(most <= 1)
    for _, bad in ipairs { -1, 257, 1.5, "x" } do
      faults.fails("usage", perigee.open, postgres, { pipeline = bad })
    end
  end)

  it("are never behind a statement with a timeout, a lease or a stream", function()
    local db = open(postgres, { max_size = 1 })
    warm(db, NAP, 1, 0)
    tasks(12, function(i)
      if i % 3 == 0 then
        assert.equal(i, db:value(NAP, { i, 0 }, { timeout = 5 }))
      elseif i % 3 == 1 then
        db:transaction(function(tx) assert.equal(i, tx:value(NAP, i, 0)) end)
      else
        local n = 0
        for _ in db:each "select * from generate_series(1, 700)" do n = n + 1 end
        assert.equal(700, n)
      end
    end)
    assert.equal(0, db:stats().pipelined)
  end)

  it("are set up by on_connect first", function()
    local set = 0
    local db = open(postgres, {
      max_size = 2,
      on_connect = function(conn)
        conn:execute "set app.who = 'me'"
        set = set + 1
      end,
    })
    local sql = "select current_setting('app.who')"
    warm(db, sql)
    tasks(40, function()
      for _ = 1, 5 do assert.equal("me", db:value(sql)) end
    end)
    assert.is_true(set >= 1 and set <= db:stats().created) -- one may be unused
    assert.is_true(db:stats().pipelined > 0)
  end)

  it("tell on_query of each, and on_notice of all", function()
    local told, notices, slowest = 0, 0, 0
    local db = open(postgres, {
      max_size = 1,
      on_query = function(e)
        told = told + 1
        slowest = math.max(slowest, e.seconds)
      end,
      on_notice = function() notices = notices + 1 end,
    })
    db:execute [[create or replace function pg_temp_say(i int) returns int
      language plpgsql as $$begin raise notice 'said %', i; return i; end$$]]
    warm(db, "select pg_temp_say(?)", 1)
    told, notices = 0, 0
    tasks(20, function(i) assert.equal(i, db:value("select pg_temp_say(?)", i)) end)
    assert.same({ 20, 20 }, { told, notices })
    assert.is_true(slowest > 0 and slowest < helper.patience(5))
    db:execute "drop function pg_temp_say(int)"
  end)

  it("are all left when the server has become read-only (25006), once", function()
    local writable = false
    local db = open(postgres, {
      max_size = 1,
      on_connect = function(conn)
        if not writable then conn:execute "set default_transaction_read_only = on" end
      end,
    })
    local sql = "insert into shared_ro values (?)"
    faults.admin():script [[drop table if exists shared_ro;
      create table shared_ro (a int)]]
    for i = 1, 8 do pcall(db.execute, db, sql, i) end
    local before = db:stats().created
    writable = true
    tasks(16, function(i)
      local ok, err = pcall(db.execute, db, sql, i)
      assert.is_true(ok or err.sqlstate == "25006")
    end)
    db:execute(sql, 1)
    assert.is_true(db:stats().created - before <= 2)
    faults.admin():execute "drop table shared_ro"
  end)

  it("have their answers before the handle is closed", function()
    local db = open(postgres, { max_size = 1 })
    warm(db, NAP, 1, 0)
    local fine = 0
    perigee.run(function()
      local list = {}
      for i = 1, 10 do
        list[i] = perigee.spawn(function()
          assert.equal(i, db:value(NAP, i, i == 1 and 0.3 or 0))
          fine = fine + 1
        end)
      end
      perigee.sleep(0) -- all are on their way
      assert.equal(9, db:stats().shared)
      db:close()
      for i = 1, 10 do list[i]:join() end
    end)
    assert.equal(10, fine)
  end)
end)

faults.on_postgres("Fairness (B9)", function()
  it("nobody waits long for a slow statement of somebody else", function()
    local db = open(postgres, { max_size = 4 })
    warm(db, "select 7")
    local stop, longest, n = false, 0, 0
    local due = faults.now() + 1
    tasks(64, function(i)
      while faults.now() < due and not stop do
        local began = faults.now()
        if i == 64 then
          db:value "select 1 from pg_sleep(0.05)"
        else
          assert.equal(7, db:value "select 7")
          longest = math.max(longest, faults.now() - began)
          n = n + 1
        end
      end
      stop = true
    end)
    assert.is_true(longest < helper.patience(0.2), tostring(longest))
    assert.is_true(n > 100)
  end)

  it("who wants a connection alone gets one in time", function()
    local db = open(postgres, { max_size = 2 })
    warm(db, "select 7")
    local stop, longest, n = false, 0, 0
    tasks(40, function(i)
      if i > 1 then
        while not stop do db:value "select 7" end
        return
      end
      for _ = 1, 30 do
        local began = faults.now()
        db:transaction(function(tx)
          longest = math.max(longest, faults.now() - began)
          tx:value "select 7"
        end)
        n = n + 1
      end
      stop = true
    end)
    assert.equal(30, n)
    assert.is_true(longest < helper.patience(0.2), tostring(longest))
  end)

  it("what waits for a lock does not take its holder's statements with it", function()
    local db = open(postgres, { max_size = 4, query_timeout = 10 })
    db:script [[drop table if exists shared_lock; create table shared_lock (n int);
      insert into shared_lock values (0)]]
    warm(db, "update shared_lock set n = n + 1")
    warm(db, "select 7")
    perigee.run(function()
      local waiters = {}
      db:transaction(function(tx)
        tx:execute "update shared_lock set n = n + 1"
        for i = 1, 2 do
          waiters[i] = perigee.spawn(db.execute, db, "update shared_lock set n = n + 1")
        end
        local began = faults.now()
        for _ = 1, 5 do
          -- On the handle, while this task holds the lock.
          perigee.spawn(function() assert.equal(7, db:value "select 7") end):join()
          perigee.sleep(0.01)
        end
        assert.is_true(faults.now() - began < helper.patience(2))
      end)
      for i = 1, 2 do waiters[i]:join() end
    end)
    assert.equal(11, db:value "select n from shared_lock")
    db:execute "drop table shared_lock"
  end)
end)

-- ---- everything at once -----------------------------------------------------

local ALLOWED = { closed = true, timeout = true, cancelled = true, connect = true }

-- What a task does: each gives how often it has added 1 to its counter for certain.
local acts = {
  function(db, id)
    return db:execute("update soak set n = n + 1 where id = ?", id).affected
  end,
  function(db, id)
    db:transaction(function(tx)
      tx:execute("update soak set n = n + 1 where id = ?", id)
      tx:value("select n from soak where id = ?", id)
    end)
    return 1
  end,
  function(db)
    local last = 0
    for row in db:each "select g from generate_series(1, 1200) g" do last = row.g end
    assert(last == 1200)
    return 0
  end,
  function(db)
    local ok, err = pcall(db.value, db, "select 1 / ?::int", 0)
    if not ok and err.sqlstate ~= "22012" then error(err, 0) end
    return 0
  end,
  function(db, id)
    local task = perigee.spawn(db.value, db, NAP, id, 0.02)
    perigee.sleep(0.001 * (id % 5))
    task:cancel()
    pcall(task.join, task)
    return 0
  end,
  function(db, id)
    pcall(db.value, db, NAP, { id, 0.05 }, { timeout = 0.002 })
    return 0
  end,
  function(db, id)
    db:execute_many("insert into soak_log values (?)", { { id }, { id } })
    return 0
  end,
}

local function soak(url, disturb)
  local db = open(url, { max_size = 3, query_timeout = 5 })
  faults.admin():script [[drop table if exists soak, soak_log;
    create table soak (id int primary key, n int not null);
    create table soak_log (id int);
    insert into soak select g, 0 from generate_series(1, 24) g]]
  local sure, open_ends = {}, {}
  local due = faults.now() + (helper.soak(10) == 10 and 10 or 1.5)
  perigee.run(function()
    local list, stop = {}, false
    for id = 1, 24 do
      local random = helper.random("soak " .. id)
      sure[id], open_ends[id] = 0, 0
      list[id] = perigee.spawn(function()
        while faults.now() < due do
          local k = random(10)
          local act = acts[k] or function()
            assert(db:value("select id from soak where id = ?", id) == id)
            return 0
          end
          local ok, got = pcall(act, db, id)
          if ok then
            sure[id] = sure[id] + got
          else
            assert(ALLOWED[got.kind], tostring(got))
            if k <= 2 then open_ends[id] = open_ends[id] + 1 end
          end
        end
      end)
    end
    local trouble = perigee.spawn(function()
      while disturb and not stop do
        perigee.sleep(0.1)
        disturb()
      end
    end)
    for id = 1, 24 do list[id]:join() end
    stop = true
    trouble:join()
  end)
  return db, sure, open_ends
end

local function check(db, sure, open_ends)
  eventually(function() return db:stats().in_use == 0 end)
  for _, row in ipairs(faults.admin():query "select id, n from soak") do
    assert.is_true(row.n >= sure[row.id] and row.n <= sure[row.id] + open_ends[row.id],
      ("%d: %d, %d sure, %d open"):format(row.id, row.n, sure[row.id], open_ends[row.id]))
  end
  local s = db:stats()
  assert.is_true(s.pipelined > 0)
  assert.same({ 0, 0 }, { s.shared, s.waiting })
  assert.is_true(s.size <= 3)
  assert.equal(7, db:value(NAP, 7, 0))
  faults.admin():script "drop table soak, soak_log"
end

faults.on_postgres("Sharers, transactions, streams, batches and cancels", function()
  it("at once", function() check(soak(postgres)) end)

  it("while connections are lost and stall", function()
    local proxy = faults.proxy()
    local random = helper.random "trouble"
    local kinds = {
      function() proxy:reset() end,
      function() proxy:slice(3) end,
      function() proxy:delay(4) end,
      function() proxy:fin() end,
      function()
        proxy:stall()
        perigee.sleep(0.02)
        proxy:resume()
      end,
      function() proxy:clear() end,
    }
    local function trouble() kinds[random(#kinds)]() end
    local db, sure, open_ends = soak(faults.by_wire(proxy.db), trouble)
    proxy:clear()
    check(db, sure, open_ends)
  end)
end)
