--- Definitions as this very server says them: created in scratch spaces, in groups of at
-- most 50 tables (a large transaction would fill the lock table that all sessions share),
-- and read back.
local inspect = require "perigee.dialect.postgres.inspect"
local order = require "perigee.dialect.postgres.order"
local scratch = require "perigee.dialect.postgres.scratch"

local M = {}

local GROUP = 50
local MOST_PROBLEMS = 50

local title, plain, words_of = order.title, order.plain, order.words_of

-- ---- groups ----------------------------------------------------------------

local FUNCTIONS = { ["function"] = true, procedure = true, aggregate = true }

-- What an element is known by. The server has its own words for the arguments of a
-- function and for the schema of an extension.
local function key(kind, e)
  local name = FUNCTIONS[e.kind] and plain(e.name) or e.name
  local schema = e.kind ~= "extension" and e.schema or nil
  return table.concat({ FUNCTIONS[e.kind] and "function" or e.kind or kind,
    title(schema, name), e.on or "" }, "\0")
end

-- Which overload of a function is it?
local function exact(kind, e) return key(kind, e) .. "\0" .. e.name end

-- What can be named by other elements: enums, objects and tables by their last name.
local function by_word(tree)
  local index = {}
  scratch.each_element(tree, function(e, kind)
    local word = plain(e.name)
    index[word] = index[word] or {}
    table.insert(index[word], { kind = kind, element = e })
  end)
  return index
end

local LISTS = { table = "tables", enum = "enums", view = "views", object = "objects" }

local function new_group(tree)
  return { tables = {}, enums = {}, views = {}, objects = {}, schemas = tree.schemas or {},
    wanted = {}, has = {} }
end

local function put(group, kind, e)
  local k = exact(kind, e)
  if group.has[k] then return false end
  group.has[k] = true
  table.insert(group[LISTS[kind]], e)
  return true
end

-- The words in which an element can name others.
local function words(kind, e)
  if kind == "table" then
    local text = { order.sql_of(e) }
    for _, c in ipairs(e.columns) do
      if c.type and c.type.enum then text[#text + 1] = c.type.enum end
    end
    return words_of(table.concat(text, "\n"))
  end
  return words_of((e.sql or "") .. " " .. (e.on or "") .. " "
    .. table.concat(e.after or {}, " "))
end

local function bare_column(c)
  return { name = c.name, type = c.type, type_on = c.type_on, collation = c.collation,
    null = true, at = c.at }
end

-- A table without what hangs on it, to be named by a view or a function: without sequences
-- and defaults, which take the server longer than the table.
local function bare(t)
  local columns = {}
  for i, c in ipairs(t.columns) do columns[i] = bare_column(c) end
  return { schema = t.schema, name = t.name, columns = columns, primary_key = t.primary_key,
    options = { postgres = t.options and t.options.postgres
      and { partition_by = t.options.postgres.partition_by } } }
end

-- A table of which there are only the columns that foreign keys of others refer to.
local function stub(t, keys)
  local out = { schema = t.schema, name = t.name, columns = {}, uniques = {} }
  local wanted = {}
  for _, columns in ipairs(keys) do
    for _, name in ipairs(columns) do wanted[name] = true end
    table.insert(out.uniques, { columns = columns })
  end
  for _, c in ipairs(t.columns) do
    if wanted[c.name] then
      table.insert(out.columns, bare_column(c))
    end
  end
  return out
end

-- Adds what `e` names, and what that names. Tables come along bare, for objects only.
local function add_named(group, index, kind, e)
  for word in pairs(words(kind, e)) do
    for _, other in ipairs(index[word] or {}) do
      local oe = other.element
      local is_table = other.kind == "table"
      local wanted = oe ~= e and not (is_table and kind == "table")
      if wanted and put(group, other.kind, is_table and bare(oe) or oe) then
        add_named(group, index, other.kind, oe)
      end
    end
  end
end

-- Adds the tables outside of the group that foreign keys of `tables` refer to.
local function add_stubs(group, tables, find)
  local list, keys_of = {}, {}
  for _, t in ipairs(tables) do
    for _, f in ipairs(t.foreign_keys or {}) do
      local ref = find(f.ref.schema, f.ref.table)
      if ref and f.ref.columns and not group.has[exact("table", ref)] then
        if not keys_of[ref] then list[#list + 1], keys_of[ref] = ref, {} end
        local text = table.concat(f.ref.columns, "\0")
        if not keys_of[ref][text] then
          keys_of[ref][text] = true
          table.insert(keys_of[ref], f.ref.columns)
        end
      end
    end
  end
  for _, ref in ipairs(list) do put(group, "table", stub(ref, keys_of[ref])) end
end

local function table_groups(tree, index, find)
  local groups, group, count = {}, nil, GROUP
  for _, t in ipairs(tree.tables) do
    if count == GROUP then
      group, count = new_group(tree), 0
      groups[#groups + 1] = group
    end
    put(group, "table", t)
    group.wanted[key("table", t)] = true
    count = count + 1
  end
  for _, g in ipairs(groups) do
    local own = {}
    for i, t in ipairs(g.tables) do own[i] = t end
    for _, t in ipairs(own) do add_named(g, index, "table", t) end
    add_stubs(g, own, find)
  end
  return groups
end

local function object_groups(tree, index, groups)
  local group = new_group(tree)
  local function add(kind, e)
    if #group.tables >= GROUP then
      groups[#groups + 1] = group
      group = new_group(tree)
    end
    put(group, kind, e)
    group.wanted[key(kind, e)] = true
    add_named(group, index, kind, e)
  end
  for _, e in ipairs(tree.enums or {}) do add("enum", e) end
  for _, o in ipairs(tree.objects or {}) do add("object", o) end
  for _, v in ipairs(tree.views or {}) do add("view", v) end
  groups[#groups + 1] = group
  return groups
end

local function groups_of(tree)
  if #tree.tables <= GROUP then
    local group = new_group(tree)
    scratch.each_element(tree, function(e, kind)
      put(group, kind, e)
      group.wanted[key(kind, e)] = true
    end)
    return { group }
  end
  local tables = {}
  for _, t in ipairs(tree.tables) do tables[title(t.schema, t.name)] = t end
  local index = by_word(tree)
  local groups = table_groups(tree, index, function(schema, name)
    return tables[title(schema, name)]
  end)
  return object_groups(tree, index, groups)
end

-- ---- one group -------------------------------------------------------------

local function is_core_error(err) return type(err) == "table" and err.message ~= nil end

local FATAL = { closed = true, connect = true, cancelled = true }

-- Runs the statements until one fails; that one, and the error.
local function run_all(s, entries, bad)
  for _, entry in ipairs(entries) do
    local e = entry.element
    local ref = e.ref and title(e.ref.schema, e.ref.table)
    if not (bad[e] or entry.table and bad[entry.table] or ref and bad[ref]) then
      local ok, err = pcall(s.run, entry.sql)
      if not ok then
        if not is_core_error(err) or FATAL[err.kind] then error(err, 0) end
        return entry, err
      end
    end
  end
  return nil
end

-- Creates the group, without what cannot be created, and reads it back.
local function read_group(x, group, mode, problems)
  local entries, bad = order.create_tree(group), {}
  while true do
    local tree, entry, err = scratch.scratch(x, function(s)
      local entry, err = run_all(s, entries, bad)
      return not entry and s.tree_of { notes = false } or nil, entry, err
    end, { tree = group, mode = mode })
    if tree then return tree, bad end
    local e = entry.element
    bad[e] = true
    if group.tables and e.columns and not e.ref then bad[title(e.schema, e.name)] = true end
    problems[#problems + 1] = { at = entry.at, object = entry.what, message = err.message,
      sql = entry.sql, cause = err }
    if #problems >= MOST_PROBLEMS then return nil, bad end
  end
end

local function collect(result, group, read)
  local seen = {}
  scratch.each_element(read, function(e, kind)
    seen[key(kind, e)] = true
    if group.wanted[key(kind, e)] then table.insert(result[LISTS[kind]], e) end
  end)
  return seen
end

-- Objects whose text creates something else than it is said to.
local function note_absent(group, seen, bad, problems)
  for _, o in ipairs(group.objects) do
    local k = key("object", o)
    if group.wanted[k] and not seen[k] and not bad[o] and o.kind ~= "extension" then
      problems[#problems + 1] = { at = o.at, object = order.what("object", o), sql = o.sql,
        message = ("its text creates no %s of this name"):format(o.kind) }
    end
  end
end

-- ---- what cannot be looked at ----------------------------------------------

-- Elements that need schemas where none can be made: notes.
local function set_aside(tree, result, installed)
  local kept = { schemas = {}, tables = {}, enums = {}, views = {}, objects = {} }
  scratch.each_element(tree, function(e, kind)
    local why = scratch.needs_schema(e, kind, installed)
    if not why then
      table.insert(kept[LISTS[kind]], e)
      return
    end
    table.insert(result.notes, { kind = e.kind or kind, schema = e.schema, name = e.name,
      on = e.on, at = e.at, skipped = true,
      why = why .. " are compared in a schema of their own, and you have no privilege "
        .. "CREATE on the database" })
  end)
  return kept
end

-- ---- defaults that are frozen ----------------------------------------------

local FROZEN = { now = true, today = true, tomorrow = true, yesterday = true }

local function is_frozen(d)
  local text = type(d.value) == "string" and d.value
    or d.sql and not d.word and not d.sql:lower():find("::%s*text") and d.sql:match "'([^']*)'"
  return text and FROZEN[text:lower():match "^%s*(%a+)" or ""] or false
end

-- 'now' for a timestamp is the time of creation, which is never the same.
local function mark_frozen(tree, result)
  local defined = {}
  for _, t in ipairs(tree.tables) do
    for _, c in ipairs(t.columns) do
      if c.default and is_frozen(c.default) then
        defined[title(t.schema, t.name) .. "\0" .. c.name] = true
      end
    end
  end
  if not next(defined) then return end
  for _, t in ipairs(result.tables) do
    for _, c in ipairs(t.columns) do
      local raw = c.type.raw
      if c.default and raw and (raw:find "^time" or raw:find "^date")
        and defined[title(t.schema, t.name) .. "\0" .. c.name] then
        c.default.frozen = true
      end
    end
  end
end

--- The live tree of definitions, and a list of what the server refused.
-- @param x handle or connection, not in a transaction
-- @tparam table tree completed definitions, or a live tree
-- @treturn table tree; notes with skipped = true name what could not be looked at
-- @treturn {table,...} problems { at =, message =, object =, sql =, cause = }
function M.normalise(x, tree)
  local result = { tables = {}, enums = {}, views = {}, objects = {}, schemas = {}, notes = {} }
  local problems = {}
  local todo = tree
  local may_create, installed = scratch.may_create(x)
  if not may_create then todo = set_aside(tree, result, installed) end
  for i, s in ipairs(todo.schemas or {}) do result.schemas[i] = s end
  for _, group in ipairs(groups_of(todo)) do
    local read, bad = read_group(x, group, nil, problems)
    if not read then break end
    note_absent(group, collect(result, group, read), bad, problems)
  end
  mark_frozen(tree, result)
  return inspect.sort(result), problems
end

return M
