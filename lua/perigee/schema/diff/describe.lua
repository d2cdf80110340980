--- Changes in words, one line each.
local match = require "perigee.schema.diff.match"

local label = match.label
local M = {}

--- A type in a few words.
function M.type(t)
  local words = t.raw or t.enum and label(t.schema, t.enum)
  if not words then
    words = t.name .. (t.args and #t.args > 0 and "(" .. table.concat(t.args, ",") .. ")" or "")
  end
  return words .. ("[]"):rep(t.array or 0)
end

local function literal(v)
  if type(v) == "string" then return "'" .. v:gsub("'", "''") .. "'" end
  return tostring(v)
end

local function default_words(default)
  if not default or default.none then return "none" end
  if default.sql then return default.sql end
  return literal(default.value)
end

local function column_words(c)
  local out = { M.type(c.type) }
  if not c.null then out[#out + 1] = "not null" end
  if c.default then out[#out + 1] = "default " .. default_words(c.default) end
  if c.identity then out[#out + 1] = "identity" end
  if c.generated then out[#out + 1] = "generated (" .. c.generated.sql .. ")" end
  return table.concat(out, " ")
end

local function identity_words(e)
  if e.none then return "none" end
  local more = {}
  for _, key in ipairs { "start", "increment", "min", "max", "cache" } do
    if e[key] then more[#more + 1] = key .. " " .. tostring(e[key]) end
  end
  table.insert(more, 1, e.always and "always" or "by default")
  return table.concat(more, ", ")
end

local function generated_words(e)
  return e.none and "none" or (e.stored and "stored " or "virtual ") .. e.sql
end

local ALTERED = {
  { "type", M.type, "%s" }, { "null", function(v) return v and "null" or "not null" end, "%s" },
  { "default", default_words, "default %s" }, { "generated", generated_words, "generated %s" },
  { "identity", identity_words, "identity %s" },
  { "collation", function(v) return type(v) == "string" and v or "default" end, "collation %s" },
}

local function altered_words(op)
  local out = {}
  for _, one in ipairs(ALTERED) do
    local key, words, form = one[1], one[2], one[3]
    local v, was = op.set[key], (op.was or {})[key]
    local text, old = v ~= nil and words(v), was ~= nil and words(was)
    if text and text ~= old then
      if old then text = old .. " -> " .. text end
      out[#out + 1] = form:format(text)
    end
  end
  return table.concat(out, ", ")
end

local function list_words(values) return "(" .. table.concat(values, ", ") .. ")" end

local function key_words(key)
  local columns = {}
  for i, k in ipairs(key.keys or key.columns or {}) do
    columns[i] = type(k) == "string" and k or k.column or k.sql
  end
  return list_words(columns)
end

-- Names inside a table, of elements that may have none.
local function inside(op, name)
  return label(op.schema, op.table) .. (name and "." .. name or "")
end

local function own(op) return label(op.schema, op.name) end

local function reference_words(key)
  return key_words(key) .. " -> " .. label(key.ref.schema, key.ref.table)
    .. (key.ref.columns and list_words(key.ref.columns) or "")
end

-- { sign, kind or f(op), name = f(op), detail = f(op) or nil }
local WORDS = {
  create_schema = { "+", "schema", function(op) return op.name end },
  drop_schema = { "-", "schema", function(op) return op.name end },
  create_enum = { "+", "enum", own, function(op) return list_words(op.values) end },
  drop_enum = { "-", "enum", own },
  add_enum_value = { "+", "value", function(op) return own(op) .. "." .. op.value end,
    function(op)
      return op.before and "before " .. op.before or op.after and "after " .. op.after or ""
    end },
  rename_enum_value = { "~", "value", function(op) return own(op) .. "." .. op.from end,
    function(op) return "-> " .. op.to end },
  set_enum_values = { "~", "enum", own, function(op)
    return list_words(op.was or {}) .. " -> " .. list_words(op.values)
  end },
  create_table = { "+", "table", function(op) return label(op.table.schema, op.table.name) end,
    function(op)
      local n = #op.table.columns
      return n == 1 and "1 column" or n .. " columns"
    end },
  drop_table = { "-", "table", own },
  rename_table = { "~", "table", own, function(op) return "-> " .. op.to end },
  add_column = { "+", "column", function(op) return inside(op, op.column.name) end,
    function(op) return column_words(op.column) end },
  drop_column = { "-", "column", function(op) return inside(op, op.name) end },
  rename_column = { "~", "column", function(op) return inside(op, op.name) end,
    function(op) return "-> " .. op.to end },
  alter_column = { "~", "column", function(op) return inside(op, op.name) end, altered_words },
  set_primary_key = { "~", "key", function(op) return inside(op) end,
    function(op) return "primary key " .. key_words(op.key) end },
  drop_primary_key = { "-", "key", function(op) return inside(op) end,
    function() return "primary key" end },
  add_unique = { "+", "unique", function(op) return inside(op, op.key.name) end,
    function(op) return key_words(op.key) end },
  drop_unique = { "-", "unique", function(op) return inside(op, op.name) end },
  add_foreign_key = { "+", "key", function(op) return inside(op, op.key.name) end,
    function(op) return reference_words(op.key) end },
  drop_foreign_key = { "-", "key", function(op) return inside(op, op.name) end },
  add_check = { "+", "check", function(op) return inside(op, op.check.name) end },
  drop_check = { "-", "check", function(op) return inside(op, op.name) end },
  validate = { "~", "valid", function(op) return inside(op, op.name) end },
  rename_constraint = { "~", "name", function(op) return inside(op, op.name) end,
    function(op) return "-> " .. op.to end },
  add_index = { "+", "index", function(op) return op.index.name or inside(op) end,
    function(op) return "on " .. inside(op) .. " " .. key_words(op.index) end },
  drop_index = { "-", "index", function(op) return op.name or inside(op) end },
  rename_index = { "~", "index", own, function(op) return "-> " .. op.to end },
  set_comment = { "~", "comment", function(op)
    return op.table and inside(op, op.column or op.name) or own(op)
  end },
  set_options = { "~", "options", function(op) return inside(op) end },
  create_view = { "+", "view", function(op) return own(op.view) end },
  replace_view = { "~", "view", function(op) return own(op.view) end },
  drop_view = { "-", "view", own },
  create_object = { "+", function(op) return op.object.kind end,
    function(op) return own(op.object) end },
  replace_object = { "~", function(op) return op.object.kind end,
    function(op) return own(op.object) end },
  drop_object = { "-", function(op) return op.kind end, own },
}

-- "schema.lua:14 (was)"
local function note_of(change)
  if not change.hint then return nil end
  local at = change.at and change.at.file and change.hint == "was"
    and ("%s:%d "):format(change.at.file, change.at.line or 0) or ""
  return at .. "(" .. change.hint .. ")"
end

--- A change in words.
-- @tparam table change
-- @treturn table { sign = "+" | "~" | "-", kind, name, detail or nil, note or nil, text },
--   text = "~ column customers.mail -> email  schema.lua:14 (was)"
function M.change(change)
  local words = WORDS[change.op]
  if not words then
    return { sign = "~", kind = change.op, name = change.name or "", text = "~ " .. change.op }
  end
  local kind = words[2]
  local out = { sign = words[1], kind = type(kind) == "string" and kind or kind(change),
    name = words[3](change), detail = words[4] and words[4](change), note = note_of(change) }
  if out.detail == "" then out.detail = nil end
  out.text = table.concat({ out.sign, out.kind, out.name }, " ")
    .. (out.detail and " " .. out.detail or "") .. (out.note and "  " .. out.note or "")
  return out
end

return M
