-- Prepared statements under a schema that changes. F-38 … F-44, P-58.

local perigee = require "perigee"
local fake = require "spec.support.fakepg"
local faults = require "spec.support.faults"
local helper = require "spec.support.helper"

local fails, open = faults.fails, faults.open

faults.on_postgres("Prepared statements", function()
  local db

  before_each(function()
    faults.admin():script [[
      set client_min_messages = warning;
      drop schema if exists f38 cascade; create schema f38;
      create table f38.t (id int primary key, v int);
      insert into f38.t values (1, 10)]]
    db = open(faults.with(faults.postgres,
      { options = "-c search_path=f38,public" }), { max_size = 1 })
  end)

  -- What the schema is changed by: another connection.
  local function change(sql)
    faults.admin():script("set search_path = f38, public;" .. sql
      .. ";reset search_path")
  end

  it("F-38 a column is added under select *: one new preparation", function()
    assert.same({ id = 1, v = 10 }, db:one "select * from t")
    change "alter table t add w text default 'w'"
    assert.same({ id = 1, v = 10, w = "w" }, db:one "select * from t")
    change "alter table t drop w"
    assert.same({ id = 1, v = 10 }, db:one "select * from t")
  end)

  it("F-38 in a stream and with first", function()
    for _ = 1, 2 do
      for row in db:each "select * from t" do assert.equal(1, row.id) end
      assert.equal(1, db:first("select * from t where id = ?", 1).id)
      change "alter table t add w text default 'w'"
      for row in db:each "select * from t" do assert.equal("w", row.w) end
      assert.equal("w", db:first("select * from t where id = ?", 1).w)
      change "alter table t drop w"
    end
  end)

  it("F-38 inside a transaction: a retryable error, and the next one works",
    function()
      db:one "select * from t"
      local err = fails(nil, db.transaction, db, function(tx)
        tx:query "select 1"
        change "alter table t add w text default 'w'"
        tx:one "select * from t"
      end)
      assert.equal("0A000", err.sqlstate)
      assert.is_true(err.retryable)
      db:transaction(function(tx)
        assert.equal("w", tx:one "select * from t".w)
      end)
    end)

  it("F-38 drops it on every connection, not only where it was seen", function()
    local pool = open(faults.with(faults.postgres,
      { options = "-c search_path=f38,public" }), { max_size = 3 })
    local function on_all()
      perigee.run(function()
        local fns = {}
        for i = 1, 3 do
          fns[i] = function()
            return pool:connection(function(c)
              perigee.sleep(0.02)
              return c:one "select * from t"
            end)
          end
        end
        for _, row in ipairs { perigee.gather((table.unpack or unpack)(fns)) } do
          assert.equal(1, row.id)
        end
      end)
    end
    on_all()
    change "alter table t add w text"
    on_all()
  end)

  it("F-39 a column's type changes: the bytes are never misread", function()
    local select = "select v from t where id = ?"
    assert.equal(10, db:value(select, 1))
    change "alter table t alter v type int8"
    assert.equal(10, db:value(select, 1))
    change "alter table t alter v type text"
    assert.equal("10", db:value(select, 1))
    change "alter table t alter v type numeric(10, 2) using v::numeric"
    assert.equal("10.00", db:value(select, 1))
    change "alter table t alter v type float8"
    assert.equal(10, db:value(select, 1))
    change "alter table t alter v type timestamptz using '2026-01-02 03:04:05Z'"
    assert.equal("2026-01-02T03:04:05.000000Z", db:value(select, 1))
  end)

  it("F-39 a parameter's type changes", function()
    local update = "update t set v = ? where id = 1"
    db:execute(update, 11)
    change "alter table t alter v type text"
    db:execute(update, "twelve")
    assert.equal("twelve", db:value "select v from t")
    change "alter table t alter v type bool using true"
    db:execute(update, false)
    assert.is_false(db:value "select v from t")
  end)

  it("F-39 an enumeration gets a value", function()
    change "create type mood as enum ('sad', 'ok'); alter table t add m mood"
    local update = "update t set m = ?"
    db:execute(update, "ok")
    fails("data", db.execute, db, update, "glad")
    change "alter type mood add value 'glad'"
    db:execute(update, "glad")
    assert.equal("glad", db:value "select m from t")
    assert.same({ "sad", "glad" }, db:value "select array['sad','glad']::mood[]")
  end)

  it("F-39 a type is dropped and made again with a new OID", function()
    change "create type pair as (a int, b text); alter table t add p pair"
    change "update t set p = row(1, 'x')"
    assert.same({ a = 1, b = "x" }, db:value "select p from t")
    change [[alter table t drop p; drop type pair;
      create type pair as (b text, a int, c bool);
      alter table t add p pair; update t set p = row('y', 2, true)]]
    assert.same({ a = 2, b = "y", c = true }, db:value "select p from t")
  end)

  it("F-39 an attribute of a composite type is dropped, added, renamed",
    function()
      change [[create type pair as (a int, b text); alter table t add p pair;
        update t set p = row(1, 'x')]]
      assert.same({ a = 1, b = "x" }, db:value "select p from t")
      change "alter type pair drop attribute a"
      -- Seen in the bytes: an error once, and what they mean is asked for anew.
      local err = fails("database", db.value, db, "select p from t")
      assert.is_true(err.retryable)
      assert.matches("has changed", err.message)
      assert.same({ b = "x" }, db:value "select p from t")
      change "alter type pair add attribute c int8"
      change "update t set p.c = 7"
      assert.is_true(fails("database", db.value, db, "select p from t")
        .retryable)
      assert.same({ b = "x", c = 7 }, db:value "select p from t")
    end)

  it("F-40 DEALLOCATE ALL behind our back: prepared again", function()
    assert.equal(10, db:value "select v from t")
    db:connection(function(conn)
      conn:execute "deallocate all"
    end)
    assert.equal(10, db:value "select v from t")
    db:connection(function(conn)
      conn:value "select v from t"
      conn:script "discard all"
      assert.equal(1, conn:value "select 1")
      fails("undefined", conn.value, conn, "select v from no_such_table")
    end)
    -- DISCARD ALL has the search_path of the start again.
    assert.equal(10, db:value "select v from t")
  end)

  it("F-40 DEALLOCATE ALL in a transaction: a retryable error", function()
    db:value "select v from t"
    local err = fails(nil, db.transaction, db, function(tx)
      tx:script "do $$ begin execute 'deallocate all'; end $$"
      tx:value "select v from t"
    end)
    assert.equal("26000", err.sqlstate)
    assert.is_true(err.retryable)
    assert.equal(10, db:value "select v from t")
  end)

  it("F-41 a name that exists already: another one is taken", function()
    db:connection(function(conn)
      assert.equal(1, conn:value "select 1")
      conn:script [[do $$ declare base text; begin
        select substring(name from '^prg_.*_') into base
          from pg_prepared_statements where name like 'prg%' limit 1;
        for i in 2..20 loop
          execute 'prepare ' || base || i || ' as select 5';
        end loop; end $$]]
      for i = 1, 30 do assert.equal(i, conn:value("select " .. i)) end
      assert.equal(10, conn:value "select v from t")
    end)
  end)

  it("F-42 search_path changes: no stale plan reads the wrong table", function()
    change "create table only_here (n int); insert into only_here values (1)"
    faults.admin():script [[drop schema if exists f42 cascade;
      create schema f42; create table f42.t (id int, v int);
      insert into f42.t values (1, 42);
      create table f42.u (v text)]]
    db:connection(function(conn)
      assert.equal(10, conn:value "select v from t")
      conn:execute "set search_path = f42"
      assert.equal(42, conn:value "select v from t")
      fails("undefined", conn.value, conn, "select n from only_here")
      conn:execute "set search_path = f38"
      assert.equal(10, conn:value "select v from t")
      conn:script "create temp table t (v text); insert into t values ('temp')"
      assert.equal("temp", conn:value "select v from t")
    end)
    assert.equal(10, db:value "select v from t")
    faults.admin():script "drop schema f42 cascade"
  end)

  it("F-42 another schema's table of other columns", function()
    faults.admin():script [[drop schema if exists f42 cascade;
      create schema f42; create table f42.t (a text, b bool);
      insert into f42.t values ('a', true)]]
    db:connection(function(conn)
      assert.same({ id = 1, v = 10 }, conn:one "select * from t")
      conn:execute "set search_path = f42"
      assert.same({ a = "a", b = true }, conn:one "select * from t")
    end)
    faults.admin():script "drop schema f42 cascade"
  end)

  it("F-43 ten thousand statements: the server keeps a bounded number",
    function()
      local cap = 50
      local narrow = open(faults.postgres,
        { max_size = 1, statement_cache = cap })
      local most = 0
      for i = 1, helper.soak(10000) do
        assert.equal(i, narrow:value(("select %d + ?"):format(i), 0))
        if i % 200 == 0 then
          local n = narrow:value "select count(*)::int from pg_prepared_statements"
          most = math.max(most, n)
        end
      end
      assert.is_true(most <= cap + 2, tostring(most))
      -- In one transaction as well.
      narrow:transaction(function(tx)
        for i = 1, 500 do
          assert.equal(i, tx:value(("select %d - ?"):format(i), 0))
        end
      end)
      local n = narrow:value "select count(*)::int from pg_prepared_statements"
      assert.is_true(n <= 2 * cap + 100, tostring(n))
    end)

  it("F-44 eviction while statements are in use", function()
    local narrow = open(faults.postgres, { max_size = 2, statement_cache = 1 })
    perigee.run(function()
      perigee.gather(function()
        narrow:connection(function(conn)
          local n = 0
          for row in conn:each "select n from generate_series(1, 2000) n" do
            n = n + 1
            assert.equal(n, row.n)
            if n % 100 == 0 then
              assert.equal(n, conn:value(("select %d + ?"):format(n), 0))
            end
          end
          assert.equal(2000, n)
        end)
      end, function()
        for i = 1, 200 do
          assert.equal(i, narrow:value(("select ?::int + %d - %d"):format(i, i), i))
        end
      end)
    end)
    assert.equal(0, narrow:stats().in_use)
  end)

  it("F-44 results outlive their statement and their handle", function()
    local narrow = open(faults.postgres, { max_size = 1, statement_cache = 1 })
    local rows = narrow:query "select n, n::text as t from generate_series(1, 9) n"
    for i = 1, 5 do narrow:value("select " .. i) end
    narrow:close()
    collectgarbage()
    for i = 1, 9 do assert.same({ n = i, t = tostring(i) }, rows[i]) end
  end)

  it("P-58 a unique index that an upsert uses is made again", function()
    local upsert = [[insert into t (id, v) values (?, ?)
      on conflict (id) do update set v = excluded.v returning v]]
    assert.equal(11, db:value(upsert, 1, 11))
    change "alter table t drop constraint t_pkey"
    assert.equal("42P10", fails(nil, db.value, db, upsert, 1, 12).sqlstate)
    change "alter table t add primary key (id)"
    assert.equal(13, db:value(upsert, 1, 13))
  end)

  it("P-58 a pooler that keeps no statements: statement_cache = 0", function()
    local bare = open(faults.with(faults.postgres,
      { options = "-c search_path=f38,public" }),
      { max_size = 1, statement_cache = 0 })
    assert.equal(10, bare:value("select v from t where id = ?", 1))
    assert.equal(0, bare:value
      "select count(*)::int from pg_prepared_statements")
    change "alter table t alter v type text"
    assert.equal("10", bare:value("select v from t where id = ?", 1))
    bare:execute_many("insert into t values (?, ?)", { { 2, "b" }, { 3, "c" } })
    assert.equal(3, bare:value "select count(*)::int from t")
    assert.equal(0, bare:value
      "select count(*)::int from pg_prepared_statements")
  end)
end)

faults.without_server("Prepared statements", function()
  it("F-41 a server that knows every name already: an error, no loop", function()
    local server = faults.server(fake.hello .. "loop\nawait S\n"
      .. fake.send(fake.error("42P05", "prepared statement exists"),
        fake.ready()) .. "again\n")
    local db = open(server.url)
    local err = fails(nil, db.query, db, "select 1")
    assert.equal("42P05", err.sqlstate)
  end)

  it("F-40 a server that forgets every statement: an error, no loop", function()
    local server = faults.server(fake.hello .. "loop\n"
      .. fake.prepared { "a", 23 } .. "await S\n"
      .. fake.send(fake.error("26000", "prepared statement does not exist"),
        fake.ready()) .. "again\n")
    local db = open(server.url)
    local err = fails(nil, db.query, db, "select 1")
    assert.equal("26000", err.sqlstate)
  end)
end)
