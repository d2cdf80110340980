-- Filters: every operator on every class of column, groups, fragments, lists, and
-- what is refused. P-07, P-10, P-17, P-18.
local perigee = require "perigee"
local helper = require "spec.support.helper"
local check = require "spec.support.check"

local null, any_of, all_of, none_of = perigee.null, perigee.any_of, perigee.all_of,
  perigee.none_of
local sql = perigee.sql
local NAN, INF = 0 / 0, math.huge

helper.for_each_db(function(name, open)
  local is_postgres = name == "postgres"

  -- The values of each class, ascending; `same` writes the first in another way.
  local CLASSES = {
    integer = { "integer", { -7, 0, 42 }, same = "-7",
      bad = { 3.5, NAN, INF, -INF, "x", "1.0", "", true, 2 ^ 63 } },
    smallint = { "smallint", { -32768, 0, 32767 }, same = -32768.0,
      bad = { 32768, -32769, "40000" } },
    bigint = { "bigint",
      { "-9223372036854775808", "9007199254740993", "9223372036854775807" },
      same = "-9223372036854775808", bad = { "9223372036854775808", 1e19, "0x10" } },
    float = { "double precision", { -1.5, 0.1, 1e300 }, same = -1.5,
      bad = { "1.5", true, "nan" } },
    numeric = { "numeric(20,6)", { "-1.250000", 0.5, "123456789.25" }, same = -1.25,
      bad = { "x", "1,5", true, "1e", INF } },
    text = { "varchar(40)", { "A", "a", "b" }, same = "A", bad = { 1, true, 1.5 } },
    boolean = { "boolean", { false, true }, same = false, bad = { 1, "true", 0 } },
    bytes = { is_postgres and "bytea" or "blob", { "\0", "\1\255", "a\0b" },
      same = perigee.bytes "\0", bad = { 1, true } },
    uuid = { "uuid", { "00000000-0000-4000-8000-00000000000a",
        "10000000-0000-4000-8000-000000000000", "a0000000-0000-4000-8000-000000000000" },
      same = "0000000000004000800000000000000A", bad = { "x", 1, "g" .. ("0"):rep(31) } },
    date = { "date", { "0001-01-01", "2026-11-20", "9999-12-31" }, same = "0001-01-01",
      bad = { 1, true } },
    time = { "time", { "00:00:00", "08:30:00", "08:30:00.5" }, same = "00:00",
      bad = { 1 } },
    timestamp = { "timestamp", { "2026-11-20", "2026-11-20 08:30", "2026-11-20T08:30:00.1" },
      same = "2026-11-20T00:00:00.000000", bad = { 1 } },
    timestamptz = { "timestamp with time zone",
      { "2026-11-20T08:30:00+02", "2026-11-20T06:30:00.000001Z", "infinity" },
      same = "2026-11-20T06:30:00Z", bad = { 1 } },
  }
  if is_postgres then
    CLASSES.jsonb = { "jsonb", { 1, 2, perigee.json { a = 1 } }, same = 1.0, bad = {} }
    CLASSES.array = { "integer[]",
      { perigee.array { 1, 2 }, perigee.array { 1, null }, perigee.array { 2 } },
      same = perigee.array { 1, 2 }, bad = { 1, "{1}", perigee.array { 1.5 } } }
  end

  local function ids(db, t, filter, options)
    options = options or {}
    options.order_by = options.order_by or "id"
    local out = {}
    for i, row in ipairs(db:select(t, filter, options)) do out[i] = row.id end
    return table.concat(out, " ")
  end

  -- A table with the column v: a row for each value, and the last with NULL.
  local function of_class(db, class)
    db:script("create table t (id integer primary key, v " .. class[1] .. ")")
    for i, v in ipairs(class[2]) do db:insert("t", { id = i, v = v }) end
    db:insert("t", { id = #class[2] + 1 })
    return class[2], #class[2]
  end

  -- The ids from 1 to n + 1 for which f says yes; n + 1 is the row with NULL.
  local function which(n, f)
    local out = {}
    for i = 1, n + 1 do
      if f(i) then out[#out + 1] = i end
    end
    return table.concat(out, " ")
  end

  describe("operators on", function()
    for class_name, class in pairs(CLASSES) do
      it(class_name, function()
        local db = open()
        local v, n = of_class(db, class)
        local function expect(filter, f)
          assert.equal(which(n, f), ids(db, "t", filter))
          assert.equal(which(n, function(i) return not f(i) end),
            ids(db, "t", { none_of { filter } }))
        end
        expect({ v = class.same }, function(i) return i == 1 end)
        expect({ ["v:eq"] = class.same }, function(i) return i == 1 end)
        expect({ v = null }, function(i) return i > n end)
        expect({ ["v:ne"] = null }, function(i) return i <= n end)
        expect({ ["v:is_null"] = true }, function(i) return i > n end)
        expect({ ["v:is_null"] = false }, function(i) return i <= n end)
        for k = 1, n do
          expect({ ["v:eq"] = v[k] }, function(i) return i == k end)
          expect({ ["v:ne"] = v[k] }, function(i) return i ~= k end)
          expect({ ["v:gt"] = v[k] }, function(i) return i <= n and i > k end)
          expect({ ["v:ge"] = v[k] }, function(i) return i <= n and i >= k end)
          expect({ ["v:lt"] = v[k] }, function(i) return i < k end)
          expect({ ["v:le"] = v[k] }, function(i) return i <= k end)
          expect({ ["v:between"] = { v[1], v[k] } }, function(i) return i <= k end)
          expect({ ["v:in"] = { v[k], v[1], v[k] } },
            function(i) return i == 1 or i == k end)
          expect({ v = { v[k], null } }, function(i) return i == k or i > n end)
          expect({ ["v:not_in"] = { v[k] } }, function(i) return i ~= k end)
          expect({ ["v:not_in"] = { null, v[k] } },
            function(i) return i ~= k and i <= n end)
        end
        expect({ v = {} }, function() return false end)
        expect({ ["v:in"] = {} }, function() return false end)
        expect({ ["v:not_in"] = {} }, function() return true end)
        expect({ ["v:in"] = { null } }, function(i) return i > n end)
        expect({ ["v:not_in"] = { null } }, function(i) return i <= n end)
        for _, op in ipairs { "", ":eq", ":ne", ":gt", ":le" } do
          for _, bad in ipairs(class.bad) do
            local err = check.refuses(db, "usage", db.count, db, "t", { ["v" .. op] = bad })
            assert.matches("v", err.message)
          end
        end
        for _, bad in ipairs(class.bad) do
          check.raises("usage", db.count, db, "t", { ["v:in"] = { v[1], bad } })
          check.raises("usage", db.count, db, "t", { ["v:between"] = { v[1], bad } })
          check.raises("usage", db.insert, db, "t", { id = 99, v = bad })
        end
      end)
    end

    it("a float column: NaN", function()
      local db = open()
      of_class(db, CLASSES.float)
      if is_postgres then
        db:insert("t", { id = 9, v = NAN })
        assert.equal("9", ids(db, "t", { v = NAN }))
        assert.equal("9", ids(db, "t", { ["v:gt"] = "Infinity" }))
      else
        check.refuses(db, "usage", db.count, db, "t", { v = NAN })
        check.refuses(db, "usage", db.count, db, "t", { ["v:ne"] = "NaN" })
        check.refuses(db, "usage", db.insert, db, "t", { v = NAN })
      end
      db:insert("t", { id = 10, v = -INF })
      assert.equal("10", ids(db, "t", { v = "-Infinity" }))
      assert.equal("10", ids(db, "t", { ["v:lt"] = -1e300 }))
    end)

    it("a numeric column: digits", function()
      local db = open()
      of_class(db, CLASSES.numeric)
      if is_postgres or name == "mysql" then
        assert.equal(0, db:count("t", { v = "0.1234567890123456789" }))
      else
        check.refuses(db, "usage", db.count, db, "t", { v = "0.1234567890123456789" })
        check.refuses(db, "usage", db.count, db, "t", { v = "1e400" })
        check.refuses(db, "usage", db.count, db, "t", { v = NAN })
      end
    end)

    if not is_postgres then
      it("times in one form only", function()
        local db = open()
        db:script [[create table t (id integer primary key, d date, t time, ts timestamp,
          tz timestamptz)]]
        local row = db:insert("t", { d = "2026-11-20", t = "08:30", ts = "2026-11-20 08:30",
          tz = "2026-11-20T08:30:00.5+02:00" })
        assert.same({ id = 1, d = "2026-11-20", t = "08:30:00",
          ts = "2026-11-20T08:30:00.000000", tz = "2026-11-20T06:30:00.500000Z" }, row)
        for column, values in pairs {
          d = { "2026-02-30", "2026-11-20T00:00", "x", "" },
          t = { "24:00", "8:30", "08:30:00.1234567", "08:30Z" },
          ts = { "2026-11-20T08:30Z", "2026-13-01", "now", "10000-01-01" },
          tz = { "2026-11-20T08:30+16", "2026-11-20 08:30 UTC" },
        } do
          for _, bad in ipairs(values) do
            check.refuses(db, "usage", db.insert, db, "t", { [column] = bad })
            check.raises("usage", db.count, db, "t", { [column] = bad })
          end
        end
      end)
    end
  end)

  -- ---- text -----------------------------------------------------------------

  local TEXTS = { "100% sure", "100 percent", "a_b", "axb", [[back\slash]], "[x]*?", "Ab",
    "aB", "it's", "" }

  local function texts(db)
    db:script "create table t (id integer primary key, s text, n integer)"
    for i, s in ipairs(TEXTS) do db:insert("t", { id = i, s = s, n = i }) end
    db:insert("t", { id = #TEXTS + 1 })
  end

  describe("patterns", function()
    local CASES = {
      { "like", "100%", "1 2" }, { "like", [[100\%%]], "1" }, { "like", "a_b", "3 4" },
      { "like", [[a\_b]], "3" }, { "like", [[%\\%]], "5" }, { "like", "[x]%", "6" },
      { "like", "[x]*?", "6" }, { "like", "ab", "" }, { "like", "A_", "7" },
      { "like", "%", "1 2 3 4 5 6 7 8 9 10" }, { "like", "", "10" }, { "like", "%'%", "9" },
      { "like", "*", "" }, { "like", "[a]%", "" }, { "like", [[\a%]], "3 4 8" },
      { "ilike", "ab", "7 8" }, { "ilike", "A_B", "3 4" }, { "ilike", [[A\_b]], "3" },
      { "prefix", "100%", "1" }, { "prefix", "a_", "3" }, { "prefix", "a", "3 4 8" },
      { "prefix", "[", "6" }, { "prefix", "", "1 2 3 4 5 6 7 8 9 10" },
      { "prefix", [[back\]], "5" },
      { "contains", "100%", "1" }, { "contains", "a_b", "3" }, { "contains", [[k\s]], "5" },
      { "contains", "]*", "6" }, { "contains", "b", "3 4 5 7" }, { "contains", "B", "8" },
      { "contains", "'", "9" }, { "contains", "", "1 2 3 4 5 6 7 8 9 10" },
    }
    it("are taken by their own rules (P-07)", function()
      local db = open()
      texts(db)
      for _, case in ipairs(CASES) do
        local key = "s:" .. case[1]
        assert.equal(case[3], ids(db, "t", { [key] = case[2] }), key .. " " .. case[2])
        assert.equal(#TEXTS + 1, db:count("t", { [key] = case[2] })
          + db:count("t", { none_of { [key] = case[2] } }))
      end
    end)

    it("want a string and a column of text", function()
      local db = open()
      texts(db)
      for _, op in ipairs { "like", "ilike", "prefix", "contains" } do
        for _, bad in ipairs { 1, true, null, {}, { "a" }, sql "'a'" } do
          check.refuses(db, "usage", db.count, db, "t", { ["s:" .. op] = bad })
        end
        check.refuses(db, "usage", db.count, db, "t", { ["n:" .. op] = "1" })
      end
      check.refuses(db, "usage", db.count, db, "t", { ["s:like"] = [[a\]] })
      assert.equal(0, db:count("t", { ["s:like"] = [[a\\]] }))
    end)
  end)

  -- ---- documents ------------------------------------------------------------

  describe("documents", function()
    local CASES = {
      { { a = 1 }, "1 2" }, { { a = 1, b = { 2 } }, "2" }, { { b = { 3, 2 } }, "2" },
      { { b = {} }, nil }, { perigee.json_array {}, "4" }, { perigee.json_array { 1 }, "4" },
      { { c = { d = "x" } }, "3" }, { { c = perigee.json_object {} }, "3" },
      { perigee.json(5), "4 5" }, { perigee.json "x", "6" }, { "x", "6" },
      { true, "7" }, { perigee.json(null), "8" }, { { a = "1" }, "" },
      { perigee.json_object {}, "1 2 3" }, { { a = 1.0 }, "1 2" },
    }
    it("contain documents", function()
      local db = open()
      db:script("create table t (id integer primary key, j "
        .. (is_postgres and "jsonb" or "json") .. ")")
      local rows = { { a = 1 }, { a = 1, b = { 1, 2, 3 } }, { c = { d = "x", e = 1 } },
        perigee.json_array { 1, 5, { 2 } }, perigee.json(5), "x", true, perigee.json(null) }
      for i, row in ipairs(rows) do db:insert("t", { id = i, j = row }) end
      db:insert("t", { id = 9, j = null })
      for i, case in ipairs(CASES) do
        if case[2] then
          assert.equal(case[2], ids(db, "t", { ["j:contains"] = case[1] }), "case " .. i)
        end
        assert.equal(9, db:count("t", { ["j:contains"] = case[1] })
          + db:count("t", { none_of { ["j:contains"] = case[1] } }))
      end
      assert.equal("9", ids(db, "t", { j = null }))
      local err = check.refuses(db, "usage", db.count, db, "t", { j = { a = 1 } })
      assert.matches("contains", err.message)
      check.refuses(db, "usage", db.count, db, "t", { ["j:eq"] = { a = 1 } })
      check.refuses(db, "usage", db.count, db, "t", { ["j:contains"] = null })
      check.refuses(db, "usage", db.count, db, "t", { ["j:like"] = "a" })
    end)

    if is_postgres then
      it("of type json have no equality", function()
        local db = open()
        db:script "create table t (id integer primary key, j json)"
        db:insert("t", { id = 1, j = { a = 1 } })
        for _, filter in ipairs { { j = 1 }, { ["j:ne"] = 1 }, { ["j:in"] = { 1 } },
                                  { ["j:gt"] = 1 } } do
          check.refuses(db, "usage", db.count, db, "t", filter)
        end
        assert.equal(1, db:count("t", { ["j:contains"] = { a = 1 } }))
        assert.equal(1, db:count("t", { ["j:ne"] = null }))
      end)

      it("arrays contain members, ranges elements", function()
        local db = open()
        db:script [[create table t (id integer primary key, a text[], r int4range)]]
        db:insert("t", { id = 1, a = { "x", "y" }, r = perigee.range(1, 5) })
        db:insert("t", { id = 2, a = {} })
        db:insert("t", { id = 3 })
        assert.equal("1", ids(db, "t", { ["a:contains"] = { "y" } }))
        assert.equal("1", ids(db, "t", { ["a:contains"] = perigee.array { "y", "x" } }))
        assert.equal("1 2", ids(db, "t", { ["a:contains"] = {} }))
        assert.equal("2 3", ids(db, "t", { none_of { ["a:contains"] = { "x" } } }))
        assert.equal("1", ids(db, "t", { a = perigee.array { "x", "y" } }))
        assert.equal("1", ids(db, "t", { a = { { "x", "y" }, { "z" } } }))
        assert.equal("2 3", ids(db, "t", { ["a:not_in"] = { { "x", "y" } } }))
        assert.equal("1", ids(db, "t", { ["r:contains"] = 4 }))
        assert.equal("1", ids(db, "t", { r = perigee.range(1, 5) }))
        for _, filter in ipairs { { a = { "x" } }, { a = "x" }, { ["a:eq"] = { "x" } },
            { ["a:contains"] = "x" }, { ["a:contains"] = { 1 } },
            { ["a:contains"] = { k = "x" } } } do
          check.refuses(db, "usage", db.count, db, "t", filter)
        end
      end)
    end
  end)

  -- ---- groups ---------------------------------------------------------------

  describe("groups", function()
    it("nest, with names and members as parts", function()
      local db = open()
      texts(db)
      local CASES = {
        { any_of { n = 1, s = "axb" }, "1 4" },
        { { any_of { n = 1, s = "axb" } }, "1 4" },
        { { any_of { { n = 1, s = "axb" }, { n = 2 } } }, "2" },
        { { any_of {} }, "" }, { { all_of {} }, "1 2 3 4 5 6 7 8 9 10 11" },
        { { none_of {} }, "1 2 3 4 5 6 7 8 9 10 11" }, { {}, "1 2 3 4 5 6 7 8 9 10 11" },
        { { none_of { ["n:le"] = 9, s = "" } }, "11" },
        { { ["n:gt"] = 7, none_of { n = 8 } }, "9 10" },
        { { { n = 3 }, { s = "a_b" } }, "3" }, { { { n = 3 }, { s = "axb" } }, "" },
        { { any_of { all_of { n = 1 }, all_of { n = 2, any_of { s = "x", n = 2 } } } }, "1 2" },
        { { none_of { none_of { n = 5 } } }, "5" },
        { { any_of { ["n:in"] = { 1, 2 }, ["n:gt"] = 9, n = 4 } }, "1 2 4 10" },
      }
      for i, case in ipairs(CASES) do
        assert.equal(case[2], ids(db, "t", case[1]), "case " .. i)
        assert.equal(11, db:count("t", case[1]) + db:count("t", { none_of { case[1] } }))
      end
    end)

    it("are made of one table", function()
      for _, make in ipairs { any_of, all_of, none_of } do
        for _, bad in ipairs { 1, "x", true, null, perigee.array { 1 }, any_of {} } do
          check.raises("usage", make, bad)
        end
        check.raises("usage", make)
        check.raises("usage", make, {}, {})
      end
      local t = { n = 1 }
      local group = any_of(t)
      t.n = 2
      assert.equal(1, group.n)
      assert.is_nil(getmetatable(t))
    end)

    it("are not too deep", function()
      local db = open()
      texts(db)
      local f, loop = { n = 1 }, {}
      for _ = 1, 90 do f = { any_of { f } } end
      check.refuses(db, "usage", db.count, db, "t", f)
      f = { n = 1 }
      for _ = 1, 40 do f = { any_of { f } } end
      assert.equal(1, db:count("t", f))
      loop[1] = loop
      check.refuses(db, "usage", db.count, db, "t", loop)
    end)
  end)

  it("what a filter leaves out, its complement has", function()
    local db = open()
    local random = helper.random "filter complement"
    db:script "create table t (id integer primary key, n integer, s text, f double precision)"
    local rows = {}
    for i = 1, 60 do
      rows[i] = { id = i }
      if random(4) > 1 then rows[i].n = random(5) end
      if random(4) > 1 then rows[i].s = ({ "a", "B", "ab", "%", "" })[random(5)] end
      if random(4) > 1 then rows[i].f = random(6) / 4 end
    end
    for i = 1, 60 do db:insert("t", rows[i]) end
    local OPS = { "", ":eq", ":ne", ":gt", ":ge", ":lt", ":le" }
    local function scalar(column)
      if column == "s" then return ({ "a", "b", "AB", "%", "" })[random(5)] end
      return column == "f" and random(6) / 4 or random(5)
    end
    local function list(column)
      local out = {}
      for i = 1, random(4) - 1 do out[i] = random(4) == 1 and null or scalar(column) end
      return out
    end
    local function filter(depth)
      local out = {}
      for _ = 1, random(3) do
        local column, kind = ({ "n", "s", "f" })[random(3)], random(8)
        if kind <= 3 then
          out[column .. OPS[random(#OPS)]] = scalar(column)
        elseif kind == 4 then
          out[column .. ({ "", ":in", ":not_in" })[random(3)]] = list(column)
        elseif kind == 5 then
          out[column .. ":ne"] = null
        elseif kind == 6 then
          out["s" .. ({ ":like", ":ilike", ":prefix", ":contains" })[random(4)]] = scalar "s"
        elseif kind == 7 then
          out[#out + 1] = sql("n > ?", random(5))
        elseif depth < 4 then
          out[#out + 1] = ({ any_of, all_of, none_of })[random(3)](filter(depth + 1))
        end
      end
      return out
    end
    for round = 1, helper.soak(2000) do
      local f = filter(0)
      assert.equal(60, db:count("t", f) + db:count("t", { none_of { f } }), "round " .. round)
    end
  end)

  -- ---- fragments ------------------------------------------------------------

  describe("perigee.sql", function()
    it("stands as a condition, with parameters of every style", function()
      local db = open()
      texts(db)
      local CASES = {
        { { sql "n = 3" }, "3" }, { sql "n = 3", "3" }, { { sql("n = ?", 3) }, "3" },
        { { sql("n in (?, ?)", { 2, 4 }) }, "2 4" }, { { sql("n = $2 - $1", 1, 5) }, "4" },
        { { sql("n = :a or n = :b or n = :a + 1", { a = 1, b = 7 }) }, "1 2 7" },
        { { n = 2, sql("s like ?", "100%") }, "2" },
        { { any_of { n = 1, sql("n = ?", 2), sql("n = :x", { x = 3 }) } }, "1 2 3" },
        { { none_of { sql("n > ?", 2) } }, "1 2 11" },
        { { sql "n = 1 or n = 2", ["n:gt"] = 1 }, "2" },
        { { sql("coalesce(s, ?) = ?", "none", "none") }, "11" },
        { { sql("n = 1 -- the first") }, "1" },
        { { sql("s is not distinct from cast(? as text)", nil) }, is_postgres and "11" },
      }
      for i, case in ipairs(CASES) do
        if case[2] then assert.equal(case[2], ids(db, "t", case[1]), "case " .. i) end
      end
    end)

    it("stands as a value and in the order", function()
      local db = open()
      texts(db)
      assert.equal("4", ids(db, "t", { n = sql("? + 1", 3) }))
      assert.equal("1 2", ids(db, "t", { ["n:lt"] = sql "length('abc')" }))
      assert.equal("1 2 3 4", ids(db, "t", { ["n:between"] = { 1, sql("2 + :k", { k = 2 }) } }))
      assert.equal("1 3 4 5 6 7 8 9 10 11", ids(db, "t", { ["n:ne"] = sql("2") }))
      assert.equal("10 9 8", ids(db, "t", { ["n:ge"] = 8 },
        { order_by = { sql("n * ?", -1) } }))
      local row = db:insert("t", { id = 50, n = sql("? + ?", 20, 22), s = sql "upper('x')" })
      assert.equal(42, row.n)
      assert.equal("X", row.s)
      assert.equal(1, db:update("t", { id = 50 }, { n = sql("n + :d", { d = 1 }) }))
      assert.equal(43, db:get("t", 50).n)
    end)

    it("checks its arguments", function()
      for _, bad in ipairs { 1, true, null, {} } do check.raises("usage", sql, bad) end
      check.raises("usage", sql)
      check.raises("usage", sql, "?", {}, 1)
      check.raises("usage", sql, "?", 1, {})
      check.raises("usage", sql, "?", print)
      check.raises("usage", sql, "?", sql "1")
      assert.equal("perigee.sql a > ?", tostring(sql("a > ?", "secret")))
      local values = { 3 }
      local fragment = sql("n = ?", values)
      values[1] = 4
      local db = open()
      texts(db)
      assert.equal("3", ids(db, "t", { fragment }))
      assert.equal("3", ids(db, "t", { fragment }))
    end)

    it("refuses what is no expression, or other parameters", function()
      local db = open()
      texts(db)
      for _, bad in ipairs { sql "", sql " -- x", sql "n = 1; drop table t", sql "n = ?",
          sql("n = 1", 1), sql("n = ?", 1, 2), sql("n = :a", { b = 1 }), sql("n = :a", 1),
          sql("n = ?", { a = 1 }), sql("n = ? or n = $1", 1), sql("n = $2", 1, 2),
          sql "n = 1) or (1 = 1", sql ") (", sql "((", sql "(n = 1", sql "n = 1)",
          sql "n = ')') or (1 = 1", sql "n in (1)) -- (" } do
        check.refuses(db, "usage", db.count, db, "t", { bad })
        check.refuses(db, "usage", db.count, db, "t", { n = bad })
      end
      check.refuses(db, "syntax", db.count, db, "t", { sql "n = 'x" })
      check.refuses(db, "usage", db.count, db, "t", { ["n:in"] = sql "1" })
      check.refuses(db, "usage", db.count, db, "t", { n = { 1, sql "2" } })
      assert.equal(11, db:count("t"))
    end)
  end)

  -- ---- long lists -----------------------------------------------------------

  it("groups of 3,000 conditions", function()
    local db = open()
    db:execute "create table t (a integer, b integer, primary key (a, b))"
    db:insert_many("t", { { a = 1, b = 1 }, { a = 2, b = 3 }, { a = 3, b = 3 } })
    local parts = {}
    for i = 1, 3000 do parts[i] = { a = i, b = i } end
    assert.equal(2, db:count("t", perigee.any_of(parts)))
    assert.equal(1, db:count("t", perigee.none_of(parts)))
  end)

  it("lists of 200,000 values (P-16)", function()
    helper.watchdog(120)
    local db = open()
    db:script("create table t (id integer primary key, n bigint, s text, y "
      .. (is_postgres and "bytea" or "blob") .. ")")
    for i = 1, 5 do
      db:insert("t", { id = i, n = i * 100000, s = "s" .. i * 100000, y = "\0" .. i * 100000 })
    end
    db:insert("t", { id = 6 })
    local size = check.proxied and 2000 or 200000
    local n, s, y = {}, {}, {}
    for i = 1, size do n[i], s[i], y[i] = i, "s" .. i, "\0" .. i end
    local want = check.proxied and 0 or 2
    for column, list in pairs { n = n, s = s, y = y } do
      assert.equal(want, db:count("t", { [column] = list }))
      assert.equal(6 - want, db:count("t", { [column .. ":not_in"] = list }))
      list[size] = null
      assert.equal(want, db:count("t", { [column] = list }) + (want == 0 and -1 or 0))
      assert.equal(5 - (want == 0 and 0 or 1), db:count("t", { [column .. ":not_in"] = list }))
      list[size] = true
      check.refuses(db, "usage", db.count, db, "t", { [column] = list })
    end
  end)

  -- ---- what is refused ------------------------------------------------------

  describe("refuses", function()
    local WRONG = {
      ["an unknown operator"] = { ["id:eqq"] = 1 }, ["an empty one"] = { ["id:"] = 1 },
      ["an operator behind another"] = { ["n:eq:x"] = 1 }, ["a case"] = { ["id:EQ"] = 1 },
      ["an unknown column"] = { nope = 1 }, ["one with an operator"] = { ["nope:eq"] = 1 },
      ["an empty key"] = { [""] = 1 }, ["a zero byte in a key"] = { ["id\0x"] = 1 },
      ["a number as a key"] = { [2.5] = 1 }, ["zero as a key"] = { [0] = { id = 1 } },
      ["a boolean as a key"] = { [true] = 1 }, ["a hole"] = { nil, { id = 1 } },
      ["a value in the array part"] = { 1 }, ["a string there"] = { "id" },
      ["null there"] = { null }, ["false there"] = { false }, ["an array there"] = {
        perigee.array { 1 } },
      ["a list for gt"] = { ["n:gt"] = { 1 } }, ["an empty list for lt"] = { ["n:lt"] = {} },
      ["null for gt"] = { ["n:gt"] = null }, ["null for eq"] = { ["n:eq"] = null },
      ["a list for eq"] = { ["n:eq"] = { 1 } }, ["an empty one for eq"] = { ["n:eq"] = {} },
      ["a list for ne"] = { ["n:ne"] = { 1 } }, ["a map for eq"] = { ["n:eq"] = { a = 1 } },
      ["a map"] = { n = { a = 1 } }, ["a list with a hole"] = { n = { 1, nil, 3 } },
      ["a group with a name"] = { n = any_of { 1 } }, ["a scalar for in"] = { ["n:in"] = 1 },
      ["null for in"] = { ["n:in"] = null }, ["a map for in"] = { ["n:in"] = { a = 1 } },
      ["a list in a list"] = { n = { { 1 } } },
      ["one value for between"] = { ["n:between"] = { 1 } },
      ["three for between"] = { ["n:between"] = { 1, 2, 3 } },
      ["a scalar for between"] = { ["n:between"] = 1 },
      ["null in between"] = { ["n:between"] = { 1, null } },
      ["a number for is_null"] = { ["n:is_null"] = 1 },
      ["null for is_null"] = { ["n:is_null"] = null },
      ["contains of a number"] = { ["n:contains"] = 1 },
      ["default"] = { n = perigee.default }, ["a function"] = { n = print },
      ["a fraction (P-17)"] = { n = 3.9 }, ["NaN"] = { n = NAN }, ["infinity"] = { n = INF },
      ["a json object for eq"] = { ["n:eq"] = perigee.json_object { a = 1 } },
    }
    for what, filter in pairs(WRONG) do
      it(what .. " (P-10, P-18)", function()
        local db = open()
        texts(db)
        for _, verb in ipairs { "count", "select", "delete", "exists", "find_first" } do
          check.refuses(db, "usage", db[verb], db, "t", filter)
          check.refuses(db, "usage", db[verb], db, "t", { any_of { filter } })
        end
        check.refuses(db, "usage", db.update, db, "t", filter, { n = 1 })
        assert.equal(11, db:count "t")
      end)
    end

    it("what is not a table", function()
      local db = open()
      texts(db)
      for _, bad in ipairs { 1, "id = 1", true, null, print, perigee.array { 1 },
                             perigee.default } do
        check.refuses(db, "usage", db.count, db, "t", bad)
        check.refuses(db, "usage", db.delete, db, "t", bad)
      end
      assert.equal(11, db:count "t")
    end)

    it("and says what is allowed", function()
      local db = open()
      texts(db)
      local err = check.raises("usage", db.count, db, "t", { ["n:eqq"] = 1 })
      assert.matches('"n:eqq"', err.message, 1, true)
      assert.matches("not_in", err.message, 1, true)
      err = check.raises("usage", db.count, db, "t", { nope = 1 })
      assert.matches("nope", err.message, 1, true)
      assert.matches("id, s, n", err.message, 1, true)
      assert.is_true(err.unknown)
      err = check.raises("usage", db.count, db, "t", { n = 3.5 })
      assert.matches("n: 3.5 is not an integer", err.message, 1, true)
      err = check.raises("usage", db.count, db, "t", { ["n:gt"] = "x" })
      assert.matches('n:gt: "x" is not an integer', err.message, 1, true)
    end)

    it("bad records", function()
      local db = open()
      db:script [[create table t (id integer primary key, n integer,
        g integer generated always as (n * 2) stored)]]
      for _, bad in ipairs { { 1, id = 1 }, { 1 }, { nope = 1 }, { [true] = 1 }, { n = 3.5 },
          { n = NAN }, { n = INF }, { n = {} }, { n = "x" }, { g = 1 }, { n = print }, 1, "x",
          true, perigee.array {} } do
        check.refuses(db, "usage", db.insert, db, "t", bad)
        check.refuses(db, "usage", db.update, db, "t", { id = 1 }, bad)
      end
      assert.equal(0, db:count "t")
    end)

    it("bad orders, limits and columns", function()
      local db = open()
      texts(db)
      local CASES = {
        order_by = { "nope", "-nope", "--id", "", 1, true, { 1 }, { "nope" }, { {} },
          { { "id", down = true } }, { { "id", desc = 1 } }, { { "id", nulls = "no" } },
          { { "id", "n" } }, { id = "desc" }, { "id", nil, "n" }, null, { null } },
        limit = { -1, 2.5, "5", NAN, INF, null, true, {} },
        offset = { -1, 2.5, "5", NAN, null },
        columns = { "id", 1, {}, { "nope" }, { 1 }, { "id", x = 1 }, { sql "1" } },
      }
      for option, values in pairs(CASES) do
        for i, bad in ipairs(values) do
          check.refuses(db, "usage", function()
            db:select("t", {}, { [option] = bad })
            error(option .. " " .. i)
          end)
        end
      end
      check.refuses(db, "usage", db.select, db, "t", {}, { limits = 1 })
    end)
  end)

  it("orders by columns, directions and nulls", function()
    local db = open()
    db:script 'create table t (id integer primary key, n integer, "-n" integer)'
    for i, n in ipairs { 2, null, 1, 2 } do db:insert("t", { id = i, n = n, ["-n"] = i }) end
    local CASES = {
      { "n", "3 1 4 2" }, { { "n", "-id" }, "3 4 1 2" },
      { { { "n", desc = true }, "id" }, "2 1 4 3" },
      { { { "n", nulls = "first" }, "id" }, "2 3 1 4" }, { "-id", "4 3 2 1" },
      { { { "n", desc = true, nulls = "last" }, "id" }, "1 4 3 2" }, { "-n", "1 2 3 4" },
      { { "n", desc = false, nulls = "first" }, "2 3 1 4" }, { { sql "-id" }, "4 3 2 1" },
      { sql("-id * ?", 1), "4 3 2 1" }, { { { sql "-n", desc = true, nulls = "last" }, "id" },
        "3 1 4 2" },
    }
    for i, case in ipairs(CASES) do
      local order = case[1]
      if order == "n" then order = { "n", "id" } end
      if type(order) == "table" and order.nulls then order = { order, "id" } end
      assert.equal(case[2], ids(db, "t", {}, { order_by = order }), "case " .. i)
    end
    assert.equal("2 3", ids(db, "t", {}, { order_by = { "n", nulls = "first" }, limit = 2 }))
    assert.equal("", ids(db, "t", {}, { limit = 0 }))
    assert.equal("2 3", ids(db, "t", {}, { limit = 2.0, offset = 1 }))
  end)

  it("keys: by value, position and name", function()
    local db = open()
    db:script [[create table one (id integer primary key, n integer);
      create table two (a integer not null, b varchar(9) not null, n integer,
        primary key (b, a))]]
    db:insert("one", { id = 1 })
    db:insert("two", { a = 1, b = "x", n = 5 })
    for _, key in ipairs { 1, 1.0, "1", { 1 }, { id = 1 } } do
      assert.equal(1, db:get("one", key).id)
    end
    for _, key in ipairs { { "x", 1 }, { a = 1, b = "x" } } do
      assert.equal(5, db:get("two", key).n)
    end
    for _, bad in ipairs { null, {}, { 1, 2 }, { n = 1 }, { id = 1, n = 1 }, { 1, id = 1 },
        { null }, { id = null }, "x", 1.5, true, { nope = 1 } } do
      check.refuses(db, "usage", db.get, db, "one", bad)
    end
    check.refuses(db, "usage", db.get, db, "one", nil)
    for _, bad in ipairs { 1, "x", { "x" }, { 1, "x" }, { a = 1 }, { a = 1, b = "x", n = 5 } } do
      check.refuses(db, "usage", db.get, db, "two", bad)
    end
  end)

  it("changes none of its arguments (P-22)", function()
    local db = open()
    texts(db)
    local function frozen(t)
      local copy = {}
      for k, v in pairs(t) do
        copy[k] = type(v) == "table" and not getmetatable(v) and frozen(v) or v
      end
      return setmetatable(copy, { __newindex = function() error "changed" end })
    end
    local f = frozen { n = { 1, 2 }, { ["s:like"] = "1%" }, ["n:between"] = { 1, 9 } }
    assert.equal(2, db:count("t", f))
    assert.equal(2, db:count("t", f))
    assert.equal(2, #rawget(f, "n"))
  end)

  it("a column with a colon in its name goes first", function()
    local db = open()
    db:script 'create table t (id integer primary key, a integer, "a:eq" integer, "b:c" integer)'
    db:insert("t", { id = 1, a = 1, ["a:eq"] = 2, ["b:c"] = 3 })
    assert.equal(1, db:count("t", { ["a:eq"] = 2 }))
    assert.equal(0, db:count("t", { ["a:eq"] = 1 }))
    assert.equal(1, db:count("t", { ["a:eq:eq"] = 2, ["b:c"] = 3, ["b:c:gt"] = 2 }))
    check.refuses(db, "usage", db.count, db, "t", { ["b:eq"] = 3 })
  end)
end)
