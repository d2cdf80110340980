--- Rules of PostgreSQL's locks for indexes, keys and constraints. What Perigee does by
-- itself while others work (CONCURRENTLY, NOT VALID, USING INDEX) is not told: they are
-- about `concurrently = false`, `online = false` and SQL of one's own.
local raw = require "perigee.migrate.lint.raw"
local statement = require "perigee.migrate.lint.statement"

local POSTGRES = { "postgres" }

local function title(schema, name) return schema and schema .. "." .. name or tostring(name) end
local function of(op) return title(op.schema, op.table) end

-- On a table in use, and not in a way that lets others write?
local function is_blocking(op, c)
  return c:in_use(op.schema, op.table) and not c:is_online(op)
end

local INDEXES = {
  {
    id = "index-not-concurrent", level = "error", databases = POSTGRES, on = { "add_index" },
    danger = "Nobody writes to the table while the index is built.",
    safe = "add_index without concurrently = false; in SQL CREATE INDEX CONCURRENTLY, tx = false",
    check = function(op, c)
      if op.raw and op.concurrently or not is_blocking(op, c) then return nil end
      return ("%s: nobody writes while %s is built"):format(of(op), op.index.name or "it")
    end,
  },
  {
    id = "index-drop-not-concurrent", level = "warning", databases = POSTGRES,
    on = { "drop_index" },
    danger = "It waits for all who read the table, and all others wait behind it.",
    safe = "drop_index without concurrently = false; in SQL DROP INDEX CONCURRENTLY, tx = false",
    check = function(op, c)
      if op.raw and op.concurrently or c:is_online(op) then return nil end
      if op.table and not c:in_use(op.schema, op.table) then return nil end
      return ("%s: others wait behind it"):format(op.name)
    end,
  },
  {
    id = "concurrent-in-transaction", level = "error", databases = POSTGRES,
    on = { "add_index", "drop_index", "reindex", "detach" },
    danger = "CONCURRENTLY is refused inside a transaction.",
    safe = "m:sql { …, tx = false }",
    check = function(op)
      return op.raw and op.concurrently and op.tx
        and "CONCURRENTLY is refused in a transaction" or nil
    end,
  },
  {
    id = "concurrent-if-not-exists", level = "error", databases = POSTGRES, on = { "add_index" },
    danger = "A build that failed leaves an index that is not valid, and IF NOT EXISTS then "
      .. "says that all is well.",
    safe = "add_index, which drops such a leftover; or a probe that asks for indisvalid",
    check = function(op)
      return op.raw and op.concurrently and op.guarded
        and ("%s: a broken index of that name would be taken for it"):format(op.index.name) or nil
    end,
  },
  {
    id = "reindex-not-concurrent", level = "warning", databases = POSTGRES, on = { "reindex" },
    danger = "Nobody writes to the table meanwhile, and who needs the index waits.",
    safe = "REINDEX … CONCURRENTLY, tx = false",
    check = function(op)
      return not op.concurrently and "nobody writes while it runs" or nil
    end,
  },
}

-- ---- keys and constraints --------------------------------------------------

local function fk_name(op) return ("%s to %s"):format(of(op), op.key.ref.table) end

local function duplicates_query(op, columns)
  local list = table.concat(columns, ", ")
  return ("look first: SELECT %s, count(*) FROM %s GROUP BY %s HAVING count(*) > 1"):format(
    list, of(op), list)
end

local function unique_columns(op)
  if op.op == "add_unique" then return op.key.columns end
  if not op.index.unique then return nil end
  local list = {}
  for i, key in ipairs(op.index.keys) do list[i] = key.column or key.sql end
  return list
end

local CONSTRAINTS = {
  {
    id = "fk-validating", level = "error", databases = POSTGRES, on = { "add_foreign_key" },
    fact = "scan",
    danger = "Nobody writes to either table while all rows are checked.",
    safe = "add_foreign_key with online = true; in SQL NOT VALID, then VALIDATE in a "
      .. "transaction of its own",
    check = function(op, c)
      if op.key.valid == false or op.inline or not is_blocking(op, c) then return nil end
      return ("%s: nobody writes to either while all rows are checked"):format(fk_name(op))
    end,
  },
  {
    id = "check-validating", level = "error", databases = POSTGRES, on = { "add_check" },
    fact = "scan",
    danger = "Nobody reads or writes the table while all rows are checked.",
    safe = "add_check with online = true; in SQL NOT VALID, then VALIDATE in a transaction of "
      .. "its own",
    check = function(op, c)
      if op.check.valid == false or not is_blocking(op, c) then return nil end
      return ("%s: nobody reads it while all rows are checked"):format(of(op))
    end,
  },
  {
    id = "unique-by-constraint", level = "error", databases = POSTGRES, on = { "add_unique" },
    danger = "Nobody reads or writes the table while the index of the key is built.",
    safe = "add_unique with online = true; in SQL CREATE UNIQUE INDEX CONCURRENTLY, then ADD "
      .. "CONSTRAINT … USING INDEX",
    check = function(op, c)
      if op.using_index or not is_blocking(op, c) then return nil end
      return ("%s: nobody reads it while the index is built"):format(of(op))
    end,
  },
  {
    id = "unique-on-existing", level = "warning", on = { "add_unique", "add_index" },
    danger = "It fails when there are duplicates; on PostgreSQL it then leaves an index that is "
      .. "not valid, which the next run drops.",
    safe = "look for duplicates first",
    check = function(op, c)
      local columns = not op.using_index and unique_columns(op)
      if not columns or #columns == 0 or not c:in_use(op.schema, op.table) then return nil end
      return { { message = ("%s (%s): fails when there are duplicates"):format(of(op),
        table.concat(columns, ", ")), hint = duplicates_query(op, columns) } }
    end,
  },
  {
    id = "primary-key-on-existing", level = "error", databases = POSTGRES,
    on = { "set_primary_key" },
    danger = "Nobody reads or writes the table while the index is built and all rows are "
      .. "checked for NULL.",
    safe = "set_primary_key with online = true; in SQL a unique index CONCURRENTLY, NOT NULL by "
      .. "a check, then USING INDEX",
    check = function(op, c)
      if op.using_index or not is_blocking(op, c) then return nil end
      return ("%s: nobody reads it while the index is built"):format(of(op))
    end,
  },
  {
    id = "exclusion-constraint", level = "error", databases = POSTGRES,
    on = { "add_exclusion" },
    danger = "Nobody reads or writes the table while the index is built; there is no other way "
      .. "to add one.",
    safe = "at a quiet time; or a trigger",
    check = function(op, c)
      if not c:in_use(op.schema, op.table) then return nil end
      return ("%s: nobody reads it while the index is built"):format(of(op))
    end,
  },
  {
    id = "create-table-fk", level = "info", databases = POSTGRES, on = { "create_table" },
    danger = "Even for an empty new table nobody writes to the tables that it refers to, until "
      .. "the transaction ends.",
    safe = "nothing slow in the same migration",
    check = function(op, c)
      for _, f in ipairs(op.table.foreign_keys or {}) do
        if c:in_use(f.ref.schema, f.ref.table) and f.ref.table ~= op.table.name then
          return ("%s: nobody writes to %s meanwhile"):format(op.table.name, f.ref.table)
        end
      end
    end,
  },
  {
    id = "drop-fk-locks-both", level = "warning", databases = POSTGRES,
    on = { "drop_foreign_key", "drop_constraint" },
    danger = "Both tables are locked for reading, too.",
    safe = "a migration of its own, with a lock_timeout",
    check = function(op, c)
      local f = op.was or c:foreign_key(op)
      if not f or not f.ref or not c:in_use(op.schema, op.table) then return nil end
      return ("%s and %s are both locked"):format(of(op), f.ref.table)
    end,
  },
}

-- ---- other statements ------------------------------------------------------

local OTHERS = {
  {
    id = "trigger-create", level = "info", databases = POSTGRES, on = { "create_trigger" },
    danger = "Nobody writes to the table until the transaction ends.",
    safe = "nothing slow in the same migration",
    check = function(op, c)
      if not op.table or not c:in_use(op.schema, op.table) then return nil end
      return ("%s: nobody writes to it meanwhile"):format(of(op))
    end,
  },
  {
    id = "detach-partition", level = "error", databases = POSTGRES, on = { "detach" },
    danger = "Nobody reads the partitioned table meanwhile.",
    safe = "DETACH PARTITION … CONCURRENTLY, tx = false",
    check = function(op)
      return not op.concurrently and ("%s: nobody reads it meanwhile"):format(of(op)) or nil
    end,
  },
  {
    id = "attach-partition", level = "warning", databases = POSTGRES, on = { "attach" },
    danger = "All rows of the partition are checked while nobody reads it, unless a valid check "
      .. "says the same as its bounds.",
    safe = "a check with the bounds first, dropped after",
    check = function(op, c)
      if not c:in_use(nil, op.name) then return nil end
      return ("%s: all its rows are checked, unless a check says the same"):format(op.name)
    end,
  },
  {
    id = "vacuum-full", level = "error", databases = POSTGRES, on = { "vacuum_full" },
    danger = "Nobody reads the table while it is written anew.",
    safe = "plain VACUUM; pg_repack",
    check = function() return "nobody reads the table while it is written anew" end,
  },
  {
    id = "set-unlogged", level = "error", databases = POSTGRES, fact = "rewrite",
    on = { "set_storage", "set_options" },
    danger = "Nobody reads the table while it is written anew.",
    safe = "at a quiet time",
    check = function(op, c)
      local now, was = (op.options or {}).postgres or {}, (op.was or {}).postgres or {}
      local changes = op.op == "set_storage" or (now.unlogged or false) ~= (was.unlogged or false)
      if not changes or not c:in_use(op.schema, op.table) then return nil end
      return ("%s: nobody reads it while it is written anew"):format(of(op))
    end,
  },
  {
    id = "refresh-matview", level = "warning", databases = POSTGRES, on = { "refresh" },
    danger = "Nobody reads the view meanwhile.",
    safe = "REFRESH … CONCURRENTLY, which needs a unique index",
    check = function(op)
      return not op.concurrently and ("%s: nobody reads it meanwhile"):format(
        title(op.schema, op.name)) or nil
    end,
  },
  {
    id = "no-lock-timeout", level = "error", databases = POSTGRES, on = { "set" },
    danger = "Perigee gives each statement a time limit for its locks, so that others do not "
      .. "queue behind it; this takes it away.",
    safe = "the options lock_timeout and statement_timeout",
    check = function(op)
      local limit = op.name == "lock_timeout" or op.name == "statement_timeout"
      local off = op.value and op.value:find "^'?0%a*'?$" or (op.value or ""):upper() == "DEFAULT"
      return limit and off and op.name .. " is switched off" or nil
    end,
  },
  {
    id = "robust-statements", level = "warning", databases = { "postgres", "mysql" },
    on = { "sql" },
    danger = "When the run ends in between, nobody knows whether a statement outside of a "
      .. "transaction was done.",
    safe = "probe = \"SELECT …\", true when it is done",
    check = function(op, c)
      local text = raw.text_of(op, c.name)
      local is_alone = op.tx == false or text and statement.commits(text, c.dialect)
      return is_alone and not op.probe
        and "without a probe nobody knows after a crash whether it was done" or nil
    end,
  },
  {
    id = "domain-with-constraint", level = "warning", databases = POSTGRES,
    on = { "create_domain", "alter_domain" },
    danger = "To change the check later looks through all tables that have the domain.",
    safe = "checks of the columns",
    check = function(op)
      if op.op == "create_domain" and not op.check then return nil end
      return ("%s: a change of the check looks through all tables of it"):format(op.name)
    end,
  },
  {
    id = "security-definer", level = "warning", databases = POSTGRES, on = { "create_function" },
    danger = "Who calls it can put other functions before those that it means, and they run with "
      .. "the owner's rights.",
    safe = "SET search_path = pg_catalog, …, pg_temp",
    check = function(op)
      return op.definer and not op.path and ("%s: SECURITY DEFINER without SET search_path")
        :format(op.name or "?") or nil
    end,
  },
  {
    id = "enum-value-order", level = "info", databases = { "postgres", "mysql" },
    on = { "add_enum_value" },
    danger = "Values are ordered as they are listed; a new one comes last.",
    safe = "before = or after =",
    check = function(op)
      if op.before or op.after then return nil end
      return ("%s: '%s' comes last"):format(op.name, op.value)
    end,
  },
}

local list = {}
for _, group in ipairs { INDEXES, CONSTRAINTS, OTHERS } do
  for _, rule in ipairs(group) do list[#list + 1] = rule end
end
return list
