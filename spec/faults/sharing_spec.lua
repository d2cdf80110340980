-- Statements of many tasks on one connection: what one of them suffers is not its
-- neighbours' business. F-31, F-33 … F-37.

local perigee = require "perigee"
local faults = require "spec.support.faults"
local helper = require "spec.support.helper"

local fails, seconds, open = faults.fails, faults.seconds, faults.open
local unpack = table.unpack or unpack

-- The server's time for it is known to be short when it has been run a few times.
local function warm(db, ...)
  for _ = 1, 8 do db:query(...) end
end

-- Runs the functions as tasks, which begin in this turn; an error or true for each.
local function together(fns)
  local tasks, outcome = {}, {}
  for i, fn in ipairs(fns) do tasks[i] = perigee.spawn(fn) end
  for i, task in ipairs(tasks) do
    local ok, err = pcall(task.join, task)
    outcome[i] = ok or err
  end
  return outcome
end

local NAP = "select ?::int from (select pg_sleep(?)) s"

-- A handle with one connection, on which NAP is known as short.
local function one(url, options)
  options = options or {}
  options.max_size = 1
  local db = open(faults.by_wire(url or faults.postgres), options)
  warm(db, NAP, 0, 0)
  return db
end

faults.on_postgres("Sharing", function()
  it("F-31 F-33 an error is only its own statement's", function()
    local db = one()
    warm(db, "select 10 / ?::int", 1)
    warm(db, "select (?::text)::int", "1")
    warm(db, "select 7")
    perigee.run(function()
      for _ = 1, 3 do
        local before, fns = db:stats().pipelined, {}
        local sql = { { "select 7" }, { "select 10 / ?::int", 0 }, { "select 7" },
          { "select (?::text)::int", "x" }, { "selec" }, { "select 7" } }
        for i, s in ipairs(sql) do fns[i] = function() return db:value(unpack(s)) end end
        local got = together(fns)
        assert.is_true(got[1] == true and got[3] == true and got[6] == true)
        assert.equal("22012", got[2].sqlstate)
        assert.equal("22P02", got[4].sqlstate)
        assert.equal("42601", got[5].sqlstate)
        assert.is_true(db:stats().pipelined > before)
      end
    end)
    assert.equal(1, db:stats().created)
  end)

  it("each is a transaction of its own", function()
    local db = open(faults.by_wire(faults.postgres), { max_size = 1 })
    db:script [[drop table if exists shared_tx;
      create table shared_tx (id int primary key)]]
    for i = -8, -1 do db:execute("insert into shared_tx values (?)", i) end
    perigee.run(function()
      local fns = {}
      for i = 1, 20 do
        fns[i] = function() -- every second one is there already
          db:execute("insert into shared_tx values (?)", i % 2 == 0 and -1 or i)
        end
      end
      local got = together(fns)
      for i = 1, 20 do
        if i % 2 == 1 then assert.is_true(got[i]) else assert.equal("unique", got[i].kind) end
      end
    end)
    assert.equal(18, db:value "select count(*)::int from shared_tx")
    db:execute "drop table shared_tx"
  end)

  it("F-34 a lost connection says of each whether it was sent", function()
    local proxy = faults.proxy()
    local db = one(proxy.db, { pipeline = 32 })
    perigee.run(function()
      local fns = {}
      for i = 1, 40 do fns[i] = function() assert.equal(i, db:value(NAP, i, 0)) end end
      proxy:stall "down"
      local killer = perigee.spawn(function()
        perigee.sleep(0.05)
        assert.equal(31, db:stats().shared)
        proxy:reset()
        proxy:clear()
      end)
      local got, lost, fine = together(fns), 0, 0
      killer:join()
      for i = 1, 40 do
        if got[i] == true then
          fine = fine + 1
        else
          assert.equal("closed", got[i].kind)
          assert.is_false(got[i].retryable) -- it may have run
          lost = lost + 1
        end
      end
      assert.same({ 32, 8 }, { lost, fine }) -- the others were still with us
    end)
    assert.equal(1, db:stats().size)
  end)

  for place, number in pairs { first = 1, second = 2, middle = 8, last = 16 } do
    it("F-35 the " .. place .. " of those in flight is cancelled, or late", function()
      local db = one()
      for _, how in ipairs { "cancel", "late" } do
        perigee.run(function()
          local fns, tasks = {}, {}
          for i = 1, 16 do
            -- All wait for the first a little, so that the others are in flight.
            local nap = i == number and 20 or i == 1 and 0.1 or 0
            fns[i] = function() return db:value(NAP, i, nap) end
          end
          for i = 1, 16 do
            tasks[i] = perigee.spawn(function()
              if how == "late" and i == number then
                return perigee.timeout(0.05, fns[i])
              end
              return fns[i]()
            end)
          end
          perigee.sleep(0.02)
          if how == "cancel" then tasks[number]:cancel() end
          local took = seconds(function()
            for i = 1, 16 do
              local ok, v = pcall(tasks[i].join, tasks[i])
              assert.equal(i ~= number, ok, tostring(v))
              if ok then assert.equal(i, v) end
            end
          end)
          assert.is_true(took < helper.patience(3), tostring(took))
        end)
        assert.equal(1, db:value(NAP, 1, 0))
      end
      local s = db:stats()
      assert.same({ 0, 1 }, { s.in_use, s.created })
    end)
  end

  it("F-36 what belongs to a session, or moves data, never shares", function()
    local db = one(nil, { max_size = 1 })
    for _, sql in ipairs { "listen x", "set work_mem = '1MB'", "begin", "copy t to stdout",
      "create temp table t (a int)" } do
      fails("usage", db.execute, db, sql)
    end
    perigee.run(function()
      local fns, done = {}, 0
      for i = 1, 24 do
        fns[i] = function()
          if i % 4 == 0 then
            db:value "select set_config('a.b', 'dirty', false)" -- reset when it returns
          elseif i % 4 == 1 then
            db:execute "create table if not exists shared_ddl (a int)"
          else
            local v = db:value "select coalesce(current_setting('a.b', true), '')"
            assert.equal("", v)
          end
          done = done + 1
        end
      end
      for _, r in ipairs(together(fns)) do assert.is_true(r) end
      assert.equal(24, done)
    end)
    db:execute "drop table shared_ddl"
  end)
end)

faults.on_postgres("Sharing and poolers (F-37)", function()
  local function burst(db, n)
    local fns = {}
    for i = 1, n do fns[i] = function() assert.equal(i, db:value(NAP, i, 0)) end end
    return together(fns)
  end

  it("are told by the number of their process", function()
    local proxy = faults.proxy()
    proxy:pooler(3) -- and this one loses what it does not expect
    local db = one(proxy.db)
    perigee.run(function()
      for _, r in ipairs(burst(db, 40)) do assert.is_true(r) end
    end)
    assert.equal(0, db:stats().pipelined)
    proxy:clear()
    db:evict()
    warm(db, NAP, 0, 0)
    perigee.run(function()
      for _, r in ipairs(burst(db, 40)) do assert.is_true(r) end
    end)
    assert.is_true(db:stats().pipelined > 0)
  end)

  it("share when they are told to, and bear it", function()
    local proxy = faults.proxy()
    proxy:pooler()
    local db = one(proxy.db, { pipeline = 16 })
    perigee.run(function()
      for _, r in ipairs(burst(db, 40)) do assert.is_true(r) end
    end)
    assert.is_true(db:stats().pipelined > 0)
  end)

  it("or do not, and nobody waits for ever", function()
    local proxy = faults.proxy()
    proxy:pooler(3)
    local db = open(faults.by_wire(proxy.db), { max_size = 1, pipeline = 16, query_timeout = 0.5 })
    warm(db, NAP, 0, 0)
    perigee.run(function()
      local took, got = seconds(burst, db, 8)
      assert.is_true(took < helper.patience(8), tostring(took))
      local fine = 0
      for i = 1, 8 do
        if got[i] == true then
          fine = fine + 1
        else
          assert.is_true(got[i].kind == "timeout" or got[i].kind == "closed",
            tostring(got[i]))
        end
      end
      assert.is_true(fine >= 2 and fine < 8)
    end)
    proxy:clear()
    perigee.sleep(0.1)
    assert.equal(5, db:value(NAP, 5, 0))
  end)
end)
