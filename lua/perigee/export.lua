--- Which tables there are: export, has_table, has_column.
local catalog = require "perigee.catalog"
local plural = require "perigee.plural"
local tables = require "perigee.table"
local util = require "perigee.util"

local usage = util.usage
local M = {}

--- Is there a table, view or foreign table of this name? Asks the database.
-- @tparam string|table|perigee.table t
-- @treturn boolean
function M.has_table(x, t)
  local h = tables.new(x, t)
  return catalog.read(x, h.schema, h.name) ~= nil
end

--- Has the table this column? Asks the database.
-- @tparam string|table|perigee.table t
-- @tparam string column
-- @treturn boolean false also when there is no such table
function M.has_column(x, t, column)
  if type(column) ~= "string" then
    usage("has_column: the name of a column is expected, not %s", type(column))
  end
  local h = tables.new(x, t)
  local entry = catalog.read(x, h.schema, h.name)
  return entry ~= nil and entry.by_name[column] ~= nil
end

-- Is the name taken in `env`, also by what its metatable lends it? A metatable that
-- raises for what is not there says that it is not.
local function is_taken(env, name)
  if rawget(env, name) ~= nil then return true end
  local ok, v = pcall(function() return env[name] end)
  return ok and v ~= nil
end

local function wanted_set(list)
  if list == nil then return nil end
  if type(list) ~= "table" then usage("tables: a list of names is expected") end
  local set = {}
  for _, name in ipairs(list) do set[name] = true end
  return set
end

-- { [name in env] = entry }
local function read_names(x, env, o)
  local wanted, found = wanted_set(o.tables), {}
  for _, entry in ipairs(catalog.read_all(x)) do
    local chosen = not entry.is_partition
    if wanted then
      chosen = wanted[entry.name]
      wanted[entry.name] = nil
    end
    if chosen then
      local name = o.plural and plural.plural(entry.name) or entry.name
      if found[name] or is_taken(env, name) then
        usage("export: the table %q would become %s, which is there already", entry.name,
          name)
      end
      found[name] = entry
    end
  end
  local absent = wanted and next(wanted)
  if absent then usage("export: there is no table %q", tostring(absent)) end
  return found
end

--- Sets env[name] to a handle for each table of the default schema (partitions of
-- others left out). When a name is taken nothing is set.
-- @tparam table env
-- @tparam[opt] table opts plural = true (names in the plural), tables (a list: only these)
-- @treturn table env
-- @raise usage when a name is taken
function M.export(x, env, opts)
  if type(env) ~= "table" then usage("export(env): a table is expected, not %s", type(env)) end
  local o = util.check_options("export", opts, { "plural", "tables" })
  for name, entry in pairs(read_names(x, env, o)) do
    env[name] = tables.from_entry(x, entry)
  end
  return env
end

--- The plural of an English table name, as export() makes it.
-- @tparam string word
-- @treturn string
function M.plural(word)
  if type(word) ~= "string" then usage("plural: a string is expected, not %s", type(word)) end
  return plural.plural(word)
end

return M
