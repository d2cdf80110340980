-- A schema that changes under connections that know it (P-58).
local perigee = require "perigee"
local helper = require "spec.support.helper"
local check = require "spec.support.check"

-- Makes the statement known to the connection, to the point where the server
-- keeps a plan.
local function warm(x, sql, ...)
  for _ = 1, 7 do x:query(sql, ...) end
end

helper.for_each_db(function(_, open)
  describe("a known statement (P-58)", function()
    local db, other

    before_each(function()
      db, other = open { max_size = 1 }, open { max_size = 1 }
      db:script [[create table t (id integer primary key, v integer);
        insert into t values (1, 10)]]
    end)

    local function change(sql)
      other:script(sql)
    end

    it("sees a column that another connection added", function()
      warm(db, "select * from t where id = ?", 1)
      change "alter table t add column s text default 'x'"
      for _ = 1, 3 do
        assert.same({ id = 1, v = 10, s = "x" },
          db:one("select * from t where id = ?", 1))
      end
      assert.same({ "id", "v", "s" }, db:query("select * from t").columns)
      change "alter table t drop column v"
      assert.same({ id = 1, s = "x" }, db:one "select * from t")
      for row in db:each "select * from t" do
        assert.same({ id = 1, s = "x" }, row)
      end
    end)

    it("sees a column whose type was changed", function()
      warm(db, "select v from t where v > ?", 1)
      local insert = "insert into t (id, v) values (?, ?)"
      db:execute(insert, 2, 20)
      db:execute(insert, 3, 20)
      change "alter table t alter column v type bigint"
      db:execute(insert, 4, 2 ^ 40)
      assert.equal(2 ^ 40, db:value "select max(v) from t")
      assert.equal(4, #db:query("select v from t where v > ?", 1))
      change "alter table t alter column v type text using 'n' || v"
      assert.same({ v = "n10" }, db:one "select v from t where id = 1")
      check.refuses(db, "undefined", db.query, db,
        "select v from t where v > ?", 1)
      assert.equal(4, #db:query("select v from t where v > ?", "a"))
      db:execute(insert, 5, "text")
    end)

    it("sees a table that was dropped and made anew", function()
      warm(db, "select * from t where id = ?", 1)
      change [[drop table t; create table t (s text, id integer);
        insert into t values ('new', 1)]]
      assert.same({ id = 1, s = "new" },
        db:one("select * from t where id = ?", 1))
      change "drop table t"
      check.refuses(db, "undefined", db.query, db,
        "select * from t where id = ?", 1)
      change "create table t (id integer); insert into t values (1)"
      assert.same({ id = 1 }, db:one("select * from t where id = ?", 1))
    end)

    it("uses an index made anew for its upsert", function()
      local sql = [[insert into t values (?, 5) on conflict (id)
        do update set v = t.v + 1]]
      warm(db, sql, 1)
      change "alter table t drop constraint t_pkey"
      check.raises("database", db.execute, db, sql, 1)
      change "alter table t add primary key (id)"
      assert.equal(1, db:execute(sql, 1).affected)
    end)

    it("in a transaction ends in a clear error, and then works", function()
      local sql = "select * from t where id = ?"
      warm(db, sql, 1)
      local ok, err = pcall(db.transaction, db, function(tx)
        tx:value "select 1"
        change "alter table t add column s text"
        return tx:one(sql, 1)
      end)
      if not ok then assert.is_true(err.retryable, tostring(err)) end
      assert.same({ id = 1, v = 10 }, db:transaction(function(tx)
        return tx:one(sql, 1)
      end))
      check.usable(db)
    end)

    it("follows SET search_path on a connection", function()
      db:script [[create schema perigee_other;
        create table perigee_other.t (id integer, other text);
        insert into perigee_other.t values (7, 'o')]]
      finally(function()
        db:script "drop schema if exists perigee_other cascade"
      end)
      local sql = "select * from t"
      warm(db, sql)
      db:connection(function(conn)
        warm(conn, sql)
        conn:execute "set search_path = perigee_other"
        assert.same({ id = 7, other = "o" }, conn:one(sql))
        conn:execute "set search_path = public"
        assert.same({ id = 1, v = 10 }, conn:one(sql))
        conn:execute "set search_path = perigee_other"
      end)
      assert.same({ id = 1, v = 10 }, db:one(sql))
      local ok, err = pcall(db.transaction, db, function(tx)
        tx:execute "set local search_path = perigee_other"
        assert.same({ id = 7, other = "o" }, tx:one(sql))
      end)
      if not ok then assert.is_true(err.retryable, tostring(err)) end
      assert.same({ id = 1, v = 10 }, db:one(sql))
    end)

    it("is not mistaken for one on a temporary table", function()
      warm(db, "select * from t")
      db:connection(function(conn)
        conn:execute "create temp table t (id integer, tmp boolean)"
        assert.same({ "id", "tmp" }, conn:query("select * from t").columns)
      end)
      assert.same({ "id", "v" }, db:query("select * from t").columns)
    end)

    for _, sql in ipairs { "deallocate all", "discard all" } do
      it("survives " .. sql .. " as of a pooler", function()
        local known = "select * from t where id = ?"
        warm(db, known, 1)
        db:connection(function(conn)
          conn:execute(sql)
          assert.same({ id = 1, v = 10 }, conn:one(known, 1))
          conn:execute(sql)
        end)
        assert.same({ id = 1, v = 10 }, db:one(known, 1))
        -- unseen: by a function that runs it
        db:connection(function(conn)
          conn:script("/* pooler */ " .. sql)
          for _ = 1, 3 do assert.same({ id = 1, v = 10 }, conn:one(known, 1)) end
        end)
        check.usable(db)
      end)
    end

    it("that the server lost in a transaction is told as retryable",
       function()
      local known = "select * from t where id = ?"
      warm(db, known, 1)
      local ok, err = pcall(db.transaction, db, function(tx)
        tx:execute "deallocate all"
        return tx:one(known, 1)
      end)
      if not ok then assert.is_true(err.retryable, tostring(err)) end
      assert.same({ id = 1, v = 10 }, db:one(known, 1))
      check.usable(db)
    end)

    it("is not needed with statement_cache = 0", function()
      local bare = open { max_size = 1, statement_cache = 0 }
      warm(bare, "select * from t where id = ?", 1)
      change "alter table t add column s text"
      assert.same({ id = 1, v = 10 },
        bare:one("select * from t where id = ?", 1))
      change "alter table t alter column v type text"
      bare:transaction(function(tx)
        assert.same({ id = 1, v = "10" },
          tx:one("select * from t where id = ?", 1))
        other:close()
      end)
    end)

    it("sees types made anew under the same name", function()
      db:script [[create type mood as enum ('sad', 'ok');
        create table m (m mood, list mood[]);
        insert into m values ('ok', array['sad', 'ok']::mood[])]]
      local sql = "select * from m where m = ?"
      warm(db, sql, "ok")
      assert.same({ "sad", "ok" }, { (table.unpack or unpack)(
        db:one(sql, "ok").list) })
      change "alter type mood add value 'happy'"
      db:execute("update m set m = ?, list = ?", "happy",
        perigee.array { "happy" })
      assert.equal("happy", db:one(sql, "happy").list[1])
      change [[drop table m; drop type mood;
        create type mood as (a integer, b text);
        create table m (m mood, list mood[]);
        insert into m values ((1, 'x'), array[(2, 'y')::mood])]]
      local row = db:one "select * from m"
      assert.equal(1, row.m.a)
      assert.equal("y", row.list[1].b)
      db:execute("update m set m = ?", row.m)
      change "alter type mood add attribute c integer"
      local ok, err = pcall(db.one, db, "select * from m")
      if not ok then
        assert.is_true(err.retryable, tostring(err))
        row = db:one "select * from m"
      else
        row = err
      end
      assert.equal("x", row.m.b)
      assert.equal(perigee.null, row.m.c)
    end)
  end)
end, { "postgres" })
