-- Waits that are cut short, and code of the user's that runs in the middle of one.
local helper = require "spec.support.helper"
local perigee = require "perigee"
local core = require "perigee.core"

local function mock(script, options)
  local text = script:gsub("[^%w]", function(c) return ("%%%02X"):format(c:byte()) end)
  return helper.open("mock:review?script=" .. text, options)
end

local function fails(kind, f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok)
  assert.equal(kind, err.kind, tostring(err))
  return err
end

describe("a wait", function()
  after_each(helper.cleanup)

  it("on the main task is not disturbed by a finaliser that calls", function()
    local db, other = helper.open "sqlite::memory:", helper.open "sqlite::memory:"
    local proxy = rawget(_G, "newproxy")
    local function arm()
      local box = proxy and proxy(true) or setmetatable({}, {})
      getmetatable(box).__gc = function() pcall(other.value, other, "select 1") end
      if not proxy then setmetatable(box, getmetatable(box)) end
    end
    for _ = 1, 5 do
      for _ = 1, 50 do arm() end
      local rows = db:query("with recursive c(n) as (select 1 union all select n + 1"
        .. " from c where n < 5000) select n, 'x' || n as s from c")
      assert.equal(5000, #rows)
      assert.equal("x5000", rows[5000].s)
    end
  end)

  it("is not disturbed by a codec that iterates or closes", function()
    local db, it
    local codec = { decode = function(s)
      pcall(db.each, db, "select 1")
      if it then pcall(it.close, it) end
      return s
    end }
    db = helper.open("sqlite::memory:", { codecs = { TEXT = codec, text = codec } })
    db:script "create table t (a text, b text); insert into t values ('1', 'x'), ('2', 'y')"
    assert.equal("y", db:query "select * from t"[2].b)
    local _
    _, it = db:each "select * from t"
    it:next()
    assert.equal("y", it:next().b)
    it:close()
  end)

  it("of an iterator that another task closes leaves the pool's queue", function()
    local db = mock("on any rows a:int | 1", { max_size = 1 })
    perigee.run(function()
      local tx = db:begin()
      local _, it = db:each "select 1"
      local task = perigee.spawn(function()
        assert.is_nil((it:next()))
        return db:value "select 1", db:value "select 1"
      end)
      perigee.sleep(0.01)
      it:close()
      perigee.sleep(0.01)
      tx:rollback()
      assert.equal(1, (task:join()))
      assert.equal(0, db:stats().waiting)
    end)
  end)

  it("ends in time while on_connect runs, whose connection is closed", function()
    local db = mock("on any rows a:int | 1", {
      max_size = 1, acquire_timeout = 2,
      on_connect = function() perigee.sleep(0.1) end,
    })
    perigee.run(function()
      fails("timeout", perigee.timeout, 0.02, db.value, db, "select 1")
      local task = perigee.spawn(db.value, db, "select 1")
      perigee.sleep(0.02)
      task:cancel()
      fails("cancelled", task.join, task)
      assert.equal(1, db:value "select 1")
    end)
  end)

  it("of on_connect for its own connection is an error at once", function()
    local db
    db = mock("on any rows a:int | 1", {
      max_size = 1, on_connect = function() db:query "select 1" end,
    })
    fails("usage", db.query, db, "select 1")
  end)

  it("keeps its parameters while on_connect runs on a connection that was idle", function()
    local db = mock("on echo echo", {
      max_size = 1, reset = "always", on_connect = function() perigee.sleep(0.02) end,
    })
    perigee.run(function()
      db:query("select ?", { "a" })
      perigee.sleep(0.05)
      local params = { ("x"):rep(60) .. tostring {} }
      local want = #params[1]
      local task = perigee.spawn(function() return #db:value("select ?", params) end)
      perigee.sleep(0.005)
      params[1] = nil
      collectgarbage()
      collectgarbage()
      assert.equal(want, task:join())
    end)
  end)

  it("ignores a class that was taken away meanwhile", function()
    local db = mock("on any wait 20ms rows a:int | 1")
    perigee.run(function()
      local options = { class = {} }
      local task = perigee.spawn(db.query, db, "select 1", {}, options)
      perigee.sleep(0.005)
      options.class = 5
      assert.equal(1, task:join()[1].a)
    end)
    local lite, options = helper.open "sqlite::memory:", { class = {} }
    for row in lite:each("select 1 as a union all select 2", {}, options) do
      assert.is_truthy(row.a)
      options.class = 5
    end
  end)
end)

describe("perigee.wrap", function()
  after_each(helper.cleanup)

  it("in a callback that cannot wait leaves no wait behind", function()
    local db = mock('on "select 111" wait 5ms rows a:int | 111\n'
      .. 'on "select 222" wait 5ms rows a:int | 222')
    perigee.run(function()
      for _, depth in ipairs { 1, 2 } do
        local function sorts()
          table.sort({ 3, 1, 2 }, function()
            return perigee.wrap(function() return db:value "select 111" end)() == 0
          end)
        end
        fails("usage", depth == 1 and sorts or perigee.wrap(sorts))
        assert.equal(222, db:value "select 222")
      end
    end)
  end)

  it("refuses another task while one waits in it", function()
    local db = mock("on any wait 20ms rows a:int | 1")
    perigee.run(function()
      local gen = perigee.wrap(function() return db:value "select 1" end)
      local first = perigee.spawn(gen)
      local second = perigee.spawn(gen)
      fails("usage", second.join, second)
      assert.equal(1, first:join())
    end)
  end)
end)

describe("a task", function()
  after_each(helper.cleanup)

  it("that was cancelled is no news to perigee.run", function()
    perigee.run(function()
      perigee.spawn(perigee.sleep, 1):cancel()
      local task = perigee.spawn(perigee.sleep, 1)
      perigee.sleep(0.001)
      task:cancel()
    end)
  end)

  it("gets timeout from a gather whose time is over", function()
    perigee.run(function()
      local function nap() perigee.sleep(1) end
      fails("timeout", perigee.timeout, 0.01, perigee.gather, nap, nap)
      assert.equal(1, core.tasks())
    end)
  end)

  it("that ended with an error keeps nothing but the error", function()
    local db = helper.open("sqlite::memory:")
    perigee.run(function()
      local task = perigee.spawn(function()
        for _ in db:each "select 1 union all select 2" do error "stop" end
      end)
      assert.is_false((pcall(task.join, task)))
      collectgarbage()
      collectgarbage()
      assert.equal(5, db:value "select 5")
      assert.equal("failed", task:status())
    end)
  end)
end)

describe("close", function()
  after_each(helper.cleanup)

  it("called twice ends for both as soon as all is back", function()
    local db = mock("on any rows a:int | 1", { max_size = 1 })
    perigee.run(function()
      local tx, began = db:begin(), core.now()
      local first = perigee.spawn(db.close, db, { timeout = 3 })
      perigee.sleep(0.01)
      tx:rollback()
      db:close()
      first:join()
      assert.is_true(core.now() - began < helper.patience(1))
    end)
  end)

  it("of a handle that finalisers still use is an error, not a crash", function()
    local db = helper.open "sqlite::memory:"
    local dbmt = getmetatable(db)
    local gc = dbmt.__gc
    local own = perigee.open "sqlite::memory:"
    gc(own)
    fails("closed", own.query, own, "select 1")
    fails("closed", own.begin, own)
  end)
end)

describe("a handle that was dropped", function()
  after_each(helper.cleanup)

  it("is not touched by what a refused call has left behind", function()
    local other = helper.open "sqlite::memory:"
    for _ = 1, 5 do
      local db = perigee.open "sqlite::memory:"
      fails("usage", db.query, db, "select ?", 1, 2)
      db = nil -- luacheck: ignore
      collectgarbage()
      collectgarbage()
      assert.equal(1, other:value "select 1")
    end
  end)
end)

local has_ffi, ffi = pcall(require, "ffi")

describe("a fork", function()
  if not has_ffi then return end
  ffi.cdef "int fork(void); void _exit(int); int waitpid(int, int *, int);"
  after_each(helper.cleanup)

  it("leaves the child no handle of the parent's, but one of its own (F-57)", function()
    local db = helper.open "sqlite::memory:"
    local tx = db:begin()
    local pid = ffi.C.fork()
    if pid == 0 then
      local ok = pcall(function()
        fails("usage", db.value, db, "select 1")
        fails("usage", tx.value, tx, "select 1")
        assert.equal(5, perigee.open "sqlite::memory:":value "select 5")
      end)
      ffi.C._exit(ok and 0 or 1)
    end
    local status = ffi.new "int[1]"
    ffi.C.waitpid(pid, status, 0)
    assert.equal(0, status[0])
    assert.equal(1, tx:value "select 1")
    tx:rollback()
  end)
end)
