--- A migration as the text of a file, from its operations: what a generated migration
-- looks like. The language is that of sandbox/recorder.lua; recording the text gives the
-- same operations again.
local columns = require "perigee.schema.write.columns"
local lua = require "perigee.schema.write.lua"
local names = require "perigee.schema.names"
local tables = require "perigee.schema.write.tables"
local types = require "perigee.schema.write.types"
local util = require "perigee.util"

local M = {}

local INDENT = "    "
local text = lua.text

-- Names "schema.name", or a table where that would be read otherwise.
local function title(schema, name)
  if name:find(".", 1, true) or schema and schema:find(".", 1, true) then
    return "{ schema = " .. text(schema or "") .. ", name = " .. text(name) .. " }"
  end
  return text(schema and schema .. "." .. name or name)
end

local function call(verb, ...)
  return verb .. "(" .. table.concat({ ... }, ", ") .. ")"
end

-- verb "one argument", or verb(a, b)
local function with_was(verb, first, was)
  if not was then return verb .. " " .. first end
  return call(verb, first, "{ was = " .. was .. " }")
end

-- The argument of a function that takes a table or text by itself.
local function braces(verb, items)
  return verb .. " " .. lua.table(items, INDENT)
end

local function flat(list)
  local items = {}
  for i, value in ipairs(list) do items[i] = text(value) end
  return lua.table(items)
end

-- ---- tables -----------------------------------------------------------------------

local function body_text(p, t)
  local lines = { "function(t)" }
  for _, line in ipairs(tables.body(p, t, INDENT .. "  ")) do
    lines[#lines + 1] = INDENT .. "  " .. line
  end
  lines[#lines + 1] = INDENT .. "end"
  return table.concat(lines, "\n")
end

local function column_text(p, c)
  return columns.column(p, c, nil, INDENT)
end

-- The type of one side of alter_column, as text (nil: it does not change) and in
-- portable form.
local function side_type(p, set, ty)
  if set.type then return columns.type(p, set.type) end
  return nil, ty and types.portable(p.dialect, ty)
end

-- { type = …, null = …, default = … } of alter_column.
local function side(p, set, other)
  local items = {}
  local function add(name, value)
    if value ~= nil then items[#items + 1] = name .. " = " .. value end
  end
  local words, ty = side_type(p, set, other)
  add("type", words)
  if set.null ~= nil then add("null", tostring(set.null)) end
  add("default", types.default(ty and p.dialect, set, ty or { raw = "" }))
  add("identity", columns.identity(set.identity))
  local generated = set.generated
  if generated then
    add("generated", generated.none and "none" or "sql " .. lua.sql(generated.sql))
    add("stored", generated.stored and "true" or nil)
  end
  for _, name in ipairs { "collation", "comment" } do
    local value = set[name]
    add(name, value and (type(value) == "table" and "none" or text(value)) or nil)
  end
  return items
end

local function alter_text(p, op)
  local items = side(p, op.set, (op.was or {}).type)
  if op.using then items[#items + 1] = "using = " .. lua.sql(op.using) end
  if op.was and next(op.was) then
    items[#items + 1] = "was = " .. lua.table(side(p, op.was, op.set.type), INDENT .. "  ")
  end
  return call("alter_column", text(op.name), lua.table(items, INDENT))
end

-- A was = … that stands among the items of a key or index.
local function among(was)
  return was and { "was = " .. was } or nil
end

local function check_was(check)
  if check.no_inherit or check.valid == false then
    return tables.check(nil, { sql = check.sql, no_inherit = check.no_inherit,
      valid = check.valid })
  end
  return lua.sql(check.sql)
end

local function concurrently(op)
  return op.concurrently ~= nil and { "concurrently = " .. tostring(op.concurrently) } or nil
end

local function drop_element(verb, op, was)
  if not op.name then return verb .. " { was = " .. was .. " }" end
  return with_was(verb, text(op.name), was)
end

-- Operations on a table, behind m:alter "name".
local ON_TABLE = {
  add_column = function(p, op)
    return call("add_column", text(op.column.name), column_text(p, op.column))
  end,
  drop_column = function(p, op)
    return with_was("drop_column", text(op.name), op.was and column_text(p, op.was))
  end,
  rename_column = function(_, op) return call("rename_column", text(op.name), text(op.to)) end,
  alter_column = alter_text,
  set_primary_key = function(_, op)
    return "set_primary_key " .. tables.key(nil, "primary_key", op.key,
      among(op.was and tables.key(nil, "primary_key", op.was)))
  end,
  drop_primary_key = function(_, op)
    local items = {}
    if op.was then items[1] = "was = " .. tables.key(nil, "primary_key", op.was) end
    if op.name then items[#items + 1] = "name = " .. text(op.name) end
    return braces("drop_primary_key", items)
  end,
  add_unique = function(_, op) return "add_unique " .. tables.key(nil, "unique", op.key) end,
  drop_unique = function(_, op)
    return drop_element("drop_unique", op, op.was and tables.key(nil, "unique", op.was))
  end,
  add_foreign_key = function(_, op)
    return "add_foreign_key " .. tables.foreign_key(nil, op.key, INDENT)
  end,
  drop_foreign_key = function(_, op)
    return drop_element("drop_foreign_key", op, op.was and tables.foreign_key(nil, op.was))
  end,
  add_check = function(_, op)
    local check = op.check
    if not check.name then -- SQLite has such; a new one is called something
      check = { sql = check.sql, no_inherit = check.no_inherit, valid = check.valid,
        name = names.of({ name = op.table, columns = {} }, "check", check) }
    end
    local arguments = tables.check(nil, check)
    if arguments:sub(1, 1) == "{" then return "add_check " .. arguments end
    return "add_check(" .. arguments .. ")"
  end,
  drop_check = function(_, op)
    return drop_element("drop_check", op, op.was and check_was(op.was))
  end,
  validate = function(_, op) return "validate " .. text(op.name) end,
  rename_constraint = function(_, op)
    return call("rename_constraint", text(op.name), text(op.to))
  end,
  add_index = function(_, op)
    return "add_index " .. tables.index(nil, op.index, concurrently(op), INDENT)
  end,
  drop_index = function(_, op)
    local items = concurrently(op) or {}
    if op.was then table.insert(items, 1, "was = " .. tables.index(nil, op.was)) end
    if #items == 0 then return "drop_index " .. text(op.name) end
    return call("drop_index", text(op.name), lua.table(items, INDENT))
  end,
  rename_index = function(_, op) return call("rename_index", text(op.name), text(op.to)) end,
  set_options = function(_, op)
    local items = {}
    for _, name in ipairs(lua.sorted_keys(op.options)) do
      items[#items + 1] = name .. " = " .. lua.value(op.options[name], INDENT .. "  ")
    end
    if op.was then items[#items + 1] = "was = " .. lua.value(op.was, INDENT .. "  ") end
    return braces("set_options", items)
  end,
  backfill = function(_, op)
    local set, items = {}, {}
    for _, name in ipairs(lua.sorted_keys(op.set)) do
      local v = op.set[name]
      set[#set + 1] = lua.key(name) .. " = " .. (v.sql == nil and lua.value(v.value)
        or v.word and "sql." .. v.sql or "sql " .. lua.sql(v.sql))
    end
    items[1] = "set = " .. lua.table(set, INDENT .. "  ")
    if op.where then items[#items + 1] = "where = " .. lua.sql(op.where) end
    if op.key then
      items[#items + 1] = "key = " .. (type(op.key) == "table" and lua.names(op.key)
        or text(op.key))
    end
    for _, name in ipairs { "batch", "pause" } do
      if op[name] then items[#items + 1] = name .. " = " .. lua.number(op[name]) end
    end
    return braces("backfill", items)
  end,
}

-- ---- the rest ---------------------------------------------------------------------

local function view_items(v)
  local items = {}
  if v.materialized then items[1] = "materialized = true" end
  if v.with then items[#items + 1] = "with = " .. lua.value(v.with) end
  if v.comment then items[#items + 1] = "comment = " .. text(v.comment) end
  if v.after and #v.after > 0 then items[#items + 1] = "after = " .. lua.names(v.after) end
  return items
end

local function view_was(v)
  local items = view_items(v)
  if #items == 0 then return lua.sql(v.sql) end
  table.insert(items, 1, "sql = " .. lua.sql(v.sql))
  return lua.table(items, INDENT)
end

local function view_text(verb, v, was)
  local items = view_items(v)
  if was then table.insert(items, 1, "was = " .. view_was(was)) end
  if #items == 0 then return call(verb, title(v.schema, v.name), lua.sql(v.sql)) end
  return call(verb, title(v.schema, v.name), lua.table(items, INDENT), lua.sql(v.sql))
end

local function object_items(o)
  local items = { "kind = " .. text(o.kind), "name = " .. text(o.name) }
  for _, name in ipairs { "schema", "on", "owned_by", "comment", "version" } do
    if o[name] then items[#items + 1] = name .. " = " .. text(o[name]) end
  end
  if o.after and #o.after > 0 then items[#items + 1] = "after = " .. lua.names(o.after) end
  items[#items + 1] = "sql = " .. lua.sql(o.sql)
  return items
end

-- What an object was: its text, or a table when there is more to say.
local function object_was(o)
  local items = {}
  for _, name in ipairs { "owned_by", "comment", "version" } do
    if o[name] then items[#items + 1] = name .. " = " .. text(o[name]) end
  end
  if o.after and #o.after > 0 then items[#items + 1] = "after = " .. lua.names(o.after) end
  if #items == 0 then return lua.sql(o.sql) end
  items[#items + 1] = "sql = " .. lua.sql(o.sql)
  return lua.table(items, INDENT)
end

local function table_comment(op)
  local items = {}
  if op.column then items[1] = "column = " .. text(op.column) end
  if op.was then items[#items + 1] = "was = " .. text(op.was) end
  local first = op.text and text(op.text) or "none"
  if #items == 0 then return call("set_comment", first) end
  return call("set_comment", first, lua.table(items, INDENT))
end

local function other_comment(op)
  local items = {}
  for _, name in ipairs { "kind", "schema", "table", "name", "text", "was" } do
    if op[name] then items[#items + 1] = name .. " = " .. text(op[name]) end
  end
  return braces("set_comment", items)
end

local SQL_NAMES = { "default", "mysql", "postgres", "sqlite" }

local function sql_items(map)
  local items = {}
  for _, name in ipairs(SQL_NAMES) do
    if map[name] then items[#items + 1] = name .. " = " .. lua.sql(map[name]) end
  end
  return items
end

local function sql_text(_, op)
  local only = op.text.default and next(op.text, (next(op.text))) == nil
  if only and not op.down and not op.probe and op.tx ~= false then
    return "sql " .. lua.sql(op.text.default)
  end
  local items = sql_items(op.text)
  if op.down then items[#items + 1] = "down = " .. lua.table(sql_items(op.down), INDENT .. "  ") end
  if op.probe then items[#items + 1] = "probe = " .. lua.sql(op.probe) end
  if op.tx == false then items[#items + 1] = "tx = false" end
  return braces("sql", items)
end

local function rename(verb)
  return function(_, op) return call(verb, title(op.schema, op.name), text(op.to)) end
end

-- Operations on the database, behind m.
local ON_DATABASE = {
  create_schema = function(_, op) return "create_schema " .. text(op.name) end,
  drop_schema = function(_, op) return "drop_schema " .. text(op.name) end,
  create_enum = function(_, op)
    return call("create_enum", title(op.schema, op.name), flat(op.values))
  end,
  drop_enum = function(_, op)
    local was = op.was and (op.was.values or op.was)
    return with_was("drop_enum", title(op.schema, op.name), was and flat(was))
  end,
  add_enum_value = function(_, op)
    local items = {}
    for _, name in ipairs { "before", "after" } do
      if op[name] then items[#items + 1] = name .. " = " .. text(op[name]) end
    end
    if op.was then items[#items + 1] = "was = " .. flat(op.was) end
    return call("add_enum_value", title(op.schema, op.name), text(op.value), lua.table(items))
  end,
  rename_enum_value = function(_, op)
    return call("rename_enum_value", title(op.schema, op.name), text(op.from), text(op.to))
  end,
  set_enum_values = function(_, op)
    local arguments = { title(op.schema, op.name), flat(op.values) }
    if op.was then arguments[3] = "{ was = " .. flat(op.was) .. " }" end
    return call("set_enum_values", util.unpack(arguments))
  end,
  create_table = function(p, op)
    local t = op.table
    local arguments = { title(t.schema, t.name) }
    if t.comment then arguments[2] = "{ comment = " .. text(t.comment) .. " }" end
    arguments[#arguments + 1] = body_text(p, t)
    return call("create_table", util.unpack(arguments))
  end,
  drop_table = function(p, op)
    if not op.was then return "drop_table " .. title(op.schema, op.name) end
    local comment = op.was.comment and "comment = " .. text(op.was.comment) .. ", " or ""
    return call("drop_table", title(op.schema, op.name),
      "{ " .. comment .. "was = " .. body_text(p, op.was) .. " }")
  end,
  rename_table = rename "rename_table",
  create_view = function(_, op) return view_text("create_view", op.view) end,
  replace_view = function(_, op) return view_text("replace_view", op.view, op.was) end,
  drop_view = function(_, op)
    return with_was("drop_view", title(op.schema, op.name), op.was and view_was(op.was))
  end,
  create_object = function(_, op) return braces("create_object", object_items(op.object)) end,
  replace_object = function(_, op)
    local items = object_items(op.object)
    if op.was then items[#items + 1] = "was = " .. object_was(op.was) end
    return braces("replace_object", items)
  end,
  drop_object = function(_, op)
    local items = { "kind = " .. text(op.kind), "name = " .. text(op.name) }
    for _, name in ipairs { "schema", "on" } do
      if op[name] then items[#items + 1] = name .. " = " .. text(op[name]) end
    end
    if op.was then items[#items + 1] = "was = " .. object_was(op.was) end
    return braces("drop_object", items)
  end,
  sql = sql_text,
}

-- ---- phases -----------------------------------------------------------------------

-- Writes operations; one `local o` serves neighbours on the same table.
local function statements(p, list)
  local lines, target, declared = {}, nil, false
  for _, op in ipairs(list) do
    for _, allow in ipairs(op.allows or {}) do
      lines[#lines + 1] = "m:allow(" .. text(allow.rule) .. ", " .. text(allow.reason) .. ")"
    end
    local write = ON_TABLE[op.op] or op.op == "set_comment" and not op.kind and function()
      return table_comment(op)
    end
    if write then
      local name = title(op.schema, op.table)
      if name ~= target then
        lines[#lines + 1] = (declared and "" or "local ") .. "o = m:alter" .. (name:sub(1, 1) == "{"
          and "(" .. name .. ")" or " " .. name)
        target, declared = name, true
      end
      lines[#lines + 1] = "o:" .. write(p, op)
    elseif op.op == "run" then
      util.usage("a function (m:run) cannot be written from a recording")
    else
      target = nil
      write = ON_DATABASE[op.op] or function() return other_comment(op) end
      lines[#lines + 1] = "m:" .. write(p, op)
    end
  end
  return lines
end

local function phase(out, p, name, list)
  if list == false then
    out[#out + 1] = "  " .. name .. " = false,"
    return
  end
  local lines = statements(p, list)
  if #lines == 0 then
    out[#out + 1] = "  " .. name .. " = function() end,"
    return
  end
  out[#out + 1] = "  " .. name .. " = function(m)"
  for _, line in ipairs(lines) do out[#out + 1] = INDENT .. line end
  out[#out + 1] = "  end,"
end

local OPTIONS = { "id", "after", "message", "labels", "depends", "replaces", "up", "finish",
  "down", "header", "dialect", "name" }

local HEADER = "-- Written by perigee; review it, then commit it."

--- The text of a migration's file.
-- @tparam table spec id; after, labels, depends, replaces: lists; message; up, finish:
--   lists of operations; down: a list, false when it cannot be undone, nil for none;
--   header: comment at the top; dialect: whose server's words the operations have
-- @treturn string
-- @raise usage for m:run, whose functions are not in a recording
function M.text(spec)
  util.check_options("revision", spec, OPTIONS)
  local p = { dialect = spec.dialect, enum = function(ty)
    return "enum_type(" .. title(ty.schema, ty.enum) .. ", " .. flat(ty.values or {}) .. ")"
  end }
  local out = { spec.header or HEADER, "return migration {", "  id = " .. text(spec.id) .. "," }
  out[#out + 1] = "  after = " .. flat(spec.after or {}) .. ","
  out[#out + 1] = "  message = " .. text(spec.message or "") .. ","
  for _, name in ipairs { "labels", "depends", "replaces" } do
    if spec[name] and #spec[name] > 0 then
      out[#out + 1] = "  " .. name .. " = " .. flat(spec[name]) .. ","
    end
  end
  for _, name in ipairs { "up", "finish", "down" } do
    local list = spec[name]
    if list == nil and name == "up" then list = {} end
    if list ~= nil then
      out[#out + 1] = ""
      phase(out, p, name, list)
    end
  end
  out[#out + 1] = "}"
  return table.concat(out, "\n") .. "\n"
end

return M
