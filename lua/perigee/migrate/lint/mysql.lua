--- Rules of MySQL and MariaDB, as far as the operations alone can tell.
local names = require "perigee.schema.names"

local MYSQL = { "mysql" }

local function title(op, name)
  local t = op.schema and op.schema .. "." .. op.table or tostring(op.table)
  return name and t .. "." .. name or t
end

-- ---- copying ---------------------------------------------------------------

local COPIES = {}

function COPIES.add_check() return "a check" end

function COPIES.alter_column(op, c)
  local from, to = c:type_change(op)
  if not to then return nil end
  local grows = from and from.base == "varchar" and to.base == "varchar"
    and (to.args[1] or 0) >= (from.args[1] or 0)
  return not grows and c.kinds.tell(from, to) or nil
end

COPIES.modify = COPIES.alter_column

-- ---- foreign keys ----------------------------------------------------------

local FOLLOWS = { cascade = true, ["set null"] = true, ["set default"] = true }

local function followed_columns(t)
  local out = {}
  for _, f in ipairs(t.foreign_keys or {}) do
    if FOLLOWS[f.on_delete or ""] or FOLLOWS[f.on_update or ""] then
      for _, name in ipairs(f.columns) do out[name] = true end
    end
  end
  return out
end

local function checked_followed(t, checks)
  local columns, out = followed_columns(t), {}
  for _, check in ipairs(checks) do
    for _, name in ipairs(names.mentioned(t, check.sql)) do
      if columns[name] then
        out[#out + 1] = { at = check.at, message = ("%s.%s: a foreign key changes it, so no check "
          .. "may have it"):format(t.name, name) }
      end
    end
  end
  return out
end

local function first_column(index)
  return index and index.keys and index.keys[1] and index.keys[1].column
end

local function index_of(t, name)
  for _, index in ipairs(t.indexes or {}) do
    if index.name == name then return index end
  end
end

local function serves_key(t, name)
  local column = first_column(index_of(t, name))
  for _, other in ipairs(t.indexes or {}) do
    if other.name ~= name and first_column(other) == column then return nil end
  end
  for _, f in ipairs(t.foreign_keys or {}) do
    if column and f.columns[1] == column then return f.name or "?" end
  end
end

-- ---- the rules -------------------------------------------------------------

local WRITES = { update = true, delete = true, delete_all = true, insert = true, backfill = true }

local function has_ddl(c)
  for _, unit in ipairs(c:units()) do
    if not WRITES[unit.op] and unit.op ~= "sql" and unit.op ~= "run" and unit.op ~= "other"
      and unit.op ~= "set" then
      return true
    end
  end
  return false
end

local function options_of(op)
  local options = op.op == "set_options" and op.options or op.table.options or {}
  return options.mysql or {}
end

return {
  {
    id = "mysql-copy-algorithm", level = "error", databases = MYSQL,
    on = { "add_check", "alter_column", "modify" },
    danger = "The table is copied, and nobody writes to it meanwhile.",
    safe = "at a quiet time; gh-ost or pt-online-schema-change",
    check = function(op, c)
      local why = c:in_use(op.schema, op.table) and COPIES[op.op](op, c)
      return why and ("%s: %s copies the table"):format(title(op, op.name), why) or nil
    end,
  },
  {
    id = "mysql-modify-loses-attributes", level = "error", databases = MYSQL, on = { "modify" },
    danger = "MODIFY and CHANGE drop what they do not say again: NOT NULL, DEFAULT, COMMENT, the "
      .. "character set.",
    safe = "alter_column, which says all of it",
    check = function(op)
      return ("%s: what is not said again is lost"):format(title(op, op.name))
    end,
  },
  {
    id = "mysql-implicit-commit", level = "warning", databases = MYSQL,
    on = { "update", "delete", "delete_all", "insert" },
    danger = "Each change of a table commits what was done before it: rows and tables do not "
      .. "change together.",
    safe = "a migration of its own for the rows",
    check = function(op, c)
      return op.raw and has_ddl(c)
        and ("%s: is committed by itself"):format(title(op)) or nil
    end,
  },
  {
    id = "mysql-inline-references", level = "error", databases = MYSQL,
    on = { "add_foreign_key" },
    danger = "REFERENCES behind a column is read and forgotten.",
    safe = "FOREIGN KEY (…) REFERENCES …",
    check = function(op)
      return op.inline and ("%s: REFERENCES behind a column is forgotten"):format(title(op)) or nil
    end,
  },
  {
    id = "mysql-fk-checks-off", level = "error", databases = MYSQL, on = { "set" },
    danger = "Rows without a parent come in and are never found.",
    safe = "write parents first",
    check = function(op)
      local value = (op.value or ""):upper()
      return op.name == "foreign_key_checks" and (value == "0" or value == "OFF")
        and "rows without a parent are never found" or nil
    end,
  },
  {
    id = "mysql-non-strict", level = "error", databases = MYSQL, on = { "set" },
    danger = "Values that do not fit are changed without a word: NULL to 0, dates to zeros.",
    safe = "leave sql_mode as Perigee sets it",
    check = function(op)
      return op.name == "sql_mode" and not (op.value or ""):upper():find "STRICT"
        and "values that do not fit are changed without a word" or nil
    end,
  },
  {
    id = "mysql-charset", level = "warning", databases = MYSQL,
    on = { "create_table", "set_options" },
    danger = "utf8 has no characters beyond 3 bytes; engines other than InnoDB have neither "
      .. "transactions nor foreign keys.",
    safe = "utf8mb4, InnoDB",
    check = function(op)
      local o, out = options_of(op), {}
      local charset, engine = (o.charset or ""):lower(), (o.engine or ""):lower()
      if charset == "utf8" or charset == "utf8mb3" then
        out[1] = { message = charset .. ": use utf8mb4" }
      end
      if engine ~= "" and engine ~= "innodb" then
        out[#out + 1] = { message = o.engine .. ": use InnoDB" }
      end
      return out
    end,
  },
  {
    id = "mysql-check-on-fk-column", level = "error", databases = MYSQL,
    on = { "create_table", "add_check" },
    danger = "A check may not have a column that a foreign key changes (error 3823, 1901).",
    safe = "a trigger",
    check = function(op, c)
      if op.op == "create_table" then return checked_followed(op.table, op.table.checks or {}) end
      local t = c:find(op.schema, op.table)
      return t and checked_followed(t, { op.check }) or nil
    end,
  },
  {
    id = "mysql-drop-index-used-by-fk", level = "error", databases = MYSQL,
    on = { "drop_index" },
    danger = "The last index of a foreign key cannot be dropped (error 1553).",
    safe = "create the new one first",
    check = function(op, c)
      local t = op.table and c:find(op.schema, op.table)
      local key = t and serves_key(t, op.name)
      return key and ("%s: the foreign key %s needs it"):format(op.name, key) or nil
    end,
  },
}
