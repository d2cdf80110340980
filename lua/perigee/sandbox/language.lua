--- The words that definitions and migrations have in common: types, columns, sql "…".
-- A part of the preludes that run inside the sandbox: no modules but those of its own
-- folder, by helpers.part. Also used outside of it, for m:run (migrate/files.lua).
local M = {}

local helpers, near, types
local enums -- of this run: { list in order, by = { [name] = entry or false } }

local getmetatable, setmetatable, type, error = getmetatable, setmetatable, type, error
local tostring, ipairs, pairs, table = tostring, ipairs, pairs, table

-- ---- places and messages ---------------------------------------------------

--- Where the script that is being run stands: { file =, line = }. After `return f(…)`
-- it stands nowhere: then it is what M.otherwise says, if anything.
function M.here()
  local file, line = helpers.where()
  if file then return { file = file, line = line } end
  local at = M.otherwise
  return at and { file = at.file, line = at.line } or nil
end

function M.fail_at(at, text, ...)
  local where = at and ("%s:%d: "):format(at.file, at.line) or ""
  error(where .. text:format(...), 0)
end

--- Raises an error with the place of the script.
function M.fail(text, ...)
  M.fail_at(M.here(), text, ...)
end

local fail = M.fail

--- ' (is "x" meant?)', or "".
function M.hint(name, names)
  return near.hint(name, names)
end

--- How a value is shown in a message.
function M.show(v)
  if type(v) == "string" then return ('"%s"'):format(v) end
  if type(v) == "number" or type(v) == "boolean" then return tostring(v) end
  return v == nil and "nothing" or "a " .. type(v)
end

--- How what was given as a name is called in a message.
function M.label(v)
  if M.is_plain(v) then v = v.name end
  return type(v) == "string" and v or M.show(v)
end

function M.sorted_keys(map)
  local list = {}
  for k in pairs(map) do list[#list + 1] = k end
  table.sort(list, function(a, b)
    if type(a) == type(b) and (type(a) == "string" or type(a) == "number") then return a < b end
    return tostring(type(a)) < tostring(type(b))
  end)
  return list
end

-- ---- options ---------------------------------------------------------------

--- Raises for a key that is not in the list `allowed`. Entries of the array part are
-- passed over when `has_list` is true.
function M.check_options(what, options, allowed, has_list)
  local known = {}
  for _, name in ipairs(allowed) do known[name] = true end
  local n = has_list and #options or 0
  for _, k in ipairs(M.sorted_keys(options)) do
    local in_list = type(k) == "number" and k >= 1 and k <= n
    if not known[k] and not in_list then
      fail("%s: unknown option %s: allowed are %s%s", what, M.show(k),
        table.concat(allowed, ", "), M.hint(k, allowed))
    end
  end
  return options
end

--- The value of an option, which must be of this type when it is there.
function M.option(what, options, name, kind)
  local v = options[name]
  if v ~= nil and type(v) ~= kind then
    fail("%s: %s must be a %s, not %s", what, name, kind, M.show(v))
  end
  return v
end

--- An option that is a text which is not empty.
function M.text(what, options, name)
  local v = M.option(what, options, name, "string")
  if v == "" then fail("%s: %s is empty", what, name) end
  return v
end

--- Is this a table as a script writes it, not one of the values of the language?
function M.is_plain(v)
  return type(v) == "table" and getmetatable(v) == nil
end

--- A plain table, or an error that says how it is written.
function M.need_table(what, v, form)
  if not M.is_plain(v) then fail("%s: %s is expected, not %s", what, form, M.show(v)) end
  return v
end

--- A list of texts: the array part of a table, or a text by itself.
function M.names(what, v)
  if type(v) == "string" then v = { v } end
  if not M.is_plain(v) then
    fail("%s: a name or a list of names is expected, not %s", what, M.show(v))
  end
  local list = {}
  for i = 1, #v do
    if type(v[i]) ~= "string" or v[i] == "" then
      fail("%s: a name is expected, not %s", what, M.show(v[i]))
    end
    list[i] = v[i]
  end
  return list
end

--- Schema (or nil) and name of "name", "schema.name" or { schema =, name = }. With the
-- option `schema` the name is taken as it is.
function M.name(what, v, schema)
  if M.is_plain(v) then
    M.check_options(what, v, { "name", "schema" })
    schema, v = v.schema or schema, v.name
    if type(schema) ~= "string" and schema ~= nil then fail("%s: schema must be a string", what) end
    schema = schema or ""
  end
  if type(v) ~= "string" or v == "" then
    fail("%s: a name is expected, not %s", what, M.show(v))
  end
  if schema then return schema ~= "" and schema or nil, v end
  local first, rest = v:match "^([^.]+)%.([^.]+)$"
  if first then return first, rest end
  if v:find(".", 1, true) then
    fail('%s: a name with dots is written { schema = "…", name = "…" }, not "%s"', what, v)
  end
  return nil, v
end

-- ---- sql "…" ---------------------------------------------------------------

local Sql = { __metatable = "sql" }

function M.is_sql(v)
  return getmetatable(v) == "sql"
end

local function new_sql(text, word)
  return setmetatable({ sql = text, word = word }, Sql)
end

local WORDS = { now = new_sql("now", true), uuid = new_sql("uuid", true) }

--- `sql "…"`, and the portable words sql.now and sql.uuid.
M.sql = setmetatable({}, {
  __metatable = false,
  __call = function(_, text)
    if type(text) ~= "string" or not text:find "%S" then
      fail('sql "…": a text is expected, not %s', M.show(text))
    end
    return new_sql(text)
  end,
  __index = function(_, name)
    local word = WORDS[name]
    if not word then fail("sql.%s: there are sql.now and sql.uuid", tostring(name)) end
    return word
  end,
  __newindex = function() fail "sql cannot be changed" end,
})

--- The SQL of an option that is always SQL: a text, or sql "…". nil when it is absent.
function M.sql_text(what, v)
  if v == nil then return nil end
  local text = M.is_sql(v) and not v.word and v.sql or v
  if type(text) ~= "string" or not text:find "%S" then
    fail("%s: an SQL text is expected, not %s", what, M.show(v))
  end
  return text
end

-- ---- types -----------------------------------------------------------------

local Type, Column = { __metatable = "type" }, { __metatable = "column" }

function M.is_type(v)
  return getmetatable(v) == "type"
end

function M.is_column(v)
  return getmetatable(v) == "column"
end

local function new_type(ty)
  return setmetatable({ ty = ty }, Type)
end

local function copy_type(ty)
  local copy = {}
  for k, v in pairs(ty) do copy[k] = v end
  for _, field in ipairs { "args", "values" } do
    local list = ty[field]
    if list then
      copy[field] = {}
      for i, v in ipairs(list) do copy[field][i] = v end
    end
  end
  return copy
end

-- varchar(32), text { … }, numeric(12, 2) { … }
function Type.__call(self, ...)
  local first = ...
  local ty = self.ty
  if M.is_plain(first) then
    local options = {}
    for k, v in pairs(first) do options[k] = v end
    return setmetatable({ ty = ty, options = options, at = M.here() }, Column)
  end
  if type(first) ~= "number" or not ty.name or ty.args then
    fail("%s: a table of options is expected, not %s", types.print(ty), M.show(first))
  end
  local args = { ... }
  local why = types.check_args(ty.name, args)
  if why then fail("%s", why) end
  return new_type { name = ty.name, args = args }
end

--- The names of the types and the functions that make them: { [name] = value }.
function M.type_words()
  local words = {
    raw = function(text)
      -- raw "" is a column of SQLite that has no type
      if type(text) ~= "string" or text:find "^%s+$" then
        fail('raw "…": the name of a type is expected, not %s', M.show(text))
      end
      return new_type { raw = text }
    end,
    array = function(v)
      local ty = M.type_of("array(…)", v)
      ty.array = (ty.array or 0) + 1
      return new_type(ty)
    end,
    enum_type = M.enum_type,
  }
  for _, name in ipairs(types.names) do words[name] = new_type { name = name } end
  return words
end

--- The type of a column that a script has made, as a value of the language.
function M.type_from(column)
  return new_type(column.ty)
end

--- A column of a type and a table of options, as text { … } makes it.
-- @param v a value of the language, or the text of a type
function M.column_of(what, v, options)
  return setmetatable({ ty = M.type_of(what, v), options = options, at = M.here() }, Column)
end

--- `none` in a migration: takes a default, a comment and so on away.
M.none = setmetatable({}, { __metatable = "none" })

function M.is_none(v)
  return getmetatable(v) == "none"
end

local function check_type(what, ty)
  local why = ty.name and types.check_args(ty.name, ty.args or {})
  if why then fail("%s: %s", what, why) end
  return copy_type(ty)
end

--- The type that a value of the language, or a text such as "numeric(12,2)[]", stands
-- for; its own copy.
function M.type_of(what, v)
  if M.is_type(v) then return check_type(what, v.ty) end
  if type(v) ~= "string" then
    fail("%s: a type such as bigint is expected, not %s", what, M.show(v))
  end
  local ty, why = types.parse(v, function(name) return enums.by[name] or nil end)
  if not ty then
    local hint = ' (the database\'s own types are written raw "…", enums enum_type("…", {…}))'
    fail("%s: %s%s", what, why, why:find "meant%??%)$" and "" or hint)
  end
  return copy_type(ty)
end

-- ---- enums -----------------------------------------------------------------

--- Values of an enum: a list of different texts, its own copy.
function M.enum_values(what, v)
  M.need_table(what, v, "a list of values")
  local list, seen = {}, {}
  for i = 1, #v do
    local value = v[i]
    if type(value) ~= "string" or value == "" or #value > 63 then
      fail("%s: a value is a text of 1 to 63 bytes, not %s", what, M.show(value))
    end
    if seen[value] then fail('%s: the value "%s" is there twice', what, value) end
    seen[value], list[i] = true, value
  end
  if #list == 0 then fail("%s: there are no values", what) end
  return list
end

--- Makes an enum known, by its name and by "schema.name". A name that two schemas have
-- is not known by itself.
function M.know_enum(schema, name, values)
  local ty = { enum = name, schema = schema, values = values }
  local full = schema and schema .. "." .. name or name
  local old = enums.by[name]
  if old ~= nil and full ~= name and (not old or old.schema ~= schema) then
    enums.by[name] = false
  else
    enums.by[name] = ty
  end
  enums.by[full] = ty
  enums[#enums + 1] = full
  return new_type(ty)
end

--- The type of a name of an enum, or nil.
function M.enum_named(name)
  local ty = enums.by[name]
  if ty == false then
    fail('there are several enums named %s: write enum_type "schema.%s"', name, name)
  end
  return ty and new_type(ty)
end

--- The names of the enums that are known.
function M.enum_names()
  return enums
end

--- enum_type("order_status"), or with the values, where the enum is not defined.
function M.enum_type(name, values)
  local what = "enum_type"
  local schema, plain = M.name(what, name)
  local full = schema and schema .. "." .. plain or plain
  if values ~= nil then
    return new_type { enum = plain, schema = schema, values = M.enum_values(what, values) }
  end
  local known = enums.by[full] and M.enum_named(full)
  if not known then
    fail('there is no enum "%s"%s: define it before, or give its values: enum_type("%s", {…})',
      full, M.hint(full, enums), full)
  end
  return known
end

-- ---- the script's surroundings ---------------------------------------------

-- What a script has of Lua; what the sandbox does not have is absent here, too.
local BASE = {
  "assert", "error", "getmetatable", "ipairs", "next", "pairs", "pcall", "rawequal",
  "rawget", "rawlen", "rawset", "select", "setmetatable", "tonumber", "tostring", "type",
  "unpack", "xpcall", "math", "string", "table", "_VERSION",
}

local ABSENT = {
  "os", "io", "load", "loadstring", "loadfile", "dofile", "debug", "package", "print",
  "collectgarbage", "coroutine",
}

local function unknown_word(name, words)
  for _, absent in ipairs(ABSENT) do
    if absent == name then fail("there is no %s in here: the script runs in a sandbox", name) end
  end
  local all = {}
  for _, w in ipairs(M.sorted_keys(words)) do all[#all + 1] = w end
  for _, w in ipairs(enums) do all[#all + 1] = w end
  fail('unknown type or function "%s"%s', name, types.hint(name, all))
end

--- The environment of a script: the words of the language, what is left of Lua, the
-- enums, and the script's own globals.
-- @tparam table words { [name] = value }
function M.environment(words)
  local own, known, globals = {}, enums, helpers.globals
  for _, name in ipairs(BASE) do
    if words[name] == nil then words[name] = _G[name] end
  end
  words._G = own
  return setmetatable(own, {
    __metatable = false,
    __index = function(_, name)
      local word = words[name]
      if word ~= nil then return word end
      if known.by[name] ~= nil then return M.enum_named(name) end
      if globals then return globals[name] end
      unknown_word(tostring(name), words)
    end,
    __newindex = function(t, name, v)
      if words[name] ~= nil and not globals then
        fail("%s is a word of the language and cannot be set", tostring(name))
      end
      rawset(t, name, v)
    end,
  })
end

--- `require` of a script: files of its project, each run once.
-- @tparam function env gives the environment
function M.require_in(env)
  local loaded, own = {}, helpers
  return function(name)
    if type(name) ~= "string" then fail('require "…": a name is expected') end
    if loaded[name] == false then fail('require: module "%s" requires itself', name) end
    if loaded[name] ~= nil then return loaded[name] end
    local source, path = own.loader(name)
    if not source then
      if own.globals then return own.globals.require(name) end
      fail('require: there is no module "%s": %s', name, tostring(path))
    end
    local chunk, why = own.load_text(source, path, env())
    if not chunk then error(why, 0) end
    loaded[name] = false
    local value = chunk(name)
    loaded[name] = value == nil and true or value
    return loaded[name]
  end
end

--- Begins a run.
-- @tparam table h the helpers: load_text, where, loader, part
-- @treturn table the module
function M.use(h)
  helpers, near = h, h.part "near"
  types = h.part("types").use(near)
  M.types = types
  enums = { by = {} }
  M.otherwise = nil
  return M
end

return M
