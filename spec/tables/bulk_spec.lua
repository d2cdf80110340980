-- insert_many, upsert_many, update_many and delete_many on every database.

local helper = require "spec.support.helper"
local perigee = require "perigee"

-- The error that f(...) raises.
local function failure(f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok)
  return err
end

local null = perigee.null

-- Records of the large lists: a tenth where each takes very long.
local env = os.getenv
local is_slow = env "PERIGEE_GC" == "stress" or (env "PERIGEE_TEST_PROXY" or "") ~= ""
local N = is_slow and 10000 or 100000

local function fields(list, name)
  local out = {}
  for i, row in ipairs(list) do out[i] = row[name] end
  return out
end

helper.for_each_db(function(name, open)
  local is_postgres = name == "postgres"

  local function script(db, postgres, sqlite)
    db:script(is_postgres and postgres or sqlite)
  end

  local function articles(db)
    script(db, [[
      create table articles (id serial primary key, title text not null,
        status text default 'draft', weight float8, age int2 check (age < 1000))]], [[
      create table articles (id integer primary key, title text not null,
        status text default 'draft', weight double precision,
        age smallint check (age < 1000))]])
    return db:table "articles"
  end

  local function stock(db)
    db:script [[create table stock (shop integer not null, sku varchar(20) not null,
      n integer not null default 0, note text, primary key (shop, sku))]]
    return db:table "stock"
  end

  local function numbers(db)
    script(db,
      "create table numbers (id int8 primary key, a int8, b text, c float8, d boolean)",
      [[create table numbers (id integer primary key, a bigint, b text,
        c double precision, d boolean)]])
    return db:table "numbers"
  end

  describe("insert_many", function()
    it("gives absent columns their defaults, for each record (P-12)", function()
      local t = articles(open())
      local rows = t:insert_many {
        { title = "a", status = "done" },
        { title = "b" },
        { title = "c", status = null },
        { title = "d", status = perigee.default, weight = 1.5 },
        { title = "e", status = "new" },
      }
      assert.same({ "a", "b", "c", "d", "e" }, fields(rows, "title"))
      assert.equal("done", rows[1].status)
      assert.equal("draft", rows[2].status)
      assert.is_nil(rows[3].status)
      assert.equal("draft", rows[4].status)
      assert.equal(1.5, rows[4].weight)
      assert.equal("new", rows[5].status)
      for i = 1, 5 do
        assert.same(t:get(rows[i].id), rows[i])
      end
    end)

    it("keeps the order with many groups", function()
      local t = articles(open())
      local list, random = {}, helper.random "groups"
      for i = 1, 400 do
        local r = { title = "t" .. i }
        if random(2) == 1 then r.status = "s" .. i end
        if random(2) == 1 then r.weight = i / 2 end
        if random(2) == 1 then r.age = i end
        list[i] = r
      end
      local rows = t:insert_many(list)
      assert.equal(400, #rows)
      for i = 1, 400 do
        assert.equal("t" .. i, rows[i].title)
        assert.equal(list[i].status or "draft", rows[i].status)
        assert.equal(list[i].weight, rows[i].weight)
        assert.equal(list[i].age, rows[i].age)
      end
      assert.same({ "id", "title", "status", "weight", "age" }, rows.columns)
    end)

    it("returns the count, or the columns asked for", function()
      local t = articles(open())
      assert.equal(2, t:insert_many({ { title = "a" }, { title = "b" } },
        { returning = false }))
      assert.equal(2, t:insert_many({ { title = "c" }, { title = "d", age = 1 } },
        { returning = false }))
      local rows = t:insert_many({ { title = "e" }, { title = "f", age = 3 } },
        { returning = { "title", "age" } })
      assert.same({ { title = "e" }, { title = "f", age = 3 } },
        { { title = rows[1].title, age = rows[1].age }, rows[2] })
      assert.is_nil(rows[1].id)
      assert.equal(6, t:count())
    end)

    it("takes an empty list", function()
      local t = articles(open())
      assert.same({}, t:insert_many {})
      assert.equal(0, t:insert_many({}, { returning = false }))
      local rows, created = t:upsert_many {}
      assert.same({ {}, {} }, { rows, created })
      local n, missing = t:update_many {}
      assert.same({ 0, {} }, { n, missing })
      assert.equal(0, t:delete_many {})
    end)

    it("inserts records of defaults only", function()
      local db = open()
      script(db, "create table d (id serial primary key, n integer default 7)",
        "create table d (id integer primary key, n integer default 7)")
      local rows = db:insert_many("d", { {}, { n = 1 }, {}, { n = perigee.default } })
      assert.same({ 7, 1, 7, 7 }, fields(rows, "n"))
      assert.equal(3, db:insert_many("d", { {}, {}, {} }, { returning = false }))
      assert.equal(7, db:count "d")
    end)

    it("writes all or nothing", function()
      local db = open()
      local t = articles(db)
      local list = {}
      for i = 1, 500 do list[i] = { title = "t" .. i, age = i == 500 and 1000 or 1 } end
      assert.equal("check", failure(t.insert_many, t, list).kind)
      assert.equal(0, t:count())
      for i = 2, 500, 2 do list[i].status = "s" end
      assert.equal("check", failure(t.insert_many, t, list).kind)
      assert.equal(0, t:count())
      assert.equal("check", failure(t.insert_many, t, list, { returning = false }).kind)
      assert.equal(0, t:count())
    end)

    it("leaves a transaction usable when it fails", function()
      local db = open()
      local t = articles(db)
      db:transaction(function(tx)
        t:on(tx):insert { title = "before" }
        for _, list in ipairs {
          { { title = "a" }, { title = "b", age = 1000 } },
          { { title = "a", age = 1 }, { title = "b", age = 1000 } },
        } do
          assert.equal("check", failure(tx.insert_many, tx, "articles", list).kind)
        end
        tx:insert_many("articles", { { title = "after" }, { title = "last", age = 1 } })
      end)
      assert.same({ "before", "after", "last" }, fields(t:select(), "title"))
    end)

    it("says which record is wrong", function()
      local t = articles(open())
      local function wrong(record, text)
        local err = failure(t.insert_many, t, { { title = "a" }, { title = "b" }, record })
        assert.equal("usage", err.kind)
        assert.matches("^record 3: ", err.message)
        assert.matches(text, err.message, 1, true)
        return err
      end
      assert.is_true(wrong({ titel = "x" }, "titel").unknown)
      wrong({ title = 7 }, "title")
      wrong({ title = "x", age = 3.5 }, "age: 3.5 is not an integer")
      wrong({ title = "x", age = 40000 }, "out of range")
      wrong({ "x" }, "number")
      wrong("x", "string")
      wrong({ title = "x", weight = {} }, "weight")
      assert.equal("usage", failure(t.insert_many, t, "x").kind)
      assert.equal("usage", failure(t.insert_many, t, { title = "x" }).kind)
      assert.equal("usage", failure(t.insert_many, t).kind)
      assert.equal("usage", failure(t.insert_many, t, {}, { bogus = 1 }).kind)
      assert.equal("usage", failure(t.insert_many, t, {}, { returning = 7 }).kind)
      assert.equal("usage", failure(t.insert_many, t, {}, { returning = { "nope" } }).kind)
      assert.equal("usage", failure(t.insert_many, t, {}, { returning = {} }).kind)
      assert.equal(0, t:count())
    end)

    it("takes fragments of SQL, each in a statement of its own", function()
      local t = articles(open())
      local rows = t:insert_many {
        { title = "a" },
        { title = perigee.sql("upper(?)", "b"), age = 3 },
        { title = "c" },
        { title = perigee.sql(helper.sql(name, "'d' || 'd'")) },
      }
      assert.same({ "a", "B", "c", "dd" }, fields(rows, "title"))
    end)

    it("does not mind what happens to the list meanwhile", function()
      local db = open()
      local t = articles(db)
      t:count() -- the table is known
      local list = {}
      for i = 1, 200 do
        list[i] = { title = ("title %d"):format(i), status = i % 2 == 0 and "x" or nil }
      end
      perigee.run(function()
        local task = perigee.spawn(function()
          return t:insert_many(list)
        end)
        perigee.spawn(function()
          for i = 1, 200 do
            list[i].title, list[i].status = "changed", nil
            list[i] = nil
          end
          collectgarbage()
          collectgarbage()
        end)
        local rows = task:join()
        assert.equal(200, #rows)
        for i = 1, 200 do assert.equal("title " .. i, rows[i].title) end
      end)
    end)

    it("gives rows their class", function()
      local db = open()
      articles(db)
      local C = {}
      C.__index = C
      function C:shout() return self.title:upper() end
      local t = db:table("articles", { class = C })
      local rows = t:insert_many { { title = "a" }, { title = "b", age = 1 } }
      assert.same({ "A", "B" }, { rows[1]:shout(), rows[2]:shout() })
    end)

    it("takes rows as they were read", function()
      local db = open()
      local t = articles(db)
      t:insert_many { { title = "a", weight = 1.5 }, { title = "b", age = 5 } }
      local rows = t:select({}, { order_by = "id" })
      t:delete({}, { all = true })
      assert.same(rows, t:insert_many(rows))
    end)

    it("writes every type", function()
      local db = open()
      script(db, [[create table types (id serial primary key, i int4, big int8, f float8,
        num numeric(20, 5), b boolean, t text, v varchar(10), raw bytea, day date,
        clock time, ts timestamp, tz timestamptz, u uuid, j jsonb, j2 json)]],
        [[create table types (id integer primary key, i integer, big bigint,
        f double precision, num numeric, b boolean, t text, v varchar(10), raw blob,
        day date, clock time, ts timestamp, tz timestamptz, u uuid, j json, j2 json)]])
      local list = {}
      for i = 1, 50 do
        list[i] = {
          i = i, big = 3000000000 + i, f = i + 0.25, num = "12.50000", b = i % 2 == 0,
          t = "tä" .. i, v = "v" .. i, raw = perigee.bytes("\0\1\255" .. i),
          day = "2026-11-20", clock = "08:30:00", ts = "2026-11-20T08:30:00.123456",
          tz = "2026-11-20T08:30:00.000000Z", u = "0190a5f0-5b5e-7cc3-98c4-dc0c0c07398f",
          j = { a = { i, "x", null }, b = {} }, j2 = "text",
        }
      end
      list[51] = {}
      for k in pairs(list[1]) do list[51][k] = null end
      local rows = db:insert_many("types", list)
      assert.equal(51, #rows)
      for i = 1, 51 do
        local one = db:get("types", rows[i].id)
        assert.same(one, rows[i])
      end
      local r = rows[7]
      assert.same({ 7, 3000000007, 7.25, false, "tä7", "v7", "\0\1\2557", "2026-11-20" },
        { r.i, r.big, r.f, r.b, r.t, r.v, r.raw, r.day })
      assert.equal("2026-11-20T08:30:00.123456", r.ts)
      assert.matches("^2026%-11%-20T08:30:00.*Z$", r.tz)
      assert.equal(list[7].u, r.u)
      assert.same({ 7, "x", null }, { r.j.a[1], r.j.a[2], r.j.a[3] })
      assert.equal("text", r.j2)
      assert.matches("^12%.5", r.num)
      assert.is_nil(next(rows[51], next(rows[51]))) -- only the id
    end)

    it("inserts 100,000 records of 5 columns", function()
      helper.watchdog(300)
      local t = numbers(open())
      local list = {}
      for i = 1, N do
        list[i] = { id = i, a = i * 3, b = "text " .. i, c = i / 4, d = i % 2 == 0 }
      end
      assert.equal(N, t:insert_many(list, { returning = false }))
      assert.equal(N, t:count())
      assert.same(list[7777], t:get(7777))
      t:delete({}, { all = true })
      list[N].id = 1
      assert.equal("unique", failure(t.insert_many, t, list).kind)
      assert.equal(0, t:count())
      list[N].id = N
      local rows = t:insert_many(list)
      assert.equal(N, #rows)
      for i = 1, N, 997 do assert.same(list[i], rows[i]) end
    end)
  end)

  describe("insert_many with a scope", function()
    it("adds it, and refuses another", function()
      local db = open()
      local t = stock(db)
      local mine = t:scope { shop = 7 }
      local rows = mine:insert_many { { sku = "a" }, { sku = "b", shop = 7 } }
      assert.same({ 7, 7 }, fields(rows, "shop"))
      local err = failure(mine.insert_many, mine, { { sku = "c" }, { sku = "d", shop = 8 } })
      assert.equal("usage", err.kind)
      assert.matches("^record 2: ", err.message)
      assert.equal(2, t:count())
    end)
  end)

  describe("upsert_many", function()
    it("inserts and updates, and tells which", function()
      local t = stock(open())
      t:insert_many { { shop = 1, sku = "a", n = 1, note = "old" },
        { shop = 1, sku = "b", n = 2, note = "old" } }
      local rows, created = t:upsert_many {
        { shop = 1, sku = "b", n = 20 },
        { shop = 1, sku = "c" },
        { shop = 1, sku = "a", note = "new" },
        { shop = 2, sku = "a", n = 9 },
      }
      assert.same({ "b", "c", "a", "a" }, fields(rows, "sku"))
      assert.same({ 20, 0, 1, 9 }, fields(rows, "n"))
      assert.same({ false, true, false, true }, created)
      assert.equal("old", rows[1].note)
      assert.equal("new", rows[3].note)
      assert.is_nil(rows[1]["perigee:created"])
      assert.same({ "shop", "sku", "n", "note" }, rows.columns)
      local one, again = t:upsert_many { { shop = 1, sku = "a", n = 5 } }
      assert.same({ { shop = 1, sku = "a", n = 5, note = "new" } }, { one[1] })
      assert.same({ false }, again)
      assert.equal(2, t:upsert_many({ { shop = 1, sku = "a" }, { shop = 5, sku = "e", n = 1 } },
        { returning = false }))
      assert.equal(5, t:count())
    end)

    it("sets only the columns of `set`", function()
      local t = stock(open())
      t:insert { shop = 1, sku = "a", n = 1, note = "old" }
      local rows = t:upsert_many({ { shop = 1, sku = "a", n = 2, note = "new" } },
        { set = { "n" } })
      assert.same({ 2, "old" }, { rows[1].n, rows[1].note })
      local created
      rows, created = t:upsert_many({ { shop = 1, sku = "a", n = 3, note = "x" },
        { shop = 1, sku = "b", n = 3 } }, { set = {} })
      assert.same({ 2, 3 }, fields(rows, "n"))
      assert.same({ false, true }, created)
    end)

    it("works on a table that is only a key", function()
      local db = open()
      db:script "create table tags (name varchar(20) primary key)"
      local rows, created = db:upsert_many("tags", { { name = "a" }, { name = "b" } })
      assert.same({ { "a", "b" }, { true, true } }, { fields(rows, "name"), created })
      rows, created = db:upsert_many("tags", { { name = "c" }, { name = "a" } })
      assert.same({ { "c", "a" }, { true, false } }, { fields(rows, "name"), created })
      assert.equal(3, db:count "tags")
    end)

    it("inserts records whose key the database makes", function()
      local t = articles(open())
      local old = t:insert { title = "old" }
      local rows, created = t:upsert_many {
        { title = "a" }, { id = old.id, title = "new" }, { title = "b", age = 1 },
      }
      assert.same({ "a", "new", "b" }, fields(rows, "title"))
      assert.same({ true, false, true }, created)
      assert.equal(old.id, rows[2].id)
      assert.equal(3, t:count())
    end)

    it("takes another unique key", function()
      local db = open()
      script(db, "create table users (id serial primary key, email text unique, n integer)",
        "create table users (id integer primary key, email text unique, n integer)")
      db:insert("users", { email = "a", n = 1 })
      local rows, created = db:upsert_many("users",
        { { email = "b", n = 2 }, { email = "a", n = 3 } }, { on = { "email" } })
      assert.same({ 2, 3 }, fields(rows, "n"))
      assert.same({ true, false }, created)
      local err = failure(db.upsert_many, db, "users", { { n = 1 } }, { on = { "n" } })
      assert.equal("usage", err.kind)
      assert.matches("email", err.message)
    end)

    it("sets DEFAULT where that is said", function()
      local t = stock(open())
      t:insert { shop = 1, sku = "a", n = 5, note = "x" }
      local rows, created = t:upsert_many { { shop = 1, sku = "a", n = perigee.default },
        { shop = 1, sku = "b", n = perigee.default, note = "y" } }
      assert.same({ { 0, 0 }, { false, true } }, { fields(rows, "n"), created })
      assert.equal("x", rows[1].note)
      t:insert { shop = 3, sku = "a", n = 5 }
      if is_postgres or name == "mysql" then
        assert.equal(1, (t:update_many { { shop = 3, sku = "a", n = perigee.default } }))
        assert.equal(0, t:get({ 3, "a" }).n)
      else
        assert.equal("unsupported", failure(t.update_many, t,
          { { shop = 3, sku = "a", n = perigee.default } }).kind)
      end
    end)

    it("refuses a key that is there twice", function()
      local t = stock(open())
      local err = failure(t.upsert_many, t, {
        { shop = 1, sku = "a" }, { shop = 1, sku = "b", n = 2 }, { shop = 1, sku = "a", n = 3 },
      })
      assert.equal("usage", err.kind)
      assert.equal("record 3: the key (shop, sku) = (1, a) is that of record 1 too",
        err.message)
      assert.equal("usage", failure(t.upsert_many, t, { { shop = 1 } }).kind)
      assert.equal(0, t:count())
    end)

    it("leaves rows of other scopes alone", function()
      local db = open()
      script(db, "create table notes (id serial primary key, uid integer, text text)",
        "create table notes (id integer primary key, uid integer, text text)")
      local t = db:table "notes"
      t:insert_many { { id = 1, uid = 1, text = "mine" }, { id = 2, uid = 2, text = "theirs" } }
      local mine = t:scope { uid = 1 }
      for _, opts in ipairs { {}, { returning = false } } do
        local err = failure(mine.upsert_many, mine,
          { { id = 1, text = "x" }, { id = 3, text = "y" }, { id = 2, text = "z" } }, opts)
        assert.equal("unique", err.kind)
        assert.same({ "mine", "theirs" }, fields(t:select({}, { order_by = "id" }), "text"))
      end
      local rows, created = mine:upsert_many { { id = 1, text = "x" }, { id = 3, text = "y" } }
      assert.same({ { "x", "y" }, { false, true } }, { fields(rows, "text"), created })
      assert.same({ 1, 1 }, fields(rows, "uid"))
    end)

    it("undoes everything when a record fails", function()
      local t = articles(open())
      t:insert { id = 1, title = "old" }
      assert.equal("check", failure(t.upsert_many, t,
        { { id = 1, title = "new" }, { id = 2, title = "x", age = 1000 } }).kind)
      assert.equal("old", t:get(1).title)
      assert.equal(1, t:count())
    end)
  end)

  describe("update_many", function()
    it("leaves the columns that a record does not name (P-13)", function()
      local t = articles(open())
      t:insert_many { { id = 1, title = "a", weight = 1 }, { id = 2, title = "b", weight = 2 },
        { id = 3, title = "c", weight = 3 } }
      local n, missing = t:update_many {
        { id = 1, title = "A" },
        { id = 3, weight = 30 },
        { id = 9, weight = 1 },
        { id = 2, title = "B", weight = null },
        { id = 8, title = "x" },
      }
      assert.equal(3, n)
      assert.same({ 9, 8 }, missing)
      local rows = t:select({}, { order_by = "id" })
      assert.same({ "A", "B", "c" }, fields(rows, "title"))
      assert.same({ 1, nil, 30 }, { rows[1].weight, rows[2].weight, rows[3].weight })
    end)

    it("raises for missing rows when asked to, and undoes", function()
      local t = articles(open())
      t:insert { id = 1, title = "a" }
      local err = failure(t.update_many, t, { { id = 1, title = "b" }, { id = 2, title = "c" } },
        { missing = "error" })
      assert.equal("not_found", err.kind)
      assert.matches("(id) = (2)", err.message, 1, true)
      assert.equal("a", t:get(1).title)
      assert.equal("usage", failure(t.update_many, t, {}, { missing = "no" }).kind)
    end)

    it("works with composite keys", function()
      local t = stock(open())
      t:insert_many { { shop = 1, sku = "a", n = 1 }, { shop = 2, sku = "a", n = 2 } }
      local n, missing = t:update_many { { shop = 2, sku = "a", n = 20 },
        { shop = 2, sku = "b", n = 3 } }
      assert.equal(1, n)
      assert.same({ { shop = 2, sku = "b" } }, missing)
      assert.equal(1, t:get({ 1, "a" }).n)
      assert.equal(20, t:get({ 2, "a" }).n)
    end)

    it("takes fragments", function()
      local t = stock(open())
      t:insert_many { { shop = 1, sku = "a", n = 1 }, { shop = 1, sku = "b", n = 2 } }
      local n, missing = t:update_many {
        { shop = 1, sku = "a", n = perigee.sql("n + ?", 10) },
        { shop = 1, sku = "b", n = 7 },
        { shop = 1, sku = "c", n = perigee.sql "n + 1" },
      }
      assert.same({ 2, { { shop = 1, sku = "c" } } }, { n, missing })
      assert.same({ 11, 7 }, fields(t:select({}, { order_by = { "shop", "sku" } }), "n"))
    end)

    it("says which record is wrong", function()
      local t = stock(open())
      local function wrong(record, text)
        local err = failure(t.update_many, t, { { shop = 1, sku = "a", n = 1 }, record })
        assert.equal("usage", err.kind)
        assert.matches("^record 2: ", err.message)
        assert.matches(text, err.message, 1, true)
      end
      wrong({ shop = 1, n = 2 }, "sku")
      wrong({ shop = 1, sku = "b" }, "nothing to set")
      wrong({ shop = 1, sku = "a", n = 2 }, "record 1 too")
      wrong({ shop = 1, sku = null, n = 2 }, "NULL")
      wrong({ shop = 1, sku = perigee.sql "'x'", n = 2 }, "fragment")
      wrong({ shop = 1, sku = "b", nn = 2 }, "nn")
    end)

    it("stays in its scope", function()
      local t = stock(open())
      t:insert_many { { shop = 1, sku = "a", n = 1 }, { shop = 2, sku = "a", n = 2 } }
      local mine = t:scope { shop = 1 }
      local n, missing = mine:update_many { { sku = "a", n = 10 }, { sku = "b", n = 1 } }
      assert.equal(1, n)
      assert.equal(1, #missing)
      assert.equal("b", missing[1].sku)
      assert.equal(2, t:get({ 2, "a" }).n)
      assert.equal("usage", failure(mine.update_many, mine,
        { { shop = 2, sku = "a", n = 1 } }).kind)
    end)

    it("updates 50,000 rows", function()
      helper.watchdog(300)
      local t = numbers(open())
      local half = N / 2
      local list = {}
      for i = 1, half do list[i] = { id = i, a = 0 } end
      t:insert_many(list, { returning = false })
      for i = 1, half do list[i] = { id = i, a = i, b = "b" .. i } end
      list[half + 1] = { id = N, a = 1, b = "x" }
      local n, missing = t:update_many(list)
      assert.equal(half, n)
      assert.same({ N }, missing)
      assert.same({ id = 4711, a = 4711, b = "b4711" }, t:get(4711))
      local ids = {}
      for i = 1, half do ids[i] = i % 2 == 0 and i or { id = i } end
      assert.equal(half, t:delete_many(ids))
      assert.equal(0, t:count())
      list[half + 1] = { id = 1, a = 1 }
      assert.equal("usage", failure(t.update_many, t, list).kind)
    end)
  end)

  describe("delete_many", function()
    it("deletes by key", function()
      local t = articles(open())
      local rows = t:insert_many { { title = "a" }, { title = "b" }, { title = "c" },
        { title = "d" } }
      assert.equal(2, t:delete_many { rows[1].id, rows[3], 12345 })
      assert.same({ "b", "d" }, fields(t:select({}, { order_by = "id" }), "title"))
      assert.equal("usage", failure(t.delete_many, t, { 1, "x" }).kind)
      assert.equal("usage", failure(t.delete_many, t, { { title = "b" } }).kind)
    end)

    it("deletes by composite keys, in its scope", function()
      local t = stock(open())
      t:insert_many { { shop = 1, sku = "a" }, { shop = 1, sku = "b" }, { shop = 2, sku = "a" } }
      assert.equal("usage", failure(t.delete_many, t, { 1 }).kind)
      assert.equal("usage", failure(t.delete_many, t, { { 1 } }).kind)
      assert.equal(1, t:delete_many { { 1, "b" }, { 1, "zz" } })
      assert.equal(1, t:scope({ shop = 2 }):delete_many { { sku = "a" } })
      assert.equal(1, t:delete_many { { shop = 1, sku = "a" } })
      assert.equal(0, t:count())
    end)
  end)
end)

helper.for_each_db(function(_, open)
  describe("columns of arrays", function()
    local function lists(db)
      db:script "create table lists (id serial primary key, tags text[], n int4[], k integer)"
      return db:table "lists"
    end

    it("are inserted in statements of many rows", function()
      local t = lists(open())
      local list = {}
      for i = 1, 4000 do
        list[i] = { tags = { "a" .. i, "b" }, n = i % 3 == 0 and {} or { i, null }, k = i }
      end
      list[7] = { k = 7 }
      list[8].tags = null
      local rows = t:insert_many(list)
      assert.equal(4000, #rows)
      for i = 1, 4000 do assert.equal(i, rows[i].k) end
      assert.same({ "a5", "b" }, { rows[5].tags[1], rows[5].tags[2] })
      assert.is_nil(rows[8].tags)
      assert.equal(0, #rows[9].n)
      assert.equal(2, #rows[10].n)
      assert.equal(4000, t:count())
      list[4000].k = "x"
      assert.equal("usage", failure(t.insert_many, t, list).kind)
    end)

    it("are updated and upserted", function()
      local t = lists(open())
      t:insert_many { { tags = { "a" } }, { tags = { "b" } } }
      local n, missing = t:update_many { { id = 1, tags = { "x", "y" } }, { id = 2, k = 2 },
        { id = 3, tags = {} } }
      assert.same({ 2, { 3 } }, { n, missing })
      local rows, created = t:upsert_many { { id = 4, tags = { "z" } }, { id = 1, tags = {} } }
      assert.same({ true, false }, created)
      assert.same({ 1, 0 }, { #rows[1].tags, #rows[2].tags })
    end)
  end)

  it("partitioned tables and views take them", function()
    local db = open()
    db:script [[create table parts (id integer, region text, n integer,
        primary key (id, region)) partition by list (region);
      create table parts_a partition of parts for values in ('a');
      create table parts_b partition of parts for values in ('b');
      create view seen as select id, region, n from parts_a]]
    local t = db:table "parts"
    t:insert_many { { id = 1, region = "a", n = 1 }, { id = 1, region = "b" } }
    local rows, created = t:upsert_many { { id = 2, region = "a" },
      { id = 1, region = "b", n = 7 }, { id = 1, region = "a", n = 8 } }
    assert.same({ { 2, 1, 1 }, { true, false, false } }, { fields(rows, "id"), created })
    assert.same({ 7, 8 }, { rows[2].n, rows[3].n })
    local n, missing = t:update_many { { id = 1, region = "a", n = 1 },
      { id = 1, region = "c", n = 1 } }
    assert.same({ 1, { { id = 1, region = "c" } } }, { n, missing })
    assert.equal(2, #db:insert_many("seen", { { id = 5, region = "a" },
      { id = 6, region = "a", n = 1 } }))
  end)

  it("rows that a trigger keeps back are not given", function()
    local db = open()
    db:script [[create table odd (id integer primary key, n integer default 0);
      create function keep_odd() returns trigger language plpgsql as
        'begin if new.id % 2 = 0 then return null; end if; return new; end';
      create trigger keep before insert on odd for each row execute function keep_odd()]]
    local t = db:table "odd"
    assert.same({ 1, 3 }, fields(t:insert_many { { id = 1 }, { id = 2 }, { id = 3 } }, "id"))
    assert.same({ 5, 7 }, fields(t:insert_many { { id = 5 }, { id = 6 }, { id = 7, n = 1 } }, "id"))
    local rows, created = t:upsert_many { { id = 1, n = 4 }, { id = 8, n = 1 }, { id = 9, n = 1 } }
    assert.same({ { 1, 9 }, { false, true } }, { fields(rows, "id"), created })
    assert.is_nil(rows[1]["perigee:created"])
  end)

  it("other types travel in lists too", function()
    local db = open()
    db:script [[create type mood as enum ('sad', 'happy');
      create type pair as (a integer, b text);
      create domain small as integer check (value < 100);
      create table others (id serial primary key, m mood, p pair, s small, r int4range,
        ip inet, span interval, mr int4multirange, bits bit(3), c char(4), x varchar(3),
        p2 pair[], made integer generated always as (id * 2) stored)]]
    local t = db:table "others"
    local list = {}
    for i = 1, 3 do
      list[i] = { m = "happy", p = perigee.record { i, "b" }, s = i,
        r = perigee.range { lower = i, upper = 10 }, ip = "10.0.0." .. i, span = "1 day",
        bits = "101", c = "ab", x = "xyz" }
    end
    local rows = t:insert_many(list)
    assert.same({ 2, 4, 6 }, fields(rows, "made"))
    for i = 1, 3 do assert.same(t:get(rows[i].id), rows[i]) end
    local n, missing = t:update_many { { id = 1, p = perigee.record { 7, "x" } },
      { id = 2, ip = "10.1.1.1" }, { id = 9, ip = "10.1.1.2" } }
    assert.same({ 2, { 9 } }, { n, missing })
    assert.equal(7, t:get(1).p.a)
    assert.equal("101", rows[1].bits)
    assert.equal("usage", failure(t.insert_many, t, { { made = 1 } }).kind)
    assert.equal("data", failure(t.insert_many, t, { { x = "toolong" } }).kind)
    assert.equal("check", failure(t.insert_many, t, { { s = 1 }, { s = 100 } }).kind)
    assert.equal(3, t:count())
  end)
end, { "postgres" })
