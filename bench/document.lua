-- Writes docs/benchmarks: tables and plots of B1 to B10 from summaries of bench/run.
--
--   document.lua RESULTS FACTS DIR
--
-- does it again from RESULTS, lines of JSON as --json prints them, and FACTS, lines of
-- "what TAB value".
local report = require "report"
local svg = require "svg"

local M = {}

local HEAD = [[
# Benchmarks

Perigee next to bare C over the same client libraries and next to other clients, measured on
one machine in alternating rounds by `bench/run --write`, which wrote this page.
[Performance](../internals/performance.md) says what the numbers mean and what is being done
about them.

- C is the limit: a program over libpq, sqlite3 or libmariadb that does only what has to be
  done, with prepared statements and binary values, and one statement of a connection in
  flight.
- All programs check that they have read or written the same rows as C.
- "of C" is throughput in percent of C's, "of peer" how often as fast as the fastest of the
  other clients; both are compared within a round, and these are the medians of the rounds.
- Times are medians, with the quartiles of the rounds. CPU is the client's own, threads
  included. Memory is the most that a program had; in brackets, by how much it grew
  after it had connected.
- Perigee's statements go through the handle with its pool; the others have a connection for
  each worker up to B5, and their pool from B6 on.

]]

local function commas(n)
  local s = ("%.0f"):format(n)
  repeat
    local more
    s, more = s:gsub("^(%d+)(%d%d%d)", "%1,%2")
  until more == 0
  return s
end

-- How many in a second.
local function rate(n)
  return n < 10 and ("%.2f"):format(n) or commas(n)
end

local function short_time(s)
  if s < 1e-4 then return ("%.1f us"):format(s * 1e6) end
  if s < 1e-3 then return ("%.0f us"):format(s * 1e6) end
  if s < 1e-2 then return ("%.2f ms"):format(s * 1e3) end
  if s < 1 then return ("%.0f ms"):format(s * 1e3) end
  return ("%.2f s"):format(s)
end

-- ---- in the order of the run -----------------------------------------------

-- { { name, { { summaries of a workload }, … } }, … }
local function grouped(summaries)
  local groups, group, workload = {}, nil, nil
  for _, s in ipairs(summaries) do
    if not group or group.name ~= s.group then
      group = { name = s.group }
      groups[#groups + 1] = group
      workload = nil
    end
    if not workload or workload.name ~= s.workload then
      workload = { name = s.workload, title = s.title }
      group[#group + 1] = workload
    end
    workload[#workload + 1] = s
  end
  return groups
end

-- ---- plots -----------------------------------------------------------------

local function throughput_bar(s)
  local value = s.throughput_ratio
  return { name = s.program, role = s.role, value = value,
    low = value * s.wall / s.wall_q3, high = value * s.wall / s.wall_q1,
    label = ("%.0f %%, %s/s"):format(100 * value, rate(1 / s.wall)) }
end

local function latency_bar(s)
  return { name = s.program, role = s.role, value = s.p999, low = s.p999, high = s.p999,
    label = short_time(s.p999) }
end

local function part_of(workload, is_latency)
  local bars = {}
  for i, s in ipairs(workload) do
    bars[i] = s.missing and { name = s.program, missing = s.missing }
      or is_latency and latency_bar(s) or throughput_bar(s)
  end
  local title = ("%s: %s"):format(workload.name, workload.title)
  if is_latency then title = title .. ": 99.9 % were answered within" end
  return { title = title, bars = bars, line = not is_latency and 1 or nil }
end

local function plot(group)
  local parts = {}
  for _, workload in ipairs(group) do
    parts[#parts + 1] = part_of(workload, false)
    if group.name == "B9" then parts[#parts + 1] = part_of(workload, true) end
  end
  return svg.bars(parts)
end

-- ---- tables ----------------------------------------------------------------

local function latency_cells(s)
  if not s.p50 then return "" end
  return ("%s, %s, %s"):format(short_time(s.p50), short_time(s.p99), short_time(s.p999))
end

local function name_cell(s)
  local name = s.role == "perigee" and ("**%s**"):format(s.program) or s.program
  return name .. (s.note and (" (%s)"):format(s.note) or "")
end

local function row(s, has_latency)
  local cells = {
    name_cell(s), ("%s (%s to %s)"):format(short_time(s.wall), short_time(s.wall_q1),
      short_time(s.wall_q3)),
    rate(1 / s.wall), ("%.0f %%"):format(s.throughput_ratio * 100),
    s.peer_ratio and ("× %.2f"):format(s.peer_ratio) or "",
    short_time(s.cpu), ("× %.2f"):format(1 / s.cpu_ratio),
    ("%.1f MiB (%.1f)"):format(s.peak_kib / 1024, (s.growth_kib or 0) / 1024),
  }
  if has_latency then cells[#cells + 1] = latency_cells(s) end
  return "| " .. table.concat(cells, " | ") .. " |\n"
end

local function remarks(out, workload)
  local missing, slow = {}, {}
  for _, s in ipairs(workload) do
    if s.missing then missing[#missing + 1] = ("%s (%s)"):format(s.program, s.missing) end
    if s.p50 and (s.slow or 0) > 0 then
      slow[#slow + 1] = ("%s %d (longest %s)"):format(s.program, s.slow,
        short_time(s.longest))
    end
  end
  if workload[1].peer then out[#out + 1] = ("Best peer: %s.\n"):format(workload[1].peer) end
  if #slow > 0 then
    out[#out + 1] = "Operations that took over 0.2 s in one round, at the most: "
      .. table.concat(slow, ", ") .. ".\n"
  end
  if #missing > 0 then
    out[#out + 1] = "Not compared: " .. table.concat(missing, ", ") .. ".\n"
  end
  out[#out + 1] = "\n"
end

local function write_workload(out, workload)
  local has_latency = workload[1].p50 ~= nil
  out[#out + 1] = ("### %s: %s\n\n"):format(workload.name, workload.title)
  out[#out + 1] = "| | time of one | a second | of C | of peer | CPU | of C's | memory |"
    .. (has_latency and " p50, p99, p99.9 |" or "") .. "\n|---|--:|--:|--:|--:|--:|--:|--:|"
    .. (has_latency and "--:|" or "") .. "\n"
  for _, s in ipairs(workload) do
    if not s.missing then out[#out + 1] = row(s, has_latency) end
  end
  out[#out + 1] = "\n"
  remarks(out, workload)
end

local function write_facts(out, facts, summaries)
  out[#out + 1] = "## The machine\n\n| | |\n|---|---|\n"
  for line in io.lines(facts) do
    out[#out + 1] = ("| %s | %s |\n"):format(line:match "^(.-)\t(.*)$")
  end
  out[#out + 1] = ("| rounds | %d |\n\n"):format(summaries[1].rounds)
end

-- ---- all of it -------------------------------------------------------------

local function write_file(path, content)
  local file = assert(io.open(path, "w"))
  assert(file:write(content))
  assert(file:close())
end

local function file_name(group) return group.name:lower() .. ".svg" end

--- Writes README.md and the plots to a folder.
-- @tparam {table,...} summaries of statistics.summaries
-- @tparam string facts path of a file of lines "what TAB value"
-- @tparam string dir is made when it is not there
function M.write(summaries, facts, dir)
  assert(os.execute(("mkdir -p '%s'"):format(dir)))
  local out = { HEAD }
  write_facts(out, facts, summaries)
  for _, group in ipairs(grouped(summaries)) do
    write_file(dir .. "/" .. file_name(group), plot(group))
    out[#out + 1] = ("## %s\n\n![%s: throughput in percent of C's](%s)\n\n"):format(
      group.name, group.name, file_name(group))
    for _, workload in ipairs(group) do write_workload(out, workload) end
  end
  write_file(dir .. "/README.md", (table.concat(out):gsub("\n+$", "\n")))
end

if arg and arg[0]:find "document%.lua$" then
  local file = assert(io.open(arg[1]))
  M.write(report.read_json(file), arg[2], arg[3])
  file:close()
end

return M
