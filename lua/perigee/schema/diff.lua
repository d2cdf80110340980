--- The differences of two live trees of one server: what there is, and what is wanted
-- (dialect.normalise). Pure: no database is asked. docs/internals/diff.md has the rules.
--
-- A change is an operation (schema/ops.lua) with
--   phase   "up" or "finish": when a migration does it
--   at      { file=, line= } in the definitions, or nil
--   hint    "was" or "--rename": who declared the renaming
--   allows  what destroys data says so, and waits for a reason
local elements = require "perigee.schema.diff.elements"
local equal = require "perigee.schema.diff.equal"
local match = require "perigee.schema.diff.match"
local tables = require "perigee.schema.diff.tables"
local util = require "perigee.util"
local describe = require "perigee.schema.diff.describe"

local M = { describe = describe.change }

--- The reason of an `allow` that nobody has given one to.
M.UNSTATED = "state why"

local OPTIONS = { "definitions", "dialect", "include", "rename", "not_rename", "drop", "manage",
  "phase" }

local function copy(v)
  if type(v) ~= "table" then return v end
  local out = {}
  for key, value in pairs(v) do out[key] = copy(value) end
  return out
end

local function key_of(t) return match.label(t.schema, t.name) end

local function by_key(list)
  local out = {}
  for _, t in ipairs(list or {}) do out[key_of(t)] = t end
  return out
end

-- ---- what is compared --------------------------------------------------------

-- The lists of a tree by the kinds that `include` hears of.
local LISTS = { tables = "table", enums = "enum", views = "view", objects = false }
-- The lists of a table in the same way.
local PARTS = { columns = "column", uniques = "unique", foreign_keys = "foreign key",
  checks = "check", indexes = "index" }

local function filtered(list, keep)
  local out = {}
  for _, element in ipairs(list or {}) do
    if keep(element) then out[#out + 1] = element end
  end
  return out
end

local function skip_key(kind, e)
  return table.concat({ kind, e.schema or "", e.name, e.on or "" }, "\0")
end

-- What the server of the wanted tree had no rights to create.
local function skipped_of(tree)
  local out = {}
  for _, note in ipairs(tree.notes or {}) do
    if note.skipped then out[skip_key(note.kind, note)] = true end
  end
  return out
end

-- A copy of the tree without what could not be asked for (`skipped`: set of keys), and
-- what `include` says no to.
local function narrowed(tree, include, skipped)
  tree = copy(tree)
  for list, kind in pairs(LISTS) do
    tree[list] = filtered(tree[list], function(e)
      local object = { kind = kind or e.kind, schema = e.schema, name = e.name, table = e.on }
      return not skipped[skip_key(object.kind, e)] and (not include or include(object))
    end)
  end
  if not include then return tree end
  for _, t in ipairs(tree.tables) do
    for list, kind in pairs(PARTS) do
      t[list] = filtered(t[list], function(e)
        return include { kind = kind, schema = t.schema, name = e.name, table = t.name }
      end)
    end
  end
  return tree
end

-- ---- tables ------------------------------------------------------------------

local function allow(change, rule)
  change.allows = { { rule = rule, reason = M.UNSTATED } }
end

local function column_names(t)
  local out = {}
  for i, column in ipairs(t.columns) do out[i] = column.name end
  table.sort(out)
  return table.concat(out, "\0")
end

-- Does a change add something of this name to the table?
local function adds(c, from, change)
  for i = from, #c.changes do
    local other = c.changes[i]
    local new = other.key or other.check or other.index
    if new and new.name == change.name then return true end
  end
  return false
end

-- Constraints and indexes of a dropped column go with it, not before.
local function postpone(c, column, from, phase)
  for i = from, #c.changes do
    local change = c.changes[i]
    if change.op:find "^drop_" and type(change.was) == "table" and not adds(c, from, change)
      and tables.uses(change.was, column.name) then
      change.phase = phase
    end
  end
end

-- Renames columns; whether there were any.
local function rename_columns(c, live, wanted, definition, old_name)
  local renamed = match.columns(c.live, live, wanted, function(column)
    for _, d in ipairs(definition and definition.columns or {}) do
      if d.name == column.name then return d end
    end
  end, c.declared, old_name)
  for _, change in ipairs(renamed) do c.changes[#c.changes + 1] = change end
  return #renamed > 0
end

local function compare_table(c, live, wanted, definition, old_name)
  local from, dropped = #c.changes + 1, {}
  local one = { live = live, wanted = wanted, definition = definition, dialect = c.dialect,
    rules = equal.rules(c.dialect, c.renamed[live]), changes = c.changes,
    notes = c.notes }
  function one.drop_column(column, candidates)
    dropped[#dropped + 1] = column
    c.decisions[#c.decisions + 1] = match.dropped_column(live, column, old_name, candidates,
      c.declared)
  end
  tables.compare(one)
  for _, column in ipairs(dropped) do
    local phase = c.phase or "finish"
    postpone(c, column, from, phase)
    local change = { op = "drop_column", schema = live.schema, table = live.name,
      name = column.name, was = column, phase = phase }
    allow(change, "drop-column")
    c.changes[#c.changes + 1] = change
  end
  if one.doubtful then c.doubtful[key_of(live)] = true end
end

-- The labels of new tables with the columns of a dropped one.
local function lookalikes(live, new)
  local out, names = {}, column_names(live)
  for _, t in ipairs(new) do
    if column_names(t) == names then out[#out + 1] = key_of(t) end
  end
  return out
end

local function is_managed(c, t)
  if c.manage == "all" then return true end
  local key = key_of(t)
  return c.declared.drop[key] or type(c.manage) == "table" and c.manage[key] or false
end

local function drop_table(c, live, new)
  if not is_managed(c, live) then
    c.notes[#c.notes + 1] = { kind = "table", schema = live.schema, name = live.name,
      why = "is not in the definitions" }
    return
  end
  c.decisions[#c.decisions + 1] = match.dropped_table(live, lookalikes(live, new), c.declared)
  local change = { op = "drop_table", schema = live.schema, name = live.name, was = live,
    phase = c.phase or "finish" }
  c.managed_tables[key_of(live)] = true
  allow(change, "drop-table")
  c.changes[#c.changes + 1] = change
end

local function compare_tables(c)
  local old_names = {}
  for _, t in ipairs(c.live.tables) do old_names[t] = t.name end
  local defined = by_key(c.definitions.tables)
  local function find_definition(t) return defined[key_of(t)] end
  for _, change in ipairs(match.tables(c.live, c.wanted, find_definition, c.declared)) do
    c.changes[#c.changes + 1] = change
  end
  local live, wanted, new = by_key(c.live.tables), by_key(c.wanted.tables), {}
  for _, w in ipairs(c.wanted.tables) do -- all before any are compared: others refer to them
    local l = live[key_of(w)]
    if l then c.renamed[l] = rename_columns(c, l, w, defined[key_of(w)], old_names[l]) end
  end
  for _, w in ipairs(c.wanted.tables) do
    c.managed_tables[key_of(w)] = true
    local l, definition = live[key_of(w)], defined[key_of(w)]
    if l then
      compare_table(c, l, w, definition, old_names[l])
    else
      new[#new + 1] = w
      local t = definition or w
      c.changes[#c.changes + 1] = { op = "create_table", table = t, at = t.at }
    end
  end
  for _, l in ipairs(c.live.tables) do
    if not wanted[key_of(l)] then drop_table(c, l, new) end
  end
end

-- ---- the whole ---------------------------------------------------------------

-- What neither side compares, once each.
local function take_notes(c, tree)
  for _, note in ipairs(tree.notes or {}) do
    local key = skip_key(note.kind or "", { schema = note.schema, name = note.name or "",
      on = note.on })
    if not c.noted[key] then
      c.noted[key] = true
      c.notes[#c.notes + 1] = note
    end
  end
end

--- Compares two live trees.
-- @tparam table live what there is
-- @tparam table wanted what there should be, as the same server says it
-- @tparam[opt] table opts
--   definitions: the completed tree of the definitions (renamings, places, portable forms);
--   dialect: its rules for texts and options; include: f(object) of { kind, schema, name,
--   table }, false leaves it out on both sides; rename: { "t.a=b", "t=u" };
--   not_rename: { "t.a" }; drop: { "t.a", "t" }, which may be lost;
--   manage: nothing (what the definitions do not know is not ours), "all", or a set of
--   labels of tables; phase: "up" when drops are not to wait for finish
-- @treturn table { changes, decisions, notes, doubtful = { [label of table] = true },
--   doubtful_views }, not ordered
-- @raise usage
function M.compare(live, wanted, opts)
  opts = util.check_options("compare", opts, OPTIONS)
  local skipped = skipped_of(wanted)
  local definitions = opts.definitions or wanted
  local c = {
    live = narrowed(live, opts.include, skipped), wanted = narrowed(wanted, opts.include, skipped),
    definitions = definitions, dialect = opts.dialect, manage = opts.manage, phase = opts.phase,
    declared = match.declared(opts), rules = equal.rules(opts.dialect),
    changes = {}, decisions = {}, notes = {}, noted = {}, doubtful = {}, doubtful_views = {},
    managed_tables = {}, renamed = {},
  }
  elements.schemas(c)
  elements.enums(c)
  compare_tables(c)
  elements.views(c)
  elements.objects(c)
  match.check_used(c.declared)
  take_notes(c, c.live)
  take_notes(c, c.wanted)
  for _, change in ipairs(c.changes) do change.phase = change.phase or "up" end
  return { changes = c.changes, decisions = c.decisions, notes = c.notes, doubtful = c.doubtful,
    doubtful_views = c.doubtful_views, live = c.live, wanted = c.wanted }
end

return M
