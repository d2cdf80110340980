--- Steps of views and objects. What can be replaced in place is; else it is dropped
-- (never with CASCADE) and created.
local ddl = require "perigee.dialect.postgres.ddl"
local domain = require "perigee.dialect.postgres.domain"
local lexer = require "perigee.dialect.postgres.lexer"
local step = require "perigee.dialect.postgres.step"
local types = require "perigee.dialect.postgres.types"

local qualified = types.qualified
local M = {}

local function append(out, list)
  for _, v in ipairs(list) do out[#out + 1] = v end
  return out
end

-- ---- views -----------------------------------------------------------------

function M.create_view(op) return step.list(op, ddl.create("view", op.view)) end

local function is_materialized(op) return op.was and op.was.materialized end

function M.drop_view(op)
  return step.list(op, ddl.drop("view", { schema = op.schema, name = op.name,
    materialized = is_materialized(op) }))
end

-- CREATE OR REPLACE keeps options that are not named.
local function reset_options(v, was)
  local out = {}
  for k in pairs(was and was.with or {}) do
    if not (v.with and v.with[k] ~= nil) then out[#out + 1] = k end
  end
  table.sort(out)
  if #out == 0 then return {} end
  return { ("ALTER VIEW %s RESET (%s)"):format(qualified(v.schema, v.name),
    table.concat(out, ", ")) }
end

function M.replace_view(op)
  local v, was = op.view, op.was or op.view
  local old = { schema = was.schema, name = was.name, materialized = was.materialized }
  local drop, create = ddl.drop("view", old), ddl.create("view", v)
  local moved = was.name ~= v.name or was.schema ~= v.schema
  if v.materialized or was.materialized or moved then
    return step.list(op, append(drop, create))
  end
  local replace = ddl.create("view", v, { replace = true })
  local sqls = { step.replace(replace[1], "invalid_table_definition", { drop[1], create[1] }) }
  if v.comment ~= was.comment then
    sqls[2] = ddl.comment { kind = "view", schema = v.schema, name = v.name, text = v.comment }
  end
  return step.list(op, append(sqls, reset_options(v, op.was)))
end

-- ---- objects ---------------------------------------------------------------

-- The table of a new sequence may come later.
local function owned(op, o, ctx)
  local sql = ddl.owned(o)
  if not sql then return {} end
  local schema, name = ddl.owner_of(o.owned_by)
  if ctx.tree then
    for _, t in ipairs(ctx.tree.tables or {}) do
      if t.schema == schema and t.name == name then return { step.new(op, sql) } end
    end
    return {}
  end
  return { step.new(op, "DO " .. step.dollars(([[

BEGIN
  IF pg_catalog.to_regclass(%s) IS NOT NULL THEN
    %s;
  END IF;
END
]]):format(step.reference(schema, name), sql))) }
end

function M.create_object(op, ctx)
  local out = step.list(op, ddl.create("object", op.object))
  if op.object.kind == "sequence" then append(out, owned(op, op.object, ctx)) end
  return out
end

function M.drop_object(op)
  return step.list(op, ddl.drop("object", { kind = op.kind, schema = op.schema,
    name = op.name, on = op.on }))
end

local FIRST_WORDS = "^(%s*[cC][rR][eE][aA][tT][eE])(%s+)"

-- "CREATE OR REPLACE FUNCTION …" of either form.
local function or_replace(sql)
  if sql:find(FIRST_WORDS .. "[oO][rR]%s") then return sql end
  return (sql:gsub(FIRST_WORDS, "%1 OR REPLACE%2"))
end

local REPLACED = { ["function"] = true, procedure = true, aggregate = true }

-- Of a function with other arguments the old one is still there.
local function replace_function(o, was)
  local create = ddl.create("object", o)
  local drop = ddl.drop("object", was)[1]
  if was.name ~= o.name or was.schema ~= o.schema or was.kind ~= o.kind then
    return append({ drop }, create)
  end
  return { step.replace(or_replace(create[1]), "invalid_function_definition",
    { drop, create[1] }), create[2] }
end

local SEQUENCE = {
  { "as", "AS bigint" }, { "increment", "INCREMENT BY 1" }, { "minvalue", "NO MINVALUE" },
  { "maxvalue", "NO MAXVALUE" }, { "start", "START WITH 1" }, { "cache", "CACHE 1" },
  { "cycle", "NO CYCLE" },
}

-- What CREATE SEQUENCE says, and for what it does not say that it is as for a new one.
local function sequence_options(sql)
  local options = lexer.after_name(sql, "sequence"):gsub("[%s;]+$", "")
  local words, out = {}, {}
  for word in options:lower():gmatch "%a+" do words[word] = true end
  for _, pair in ipairs(SEQUENCE) do
    if not words[pair[1]] then out[#out + 1] = pair[2] end
  end
  if options ~= "" then out[#out + 1] = options end
  return table.concat(out, " ")
end

local function replace_sequence(o, was)
  local out = {}
  if o.sql ~= was.sql then
    out[1] = ("ALTER SEQUENCE %s %s"):format(qualified(o.schema, o.name),
      sequence_options(o.sql))
  end
  if o.owned_by ~= was.owned_by then
    out[#out + 1] = ddl.owned(o)
      or ("ALTER SEQUENCE %s OWNED BY NONE"):format(qualified(o.schema, o.name))
  end
  return out
end

local function replace_sqls(o, was)
  if REPLACED[o.kind] then return replace_function(o, was) end
  if o.kind == "sequence" then return replace_sequence(o, was) end
  if o.kind == "domain" then return domain.change(o, was) end
  if o.kind == "extension" then
    return { ("ALTER EXTENSION %s SET SCHEMA %s"):format(types.quote(o.name),
      o.schema and types.quote(o.schema) or "CURRENT_SCHEMA") }
  end
  return append(ddl.drop("object", was), { ddl.create("object", o)[1] })
end

function M.replace_object(op)
  local o = op.object
  local was = op.was or o
  local out = step.list(op, replace_sqls(o, was))
  if o.comment ~= was.comment and not REPLACED[o.kind] then
    out[#out + 1] = step.new(op, ddl.comment { kind = o.kind, schema = o.schema,
      name = o.name, on = o.on, text = o.comment })
  end
  return out
end

return M
