-- copy_in and copy_out of rows on every database: where there is no COPY they do the
-- same by other means.
local perigee = require "perigee"
local helper = require "spec.support.helper"

local null = perigee.null

local function failure(f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok)
  return err
end

helper.for_each_db(function(name, open)
  local function items(options)
    local db = open(options)
    db:script [[create table items (id integer not null primary key check (id <> -13),
      name text not null, score double precision, note text default 'none')]]
    return db
  end

  local function count(x)
    return tonumber(x:value "select count(*) from items")
  end

  local function numbers(n)
    local i = 0
    return function()
      i = i + 1
      if i <= n then return { id = i, name = "number " .. i, score = i / 2 } end
    end
  end

  describe("copy_in", function()
    it("stores a list, what an iterator gives, and lists of values", function()
      local db = items()
      assert.are.equal(2, db:copy_in("items", { { id = -1, name = "a" }, { id = -2, name = "b" } }))
      assert.are.equal(3000, db:table("items"):copy_in(numbers(3000)))
      assert.are.equal(1, db:table("items"):copy_in({ { -3, "c" } },
        { columns = { "id", "name" } }))
      assert.are.equal(2, db:copy_in("items", { { 5001, "x", null, "n" }, { 5002, "y", 1.5 } },
        { columns = { "id", "name", "score", "note" } }))
      assert.are.equal(3005, count(db))
      assert.are.same({ id = 5002, name = "y", score = 1.5 },
        db:first "select * from items where id = 5002")
      assert.are.equal("none", db:value "select note from items where id = -1")
    end)

    it("stores all or nothing", function()
      local db = items()
      local rows = numbers(3000)
      local err = failure(db.copy_in, db, "items", function()
        local row = rows()
        if row and row.id == 2500 then row.id = 1 end
        return row
      end)
      assert.are.equal("unique", err.kind)
      assert.are.equal(0, count(db))
      rows = numbers(3000)
      assert.are.equal("dry", failure(db.copy_in, db, "items", function()
        local row = rows()
        return row.id < 2500 and row or error("dry", 0)
      end))
      assert.are.equal(0, count(db))
      err = failure(db.copy_in, db, "items", { { id = 1, name = "a" }, { id = 2, nam = "b" } })
      assert.are.same({ "usage", 2 }, { err.kind, err.record or 2 })
      assert.is_truthy(err.message:find("^record 2: "))
      assert.are.equal("check", failure(db.copy_in, db, "items", { { id = -13, name = "a" } }).kind)
      assert.are.equal(0, count(db))
    end)

    it("is part of the transaction around it, which stays usable", function()
      local db = items()
      db:transaction(function(tx)
        tx:copy_in("items", numbers(10))
        assert.are.equal("unique", failure(tx.copy_in, tx, "items", numbers(5)).kind)
        assert.are.equal(10, count(tx))
      end)
      failure(db.transaction, db, function(tx)
        tx:execute "delete from items"
        tx:copy_in("items", numbers(5))
        error "no"
      end)
      assert.are.equal(10, count(db))
    end)
  end)

  describe("copy_out", function()
    it("gives the rows of a table or a query", function()
      local db = items()
      db:copy_in("items", numbers(1500))
      local sum, n = 0, 0
      for row in db:copy_out "items" do
        sum, n = sum + row.id + row.score, n + 1
      end
      assert.are.equal(1500, n)
      assert.are.equal(1500 * 1501 / 2 * 1.5, sum)
      local got = {}
      for row in db:copy_out("select id, name from items where id <= 2 order by id",
        { rows = "array" }) do
        got[#got + 1] = row
      end
      assert.are.same({ { 1, "number 1" }, { 2, "number 2" } }, got)
      for row in db:table("items"):copy_out { columns = { "name" } } do
        assert.is_nil(row.id)
        assert.is_string(row.name)
      end
      db:transaction(function(tx)
        n = 0
        for _ in tx:copy_out "items" do n = n + 1 end
        assert.are.equal(1500, n)
      end)
    end)

    it("gives bytes where there is COPY", function()
      local db = items()
      db:copy_in("items", numbers(2))
      local ok, err = pcall(function()
        local list = {}
        for s in db:copy_out("items", { raw = true, format = "csv" }) do list[#list + 1] = s end
        assert.are.equal("1,number 1,0.5,none\n2,number 2,1,none\n", table.concat(list))
      end)
      if name ~= "postgres" then assert.are.same({ false, "unsupported" }, { ok, err.kind }) end
      if name == "postgres" then assert.is_true(ok, tostring(err)) end
      ok, err = pcall(db.copy_in, db, "COPY items (id, name) FROM STDIN", { "7\tx\n" })
      if name ~= "postgres" then assert.are.same({ false, "unsupported" }, { ok, err.kind }) end
      if name == "postgres" then assert.are.equal(3, count(db)) end
    end)
  end)
end)
