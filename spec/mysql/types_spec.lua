-- Values of MySQL's types, both ways, by both of its protocols (parameters and rows of
-- prepared statements are binary; a statement without parameters that begins with SHOW or
-- is part of a script has rows of text).
local perigee = require "perigee"
local helper = require "spec.support.helper"
local check = require "spec.support.check"

local null = perigee.null

-- type of the column, then values: each is stored as a parameter and read back.
local SAME = {
  { "boolean", true, false, 5, -128 },
  { "tinyint", 0, 1, 127, -128 },
  { "tinyint(1) unsigned", 0, 1, 255 },
  { "smallint", 32767, -32768 }, { "smallint unsigned", 65535 },
  { "mediumint", 8388607, -8388608 }, { "mediumint unsigned", 16777215 },
  { "int", 2147483647, -2147483648 }, { "int unsigned", 4294967295 },
  { "decimal(65,30)", "12345678901234567890123456789012345.123456789012345678901234567890",
    "-0.000000000000000000000000000001" },
  { "decimal(10,2)", "0.10", "-99999999.99" }, { "decimal(20)", "12345678901234567890" },
  { "double", 0.1, -1.5, 1e300, 5e-324, 2 ^ 53 },
  { "float", 0.5, -1.5, 2 ^ 17 },
  { "bit(1)", 0, 1 }, { "bit(5)", 31 }, { "bit(33)", 2 ^ 32 },
  { "year", 1901, 2155 },
  { "date", "2026-11-20", "1000-01-01", "9999-12-31" },
  { "time", "08:30:00", "-838:59:59", "838:59:59", "00:00:00", "-00:00:01" },
  { "time(6)", "100:00:00.5", "-26:30:15.000001" },
  { "datetime", "2026-11-20T08:30:00.000000" },
  { "datetime(6)", "2026-11-20T08:30:00.123456", "9999-12-31T23:59:59.999999" },
  { "timestamp(6) null", "2026-11-20T08:30:00.000001", "2038-01-19T03:14:07.000000" },
  { "char(5)", "a", "" }, { "varchar(200)", "é", ("x"):rep(63), ("x"):rep(64), ("x"):rep(65) },
  { "text", "😀", ("ü"):rep(300) }, { "longtext", ("x"):rep(70000) },
  { "enum('a','b''c')", "a", "b'c" }, { "set('x','y')", "x,y", "" },
  { "json", "[1]", 'null', '"a"' },
  { "uuid", "123e4567-e89b-12d3-a456-426614174000" }, { "inet6", "::1" },
}

-- Bytes that are no text.
local BINARY = { "binary(3)", "varbinary(300)", "blob", "longblob" }

local function read_all(db, sql)
  return db:value(sql), db:script(sql)[1].rows[1].v
end

helper.for_each_db(function(_, open)
  describe("a value", function()
    for _, case in ipairs(SAME) do
      it("of " .. case[1] .. " comes back as it went", function()
        local db = open { max_size = 1, json = "raw" }
        db:script("create table t (id int primary key, v " .. case[1] .. ")")
        for i = 2, #case do
          db:execute("insert into t values (?, ?)", i, case[i])
          local sql = "select v from t where id = " .. i
          for _, got in ipairs { read_all(db, sql) } do
            if type(got) == "table" then got = tostring(got) end
            assert.equal(case[i], got)
            db:execute("update t set v = ? where id = ?", got, i)
          end
          assert.equal(1, db:value("select count(*) from t where id = ? and v <=> v", i))
        end
        db:execute("insert into t values (0, ?)", null)
        assert.same({ nil, nil }, { read_all(db, "select v from t where id = 0") })
      end)
    end

    it("of bytes comes back as it went, with zeros in it", function()
      local db = open { max_size = 1 }
      local all = {}
      for i = 0, 255 do all[i + 1] = string.char(i) end
      all = table.concat(all)
      for _, kind in ipairs(BINARY) do
        local v = kind == "binary(3)" and "\0\255a" or all
        db:script("create or replace table t (v " .. kind .. ")")
        db:execute("insert into t values (?)", perigee.bytes(v))
        local a, b = read_all(db, "select v from t")
        assert.is_true(a == v and b == v, kind)
        assert.equal(1, db:value("select count(*) from t where v = ?", perigee.bytes(v)))
      end
    end)

    it("of geometry is bytes", function()
      local db = open { max_size = 1 }
      db:script "create table t (g point); insert into t values (point(1, 2))"
      local a, b = read_all(db, "select g as v from t")
      assert.equal(25, #a)
      assert.equal(a, b)
      db:execute("insert into t values (?)", perigee.bytes(a))
      assert.equal(2, db:value "select count(*) from t where st_x(g) = 1")
    end)

    it("of bigint keeps all digits", function()
      local db = open { max_size = 1, int8 = "string" }
      db:script [[create table t (id int primary key, s bigint, u bigint unsigned);
        insert into t values (1, 9223372036854775807, 18446744073709551615),
          (2, -9223372036854775808, 9223372036854775808), (3, 1, 9223372036854775807)]]
      for i, want in ipairs { { "9223372036854775807", "18446744073709551615" },
        { "-9223372036854775808", "9223372036854775808" }, { "1", "9223372036854775807" } } do
        local row = db:one("select s, u from t where id = ?", i)
        assert.same({ s = want[1], u = want[2] }, { s = tostring(row.s), u = tostring(row.u) })
        db:execute("update t set s = ?, u = ? where id = ?", want[1], want[2], i)
        assert.equal(1, db:value("select count(*) from t where id = ? and u = " .. want[2]
          .. " and s = " .. want[1], i) + 0)
      end
      db = open { max_size = 1 }
      assert.equal("18446744073709551615", db:value "select u from t where id = 1")
      assert.equal("number", type(db:value "select s from t where id = 3"))
    end)

    -- In rows of text the server has rounded it to six digits.
    it("of float is widened exactly", function()
      local db = open { max_size = 1 }
      db:script "create table t (f float); insert into t values (1.1), (1048577)"
      assert.same({ 1.10000002384185791015625, 1.10000002384185791015625 },
        { read_all(db, "select f as v from t where f < 2") })
      assert.equal(1048577, db:value "select f from t where f > 2")
    end)

    it("of JSON is a Lua value", function()
      local db = open { max_size = 1 }
      db:script "create table t (j json)"
      db:execute("insert into t values (?)", perigee.json { a = { 1, null, "x" } })
      for _, v in ipairs { read_all(db, "select j as v from t") } do
        assert.equal("x", v.a[3])
        assert.equal(null, v.a[2])
      end
      check.refuses(db, "check", db.execute, db, "insert into t values (?)", "{")
    end)

    it("of a parameter that MySQL lacks is usage", function()
      local db = open { max_size = 1 }
      for _, v in ipairs { 0 / 0, 1 / 0, -1 / 0 } do
        check.refuses(db, "usage", db.value, db, "select ?", v)
      end
      check.refuses(db, "usage", db.value, db, "select ?", perigee.array { 1 })
    end)

    it("that does not fit is data, by strict mode", function()
      local db = open { max_size = 1 }
      db:script [[create table t (i tinyint, v varchar(2), d date, e enum('a'), n decimal(4,2),
        u int unsigned)]]
      for _, sql in ipairs { "(i) values (128)", "(v) values ('abc')",
        "(d) values ('2026-02-30')", "(d) values ('0000-00-00')", "(e) values ('b')",
        "(n) values (100)", "(u) values (-1)", "(i) values (1 / 0)" } do
        check.refuses(db, "data", db.execute, db, "insert into t " .. sql)
      end
      local err = check.refuses(db, "data", db.execute, db, "insert into t (v) values (?)", "abc")
      assert.equal("v", err.column)
    end)
  end)

  describe("a zero date", function()
    local SETUP = [[set sql_mode = '';
      create table z (id int primary key, d date, t datetime, s timestamp null);
      insert into z values (1, '0000-00-00', '0000-00-00', '0000-00-00'),
        (2, '2026-00-00', null, null), (3, '2026-11-20', '2026-11-20', null)]]

    local function fill(db)
      db:connection(function(conn) conn:script(SETUP) end)
    end

    it("is an error that says so, and the rest of the session is whole", function()
      local db = open { max_size = 1 }
      fill(db)
      for _, column in ipairs { "d", "t", "s" } do
        local sql = "select " .. column .. " from z where id = 1"
        for _, verb in ipairs { "value", "query", "script" } do
          local err = check.refuses(db, "data", db[verb], db, sql)
          assert.matches("zero date 0000%-00%-00", err.message)
          assert.equal(column, err.column)
          assert.matches("zero_dates=text", err.hint)
        end
        check.raises("data", function() for _ in db:each(sql) do end end)
      end
      check.refuses(db, "data", db.query, db, "select * from z")
      assert.equal("2026-11-20", db:value "select d from z where id = 3")
    end)

    it("is a text with zero_dates=text", function()
      fill(open { max_size = 1 })
      local url = open.url()
      local db = helper.open(url .. (url:find "?" and "&" or "?") .. "zero_dates=text")
      assert.same({ id = 1, d = "0000-00-00", t = "0000-00-00T00:00:00.000000",
        s = "0000-00-00T00:00:00.000000" }, db:one "select * from z where id = 1")
      assert.equal("2026-00-00", db:script "select d from z where id = 2"[1].rows[1].d)
    end)
  end)

  it("the types of columns have the names of the database", function()
    local seen = {}
    local codec = function(name) return { decode = function(v) seen[name] = v return v end } end
    local codecs = {}
    for _, name in ipairs { "tinyint", "boolean", "bigint unsigned", "json", "enum", "datetime",
      "decimal", "varbinary", "text" } do
      codecs[name] = codec(name)
    end
    local db = open { max_size = 1, codecs = codecs }
    db:script [[create table t (a tinyint, b boolean, c bigint unsigned, d json, e enum('x'),
      f datetime, g decimal(5,1), h varbinary(5), i text);
      insert into t values (1, true, 2, '[]', 'x', '2026-11-20', 1.5, 'b', 't')]]
    db:one "select * from t"
    assert.equal(1, seen.tinyint)
    assert.is_true(seen.boolean)
    assert.equal("x", seen.enum)
    assert.equal("1.5", seen.decimal)
    assert.equal("b", seen.varbinary)
    assert.equal("t", seen.text)
    assert.is_truthy(seen.json and seen.datetime and seen["bigint unsigned"])
  end)
end, { "mysql" })
