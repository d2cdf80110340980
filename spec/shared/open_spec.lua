-- Opening: URLs, options, secrets, hooks.
local perigee = require "perigee"
local helper = require "spec.support.helper"
local check = require "spec.support.check"

local raises = check.raises

-- The environment of a child process, and what it printed. The script prints
-- lines; `vars` is "A=b C=d".
local function run_child(vars, script)
  local path = helper.tmpname()
  local f = assert(io.open(path, "w"))
  f:write(("package.path = %q\npackage.cpath = %q\n")
    :format(package.path, package.cpath), script)
  f:close()
  local out = helper.sh("env -u DATABASE_URL -u DATABASE " .. vars .. " "
    .. helper.interpreter() .. " " .. path)
  os.remove(path)
  return out
end

describe("perigee.open", function()
  it("refuses nil, as a misspelt variable gives", function()
    assert.matches("nil", raises("usage", perigee.open, nil).message)
    raises("usage", perigee.open, nil, {})
    raises("usage", perigee.with, nil, print)
  end)

  it("refuses what is no URL", function()
    for _, bad in ipairs { 1, true, {}, print, "", " ", "x", "://", "sqlite",
                           "postgresql:", "postgresql//x", "nope://x",
                           "postgresql://a:b@c:99999/x",
                           "postgresql://a:b@c:x/x", "postgresql://h/%zz",
                           "postgresql://h/%00", "postgresql://h/a%0" } do
      local err = raises("usage", perigee.open, bad)
      assert.is_truthy(#err.message > 8)
    end
    assert.matches("postgresql", raises("usage", perigee.open, "nope://x").message)
  end)

  it("refuses unknown options, and names those that are allowed", function()
    for _, o in ipairs { { max_sise = 1 }, { 1 }, { [true] = 1 },
                         { timeout = 1 }, { password = "x" } } do
      local err = raises("usage", perigee.open, "sqlite::memory:", o)
      assert.matches("max_size", err.message)
    end
    for _, o in ipairs { 5, "x", true } do
      raises("usage", perigee.open, "sqlite::memory:", o)
    end
    for _, q in ipairs { "max_sise=1", "nope=1", "mode=bogus", "=1" } do
      raises("usage", perigee.open, "sqlite:x.db?" .. q)
      raises("usage", perigee.open, "postgresql://h/d?" .. q)
    end
    assert.matches("nope", raises("usage", perigee.open,
      "postgresql://h/d?nope=1").message)
  end)

  it("refuses values of the wrong kind, in a table and in the URL", function()
    local bad = {
      max_size = { 0, -1, 1.5, "x", 0 / 0, math.huge, true, {}, 1e9 },
      min_size = { -1, 1.5, "x" },
      max_waiting = { -1, 1.5, "x" },
      statement_cache = { -1, 1.5, "x" },
      acquire_timeout = { 0, -1, "x", 0 / 0, true, {} },
      connect_timeout = { 0, -1, "x", 0 / 0 },
      query_timeout = { 0, -1, "x", 0 / 0 },
      idle_timeout = { 0, -1, "x" },
      lifetime = { 0, -1, "x" },
      reset = { "sometimes", true, 1 },
      numeric = { "float", 1 }, json = { "text", 1 }, int8 = { "x", 1 },
      force_rollback = { "maybe", 2 },
      application_name = { 1, {} },
      on_connect = { 1, "x", {} }, on_query = { 1 }, on_notice = { 1 },
      on_warning = { 1 },
      codecs = { 1, { 1 }, { x = 1 }, { x = {} }, { x = { decode = 1 } },
                 { x = { decode = print, nope = print } } },
    }
    for key, values in pairs(bad) do
      for _, v in ipairs(values) do
        local err = raises("usage", perigee.open, "sqlite::memory:",
          { [key] = v })
        assert.matches(key, err.message, 1, true)
        if type(v) == "number" and v == v and v < 1e6 or type(v) == "string"
          and key ~= "application_name" and not key:match "^on_"
          and key ~= "codecs" then
          if key ~= "application_name" then
            raises("usage", perigee.open,
              "sqlite::memory:?" .. key .. "=" .. tostring(v))
          end
        end
      end
    end
    raises("usage", perigee.open, "sqlite::memory:",
      { min_size = 3, max_size = 2 })
  end)

  it("never changes the options it is given", function()
    local function silent() end
    local o = { max_size = 2, on_query = silent }
    local db = perigee.open("sqlite::memory:", o)
    db:ping()
    db:close()
    assert.same({ max_size = 2, on_query = silent }, o)
    local frozen = setmetatable({}, {
      __newindex = function() error "written to" end })
    perigee.open("sqlite::memory:", frozen):close()
  end)

  it("connects to nothing before the first call", function()
    local path = helper.tmpname()
    local db = perigee.open("sqlite:///" .. path, { min_size = 2 })
    assert.is_nil(io.open(path))
    assert.equal(0, db:stats().size)
    db:close()
    perigee.open("postgresql://nobody@127.0.0.1:1/x"):close()
  end)

  it("says what to install when a driver module is missing", function()
    local before = package.cpath
    package.cpath = "/nonexistent/?.so"
    local ok, err = pcall(raises, "usage", perigee.open, "sqlite::memory:")
    local ok2, err2 = pcall(raises, "usage", perigee.open, "postgresql:///x")
    package.cpath = before
    assert.is_true(ok, tostring(err))
    assert.matches("libsqlite3", err.message)
    assert.is_true(ok2, tostring(err2))
    assert.matches("libpq", err2.message)
  end)

  it("says so when a driver module is not one", function()
    local folder = helper.tmpname()
    helper.sh("mkdir -p " .. folder .. "/perigee/driver; echo x > " .. folder
      .. "/perigee/driver/sqlite.so")
    local before = package.cpath
    package.cpath = folder .. "/?.so"
    local ok, err = pcall(perigee.open, "sqlite::memory:")
    package.cpath = before
    helper.sh("rm -r " .. folder)
    assert.is_false(ok)
    assert.equal(perigee.error, getmetatable(err))
    assert.matches("sqlite.so", err.message, 1, true)
  end)

  it("takes $DATABASE_URL, $DATABASE, then perigee.db", function()
    local script = [[local p = require "perigee"
      print(tostring(p.open()))]]
    assert.matches("sqlite:///a.db", run_child(
      "DATABASE_URL=sqlite:a.db DATABASE=sqlite:b.db", script), 1, true)
    assert.matches("sqlite:///b.db", run_child("DATABASE=sqlite:b.db", script), 1,
      true)
    assert.matches("sqlite:///perigee.db", run_child("", script), 1, true)
  end)

  it("accepts the suffix of another program's driver", function()
    for _, url in ipairs { "sqlite+aiosqlite:///x.db", "sqlite+pysqlite:x.db" }
    do
      local db = perigee.open(url)
      assert.equal("sqlite", db:driver().name)
      db:close()
    end
    local db = perigee.open "postgresql+asyncpg://u@h/d"
    assert.equal("postgres", db:driver().name)
    db:close()
    db = perigee.open "postgres://u@h/d"
    assert.equal("postgres", db:driver().name)
    db:close()
  end)
end)

describe("perigee.from_env", function()
  it("raises usage when the variable is not set or empty", function()
    assert.matches("PERIGEE_NOT_SET", raises("usage", perigee.from_env,
      "PERIGEE_NOT_SET").message)
    raises("usage", perigee.from_env)
    raises("usage", perigee.from_env, 1)
    local script = [[local p = require "perigee"
      local ok, err = pcall(p.from_env, "SHOP_DB", { max_size = 3 })
      print(ok, ok and tostring(err) .. " " .. err:stats().max_size or err)]]
    assert.matches("true%s.*sqlite:///shop.db 3",
      run_child("SHOP_DB=sqlite:shop.db", script))
    assert.matches("false%s+usage: .*SHOP_DB", run_child("SHOP_DB=", script))
  end)
end)

describe("perigee.url", function()
  local URL = "postgresql+asyncpg://app:S3CRET%40x@db.example:6432/shop" ..
    "?sslmode=require&application_name=a%20b"

  it("has the parts", function()
    local u = perigee.url(URL)
    assert.equal("postgres", u.scheme)
    assert.equal("app", u.user)
    assert.equal("S3CRET@x", u.password)
    assert.equal("db.example", u.host)
    assert.equal(6432, u.port)
    assert.equal("shop", u.database)
    assert.same({ sslmode = "require", application_name = "a b" }, u.params)
    assert.is_nil(u.nope)
    assert.is_nil(perigee.url("sqlite:x.db").host)
    assert.equal("x.db", perigee.url("sqlite:x.db").database)
    assert.equal("x.db", perigee.url("sqlite:///x.db").database)
    assert.equal("/var/x.db", perigee.url("sqlite:////var/x.db").database)
    assert.equal(":memory:", perigee.url("sqlite::memory:").database)
  end)

  it("masks in tostring, keeps in with and reveal (P-37)", function()
    local u = perigee.url(URL)
    for _, text in ipairs { "S3CRET", "%40x", "@x@" } do
      assert.is_nil(tostring(u):find(text, 1, true))
    end
    assert.matches("***", tostring(u), 1, true)
    local v = u:with { database = "other" }
    assert.equal("S3CRET@x", v.password)
    assert.equal("other", v.database)
    assert.equal("shop", u.database)
    assert.is_nil(tostring(v):find("S3CRET", 1, true))
    assert.equal(u, perigee.url(u:reveal()))
    assert.equal(u, v:with { database = "shop" })
    assert.are_not.equal(u, v)
    assert.is_nil(u:with { password = perigee.null }.password)
    raises("usage", function() u.database = "x" end)
    raises("usage", u.with, u, { nope = 1 })
    raises("usage", u.with, u, 1)
    raises("usage", perigee.url)
    local q = perigee.url "postgresql://h/d?password=S3CRET"
    assert.is_nil(tostring(q):find("S3CRET", 1, true))
  end)

  it("is taken by open", function()
    local db = perigee.open(perigee.url "sqlite::memory:")
    assert.equal(1, db:value "select 1")
    db:close()
  end)
end)

describe("perigee.with", function()
  it("gives the results, and closes also on an error", function()
    local kept
    local a, b, c = perigee.with("sqlite::memory:", function(db)
      kept = db
      return db:value "select 1", nil, 3
    end)
    assert.equal(1, a)
    assert.is_nil(b)
    assert.equal(3, c)
    raises("closed", kept.query, kept, "select 1")
    local thing = {}
    local ok, err = pcall(perigee.with, "sqlite::memory:", function(db)
      kept = db
      error(thing)
    end, { max_size = 1 })
    assert.is_false(ok)
    assert.equal(thing, err)
    raises("closed", kept.query, kept, "select 1")
    raises("usage", perigee.with, "sqlite::memory:")
    raises("usage", perigee.with, "sqlite::memory:", print, { nope = 1 })
  end)
end)

describe("a memory database (P-57)", function()
  it("is one for a handle, and another for another handle", function()
    local a = helper.open("sqlite::memory:", { max_size = 5 })
    local b = helper.open "sqlite::memory:"
    a:execute "create table t (n integer)"
    a:execute "insert into t values (1)"
    assert.equal(1, a:value "select n from t")
    raises("undefined", b.query, b, "select * from t")
    b:execute "create table t (n integer)"
    assert.equal(0, b:value "select count(*) from t")
    perigee.run(function()
      local fns = {}
      for i = 1, 20 do
        fns[i] = function()
          if i % 2 == 0 then
            a:transaction(function(tx)
              local n = tx:value "select n from t"
              perigee.sleep(0)
              tx:execute("update t set n = ?", n + 1)
            end)
          else
            a:value "select n from t"
          end
        end
      end
      perigee.gather((table.unpack or unpack)(fns))
    end)
    assert.equal(11, a:value "select n from t")
    assert.equal(1, a:stats().created)
    helper.cleanup()
  end)
end)

helper.for_each_db(function(name, open)
  describe("options", function()
    it("of the URL and the table are the same, and the table wins",
       function()
      local url = open.url()
      url = url .. (url:find("?", 1, true) and "&" or "?")
      local db = helper.open(url .. "max_size=7&min_size=1&query_timeout=3")
      assert.equal(name == "sqlite memory" and 1 or 7, db:stats().max_size)
      db:ping()
      db = helper.open(url .. "max_size=7", { max_size = 2 })
      if name ~= "sqlite memory" then
        assert.is_true(db:stats().max_size <= 3)
      end
      db:ping()
    end)

    it("statement_cache = 0 keeps no statement", function()
      local db = open { max_size = 1, statement_cache = 0 }
      for i = 1, 30 do
        assert.equal(i, db:value("select cast(? as integer)", i))
      end
      if name == "postgres" then
        db:connection(function(c)
          assert.equal(0, c:value "select count(*) from pg_prepared_statements")
        end)
      end
      db = open { max_size = 1, statement_cache = 2 }
      for i = 1, 30 do
        assert.equal(i, db:value("select " .. i .. " + cast(? as integer)", 0))
        assert.equal(i, db:value("select cast(? as integer)", i))
      end
      if name == "postgres" then
        db:connection(function(c)
          assert.is_true(c:value
            "select count(*) from pg_prepared_statements" <= 3)
        end)
      end
    end)

    it("on_connect runs once on each new connection", function()
      local calls = 0
      local db = open { max_size = 2, on_connect = function(conn)
        calls = calls + 1
        assert.equal(1, conn:value "select 1")
      end }
      for _ = 1, 5 do db:value "select 1" end
      assert.equal(check.created(db), calls)
      local bad = open { max_size = 1, on_connect = function()
        error { "mine" }
      end }
      local ok, err = pcall(bad.query, bad, "select 1")
      assert.is_false(ok)
      assert.is_truthy(err)
      assert.equal(0, bad:stats().in_use)
    end)

    it("force_rollback leaves nothing", function()
      if name == "sqlite memory" then return end
      local plain = open()
      plain:script "create table t (n integer)"
      local db = open { force_rollback = true }
      db:execute "insert into t values (1)"
      db:transaction(function(tx) tx:execute "insert into t values (2)" end)
      assert.equal(2, db:value "select count(*) from t")
      db:close()
      assert.equal(0, plain:value "select count(*) from t")
    end)
  end)

  describe("on_query (P-64)", function()
    it("gets sql, seconds, rows and error, and no values", function()
      local events = {}
      local db = open { max_size = 1, on_query = function(e)
        events[#events + 1] = e
      end }
      db:script "create table t (n integer primary key, s text)"
      local secret = "S3CRET-value"
      local function last() return events[#events] end
      db:query(helper.sql(name, "select cast(? as text) as a"), secret)
      assert.matches("select cast", last().sql)
      assert.equal("number", type(last().seconds))
      assert.is_true(last().seconds >= 0 and last().seconds < 10)
      assert.equal(1, last().rows)
      assert.is_nil(last().error)
      db:execute("insert into t values (?, ?)", 1, secret)
      assert.equal(1, last().rows)
      db:execute("insert into t values (:n, :s)", { n = 2, s = secret })
      db:execute_many("insert into t values (?, ?)", { { 3, secret },
        { 4, secret } })
      db:first("select * from t where s = ?", secret)
      db:value("select n from t where s = ?", secret)
      local before = #events
      for _ in db:each("select * from t where s = ?", secret) do
        before = before + 0
      end
      assert.is_true(#events > before)
      assert.equal(4, last().rows)
      db:transaction(function(tx)
        tx:query(helper.sql(name, "select cast(? as text) as a"), secret)
      end)
      check.raises("unique", db.execute, db, "insert into t values (?, ?)", 1,
        secret)
      assert.equal("unique", last().error.kind)
      assert.matches("insert into t", last().sql)
      check.raises("undefined", db.execute, db, "insert into nope values (?)",
        secret)
      assert.equal("undefined", last().error.kind)
      assert.is_true(#events >= 12)
      for _, e in ipairs(events) do
        assert.is_false(check.contains(e, secret), tostring(e.sql))
      end
      assert.is_false(check.contains(db:stats(), secret))
    end)

    it("that fails does not fail the query, and is told", function()
      local told = {}
      local db = open {
        max_size = 1,
        on_query = function() error "hook" end,
        on_warning = function(m) told[#told + 1] = tostring(m) end,
      }
      assert.equal(1, db:value "select 1")
      assert.equal(1, #told)
      assert.matches("hook", told[1])
      check.raises("undefined", db.query, db, "select * from nope")
      assert.equal(2, #told)
    end)
  end)
end)
