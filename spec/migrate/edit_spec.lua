-- The verbs that write files: revision, merge, rebase, squash; and what they compare.
local perigee = require "perigee"
local folders = require "spec.support.migrations"
local helper = require "spec.support.helper"

local fails, ids = folders.fails, folders.ids

local SCHEMA = [[
  table("orders", function(t)
    t.id = bigint { identity = true, pk = true }
    t.total = int { default = 0 }
  end)]]

describe("the text of a migration", function()
  local text = require "perigee.migrate.text"

  it("gets other parents, and stays as it was", function()
    local source = [==[
-- after = { "no" }
local after = { "no" }
return migration { -- id = "x"
  id = 'aa"a1', message = "after = { 'no' }", note = [[ after = {} ]],
  after = { "bbb2", -- a remark with } in it
    "ccc3" },
  up = function(m) m:sql { after = { "no" } } end,
}]==]
    local new = text.set_after(source, { "ddd4" }, "x.lua")
    assert.are.equal((source:gsub('after = { "bbb2".-"ccc3" }', 'after = { "ddd4" }')), new)
    assert.are.equal((new:gsub('{ "ddd4" }', "{}")), text.set_after(new, {}, "x.lua"))
  end)

  it("gets parents where it had none", function()
    assert.are.equal('return migration({ id = "a", after = { "b", "c" }, up = f })',
      text.set_after('return migration({ id = "a", up = f })', { "b", "c" }, "x.lua"))
  end)

  it("is left alone when the list is computed", function()
    fails("usage", "x.lua: `after` is not found", text.set_after,
      "local m = {} return migration(m)", { "b" }, "x.lua")
  end)
end)

helper.for_each_db(function(_, open)
  local folder

  before_each(function() folder = folders.new() end)
  after_each(folders.cleanup)

  local function open_with(source, db)
    return folder:open(db or open(), { schema = perigee.schema.parse(source) })
  end

  -- ---- revision ------------------------------------------------------------

  it("writes an empty revision after the head", function()
    local m = folder:open(open())
    fails("usage", "a message is expected", m.revision, m, {})
    local first = m:revision { message = "Begin: it's  new!" }
    assert.is_truthy(first.name:find "^%d+T%d+_begin_it_s_new$")
    local second = m:revision { message = "second", labels = "shop" }
    assert.are.equal(first.id, second.after[1])
    assert.are.equal(second.id, m:show("shop").id)
    fails("usage", 'label "shop" is that of', m.revision, m, { message = "x", labels = "shop" })
    assert.are.equal(2, #m:upgrade().applied)
  end)

  it("writes what the definitions have and the database has not", function()
    local m = open_with(SCHEMA)
    local out = m:revision { message = "begin", autogenerate = true }
    assert.is_true(out.verified)
    assert.is_true(out.up > 0)
    fails(1, "1 migration is pending", m.revision, m, { message = "x", autogenerate = true })
    assert.is_false(m:check().in_sync)
    m:upgrade()
    assert.is_true(m.db:has_table "orders")
    assert.is_true(m:check().in_sync)
    local none = m:revision { message = "nothing", autogenerate = true }
    assert.is_nil(none.path)
    assert.are.equal(1, #folder:list())
    m = open_with(SCHEMA:gsub("default = 0 }", "default = 0 } t.note = text { null = true }"),
      m.db)
    assert.are.equal(1, #m:diff().changes)
    m:revision { message = "note", autogenerate = true }
    m:upgrade()
    assert.is_true(m.db:has_column("orders", "note"))
    m:downgrade()
    assert.is_false(m.db:has_column("orders", "note"))
    for _, result in ipairs(m:test()) do assert.is_true(result.ok, result.message) end
  end)

  it("does not drop a column unless it is told to, and in finish", function()
    local m = open_with(SCHEMA)
    m:revision { message = "begin", autogenerate = true }
    m:upgrade()
    m = open_with((SCHEMA:gsub("t.total = [^\n]*", "")), m.db)
    local err = fails(4, "a decision is needed: .*total", m.revision, m,
      { message = "gone", autogenerate = true })
    assert.are.equal(1, #err.decisions)
    local out = m:revision { message = "gone", autogenerate = true, drop = { "orders.total" } }
    assert.are.equal(1, out.finish)
    m:upgrade()
    assert.is_true(m.db:has_column("orders", "total"))
    assert.is_true(m:check().in_sync) -- the finish phase will drop it
  end)

  it("finds what was changed behind the back of the migrations", function()
    local m = open_with(SCHEMA)
    m:revision { message = "begin", autogenerate = true }
    m:upgrade()
    assert.are.equal(0, #m:drift().changes)
    m.db:execute "alter table orders add column extra int"
    local changes = m:drift().changes
    assert.are.equal(1, #changes)
    assert.are.equal("drop_column", changes[1].op)
  end)

  -- ---- merge and rebase ----------------------------------------------------

  local function write_fork()
    local function column(name)
      return ([[m:alter("orders"):add_column("%s", int { null = true })]]):format(name)
    end
    folder:migration("001_orders", { id = "aaa1", change = [[
      m:create_table("orders", function(t) t.id = int { pk = true } end)]] })
    folder:migration("002_left", { id = "bbb2", after = "aaa1", change = column "l" })
    folder:migration("003_right", { id = "ccc3", after = "aaa1", change = column "r" })
    folder:migration("004_right", { id = "ddd4", after = "ccc3", change = column "s" })
  end

  it("merges heads", function()
    write_fork()
    local m = folder:open(open())
    fails("usage", "aaa1 comes before bbb2", m.merge, m, { heads = { "aaa1", "bbb2" } })
    local out = m:merge { message = "join" }
    assert.are.equal("bbb2 ddd4", ids(out.after))
    assert.are.equal(out.id, ids(m:heads()))
    fails("usage", "one head", m.merge, m)
    assert.are.equal(5, #m:upgrade().applied)
    assert.are.equal(out.id, ids(m:current()))
    assert.are.equal("|/", m:history()[5].before[1])
    assert.are.equal(out.id, ids(m:downgrade().reverted))
    assert.are.equal("bbb2 ddd4", ids(m:current()))
  end)

  it("rebases a branch behind the other head", function()
    write_fork()
    local m = folder:open(open())
    m:upgrade "bbb2"
    local out = m:rebase "ddd4"
    assert.are.equal("ccc3 ddd4", ids(out.moved))
    assert.are.equal("bbb2", out.onto)
    assert.is_truthy(folder:read("003_right"):find('after = { "bbb2" }', 1, true))
    assert.is_truthy(folder:read("004_right"):find('after = { "ccc3" }', 1, true))
    assert.are.equal("ddd4", ids(m:heads()))
    assert.are.equal("ccc3 ddd4", ids(m:upgrade().applied))
    fails("usage", "no other head", m.rebase, m, "ddd4")
  end)

  it("does not rebase what is applied", function()
    write_fork()
    local m = folder:open(open())
    m:upgrade "bbb2"
    fails(7, "bbb2 is applied in this database", m.rebase, m, "bbb2")
    assert.is_truthy(folder:read("002_left"):find('after = { "aaa1" }', 1, true))
  end)

  -- ---- squash --------------------------------------------------------------

  local function write_line()
    local function column(name)
      return ([[m:alter("orders"):add_column("%s", int { null = true })]]):format(name)
    end
    folder:migration("001_orders", { id = "aaa1", change = [[
      m:create_table("orders", function(t) t.id = int { pk = true } end)]] })
    folder:migration("002_a", { id = "bbb2", after = "aaa1", change = column "a" })
    folder:migration("003_b", { id = "ccc3", after = "bbb2", change = column "b" })
    folder:migration("004_c", { id = "ddd4", after = "ccc3", change = column "c" })
  end

  it("squashes a line into its last migration, and old databases go on", function()
    write_line()
    local db = open()
    local m = folder:open(db)
    m:upgrade "ddd4"
    local out = m:squash("aaa1", "ccc3", { message = "the beginning" })
    assert.are.equal("ccc3", out.id)
    assert.are.same({ "003_b", "004_c" }, folder:list())
    assert.are.equal("up_to_date", m:status().state)
    m:upgrade()
    assert.are.equal("ccc3 ddd4", ids(db:query "select id from perigee_migration order by id"))
    assert.are.equal("squashed", db:value "select note from perigee_migration where id = 'ccc3'")
    assert.are.equal("up_to_date", m:status().state)
    m:downgrade "base"
    assert.is_false(db:has_table "orders")
    assert.are.equal("ccc3 ddd4", ids(m:upgrade().applied))
    for _, name in ipairs { "a", "b", "c" } do assert.is_true(db:has_column("orders", name)) end
  end)

  it("refuses a database that has only a part of what was squashed", function()
    write_line()
    local m = folder:open(open())
    m:upgrade "bbb2"
    fails(7, "only a part of them", m.squash, m, "aaa1", "ccc3")
    m:upgrade "ddd4"
    m:squash("aaa1", "ccc3")
    m.db:execute "delete from perigee_migration where id in ('ccc3', 'ddd4')"
    fails(7, "only a part of what was squashed", m.upgrade, m)
  end)

  it("refuses branches and Lua", function()
    write_line()
    folder:migration("005_x", { id = "eee5", after = "bbb2", up = [[m:run(function() end)]] })
    folder:migration("006_y", { id = "fff6", after = "ddd4", up = [[m:run(function() end)]] })
    local m = folder:open(open())
    fails("usage", "a branch begins at bbb2", m.squash, m, "aaa1", "ccc3")
    fails("usage", "does not come before", m.squash, m, "ccc3", "aaa1")
    fails("usage", "is Lua, which cannot be copied", m.squash, m, "ccc3", "fff6")
    assert.are.equal(6, #folder:list())
  end)
end)
