-- What docs/guide/databases.md and types.md say of MySQL and MariaDB, as far as no other spec
-- tries it: collations, the server's own conversions, what is not there.
local helper = require "spec.support.helper"
local check = require "spec.support.check"

-- A column without case and accents, and one that is exact.
local TEXTS = [[create table t (id int primary key,
    c varchar(20) character set utf8mb4 collate utf8mb4_general_ci unique,
    b varchar(20) character set utf8mb4 collate utf8mb4_bin);
  insert into t values (1, 'Ada', 'Ada'), (2, 'é', 'é')]]

helper.for_each_db(function(_, open)
  describe("texts", function()
    it("are equal by the collation of their column, and match patterns exactly", function()
      local db = open { max_size = 1 }
      db:script(TEXTS)
      local function count(filter) return db:count("t", filter) end
      for _, name in ipairs { "ada", "ADA", "Ada " } do
        assert.same({ 1, 1 }, { count { c = name }, count { c = { name, "x" } } }, name)
        assert.equal(1, count { ["c:ne"] = name })
      end
      assert.same({ 1, 0 }, { count { c = "E" }, count { b = "E" } })
      assert.equal(0, count { b = "ada" })
      for _, column in ipairs { "b", "c" } do
        assert.same({ 1, 0 }, { count { [column .. ":prefix"] = "A" },
          count { [column .. ":prefix"] = "a" } })
        assert.same({ 1, 0 }, { count { [column .. ":contains"] = "é" },
          count { [column .. ":contains"] = "e" } })
        assert.same({ 0, 1 }, { count { [column .. ":like"] = "ADA" },
          count { [column .. ":ilike"] = "ADA" } })
        assert.same({ 1, 0 }, { count { [column .. ":ilike"] = "É" },
          count { [column .. ":ilike"] = "E" } })
      end
      check.refuses(db, "unique", db.insert, db, "t", { id = 3, c = "ADA " })
    end)

    it("of a list are as many as a statement takes, or any number where they are exact", function()
      local db = open { max_size = 1 }
      db:script(TEXTS)
      local list = { "Ada" }
      for i = 2, 66000 do list[i] = "x" .. i end
      assert.equal(1, db:count("t", { b = list }))
      local err = check.refuses(db, "usage", db.count, db, "t", { c = list })
      assert.matches("65535", err.message)
    end)
  end)

  it("expressions have the server's types, and || is OR", function()
    local db = open { max_size = 1 }
    assert.same({ a = 1, b = "3.5000", c = 0, d = 1 },
      db:one "select 1 = 1 as a, 7 / 2 as b, 'a' || 'b' as c, 'abc' = 0 as d")
    db:script "create table t (n int); insert into t values (1), (2)"
    assert.same({ s = "3", a = "1.5000", c = 2 },
      db:one "select sum(n) as s, avg(n) as a, count(*) as c from t")
    db:execute("insert into t values (?)", 3.6)
    assert.equal(4, db:value "select max(n) from t")
  end)

  it("times have a fraction only where their type says so", function()
    local db = open { max_size = 1 }
    db:script "create table t (plain datetime, whole datetime(6))"
    db:execute("insert into t values (?, ?)", "2026-11-20 08:30:00.25", "2026-11-20 08:30:00.25")
    assert.same({ plain = "2026-11-20T08:30:00.000000", whole = "2026-11-20T08:30:00.250000" },
      db:one "select * from t")
  end)

  it("DDL is refused in a transaction, which it would commit", function()
    local db = open { max_size = 1 }
    db:script "create table t (id int primary key)"
    for _, sql in ipairs { "create table other (a int)", "alter table t add a int", "drop table t",
      "truncate table t", "rename table t to u", "create or replace view v as select 1",
      "lock tables t write", "/* a */ create index i on t (id)" } do
      check.raises("usage", db.transaction, db, function(tx)
        tx:execute "insert into t values (1)"
        check.raises("usage", tx.script, tx, "select 1; " .. sql)
        tx:execute(sql)
      end)
      assert.equal(0, db:count "t")
    end
    check.raises("usage", db.transaction, db, function() db:execute "drop table t" end)
    db:transaction(function(tx)
      tx:execute "create temporary table own (a int)"
      tx:execute "insert into t values (1)"
      tx:execute "drop temporary table own"
    end)
    db:connection(function(conn) conn:execute "alter table t add b int" end)
    assert.same({ { id = 1 } }, { db:one "select * from t" })
    local undone = open { max_size = 1, force_rollback = true }
    undone:execute "insert into t (id) values (2)"
    check.raises("usage", undone.execute, undone, "create table other (a int)")
    undone:close()
    assert.equal(1, db:count "t")
  end)

  it("rows that are matched count, also those that stay as they are", function()
    local db = open { max_size = 1 }
    db:script "create table t (id int primary key, n int); insert into t values (1, 5), (2, 5)"
    assert.equal(2, db:execute("update t set n = 5").affected)
    assert.equal(2, db:update("t", {}, { n = 5 }, { all = true }))
  end)

  it("the last id is that of the first row, and insert_many gives each its own", function()
    local db = open { max_size = 1 }
    db:script "create table t (id int auto_increment primary key, n int)"
    assert.equal(1, db:execute("insert into t (n) values (1), (2), (3)").last_id)
    local rows = db:insert_many("t", { { n = 10 }, { n = 11 }, { n = 12 } })
    for i = 1, 3 do
      assert.equal(9 + i, rows[i].n)
      assert.equal(9 + i, db:at("t", rows[i].id).n)
    end
  end)

  it("an update gives no rows of a table without a primary key", function()
    local db = open { max_size = 1 }
    db:script "create table t (a int, b int); insert into t values (1, 1)"
    check.refuses(db, "unsupported", db.update, db, "t", { a = 1 }, { b = 2 }, { returning = true })
    assert.equal(1, db:update("t", { a = 1 }, { b = 2 }))
  end)

  it("what is of a session is gone when its connection comes back", function()
    local db = open { max_size = 1 }
    assert.equal(1, db:value "select get_lock('mine', 0)")
    assert.is_nil(db:value "select is_used_lock('mine')")
    db:value "select @mine := 5"
    assert.is_nil(db:value "select @mine")
    for _, sql in ipairs { "use information_schema", "lock tables t write", "set @a = 1",
      "create temporary table tt (a int)" } do
      check.refuses(db, "usage", db.execute, db, sql)
    end
  end)

  it("a wait for a row's lock is locked with nowait, else ends by its time limit", function()
    local db = open { max_size = 2 }
    db:script "create table t (id int primary key); insert into t values (1)"
    local tx = db:begin()
    tx:at("t", 1, { lock = "update" })
    local other = db:begin()
    local err = check.raises("locked", other.at, other, "t", 1, { lock = "update nowait" })
    assert.is_true(err.retryable)
    assert.same({}, other:select("t", {}, { lock = "update skip_locked" }))
    check.raises("timeout", other.at, other, "t", 1, { lock = "update", timeout = 0.1 })
    assert.equal(1, other:value "select 1")
    other:rollback()
    tx:rollback()
  end)
end, { "mysql" })
