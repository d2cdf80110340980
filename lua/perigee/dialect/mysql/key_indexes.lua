--- The indexes that foreign keys need: InnoDB makes one with the name of the key where there
-- is none, and leaves it there when the key goes. So a key takes its index along, and an
-- index that goes leaves one to the keys that it served.
local types = require "perigee.dialect.mysql.types"

local quote = types.quote
local M = {}

local function columns_of(e)
  if e.columns then return e.columns end
  local out = {}
  for i, k in ipairs(e.keys) do
    if not k.column or k.length then break end
    out[i] = k.column
  end
  return out
end

local function begins_with(columns, first)
  for i, name in ipairs(first) do
    if columns[i] ~= name then return false end
  end
  return true
end

local function find(list, name)
  for i, e in ipairs(list or {}) do
    if e.name == name then return e, i end
  end
  return nil
end

-- Is there an index for the foreign key, but for the one of the name `but`?
local function is_served(t, f, but)
  local function serves(list)
    for _, e in ipairs(list) do
      if e.name ~= but and not e.method and begins_with(columns_of(e), f.columns) then
        return true
      end
    end
    return false
  end
  for _, other in ipairs(t.foreign_keys) do
    if other.name ~= but and t.made and t.made[other.name]
      and begins_with(other.columns, f.columns) then
      return true
    end
  end
  return serves { t.primary_key } or serves(t.uniques) or serves(t.indexes)
end

--- What goes with a foreign key: "", or ", DROP INDEX `…`". The tree follows.
-- @tparam ?table t the table as it is: what is read of it has `made`
-- @tparam string name of the key
-- @treturn string
function M.along(t, name)
  local f, at = find(t and t.foreign_keys, name)
  if not f then return "" end
  table.remove(t.foreign_keys, at)
  if not (t.made and t.made[name]) then return "" end
  for _, other in ipairs(t.foreign_keys) do
    if begins_with(f.columns, other.columns) and not is_served(t, other, name) then return "" end
  end
  t.made[name] = nil
  return ", DROP INDEX " .. quote(name)
end

--- What takes the place of an index that goes, for the foreign keys that it serves: "", or
-- ", ADD INDEX `…` (…)". The tree follows.
-- @tparam ?table t
-- @tparam string list "indexes" or "uniques"
-- @tparam string name of the index
-- @treturn string
function M.instead(t, list, name)
  local gone, at = find(t and t[list], name)
  if not gone then return "" end
  table.remove(t[list], at)
  local out = {}
  for _, f in ipairs(t.foreign_keys or {}) do
    if begins_with(columns_of(gone), f.columns) and not is_served(t, f) then
      t.made = t.made or {}
      t.made[f.name] = true
      out[#out + 1] = (", ADD INDEX %s (%s)"):format(quote(f.name), types.names(f.columns))
    end
  end
  return table.concat(out)
end

return M
