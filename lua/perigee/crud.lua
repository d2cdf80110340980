--- Verbs on one table that are one statement each: insert, select, get, at, find,
-- find_first, exists, count, group, update, delete, page. C reads their arguments and
-- runs them (src/bind/lcrud.c, lselect.c, lpage.c); here the table is looked up, and
-- hooks run.
local core = require "perigee.core"
local wait = require "perigee.wait"
local hooks = require "perigee.hooks"
local tables = require "perigee.table"

local call = tables.call
local M = {}

local leaves = {}
for _, name in ipairs {
  "insert", "select", "get", "at", "find", "find_first", "exists", "count", "group",
  "update", "delete", "page", "page_total",
} do
  leaves[name] = wait.leaf(core.crud[name])
end
M.leaves = leaves

-- ---- reading ---------------------------------------------------------------

-- They are verbs as they are: tables.add_leaf.
M.READS = {
  "select", "get", "at", "find", "find_first", "exists", "count", "group",
}

for _, name in ipairs(M.READS) do
  local leaf = leaves[name]
  M[name] = function(x, h, a, b)
    return call(leaf, x, h, a, b)
  end
end

local common_ring -- of handles without a key: theirs is made up, one for the process

local function ring_of(e)
  if e.cursor_key then
    e.ring, e.cursor_key = core.keyring(e.cursor_key), nil
  else
    common_ring = common_ring or core.keyring()
    e.ring = common_ring
  end
  return e.ring
end

local MAX_NESTED = 110 -- C refuses what is deeper

-- A copy of all levels: what is asked twice has to be the same, whatever others do with
-- the tables meanwhile.
local function snapshot(v, depth)
  depth = depth or 1
  if type(v) ~= "table" or depth > MAX_NESTED or not core.filter_kind(v) then return v end
  local meta = getmetatable(v)
  if meta ~= nil and type(meta) ~= "table" then return v end
  local copy = {}
  for k, member in next, v do copy[k] = snapshot(member, depth + 1) end
  return setmetatable(copy, meta)
end

--- A page of rows, found by the place of the last row seen and not by an offset.
-- @tparam ?table filter
-- @tparam[opt] table opts order_by, limit, search = { text =, columns = }, cursor,
-- total (true: also how many rows all pages have), columns, timeout, class
-- @treturn table { rows, next, prev, limit, total }
function M.page(x, h, filter, opts)
  local e = h[7].env
  local ring = e.ring or ring_of(e)
  local counts = type(opts) == "table" and opts.total
  if counts then filter, opts = snapshot(filter), snapshot(opts) end
  local page = call(leaves.page, x, h, filter, opts, ring, e.max_limit)
  if counts then
    page.total = call(leaves.page_total, x, h, filter, opts, ring, e.max_limit)
  end
  return page
end

-- ---- inserting -------------------------------------------------------------

local BEFORE_INSERT = { "before_save", "before_insert" }
local AFTER_INSERT = { "after_insert", "after_save" }

--- Inserts with the class's hooks.
-- @tparam[opt] table inner what upserts say to the leaf (src/bind/lcrud.c); for hooks
-- that come after its `whole` is set
function M.insert_row(x, h, record, opts, inner)
  local class = hooks.class_with(h, BEFORE_INSERT, AFTER_INSERT)
  if not class then return call(leaves.insert, x, h, record, opts, inner) end
  return hooks.in_transaction(x, function(tx)
    local values = hooks.before(class, BEFORE_INSERT, record, tx)
    if not hooks.has(class, AFTER_INSERT) then
      return call(leaves.insert, tx, h, values, opts, inner)
    end
    inner = inner or {}
    inner.whole = true
    local row = call(leaves.insert, tx, h, values, opts, inner)
    if row ~= nil then hooks.after(class, AFTER_INSERT, row, tx, true) end
    return hooks.project(row, opts)
  end)
end

--- Inserts a row.
-- @tparam ?table record what it does not name has its default
-- @tparam[opt] table opts returning (false: the count; a list of columns),
-- on_conflict = "nothing" (nil when a row with the same key is there), timeout, class
-- @treturn table the row as stored
function M.insert(x, h, record, opts)
  if not h[9] then return call(leaves.insert, x, h, record, opts) end
  return M.insert_row(x, h, record, opts)
end

-- ---- updating and deleting -------------------------------------------------

local BEFORE_UPDATE = { "before_save", "before_update" }
local AFTER_UPDATE = { "after_update", "after_save" }

--- Updates the rows that match.
-- @tparam table filter an empty one is refused, unless opts.all is true
-- @tparam table values
-- @tparam[opt] table opts all, returning (true or a list of columns), timeout, class
-- @treturn integer how many; with `returning` the rows
function M.update(x, h, filter, values, opts)
  local class = h[9] and hooks.class_with(h, BEFORE_UPDATE, AFTER_UPDATE)
  if not class then return call(leaves.update, x, h, filter, values, opts) end
  return hooks.in_transaction(x, function(tx)
    local chosen = hooks.copy_filter(filter)
    local changed = hooks.before(class, BEFORE_UPDATE, values, tx, chosen)
    local result = call(leaves.update, tx, h, chosen, changed, opts)
    hooks.after(class, AFTER_UPDATE, result, tx, false)
    return result
  end)
end

local BEFORE_DELETE, AFTER_DELETE = { "before_delete" }, { "after_delete" }

--- Deletes the rows that match.
-- @tparam table filter an empty one is refused, unless opts.all is true
-- @tparam[opt] table opts all, returning (true or a list of columns), timeout, class
-- @treturn integer how many; with `returning` the rows
function M.delete(x, h, filter, opts)
  local class = h[9] and hooks.class_with(h, BEFORE_DELETE, AFTER_DELETE)
  if not class then return call(leaves.delete, x, h, filter, opts) end
  return hooks.in_transaction(x, function(tx)
    local chosen = hooks.before_filter(class, BEFORE_DELETE, filter, tx)
    local result = call(leaves.delete, tx, h, chosen, opts)
    hooks.after(class, AFTER_DELETE, result, tx)
    return result
  end)
end

return M
