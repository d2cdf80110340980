-- Starts nginx with ngx_lua for specs: as the current user, in a temporary folder, on
-- a free port of 127.0.0.1, with the packages of this tree.
--
--   local why = nginx.missing()                    -- nil when it can be started
--   local server = nginx.start {
--     locations = "location /x { content_by_lua_block { ngx.say 'x' } }",
--     workers = 2,                                 -- 1; 0: one process, no master
--     http = "lua_code_cache off;",                -- more for the http block
--     main = "thread_pool x threads=1;",           -- more for the top
--     server = "listen …;",                        -- more for the server block
--     build = "/path/build-luajit",                -- PERIGEE_BUILD
--     command = "valgrind -q",                     -- before nginx
--     env = { PERIGEE_X = "1" },                   -- for os.getenv in the workers
--   }
--   nginx.start { conf = text, port = 8080 } takes a whole configuration; what a spec needs
--   to run it is added at its beginning and in its http block.
--   server.port, server.folder; server:workers() → pids; server:reload()
--   server:errors() → lines of the error log at alert and above, and crashes
--   server:stop()                                  -- QUIT, then TERM, then KILL
--
-- nginx ends with its starter, however that ends. PERIGEE_NGINX names another program
-- than the one in PATH.
local http = require "spec.support.http"

local nginx = {}

local root

local function sh(command)
  local pipe = assert(io.popen("unset LD_PRELOAD; { " .. command .. "\n} 2>&1"))
  local out = pipe:read "*a"
  pipe:close()
  return (out:gsub("%s+$", ""))
end
nginx.sh = sh

local function read_file(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read "*a"
  file:close()
  return text
end
nginx.read_file = read_file

local function write_file(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
end
nginx.write_file = write_file

local function pause(seconds)
  require "socket".sleep(seconds)
end

--- Waits until f() is true; its value, or nil after so many seconds.
local function wait_for(f, seconds)
  local limit = http.now() + seconds
  repeat
    local value = f()
    if value then return value end
    pause(0.01)
  until http.now() > limit
  return nil
end
nginx.wait_for = wait_for

-- ---- what is installed -------------------------------------------------------

local found -- { program, modules } or { why }

-- The load_module line of a module, with its full path.
local function module_line(name, folder)
  local line = sh(("cat /etc/nginx/modules-enabled/*.conf"
    .. " /usr/share/nginx/modules-available/*.conf 2>/dev/null"
    .. " | grep -m1 '^load_module .*%s'"):format(name))
  local path = line:match "^load_module%s+\"?([^;\"]+)"
  if not path then return nil end
  if path:sub(1, 1) ~= "/" then path = folder .. path:gsub("^modules", "") end
  return "load_module " .. path .. ";"
end

local function find()
  local program = sh "echo ${PERIGEE_NGINX:-$(PATH=$PATH:/usr/sbin command -v nginx)}"
  if program == "" then return { why = "nginx is not installed" } end
  local about = sh(program .. " -V")
  if about:find("lua-nginx-module", 1, true) or about:find("ngx_lua", 1, true) then
    return { program = program, modules = "" } -- OpenResty has it inside
  end
  local folder = about:match "%-%-modules%-path=(%S+)" or "/usr/lib/nginx/modules"
  local lua = module_line("ngx_http_lua_module", folder)
  if not lua then return { why = "nginx has no ngx_http_lua_module" } end
  local ndk = module_line("ndk_http_module", folder)
  return { program = program, modules = (ndk or "") .. "\n" .. lua }
end

--- Why nginx cannot be started, or nil.
function nginx.missing()
  found = found or find()
  return found.why
end

-- ---- configuration -----------------------------------------------------------

local TOP = [[
%(modules)
daemon off;
master_process %(master);
%(user)
pid %(folder)/nginx.pid;
error_log %(folder)/error.log notice;
worker_rlimit_nofile 8192;
%(env)
]]

local PATHS = [[
  access_log off;
  client_body_temp_path %(folder)/body;
  proxy_temp_path %(folder)/proxy;
  fastcgi_temp_path %(folder)/fastcgi;
  uwsgi_temp_path %(folder)/uwsgi;
  scgi_temp_path %(folder)/scgi;
]]

local CONF = TOP .. [[
worker_processes %(workers);
%(main)
events { worker_connections 4096; }
http {
]] .. PATHS .. [[
  lua_package_path "%(root)/lua/?.lua;%(root)/lua/?/init.lua;%(root)/?.lua;;";
  lua_package_cpath "%(build)/lua/?.so;;";
  %(http)
  server {
    listen 127.0.0.1:%(port) backlog=1024;
    %(server)
    %(locations)
  }
}
]]

-- Every variable of the specs, and those asked for.
local function env_lines(env)
  local lines = {}
  for line in sh("env"):gmatch "[^\n]+" do
    local name = line:match "^(PERIGEE_[%w_]+)="
    if name and not (env and env[name]) then lines[#lines + 1] = "env " .. name .. ";" end
  end
  for name, value in pairs(env or {}) do
    lines[#lines + 1] = ('env "%s=%s";'):format(name, value)
  end
  return table.concat(lines, "\n")
end

local function absolute(path)
  return path:sub(1, 1) == "/" and path or root .. "/" .. path
end

local function configure(self, options)
  local workers = options.workers or 1
  local values = {
    modules = found.modules, folder = self.folder, root = root, port = self.port,
    master = workers == 0 and "off" or "on", workers = math.max(1, workers),
    user = sh "id -u" == "0" and "user root;" or "",
    env = env_lines(options.env), main = options.main or "", http = options.http or "",
    server = options.server or "", locations = options.locations or "",
    build = absolute(options.build or os.getenv "PERIGEE_BUILD" or "build-luajit"),
  }
  local text = CONF
  if options.conf then
    text = TOP .. options.conf:gsub("load_module[^\n]*\n", "")
      :gsub("http {\n", function(line) return line .. PATHS end)
  end
  write_file(self.folder .. "/nginx.conf", (text:gsub("%%%((%w+)%)", values)))
end

-- ---- a running server --------------------------------------------------------

local Server = {}
Server.__index = Server

function Server:log()
  return read_file(self.folder .. "/error.log") or ""
end

-- Of the list of pids, those that run.
local function is_alive(pid)
  local stat = read_file("/proc/" .. pid .. "/stat")
  return stat ~= nil and stat:match "%) (%a)" ~= "Z"
end

-- Started in a shell that ends nginx when our end of the pipe is closed, even by our
-- death.
local function launch(self, command)
  local line = ("unset LD_PRELOAD; ulimit -c 0; exec 3<&0; %s %s -p F/ -c F/nginx.conf"
    .. " -e F/error.log </dev/null 3<&- >F/out 2>&1 & pid=$!; exec 0<&3; read _;"
    .. " kill -QUIT $pid 2>/dev/null; for i in 1 2 3 4 5 6 7 8 9 10; do"
    .. " kill -0 $pid 2>/dev/null || exit 0; sleep 0.2; done;"
    .. " kill -TERM $pid 2>/dev/null; sleep 1; kill -KILL $pid 2>/dev/null; wait")
    :gsub("F/", self.folder .. "/"):format(command or "", found.program)
  self.pipe = assert(io.popen(line, "w"))
end

local function is_up(self)
  local pid = (read_file(self.folder .. "/nginx.pid") or ""):match "%d+"
  if not pid or not is_alive(pid) then return false end
  self.pid = tonumber(pid)
  local sock = require "socket".connect("127.0.0.1", self.port)
  if sock then sock:close() end
  return sock ~= nil
end

--- Starts a server; raises what nginx says when it does not start.
function nginx.start(options)
  assert(not nginx.missing(), nginx.missing())
  root = root or sh "pwd"
  options = options or {}
  local folder = os.tmpname()
  os.remove(folder)
  assert(os.execute("mkdir " .. folder))
  local self = setmetatable({ folder = folder, port = options.port or http.free_port() },
    Server)
  configure(self, options)
  launch(self, options.command)
  local is_failed = false
  wait_for(function()
    is_failed = self:log():find("[emerg]", 1, true) ~= nil
    return is_failed or is_up(self)
  end, options.patience or 10)
  if is_failed or not self.pid then
    local why = self:log() .. (read_file(folder .. "/out") or "")
    self:stop()
    error("nginx did not start:\n" .. why, 0)
  end
  return self
end

function Server:get(request) return http.get(self.port, request) end
function Server:all(requests) return http.all(self.port, requests) end

--- The body of an answer that has to be 200.
function Server:body(request)
  local r = self:get(request)
  if r.status ~= 200 then
    error(("%s: %s\n%s\n%s"):format(type(request) == "table" and request.path or request,
      tostring(r.status or r.error), r.body or "", self:log():sub(-2000)), 2)
  end
  return r.body
end

function Server:signal(name, pid)
  sh(("kill -%s %d"):format(name, pid or self.pid))
end

--- The pids of the workers, those that are shutting down too.
function Server:workers()
  local list = {}
  local text = read_file(("/proc/%d/task/%d/children"):format(self.pid, self.pid))
  for pid in (text or ""):gmatch "%d+" do
    if is_alive(pid) then list[#list + 1] = tonumber(pid) end
  end
  return list
end

--- Reloads. True when new workers have started, within 10 s.
function Server:reload(seconds)
  local old = {}
  for _, pid in ipairs(self:workers()) do old[pid] = true end
  self:signal "HUP"
  return wait_for(function()
    for _, pid in ipairs(self:workers()) do
      if not old[pid] then return true end
    end
  end, seconds or 10)
end

--- True when only so many workers are left, within so many seconds.
function Server:settle(n, seconds)
  return wait_for(function() return #self:workers() == n end, seconds or 10)
end

--- Lines of the error log that no spec should leave behind.
function Server:errors()
  local lines = {}
  for line in (self.last_log or self:log()):gmatch "[^\n]+" do
    local is_bad = line:find "%[alert%]" or line:find "%[emerg%]" or line:find "%[crit%]"
      or line:find("exited on signal", 1, true)
    if is_bad and not line:find("lua_code_cache is off", 1, true) then
      lines[#lines + 1] = line
    end
  end
  return table.concat(lines, "\n")
end

--- Stops it and removes the folder; the seconds that a graceful end took, nil when it
-- was not one within so many seconds (5). The log is in last_log then.
function Server:stop(patience)
  if not self.pipe then return self.took end
  if self.pid then
    local began = http.now()
    self:signal "QUIT"
    if wait_for(function() return not is_alive(self.pid) end, patience or 5) then
      self.took = http.now() - began
    end
  end
  self.pipe:close()
  self.pipe = nil
  self.last_log = self:log()
  os.execute("rm -rf " .. self.folder)
  return self.took
end

return nginx
