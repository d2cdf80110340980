-- Everything at once: statements that share connections, transactions, pipelines, COPY,
-- streams, batches and notifications by many tasks, which are cancelled, run out of time
-- and lose their connections at random turns. Every value that comes back is checked, and
-- in the end the table has exactly what was acknowledged.

local expect = require "spec.support.expect"
local helper = require "spec.support.helper"
local perigee = require "perigee"

local spawn, sleep = perigee.spawn, perigee.sleep
local TASKS, KNOWN = 24, 50

-- ---- what must be there --------------------------------------------------------

-- A group is what is committed together: { tokens, state = "in" | "out" | "unknown" }.
local function new_model()
  return { groups = {}, tokens = 0, sent = {}, wrong = {} }
end

local function token(m)
  m.tokens = m.tokens + 1
  return m.tokens
end

local function group(m, n)
  local g = { state = "out" }
  for i = 1, n or 1 do g[i] = token(m) end
  m.groups[#m.groups + 1] = g
  return g
end

local function wrong(m, fmt, ...)
  m.wrong[#m.wrong + 1] = fmt:format(...)
end

local function same(m, want, got, what)
  if want ~= got then
    wrong(m, "%s: %s was expected, not %s", what, tostring(want), tostring(got))
  end
end

local EXPLAINED = { cancelled = true, timeout = true, closed = true, connect = true }

-- Runs f, after which the group is in. What it raises must be of the kinds that the
-- disturbances explain, or `kind`, for which the group is out for certain.
local function commits(m, g, kind, f)
  g.state = "unknown"
  local ok, err = pcall(f)
  if ok then
    g.state = kind and "out" or "in"
    if kind then wrong(m, "no error, but %s was expected", kind) end
    return
  end
  if type(err) ~= "table" then wrong(m, "%s", tostring(err)) error(err, 0) end
  if err.kind == kind or err.kind == "undo" or err.retryable then
    g.state = "out"
  elseif not EXPLAINED[err.kind] then
    wrong(m, "%s was not expected: %s", tostring(err.kind), tostring(err))
  end
  if err.kind ~= kind and err.kind ~= "undo" then error(err, 0) end
end

local function check_table(m, db)
  local there = {}
  for _, row in ipairs(db:query "select t, count(*)::int as n from soak group by t") do
    there[tonumber(row.t)] = row.n
  end
  local count = { ["in"] = 0, out = 0, unknown = 0 }
  for _, g in ipairs(m.groups) do
    count[g.state] = count[g.state] + 1
    local first = there[g[1]] ~= nil
    for _, t in ipairs(g) do
      local has = there[t] ~= nil
      if has ~= first then wrong(m, "half of a group at token %d", t) end
      if g.state == "in" and not has then wrong(m, "token %d is lost", t) end
      if g.state == "out" and has then wrong(m, "token %d is there", t) end
      if has and there[t] ~= 1 then wrong(m, "token %d is there %d times", t, there[t]) end
      there[t] = nil
    end
  end
  if next(there) then wrong(m, "token %s is nobody's", tostring(next(there))) end
  return count
end

-- ---- what tasks do ---------------------------------------------------------------

local INSERT = "insert into soak (t, w) values (?, ?)"
local acts, names = {}, {}

local function act(name, f)
  names[#names + 1] = name
  acts[name] = f
end

local function need(ok, err, kind, m)
  if ok then wrong(m, "no error, but %s was expected", kind) return end
  if type(err) ~= "table" or err.kind ~= kind then error(err, 0) end
end

act("value", function(m, db, r)
  for _ = 1, r(5) do
    local t = token(m)
    same(m, t, db:value("select ?::int", t), "value")
    same(m, "x" .. t, db:value("select ?::text", "x" .. t), "text")
  end
end)

act("known", function(m, db, r)
  local id = r(KNOWN)
  same(m, id * 7, db:value("select n from known where id = ?", id), "known")
  local row = db:first("select id, n from known where id = ?", id)
  same(m, id * 7, row and row.n, "known row")
end)

act("insert", function(m, db)
  local g = group(m)
  commits(m, g, nil, function() same(m, 1, db:execute(INSERT, g[1], 1).affected, "affected") end)
  same(m, 1, db:value("select count(*)::int from soak where t = ?", g[1]), "own write")
end)

act("error", function(m, db, r)
  local kind, sql = "unique", "insert into known values (?, 0)"
  if r(2) == 1 then kind, sql = "data", "select 1 / (? - 1)" end
  local ok, err = pcall(db.query, db, sql, 1)
  if not ok and type(err) == "table" and (err.kind == "unique" or err.sqlstate == "22012") then
    return
  end
  need(ok, err, kind, m)
end)

act("transaction", function(m, db, r)
  local g = group(m, r(4))
  commits(m, g, nil, function()
    db:transaction(function(tx)
      for _, t in ipairs(g) do
        (r(2) == 1 and tx or db):execute(INSERT, t, 2)
        if r(4) == 1 then sleep(0) end
      end
      same(m, #g, tx:value("select count(*)::int from soak where t between ? and ?",
        g[1], g[#g]), "own writes")
    end)
  end)
end)

act("undone", function(m, db, r)
  local g = group(m, 2)
  commits(m, g, "undo", function()
    db:transaction(function(tx)
      if r(2) == 1 then tx:execute(INSERT, g[1], 3) end
      tx:execute(INSERT, g[2], 3)
      error({ kind = "undo" }, 0)
    end)
  end)
end)

act("nested", function(m, db, r)
  local outer, inner = group(m), group(m)
  local how = r(4)
  inner.state = "unknown"
  commits(m, outer, nil, function()
    db:transaction(function(tx)
      if how > 2 then tx:execute(INSERT, outer[1], 4) end
      local ok, err = pcall(tx.transaction, tx, function(sp)
        if how % 2 == 0 then sp:execute "insert into known values (1, 1)" end
        sp:execute(INSERT, inner[1], 4)
        if how == 1 then error({ kind = "undo" }, 0) end
      end)
      if not ok and (type(err) ~= "table" or err.kind ~= "undo" and err.kind ~= "unique") then
        error(err, 0)
      end
      if how <= 2 then tx:execute(INSERT, outer[1], 4) end
    end)
  end)
  inner.state = how == 3 and outer.state or "out"
end)

act("first fails", function(m, db, r)
  local g = group(m)
  commits(m, g, "aborted", function()
    db:transaction(function(tx)
      local ok, err = pcall(tx.execute, tx, r(2) == 1 and "insert into known values (1, 1)"
        or "insert into nothing values (1)")
      if not ok and err.kind ~= "unique" and err.kind ~= "undefined"
        and err.sqlstate ~= "42P01" then error(err, 0) end
      local more, why = pcall(tx.execute, tx, INSERT, g[1], 5)
      need(more, why, "aborted", m)
    end)
  end)
end)

act("first is late", function(m, db)
  local g = group(m)
  commits(m, g, nil, function()
    db:transaction(function(tx)
      local late, err = pcall(perigee.timeout, 0.002, function()
        tx:execute("insert into soak select ?::int, 0 from (select pg_sleep(0.02)) s", g[1])
      end)
      if not late and err.kind ~= "timeout" then error(err, 0) end
      -- Was it sent? Then nothing runs behind it; else this is the first.
      local ok, why = pcall(tx.execute, tx, INSERT, g[1], 6)
      if late then error({ kind = "undo" }, 0) end
      if ok then return end
      -- (unique: it was done before it could be cancelled)
      if why.kind == "aborted" or why.kind == "unique" then error({ kind = "undo" }, 0) end
      error(why, 0)
    end)
  end)
end)

act("empty and read-only", function(m, db, r)
  db:transaction(function() if r(2) == 1 then sleep(0) end end)
  local ok, err = pcall(db.transaction, db, function(tx)
    if r(2) == 1 then tx:value "select n from known where id = 1" end
    tx:execute(INSERT, 0, 0)
  end, { readonly = true })
  if not ok and err.sqlstate == "25006" then return end
  need(ok, err, "permission", m)
end)

act("pipeline", function(m, db, r)
  local sent, bad = {}, r(3) == 1
  local ok, err = pcall(db.pipeline, db, function(p)
    for i = 1, r(40) do
      local g = group(m)
      g.state = "unknown"
      sent[i] = { group = g, reply = p:execute(INSERT, g[1], 7) }
      if bad and i == 3 then p:execute "insert into known values (1, 1)" end
      if r(8) == 1 then same(m, 1, sent[r(i)].reply:get().affected, "reply") end
      local t = token(m)
      local v = p:value("select ?::int", t)
      if r(9) == 1 then same(m, t, v:get(), "reply's value") end
    end
  end)
  local refused = bad and type(err) == "table" and err.kind == "unique"
  if not ok and not refused then error(err, 0) end
  for _, s in ipairs(sent) do
    s.group.state = pcall(s.reply.get, s.reply) and "in" or "unknown"
  end
end)

act("pipeline in a transaction", function(m, db, r)
  local g, bad = group(m, r(30)), r(4) == 1
  commits(m, g, bad and "unique" or nil, function()
    db:transaction(function(tx)
      if r(2) == 1 then tx:execute(INSERT, g[1], 8) end
      local from = tx:value("select count(*)::int from soak where t = ?", g[1]) + 1
      tx:pipeline(function(p)
        for i = from, #g do p:execute(INSERT, g[i], 8) end
        if bad then p:execute "insert into known values (1, 1)" end
        p:value "select 1"
      end)
    end)
  end)
end)

act("copy in", function(m, db, r)
  local g, how, i = group(m, r(60)), r(4), 0
  local function source()
    i = i + 1
    if i == #g and how == 1 then error({ kind = "undo" }, 0) end
    if r(20) == 1 then sleep(0) end
    return g[i] and { t = i == #g and how == 2 and g[1] or g[i], w = 9 }
  end
  if how == 2 and #g == 1 then how = 3 end
  local function copy(x)
    same(m, #g, x:copy_in("soak", source, { columns = { "t", "w" } }), "copied")
  end
  commits(m, g, how == 1 and "undo" or how == 2 and "unique" or nil, function()
    if r(2) == 1 then copy(db) else db:transaction(copy) end
  end)
end)

act("copy out", function(m, db, r)
  local n, stop = 0, r(3) == 1 and r(KNOWN)
  local _, it = db:copy_out "select id, n from known order by id"
  while true do
    local row = it:next()
    if not row then break end
    n = n + 1
    same(m, n, row.id, "copied id")
    same(m, n * 7, row.n, "copied n")
    if n == stop then it:close() return end
  end
  same(m, KNOWN, n, "rows copied")
end)

act("stream", function(m, db, r)
  local stop, n = r(2) == 1 and r(KNOWN), 0
  local _, it = db:each "select id, n from known order by id"
  while true do
    local row = it:next()
    if not row then break end
    n = n + 1
    same(m, n * 7, row.n, "stream")
    if n == stop then it:close() return end
  end
  same(m, KNOWN, n, "rows streamed")
end)

act("notify", function(m, db, r)
  local t = token(m)
  if r(2) == 1 then
    db:notify("soak", tostring(t))
  else
    db:transaction(function(tx) tx:notify("soak", tostring(t)) end)
  end
  m.sent[t] = true
end)

act("connection", function(m, db, r)
  db:connection(function(c)
    c:value("select set_config('soak.dirty', ?, false)", "x" .. r(9))
    if r(2) == 1 then sleep(0) end
    same(m, "x", c:value "select current_setting('soak.dirty')":sub(1, 1), "setting")
  end)
end)

act("clean", function(m, db)
  same(m, "", db:value "select coalesce(current_setting('soak.dirty', true), '')", "setting")
end)

act("many", function(m, db, r)
  local g, list = group(m, r(20)), {}
  for i, t in ipairs(g) do list[i] = { t = t, w = 10 } end
  commits(m, g, nil, function() db:insert_many("soak", list) end)
end)

act("batch", function(m, db, r)
  local g, list = group(m, 1 + r(20)), {}
  for i, t in ipairs(g) do list[i] = { t, 11 } end
  local bad = r(3) == 1
  if bad then list[#list + 1] = { g[1], 11 } end
  commits(m, g, bad and "unique" or nil, function() db:execute_many(INSERT, list) end)
end)

-- ---- the run ---------------------------------------------------------------------

local function listen(m, db)
  local heard = { n = 0 }
  local l = db:listen("soak", function(news)
    if news.gap then
      heard.gap = true
    elseif heard[news.payload] then
      wrong(m, "%s was heard twice", news.payload)
    else
      heard[news.payload] = true
      heard.n = heard.n + 1
    end
  end)
  return heard, l
end

local function check_heard(m, heard)
  local function missing()
    if heard.gap then return nil end
    for t in pairs(m.sent) do
      if not heard[tostring(t)] then return t end
    end
  end
  for _ = 1, 200 do
    if not missing() then return end
    sleep(0.01)
  end
  wrong(m, "notification %s was not heard", tostring(missing()))
end

-- One act as a task, alone, under a limit of time or cancelled. Was it cut, and what
-- join gave.
local function attempt(f, r, cut)
  local how = cut and r(6) or 6
  local task = spawn(function()
    if how == 1 then return perigee.timeout(r(4000) / 1e6, f) end
    return f()
  end)
  if how == 2 then
    for _ = 1, r(6) do sleep(r(3) == 1 and r(900) / 1e6 or 0) end
    task:cancel()
  end
  return how < 3, pcall(task.join, task)
end

local function job(m, db, r, cut)
  local name = names[r(#names)]
  local was_cut, ok, err = attempt(function() acts[name](m, db, r) end, r, cut)
  if ok then return end
  if type(err) ~= "table" or not EXPLAINED[err.kind] then
    wrong(m, "%s: %s", name, tostring(err))
  elseif not was_cut and not m.disturbed then
    wrong(m, "%s: %s, and nobody had cut it", name, tostring(err))
  end
end

local function make(db)
  db:script [[drop table if exists soak, known;
    create table soak (t bigint primary key, w int not null);
    create table known (id int primary key, n int not null);
    insert into known select i, i * 7 from generate_series(1, 50) i]]
end

local function run(db, r, options)
  local m = new_model()
  m.disturbed = options.disturb ~= nil
  make(db)
  perigee.run(function()
    local heard, listener = listen(m, db)
    local tasks, over = {}, false
    for i = 1, TASKS do
      tasks[i] = spawn(function()
        for _ = 1, options.jobs do
          job(m, db, r, options.cut)
          if #m.wrong > 20 then return end
        end
      end)
    end
    local disturber = options.disturb and spawn(function()
      while not over do options.disturb() end
    end)
    for i = 1, TASKS do tasks[i]:join() end
    over = true
    if disturber then disturber:join() end
    expect.idle(db)
    check_heard(m, heard)
    listener:close()
  end)
  local count = check_table(m, db)
  db:script "drop table soak, known"
  return m, count
end

local function check(m, count, db)
  assert.equal("", table.concat(m.wrong, "\n"))
  assert.is_true(count["in"] > 0)
  local s = db:stats()
  assert.same({ 0, 0, 0 }, { s.in_use, s.waiting, s.shared })
end

helper.for_each_db(function(_, open)
  for _, size in ipairs { 1, 4 } do
    it("a mix of everything on " .. size .. " connections", function()
      helper.watchdog(200)
      local db = open { max_size = size, acquire_timeout = 60 }
      local r = helper.random("mix" .. size)
      local m, count = run(db, r, { jobs = helper.soak(400) })
      check(m, count, db)
      assert.equal(0, count.unknown)
      assert.is_true(db:stats().pipelined > 0 or os.getenv "PERIGEE_POSTGRES_PROTOCOL" == "libpq")
    end)

    it("a mix of everything on " .. size .. " connections, cut short at random", function()
      helper.watchdog(200)
      local db = open { max_size = size, acquire_timeout = 60 }
      local m, count = run(db, helper.random("cut" .. size),
        { jobs = helper.soak(400), cut = true })
      check(m, count, db)
    end)
  end

  it("a mix of everything whose connections are killed", function()
    if os.getenv "PERIGEE_TEST_PROXY" then return end
    helper.watchdog(200)
    local db = open { max_size = 4, acquire_timeout = 60, application_name = "soaked" }
    local admin = open { max_size = 1 }
    local m, count = run(db, helper.random "killed", { jobs = helper.soak(400), cut = true,
      disturb = function()
        admin:query [[select pg_terminate_backend(pid) from (select pid from pg_stat_activity
          where application_name = 'soaked' order by random() limit 1) s]]
        sleep(0.03)
      end })
    check(m, count, db)
  end)
end, { "postgres" })
