--- Checks of a tree that came from definitions, and what they leave out: see
-- model.complete. Messages begin with the file and line of the element.
local names = require "perigee.schema.names"
local util = require "perigee.util"

local M = {}

-- ---- messages --------------------------------------------------------------

local function place(at)
  return at and ("%s:%d: "):format(at.file, at.line) or ""
end

local function fail(at, text, ...)
  util.usage("%s%s", place(at), text:format(...))
end

local function first(at)
  return at and (" (first at %s:%d)"):format(at.file, at.line) or ""
end

local function title(e)
  return e.schema and e.schema .. "." .. e.name or e.name
end

--- Raises usage with the place of an element.
M.fail = fail

-- ---- names -----------------------------------------------------------------

-- A name that the databases take. SQLite has no limit, MySQL's is one more, in
-- characters.
local function check_name(at, what, name, opts)
  if type(name) ~= "string" or name == "" then fail(at, "%s has no name", what) end
  if name:find("\0", 1, true) then fail(at, "the name of %s has a zero byte", what) end
  if opts.dialect ~= "sqlite" and #name > names.LIMIT then
    fail(at, 'the name "%s" of %s is longer than %d bytes', name, what, names.LIMIT)
  end
end

-- No text of PostgreSQL's has a zero byte.
local function check_texts(e, at)
  at = e.at or at
  for _, v in pairs(e) do
    if type(v) == "table" then
      check_texts(v, at)
    elseif type(v) == "string" and v:find("\0", 1, true) then
      fail(at, "a text has a zero byte: %q", v)
    end
  end
end

-- What names are in use: relations by schema, constraints by schema and by table.
local function register()
  return { relations = {}, constraints = {} }
end

local function of_schema(map, schema)
  local key = schema or ""
  map[key] = map[key] or {}
  return map[key]
end

-- Notes the name of a relation; two of one name in a schema are an error.
local function take_relation(reg, e, what, name)
  local known = of_schema(reg.relations, e.schema)
  local old = known[name]
  if old then
    fail(e.at, 'there is already %s named "%s"%s', old.what, name, first(old.at))
  end
  known[name] = { what = what, at = e.at }
end

-- ---- columns of keys -------------------------------------------------------

local function column_of(t, name)
  for _, c in ipairs(t.columns) do
    if c.name == name then return c end
  end
end

local function column_names(t)
  local list = {}
  for i, c in ipairs(t.columns) do list[i] = c.name end
  return list
end

local function need_column(t, name, at, what)
  if not column_of(t, name) then
    fail(at, '%s: there is no column "%s" in %s%s', what, tostring(name), title(t),
      names.hint(name, column_names(t)))
  end
end

local function need_columns(t, list, at, what)
  local seen = {}
  if #list == 0 then fail(at, "%s of %s has no columns", what, title(t)) end
  for _, name in ipairs(list) do
    need_column(t, name, at, what)
    if seen[name] then fail(at, '%s of %s has column "%s" twice', what, title(t), name) end
    seen[name] = true
  end
end

local function check_primary_key(t)
  local key = t.primary_key
  if not key then return end
  need_columns(t, key.columns, key.at or t.at, "the primary key")
  for _, name in ipairs(key.columns) do
    local c = column_of(t, name)
    if c.null then
      fail(c.at or t.at, "column %s.%s is in the primary key and cannot be null", title(t), name)
    end
  end
end

local function check_index(t, index)
  if #index.keys == 0 then fail(index.at, "an index of %s has no columns", title(t)) end
  for _, key in ipairs(index.keys) do -- a column may be there twice, in two orders
    if key.column then need_column(t, key.column, index.at, "an index") end
  end
  for _, name in ipairs(index.include or {}) do need_column(t, name, index.at, "include") end
end

local function check_columns(t, opts)
  local seen, was = {}, {}
  if #t.columns == 0 and opts.dialect ~= "postgres" then -- which alone has such tables
    fail(t.at, "table %s has no columns", title(t))
  end
  for _, c in ipairs(t.columns) do
    check_name(c.at or t.at, "a column of " .. title(t), c.name, opts)
    if seen[c.name] then
      fail(c.at, "column %s.%s is defined twice%s", title(t), c.name, first(seen[c.name].at))
    end
    seen[c.name] = c
  end
  for _, c in ipairs(t.columns) do
    if c.was and (seen[c.was] or was[c.was]) then
      fail(c.at, 'column %s.%s: was = "%s", but %s', title(t), c.name, c.was, seen[c.was]
        and "there is a column of that name" or "another column was that, too")
    end
    if c.was then was[c.was] = true end
  end
end

-- A table by itself.
local function check_parts(t, opts)
  for _, field in ipairs { "uniques", "foreign_keys", "checks", "indexes" } do
    t[field] = t[field] or {}
  end
  t.options = t.options or {}
  check_columns(t, opts)
  check_primary_key(t)
  for _, k in ipairs(t.uniques) do need_columns(t, k.columns, k.at, "a unique key") end
  for _, f in ipairs(t.foreign_keys) do need_columns(t, f.columns, f.at, "a foreign key") end
  for _, i in ipairs(t.indexes) do check_index(t, i) end
end

-- ---- names of elements -----------------------------------------------------

-- Calls fn(kind, element, is_relation, is_constraint), in the order in which PostgreSQL
-- names what has no name.
local function each_element(t, fn)
  for _, e in ipairs(t.checks) do fn("check", e, false, true) end
  if t.primary_key then fn("primary_key", t.primary_key, true, true) end
  for _, e in ipairs(t.uniques) do fn("unique", e, true, true) end
  for _, e in ipairs(t.indexes) do fn("index", e, true, false) end
  for _, e in ipairs(t.foreign_keys) do fn("foreign_key", e, false, true) end
end

local WHAT = {
  check = "a check", primary_key = "a primary key", unique = "a unique key",
  index = "an index", foreign_key = "a foreign key",
}

-- Names that were given: each once in the table, those of indexes once in the schema.
local function take_given(reg, t, opts)
  local own = {}
  local in_schema = of_schema(reg.constraints, t.schema)
  each_element(t, function(kind, e, is_relation, is_constraint)
    if not e.name then return end
    local what = ("%s of %s"):format(WHAT[kind], title(t))
    local at = e.at or t.at
    check_name(at, what, e.name, opts)
    if is_constraint then
      local old = own[e.name]
      if old then
        fail(at, 'there is already %s named "%s"%s', old.what, e.name, first(old.at))
      end
      own[e.name] = { what = what, at = at }
      in_schema[e.name] = true
    end
    if is_relation then take_relation(reg, { schema = t.schema, at = at }, what, e.name) end
  end)
end

-- Names by convention for the rest.
local function name_rest(reg, t)
  local relations = of_schema(reg.relations, t.schema)
  local constraints = of_schema(reg.constraints, t.schema)
  each_element(t, function(kind, e, is_relation, is_constraint)
    if e.name then return end
    e.name = names.of(t, kind, e, function(name)
      return is_relation and relations[name] ~= nil or is_constraint and constraints[name]
    end)
    if is_constraint then constraints[e.name] = true end
    if is_relation then
      relations[e.name] = { what = ("%s of %s"):format(WHAT[kind], title(t)), at = e.at }
    end
  end)
end

-- ---- foreign keys ----------------------------------------------------------

local function same_set(a, b)
  local set = {}
  if #a ~= #b then return false end
  for _, v in ipairs(a) do set[v] = true end
  for _, v in ipairs(b) do
    if not set[v] then return false end
  end
  return true
end

local function index_columns(index)
  local list = {}
  for i, key in ipairs(index.keys) do
    if not key.column then return {} end
    list[i] = key.column
  end
  return list
end

local function is_key(t, columns)
  if t.primary_key and same_set(t.primary_key.columns, columns) then return true end
  for _, k in ipairs(t.uniques) do
    if same_set(k.columns, columns) then return true end
  end
  for _, i in ipairs(t.indexes) do
    if i.unique and not i.where and same_set(index_columns(i), columns) then return true end
  end
  return false
end

local function check_foreign_key(tree, by_key, t, f)
  local ref, at = f.ref, f.at or t.at
  local target = title { schema = ref.schema, name = ref.table }
  local parent = by_key[target]
  if not parent then
    local all = {}
    for i, other in ipairs(tree.tables) do all[i] = title(other) end
    fail(at, 'foreign key of %s: there is no table "%s"%s', title(t), target,
      names.hint(target, all))
  end
  if not ref.columns then
    if not parent.primary_key then
      fail(at, "foreign key of %s: %s has no primary key: name the columns", title(t), target)
    end
    ref.columns = {}
    for i, name in ipairs(parent.primary_key.columns) do ref.columns[i] = name end
  end
  need_columns(parent, ref.columns, at, "foreign key of " .. title(t))
  if #ref.columns ~= #f.columns then
    fail(at, "foreign key of %s: %d columns refer to %d of %s", title(t), #f.columns,
      #ref.columns, target)
  end
  if not is_key(parent, ref.columns) then
    fail(at, "foreign key of %s: %s(%s) is neither the primary key nor unique", title(t),
      target, table.concat(ref.columns, ", "))
  end
end

-- ---- what stands beside tables ---------------------------------------------

local RELATIONS = { sequence = "a sequence", view = "a view" }

local function check_objects(tree, reg, opts)
  local seen = {}
  for _, o in ipairs(tree.objects) do
    check_name(o.at, "a " .. o.kind, o.name, { dialect = "sqlite" })
    local key = table.concat({ o.kind, o.schema or "", o.name, o.on or "" }, "\0")
    if seen[key] then
      fail(o.at, "%s %s is defined twice%s", o.kind, title(o), first(seen[key].at))
    end
    seen[key] = o
    if RELATIONS[o.kind] then take_relation(reg, o, RELATIONS[o.kind], o.name) end
  end
  for _, v in ipairs(tree.views) do
    check_name(v.at, "a view", v.name, opts)
    take_relation(reg, v, "a view", v.name)
  end
end

local function check_enums(tree, reg, opts)
  local seen = {}
  for _, e in ipairs(tree.enums) do
    check_name(e.at, "an enum", e.name, opts)
    if seen[title(e)] then
      fail(e.at, "enum %s is defined twice%s", title(e), first(seen[title(e)].at))
    end
    seen[title(e)] = e
    local other = of_schema(reg.relations, e.schema)[e.name]
    if other then fail(e.at, "enum %s has the name of %s%s", title(e), other.what,
      first(other.at)) end
  end
end

-- ---- after -----------------------------------------------------------------

-- What `after` may name: everything, functions also without their arguments.
local function named(tree)
  local map, list = {}, {}
  local function add(name, e)
    if not map[name] then list[#list + 1] = name end
    map[name] = map[name] or e
  end
  for _, field in ipairs { "tables", "views", "objects", "enums" } do
    for _, e in ipairs(tree[field]) do
      add(title(e), e)
      local plain = e.kind and e.name:match "^(.-)%s*%("
      if plain then add(title { schema = e.schema, name = plain }, e) end
    end
  end
  return map, list
end

local function check_after(tree)
  local map, list = named(tree)
  local state, path = {}, {}
  local function visit(e)
    state[e] = "open"
    path[#path + 1] = title(e)
    for _, name in ipairs(e.after or {}) do
      local other = map[name]
      if not other then
        fail(e.at, '%s: after names "%s", which is not defined%s', title(e), name,
          names.hint(name, list))
      end
      if state[other] == "open" then
        fail(e.at, "after goes round in a circle: %s, %s", table.concat(path, ", "), name)
      end
      if not state[other] then visit(other) end
    end
    path[#path] = nil
    state[e] = "done"
  end
  for _, field in ipairs { "views", "objects" } do
    for _, e in ipairs(tree[field]) do
      if not state[e] then visit(e) end
    end
  end
end

-- What stands on a table or view has its schema, and names it without.
local function check_on(tree, by_key)
  local views = {}
  for _, v in ipairs(tree.views) do views[title(v)] = v end
  for _, o in ipairs(tree.objects) do
    local own = o.on and title { schema = o.schema, name = o.on }
    local on = o.on and (by_key[own] or views[own] or by_key[o.on] or views[o.on])
    if on then
      o.schema, o.on = on.schema, on.name
    elseif o.kind == "trigger" then
      local all = {}
      for i, t in ipairs(tree.tables) do all[i] = title(t) end
      fail(o.at, 'trigger %s: there is no table "%s"%s', o.name, tostring(o.on),
        names.hint(o.on, all))
    end
  end
end

-- ---- the whole -------------------------------------------------------------

local function check_was(tree, by_key)
  local seen = {}
  for _, t in ipairs(tree.tables) do
    local was = t.was and (t.was:find(".", 1, true) and t.was
      or title { schema = t.schema, name = t.was })
    if was and (by_key[was] or seen[was]) then
      fail(t.at, 'table %s: was = "%s", but %s', title(t), t.was, by_key[was]
        and "there is a table of that name" or "another table was that, too")
    end
    if was then seen[was] = true end
  end
end

-- The schemas in use, in the order in which they are met.
local function collect_schemas(tree)
  local seen, list = {}, {}
  local function add(name)
    if name and not seen[name] then
      seen[name] = true
      list[#list + 1] = name
    end
  end
  for _, name in ipairs(tree.schemas or {}) do add(name) end
  for _, field in ipairs { "enums", "tables", "views", "objects" } do
    for _, e in ipairs(tree[field]) do add(e.schema) end
  end
  return list
end

--- A whole tree: see model.complete.
function M.tree(tree, opts)
  local reg, by_key = register(), {}
  for _, field in ipairs { "tables", "enums", "views", "objects", "notes" } do
    tree[field] = tree[field] or {}
  end
  for _, t in ipairs(tree.tables) do
    check_name(t.at, "a table", t.name, opts)
    local other = by_key[title(t)]
    if other then fail(t.at, "table %s is defined twice%s", title(t), first(other.at)) end
    take_relation(reg, t, "a table", t.name)
    by_key[title(t)] = t
    check_parts(t, opts)
  end
  check_objects(tree, reg, opts)
  check_enums(tree, reg, opts)
  for _, t in ipairs(tree.tables) do take_given(reg, t, opts) end
  for _, t in ipairs(tree.tables) do name_rest(reg, t) end
  for _, t in ipairs(tree.tables) do
    for _, f in ipairs(t.foreign_keys) do check_foreign_key(tree, by_key, t, f) end
  end
  if opts.dialect ~= "sqlite" then
    for _, field in ipairs { "tables", "enums", "views", "objects" } do
      for _, e in ipairs(tree[field]) do check_texts(e) end
    end
  end
  check_was(tree, by_key)
  check_on(tree, by_key)
  check_after(tree)
  tree.schemas = collect_schemas(tree)
  return tree
end

--- A table by itself: see model.complete_table.
function M.table(t, opts)
  local reg = register()
  check_name(t.at, "a table", t.name, opts)
  take_relation(reg, t, "a table", t.name)
  check_parts(t, opts)
  for _, f in ipairs(t.foreign_keys) do
    local at = f.at or t.at
    if not f.ref.columns then
      fail(at, 'foreign key of %s: the columns of "%s" must be named here', title(t),
        f.ref.table)
    end
    if #f.ref.columns ~= #f.columns then
      fail(at, "foreign key of %s: %d columns refer to %d of %s", title(t), #f.columns,
        #f.ref.columns, f.ref.table)
    end
  end
  take_given(reg, t, opts)
  name_rest(reg, t)
  return t
end

return M
