--- What a verb on a table promises where the database has no one statement for it: in
-- several, in a transaction. Databases that have it pay nothing.
--
-- MySQL's ON DUPLICATE KEY UPDATE fires on any unique key. What it ran into is noted by the
-- statement, which changes nothing but the row of the named key; the conflict with another
-- key is then made the error that it is. MariaDB's UPDATE gives no rows: their keys are read
-- and locked first. On MySQL no statement that writes gives rows: an insert's is read by its
-- key, a delete's before it.
local core = require "perigee.core"
local crud = require "perigee.crud"
local tables = require "perigee.table"
local transaction = require "perigee.transaction"

local leaves = crud.leaves
local null, default = core.null, core.default

local KEYS = 1000 -- of one statement

-- ---- rows that are read apart ----------------------------------------------

local function value_of(h, record, name)
  local v = rawget(record, name)
  if v == nil then v = tables.scope_value(h, name) end
  return v
end

local function is_given(v)
  return v ~= nil and v ~= default and v ~= null
end

-- The filter that finds the row of a record by a key, or nil. `id`: what the database has
-- made of the column that it counts.
local function filter_by(h, record, key, id)
  local entry, filter = h[8], {}
  for _, c in ipairs(key.columns) do
    local column = entry.columns[c]
    local v = value_of(h, record, column.name)
    if column.auto and not is_given(v) then v = id end
    if not is_given(v) or core.filter_kind(v) == "part" then return nil end
    filter[column.name] = v
  end
  return filter
end

local function filter_of_new(h, record, id)
  for _, key in ipairs(h[8].keys) do
    local filter = filter_by(h, record, key, id)
    if filter then return filter end
  end
end

-- The filter that finds the row of the named key.
local function filter_of_key(h, record, names)
  local filter = {}
  for _, name in ipairs(names) do filter[name] = value_of(h, record, name) end
  return filter
end

-- Does the call want the row?
local function wants_row(o, inner)
  return inner.whole or o.returning ~= false
end

-- What was written is read with a lock (which the transaction has already): otherwise it sees
-- rows that a write has left as they were as of its beginning, where it is REPEATABLE READ.
local LOCK = "share"

-- The row, in the form that the options of an insert ask for.
local function read_row(x, h, filter, o, inner)
  local columns = not inner.whole and type(o.returning) == "table" and o.returning or nil
  return leaves.find_first(x, h, filter,
    { columns = columns, class = o.class, rows = o.rows, lock = LOCK, timeout = o.timeout })
end

local function raise_unknown(h)
  error(core.new_error("unsupported",
    ("%s: there is no RETURNING, and no key of the new row is known by which it could be "
      .. "read: give one, or say returning = false"):format(h.name), { table = h.name }), 0)
end

-- An insert that runs into nothing, or raises.
local function insert_new(x, h, record, o, inner)
  local row = inner.whole and { whole = true } or nil
  if not h[8].apart or not wants_row(o, inner) then
    return leaves.insert(x, h, record, o, row)
  end
  local known = record == nil and {} or record
  if core.is_record(known) and not filter_of_new(h, known, 1) then raise_unknown(h) end
  return transaction.ensure_transaction(x, function(tx)
    local done = leaves.insert(tx, h, record, o, { whole = inner.whole, apart = true })
    local filter = filter_of_new(h, known, done.last_id)
    local found = filter and read_row(tx, tables.unscoped(h), filter, o, inner)
    if found == nil then
      error(core.new_error("unsupported", ("%s: the row that was inserted is not found by "
        .. "its key: does a trigger change it? (returning = false does not look)"):format(
        h.name), { table = h.name }), 0)
    end
    return found
  end)
end

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

-- The filter that finds a row after these values were set.
local function filter_after(h, found, names, values)
  local filter = {}
  for _, name in ipairs(h[8].pk or names) do
    local v = rawget(values, name)
    if v == nil then v = rawget(found, name) end
    filter[name] = v
  end
  return filter
end

local function update_held(x, h, record, o, inner)
  local filter = filter_of_key(h, record, inner.key)
  local found = leaves.find_first(x, h, filter, { lock = "update", timeout = o.timeout })
  if not found then return nil end -- of another scope
  local values = values_of(h, record, inner)
  if next(values) ~= nil then
    leaves.update(x, h, filter, values, { timeout = o.timeout })
  end
  if not wants_row(o, inner) then return 1 end
  return read_row(x, h, filter_after(h, found, inner.key, values), o, inner)
end

-- The row that is there, held from before it is changed until it is read.
local function update_there(x, h, record, o, inner)
  return transaction.ensure_transaction(x, function(tx)
    return update_held(tx, h, record, o, inner)
  end)
end

-- The row of the named key is there. Gives what an insert gives then, and that it was not
-- made.
local function run_into(x, h, record, o, inner)
  if inner.conflict == "update" then return update_there(x, h, record, o, inner), false end
  if not wants_row(o, inner) then return 0, false end
  return nil, false
end

-- The row is inserted as it is: an error of the key means that its row is there. Gives the
-- row, or nil, and whether it was made.
local function insert_plain(x, h, record, o, inner)
  local plain = {}
  for k, v in pairs(o) do plain[k] = v end
  plain.on_conflict = nil
  local ok, row = pcall(insert_new, x, h, record, plain, inner)
  if ok then return row, true end
  if not is_of_key(h[8], row, inner.key) then error(row, 0) end
  return run_into(x, h, record, o, inner)
end

-- The first key that the statement ran into is another one: an error, unless the row of the
-- named key is there as well, which then counts (as it does elsewhere).
local function insert_other(x, h, record, o, inner)
  return transaction.ensure_transaction(x, function(tx)
    local there = leaves.find_first(tx, tables.unclassed(tables.unscoped(h)),
      filter_of_key(h, record, inner.key),
      { columns = inner.key, lock = "update", timeout = o.timeout })
    return (there and run_into or insert_plain)(tx, h, record, o, inner)
  end)
end

local MARK, CREATED = "perigee:mark", "perigee:created"
local MADE, THERE, OTHER = 0, 1, 2 -- what it says (prg_returning in src/sql/build.h)

-- As the last id of a statement. (LuaJIT has large numbers as texts or cdata.)
local MARKS = {
  ["-4611686018427387903"] = THERE, ["-4611686018427387902"] = OTHER,
  ["-4611686018427387901"] = 3,
}

-- In ON DUPLICATE KEY UPDATE each column sees those before it changed: where an expression
-- could see that, UPDATE does it.
local function sees_changes(set)
  if next(set) == nil or next(set, next(set)) == nil then return false end
  for k, v in next, set do
    if type(k) == "string" and core.filter_kind(v) == "part" then return true end
  end
  return false
end

-- The statement: the mark, and the row where it gives one.
local function run_marked(x, h, record, o, how)
  how.mark, how.apart = true, h[8].apart
  local result = leaves.insert(x, h, record, o, how)
  if how.apart then return MARKS[(tostring(result.last_id):gsub("LL$", ""))] or MADE end
  local mark = tonumber(rawget(result, MARK))
  rawset(result, MARK, nil)
  return mark, result
end

local function sets_key(pk, values)
  for _, name in ipairs(pk) do
    if rawget(values, name) ~= nil then return true end
  end
  return false
end

-- Is the row that is there changed by an UPDATE of its own? Read apart, it could not be found
-- by a key that the clause has changed.
local function updates_later(h, inner)
  local set = inner.set
  if inner.conflict ~= "update" or set == nil then return false end
  return sees_changes(set) or h[8].apart and sets_key(inner.key, set)
end

-- By the clause, which takes the lock of the row at once. After an error of a key InnoDB
-- would have it shared, and two that then want the row would wait for each other.
local function insert_marked(x, h, record, o, inner)
  local apart, later = h[8].apart, updates_later(h, inner)
  local mark, row = run_marked(x, h, record, o, {
    conflict = later and "nothing" or inner.conflict, key = inner.key, set = inner.set,
    whole = inner.whole,
  })
  local made, wanted = mark == MADE, wants_row(o, inner)
  if mark == OTHER then return insert_other(x, h, record, o, inner) end
  if not made and (later or inner.conflict ~= "update") then
    return run_into(x, h, record, o, inner)
  end
  if not made and mark ~= THERE then return nil, false end
  if apart then
    if not wanted then return 1, made end
    row = read_row(x, h, filter_of_key(h, record, inner.key), o, inner)
  end
  return row, made
end

local function insert_conflicting(x, h, record, o, inner)
  local by = h[8].by_name[MARK] and insert_plain or insert_marked
  local row, created = by(x, h, record, o, inner)
  if inner.created and type(row) == "table" then rawset(row, CREATED, created) end
  return row
end

local function insert(x, h, record, opts, inner)
  local o, how = opts or {}, inner or {}
  if type(o) ~= "table" then return leaves.insert(x, h, record, opts, inner) end
  if how.conflict then
    if not h[8].apart and not updates_later(h, how) then
      return insert_conflicting(x, h, record, o, how)
    end
    return transaction.ensure_transaction(x, function(tx)
      return insert_conflicting(tx, h, record, o, how)
    end)
  end
  if o.on_conflict == "nothing" then return (insert_plain(x, h, record, o, how)) end
  if h[8].apart then return insert_new(x, h, record, o, how) end
  return leaves.insert(x, h, record, opts, inner)
end

-- ---- update and delete -----------------------------------------------------

-- Filters that find the rows of the keys, so many in each that a statement takes it; one
-- where the rows are columns, which cannot be put together.
local function filters_of(pk, keys, o)
  local filters, many = {}, o.rows == "columns" and #keys or KEYS
  if #keys == 0 then return { { [pk[1]] = {} } } end
  for from = 1, #keys, many do
    local list = {}
    for i = from, math.min(from + many - 1, #keys) do
      list[#list + 1] = #pk == 1 and keys[i][pk[1]] or keys[i]
    end
    filters[#filters + 1] = #pk == 1 and { [pk[1]] = list } or { core.any_of(list) }
  end
  return filters
end

-- Locks the rows, and calls `write` with a filter for each part of them; the rows as they
-- are afterwards, or with `before` as they were.
local function write_and_read(x, h, filter, o, write, before)
  local pk = h[8].pk
  local options = {
    columns = type(o.returning) == "table" and o.returning or nil, order_by = pk,
    class = o.class, rows = o.rows, lock = LOCK, timeout = o.timeout,
  }
  return transaction.ensure_transaction(x, function(tx)
    local keys = leaves.select(tx, tables.unclassed(h), filter,
      { columns = pk, lock = "update", timeout = o.timeout })
    local rows
    for _, chosen in ipairs(filters_of(pk, keys, o)) do
      if not before and #keys > 0 then write(tx, chosen) end
      local part = leaves.select(tx, h, chosen, options)
      if before and #keys > 0 then write(tx, chosen) end
      for i = 1, rows and #part or 0 do rows[#rows + 1] = part[i] end
      rows = rows or part
    end
    return rows
  end)
end

local function update(refusal, x, h, filter, values, opts)
  local o, pk = opts or {}, h[8].pk
  if not pk or not o.returning or type(values) ~= "table" or sets_key(pk, values) then
    error(refusal, 0)
  end
  return write_and_read(x, h, filter, o, function(tx, chosen)
    leaves.update(tx, h, chosen, values, { timeout = o.timeout })
  end)
end

local function delete(refusal, x, h, filter, opts)
  local o = opts or {}
  if not h[8].pk or not o.returning then error(refusal, 0) end
  return write_and_read(x, h, filter, o, function(tx, chosen)
    leaves.delete(tx, h, chosen, { timeout = o.timeout })
  end, true)
end

tables.stepwise[leaves.insert] = insert
tables.fallbacks[leaves.update] = update
tables.fallbacks[leaves.delete] = delete
