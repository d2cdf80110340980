--- perigee delete-rows: empties tables.
local command = require "perigee.cli.command"
local output = require "perigee.cli.output"

local M = {
  name = "delete-rows",
  summary = "Delete all rows of tables.",
}

local JOURNAL = { perigee_migration = true, perigee_migration_step = true }

function M.define(parser)
  parser:description("Delete all rows of tables, in one transaction and in an order that "
    .. "foreign keys allow. A table that refers to one of them has to be named too, so that "
    .. "nothing is deleted unseen.")
  parser:argument("TABLE"):args "*":target "tables"
  parser:flag("--all", "All tables but those of the migrations.")
  parser:flag("--dry", "Only tell how many rows there are.")
  command.add_yes(parser)
  command.add_json(parser)
  command.add_quiet(parser)
end

-- ---- which, and in which order ---------------------------------------------

local function key_of(schema, name)
  return schema and schema .. "." .. name or name
end

local function choose(tree, options)
  local chosen, wanted = {}, {}
  for _, name in ipairs(options.tables) do wanted[name] = true end
  for _, t in ipairs(tree.tables) do
    local key = key_of(t.schema, t.name)
    if wanted[key] or options.all and not JOURNAL[t.name] then chosen[key] = t end
    wanted[key] = nil
  end
  local unknown = next(wanted)
  if unknown then command.refuse("there is no table %q", unknown) end
  return chosen
end

-- { [parent] = { child, … } } of foreign keys; a table that refers to itself needs
-- no order. `ignored(child table, key)`: keys that do not count.
local function children_of(tree, ignored)
  local out = {}
  for _, t in ipairs(tree.tables) do
    local child = key_of(t.schema, t.name)
    for _, f in ipairs(t.foreign_keys or {}) do
      local parent = key_of(f.ref.schema, f.ref.table)
      out[parent] = out[parent] or {}
      if parent ~= child and not (ignored and ignored(t, f)) then
        table.insert(out[parent], child)
      end
    end
  end
  return out
end

local function check_children(chosen, children)
  for parent in pairs(chosen) do
    for _, child in ipairs(children[parent] or {}) do
      if not chosen[child] then
        command.refuse("%s refers to %s: name it too", child, parent)
      end
    end
  end
end

-- Children first. Second result: is there a circle?
local function order(chosen, children)
  local names, out, state, circle = {}, {}, {}, false
  for key in pairs(chosen) do names[#names + 1] = key end
  table.sort(names)
  local function visit(key)
    if state[key] == "open" then circle = true end
    if state[key] then return end
    state[key] = "open"
    for _, child in ipairs(children[key] or {}) do visit(child) end
    state[key] = "done"
    out[#out + 1] = key
  end
  for _, key in ipairs(names) do visit(key) end
  return out, circle
end

-- ---- deleting --------------------------------------------------------------

local function count(x, d, t)
  return tonumber(x:value("SELECT count(*) FROM " .. d.qualified(t.schema, t.name)))
end

local function delete(tx, d, keys, chosen)
  local counts = {}
  for _, key in ipairs(keys) do
    local t = chosen[key]
    counts[key] = tx:execute("DELETE FROM " .. d.qualified(t.schema, t.name)).affected
  end
  return counts
end

-- May all columns of a foreign key be null?
local function may_be_null(t, f)
  local null = {}
  for _, c in ipairs(t.columns) do null[c.name] = c.null end
  for _, name in ipairs(f.columns) do
    if not null[name] then return false end
  end
  return true
end

-- Where the rows of tables refer to each other, or those of one to each other, no order
-- works. What each database has for that:
local UNORDERED = {}

-- SQLite looks at the end of the transaction.
function UNORDERED.sqlite(tx, d, keys, chosen)
  tx:execute "PRAGMA defer_foreign_keys = ON"
  return delete(tx, d, keys, chosen)
end

-- PostgreSQL empties all at once.
function UNORDERED.postgres(tx, d, keys, chosen)
  local names, counts = {}, {}
  for i, key in ipairs(keys) do
    names[i] = d.qualified(chosen[key].schema, chosen[key].name)
    counts[key] = count(tx, d, chosen[key])
  end
  tx:execute("TRUNCATE " .. table.concat(names, ", "))
  return counts
end

-- MySQL looks at each row: what may refer to nothing is made to.
function UNORDERED.mysql(tx, d, keys, chosen, tree)
  for _, key in ipairs(keys) do
    local t = chosen[key]
    for _, f in ipairs(t.foreign_keys) do
      if may_be_null(t, f) then
        local sets = {}
        for i, name in ipairs(f.columns) do sets[i] = d.quote(name) .. " = NULL" end
        tx:execute(("UPDATE %s SET %s"):format(d.qualified(t.schema, t.name),
          table.concat(sets, ", ")))
      end
    end
  end
  return delete(tx, d, (order(chosen, children_of(tree, may_be_null))), chosen)
end

local function refers_to_itself(chosen)
  for _, t in pairs(chosen) do
    for _, f in ipairs(t.foreign_keys or {}) do
      if f.ref.table == t.name and f.ref.schema == t.schema then return true end
    end
  end
  return false
end

local function empty(tx, d, keys, chosen, tree, circle)
  -- a statement's rows are looked at together, but on MySQL
  if circle or d.name == "mysql" and refers_to_itself(chosen) then
    return UNORDERED[d.name](tx, d, keys, chosen, tree)
  end
  return delete(tx, d, keys, chosen)
end

-- ---- the command -----------------------------------------------------------

local function show(self, keys, counts, options)
  if options.json then
    local list = {}
    for i, key in ipairs(keys) do
      list[i] = { table = key, rows = counts[key], deleted = not options.dry }
    end
    return self.out:data(list)
  end
  if self.out.quiet then return end
  local rows, total = {}, 0
  for i, key in ipairs(keys) do
    rows[i] = { key, output.count(counts[key]) }
    total = total + counts[key]
  end
  self.out:table({ "table", "rows" }, rows, { "l", "r" })
  self.out:say(options.dry and "%s would be deleted" or "deleted %s",
    output.plural(total, "row"))
end

M.run = command.runner(function(self, options)
  if #options.tables == 0 and not options.all then
    command.refuse "which tables? name them, or --all"
  end
  if #options.tables > 0 and options.all then
    command.refuse "--all: the tables are named already"
  end
  local x = self:db()
  local d = command.dialect(x)
  local tree = d.inspect(x, {})
  local chosen, children = choose(tree, options), children_of(tree)
  check_children(chosen, children)
  local keys, circle = order(chosen, children)
  local counts = {}
  if options.dry then
    for _, key in ipairs(keys) do counts[key] = count(x, d, chosen[key]) end
  else
    command.need_yes(options, "delete the rows of " .. table.concat(keys, ", "))
    counts = x:transaction(function(tx) return empty(tx, d, keys, chosen, tree, circle) end)
  end
  show(self, keys, counts, options)
end)

return M
