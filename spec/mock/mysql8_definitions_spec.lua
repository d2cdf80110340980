-- Definitions read from MySQL 8: rows as its information_schema gives them, and SHOW CREATE
-- TABLE, written down from its manual and its own tests. No MySQL server is asked; what is
-- read is compared with what MariaDB says of the same table.
local helper = require "spec.support.helper"
local dialect = require "perigee.dialect"
local expect = require "spec.support.expect"
local mysql8 = require "perigee.dialect.mysql.mysql8"
local queries = require "perigee.dialect.mysql.queries"
local written = require "perigee.dialect.mysql.written"

local D = dialect.named "mysql"

local function copied(rows)
  local out = {}
  for i, row in ipairs(rows) do
    out[i] = {}
    for k, v in pairs(row) do out[i][k] = v end
  end
  return out
end

-- An executor that has the rows of a list of { pattern, rows }.
local function server(version, answers)
  local x = { asked = {} }
  function x.query(_, sql)
    x.asked[#x.asked + 1] = sql
    for _, pair in ipairs(answers) do
      if sql:find(pair[1], 1, true) then return copied(pair[2]) end
    end
    return {}
  end
  function x.one(_, sql)
    if not sql:find "version%(%)" then return x:query(sql)[1] end
    return { name = "shop", version = version, collation = "utf8mb4_0900_ai_ci",
      engine = "InnoDB" }
  end
  function x.value(_, sql) return (select(2, next(x:query(sql)[1] or {}))) end
  return x
end

local function column(name, ty, fields)
  local row = { owner = "orders", name = name, type = ty, nullable = 1, extra = "", expr = "",
    comment = "" }
  for k, v in pairs(fields or {}) do row[k] = v end
  return row
end

local function index(name, col, fields)
  local row = { owner = "orders", name = name, many = "1", col = col, direction = "A",
    method = "BTREE", comment = "", hidden = 0 }
  for k, v in pairs(fields or {}) do row[k] = v end
  return row
end

local function answers(columns, indexes, checks, shown)
  return {
    { "SHOW CREATE TABLE", { { Table = "orders", ["Create Table"] = shown } } },
    { "information_schema.tables", { { name = "orders", kind = "BASE TABLE", engine = "InnoDB",
      collation = "utf8mb4_0900_ai_ci", options = "", comment = "" } } },
    { "information_schema.columns", columns },
    { "information_schema.statistics", indexes },
    { "information_schema.table_constraints", checks },
  }
end

local function read(...) return D.inspect(server("8.0.36", answers(...))) end

local function by_name(list)
  local map = {}
  for _, e in ipairs(list) do map[e.name] = e end
  return map
end

local AI_CI = "utf8mb4_0900_ai_ci"

-- The same table as MySQL says it and as MariaDB is told it.
local SAME = [[create table orders (
  id bigint unsigned not null auto_increment primary key, code char(36) default (uuid()),
  sold tinyint(1) not null default 0, total int generated always as (sold + 1) stored,
  at datetime(6) not null default current_timestamp(6), name varchar(90) default 'it''s',
  price decimal(12,2) default 1.50, state enum('new') not null default 'new' comment 'so',
  rest int generated always as (case when name = 'é' then 1 else 2 end) virtual,
  unique key code_key (code), key name_idx (name(10), at desc),
  constraint cheap check (price > 0), constraint named check (name <> 'a\\b'))]]

local ROWS = {
  column("id", "bigint unsigned", { nullable = 0, extra = "auto_increment" }),
  column("code", "char(36)", { deflt = "uuid()", extra = "DEFAULT_GENERATED",
    collation = AI_CI }),
  column("sold", "tinyint(1)", { nullable = 0, deflt = "0" }),
  column("total", "int", { extra = "STORED GENERATED", expr = "(`sold` + 1)" }),
  column("at", "datetime(6)", { nullable = 0, deflt = "CURRENT_TIMESTAMP(6)",
    extra = "DEFAULT_GENERATED" }),
  column("name", "varchar(90)", { deflt = "it's", collation = AI_CI }),
  column("price", "decimal(12,2)", { deflt = "1.50" }),
  column("state", "enum('new')", { nullable = 0, deflt = "new", comment = "so",
    collation = AI_CI }),
  column("rest", "int", { extra = "VIRTUAL GENERATED",
    expr = "(case when (`name` = _utf8mb4\\'\195\131\194\169\\') then 1 else 2 end)" }),
}

local KEYS = {
  index("PRIMARY", "id", { many = "0" }), index("code_key", "code", { many = "0" }),
  index("name_idx", "name", { part = 10 }), index("name_idx", "at", { direction = "D" }),
}

local CHECKS = {
  { owner = "orders", name = "cheap", expr = "(`price` > 0)", idle = 0 },
  { owner = "orders", name = "named", expr = "(`name` <> _utf8mb4\\'a\\\\\\\\b\\')", idle = 0 },
}

local SHOWN = [[CREATE TABLE `orders` (
  `id` bigint unsigned NOT NULL AUTO_INCREMENT,
  `code` char(36) DEFAULT (uuid()),
  `sold` tinyint(1) NOT NULL DEFAULT '0',
  `total` int GENERATED ALWAYS AS ((`sold` + 1)) STORED,
  `at` datetime(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  `name` varchar(90) DEFAULT 'it''s',
  `price` decimal(12,2) DEFAULT '1.50',
  `state` enum('new') NOT NULL DEFAULT 'new' COMMENT 'so',
  `rest` int GENERATED ALWAYS AS ((case when (`name` = _utf8mb4'é') then 1 else 2 end)) VIRTUAL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `code_key` (`code`),
  KEY `name_idx` (`name`(10),`at` DESC),
  CONSTRAINT `cheap` CHECK ((`price` > 0)),
  CONSTRAINT `named` CHECK ((`name` <> _utf8mb4'a\\b'))
) ENGINE=InnoDB]]

describe("definitions of MySQL 8", function()
  it("have defaults as SQL, and expressions as they were meant", function()
    local t = read(ROWS, KEYS, CHECKS, SHOWN).tables[1]
    local c = by_name(t.columns)
    local defaults = {}
    for _, name in ipairs { "code", "sold", "at", "name", "price", "state" } do
      defaults[#defaults + 1] = c[name].default.sql
    end
    assert.same({ "uuid()", "0", "current_timestamp(6)", "'it''s'", "1.50", "'new'" }, defaults)
    assert.same({ sql = "`sold` + 1", stored = true }, c.total.generated)
    assert.equal("case when (`name` = 'é') then 1 else 2 end", c.rest.generated.sql)
    assert.same({ { name = "cheap", sql = "`price` > 0" },
      { name = "named", sql = "`name` <> 'a\\\\b'" } }, t.checks)
    assert.same({ always = false }, c.id.identity)
    assert.same({ {}, nil }, { t.options, c.name.collation })
  end)

  it("ask SHOW CREATE only where information_schema may be wrong", function()
    local plain = { ROWS[1], ROWS[2], ROWS[3], ROWS[4], ROWS[5], ROWS[6] }
    local x = server("8.4.0", answers(plain, KEYS, { CHECKS[1] }, SHOWN))
    D.inspect(x)
    assert.is_nil(table.concat(x.asked, "\n"):find("SHOW CREATE", 1, true))
  end)

  it("have the default of a text, which old versions do not tell, and of bytes", function()
    local shown = "CREATE TABLE `orders` (\n  `a` enum('x,(y','DEFAULT (1)') NOT NULL,\n"
      .. "  `about` text DEFAULT (concat(_utf8mb4'a,b)',`a`)) COMMENT 'DEFAULT (2)',\n"
      .. "  `doc` json DEFAULT (json_array()),\n"
      .. "  `hint` text DEFAULT (_utf8mb4'it\\'s\\n\\\\')\n) ENGINE=InnoDB"
    local t = read({
      column("a", "enum('x,(y','DEFAULT (1)')", { nullable = 0 }),
      column("about", "text", { extra = "DEFAULT_GENERATED" }),
      column("doc", "json", { deflt = "json_array()", extra = "DEFAULT_GENERATED" }),
      column("hint", "text", { deflt = "_utf8mb4\\'x\\'", extra = "DEFAULT_GENERATED" }),
      column("raw", "varbinary(8)", { deflt = "0x616263" }),
      column("flags", "bit(2)", { deflt = "b'10'" }),
      column("word", "varchar(9)", { deflt = "NULL" }),
    }, {}, {}, shown).tables[1]
    local c = by_name(t.columns)
    assert.equal("concat('a,b)',`a`)", c.about.default.sql)
    assert.equal("json_array()", c.doc.default.sql)
    assert.equal("'it''s\n\\\\'", c.hint.default.sql) -- as that of a varchar is written
    assert.equal("json", c.doc.type.raw)
    assert.same({ "0x616263", "b'10'", "'NULL'" },
      { c.raw.default.sql, c.flags.default.sql, c.word.default.sql })
    assert.is_nil(c.a.default)
    -- said again, a literal stays one, and a text has its default in parentheses
    assert.equal("`word` varchar(9) NULL DEFAULT 'NULL'", D.column(c.word))
    assert.equal("`about` text NULL DEFAULT (concat('a,b)',`a`))", D.column(c.about))
    assert.equal("`x` text NULL DEFAULT ('a')",
      D.column { name = "x", type = { raw = "text" }, null = true, default = { sql = "'a'" } })
  end)

  it("keep and name what they have no word for", function()
    local tree = read({
      column("at", "timestamp(6)", { extra = "on update CURRENT_TIMESTAMP" }),
      column("place", "point", { nullable = 0, srid = 4326 }),
      column("twice", "int", { nullable = 0, extra = "VIRTUAL GENERATED INVISIBLE",
        expr = "(`a` * 2)" }),
    }, {
      index("PRIMARY", "a", { many = "0", direction = "D" }),
      index("unseen", "at", { hidden = 1 }),
    }, { { owner = "orders", name = "idle", expr = "(`a` > 0)", idle = 1 } }, "")
    local t = tree.tables[1]
    local c = by_name(t.columns)
    assert.equal("ON UPDATE current_timestamp(6)", c.at.kept)
    assert.equal("SRID 4326", c.place.kept)
    assert.equal("INVISIBLE NOT NULL", c.twice.kept)
    assert.is_true(c.twice.null)
    assert.same({ columns = { "a" } }, t.primary_key)
    assert.equal("ADD CONSTRAINT `idle` CHECK (`a` > 0) NOT ENFORCED",
      D.create("check", t.checks[1], { table = t })[1]:match "ADD .*")
    local why = {}
    for _, n in ipairs(tree.notes) do
      why[#why + 1] = ("%s %s: %s"):format(n.kind, n.name, n.why)
    end
    assert.same({
      "check idle: NOT ENFORCED is not compared",
      "column at: ON UPDATE is not compared",
      "column place: its SRID is not compared",
      "column twice: INVISIBLE is not compared",
      "column twice: NOT NULL is not compared",
      "index unseen: that it is not used (invisible) is not compared",
      "table orders: the order of its primary key is not compared",
    }, why)
  end)

  it("are unescaped where SHOW CREATE has no such name", function()
    local t = read({ column("n", "int", { extra = "STORED GENERATED",
      expr = "locate(_utf8mb4\\'a\\\\\\'b\\',`m`)" }) }, {}, {}, "").tables[1]
    assert.equal("locate('a''b',`m`)", t.columns[1].generated.sql)
  end)

  it("have indexes of expressions", function()
    local shown = "CREATE TABLE `orders` (\n  `doc` json DEFAULT NULL,\n"
      .. "  KEY `by_zip` (`a`,(cast(json_extract(`doc`,_utf8mb4'$.zip') as char(9))) DESC),\n"
      .. "  UNIQUE KEY `sum` (((`a` + `b`)))\n) ENGINE=InnoDB"
    local t = read({ column("doc", "json") }, {
      index("by_zip", "a"),
      index("by_zip", nil, { direction = "D",
        expr = "cast(json_extract(`doc`,_utf8mb4\\'$.zip\\') as char(9))" }),
      index("sum", nil, { many = "0", expr = "(`a` + `b`)" }),
    }, {}, shown).tables[1]
    assert.same({
      { name = "by_zip", keys = { { column = "a" },
        { sql = "cast(json_extract(`doc`,'$.zip') as char(9))", desc = true } } },
      { name = "sum", unique = true, keys = { { sql = "`a` + `b`" } } },
    }, t.indexes)
    assert.same({}, t.uniques)
    assert.matches("ADD UNIQUE INDEX `sum` %(%(`a` %+ `b`%)%)",
      D.create("index", t.indexes[2], { table = t })[1])
  end)

  it("are not read from versions that are too old", function()
    for _, version in ipairs { "5.7.44-log", "8.0.18", "8.0.11-TiDB-v7.5.0" } do
      local ok, err = pcall(D.inspect, server(version, {}))
      assert.is_false(ok)
      assert.equal("unsupported", err.kind)
      assert.matches("from MySQL 8%.0%.19 or later; this server is MySQL " .. version:sub(1, 5),
        err.message)
    end
    for _, version in ipairs { "8.0.19", "8.4.3", "9.1.0", "26.7.0" } do
      assert.is_nil(mysql8.wanted(version))
      assert.same({}, D.inspect(server(version, {})).tables)
    end
    assert.is_false(mysql8.is "10.11.6-MariaDB-1")
  end)
end)

describe("an expression", function()
  it("loses the character set of strings, but not in them", function()
    assert.equal("concat('_utf8mb4''x',my_utf8mb4,_latin1'x')",
      written.plain "concat(_utf8mb4'_utf8mb4''x',my_utf8mb4,_latin1'x')")
    assert.equal("(`a`) or (`b`)", written.plain("(`a`) or (`b`)", true))
    assert.equal("`)` = ')'", written.plain("(`)` = _utf8mb4')')", true))
  end)

  it("is not found where there is none", function()
    assert.is_nil(written.column(SHOWN, "price"))
    assert.is_nil(written.column(SHOWN, "nothing"))
    assert.is_nil(written.check(SHOWN, "nothing"))
    assert.is_nil(written.index(SHOWN, "name_idx", 3))
  end)
end)

describe("a run on MySQL 8", function()
  after_each(helper.cleanup)

  it("has limits that the server knows", function()
    local sent = {}
    local conn = { script = function(_, sql) sent[#sent + 1] = sql end }
    D.adjust(conn, { statement_timeout = 30 })
    D.adjust(conn, { statement_timeout = 0.0001 })
    D.adjust(conn, { statement_timeout = 0 })
    D.restore(conn)
    for i, sql in ipairs(sent) do
      sent[i] = sql:gsub("/%*M!.-%*/", ""):gsub("/%*!80000 (.-) %*/", "%1")
    end
    assert.same({
      "SET SESSION max_execution_time = 30000", "SET SESSION max_execution_time = 1",
      "SET SESSION max_execution_time = 0",
      "SET SESSION lock_wait_timeout = DEFAULT, SESSION innodb_lock_wait_timeout = DEFAULT "
        .. ", SESSION max_execution_time = DEFAULT",
    }, sent)
  end)

  it("sets defaults as the server takes them", function()
    local function step(default)
      local op = { op = "alter_column", table = "t", name = "c", set = { default = default } }
      return D.steps(op)[1]
    end
    local sql = "ALTER TABLE `t`\n  ALTER COLUMN `c` SET DEFAULT "
    assert.equal(sql .. "('it''s')", step({ value = "it's" }).sql)
    assert.equal(sql .. "7", step({ value = 7 }).sql)
    assert.equal(sql .. "(a + 1)", step({ sql = "a + 1" }).sql)
    assert.is_nil(step({ sql = "now", word = true }).sql) -- by MODIFY, when the column is known
    assert.is_function(step({ sql = "now", word = true }).make)
  end)

  it("asks for the ways of changing tables that there are, and sees what was rebuilt", function()
    local db = helper.open(expect.mock [[
on "select database()*" rows name:text,id:int,charset:text,collation:text,version:text | s,1,c,d,8.4
on "drop database*"
on "create database*"
on "use *"
on "alter table `now`*instant"
on "alter table*instant" error unsupported "ALGORITHM=INSTANT is not supported." code=1845
on "alter table `copy`*inplace*" error unsupported "No. Reason: it is so. Try COPY." code=1846
on "alter table*inplace*none"
on "alter table `copy` *"
on "select max(t.table_id)*" times 4 rows id:int | 5
on "select max(t.table_id)*" rows id:int | 6
]])
    local function alter(name) return { sql = "ALTER TABLE `" .. name .. "` ADD x" } end
    local facts = D.measure(db, function(space)
      return assert(space:facts({ tables = {} },
        { alter "now", alter "index", alter "new", alter "copy" }))
    end)
    assert.same({ {}, {} }, { facts[1].rebuilds, facts[2].rebuilds })
    assert.same({ new = true }, facts[3].rebuilds)
    assert.same({ {}, { copy = true }, { copy = "it is so" } },
      { facts[4].rebuilds, facts[4].rewrites, facts[4].why })
  end)
end)

helper.for_each_db(function(_, open)
  it("MySQL 8 and MariaDB say the same of a table", function()
    local db = open()
    db:plain_script(SAME)
    local theirs = D.inspect(db).tables[1]
    local ours = read(ROWS, KEYS, CHECKS, SHOWN).tables[1]
    for _, t in ipairs { theirs, ours } do
      for _, c in ipairs(t.columns) do
        -- operators within others have parentheses on MySQL
        local e = c.generated or c.default
        if e then e.sql = e.sql:gsub("when %((.-)%) then", "when %1 then") end
      end
    end
    assert.same(theirs, ours)
    local text = db:one("show create table orders")["Create Table"]
    for _, c in ipairs(D.inspect(db).tables[1].columns) do
      assert.equal(c.generated and c.generated.sql, written.column(text, c.name))
    end
    assert.equal("`name` <> 'a\\\\b'", written.check(text, "named"))
    local rows = db:query((queries.mysql_checks:format ""))
    assert.same({ { owner = "orders", name = "cheap", expr = "`price` > 0" },
      { owner = "orders", name = "named", expr = "`name` <> 'a\\\\b'" } }, rows)
  end)
end, { "mysql" })
