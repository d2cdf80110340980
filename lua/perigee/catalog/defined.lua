--- What a table's definition says of columns where the database does not. A STRICT table
-- of SQLite has five types: that an INTEGER is a boolean only the definition knows. Such
-- a column gets the type that it would have in an ordinary table, and with it the class.
local sqlite = require "perigee.catalog.sqlite"
local types = require "perigee.dialect.sqlite.types"

local M = {}

-- The type of the definition's column, or nil. It has to be what the table has: one that
-- differs is a matter for migrations, and is left as it is.
local function type_of(wanted, c)
  local ok, name = pcall(types.text, wanted)
  if not ok or types.same(name, c.title) then return nil end
  local stored
  ok, stored = pcall(types.text, wanted, nil, true)
  return ok and types.same(stored, c.title) and name or nil
end

local function refined(c, name)
  local copy = {}
  for k, v in pairs(c) do copy[k] = v end
  copy.title, copy.defined = name, true
  copy.class, copy.bits = sqlite.class_of(name)
  copy.orderable = sqlite.is_orderable(copy.class)
  return copy
end

--- The columns of a STRICT table by its definition.
-- @tparam table columns of the catalogue, which stay as they are
-- @tparam table definition a table of the tree
-- @treturn table
function M.columns(columns, definition)
  local wanted, list = {}, {}
  for _, c in ipairs(definition.columns) do wanted[c.name] = c end
  for i, c in ipairs(columns) do
    local name = wanted[c.name] and type_of(wanted[c.name], c)
    list[i] = name and refined(c, name) or c
  end
  return list
end

return M
