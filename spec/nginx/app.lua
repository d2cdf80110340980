-- The pages that the specs of nginx ask for. One handle for each worker, as applications
-- have it; PERIGEE_SPEC_WAY says by which way it waits.
--
--   init_by_lua_block { require "spec.nginx.app" }     -- or not
--   location / { content_by_lua_block { require("spec.nginx.app").serve() } }
local perigee = require "perigee"

local app = {}

local way = os.getenv "PERIGEE_SPEC_WAY"
if way then perigee.host("nginx", { way = way }) end

local db = perigee.open(os.getenv "PERIGEE_TEST_POSTGRES", {
  max_size = tonumber(os.getenv "PERIGEE_SPEC_SIZE" or 64),
  application_name = os.getenv "PERIGEE_SPEC_NAME" or "nginx spec",
})
app.db = db

local sqlite_path = os.getenv "PERIGEE_SPEC_SQLITE"
local lite = sqlite_path and perigee.open("sqlite:///" .. sqlite_path)

local pages = {}
app.pages = pages

-- ---- plain ---------------------------------------------------------------------

function pages.plain() return "plain" end

function pages.pid() return ngx.worker.pid() end

function pages.host()
  local name, why = perigee.host()
  return name .. "\n" .. tostring(why)
end

function pages.stats()
  local s = db:stats()
  return ("in_use=%d waiting=%d cleaning=%d size=%d"):format(s.in_use, s.waiting, s.cleaning,
    s.size)
end

-- What the collector can return is returned by now.
function pages.collect()
  collectgarbage()
  collectgarbage()
  return pages.stats()
end

function pages.memory()
  collectgarbage()
  collectgarbage()
  return ("%.0f"):format(collectgarbage "count")
end

-- ---- queries -------------------------------------------------------------------

function pages.value(args)
  return db:value("select ?::int + 1", tonumber(args.n))
end

function pages.sleep(args)
  db:query("select pg_sleep(?::float8)", tonumber(args.s))
  return "slept"
end

function pages.backend() return db:value "select pg_backend_pid()" end

function pages.big(args)
  local rows = db:query([[select g as id, repeat(chr(65 + g % 26), 1000) as text
    from generate_series(1, ?::int) g]], tonumber(args.rows))
  local n = 0
  for i, row in ipairs(rows) do
    if row.id ~= i or row.text:byte(1000) ~= 65 + i % 26 then return "wrong row " .. i end
    n = n + #row.text
  end
  return n
end

function pages.each(args)
  local sum = 0
  for row in db:each("select g as id from generate_series(1, ?::int) g", tonumber(args.rows)) do
    sum = sum + row.id
    if row.id % 1000 == 0 then db:value "select 1" end
  end
  return sum
end

function pages.body()
  ngx.req.read_body()
  return db:value("select ?::text", ngx.req.get_body_data())
end

function pages.sqlite(args)
  lite:execute("insert into notes (text) values (?)", args.text)
  return lite:value("select count(*) from notes where text = ?", args.text)
end

-- A read that goes to SQLite's worker thread.
function pages.scan()
  return lite:value [[with recursive c(x) as (select 1 union all select x + 1 from c
    where x < 300000) select sum(x % 7) from c]]
end

-- ---- transactions and errors -----------------------------------------------------

function pages.add(args)
  return db:transaction(function(tx)
    tx:execute("insert into marks (name) values (?)", args.name)
    if args.fail then error("no " .. args.name, 0) end
    return "added " .. tx:value("select count(*) from marks where name = ?", args.name)
  end)
end

function pages.kinds()
  local kinds = {}
  local function try(f, ...)
    local ok, err = pcall(f, ...)
    kinds[#kinds + 1] = ok and "none" or type(err) == "table" and err.kind or tostring(err)
  end
  try(db.query, db, "select * from nowhere")
  try(db.query, db, "select 1 +")
  try(db.query, db, "select ?::int", "x")
  try(db.query, db, "select ?")
  try(db.query, db, "select pg_sleep(5)", {}, { timeout = 0.05 })
  try(perigee.timeout, 0.05, function() db:query "select pg_sleep(5)" end)
  try(db.transaction, db, function(tx) tx:query "select 1/0" end)
  kinds[#kinds + 1] = db:value "select 'fine'"
  return table.concat(kinds, " ")
end

function pages.exit(args)
  return db:transaction(function(tx)
    tx:execute("insert into marks (name) values (?)", args.name)
    if args.at == "wait" then tx:query "select pg_sleep(0.01)" end
    ngx.exit(403)
  end)
end

-- Kept over the end of the request, which it does not survive.
local kept

function pages.keep(args)
  kept = db:begin()
  kept:execute("insert into marks (name) values (?)", args.name)
  return "kept"
end

function pages.use_kept()
  local _, err = pcall(kept.query, kept, "select 1")
  return err.kind
end

-- Holds a transaction while it waits.
function pages.hold(args)
  return db:transaction(function(tx)
    tx:execute("insert into marks (name) values (?)", args.name)
    if args.how == "sleep" then
      ngx.sleep(tonumber(args.s))
    else
      tx:query("select pg_sleep(?::float8)", tonumber(args.s))
    end
    return "held"
  end)
end

-- What a client may leave at any moment: each number is another mixture.
function pages.work(args)
  local n = tonumber(args.n)
  if n % 4 == 0 then
    db:transaction(function(tx)
      tx:value "select 1"
      tx:query "select pg_sleep(0.002)"
      tx:value "select 2"
    end)
  elseif n % 4 == 1 then
    db:query "select pg_sleep(0.003)"
  elseif n % 4 == 2 then
    perigee.gather(function() db:value "select 1" end,
      function() db:query "select pg_sleep(0.002)" end)
  else
    for _ in db:each "select g from generate_series(1, 2000) g" do n = n + 1 end
    perigee.sleep(0.001)
  end
  return "worked"
end

-- ---- threads and tasks -----------------------------------------------------------

local function seconds(f)
  ngx.update_time()
  local began = ngx.now()
  f()
  ngx.update_time()
  return ngx.now() - began
end

local function slow() return db:value "select pg_sleep(0.1)" end

function pages.threads()
  local took = seconds(function()
    local list = {}
    for i = 1, 10 do list[i] = ngx.thread.spawn(slow) end
    for i = 1, 10 do assert(ngx.thread.wait(list[i])) end
  end)
  return took
end

function pages.gather()
  local took = seconds(function()
    perigee.gather(slow, slow, slow, slow, slow, slow, slow, slow, slow, slow)
  end)
  return took
end

-- The thread is killed in the middle of a query, in a transaction or not.
function pages.kill(args)
  local thread = ngx.thread.spawn(function()
    if args.tx then
      db:transaction(function(tx)
        tx:execute("insert into marks (name) values ('killed')")
        tx:query "select pg_sleep(3)"
      end)
    else
      db:query "select pg_sleep(3)"
    end
  end)
  ngx.sleep(0.02)
  ngx.thread.kill(thread)
  return db:value "select 'went on'"
end

-- Tasks of Perigee: joined, cancelled, in a run of their own.
function pages.tasks()
  local log = {}
  local a = perigee.spawn(function() return db:value "select 1" end)
  local b = perigee.spawn(function() db:query "select pg_sleep(5)" end)
  log[#log + 1] = a:join()
  b:cancel()
  local ok, err = pcall(b.join, b)
  log[#log + 1] = tostring(ok) .. " " .. err.kind
  log[#log + 1] = perigee.run(function()
    local n = 0
    for i = 1, 5 do
      perigee.spawn(function()
        local value = db:value("select ?::int", i)
        n = n + value
      end)
    end
    perigee.sleep(0.2)
    return n
  end)
  local f = perigee.wrap(function()
    for i = 1, 2 do coroutine.yield(db:value("select ?::int", i)) end
  end)
  log[#log + 1] = f() + f()
  return table.concat(log, " ")
end

-- In a user's coroutine, which ngx_lua lets yields pass through.
function pages.coroutine()
  local co = coroutine.wrap(function()
    coroutine.yield(db:value "select 1")
    coroutine.yield(db:value "select 2")
  end)
  return co() + co()
end

function pages.sort()
  local list = { 3, 1, 2 }
  local ok, err = pcall(table.sort, list, function(a, b)
    return db:value("select ?::int < ?::int", a, b)
  end)
  return ok and "sorted" or tostring(err)
end

function pages.subrequests()
  local list = {}
  for i = 1, 4 do list[i] = { "/value", { args = { n = i } } } end
  local sum = db:transaction(function(tx)
    local total = tx:value "select 0"
    local answers = { ngx.location.capture_multi(list) }
    for _, answer in ipairs(answers) do total = total + tonumber(answer.body) end
    return total + tx:value "select 100"
  end)
  return sum
end

-- Starts a timer that works for itself; what it found is told later.
local told = {}

function pages.timer()
  assert(ngx.timer.at(0, function()
    told.timer = db:transaction(function(tx) return tx:value "select 'by timer'" end)
  end))
  return "started"
end

-- Timers that end with a transaction open.
function pages.timer_fails()
  assert(ngx.timer.at(0, function()
    db:begin():execute "insert into marks (name) values ('timer')"
    error "the timer fails"
  end))
  return "started"
end

function pages.told(args) return told[args.what] end

--- The content handler: the page by the path, what it returns as text; errors are 500.
function app.serve()
  local page = pages[ngx.var.uri:match "([%w_]+)$"]
  if not page then return ngx.exit(404) end
  local ok, result = pcall(page, ngx.req.get_uri_args())
  if not ok then ngx.status = 500 end
  ngx.print(tostring(result))
end

return app
