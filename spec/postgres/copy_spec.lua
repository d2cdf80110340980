-- COPY on PostgreSQL, by both links: rows of every type against insert_many, errors and
-- cancels in the middle, transactions, bytes; and insert_many of large lists, which goes
-- by COPY.
local perigee = require "perigee"
local helper = require "spec.support.helper"
local check = require "spec.support.check"

local url = os.getenv "PERIGEE_TEST_POSTGRES"
local null = perigee.null

local function failure(f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok)
  return err
end

local function collect(next_row, it)
  local list = {}
  for row in next_row, it do list[#list + 1] = row end
  return list
end

-- n records with these ids, made one by one.
local function numbers(n, from)
  local i = (from or 1) - 1
  return function()
    i = i + 1
    if i <= (from or 1) - 1 + n then return { id = i, name = "number " .. i } end
  end
end

local function link_of(protocol)
  return url and url .. (url:find("?", 1, true) and "&" or "?") .. "protocol=" .. protocol
end

local TYPES = {
  { "bool", { true, false, null } },
  { "int2", { -32768, 32767, null } },
  { "int4", { -2147483648, 2147483647, null } },
  { "int8", { check.int8 "-9223372036854775808", check.int8 "9007199254740993", 1 } },
  { "oid", { 4294967295, 0 } },
  { "float4", { 1.5, -0.25, null } },
  { "float8", { 0.1, 1 / 0, -1 / 0, 5e-324, 3 } },
  { "numeric", { "123.40", "-0.00001", "NaN", 7, ("9"):rep(400) } },
  { "numeric(10,2)", { "123.456", 1 } },
  { "text", { "", "a\tb\\c\nd\r", "\\N", "嗨 😀", ("x"):rep(100000), null } },
  { "varchar(3)", { "abc", "" } },
  { "char(5)", { "a", "嗨" } },
  { "name", { ("n"):rep(63), "x" } },
  { '"char"', { "c", "" } },
  { "bytea", { perigee.bytes "a\0b\255", "", "\\x00" } },
  { "date", { "2026-11-20", "infinity", "0001-01-01 BC" } },
  { "time", { "08:30:00.123456", "24:00:00" } },
  { "timetz", { "08:30:00+02" } },
  { "timestamp", { "2026-11-20T08:30:00.000001", "-infinity" } },
  { "timestamptz", { "2026-11-20T08:30:00Z", "2026-11-20 08:30:00+05:30" } },
  { "interval", { "1 year 2 days 03:04:05.6" } },
  { "uuid", { "0b6fe2a0-5a3c-4b1e-9d0a-6d0a3b3c1f00", "0B6FE2A05A3C4B1E9D0A6D0A3B3C1F00" } },
  { "json", { { a = { 1, 2 } }, 'a "string"\n', 1.5, true } },
  { "jsonb", { { a = { 1, 2 } }, 'a "string"\n', false } },
  { "inet", { "10.0.0.1/8", "::1" } },
  { "cidr", { "10.0.0.0/8" } },
  { "macaddr", { "08:00:2b:01:02:03" } },
  { "bit(3)", { "101" } },
  { "varbit", { "10101" } },
  { "money", { "$1.50" } },
  { "point", { "(1,2)" } },
  { "xml", { "<a>&lt;</a>" } },
  { "tsvector", { "'a':1 'b':2" } },
  { "int4[]", { { 1, 2, null }, {}, { { 1, 2 }, { 3, 4 } }, null } },
  { "text[]", { { "a\tb", 'c"d\\', null, "NULL", "" }, {} } },
  { "float8[]", { { 1.5, 2 } } },
  { "bool[]", { { true, false } } },
  { "uuid[]", { { "0b6fe2a0-5a3c-4b1e-9d0a-6d0a3b3c1f00" } } },
  { "jsonb[]", { { { a = 1 }, { b = 2 } } } },
  { "bytea[]", { { "a\\\255", "" } } },
  { "numeric[]", { { "1.50", "2" } } },
  { "timestamptz[]", { { "2026-11-20T08:30:00Z" } } },
  { "int4range", { perigee.range(1, 5), perigee.range(nil, 3) } },
  { "mood", { "sad", "o,k" } },
  { "mood[]", { { "sad", "o,k" } } },
  { "pair", { perigee.record { a = 1, b = "x\ty" } } },
  { "small", { 5, null } },
  { "small[]", { { 5, 6 } } },
}

local TYPES_SQL = [[
create type mood as enum ('sad', 'o,k');
create type pair as (a int, b text);
create domain small as int4 check (value < 100)]]

describe("COPY of every type", function()
  if not url then return pending "PERIGEE_TEST_POSTGRES is not set" end
  after_each(helper.cleanup)

  for _, protocol in ipairs { "wire", "libpq" } do
    it("stores what insert_many stores, and reads what select reads, by " .. protocol, function()
      local db = helper.open(link_of(protocol))
      db:script("drop schema public cascade; create schema public;" .. TYPES_SQL)
      for i, case in ipairs(TYPES) do
        local a, b = "a" .. i, "b" .. i
        for _, t in ipairs { a, b } do
          db:execute(("create table %s (n int4, v %s)"):format(t, case[1]))
        end
        local list = {}
        for n, v in ipairs(case[2]) do list[n] = { n = n, v = v } end
        db:insert_many(a, list)
        assert.are.equal(#list, db:copy_in(b, list))
        local differ = ("select count(*) from %s x full join %s y using (n) "
          .. "where x.v::text is distinct from y.v::text"):format(a, b)
        assert.are.equal(0, tonumber(db:value(differ)), case[1])
        local want = db:query(("select n, v from %s order by n"):format(b))
        local got = collect(db:copy_out(("select n, v from %s order by n;"):format(b)))
        assert.are.equal(#want, #got)
        for n in ipairs(want) do assert.are.same(want[n], got[n], case[1]) end
      end
    end)
  end
end)

for _, protocol in ipairs { "wire", "libpq" } do
  describe("COPY by " .. protocol, function()
    if not url then return pending "PERIGEE_TEST_POSTGRES is not set" end
    after_each(helper.cleanup)

    local function open(options)
      local db = helper.open(link_of(protocol), options)
      db:script [[
        drop schema public cascade; create schema public;
        create table items (id int8 primary key check (id <> -13), name text not null,
          parent int8 references items deferrable initially deferred)]]
      return db
    end

    local function count(x)
      return tonumber(x:value "select count(*) from items")
    end

    it("takes lists, iterators, lists of values and chunks of bytes", function()
      local db = open()
      assert.are.equal(2, db:copy_in("items", { { id = 1, name = "a" }, { id = 2, name = "b" } }))
      assert.are.equal(20000, db:copy_in(db:table "items", numbers(20000, 100)))
      assert.are.equal(1, db.t.items:copy_in({ { 3, "c" } }, { columns = { "id", "name" } }))
      assert.are.equal(2, db:copy_in("COPY items (id, name) FROM STDIN (FORMAT csv)",
        { "4,d", "\n5,", "e\n" }))
      assert.are.equal(0, db:copy_in("items", {}))
      assert.are.equal(0, db:copy_in("items", function() end))
      assert.are.equal(20005, count(db))
    end)

    it("takes NULL for what a record lacks, and no column that the first lacks", function()
      local db = open()
      db:copy_in("items", { { id = 1, name = "a", parent = 1 }, { id = 2, name = "b" } })
      assert.is_nil(db:value "select parent from items where id = 2")
      local err = failure(db.copy_in, db, "items",
        { { id = 3, name = "a" }, { id = 4, name = "b", parent = 3 } })
      assert.are.equal("usage", err.kind)
      assert.are.equal(2, err.record)
      assert.is_truthy(err.message:find("record 2: parent", 1, true))
      err = failure(db.copy_in, db, "items", { { id = 3, nam = "a" } })
      assert.are.equal("usage", err.kind)
      assert.are.equal(2, count(db))
    end)

    it("tells the kind, the constraint and the record of an error", function()
      local db = open()
      local function fails(list)
        local err = failure(db.copy_in, db, "items", list)
        return err.kind, err.constraint, err.record
      end
      local function same(want, ...) assert.are.same(want, { ... }) end
      same({ "unique", "items_pkey", 2 }, fails { { id = 1, name = "a" }, { id = 1, name = "b" } })
      same({ "check", "items_id_check", 2 },
        fails { { id = 1, name = "a" }, { id = -13, name = "b" } })
      local err = failure(db.copy_in, db, "items", { { id = 1, name = null } })
      assert.are.same({ "not_null", "name", 1 }, { err.kind, err.column, err.record })
      err = failure(db.copy_in, db, "items", { { id = 1, name = "a", parent = 9 } })
      assert.are.same({ "foreign_key", "items_parent_fkey" }, { err.kind, err.constraint })
      err = failure(db.copy_in, db, "items", { { id = 1, name = "a" }, { id = 2.5, name = "b" } })
      assert.are.same({ "usage", 2 }, { err.kind, err.record })
      err = failure(db.copy_in, db, "items", { { id = 1, name = "a\0" } })
      assert.are.same({ "usage", "name" }, { err.kind, err.column })
      assert.are.equal(0, count(db))
    end)

    it("sees an error of the server at once and stops the source", function()
      local db = open()
      local asked = 0
      local err = failure(db.copy_in, db, "items", function()
        asked = asked + 1
        if asked < 3000000 then return { id = -13, name = "x" } end
      end)
      assert.are.equal("check", err.kind)
      assert.is_true(asked < 1000000)
      assert.are.equal(0, count(db))
    end)

    it("stores nothing when the source raises, and the connection goes on", function()
      local db = open { max_size = 1 }
      local rows = numbers(20000)
      local n = 0
      local err = failure(db.copy_in, db, "items", function()
        n = n + 1
        if n == 15000 then error("the source is dry", 0) end
        return rows()
      end)
      assert.are.equal("the source is dry", err)
      assert.are.equal(0, count(db))
      db:connection(function(conn)
        local before = conn:info().backend
        assert.are.equal("no", failure(conn.copy_in, conn, "items", function() error("no", 0) end))
        n = 0
        failure(conn.copy_in, conn, "items", function()
          n = n + 1
          return n < 10000 and { id = n, name = "x" } or error("no", 0)
        end)
        assert.are.equal(before, conn:info().backend)
        assert.are.equal(1, conn:value "select 1")
      end)
    end)

    it("takes sources that wait, and lets others run meanwhile", function()
      local db = open()
      local ticks = 0
      perigee.run(function()
        local done = false
        perigee.gather(function()
          while not done do
            ticks = ticks + 1
            perigee.sleep(0.001)
          end
        end, function()
          local rows = numbers(30)
          local n = db:copy_in("items", function()
            perigee.sleep(0.001)
            return rows()
          end)
          assert.are.equal(30, n)
          assert.are.equal(100000, db:copy_in("items", numbers(100000, 100)))
          done = true
        end)
      end)
      assert.is_true(ticks > 5)
      assert.are.equal(100030, count(db))
    end)

    it("has a connection of its own while others share theirs (F-36)", function()
      local db = open { max_size = 2 }
      perigee.run(function()
        local copying = perigee.spawn(function()
          local rows = numbers(20000)
          local n = 0
          return db:copy_in("items", function()
            n = n + 1
            if n % 4000 == 0 then perigee.sleep(0.01) end
            return rows()
          end)
        end)
        local tasks, right = {}, 0
        for k = 1, 30 do
          tasks[k] = perigee.spawn(function()
            for j = 1, 20 do
              if db:value("select $1::int4 + $2::int4", k, j) == k + j then right = right + 1 end
            end
          end)
        end
        for k = 1, 30 do tasks[k]:join() end
        assert.are.equal(600, right)
        assert.are.equal(20000, copying:join())
      end)
      assert.are.equal(20000, count(db))
    end)

    it("copies from one table to another", function()
      local db = open()
      db:copy_in("items", numbers(5000))
      db:execute "create table others (id int8, name text)"
      assert.are.equal(5000, db:copy_in("others", db:each "select id, name from items"))
      assert.are.equal(5000, db:copy_in("others", db:copy_out "select id, name from items"))
      assert.are.equal(10000, tonumber(db:value "select count(*) from others"))
    end)

    it("is a savepoint in a transaction, which stays usable", function()
      local db = open()
      db:transaction(function(tx)
        tx:copy_in("items", { { id = 1, name = "a" } })
        assert.are.equal("unique", failure(tx.copy_in, tx, "items",
          { { id = 2, name = "a" }, { id = 1, name = "a" } }).kind)
        assert.are.equal(1, count(tx))
      end)
      assert.are.equal(1, count(db))
      failure(db.transaction, db, function(tx)
        tx:copy_in("items", numbers(10000, 100))
        error "away with it"
      end)
      assert.are.equal(1, count(db))
    end)

    it("refuses other calls on its connection while it runs", function()
      local db = open()
      db:transaction(function(tx)
        -- The first record is asked for before the COPY begins.
        local err
        local rows = numbers(3, 100)
        local asked = 0
        tx:copy_in("items", function()
          asked = asked + 1
          if asked == 2 then err = failure(tx.value, tx, "select 1") end
          return rows()
        end)
        assert.are.equal("usage", err.kind)
        assert.are.equal(1, tx:value "select 1")
      end)
    end)

    it("ends by its time-out, and by a cancel", function()
      local db = open { max_size = 1 }
      db:script [[
        create function slow() returns trigger language plpgsql as
          'begin perform pg_sleep(10); return new; end';
        create table waits (id int8);
        create trigger slow before insert on waits for each row execute function slow()]]
      local err = failure(db.copy_in, db, "waits", { { id = 1 } }, { timeout = 0.2 })
      assert.are.equal("timeout", err.kind)
      assert.are.equal(1, db:value "select 1")
      perigee.run(function()
        local task = perigee.spawn(function()
          local asked = 0
          db:copy_in("items", function()
            asked = asked + 1
            if asked > 5000 then perigee.sleep(10) end
            return { id = asked + 20, name = "x" }
          end)
        end)
        perigee.sleep(0.1)
        task:cancel()
        assert.are.equal("cancelled", failure(task.join, task).kind)
      end)
      assert.are.equal(0, count(db))
      local got = 0
      for _ in db:copy_out "select g from generate_series(1, 1000000) g" do
        got = got + 1
        if got == 1000 then break end
      end
      collectgarbage()
      collectgarbage()
      assert.are.equal(1, db:value "select 1")
    end)

    it("raises closed when the connection is lost in the middle", function()
      local db = open { max_size = 2 }
      local asked = 0
      local err = failure(db.copy_in, db, "items", function()
        asked = asked + 1
        if asked == 10000 then
          db:execute [[select pg_terminate_backend(pid) from pg_stat_activity
            where query like 'COPY "items"%' and pid <> pg_backend_pid()]]
        end
        return { id = asked + 20, name = "x" }
      end)
      assert.are.equal("closed", err.kind)
      assert.are.equal(0, count(db))
    end)

    it("raises what ended it while the source was waiting", function()
      local db = open { max_size = 2 }
      for _, kind in ipairs { "unique", "closed" } do
        local asked, sent = 0, false
        local err = failure(db.copy_in, db, "items", function()
          asked = asked + 1
          if sent and kind == "closed" then
            db:execute [[select pg_terminate_backend(pid) from pg_stat_activity
              where query like 'COPY "items"%' and pid <> pg_backend_pid()]]
          end
          if sent then perigee.sleep(0.1) end
          return { id = kind == "unique" and asked == 2 and 1 or asked, name = "x" }
          -- The server looks at keys when it has a thousand rows.
        end, { progress = function(rows) sent = rows > 2500 end })
        assert.are.equal(kind, err.kind)
        assert.are.equal(0, count(db))
      end
    end)

    it("tells how far it is", function()
      local db = open()
      local told = {}
      db:copy_in("items", numbers(50000), { progress = function(rows, bytes)
        told[#told + 1] = { rows, bytes }
      end })
      assert.is_true(#told > 5)
      for i = 2, #told do
        assert.is_true(told[i][1] > told[i - 1][1] and told[i][2] > told[i - 1][2])
      end
      assert.are.equal("stop", failure(db.copy_in, db, "items", numbers(50000, 100000),
        { progress = function() error("stop", 0) end }))
      assert.are.equal(50000, count(db))
    end)

    it("gives rows in their shape, and bytes", function()
      local db = open()
      db:copy_in("items", numbers(3))
      assert.are.same({ { 1, "number 1", null } },
        collect(db:copy_out("select * from items limit 1", { rows = "array" })))
      assert.are.same({ { name = "number 1" }, { name = "number 2" }, { name = "number 3" } },
        collect(db.t.items:copy_out { columns = { "name" } }))
      assert.are.equal("1,number 1,\n2,number 2,\n3,number 3,\n",
        table.concat(collect(db:copy_out("items", { raw = true, format = "csv" }))))
      assert.are.equal("1\t2\n", table.concat(collect(db:copy_out "COPY (select 1, 2) TO STDOUT")))
      assert.are.equal("PGCOPY\n",
        table.concat(collect(db:copy_out("items", { raw = true, format = "binary" }))):sub(1, 7))
      assert.are.same({}, collect(db:copy_out "select * from items where false"))
      local n = 0
      for row in db:copy_out "select g, 'x' || g as t from generate_series(1, 100000) g" do
        n = n + 1
        assert(row.g == n and row.t == "x" .. n)
      end
      assert.are.equal(100000, n)
      assert.are.equal("data", failure(function()
        collect(db:copy_out "select 1 / (1000 - g) from generate_series(1, 2000) g")
      end).kind)
      assert.are.equal("aborted", failure(db.transaction, db, function(tx)
        local _, it = tx:copy_out "select 1 from generate_series(1, 1000000)"
        assert.is_truthy(it:next())
      end).kind)
      assert.are.equal(3, count(db))
    end)

    it("refuses what it cannot do", function()
      local db = open()
      local function usage(...) assert.are.equal("usage", failure(...).kind) end
      usage(db.copy_in, db, "COPY items TO STDOUT", { "x" })
      usage(db.copy_in, db, "COPY items FROM '/tmp/x'", { "x" })
      usage(db.copy_in, db, "items", 5)
      usage(db.copy_in, db, "items", { { id = 1, name = "a" } }, { colums = {} })
      usage(db.copy_in, db, "items", { { 1, "a" } })
      usage(db.copy_in, db, "items", { { 1, "a", 2 } }, { columns = { "id", "name" } })
      usage(db.copy_in, db, db:table("items"):scope { parent = 1 }, { { id = 1, name = "a" } })
      usage(db.copy_in, db, db:table("items", { class = { before_insert = print } }), { {} })
      usage(function() for _ in db:copy_out "COPY items FROM STDIN" do end end)
      usage(db.copy_out, db, "items", { format = "csv" })
      usage(db.copy_out, db, "items", { raw = true, rows = "array" })
      usage(db.copy_out, db, "COPY items TO STDOUT", { rows = "array" })
      usage(db.copy_out, db, "COPY items TO STDOUT", { raw = true, format = "csv" })
      assert.are.equal("undefined", failure(db.copy_in, db, "nothing", { { a = 1 } }).kind)
      assert.are.equal("syntax", failure(function()
        for _ in db:copy_out "select from from" do end
      end).kind)
      assert.are.equal(0, count(db))
    end)
  end)
end

describe("insert_many of a large list", function()
  if not url then return pending "PERIGEE_TEST_POSTGRES is not set" end
  after_each(helper.cleanup)

  local N = 5000

  local function open(sql)
    local statements = {}
    local db = helper.open(url, { on_query = function(e)
      statements[#statements + 1] = e.sql:match "^%a+"
    end })
    db:script("drop schema public cascade; create schema public;" .. sql)
    return db, function()
      local found = false
      for _, word in ipairs(statements) do found = found or word == "COPY" end
      for i = #statements, 1, -1 do statements[i] = nil end
      return found
    end
  end

  local function list_of(make)
    local list = {}
    for i = 1, N do list[i] = make(i) end
    return list
  end

  it("stores the same by COPY, with defaults for what records lack", function()
    local db, copied = open [[
      create table a (id serial primary key, g int8 generated by default as identity,
        n int, t text default 'none', j jsonb, ts timestamptz, l int[],
        twice int generated always as (n * 2) stored);
      create table b (like a including all);
      create sequence b_id; alter table b alter id set default nextval('b_id')]]
    local list = list_of(function(i)
      local r = { n = i, j = { i = i }, ts = "2026-11-20T08:30:00Z", l = { i, i + 1 } }
      if i % 3 == 0 then r.t = "t\t\\" .. i end
      if i % 5 == 0 then r.n = null end
      return r
    end)
    assert.are.equal(N, db:insert_many("a", list, { returning = false }))
    assert.is_true(copied())
    for from = 1, N, 1000 do
      local part = {}
      for i = 0, 999 do part[#part + 1] = list[from + i] end
      db:insert_many("b", part, { returning = false })
    end
    assert.is_false(copied())
    local function rows(t)
      return db:value(("select md5(string_agg(concat_ws('|', n, t, j, ts, l, twice), ','"
        .. " order by n, t, j::text)) from %s"):format(t))
    end
    assert.are.equal(rows "b", rows "a")
    assert.are.equal(N, tonumber(db:value "select count(distinct id) from a"))
  end)

  it("goes by statements where COPY would store something else", function()
    local db, copied = open [[
      create table ruled (n int); create table log (n int);
      create rule r as on insert to ruled do also insert into log values (new.n);
      create table always (id int generated always as identity, n int);
      create table secret (n int); alter table secret enable row level security;
      create table plain (n int)]]
    local list = list_of(function(i) return { n = i } end)
    for _, t in ipairs { "ruled", "secret" } do
      assert.are.equal(N, db:insert_many(t, list, { returning = false }))
      assert.is_false(copied())
    end
    assert.are.equal(N, tonumber(db:value "select count(*) from log"))
    assert.are.equal(N, #db:insert_many("plain", list))
    assert.is_false(copied())
    assert.are.equal(N, db:insert_many("always", list, { returning = false }))
    assert.is_true(copied())
    local ids = list_of(function(i) return { id = i, n = i } end)
    local err = failure(db.insert_many, db, "always", ids, { returning = false })
    assert.are.equal("428C9", err.sqlstate)
    assert.is_false(copied())
  end)

  it("tells the same errors, and the record", function()
    local db = open [[create table a (id int primary key, n int not null check (n < 10000))]]
    local function fails(change, ...)
      local list = list_of(function(i) return { id = i, n = i } end)
      change(list)
      local err = failure(db.insert_many, db, "a", list, { returning = false })
      assert.are.same({ ... }, { err.kind, err.constraint or err.column, err.record })
      assert.are.equal(0, tonumber(db:value "select count(*) from a"))
    end
    fails(function(l) l[4000].id = 1 end, "unique", "a_pkey", 4000)
    fails(function(l) l[3000].n = 10001 end, "check", "a_n_check", 3000)
    fails(function(l) l[2000].n = null end, "not_null", "n", 2000)
    db:transaction(function(tx)
      local list = list_of(function(i) return { id = i, n = i } end)
      list[N].id = 1
      assert.are.equal("unique", failure(tx.insert_many, tx, "a", list, { returning = false }).kind)
      assert.are.equal(0, tonumber(tx:value "select count(*) from a"))
      list[N].id = N
      assert.are.equal(N, tx:insert_many("a", list, { returning = false }))
    end)
    assert.are.equal(N, tonumber(db:value "select count(*) from a"))
  end)

  it("keeps to the scope", function()
    local db, copied = open "create table a (id int primary key, owner int not null)"
    local mine = db:table("a"):scope { owner = 7 }
    assert.are.equal(N, mine:insert_many(list_of(function(i) return { id = i } end),
      { returning = false }))
    assert.is_true(copied())
    assert.are.equal(N, tonumber(db:value "select count(*) from a where owner = 7"))
  end)
end)
