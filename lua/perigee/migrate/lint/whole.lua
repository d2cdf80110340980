--- Rules of a migration as a whole, and of rows that it writes.
local kinds = require "perigee.migrate.lint.kinds"
local model = require "perigee.schema.model"
local statement = require "perigee.migrate.lint.statement"

local M = {}

local function title(op, name)
  local t = op.schema and op.schema .. "." .. op.table or op.table
  return name and t .. "." .. name or t
end

-- ---- rows ------------------------------------------------------------------

-- Does the condition keep to a range of the table's key?
local function has_key_range(op, c)
  local t = c:find(op.schema, op.table)
  local key = t and t.primary_key and t.primary_key.columns or { "id" }
  local words, is_behind = {}, false
  for _, token in ipairs(statement.tokens(op.sql, c.name)) do
    if token.upper == "WHERE" then is_behind = true end
    if is_behind and token.name then words[token.name] = true end
  end
  return words[key[1]] == true
end

-- ---- `was` -----------------------------------------------------------------

local function type_text(c, column)
  local ok, text = pcall(c.dialect.type, column)
  return ok and text or nil
end

-- SQLite knows which of its words mean the same.
local function differs(c, column, was)
  local a, b = type_text(c, column), type_text(c, was)
  if a and a == b or kinds.same(kinds.of(column.type), kinds.of(was.type)) then return false end
  return not (c.name == "sqlite" and a and b and c.dialect.same_type(a, b))
end

local function was_differs(op, c)
  local t = c:find(op.schema, op.table)
  local column, was = t and model.column(t, op.name), op.was
  if not column or not was then return nil end
  if was.type and c.dialect.type and differs(c, column, was) then
    return ("%s: was = %s is said, it is %s"):format(title(op, op.name),
      kinds.of(was.type).text, kinds.of(column.type).text)
  end
  if op.op == "alter_column" and was.null ~= nil and column.null ~= nil
    and was.null ~= column.null then
    return ("%s: was = { null = %s } is said, it is %s"):format(title(op, op.name),
      tostring(was.null), tostring(column.null))
  end
end

--- Rules of operations.
M.operations = {
  {
    id = "big-backfill-in-one-statement", level = "error", on = { "update", "delete" },
    databases = { "postgres", "mysql" },
    danger = "All rows are locked until the end, the log and the table swell, replicas fall "
      .. "behind.",
    safe = "m:backfill, which goes in batches by the key",
    check = function(op, c)
      if not op.raw or not c:in_use(op.schema, op.table) or has_key_range(op, c) then
        return nil
      end
      return ("%s: rows are written without a range of the key"):format(title(op))
    end,
  },
  {
    id = "was-differs", level = "warning", on = { "alter_column", "drop_column" },
    danger = "What undoes the migration makes something else than there was.",
    safe = "write what the column is",
    check = was_differs,
  },
}

--- Rules that are told by the runtime, or of a file.
M.rules = {
  {
    id = "down-missing", level = "warning",
    danger = "The migration cannot be taken back.",
    safe = "down, or change; down = false says that it is so meant",
  },
  {
    id = "edited-after-apply", level = "error",
    danger = "The file is no longer what was run.",
    safe = "put the file back and write a new migration; or perigee repair with a reason",
  },
  {
    id = "stale-was", level = "info",
    danger = "A hint for a rename that has been done misleads readers.",
    safe = "remove was = … from the definitions",
  },
  {
    id = "unused-allow", level = "warning",
    danger = "It says that something is dangerous that is not there.",
    safe = "remove the m:allow",
  },
}

local by_id = {}
for _, rule in ipairs(M.rules) do by_id[rule.id] = rule end

--- Looks at a migration: may it be taken back?
function M.check_migration(m, emit)
  local is_empty = #(m.up or {}) == 0
  if m.down == nil and not m.change and not is_empty then
    emit(by_id["down-missing"], nil, { message = "it cannot be taken back", at = m.at })
  end
end

--- Looks at what the runtime knows of files that were applied.
-- @tparam table o changed, edited: summaries
function M.check_files(o, emit)
  local rule = by_id["edited-after-apply"]
  for _, s in ipairs(o.changed or {}) do
    emit(rule, nil, { message = ("%s does something else than what was applied"):format(
      s.name or s.id), path = s.path, migration = s.id })
  end
  for _, s in ipairs(o.edited or {}) do
    emit(rule, nil, { level = "info", path = s.path, migration = s.id,
      message = ("%s: the text was changed, what it does was not"):format(s.name or s.id) })
  end
end

-- ---- hints in the definitions ----------------------------------------------

--- Looks for `was` in definitions whose rename has been done.
-- @tparam table definitions a completed tree
-- @tparam table tree what is there
function M.check_hints(definitions, tree, emit)
  local rule = by_id["stale-was"]
  local function tell(e, what)
    emit(rule, nil, { message = ('%s: was = "%s" has done its work'):format(what, e.was),
      at = e.at, path = e.at and e.at.file })
  end
  for _, t in ipairs(definitions.tables or {}) do
    local live = model.find(tree, t.schema, t.name)
    if live and t.was and not model.find(tree, t.schema, t.was) then tell(t, model.key(t)) end
    for _, column in ipairs(live and t.columns or {}) do
      local is_done = column.was and model.column(live, column.name)
        and not model.column(live, column.was)
      if is_done then tell(column, model.key(t) .. "." .. column.name) end
    end
  end
end

return M
