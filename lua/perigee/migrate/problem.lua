--- Errors of migrations: kind "migration" with the exit status that the program ends
-- with in `exit`.
local core = require "perigee.core"

local M = {
  PENDING = 1, -- there is a difference, or something is pending
  REFUSED = 3, -- an operation that needs m:allow
  DECISION = 4, -- somebody has to decide: several heads, a rename
  LOCKED = 5, -- another runner has the lock
  FAILED = 6, -- failed on the way; can be resumed
  HISTORY = 7, -- files and database do not have the same history
}

--- The error object.
-- @tparam integer exit
-- @tparam string message
-- @tparam[opt] table fields more fields of the object
function M.new(exit, message, fields)
  local all = { exit = exit }
  for k, v in pairs(fields or {}) do all[k] = v end
  return core.new_error("migration", message, all)
end

--- Raises it, with a formatted message.
function M.raise(exit, ...)
  error(M.new(exit, string.format(...)), 0)
end

--- Is it an error object of Perigee's?
function M.is_error(err)
  return type(err) == "table" and getmetatable(err) == core.error
end

--- The message of any error value, without its kind.
function M.message(err)
  if M.is_error(err) then
    local first = err.kind == "aborted" and err.cause -- what a body has caught, and went on
    return err.message .. (M.is_error(first) and " (" .. first.message .. ")" or "")
  end
  return tostring(err)
end

--- "1 migration is", "3 migrations are".
function M.count(n)
  return n == 1 and "1 migration is" or ("%d migrations are"):format(n)
end

return M
