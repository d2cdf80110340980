--- The verbs that only look: status, ready, current, heads, history and show.
local journal = require "perigee.migrate.journal"
local ops = require "perigee.schema.ops"
local problem = require "perigee.migrate.problem"
local state = require "perigee.migrate.state"
local util = require "perigee.util"

local M = {}

local function read(m)
  local g = m:graph()
  return g, state.read(m.journal, m.db, g)
end

--- The name of a table or view that is not the journal's, or nil.
function M.foreign_table(m, x)
  local tree = m.dialect.inspect(x, m.inspect_options)
  for _, list in ipairs { tree.tables, tree.views } do
    for _, t in ipairs(list) do
      if not journal.owns(t.name) then return t.name end
    end
  end
  return nil
end

-- What is wrong first, then what is to be done.
local function word(m, g, s, out)
  if #s.unknown > 0 then return "unknown_revision" end
  if #s.partly > 0 or #s.changed > 0 then return "changed" end
  if out.failed then return out.failed.state == "failed" and "failed" or "running" end
  if #out.heads > 1 then return "several_heads" end
  if #g.list == 0 then return "no_migrations" end
  if #s.rows == 0 then return M.foreign_table(m, m.db) and "unversioned" or "empty" end
  return #out.pending > 0 and "pending" or "up_to_date"
end

--- Where the database is.
-- @treturn table state ("up_to_date", "pending", "empty", "unversioned",
-- "several_heads", "unknown_revision", "changed", "failed", "running" or
-- "no_migrations"), current and heads (ids), pending and finish (summaries; finish: of
-- which the finish phase is due), failed (summary of the unfinished one, or nil),
-- unknown (ids), unknown_names (of their files), partly (summaries: squashed files of which
-- the database has only a part), changed and edited (summaries: operations, only bytes)
function M.status(m, opts)
  util.check_options("status", opts, {})
  local g, s = read(m)
  state.check_states(s)
  local out = {
    current = g:heads(s.applied), heads = g:heads(),
    unknown = s.unknown, unknown_names = {},
    changed = s.changed, edited = s.edited,
    pending = state.summaries(g, s, g:pending(s.applied, g:heads())),
    finish = state.summaries(g, s, state.due(g, s)),
  }
  for i, id in ipairs(s.unknown) do out.unknown_names[i] = s.by_id[id].name end
  for _, row in ipairs(s.open) do
    local one = g.by_id[row.id] or { id = row.id, name = row.name, message = row.message }
    out.failed = out.failed or state.summary(one, row)
  end
  local partly = {}
  for i, one in ipairs(s.partly) do partly[i] = one.id end
  out.partly = state.summaries(g, s, partly)
  out.state = word(m, g, s, out)
  return out
end

local REASONS = {
  pending = "%s pending",
  empty = "the database is empty",
  unversioned = "the database has tables but no history of migrations",
  several_heads = "there are several heads: %s",
  unknown_revision = "the database is ahead of this code: %s",
  changed = "a migration was changed after it was applied",
  failed = "a migration has failed",
  running = "a migration is running, or its runner has died",
}

--- Is the database what this code needs? For health checks.
-- @treturn boolean
-- @treturn ?string why not
function M.ready(m)
  local s = M.status(m)
  local reason = REASONS[s.state]
  if not reason then return true end
  if s.state == "pending" then return false, reason:format(problem.count(#s.pending)) end
  local list = s.state == "several_heads" and s.heads or s.unknown
  return false, (reason:gsub("%%s", function() return table.concat(list, ", ") end))
end

--- The migrations that the database is at.
-- @treturn {summary,...}
function M.current(m)
  local g, s = read(m)
  return state.summaries(g, s, g:heads(s.applied))
end

--- The migrations that nothing comes after.
-- @treturn {summary,...}
function M.heads(m)
  local g, s = read(m)
  return state.summaries(g, s, g:heads())
end

--- All migrations, newest first. Each summary has `graph`, its line of the drawn graph
-- ("* |"), and `before`, the lines above it that only connect.
-- @tparam[opt] string range "a:b": after a up to b
-- @treturn {summary,...}
function M.history(m, range)
  local g, s = read(m)
  local set
  if range ~= nil then
    set = {}
    for _, id in ipairs(g:between(g:range(range, s.applied))) do set[id] = true end
  end
  local list, before = { rows = g:draw(set) }, {}
  for _, row in ipairs(list.rows) do
    if row.id then
      local one = state.summary(row.migration, s.by_id[row.id])
      one.graph, one.before = row.graph, before
      list[#list + 1] = one
      before = {}
    else
      before[#before + 1] = row.graph
    end
  end
  return list
end

local function described(list)
  if not list then return list end
  local out = {}
  for i, op in ipairs(list) do out[i] = ops.describe(op) end
  return out
end

--- One migration: its summary with what up, finish and down do (lists of texts).
-- @tparam string revision
function M.show(m, revision)
  local g, s = read(m)
  local list = {}
  for i, id in ipairs(g:resolve(revision, s.applied)) do
    local one = g.by_id[id]
    local out = state.summary(one, s.by_id[id])
    out.up, out.finish = described(one.up), described(one.finish)
    out.down = described(one.down)
    out.change, out.replaces = one.change or nil, one.replaces
    list[i] = out
  end
  if #list == 0 then util.usage("show: %s is no migration", revision) end
  return list[1], list
end

return M
