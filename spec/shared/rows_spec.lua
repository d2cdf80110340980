-- Lists and streams of all lengths give the same rows, however they are made: on
-- LuaJIT the records of a longer list come from a function with the names in its
-- text, and those of the next such list from one that makes several at a time.
local helper = require "spec.support.helper"

local COUNTS = { 1, 7, 8, 9, 16, 70, 600 }

-- Names that are not plain words.
local NAMES = { "id", "end", "1st", "a b", "quo\"te", "back\\slash", "]]", "new\nline",
  "ünï", "?", "\1" }

-- A SELECT of `count` rows: column `k` of row `i` is "i-k", and NULL in every third
-- cell.
local function numbered(database, names, count)
  local columns = {}
  for k, name in ipairs(names) do
    columns[k] = ("case when (i + %d) %% 3 <> 0 then cast(i as text) || '-%d' end as \"%s\"")
      :format(k, k, (name:gsub("\"", "\"\"")))
  end
  return ("with recursive n(i) as (select 1 union all select i + 1 from n where i < %d) "
    .. "select %s from n order by i"):format(count,
    helper.sql(database, table.concat(columns, ", ")))
end

local function expected(names, i)
  local row = {}
  for k, name in ipairs(names) do
    row[name] = (i + k) % 3 ~= 0 and i .. "-" .. k or nil
  end
  return row
end

local function check(database, db, names)
  for _, count in ipairs(COUNTS) do
    local sql, i = numbered(database, names, count), 0
    for _ = 1, 2 do
      local list = db:query(sql)
      assert.equal(count, #list)
      assert.same(names, list.columns)
      for at, row in ipairs(list) do assert.same(expected(names, at), row) end
    end
    for row in db:each(sql) do
      i = i + 1
      assert.same(expected(names, i), row)
    end
    assert.equal(count, i)
  end
end

helper.for_each_db(function(name, open)
  describe("rows", function()
    it("have any names", function()
      local names = { (table.unpack or unpack)(NAMES) }
      if name == "mysql" then names[#names] = nil end -- MariaDB takes "\1" away
      check(name, open(), names)
    end)

    it("have many columns", function()
      local names = {}
      for i = 1, 120 do
        names[i] = "c" .. i
        if i == 15 or i == 16 or i == 120 then check(name, open(), names) end
      end
    end)

    it("with a name twice have the last column's value, also NULL", function()
      local db = open()
      for _, count in ipairs(COUNTS) do
        local sql = numbered(name, { "a", "b", "a" }, count)
        for i, row in ipairs(db:query(sql)) do
          assert.same({ a = expected({ "x", "y", "a" }, i).a,
            b = expected({ "x", "b" }, i).b }, row)
        end
      end
    end)

    it("go through codecs", function()
      local db = open { codecs = { text = { decode = function(s) return { s } end } } }
      db:script "create table coded (id integer primary key, t text)"
      for i = 1, 20 do
        db:query("insert into coded (id, t) values (?, ?)", i, i % 2 == 0 and "x" .. i or nil)
      end
      for _ = 1, 2 do
        for i, row in ipairs(db:query "select id, t from coded order by id") do
          assert.same({ id = i, t = i % 2 == 0 and { "x" .. i } or nil }, row)
        end
      end
    end)

    it("have their class", function()
      local db = open()
      db:script "create table classed (id integer primary key)"
      local class = { double = function(row) return 2 * row.id end }
      class.__index = class
      local classed = db:table("classed", { class = class })
      for i = 1, 20 do classed:insert { id = i } end
      local n = 0
      for i, row in ipairs(classed:select({}, { order_by = "id" })) do
        assert.equal(class, getmetatable(row))
        assert.equal(2 * i, row:double())
        n = n + 1
      end
      assert.equal(20, n)
    end)

    it("have whole numbers of all sizes", function()
      local db = open()
      local big = name == "postgres" and "bigint" or "integer"
      local sql = ("with recursive n(i) as (select 1 union all select i + 1 from n where "
        .. "i < 20) select i as small, cast(i * 100000 as %s) as big, cast("
        .. "9007199254740992 + i as %s) as huge from n order by i"):format(big, big)
      for i, row in ipairs(db:query(sql)) do
        assert.equal(i, row.small)
        assert.equal(i * 100000, row.big)
        -- 2^53 + i, digits as text where a number would lose the last ones
        assert.equal(("900719925474%04d"):format(992 + i), tostring(row.huge))
      end
    end)
  end)
end)
