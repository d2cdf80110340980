--- Which known name was probably meant. Plain Lua without anything of ours: it is also
-- a part of the preludes that run inside the sandbox.
local M = {}

-- How many letters have to be changed, put in or left out (Levenshtein), or exchanged
-- with their neighbour, as in "dwon".
local function distance(a, b)
  local before, last
  local row = {}
  for j = 0, #b do row[j] = j end
  for i = 1, #a do
    before, last, row = last, row, { [0] = i }
    for j = 1, #b do
      local cost = a:byte(i) == b:byte(j) and 0 or 1
      local d = math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + cost)
      if before and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
        d = math.min(d, before[j - 2] + 1)
      end
      row[j] = d
    end
  end
  return row[#b]
end

--- The name of `names` that is nearest to `name`, or nil: at most a letter in four
-- differs, one in a short name. The first of equals wins.
-- @tparam string name
-- @tparam {string,...} names
function M.nearest(name, names)
  if #name >= 100 then return nil end
  local best, least = nil, math.max(1, math.floor(#name / 4)) + 1
  for _, other in ipairs(names) do
    if other ~= name and #other < 100 then
      local d = distance(name:lower(), other:lower())
      if d < least and d < #name then best, least = other, d end
    end
  end
  return best
end

--- ' (is "x" meant?)', or "" when nothing is near.
function M.hint(name, names)
  local best = type(name) == "string" and M.nearest(name, names)
  return best and (' (is "%s" meant?)'):format(best) or ""
end

return M
