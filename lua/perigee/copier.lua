--- How a COPY to the database runs: what fills it is called between its start and its
-- end, and when that raises nothing of it stays.
local core = require "perigee.core"
local wait = require "perigee.wait"

local methods = core.copy_methods
local wait_for, info = wait.leaf(methods.wait), methods.info
local put_group = methods.put_group
local number = core.crud.bulk_number
local M = {}

-- An error that is about a row says which. `number_of`, or nil: the number in the
-- user's list of what is a row here.
local function name_row(copier, err, number_of)
  if type(err) ~= "table" or getmetatable(err) ~= core.error then return end
  local _, _, row = info(copier)
  row = err.record or err.kind == "usage" and row
  if not row then return end
  if number_of then row = number_of(row) end
  if not err.record then
    err.message = ("record %d: %s"):format(row, (err.message:gsub("^record: ", "")))
  end
  err.record = row
end

-- Tells the server that nothing is to stay, and waits until it knows.
local function give_up(copier)
  core.shield(true)
  pcall(wait_for, copier, "fail")
  core.shield(false)
  copier:close()
end

--- Runs a COPY.
-- @param copier of core.copy_in
-- @tparam function fill `fill(copier)` puts rows into it, and calls send when it is full
-- @tparam ?function number_of the number of a row in the user's list
-- @treturn integer how many rows
function M.run(copier, fill, number_of)
  local ok, result = pcall(function()
    local count = wait_for(copier)
    if count then return count end -- the statement copies nothing from here
    fill(copier)
    return wait_for(copier, "end")
  end)
  if ok then return result end
  name_row(copier, result, number_of)
  give_up(copier)
  error(result, 0)
end

--- Sends what is in the copier, and waits until it takes more.
-- @tparam ?function progress called with the rows and bytes so far
function M.send(copier, progress)
  if wait_for(copier) then error(core.new_error("closed", "the COPY has ended"), 0) end
  if not progress then return end
  local rows, bytes = info(copier)
  progress(rows, bytes)
end

--- Copies one group of a plan of insert_many.
-- @tparam {string,...} columns of the group
-- @treturn integer how many rows
function M.group(x, h, columns, plan, k, timeout)
  local copier = core.copy_in(x, h, columns, timeout, true)
  return M.run(copier, function()
    local i = 0
    while true do
      i = put_group(copier, plan, k, i)
      if not i then break end
      M.send(copier)
    end
  end, function(row) return number(plan, k, row) end)
end

return M
