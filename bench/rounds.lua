-- Runs the programs of all workloads in alternating rounds and prints medians.
-- bench/run calls it; see there for the options.
--
--   rounds.lua SETTINGS, where SETTINGS is a Lua file that returns a table:
--     rounds, scale, only, json, luas (names), pin
--     env[lua]: what a shell needs before a Lua program
--     postgres, sqlite: URLs;  file: SQLite's file;  limits: folder of the C programs
--     python: what a shell needs before a peer's program
--     missing[driver]: the package without which there is no peer
local settings = dofile(arg[1])

local function quote(s) return "'" .. s:gsub("'", "'\\''") .. "'" end

-- ---- what is run -----------------------------------------------------------

-- `limits` are C programs' workloads; the first is the limit. `check` names the one
-- whose checksum the Lua programs have to get too; without it all have the weight
-- of their own kind. `count` is for a run of about a second.
local WORKLOADS = {
  { name = "lookup", script = "lookups.lua", title = "look-ups, 1 connection",
    limits = { "lookup" }, count = { postgres = 40000, sqlite = 300000 },
    check = "lookup" },
  { name = "lookup8", script = "lookups.lua",
    title = "look-ups, 64 tasks, 8 connections",
    limits = { "lookup8" }, count = { postgres = 64000, sqlite = 300032 },
    check = "lookup8" },
  { name = "read", script = "reads.lua", title = "reads of 1,000 rows",
    limits = { "read", "read-convert" }, count = { postgres = 800, sqlite = 800 },
    check = "read-convert" },
  { name = "each", script = "streams.lua", title = "1,000,000 rows by each",
    limits = { postgres = { "single" }, sqlite = { "stream" } },
    count = { postgres = 1000000, sqlite = 1000000 } },
  { name = "fetch", script = "streams.lua",
    title = "1,000,000 rows by each in a transaction",
    limits = { postgres = { "fetch" }, sqlite = { "stream" } },
    count = { postgres = 1000000, sqlite = 1000000 } },
  { name = "query", script = "streams.lua", title = "200,000 rows by query",
    limits = { postgres = { "whole" }, sqlite = { "stream" } },
    count = { postgres = 200000, sqlite = 200000 } },
}

-- The verbs on tables. They have peers, too.
local PEERS = { postgres = "asyncpg", sqlite = "aiosqlite" }

local function add_crud(name, title, postgres, sqlite)
  WORKLOADS[#WORKLOADS + 1] = { name = name, script = "crud.lua", title = title,
    limits = { name }, family = "crud", check = name, peers = PEERS,
    count = { postgres = postgres, sqlite = sqlite } }
end
add_crud("insert", "insert of one row", 8000, 40000)
add_crud("insert_many", "insert_many of 100,000 rows", 100000, 100000)
add_crud("select", "select of 50 rows by a filter", 4000, 10000)
add_crud("update", "update by key", 8000, 40000)
add_crud("page", "pages of 50 rows from the first row on", 3000, 3000)
add_crud("page_deep", "pages of 50 rows from the 1,000,000th on", 3000, 3000)

local function limits_of(w, driver)
  return w.limits[driver] or w.limits
end

-- The programs of one workload: { name, command }.
local function programs(w, driver)
  local list, count = {}, math.floor(w.count[driver] * settings.scale)
  local target = driver == "postgres" and settings.postgres or settings.file
  local function add(name, ...)
    local words = { ... }
    for i = 2, #words do words[i] = quote(words[i]) end
    list[#list + 1] = { name = name, command = table.concat(words, " ") }
  end
  for _, limit in ipairs(limits_of(w, driver)) do
    add("C " .. limit, quote(("%s/%s_%s"):format(settings.limits, w.family or "limit",
      driver)), target, limit, tostring(count))
  end
  local peer = w.peers and w.peers[driver]
  if peer and not settings.missing[driver] then
    add(peer, settings.python .. " peer_" .. peer .. ".py", target, w.name,
      tostring(count))
  end
  for _, lua in ipairs(settings.luas) do
    add(lua, settings.env[lua], w.script, settings[driver], w.name, tostring(count))
  end
  return list
end

-- ---- running ---------------------------------------------------------------

local function run(program)
  local pipe = assert(io.popen((settings.pin and "taskset -c 0 " or "") .. "env "
    .. program.command))
  local text = pipe:read "a"
  if not pipe:close() then error("failed: " .. program.command, 0) end
  local r = {}
  for key, value in text:gmatch '"([%w_]+)":([%d.]+)' do r[key] = tonumber(value) end
  if not r.wall then error("no result: " .. program.command .. "\n" .. text, 0) end
  return r
end

-- What programs of one workload have read must be the same.
local function compare_checks(w, list)
  local want, by
  for _, program in ipairs(list) do
    local limit = program.name:match "^C (.*)"
    if not limit or w.check == limit then
      for _, r in ipairs(program.results) do
        want, by = want or r.check, by or program.name
        if r.check ~= want then
          error(("%s: %s has read %d, %s has read %d"):format(w.name, by, want,
            program.name, r.check), 0)
        end
      end
    end
  end
end

local function median(values)
  table.sort(values)
  local n = #values
  if n % 2 == 1 then return values[(n + 1) // 2] end
  return (values[n // 2] + values[n // 2 + 1]) / 2
end

local function each_of(results, key)
  local values = {}
  for i, r in ipairs(results) do values[i] = r[key] / r.operations end
  return values
end

-- Round by round, since a shared machine drifts: limit / this.
local function ratio(limit, results, key)
  local values = {}
  for i, r in ipairs(results) do
    values[i] = limit[i][key] / limit[i].operations / (r[key] / r.operations)
  end
  return median(values)
end

-- How often as fast as the peer, if there is one.
local function peer_ratio(w, driver, list, results)
  for _, program in ipairs(list) do
    if w.peers and program.name == w.peers[driver] then
      return ratio(program.results, results, "wall")
    end
  end
end

local function summary(w, driver, program, list)
  local limit = list[1].results
  local wall = each_of(program.results, "wall")
  table.sort(wall)
  return {
    workload = w.name, driver = driver, program = program.name,
    rows = program.results[1].rows, operations = program.results[1].operations,
    wall = median(wall), wall_min = wall[1], wall_max = wall[#wall],
    cpu = median(each_of(program.results, "cpu")),
    throughput_ratio = ratio(limit, program.results, "wall"),
    cpu_ratio = ratio(limit, program.results, "cpu"),
    best_ratio = math.min(table.unpack(each_of(limit, "wall"))) / wall[1],
    peak_kib = program.results[#program.results].peak_kib,
    peer_ratio = peer_ratio(w, driver, list, program.results),
  }
end

-- ---- printing --------------------------------------------------------------

local function time_text(s)
  if s < 1e-3 then return ("%.2f us"):format(s * 1e6) end
  if s < 1 then return ("%.3f ms"):format(s * 1e3) end
  return ("%.3f s"):format(s)
end

local LINE = "  %-16s %12s  %-24s %12s  %-14s %8s %9s  %s"

local function print_head(w, driver)
  print(("\n%s, %s"):format(driver, w.title))
  local peer, missing = w.peers and w.peers[driver], settings.missing[driver]
  if peer and missing then
    print(("  %s is not compared: the package %s is missing"):format(peer, missing))
    peer = nil
  end
  print((LINE:format("program", "time each", "(fastest to slowest)", "own CPU",
    "of C", "CPU", "peak", peer and "of " .. peer or ""):gsub("%s+$", "")))
end

local function print_summary(s)
  local of_peer = s.peer_ratio and ("x %.2f"):format(s.peer_ratio) or ""
  print((LINE:format(s.program, time_text(s.wall),
    ("(%s to %s)"):format(time_text(s.wall_min), time_text(s.wall_max)),
    time_text(s.cpu), ("%3.0f %% (%.0f %%)"):format(s.throughput_ratio * 100,
      s.best_ratio * 100),
    ("x %.2f"):format(1 / s.cpu_ratio), ("%.1f MiB"):format(s.peak_kib / 1024),
    of_peer):gsub("%s+$", "")))
end

local function json_text(s)
  local keys, out = {}, {}
  for k in pairs(s) do keys[#keys + 1] = k end
  table.sort(keys)
  for i, k in ipairs(keys) do
    local v = s[k]
    out[i] = ("%q:%s"):format(k, type(v) == "number" and ("%.9g"):format(v)
      or ("%q"):format(v))
  end
  return "{" .. table.concat(out, ",") .. "}"
end

-- ---- all of it -------------------------------------------------------------

local function is_wanted(w, driver)
  return settings.only == "" or driver:find(settings.only, 1, true)
    or w.name == settings.only
    or (driver .. "/" .. w.name) == settings.only
end

local function measure(w, driver)
  local list = programs(w, driver)
  for _, program in ipairs(list) do program.results = {} end
  for round = 1, settings.rounds do
    for i = 1, #list do -- who is first changes
      local program = list[(i + round - 2) % #list + 1]
      program.results[round] = run(program)
    end
  end
  compare_checks(w, list)
  if not settings.json then print_head(w, driver) end
  for _, program in ipairs(list) do
    local s = summary(w, driver, program, list)
    if settings.json then print(json_text(s)) else print_summary(s) end
  end
  io.stdout:flush()
end

local found = false
for _, driver in ipairs { "postgres", "sqlite" } do
  for _, w in ipairs(WORKLOADS) do
    if is_wanted(w, driver) then
      found = true
      measure(w, driver)
    end
  end
end
if not found then error("there is no workload " .. settings.only, 0) end
