-- The dialect of MySQL, by the scheme mysql: no statement that writes gives rows, so that
-- they are read by their keys in a transaction. It is run on MariaDB, which takes the same
-- statements, and has not been run on a MySQL server. (All of spec/tables passes, too, when
-- PERIGEE_TEST_MYSQL begins with mysql: and not with mariadb:.)
local helper = require "spec.support.helper"
local expect = require "spec.support.expect"
local perigee = require "perigee"

local fails = expect.fails
local unpack = table.unpack or unpack
local sql = perigee.sql

local function column(rows, name)
  local list = {}
  for i, row in ipairs(rows) do list[i] = row[name] end
  return list
end

helper.for_each_db(function(_, open)
  local function start(options)
    return helper.open((open.url():gsub("^%w+", "mysql")), options)
  end

  local function make(options)
    local db = start(options)
    db:script [[create table t (id bigint not null primary key auto_increment,
      k varchar(20) unique, v integer default 7);
      create table pair (a integer, b varchar(9), v integer, primary key (a, b));
      create table made (id varchar(36) default (uuid()) primary key, k integer unique)]]
    return db, db:table "t"
  end

  describe("insert", function()
    it("gives the row by the key that was counted, given, or another one", function()
      local db, t = make()
      assert.is_false(db:driver().features.returning)
      assert.same({ id = 1, k = "a", v = 7 }, t:insert { k = "a" })
      assert.same({ id = 9, v = 8 }, t:insert { id = 9, v = 8 })
      assert.same({ id = 10, v = 7 }, t:insert())
      assert.same({ v = 7 }, t:insert({ id = perigee.default }, { returning = { "v" } }))
      assert.same({ a = 1, b = "x", v = 2 }, db:insert("pair", { a = 1, b = "x", v = sql "1 + 1" }))
      assert.equal(36, #db:insert("made", { k = 5 }).id)
      assert.equal(1, t:insert({ k = "n" }, { returning = false }))
      assert.equal("array", t:insert({ k = "array" }, { rows = "array" })[2])
    end)

    it("is unsupported where the row has no key that is known", function()
      local db, t = make()
      local err = fails("unsupported", db.insert, db, "made", {})
      assert.matches("returning = false", err.message)
      fails("unsupported", t.insert, t, { id = sql "40 + 2" })
      fails("unsupported", db.insert_many, db, "made", { {}, {} })
      assert.equal(0, db:count "made")
      assert.equal(0, t:count())
      assert.equal(1, db:insert("made", {}, { returning = false }))
    end)

    it("writes nothing when a trigger makes another key", function()
      local db, t = make()
      db:execute [[create trigger elsewhere before insert on t for each row
        set new.id = new.id + 100, new.k = concat('not ', new.k)]]
      fails("unsupported", t.insert, t, { id = 1, k = "a" })
      fails("unsupported", t.insert_many, t, { { id = 1, k = "a" }, { id = 2, k = "b" } })
      assert.equal(0, t:count())
    end)

    it("says which unknown column is meant before anything is sent", function()
      local _, t = make()
      fails("usage", t.insert, t, { nope = 1 })
      fails("usage", t.insert, t, { k = "a" }, { returning = { "nope" } })
      fails("usage", t.delete, t, { k = "a" }, { returning = { "nope" } })
      assert.equal(0, t:count())
    end)
  end)

  describe("insert_many", function()
    it("gives the rows in the order of the list, with the keys that were counted", function()
      local _, t = make {
        on_connect = function(conn)
          conn:execute "set session auto_increment_increment = 3"
        end,
      }
      local list = {}
      for i = 1, 450 do
        list[i] = i % 7 == 0 and { id = 10000 - i, v = i } or { k = "k" .. i, v = i }
      end
      local rows = t:insert_many(list)
      assert.equal(450, #rows)
      for i, row in ipairs(rows) do
        assert.equal(i, row.v)
        assert.equal(list[i].k, row.k)
        assert.same(row, t:at(row.id))
      end
      assert.equal(3, rows[2].id - rows[1].id)
      assert.same({ "k1" }, column(t:select { id = rows[1].id }, "k"))
    end)

    it("does so while others insert", function()
      local db, t = make { max_size = 4 }
      local tasks = {}
      for n = 1, 4 do
        tasks[n] = function()
          local list = {}
          for i = 1, 250 do list[i] = { k = n .. "/" .. i } end
          for i, row in ipairs(db:insert_many(t, list)) do
            assert.equal(list[i].k, row.k)
          end
        end
      end
      perigee.run(function() perigee.gather(unpack(tasks)) end)
      assert.equal(1000, t:count())
    end)

    it("takes keys of several columns, fragments and defaults", function()
      local db = make()
      local rows = db:insert_many("pair", {
        { a = 2, b = "B" }, { a = 1, b = "b", v = 3 }, { a = 1, b = "a", v = sql "2 + 2" },
        { a = 0, b = "", v = perigee.default },
      })
      assert.same({ 2, 1, 1, 0 }, column(rows, "a"))
      assert.same({ "B", "b", "a", "" }, column(rows, "b"))
      assert.equal(4, rows[3].v)
      assert.equal(2, db:insert_many("pair", { { a = 5, b = "" }, { a = 6, b = "" } },
        { returning = false }))
    end)
  end)

  describe("upsert", function()
    it("tells what it did, and touches no row of another key", function()
      local db, t = make()
      t:insert_many { { id = 1, k = "a" }, { id = 2, k = "b" } }
      local row, created = t:upsert({ k = "a", v = 1 }, { on = "k" })
      assert.same({ { id = 1, k = "a", v = 1 }, false }, { row, created })
      row, created = t:upsert({ k = "c", v = 2 }, { on = "k" })
      assert.same({ "c", true }, { row.k, created })
      local err = fails("unique", t.upsert, t, { id = 7, k = "b", v = 9 })
      assert.equal("k", err.constraint)
      assert.same({ id = 2, k = "b", v = 7 }, t:at(2))
      assert.is_nil(t:get(7))
      fails("unique", function() t:scope { v = 3 }:upsert({ k = "a" }, { on = "k" }) end)
      row, created = t:upsert({ k = "a" }, { on = "k", set = { v = sql "v + 10", k = "A" } })
      assert.same({ "A", 11, false }, { row.k, row.v, created })
      row, created = t:upsert({ k = "A" }, { on = "k", set = { k = "a" } })
      assert.same({ "a", false }, { row.k, created })
      row = db:upsert("pair", { a = 1, b = "x", v = 1 }, { returning = { "v" } })
      assert.same({ v = 1 }, row)
    end)

    it("goes by the named key where the record runs into another one, too", function()
      for _, start_with in ipairs { start, open } do
        local db = start_with { max_size = 1 }
        db:script [[create or replace table t (id integer primary key, k varchar(20) unique,
          v integer); insert into t values (1, 'a', 1), (2, 'b', 2)]]
        local t, record = db:table "t", { id = 2, k = "a", v = 5 }
        local row, created = t:upsert(record, { on = "k", set = { "v" } })
        assert.same({ { id = 1, k = "a", v = 5 }, false }, { row, created })
        assert.equal(5, t:upsert(record, { on = "k", set = {} }).v)
        fails("unique", t.upsert, t, record, { on = "k" })
        assert.same({ 5, 2 }, column(t:select({}, { order_by = "id" }), "v"))
      end
    end)

    it("of many is that of each", function()
      local _, t = make()
      t:insert { id = 1, k = "a" }
      local rows, created = t:upsert_many({ { k = "z", v = 1 }, { k = "a", v = 2 } }, { on = "k" })
      assert.same({ { true, false }, { "z", "a" }, { 1, 2 } },
        { created, column(rows, "k"), column(rows, "v") })
      fails("unique", t.upsert_many, t, { { id = 50, k = "y" }, { id = 51, k = "a" } })
      assert.is_nil(t:get(50))
    end)

    it("of many tasks makes one row", function()
      local db, t = make { max_size = 8 }
      local tasks, made = {}, 0
      for i = 1, 24 do
        tasks[i] = function()
          local _, created = db:upsert(t, { k = "sum" }, { on = "k", set = { v = sql "v + 1" } })
          if created then made = made + 1 end
        end
      end
      perigee.run(function() perigee.gather(unpack(tasks)) end)
      assert.same({ 1, 7 + 23 }, { made, t:find { k = "sum" }.v })
    end)

    it("is what get_or_create and on_conflict are made of", function()
      local _, t = make()
      local row, created = t:get_or_create({ k = "a" }, { v = 1 })
      assert.same({ 1, true }, { row.v, created })
      row, created = t:get_or_create({ k = "a" }, { v = 2 })
      assert.same({ 1, false }, { row.v, created })
      assert.is_nil(t:insert({ k = "a" }, { on_conflict = "nothing" }))
      assert.equal(0, t:insert({ k = "a" }, { on_conflict = "nothing", returning = false }))
    end)
  end)

  describe("update and delete", function()
    it("give the rows, as they are and as they were", function()
      local db, t = make()
      t:insert_many { { k = "a" }, { k = "b" }, { k = "c" } }
      assert.same({ 8, 8 }, column(t:update({ ["id:le"] = 2 }, { v = sql "v + 1" },
        { returning = true }), "v"))
      assert.same({}, t:update({ id = 99 }, { v = 1 }, { returning = true }))
      assert.same({ { v = 8 }, { v = 8 } }, t:delete({ v = 8 }, { returning = { "v" } }))
      assert.same({ "c" }, t:delete({}, { all = true, returning = true, rows = "columns" }).k)
      local other = start { -- as on MySQL, where what is set is seen by what is set after it
        on_connect = function(conn)
          conn:execute "set session sql_mode = replace(@@sql_mode, 'SIMULTANEOUS_ASSIGNMENT', '')"
        end,
      }
      db:insert("pair", { a = 1, b = "x", v = 5 })
      other:update("pair", { v = 5 }, { a = 2, v = sql "a + 10" })
      assert.same({ a = 2, b = "x", v = 11 }, db:one "select * from pair")
      db:update("pair", { v = 11 }, { a = 1 })
      assert.same({ { 1, "x" } }, db:delete("pair", { a = 1 },
        { returning = { "a", "b" }, rows = "array" }))
      assert.same({ 0, 0 }, { t:count(), db:count "pair" })
    end)
  end)

  -- A row that a write leaves as it is keeps its old self for a transaction of this kind.
  it("rows are told as they are where a transaction repeats its reads", function()
    for _, scheme in ipairs { "mysql", "mariadb" } do
      local db = helper.open((open.url():gsub("^%w+", scheme)), { max_size = 2 })
      local other = helper.open(open.url(), { max_size = 1 })
      db:script [[create or replace table t (id integer primary key auto_increment,
        k integer unique, v integer); insert into t values (1, 1, 1), (2, 2, 2)]]
      db:transaction(function(tx)
        local t = tx:table "t"
        tx:query "select * from t"
        other:script [[update t set v = 50 where id = 1; update t set v = 9 where id = 2;
          insert into t values (3, 3, 3)]]
        assert.same({ id = 3, k = 3, v = 3 }, (t:upsert({ k = 3, v = 3 }, { on = "k" })))
        assert.equal(3, t:upsert({ k = 3, v = 4 }, { on = "k", set = {} }).v)
        assert.equal(3, t:update_or_create({ k = 3 }, { defaults = { v = 3 } }).v)
        assert.same({ 9 }, column(t:update({ id = 2 }, { v = 9 }, { returning = true }), "v"))
        assert.same({ 50 }, column(t:delete({ id = 1 }, { returning = true }), "v"))
      end, { isolation = "repeatable_read" })
    end
  end)

  describe("pages", function()
    it("have the order of the column's collation, and NULL as the largest", function()
      for _, scheme in ipairs { "mysql", "mariadb" } do
        local db = helper.open((open.url():gsub("^%w+", scheme)))
        db:script [[drop table if exists words; create table words (
          id integer primary key auto_increment,
          w varchar(20) character set utf8mb4 collate utf8mb4_unicode_ci, key (w))]]
        local words, list = db:table "words", {}
        for i, w in ipairs { "b", "A", "a", "É", "e", "B", "Z", "z", "ß", "ss" } do
          list[i] = { w = w }
        end
        list[#list + 1], list[#list + 2] = {}, {}
        words:insert_many(list)
        for order, first in pairs { w = "a", ["-w"] = "" } do
          local id = order == "w" and "id" or "-id"
          local whole = words:select({}, { order_by = { order, id } })
          assert.equal(first, (whole[1].w or ""):lower())
          assert.equal("", order == "w" and (whole[12].w or "") or (whole[1].w or ""))
          local page = words:page({}, { order_by = order, limit = 5 })
          local seen, back = {}, nil
          while true do
            for _, row in ipairs(page.rows) do seen[#seen + 1] = row end
            if not page.next then break end
            back = page
            page = words:page({}, { order_by = order, limit = 5, cursor = page.next })
          end
          assert.same(whole, seen)
          page = words:page({}, { order_by = order, limit = 5, cursor = page.prev })
          assert.same(back.rows, page.rows)
        end
        assert.equal(4, words:count { w = { "É", "b" } }) -- with e and B
        assert.equal(1, words:count { ["w:like"] = "É" })
      end
    end)
  end)

  it("locks rows to share them, which each server has its words for", function()
    local db, t = make()
    t:insert { k = "a" }
    db:transaction(function(tx)
      assert.equal("a", tx:find_first(t, { id = 1 }, { lock = "share" }).k)
      assert.equal("a", tx:find_first(t, { id = 1 }, { lock = "share skip_locked" }).k)
    end)
  end)

  it("says what it costs: statements of each verb, outside of a transaction and in one", function()
    local n, last = 0, 0
    local db, t = make { max_size = 1, on_query = function() n = n + 1 end }
    local function count(fn, x)
      fn(x)
      n = 0
      fn(x)
      return n
    end
    local verbs = {
      function(x) x:insert(t, {}) end,
      function(x) x:insert(t, {}, { returning = false }) end,
      function(x) x:insert_many(t, { {}, {} }) end,
      function(x) x:insert_many(t, { { v = 1 }, { v = 2 } }) end,
      function(x) x:upsert(t, { k = "a", v = 1 }, { on = "k" }) end,
      function(x) x:update(t, { k = "a" }, { v = 2 }, { returning = true }) end,
      function(x) x:update(t, { k = "a" }, { v = 3 }) end,
      function(x)
        last = last + 1
        assert.equal(1, #x:delete(t, { id = last }, { returning = true }))
      end,
    }
    local outside, inside = {}, {}
    for i, fn in ipairs(verbs) do outside[i] = count(fn, db) end
    db:transaction(function(tx)
      for i, fn in ipairs(verbs) do inside[i] = count(fn, tx) end
    end)
    assert.same({ { 4, 1, 6, 5, 4, 5, 1, 5 }, { 2, 1, 6, 5, 2, 3, 1, 3 } }, { outside, inside })
  end)
end, { "mysql" })
