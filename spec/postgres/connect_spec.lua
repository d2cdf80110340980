-- Connecting to PostgreSQL: what fails, how soon, and what is said.
local perigee = require "perigee"
local helper = require "spec.support.helper"
local check = require "spec.support.check"

local tcp = os.getenv "PERIGEE_TEST_POSTGRES_TCP"

local function seconds_of(f)
  local out = {}
  local db = perigee.open("sqlite::memory:", { on_query = function() end })
  local start = db:value "select (julianday('now') - 2440587.5) * 86400.0"
  out[1] = f()
  local stop = db:value "select (julianday('now') - 2440587.5) * 86400.0"
  db:close()
  return stop - start, out[1]
end

describe("connecting to PostgreSQL", function()
  after_each(helper.cleanup)

  if not tcp then
    pending "PERIGEE_TEST_POSTGRES_TCP is not set"
    return
  end

  it("with a wrong password is auth, without the password (P-37)", function()
    local url = perigee.url(tcp):with { password = "S3CRET@x" }
    local log = {}
    local function note(e) log[#log + 1] = e end
    local db = helper.open(url, { on_query = note, on_warning = note,
      on_notice = note })
    local seconds, err = seconds_of(function()
      return check.raises("auth", db.query, db, "select 1")
    end)
    assert.is_true(seconds < helper.patience(2), seconds .. " s")
    assert.equal("28P01", err.sqlstate)
    for _, verb in ipairs { "first", "execute", "ping", "script" } do
      log[#log + 1] = check.raises("auth", db[verb], db,
        verb ~= "ping" and "select 1" or nil)
    end
    log[#log + 1] = check.raises("auth", db.transaction, db, print)
    log[#log + 1] = err
    log[#log + 1] = db:stats()
    log[#log + 1] = tostring(db)
    log[#log + 1] = tostring(url)
    for _, secret in ipairs { "S3CRET", "%40x", "@x@" } do
      assert.is_false(check.contains(log, secret), secret)
    end
    assert.matches("***", tostring(db), 1, true)
  end)

  it("with the right password works, and a derived URL too (P-37)", function()
    local admin = helper.open(tcp)
    admin:script [[drop role if exists perigee_p37;
      create role perigee_p37 login password 'S3CRET@x']]
    local log = {}
    local function note(e) log[#log + 1] = e end
    local url = tcp:gsub("//[^@]*@", "//perigee_p37:S3CRET%%40x@")
    local db = helper.open(url, { on_query = note, on_warning = note })
    assert.equal("perigee_p37", db:value "select current_user")
    log[1 + #log] = check.raises("undefined", db.query, db, "select nope")
    log[1 + #log] = check.raises("permission", db.query, db,
      "select * from pg_authid")
    log[1 + #log] = db:stats()
    local other = helper.open(perigee.url(url):with { database = "postgres" })
    assert.equal("postgres", other:value "select current_database()")
    log[1 + #log] = tostring(other)
    assert.is_false(check.contains(log, "S3CRET"))
    db:close()
    other:close()
    admin:script "drop role perigee_p37"
  end)

  it("to a port where nobody listens is connect within 2 s", function()
    local db = helper.open("postgresql://a:S3CRET@127.0.0.1:1/x")
    local seconds, err = seconds_of(function()
      return check.raises("connect", db.query, db, "select 1")
    end)
    assert.is_true(seconds < helper.patience(2), seconds .. " s")
    assert.is_false(check.contains(err, "S3CRET"))
    check.raises("connect", db.ping, db)
    check.raises("connect", db.transaction, db, print)
    assert.equal(0, db:stats().in_use)
  end)

  it("to a socket folder that is not there is connect within 2 s", function()
    local db = helper.open "postgresql:///x?host=/nonexistent"
    local seconds = seconds_of(function()
      return check.raises("connect", db.query, db, "select 1")
    end)
    assert.is_true(seconds < helper.patience(2), seconds .. " s")
  end)

  it("to a database that is not there is connect at once", function()
    local db = helper.open(perigee.url(tcp):with { database = "nope" })
    local seconds, err = seconds_of(function()
      return check.raises("connect", db.query, db, "select 1")
    end)
    assert.is_true(seconds < helper.patience(1), seconds .. " s")
    assert.equal("3D000", err.sqlstate)
  end)

  it("to a host that never answers ends with connect_timeout", function()
    local proxy = require "spec.support.proxy"
    local p = proxy.start(os.getenv "PERIGEE_TEST_PGSOCKET")
    p:stall "both"
    local db = helper.open(p:url(tcp), { connect_timeout = 0.3,
      acquire_timeout = 1 })
    local seconds, err = seconds_of(function()
      local ok, e = pcall(db.query, db, "select 1")
      assert.is_false(ok)
      return e
    end)
    p:stop()
    assert.is_truthy(err.kind == "connect" or err.kind == "timeout",
      tostring(err))
    assert.is_true(seconds < helper.patience(2), seconds .. " s")
  end)

  it("refuses URL parameters that libpq does not know", function()
    assert.matches("nope", check.raises("usage", perigee.open,
      "postgresql://h/d?nope=1").message)
  end)

  it("has the application name", function()
    local db = helper.open(os.getenv "PERIGEE_TEST_POSTGRES",
      { application_name = "it's me" })
    assert.equal("it's me", db:value "show application_name")
    db = helper.open(os.getenv "PERIGEE_TEST_POSTGRES"
      .. "&application_name=other%20one")
    assert.equal("other one", db:value "show application_name")
  end)
end)
