--- Rows of PostgreSQL's catalogues as parts of tables in a tree.
local core = require "perigee.core"
local lexer = require "perigee.dialect.postgres.lexer"

local null = core.null
local M = {}

--- The values of an SQL array as a plain list; nil for none.
function M.list(array)
  if not array or array == null then return nil end
  local out = {}
  for i = 1, #array do out[i] = array[i] end
  return #out > 0 and out or nil
end

function M.copy_list(list)
  local out = {}
  for i, v in ipairs(list) do out[i] = v end
  return out
end

local function only_true(v) return v == true or nil end

--- "fillfactor=90" … as a table of strings; nil for none.
-- @param array of the texts
-- @tparam ?string prefix put before the names
-- @tparam ?table into
function M.options(array, prefix, into)
  local list = M.list(array)
  if not list then return into end
  local out = into or {}
  for _, text in ipairs(list) do
    local k, v = text:match "^([^=]*)=(.*)$"
    out[(prefix or "") .. k] = v
  end
  return out
end

function M.table(row, schema)
  local options = {
    with = M.options(row.toast, "toast.", M.options(row.options)),
    partition_by = row.partition_by, unlogged = only_true(row.persistence == "u"),
    row_security = only_true(row.row_security),
    force_row_security = only_true(row.force_row_security),
  }
  return {
    schema = schema, name = row.name, columns = {}, uniques = {}, foreign_keys = {},
    checks = {}, indexes = {}, comment = row.comment,
    options = next(options) and { postgres = options } or {},
  }
end

-- ---- columns ---------------------------------------------------------------

-- Numbers of up to 15 digits as numbers, longer ones as text.
local function count(text)
  return #text > 15 and text or tonumber(text)
end

local LIMITS = {
  smallint = "32767", integer = "2147483647", bigint = "9223372036854775807",
}

-- What differs from what an identity column has unless it says otherwise.
local function identity(row)
  if not row.identity or row.identity == "" then return nil end
  local o = { always = row.identity == "a" }
  if not row.start then return o end
  local up = row.increment:sub(1, 1) ~= "-"
  if row.increment ~= "1" then o.increment = count(row.increment) end
  if row.min ~= "1" then o.min = count(row.min) end
  if row.max ~= LIMITS[row.seq_type] then o.max = count(row.max) end
  if row.start ~= (up and row.min or row.max) then o.start = count(row.start) end
  if row.cache ~= "1" then o.cache = count(row.cache) end
  o.cycle = only_true(row.cycle)
  return o
end

function M.column(row)
  local c = {
    name = row.name, type = { raw = row.type }, null = not row.not_null,
    comment = row.comment, identity = identity(row),
  }
  if row.generated and row.generated ~= "" then
    c.generated = { sql = lexer.strip(row.expr), stored = row.generated == "s" }
  elseif row.expr then
    c.default = { sql = row.expr }
  end
  return c
end

--- A collation of pg_catalog or the default schema by its name, any other as SQL.
function M.collation(name, schema)
  if not schema or schema == "pg_catalog" then return name end
  return ('"%s"."%s"'):format(schema:gsub('"', '""'), (name:gsub('"', '""')))
end

-- ---- constraints -----------------------------------------------------------

local ACTIONS = { c = "cascade", r = "restrict", n = "set null", d = "set default" }

local function key(row)
  return {
    name = row.name, columns = M.list(row.columns), include = M.list(row.include),
    nulls_not_distinct = only_true(row.nulls_not_distinct),
    deferrable = only_true(row.deferrable), deferred = only_true(row.deferred),
  }
end

local function foreign_key(row, ref_schema)
  local f = {
    name = row.name, columns = M.list(row.columns),
    ref = { schema = ref_schema, table = row.ref_table, columns = M.list(row.ref_columns) },
    on_delete = ACTIONS[row.on_delete], on_update = ACTIONS[row.on_update],
    on_delete_columns = M.list(row.set_columns), match_full = only_true(row.match == "f"),
    deferrable = only_true(row.deferrable), deferred = only_true(row.deferred),
  }
  if not row.valid then f.valid = false end
  return f
end

local function check(row)
  local x = { name = row.name, sql = lexer.strip(row.expr),
    no_inherit = only_true(row.no_inherit) }
  if not row.valid then x.valid = false end
  return x
end

--- Adds a constraint to its table.
function M.constraint(t, row, ref_schema)
  if row.type == "p" then
    t.primary_key = key(row)
  elseif row.type == "u" then
    t.uniques[#t.uniques + 1] = key(row)
  elseif row.type == "f" then
    t.foreign_keys[#t.foreign_keys + 1] = foreign_key(row, ref_schema)
  elseif row.expr then
    t.checks[#t.checks + 1] = check(row)
  end
end

-- ---- indexes ---------------------------------------------------------------

local ENDS = { [","] = true, [")"] = true }

-- What stands after each key in CREATE INDEX (collation, class, order): only there
-- does the server say what is not the default.
local function tails(row, keys)
  local _, at = row.def:find(" USING " .. row.method .. " (", 1, true)
  local out = {}
  for i, text in ipairs(keys) do
    if not at or row.def:sub(at + 1, at + #text) ~= text then return {} end
    local from = at + 1 + #text
    local stop = lexer.find_outside(row.def, from, ENDS) or #row.def + 1
    out[i] = row.def:sub(from, stop - 1)
    at = row.def:sub(stop, stop) == "," and stop + 1 or stop -- a blank follows
  end
  return out
end

local function collation_of(tail)
  local text = tail:match '^ COLLATE ("?.*)$'
  if not text then return nil, tail end
  local parts, at, first = {}, 1, true
  for kind, token, from in lexer.tokens(text) do
    local is_name = kind == "name" or kind == "quoted"
    if not (is_name and first or token == "." and not first) then break end
    parts[#parts + 1] = is_name and lexer.meaning(kind, token) or nil
    first, at = not is_name, from + #token
  end
  local name = parts[#parts]
  return M.collation(name, parts[2] and parts[1]), text:sub(at)
end

local function tail_of(k, tail)
  local rest
  k.collation, rest = collation_of(tail)
  rest = rest:gsub(" NULLS (%u+)$", function(word)
    k.nulls = word:lower()
    return ""
  end):gsub(" DESC$", function()
    k.desc = true
    return ""
  end)
  if rest:find "%S" then k.opclass = rest:match "^%s*(.-)%s*$" end
  return k
end

function M.index(row)
  local keys, columns = M.list(row.keys), M.list(row.columns) or {}
  local i = {
    name = row.name, keys = {}, unique = only_true(row.unique), where = row.predicate
      and lexer.strip(row.predicate), with = M.options(row.options), comment = row.comment,
    nulls_not_distinct = only_true(row.nulls_not_distinct),
    method = row.method ~= "btree" and row.method or nil,
  }
  if not row.valid then i.valid = false end
  local after, column = tails(row, keys), 0
  local n = 0
  for number in row.numbers:gmatch "%S+" do -- 0 is an expression
    n = n + 1
    if number ~= "0" then column = column + 1 end
    if n > row.nkeys then
      i.include = i.include or {}
      table.insert(i.include, columns[column])
    elseif number == "0" then
      i.keys[n] = tail_of({ sql = lexer.strip(keys[n]) }, after[n] or "")
    else
      i.keys[n] = tail_of({ column = columns[column] }, after[n] or "")
    end
  end
  return i
end

return M
