--- Databases and roles.
local core = require "perigee.core"
local types = require "perigee.dialect.postgres.types"
local util = require "perigee.util"

local quote, literal, usage = types.quote, types.literal, util.usage
local M = {}

local function check_options(verb, opts, allowed)
  local names = {}
  for k in pairs(allowed) do names[#names + 1] = k end
  table.sort(names)
  for k, v in pairs(opts) do
    if not allowed[k] then
      usage("%s: unknown option %q: allowed are %s", verb, tostring(k),
        #names > 0 and table.concat(names, ", ") or "none")
    elseif type(v) ~= allowed[k] then
      usage("%s: %s must be a %s, not %s", verb, k, allowed[k], type(v))
    end
  end
  return opts
end

-- Longer names are cut by the server, and then are another's.
local function check_name(verb, name)
  local text = quote(name)
  if types.limit(name) ~= name then
    usage("%s: the name %q is longer than 63 bytes", verb, name)
  end
  return text
end

-- SQLSTATEs of databases that are there, or are not.
local KINDS = { ["42P04"] = "duplicate", ["3D000"] = "undefined" }

local function execute(x, sql)
  local ok, err = pcall(x.execute, x, sql)
  if ok then return end
  local kind = type(err) == "table" and KINDS[err.sqlstate]
  if kind then err = core.new_error(kind, err.message, { sqlstate = err.sqlstate, cause = err }) end
  error(err, 0)
end

--- The databases of the server that one can connect to.
-- @treturn {table,...} { name =, owner =, encoding =, size = bytes (nil where one may not
-- connect) }
function M.list(x)
  return x:query [[
SELECT d.datname::text AS name, pg_catalog.pg_get_userbyid(d.datdba)::text AS owner,
  pg_catalog.pg_encoding_to_char(d.encoding)::text AS encoding,
  CASE WHEN pg_catalog.has_database_privilege(d.oid, 'CONNECT')
    THEN pg_catalog.pg_database_size(d.oid) END AS size
FROM pg_catalog.pg_database d
WHERE d.datallowconn AND NOT d.datistemplate ORDER BY d.datname]]
end

function M.exists(x, name)
  return x:value("SELECT EXISTS (SELECT FROM pg_catalog.pg_database WHERE datname = $1)",
    { name })
end

local CREATE = { owner = "string", template = "string", encoding = "string", locale = "string" }

--- Creates a database.
-- @param x executor, not in a transaction
-- @tparam string name
-- @tparam ?table opts owner, template, encoding, locale
-- @raise duplicate, permission, usage
function M.create(x, name, opts)
  opts = check_options("create", opts or {}, CREATE)
  local sql = "CREATE DATABASE " .. check_name("create", name)
  if opts.owner then sql = sql .. " OWNER " .. quote(opts.owner) end
  -- another encoding or locale is only possible with this template
  local template = opts.template or (opts.encoding or opts.locale) and "template0"
  if template then sql = sql .. " TEMPLATE " .. quote(template) end
  if opts.encoding then sql = sql .. " ENCODING " .. literal(opts.encoding) end
  if opts.locale then
    sql = sql .. (" LC_COLLATE %s LC_CTYPE %s"):format(literal(opts.locale),
      literal(opts.locale))
  end
  execute(x, sql)
end

--- Drops a database.
-- @param x executor on another database, not in a transaction
-- @tparam string name
-- @tparam ?table opts force (end the connections to it), if_exists
-- @raise undefined, permission, usage
function M.drop(x, name, opts)
  opts = check_options("drop", opts or {}, { force = "boolean", if_exists = "boolean" })
  execute(x, ("DROP DATABASE %s%s%s"):format(opts.if_exists and "IF EXISTS " or "",
    check_name("drop", name), opts.force and " WITH (FORCE)" or ""))
end

-- ---- roles -----------------------------------------------------------------

local ROLE = { password = "string", schemas = "table", connection_limit = "number" }

local function run_all(x, sqls)
  for _, sql in ipairs(sqls) do x:script(sql) end
end

-- The password is a parameter, never part of a statement that somebody logs.
local SETTINGS = "SELECT pg_catalog.set_config('perigee.role', $1, true), "
  .. "pg_catalog.set_config('perigee.password', $2, true)"
local SET_PASSWORD = [[
DO $$ BEGIN
  EXECUTE pg_catalog.format('ALTER ROLE %I PASSWORD %L',
    pg_catalog.current_setting('perigee.role'), pg_catalog.current_setting('perigee.password'));
END $$]]

local function set_password(tx, name, password)
  if password == "" then usage("create_read_only_role: the password is empty") end
  tx:query(SETTINGS, { name, password })
  tx:script(SET_PASSWORD)
  tx:query(SETTINGS, { "", "" })
end

local function grants(role, schema)
  local s = quote(schema)
  return {
    ("GRANT USAGE ON SCHEMA %s TO %s"):format(s, role),
    ("GRANT SELECT ON ALL TABLES IN SCHEMA %s TO %s"):format(s, role),
    ("GRANT SELECT ON ALL SEQUENCES IN SCHEMA %s TO %s"):format(s, role),
    ("ALTER DEFAULT PRIVILEGES IN SCHEMA %s GRANT SELECT ON TABLES TO %s"):format(s, role),
    ("ALTER DEFAULT PRIVILEGES IN SCHEMA %s GRANT SELECT ON SEQUENCES TO %s"):format(s, role),
  }
end

--- Creates a role that may read: all tables that are there, and those that the caller
-- creates later.
-- @tparam string name
-- @tparam ?table opts password (without it the role cannot log in by one), schemas (list,
-- default: the default schema), connection_limit
function M.create_read_only_role(x, name, opts)
  opts = check_options("create_read_only_role", opts or {}, ROLE)
  local role = check_name("create_read_only_role", name)
  local database = x:value "SELECT pg_catalog.current_database()::text"
  local schemas = opts.schemas
    or { x:value "SELECT pg_catalog.current_schema()::text" }
  local sqls = {
    ("CREATE ROLE %s LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION%s"):format(role,
      opts.connection_limit and (" CONNECTION LIMIT %d"):format(opts.connection_limit) or ""),
    ("ALTER ROLE %s SET default_transaction_read_only = on"):format(role),
    ("GRANT CONNECT ON DATABASE %s TO %s"):format(quote(database), role),
  }
  for _, schema in ipairs(schemas) do
    for _, sql in ipairs(grants(role, schema)) do sqls[#sqls + 1] = sql end
  end
  x:transaction(function(tx)
    run_all(tx, sqls)
    if opts.password then set_password(tx, name, opts.password) end
  end)
end

--- Drops a role and its privileges in this database. A role that owns something is not
-- dropped.
function M.drop_role(x, name)
  local role = check_name("drop_role", name)
  local owns = x:value([[
SELECT count(*)::int4 FROM pg_catalog.pg_shdepend d
JOIN pg_catalog.pg_roles r ON r.oid = d.refobjid
WHERE r.rolname = $1 AND d.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass
  AND d.deptype = 'o']], { name })
  if owns > 0 then
    error(core.new_error("foreign_key",
      ("role %s owns %d object%s: give them to another role first"):format(name, owns,
        owns == 1 and "" or "s")), 0)
  end
  x:transaction(function(tx)
    run_all(tx, { "DROP OWNED BY " .. role, "DROP ROLE " .. role })
  end)
end

return M
