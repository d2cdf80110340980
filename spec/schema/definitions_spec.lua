-- The language of definitions: what each statement gives, and every message.
local helper = require "spec.support.helper"
local expect = require "spec.support.expect"
local schema = require "perigee.schema"

local fails = expect.fails

local function parse(text)
  return schema.parse(text, { name = "schema.lua" }).tree
end

-- A table of the given body, in lines of its own.
local function body(text, name)
  return parse(('table("%s", function(t)\n%s\nend)'):format(name or "a", text)).tables[1]
end

-- The message of a script that is wrong, which must be a usage error.
local function message(text)
  return fails("usage", parse, text).message
end

-- Each: the body of table a from line 2 on, and the message that it gives.
local function refused(list)
  for _, case in ipairs(list) do
    local text = ('table("a", function(t)\n%s\nend)'):format(case[1])
    assert.are.equal(case[2], message(text))
  end
end

-- Each: a script and its message.
local function scripts_refused(list)
  for _, case in ipairs(list) do
    assert.are.equal(case[2], message(case[1]))
  end
end

local folder, remove = helper.folder, helper.remove

describe("a table", function()
  it("has its columns in the order of the statements", function()
    local t = body [[
      t.b = int
      t.a = text
      t["end"] = date { null = true }
      t.comment = boolean { default = false }]]
    local names = {}
    for i, c in ipairs(t.columns) do names[i] = c.name end
    assert.are.same({ "b", "a", "end", "comment" }, names)
    assert.is_false(t.columns[1].null)
    assert.is_true(t.columns[3].null)
    assert.are.same({ value = false }, t.columns[4].default)
  end)

  it("has columns named as its methods", function()
    local t = body "t.index = int { index = true }\nt.unique = int\nt.on = int\nt:unique { 'on' }"
    assert.are.equal("index", t.columns[1].name)
    assert.are.equal("a_index_idx", t.indexes[1].name)
    assert.are.equal("a_on_key", t.uniques[1].name)
  end)

  it("takes mixins, and says their lines", function()
    local tree = parse [[
local function stamps(t)
  t.made = timestamptz { default = sql.now }
end
table("a", function(t)
  t.id = bigint { pk = true }
  stamps(t)
end)
table("b", function(t) stamps(t) t.id = int end)]]
    assert.are.same({ sql = "now", word = true }, tree.tables[1].columns[2].default)
    assert.are.same({ file = "schema.lua", line = 2 }, tree.tables[1].columns[2].at)
    assert.are.same({ file = "schema.lua", line = 4 }, tree.tables[1].at)
    assert.are.equal("made", tree.tables[2].columns[1].name)
  end)

  it("remains Lua's library of that name", function()
    assert.are.equal("x,y", body("t[table.concat({ 'x', 'y' }, ',')] = int").columns[1].name)
  end)

  it("has options", function()
    local t = parse [[table("crm.orders", { comment = "all", was = "sales" }, function(t)
      t.id = int
    end)]].tables[1]
    assert.are.equal("crm", t.schema)
    assert.are.equal("orders", t.name)
    assert.are.equal("all", t.comment)
    assert.are.equal("sales", t.was)
    t = parse [[table("a.b", { schema = "s" }, function(t) t.id = int end)]].tables[1]
    assert.are.equal("s", t.schema)
    assert.are.equal("a.b", t.name)
    t = parse [[table({ name = "a.b" }, function(t) t.id = int end)]].tables[1]
    assert.is_nil(t.schema)
    assert.are.equal("a.b", t.name)
  end)

  it("has options of a database", function()
    local t = body [[
      t.id = int
      t:comment "rows"
      t:on "sqlite" { strict = true }
      t:on("postgres", { with = { fillfactor = 90 }, unlogged = true })
      t:on "mysql" { engine = "InnoDB", charset = "utf8mb4" }]]
    assert.are.equal("rows", t.comment)
    assert.are.same({
      sqlite = { strict = true },
      postgres = { with = { fillfactor = 90 }, unlogged = true },
      mysql = { engine = "InnoDB", charset = "utf8mb4" },
    }, t.options)
  end)

  it("is refused when something is wrong with it", function()
    scripts_refused {
      { 'table("a")',
        'schema.lua:1: table "a": table("name", function(t) … end) is expected, not nothing' },
      { 'table(5, function() end)', 'schema.lua:1: table: a name is expected, not 5' },
      { 'table("", function() end)', 'schema.lua:1: table: a name is expected, not ""' },
      { 'table("a.b.c", function() end)', 'schema.lua:1: table: a name with dots is written '
        .. '{ schema = "…", name = "…" }, not "a.b.c"' },
      { 'table("a", { commnt = "x" }, function() end)', 'schema.lua:1: table a: unknown option '
        .. '"commnt": allowed are comment, schema, was (is "comment" meant?)' },
      { 'table("a", 5, function() end)',
        'schema.lua:1: table a: a table of options is expected, not 5' },
      { 'table("a", { comment = 5 }, function() end)',
        'schema.lua:1: table a: comment must be a string, not 5' },
      { 'table("a", function(t) t.x = int end)\ntable("a", function(t) t.x = int end)',
        'schema.lua:2: table a is defined twice (first at schema.lua:1)' },
      { '\ntable("a", function() end)', 'schema.lua:2: table a has no columns' },
      { 'local k\ntable("a", function(t) k = t t.x = int end)\nk.y = int',
        'schema.lua:3: table a: its definition has ended' },
      { 'local k\ntable("a", function(t) k = t t.x = int end)\nk:unique { "x" }',
        'schema.lua:3: table a: its definition has ended' },
    }
    refused {
      { 't.x = int\nt.x = text',
        'schema.lua:3: column a.x is defined twice (first at schema.lua:2)' },
      { 't[1] = int', 'schema.lua:2: table a: the name of a column is a text, not 1' },
      { 't[""] = int', 'schema.lua:2: table a: the name of a column is a text, not ""' },
      { 't:indx {}', 'schema.lua:2: table a: there is no method "indx" (is "index" meant?): there '
        .. 'are check, comment, foreign_key, index, on, primary_key, unique' },
      { 't.unique { "x" }', 'schema.lua:2: unique is called with a colon: t:unique(…)' },
      { 't:comment()', 'schema.lua:2: table a: comment: a text is expected, not nothing' },
      { 't:comment "a"\nt:comment "b"', 'schema.lua:3: table a: the comment is given twice' },
      { 't:on "oracle" {}', 'schema.lua:2: table a: on: there is no database "oracle": allowed are '
        .. 'mysql, postgres, sqlite' },
      { 't:on "sqlite" { strct = true }', 'schema.lua:2: table a: on sqlite: unknown option '
        .. '"strct": allowed are strict, without_rowid (is "strict" meant?)' },
      { 't.x = int\nt:on "sqlite"',
        'schema.lua:3: table a: on sqlite: a table of options must follow' },
      { 't:on "sqlite" { strict = true }\nt:on "sqlite" { strict = false }',
        'schema.lua:3: table a: on sqlite: strict is given twice' },
      { 't:on "postgres" { with = { a = {} } }',
        'schema.lua:2: table a: on postgres: with: names and plain values are expected' },
      { 't:on "mysql" { engine = {} }',
        'schema.lua:2: table a: on mysql: engine: a plain value is expected, not a table' },
    }
  end)
end)

describe("a type", function()
  it("is one of the portable ones", function()
    local t = body [[
      t.a = bigint  t.b = int  t.c = smallint  t.d = boolean  t.e = text  t.f = varchar(32)
      t.g = char(2)  t.h = numeric  t.i = numeric(5)  t.j = numeric(12, 2)  t.k = float8
      t.l = float4  t.m = date  t.n = time  t.o = timestamp  t.p = timestamptz  t.q = interval
      t.r = uuid  t.s = json  t.t = jsonb  t.u = bytes]]
    assert.are.equal(21, #t.columns)
    assert.are.same({ name = "bigint" }, t.columns[1].type)
    assert.are.same({ name = "varchar", args = { 32 } }, t.columns[6].type)
    assert.are.same({ name = "numeric" }, t.columns[8].type)
    assert.are.same({ name = "numeric", args = { 12, 2 } }, t.columns[10].type)
  end)

  it("is an array, an enum or the database's own", function()
    local tree = parse [[
enum "mood" { "sad", "glad" }
enum "crm.state" { "on", comment = "c" }
table("a", function(t)
  t.a = array(text)
  t.b = array(array(varchar(3))) { null = true }
  t.c = raw "tsvector" { null = true }
  t.d = mood { default = "sad" }
  t.e = array(mood)
  t.f = state
  t.g = enum_type "crm.state"
  t.h = array "numeric(3,1)[]"
end)]]
    local types = {}
    for i, c in ipairs(tree.tables[1].columns) do types[i] = c.type end
    local mood = { enum = "mood", values = { "sad", "glad" } }
    local state = { enum = "state", schema = "crm", values = { "on" } }
    assert.are.same({
      { name = "text", array = 1 }, { name = "varchar", args = { 3 }, array = 2 },
      { raw = "tsvector" }, mood, { enum = "mood", values = { "sad", "glad" }, array = 1 },
      state, state, { name = "numeric", args = { 3, 1 }, array = 2 },
    }, types)
    assert.are.same({ "crm" }, tree.schemas)
    assert.are.equal("c", tree.enums[2].comment)
  end)

  it("is refused when there is none of the name", function()
    refused {
      { 't.x = bigimt {}', 'schema.lua:2: unknown type or function "bigimt" (is "bigint" meant?)' },
      { 't.x = integer {}', 'schema.lua:2: unknown type or function "integer" (is "int" meant?)' },
      { 't.x = serial {}',
        'schema.lua:2: unknown type or function "serial" (int { identity = true } is meant)' },
      { 't.x = zzzzzz {}', 'schema.lua:2: unknown type or function "zzzzzz"' },
      { 't.x = "text"',
        'schema.lua:2: column a.x: a type such as bigint { … } is expected, not a string' },
      { 't.x = 5', 'schema.lua:2: column a.x: a type such as bigint { … } is expected, not 5' },
      { 't.x = sql "int"',
        'schema.lua:2: column a.x: a type such as bigint { … } is expected, not sql' },
      { 't.x = array', 'schema.lua:2: column a.x: a type such as bigint { … } is expected, '
        .. 'not a function' },
      { 't.x = varchar', 'schema.lua:2: column a.x: varchar is written varchar(n)' },
      { 't.x = varchar { null = true }',
        'schema.lua:2: column a.x: varchar is written varchar(n)' },
      { 't.x = varchar(0)', 'schema.lua:2: varchar(n): a whole number is expected, not 0' },
      { 't.x = varchar(2.5)', 'schema.lua:2: varchar(n): a whole number is expected, not 2.5' },
      { 't.x = numeric(5, {})',
        'schema.lua:2: numeric(p, s): a whole number is expected, not a table' },
      { 't.x = varchar(1, 2)', 'schema.lua:2: varchar is written varchar(n)' },
      { 't.x = text(5)', 'schema.lua:2: text takes no length' },
      { 't.x = numeric(2, 5)',
        'schema.lua:2: numeric(2, 5): the scale is larger than the precision' },
      { 't.x = text "x"', 'schema.lua:2: text: a table of options is expected, not "x"' },
      { 't.x = varchar(3)(4)',
        'schema.lua:2: varchar(3): a table of options is expected, not 4' },
      { 't.x = raw {}', 'schema.lua:2: raw "…": the name of a type is expected, not a table' },
      { 't.x = array(5)',
        'schema.lua:2: array(…): a type such as bigint is expected, not 5' },
      { 't.x = array "bigimt"', 'schema.lua:2: array(…): unknown type "bigimt" (is "bigint" '
        .. "meant?)" },
      { 't.x = array "zzzzzz"', 'schema.lua:2: array(…): unknown type "zzzzzz" (the database\'s '
        .. 'own types are written raw "…", enums enum_type("…", {…}))' },
      { 't.x = enum_type "moood"', 'schema.lua:2: there is no enum "moood": define it before, or '
        .. 'give its values: enum_type("moood", {…})' },
    }
  end)
end)

describe("an enum", function()
  it("has values once each", function()
    scripts_refused {
      { 'enum "x" { "a", "a" }', 'schema.lua:1: enum x: the value "a" is there twice' },
      { 'enum({}, 5)', 'schema.lua:1: enum nothing: a list of values is expected, not 5' },
      { 'enum "x" {}', 'schema.lua:1: enum x: there are no values' },
      { 'enum "x" { 1 }', 'schema.lua:1: enum x: a value is a text of 1 to 63 bytes, not 1' },
      { 'enum "x" "a"', 'schema.lua:1: enum x: a list of values is expected, not "a"' },
      { '\nenum "x"', 'schema.lua:2: enum x: a list of values must follow' },
      { 'enum "x" { "a", commen = "c" }', 'schema.lua:1: enum x: unknown option "commen": allowed '
        .. 'are comment, schema (is "comment" meant?)' },
      { 'enum "x" { "a" }\nenum "x" { "b" }',
        'schema.lua:2: enum x is defined twice (first at schema.lua:1)' },
      { 'table("x", function(t) t.a = int end)\nenum "x" { "b" }',
        'schema.lua:2: enum x has the name of a table (first at schema.lua:1)' },
    }
  end)

  it("of a name that two schemas have is named with its schema", function()
    local two = 'enum "a.mood" { "x" } enum "b.mood" { "y" }\n'
    assert.are.equal('schema.lua:2: there are several enums named mood: write enum_type '
      .. '"schema.mood"', message(two .. 'table("t", function(t) t.m = mood end)'))
    local t = parse(two .. 'table("t", function(t) t.m = enum_type "b.mood" end)').tables[1]
    assert.are.same({ enum = "mood", schema = "b", values = { "y" } }, t.columns[1].type)
  end)
end)

describe("a column", function()
  local function column(text)
    return body("t.x = " .. text).columns[1]
  end

  it("has options", function()
    local c = column [[bigint { identity = { start = 10, increment = 2, always = true }, was = "y",
      comment = "c", type_on = { sqlite = text, mysql = raw "serial" } }]]
    assert.are.same({ always = true, start = 10, increment = 2 }, c.identity)
    assert.are.equal("y", c.was)
    assert.are.equal("c", c.comment)
    assert.are.same({ sqlite = { name = "text" }, mysql = { raw = "serial" } }, c.type_on)
    assert.are.same({ always = false }, column "int { identity = true }".identity)
    assert.are.same({ always = true }, column 'int { identity = "always" }'.identity)
    assert.is_nil(column "int { identity = false }".identity)
    assert.are.equal("C", column 'text { collation = "C" }'.collation)
    assert.are.equal("text", column 'numeric(30) { numeric_as = "text" }'.numeric_as)
    assert.are.same({ sql = "a + 1", stored = true },
      column 'int { generated = sql "a + 1", stored = true }'.generated)
    assert.are.same({ sql = "a + 1", stored = false },
      column 'int { generated = sql "a + 1" }'.generated)
  end)

  it("has a default of its type", function()
    local function default(text) return column(text).default end
    assert.are.same({ value = -5 }, default "int { default = -5 }")
    assert.are.same({ value = "0.10" }, default 'numeric(5, 2) { default = "0.10" }')
    assert.are.same({ value = 1.5 }, default "float8 { default = 1.5 }")
    assert.are.same({ value = "now()" }, default 'text { default = "now()" }')
    assert.are.same({ value = "äöü" }, default 'varchar(3) { default = "äöü" }')
    assert.are.same({ value = "{}" }, default 'array(int) { default = "{}" }')
    assert.are.same({ value = 5 }, default 'raw "money" { default = 5 }')
    assert.are.same({ sql = "now()" }, default 'timestamptz { default = sql "now()" }')
    assert.are.same({ sql = "uuid", word = true }, default "uuid { default = sql.uuid }")
  end)

  it("has keys, indexes and checks", function()
    local t = body [[
      t.id = bigint { pk = true }
      t.email = text { unique = true, index = "by_email", check = "email <> ''" }
      t.up = bigint { ref = "a.id", on_delete = "set null", on_update = "no action", null = true,
        deferrable = true, deferred = true, match_full = true }
      t.code = int { unique = "code_key", check = sql "code > 0", ref = { table = "a",
        column = "id", name = "to_a" } }]]
    assert.are.same({ "id" }, t.primary_key.columns)
    assert.are.equal("a_pkey", t.primary_key.name)
    assert.are.equal("a_email_key", t.uniques[1].name)
    assert.are.equal("code_key", t.uniques[2].name)
    assert.are.equal("by_email", t.indexes[1].name)
    assert.are.equal("a_email_check", t.checks[1].name)
    assert.are.equal("email", t.checks[1].column)
    assert.are.equal("code > 0", t.checks[2].sql)
    local f = t.foreign_keys[1]
    assert.are.equal("a_up_fkey", f.name)
    assert.are.same({ table = "a", columns = { "id" } }, f.ref)
    assert.are.equal("set null", f.on_delete)
    assert.is_nil(f.on_update)
    assert.is_true(f.deferrable and f.deferred and f.match_full)
    assert.are.equal("to_a", t.foreign_keys[2].name)
  end)

  it("with pk on several is one key", function()
    local t = body "t.b = int { pk = true }\nt.a = int { pk = 'my_key' }"
    assert.are.same({ "b", "a" }, t.primary_key.columns)
    assert.are.equal("my_key", t.primary_key.name)
  end)

  it("refers to a table in several ways", function()
    for _, ref in ipairs {
      '"p"', '"p.id"', '"p(id)"', '{ table = "p" }', '{ table = "p", columns = { "id" } }',
    } do
      local tree = parse(('table("p", function(t) t.id = int { pk = true } end)\n'
        .. 'table("c", function(t) t.x = int { ref = %s } end)'):format(ref))
      assert.are.same({ table = "p", columns = { "id" } }, tree.tables[2].foreign_keys[1].ref)
    end
    for _, ref in ipairs { '"s.p.id"', '"s.p(id)"', '{ schema = "s", table = "p" }' } do
      local tree = parse(('table("s.p", function(t) t.id = int { pk = true } end)\n'
        .. 'table("c", function(t) t.x = int { ref = %s } end)'):format(ref))
      assert.are.same({ schema = "s", table = "p", columns = { "id" } },
        tree.tables[2].foreign_keys[1].ref)
    end
  end)

  it("may be written once and used in several tables", function()
    local tree = parse [[
local id = bigint { pk = true }
table("a", function(t) t.id = id end)
table("b", function(t) t.id = id end)]]
    assert.are.same(tree.tables[1].columns[1].type, tree.tables[2].columns[1].type)
    assert.are_not.equal(tree.tables[1].columns[1], tree.tables[2].columns[1])
    assert.are.same({ file = "schema.lua", line = 3 }, tree.tables[2].columns[1].at)
  end)

  it("is refused with a wrong option", function()
    local function x(text) return "schema.lua:2: column a.x: " .. text end
    refused {
      { "t.x = text { nul = true }", x 'unknown option "nul": allowed are check, collation, '
        .. "comment, default, deferrable, deferred, generated, identity, index, match_full, null, "
        .. "numeric_as, on_delete, on_update, pk, ref, stored, type_on, unique, valid, was "
        .. '(is "null" meant?)' },
      { "t.x = text { null = 1 }", x "null must be a boolean, not 1" },
      { "t.x = text { was = '' }", x "was is empty" },
      { "t.x = text { comment = 5 }", x "comment must be a string, not 5" },
      { "t.x = text { pk = 5 }", x "pk is true or a name, not 5" },
      { "t.x = text { unique = {} }", x "unique is true or a name, not a table" },
      { "t.x = text { index = '' }", x 'index is true or a name, not ""' },
      { "t.x = text { check = 5 }", x "check: an SQL text is expected, not 5" },
      { "t.x = int { pk = true, null = true }", x "a column of the primary key cannot be null" },
      { "t.x = int { identity = true, null = true }", x "an identity column cannot be null" },
      { "t.x = int { identity = true, default = 1 }",
        x "only one of default, identity and generated can be given" },
      { "t.x = text { identity = true }", x "identity is for bigint, int and smallint, not text" },
      { "t.x = int { identity = 5 }", x 'identity is true, "always" or { start = … }, not 5' },
      { "t.x = int { identity = { strt = 5 } }", x 'identity: unknown option "strt": allowed are '
        .. 'always, cache, cycle, increment, max, min, start (is "start" meant?)' },
      { "t.x = int { identity = { start = 1.5 } }", x "identity: start must be a whole number" },
      { "t.x = int { identity = { cycle = 1 } }", x "identity: cycle must be a boolean, not 1" },
      { "t.x = int { generated = 'a + 1' }",
        x 'generated = sql "…" is expected, not "a + 1"' },
      { "t.x = int { stored = true }", x "stored is for generated columns" },
      { "t.x = int { generated = sql 'a', stored = 1 }", x "stored must be a boolean, not 1" },
      { "t.x = int { numeric_as = 'text' }", x "numeric_as is for numeric" },
      { "t.x = numeric { numeric_as = 'string' }",
        x 'numeric_as is "text" or "number", not "string"' },
      { "t.x = int { type_on = { oracle = text } }", x 'type_on: unknown option "oracle": allowed '
        .. "are mysql, postgres, sqlite" },
      { "t.x = int { type_on = text }", x "type_on: { sqlite = text } is expected, not a table" },
      { "t.x = int { on_delete = 'cascade' }", x "on_delete is for a column with ref" },
      { "t.x = int { deferred = true }", x "deferred is for a column with ref" },
      { "t.x = int { ref = 'a.x', on_delete = 'drop' }", x 'on_delete is one of cascade, no '
        .. 'action, restrict, set default, set null, not "drop"' },
      { "t.x = int { ref = 5 }", x 'ref: "table.column" or a table is expected, not 5' },
      { "t.x = int { ref = {} }", x "ref: table is missing" },
      { "t.x = int { ref = 'a..x' }", x 'ref = "a..x" is not understood' },
      { "t.x = int { ref = 'a.b.c.d' }",
        x 'ref = "a.b.c.d": write "table.column" or "schema.table(column)"' },
    }
  end)

  it("is refused with a default of another type", function()
    local function x(text) return "schema.lua:2: column a.x: " .. text end
    refused {
      { "t.x = int { default = 'now()' }", x "the default of int is a whole number of its range, "
        .. 'not "now()" (an expression is written sql "now()")' },
      { "t.x = int { default = 1.5 }",
        x "the default of int is a whole number of its range, not 1.5" },
      { "t.x = smallint { default = 40000 }",
        x "the default of smallint is a whole number of its range, not 40000" },
      { "t.x = bigint { default = 2^60 }", x("the default of bigint is a whole number of its "
        .. "range, not " .. tostring(2 ^ 60) .. " (so large a number is not exact: write it as "
        .. 'sql "…")') },
      { "t.x = numeric { default = 'x' }",
        x 'the default of numeric is a number or a decimal text, not "x"' },
      { "t.x = float8 { default = '1' }", x 'the default of float8 is a number, not "1"' },
      { "t.x = boolean { default = 1 }", x "the default of boolean is true or false, not 1" },
      { "t.x = text { default = 1 }", x "the default of text is a text, not 1" },
      { "t.x = varchar(2) { default = 'abc' }", x 'the default "abc" is longer than 2 characters' },
      { "t.x = array(int) { default = {} }", x "the default of int[] is a text, not a table" },
      { "t.x = raw 'm' { default = {} }",
        x "the default of m is a text, a number or a boolean, not a table" },
      { "t.x = timestamptz { default = sql.nwo }", "schema.lua:2: sql.nwo: there are sql.now and "
        .. "sql.uuid" },
      { "t.x = text { default = sql(5) }", 'schema.lua:2: sql "…": a text is expected, not 5' },
      { "sql.now = 5", "schema.lua:2: sql cannot be changed" },
    }
    assert.are.equal('schema.lua:2: column a.x: the default "blue" is not a value of mood: there '
      .. 'are sad, glad', message('enum "mood" { "sad", "glad" }\n'
      .. 'table("a", function(t) t.x = mood { default = "blue" } end)'))
  end)
end)

describe("a key, a check, an index", function()
  it("has options", function()
    local t = body [[
      t.a = int  t.b = int  t.c = text { null = true }  t.d = int
      t:primary_key { "a", "b", name = "pk", deferrable = true }
      t:unique { "b", "a", nulls_not_distinct = true, include = { "c" } }
      t:unique "d"
      t:foreign_key { "b", "a", ref = "a(a, b)", on_update = "cascade", match_full = true,
        name = "self", valid = false }
      t:foreign_key { "d", ref = { table = "a", column = "d" } }
      t:check("positive", "a > 0", { no_inherit = true, valid = false })
      t:check "b > 0"
      t:check { sql "c <> ''", name = "full" }
      t:index { "a", "b desc", "c nulls first", "d ASC NULLS LAST", unique = true, where = "a > 1",
        include = { "d" }, with = { fillfactor = 70 }, name = "big", nulls_not_distinct = true }
      t:index { sql "lower(c)", method = "btree" }
      t:index { { column = "c", opclass = "text_pattern_ops", collation = "C", desc = true,
        nulls = "last", length = 10 }, { sql "a + b", desc = true }, method = "gist" }
      t:index "a"
      t:index(sql "upper(c)")]]
    assert.are.equal("pk", t.primary_key.name)
    assert.is_true(t.primary_key.deferrable)
    assert.are.same({ "c" }, t.uniques[1].include)
    assert.is_true(t.uniques[1].nulls_not_distinct)
    local f = t.foreign_keys[1]
    assert.are.same({ "b", "a" }, f.columns)
    assert.are.same({ table = "a", columns = { "a", "b" } }, f.ref)
    assert.is_false(f.valid)
    assert.are.equal("cascade", f.on_update)
    local x = t.checks[1]
    assert.is_true(x.no_inherit)
    assert.is_false(x.valid)
    assert.are.equal("a_b_check", t.checks[2].name)
    assert.are.equal("full", t.checks[3].name)
    local i = t.indexes[1]
    assert.are.same({
      { column = "a" }, { column = "b", desc = true }, { column = "c", nulls = "first" },
      { column = "d", nulls = "last" },
    }, i.keys)
    assert.is_true(i.unique and i.nulls_not_distinct)
    assert.are.equal("a > 1", i.where)
    assert.are.same({ fillfactor = 70 }, i.with)
    assert.is_nil(t.indexes[2].method)
    assert.are.equal("a_lower_idx", t.indexes[2].name)
    assert.are.equal("gist", t.indexes[3].method)
    assert.are.same({ {
      column = "c", opclass = "text_pattern_ops", collation = "C", desc = true, nulls = "last",
      length = 10,
    }, { sql = "a + b", desc = true } }, t.indexes[3].keys)
    assert.are.same({ { sql = "upper(c)" } }, t.indexes[5].keys)
  end)

  it("keeps names of columns with blanks", function()
    local t = body "t['a b'] = int\nt['desc'] = int\nt:index { 'a b desc', 'desc' }"
    assert.are.same({ { column = "a b", desc = true }, { column = "desc" } }, t.indexes[1].keys)
  end)

  it("is refused when something is wrong with it", function()
    local function a(text) return "schema.lua:3: table a: " .. text end
    local list = {
      { "t:primary_key {}", a "primary_key: no columns are named" },
      { "t:primary_key { 'x', nam = 'k' }", a 'primary_key: unknown option "nam": allowed are '
        .. 'deferrable, deferred, include, name (is "name" meant?)' },
      { "t:unique(5)", a 'unique: { "a", "b" } is expected, not 5' },
      { "t:unique { 5 }", a "unique: a name is expected, not 5" },
      { "t:unique { 'x', deferrable = 1 }", a "unique: deferrable must be a boolean, not 1" },
      { "t:unique { 'x', include = 5 }",
        a "unique: include: a name or a list of names is expected, not 5" },
      { "t:foreign_key { 'x' }", a "foreign_key: ref is missing" },
      { "t:foreign_key { 'x', 'y', ref = 'a.x' }",
        a 'foreign_key: ref = "a.x": write "table(x, y)" or "schema.table(x, y)"' },
      { "t:foreign_key { 'x', ref = 'a.x', ondelete = 'cascade' }", a 'foreign_key: unknown option '
        .. '"ondelete": allowed are deferrable, deferred, match_full, name, on_delete, '
        .. 'on_delete_columns, on_update, ref, valid (is "on_delete" meant?)' },
      { "t:check()", a "check: the expression is missing" },
      { "t:check('a', 5)", a "check: an SQL text is expected, not 5" },
      { "t:check(5, 'x')", a "check: a name is expected, not 5" },
      { "t:check('a', 'x', { inherit = 1 })", a 'check: unknown option "inherit": allowed are '
        .. 'column, name, no_inherit, sql, valid' },
      { "t:index {}", a "index: no columns are named" },
      { "t:index(5)", a 'index: { "a", "b desc" } is expected, not 5' },
      { "t:index { 5 }", a 'index: a column, sql "…" or a table is expected, not 5' },
      { "t:index { { desc = true } }", a "index: either column or sql is expected" },
      { "t:index { { column = 'x', nulls = 'middle' } }",
        a 'index: nulls is "first" or "last", not "middle"' },
      { "t:index { 'x', uniqe = true }", a 'index: unknown option "uniqe": allowed are comment, '
        .. 'include, method, name, nulls_not_distinct, unique, where, with (is "unique" meant?)' },
      { "t:index { 'x', where = {} }", a "index: an SQL text is expected, not a table" },
      { "t:index { 'x', name = '' }", a "index: name is empty" },
    }
    for _, case in ipairs(list) do case[1] = "t.x = int\n" .. case[1] end
    refused(list)
    refused {
      { "t.x = int { pk = true }\nt:primary_key { 'x' }",
        "schema.lua:3: table a: the primary key is given twice" },
      { "t.x = int\nt:primary_key { 'x' }\nt.y = int { pk = true }",
        "schema.lua:4: table a: the primary key is given twice" },
    }
  end)
end)

describe("views and other objects", function()
  it("are kept in order", function()
    local tree = parse [[
table("orders", function(t) t.id = int end)
view("a", "  SELECT 1 ;\n")
view("s.b", { after = "a", materialized = true, comment = "c", was = "old" }, [=[SELECT 2]=])
schema_object { kind = "procedure", name = "p()", sql = "CREATE PROCEDURE p() …" }
extension "citext"
extension("x-y", { schema = "ext", version = "1.6" })
domain("posint", { base = "integer", check = "value > 0", default = 1, null = false })
domain("d2", { base = numeric(3, 1), collation = "C", default = "it's" })
sequence("s", { start = 5, increment = 2, min = 1, max = 99, cache = 3, cycle = true,
  owned_by = "orders.id", type = "integer" })
trigger("tr", { on = "orders", after = { "f" } }, "CREATE TRIGGER …")
func("f(integer, text)", "CREATE FUNCTION …")
func("g()", { after = { "f" } }, "CREATE FUNCTION …")]]
    assert.are.equal("SELECT 1", tree.views[1].sql)
    local v = tree.views[2]
    assert.are.same({ "s", "b", true, "c", "old", { "a" } },
      { v.schema, v.name, v.materialized, v.comment, v.was, v.after })
    local sqls = {}
    for i, o in ipairs(tree.objects) do sqls[i] = o.sql end
    assert.are.same({
      "CREATE PROCEDURE p() …", 'CREATE EXTENSION "citext"',
      'CREATE EXTENSION "x-y" SCHEMA "ext"',
      'CREATE DOMAIN "posint" AS integer DEFAULT 1 NOT NULL CHECK (value > 0)',
      [[CREATE DOMAIN "d2" AS numeric(3,1) COLLATE "C" DEFAULT 'it''s']],
      'CREATE SEQUENCE "s" AS integer INCREMENT BY 2 MINVALUE 1 MAXVALUE 99 START WITH 5 CACHE 3 '
      .. "CYCLE",
      "CREATE TRIGGER …", "CREATE FUNCTION …", "CREATE FUNCTION …",
    }, sqls)
    assert.are.equal("1.6", tree.objects[3].version)
    assert.are.equal("orders.id", tree.objects[6].owned_by)
    assert.are.equal("orders", tree.objects[7].on)
    assert.are.same({ file = "schema.lua", line = 12 }, tree.objects[8].at)
    assert.are.same({ "s", "ext" }, tree.schemas)
  end)

  it("are refused when something is wrong with them", function()
    scripts_refused {
      { 'view("a")', "schema.lua:1: view a: the query is missing" },
      { "view(nil, nil, 5)", "schema.lua:1: view: a name is expected, not nothing" },
      { 'view({ name = "a" }, 5, 5)',
        "schema.lua:1: view a: a table of options is expected, not 5" },
      { 'view("a", { afer = "b" }, "SELECT 1")', 'schema.lua:1: view a: unknown option "afer": '
        .. 'allowed are after, comment, materialized, schema, sql, was, with (is "after" meant?)' },
      { 'view("a", {}, 5)', "schema.lua:1: view a: an SQL text is expected, not 5" },
      { 'schema_object { kind = "function" }', "schema.lua:1: schema_object: name is missing" },
      { 'schema_object { name = "f" }', "schema.lua:1: schema_object: kind is missing" },
      { 'schema_object { kind = "function", name = "f" }',
        "schema.lua:1: function f: sql is missing" },
      { 'schema_object "f"', 'schema.lua:1: schema_object: a table is expected, not "f"' },
      { "extension()", "schema.lua:1: extension: a name is expected, not nothing" },
      { 'domain("d", {})', "schema.lua:1: domain d: base is missing" },
      { 'domain("d", { base = "int", chck = "x" })', 'schema.lua:1: domain d: unknown option '
        .. '"chck": allowed are after, base, check, collation, comment, default, null, schema '
        .. '(is "check" meant?)' },
      { 'sequence("s", { start = 1.5 })',
        "schema.lua:1: sequence s: start must be a whole number" },
      { 'trigger("t", "CREATE …")', "schema.lua:1: trigger t: on is missing" },
      { 'func("f()")', "schema.lua:1: function f(): sql is missing" },
      { 'func("f()", { on = 5 }, "x")', "schema.lua:1: function f(): on must be a string, not 5" },
    }
  end)
end)

describe("a script", function()
  it("has what is left of Lua", function()
    local t = body [[
      for i, name in ipairs { "a", "b" } do t[name .. i] = int end
      t[("x"):rep(3)] = int
      t[tostring(math.floor(2.5)) .. "y"] = int
      assert(select("#", pcall(error)) == 2)]]
    assert.are.equal("xxx", t.columns[3].name)
    assert.are.equal("2y", t.columns[4].name)
  end)

  it("says what is not there", function()
    scripts_refused {
      { "os.exit()", "schema.lua:1: there is no os in here: the script runs in a sandbox" },
      { "io.open('x')", "schema.lua:1: there is no io in here: the script runs in a sandbox" },
      { "load('x')", "schema.lua:1: there is no load in here: the script runs in a sandbox" },
      { "print(1)", "schema.lua:1: there is no print in here: the script runs in a sandbox" },
      { "\ntabel('x', function() end)",
        'schema.lua:2: unknown type or function "tabel" (is "table" meant?)' },
      { "text = 5", "schema.lua:1: text is a word of the language and cannot be set" },
    }
  end)

  it("has globals of its own", function()
    assert.are.equal("n", parse [[
function mixin(t) t.n = int end
table("a", mixin)]].tables[1].columns[1].name)
  end)

  it("has Lua's own messages with their lines", function()
    assert.is_truthy(message "local x = 1\nx = = 2":find "^schema.lua:2: ")
    assert.is_truthy(message "local x\nx.y = 2":find "^schema.lua:2: ")
    assert.are.equal("schema.lua:2: no luck", message "\nerror 'no luck'")
  end)

  it("requires files of its folder", function()
    local dir = folder {
      ["schema.lua"] = [[
local mixins = require "mixins"
assert(require "mixins" == mixins)
table("a", function(t)
  mixins.id(t)
  t.m = mood
end)]],
      ["mixins.lua"] = [[
enum "mood" { "sad" }
return { id = function(t)
  t.id = bigint { pk = true }
end }]],
      ["wrong.lua"] = "require 'nothing'",
      ["ring.lua"] = "require 'ring'",
    }
    local t = schema.load(dir .. "/schema.lua").tree.tables[1]
    assert.are.equal("id", t.columns[1].name)
    assert.is_truthy(t.columns[1].at.file:find "mixins.lua$")
    assert.are.equal(3, t.columns[1].at.line)
    assert.are.equal("mood", t.columns[2].type.enum)
    assert.is_truthy(fails("usage", schema.load, dir .. "/wrong.lua").message
      :find 'wrong.lua:1: require: there is no module "nothing"')
    assert.is_truthy(fails("usage", schema.load, dir .. "/ring.lua").message
      :find 'ring.lua:1: require: module "ring" requires itself')
    remove(dir)
  end)
end)

describe("perigee.schema", function()
  it("gives definitions in order and by name", function()
    local s = schema.parse [[
enum "mood" { "sad" }
table("b", function(t) t.m = mood t.n = array(mood) end)
table("crm.a", function(t) t.x = int end)]]
    assert.is_true(schema.is(s))
    assert.is_false(schema.is {})
    assert.are.equal("schema of 2 tables", tostring(s))
    local names = {}
    for d in s:each() do
      assert.is_true(schema.is_definition(d))
      names[#names + 1] = tostring(d)
    end
    assert.are.same({ "definition of b", "definition of crm.a" }, names)
    local d = s.tables["crm.a"]
    assert.are.same({ "crm", "a", "x" }, { d.schema, d.name, d.columns[1].name })
    assert.are.equal(s.tree.tables[2], d.tree)
    assert.are.equal(s.tree.enums[1], s.tables.b.enums[1])
    assert.are.equal(1, #s.tables.b.enums)
    assert.is_false(schema.is_definition(s))
    fails("usage", function() d.name = "x" end)
    assert.are.equal('there is no definition of a table "bb" (is "b" meant?)',
      fails("usage", function() return s.tables.bb end).message)
  end)

  it("says what is wrong with its arguments", function()
    assert.are.equal("schema.parse(text): a string is expected, not nil",
      fails("usage", schema.parse).message)
    assert.are.equal("schema.load(path): a string is expected, not table",
      fails("usage", schema.load, {}).message)
    assert.are.equal('schema.parse: unknown option "nme": allowed are dialect, name, root',
      fails("usage", schema.parse, "", { nme = "x" }).message)
    assert.are.equal('unknown dialect "oracle": there are mysql, postgres, sqlite',
      fails("usage", schema.parse, "", { dialect = "oracle" }).message)
    assert.is_truthy(fails("usage", schema.load, "/nowhere/schema.lua").message
      :find "^/nowhere/schema.lua cannot be read: ")
    assert.is_truthy(fails("usage", schema.load, "/tmp").message:find "^/tmp cannot be read: ")
  end)

  it("reads a file that begins with a byte order mark", function()
    local dir = folder { ["s.lua"] = "\239\187\191table('a', function(t) t.x = int end)\r\n" }
    assert.are.equal("a", schema.load(dir .. "/s.lua").tree.tables[1].name)
    remove(dir)
  end)

  it("gives the same tree in every process", function()
    local script = [[
      local text = require "perigee.schema.ops".text(require "perigee.schema".parse(
        io.open(arg[1]):read "*a", { name = "s.lua" }).tree)
      io.write(text)]]
    local dir = folder {
      ["run.lua"] = script,
      ["s.lua"] = [[
for k, v in pairs { b = int, a = text, z = date, c = uuid, k = json, [1] = int } do
  table("t" .. k, { comment = "c", was = "w" .. k }, function(t)
    t[k .. "x"] = v
    t:index { k .. "x", where = "x", include = { k .. "x" }, with = { a = 1, b = 2, c = 3 } }
    t:on "postgres" { with = { q = 1, w = 2, e = 3 }, unlogged = true }
  end)
end]],
    }
    local function run()
      local out, ok = helper.sh(("LUA_PATH='lua/?.lua;lua/?/init.lua;;' LUA_CPATH='%s/lua/?.so;;' "
        .. "%s %s/run.lua %s/s.lua"):format(helper.build, helper.interpreter(), dir, dir))
      assert.is_true(ok, out)
      return out
    end
    local first = run()
    assert.is_truthy(first:find("ta", 1, true))
    for _ = 2, helper.soak(100) do assert.are.equal(first, run()) end
    remove(dir)
  end)

  it("gives trees of plain data only", function()
    local function check(v)
      if type(v) ~= "table" then return end
      assert.is_nil(getmetatable(v))
      for _, x in pairs(v) do check(x) end
    end
    check(parse "table('a', function(t) t.x = timestamp { default = sql.now } end)")
  end)
end)
