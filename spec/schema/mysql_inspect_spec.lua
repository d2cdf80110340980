-- A live database of MariaDB as a tree: created from the tree elsewhere it gives the same
-- tree; definitions that mean the same give the same; what is not compared is named.
local helper = require "spec.support.helper"
local dialect = require "perigee.dialect"
local expect = require "spec.support.expect"
local perigee = require "perigee"
local support = require "spec.support.schema"

local D = dialect.named "mysql"

local RICH = [[
create table customers (
  id bigint unsigned not null auto_increment primary key,
  email varchar(190) not null unique,
  name varchar(40) collate utf8mb4_general_ci default 'x',
  about text, doc json, state enum('new', 'it''s') not null default 'new',
  flag boolean not null default false, amount decimal(12,2) default 1.5,
  at datetime(6) not null default current_timestamp(6), day date, until time(3),
  bytes longblob, code char(36) default uuid(),
  twice int generated always as (flag * 2) virtual,
  kept int generated always as (flag + 1) stored,
  unique key both_key (name, state), key about_idx (about(10), day desc),
  fulltext key words (about),
  constraint long_name check (char_length(name) > 1)
) comment 'who buys';
create table orders (
  a int not null, b int not null comment 'it''s', customer_id bigint unsigned,
  primary key (b, a),
  constraint orders_customer foreign key (customer_id) references customers (id)
    on delete set null on update cascade,
  constraint orders_self foreign key (b, a) references orders (b, a)
) engine InnoDB row_format dynamic collate utf8mb4_general_ci;
create view names as select c.id, c.name from customers c where c.name <> '`x`.';
create view few as select * from names where id < 5;
create trigger tidy before insert on orders for each row set new.a = abs(new.a);
create function twice_of(n int) returns int deterministic return n * 2]]

local function find(list, name)
  for _, e in ipairs(list) do
    if e.name == name then return e end
  end
end

local function bare(tree)
  tree.notes = {}
  return tree
end

helper.for_each_db(function(_, open)
  describe("mysql reflection", function()
    it("reads what a table has", function()
      local db = open()
      db:plain_script(RICH)
      local tree = D.inspect(db)
      local t = find(tree.tables, "customers")
      assert.same({ columns = { "id" } }, t.primary_key)
      assert.equal("who buys", t.comment)
      assert.same({ { name = "both_key", columns = { "name", "state" } },
        { name = "email", columns = { "email" } } }, t.uniques)
      assert.same({ name = "id", type = { raw = "bigint unsigned" }, null = false,
        identity = { always = false } }, find(t.columns, "id"))
      assert.equal("json", find(t.columns, "doc").type.raw)
      assert.equal("enum('new','it''s')", find(t.columns, "state").type.raw)
      assert.equal("utf8mb4_general_ci", find(t.columns, "name").collation)
      assert.equal("'x'", find(t.columns, "name").default.sql)
      assert.is_nil(find(t.columns, "about").default)
      assert.is_true(find(t.columns, "kept").generated.stored)
      assert.same({ { column = "about", length = 10 }, { column = "day", desc = true } },
        find(t.indexes, "about_idx").keys)
      assert.equal("fulltext", find(t.indexes, "words").method)
      assert.equal("long_name", t.checks[1].name)
      assert.equal(1, #t.checks)
    end)

    it("reads keys between tables, views and what else there is", function()
      local db = open()
      db:plain_script(RICH)
      local tree = D.inspect(db)
      local t = find(tree.tables, "orders")
      assert.same({ name = "orders_customer", columns = { "customer_id" },
        on_delete = "set null", on_update = "cascade",
        ref = { table = "customers", columns = { "id" } } }, find(t.foreign_keys,
        "orders_customer"))
      assert.same({ "b", "a" }, find(t.foreign_keys, "orders_self").columns)
      assert.equal("utf8mb4_general_ci", t.options.mysql.collation)
      assert.same({ "names" }, find(tree.views, "few").after)
      assert.is_nil(find(tree.views, "few").sql:find("`names`.`id`.", 1, true))
      assert.truthy(find(tree.views, "names").sql:find("'`x`.'", 1, true))
      assert.equal("orders", find(tree.objects, "tidy").on)
      assert.truthy(find(tree.objects, "twice_of").sql:find "^CREATE FUNCTION")
    end)

    it("is the same when it is created from what was read", function()
      local db = open()
      db:plain_script(RICH)
      local tree = bare(D.inspect(db))
      local again, problems = D.normalise(db, tree)
      assert.same({}, problems)
      assert.same(tree, bare(again))
      assert.same({}, db:query "show databases like 'perigee_scratch%'")
      assert.equal(2, #db:tables())
    end)

    it("keeps what definitions do not say of a column that is changed", function()
      local db = open()
      db:plain_script [[create table t (id int primary key, a int not null check (a > 0),
        at timestamp(6) null on update current_timestamp(6), h int invisible default 4)]]
      local list = {}
      for _, name in ipairs { "a", "at", "h" } do
        list[#list + 1] = { op = "set_comment", table = "t", column = name, text = "new" }
      end
      local before = D.inspect(db)
      support.apply(db, list)
      for i, c in ipairs(D.inspect(db).tables[1].columns) do
        local was = before.tables[1].columns[i]
        assert.equal(was.kept, c.kept)
        if i > 1 then was.comment = "new" end
        assert.same(was, c)
      end
      assert.equal(3, #before.notes)
      expect.fails("check", db.execute, db, "insert into t (id, a) values (1, 0)")
    end)

    it("has no indexes that were made for foreign keys", function()
      local db = open()
      db:plain_script [[create table p (id int primary key);
        create table c (id int primary key, a int, b int, key i (a, b),
          constraint f1 foreign key (a) references p (id),
          constraint f2 foreign key (b) references p (id))]]
      local function names()
        local out = {}
        for _, r in ipairs(db:query "show index from c") do out[#out + 1] = r.Key_name end
        return table.concat(out, " ")
      end
      assert.same({ { name = "i", keys = { { column = "a" }, { column = "b" } } } },
        D.inspect(db).tables[1].indexes)
      support.apply(db, { { op = "drop_index", table = "c", name = "i" } })
      assert.equal("PRIMARY f2 f1", names())
      support.apply(db, { { op = "rename_constraint", table = "c", name = "f1", to = "f3" } })
      assert.equal("PRIMARY f2 f3", names())
      support.apply(db, { { op = "drop_foreign_key", table = "c", name = "f2" },
        { op = "drop_foreign_key", table = "c", name = "f3" } })
      assert.equal("PRIMARY", names())
    end)

    it("keeps what quotes and backslashes in texts mean", function()
      local db = open()
      db:plain_script [[
        create table t (id int primary key, x int, s varchar(30),
          g varchar(60) as (concat(s, 'it''s x')) stored,
          constraint c check (s <> 'it''s x\\' and x > 0));
        create view v as select id from t where s <> 'it''s'' x';
        create trigger r before insert on t for each row set new.s = concat('a\\', '\'😀')]]
      local tree = D.inspect(db)
      local t = tree.tables[1]
      assert.equal([[`s` <> 'it''s x\\' and `x` > 0]], t.checks[1].sql)
      assert.equal("concat(`s`,'it''s x')", find(t.columns, "g").generated.sql)
      assert.truthy(tree.views[1].sql:find("'it''s'' x'", 1, true))
      assert.truthy(tree.objects[1].sql:find([[EACH ROW set new.s = concat('a\\', '\'😀')]], 1,
        true))
      support.apply(db, { { op = "rename_column", table = "t", name = "x", to = "z" } })
      assert.equal([[`s` <> 'it''s x\\' and `z` > 0]], D.inspect(db).tables[1].checks[1].sql)
      expect.fails("check", db.execute, db, "insert into t (id, z) values (1, 0)")
    end)

    it("takes the database from names, not what is called as it is", function()
      local db = open()
      local own = "`" .. db:value "select database()" .. "`"
      db:plain_script((([[create table a (id int primary key);
        create table OWN (id int primary key, OWN int);
        create view t as select OWN.id, OWN.OWN from OWN join a on a.id = OWN.id;
        create view u as select OWN.id from a OWN join a b on b.id = OWN.id]]):gsub("OWN", own)))
      local tree = D.inspect(db)
      assert.equal((("select OWN.`id` AS `id`,OWN.OWN AS OWN from (OWN join `a` "
        .. "on(`a`.`id` = OWN.`id`))"):gsub("OWN", own)), find(tree.views, "t").sql)
      local again, problems = D.normalise(db, tree)
      assert.same({}, problems)
      assert.same(tree.views, again.views)
    end)

    it("has no primary key of the beginnings of columns", function()
      local db = open()
      db:plain_script [[create table t (a text, b int, primary key (a(10), b));
        create table u (a int, b int, primary key (a desc, b))]]
      local tree = D.inspect(db)
      assert.is_nil(tree.tables[1].primary_key)
      assert.same({ columns = { "a", "b" } }, tree.tables[2].primary_key)
      assert.equal(2, #tree.notes)
    end)

    it("does not show who made it", function()
      local db = open()
      db:plain_script [[create definer = `my ``root`@`%` function f() returns int return 1]]
      assert.truthy(D.inspect(db).objects[1].sql:find("^CREATE FUNCTION `f`"))
    end)

    it("takes no default for another because a table is empty", function()
      local db = open()
      db:plain_script "create table t (a varchar(9) not null default '😀')"
      local empty = D.inspect(db).tables[1].columns[1].default
      db:plain_script "insert into t () values ()"
      local full = D.inspect(db).tables[1].columns[1].default
      assert.equal("'😀'", full.sql)
      assert.is_true(D.same_default(empty, full) and D.same_default(full, empty))
      assert.is_false(D.same_default(full, { sql = "'😁'" }))
    end)

    it("names what the user may not read", function()
      local db = open()
      local name = db:value "select database()"
      local user = "reader_" .. db:value "select connection_id()"
      db:plain_script((([[create table t (id int primary key);
        create view v as select id from t;
        create function f() returns int return 1;
        create user U@localhost identified by 'u'; grant select, execute on DB.* to U@localhost]])
        :gsub("U@", user .. "@"):gsub("DB", "`" .. name .. "`")))
      local url = perigee.url(os.getenv "PERIGEE_TEST_MYSQL"):with {
        user = user, password = "u", database = name }
      local tree = perigee.with(url, D.inspect)
      db:plain_script("drop user " .. user .. "@localhost")
      assert.same({ 1, 0, 0, 2 }, { #tree.tables, #tree.views, #tree.objects, #tree.notes })
    end)

    it("names what it does not compare", function()
      local db = open()
      db:plain_script [[create table odd (a int check (a > 0),
        at timestamp(6) null default null on update current_timestamp(6));
        create sequence counter]]
      local why = {}
      for _, n in ipairs(D.inspect(db).notes) do why[n.name] = n.why end
      assert.same({ a = "its check, which is a part of it, is not compared",
        at = "ON UPDATE is not compared",
        counter = "it is not compared" }, why)
    end)

    it("reads only what is asked for", function()
      local db = open()
      db:plain_script(RICH)
      local tree = D.inspect(db, { tables = { "orders" } })
      assert.same({ 1, 0, 0 }, { #tree.tables, #tree.views, #tree.objects })
      assert.same({}, D.inspect(db, { tables = {} }).tables)
      assert.same({ { name = "customers", columns = {} }, { name = "orders", columns = {} } },
        D.inspect(db, { names_only = true }).tables)
      tree = D.inspect(db, { include = function(o) return o.kind ~= "table" end })
      assert.same({ 0, 2 }, { #tree.tables, #tree.views })
      assert.error_matches(function() D.inspect(db, { schemas = { "other" } }) end,
        "only the database of the session")
      assert.error_matches(function() D.inspect(db, { tabels = {} }) end, "unknown option")
    end)

    it("tells what of a definition cannot be", function()
      local db = open()
      local indexed = perigee.schema.parse([[table("a", function(t)
        t.id = int { pk = true }
        t:index { sql "id + 1" } end)]], { name = "s.lua" })
      local _, found = D.normalise(db, indexed.tree)
      assert.truthy(found[1].message:find "^MariaDB has no indexes of expressions")
      assert.error_matches(function() db:create_all(indexed) end,
        "s.lua:1: table a: MariaDB has no indexes of expressions")
      local s = perigee.schema.parse [[
        table("a", function(t) t.id = int { pk = true }; t:check("ok", "nope > 1") end)
        table("b", function(t) t.id = int { pk = true } end)]]
      local tree, problems = D.normalise(db, s.tree)
      assert.same({ 1, "table a" }, { #problems, problems[1].object })
      assert.equal("b", tree.tables[1].name)
      assert.error_matches(function()
        db:transaction(function(tx) D.normalise(tx, s.tree) end)
      end, "cannot be done inside one")
    end)
  end)
end, { "mysql" })
