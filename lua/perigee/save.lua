--- save and save_all, and the bulk verbs with hooks.
local bulk = require "perigee.bulk"
local core = require "perigee.core"
local crud = require "perigee.crud"
local format = require "perigee.format"
local hooks = require "perigee.hooks"
local tables = require "perigee.table"
local transaction = require "perigee.transaction"
local upsert = require "perigee.upsert"
local util = require "perigee.util"

local usage = util.usage
local call_all = tables.call_all
local M = {}

-- ---- save ------------------------------------------------------------------

local function need_pk(x, h)
  local entry = tables.entry(x, h)
  if not entry.pk then tables.refuse("save: %s has no primary key", h.name) end
  return entry.pk
end

local function is_in(list, name)
  for _, v in ipairs(list) do
    if v == name then return true end
  end
  return false
end

-- The record without what the database alone makes, so that a row can be saved as it
-- came. (Of the primary key nothing is left out.)
local function writable(x, h, record)
  if not core.is_record(record) then
    usage("save: the record must be a table of columns, not %s", type(record))
  end
  local pk, values = tables.call_all(need_pk, x, h), {}
  local entry = tables.entry(x, h)
  for k, v in next, record do
    local column = entry.by_name[k]
    local made = column and (column.generated or column.always and not is_in(pk, k))
    if not made then values[k] = v end
  end
  return values
end

-- Does the record have the whole key? When not, the database has to make it up.
local function has_pk(x, h, record)
  local entry, complete = tables.entry(x, h), true
  for _, name in ipairs(entry.pk) do
    local v = rawget(record, name)
    if v == nil then v = tables.scope_value(h, name) end
    if v == nil or v == core.default then
      complete = false
      if not entry.by_name[name].default then
        usage("save: the record has no %s, which is part of the primary key", name)
      end
    end
  end
  return complete
end

local SAVE = { "returning", "timeout", "class" }

local function save(x, h, record, o)
  local values = writable(x, h, record)
  if has_pk(x, h, values) then return upsert.upsert_row(x, h, values, o) end
  return crud.insert_row(x, h, values, o), true
end

--- Stores a record: updates the row with its primary key or makes it; without a key
-- inserts. Columns that the database computes are left out, so a row can be changed and
-- saved.
-- @tparam table record
-- @tparam[opt] table opts returning, timeout, class
-- @treturn table the row as stored
-- @treturn boolean whether it was inserted
function M.save(x, h, record, opts)
  return save(x, h, record, util.check_options("save", opts, SAVE))
end

-- Splits a list into the records with a key and those without, each with the places
-- that its members have in the whole.
local function split(x, h, list, n)
  local keyed = { records = {}, places = {} }
  local new = { records = {}, places = {} }
  for i = 1, n do
    local values = writable(x, h, rawget(list, i))
    local part = has_pk(x, h, values) and keyed or new
    part.records[#part.records + 1] = values
    part.places[#part.places + 1] = i
  end
  return keyed, new
end

local function place(rows, part, into)
  for i, at in ipairs(part.places) do into[at] = rows[i] end
end

--- Stores many records as save() does: all or none. Two with the same key are refused.
-- @tparam {table,...} list
-- @tparam[opt] table opts timeout, class
-- @treturn {table,...} the rows as stored, in the order of the list
function M.save_all(x, h, list, opts)
  local o = util.check_options("save_all", opts, { "timeout", "class" })
  local n = hooks.check_list("save_all", list)
  local keyed, new = split(x, h, list, n)
  if #new.records == 0 then return (M.upsert_many(x, h, keyed.records, o)) end
  if #keyed.records == 0 then return M.insert_many(x, h, new.records, o) end
  local rows = {}
  transaction.transaction(x, function(tx)
    place(M.upsert_many(tx, h, keyed.records, o), keyed, rows)
    place(M.insert_many(tx, h, new.records, o), new, rows)
  end)
  return rows
end

-- ---- bulk ------------------------------------------------------------------

local BEFORE_INSERT = { "before_save", "before_insert" }
local AFTER_INSERT = { "after_insert", "after_save" }

--- Inserts many rows: all or none. Hooks run for each.
-- @tparam {table,...} list of records; what one does not name has its default
-- @tparam[opt] table opts returning (false: the count; a list of columns), timeout, class
-- @treturn {table,...} the rows as stored, in the order of the list
function M.insert_many(x, h, list, opts)
  local class = hooks.class_with(h, BEFORE_INSERT, AFTER_INSERT)
  local n = class and hooks.check_list("insert_many", list)
  if not class or n == 0 then return call_all(bulk.insert_many, x, h, list, opts) end
  return hooks.in_transaction(x, function(tx)
    local changed = hooks.before_each(class, BEFORE_INSERT, list, n, tx)
    local whole = hooks.has(class, AFTER_INSERT)
    local rows = call_all(bulk.insert_many, tx, h, changed, opts, whole)
    if not whole then return rows end
    for _, row in ipairs(rows) do hooks.after(class, AFTER_INSERT, row, tx, true) end
    return hooks.project_all(rows, opts)
  end)
end

local function columns_of(x, h, o)
  local names = {}
  if type(o.returning) == "table" then
    for i, name in ipairs(o.returning) do names[i] = name end
  else
    for i, column in ipairs(tables.entry(x, h).columns) do names[i] = column.name end
  end
  return names
end

-- Where the database cannot say in one statement what it inserted: one by one.
local function upsert_each(x, h, list, opts, whole)
  bulk.check_upsert(x, h, list, opts)
  local o, plain = {}, tables.unhooked(h)
  for k, v in pairs(opts or {}) do o[k] = v end
  o.rows = nil
  if whole then o.returning = nil end
  local rows, created = {}, {}
  transaction.transaction(x, function(tx)
    for i = 1, #list do
      rows[i], created[i] = upsert.upsert_row(tx, plain, rawget(list, i), o)
    end
  end)
  if o.returning == false then return #rows end
  return format.list(rows, columns_of(x, h, o)), created
end

-- In statements of many rows, which say of each what it ran into: when that is not to be
-- written, one by one again, for its error.
local function upsert_marked(x, h, list, opts, whole)
  local rows, created = bulk.upsert_many(x, h, list, opts, whole)
  if rows == nil then return upsert_each(x, h, list, opts, whole) end
  if created == nil then return rows end
  return rows, created
end

local function upsert_list(x, h, list, opts, whole)
  local entry, fn = tables.entry(x, h), bulk.upsert_many
  if entry.steps then
    local each = entry.apart or not entry.one_statement or entry.by_name["perigee:mark"]
    fn = each and upsert_each or upsert_marked
  elseif not entry.one_statement and core.driver(x).features.row_locks then
    fn = upsert_each
  end
  return call_all(fn, x, h, list, opts, whole)
end

local BEFORE_UPSERT = { "before_save" }
local AFTER_UPSERT = { "after_insert", "after_update", "after_save" }

--- Inserts many rows, or updates those whose key is there: all or none. Hooks run for
-- each.
-- @tparam {table,...} list of records
-- @tparam[opt] table opts on, set (as for upsert()), returning, timeout, class
-- @treturn {table,...} the rows as stored, in the order of the list
-- @treturn {boolean,...} for each whether it was inserted
function M.upsert_many(x, h, list, opts)
  local class = hooks.class_with(h, BEFORE_UPSERT, AFTER_UPSERT)
  local n = class and hooks.check_list("upsert_many", list)
  if not class or n == 0 then return upsert_list(x, h, list, opts) end
  return hooks.in_transaction(x, function(tx)
    local changed = hooks.before_each(class, BEFORE_UPSERT, list, n, tx)
    local whole = hooks.has(class, AFTER_UPSERT)
    local rows, created = upsert_list(tx, h, changed, opts, whole)
    if not whole then return rows, created end
    for i, row in ipairs(rows) do upsert.after(class, row, tx, created[i]) end
    rows = hooks.project_all(rows, opts)
    if type(rows) == "number" then return rows end
    return rows, created
  end)
end

local BEFORE_UPDATE = { "before_save", "before_update" }
local AFTER_UPDATE = { "after_update", "after_save" }

-- The record as the hooks make it, which see its key and its values apart.
local function before_update(class, record, names, tx)
  local key, values = {}, hooks.copy(record)
  for _, name in ipairs(names) do key[name], values[name] = values[name], nil end
  local given = hooks.copy(key)
  local changed = hooks.copy(hooks.before(class, BEFORE_UPDATE, values, tx, key))
  for _, name in ipairs(names) do
    if changed[name] ~= nil then
      usage("before_update: %s finds the row, and update_many does not change it", name)
    end
    changed[name] = given[name]
  end
  return changed
end

--- Updates many rows, each with its own values: all or none. Hooks that come before run
-- for each, those that come after once.
-- @tparam {table,...} list of records: the key, and the columns to set
-- @tparam[opt] table opts on (columns of a unique key, default the primary key), missing
-- ("error": raise not_found when a row is not there), timeout
-- @treturn integer how many rows were there
-- @treturn table the keys that have no row, as they were given
function M.update_many(x, h, list, opts)
  local class = hooks.class_with(h, BEFORE_UPDATE, AFTER_UPDATE)
  local n = class and hooks.check_list("update_many", list)
  if not class or n == 0 then return call_all(bulk.update_many, x, h, list, opts) end
  call_all(bulk.check_update, x, h, opts)
  local names = bulk.key_names(h, opts and opts.on)
  return hooks.in_transaction(x, function(tx)
    local changed = {}
    for i = 1, n do changed[i] = before_update(class, rawget(list, i), names, tx) end
    local count, missing = call_all(bulk.update_many, tx, h, changed, opts)
    hooks.after(class, AFTER_UPDATE, count, tx, false)
    return count, missing
  end)
end

-- ---- delete_many -----------------------------------------------------------

-- A key, which was checked, as a filter. Where it has no value the scope has one.
local function key_filter(h, names, key)
  local filter = {}
  if not core.is_record(key) then key = { key } end -- one value
  local by_place = rawget(key, 1) ~= nil
  for i, name in ipairs(names) do
    local v = rawget(key, by_place and i or name)
    if v == nil then v = tables.scope_value(h, name) end
    filter[name] = v
  end
  return filter
end

-- The keys as one filter.
local function filter_of(h, names, list, n)
  local parts, values = {}, {}
  for i = 1, n do
    parts[i] = key_filter(h, names, rawget(list, i))
    values[i] = parts[i][names[1]]
  end
  if #names > 1 then return { core.any_of(parts) } end
  return { [names[1]] = values }
end

local function is_same(a, b)
  if rawequal(a, b) then return true end
  if type(a) ~= "table" or type(b) ~= "table" or getmetatable(a) ~= getmetatable(b) then
    return false
  end
  for k, v in next, a do
    if not is_same(v, rawget(b, k)) then return false end
  end
  for k in next, b do
    if rawget(a, k) == nil then return false end
  end
  return true
end

local BEFORE_DELETE, AFTER_DELETE = { "before_delete" }, { "after_delete" }

--- Deletes the rows with these keys: all or none. Hooks run once; before_delete gets the
-- keys as a filter, and when it changes that, the rows are deleted by it.
-- @tparam table list of keys: scalars, lists or tables by name (a row is fine)
-- @tparam[opt] table opts timeout
-- @treturn integer how many rows were there
function M.delete_many(x, h, list, opts)
  local class = hooks.class_with(h, BEFORE_DELETE, AFTER_DELETE)
  if not class then return call_all(bulk.delete_many, x, h, list, opts) end
  local n = call_all(bulk.check_delete, x, h, list, opts)
  if n == 0 then return 0 end
  local names = bulk.key_names(h)
  return hooks.in_transaction(x, function(tx)
    local given = filter_of(h, names, list, n)
    local filter = hooks.before_filter(class, BEFORE_DELETE, given, tx)
    local count
    if is_same(filter, filter_of(h, names, list, n)) then
      count = call_all(bulk.delete_many, tx, h, list, opts)
    else
      count = tables.call(crud.leaves.delete, tx, h, filter, opts)
    end
    hooks.after(class, AFTER_DELETE, count, tx)
    return count
  end)
end

return M
