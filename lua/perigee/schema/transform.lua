--- Changing one table, with its rows: to what its definition says, or by a list of
-- changes. All of it is done, or nothing.
local apply = require "perigee.schema.apply"
local compare = require "perigee.schema.compare"
local dialect = require "perigee.dialect"
local model = require "perigee.schema.model"
local ops = require "perigee.schema.ops"
local schema = require "perigee.schema"
local tables = require "perigee.table"
local transaction = require "perigee.transaction"
local types = require "perigee.schema.types"
local util = require "perigee.util"

local usage = util.usage
local M = {}

-- ---- a list of changes -----------------------------------------------------

local CHANGES = {
  "rename", "add", "types", "using", "not_null", "defaults", "drop", "rename_to",
}

local function sorted_keys(t, title)
  local keys = {}
  if t == nil then return keys end
  if type(t) ~= "table" or getmetatable(t) ~= nil then
    usage("transform: %s: a table is expected, not %s", title, type(t))
  end
  for k in pairs(t) do
    if type(k) ~= "string" then
      usage("transform: %s: %s is not the name of a column", title, tostring(k))
    end
    keys[#keys + 1] = k
  end
  table.sort(keys)
  return keys
end

local function type_of(v)
  if type(v) == "table" and type(v.raw) == "string" then return { raw = v.raw } end
  return types.parse(v)
end

local function new_op(h, name, fields)
  fields.op, fields.schema, fields.table = name, h.schema, h.name
  return fields
end

local function add_renames(list, h, renames)
  for _, name in ipairs(sorted_keys(renames, "rename")) do
    list[#list + 1] = new_op(h, "rename_column", { name = name, to = renames[name] })
  end
end

-- A default as it stands in a tree.
local function default_of(v)
  if v == nil then return nil end
  local kind = type(v)
  if kind == "string" or kind == "number" or kind == "boolean" then return { value = v } end
  if kind == "table" and type(v.sql) == "string" then return { sql = v.sql } end
  return usage("transform: a default is a string, number, boolean or { sql = … }, not %s", kind)
end

local ADD = { "name", "type", "null", "default", "comment" }

local function list_of(v, title)
  if v ~= nil and (type(v) ~= "table" or getmetatable(v) ~= nil) then
    usage("transform: %s: a list is expected, not %s", title, type(v))
  end
  return v or {}
end

local function check_boolean(v, title)
  if v ~= nil and type(v) ~= "boolean" then
    usage("transform: %s: true or false is expected, not %s", title, type(v))
  end
  return v
end

local function add_columns(list, h, columns)
  for i, c in ipairs(list_of(columns, "add")) do
    if type(c) ~= "table" then
      usage("transform: add[%d]: { name =, type = } is expected, not %s", i, type(c))
    end
    util.check_options(("transform: add[%d]"):format(i), c, ADD)
    if type(c.name) ~= "string" then usage("transform: add[%d]: the name is missing", i) end
    check_boolean(c.null, ("add[%d]: null"):format(i))
    list[#list + 1] = new_op(h, "add_column", { column = {
      name = c.name, type = type_of(c.type), null = c.null ~= false,
      default = default_of(c.default), comment = c.comment,
    } })
  end
end

-- What alter_column sets, by column.
local function collect_sets(o)
  local sets = {}
  local function set_of(name)
    sets[name] = sets[name] or {}
    return sets[name]
  end
  for _, name in ipairs(sorted_keys(o.types, "types")) do
    set_of(name).type = type_of(o.types[name])
  end
  for _, name in ipairs(sorted_keys(o.not_null, "not_null")) do
    set_of(name).null = not check_boolean(o.not_null[name], "not_null: " .. name)
  end
  for _, name in ipairs(sorted_keys(o.defaults, "defaults")) do
    local v = o.defaults[name]
    set_of(name).default = v == M.none and { none = true } or default_of(v)
  end
  return sets
end

local function add_alters(list, h, o)
  local sets = collect_sets(o)
  for _, name in ipairs(sorted_keys(o.using, "using")) do
    if not (o.types and o.types[name]) then
      usage("transform: using: %s: types does not name the column", name)
    end
  end
  for _, name in ipairs(sorted_keys(sets, "types")) do
    list[#list + 1] = new_op(h, "alter_column", {
      name = name, set = sets[name], using = (o.using or {})[name],
    })
  end
end

local function add_drops(list, h, names)
  for _, name in ipairs(list_of(names, "drop")) do
    list[#list + 1] = new_op(h, "drop_column", { name = name })
  end
end

-- Operations without the state before; it is read from the table where a dialect needs it.
local function listed(h, o)
  local list = {}
  add_renames(list, h, o.rename)
  add_columns(list, h, o.add)
  add_alters(list, h, o)
  add_drops(list, h, o.drop)
  if o.rename_to then
    list[#list + 1] = { op = "rename_table", schema = h.schema, name = h.name, to = o.rename_to }
  end
  return list
end

-- ---- to a definition -------------------------------------------------------

local DEFINITION = { "rename", "not_rename", "drop" }

local function compared(x, definition, opts)
  local o = util.check_options("transform", opts, DEFINITION)
  local t = definition.tree
  local key = model.key(t)
  local was = t.was and (t.was:find(".", 1, true) and t.was
    or model.key { schema = t.schema, name = t.was })
  local wanted = compare.part(definition.whole, { [key] = true })
  local result = compare.against(x, wanted, {
    rename = o.rename, not_rename = o.not_rename, drop = o.drop, phase = "up",
    include = function(object)
      if object.kind ~= "table" then return true end
      local name = model.key(object)
      return name == key or name == was
    end,
  })
  if #result.decisions > 0 then
    local d = result.decisions[1]
    usage("transform: %s (options: %s)", d.message, table.concat(d.choices or {}, ", "))
  end
  return result.changes
end

-- ---- running ---------------------------------------------------------------

local function run_in(tx, d, list, schemas)
  compare.run({
    x = tx,
    run = function(sql) tx:execute(sql) end,
    tree_of = function() return d.inspect(tx, { schemas = schemas }) end,
  }, d, list)
end

local function run_alone(x, d, list, schemas)
  transaction.ensure_connection(x, function(conn)
    d.prepare(conn, { ops = list })
    local ok, err = pcall(conn.transaction, conn, function(tx)
      run_in(tx, d, list, schemas)
      d.before_commit(conn, tx)
    end)
    d.restore(conn)
    if not ok then error(err, 0) end
  end)
end

-- PostgreSQL does not let the transaction that adds a value use it; one that makes the
-- type anew may. The first of the new values gets the place of them all.
local function with_whole_enums(list)
  local out, by_enum = {}, {}
  for _, op in ipairs(list) do
    local key = op.op == "add_enum_value" and model.key(op)
    if not key then
      out[#out + 1] = op
    elseif not by_enum[key] then
      by_enum[key] = { op = "set_enum_values", schema = op.schema, name = op.name,
        values = apply.with_value(op.was, op), was = op.was }
      out[#out + 1] = by_enum[key]
    else
      by_enum[key].values = apply.with_value(by_enum[key].values, op)
    end
  end
  return #out > 1 and out or list
end

local function run(x, list, schemas)
  local d = dialect.of(x)
  if #list == 0 then return end
  for _, op in ipairs(list) do ops.check(op) end
  if not d.features.transactional_ddl then
    if x:in_transaction() then
      usage("transform: statements that change a table commit a transaction on this "
        .. "database: that is not possible inside one")
    end
    return transaction.ensure_connection(x, function(conn) run_in(conn, d, list, schemas) end)
  end
  if not d.features.rebuilds then
    list = with_whole_enums(list)
    return transaction.ensure_transaction(x, function(tx) run_in(tx, d, list, schemas) end)
  end
  if x:in_transaction() then
    usage("transform: SQLite may have to build the table anew, for which foreign keys are "
      .. "turned off; that is not possible inside a transaction")
  end
  return run_alone(x, d, list, schemas)
end

--- Changes a table and keeps its rows, in one transaction.
-- @tparam perigee.definition|string|perigee.table t a definition: the table becomes what
-- it says; else the table to change
-- @tparam[opt] table opts with a definition: rename = { "table.old=new", … } and drop =
-- { "table.column", … }, where the definition does not say by `was` what became of a
-- column. Else rename = { old = "new" }, add = { { name =, type =, null =, default =,
-- comment = }, … }, types = { column = "numeric(12,2)" }, using = { column = "SQL" },
-- not_null = { column = boolean }, defaults = { column = value | { sql = "…" } |
-- transform.none }, drop = { "column", … }, rename_to = "name"; done in this order
-- @treturn {string,...} what was done, in words; empty when nothing was to do
-- @raise usage; what the database says
function M.transform(x, t, opts)
  if schema.is_definition(t) then
    local list = compared(x, t, opts)
    run(x, list, t.schema and { t.schema })
    return M.describe(list)
  end
  if opts == nil then usage "transform(t, changes): the changes are missing" end
  local h = tables.new(x, t)
  local list = listed(h, util.check_options("transform", opts, CHANGES))
  if #list == 0 then usage("transform: nothing is to be changed: give %s",
    table.concat(CHANGES, ", ")) end
  run(x, list, h.schema and { h.schema })
  return M.describe(list)
end

--- Operations in words.
function M.describe(list)
  local out = {}
  for i, op in ipairs(list) do out[i] = ops.describe(op) end
  return out
end

--- In `defaults`: the column loses its default.
M.none = setmetatable({}, { __tostring = function() return "perigee.schema.none" end })

return M
