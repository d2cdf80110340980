--- Rules of SQLite.
local statement = require "perigee.migrate.lint.statement"
local types = require "perigee.dialect.sqlite.types"

local SQLITE = { "sqlite" }

local function title(schema, name) return schema and schema .. "." .. name or tostring(name) end

-- The columns that an operation makes, with the table's name and options.
local function columns_of(op)
  if op.op == "add_column" then return { op.column }, title(op.schema, op.table), {} end
  local t = op.table
  return t.columns, title(t.schema, t.name), t
end

-- What SQLite is told of the type: only its own words can be wrong.
local function declared(column)
  local own = column.type_on and column.type_on.sqlite
  return own and own.raw or column.type and column.type.raw
end

local function each_column(rule, test)
  rule.databases, rule.on = SQLITE, { "create_table", "add_column" }
  rule.check = function(op)
    local columns, name, t = columns_of(op)
    local out = {}
    for _, column in ipairs(columns) do
      local text = test(column, t)
      if text then
        out[#out + 1] = { message = ("%s.%s: %s"):format(name, column.name, text),
          at = column.at }
      end
    end
    return out
  end
  return rule
end

local function is_key(t, column)
  local key = t.primary_key
  return key and #key.columns == 1 and key.columns[1] == column.name
end

-- "text" that is the name of no column is taken for a string.
local function quoted_string(sql, is_column)
  for _, token in ipairs(statement.tokens(sql, "sqlite")) do
    local quoted = token.kind == "name" and token.quote == '"'
    if quoted and not is_column(token.text) then return token.text end
  end
  return nil
end

local function none() return false end

local KNOWN = {}
for word in ([[INT INTEGER TINYINT SMALLINT MEDIUMINT BIGINT INT2 INT8 CHARACTER CHAR VARCHAR NCHAR
  NVARCHAR TEXT CLOB BLOB REAL DOUBLE FLOAT NUMERIC DECIMAL BOOLEAN DATE DATETIME TIME TIMESTAMP
  TIMESTAMPTZ UUID JSON JSONB JSON_TEXT SPAN_TEXT ANY UNSIGNED NATIVE VARYING]]):gmatch "%S+" do
  KNOWN[word] = true
end

-- ---- rebuilding by hand ----------------------------------------------------

-- Has a table that refers to this one rows that follow it?
local function cascading_child(c, name)
  for _, t in ipairs(c.tree.tables) do
    for _, f in ipairs(t.foreign_keys or {}) do
      if f.ref.table == name and t.name ~= name and f.on_delete then return t.name end
    end
  end
  return nil
end

-- Is a later table of the migration given this name?
local function is_replaced(c, name)
  for _, unit in ipairs(c:units()) do
    if unit.op == "rename_table" and unit.to == name and unit.raw then return true end
  end
  return false
end

local function lost_with(t)
  local lost = {}
  for _, index in ipairs(t and t.indexes or {}) do lost[#lost + 1] = index.name end
  return #lost > 0 and (": " .. table.concat(lost, ", ")) or ""
end

return {
  each_column({
    id = "sqlite-int-primary-key", level = "warning",
    danger = "Only INTEGER PRIMARY KEY is the number of the row; INT or BIGINT is another "
      .. "column, which takes NULL and is not counted up.",
    safe = "bigint { identity = true, pk = true }",
  }, function(column, t)
    local raw = declared(column)
    if not raw or not is_key(t, column) then return nil end
    local options = t.options and t.options.sqlite or {}
    local is_int = types.affinity(raw) == "integer" and raw:upper() ~= "INTEGER"
    return is_int and not options.without_rowid
      and ("%s PRIMARY KEY is not the number of the row"):format(raw) or nil
  end),
  each_column({
    id = "sqlite-type-affinity", level = "info",
    danger = "SQLite sees a type in parts of its name: FLOATING POINT is an integer, STRING a "
      .. "number.",
    safe = "a portable type; t:on(\"sqlite\", { strict = true })",
  }, function(column)
    local raw = declared(column)
    for word in (raw or ""):upper():gmatch "%a[%w_]*" do
      if not KNOWN[word] and word ~= "PRECISION" then
        return ("%s is taken for %s"):format(raw, types.affinity(raw))
      end
    end
  end),
  each_column({
    id = "sqlite-dqs", level = "warning",
    danger = "A name in double quotes that no column has is a string by accident; other builds "
      .. "of SQLite refuse it.",
    safe = "single quotes",
  }, function(column)
    local sql = type(column.default) == "table" and column.default.sql
    local text = type(sql) == "string" and quoted_string(sql, none)
    return text and ('default "%s" is a string only by accident'):format(text) or nil
  end),
  {
    id = "sqlite-pragma", level = "warning", databases = SQLITE, on = { "pragma" },
    danger = "A migration is one transaction, in which PRAGMA foreign_keys and journal_mode do "
      .. "nothing.",
    safe = "leave it out: Perigee switches foreign keys off and on where it has to",
    check = function(op)
      local name = op.name
      if name ~= "foreign_keys" and name ~= "journal_mode" then return nil end
      return ("%s does nothing inside a transaction"):format(name)
    end,
  },
  {
    id = "sqlite-rebuild-cascade", level = "error", databases = SQLITE, on = { "drop_table" },
    danger = "With foreign keys on, DROP TABLE deletes all rows first, and those of its children "
      .. "with them, even when the table is made again.",
    safe = "m:alter(…): Perigee rebuilds tables with their children kept",
    check = function(op, c)
      local child = op.raw and is_replaced(c, op.name) and cascading_child(c, op.name)
      return child and ("%s: the rows of %s go with it"):format(op.name, child) or nil
    end,
  },
  {
    id = "sqlite-rebuild-loses-objects", level = "error", databases = SQLITE,
    on = { "drop_table" },
    danger = "Indexes, triggers and the counter of a table are dropped with it; a table that is "
      .. "made in its place has none.",
    safe = "m:alter(…): Perigee rebuilds tables with all that belongs to them",
    check = function(op, c)
      if not op.raw or not is_replaced(c, op.name) then return nil end
      return ("%s: what belongs to it is lost%s"):format(op.name,
        lost_with(c:find(op.schema, op.name)))
    end,
  },
}
