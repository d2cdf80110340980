-- Run by connect_spec.lua in a process of its own: connects to a place that can
-- only be given up (by default a name that resolves slowly, spec/support/
-- slowdns.c), and tells whether the loop went on ticking.

local build = assert(os.getenv "PERIGEE_BUILD")
package.path = "lua/?.lua;lua/?/init.lua;" .. package.path
package.cpath = build .. "/lua/?.so;" .. package.cpath
local perigee = require "perigee"
local now = require "perigee.core".now

local url = ... or "postgresql://app@database.slow:1/app"
local limit = 0.025 * (tonumber(os.getenv "PERIGEE_SLOW" or nil) or 1)

-- The longest time without a tick, and how long it took in all.
local function attempt()
  local stopped, gap, began = false, 0, now()
  perigee.run(function()
    local ticker = perigee.spawn(function()
      local last = now()
      while not stopped do
        perigee.sleep(0.005)
        gap, last = math.max(gap, now() - last), now()
      end
    end)
    local db = perigee.open(url, { connect_timeout = 0.2, acquire_timeout = 5 })
    local ok, err = pcall(db.ping, db)
    assert(not ok and err.kind == "timeout", tostring(err))
    db:close { timeout = 0.1 }
    stopped = true
    ticker:join()
  end)
  return gap, now() - began
end

local gap, took
for _ = 1, 3 do
  gap, took = attempt()
  if gap < limit then break end
end
assert(gap < limit, ("no tick for %.1f ms"):format(gap * 1000))
assert(took < limit * 100, ("it took %.1f s"):format(took))
print "all is well"
os.exit(0) -- threads may be at it for long
