-- The network: stalls, resets, small pieces, delays, and readers and writers of
-- different speed. F-18 … F-25.

local perigee = require "perigee"
local faults = require "spec.support.faults"
local helper = require "spec.support.helper"

local fails, seconds, eventually = faults.fails, faults.seconds,
  faults.eventually
local open = faults.open

-- Resident memory of this process, in bytes.
local function resident()
  local f = assert(io.open "/proc/self/status")
  local kb = f:read("*a"):match "VmRSS:%s*(%d+)"
  f:close()
  return tonumber(kb) * 1024
end

local can_measure = not (os.getenv "LD_PRELOAD" or ""):find "asan"

faults.on_postgres("The network", function()
  it("F-18 stalls in a query: the deadline holds, the loop goes on", function()
    faults.ticking(function()
      local proxy = faults.proxy()
      local db = perigee.open(proxy.db, { max_size = 1, connect_timeout = 1 })
      db:ping()
      proxy:half_open()
      local took = seconds(fails, "timeout", db.query, db, "select 1", {},
        { timeout = 0.2 })
      assert.is_true(took >= 0.19 and took < helper.patience(0.7),
        tostring(took))
      -- The dead one still takes the only place; it is closed in the background.
      eventually(function() return db:stats().size == 0 end, 12)
      assert.equal(1, db:value "select 1")
      db:close()
    end)
  end)

  it("F-18 stalls with many in flight: each keeps its own deadline", function()
    local proxy = faults.proxy()
    local db = open(proxy.db, { max_size = 8 })
    perigee.run(function()
      local fns, ready = {}, 0
      for i = 1, 8 do
        fns[i] = function()
          db:connection(function(conn)
            conn:ping()
            ready = ready + 1
            eventually(function() return ready == 8 end)
            if i == 1 then proxy:stall() end
            local took = seconds(fails, "timeout", conn.query, conn,
              "select pg_sleep(20)", {}, { timeout = 0.1 * i })
            assert.is_true(took < helper.patience(0.1 * i + 0.5))
          end)
        end
      end
      perigee.gather((table.unpack or unpack)(fns))
    end)
    proxy:clear()
    assert.equal(1, db:value "select 1")
  end)

  it("F-19 stalls while idle: a ping or the deadline tells", function()
    local proxy = faults.proxy()
    local db = open(proxy.db, { max_size = 1, check_after = 0.05 })
    db:ping()
    perigee.sleep(0.1)
    proxy:half_open()
    -- The check gives up after 2 s, then there is another connection.
    local took, one = seconds(db.value, db, "select 1")
    assert.equal(1, one)
    assert.is_true(took < helper.patience(5), tostring(took))
    proxy:half_open() -- before a check is due
    fails("timeout", db.query, db, "select 1", {}, { timeout = 0.2 })
    assert.equal(0, db:stats().in_use)
  end)

  it("F-20 stalls while a connection is reset: its place comes back", function()
    local proxy = faults.proxy()
    local db = open(proxy.db, { max_size = 1 })
    db:connection(function(conn)
      conn:execute "set application_name = 'dirty'"
      proxy:half_open()
    end)
    assert.equal(1, db:stats().cleaning)
    local took, one = seconds(db.value, db, "select 1")
    assert.equal(1, one)
    assert.is_true(took < helper.patience(8), tostring(took))
  end)

  it("F-20 stalls while it is closed: bounded", function()
    local proxy = faults.proxy()
    local db = open(proxy.db, { max_size = 2 })
    db:ping()
    proxy:half_open()
    assert.is_true(seconds(db.close, db) < helper.patience(1))
    -- With a query that will never be answered.
    proxy:clear()
    local other = open(proxy.db, { max_size = 2 })
    perigee.run(function()
      local task = perigee.spawn(function()
        return fails("closed", other.query, other, "select pg_sleep(60)")
      end)
      eventually(function() return other:stats().in_use == 1 end)
      perigee.sleep(0.05)
      proxy:half_open()
      local took = seconds(other.close, other, { timeout = 0.2 })
      assert.is_true(took < helper.patience(1.5), tostring(took))
      task:join()
    end)
  end)

  it("F-20 stalls in COMMIT: an error, and the place comes back", function()
    local proxy = faults.proxy()
    local db = open(proxy.db, { max_size = 1, query_timeout = 0.3 })
    local took = seconds(fails, "timeout", db.transaction, db, function(tx)
      tx:query "select 1"
      proxy:half_open()
    end)
    assert.is_true(took < helper.patience(12), tostring(took))
    proxy:clear()
    eventually(function() return db:stats().in_use == 0 end)
    assert.equal(1, db:value "select 1")
  end)

  it("F-21 a reset in a query is `closed`, while idle nobody sees it", function()
    for _, how in ipairs { "reset", "fin" } do
      local proxy = faults.proxy()
      local db = open(proxy.db, { max_size = 1 })
      perigee.run(function()
        perigee.spawn(function()
          eventually(function() return db:stats().in_use == 1 end)
          perigee.sleep(0.05)
          proxy[how](proxy)
        end)
        local err = fails("closed", db.query, db, "select pg_sleep(30)")
        assert.is_false(err.retryable or false)
      end)
      assert.equal(1, db:value "select 1")
      proxy[how](proxy)
      eventually(function() return db:stats().size == 0 end)
      assert.equal(1, db:value "select 1")
    end
  end)

  it("F-22 pieces of 1 and 3 bytes change no result", function()
    local queries = {
      { "select n, n::text || 'x' as t, n / 3.0 as q, null as z "
        .. "from generate_series(1, 50) n" },
      { "select $1::text as a, $2::int8 as b, $3::bool as c", "ä€😀", 2 ^ 40,
        true },
      { "select array[1,2,null] as a, '{\"k\":[1,2]}'::jsonb as j, now() "
        .. "- now() as d" },
    }
    local plain = open(faults.postgres)
    local proxy = faults.proxy()
    local db = open(proxy.db)
    local unpack = table.unpack or unpack
    db:ping()
    for _, size in ipairs { 1, 3 } do
      proxy:slice(size)
      for _, q in ipairs(queries) do
        assert.same(plain:query(unpack(q)), db:query(unpack(q)))
      end
      local err = fails("data", db.query, db, "select 1/0")
      assert.equal("22012", err.sqlstate)
      local n = 0
      for row in db:each "select n from generate_series(1, 100) n" do
        n = n + 1
        assert.equal(n, row.n)
      end
      assert.equal(100, n)
    end
  end)

  it("F-22 a text of 1 MB in pieces of 3 bytes", function()
    local proxy = faults.proxy()
    local db = open(proxy.db)
    db:ping()
    proxy:slice(3)
    local n = helper.soak(1000000)
    local text = ("0123456789"):rep(n / 10)
    assert.is_true(text == db:value("select ?::text", text))
    local unit = db:value("select string_agg(n::text, ',') "
      .. "from generate_series(1, ?) n", n / 10)
    assert.equal(("%d"):format(n / 10), unit:match ",(%d+)$")
  end)

  it("F-23 a batch of 100 takes a few round trips, not a hundred", function()
    local proxy = faults.proxy()
    local db = open(proxy.db, { max_size = 1 })
    db:execute "create table if not exists f23 (n int)"
    local list = {}
    for i = 1, 100 do list[i] = { i } end
    proxy:delay(100) -- each way
    local round = seconds(db.ping, db)
    assert.is_true(round >= 0.19, tostring(round))
    local took = seconds(db.execute_many, db, "insert into f23 values (?)", list)
    proxy:delay(0)
    assert.equal(100, db:value "select count(*)::int from f23")
    -- Preparing, the batch, and what ends it.
    assert.is_true(took < 5 * round, tostring(took))
    db:execute "drop table f23"
  end)

  it("F-23 a prepared query takes one round trip", function()
    local proxy = faults.proxy()
    local db = open(proxy.db, { max_size = 1 })
    db:value("select ?::int", 1)
    proxy:delay(100)
    local took = seconds(db.value, db, "select ?::int", 2)
    assert.is_true(took >= 0.19 and took < helper.patience(0.38),
      tostring(took))
  end)

  it("F-24 a slow reader of a stream keeps memory flat", function()
    local db = open(faults.postgres, { max_size = 2, application_name = "f24" })
    local n, before, most = 0, nil, 0
    local rows, pause, speed = helper.soak(2000000) -- of 100 bytes
    for row in db:each("select n, repeat('x', 100) as t "
      .. "from generate_series(1, ?) n", rows) do
      n = n + 1
      assert.equal(n, row.n)
      if n == 1000 then
        -- Garbage may grow to as much again as there is, of other specs too.
        pause = collectgarbage("setpause", 100)
        speed = collectgarbage("setstepmul", 1000)
        collectgarbage()
        before = resident()
        perigee.sleep(helper.patience(1)) -- the server is held up
        assert.equal("active", faults.admin():value [[select state
          from pg_stat_activity where application_name = 'f24'
          and query like '%repeat%']])
        assert.equal(1, db:value "select 1") -- on another one
      elseif n % 20000 == 0 then
        most = math.max(most, resident())
      end
    end
    collectgarbage("setpause", pause)
    collectgarbage("setstepmul", speed)
    assert.equal(rows, n)
    if can_measure then
      assert.is_true(most - before < 12e6, ("%d more bytes"):format(most - before))
    end
  end)

  it("F-24 a reader that stops in mid-stream frees the server", function()
    local db = open(faults.postgres, { max_size = 1, application_name = "f24" })
    for _ = 1, helper.soak(50) do
      local step, it, _, closing = db:each(
        "select repeat('x', 1000) from generate_series(1, 1000000)")
      assert.is_not_nil(step(it))
      closing:close()
      assert.equal(1, db:value "select 1")
    end
    assert.equal(1, db:stats().size)
  end)

  it("F-25 the largest number of parameters, echoed", function()
    helper.watchdog(120)
    local db = open(faults.postgres, { max_size = 1 })
    local places, values = {}, {}
    for i = 1, 1600 do -- columns of a result; the rest in one array
      places[i] = "$" .. i .. "::text as c" .. i
    end
    local text = ("z"):rep(100)
    for i = 1, 65535 do values[i] = text .. i end
    local more = {}
    for i = 1601, 65535 do more[#more + 1] = "$" .. i .. "::text" end
    places[1600] = "concat_ws(',', $1600::text, "
      .. "array_to_string(array[" .. table.concat(more, ",") .. "], ',')) as c"
    local row = db:one("select " .. table.concat(places, ","), values)
    assert.equal(values[1], row.c1)
    assert.equal(table.concat(values, ",", 1600, 65535), row.c)
    fails("usage", db.query, db, "select " .. ("?,"):rep(65535) .. "?",
      (function() values[65536] = "x" return values end)())
    assert.equal(1, db:value "select 1")
  end)

  it("F-25 a large batch with large rows does not deadlock", function()
    helper.watchdog(120)
    local db = open(faults.postgres, { max_size = 1 })
    db:execute "create table if not exists f25 (n int, t text)"
    local list, text = {}, ("y"):rep(10000)
    for i = 1, 1000 do list[i] = { i, text } end
    -- 10 MB up, and as much down.
    local result = db:execute_many(
      "insert into f25 values (?, ?) returning t, t", list)
    assert.equal(1000, result.affected)
    assert.equal(10000000, db:value "select sum(length(t))::int from f25")
    db:execute "drop table f25"
  end)

  it("F-25 a large parameter against a large result", function()
    local proxy = faults.proxy()
    local db = open(proxy.db, { max_size = 1 })
    local text = ("w"):rep(8000000)
    faults.ticking(function()
      assert.equal(#text, db:value("select length(?::text)", text))
    end)
    assert.is_true(text == db:value("select ?::text", text))
  end)
end)
