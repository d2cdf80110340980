--- Rules of MySQL and MariaDB.
local names = require "perigee.schema.names"

local MYSQL = { "mysql" }

local function title(op, name)
  local t = op.schema and op.schema .. "." .. op.table or tostring(op.table)
  return name and t .. "." .. name or t
end

-- ---- copying ---------------------------------------------------------------

local COPIES = {}

function COPIES.add_check(op) return not op.inline and "a check" or nil end

function COPIES.add_foreign_key() return "a foreign key" end

function COPIES.drop_primary_key() return "the end of the primary key" end

function COPIES.add_column(op)
  local g = op.column.generated
  return g and g.stored ~= false and "a stored column" or nil
end

local function column_before(op, c)
  local t = c:find(op.schema, op.table)
  for _, column in ipairs(t and t.columns or {}) do
    if column.name == op.name then return column end
  end
end

-- What the change of a type is, when the table is copied for it.
local function copying_type(op, c, ty)
  local from, to = c:type_change(op)
  if not to then return nil end
  local before = column_before(op, c)
  local known, lets = pcall(c.dialect.lets_write, { op = "alter_column", set = { type = ty } },
    before and before.type)
  return not (known and lets) and c.kinds.tell(from, to) or nil
end

function COPIES.alter_column(op, c)
  return copying_type(op, c, op.set.type) or op.set.collation and "another collation" or nil
end

function COPIES.modify(op, c) return copying_type(op, c, op.column.type) end

function COPIES.alter_other(op)
  local text = (op.text or ""):upper()
  return text:find "^CONVERT%s+TO%s" and "another character set"
    or text:find "^ALGORITHM%s*=?%s*COPY" and "ALGORITHM = COPY" or nil
end

local function is_fulltext(op)
  local method = op.index.method
  return method == "fulltext" or method == "spatial"
end

local function rebuilds(op, c)
  if op.op == "set_primary_key" then return "another primary key" end
  local column = column_before(op, c)
  local null = op.set.null
  return null ~= nil and not c:type_change(op) and not (column and column.null == null)
    and (null and "NULL" or "NOT NULL") or nil
end

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

local LIMITS = {
  lock_wait_timeout = true, innodb_lock_wait_timeout = true, max_statement_time = true,
}

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
    id = "mysql-copy-algorithm", level = "error", databases = MYSQL, fact = "rewrite",
    on = { "add_check", "add_foreign_key", "add_column", "alter_column", "modify",
      "drop_primary_key", "alter_other" },
    danger = "The table is copied, and nobody writes to it meanwhile.",
    safe = "at a quiet time; gh-ost or pt-online-schema-change",
    told = "%s is copied, the server says",
    check = function(op, c)
      local why = c:in_use(op.schema, op.table) and COPIES[op.op](op, c)
      return why and ("%s: %s: the table is copied"):format(title(op, op.name), why) or nil
    end,
  },
  {
    id = "mysql-writes-wait", level = "error", databases = MYSQL, fact = "scan",
    on = { "add_index", "add_column", "alter_other" },
    danger = "Nobody writes to the table meanwhile.",
    safe = "at a quiet time",
    told = "nobody writes to %s meanwhile, the server says",
    check = function(op, c)
      if not c:in_use(op.schema, op.table) then return nil end
      if op.op == "add_index" then
        return is_fulltext(op) and ("%s: nobody writes to the table while the index is built")
          :format(title(op)) or nil
      elseif op.op == "add_column" then
        return op.column.identity and ("%s: nobody writes to the table while its rows get numbers")
          :format(title(op, op.column.name)) or nil
      end
      local lock = (op.text or ""):upper():match "^LOCK%s*=?%s*(%u+)"
      return (lock == "SHARED" or lock == "EXCLUSIVE")
        and ("%s: LOCK = %s"):format(title(op), lock) or nil
    end,
  },
  {
    id = "mysql-rebuild", level = "warning", databases = MYSQL, fact = "rebuild",
    on = { "alter_column", "set_primary_key" },
    danger = "The table is written anew. Others write meanwhile, but it takes as much room "
      .. "again, and replicas stand still as long.",
    safe = "at a quiet time",
    told = "%s is written anew beside those who write, the server says",
    check = function(op, c)
      local why = c:in_use(op.schema, op.table) and rebuilds(op, c)
      return why and ("%s: %s: the table is written anew"):format(title(op, op.name), why) or nil
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
    id = "mysql-no-lock-timeout", level = "error", databases = MYSQL, on = { "set" },
    danger = "Perigee gives each statement a time limit for its locks, so that others do not "
      .. "queue behind it; this takes it away. The server's own is a day or a year.",
    safe = "the options lock_timeout and statement_timeout",
    check = function(op)
      local value = (op.value or ""):upper()
      local seconds = tonumber(value)
      local off = value == "DEFAULT" or seconds and (op.name == "max_statement_time"
        and seconds == 0 or op.name ~= "max_statement_time" and seconds >= 3600)
      return LIMITS[op.name] and off and op.name .. " is switched off" or nil
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
