--- CREATE and DROP of every kind of element, as MySQL and MariaDB read them.
local types = require "perigee.dialect.mysql.types"
local util = require "perigee.util"

local quote, qualified, literal = types.quote, types.qualified, types.literal
local usage = util.usage
local M = {}

local function place(at) return at and ("%s:%s: "):format(at.file, at.line) or "" end

local WORDS = {
  where = "partial indexes (where)", include = "columns beside the key (include)",
  with = "parameters of indexes (with)", nulls = "order of NULLs in an index (nulls)",
  opclass = "operator classes (opclass)", deferrable = "deferrable constraints",
  nulls_not_distinct = "unique keys that take one NULL (nulls_not_distinct)",
  match_full = "MATCH FULL", no_inherit = "inheritance (no_inherit)",
  materialized = "materialized views",
}

-- What this database lacks is never left out in silence.
local function refuse(e, fields)
  for _, k in ipairs(fields) do
    if e[k] ~= nil and e[k] ~= false then
      usage("%s%s: MySQL has no %s", place(e.at), e.name or "?", WORDS[k])
    end
  end
end

-- ---- constraints and indexes -----------------------------------------------

local function named(e) return e.name and "CONSTRAINT " .. quote(e.name) .. " " or "" end

local ACTIONS = {
  cascade = "CASCADE", restrict = "RESTRICT", ["set null"] = "SET NULL",
  ["set default"] = "SET DEFAULT",
}

local function action(event, word)
  if not word or word == "no action" then return "" end
  if not ACTIONS[word] then usage("unknown action %q of a foreign key", tostring(word)) end
  return (" ON %s %s"):format(event, ACTIONS[word])
end

local function index_key(k)
  local out = k.column and quote(k.column) or "(" .. types.closed(k.sql) .. ")"
  if k.length then out = ("%s(%d)"):format(out, k.length) end
  return out .. (k.desc and " DESC" or "")
end

local PREFIXES = { fulltext = "FULLTEXT ", spatial = "SPATIAL " }

-- "UNIQUE INDEX `i` (`a`, `b` DESC) USING HASH"
local function index_text(i)
  refuse(i, { "where", "include", "nulls_not_distinct", "with" })
  local keys = {}
  for n, k in ipairs(i.keys) do
    refuse({ name = i.name, at = i.at, nulls = k.nulls, opclass = k.opclass },
      { "nulls", "opclass" })
    keys[n] = index_key(k)
  end
  local prefix = PREFIXES[i.method] or i.unique and "UNIQUE " or ""
  local method = i.method and not PREFIXES[i.method] and " USING " .. i.method:upper() or ""
  if i.method and not i.method:find "^%a+$" then usage("%q is no kind of index", i.method) end
  return prefix, (i.name and quote(i.name) .. " " or "") .. "(" .. table.concat(keys, ", ") .. ")"
    .. method .. (i.comment and " COMMENT " .. literal(i.comment) or "")
end

local CLAUSES = {}

function CLAUSES.primary_key(k)
  refuse(k, { "deferrable", "include" })
  return ("PRIMARY KEY (%s)"):format(types.names(k.columns))
end

function CLAUSES.unique(k)
  refuse(k, { "deferrable", "include", "nulls_not_distinct" })
  return ("%sUNIQUE (%s)"):format(named(k), types.names(k.columns))
end

function CLAUSES.foreign_key(f)
  refuse(f, { "deferrable", "match_full" })
  local ref = f.ref
  return ("%sFOREIGN KEY (%s) REFERENCES %s (%s)%s%s"):format(named(f),
    types.names(f.columns), qualified(ref.schema, ref.table), types.names(ref.columns),
    action("UPDATE", f.on_update), action("DELETE", f.on_delete))
end

function CLAUSES.check(x)
  refuse(x, { "no_inherit" })
  return ("%sCHECK (%s)%s"):format(named(x), types.closed(x.sql), x.kept and " " .. x.kept or "")
end

function CLAUSES.index(i)
  local prefix, text = index_text(i)
  return prefix .. "INDEX " .. text
end

--- A constraint or index as it stands in CREATE TABLE, and after ADD in ALTER TABLE.
-- @tparam string kind primary_key, unique, foreign_key, check or index
function M.clause(kind, element) return CLAUSES[kind](element) end

-- ---- tables ----------------------------------------------------------------

local OPTIONS = {
  { "engine", "ENGINE = %s" }, { "charset", "DEFAULT CHARACTER SET = %s" },
  { "collation", "COLLATE = %s" }, { "row_format", "ROW_FORMAT = %s" },
}

--- The options of a table: { "ENGINE = InnoDB" … }.
function M.options(options)
  local o, known, out = options and options.mysql or {}, {}, {}
  for _, pair in ipairs(OPTIONS) do
    local v = o[pair[1]]
    known[pair[1]] = true
    if v ~= nil then
      if not tostring(v):find "^[%w_]+$" then usage("%s: %q is not a name", pair[1], v) end
      out[#out + 1] = pair[2]:format(v)
    end
  end
  for k in pairs(o) do
    if not known[k] then
      usage("unknown option %q for mysql: allowed are charset, collation, engine, row_format",
        tostring(k))
    end
  end
  return out
end

local CREATE, DROP = {}, {}

local function refuse_large(t, key, what)
  local is_in = {}
  for _, name in ipairs(key and key.columns or {}) do is_in[name] = true end
  for _, c in ipairs(t.columns) do
    if is_in[c.name] and types.is_large(c) then
      usage("%s%s.%s: what is in a %s key has a length on MySQL: varchar(190)",
        place(c.at or key.at or t.at), t.name, c.name, what)
    end
  end
end

-- `keys`: the foreign keys that are made with it.
function CREATE.table(t, keys)
  refuse_large(t, t.primary_key, "primary")
  for _, f in ipairs(t.foreign_keys or {}) do refuse_large(t, f, "foreign") end
  local lines = {}
  for _, c in ipairs(t.columns) do lines[#lines + 1] = types.column(c) end
  if t.primary_key then lines[#lines + 1] = M.clause("primary_key", t.primary_key) end
  local function add_all(kind, list)
    for _, e in ipairs(list or {}) do lines[#lines + 1] = M.clause(kind, e) end
  end
  add_all("unique", t.uniques)
  add_all("check", t.checks)
  add_all("index", t.indexes)
  add_all("foreign_key", keys)
  local tail = M.options(t.options)
  if t.comment then tail[#tail + 1] = "COMMENT = " .. literal(t.comment) end
  return { ("CREATE TABLE %s (\n  %s\n)%s"):format(qualified(t.schema, t.name),
    table.concat(lines, ",\n  "), #tail > 0 and " " .. table.concat(tail, " ") or "") }
end

local function add_to(kind)
  return function(element, ctx)
    return { ("ALTER TABLE %s ADD %s"):format(qualified(ctx.table.schema, ctx.table.name),
      M.clause(kind, element)) }
  end
end

local DROPPED = {
  primary_key = function() return "PRIMARY KEY" end,
  unique = function(k) return "INDEX " .. quote(k.name) end,
  foreign_key = function(f) return "FOREIGN KEY " .. quote(f.name) end,
  check = function(x) return "CONSTRAINT " .. quote(x.name) end,
  index = function(i) return "INDEX " .. quote(i.name) end,
}

--- What follows DROP in ALTER TABLE.
function M.drop_clause(kind, element) return DROPPED[kind](element) end

for kind in pairs(CLAUSES) do
  CREATE[kind] = add_to(kind)
  DROP[kind] = function(element, ctx)
    return { ("ALTER TABLE %s DROP %s"):format(qualified(ctx.table.schema, ctx.table.name),
      M.drop_clause(kind, element)) }
  end
end

-- An enum is a part of its columns.
function CREATE.enum() return {} end
DROP.enum = CREATE.enum

function CREATE.view(v, ctx)
  refuse(v, { "materialized" })
  return { ("CREATE %sVIEW %s AS\n%s"):format(ctx.replace and "OR REPLACE " or "",
    qualified(v.schema, v.name), (v.sql:gsub("[%s;]+$", ""))) }
end

function DROP.table(t) return { "DROP TABLE " .. qualified(t.schema, t.name) } end
function DROP.view(v) return { "DROP VIEW " .. qualified(v.schema, v.name) } end

local OBJECTS = {
  ["function"] = "FUNCTION", procedure = "PROCEDURE", trigger = "TRIGGER", event = "EVENT",
}

local function object_word(o)
  local word = OBJECTS[o.kind]
  if not word then
    usage("%s%s: MySQL has no objects of kind %s", place(o.at), o.name, tostring(o.kind))
  end
  return word
end

function CREATE.object(o)
  object_word(o)
  return { (o.sql:gsub("[%s;]+$", "")) }
end

function DROP.object(o)
  return { ("DROP %s %s"):format(object_word(o), qualified(o.schema, (o.name:gsub("%(.*$", "")))) }
end

function CREATE.schema(s)
  return { "CREATE DATABASE " .. quote(type(s) == "table" and s.name or s) }
end

function DROP.schema(s)
  return { "DROP DATABASE " .. quote(type(s) == "table" and s.name or s) }
end

local function run(list, verb, kind, element, ctx)
  local fn = list[kind]
  if not fn then usage("%s: unknown kind of element %q", verb, tostring(kind)) end
  return fn(element, ctx or {})
end

--- The statements that create an element; kinds as of the other dialects.
function M.create(kind, element, ctx) return run(CREATE, "create", kind, element, ctx) end

--- The statements that drop it.
function M.drop(kind, element, ctx) return run(DROP, "drop", kind, element, ctx) end

-- ---- trees -----------------------------------------------------------------

local function title(e) return e.schema and e.schema .. "." .. e.name or e.name end
local function title_of_parent(f) return title { schema = f.ref.schema, name = f.ref.table } end

-- Which MySQL has; of the server nothing is known here.
local NO_EXPRESSIONS = "MariaDB has no indexes of expressions: index a generated column"

local function has_expressions(t)
  for _, i in ipairs(t.indexes or {}) do
    for _, k in ipairs(i.keys) do
      if k.sql then return true end
    end
  end
  return false
end

-- Parents first, where there is such an order.
local function ordered(list)
  local by_name, seen, out = {}, {}, {}
  for _, t in ipairs(list) do by_name[title(t)] = t end
  local function visit(t)
    if not t or seen[t] then return end
    seen[t] = true
    for _, f in ipairs(t.foreign_keys or {}) do visit(by_name[title_of_parent(f)]) end
    out[#out + 1] = t
  end
  for _, t in ipairs(list) do visit(t) end
  return out, by_name
end

-- Tables with their foreign keys, so that a table that is there has them. Those to a table
-- that comes later are added at the end; with `apart` all are, and errors tell which it was.
local function emit_tables(list, apart, emit)
  local tables, by_name = ordered(list)
  local is_made, late = {}, {}
  for _, t in ipairs(tables) do
    local keys = {}
    is_made[t] = true
    for _, f in ipairs(t.foreign_keys or {}) do
      local parent = by_name[title_of_parent(f)]
      if apart or parent and not is_made[parent] then
        late[#late + 1] = { t, f }
      else
        keys[#keys + 1] = f
      end
    end
    emit("table", t, keys, "table " .. title(t))
  end
  for _, pair in ipairs(late) do
    local t, f = pair[1], pair[2]
    emit("foreign_key", f, { table = t }, ("foreign key %s on %s"):format(f.name, title(t)))
  end
end

--- All statements that create a tree: tables, foreign keys, objects, views.
-- @tparam table tree
-- @tparam ?table opts apart: foreign keys by themselves
-- @treturn {table,...} { sql =, what =, at =, element =, syntax = what a syntax error means }
function M.create_tree(tree, opts)
  local out = {}
  local function emit(kind, e, ctx, what)
    for _, sql in ipairs(M.create(kind, e, ctx)) do
      out[#out + 1] = { sql = sql, what = what, at = e.at, element = e,
        syntax = kind == "table" and has_expressions(e) and NO_EXPRESSIONS or nil }
    end
  end
  emit_tables(tree.tables or {}, opts and opts.apart, emit)
  for _, o in ipairs(tree.objects or {}) do
    if o.kind ~= "trigger" then emit("object", o, {}, o.kind .. " " .. title(o)) end
  end
  local done = {}
  local function view(v)
    if done[v.name] then return end
    done[v.name] = true
    for _, name in ipairs(v.after or {}) do
      for _, other in ipairs(tree.views) do
        if other.name == name then view(other) end
      end
    end
    emit("view", v, {}, "view " .. title(v))
  end
  for _, v in ipairs(tree.views or {}) do view(v) end
  for _, o in ipairs(tree.objects or {}) do
    if o.kind == "trigger" then emit("object", o, {}, "trigger " .. title(o)) end
  end
  return out
end

--- All statements that drop a tree.
function M.drop_tree(tree)
  local out = {}
  for _, entry in ipairs(M.create_tree(tree)) do
    local e = entry.element
    local kind = e.ref and "foreign_key" or e.kind and "object" or e.columns and "table" or "view"
    if kind == "foreign_key" then
      local name = entry.what:match " on (.*)$"
      for _, t in ipairs(tree.tables) do
        if title(t) == name then
          table.insert(out, 1, { sql = M.drop(kind, e, { table = t })[1], what = entry.what })
        end
      end
    else
      table.insert(out, 1, { sql = M.drop(kind, e)[1], what = entry.what, at = e.at })
    end
  end
  return out
end

return M
