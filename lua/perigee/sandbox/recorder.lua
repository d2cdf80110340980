--- What a migration does with `m`: each method records an operation, plain data, and
-- does nothing else. A part of the prelude of migrations (migration.lua).
local M = {}

local L, column, elements, body

local ALTER = {
  "collation", "comment", "default", "generated", "identity", "null", "stored", "type",
}
local DATABASES = { "default", "mysql", "postgres", "sqlite" }

-- ---- helpers ---------------------------------------------------------------

-- The options of a method: a table or nothing.
local function options_of(what, o, allowed, has_list)
  if o == nil then return {} end
  L.need_table(what, o, "a table of options")
  return L.check_options(what, o, allowed, has_list)
end

local function need_name(what, v)
  if type(v) ~= "string" or v == "" then
    L.fail("%s: a name is expected, not %s", what, L.show(v))
  end
  return v
end

-- A column from (type, options), from bigint { … }, or from { type = …, … }.
local function column_of(what, name, v, o)
  if L.is_column(v) then
    if o ~= nil then L.fail("%s: the options are already in the type's braces", what) end
  elseif L.is_plain(v) then
    local options = {}
    for _, k in ipairs(L.sorted_keys(v)) do
      if k ~= "type" then options[k] = v[k] end
    end
    if v.type == nil then L.fail("%s: type is missing", what) end
    v = L.column_of(what, v.type, options)
  else
    v = L.column_of(what, v, o == nil and {} or L.need_table(what, o, "a table of options"))
  end
  return column.build(what, name, v, L.here())
end

local function was_column(what, name, v)
  if v == nil then return nil end
  return (column_of(what .. ": was", name, v))
end

-- What an element was, with the name by which it is dropped.
local function was_element(what, v, build, name)
  if v == nil then return nil end
  local e = build(what .. ": was", v, nil)
  e.name = e.name or name
  return e
end

-- ---- of tables -------------------------------------------------------------

-- Methods of m:alter(t): each gets the recorder, what for messages, and arguments, and
-- adds operations on the table.
local verbs = {}

function verbs.add_column(r, what, name, v, o)
  need_name(what, name)
  local c, extra = column_of(("%s %s"):format(what, name), name, v, o)
  if extra.pk then L.fail("%s %s: pk: use set_primary_key", what, name) end
  r:table_op { op = "add_column", column = c }
  if extra.unique then r:table_op { op = "add_unique", key = extra.unique } end
  if extra.check then r:table_op { op = "add_check", check = extra.check } end
  if extra.foreign_key then r:table_op { op = "add_foreign_key", key = extra.foreign_key } end
  if extra.index then r:table_op { op = "add_index", index = extra.index } end
end

function verbs.drop_column(r, what, name, o)
  o = options_of(what, o, { "was" })
  r:table_op {
    op = "drop_column", name = need_name(what, name), was = was_column(what, name, o.was),
  }
end

function verbs.rename_column(r, what, name, to)
  r:table_op { op = "rename_column", name = need_name(what, name), to = need_name(what, to) }
end

local NONE = { none = true }

-- One side of alter_column, `set` or `was`.
local function side(what, o, ty)
  local out = {}
  if o.type ~= nil then out.type = L.type_of(what .. ": type", o.type) end
  ty = out.type or ty
  out.null = L.option(what, o, "null", "boolean")
  for _, k in ipairs { "collation", "comment" } do
    out[k] = L.is_none(o[k]) and NONE or L.text(what, o, k)
  end
  if o.default ~= nil then
    out.default = L.is_none(o.default) and NONE
      or column.default(what, ty or { raw = "the column" }, o.default)
  end
  if L.is_none(o.identity) or o.identity == false then
    out.identity = NONE
  else
    out.identity = column.identity(what, ty or { name = "bigint" }, o.identity)
  end
  if L.is_none(o.generated) then
    out.generated = NONE
  else
    out.generated = column.generated(what, o.generated, o.stored)
  end
  return out
end

function verbs.alter_column(r, what, name, o)
  what = ("%s %s"):format(what, tostring(name))
  L.need_table(what, o, "a table of what changes")
  L.check_options(what, o, elements.with(ALTER, "using", "was"))
  local was = o.was
  if was ~= nil then
    L.need_table(what .. ": was", was, "a table")
    L.check_options(what .. ": was", was, ALTER)
    was = side(what .. ": was", was)
  end
  local set = side(what, o, was and was.type)
  if next(set) == nil then L.fail("%s: nothing changes", what) end
  r:table_op {
    op = "alter_column", name = need_name(what, name), set = set, was = was,
    using = L.sql_text(what .. ": using", o.using),
  }
end

local function key_was(what, v)
  return was_element(what, v, elements.primary_key)
end

function verbs.set_primary_key(r, what, spec)
  local key = elements.primary_key(what, spec, L.here(), "was")
  local was = type(spec) == "table" and spec.was or nil
  r:table_op { op = "set_primary_key", key = key, was = key_was(what, was) }
end

function verbs.drop_primary_key(r, what, o)
  o = options_of(what, o, { "name", "was" })
  local was = key_was(what, o.was)
  r:table_op {
    op = "drop_primary_key", was = was, name = L.text(what, o, "name") or was and was.name,
  }
end

function verbs.add_unique(r, what, spec)
  r:table_op { op = "add_unique", key = elements.unique(what, spec, L.here()) }
end

function verbs.add_foreign_key(r, what, spec)
  r:table_op { op = "add_foreign_key", key = elements.foreign_key(what, spec, L.here()) }
end

function verbs.add_check(r, what, name, sql, o)
  local check = elements.check(what, name, sql, o, L.here())
  if not check.name then L.fail('%s: name the check: add_check("name", "…")', what) end
  r:table_op { op = "add_check", check = check }
end

function verbs.add_index(r, what, spec)
  local index = elements.index(what, spec, L.here(), "concurrently")
  local o = L.is_plain(spec) and spec or {}
  r:table_op {
    op = "add_index", index = index, concurrently = L.option(what, o, "concurrently", "boolean"),
  }
end

local function check_was(what, v)
  return elements.check(what, v)
end

for _, entry in ipairs {
  { "unique", function(what, v) return elements.unique(what, v) end },
  { "foreign_key", function(what, v) return elements.foreign_key(what, v) end },
  { "check", check_was },
} do
  local kind, build = entry[1], entry[2]
  verbs["drop_" .. kind] = function(r, what, name, o)
    if L.is_plain(name) and o == nil then name, o = nil, name end
    o = options_of(what, o, { "was" })
    if name ~= nil or o.was == nil then need_name(what, name) end
    r:table_op { op = "drop_" .. kind, name = name, was = was_element(what, o.was, build, name) }
  end
end

function verbs.drop_index(r, what, name, o)
  o = options_of(what, o, { "concurrently", "was" })
  r:table_op {
    op = "drop_index", name = need_name(what, name),
    was = was_element(what, o.was, function(w, v) return elements.index(w, v) end, name),
    concurrently = L.option(what, o, "concurrently", "boolean"),
  }
end

function verbs.validate(r, what, name)
  r:table_op { op = "validate", name = need_name(what, name) }
end

for _, op in ipairs { "rename_constraint", "rename_index" } do
  verbs[op] = function(r, what, name, to)
    r:table_op { op = op, name = need_name(what, name), to = need_name(what, to) }
  end
end

-- The text of a comment, or nil for none.
local function comment_text(what, v)
  if v == nil or L.is_none(v) then return nil end
  return need_name(what, v)
end

function verbs.set_comment(r, what, text, o)
  o = options_of(what, o, { "column", "was" })
  r:table_op {
    op = "set_comment", text = comment_text(what, text), was = comment_text(what, o.was),
    column = L.text(what, o, "column"),
  }
end

local function all_options(what, o)
  local out = {}
  for _, database in ipairs { "mysql", "postgres", "sqlite" } do
    if o[database] ~= nil then out[database] = elements.options(what, database, o[database]) end
  end
  return out
end

function verbs.set_options(r, what, o)
  L.need_table(what, o, "{ postgres = { … } }")
  L.check_options(what, o, { "mysql", "postgres", "sqlite", "was" })
  local was
  if o.was ~= nil then
    L.need_table(what .. ": was", o.was, "{ postgres = { … } }")
    L.check_options(what .. ": was", o.was, { "mysql", "postgres", "sqlite" })
    was = all_options(what .. ": was", o.was)
  end
  r:table_op { op = "set_options", options = all_options(what, o), was = was }
end

local function positive(what, o, name, whole)
  local v = L.option(what, o, name, "number")
  if v and (v < 0 or whole and (v < 1 or v ~= math.floor(v))) then
    L.fail("%s: %s must be %s", what, name, whole and "a whole number from 1" or "0 or more")
  end
  return v
end

function verbs.backfill(r, what, o)
  L.need_table(what, o, "{ set = { … }, where = … }")
  L.check_options(what, o, { "batch", "key", "pause", "set", "where" })
  local set = {}
  L.need_table(what .. ": set", o.set, "{ column = value }")
  for _, name in ipairs(L.sorted_keys(o.set)) do
    local v = o.set[name]
    if type(name) ~= "string" or type(v) == "function" or type(v) == "table" and not L.is_sql(v)
    then
      L.fail('%s: set: a column with a plain value or sql "…" is expected', what)
    end
    set[name] = L.is_sql(v) and { sql = v.sql, word = v.word } or { value = v }
  end
  if next(set) == nil then L.fail("%s: set is empty", what) end
  r:table_op {
    op = "backfill", set = set, where = L.sql_text(what .. ": where", o.where),
    key = o.key ~= nil and L.names(what .. ": key", o.key) or nil,
    batch = positive(what, o, "batch", true), pause = positive(what, o, "pause"),
  }
end

-- ---- of the database -------------------------------------------------------

local methods = {}

-- { schema =, name = } of a name.
local function named(what, name)
  local schema, plain = L.name(what, name)
  return { schema = schema, name = plain }
end

local function add(r, op, fields)
  fields.op = op
  r:op(fields)
end

function methods.create_schema(r, what, name)
  add(r, "create_schema", { name = need_name(what, name) })
end

function methods.drop_schema(r, what, name)
  add(r, "drop_schema", { name = need_name(what, name) })
end

function methods.create_enum(r, what, name, values)
  local e = named(what, name)
  e.values = L.enum_values(what, values)
  add(r, "create_enum", e)
  return L.know_enum(e.schema, e.name, e.values)
end

local function was_values(what, o)
  return o.was ~= nil and L.enum_values(what .. ": was", o.was) or nil
end

function methods.drop_enum(r, what, name, o)
  local e = named(what, name)
  e.was = was_values(what, options_of(what, o, { "was" }))
  add(r, "drop_enum", e)
end

function methods.add_enum_value(r, what, name, value, o)
  local e = named(what, name)
  o = options_of(what, o, { "after", "before", "was" })
  e.value = need_name(what, value)
  e.before, e.after = L.text(what, o, "before"), L.text(what, o, "after")
  if e.before and e.after then L.fail("%s: either before or after", what) end
  e.was = was_values(what, o)
  add(r, "add_enum_value", e)
end

function methods.rename_enum_value(r, what, name, from, to)
  local e = named(what, name)
  e.from, e.to = need_name(what, from), need_name(what, to)
  add(r, "rename_enum_value", e)
end

function methods.set_enum_values(r, what, name, values, o)
  local e = named(what, name)
  e.values = L.enum_values(what, values)
  e.was = was_values(what, options_of(what, o, { "was" }))
  add(r, "set_enum_values", e)
  L.know_enum(e.schema, e.name, e.values)
end

function methods.create_table(r, what, name, o, fn)
  if fn == nil and type(o) == "function" then o, fn = {}, o end
  if type(fn) ~= "function" then
    L.fail('%s: create_table("name", function(t) … end) is expected', what)
  end
  add(r, "create_table", { table = body.run(name, o == nil and {} or o, fn, L.here()) })
end

function methods.drop_table(r, what, name, o)
  local e = named(what, name)
  o = options_of(what, o, { "comment", "was" })
  if o.was ~= nil then
    if type(o.was) ~= "function" then
      L.fail("%s: was = function(t) … end is expected, not %s", what, L.show(o.was))
    end
    e.was = body.run({ schema = e.schema, name = e.name }, { comment = o.comment }, o.was,
      L.here())
  end
  add(r, "drop_table", e)
end

function methods.rename_table(r, what, name, to)
  local e = named(what, name)
  e.to = need_name(what, to)
  add(r, "rename_table", e)
end

function methods.set_comment(r, what, first, ...)
  if type(first) == "string" then return r:alter(first):set_comment(...) end
  L.need_table(what, first, "{ table = …, text = … }")
  local o = L.check_options(what, first,
    { "column", "kind", "name", "schema", "table", "text", "was" })
  local e = {}
  for _, k in ipairs { "column", "kind", "name", "schema", "table" } do
    e[k] = L.text(what, o, k)
  end
  e.text, e.was = comment_text(what, o.text), comment_text(what, o.was)
  if not e.table and not (e.kind and e.name) then
    L.fail("%s: table, or kind and name, are missing", what)
  end
  add(r, "set_comment", e)
end

local function was_view(what, name, v)
  if v == nil then return nil end
  if type(v) == "string" then v = { sql = v } end
  L.need_table(what .. ": was", v, "the query or a table")
  return elements.view(name, v)
end

-- (name, sql), (name, options, sql): the view, and what it was.
local function view_of(name, o, sql)
  if not L.is_plain(o) then return elements.view(name, o, sql, L.here()) end
  local options = {}
  for _, k in ipairs(L.sorted_keys(o)) do
    if k ~= "was" then options[k] = o[k] end
  end
  return elements.view(name, options, sql, L.here()), o.was
end

function methods.create_view(r, what, name, o, sql)
  local v, was = view_of(name, o, sql)
  if was ~= nil then L.fail("%s: was is for replace_view", what) end
  add(r, "create_view", { view = v })
end

function methods.replace_view(r, what, name, o, sql)
  local v, was = view_of(name, o, sql)
  add(r, "replace_view", { view = v, was = was_view(what, name, was) })
end

function methods.drop_view(r, what, name, o)
  local e = named(what, name)
  o = options_of(what, o, { "was" })
  e.was = was_view(what, name, o.was)
  add(r, "drop_view", e)
end

-- What an object was: its text, or a table with more.
local function was_object(what, o)
  local was = o.was
  if was == nil then return nil end
  if type(was) == "string" then was = { sql = was } end
  L.need_table(what .. ": was", was, "the text or a table")
  local full = { kind = o.kind, name = o.name, schema = o.schema, on = o.on }
  for _, k in ipairs(L.sorted_keys(was)) do full[k] = was[k] end
  return elements.object(what .. ": was", full)
end

function methods.create_object(r, what, o)
  add(r, "create_object", { object = elements.object(what, o, L.here()) })
end

function methods.replace_object(r, what, o)
  local object = elements.object(what, o, L.here(), "was")
  add(r, "replace_object", { object = object, was = was_object(what, o) })
end

function methods.drop_object(r, what, o)
  L.need_table(what, o, "{ kind =, name = }")
  L.check_options(what, o, { "kind", "name", "on", "schema", "was" })
  local e = {}
  for _, k in ipairs { "kind", "name", "on", "schema" } do e[k] = L.text(what, o, k) end
  if not (e.kind and e.name) then L.fail("%s: kind and name are expected", what) end
  e.was = was_object(what, o)
  add(r, "drop_object", e)
end

-- ---- SQL and Lua -----------------------------------------------------------

-- SQL for each database: a text for all of them, or { postgres =, sqlite = }.
local function sql_by_database(what, v)
  local out = {}
  if not L.is_plain(v) then v = { v } end
  for _, k in ipairs(DATABASES) do out[k] = L.sql_text(what .. ": " .. k, v[k]) end
  if v[1] ~= nil then
    if out.default then L.fail("%s: the text is given twice", what) end
    out.default = L.sql_text(what, v[1])
  end
  if next(out) == nil then L.fail("%s: an SQL text is expected", what) end
  return out
end

function methods.sql(r, what, v)
  local o = L.is_plain(v) and v or {}
  L.check_options(what, o, elements.with(DATABASES, "down", "probe", "tx"), true)
  if #o > 1 then L.fail("%s: one text is expected", what) end
  local down
  if o.down ~= nil then
    if L.is_plain(o.down) then L.check_options(what .. ": down", o.down, DATABASES, true) end
    down = sql_by_database(what .. ": down", o.down)
  end
  add(r, "sql", {
    text = sql_by_database(what, v), down = down,
    probe = L.sql_text(what .. ": probe", o.probe),
    tx = L.option(what, o, "tx", "boolean") ~= false,
  })
end

function methods.run(r, what, fn)
  if type(fn) ~= "function" then
    L.fail("%s: a function is expected, not %s", what, L.show(fn))
  end
  r.functions[#r.functions + 1] = fn
  add(r, "run", { n = #r.functions })
end

--- m:allow("drop-column", "not read since May"): for the next operation.
function methods.allow(r, what, rule, reason)
  need_name(what, rule)
  if type(reason) ~= "string" or not reason:find "%S" then
    L.fail('%s: a reason is expected: allow("%s", "why it is safe")', what, rule)
  end
  r.allows[#r.allows + 1] = { rule = rule, reason = reason }
  r.allowed_at = L.here()
end

-- ---- the recorder ----------------------------------------------------------

local names, table_names

local function call(fn, r, self, expected, name, ...)
  if self ~= expected then
    L.fail("%s is called with a colon: %s:%s(…)", name, r.target and "o" or "m", name)
  end
  return fn(r, name, ...)
end

local function proxy(r, lookup, all)
  local self = {}
  return setmetatable(self, {
    __metatable = "recorder",
    __index = function(_, name)
      local fn = lookup(name)
      if not fn then
        L.fail('there is no operation "%s"%s', tostring(name), L.hint(name, all))
      end
      return function(given, ...)
        return call(fn, r, given, self, name, ...)
      end
    end,
    __newindex = function(_, name) L.fail("%s cannot be set here", tostring(name)) end,
  })
end

local Recorder = {}
Recorder.__index = Recorder

function Recorder:op(op)
  op.at = L.here()
  local list = self.list
  if #self.allows > 0 then
    op.allows, self.allows = self.allows, {}
  end
  list[#list + 1] = op
end

function Recorder:table_op(op)
  op.schema, op.table = self.target.schema, self.target.name
  self.root:op(op)
end

-- m:alter "orders": the methods on this table.
function Recorder:alter(name)
  local r = setmetatable({ root = self, target = named("alter", name) }, Recorder)
  return proxy(r, function(verb)
    if verb == "allow" then
      return function(_, ...) return methods.allow(self, ...) end
    end
    return verbs[verb]
  end, table_names)
end

function methods.alter(r, _, name)
  return r:alter(name)
end

-- m:add_column("orders", …) is m:alter "orders":add_column(…)
local function shortcut(name)
  if not verbs[name] then return nil end
  return function(r, _, target, ...)
    local o = r:alter(target)
    return o[name](o, ...)
  end
end

--- Records what a function does.
-- @tparam function fn up, finish, down or change
-- @treturn {table,...} the operations
-- @treturn {function,...} the functions of m:run
function M.record(fn)
  local r = setmetatable({ list = {}, functions = {}, allows = {} }, Recorder)
  fn(proxy(r, function(name) return methods[name] or shortcut(name) end, names))
  if #r.allows > 0 then
    L.fail_at(r.allowed_at, "allow: no operation follows")
  end
  return r.list, r.functions
end

function M.use(language, columns, parts, bodies)
  L, column, elements, body = language, columns, parts, bodies
  names, table_names = L.sorted_keys(methods), L.sorted_keys(verbs)
  for _, name in ipairs(table_names) do
    if not methods[name] then names[#names + 1] = name end
  end
  return M
end

return M
