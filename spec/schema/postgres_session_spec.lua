-- The session of a run on PostgreSQL: the lock between runners, limits, who blocks; and
-- databases and roles.
local perigee = require "perigee"
local helper = require "spec.support.helper"
local dialect = require "perigee.dialect"

local D = dialect.named "postgres"

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
          assert.matches("^backend %d+, user postgres", D.lock.holder(a, "perigee_migration"))
          assert.is_true(D.lock.release(a, "perigee_migration"))
          assert.equal("done", other:join())
          assert.equal(D.lock.holder(a, "perigee_migration"), nil)
          assert.matches("^backend %d+", told[1])
        end)
      end)
    end)

    it("is refused in a transaction and behind a pooler in transaction mode", function()
      assert.error_matches(function()
        db:transaction(function(tx) D.lock.acquire(tx, "k") end)
      end, "cannot be taken inside a transaction")
      local one, two = open { max_size = 1 }, open { max_size = 1 }
      one:connection(function(a)
        two:connection(function(b)
          -- each statement may be answered by another session
          local pooled = {
            in_transaction = function() return false end,
            first = function(_, ...) return b:first(...) end,
            value = function(_, sql, ...)
              return (sql:find "try_advisory" and a or b):value(sql, ...)
            end,
          }
          assert.error_matches(function() D.lock.acquire(pooled, "k") end,
            "a pooler in transaction mode")
        end)
        D.lock.release(a, "k")
      end)
      assert.error_matches(function()
        db:connection(function(c) D.lock.acquire(c, "k", { timeut = 1 }) end)
      end, 'unknown option "timeut": allowed are on_wait, timeout')
    end)
  end)

  describe("the session", function()
    it("has limits, and none afterwards", function()
      db:connection(function(conn)
        local function limits()
          return { conn:value "show lock_timeout", conn:value "show statement_timeout" }
        end
        local before = limits()
        D.prepare(conn, { lock_timeout = 1.5, statement_timeout = 30 })
        assert.same({ "1500ms", "30s" }, limits())
        D.adjust(conn, { lock_timeout = 0, statement_timeout = 0 })
        assert.same({ "0", "0" }, limits())
        D.restore(conn)
        assert.same(before, limits())
        assert.error_matches(function() D.prepare(conn, { x = 1 }) end, 'unknown option "x"')
      end)
    end)

    it("knows who is in the way", function()
      db:script "create table t (a int)"
      perigee.run(function()
        local tx = db:begin()
        tx:script "lock table t; select 'the blocker'"
        local waiting = perigee.spawn(function()
          return pcall(db.transaction, db, function(other)
            other:script "set local lock_timeout = '2s'; lock table t"
          end)
        end)
        local list
        for _ = 1, 100 do
          perigee.sleep(0.02)
          local pid = db:value [[select pid from pg_stat_activity
            where wait_event_type = 'Lock' and datname = current_database()]]
          list = pid and D.blockers(db, pid)
          if list then break end
        end
        assert.equal(1, #list)
        assert.matches("the blocker", list[1].query)
        assert.is_true(list[1].age >= 0)
        assert.is_nil(D.blockers(db, list[1].pid))
        tx:rollback()
        assert.is_true(waiting:join())
      end)
    end)
  end)

  describe("administration", function()
    it("creates, lists and drops databases of any name", function()
      local name = 'x"; drop table t; -- Ünï'
      D.admin.drop(db, name, { if_exists = true })
      assert.is_false(D.admin.exists(db, name))
      D.admin.create(db, name, { owner = "postgres", encoding = "UTF8", locale = "C" })
      assert.is_true(D.admin.exists(db, name))
      local found
      for _, row in ipairs(D.admin.list(db)) do found = row.name == name and row or found end
      assert.equal("postgres", found.owner)
      assert.equal("UTF8", found.encoding)
      assert.is_true(found.size > 1e6)
      local ok, err = pcall(D.admin.create, db, name)
      assert.is_false(ok)
      assert.equal("duplicate", err.kind)
      D.admin.drop(db, name, { force = true })
      assert.is_false(D.admin.exists(db, name))
      ok, err = pcall(D.admin.drop, db, name)
      assert.is_false(ok)
      assert.equal("undefined", err.kind)
      assert.error_matches(function() D.admin.create(db, ("x"):rep(64)) end,
        "longer than 63 bytes")
      assert.error_matches(function() D.admin.create(db, "x", { ownr = "y" }) end,
        'unknown option "ownr": allowed are encoding, locale, owner, template')
    end)

    it("creates roles that may only read", function()
      local name, password = 'read"er', "x'; CREATE ROLE pwned SUPERUSER; --"
      pcall(D.admin.drop_role, db, name)
      db:script "create table t (a int); insert into t values (1)"
      local statements = {}
      local watched = open { on_query = function(event)
        statements[#statements + 1] = tostring(event and event.sql or event)
      end }
      D.admin.create_read_only_role(watched, name, { password = password })
      assert.is_nil(table.concat(statements, "\n"):find("pwned", 1, true))
      db:script "create table later (a int)"
      assert.equal(0, db:value "select count(*)::int4 from pg_roles where rolname = 'pwned'")
      db:connection(function(conn)
        conn:script('set role "read""er"')
        assert.equal(1, conn:value "select a from t")
        assert.equal(0, conn:value "select count(*)::int4 from later")
        local ok, err = pcall(conn.script, conn, "insert into t values (2)")
        assert.is_false(ok)
        assert.equal("permission", err.kind)
        conn:script "reset role"
      end)
      assert.is_true(db:value("select rolcanlogin and not rolsuper and rolpassword is not null "
        .. "from pg_authid where rolname = ?", name))
      D.admin.drop_role(db, name)
      assert.equal(0, db:value("select count(*)::int4 from pg_roles where rolname = ?", name))
    end)

    it("does not drop a role that owns something", function()
      db:script [[drop role if exists owns; create role owns;
        create table mine (a int); alter table mine owner to owns]]
      assert.error_matches(function() D.admin.drop_role(db, "owns") end,
        "role owns owns 1 object: give them to another role first")
      db:script "drop table mine; drop role owns"
    end)
  end)
end, { "postgres" })
