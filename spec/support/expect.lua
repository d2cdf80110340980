-- What the specs about transactions, tasks and the pool share.
local perigee = require "perigee"
local helper = require "spec.support.helper"

local M = {}

-- Runs f(...), which must raise an error of this kind; the error.
function M.fails(kind, f, ...)
  local ok, err = pcall(f, ...)
  if ok then error("no error, but " .. kind .. " was expected", 2) end
  if type(err) ~= "table" or err.kind ~= kind then
    error(("%s was expected, not %s"):format(kind, tostring(err)), 2)
  end
  return err
end

-- Waits until f() is true; returns what it gave.
function M.eventually(f, seconds)
  for _ = 1, helper.patience(seconds or 5) * 100 do
    local v = f()
    if v then return v end
    perigee.sleep(0.01)
  end
  error("it never became true", 2)
end

-- Lets the other tasks run until they all wait.
function M.settle()
  for _ = 1, 20 do perigee.sleep(0) end
end

-- The URL of a mock database with this script.
function M.mock(script, params)
  local text = script:gsub("[^%w]", function(c)
    return ("%%%02X"):format(c:byte())
  end)
  return "mock:spec?script=" .. text .. (params and "&" .. params or "")
end

-- What is in use, cleaned or waited for: 0 when nothing leaked.
function M.busy(db)
  local s = db:stats()
  return s.in_use + s.waiting + s.cleaning
end

-- Everything came back within five seconds.
function M.idle(db)
  collectgarbage()
  M.eventually(function() return M.busy(db) == 0 end, 6)
end

return M
