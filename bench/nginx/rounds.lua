-- Runs wrk against nginx in alternating rounds and prints medians; bench/nginx/run calls
-- it with servers that are running.
--
--   rounds.lua SETTINGS, a Lua file that returns
--     rounds, json, clients: a list of numbers of connections of wrk
--     servers: { { name =, port =, worker = pid }, … }: the last but one is the peer
--     peer: its name, or nil;  postgres: the pid of the server;  missing: a text
local settings = dofile(arg[1])

local function read(path)
  local file = assert(io.open(path))
  local text = file:read "*a"
  file:close()
  return text
end

-- Clock ticks, of a process with all its threads.
local TICK = 0.01
local function cpu_of(pid)
  local fields = read(("/proc/%d/stat"):format(pid)):match "%) (.*)$"
  local list = {}
  for word in fields:gmatch "%S+" do list[#list + 1] = word end
  return (list[12] + list[13]) * TICK
end

-- All of the machine but its idle time.
local function busy()
  local list = {}
  for word in read("/proc/stat"):match "^cpu +([^\n]+)":gmatch "%d+" do
    list[#list + 1] = tonumber(word)
  end
  return (list[1] + list[2] + list[3] + list[6] + list[7]) * TICK
end

local UNITS = { us = 1e-3, ms = 1, s = 1e3 }

local function sample(server, clients)
  local cpu = cpu_of(server.worker)
  local machine = busy()
  local pipe = assert(io.popen(("wrk -t1 -c%d -d1s --latency http://127.0.0.1:%d/")
    :format(clients, server.port)))
  local text = pipe:read "*a"
  pipe:close()
  cpu = cpu_of(server.worker) - cpu
  local n = tonumber(text:match "(%d+) requests in")
  local rate = tonumber(text:match "Requests/sec:%s*([%d.]+)")
  local p99, unit = text:match "99%%%s+([%d.]+)(%a+)"
  if not n or n == 0 or text:find "Non%-2xx" or text:find "Socket errors" then
    error(server.name .. ":\n" .. text, 0)
  end
  return { rate = rate, cpu = cpu / n * 1e6, p99 = tonumber(p99) * UNITS[unit],
    machine = (busy() - machine) / n * 1e6 }
end

local function median(list)
  table.sort(list)
  local n = #list
  if n % 2 == 1 then return list[(n + 1) / 2] end
  return (list[n / 2] + list[n / 2 + 1]) / 2
end

local function medians(samples)
  local result = {}
  for _, key in ipairs { "rate", "cpu", "p99", "machine", "ratio" } do
    local list = {}
    for _, s in ipairs(samples) do list[#list + 1] = s[key] end
    if #list > 0 then result[key] = median(list) end
  end
  local lowest, highest = math.huge, 0
  for _, s in ipairs(samples) do
    lowest, highest = math.min(lowest, s.rate), math.max(highest, s.rate)
  end
  result.lowest, result.highest = lowest, highest
  return result
end

-- All rounds for a number of clients: { [name] = medians }.
local function measure(clients)
  local samples = {}
  for _, server in ipairs(settings.servers) do samples[server.name] = {} end
  for round = 1, settings.rounds do
    local order = {}
    for i, server in ipairs(settings.servers) do
      order[round % 2 == 1 and i or #settings.servers + 1 - i] = server
    end
    local this = {}
    for _, server in ipairs(order) do
      this[server.name] = sample(server, clients)
      table.insert(samples[server.name], this[server.name])
    end
    local peer = settings.peer and this[settings.peer]
    for _, s in pairs(this) do s.ratio = peer and s.rate / peer.rate end
  end
  local result = {}
  for name, list in pairs(samples) do result[name] = medians(list) end
  return result
end

local function print_json(clients, result)
  for _, server in ipairs(settings.servers) do
    local m = result[server.name]
    print(('{"clients":%d,"name":"%s","rate":%.0f,"cpu_us":%.2f,"p99_ms":%.3f,"ratio":%s}')
      :format(clients, server.name, m.rate, m.cpu, m.p99,
        m.ratio and ("%.3f"):format(m.ratio) or "null"))
  end
end

local function print_table(clients, result)
  print(("\n== look-up as JSON in nginx, %d clients, %d rounds of 1 s")
    :format(clients, settings.rounds))
  print(("%-16s %9s %19s %12s %10s %9s %12s"):format("", "req/s", "lowest…highest",
    "CPU us/req", "less hello", "p99 ms", settings.peer and "of " .. settings.peer or ""))
  local hello = result.hello
  for _, server in ipairs(settings.servers) do
    local m = result[server.name]
    print(("%-16s %9.0f %9.0f…%9.0f %12.1f %10.1f %9.2f %12s"):format(server.name, m.rate,
      m.lowest, m.highest, m.cpu, m.cpu - hello.cpu, m.p99,
      m.ratio and ("× %.2f"):format(m.ratio) or ""))
  end
end

for _, server in ipairs(settings.servers) do -- connects, and warms up
  sample(server, 16)
end
for _, clients in ipairs(settings.clients) do
  local result = measure(clients)
  if settings.json then print_json(clients, result) else print_table(clients, result) end
end
if settings.missing ~= "" then print("\nnot compared: " .. settings.missing) end
