-- MySQL: batches whose sets are sent many at a time (MariaDB's COM_STMT_BULK_EXECUTE).
local helper = require "spec.support.helper"
local check = require "spec.support.check"
local perigee = require "perigee"

helper.for_each_db(function(_, open)
  local function sets(n, fn)
    local list = {}
    for i = 1, n do list[i] = fn(i) end
    return list
  end

  describe("a batch", function()
    it("sends values of all types, nulls and numbers that change their type", function()
      local db = open { max_size = 1 }
      db:script "create table t (n bigint, d double, s text, y blob, j json, b boolean)"
      local r = db:execute_many("insert into t values (?, ?, ?, ?, ?, ?)", sets(200, function(i)
        return {
          i == 150 and "9007199254740993" or i, i % 8 == 0 and i or i / 8,
          i % 3 == 0 and perigee.null or ("x"):rep(i * 100), perigee.bytes("\0" .. i),
          perigee.json { i = i }, i % 2 == 0,
        }
      end))
      assert.equal(200, r.affected)
      local row = db:first [[select sum(n = length(s) / 100) s, sum(d) d, sum(b) b, max(n) n,
        sum(json_value(j, '$.i') + 0) j, sum(substring(y, 2) + 0) y, count(s) c from t]]
      assert.same({ 134, 2512.5 + 2600 * 7 / 8, 100, 134, 20100, 20100 },
        { tonumber(row.s), tonumber(row.d), tonumber(row.b), row.c, tonumber(row.j),
          tonumber(row.y) })
      assert.equal("9007199254740993", tostring(row.n))
    end)

    it("writes integers between other numbers as it writes them alone", function()
      local db = open { max_size = 1 }
      db:script "create table t (k int, s varchar(40), x text)"
      local long = { 1000000000000000, 999999999999999, -999999999999999, 1700000000000001 }
      db:execute_many("insert into t values (?, ?, ?)", sets(40, function(i)
        local n = i % 2 == 0 and long[i / 2 % 4 + 1] or i + 0.5
        return { i, n, n }
      end))
      for i = 2, 40, 2 do
        local want = ("%d"):format(long[i / 2 % 4 + 1])
        local row = db:one("select s, x from t where k = ?", i)
        assert.same({ s = want, x = want }, row)
      end
    end)

    it("gives the rows of all sets in their order, and the id of the last one", function()
      local db = open { max_size = 1 }
      db:script "create table t (id int auto_increment primary key, k int)"
      local rows = db:insert_many("t", sets(500, function(i) return { k = i } end))
      for i = 1, 500 do assert.same({ id = i, k = i }, rows[i]) end
      db:insert_many("t", sets(100, function(i) return { k = -i } end), { returning = false })
      assert.equal(99, db:value "select max(id) - min(id) from t where k < 0")
      local r = db:execute_many("insert into t (k) values (?)",
        sets(500, function(i) return { i + 500 } end))
      assert.equal(db:value "select id from t where k = 1000", r.last_id)
    end)

    it("counts what was matched, also when it reads what it has written", function()
      local db = open { max_size = 1 }
      db:script "create table t (k int primary key, n int not null)"
      db:execute_many("insert into t values (?, ?)", sets(20, function(i) return { i, 0 } end))
      local r = db:execute_many("update t set n = n + ? where k <= ?",
        sets(20, function(i) return { 1, i } end))
      assert.same({ 210, 210 }, { r.affected, tonumber((db:value "select sum(n) from t")) })
      r = db:execute_many("insert into t select max(k) + 1, ? from t",
        sets(20, function() return { 0 } end))
      assert.same({ 20, 40 }, { r.affected, db:value "select max(k) from t" })
    end)

    it("names the set that is refused, and nothing of it stays", function()
      local db = open { max_size = 1 }
      db:script "create table t (k int primary key, n int)"
      local sql = "insert into t values (?, 1)"
      local twice = sets(50, function(i) return { i == 33 and 7 or i } end)
      local e = check.refuses(db, "unique", db.execute_many, db, sql, twice)
      assert.matches("^set 33: ", e.message)
      assert.equal(0, db:value "select count(*) from t")
      db:transaction(function(tx)
        tx:execute(sql, 100)
        e = check.raises("unique", tx.execute_many, tx, sql, twice)
        assert.matches("^set 33: ", e.message)
        assert.equal(50, tx:execute_many(sql, sets(50, function(i) return { i } end)).affected)
      end)
      assert.equal(51, db:value "select count(*) from t")
    end)

    it("fails by an error behind rows, also where nobody wants them", function()
      local db = open { max_size = 1 }
      db:script [[create table t (k int primary key);
        create procedure p(x int) begin
          select 1;
          select if(seq = x, (select 1 union select 2), 0) from seq_1_to_5;
        end]]
      local sql = "insert into t values (?), (?) returning k"
      for _, n in ipairs { 3, 20 } do
        local list = sets(n, function(i) return { 2 * i, i == 2 and 4 or 2 * i + 1 } end)
        local e = check.refuses(db, "unique", db.execute_many, db, sql, list)
        assert.matches("^set 2: ", e.message)
        assert.equal(0, db:value "select count(*) from t")
        list[2][2] = 5
        assert.equal(2 * n, db:execute_many(sql, list).affected)
        db:execute "delete from t"
      end
      db:execute_many("call p(?)", { { 0 }, { 9 } })
      check.refuses(db, "data", db.query, db, "call p(?)", 3)
      local e = check.refuses(db, "data", db.execute_many, db, "call p(?)", { { 0 }, { 3 } })
      assert.matches("^set 2: ", e.message)
      check.usable(db)
    end)

    it("follows a table that has changed, whoever is told of it", function()
      local db, other = open { max_size = 1 }, open { max_size = 1 }
      local sql = "insert into t (id) values (?) returning *"
      db:script "create table t (id int primary key, v text)"
      assert.equal("id v", table.concat(db:query(sql, 1).columns, " "))
      other:execute "alter table t add column w int default 5"
      -- The first set goes alone, as its type is another one.
      assert.equal(20, db:execute_many(sql, sets(20, function(i)
        return { i == 1 and "2" or i + 1 }
      end)).affected)
      assert.same({ id = 30, w = 5 }, db:first(sql, 30))
      other:execute "alter table t change w x bigint"
      assert.equal(20, db:execute_many(sql, sets(20, function(i) return { i + 40 } end)).affected)
      assert.same({ id = 70 }, db:first(sql, 70))
    end)

    it("is not done again on a table without transactions", function()
      local db = open { max_size = 1 }
      db:script "create table t (k int primary key) engine = myisam"
      local e = check.refuses(db, "unique", db.execute_many, db, "insert into t values (?)",
        sets(50, function(i) return { i == 33 and 7 or i } end))
      assert.matches("'7' for key", e.message)
      assert.equal(32, db:value "select count(*) from t")
    end)
  end)
end, { "mysql" })
