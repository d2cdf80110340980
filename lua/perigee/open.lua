--- Opening: options, URLs, where driver modules are found.
local core = require "perigee.core"
local transaction = require "perigee.transaction"
local util = require "perigee.util"

local usage = util.usage

local M = {}

-- ---- options ---------------------------------------------------------------

local function seconds(name, v)
  local n = tonumber(v)
  if not n or n ~= n or n < 0 then
    usage("%s: a number of seconds from 0 on is expected, not %s", name, tostring(v))
  end
  return n
end

local function positive(name, v)
  local n = seconds(name, v)
  if n == 0 then usage("%s: must be greater than 0", name) end
  return n
end

local function count(name, v)
  local n = tonumber(v)
  if not n or n ~= math.floor(n) or n < 0 or n > 1e6 then
    usage("%s: a whole number from 0 on is expected, not %s", name, tostring(v))
  end
  return n
end

local function page_limit(name, v)
  local n = count(name, v)
  if n == 0 then usage("%s: must be at least 1", name) end
  return n
end

local function pipeline(name, v)
  local n = count(name, v)
  if n > 256 then usage("%s: at most 256 statements may be in flight, not %d", name, n) end
  return n
end

-- One key or several, the first of which encrypts. They are secrets: no message has
-- them.
local function cursor_keys(name, v)
  if type(v) == "string" then v = { v } end
  if type(v) ~= "table" or #v == 0 then
    usage("%s: a string of 16 bytes or more is expected, or a list of them", name)
  end
  local keys = {}
  for i = 1, #v do
    if type(v[i]) ~= "string" or #v[i] < 16 then
      usage("%s: key %d is not a string of 16 bytes or more", name, i)
    end
    keys[i] = v[i]
  end
  return keys
end

local function text(name, v)
  if type(v) ~= "string" then usage("%s: a string is expected, not %s", name, type(v)) end
  return v
end

local function flag(name, v)
  if v == true or v == "true" or v == "1" or v == "on" then return true end
  if v == false or v == "false" or v == "0" or v == "off" then return false end
  usage("%s: true or false is expected, not %s", name, tostring(v))
end

local function func(name, v)
  if type(v) ~= "function" then usage("%s: a function is expected, not %s", name, type(v)) end
  return v
end

local function one_of(...)
  local allowed = { ... }
  return function(name, v)
    for _, a in ipairs(allowed) do if v == a then return v end end
    usage("%s: one of %s is expected, not %s", name, table.concat(allowed, ", "), tostring(v))
  end
end

local function codecs(name, v)
  if type(v) ~= "table" then usage("%s: a table is expected, not %s", name, type(v)) end
  local decoders = {}
  for type_name, codec in pairs(v) do
    if type(type_name) ~= "string" or type(codec) ~= "table" then
      usage("%s: { type = { decode = fn } } is expected", name)
    end
    for k in pairs(codec) do
      if k ~= "decode" then
        usage("%s.%s: unknown field %q: allowed is decode", name, type_name, tostring(k))
      end
    end
    decoders[type_name] = func(name .. "." .. type_name .. ".decode", codec.decode)
  end
  return decoders
end

-- What may be given in a URL too has true as its second item.
local OPTIONS = {
  min_size = { count, true }, max_size = { count, true }, max_waiting = { count, true },
  acquire_timeout = { positive, true }, connect_timeout = { positive, true },
  query_timeout = { positive, true }, idle_timeout = { positive, true },
  lifetime = { positive, true }, check_after = { seconds, true },
  statement_cache = { count, true }, pipeline = { pipeline, true },
  application_name = { text, true },
  reset = { one_of("auto", "always", "never"), true },
  numeric = { one_of("string", "number"), true }, json = { one_of("value", "raw"), true },
  int8 = { one_of("auto", "string", "cdata"), true },
  force_rollback = { flag, true },
  on_connect = { func }, on_query = { func }, on_notice = { func }, on_warning = { func },
  codecs = { codecs }, cursor_key = { cursor_keys }, max_limit = { page_limit, true },
}

local function allowed_names()
  local names = {}
  for k in pairs(OPTIONS) do names[#names + 1] = k end
  table.sort(names)
  return table.concat(names, ", ")
end

-- Options of the URL, without those that are the driver's; then those given.
local function collect(url, given)
  local o, rest = {}, {}
  for k, v in pairs(url.params) do
    local option = OPTIONS[k]
    if option and option[2] then o[k] = option[1](k, v) else rest[k] = v end
  end
  for k, v in pairs(given) do
    local option = OPTIONS[k]
    if not option then usage("unknown option %q: allowed are %s", tostring(k), allowed_names()) end
    o[k] = option[1](k, v)
  end
  if o.max_size == 0 then usage("max_size: must be at least 1") end
  if (o.min_size or 0) > (o.max_size or math.huge) then
    usage("min_size (%d) is greater than max_size (%d)", o.min_size, o.max_size)
  end
  return o, url:with { params = rest }
end

-- ---- drivers ---------------------------------------------------------------

local PACKAGES = {
  postgres = "luarocks install perigee-postgres, or libpq (Debian: libpq-dev) when "
    .. "Perigee is built with CMake",
  sqlite = "SQLite (Debian: libsqlite3-dev) when Perigee is built",
  mysql = "luarocks install perigee-mysql, or MariaDB Connector/C (Debian: libmariadb-dev) "
    .. "when Perigee is built with CMake",
  mock = "a build with CMake",
}

local function driver_path(scheme)
  if not PACKAGES[scheme] then
    usage("unknown scheme %q: known are mysql, postgresql and sqlite", scheme)
  end
  local path = package.searchpath("perigee.driver." .. scheme, package.cpath)
  if not path then
    usage("the driver module perigee/driver/%s.so was not found on package.cpath; "
      .. "it takes %s",
      scheme, PACKAGES[scheme])
  end
  return path
end

-- ---- hooks -----------------------------------------------------------------

local function warn_by_default(message)
  io.stderr:write("perigee: ", tostring(message), "\n")
end

-- ---- the handle ------------------------------------------------------------

local cores
local function number_of_cores()
  if cores then return cores end
  cores = 2
  local f = io.open("/proc/cpuinfo")
  if f then
    local _, n = f:read("*a"):gsub("processor%s*:", "")
    f:close()
    cores = math.max(n, 1)
  end
  return cores
end

local function default_url()
  return os.getenv("DATABASE_URL") or os.getenv("DATABASE") or "sqlite:perigee.db"
end

--- Opens a database handle. Nothing is connected yet.
-- @tparam[opt] string|perigee.url url default $DATABASE_URL, $DATABASE, sqlite:perigee.db
-- @tparam[opt] table options docs/guide/opening.md has them all; they win over
-- those in the URL
-- @treturn perigee.db
-- @raise usage
function M.open(...)
  local url, given = ...
  if select("#", ...) == 0 then
    url = default_url()
  elseif url == nil then
    usage("open(nil): the URL is missing (a misspelt variable?); open() takes $DATABASE_URL")
  end
  if given ~= nil and type(given) ~= "table" then
    usage("open: the options must be a table, not %s", type(given))
  end
  local o, rest = collect(core.url(url), given or {})
  o.max_size = o.max_size or math.max(4, 2 * number_of_cores(), o.min_size or 0)
  o.max_limit = o.max_limit or 500
  o.warn = o.on_warning or warn_by_default
  o.decoders, o.codecs = o.codecs, nil
  o.setup, o.on_connect = o.on_connect, nil
  local db = core.open(rest, driver_path(rest.scheme), o)
  if o.force_rollback then transaction.open_root(db) end
  return db
end

--- Opens the database that an environment variable names.
-- @tparam string name
-- @tparam[opt] table options as for open()
-- @raise usage when the variable is unset or empty
function M.from_env(name, options)
  if type(name) ~= "string" then usage("from_env: the name of a variable is expected") end
  local url = os.getenv(name)
  if not url or url == "" then usage("the environment variable %s is not set", name) end
  return M.open(url, options)
end

return M
