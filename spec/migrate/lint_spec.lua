-- lint: for each rule one case that is unsafe and one that is safe (lint_cases.lua), what
-- is allowed and why, where findings are, the gate before an upgrade.
local helper = require "spec.support.helper"
local cases = dofile "spec/migrate/lint_cases.lua"
local dialect = require "perigee.dialect"
local files = require "perigee.migrate.files"
local lint = require "perigee.migrate.lint"
local schema = require "perigee.schema"

local function record(text)
  local m = files.parse(text, "migrations/1_x.lua")
  m.path = "migrations/1_x.lua"
  return m
end

local function migration(body, rest)
  return record(("return migration { id = 'a1', up = function(m)\n%s\nend, %s }"):format(body,
    rest or "down = false"))
end

local function named(name) return dialect.named(name or "postgres") end

local tables = schema.parse(cases.TABLES, { name = "schema.lua" }).tree

local function run(m, how)
  how = how or {}
  local o = {
    dialect = named(how.dialect), tree = how.tree or tables, online = how.online,
    allow = how.allow, x = how.x,
  }
  for _, k in ipairs { "changed", "edited", "definitions" } do o[k] = how[k] end
  return lint.run({ m }, o)
end

-- The findings of a rule.
local function of_rule(result, rule)
  local list = {}
  for _, f in ipairs(result.findings) do
    if f.rule == rule then list[#list + 1] = f end
  end
  return list
end

describe("rules of lint", function()
  local has_case = {}
  for n, case in ipairs(cases.CASES) do
    local rule, unsafe, safe, how = case[1], case[2], case[3], case[4] or {}
    has_case[rule] = true
    it(("%s (%d, %s)"):format(rule, n, how.dialect or "postgres"), function()
      local bad = of_rule(run(migration(unsafe), how), rule)
      assert.is_true(#bad > 0, "not found in: " .. unsafe)
      for _, f in ipairs(bad) do
        assert.equal("migrations/1_x.lua", f.path)
        assert.is_true(f.line >= 2)
        assert.equal("up", f.phase)
        assert.is_truthy(f.hint)
        assert.is_true(#f.message > 10)
      end
      local good = of_rule(run(migration(safe), how), rule)
      assert.same({}, good, "found in: " .. safe)
      -- and the same is let through by m:allow
      local allow = ('m:allow("%s", "we know") '):format(rule)
      local allowed = run(migration((unsafe:gsub("%f[%w]m:%l", allow .. "%0"))), how)
      assert.same({}, of_rule(allowed, rule))
    end)
  end

  it("have a case each, and are in the documentation", function()
    for _, rule in ipairs {
      "table-rewrite", "table-scan", "down-missing", "edited-after-apply", "stale-was",
      "unused-allow",
    } do
      has_case[rule] = true -- below, and in measure_spec.lua
    end
    local file = assert(io.open "docs/api/lint.md")
    local page = file:read "*a"
    file:close()
    local letters = { error = "E", warning = "W", info = "I" }
    for _, rule in ipairs(lint.rules) do
      assert.is_true(has_case[rule.id], "no case of " .. rule.id)
      local row = ("\n| `%s` | %s | "):format(rule.id, letters[rule.level])
      assert.is_truthy(page:find(row, 1, true), "not in docs/api/lint.md: " .. row)
      assert.is_truthy(page:find(rule.danger, 1, true), "another danger of " .. rule.id)
      assert.is_truthy(page:find(rule.safe, 1, true), "another way for " .. rule.id)
    end
    for id in page:gmatch "\n| `([%l%d-]+)` | [EWI] |" do
      assert.is_true(has_case[id], "there is no rule " .. id)
    end
  end)

  it("down-missing", function()
    local function downs(rest)
      return #of_rule(run(migration([[m:set_comment("orders", "x")]], rest)), "down-missing")
    end
    assert.equal(1, downs "after = {}")
    assert.equal(0, downs "down = false")
    assert.equal(0, downs "down = function(m) end")
    local change = record [[return migration { id = "a", change = function(m)
      m:create_schema "x" end }]]
    assert.same({}, of_rule(run(change), "down-missing"))
  end)

  it("edited-after-apply", function()
    local m = migration ""
    local summary = { id = "b2", name = "2_y", path = "migrations/2_y.lua" }
    local one = of_rule(run(m, { changed = { summary } }), "edited-after-apply")
    assert.equal("error", one[1].level)
    assert.equal("migrations/2_y.lua", one[1].path)
    assert.equal("info", of_rule(run(m, { edited = { summary } }), "edited-after-apply")[1].level)
    assert.same({}, run(m).findings)
  end)

  it("stale-was", function()
    local function hints(column)
      local wanted = schema.parse(([[table("customers", { was = "clients" }, function(t)
        t.id = bigint { pk = true }
        t.%s
      end)]]):format(column), { name = "schema.lua" }).tree
      return of_rule(run(migration "", { definitions = wanted }), "stale-was")
    end
    local found = hints 'email = text { was = "mail" }'
    assert.equal(2, #found)
    assert.same({ "schema.lua", 3 }, { found[2].path, found[2].line })
    assert.equal("info", found[2].level)
    assert.equal(1, #hints 'mail = text { was = "email" }') -- only the table's
  end)

  it("unused-allow", function()
    local body = [[m:allow("drop-column", "old")
      m:add_column("orders", "a", text { null = true })]]
    local found = of_rule(run(migration(body)), "unused-allow")
    assert.equal(1, #found)
    assert.equal("warning", found[1].level)
    -- of another database, or only known by the server: not unused
    body = [[m:allow("index-not-concurrent", "small") m:allow("table-rewrite", "small")
      m:add_column("orders", "a", text { null = true })]]
    assert.same({}, of_rule(run(migration(body), { dialect = "sqlite" }), "unused-allow"))
  end)
end)

describe("m:allow", function()
  it("needs a reason", function()
    for _, reason in ipairs { "state why", "Todo", "todo: ask Ann", "State why." } do
      local m = migration(('m:allow("drop-table", "%s")\nm:drop_table "orders"'):format(reason))
      local f = of_rule(run(m), "drop-table")[1]
      assert.equal(('m:allow("drop-table", "%s") does not say why'):format(reason), f.hint)
      assert.equal(1, #lint.gate({ m }, { dialect = named(), phase = "up" }))
      assert.same({}, of_rule(run(m), "unused-allow"))
    end
  end)

  it("knows the rules by name", function()
    local m = migration 'm:allow("drop-colum", "old")\nm:drop_column("orders", "note")'
    for _, look in ipairs {
      function() run(m) end,
      function() lint.gate({ m }, { dialect = named() }) end,
    } do
      local ok, err = pcall(look)
      assert.is_false(ok)
      assert.equal("usage", err.kind)
      assert.equal('migrations/1_x.lua:3: allow: there is no rule "drop-colum" (is "drop-column" '
        .. "meant?)", err.message)
    end
    assert.is_false(pcall(run, m, { allow = { ["drop-colum"] = "old" } }))
  end)

  it("is for all that one call records, and for nothing else", function()
    local m = migration [[
      m:allow("fk-without-index", "tiny")
      m:add_column("orders", "c2", bigint { null = true, ref = {
        table = "customers", column = "id" } })
      m:add_column("orders", "c3", bigint { null = true, ref = {
        table = "customers", column = "id" } })]]
    local found = of_rule(run(m), "fk-without-index")
    assert.equal(1, #found)
    assert.equal(5, found[1].line)
  end)

  it("can be said for all migrations", function()
    local m = migration [[m:drop_table "orders"]]
    local o = { allow = { ["drop-table"] = "a test database" } }
    assert.same({}, of_rule(run(m, o), "drop-table"))
    assert.same({}, lint.gate({ m }, { dialect = named(), allow = o.allow }))
    assert.is_false(pcall(run, m, { allow = { ["drop-table"] = "" } }))
  end)
end)

describe("lint", function()
  it("tells phases apart, in order", function()
    local m = migration([[m:rename_column("orders", "n", "k")]], [[down = false,
      finish = function(m) m:drop_column("orders", "note") end]])
    local r = run(m)
    assert.same({ "up", "finish" }, { r.findings[1].phase, r.findings[#r.findings].phase })
    assert.equal("drop-column", r.findings[#r.findings].rule)
    assert.equal(2, r.errors)
    assert.equal(0, r.warnings)
  end)

  it("sees the tables as the operations before have left them", function()
    local m = migration [[
      m:rename_column("orders", "total", "sum")
      m:alter_column("orders", "sum", { type = numeric(12,2) })
      m:alter_column("orders", "sum", { type = numeric(12,4) })]]
    local found = of_rule(run(m), "change-type-rewrite")
    assert.equal(1, #found)
    assert.equal(4, found[1].line)
  end)

  it("reads SQL by the rules of the database", function()
    local m = migration [==[m:sql [[
      -- drop table orders;
      /* ; drop table orders */ select 'x; drop table orders', $$; drop table orders$$;
      CREATE FUNCTION f() RETURNS int BEGIN ATOMIC; SELECT 1; DELETE FROM orders; END
    ]]]==]
    assert.same({}, of_rule(run(m), "drop-table"))
    assert.same({}, of_rule(run(m), "truncate"))
    m = migration [==[m:sql [[
      create trigger x after insert on orders begin
        delete from customers; select case when 1 then 2 end;
      end;
      drop table "orders"
    ]]]==]
    local r = run(m, { dialect = "sqlite" })
    assert.same({}, of_rule(r, "truncate"))
    assert.equal(1, #of_rule(r, "drop-table"))
  end)

  it("takes the text that is for the database", function()
    local m = migration [[m:sql { postgres = "drop table orders", sqlite = "select 1" }]]
    assert.equal(1, #of_rule(run(m), "drop-table"))
    assert.same({}, of_rule(run(m, { dialect = "sqlite" }), "drop-table"))
  end)

  it("is not led astray by half a statement", function()
    local words = { "alter", "table", "orders", "add", "column", "constraint", "(", ")", ",",
      "create", "index", "on", "drop", "delete", "from", "update", "references", "'x", '"y',
      "rename", "to", "default", "type", "truncate", ";", "with", "as", "set", "foreign", "key" }
    local random = helper.random "half a statement"
    local statement = require "perigee.migrate.lint.raw"
    for _ = 1, 2000 do
      local text = {}
      for i = 1, random(8) do text[i] = words[random(#words)] end
      for _, name in ipairs { "postgres", "sqlite" } do
        local sql = table.concat(text, " ")
        local op = { op = "sql", text = { default = sql } }
        assert.is_true(#statement.operations(op, name) >= 0, sql)
        assert.is_true(run({ id = "x", up = { op } }, { dialect = name }).errors >= 0, sql)
      end
    end
  end)

  it("begins with what the migrations before have made, when the database has more", function()
    local first = record [[return migration { id = "a", down = false, up = function(m)
      m:create_table("t", function(t) t.id = bigint { pk = true } t.n = numeric(5,2) end) end }]]
    local second = record [[return migration { id = "b", after = { "a" }, down = false,
      up = function(m) m:alter_column("t", "n", { type = numeric(6,2) }) end }]]
    local g = require "perigee.migrate.graph".new { first, second }
    local function look(graph)
      return lint.run({ second }, { dialect = named(), graph = graph })
    end
    assert.same({}, of_rule(look(g), "change-type-rewrite"))
    assert.equal(1, #of_rule(look(nil), "change-type-rewrite"))
  end)

  it("refuses unknown options", function()
    assert.is_false(pcall(lint.run, {}, { dialect = named(), strict = true }))
  end)
end)

describe("the gate before an upgrade", function()
  local function stopped(m, phase)
    local rules = {}
    for i, f in ipairs(lint.gate({ m }, { dialect = named(), phase = phase or "up" })) do
      rules[i] = f.rule
    end
    return rules
  end

  it("stops what destroys data, and nothing else", function()
    assert.same({ "drop-table" }, stopped(migration [[m:drop_table "orders"]]))
    assert.same({ "drop-column" }, stopped(migration [[m:sql "alter table t drop column a"]]))
    assert.same({ "truncate" }, stopped(migration [[m:sql "truncate t"]]))
    assert.same({}, stopped(migration [[m:rename_table("orders", "x")
      m:sql "create index i on t (a)"]]))
    assert.same({}, stopped(migration [[m:create_table("x", function(t)
        t.a = bigint { pk = true } t.b = int end)
      m:drop_column("x", "b") m:drop_table "x"]]))
  end)

  it("looks at one phase, and lets pass what is allowed with a reason", function()
    local m = migration([[m:create_schema "x"]], [[down = false, finish = function(m)
      m:allow("drop-column", "not read since May") m:drop_column("orders", "a")
      m:drop_column("orders", "b") end]])
    assert.same({}, stopped(m))
    assert.same({ "drop-column" }, stopped(m, "finish"))
    local f = lint.gate({ m }, { dialect = named(), phase = "finish" })[1]
    assert.same({ "migrations/1_x.lua", "a1", "error" }, { f.path, f.migration, f.level })
    assert.equal("orders.b: its values are lost", f.message)
  end)
end)
