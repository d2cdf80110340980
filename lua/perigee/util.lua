--- What several files of this folder need.
local core = require "perigee.core"

local M = {}

--- Raises a `usage` error with a formatted message.
-- @raise usage
function M.usage(...)
  error(core.new_error("usage", string.format(...)), 0)
end

--- The options of a verb; raises usage on others.
-- @tparam string verb
-- @tparam ?table options
-- @tparam {string,...} allowed
function M.check_options(verb, options, allowed)
  if options == nil then return {} end
  if type(options) ~= "table" then
    M.usage("%s: the options must be a table, not %s", verb, type(options))
  end
  local known = {}
  for _, k in ipairs(allowed) do known[k] = true end
  for k in pairs(options) do
    if not known[k] then
      M.usage(#allowed == 0 and "%s: unknown option %q: it takes none"
        or "%s: unknown option %q: allowed are %s", verb, tostring(k),
        table.concat(allowed, ", "))
    end
  end
  return options
end

--- table.pack, which LuaJIT lacks.
function M.pack(...)
  return { n = select("#", ...), ... }
end

M.unpack = table.unpack or unpack

return M
