--- Rules of what breaks programs that still know the tables as they were.

local function of(op, name)
  local title = op.schema and op.schema .. "." .. op.table or op.table or ""
  return name and title .. "." .. name or title
end

local function is_none(v) return type(v) == "table" and v.none == true end

return {
  {
    id = "rename-column", level = "error", on = { "rename_column" },
    danger = "Programs that are running still say the old name and fail.",
    safe = "a new column, written together with the old one; the old one goes in the finish "
      .. "phase",
    check = function(op)
      return ('%s: programs that still say "%s" fail'):format(of(op, op.name), op.name)
    end,
  },
  {
    id = "rename-table", level = "error", on = { "rename_table" },
    danger = "Programs that are running still say the old name and fail.",
    safe = "in the same migration a view with the old name",
    check = function(op, c)
      if c:view_follows(op) then return nil end
      return ('%s: programs that still say "%s" fail'):format(
        op.schema and op.schema .. "." .. op.name or op.name, op.name)
    end,
  },
  {
    id = "rename-schema", level = "error", on = { "rename_schema" }, databases = { "postgres" },
    danger = "Programs that are running still say the old name and fail.",
    safe = "a new schema, to which the tables move one by one",
    check = function(op) return ('programs that still say "%s" fail'):format(op.name) end,
  },
  {
    id = "rename-enum-value", level = "error", on = { "rename_enum_value" },
    danger = "Programs that are running still write and expect the old value.",
    safe = "add the new value, change the rows, leave the old one",
    check = function(op)
      return ("%s: programs that still say '%s' fail"):format(op.name, op.from)
    end,
  },
  {
    id = "add-not-null-without-default", level = "error", on = { "add_column" },
    danger = "With rows in the table it fails; MySQL fills in 0 or ''. Programs that do not "
      .. "know the column cannot insert any more.",
    safe = "give it a default; or add it with null, fill it by backfill, and forbid null after",
    check = function(op)
      local column = op.column
      if column.null or column.identity or column.generated
        or column.default ~= nil and not is_none(column.default) then
        return nil
      end
      return ("%s: fails when there are rows"):format(of(op, column.name))
    end,
  },
  {
    id = "drop-not-null", level = "warning", on = { "alter_column" },
    danger = "Programs that count on a value meet NULL.",
    safe = "release programs first that can do with NULL",
    check = function(op)
      if op.set.null ~= true then return nil end
      return ("%s: programs that count on a value may meet NULL"):format(of(op, op.name))
    end,
  },
}
