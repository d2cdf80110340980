-- MySQL: what the server is asked behind a statement: which key an error is about, warnings.
local helper = require "spec.support.helper"
local check = require "spec.support.check"

helper.for_each_db(function(_, open)
  describe("a duplicate key", function()
    local TABLES = [[
      create table t (id int primary key, a int, b int, unique pair (a, b));
      create table other (id int primary key);
      create table `we``ird` (`i``d` int primary key);
      insert into t values (1, 1, 1), (2, 2, 2); insert into other values (1);
      insert into `we``ird` values (1)]]

    local function fields(db, sql, ...)
      local e = check.refuses(db, "unique", db.execute, db, sql, ...)
      return { e.table, e.column, e.detail, schema = e.schema }
    end

    it("says which table and columns it is of", function()
      local db = open { max_size = 1 }
      db:script(TABLES)
      local own = db:value "select database()"
      local id = { "t", "id", "Key (id) already exists.", schema = own }
      assert.same(id, fields(db, "insert into t values (1, ?, 3)", 3))
      assert.same(id, fields(db, "insert into t values (1, 3, 3)"))
      assert.same(id, fields(db, "/* a */ update low_priority t set id = 1"))
      assert.same(id, fields(db, "insert into t values (3, 3, 3), (1, 4, 4) returning id"))
      assert.same(id, fields(db, ("insert into `%s`.`t` values (1, ?, 3)"):format(own), 3))
      assert.same({ "t", nil, "Key (a, b) already exists.", schema = own },
        fields(db, "insert into t values (3, 2, ?)", 2))
      assert.same({ "we`ird", "i`d", "Key (i`d) already exists.", schema = own },
        fields(db, "insert into `we``ird` select ?", 1))
      local e = check.raises("unique", db.execute_many, db, "insert into t values (?, 9, 9)",
        { { 7 }, { 1 } })
      assert.equal("set 2", e.message:match "^set %d+")
      assert.same({ "t", "id" }, { e.table, e.column })
      assert.equal(2, db:value "select count(*) from t")
    end)

    it("is told of the verbs of tables, too", function()
      local db = open { max_size = 1 }
      db:script(TABLES)
      local t = db:table "t"
      for _, verb in ipairs {
        function() t:insert { id = 1, a = 5, b = 5 } end,
        function() t:insert_many { { id = 5 }, { id = 1 } } end,
        function() t:update({ id = 2 }, { id = 1 }) end,
        function() t:upsert({ id = 1, a = 2, b = 2 }, { on = { "a", "b" } }) end,
      } do
        local e = check.refuses(db, "unique", verb)
        assert.same({ "t", "id" }, { e.table, e.column })
      end
      local e = check.refuses(db, "unique", t.upsert, t, { id = 1, a = 2, b = 2 })
      assert.equal("Key (a, b) already exists.", e.detail)
    end)

    it("is told of scripts, too, where their statements can be counted", function()
      local db = open { max_size = 1 }
      db:script(TABLES)
      local plain = "insert into other values (5); insert into t values (1, 5, 5)"
      local e = check.refuses(db, "unique", db.script, db, plain)
      assert.same({ "t", "id" }, { e.table, e.column })
      e = check.refuses(db, "unique", db.script, db, [[
        create procedure p() begin insert into other values (1); insert into t values (1, 5, 5);
        end; call p()]])
      assert.is_nil(e.table)
    end)

    it("is asked for in a transaction, which stays open", function()
      local db = open { max_size = 1 }
      db:script(TABLES)
      db:transaction(function(tx)
        tx:execute "insert into t values (3, 3, 3)"
        local e = check.raises("unique", tx.execute, tx, "insert into t values (3, ?, 4)", 4)
        assert.equal("id", e.column)
        tx:execute "insert into t values (4, 4, 4)"
      end)
      assert.equal(4, db:value "select count(*) from t")
    end)

    it("of another table, by a trigger, a view or a function, is not guessed", function()
      local db = open { max_size = 1 }
      db:script(TABLES)
      db:execute "create view v as select id from other"
      db:execute [[create function f() returns int modifies sql data begin
        insert into other values (1); return 1; end]]
      for _, sql in ipairs { "insert into v values (1)", "insert into t values (f(), 5, 5)",
        "update t, other set other.id = 1, t.id = 1 where t.id = 2" } do
        assert.same({}, fields(db, sql))
      end
      db:execute [[create trigger g before insert on t for each row
        insert into other values (1)]]
      assert.same({}, fields(db, "insert into t values (1, 1, 1)"))
    end)
  end)

  describe("warnings", function()
    local function listening()
      local got, lost = {}, 0
      local db = open { max_size = 1,
        on_notice = function(e) got[#got + 1] = e end,
        on_warning = function(w) lost = lost + tonumber(w:match "^(%d+) notices") end }
      return db, function()
        local out = {}
        for i, e in ipairs(got) do out[i] = e.code .. " " .. e.sqlstate end
        got = {}
        return out
      end, function() return lost end
    end

    it("reach on_notice, with the server's number", function()
      local db, codes = listening()
      db:script "create table t (a int primary key)"
      assert.equal(12, db:value("select cast(? as int)", "12x"))
      assert.same({ "1292 01000" }, codes())
      db:query "select 1 / 0"
      assert.same({ "1365 01000" }, codes())
      db:execute "drop table if exists nope"
      assert.same({ "1051 00000" }, codes())
      db:execute("insert ignore into t values (?), (1)", 1)
      assert.same({ "1062 01000" }, codes())
      for _ in db:each "select 1 / 0 from seq_1_to_3" do assert.same({}, codes()) end
      assert.same({ "1365 01000", "1365 01000", "1365 01000" }, codes())
      db:execute_many("insert ignore into t values (?)", { { 1 }, { 2 }, { 1 } })
      assert.same({ "1062 01000", "1062 01000" }, codes())
      assert.equal(1, db:value "select 1")
      assert.same({}, codes())
    end)

    it("in a transaction, and with the statements that follow", function()
      local db, codes = listening()
      db:transaction(function(tx)
        assert.equal(1, tx:value("select cast(? as int)", "1x"))
        assert.equal(2, tx:value "select 2")
      end)
      assert.same({ "1292 01000" }, codes())
    end)

    it("that the server has not kept are counted", function()
      local db, codes, lost = listening()
      assert.equal(100, #db:query "select 1 / 0 as n from seq_1_to_100")
      local kept = #codes()
      assert.is_true(kept > 0 and kept < 100)
      assert.equal(100, kept + lost())
    end)

    it("cost nothing where nobody listens", function()
      local db = open { max_size = 1 }
      local function sent() return tonumber(db:one "show session status like 'questions'".Value) end
      local before = sent()
      db:query "select 1 / 0"
      assert.equal(2, sent() - before)
    end)
  end)
end, { "mysql" })
