-- Runs the programs of all workloads in alternating rounds and reports medians.
-- bench/run calls it; see there for the options.
--
--   rounds.lua SETTINGS, where SETTINGS is a Lua file that returns a table:
--     rounds, scale, seconds, rows, only, json, pin, write, luas (names)
--     env[lua]: what a shell needs before a Lua program
--     postgres, postgres_tcp, postgres_tls, sqlite, mysql (none: it is left out): URLs
--     file: SQLite's file
--     limits: folder of the C programs
--     peers[name]: { command[driver], missing }: how it is called, or what is missing
--     facts: a file of lines "what TAB value"
local settings = dofile(arg[1])
local statistics = require "statistics"
local report = require "report"

local WORKLOADS = require "workloads"

local function quote(s) return "'" .. s:gsub("'", "'\\''") .. "'" end

-- ---- what is run -----------------------------------------------------------

local function by_driver(value, driver)
  return value and (value[driver] or value)
end

-- What a program is called with: its place, its name for the work, how much.
local function arguments(w, driver, is_url)
  local target = settings[driver]
  if driver == "sqlite" and not is_url then target = settings.file end
  if w.server then target = settings["postgres_" .. w.server] end
  local name = w.script_name or w.name
  if w.side then
    return { target, name, tostring(settings.seconds), tostring(settings.rows) }
  end
  return { target, name, tostring(math.floor(w.count[driver] * settings.scale)) }
end

local function command_of(before, words, ...)
  local all = {}
  for i, word in ipairs(words) do all[i] = quote(word) end
  for _, word in ipairs { ... } do all[#all + 1] = quote(word) end
  return before .. " " .. table.concat(all, " ")
end

local function add_limits(list, w, driver)
  for i, limit in ipairs(by_driver(w.limits, driver)) do
    local words = arguments(w, driver, false)
    words[2] = limit
    local name = "C " .. limit
    if w.side then name = i == 1 and "C" or "C, " .. w.second end
    list[#list + 1] = { role = "limit", name = name, limit = limit,
      command = command_of(quote(("%s/%s_%s"):format(settings.limits,
        w.family or "limit", driver)), words) }
  end
end

local function add_peers(list, w, driver)
  for _, name in ipairs(by_driver(w.peers, driver) or {}) do
    local peer = settings.peers[name]
    local program = { role = "peer", name = (name:gsub(" crud$", "")),
      missing = w.cannot and w.cannot[name] or peer.missing }
    if not program.missing then
      program.command = command_of(peer.command[driver], arguments(w, driver, false))
    end
    list[#list + 1] = program
  end
end

-- In each of several event loops, whose name goes before the work's.
local function add_hosts(list, w, driver, lua, before)
  for _, host in ipairs(w.hosts) do
    local words = arguments(w, driver, true)
    words[2] = host .. "/" .. w.name:match "%-(.*)"
    list[#list + 1] = { role = "perigee", name = lua .. ", " .. host,
      command = command_of(before, words) }
  end
end

local function add_lua(list, w, driver, lua, before)
  local words = arguments(w, driver, true)
  list[#list + 1] = { role = "perigee", name = lua, command = command_of(before, words) }
  for _, shape in ipairs(w.shapes or {}) do
    list[#list + 1] = { role = "perigee", name = lua .. ", " .. shape,
      command = command_of(before, words, shape) }
  end
end

local function add_perigee(list, w, driver)
  for _, lua in ipairs(settings.luas) do
    local before = ("%s bench/%s"):format(settings.env[lua], w.script)
    if w.hosts then
      add_hosts(list, w, driver, lua, before)
    else
      add_lua(list, w, driver, lua, before)
    end
  end
end

local function programs(w, driver)
  local list = {}
  add_limits(list, w, driver)
  add_peers(list, w, driver)
  add_perigee(list, w, driver)
  for _, program in ipairs(list) do program.results = {} end
  return list
end

-- ---- running ---------------------------------------------------------------

local NOT_INSTALLED = 3 -- a status of hosts.lua
local failures = 0

-- A result: the numbers of the line of JSON that the program prints.
local function run(program)
  local pipe = assert(io.popen((settings.pin and "taskset -c 0 " or "") .. "env "
    .. program.command))
  local text = pipe:read "a"
  local ok, _, status = pipe:close()
  if not ok then return nil, status == NOT_INSTALLED and "it is not installed" or "it failed" end
  local r = {}
  for key, value in text:gmatch '"([%w_]+)":([-+%d.eE]+)' do r[key] = tonumber(value) end
  if not r.wall then return nil, "it gave no result" end
  r.note = text:match '"note":"([^"]*)"'
  return r
end

-- Whose checks are compared.
local function is_checked(w, program)
  return w.check == "all" or program.role ~= "limit" or w.check == program.limit
end

-- What programs of one workload have read must be the same.
local function compare_checks(w, list)
  local want, by
  for _, program in ipairs(list) do
    if is_checked(w, program) then
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

-- All run in every round, and who is first changes.
local function run_rounds(w, list)
  local running = {}
  for _, program in ipairs(list) do
    if program.command then running[#running + 1] = program end
  end
  for round = 1, settings.rounds do
    for i = 1, #running do
      local program = running[(i + round - 2) % #running + 1]
      if not program.missing then
        local result, why = run(program)
        if not result then
          if why ~= "it is not installed" then failures = failures + 1 end
          program.missing = why
          io.stderr:write(("bench: %s: %s: %s\n"):format(w.name, program.name, why))
        end
        program.results[round] = result
      end
    end
  end
  if list[1].missing then error(w.name .. ": the limit: " .. list[1].missing, 0) end
end

-- ---- all of it -------------------------------------------------------------

local function matches(word, w, driver)
  if w.named then return word == w.name or word == w.group end
  return word == "" or word == driver or word == w.name or word == driver .. "/" .. w.name
    or word == (w.name:gsub("%-", "/", 1))
    or word == "side" and w.side or word == (w.group or ""):lower()
end

local found = {}

local function is_wanted(w, driver)
  local yes = false
  for word in (settings.only:lower() .. ","):gmatch "([^,]*)," do
    if matches(word, w, driver) then yes, found[word] = true, true end
  end
  return yes
end

local function measure(w, driver)
  local list = programs(w, driver)
  run_rounds(w, list)
  compare_checks(w, list)
  return statistics.summaries(w, driver, list)
end

local all = {}
local function is_for(w, driver)
  return w.drivers[1] == driver or w.drivers[2] == driver
end

for _, driver in ipairs { "postgres", "sqlite", "mysql" } do
  for _, w in ipairs(WORKLOADS) do
    if settings[driver] and is_for(w, driver) and is_wanted(w, driver) then
      local summaries = measure(w, driver)
      if settings.json then report.json(io.stdout, summaries)
      else report.text(w, driver, summaries) end
      io.stdout:flush()
      if w.side then table.move(summaries, 1, #summaries, #all + 1, all) end
    end
  end
end
for word in (settings.only:lower() .. ","):gmatch "([^,]*)," do
  if not found[word] then error("there is no workload " .. word, 0) end
end
if settings.write then
  require("document").write(all, settings.facts, settings.write)
end
if failures > 0 then os.exit(1) end
