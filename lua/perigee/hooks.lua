--- Hooks: functions of a handle's class that run before and after what its verbs write.
-- They are found by name as any field, so classes inherit them. A verb with hooks is a
-- transaction, which the caller has open or which is opened for it, and in it the
-- hooks that come before, on copies of the arguments, then the verb as it is without
-- hooks, and the hooks that come after, on its rows. So whatever the verb checks, it
-- checks with hooks too.
local core = require "perigee.core"
local transaction = require "perigee.transaction"
local util = require "perigee.util"

local usage = util.usage
local M = {}

-- ---- which there are -------------------------------------------------------

--- Does the class have one of these hooks?
-- @tparam {string,...} names
function M.has(class, names)
  for _, name in ipairs(names) do
    if class[name] ~= nil then return true end
  end
  return false
end

--- The class of a handle when it has one of these hooks, else nil.
-- @param ... lists of names
function M.class_with(h, ...)
  local class = h[9] and h[4]
  if not class then return nil end
  for i = 1, select("#", ...) do
    if M.has(class, (select(i, ...))) then return class end
  end
  return nil
end

-- ---- the transaction -------------------------------------------------------

local function still_open(tx, ...)
  if not core.info(tx).open then
    error(core.new_error("closed", "a hook has ended the transaction that it ran in"), 0)
  end
  return ...
end

--- Runs `fn(tx)` in the transaction of `x`, or in one of its own.
-- @return the results of fn
-- @raise closed when the transaction has ended meanwhile
function M.in_transaction(x, fn)
  return transaction.ensure_transaction(x, function(tx) return still_open(tx, fn(tx)) end)
end

-- ---- before ----------------------------------------------------------------

--- A copy of one level, without its metatable.
function M.copy(t)
  local copy = {}
  for k, v in next, t do copy[k] = v end
  return copy
end

--- A plain filter that says the same, to be changed: groups and fragments become its
-- only member. What is no filter stays, for the verb to refuse it.
function M.copy_filter(filter)
  if filter == nil then return {} end
  local kind = core.filter_kind(filter)
  if kind == "part" then return { filter } end
  return kind == "filter" and M.copy(filter) or filter
end

local function call(class, name, ...)
  local hook = class[name]
  if hook == nil then return nil end
  if type(hook) ~= "function" then
    usage("%s: a hook is a function, not %s", name, type(hook))
  end
  return hook(...)
end

-- Runs hooks over a value, which they may change or replace.
local function run(class, names, is_valid, value, ...)
  for _, name in ipairs(names) do
    local other = call(class, name, value, ...)
    if other ~= nil then
      if not is_valid(other) then
        usage("%s: a table or nothing is to be returned, not %s", name, type(other))
      end
      value = other
    end
  end
  return value
end

--- Runs before-hooks over a copy of a record, or of values to set.
-- @tparam {string,...} names in their order
-- @return what is to be used instead
function M.before(class, names, record, tx, ...)
  if not M.has(class, names) then return record end
  if record == nil then record = {} end
  if not core.is_record(record) then return record end -- the verb refuses it
  return run(class, names, core.is_record, M.copy(record), tx, ...)
end

--- The same for each of the n records of a list, one after the other.
function M.before_each(class, names, list, n, tx)
  local changed = {}
  for i = 1, n do changed[i] = M.before(class, names, rawget(list, i), tx) end
  return changed
end

--- The same for a filter.
function M.before_filter(class, names, filter, tx)
  if not M.has(class, names) then return filter end
  local copy = M.copy_filter(filter)
  if not core.filter_kind(copy) then return filter end
  return run(class, names, core.filter_kind, copy, tx)
end

--- Raises usage unless it is a list of records, without holes: before hooks see them.
-- @treturn integer how many
function M.check_list(verb, list)
  if type(list) ~= "table" then
    usage("%s: a list of records is expected, not %s", verb, type(list))
  end
  local n = 0
  for _ in next, list do n = n + 1 end
  for i = 1, n do
    local record = rawget(list, i)
    if record == nil then
      usage("%s: a list of records is expected: it has a hole at %d, or other keys", verb, i)
    end
    if not core.is_record(record) then
      usage("%s: record %d: a record is a table of columns, not %s", verb, i, type(record))
    end
  end
  return n
end

-- ---- after -----------------------------------------------------------------

--- Runs after-hooks.
function M.after(class, names, ...)
  for _, name in ipairs(names) do call(class, name, ...) end
end

--- What a verb gives for a row of all columns, when only some, or none, are wanted.
-- @tparam ?table options of the verb, that were checked
function M.project(row, options)
  local returning = options and options.returning
  if returning == nil or returning == true then return row end
  if returning == false then return row ~= nil and 1 or 0 end
  if row == nil then return nil end
  local part = {}
  for _, name in ipairs(returning) do part[name] = rawget(row, name) end
  return setmetatable(part, getmetatable(row))
end

--- The same for a list of rows.
function M.project_all(rows, options)
  local returning = options and options.returning
  if returning == false then return #rows end
  if type(returning) ~= "table" then return rows end
  local out = {}
  for i, row in ipairs(rows) do out[i] = M.project(row, options) end
  return setmetatable(out, getmetatable(rows))
end

return M
