-- Migrations on MariaDB: what is said again, what others wait for and who makes them wait,
-- what the server answers about ALGORITHM and LOCK, a journal that was half created.
local dialect = require "perigee.dialect"
local files = require "perigee.migrate.files"
local folders = require "spec.support.migrations"
local helper = require "spec.support.helper"
local lint = require "perigee.migrate.lint"
local perigee = require "perigee"
local schema = require "perigee.schema"
local support = require "spec.support.schema"

local fails, of_type = folders.fails, folders.of_type
local D = dialect.named "mysql"

local function shown(db, name)
  return db:one("show create table " .. name)["Create Table"]
end

-- Statements and what each does to `t` on a server of today: nil: nothing that others see;
-- "copy", "wait" (nobody writes meanwhile), "rebuild" (beside those who write).
local STATEMENTS = {
  { "ALTER TABLE t ADD x1 int NOT NULL DEFAULT 5" },
  { "ALTER TABLE t ADD x2 int AS (a + 1) VIRTUAL" },
  { "ALTER TABLE t ADD x3 int AS (a + 1) STORED", "copy" },
  { "ALTER TABLE t ADD x4 int CHECK (x4 > 0)" },
  { "ALTER TABLE t ADD CONSTRAINT ck CHECK (a > 0)", "copy" },
  { "ALTER TABLE t DROP CONSTRAINT ck" },
  { "ALTER TABLE t ADD INDEX i1 (b), RENAME COLUMN d TO dd" },
  { "CREATE UNIQUE INDEX i2 ON t (b)" },
  { "DROP INDEX i2 ON t" },
  { "ALTER TABLE t ADD FOREIGN KEY (p) REFERENCES p (id)", "copy" },
  { "ALTER TABLE t MODIFY a bigint", "copy" },
  { "ALTER TABLE t MODIFY v varchar(300)" },
  { "ALTER TABLE t MODIFY v varchar(5)", "copy" },
  { "ALTER TABLE t MODIFY e enum('x','y','z') NOT NULL" },
  { "ALTER TABLE t MODIFY e enum('w','x','y','z') NOT NULL", "copy" },
  { "ALTER TABLE t MODIFY b int NULL", "rebuild" },
  { "ALTER TABLE t ENGINE = InnoDB", "rebuild" },
  { "ALTER TABLE t DROP PRIMARY KEY, ADD PRIMARY KEY (id, e)", "rebuild" },
  { "CREATE FULLTEXT INDEX ft ON t (l)", "wait" },
  { "ALTER TABLE t CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci", "copy" },
}

local TABLES = [[
table("p", function(t) t.id = bigint { pk = true } end)
table("t", function(t)
  t.id = bigint { pk = true }
  t.p = bigint { null = true }
  t.a = int { null = true }
  t.b = int
  t.d = int { null = true }
  t.v = varchar(10) { null = true }
  t.l = text { null = true }
  t.e = enum_type("e", { "x", "y" })
end)]]

local FACTS = { rewrites = "copy", scans = "wait", rebuilds = "rebuild" }

local function what_of(facts)
  for field, word in pairs(FACTS) do
    if facts[field].t then return word end
  end
  return nil
end

helper.for_each_db(function(_, open)
  local folder

  before_each(function() folder = folders.new() end)
  after_each(folders.cleanup)

  local function migrated(db, up, options)
    folder:migration("001_x", { id = "aaa1", up = up, down = false })
    local m = folder:open(db, options)
    m:upgrade()
    return m
  end

  local function statements(m)
    local list = {}
    for i, e in ipairs(of_type(m, "step")) do list[i] = e.sql end
    return list
  end

  -- ---- what is said again --------------------------------------------------

  it("says a column again as it is when its turn comes", function()
    local db = open()
    db:plain_script [[create table t (id int primary key, a varchar(9) collate utf8mb4_general_ci
      not null default 'it''s \\ 𝄞?' comment 'x', at timestamp null on update current_timestamp,
      d varchar(20) default (concat('𝄞', '?')), constraint c check (a <> '𝄞?'));
      insert into t (id) values (0)]]
    migrated(db, [[
      m:sql "alter table t add b varchar(3) not null default 'q' comment 'by SQL'"
      m:alter_column("t", "b", { type = varchar(30) })
      m:alter_column("t", "a", { null = true })
      m:alter_column("t", "at", { comment = "when" })
      m:alter_column("t", "d", { comment = "?" })
      m:rename_constraint("t", "c", "c2")]])
    local text = shown(db, "t")
    assert.matches("`b` varchar%(30%) NOT NULL DEFAULT 'q' COMMENT 'by SQL'", text)
    assert.matches("`a` varchar%(9%) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci DEFAULT "
      .. "'it''s \\\\ %?%?' COMMENT 'x'", text) -- SHOW CREATE loses what is no expression
    assert.matches("DEFAULT concat%('𝄞','%?'%)", text)
    assert.matches("CONSTRAINT `c2` CHECK %(`a` <> '𝄞%?'%)", text)
    db:execute "insert into t (id) values (1)"
    assert.same({ "it's \\ 𝄞?", "𝄞?" }, { db:value "select a from t where id = 1",
      db:value "select d from t where id = 1" })
    assert.matches("`at` timestamp NULL DEFAULT NULL ON UPDATE current_timestamp%(%) "
      .. "COMMENT 'when'", text)
  end)

  it("renames constraints of each kind", function()
    local db = open()
    db:plain_script [[create table t (id int primary key, a int, b int,
      constraint u unique (a), constraint f foreign key (b) references t (id) on delete cascade,
      constraint c check (a > 0 and b <> 7))]]
    local m = migrated(db, [[m:rename_constraint("t", "u", "u2")
      m:rename_constraint("t", "f", "f2") m:rename_constraint("t", "c", "c2")]])
    assert.equal(1, #statements(m))
    local tree = D.inspect(db).tables[1]
    assert.equal("u2", tree.uniques[1].name)
    assert.same({ "f2", "cascade" }, { tree.foreign_keys[1].name, tree.foreign_keys[1].on_delete })
    assert.same({ name = "c2", sql = "`a` > 0 and `b` <> 7" }, tree.checks[1])
  end)

  it("refuses what it cannot know, with nothing done", function()
    local db = open()
    db:plain_script "create table t (e enum('a'))"
    folder:migration("001_x", { id = "aaa1", down = false,
      up = [[m:add_column("t", "n", int { null = true }) m:add_enum_value("e", "b")]] })
    local m = folder:open(db)
    local err = fails(6, "keeps the values of an enum with each column", m.upgrade, m)
    assert.equal("usage", err.cause.kind)
    assert.is_false(db:has_column("t", "n"))
  end)

  it("writes a script with the columns said again", function()
    local db = open()
    db:plain_script "create table t (id int primary key)"
    folder:migration("001_t", { id = "aaa1", change = [[m:create_table("o", function(t)
      t.id = bigint { identity = true, pk = true } t.n = int { default = 3 } end)]] })
    folder:migration("002_n", { id = "bbb2", after = "aaa1", down = false,
      up = [[m:alter_column("o", "n", { null = true }) m:sql "create table x (id int)"]] })
    local text = folder:open(db):sql "base:head"
    assert.is_truthy(text:find("MODIFY COLUMN `n` int NULL DEFAULT 3,\n  LOCK = NONE", 1, true))
    assert.is_nil(text:find("BEGIN;\ncreate table x", 1, true))
    db:plain_script "drop table t"
    db:plain_script(text)
    assert.is_true(db:has_table "x")
    assert.equal("up_to_date", folder:open(db):status().state)
  end)

  -- ---- what commits by itself ----------------------------------------------

  it("runs SQL that commits outside of a transaction", function()
    local db = open()
    local m = migrated(db, [[m:sql "create table t (id int primary key)"
      m:sql "insert into t values (1)"]])
    local modes = {}
    for i, e in ipairs(of_type(m, "step")) do modes[i] = e.mode end
    assert.same({ "notx", "tx" }, modes)
  end)

  it("goes on with a journal of which there is only a half", function()
    local db = open()
    local m = migrated(db, [[m:sql "create table t (id int)"]])
    db:plain_script [[drop table perigee_migration; delete from perigee_migration_step;
      drop table t]]
    assert.equal("empty", m:status().state)
    m:upgrade()
    assert.equal("up_to_date", m:status().state)
    db:plain_script "drop table perigee_migration"
    fails(7, "the journal is damaged", m.status, m)
  end)

  -- ---- others --------------------------------------------------------------

  it("asks that others can write, and says where they cannot", function()
    local db = open()
    db:plain_script [[create table t (id int primary key, a int);
      create table w (id int primary key, l text, fulltext key ft (l))]]
    local m = migrated(db, [[m:add_column("t", "b", int { null = true })
      m:create_table("n", function(t) t.id = bigint { pk = true } end)
      m:add_index("n", { "id", name = "n_idx" })
      m:add_foreign_key("t", { "a", ref = "w(id)", name = "f" })
      m:alter_column("w", "l", { null = false })]])
    local locks = {}
    for i, sql in ipairs(statements(m)) do locks[i] = sql:find "LOCK = NONE" ~= nil end
    assert.same({ true, false, false, false, false }, locks)
    local told = of_type(m, "blocking")
    assert.equal(1, #told) -- by the index of words
    assert.matches("LOCK=NONE is not supported", told[1].message)
    assert.matches("`l` text NOT NULL", shown(db, "w"))
    folder:migration("002_y", { id = "bbb2", after = "aaa1", down = false,
      up = [[m:add_column("t", "c", int { null = true })]] })
    m = folder:open(db, { online = false })
    m:upgrade()
    assert.is_nil(statements(m)[1]:find "LOCK")
  end)

  it("tells who may hold the lock that it waits for", function()
    local db, other = open(), open()
    db:plain_script "create table t (id int primary key); insert into t values (1)"
    folder:migration("001_x", { id = "aaa1", down = false,
      up = [[m:add_column("t", "b", int { null = true })]] })
    local m = folder:open(db, { lock_timeout = 1 })
    perigee.run(function()
      local is_locked, deadline = false, os.time() + 20
      perigee.gather(function()
        while not is_locked do perigee.sleep(0.01) end
        m:upgrade()
      end, function()
        other:transaction(function(tx)
          tx:query "select id from t"
          is_locked = true
          while #of_type(m, "blocked") == 0 and os.time() < deadline do perigee.sleep(0.02) end
        end)
      end)
    end)
    local b = of_type(m, "blocked")[1].blockers[1]
    assert.equal("number", type(b.pid))
    assert.is_false(b.sure)
    assert.is_true(b.age >= 0 and b.age < 100)
    assert.is_nil(D.blockers(db, b.pid))
    assert.is_true(db:has_column("t", "b"))
  end)

  -- ---- asking the server ---------------------------------------------------

  describe("measured", function()
    it("ways of changing a table are those that are known", function()
      local tree, steps = schema.parse(TABLES, { name = "schema.lua" }).tree, {}
      for i, case in ipairs(STATEMENTS) do steps[i] = { sql = case[1] } end
      local db = open()
      D.measure(db, function(space)
        local list, why = space:facts(tree, steps)
        assert.is_nil(why)
        for i, case in ipairs(STATEMENTS) do
          assert.equal(case[2], what_of(list[i]), case[1])
        end
        assert.equal("Cannot change column type", list[11].why.t)
      end)
      assert.same({}, db:query "show databases like 'perigee_scratch%'")
    end)

    it("nothing but the copies is changed", function()
      local db = open()
      db:plain_script "create table t (id int primary key)"
      local tree = schema.parse(TABLES, { name = "schema.lua" }).tree
      local database = db:value "select database()"
      D.measure(db, function(space)
        for _, sql in ipairs {
          "ALTER TABLE " .. database .. ".t ADD x int", "DROP TABLE t", "ALTER TABLE t ADD no",
          "CREATE INDEX i ON `" .. database .. "` . t (id)", "ALTER TABLE t ADD x int, LOCK=NONE",
          "ALTER TABLE t ADD x int /*! AFTER id */",
        } do
          local list, why = space:facts(tree, { { sql = sql } })
          assert.is_nil(list, sql)
          assert.equal("string", type(why))
        end
      end)
      assert.equal(1, #D.inspect(db).tables[1].columns)
    end)

    it("lint tells it, and is silent where there is nothing to do", function()
      local db = open { max_size = 1, acquire_timeout = 5 }
      db:plain_script [[create table t (id int primary key, a int not null, v varchar(9) not null,
          fulltext key ft (v));
        insert into t select seq, seq, 'x' from seq_1_to_1500; analyze table t]]
      local function look(body, x)
        local m = files.parse(("return migration { id = 'a', up = function(m)\n%s\nend, "
          .. "down = false }"):format(body), "m.lua")
        local found = {}
        for _, f in ipairs(lint.run({ m }, { dialect = D, x = x }).findings) do
          found[f.rule] = f.message
        end
        return found
      end
      assert.matches("^t%.a: int to bigint: the table is copied %(1%.%d thousand rows, %d+ kB%)$",
        look([[m:alter_column("t", "a", { type = bigint })]], db)["mysql-copy-algorithm"])
      assert.matches("^t is written anew beside those who write, the server says %(",
        look([[m:sql "alter table t drop index ft, engine = innodb"]], db)["mysql-rebuild"])
      local body = [[m:sql "alter table t modify v varchar(8) not null"]]
      assert.is_truthy(look(body, db)["mysql-copy-algorithm"])
      body = [[m:sql "alter table t modify a int not null, drop v"]]
      assert.is_nil(look(body, db)["mysql-copy-algorithm"])
      assert.matches("^nobody writes to t meanwhile, the server says",
        look([[m:sql "alter table t modify a int null"]], db)["mysql-writes-wait"])
      assert.equal(3, #D.inspect(db).tables[1].columns)
    end)
  end)

  it("names the step whose text could not be written", function()
    local db = open()
    db:plain_script "create table t (id int primary key)"
    folder:migration("001_x", { id = "aaa1", down = false, up = [[
      m:add_column("t", "n", int { null = true })
      m:alter_column("nothing", "x", { null = true })]] })
    local m = folder:open(db)
    fails(6, "step 2 of 2, alter column nothing.x: null: there is no table nothing", m.upgrade, m)
  end)

  it("keeps its journal in a database of another character set", function()
    local db = open()
    db:plain_script "alter database character set latin1"
    folder:migration("001_x", { id = "aaa1", message = "früh 𝄞", down = false,
      up = [[m:create_table("t", function(t) t.id = int { pk = true } end)]] })
    local m = folder:open(db)
    m:upgrade()
    assert.equal("früh 𝄞", db:value "select message from perigee_migration")
  end)

  -- ---- what the server says in other words ---------------------------------

  -- The first TIMESTAMP of a table, texts beyond three bytes, long checks, and what a column
  -- has of its table.
  it("compares what the server has added or cut", function()
    local long = "a <> '" .. ("ü𝄞"):rep(30) .. "'"
    local db = open()
    db:plain_script("set explicit_defaults_for_timestamp = off; create table t (a varchar(200), "
      .. "at timestamp not null, b varchar(5) character set latin1, constraint c check ("
      .. long .. ")) collate utf8mb4_general_ci")
    local tree = D.inspect(db)
    assert.equal("ON UPDATE current_timestamp()", tree.tables[1].columns[2].kept)
    local wanted = schema.parse(([[table("t", function(t)
      t.a = varchar(200) { null = true }
      t.at = raw "timestamp" { default = sql "current_timestamp()" }
      t.b = varchar(5) { null = true, collation = "latin1_swedish_ci" }
      t:check("c", "%s")
      t:on "mysql" { collation = "utf8mb4_general_ci" } end)]]):format(long))
    assert.same({}, support.compare(db, wanted).changes)
  end)
end, { "mysql" })
