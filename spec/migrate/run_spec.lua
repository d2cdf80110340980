-- Running migrations: up, finish, down, failures and what is left of them, stamp, sync.
local perigee = require "perigee"
local expect = require "spec.support.expect"
local folders = require "spec.support.migrations"
local helper = require "spec.support.helper"
local of_type = folders.of_type

local fails, ids = folders.fails, folders.ids

local ORDERS = [[
    m:create_table("orders", function(t)
      t.id = bigint { identity = true, pk = true }
      t.total = int { default = 0 }
    end)]]

-- aaa1: orders; bbb2: a column, an index, a check
local function write_two(folder)
  folder:migration("001_orders", { id = "aaa1", change = ORDERS })
  folder:migration("002_note", { id = "bbb2", after = "aaa1", change = [[
    local o = m:alter "orders"
    o:add_column("note", text { null = true })
    o:add_index { "total", name = "orders_total_idx" }
    o:add_check("total_positive", "total >= 0")]] })
end

local function row_of(db, id)
  return db:first("select * from perigee_migration where id = ?", id)
end

helper.for_each_db(function(database, open)
  local is_postgres = database == "postgres"
  local folder

  before_each(function() folder = folders.new() end)
  after_each(folders.cleanup)

  -- ---- up and down ---------------------------------------------------------

  it("upgrades step by step, and then has nothing to do", function()
    write_two(folder)
    local db = open()
    local m = folder:open(db)
    assert.are.equal("empty", m:status().state)
    assert.are.equal("aaa1", ids(m:upgrade("+1").applied))
    assert.are.equal("aaa1", ids(m:current()))
    local status = m:status()
    assert.are.equal("pending", status.state)
    assert.are.equal("bbb2", ids(status.pending))
    local ready, why = m:ready()
    assert.is_false(ready)
    assert.are.equal("1 migration is pending", why)
    assert.are.equal("bbb2", ids(m:upgrade().applied))
    assert.are.equal("up_to_date", m:status().state)
    assert.is_true(m:ready())
    assert.is_true(db:has_column("orders", "note"))
    expect.fails("check", db.insert, db, "orders", { total = -1 })
    m.events[1] = nil
    local before = #m.events
    assert.are.same({}, m:upgrade().applied)
    assert.are.equal(before, #m.events) -- no lock was taken
  end)

  it("keeps who, when and how many steps in the journal", function()
    write_two(folder)
    local db = open()
    folder:open(db):upgrade()
    local row = row_of(db, "bbb2")
    assert.are.equal("applied", row.state)
    assert.are.equal("002_note", row.name)
    assert.are.equal("aaa1", row.parents)
    assert.are.equal(row.steps, row.step)
    assert.are.equal(perigee._VERSION, row.version)
    assert.is_truthy(row.started_at <= row.finished_at)
    assert.is_truthy(row.by_user and row.host)
    assert.are.equal(row.steps, db:value([[select count(*) from perigee_migration_step
      where migration = 'bbb2' and state = 'done' and done_at is not null]]))
  end)

  it("takes back by the inverse of change, by down, to a revision and to base", function()
    write_two(folder)
    folder:migration("003_rows", { id = "ccc3", after = "bbb2",
      up = [[m:sql "insert into orders(total) values (1), (2)"]],
      down = [[m:sql "delete from orders where total = 1"]] })
    local db = open()
    local m = folder:open(db)
    m:upgrade()
    assert.are.equal("ccc3", ids(m:downgrade().reverted))
    assert.are.equal(1, db:count("orders"))
    assert.are.equal("bbb2", ids(m:downgrade("aaa1").reverted))
    assert.is_false(db:has_column("orders", "note"))
    assert.are.equal(1, db:count("orders"))
    assert.are.equal("bbb2 ccc3", ids(m:upgrade().applied))
    assert.are.equal("ccc3 bbb2", ids(m:downgrade("-2", { dry_run = true }).reverted))
    assert.are.equal("ccc3 bbb2 aaa1", ids(m:downgrade("base").reverted))
    assert.is_false(db:has_table "orders")
    assert.are.equal(0, db:count "perigee_migration_step")
  end)

  it("does nothing at all when one of them cannot be taken back", function()
    write_two(folder)
    folder:migration("003_gone", { id = "ccc3", after = "bbb2", up = [[m:sql "select 1"]],
      down = false })
    folder:migration("004_more", { id = "ddd4", after = "ccc3", up = [[m:sql "select 1"]] })
    local db = open()
    local m = folder:open(db)
    m:upgrade()
    fails(3, "004_more.lua: it has no down", m.downgrade, m)
    folder:migration("004_more", { id = "ddd4", after = "ccc3", up = [[m:sql "select 1"]],
      down = "" })
    fails(3, "003_gone.lua: .*down = false", m.downgrade, m, "base")
    assert.are.equal("ddd4", ids(m:current()))
  end)

  it("dry_run says what is pending", function()
    write_two(folder)
    local m = folder:open(open())
    assert.are.equal("aaa1 bbb2", ids(m:upgrade("head", { dry_run = true }).applied))
    assert.are.equal("empty", m:status().state)
  end)

  it("refuses unknown options and revisions, and to be inside a transaction", function()
    write_two(folder)
    local db = open()
    local m = folder:open(db)
    fails("usage", "unknown option \"fast\"", m.upgrade, m, "head", { fast = true })
    fails("usage", "unknown option \"x\"", perigee.migrations.open, db, { dir = ".", x = 1 })
    fails("usage", "a handle is expected", perigee.migrations.open, {}, ".")
    fails("usage", "no migration \"zzz\"", m.upgrade, m, "zzz")
    fails("usage", "only 2 migrations are", m.upgrade, m, "+3")
    fails("usage", "cannot run inside", db.transaction, db, function() m:upgrade() end)
    fails("usage", "no folder", function() perigee.migrations.open(db, "/nonexistent"):status() end)
  end)

  -- ---- failures ------------------------------------------------------------

  it("leaves nothing of a migration that fails (P-39)", function()
    write_two(folder)
    folder:migration("003_bad", { id = "ccc3", after = "bbb2", up = [[
      m:sql "insert into orders(total) values (1)"
      m:create_table("lines", function(t) t.id = int { pk = true } end)
      m:sql "insert into orders(nope) values (1)"]], down = "" })
    local db = open()
    local m = folder:open(db)
    local err = fails(6, "003_bad %(ccc3%): step 3.*nope.*nothing was changed", m.upgrade, m)
    assert.are.equal("undefined", err.cause.kind)
    assert.are.equal(3, err.step)
    assert.are.equal("bbb2", ids(m:current()))
    assert.are.equal("pending", m:status().state)
    assert.are.equal(0, db:count "orders")
    assert.is_false(db:has_table "lines")
    folder:migration("003_bad", { id = "ccc3", after = "bbb2",
      up = [[m:sql "insert into orders(total) values (1)"]], down = "" })
    assert.are.equal("ccc3", ids(m:upgrade().applied))
    assert.are.equal(1, db:count "orders")
  end)

  it("ends the same, wherever it was broken off", function()
    write_two(folder)
    local joined = database == "mysql" and "concat('n', total)" or "'n' || total"
    folder:migration("003_rows", { id = "ccc3", after = "bbb2", up = ([[
      m:sql "insert into orders(total) values (1), (2), (3)"
      m:alter("orders"):backfill { set = { note = sql "JOINED" }, batch = 2 }
      m:run(function(db) db:insert("orders", { total = 9 }) end)]]):gsub("JOINED", joined),
      finish = [[m:sql { "update orders set total = total + 1", down = "select 1" }]],
      down = "" })
    local at, calls
    local m = folder:open(open(), { fault = function()
      calls = calls + 1
      if calls == at then error("power cut", 0) end
    end })
    local db, next_at, is_whole = m.db, 1
    repeat
      at, calls = next_at, 0
      local ok, err = pcall(m.upgrade, m, "head", { finish = true })
      is_whole, at = ok, nil
      if not ok then
        assert.is_truthy(err.message:find("power cut", 1, true), err.message)
        m:upgrade("head", { finish = true })
      end
      local rows = db:query "select total, note from orders order by total"
      assert.are.equal("2n1 3n2 4n3 10", (("%s%s %s%s %s%s %s"):format(rows[1].total,
        rows[1].note, rows[2].total, rows[2].note, rows[3].total, rows[3].note, rows[4].total)))
      assert.are.equal("finished", row_of(db, "ccc3").state)
      m:downgrade "base"
      next_at = next_at + (database:find "^sqlite" and 1 or 5) -- fault_spec looks closer
    until is_whole
    assert.is_true(next_at > 20)
  end)

  it("needs m:allow with a reason for what loses data", function()
    write_two(folder)
    folder:migration("003_drop", { id = "ccc3", after = "bbb2", up = [[
      m:alter("orders"):drop_column("note", { was = text { null = true } })]], down = "" })
    local db = open()
    local m = folder:open(db)
    local err = fails(3, "003_drop.lua:6: .*drop%-column", m.upgrade, m)
    assert.are.equal("drop-column", err.findings[1].rule)
    assert.is_false(db:has_table "orders") -- checked before anything runs
    local done = m:upgrade("head", { allow = { ["drop-column"] = "nobody reads it" } })
    assert.are.equal("aaa1 bbb2 ccc3", ids(done.applied))
  end)

  it("goes on behind the steps outside of transactions that are done", function()
    folder:migration("001_alone", { id = "aaa1", up = [[
      m:sql { "create table a (x int)", tx = false }
      m:sql { "create table b (x int, oops", tx = false }
      m:sql { "create table c (x int)", tx = false }]], down = "" })
    local db = open()
    local m = folder:open(db)
    fails(6, "^001_alone %(aaa1%): step 2.*resume goes on there$", m.upgrade, m)
    assert.are.equal("failed", m:status().state)
    folder:write("001_alone", (folder:read "001_alone":gsub(", oops", ")")))
    assert.are.equal("aaa1", ids(m:resume().resumed))
    assert.is_true(db:has_table "c")
    assert.are.equal(3, row_of(db, "aaa1").step)
  end)

  it("goes on with a downgrade that was broken off", function()
    write_two(folder)
    local calls = -1000
    local m = folder:open(open(), { fault = function()
      calls = calls + 1
      if calls == 3 then error("power cut", 0) end
    end })
    m:upgrade()
    calls = 0
    fails(6, "power cut", m.downgrade, m, "base")
    m:downgrade "base"
    assert.is_false(m.db:has_table "orders")
    assert.are.same({}, m:current())
  end)

  it("runs Lua with an executor inside of the transaction", function()
    write_two(folder)
    folder:migration("003_run", { id = "ccc3", after = "bbb2", up = [[
      m:run(function(db)
        for i = 1, 3 do db:insert("orders", { total = i }) end
        if db:count("orders") == 3 and fail_here then error("on purpose") end
      end)]], down = "" })
    local db = open()
    local m = folder:open(db)
    rawset(_G, "fail_here", true)
    local ok, err = pcall(m.upgrade, m)
    rawset(_G, "fail_here", nil)
    assert.is_false(ok)
    assert.is_truthy(err.message:find "003_run.*on purpose.*nothing was changed")
    assert.are.equal(0, db:count "orders")
    m:upgrade()
    assert.are.equal(3, db:count "orders")
  end)

  -- ---- finish --------------------------------------------------------------

  describe("with a finish phase", function()
    local function write(f)
      write_two(f)
      f:migration("003_split", { id = "ccc3", after = "bbb2",
        up = [[m:alter("orders"):add_column("sum", int { null = true })]],
        finish = [[
    m:allow("drop-column", "nobody reads it since 4.2")
    m:alter("orders"):drop_column("note", { was = text { null = true } })]],
        down = [[m:alter("orders"):drop_column("sum", { was = int { null = true } })]] })
    end

    it("is applied first and finished later", function()
      write(folder)
      local db = open()
      local m = folder:open(db)
      assert.are.equal("ccc3", ids(m:upgrade().finish))
      assert.are.equal("up_to_date", m:status().state)
      assert.are.equal("ccc3", ids(m:status().finish))
      assert.is_true(db:has_column("orders", "note"))
      assert.are.equal("ccc3", ids(m:finish().finished))
      assert.is_false(db:has_column("orders", "note"))
      assert.are.equal("finished", m:current()[1].state)
      assert.are.same({}, m:status().finish)
      assert.are.same({}, m:finish().finished)
    end)

    it("is taken back from both states", function()
      write(folder)
      local db = open()
      local m = folder:open(db)
      m:upgrade()
      m:downgrade()
      assert.is_true(db:has_column("orders", "note"))
      assert.is_false(db:has_column("orders", "sum"))
      m:upgrade("head", { finish = true })
      assert.is_false(db:has_column("orders", "note"))
      m:downgrade()
      assert.is_true(db:has_column("orders", "note"))
      assert.are.equal("bbb2", ids(m:current()))
    end)
  end)

  -- ---- history -------------------------------------------------------------

  it("tells a comment from a change of what a migration does", function()
    write_two(folder)
    local db = open()
    local m = folder:open(db)
    m:upgrade()
    local text = folder:read "002_note"
    folder:write("002_note", "-- a remark\n" .. text)
    m:upgrade()
    assert.are.equal("bbb2", of_type(m, "edited")[1].id)
    assert.are.equal("bbb2", ids(m:status().edited))
    folder:write("002_note", (text:gsub("total >= 0", "total >= 1")))
    assert.are.equal("changed", m:status().state)
    fails(7, "002_note.lua: the operations were changed", m.upgrade, m)
    fails("usage", "repair: a message", m.repair, m, "bbb2")
    m:repair("bbb2", "the check never mattered")
    assert.are.equal("up_to_date", m:status().state)
    assert.are.equal("repaired: the check never mattered", row_of(db, "bbb2").note)
  end)

  it("refuses a database that is ahead of the files (P-34)", function()
    write_two(folder)
    local m = folder:open(open())
    m:upgrade()
    folder:remove "002_note"
    for _, verb in ipairs { "upgrade", "downgrade", "sync", "finish" } do
      fails(7, "not among the files: bbb2", m[verb], m)
    end
    assert.are.equal("unknown_revision", m:status().state)
    local ready, why = m:ready()
    assert.is_false(ready)
    assert.is_truthy(why:find "ahead of this code: bbb2")
  end)

  it("refuses to choose between two heads (P-33)", function()
    write_two(folder)
    folder:migration("003_other", { id = "ccc3", after = "aaa1", change = [[
      m:create_table("lines", function(t) t.id = int { pk = true } end)]] })
    local db = open()
    local m = folder:open(db)
    assert.are.equal("several_heads", m:status().state)
    for _, verb in ipairs { "upgrade", "sync" } do
      fails(4, "2 heads: bbb2, ccc3", m[verb], m)
    end
    assert.is_false(db:has_table "orders")
    m:upgrade "ccc3"
    assert.are.equal("bbb2", ids(m:upgrade("heads").applied))
    assert.are.equal("bbb2 ccc3", ids(m:current()))
    fails(4, "2 last migrations: bbb2, ccc3", m.downgrade, m, "-1")
    assert.are.equal("bbb2 ccc3", ids(m:history()):gsub("^(%S+) (%S+).*", "%2 %1"))
  end)

  it("reports what was added before something applied (P-38)", function()
    write_two(folder)
    local m = folder:open(open())
    m:upgrade()
    folder:migration("001b_late", { id = "abb1", after = "aaa1", up = [[m:sql "select 1"]],
      down = "" })
    folder:write("002_note", (folder:read "002_note":gsub('"aaa1"', '"abb1"')))
    fails(7, "abb1 is not applied but comes before bbb2", m.upgrade, m)
    assert.are.equal("abb1", ids(m:upgrade("head", { out_of_order = true }).applied))
  end)

  it("does not let a body end its transaction", function()
    local m = folder:open(open())
    folder:migration("001_ends", { id = "aaa1", down = "",
      up = "m:run(function(db) db:rollback() end)" })
    fails(6, "the migration ends this transaction", m.upgrade, m)
    assert.are.equal("", ids(m:current()))
  end)

  it("draws the history and shows a migration", function()
    write_two(folder)
    local m = folder:open(open())
    m:upgrade "aaa1"
    local history = m:history()
    assert.are.equal("bbb2 aaa1", ids(history))
    assert.are.equal("*", history[1].graph)
    assert.are.equal("pending", history[1].state)
    assert.are.equal("applied", history[2].state)
    assert.are.equal("bbb2", ids(m:history "aaa1:head"))
    local one = m:show "bbb"
    assert.are.equal(3, #one.up)
    assert.are.equal("add column orders.note", one.up[1])
    assert.is_true(one.change)
  end)

  -- ---- stamp and sync ------------------------------------------------------

  it("stamps without running", function()
    write_two(folder)
    local db = open()
    local m = folder:open(db)
    assert.are.equal("aaa1 bbb2", ids(m:stamp "head"))
    assert.is_false(db:has_table "orders")
    assert.are.equal("stamped", m:current()[1].state)
    assert.are.same({}, m:stamp "aaa1")
    assert.are.equal("aaa1", ids(m:current()))
    m:stamp "base"
    assert.are.same({}, m:current())
    db:execute([[insert into perigee_migration (id, name, parents, bytes_sum, ops_sum, state,
      phase, step, steps, started_at, version)
      values ('zz', 'zz', '', '', '', 'applied', 'up', 0, 0, '2026-01-01 00:00:00', '1')]])
    fails(7, "zz", m.stamp, m, "head")
    assert.are.equal("aaa1 bbb2", ids(m:stamp("head", { purge = true })))
    assert.are.equal("up_to_date", m:status().state)
  end)

  it("syncs: created, up_to_date, upgraded", function()
    folder:migration("001_orders", { id = "aaa1", change = ORDERS })
    local db = open()
    local m = folder:open(db)
    assert.are.equal("created", (m:sync()))
    assert.are.equal("up_to_date", (m:sync()))
    write_two(folder)
    local word, result = m:sync()
    assert.are.equal("upgraded", word)
    assert.are.equal("bbb2", ids(result.applied))
    assert.are.equal("up_to_date", (m:sync()))
  end)

  it("creates from the definitions, with and without migrations (P-32)", function()
    local db = open()
    local schema = perigee.schema.parse [[
      table("orders", function(t)
        t.id = bigint { identity = true, pk = true }
        t.total = int { default = 0 }
      end)]]
    local m = folder:open(db, { schema = schema })
    assert.are.equal("created", (m:sync()))
    assert.are.equal("up_to_date", (m:sync()))
    assert.is_true(db:has_table "orders")
    local other = folders.new()
    write_two(other)
    db:execute "drop table orders"
    db:execute "drop table perigee_migration"
    db:execute "drop table perigee_migration_step"
    m = other:open(db, { schema = schema })
    assert.are.equal("created", (m:sync()))
    assert.are.equal("stamped", m:current()[1].state)
    assert.are.equal("up_to_date", (m:sync()))
  end)

  it("refuses an unversioned database that is not empty (P-30)", function()
    write_two(folder)
    local db = open()
    db:execute "create table users (id int primary key)"
    local m = folder:open(db)
    assert.are.equal("unversioned", m:status().state)
    fails(7, "tables %(users%) but no history", m.sync, m)
    assert.is_false(db:has_table "perigee_migration")
    assert.is_false(m:ready())
  end)

  it("is done once by many that sync at once (P-31)", function()
    write_two(folder)
    folder:migration("003_row", { id = "ccc3", after = "bbb2",
      up = [[m:sql "insert into orders(total) values (1)"]], down = "" })
    if database == "sqlite memory" then return end -- a database for each handle
    local words = {}
    perigee.run(function()
      local fns = {}
      for i = 1, 4 do
        local m = folder:open(open { max_size = 2 })
        fns[i] = function() words[i] = (m:sync()) end
      end
      perigee.gather((table.unpack or unpack)(fns))
    end)
    table.sort(words)
    assert.are.equal("created", words[1])
    for i = 2, 4 do
      -- SQLite has no lock for all of a run: who comes later may do a part of it
      local is_fine = words[i] == "up_to_date" or not is_postgres and words[i] == "upgraded"
      assert.is_true(is_fine, words[i])
    end
    assert.are.equal(1, open():count "orders")
  end)

  -- ---- proof and script ----------------------------------------------------

  it("tests up, down and up on scratch, and finds a down that is none", function()
    write_two(folder)
    folder:migration("003_bad", { id = "ccc3", after = "bbb2",
      up = [[m:alter("orders"):add_column("sum", int { null = true })]],
      down = [[m:sql "select 1"]] })
    local db = open()
    local m = folder:open(db)
    local results = m:test()
    assert.are.equal(3, #results)
    assert.is_true(results[1].ok and results[2].ok)
    assert.is_false(results[3].ok)
    assert.is_truthy(results[3].message:find "down does not give what was before.*sum")
    assert.are.equal("empty", m:status().state)
    folder:migration("003_bad", { id = "ccc3", after = "bbb2",
      up = [[m:sql "delete from orders"
        m:alter("orders"):add_column("sum", int { null = true })]],
      down = [[m:alter("orders"):drop_column("sum", { was = int { null = true } })]] })
    for _, result in ipairs(m:test()) do assert.is_true(result.ok, result.message) end
  end)

  it("writes a script that does the same and keeps the journal", function()
    write_two(folder)
    folder:migration("003_split", { id = "ccc3", after = "bbb2",
      up = [[m:alter("orders"):backfill { set = { note = "x" } }]],
      finish = [[m:sql "select 1"]], down = "" })
    local db = open()
    local m = folder:open(db)
    local script = m:sql("base:head")
    assert.are.equal("empty", m:status().state)
    if is_postgres then -- not as one string: it has CREATE INDEX CONCURRENTLY
      local file = helper.tmpname()
      local out = assert(io.open(file, "w"))
      out:write(script)
      out:close()
      local text, ok = helper.sh(("%s -q -v ON_ERROR_STOP=1 -f %s '%s'"):format(
        os.getenv "PERIGEE_TEST_PGPSQL", file, open.url()))
      assert.is_true(ok, text)
    else
      db:connection(function(conn) conn:script(script) end)
    end
    assert.are.equal("up_to_date", m:status().state)
    assert.are.equal("ccc3", ids(m:status().finish))
    assert.is_true(db:has_column("orders", "note"))
    m:downgrade "base"
    assert.are.equal("empty", m:status().state)
  end)

  it("cannot write Lua into a script", function()
    folder:migration("001_run", { id = "aaa1", up = "m:run(function() end)", down = "" })
    local m = folder:open(open())
    fails("usage", "001_run.lua has m:run", m.sql, m)
  end)

  if not is_postgres then return end

  -- ---- PostgreSQL ----------------------------------------------------------

  describe("a step outside of transactions", function()
    local function write(f)
      f:migration("001_orders", { id = "aaa1", change = ORDERS })
      f:migration("002_unique", { id = "bbb2", after = "aaa1", up = [[
        m:alter("orders"):add_column("note", text { null = true })
        m:alter("orders"):add_index { "total", unique = true, name = "orders_total_key" }
        m:sql "insert into orders(total) values (77)"]], down = "" })
    end

    it("fails by itself, and resume goes on there", function()
      write(folder)
      local db = open()
      local m = folder:open(db)
      m:upgrade "aaa1"
      db:insert_many("orders", { { total = 5 }, { total = 5 } })
      local err = fails(6, "002_unique.*orders_total_key.*resume goes on", m.upgrade, m)
      assert.are.equal("unique", err.cause.kind)
      local status = m:status()
      assert.are.equal("failed", status.state)
      assert.are.equal("bbb2", status.failed.id)
      assert.is_truthy(status.failed.error)
      assert.is_true(db:has_column("orders", "note"))
      fails(6, "its phase \"up\" is unfinished", m.downgrade, m)
      db:execute "delete from orders where id = 2"
      assert.are.equal("bbb2", ids(m:resume().resumed))
      assert.are.equal("up_to_date", m:status().state)
      assert.is_true(db:value [[select indisvalid from pg_index
        where indexrelid = 'orders_total_key'::regclass]])
      assert.are.equal(1, db:count("orders", { total = 77 }))
    end)

    it("lets later statements be changed, not those that ran", function()
      write(folder)
      local db = open()
      local m = folder:open(db)
      m:upgrade "aaa1"
      db:insert_many("orders", { { total = 5 }, { total = 5 } })
      fails(6, "", m.upgrade, m)
      local text = folder:read "002_unique"
      folder:write("002_unique", (text:gsub('"note"', '"remark"')))
      fails(7, "history was changed: step 1 %(add column orders.note%)", m.resume, m)
      folder:write("002_unique", (text:gsub("unique = true, ", "")))
      assert.are.equal("bbb2", ids(m:resume().resumed))
    end)

    it("is abandoned", function()
      write(folder)
      local db = open()
      local m = folder:open(db)
      m:upgrade "aaa1"
      db:insert_many("orders", { { total = 5 }, { total = 5 } })
      fails(6, "", m.upgrade, m)
      assert.are.equal("bbb2", ids(m:abandon().abandoned))
      assert.are.equal("pending", m:status().state)
      assert.are.equal("aaa1", ids(m:current()))
    end)

    it("with SQL of its own asks after a crash, unless it has a probe", function()
      folder:migration("001_orders", { id = "aaa1", change = ORDERS })
      folder:migration("002_vacuum", { id = "bbb2", after = "aaa1", up = [[
        m:sql { "create index concurrently i on orders(total)", tx = false }
        m:sql "insert into orders(total) values (1)"]], down = "" })
      local db = open { max_size = 1 }
      local m = folder:open(open(), { fault = function(point)
        if point == "between" then
          db:execute([[select pg_terminate_backend(pid) from pg_stat_activity
            where pid <> pg_backend_pid() and datname = current_database()]])
        end
      end })
      m:upgrade "aaa1"
      fails(6, "connection that holds the lock was lost", m.upgrade, m)
      m = folder:open(db)
      assert.are.equal("running", m:status().state)
      fails(6, "it is not known whether step 1 .*redo = true.*skip = true.*abandon", m.upgrade, m)
      fails(6, "it is not known", m.resume, m)
      fails("usage", "redo or skip", m.resume, m, { redo = true, skip = true })
      fails(6, "already exists", m.resume, m, { redo = true })
      assert.are.equal("bbb2", ids(m:resume({ skip = true }).resumed))
      assert.are.equal(1, db:count "orders")
    end)
  end)

  it("ends the same, wherever its connection was cut", function()
    folder:migration("001_orders", { id = "aaa1", change = ORDERS })
    folder:migration("002_rows", { id = "bbb2", after = "aaa1", up = [[
      m:sql "insert into orders(id, total) values (1, 1), (2, 2), (3, 3)"
      m:alter("orders"):add_index { "total", unique = true, name = "orders_total" }
      m:alter("orders"):backfill { set = { total = sql "total + 10" }, batch = 2 }
      m:alter("orders"):add_check("positive", "total > 0")]],
      finish = [[m:sql "update orders set total = total + 100"]], down = "" })
    local watcher = open { max_size = 1 }
    local at, calls, cut = 0, 0
    local m = folder:open(open { max_size = 2 }, { fault = function()
      calls = calls + 1
      if calls ~= at then return end
      cut = true
      watcher:execute([[select pg_terminate_backend(pid) from pg_locks
        where locktype = 'advisory' and pid <> pg_backend_pid()]])
    end })
    helper.watchdog(120)
    repeat
      at, calls, cut = at + 1, 0, nil
      local ok, err = pcall(m.upgrade, m, "head", { finish = true })
      if not ok then
        assert.is_truthy(err.message:find "lost", err.message)
        m:upgrade("head", { finish = true })
      end
      assert.are.equal("111 112 113",
        watcher:value "select string_agg(total::text, ' ' order by id) from orders")
      assert.are.equal("orders_pkey orders_total", watcher:value [[
        select string_agg(indexrelid::regclass::text, ' ' order by indexrelid) from pg_index
        where indrelid = 'orders'::regclass and indisvalid]])
      assert.are.equal(1, watcher:value [[select count(*) from pg_constraint
        where conname = 'positive' and convalidated]])
      assert.are.equal("finished", row_of(watcher, "bbb2").state)
      watcher:script "drop table orders, perigee_migration, perigee_migration_step"
    until not cut
    assert.is_true(at > 40)
  end)

  it("goes on with a backfill at the last key", function()
    folder:migration("001_orders", { id = "aaa1", change = ORDERS })
    folder:migration("002_fill", { id = "bbb2", after = "aaa1", up = [[
      m:alter("orders"):backfill { set = { total = sql "total + 1 / (1000 - total)" }, batch = 10,
        pause = 0.001 }]], down = "" })
    local db = open()
    local m = folder:open(db)
    m:upgrade "aaa1"
    db:execute "insert into orders(total) select 1 from generate_series(1, 35)"
    db:execute "update orders set total = 1000 where id = 25"
    local err = fails(6, "division by zero", m.upgrade, m)
    assert.are.equal("data", err.cause.kind)
    assert.are.equal("20", db:value [[select progress from perigee_migration_step
      where n = 1 and migration = 'bbb2']])
    db:execute "update orders set total = 1 where id = 25"
    db:execute "update orders set total = 500 where id <= 20"
    local before = #m.events
    m:resume()
    assert.is_true(#m.events > before)
    assert.are.equal(15, of_type(m, "step")[#of_type(m, "step")].rows)
  end)

  it("has one runner at a time", function()
    write_two(folder)
    folder:migration("003_slow", { id = "ccc3", after = "bbb2",
      up = [[m:sql "select pg_sleep(0.5)"]], down = "" })
    local first, second = folder:open(open()), folder:open(open(), { lock_wait = 0.1 })
    perigee.run(function()
      perigee.gather(function() first:upgrade() end, function()
        perigee.sleep(0.2)
        local err = fails(5, "another runner has the lock", second.upgrade, second)
        assert.is_truthy(err.holder)
      end)
    end)
    assert.are.equal("waiting", of_type(second, "lock")[1].state)
    assert.are.equal("up_to_date", second:status().state)
  end)

  it("tries again when a lock is not to be had, and says who has it", function()
    write_two(folder)
    local db, other = open(), open()
    local m = folder:open(db, { lock_timeout = 0.3 })
    m:upgrade "aaa1"
    perigee.run(function()
      local is_locked, deadline = false, os.time() + 20
      perigee.gather(function()
        while not is_locked do perigee.sleep(0.01) end
        m:upgrade()
      end, function()
        other:transaction(function(tx)
          tx:query "lock table orders in access share mode"
          is_locked = true
          while #of_type(m, "retry") == 0 and os.time() < deadline do perigee.sleep(0.02) end
        end)
      end)
    end)
    assert.is_true(#of_type(m, "retry") >= 1)
    local blocked = of_type(m, "blocked")[1]
    assert.is_truthy(blocked.blockers[1].query:find "lock table orders")
    assert.are.equal("up_to_date", m:status().state)
  end)

  it("gives up after so many tries, with nothing done", function()
    write_two(folder)
    local db, other = open(), open()
    local m = folder:open(db, { lock_timeout = 0.05, retries = 1 })
    m:upgrade "aaa1"
    other:transaction(function(tx)
      tx:query "lock table orders in access share mode"
      local err = fails(6, "nothing was changed", m.upgrade, m)
      assert.are.equal("locked", err.cause.kind)
    end)
    assert.are.equal(1, #of_type(m, "retry"))
    assert.are.equal("pending", m:status().state)
  end)

  it("keeps its journal in another schema", function()
    write_two(folder)
    local db = open()
    local m = folder:open(db, { journal_schema = "ops\"x" })
    m:upgrade()
    assert.is_false(db:has_table "perigee_migration")
    assert.is_true(db:has_table { schema = "ops\"x", name = "perigee_migration" })
    assert.are.equal("up_to_date", m:status().state)
    db:script 'drop schema "ops""x" cascade'
  end)
end)
