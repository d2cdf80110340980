--- Rows of information_schema as parts of tables in a tree.
local texts = require "perigee.dialect.mysql.texts"

local M = {}

local function text_of(v)
  if v == nil or v == "" then return nil end
  return v
end

local function is_true(v) return v == true or tonumber(v) == 1 end

-- ---- tables ----------------------------------------------------------------

-- The options of a table that definitions do not have: "partitioned", "checksum=1" …
local function other_options(text)
  local list = {}
  for option in (text or ""):gmatch "%S+" do
    if not option:find "^row_format=" then list[#list + 1] = option end
  end
  return #list > 0 and table.concat(list, ", ") or nil
end

--- A table with what differs from what the database gives to its tables.
-- @tparam table row
-- @tparam table settings collation and engine of the database
-- @treturn table
-- @treturn ?string options that are not compared
function M.table(row, settings)
  local o = {}
  if row.engine ~= settings.engine then o.engine = row.engine end
  if row.collation ~= settings.collation then o.collation = row.collation end
  local format = (row.options or ""):match "row_format=(%w+)"
  if format then o.row_format = format:upper() end
  return {
    name = row.name, columns = {}, uniques = {}, foreign_keys = {}, checks = {},
    indexes = {}, comment = text_of(row.comment), options = next(o) and { mysql = o } or {},
  }, other_options(row.options)
end

-- ---- columns ---------------------------------------------------------------

--- Is the check what makes the column one of JSON?
function M.is_json(name, check) return check == ("json_valid(`%s`)"):format(name) end

-- The width of integers is only for who prints them, but for tinyint(1).
local function type_of(text)
  if text == "tinyint(1)" or text:find "zerofill" then return text end
  return (text:gsub("^(%a*int)%(%d+%)", "%1"))
end

-- What a column has that definitions have no word for: { its SQL … }, { what it is … }.
local function oddities(row, extra, check)
  local kept, why = {}, {}
  local function add(text, what)
    kept[#kept + 1], why[#why + 1] = text, what or text
  end
  local update = extra:match "on update ([%w_()]+)"
  if update then add("ON UPDATE " .. update, "ON UPDATE") end
  if extra:find "invisible" then add "INVISIBLE" end
  if extra:find " generated" and not is_true(row.nullable) then add "NOT NULL" end
  if row.srid then add(("SRID %d"):format(row.srid), "its SRID") end
  if check then add("CHECK (" .. check .. ")", "its check, which is a part of it,") end
  return kept, why
end

--- A column; and what of it is not compared. That is kept when the column is changed,
-- since MODIFY takes away what it does not say. MariaDB's JSON is a longtext with a check.
-- @tparam table row
-- @tparam ?string collation of the table
-- @tparam ?string check that is a part of the column
-- @treturn table
-- @treturn {string,...}
function M.column(row, collation, check)
  local extra, json = (row.extra or ""):lower(), M.is_json(row.name, check)
  local c = {
    name = row.name, type = { raw = json and "json" or type_of(row.type) },
    null = is_true(row.nullable), comment = text_of(row.comment),
  }
  if not json and row.collation and row.collation ~= collation then
    c.collation = row.collation
  end
  if extra:find "auto_increment" then c.identity = { always = false } end
  if extra:find " generated" then
    c.generated = { sql = texts.expression(row.expr), stored = extra:find "^stored" ~= nil }
    c.null = true -- definitions do not say it of what is computed
  elseif row.deflt and row.deflt ~= "NULL" then
    c.default = { sql = row.deflt }
  end
  local kept, why = oddities(row, extra, not json and check or nil)
  if #kept > 0 then c.kept = table.concat(kept, " ") end
  return c, why
end

-- ---- keys ------------------------------------------------------------------

local METHODS = { FULLTEXT = "fulltext", SPATIAL = "spatial", HASH = "hash", RTREE = "rtree" }

--- The names of the columns of an index, or nil when it is not of whole columns.
function M.plain_columns(i)
  local names = {}
  for n, k in ipairs(i.keys) do
    if not k.column or k.desc or k.length then return nil end
    names[n] = k.column
  end
  return names
end

-- Definitions have keys of whole columns, rising. Gives what is not compared, or nil.
local function put_primary(t, i)
  local columns, why = {}, nil
  for n, k in ipairs(i.keys) do
    if k.length then return "its primary key, which is of the beginnings of columns," end
    if k.desc then why = "the order of its primary key" end
    columns[n] = k.column
  end
  t.primary_key = { columns = columns }
  return why
end

-- A unique index of whole columns is a constraint, as the database has it, too.
local function put_index(t, i)
  if i.name == "PRIMARY" then return put_primary(t, i) end
  local columns = M.plain_columns(i)
  if i.unique and i.method == "hash" then i.method = nil end -- of long texts
  if i.unique and columns and not i.method and not i.comment then
    t.uniques[#t.uniques + 1] = { name = i.name, columns = columns }
  else
    t.indexes[#t.indexes + 1] = i
  end
end

--- Puts the indexes of a table, a row for each of their columns, where they belong.
-- @tparam table t
-- @tparam {table,...} rows
-- @tparam function on_unused `on_unused(name)`: is told of indexes that the server may not use
-- @treturn ?string what is not compared
function M.indexes(t, rows, on_unused)
  local i, why
  local function put() why = i and put_index(t, i) or why end
  for _, row in ipairs(rows) do
    if not i or i.name ~= row.name then
      put()
      i = { name = row.name, keys = {}, unique = tonumber(row.many) == 0 or nil,
        method = METHODS[row.method], comment = text_of(row.comment) }
      if is_true(row.hidden) then on_unused(i.name) end
    end
    i.keys[#i.keys + 1] = { column = row.col, sql = texts.expression(row.expr),
      desc = row.direction == "D" or nil,
      length = i.method ~= "spatial" and tonumber(row.part) or nil }
  end
  put()
  return why
end

local function same_list(a, b)
  return a and table.concat(a, "\0") == table.concat(b, "\0") or false
end

--- InnoDB makes an index with the name of a foreign key for each that finds none, and makes
-- and drops it as it likes. It belongs to the key: it is no index of the tree, but noted in
-- t.made = { [name of the key] = true }.
function M.take_made(t)
  local keys, kept = {}, {}
  for _, f in ipairs(t.foreign_keys) do keys[f.name] = f.columns end
  for _, i in ipairs(t.indexes) do
    local is_plain = keys[i.name] and not (i.unique or i.method or i.comment)
    if is_plain and same_list(M.plain_columns(i), keys[i.name]) then
      t.made = t.made or {}
      t.made[i.name] = true
    else
      kept[#kept + 1] = i
    end
  end
  t.indexes = kept
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
  M.take_made(t)
end

return M
