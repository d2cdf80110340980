--- Which changes of a table let others write meanwhile, as InnoDB makes them. A statement
-- that has nothing else asks for LOCK = NONE: the server then refuses it where it would
-- keep them waiting after all.
local types = require "perigee.dialect.mysql.types"

local M = {}

local function always() return true end

local ONLINE = {
  drop_column = always, drop_index = always, rename_index = always,
  add_unique = always, drop_unique = always, drop_foreign_key = always, drop_check = always,
  set_primary_key = always, set_comment = always,
}

function ONLINE.add_column(op)
  local c = op.column
  return not c.identity and not (c.generated and c.generated.stored ~= false)
end

function ONLINE.add_index(op) return op.index.method == nil or op.index.method == "btree" end

-- Longer strings and values at the end of an enum.
local function grows(before, after)
  local short, long = before:match "^varchar%((%d+)%)$", after:match "^varchar%((%d+)%)$"
  if short and long then return tonumber(long) >= tonumber(short) end
  return before:find "^enum%(" ~= nil and after:sub(1, #before) == before:sub(1, -2) .. ","
end

function ONLINE.alter_column(op, before)
  local set = op.set
  if set.collation ~= nil or set.generated ~= nil or set.identity ~= nil then return false end
  if not set.type then return true end
  if not before then return false end
  local from, to = types.type { type = before }, types.type { type = set.type }
  from, to = from:gsub("^%u+", string.lower), to:gsub("^%u+", string.lower)
  return from == to or grows(from, to)
end

-- A check that is added looks at all rows.
function ONLINE.rename_column(_, _, clause) return not clause:find "ADD CONSTRAINT" end

function ONLINE.set_options(_, _, clause)
  return not (clause:find "ENGINE = " or clause:find "ROW_FORMAT = " or clause:find "MODIFY ")
end

-- A key is an index; of anything else the name cannot be changed.
function ONLINE.rename_constraint(_, _, clause) return clause:find "^RENAME INDEX" ~= nil end

--- Can others write while it is done?
-- @tparam table op
-- @tparam ?table before the type of its column until then
-- @tparam ?string clause what it is in the statement
function M.is(op, before, clause)
  local check = ONLINE[op.op]
  return check ~= nil and check(op, before, clause)
end

--- What asks for it, as a clause.
M.CLAUSE = "LOCK = NONE"

--- Is the error that the server cannot do it in this way? (1221: MySQL, where the ways do not
-- go together.)
function M.is_refused(err)
  local code = type(err) == "table" and tonumber(err.code)
  return code == 1845 or code == 1846 or code == 1221
end

return M
