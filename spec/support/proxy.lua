-- Starts the fault proxy (faultproxy.c) and sends it commands.
--
--   local proxy = require "spec.support.proxy"
--   local p = proxy.start(os.getenv "PERIGEE_TEST_PGSOCKET")
--   local db = perigee.open(p:url "postgresql://postgres:perigee@/perigee")
--   p:stall "down"; p:drop_after(100, "down"); p:clear()
--   p:stats().up
--   p:stop()
--
-- Every command of the program is a method, with _ for -. A command that is
-- refused raises. Needs nothing but a shell with mkfifo.

local proxy = {}
local methods = {}

local function quote(s)
  return "'" .. s:gsub("'", "'\\''") .. "'"
end

-- The path of a program for the tests: of the build under test, or of another
-- one. PERIGEE_FAULTPROXY and the like win.
function proxy.find(name)
  local given = os.getenv("PERIGEE_" .. name:upper())
  if given then return given end
  local under_test = os.getenv "PERIGEE_BUILD" or "build"
  for _, folder in ipairs { under_test, "build", "build-luajit" } do
    local path = folder .. "/" .. name
    local f = io.open(path, "rb")
    if f then
      f:close()
      return path
    end
  end
  error(("no %s: build it, or set PERIGEE_%s"):format(name, name:upper()), 3)
end

-- Sends one line; returns what follows "ok".
function methods:send(line)
  assert(self.commands, "the proxy is stopped")
  self.commands:write(line, "\n")
  self.commands:flush()
  local answer = self.answers:read "*l" or "error the proxy has ended"
  local rest = answer:match "^ok ?(.*)"
  if not rest then error("faultproxy: " .. line .. ": " .. answer, 2) end
  return rest
end

function methods:stats()
  local out = {}
  for name, n in self:send("stats"):gmatch "(%w+)=(%d+)" do
    out[name] = tonumber(n)
  end
  return out
end

function methods:stop()
  if not self.commands then return end
  -- The end of its input would end it too, but for programs that were started
  -- later and have inherited our end.
  pcall(self.send, self, "quit")
  self.commands:close()
  self.answers:close()
  self.commands = nil
  os.remove(self.fifo)
end

-- The same URL, through the proxy.
function methods:url(url)
  local scheme, user, rest = url:match "^([%w+]+://)([^@/]*@)(.*)$"
  if not scheme then
    scheme, rest = url:match "^([%w+]+://)(.*)$"
    user = ""
  end
  local path, query = rest:match "^[^/?]*(/?[^?]*)%??(.*)$"
  local kept = {}
  for pair in query:gmatch "[^&]+" do
    if not pair:match "^host=" and not pair:match "^port=" and not pair:match "^socket=" then
      kept[#kept + 1] = pair
    end
  end
  local at = self.address
  if self.address:find("/", 1, true) then
    local dir, port = self.address:match "^(.*)/%.s%.PGSQL%.(%d+)$"
    at = ""
    kept[#kept + 1] = "host=" .. dir
    kept[#kept + 1] = "port=" .. port
  end
  query = #kept > 0 and "?" .. table.concat(kept, "&") or ""
  return scheme .. user .. at .. path .. query
end

local names = [[stall resume drop_after slice delay reset fin half_open
  blackhole refuse listen corrupt swallow pooler clear]]
for name in names:gmatch "%S+" do
  methods[name] = function(self, a, b)
    local words = { (name:gsub("_", "-")) }
    words[2] = a ~= nil and tostring(a) or nil
    words[3] = b ~= nil and tostring(b) or nil
    return self:send(table.concat(words, " "))
  end
end

local count = 0

-- `target`: a socket path or host:port. `listen`: likewise; by default a free
-- port of 127.0.0.1. A path that ends in .s.PGSQL.PORT serves libpq.
function proxy.start(target, listen)
  count = count + 1
  local fifo = os.tmpname()
  os.remove(fifo)
  fifo = fifo .. "." .. count
  local program = proxy.find "faultproxy"
  local made = os.execute("mkfifo -m 600 " .. quote(fifo))
  assert(made == true or made == 0, "mkfifo failed")
  local answers = assert(io.popen(
    "exec " .. quote(program) .. " " .. quote(listen or "127.0.0.1:0") .. " "
      .. quote(target) .. " < " .. quote(fifo), "r"))
  local commands = assert(io.open(fifo, "w"))
  local first = answers:read "*l"
  local address = first and first:match "^listening (.*)"
  if not address then
    commands:close()
    answers:close()
    os.remove(fifo)
    error("the proxy did not start", 2)
  end
  local port = address:match ":(%d+)$"
  return setmetatable({
    address = address,
    port = port and tonumber(port),
    fifo = fifo,
    answers = answers,
    commands = commands,
  }, { __index = methods })
end

return proxy
