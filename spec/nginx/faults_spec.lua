-- Requests that end before their calls do, and servers that go away.
local helper = require "spec.support.helper"
local bed = require "spec.nginx.bed"
local http = require "spec.support.http"
local nginx = require "spec.support.nginx"

bed.each_way(function(start)
  it("has nothing in use after thousands of requests that clients left", function()
    helper.watchdog(400)
    local db = bed.database()
    local server = start { env = { PERIGEE_SPEC_SIZE = "8" } }
    server:body "/plain"
    local random, n, failed = helper.random "aborts", 0, {}
    local function crowd(last)
      http.crowd {
        port = server.port, width = 40,
        next = function()
          if n == last then return nil end
          n = n + 1
          return { path = "/checked/work?n=" .. n, abort = (random(60) - 1) / 10000 }
        end,
        done = function(r)
          local is_right = r.aborted or r.status == 200
          if not is_right then failed[#failed + 1] = r.error or r.body end
        end,
      }
    end
    -- In portions: nginx does not notice all who leave, and works for them too.
    local total = helper.soak(10000)
    for last = 250, total, 250 do
      crowd(last)
      assert.equal(bed.IDLE, bed.idle(server, 10))
    end
    assert.same({}, failed)
    assert.is_true(bed.backends(db) <= 8)
    assert.equal("42", server:body "/value?n=41")
  end)

  it("gives a transaction up with its request", function()
    local db = bed.database()
    local server = start()
    local list = {}
    for i = 1, 6 do
      local how = i % 2 == 0 and "sleep" or "query"
      list[i] = { path = "/checked/hold?name=a&s=3&how=" .. how, abort = 0.1 }
    end
    for _, r in ipairs(server:all(list)) do assert.is_true(r.aborted) end
    assert.equal(403, server:get("/exit?name=b").status)
    assert.equal(403, server:get("/exit?name=b&at=wait").status)
    assert.equal("kept", server:body "/keep?name=c")
    assert.equal("closed", server:body "/use_kept")
    assert.equal(bed.IDLE, bed.idle(server))
    assert.equal(0, db:value "select count(*) from marks")
  end)

  it("goes on when light threads are killed", function()
    local db = bed.database()
    -- What a killed thread has is free when its query has an answer.
    local server = start { env = { PERIGEE_SPEC_SIZE = "13" } }
    local list = {}
    for i = 1, 12 do list[i] = i % 2 == 0 and "/kill" or "/kill?tx=1" end
    for _, answer in ipairs(server:all(list)) do
      assert.equal("went on", answer.body)
    end
    assert.equal(bed.IDLE, bed.idle(server))
    assert.is_truthy(nginx.wait_for(function()
      return db:value [[select count(*) from pg_stat_activity where state = 'active'
        and application_name = 'nginx spec']] == 0
    end, helper.patience(5)))
    assert.equal(0, db:value "select count(*) from marks")
  end)

  it("tells a request that its server went away, and takes another", function()
    local db = bed.database()
    local server = start { env = { PERIGEE_SPEC_SIZE = "8" } }
    local n, kinds, killed = 0, {}, 0
    local next_kill = http.now()
    http.crowd {
      port = server.port, width = 16,
      next = function()
        n = n + 1
        if n <= 600 then return { path = "/sleep?s=0.002" } end
      end,
      done = function(r)
        local kind = r.status == 200 and "slept" or (r.body or r.error):match "^[^:]*"
        kinds[kind] = (kinds[kind] or 0) + 1
      end,
      tick = function()
        if http.now() < next_kill then return end
        next_kill = http.now() + 0.05
        killed = killed + db:value [[select count(*) from (select pg_terminate_backend(pid)
          from pg_stat_activity where application_name = 'nginx spec'
          order by random() limit 1) x]]
      end,
    }
    assert.is_true(killed > 0)
    local slept, closed = kinds.slept, kinds.closed or 0
    kinds.slept, kinds.closed = nil, nil
    assert.same({}, kinds)
    -- a connection may have had statements of several requests
    assert.is_true(closed > 0 and closed <= killed * 16, closed .. " of " .. killed)
    assert.equal(600, slept + closed)
    assert.equal(bed.IDLE, bed.idle(server))
  end)

  it("leaves nothing behind when a worker ends in a transaction", function()
    local db = bed.database()
    local server = start { workers = 2 }
    local list = {}
    for i = 1, 6 do list[i] = { path = "/hold?name=x&s=20&how=sleep", abort = 0.2 } end
    server:all(list)
    local old = server:workers()
    for _, pid in ipairs(old) do server:signal("TERM", pid) end
    assert.is_truthy(nginx.wait_for(function()
      local workers = server:workers()
      return #workers == 2 and workers[1] ~= old[1] and workers[2] ~= old[2]
        and workers[1] ~= old[2] and workers[2] ~= old[1]
    end, helper.patience(5)), "the workers have not ended")
    assert.equal("42", server:body "/value?n=41")
    assert.is_truthy(nginx.wait_for(function()
      return db:value [[select count(*) from pg_stat_activity where state <> 'idle'
        and application_name = 'nginx spec']] == 0
    end, helper.patience(5)))
    assert.equal(0, db:value "select count(*) from marks")
  end)

  it("leaves nothing behind when nginx is stopped at once", function()
    local db = bed.database()
    local server = start()
    server:all { { path = "/hold?name=x&s=20&how=sleep", abort = 0.1 } }
    server:signal "TERM"
    assert.is_truthy(nginx.wait_for(function() return bed.backends(db) == 0 end,
      helper.patience(5)), "connections are left")
    assert.equal(0, db:value "select count(*) from marks")
  end)

  it("keeps its size over many requests", function()
    local server = start { env = { PERIGEE_SPEC_SIZE = "8" } }
    local function load(n)
      local i = 0
      http.crowd {
        port = server.port, width = 20,
        next = function()
          i = i + 1
          if i <= n then return "/work?n=" .. i end
        end,
        done = function(r) assert.equal("worked", r.body) end,
      }
    end
    load(300)
    local before = tonumber(server:body "/memory")
    load(600)
    local after = tonumber(server:body "/memory")
    assert.is_true(after < before * 1.2 + 200, ("%d KiB, then %d KiB"):format(before, after))
    assert.equal(bed.IDLE, bed.idle(server))
  end)
end)
