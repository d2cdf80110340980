--- How each database spells definitions: the module of a dialect by an executor or by
-- its name. A dialect is a table of functions; docs/internals/dialect-postgres.md says
-- which.
local core = require "perigee.core"
local util = require "perigee.util"

local M = {}

local MODULES = {
  postgres = "perigee.dialect.postgres",
  sqlite = "perigee.dialect.sqlite",
  mysql = "perigee.dialect.mysql",
}

--- The dialect of a name.
-- @tparam string name postgres, sqlite or mysql
-- @treturn table
-- @raise usage
function M.named(name)
  local module = MODULES[name]
  if not module then
    util.usage("unknown dialect %q: there are mysql, postgres, sqlite", tostring(name))
  end
  return require(module)
end

--- The dialect of a handle, connection or transaction.
-- @treturn table
-- @raise unsupported a driver for which there is none
function M.of(x)
  local name = core.driver(x).dialect
  if not MODULES[name] then
    error(core.new_error("unsupported",
      ("there are no table definitions for a %s database"):format(tostring(name))), 0)
  end
  return M.named(name)
end

return M
