--- Portable types of definitions: what there is, from text and to text. The list itself
-- is shared with the sandbox (perigee.sandbox.types).
--
-- A type is { name = "numeric", args = { 12, 2 }, array = 1 }, or an enum { enum =,
-- schema =, values = }, or the database's own words { raw = "tsvector" }.
local shared = require "perigee.sandbox.types".use(require "perigee.sandbox.near")
local util = require "perigee.util"

local M = {
  names = shared.names,
  is = shared.is,
  arity = shared.arity,
  literal = shared.literal,
  hint = shared.hint,
  check_args = shared.check_args,
  print = shared.print,
  --- As parse, but gives nil and the reason instead of raising.
  try = shared.parse,
}

--- The type that a text such as "numeric(12,2)[]" stands for.
-- @tparam string text
-- @tparam[opt] function enum name -> type of an enum, or nil
-- @raise usage
function M.parse(text, enum)
  if type(text) ~= "string" then
    util.usage("a type is a text such as numeric(12,2), not %s", type(text))
  end
  local ty, why = shared.parse(text, enum)
  if not ty then util.usage("%s", why) end
  return ty
end

return M
