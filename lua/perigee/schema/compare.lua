--- Compares a database with definitions: reads it, has the server say the definitions in
-- its own words, finds the differences (diff.lua), puts them into order (order.lua), and
-- tries the result on scratch. docs/internals/diff.md has the steps and the rules.
local dialects = require "perigee.dialect"
local diff = require "perigee.schema.diff"
local follow = require "perigee.schema.diff.follow"
local match = require "perigee.schema.diff.match"
local model = require "perigee.schema.model"
local ops = require "perigee.schema.ops"
local order = require "perigee.schema.order"
local util = require "perigee.util"

local M = {}

local function label_of(e) return match.label(e.schema, e.name) end

local function set_of(list)
  local out = {}
  for _, name in ipairs(list) do out[name] = true end
  return out
end

-- ---- what is read -------------------------------------------------------------

local JOURNAL = set_of { "perigee_migration", "perigee_migration_step" }

-- The journal of migrations is nobody's table.
local function without_journal(include)
  return function(object)
    if JOURNAL[object.name] and object.kind == "table" then return false end
    return not include or include(object)
  end
end

-- The schemas that the definitions name.
local function schemas_of(tree)
  local set, list = {}, {}
  local function note(name)
    if name and not set[name] then
      set[name] = true
      list[#list + 1] = name
    end
  end
  for _, name in ipairs(tree.schemas or {}) do note(name) end
  for _, kind in ipairs { "tables", "enums", "views", "objects" } do
    for _, e in ipairs(tree[kind] or {}) do note(e.schema) end
  end
  return #list > 0 and list or nil
end

-- ---- part of a tree -----------------------------------------------------------

local function each_parent(t, visit)
  for _, key in ipairs(t.foreign_keys or {}) do
    visit(match.label(key.ref.schema, key.ref.table))
  end
end

-- A table with only those foreign keys whose parents are chosen.
local function with_keys_to(t, chosen)
  local copy = model.copy(t)
  copy.foreign_keys = {}
  for _, key in ipairs(t.foreign_keys or {}) do
    if chosen[match.label(key.ref.schema, key.ref.table)] then
      table.insert(copy.foreign_keys, model.copy(key))
    end
  end
  return copy
end

local function mentions_any(e, elements)
  for _, other in ipairs(elements) do
    if follow.mentions(e.sql, (other.name:gsub("%(.*$", ""))) then return true end
  end
  return false
end

local function with_label(tree, labels)
  local out = {}
  for _, t in ipairs(tree.tables) do
    if labels[label_of(t)] then out[#out + 1] = t end
  end
  return out
end

-- Views to keep: those on the tables and those of the names, with what they need and what
-- needs them.
local function choose_views(tree, chosen, names)
  local views, more = {}, true
  local known = with_label(tree, chosen)
  local function choose(v)
    views[v], more = true, true
    known[#known + 1] = v
    for _, t in ipairs(tree.tables) do
      local label = label_of(t)
      if not chosen[label] and follow.mentions(v.sql, t.name) then
        chosen[label] = true
        known[#known + 1] = t
      end
    end
    for _, other in ipairs(tree.views) do
      if not views[other] and follow.mentions(v.sql, other.name) then choose(other) end
    end
  end
  for _, v in ipairs(tree.views or {}) do
    if names and names[v.name] and not views[v] then choose(v) end
  end
  while more do
    more = false
    for _, v in ipairs(tree.views or {}) do
      if not views[v] and mentions_any(v, known) then choose(v) end
    end
  end
  return views
end

-- Copies of the objects that stand by themselves or on one of the elements.
local function objects_of(tree, lists)
  local out = {}
  for _, o in ipairs(tree.objects or {}) do
    local stands = o.on == nil
    for _, list in ipairs(lists) do
      for _, e in ipairs(list) do stands = stands or match.is_on(o, e.schema, e.name) end
    end
    if stands then out[#out + 1] = model.copy(o) end
  end
  return out
end

-- Adds the parents of the tables of the set to `chosen`.
local function choose_parents(tree, labels, chosen)
  for _, t in ipairs(tree.tables) do
    if labels[label_of(t)] then each_parent(t, function(name) chosen[name] = true end) end
  end
end

--- A part of a tree that can be created by itself: the tables of the set, those that
-- their views use, the views, and all enums and objects that are not on other tables.
-- @tparam table labels set of labels of tables
-- @tparam[opt] boolean bare no views, and no foreign keys to other tables
-- @tparam[opt] table names set of names of views to be there, too
-- @treturn table tree
function M.part(tree, labels, bare, names)
  local chosen = {}
  for name in pairs(labels) do chosen[name] = true end
  local views = bare and {} or choose_views(tree, chosen, names)
  if not bare then choose_parents(tree, labels, chosen) end
  local out = { tables = {}, enums = model.copy(tree.enums or {}), views = {}, objects = {},
    schemas = model.copy(tree.schemas or {}), notes = {} }
  for i, t in ipairs(with_label(tree, chosen)) do out.tables[i] = with_keys_to(t, chosen) end
  for _, v in ipairs(tree.views or {}) do
    if views[v] then table.insert(out.views, model.copy(v)) end
  end
  out.objects = objects_of(tree, bare and {} or { out.tables, out.views })
  return out
end

-- ---- a second feed -------------------------------------------------------------

-- Puts the tables and views as the server says them after reading its own text into the
-- tree. What it cannot read without the rest stays as it is.
local function feed(x, d, tree, part, labels, views)
  local ok, again, problems = pcall(d.normalise, x, part, { schemas = tree.schemas })
  if not ok or problems and #problems > 0 then return end
  for i, t in ipairs(tree.tables) do
    local new = labels[label_of(t)] and model.find(again, t.schema, t.name)
    if new then
      new.foreign_keys = t.foreign_keys -- they have no text
      tree.tables[i] = new
    end
  end
  for i, v in ipairs(tree.views or {}) do
    if views[label_of(v)] then
      tree.views[i] = model.find_view(again, v.schema, v.name) or v
    end
  end
end

-- Puts the labels of the tables that a text mentions into the set.
local function note_tables(tree, text, labels)
  for _, t in ipairs(tree.tables) do
    if follow.mentions(text, t.name) then labels[label_of(t)] = true end
  end
end

-- Both sides once more, where their texts differ: what a server prints is not always
-- what it prints after reading that.
local function feed_both(x, d, result)
  local views = {}
  for name in pairs(result.doubtful_views) do views[name] = true end
  for _, tree in ipairs { result.live, result.wanted } do
    local labels = {}
    for name in pairs(result.doubtful) do labels[name] = true end
    feed(x, d, tree, M.part(tree, labels, true), labels, {})
    if next(views) then
      for _, v in ipairs(tree.views) do
        if views[label_of(v)] then note_tables(tree, v.sql, labels) end
      end
      feed(x, d, tree, M.part(tree, labels), {}, views)
    end
  end
end

-- ---- comparing ------------------------------------------------------------------

local DIFF_OPTIONS = { "include", "rename", "not_rename", "drop", "manage", "phase" }

local function diff_options(d, definitions, opts)
  local out = { dialect = d, definitions = definitions }
  for _, key in ipairs(DIFF_OPTIONS) do out[key] = opts[key] end
  out.include = without_journal(opts.include)
  return out
end

local function is_doubtful(result)
  return next(result.doubtful) ~= nil or next(result.doubtful_views) ~= nil
end

-- Compares again after the second feed. Renamings were followed in the live tree by then.
local function compare_again(x, d, result, o)
  feed_both(x, d, result)
  local renamed, options = {}, {}
  for _, change in ipairs(result.changes) do
    if change.op == "rename_table" or change.op == "rename_column" then
      renamed[#renamed + 1] = change
    end
  end
  for key, value in pairs(o) do options[key] = value end
  options.rename = nil
  local second = diff.compare(result.live, result.wanted, options)
  for i, change in ipairs(renamed) do table.insert(second.changes, i, change) end
  second.notes, second.decisions = result.notes, result.decisions
  return second
end

local function compare(x, d, live, wanted, o)
  local result = diff.compare(live, wanted, o)
  -- what is kept as it was written needs no second reading
  if x and not d.features.rebuilds and is_doubtful(result) then
    return compare_again(x, d, result, o)
  end
  return result
end

local function raise_problems(problems)
  local lines = {}
  for i, problem in ipairs(problems) do
    local at = problem.at and problem.at.file
      and ("%s:%d: "):format(problem.at.file, problem.at.line or 0) or ""
    local object = problem.object
    if type(object) == "table" then object = ("%s %s"):format(object.kind or "", object.name) end
    lines[i] = at .. (object and object .. ": " or "") .. problem.message
  end
  util.usage("%s", table.concat(lines, "\n"))
end

local OPTIONS = {
  "include", "rename", "not_rename", "drop", "manage", "phase", "schemas", "baseline",
}

-- The tree of a schema object or of a definition, or the tree itself.
local function tree_of(schema)
  return schema.tree or schema
end

--- Compares two live trees without asking a server.
-- @tparam table d the dialect
-- @tparam table live
-- @tparam table wanted
-- @tparam[opt] table opts those of diff.compare
-- @treturn table as `against`, without problems
function M.trees(d, live, wanted, opts)
  opts = util.check_options("compare", opts, OPTIONS)
  local result = compare(nil, d, live, wanted, diff_options(d, nil, opts))
  result.changes = order.plan(result, d)
  return result
end

--- Compares the database of `x` with definitions.
-- @param x executor
-- @tparam table schema a schema object or a completed tree
-- @tparam[opt] table opts include, rename, not_rename, drop, manage, phase (diff.compare),
--   schemas (a list: those that are read; those that the definitions name), baseline
--   (boolean: with an empty database instead of this one)
-- @treturn table { changes in order, decisions, notes, live = the tree of the database,
--   wanted = that of the definitions as the server says it }
-- @raise usage for definitions that the server refuses, with their places
function M.against(x, schema, opts)
  opts = util.check_options("compare", opts, OPTIONS)
  local d, definitions = dialects.of(x), tree_of(schema)
  local schemas = opts.schemas or schemas_of(definitions)
  local live = opts.baseline and model.empty() or d.inspect(x, { schemas = schemas })
  local wanted, problems = d.normalise(x, definitions, { schemas = schemas })
  if problems and #problems > 0 then raise_problems(problems) end
  local result = compare(x, d, live, wanted, diff_options(d, definitions, opts))
  result.changes = order.plan(result, d, definitions)
  result.live, result.wanted, result.problems = live, wanted, {}
  return result
end

-- ---- verifying ------------------------------------------------------------------

-- The label of the table that an operation is about, before and after it.
local function tables_of(op, note)
  if op.table and type(op.table) == "table" then
    note(label_of(op.table))
    each_parent(op.table, note)
  elseif op.table then
    note(match.label(op.schema, op.table))
  elseif op.op == "drop_table" or op.op == "rename_table" then
    note(match.label(op.schema, op.name))
    if op.to then note(match.label(op.schema, op.to)) end
  end
  if op.key and op.key.ref then note(match.label(op.key.ref.schema, op.key.ref.table)) end
end

local function texts_of_op(op)
  local out = {}
  for _, e in ipairs { op.view or false, op.object or false, op.was or false } do
    if type(e) == "table" and type(e.sql) == "string" then out[#out + 1] = e.sql end
  end
  return out
end

-- Puts the labels of the tables that use an enum into the set.
local function note_enum(tree, op, labels)
  for _, t in ipairs(tree.tables) do
    for _, c in ipairs(t.columns) do
      if c.type.enum == op.name then labels[label_of(t)] = true end
    end
  end
end

-- What the operations touch: { labels of tables }, { names of views and the like }.
local function touched(list, trees)
  local labels, names = {}, {}
  for _, op in ipairs(list) do
    tables_of(op, function(name) labels[name] = true end)
    local e = op.view or op.object
    if e then names[e.name] = true end
    if op.name and not op.table then names[op.name] = true end
    for _, tree in ipairs(trees) do
      for _, text in ipairs(texts_of_op(op)) do note_tables(tree, text, labels) end
      if op.op:find "enum" then note_enum(tree, op, labels) end
    end
  end
  return labels, names
end

local function run_step(s, step)
  for _, sql in ipairs(step.before or {}) do s.run(sql) end
  if step.fn then
    step.fn(s.x)
  elseif step.sql and step.sql ~= "" then
    s.run(step.sql)
  end
end

local function is_structural(op)
  return op.op ~= "sql" and op.op ~= "run" and op.op ~= "backfill"
end

--- Runs operations on what is in scratch: as they would run in a migration, but at once.
-- @tparam table s the scratch of a dialect
-- @tparam table d the dialect
-- @tparam table list operations
function M.run(s, d, list)
  local structural = {}
  for _, op in ipairs(list) do
    if is_structural(op) then structural[#structural + 1] = op end
  end
  local tree = s.tree_of { notes = false }
  if d.steps_many then
    for _, step in ipairs(d.steps_many(structural, { tree = tree, online = false })) do
      run_step(s, step)
    end
    return
  end
  for _, op in ipairs(structural) do
    local steps = d.steps(op, { tree = tree, online = false })
    for _, step in ipairs(steps) do run_step(s, step) end
    ops.apply(tree, op)
  end
end

-- Both trees as one: what the scratch is to hold in the course of time.
local function joined(a, b)
  local out, seen = { schemas = {} }, {}
  for _, kind in ipairs { "tables", "enums", "views", "objects" } do
    out[kind] = {}
    for _, tree in ipairs { a, b } do
      for _, e in ipairs(tree[kind]) do table.insert(out[kind], e) end
    end
  end
  for _, tree in ipairs { a, b } do
    for _, name in ipairs(tree.schemas) do
      if not seen[name] then
        seen[name] = true
        table.insert(out.schemas, name)
      end
    end
  end
  return out
end

-- What the definitions do not know and was created again is as it was.
local function without_recreated(left, list)
  local created, out = {}, {}
  for _, op in ipairs(list) do
    local e = (op.op == "create_view" or op.op == "create_object") and (op.view or op.object)
    if e then created[(e.kind or "") .. "\0" .. label_of(e)] = true end
  end
  for _, op in ipairs(left) do
    local is_drop = op.op == "drop_view" or op.op == "drop_object"
    if not (is_drop and created[(op.kind or "") .. "\0" .. label_of(op)]) then
      out[#out + 1] = op
    end
  end
  return out
end

--- Tries operations on scratch, from what there is, and compares what comes out with
-- what is wanted.
-- @param x executor
-- @tparam table live the tree of the database
-- @tparam table list operations
-- @tparam table wanted the tree of the definitions as the server says it
-- @tparam[opt] table opts include
-- @treturn table changes that are still missing; empty when all is well
function M.verify(x, live, list, wanted, opts)
  opts = util.check_options("verify", opts, { "include", "schemas" })
  if #list == 0 then return {} end
  local d = dialects.of(x)
  local labels, names = touched(list, { live, wanted })
  local before = M.part(live, labels, false, names)
  local got = d.scratch(x, function(s)
    s.create(before)
    M.run(s, d, list)
    return s.tree_of { notes = false }
  end, { tree = joined(before, M.part(wanted, labels, false, names)) })
  local include = without_journal(opts.include)
  local function is_touched(object)
    local on = object.table
    if on then
      return labels[on] or labels[match.label(object.schema, on)] or names[on]
        or names[object.name]
    end
    return names[object.name] or object.kind == "table" and labels[label_of(object)]
  end
  local o = { dialect = d, manage = "all", include = function(object)
    return is_touched(object) and include(object)
  end }
  return without_recreated(order.plan(compare(x, d, got, wanted, o), d), list)
end

return M
