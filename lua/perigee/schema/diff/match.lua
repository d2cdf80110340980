--- Which table and column of the live tree is which of the wanted one. A renaming is
-- declared (`was`, or the caller's `rename`), never guessed: where one is possible and
-- none was declared, and where data would be lost, a decision is asked for.
local core = require "perigee.core"
local follow = require "perigee.schema.diff.follow"

local M = {}

local function fail(at, ...)
  local where = at and at.file and ("%s:%d: "):format(at.file, at.line or 0) or ""
  error(core.new_error("usage", where .. string.format(...)), 0)
end

--- "name" or "schema.name", as tables are called in options and messages.
function M.label(schema, name)
  return schema and schema .. "." .. name or name
end

local label = M.label

--- Does the object stand on this table or view?
-- @treturn boolean
function M.is_on(object, schema, name)
  if not object.on then return false end
  return object.on == label(schema, name) or object.on == name and object.schema == schema
end

-- The names of a list of tables or columns, by name.
local function by_name(list, key)
  local out = {}
  for _, element in ipairs(list) do out[key(element)] = element end
  return out
end

local function column_key(c) return c.name end
local function table_key(t) return label(t.schema, t.name) end

--- What the caller declared.
-- @tparam table opts rename = { "t.a=b", "t=u" }, not_rename = { "t.a" }, drop = { "t.a", "t" }
-- @treturn table { rename = { { from=, to=, used = bool }… }, not_rename = set, drop = set }
function M.declared(opts)
  local out = { rename = {}, not_rename = {}, drop = {} }
  for _, text in ipairs(opts.rename or {}) do
    local from, to = text:match "^%s*([^=]-)%s*=%s*([^=]-)%s*$"
    if not from or from == "" or to == "" then
      fail(nil, "rename: \"table.column=new\" or \"table=new\" is expected, not %q", text)
    end
    out.rename[#out.rename + 1] = { from = from, to = to }
  end
  for _, what in ipairs { "not_rename", "drop" } do
    for _, name in ipairs(opts[what] or {}) do out[what][name] = true end
  end
  return out
end

-- One list of names renamed into another: the pairs, in an order in which each new
-- name is free. `hints` = { { from=, to=, at=, hint= }… }; `describe(name)` for messages.
local function resolve(hints, live, describe)
  local done, left = {}, {}
  local has = {}
  for name in pairs(live) do has[name] = true end
  for _, hint in ipairs(hints) do
    if has[hint.from] or not has[hint.to] then left[#left + 1] = hint end
  end
  local moved = true
  while moved do
    moved = false
    for i, hint in ipairs(left) do
      if has[hint.from] and not has[hint.to] then
        has[hint.from], has[hint.to] = nil, true
        done[#done + 1] = table.remove(left, i)
        moved = true
        break
      end
    end
  end
  for _, hint in ipairs(left) do
    if has[hint.from] and has[hint.to] then
      fail(hint.at, "%s was %q, but the database has both", describe(hint.to), hint.from)
    end
  end
  return done
end

-- Hints of the definitions and the caller for a list of wanted elements.
local function hints_of(wanted, definition_of, renames, key)
  local hints = {}
  for _, element in ipairs(wanted) do
    local definition = definition_of(element) or element
    local was = definition.was
    if was then
      hints[#hints + 1] = { from = was, to = element.name, at = definition.at, hint = "was" }
    end
    for _, rename in ipairs(renames) do
      local old = rename.to == element.name and key(rename.from)
      if old then
        rename.used = true
        if old ~= was then
          hints[#hints + 1] = { from = old, to = rename.to, at = definition.at, hint = "--rename" }
        end
      end
    end
  end
  return hints
end

-- A function that gives the name in `names` that "prefix.name" means, for one of the
-- prefixes.
local function old_name_of(names, prefixes)
  return function(from)
    for _, prefix in ipairs(prefixes) do
      local name = from:sub(1, #prefix) == prefix and from:sub(#prefix + 1)
      if name and names[name] then return name end
    end
  end
end

-- The tables by their schemas, which are in order.
local function grouped(tables)
  local schemas, order = {}, {}
  for _, t in ipairs(tables) do
    local schema = t.schema or ""
    if not schemas[schema] then
      schemas[schema] = {}
      order[#order + 1] = schema
    end
    table.insert(schemas[schema], t)
  end
  return schemas, order
end

--- Renames tables of `live`, in place.
-- @treturn table changes
function M.tables(live, wanted, find_definition, declared)
  local changes = {}
  local schemas, order = grouped(wanted.tables)
  local there = grouped(live.tables)
  for _, schema in ipairs(order) do
    local names = by_name(there[schema] or {}, column_key)
    local prefix = schema ~= "" and schema .. "." or ""
    local hints = hints_of(schemas[schema], find_definition, declared.rename,
      old_name_of(names, { prefix }))
    local function describe(name) return "table " .. prefix .. name end
    for _, hint in ipairs(resolve(hints, names, describe)) do
      local t = names[hint.from]
      names[hint.to], names[hint.from] = t, nil
      changes[#changes + 1] = { op = "rename_table", schema = t.schema, name = hint.from,
        to = hint.to, at = hint.at, hint = hint.hint }
      follow.table(live, t, hint.to)
    end
  end
  return changes
end

--- Renames columns of the table `t` of `live`, in place.
-- @treturn table changes
function M.columns(live, t, wanted, find_definition, declared, old_name)
  local names = by_name(t.columns, column_key)
  local new, old = table_key(t) .. ".", label(t.schema, old_name) .. "."
  local hints = hints_of(wanted.columns, find_definition, declared.rename,
    old_name_of(names, { new, old }))
  local function describe(name) return "column " .. new .. name end
  local changes = {}
  for _, hint in ipairs(resolve(hints, names, describe)) do
    changes[#changes + 1] = { op = "rename_column", schema = t.schema, table = t.name,
      name = hint.from, to = hint.to, at = hint.at, hint = hint.hint }
    follow.column(live, t, hint.from, hint.to)
  end
  return changes
end

local function decision(kind, what, message, choices)
  return { kind = kind, what = what, message = message, choices = choices, hints = choices }
end

--- What to decide of a column that is not wanted any more, or nil when it is decided.
-- @tparam table t the live table
-- @tparam table c its column
-- @tparam string old_name the name of the table in the database
-- @tparam table candidates names of new columns of the same type
function M.dropped_column(t, c, old_name, candidates, declared)
  local what = table_key(t) .. "." .. c.name
  local old = label(t.schema, old_name) .. "." .. c.name
  if declared.drop[what] or declared.drop[old] then return nil end
  local choices = {}
  if #candidates > 0 and not (declared.not_rename[what] or declared.not_rename[old]) then
    for _, name in ipairs(candidates) do
      choices[#choices + 1] = ("--rename %s=%s"):format(what, name)
    end
    choices[#choices + 1] = ("--not-rename %s --drop %s"):format(what, what)
    return decision("rename_column", what, ("%s disappears and %s of the same type %s new: "
      .. "is it renamed or dropped?"):format(what, table.concat(candidates, ", "),
      #candidates == 1 and "is" or "are"), choices)
  end
  choices[1] = "--drop " .. what
  return decision("drop_column", what, what .. " disappears"
    .. (#candidates == 0 and " and no column of that type is new" or ""), choices)
end

--- What to decide of a table that is not wanted any more, or nil when it is decided.
-- @tparam table candidates labels of new tables with the same columns
function M.dropped_table(t, candidates, declared)
  local what = table_key(t)
  if declared.drop[what] then return nil end
  local choices = {}
  for _, name in ipairs(candidates) do
    choices[#choices + 1] = ("--rename %s=%s"):format(what, name)
  end
  choices[#choices + 1] = "--drop " .. what
  if #candidates > 0 then
    return decision("rename_table", what, ("table %s disappears and %s has the same columns: "
      .. "is it renamed or dropped?"):format(what, table.concat(candidates, ", ")), choices)
  end
  return decision("drop_table", what, ("table %s disappears with its rows"):format(what),
    choices)
end

--- Raises for a declared renaming that nothing came of.
function M.check_used(declared)
  for _, rename in ipairs(declared.rename) do
    if not rename.used then
      fail(nil, "rename %s=%s: the database has no %s, or the definitions have no such new name",
        rename.from, rename.to, rename.from)
    end
  end
end

return M
