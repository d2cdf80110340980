--- Rules of indexes: those that are missing, and those that are too many.

local function title(schema, name) return schema and schema .. "." .. name or name end

-- The keys of an index as texts; nil for one that is not only of plain columns.
local function index_keys(index)
  local list = {}
  for i, key in ipairs(index.keys or {}) do
    if not key.column then return nil end
    list[i] = key.column .. (key.desc and " desc" or "") .. (key.nulls or "")
      .. (key.opclass or "") .. (key.collation or "")
  end
  return #list > 0 and list or nil
end

local function is_plain(index)
  return not index.where and (index.method or "btree") == "btree" and not index.opaque
    and index.valid ~= false
end

-- The indexes of a table as { name, keys, unique }: keys and constraints have them too.
local function indexes_of(t)
  local out = {}
  local function add(name, keys, unique)
    if keys then out[#out + 1] = { name = name or "its key", keys = keys, unique = unique } end
  end
  if t.primary_key then add(t.primary_key.name, t.primary_key.columns, true) end
  for _, k in ipairs(t.uniques or {}) do add(k.name, k.columns, true) end
  for _, i in ipairs(t.indexes or {}) do
    if is_plain(i) then add(i.name, index_keys(i), i.unique) end
  end
  return out
end

-- Are the first keys of `long` those of `short`?
local function begins_with(long, short)
  if #short > #long then return false end
  for i, key in ipairs(short) do
    if long[i] ~= key then return false end
  end
  return true
end

-- The indexes that an operation makes, and the table that has them: a table with all of
-- them, or nil.
local function made(op, c)
  if op.op == "create_table" then
    return op.table, op.table.indexes or {}
  end
  return c:find(op.schema, op.table), { op.index }
end

-- For each new index another one of the table for which test(new, other) holds.
local function compare(op, c, test, text)
  local t, new = made(op, c)
  local out = {}
  for _, index in ipairs(t and new or {}) do
    local keys = is_plain(index) and index_keys(index)
    for _, other in ipairs(keys and indexes_of(t) or {}) do
      if other.name ~= index.name and test(keys, other, index) then
        out[#out + 1] = { message = text:format(index.name or "?", other.name), at = index.at }
        break
      end
    end
  end
  return out
end

local function same(keys, other)
  return #keys == #other.keys and begins_with(other.keys, keys)
end

-- The foreign keys that an operation makes, with the table as it is after it.
local function foreign_keys(op, c)
  if op.op == "create_table" then return op.table.foreign_keys or {}, op.table end
  return { op.key }, c:find(op.schema, op.table)
end

local function is_set(keys, columns)
  if #keys < #columns then return false end
  local wanted = {}
  for _, name in ipairs(columns) do wanted[name] = true end
  for i = 1, #columns do
    if not wanted[keys[i]] then return false end
    wanted[keys[i]] = nil
  end
  return true
end

local function has_index(t, columns)
  for _, index in ipairs(indexes_of(t)) do
    if is_set(index.keys, columns) then return true end
  end
  for _, index in ipairs(t.indexes or {}) do -- a partial one is better than none
    local keys = index_keys(index)
    if keys and is_set(keys, columns) then return true end
  end
  return false
end

return {
  {
    id = "duplicate-index", level = "warning", on = { "create_table", "add_index" },
    danger = "Each index costs time when rows are written, and two alike serve no query better.",
    safe = "leave one out",
    check = function(op, c)
      return compare(op, c, function(keys, other) return same(keys, other) end,
        "%s: %s has the same columns")
    end,
  },
  {
    id = "redundant-index", level = "warning", on = { "create_table", "add_index" },
    danger = "An index whose columns are the first ones of another costs time when rows are "
      .. "written, and serves hardly a query better.",
    safe = "leave it out",
    check = function(op, c)
      return compare(op, c, function(keys, other, index)
        return not index.unique and not same(keys, other) and begins_with(other.keys, keys)
      end, "%s: %s begins with its columns")
    end,
  },
  {
    id = "wide-index", level = "info", on = { "create_table", "add_index" },
    danger = "An index of more than three columns is large, and few queries use all of it.",
    safe = "the columns that select most",
    check = function(op, c)
      local _, new = made(op, c)
      local out = {}
      for _, index in ipairs(new) do
        if #(index.keys or {}) > 3 and not index.unique then
          out[#out + 1] = { message = ("%s: %d columns"):format(index.name or "?", #index.keys),
            at = index.at }
        end
      end
      return out
    end,
  },
  {
    id = "fk-without-index", level = "warning", on = { "create_table", "add_foreign_key" },
    databases = { "postgres", "sqlite" },
    danger = "Each delete in the parent table looks through all rows of this one.",
    safe = "index = true",
    check = function(op, c)
      local list, t = foreign_keys(op, c)
      local out = {}
      for _, f in ipairs(list) do
        local known = t and not t.opaque and #f.columns > 0
        if known and not has_index(t, f.columns) and not c:index_follows(op, t, f.columns) then
          out[#out + 1] = { at = f.at, message = ("%s (%s): no index begins with the columns of "
            .. "this foreign key"):format(title(t.schema, t.name), table.concat(f.columns, ", ")) }
        end
      end
      return out
    end,
  },
}
