-- A chat with a log, on luv: a TCP server that passes each line on to all who are
-- there, and stores it; who comes later is told what was said.
--
--   lua5.4 chat.lua URL 7000     serves; nc 127.0.0.1 7000
--   lua5.4 chat.lua URL          two clients talk on a free port, and it ends
--
-- URL is the database's. A callback of luv cannot be suspended: each client gets a
-- coroutine, which reads lines and stores them. A call that waits suspends that one
-- alone.
local uv = require "luv"
local perigee = require "perigee"

local url, port = arg[1] or "sqlite:chat.db", tonumber(arg[2])
local LAST = 20 -- so many lines are told to who comes

-- No loop runs yet: this blocks.
local db = perigee.open(url, { max_size = 4 })
db:script(port and "" or "drop table if exists messages")
db:script [[create table if not exists messages (
  id bigint primary key, author varchar(40) not null, line text not null)]]
local messages = db:table "messages"
local last_id = db:value "select coalesce(max(id), 0) from messages"

-- ---- lines in coroutines -------------------------------------------------------

-- Calls fn(read) in a coroutine; read() gives the next line of the socket, or nil.
local function with_lines(socket, fn)
  local buffer, waiting, ended = "", nil, false

  local function read()
    while true do
      local line, rest = buffer:match "^([^\r\n]*)\r?\n(.*)$"
      if line then
        buffer = rest
        return line
      end
      if ended then return nil end
      waiting = coroutine.running()
      coroutine.yield()
    end
  end

  socket:read_start(function(err, data)
    if data then buffer = buffer .. data else ended = true end
    if err then ended = true end
    local co = waiting
    waiting = nil
    if co then assert(coroutine.resume(co)) end
  end)
  coroutine.wrap(fn)(read)
end

-- ---- the server ----------------------------------------------------------------

local clients = {}

local function say(author, line)
  last_id = last_id + 1
  messages:insert { id = last_id, author = author, line = line }
  for socket in pairs(clients) do socket:write(author .. ": " .. line .. "\n") end
end

local function serve(socket)
  with_lines(socket, function(read)
    local author = read()
    if author then
      local log = messages:select({}, { order_by = "-id", limit = LAST })
      for i = #log, 1, -1 do
        socket:write(("(%s: %s)\n"):format(log[i].author, log[i].line))
      end
      clients[socket] = true
      socket:write("welcome\n")
      for line in read do say(author, line) end
    end
    clients[socket] = nil
    socket:close()
  end)
end

local server = uv.new_tcp()
assert(server:bind("127.0.0.1", port or 0))
assert(server:listen(16, function(err)
  assert(not err, err)
  local socket = uv.new_tcp()
  server:accept(socket)
  serve(socket)
end))

-- ---- two clients ---------------------------------------------------------------

-- talk(read, write, close) in a coroutine of its own.
local function client(name, talk)
  local socket = uv.new_tcp()
  socket:connect("127.0.0.1", server:getsockname().port, function(err)
    assert(not err, err)
    socket:write(name .. "\n")
    with_lines(socket, function(read)
      local function listen()
        local line = read()
        print(name .. " reads " .. line)
      end
      talk(listen, function(line) socket:write(line .. "\n") end)
      socket:close()
    end)
  end)
end

local function talk()
  client("Ada", function(listen, write)
    listen()
    write "good evening"
    listen()
    client("Bo", function(listen_too, write_too)
      listen_too()
      listen_too()
      write_too "hello Ada"
      listen_too()
      server:close()
    end)
    listen()
  end)
end

if port then
  print(("listening on 127.0.0.1:%d"):format(port))
else
  talk()
end
uv.run() -- ends when the server is closed and all have gone
print(messages:select({}, { order_by = "id" }))
db:close()
