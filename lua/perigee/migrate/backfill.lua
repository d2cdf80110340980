--- backfill: an UPDATE in batches along a key, each in a short transaction with its
-- progress in the journal. It goes on after the last key that was reached.
local task = require "perigee.task"
local util = require "perigee.util"

local usage = util.usage
local M = {}

local BATCH = 5000
local NEVER = { timeout = math.huge }

-- ---- SQL -------------------------------------------------------------------

local function value_sql(dialect, v)
  if type(v) ~= "table" then return dialect.literal(v) end
  return v.sql or dialect.literal(v.value)
end

local function update_sql(op, dialect)
  local names, list = {}, {}
  for name in pairs(op.set) do names[#names + 1] = name end
  table.sort(names)
  for i, name in ipairs(names) do
    list[i] = dialect.quote(name) .. " = " .. value_sql(dialect, op.set[name])
  end
  return ("UPDATE %s SET "):format(dialect.qualified(op.schema, op.table))
    .. table.concat(list, ", ")
end

local function key_of(x, op)
  if op.key then return type(op.key) == "table" and op.key[1] or op.key end
  local pk = x:table({ schema = op.schema, name = op.table }).pk
  if not pk then
    usage("backfill of %s: the table has no primary key; name a column by key", op.table)
  end
  return pk[1]
end

-- " WHERE a AND b" of the conditions that are there.
local function where_sql(...)
  local list = {}
  for i = 1, select("#", ...) do
    local condition = select(i, ...)
    if condition then list[#list + 1] = condition end
  end
  return #list > 0 and " WHERE " .. table.concat(list, " AND ") or ""
end

-- What the batches send: each a function of "is there a lower bound". Bounds travel
-- as text, which the database reads as the type of the column.
local function statements(x, op, dialect)
  local key = dialect.quote(key_of(x, op))
  local where = op.where and "(" .. op.where .. ")" or nil
  local update = update_sql(op, dialect)
  -- PostgreSQL would order by the text if the column and it had the same name
  local function pick(from, order)
    return ("SELECT CAST(%s AS %s) AS perigee_key FROM "):format(key, dialect.text or "TEXT")
      .. dialect.qualified(op.schema, op.table)
      .. where_sql(from and key .. " > ?" or key .. " IS NOT NULL", where)
      .. " ORDER BY " .. key .. order
  end
  return {
    bound = function(from)
      return pick(from, " LIMIT 1 OFFSET " .. ("%d"):format((op.batch or BATCH) - 1))
    end,
    last = function(from) return pick(from, " DESC LIMIT 1") end,
    update = function(from)
      return update .. where_sql(key .. " <= ?", from and key .. " > ?", where)
    end,
    rest = update .. where_sql(key .. " IS NULL", where),
  }
end

-- ---- batches ---------------------------------------------------------------

-- One batch after `from`: the key that it reached and its rows, or nil at the end.
local function batch(x, sql, from)
  local after = from and { from } or {}
  local upper = x:value(sql.bound(from), after, NEVER)
    or x:value(sql.last(from), after, NEVER)
  if not upper then return nil end
  local result = x:execute(sql.update(from), from and { upper, from } or { upper }, NEVER)
  return upper, result.affected or 0
end

--- Runs all batches.
-- @tparam perigee.exec x
-- @tparam table op
-- @tparam table o dialect, from (the key reached before, or nil), each(fn) (runs
-- fn(executor) as one transaction, with what retries there are), progress(executor,
-- key) inside of it, told(rows, batches) after it, in_transaction (no pauses then)
-- @treturn integer rows
function M.run(x, op, o)
  local sql = statements(x, op, o.dialect)
  local from, rows, batches = o.from, 0, 0
  while true do
    local upper, count
    o.each(function(tx)
      upper, count = batch(tx, sql, from)
      if upper then o.progress(tx, upper) end
    end)
    if not upper then break end
    from, rows, batches = upper, rows + count, batches + 1
    o.told(rows, batches)
    if op.pause and op.pause > 0 and not o.in_transaction then task.sleep(op.pause) end
  end
  o.each(function(tx)
    rows = rows + (tx:execute(sql.rest, {}, NEVER).affected or 0)
  end)
  return rows
end

--- For an offline script: the whole as one statement.
function M.offline(op, dialect)
  return update_sql(op, dialect) .. where_sql(op.where and "(" .. op.where .. ")")
end

return M
