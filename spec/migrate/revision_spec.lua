-- Migrations as text: what is written, and that recording it gives the same operations.

require "spec.support.helper"
local expect = require "spec.support.expect"
local files = require "perigee.migrate.files"
local ops = require "perigee.schema.ops"
local revision = require "perigee.migrate.revision"

local function column(name, ty, more)
  local c = { name = name, type = ty, null = false }
  for k, v in pairs(more or {}) do c[k] = v end
  return c
end

local TEXT, INT = { name = "text" }, { name = "int" }
local STATUS = { enum = "order_status", values = { "new", "it's" } }

local ORDERS = {
  name = "orders", comment = 'says "hello"', uniques = {}, options = {},
  columns = {
    column("id", { name = "bigint" }, { identity = { always = false } }),
    column("end", { raw = "tsvector" }, { null = true }),
    column("status", STATUS, { default = { value = "new" } }),
    column("total", { name = "numeric", args = { 12, 2 } }, { default = { value = 0 } }),
    column("at", { name = "timestamptz" }, { default = { sql = "now", word = true } }),
    column("list", { name = "text", array = 1 }, { comment = "two\nlines" }),
  },
  primary_key = { columns = { "id" }, name = "orders_pkey" },
  foreign_keys = { { columns = { "id" }, name = "orders_id_fkey", on_delete = "cascade",
    ref = { table = "customers", columns = { "id" } } } },
  checks = { { name = "positive", sql = "total > 0" } },
  indexes = { { name = "orders_status_idx", keys = { { column = "status" } } } },
}

-- One of each operation and form.
local LIST = {
  { op = "create_schema", name = "audit" }, { op = "drop_schema", name = "audit" },
  { op = "create_enum", schema = "audit", name = "e", values = { "a", "b's" } },
  { op = "drop_enum", name = "e", was = { "a" } },
  { op = "add_enum_value", name = "e", value = "c", after = "b", was = { "a", "b" } },
  { op = "rename_enum_value", name = "e", from = "a", to = "b" },
  { op = "set_enum_values", name = "e", values = { "c" }, was = { "a" } },
  { op = "create_table", table = ORDERS },
  { op = "drop_table", name = "orders", was = ORDERS,
    allows = { { rule = "drop-table", reason = "state why" } } },
  { op = "rename_table", schema = "audit", name = "a", to = "b" },
  { op = "add_column", table = "o", column = column("x", INT, { default = { value = -1 } }) },
  { op = "drop_column", table = "o", name = "x", was = column("x", TEXT, { null = true }) },
  { op = "rename_column", table = "o", name = "x", to = "y" },
  { op = "alter_column", schema = "audit", table = "o", name = "x", using = "x::text",
    set = { type = TEXT, null = true, default = { none = true }, identity = { none = true } },
    was = { type = INT, null = false, default = { sql = "1 + 1" }, identity = { always = true } } },
  { op = "alter_column", table = "o", name = "x",
    set = { generated = { sql = "a * 2", stored = true }, collation = "C" },
    was = { generated = { none = true }, collation = { none = true } } },
  { op = "alter_column", table = "o", name = "x", set = { default = { value = "q" } },
    was = { default = { value = false } } },
  { op = "set_primary_key", table = "o", key = { columns = { "a", "b" }, name = "k" },
    was = { columns = { "a" }, name = "k" } },
  { op = "drop_primary_key", table = "o", name = "k", was = { columns = { "a" }, name = "k" } },
  { op = "add_unique", table = "o",
    key = { columns = { "a" }, name = "u", nulls_not_distinct = true } },
  { op = "drop_unique", table = "o", name = "u", was = { columns = { "a" }, name = "u" } },
  { op = "add_foreign_key", table = "o", key = { columns = { "a", "b" }, name = "f",
    ref = { schema = "audit", table = "t x", columns = { "a", "b" } }, on_delete = "set null",
    deferrable = true, deferred = true } },
  { op = "drop_foreign_key", table = "o", name = "f", was = { columns = { "a" }, name = "f",
    ref = { table = "t", columns = { "a" } } } },
  { op = "add_check", table = "o", check = { name = "c", sql = "a > 'x'", no_inherit = true } },
  { op = "add_check", table = "o", check = { name = "c", sql = 'a > "x"' } },
  { op = "drop_check", table = "o", name = "c", was = { name = "c", sql = "a > 1" } },
  { op = "drop_check", table = "o", name = "c",
    was = { name = "c", sql = "a > 1", no_inherit = true } },
  { op = "validate", table = "o", name = "c" },
  { op = "rename_constraint", table = "o", name = "c", to = "d" },
  { op = "add_index", table = "o", concurrently = false, index = { name = "i", unique = true,
    keys = { { column = "a", desc = true, nulls = "last" }, { sql = "lower(b)" },
      { column = "c", opclass = "text_pattern_ops" } }, method = "gin", where = "a ~ ']]'",
    include = { "z" }, with = { fillfactor = "70" } } },
  { op = "drop_index", table = "o", name = "i",
    was = { name = "i", keys = { { column = "a" } } } },
  { op = "rename_index", table = "o", name = "i", to = "j" },
  { op = "set_comment", table = "o", text = "x", was = "y" },
  { op = "set_comment", table = "o", column = "c" },
  { op = "set_comment", kind = "view", name = "v", text = "x" },
  { op = "set_comment", kind = "index", table = "o", name = "i", text = "x" },
  { op = "set_options", table = "o", options = { postgres = { with = { fillfactor = "70" } } },
    was = { postgres = { with = { fillfactor = "80" } } } },
  { op = "create_view", view = { name = "v", sql = "SELECT 1\nFROM x" } },
  { op = "replace_view", view = { name = "v", sql = "SELECT 1", materialized = true },
    was = { name = "v", sql = "SELECT 2" } },
  { op = "drop_view", name = "v", was = { name = "v", sql = "SELECT 2", materialized = true } },
  { op = "create_object", object = { kind = "trigger", name = "g", on = "o",
    sql = "CREATE TRIGGER ]] \\ \"x\"" } },
  { op = "drop_object", kind = "trigger", name = "g", on = "o",
    was = { kind = "trigger", name = "g", on = "o", sql = "CREATE TRIGGER x" } },
  { op = "replace_object", object = { kind = "sequence", name = "s", sql = "CREATE SEQUENCE s" },
    was = { kind = "sequence", name = "s", sql = "CREATE SEQUENCE s", owned_by = "t.a" } },
  { op = "backfill", table = "o", set = { a = { sql = "now()" }, b = { value = "x" } },
    where = "a is null", key = { "id" }, batch = 100, pause = 0.05 },
  { op = "sql", text = { default = "select 1" }, tx = true },
  { op = "sql", text = { postgres = "a", sqlite = "b" }, down = { default = "z" }, tx = false,
    probe = "select 1" },
}

local function write(list, more)
  local spec = { id = "0a1b", message = "m", up = list, down = false }
  for k, v in pairs(more or {}) do spec[k] = v end
  return revision.text(spec)
end

describe("the text of a migration", function()
  for _, op in ipairs(LIST) do
    it("gives the same operation again: " .. ops.describe(op), function()
      local migration = files.parse(write { op }, "m.lua")
      assert.equal(1, #migration.up)
      assert.equal(ops.canonical(op), ops.canonical(migration.up[1]))
      assert.same(op.allows, migration.up[1].allows)
    end)
  end

  it("has its head, and serves neighbours on a table by one name", function()
    local text = revision.text {
      id = "9f2c", after = { "4b1e", "77aa" }, message = 'a "b"', labels = { "shop" },
      depends = { "55" }, replaces = { "33" }, header = "-- by hand",
      up = {
        { op = "add_column", table = "o", column = column("x", INT) },
        { op = "drop_column", table = "o", name = "y", was = column("y", TEXT),
          allows = { { rule = "drop-column", reason = "state why" } } },
        { op = "rename_table", name = "a", to = "b" },
        { op = "validate", table = "o", name = "c" },
      },
      finish = {}, down = {},
    }
    assert.equal([[
-- by hand
return migration {
  id = "9f2c",
  after = { "4b1e", "77aa" },
  message = "a \"b\"",
  labels = { "shop" },
  depends = { "55" },
  replaces = { "33" },

  up = function(m)
    local o = m:alter "o"
    o:add_column("x", int)
    m:allow("drop-column", "state why")
    o:drop_column("y", { was = text })
    m:rename_table("a", "b")
    o = m:alter "o"
    o:validate "c"
  end,

  finish = function() end,

  down = function() end,
}
]], text)
    local migration = files.parse(text, "m.lua")
    assert.same({ "9f2c", { "4b1e", "77aa" }, 'a "b"', { "shop" }, { "55" }, { "33" } },
      { migration.id, migration.after, migration.message, migration.labels, migration.depends,
        migration.replaces })
  end)

  it("has the server's words in portable ones", function()
    local text = write({ { op = "drop_column", table = "o", name = "x",
      was = column("x", { raw = "character varying(32)[]" }) } })
    assert.truthy(text:find("{ was = array(varchar(32)) }", 1, true), text)
  end)

  it("says that it cannot be undone", function()
    assert.equal(false, files.parse(write { LIST[1] }, "m.lua").down)
  end)

  it("cannot have functions", function()
    expect.fails("usage", write, { { op = "run", n = 1 } })
    expect.fails("usage", revision.text, { id = "1", up = {}, downn = {} })
  end)
end)
