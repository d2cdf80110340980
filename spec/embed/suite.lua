-- What a script may expect of the embedded runner, where Busted cannot run: the
-- basics of executors and of verbs on tables, tasks and errors, on SQLite and, when
-- PERIGEE_TEST_POSTGRES and PERIGEE_TEST_MYSQL are set, on PostgreSQL and MariaDB. For
-- `perigee run` and for spec/c/test_embed_suite.c; prints TAP and returns how much has
-- failed.

local lu = require "luaunit"
local perigee = require "perigee"

local postgres, mysql = os.getenv "PERIGEE_TEST_POSTGRES", os.getenv "PERIGEE_TEST_MYSQL"

local SCHEMA = [[
drop table if exists embed_moons;
drop table if exists embed_planets;
create table embed_planets (id integer primary key, name varchar(40) not null unique);
create table embed_moons (id integer primary key,
  planet_id integer not null references embed_planets (id),
  name varchar(40) not null, radius double precision);
insert into embed_planets values (1, 'Mars'), (2, 'Jupiter')]]

local function raised(kind, fn, ...)
  local ok, err = pcall(fn, ...)
  lu.assertFalse(ok)
  lu.assertEquals(type(err), "table", tostring(err))
  lu.assertEquals(err.kind, kind, tostring(err))
  return err
end

-- ---- tests of every database -----------------------------------------------

local tests = {}

function tests.test_values(db)
  lu.assertEquals(db:value "select 42", 42)
  lu.assertEquals(db:value("select cast(? as integer) + 1", 41), 42)
  lu.assertNil(db:value "select null")
  lu.assertEquals(db:value("select cast(? as varchar(9))", "Ö\226\130\172"), "Ö€")
  lu.assertNil(db:first "select 1 where 1 = 0")
  raised("not_found", db.one, db, "select 1 where 1 = 0")
  raised("not_unique", db.one, db, "select name from embed_planets")
end

function tests.test_query(db)
  local rows = db:query "select id, name from embed_planets order by id"
  lu.assertEquals(#rows, 2)
  lu.assertEquals(rows[2].name, "Jupiter")
  lu.assertEquals(rows.columns, { "id", "name" })
  local names = {}
  for row in db:each "select name from embed_planets order by name" do
    names[#names + 1] = row.name
    lu.assertEquals(db:value "select 1", 1)
  end
  lu.assertEquals(names, { "Jupiter", "Mars" })
  local done = db:execute("update embed_planets set name = name where id = ?", 1)
  lu.assertEquals(done.affected, 1)
  db:execute_many("insert into embed_planets values (?, ?)", { { 3, "Saturn" }, { 4, "Pluto" } })
  lu.assertEquals(db:value "select count(*) from embed_planets", 4)
end

function tests.test_errors(db)
  raised("syntax", db.query, db, "selec 1")
  raised("undefined", db.query, db, "select * from embed_nothing")
  raised("usage", db.query, db, "select ?")
  local err = raised("unique", db.execute, db, "insert into embed_planets values (1, 'X')")
  lu.assertStrContains(tostring(err), "unique: ")
  raised("not_null", db.execute, db, "insert into embed_planets values (9, null)")
  raised("foreign_key", db.execute, db, "insert into embed_moons values (9, 9, 'X', 1)")
end

function tests.test_insert(db)
  local row = db:insert("embed_moons", { id = 1, planet_id = 2, name = "Io", radius = 1821.5 })
  lu.assertEquals(row.radius, 1821.5)
  local rows = db:insert_many("embed_moons", {
    { id = 2, planet_id = 2, name = "Europa" }, { id = 3, planet_id = 1, name = "Phobos" },
  })
  lu.assertEquals(#rows, 2)
  lu.assertNil(rows[1].radius)
  raised("usage", db.insert, db, "embed_moons", { id = 4, nosuch = 1 })
end

function tests.test_select(db)
  tests.test_insert(db)
  local moons = db:table "embed_moons"
  lu.assertEquals(moons:get(1).name, "Io")
  lu.assertNil(moons:get(99))
  raised("not_found", moons.at, moons, 99)
  lu.assertEquals(moons:count { planet_id = 2 }, 2)
  local rows = moons({ ["radius:is_null"] = true }, { order_by = "-id" })
  lu.assertEquals({ rows[1].name, rows[2].name }, { "Phobos", "Europa" })
  local page = moons:page(nil, { order_by = "name", limit = 2 })
  lu.assertEquals(page.rows[1].name, "Europa")
  page = moons:page(nil, { order_by = "name", limit = 2, cursor = page.next })
  lu.assertEquals(#page.rows, 1)
end

function tests.test_update_and_delete(db)
  tests.test_insert(db)
  local moons = db:table "embed_moons"
  lu.assertEquals(moons:update({ id = 2 }, { radius = 1560.8 }), 1)
  lu.assertEquals(moons:at(2).radius, 1560.8)
  raised("usage", moons.delete, moons, {})
  lu.assertEquals(moons:delete { planet_id = 2 }, 2)
  local row, created = moons:upsert { id = 3, planet_id = 1, name = "Deimos" }
  lu.assertEquals({ row.name, created }, { "Deimos", false })
end

function tests.test_transactions(db)
  local planets = db:table "embed_planets"
  local ok, err = pcall(db.transaction, db, function(tx)
    tx:insert("embed_planets", { id = 3, name = "Saturn" })
    lu.assertTrue(db:in_transaction())
    error("undone", 0)
  end)
  lu.assertEquals({ ok, err }, { false, "undone" })
  lu.assertEquals(planets:count(), 2)
  db:transaction(function(tx)
    tx:insert("embed_planets", { id = 3, name = "Saturn" })
    pcall(tx.transaction, tx, function() error(planets:delete { id = 3 }) end)
  end)
  lu.assertEquals(planets:count(), 3)
end

-- ---- tests without one -----------------------------------------------------

-- luacheck: globals TestSqlite TestPostgres TestMysql TestTasks (LuaUnit looks for them)

TestTasks = {}

function TestTasks.test_gather()
  local order = {}
  local a, b = perigee.gather(
    function() perigee.sleep(0.02) order[#order + 1] = "a" return 1 end,
    function() order[#order + 1] = "b" return 2 end)
  lu.assertEquals({ a, b }, { 1, 2 })
  lu.assertEquals(order, { "b", "a" })
end

function TestTasks.test_join_and_cancel()
  local task = perigee.spawn(function() perigee.sleep(60) end)
  perigee.sleep(0)
  lu.assertEquals(task:status(), "waiting")
  task:cancel()
  raised("cancelled", task.join, task)
  raised("timeout", perigee.timeout, 0.01, perigee.sleep, 60)
end

function TestTasks.test_host()
  lu.assertEquals((perigee.host()), "perigee")
  raised("usage", perigee.run, function() end)
  raised("usage", perigee.host, "luv") -- which is not loaded
end

-- ---- running ---------------------------------------------------------------

local function make_class(url)
  local class = {}
  local db
  function class.setUp()
    db = perigee.open(url, { max_size = 4 })
    db:script(SCHEMA)
  end
  function class.tearDown()
    db:close()
  end
  for name, fn in pairs(tests) do
    class[name] = function() fn(db) end
  end
  return class
end

local file = os.tmpname()
TestSqlite = make_class("sqlite:///" .. file)
if postgres then TestPostgres = make_class(postgres) end
if mysql then TestMysql = make_class(mysql) end

local runner = lu.LuaUnit.new()
runner:setOutputType "tap"
local failed = runner:runSuite("-v")
for _, suffix in ipairs { "", "-wal", "-shm" } do os.remove(file .. suffix) end
if arg then os.exit(failed) end
return failed
