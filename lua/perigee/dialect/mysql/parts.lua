--- Rows of information_schema as parts of tables in a tree.
local M = {}

local function text_of(v)
  if v == nil or v == "" then return nil end
  return v
end

local function is_true(v) return v == true or tonumber(v) == 1 end

-- ---- tables ----------------------------------------------------------------

--- A table with what differs from what the database gives to its tables.
-- @tparam table row
-- @tparam table settings collation and engine of the database
function M.table(row, settings)
  local o = {}
  if row.engine ~= settings.engine then o.engine = row.engine end
  if row.collation ~= settings.collation then o.collation = row.collation end
  local format = (row.options or ""):match "row_format=(%w+)"
  if format then o.row_format = format:upper() end
  return {
    name = row.name, columns = {}, uniques = {}, foreign_keys = {}, checks = {},
    indexes = {}, comment = text_of(row.comment), options = next(o) and { mysql = o } or {},
  }
end

-- ---- columns ---------------------------------------------------------------

-- The width of integers is only for who prints them, but for tinyint(1).
local function type_of(text)
  if text == "tinyint(1)" or text:find "zerofill" then return text end
  return (text:gsub("^(%a*int)%(%d+%)", "%1"))
end

--- A column. `json`: MariaDB's JSON is a longtext with a check, and is meant.
-- @tparam table row
-- @tparam ?string collation of the table
-- @tparam boolean json
function M.column(row, collation, json)
  local extra = (row.extra or ""):lower()
  local c = {
    name = row.name, type = { raw = json and "json" or type_of(row.type) },
    null = is_true(row.nullable), comment = text_of(row.comment),
  }
  if not json and row.collation and row.collation ~= collation then
    c.collation = row.collation
  end
  if extra:find "auto_increment" then c.identity = { always = false } end
  if extra:find " generated" then
    c.generated = { sql = row.expr, stored = extra:find "^stored" ~= nil }
  elseif row.deflt and row.deflt ~= "NULL" then
    c.default = { sql = row.deflt }
  end
  return c
end

--- What a column has that definitions have no word for, or nil.
function M.oddity(row)
  local extra = (row.extra or ""):lower()
  if extra:find "on update" then return "ON UPDATE" end
  if extra:find "invisible" then return "INVISIBLE" end
  return nil
end

-- ---- keys ------------------------------------------------------------------

local METHODS = { FULLTEXT = "fulltext", SPATIAL = "spatial", HASH = "hash", RTREE = "rtree" }

local function plain_columns(i)
  local names = {}
  for n, k in ipairs(i.keys) do
    if not k.column or k.desc or k.length then return nil end
    names[n] = k.column
  end
  return names
end

-- A unique index of whole columns is a constraint, as the database has it, too.
local function put_index(t, i)
  local columns = plain_columns(i)
  if i.unique and i.method == "hash" then i.method = nil end -- of long texts
  if i.name == "PRIMARY" then
    t.primary_key = { columns = columns }
  elseif i.unique and columns and not i.method and not i.comment then
    t.uniques[#t.uniques + 1] = { name = i.name, columns = columns }
  else
    t.indexes[#t.indexes + 1] = i
  end
end

--- Puts the indexes of a table, a row for each of their columns, where they belong.
function M.indexes(t, rows)
  local i
  for _, row in ipairs(rows) do
    if not i or i.name ~= row.name then
      if i then put_index(t, i) end
      i = { name = row.name, keys = {}, unique = tonumber(row.many) == 0 or nil,
        method = METHODS[row.method], comment = text_of(row.comment) }
    end
    i.keys[#i.keys + 1] = { column = row.col, desc = row.direction == "D" or nil,
      length = i.method ~= "spatial" and tonumber(row.part) or nil }
  end
  if i then put_index(t, i) end
end

-- RESTRICT is NO ACTION here.
local ACTIONS = { CASCADE = "cascade", ["SET NULL"] = "set null", ["SET DEFAULT"] = "set default" }

--- Puts the foreign keys of a table into it.
function M.foreign_keys(t, rows)
  local f
  for _, row in ipairs(rows) do
    if not f or f.name ~= row.name then
      f = { name = row.name, columns = {}, on_update = ACTIONS[row.on_update],
        on_delete = ACTIONS[row.on_delete],
        ref = { schema = not is_true(row.is_near) and row.ref_schema or nil,
          table = row.ref_table, columns = {} } }
      t.foreign_keys[#t.foreign_keys + 1] = f
    end
    f.columns[#f.columns + 1] = row.col
    f.ref.columns[#f.ref.columns + 1] = row.ref_col
  end
end

--- The column whose JSON a check is, or nil.
function M.json_of(row)
  return row.level == "Column" and row.expr == ("json_valid(`%s`)"):format(row.name)
    and row.name or nil
end

return M
