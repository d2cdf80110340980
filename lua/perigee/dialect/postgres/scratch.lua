--- A scratch space on the server: a transaction that is always rolled back, in which
-- definitions are created and read back as the server says them. Its tables are in
-- pg_temp, or in schemas made for it where pg_temp cannot hold them.
local core = require "perigee.core"
local inspect = require "perigee.dialect.postgres.inspect"
local order = require "perigee.dialect.postgres.order"
local rewrite = require "perigee.dialect.postgres.rewrite"
local transaction = require "perigee.transaction"
local util = require "perigee.util"

local usage = util.usage
local M = {}

local LOCK_TIMEOUT = "2s"

-- ---- which kind ------------------------------------------------------------

local REAL = {
  ["function"] = "functions", procedure = "procedures", aggregate = "aggregates",
  index = "indexes of materialized views",
}

--- Why an element cannot be in pg_temp; nil when it can.
-- @tparam table e
-- @tparam string kind table, enum, view or object
-- @tparam table installed names of the extensions that are there
function M.needs_schema(e, kind, installed)
  if e.kind == "extension" then
    return not installed[e.name] and "extensions that are not installed" or nil
  end
  if e.schema then return "schemas besides the default one" end
  if kind == "view" and e.materialized then return "materialized views" end
  if kind == "object" then return REAL[e.kind] end
  local o = kind == "table" and e.options and e.options.postgres
  return o and o.unlogged and "unlogged tables" or nil
end

--- Calls fn(element, kind) for all elements of a tree.
function M.each_element(tree, fn)
  for _, t in ipairs(tree.tables or {}) do fn(t, "table") end
  for _, e in ipairs(tree.enums or {}) do fn(e, "enum") end
  for _, v in ipairs(tree.views or {}) do fn(v, "view") end
  for _, o in ipairs(tree.objects or {}) do fn(o, "object") end
end

local function wants_schemas(tree, installed)
  local wants = tree ~= nil and #(tree.schemas or {}) > 0
  M.each_element(tree or {}, function(e, kind)
    wants = wants or M.needs_schema(e, kind, installed) ~= nil
  end)
  return wants
end

-- ---- the space -------------------------------------------------------------

local RIGHTS = [[
SELECT pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE') AS create,
  pg_catalog.has_database_privilege(pg_catalog.current_database(), 'TEMP') AS temp,
  pg_catalog.pg_backend_pid()::int4 AS pid,
  ARRAY(SELECT e.extname::text FROM pg_catalog.pg_extension e) AS extensions]]

local Space = {}
Space.__index = Space

local function ident(name) return '"' .. name:gsub('"', '""') .. '"' end

-- Runs a statement as it is.
local function execute(space, sql) space.x:script(sql) end

local function set_path(space, first, then_)
  execute(space, "SET LOCAL search_path = " .. first .. (then_ and ", " .. then_ or ""))
end

local function create_schema(space, name)
  local scratch = ("perigee_scratch_%d_%d"):format(space.pid, space.count)
  space.count = space.count + 1
  execute(space, "CREATE SCHEMA " .. scratch)
  if name then
    space.map[name] = scratch
    space.list[#space.list + 1] = scratch
    space.back[#space.back + 1] = { from = scratch, to = name,
      text = space.x:value("SELECT pg_catalog.quote_ident($1)", name) }
  end
  return scratch
end

-- pg_temp or schemas: what is asked for or needed, and allowed.
local function choose_kind(space, opts)
  local real = opts.mode == "schemas" or opts.mode == nil
    and wants_schemas(opts.tree, space.installed)
  if opts.mode == "schemas" and not space.may_create
    or not space.may_create and not space.may_temp then
    error(core.new_error("permission", "definitions cannot be created for comparison: "
      .. "the privilege TEMP or CREATE on the database is needed"), 0)
  end
  if real then return space.may_create end
  return not space.may_temp
end

-- Schemas with nothing but extensions that are installed: they are looked at where they
-- are. { [name] = true }
local function of_extensions(space, tree)
  local kept = {}
  for _, o in ipairs(tree and tree.objects or {}) do
    if o.kind == "extension" and o.schema and space.installed[o.name] then
      kept[o.schema] = true
    end
  end
  M.each_element(tree or {}, function(e)
    if e.schema and not (e.kind == "extension" and space.installed[e.name]) then
      kept[e.schema] = nil
    end
  end)
  return kept
end

-- Sets up the schemas of the space.
local function prepare(space, opts)
  space.real = choose_kind(space, opts)
  space.default = space.real and create_schema(space) or "pg_temp"
  space.list[1] = space.default
  if not space.real then return end
  space.kept = of_extensions(space, opts.tree)
  for _, name in ipairs(opts.schemas or opts.tree and opts.tree.schemas or {}) do
    if not space.map[name] and not space.kept[name] then create_schema(space, name) end
  end
  table.insert(space.back, { from = space.default })
end

-- What the user may do; which extensions there are.
local function rights(x)
  local r, installed = x:one(RIGHTS), {}
  for i = 1, #r.extensions do installed[r.extensions[i]] = true end
  return r, installed
end

local function open(tx, opts)
  local s = inspect.settings(tx)
  local r, installed = rights(tx)
  local space = setmetatable({
    x = tx, live = s.schema, path = s.path, version = s.version, pid = r.pid,
    may_create = r.create, may_temp = r.temp, map = { [s.schema] = "" }, list = {},
    back = {}, count = 0, installed = installed, hidden = {},
  }, Space)
  execute(space, "SET LOCAL lock_timeout = '" .. LOCK_TIMEOUT .. "'")
  execute(space, "SET LOCAL check_function_bodies = off")
  execute(space, "SET LOCAL client_min_messages = warning")
  prepare(space, opts)
  set_path(space, space.default, space.path)
  return space
end

-- An extension that the database has stays as it is: to create or drop it is only noted.
local function about_extension(space, sql)
  local verb, rest = sql:match "^%s*(%u+)%s+EXTENSION%s+(.*)$"
  if not verb then return false end
  rest = rest:gsub("^IF%s+NOT%s+EXISTS%s+", ""):gsub("^IF%s+EXISTS%s+", "")
  local name = rest:match '^"([^"]*)"' or rest:match "^[%w_]+"
  if not name or not space.installed[name] then return false end
  if verb == "CREATE" then space.hidden[name] = nil end
  if verb == "DROP" then space.hidden[name] = true end
  return true
end

-- The name in CREATE SCHEMA; nil for any other statement.
local function schema_of(sql)
  local rest = sql:match "^%s*CREATE%s+SCHEMA%s+(.-)%s*;?%s*$"
  if not rest then return nil end
  local quoted = rest:match '^"(.*)"$'
  return quoted and quoted:gsub('""', '"') or rest:match "^[%a_][%w_]*$"
end

--- Runs one statement in the space. Names of schemas mean those of the space.
function Space:run(sql)
  if about_extension(self, sql) then return end
  local name = schema_of(sql)
  if name and self.real then
    if not self.map[name] and not self.kept[name] then create_schema(self, name) end
    return
  end
  execute(self, rewrite.forward(sql, self.map))
end

--- Creates all elements of a tree.
-- @raise what the server says of the first that cannot be created
function Space:create(tree)
  for _, entry in ipairs(order.create_tree(tree)) do self:run(entry.sql) end
end

-- The name of pg_temp, which exists once something was put there.
local function temp_name(space)
  if space.default ~= "pg_temp" then return space.default end
  local name = space.x:value("SELECT n.nspname::text FROM pg_catalog.pg_namespace n "
    .. "WHERE n.oid = pg_catalog.pg_my_temp_schema()")
  if name and not space.temp then
    space.temp = name
    space.back[#space.back + 1] = { from = name }
  end
  return name
end

-- Extensions as they are told outside of the space.
local function restore_extensions(space, tree)
  local kept = {}
  for _, o in ipairs(tree.objects) do
    if o.kind == "extension" and o.schema == space.live then
      o.schema, o.sql = nil, o.sql:gsub(" WITH SCHEMA .*$", "")
    end
    if o.kind ~= "extension" or not space.hidden[o.name] then kept[#kept + 1] = o end
  end
  tree.objects = kept
end

--- The tree of what is in the space, with the names that it has outside.
-- @tparam ?table opts notes = false: without notes
function Space:tree_of(opts)
  local default = temp_name(self)
  if not default then
    return { tables = {}, enums = {}, views = {}, objects = {}, schemas = {}, notes = {} }
  end
  local list = { default }
  for i = 2, #self.list do list[i] = self.list[i] end
  set_path(self, self.default, ident(self.live))
  local tree = inspect.read(self.x, { default = default, list = list, version = self.version,
    notes = opts and opts.notes })
  set_path(self, self.default, self.path)
  restore_extensions(self, tree)
  rewrite.each_text(tree, rewrite.backward(self.back))
  return inspect.sort(tree)
end

--- May schemas be created for comparison? And the names of the extensions, as a set.
function M.may_create(x)
  local r, installed = rights(x)
  return r.create, installed
end

-- ---- the door --------------------------------------------------------------

local UNDO = {} -- an error that is none

local OPTIONS = { tree = true, schemas = true, mode = true }

--- Runs fn(s) in a scratch space; whatever happens, nothing of it is left.
-- s.x is the executor, s:run(sql) one statement, s:create(tree) a tree, s:tree_of()
-- what is there now.
-- @param x handle or connection, not in a transaction
-- @tparam function fn
-- @tparam ?table opts tree (what will be created: says what kind of space it takes),
-- schemas (names besides the default one), mode ("temp" or "schemas")
-- @return the results of fn
-- @raise usage inside a transaction; permission
function M.scratch(x, fn, opts)
  opts = opts or {}
  for k in pairs(opts) do
    if not OPTIONS[k] then
      usage("scratch: unknown option %q: allowed are mode, schemas, tree", tostring(k))
    end
  end
  local target = transaction.target(x)
  if target and core.info(target).is_tx then
    usage("definitions are created in a transaction of their own, which is rolled back: "
      .. "this cannot be done inside a transaction")
  end
  local results
  local r = util.pack(pcall(transaction.transaction, x, function(tx)
    local space = open(tx, opts)
    -- s.run(sql) and s:run(sql) are the same
    local s = { x = tx, space = space }
    for _, name in ipairs { "run", "create", "tree_of" } do
      s[name] = function(a, ...)
        if a == s then return space[name](space, ...) end
        return space[name](space, a, ...)
      end
    end
    results = util.pack(fn(s))
    error(UNDO, 0)
  end))
  if r[2] ~= UNDO then error(r[2], 0) end
  return util.unpack(results, 1, results.n)
end

return M
