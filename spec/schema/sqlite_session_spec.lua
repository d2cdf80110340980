-- Sessions, scratch databases and database files of the SQLite dialect.
local perigee = require "perigee"
local helper = require "spec.support.helper"
local dialect = require "perigee.dialect.sqlite"

local ADD = { op = "add_check", table = "t", check = { name = "k", sql = "id > 0" } }
local INDEX = {
  op = "add_index", table = "t", index = { name = "i", keys = { { column = "id" } } },
}

describe("A session of SQLite for migrations", function()
  after_each(helper.cleanup)

  it("turns foreign keys off only where a table may be built anew, and back", function()
    local db = helper.open "sqlite::memory:"
    db:connection(function(conn)
      local function keys() return conn:value "PRAGMA foreign_keys" end
      dialect.prepare(conn, { ops = { INDEX } })
      assert.equal(1, keys())
      dialect.restore(conn)
      dialect.prepare(conn, { ops = { INDEX, ADD } })
      assert.equal(0, keys())
      dialect.restore(conn)
      assert.equal(1, keys())
      dialect.prepare(conn, { steps = { { sql = "" }, { sql = "", keys_off = true } } })
      assert.equal(0, keys())
      dialect.restore(conn)
      dialect.restore(conn) -- twice is fine
      dialect.prepare(conn, { steps = { { sql = "" } } })
      assert.equal(1, keys())
      dialect.restore(conn)
      dialect.prepare(conn)
      assert.equal(0, keys())
    end)
    assert.equal(1, db:value "PRAGMA foreign_keys") -- the pool's reset
  end)

  it("that had keys off keeps them off", function()
    local db = helper.open "sqlite::memory:?foreign_keys=off"
    db:connection(function(conn)
      conn:execute "PRAGMA legacy_alter_table = ON"
      dialect.prepare(conn)
      assert.equal(0, conn:value "PRAGMA legacy_alter_table")
      dialect.restore(conn)
      assert.equal(0, conn:value "PRAGMA foreign_keys")
      assert.equal(1, conn:value "PRAGMA legacy_alter_table")
    end)
  end)

  it("two at once come one after the other, and the second sees the first's work", function()
    local url = "sqlite:///" .. helper.tmpname()
    local a, b = helper.open(url), helper.open(url)
    a:script [[create table t (id integer primary key); insert into t values (1), (2);
      create table applied (n int)]]
    local function run(db)
      return db:connection(function(conn)
        assert.is_true(dialect.lock.acquire(conn, "key", { timeout = 5 }))
        dialect.prepare(conn, { ops = { ADD } })
        local did = conn:transaction(function(tx)
          if tx:first "select 1 from applied" then return false end
          for _, step in ipairs(dialect.steps(ADD, { tree = dialect.inspect(tx) })) do
            step.fn(tx)
            perigee.sleep(0.02) -- the other one arrives in the middle
          end
          tx:execute "insert into applied values (1)"
          return true
        end)
        dialect.restore(conn)
        dialect.lock.release(conn, "key")
        return did
      end)
    end
    local did = {}
    perigee.run(function()
      perigee.gather(function() did[1] = run(a) end, function() did[2] = run(b) end)
    end)
    assert.is_true(did[1] ~= did[2])
    assert.equal(1, #dialect.inspect(b).tables[2].checks)
    assert.equal(2, b:value "select count(*) from t")
    assert.is_nil(dialect.lock.holder(a, "key"))
    assert.is_nil(dialect.blockers(a))
  end)
end)

describe("A scratch database of SQLite", function()
  after_each(helper.cleanup)

  it("is empty, takes trees and statements, and is gone afterwards", function()
    local db = helper.open "sqlite::memory:"
    db:execute "create table mine (a)"
    local seen
    local tree, more = dialect.scratch(db, function(s)
      seen = s.x
      assert.equal(0, #s.tree_of().tables)
      s.create { tables = { { name = "t", columns = {
        { name = "id", type = { name = "int" }, null = true } } } } }
      s.run "create table u (b)"
      for _, step in ipairs(dialect.steps(ADD, { tree = s.tree_of() })) do step.fn(s.x) end
      return s.tree_of(), "more"
    end)
    assert.equal(2, #tree.tables)
    assert.equal("more", more)
    assert.is_false(pcall(seen.query, seen, "select 1"))
    assert.equal(1, #dialect.inspect(db).tables)
  end)

  it("passes errors on", function()
    local ok, err = pcall(dialect.scratch, nil, function(s) s.run "select x" end)
    assert.is_false(ok)
    assert.equal("undefined", err.kind)
  end)

  it("works inside of a loop", function()
    local n
    perigee.run(function()
      n = dialect.scratch(nil, function(s) return #s.tree_of().tables end)
    end)
    assert.equal(0, n)
  end)
end)

describe("Database files of SQLite", function()
  after_each(helper.cleanup)
  local admin = dialect.admin

  local function raises(kind, ...)
    local ok, err = pcall(...)
    assert.is_false(ok)
    assert.equal(kind, err.kind)
    return err
  end

  it("are created, listed and dropped", function()
    local folder = helper.tmpname()
    assert(os.execute("mkdir " .. folder))
    local path = folder .. "/a b?x=1.db"
    assert.is_false(admin.exists(nil, path))
    admin.create(nil, path)
    assert.is_true(admin.exists(nil, path))
    raises("duplicate", admin.create, nil, path)
    admin.create(nil, folder .. "/main.db")
    local db = helper.open("sqlite:///" .. folder .. "/main.db")
    db:execute "create table t (a)"
    local names = {}
    local f = assert(io.open(folder .. "/other.txt", "w"))
    f:write "no database"
    f:close()
    for i, d in ipairs(admin.list(db)) do
      names[i] = d.name
      assert.is_true(d.bytes >= 512)
    end
    assert.same({ "a b?x=1.db", "main.db" }, names)
    db:close()
    admin.drop(nil, path)
    assert.is_false(admin.exists(nil, path))
    raises("undefined", admin.drop, nil, path)
    admin.drop(nil, path, { if_exists = true })
    raises("usage", admin.drop, nil, path, { cascade = true })
    raises("usage", admin.drop, nil, folder .. "/other.txt")
    raises("usage", admin.drop, nil, "")
    assert.truthy(io.open(folder .. "/other.txt")):close()
    admin.drop(nil, folder .. "/main.db")
    assert.is_nil(io.open(folder .. "/main.db-wal"))
    os.remove(folder .. "/other.txt")
    assert(os.remove(folder))
  end)
end)
