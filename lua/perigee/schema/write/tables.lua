--- The elements of a table as source text, and the whole body of a definition.
local columns = require "perigee.schema.write.columns"
local lua = require "perigee.schema.write.lua"
local names = require "perigee.schema.names"

local M = {}

local function flag(items, e, name)
  if e[name] then items[#items + 1] = name .. " = true" end
end

local function texts(list)
  local out = {}
  for i, name in ipairs(list or {}) do out[i] = lua.text(name) end
  return out
end

-- Is the name the one that definitions give anyway?
local function is_usual(t, kind, e)
  if not e.name then return true end
  return t ~= nil and names.of(t, kind, e) == e.name
end

local function add_name(items, t, kind, e)
  if not is_usual(t, kind, e) then items[#items + 1] = "name = " .. lua.text(e.name) end
end

--- A primary key or unique key: { "a", "b", name = … }.
-- @tparam ?table t the table, whose usual names are left out
-- @tparam string kind "primary_key" or "unique"
-- @tparam[opt] {string,...} more texts of further items
-- @tparam[opt] string indent of the line
function M.key(t, kind, key, more, indent)
  local items = texts(key.columns)
  add_name(items, t, kind, key)
  if key.include then items[#items + 1] = "include = " .. lua.names(key.include) end
  flag(items, key, "nulls_not_distinct")
  flag(items, key, "deferrable")
  flag(items, key, "deferred")
  for _, item in ipairs(more or {}) do items[#items + 1] = item end
  return lua.table(items, indent)
end

local function is_word(name) return name:find "^[%w_]+$" ~= nil end

-- What a foreign key refers to, as text of a short form where there is one.
local function reference(ref)
  local short = is_word(ref.table) and (not ref.schema or is_word(ref.schema))
  for _, name in ipairs(ref.columns or {}) do short = short and is_word(name) end
  if short then
    local text = ref.schema and ref.schema .. "." .. ref.table or ref.table
    if not ref.columns then
      if not ref.schema then return lua.text(text) end
    else
      return lua.text(text .. "(" .. table.concat(ref.columns, ", ") .. ")")
    end
  end
  local items = {}
  if ref.schema then items[1] = "schema = " .. lua.text(ref.schema) end
  items[#items + 1] = "table = " .. lua.text(ref.table)
  if ref.columns then items[#items + 1] = "columns = " .. lua.table(texts(ref.columns)) end
  return lua.table(items)
end

local function add_reference(items, key)
  for _, name in ipairs { "on_delete", "on_update" } do
    if key[name] then items[#items + 1] = name .. " = " .. lua.text(key[name]) end
  end
  flag(items, key, "match_full")
  flag(items, key, "deferrable")
  flag(items, key, "deferred")
  if key.valid == false then items[#items + 1] = "valid = false" end
end

--- A foreign key: { "a", ref = "t(x)", … }.
function M.foreign_key(t, key, indent)
  local items = texts(key.columns)
  items[#items + 1] = "ref = " .. reference(key.ref)
  add_name(items, t, "foreign_key", key)
  add_reference(items, key)
  if key.on_delete_columns then
    items[#items + 1] = "on_delete_columns = " .. lua.names(key.on_delete_columns)
  end
  return lua.table(items, indent)
end

--- The arguments of a check: "name", "expression", { options }.
function M.check(t, check)
  local items = {}
  flag(items, check, "no_inherit")
  if check.valid == false then items[#items + 1] = "valid = false" end
  local sql = lua.sql(check.sql)
  if #items > 0 then
    if check.name then table.insert(items, 1, "name = " .. lua.text(check.name)) end
    table.insert(items, 1, "sql = " .. sql)
    return lua.table(items)
  end
  if is_usual(t, "check", check) then return sql end
  return lua.text(check.name) .. ", " .. sql
end

local function index_key_items(key)
  local items = {}
  for _, name in ipairs { "column", "collation", "opclass", "nulls" } do
    if key[name] then items[#items + 1] = name .. " = " .. lua.text(key[name]) end
  end
  if key.sql then table.insert(items, 1, "sql = " .. lua.sql(key.sql)) end
  for _, name in ipairs { "desc", "length" } do
    if key[name] then items[#items + 1] = name .. " = " .. lua.value(key[name]) end
  end
  return lua.table(items)
end

-- A key of an index: "a desc", sql "…" or a table.
local function index_key(key)
  local words = (key.desc and " desc" or "") .. (key.nulls and " nulls " .. key.nulls or "")
  local is_short = not (key.opclass or key.collation or key.length)
  if is_short and key.column and is_word(key.column) then return lua.text(key.column .. words) end
  if is_short and key.sql and words == "" then return "sql " .. lua.sql(key.sql) end
  return index_key_items(key)
end

--- An index: { "a", "b desc", unique = true, … }.
function M.index(t, index, more, indent)
  local items = {}
  for i, key in ipairs(index.keys) do items[i] = index_key(key) end
  add_name(items, t, "index", index)
  flag(items, index, "unique")
  if index.method then items[#items + 1] = "method = " .. lua.text(index.method) end
  if index.where then items[#items + 1] = "where = " .. lua.sql(index.where) end
  if index.include then items[#items + 1] = "include = " .. lua.names(index.include) end
  if index.with then items[#items + 1] = "with = " .. lua.value(index.with) end
  flag(items, index, "nulls_not_distinct")
  if index.comment then items[#items + 1] = "comment = " .. lua.text(index.comment) end
  for _, item in ipairs(more or {}) do items[#items + 1] = item end
  return lua.table(items, indent)
end

-- ---- what can stand at a column -------------------------------------------------

local function is_single(key, name)
  return #key.columns == 1 and key.columns[1] == name
end

local function is_plain_key(key)
  return not key.include and not key.nulls_not_distinct and not key.deferrable
end

local function is_plain_index(index, name)
  for field in pairs(index.keys[1]) do
    if field ~= "column" then return false end
  end
  return #index.keys == 1 and index.keys[1].column == name
    and not (index.unique or index.method or index.where or index.include or index.comment
    or index.with or index.nulls_not_distinct)
end

local function named_or_true(t, kind, e)
  return is_usual(t, kind, e) and "true" or lua.text(e.name)
end

-- The form "t.c" of a reference, where there is one.
local function short_reference(foreign)
  local ref = foreign.ref
  if foreign.on_delete_columns or not ref.columns then return nil end
  local parts = { ref.schema, ref.table, ref.columns[1] }
  if not ref.schema then parts = { ref.table, ref.columns[1] } end
  for _, part in ipairs(parts) do
    if not is_word(part) then return nil end
  end
  return table.concat(parts, ".")
end

-- The first of the list for which f gives a text; it is put into the set `done`.
local function take(list, done, f)
  for _, e in ipairs(list or {}) do
    local text = f(e)
    if text then
      done[e] = true
      return text, e
    end
  end
end

-- Further options of a column; what they say is put into the set `done`.
local function inline(t, c, done)
  local items = {}
  local function key_text(kind)
    return function(key)
      return is_single(key, c.name) and is_plain_key(key) and named_or_true(t, kind, key)
    end
  end
  local pk = take({ t.primary_key }, done, key_text "primary_key")
  if pk then items[#items + 1] = "pk = " .. pk end
  local unique = take(t.uniques, done, key_text "unique")
  if unique then items[#items + 1] = "unique = " .. unique end
  local ref, foreign = take(t.foreign_keys, done, function(key)
    return is_single(key, c.name) and is_usual(t, "foreign_key", key) and short_reference(key)
  end)
  if ref then
    items[#items + 1] = "ref = " .. lua.text(ref)
    add_reference(items, foreign)
  end
  local index = take(t.indexes, done, function(e)
    return is_plain_index(e, c.name) and named_or_true(t, "index", e)
  end)
  if index then items[#items + 1] = "index = " .. index end
  return items
end

local function column_line(p, t, c, done, indent)
  local target = lua.is_name(c.name) and "t." .. c.name or "t[" .. lua.text(c.name) .. "]"
  return target .. " = " .. columns.column(p, c, inline(t, c, done), indent)
end

-- Checks of enums are made from their types.
local function is_own_check(check, t)
  if not check.enum then return false end
  for _, c in ipairs(t.columns) do
    if c.name == check.column and c.type.enum then return true end
  end
  return false
end

--- The statements of the body of a table.
-- @tparam table p the printer: dialect, enum
-- @tparam table t
-- @tparam string indent
-- @treturn {string,...} lines, not indented where they begin
function M.body(p, t, indent)
  local lines, done = {}, {}
  for _, c in ipairs(t.columns) do lines[#lines + 1] = column_line(p, t, c, done, indent) end
  local function each(list, write)
    for _, e in ipairs(list or {}) do
      if not done[e] then lines[#lines + 1] = write(e) end
    end
  end
  each({ t.primary_key }, function(key)
    return "t:primary_key " .. M.key(t, "primary_key", key, nil, indent)
  end)
  each(t.uniques, function(key) return "t:unique " .. M.key(t, "unique", key, nil, indent) end)
  each(t.foreign_keys, function(key)
    return "t:foreign_key " .. M.foreign_key(t, key, indent)
  end)
  for _, check in ipairs(t.checks or {}) do
    if not is_own_check(check, t) then
      local text = M.check(t, check)
      lines[#lines + 1] = text:sub(1, 1) == "{" and "t:check " .. text or "t:check(" .. text .. ")"
    end
  end
  each(t.indexes, function(index) return "t:index " .. M.index(t, index, nil, indent) end)
  for _, name in ipairs(lua.sorted_keys(t.options or {})) do
    if next(t.options[name]) then
      lines[#lines + 1] = "t:on " .. lua.text(name) .. " " .. lua.value(t.options[name], indent)
    end
  end
  return lines
end

return M
