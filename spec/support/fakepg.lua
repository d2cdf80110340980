-- Starts the scripted server (fakepg.c), and makes the messages that it sends.
--
--   local pg = require "spec.support.fakepg"
--   local server = pg.start(pg.hello .. "await Q\n" .. pg.send(pg.ready "I"))
--   local db = perigee.open(server.url)
--   server:stop()

local pg = {}
local methods = {}

-- ---- bytes ----------------------------------------------------------------

function pg.int16(n)
  n = n % 2 ^ 16
  return string.char(math.floor(n / 256), n % 256)
end

function pg.int32(n)
  n = n % 2 ^ 32
  return pg.int16(math.floor(n / 2 ^ 16)) .. pg.int16(n % 2 ^ 16)
end

-- A message with its length, or with a length that is not its own.
function pg.message(type, body, length)
  return type .. pg.int32(length or #body + 4) .. body
end

local message, int16, int32 = pg.message, pg.int16, pg.int32

function pg.ready(state)
  return message("Z", state or "I")
end

function pg.parameter(name, value)
  return message("S", name .. "\0" .. value .. "\0")
end

-- Columns: { name, type's OID, … }.
function pg.description(columns, format)
  local out = { int16(#columns / 2) }
  for i = 1, #columns, 2 do
    out[#out + 1] = columns[i] .. "\0" .. int32(0) .. int16(0)
      .. int32(columns[i + 1]) .. int16(-1) .. int32(-1) .. int16(format or 0)
  end
  return message("T", table.concat(out))
end

-- A row; false is NULL.
function pg.row(...)
  local out = { int16(select("#", ...)) }
  for i = 1, select("#", ...) do
    local v = select(i, ...)
    out[#out + 1] = v and int32(#v) .. v or int32(-1)
  end
  return message("D", table.concat(out))
end

function pg.complete(tag)
  return message("C", tag .. "\0")
end

local function report(type, severity, sqlstate, text)
  return message(type, ("S%s\0V%s\0C%s\0M%s\0\0"):format(
    severity, severity, sqlstate, text))
end

function pg.error(sqlstate, text, severity)
  return report("E", severity or "ERROR", sqlstate, text)
end

function pg.notice(text)
  return report("N", "NOTICE", "00000", text)
end

function pg.notification(channel, payload)
  return message("A", int32(7) .. channel .. "\0" .. payload .. "\0")
end

-- ---- lines of the script --------------------------------------------------

local function hex(bytes)
  return (bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

function pg.send(...)
  return "send " .. hex(table.concat { ... }) .. "\n"
end

function pg.flood(times, bytes)
  return ("flood %d %s\n"):format(times, hex(bytes))
end

-- All that comes before the first statement.
pg.greeting = message("R", int32(0))
  .. pg.parameter("server_version", "15.0")
  .. pg.parameter("client_encoding", "UTF8")
  .. pg.parameter("DateStyle", "ISO, MDY")
  .. pg.parameter("IntervalStyle", "postgres")
  .. pg.parameter("standard_conforming_strings", "on")
  .. message("K", int32(4711) .. int32(815)) .. pg.ready "I"
pg.hello = "startup\n" .. pg.send(pg.greeting)

-- What a Parse and Describe of a statement without parameters is answered.
function pg.prepared(columns)
  return "await S\n" .. pg.send(message("1", ""), message("t", int16(0)),
    columns and pg.description(columns) or message("n", ""), pg.ready "I")
end

-- ---- the program ----------------------------------------------------------

function methods:stop()
  if not self.pipe then return end
  os.execute("kill " .. self.pid .. " 2>/dev/null")
  self.pipe:close()
  self.pipe = nil
  os.remove(self.path)
end

-- Another script, for the connections to come.
function methods:script(text)
  local f = assert(io.open(self.path, "wb"))
  f:write(text)
  f:close()
end

function pg.start(script)
  local self = setmetatable({ path = os.tmpname() }, { __index = methods })
  self:script(script)
  local program = require "spec.support.proxy".find "fakepg"
  self.pipe = assert(io.popen(("exec '%s' '%s'"):format(program, self.path)))
  local line = self.pipe:read "*l" or ""
  self.port, self.pid = line:match "^listening (%d+) (%d+)$"
  assert(self.port, "fakepg did not start")
  self.url = "postgresql://app:secret@127.0.0.1:" .. self.port
    .. "/app?sslmode=disable&pipeline=0" -- no question about a pooler
  return self
end

return pg
