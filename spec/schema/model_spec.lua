-- Trees: names by convention, checks across tables, order; the portable types.
local helper = require "spec.support.helper"
local expect = require "spec.support.expect"
local model = require "perigee.schema.model"
local names = require "perigee.schema.names"
local schema = require "perigee.schema"
local types = require "perigee.schema.types"

local fails = expect.fails

local function parse(text, opts)
  return schema.parse(text, { name = "s.lua", dialect = opts and opts.dialect }).tree
end

local function refused(list)
  for _, case in ipairs(list) do
    assert.are.equal(case[2], fails("usage", parse, case[1]).message)
  end
end

-- A table of columns of type int.
local function of(name, columns, more)
  local lines = {}
  for word in columns:gmatch "%S+" do lines[#lines + 1] = ("t.%s = int"):format(word) end
  return ('table("%s", function(t) %s %s end)\n'):format(name, table.concat(lines, " "), more or "")
end

describe("portable types", function()
  it("are read and written as text", function()
    for _, text in ipairs {
      "bigint", "varchar(32)", "numeric", "numeric(5)", "numeric(12,2)[]", "text[][]",
    } do
      assert.are.equal(text, types.print(types.parse(text)))
    end
    assert.are.same({ name = "numeric", args = { 12, 2 }, array = 1 },
      types.parse " numeric ( 12 , 2 ) [ ] ")
    local function enum(name)
      return name == "mood" and { enum = "mood", schema = "s", values = { "x" } } or nil
    end
    assert.are.same({ enum = "mood", schema = "s", values = { "x" }, array = 1 },
      types.parse("mood[]", enum))
    assert.are.equal("s.mood[]", types.print(types.parse("mood[]", enum)))
    assert.are.equal("tsvector", types.print { raw = "tsvector" })
  end)

  it("are refused when there is no such", function()
    for text, why in pairs {
      ["bigimt"] = 'unknown type "bigimt" (is "bigint" meant?)',
      ["integer"] = 'unknown type "integer" (is "int" meant?)',
      ["double precision"] = 'unknown type "double precision" (is "float8" meant?)',
      ["bigserial"] = 'unknown type "bigserial" (bigint { identity = true } is meant)',
      ["varchar"] = "varchar is written varchar(n)",
      ["text(5)"] = "text takes no length",
      ["numeric(1,2,3)"] = "numeric is written numeric(p, s)",
      ["numeric(x)"] = 'type "numeric(x)" is not understood',
      ["varchar(0)"] = "varchar(n): a whole number is expected, not 0",
      ["varchar()"] = 'type "varchar()" is not understood',
      [""] = 'unknown type ""',
    } do
      assert.are.equal(why, fails("usage", types.parse, text).message)
      local ty, reason = types.try(text)
      assert.is_nil(ty)
      assert.are.equal(why, reason)
    end
    assert.are.equal("a type is a text such as numeric(12,2), not nil",
      fails("usage", types.parse).message)
  end)
end)

describe("names by convention", function()
  it("are cut as PostgreSQL cuts them", function()
    local a, b = ("a"):rep(70), ("b"):rep(10)
    assert.are.equal(("a"):rep(47) .. "_" .. b .. "_fkey", names.make(a, b, "fkey"))
    assert.are.equal(("a"):rep(29) .. "_" .. ("b"):rep(28) .. "_fkey",
      names.make(a, ("b"):rep(40), "fkey"))
    assert.are.equal(63, #names.make(a, nil, "pkey"))
    -- No character is cut in two.
    assert.are.equal(("é"):rep(28) .. "_c_key", names.make(("é"):rep(40), "c", "key"))
    assert.are.equal("x", names.clip("xé", 2))
    assert.are.equal("xé", names.clip("xé", 3))
  end)

  it("see the columns of an expression", function()
    local t = { columns = {} }
    for word in ("a b c date lower Mixed"):gmatch "%S+" do
      t.columns[#t.columns + 1] = { name = word }
    end
    local function seen(sql) return table.concat(names.mentioned(t, sql), " ") end
    assert.are.equal("a b", seen "b > 0 AND t.A < 5")
    assert.are.equal("a", seen [[a <> 'b''c' -- c
      /* b */ ]])
    assert.are.equal("a", seen "lower(a) <> $$b$$ and a <> $x$ c $x$")
    assert.are.equal("a", seen "a::date > now()")
    assert.are.equal("Mixed", seen [["Mixed" > 1e5 and mixed = 2]])
    assert.are.equal("", seen [['a]])
  end)

  it("are numbered when they are taken", function()
    local t = parse(of("a", "x y", [[
      t:check "x > 0" t:check "x > 1" t:check("a_x_check2", "x > 2") t:check "x > 3"
      t:check "x > y" t:check "1 = 1"
      t:index "x" t:index "x" t:unique "x" t:unique "x"]])).tables[1]
    local list = {}
    for i, x in ipairs(t.checks) do list[i] = x.name end
    assert.are.same({ "a_x_check", "a_x_check1", "a_x_check2", "a_x_check3", "a_check",
      "a_check1" }, list)
    assert.are.equal("a_x_idx1", t.indexes[2].name)
    assert.are.equal("a_x_key1", t.uniques[2].name)
  end)

  it("clash when they were given", function()
    refused {
      { of("a", "x", 't:check("c", "x > 0")\nt:check("c", "x > 1")'),
        's.lua:2: there is already a check of a named "c" (first at s.lua:1)' },
      { of("a", "x", 't:index { "x", name = "i" }') .. of("b", "x", 't:index { "x", name = "i" }'),
        's.lua:2: there is already an index of a named "i" (first at s.lua:1)' },
      { of("a", "x", 't:index { "x", name = "a" }'),
        's.lua:1: there is already a table named "a" (first at s.lua:1)' },
      { of("a", "x") .. 'view("a", "SELECT 1")',
        's.lua:2: there is already a table named "a" (first at s.lua:1)' },
      { 'view("a", "SELECT 1")\nsequence("a")',
        's.lua:1: there is already a sequence named "a" (first at s.lua:2)' },
    }
  end)

  it("may be the same in two schemas", function()
    local tree = parse(of("x.a", "n", 't:index "n"') .. of("y.a", "n", 't:index "n"')
      .. of("a", "n", 't:index "n"'))
    for _, t in ipairs(tree.tables) do assert.are.equal("a_n_idx", t.indexes[1].name) end
    assert.are.same({ "x", "y" }, tree.schemas)
  end)
end)

describe("names by convention", function()
  helper.for_each_db(function(_, open)
    local PARTS = { "a", "B c", "email", ("long"):rep(12), ("é"):rep(20), "x_y", "total" }

    -- A name that is not yet in `seen`.
    local function pick(random, seen)
      while true do
        local name = PARTS[random(#PARTS)] .. (random(2) == 1 and "" or PARTS[random(#PARTS)])
        name = names.clip(name, 63)
        if not seen[name] then
          seen[name] = true
          return name
        end
      end
    end

    local function quote(name) return '"' .. name .. '"' end

    -- A random table: its tree, its name by convention left out, and its SQL.
    local function make(random, n)
      local seen, columns = {}, {}
      for i = 1, 4 do columns[i] = pick(random, seen) end
      local t = { name = names.clip(PARTS[random(#PARTS)] .. n .. PARTS[random(#PARTS)], 63),
        columns = {}, uniques = {}, checks = {}, indexes = {}, foreign_keys = {} }
      local lines = {}
      for i, name in ipairs(columns) do
        t.columns[i] = { name = name, null = true, type = { name = "int" } }
        lines[i] = quote(name) .. " int"
      end
      t.primary_key = { columns = { columns[1], columns[2] } }
      lines[#lines + 1] = ("primary key (%s, %s)"):format(quote(columns[1]), quote(columns[2]))
      for c in ipairs { 1, 2 } do
        t.uniques[c] = { columns = { columns[c + 1], columns[c + 2] } }
        lines[#lines + 1] = ("unique (%s, %s)"):format(quote(columns[c + 1]), quote(columns[c + 2]))
      end
      for i, sql in ipairs {
        quote(columns[1]) .. " > 0", quote(columns[1]) .. " > " .. quote(columns[2]),
        quote(columns[1]) .. " > 1",
      } do
        t.checks[i] = { sql = sql }
        lines[#lines + 1] = "check (" .. sql .. ")"
      end
      t.foreign_keys[1] = { columns = { columns[1], columns[2] },
        ref = { table = t.name, columns = { columns[1], columns[2] } } }
      lines[#lines + 1] = ("foreign key (%s, %s) references %s"):format(quote(columns[1]),
        quote(columns[2]), quote(t.name))
      t.columns[1].null, t.columns[2].null = nil, nil
      return t, ("create table %s (%s)"):format(quote(t.name), table.concat(lines, ", "))
    end

    -- Random indexes of a table, as tree and SQL.
    local function add_indexes(random, t, run)
      for i = 1, 3 do
        local a, b = t.columns[random(4)].name, t.columns[random(4)].name
        local keys = ({
          { { column = a }, { column = b } },
          { { sql = "abs(" .. quote(a) .. ")" }, { sql = "(" .. quote(b) .. " + 1)" } },
          { { column = a }, { sql = "(1 + " .. quote(b) .. ")" }, { sql = "(2 + 2)" } },
        })[random(3)]
        local include = random(2) == 1 and { t.columns[random(4)].name } or nil
        t.indexes[i] = { keys = keys, include = include }
        local texts = {}
        for k, key in ipairs(keys) do texts[k] = key.sql or quote(key.column) end
        run(("create index on %s (%s)%s"):format(quote(t.name), table.concat(texts, ", "),
          include and " include (" .. quote(include[1]) .. ")" or ""))
      end
    end

    it("are PostgreSQL's", function()
      local db, random = open { max_size = 1 }, helper.random "names"
      local tree = { tables = {} }
      for n = 1, 12 do
        local t, sql = make(random, n)
        db:execute(sql)
        add_indexes(random, t, function(text) db:execute(text) end)
        tree.tables[n] = t
      end
      model.complete(tree)
      for _, t in ipairs(tree.tables) do
        local live = {}
        for _, row in ipairs(db:query([[
          select conname as name from pg_constraint where conrelid = $1::text::regclass
            and contype <> 'n'
          union select c.relname from pg_index i join pg_class c on c.oid = indexrelid
            where indrelid = $1::text::regclass]], quote(t.name))) do
          live[row.name] = true
        end
        local all = { t.primary_key, t.uniques[1], t.uniques[2], t.checks[1], t.checks[2],
          t.checks[3], t.foreign_keys[1], t.indexes[1], t.indexes[2], t.indexes[3] }
        for _, e in ipairs(all) do
          assert.is_true(live[e.name], ("%s is not in the database"):format(e.name))
          live[e.name] = nil
        end
        assert.is_nil(next(live))
      end
    end)
  end, { "postgres" })
end)

describe("a tree", function()
  it("is refused when a name has no meaning", function()
    refused {
      { of("a", "x", 't:index "y"'), 's.lua:1: an index: there is no column "y" in a' },
      { of("a", "total", 't:unique "totla"'),
        's.lua:1: a unique key: there is no column "totla" in a (is "total" meant?)' },
      { of("a", "x", 't:primary_key { "x", "x" }'),
        's.lua:1: the primary key of a has column "x" twice' },
      { of("a", "x", 't:index { "x", include = "y" }'),
        's.lua:1: include: there is no column "y" in a' },
      { of("a", "x", 't:foreign_key { "y", ref = "a.x" }'),
        's.lua:1: a foreign key: there is no column "y" in a' },
      { of("a", "x", 't.y = int { null = true }\nt:primary_key "y"'),
        "s.lua:1: column a.y is in the primary key and cannot be null" },
      { of("orders", "id", "t.p = int { ref = 'order.id' }"),
        's.lua:1: foreign key of orders: there is no table "order" (is "orders" meant?)' },
      { of("p", "x") .. of("c", "y", "t.p = int { ref = 'p' }"),
        "s.lua:2: foreign key of c: p has no primary key: name the columns" },
      { of("p", "x") .. of("c", "y", "t.p = int { ref = 'p.x' }"),
        "s.lua:2: foreign key of c: p(x) is neither the primary key nor unique" },
      { of("p", "x y", 't:primary_key { "x", "y" }') .. of("c", "y", "t.p = int { ref = 'p' }"),
        "s.lua:2: foreign key of c: 1 columns refer to 2 of p" },
      { of("p", "x") .. of("c", "y", "t.p = int { ref = 'p.z' }"),
        's.lua:2: foreign key of c: there is no column "z" in p' },
      { of("a", "x", "t.y = int { was = 'x' }"),
        's.lua:1: column a.y: was = "x", but there is a column of that name' },
      { of("a", "x", "t.y = int { was = 'o' } t.z = int { was = 'o' }"),
        's.lua:1: column a.z: was = "o", but another column was that, too' },
      { of("a", "x") .. "table('b', { was = 'a' }, function(t) t.x = int end)",
        's.lua:2: table b: was = "a", but there is a table of that name' },
      { "trigger('t', { on = 'ordrs' }, 'CREATE TRIGGER t')\n" .. of("orders", "x"),
        's.lua:1: trigger t: there is no table "ordrs" (is "orders" meant?)' },
      { of("a", "x") .. of(("n"):rep(64), "x"),
        's.lua:2: the name "' .. ("n"):rep(64) .. '" of a table is longer than 63 bytes' },
      { of("a", ("n"):rep(64)), 's.lua:1: the name "' .. ("n"):rep(64)
        .. '" of a column of a is longer than 63 bytes' },
      { of("a", "x", "t['a\\0b'] = int"),
        "s.lua:1: the name of a column of a has a zero byte" },
    }
    assert.are.equal(("n"):rep(64),
      parse(of(("n"):rep(64), "x"), { dialect = "sqlite" }).tables[1].name)
  end)

  it("takes keys of any kind as the end of a foreign key", function()
    local tree = parse(of("p", "x y z", [[t:unique { "x", "y" }
      t:index { "z", unique = true }]]) .. of("c", "a b", [[
      t:foreign_key { "a", "b", ref = "p(y, x)" } t.c = int { ref = "p.z" }]]))
    assert.are.equal(2, #tree.tables[2].foreign_keys)
    refused {
      { of("p", "z", "t:index { 'z', unique = true, where = 'z > 0' }")
        .. of("c", "y", "t.c = int { ref = 'p.z' }"),
        "s.lua:2: foreign key of c: p(z) is neither the primary key nor unique" },
    }
  end)

  it("has no circles of `after`", function()
    refused {
      { 'view("a", { after = "b" }, "SELECT 1")\nview("b", { after = { "a" } }, "SELECT 2")',
        "s.lua:2: after goes round in a circle: a, b, a" },
      { 'view("a", { after = "a" }, "SELECT 1")',
        "s.lua:1: after goes round in a circle: a, a" },
      { 'view("a", { after = "ordres" }, "SELECT 1")\n' .. of("orders", "x"),
        's.lua:1: a: after names "ordres", which is not defined (is "orders" meant?)' },
      { 'func("f(int)", "x")\nfunc("f(int)", "y")',
        "s.lua:2: function f(int) is defined twice (first at s.lua:1)" },
    }
    local tree = parse('func("f(int)", "x") func("f(text)", "x")\nenum "e" { "v" }\n'
      .. 'view("a", { after = { "f", "f(text)", "e", "s.t" } }, "SELECT 1")\n' .. of("s.t", "x"))
    assert.are.equal(4, #tree.views[1].after)
  end)

  it("is put in order, parents first", function()
    local tree = parse(of("c", "id", "t.p = int { ref = 'p' }")
      .. of("a", "id", 't:primary_key "id" t.b = int { ref = "b" } t.self = int { ref = "a" }')
      .. of("b", "id", 't:primary_key "id" t.a = int { ref = "a" }')
      .. of("p", "id", 't:primary_key "id"'))
    local list, cycles = model.sorted(tree)
    local order = {}
    for i, t in ipairs(list) do order[i] = t.name end
    assert.are.same({ "p", "c", "b", "a" }, order)
    assert.are.equal(1, #cycles)
    assert.are.equal("b", cycles[1].table.name)
    assert.are.equal("b_a_fkey", cycles[1].key.name)
  end)

  it("of many tables in a chain is put in order", function()
    local tree = { tables = {} }
    for i = 1, 3000 do
      tree.tables[i] = { name = "t" .. i, columns = {},
        foreign_keys = { { columns = { "x" }, ref = { table = "t" .. i + 1 } } } }
    end
    local list = model.sorted(tree)
    assert.are.equal("t3000", list[1].name)
    assert.are.equal("t1", list[3000].name)
  end)

  it("is looked up and copied", function()
    local tree = parse(of("s.a", "x") .. of("a", "y") .. 'enum "e" { "v" } view("w", "SELECT 1")')
    local t, i = model.find(tree, nil, "a")
    assert.are.equal(2, i)
    assert.are.equal("a", model.key(t))
    assert.are.equal("s.a", model.key(model.find(tree, "s", "a")))
    assert.is_nil(model.find(tree, "s", "b"))
    assert.are.equal("y", model.column(t, "y").name)
    assert.is_nil(model.column(t, "x"))
    assert.are.equal("e", model.find_enum(tree, nil, "e").name)
    assert.are.equal("w", model.find_view(tree, nil, "w").name)
    local copy = model.copy(tree)
    assert.are.same(tree, copy)
    assert.are_not.equal(tree.tables[1].columns, copy.tables[1].columns)
  end)

  it("of one table needs no others, but the columns of its foreign keys", function()
    local t = { name = "a", columns = { { name = "x", null = false, type = { name = "int" } } },
      foreign_keys = { { columns = { "x" }, ref = { table = "p" } } } }
    assert.are.equal('foreign key of a: the columns of "p" must be named here',
      fails("usage", model.complete_table, t).message)
    t.foreign_keys[1].ref.columns = { "a", "b" }
    assert.are.equal("foreign key of a: 1 columns refer to 2 of p",
      fails("usage", model.complete_table, t).message)
    t.foreign_keys[1].ref.columns = { "id" }
    assert.are.equal("a_x_fkey", model.complete_table(t).foreign_keys[1].name)
  end)
end)
