--- Handles of tables: a name, an executor, and perhaps a scope and a class.
-- To who uses them they have no fields: name, schema and the rest are asked for, and
-- writing raises. What a handle is stands in a table in it, its state, under a key that
-- nobody else has. Inside of Perigee `h` is the state, and a handle is called `handle`.
-- C reads of a state h (src/bind/crud_int.h)
--   h[1] the executor    h[2] what is known of the table (perigee.table_info)
--   h[3] nil, or the scope: { column, value, column, value, … }
--   h[4] nil, or the class of rows
-- and the Lua part
--   h[5] the schema or nil    h[6] the name    h[7] the catalogue of its database
--   h[8] nil, or the table's entry in there (catalog.lua)
--   h[9] whether it has a class, in which there may be hooks
--   h[10] nil, or the table's definition (its tree), by which columns may have classes
-- It does not change, but for what is known of the table.
local core = require "perigee.core"
local catalog = require "perigee.catalog"
local util = require "perigee.util"

local usage = util.usage
local env = core.env
local getmetatable, pcall = getmetatable, pcall
local M = {}

local Handle = { __name = "perigee.table" }
local State = {}
local STATE = {} -- the key
local methods = {}

-- ---- making ----------------------------------------------------------------

local function handle_of(x)
  return getmetatable(x) == core.db_mt and x or env(x)[1]
end

local function make(x, known, schema, name, definition)
  return setmetatable(
    { x, nil, nil, nil, schema, name, known, nil, false, definition }, State)
end

local function copy(h)
  return setmetatable(
    { h[1], h[2], h[3], h[4], h[5], h[6], h[7], h[8], h[9], h[10] }, State)
end

local function new_handle(h)
  return setmetatable({ [STATE] = h }, Handle)
end

--- Reads what is not known of the handle's table, or not any more.
-- @raise undefined
function M.load(x, h)
  local entry = catalog.get(x, h[7], h[5], h[6], h[10])
  h[8], h[2] = entry, entry.info
  return entry
end

--- What is known of the handle's table; read when it has to be.
-- @treturn table the entry (catalog.lua)
function M.entry(x, h)
  local entry = h[8]
  if entry and entry.ddl == h[7].env.ddl then return entry end
  return M.load(x, h)
end

-- A state on `x` for what names a table; a handle's scope and class stay.
local function bind(x, t)
  local known = catalog.of(x)
  if getmetatable(t) ~= Handle then return make(x, known, catalog.parse(t)) end
  local h = copy(t[STATE])
  h[1] = x
  if h[7] ~= known then -- of another database
    h[7], h[8], h[2] = known, nil, nil
  end
  return h
end

--- The state for the first argument of a verb, which runs on `x` whatever the
-- handle's own executor is. Those for strings and definitions are kept, once the table
-- was found.
function M.resolve(x, t)
  local known = env(x).catalog or catalog.of(x)
  local h = known.handles[t]
  if h then return h end
  local handle = getmetatable(t) == Handle
  h = handle and t[STATE] or known.by_definition[t]
  if h and h[7] == known then return h end
  h = bind(x, t)
  if not handle and (h[10] or type(t) == "string") then
    h[1] = handle_of(x)
    M.load(x, h)
    known[h[10] and "by_definition" or "handles"][t] = h
  end
  return h
end

--- A handle of a table, without asking the database.
-- @tparam string|table|perigee.table t "name", "schema.name", { schema =, name = } or
-- another handle, whose scope and class stay
-- @tparam[opt] table options class (the metatable of rows, and the hooks)
-- @treturn perigee.table
function M.new(x, t, options)
  local h = bind(x, t)
  if options == nil then return new_handle(h) end
  if type(options) ~= "table" then
    usage("table: the options must be a table, not %s", type(options))
  end
  for k, v in pairs(options) do
    if k ~= "class" then usage("table: unknown option %q: allowed is class", tostring(k)) end
    if type(v) ~= "table" then usage("class: a table is expected, not %s", type(v)) end
    h[4], h[9] = v, true
  end
  return new_handle(h)
end

--- A handle for an entry of the catalogue.
function M.from_entry(x, entry)
  local h = make(x, catalog.of(x), entry.schema, entry.name)
  h[8], h[2] = entry, entry.info
  return new_handle(h)
end

--- The state of a method's first argument. Raises usage for h.verb(…) without its handle.
function M.need_handle(handle, name)
  if getmetatable(handle) == Handle then return handle[STATE] end
  usage("%s is a method of a handle of a table: call it with a colon, h:%s(…)", name, name)
end

--- The same handle bound to another executor: `articles:on(tx)`.
-- @treturn perigee.table
function methods.on(handle, x)
  M.need_handle(handle, "on")
  env(x) -- is it an executor?
  return new_handle(bind(x, handle))
end

-- ---- scope -----------------------------------------------------------------

local SCALAR = { string = true, number = true, boolean = true, cdata = true }

local function scope_position(list, name)
  for i = 1, #list, 2 do
    if list[i] == name then return i end
  end
end

-- In the order of names, so that one scope gives one statement.
local function sorted_scope(list)
  local names, sorted = {}, {}
  for i = 1, #list, 2 do names[#names + 1] = list[i] end
  table.sort(names)
  for _, name in ipairs(names) do
    sorted[#sorted + 1] = name
    sorted[#sorted + 1] = list[scope_position(list, name) + 1]
  end
  return sorted
end

--- A handle that sees and writes only rows with these values.
-- @tparam table conditions { column = scalar, … }; added to those that the handle has
-- @treturn perigee.table
-- @raise usage when there are none ({ uid = nil } is empty), or a column has another
-- value already
function methods.scope(handle, conditions)
  local h = M.need_handle(handle, "scope")
  if type(conditions) ~= "table" or getmetatable(conditions) ~= nil then
    usage("scope{ column = value }: a table is expected, not %s", type(conditions))
  end
  if next(conditions) == nil then
    usage("scope: no condition is given (is a value nil?)")
  end
  local list = {}
  for i, v in ipairs(h[3] or {}) do list[i] = v end
  for k, v in pairs(conditions) do
    if type(k) ~= "string" then usage("scope: %s is not the name of a column", tostring(k)) end
    if not SCALAR[type(v)] then
      usage("scope: %s: a string, number or boolean is expected, not %s", k,
        v == core.null and "null" or type(v))
    end
    local at = scope_position(list, k)
    if at and list[at + 1] ~= v then
      usage("scope: %s is bound to another value already", k)
    end
    list[at or #list + 1] = k
    list[at and at + 1 or #list + 1] = v
  end
  local scoped = copy(h)
  scoped[3] = sorted_scope(list)
  return new_handle(scoped)
end

--- The value that a state's scope gives a column, or nil.
function M.scope_value(h, name)
  local list = h[3]
  local at = list and scope_position(list, name)
  return at and list[at + 1]
end

--- The same state without its scope.
function M.unscoped(h)
  if not h[3] then return h end
  local all = copy(h)
  all[3] = nil
  return all
end

--- The same state, whose class has no hooks.
function M.unhooked(h)
  if not h[9] then return h end
  local plain = copy(h)
  plain[9] = false
  return plain
end

-- ---- what is known ---------------------------------------------------------

local function copy_list(list, fields)
  local out = {}
  for i, item in ipairs(list) do
    local c = {}
    for _, k in ipairs(fields) do c[k] = item[k] end
    out[i] = c
  end
  return out
end

local computed = {}

--- The columns in order: { name, type, class, not_null, default, generated, … }.
function computed.columns(entry)
  local columns = copy_list(entry.columns, {
    "name", "class", "elem", "not_null", "default", "generated", "orderable",
  })
  for i, c in ipairs(entry.columns) do columns[i].type = c.title end
  return columns
end

--- The columns by name: `h.c.price.type`.
function computed.c(entry)
  local by_name = {}
  for _, c in ipairs(computed.columns(entry)) do by_name[c.name] = c end
  return setmetatable(by_name, { __index = function(_, name)
    usage('there is no column "%s" in %s', tostring(name), entry.name)
  end })
end

--- The columns of the primary key in its order; nil when there is none.
function computed.pk(entry)
  if not entry.pk then return nil end
  local names = {}
  for i, name in ipairs(entry.pk) do names[i] = name end
  return names
end

--- Primary key and unique keys: { { name, primary, columns }, … }.
function computed.keys(entry)
  local keys = copy_list(entry.keys, { "name", "primary" })
  for i, k in ipairs(entry.keys) do
    keys[i].columns = {}
    for j, c in ipairs(k.columns) do keys[i].columns[j] = entry.columns[c].name end
  end
  return keys
end

-- Inside of Perigee, too, a state is asked for these by name.
function State.__index(h, k)
  if k == "name" then return rawget(h, 6) end
  if k == "schema" then return rawget(h, 5) end
  local f = computed[k]
  return f and f(M.entry(rawget(h, 1), h)) or nil
end

function Handle.__index(handle, k)
  local method = methods[k]
  if method ~= nil then return method end
  return State.__index(rawget(handle, STATE), k)
end

local function quoted(name)
  return '"' .. name:gsub('"', '""') .. '"'
end

function Handle.__tostring(h)
  local name = quoted(h.name)
  if h.schema then name = quoted(h.schema) .. "." .. name end
  return "perigee.table " .. name
end

function Handle.__newindex(h, k)
  usage("a handle of a table is not changed: %s[%q]", tostring(h), tostring(k))
end

-- ---- db.t ------------------------------------------------------------------

--- `x.t`: a table of handles by name: x.t.articles, x.t["shop.orders"].
function M.tables(x)
  local e = env(x)
  local t = e.tables
  if t then return t end
  t = setmetatable({}, {
    __name = "perigee.tables",
    __mode = "v", -- names may come from anywhere
    __index = function(self, name)
      local h = M.new(x, name)
      rawset(self, name, h)
      return h
    end,
    __newindex = function()
      usage("x.t names the tables of the database; it cannot be assigned to")
    end,
  })
  e.tables = t
  return t
end

-- ---- calls -----------------------------------------------------------------

-- After an error: is it worth another attempt? Knowledge that the database does not
-- share is given up.
local function is_outdated(x, h, err)
  if type(err) ~= "table" or getmetatable(err) ~= core.error then return false end
  local entry = h[8]
  if not entry then return false end
  if err.kind == "undefined" then catalog.forget(entry) end
  local ours = rawget(err, "unknown") or rawget(err, "outdated")
  if not ours or not catalog.refresh(x, entry) then return false end
  M.load(x, h)
  return true
end

--- Raises usage for what is wrong by what is known of the table.
function M.refuse(...)
  local err = core.new_error("usage", string.format(...))
  err.outdated = true
  error(err, 0)
end

--- By leaf: `fn(x, h, …)` is called instead of it where the database needs several
-- statements for what it promises (stepwise.lua).
M.stepwise = {}

--- By leaf: `fn(refusal, x, h, …)` is called when it was refused as `unsupported`.
M.fallbacks = {}

--- A state without the class of its rows.
function M.unclassed(h)
  if h[4] == nil then return h end
  local plain = copy(h)
  plain[4], plain[9] = nil, false
  return plain
end

--- Calls a leaf of core with a handle whose table is known; once more when it was refused
-- by knowledge that is not current.
function M.call(leaf, x, h, a, b, c, d)
  local entry = h[8]
  if not entry or entry.ddl ~= h[7].env.ddl then entry = M.load(x, h) end
  local fn = entry.steps and M.stepwise[leaf] or leaf
  local ok, result = pcall(fn, x, h, a, b, c, d)
  if ok then return result end
  if is_outdated(x, h, result) then return fn(x, h, a, b, c, d) end
  local fallback = M.fallbacks[leaf]
  if fallback and type(result) == "table" and result.kind == "unsupported" then
    return fallback(result, x, h, a, b, c, d)
  end
  error(result, 0)
end

local call = M.call

local function pass(x, h, again, ok, ...)
  if ok then return ... end
  local err = ...
  if is_outdated(x, h, err) then return again() end
  error(err, 0)
end

--- The same for functions of several results.
function M.call_all(fn, x, h, a, b, c)
  M.entry(x, h)
  return pass(x, h, function() return fn(x, h, a, b, c) end, pcall(fn, x, h, a, b, c))
end

-- ---- verbs -----------------------------------------------------------------

M.methods = methods
M.verbs = {}

--- Makes `fn(x, h, …)` a verb of executors, with a table as first argument, and a
-- method of handles.
function M.add(name, fn)
  local resolve = M.resolve
  M.verbs[name] = function(x, t, a, b, c)
    return fn(x, resolve(x, t), a, b, c)
  end
  methods[name] = function(handle, a, b, c)
    if getmetatable(handle) ~= Handle then M.need_handle(handle, name) end
    local h = handle[STATE]
    return fn(h[1], h, a, b, c)
  end
end

--- The same for a leaf of core that is the whole verb: M.call without the calls.
function M.add_leaf(name, leaf)
  local resolve = M.resolve
  M.verbs[name] = function(x, t, a, b)
    return call(leaf, x, resolve(x, t), a, b)
  end
  methods[name] = function(handle, a, b)
    if getmetatable(handle) ~= Handle then M.need_handle(handle, name) end
    local h = handle[STATE]
    local x, entry = h[1], h[8]
    if not entry or entry.ddl ~= h[7].env.ddl then M.load(x, h) end
    local ok, result = pcall(leaf, x, h, a, b)
    if ok then return result end
    if is_outdated(x, h, result) then return leaf(x, h, a, b) end
    error(result, 0)
  end
end

M.handle_mt = Handle

return M
