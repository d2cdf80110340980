-- A SQLite database as a tree: what is read, that creating it again gives the same, and
-- that what means the same gives the same tree (traps 22 to 27 of schema differences).
local perigee = require "perigee"
local helper = require "spec.support.helper"
local dialect = require "perigee.dialect.sqlite"

local function open(script)
  local db = helper.open "sqlite::memory:"
  if script then db:script(script) end
  return db
end

local function tree_of(script, opts)
  local db = open(script)
  local tree = dialect.inspect(db, opts)
  db:close()
  return tree
end

-- Created again, the tree is as it was.
local function round_trip(tree)
  local again, problems = dialect.normalise(nil, tree)
  assert.same({}, problems)
  again.notes = tree.notes
  assert.same(tree, again)
end

local EVERYTHING = [[
CREATE TABLE `p` ("Id" integer primary key autoincrement not null,
  'n' text COLLATE nocase UNIQUE, [x y] int default ('0'), "end" text check("end" <> 'a'),
  key text check (key > ''));
CREATE TABLE a (id INTEGER PRIMARY KEY DESC, b BOOLEAN DEFAULT 1, c text default 5,
  d real default '12', e default null, f timestamp default current_timestamp,
  g int REFERENCES p on delete cascade on update set null, -- comment )
  h GENERATED ALWAYS AS (b || c) VIRTUAL, i numeric(10,2) as (d*2) stored, /* ( */
  CONSTRAINT u1 UNIQUE (b, c COLLATE nocase) ON CONFLICT IGNORE, CHECK ((b in (0,1))),
  CONSTRAINT ck CHECK (length ( c )>0 and a.d > 1),
  FOREIGN KEY (c) REFERENCES p (n) DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE w (k text not null primary key, v any) WITHOUT ROWID, STRICT;
CREATE TABLE w2 (k text, l text collate nocase, v blob,
  primary key (k desc, l collate binary)) WITHOUT ROWID;
CREATE TABLE made AS SELECT 1 AS one, 'x' AS two, id FROM p;
CREATE TABLE q (a, b int, c "odd, type", d unsigned big int not null,
  e int constraint nn not null on conflict fail constraint ck1 check(e>1)
    constraint fk1 references p(id));
CREATE INDEX i1 ON a (b DESC, lower(c), "c" COLLATE NOCASE) WHERE b IS NOT NULL;
CREATE UNIQUE INDEX i2 ON p("n" COLLATE nocase, 'x y');
CREATE VIEW v0 AS SELECT * FROM p;
CREATE VIEW a_first(q, r) AS SELECT "Id", n FROM v0;
CREATE TRIGGER t1 AFTER INSERT ON a BEGIN UPDATE p SET n = 'a;b' WHERE id = new.g; SELECT 1; END;
CREATE TRIGGER t2 INSTEAD OF DELETE ON v0 BEGIN SELECT 1; END;
ALTER TABLE a ADD COLUMN zz int not null default 7 CHECK (zz > 0);
]]

describe("Inspecting SQLite", function()
  after_each(helper.cleanup)

  it("reads all that a table can have, and creates it again", function()
    local tree = tree_of(EVERYTHING)
    local names = {}
    for i, t in ipairs(tree.tables) do names[i] = t.name end
    assert.same({ "a", "made", "p", "q", "w", "w2" }, names)
    assert.equal(2, #tree.views)
    assert.equal(2, #tree.objects)
    local notes = {}
    for i, n in ipairs(tree.notes) do notes[i] = n.on .. "." .. n.name .. ": " .. n.why end
    assert.same({
      "a.id: SQLite takes NULL in this primary key, which says nothing of NOT NULL",
      "a.id: DESC of a key is not compared",
      "a.u1: ON CONFLICT, COLLATE of a key is not compared",
      "q.e: ON CONFLICT of NOT NULL is not compared",
      "w2.k, l: DESC, COLLATE of a key is not compared",
    }, notes)
    round_trip(tree)
  end)

  it("gives views names of columns in their query", function()
    local db = open "create table t (a, b); create view v (x, \"y y\") as select a, b from t -- c"
    local view = dialect.inspect(db).views[1]
    assert.is_nil(view.columns)
    db:execute "drop view v"
    db:execute(dialect.create("view", view)[1])
    assert.same({ "x", "y y" }, db:query("select * from v").columns)
    assert.same(view, dialect.inspect(db).views[1])
  end)

  it("gives the tree of a table in full", function()
    local tree = tree_of [[create table t (id integer primary key,
      a varchar(3) not null default 'x', constraint u unique (a), check (a <> ''));
      create index i on t (a desc) where a > 'b']]
    assert.same({
      name = "t", options = {}, foreign_keys = {},
      columns = {
        { name = "id", type = { raw = "INTEGER" }, null = false, identity = { always = false } },
        { name = "a", type = { raw = "VARCHAR(3)" }, null = false, default = { sql = "'x'" } },
      },
      primary_key = { columns = { "id" } },
      uniques = { { name = "u", columns = { "a" } } },
      checks = { { sql = "a <> ''" } },
      indexes = { { name = "i", keys = { { column = "a", desc = true } }, where = "a > 'b'" } },
    }, tree.tables[1])
  end)

  it("of Chinook gives the same again", function()
    local script, why = helper.data "chinook/Chinook_Sqlite.sql"
    if not script then return pending(why) end
    -- the definitions are enough
    script = script:gsub("INSERT INTO.*$", "")
    local tree = tree_of(script)
    assert.equal(11, #tree.tables)
    round_trip(tree)
  end)

  it("tells of virtual tables and their shadows, and leaves them out", function()
    local tree = tree_of [[create virtual table docs using fts5(body); create table docs_mine (a)]]
    assert.equal(1, #tree.tables)
    assert.equal("docs_mine", tree.tables[1].name)
    assert.same({ kind = "virtual table", name = "docs", why = "virtual tables are not compared" },
      tree.notes[1])
    assert.equal("shadow table", tree.notes[2].kind)
    assert.equal(6, #tree.notes)
  end)

  it("leaves out SQLite's own tables and the journal of migrations", function()
    local tree = tree_of [[
      create table t (id integer primary key autoincrement); insert into t default values;
      create table perigee_migration (id text); create table perigee_migration_step (n int);
      create index j on perigee_migration (id); create index i on t (id); analyze]]
    assert.equal(1, #tree.tables)
    assert.equal("t", tree.tables[1].name)
    assert.same({}, tree.notes)
  end)

  it("narrows down by name and by a function, and to names alone", function()
    local script = [[create table a (x); create table b (x); create view v as select 1;
      create trigger ta after insert on a begin select 1; end;
      create trigger tb after insert on b begin select 1; end]]
    local tree = tree_of(script, { tables = { "b" } })
    assert.equal("b", tree.tables[1].name)
    assert.equal(1, #tree.tables)
    assert.equal("tb", tree.objects[1].name)
    local seen = {}
    tree = tree_of(script, { include = function(o)
      seen[#seen + 1] = o.kind .. " " .. o.name .. " " .. tostring(o.on)
      return o.kind ~= "trigger" and o.name ~= "a"
    end })
    table.sort(seen)
    assert.equal("table a nil, table b nil, trigger ta a, trigger tb b, view v nil",
      table.concat(seen, ", "))
    assert.equal(1, #tree.tables)
    assert.equal(0, #tree.objects)
    tree = tree_of(script, { names_only = true })
    assert.same({ { name = "a", columns = {} }, { name = "b", columns = {} } }, tree.tables)
    assert.same({ { name = "v" } }, tree.views)
  end)

  it("knows the keys of parents that are not asked for", function()
    local tree = tree_of([[create table P (A int, "B b" int, primary key (a, "B b"));
      create table c (x int, y int, foreign key (x, y) references p)]], { tables = { "c" } })
    assert.same({ table = "P", columns = { "A", "B b" } }, tree.tables[1].foreign_keys[1].ref)
  end)

  it("reads a file that cannot be written", function()
    local path = helper.tmpname()
    local db = helper.open("sqlite:///" .. path)
    db:execute "create table t (a)"
    db:close()
    db = helper.open("sqlite:///" .. path .. "?mode=ro")
    assert.equal("t", dialect.inspect(db).tables[1].name)
  end)

  it("works on a transaction, with another form of integers", function()
    local db = helper.open("sqlite::memory:", { int8 = "string" })
    db:transaction(function(tx)
      tx:execute "create table t (a int not null default 3, b int generated always as (a) virtual)"
      local t = dialect.inspect(tx).tables[1]
      assert.is_false(t.columns[1].null)
      assert.is_false(t.columns[2].generated.stored)
    end)
    db:connection(function(conn)
      assert.equal(0, #dialect.inspect(conn).tables[1].checks)
      conn:execute "create table after_that (a)" -- the connection is as it was
    end)
  end)
end)

-- Scripts that mean the same, and others that do not.
local function columns_of(definition)
  return tree_of("create table p (x integer primary key); create table t (" .. definition .. ")")
    .tables[2]
end

local SAME = {
  ["case and blanks of types (trap 22)"] = {
    "a varchar ( 10 ), b Double  Precision", "A VARCHAR(10), b double precision",
    same_columns = { "a", "b" },
  },
  ["forms of one default (trap 23)"] = {
    "a int default '0', b int default null, c timestamp default CURRENT_TIMESTAMP,"
      .. "d int default +5",
    "a int default 0, b int, c timestamp default (current_timestamp), d int default (5)",
  },
  ["more of defaults"] = {
    "a text default 5, b boolean default 1, c int default ((1+2)), d text default ( 'x' )",
    "a text default '5', b boolean default TRUE, c int default (1 + 2), d text default 'x'",
  },
  ["forms of one check (trap 24)"] = {
    'a text check (a<>\'q\'), b int, constraint k check ((B  > 0 /* c */))',
    "a text check ( [a] != 'q' ), b int, constraint k check (`b`>0)",
  },
  ["places of constraints"] = {
    "a int, b int references p (x), unique (a)",
    "a int unique, b int, foreign key (b) references p",
  },
  ["no action and simple match"] = {
    "a int references p (x) on delete no action match simple not deferrable",
    "a int references p (x)",
  },
  ["ascending and binary"] = {
    "a text, b text collate nocase, unique (a asc, b collate nocase)",
    "a text collate binary, b text collate nocase, unique (a, b)",
  },
}

describe("Definitions of SQLite that mean the same", function()
  after_each(helper.cleanup)

  for title, case in pairs(SAME) do
    it(title, function()
      local a, b = columns_of(case[1]), columns_of(case[2])
      if case.same_columns then
        for i, name in ipairs(case.same_columns) do
          assert.equal(name, a.columns[i].name)
          a.columns[i].name, b.columns[i].name = "", ""
        end
      end
      assert.same(a, b)
    end)
  end

  -- The driver refuses such texts; other programs do not.
  it("strings in double quotes that are in a file (traps 23, 24)", function()
    local path = helper.tmpname()
    local db = helper.open("sqlite:///" .. path)
    db:execute "create table t (a)"
    db:connection(function(conn)
      conn:execute "PRAGMA writable_schema = ON"
      conn:execute([[update sqlite_master set sql = 'create table t (a text default "x y"'
        || ' check (a <> "q" and "a" > ''b''))']])
    end)
    db:close()
    db = helper.open("sqlite:///" .. path)
    local tree = dialect.inspect(db)
    assert.same(columns_of "a text default 'x y' check (a <> 'q' and a > 'b')", tree.tables[1])
    round_trip(tree)
  end)

  it("only INTEGER PRIMARY KEY is the rowid (trap 25)", function()
    local function key(definition)
      local tree = tree_of("create table t (" .. definition .. ")")
      local c = tree.tables[1].columns[1]
      assert.is_false(c.null)
      return c.identity ~= nil, c.sqlite ~= nil, #tree.notes
    end
    assert.same({ true, false, 0 }, { key "id integer primary key" })
    assert.same({ true, false, 0 }, { key "id INTEGER, primary key (id desc)" })
    assert.same({ false, true, 1 }, { key "id int primary key" })
    assert.same({ false, true, 1 }, { key "id bigint primary key" })
    assert.same({ false, true, 2 }, { key "id integer primary key desc" })
    assert.same({ false, false, 0 }, { key "id bigint not null primary key" })
    assert.same({ false, false, 0 }, { key "id text primary key) without rowid --" })
    assert.is_true(columns_of("id integer primary key autoincrement").columns[1].identity.always)
    for _, definition in ipairs {
      "id integer primary key", "id int primary key", "id integer primary key desc",
      "id INTEGER, primary key (id desc)", "id integer primary key autoincrement",
    } do
      round_trip(tree_of("create table t (" .. definition .. ")"))
    end
  end)

  it("after ALTER TABLE the text is another and the table the same (trap 26)", function()
    local plain = tree_of [[create table t (id integer primary key, a text,
      b int not null default 1 check (b > 0)); create index i on t (a)]]
    local altered = tree_of [[create table s (id integer primary key, x text);
      create index i on s (x); alter table s rename to t; alter table t rename column x to a;
      alter table t add column   b int NOT NULL default 1 check(b>0)  ; ]]
    assert.same(plain.tables, altered.tables)
  end)

  it("sees generated columns (trap 27)", function()
    local t = columns_of "a int, b int as (a + 1), c int generated always as (a*2) stored"
    assert.same({ sql = "a + 1", stored = false }, t.columns[2].generated)
    assert.same({ sql = "a * 2", stored = true }, t.columns[3].generated)
  end)

  it("says what is not the same", function()
    for _, pair in ipairs {
      { "a text default 'A'", "a text default 'a'" }, { "a text default '0'", "a int default '0'" },
      { "a text check (a > 'B')", "a text check (a > 'b')" },
      { "a int check (a > 1)", "a int check (a >= 1)" },
      { "a int unique", "a int" }, { "a int references p", "a int references p on delete cascade" },
      { "a text collate nocase", "a text" }, { "a int unique on conflict replace", "a int unique" },
      { "b int, a int as (1) stored", "b int, a int as (1)" },
      { "a int, b int, unique (a, b)", "a int, b int, unique (b, a)" },
    } do
      assert.not_same(columns_of(pair[1]), columns_of(pair[2]))
    end
  end)

  it("equal defaults and texts of live trees", function()
    assert.is_true(dialect.same_default("current_timestamp", "(DateTime('now'))"))
    assert.is_true(dialect.same_default("date('now')", "CURRENT_DATE"))
    assert.is_false(dialect.same_default("'a'", "'A'"))
    assert.is_true(dialect.same_text("select  A from T -- x", 'SELECT a FROM "t"'))
    assert.is_false(dialect.same_text("select 'A'", "select 'a'"))
  end)
end)

-- ---- from definitions -------------------------------------------------------

local function column(name, ty, more)
  local c = { name = name, type = { name = ty }, null = false }
  for k, v in pairs(more or {}) do c[k] = v end
  return c
end

local function definitions()
  return { tables = {
    {
      name = "orders", options = { sqlite = {} },
      columns = {
        column("id", "bigint", { identity = { always = false } }),
        column("code", "int"),
        column("status", nil, {
          type = { enum = "order_status", values = { "new", "it's" } }, default = { value = "new" },
        }),
        column("total", "numeric", { type = { name = "numeric", args = { 12, 2 } },
          default = { value = 0 } }),
        column("exact", "numeric", { numeric_as = "text" }),
        column("paid", "boolean", { default = { value = false } }),
        column("data", "json", { default = { value = '{"a": "it\'s"}' } }),
        column("at", "timestamptz", { default = { sql = "now", word = true } }),
        column("day", "date", { default = { sql = "now", word = true } }),
        column("tag", "uuid", { default = { sql = "uuid", word = true } }),
        column("span", "interval", { null = true }),
        column("raw", "bytes", { null = true }),
        column("tax", "numeric", { null = true, generated = { sql = "total * 0.2 -- tax",
          stored = true } }),
      },
      primary_key = { name = "orders_pkey", columns = { "id" } },
      uniques = { { name = "orders_code_key", columns = { "code" } } },
      checks = { { name = "orders_total_check", sql = "total >= 0" } },
      foreign_keys = {}, indexes = {
        { name = "orders_lower_idx", keys = { { sql = "lower(status) -- x" }, { column = "day" } },
          include = { "total" }, where = "paid" },
      },
    },
    {
      name = "items", options = {}, uniques = {}, indexes = {}, checks = {},
      columns = { column("order_id", "bigint"), column("n", "smallint") },
      primary_key = { name = "items_pkey", columns = { "order_id", "n" } },
      foreign_keys = { { name = "items_order_id_fkey", columns = { "order_id" },
        ref = { table = "orders", columns = { "id" } }, on_delete = "cascade" } },
    },
  }, enums = { { name = "order_status", values = { "new", "it's" } } }, views = {}, objects = {},
    schemas = {} }
end

describe("Definitions on SQLite", function()
  after_each(helper.cleanup)

  it("become what SQLite says of them, and stay that", function()
    local tree, problems = dialect.normalise(nil, definitions())
    assert.same({}, problems)
    round_trip(tree)
    local t = tree.tables[2]
    local types = {}
    for i, c in ipairs(t.columns) do types[i] = c.type.raw end
    assert.same({
      "INTEGER", "INTEGER", "TEXT", "NUMERIC(12,2)", "NUMERIC_TEXT", "BOOLEAN", "JSON_TEXT",
      "TIMESTAMPTZ", "DATE", "UUID", "SPAN_TEXT", "BLOB", "NUMERIC",
    }, types)
    assert.same({ always = false }, t.columns[1].identity)
    assert.equal("order_status", t.checks[1].enum)
    assert.equal("status", t.checks[1].column)
    assert.equal("total * 0.2", t.columns[13].generated.sql)
  end)

  it("take values and give them back as the guide says", function()
    local db = open()
    for _, item in ipairs(dialect.create_tree(definitions())) do db:execute(item.sql) end
    local row = db:insert("orders", {
      code = 7, total = "12.50", exact = "123456789012345678901234567890.10",
      raw = perigee.bytes "\0\1", span = "1 day",
    })
    assert.equal(1, row.id)
    assert.equal("new", row.status)
    assert.is_false(row.paid)
    assert.equal("it's", row.data.a)
    assert.equal("123456789012345678901234567890.10", row.exact)
    assert.equal("\0\1", row.raw)
    assert.truthy(row.at:find "^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%d%d%d%dZ$")
    assert.truthy(row.day:find "^%d%d%d%d%-%d%d%-%d%d$")
    assert.truthy(row.tag:find "^%x+%-%x%x%x%x%-4%x%x%x%-[89ab]%x%x%x%-%x+$")
    assert.equal(36, #row.tag)
    assert.equal(27, #db:value "select at from orders")
    local ok, err = pcall(db.insert, db, "orders",
      { code = 8, exact = "1", status = "lost" })
    assert.is_false(ok)
    assert.equal("check", err.kind)
  end)

  it("in STRICT tables have SQLite's own types", function()
    local tree = definitions()
    tree.tables[1].options.sqlite.strict = true
    local live, problems = dialect.normalise(nil, tree)
    assert.same({}, problems)
    local types = {}
    for i, c in ipairs(live.tables[2].columns) do types[i] = c.type.raw end
    assert.equal("INTEGER INTEGER TEXT REAL TEXT INTEGER TEXT TEXT TEXT TEXT TEXT BLOB REAL",
      table.concat(types, " "))
  end)

  it("AUTOINCREMENT is identity = always, an integer key without identity makes up nothing",
    function()
      local tree = definitions()
      tree.tables[1].columns[1].identity.always = true
      tree.tables[2].primary_key.columns = { "order_id" }
      tree.tables[2].columns[1] = column("order_id", "int")
      local live = dialect.normalise(nil, tree)
      assert.is_true(live.tables[2].columns[1].identity.always)
      assert.is_nil(live.tables[1].columns[1].identity)
      assert.equal("INT", live.tables[1].columns[1].type.raw)
    end)

  it("are dropped children first", function()
    local db = open()
    local tree = definitions()
    tree.views = { { name = "v", sql = "select id from orders" } }
    for _, item in ipairs(dialect.create_tree(tree)) do db:execute(item.sql) end
    for _, item in ipairs(dialect.drop_tree(tree)) do db:execute(item.sql) end
    assert.equal(0, #dialect.inspect(db).tables)
    assert.equal(0, #dialect.inspect(db).views)
  end)

  it("what cannot be created is told with its place", function()
    local tree = definitions()
    tree.tables[1].checks[1].sql = "my_function(total)"
    tree.tables[1].at = { file = "schema.lua", line = 4 }
    tree.views = {
      { name = "v", sql = "select nothing from items", at = { file = "s.lua", line = 9 } },
    }
    local _, problems = dialect.normalise(nil, tree)
    assert.equal(3, #problems) -- the table, its index, the view
    assert.same({ file = "schema.lua", line = 4 }, problems[1].at)
    assert.truthy(problems[1].message:find "my_function")
    assert.equal("table orders", problems[1].object)
    assert.equal("view v", problems[3].object)
  end)

  it("what SQLite does not have is refused with file and line", function()
    local at = { file = "schema.lua", line = 7 }
    local function refused(change)
      local tree = definitions()
      change(tree, tree.tables[1])
      local ok, err = pcall(dialect.create_tree, tree)
      assert.is_false(ok)
      assert.equal("usage", err.kind)
      assert.truthy(err.message:find("^schema.lua:7: "), err.message)
    end
    refused(function(_, t) t.schema, t.at = "audit", at end)
    refused(function(tree)
      tree.objects = { { kind = "function", name = "f", sql = "", at = at } }
    end)
    refused(function(tree)
      tree.views = { { name = "v", materialized = true, sql = "select 1", at = at } }
    end)
    refused(function(_, t) t.indexes[1].method, t.indexes[1].at = "gin", at end)
    refused(function(_, t) t.uniques[1].deferrable, t.uniques[1].at = true, at end)
    refused(function(_, t) t.columns[2].type.array, t.columns[2].at = 1, at end)
    refused(function(_, t) t.columns[2].identity, t.columns[2].at = {}, at end)
    refused(function(_, t)
      t.options.sqlite.without_rowid = true
      t.columns[1].at = at
    end)
  end)
end)
