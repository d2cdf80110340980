--- How the program tells of errors: one clear line, where it was in the script,
-- and the exit status.
local core = require "perigee.core"

local M = {
  USAGE = 2, CONNECT = 8, SCRIPT = 9, INTERRUPTED = 130,
}

local SQL_SHOWN = 200
local MAX_TRACE = 1000 -- a recursion without end is deep
local EMBEDDED = "^@embedded:"

-- Errors that are tables, and where they were raised. Of the others only the last
-- is remembered.
local traces = setmetatable({}, { __mode = "k" })
local last = {}

--- Writes "perigee: …" to standard error, after what standard output has.
function M.say(fmt, ...)
  io.stdout:flush()
  io.stderr:write("perigee: ", fmt:format(...), "\n")
end

--- Is it an error object of Perigee's?
function M.is_error(err)
  return type(err) == "table" and getmetatable(err) == core.error
end

--- The error in one line, and what more it says (a module that is not found
-- names a line for each place that was searched).
-- @treturn string
-- @treturn string the other lines, or ""
function M.line(err)
  local kind = type(err)
  if kind == "nil" then return "the error is nil", "" end
  if kind ~= "string" and kind ~= "number" then
    local mt = getmetatable(err)
    if type(mt) ~= "table" or not mt.__tostring then
      return ("(error object is a %s value)"):format(kind), ""
    end
  end
  local ok, text = pcall(tostring, err)
  if not ok then return "(error object that cannot be shown)", "" end
  if M.is_error(err) then text = text:gsub("  +", " ") end
  return text:match "^%s*([^\n]*)\n?(.*)$"
end

-- ---- where -----------------------------------------------------------------

local function describe(info)
  local where = info.short_src .. ":" .. info.currentline
  if info.what == "main" then return where .. ": in the main chunk" end
  if info.name then return ("%s: in %s"):format(where, info.name) end
  return ("%s: in a function of line %d"):format(where, info.linedefined)
end

--- The callers, innermost first, without Perigee's own and those in C.
-- @tparam integer level where to begin, as for debug.getinfo
-- @treturn {string,...}
function M.trace(level)
  local out = {}
  local info = debug.getinfo(level, "Sln")
  while info and #out < MAX_TRACE do
    if info.currentline > 0 and not info.source:find(EMBEDDED) then
      out[#out + 1] = describe(info)
    end
    level = level + 1
    info = debug.getinfo(level, "Sln")
  end
  return out
end

--- A message handler that remembers where an error was raised: the place nearest
-- to the mistake, however often it is raised again on its way up.
function M.remember(err)
  if type(err) == "table" then
    if not traces[err] then traces[err] = M.trace(3) end
  elseif last.err ~= err or err == nil then
    last.err, last.trace = err, M.trace(3)
  end
  return err
end

--- A pcall that remembers.
function M.guard(fn, ...)
  return xpcall(fn, M.remember, ...)
end

local function trace_of(err)
  if type(err) == "table" then return traces[err] or {} end
  return last.err == err and last.trace or {}
end

--- Where an error that was remembered was raised, a line each; nil: not known.
function M.trace_text(err)
  local lines = trace_of(err)
  return #lines > 0 and table.concat(lines, "\n") or nil
end

-- ---- telling ---------------------------------------------------------------

local function tell_field(name, text)
  if not text then return end
  text = text:gsub("%s+", " "):gsub("^ ", "")
  if #text > SQL_SHOWN then text = text:sub(1, SQL_SHOWN) .. " …" end
  io.stderr:write("  ", name, ": ", text, "\n")
end

--- Writes what the database told besides the message, a line for each.
function M.tell_fields(err)
  tell_field("detail", err.detail)
  tell_field("hint", err.hint)
  tell_field("sql", err.sql)
end

--- Tells of an error that nobody has caught.
function M.report(err)
  local line, more = M.line(err)
  M.say("%s", line)
  for text in more:gmatch "[^\n]+" do
    io.stderr:write("  ", (text:gsub("^%s+", "")), "\n")
  end
  if M.is_error(err) then M.tell_fields(err) end
  local lines = trace_of(err)
  for i = 1, math.min(#lines, 20) do io.stderr:write("  ", lines[i], "\n") end
  if #lines > 20 then
    io.stderr:write(("  … and %d more\n"):format(#lines - 20))
  end
end

--- The exit status for an error that nobody has caught.
function M.status(err)
  if M.is_error(err) and (err.kind == "connect" or err.kind == "auth") then
    return M.CONNECT
  end
  return M.SCRIPT
end

return M
