-- A small HTTP client for specs: many requests at once, in one process, each on a
-- connection of its own. It speaks HTTP/1.0, so that a response ends with its
-- connection; a response that is shorter than it says is an error.
--
--   local r = http.get(port, "/hello")          -- r.status, r.body, r.headers, r.seconds
--   local list = http.all(port, { "/a", { path = "/b", method = "POST", body = "x" } })
--
-- A request is a path or { path =, method =, body =, headers = { … }, abort = seconds,
-- limit = seconds }: abort closes the connection that long after it was sent, whatever
-- has come; limit (20) is how long it may take. A response that did not come has
-- `error` instead of `status`.
local socket = require "socket"

local http = {}

http.now = socket.gettime

local function text_of(request)
  local method = request.method or (request.body and "POST" or "GET")
  local lines = { ("%s %s HTTP/1.0"):format(method, request.path), "Host: localhost" }
  for name, value in pairs(request.headers or {}) do
    lines[#lines + 1] = name .. ": " .. value
  end
  if request.body then lines[#lines + 1] = "Content-Length: " .. #request.body end
  return table.concat(lines, "\r\n") .. "\r\n\r\n" .. (request.body or "")
end

-- What came, as a response.
local function parse(text)
  local head, body = text:match "^(.-)\r\n\r\n(.*)$"
  local status = head and head:match "^HTTP/1%.[01] (%d%d%d)"
  if not status then return { error = "no response, but " .. #text .. " bytes" } end
  local headers = {}
  for name, value in head:gmatch "\r\n([^:\r\n]+):%s*([^\r\n]*)" do
    headers[name:lower()] = value
  end
  local length = tonumber(headers["content-length"])
  if length and length ~= #body then
    return { error = ("%d of %d bytes came"):format(#body, length) }
  end
  return { status = tonumber(status), body = body, headers = headers }
end

-- ---- one request -------------------------------------------------------------

local Fetch = {}
Fetch.__index = Fetch

local function start(port, request)
  if type(request) == "string" then request = { path = request } end
  local sock = assert(socket.tcp())
  sock:settimeout(0)
  local now = http.now()
  local self = setmetatable({ request = request, sock = sock, text = text_of(request),
    sent = 0, parts = {}, began = now, over = now + (request.limit or 20) }, Fetch)
  local ok, why = sock:connect("127.0.0.1", port)
  if not ok and why ~= "timeout" then self:finish { error = why } end
  return self
end

function Fetch:finish(response)
  self.sock:close()
  self.response = response
  response.seconds = http.now() - self.began
  response.request = self.request
end

function Fetch:write()
  local last, why, partial = self.sock:send(self.text, self.sent + 1)
  self.sent = last or partial or self.sent
  if why and why ~= "timeout" then return self:finish { error = "send: " .. why } end
  if self.sent < #self.text then return end
  if self.request.abort then self.over = http.now() + self.request.abort end
  self.is_sent = true
end

function Fetch:read()
  local part, why, partial = self.sock:receive(65536)
  local piece = part or partial
  if piece and piece ~= "" then self.parts[#self.parts + 1] = piece end
  if why == "closed" then
    self:finish(parse(table.concat(self.parts)))
  elseif why and why ~= "timeout" then
    self:finish { error = "receive: " .. why }
  end
end

-- Ended by its time?
function Fetch:check(now)
  if now < self.over then return end
  if self.is_sent and self.request.abort then return self:finish { aborted = true } end
  self:finish { error = "no answer within " .. (self.request.limit or 20) .. " s" }
end

-- ---- many --------------------------------------------------------------------

local function wait(running)
  local readers, writers, by_sock = {}, {}, {}
  for fetch in pairs(running) do
    by_sock[fetch.sock] = fetch
    local list = fetch.is_sent and readers or writers
    list[#list + 1] = fetch.sock
  end
  local readable, writable = socket.select(readers, writers, 0.005)
  for _, sock in ipairs(writable) do by_sock[sock]:write() end
  for _, sock in ipairs(readable) do by_sock[sock]:read() end
end

--- Sends requests, so many at a time, as long as next() gives one; done(response) for
-- each. tick(), when given, is called all the time.
-- @param crowd { port, width, next, done, tick }
function http.crowd(crowd)
  local running, n, more = {}, 0, true
  repeat
    while more and n < crowd.width do
      local request = crowd.next()
      if request == nil then more = false break end
      running[start(crowd.port, request)] = true
      n = n + 1
    end
    wait(running)
    local now = http.now()
    for fetch in pairs(running) do
      if not fetch.response then fetch:check(now) end
      if fetch.response then
        running[fetch] = nil
        n = n - 1
        crowd.done(fetch.response)
      end
    end
    if crowd.tick then crowd.tick() end
  until n == 0 and not more
end

--- Sends all of them at once. The responses in the order of the requests.
function http.all(port, requests)
  local list, place, i = {}, {}, 0
  for at, request in ipairs(requests) do
    if type(request) == "string" then request = { path = request } end
    list[at] = request
    place[request] = at
  end
  local responses = {}
  http.crowd {
    port = port, width = math.max(1, #list),
    next = function()
      i = i + 1
      return list[i]
    end,
    done = function(response) responses[place[response.request]] = response end,
  }
  return responses
end

--- One request.
function http.get(port, request)
  return http.all(port, { request })[1]
end

--- The same request n times, in a list for http.all.
function http.times(n, path)
  local list = {}
  for i = 1, n do list[i] = { path = path } end
  return list
end

--- A port of 127.0.0.1 where nobody listens.
function http.free_port()
  local sock = assert(socket.bind("127.0.0.1", 0))
  local _, port = sock:getsockname()
  sock:close()
  return tonumber(port)
end

return http
