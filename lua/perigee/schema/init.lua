--- Table definitions: scripts such as schema.lua, evaluated in a sandbox, as objects.
-- @module perigee.schema
local core = require "perigee.core"
local dialects = require "perigee.dialect"
local model = require "perigee.schema.model"
local names = require "perigee.schema.names"
local util = require "perigee.util"

local usage = util.usage
local M = {}

-- ---- definition objects ----------------------------------------------------

local Definition = { __name = "perigee.definition" }

-- The enums that the columns of a table have, each once.
local function enums_of(t, tree)
  local list, seen = {}, {}
  for _, c in ipairs(t.columns) do
    local ty = c.type
    local e = ty.enum and model.find_enum(tree, ty.schema, ty.enum)
    if e and not seen[e] then
      seen[e] = true
      list[#list + 1] = e
    end
  end
  return list
end

-- A definition has the fields of its table; `tree` is the table itself, `enums` what
-- its columns need, `whole` the tree that it is from.
local function new_definition(t, tree)
  local fields = { tree = t, enums = enums_of(t, tree), whole = tree }
  for k, v in pairs(t) do fields[k] = v end
  return setmetatable({ fields = fields }, Definition)
end

function Definition.__index(d, k)
  return rawget(d, "fields")[k]
end

function Definition.__newindex()
  usage "a definition cannot be changed"
end

function Definition.__tostring(d)
  return "definition of " .. model.key(d.tree)
end

-- ---- schema objects --------------------------------------------------------

local Schema = { __name = "perigee.schema" }
Schema.__index = Schema

--- The tables in the order of the script: `for definition in schema:each() do`.
function Schema:each()
  local i, list = 0, self.list
  return function()
    i = i + 1
    return list[i]
  end
end

function Schema.__tostring(s)
  return ("schema of %d tables"):format(#s.list)
end

local function by_name(list)
  local all, titles = {}, {}
  for i, d in ipairs(list) do
    titles[i] = model.key(d.tree)
    all[titles[i]] = d
  end
  return setmetatable(all, {
    __index = function(_, name)
      usage('there is no definition of a table "%s"%s', tostring(name),
        names.hint(name, titles))
    end,
  })
end

--- A schema object for a completed tree.
-- @tparam table tree
-- @treturn perigee.schema
function M.of(tree)
  local list = {}
  for i, t in ipairs(tree.tables) do list[i] = new_definition(t, tree) end
  return setmetatable({ tree = tree, list = list, tables = by_name(list) }, Schema)
end

--- Is this a schema object?
function M.is(v)
  return getmetatable(v) == Schema
end

--- Is this the definition of a table, as in schema.tables.orders?
function M.is_definition(v)
  return getmetatable(v) == Definition
end

-- ---- scripts ---------------------------------------------------------------

local OPTIONS = { "dialect", "name", "root" }

--- Evaluates definitions.
-- @tparam string text the script
-- @tparam[opt] table opts name: of the script, in messages ("definitions"); root: the
-- folder from which it may require (none); dialect: the only database it is for
-- @treturn perigee.schema
-- @raise usage with file and line; for an unknown dialect
function M.parse(text, opts)
  if type(text) ~= "string" then
    usage("schema.parse(text): a string is expected, not %s", type(text))
  end
  opts = util.check_options("schema.parse", opts, OPTIONS)
  if opts.dialect ~= nil then dialects.named(opts.dialect) end
  local tree = core.sandbox {
    prelude = "definitions", source = text, name = opts.name or "definitions",
    root = opts.root, call = {},
  }
  return M.of(model.complete(tree, { dialect = opts.dialect }))
end

local function folder_of(path)
  local folder = path:match "^(.*)/[^/]*$"
  return folder == "" and "/" or folder or "."
end

--- Evaluates the definitions in a file. `require` in there finds files of its folder.
-- @tparam string path
-- @tparam[opt] table opts as of parse
-- @treturn perigee.schema
-- @raise usage with file and line
function M.load(path, opts)
  if type(path) ~= "string" then
    usage("schema.load(path): a string is expected, not %s", type(path))
  end
  opts = util.check_options("schema.load", opts, OPTIONS)
  local file, why = io.open(path, "rb")
  local text = file and file:read "*a"
  if file then file:close() end
  if not text then usage("%s cannot be read: %s", path, tostring(why or "it is no file")) end
  return M.parse((text:gsub("^\239\187\191", "")), {
    name = opts.name or path, root = opts.root or folder_of(path), dialect = opts.dialect,
  })
end

return M
