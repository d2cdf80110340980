--- The language of migrations: a file that ends with `return migration { … }`. Gives back
-- a function that is called with the script and returns what it says as plain data, its
-- operations recorded, each phase twice. Runs inside the sandbox (core.sandbox); outside
-- of it for the functions of m:run (migrate/files.lua).
local L, recorder
local script -- { source =, name = }

local KEYS = {
  "after", "change", "depends", "down", "finish", "id", "labels", "message", "replaces", "up",
}

-- ---- the head of a file ----------------------------------------------------

local function check_id(what, v)
  if type(v) ~= "string" or not v:find "^[%w._-]+$" or #v > 64 then
    L.fail("%s: letters, digits, - . and _ are expected, at most 64, not %s", what, L.show(v))
  end
  return v
end

local function ids(what, v)
  if v == nil then return {} end
  local list, seen = L.names(what, v), {}
  for _, id in ipairs(list) do
    check_id(what, id)
    if seen[id] then L.fail('%s: "%s" is there twice', what, id) end
    seen[id] = true
  end
  return list
end

local function check_phase(def, name)
  local fn = def[name]
  if fn == nil or name == "down" and fn == false then return end
  if type(fn) ~= "function" then
    L.fail("migration: %s must be a function(m), not %s%s", name, L.show(fn),
      name == "down" and " (false: it cannot be undone)" or "")
  end
end

local function check_phases(def)
  for _, name in ipairs { "up", "finish", "down", "change" } do check_phase(def, name) end
  if def.change then
    for _, name in ipairs { "up", "finish", "down" } do
      if def[name] ~= nil then
        L.fail("migration: change is written instead of up and down, but there is %s", name)
      end
    end
  end
end

-- migration { … } gives this; its metatable tells it from a table of the script's own.
local Migration = { __metatable = "migration" }

-- `return migration { … }` leaves no line behind: it is looked for in the text, as the
-- first that begins with a pattern.
local function look_for(pattern)
  local n = 0
  for line in (script.source .. "\n"):gmatch "(.-)\n" do
    n = n + 1
    if line:find(pattern) then
      L.otherwise = { file = script.name, line = n }
      return
    end
  end
end

local function check_keys(def)
  local known = {}
  for _, k in ipairs(KEYS) do known[k] = true end
  for _, k in ipairs(L.sorted_keys(def)) do
    if not known[k] then
      if type(k) == "string" and k:find "^[%a_][%w_]*$" then look_for("^%s*" .. k .. "%s*=") end
      L.fail("migration: unknown key %s%s: allowed are %s", L.show(k), L.hint(k, KEYS),
        table.concat(KEYS, ", "))
    end
  end
end

local function migration(def)
  look_for "^%s*return%s+migration%f[%W]"
  L.need_table("migration", def, "migration { id = …, up = function(m) … end }")
  check_keys(def)
  if def.id == nil then L.fail "migration: id is missing" end
  check_phases(def)
  local head = {
    id = check_id("migration: id", def.id), after = ids("migration: after", def.after),
    message = L.option("migration", def, "message", "string") or "",
    labels = ids("migration: labels", def.labels),
    depends = ids("migration: depends", def.depends),
    replaces = ids("migration: replaces", def.replaces), at = L.here(),
  }
  for _, id in ipairs(head.after) do
    if id == head.id then L.fail('migration: it is after itself, "%s"', id) end
  end
  if not def.up and not def.change and #head.after < 2 then
    L.fail "migration: there is neither up nor change"
  end
  return setmetatable({ head = head, def = def }, Migration)
end

-- ---- recording -------------------------------------------------------------

-- Records a phase two times; what is in `again` is compared by who asked.
local function record(value, phase, fn, functions)
  if type(fn) ~= "function" then return end
  value[phase], functions[phase] = recorder.record(fn)
  value.again[phase] = recorder.record(fn)
end

local function record_all(given, keep)
  local value, def, functions = given.head, given.def, {}
  value.again = {}
  record(value, "up", def.up or def.change, functions)
  record(value, "finish", def.finish, functions)
  record(value, "down", def.down, functions)
  value.up = value.up or {}
  value.change = def.change ~= nil
  if def.down == false then value.down = false end
  return value, keep and functions or nil
end

-- ---- a script --------------------------------------------------------------

--- Runs a script.
-- @tparam string source
-- @tparam string name for messages
-- @tparam table call functions = true: the functions of m:run are wanted, too
-- @tparam table helpers load_text, where, loader, part; globals: what else the script
-- sees, outside of the sandbox
-- @treturn table { id, after, message, labels, depends, replaces, up, finish, down, change,
-- at, again }
-- @treturn ?table { up = { functions }, … }
return function(source, name, call, helpers)
  L = helpers.part("language").use(helpers)
  local column = helpers.part("column").use(L)
  local elements = helpers.part("elements").use(L, column)
  local body = helpers.part("body").use(L, column, elements)
  recorder = helpers.part("recorder").use(L, column, elements, body)
  script = { source = source, name = name }
  local words, env = L.type_words(), nil
  words.sql, words.none, words.migration = L.sql, L.none, migration
  words.require = L.require_in(function() return env end)
  env = L.environment(words)
  local chunk, why = helpers.load_text(source, name, env)
  if not chunk then error(why, 0) end
  local value = chunk()
  if getmetatable(value) ~= "migration" then
    error(name .. ": a migration file ends with return migration { … }", 0)
  end
  return record_all(value, call.functions)
end
