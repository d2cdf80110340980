-- EXPLAIN tells of the present schema. SQLite does not prepare a kept one anew, which
-- crashed here when what it told of was gone.
local perigee = require "perigee"

local TABLES = [[
  create table t (a text collate nocase, b int);
  create index i on t (a, b);
  create trigger tr after update on t begin insert into t select lower(a), b from t; end]]

describe("EXPLAIN on sqlite", function()
  it("follows changes of the schema", function()
    local db = perigee.open "sqlite::memory:"
    local sql = "EXPLAIN UPDATE t SET a = upper(a) WHERE a > 'x'"
    for _ = 1, 20 do
      db:script(TABLES)
      local lines = #db:query(sql)
      assert.equal(lines, #db:query(sql))
      db:script [[drop table t; create table u (x);
        insert into u values (zeroblob(10000)); drop table u]]
      local ok, err = pcall(db.query, db, sql)
      assert.is_false(ok)
      assert.equal("undefined", err.kind)
    end
  end)

  it("shows the plan with a new index", function()
    local db = perigee.open "sqlite::memory:"
    db:script "create table t (a text, b int)"
    local sql = "EXPLAIN QUERY PLAN SELECT b FROM t WHERE a = 'x'"
    assert.matches("SCAN", db:first(sql).detail)
    db:script "create index i on t (a)"
    assert.matches("USING INDEX i", db:first(sql).detail)
  end)
end)
