-- Connecting to MySQL and MariaDB: ways, TLS, parameters of the URL, what a session is.
local perigee = require "perigee"
local helper = require "spec.support.helper"
local check = require "spec.support.check"

local tcp, ca = os.getenv "PERIGEE_TEST_MYSQL_TCP", os.getenv "PERIGEE_TEST_MYCA"

local function with(url, params)
  return url .. (url:find("?", 1, true) and "&" or "?") .. params
end

local function cipher(db)
  return db:one "show session status like 'ssl_cipher'".Value
end

helper.for_each_db(function(_, open)
  describe("the way", function()
    it("is a socket, TCP, or a name, and the scheme mariadb is the same", function()
      for _, url in ipairs { open.url(), tcp, (tcp:gsub("127.0.0.1", "localhost")),
        (tcp:gsub("^mysql", "mariadb")), with(tcp, "protocol=libmariadb"),
        with(tcp, "protocol=wire") } do
        local db = helper.open(url, { max_size = 1 })
        for i = 1, 2 do assert.equal(i, db:value("select cast(? as int)", i)) end
      end
    end)

    it("goes on to the next host", function()
      local port = tcp:match ":(%d+)/"
      local url = tcp:gsub("@127.0.0.1:%d+", "@127.0.0.1:1,127.0.0.1:" .. port)
      assert.equal(1, helper.open(url, { max_size = 1 }):value "select 1")
    end)

    it("that leads nowhere is connect, and a wrong password auth", function()
      for _, case in ipairs {
        { "connect", (tcp:gsub(":%d+/", ":1/")) },
        { "connect", (tcp:gsub("/perigee$", "/nowhere")) },
        { "connect", "mysql://u@/d?socket=/nowhere/s" },
        { "auth", (tcp:gsub(":perigee@", ":wrong@")) },
        { "auth", (tcp:gsub("perigee:perigee@", "nobody@")) },
      } do
        local db = helper.open(case[2], { max_size = 1, connect_timeout = 5 })
        local err = check.raises(case[1], db.value, db, "select 1")
        assert.is_nil(tostring(err):find("wrong", 1, true))
      end
    end)

    it("takes no parameters but its own", function()
      for _, params in ipairs { "nope=1", "charset=latin1", "sslmode=perhaps",
        "zero_dates=maybe", "protocol=tcp" } do
        local ok, err = pcall(perigee.open, with(tcp, params))
        assert.is_false(ok)
        assert.equal("usage", err.kind)
        assert.matches(params:match "^%w+", err.message)
      end
    end)
  end)

  describe("TLS", function()
    if not ca then
      pending "needs openssl"
      return
    end

    it("proves who the server is", function()
      local db = helper.open(with(tcp, "sslmode=verify-full&sslrootcert=" .. ca), { max_size = 1 })
      assert.is_truthy(#cipher(db) > 0)
      db = helper.open(with(tcp, "sslrootcert=" .. ca), { max_size = 1 })
      assert.is_truthy(#cipher(db) > 0)
      local n = 0
      for row in db:each "select repeat('x', 20000) as t from seq_1_to_300" do n = n + #row.t end
      assert.equal(6000000, n)
    end)

    it("refuses one that it does not know", function()
      local db = helper.open(with(tcp, "sslmode=verify-full"), { max_size = 1 })
      local err = check.raises("connect", db.value, db, "select 1")
      assert.matches("certificate", err.message)
    end)

    it("may go without the proof, and is not used on the same machine unless asked", function()
      local db = helper.open(with(tcp, "sslmode=require"), { max_size = 1 })
      assert.is_truthy(#cipher(db) > 0)
      assert.equal("", cipher(helper.open(tcp, { max_size = 1 })))
      assert.equal("", cipher(helper.open(with(tcp, "sslmode=disable"), { max_size = 1 })))
    end)

    it("cancels by it, too", function()
      local db = helper.open(with(tcp, "sslrootcert=" .. ca), { max_size = 1 })
      check.refuses(db, "timeout", db.value, db, "select benchmark(1000000000, sha2('x', 256))", {},
        { timeout = 0.1 })
      assert.equal(1, db:value "select 1")
    end)
  end)

  describe("a session", function()
    local WANTED = "select @@sql_mode as mode, @@time_zone as zone, @@autocommit as auto, "
      .. "@@character_set_client as cs, database() as db"

    it("is strict, in UTC and utf8mb4, also after a reset", function()
      local db = open { max_size = 1, reset = "always" }
      local first = db:one(WANTED)
      assert.matches("STRICT_ALL_TABLES", first.mode)
      assert.equal("+00:00", first.zone)
      assert.equal("utf8mb4", first.cs)
      db:connection(function(conn)
        conn:execute "set time_zone = '+05:00', sql_mode = '', autocommit = 0"
        conn:execute "set names latin1"
        conn:execute "use information_schema"
        conn:execute "set @a = 1"
        conn:execute "create temporary table perigee.tt (a int)"
      end)
      assert.same(first, db:one(WANTED))
      assert.is_nil(db:value "select @a")
      check.refuses(db, "undefined", db.query, db, "select * from tt")
      assert.equal(1, db:stats().size)
    end)

    it("keeps what on_connect did, by a new connection where there must be a reset", function()
      local db = open { max_size = 1, on_connect = function(c) c:execute "set @a = 7" end }
      assert.equal(7, db:value "select @a")
      db:connection(function(conn) conn:execute "set @a = 8" end)
      assert.equal(7, db:value "select @a")
    end)

    it("has no file of ours to give", function()
      local db = open { max_size = 1 }
      db:script "create table t (a text)"
      local ok = pcall(db.execute, db, "load data local infile '/etc/hostname' into table t")
      assert.is_false(ok)
      assert.equal(0, db:value "select count(*) from t")
    end)

    it("recursions have no end of their own", function()
      local db = open { max_size = 1 }
      assert.equal(5000, db:value [[with recursive n(i) as (select 1 union all
        select i + 1 from n where i < 5000) select count(*) from n]])
    end)
  end)

  describe("prepared statements", function()
    local function open_statements(db)
      return tonumber(db:one "show global status like 'prepared_stmt_count'".Value)
    end

    it("are no more than the cache holds, and closed behind it", function()
      local db = open { max_size = 1, statement_cache = 5 }
      local before = open_statements(db)
      for i = 1, 40 do assert.equal(i, db:value(("select ? + %d"):format(i), 0)) end
      assert.equal(before + 5, open_statements(db))
      db = open { max_size = 1, statement_cache = 0 }
      before = open_statements(db)
      for i = 1, 10 do assert.equal(i, db:value("select ?", i)) end
      assert.equal(before, open_statements(db))
    end)

    it("make room when the server has no more", function()
      local db, admin = open { max_size = 1 }, open { max_size = 1 }
      for i = 1, 20 do db:value("select ? + " .. i, 0) end
      admin:connection(function(c)
        c:execute("set global max_prepared_stmt_count = " .. open_statements(c))
      end)
      local ok, err = pcall(function()
        for i = 21, 30 do assert.equal(i, db:value("select ? + " .. i, 0)) end
      end)
      admin:connection(function(c)
        c:execute "set global max_prepared_stmt_count = default"
      end)
      assert.is_true(ok, tostring(err))
    end)

    it("follow a table whose columns change", function()
      local db, other = open { max_size = 1 }, open { max_size = 1 }
      db:script "create table t (a int, b text); insert into t values (1, 'x')"
      local function look() return db:one("select * from t where 1 = ?", 1) end
      assert.same({ a = 1, b = "x" }, look())
      other:execute "alter table t add column c int default 5"
      assert.same({ a = 1, b = "x", c = 5 }, look())
      other:execute "alter table t change b d text"
      assert.same({ a = 1, d = "x", c = 5 }, look())
      other:execute "alter table t modify a varchar(10)"
      assert.same({ a = "1", d = "x", c = 5 }, look())
      other:execute "alter table t drop column d, drop column c"
      assert.same({ a = "1" }, look())
    end)

    it("that write follow them, too, one at a time and many", function()
      local db = open { max_size = 1 }
      local one, few = "insert into c (id) values (?) returning *", {}
      for i = 1, 20 do few[i] = { id = i } end
      local function names_of(rows) return table.concat(rows.columns, " ") end
      local tables = {
        { "v text", "id v", "[1]" }, { "w int, v text", "id w v", "[1]" },
        { "v json", "id v", { 1 } }, { "v text", "id v", "[1]" },
      }
      for _ = 1, 2 do -- again, with what is known
        for _, case in ipairs(tables) do
          db:script("drop table if exists c; create table c (id int primary key, "
            .. case[1] .. ")")
          assert.equal(case[2], names_of(db:query(one, 100)))
          assert.equal(case[2], names_of(db:query(one, 101)))
          assert.equal(case[2], names_of(db:insert_many("c", few)))
          db:execute "update c set v = '[1]'"
          for _ = 1, 2 do
            assert.same(case[3], db:first("select * from c where id = ?", 1).v)
          end
        end
      end
    end)
  end)

  it("a statement is of the database in use, also when it was prepared in another", function()
    local db = open { max_size = 1 }
    db:connection(function(conn)
      local own = conn:value "select database()"
      local function look() return conn:value("select database() where ? = 1", 1) end
      assert.equal(own, look())
      conn:execute "create database perigee_other"
      conn:script "use perigee_other"
      assert.equal("perigee_other", look())
      assert.equal("perigee_other", look())
      conn:execute("use " .. own)
      assert.equal(own, look())
    end)
  end)

  it("procedures give their first rows, and scripts all", function()
    local db = open { max_size = 1 }
    db:execute [[create procedure p(n int) begin select n as a; select n + 1 as b; end]]
    assert.same({ { a = 5 } }, { db:one "call p(5)" })
    assert.same({ { a = 6 } }, { db:one("call p(?)", 6) })
    local all = db:script "call p(1); select 3 as c"
    assert.equal(1, all[1].rows[1].a)
    assert.equal(2, all[2].rows[1].b)
    assert.equal(3, all[#all].rows[1].c)
    check.usable(db)
  end)

  it("a packet that is too long for the server is refused before it is sent", function()
    local db = open { max_size = 1 }
    local err = check.refuses(db, "resource", db.value, db, "select ?", ("x"):rep(2 ^ 24))
    assert.matches("max_allowed_packet", err.message)
    assert.equal(2 ^ 23, db:value("select length(?)", ("x"):rep(2 ^ 23)))
    local text = "select '" .. ("x"):rep(2 ^ 24) .. "'"
    for _, f in ipairs { db.query, db.script } do
      err = check.refuses(db, "resource", f, db, text)
      assert.matches("max_allowed_packet", err.message)
    end
    assert.equal(1, check.created(db))
  end)
end, { "mysql" })
