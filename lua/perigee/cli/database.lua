--- The database of a command.
local perigee = require "perigee"

local M = {}

--- Opens it: nothing is connected yet.
-- @tparam[opt] string url from the command line
-- @tparam[opt] table options of perigee.open
-- @return the handle; or nil, the error, and where the URL was from: an error of
-- the default database has no third value
function M.open(url, options)
  local from = url and "--url"
  for _, name in ipairs { "DATABASE_URL", "DATABASE" } do
    if not url and os.getenv(name) then
      url, from = os.getenv(name), "$" .. name
    end
  end
  local ok, db = pcall(perigee.open, url or "sqlite:perigee.db", options)
  if ok then return db end
  return nil, db, from
end

--- The message of an error of open().
function M.explain(err, from)
  local message = type(err) == "table" and err.message or tostring(err)
  return from and from .. ": " .. message or message
end

return M
