-- Placeholders, run for real: what is one, what is not, and what is refused
-- (P-25).
local perigee = require "perigee"
local helper = require "spec.support.helper"
local check = require "spec.support.check"

local null = perigee.null

-- { title, SQL of one value, parameters (nil: none), what it gives }
local TAKEN = {
  { "in a string literal", "select ':a ? $1'", nil, ":a ? $1" },
  { "in a literal with a doubled quote", "select 'it''s :a ?'", nil,
    "it's :a ?" },
  { "in a quoted name", 'select 1 as "col:a ?"', nil, 1 },
  { "in a line comment", "select 1 -- :a ? $1\n + ?", { 2 }, 3 },
  { "in a block comment", "select /* :a ? */ cast(? as integer)", { 5 }, 5 },
  { "at the end of a comment that ends the text", "select 7 -- ?", nil, 7 },
  { "as ? in order", "select cast(? as text) || cast(? as text)", { "a", "b" },
    "ab" },
  { "as $n in any order",
    "select cast($2 as text) || cast($1 as text)", { "a", "b" }, "ba" },
  { "as $n twice", "select cast($1 as integer) + cast($1 as integer)", { 4 },
    8 },
  { "as $10 and more, not $1 and a 0",
    "select cast($10 as integer) - $1 - $2 - $3 - $4 - $5 - $6 - $7 - $8 - $9",
    { 0, 0, 0, 0, 0, 0, 0, 0, 0, 10 }, 10 },
  { "as :name", "select cast(:a as integer) + :b", { a = 1, b = 2 }, 3 },
  { "as :name twice", "select cast(:a as integer) * cast(:a as integer)",
    { a = 7 }, 49 },
  { "with names that begin alike",
    "select cast(:a as integer) - :ab - :a_b - :a1",
    { a = 10, ab = 1, a_b = 2, a1 = 3 }, 4 },
  { "right beside operators", "select(1+?)*(?-1)", { 2, 3 }, 6 },
  { "in LIKE with % and _", "select count(*) from (select 'a%b' as t) as x " ..
    "where t like ? escape '!'", { "a!%%" }, 1 },
  { "% in the text", "select 'x' where '100%s' like '%x%s' or 1 = ?", { 1 },
    "x" },
  { "as perigee.null", "select coalesce(cast(? as text), 'none')", { null },
    "none" },
  { "in a clock time literal", "select '12:30' || cast(? as text)", { "x" },
    "12:30x" },
}

local POSTGRES = {
  { "in a dollar-quoted string", "select $$ :a ? $1 $$ || $1", { "x" },
    " :a ? $1 x" },
  { "in a tagged dollar-quoted string", "select $t$ $$ :a ? $t$", nil,
    " $$ :a ? " },
  { "in an escape string", "select E'\\':a ?' || :b", { b = "x" }, "':a ?x" },
  { "in nested comments", "select /* /* ? */ :a */ 1 + ?", { 1 }, 2 },
  { "not a cast", "select '5'::int + ?::int", { 3 }, 8 },
  { "a parameter with a cast", "select :a::text || 'x'", { a = "y" }, "yx" },
  { "an array slice", "select (array[1,2,3])[1:2] = array[1,2]", nil, true },
  { "an array slice with parameters", "select (array[1,2,3])[:a :b]", nil,
    nil, "usage" },
  { "the JSON operator ?", [[select '{"k":1}'::jsonb ? 'k']], nil, true },
  { "the JSON operator ? with a parameter on its right",
    [[select '{"k":1}'::jsonb ? $1]], { "k" }, true },
  { "the JSON operator ?|", [[select '{"k":1}'::jsonb ?| array['k','l'] ]],
    nil, true },
  { "the JSON operator ?&", [[select '{"k":1}'::jsonb ?& array['k','l'] ]],
    nil, false },
  { "named beside a JSON operator",
    [[select '{"k":1}'::jsonb ? :a and :b]], { a = "k", b = true }, true },
  { "beside the operator @>",
    [[select '{"k":1}'::jsonb @> ?]], { perigee.json { k = 1 } }, true },
  { "a name with a colon inside", [[select "a:b" from (select 1 as "a:b") t]],
    nil, 1 },
  { "assignment in a named argument",
    "select make_interval(hours := 2) = interval '2 hours'", nil, true },
  { "a Unicode literal", "select U&'\\0061:x?'", nil, "a:x?" },
  { "a bit string", "select B'101'::text || ?", { "x" }, "101x" },
}

local SQLITE = {
  { "in a name in brackets", "select [a:b ?] from (select 1 as [a:b ?])", nil,
    1 },
  { "in a name in backticks", "select `a?` from (select 1 as `a?`)", nil, 1 },
  { "in a blob literal", "select length(x'3f3a') + ?", { 1 }, 3 },
  { "a JSON path", [[select '{"k":5}' ->> '$.k']], nil, 5 },
}

-- Refused before anything is sent: { SQL, parameters… }
local REFUSED = {
  { "select ?" }, { "select ?", 1, 2 }, { "select ?, ?", 1 },
  { "select ?", {} }, { "select ?", { 1, 2 } }, { "select 1", 1 },
  { "select 1", { 1 } }, { "select 1", { a = 1 } }, { "select :a" },
  { "select :a", 1 }, { "select :a", {} }, { "select :a", { 1 } },
  { "select :a", { b = 1 } }, { "select :a", { a = 1, b = 2 } },
  { "select :a", { a = 1, 2 } }, { "select :A", { a = 1 } },
  { "select ?", { a = 1 } }, { "select ?", { 1, a = 1 } },
  { "select $1", {} }, { "select $2", { 1, 2 } }, { "select $0", { 1 } },
  { "select $1, $3", { 1, 2, 3 } }, { "select :a, ?", { a = 1 } },
  { "select :a, $1", { a = 1 } }, { "select ?, $1", { 1 } },
  { "select ?, ?", { 1, nil } }, { "select ?, ?, ?", { 1, nil, 3 } },
  { "select $1, $2", { [2] = 1 } }, { "select ?", { [1.5] = 1 } },
  { "select ?", { [0] = 1 } }, { "select ?", { [true] = 1 } },
  { "select $99999999999999999999", { 1 } },
}

local MYSQL = {
  { "in a name in backticks", "select `a?` from (select 1 as `a?`) t", nil, 1 },
  { "in a string in double quotes", [[select "a \" ? :a"]], nil, 'a " ? :a' },
  { "in a comment after #", "select 1 # ? :a\n + ?", { 2 }, 3 },
  { "beside -- without a blank", "select 5--?", { 2 }, 7 },
  { "a variable of the session", "select ? + coalesce(@a, 0)", { 3 }, 3 },
  { "a JSON path", [[select json_value('{"k":5}', '$.k')]], nil, "5" },
}

local OWN = { postgres = POSTGRES, mysql = MYSQL }

local function run(db, case)
  local sql, params, want = case[2], case[3], case[4]
  if case[5] then return check.refuses(db, case[5], db.value, db, sql) end
  if params == nil then
    assert.equal(want, db:value(sql))
    assert.equal(want, db:value(sql, {}))
  else
    assert.equal(want, db:value(sql, params))
    if #params > 0 and params[1] ~= null then
      assert.equal(want, db:value(sql, (table.unpack or unpack)(params)))
    end
    for row in db:each(sql, params, { rows = "array" }) do
      assert.equal(want, row[1])
    end
  end
  assert.equal(want, db:value(sql, params or {}, { timeout = 5 }))
end

helper.for_each_db(function(name, open)
  describe("a placeholder (P-25)", function()
    local function define(cases)
      for _, case in ipairs(cases) do
        it(case[1], function()
          local db = open { max_size = 2 }
          run(db, case)
          db:transaction(function(tx)
            if not case[5] then
              assert.equal(case[4], tx:value(case[2], case[3] or {}))
            end
          end)
        end)
      end
    end
    local taken = {}
    for i, case in ipairs(TAKEN) do
      taken[i] = { case[1], helper.sql(name, case[2]), case[3], case[4], case[5] }
    end
    define(taken)
    define(OWN[name] or SQLITE)
  end)

  describe("parameters (P-25)", function()
    it("are refused before anything is sent when they do not fit", function()
      local db = open { max_size = 1 }
      db:value "select 1"
      local created = check.created(db)
      for i, case in ipairs(REFUSED) do
        local err = check.raises("usage", db.query, db,
          (table.unpack or unpack)(case))
        assert.is_truthy(#err.message > 10, "case " .. i)
      end
      check.usable(db)
      assert.equal(created, check.created(db))
    end)

    it("are named in the message", function()
      local db = open()
      assert.matches(":b", check.raises("usage", db.query, db,
        "select :a, :b", { a = 1 }).message, 1, true)
      assert.matches(":c", check.raises("usage", db.query, db,
        "select :a", { a = 1, c = 1 }).message, 1, true)
      assert.matches("$2", check.raises("usage", db.query, db,
        "select $1, $2", { 1 }).message, 1, true)
      assert.matches("parameter 2", check.raises("usage", db.query, db,
        "select ?, ?", { 1, print }).message, 1, true)
    end)

    it("are NULL when they are nil among plain values", function()
      local db = open()
      local sql = "select coalesce(cast(? as text), 'x') || " ..
        "coalesce(cast(? as text), 'y') || coalesce(cast(? as text), 'z')"
      sql = helper.sql(name, sql)
      assert.equal("ayc", db:value(sql, "a", nil, "c"))
      assert.equal("xyc", db:value(sql, nil, nil, "c"))
      assert.equal("xyz", db:value(sql, nil, nil, nil))
      assert.equal("ayz", db:value(sql, { "a", null, null }))
      assert.equal("xb", db:value(helper.sql(name, "select coalesce(cast(:a as text), 'x') " ..
        "|| cast(:b as text)"), { a = null, b = "b" }))
    end)

    it("may hold a table of their own with a metatable as a value", function()
      local db = open()
      assert.equal('[1,2]', db:value(helper.sql(name, "select cast(? as text)"),
        perigee.json { 1, 2 }))
      local err = check.refuses(db, "usage", db.query, db, "select ?",
        setmetatable({}, {}))
      assert.matches("parameter 1", err.message)
    end)

    it("run a statement again with other types", function()
      local db = open { max_size = 1 }
      local sql = helper.sql(name, "select cast(? as text)")
      for _ = 1, 3 do
        for _, v in ipairs { 1, 2 ^ 40, 1.5, "a", -7, 0.1, "" } do
          local want = type(v) == "number" and v == math.floor(v)
            and ("%d"):format(v) or tostring(v)
          assert.equal(want, db:value(sql, v))
        end
        assert.is_nil(db:value(sql, null))
        assert.is_nil(db:value(sql, nil))
      end
    end)
  end)
end)
