--- The file perigee.lua: which databases a project has, and where its definitions
-- and migrations are.
local perigee = require "perigee"
local core = require "perigee.core"

local M = {}

M.FILE = "perigee.lua"

local TEXT, NUMBER = "string", "number"

-- What one database may have; the same at the top is for all of them.
local KEYS = {
  url = TEXT, schema = TEXT, migrations = TEXT, include = "function",
  manage = TEXT, journal_schema = TEXT, lock_timeout = NUMBER, lock_wait = NUMBER,
  statement_timeout = NUMBER, retries = NUMBER, allow = "table", schemas = "table",
  online = "boolean",
}
local TOP = { databases = "table", default = TEXT }

local ENV = { "assert", "error", "ipairs", "next", "pairs", "pcall", "select",
  "tonumber", "tostring", "type" }

-- ---- messages --------------------------------------------------------------

local function refuse(fmt, ...)
  error(core.new_error("usage", fmt:format(...)), 0)
end

local function sorted_keys(...)
  local names = {}
  for _, set in ipairs { ... } do
    for name in pairs(set) do names[#names + 1] = tostring(name) end
  end
  table.sort(names)
  return table.concat(names, ", ")
end

-- ---- reading ---------------------------------------------------------------

-- What the file may use: it gives values, and does nothing.
local function environment()
  local env = {
    string = string, math = math,
    table = { concat = table.concat, insert = table.insert,
      remove = table.remove, sort = table.sort },
    os = { getenv = os.getenv, date = os.date, time = os.time },
  }
  for _, name in ipairs(ENV) do env[name] = _G[name] end
  env._G = env
  return env
end

local function check(value, allowed, where, ...)
  for key, v in pairs(value) do
    local wanted = allowed[key]
    if not wanted then
      refuse("%s: unknown key %q; there are: %s", where, tostring(key),
        sorted_keys(allowed, ...))
    end
    if type(v) ~= wanted then
      refuse("%s: %s is a %s, not a %s", where, key, wanted, type(v))
    end
  end
end

local function check_databases(config, name)
  for key, entry in pairs(config.databases or {}) do
    if type(key) ~= "string" or type(entry) ~= "table" then
      refuse("%s: databases has names with tables, as in databases = { main = { url = … } }",
        name)
    end
    check(entry, KEYS, ("%s: database %q"):format(name, key))
  end
  local default = config.default
  if default and not (config.databases and config.databases[default]) then
    refuse("%s: default: there is no database %q", name, default)
  end
end

local function evaluate(text, name)
  local fn, why = load(text, "@" .. name, "t", environment())
  if not fn then refuse("%s", why) end
  local ok, config = pcall(fn)
  if not ok then refuse("%s", tostring(config)) end
  if type(config) ~= "table" then
    refuse("%s: it returns a %s; write: return { url = … }", name, type(config))
  end
  local allowed = {}
  for key, kind in pairs(KEYS) do allowed[key] = kind end
  for key, kind in pairs(TOP) do allowed[key] = kind end
  check(config, allowed, name)
  check_databases(config, name)
  return config
end

local function read(path)
  local f, why = io.open(path, "rb")
  if not f then return nil, why end
  local text, problem = f:read "*a"
  f:close()
  return text, text == nil and path .. ": " .. tostring(problem) or nil
end

-- ---- one database of it ----------------------------------------------------

local function choose(config, options, path)
  local databases, name = config.databases, options.database
  if name then
    if databases and databases[name] then return name end
    if not databases then
      refuse("--database: %s has no databases with names", path)
    end
    refuse("--database: there is no database %q in %s; there are: %s", name, path,
      sorted_keys(databases))
  end
  if not databases or config.url or options.url then return nil end
  if config.default then return config.default end
  local only = next(databases)
  if only ~= nil and next(databases, only) == nil then return only end
  if databases.main then return "main" end
  if only ~= nil then
    refuse("which database? --database with one of: %s", sorted_keys(databases))
  end
end

--- A path of the configuration, as seen from where the program runs.
function M.beside(folder, path)
  if path:sub(1, 1) == "/" or folder == "" then return path end
  return folder .. path
end

-- A file of SQLite is named relative to the configuration too.
local function url_beside(folder, text)
  if folder == "" then return text end
  local ok, url = pcall(perigee.url, text)
  if not ok or url.scheme ~= "sqlite" then return text end
  local file = url.database
  if file == ":memory:" or file:sub(1, 1) == "/" then return text end
  return url:with { database = M.beside(folder, file) }:reveal()
end

--- Reads the configuration of a command.
-- @tparam table options config (a path, else perigee.lua where it is there),
-- database (a name)
-- @treturn table the values of the chosen database, with path (nil without a
-- file), folder ("" or with a slash at its end) and name
-- @raise usage when the file is missing, wrong, or has no such database
function M.load(options)
  local path = options.config or M.FILE
  local text, why = read(path)
  if not text then
    if options.config then refuse("--config: %s", why) end
    if io.open(path, "rb") then refuse("%s", why) end
    if options.database then
      refuse("--database: there is no %s here, which would have names of databases", path)
    end
    return { folder = "" }
  end
  local config = evaluate(text, path)
  local folder = path:match "^(.*/)" or ""
  local name = choose(config, options, path)
  local out = { path = path, folder = folder, name = name }
  local own = name and config.databases[name] or {}
  for key in pairs(KEYS) do
    out[key] = own[key]
    if own[key] == nil then out[key] = config[key] end
  end
  if out.url then out.url = url_beside(folder, out.url) end
  return out
end

return M
