-- What the blocking Lua bindings share: one connection, and no pool. `ways` is
-- { one, types, series, stream(sql, from, to), insert, lookup, scan, fill } as
-- side_luasql.lua and side_luadbi.lua make it.
local measure = require "measure"

local M = {
  TYPES = [[select typname, typnamespace, typowner, typlen, typbyval, typcategory,
    typispreferred, typisdefined, typdelim, typrelid, typelem, typarray
    from pg_type where typtypmod = %s and typisdefined = %s]],
  TYPE_KEYS = { "typname", "typnamespace", "typowner", "typlen", "typbyval",
    "typcategory", "typispreferred", "typisdefined", "typdelim", "typrelid", "typelem",
    "typarray" },
  STREAM = "DECLARE c NO SCROLL CURSOR FOR "
    .. "select g, md5(g::text), g*1.5 from generate_series(1,%d) g",
  SCAN = "SELECT id AS g, name, ratio FROM mixed WHERE id <= ",
  LOOKUP = "SELECT id, val FROM lookup WHERE id = ",
  BULK_CHECK = "SELECT (count(*) + sum(a + b + c + f + length(d) + length(g)) "
    .. "+ sum(e)::int)::bigint::text FROM bulk_1",
}

local IS_NUMBER = { typnamespace = true, typowner = true, typlen = true,
  typrelid = true, typelem = true, typarray = true }

-- Numbers and booleans may be texts.
local function weigh_type(key, v)
  if IS_NUMBER[key] then return tonumber(v) end
  if v == true or v == "t" then return 1 end
  if not v or v == "f" then return 0 end
  return key == "typname" and #v or 1
end

function M.weigh_types(rows)
  local weight = 2 * #rows
  for i = 1, #rows do
    for _, key in ipairs(M.TYPE_KEYS) do
      weight = weight + weigh_type(key, rows[i][key])
    end
  end
  return math.floor(weight)
end

local function weigh_first(rows, key)
  local weight = 0
  for i = 1, #rows do weight = weight + math.floor(tonumber(rows[i][key])) end
  return weight
end

-- read() -> rows
local function reads(read, weigh_rows)
  return function(_, _, weigh)
    local rows = read()
    return #rows, weigh and weigh_rows(rows)
  end
end

-- scan(n, fn) calls fn for each row.
local function streams(scan, stream_rows)
  return function(_, _, weigh)
    local want, n, sum = weigh and stream_rows / 10 or stream_rows, 0, 0
    scan(want, function(row) n, sum = n + 1, sum + tonumber(row.g) end)
    if sum ~= want * (want + 1) / 2 then error("rows are missing") end
    return n, math.floor(sum)
  end
end

local function sometimes(fn)
  local batches = 0
  return function(weigh)
    if weigh then return end
    if batches % 50 == 0 then fn() end
    batches = batches + 1
  end
end

local function workloads(ways, stream_rows)
  local ones = reads(ways.one, function(rows) return weigh_first(rows, "n") end)
  local truncate = sometimes(function() ways.run "TRUNCATE bulk_1" end)
  return {
    b1 = { ones, warm = 200 },
    ["b1-single"] = { ones, warm = 20 },
    b2 = { reads(ways.types, M.weigh_types), warm = 20 },
    b3 = { reads(ways.series, function(rows) return weigh_first(rows, "i") end),
      warm = 20 },
    ["b5-insert"] = {
      function(_, _, weigh)
        truncate(weigh)
        ways.bulk()
        return 1000
      end,
      warm = 2, fill = "TRUNCATE bulk_1",
      check = function() return ways.value(M.BULK_CHECK) end },
    b10 = { streams(ways.stream, stream_rows), warm = 1 },
    ["sqlite-lookup"] = {
      function(_, random)
        local row = ways.lookup(random() % 10000 + 1)
        return 1, math.floor(tonumber(row.id)) + #row.val
      end,
      warm = 512, block = 32 },
    ["sqlite-scan"] = { streams(ways.scan, stream_rows), warm = 1 },
    ["sqlite-insert"] = {
      function(_, random)
        ways.insert(function(i)
          return math.floor(random() % measure.ITEM_GROUPS), i / 8, "item number " .. i
        end)
        return 1000
      end,
      warm = 2, fill = "DELETE FROM fresh",
      check = function() return ways.value(measure.CHECK_FRESH) end },
  }
end

function M.run(ways, name, seconds, stream_rows)
  local w = workloads(ways, stream_rows)[name]
  if w.fill then ways.run(w.fill) end
  local check = w.check and function() return math.floor(tonumber(w.check())) end
  measure.side(w, seconds, w[1], function(fns) fns[1]() end, check)
end

return M
