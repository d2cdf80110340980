--- The verbs that set the journal right: resume, abandon, stamp and sync.
local problem = require "perigee.migrate.problem"
local running = require "perigee.migrate.run"
local session = require "perigee.migrate.session"
local state = require "perigee.migrate.state"
local util = require "perigee.util"

local usage = util.usage
local M = {}

-- ---- after a failure -------------------------------------------------------

local LISTS = { up = running.up_of, finish = running.finish_of, down = running.down_of }

--- Goes on with what is unfinished, at the step where it ended.
-- @tparam[opt] table opts redo = true: run the step again of which it is not known
-- whether it was done; skip = true: it was done
-- @treturn table { resumed = {summary,…} }
function M.resume(m, opts)
  local o = util.check_options("resume", opts, { "redo", "skip" })
  if o.redo and o.skip then usage("resume: redo or skip, not both") end
  local g = m:graph()
  return session.with(m, "resume", function(run)
    if not run.journal:exists(run.conn) then return { resumed = {} } end
    local s = state.read(run.journal, run.conn, g)
    state.check(s)
    local done = {}
    for _, row in ipairs(s.open) do
      local list = running.run_all(run, g, { row.id }, row.phase, function(one)
        return LISTS[row.phase](one, row)
      end, o)
      done[#done + 1] = list[1]
    end
    s = state.read(run.journal, run.conn, g)
    return { resumed = state.summaries(g, s, done) }
  end)
end

--- Gives up what is unfinished: the journal says again what it said before the phase
-- began. What its steps have done is left for the operator.
-- @treturn table { abandoned = {summary,…} }
function M.abandon(m, opts)
  util.check_options("abandon", opts, {})
  local g = m:graph()
  return session.with(m, "abandon", function(run)
    local list = {}
    local s = state.read(run.journal, run.conn, g)
    for _, row in ipairs(s.open) do
      list[#list + 1] = g.by_id[row.id] and state.summary(g.by_id[row.id], row) or row
      session.transaction(run, function(tx)
        if row.phase == "up" then return run.journal:delete(tx, row.id) end
        run.journal:delete_steps(tx, row.id, row.phase)
        local is_finished = row.phase == "down" and row.note == state.WAS_FINISHED
        local before = is_finished and "finished" or "applied"
        run.journal:set_state(tx, row.id, before, before == "finished" and "finish" or "up")
      end)
    end
    return { abandoned = list }
  end)
end

-- ---- stamp -----------------------------------------------------------------

local function stamp_rows(run, g, s, targets)
  local set, done = g:ancestors(targets), {}
  session.transaction(run, function(tx)
    for _, row in ipairs(s.rows) do
      if not set[row.id] or state.is_open(row) then run.journal:delete(tx, row.id) end
      if state.is_open(row) then s.by_id[row.id] = nil end
    end
    for _, id in ipairs(g:ordered(set)) do
      if not s.by_id[id] then
        local one = g.by_id[id]
        local o = { done = true, steps = 0 }
        for k, v in pairs(run.who) do o[k] = v end
        run.journal:insert(tx, one, "stamped", "up", o)
        done[#done + 1] = id
      end
    end
  end)
  return done
end

--- Says that the database is at a revision, without running anything: what comes
-- before it counts as applied, everything else as not.
-- @tparam string revision one, "heads" or "base"
-- @tparam[opt] table opts purge = true: forget everything that the journal says first,
-- also of migrations that are not known
-- @treturn {string,...} the ids that were stamped
function M.stamp(m, revision, opts)
  local o = util.check_options("stamp", opts, { "purge" })
  if type(revision) ~= "string" then usage("stamp: a revision is expected") end
  local g = m:graph()
  return session.with(m, "stamp", function(run)
    session.create_journal(run)
    local s = state.read(run.journal, run.conn, g)
    local targets = g:resolve(revision, s.applied)
    if o.purge then
      run.journal:purge(run.conn)
      s = state.read(run.journal, run.conn, g)
    end
    if #s.unknown > 0 then state.check(s) end
    return stamp_rows(run, g, s, targets)
  end)
end

-- ---- sync ------------------------------------------------------------------

local function refuse_unversioned(name)
  problem.raise(problem.HISTORY, "the database has tables (%s) but no history of migrations: "
    .. "say where it is with stamp, or adopt it", name)
end

local function create_tables(run, m, x)
  run.journal:create(x)
  for _, step in ipairs(run.dialect.create_tree(m:wanted().tree, {
    online = false, fresh = {}, default_schema = m.options.default_schema,
  })) do
    run.emit { type = "start", mode = "tx", what = step.what, sql = step.sql }
    x:script(step.sql, { timeout = math.huge })
  end
end

-- An empty database: from the definitions, and everything counts as applied.
local function create(run, m, g)
  local in_one = run.dialect.features.transactional_ddl
  if not in_one then create_tables(run, m, run.conn) end
  return session.transaction(run, function(tx)
    if in_one then
      if run.journal:exists(tx) then return false end -- SQLite: another was quicker
      create_tables(run, m, tx)
    end
    for _, one in ipairs(g.list) do
      local o = { done = true, steps = 0 }
      for k, v in pairs(run.who) do o[k] = v end
      run.journal:insert(tx, one, "stamped", "up", o)
    end
    return true
  end)
end

local function is_versioned(s, g)
  return s.exists and (#s.rows > 0 or #g.list == 0)
end

-- Is the database new? One with tables and without a history is refused. Where the
-- transaction is the lock (SQLite), the history may have come after the first look.
local function is_new(run, g)
  local function look()
    local s = state.read(run.journal, run.conn, g)
    state.check(s)
    return s
  end
  if is_versioned(look(), g) then return false end
  local name = require "perigee.migrate.status".foreign_table(run.m, run.conn)
  if name and not is_versioned(look(), g) then refuse_unversioned(name) end
  return not name
end

local function sync_locked(run, m, g)
  local new = is_new(run, g)
  if new and m:has_wanted() and not run.journal:exists(run.conn) then
    return create(run, m, g) and "created" or "up_to_date", { applied = {}, finish = {} }
  end
  local applied = state.read(run.journal, run.conn, g).applied
  local first = g:pending(applied, g:heads())[1]
  local result = running.upgrade_locked(run, m, g, g:head() and "head" or "base", {})
  -- one of many runners is who has done it: the one that began
  local is_mine = not first or result.applied[1] and result.applied[1].id == first
  if not is_mine then return "up_to_date", result end
  if new and next(applied) == nil then return "created", result end
  return first and "upgraded" or "up_to_date", result
end

--- Creates an empty database, upgrades one that is behind, or does nothing. Many may
-- call it at once: one works, the others wait for it.
-- @treturn string "created", "upgraded" or "up_to_date"
-- @treturn table as upgrade gives it
-- @raise migration: exit 7 for a database with tables and without a history
function M.sync(m, opts)
  util.check_options("sync", opts, {})
  local g = m:graph()
  g:head()
  local s = state.read(m.journal, m.db, g)
  state.check(s)
  local is_done = is_versioned(s, g) and #s.open == 0 and #s.squashed == 0
    and #g:pending(s.applied, g:heads()) == 0
  if is_done then return "up_to_date", { applied = {}, finish = {} } end
  return session.with(m, "sync", function(run) return sync_locked(run, m, g) end)
end

return M
