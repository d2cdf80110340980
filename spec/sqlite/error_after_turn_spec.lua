-- A call that waited, let other tasks run meanwhile and then raised. On LuaJIT what runs
-- next as machine code has to find the stack of the caller, not that of the other task:
-- without care this crashed.
local helper = require "spec.support.helper"
local perigee = require "perigee"

local ENDLESS = "with recursive c (i) as (select 1 union all select i + 1 from c)"
  .. " select count(*) from c"

-- Hot enough to be compiled, and left in the middle by every seventh number.
local function work(n)
  local sum = 0
  for i = 1, n do
    if i % 7 == 0 then sum = sum + i * 2 else sum = sum + i end
  end
  return sum
end

describe("an error of a call that let others run", function()
  it("leaves the caller as it was", function()
    local db = perigee.open "sqlite::memory:"
    local query, limit = db.query, { timeout = 0.01 }
    for i = 1, 200 do work(i) end
    for round = 1, 30 do
      local other = perigee.spawn(function()
        while true do perigee.sleep(0.0005) end
      end)
      local ok, err = pcall(query, db, ENDLESS, {}, limit)
      local sum = work(100 + round) + work(50)
      assert.is_true(sum > 0 and not ok)
      assert.equal("timeout", err.kind)
      other:cancel()
    end
    db:close { timeout = helper.patience(5) }
  end)
end)
