-- perigee_json_contains(document, part) is PostgreSQL's document @> part.
local perigee = require "perigee"
local helper = require "spec.support.helper"

local CASES = {
  -- document, part, contained?
  { '{"a":1,"b":{"c":[1,2,3]}}', '{"b":{"c":[3,1]}}', true },
  { '{"a":1}', '{"a":1.0}', true },
  { '{"a":1}', '{"a":"1"}', false },
  { '{"a":1}', "{}", true },
  { "[]", "[]", true },
  { "[1]", "{}", false },
  { "{}", "[]", false },
  { "[1,2]", "2", true },
  { "2", "[2]", false },
  { "2", "2.0", true },
  { "null", "null", true },
  { "[[1,2],3]", "[1]", false },
  { "[[1,2],3]", "[[2]]", true },
  { "[[1,2],3]", "[[1],[2],3,3]", true },
  { '{"a":[1]}', '{"a":1}', false },
  { '{"a":{"b":1}}', '{"a":{}}', true },
  { '{"a":[{"b":1,"c":2}]}', '{"a":[{"c":2}]}', true },
  { '{"a":null}', '{"a":null}', true },
  { "{}", '{"a":null}', false },
  { '{"a":1,"a":2}', '{"a":1}', false },
  { '{"a":1,"a":2}', '{"a":2}', true },
  { '["a"]', '"a"', true },
  { '["\\u00fc"]', '["ü"]', true },
  { "true", "1", false },
  { "[true]", "[false]", false },
  { "9007199254740993", "9007199254740993", true },
  { "9007199254740993", "9007199254740992", false },
  { "9007199254740993", "9007199254740992.0", false },
  { "9007199254740992", "9007199254740992.0", true },
  { "-0", "0.0", true },
  { "100", "1e2", true },
  { "0.1", "0.10", true },
}

local SCALARS = { "0", "1", "1.0", "1e0", "2.5", "-3", "null", "true", "false",
  '""', '"a"', '"b"', '"1"' }

-- A random document; small, so that parts are contained now and then.
local function document(random, depth)
  local kind = depth == 0 and 1 or random(4)
  if kind <= 2 then return SCALARS[random(#SCALARS)] end
  local parts = {}
  for i = 1, random(4) - 1 do
    local value = document(random, depth - 1)
    parts[i] = kind == 3 and value
      or ('"%s":%s'):format(("xyz"):sub(random(3)):sub(1, 1), value)
  end
  return (kind == 3 and "[%s]" or "{%s}"):format(table.concat(parts, ","))
end

local function contains(db, doc, part)
  local v = db:value("select perigee_json_contains(?, ?)", { doc, part })
  return v and tonumber(v)
end

helper.for_each_db(function(name, open)
  describe("perigee_json_contains on " .. name, function()
    for _, case in ipairs(CASES) do
      it(case[1] .. " and " .. case[2], function()
        assert.equal(case[3] and 1 or 0, contains(open(), case[1], case[2]))
      end)
    end

    it("gives NULL for NULL", function()
      local db = open()
      assert.is_nil(contains(db, perigee.null, "1"))
      assert.is_nil(contains(db, "1", perigee.null))
    end)

    it("refuses what is not JSON, saying which", function()
      local db = open()
      for _, bad in ipairs { "", "{", "[1,]", "nul", "1 2", "'a'", "1e400",
        "100000000000000000000", perigee.bytes "1" } do
        local ok, err = pcall(contains, db, bad, "1")
        assert.is_false(ok)
        assert.equal("data", err.kind)
        assert.matches("the document is not JSON", err.message, 1, true)
        ok, err = pcall(contains, db, "1", bad)
        assert.is_false(ok)
        assert.equal("data", err.kind)
        assert.matches("the part is not JSON", err.message, 1, true)
      end
      assert.equal(1, contains(db, "1", "1"))
    end)

    it("filters rows, with the part read once", function()
      local db = open()
      db:execute "create table docs (id integer primary key, d json)"
      local rows = {}
      for i = 1, 2000 do
        rows[i] = { i, ('{"n":%d,"tags":["t%d","all"]}'):format(i, i % 10) }
      end
      db:execute_many("insert into docs values (?, ?)", rows)
      local sql = "select count(*) from docs where perigee_json_contains(d, ?)"
      for part, n in pairs { ['{"tags":["t3"]}'] = 200,
        ['{"tags":["all"]}'] = 2000, ['{"n":7}'] = 1, ['{"n":0}'] = 0 } do
        assert.equal(n, tonumber(db:value(sql, { part })))
      end
      db:execute "create index docs_t3 on docs (perigee_json_contains(d, '{}'))"
      db:execute "drop table docs"
    end)

    local postgres = os.getenv "PERIGEE_TEST_POSTGRES"
    if postgres and postgres ~= "" then
      it("agrees with PostgreSQL on random documents", function()
        local db, random = open(), helper.random "json_contains"
        local pg = perigee.open(postgres, { max_size = 1 })
        local docs, parts, yes = {}, {}, 0
        for i = 1, helper.soak(2000) do
          docs[i], parts[i] = document(random, 3), document(random, 2)
        end
        local want = pg:query([[select d::jsonb @> p::jsonb as c
          from unnest($1::text[], $2::text[]) with ordinality u (d, p, n)
          order by n]], { perigee.array(docs), perigee.array(parts) })
        for i = 1, #docs do
          local got = contains(db, docs[i], parts[i]) == 1
          if got then yes = yes + 1 end
          assert.equal(want[i].c, got, docs[i] .. " @> " .. parts[i])
        end
        assert.is_true(yes > #docs / 100)
        pg:close()
      end)
    end
  end)
end, { "sqlite" })
