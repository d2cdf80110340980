-- Migration files: what each method of the recorder gives, every message, checksums, the
-- functions of m:run, writing.
local helper = require "spec.support.helper"
local expect = require "spec.support.expect"
local files = require "perigee.migrate.files"
local ops = require "perigee.schema.ops"

local fails = expect.fails

-- A migration whose up has the given body.
local function file(body)
  return ('return migration {\n  id = "a1", after = "b2", message = "m", up = function(m)\n%s\n'
    .. '  end,\n}\n'):format(body)
end

local function record(body)
  return files.parse(file(body), "migrations/m.lua")
end

-- The canonical text of each operation that a body records.
local function texts(body)
  local list = {}
  for i, op in ipairs(record(body).up) do list[i] = ops.canonical(op) end
  return list
end

-- Each: a body of up (line 3), and what its operations are.
local function records(list)
  for _, case in ipairs(list) do
    assert.are.same({ (table.unpack or unpack)(case, 2) }, texts(case[1]))
  end
end

local function message(text)
  return fails("usage", files.parse, text, "m.lua").message
end

local function refused(list)
  for _, case in ipairs(list) do
    local ok, err = pcall(message, file(case[1]))
    assert.are.equal("m.lua:3: " .. case[2], ok and err or case[1])
  end
end

local folder, remove = helper.folder, helper.remove

describe("the recorder", function()
  it("records schemas and enums", function()
    records {
      { 'm:create_schema "crm" m:drop_schema "crm"', 'create_schema{"name"="crm"}',
        'drop_schema{"name"="crm"}' },
      { 'm:create_enum("crm.mood", { "sad", "glad" })',
        'create_enum{"name"="mood","schema"="crm","values"={"sad","glad"}}' },
      { 'm:drop_enum "mood" m:drop_enum("mood", { was = { "sad" } })', 'drop_enum{"name"="mood"}',
        'drop_enum{"name"="mood","was"={"sad"}}' },
      { 'm:add_enum_value("mood", "mad", { before = "sad", was = { "sad" } })',
        'add_enum_value{"before"="sad","name"="mood","value"="mad","was"={"sad"}}' },
      { 'm:rename_enum_value("mood", "sad", "blue")',
        'rename_enum_value{"from"="sad","name"="mood","to"="blue"}' },
      { 'm:set_enum_values("mood", { "x" }, { was = { "y" } })',
        'set_enum_values{"name"="mood","values"={"x"},"was"={"y"}}' },
    }
  end)

  it("records tables", function()
    records {
      { 'm:create_table("crm.t", { comment = "c" }, function(t) t.id = int { pk = true } end)',
        'create_table{"table"={"columns"={{"name"="id","null"=false,"type"={"name"="int"}}},'
          .. '"comment"="c","name"="t","primary_key"={"columns"={"id"},"name"="t_pkey"},'
          .. '"schema"="crm"}}' },
      { 'm:drop_table "crm.t"', 'drop_table{"name"="t","schema"="crm"}' },
      { 'm:drop_table("t", { comment = "c", was = function(t) t.id = int end })',
        'drop_table{"name"="t","was"={"columns"={{"name"="id","null"=false,"type"={"name"="int"}}},'
          .. '"comment"="c","name"="t"}}' },
      { 'm:rename_table("crm.t", "u")', 'rename_table{"name"="t","schema"="crm","to"="u"}' },
    }
  end)

  it("records columns", function()
    records {
      { 'm:alter "crm.o":add_column("a", int { null = true })',
        'add_column{"column"={"name"="a","null"=true,"type"={"name"="int"}},"schema"="crm",'
          .. '"table"="o"}' },
      { 'm:add_column("o", "a", "numeric(5,2)", { default = "0.5" })',
        'add_column{"column"={"default"={"value"="0.5"},"name"="a","null"=false,'
          .. '"type"={"args"={5,2},"name"="numeric"}},"table"="o"}' },
      { 'm:add_column("o", "a", "int")',
        'add_column{"column"={"name"="a","null"=false,"type"={"name"="int"}},"table"="o"}' },
      { 'm:add_column("o", "a", enum_type("mood", { "x" }))', 'add_column{"column"={"name"="a",'
          .. '"null"=false,"type"={"enum"="mood","values"={"x"}}},"table"="o"}' },
      { 'm:drop_column("o", "a") m:drop_column("o", "a", { was = text { null = true } })',
        'drop_column{"name"="a","table"="o"}', 'drop_column{"name"="a","table"="o","was"={'
          .. '"name"="a","null"=true,"type"={"name"="text"}}}' },
      { 'm:drop_column("o", "a", { was = { type = "date", default = sql.now } })',
        'drop_column{"name"="a","table"="o","was"={"default"={"sql"="now","word"=true},"name"="a",'
          .. '"null"=false,"type"={"name"="date"}}}' },
      { 'm:rename_column("o", "a", "b")', 'rename_column{"name"="a","table"="o","to"="b"}' },
    }
  end)

  it("records with a column what stands in its braces", function()
    local list = {}
    for i, op in ipairs(record([[m:add_column("o", "c", bigint { ref = "p.id", index = true,
      unique = "u", check = "c > 0" })]]).up) do
      list[i] = ops.describe(op)
    end
    assert.are.same({ "add column o.c", "add unique key u of o", "add check o_c_check of o",
      "add foreign key o_c_fkey of o", "add index o_c_idx of o" }, list)
  end)

  it("records changes of a column", function()
    records {
      { 'm:alter_column("o", "a", { type = numeric(12, 2), was = { type = "numeric(10,2)" } })',
        'alter_column{"name"="a","set"={"type"={"args"={12,2},"name"="numeric"}},"table"="o",'
          .. '"was"={"type"={"args"={10,2},"name"="numeric"}}}' },
      { 'm:alter_column("o", "a", { null = false, default = none, comment = none, '
          .. 'collation = none, identity = none, generated = none, using = "a::int" })',
        'alter_column{"name"="a","set"={"collation"={"none"=true},"comment"={"none"=true},'
          .. '"default"={"none"=true},"generated"={"none"=true},"identity"={"none"=true},'
          .. '"null"=false},"table"="o","using"="a::int"}' },
      { 'm:alter_column("o", "a", { default = 5, comment = "c", collation = "C", '
          .. 'identity = false })',
        'alter_column{"name"="a","set"={"collation"="C","comment"="c","default"={"value"=5},'
          .. '"identity"={"none"=true}},"table"="o"}' },
      { 'm:alter_column("o", "a", { identity = "always" }) m:alter_column("o", "a", '
          .. '{ generated = sql "b + 1", stored = true, was = { default = sql "1" } })',
        'alter_column{"name"="a","set"={"identity"={"always"=true}},"table"="o"}',
        'alter_column{"name"="a","set"={"generated"={"sql"="b + 1","stored"=true}},"table"="o",'
          .. '"was"={"default"={"sql"="1"}}}' },
    }
  end)

  it("records keys, constraints and indexes", function()
    records {
      { 'm:set_primary_key("o", { "a", was = { "b", name = "k" } }) m:drop_primary_key "o"',
        'set_primary_key{"key"={"columns"={"a"},"name"="o_pkey"},"table"="o",'
          .. '"was"={"columns"={"b"},"name"="k"}}', 'drop_primary_key{"table"="o"}' },
      { 'm:drop_primary_key("o", { was = { "a" } })',
        'drop_primary_key{"table"="o","was"={"columns"={"a"},"name"="o_pkey"}}' },
      { 'm:add_unique("o", { "a" }) m:drop_unique("o", "u", { was = { "a" } })',
        'add_unique{"key"={"columns"={"a"},"name"="o_a_key"},"table"="o"}',
        'drop_unique{"name"="u","table"="o","was"={"columns"={"a"},"name"="u"}}' },
      { 'm:add_foreign_key("o", { "a", ref = "p(id)", on_delete = "cascade" }) '
          .. 'm:drop_foreign_key("o", "f")',
        'add_foreign_key{"key"={"columns"={"a"},"name"="o_a_fkey","on_delete"="cascade",'
          .. '"ref"={"columns"={"id"},"table"="p"}},"table"="o"}',
        'drop_foreign_key{"name"="f","table"="o"}' },
      { 'm:add_check("o", "c", "a > 0", { valid = false }) '
          .. 'm:drop_check("o", "c", { was = "a > 0" }) m:drop_check("o", { was = "a" })',
        'add_check{"check"={"name"="c","sql"="a > 0","valid"=false},"table"="o"}',
        'drop_check{"name"="c","table"="o","was"={"name"="c","sql"="a > 0"}}',
        'drop_check{"table"="o","was"={"sql"="a"}}' },
      { 'm:validate("o", "c") m:rename_constraint("o", "c", "d") m:rename_index("o", "i", "j")',
        'validate{"name"="c","table"="o"}', 'rename_constraint{"name"="c","table"="o","to"="d"}',
        'rename_index{"name"="i","table"="o","to"="j"}' },
      { 'm:add_index("o", { "a desc", concurrently = false }) m:add_index("o", "b") '
          .. 'm:drop_index("o", "i", { was = { "a" }, concurrently = false })',
        'add_index{"concurrently"=false,"index"={"keys"={{"column"="a","desc"=true}},'
          .. '"name"="o_a_idx"},"table"="o"}',
        'add_index{"index"={"keys"={{"column"="b"}},"name"="o_b_idx"},"table"="o"}',
        'drop_index{"concurrently"=false,"name"="i","table"="o","was"={"keys"={{"column"="a"}},'
          .. '"name"="i"}}' },
    }
  end)

  it("records comments, options and backfills", function()
    records {
      { 'm:set_comment("o", "c", { column = "a", was = "b" }) m:alter "o":set_comment(none)',
        'set_comment{"column"="a","table"="o","text"="c","was"="b"}', 'set_comment{"table"="o"}' },
      { 'm:set_comment { kind = "view", name = "v", schema = "s", text = "c" }',
        'set_comment{"kind"="view","name"="v","schema"="s","text"="c"}' },
      { 'm:set_options("o", { sqlite = { strict = true }, '
          .. 'was = { postgres = { unlogged = true } } })',
        'set_options{"options"={"sqlite"={"strict"=true}},"table"="o",'
          .. '"was"={"postgres"={"unlogged"=true}}}' },
      { 'm:backfill("o", { set = { a = 1, b = sql "c + 1", d = "x" }, where = "a is null", '
          .. 'key = { "id" }, batch = 500, pause = 0.1 })',
        'backfill{"batch"=500,"key"={"id"},"pause"=0.1,"set"={"a"={"value"=1},"b"={"sql"="c + 1"},'
          .. '"d"={"value"="x"}},"table"="o","where"="a is null"}' },
    }
  end)

  it("records views and objects", function()
    records {
      { 'm:create_view("s.v", { after = "o" }, "SELECT 1;") m:drop_view("v", { was = "SELECT 1" })',
        'create_view{"view"={"after"={"o"},"name"="v","schema"="s","sql"="SELECT 1"}}',
        'drop_view{"name"="v","was"={"name"="v","sql"="SELECT 1"}}' },
      { 'm:replace_view("v", { was = { sql = "SELECT 1", materialized = true } }, "SELECT 2")',
        'replace_view{"view"={"name"="v","sql"="SELECT 2"},"was"={"materialized"=true,"name"="v",'
          .. '"sql"="SELECT 1"}}' },
      { 'm:create_object { kind = "domain", name = "d", sql = "x" } '
          .. 'm:drop_object { kind = "trigger", name = "t", on = "o", was = "x" }',
        'create_object{"object"={"kind"="domain","name"="d","sql"="x"}}',
        'drop_object{"kind"="trigger","name"="t","on"="o","was"={"kind"="trigger","name"="t",'
          .. '"on"="o","sql"="x"}}' },
      { 'm:replace_object { kind = "function", name = "f()", sql = "y", was = { sql = "x" } }',
        'replace_object{"object"={"kind"="function","name"="f()","sql"="y"},'
          .. '"was"={"kind"="function","name"="f()","sql"="x"}}' },
    }
  end)

  it("records SQL and functions", function()
    records {
      { 'm:sql "SELECT 1"', 'sql{"text"={"default"="SELECT 1"},"tx"=true}' },
      { 'm:sql { "a", sqlite = "b", down = "c", probe = "p", tx = false }',
        'sql{"down"={"default"="c"},"probe"="p","text"={"default"="a","sqlite"="b"},"tx"=false}' },
      { 'm:sql { postgres = "a", down = { postgres = "b", mysql = "c" } }',
        'sql{"down"={"mysql"="c","postgres"="b"},"text"={"postgres"="a"},"tx"=true}' },
      { 'm:run(function() end) m:run(function() end)', 'run{"n"=1}', 'run{"n"=2}' },
    }
  end)

  it("knows an enum from where it was created", function()
    local m = record [[local mood = m:create_enum("mood", { "x" })
      m:add_column("o", "a", mood { default = "x" })
      m:add_column("o", "b", "mood[]")]]
    assert.are.same({ enum = "mood", values = { "x" } }, m.up[2].column.type)
    assert.are.same({ enum = "mood", values = { "x" }, array = 1 }, m.up[3].column.type)
  end)

  it("gives what is allowed to the next operation", function()
    local m = record [[m:allow("drop-column", "old") local o = m:alter "o"
      o:allow("lock", "small")
      o:drop_column "a" o:drop_column "b"]]
    assert.are.same({ { rule = "drop-column", reason = "old" }, { rule = "lock",
      reason = "small" } }, m.up[1].allows)
    assert.is_nil(m.up[2].allows)
  end)

  it("says where each operation stands", function()
    local m = record "\n\nm:create_schema 'a'"
    assert.are.same({ file = "migrations/m.lua", line = 5 }, m.up[1].at)
  end)

  it("refuses what is wrong", function()
    refused {
      { 'm:drop_colum("o", "a")', 'there is no operation "drop_colum" (is "drop_column" meant?)' },
      { 'm:alter "o":add_indx {}', 'there is no operation "add_indx" (is "add_index" meant?)' },
      { 'm.sql("x")', "sql is called with a colon: m:sql(…)" },
      { 'm:alter "o".drop_column("x")', "drop_column is called with a colon: o:drop_column(…)" },
      { "m.x = 5", "x cannot be set here" },
      { 'm:alter(5)', "alter: a name is expected, not 5" },
      { 'm:add_column("o", "a", "bigimt")',
        'add_column a: unknown type "bigimt" (is "bigint" meant?)' },
      { 'm:add_column("o", "a", "mood")', 'add_column a: unknown type "mood" (the database\'s own '
        .. 'types are written raw "…", enums enum_type("…", {…}))' },
      { 'm:add_column("o", "a", int {}, {})',
        "add_column a: the options are already in the type's braces" },
      { 'm:add_column("o", "a", "int", 5)', "add_column a: a table of options is expected, not 5" },
      { 'm:add_column("o", "a", { null = true })', "add_column a: type is missing" },
      { 'm:add_column("o", "a", int { pk = true })', "add_column a: pk: use set_primary_key" },
      { 'm:add_column("o", 5)', "add_column: a name is expected, not 5" },
      { 'm:drop_column("o")', "drop_column: a name is expected, not nothing" },
      { 'm:drop_column("o", "a", { wsa = 1 })',
        'drop_column: unknown option "wsa": allowed are was (is "was" meant?)' },
      { 'm:drop_column("o", "a", { was = 5 })',
        "drop_column: was: a type such as bigint is expected, not 5" },
      { 'm:alter_column("o", "a", {})', "alter_column a: nothing changes" },
      { 'm:alter_column("o", "a")', "alter_column a: a table of what changes is expected, "
        .. "not nothing" },
      { 'm:alter_column("o", "a", { nul = true })', 'alter_column a: unknown option "nul": allowed '
        .. "are collation, comment, default, generated, identity, null, stored, type, using, was "
        .. '(is "null" meant?)' },
      { 'm:alter_column("o", "a", { type = int, default = "x" })', "alter_column a: the default of "
        .. 'int is a whole number of its range, not "x"' },
      { 'm:add_check("o", "a > 0")', 'add_check: name the check: add_check("name", "…")' },
      { 'm:add_foreign_key("o", { "a", ref = "p" })',
        'foreign key of o: the columns of "p" must be named here' },
      { 'm:create_table("o")',
        'create_table: create_table("name", function(t) … end) is expected' },
      { 'm:drop_table("o", { was = {} })',
        "drop_table: was = function(t) … end is expected, not a table" },
      { 'm:add_enum_value("e", "a", { before = "b", after = "c" })',
        "add_enum_value: either before or after" },
      { 'm:create_enum("e", {})', "create_enum: there are no values" },
      { 'm:set_comment { text = "c" }',
        "set_comment: table, or kind and name, are missing" },
      { 'm:create_view("v", { was = "x" }, "y")', "create_view: was is for replace_view" },
      { 'm:drop_object { kind = "view" }', "drop_object: kind and name are expected" },
      { 'm:backfill("o", { set = {} })', "backfill: set is empty" },
      { 'm:backfill("o", { set = { a = {} } })',
        'backfill: set: a column with a plain value or sql "…" is expected' },
      { 'm:backfill("o", { set = { a = 1 }, batch = 0 })',
        "backfill: batch must be a whole number from 1" },
      { 'm:backfill("o", { set = { a = 1 }, pause = -1 })', "backfill: pause must be 0 or more" },
      { 'm:backfill("o", { ste = {} })', 'backfill: unknown option "ste": allowed are batch, key, '
        .. 'pause, set, where (is "set" meant?)' },
      { 'm:sql()', "sql: an SQL text is expected" },
      { 'm:sql {}', "sql: an SQL text is expected" },
      { 'm:sql { "a", "b" }', "sql: one text is expected" },
      { 'm:sql { "a", default = "b" }', "sql: the text is given twice" },
      { 'm:sql { "a", oracle = "b" }', 'sql: unknown option "oracle": allowed are default, down, '
        .. "mysql, postgres, probe, sqlite, tx" },
      { 'm:sql { "a", tx = 1 }', "sql: tx must be a boolean, not 1" },
      { "m:run()", "run: a function is expected, not nothing" },
      { 'm:allow("x", "y")', "allow: no operation follows" },
      { 'm:allow("x")', 'allow: a reason is expected: allow("x", "why it is safe")' },
      { "m:set_options('o', { oracle = {} })", 'set_options: unknown option "oracle": allowed are '
        .. "mysql, postgres, sqlite, was" },
    }
  end)
end)

describe("a migration", function()
  it("is what its file says", function()
    local m = files.parse([[
return migration {
  id = "9f2c41d07ab3", after = { "a", "b" }, message = "a message",
  labels = { "next" }, depends = "c", replaces = { "d", "e" },
  up = function(m) m:create_schema "x" end,
  finish = function(m) m:drop_schema "y" end,
  down = function(m) m:drop_schema "x" end,
}]], "migrations/2026_x.lua")
    assert.are.equal("9f2c41d07ab3", m.id)
    assert.are.same({ "a", "b" }, m.after)
    assert.are.equal("a message", m.message)
    assert.are.same({ { "next" }, { "c" }, { "d", "e" } }, { m.labels, m.depends, m.replaces })
    assert.are.equal("2026_x", m.name)
    assert.are.same({ file = "migrations/2026_x.lua", line = 1 }, m.at)
    assert.are.equal("create schema x", ops.describe(m.up[1]))
    assert.are.equal("drop schema y", ops.describe(m.finish[1]))
    assert.are.equal("drop schema x", ops.describe(m.down[1]))
    assert.is_false(m.change)
    assert.is_nil(m.again)
  end)

  it("can be short, irreversible, or only join two others", function()
    local m = files.parse('return migration { id = "a", change = function(m) '
      .. 'm:rename_table("a", "b") end }', "m.lua")
    assert.is_true(m.change)
    assert.are.equal(1, #m.up)
    assert.is_nil(m.down)
    assert.are.same({}, m.after)
    m = files.parse('return migration { id = "a", down = false, up = function() end }', "m.lua")
    assert.is_false(m.down)
    m = files.parse('return migration { id = "a", after = { "b", "c" } }', "m.lua")
    assert.are.same({}, m.up)
  end)

  it("is refused when its head is wrong", function()
    for _, case in ipairs {
      { 'return migration {\n  id = "a",\n  dwon = false,\n}', 'm.lua:3: migration: unknown key '
        .. '"dwon" (is "down" meant?): allowed are after, change, depends, down, finish, id, '
        .. "labels, message, replaces, up" },
      { "\nreturn migration { up = function() end }", "m.lua:2: migration: id is missing" },
      { 'return migration { id = "a b", up = function() end }', "m.lua:1: migration: id: letters, "
        .. 'digits, - . and _ are expected, at most 64, not "a b"' },
      { 'return migration { id = "a" }', "m.lua:1: migration: there is neither up nor change" },
      { 'return migration { id = "a", after = "a", up = function() end }',
        'm.lua:1: migration: it is after itself, "a"' },
      { 'return migration { id = "a", after = { "b", "b" }, up = function() end }',
        'm.lua:1: migration: after: "b" is there twice' },
      { 'return migration { id = "a", after = 5, up = function() end }',
        "m.lua:1: migration: after: a name or a list of names is expected, not 5" },
      { 'return migration { id = "a", up = "x" }',
        'm.lua:1: migration: up must be a function(m), not "x"' },
      { 'return migration { id = "a", up = function() end, down = true }',
        "m.lua:1: migration: down must be a function(m), not true (false: it cannot be undone)" },
      { 'return migration { id = "a", change = function() end, down = false }', "m.lua:1: "
        .. "migration: change is written instead of up and down, but there is down" },
      { 'return migration { id = "a", message = 5, up = function() end }',
        "m.lua:1: migration: message must be a string, not 5" },
      { "return migration(5)", "m.lua:1: migration: migration { id = …, up = function(m) … end } "
        .. "is expected, not 5" },
      { "return {}", "m.lua: a migration file ends with return migration { … }" },
      { "", "m.lua: a migration file ends with return migration { … }" },
      { "local x = = 1", "m.lua:1: unexpected symbol near '='" },
      { "os.exit()", "m.lua:1: there is no os in here: the script runs in a sandbox" },
    } do
      assert.are.equal(case[2], message(case[1]))
    end
  end)

  it("as a change must be one that can be undone", function()
    assert.are.equal("m.lua:2: change: this cannot be undone by itself (drop column a.b: what "
      .. "it was (was = …) is not said): write up and down",
      message 'return migration { id = "a", change = function(m)\nm:drop_column("a", "b")\nend }')
  end)

  it("must record the same again", function()
    assert.are.equal("m.lua:3: up records something else when it is run again: operation 1 was "
      .. "create schema a1, then create schema a2",
      message [[
local n = 0
return migration { id = "a", up = function(m) n = n + 1
  m:create_schema("a" .. n)
end }]])
    assert.are.equal("m.lua:3: down records something else when it is run again: operation 1 was "
      .. "create schema a, then not there",
      message [[
local n = 0
return migration { id = "a", up = function() end, down = function(m) n = n + 1
  if n == 1 then m:create_schema "a" end
end }]])
  end)
end)

describe("checksums", function()
  local function sums(text)
    local m = files.parse(text, "m.lua")
    return m.bytes_sum, m.ops_sum
  end

  local base = file 'm:create_schema "a"'

  it("of bytes do not see line ends and blanks behind a line", function()
    local bytes, operations = sums(base)
    assert.is_truthy(bytes:find "^v1:%x+$" and #bytes == 67)
    assert.is_truthy(operations:find "^v1:%x+$" and #operations == 67)
    assert.are.equal(bytes, (sums(base:gsub("\n", " \t\r\n") .. "\n\n")))
    assert.are_not.equal(bytes, (sums("-- x\n" .. base)))
  end)

  it("of operations do not see comments, places and order of keys", function()
    local _, operations = sums(base)
    local _, other = sums("-- a remark\n\n" .. base:gsub("message = \"m\"", "message = \"n\""))
    assert.are.equal(operations, other)
    _, other = sums(file 'm:allow("x", "y")\nm:create_schema "a"')
    assert.are.equal(operations, other)
    _, other = sums(file 'm:create_schema "b"')
    assert.are_not.equal(operations, other)
  end)

  it("of operations are over up and finish, not over what undoes them", function()
    local function with(more)
      return (select(2, sums(('return migration { id = "a", up = function(m) m:create_schema "x" '
        .. "end, %s }"):format(more))))
    end
    assert.are.equal(with "down = false", with "down = function(m) m:drop_schema 'x' end")
    assert.are_not.equal(with "", with "finish = function(m) m:drop_schema 'x' end")
  end)

  it("of operations count the text where there are functions", function()
    local _, a = sums(file "m:run(function(db) return 1 end)")
    local _, b = sums(file "m:run(function(db) return 2 end)")
    assert.are_not.equal(a, b)
  end)

  it("are the same for ever", function()
    local _, operations = sums(file [[local o = m:alter "orders"
      o:add_column("total", numeric(12, 2) { default = 0.5, null = true })
      o:add_index { "total desc", sql "lower(a)", where = "total > 0" }]])
    assert.are.equal(
      "v1:089cc83735af07229cc5db459d1ad3e5b02172768f388202b44da4163d693c66", operations)
  end)
end)

describe("a folder", function()
  it("is read in the order of names", function()
    local dir = folder {
      ["20_b.lua"] = 'return migration { id = "b", after = "a", up = require "_mixins" }',
      ["10_a.lua"] = 'return migration { id = "a", up = function() end }',
      ["_mixins.lua"] = 'return function(m) m:create_schema "s" end',
      [".hidden.lua"] = "x",
      ["notes.txt"] = "x",
    }
    local list = files.read(dir)
    assert.are.equal(2, #list)
    assert.are.same({ "a", "b", "10_a", "20_b" },
      { list[1].id, list[2].id, list[1].name, list[2].name })
    assert.are.equal(dir .. "/20_b.lua", list[2].path)
    assert.are.equal("create schema s", ops.describe(list[2].up[1]))
    assert.are.equal(2, #files.read(dir .. "/"))
    remove(dir)
  end)

  it("is refused when it is none, or has an id twice", function()
    assert.are.equal('there is no folder "/nowhere"',
      fails("usage", files.read, "/nowhere").message)
    local dir = folder {
      ["1.lua"] = 'return migration { id = "a", up = function() end }',
      ["2.lua"] = '\nreturn migration { id = "a", up = function() end }',
    }
    local text = fails("usage", files.read, dir).message
    assert.is_truthy(text:find('2.lua:2: the id "a" is also that of ' .. dir .. "/1.lua", 1, true))
    remove(dir)
    dir = folder {}
    assert.are.same({}, files.read(dir))
    remove(dir)
  end)
end)

describe("functions of m:run", function()
  it("are loaded in this state, in order", function()
    local dir = folder {
      ["m.lua"] = [[
local helpers = require "_helpers"
return migration {
  id = "a",
  up = function(m)
    m:create_enum("mood", { "x" })
    m:run(function(db) return db, os.time(), helpers.n end)
    m:run(function() return debug.getinfo(1, "S").short_src, require "perigee" end)
  end,
  down = function(m) m:run(function() return "down" end) end,
}]],
      ["_helpers.lua"] = "return { n = 7 }",
    }
    local path = dir .. "/m.lua"
    local all = files.functions(files.record(path))
    assert.are.same({ 2, 0, 1 }, { #all.up, #all.finish, #all.down })
    local db, time, n = all.up[1] "db"
    assert.are.same({ "db", "number", 7 }, { db, type(time), n })
    local source, perigee = all.up[2]()
    assert.is_truthy(source:find "m.lua$")
    assert.are.equal(require "perigee", perigee)
    assert.are.equal("down", files.functions(path, "down")[1]())
    remove(dir)
  end)

  it("must be those that were recorded", function()
    local dir = folder {
      ["m.lua"] = [[return migration { id = "a", up = function(m)
        if rawget(_G, "os") then m:run(function() end) end
        local ok = pcall(function() return os end)
        if ok then m:run(function() end) end
      end }]],
    }
    local path = dir .. "/m.lua"
    local text = fails("usage", files.functions, path).message
    assert.are.equal(path .. ": up has other functions than when it was recorded", text)
    remove(dir)
  end)
end)

describe("a file", function()
  it("is written as a whole", function()
    local dir = folder {}
    files.write(dir .. "/a.lua", "one")
    files.write(dir .. "/a.lua", "two\n")
    local f = assert(io.open(dir .. "/a.lua"))
    assert.are.equal("two\n", f:read "*a")
    f:close()
    assert.are.equal("a.lua\n", (helper.sh("ls " .. dir)))
    assert.is_truthy(fails("usage", files.write, dir .. "/no/a.lua", "x").message
      :find "no/a.lua cannot be written: ")
    remove(dir)
  end)

  it("that cannot be read is a usage error", function()
    assert.is_truthy(fails("usage", files.record, "/nowhere/m.lua").message
      :find "^/nowhere/m.lua cannot be read: ")
  end)

  it("has a new name and id", function()
    assert.are.equal("19700102T101640_add_order_status",
      files.name(123400, "Add order-status!"))
    assert.are.equal("19700101T000000_migration", files.name(0.5, "…"))
    assert.is_true(#files.name(0, ("long "):rep(40)) <= 66)
    local a, b = files.new_id(), files.new_id()
    assert.is_truthy(a:find "^%x+$" and #a == 12)
    assert.are_not.equal(a, b)
  end)
end)
