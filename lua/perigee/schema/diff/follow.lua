--- What a renaming changes elsewhere in a tree, as the databases themselves follow it:
-- keys, indexes, references, and the expressions of the table's own checks, indexes and
-- generated columns.
local model = require "perigee.schema.model"

local M = {}

local function replaced(list, from, to)
  for i, name in ipairs(list or {}) do
    if name == from then list[i] = to end
  end
end

local function is_plain(name)
  return name:find "^[%l_][%l%d_]*$" ~= nil
end

-- The name in place of one that was written as `old`: in backticks where that was.
local function written(name, old)
  if old:sub(1, 1) == "`" then return "`" .. name:gsub("`", "``") .. "`" end
  return is_plain(name) and name or '"' .. name:gsub('"', '""') .. '"'
end

-- The end of the quoted run that begins at `i`.
local function quoted_end(text, i, quote)
  while true do
    local last = text:find(quote, i + 1, true)
    if not last then return #text end
    if text:sub(last + 1, last + 1) ~= quote then return last end
    i = last + 1
  end
end

-- The token at `i`: its last position, and the name that it is, if it is one.
local function token(text, i)
  local c = text:sub(i, i)
  if c == "'" then return quoted_end(text, i, c) end
  if c == '"' or c == "`" then
    local last = quoted_end(text, i, c)
    return last, (text:sub(i + 1, last - 1):gsub(c .. c, c))
  end
  local last = select(2, text:find("^[%a_\128-\255][%w_$\128-\255]*", i))
  if not last then return i end
  if text:find("^%s*%(", last + 1) then return last end -- a function
  return last, text:sub(i, last):lower()
end

--- Writes `to` for the name `from` in an expression.
-- @treturn string
function M.expression(text, from, to)
  local out, i = {}, 1
  while i <= #text do
    local last, name = token(text, i)
    local old = text:sub(i, last)
    out[#out + 1] = name and (name == from or name == from:lower()) and written(to, old) or old
    i = last + 1
  end
  return table.concat(out)
end

--- Does the text mention the name as a word of its own?
-- @treturn boolean
function M.mentions(text, name)
  local i, lower = 1, name:lower()
  -- most texts do not, and searching is much faster than reading
  if not name:find '["`]' and not text:lower():find(lower, 1, true) then return false end
  while i <= #text do
    local c = text:sub(i, i)
    if c == "'" then
      i = quoted_end(text, i, c) + 1
    elseif c == '"' or c == "`" then
      local last = quoted_end(text, i, c)
      if text:sub(i + 1, last - 1):gsub(c .. c, c) == name then return true end
      i = last + 1
    else
      local last = select(2, text:find("^[%a_\128-\255][%w_$\128-\255]*", i)) or i
      if text:sub(i, last):lower() == lower then return true end
      i = last + 1
    end
  end
  return false
end

local function follow_text(element, field, from, to)
  if element and element[field] then
    element[field] = M.expression(element[field], from, to)
  end
end

local function follow_in_table(t, from, to)
  for _, c in ipairs(t.columns) do
    if c.name == from then c.name = to end
    follow_text(c.generated, "sql", from, to)
  end
  if t.primary_key then replaced(t.primary_key.columns, from, to) end
  for _, list in ipairs { t.uniques or {}, t.foreign_keys or {} } do
    for _, key in ipairs(list) do replaced(key.columns, from, to) end
  end
  for _, check in ipairs(t.checks or {}) do
    follow_text(check, "sql", from, to)
    if check.column == from then check.column = to end
  end
  for _, index in ipairs(t.indexes or {}) do
    for _, key in ipairs(index.keys) do
      if key.column == from then key.column = to end
      follow_text(key, "sql", from, to)
    end
    replaced(index.include, from, to)
    follow_text(index, "where", from, to)
  end
end

local function each_reference(tree, schema, name, change)
  for _, t in ipairs(tree.tables) do
    for _, key in ipairs(t.foreign_keys or {}) do
      if key.ref.table == name and key.ref.schema == schema then change(key.ref) end
    end
  end
end

--- Renames a column of the table `t` of the tree, in place.
function M.column(tree, t, from, to)
  follow_in_table(t, from, to)
  each_reference(tree, t.schema, t.name, function(ref) replaced(ref.columns, from, to) end)
end

--- Renames the table `t` of the tree, in place.
function M.table(tree, t, to)
  each_reference(tree, t.schema, t.name, function(ref) ref.table = to end)
  local from = model.key(t)
  local new = model.key { schema = t.schema, name = to }
  for _, object in ipairs(tree.objects or {}) do
    if object.on == from then
      object.on = new
    elseif object.on == t.name and object.schema == t.schema then
      object.on = to
    end
  end
  for _, list in ipairs { tree.views or {}, tree.objects or {} } do
    for _, element in ipairs(list) do replaced(element.after, from, new) end
  end
  t.name = to
end

return M
