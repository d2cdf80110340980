-- Specs of to-be-closed variables, which only Lua 5.4 can read; loaded by
-- spec/shared/transaction_spec.lua for each database.
local busted = require "busted"
local expect = require "spec.support.expect"
local perigee = require "perigee"

local function count(x)
  return x:value "select count(*) from t"
end

local function add(x, id)
  x:execute("insert into t (id, n) values (?, 0)", id)
end

local assert = busted.assert
local specs = {}

specs["local tx <close> rolls back what was not committed"] = function(db)
  do
    local tx <close> = db:begin()
    add(tx, 1)
  end
  assert.equal(0, db:stats().in_use)
  assert.equal(0, count(db))
  do
    local tx <close> = db:begin()
    add(tx, 1)
    tx:commit()
  end
  assert.equal(1, count(db))
  local ok, err = pcall(function()
    local tx <close> = db:begin()
    add(tx, 2)
    error("x", 0)
  end)
  assert.same({ false, "x" }, { ok, err })
  assert.equal(1, count(db))
  assert.equal(0, db:stats().in_use)
end

specs["local tx <close> closes savepoints, inner ones first"] = function(db)
  do
    local tx <close> = db:begin()
    add(tx, 1)
    do
      local a <close> = tx:begin()
      add(a, 2)
      local b <close> = a:begin()
      add(b, 3)
      b:commit()
    end
    assert.equal(1, count(tx))
    tx:commit()
  end
  assert.equal(1, count(db))
end

specs["local tx <close> of a cancelled task is rolled back"] = function(db)
  perigee.run(function()
    local job = perigee.spawn(function()
      local tx <close> = db:begin()
      add(tx, 1)
      perigee.sleep(100)
    end)
    expect.eventually(function() return job:status() == "waiting"
      and db:stats().in_use == 1 end)
    perigee.sleep(0.02)
    job:cancel()
    expect.fails("cancelled", job.join, job)
    assert.equal(0, db:stats().in_use)
    assert.equal(0, count(db))
  end)
end

specs["local tx <close> where nothing can wait leaves it to the pool"] = function(db)
  perigee.run(function()
    local tx = db:begin()
    add(tx, 1)
    table.sort({ 2, 1 }, function(a, b)
      local closing <close> = tx -- luacheck: ignore closing
      return a < b
    end)
    expect.fails("closed", tx.query, tx, "select 1")
    expect.idle(db)
    assert.equal(0, count(db))
  end)
end

specs["a coroutine that is closed gives its connection back"] = function(db)
  perigee.run(function()
    local gen = perigee.wrap(function()
      local tx <close> = db:begin()
      add(tx, 1)
      coroutine.yield(1)
    end)
    gen()
    assert.equal(1, db:stats().in_use)
    gen = nil -- luacheck: ignore
    expect.idle(db)
    assert.equal(0, count(db))
  end)
end

specs["break and error leave each clean"] = function(db)
  for i = 1, 20 do add(db, i) end
  for row in db:each "select id from t order by id" do
    if row.id == 3 then break end
  end
  expect.idle(db)
  pcall(function()
    for _ in db:each "select id from t" do error "x" end
  end)
  expect.idle(db)
  db:transaction(function(tx)
    for row in tx:each "select id from t" do
      if row.id then break end
    end
    add(tx, 100)
  end)
  assert.equal(21, count(db))
end

specs["local db <close> closes the handle"] = function()
  local kept
  do
    local other <close> = perigee.open "sqlite::memory:"
    assert.equal(1, other:value "select 1")
    kept = other
  end
  assert.is_true(kept:stats().is_closed)
  expect.fails("closed", kept.query, kept, "select 1")
end

return function(open)
  for title, spec in pairs(specs) do
    busted.it(title, function()
      local db = open { max_size = 1, on_warning = function() end }
      db:script "create table t (id integer primary key, n integer)"
      spec(db)
    end)
  end
end
