--- Steps of columns.
local ddl = require "perigee.dialect.postgres.ddl"
local regenerate = require "perigee.dialect.postgres.regenerate"
local step = require "perigee.dialect.postgres.step"
local types = require "perigee.dialect.postgres.types"
local util = require "perigee.util"

local quote, qualified = types.quote, types.qualified
local M = {}

local function comment(op, column, text)
  return step.new(op, ddl.comment { schema = op.schema, table = op.table, column = column,
    text = text })
end

function M.add_column(op)
  local c = op.column
  local out = { step.new(op, step.alter(op, "ADD COLUMN " .. types.column(c))) }
  if c.comment then out[2] = comment(op, c.name, c.comment) end
  return out
end

function M.drop_column(op)
  return { step.new(op, step.alter(op, "DROP COLUMN " .. quote(op.name))) }
end

function M.rename_column(op)
  return { step.new(op, step.alter(op, ("RENAME COLUMN %s TO %s"):format(
    quote(op.name), quote(op.to)))) }
end

-- ---- types -----------------------------------------------------------------

-- Types between which the server converts by itself.
local FAMILIES = {}
for family, names in pairs {
  text = "text varchar char character",
  integer = "smallint int integer bigint numeric decimal real double float4 float8",
  time = "timestamp timestamptz date",
} do
  for name in names:gmatch "%S+" do FAMILIES[name] = family end
end

local function family(ty)
  if not ty or (ty.array or 0) > 0 or ty.enum then return nil end
  local raw = ty.raw and ty.raw:lower()
  if raw and raw:find "%[" then return nil end
  return FAMILIES[ty.name or raw:match "^%a+"]
end

-- How old values become new ones. From one enum to another the way is the text.
local function using(op, ty)
  if op.using then return " USING " .. op.using end
  local from = op.was and op.was.type
  local one = family(ty)
  if one and one == family(from) then return "" end
  local to = types.type(ty, op.at)
  local through = ty.enum and "::text" .. ("[]"):rep(ty.array or 0) or ""
  return (" USING %s%s::%s"):format(quote(op.name), through, to)
end

local function is_none(v) return type(v) == "table" and v.none == true end

local function type_action(op, ctx)
  local set, known = op.set, step.column(op, ctx)
  local ty = set.type or op.was and op.was.type or known and known.type
  if not ty then
    util.usage("%s.%s: a collation is changed together with the type: say both",
      step.key(op), op.name)
  end
  local collation = set.collation
  if collation == nil then collation = known and known.collation end
  local text = ""
  if is_none(collation) then
    text = ' COLLATE pg_catalog."default"'
  elseif collation then
    text = " COLLATE " .. types.collation(collation)
  end
  return ("ALTER COLUMN %s TYPE %s%s%s"):format(quote(op.name), types.type(ty, op.at), text,
    set.type and using(op, ty) or "")
end

-- ---- the rest --------------------------------------------------------------

local function has(v) return v ~= nil and v ~= false and not is_none(v) end

-- Type and default in one statement: the old default goes first, because it need not
-- be a value of the new type.
local function type_and_default(op, ctx, actions)
  local set, name = op.set, quote(op.name)
  local changes_type = set.type ~= nil or set.collation ~= nil
  if set.default ~= nil and (is_none(set.default) or changes_type) then
    actions[#actions + 1] = ("ALTER COLUMN %s DROP DEFAULT"):format(name)
  end
  if changes_type then actions[#actions + 1] = type_action(op, ctx) end
  if has(set.default) then
    actions[#actions + 1] = ("ALTER COLUMN %s SET DEFAULT %s"):format(name,
      types.default { default = set.default, at = op.at })
  end
end

-- NOT NULL needs no scan under a strong lock when a valid check says the same.
local function set_not_null(op, ctx)
  local name = quote(op.name)
  local set = ("ALTER COLUMN %s SET NOT NULL"):format(name)
  if not step.is_online(op, ctx) then
    return { step.new(op, step.alter(op, set), { slow = true }) }
  end
  local check = quote(types.limit("perigee_not_null_" .. op.name))
  return {
    step.new(op, step.alter(op, ("ADD CONSTRAINT %s CHECK (%s IS NOT NULL) NOT VALID")
      :format(check, name))),
    step.new(op, step.alter(op, "VALIDATE CONSTRAINT " .. check), { own = true, slow = true }),
    -- in one statement the check would be gone before it is looked for
    step.new(op, step.alter(op, set), { own = true }),
    step.new(op, step.alter(op, "DROP CONSTRAINT " .. check)),
  }
end

local RAISE = "SELECT pg_catalog.setval(pg_catalog.pg_get_serial_sequence(%s, %s), m.next, "
  .. "false)\nFROM (SELECT pg_catalog.max(%s) + 1 AS next FROM %s) m WHERE m.next > %s"

-- The numbers of a new identity go on after those that are there.
local function raise_sequence(op, o)
  return step.new(op, RAISE:format(step.reference(op.schema, op.table), types.literal(op.name),
    quote(op.name), qualified(op.schema, op.table), types.literal(o.start or 1)),
    { slow = true })
end

local RESET = {
  { "increment", "SET INCREMENT BY 1" }, { "min", "SET NO MINVALUE" },
  { "max", "SET NO MAXVALUE" }, { "start", "SET START WITH 1" }, { "cache", "SET CACHE 1" },
  { "cycle", "SET NO CYCLE" },
}

local SET = {
  { "increment", "SET INCREMENT BY %s" }, { "min", "SET MINVALUE %s" },
  { "max", "SET MAXVALUE %s" }, { "start", "SET START WITH %s" }, { "cache", "SET CACHE %s" },
}

local function number(v) return type(v) == "number" and types.literal(v) or tostring(v) end

local function as_identity(v)
  return type(v) == "table" and v or { always = v == "always" }
end

local function change_identity(was, o)
  local out = { "SET GENERATED " .. (o.always and "ALWAYS" or "BY DEFAULT") }
  for _, pair in ipairs(RESET) do
    if was[pair[1]] and o[pair[1]] == nil then out[#out + 1] = pair[2] end
  end
  for _, pair in ipairs(SET) do
    if o[pair[1]] ~= nil then out[#out + 1] = pair[2]:format(number(o[pair[1]])) end
  end
  if o.cycle then out[#out + 1] = "SET CYCLE" end
  return table.concat(out, " ")
end

local function identity_steps(op)
  local was, name = op.was and op.was.identity, quote(op.name)
  if not has(op.set.identity) then
    return { step.new(op, step.alter(op, ("ALTER COLUMN %s DROP IDENTITY"):format(name))) }
  end
  local o = as_identity(op.set.identity)
  if has(was) then
    return { step.new(op, step.alter(op, ("ALTER COLUMN %s %s"):format(name,
      change_identity(as_identity(was), o)))) }
  end
  return {
    step.new(op, step.alter(op, ("ALTER COLUMN %s ADD %s"):format(name, types.identity(o)))),
    raise_sequence(op, o),
  }
end

-- An expression is dropped and the values stay; a new one needs the server's help.
local function generated_steps(op)
  local g = op.set.generated
  if has(g) then return { regenerate.step(op) } end
  return { step.new(op, step.alter(op, ("ALTER COLUMN %s DROP EXPRESSION"):format(
    quote(op.name)))) }
end

local function add_all(out, list)
  for _, s in ipairs(list) do out[#out + 1] = s end
end

--- Changes a column: type, collation, default, null, identity, generated, comment.
function M.alter_column(op, ctx)
  local set, out, actions = op.set, {}, {}
  if set.identity ~= nil and not has(set.identity) then add_all(out, identity_steps(op)) end
  if set.generated ~= nil then add_all(out, generated_steps(op)) end
  local regenerated = has(set.generated)
  if not regenerated then type_and_default(op, ctx, actions) end
  if set.null == true then
    actions[#actions + 1] = ("ALTER COLUMN %s DROP NOT NULL"):format(quote(op.name))
  end
  if #actions > 0 then
    out[#out + 1] = step.new(op, step.alter(op, table.concat(actions, ", ")),
      { slow = set.type ~= nil or nil })
  end
  if set.null == false then add_all(out, set_not_null(op, ctx)) end
  if has(set.identity) then add_all(out, identity_steps(op)) end
  if set.comment ~= nil then
    out[#out + 1] = comment(op, op.name, has(set.comment) and set.comment or nil)
  end
  return out
end

return M
