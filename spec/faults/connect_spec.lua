-- Connecting: ports, addresses, servers and names that do not answer as they
-- should. F-01 … F-10.

local perigee = require "perigee"
local fake = require "spec.support.fakepg"
local faults = require "spec.support.faults"
local helper = require "spec.support.helper"

local fails, seconds, open = faults.fails, faults.seconds, faults.open

-- The error of a first call on a handle, made beside a task that ticks.
local function refused(kind, url, options)
  return faults.ticking(function()
    local db = perigee.open(url, options)
    local took, err = seconds(fails, kind, db.ping, db)
    assert.equal(0, db:stats().in_use)
    db:close()
    return err, took
  end)
end

faults.on_postgres("Connecting", function()
  it("F-01 to a closed port is `connect` within a second", function()
    local url = ("postgresql://app@127.0.0.1:%d/app"):format(
      faults.closed_port())
    local err, took = refused("connect", url)
    assert.matches("refused", err.message)
    assert.is_true(took < helper.patience(1), tostring(took))
  end)

  it("F-01 goes on with pauses, and succeeds when the port opens", function()
    local proxy = faults.proxy()
    proxy:refuse()
    local db = open(proxy.db)
    fails("connect", db.ping, db)
    local failures = db:stats().failures
    assert.is_true(failures >= 2 and failures <= 50, tostring(failures))
    perigee.run(function()
      perigee.spawn(function()
        perigee.sleep(0.1)
        proxy:listen()
      end)
      assert.equal(1, db:value "select 1")
    end)
  end)

  it("F-02 to a listener that never answers keeps the deadline", function()
    local proxy = faults.proxy()
    proxy:blackhole()
    local err, took = refused("timeout", proxy.db,
      { connect_timeout = 0.3, acquire_timeout = 10 })
    assert.matches("connecting", tostring(err))
    assert.is_true(took >= 0.29 and took < helper.patience(1.5), tostring(took))
  end)

  it("F-02 to a listener that never answers keeps acquire_timeout", function()
    local proxy = faults.proxy()
    proxy:blackhole()
    local _, took = refused("timeout", proxy.db,
      { connect_timeout = 10, acquire_timeout = 0.2 })
    assert.is_true(took >= 0.19 and took < helper.patience(1), tostring(took))
  end)

  it("F-02 closes without waiting for an attempt that hangs", function()
    local proxy = faults.proxy()
    proxy:blackhole()
    local db = open(proxy.db, { acquire_timeout = 0.05 })
    fails("timeout", db.ping, db)
    assert.is_true(seconds(db.close, db) < helper.patience(0.5))
  end)

  it("F-02 to an address that swallows packets", function()
    pending("needs a route that drops packets; a deaf listener, at which the "
      .. "same waits happen, is tested above")
  end)

  it("F-04 with a wrong password fails at once, for all waiters", function()
    local url = faults.tcp:gsub(":perigee@", ":wrong@")
    local err, took = refused("auth", url, { max_size = 1 })
    assert.equal("28P01", err.sqlstate)
    assert.is_nil(tostring(err):find "wrong")
    assert.is_true(took < helper.patience(2), tostring(took))
    local db = open(url, { max_size = 2 })
    perigee.run(function()
      local fns = {}
      for i = 1, 20 do
        fns[i] = function() return fails("auth", db.ping, db) end
      end
      perigee.gather((table.unpack or unpack)(fns))
    end)
    assert.is_true(db:stats().failures <= 20)
  end)

  it("F-04 to a database that does not exist fails at once", function()
    local url = faults.postgres:gsub("/perigee%?", "/nowhere?")
    local err, took = refused("connect", url)
    assert.equal("3D000", err.sqlstate)
    assert.is_true(took < helper.patience(2), tostring(took))
  end)

  it("F-04 waits while the server has too many connections", function()
    local admin = faults.admin()
    admin:script [[drop role if exists few;
      create role few login password 'few' connection limit 1]]
    local url = faults.tcp:gsub("postgres:perigee@", "few:few@")
    local first = open(url, { max_size = 1 })
    first:ping()
    local second = open(url, { max_size = 1, acquire_timeout = 0.3 })
    local err = fails("timeout", second.ping, second)
    assert.equal("53300", err.cause and err.cause.sqlstate)
    local third = open(url, { max_size = 1, acquire_timeout = 10 })
    perigee.run(function()
      perigee.spawn(function()
        perigee.sleep(0.2)
        first:close()
      end)
      assert.equal("few", third:value "select current_user::text")
    end)
    third:close()
    second:close()
    -- The server needs a moment to forget them.
    faults.eventually(function() return pcall(admin.script, admin, "drop role few") end)
  end)

  it("F-08 refuses NUL, newlines and what is not UTF-8 in a URL", function()
    for _, bad in ipairs {
      "postgresql://app@127.0.0.1:1/app%00x", "postgresql://a%00b@127.0.0.1:1/x",
      "postgresql://127.0.0.1:1/x?application_name=a%00b",
      "postgresql://127.0.0.1:1/x\0", "postgresql://127.0.0.1\n:1/x",
    } do
      fails("usage", perigee.open, bad)
    end
  end)

  it("F-08 takes quotes, blanks and backslashes as they are", function()
    local admin = faults.admin()
    local name = [[it's "a" \ b=c]]
    local quoted = '"' .. name:gsub('"', '""') .. '"'
    local password = [[p'a\s"s w=ord]]
    pcall(admin.script, admin, "drop role " .. quoted)
    admin:script("create role " .. quoted .. " login password '"
      .. password:gsub("'", "''") .. "'")
    local url = perigee.url(faults.tcp):with {
      user = name, password = password,
    }
    local db = open(url, { application_name = name })
    assert.equal(name, db:value "select current_user::text")
    assert.equal(name, db:value "show application_name")
    db:close()
    admin:script("drop role " .. quoted)
  end)

  it("F-10 tells the error of on_connect and leaks nothing", function()
    local calls = 0
    local db = open(faults.postgres, {
      max_size = 1, application_name = "f10",
      on_connect = function(conn)
        calls = calls + 1
        if calls < 3 then conn:execute "select 1/0" end
      end,
    })
    for _ = 1, 2 do
      assert.equal("22012", fails("data", db.ping, db).sqlstate)
      assert.equal(0, db:stats().in_use)
    end
    assert.is_true(db:ping())
    assert.equal(3, calls)
    assert.equal(1, db:stats().size)
    faults.eventually(function() return faults.sessions "f10" == 1 end)
  end)

  it("F-10 bounds an on_connect that hangs", function()
    local db = open(faults.postgres, {
      max_size = 1, query_timeout = 0.2,
      on_connect = function(conn) conn:execute "select pg_sleep(60)" end,
    })
    local took = seconds(fails, "timeout", db.ping, db)
    assert.is_true(took < helper.patience(2), tostring(took))
  end)
end)

faults.without_server("Connecting", function()
  it("F-03 to a server that says nothing after the start message", function()
    local server = faults.server "startup\nhold\n"
    local _, took = refused("timeout", server.url, { connect_timeout = 0.3 })
    assert.is_true(took < helper.patience(1.5), tostring(took))
  end)

  it("F-03 to a server that sends half a message", function()
    local server = faults.server("startup\n" .. "send 5200000008\nhold\n")
    local _, took = refused("timeout", server.url, { connect_timeout = 0.3 })
    assert.is_true(took < helper.patience(1.5), tostring(took))
  end)

  it("F-03 to a server that closes while starting, again and again", function()
    local server = faults.server "startup\n"
    local db = open(server.url)
    local err = fails("connect", db.ping, db)
    assert.matches("closed", err.message)
    local failures = db:stats().failures
    assert.is_true(failures <= 50, "a storm: " .. failures)
  end)

  it("F-03 recovers when a later attempt succeeds", function()
    local server = faults.server("conn 1\nstartup\nconn 2\nstartup\nreset\n"
      .. "conn 3\nstartup\nsend 52000000\nconn 4\n" .. fake.hello .. "loop\n"
      .. "await Q\n" .. fake.send(fake.message("I", ""), fake.ready())
      .. "again\n")
    local db = open(server.url)
    assert.is_true(db:ping())
    assert.equal(3, db:stats().failures)
  end)

  it("F-04 waits while the server starts (57P03)", function()
    local starting = "startup\n" .. fake.send(fake.error("57P03",
      "the database system is starting up", "FATAL"))
    local server = faults.server(starting)
    local db = open(server.url, { acquire_timeout = 0.7 })
    local err = fails("timeout", db.ping, db)
    assert.equal("57P03", err.cause and err.cause.sqlstate)
    assert.matches("starting up", tostring(err))
    local later = faults.server("conn 1\n" .. starting .. "conn 2\n" .. starting
      .. "conn 3\n" .. fake.hello .. "await Q\n"
      .. fake.send(fake.message("I", ""), fake.ready()) .. "hold\n")
    assert.is_true(open(later.url):ping())
  end)

  it("F-05 with a name that resolves slowly does not stop the loop", function()
    local preload = (os.getenv "LD_PRELOAD" or "") .. " " .. helper.build
      .. "/slowdns.so"
    local text, ok = helper.sh(("LD_PRELOAD='%s' SLOWDNS=400 "
      .. "%s spec/faults/slow_names.lua"):format(preload, faults.lua()))
    assert.is_true(ok, text)
    assert.matches("all is well", text)
  end)
end)

-- ---- several hosts ----------------------------------------------------------

-- A URL of these hosts ("host:port").
local function hosts(list, params)
  return ("postgresql://postgres:perigee@%s/perigee?sslmode=disable%s"):format(
    table.concat(list, ","), params or "")
end

faults.on_postgres("Several hosts", function()
  local function real()
    return "127.0.0.1:" .. os.getenv "PERIGEE_TEST_PGPORT"
  end

  -- A server that is a hot standby, as far as it says.
  local standby = fake.hello .. "await Q\n" .. fake.send(
    fake.description { "transaction_read_only", 25 }, fake.row "on",
    fake.complete "SHOW", fake.ready()) .. "hold\n"

  it("F-06 refused first: the second is taken", function()
    local db = open(hosts {
      "127.0.0.1:" .. faults.closed_port(), real(),
    })
    assert.is_true(seconds(db.ping, db) < helper.patience(2))
  end)

  it("F-06 deaf first: the second is taken inside the deadline", function()
    local proxy = faults.proxy()
    proxy:blackhole()
    local db = open(hosts { proxy.address, real() }, { connect_timeout = 1 })
    local took = seconds(faults.ticking, function()
      local again = perigee.open(hosts { proxy.address, real() },
        { connect_timeout = 1 })
      assert.equal(1, again:value "select 1")
      again:close()
    end)
    assert.is_true(took < helper.patience(3), tostring(took))
    assert.equal(1, db:value "select 1")
  end)

  it("F-06 dead, read-only, primary: read-write takes the third", function()
    local server = faults.server(standby)
    local list = {
      "127.0.0.1:" .. faults.closed_port(), "127.0.0.1:" .. server.port, real(),
    }
    local db = open(hosts(list, "&target_session_attrs=read-write"),
      { connect_timeout = 3 })
    assert.equal("off", db:value "show transaction_read_only")
    local other = open(hosts(list, "&target_session_attrs=prefer-standby"),
      { connect_timeout = 3, pipeline = 0 }) -- it answers no questions
    assert.is_true(other:ping() ~= nil)
  end)

  it("F-06 no host is fit: the error says so", function()
    local db = open(hosts({ real() }, "&target_session_attrs=read-only"))
    local err = fails("connect", db.ping, db)
    assert.matches("not read%-only", err.message)
  end)
end)

-- ---- TLS ----------------------------------------------------------------------

faults.on_postgres("TLS", function()
  if not os.getenv "PERIGEE_TEST_CA" then
    pending "is not tested: the server has no certificate (openssl is missing)"
    return
  end

  local function tls(url, mode, params)
    params = params or {}
    params.sslmode = mode
    return faults.with(url, params)
  end

  it("F-07 works when all is right", function()
    local db = open(tls(faults.tcp, "verify-full",
      { sslrootcert = os.getenv "PERIGEE_TEST_CA" }))
    assert.is_true(db:value [[select ssl from pg_stat_ssl
      where pid = pg_backend_pid()]])
  end)

  it("F-07 is not given up for plain text", function()
    local server = faults.server(fake.hello)
    local url = server.url:gsub("sslmode=disable", "sslmode=require")
    local err = refused("connect", url)
    assert.matches("SSL", err.message)
  end)

  it("F-07 refuses a certificate that nobody known has signed", function()
    -- One that has signed nothing of the server's.
    local other = helper.tmpname()
    local _, ok = helper.sh(("openssl req -new -x509 -nodes -newkey rsa:2048 "
      .. "-subj /CN=other -keyout %s.key -out %s"):format(other, other))
    assert.is_true(ok)
    os.remove(other .. ".key")
    local err = refused("connect", tls(faults.tcp, "verify-ca",
      { sslrootcert = other }))
    assert.matches("certificate", err.message)
  end)

  it("F-07 refuses the certificate of another host", function()
    local url = faults.tcp:gsub("127%.0%.0%.1", "127.0.0.2")
    url = tls(url, "verify-full", {
      sslrootcert = os.getenv "PERIGEE_TEST_CA", hostaddr = "127.0.0.1",
    })
    local err = refused("connect", url)
    assert.matches("does not match host name", err.message)
  end)

  it("F-07 survives TLS that is cut or stalls mid-handshake", function()
    for _, bytes in ipairs { 1, 20, 500 } do
      local proxy = faults.proxy(true)
      proxy:drop_after(bytes, "down")
      local db = open(tls(proxy.db, "require"))
      assert.equal(1, db:value "select 1") -- the next attempt
      assert.is_true(db:stats().failures > 0)
    end
    local server = faults.server "tls\nhold\n"
    local url = server.url:gsub("sslmode=disable", "sslmode=require")
    refused("timeout", url, { connect_timeout = 0.3 })
    server:script("tls\nwait 100\n" .. fake.send "HTTP/1.1 400 Bad Request" .. "hold\n")
    local err = refused("connect", url, { connect_timeout = 3 })
    assert.matches("SSL", err.message)
  end)

  it("F-07 carries large results through one-byte pieces", function()
    local proxy = faults.proxy(true)
    local db = open(tls(proxy.db, "require"))
    db:ping()
    proxy:slice(1)
    local n = helper.soak(100000)
    assert.equal(n, #db:value("select repeat('x', ?)", n))
    proxy:clear()
  end)

  it("F-07 cancels over TLS as well", function()
    local proxy = faults.proxy(true)
    local db = open(tls(proxy.db, "require"), { max_size = 1 })
    db:ping()
    fails("timeout", db.query, db, "select pg_sleep(60)", {}, { timeout = 0.1 })
    assert.equal(1, db:value "select 1")
  end)
end)

-- ---- SCRAM --------------------------------------------------------------------

faults.without_server("SCRAM", function()
  it("F-09 refuses a server that does not know the password", function()
    local server = faults.server "startup\nscram 4096\nhold\n"
    local err = refused("auth", server.url)
    assert.matches("signature", err.message)
    assert.is_nil(tostring(err):find "secret")
  end)

  it("F-09 is not kept by a server that asks for 2^31 rounds", function()
    local server = faults.server "startup\nscram 2147483647\nhold\n"
    -- In a process of its own: libpq cannot be told to stop counting.
    local text, ok = helper.sh(
      ("LD_PRELOAD='%s' %s spec/faults/slow_names.lua '%s'")
        :format(os.getenv "LD_PRELOAD" or "", faults.lua(), server.url))
    assert.is_true(ok, text)
    assert.matches("all is well", text)
  end)
end)
