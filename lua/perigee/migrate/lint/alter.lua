--- ALTER statements of SQL of one's own as operations; see raw.lua.
local M = {}

-- ---- columns ---------------------------------------------------------------

-- Words that end a type or a default in the definition of a column.
local ENDS = {
  NOT = true, NULL = true, DEFAULT = true, CONSTRAINT = true, CHECK = true, UNIQUE = true,
  PRIMARY = true, REFERENCES = true, GENERATED = true, COLLATE = true, AS = true,
  COMMENT = true, AFTER = true, FIRST = true, USING = true, AUTO_INCREMENT = true,
}

-- The text up to one of these words outside of parentheses.
local function up_to_end(s)
  local from = s.at
  local at = s:outside(function(i, token)
    return i > from and token.upper ~= nil and ENDS[token.upper] or false
  end)
  local text = s:text(from, (at or #s.list + 1) - 1)
  s.at = at or #s.list + 1
  return text
end

local function default_of(s)
  local at = s:find_outside "DEFAULT"
  if not at then return nil end
  local back = s.at
  s.at = at + 1
  local text = up_to_end(s)
  s.at = back
  return { sql = text }
end

local function generated_of(s)
  local at = s:find("GENERATED", "ALWAYS", "AS", "(") or s:find("AS", "(")
  return at and { sql = "?", stored = s:find "STORED" ~= nil } or nil
end

local function column_of(s, name)
  local c = { name = name, type = { raw = up_to_end(s):lower() } }
  c.null = not (s:find("NOT", "NULL") or s:find("PRIMARY", "KEY"))
  c.default, c.generated = default_of(s), generated_of(s)
  if s:find("AS", "IDENTITY") or s:find "AUTO_INCREMENT" or c.type.raw:find "serial" then
    c.identity = { always = false }
  end
  if c.identity and c.default == nil then c.null = c.null and true end
  return c
end

local function column_extras(s, name, act)
  if s:find("PRIMARY", "KEY") then act { op = "set_primary_key", key = { columns = { name } } } end
  if s:find_outside "UNIQUE" then act { op = "add_unique", key = { columns = { name } } } end
  if s:find_outside "CHECK" then act { op = "add_check", check = { sql = "?" }, inline = true } end
  local at = s:find_outside "REFERENCES"
  if at then
    s.at = at + 1
    local ref, schema = s:name()
    act { op = "add_foreign_key", inline = true,
      key = { columns = { name }, ref = { table = ref or "?", schema = schema } } }
  end
end

local function add_column(s, act)
  s:takes("IF", "NOT", "EXISTS")
  local name = s:name()
  if not name then return end
  local back = s.at
  act { op = "add_column", column = column_of(s, name) }
  s.at = back
  column_extras(s, name, act)
end

-- ---- constraints -----------------------------------------------------------

local function using_index(s) return s:find("USING", "INDEX") ~= nil end

local ADD = {
  CHECK = function(s, act, name)
    act { op = "add_check", check = { name = name, sql = s:text(s.at), opaque = true,
      valid = not s:find("NOT", "VALID") and nil } }
  end,
  FOREIGN = function(s, act, name)
    local valid
    if s:find("NOT", "VALID") then valid = false end
    s:takes "KEY"
    local columns = s:names()
    if not s:takes "REFERENCES" then return end
    local ref, schema = s:name()
    act { op = "add_foreign_key", key = { name = name, columns = columns, valid = valid,
      ref = { table = ref or "?", schema = schema } } }
  end,
  UNIQUE = function(s, act, name)
    act { op = "add_unique", using_index = using_index(s),
      key = { name = name, columns = s:names() } }
  end,
  PRIMARY = function(s, act, name)
    local by_index = using_index(s)
    s:takes "KEY"
    act { op = "set_primary_key", using_index = by_index,
      key = { name = name, columns = s:names() } }
  end,
  EXCLUDE = function(_, act, name) act { op = "add_exclusion", name = name } end,
}

-- ---- actions of ALTER TABLE ------------------------------------------------

local ACTIONS = {}

local function index_words(s)
  local kind = s:takes_one("UNIQUE", "FULLTEXT", "SPATIAL")
  local is_index = s:takes_one("INDEX", "KEY") ~= nil
  return kind, is_index or kind ~= nil and kind ~= "UNIQUE"
end

-- MySQL: ADD [UNIQUE | FULLTEXT | SPATIAL] {INDEX | KEY} [name] [USING …] (columns).
local function add_index(s, act)
  local back = s.at
  local kind, is_index = index_words(s)
  local name = is_index and not s:sees "USING" and s:name() or nil
  if s:takes "USING" then s:name() end
  if not is_index or not s:sees "(" then
    s.at = back
    return false
  end
  local keys = {}
  for i, column in ipairs(s:names()) do keys[i] = { column = column } end
  act { op = "add_index", index = { name = name, keys = keys, opaque = true,
    unique = kind == "UNIQUE" or nil, method = kind and kind ~= "UNIQUE" and kind:lower() or nil } }
  return true
end

function ACTIONS.ADD(s, act)
  local name
  if s.database == "mysql" and add_index(s, act) then return end
  if s:takes "CONSTRAINT" then name = s:name() end
  local what = s:takes_one("CHECK", "FOREIGN", "UNIQUE", "PRIMARY", "EXCLUDE")
  if what then return ADD[what](s, act, name) end
  s:takes "COLUMN"
  add_column(s, act)
end

function ACTIONS.DROP(s, act)
  local cascade = s:find "CASCADE" ~= nil
  if s:takes "CONSTRAINT" then
    s:takes("IF", "EXISTS")
    return act { op = "drop_constraint", name = s:name(), cascade = cascade }
  elseif s:takes("FOREIGN", "KEY") then
    return act { op = "drop_foreign_key", name = s:name() }
  elseif s:takes "INDEX" then
    return act { op = "drop_index", name = s:name() }
  elseif s:takes("PRIMARY", "KEY") then
    return act { op = "drop_primary_key" }
  end
  s:takes "COLUMN"
  s:takes("IF", "EXISTS")
  act { op = "drop_column", name = s:name(), cascade = cascade }
end

function ACTIONS.ALTER(s, act)
  s:takes "COLUMN"
  local name, set = s:name(), {}
  if not name then return end
  if s:takes "TYPE" or s:takes("SET", "DATA", "TYPE") then
    set.type = { raw = up_to_end(s):lower() }
  elseif s:takes("SET", "NOT", "NULL") then
    set.null = false
  elseif s:takes("DROP", "NOT", "NULL") then
    set.null = true
  elseif s:takes("SET", "DEFAULT") then
    set.default = { sql = s:text(s.at) }
  elseif s:takes("DROP", "DEFAULT") then
    set.default = { none = true }
  end
  if next(set) then act { op = "alter_column", name = name, set = set } end
end

function ACTIONS.RENAME(s, act)
  if s:takes "TO" then
    act { op = "rename_table", to = s:name() }
  elseif s:takes "CONSTRAINT" or s:takes "INDEX" then
    act { op = "rename_constraint", name = s:name(), to = s:takes "TO" and s:name() or "?" }
  else
    s:takes "COLUMN"
    act { op = "rename_column", name = s:name(), to = s:takes "TO" and s:name() or "?" }
  end
end

function ACTIONS.VALIDATE(s, act)
  s:takes "CONSTRAINT"
  act { op = "validate", name = s:name() }
end

function ACTIONS.SET(s, act)
  local what = s:takes_one("LOGGED", "UNLOGGED", "TABLESPACE", "SCHEMA")
  if what == "SCHEMA" then
    act { op = "rename_table", to = s:name() }
  elseif what then
    act { op = "set_storage", what = what:lower() }
  end
end

function ACTIONS.ATTACH(s, act)
  s:takes "PARTITION"
  act { op = "attach", name = s:name() }
end

function ACTIONS.DETACH(s, act)
  s:takes "PARTITION"
  act { op = "detach", name = s:name(), concurrently = s:find "CONCURRENTLY" ~= nil }
end

-- MySQL and MariaDB.
function ACTIONS.MODIFY(s, act)
  s:takes "COLUMN"
  local name = s:name()
  if name then act { op = "modify", name = name, column = column_of(s, name) } end
end

function ACTIONS.CHANGE(s, act)
  s:takes "COLUMN"
  local name, to = s:name(), s:name()
  if to and to ~= name then act { op = "rename_column", name = name, to = to } end
  if to then act { op = "modify", name = name, column = column_of(s, to) } end
end

local function alter_table(s, add)
  s:takes("IF", "EXISTS")
  s:takes "ONLY"
  local name, schema = s:name()
  if not name then return end
  s:takes "*"
  local function act(one)
    if one.op == "rename_table" then one.name = name else one.table = name end
    one.schema = schema
    add(one)
  end
  for _, part in ipairs(s:parts()) do
    local action = ACTIONS[part.list[1].upper or ""]
    part.at, part.database = 2, s.database
    if action then action(part, act) else act { op = "alter_other", text = part:text(1) } end
  end
end

-- ---- ALTER of other things -------------------------------------------------

local function alter_type(s, add)
  local name, schema = s:name()
  local value
  if s:takes("ADD", "VALUE") then
    s:takes("IF", "NOT", "EXISTS")
    value = s.list[s.at]
    add { op = "add_enum_value", name = name, schema = schema,
      value = value and value.text:gsub("^'(.*)'$", "%1") or "?",
      before = s:find "BEFORE" and "?" or nil, after = s:find "AFTER" and "?" or nil }
  elseif s:takes("RENAME", "VALUE") then
    value = s.list[s.at]
    add { op = "rename_enum_value", name = name, schema = schema,
      from = value and value.text:gsub("^'(.*)'$", "%1") or "?", to = "?" }
  end
end

--- Reads what follows the word ALTER.
function M.read(s, add)
  if s:takes "TABLE" then
    alter_table(s, add)
  elseif s:takes "TYPE" then
    alter_type(s, add)
  elseif s:takes "DOMAIN" then
    local name = s:name()
    if s:takes "ADD" then add { op = "alter_domain", name = name } end
  elseif s:takes "SCHEMA" then
    local name = s:name()
    if s:takes "RENAME" then add { op = "rename_schema", name = name } end
  elseif s:takes "INDEX" then
    s:takes("IF", "EXISTS")
    local name = s:name()
    if s:takes("RENAME", "TO") then add { op = "rename_index", name = name, to = s:name() } end
  end
end

return M
