-- Definitions and the database: create_all, drop_all, create, drop, transform, reflect,
-- names of tables, and what is made of them: annotations and drawings.
local helper = require "spec.support.helper"
local expect = require "spec.support.expect"
local perigee = require "perigee"

local fails = expect.fails

local SHOP = [[
enum "status" { "new", "paid" }
table("authors", function(t)
  t.id   = bigint { identity = true, pk = true }
  t.name = text { unique = true }
end)
table("books", function(t)
  t.id        = bigint { identity = true, pk = true }
  t.author_id = bigint { ref = "authors.id", on_delete = "cascade", index = true }
  t.title     = text {}
  t.price     = numeric(8, 2) { default = 0 }
  t.state     = status { default = "new" }
  t.note      = text { null = true }
  t:check("price_positive", "price >= 0")
end)
view("cheap", { after = { "books" } }, "SELECT id, title FROM books WHERE price < 5")
]]

local function sorted(list)
  table.sort(list)
  return list
end

local function column_names(t)
  local out = {}
  for i, c in ipairs(t.columns) do out[i] = c.name end
  return out
end

helper.for_each_db(function(database, open)
  local is_postgres = database == "postgres"

  local function make()
    local db, shop = open { max_size = 2 }, perigee.schema.parse(SHOP)
    db:create_all(shop)
    return db, shop
  end

  local function fill(db)
    db:insert("authors", { name = "Lem" })
    return db:insert("books", { author_id = 1, title = "Solaris", price = "4.50" })
  end

  describe("create_all and drop_all", function()
    it("create what is not there and drop what is there", function()
      local db, shop = open(), perigee.schema.parse(SHOP)
      assert.same({ "authors", "books" }, sorted(db:create_all(shop)))
      assert.same({}, db:create_all(shop))
      assert.same({ "authors", "books" }, db:tables())
      assert.same({ "cheap" }, db:views())
      assert.equal("new", fill(db).state)
      assert.equal("Solaris", db:value "select title from cheap")
      db:script "drop view cheap; drop table books"
      assert.same({ "books" }, db:create_all(shop))
      assert.same({ "cheap" }, db:views())
      assert.same({ "authors", "books" }, sorted(db:drop_all(shop)))
      assert.same({}, db:tables())
      assert.same({}, db:drop_all(shop))
      assert.same({ "authors", "books" }, sorted(db:create_all(shop)))
    end)

    it("drop tables that refer to each other, as they are", function()
      local db = open()
      local circle = perigee.schema.parse [[
        table("a", function(t)
          t.id = int { pk = true }; t.b = int { null = true, ref = "b.id" }
        end)
        table("b", function(t)
          t.id = int { pk = true }; t.a = int { null = true, ref = "a.id" }
        end)
      ]]
      db:create_all(circle)
      db:script "insert into a values (1, null); insert into b values (1, 1); update a set b = 1"
      assert.same({ "a", "b" }, sorted(db:drop_all(circle)))
      db:script "create table a (id int primary key, b int); create table b (id int primary key)"
      assert.same({ "a", "b" }, sorted(db:drop_all(circle)))
    end)

    it("say where what the database refuses is defined", function()
      local db = open()
      local err = fails("undefined", db.create_all, db, perigee.schema.parse([[
        table("a", function(t)
          t.id = int { pk = true }
          t:index { sql "nowhere + 1" }
        end)]], { name = "s.lua" }))
      assert.truthy(err.message:find "^s.lua:3: ", err.message)
      assert.same({}, db:tables())
    end)

    it("read comments at the end of SQL as such", function()
      local db = open()
      db:create_all(perigee.schema.parse [[
        table("a", function(t)
          t.id = int { pk = true }
          t.g  = int { generated = sql "id + 1 -- g", stored = true }
          t.n  = int { default = sql "5 -- five" }
          t:check "id > 0 -- c"
          t:index { sql "id + 2 -- i" }
        end)]])
      fails("not_null", db.execute, db, "insert into a (id, n) values (1, null)")
    end)

    if is_postgres then
      it("know functions by the server's names of types", function()
        local db = open()
        local s = perigee.schema.parse [==[
          func("f(int, varchar(3)[])", [[create function f(a int, b varchar(3)[]) returns int
            language sql as 'select 1']])
          table("crm.t", function(t) t.id = int { pk = true } end)
          func("crm.touch()", [[create function crm.touch() returns trigger language plpgsql
            as 'begin return new; end']])
          trigger("tr", { on = "crm.t", after = "crm.touch" },
            "create trigger tr before insert on crm.t for each row execute function crm.touch()")
        ]==]
        db:create_all(s)
        assert.same({}, db:create_all(s))
        db:script "create table crm.other (a int)"
        db:drop_all(s)
        local left = db:reflect { schemas = { "crm" } }.tree
        assert.same({}, left.objects)
        assert.equal("other", left.tables[1].name)
        db:script "drop table crm.other"
        db:create_all(s)
        db:drop_all(s)
        assert.is_nil(db:first "select 1 from pg_namespace where nspname = 'crm'")
      end)
    end

    it("are part of a transaction", function()
      local db, shop = open(), perigee.schema.parse(SHOP)
      pcall(db.transaction, db, function(tx)
        tx:create_all(shop)
        fill(tx)
        error "no"
      end)
      assert.same({}, db:tables())
    end)

    it("leave everything when one table cannot be dropped", function()
      local db, shop = make()
      db:script [[create table reviews (book_id bigint not null references books (id))]]
      fill(db)
      db:execute "insert into reviews values (1)"
      assert.is_false((pcall(db.drop_all, db, shop)))
      assert.same({ "authors", "books", "reviews" }, db:tables())
      assert.equal(1, db:count "books")
    end)

    it("refuse what is no schema", function()
      local db, shop = make()
      fails("usage", db.create_all, db, "schema.lua")
      fails("usage", db.create_all, db, nil)
      fails("usage", db.drop_all, db, shop.tables.books)
    end)
  end)

  describe("a definition", function()
    it("names its table for every verb", function()
      local db, shop = make()
      local authors = db:table(shop.tables.authors)
      assert.equal("Lem", authors:insert({ name = "Lem" }).name)
      assert.equal(1, db:count(shop.tables.authors))
      assert.is_true(db:has_table(shop.tables.books))
      assert.is_true(db:has_column(shop.tables.books, "note"))
      fails("usage", function() return shop.tables.nobody end)
      fails("usage", db.count, db, shop)
    end)

    it("creates and drops one table", function()
      local db, shop = open(), perigee.schema.parse(SHOP)
      assert.is_true(db:create(shop.tables.authors))
      assert.is_true(db:create(shop.tables.books))
      fails("duplicate", db.create, db, shop.tables.books)
      assert.is_false(db:create(shop.tables.books, { if_not_exists = true }))
      fill(db)
      assert.is_true(db:create(shop.tables.books, { replace = true }))
      assert.equal(0, db:count "books")
      assert.is_true(db:drop(shop.tables.books))
      fails("undefined", db.drop, db, "books")
      assert.is_false(db:drop("books", { if_exists = true }))
      fails("usage", db.drop, db, "authors", { if_exist = true })
      fails("usage", db.create, db, "authors")
      assert.is_true(db:table("authors"):drop())
    end)

    it("drops what depends on it where the database can", function()
      local db = make()
      if is_postgres then
        assert.is_true(db:drop("books", { cascade = true }))
        assert.same({}, db:views())
      else
        fails("usage", db.drop, db, "books", { cascade = true })
      end
    end)
  end)

  describe("transform", function()
    it("makes a table what its definition says, with its rows", function()
      local db = make()
      fill(db)
      local new = perigee.schema.parse((SHOP:gsub("t.note      = text { null = true }",
        't.remark = text { null = true, was = "note" }\n  t.pages = int { default = 100 }')))
      db:update("books", { id = 1 }, { note = "good" })
      local done = db:transform(new.tables.books)
      assert.equal(2, #done, table.concat(done, "\n"))
      local book = db:at("books", 1)
      assert.same({ "good", 100, "Solaris" }, { book.remark, book.pages, book.title })
      assert.same({}, db:transform(new.tables.books))
      assert.is_false(db:has_column("books", "note"))
    end)

    it("does not drop a column that is not named", function()
      local db = make()
      fill(db)
      local new = perigee.schema.parse((SHOP:gsub("t.note[^\n]*", "")))
      local err = fails("usage", db.transform, db, new.tables.books)
      assert.matches("note", err.message)
      assert.is_true(db:has_column("books", "note"))
      db:transform(new.tables.books, { drop = { "books.note" } })
      assert.is_false(db:has_column("books", "note"))
      assert.equal(1, db:count "books")
    end)

    it("renames the table, and uses new values of an enum at once", function()
      local db = make()
      fill(db)
      local function to(values, default)
        return perigee.schema.parse(([[
          enum "status" { %s }
          table("titles", { was = "books" }, function(t)
            t.id    = bigint { identity = true, pk = true }
            t.state = status { default = "%s" }
          end)]]):format(values, default)).tables.titles
      end
      local drop = { "books.author_id", "books.title", "books.price", "books.note" }
      db:script "drop view cheap"
      assert.is_true(#db:transform(to('"new", "paid"', "new"), { drop = drop }) > 0)
      assert.same({ "authors", "titles" }, db:tables())
      assert.is_true(#db:transform(to('"new", "lost", "paid", "late"', "late")) > 0)
      assert.same({}, db:transform(to('"new", "lost", "paid", "late"', "late")))
      db:execute(is_postgres and "insert into titles default values"
        or "insert into titles (id) values (2)")
      assert.equal("late", db:value "select state from titles where id = 2")
      assert.equal("new", db:value "select state from titles where id = 1")
    end)

    it("does a list of changes", function()
      local db = make()
      fill(db)
      db:drop_all(perigee.schema.parse [[view("cheap", "SELECT 1 AS one")]])
      local books = db:table "books"
      books:transform {
        rename = { note = "remark" },
        add = { { name = "pages", type = "int", default = 7 } },
        types = { price = "float8" },
        not_null = { remark = false, pages = true },
        defaults = { title = "none", price = require "perigee.schema.transform".none },
      }
      local book = books:insert { author_id = 1, price = 2.5 }
      assert.same({ "none", 2.5, 7 }, { book.title, book.price, book.pages })
      assert.equal(4.5, books:at(1).price)
      assert.is_true(books.c.pages.not_null)
      books:transform { drop = { "remark" }, rename_to = "volumes" }
      assert.same({ "authors", "volumes" }, db:tables())
      assert.equal(2, db:count "volumes")
    end)

    it("leaves the table when one change fails", function()
      local db = make()
      fill(db)
      assert.is_false((pcall(db.transform, db, "books", {
        rename = { note = "remark" }, not_null = { remark = true },
      })))
      assert.is_true(db:has_column("books", "note"))
      assert.equal(1, db:count "books")
    end)

    it("refuses what it does not know", function()
      local db = make()
      fails("usage", db.transform, db, "books")
      fails("usage", db.transform, db, "books", {})
      fails("usage", db.transform, db, "books", { renames = { a = "b" } })
      fails("usage", db.transform, db, "books", { types = { price = "bigimt" } })
      fails("usage", db.transform, db, "books", { add = { { name = "x" } } })
      fails("usage", db.transform, db, "books", { add = { { type = "int" } } })
      fails("usage", db.transform, db, "books", { rename = { "a" } })
      fails("usage", db.transform, db, "books", { defaults = { price = {} } })
    end)

    it("inside a transaction", function()
      local db = make()
      fill(db)
      local function change()
        return db:transaction(function(tx)
          return tx:transform("books", { not_null = { title = false } })
        end)
      end
      if is_postgres then
        assert.equal(1, #change())
      else
        assert.matches("transaction", fails("usage", change).message)
      end
    end)
  end)

  describe("reflect", function()
    it("gives definitions of what is there", function()
      local db = make()
      local live = db:reflect()
      assert.is_true(perigee.schema.is(live))
      local books = live.tables.books
      assert.same({ "id", "author_id", "title", "price", "state", "note" }, column_names(books))
      assert.same({ "id" }, books.primary_key.columns)
      assert.equal("authors", books.foreign_keys[1].ref.table)
      assert.equal("cascade", books.foreign_keys[1].on_delete)
      assert.equal("cheap", live.tree.views[1].name)
      assert.same({ "authors" }, column_names { columns = db:reflect({ tables = { "authors" } })
        .list })
      local only = db:reflect { include = function(o) return o.name ~= "books" end }
      assert.equal(1, #only.list)
      fails("usage", db.reflect, db, { schema = "x" })
    end)

    it("creates a twin of the database", function()
      local db = make()
      local live = db:reflect()
      assert.same({ "authors", "books" }, sorted(db:drop_all(live)))
      assert.same({}, db:tables())
      assert.same({ "authors", "books" }, sorted(db:create_all(live)))
      assert.equal("new", fill(db).state)
      assert.same({ "cheap" }, db:views())
    end)
  end)

  describe("what is made of tables", function()
    it("annotations", function()
      local db = make()
      local text = require "perigee.schema.codegen".text(db)
      for _, wanted in ipairs {
        "---@class perigee.row.books\n---@field id integer",
        "---@field note? string", "---@field author_id integer",
        "---@field books perigee.table<perigee.row.books, perigee.record.books>",
        "---@class perigee.row.cheap", "---@field price? string|number",
        "---@field cheap perigee.table<perigee.row.cheap, table<string, any>>",
      } do
        assert.is_truthy(text:find(wanted, 1, true), wanted .. " in " .. text)
      end
      assert.is_nil(text:find("perigee.record.cheap", 1, true))
      assert.is_truthy((loadstring or load)(text))
    end)

    it("drawings", function()
      local db, shop = make()
      local diagram = require "perigee.schema.diagram"
      for _, tree in ipairs { shop.tree, db:reflect().tree } do
        local dot, mermaid = diagram.dot(tree), diagram.mermaid(tree)
        assert.is_truthy(dot:find('"books" -> "authors" [label="author_id"', 1, true), dot)
        assert.is_truthy(dot:find("<u>id</u>", 1, true))
        assert.is_truthy(mermaid:find('authors ||--o{ books : "author_id"', 1, true), mermaid)
        assert.is_truthy(mermaid:match "erDiagram\n  authors {\n    [%w_]+ id PK")
      end
    end)
  end)
end)
