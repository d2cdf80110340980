-- What many specs say of values and errors.
local assert = require "luassert"
local perigee = require "perigee"

local check = {}

check.is_jit = type(rawget(_G, "jit")) == "table"
check.has_integers = math.type ~= nil

-- Is PostgreSQL reached through the proxy, which cuts what is sent into pieces?
-- Megabytes and millions are less then.
check.proxied = (os.getenv "PERIGEE_TEST_PROXY" or "") ~= ""

-- A call that has to raise one of our errors, on one line. Gives the error.
function check.raises(kind, f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok, "nothing was raised; expected " .. kind)
  assert.equal(perigee.error, getmetatable(err), tostring(err))
  assert.equal(kind, err.kind, tostring(err))
  local line = tostring(err)
  assert.is_nil(line:find("[%c]"), "not one line: " .. line)
  assert.equal(kind .. ": ", line:sub(1, #kind + 2))
  assert.equal("string", type(err.message))
  assert.equal("boolean", type(err.retryable))
  return err
end

-- The same through the handle `db`, which has to work afterwards, with nothing
-- in use.
function check.refuses(db, kind, f, ...)
  local err = check.raises(kind, f, ...)
  check.usable(db)
  return err
end

function check.usable(db)
  assert.equal(42, db:value "select 42")
  assert.equal(0, db:stats().in_use)
end

-- The number of connections that were ever opened: it tells a handle that
-- replaces its connection from one that keeps it.
function check.created(db)
  return db:stats().created
end

-- Equal, with NaN equal to itself and 0 other than -0.
function check.same_number(want, got)
  if want ~= want then
    assert.is_true(got ~= got, tostring(got))
  else
    assert.equal(want, got)
    if want == 0 and not check.has_integers or math.type
      and math.type(want) == "float" and want == 0 then
      assert.equal(1 / want, 1 / got)
    end
  end
end

-- What an int8 is on this Lua: an integer, or what int8 = "auto" says.
function check.int8(text)
  if check.has_integers then return math.tointeger(text) end
  local n = tonumber(text)
  if n > -2 ^ 53 and n < 2 ^ 53 then return n end
  return text
end

-- Does `needle` occur anywhere in the value, its keys, fields, metatable or
-- text?
function check.contains(value, needle, seen)
  seen = seen or {}
  if tostring(value):find(needle, 1, true) then return true end
  if type(value) ~= "table" or seen[value] then return false end
  seen[value] = true
  for k, v in pairs(value) do
    if check.contains(k, needle, seen) or check.contains(v, needle, seen) then
      return true
    end
  end
  return false
end

return check
