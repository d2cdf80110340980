-- A server that sends what no server should, and what it may send at any time.
-- F-62, F-63.

local perigee = require "perigee"
local fake = require "spec.support.fakepg"
local faults = require "spec.support.faults"
local helper = require "spec.support.helper"

local fails, eventually, open = faults.fails, faults.eventually, faults.open
local message, int16, int32 = fake.message, fake.int16, fake.int32

local bind = message("2", "")

-- What a statement is answered when all is right, in text.
local function answer(columns, ...)
  return bind .. fake.description(columns) .. table.concat { ... }
    .. fake.complete "SELECT 1" .. fake.ready()
end

local function resident()
  local f = assert(io.open "/proc/self/status")
  local kb = f:read("*a"):match "VmRSS:%s*(%d+)"
  f:close()
  return tonumber(kb) * 1024
end

-- ---- malformed messages -----------------------------------------------------

faults.without_server("A hostile server", function()
  local columns = { "a", 25 }
  local one = fake.row "one"

  -- { what, the bytes that answer the execution, may the connection live? }
  local cases = {
    { "a length of 0", message("D", "x", 0) },
    { "a length of 3", message("D", "x", 3) },
    { "a length of 2^31 - 1", message("D", "x", 2 ^ 31 - 1) },
    { "a length of 2^32 - 1", message("D", "x", 2 ^ 32 - 1) },
    { "a length that is too small for its row", bind
      .. fake.description(columns) .. message("D", int16(1) .. int32(3) .. "abc",
        8) .. fake.complete "SELECT 1" .. fake.ready() },
    { "an unknown type of message", message("!", "what") },
    { "a zero byte as type", message("\0", "what") },
    { "a row before its description", bind .. one },
    { "more fields than columns", bind .. fake.description(columns)
      .. fake.row("a", "b") .. fake.complete "SELECT 1" .. fake.ready() },
    { "fewer fields than columns", bind
      .. fake.description { "a", 25, "b", 25 } .. fake.row "a"
      .. fake.complete "SELECT 1" .. fake.ready() },
    { "a field longer than its message", bind .. fake.description(columns)
      .. message("D", int16(1) .. int32(1000) .. "abc")
      .. fake.complete "SELECT 1" .. fake.ready() },
    { "a field of 2^31 - 1 bytes", bind .. fake.description(columns)
      .. message("D", int16(1) .. int32(2 ^ 31 - 1) .. "abc")
      .. fake.complete "SELECT 1" .. fake.ready() },
    { "a field of a negative length", bind .. fake.description(columns)
      .. message("D", int16(1) .. int32(-7) .. "abc")
      .. fake.complete "SELECT 1" .. fake.ready() },
    { "bytes left over in a row", bind .. fake.description(columns)
      .. message("D", int16(1) .. int32(3) .. "abcdef")
      .. fake.complete "SELECT 1" .. fake.ready() },
    { "a description of -1 columns", bind .. message("T", int16(-1)) },
    { "a description of 30000 columns without data", bind
      .. message("T", int16(30000)) },
    { "a column without the end of its name", bind
      .. message("T", int16(1) .. "no end") },
    { "CommandComplete without its end", bind
      .. message("C", "SELECT 1") .. fake.ready() },
    { "a ReadyForQuery of a state that there is not", bind
      .. fake.complete "SELECT 1" .. message("Z", "?"), true },
    { "an error without fields", bind .. message("E", "\0") .. fake.ready(),
      true },
    { "an error without its end", bind .. message("E", "Mtext")
      .. fake.ready() },
    { "an authentication request in mid-session", message("R", int32(0)) },
    { "a COPY that was not asked for", bind
      .. message("G", "\0" .. int16(1) .. int16(0)) .. fake.ready(), true },
    { "a COPY with a negative number of columns", bind
      .. message("H", "\0" .. int16(-1)) },
    { "two answers for one question", bind .. fake.description(columns) .. one
      .. fake.complete "SELECT 1" .. fake.ready() .. fake.ready(), true },
    { "noise", (("\17\201\3\254"):rep(200)) },
  }

  -- At the same time: some wait for the rest of a message until they are given
  -- up, 5 s after their deadline.
  it("F-62 malformed messages: an error, soon, and it is destroyed", function()
    local before = resident()
    local function try(case)
      local server = faults.server("conn 1\n" .. fake.hello
        .. fake.prepared(columns) .. "await S\n" .. fake.send(case[2])
        .. "hold\nconn *\nwait 60000\n")
      local db = open(server.url, { max_size = 1, query_timeout = 1 })
      local took, ok = faults.seconds(pcall, db.query, db, "select a")
      assert(took < helper.patience(3), "took " .. took)
      if not case[3] then
        assert(not ok, "no error")
        eventually(function() return db:stats().size == 0 end, 12)
      end
      assert(db:stats().in_use == 0, "in use")
      db:close { timeout = 0.1 }
    end
    perigee.run(function()
      local fns = {}
      for i, case in ipairs(cases) do
        fns[i] = function()
          local ok, err = pcall(try, case)
          if not ok then error(case[1] .. ": " .. tostring(err), 0) end
        end
      end
      perigee.gather((table.unpack or unpack)(fns))
    end)
    assert.is_true(resident() - before < 64e6)
  end)

  it("F-62 noise instead of a start", function()
    for _, bytes in ipairs {
      ("\255"):rep(100), message("R", ""), message("R", int32(99)),
      message("R", int32(10) .. "\0"), message("E", ""), message("Z", "I"),
      message("R", "x", 2 ^ 31 - 1), message("v", int32(-1) .. int32(-1)),
      "HTTP/1.1 400 Bad Request\r\n\r\n",
    } do
      local server = faults.server("startup\n" .. fake.send(bytes) .. "hold\n")
      local db = open(server.url, { connect_timeout = 0.3 })
      local err = fails(nil, db.ping, db)
      assert.is_true(err.kind == "connect" or err.kind == "timeout"
        or err.kind == "auth", tostring(err))
      db:close()
      server:stop()
    end
  end)

  -- Binary values of a type, in an answer that is right otherwise.
  local types = {
    bool = 16, bytea = 17, int8 = 20, int2 = 21, int4 = 23, float4 = 700,
    float8 = 701, inet = 869, date = 1082, time = 1083, timestamp = 1114,
    timestamptz = 1184, interval = 1186, timetz = 1266, numeric = 1700,
    uuid = 2950, jsonb = 3802, int4array = 1007, textarray = 1009,
    numericarray = 1231, int4range = 3904, record = 2249, int4multirange = 4451,
    tsvector = 3614, macaddr = 829, bit = 1560, point = 600, oid = 26,
  }
  local bytes = {
    "", "\0", "\1", ("\0"):rep(3), ("\255"):rep(4), ("\255"):rep(8),
    ("\127"):rep(12), ("\0"):rep(17),
    -- numeric: 65533 digits, none of them there
    int16(65533) .. int16(0) .. int16(0) .. int16(0),
    int16(1) .. int16(0) .. int16(0) .. int16(0) .. int16(30000),
    int16(0) .. int16(32767) .. int16(7) .. int16(-1),
    -- arrays: too many dimensions, too many elements, elements too long
    int32(-1) .. int32(0) .. int32(23),
    int32(1000) .. int32(0) .. int32(23),
    int32(1) .. int32(0) .. int32(23) .. int32(2 ^ 31 - 1) .. int32(1),
    int32(6) .. int32(0) .. int32(23)
      .. (int32(2 ^ 16) .. int32(1)):rep(6),
    int32(1) .. int32(0) .. int32(23) .. int32(-5) .. int32(1),
    int32(1) .. int32(0) .. int32(23) .. int32(1) .. int32(1) .. int32(1000)
      .. "abcd",
    int32(1) .. int32(0) .. int32(4242) .. int32(1) .. int32(1) .. int32(4)
      .. "abcd",
    -- ranges and multiranges
    "\2" .. int32(2 ^ 31 - 1), "\255", "\0" .. int32(4) .. int32(1) .. int32(-3),
    int32(2 ^ 31 - 1), int32(1) .. int32(1) .. "\0",
    -- records
    int32(1) .. int32(23) .. int32(2 ^ 31 - 1),
    int32(3) .. int32(23) .. int32(4) .. int32(1),
    int32(1) .. int32(2249) .. int32(4) .. int32(2 ^ 30),
    -- jsonb
    "\1", "\2{}", "\1{", "\1[1,",  "\1" .. ("["):rep(5000),
  }

  it("F-62 values that are too short, too long, or full of lies", function()
    helper.watchdog(120)
    for name, oid in pairs(types) do
      local rows = {}
      for i, value in ipairs(bytes) do
        rows[i] = bind .. fake.description({ "v", oid }, 1) .. fake.row(value)
          .. fake.complete "SELECT 1" .. fake.ready()
      end
      -- One answer of the catalogue is none: the type is PostgreSQL's own.
      local script = { fake.hello, fake.prepared { "v", oid } }
      for i = 1, #rows do script[#script + 1] = "await S\n" .. fake.send(rows[i]) end
      local server = faults.server(table.concat(script) .. "hold\n")
      local db = open(server.url, { max_size = 1, query_timeout = 2 })
      local before = resident()
      for i = 1, #rows do
        local ok, err = pcall(function()
          local v = db:value "select v"
          return v
        end)
        if not ok then
          assert.is_not_nil(err.kind, name .. " " .. i .. ": " .. tostring(err))
          if db:stats().size == 0 then break end
        end
      end
      assert.is_true(resident() - before < 64e6, name)
      db:close { timeout = 0.1 }
      server:stop()
    end
  end)

  it("F-62 random damage to a right answer", function()
    local random = helper.random "F-62"
    local right = answer({ "a", 25, "b", 23 }, fake.row("one", "1"),
      fake.row(false, "22"), fake.notice "by the way")
    for _ = 1, helper.soak(300) do
      local at = random(#right)
      local damaged = right:sub(1, at - 1) .. string.char(random(256) - 1)
        .. right:sub(at + 1)
      local server = faults.server("conn 1\n" .. fake.hello
        .. fake.prepared { "a", 25, "b", 23 } .. "await S\n"
        .. fake.send(damaged) .. "wait 60000\nconn *\nwait 60000\n")
      local db = open(server.url, { max_size = 1, acquire_timeout = 0.2 })
      pcall(db.query, db, "select a, b", {}, { timeout = 0.1 })
      pcall(function()
        for _ in db:each("select a, b", {}, { timeout = 0.1 }) do
          assert(true)
        end
      end)
      db:close { timeout = 0.1 }
      server:stop()
    end
  end)
end)

-- ---- what may come at any time ------------------------------------------------

faults.without_server("Asynchronous messages", function()
  it("F-63 between all others change nothing", function()
    local noise = fake.notice "a" .. fake.parameter("TimeZone", "UTC")
      .. fake.notification("c", "p")
    local server = faults.server(fake.hello .. "loop\nawait S\n"
      .. fake.send(noise, message("1", ""), noise, message("t", int16(0)), noise,
        fake.description { "a", 23 }, noise, fake.ready()) .. "await S\n"
      .. fake.send(noise, bind, noise, fake.description({ "a", 23 }, 1), noise,
        fake.row(int32(1)), noise, fake.row(int32(2)), noise,
        fake.complete "SELECT 2",
        noise, fake.ready(), noise) .. "again\n")
    local seen = 0
    local db = open(server.url, {
      max_size = 1, on_notice = function() seen = seen + 1 end,
    })
    for i = 1, 20 do
      assert.same({ { a = 1 }, { a = 2 } }, db:query("select " .. i))
    end
    assert.equal(1, db:stats().size)
    assert.is_true(seen > 20)
  end)

  it("F-63 a storm while idle does not stop the loop", function()
    local storm = (fake.notice(("n"):rep(200)) .. fake.notification("c", "p"))
      :rep(20)
    local server = faults.server(fake.hello .. "await Q\n"
      .. fake.send(message("I", ""), fake.ready()) .. "wait 50\n"
      .. fake.flood(helper.soak(5000), storm) .. "loop\nawait Q\n"
      .. fake.send(message("I", ""), fake.ready()) .. "again\n")
    local before = resident()
    faults.ticking(function()
      local db = perigee.open(server.url, {
        max_size = 1, on_notice = function() end,
      })
      db:ping()
      perigee.sleep(0.5)
      assert.is_true(db:ping())
      assert.equal(1, db:stats().size)
      db:close()
    end)
    assert.is_true(resident() - before < 64e6)
  end)

  it("F-63 client_encoding changed by the server is noticed", function()
    local server = faults.server("conn 1\n" .. fake.hello .. "await Q\n"
      .. fake.send(message("I", ""), fake.ready(),
        fake.parameter("client_encoding", "LATIN1")) .. "hold\n"
      .. "conn *\n" .. fake.hello .. "loop\nawait Q\n"
      .. fake.send(message("I", ""), fake.ready()) .. "again\n")
    local db = open(server.url, { max_size = 1 })
    db:connection(function(conn)
      conn:ping()
      perigee.sleep(0.05)
    end)
    -- It is reset, which this server does not answer, or closed: never lent.
    assert.is_true(db:ping())
  end)
end)

faults.on_postgres("Asynchronous messages", function()
  it("F-63 a storm of notices during a query", function()
    local seen, last = 0, nil
    local db = open(faults.postgres, {
      max_size = 1, on_notice = function(n) seen, last = seen + 1, n end,
    })
    local n = helper.soak(50000)
    local before = resident()
    faults.ticking(function()
      assert.equal(7, db:value(([[select 7 from (select pg_temp.storm(%d)) s]])
        :format(n)))
    end, db:script [[create function pg_temp.storm(n int) returns int
      language plpgsql as $$ begin
        for i in 1..n loop raise notice 'notice %', i; end loop; return 1;
      end $$]])
    assert.is_true(seen > 0)
    assert.matches("notice", last.message)
    assert.is_true(resident() - before < 64e6)
    assert.equal(1, db:stats().size)
  end)

  it("F-63 an error in on_notice harms nobody", function()
    local db = open(faults.postgres, {
      max_size = 1, on_warning = function() end,
      on_notice = function() error "in on_notice" end,
    })
    for i = 1, 3 do
      db:execute "do $$ begin raise notice 'hello'; end $$"
      assert.equal(i, db:value("select ?::int", i))
    end
    assert.equal(1, db:stats().size)
  end)

  it("F-63 NOTIFY while idle and between results", function()
    local db = open(faults.postgres, { max_size = 1 })
    db:connection(function(conn)
      conn:execute "listen f63"
      for i = 1, 50 do
        faults.admin():execute "notify f63, 'outside'"
        conn:execute "notify f63, 'inside'"
        assert.equal(i, conn:value("select ?::int", i))
      end
      perigee.sleep(0.02)
      assert.equal(1, conn:value "select 1")
    end)
    assert.equal(1, db:value "select 1")
  end)

  it("F-63 SET of what values depend on does not leak to the next", function()
    local db = open(faults.postgres, { max_size = 1 })
    local zone = db:value "show timezone"
    db:connection(function(conn)
      conn:execute "set timezone = 'Asia/Tokyo'"
      conn:execute "set datestyle = 'German'"
      conn:execute "set intervalstyle = 'iso_8601'"
      conn:execute "set client_encoding = 'LATIN1'"
    end)
    assert.equal(zone, db:value "show timezone")
    assert.equal("UTF8", db:value "show client_encoding")
    assert.equal("2026-01-02", db:value "select '2026-01-02'::date")
    assert.equal("€", db:value "select '€'")
  end)
end)
