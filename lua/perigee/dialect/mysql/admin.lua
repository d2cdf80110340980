--- Databases.
local core = require "perigee.core"
local types = require "perigee.dialect.mysql.types"
local util = require "perigee.util"

local quote, usage = types.quote, util.usage
local M = {}

-- Longer names are refused by the server with a word about something else.
local function check_name(verb, name)
  local text = quote(name)
  if types.limit(name) ~= name then
    usage("%s: the name %q is longer than 64 characters", verb, name)
  end
  return text
end

-- Error numbers of databases that are there, or are not.
local KINDS = { [1007] = "duplicate", [1008] = "undefined" }

local function execute(x, sql)
  local ok, err = pcall(x.execute, x, sql)
  if ok then return end
  local kind = type(err) == "table" and KINDS[tonumber(err.code)]
  if kind and kind ~= err.kind then
    err = core.new_error(kind, err.message, { sqlstate = err.sqlstate, cause = err })
  end
  error(err, 0)
end

--- The databases that one may see, but for the server's own.
-- @treturn {table,...} { name =, encoding =, size = bytes }
function M.list(x)
  return x:query [[
SELECT s.schema_name AS name, s.default_character_set_name AS encoding,
  CAST(coalesce(sum(t.data_length + t.index_length), 0) AS signed) AS size
FROM information_schema.schemata s
LEFT JOIN information_schema.tables t ON t.table_schema = s.schema_name
WHERE s.schema_name NOT IN ('information_schema', 'mysql', 'performance_schema', 'sys')
GROUP BY s.schema_name, s.default_character_set_name ORDER BY s.schema_name]]
end

function M.exists(x, name)
  return x:first("SELECT 1 FROM information_schema.schemata WHERE schema_name = ?", { name })
    ~= nil
end

local CREATE = { "charset", "collation" }

--- Creates a database.
-- @param x executor, not in a transaction
-- @tparam string name
-- @tparam ?table opts charset (default utf8mb4), collation
-- @raise duplicate, permission, usage
function M.create(x, name, opts)
  local o = util.check_options("create", opts, CREATE)
  for _, k in ipairs(CREATE) do
    if o[k] ~= nil and not (type(o[k]) == "string" and o[k]:find "^[%w_]+$") then
      usage("create: %s: %s is not a name", k, tostring(o[k]))
    end
  end
  execute(x, ("CREATE DATABASE %s CHARACTER SET %s%s"):format(check_name("create", name),
    o.charset or "utf8mb4", o.collation and " COLLATE " .. o.collation or ""))
end

--- Drops a database.
-- @param x executor, not in a transaction
-- @tparam string name
-- @tparam ?table opts if_exists
-- @raise undefined, permission, usage
function M.drop(x, name, opts)
  local o = util.check_options("drop", opts, { "if_exists" })
  execute(x, ("DROP DATABASE %s%s"):format(o.if_exists and "IF EXISTS " or "",
    check_name("drop", name)))
end

return M
