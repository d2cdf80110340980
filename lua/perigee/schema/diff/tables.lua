--- The differences of one table: columns, keys, checks, indexes, comment, options.
local equal = require "perigee.schema.diff.equal"
local follow = require "perigee.schema.diff.follow"

local M = {}

local NONE = { none = true }

local function named(list, name)
  for _, element in ipairs(list or {}) do
    if element.name == name then return element end
  end
end

-- An element as the definitions have it, else as the server says it.
local function form(c, list, element)
  return c.definition and named(c.definition[list], element.name) or element
end

local function add(c, change)
  change.schema = change.schema or c.live.schema
  change.table = change.table or c.live.name
  c.changes[#c.changes + 1] = change
  return change
end

-- ---- columns ----------------------------------------------------------------

-- A type and its collation are changed in one.
local function say_together(set, was, live, wanted, definition)
  if set.collation and not set.type then
    set.type, was.type = definition.type, live.type
  elseif set.type and wanted.collation and not set.collation then
    set.collation, was.collation = wanted.collation, live.collation
  end
end

-- What differs of a column: { set=, was= }, or nil.
local function altered(c, live, wanted, definition)
  local rules, set, was = c.rules, {}, {}
  local function differ(key, same, none)
    if same then return end
    set[key] = definition[key]
    if set[key] == nil then set[key] = wanted[key] end
    was[key] = live[key]
    if none ~= nil then
      if wanted[key] == nil or wanted[key] == false then set[key] = none end
      if was[key] == nil or was[key] == false then was[key] = none end
    end
  end
  differ("type", equal.type(rules, live.type, wanted.type)
    and (wanted.name ~= c.key_column or equal.data(live.type, wanted.type)))
  differ("null", not live.null == not wanted.null, false)
  local generated = equal.generated(rules, live.generated, wanted.generated)
  differ("generated", generated, NONE)
  differ("default", equal.default(rules, live.default, wanted.default), NONE)
  differ("identity", equal.data(live.identity, wanted.identity), NONE)
  differ("collation", live.collation == wanted.collation, NONE)
  if not (c.dialect and c.dialect.features.rebuilds) then
    say_together(set, was, live, wanted, definition)
  end
  if next(set) == nil then return nil end
  return set, was
end

-- Of all defaults only those with arrays are printed in another way once they were read.
local function is_doubtful(default)
  return default and default.sql and default.sql:find("ARRAY[", 1, true) ~= nil or false
end

local function compare_column(c, live, wanted)
  local definition = form(c, "columns", wanted)
  local set, was = altered(c, live, wanted, definition)
  if set then
    if set.generated or is_doubtful(set.default and wanted.default)
      or is_doubtful(set.default and live.default) then
      c.doubtful = true
    end
    add(c, { op = "alter_column", name = wanted.name, set = set, was = was, at = definition.at })
  end
  if live.comment ~= wanted.comment then
    add(c, { op = "set_comment", column = wanted.name, text = wanted.comment, was = live.comment,
      at = definition.at })
  end
end

-- The new columns of the same type as a dropped one.
local function candidates(c, dropped, added)
  local out = {}
  for _, column in ipairs(added) do
    if equal.type(c.rules, dropped.type, column.type) then out[#out + 1] = column.name end
  end
  return out
end

local function check_order(c)
  local position, last = {}, 0
  for i, column in ipairs(c.live.columns) do position[column.name] = i end
  for _, column in ipairs(c.wanted.columns) do
    local i = position[column.name]
    if i and i < last then
      c.notes[#c.notes + 1] = { kind = "column order", name = c.live.name, schema = c.live.schema,
        why = "columns are in another order than in the definitions" }
      return
    end
    last = i or last
  end
end

local function compare_columns(c)
  local added = {}
  for _, wanted in ipairs(c.wanted.columns) do
    local live = named(c.live.columns, wanted.name)
    if live then
      compare_column(c, live, wanted)
    else
      added[#added + 1] = wanted
      c.added[wanted.name] = true
      local definition = form(c, "columns", wanted)
      add(c, { op = "add_column", column = definition, at = definition.at })
    end
  end
  for _, live in ipairs(c.live.columns) do
    if not named(c.wanted.columns, live.name) then
      c.dropped[live.name] = true
      c.drop_column(live, candidates(c, live, added))
    end
  end
  check_order(c)
end

-- ---- keys, checks, indexes --------------------------------------------------

-- Pairs the elements of two lists that say the same: those of one name first, then
-- those of other names, as long as the wanted name is free by then.
-- @treturn table { [wanted element] = live element }, and the live ones that are taken
local function pair(live, wanted, same)
  local pairs_of, taken = {}, {}
  local function match(fits)
    for _, w in ipairs(wanted) do
      for _, l in ipairs(live) do
        if not pairs_of[w] and not taken[l] and fits(l, w) and same(l, w) then
          pairs_of[w], taken[l] = l, true
        end
      end
    end
  end
  match(function(l, w) return l.name == w.name end)
  match(function(l, w) return not l.name or not w.name end)
  match(function(_, w)
    local holder = named(live, w.name)
    return not holder or not taken[holder] -- what stays untaken is dropped before
  end)
  return pairs_of, taken
end

local function compare_paired(c, kind, l, w)
  local name, at = w.name or l.name, form(c, kind.list, w).at
  local is_of_types = l.enum and w.enum -- the names of such checks are nobody's
  if l.name and w.name and l.name ~= w.name and not is_of_types then
    add(c, { op = kind.rename, name = l.name, to = w.name, at = at })
  end
  if l.comment ~= w.comment then
    add(c, { op = "set_comment", kind = kind.one, name = name, text = w.comment, was = l.comment,
      at = at })
  end
  if l.valid == false and w.valid ~= false then
    add(c, { op = "validate", name = name, at = at })
  end
end

-- The check of an enum belongs to the type of its column, and comes and goes with it.
local function is_of_type(check, columns)
  return check.enum and columns[check.column] or false
end

-- kind: { list=, one = what it is in set_comment, same=, add = f(c, wanted),
-- drop = f(c, live), rename = op, text = whether it has expressions, again = whether one
-- that says the same is to be made anew }
local function compare_list(c, kind)
  local live, wanted = c.live[kind.list] or {}, c.wanted[kind.list] or {}
  local pairs_of, taken = pair(live, wanted, function(l, w)
    return kind.same(c.rules, l, w) and not (kind.again and kind.again(l))
  end)
  for _, l in ipairs(live) do
    if not taken[l] and not is_of_type(l, c.dropped) then
      c.doubtful = c.doubtful or kind.text
      kind.drop(c, l)
    end
  end
  for _, w in ipairs(wanted) do
    if pairs_of[w] then
      compare_paired(c, kind, pairs_of[w], w)
    elseif not is_of_type(w, c.added) then
      kind.add(c, form(c, kind.list, w))
    end
  end
end

local KINDS = {
  {
    list = "uniques", one = "constraint", same = equal.key,
    rename = "rename_constraint",
    add = function(c, key) add(c, { op = "add_unique", key = key, at = key.at }) end,
    drop = function(c, key) add(c, { op = "drop_unique", name = key.name, was = key }) end,
  },
  {
    list = "checks", one = "constraint", same = equal.check,
    rename = "rename_constraint", text = true,
    add = function(c, check) add(c, { op = "add_check", check = check, at = check.at }) end,
    drop = function(c, check) add(c, { op = "drop_check", name = check.name, was = check }) end,
  },
  {
    list = "indexes", one = "index", same = equal.index,
    rename = "rename_index", text = true,
    again = function(live) return live.valid == false end,
    add = function(c, index) add(c, { op = "add_index", index = index, at = index.at }) end,
    drop = function(c, index) add(c, { op = "drop_index", name = index.name, was = index }) end,
  },
  {
    list = "foreign_keys", one = "constraint", same = equal.key,
    rename = "rename_constraint",
    add = function(c, key) add(c, { op = "add_foreign_key", key = key, at = key.at }) end,
    drop = function(c, key)
      add(c, { op = "drop_foreign_key", name = key.name, was = key })
    end,
  },
}

local function compare_primary_key(c)
  local live, wanted = c.live.primary_key, c.wanted.primary_key
  local definition = c.definition and c.definition.primary_key or wanted
  if live and not wanted then
    add(c, { op = "drop_primary_key", was = live })
  elseif wanted and not (live and equal.key(c.rules, live, wanted)) then
    add(c, { op = "set_primary_key", key = definition, was = live, at = definition.at })
  elseif live and live.name and wanted.name and live.name ~= wanted.name then
    add(c, { op = "rename_constraint", name = live.name, to = wanted.name, at = definition.at })
  end
end

-- ---- the table --------------------------------------------------------------

local function compare_rest(c)
  local live, wanted, at = c.live, c.wanted, (c.definition or c.wanted).at
  if live.comment ~= wanted.comment then
    add(c, { op = "set_comment", text = wanted.comment, was = live.comment, at = at })
  end
  local name = c.dialect and c.dialect.name
  if not name then return end
  local a, b = (live.options or {})[name] or {}, (wanted.options or {})[name] or {}
  if not equal.data(a, b) then
    add(c, { op = "set_options", options = { [name] = b }, was = { [name] = a }, at = at })
  end
end

-- The columns that an element of a table names.
local function columns_of(element)
  local out = {}
  for _, name in ipairs(element.columns or {}) do out[#out + 1] = name end
  for _, name in ipairs(element.include or {}) do out[#out + 1] = name end
  for _, key in ipairs(element.keys or {}) do out[#out + 1] = key.column end
  return out
end

local function texts_of(element)
  local out = {}
  out[#out + 1] = element.sql
  out[#out + 1] = element.where
  for _, key in ipairs(element.keys or {}) do out[#out + 1] = key.sql end
  return out
end

--- Is the column of this name used by a key, check or index?
-- @treturn boolean
function M.uses(element, column)
  for _, name in ipairs(columns_of(element)) do
    if name == column then return true end
  end
  for _, text in ipairs(texts_of(element)) do
    if follow.mentions(text, column) then return true end
  end
  return false
end

-- The column that becomes the primary key by itself. On SQLite INTEGER and INT are then
-- no more the same: only INTEGER is the rowid.
local function new_key_column(c)
  local key, old = c.wanted.primary_key, c.live.primary_key
  if not (c.dialect and c.dialect.features.rebuilds) or not key or #key.columns ~= 1 then
    return nil
  end
  if old and equal.key(c.rules, old, key) then return nil end
  return key.columns[1]
end

--- Compares one table with itself as it is wanted.
-- @tparam table c { live=, wanted=, definition=, dialect=, rules=, changes=, notes=,
--   drop_column = f(column, candidates) }; c.doubtful is set when
--   expressions differ that may mean the same
function M.compare(c)
  c.added, c.dropped = {}, {} -- sets of columns
  c.key_column = new_key_column(c)
  compare_columns(c)
  compare_primary_key(c)
  for _, kind in ipairs(KINDS) do compare_list(c, kind) end
  compare_rest(c)
end

return M
