-- fork() with handles open: the child has handles that work or says why not, and never
-- touches what is its parent's.

local helper = require "spec.support.helper"
local expect = require "spec.support.expect"
local perigee = require "perigee"

local fails = expect.fails
local process = assert(package.loadlib(helper.build .. "/fork.so", "luaopen_fork"))()

local sanitized = (os.getenv "LD_PRELOAD" or ""):find("asan", 1, true)

local function count_threads()
  for line in io.lines "/proc/self/status" do
    local n = line:match "^Threads:%s*(%d+)"
    if n then return n end
  end
end

-- A thread that ends in the moment of the fork may hold a lock of the sanitizer's, which
-- the child's first thread would wait for in vain. So no thread has ended for a while.
local function settle()
  local n, quiet = count_threads(), 0
  while sanitized and quiet < 10 do
    perigee.sleep(0.02)
    local now = count_threads()
    quiet = now == n and quiet + 1 or 0
    n = now
  end
end

-- Starts fn in a child process; the function given back waits for it and passes on
-- what it raised.
local function start_child(fn)
  local note = helper.tmpname()
  settle()
  local pid = process.fork()
  if pid == 0 then
    local ok, err = pcall(fn)
    if not ok then
      local f = io.open(note, "w")
      f:write(tostring(err))
      f:close()
    end
    process.leave(ok and 0 or 1)
  end
  return function()
    local status = process.wait(pid)
    local f = io.open(note, "r")
    local why = f and f:read "*a" or "no message"
    if f then f:close() end
    os.remove(note)
    assert.equal(0, status, why)
  end
end

local function in_child(fn) start_child(fn)() end

helper.for_each_db(function(name, open)
  -- Only of a server can a child have connections beside its parent's.
  local has_server = name == "postgres"

  describe("a fork", function()
    it("leaves a handle that was not used as good as new", function()
      local db = open { max_size = 2 }
      in_child(function()
        assert.equal(5, db:value "select 5")
        db:transaction(function(tx) assert.equal(6, tx:value "select 6") end)
        db:close()
      end)
      assert.equal(7, db:value "select 7")
    end)

    it("leaves children of children such a handle too", function()
      local db = open()
      in_child(function()
        in_child(function() assert.equal(5, db:value "select 5") end)
        assert.equal(6, db:value "select 6")
      end)
    end)

    it("runs a handle's on_connect in the child, for the child's connection", function()
      local seen = 0
      local db = open { on_connect = function(conn)
        seen = seen + conn:value "select 1"
      end }
      in_child(function()
        db:ping()
        assert.equal(1, seen)
      end)
      assert.equal(0, seen)
    end)

    it("lets the child run a loop of its own", function()
      local db = open { max_size = 2 }
      in_child(function()
        local one, two
        perigee.run(function()
          perigee.gather(function() one = db:value "select 1" end,
            function() two = db:value "select 2" end)
        end)
        assert.same({ 1, 2 }, { one, two })
      end)
    end)

    it("does not give the child its parent's transaction", function()
      local db = open { max_size = 1 }
      local tx = db:begin()
      assert.equal(1, tx:value "select 1")
      in_child(function()
        local err = fails("usage", tx.value, tx, "select 1")
        assert.matches("before a fork", err.message)
        fails("usage", tx.begin, tx)
        pcall(tx.rollback, tx)
        tx = nil -- luacheck: ignore
        collectgarbage()
        collectgarbage()
        if has_server then assert.equal(2, db:value "select 2") end
      end)
      assert.equal(3, tx:value "select 3")
      tx:commit()
    end)

    it("does not give the child the block that it was forked in", function()
      local db = open { max_size = 1 }
      db:transaction(function(tx)
        in_child(function()
          local err = fails("usage", db.value, db, "select 1")
          assert.matches("before", err.message)
          fails("usage", tx.value, tx, "select 1")
        end)
        assert.equal(1, tx:value "select 1")
      end)
      assert.equal(2, db:value "select 2")
    end)

    it("does not give the child its parent's rows", function()
      local db = open { max_size = 2 }
      local n = 0
      local sql = [[with recursive s(n) as
        (select 1 union all select n + 1 from s where n < 20000) select n from s]]
      local _, it = db:each(sql)
      assert(it:next())
      in_child(function()
        local ok, err = true, nil
        for _ = 1, 20000 do -- the rows at hand are the child's as well
          ok, err = pcall(it.next, it)
          if not ok then break end
        end
        assert.is_false(ok)
        assert.equal("usage", err.kind)
        it = nil -- luacheck: ignore
        collectgarbage()
        collectgarbage()
      end)
      while it:next() do n = n + 1 end
      assert.equal(19999, n)
    end)

    it("leaves a listener to the parent; the child opens its own", function()
      if not has_server then return end
      local db = open { max_size = 2 }
      local listener, closed = db:listen "jobs", db:listen "jobs"
      in_child(function()
        local err = fails("usage", listener.next, listener)
        assert.matches("before a fork", err.message)
        closed:close()
        local own = db:listen "jobs"
        fails("usage", listener.next, listener)
        db:notify("jobs", "child")
        assert.equal("child", own:next().payload)
        listener, closed = nil, nil -- luacheck: ignore
        collectgarbage()
        collectgarbage()
        db:close()
      end)
      assert.equal("child", listener:next().payload)
      db:notify("jobs", "parent")
      assert.equal("parent", listener:next().payload)
      assert.equal("child", closed:next().payload)
    end)

    it("inside of perigee.run is refused in the child only", function()
      local db = open { max_size = 2 }
      perigee.run(function()
        perigee.spawn(function() perigee.sleep(0.02) end)
        in_child(function()
          local err = fails("usage", db.value, db, "select 1")
          assert.matches("perigee.run", err.message)
        end)
        assert.equal(1, db:value "select 1")
      end)
    end)

    it("does not mind a call that has raised before", function()
      local db, other = open(), helper.open "sqlite::memory:"
      fails("undefined", other.query, other, "select * from no_such_table")
      in_child(function() assert.equal(1, db:value "select 1") end)
    end)

    it("lets the child close what it cannot use", function()
      local db = open()
      assert.equal(1, db:value "select 1")
      in_child(function()
        db:close { timeout = 1 }
        fails("closed", db.value, db, "select 1")
      end)
      assert.equal(2, db:value "select 2")
    end)
  end)
end)

describe("a fork with connections to PostgreSQL", function()
  if not os.getenv "PERIGEE_TEST_POSTGRES" then
    pending "needs PERIGEE_TEST_POSTGRES"
    return
  end
  after_each(helper.cleanup)

  local function open(options)
    return helper.open(os.getenv "PERIGEE_TEST_POSTGRES", options)
  end

  it("gives each child connections of its own", function()
    local db = open { max_size = 3 }
    local parent = db:value "select pg_backend_pid()"
    local function child()
      local own = db:value "select pg_backend_pid()"
      assert.are_not.equal(parent, own)
      db:execute "select pg_sleep(0.02)"
      assert.equal(own, db:value "select pg_backend_pid()")
      local stats = db:stats()
      assert.equal(1, stats.size)
      assert.equal(1, stats.idle)
    end
    local first, second = start_child(child), start_child(child)
    assert.equal(parent, db:value "select pg_backend_pid()")
    first()
    second()
    assert.equal(parent, db:value "select pg_backend_pid()")
  end)

  it("does not cancel its parent's query", function()
    local db = open { max_size = 2 }
    perigee.run(function()
      local query = perigee.spawn(function()
        return db:value "select 'done' from pg_sleep(0.3)"
      end)
      perigee.sleep(0.05)
      in_child(function()
        query = nil -- luacheck: ignore
        db = nil -- luacheck: ignore
        collectgarbage()
        collectgarbage()
      end)
      assert.equal("done", query:join())
    end)
  end)
end)

describe("a fork with a SQLite file open", function()
  after_each(helper.cleanup)
  local path
  before_each(function() path = helper.tmpname() .. ".db" end)
  after_each(function()
    for _, ending in ipairs { "", "-wal", "-shm" } do os.remove(path .. ending) end
  end)

  local function open() return helper.open("sqlite:///" .. path) end

  it("keeps the child from that file, by whatever handle", function()
    local db = open()
    db:execute "create table t (n integer)"
    in_child(function()
      local err = fails("usage", db.value, db, "select 1")
      assert.matches("before a fork", err.message)
      err = fails("usage", function() return open():value "select 1" end)
      assert.matches("was open in the process", err.message)
      assert.is_string(err.hint)
      assert.equal(5, helper.open "sqlite::memory:":value "select 5")
    end)
    db:execute "insert into t values (1)"
  end)

  it("is fine when the parent has closed it, also for what is written then", function()
    local db = open()
    db:execute "create table t (n integer)"
    db:close()
    db = open()
    local wait = start_child(function()
      db:execute "insert into t values (1)"
      perigee.sleep(0.1)
      db:execute "insert into t values (2)"
    end)
    perigee.sleep(0.05)
    db:execute "insert into t values (3)"
    db:close()
    wait()
    assert.equal(3, open():value "select count(*) from t")
  end)

  it("keeps a database in memory in the process that filled it", function()
    local db = helper.open "sqlite::memory:"
    db:execute "create table t (n integer)"
    in_child(function()
      fails("usage", db.query, db, "select * from t")
    end)
    assert.equal(0, db:value "select count(*) from t")
  end)
end)
