--- Rules of what destroys data. Those with `loses` also stop an upgrade (lint.gate).

local function of(op, name)
  local title = op.schema and op.schema .. "." .. op.table or op.table or ""
  return name and title .. "." .. name or title
end

local function named(op)
  return op.schema and op.schema .. "." .. op.name or tostring(op.name)
end

return {
  {
    id = "drop-column", level = "error", loses = true, on = { "drop_column" },
    danger = "Its values are lost, and programs that name the column fail.",
    safe = "release the program without it first; drop it in the finish phase",
    check = function(op, c)
      if not c:in_use(op.schema, op.table) then return nil end
      return ("%s: its values are lost"):format(of(op, op.name))
    end,
  },
  {
    id = "drop-table", level = "error", loses = true, on = { "drop_table" },
    danger = "Its rows are lost. PostgreSQL also locks the tables that it refers to.",
    safe = "release the program without it first; drop it in the finish phase",
    check = function(op, c)
      if not c:in_use(op.schema, op.name) then return nil end
      local t = c:find(op.schema, op.name)
      local more = ""
      if c.name == "postgres" and t and #(t.foreign_keys or {}) > 0 then
        more = ("; %s is locked too"):format(t.foreign_keys[1].ref.table)
      end
      return ("%s: its rows are lost%s"):format(named(op), more)
    end,
  },
  {
    id = "drop-schema", level = "error", loses = true, on = { "drop_schema", "drop_database" },
    danger = "All that is in the schema or database is lost.",
    safe = "drop what is in it, table by table",
    check = function(op) return ("%s: all that is in it is lost"):format(named(op)) end,
  },
  {
    id = "truncate", level = "error", loses = true, on = { "truncate", "delete_all" },
    danger = "All rows are lost; PostgreSQL locks the table for reading, too.",
    safe = "delete in batches, by a condition",
    check = function(op, c)
      return c:in_use(op.schema, op.table) and ("%s: all its rows are lost"):format(of(op)) or nil
    end,
  },
  {
    id = "truncate-cascade", level = "error", loses = true, on = { "truncate" },
    databases = { "postgres" },
    danger = "The rows of all tables that refer to it are lost, too.",
    safe = "name each table",
    check = function(op)
      return op.cascade and ("%s: so do all tables that refer to it"):format(of(op)) or nil
    end,
  },
  {
    id = "drop-cascade", level = "error", loses = true, databases = { "postgres" },
    on = { "drop_column", "drop_table", "drop_schema", "drop_view", "drop_type",
      "drop_constraint" },
    danger = "CASCADE drops whatever depends on it: views, keys, columns of other tables.",
    safe = "drop what depends on it by name",
    check = function(op)
      return op.cascade and ("%s: CASCADE drops what is not named here"):format(
        op.table and of(op, op.name) or named(op)) or nil
    end,
  },
  {
    id = "view-depends", level = "error", on = { "drop_column", "alter_column" },
    danger = "The database refuses to drop a column or to change its type while a view has it.",
    safe = "drop the view before and create it again after",
    check = function(op, c)
      if op.op == "alter_column" and (op.set.type == nil or c.name ~= "postgres") then
        return nil
      end
      local view = c:view_with(op)
      return view and ("%s: the view %s has it"):format(of(op, op.name), view.name) or nil
    end,
  },
  {
    id = "enum-recreate", level = "error", on = { "set_enum_values" },
    databases = { "postgres" },
    danger = "The type is made anew: all tables with a column of it are written anew, nobody "
      .. "reads them meanwhile, and a value that is taken away must not be in use.",
    safe = "only add values; or keep the old ones and forbid them by a check",
    check = function(op, c)
      if not c:enum_in_use(op) then return nil end
      return ("%s: all columns of it are written anew"):format(named(op))
    end,
  },
  {
    id = "change-type-drops-data", level = "error", on = { "alter_column", "modify" },
    danger = "Values that do not fit are cut or rounded, or the change fails because of them.",
    safe = "look for such values first; or a new column, a backfill, and the old one dropped "
      .. "in the finish phase",
    check = function(op, c)
      local from, to = c:type_change(op)
      if not (from and to and c.kinds.loses(from, to)) then return nil end
      return ("%s: %s: not all values fit"):format(of(op, op.name), c.kinds.tell(from, to))
    end,
  },
}
