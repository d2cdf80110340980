-- LISTEN and NOTIFY on PostgreSQL when things go wrong: sessions that end, networks that
-- fall silent, servers that restart, listeners that are slow.

local perigee = require "perigee"
local fake = require "spec.support.fakepg"
local faults = require "spec.support.faults"
local helper = require "spec.support.helper"

local fails, seconds, eventually, open = faults.fails, faults.seconds,
  faults.eventually, faults.open

local GAP = { gap = true }
local LISTENS = [[application_name = ? and query like 'LISTEN%']]

-- Ends the listening session of this application_name.
local function terminate(name)
  return eventually(function()
    return faults.admin():value("select pg_terminate_backend(pid, 5000) "
      .. "from pg_stat_activity where " .. LISTENS, name)
  end)
end

local function listening(name)
  return faults.admin():value("select count(*)::int from pg_stat_activity where "
    .. LISTENS, name)
end

faults.on_postgres("A listening connection", function()
  it("that the server ends is opened again, and each listener told once", function()
    perigee.run(function()
      local db = open(faults.postgres, { application_name = "nt1" })
      local got = {}
      local one, both = db:listen "one", db:listen { "one", "two" }
      local called = db:listen("two", function(n) got[#got + 1] = n.payload or "gap" end)
      local idle = db:listen "three"
      db:notify("one", "before")
      assert.equal("before", one:next().payload)
      for i = 1, 3 do
        terminate "nt1"
        assert.same(GAP, one:next()) -- listens again by then
        local payload = tostring(i)
        db:notify("one", payload)
        db:notify("two", payload)
        assert.equal(payload, one:next().payload)
        if i == 1 then assert.equal("before", both:next().payload) end
        assert.same(GAP, both:next())
        assert.equal(payload, both:next().payload)
        assert.equal(payload, both:next().payload)
        eventually(function() return #got == 2 * i end)
      end
      assert.same({ "gap", "1", "gap", "2", "gap", "3" }, got)
      assert.same(GAP, idle:next()) -- three gaps with nothing between them are one
      fails("timeout", perigee.timeout, 0.02, idle.next, idle)
      assert.equal(1, listening "nt1")
      called:close()
      db:close()
    end)
  end)

  it("that is lost loses nothing unsaid", function()
    -- Each listener sees all numbers in order, but where it was told of a gap.
    local total, random = helper.soak(2000), helper.random "listen"
    perigee.run(function()
      local db = open(faults.postgres, { application_name = "nt2", max_size = 3 })
      local fns = {}
      for i = 1, 5 do
        local listener = db:listen("numbers", nil, { max_pending = i == 1 and 5 or nil })
        fns[i] = function()
          local last, known = 0, true
          for n in listener do
            local number = tonumber(n.payload)
            if n.gap then
              known = false
            elseif known and number ~= last + 1 then
              error(("%d after %d"):format(number, last))
            else
              assert.is_true(number > last)
              last, known = number, true
            end
            if n.payload == tostring(total) then break end
            if i == 1 and random(10) == 1 then perigee.sleep(0.002) end
          end
          listener:close()
        end
      end
      fns[6] = function()
        for i = 1, total - 1 do
          db:notify("numbers", tostring(i))
          if random(total / 5) == 1 then terminate "nt2" end
        end
        perigee.sleep(0.2) -- all listen again
        repeat
          db:notify("numbers", tostring(total))
          perigee.sleep(0.02)
        until db:value "select 1" == 1
      end
      perigee.gather((table.unpack or unpack)(fns))
      db:close()
    end)
  end)

  it("that the network resets, or the server's restart ends, comes back", function()
    helper.watchdog(120)
    local proxy = faults.proxy()
    local db = open(proxy.db, { application_name = "nt3", acquire_timeout = 20 })
    local listener = db:listen "jobs"
    proxy:reset()
    assert.same(GAP, listener:next())
    db:notify("jobs", "a")
    assert.equal("a", listener:next().payload)
    for _, how in ipairs { "fast", "immediate" } do
      local text, ok = helper.sh(("%s restart '%s' %s"):format(
        os.getenv "PERIGEE_TEST_PGCTL", os.getenv "PERIGEE_TEST_PGDIR", how))
      assert.is_true(ok, text)
      assert.same(GAP, listener:next())
      db:notify("jobs", how)
      assert.equal(how, listener:next().payload)
    end
  end)

  it("that falls silent is noticed by a ping; one that nobody needs is closed", function()
    perigee.run(function()
      local proxy = faults.proxy()
      local db = perigee.open(proxy.db, { application_name = "nt4", check_after = 1,
        connect_timeout = 1 })
      local other = perigee.open(faults.postgres, { application_name = "nt5" })
      perigee.gather(function()
        local listener = db:listen "jobs"
        perigee.sleep(1.2) -- a ping that is answered is no gap
        proxy:half_open()
        local took, news = seconds(listener.next, listener)
        assert.same(GAP, news)
        assert.is_true(took > 1 and took < helper.patience(3.5), tostring(took))
        listener:close()
      end, function()
        other:listen("jobs"):close()
        other:listen("jobs"):close()
        assert.equal(1, faults.sessions "nt5")
        eventually(function() return faults.sessions "nt5" == 0 end, 8)
        local listener = other:listen "jobs"
        other:notify("jobs", "again")
        assert.equal("again", listener:next().payload)
      end)
      db:close()
      other:close()
    end)
  end)

  it("that is evicted is replaced", function()
    local db = open(faults.postgres, { application_name = "nt6" })
    local listener = db:listen "jobs"
    db:evict()
    local late = db:listen "late" -- waits for the new one
    assert.same(GAP, listener:next())
    db:notify("jobs", "a")
    db:notify("late", "b")
    assert.equal("a", listener:next().payload)
    assert.equal("b", late:next().payload)
  end)

  it("that cannot be had is an error of listen, not of those who wait already", function()
    local proxy = faults.proxy()
    local db = open(proxy.db, { application_name = "nt7", acquire_timeout = 1 })
    local listener = db:listen "jobs"
    proxy:refuse()
    terminate "nt7"
    local took = seconds(fails, "connect", db.listen, db, "other")
    assert.is_true(took >= 0.45 and took < helper.patience(1), tostring(took))
    proxy:clear()
    proxy:listen()
    assert.same(GAP, listener:next())
    listener:close()

    proxy:blackhole()
    local far = open(proxy.db, { acquire_timeout = 0.2, connect_timeout = 5 })
    took = seconds(fails, "timeout", far.listen, far, "jobs")
    assert.is_true(took >= 0.19 and took < helper.patience(0.5), tostring(took))
    fails("timeout", perigee.timeout, 0.05, far.listen, far, "jobs")
    far:close()
    proxy:clear()
  end)

  it("that is refused for good ends its listeners with the error", function()
    local admin = faults.admin()
    admin:script "drop role if exists listener; create role listener login"
    local db = open((faults.postgres:gsub("postgres@", "listener@")),
      { application_name = "nt8" })
    local listener, other = db:listen "jobs", db:listen "jobs"
    db:notify("jobs", "kept")
    assert.equal("kept", other:next().payload)
    admin:script "alter role listener nologin"
    terminate "nt8"
    assert.equal("kept", listener:next().payload)
    fails("auth", listener.next, listener)
    fails("auth", other.next, other)
    assert.is_nil(listener:next())
    fails("auth", db.listen, db, "jobs")
    admin:script "alter role listener login"
    listener = db:listen "jobs"
    db:notify("jobs", "works")
    assert.equal("works", listener:next().payload)
    db:close()
    admin:script "drop role listener"
  end)

  it("keeps perigee.run alive while somebody waits or is called back", function()
    local db = open(faults.postgres, { application_name = "nt9" })
    local order = {}
    perigee.run(function()
      local listener
      listener = db:listen("jobs", function(n)
        order[#order + 1] = n.payload
        listener:close()
      end)
      db:listen "forgotten" -- nobody waits: it keeps nothing alive
      perigee.spawn(function()
        perigee.sleep(0.05)
        db:notify("jobs", "called")
      end)
      order[#order + 1] = "main ends"
    end)
    assert.same({ "main ends", "called" }, order)

    -- An error of a callback is that of its task; its listener is closed.
    local ok, err = pcall(perigee.run, function()
      db:listen("jobs", function() error "no good" end)
      db:notify "jobs"
    end)
    assert.is_false(ok)
    assert.matches("no good", tostring(err), 1, true)
    -- An error of the first function cancels it like any other task.
    ok, err = pcall(perigee.run, function()
      db:listen("jobs", print)
      error "first"
    end)
    assert.is_false(ok)
    assert.matches("first", tostring(err), 1, true)
    eventually(function()
      collectgarbage()
      return listening "nt9" == 0
    end)
  end)
end)

-- ---- notifications in odd places -----------------------------------------------

faults.without_server("A notification", function()
  it("inside of an answer, behind it or in pieces is heard, and all in order", function()
    local all = fake.notification("jobs", "1") .. fake.complete "LISTEN"
      .. fake.notification("jobs", "2") .. fake.ready "I" .. fake.notification("jobs", "3")
    for cut = 1, #all, 7 do
      local server = faults.server(fake.hello .. "await Q\n"
        .. fake.send(all:sub(1, cut)) .. "wait 2\n" .. fake.send(all:sub(cut + 1))
        .. "hold\n")
      local db = open(server.url, {})
      local listener = db:listen "jobs"
      for i = 1, 3 do
        assert.same({ channel = "jobs", payload = tostring(i), pid = 7 }, listener:next())
      end
      db:close()
      server:stop()
    end
  end)

  it("that is malformed ends the connection, which is a gap", function()
    local good = fake.complete "LISTEN" .. fake.ready "I"
    local bad = fake.message("A", fake.int32(7) .. "jobs\0half")
    local server = faults.server("conn 1\n" .. fake.hello .. "await Q\n"
      .. fake.send(good .. bad) .. "hold\nconn 2\n" .. fake.hello .. "await Q\n"
      .. fake.send(good .. fake.notification("jobs", "well")) .. "hold\n")
    local db = open(server.url, { check_after = 1 }) -- libpq waits for the rest of it
    local listener = db:listen "jobs"
    assert.same(GAP, listener:next())
    assert.equal("well", listener:next().payload)
    db:close()
  end)
end)
