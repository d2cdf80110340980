-- Crashes: the program is killed, and its connection cut, at every boundary of two
-- statements of a migration; afterwards upgrade comes to the same end. Many at once:
-- one applies.
local perigee = require "perigee"
local dialect = require "perigee.dialect"
local folders = require "spec.support.migrations"
local helper = require "spec.support.helper"
local ops = require "perigee.schema.ops"
local program = require "spec.support.program"

-- ---- databases -------------------------------------------------------------

-- { name, new() -> URL of an empty database }
local databases = {
  {
    name = "sqlite",
    new = function() return "sqlite:///" .. helper.tmpname() end,
  },
  {
    name = "postgres",
    missing = not os.getenv "PERIGEE_TEST_POSTGRES" and "PERIGEE_TEST_POSTGRES is not set",
    new = function()
      local url = os.getenv "PERIGEE_TEST_POSTGRES"
      local db = perigee.open(url, { max_size = 1 })
      db:script "drop schema if exists public cascade; create schema public"
      db:close()
      return url
    end,
  },
  {
    name = "mysql",
    missing = not os.getenv "PERIGEE_TEST_MYSQL" and "PERIGEE_TEST_MYSQL is not set",
    new = function()
      local url = os.getenv "PERIGEE_TEST_MYSQL"
      helper.empty_mysql(url)
      return url
    end,
  },
}

local function each_database(fn)
  for _, d in ipairs(databases) do
    describe("on " .. d.name, function()
      if d.missing then
        it("is left out", function() pending(d.missing) end)
      else
        fn(d)
      end
    end)
  end
end

-- ---- the migrations --------------------------------------------------------

-- Eleven operations, of each kind that a runner treats in its own way.
local TEN = [[
  m:create_table("invoices", function(t)
    t.id = bigint { identity = true, pk = true }
    t.order_id = bigint { ref = "orders.id", index = true }
  end)
  local o = m:alter "orders"
  o:add_column("note", text { null = true })
  o:add_column("paid", boolean { default = false })
  o:add_index { "total", name = "orders_total_idx" }
  o:add_check("orders_total_positive", "total >= 0")
  o:rename_column("label", "title")
  o:add_foreign_key { "customer_id", ref = "customers.id" }
  o:backfill { set = { note = sql "JOINED" }, where = "note is null", key = "id",
    batch = 2, pause = 0 }
  o:alter_column("title", { null = false, was = { null = true } })
  o:rename_column("title", "heading")
  m:sql "insert into customers (name) values ('once')"]]

local FIRST = [[
  m:create_table("customers", function(t)
    t.id = bigint { identity = true, pk = true }
    t.name = text {}
  end)
  m:create_table("orders", function(t)
    t.id = bigint { identity = true, pk = true }
    t.customer_id = bigint {}
    t.total = int {}
    t.label = text { null = true }
  end)
  m:sql "insert into customers (name) values ('ann')"
  m:sql "insert into orders (customer_id, total, label) values (1, 5, 'a'), (1, 6, 'b')"
  m:sql "insert into orders (customer_id, total, label) values (1, 7, 'c')"
]]

local folder, config

local function write_migrations(d)
  local joined = d.name == "mysql" and "concat(title, id)" or "title || id"
  folder = folders.new()
  folder:migration("001_first", { id = "aaa1", up = FIRST, down = false })
  folder:migration("002_ten", { id = "bbb2", after = "aaa1", down = false,
    up = TEN:gsub("JOINED", joined) })
  config = program.file(("return { migrations = %q }"):format(folder.path))
end

-- The first migration is there, the second is not. Returns the URL.
local function prepare(d)
  local url = d.new()
  local db = helper.open(url)
  folder:open(db):upgrade "+1"
  db:close()
  return url
end

-- ---- what there is afterwards ----------------------------------------------

local JOURNAL = "select id, state, phase, step, error from perigee_migration order by id"
local STEPS = "select migration, phase, n, state, what from perigee_migration_step"
  .. " order by migration, phase, n"

-- Schema, rows and journal as a text.
local function contents(db)
  local tree = dialect.of(db).inspect(db, {})
  return table.concat({
    ops.text(tree),
    ops.text(db:query "select * from orders order by id"),
    ops.text(db:query "select name from customers order by id"), -- sequences have gaps
    ops.text(db:query(JOURNAL)),
    ops.text(db:query(STEPS)),
  }, "\n")
end

local function finish(url)
  local db = helper.open(url)
  folder:open(db):upgrade()
  local text = contents(db)
  db:close()
  return text
end

-- Runs it without a fault: what there is then, and its boundaries in order. Between
-- "after" one statement and "before" the next nothing happens: that is one boundary.
local function run_whole(d)
  local db, points = helper.open(prepare(d)), {}
  folder:open(db, {
    fault = function(point, n)
      local last = points[#points]
      if last and last[1] == "after" then points[#points] = nil end
      points[#points + 1] = { point, n }
    end,
  }):upgrade()
  local text = contents(db)
  db:close()
  assert.is_true(#points >= 10, #points .. " boundaries")
  return text, points
end

-- ---- specs -----------------------------------------------------------------

each_database(function(d)
  before_each(function() write_migrations(d) end)
  after_each(function()
    helper.cleanup()
    folders.cleanup()
  end)

  it("a killed program leaves what upgrade finishes", function()
    if program.is_missing() or _VERSION ~= "Lua 5.4" then pending "there is no runner" end
    helper.watchdog(120)
    local wanted, points = run_whole(d)
    for _, p in ipairs(points) do
      local fault = p[1] .. ":" .. p[2]
      local url = prepare(d)
      local r = program.run({ "upgrade", "-q", "--config", config, "--url", url },
        { env = { PERIGEE_TEST_FAULT = fault } })
      assert.equal(137, r.status, fault .. ": " .. r.out .. r.err)
      assert.equal(wanted, finish(url), fault)
    end
  end)

  if d.name == "postgres" then
    it("a cut connection leaves what upgrade finishes", function()
      helper.watchdog(120)
      local wanted, points = run_whole(d)
      local admin = helper.open(os.getenv "PERIGEE_TEST_POSTGRES", { max_size = 1 })
      for _, p in ipairs(points) do
        local at = p[1] .. ":" .. p[2]
        local db = helper.open(prepare(d))
        local cut = false
        local ok, err = pcall(function()
          folder:open(db, {
            retries = 2,
            fault = function(point, n)
              if cut or point ~= p[1] or n ~= p[2] then return end
              cut = true
              admin:query [[select pg_terminate_backend(pid, 5000) from pg_stat_activity
                where datname = current_database() and pid <> pg_backend_pid()
                  and backend_type = 'client backend']]
            end,
          }):upgrade()
        end)
        assert.is_true(cut, at)
        if not ok then assert.equal("migration", err.kind, at .. ": " .. tostring(err)) end
        pcall(db.close, db)
        assert.equal(wanted, finish(os.getenv "PERIGEE_TEST_POSTGRES"), at)
      end
    end)
  end

  it("of eight programs at once one applies, and all end well", function()
    if program.is_missing() or _VERSION ~= "Lua 5.4" then pending "there is no runner" end
    local wanted = run_whole(d)
    local url = prepare(d)
    local db = helper.open(url)
    db:execute [[insert into orders (customer_id, total, label)
      with recursive n(i) as (select 1 union all select i + 1 from n where i < 3000)
      select 1, i, 'x' from n]]
    local lines, out = {}, helper.tmpname()
    for i = 1, 8 do
      lines[i] = ("{ %s >%s.%d 2>&1 </dev/null; echo $? >>%s.%d; } &"):format(program.command {
        "upgrade", "--json", "--config", config, "--url", url }, out, i, out, i)
    end
    program.sh(table.concat(lines, " ") .. " wait")
    local applied = 0
    for i = 1, 8 do
      local path = out .. "." .. i
      local text = program.read_file(path)
      os.remove(path)
      assert.matches("\n0\n$", "\n" .. text)
      if text:find '"bbb2"' then applied = applied + 1 end
    end
    assert.equal(1, applied)
    assert.equal(1, db:value "select count(*) from customers where name = 'once'")
    db:execute "delete from orders where heading = 'x'"
    assert.equal(wanted, contents(db))
  end)
end)
