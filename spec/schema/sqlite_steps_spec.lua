-- Operations on SQLite: each one's statements, that a table built anew loses nothing, and
-- that a failure leaves everything as it was.
local helper = require "spec.support.helper"
local dialect = require "perigee.dialect.sqlite"
local model = require "perigee.schema.model"
local ops = require "perigee.schema.ops"

local function int(name, more)
  local c = { name = name, type = { name = "int" }, null = true }
  for k, v in pairs(more or {}) do c[k] = v end
  return c
end

local function text(name, more)
  local c = int(name, { type = { name = "text" } })
  for k, v in pairs(more or {}) do c[k] = v end
  return c
end

-- Runs operations as the runtime does: keys off outside, all in one transaction. Gives
-- the steps.
local function apply(db, list, before_end)
  local steps
  db:connection(function(conn)
    dialect.prepare(conn, { ops = list })
    local ok, err = pcall(conn.transaction, conn, function(tx)
      steps = dialect.steps_many(list, { tree = dialect.inspect(tx) })
      for _, step in ipairs(steps) do
        if step.fn then step.fn(tx) else tx:execute(step.sql) end
      end
      dialect.before_commit(conn, tx)
      if before_end then before_end(tx) end
    end)
    dialect.restore(conn)
    assert.equal(1, conn:value "PRAGMA foreign_keys")
    assert.equal(0, conn:value "PRAGMA legacy_alter_table")
    if not ok then error(err, 0) end
  end)
  return steps
end

local function fails(db, list, kind, pattern)
  local before = dialect.inspect(db)
  local ok, err = pcall(apply, db, list)
  assert.is_false(ok)
  assert.equal(kind, err.kind, tostring(err))
  assert.truthy(err.message:find(pattern), err.message)
  assert.same(before, dialect.inspect(db))
  assert.is_nil(db:first "select 1 from sqlite_master where name like '%perigee_new%'")
  return err
end

local function was_rebuilt(steps)
  local n = 0
  for _, step in ipairs(steps) do
    if step.what:find("built anew", 1, true) then n = n + 1 end
  end
  return n
end

local function table_of(db, name)
  return (model.find(dialect.inspect(db), nil, name))
end

describe("Operations on SQLite that need no new table", function()
  after_each(helper.cleanup)

  local function open()
    local db = helper.open "sqlite::memory:"
    db:script [[create table p (id integer primary key, name text);
      create table t (id integer primary key, a int, b text default 'x', c int);
      insert into p values (1, 'p'); insert into t values (1, 10, 'b', 3)]]
    return db
  end

  local function natively(list)
    local db = open()
    assert.equal(0, was_rebuilt(apply(db, list)))
    assert.equal(1, db:value "select count(*) from t")
    return db
  end

  it("columns are added", function()
    local db = natively {
      { op = "add_column", table = "t",
        column = text("d", { null = false, default = { value = "n" } }) },
      { op = "add_column", table = "t", column = int("e", { generated = { sql = "a + 1" } }) },
      { op = "add_column", table = "t", column = text("s", {
        type = { enum = "state", values = { "new", "old" } }, default = { value = "new" },
      }) },
    }
    local row = db:one "select * from t"
    assert.same({ "n", 11, "new" }, { row.d, row.e, row.s })
    assert.equal("state", table_of(db, "t").checks[1].enum)
    assert.is_false(pcall(db.execute, db, "update t set s = 'lost'"))
  end)

  it("a reference is added with its column", function()
    local db = natively {
      { op = "add_column", table = "t", column = int "p_id" },
      { op = "add_foreign_key", table = "t", key = { name = "fk", columns = { "p_id" },
        ref = { table = "p", columns = { "id" } }, on_delete = "cascade" } },
    }
    local f = table_of(db, "t").foreign_keys[1]
    assert.same({ "fk", "cascade", "p" }, { f.name, f.on_delete, f.ref.table })
    db:execute "update t set p_id = 1"
    db:execute "delete from p"
    assert.equal(0, db:value "select count(*) from t")
  end)

  it("columns without dependants are dropped", function()
    local db = natively { { op = "drop_column", table = "t", name = "c" } }
    assert.equal(3, #table_of(db, "t").columns)
  end)

  it("names change, and who uses them follows", function()
    local db = open()
    db:script [[create index i on t (a) where a > 0; create view v as select a from t;
      create table child (t_id int references t(id), x int);
      create trigger tr after insert on p begin update t set a = new.id; end]]
    apply(db, {
      { op = "rename_column", table = "t", name = "a", to = "the a" },
      { op = "rename_table", name = "t", to = "u" },
      { op = "rename_index", table = "u", name = "i", to = "j" },
      { op = "rename_column", table = "u", name = "id", to = "key" },
    })
    local u = table_of(db, "u")
    assert.equal("j", u.indexes[1].name)
    assert.same({ { column = "the a" } }, u.indexes[1].keys)
    assert.equal('"the a" > 0', u.indexes[1].where)
    local f = table_of(db, "child").foreign_keys[1]
    assert.same({ table = "u", columns = { "key" } }, f.ref)
    assert.equal(10, db:value "select * from v")
    db:execute "insert into p values (2, 'q')"
    assert.equal(2, db:value [[select "the a" from u]])
  end)

  it("names change in nothing but the case of letters", function()
    local db = open()
    db:execute "create table child (t_id int references t(id))"
    apply(db, {
      { op = "rename_column", table = "t", name = "a", to = "A" },
      { op = "rename_table", name = "t", to = "T" },
    })
    assert.equal("A", table_of(db, "T").columns[2].name)
    assert.equal("T", table_of(db, "child").foreign_keys[1].ref.table)
  end)

  it("indexes, views and triggers come and go", function()
    local db = natively {
      { op = "add_index", table = "t", index = { name = "i", unique = true,
        keys = { { sql = "lower(b)" }, { column = "a", desc = true } }, where = "a > 1" } },
      { op = "create_view", view = { name = "v", sql = "select a from t" } },
      { op = "create_object", object = { kind = "trigger", name = "tr", on = "v",
        sql = "create trigger tr instead of delete on v begin update t set a = 0; end" } },
      { op = "replace_view", view = { name = "v", sql = "select a, b from t" } },
    }
    assert.equal("lower(b)", table_of(db, "t").indexes[1].keys[1].sql)
    db:execute "delete from v"
    assert.equal(0, db:value "select a from t")
    apply(db, {
      { op = "replace_object", object = { kind = "trigger", name = "tr", on = "v",
        sql = "create trigger tr instead of delete on v begin update t set a = 9; end" } },
    })
    db:execute "delete from v"
    assert.equal(9, db:value "select a from t")
    apply(db, {
      { op = "drop_object", kind = "trigger", name = "tr", on = "v" },
      { op = "drop_view", name = "v" }, { op = "drop_index", table = "t", name = "i" },
    })
    local tree = dialect.inspect(db)
    assert.same({ 0, 0, 0 }, { #tree.views, #tree.objects, #table_of(db, "t").indexes })
  end)

  it("tables come and go", function()
    local db = natively {
      { op = "create_table", table = { name = "n", columns = { int("id", { null = false }) },
        primary_key = { name = "n_pkey", columns = { "id" } },
        indexes = { { name = "ni", keys = { { sql = "id + 1" } } } } } },
      { op = "create_enum", name = "e", values = { "a" } },
      { op = "set_comment", table = "t", text = "x" },
    }
    assert.equal("ni", table_of(db, "n").indexes[1].name)
    apply(db, { { op = "drop_table", name = "n" } })
    assert.is_nil(table_of(db, "n"))
  end)

  it("constraints by ALTER TABLE from 3.53 on, in SQL", function()
    local db = open()
    local tree = dialect.inspect(db)
    tree.version = 3053000
    local list = {
      { op = "add_check", table = "t", check = { name = "k", sql = "a > 0" } },
      { op = "alter_column", table = "t", name = "c", set = { null = false } },
      { op = "alter_column", table = "t", name = "c", set = { null = true } },
      { op = "drop_check", table = "t", name = "k" },
    }
    local sql = {}
    for i, step in ipairs(dialect.steps_many(list, { tree = tree })) do sql[i] = step.sql end
    assert.same({
      'ALTER TABLE "t" ADD CONSTRAINT "k" CHECK (a > 0)',
      'ALTER TABLE "t" ALTER COLUMN "c" SET NOT NULL',
      'ALTER TABLE "t" ALTER COLUMN "c" DROP NOT NULL',
      'ALTER TABLE "t" DROP CONSTRAINT "k"',
    }, sql)
  end)

  it("what changes nothing has no steps", function()
    local db = open()
    assert.same({}, apply(db, {
      { op = "alter_column", table = "t", name = "b", set = { default = { value = "x" } } },
      { op = "alter_column", table = "t", name = "a", set = { comment = "x" } },
      { op = "set_options", table = "t", options = { postgres = { unlogged = true } } },
    }))
  end)

  it("foreign keys stay enforced where nothing needs them off", function()
    local db = open()
    db:execute "create table c (p_id int references p (id))"
    local ok, err = pcall(apply, db, { { op = "add_index", table = "t",
      index = { name = "i", keys = { { column = "a" } } } } }, function(tx)
      tx:execute "insert into c values (99)"
    end)
    assert.is_false(ok)
    assert.equal("foreign_key", err.kind)
  end)
end)

-- ---- a table built anew ----------------------------------------------------

local FAMILY = [[
CREATE TABLE log (msg text);
CREATE TABLE p (id integer primary key autoincrement, name text NOT NULL COLLATE NOCASE,
  n int DEFAULT 3, old text, twice int GENERATED ALWAYS AS (n * 2) VIRTUAL,
  stored int AS (n + 1) STORED, boss int REFERENCES p (id),
  CONSTRAINT n_check CHECK (n < 1000), CONSTRAINT name_key UNIQUE (name));
CREATE TABLE c (id integer primary key, p_id int NOT NULL REFERENCES p (id) ON DELETE CASCADE);
CREATE INDEX p_part ON p (n) WHERE n > 1;
CREATE UNIQUE INDEX p_expr ON p (lower(name), n DESC);
CREATE VIEW v AS SELECT id, name FROM p;
CREATE VIEW w AS SELECT name FROM v;
CREATE TRIGGER p_ins AFTER INSERT ON p BEGIN INSERT INTO log VALUES ('p ' || new.name); END;
CREATE TRIGGER v_del INSTEAD OF DELETE ON v BEGIN DELETE FROM p WHERE id = old.id; END;
CREATE TRIGGER c_ins AFTER INSERT ON c BEGIN UPDATE p SET n = n + 1 WHERE id = new.p_id; END;
INSERT INTO p (name, n, old) VALUES ('a', 1, 'x'), ('b', 2, '7'), ('c', 5, NULL), ('d', 5, NULL);
UPDATE p SET boss = 1 WHERE id > 1;
INSERT INTO c (p_id) VALUES (1), (2);
DELETE FROM p WHERE id = 4;
DELETE FROM log;
]]

-- An operation of each kind that needs a new table, and what is different after it.
local CHANGES = {
  { op = "add_column", table = "p", column = text("at", { default = { sql = "current_date" } }),
    check = function(db) assert.equal(10, #db:value "select at from p") end },
  { op = "add_column", table = "p",
    column = int("g", { generated = { sql = "n - 1", stored = true } }),
    check = function(db) assert.equal(1, db:value "select g from p where id = 1") end },
  { op = "alter_column", table = "p", name = "old", set = { type = { name = "int" } },
    using = "CASE WHEN old = 'x' THEN NULL ELSE old END", check = function(db)
      assert.equal("INTEGER", table_of(db, "p").columns[4].type.raw)
      assert.equal(7, db:value "select old from p where id = 2")
    end },
  { op = "alter_column", table = "p", name = "old",
    set = { null = false, default = { value = "" } }, using = "coalesce(old, 'none')",
    check = function(db)
      assert.equal("none", db:value "select old from p where id = 3")
    end },
  { op = "alter_column", table = "p", name = "n", set = { default = { none = true } },
    check = function(db) assert.is_nil(table_of(db, "p").columns[3].default) end },
  { op = "alter_column", table = "p", name = "twice", set = { generated = { none = true } },
    check = function(db) assert.equal(6, db:value "select twice from p where id = 2") end },
  { op = "alter_column", table = "p", name = "old", set = { collation = "RTRIM" },
    check = function(db) assert.equal("RTRIM", table_of(db, "p").columns[4].collation) end },
  { op = "drop_column", table = "p", name = "old",
    check = function(db) assert.equal(6, #table_of(db, "p").columns) end },
  { op = "add_check", table = "p", check = { name = "id_check", sql = "id > 0" } },
  { op = "drop_check", table = "p", name = "n_check",
    check = function(db) assert.equal(0, #table_of(db, "p").checks) end },
  { op = "add_unique", table = "p", key = { name = "old_key", columns = { "old", "n" } } },
  { op = "drop_unique", table = "p", name = "name_key",
    check = function(db) assert.equal(0, #table_of(db, "p").uniques) end },
  { op = "rename_constraint", table = "p", name = "name_key", to = "name_is_unique",
    check = function(db) assert.equal("name_is_unique", table_of(db, "p").uniques[1].name) end },
  { op = "drop_foreign_key", table = "p", was = { columns = { "boss" } },
    check = function(db) assert.equal(0, #table_of(db, "p").foreign_keys) end },
  { op = "add_foreign_key", table = "p", key = { name = "n_fkey", columns = { "n" },
    ref = { table = "log", columns = { "rowid_" } } }, fails = "foreign_key" },
  { op = "alter_column", table = "p", name = "id", set = { identity = { always = false } },
    no_sequence = true },
}

local function snapshot(db)
  return {
    rows = db:query "select id, name, n, twice, stored, boss from p order by id",
    children = db:query "select * from c order by id",
  }
end

-- Everything around the table works as before.
local function check_family(db)
  assert.equal(3, db:value "select count(*) from w")
  db:execute "insert into p (name, n) values ('e', 50)"
  assert.equal("p e", db:value "select msg from log")
  db:execute "insert into c (p_id) values (3)"
  assert.equal(6, db:value "select n from p where id = 3")
  db:execute "delete from v where id = 3"
  assert.equal(0, db:value "select count(*) from c where p_id = 3") -- cascades
  assert.equal(2, db:value "select count(*) from c")
  local ok, err = pcall(db.execute, db, "insert into c (p_id) values (77)")
  assert.is_false(ok)
  assert.equal("foreign_key", err.kind)
end

describe("A table of SQLite built anew", function()
  after_each(helper.cleanup)

  local function open(script)
    local db = helper.open "sqlite::memory:"
    db:script(script or FAMILY)
    return db
  end

  for _, change in ipairs(CHANGES) do
    local op = {}
    for k, v in pairs(change) do op[k] = v end
    if type(op.check) == "function" then op.check = nil end
    op.fails, op.no_sequence = nil, nil
    local fields = {}
    for k in pairs(change.set or {}) do fields[#fields + 1] = k end
    table.sort(fields)
    local name = op.column and op.column.name or op.name or op.key and op.key.name or ""

    it(("keeps all else: %s %s %s"):format(op.op, name, table.concat(fields, " ")), function()
      local db = open()
      if change.fails then return fails(db, { op }, change.fails, "refers to no key") end
      local before, others = snapshot(db), dialect.inspect(db)
      assert.equal(1, was_rebuilt(apply(db, { op })))
      assert.same(before, snapshot(db))
      local after = dialect.inspect(db)
      assert.same(others.views, after.views)
      assert.same(others.objects, after.objects)
      assert.equal(#others.tables, #after.tables)
      assert.same(model.find(others, nil, "p").indexes, model.find(after, nil, "p").indexes)
      if type(change.check) == "function" then change.check(db) end
      if not change.no_sequence then
        assert.equal(4, db:value "select seq from sqlite_sequence where name = 'p'")
      end
      check_family(db)
      assert.equal("ok", db:value "PRAGMA integrity_check")
    end)
  end

  it("is built once for several operations", function()
    local db = open()
    local list = {
      { op = "add_column", table = "p", column = text "plain" },
      { op = "add_check", table = "p", check = { name = "k", sql = "plain <> ''" } },
      { op = "drop_column", table = "p", name = "old" },
      { op = "drop_index", table = "p", name = "p_part" },
      { op = "add_index", table = "p",
        index = { name = "p_new", keys = { { column = "plain" } } } },
      { op = "add_column", table = "c", column = text "note" },
      { op = "rename_column", table = "p", name = "n", to = "count" },
      { op = "alter_column", table = "p", name = "count", set = { type = { name = "bigint" } } },
    }
    assert.equal(2, was_rebuilt(apply(db, list)))
    local p = table_of(db, "p")
    assert.equal("BIGINT", model.column(p, "count").type.raw)
    assert.equal("count * 2", model.column(p, "twice").generated.sql)
    assert.equal("p_expr", p.indexes[1].name)
    assert.equal("p_new", p.indexes[2].name)
    assert.equal(2, #p.indexes)
    assert.is_nil(model.column(p, "old"))
    assert.equal(2, db:value [[select "count" from p where id = 1]])
  end)

  it("gives rows a default that goes away again", function()
    local db = open()
    apply(db, {
      { op = "add_column", table = "p", column = text("s", { null = false,
        default = { value = "old" } }) },
      { op = "alter_column", table = "p", name = "s", set = { default = { none = true } } },
    })
    assert.equal("old", db:value "select s from p where id = 1")
    assert.is_nil(model.column(table_of(db, "p"), "s").default)
  end)

  it("gives the tree that the operations say", function()
    local db = open()
    local list = {
      { op = "add_check", table = "p", check = { name = "k", sql = "id > 0" } },
      { op = "add_unique", table = "p", key = { name = "u", columns = { "old" } } },
      { op = "drop_column", table = "p", name = "stored" },
    }
    local wanted = dialect.inspect(db)
    for _, op in ipairs(list) do ops.apply(wanted, op) end
    wanted = dialect.normalise(db, wanted)
    apply(db, list)
    assert.same(wanted.tables, dialect.inspect(db).tables)
  end)

  it("keeps rows and rowids of a table without an integer key", function()
    local db = open [[create table t (a text, b int);
      insert into t values ('x', 1), ('y', 2), ('z', 3); delete from t where b = 2;
      create index i on t (a desc, b); analyze]]
    apply(db, { { op = "alter_column", table = "t", name = "b", set = { null = false } } })
    assert.same({ 1, 3 }, { db:value "select rowid from t where a = 'x'",
      db:value "select rowid from t where a = 'z'" })
    assert.truthy(db:first "select 1 from sqlite_stat1 where tbl = 't'")
  end)

  it("changes its options", function()
    local db = open [[create table t (k varchar(10) not null primary key, b boolean, n numeric,
      at timestamp, x); insert into t values ('a', 1, 1.5, '2026-01-01', x'00');
      create table auto (id integer primary key, s text) strict]]
    apply(db, { { op = "set_options", table = "t",
      options = { sqlite = { strict = true, without_rowid = true } } } })
    local t = table_of(db, "t")
    assert.same({ strict = true, without_rowid = true }, t.options.sqlite)
    local types = {}
    for i, c in ipairs(t.columns) do types[i] = c.type.raw end
    assert.same({ "TEXT", "INTEGER", "REAL", "TEXT", "ANY" }, types)
    assert.equal(1.5, db:value "select n from t")
    apply(db, { { op = "set_options", table = "t", options = {} } })
    assert.same({}, table_of(db, "t").options)
    fails(db, { { op = "add_column", table = "auto", column = { name = "m", null = false,
      type = { raw = "MONEY" } } } }, "usage", "STRICT")
  end)

  it("changes its primary key", function()
    local db = open [[create table t (id integer primary key, a int, b int);
      insert into t values (5, 1, 1), (6, 1, 2)]]
    apply(db, { { op = "set_primary_key", table = "t",
      key = { name = "k", columns = { "a", "b" } } } })
    local t = table_of(db, "t")
    assert.same({ name = "k", columns = { "a", "b" } }, t.primary_key)
    assert.is_nil(t.columns[1].identity)
    assert.equal(6, db:value "select id from t where b = 2")
    apply(db, { { op = "drop_primary_key", table = "t" } })
    assert.is_nil(table_of(db, "t").primary_key)
    apply(db, { { op = "set_primary_key", table = "t", key = { columns = { "id" } } } })
    assert.same({ always = false }, table_of(db, "t").columns[1].identity)
    apply(db, { { op = "alter_column", table = "t", name = "id",
      set = { identity = { none = true } } } })
    assert.is_nil(table_of(db, "t").columns[1].identity)
    assert.same({ "id" }, table_of(db, "t").primary_key.columns)
  end)

  it("gives sql.now the form of the declared type", function()
    local db = open "create table t (id integer primary key, a timestamp, b timestamptz)"
    local list = {}
    for i, name in ipairs { "a", "b" } do
      list[i] = { op = "alter_column", table = "t", name = name,
        set = { default = { sql = "now", word = true } } }
    end
    apply(db, list)
    db:execute "insert into t (id) values (1)"
    assert.equal(26, db:value "select length(a) from t")
    assert.equal(27, db:value "select length(b) from t")
  end)

  it("takes new values for enums, and other names for them", function()
    local db = open "select 1"
    local status = { name = "status", null = false, default = { value = "new" },
      type = { enum = "state", values = { "new", "old" } } }
    apply(db, { { op = "create_table", table = { name = "t", columns = { int "id", status } } } })
    db:execute "insert into t (id) values (1)"
    apply(db, { { op = "add_enum_value", name = "state", value = "paid", before = "old" } })
    assert.equal("status in ('new', 'paid', 'old')", table_of(db, "t").checks[1].sql)
    apply(db, {
      { op = "rename_column", table = "t", name = "status", to = "s" },
      { op = "rename_table", name = "t", to = "u" },
      { op = "add_enum_value", name = "state", value = "void" },
      { op = "rename_table", name = "u", to = "t" },
      { op = "rename_column", table = "t", name = "s", to = "status" },
    })
    assert.equal("status in ('new', 'paid', 'old', 'void')", table_of(db, "t").checks[1].sql)
    apply(db, { { op = "rename_enum_value", name = "state", from = "new", to = "fresh" } })
    assert.equal("fresh", db:value "select status from t")
    assert.equal("'fresh'", table_of(db, "t").columns[2].default.sql)
    db:execute "insert into t (id, status) values (2, 'paid')"
    fails(db, { { op = "set_enum_values", name = "state", values = { "fresh" } } }, "check",
      "state_enum_status")
    db:execute "delete from t where id = 2"
    apply(db, { { op = "set_enum_values", name = "state", values = { "fresh" } } })
    assert.equal("status in ('fresh')", table_of(db, "t").checks[1].sql)
    assert.equal("state", table_of(db, "t").checks[1].enum)
    apply(db, { { op = "alter_column", table = "t", name = "status",
      set = { type = { name = "text" } } } })
    assert.same({}, table_of(db, "t").checks)
  end)

  it("a leftover of an earlier attempt is no obstacle", function()
    local db = open()
    db:execute "create table _perigee_new_p (x)"
    apply(db, { { op = "add_check", table = "p", check = { name = "k", sql = "id > 0" } } })
    assert.is_nil(table_of(db, "_perigee_new_p"))
  end)

  it("violations that were there are no hindrance, new ones are", function()
    local db = open()
    db:connection(function(conn)
      conn:execute "PRAGMA foreign_keys = OFF"
      conn:execute "insert into c (p_id) values (500)"
    end)
    apply(db, { { op = "add_check", table = "p", check = { name = "k", sql = "id > 0" } } })
    fails(db, { { op = "drop_table", name = "p" } }, "foreign_key", 'of "c" would have no parent')
    local ok, err = pcall(apply, db, { { op = "drop_check", table = "p", name = "k" } },
      function(tx) tx:execute "select 1" end)
    assert.is_true(ok, tostring(err))
    ok, err = pcall(apply, db, {
      { op = "drop_check", table = "p", name = "n_check" },
      { op = "create_object", object = { kind = "trigger", name = "bad", on = "log",
        sql = "create trigger bad after insert on log begin delete from p; end" } },
      { op = "add_foreign_key", table = "p", key = { columns = { "n" },
        ref = { table = "p", columns = { "id" } } } },
    })
    assert.is_false(ok)
    assert.equal("foreign_key", err.kind)
    assert.truthy(err.message:find 'rows? of "p" would have no parent in "p"')
  end)

  it("what the user's statements do to keys is seen before the COMMIT", function()
    local db = open()
    local function run(conn, tx)
      tx:execute "delete from p where id = 2"
      dialect.before_commit(conn, tx)
    end
    db:connection(function(conn)
      dialect.prepare(conn)
      local ok, err = pcall(conn.transaction, conn, function(tx) run(conn, tx) end)
      dialect.restore(conn)
      assert.is_false(ok)
      assert.equal("foreign_key", err.kind)
    end)
    assert.equal(3, db:value "select count(*) from p")
  end)
end)

describe("A failure while a table is built anew leaves nothing:", function()
  after_each(helper.cleanup)

  local function open()
    local db = helper.open "sqlite::memory:"
    db:script(FAMILY)
    return db
  end

  it("NULL in a column that becomes NOT NULL", function()
    local err = fails(open(), {
      { op = "add_check", table = "p", check = { name = "k", sql = "id > 0" } },
      { op = "alter_column", table = "p", name = "old", set = { null = false } },
    }, "not_null", "p%.old")
    assert.is_nil(tostring(err):find("_new_", 1, true))
  end)

  it("a check that rows do not fulfil", function()
    fails(open(), {
      { op = "add_check", table = "p", check = { name = "k", sql = "n > 3" } },
    }, "check", "k")
  end)

  it("a value that is not of the new type", function()
    fails(open(), {
      { op = "alter_column", table = "p", name = "old", set = { type = { name = "int" } } },
    }, "data", 'column "old" of "p": 1 of its values is not an integer, as "x"')
  end)

  it("rows that two rules would make one", function()
    local db = open()
    db:execute "create table r (a int, b int)"
    db:execute "insert into r values (1, 1), (1, 2)"
    fails(db, { { op = "add_unique", table = "r",
      key = { columns = { "a" }, sqlite = { on_conflict = "replace" } } } }, "migration",
      "would keep 1")
    fails(db, { { op = "add_unique", table = "r", key = { columns = { "a" } } } }, "unique", "r%.a")
  end)

  it("a view and a trigger that need the column", function()
    fails(open(), { { op = "drop_column", table = "p", name = "name" } }, "undefined",
      "would not work any more")
    fails(open(), { { op = "drop_column", table = "p", name = "n" } }, "undefined",
      "no such column: n")
  end)

  it("a statement after it", function()
    fails(open(), {
      { op = "add_check", table = "p", check = { name = "k", sql = "id > 0" } },
      { op = "create_object", object = { kind = "trigger", name = "c_ins", on = "log",
        sql = "create trigger c_ins after insert on log begin select 1; end" } },
    }, "duplicate", "already exists")
  end)

  it("foreign keys that are enforced", function()
    local db = open()
    local op = { op = "add_check", table = "p", check = { name = "k", sql = "id > 0" } }
    local step = dialect.steps(op, { tree = dialect.inspect(db) })[1]
    local ok, err = pcall(db.transaction, db, function(tx) step.fn(tx) end)
    assert.is_false(ok)
    assert.equal("usage", err.kind)
    assert.equal(2, db:value "select count(*) from c")
  end)

  it("an operation on what is not there is refused with its place", function()
    local at = { file = "m.lua", line = 5 }
    local tree = dialect.inspect(open())
    for _, op in ipairs {
      { op = "drop_table", name = "nothing", at = at },
      { op = "add_column", table = "nothing", column = int "x", at = at },
      { op = "add_column", schema = "audit", table = "p", column = int "x", at = at },
      { op = "drop_column", table = "p", name = "nothing", at = at },
      { op = "create_schema", name = "audit", at = at },
    } do
      local ok, err = pcall(dialect.steps, op, { tree = tree })
      assert.is_false(ok)
      assert.equal("usage", err.kind)
      assert.truthy(err.message:find "^m%.lua:5: ", err.message)
    end
  end)
end)
