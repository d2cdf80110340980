--- What several files of this folder need.
local core = require "perigee.core"

local M = {}

--- Raises a `usage` error with a formatted message.
-- @raise usage
function M.usage(...)
  error(core.new_error("usage", string.format(...)), 0)
end

--- table.pack, which LuaJIT lacks.
function M.pack(...)
  return { n = select("#", ...), ... }
end

M.unpack = table.unpack or unpack

return M
