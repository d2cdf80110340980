-- Runs the shared specs inside nginx, and a suite of LuaUnit that is only for it:
--
--   PERIGEE_BUILD=build-luajit luajit spec/nginx/run.lua hub|relay [FILE…]
--
-- in the top of the tree. Prints TAP, the plan last.
package.path = "./?.lua;" .. package.path
local nginx = require "spec.support.nginx"
local shared = require "spec.nginx.shared"
local socket = require "socket"

local way = arg[1]
if way ~= "hub" and way ~= "relay" then
  io.stderr:write "usage: run.lua hub|relay [FILE…]\n"
  os.exit(2)
end

local LIMIT = 120 -- seconds without a line: it hangs
local count, failed = 0, 0

local function say(line)
  local word, rest = line:match "^(%l* ?ok) %- (.*)$"
  if word then
    count = count + 1
    if word == "not ok" then failed = failed + 1 end
    line = ("%s %d - %s"):format(word, count, rest)
  end
  io.write(line, "\n")
  io.flush()
end

if nginx.missing() then
  say("ok - shared specs in nginx # SKIP " .. nginx.missing())
  io.write("1..1\n")
  os.exit(0)
end

-- Asks for one file; true when it was run to its end. What the specs have started may
-- keep the connection open, so the last line counts and not its end.
local function ask(server, file, phase)
  local sock = assert(socket.connect("127.0.0.1", server.port))
  sock:settimeout(LIMIT)
  sock:send(("GET /run?way=%s&phase=%s&file=%s HTTP/1.0\r\n\r\n"):format(way, phase, file))
  repeat local line = sock:receive() until not line or line == "" or line == "\r"
  local is_over = false
  repeat
    local line = sock:receive()
    if line and line:find "^end " then
      is_over = true
    elseif line then
      say(line)
    end
  until is_over or not line
  sock:close()
  return is_over
end

local function start()
  return nginx.start {
    workers = 0,
    -- Light threads that have ended are kept for others: the specs weigh memory.
    http = "lua_thread_cache_max_entries 0; lua_socket_log_errors off;",
    locations = [[location /run {
      content_by_lua_block { require "spec.nginx.inside".serve() } }]],
  }
end

local function run(file, phase)
  local server = start()
  io.write("# ", file, " in ", phase, "\n")
  if not ask(server, file, phase) then
    say(("not ok - %s did not run to its end"):format(file))
    for line in server:log():sub(-4000):gmatch "[^\n]+" do say("  # " .. line) end
  end
  local errors = server:errors()
  server:stop()
  say((errors == "" and "ok" or "not ok") .. " - " .. file .. " leaves no alert in the log")
  for line in errors:gmatch "[^\n]+" do say("  # " .. line) end
end

if arg[2] then
  for i = 2, #arg do run(arg[i], "content") end
else
  for _, file in ipairs(shared.files) do run(file[1], file[2]) end
end
io.write(("# %d passed, %d failed\n1..%d\n"):format(count - failed, failed, count))
os.exit(failed > 0 and 1 or 0)
