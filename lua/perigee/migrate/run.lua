--- The verbs that run migrations: upgrade, finish and downgrade.
local apply = require "perigee.migrate.apply"
local core = require "perigee.core"
local ops = require "perigee.schema.ops"
local problem = require "perigee.migrate.problem"
local session = require "perigee.migrate.session"
local state = require "perigee.migrate.state"
local util = require "perigee.util"

local usage, now = util.usage, core.now
local M = {}

-- ---- one phase of one migration --------------------------------------------

local function run_phase(run, m, phase, list, o)
  local event = {
    type = "migration", phase = phase, id = m.id, name = m.name, message = m.message,
    n = o.n, total = o.total,
  }
  run.emit(event)
  local began = now()
  if not apply.phase(run, m, phase, list, o) then return false end
  run.emit {
    type = "done", phase = phase, id = m.id, name = m.name, elapsed = now() - began,
    state = phase == "up" and "applied" or phase == "finish" and "finished" or "reverted",
    finish_pending = phase == "up" and state.has_finish(m),
  }
  return true
end

-- Runs a phase of each id; gives the ids that this run has done.
function M.run_all(run, g, ids, phase, list_of, o)
  local done = {}
  for i, id in ipairs(ids) do
    local m = g.by_id[id]
    local options = { n = i, total = #ids, redo = o.redo, skip = o.skip }
    if i > 1 then options.redo, options.skip = nil, nil end
    if run_phase(run, m, phase, list_of(m), options) then done[#done + 1] = id end
  end
  return done
end

function M.up_of(m) return m.up or {} end
function M.finish_of(m) return m.finish or {} end

local up_of, finish_of = M.up_of, M.finish_of

-- ---- checks ----------------------------------------------------------------

local function gate(m, g, ids, phase, allow)
  local list, allowed = {}, {}
  for i, id in ipairs(ids) do list[i] = g.by_id[id] end
  if #list == 0 then return end
  for _, from in ipairs { m.options.allow or {}, allow or {} } do
    for k, v in pairs(from) do allowed[k] = v end
  end
  local found = require "perigee.migrate.lint".gate(list, {
    dialect = m.dialect, allow = allowed, phase = phase,
  })
  if #found == 0 then return end
  local lines = {}
  for i, f in ipairs(found) do
    lines[i] = ("%s:%s: %s (%s)"):format(f.path or "?", tostring(f.line or "?"), f.message, f.rule)
  end
  error(problem.new(problem.REFUSED, table.concat(lines, "; ")
    .. "; say m:allow(rule, reason) before the operation", { findings = found }), 0)
end

local function tell_edited(m, s)
  for _, e in ipairs(s.edited) do
    m.emit { type = "edited", id = e.id, name = e.name, path = e.path }
  end
end

-- ---- squashed migrations ---------------------------------------------------

local function adopt_squashed(run, s)
  for _, m in ipairs(s.squashed) do
    session.transaction(run, function(tx)
      run.journal:set_sums(tx, m, "squashed")
      for _, id in ipairs(m.replaces) do
        if id ~= m.id then run.journal:delete(tx, id) end
      end
    end)
  end
end

-- ---- upgrade ---------------------------------------------------------------

local function upgrade_ids(g, s, target)
  local count = type(target) == "string" and target:match "^%+(%d+)$"
  if not count then
    local text = target or "head"
    return g:pending(s.applied, g:resolve(text, s.applied))
  end
  local head = g:head()
  local ids = g:pending(s.applied, { head })
  if #ids < tonumber(count) then
    usage("+%s: only %s pending", count, problem.count(#ids))
  end
  for i = #ids, tonumber(count) + 1, -1 do ids[i] = nil end
  return ids
end

-- Unfinished phases first, then what is pending.
local function upgrade_plan(m, g, s, target, o)
  state.check(s)
  state.check_open(s, { up = true, finish = true })
  local set, finish = {}, {}
  for _, id in ipairs(upgrade_ids(g, s, target)) do set[id] = true end
  for _, row in ipairs(s.open) do
    if row.phase == "up" then set[row.id] = true else finish[row.id] = true end
  end
  local ids = g:ordered(set)
  if not o.out_of_order then state.check_order(g, s, ids) end
  gate(m, g, ids, "up", o.allow)
  if o.finish then -- all that will be due then
    for _, id in ipairs(state.due(g, s)) do set[id] = true end
    gate(m, g, g:ordered(set), "finish", o.allow)
  end
  return { ids = ids, finish = g:ordered(finish) }
end

local function nothing_to_do(p, s, o, g)
  return #p.ids == 0 and #p.finish == 0 and #s.squashed == 0
    and not (o.finish and #state.due(g, s) > 0)
end

local function append(list, more)
  for _, v in ipairs(more) do list[#list + 1] = v end
end

-- What is due, then each migration with its own finish phase, in the order in which the
-- files were written for each other.
local function run_whole(run, g, ids, finished, o)
  local done, due = {}, state.due(g, state.read(run.journal, run.conn, g))
  append(finished, M.run_all(run, g, due, "finish", finish_of, {}))
  for i, id in ipairs(ids) do
    append(done, M.run_all(run, g, { id }, "up", up_of, i == 1 and o or {}))
    if state.has_finish(g.by_id[id]) then
      append(finished, M.run_all(run, g, { id }, "finish", finish_of, {}))
    end
  end
  return done
end

-- Inside the lock: what was planned without it is planned again.
function M.upgrade_locked(run, m, g, target, o)
  session.create_journal(run)
  local s = state.read(run.journal, run.conn, g)
  local p = upgrade_plan(m, g, s, target, o)
  adopt_squashed(run, s)
  local finished = M.run_all(run, g, p.finish, "finish", finish_of, o)
  local first = #p.finish > 0 and {} or o
  local done
  if o.finish then
    done = run_whole(run, g, p.ids, finished, first)
  else
    done = M.run_all(run, g, p.ids, "up", up_of, first)
  end
  s = state.read(run.journal, run.conn, g)
  return {
    applied = state.summaries(g, s, done), finish = state.summaries(g, s, state.due(g, s)),
    finished = state.summaries(g, s, finished),
  }
end

local UPGRADE = { "allow", "finish", "dry_run", "out_of_order", "redo", "skip" }

--- Applies what is pending, parents first. Without anything to do no lock is taken.
-- What an earlier run left unfinished is finished first.
-- @tparam[opt="head"] string target a revision, "+n" or "heads"
-- @tparam[opt] table opts finish (boolean: run finish phases that are due too), allow
-- ({ [rule] = reason }), dry_run (boolean: only say what is pending), out_of_order
-- (boolean: also what comes before something applied), redo, skip (as for resume)
-- @treturn table { applied = {summary,…}, finish = {summary,…} whose finish is due,
-- finished = {summary,…} whose finish phase was run }
-- @raise migration: exit 3, 4, 5, 6 or 7
function M.upgrade(m, target, opts)
  local o = util.check_options("upgrade", opts, UPGRADE)
  local g = m:graph()
  local s = state.read(m.journal, m.db, g)
  local p = upgrade_plan(m, g, s, target, o)
  tell_edited(m, s)
  if o.dry_run or nothing_to_do(p, s, o, g) then
    return {
      applied = o.dry_run and state.summaries(g, s, p.ids) or {},
      finish = state.summaries(g, s, state.due(g, s)), finished = {},
    }
  end
  return session.with(m, "upgrade", function(run)
    return M.upgrade_locked(run, m, g, target, o)
  end)
end

-- ---- finish ----------------------------------------------------------------

local function due_ids(g, s, target)
  local due = state.due(g, s)
  if not target then return due end
  local wanted, ids = g:ancestors(g:resolve(target, s.applied)), {}
  for _, id in ipairs(due) do
    if wanted[id] then ids[#ids + 1] = id end
  end
  return ids
end

--- Runs the finish phases that are due.
-- @tparam[opt] string target only up to this revision
-- @tparam[opt] table opts allow, redo, skip
-- @treturn table { finished = {summary,…} }
function M.finish(m, target, opts)
  local o = util.check_options("finish", opts, { "allow", "redo", "skip" })
  local g = m:graph()
  local s = state.read(m.journal, m.db, g)
  state.check(s)
  if #due_ids(g, s, target) == 0 then return { finished = {} } end
  return session.with(m, "finish", function(run)
    s = state.read(run.journal, run.conn, g)
    state.check(s)
    state.check_open(s, { finish = true })
    local ids = due_ids(g, s, target)
    gate(m, g, ids, "finish", o.allow)
    local done = M.run_all(run, g, ids, "finish", finish_of, o)
    s = state.read(run.journal, run.conn, g)
    return { finished = state.summaries(g, s, done) }
  end)
end

-- ---- downgrade -------------------------------------------------------------

-- Why there are none, or nil.
local function no_way_back(m)
  if m.down == false then return "it says that it cannot be taken back (down = false)" end
  if m.down or m.change or #(m.up or {}) == 0 then return nil end
  return "it has no down"
end

local function inverse(m, list, what)
  local back, why = ops.inverse_all(list)
  if back then return back end
  problem.raise(problem.REFUSED, "%s: %s cannot be taken back: %s", m.path or m.name, what,
    tostring(why))
end

--- The operations that take a migration back.
-- @tparam table m migration
-- @tparam[opt] table row its row: when it is finished, its finish phase goes first
-- @raise migration (exit 3) when there are none
function M.down_of(m, row)
  local list = {}
  local why = no_way_back(m)
  if why then problem.raise(problem.REFUSED, "%s: %s", m.path or m.name, why) end
  if state.was_finished(m, row) then list = inverse(m, m.finish, "its finish phase") end
  for _, op in ipairs(m.down or inverse(m, m.up or {}, "it")) do list[#list + 1] = op end
  return list
end

local function last_ids(g, s, count)
  local set, ids = {}, {}
  for id in pairs(s.applied) do set[id] = true end
  for _ = 1, count do
    local heads = g:heads(set)
    if #heads > 1 then
      problem.raise(problem.DECISION, "there are %d last migrations: %s; name the one to go "
        .. "back to", #heads, table.concat(heads, ", "))
    end
    local id = heads[1]
    if not id then usage("-%d: only %s applied", count, problem.count(#ids)) end
    ids[#ids + 1] = id
    set[id] = nil
  end
  return ids
end

-- Ids to take back, children first.
local function downgrade_ids(g, s, target)
  local count = target:match "^%-(%d+)$"
  if count then return last_ids(g, s, tonumber(count)) end
  local set
  if target == "base" then
    set = s.applied
  else
    local ids = g:resolve(target, s.applied)
    for _, id in ipairs(ids) do
      if not s.applied[id] then usage("%s is not applied", id) end
    end
    local kept = g:ancestors(ids)
    set = {}
    for id in pairs(g:descendants(ids)) do
      if s.applied[id] and not kept[id] then set[id] = true end
    end
  end
  local ids = g:ordered(set)
  for i = 1, math.floor(#ids / 2) do ids[i], ids[#ids + 1 - i] = ids[#ids + 1 - i], ids[i] end
  return ids
end

-- With an unfinished downgrade, that one is first.
local function with_open(s, ids)
  for _, row in ipairs(s.open) do
    if row.phase == "down" and ids[1] ~= row.id then table.insert(ids, 1, row.id) end
  end
  return ids
end

--- Takes migrations back, children first, by their `down` or the inverse of `change`.
-- @tparam[opt="-1"] string target the revision that stays the last applied, "base" or
-- "-n"
-- @tparam[opt] table opts dry_run, redo, skip
-- @treturn table { reverted = {summary,…} }
-- @raise migration (exit 3) when one cannot be taken back: then nothing is done
function M.downgrade(m, target, opts)
  local o = util.check_options("downgrade", opts, { "dry_run", "redo", "skip" })
  local g, to = m:graph(), target or "-1"
  if type(to) ~= "string" then usage("downgrade: a revision is a string, not %s", type(to)) end
  local function plan(s)
    state.check(s)
    state.check_open(s, { down = true })
    local ids = with_open(s, downgrade_ids(g, s, to))
    for _, id in ipairs(ids) do M.down_of(g.by_id[id], s.by_id[id]) end
    return ids
  end
  local s = state.read(m.journal, m.db, g)
  local ids = plan(s)
  if o.dry_run or #ids == 0 then return { reverted = state.summaries(g, s, ids) } end
  return session.with(m, "downgrade", function(run)
    s = state.read(run.journal, run.conn, g)
    ids = plan(s)
    local done = M.run_all(run, g, ids, "down", function(one)
      return M.down_of(one, s.by_id[one.id])
    end, o)
    return { reverted = state.summaries(g, { by_id = {} }, done) }
  end)
end

return M
