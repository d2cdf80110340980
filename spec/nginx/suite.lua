-- What is only so inside nginx, as classes of LuaUnit: run.lua runs them in a worker.
local lu = require "luaunit"
local perigee = require "perigee"

local url = os.getenv "PERIGEE_TEST_POSTGRES"

local function kind_of(f, ...)
  local ok, err = pcall(f, ...)
  lu.assertFalse(ok)
  return type(err) == "table" and err.kind or tostring(err), err
end

-- ---- the host ------------------------------------------------------------------

local TestHost = {}

function TestHost.test_is_told_with_its_way()
  local name, why = perigee.host()
  lu.assertEquals(name, "nginx")
  lu.assertTrue(why:find("hub", 1, true) ~= nil or why:find("relay", 1, true) ~= nil)
end

function TestHost.test_takes_only_the_ways_there_are()
  local kind, err = kind_of(perigee.host, "nginx", { way = "magic" })
  lu.assertEquals(kind, "usage")
  lu.assertStrContains(err.message, "hub")
  lu.assertEquals(kind_of(perigee.host, "nginx", { weg = "hub" }), "usage")
  lu.assertEquals(kind_of(perigee.host, "apache"), "usage")
end

function TestHost.test_null_is_that_of_ngx()
  lu.assertTrue(perigee.null == ngx.null)
  lu.assertTrue(perigee.null == require "cjson".null)
end

-- ---- whose call it is ------------------------------------------------------------

local TestIdentity = {}

function TestIdentity:setUp()
  self.db = perigee.open(url, { max_size = 3 })
  self.db:script "drop table if exists own; create table own (name text)"
end

function TestIdentity:tearDown()
  lu.assertEquals(self.db:stats().in_use, 0)
  self.db:close()
end

function TestIdentity:test_calls_in_the_block_join_it()
  local db = self.db
  db:transaction(function(tx)
    tx:execute "insert into own values ('a')"
    lu.assertEquals(db:value "select count(*) from own", 1)
  end)
end

function TestIdentity:test_a_light_thread_starts_outside()
  local db = self.db
  db:transaction(function(tx)
    tx:execute "insert into own values ('a')"
    local thread = ngx.thread.spawn(function() return db:value "select count(*) from own" end)
    local ok, n = ngx.thread.wait(thread)
    lu.assertTrue(ok)
    lu.assertEquals(n, 0)
  end)
end

function TestIdentity:test_a_thread_may_use_a_transaction_that_it_is_given()
  self.db:transaction(function(tx)
    local list = {}
    for i = 1, 5 do
      list[i] = ngx.thread.spawn(function()
        tx:execute("insert into own values (?)", "n" .. i)
      end)
    end
    for i = 1, 5 do lu.assertTrue((ngx.thread.wait(list[i]))) end
    lu.assertEquals(tx:value "select count(*) from own", 5)
  end)
  lu.assertEquals(self.db:value "select count(*) from own", 5)
end

function TestIdentity:test_a_coroutine_is_a_task_of_its_own()
  local db = self.db
  db:transaction(function(tx)
    tx:execute "insert into own values ('a')"
    local n = coroutine.wrap(function() return db:value "select count(*) from own" end)()
    lu.assertEquals(n, 0)
    n = perigee.wrap(function() return db:value "select count(*) from own" end)()
    lu.assertEquals(n, 1)
  end)
end

-- ---- waiting together with nginx's own means ---------------------------------------

local TestTogether = {}

function TestTogether:setUp()
  self.db = perigee.open(url, { max_size = 3 })
end

function TestTogether:tearDown()
  self.db:close()
end

function TestTogether:test_sleeps_of_both_run_at_once()
  ngx.update_time()
  local began = ngx.now()
  local thread = ngx.thread.spawn(function() ngx.sleep(0.1) end)
  perigee.gather(function() perigee.sleep(0.1) end,
    function() self.db:query "select pg_sleep(0.1)" end)
  lu.assertTrue((ngx.thread.wait(thread)))
  ngx.update_time()
  lu.assertTrue(ngx.now() - began < 0.28)
end

function TestTogether:test_the_first_of_several_threads_wins()
  local slow = ngx.thread.spawn(function() self.db:query "select pg_sleep(2)" end)
  local fast = ngx.thread.spawn(function() return self.db:value "select 'fast'" end)
  local ok, value = ngx.thread.wait(slow, fast)
  lu.assertTrue(ok)
  lu.assertEquals(value, "fast")
  ngx.thread.kill(slow)
end

function TestTogether:test_a_time_limit_bounds_a_wait()
  lu.assertEquals(kind_of(perigee.timeout, 0.05, function()
    self.db:query "select pg_sleep(5)"
  end), "timeout")
  lu.assertEquals(self.db:value "select 1", 1)
end

-- ngx_lua has the error as the last of several results; a task of ours raises it.
function TestTogether:test_errors_reach_the_one_who_waits()
  local thread = ngx.thread.spawn(function() self.db:query "select * from nowhere" end)
  local results = { ngx.thread.wait(thread) }
  lu.assertFalse(results[1])
  lu.assertEquals(results[#results].kind, "undefined")
  local task = perigee.spawn(function() self.db:query "select * from nowhere" end)
  lu.assertEquals(kind_of(task.join, task), "undefined")
end

return {
  { "TestHost", TestHost }, { "TestIdentity", TestIdentity }, { "TestTogether", TestTogether },
}
