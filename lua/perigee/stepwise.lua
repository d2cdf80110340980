--- What a verb on a table promises where the database has no one statement for it: in
-- several, in a transaction. Called when core refuses a statement as `unsupported`, so
-- that databases that have it pay nothing.
--
-- MySQL's ON DUPLICATE KEY UPDATE fires on any unique key. What it ran into is noted by the
-- statement, which changes nothing but the row of the named key; the conflict with another
-- key is then made the error that it is. MariaDB's UPDATE gives no rows: their keys are read
-- and locked first.
local core = require "perigee.core"
local crud = require "perigee.crud"
local tables = require "perigee.table"
local transaction = require "perigee.transaction"

local leaves = crud.leaves

local KEYS = 1000 -- of one statement

-- ---- insert ----------------------------------------------------------------

-- The name of the key over these columns; nil without columns: of any.
local function name_of_key(entry, names)
  if not names then return nil end
  local wanted = {}
  for _, name in ipairs(names) do wanted[name] = true end
  for _, key in ipairs(entry.keys) do
    local same = #key.columns == #names
    for _, c in ipairs(key.columns) do same = same and wanted[entry.columns[c].name] end
    if same then return key.name end
  end
end

local function is_of_key(entry, err, names)
  if type(err) ~= "table" or err.kind ~= "unique" then return false end
  return not names or err.constraint == name_of_key(entry, names)
end

local function value_of(h, record, name)
  local v = rawget(record, name)
  if v == nil then v = tables.scope_value(h, name) end
  return v
end

-- What the row that is there gets (src/bind/lcrud.c says of `set`).
local function values_of(h, record, inner)
  local values, is_key = {}, {}
  for _, name in ipairs(inner.key) do is_key[name] = true end
  if inner.set == nil then
    for name, v in next, record do
      if not is_key[name] then values[name] = v end
    end
    return values
  end
  for k, v in next, inner.set do
    if type(k) == "string" then values[k] = v else values[v] = value_of(h, record, v) end
  end
  return values
end

local function update_there(x, h, record, o, inner)
  local filter = {}
  for _, name in ipairs(inner.key) do filter[name] = value_of(h, record, name) end
  if not leaves.find_first(x, h, filter, { lock = "update", timeout = o.timeout }) then
    return nil -- of another scope
  end
  local values = values_of(h, record, inner)
  if next(values) ~= nil then
    leaves.update(x, h, filter, values, { timeout = o.timeout })
  end
  if o.returning == false and not inner.whole then return 1 end
  local columns = not inner.whole and type(o.returning) == "table" and o.returning or nil
  return leaves.find_first(x, h, filter,
    { columns = columns, class = o.class, timeout = o.timeout })
end

-- The row is inserted as it is: an error of the key means that its row is there. Gives the
-- row, or nil, and whether it was made.
local function insert_plain(x, h, record, o, inner)
  local plain = {}
  for k, v in pairs(o) do plain[k] = v end
  plain.on_conflict = nil
  local ok, row = pcall(leaves.insert, x, h, record, plain,
    inner.whole and { whole = true } or nil)
  if ok then return row, true end
  if not is_of_key(h[8], row, inner.key) then error(row, 0) end
  if inner.conflict == "update" then return update_there(x, h, record, o, inner), false end
  if o.returning == false and not inner.whole then return 0, false end
  return nil, false
end

local MARK, CREATED = "perigee:mark", "perigee:created"
local MADE, THERE, OTHER = 0, 1, 2 -- what it says (prg_returning in src/sql/build.h)

-- In ON DUPLICATE KEY UPDATE each column sees those before it changed: where an expression
-- could see that, UPDATE does it.
local function sees_changes(set)
  if set == nil or next(set) == nil or next(set, next(set)) == nil then return false end
  for k, v in next, set do
    if type(k) == "string" and core.filter_kind(v) == "part" then return true end
  end
  return false
end

-- By the clause, which takes the lock of the row at once. After an error of a key InnoDB
-- would have it shared, and two that then want the row would wait for each other.
local function insert_marked(x, h, record, o, inner)
  local later = inner.conflict == "update" and sees_changes(inner.set)
  local row = leaves.insert(x, h, record, o, {
    conflict = later and "nothing" or inner.conflict, key = inner.key, set = inner.set,
    whole = inner.whole, mark = true,
  })
  local mark = tonumber(rawget(row, MARK))
  rawset(row, MARK, nil)
  if mark == MADE then return row, true end
  if mark == OTHER then return insert_plain(x, h, record, o, inner) end
  if inner.conflict ~= "update" then return nil, false end
  if later then return update_there(x, h, record, o, inner), false end
  return mark == THERE and row or nil, false
end

local function insert(refusal, x, h, record, opts, inner)
  local o = opts or {}
  if not inner or not inner.conflict then
    if not o.on_conflict then error(refusal, 0) end
    return (insert_plain(x, h, record, o, inner or {}))
  end
  local by = h[8].by_name[MARK] and insert_plain or insert_marked
  local row, created = by(x, h, record, o, inner)
  if inner.created and row ~= nil then rawset(row, CREATED, created) end
  return row
end

-- ---- update ----------------------------------------------------------------

-- Filters that find the rows of the keys, so many in each that a statement takes it.
local function filters_of(pk, keys)
  local filters = {}
  for from = 1, #keys, KEYS do
    local list = {}
    for i = from, math.min(from + KEYS - 1, #keys) do
      list[#list + 1] = #pk == 1 and keys[i][pk[1]] or keys[i]
    end
    filters[#filters + 1] = #pk == 1 and { [pk[1]] = list } or { core.any_of(list) }
  end
  return filters
end

local function may_step(h, values, o)
  local pk = h[8].pk
  if not pk or not o.returning or type(values) ~= "table" then return false end
  for _, name in ipairs(pk) do
    if rawget(values, name) ~= nil then return false end
  end
  return true
end

local function update(refusal, x, h, filter, values, opts)
  local o = opts or {}
  if not may_step(h, values, o) then error(refusal, 0) end
  local pk = h[8].pk
  return transaction.ensure_transaction(x, function(tx)
    local plain = tables.unclassed(h)
    local keys = leaves.select(tx, plain, filter,
      { columns = pk, lock = "update", timeout = o.timeout })
    if #keys == 0 then return leaves.select(tx, h, { [pk[1]] = {} }, { class = o.class }) end
    local rows
    for _, chosen in ipairs(filters_of(pk, keys)) do
      leaves.update(tx, h, chosen, values, { timeout = o.timeout })
      local part = leaves.select(tx, h, chosen, {
        columns = type(o.returning) == "table" and o.returning or nil, order_by = pk,
        class = o.class, timeout = o.timeout,
      })
      for i = 1, rows and #part or 0 do rows[#rows + 1] = part[i] end
      rows = rows or part
    end
    return rows
  end)
end

tables.fallbacks[leaves.insert] = insert
tables.fallbacks[leaves.update] = update
