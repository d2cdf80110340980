-- Requests that use the database in nginx, by both ways of waiting.
local helper = require "spec.support.helper"
local bed = require "spec.nginx.bed"
local http = require "spec.support.http"
local nginx = require "spec.support.nginx"

-- The median and the longest of a list of times.
local function median(list)
  table.sort(list)
  return list[math.ceil(#list / 2)], list[#list]
end

-- The median of how long a plain request takes.
local function plain_time(server)
  local list = {}
  for i = 1, 15 do list[i] = server:get("/plain").seconds end
  return (median(list))
end

bed.each_way(function(start, way)
  it("answers, and tells the host", function()
    local server = start()
    assert.equal("42", server:body "/value?n=41")
    local name, why = server:body("/host"):match "^(%l+)\n(.+)$"
    assert.equal("nginx", name)
    assert.matches(way, why, 1, true)
  end)

  it("lets 64 requests sleep in 64 connections, and others pass", function()
    local server = start()
    server:all(http.times(64, "/sleep?s=0.05")) -- connects
    local idle = plain_time(server)
    local list = http.times(64, "/sleep?s=0.05")
    for _ = 1, 8 do list[#list + 1] = "/plain" end
    local began = http.now()
    local answers = server:all(list)
    local took, times = http.now() - began, {}
    for i, answer in ipairs(answers) do
      assert.equal(i <= 64 and "slept" or "plain", answer.body)
      if i > 64 then times[#times + 1] = answer.seconds end
    end
    local usual, longest = median(times)
    print(("# %s: 64 sleeps of 50 ms took %.0f ms; a plain request %.1f ms meanwhile "
      .. "(%.1f ms the longest), %.1f ms alone"):format(way, took * 1000, usual * 1000,
      longest * 1000, idle * 1000))
    assert.is_true(took < helper.patience(1), took) -- one after the other: 3.2 s
    assert.is_true(usual < helper.patience(0.1), usual)
    assert.equal(bed.IDLE, bed.idle(server))
  end)

  it("mixes no answers up", function()
    local server = start { env = { PERIGEE_SPEC_SIZE = "4" } }
    local n, wrong = 0, 0
    http.crowd {
      port = server.port, width = 50,
      next = function()
        n = n + 1
        if n <= 1000 then return { path = "/value?n=" .. n, n = n } end
      end,
      done = function(r)
        if r.body ~= tostring(r.request.n + 1) then wrong = wrong + 1 end
      end,
    }
    assert.equal(0, wrong)
    assert.equal(bed.IDLE, bed.idle(server))
    assert.is_true(tonumber(server:body("/stats"):match "size=(%d+)") <= 4)
  end)

  it("commits, and rolls back on errors, which keep their kind", function()
    local db = bed.database()
    local server = start()
    assert.equal("added 1", server:body "/add?name=a")
    local r = server:get "/add?name=b&fail=1"
    assert.same({ 500, "no b" }, { r.status, r.body })
    assert.equal(1, db:value "select count(*) from marks")
    assert.equal("undefined syntax data usage timeout timeout data fine",
      server:body "/kinds")
    assert.equal(bed.IDLE, bed.idle(server))
  end)

  it("waits for light threads, tasks and coroutines", function()
    local server = start()
    server:body "/gather"
    assert.is_true(tonumber(server:body "/threads") < helper.patience(0.6))
    assert.is_true(tonumber(server:body "/gather") < helper.patience(0.6))
    assert.equal("1 false cancelled 15 3", server:body "/tasks")
    assert.equal("3", server:body "/coroutine")
    assert.equal("114", server:body "/subrequests")
    assert.equal(bed.IDLE, bed.idle(server))
  end)

  it("refuses to wait in a callback of C", function()
    local server = start()
    assert.matches("^usage: .*table%.sort", server:body "/sort")
    assert.equal("42", server:body "/value?n=41")
    assert.equal(bed.IDLE, bed.idle(server))
  end)

  it("reads 20 MB, and row by row, while others pass", function()
    local server = start()
    server:body "/value?n=1"
    local list = { "/big?rows=20000", "/each?rows=20000" }
    for _ = 1, 5 do list[#list + 1] = "/value?n=1" end
    local answers = server:all(list)
    assert.equal("20000000", answers[1].body)
    assert.equal("200010000", answers[2].body)
    for i = 3, 7 do assert.equal("2", answers[i].body) end
    assert.equal(bed.IDLE, bed.idle(server))
  end)

  it("sends bodies of 64 KiB and more as parameters", function()
    local server = start()
    local random, list = helper.random "bodies", {}
    for i = 1, 24 do
      local text = {}
      for j = 1, 1024 * (i % 8 == 0 and 8 or 1) do
        text[j] = ("%032x"):format(random(2 ^ 30)) .. ("%032x"):format(i)
      end
      list[i] = { path = "/body", body = table.concat(text) }
    end
    for i, answer in ipairs(server:all(list)) do
      assert.equal(200, answer.status)
      assert.is_true(answer.body == list[i].body, "body " .. i)
    end
    assert.equal(bed.IDLE, bed.idle(server))
  end)

  it("works with SQLite, inline and on its worker thread", function()
    local path = helper.tmpname()
    local file = require "perigee".open("sqlite:///" .. path)
    file:script "create table notes (id integer primary key, text text)"
    file:close()
    local server = start { env = { PERIGEE_SPEC_SQLITE = path } }
    local list = {}
    for i = 1, 40 do list[i] = "/sqlite?text=n" .. i end
    list[41], list[42] = "/scan", "/plain"
    local answers = server:all(list)
    for i = 1, 40 do assert.equal("1", answers[i].body) end
    assert.matches("^%d+$", answers[41].body)
    assert.equal("plain", answers[42].body)
  end)

  it("works in timers, which end when they fail", function()
    local db = bed.database()
    local server = start()
    assert.equal("started", server:body "/timer")
    assert.is_truthy(nginx.wait_for(function()
      return server:body "/told?what=timer" == "by timer"
    end, helper.patience(5)))
    server:body "/timer_fails"
    assert.equal(bed.IDLE, bed.idle(server))
    assert.equal(0, db:value "select count(*) from marks")
  end)

  it("has a pool in each worker, of a handle opened before the fork", function()
    local server = start {
      workers = 2, env = { PERIGEE_SPEC_SIZE = "2" },
      http = [[init_by_lua_block { require("spec.nginx.app").init =
        require("spec.nginx.app").db:value "select pg_backend_pid()" }]],
      locations = [[location /init { content_by_lua_block {
        ngx.print(require("spec.nginx.app").init) } }]],
    }
    local init = server:body "/init"
    local backends, workers, list = {}, {}, {}
    for i = 1, 60 do list[i] = i % 2 == 0 and "/pid" or "/backend" end
    for i, answer in ipairs(server:all(list)) do
      assert.equal(200, answer.status, answer.body)
      local set = i % 2 == 0 and workers or backends
      set[answer.body] = true
    end
    assert.is_nil(backends[init])
    local n = 0
    for _ in pairs(backends) do n = n + 1 end
    assert.is_true(n <= 4, n)
  end)
end)
