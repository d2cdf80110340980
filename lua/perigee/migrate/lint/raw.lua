--- What SQL of one's own does, as operations: as much of it as its first words say. They
-- have `raw = true` and the form of recorded operations (schema/ops.lua), so that the
-- same rules are for both; what no operation is for has names of its own:
--   truncate, delete_all, update, reindex, vacuum_full, refresh, set_storage, detach,
--   attach, alter_other, drop_database, rename_schema, add_exclusion, drop_constraint,
--   create_trigger, create_function, create_domain, set, pragma.
local statement = require "perigee.migrate.lint.statement"
local alter = require "perigee.migrate.lint.alter"

local M = {}

-- Every form gets the statement behind its first words and add(operation).
local FORMS = {}

local function if_exists(s)
  return s:takes("IF", "EXISTS") or s:takes("IF", "NOT", "EXISTS")
end

-- Calls see(name, schema) with names that commas separate.
local function each_name(s, see)
  repeat
    s:takes "ONLY"
    local name, schema = s:name()
    if name then see(name, schema) end
    s:takes "*"
  until not s:takes ","
end

-- ---- create ----------------------------------------------------------------

local function create_index(s, add, unique, method)
  local concurrently = s:takes "CONCURRENTLY"
  local guarded = if_exists(s)
  local name = not s:sees "ON" and s:name() or nil
  if not s:takes "ON" then return end
  s:takes "ONLY"
  local table_name, schema = s:name()
  if not table_name then return end
  if s:takes "USING" then s:name() end
  local keys = {}
  for i, column in ipairs(s:names()) do keys[i] = { column = column } end
  add { op = "add_index", table = table_name, schema = schema, concurrently = concurrently,
    guarded = guarded, index = { name = name or "the index", unique = unique, keys = keys,
      method = method, opaque = true } }
end

local function references(s)
  local list = {}
  while true do
    local at = s:find "REFERENCES"
    if not at then return list end
    s.at = at + 1
    local name, schema = s:name()
    if name then list[#list + 1] = { columns = {}, ref = { table = name, schema = schema } } end
  end
end

local function create_table(s, add)
  if_exists(s)
  local name, schema = s:name()
  if not name then return end
  add { op = "create_table", table = { name = name, schema = schema, columns = {},
    foreign_keys = references(s), opaque = true } }
end

local CREATE = {
  SCHEMA = function(s, add)
    if_exists(s)
    local name = s:name()
    if name then add { op = "create_schema", name = name } end
  end,
  INDEX = create_index,
  TABLE = create_table,
  TRIGGER = function(s, add)
    if_exists(s)
    local name = s:name()
    local at = s:find "ON"
    if at then s.at = at + 1 end
    local on, schema = s:name()
    add { op = "create_trigger", name = name, table = on, schema = schema }
  end,
  DOMAIN = function(s, add)
    add { op = "create_domain", name = s:name(), check = s:find "CHECK" ~= nil }
  end,
  FUNCTION = function(s, add)
    add { op = "create_function", name = s:name(),
      definer = s:find("SECURITY", "DEFINER") ~= nil,
      path = s:find("SET", "SEARCH_PATH") ~= nil }
  end,
}
CREATE.PROCEDURE = CREATE.FUNCTION

function CREATE.VIEW(s, add)
  if_exists(s)
  local name, schema = s:name()
  if name then add { op = "create_view", view = { name = name, schema = schema } } end
end

function FORMS.CREATE(s, add)
  s:takes("OR", "REPLACE")
  local temporary = s:takes_one("TEMP", "TEMPORARY")
  s:takes "UNLOGGED"
  s:takes "CONSTRAINT"
  local unique = s:takes "UNIQUE"
  local method = s:takes_one("FULLTEXT", "SPATIAL")
  local what = s:takes_one("TABLE", "INDEX", "TRIGGER", "DOMAIN", "FUNCTION", "PROCEDURE",
    "SCHEMA", "VIEW")
  if what and not (temporary and what == "TRIGGER") then
    CREATE[what](s, add, unique, method and method:lower())
  end
end

-- ---- drop, truncate, delete, update ----------------------------------------

local DROP = {
  TABLE = "drop_table", SCHEMA = "drop_schema", DATABASE = "drop_database",
  VIEW = "drop_view", TYPE = "drop_type", DOMAIN = "drop_type",
}

function FORMS.DROP(s, add)
  s:takes "MATERIALIZED"
  local what = s:takes_one("TABLE", "SCHEMA", "DATABASE", "VIEW", "TYPE", "DOMAIN", "INDEX")
  if not what then return end
  local concurrently = s:takes "CONCURRENTLY"
  if_exists(s)
  local cascade = s:find "CASCADE" ~= nil
  each_name(s, function(name, schema)
    if what == "INDEX" then
      local on = s:takes "ON" and s:name() or nil
      add { op = "drop_index", name = name, schema = schema, concurrently = concurrently,
        table = on }
    else
      add { op = DROP[what], name = name, schema = schema, cascade = cascade }
    end
  end)
end

function FORMS.TRUNCATE(s, add)
  s:takes "TABLE"
  local cascade = s:find "CASCADE" ~= nil
  each_name(s, function(name, schema)
    add { op = "truncate", table = name, schema = schema, cascade = cascade }
  end)
end

function FORMS.DELETE(s, add)
  if not s:takes "FROM" then return end
  s:takes "ONLY"
  local name, schema = s:name()
  if not name then return end
  if s:find_outside "WHERE" then return add { op = "delete", table = name, schema = schema } end
  add { op = "delete_all", table = name, schema = schema }
end

function FORMS.UPDATE(s, add)
  if s:takes "OR" then s:name() end
  s:takes "ONLY"
  local name, schema = s:name()
  if name then add { op = "update", table = name, schema = schema } end
end

function FORMS.INSERT(s, add)
  local at = s:find "INTO"
  if not at then return end
  s.at = at + 1
  local name, schema = s:name()
  if name then
    add { op = "insert", table = name, schema = schema, from = s:find_outside "SELECT" ~= nil }
  end
end

-- WITH … UPDATE, WITH … DELETE: the statement after the queries.
function FORMS.WITH(s, add)
  local at = s:outside(function(_, token)
    return token.upper == "UPDATE" or token.upper == "DELETE" or token.upper == "INSERT"
  end)
  if not at then return end
  s.at = at
  local verb = s:takes_one("UPDATE", "DELETE", "INSERT")
  FORMS[verb](s, add)
end

-- ---- other statements ------------------------------------------------------

function FORMS.REINDEX(s, add)
  add { op = "reindex", concurrently = s:find "CONCURRENTLY" ~= nil, table = s:name() }
end

function FORMS.VACUUM(s, add)
  local full = s:find "FULL" ~= nil
  add { op = full and "vacuum_full" or "vacuum" }
end

function FORMS.CLUSTER(_, add) add { op = "vacuum_full" } end

function FORMS.REFRESH(s, add)
  if not s:takes("MATERIALIZED", "VIEW") then return end
  local concurrently = s:takes "CONCURRENTLY"
  local name, schema = s:name()
  add { op = "refresh", name = name, schema = schema, concurrently = concurrently }
end

function FORMS.SET(s, add)
  s:takes_one("LOCAL", "SESSION", "GLOBAL")
  local name = s:name()
  if not name then return end
  if not s:takes "=" then s:takes "TO" end
  add { op = "set", name = name:lower(), value = s:text(s.at) }
end

function FORMS.PRAGMA(s, add)
  local name = s:name()
  if name then add { op = "pragma", name = name:lower(), value = s:text(s.at + 1) } end
end

FORMS.ALTER = alter.read

-- ---- the door --------------------------------------------------------------

--- The text of an operation for a database, or nil.
function M.text_of(op, database)
  return op.op == "sql" and (op.text[database] or op.text.default) or nil
end

--- What the SQL of an operation does.
-- @tparam table op an operation `sql`
-- @tparam string database name of the dialect
-- @treturn {table,...} operations with raw = true, at, tx (in a transaction) and sql, the
-- text of the statement; those of statements that say nothing to the rules have op =
-- "other"
function M.operations(op, database)
  local text, out = M.text_of(op, database), {}
  for _, s in ipairs(text and statement.split(text, database) or {}) do
    local sql, n = s:text(1), #out
    s.database = database
    local function add(one)
      one.raw, one.at, one.tx, one.sql, one.origin = true, op.at, op.tx ~= false, sql, op
      out[#out + 1] = one
    end
    local first = s.list[1].upper
    if first and FORMS[first] then
      s.at = 2
      FORMS[first](s, add)
    end
    if #out == n then add { op = "other" } end
  end
  return out
end

return M
