--- Runs one phase of one migration: its steps in groups, each group with its rows of
-- the journal in one transaction; what cannot be in a transaction by itself, between
-- a row that says "running" and one that says "done".
-- A run is { db, conn, dialect, journal, emit, options, fault, points, who }; a job is
-- one phase in it: { m, phase, row, done (rows of steps by number), committed }.
local core = require "perigee.core"
local backfill = require "perigee.migrate.backfill"
local plan = require "perigee.migrate.plan"
local problem = require "perigee.migrate.problem"
local session = require "perigee.migrate.session"
local state = require "perigee.migrate.state"
local task = require "perigee.task"
local util = require "perigee.util"
local watch = require "perigee.migrate.watch"

local now = core.now
local M = {}

local NEVER = { timeout = math.huge }
local ELSEWHERE = {} -- raised when another runner has done it meanwhile
local RETRIED = { locked = true, deadlock = true }
local LONGEST_PAUSE = 30

local STATES = { up = "running", finish = "running", down = "reverting" }
local RESULTS = { up = "applied", finish = "finished" }

-- ---- boundaries and settings -----------------------------------------------

local function point(run, name)
  if name ~= "after" and name ~= "between" then run.points = run.points + 1 end
  if run.fault then run.fault(name, run.points) end
end

-- Runs fn(…) between two points at which a test may end the process.
local function bounded(run, fn, ...)
  point(run, "before")
  local result = fn(...)
  point(run, "after")
  return result
end

-- One transaction on the run's connection; what is in it ends at a boundary too.
local function transaction(run, fn)
  local result
  session.transaction(run, function(tx)
    result = fn(tx)
    point(run, "before")
  end)
  point(run, "after")
  return result
end

-- What a group has set is undone when it is rolled back, so each begins anew.
local function adjust(run, step, is_first)
  if not run.dialect.adjust then return end
  local o = run.options
  local lock = step.tx == false and not step.lock and 0 or o.lock_timeout
  local statement = (step.slow or step.tx == false) and 0 or o.statement_timeout
  if not is_first and run.limits[1] == lock and run.limits[2] == statement then return end
  run.limits = { lock, statement }
  run.dialect.adjust(run.conn, { lock_timeout = lock, statement_timeout = statement })
end

-- ---- steps -----------------------------------------------------------------

local function backfill_options(run, job, step, in_transaction)
  return {
    dialect = run.dialect, in_transaction = in_transaction,
    from = not in_transaction and job.done[step.n] and job.done[step.n].progress or nil,
    each = function(fn)
      if in_transaction then return fn(in_transaction) end
      M.retry(run, step.what, function() transaction(run, fn) end)
    end,
    progress = function(tx, key)
      if not in_transaction then
        run.journal:progress(tx, job.m.id, job.phase, step, key)
      end
    end,
    told = function(rows, batches)
      run.emit { type = "progress", what = step.what, rows = rows, batches = batches }
    end,
  }
end

-- Does what the step says; the number of its rows where that is known.
local function perform(run, job, step, x, in_transaction)
  if step.mode == "batch" then
    return backfill.run(x, step.backfill, backfill_options(run, job, step, in_transaction))
  elseif step.mode == "run" then
    core.env(x).owner = "the migration"
    step.call(x)
    return nil
  end
  for _, sql in ipairs(step.before or {}) do x:script(sql, NEVER) end
  if step.fn then
    step.fn(x) -- its sql is for reading
  elseif step.sql:find "%S" then
    plan.run_text(step, run.dialect, function(sql) x:script(sql, NEVER) end, function(message)
      run.emit { type = "blocking", what = step.what, message = message }
    end)
  end
  return nil
end

local function perform_told(run, job, step, x, in_transaction)
  job.at = step
  plan.complete(step, x)
  local told = {
    type = "start", id = job.m.id, n = step.n, steps = job.steps, mode = step.mode,
    what = step.what, sql = step.sql,
  }
  run.emit(told)
  local began = now()
  local rows = perform(run, job, step, x, in_transaction)
  told.type, told.elapsed, told.rows, told.sql = "step", now() - began, rows, step.sql
  run.emit(told)
end

local function holds(run, step)
  local v = run.conn:value(step.probe.sql)
  return v == true or v == 1 or v == "t" or v == "1"
end

-- ---- the row of the migration ----------------------------------------------

local function begin_row(run, job, tx)
  if job.begun then return end
  local row = run.journal:row(tx, job.m.id)
  if M.is_over(row, job.phase) then error(ELSEWHERE, 0) end
  local o = { is_there = row ~= nil, steps = job.steps or 0 }
  for k, v in pairs(run.who) do o[k] = v end
  if job.phase == "down" and state.was_finished(job.m, row) then o.note = state.WAS_FINISHED end
  run.journal:begin(tx, job.m, STATES[job.phase], job.phase, o)
end

--- Has the phase been run, as the row (or its absence) says?
function M.is_over(row, phase)
  if phase == "down" then return row == nil end
  if not row then return false end
  if phase == "up" then
    return row.state == "applied" or row.state == "finished" or row.state == "stamped"
      or row.phase ~= "up"
  end
  return row.state == "finished"
end

local function conclude(run, job, tx)
  if job.phase == "down" then return run.journal:delete(tx, job.m.id) end
  run.journal:conclude(tx, job.m.id, RESULTS[job.phase], job.last or 0,
    math.floor((now() - job.began) * 1000 + 0.5),
    job.phase == "up" and state.has_finish(job.m) and state.FINISH_PENDING or nil)
end

-- ---- groups ----------------------------------------------------------------

-- Steps of a group, or of a lazy one, which makes them inside of its transaction.
local function steps_of(run, job, group, tx)
  if not group.list then
    local i = 0
    return function()
      i = i + 1
      return group[i]
    end
  end
  local steps, total = plan.steps(group.list, run.dialect, M.plan_options(run, job, tx))
  return function()
    local step = steps()
    if not step then return nil end
    step.n = step.n + group.first
    job.last = step.n
    job.steps = group.is_last and total() and group.first + total() or nil
    return step
  end
end

local function run_together(run, job, group, is_last)
  if group.list then run.dialect.prepare(run.conn, { ops = group.list }) end
  transaction(run, function(tx)
    begin_row(run, job, tx)
    local sum, is_first = group.list and group.sum, true
    for step in steps_of(run, job, group, tx) do
      local row = job.done[step.n]
      if not (row and row.state == "done") then
        adjust(run, step, is_first)
        is_first = false
        bounded(run, perform_told, run, job, step, tx, tx)
        run.journal:add_step(tx, job.m.id, job.phase, step, true)
        if sum then run.journal:progress(tx, job.m.id, job.phase, step, sum) end
      end
      job.last = step.n
    end
    if is_last then
      conclude(run, job, tx)
    else
      run.journal:count(tx, job.m.id, job.last or 0)
    end
    if group.list and run.dialect.before_commit then run.dialect.before_commit(run.conn, tx) end
  end)
  if group.list then run.dialect.restore(run.conn) end
  job.begun, job.committed = true, true
end

local function ask(job, step)
  problem.raise(problem.FAILED, "%s (%s): it is not known whether step %d (%s) was done before "
    .. "the run ended; look, then: resume with redo = true to run it again, resume with "
    .. "skip = true if it was done, or abandon the migration", job.m.name, job.m.id, step.n,
    step.what)
end

-- A step that had begun when an earlier run ended. True: it was done.
local function was_done(run, job, step, row)
  if job.skip then
    job.skip = nil
    return true
  elseif job.redo or step.mode == "batch" or step.again then
    job.redo = nil
    return false
  elseif step.probe then
    return holds(run, step)
  end
  return row.sql_sum ~= step.sum and problem.raise(problem.HISTORY,
    "%s (%s): step %d (%s) had begun and its text was changed since; resume with redo or skip, "
    .. "or abandon", job.m.name, job.m.id, step.n, step.what) or ask(job, step)
end

local function is_lost(run, err)
  if problem.is_error(err) and err.kind == "closed" then return true end
  local info = run.conn:info()
  return not info.open or not info.leased or info.broken
end

-- Runs it, and sees that it has done what it should.
local function attempt_alone(run, job, step)
  adjust(run, step, true)
  local ok, err = pcall(M.retry, run, step.what, function()
    perform_told(run, job, step, run.conn, nil)
  end)
  if not ok then
    -- a statement that was refused has not been done
    if step.mode == "notx" and not is_lost(run, err) then
      run.journal:delete_step(run.conn, job.m.id, job.phase, step.n)
    end
    error(err, 0)
  end
  if step.probe and step.mode == "notx" and not holds(run, step) then
    error(core.new_error("database", ("it ran, but what it should have done is not there (%s)")
      :format(step.what)), 0)
  end
end

local function run_alone(run, job, group, is_last)
  local step = group[1]
  local row = job.done[step.n]
  local is_done = row and was_done(run, job, step, row)
  if not row then
    transaction(run, function(tx)
      begin_row(run, job, tx)
      run.journal:add_step(tx, job.m.id, job.phase, step, false)
    end)
  elseif not job.begun then
    transaction(run, function(tx) begin_row(run, job, tx) end)
  end
  job.begun, job.committed = true, true
  if not is_done then
    point(run, "before")
    attempt_alone(run, job, step)
    point(run, "between")
  end
  job.last = step.n
  transaction(run, function(tx)
    run.journal:step_done(tx, job.m.id, job.phase, step)
    run.journal:count(tx, job.m.id, step.n)
    if is_last then conclude(run, job, tx) end
  end)
end

-- ---- trying again ----------------------------------------------------------

--- Runs fn() and, when a lock cannot be had or there is a deadlock, again after a
-- pause that grows.
function M.retry(run, what, fn)
  local o = run.options
  local pause, attempt = o.retry_pause, 0
  while true do
    local stop = watch.start(run, what)
    local r = util.pack(pcall(fn))
    stop()
    local err = r[2]
    if r[1] then return util.unpack(r, 2, r.n) end
    local is_retried = problem.is_error(err) and RETRIED[err.kind] and not is_lost(run, err)
    if not is_retried or attempt >= o.retries then error(err, 0) end
    attempt = attempt + 1
    local seconds = pause * (0.5 + math.random())
    run.emit { type = "retry", what = what, attempt = attempt, wait = seconds,
      message = problem.message(err) }
    task.sleep(seconds)
    pause = math.min(pause * 2, LONGEST_PAUSE)
  end
end

-- ---- the plan of a job -----------------------------------------------------

--- What plan.steps needs for a job.
function M.plan_options(run, job, x)
  local partitioned = run.dialect.partitioned
  return {
    partitioned = partitioned and partitioned(x or run.conn) or nil,
    online = run.options.online,
    one_transaction = plan.is_lazy(run.dialect),
    bytes_sum = job.m.bytes_sum,
    default_schema = run.options.default_schema,
    tree = function() return run.dialect.inspect(x or run.conn) end,
    functions = function() return run.functions(job.m, job.phase) end,
  }
end

local function is_alone(op)
  return op.op == "sql" and op.tx == false
end

-- Where a step depends on the steps before: all operations in one transaction, cut
-- where one must be outside.
local function lazy_groups(run, job, list)
  local groups, part = {}, nil
  for _, op in ipairs(list) do
    if is_alone(op) then
      local steps = plan.all({ op }, run.dialect, M.plan_options(run, job))
      for _, step in ipairs(steps) do groups[#groups + 1] = { tx = false, step } end
      part = nil
    else
      if not part then
        part = { tx = true, list = {}, first = 0 }
        groups[#groups + 1] = part
      end
      part.list[#part.list + 1] = op
    end
  end
  return groups
end

local function changed(job, row, what)
  problem.raise(problem.HISTORY, "%s (%s): the history was changed: step %d (%s) has already "
    .. "run and %s; put it back, or abandon the migration", job.m.name, job.m.id, row.n,
    row.what, what)
end

-- A lazy group that has rows is done: it was one transaction. Its rows tell how many
-- steps it had.
local function number_lazy(job, groups)
  local ops = require "perigee.schema.ops"
  local n, kept = 0, {}
  for i, group in ipairs(groups) do
    if not group.list then
      n = n + 1
      group[1].n = n
      local row = job.done[n]
      if row and row.state == "done" then
        if row.sql_sum ~= group[1].sum then changed(job, row, "is another one now") end
        job.last = n
      else
        kept[#kept + 1] = group
      end
    else
      local texts = {}
      for k, op in ipairs(group.list) do texts[k] = ops.canonical(op) end
      group.sum = ("%d:%s"):format(i, core.sha256(table.concat(texts, "\n")))
      group.first = n
      local first = job.done[n + 1]
      if not first then
        kept[#kept + 1] = group
      else
        local mark = first.progress
        if mark ~= group.sum then changed(job, first, "is another one now") end
        while job.done[n + 1] and job.done[n + 1].progress == mark do n = n + 1 end
        job.last = n
      end
    end
  end
  return kept
end

local function check_done(job, steps)
  for n, row in pairs(job.done) do
    local step = steps[n]
    if row.state == "done" and not step then changed(job, row, "is not in the file any more") end
    if row.state == "done" and row.sql_sum ~= step.sum then
      changed(job, row, "is another one now (" .. step.what .. ")")
    end
  end
end

local function is_group_done(job, group)
  for _, step in ipairs(group) do
    local row = job.done[step.n]
    if not row or row.state ~= "done" then return false end
  end
  return #group > 0
end

local function groups_of(run, job, list)
  if plan.is_lazy(run.dialect) then
    return number_lazy(job, lazy_groups(run, job, list))
  end
  local steps = plan.all(list, run.dialect, M.plan_options(run, job))
  check_done(job, steps)
  job.steps = #steps
  local groups = {}
  for _, group in ipairs(plan.groups(steps)) do
    if not is_group_done(job, group) then groups[#groups + 1] = group end
  end
  job.last = #steps > 0 and #groups == 0 and #steps or nil
  return groups
end

-- How many steps a lazy group has is known when it has run, so the next is numbered then.
local function number_next(job, group)
  if group.list then
    group.first = job.last or 0
  else
    group[1].n = (job.last or 0) + 1
  end
end

-- ---- phases ----------------------------------------------------------------

local function run_groups(run, job, list)
  local groups = groups_of(run, job, list)
  if #groups == 0 then
    return transaction(run, function(tx)
      begin_row(run, job, tx)
      conclude(run, job, tx)
    end)
  end
  if job.skip and (groups[1].tx or not job.done[groups[1][1].n]) then
    local step = groups[1][1]
    if step and groups[1].tx == false and job.row then
      run.journal:add_step(run.conn, job.m.id, job.phase, step, false)
      job.done[step.n] = { n = step.n, state = "running", what = step.what, sql_sum = step.sum }
    else
      util.usage("skip: the next step runs in a transaction, which was rolled back: there is "
        .. "nothing of it to skip")
    end
  end
  for i, group in ipairs(groups) do
    local is_last = i == #groups
    group.is_last = is_last
    if plan.is_lazy(run.dialect) then number_next(job, group) end
    if group.tx == false then
      run_alone(run, job, group, is_last)
    else
      local what = group[1] and group[1].what or job.m.name
      M.retry(run, what, function() run_together(run, job, group, is_last) end)
    end
  end
end

local function fail(run, job, err)
  local step, lost = job.at, is_lost(run, err)
  local message = problem.message(err)
  if job.committed and not lost then
    pcall(run.journal.fail, run.journal, run.conn, job.m.id, message)
  end
  local place = step and ("step %d%s, %s: "):format(step.n,
    job.steps and " of " .. job.steps or "", step.what) or ""
  local after
  if lost then
    after = "the connection that holds the lock was lost; run again to go on"
  elseif job.committed then
    after = "what was done before is kept; resume goes on there"
  else
    after = "nothing was changed"
  end
  error(problem.new(problem.FAILED, ("%s (%s): %s%s; %s"):format(job.m.name, job.m.id, place,
    message, after), {
    cause = err, migration = job.m.id, step = step and step.n, steps = job.steps,
    phase = job.phase, resumable = job.committed or false,
  }), 0)
end

--- Runs a phase of a migration from where the journal says that it is.
-- @tparam table run
-- @tparam table m migration
-- @tparam string phase "up", "finish" or "down"
-- @tparam {table,...} list its operations
-- @tparam[opt] table o redo, skip: what to do with a step of which it is not known
-- whether it was done
-- @treturn boolean false when another runner had done it meanwhile
function M.phase(run, m, phase, list, o)
  o = o or {}
  local job = { m = m, phase = phase, began = now(), redo = o.redo, skip = o.skip, done = {} }
  job.row = run.journal:row(run.conn, m.id)
  if job.row and job.row.phase == phase then
    job.done = run.journal:step_rows(run.conn, m.id, phase)
    job.committed = next(job.done) ~= nil
  end
  local ok, err = pcall(run_groups, run, job, list)
  if ok then return true end
  if err == ELSEWHERE then return false end
  if problem.is_error(err) and err.kind == "migration" then error(err, 0) end
  return fail(run, job, err)
end

return M
