--- Identifiers in the quotes of a database.
local util = require "perigee.util"

local usage = util.usage
local M = {}

--- The functions for a kind of quotes, which is doubled inside of a name.
-- @tparam string mark '"' or "`"
-- @treturn function quote(name): an identifier in quotes; raises usage for what is none
-- @treturn function qualified(schema, name): with its schema, if there is one
-- @treturn function list(names): identifiers with commas
function M.quoting(mark)
  local function quote(name)
    if type(name) ~= "string" or name == "" then
      usage("a name is expected, not %s", type(name) == "string" and '""' or type(name))
    end
    if name:find("\0", 1, true) then usage("a name cannot hold a zero byte: %q", name) end
    return mark .. name:gsub(mark, mark .. mark) .. mark
  end

  local function qualified(schema, name)
    return schema and quote(schema) .. "." .. quote(name) or quote(name)
  end

  local function list(names)
    local out = {}
    for i, name in ipairs(names) do out[i] = quote(name) end
    return table.concat(out, ", ")
  end

  return quote, qualified, list
end

return M
