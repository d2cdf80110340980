--- Rules of columns whose change writes or reads a table of PostgreSQL from one end to
-- the other, and the two that only the server can say.
local kinds = require "perigee.migrate.lint.kinds"
local statement = require "perigee.migrate.lint.statement"

local POSTGRES = { "postgres" }

local function of(op, name)
  local title = op.schema and op.schema .. "." .. op.table or op.table
  return name and title .. "." .. name or title
end

-- ---- defaults --------------------------------------------------------------

-- Functions that give the same value for all rows of a statement.
local STABLE = {}
for word in ([[now transaction_timestamp statement_timestamp current_date current_time
  current_timestamp current_user localtime localtimestamp lower upper coalesce
  nullif concat to_char to_timestamp to_date date_trunc make_date make_interval
  make_timestamptz jsonb_build_object jsonb_build_array json_build_object
  json_build_array array_fill current_setting row array cast decode encode md5 abs
  ceil floor round timezone length trim btrim replace repeat varchar char
  character numeric decimal timestamp timestamptz time interval varying bit float
  precision]]):gmatch "%S+" do
  STABLE[word] = true
end

-- The first function of an expression that may give each row a value of its own.
local function volatile(default)
  if type(default) ~= "table" or not default.sql then return nil end
  if default.word then return default.sql == "uuid" and "gen_random_uuid" or nil end
  local tokens = statement.tokens(default.sql, "postgres")
  for i, token in ipairs(tokens) do
    local call = token.name and tokens[i + 1] and tokens[i + 1].text == "("
    if call and not STABLE[token.name:lower()] then return token.name end
  end
  return nil
end

-- ---- types -----------------------------------------------------------------

-- The change of a type that makes PostgreSQL write the table anew: from, to; or nil.
local function rewriting(op, c)
  local from, to = c:type_change(op)
  if not to or not c:in_use(op.schema, op.table) then return nil end
  if from and kinds.is_free(from, to) and not op.using then return nil end
  return from or { text = "?" }, to
end

local function mentions(list, name)
  for _, v in ipairs(list or {}) do
    if v == name then return true end
  end
  return false
end

-- The other table of a foreign key that the column is in, on either side.
local function key_partner(op, c)
  local t = c:find(op.schema, op.table)
  for _, f in ipairs(t and t.foreign_keys or {}) do
    if mentions(f.columns, op.name) then return f.ref.table end
  end
  for _, other in ipairs(c.tree.tables) do
    for _, f in ipairs(other.foreign_keys or {}) do
      local here = f.ref.table == op.table and f.ref.schema == op.schema
      if here and mentions(f.ref.columns, op.name) then return other.name end
    end
  end
  return nil
end

-- ---- the rules -------------------------------------------------------------

return {
  {
    id = "set-not-null", level = "error", databases = POSTGRES, on = { "alter_column" },
    fact = "scan",
    danger = "Nobody reads or writes the table while all rows are checked for NULL.",
    safe = "alter_column with online = true; in SQL a check (c IS NOT NULL) NOT VALID, VALIDATE "
      .. "it, SET NOT NULL, drop it",
    check = function(op, c)
      if op.set.null ~= false or c:is_online(op) or not c:in_use(op.schema, op.table)
        or c:is_not_null(op) then
        return nil
      end
      return ("%s: nobody reads the table while all rows are checked"):format(of(op, op.name))
    end,
  },
  {
    id = "volatile-default", level = "error", databases = POSTGRES, on = { "add_column" },
    fact = "rewrite",
    danger = "Each row gets a value of its own: nobody reads the table while it is written anew.",
    safe = "add it without the default, set the default after, and fill old rows by backfill",
    check = function(op, c)
      local name = c:in_use(op.schema, op.table) and volatile(op.column.default)
      return name and ("%s: %s() gives each row a value of its own: the table is written anew")
        :format(of(op, op.column.name), name) or nil
    end,
  },
  {
    id = "add-stored-generated", level = "error", databases = POSTGRES, on = { "add_column" },
    fact = "rewrite",
    danger = "Nobody reads the table while it is written anew.",
    safe = "a plain column with a trigger and a backfill; a view",
    check = function(op, c)
      local g = op.column.generated
      if not g or not g.stored or not c:in_use(op.schema, op.table) then return nil end
      return ("%s: the table is written anew"):format(of(op, op.column.name))
    end,
  },
  {
    id = "add-serial-or-identity", level = "error", databases = POSTGRES, on = { "add_column" },
    fact = "rewrite",
    danger = "Each row gets a number: nobody reads the table while it is written anew.",
    safe = "a column with null, a sequence as its default, a backfill; then the identity",
    check = function(op, c)
      if not op.column.identity or not c:in_use(op.schema, op.table) then return nil end
      return ("%s: each row gets a number: the table is written anew"):format(
        of(op, op.column.name))
    end,
  },
  {
    id = "change-type-rewrite", level = "error", databases = POSTGRES, on = { "alter_column" },
    fact = "rewrite",
    danger = "Nobody reads the table while it and all its indexes are written anew.",
    safe = "a new column, written together with the old one, a backfill; the old one goes in "
      .. "the finish phase",
    check = function(op, c)
      local from, to = rewriting(op, c)
      return from and ("%s: %s: the table is written anew"):format(of(op, op.name),
        kinds.tell(from, to)) or nil
    end,
  },
  {
    id = "change-type-fk-column", level = "error", databases = POSTGRES, on = { "alter_column" },
    fact = "rewrite",
    danger = "The table at the other end of the foreign key is locked as well, and both columns "
      .. "should have one type.",
    safe = "new columns on both sides",
    check = function(op, c)
      local other = rewriting(op, c) and key_partner(op, c)
      return other and ("%s: %s is locked, too"):format(of(op, op.name), other) or nil
    end,
  },
  {
    id = "table-rewrite", level = "error", databases = POSTGRES,
    told = "%s is written anew, the server says",
    danger = "The server says that it writes the table anew, and nobody reads it meanwhile.",
    safe = "a new column or table, a backfill; the old one goes in the finish phase",
  },
  {
    id = "table-scan", level = "error", databases = POSTGRES,
    told = "all rows of %s are read while nobody writes, the server says",
    danger = "The server says that it reads all rows while others cannot write.",
    safe = "what it checks as a constraint NOT VALID first, validated in a transaction of its own",
  },
}
