-- Runs first in every sandbox (src/bind/lsandbox.c): the functions of `table` in Lua,
-- where each of their steps counts. Those of C run in one piece, for ever when a length
-- is made up (__len, or the keys 1, 2, 4, 8, …).

local error, type, tostring, rawequal, select = error, type, tostring, rawequal, select
local rawget, table = rawget, table
local floor = math.floor
local c_concat = table.concat
local c_unpack = table.unpack or unpack

unpack = nil
table.unpack = c_unpack
rawlen = rawlen or function(v) return #v end

-- As it is written, without a place, which only some Luas add.
function assert(v, ...)
  if v then return v, ... end
  if select("#", ...) == 0 then error("assertion failed!", 0) end
  error((...), 0)
end

local function bad(n, name, what, got)
  local found = got == nil and "no value" or type(got)
  error(("bad argument #%d to '%s' (%s expected, got %s)"):format(n, name, what, found), 3)
end

-- ---- keys in order ---------------------------------------------------------

local c_next = next
local RANK = { number = 1, string = 2, boolean = 3 }

-- Numbers, then strings, then booleans; other keys have no order.
local function comes_before(a, b)
  local ta, tb = type(a), type(b)
  if ta ~= tb then return (RANK[ta] or 4) < (RANK[tb] or 4) end
  if ta == "boolean" then return b and not a end
  return RANK[ta] ~= nil and a < b
end

local function sorted_keys(t)
  local keys = {}
  for k in c_next, t do keys[#keys + 1] = k end
  table.sort(keys, comes_before)
  return keys
end

-- In the order of the keys, whatever their hashes are: definitions give the same result
-- each time.
function pairs(t)
  if type(t) ~= "table" then bad(1, "pairs", "table", t) end
  local keys, i = sorted_keys(t), 0
  return function()
    local key, value
    repeat
      i = i + 1
      key = keys[i]
      if key == nil then return nil end
      value = rawget(t, key)
    until value ~= nil
    return key, value
  end, t, nil
end

function next(t, k)
  if type(t) ~= "table" then bad(1, "next", "table", t) end
  local keys = sorted_keys(t)
  local i = 1
  if k ~= nil then
    while keys[i] ~= nil and not rawequal(keys[i], k) do i = i + 1 end
    if keys[i] == nil then error("invalid key to 'next'", 2) end
    i = i + 1
  end
  local key = keys[i]
  if key == nil then return nil end
  return key, rawget(t, key)
end

-- ---- table -----------------------------------------------------------------

local function is_index(v)
  return type(v) == "number" and v == floor(v)
end

function table.insert(t, ...)
  local count = select("#", ...)
  local pos, value = ...
  if type(t) ~= "table" then bad(1, "insert", "table", t) end
  if count < 1 or count > 2 then error("wrong number of arguments to 'insert'", 2) end
  local last = #t + 1
  if count == 1 then
    t[last] = pos
    return
  end
  if not is_index(pos) then bad(2, "insert", "number", pos) end
  if pos < 1 or pos > last then
    error("bad argument #2 to 'insert' (position out of bounds)", 2)
  end
  for i = last, pos + 1, -1 do t[i] = t[i - 1] end
  t[pos] = value
end

function table.remove(t, pos)
  if type(t) ~= "table" then bad(1, "remove", "table", t) end
  local last = #t
  if pos == nil then
    pos = last
  elseif not is_index(pos) then
    bad(2, "remove", "number", pos)
  elseif (pos < 1 or pos > last + 1) and not (last == 0 and pos == 0) then
    error("bad argument #2 to 'remove' (position out of bounds)", 2)
  end
  local value = t[pos]
  for i = pos, last - 1 do t[i] = t[i + 1] end
  if pos <= last then t[last] = nil end
  return value
end

function table.concat(t, sep, i, j)
  if type(t) ~= "table" then bad(1, "concat", "table", t) end
  local out, n = {}, 0
  for k = i or 1, j or #t do
    local v = t[k]
    if type(v) ~= "string" and type(v) ~= "number" then
      error(("invalid value (at index %s) in table for 'concat'"):format(tostring(k)), 2)
    end
    n = n + 1
    out[n] = v
  end
  return c_concat(out, sep)
end

-- Merges from[low … middle] and from[middle + 1 … high] into `to`.
local function merge(from, to, low, middle, high, less)
  local a, b = low, middle + 1
  for k = low, high do
    if b > high or (a <= middle and not less(from[b], from[a])) then
      to[k] = from[a]
      a = a + 1
    else
      to[k] = from[b]
      b = b + 1
    end
  end
end

local function is_less(a, b) return a < b end

-- Stable: the same on every Lua, whatever `less` says of equals.
function table.sort(t, less)
  if type(t) ~= "table" then bad(1, "sort", "table", t) end
  if less ~= nil and type(less) ~= "function" then bad(2, "sort", "function", less) end
  less = less or is_less
  local n, from, to, width = #t, {}, {}, 1
  for i = 1, n do from[i] = t[i] end
  while width < n do
    for low = 1, n, 2 * width do
      local middle = low + width - 1
      local high = middle + width
      if middle > n then middle = n end
      if high > n then high = n end
      merge(from, to, low, middle, high, less)
    end
    from, to, width = to, from, 2 * width
  end
  for i = 1, n do
    if not rawequal(t[i], from[i]) then t[i] = from[i] end
  end
end
