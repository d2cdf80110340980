--- LuaLS annotations of the tables of a database: the classes of rows and of records to be
-- written, and the types of handles, so that an editor knows `db.t.orders:get(7).total`.
-- They are completed by the annotations of Perigee itself (docs/meta).
local catalog = require "perigee.catalog"
local lua = require "perigee.schema.write.lua"
local util = require "perigee.util"

local M = {}

-- The Lua type of a value by the class of its column (docs/guide/types.md).
local TYPES = {
  bool = "boolean", int = "integer", float = "number", json = "any", other = "any",
}

local function type_of(column)
  if column.class == "array" then
    return (TYPES[column.elem] or "string") .. "[]"
  end
  return TYPES[column.class] or "string"
end

-- Names of classes are words; what other names have is replaced.
local function class_name(key)
  return (key:gsub("[^%w_.\128-\255]", "_"))
end

-- What stands in a comment of one line: a name may have line ends.
local function on_line(text)
  return (text:gsub("%c+", " "))
end

local function field(out, name, optional, kind, comment)
  local is_word = lua.is_name(name)
  local key = is_word and name .. (optional and "?" or "") or "[" .. lua.text(name) .. "]"
  if optional and not is_word then kind = kind .. "|nil" end
  out[#out + 1] = ("---@field %s %s%s"):format(key, kind,
    comment and " " .. on_line(comment) or "")
end

local function add_row(out, entry, name)
  out[#out + 1] = ("\n--- A row of %s."):format(on_line(entry.name))
  out[#out + 1] = "---@class perigee.row." .. name
  for _, c in ipairs(entry.columns) do
    field(out, c.name, not c.not_null, type_of(c), c.title)
  end
end

-- What may be left out of a record that is inserted.
local function is_optional(column)
  return column.default or not column.not_null
end

local function add_record(out, entry, name)
  out[#out + 1] = ("\n--- A record for %s."):format(on_line(entry.name))
  out[#out + 1] = "---@class perigee.record." .. name
  for _, c in ipairs(entry.columns) do
    if not c.generated then
      local kind = c.class == "numeric" and "string|number" or type_of(c)
      if not c.not_null then kind = kind .. "|perigee.null" end
      kind = kind .. "|perigee.computed"
      field(out, c.name, is_optional(c), kind)
    end
  end
end

-- The type of the table's handle. An alias would be shorter, but LuaLS does not see the
-- rows through it.
local function handle_type(entry, name)
  local record = entry.is_view and "table<string, any>" or "perigee.record." .. name
  return ("perigee.table<perigee.row.%s, %s>"):format(name, record)
end

local HEADER = {
  "---@meta",
  "-- Rows, records and handles of the database's tables: made by `perigee codegen`,",
  "-- not to be edited.",
}

local JOURNAL = { perigee_migration = true, perigee_migration_step = true }

-- The entries of the catalogue that are described; those of the default schema first.
local function read(x, schemas)
  local out = {}
  for _, entry in ipairs(catalog.read_all(x)) do
    if not entry.is_partition and not JOURNAL[entry.name] then out[#out + 1] = { entry, true } end
  end
  for _, name in ipairs(schemas) do
    for _, entry in ipairs(catalog.read_all(x, name)) do
      if not entry.is_partition then out[#out + 1] = { entry, false, name } end
    end
  end
  return out
end

--- The text of a file of annotations for the tables and views of a database.
-- @tparam perigee.executor x
-- @tparam[opt] table opts schemas (a list: others besides that of unqualified names)
-- @treturn string
function M.text(x, opts)
  local o = util.check_options("codegen", opts, { "schemas" })
  local out, handles = {}, {}
  for i, line in ipairs(HEADER) do out[i] = line end
  for _, found in ipairs(read(x, o.schemas or {})) do
    local entry, key = found[1], found[1].name
    if not found[2] then key = found[3] .. "." .. key end
    local name = class_name(key)
    add_row(out, entry, name)
    if not entry.is_view then add_record(out, entry, name) end
    field(handles, key, false, handle_type(entry, name))
  end
  out[#out + 1] = "\n--- db.t"
  out[#out + 1] = "---@class perigee.tables"
  for _, line in ipairs(handles) do out[#out + 1] = line end
  return table.concat(out, "\n") .. "\n"
end

return M
