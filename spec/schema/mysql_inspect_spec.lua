-- A live database of MariaDB as a tree: created from the tree elsewhere it gives the same
-- tree; definitions that mean the same give the same; what is not compared is named.
local helper = require "spec.support.helper"
local dialect = require "perigee.dialect"
local perigee = require "perigee"

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

    it("names what it does not compare", function()
      local db = open()
      db:plain_script [[create table odd (a int check (a > 0),
        at timestamp(6) null default null on update current_timestamp(6));
        create sequence counter]]
      local why = {}
      for _, n in ipairs(D.inspect(db).notes) do why[n.name] = n.why end
      assert.same({ a = "it is a part of its column", at = "ON UPDATE is not compared",
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
