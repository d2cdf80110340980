--- Trees of definitions and of live databases: looking things up, copying, order, and
-- completing a tree that came from definitions. The form of a tree is described in
-- docs/internals/schema.md.
local check = require "perigee.schema.check"

local M = {}

-- ---- names and look-ups ----------------------------------------------------

--- "schema.name" or "name": for messages, and as a key where names have no dots.
-- @tparam table e a table, view, enum or object
function M.key(e)
  return e.schema and e.schema .. "." .. e.name or e.name
end

local function find(list, schema, name)
  for i, e in ipairs(list or {}) do
    if e.name == name and e.schema == schema then return e, i end
  end
end

--- A table of a tree, and its position; or nil.
function M.find(tree, schema, name)
  return find(tree.tables, schema, name)
end

--- As find, for enums, views and objects; an object also by its kind and its table.
function M.find_enum(tree, schema, name)
  return find(tree.enums, schema, name)
end

function M.find_view(tree, schema, name)
  return find(tree.views, schema, name)
end

function M.find_object(tree, o)
  for i, e in ipairs(tree.objects or {}) do
    if e.kind == o.kind and e.name == o.name and e.schema == o.schema and e.on == o.on then
      return e, i
    end
  end
end

--- A column of a table, and its position; or nil.
function M.column(t, name)
  for i, c in ipairs(t.columns) do
    if c.name == name then return c, i end
  end
end

--- A copy of plain data, as deep as it goes.
function M.copy(v)
  if type(v) ~= "table" then return v end
  local copy = {}
  for k, x in pairs(v) do copy[k] = M.copy(x) end
  return copy
end

--- An empty tree.
function M.empty()
  return { tables = {}, enums = {}, views = {}, objects = {}, schemas = {}, notes = {} }
end

-- ---- order -----------------------------------------------------------------

--- The tables of a tree, parents before children, otherwise in the order of the tree.
-- @treturn {table,...} tables
-- @treturn {table,...} the foreign keys that close a cycle: { table = T, key = F };
-- they can only be added when both tables are there
function M.sorted(tree)
  local list, cycles, state, by_key = {}, {}, {}, {}
  for _, t in ipairs(tree.tables) do
    by_key[(t.schema or "") .. "\0" .. t.name] = t
  end
  local function visit(t)
    state[t] = "open"
    for _, f in ipairs(t.foreign_keys or {}) do
      local parent = by_key[(f.ref.schema or "") .. "\0" .. f.ref.table]
      if parent and state[parent] == nil then
        visit(parent)
      elseif parent and parent ~= t and state[parent] == "open" then
        cycles[#cycles + 1] = { table = t, key = f }
      end
    end
    state[t] = "done"
    list[#list + 1] = t
  end
  for _, t in ipairs(tree.tables) do
    if state[t] == nil then visit(t) end
  end
  return list, cycles
end

-- ---- completing ------------------------------------------------------------

--- Checks a tree that came from definitions and fills in what they left out: names by
-- convention, the columns that foreign keys refer to, the list of schemas. Works on the
-- tree that it is given.
-- @tparam table tree
-- @tparam[opt] table opts dialect: the name of the only database meant ("sqlite" has no
-- limit of names); nil when it may be any
-- @treturn table the tree
-- @raise usage with file and line
function M.complete(tree, opts)
  return check.tree(tree, opts or {})
end

--- The same for a table by itself, as a migration creates it: nothing is asked of other
-- tables, so foreign keys must name the columns they refer to.
-- @treturn table the table
-- @raise usage
function M.complete_table(t, opts)
  return check.table(t, opts or {})
end

return M
