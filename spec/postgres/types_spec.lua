-- Every type of docs/guide/types.md: as a result in binary and in text, as a
-- parameter, back again unchanged; alone, NULL, in an array, a composite and a
-- domain.
local perigee = require "perigee"
local helper = require "spec.support.helper"
local check = require "spec.support.check"

local null, int8 = perigee.null, check.int8
local inf, nan = math.huge, 0 / 0

local function long(digit, n) return digit:rep(n) end

-- type = { { text of a literal, Lua value }, … }
local CASES = {
  bool = { { "true", true }, { "false", false } },
  int2 = { { "-32768", -32768 }, { "32767", 32767 }, { "0", 0 } },
  int4 = { { "-2147483648", -2147483648 }, { "2147483647", 2147483647 } },
  int8 = {
    { "-9223372036854775808", int8 "-9223372036854775808" },
    { "9223372036854775807", int8 "9223372036854775807" },
    { "9007199254740993", int8 "9007199254740993" }, { "-1", -1 },
    { "4503599627370497", 4503599627370497 },
  },
  oid = { { "4294967295", 4294967295 }, { "0", 0 } },
  xid = { { "4294967295", 4294967295 } },
  cid = { { "4294967295", 4294967295 } },
  xid8 = { { "18446744073709551615", "18446744073709551615" }, { "5", 5 } },
  tid = { { "(4294967295,65535)", "(4294967295,65535)" } },
  pg_lsn = { { "FFFFFFFF/FFFFFFFF", "FFFFFFFF/FFFFFFFF" }, { "0/0", "0/0" } },
  float8 = {
    { "1.5", 1.5 }, { "-0", -0.0 }, { "NaN", nan }, { "Infinity", inf },
    { "-Infinity", -inf }, { "5e-324", 5e-324 },
    { "1.7976931348623157e308", 1.7976931348623157e308 }, { "0.1", 0.1 },
  },
  float4 = {
    { "1.5", 1.5 }, { "-0", -0.0 }, { "NaN", nan }, { "Infinity", inf },
    { "0.1", 0.10000000149011612 }, { "1e-45", 1.401298464324817e-45 },
    { "3.4028235e38", 3.4028234663852886e38 },
  },
  numeric = {
    { "0", "0" }, { "0.00", "0.00" }, { "-0.00", "0.00" },
    { "123.40", "123.40" }, { "NaN", "NaN" }, { "Infinity", "Infinity" },
    { "-Infinity", "-Infinity" }, { "0.00001", "0.00001" },
    { "-0.10000000000000000001", "-0.10000000000000000001" },
    { "1e1000", "1" .. long("0", 1000) },
    { "1e-1000", "0." .. long("0", 999) .. "1" },
    { long("9", 1000), long("9", 1000) },
    { "99999999999999999999.999999999999999999",
      "99999999999999999999.999999999999999999" },
  },
  ["numeric(10,2)"] = { { "123.456", "123.46" } },
  text = {
    { "", "" }, { "a", "a" }, { "嗨 ü 😀", "嗨 ü 😀" }, { "NULL", "NULL" },
    { "a,b", "a,b" }, { 'c"d', 'c"d' }, { "{x}", "{x}" }, { " sp ", " sp " },
    { "back\\slash", "back\\slash" }, { "it's", "it's" },
    { "line\nfeed\ttab\r", "line\nfeed\ttab\r" },
  },
  ["varchar(3)"] = { { "abc", "abc" } },
  ["char(5)"] = { { "a", "a    " } },
  ["char(3)"] = { { "嗨", "嗨  " } },
  name = { { "a name", "a name" } },
  ['"char"'] = { { "r", "r" }, { "", "" } },
  bytea = {
    { "\\x00ff00", "\0\255\0" }, { "\\x", "" }, { "\\x5c", "\\" },
  },
  uuid = { { "00000000-0000-0000-0000-000000000000",
             "00000000-0000-0000-0000-000000000000" },
    { "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
      "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11" } },
  date = {
    { "2026-11-20", "2026-11-20" }, { "infinity", "infinity" },
    { "-infinity", "-infinity" }, { "4713-01-01 BC", "4713-01-01 BC" },
    { "0001-01-01 BC", "0001-01-01 BC" }, { "5874897-12-31", "5874897-12-31" },
    { "1970-01-01", "1970-01-01" }, { "2000-02-29", "2000-02-29" },
    { "0044-03-15 BC", "0044-03-15 BC" },
  },
  time = {
    { "00:00:00", "00:00:00" }, { "24:00:00", "24:00:00" },
    { "08:30:00.5", "08:30:00.5" }, { "23:59:59.999999", "23:59:59.999999" },
  },
  timetz = {
    { "00:00:00+15:59:59", "00:00:00+15:59:59" },
    { "08:30:00.5+02", "08:30:00.5+02" }, { "12:00:00-03:30",
      "12:00:00-03:30" },
  },
  timestamp = {
    { "2026-11-20 08:30:00.123456", "2026-11-20T08:30:00.123456" },
    { "2026-11-20 08:30:00", "2026-11-20T08:30:00.000000" },
    { "infinity", "infinity" }, { "-infinity", "-infinity" },
    { "4714-11-24 00:00:00 BC", "4714-11-24T00:00:00.000000 BC" },
    { "4713-02-29 00:00:00 BC", "4713-02-29T00:00:00.000000 BC" },
    { "294276-12-31 23:59:59.999999", "294276-12-31T23:59:59.999999" },
    { "1999-12-31 23:59:59.999999", "1999-12-31T23:59:59.999999" },
    { "9999-12-31 23:59:59.999999", "9999-12-31T23:59:59.999999" },
  },
  timestamptz = {
    { "2026-11-20 08:30:00.123456+00", "2026-11-20T08:30:00.123456Z" },
    { "2026-11-20 08:30:00+05:30", "2026-11-20T03:00:00.000000Z" },
    { "0044-03-15 12:00:00+00 BC", "0044-03-15T12:00:00.000000Z BC" },
    { "infinity", "infinity" }, { "-infinity", "-infinity" },
    { "1969-12-31 23:59:59.999999+00", "1969-12-31T23:59:59.999999Z" },
    { "294276-12-31 23:59:59.999999+00", "294276-12-31T23:59:59.999999Z" },
  },
  interval = {
    { "1 mon -1 day +00:00:01", "1 mon -1 days +00:00:01" },
    { "24 hours", "24:00:00" }, { "1 day", "1 day" }, { "0", "00:00:00" },
    { "178000000 years", "178000000 years" },
    { "-1 year -2 mons +3 days -04:05:06.789",
      "-1 years -2 mons +3 days -04:05:06.789" },
    { "0.000001 s", "00:00:00.000001" },
  },
  inet = {
    { "10.0.0.1", "10.0.0.1" }, { "10.0.0.1/30", "10.0.0.1/30" },
    { "::1", "::1" }, { "::ffff:1.2.3.4", "::ffff:1.2.3.4" },
  },
  cidr = { { "10.0.0.0/30", "10.0.0.0/30" }, { "10.0.0.0/32", "10.0.0.0/32" } },
  macaddr = { { "08:00:2b:01:02:03", "08:00:2b:01:02:03" } },
  macaddr8 = { { "08:00:2b:01:02:03:04:05", "08:00:2b:01:02:03:04:05" } },
  ["bit(9)"] = { { "000000001", "000000001" } },
  varbit = { { "", "" }, { "101", "101" }, { "000000001", "000000001" } },
  money = {
    { "-92233720368547758.08", "-$92,233,720,368,547,758.08" },
    { "1.5", "$1.50" },
  },
  point = { { "(1,2)", "(1,2)" }, { "(NaN,Infinity)", "(NaN,Infinity)" } },
  box = { { "(1,1),(0,0)", "(1,1),(0,0)" } },
  path = { { "[(0,0),(1,1)]", "[(0,0),(1,1)]" },
    { "((0,0),(1,1))", "((0,0),(1,1))" } },
  circle = { { "<(1,2),3>", "<(1,2),3>" } },
  tsvector = { { "word:1A,2B,3C,4", "'word':1A,2B,3C,4" }, { "", "" } },
  tsquery = { { "a <-> b", "'a' <-> 'b'" } },
  jsonpath = { { "$.a", '$."a"' } },
  xml = { { "<a>x</a>", "<a>x</a>" } },
  pg_snapshot = { { "10:20:10,14", "10:20:10,14" } },
  mood = { { "", "" }, { "b c", "b c" }, { "ok", "ok" } },
  regclass = { { "pg_class", "pg_class" } },
}

local function quote(s) return "'" .. s:gsub("'", "''") .. "'" end

local function same(want, got)
  if type(want) == "number" then return check.same_number(want, got) end
  return assert.same(want, got)
end

-- PostgreSQL casts no integer to these: they are sent as text.
local AS_TEXT = { xid = true, cid = true, xid8 = true }

-- A column beside it that has no binary form makes the whole result text.
local TEXT = ", '1'::money as forces_text"

local function sorted(t)
  local keys = {}
  for k in pairs(t) do keys[#keys + 1] = k end
  table.sort(keys)
  return keys
end

helper.for_each_db(function(_, open)
  local db
  before_each(function()
    db = open { max_size = 1 }
    db:script [[
      create type mood as enum ('', 'b c', 'ok');
      create domain positive as integer check (value > 0);
      create domain more_positive as positive;
      create type pair as (a integer, b text);
      create type nest as (p pair, list integer[], m mood)]]
  end)

  for _, type_name in ipairs(sorted(CASES)) do
    it("type " .. type_name, function()
      local is_text = type_name == "text" or type_name == "name"
      for _, case in ipairs(CASES[type_name]) do
        local literal = quote(case[1]) .. "::" .. type_name
        local value = db:value("select " .. literal)
        same(case[2], value)
        same(case[2], db:first("select " .. literal .. " as a" .. TEXT).a)
        -- back as a parameter, unchanged: by the cast's type, and untyped
        local param = AS_TEXT[type_name] and "$1::text::" .. type_name
          or "$1::" .. type_name
        local round = "select " .. param .. " as a"
        same(case[2], db:value(round, value))
        same(case[2], db:first(round .. TEXT, value).a)
        assert.equal(db:value("select " .. literal .. "::text"),
          db:value("select (" .. param .. ")::text", value))
        -- NULL
        assert.is_nil(db:value("select null::" .. type_name))
        assert.is_nil(db:value("select $1::" .. type_name, null))
        -- in an array, beside NULL, in both forms
        if type_name ~= "regclass" then
          local list = "array[" .. literal .. ", null, " .. literal .. "]"
          for _, suffix in ipairs { "", TEXT } do
            local a = db:first("select " .. list .. " as a" .. suffix).a
            assert.equal(3, #a)
            same(case[2], a[1])
            assert.equal(null, a[2])
            same(case[2], a[3])
            local b = db:first("select $1::" .. type_name .. "[] as a"
              .. suffix, a).a
            same(case[2], b[1])
            assert.equal(null, b[2])
            assert.equal(3, #b)
          end
          local made = perigee.array { value }
          same(case[2], db:value("select ($1::" .. type_name .. "[])[1]",
            made))
        end
        -- in a table: stored and read back by the column's type
        if not is_text and not AS_TEXT[type_name] then
          db:script("drop table if exists t; create table t (v "
            .. type_name .. ")")
          db:execute("insert into t values (?)", value)
          same(case[2], db:value "select v from t")
          assert.equal(1, db:value("select count(*) from t where v::text = "
            .. literal .. "::text"))
        end
      end
      check.usable(db)
    end)
  end

  describe("json and jsonb", function()
    local DOCS = { "null", "true", "[]", "{}", "1", "-1", "1.5", '"x"', '""',
      "[1, null, [], {}]", '{"a": {"b": [1, 2, {"c": null}]}}',
      '{"": "empty"}', "9223372036854775807", "9223372036854775808",
      "[9007199254740993]", '"ü😀"', '{"a": 1, "b": []}',
      "123456789012345678901234567890", '[1e400]' }

    it("come back unchanged as parameters", function()
      for _, kind in ipairs { "json", "jsonb" } do
        for _, doc in ipairs(DOCS) do
          local sql = ("select %s::%s as a"):format(quote(doc), kind)
          for _, suffix in ipairs { "", TEXT } do
            local row = db:first(sql .. suffix)
            local v = row.a
            assert.is_not_nil(v, doc)
            if type(v) ~= "table" or getmetatable(v) == nil then
              v = perigee.json(v)
            end
            assert.is_true(db:value(("select %s::jsonb = $1::%s::jsonb"):format(
              quote(doc), kind), v), kind .. " " .. doc)
          end
        end
      end
    end)

    it("tell [] from {}, null from NULL, 1 from 1.0", function()
      local row = db:one [[select '[]'::jsonb as a, '{}'::jsonb as o,
        'null'::jsonb as n, null::jsonb as z, '1'::json as i, '1.5'::json as f]]
      assert.equal(perigee.json_array, getmetatable(row.a))
      assert.equal(perigee.json_object, getmetatable(row.o))
      assert.equal(null, row.n)
      assert.is_nil(row.z)
      assert.equal(1, row.i)
      assert.equal(1.5, row.f)
      if math.type then assert.equal("integer", math.type(row.i)) end
      assert.equal("[]", db:value("select $1::jsonb::text", row.a))
      assert.equal("{}", db:value("select $1::jsonb::text", row.o))
      assert.equal("null", db:value("select $1::jsonb::text",
        perigee.json(null)))
      assert.is_nil(db:value("select $1::jsonb::text", null))
    end)

    it("keep what Lua cannot hold as raw_json", function()
      for _, doc in ipairs { "1e400", "[18446744073709551616]",
                             '{"b":1,"a":2,"a":3}' } do
        local v = db:value("select " .. quote(doc) .. "::json")
        assert.equal(perigee.raw_json, getmetatable(v), doc)
        assert.equal(doc, v.text)
        assert.equal(doc, db:value("select $1::json::text", v))
      end
      local deep = ("["):rep(3000) .. ("]"):rep(3000)
      assert.equal(deep, db:value("select " .. quote(deep) .. "::json").text)
      assert.is_truthy(db:value [[select '"\u0000"'::json]])
      check.refuses(db, "data", db.query, db, [[select '"\u0000"'::jsonb]])
    end)

    it("come as text with json = raw", function()
      local raw = open { max_size = 1, json = "raw" }
      for _, kind in ipairs { "json", "jsonb" } do
        local v = raw:value("select '[1, 2]'::" .. kind)
        assert.equal(perigee.raw_json, getmetatable(v))
        assert.equal("[1, 2]", v.text)
        assert.equal("[1, 2]", raw:value("select $1::" .. kind .. "::text", v))
      end
    end)
  end)

  describe("structures", function()
    it("arrays of any length and with NULLs anywhere", function()
      local casts = { "int2", "int4", "int8", "float8", "bool", "text", "date", "bytea" }
      local value = { bool = "i % 2 = 0", date = "date '2026-01-01' + i",
        bytea = "i::text::bytea" }
      for _, n in ipairs { 1, 23, 24, 200, 201, 1000 } do
        for _, cast in ipairs(casts) do
          local one = value[cast] or ("i::%s"):format(cast)
          local rows = db:query(([[select (%s) as v from generate_series(1, $1) i
            order by i]]):format(one), n)
          local row = db:first(([[select array_agg(%s order by i) as a,
            array_agg(case when i %% 7 > 0 then %s end order by i) as b,
            array[array_agg(%s order by i), array_agg(%s order by i desc)] as c
            from generate_series(1, $1) i]]):format(one, one, one, one), n)
          assert.equal(n, #row.a)
          assert.equal(n, #row.b)
          assert.equal(n, #row.c[2])
          for i = 1, n do
            local v = rows[i].v
            local b = v
            if i % 7 == 0 then b = null end
            if row.a[i] ~= v or row.b[i] ~= b or row.c[1][i] ~= v
                or row.c[2][n + 1 - i] ~= v then
              error(("%s[%d]: %s"):format(cast, i, tostring(row.a[i])))
            end
          end
        end
      end
    end)

    it("arrays keep their dimensions", function()
      for _, case in ipairs {
        { "int4[]", "{}", {} }, { "int4[]", "{NULL}", { null } },
        { "int4[]", "{{1,2},{3,4}}", { { 1, 2 }, { 3, 4 } } },
        { "int4[]", "{{{{{{1}}}}}}", { { { { { { 1 } } } } } } },
        { "int4[]", "[0:2]={1,2,3}", { 1, 2, 3 } },
        { "int4[]", "[1:3][-1:0]={{1,2},{4,5},{6,7}}",
          { { 1, 2 }, { 4, 5 }, { 6, 7 } } },
        { "text[]", [[{"a,b","c\"d",NULL,"NULL","{x}","back\\slash"," sp ",""}]],
          { "a,b", 'c"d', null, "NULL", "{x}", "back\\slash", " sp ", "" } },
        { "box[]", "{(1,1),(0,0);(2,2),(1,1)}",
          { "(1,1),(0,0)", "(2,2),(1,1)" } },
        { "bool[]", "{t,f}", { true, false } },
        { "bytea[]", [[{"\\x00","\\xff"}]], { "\0", "\255" } },
        { "int2vector", "1 2 3", { 1, 2, 3 } },
        { "oidvector", "4294967295 0", { 4294967295, 0 } },
      } do
        local literal = quote(case[2]) .. "::" .. case[1]
        local text = db:value("select " .. literal .. "::text")
        for _, suffix in ipairs { "", TEXT } do
          local v = db:first("select " .. literal .. " as a" .. suffix).a
          assert.equal(#case[3], #v)
          local function plain(x)
            if type(x) ~= "table" then return x end
            local out = {}
            for i = 1, #x do out[i] = plain(x[i]) end
            return out
          end
          assert.same(case[3], plain(v))
          assert.equal(text,
            db:value("select $1::" .. case[1] .. "::text", v), case[2])
        end
      end
      check.refuses(db, "usage", db.query, db, "select $1::int4[]",
        perigee.array { { { { { { { 1 } } } } } } })
    end)

    it("composites and domains go by their attributes", function()
      for _, suffix in ipairs { "", TEXT } do
        local v = db:first("select row(1, 'x')::pair as a" .. suffix).a
        assert.equal(1, v.a)
        assert.equal("x", v.b)
        assert.equal("(1,x)", db:value("select $1::pair::text", v))
        v = db:first("select row(null, null)::pair as a" .. suffix).a
        assert.equal(null, v.a)
        assert.equal("(,)", db:value("select $1::pair::text", v))
        v = db:first([[select row(row(1, 'a"b')::pair, array[1,null], 'b c')::nest
          as a]] .. suffix).a
        assert.equal('a"b', v.p.b)
        assert.equal(null, v.list[2])
        assert.equal("b c", v.m)
        assert.is_true(db:value([[select $1::nest =
          row(row(1, 'a"b')::pair, array[1,null], 'b c')::nest]], v))
        v = db:first([[select array[row(1, 'x')::pair, null] as a]] .. suffix).a
        assert.equal("x", v[1].b)
        assert.equal(null, v[2])
        v = db:first([[select 5::more_positive as a,
          array[5]::more_positive[] as b]] .. suffix)
        assert.equal(5, v.a)
        assert.equal(5, v.b[1])
      end
      assert.equal("(7,)", db:value("select $1::pair::text",
        perigee.record { a = 7 }))
      assert.equal("(7,y)", db:value("select $1::pair::text",
        perigee.record { 7, "y" }))
      assert.equal(9, db:value("select $1::more_positive", 9))
      check.refuses(db, "check", db.value, db, "select $1::more_positive", -1)
      local r = db:value "select row(1, 'x', null)"
      assert.equal(1, r[1])
      assert.equal("x", r[2])
    end)

    it("ranges and multiranges keep their bounds", function()
      for _, case in ipairs {
        { "int4range", "empty" }, { "int4range", "(,)" },
        { "int4range", "[5,)" }, { "int4range", "(,6)" },
        { "int4range", "[1,10)" }, { "numrange", "(1.5,2.50]" },
        { "tsrange", '["2000-01-01 00:00:00",infinity)' },
        { "daterange", "[2000-01-01,2000-02-01)" },
        { "int8range", "[-9223372036854775808,9223372036854775807)" },
        { "int4multirange", "{}" }, { "int4multirange", "{[1,5),[7,9)}" },
        { "datemultirange", "{(,2000-01-01)}" },
        { "tstzrange", '["2000-01-01 00:00:00+00",)' },
      } do
        local literal = quote(case[2]) .. "::" .. case[1]
        for _, suffix in ipairs { "", TEXT } do
          local v = db:first("select " .. literal .. " as a" .. suffix).a
          assert.is_true(db:value(("select $1::%s = %s"):format(case[1],
            literal), v), case[2])
          v = db:first(("select array[%s] as a%s"):format(literal, suffix)).a
          assert.is_true(db:value(("select ($1::%s[])[1] = %s"):format(case[1],
            literal), v), case[2])
        end
      end
      local v = db:value "select '[1,5]'::int4range"
      assert.equal(1, v.lower)
      assert.equal(6, v.upper)
      assert.equal("[)", v.bounds)
      assert.is_true(db:value("select $1::int4range @> 3",
        perigee.range(1, 5)))
      assert.is_true(db:value("select $1::int4multirange @> 8",
        perigee.multirange { perigee.range(1, 5), perigee.range(7, 9) }))
    end)

    it("void is NULL, and columns without a binary form are text", function()
      assert.is_nil(db:value "select pg_sleep(0)")
      assert.equal("postgres=r/postgres",
        db:value "select 'postgres=r/postgres'::aclitem")
      local row = db:one [[select 'postgres=r/postgres'::aclitem as x, 1 as a,
        array['postgres=r/postgres'::aclitem] as l]]
      assert.equal(1, row.a)
      assert.equal("postgres=r/postgres", row.l[1])
    end)

    it("hstore, citext and ltree where they are installed", function()
      local ok = pcall(db.script, db, [[create extension if not exists hstore
        schema public; create extension if not exists citext schema public;
        create extension if not exists ltree schema public]])
      if not ok then return pending "no contrib modules" end
      for _, suffix in ipairs { "", TEXT } do
        local v = db:first([[select
          'a=>NULL, "NULL"=>"NULL", ""=>x, "q\"\\"=>"l
e"'::hstore as a]] .. suffix).a
        assert.equal(null, v.a)
        assert.equal("NULL", v.NULL)
        assert.equal("x", v[""])
        assert.equal("l\ne", v['q"\\'])
        assert.is_true(db:value([[select $1::hstore = 'a=>NULL, "NULL"=>"NULL",
          ""=>x, "q\"\\"=>"l
e"'::hstore]], v))
        assert.equal("A.B.C",
          db:first("select 'A.B.C'::ltree as a" .. suffix).a)
        assert.equal("Abc", db:first("select 'Abc'::citext as a" .. suffix).a)
      end
      assert.equal("A.B", db:value("select $1::ltree", "A.B"))
      db:script [[drop extension hstore cascade; drop extension citext cascade;
        drop extension ltree cascade]]
    end)
  end)

  describe("parameters", function()
    it("are of the type that the SQL literal would be", function()
      for _, case in ipairs {
        { 1, "integer" }, { 2147483647, "integer" }, { 2147483648, "bigint" },
        { -2147483649, "bigint" }, { 3.0, "integer" }, { 2 ^ 40, "bigint" },
        { 1.5, "double precision" }, { true, "boolean" },
        { perigee.bytes "x", "bytea" },
        { inf, "double precision" }, { -0.0, "double precision" },
      } do
        if not (check.is_jit and case[1] == 0) then
          assert.equal(case[2], db:value("select pg_typeof($1)::text", case[1]))
        end
      end
      assert.equal("2026-01-01", db:value("select make_date(?, 1, 1)", 2026))
      assert.equal("x", db:value("select ? || ''", "x"))
      assert.equal(3, db:value("select ? + 1", 2))
      assert.equal("10.0.0.1", db:value("select ?::inet", "10.0.0.1"))
    end)

    it("are refused before they are sent, by number and type", function()
      local created = check.created(db)
      for _, case in ipairs {
        { "int4", "1\0" }, { "int4", perigee.array { 1 } },
        { "text", perigee.array { 1 } }, { "text", perigee.record { 1 } },
        { "json", perigee.array { 1 } }, { "bool", perigee.range(1, 2) },
        { "int2[]", perigee.array { 32768 } },
        { "int2[]", perigee.array { -32769 } },
        { "int4[]", perigee.array { 2147483648 } },
        { "int4[]", perigee.array { -2147483649 } },
        { "int4[]", perigee.array { 3.5 } },
        { "int4[]", perigee.array { nan } },
        { "int4[]", perigee.array { inf } },
        { "int4[]", perigee.array { 1e300 } },
        { "int8[]", perigee.array { 2 ^ 63 } },
        { "int8[]", perigee.array { 0.5 } },
        { "oid[]", perigee.array { -1 } },
        { "oid[]", perigee.array { 2 ^ 32 } },
        { "float4[]", perigee.array { 4.1e40 } },
        { "bytea[]", perigee.array { 5 } }, { "bool[]", perigee.array { 1 } },
        { "numeric[]", perigee.array { true } },
        { "text[]", perigee.array { true } },
        { "int4[]", perigee.array { 1, { 1 } } },
        { "int4[]", perigee.array { { 1 }, { 1, 2 } } },
        { "int4[]", perigee.array { true } },
        { "pair", perigee.record { nope = 1 } },
        { "pair", perigee.record { 1, "x", 3 } },
        { "pair", perigee.record { a = 2 ^ 31 } },
        { "int4range", perigee.array { 1, 2 } },
        { "int4range", perigee.range(1, 2 ^ 31) },
        { "int4range", perigee.range(1.5, nil) },
        { "positive[]", perigee.array { 2 ^ 31 } },
      } do
        local err = check.raises("usage", db.query, db,
          "select $1::text, $2::" .. case[1], "a", case[2])
        assert.matches("$2", err.message, 1, true)
        assert.equal(created, check.created(db))
      end
      check.usable(db)
    end)

    it("of 3.5 is refused by an integer column in raw SQL", function()
      db:script "create table i (n integer)"
      check.refuses(db, "usage", db.execute, db, "insert into i values (?)",
        3.5)
    end)

    it("that the server refuses are data", function()
      local created = check.created(db)
      for _, case in ipairs {
        { "int2", 32768 }, { "int2", -32769 }, { "int4", 2147483648 },
        { "int4", nan }, { "int4", inf }, { "int4", 1e300 },
        { "int8", 2 ^ 63 }, { "int8", nan }, { "float4", 4.1e40 },
        { "timestamp", "foo" }, { "date", "2026-02-30" }, { "int4", "x" },
        { "int8", "9223372036854775808" }, { "uuid", "x" }, { "inet", "x" },
        { "tid", "(1)" }, { "mood", "nope" }, { "numeric", "x" },
        { "json", "{" }, { "interval", "x" }, { "int4[]", "{" },
        { "date[]", perigee.array { 5 } }, { "uuid[]", perigee.array { 5 } },
      } do
        check.refuses(db, "data", db.query, db, "select $1::" .. case[1],
          case[2])
      end
      assert.equal(created, check.created(db))
    end)

    it("of every byte go to bytea and come back (P-28)", function()
      local all = {}
      for i = 0, 255 do all[i + 1] = string.char(i) end
      local s = table.concat(all)
      db:script "create table b (v bytea)"
      db:execute("insert into b values (?)", s)
      db:execute("insert into b values (?)", perigee.bytes(s))
      for row in db:each "select v from b" do assert.equal(s, row.v) end
      assert.equal(s, db:first("select v" .. TEXT .. " from b").v)
      db:execute_many("insert into b values (?)", { { "" }, { null } })
      assert.equal(1, db:value "select count(*) from b where v = ''")
      assert.equal(1, db:value "select count(*) from b where v is null")
    end)

    it("are doubles and big integers where Lua has them (P-28)", function()
      db:script "create table n (f float8, i int8, d numeric(38, 18))"
      local min, max = int8 "-9223372036854775808", int8 "9223372036854775807"
      local odd = int8 "9007199254740993"
      db:execute("insert into n values (?, ?, ?)", 0.1, odd,
        "12345678901234567890.123456789012345678")
      assert.same({ f = 0.1, i = odd,
        d = "12345678901234567890.123456789012345678" },
        db:one "select * from n")
      for _, v in ipairs { min, max } do
        db:execute("update n set i = ?", v)
        assert.equal(v, db:value "select i from n")
        assert.equal(1, db:value("select count(*) from n where i = ?", v))
      end
    end)
  end)

  describe("options", function()
    it("numeric = number", function()
      local other = open { max_size = 1, numeric = "number" }
      assert.equal(1.5, other:value "select 1.50::numeric")
      assert.equal(1.5, other:first("select 1.50::numeric as a" .. TEXT).a)
      assert.equal(1.5, other:value("select array[1.5::numeric]")[1])
      check.same_number(nan, other:value "select 'NaN'::numeric")
      assert.equal(inf, other:value "select 'Infinity'::numeric")
      assert.equal("1.50", db:value "select 1.50::numeric")
    end)

    it("int8 = auto, string, cdata", function()
      local sql = "select 9007199254740993::int8 as a, 5::int8 as b"
      if check.has_integers then
        assert.equal(math.tointeger "9007199254740993", db:one(sql).a)
        return
      end
      assert.same({ a = "9007199254740993", b = 5 }, db:one(sql))
      local other = open { max_size = 1, int8 = "string" }
      assert.same({ a = "9007199254740993", b = "5" }, other:one(sql))
      other = open { max_size = 1, int8 = "cdata" }
      local row = other:one(sql)
      assert.equal("9007199254740993LL", tostring(row.a))
      assert.equal("5LL", tostring(row.b))
      assert.equal("9007199254740993",
        other:value("select $1::int8::text", row.a))
    end)

    it("codecs decode by the type's name", function()
      local other = open { max_size = 1, codecs = {
        uuid = { decode = function(s) return "<" .. s .. ">" end },
        date = { decode = function(s) return { year = tonumber(s:sub(1, 4)) } end },
        int4 = { decode = function(n) return n + 1 end },
      } }
      local sql = [[select '00000000-0000-0000-0000-000000000001'::uuid as u,
        '2026-01-01'::date as d, 1 as i, null::uuid as n, 'x'::text as t]]
      local want = { u = "<00000000-0000-0000-0000-000000000001>",
        d = { year = 2026 }, i = 2, t = "x" }
      assert.same(want, other:one(sql))
      assert.same(want, other:query(sql)[1])
      assert.same(want, other:execute(sql).rows[1])
      for row in other:each(sql) do assert.same(want, row) end
      other:transaction(function(tx)
        for row in tx:each(sql) do assert.same(want, row) end
      end)
      assert.equal(null, other:first(sql, {}, { rows = "array" })[4])
      assert.equal(2, other:query(sql, {}, { rows = "columns" }).i[1])
      assert.equal(8, other:value "select 7")
      local thing = {}
      local bad = open { max_size = 1, codecs = {
        int4 = { decode = function() error(thing) end } } }
      for _, verb in ipairs { "query", "first", "value", "execute" } do
        local ok, err = pcall(bad[verb], bad, "select 1")
        assert.is_false(ok)
        assert.equal(thing, err)
      end
      assert.equal(5, bad:value "select 5::int8")
      assert.equal(0, bad:stats().in_use)
    end)
  end)
end, { "postgres" })
