-- What has run before runs again without a request (sl_direct.c). Nobody shall notice:
-- everything here is done often enough to go both ways.
local helper = require "spec.support.helper"
local perigee = require "perigee"

local TIMES = 5

-- The error of the last of several tries.
local function error_of(fn)
  local ok, err
  for _ = 1, TIMES do
    ok, err = pcall(fn)
    assert.is_false(ok)
  end
  return err
end

describe("a statement of SQLite that has run before", function()
  local file, db

  before_each(function()
    file = os.tmpname()
    db = perigee.open("sqlite:///" .. file)
    db:execute "CREATE TABLE t (id INTEGER PRIMARY KEY, n INT UNIQUE CHECK (n < 1000))"
  end)

  after_each(function()
    db:close { timeout = helper.patience(5) }
    for _, more in ipairs { "", "-wal", "-shm" } do os.remove(file .. more) end
  end)

  it("gives counts, keys and rows", function()
    db:transaction(function(tx)
      for i = 1, TIMES do
        local r = tx:execute("INSERT INTO t (n) VALUES (?)", i)
        assert.same({ affected = 1, last_id = i }, r)
        assert.same({ id = i, n = i }, tx:one("SELECT * FROM t WHERE n = ?", i))
        assert.equal(i, tx:value "SELECT count(*) FROM t")
        assert.same({ { n = 100 + i } },
          tx:query("UPDATE t SET n = n + 100 WHERE n = ? RETURNING n", i))
      end
    end)
    for i = 1, TIMES do
      assert.same({ id = i, n = 100 + i }, db:first("SELECT * FROM t WHERE id = ?", i))
      assert.is_nil((db:first("SELECT * FROM t WHERE id = ?", -i)))
    end
  end)

  it("fails as before, and the transaction goes on", function()
    db:transaction(function(tx)
      tx:execute "INSERT INTO t (n) VALUES (1)"
      local err = error_of(function() tx:execute("INSERT INTO t (n) VALUES (?)", 1) end)
      assert.equal("unique", err.kind)
      assert.equal("INSERT INTO t (n) VALUES (?)", err.sql)
      assert.equal("check", error_of(function()
        tx:execute("INSERT INTO t (n) VALUES (?)", 1000)
      end).kind)
      assert.equal("usage", error_of(function()
        tx:execute("INSERT INTO t (n) VALUES (?)", perigee.default)
      end).kind)
      tx:execute("INSERT INTO t (n) VALUES (?)", 2)
    end)
    assert.equal(2, db:value "SELECT count(*) FROM t")
  end)

  it("loses the transaction as before", function()
    local ok, err = pcall(db.transaction, db, function(tx)
      for i = 1, TIMES do tx:execute("INSERT OR ROLLBACK INTO t (n) VALUES (?)", i) end
      assert.has_error(function()
        tx:execute("INSERT OR ROLLBACK INTO t (n) VALUES (?)", 1)
      end)
      tx:value "SELECT count(*) FROM t"
    end)
    assert.is_false(ok)
    assert.equal("aborted", err.kind)
    assert.equal(0, db:value "SELECT count(*) FROM t")
  end)

  it("waits for a lock, and runs then", function()
    local other = perigee.open("sqlite:///" .. file)
    for _ = 1, TIMES do db:execute "UPDATE t SET n = 7 WHERE id = 1" end
    perigee.run(function()
      local is_locked = false
      local holder = perigee.spawn(function()
        other:transaction(function(tx)
          tx:execute "INSERT INTO t (id, n) VALUES (1, 5)"
          is_locked = true
          perigee.sleep(0.05)
        end)
      end)
      repeat perigee.sleep(0.001) until is_locked
      assert.equal(1, db:execute("UPDATE t SET n = 7 WHERE id = 1").affected)
      holder:join()
    end)
    assert.equal(7, db:value "SELECT n FROM t")
    other:close { timeout = helper.patience(5) }
  end)

  it("is ended by its time", function()
    local long = "WITH RECURSIVE c (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c LIMIT ?)"
      .. " SELECT count(*) FROM c"
    for i = 1, 120 do assert.equal(i, db:value(long, i)) end -- it has proved quick
    local ok, err = pcall(db.value, db, long, { 1e12 }, { timeout = 0.05 })
    assert.is_false(ok)
    assert.equal("timeout", err.kind)
    assert.equal(3, db:value(long, 3))
  end)

  it("sees a new schema", function()
    db:execute "INSERT INTO t (n) VALUES (1)"
    for _ = 1, TIMES do assert.same({ id = 1, n = 1 }, db:one "SELECT * FROM t") end
    db:execute "ALTER TABLE t ADD COLUMN more TEXT DEFAULT 'x'"
    assert.same({ id = 1, n = 1, more = "x" }, db:one "SELECT * FROM t")
    db:execute "DROP TABLE t"
    assert.equal("undefined", error_of(function() db:one "SELECT * FROM t" end).kind)
  end)

  it("does not write where only reads are allowed", function()
    db:transaction(function(tx)
      for i = 1, TIMES do tx:execute("INSERT INTO t (n) VALUES (?)", i) end
    end)
    local err = error_of(function()
      db:transaction(function(tx) tx:execute("INSERT INTO t (n) VALUES (?)", 9) end,
        { readonly = true })
    end)
    assert.equal("permission", err.kind)
  end)

  it("is told to on_query, with and without a time of its own", function()
    local seen = {}
    local told = perigee.open("sqlite::memory:", {
      on_query = function(q) seen[#seen + 1] = { q.sql, q.rows } end })
    for _ = 1, TIMES do told:value "SELECT 1 + 1" end
    for _ = 1, TIMES do told:value("SELECT 1 + 1", {}, { timeout = 5 }) end
    assert.equal(2 * TIMES, #seen)
    for _, q in ipairs(seen) do assert.same({ "SELECT 1 + 1", 1 }, q) end
    told:close()
  end)
end)
