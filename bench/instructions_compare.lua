-- Compares the dumps of callgrind with bench/instructions.txt, as TAP.
--
--   instructions_compare.lua BASELINE VERSIONS UPDATE LUA=DUMP…
--
-- VERSIONS is one line that tells what the counts depend on; where it differs from the
-- baseline's, nothing is compared. UPDATE "true" writes the baseline anew. A DUMP is the
-- start of the names of one program's files.
local LIMIT = 0.03 -- so much more fails

local baseline_path, versions, is_update = arg[1], arg[2], arg[3] == "true"

local HEAD = [[
# Instructions in user space for one operation, without Lua's collector, counted by
# callgrind: bench/instructions.
# Compared only where these are the same:
# ]]

-- What was counted in one run: its name, instructions of one operation.
local function read_dump(file)
  local text = file:read "a"
  file:close()
  local name, times = text:match "desc: Trigger: Client Request: (%S+) (%d+)"
  if not name then return end
  return name, tonumber(text:match "\ntotals: (%d+)") / tonumber(times)
end

-- The counts of one program: { name = instructions of one operation }, and the names in
-- the order of the runs. Of the runs of a workload that with the least counts: in others
-- an answer came in more pieces.
local function read_counts(start)
  local order, counts = {}, {}
  for i = 1, 1000 do
    local file = io.open(start .. "." .. i)
    if not file then break end
    local name, count = read_dump(file)
    if name then
      if not counts[name] then order[#order + 1] = name end
      counts[name] = math.min(counts[name] or math.huge, math.floor(count + 0.5))
    end
  end
  return counts, order
end

local function read_baseline()
  local counts, for_versions = {}, nil
  local file = io.open(baseline_path)
  if not file then return counts end
  for line in file:lines() do
    local key, n = line:match "^(%S+ %S+) +(%d+)$"
    if key then counts[key] = tonumber(n)
    elseif line:find "^#" then for_versions = line:match "^# (.*)" end
  end
  file:close()
  return counts, for_versions
end

local function collect()
  local list = {}
  for i = 4, #arg do
    local lua, start = arg[i]:match "^(.-)=(.*)$"
    local counts, order = read_counts(start)
    for _, name in ipairs(order) do
      list[#list + 1] = { key = name .. " " .. lua, count = counts[name] }
    end
  end
  return list
end

local function write_baseline(list)
  local file = assert(io.open(baseline_path, "w"))
  file:write(HEAD, versions, "\n")
  for _, r in ipairs(list) do file:write(("%-22s %9d\n"):format(r.key, r.count)) end
  assert(file:close())
end

local function compare(i, r, before, is_same)
  local what = ("%s: %d instructions"):format(r.key, r.count)
  if not is_same then
    print(("ok %d - %s # SKIP the baseline is of other versions"):format(i, what))
    return true
  elseif not before then
    print(("not ok %d - %s, and none in the baseline"):format(i, what))
    return false
  end
  local change = r.count / before - 1
  local ok = change <= LIMIT
  print(("%s %d - %s, %+.1f %% (%d)"):format(ok and "ok" or "not ok", i, what,
    change * 100, before))
  return ok
end

local list = collect()
if #list == 0 then error("callgrind has counted nothing", 0) end
if is_update then write_baseline(list) end
local before, for_versions = read_baseline()
local is_same, all_ok = for_versions == versions, true
print("1.." .. #list)
if not is_same then
  print("# here:         " .. versions)
  print("# the baseline: " .. tostring(for_versions))
end
for i, r in ipairs(list) do all_ok = compare(i, r, before[r.key], is_same) and all_ok end
if not all_ok then
  print("# more than 3 % above bench/instructions.txt; where that is meant to be so: "
    .. "bench/instructions --update")
  os.exit(1)
end
