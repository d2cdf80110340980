-- LISTEN and NOTIFY where nothing goes wrong: names, callbacks, queues, closing, in every
-- host. What goes wrong is in spec/postgres/listen_spec.lua.
local perigee = require "perigee"
local helper = require "spec.support.helper"
local check = require "spec.support.check"
local expect = require "spec.support.expect"

local fails, eventually = expect.fails, expect.eventually

helper.for_each_db(function(_, open)
  local db
  before_each(function() db = open { max_size = 2 } end)

  -- The payloads of the next n.
  local function take(listener, n)
    local out = {}
    for i = 1, n do out[i] = assert(listener:next()).payload end
    return out
  end

  describe("listen", function()
    it("gives channel, payload and the sender's session, in order", function()
      local listener = db:listen "jobs"
      db:connection(function(conn)
        conn:notify("jobs", "one")
        conn:notify("jobs")
        local pid = conn:value "select pg_backend_pid()"
        assert.same({ channel = "jobs", payload = "one", pid = pid }, listener:next())
        assert.same({ channel = "jobs", payload = "", pid = pid }, listener:next())
      end)
      for i = 1, 200 do db:notify("jobs", tostring(i)) end
      for i = 1, 200 do assert.equal(tostring(i), listener:next().payload) end
    end)

    it("is on when it returns: nothing that is sent after it is missed", function()
      for i = 1, 20 do
        local listener = db:listen("c" .. i)
        db:notify("c" .. i, "x")
        assert.equal("x", listener:next().payload)
        if i % 2 == 0 then listener:close() end
      end
    end)

    it("wakes a task that waits, and iterates", function()
      local got = {}
      local task = perigee.spawn(function()
        for n in db:listen "jobs" do
          got[#got + 1] = n.payload
          if n.payload == "end" then break end
        end
        return "done"
      end)
      perigee.sleep(0)
      eventually(function()
        db:notify("jobs", "more")
        return #got > 0
      end)
      db:notify("jobs", "end")
      assert.equal("done", task:join())
      assert.equal("more", got[1])
    end)

    it("hears on many channels by one connection, also by several listeners", function()
      db = open { max_size = 1, application_name = "listen many" }
      local sessions = [[select count(*) from pg_stat_activity
        where application_name = 'listen many']]
      local a, b = db:listen { "one", "two", "one" }, db:listen "two"
      db:notify("one", "1")
      db:notify("two", "2")
      assert.same({ "1", "2" }, take(a, 2))
      assert.same({ "2" }, take(b, 1))
      assert.equal(2, db:value(sessions))
      b:close()
      db:notify("two", "3")
      assert.same({ "3" }, take(a, 1))
      local listening = [[select query from pg_stat_activity
        where application_name = 'listen many' and pid <> pg_backend_pid()]]
      a:close()
      assert.equal([[UNLISTEN "one";UNLISTEN "two";]], eventually(function()
        local query = db:value(listening)
        return query:find "UNLISTEN" and query
      end))
      -- And back again while the connection is still there.
      a = db:listen "two"
      db:notify("two", "4")
      assert.same({ "4" }, take(a, 1))
    end)

    it("takes any name, exactly", function()
      local long = ("ä"):rep(31) .. "x"
      local names = { "Jobs", "jobs", 'a"b', "a;b -- c", "select", " ", "ünï", long, "a.b", "%s" }
      local listener = db:listen(names)
      for i, name in ipairs(names) do db:notify(name, tostring(i)) end
      for i, name in ipairs(names) do
        local n = listener:next()
        assert.same({ name, tostring(i) }, { n.channel, n.payload })
      end
      for _, bad in ipairs { "", ("x"):rep(64), "a\0b", 1, true, {}, { "a", 2 } } do
        fails("usage", db.listen, db, bad)
        if type(bad) ~= "table" then fails("usage", db.notify, db, bad) end
      end
      fails("usage", db.listen, db, "\255")
      fails("usage", db.listen, db)
      fails("usage", db.listen, db, "a", "b")
      local err = fails("usage", db.listen, db, "a", print, { max = 1 })
      assert.matches("max_pending", err.message)
      fails("usage", db.listen, db, "a", print, { max_pending = 0 })
      fails("usage", db.notify, db, "a", 1)
      check.usable(db)
    end)

    it("takes payloads of nearly 8,000 bytes, and no more", function()
      local listener = db:listen "big"
      local text = ("ä"):rep(3999)
      db:notify("big", text)
      assert.equal(text, listener:next().payload)
      fails("data", db.notify, db, "big", ("x"):rep(8000))
      check.usable(db)
    end)

    it("gets what a transaction says when it is committed, and not if it is not", function()
      local listener = db:listen "jobs"
      local tx = db:begin()
      tx:notify("jobs", "in")
      db:connection(function(conn) conn:notify("jobs", "before") end)
      tx:commit()
      pcall(db.transaction, db, function(t)
        t:notify("jobs", "never")
        error "no"
      end)
      db:transaction(function() db:notify("jobs", "joined") end)
      assert.same({ "before", "in", "joined" }, take(listener, 3))
    end)

    it("calls back, one after the other, in a task of its own", function()
      local got, busy = {}, false
      local listener
      listener = db:listen("jobs", function(n)
        assert.is_false(busy)
        busy = true
        got[#got + 1] = n.payload .. db:value "select 1"
        busy = false
        if #got == 3 then listener:close() end
      end)
      for i = 1, 5 do db:notify("jobs", tostring(i)) end
      eventually(function() return #got == 3 end)
      perigee.sleep(0.02)
      assert.same({ "11", "21", "31" }, got)
    end)

    it("ends without an error when it is closed, whoever waits", function()
      local listener = db:listen "jobs"
      local task = perigee.spawn(function()
        for _ in listener do error "nothing was sent" end
        return "ended"
      end)
      perigee.sleep(0.01)
      fails("usage", listener.next, listener) -- another one waits
      listener:close()
      listener:close()
      assert.equal("ended", task:join())
      assert.is_nil(listener:next())

      local other = db:listen "jobs"
      task = perigee.spawn(function() return other:next() end)
      local called = db:listen("jobs", print)
      db:notify("other") -- nobody hears it
      perigee.sleep(0.01)
      db:close()
      assert.is_nil(task:join())
      called:close()
      fails("closed", db.listen, db, "jobs")
    end)

    it("stays open when the wait is cancelled or timed out", function()
      local listener = db:listen "jobs"
      fails("timeout", perigee.timeout, 0.02, listener.next, listener)
      local task = perigee.spawn(function() return listener:next() end)
      perigee.sleep(0.01)
      task:cancel()
      fails("cancelled", task.join, task)
      db:notify("jobs", "still")
      assert.same({ "still" }, take(listener, 1))
    end)

    it("keeps max_pending of them and tells that some are missing", function()
      local few, many = db:listen("jobs", nil, { max_pending = 3 }), db:listen "jobs"
      for i = 1, 9 do db:notify("jobs", tostring(i)) end
      assert.equal("9", take(many, 9)[9])
      assert.same({ "1", "2", "3" }, take(few, 3))
      assert.same({ gap = true }, few:next())
      db:notify("jobs", "10")
      assert.same({ "10" }, take(few, 1))

      -- A gap in the queue has its place there, and another one comes after it.
      for i = 1, 5 do db:notify("jobs", tostring(i)) end
      take(many, 6)
      assert.same({ "1", "2" }, take(few, 2))
      db:notify("jobs", "6")
      db:notify("jobs", "7")
      take(many, 2)
      assert.same({ "3" }, take(few, 1))
      assert.same({ gap = true }, few:next())
      assert.same({ "6" }, take(few, 1))
      assert.same({ gap = true }, few:next())
      db:notify("jobs", "8")
      assert.same({ "8" }, take(few, 1))
    end)

    it("is closed by the collector when nobody has it any more", function()
      local function forget()
        db:listen("forgotten")
        db:listen { "forgotten", "too" }
      end
      forget()
      eventually(function()
        collectgarbage()
        return db:value [[select count(*) from pg_stat_activity
          where query like 'UNLISTEN %forgotten%' and pid <> pg_backend_pid()]] == 1
      end)
    end)

    it("is told of by the driver's features, and raw LISTEN is usage", function()
      assert.is_true(db:driver().features.notify)
      fails("usage", db.execute, db, "listen jobs")
    end)
  end)
end, { "postgres" })

helper.for_each_db(function(_, open)
  it("listen and notify are unsupported", function()
    local db = open()
    fails("unsupported", db.listen, db, "jobs")
    fails("unsupported", db.listen, db, "jobs", print)
    fails("unsupported", db.notify, db, "jobs", "x")
    db:transaction(function(tx) fails("unsupported", tx.notify, tx, "jobs") end)
    assert.is_false(db:driver().features.notify)
  end)
end, { "sqlite", "sqlite memory", "mysql" })
