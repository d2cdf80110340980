--- The verbs that compare: check and diff (database and definitions), drift (database
-- and its migrations), lint.
local core = require "perigee.core"
local ops = require "perigee.schema.ops"
local replay = require "perigee.migrate.replay"
local state = require "perigee.migrate.state"
local util = require "perigee.util"

local M = {}

local function compare()
  return require "perigee.schema.compare"
end

local function key(schema, name)
  return schema and schema .. "." .. name or name
end

-- Tables that the migrations have created: those may be dropped again.
local function created(g, s)
  local set = {}
  for _, m in ipairs(g.list) do
    for _, list in ipairs(s.applied[m.id] and { m.up or {}, m.finish or {} } or {}) do
      for _, op in ipairs(list) do
        if op.op == "create_table" then
          set[key(op.table.schema, op.table.name)] = true
        elseif op.op == "rename_table" then
          set[key(op.schema, op.to)] = set[key(op.schema, op.name)]
        end
      end
    end
  end
  return set
end

M.OPTIONS = { "rename", "not_rename", "drop", "manage", "phase" }

-- What an operation drops, as the comparison names it, or nil.
local function dropped(op)
  if op.op == "drop_table" then return key(op.schema, op.name) end
  return op.op == "drop_column" and key(op.schema, op.table) .. "." .. op.name or nil
end

-- Names for what an operation does; one that alters a column has one for each property.
local function names_of(op)
  if op.op ~= "alter_column" then return { ops.describe(op) } end
  local list = {}
  for k in pairs(op.set) do
    list[#list + 1] = ("alter %s.%s: %s"):format(key(op.schema, op.table), op.name, k)
  end
  return list
end

-- What finish phases that are due will do: { drops = set of labels, names = set }.
local function due_of(g, s)
  local due = { drops = {}, names = {} }
  for _, id in ipairs(state.due(g, s)) do
    for _, op in ipairs(g.by_id[id].finish) do
      if dropped(op) then due.drops[dropped(op)] = true end
      for _, name in ipairs(names_of(op)) do due.names[name] = true end
    end
  end
  return due
end

local function is_due(due, op)
  if due.drops[dropped(op) or false] then return true end
  for _, name in ipairs(names_of(op)) do
    if not due.names[name] then return false end
  end
  return true
end

--- Compares the database with the definitions, with options of the comparison. What a
-- finish phase that is due will do is no difference; `all` has those changes too.
function M.against(m, g, s, o)
  local options, due = {
    include = m.inspect_options.include, schemas = m.options.schemas,
    manage = o.manage or m.options.manage or created(g, s), drop = {},
  }, due_of(g, s)
  for _, k in ipairs { "rename", "not_rename", "phase", "baseline" } do options[k] = o[k] end
  for _, label in ipairs(o.drop or {}) do table.insert(options.drop, label) end
  for label in pairs(due.drops) do table.insert(options.drop, label) end
  local found = compare().against(m.db, m:wanted(), options)
  found.all, found.changes = found.changes, {}
  for _, op in ipairs(found.all) do
    if not is_due(due, op) then table.insert(found.changes, op) end
  end
  return found
end

--- What would have to change for the database to be as the definitions say.
-- @tparam[opt] table opts rename ({"customers.mail=email"}), not_rename
-- ({"orders.shipped_at"}), drop ({"orders.shipped_at"}), manage ("all": tables that are
-- not in the definitions count), phase ("up": drops are not put off)
-- @treturn table { changes, decisions, notes, problems }
function M.diff(m, opts)
  local o = util.check_options("diff", opts, M.OPTIONS)
  local g = m:graph()
  return M.against(m, g, state.read(m.journal, m.db, g), o)
end

--- diff, and what is pending: for a test in CI.
-- @treturn table as diff gives it, with pending (summaries), status and in_sync
-- (boolean: no change, no decision, nothing pending)
function M.check(m, opts)
  local out = M.diff(m, opts)
  local status = require "perigee.migrate.status".status(m)
  out.pending, out.status = status.pending, status.state
  out.in_sync = #out.changes == 0 and #(out.decisions or {}) == 0
    and #(out.problems or {}) == 0 and #out.pending == 0
  return out
end

--- Compares the database with what its applied migrations make on scratch.
-- @tparam[opt] table opts manage ("all")
-- @treturn table { changes, notes }: what would have to change for the database to be
-- as the migrations made it
function M.drift(m, opts)
  local o = util.check_options("drift", opts, { "manage" })
  local g = m:graph()
  local s = state.read(m.journal, m.db, g)
  state.check(s)
  local ids = g:ordered(s.applied)
  local wanted = m.dialect.scratch(m.db, function(scratch)
    replay.all(m, scratch, g, ids, function(id)
      local row = s.by_id[id]
      return row.state == "finished" or row.state == "stamped"
    end, { run = false })
    return scratch.tree_of()
  end, { tree = replay.hint(g, ids), schemas = m.options.schemas })
  local live = m.dialect.inspect(m.db, m.inspect_options)
  return compare().trees(m.dialect, live, wanted, {
    include = m.inspect_options.include, phase = "up",
    manage = o.manage or m.options.manage or created(g, s),
  })
end

--- Looks for dangerous changes.
-- @tparam[opt] string range "a:b" or a revision; default: what is pending, or all
-- @tparam[opt] table opts offline (boolean: do not ask the server)
-- @treturn table { findings, errors, warnings }
function M.lint(m, range, opts)
  local o = util.check_options("lint", opts, { "offline", "allow" })
  local g = m:graph()
  local s = o.offline and { applied = {} } or state.read(m.journal, m.db, g)
  local schema = m.options.schema
  if type(schema) == "string" and core.files.kind(schema) ~= "file" then schema = nil end
  local ids = range and g:between(g:range(range, s.applied)) or g:pending(s.applied, g:heads())
  local list = {}
  for i, id in ipairs(ids) do list[i] = g.by_id[id] end
  return require "perigee.migrate.lint".run(list, {
    dialect = m.dialect, x = not o.offline and m.db or nil, allow = o.allow or m.options.allow,
    graph = g, applied = s.applied, changed = s.changed, edited = s.edited,
    online = m.options.online, inspect = m.inspect_options,
    definitions = schema ~= nil and not o.offline and m:wanted().tree or nil,
  })
end

return M
