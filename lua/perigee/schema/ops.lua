--- Operations: what a migration consists of. Plain data { op = "add_column", schema =,
-- table =, column = …, at = { file =, line = }, allows = … }; the list is in
-- docs/internals/schema.md. This is the one place that knows their fields, what undoes
-- them, how they are told and what they do to a tree.
local apply = require "perigee.schema.apply"
local check = require "perigee.schema.check"
local near = require "perigee.sandbox.near"

local M = {}

-- ---- the operations --------------------------------------------------------

-- The fields of each: a kind for each, with "?" when it may be absent.
local FIELDS = {
  create_schema = { name = "text" },
  drop_schema = { name = "text" },
  create_enum = { schema = "text?", name = "text", values = "list" },
  drop_enum = { schema = "text?", name = "text", was = "table?" },
  add_enum_value = {
    schema = "text?", name = "text", value = "text", before = "text?", after = "text?",
    was = "list?",
  },
  rename_enum_value = { schema = "text?", name = "text", from = "text", to = "text" },
  set_enum_values = { schema = "text?", name = "text", values = "list", was = "list?" },
  create_table = { table = "table" },
  drop_table = { schema = "text?", name = "text", was = "table?" },
  rename_table = { schema = "text?", name = "text", to = "text" },
  add_column = { schema = "text?", table = "text", column = "table" },
  drop_column = { schema = "text?", table = "text", name = "text", was = "table?" },
  rename_column = { schema = "text?", table = "text", name = "text", to = "text" },
  alter_column = {
    schema = "text?", table = "text", name = "text", set = "table", was = "table?",
    using = "text?",
  },
  set_primary_key = { schema = "text?", table = "text", key = "table", was = "table?" },
  drop_primary_key = { schema = "text?", table = "text", name = "text?", was = "table?" },
  add_unique = { schema = "text?", table = "text", key = "table" },
  drop_unique = { schema = "text?", table = "text", name = "text?", was = "table?" },
  add_foreign_key = { schema = "text?", table = "text", key = "table" },
  drop_foreign_key = { schema = "text?", table = "text", name = "text?", was = "table?" },
  add_check = { schema = "text?", table = "text", check = "table" },
  drop_check = { schema = "text?", table = "text", name = "text?", was = "table?" },
  validate = { schema = "text?", table = "text", name = "text" },
  rename_constraint = { schema = "text?", table = "text", name = "text", to = "text" },
  add_index = { schema = "text?", table = "text", index = "table", concurrently = "boolean?" },
  drop_index = {
    schema = "text?", table = "text", name = "text", was = "table?", concurrently = "boolean?",
  },
  rename_index = { schema = "text?", table = "text", name = "text", to = "text" },
  set_comment = {
    schema = "text?", table = "text?", column = "text?", kind = "text?", name = "text?",
    text = "text?", was = "text?",
  },
  set_options = { schema = "text?", table = "text", options = "table", was = "table?" },
  create_view = { view = "table" },
  drop_view = { schema = "text?", name = "text", was = "table?" },
  replace_view = { view = "table", was = "table?" },
  create_object = { object = "table" },
  drop_object = {
    kind = "text", schema = "text?", name = "text", on = "text?", was = "table?",
  },
  replace_object = { object = "table", was = "table?" },
  backfill = {
    schema = "text?", table = "text", set = "table", where = "text?", key = "any?",
    batch = "number?", pause = "number?",
  },
  sql = { text = "table", down = "table?", probe = "text?", tx = "boolean?" },
  run = { n = "number" },
}

-- What any operation may have besides: where it stands, what it is allowed, and what a
-- diff says of it. Not part of what it does.
local REMARKS = { op = true, at = true, allows = true, phase = true, hint = true }

local function sorted_keys(map)
  local list = {}
  for k in pairs(map) do list[#list + 1] = k end
  table.sort(list, function(a, b)
    if type(a) == type(b) then return a < b end
    return type(a) == "number"
  end)
  return list
end

--- The names of all operations, sorted.
M.names = sorted_keys(FIELDS)

-- ---- checking --------------------------------------------------------------

local function is_kind(v, kind)
  local plain = kind:match "^%a+"
  if v == nil then return kind:sub(-1) == "?" end
  if plain == "any" then return true end
  if plain == "text" then return type(v) == "string" end
  if plain == "list" then return type(v) == "table" and #v > 0 end
  return type(v) == plain
end

--- Checks the form of an operation: its name, and that each field is one that it has.
-- @treturn table the operation
-- @raise usage with file and line
function M.check(op)
  local fields = FIELDS[op.op]
  if not fields then
    check.fail(op.at, 'unknown operation "%s"%s', tostring(op.op), near.hint(op.op, M.names))
  end
  for _, k in ipairs(sorted_keys(op)) do
    if not REMARKS[k] and not fields[k] then
      check.fail(op.at, "%s: unknown field %q: allowed are %s", op.op, tostring(k),
        table.concat(sorted_keys(fields), ", "))
    end
  end
  for _, k in ipairs(sorted_keys(fields)) do
    if not is_kind(op[k], fields[k]) then
      check.fail(op.at, "%s: %s must be a %s, not %s", op.op, k,
        (fields[k]:gsub("%?", "")), op[k] == nil and "absent" or type(op[k]))
    end
  end
  return op
end

-- ---- telling ---------------------------------------------------------------

local function title(schema, name)
  return schema and schema .. "." .. name or name
end

local function of_table(op, name)
  return title(op.schema, op.table) .. (name and "." .. name or "")
end

local function columns_of(e)
  return e and e.columns and "(" .. table.concat(e.columns, ", ") .. ")"
end

-- "orders_total_check of orders", or the columns of what has no name.
local function element(op, e)
  local name = op.name or e and e.name or columns_of(e) or e and e.sql or "?"
  return ("%s of %s"):format(name, of_table(op))
end

local function in_one_line(text)
  local line = text:gsub("%s+", " "):gsub("^ ", ""):gsub(" $", "")
  if #line <= 60 then return line end
  local cut = 57
  while cut > 0 and (line:byte(cut + 1) or 0) >= 0x80 and line:byte(cut + 1) < 0xC0 do
    cut = cut - 1
  end
  return line:sub(1, cut) .. "…"
end

local function sql_text(text)
  for _, name in ipairs { "default", "postgres", "sqlite", "mysql" } do
    if text[name] then return in_one_line(text[name]) end
  end
  return "nothing"
end

local DESCRIBE = {
  create_schema = function(op) return op.name end,
  drop_schema = function(op) return op.name end,
  add_enum_value = function(op)
    return ("'%s' to %s"):format(op.value, title(op.schema, op.name))
  end,
  rename_enum_value = function(op)
    return ("'%s' of %s to '%s'"):format(op.from, title(op.schema, op.name), op.to)
  end,
  create_table = function(op) return title(op.table.schema, op.table.name) end,
  rename_table = function(op) return ("%s to %s"):format(title(op.schema, op.name), op.to) end,
  add_column = function(op) return of_table(op, op.column.name) end,
  drop_column = function(op) return of_table(op, op.name) end,
  rename_column = function(op) return ("%s to %s"):format(of_table(op, op.name), op.to) end,
  alter_column = function(op)
    return ("%s: %s"):format(of_table(op, op.name), table.concat(sorted_keys(op.set), ", "))
  end,
  set_primary_key = function(op)
    return ("of %s: %s"):format(of_table(op), columns_of(op.key) or "")
  end,
  drop_primary_key = function(op) return "of " .. of_table(op) end,
  add_check = function(op) return element(op, op.check) end,
  add_index = function(op) return element(op, op.index) end,
  validate = function(op) return element(op) end,
  set_comment = function(op)
    if not op.name then return "of " .. of_table(op, op.column) end
    return ("of %s %s"):format(op.kind, title(op.schema, op.name))
  end,
  set_options = function(op) return "of " .. of_table(op) end,
  create_view = function(op) return title(op.view.schema, op.view.name) end,
  create_object = function(op)
    return op.object.kind .. " " .. title(op.object.schema, op.object.name)
  end,
  drop_object = function(op) return op.kind .. " " .. title(op.schema, op.name) end,
  backfill = function(op)
    return ("%s: %s"):format(of_table(op), table.concat(sorted_keys(op.set), ", "))
  end,
  sql = function(op) return sql_text(op.text) end,
  run = function(op) return ("function %d"):format(op.n) end,
}
DESCRIBE.replace_view = DESCRIBE.create_view
DESCRIBE.replace_object = DESCRIBE.create_object
for _, name in ipairs {
  "create_enum", "drop_enum", "set_enum_values", "drop_table", "drop_view",
} do
  DESCRIBE[name] = function(op) return title(op.schema, op.name) end
end
for _, name in ipairs { "add_unique", "add_foreign_key" } do
  DESCRIBE[name] = function(op) return element(op, op.key) end
end
for _, name in ipairs { "drop_unique", "drop_foreign_key", "drop_check", "drop_index" } do
  DESCRIBE[name] = function(op) return element(op, op.was) end
end
for _, name in ipairs { "rename_constraint", "rename_index" } do
  DESCRIBE[name] = function(op) return ("%s to %s"):format(element(op), op.to) end
end

local PHRASES = {
  create_object = "create", drop_object = "drop", replace_object = "replace",
  sql = "sql", run = "run", backfill = "backfill", validate = "validate",
  add_unique = "add unique key", drop_unique = "drop unique key",
}

--- What an operation does, in a few words: "add column orders.status".
function M.describe(op)
  return (PHRASES[op.op] or op.op:gsub("_", " ")) .. " " .. DESCRIBE[op.op](op)
end

-- ---- canonical text --------------------------------------------------------

-- Lua 5.3 and later know integers past 2^53.
local math_type = rawget(math, "type")

local function number_text(v)
  if v == math.floor(v) and v > -2 ^ 53 and v < 2 ^ 53 then return ("%d"):format(v) end
  if math_type and math_type(v) == "integer" then return ("%d"):format(v) end
  for digits = 14, 17 do
    local text = ("%." .. digits .. "g"):format(v)
    if tonumber(text) == v then return text end
  end
  return tostring(v)
end

local function string_text(s)
  return '"' .. s:gsub('[%c"\\]', function(c) return ("\\%03d"):format(c:byte()) end) .. '"'
end

local function is_place(k, v)
  return k == "at" and type(v) == "table" and v.file ~= nil and v.line ~= nil
end

local text_of

local function table_text(v, leave)
  local parts, n = {}, #v
  for i = 1, n do parts[i] = text_of(v[i]) end
  for _, k in ipairs(sorted_keys(v)) do
    local x = v[k]
    local in_list = type(k) == "number" and k >= 1 and k <= n
    local empty = type(x) == "table" and next(x) == nil
    if not (in_list or empty or is_place(k, x) or leave and leave[k]) then
      parts[#parts + 1] = (type(k) == "string" and string_text(k) or "[" .. number_text(k) .. "]")
        .. "=" .. text_of(x)
    end
  end
  return "{" .. table.concat(parts, ",") .. "}"
end

function text_of(v, leave)
  local kind = type(v)
  if kind == "table" then return table_text(v, leave) end
  if kind == "string" then return string_text(v) end
  if kind == "number" then return number_text(v) end
  return tostring(v)
end

--- A text of plain data that is the same for the same data in every process and on every
-- Lua: keys are sorted; places (`at`) and empty tables are left out.
function M.text(v)
  return text_of(v)
end

--- The text of what an operation does: as M.text, without remarks such as allows.
function M.canonical(op)
  return op.op .. text_of(op, REMARKS)
end

-- ---- undoing ---------------------------------------------------------------

local function undo(op, name, fields)
  fields.op, fields.at = name, op.at
  return fields
end

local function unknown(op, what)
  return nil, ("%s: what it was (was = …) is not said"):format(what or M.describe(op))
end

-- The inverse of what changes an element of a table: same table, other fields.
local function on_table(op, name, fields)
  fields.schema, fields.table = op.schema, op.table
  return undo(op, name, fields)
end

local INVERSE = {
  create_schema = function(op) return undo(op, "drop_schema", { name = op.name }) end,
  drop_schema = function(op) return undo(op, "create_schema", { name = op.name }) end,
  create_enum = function(op)
    return undo(op, "drop_enum", { schema = op.schema, name = op.name, was = op.values })
  end,
  drop_enum = function(op)
    if not op.was then return unknown(op) end
    return undo(op, "create_enum", { schema = op.schema, name = op.name,
      values = op.was.values or op.was })
  end,
  add_enum_value = function(op)
    if not op.was then return unknown(op) end
    return undo(op, "set_enum_values", { schema = op.schema, name = op.name, values = op.was,
      was = apply.with_value(op.was, op) })
  end,
  rename_enum_value = function(op)
    return undo(op, "rename_enum_value", { schema = op.schema, name = op.name,
      from = op.to, to = op.from })
  end,
  set_enum_values = function(op)
    if not op.was then return unknown(op) end
    return undo(op, "set_enum_values", { schema = op.schema, name = op.name,
      values = op.was, was = op.values })
  end,
  create_table = function(op)
    return undo(op, "drop_table", { schema = op.table.schema, name = op.table.name,
      was = op.table })
  end,
  drop_table = function(op)
    if not op.was then return unknown(op) end
    return undo(op, "create_table", { table = op.was })
  end,
  rename_table = function(op)
    return undo(op, "rename_table", { schema = op.schema, name = op.to, to = op.name })
  end,
  add_column = function(op)
    return on_table(op, "drop_column", { name = op.column.name, was = op.column })
  end,
  drop_column = function(op)
    if not (op.was and op.was.type) then return unknown(op) end
    return on_table(op, "add_column", { column = op.was })
  end,
  rename_column = function(op)
    return on_table(op, "rename_column", { name = op.to, to = op.name })
  end,
  alter_column = function(op)
    for _, k in ipairs(sorted_keys(op.set)) do
      if not op.was or op.was[k] == nil then
        return nil, ("%s: was = { %s = … } is not said"):format(M.describe(op), k)
      end
    end
    return on_table(op, "alter_column", { name = op.name, set = op.was, was = op.set })
  end,
  set_primary_key = function(op)
    if op.was then return on_table(op, "set_primary_key", { key = op.was, was = op.key }) end
    return on_table(op, "drop_primary_key", { name = op.key.name, was = op.key })
  end,
  drop_primary_key = function(op)
    if not op.was then return unknown(op) end
    return on_table(op, "set_primary_key", { key = op.was })
  end,
  validate = function() return false end,
  add_index = function(op)
    return on_table(op, "drop_index", { name = op.index.name, was = op.index,
      concurrently = op.concurrently })
  end,
  drop_index = function(op)
    if not op.was then return unknown(op) end
    return on_table(op, "add_index", { index = op.was, concurrently = op.concurrently })
  end,
  set_comment = function(op)
    return on_table(op, "set_comment", { column = op.column, kind = op.kind, name = op.name,
      text = op.was, was = op.text })
  end,
  set_options = function(op)
    if not op.was then return unknown(op) end
    return on_table(op, "set_options", { options = op.was, was = op.options })
  end,
  create_view = function(op)
    return undo(op, "drop_view", { schema = op.view.schema, name = op.view.name, was = op.view })
  end,
  drop_view = function(op)
    if not op.was then return unknown(op) end
    return undo(op, "create_view", { view = op.was })
  end,
  create_object = function(op)
    local o = op.object
    return undo(op, "drop_object", { kind = o.kind, schema = o.schema, name = o.name,
      on = o.on, was = o })
  end,
  drop_object = function(op)
    if not op.was then return unknown(op) end
    return undo(op, "create_object", { object = op.was })
  end,
  backfill = function(op) return nil, M.describe(op) .. ": the values before are not kept" end,
  sql = function(op)
    if not op.down then return nil, M.describe(op) .. ": down = … is not said" end
    return undo(op, "sql", { text = op.down, down = op.text, tx = op.tx })
  end,
  run = function(op) return nil, M.describe(op) .. ": a function has no inverse" end,
}

for _, entry in ipairs { { "unique", "key" }, { "foreign_key", "key" }, { "check", "check" } } do
  local what, field = entry[1], entry[2]
  INVERSE["add_" .. what] = function(op)
    return on_table(op, "drop_" .. what, { name = op[field].name, was = op[field] })
  end
  INVERSE["drop_" .. what] = function(op)
    if not op.was then return unknown(op) end
    return on_table(op, "add_" .. what, { [field] = op.was })
  end
end
for _, name in ipairs { "rename_constraint", "rename_index" } do
  INVERSE[name] = function(op)
    return on_table(op, name, { name = op.to, to = op.name })
  end
end
for _, entry in ipairs { { "replace_view", "view" }, { "replace_object", "object" } } do
  local name, field = entry[1], entry[2]
  INVERSE[name] = function(op)
    if not op.was then return unknown(op) end
    return undo(op, name, { [field] = op.was, was = op[field] })
  end
end

--- The operation that undoes another.
-- @treturn ?table|boolean the operation; false when nothing has to be undone (validate)
-- @treturn ?string why there is none
function M.inverse(op)
  return INVERSE[op.op](op)
end

--- The operations that undo a list of them, in reverse order.
-- @treturn ?{table,...}
-- @treturn ?string why there is none
-- @treturn ?table the operation that cannot be undone
function M.inverse_all(list)
  local out = {}
  for i = #list, 1, -1 do
    local op, why = M.inverse(list[i])
    if op == nil then return nil, why, list[i] end
    if op then out[#out + 1] = op end
  end
  return out
end

--- Does to a tree what the operation does to a database. The tree is changed; what the
-- operation holds is copied. Operations that are SQL or Lua change nothing.
-- @treturn table the tree
-- @raise usage when the tree has not what the operation needs
function M.apply(tree, op)
  return apply.apply(tree, op, M.describe(op))
end

return M
