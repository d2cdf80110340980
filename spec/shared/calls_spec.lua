-- Every verb of raw SQL, on a handle, a connection and a transaction.
local perigee = require "perigee"
local helper = require "spec.support.helper"
local check = require "spec.support.check"

local null = perigee.null
local raises = check.raises

-- Runs `f` with each kind of executor.
local function on_each_executor(db, f)
  f(db, "db")
  db:connection(function(conn) f(conn, "conn") end)
  db:transaction(function(tx) f(tx, "tx") end)
  db:connection(function(conn)
    conn:transaction(function(tx)
      tx:transaction(function(inner) f(inner, "savepoint") end)
    end)
  end)
end

local VERBS = {
  "query", "first", "one", "value", "each", "execute", "execute_many",
  "script", "ping", "transaction", "begin", "connection", "in_transaction",
  "ensure_transaction", "ensure_connection", "transactional", "driver",
}

local function fruit(db)
  db:script [[
    create table fruit (id integer primary key, name text, weight integer);
    insert into fruit values (1, 'apple', 150), (2, 'pear', null),
      (3, 'fig', 40)]]
end

helper.for_each_db(function(name, open)
  describe("every verb", function()
    it("is there on db, conn and tx", function()
      on_each_executor(open(), function(x, what)
        for _, verb in ipairs(VERBS) do
          assert.equal("function", type(x[verb]), what .. "." .. verb)
        end
      end)
    end)

    it("gives the same on db, conn, tx and savepoint", function()
      local db = open()
      fruit(db)
      on_each_executor(db, function(x, what)
        local all = x:query "select id, name, weight from fruit order by id"
        assert.same({ "id", "name", "weight" }, all.columns)
        assert.equal(3, #all, what)
        assert.same({ id = 2, name = "pear" }, all[2])
        assert.same({ id = 1, name = "apple", weight = 150 },
          x:first "select * from fruit order by id")
        assert.same({ id = 3, name = "fig", weight = 40 },
          x:one("select * from fruit where id = ?", 3))
        assert.equal("fig", x:value("select name from fruit where id = ?", 3))
        local seen = {}
        for row in x:each "select id from fruit order by id" do
          seen[#seen + 1] = row.id
        end
        assert.same({ 1, 2, 3 }, seen)
        assert.equal(1, x:execute(
          "update fruit set weight = weight + 0 where id = ?", 1).affected)
        assert.equal(2, x:execute_many(
          "update fruit set name = name where id = ?", { { 1 }, { 3 } }).affected)
        assert.equal(2, #x:script "select 1; select 2")
        assert.is_true(x:ping())
      end)
    end)

    it("raises usage when it is called without the colon", function()
      local db = open()
      for _, verb in ipairs { "query", "first", "one", "value", "execute",
                              "script", "execute_many" } do
        local err = raises("usage", db[verb], "select 1")
        assert.matches("colon", err.message)
        raises("usage", db[verb])
        raises("usage", db[verb], {}, "select 1")
      end
      check.usable(db)
    end)

    it("never changes its arguments", function()
      local db = open { max_size = 1 }
      local sealed = { __newindex = function() error "written to" end }
      local params, named = { 1, "a" }, { a = 1 }
      local options = { timeout = 5, rows = "array" }
      local list = { { 1 }, { 2 } }
      db:script "create table t (id integer)"
      db:query("select ? as a, ? as b", params, options)
      db:query("select :a as a", named, options)
      db:execute("insert into t values (:a)", named, options)
      db:execute_many("insert into t values (?)", list, { timeout = 5 })
      for row in db:each("select :a as a", named, options) do
        assert.equal(1, #row)
      end
      assert.same({ 1, "a" }, params)
      assert.same({ a = 1 }, named)
      assert.same({ timeout = 5, rows = "array" }, options)
      assert.same({ { 1 }, { 2 } }, list)
      assert.same({ "__newindex" }, { (next(sealed)) })
      local row = db:first("select 1 as a", {}, { class = sealed })
      assert.equal(sealed, getmetatable(row))
      assert.same({ "__newindex" }, { (next(sealed)) })
    end)
  end)

  describe("query", function()
    it("gives NULL as an absent key, and the columns in order", function()
      local db = open()
      local rows = db:query "select 1 as z, null as a, 'x' as m"
      assert.same({ "z", "a", "m" }, rows.columns)
      assert.same({ z = 1, m = "x" }, rows[1])
      assert.is_nil(rows[1].a)
    end)

    it("gives an empty list with its columns when no row is there", function()
      local db = open()
      local rows = db:query "select 1 as a, 2 as b where 1 = 0"
      assert.equal(0, #rows)
      assert.is_nil(next(rows))
      assert.same({ "a", "b" }, rows.columns)
      assert.equal(0, rows.affected)
      assert.is_nil(rows.other)
    end)

    it("gives how many rows a statement without rows changed", function()
      local db = open()
      fruit(db)
      local rows = db:query "update fruit set weight = 1 where id < 3"
      assert.equal(0, #rows)
      assert.same({}, rows.columns)
      assert.equal(2, rows.affected)
      assert.equal(0, db:query("delete from fruit where id = ?", 9).affected)
      rows = db:query "delete from fruit where id > 1 returning id"
      assert.equal(2, #rows)
      assert.equal(2, rows.affected)
    end)

    it("has columns, affected and text also for long results in slices",
       function()
      local db = open()
      local rows = db:query [[with recursive c(x) as (select 1 union all
        select x + 1 from c where x < 3000) select x, 'v' as v from c]]
      assert.equal(3000, #rows)
      for i = 1, 3000 do assert.equal(i, rows[i].x) end
      assert.same({ "x", "v" }, rows.columns)
      assert.equal(3000, rows.affected)
      assert.matches("… and 2800 more", tostring(rows))
      assert.matches("%(3000 rows%)", tostring(rows))
    end)

    it("prints as a table", function()
      local db = open()
      local rows = db:query [[select 1 as n, 'a' as name, null as x
        union all select 22, 'bé', null order by 1]]
      assert.equal([[
n  | name | x
---+------+--
 1 | a    |
22 | bé   |
(2 rows)]], tostring(rows))
      assert.equal("a\n-\n(0 rows)",
        tostring(db:query "select 1 as a where 1 = 0"))
      rows = db:query(helper.sql(name, "select 'a' || cast(? as text) as t"),
        "\n\t\27[31m")
      assert.is_nil(tostring(rows):find("\27", 1, true))
      assert.matches("a\\n\\t\\x1b", tostring(rows))
    end)

    it("keeps the last of columns with one name, and all as arrays",
       function()
      local db = open()
      local sql = "select 1 as a, 2 as b, 3 as a"
      assert.same({ a = 3, b = 2 }, db:first(sql))
      assert.same({ "a", "b", "a" }, db:query(sql).columns)
      assert.same({ 1, 2, 3 }, db:first(sql, {}, { rows = "array" }))
      -- the value must not depend on the data
      assert.same({}, db:first "select 1 as a, null as a")
      assert.same({ a = 1 }, db:first "select null as a, 1 as a")
      for row in db:each "select 1 as a, null as a" do assert.same({}, row) end
    end)

    it("takes 1,200 columns, in each form of rows", function()
      local db = open { max_size = 1 }
      local list = {}
      for i = 1, 1200 do list[i] = ("%d as c%d"):format(i, i) end
      local sql = "select " .. table.concat(list, ", ")
      local row = db:first(sql)
      local array = db:first(sql, {}, { rows = "array" })
      local columns = db:query(sql, {}, { rows = "columns" })
      for i = 1, 1200 do
        assert.equal(i, row["c" .. i])
        assert.equal(i, array[i])
        assert.equal(i, columns["c" .. i][1])
      end
      assert.equal(1200, #db:query(sql).columns)
      for r in db:each(sql) do assert.equal(1200, r.c1200) end
      check.usable(db)
    end)

    it("takes column names of every kind", function()
      local db = open()
      local row = db:first([[select 1 as "a b", 2 as "select", 3 as "Ünï",
        4 as "A", 5 as "a", 6 as "n", 7 as "columns", 8 as "1"]])
      assert.same({ ["a b"] = 1, select = 2, ["Ünï"] = 3, A = 4, a = 5,
        n = 6, columns = 7, ["1"] = 8 }, row)
    end)

    it("returns rows in the order of the server", function()
      local db = open()
      local rows = db:query [[select x from (select 3 as x union all select 1
        union all select 2) as t order by x desc]]
      assert.same({ 3, 2, 1 }, { rows[1].x, rows[2].x, rows[3].x })
    end)
  end)

  describe("rows", function()
    local SQL = [[select 1 as id, 'a' as name union all
      select 2, null order by 1]]

    it("= record, array and columns", function()
      local db = open()
      assert.same({ { id = 1, name = "a" }, { id = 2 } },
        { (table.unpack or unpack)(
          db:query(SQL, {}, { rows = "record" })) })
      local arrays = db:query(SQL, {}, { rows = "array" })
      assert.same({ 1, "a" }, arrays[1])
      assert.same({ 2, null }, arrays[2])
      assert.same({ "id", "name" }, arrays.columns)
      assert.matches("2 |", tostring(arrays))
      local columns = db:query(SQL, {}, { rows = "columns" })
      assert.same({ 1, 2 }, columns.id)
      assert.same({ "a", null }, columns.name)
      assert.equal(2, columns.n)
    end)

    it("= columns has the columns even when they are called n", function()
      local db = open()
      local t = db:query("select 7 as n, 8 as m", {}, { rows = "columns" })
      assert.same({ 7 }, t.n)
      assert.same({ 8 }, t.m)
      t = db:query("select 7 as a, 8 as a", {}, { rows = "columns" })
      assert.same({ 8 }, t.a)
    end)

    it("= columns of no rows are empty lists", function()
      local db = open()
      local t = db:query("select 1 as a where 1 = 0", {}, { rows = "columns" })
      assert.same({}, t.a)
      assert.equal(0, t.n)
    end)

    it("are understood by all verbs that give rows", function()
      local db = open()
      local o = { rows = "array" }
      assert.same({ 1, "a" }, db:first(SQL, {}, o))
      assert.same({ 1, null }, db:one("select 1 as a, null as b", {}, o))
      assert.equal(1, db:value(SQL, {}, o))
      for row in db:each("select 1 as a, null as b", {}, o) do
        assert.same({ 1, null }, row)
      end
      assert.same({ 1, "a" }, db:execute(SQL, {}, o).rows[1])
      assert.same({ 5 }, db:script("select 5 as a", o)[1].rows[1])
      assert.same({ 1, 2 },
        db:execute(SQL, {}, { rows = "columns" }).rows.id)
    end)

    it("= columns is refused where there is one row", function()
      local db = open { max_size = 1 }
      for _, verb in ipairs { "first", "one", "value", "each" } do
        check.refuses(db, "usage", db[verb], db, "select 1", {},
          { rows = "columns" })
      end
    end)

    it("get the metatable of class", function()
      local db = open()
      local Fruit = {}
      Fruit.__index = Fruit
      function Fruit:label() return "<" .. self.name .. ">" end
      local o = { class = Fruit }
      local rows = db:query("select 'fig' as name", {}, o)
      assert.equal("<fig>", rows[1]:label())
      assert.same({ "name" }, rows.columns)
      assert.equal("<fig>", db:first("select 'fig' as name", {}, o):label())
      assert.equal("<fig>", db:one("select 'fig' as name", {}, o):label())
      for row in db:each("select 'fig' as name", {}, o) do
        assert.equal("<fig>", row:label())
      end
      assert.equal("<fig>",
        db:execute("select 'fig' as name", {}, o).rows[1]:label())
      on_each_executor(db, function(x)
        for row in x:each("select 'fig' as name", {}, o) do
          assert.equal("<fig>", row:label())
        end
      end)
    end)
  end)

  describe("first, one and value", function()
    it("tell none, one and many apart", function()
      local db = open { max_size = 1 }
      local none, many = "select 1 as a where 1 = 0",
        "select 1 as a union all select 2"
      assert.is_nil(db:first(none))
      assert.is_nil(db:value(none))
      assert.equal(1, select("#", db:first(none)))
      check.refuses(db, "not_found", db.one, db, none)
      check.refuses(db, "not_unique", db.one, db, many)
      assert.equal("number", type(db:first(many).a))
      assert.equal("number", type(db:value(many)))
      check.usable(db)
    end)

    it("value gives nil for NULL, and false for false", function()
      local db = open()
      assert.is_nil(db:value "select null")
      if name == "postgres" then assert.is_false(db:value "select false") end
      assert.equal(0, db:value "select 0")
      assert.equal("", db:value "select ''")
    end)

    it("an empty row that exists is not nil", function()
      local db = open()
      assert.same({}, db:first "select null as a")
      assert.same({}, db:one "select null as a")
    end)

    it("work on statements that write", function()
      local db = open()
      fruit(db)
      local row = db:one("insert into fruit (id, name) values (?, ?) " ..
        "returning id, name", 9, "kiwi")
      assert.same({ id = 9, name = "kiwi" }, row)
      assert.equal(9, db:value "select max(id) from fruit")
      if name == "mysql" then -- MariaDB's UPDATE has no RETURNING
        db:execute "update fruit set id = 4 where id = 9"
      else
        assert.equal(4, db:value("update fruit set id = 4 where id = 9 " ..
          "returning id"))
      end
      assert.is_nil(db:first "delete from fruit where id = 77 returning id")
      -- a statement that gives no rows
      assert.is_nil(db:first "delete from fruit where id = 4")
      assert.equal(3, db:value "select count(*) from fruit")
    end)

    it("do all of a write, though they read only the first row", function()
      local db = open()
      fruit(db)
      assert.is_table(db:first "delete from fruit returning id")
      assert.equal(0, db:value "select count(*) from fruit")
    end)
  end)

  describe("execute", function()
    it("gives affected and last_id by one rule (P-49)", function()
      local db = open { max_size = 1 }
      db:script [[create table t (id integer primary key, v integer);
        create table k (a varchar(20) primary key)]]
      local many = db:execute [[insert into t values (1, 0), (2, 0), (3, 0),
        (4, 0), (5, 0)]]
      assert.equal(5, many.affected)
      local up = db:execute "update t set v = 1 where id = 3"
      assert.equal(1, up.affected)
      assert.is_nil(up.last_id)
      up = db:execute "update t set v = 1 where id = 77"
      assert.equal(0, up.affected)
      assert.is_nil(up.last_id)
      local del = db:execute "delete from t where id > 2"
      assert.equal(3, del.affected)
      assert.is_nil(del.last_id)
      local sel = db:execute "select * from t order by id"
      assert.is_nil(sel.last_id)
      assert.equal(2, #sel.rows)
      local ddl = db:execute "create table u (a integer)"
      assert.is_nil(ddl.affected)
      assert.is_nil(ddl.last_id)
      assert.is_nil(ddl.rows)
    end)

    it("counts nothing for ON CONFLICT DO NOTHING (P-49)", function()
      local db = open { max_size = 1 }
      db:script [[create table t (id integer primary key, v integer);
        insert into t values (5, 0)]]
      local before, after = "insert into t values (5, 1)", " on conflict do nothing"
      if name == "mysql" then before, after = "insert ignore into t values (5, 1)", "" end
      local r = db:execute(before .. after)
      assert.equal(0, r.affected)
      assert.is_nil(r.last_id)
      r = db:execute(before .. after .. " returning id")
      assert.equal(0, r.affected)
      assert.is_nil(r.last_id)
    end)

    it("gives the caller's RETURNING as rows and last_id", function()
      local db = open()
      db:script "create table t (id integer primary key, v integer)"
      local r = db:execute("insert into t (id, v) values (?, ?) returning id, v",
        41, 7)
      assert.equal(41, r.last_id)
      assert.equal(1, r.affected)
      assert.same({ id = 41, v = 7 }, r.rows[1])
      assert.same({ "id", "v" }, r.rows.columns)
      if name == "mysql" then return end -- its UPDATE has no RETURNING
      r = db:execute "update t set v = 8 returning id"
      assert.is_nil(r.last_id)
      assert.equal(41, r.rows[1].id)
    end)
  end)

  describe("execute_many", function()
    it("runs the statement once for each set", function()
      local db = open()
      db:script "create table t (id integer primary key, v text)"
      local list = {}
      for i = 1, 2500 do list[i] = { i, i % 2 == 0 and null or "v" .. i } end
      assert.equal(2500,
        db:execute_many("insert into t values (?, ?)", list).affected)
      assert.equal(2500, db:value "select count(*) from t")
      assert.equal("v2499", db:value("select v from t where id = 2499"))
      assert.equal(1250, db:value "select count(*) from t where v is null")
      assert.equal(2, db:execute_many("delete from t where id = :id and v = :v",
        { { id = 1, v = "v1" }, { id = 3, v = "v3" }, { id = 5, v = "x" } }
      ).affected)
    end)

    it("is all or nothing (P-50)", function()
      local db = open { max_size = 1 }
      db:script "create table t (id integer primary key)"
      check.refuses(db, "unique", db.execute_many, db,
        "insert into t values (?)", { { 1 }, { 2 }, { 3 }, { 1 }, { 4 } })
      assert.equal(0, db:value "select count(*) from t")
    end)

    it("is a savepoint in a transaction, which stays usable (P-50)", function()
      local db = open { max_size = 1 }
      db:script "create table t (id integer primary key)"
      db:transaction(function(tx)
        tx:execute "insert into t values (10)"
        raises("unique", tx.execute_many, tx, "insert into t values (?)",
          { { 1 }, { 2 }, { 10 }, { 4 } })
        raises("unique", db.execute_many, db, "insert into t values (?)",
          { { 1 }, { 2 }, { 10 }, { 4 } })
        assert.equal(1, tx:value "select count(*) from t")
        assert.equal(2, tx:execute_many("insert into t values (?)",
          { { 1 }, { 2 } }).affected)
      end)
      assert.equal(3, db:value "select count(*) from t")
    end)

    it("is all or nothing on a connection too", function()
      local db = open { max_size = 1 }
      db:script "create table t (id integer primary key)"
      db:connection(function(conn)
        raises("unique", conn.execute_many, conn, "insert into t values (?)",
          { { 1 }, { 2 }, { 1 } })
        assert.equal(0, conn:value "select count(*) from t")
      end)
    end)

    it("checks every set before anything is sent", function()
      local db = open { max_size = 1 }
      db:script "create table t (id integer primary key)"
      local sql = "insert into t values (?)"
      local err = check.refuses(db, "usage", db.execute_many, db, sql,
        { { 1 }, 2 })
      assert.matches("set 2", err.message)
      check.refuses(db, "usage", db.execute_many, db, sql, { { 1 }, { 1, 2 } })
      check.refuses(db, "usage", db.execute_many, db, sql, { { 1 }, {} })
      check.refuses(db, "usage", db.execute_many, db, sql, { { 1 }, { print } })
      check.refuses(db, "usage", db.execute_many, db, sql, 1)
      check.refuses(db, "usage", db.execute_many, db, sql)
      check.refuses(db, "usage", db.execute_many, db, sql, { { 1 } }, 5)
      check.refuses(db, "usage", db.execute_many, db, sql, { { 1 } },
        { tiemout = 1 })
      check.refuses(db, "usage", db.execute_many, db, sql, { a = 1 })
      assert.equal(0, db:value "select count(*) from t")
    end)

    it("of nothing does nothing", function()
      local db = open()
      assert.equal(0, db:execute_many("insert into nope values (?)", {}).affected)
    end)
  end)

  describe("script", function()
    it("gives one result for each statement", function()
      local db = open()
      local r = db:script [[
        create table t (id integer primary key, v text);
        insert into t values (1, 'a;b'), (2, 'it''s'); -- comment; here
        /* a ; b */
        update t set v = 'x' where id = 1;
        select * from t order by id;;
      ]]
      assert.equal(4, #r)
      assert.equal(2, r[2].affected)
      assert.equal(1, r[3].affected)
      assert.same({ id = 2, v = "it's" }, r[4].rows[2])
    end)

    it("may be empty", function()
      local db = open()
      for _, sql in ipairs { "", " ", ";", "-- x", "/* x */;;" } do
        assert.same({}, db:script(sql))
      end
    end)

    it("may hold a transaction of its own, and none stays open", function()
      local db = open { max_size = 1 }
      db:script [[create table t (id integer); begin; insert into t values (1);
        insert into t values (2); commit]]
      assert.equal(2, db:value "select count(*) from t")
      pcall(db.script, db, "begin; insert into t values (3)")
      assert.equal(2, db:value "select count(*) from t")
      assert.is_false(db:in_transaction())
      check.raises("undefined", db.script, db,
        "begin; insert into t values (3); select * from nope; commit")
      assert.equal(2, db:value "select count(*) from t")
    end)

    it("takes no parameters and only known options", function()
      local db = open { max_size = 1 }
      check.refuses(db, "usage", db.script, db, "select ?")
      check.refuses(db, "usage", db.script, db, "select 1", { 5 })
      check.refuses(db, "usage", db.script, db, "select 1", 5)
      check.refuses(db, "usage", db.script, db, "select 1", { timout = 5 })
      check.refuses(db, "usage", db.script, db)
    end)
  end)

  describe("opts", function()
    it("are checked by every verb", function()
      local db = open { max_size = 1 }
      local bad = {
        { timeout = 0 }, { timeout = -1 }, { timeout = 0 / 0 },
        { timeout = "x" }, { timeout = true }, { timeout = {} },
        { rows = "rows" }, { rows = 1 }, { rows = {} }, { class = 1 },
        { class = "x" }, { limit = 1 }, { [1] = 1 }, { [true] = 1 },
      }
      for _, verb in ipairs { "query", "first", "one", "value", "each",
                              "execute" } do
        for _, o in ipairs(bad) do
          check.raises("usage", db[verb], db, "select 1", {}, o)
        end
        check.raises("usage", db[verb], db, "select 1", {}, 5)
        check.raises("usage", db[verb], db, "select 1", {}, {}, {})
        check.raises("usage", db[verb], db, "select 1", {}, "array")
      end
      check.usable(db)
      check.refuses(db, "usage", db.ping, db, {})
    end)

    it("come after the table of parameters, and the message says so",
       function()
      local db = open { max_size = 1 }
      local err = check.refuses(db, "usage", db.query, db, "select ?", 1,
        { timeout = 1 })
      assert.matches("table of parameters", err.message)
    end)

    it("timeout ends the statement with kind timeout", function()
      local db = open { max_size = 1 }
      local slow = name == "postgres" and "select pg_sleep(20)"
        or [[with recursive c(x) as (select 1 union all select x + 1 from c)
             select count(*) from c]]
      for _, verb in ipairs { "query", "first", "one", "value", "execute" } do
        local before = os.time()
        local err = check.refuses(db, "timeout", db[verb], db, slow, {},
          { timeout = 0.05 })
        assert.is_true(os.time() - before < helper.patience(5))
        assert.is_truthy(err.sql)
      end
      check.refuses(db, "timeout", function()
        for _ in db:each(slow, {}, { timeout = 0.05 }) do end
      end)
      check.refuses(db, "timeout", db.script, db, slow, { timeout = 0.05 })
      check.refuses(db, "timeout", perigee.timeout, 0.05, function()
        return db:query(slow)
      end)
      db:transaction(function(tx)
        check.raises("timeout", tx.query, tx, slow, {}, { timeout = 0.05 })
        tx:rollback()
      end)
      check.usable(db)
    end)
  end)

  describe("ping", function()
    it("is true, and raises closed after close", function()
      local db = open()
      assert.is_true(db:ping())
      db:close()
      check.raises("closed", db.ping, db)
      check.raises("closed", db.query, db, "select 1")
      check.raises("closed", db.execute, db, "select 1")
      check.raises("closed", db.script, db, "select 1")
      check.raises("closed", db.transaction, db, function() end)
      check.raises("closed", db.begin, db)
      check.raises("closed", db.connection, db, function() end)
      check.raises("closed", function()
        for _ in db:each "select 1" do error "a row" end
      end)
      check.raises("closed", db.execute_many, db, "select ?", { { 1 } })
      db:close()
      db:close { timeout = 1 }
      assert.is_true(db:stats().is_closed)
      assert.matches("closed", tostring(db))
    end)
  end)

  describe("a used executor", function()
    it("raises closed after its end", function()
      local db = open { max_size = 1 }
      local conn, tx
      db:connection(function(c) conn = c end)
      db:transaction(function(t) tx = t end)
      for _, verb in ipairs { "query", "first", "one", "value", "execute",
                              "script", "ping" } do
        check.raises("closed", conn[verb], conn, "select 1")
        check.raises("closed", tx[verb], tx, "select 1")
      end
      check.raises("closed", conn.transaction, conn, function() end)
      check.raises("closed", tx.transaction, tx, function() end)
      check.raises("closed", tx.commit, tx)
      check.raises("closed", tx.rollback, tx)
      check.raises("closed", function() for _ in tx:each "select 1" do end end)
      check.usable(db)
    end)
  end)
end)
