-- SQLite's values by declared type, and its listed exceptions.
local perigee = require "perigee"
local helper = require "spec.support.helper"
local check = require "spec.support.check"

local null, int8 = perigee.null, check.int8
local inf, nan = math.huge, 0 / 0

-- declared type = { { parameter, what the column gives (nil: the same) }, … }
local CASES = {
  integer = {
    { 0 }, { -1 }, { int8 "9223372036854775807" },
    { int8 "-9223372036854775808" }, { int8 "9007199254740993" },
    { 2147483648 },
  },
  bigint = { { int8 "9007199254740993" }, { 5 } },
  bool = { { true }, { false } },
  boolean = { { true }, { false } },
  real = { { 1.5 }, { 0.1 }, { 5e-324 }, { 1.7976931348623157e308 }, { inf },
    { -inf }, { 3, 3.0 } },
  ["double precision"] = { { 2.5 }, { 7, 7.0 } },
  text = { { "" }, { "x" }, { "嗨 ü 😀" }, { "123" }, { "0123" }, { "1e5" },
    { "a\nb" }, { 5, "5" } },
  ["varchar(3)"] = { { "longer than three" } },
  blob = { { perigee.bytes "\0\255", "\0\255" }, { perigee.bytes "", "" } },
  numeric = { { "123.5" }, { "1", "1" }, { "99999999999999", "99999999999999" },
    { 5, "5" }, { "0.1", "0.1" } },
  timestamp = {
    { "2026-11-20T08:30:00.123456" },
    { "2026-11-20 08:30:00", "2026-11-20T08:30:00.000000" },
    { "2026-11-20T08:30:00.5", "2026-11-20T08:30:00.500000" },
    { "infinity" }, { "-infinity" }, { "not a time" },
  },
  timestamptz = {
    { "2026-11-20T08:30:00.123456Z" },
    { "2026-11-20 08:30:00+02", "2026-11-20T06:30:00.000000Z" },
    { "2026-12-31T23:30:00-01:00", "2027-01-01T00:30:00.000000Z" },
    { "2026-11-20 08:30:00", "2026-11-20T08:30:00.000000Z" },
  },
  date = { { "2026-11-20" }, { "0044-03-15 BC" } },
  uuid = { { "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11" } },
}

local function same(want, got)
  if type(want) == "number" then return check.same_number(want, got) end
  return assert.same(want, got)
end

local function sorted(t)
  local keys = {}
  for k in pairs(t) do keys[#keys + 1] = k end
  table.sort(keys)
  return keys
end

helper.for_each_db(function(_, open)
  local db
  before_each(function() db = open { max_size = 1 } end)

  describe("a column declared as", function()
    for _, declared in ipairs(sorted(CASES)) do
      it(declared, function()
        db:script("create table t (v " .. declared .. ")")
        for _, case in ipairs(CASES[declared]) do
          local want = case[2]
          if want == nil then want = case[1] end
          db:execute "delete from t"
          db:execute("insert into t values (?)", case[1])
          local got = db:value "select v from t"
          same(want, got)
          same(want, db:one("select v as other from t").other)
          same(want, db:query("select v from t", {}, { rows = "array" })[1][1])
          for row in db:each "select v from t" do same(want, row.v) end
          -- back as it is
          db:execute "delete from t"
          db:execute("insert into t values (?)", got)
          same(want, db:value "select v from t")
          db:execute("update t set v = ?", null)
          assert.is_nil(db:value "select v from t")
        end
      end)
    end

    it("json and JSON_TEXT, as documents", function()
      for _, declared in ipairs { "json", "jsonb", "JSON_TEXT" } do
        db:script("drop table if exists t; create table t (v " .. declared
          .. ")")
        local doc = perigee.json { a = { 1, null }, e = perigee.json_array {},
          o = perigee.json_object {} }
        db:execute("insert into t values (?)", doc)
        local v = db:value "select v from t"
        assert.equal(1, v.a[1])
        assert.equal(null, v.a[2])
        assert.equal(perigee.json_array, getmetatable(v.e))
        assert.equal(perigee.json_object, getmetatable(v.o))
        db:execute("update t set v = ?", v)
        assert.same(v, db:value "select v from t")
        assert.equal("text", db:value "select typeof(v) from t")
        for _, text in ipairs { "[]", "{}", "[1e400]", '{"a":1,"a":2}' } do
          db:execute("update t set v = ?", perigee.raw_json(text))
          v = db:value "select v from t"
          db:execute("update t set v = ?", v)
          assert.equal(text, db:value "select v || '' from t")
        end
        db:execute("update t set v = ?", null)
        assert.is_nil(db:value "select v from t")
      end
    end)

    it("bool that holds something else gives it as it is", function()
      db:script "create table t (v bool); insert into t values (2), ('x')"
      assert.equal(2, db:value "select v from t where v = 2")
      assert.equal("x", db:value "select v from t where v = 'x'")
    end)

    it("integer gives text and floats that it holds as they are", function()
      db:script "create table t (v integer)"
      db:execute("insert into t values (?)", 3.5)
      assert.equal(3.5, db:value "select v from t")
      db:execute "delete from t"
      db:execute("insert into t values (?)", "x")
      assert.equal("x", db:value "select v from t")
    end)

    it("a type of a STRICT table refuses what is not of it", function()
      db:script "create table t (i integer, r real, s text, b blob) strict"
      check.refuses(db, "data", db.execute, db, "insert into t (i) values (?)",
        3.5)
      check.refuses(db, "data", db.execute, db, "insert into t (i) values (?)",
        "x")
      check.refuses(db, "data", db.execute, db, "insert into t (r) values (?)",
        "x")
      local err = check.refuses(db, "data", db.execute, db,
        "insert into t (b) values (?)", 1)
      assert.equal("t", err.table)
      assert.equal("b", err.column)
      db:execute("insert into t values (?, ?, ?, ?)", 3.0, 1, "x",
        perigee.bytes "\0")
      assert.same({ i = 3, r = 1.0, s = "x", b = "\0" },
        db:one "select * from t")
    end)
  end)

  describe("an expression", function()
    it("has no declared type and gives SQLite's own value", function()
      local row = db:one [[select 1 as i, 1.5 as r, 'x' as s, x'00ff' as b,
        null as n, 1 = 1 as t, '[1]' as j]]
      assert.same({ i = 1, r = 1.5, s = "x", b = "\0\255", t = 1, j = "[1]" },
        row)
      db:script "create table t (v bool); insert into t values (true)"
      assert.is_true(db:value "select v from t")
      assert.equal(1, db:value "select v + 0 from t")
      assert.equal(1, db:value "select max(v) from t")
    end)

    it("keeps int8 and doubles exactly", function()
      for _, v in ipairs { int8 "9223372036854775807",
                           int8 "-9223372036854775808",
                           int8 "9007199254740993", 2 ^ 53, 0.1, 5e-324, inf,
                           -inf } do
        if type(v) == "number" then
          same(v, db:value("select ?", v))
        else -- a decimal on LuaJIT
          assert.equal(v, db:value("select cast(? as integer)", v))
        end
      end
      if math.type then
        assert.equal("integer", math.type(db:value("select ?", 3.0)))
        assert.equal("float", math.type(db:value("select ?", -0.0)))
      end
    end)
  end)

  describe("a parameter", function()
    it("of NaN, lists, records, ranges and hstore is usage", function()
      for _, v in ipairs { nan, perigee.array { 1 }, perigee.record { a = 1 },
                           perigee.range(1, 2), perigee.hstore { a = "1" },
                           perigee.multirange {} } do
        local err = check.refuses(db, "usage", db.query, db, "select ?, ?", 1,
          v)
        assert.matches("parameter %??2", err.message)
      end
    end)

    it("of every byte goes to a blob and comes back (P-28)", function()
      local all = {}
      for i = 0, 255 do all[i + 1] = string.char(i) end
      local s = table.concat(all)
      db:script "create table t (v blob)"
      db:execute("insert into t values (?)", perigee.bytes(s))
      assert.equal(s, db:value "select v from t")
      assert.equal("blob", db:value "select typeof(v) from t")
      assert.equal(256, db:value "select length(v) from t")
    end)

    it("of text with a zero byte is stored whole", function()
      assert.equal("a\0b", db:value("select ?", "a\0b"))
      db:script "create table t (v text)"
      db:execute("insert into t values (?)", "a\0b")
      assert.equal("a\0b", db:value "select v from t")
    end)
  end)

  describe("options", function()
    it("numeric = number, json = raw, codecs", function()
      local other = open { max_size = 1, numeric = "number", json = "raw",
        codecs = { date = { decode = function(s) return "<" .. s .. ">" end } }
      }
      other:script [[create table o (n numeric, j json, d date);
        insert into o values (1.5, '[1, 2]', '2026-01-01')]]
      local row = other:one "select * from o"
      assert.equal(1.5, row.n)
      assert.equal("[1, 2]", row.j.text)
      assert.equal("<2026-01-01>", row.d)
      for r in other:each "select * from o" do
        assert.equal("<2026-01-01>", r.d)
      end
    end)
  end)

  describe("last_id", function()
    it("is the id of an insert that inserted, and of nothing else", function()
      db:script [[create table t (id integer primary key, v text unique);
        create table w (a text primary key, b integer) without rowid;
        create table log (id integer primary key, what text);
        create trigger note after insert on t begin
          insert into log (id, what) values (500, 'x'); end]]
      assert.equal(1, db:execute("insert into t (v) values ('a')").last_id)
      db:execute "delete from log"
      assert.equal(2, db:execute("insert into t (v) values ('b')").last_id)
      assert.is_nil(db:execute("insert or ignore into t (v) values ('a')")
        .last_id)
      assert.is_nil(db:execute("update t set v = 'c' where id = 1").last_id)
      assert.is_nil(db:execute("delete from t where id = 1").last_id)
      assert.is_nil(db:execute("insert into w values ('k', 1)").last_id)
      db:execute "delete from log"
      local r = db:execute "insert into t (v) values ('d') returning id, v"
      assert.equal(r.rows[1].id, r.last_id)
      assert.equal(int8 "9007199254740993", db:execute(
        "insert into log values (9007199254740993, 'x')").last_id)
    end)
  end)
end, { "sqlite", "sqlite memory" })
