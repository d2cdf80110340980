--- perigee --version
local core = require "perigee.core"
local runner = require "perigee.runner"

local M = {}

local DRIVERS = { "postgres", "sqlite", "mysql" }

local function driver_line(name)
  local path = package.searchpath("perigee.driver." .. name, package.cpath)
  if not path then return nil end
  local ok, found, version = pcall(core.driver_version, path)
  if not ok then return ("%-9s %s"):format(name, found.message or found) end
  return ("%-9s %s"):format(found, version)
end

--- Prints the versions of everything that takes part.
function M.show()
  print("perigee   " .. runner.version)
  print("lua       " .. _VERSION:match "%d[%d.]*")
  for _, name in ipairs(DRIVERS) do
    local line = driver_line(name)
    if line then print(line) end
  end
end

return M
