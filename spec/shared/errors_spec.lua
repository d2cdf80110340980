-- The same mistake gives the same kind on every database.
local perigee = require "perigee"
local helper = require "spec.support.helper"
local check = require "spec.support.check"

local SCHEMA = [[
  create table parent (id integer primary key);
  create table child (
    id integer primary key,
    email varchar(20) not null,
    age integer,
    a integer, b integer,
    parent_id integer references parent (id),
    constraint email_once unique (email),
    constraint age_adult check (age >= 18),
    constraint pair_once unique (a, b));
  insert into parent values (1);
  insert into child (id, email, parent_id) values (1, 'a@x', 1)]]

-- kind, SQL, fields that are set on { postgres, sqlite }, and by name on MySQL
local COMMITS = { create = true, alter = true, drop = true }

local MISTAKES = {
  { "a duplicate key", "unique",
    "insert into child (id, email) values (2, 'a@x')",
    { sqlstate = "23505", constraint = "email_once", table = "child",
      schema = "public" },
    { code = 2067, table = "child", column = "email" },
    mysql = { code = 1062, constraint = "email_once", table = "child",
      column = "email" } },
  { "a duplicate primary key", "unique",
    "insert into child (id, email) values (1, 'b@x')",
    { sqlstate = "23505", constraint = "child_pkey", table = "child" },
    { code = 1555, table = "child", column = "id" },
    mysql = { code = 1062, constraint = "PRIMARY", table = "child",
      column = "id" } },
  { "a duplicate pair", "unique", [[insert into child (id, email, a, b)
      values (2, 'b', 1, 1), (3, 'c', 1, 1)]],
    { sqlstate = "23505", constraint = "pair_once" }, { table = "child" },
    mysql = { constraint = "pair_once", table = "child",
      detail = "Key (a, b) already exists." } },
  { "an update to a duplicate", "unique", [[
      update child set id = (select 1) where id = 1 or id = 1;
      insert into child (id, email) values (1, 'zz')]], nil, nil, true },
  { "a missing parent", "foreign_key",
    "insert into child (id, email, parent_id) values (2, 'b@x', 99)",
    { sqlstate = "23503", constraint = "child_parent_id_fkey",
      table = "child" }, { code = 787 },
    mysql = { code = 1452, constraint = "child_ibfk_1", table = "child",
      column = "parent_id" } },
  { "a parent still referred to", "foreign_key",
    "delete from parent where id = 1",
    { sqlstate = "23503", constraint = "child_parent_id_fkey" },
    { code = 787 },
    mysql = { code = 1451, constraint = "child_ibfk_1", table = "child" } },
  { "a missing value", "not_null",
    "insert into child (id) values (2)",
    { sqlstate = "23502", table = "child", column = "email" },
    { code = 1299, table = "child", column = "email" },
    mysql = { code = 1364, column = "email" } },
  { "an explicit null", "not_null", "update child set email = null",
    { sqlstate = "23502", column = "email" },
    { code = 1299, column = "email" },
    mysql = { code = 1048, column = "email" } },
  { "a failed check", "check",
    "insert into child (id, email, age) values (2, 'b', 17)",
    { sqlstate = "23514", constraint = "age_adult", table = "child" },
    { code = 275, constraint = "age_adult" },
    mysql = { code = 4025, constraint = "age_adult", table = "child" } },
  { "a typing error", "syntax", "selec 1",
    { sqlstate = "42601", position = 1 }, { code = 1, position = 1 },
    mysql = { code = 1064, sqlstate = "42000", position = 1 } },
  { "a missing parenthesis", "syntax", "select (1",
    { sqlstate = "42601" }, { code = 1 }, mysql = { code = 1064 } },
  { "a literal without an end", "syntax", "select 'abc", { position = 8 },
    { position = 8 }, mysql = { position = 8 } },
  { "an error behind other letters", "syntax", "select 'äöü', from",
    { sqlstate = "42601", position = 15 }, { position = 15 },
    mysql = { position = 15 } },
  { "an unknown table", "undefined", "select * from nope",
    { sqlstate = "42P01", position = 15 }, { code = 1, table = "nope" },
    mysql = { code = 1146, table = "nope" } },
  { "an unknown column", "undefined", "select nope from child",
    { sqlstate = "42703", position = 8 }, { code = 1, column = "nope" },
    mysql = { code = 1054, column = "nope" } },
  { "an unknown column of an insert", "undefined",
    "insert into child (nope) values (1)", { sqlstate = "42703" },
    { code = 1, table = "child", column = "nope" },
    mysql = { column = "nope" } },
  { "an unknown column of an update", "undefined",
    "update child set nope = 1", { sqlstate = "42703" },
    { code = 1, column = "nope" }, mysql = { column = "nope" } },
  { "an unknown function", "undefined", "select nope_fn(1)",
    { sqlstate = "42883" }, { code = 1 } },
  { "dropping an unknown table", "undefined", "drop table nope",
    { sqlstate = "42P01" }, { table = "nope" },
    mysql = { code = 1051, table = "nope" } },
  { "dropping an unknown index", "undefined", "drop index nope",
    { sqlstate = "42704" }, {},
    mysql = { code = 1091 }, mysql_sql = "drop index nope on child" },
  { "a table that is there", "duplicate", "create table child (id integer)",
    { sqlstate = "42P07" }, { table = "child" },
    mysql = { code = 1050, table = "child" } },
  { "a column that is there", "duplicate",
    "alter table child add column age integer", { sqlstate = "42701" },
    { column = "age" }, mysql = { column = "age" } },
  { "a column twice", "duplicate", "create table u (a integer, a integer)",
    { sqlstate = "42701" }, { column = "a" }, mysql = { column = "a" } },
  { "an index that is there", "duplicate",
    "create index email_idx on child (a); create index email_idx on child (b)",
    { sqlstate = "42P07" }, {}, true },
}

local function assert_fields(fields, err)
  for k, v in pairs(fields or {}) do
    assert.equal(v, err[k], k .. " of " .. tostring(err))
  end
end

helper.for_each_db(function(name, open)
  local is_postgres, is_mysql = name == "postgres", name == "mysql"

  describe("an error", function()
    for _, m in ipairs(MISTAKES) do
      it("of " .. m[1] .. " is " .. m[2], function()
        local db = open { max_size = 1 }
        db:script(SCHEMA)
        local sql = is_mysql and m.mysql_sql or m[3]
        local verbs = m[6] and { "script" }
          or { "query", "execute", "first", "value", "script" }
        for _, verb in ipairs(verbs) do
          local err = check.refuses(db, m[2], db[verb], db, sql)
          assert_fields(is_postgres and m[4] or is_mysql and m.mysql
            or not is_mysql and m[5], err)
          assert.is_false(err.retryable)
          if verb ~= "script" then assert.equal(sql, err.sql) end
        end
        db:connection(function(conn)
          check.raises(m[2], conn.script, conn, sql)
          assert.equal(1, conn:value "select 1")
        end)
        -- DDL that would commit is not sent from inside of a transaction.
        local commits = is_mysql and COMMITS[sql:match "%a+"]
        check.raises(commits and "usage" or m[2], db.transaction, db, function(tx)
          tx:script(sql)
        end)
        assert.equal(1, db:value "select count(*) from child")
        check.usable(db)
      end)
    end

    it("of a value that the type cannot hold is data", function()
      local db = open { max_size = 1 }
      if is_postgres or is_mysql then
        db:script "create table t (n integer, d date, v varchar(3))"
      else
        db:script "create table t (n integer) strict"
      end
      check.refuses(db, "data", db.execute, db, "insert into t (n) values (?)",
        "not a number")
      check.refuses(db, "data", db.execute, db,
        "insert into t (n) values ('x')")
      if is_postgres then
        for _, sql in ipairs {
          "insert into t (v) values ('abcd')", "select 1 / 0",
          "insert into t (d) values ('2026-02-30')", "select 'x'::uuid",
          "select 2147483647 + 1", "select '{'::json",
        } do
          check.refuses(db, "data", db.execute, db, sql)
        end
      end
    end)

    it("of a write where only reads are allowed is permission", function()
      local db = open { max_size = 1 }
      db:script "create table t (n integer)"
      check.raises("permission", db.transaction, db, function(tx)
        tx:execute "insert into t values (1)"
      end, { readonly = true })
      assert.equal(0, db:value "select count(*) from t")
      check.usable(db)
    end)

    it("of a statement that ran out of time is timeout, with its text",
       function()
      local db = open { max_size = 1, query_timeout = 0.4 }
      local slow = is_postgres and "select pg_sleep(20)"
        or [[with recursive c(x) as (select 1 union all select x + 1 from c)
             select count(*) from c]]
      local err = check.refuses(db, "timeout", db.query, db, slow)
      assert.equal(slow, err.sql)
      assert.is_false(err.retryable)
    end)

    it("of a cancelled task is cancelled", function()
      local db = open { max_size = 1 }
      local slow = is_postgres and "select pg_sleep(20)"
        or [[with recursive c(x) as (select 1 union all select x + 1 from c)
             select count(*) from c]]
      perigee.run(function()
        local task = perigee.spawn(function() db:query(slow) end)
        perigee.sleep(0.05)
        task:cancel()
        check.raises("cancelled", task.join, task)
      end)
      check.usable(db)
    end)

    it("of a lock that another connection holds is locked and retryable",
       function()
      if name == "sqlite memory" then return end
      local db, other = open { max_size = 1 }, open { max_size = 1 }
      db:script "create table t (n integer); insert into t values (1)"
      db:transaction(function(tx)
        tx:execute "update t set n = 2"
        local err
        if is_postgres or is_mysql then
          err = check.raises("locked", other.query, other,
            "select * from t for update nowait")
          if is_postgres then assert.equal("55P03", err.sqlstate) end
          if is_mysql then assert.equal(1205, err.code) end
        else
          err = check.raises("locked", other.execute, other,
            "update t set n = 3", {}, { timeout = 0.1 })
        end
        assert.is_true(err.retryable)
      end)
      assert.equal(2, other:value "select n from t")
      check.usable(other)
    end)

    it("of a lock is locked, also when the loop is late", function()
      if name ~= "sqlite" then return end -- a server does not say what it waits for
      local db, other = open { max_size = 1 }, open { max_size = 1 }
      db:script "create table t (n integer); insert into t values (1)"
      db:transaction(function(tx)
        tx:execute "update t set n = 2"
        perigee.run(function()
          local waits = perigee.spawn(check.raises, "locked", other.execute,
            other, "update t set n = 3", {}, { timeout = 0.1 })
          perigee.sleep(0.05)
          local from = os.clock() -- nobody's turn until the time is over
          while os.clock() - from < 0.1 do math.random() end
          waits:join()
        end)
      end)
      check.usable(other)
    end)

    it("in a transaction is kept as the cause of what follows", function()
      local db = open { max_size = 1 }
      db:script(SCHEMA)
      if not is_postgres then return end
      local first
      local err = check.refuses(db, "aborted", db.transaction, db,
        function(tx)
          first = check.raises("unique", tx.execute, tx,
            "insert into child (id, email) values (2, 'a@x')")
          check.raises("aborted", tx.query, tx, "select 1")
        end)
      assert.equal("unique", err.cause and err.cause.kind)
      assert.equal(first.constraint, err.cause.constraint)
    end)

    it("raised by a caller passes through untouched", function()
      local db = open { max_size = 1 }
      for _, thing in ipairs { {}, "text", 7, false } do
        for _, verb in ipairs { "transaction", "connection" } do
          local ok, err = pcall(db[verb], db, function() error(thing, 0) end)
          assert.is_false(ok)
          assert.equal(thing, err)
        end
      end
      check.usable(db)
    end)

    it("is one object with a text, also beside a string", function()
      local db = open()
      local err = check.raises("undefined", db.query, db,
        "select *\nfrom nope")
      assert.equal(perigee.error, getmetatable(err))
      assert.equal("before " .. tostring(err), "before " .. err)
      assert.equal(tostring(err) .. " after", err .. " after")
      assert.matches("^undefined: ", tostring(err))
      assert.equal("select *\nfrom nope", err.sql)
    end)

    it("has a text of one line, whatever the message holds", function()
      local db = open()
      local sql = is_postgres and [[do $$ begin raise exception
          E'a\nb\r\tc\x1b[31m'; end $$]]
        or helper.sql(name, [[create table "a
b" (id integer); create table "a
b" (id integer)]])
      local ok, err = pcall(db.script, db, sql)
      assert.is_false(ok)
      assert.is_nil(tostring(err):find "%c", tostring(err))
      assert.is_truthy(err.message:find "\n")
    end)
  end)

  describe("foreign keys (P-56)", function()
    it("hold on every connection, also on a fresh one", function()
      local db = open { max_size = 3 }
      db:script(SCHEMA)
      local sql = "insert into child (id, email, parent_id) values (?, ?, 99)"
      perigee.run(function()
        local fns = {}
        for i = 1, 3 do
          fns[i] = function()
            check.raises("foreign_key", db.transaction, db, function(tx)
              tx:value "select 1"
              perigee.sleep(0.01)
              tx:execute(sql, 10 + i, "x" .. i)
            end)
          end
        end
        perigee.gather((table.unpack or unpack)(fns))
      end)
      if name ~= "sqlite memory" then
        db:evict()
        check.refuses(db, "foreign_key", db.execute, db, sql, 20, "y")
      end
      check.raises("foreign_key", db.execute_many, db, sql, { { 30, "z" } })
      assert.equal(1, db:value "select count(*) from child")
    end)
  end)
end)
