--- CREATE and DROP of every kind of element, as PostgreSQL reads them. Nothing here
-- talks to a server.
local types = require "perigee.dialect.postgres.types"
local util = require "perigee.util"

local quote, qualified, literal = types.quote, types.qualified, types.literal
local usage = util.usage
local M = {}

-- ---- parts of tables -------------------------------------------------------

local function sorted_keys(t)
  local keys = {}
  for k in pairs(t) do keys[#keys + 1] = k end
  table.sort(keys)
  return keys
end

--- Storage parameters: `(fillfactor = 90)`.
-- @tparam table with
-- @tparam ?table at { file =, line = } for messages
function M.parameters(with, at)
  local out = {}
  for i, k in ipairs(sorted_keys(with)) do
    if not k:find "^[%a_][%w_.]*$" then
      usage("%s%q is not a storage parameter", types.place(at), k)
    end
    local v = with[k]
    local text = tostring(v)
    if type(v) == "number" then
      text = literal(v)
    elseif not text:find "^[%w_.+-]+$" then
      text = literal(text)
    end
    out[i] = k .. " = " .. text
  end
  return "(" .. table.concat(out, ", ") .. ")"
end

local function constraint(name, body)
  return name and "CONSTRAINT " .. quote(name) .. " " .. body or body
end

local function timing(e)
  if e.deferred then return " DEFERRABLE INITIALLY DEFERRED" end
  return e.deferrable and " DEFERRABLE" or ""
end

local function key_text(word, k)
  return constraint(k.name, ("%s%s (%s)%s%s"):format(word,
    k.nulls_not_distinct and " NULLS NOT DISTINCT" or "", types.names(k.columns),
    k.include and " INCLUDE (" .. types.names(k.include) .. ")" or "", timing(k)))
end

local ACTIONS = {
  cascade = "CASCADE", restrict = "RESTRICT", ["set null"] = "SET NULL",
  ["set default"] = "SET DEFAULT",
}

local function action(event, word, columns)
  if not word or word == "no action" then return "" end
  local text = ACTIONS[word]
  if not text then usage("unknown action %q of a foreign key", tostring(word)) end
  return (" ON %s %s%s"):format(event, text,
    columns and " (" .. types.names(columns) .. ")" or "")
end

local function reference(f)
  local ref = f.ref
  return ("REFERENCES %s%s%s%s%s"):format(qualified(ref.schema, ref.table),
    ref.columns and " (" .. types.names(ref.columns) .. ")" or "",
    f.match_full and " MATCH FULL" or "",
    action("UPDATE", f.on_update) .. action("DELETE", f.on_delete, f.on_delete_columns),
    timing(f))
end

-- The text of a constraint as it follows ADD; `kind` as in `create`.
local CONSTRAINTS = {
  primary_key = function(k) return key_text("PRIMARY KEY", k) end,
  unique = function(k) return key_text("UNIQUE", k) end,
  foreign_key = function(f)
    return constraint(f.name, ("FOREIGN KEY (%s) %s"):format(types.names(f.columns),
      reference(f)))
  end,
  check = function(x)
    return constraint(x.name, ("CHECK (%s)%s"):format(types.closed(x.sql),
      x.no_inherit and " NO INHERIT" or ""))
  end,
}

--- `CONSTRAINT "n" CHECK (…)`, with NOT VALID when it is not valid.
-- @tparam string kind primary_key, unique, foreign_key or check
function M.constraint(kind, element)
  return CONSTRAINTS[kind](element) .. (element.valid == false and " NOT VALID" or "")
end

local function add_constraint(kind)
  return function(element, ctx)
    local t = ctx.table
    return { ("ALTER TABLE %s ADD %s"):format(qualified(t.schema, t.name),
      M.constraint(kind, element)) }
  end
end

local function opclass(text)
  if text:find '["(]' then return text end
  return (text:gsub("[^.]+", quote))
end

local function index_key(k)
  local out = k.column and quote(k.column) or "(" .. types.closed(k.sql) .. ")"
  if k.collation then out = out .. " COLLATE " .. types.collation(k.collation) end
  if k.opclass then out = out .. " " .. opclass(k.opclass) end
  if k.desc then out = out .. " DESC" end
  if k.nulls then out = out .. " NULLS " .. k.nulls:upper() end
  return out
end

-- What follows the keys of an index.
local function index_tail(i)
  return (i.include and " INCLUDE (" .. types.names(i.include) .. ")" or "")
    .. (i.nulls_not_distinct and " NULLS NOT DISTINCT" or "")
    .. (i.with and " WITH " .. M.parameters(i.with, i.at) or "")
    .. (i.where and " WHERE " .. i.where or "")
end

--- CREATE INDEX.
-- @tparam table i
-- @tparam table t its table (or materialized view)
-- @tparam ?boolean concurrently
function M.index(i, t, concurrently)
  local keys = {}
  for n, k in ipairs(i.keys) do keys[n] = index_key(k) end
  return ("CREATE %sINDEX %s%sON %s%s (%s)%s"):format(
    i.unique and "UNIQUE " or "", concurrently and "CONCURRENTLY " or "",
    i.name and quote(i.name) .. " " or "", qualified(t.schema, t.name),
    i.method and " USING " .. quote(i.method) or "", table.concat(keys, ", "),
    index_tail(i))
end

-- ---- comments --------------------------------------------------------------

local COMMENTED = {
  table = "TABLE", view = "VIEW", materialized_view = "MATERIALIZED VIEW", enum = "TYPE",
  type = "TYPE", range = "TYPE", domain = "DOMAIN", sequence = "SEQUENCE", index = "INDEX",
  ["function"] = "FUNCTION", procedure = "PROCEDURE", aggregate = "AGGREGATE",
  extension = "EXTENSION", schema = "SCHEMA", trigger = "TRIGGER", policy = "POLICY",
}

-- `"audit"."f"(integer)`: the name of a function has its arguments in it.
local function function_name(schema, name)
  local plain, arguments = name:match "^(.-)(%(.*)$"
  if not plain then return qualified(schema, name) end
  return qualified(schema, plain) .. arguments
end

local FUNCTIONS = { ["function"] = true, procedure = true, aggregate = true }
local ON_TABLE = { trigger = true, policy = true, exclusion = true }

--- The name of an object as DROP and COMMENT take it.
-- @tparam table o kind, schema, name, on
function M.object_name(o)
  if FUNCTIONS[o.kind] then return function_name(o.schema, o.name) end
  if ON_TABLE[o.kind] then
    return quote(o.name) .. " ON " .. qualified(o.schema, o.on)
  end
  if o.kind == "extension" then return quote(o.name) end
  return qualified(o.schema, o.name)
end

--- COMMENT ON for { kind =, schema =, name =, on =, text = nil | text }, or for
-- { schema =, table =, column =, text = }.
function M.comment(c)
  local what
  if c.column then
    what = "COLUMN " .. qualified(c.schema, c.table) .. "." .. quote(c.column)
  elseif c.kind and c.kind ~= "table" then
    local word = COMMENTED[c.kind]
    if not word then usage("a comment cannot be set on a %s", tostring(c.kind)) end
    what = word .. " " .. M.object_name(c)
  else
    what = "TABLE " .. qualified(c.schema, c.table or c.name)
  end
  return ("COMMENT ON %s IS %s"):format(what, c.text and literal(c.text) or "NULL")
end

local function add_comment(out, kind, e, text)
  if not text then return end
  out[#out + 1] = M.comment { kind = kind, schema = e.schema, name = e.name, on = e.on,
    text = text }
end

-- ---- tables ----------------------------------------------------------------

local OPTIONS = {
  with = true, partition_by = true, unlogged = true, row_security = true,
  force_row_security = true,
}

--- The options that a table has for PostgreSQL.
-- @raise usage for an unknown one
function M.options(t)
  local o = t.options and t.options.postgres or {}
  for k in pairs(o) do
    if not OPTIONS[k] then
      usage('%sunknown option %q for postgres: allowed are force_row_security, '
        .. 'partition_by, row_security, unlogged, with', types.place(t.at), tostring(k))
    end
  end
  return o
end

local function table_body(t)
  local lines = {}
  for _, c in ipairs(t.columns) do lines[#lines + 1] = types.column(c) end
  if t.primary_key then
    lines[#lines + 1] = M.constraint("primary_key", t.primary_key)
  end
  for _, k in ipairs(t.uniques or {}) do
    lines[#lines + 1] = M.constraint("unique", k)
  end
  for _, x in ipairs(t.checks or {}) do
    if x.valid ~= false then lines[#lines + 1] = M.constraint("check", x) end
  end
  return #lines == 0 and "" or "\n  " .. table.concat(lines, ",\n  ") .. "\n"
end

local CREATE, DROP = {}, {}

--- ALTER TABLE statements for row security.
function M.row_security(t, o)
  local name, out = qualified(t.schema, t.name), {}
  if o.row_security ~= nil then
    out[1] = ("ALTER TABLE %s %s ROW LEVEL SECURITY"):format(name,
      o.row_security and "ENABLE" or "DISABLE")
  end
  if o.force_row_security ~= nil then
    out[#out + 1] = ("ALTER TABLE %s %s ROW LEVEL SECURITY"):format(name,
      o.force_row_security and "FORCE" or "NO FORCE")
  end
  return out
end

function CREATE.table(t)
  local o = M.options(t)
  local out = { ("CREATE %sTABLE %s (%s)%s%s"):format(o.unlogged and "UNLOGGED " or "",
    qualified(t.schema, t.name), table_body(t),
    o.partition_by and " PARTITION BY " .. o.partition_by or "",
    o.with and next(o.with) and " WITH " .. M.parameters(o.with, t.at) or "") }
  for _, x in ipairs(t.checks or {}) do
    if x.valid == false then
      out[#out + 1] = add_constraint "check"(x, { table = t })[1]
    end
  end
  for _, sql in ipairs(M.row_security(t, o)) do out[#out + 1] = sql end
  add_comment(out, "table", t, t.comment)
  for _, c in ipairs(t.columns) do
    if c.comment then
      out[#out + 1] = M.comment { schema = t.schema, table = t.name, column = c.name,
        text = c.comment }
    end
  end
  return out
end

for kind in pairs(CONSTRAINTS) do
  CREATE[kind] = add_constraint(kind)
  DROP[kind] = function(element, ctx)
    local t = ctx.table
    return { ("ALTER TABLE %s DROP CONSTRAINT %s"):format(qualified(t.schema, t.name),
      quote(element.name)) }
  end
end

function CREATE.index(i, ctx)
  local out = { M.index(i, ctx.table) }
  if i.comment then
    out[2] = M.comment { kind = "index", schema = ctx.table.schema, name = i.name,
      text = i.comment }
  end
  return out
end

function CREATE.schema(s)
  return { "CREATE SCHEMA " .. quote(type(s) == "table" and s.name or s) }
end

function CREATE.enum(e)
  local values = {}
  for i, v in ipairs(e.values) do values[i] = literal(v) end
  local out = { ("CREATE TYPE %s AS ENUM (%s)"):format(qualified(e.schema, e.name),
    table.concat(values, ", ")) }
  add_comment(out, "enum", e, e.comment)
  return out
end

-- The definition's text without the semicolon at its end.
local function body_of(sql)
  return (sql:gsub("[%s;]+$", ""))
end

function CREATE.view(v, ctx)
  local replace = ctx and ctx.replace and not v.materialized
  local out = { ("CREATE %s%sVIEW %s%s AS\n%s"):format(replace and "OR REPLACE " or "",
    v.materialized and "MATERIALIZED " or "", qualified(v.schema, v.name),
    v.with and next(v.with) and " WITH " .. M.parameters(v.with, v.at) or "",
    body_of(v.sql)) }
  add_comment(out, v.materialized and "materialized_view" or "view", v, v.comment)
  return out
end

--- "schema.table.column" or "table.column" in three parts.
-- A table { schema =, table =, column = } is for names with dots in them.
function M.owner_of(text)
  if type(text) == "table" then return text.schema, text.table, text.column end
  local parts = {}
  for part in text:gmatch "[^.]+" do parts[#parts + 1] = part end
  if #parts < 2 or #parts > 3 then
    usage("owned_by %q: a table and a column are expected", text)
  end
  return parts[3] and parts[1] or nil, parts[#parts - 1], parts[#parts]
end

--- ALTER SEQUENCE … OWNED BY, or nil.
function M.owned(o)
  if not o.owned_by then return nil end
  local schema, name, column = M.owner_of(o.owned_by)
  return ("ALTER SEQUENCE %s OWNED BY %s.%s"):format(qualified(o.schema, o.name),
    qualified(schema, name), quote(column))
end

function CREATE.object(o)
  local out = { body_of(o.sql) }
  add_comment(out, o.kind, o, o.comment)
  return out
end

function CREATE.comment(c) return { M.comment(c) } end

function DROP.comment(c)
  return { M.comment { kind = c.kind, schema = c.schema, table = c.table, name = c.name,
    on = c.on, column = c.column } }
end

function DROP.schema(s) return { "DROP SCHEMA " .. quote(type(s) == "table" and s.name or s) } end
function DROP.enum(e) return { "DROP TYPE " .. qualified(e.schema, e.name) } end
function DROP.table(t) return { "DROP TABLE " .. qualified(t.schema, t.name) } end

function DROP.index(i, ctx)
  return { "DROP INDEX " .. qualified(ctx and ctx.table and ctx.table.schema, i.name) }
end

function DROP.view(v)
  return { ("DROP %sVIEW %s"):format(v.materialized and "MATERIALIZED " or "",
    qualified(v.schema, v.name)) }
end

local DROPPED = {
  ["function"] = "FUNCTION", procedure = "PROCEDURE", aggregate = "AGGREGATE",
  trigger = "TRIGGER", policy = "POLICY", domain = "DOMAIN", type = "TYPE", range = "TYPE",
  sequence = "SEQUENCE", extension = "EXTENSION", index = "INDEX", rule = "RULE",
  statistics = "STATISTICS", collation = "COLLATION", operator = "OPERATOR",
}

function DROP.object(o)
  if o.kind == "exclusion" then
    return { ("ALTER TABLE %s DROP CONSTRAINT %s"):format(qualified(o.schema, o.on),
      quote(o.name)) }
  end
  local word = DROPPED[o.kind]
  if not word then
    usage("an object of kind %q cannot be dropped by its name: use m:sql", tostring(o.kind))
  end
  return { ("DROP %s %s"):format(word, M.object_name(o)) }
end

local function run(list, verb, kind, element, ctx)
  local fn = list[kind]
  if not fn then usage("%s: unknown kind of element %q", verb, tostring(kind)) end
  return fn(element, ctx or {})
end

--- The statements that create an element.
-- @tparam string kind schema, enum, table, primary_key, unique, check, foreign_key,
-- index, view, object or comment
-- @tparam table element as in a tree
-- @tparam ?table ctx table (for what belongs to one), replace (views)
-- @treturn {string,...}
function M.create(kind, element, ctx) return run(CREATE, "create", kind, element, ctx) end

--- The statements that drop it; never with CASCADE.
function M.drop(kind, element, ctx) return run(DROP, "drop", kind, element, ctx) end

return M
