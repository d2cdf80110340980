-- What the parser of SQLite's own texts understands, without a database.
require "spec.support.helper"
local expression = require "perigee.dialect.sqlite.expression"
local lexer = require "perigee.dialect.sqlite.lexer"
local parse = require "perigee.dialect.sqlite.parse"
local types = require "perigee.dialect.sqlite.types"

local function kinds(sql)
  local out = {}
  for i, t in ipairs(lexer.tokens(sql)) do out[i] = t.kind .. ":" .. t.text end
  return table.concat(out, " ")
end

describe("SQLite's lexer", function()
  it("takes off the four kinds of quotes", function()
    assert.equal("name:a b name:a`b name:a name:it\"s string:it's",
      kinds [["a b" `a``b` [a] "it""s" 'it''s']])
  end)

  it("passes blanks and both kinds of comments", function()
    assert.equal("word:a word:b word:c", kinds "a -- x ' \"\n b /* ' \n */ c -- end")
    assert.equal("word:a", kinds "a /* not closed")
  end)

  it("knows numbers, blobs and long signs", function()
    assert.equal("number:1.5e-3 number:.5 number:0xFf blob:aB sign:->> sign:|| sign:<>",
      kinds "1.5e-3 .5 0xFf x'aB' ->> || <>")
    assert.equal("word:a sign:- number:1", kinds "a-1")
  end)

  it("ends at the end of what is not closed", function()
    assert.equal("string:abc", kinds "'abc")
    assert.equal("name:", kinds '"')
  end)
end)

describe("An expression of SQLite in its normal form", function()
  local names = { total = "Total", a = "a", key = "key", ["x y"] = "x y", [1] = "t" }

  local function same(...)
    local first = expression.text((...), names)
    for i = 2, select("#", ...) do
      assert.equal(first, expression.text((select(i, ...)), names))
    end
    return first
  end

  it("has no case, blanks, comments or outer parentheses", function()
    assert.equal("a > 0 and a < 10",
      same("a>0 AND a<10", "( A > 0 and\n a<10 )", "((a>/* x */0 And a<10)) -- y"))
    assert.equal("(a) + (a)", same "(a) + (a)")
    assert.equal("length(a) > 0", same("length ( a )>0", "LENGTH(A) > 0"))
    assert.equal("a in (1, 2)", same("a in(1,2)", "a IN ( 1 , 2 )"))
  end)

  it("has one way to quote, and the columns as they are spelt", function()
    assert.equal('"Total" <> \'X\'', same('total != \'X\'', '[TOTAL]<>\'X\'', '`Total` <> \'X\''))
    assert.equal('"x y" = 1', same('"X Y"==1', "[x y] = 1"))
    assert.equal('"key" > 0', same("key > 0", '"key" > 0'))
  end)

  it("leaves strings alone", function()
    assert.equal("a = 'A  B'", same "a = 'A  B'")
    assert.equal("a = 'it''s'", same "a='it''s'")
  end)

  it("sees a double-quoted string where there is no such column", function()
    assert.equal("a <> 'q'", same('a <> "q"', "a <> 'q'"))
    assert.equal("lower(a) = 'lower'", same '"lower"(a) = "lower"')
    assert.equal("a collate nocase = 'a b'", same 'a COLLATE "NOCASE" = "a b"')
  end)

  it("forgets the name of the table before a column", function()
    assert.equal("a > 0", same("t.a > 0", '"T".a > 0', "a > 0"))
  end)

  it("keeps signs and operators apart", function()
    assert.equal("-1", same "- 1")
    assert.equal("a - -1", same "a - - 1")
    assert.equal("a ->> '$.b'", same "a->>'$.b'")
    assert.equal("case when a then -1 else 2 end", same "CASE WHEN a THEN -1 ELSE 2 END")
  end)

  it("renames a column and nothing else", function()
    assert.equal([["new" > 0 and 'old' <> old("new", "new")]],
      expression.rename([[old > 0 and 'old' <> old("old", OLD)]], "old", "new"))
  end)
end)

describe("CREATE TABLE", function()
  it("with everything that a column can have", function()
    local t = parse.table [[
      create table if not exists main."T x" ( -- a comment, with (
        [id] integer constraint pk primary key on conflict ignore autoincrement,
        a varchar ( 32 ) default 'x' not null on conflict fail collate "nocase"
          constraint c1 check (a<>"q") check(`a` > [b]),
        b "my type" unique on conflict replace references p on delete set null
          on update no action match full deferrable initially deferred,
        c generated always as (a||b) stored, d int as (a), e default -1,
        f default (1+2), g unsigned big int constraint nn not null, 'h' null, i)]]
    assert.equal("T x", t.name)
    assert.same({ "id", "a", "b", "c", "d", "e", "f", "g", "h", "i" }, (function()
      local names = {}
      for i, c in ipairs(t.columns) do names[i] = c.name end
      return names
    end)())
    assert.same({
      name = "pk", columns = { "id" }, in_column = true, on_conflict = "ignore",
      autoincrement = true,
    }, t.primary_key)
    assert.same({
      name = "a", null = false, null_conflict = "fail", type = "varchar ( 32 )", default = "'x'",
      collation = "NOCASE",
    }, t.columns[2])
    assert.same({
      { name = "c1", sql = "a <> 'q'", column = "a" }, { sql = "a > b", column = "a" },
    }, t.checks)
    assert.same({ { columns = { "b" }, on_conflict = "replace" } }, t.uniques)
    assert.same({ {
      columns = { "b" }, ref = { table = "p" }, on_delete = "set null", match_full = true,
      deferrable = true, deferred = true,
    } }, t.foreign_keys)
    assert.same({ sql = "a || b", stored = true }, t.columns[4].generated)
    assert.same({ sql = "a", stored = false }, t.columns[5].generated)
    assert.equal("-1", t.columns[6].default)
    assert.equal("1 + 2", t.columns[7].default)
    assert.equal("nn", t.columns[8].null_name)
  end)

  it("with everything that a table can have", function()
    local t = parse.table [[CREATE TABLE t (A, b,
      CONSTRAINT p PRIMARY KEY (a, "B" COLLATE rtrim DESC),
      UNIQUE (a COLLATE binary) ON CONFLICT REPLACE
      CONSTRAINT ck CHECK (a in (1,2)) ON CONFLICT FAIL
      FOREIGN KEY (a,"B") REFERENCES 'q'(x,y) ON UPDATE CASCADE ON DELETE RESTRICT
      NOT DEFERRABLE INITIALLY DEFERRED, FOREIGN KEY (b) REFERENCES r DEFERRABLE)
      STRICT, WITHOUT ROWID;]]
    assert.same({
      name = "p", columns = { "A", "b" }, desc = { [2] = true }, collations = { [2] = "RTRIM" },
    }, t.primary_key)
    assert.same({
      { columns = { "A" }, collations = { "BINARY" }, on_conflict = "replace" },
    }, t.uniques)
    assert.same({ { name = "ck", sql = '"A" in (1, 2)' } }, t.checks)
    assert.same({
      {
        columns = { "A", "b" }, ref = { table = "q", columns = { "x", "y" } },
        on_update = "cascade", on_delete = "restrict",
      },
      { columns = { "b" }, ref = { table = "r" }, deferrable = true },
    }, t.foreign_keys)
    assert.same({ strict = true, without_rowid = true }, t.options)
  end)

  it("with keywords for names", function()
    local t = parse.table [[create table "order" ("check" text, key integer, "primary" int unique)]]
    assert.same({ { columns = { "primary" } } }, t.uniques)
    assert.equal("key", t.columns[2].name)
  end)

  it("that is broken off is an error that has the text", function()
    for _, sql in ipairs {
      "create table t (a", "create table t (a default", "create table t (a check", "create table",
      "create table t (a) with", "create table t (a references)",
    } do
      local ok, err = pcall(parse.table, sql)
      assert.is_false(ok)
      assert.equal("unsupported", err.kind)
      assert.truthy(err.message:find(sql, 1, true))
    end
  end)
end)

describe("CREATE INDEX and CREATE VIEW", function()
  local names = { a = "a", b = "b", ["c d"] = "c d", [1] = "t" }

  it("keys are columns or expressions", function()
    assert.same({
      name = "i", table = "t", unique = true, where = "a is not null",
      keys = {
        { column = "a", desc = true }, { sql = "lower(b)", collation = "NOCASE" },
        { column = "b" }, { sql = "b || 'x'" }, { column = "c d" },
      },
    }, parse.index([[CREATE UNIQUE INDEX IF NOT EXISTS main."i" ON [t] (A DESC,
      lower("b") COLLATE nocase ASC, (b), "b"||'x', 'c d') WHERE ("a" IS NOT NULL)]], names))
  end)

  it("a view has its query, and names of columns", function()
    assert.same({ name = "v", columns = { "x", "y" }, sql = "select 1, ';'" },
      parse.view [[create temp view if not exists v (x, "y") as select 1, ';' ; ]])
    assert.same({ name = "v", sql = "WITH q AS (SELECT 1) SELECT * FROM q" },
      parse.view [[CREATE VIEW main.v AS WITH q AS (SELECT 1) SELECT * FROM q]])
  end)
end)

describe("A declared type", function()
  it("has one form", function()
    for _, text in ipairs { "varchar ( 10 , 2 )", "VARCHAR(10,2)", "VarChar  (10, 2)" } do
      assert.equal("VARCHAR(10,2)", types.normal(text))
    end
    assert.equal("DOUBLE PRECISION", types.normal "double   precision")
  end)

  it("has the affinity that SQLite gives it (trap 22)", function()
    local expected = {
      ["floating point"] = "integer", charint = "integer", text = "text", ["long varchar"] = "text",
      clob = "text", [""] = "blob", blob = "blob", float = "real", double = "real",
      numeric = "numeric", date = "numeric", boolean = "numeric", SPAN_TEXT = "text",
      JSON_TEXT = "text", NUMERIC_TEXT = "text",
    }
    for declared, affinity in pairs(expected) do
      assert.equal(affinity, types.affinity(declared), declared)
    end
  end)

  it("is the same as another when nobody can tell them apart", function()
    assert.is_true(types.same("INT", "BIGINT"))
    assert.is_true(types.same("double precision", "FLOAT"))
    assert.is_true(types.same("TEXT", "clob"))
    assert.is_false(types.same("INTEGER", "SMALLINT"))
    assert.is_false(types.same("VARCHAR(10)", "VARCHAR(20)"))
    assert.is_false(types.same("NUMERIC", "DATE"))
    assert.is_false(types.same("JSON_TEXT", "TEXT"))
    assert.is_false(types.same("TIMESTAMP", "TIMESTAMPTZ"))
  end)

  it("that is portable says what SQLite and the driver need", function()
    local at = { file = "schema.lua", line = 3 }
    local function text(ty, more, strict)
      local c = { name = "c", type = ty, at = at }
      for k, v in pairs(more or {}) do c[k] = v end
      return types.text(c, nil, strict)
    end
    assert.equal("NUMERIC(12,2)", text { name = "numeric", args = { 12, 2 } })
    assert.equal("NUMERIC_TEXT", text({ name = "numeric", args = { 12, 2 } },
      { numeric_as = "text" }))
    assert.equal("REAL", text({ name = "numeric" }, nil, true))
    assert.equal("TEXT", text({ name = "numeric" }, { numeric_as = "text" }, true))
    assert.equal("JSON_TEXT", text { name = "jsonb" })
    assert.equal("SPAN_TEXT", text { name = "interval" })
    assert.equal("TEXT", text { enum = "e", values = { "a" } })
    assert.equal("JSON_TEXT", text({ name = "text", array = 1 },
      { type_on = { sqlite = { name = "json" } } }))
    assert.equal("VARCHAR(5)", types.text { name = "varchar", args = { 5 } })
    for _, case in ipairs {
      { { name = "text", array = 1 } }, { { name = "hstore" } }, { { raw = "MONEY" }, nil, true },
    } do
      local ok, err = pcall(text, case[1], case[2], case[3])
      assert.is_false(ok)
      assert.equal("usage", err.kind)
      assert.truthy(err.message:find("^schema.lua:3: "))
    end
  end)
end)
