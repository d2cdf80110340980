--- Definitions as source text, from the tree of a live database (adopt): such that what
-- the server makes of them is what was there. What a database has and definitions do not
-- say is listed in comments at the end.
local lua = require "perigee.schema.write.lua"
local model = require "perigee.schema.model"
local tables = require "perigee.schema.write.tables"
local types = require "perigee.schema.types"
local util = require "perigee.util"

local M = {}

local WORDS = { sql = true, raw = true, array = true, enum = true, enum_type = true, view = true,
  table = true, schema_object = true, extension = true, domain = true, sequence = true,
  trigger = true, func = true, require = true, string = true, math = true }

-- Is the enum's name by itself the type, in a script?
local function is_type_word(e, count)
  return lua.is_name(e.name) and not WORDS[e.name] and not types.is(e.name)
    and rawget(_G, e.name) == nil and count[e.name] == 1
end

--- A printer for definitions in which the enums of the tree are known.
-- @tparam ?table dialect of the live tree
-- @tparam table tree
function M.printer(dialect, tree)
  local count, words = {}, {}
  for _, e in ipairs(tree.enums or {}) do count[e.name] = (count[e.name] or 0) + 1 end
  for _, e in ipairs(tree.enums or {}) do
    if is_type_word(e, count) then words[model.key(e)] = e.name end
  end
  return { dialect = dialect, enum = function(ty)
    local key = ty.schema and ty.schema .. "." .. ty.enum or ty.enum
    return words[key] or "enum_type(" .. lua.text(key) .. ")"
  end }
end

local function with_comment(items, e)
  if e.comment then items[#items + 1] = "comment = " .. lua.text(e.comment) end
  return items
end

local function options_of(e)
  local items = {}
  if e.schema then items[1] = "schema = " .. lua.text(e.schema) end
  return with_comment(items, e)
end

-- The name where a dot in it would be taken for the end of a schema's.
local function name_of(e)
  local text = lua.text(e.name)
  return not e.schema and e.name:find(".", 1, true) and "{ name = " .. text .. " }" or text
end

local function enum_text(e)
  local items = {}
  for i, value in ipairs(e.values) do items[i] = lua.text(value) end
  for _, item in ipairs(options_of(e)) do items[#items + 1] = item end
  local name = name_of(e)
  return "enum" .. (name:sub(1, 1) == "{" and "(" .. name .. ") " or " " .. name .. " ")
    .. lua.table(items)
end

local function table_text(p, t)
  local items = options_of(t)
  local lines = { "table(" .. name_of(t) .. ", "
    .. (#items > 0 and lua.table(items) .. ", " or "") .. "function(t)" }
  for _, line in ipairs(tables.body(p, t, "  ")) do lines[#lines + 1] = "  " .. line end
  lines[#lines + 1] = "end)"
  return table.concat(lines, "\n")
end

local function view_text(v)
  local items = options_of(v)
  if v.materialized then items[#items + 1] = "materialized = true" end
  if v.with then items[#items + 1] = "with = " .. lua.value(v.with) end
  if v.after and #v.after > 0 then items[#items + 1] = "after = " .. lua.names(v.after) end
  return "view(" .. name_of(v) .. ", " .. (#items > 0 and lua.table(items) .. ", " or "")
    .. lua.sql(v.sql) .. ")"
end

local function object_text(o)
  if o.kind == "extension" and not o.after then
    local items = options_of(o)
    return "extension" .. (#items > 0 and "(" .. lua.text(o.name) .. ", " .. lua.table(items) .. ")"
      or " " .. lua.text(o.name))
  end
  local items = { "kind = " .. lua.text(o.kind), "name = " .. lua.text(o.name) }
  for _, name in ipairs { "schema", "on", "owned_by", "comment" } do
    if o[name] then items[#items + 1] = name .. " = " .. lua.text(o[name]) end
  end
  if o.after and #o.after > 0 then items[#items + 1] = "after = " .. lua.names(o.after) end
  items[#items + 1] = "sql = " .. lua.sql(o.sql)
  return "schema_object " .. lua.table(items)
end

-- Kinds of objects that belong before the tables.
local EARLY = { extension = 1, type = 2, range = 2, domain = 3, sequence = 4 }

local function objects_text(out, list, early)
  local chosen = {}
  for i, o in ipairs(list or {}) do
    if (EARLY[o.kind] ~= nil) == early then
      chosen[#chosen + 1] = { o = o, rank = EARLY[o.kind] or 9, i = i }
    end
  end
  table.sort(chosen, function(a, b)
    if a.rank ~= b.rank then return a.rank < b.rank end
    return a.i < b.i
  end)
  for _, one in ipairs(chosen) do out[#out + 1] = object_text(one.o) end
end

-- On one line, whatever the names are: the rest would be Lua.
local function note_text(note)
  local name = note.name and (note.schema and note.schema .. "." .. note.name or note.name)
  local text = ("-- not managed: %s%s%s%s"):format(note.kind or "object",
    name and " " .. name or "", note.on and " on " .. note.on or "",
    note.why and ": " .. note.why or "")
  return (text:gsub("[%s%c]+", " "))
end

--- Definitions as source text.
-- @tparam table tree a live tree
-- @tparam[opt] table opts dialect: the dialect whose server said the tree; header: the
--   comment at the top
-- @treturn string
function M.text(tree, opts)
  opts = util.check_options("write", opts, { "dialect", "header" })
  local p, out = M.printer(opts.dialect, tree), {}
  if opts.header then out[1] = opts.header end
  for _, e in ipairs(tree.enums or {}) do out[#out + 1] = enum_text(e) end
  objects_text(out, tree.objects, true)
  for _, t in ipairs((model.sorted(tree))) do out[#out + 1] = table_text(p, t) end
  for _, v in ipairs(tree.views or {}) do out[#out + 1] = view_text(v) end
  objects_text(out, tree.objects, false)
  local notes = {}
  for i, note in ipairs(tree.notes or {}) do notes[i] = note_text(note) end
  if #notes > 0 then out[#out + 1] = table.concat(notes, "\n") end
  return table.concat(out, "\n\n") .. "\n"
end

return M
