--- How to see whether a statement was run. DDL commits by itself, so that a run that was
-- ended leaves its last statement in doubt: each step asks for what it should have done,
-- or can be run again.
local types = require "perigee.dialect.mysql.types"

local literal = types.literal
local M = {}

-- What gives the same when it is run again.
local AGAIN = {
  alter_column = true, set_comment = true, set_options = true, replace_view = true,
  add_enum_value = true, set_enum_values = true, rename_enum_value = true, validate = true,
}

local function schema_of(op) return op.schema and literal(op.schema) or "database()" end

-- Is there a row? `name` nil: who knows.
local function row(view, prefix, op, table_name, column, name)
  if not name then return nil end
  local sql = ("SELECT 1 FROM information_schema.%s WHERE %s_schema = %s%s AND %s = %s"):format(
    view, prefix, schema_of(op),
    table_name and " AND table_name = " .. literal(table_name) or "", column, literal(name))
  return { key = view .. "\0" .. (table_name or "") .. "\0" .. name, sql = sql }
end

local function is_there(found) return found and { is = true, key = found.key, sql = found.sql } end
local function is_gone(found) return found and { is = false, key = found.key, sql = found.sql } end

local function column(op, name)
  return row("columns", "table", op, op.table, "column_name", name)
end

local function index(op, name)
  return row("statistics", "table", op, op.table, "index_name", name)
end

local function constraint(op, name)
  return row("table_constraints", "constraint", op, op.table, "constraint_name", name)
end

local function table_(op, name) return row("tables", "table", op, nil, "table_name", name) end

local OBJECTS = {
  ["function"] = { "routines", "routine" }, procedure = { "routines", "routine" },
  trigger = { "triggers", "trigger" }, event = { "events", "event" },
}

local function object(o, name)
  local view = OBJECTS[o.kind]
  return view and row(view[1], view[2], o, nil, view[2] .. "_name", name or o.name)
end

local PROBES = {
  add_column = function(op) return is_there(column(op, op.column.name)) end,
  drop_column = function(op) return is_gone(column(op, op.name)) end,
  rename_column = function(op) return is_there(column(op, op.to)) end,
  rename_constraint = function(op) return is_there(constraint(op, op.to)) end,
  add_index = function(op) return is_there(index(op, op.index.name)) end,
  drop_index = function(op) return is_gone(index(op, op.name)) end,
  rename_index = function(op) return is_there(index(op, op.to)) end,
  add_unique = function(op) return is_there(index(op, op.key.name)) end,
  drop_unique = function(op) return is_gone(index(op, op.name)) end,
  add_foreign_key = function(op) return is_there(constraint(op, op.key.name)) end,
  drop_foreign_key = function(op) return is_gone(constraint(op, op.name)) end,
  add_check = function(op) return is_there(constraint(op, op.check.name)) end,
  drop_check = function(op) return is_gone(constraint(op, op.name)) end,
  set_primary_key = function(op) return not op.was and is_there(index(op, "PRIMARY")) or nil end,
  drop_primary_key = function(op) return is_gone(index(op, "PRIMARY")) end,
  create_table = function(op) return is_there(table_(op.table, op.table.name)) end,
  drop_table = function(op) return is_gone(table_(op, op.name)) end,
  rename_table = function(op) return is_there(table_(op, op.to)) end,
  create_view = function(op) return is_there(table_(op.view, op.view.name)) end,
  drop_view = function(op) return is_gone(table_(op, op.name)) end,
  create_object = function(op) return is_there(object(op.object)) end,
  drop_object = function(op) return is_gone(object(op)) end,
}

local function finish(probe)
  return probe and { sql = ("SELECT %sEXISTS (%s)"):format(probe.is and "" or "NOT ", probe.sql) }
end

--- For operations that are one statement: what is so afterwards and was not before. A name
-- that goes and comes again says nothing.
-- @tparam {table,...} list
-- @treturn ?table { sql = }
-- @treturn boolean whether the statement can be run again
function M.together(list)
  local seen, found, again = {}, {}, true
  for _, op in ipairs(list) do
    local probe = PROBES[op.op] and PROBES[op.op](op)
    again = again and AGAIN[op.op] or false
    if probe then
      seen[probe.key] = (seen[probe.key] or 0) + 1
      found[#found + 1] = probe
    end
  end
  for _, probe in ipairs(found) do
    if seen[probe.key] == 1 then return finish(probe), again end
  end
  return nil, again
end

--- For the n-th statement of an operation that takes several.
-- @treturn ?table { sql = }
-- @treturn boolean whether the statement can be run again
function M.of(op, n)
  if op.op == "create_table" and n > 1 then
    local t, f = op.table, op.table.foreign_keys[n - 1]
    return finish(is_there(constraint({ schema = t.schema, table = t.name }, f.name))), false
  elseif op.op == "replace_object" then
    local o = n == 1 and (op.was or op.object) or op.object
    local found = object(o)
    return finish(n == 1 and is_gone(found) or n == 2 and is_there(found) or nil), false
  end
  return M.together { op }
end

return M
