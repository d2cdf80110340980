-- BEGIN that goes with the first statement: what the server has seen of it, by the codec
-- and by libpq.

local helper = require "spec.support.helper"
local expect = require "spec.support.expect"
local faults = require "spec.support.faults"
local fake = require "spec.support.fakepg"
local perigee = require "perigee"

local fails = expect.fails

local function specs(open, link)
  local db, other

  before_each(function()
    local url = faults.with(open.url(), { protocol = link })
    db, other = helper.open(url, { max_size = 1 }), helper.open(url, { max_size = 1 })
    db:script "create table t (id integer primary key, n integer)"
  end)

  -- What the server says of the transaction's session: state and last statement.
  local function seen(tx)
    return other:one("select state, query from pg_stat_activity where pid = ?",
      tx:info().backend)
  end

  it("comes with it, and not before", function()
    db:value "select 'before'"
    db:transaction(function(tx)
      assert.same({ state = "idle", query = "select 'before'" }, seen(tx))
      assert.equal("open", tx:info().tx)
      assert.equal(1, tx:value "select 1")
      assert.equal("idle in transaction", seen(tx).state)
      tx:transaction(function(sp)
        assert.equal("select 1", seen(sp).query)
        sp:value "select 2"
        assert.equal("select 2", seen(sp).query)
      end)
    end)
    db:value "select 'before'"
    db:transaction(function(tx) tx:transaction(function() end) end)
    db:connection(function(conn)
      assert.same({ state = "idle", query = "select 'before'" }, seen(conn))
    end)
  end)

  it("has the options of the transaction", function()
    local function settings(tx)
      return tx:one [[select current_setting('transaction_isolation') as level,
        current_setting('transaction_read_only') as ro,
        current_setting('transaction_deferrable') as late]]
    end
    assert.same({ level = "serializable", ro = "on", late = "on" },
      db:transaction(settings,
        { isolation = "serializable", readonly = true, deferrable = true }))
    assert.same({ level = "repeatable read", ro = "off", late = "off" },
      db:transaction(settings, { isolation = "repeatable_read" }))
    assert.same({ level = "read committed", ro = "off", late = "off" },
      db:transaction(settings))
    fails("permission", db.transaction, db, function(tx)
      tx:execute "insert into t values (1, 1)"
    end, { readonly = true })
  end)

  it("comes before every kind of statement", function()
    local insert = "insert into t values (1, 1)"
    for name, first in pairs {
      execute = function(tx) tx:execute(insert) end,
      parameters = function(tx) tx:execute("insert into t values (?, 1)", 1) end,
      script = function(tx) tx:script(insert .. "; select 1") end,
      batch = function(tx) tx:execute_many("insert into t values (?, 1)", { { 1 } }) end,
      pipeline = function(tx) tx:pipeline(function(p) p:execute(insert) end) end,
      savepoint = function(tx) tx:transaction(function(sp) sp:execute(insert) end) end,
      each = function(tx)
        for _ in tx:each "select generate_series(1, 3)" do
          if tx:value "select count(*) from t" == 0 then tx:execute(insert) end
        end
      end,
      table = function(tx) tx:insert("t", { id = 1, n = 1 }) end,
      many = function(tx) tx:insert_many("t", { { id = 1, n = 1 } }) end,
      page = function(tx)
        tx:page("t", {}, { order_by = "id" })
        tx:execute(insert)
      end,
      setting = function(tx)
        tx:execute "set local statement_timeout = '5s'"
        tx:execute(insert)
      end,
      ddl = function(tx)
        tx:execute "create table u (a int)"
        tx:execute(insert)
      end,
      lock = function(tx)
        tx:execute "lock table t in exclusive mode"
        tx:execute(insert)
      end,
      ping = function(tx)
        if tx.ping then tx:ping() end
        tx:execute(insert)
      end,
    } do
      local ok, err = pcall(db.transaction, db, function(tx)
        first(tx)
        assert.equal(1, tx:value "select count(*) from t", name)
        error("undo", 0)
      end)
      assert.same({ false, "undo" }, { ok, err }, name)
      assert.equal(0, db:value "select count(*) from t", name)
    end
    assert.is_false(db:has_table "u")
  end)

  it("is not lost when the statement is out of date", function()
    local sql = "select * from t where id > ?"
    for _ = 1, 8 do db:query(sql, 0) end
    other:script "alter table t add column s text default 'x'"
    assert.is_false((pcall(db.transaction, db, function(tx)
      tx:query(sql, 0)
      tx:execute "insert into t values (1, 1)"
      error "undo"
    end)))
    assert.equal(0, db:value "select count(*) from t")
    other:script "alter table t drop column n"
    db:transaction(function(tx)
      assert.equal(0, #tx:query(sql, 0))
      tx:execute "insert into t (id) values (1)"
      assert.same({ { id = 1, s = "x" } }, tx:query(sql, 0))
    end)
    assert.equal(1, other:value "select count(*) from t")
  end)

  it("goes back with a statement that the parameters do not fit", function()
    db:transaction(function(tx)
      fails("usage", tx.query, tx, "select ?::int", { print })
      fails("usage", tx.query, tx, "select ?::int[]", { "1", "2" })
      assert.equal(1, tx:value "select 1")
    end)
  end)

  it("fails with it: a syntax error, a cancel, a lost connection", function()
    for _, sql in ipairs { "selec 1", "select nope", "select 1/0" } do
      fails("aborted", db.transaction, db, function(tx)
        assert.is_false((pcall(tx.query, tx, sql)))
        assert.equal("failed", tx:info().tx)
        assert.is_not_nil(fails("aborted", tx.query, tx, "select 1").cause)
      end)
    end
    fails("timeout", db.transaction, db, function(tx)
      tx:query("select pg_sleep(20)", {}, { timeout = 0.05 })
    end)
    perigee.run(function()
      local job = perigee.spawn(db.transaction, db, function(tx)
        tx:query "select pg_sleep(20)"
      end)
      perigee.sleep(0.05)
      job:cancel()
      fails("cancelled", job.join, job)
    end)
    expect.idle(db)
    assert.equal(1, db:value "select 1")
    fails("closed", db.transaction, db, function(tx)
      other:execute("select pg_terminate_backend(?)", tx:info().backend)
      perigee.sleep(0.05)
      tx:query "select 1"
    end)
    db:transaction(function(tx) tx:execute "insert into t values (7, 7)" end)
    assert.equal(7, db:value "select n from t")
  end)

  it("runs again with the transaction", function()
    local n = 0
    db:transaction(function(tx)
      n = n + 1
      if n == 1 then tx:execute "do $$ begin raise sqlstate '40001'; end $$" end
      tx:execute "insert into t values (1, 1)"
    end, { retries = 2 })
    assert.equal(2, n)
    assert.equal(1, db:value "select count(*) from t")
  end)
end

helper.for_each_db(function(_, open)
  for _, link in ipairs { "wire", "libpq" } do
    describe("BEGIN by " .. link, function() specs(open, link) end)
  end
end, { "postgres" })

faults.on_postgres("BEGIN", function()
  it("costs no round trip of its own", function()
    local proxy = faults.proxy()
    local db = helper.open(faults.by_wire(proxy.db), { max_size = 1, pipeline = 0 })
    local function work()
      db:transaction(function(tx)
        tx:value "select 1"
        tx:value "select 2"
      end)
    end
    work()
    work()
    proxy:delay(20)
    local least = math.huge -- of several: others may have the processor meanwhile
    for _ = 1, 5 do
      local before = faults.now()
      work()
      least = math.min(least, (faults.now() - before) / 0.04)
    end
    assert.is_true(least > 2.5 and least < 3.9, "round trips: " .. least)
  end)
end)

faults.without_server("BEGIN", function()
  local send, message, int16 = fake.send, fake.message, fake.int16
  local begun = message("1", "") .. message("2", "") .. fake.complete "BEGIN"
  local column = { "a", 25 }
  local refused = "await S\n" .. send(fake.error("53000", "no room"), fake.ready "I")
  local prepared = "await S\n" .. send(begun, message("1", ""), message("t", int16(0)),
    fake.description(column), fake.ready "T")
  local answered = "await S\n" .. send(message("2", ""), fake.row "x",
    fake.complete "SELECT 1", fake.ready "T")
  local committed = "await Q\n" .. send(fake.complete "COMMIT", fake.ready "I")

  it("that is refused is the statement's error, and is sent again", function()
    local server = faults.server(fake.hello .. refused .. refused .. prepared .. answered
      .. committed .. "hold\n")
    local db = helper.open(faults.by_wire(server.url), { max_size = 1 })
    local value = db:transaction(function(tx)
      for _ = 1, 2 do
        local err = fails("resource", tx.value, tx, "select a")
        assert.same({ "BEGIN", "53000", "open" }, { err.sql, err.sqlstate, tx:info().tx })
      end
      return tx:value "select a"
    end)
    assert.equal("x", value)
    assert.equal(1, db:stats().created)
  end)

  it("is undone and sent again with a statement that is out of date", function()
    local changed = message("E", "SERROR\0VERROR\0C0A000\0Mchanged\0"
      .. "RRevalidateCachedQuery\0\0")
    local stale = "await S\n" .. send(begun, changed, fake.ready "E")
      .. "await Q\n" .. send(fake.complete "ROLLBACK", fake.ready "I")
    local server = faults.server(fake.hello .. prepared .. answered .. committed .. stale
      .. "await S\n" .. send(begun, message("1", ""), message("t", int16(0)),
        fake.description(column), fake.ready "T") .. answered .. committed .. "hold\n")
    local db = helper.open(faults.by_wire(server.url), { max_size = 1 })
    for _ = 1, 2 do
      assert.equal("x", db:transaction(function(tx) return tx:value "select a" end))
    end
  end)

  it("whose answer is not the protocol's ends the connection", function()
    for _, bytes in ipairs { fake.row "x", message("1", "") .. fake.row "x", message("T", "") } do
      local server = faults.server("conn 1\n" .. fake.hello .. "await S\n" .. send(bytes)
        .. "hold\nconn *\nwait 60000\n")
      local db = helper.open(faults.by_wire(server.url), { max_size = 1, query_timeout = 1 })
      fails("closed", db.transaction, db, function(tx) tx:value "select a" end)
      assert.equal(0, db:stats().in_use)
      server:stop()
    end
  end)
end)
