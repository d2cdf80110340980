-- Definitions and operations as MySQL reads them: texts to compare with, no server.
local dialect = require "perigee.dialect"
local perigee = require "perigee"

local D = dialect.named "mysql"

local function ty(name, ...) return { name = name, args = { ... } } end

local STATUS = { enum = "order_status", values = { "new", "it's" } }

local function orders()
  return {
    name = "orders", comment = "what was bought", columns = {
      { name = "id", type = ty "bigint", null = false, identity = true },
      { name = "customer_id", type = ty "bigint", null = false },
      { name = "status", type = STATUS, null = false, default = { value = "new" },
        comment = "state" },
      { name = "total", type = ty("numeric", 12, 2), null = false, default = { value = 0 } },
      { name = "tax", type = ty("numeric", 12, 2), null = true,
        generated = { sql = "total * 0.2", stored = false } },
      { name = "note", type = ty "text", null = true, default = { value = "x" } },
      { name = "created_at", type = ty "timestamptz", null = false,
        default = { sql = "now", word = true } },
    },
    primary_key = { name = "orders_pkey", columns = { "id" } },
    uniques = { { name = "orders_status_key", columns = { "status", "total" } } },
    checks = { { name = "total_positive", sql = "total >= 0" } },
    indexes = { { name = "orders_idx", keys = { { column = "note", length = 10 },
      { column = "created_at", desc = true }, { sql = "lower(note)" } } } },
    foreign_keys = { { name = "orders_customer_id_fkey", columns = { "customer_id" },
      ref = { table = "customers", columns = { "id" } }, on_delete = "cascade" } },
    options = { mysql = { engine = "InnoDB", charset = "utf8mb4" } },
  }
end

local function sql_of(ops, ctx)
  local out = {}
  for i, step in ipairs(D.steps_many(ops, ctx)) do
    assert.is_false(step.tx)
    out[i] = step.sql
  end
  return out
end

local function on(op, fields)
  fields.op, fields.table = op, fields.table or "orders"
  return fields
end

describe("mysql definitions", function()
  it("create and drop a tree", function()
    local tree = { enums = { { name = "order_status", values = STATUS.values } },
      tables = { orders() }, views = { { name = "v", sql = "select 1;" } },
      objects = { { kind = "trigger", name = "tr", on = "orders", sql = "CREATE TRIGGER …" } } }
    local sqls = {}
    for i, entry in ipairs(D.create_tree(tree)) do sqls[i] = entry.sql end
    assert.same({
      [[CREATE TABLE `orders` (
  `id` bigint NOT NULL AUTO_INCREMENT,
  `customer_id` bigint NOT NULL,
  `status` enum('new','it''s') NOT NULL DEFAULT 'new' COMMENT 'state',
  `total` decimal(12,2) NOT NULL DEFAULT 0,
  `tax` decimal(12,2) GENERATED ALWAYS AS (total * 0.2) VIRTUAL,
  `note` longtext NULL DEFAULT ('x'),
  `created_at` datetime(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  PRIMARY KEY (`id`),
  CONSTRAINT `orders_status_key` UNIQUE (`status`, `total`),
  CONSTRAINT `total_positive` CHECK (total >= 0),
  INDEX `orders_idx` (`note`(10), `created_at` DESC, (lower(note))),
  CONSTRAINT `orders_customer_id_fkey` FOREIGN KEY (`customer_id`) REFERENCES ]]
        .. [[`customers` (`id`) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COMMENT = 'what was bought']],
      "CREATE VIEW `v` AS\nselect 1", "CREATE TRIGGER …",
    }, sqls)
    sqls = {}
    for i, entry in ipairs(D.drop_tree(tree)) do sqls[i] = entry.sql end
    assert.same({ "DROP TRIGGER `tr`", "DROP VIEW `v`",
      "DROP TABLE `orders`" }, sqls)
  end)

  it("quote names and literals", function()
    assert.equal("`a``b`", D.quote "a`b")
    assert.equal([['O''Brien \\ \0']], D.literal "O'Brien \\ \0")
    assert.equal(64, #D.limit(("x"):rep(70)))
    assert.equal(("ü"):rep(64), D.limit(("ü"):rep(70)))
  end)

  it("have the portable types", function()
    local texts = {}
    for _, t in ipairs {
      ty "bigint", ty "int", ty "smallint", ty "boolean", ty "text", ty("varchar", 32),
      ty("char", 2), ty "numeric", ty "float8", ty "float4", ty "date", ty "time",
      ty("timestamp", 3), ty "timestamptz", ty "uuid", ty "json", ty "jsonb", ty "bytes",
      { raw = "geometry" },
    } do texts[#texts + 1] = D.type(t) end
    assert.equal("bigint int smallint boolean longtext varchar(32) char(2) decimal(65,30) "
      .. "double float date time(6) datetime(3) datetime(6) char(36) json json longblob "
      .. "geometry", table.concat(texts, " "))
    assert.error_matches(function()
      D.type { name = "c", type = ty "interval", at = { file = "schema.lua", line = 3 } }
    end, "schema.lua:3: interval is not a type of MySQL", 1, true)
    assert.equal("varchar(40)", D.type { name = "c", type = ty "interval",
      type_on = { mysql = { raw = "varchar(40)" } } })
  end)

  it("refuse what the database lacks", function()
    local ctx = { table = { name = "t" } }
    for _, case in ipairs {
      { "index", { name = "i", keys = {}, where = "x" }, "MySQL has no partial indexes" },
      { "index", { name = "i", keys = { { column = "a", nulls = "last" } } }, "no order of NULLs" },
      { "unique", { name = "u", columns = { "a" }, deferrable = true }, "no deferrable" },
      { "view", { name = "v", sql = "", materialized = true }, "no materialized" },
      { "object", { kind = "domain", name = "d" }, "no objects of kind domain" },
    } do
      assert.error_matches(function() D.create(case[1], case[2], ctx) end, case[3])
    end
    for _, words in ipairs { "text { pk = true }", "text { ref = 'u' }", "raw 'blob' { pk = true }",
      "json { pk = true }" } do
      local s = perigee.schema.parse("table('u', function(t) t.id = int { pk = true } end)\n"
        .. "table('t', function(t) t.a = " .. words .. " end)", { name = "s.lua" })
      assert.error_matches(function() D.create_tree(s.tree) end, "s.lua:2: t.a: what is in a")
    end
  end)

  it("make tables with their foreign keys, parents first", function()
    local tree = perigee.schema.parse([[
      table("c", function(t) t.id = int { pk = true, ref = "p.id" } end)
      table("p", function(t) t.id = int { pk = true, ref = "c.id" }; t.q = int { ref = "q.id" } end)
      table("q", function(t) t.id = int { pk = true, ref = "q.id" } end)]]).tree
    local function shape(opts)
      local out = {}
      for i, e in ipairs(D.create_tree(tree, opts)) do
        out[i] = e.sql:match "^%a+ %a+ `%a`" .. select(2, e.sql:gsub("FOREIGN", ""))
      end
      return table.concat(out, ", ")
    end
    assert.equal("CREATE TABLE `q`1, CREATE TABLE `p`1, CREATE TABLE `c`1, ALTER TABLE `p`1",
      shape())
    assert.equal("CREATE TABLE `q`0, CREATE TABLE `p`0, CREATE TABLE `c`0, ALTER TABLE `q`1, "
      .. "ALTER TABLE `p`1, ALTER TABLE `p`1, ALTER TABLE `c`1", shape { apart = true })
    assert.equal(4, #D.drop_tree(tree))
  end)

  it("put defaults that are expressions into parentheses", function()
    for text, want in pairs {
      ["current_timestamp"] = "current_timestamp",
      ["current_timestamp (3)"] = "current_timestamp (3)",
      ["current_timestamp + interval 1 day"] = "(current_timestamp + interval 1 day)",
      ["(1) + (2)"] = "((1) + (2))", ["((1) + 2)"] = "((1) + 2)",
    } do
      assert.equal(want, D.default { default = { sql = text } })
    end
  end)
end)

describe("mysql steps", function()
  it("put the changes of one table into one statement", function()
    assert.same({
      "ALTER TABLE `orders`\n  ADD COLUMN `a` int NOT NULL,\n  DROP COLUMN `b`,\n"
        .. "  RENAME COLUMN `note` TO `remark`,\n  ALTER COLUMN `total` SET DEFAULT 1",
      "ALTER TABLE `orders`\n"
        .. "  DROP CONSTRAINT `c`,\n  DROP INDEX `u`,\n  ADD FULLTEXT INDEX `f` (`remark`),\n"
        .. "  DROP PRIMARY KEY, ADD PRIMARY KEY (`a`),\n  COMMENT = 'x'",
      "ALTER TABLE `orders`\n  ADD CONSTRAINT `fk` FOREIGN KEY (`a`) REFERENCES `b` (`id`)",
      "ALTER TABLE `other`\n  DROP FOREIGN KEY `fk`",
      "RENAME TABLE `other` TO `o2`",
    }, sql_of({
      on("add_column", { column = { name = "a", type = ty "int" } }),
      on("drop_column", { name = "b" }),
      on("rename_column", { name = "note", to = "remark" }),
      on("alter_column", { name = "total", set = { default = { value = 1 } } }),
      on("drop_check", { name = "c" }), on("drop_unique", { name = "u" }),
      on("add_index", { index = { name = "f", keys = { { column = "remark" } },
        method = "fulltext" } }),
      on("set_primary_key", { key = { columns = { "a" } }, was = { columns = { "id" } } }),
      on("set_comment", { text = "x" }),
      on("add_foreign_key", { key = { name = "fk", columns = { "a" }, ref = { table = "b",
        columns = { "id" } } } }),
      on("drop_foreign_key", { table = "other", name = "fk" }),
      { op = "rename_table", name = "other", to = "o2" },
    }, { tree = { tables = {} } }))
  end)

  it("take the index of a foreign key along, and leave one where it is needed", function()
    local function tree(made)
      return { tree = { tables = { { name = "c", columns = {}, uniques = {}, checks = {},
        foreign_keys = { { name = "fk", columns = { "a" }, ref = { table = "p",
          columns = { "id" } } } },
        indexes = { not made and { name = "i", keys = { { column = "a" }, { column = "b" } } }
          or nil }, made = made } } } }
    end
    local drop = on("drop_foreign_key", { table = "c", name = "fk" })
    local rename = on("rename_constraint", { table = "c", name = "fk", to = "f2" })
    local added = "ADD CONSTRAINT `f2` FOREIGN KEY (`a`) REFERENCES `p` (`id`)"
    for _, case in ipairs {
      { { drop }, { fk = true }, "DROP FOREIGN KEY `fk`, DROP INDEX `fk`" },
      { { drop }, nil, "DROP FOREIGN KEY `fk`" },
      { { rename }, { fk = true }, "DROP FOREIGN KEY `fk`, DROP INDEX `fk`, " .. added },
      { { rename }, nil, "DROP FOREIGN KEY `fk`, " .. added },
      { { on("drop_index", { table = "c", name = "i" }) }, nil,
        "DROP INDEX `i`, ADD INDEX `fk` (`a`)" },
      { { drop, on("drop_index", { table = "c", name = "i" }) }, nil,
        "DROP FOREIGN KEY `fk`,\n  DROP INDEX `i`" },
    } do
      assert.same({ "ALTER TABLE `c`\n  " .. case[3] }, sql_of(case[1], tree(case[2])))
    end
  end)

  it("restate all attributes of a column", function()
    local ctx = { tree = { tables = { orders() } } }
    assert.same({
      "ALTER TABLE `orders`\n  MODIFY COLUMN `status` enum('new','it''s') NULL "
        .. "DEFAULT 'new' COMMENT 'state'",
      "ALTER TABLE `orders`\n  MODIFY COLUMN `status` enum('new','it''s') NULL "
        .. "DEFAULT 'new' COMMENT 'what'",
      "ALTER TABLE `orders`\n  MODIFY COLUMN `status` varchar(9) NULL COMMENT 'what'",
    }, sql_of({
      on("alter_column", { name = "status", set = { null = true } }),
      on("set_comment", { column = "status", text = "what" }),
      on("alter_column", { name = "status", set = { type = ty("varchar", 9),
        default = { none = true } } }),
    }, ctx))
    assert.equal("state", ctx.tree.tables[1].columns[3].comment)
    assert.error_matches(function()
      sql_of({ on("alter_column", { name = "state", set = { null = true } }) }, ctx)
    end, "orders: there is no column state")
    assert.error_matches(function()
      sql_of({ on("alter_column", { name = "status", set = { type = ty "int" },
        using = "x" }) }, ctx)
    end, "MySQL has no USING")
  end)

  it("change enums in all their columns", function()
    local ctx = { tree = { tables = { orders() } } }
    local function column(values)
      return ("ALTER TABLE `orders` MODIFY COLUMN `status` enum(%s) NOT NULL "
        .. "DEFAULT 'new' COMMENT 'state'"):format(values)
    end
    assert.same({ column "'new','paid','it''s'" }, sql_of({
      { op = "add_enum_value", name = "order_status", value = "paid", after = "new" } }, ctx))
    assert.same({
      column "'new','it''s','sent'",
      "UPDATE `orders` SET `status` = 'sent' WHERE `status` = 'it''s'",
      column "'new','sent'",
    }, sql_of({ { op = "rename_enum_value", name = "order_status", from = "it's",
      to = "sent" } }, ctx))
    assert.same({ column "'new'" }, sql_of({
      { op = "set_enum_values", name = "order_status", values = { "new" } } }, ctx))
    assert.same({}, sql_of { { op = "create_enum", name = "e", values = { "a" } } })
  end)

  it("create and drop the rest", function()
    assert.same({ "CREATE OR REPLACE VIEW `v` AS\nselect 2", "DROP VIEW `v`",
      "DROP FUNCTION `f`", "DROP TABLE `t`" }, sql_of {
      { op = "replace_view", view = { name = "v", sql = "select 2" } },
      { op = "drop_view", name = "v" },
      { op = "drop_object", kind = "function", name = "f(int)" },
      { op = "drop_table", name = "t" },
    })
  end)
end)
