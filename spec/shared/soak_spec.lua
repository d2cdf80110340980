-- Much, for long, and with a server that dies: a tenth of it unless
-- PERIGEE_SOAK=1.

local helper = require "spec.support.helper"
local expect = require "spec.support.expect"
local perigee = require "perigee"

local eventually = expect.eventually
local run, spawn, sleep = perigee.run, perigee.spawn, perigee.sleep

local function rss() -- in KiB
  local f = io.open "/proc/self/statm"
  if not f then return 0 end
  local _, pages = f:read("*n", "*n")
  f:close()
  return pages * 4
end

local function memory()
  for _ = 1, 5 do collectgarbage() end
  return collectgarbage "count", rss()
end

-- Runs f(i) in n tasks.
local function crowd(n, f)
  run(function()
    for i = 1, n do spawn(f, i) end
  end)
end

helper.for_each_db(function(name, open)
  it("ten thousand tasks share eight connections", function()
    local db = open { max_size = 8, acquire_timeout = 300 }
    local n = helper.soak(10000)
    local right = 0
    helper.watchdog(400)
    local function job(i)
      for j = 1, 10 do
        local k = i * 100 + j
        if db:value("select ? + 0", k) == k then right = right + 1 end
      end
    end
    crowd(n, job) -- buffers, caches and the heap get their size
    assert.equal(n * 10, right)
    local lua, process = memory()
    right = 0
    crowd(n, job)
    assert.equal(n * 10, right)
    local lua_after, process_after = memory()
    assert.is_true(lua_after < lua * 1.2 + 200,
                   ("Lua: %.0f KiB, then %.0f KiB"):format(lua, lua_after))
    -- A sanitizer keeps what was freed.
    local sanitized = (os.getenv "LD_PRELOAD" or ""):find("asan", 1, true)
    assert.is_truthy(sanitized or process_after < process * 1.25 + 8192,
                   ("process: %.0f KiB, then %.0f KiB"):format(process,
                                                           process_after))
    assert.equal(0, expect.busy(db))
    assert.is_true(db:stats().size <= 8)
  end)

  it("transactions, cancels, time-outs and errors, all mixed", function()
    local db = open { max_size = 4, acquire_timeout = 30,
      on_warning = function() end }
    db:script [[create table t (id integer primary key, n integer);
      insert into t values (1, 0)]]
    local random = helper.random "all mixed"
    local committed, unknown = 0, 0
    helper.watchdog(100)
    local function add(tx)
      tx:execute "update t set n = n + 1 where id = 1"
    end
    local acts = {
      function() db:transaction(add) return 1 end,
      function() db:transaction(function(tx) tx:transaction(add) end)
        return 1 end,
      function() db:transaction(function(tx) add(tx) error "undo" end) end,
      function() db:query "select id from nothing" end,
      function()
        local _, it = db:each "select id from t"
        it:next()
        it:close() -- what `break` does on Lua 5.4
      end,
      function() assert.equal(7, db:value("select ?", 7)) end,
      function() add(db) return 1 end,
      function()
        perigee.timeout(random(3000) / 1e6, function()
          db:query "select id from t"
          sleep(0.001)
        end)
      end,
    }
    run(function()
      local function worker()
        for _ = 1, helper.soak(1000) do
          local job = spawn(acts[random(#acts)])
          for _ = 1, random(4) do sleep(0) end
          local cut = random(4) == 1 and job:cancel()
          local ok, v = pcall(job.join, job)
          if ok and v == 1 then
            committed = committed + 1
          elseif cut then
            unknown = unknown + 1
          end
        end
      end
      for _ = 1, 10 do spawn(worker) end
    end)
    expect.idle(db)
    local n = db:value "select n from t where id = 1"
    assert.is_true(n >= committed and n <= committed + unknown,
      ("%d of %d, %d unknown"):format(n, committed, unknown))
    if name == "sqlite" then db:close() end
  end)
end)

-- ---- a server that dies ------------------------------------------------------

helper.for_each_db(function(_, open)
  if os.getenv "PERIGEE_TEST_PROXY" then return end

  local function ctl(command, mode)
    return ("%q %s %q %s"):format(os.getenv "PERIGEE_TEST_PGCTL", command,
      os.getenv "PERIGEE_TEST_PGDIR", mode or "")
  end

  -- Many tasks at work, while disturb() runs in one more; every call ends with
  -- the right answer or an error of a kind that the disturbance explains.
  local function load(db, allowed, disturb)
    local kinds, calls, stop = {}, 0, false
    local function worker(w)
      local i = 0
      while not stop do
        i = i + 1
        calls = calls + 1
        local token = w * 100000 + i
        local ok, v = pcall(function()
          if i % 3 == 0 then
            return db:transaction(function(tx)
              local got = tx:value("select ? + 0", token)
              return tx:value "select 0" + got
            end)
          end
          return db:value("select ? + 0", token)
        end)
        if ok then
          assert.equal(token, v)
        else
          assert.equal("table", type(v), tostring(v))
          kinds[v.kind] = (kinds[v.kind] or 0) + 1
          assert.is_true(allowed[v.kind], tostring(v))
          sleep(0.005)
        end
      end
    end
    run(function()
      local tasks = {}
      for w = 1, 64 do tasks[w] = spawn(worker, w) end
      sleep(0.1)
      disturb(function() return calls end)
      stop = true
      for _, t in ipairs(tasks) do t:join() end
    end)
    expect.idle(db)
    assert.is_true(db:stats().size <= db:stats().max_size)
    assert.equal(1, db:value "select 1")
    return kinds
  end

  it("killed backends harm only their own calls (F-12)", function()
    local db, admin = open { max_size = 8, application_name = "victim" },
      open { max_size = 1 }
    helper.watchdog(120)
    local killed = 0
    load(db, { closed = true }, function()
      for _ = 1, helper.soak(200) do
        killed = killed + admin:value [[select count(*) from (
          select pg_terminate_backend(pid) from pg_stat_activity
          where application_name = 'victim' order by random() limit 2) x]]
        sleep(0.01)
      end
    end)
    assert.is_true(killed > 0)
  end)

  for _, mode in ipairs { "fast", "immediate" } do
    it("a restart under load (" .. mode .. ") is survived (F-15)", function()
      local db = open { max_size = 8, acquire_timeout = 20 }
      helper.watchdog(120)
      load(db, { closed = true, connect = true, timeout = true }, function(calls)
        local done = helper.tmpname()
        helper.sh(("(%s; touch %q) </dev/null >/dev/null 2>&1 &")
          :format(ctl("restart", mode), done))
        eventually(function()
          local f = io.open(done)
          return f and f:close()
        end, 30)
        local before = calls()
        eventually(function() return calls() > before + 200 end, 5)
        os.remove(done)
      end)
    end)
  end

  it("an outage of a second is waited for", function()
    local db = open { max_size = 4, acquire_timeout = 30 }
    helper.watchdog(120)
    assert.equal(1, db:value "select 1")
    local out, ok = helper.sh(ctl("halt", "fast"))
    assert.is_true(ok, out)
    run(function()
      local results = {}
      for i = 1, 20 do
        spawn(function()
          local good, v = pcall(db.value, db, "select ?", i)
          results[#results + 1] = good and v == i and "ok"
            or type(v) == "table" and v.kind or tostring(v)
        end)
      end
      sleep(0.2)
      helper.sh(("(%s) </dev/null >/dev/null 2>&1 &")
        :format(ctl "start-again"))
      eventually(function() return #results == 20 end, 30)
      for _, r in ipairs(results) do
        assert.is_true(r == "ok" or r == "connect", r)
      end
      eventually(function() return (pcall(db.query, db, "select 1")) end, 10)
    end)
    expect.idle(db)
  end)
end, { "postgres" })
