-- Reloads under load: no request is lost, and no old worker stays.
local helper = require "spec.support.helper"
local bed = require "spec.nginx.bed"
local http = require "spec.support.http"

local PATHS = { "/value?n=1", "/sleep?s=0.01", "/work?n=4", "/work?n=2", "/plain" }
local RIGHT = { ["2"] = true, slept = true, worked = true, plain = true }

-- Reloads so often while 16 clients ask; how many requests failed, and why.
local function reload_under_load(server, reloads)
  local asked, failed, done = 0, {}, 0
  local old, waiting_since
  local function has_new_worker()
    for _, pid in ipairs(server:workers()) do
      if not old[pid] then return true end
    end
  end
  local function reload()
    old = {}
    for _, pid in ipairs(server:workers()) do old[pid] = true end
    server:signal "HUP"
    waiting_since = http.now()
  end
  reload()
  http.crowd {
    port = server.port, width = 16,
    next = function()
      if done >= reloads then return nil end
      asked = asked + 1
      return PATHS[asked % #PATHS + 1]
    end,
    done = function(r)
      if not RIGHT[r.body] then
        failed[#failed + 1] = tostring(r.error or r.status) .. " " .. tostring(r.body)
      end
    end,
    tick = function()
      if done >= reloads then return end
      if has_new_worker() then
        done = done + 1
        if done < reloads then reload() end
      elseif http.now() - waiting_since > helper.patience(10) then
        error("no new worker after reload " .. done + 1)
      end
    end,
  }
  return asked, failed
end

bed.each_way(function(start, way)
  it("loses no request at a reload, and leaves no worker behind", function()
    helper.watchdog(600)
    local db = bed.database()
    local server = start { workers = 2, env = { PERIGEE_SPEC_SIZE = "4" } }
    server:body "/value?n=1"
    local reloads = helper.soak(200)
    local asked, failed = reload_under_load(server, reloads)
    assert.same({}, failed)
    assert.is_true(asked > reloads)
    local began = http.now()
    assert.is_truthy(server:settle(2, helper.patience(10)), #server:workers() .. " workers")
    print(("# %s: %d requests over %d reloads; the last old worker ended after %.2f s")
      :format(way, asked, reloads, http.now() - began))
    assert.equal("2", server:body "/value?n=1")
    assert.is_true(bed.backends(db) <= 8)
  end)

  it("lets the old worker end at once when nothing is going on", function()
    local server = start()
    server:body "/value?n=1"
    assert.is_truthy(server:reload())
    local began = http.now()
    assert.is_truthy(server:settle(1, helper.patience(5)))
    assert.is_true(http.now() - began < helper.patience(2))
    assert.equal("2", server:body "/value?n=1")
  end)
end)
