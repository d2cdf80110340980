-- Operations: their form, their words, their inverses, and what they do to a tree.
local expect = require "spec.support.expect"
local model = require "perigee.schema.model"
local ops = require "perigee.schema.ops"
local schema = require "perigee.schema"

local files = require "perigee.migrate.files"
local revision = require "perigee.migrate.revision"

local fails = expect.fails

local DEFINITIONS = [[
enum "mood" { "sad", "glad" }
table("customers", { comment = "people" }, function(t)
  t.id = bigint { pk = true }
  t.code = int { unique = true }
  t.mood = mood { default = "sad" }
end)
table("orders", function(t)
  t.id = bigint
  t.customer = bigint { ref = "customers.id", check = "customer > 0", index = true }
  t.total = numeric(10, 2) { null = true, default = 0 }
  t:check("both", "total > customer")
  t:index { "total", include = { "customer" }, name = "by_total" }
  t:index { sql "abs(total)", name = "by_abs" }
  t:on "sqlite" { strict = true }
end)
view("open_orders", { after = "orders" }, "SELECT id FROM orders")
func("f()", "CREATE FUNCTION f() …")
trigger("tr", { on = "orders", after = "f" }, "CREATE TRIGGER tr …")]]

local function fresh()
  return model.copy(schema.parse(DEFINITIONS).tree)
end

local COLUMN = { name = "note", type = { name = "text" }, null = true }
local KEY = { name = "k", columns = { "id" } }
local TABLE = {
  name = "t", columns = { COLUMN }, uniques = {}, foreign_keys = {}, checks = {}, indexes = {},
  options = {},
}
local INT = { name = "int" }

-- Each: the operation, its words, and what must hold for the tree after it. They can all
-- be undone but for those marked.
local CASES = {
  { { op = "create_schema", name = "crm" }, "create schema crm",
    function(tree) return tree.schemas[1] == "crm" end },
  { { op = "drop_schema", name = "crm" }, "drop schema crm",
    function(tree) return #tree.schemas == 0 end },
  { { op = "create_enum", name = "e", schema = "s", values = { "a" } }, "create enum s.e",
    function(tree) return tree.enums[2].values[1] == "a" end },
  { { op = "drop_enum", name = "mood", was = { "sad", "glad" } }, "drop enum mood",
    function(tree) return #tree.enums == 0 end },
  { { op = "add_enum_value", name = "mood", value = "mad", before = "glad",
    was = { "sad", "glad" } }, "add enum value 'mad' to mood",
    function(tree) return table.concat(tree.enums[1].values, " ") == "sad mad glad"
      and #tree.tables[1].columns[3].type.values == 3 end },
  { { op = "rename_enum_value", name = "mood", from = "sad", to = "blue" },
    "rename enum value 'sad' of mood to 'blue'",
    function(tree) return tree.enums[1].values[1] == "blue"
      and tree.tables[1].columns[3].type.values[1] == "blue" end },
  { { op = "set_enum_values", name = "mood", values = { "x" }, was = { "sad", "glad" } },
    "set enum values mood", function(tree) return #tree.enums[1].values == 1 end },
  { { op = "create_table", table = TABLE }, "create table t",
    function(tree) return tree.tables[3].name == "t" end },
  { { op = "drop_table", name = "customers", was = fresh().tables[1] }, "drop table customers",
    function(tree) return #tree.tables == 1 end },
  { { op = "rename_table", name = "orders", to = "sales" }, "rename table orders to sales",
    function(tree) return tree.tables[2].name == "sales" and tree.objects[2].on == "sales"
      and tree.views[1].after[1] == "sales" end },
  { { op = "add_column", table = "orders", column = COLUMN }, "add column orders.note",
    function(tree) return tree.tables[2].columns[4].name == "note" end },
  { { op = "drop_column", table = "orders", name = "id",
    was = { name = "id", type = { name = "bigint" }, null = false } }, "drop column orders.id",
    function(tree) return tree.tables[2].columns[1].name == "customer" end },
  { { op = "rename_column", table = "customers", name = "id", to = "nr" },
    "rename column customers.id to nr",
    function(tree) return tree.tables[1].primary_key.columns[1] == "nr"
      and tree.tables[2].foreign_keys[1].ref.columns[1] == "nr" end },
  { { op = "alter_column", table = "orders", name = "total",
    set = { type = INT, default = { none = true }, null = false },
    was = { type = { name = "numeric", args = { 10, 2 } }, default = { value = 0 }, null = true } },
    "alter column orders.total: default, null, type",
    function(tree)
      local c = tree.tables[2].columns[3]
      return c.type.name == "int" and c.default == nil and c.null == false
    end },
  { { op = "set_primary_key", table = "orders", key = KEY }, "set primary key of orders: (id)",
    function(tree) return tree.tables[2].primary_key.name == "k" end },
  { { op = "set_primary_key", table = "customers", key = { name = "k", columns = { "code" } },
    was = { name = "customers_pkey", columns = { "id" } } },
    "set primary key of customers: (code)",
    function(tree) return tree.tables[1].primary_key.columns[1] == "code" end },
  { { op = "drop_primary_key", table = "customers", name = "customers_pkey",
    was = { name = "customers_pkey", columns = { "id" } } }, "drop primary key of customers",
    function(tree) return tree.tables[1].primary_key == nil end },
  { { op = "add_unique", table = "orders", key = KEY }, "add unique key k of orders",
    function(tree) return tree.tables[2].uniques[1].name == "k" end },
  { { op = "drop_unique", table = "customers", name = "customers_code_key",
    was = { name = "customers_code_key", columns = { "code" } } },
    "drop unique key customers_code_key of customers",
    function(tree) return #tree.tables[1].uniques == 0 end },
  { { op = "add_foreign_key", table = "orders", key = { name = "fk", columns = { "id" },
    ref = { table = "customers", columns = { "id" } } } }, "add foreign key fk of orders",
    function(tree) return tree.tables[2].foreign_keys[2].name == "fk" end },
  { { op = "drop_foreign_key", table = "orders", name = "orders_customer_fkey",
    was = { name = "orders_customer_fkey", columns = { "customer" },
      ref = { table = "customers", columns = { "id" } } } },
    "drop foreign key orders_customer_fkey of orders",
    function(tree) return #tree.tables[2].foreign_keys == 0 end },
  { { op = "add_check", table = "orders", check = { name = "c", sql = "id > 0" } },
    "add check c of orders", function(tree) return tree.tables[2].checks[3].name == "c" end },
  { { op = "drop_check", table = "orders", name = "both",
    was = { name = "both", sql = "total > customer" } }, "drop check both of orders",
    function(tree) return #tree.tables[2].checks == 1 end },
  { { op = "validate", table = "orders", name = "both" }, "validate both of orders",
    function(tree) return tree.tables[2].checks[2].valid == nil end, "nothing" },
  { { op = "rename_constraint", table = "orders", name = "both", to = "two" },
    "rename constraint both of orders to two",
    function(tree) return tree.tables[2].checks[2].name == "two" end },
  { { op = "add_index", table = "orders", index = { name = "i", keys = { { column = "id" } } } },
    "add index i of orders", function(tree) return tree.tables[2].indexes[4].name == "i" end },
  { { op = "drop_index", table = "orders", name = "by_abs",
    was = { name = "by_abs", keys = { { sql = "abs(total)" } } } }, "drop index by_abs of orders",
    function(tree) return #tree.tables[2].indexes == 2 end },
  { { op = "rename_index", table = "orders", name = "by_abs", to = "abs" },
    "rename index by_abs of orders to abs",
    function(tree) return tree.tables[2].indexes[3].name == "abs" end },
  { { op = "set_comment", table = "customers", text = "all", was = "people" },
    "set comment of customers", function(tree) return tree.tables[1].comment == "all" end },
  { { op = "set_comment", table = "customers", column = "id", text = "nr" },
    "set comment of customers.id",
    function(tree) return tree.tables[1].columns[1].comment == "nr" end },
  { { op = "set_comment", kind = "view", name = "open_orders", text = "v" },
    "set comment of view open_orders", function(tree) return tree.views[1].comment == "v" end },
  { { op = "set_comment", kind = "enum", name = "mood", text = "e" },
    "set comment of enum mood", function(tree) return tree.enums[1].comment == "e" end },
  { { op = "set_comment", kind = "function", name = "f()", text = "f" },
    "set comment of function f()", function(tree) return tree.objects[1].comment == "f" end },
  { { op = "set_comment", kind = "index", table = "orders", name = "by_abs", text = "i" },
    "set comment of index by_abs",
    function(tree) return tree.tables[2].indexes[3].comment == "i" end },
  { { op = "set_options", table = "orders", options = {}, was = { sqlite = { strict = true } } },
    "set options of orders", function(tree) return next(tree.tables[2].options) == nil end },
  { { op = "create_view", view = { name = "v", sql = "SELECT 1" } }, "create view v",
    function(tree) return tree.views[2].name == "v" end },
  { { op = "drop_view", name = "open_orders",
    was = { name = "open_orders", after = { "orders" }, sql = "SELECT id FROM orders" } },
    "drop view open_orders", function(tree) return #tree.views == 0 end },
  { { op = "replace_view", view = { name = "open_orders", sql = "SELECT 2" },
    was = { name = "open_orders", after = { "orders" }, sql = "SELECT id FROM orders" } },
    "replace view open_orders", function(tree) return tree.views[1].sql == "SELECT 2" end },
  { { op = "create_object", object = { kind = "domain", name = "d", sql = "CREATE DOMAIN d" } },
    "create domain d", function(tree) return tree.objects[3].name == "d" end },
  { { op = "drop_object", kind = "trigger", name = "tr", on = "orders",
    was = { kind = "trigger", name = "tr", on = "orders", after = { "f" },
      sql = "CREATE TRIGGER tr …" } },
    "drop trigger tr", function(tree) return #tree.objects == 1 end },
  { { op = "replace_object", object = { kind = "function", name = "f()", sql = "g" },
    was = { kind = "function", name = "f()", sql = "CREATE FUNCTION f() …" } },
    "replace function f()", function(tree) return tree.objects[1].sql == "g" end },
  { { op = "backfill", table = "orders", set = { total = { value = 1 } } },
    "backfill orders: total", function() return true end, "never" },
  { { op = "sql", text = { default = "UPDATE orders\n  SET total = 1" },
    down = { default = "SELECT 1" }, tx = true }, "sql UPDATE orders SET total = 1",
    function() return true end },
  { { op = "run", n = 2 }, "run function 2", function() return true end, "never" },
}

-- The text of a tree in which the order of lists that came back does not count.
local function text(tree)
  local copy = model.copy(tree)
  local function sort(list, key)
    table.sort(list, function(a, b) return ops.text(a[key] or a) < ops.text(b[key] or b) end)
  end
  for _, field in ipairs { "tables", "enums", "views", "objects" } do sort(copy[field], "name") end
  for _, t in ipairs(copy.tables) do
    for _, field in ipairs { "columns", "checks", "indexes", "uniques", "foreign_keys" } do
      sort(t[field], "name")
    end
  end
  return ops.text(copy)
end

describe("an operation", function()
  it("of each kind is among the cases", function()
    local seen = {}
    for _, case in ipairs(CASES) do seen[case[1].op] = true end
    for _, name in ipairs(ops.names) do assert.is_true(seen[name], name) end
  end)

  for _, case in ipairs(CASES) do
    local op, words, holds, undo = case[1], case[2], case[3], case[4]

    it("is told, done and undone: " .. words, function()
      assert.are.equal(op, ops.check(op))
      assert.are.equal(words, ops.describe(op))
      local tree, before = fresh(), ops.canonical(op)
      if op.op == "drop_schema" then tree.schemas = { "crm" } end
      local was = text(tree)
      assert.are.equal(tree, ops.apply(tree, op))
      assert.is_truthy(holds(tree))
      assert.are.equal(before, ops.canonical(op)) -- not changed itself
      local inverse, why = ops.inverse(op)
      if undo == "nothing" then
        assert.is_false(inverse)
      elseif undo == "never" then
        assert.is_nil(inverse)
        assert.is_string(why)
      else
        ops.check(inverse)
        ops.apply(tree, inverse)
        assert.are.equal(was, text(tree))
        -- And back again.
        assert.is_table(ops.inverse(inverse))
      end
    end)
  end

  it("is the same after it was written to a file and recorded", function()
    for _, case in ipairs(CASES) do
      local list = { case[1], ops.inverse(case[1]) or nil }
      local written = case[1].op ~= "run"
        and revision.text { id = "a", after = { "b" }, message = "m", up = list }
      for i, op in ipairs(written and files.parse(written, "m.lua").up or {}) do
        assert.are.equal(ops.canonical(list[i]), ops.canonical(op))
      end
    end
  end)

  it("cannot be undone when it is not said what was", function()
    for _, case in ipairs(CASES) do
      local op = model.copy(case[1])
      if op.was and (op.op:find "^drop" or op.op:find "^replace" or op.op:find "enum_value"
        or op.op == "set_options") then
        op.was = nil
        local inverse, why = ops.inverse(op)
        assert.is_nil(inverse)
        assert.are.equal(case[2] .. ": what it was (was = …) is not said", why)
      end
    end
    local _, why = ops.inverse { op = "alter_column", table = "t", name = "c",
      set = { type = INT, null = true }, was = { type = INT } }
    assert.are.equal("alter column t.c: null, type: was = { null = … } is not said", why)
    _, why = ops.inverse { op = "sql", text = { postgres = "SELECT 1" } }
    assert.are.equal("sql SELECT 1: down = … is not said", why)
  end)

  it("is one of those that there are", function()
    local at = { file = "m.lua", line = 3 }
    local function refused(op)
      op.at = at
      return fails("usage", ops.check, op).message
    end
    assert.are.equal('m.lua:3: unknown operation "add_colunm" (is "add_column" meant?)',
      refused { op = "add_colunm" })
    assert.are.equal('m.lua:3: rename_table: unknown field "table": allowed are name, schema, to',
      refused { op = "rename_table", name = "a", to = "b", table = "a" })
    assert.are.equal("m.lua:3: rename_table: to must be a text, not absent",
      refused { op = "rename_table", name = "a" })
    assert.are.equal("m.lua:3: create_enum: values must be a list, not table",
      refused { op = "create_enum", name = "a", values = {} })
    assert.are.equal("m.lua:3: add_index: concurrently must be a boolean, not number",
      refused { op = "add_index", table = "a", index = {}, concurrently = 1 })
  end)

  it("is told in one short line", function()
    local long = ops.describe { op = "sql", text = { sqlite = ("SELECT 'äöü'\n"):rep(9) } }
    assert.is_true(#long < 70)
    assert.are.equal("…", long:match "…$")
    assert.is_nil(long:find "\n")
    for n = 50, 64 do -- never a part of a character
      local words = ops.describe { op = "sql", text = { default = ("x"):rep(n) .. ("ä"):rep(30) } }
      assert.is_nil(words:gsub("[\194-\244][\128-\191]+", ""):find "[\128-\255]")
    end
  end)
end)

describe("a list of operations", function()
  it("is undone in reverse order", function()
    local list = ops.inverse_all {
      { op = "create_table", table = TABLE },
      { op = "validate", table = "t", name = "c" },
      { op = "rename_table", name = "t", to = "u" },
    }
    assert.are.equal(2, #list)
    assert.are.equal("rename table u to t", ops.describe(list[1]))
    assert.are.equal("drop table t", ops.describe(list[2]))
    local op = { op = "run", n = 1 }
    local none, why, which = ops.inverse_all { { op = "create_schema", name = "x" }, op }
    assert.is_nil(none)
    assert.are.equal("run function 1: a function has no inverse", why)
    assert.are.equal(op, which)
  end)
end)

describe("the canonical text", function()
  it("does not depend on the order of keys or on remarks", function()
    local a = { op = "rename_table", name = "a", to = "b", schema = "s" }
    local b = { at = { file = "f", line = 1 }, schema = "s", allows = { { rule = "x" } }, to = "b",
      name = "a", op = "rename_table", phase = "up", hint = "was" }
    assert.are.equal('rename_table{"name"="a","schema"="s","to"="b"}', ops.canonical(a))
    assert.are.equal(ops.canonical(a), ops.canonical(b))
  end)

  it("leaves out places and empty tables, but no column that is called `at`", function()
    assert.are.equal('{"columns"={{"name"="x"}}}', ops.text { columns = { { name = "x",
      at = { file = "f", line = 2 } } }, options = {} })
    assert.are.equal('{"at"={"value"=1}}', ops.text { at = { value = 1 } })
  end)

  it("writes numbers the same on every Lua", function()
    assert.are.equal("{1,-5,0.1,1e+300,9007199254740991}",
      ops.text { 1.0, -5, 0.1, 1e300, 9007199254740991 })
    assert.are.equal([["a\034\092\010b"]], ops.text 'a"\\\nb')
    assert.are.equal('{true,false,[9]=1}', ops.text { true, false, [9] = 1 })
  end)
end)

describe("a tree", function()
  local function refused(op)
    op.at = { file = "m.lua", line = 3 }
    return fails("usage", ops.apply, fresh(), op).message
  end

  it("refuses what it has not, and what it has already", function()
    for message, op in pairs {
      ['drop table x: there is no table "x"'] = { op = "drop_table", name = "x" },
      ['drop column orders.x: there is no column "x"'] =
        { op = "drop_column", table = "orders", name = "x" },
      ["create table orders: the table is there already"] =
        { op = "create_table", table = { name = "orders", columns = {} } },
      ["rename table orders to customers: there is already a table customers"] =
        { op = "rename_table", name = "orders", to = "customers" },
      ["add column orders.id: the column is there already"] =
        { op = "add_column", table = "orders", column = { name = "id" } },
      ['rename column orders.id to total: there is already a column "total"'] =
        { op = "rename_column", table = "orders", name = "id", to = "total" },
      ["drop index x of orders: it is not there"] =
        { op = "drop_index", table = "orders", name = "x" },
      ["drop check x of orders: it is not there"] = { op = "drop_check", table = "orders",
        name = "x", was = { name = "x", sql = "total > customer" } },
      ["validate x of orders: it is not there"] =
        { op = "validate", table = "orders", name = "x" },
      ["rename constraint x of orders to y: it is not there"] =
        { op = "rename_constraint", table = "orders", name = "x", to = "y" },
      ["rename index x of orders to y: it is not there"] =
        { op = "rename_index", table = "orders", name = "x", to = "y" },
      ["add check both of orders: there is already one of that name"] =
        { op = "add_check", table = "orders", check = { name = "both", sql = "true" } },
      ["create enum mood: the enum is there already"] =
        { op = "create_enum", name = "mood", values = { "x" } },
      ["create view open_orders: the view is there already"] =
        { op = "create_view", view = { name = "open_orders" } },
      ["drop view x: it is not there"] = { op = "drop_view", name = "x" },
      ["create function f(): it is there already"] =
        { op = "create_object", object = { kind = "function", name = "f()" } },
      ["drop function g(): it is not there"] =
        { op = "drop_object", kind = "function", name = "g()" },
    } do
      assert.are.equal("m.lua:3: " .. message, refused(op))
    end
  end)

  it("loses with a column what is made of it", function()
    local tree = fresh()
    ops.apply(tree, { op = "drop_column", table = "orders", name = "customer" })
    local t = tree.tables[2]
    assert.are.equal(0, #t.checks) -- one of the column, one that mentions it
    assert.are.equal(0, #t.foreign_keys)
    assert.are.equal(1, #t.indexes) -- by_total includes it
    ops.apply(tree, { op = "drop_column", table = "orders", name = "total" })
    assert.are.equal(0, #t.indexes) -- abs(total)
    ops.apply(tree, { op = "drop_column", table = "customers", name = "id" })
    assert.is_nil(tree.tables[1].primary_key)
    ops.apply(tree, { op = "drop_column", table = "customers", name = "code" })
    assert.are.equal(0, #tree.tables[1].uniques)
  end)

  it("follows the new name of a column", function()
    local tree = fresh()
    ops.apply(tree, { op = "rename_column", table = "orders", name = "customer", to = "buyer" })
    local t = tree.tables[2]
    assert.are.equal("buyer", t.foreign_keys[1].columns[1])
    assert.are.equal("buyer", t.checks[1].column)
    assert.are.equal("customer > 0", t.checks[1].sql) -- the database's to change
    assert.are.equal("buyer", t.indexes[1].keys[1].column)
    assert.are.equal("buyer", t.indexes[2].include[1])
  end)

  it("follows the new name of a table", function()
    local tree = fresh()
    ops.apply(tree, { op = "rename_table", name = "customers", to = "people" })
    assert.are.equal("people", tree.tables[2].foreign_keys[1].ref.table)
  end)

  it("drops a table with its triggers", function()
    local tree = fresh()
    ops.apply(tree, { op = "drop_table", name = "orders" })
    assert.are.equal(1, #tree.objects)
  end)

  it("finds a constraint without a name by what it was", function()
    local tree = fresh()
    tree.tables[2].checks[2].name = nil
    ops.apply(tree, { op = "drop_check", table = "orders",
      was = { sql = "total > customer" } })
    assert.are.equal(1, #tree.tables[2].checks)
    tree.tables[1].uniques[1].name = nil
    ops.apply(tree, { op = "drop_unique", table = "customers", was = { columns = { "code" } } })
    assert.are.equal(0, #tree.tables[1].uniques)
  end)

  it("takes the primary key's columns as not null", function()
    local tree = fresh()
    ops.apply(tree, { op = "set_primary_key", table = "orders",
      key = { columns = { "total" } } })
    assert.is_false(tree.tables[2].columns[3].null)
    assert.are.equal('m.lua:3: set primary key of orders: (x): there is no column "x"',
      refused { op = "set_primary_key", table = "orders", key = { columns = { "x" } } })
  end)

  it("puts a value of an enum where it was said", function()
    for _, case in ipairs { { {}, "sad glad x" }, { { after = "sad" }, "sad x glad" },
      { { before = "sad" }, "x sad glad" } } do
      local tree = fresh()
      local op = { op = "add_enum_value", name = "mood", value = "x" }
      op.after, op.before = case[1].after, case[1].before
      ops.apply(tree, op)
      assert.are.equal(case[2], table.concat(tree.enums[1].values, " "))
    end
  end)
end)
