-- SQLite: locks of others, full and broken files, long statements, a schema that
-- changes, and the loop that none of them stops.

local perigee = require "perigee"
local faults = require "spec.support.faults"
local helper = require "spec.support.helper"

local fails, seconds, open = faults.fails, faults.seconds, faults.open

describe("SQLite", function()
  if not package.searchpath("perigee.driver.sqlite", package.cpath) then
    pending "is not tested: the sqlite driver was not built"
    return
  end

  local path, url
  before_each(function()
    path = helper.tmpname()
    url = "sqlite:///" .. path
  end)
  after_each(helper.cleanup)

  -- Another process that has done `sql` in a transaction and commits after
  -- `hold` seconds. Call the result to wait for its end.
  local function other_process(sql, hold)
    local child = assert(io.popen(("%s spec/faults/lock_file.lua '%s' '%s' %g")
      :format(faults.lua(), url, sql, hold)))
    assert(child:read "*l" == "locked")
    return function()
      child:read "*a"
      child:close()
    end
  end

  local function create(db)
    db:script [[create table t (id integer primary key, v text);
      insert into t values (1, 'one')]]
    return db
  end

  it("locked by another process: waits beside the loop, then goes on", function()
    local db = create(open(url))
    local wait
    faults.ticking(function()
      wait = other_process("update t set v = 1", 0.3)
      -- Reading goes on meanwhile.
      assert.is_not_nil(db:value "select v from t where id = 1")
      local took = seconds(db.execute, db, "insert into t (v) values (?)", "x")
      assert.is_true(took < helper.patience(3), tostring(took))
      wait()
    end)
  end)

  it("locked by another process: the deadline holds", function()
    local db = create(open(url))
    local wait = other_process("update t set v = 1", 1.5)
    faults.ticking(function()
      for _, call in ipairs {
        function() db:execute("delete from t", {}, { timeout = 0.1 }) end,
        function()
          db:execute_many("insert into t (v) values (?)", { { "a" }, { "b" } },
            { timeout = 0.1 })
        end,
      } do
        local took, err = seconds(fails, nil, call)
        assert.is_true(err.kind == "timeout" or err.kind == "locked",
          tostring(err))
        assert.is_true(took < helper.patience(0.6), tostring(took))
      end
    end)
    assert.equal(0, db:stats().in_use)
    wait()
    db:execute "delete from t"
  end)

  it("locked by another process while it is opened", function()
    create(open(url)):close()
    local wait = other_process("update t set v = 1", 0.5)
    faults.ticking(function()
      local db = perigee.open(url)
      assert.equal(1, db:value "select id from t")
      db:close()
    end)
    wait()
  end)

  it("SQLITE_BUSY on upgrade is `serialization`, at once", function()
    local db, other = create(open(url)), open(url)
    local took, err = seconds(fails, "serialization", db.connection, db,
      function(conn)
        conn:script "begin"
        assert.equal(1, conn:value "select count(*) from t")
        other:execute "insert into t (v) values ('other')"
        conn:execute "insert into t (v) values ('late')"
      end)
    assert.is_true(err.retryable)
    assert.is_true(took < helper.patience(1), tostring(took))
    assert.equal(2, db:value "select count(*) from t")
    assert.equal(0, db:stats().in_use)
    db:execute "insert into t (v) values ('after')"
  end)

  it("full: `resource`, and what was there stays", function()
    local db = create(open(url, {
      on_connect = function(conn) conn:execute "pragma max_page_count = 30" end,
    }))
    local err = fails("resource", function()
      for _ = 1, 100 do
        db:execute("insert into t (v) values (?)", ("x"):rep(3000))
      end
    end)
    assert.equal(13, err.code)
    local n = db:value "select count(*) from t"
    assert.is_true(n > 5)
    fails("resource", db.transaction, db, function(tx)
      tx:execute "delete from t where id = 1"
      for _ = 1, 100 do
        tx:execute("insert into t (v) values (?)", ("x"):rep(3000))
      end
    end)
    assert.equal(n, db:value "select count(*) from t")
    assert.equal("one", db:value "select v from t where id = 1")
    db:execute "delete from t where id > 3"
    db:execute("insert into t (v) values (?)", "fits")
  end)

  it("read-only: `permission`; no folder, no database: `connect`", function()
    create(open(url)):close()
    local db = open(url .. "?mode=ro")
    assert.equal("one", db:value "select v from t")
    assert.equal(8, fails("permission", db.execute, db, "delete from t").code)
    assert.equal("one", db:value "select v from t")
    local nowhere = open("sqlite:///" .. path .. "/no/such.db")
    local took = seconds(fails, "connect", nowhere.ping, nowhere)
    assert.is_true(took < helper.patience(2), tostring(took))
    local text = helper.tmpname()
    local f = assert(io.open(text, "wb"))
    f:write(("this is no database\n"):rep(1000))
    f:close()
    local no_database = open("sqlite:///" .. text)
    fails("connect", no_database.query, no_database, "select * from t")
  end)

  it("corrupt pages: an error, and the handle lives", function()
    local db = open(url)
    db:script [[create table a (n integer primary key, t text);
      create table b (n integer primary key, t text);
      with recursive c (n) as (select 1 union all select n + 1 from c
        where n < 2000)
      insert into a select n, hex(zeroblob(100)) from c;
      insert into b values (1, 'whole')]]
    db:close()
    local f = assert(io.open(path, "r+b"))
    local size = f:seek "end"
    for at = 8 * 4096, size - 8 * 4096, 4096 do
      f:seek("set", at)
      f:write(("\255\1\254"):rep(1000))
    end
    f:close()
    db = open(url)
    local err = fails("database", db.query, db, "select sum(length(t)) from a")
    assert.equal(11, err.code)
    assert.equal("whole", db:value "select t from b where n = 1")
    fails("database", function()
      for _ in db:each "select t from a" do assert(true) end
    end)
    assert.equal(0, db:stats().in_use)
  end)

  local endless = [[with recursive c (n) as (select 1 union all select n + 1
    from c) select max(n) from c where n < 0]]

  it("a long statement ends at its deadline, beside the loop", function()
    local db = create(open(url))
    faults.ticking(function()
      local took = seconds(fails, "timeout", db.query, db, endless, {},
        { timeout = 0.2 })
      assert.is_true(took >= 0.19 and took < helper.patience(1), tostring(took))
      assert.equal("one", db:value "select v from t where id = 1")
    end)
    local n = db:value "select count(*) from t"
    fails("timeout", db.execute, db, [[insert into t (v)
      with recursive c (n) as (select 1 union all select n + 1 from c)
      select n from c]], {}, { timeout = 0.2 })
    assert.equal(n, db:value "select count(*) from t")
    assert.equal(0, db:stats().in_use)
  end)

  it("a long statement is stopped by close", function()
    local db = create(open(url))
    perigee.run(function()
      local task = perigee.spawn(function()
        return fails(nil, db.query, db, endless)
      end)
      perigee.sleep(0.05)
      local took = seconds(db.close, db, { timeout = 0.1 })
      assert.is_true(took < helper.patience(1), tostring(took))
      task:join()
    end)
  end)

  it("a schema that others change: prepared anew", function()
    local db, other = create(open(url)), open(url)
    for i = 1, 5 do
      local row = db:one "select * from t where id = 1"
      assert.equal("one", row.v)
      assert.equal(i > 1 and "w" or nil, row["w" .. (i - 1)])
      other:script(("alter table t add column w%d text default 'w'"):format(i))
      if i == 3 then other:script "create index i on t (v)" end
    end
    other:script "drop table t"
    fails("undefined", db.one, db, "select * from t where id = 1")
    create(other)
    assert.same({ id = 1, v = "one" }, db:one "select * from t where id = 1")
    db:transaction(function(tx)
      assert.same({ id = 1, v = "one" }, tx:one "select * from t where id = 1")
    end)
  end)

  it("a busy reader does not let the log grow without end", function()
    helper.watchdog(120)
    local db = open(url, { max_size = 4 })
    db:script "create table t (id integer primary key, v text)"
    local stop, most, text = false, 0, ("x"):rep(4000)
    local function wal_size()
      local f = io.open(path .. "-wal", "rb")
      local size = f and f:seek "end" or 0
      if f then f:close() end
      return size
    end
    perigee.run(function()
      for _ = 1, 2 do
        perigee.spawn(function()
          while not stop do db:value "select count(*), max(v) from t" end
        end)
      end
      for i = 1, helper.soak(40000) do
        db:execute("insert into t (v) values (?)", text)
        if i % 100 == 0 then most = math.max(most, wal_size()) end
      end
      stop = true
    end)
    -- What was written is several times that.
    assert.is_true(most < 40e6, ("%d bytes"):format(most))
  end)

  it("NaN, which would be stored as NULL, is refused", function()
    local db = create(open(url))
    local nan = 0 / 0
    for _, call in ipairs {
      function() db:execute("insert into t (v) values (?)", nan) end,
      function() db:value("select ?", nan) end,
      function() db:execute_many("insert into t (v) values (?)", { { nan } }) end,
    } do
      local err = fails(nil, call)
      assert.is_true(err.kind == "usage" or err.kind == "data", tostring(err))
      assert.matches("NaN", err.message)
    end
    assert.equal(1, db:value "select count(*) from t")
    assert.equal(math.huge, db:value("select ?", math.huge))
  end)

  it("int64 to its ends, texts with zero bytes", function()
    local db = create(open(url))
    local least = db:value "select -9223372036854775808"
    local most = db:value "select 9223372036854775807"
    assert.same({ a = least, b = most },
      db:one("select ? as a, ? as b", least, most))
    assert.equal("a\0b", db:value("select ?", "a\0b"))
    assert.equal(3, db:value("select length(cast(? as blob))", "a\0b"))
  end)

  -- ---- the loop keeps ticking ------------------------------------------------

  describe("beside the loop:", function()
    local db
    before_each(function()
      db = open(url, { max_size = 3 })
      db:script [[create table big (id integer primary key, k int, v text);
        with recursive c (n) as (select 1 union all select n + 1 from c
          where n < 200000)
        insert into big select n, n % 1000, 'value ' || n from c]]
    end)

    local statements = {
      ["a look-up"] = function()
        for i = 1, 500 do
          assert.equal("value " .. i,
            db:value("select v from big where id = ?", i))
        end
      end,
      ["a scan"] = function()
        assert.equal(200000, db:value "select count(*) from big where v <> ''")
      end,
      ["a sort"] = function()
        db:query "select v from big order by v desc limit 5"
      end,
      ["many rows"] = function()
        assert.equal(200000, #db:query "select id from big")
      end,
      ["an iteration"] = function()
        local n = 0
        for _ in db:each "select id, v from big" do n = n + 1 end
        assert.equal(200000, n)
      end,
      ["an insert of many"] = function()
        local list = {}
        for i = 1, 20000 do list[i] = { i, "x" } end
        db:execute_many("insert into big (k, v) values (?, ?)", list)
      end,
      ["single inserts"] = function()
        for i = 1, 500 do
          db:execute("insert into big (k, v) values (?, ?)", i, "x")
        end
      end,
      ["an update of all"] = function()
        db:execute "update big set k = k + 1"
      end,
      ["an index"] = function()
        db:script "create index if not exists i on big (k, v); drop index i"
      end,
      ["a script"] = function()
        db:script [[update big set v = v || 'x' where id < 50000;
          delete from big where id > 190000]]
      end,
      ["a long transaction"] = function()
        db:transaction(function(tx)
          for i = 1, 1000 do
            tx:execute("update big set v = ? where id = ?", "new", i)
          end
          tx:value "select sum(k) from big"
        end)
      end,
    }

    for name, run in pairs(statements) do
      it(name, function()
        helper.watchdog(120)
        run() -- the first run of a statement may take longer
        faults.ticking(run)
      end)
    end
  end)
end)
