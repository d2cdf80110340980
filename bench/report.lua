-- Summaries of bench/run as a table of text and as lines of JSON.
local M = {}

function M.time_text(s)
  if s < 1e-3 then return ("%.2f us"):format(s * 1e6) end
  if s < 1 then return ("%.3f ms"):format(s * 1e3) end
  return ("%.3f s"):format(s)
end

local time_text = M.time_text

local LINE = "  %-16s %12s  %-24s %12s  %-14s %8s %9s  %-7s %-34s %s"

local function print_line(...)
  print((LINE:format(...):gsub("%s+$", "")))
end

local function head(w, driver, summaries)
  print(("\n%s%s, %s"):format(w.side and w.name .. ": " or "", driver, w.title))
  for _, s in ipairs(summaries) do
    if s.missing then
      print(("  %s is not compared: %s"):format(s.program, s.missing))
    end
  end
  local has_latency = summaries[1].p50
  print_line("program", "time each", "(fastest to slowest)", "own CPU", "of C", "CPU",
    "peak", summaries[1].peer and "of peer" or "",
    has_latency and "p50, p99, p99.9" or "", "")
end

local function latency_text(s)
  if not s.p50 then return "" end
  return ("%s, %s, %s"):format(time_text(s.p50), time_text(s.p99), time_text(s.p999))
end

local function remarks(s)
  local list = {}
  if (s.slow or 0) > 0 and s.p50 then
    list[#list + 1] = ("%d over 0.2 s, longest %s"):format(s.slow, time_text(s.longest))
  end
  list[#list + 1] = s.note
  return table.concat(list, "; ")
end

--- Prints a workload's table.
function M.text(w, driver, summaries)
  head(w, driver, summaries)
  for _, s in ipairs(summaries) do
    if not s.missing then
      print_line(s.program, time_text(s.wall),
        ("(%s to %s)"):format(time_text(s.wall_min), time_text(s.wall_max)),
        time_text(s.cpu),
        ("%3.0f %% (%.0f %%)"):format(s.throughput_ratio * 100, s.best_ratio * 100),
        ("x %.2f"):format(1 / s.cpu_ratio), ("%.1f MiB"):format(s.peak_kib / 1024),
        s.peer_ratio and ("x %.2f"):format(s.peer_ratio) or "", latency_text(s),
        remarks(s))
    end
  end
  if summaries[1].peer then print("  best peer: " .. summaries[1].peer) end
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

--- Writes a line for each summary.
function M.json(file, summaries)
  for _, s in ipairs(summaries) do file:write(json_text(s), "\n") end
end

--- Reads what json() wrote.
function M.read_json(file)
  local list = {}
  for line in file:lines() do
    local s = {}
    for k, v in line:gmatch '"([%w_]+)":([-+%d.eE]+)' do s[k] = tonumber(v) end
    for k, v in line:gmatch '"([%w_]+)":"([^"]*)"' do s[k] = v end
    list[#list + 1] = s
  end
  return list
end

return M
