-- Specs inside the runner, where Busted cannot be:
--
--   PERIGEE_BUILD=build build/perigee run spec/runner/unit.lua [FILE…]
--
-- in the top of the tree. Prints TAP, the plan last.
package.path = "./?.lua;" .. package.path
local unit = require "spec.support.unit"
require "spec.support.helper"

local FILES = {
  "spec/shared/calls_spec.lua", "spec/shared/input_spec.lua",
  "spec/shared/placeholders_spec.lua", "spec/tables/crud_spec.lua",
}

-- The runner has started a loop, and perigee.run does not nest.
local NESTS = "the runner's own loop runs already"
local suite = unit.suite {
  out = print,
  skip = {
    ["several tasks call at once"] = NESTS,
    ["keeps what it knows when the handle learns meanwhile"] = NESTS,
  },
}
for _, path in ipairs(arg and #arg > 0 and arg or FILES) do suite:load(path) end
local passed, failed, skipped = suite:run()
print(("# %d passed, %d failed\n1..%d"):format(passed, failed, passed + failed + skipped))
if failed > 0 then os.exit(1) end
