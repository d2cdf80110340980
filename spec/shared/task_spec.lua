-- Tasks of the built-in loop. No database but for what blocks.

local helper = require "spec.support.helper"
local expect = require "spec.support.expect"
local perigee = require "perigee"
local core = require "perigee.core"

local fails, settle = expect.fails, expect.settle
local run, spawn, sleep = perigee.run, perigee.spawn, perigee.sleep
local gather, timeout = perigee.gather, perigee.timeout
local unpack = table.unpack or unpack

local function count_fds()
  return tonumber((helper.sh "ls /proc/$PPID/fd | wc -l"))
end

-- A mock whose statement "slow" takes 20 ms, "fast" a turn, "hang" for ever.
local function slow_db(options)
  return helper.open(expect.mock [[
on "slow" wait 20ms rows n:int | 1
on "fast" rows n:int | 2
on "hang" hang
]], options)
end

describe("run", function()
  it("gives arguments and results, nil among them", function()
    local function count(...) return select("#", ...), ... end
    local n, a, b, c = count(run(function(...)
      assert.equal(3, select("#", ...))
      return ...
    end, 1, nil, nil))
    assert.same({ 3, 1 }, { n, a })
    assert.is_nil(b or c)
    assert.equal(0, (count(run(function() end))))
  end)

  it("raises the error of its function, whatever it is", function()
    for _, value in ipairs { "text", { "table" }, 7 } do
      local ok, err = pcall(run, function() error(value, 0) end)
      assert.is_false(ok)
      assert.equal(value, err)
    end
    assert.equal(1, run(function() return 1 end)) -- and goes on working
  end)

  it("ends when every task has ended", function()
    local log = {}
    run(function()
      spawn(function()
        sleep(0.02)
        log[#log + 1] = "late"
        spawn(function() log[#log + 1] = "later" end)
      end)
      log[#log + 1] = "first"
    end)
    assert.same({ "first", "late", "later" }, log)
    assert.equal(0, core.tasks())
  end)

  it("cancels the others when its function fails", function()
    local seen
    local ok, err = pcall(run, function()
      spawn(function()
        local _, e = pcall(sleep, 100)
        seen = e.kind
      end)
      sleep(0)
      error("boom", 0)
    end)
    assert.same({ false, "boom" }, { ok, err })
    assert.equal("cancelled", seen)
    assert.equal(0, core.tasks())
  end)

  it("raises the first error of a task that nobody joined", function()
    local ok, err = pcall(run, function()
      spawn(function() error("first", 0) end)
      spawn(function() error("second", 0) end)
      sleep(0.01)
      return "fine"
    end)
    assert.same({ false, "first" }, { ok, err })
    assert.equal("fine", run(function() return "fine" end))
  end)

  it("raises no error that somebody has joined", function()
    assert.equal("x", run(function()
      local a = spawn(function() error("x", 0) end)
      settle()
      local _, err = pcall(a.join, a)
      return err
    end))
    assert.equal("y", run(function()
      local a = spawn(function()
        sleep(0)
        error("y", 0)
      end)
      local _, err = pcall(a.join, a)
      return err
    end))
  end)

  it("does not nest and refuses what is no function", function()
    fails("usage", run)
    fails("usage", run, 1)
    run(function() fails("usage", run, function() end) end)
    fails("usage", spawn)
    fails("usage", spawn, {})
    fails("usage", gather, function() end, 1)
    fails("usage", timeout, 1)
    fails("usage", timeout, 1, 1)
  end)
end)

describe("tasks", function()
  it("tell their status and results, as often as asked", function()
    run(function()
      local a = spawn(function(x)
        sleep(0.01)
        return x, nil, x
      end, 5)
      -- Some hosts begin at once, to wait until the spawner has gone on.
      assert.equal(helper.host == "nginx" and "waiting" or "ready", a:status())
      sleep(0)
      assert.equal("waiting", a:status())
      for _ = 1, 2 do
        local x, y, z = a:join()
        assert.same({ 5, 5 }, { x, z })
        assert.is_nil(y)
      end
      assert.equal("done", a:status())
      assert.is_false(a:cancel())
      local b = spawn(error, "b")
      local ok = pcall(b.join, b)
      assert.is_false(ok)
      assert.equal("failed", b:status())
      assert.matches("^perigee.task: .*%(failed%)$", tostring(b))
      local own
      own = spawn(function()
        assert.equal("running", own:status())
        fails("usage", own.join, own)
      end)
      own:join()
    end)
  end)

  it("are joined by many", function()
    run(function()
      local a = spawn(function()
        sleep(0.01)
        return "a"
      end)
      local function join() return a:join() end
      assert.same({ "a", "a", "a" }, { gather(join, join, join) })
    end)
  end)

  it("are cancelled at their wait, or before they begin", function()
    run(function()
      local began, after = false, nil
      local a = spawn(function() began = true end)
      assert.is_true(a:cancel())
      fails("cancelled", a.join, a)
      assert.is_false(began)
      local b = spawn(function()
        local _, err = pcall(sleep, 100)
        after = err
        return "cleaned up"
      end)
      sleep(0)
      b:cancel()
      assert.equal("cleaned up", b:join())
      assert.equal("cancelled", after.kind)
      local own = { "reason" }
      local c = spawn(sleep, 100)
      sleep(0)
      c:cancel "because"
      local _, err = pcall(c.join, c)
      assert.matches("because", tostring(err))
      local d = spawn(sleep, 100)
      d:cancel(own)
      assert.is_false((pcall(d.join, d)))
    end)
  end)

  it("that cancel themselves are told at their next wait", function()
    run(function()
      local own
      own = spawn(function()
        own:cancel()
        local reached = true
        local _, err = pcall(sleep, 1)
        return reached and err.kind
      end)
      assert.equal("cancelled", own:join())
    end)
  end)

  it("that yield by themselves give way", function()
    run(function()
      local log = {}
      local function job(name)
        return function()
          for _ = 1, 3 do
            log[#log + 1] = name
            coroutine.yield()
          end
        end
      end
      gather(job "a", job "b")
      assert.equal("ababab", table.concat(log))
    end)
  end)

  it("that are dropped go on, and are freed at their end", function()
    local weak, ended = setmetatable({}, { __mode = "k" }), 0
    run(function()
      for _ = 1, 100 do
        weak[spawn(function()
          sleep(0.01)
          ended = ended + 1
        end)] = true
      end
      collectgarbage()
    end)
    assert.equal(100, ended)
    -- LuaJIT in a host: the coroutine, then its task, then the key here.
    for _ = 1, 5 do collectgarbage() end
    assert.is_nil((next(weak)))
  end)
end)

describe("sleep", function()
  it("wakes in the order of the times", function()
    local log = {}
    run(function()
      for i, s in ipairs { 0.05, 0.01, 0.03, 0, 0.02, 0.04 } do
        spawn(function()
          sleep(s)
          log[#log + 1] = i
        end)
      end
    end)
    assert.equal("425361", table.concat(log))
  end)

  it("of nothing gives way to the others", function()
    local log = {}
    run(function()
      local a = spawn(function() log[#log + 1] = "a" end)
      sleep(0)
      log[#log + 1] = "main"
      a:join()
    end)
    assert.same({ "a", "main" }, log)
  end)

  it("refuses what is no time (F-30)", function()
    for _, bad in ipairs { -1, 0 / 0, -math.huge, "1", true, {} } do
      fails("usage", sleep, bad)
      fails("usage", timeout, bad, function() end)
    end
    fails("usage", sleep)
  end)

  it("of ten thousand tasks takes no descriptor", function()
    local n = 10000
    helper.watchdog(60)
    run(function()
      sleep(0)
      local before, woken = count_fds(), 0
      for i = 1, n do
        spawn(function()
          sleep(0.2 + (i % 100) / 1000)
          woken = woken + 1
        end)
      end
      sleep(0)
      assert.is_true(count_fds() < before + n / 100) -- others may come and go
      expect.eventually(function() return woken == n end, 20)
    end)
  end)
end)

describe("gather", function()
  it("gives the first result of each, in order", function()
    run(function()
      local t = { gather(function()
        sleep(0.02)
        return 1
      end, function() return nil end, function()
        sleep(0.01)
        return 3, 4
      end) }
      assert.equal(1, t[1])
      assert.is_nil(t[2])
      assert.equal(3, t[3])
      assert.equal(0, select("#", gather()))
    end)
  end)

  it("cancels the others at the first error and waits for them", function()
    run(function()
      local log = {}
      local ok, err = pcall(gather, function()
        local _, e = pcall(sleep, 100)
        log[#log + 1] = e.kind
        sleep(0.01) -- cleaning up takes its time
        log[#log + 1] = "clean"
      end, function()
        sleep(0.01)
        error("first", 0)
      end, function()
        sleep(100)
      end)
      assert.same({ false, "first" }, { ok, err })
      assert.same({ "cancelled", "clean" }, log)
      assert.equal(helper.host and 0 or 1, core.tasks())
    end)
  end)

  it("is cancelled with its members", function()
    run(function()
      local seen = 0
      local function member()
        local _, e = pcall(sleep, 100)
        if e.kind == "cancelled" then seen = seen + 1 end
        error(e, 0)
      end
      local job = spawn(function() gather(member, member, member) end)
      settle()
      job:cancel()
      fails("cancelled", job.join, job)
      assert.equal(3, seen)
      assert.equal(helper.host and 0 or 1, core.tasks())
    end)
  end)

  it("works with no loop around it", function()
    assert.same({ 1, 2 }, { gather(function()
      sleep(0.01)
      return 1
    end, function() return 2 end) })
  end)
end)

describe("timeout", function()
  it("gives results and errors, and bounds waits", function()
    run(function()
      assert.same({ 1, 2 }, { timeout(5, function(...) return ... end, 1, 2) })
      assert.has_error(function()
        timeout(5, function() error("x", 0) end)
      end, "x")
      fails("timeout", timeout, 0.01, sleep, 100)
      fails("timeout", timeout, 0.01, function()
        spawn(sleep, 0.05):join()
      end)
      sleep(0.02) -- the bound is gone
    end)
  end)

  it("nests: the nearest end counts", function()
    run(function()
      local inner
      fails("timeout", timeout, 0.02, function()
        inner = pcall(timeout, 100, sleep, 100)
        sleep(100)
      end)
      assert.is_false(inner)
      timeout(100, function()
        fails("timeout", timeout, 0.01, sleep, 100)
        sleep(0.01)
      end)
    end)
  end)

  it("bounds calls, also with no loop", function()
    local db = slow_db { max_size = 1 }
    fails("timeout", timeout, 0.02, db.query, db, "hang")
    expect.idle(db)
    run(function()
      fails("timeout", timeout, 0.02, db.query, db, "hang")
      assert.equal(2, timeout(5, db.value, db, "fast"))
    end)
    expect.idle(db)
  end)
end)

describe("a call that cannot wait", function()
  it("in a callback of C is usage, and nothing is sent", function()
    local log = helper.tmpname()
    local db = helper.open(expect.mock("on any rows n:int | 1",
                                       "log_file=" .. log))
    run(function()
      db:query "before"
      for _, call in ipairs {
        function() db:query "never" end,
        function() db:transaction(function() end) end,
        function() for _ in db:each "never" do error "row" end end,
        function() db:begin() end,
        function() sleep(0) end,
        function() db:close() end,
      } do
        local err
        table.sort({ 3, 1, 2 }, function(a, b)
          if not err then err = fails("usage", call) end
          return a < b
        end)
        assert.matches("table.sort", err.message)
      end
      assert.equal(1, db:value "after")
    end)
    local f = assert(io.open(log))
    local text = f:read "*a"
    f:close()
    assert.is_nil(text:find("never", 1, true))
    assert.is_nil(text:lower():find("begin", 1, true))
  end)

  it("in a foreign coroutine is usage and says what to do", function()
    local db = slow_db()
    run(function()
      for _, call in ipairs {
        function() return db:query "fast" end,
        function() return sleep(0) end,
        function() return db:transaction(function() end) end,
        function() return timeout(1, sleep, 0) end,
      } do
        local err = coroutine.wrap(function() return fails("usage", call) end)()
        assert.matches("perigee.wrap", err.message)
      end
      assert.equal(2, db:value "fast")
    end)
  end)

  it("works in perigee.wrap, nested too", function()
    local db = slow_db()
    run(function()
      local function rows(n)
        return perigee.wrap(function()
          for i = 1, n do coroutine.yield(i + db:value "slow") end
        end)
      end
      local sum = 0
      for v in perigee.wrap(function()
        for v in rows(3) do coroutine.yield(v + db:value "fast") end
      end) do sum = sum + v end
      assert.equal(2 + 3 + 4 + 6, sum)
      local failing = perigee.wrap(function() error("inside", 0) end)
      assert.has_error(failing, "inside")
    end)
  end)

  it("works in perigee.wrap with no loop, and anywhere there", function()
    local db = slow_db()
    assert.equal(2, perigee.wrap(function() return db:value "fast" end)())
    assert.equal(2, coroutine.wrap(function() return db:value "fast" end)())
    local t = { 3, 1, 2 }
    table.sort(t, function(a, b)
      db:query "fast"
      return a < b
    end)
    assert.same({ 1, 2, 3 }, t)
  end)
end)

describe("with no loop", function()
  it("calls block, and spawned tasks go on meanwhile", function()
    local db = slow_db { max_size = 2 }
    local n = 0
    local job = spawn(function()
      for _ = 1, 3 do
        n = n + db:value "fast"
      end
      return "done"
    end)
    assert.equal(0, n)
    assert.equal(1, db:value "slow")
    assert.equal(6, n)
    assert.equal("done", job:join())
  end)

  it("a task that blocks for ever is cancelled from outside", function()
    local db = slow_db { max_size = 2 }
    local job = spawn(db.query, db, "hang")
    sleep(0.01)
    assert.equal("waiting", job:status())
    job:cancel()
    fails("cancelled", job.join, job)
    expect.idle(db)
  end)
end)

it("interrupting (Ctrl-C) ends the waits", function()
  local db = slow_db()
  spawn(function()
    sleep(0.02)
    core.interrupt()
  end)
  fails("cancelled", db.query, db, "hang")
  local kinds = {}
  local function member()
    local _, err = pcall(db.query, db, "hang")
    kinds[#kinds + 1] = err.kind
    error(err, 0)
  end
  fails("cancelled", run, function()
    spawn(function()
      sleep(0.02)
      core.interrupt()
    end)
    gather(unpack { member, member })
  end)
  assert.same({ "cancelled", "cancelled" }, kinds)
  expect.idle(db)
end)
