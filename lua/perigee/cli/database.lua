--- The database of a command.
local perigee = require "perigee"
local config = require "perigee.cli.config"

local M = {}

--- Its URL as text, with the password, and where that is from.
-- @tparam table options url
-- @tparam table settings of config.load
-- @treturn string
-- @treturn string|nil nil for the default
function M.url(options, settings)
  if options.url then return options.url, "--url" end
  if settings.url then return settings.url, settings.path end
  for _, name in ipairs { "DATABASE_URL", "DATABASE" } do
    if os.getenv(name) then return os.getenv(name), "$" .. name end
  end
  return "sqlite:perigee.db"
end

--- Opens it: nothing is connected yet.
-- @tparam table options of the command line: url, config, database
-- @tparam[opt] table|function settings options of perigee.open, or a function that
-- gives them for the URL
-- @return the handle; or nil, the error, and where the URL was from: an error of
-- the default database has no third value
function M.open(options, settings)
  local ok, chosen = pcall(config.load, options)
  if not ok then return nil, chosen, "" end
  local url, from = M.url(options, chosen)
  if type(settings) == "function" then settings = settings(url) end
  local opened, db = pcall(perigee.open, url, settings)
  if opened then return db end
  return nil, db, from
end

--- The message of an error of open().
function M.explain(err, from)
  local message = type(err) == "table" and err.message or tostring(err)
  return from and from ~= "" and from .. ": " .. message or message
end

return M
