--- copy_in where there is no COPY: the rows are inserted by a prepared statement, all in
-- one transaction, and what is absent is NULL as it is there.
local bulk = require "perigee.bulk"
local core = require "perigee.core"
local transaction = require "perigee.transaction"
local util = require "perigee.util"

local usage = util.usage
local M = {}

local CHUNK_ROWS = 500

-- The row with number `n` as a record of all the columns, whose set is `names`.
local function record_of(row, n, columns, names)
  if type(row) ~= "table" then
    usage("record %d: a record is a table of columns, not %s", n, type(row))
  end
  local record = {}
  for i, name in ipairs(columns) do
    local v = rawget(row, name)
    if v == nil then v = rawget(row, i) end
    record[name] = v == nil and core.null or v
    if v == false then record[name] = false end
  end
  for k in next, row do
    if not names[k] and not (type(k) == "number" and k <= #columns) then
      usage("record %d: %s is not among the columns that are copied", n, tostring(k))
    end
  end
  return record
end

-- Messages count from the chunk's first record.
local function number(err, before)
  if type(err) == "table" and type(err.message) == "string" then
    err.message = err.message:gsub("^record (%d+)", function(n)
      err.record = before + tonumber(n)
      return ("record %d"):format(err.record)
    end)
  end
  return err
end

local function insert(tx, h, list, before)
  local ok, err = pcall(bulk.insert_many, tx, h, list, { returning = false })
  if not ok then error(number(err, before), 0) end
  return before + #list
end

--- Inserts the rows that `next_row` gives.
-- @tparam {string,...} columns
-- @tparam function next_row
-- @tparam ?function progress
-- @treturn integer how many
function M.rows(x, h, columns, next_row, progress)
  local names = {}
  for _, name in ipairs(columns) do names[name] = true end
  return transaction.transaction(x, function(tx)
    local list, count = {}, 0
    for row in next_row do
      list[#list + 1] = record_of(row, count + #list + 1, columns, names)
      if #list == CHUNK_ROWS then
        count, list = insert(tx, h, list, count), {}
        if progress then progress(count, 0) end
      end
    end
    if #list > 0 then count = insert(tx, h, list, count) end
    return count
  end)
end

return M
