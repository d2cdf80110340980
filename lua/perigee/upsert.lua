--- upsert, get_or_create and update_or_create: one row, found by a unique key.
-- None of them ever runs into a `unique` error and goes on: inside a transaction of
-- PostgreSQL that would be its end. They insert with ON CONFLICT DO NOTHING, and look
-- again when a row was there. Each look may find the row of somebody else deleted
-- meanwhile, hence a number of attempts.
local core = require "perigee.core"
local crud = require "perigee.crud"
local hooks = require "perigee.hooks"
local tables = require "perigee.table"
local transaction = require "perigee.transaction"
local util = require "perigee.util"

local usage = util.usage
local call, leaves = tables.call, crud.leaves
local null, default = core.null, core.default
local M = {}

local ATTEMPTS = 10

-- ---- options and keys ------------------------------------------------------

local function key_names(entry, key)
  local names = {}
  for i, c in ipairs(key.columns) do names[i] = entry.columns[c].name end
  return names
end

--- "(id), (shop, sku)": the unique keys of an entry, for messages.
function M.list_keys(entry)
  local keys = {}
  for i, key in ipairs(entry.keys) do
    keys[i] = "(" .. table.concat(key_names(entry, key), ", ") .. ")"
  end
  return #keys > 0 and table.concat(keys, ", ") or "none"
end

local function is_key(entry, wanted)
  for _, key in ipairs(entry.keys) do
    local names = key_names(entry, key)
    local same = #names == #wanted
    for _, name in ipairs(names) do same = same and wanted[name] end
    if same then return true end
  end
  return false
end

-- The columns of `on`, which have to be a unique key.
local function read_on(h, entry, on)
  if type(on) == "string" then on = { on } end
  if type(on) ~= "table" then
    usage("on: a list of columns is expected, not %s", type(on))
  end
  local names, wanted = {}, {}
  for i, name in ipairs(on) do
    if type(name) ~= "string" or wanted[name] then
      usage("on: %s is not a column, or there twice", tostring(name))
    end
    names[i], wanted[name] = name, true
    wanted[i] = name
  end
  if not is_key(entry, wanted) then
    tables.refuse("on: (%s) is not a unique key of %s; its keys are %s",
      table.concat(names, ", "), h.name, M.list_keys(entry))
  end
  return names
end

--- The value that a record, or else the handle's scope, has for a column.
local function value_of(h, record, name)
  local v = rawget(record, name)
  if v == nil then v = tables.scope_value(h, name) end
  return v
end

-- The names of the key that the record is looked up by; nil when it has none and
-- its row is to be made up by the database.
local function conflict_key(x, h, record, on)
  local entry = tables.entry(x, h)
  local names = on ~= nil and read_on(h, entry, on) or entry.pk
  if not names then
    tables.refuse("%s has no primary key: say `on`; its keys are %s", h.name,
      M.list_keys(entry))
  end
  local missing
  for _, name in ipairs(names) do
    local v = value_of(h, record, name)
    if v == null then usage("%s is NULL, and part of the key", name) end
    if v == nil or v == default then
      if on ~= nil or not entry.by_name[name].default then
        usage("the record has no %s, which is part of the key", name)
      end
      missing = true
    end
  end
  return not missing and names or nil
end

-- The filter that finds the record's row.
local function key_filter(h, record, names)
  local filter = {}
  for _, name in ipairs(names) do filter[name] = value_of(h, record, name) end
  return filter
end

local function raise_foreign(h, names)
  error(core.new_error("unique",
    ("%s: a row with this key (%s) is there and not within reach: of another scope, or "
      .. "different from the filter"):format(h.name, table.concat(names, ", ")),
    { table = h.name, schema = h.schema }), 0)
end

-- After a conflict with a row that then could not be found: raises when that row has the
-- key and is not what was looked for (or of another scope), all in one statement.
local function check_foreign(x, h, names, wanted)
  local filter, full = key_filter(h, wanted, names), {}
  for k, v in next, wanted do full[k] = v end
  local scope = h[3] or {}
  for i = 1, #scope, 2 do full[scope[i]] = scope[i + 1] end
  filter[1] = core.none_of { full }
  if call(leaves.exists, x, tables.unscoped(h), filter) then raise_foreign(h, names) end
end

local function raise_unsteady(h, names)
  error(core.new_error("serialization",
    ("%s: the row with this key (%s) was there and gone again in %d attempts"):format(
      h.name, table.concat(names, ", "), ATTEMPTS), { table = h.name, retryable = true }), 0)
end

-- ---- upsert ----------------------------------------------------------------

-- The options of a verb that are the leaf's too.
local function statement_options(o)
  return { timeout = o.timeout, class = o.class, returning = o.returning }
end

-- In one statement, which says whether it inserted.
local function upsert_at_once(x, h, record, names, o, whole)
  local row = call(leaves.insert, x, h, record, statement_options(o), {
    conflict = "update", key = names, set = o.set, created = true, whole = whole,
  })
  if row == nil then raise_foreign(h, names) end
  local created = rawget(row, "perigee:created")
  rawset(row, "perigee:created", nil)
  return row, created
end

-- Where a statement cannot say that: in two, the row being held from the first on (by
-- the lock of the database on SQLite).
local function upsert_in_steps(x, h, record, names, o, whole)
  local filter = key_filter(h, record, names)
  local options = statement_options(o)
  local locks = core.driver(x).features.row_locks
  for _ = 1, ATTEMPTS do
    local row = call(leaves.insert, x, h, record, options, {
      conflict = "nothing", key = names, set = o.set, whole = whole,
    })
    if row ~= nil then return row, true end
    if not locks or call(leaves.find_first, x, h, filter, { lock = "update" }) then
      row = call(leaves.insert, x, h, record, options, {
        conflict = "update", key = names, set = o.set, whole = whole,
      })
      if row == nil then raise_foreign(h, names) end
      return row, false
    end
    check_foreign(x, h, names, filter)
  end
  raise_unsteady(h, names)
end

-- Where rows are locked, tasks that upsert one row at once may end in a deadlock: in a
-- transaction of our own they do it again.
local function in_steps(x, fn)
  local inside = transaction.target(x)
  if inside and core.info(inside).is_tx then return fn(inside) end
  local locks = core.driver(x).features.row_locks
  return transaction.transaction(x, fn, locks and { retries = ATTEMPTS } or nil)
end

-- What an update of the row that is there sets.
local function update_values(h, record, filter, set)
  local values = {}
  if set == nil then
    for k, v in next, record do
      if filter[k] == nil then values[k] = v end
    end
    return values
  end
  for k, v in pairs(set) do
    if type(k) == "string" then
      values[k] = v
    else
      values[v] = value_of(h, record, v)
      if values[v] == nil then usage("set: the record has no %s", tostring(v)) end
    end
  end
  return values
end

-- GENERATED ALWAYS AS IDENTITY takes no value: the row is there, or is an error.
local function update_identity(x, h, record, names, o, whole)
  local filter = key_filter(h, record, names)
  local values = update_values(h, record, filter, o.set)
  local columns = not whole and type(o.returning) == "table" and o.returning or nil
  local options = { timeout = o.timeout, class = o.class }
  local row
  if next(values) == nil then
    options.columns = columns
    row = call(leaves.find_first, x, h, filter, options)
  else
    options.returning = columns or true
    row = call(leaves.update, x, h, filter, values, options)[1]
  end
  if row ~= nil then return row, false end
  if h[3] and call(leaves.exists, x, tables.unscoped(h), filter) then
    raise_foreign(h, names)
  end
  error(core.new_error("not_found",
    ("%s: there is no row with this key, and the database alone makes keys of it")
      :format(h.name), { table = h.name }), 0)
end

local function is_identity(entry, names)
  for _, name in ipairs(names) do
    if entry.by_name[name].always then return true end
  end
  return false
end

-- Gives a row always: what the options want of it, or with `whole` all its columns.
local function upsert_row(x, h, record, o, whole)
  local names = tables.call_all(conflict_key, x, h, record, o.on)
  local entry = tables.entry(x, h)
  if not names then
    return call(leaves.insert, x, h, record, statement_options(o), { whole = whole }), true
  end
  if is_identity(entry, names) then
    return update_identity(x, h, record, names, o, whole)
  end
  if entry.one_statement then return upsert_at_once(x, h, record, names, o, whole) end
  return in_steps(x, function(tx) return upsert_in_steps(tx, h, record, names, o, whole) end)
end

local UPSERT = { "on", "set", "returning", "timeout", "class" }
local BEFORE_UPSERT = { "before_save" }
local AFTER_UPSERT = { "after_insert", "after_update", "after_save" }

--- Runs the hooks after an upsert of one row.
function M.after(class, row, tx, created)
  hooks.after(class, { created and "after_insert" or "after_update" }, row, tx)
  hooks.after(class, { "after_save" }, row, tx, created)
end

--- Upserts with the class's hooks; also for save() and upsert_many().
-- @tparam table o options that were checked
function M.upsert_row(x, h, record, o)
  local class = hooks.class_with(h, BEFORE_UPSERT, AFTER_UPSERT)
  local counted = o.returning == false
  if not class then
    local row, created = upsert_row(x, h, record, o, counted)
    if counted then return 1, created end
    return row, created
  end
  return hooks.in_transaction(x, function(tx)
    local whole = counted or hooks.has(class, AFTER_UPSERT)
    local values = hooks.before(class, BEFORE_UPSERT, record, tx)
    local row, created = upsert_row(tx, h, values, o, whole)
    if row ~= nil then M.after(class, row, tx, created) end
    if whole then row = hooks.project(row, o) end
    return row, created
  end)
end

local function check_record(verb, record)
  if not core.is_record(record) then
    usage("%s: a table of columns is expected, not %s", verb,
      core.filter_kind(record) and "a group or SQL" or type(record))
  end
  return record
end

--- Inserts a row, or updates the one with the same key.
-- @tparam table record
-- @tparam[opt] table opts on (columns of a unique key, default the primary key), set
-- (columns that a row which is there gets, or { column = value }; default all given but
-- the key; {}: it stays as it is), returning, timeout, class
-- @treturn table the row as stored
-- @treturn boolean whether it was inserted
-- @raise usage when `on` is no unique key; unique for a conflict on another key, or with
-- a row outside of the handle's scope
function M.upsert(x, h, record, opts)
  check_record("upsert", record)
  return M.upsert_row(x, h, record, util.check_options("upsert", opts, UPSERT))
end

-- ---- what to look for ------------------------------------------------------

local function read_equality(entry, k, v, verb)
  if type(k) ~= "string" then
    usage("%s: the filter may only have column = value, not groups", verb)
  end
  local name = k
  if not entry.by_name[name] then name = k:match "^(.*):eq$" or k end
  if not entry.by_name[name] then
    local err = core.new_error("usage",
      ("%s: %q is not a column, nor a column with :eq"):format(verb, k))
    err.unknown = true
    error(err, 0)
  end
  if v == null or v == default or type(v) == "table" and getmetatable(v) == nil then
    usage("%s: %s: one value is expected", verb, k)
  end
  return name, v
end

-- The filter as a record, and the unique key that it (with the scope) covers.
local function read_lookup(h, entry, filter, verb)
  check_record(verb, filter)
  local record = {}
  for k, v in next, filter do
    local name, value = read_equality(entry, k, v, verb)
    if record[name] ~= nil and record[name] ~= value then
      usage("%s: %s has two values", verb, name)
    end
    record[name] = value
  end
  for _, key in ipairs(entry.keys) do
    local names = key_names(entry, key)
    local covered = true
    for _, name in ipairs(names) do
      covered = covered and value_of(h, record, name) ~= nil
    end
    if covered then return record, names end
  end
  tables.refuse("%s: the filter covers no unique key of %s; its keys are %s", verb,
    h.name, M.list_keys(entry))
end

-- Reads the filter by what is known of the table, or by what is known now.
local function lookup(x, h, filter, verb)
  local record, names
  tables.call_all(function(_, handle)
    record, names = read_lookup(handle, tables.entry(x, handle), filter, verb)
  end, x, h)
  return record, names
end

-- What is inserted: the filter and the defaults.
local function merge(record, defaults, verb)
  if defaults == nil then return record end
  local merged = {}
  for k, v in next, check_record(verb, defaults) do merged[k] = v end
  for k, v in next, record do
    if merged[k] ~= nil and merged[k] ~= v then
      usage("%s: %s is %s in the filter and another in the defaults", verb, k, tostring(v))
    end
    merged[k] = v
  end
  return merged
end

-- ---- get_or_create ---------------------------------------------------------

local OPTIONS = { "timeout", "class" }

--- The row that matches, made when there is none. However many tasks and processes do
-- that at once, one makes it and all get it.
-- @tparam table filter column = value for all columns of a unique key
-- @tparam[opt] table defaults more columns of a new row
-- @tparam[opt] table opts timeout, class
-- @treturn table row
-- @treturn boolean whether it was inserted
function M.get_or_create(x, h, filter, defaults, opts)
  local o = util.check_options("get_or_create", opts, OPTIONS)
  local record, names = lookup(x, h, filter, "get_or_create")
  local new = merge(record, defaults, "get_or_create")
  local found = { timeout = o.timeout, class = o.class }
  for _ = 1, ATTEMPTS do
    local row = call(leaves.find_first, x, h, record, found)
    if row ~= nil then return row, false end
    row = crud.insert_row(x, h, new, statement_options(o), {
      conflict = "nothing", key = names,
    })
    if row ~= nil then return row, true end
    -- The row that the insert ran into may be younger than what the transaction sees.
    if core.driver(x).features.steps then found.lock = "share" end
    check_foreign(x, h, names, record)
  end
  raise_unsteady(h, names)
end

-- ---- update_or_create ------------------------------------------------------

local UPDATE_OR_CREATE = { "defaults", "create_defaults", "timeout", "class" }

local function read_defaults(defaults, row)
  if type(defaults) ~= "function" then return defaults end
  local values = defaults(row)
  if values ~= nil and type(values) ~= "table" then
    usage("update_or_create: the function of defaults returns a table, not %s", type(values))
  end
  return values
end

local BEFORE_UPDATE = { "before_save", "before_update" }
local AFTER_UPDATE = { "after_update", "after_save" }

-- Updates the row that is there and held.
local function update_found(tx, h, filter, row, o)
  local values = read_defaults(o.defaults, row)
  if values == nil or next(values) == nil then return row end
  local class = hooks.class_with(h, BEFORE_UPDATE, AFTER_UPDATE)
  local chosen = hooks.copy(filter)
  if class then values = hooks.before(class, BEFORE_UPDATE, values, tx, chosen) end
  local found = call(leaves.update, tx, h, chosen, values,
    { timeout = o.timeout, class = o.class, returning = true })[1]
  if class and found ~= nil then hooks.after(class, AFTER_UPDATE, found, tx, false) end
  return found
end

local function update_or_create(tx, h, record, names, o)
  local find = { timeout = o.timeout, class = o.class }
  if core.driver(tx).features.row_locks then find.lock = "update" end
  local filter = key_filter(h, record, names)
  for _ = 1, ATTEMPTS do
    local row = call(leaves.find_first, tx, h, record, find)
    if row ~= nil then return update_found(tx, h, filter, row, o), false end
    local defaults = o.create_defaults
    if defaults == nil then defaults = read_defaults(o.defaults, nil) end
    row = crud.insert_row(tx, h, merge(record, defaults, "update_or_create"),
      statement_options(o), { conflict = "nothing", key = names })
    if row ~= nil then return row, true end
    check_foreign(tx, h, names, record)
  end
  raise_unsteady(h, names)
end

--- Updates the row that matches, which is locked from before it is read, or makes one.
-- @tparam table filter column = value for all columns of a unique key
-- @tparam table opts defaults: the columns to set, or a function of the row (nil when
-- there is none) that gives them; create_defaults: those of a new row instead ({} too);
-- timeout, class
-- @treturn table row
-- @treturn boolean whether it was inserted
function M.update_or_create(x, h, filter, opts)
  local o = util.check_options("update_or_create", opts, UPDATE_OR_CREATE)
  if o.defaults ~= nil and type(o.defaults) ~= "table" and type(o.defaults) ~= "function" then
    usage("defaults: a table or a function is expected, not %s", type(o.defaults))
  end
  local record, names = lookup(x, h, filter, "update_or_create")
  return hooks.in_transaction(x, function(tx)
    return update_or_create(tx, h, record, names, o)
  end)
end

return M
