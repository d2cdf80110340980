--- Rules of how tables are made: types, names, keys, indexes.
local kinds = require "perigee.migrate.lint.kinds"
local words = require "perigee.migrate.lint.words"

local function title(schema, name) return schema and schema .. "." .. name or name end

-- The columns that an operation makes or changes the type of: { what =, column = }.
local function columns_of(op)
  local out = {}
  if op.op == "create_table" then
    for _, c in ipairs(op.table.columns) do
      out[#out + 1] = { what = title(op.table.schema, op.table.name) .. "." .. c.name,
        column = c, kind = kinds.of(c.type) }
    end
  elseif op.op == "add_column" then
    out[1] = { what = title(op.schema, op.table) .. "." .. op.column.name, column = op.column,
      kind = kinds.of(op.column.type) }
  elseif op.op == "alter_column" and op.set.type then
    out[1] = { what = title(op.schema, op.table) .. "." .. op.name,
      column = { name = op.name, type = op.set.type }, kind = kinds.of(op.set.type) }
  end
  return out
end

local COLUMNS = { "create_table", "add_column", "alter_column" }

-- A rule about each column: test(column, kind, op, c) gives a message or nil.
local function each_column(rule, test)
  rule.on = COLUMNS
  rule.check = function(op, c)
    local out = {}
    for _, entry in ipairs(columns_of(op)) do
      local text = test(entry.column, entry.kind, op, c)
      if text then
        out[#out + 1] = { message = entry.what .. ": " .. text, at = entry.column.at }
      end
    end
    return out
  end
  return rule
end

-- ---- types -----------------------------------------------------------------

local MONEY = {}
for word in ("amount balance cost discount fee price salary subtotal tax total"):gmatch "%S+" do
  MONEY[word] = true
end

local function is_money(name)
  for word in name:lower():gmatch "%a+" do
    if MONEY[word] then return true end
  end
  return false
end

local FROZEN = { now = true, today = true, tomorrow = true, yesterday = true }
local TIMES = { date = true, time = true, timestamp = true, timestamptz = true }

local function is_frozen(column, kind)
  local d = column.default
  if type(d) ~= "table" or not TIMES[kind.base] then return false end
  local text = d.value or type(d.sql) == "string" and d.sql:match "^%s*'([^']*)'[%a%s:]*$"
  return type(text) == "string" and FROZEN[text:lower():match "^%s*(.-)%s*$"] ~= nil
end

local TYPES = {
  each_column({
    id = "json-column", level = "warning", databases = { "postgres" },
    danger = "json has no equality: DISTINCT, GROUP BY and UNION fail.", safe = "jsonb",
  }, function(_, kind)
    return kind.base == "json" and "json has no equality, DISTINCT and GROUP BY fail" or nil
  end),
  each_column({
    id = "char-type", level = "warning", databases = { "postgres", "mysql" },
    danger = "char(n) fills up with blanks, which come back.", safe = "text, with a check",
  }, function(_, kind)
    return kind.base == "char" and "char(n) fills up with blanks" or nil
  end),
  each_column({
    id = "varchar-length", level = "info", databases = { "postgres" },
    danger = "A shorter limit later writes the table anew.",
    safe = "text, with a check on its length",
  }, function(_, kind)
    return kind.base == "varchar" and #kind.args > 0
      and "another limit later may write the table anew" or nil
  end),
  each_column({
    id = "timestamp-type", level = "warning", databases = { "postgres" },
    danger = "timestamp does not keep which moment is meant, but only what a clock showed.",
    safe = "timestamptz",
  }, function(_, kind)
    return kind.base == "timestamp" and "the time zone is not kept" or nil
  end),
  each_column({
    id = "serial-type", level = "info", databases = { "postgres" },
    danger = "The sequence has rights of its own, and is forgotten when the table is copied.",
    safe = "bigint { identity = true }",
  }, function(_, kind)
    return kind.serial and kind.serial .. ": the sequence has rights of its own" or nil
  end),
  each_column({
    id = "float-money", level = "warning",
    danger = "Binary fractions do not add up to cents.", safe = "numeric(p, s)",
  }, function(column, kind)
    local is_float = kind.base == "float8" or kind.base == "float4"
    return is_float and is_money(column.name) and "an amount as a binary fraction" or nil
  end),
  each_column({
    id = "default-frozen", level = "error", databases = { "postgres" },
    danger = "'now' is read once, when the table is made, and is the same for all rows.",
    safe = "sql.now",
  }, function(column, kind)
    return is_frozen(column, kind) and "the default is the time of the migration" or nil
  end),
}

-- ---- primary keys ----------------------------------------------------------

local SMALL = { int = true, smallint = true }

local function small_key(t, columns)
  if #columns ~= 1 then return nil end
  for _, column in ipairs(t and t.columns or {}) do
    local kind = column.name == columns[1] and kinds.of(column.type)
    if kind and SMALL[kind.base] and (column.identity or kind.serial) then
      return { message = ("%s.%s: %s is full after %s rows"):format(t.name, column.name, kind.text,
        kind.base == "int" and "2 147 483 647" or "32 767"), at = column.at }
    end
  end
  return nil
end

local KEYS = {
  {
    id = "int-primary-key", level = "warning", databases = { "postgres", "mysql" },
    on = { "create_table", "set_primary_key" },
    danger = "The numbers run out; to change the type then writes the table anew.",
    safe = "bigint",
    check = function(op, c)
      local t = op.op == "create_table" and op.table or c:find(op.schema, op.table)
      local key = op.op == "create_table" and op.table.primary_key or op.key
      return key and { small_key(t, key.columns) } or nil
    end,
  },
  {
    id = "pk-missing", level = "warning", on = { "create_table" },
    danger = "Rows cannot be told apart: replication, upserts and pages need a key.",
    safe = "pk = true",
    check = function(op, c)
      local t = op.table
      if t.primary_key or t.opaque or c:sets_key_later(op) then return nil end
      return ("%s: there is no primary key"):format(title(t.schema, t.name))
    end,
  },
}

-- ---- names -----------------------------------------------------------------

-- Calls see(name, at) with all names that an operation gives.
local function each_name(op, see)
  local elements = {}
  local t = op.table
  if type(t) == "table" then
    elements[1] = t
    for _, list in ipairs { t.columns, t.uniques, t.foreign_keys, t.checks, t.indexes } do
      for _, e in ipairs(list or {}) do elements[#elements + 1] = e end
    end
    elements[#elements + 1] = t.primary_key
  end
  for _, field in ipairs { "column", "key", "check", "index", "view" } do
    local e = op[field]
    if type(e) == "table" then elements[#elements + 1] = e end
  end
  for _, e in ipairs(elements) do
    if e.name then see(e.name, e.at) end
  end
  if type(op.to) == "string" then see(op.to) end
  local makes = op.op == "create_schema" or op.op == "create_enum"
  if makes and type(op.name) == "string" then see(op.name) end
end

local GIVES = {
  "create_schema", "create_enum", "create_table", "rename_table", "add_column",
  "rename_column", "set_primary_key", "add_unique", "add_foreign_key", "add_check",
  "rename_constraint", "add_index", "rename_index", "create_view",
}

local function each_new_name(rule, test)
  rule.on = GIVES
  rule.check = function(op, c)
    local out, seen = {}, {}
    each_name(op, function(name, at)
      local text = not seen[name] and test(name, c)
      seen[name] = true
      if text then out[#out + 1] = { message = ('"%s": %s'):format(name, text), at = at } end
    end)
    return out
  end
  return rule
end

local function length(name)
  return #name:gsub("[\128-\191]", "")
end

local NAMES = {
  each_new_name({
    id = "identifier-too-long", level = "error", databases = { "postgres", "mysql" },
    danger = "PostgreSQL cuts names at 63 bytes without a word, so that two become one; MySQL "
      .. "refuses those over 64 characters.",
    safe = "a shorter name",
  }, function(name, c)
    if c.name == "postgres" and #name > 63 then
      return ("%d bytes, only 63 are kept"):format(#name)
    elseif c.name == "mysql" and length(name) > 64 then
      return ("%d characters, only 64 are allowed"):format(length(name))
    end
  end),
  each_new_name({
    id = "reserved-word", level = "info",
    danger = "It has to be quoted in each statement.", safe = "another name",
  }, function(name, c)
    return words.is_reserved(name, c.name) and "a reserved word, to be quoted in each statement"
      or nil
  end),
  each_new_name({
    id = "name-case", level = "info",
    danger = "Where letters are folded, a name with capitals or blanks has to be quoted in each "
      .. "statement.",
    safe = "small letters, digits and _",
  }, function(name)
    return name:find "[^%l%d_\128-\255]" and "to be quoted in each statement" or nil
  end),
}

-- ---- all of them -----------------------------------------------------------

local list = {}
for _, group in ipairs { TYPES, KEYS, NAMES, require "perigee.migrate.lint.indexes" } do
  for _, rule in ipairs(group) do list[#list + 1] = rule end
end
return list
