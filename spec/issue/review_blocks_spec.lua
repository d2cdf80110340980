-- Which block a call belongs to, and what the end of a block undoes.
local helper = require "spec.support.helper"
local perigee = require "perigee"
local core = require "perigee.core"

local function fails(kind, f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok)
  assert.equal(kind, err.kind, tostring(err))
end

helper.for_each_db(function(_, open)
  describe("blocks", function()
    local db
    before_each(function()
      db = open { max_size = 2 }
      db:execute "create table t (a integer)"
    end)

    local function count()
      return tonumber(db:value "select count(*) from t")
    end

    it("opened on an outer handle by the same task are inside the inner one", function()
      local tx = db:begin()
      local a = tx:begin()
      a:execute "insert into t values (1)"
      local b = tx:begin()
      b:execute "insert into t values (2)"
      a:rollback()
      assert.equal(0, tonumber(tx:value "select count(*) from t"))
      tx:rollback()
    end)

    it("on a connection nest as savepoints", function()
      db:connection(function(conn)
        local outer = conn:begin()
        outer:execute "insert into t values (1)"
        local inner = conn:begin()
        inner:execute "insert into t values (2)"
        inner:commit()
        fails("usage", conn.begin, conn, { readonly = true })
        outer:rollback()
      end)
      assert.equal(0, count())
    end)

    it("outlive a block between that nobody holds", function()
      local tx = db:begin()
      local between = tx:begin() -- luacheck: ignore
      local inner = tx:begin()
      between = nil -- luacheck: ignore
      collectgarbage()
      collectgarbage()
      inner:rollback()
      inner = nil -- luacheck: ignore
      collectgarbage()
      collectgarbage()
      tx:rollback()
    end)

    it("that have ended are joined by no verb", function()
      db:transaction(function(tx)
        tx:rollback()
        fails("closed", db.execute, db, "insert into t values (1)")
        fails("closed", db.transaction, db, function() end)
        fails("closed", db.each, db, "select 1")
        assert.is_false(db:in_transaction())
      end)
      assert.equal(0, count())
    end)

    it("are not repeated for what happens after their commit", function()
      local runs = 0
      fails("serialization", db.transaction, db, function(tx)
        runs = runs + 1
        tx:execute "insert into t values (1)"
        tx:on_commit(function()
          error(core.new_error("serialization", "a hook's", { retryable = true }), 0)
        end)
      end, { retries = 2 })
      assert.equal(1, runs)
      assert.equal(1, count())
    end)

    it("of a task that has ended are not those of a new one", function()
      local one = open { max_size = 1 }
      perigee.run(function()
        one:value "select 1"
        for _ = 1, 20 do
          local tx
          perigee.spawn(function() tx = one:begin() end):join()
          collectgarbage()
          collectgarbage()
          local waiter = perigee.spawn(function() return one:value "select 1" end)
          perigee.sleep(0.001)
          tx:rollback()
          assert.equal(1, tonumber(waiter:join()))
        end
      end)
    end)
  end)
end)
