-- The session of a run on MariaDB: the lock between runners, limits; and databases.
local perigee = require "perigee"
local helper = require "spec.support.helper"
local dialect = require "perigee.dialect"

local D = dialect.named "mysql"

helper.for_each_db(function(_, open)
  local db

  before_each(function() db = open { max_size = 4 } end)

  describe("the lock", function()
    it("is one runner's until it is given back", function()
      perigee.run(function()
        db:connection(function(a)
          assert.is_true(D.lock.acquire(a, "perigee_migration"))
          local told = {}
          local other = perigee.spawn(function()
            return db:connection(function(b)
              assert.is_nil(D.lock.acquire(b, "perigee_migration", { timeout = 0.05,
                on_wait = function(who) told[#told + 1] = who end }))
              assert.is_true(D.lock.acquire(b, "another"))
              assert.is_true(D.lock.acquire(b, "perigee_migration", { timeout = 5 }))
              D.lock.release(b, "perigee_migration")
              D.lock.release(b, "another")
              return "done"
            end)
          end)
          perigee.sleep(0.2)
          assert.matches("^connection %d+, user ", D.lock.holder(a, "perigee_migration"))
          assert.is_true(D.lock.release(a, "perigee_migration"))
          assert.equal("done", other:join())
          assert.is_nil(D.lock.holder(a, "perigee_migration"))
          assert.matches("^connection %d+", told[1])
        end)
      end)
    end)

    it("is refused in a transaction", function()
      assert.error_matches(function()
        db:transaction(function(tx) D.lock.acquire(tx, "k") end)
      end, "cannot be taken inside a transaction")
      assert.error_matches(function()
        db:connection(function(c) D.lock.acquire(c, "k", { timeut = 1 }) end)
      end, 'unknown option "timeut": allowed are on_wait, timeout')
    end)
  end)

  it("the session has limits, and none afterwards", function()
    db:connection(function(conn)
      local function limits()
        local row = conn:one [[select @@lock_wait_timeout as a, @@innodb_lock_wait_timeout as b,
          @@max_statement_time as c]]
        return { tonumber(row.a), tonumber(row.b), tonumber(row.c) }
      end
      local before = limits()
      D.prepare(conn, { lock_timeout = 3, statement_timeout = 30 })
      assert.same({ 3, 3, 30 }, limits())
      D.adjust(conn, { lock_timeout = 0, statement_timeout = 0 })
      assert.same({ 86400, 86400, 0 }, limits())
      D.restore(conn)
      assert.same(before, limits())
      assert.error_matches(function() D.prepare(conn, { x = 1 }) end, 'unknown option "x"')
    end)
  end)

  it("databases are made, listed and dropped", function()
    local admin = D.admin
    assert.is_false(admin.exists(db, "perigee_other"))
    admin.create(db, "perigee_other")
    assert.is_true(admin.exists(db, "perigee_other"))
    local names = {}
    for _, row in ipairs(admin.list(db)) do names[row.name] = row.encoding end
    assert.equal("utf8mb4", names.perigee_other)
    local ok, err = pcall(admin.create, db, "perigee_other")
    assert.same({ false, "duplicate" }, { ok, err.kind })
    admin.drop(db, "perigee_other")
    admin.drop(db, "perigee_other", { if_exists = true })
    ok, err = pcall(admin.drop, db, "perigee_other")
    assert.same({ false, "undefined" }, { ok, err.kind })
    assert.error_matches(function() admin.create(db, ("x"):rep(65)) end, "longer than 64")
    assert.error_matches(function() admin.create(db, "x", { charset = "a b" }) end,
      "is not a name")
  end)
end, { "mysql" })
