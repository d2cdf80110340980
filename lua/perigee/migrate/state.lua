--- What the journal and the files say together: what is applied, unfinished, unknown,
-- changed since.
local problem = require "perigee.migrate.problem"

local M = {}

-- Notes of a row.
M.FINISH_PENDING = "finish pending"
M.WAS_FINISHED = "was finished" -- before it began to be taken back

local COMPLETE = { applied = true, finished = true, stamped = true }
local RUNNING = { running = true, failed = true, reverting = true }

--- Is a phase of the row's migration unfinished?
function M.is_open(row)
  return RUNNING[row.state] or false
end

-- The tables of the migration are there, if perhaps not all of its finish phase.
local function is_applied(row)
  return COMPLETE[row.state] or row.phase ~= "up"
end

--- Has the migration a finish phase?
function M.has_finish(m)
  return m.finish ~= nil and #m.finish > 0
end

--- Has the finish phase of the row's migration been run?
function M.was_finished(m, row)
  if not row or not M.has_finish(m) then return false end
  return row.state == "finished" or row.state == "stamped" or row.note == M.WAS_FINISHED
end

-- Compares the sums of a row with those of its file.
local function compare(s, m, row)
  if not COMPLETE[row.state] then return end
  if row.ops_sum ~= m.ops_sum then
    s.changed[#s.changed + 1] = M.summary(m, row)
  elseif row.bytes_sum ~= m.bytes_sum then
    s.edited[#s.edited + 1] = M.summary(m, row)
  end
end

-- Rows of migrations that were squashed into m.
local function old_rows(s, m)
  local rows = {}
  for _, id in ipairs(m.replaces or {}) do
    if s.by_id[id] and id ~= m.id then rows[#rows + 1] = s.by_id[id] end
  end
  return rows
end

local function read_squashed(s, g)
  local known = {}
  for _, m in ipairs(g.list) do
    local old = old_rows(s, m)
    for _, row in ipairs(old) do known[row.id] = true end
    if #old > 0 then
      local row = s.by_id[m.id]
      local is_whole = row ~= nil and COMPLETE[row.state] and #old == #m.replaces
      for _, r in ipairs(old) do
        is_whole = is_whole and COMPLETE[r.state] and r.note ~= M.FINISH_PENDING
      end
      local list = is_whole and s.squashed or s.partly
      list[#list + 1] = m
    end
  end
  return known
end


--- Reads the journal.
-- @tparam table journal
-- @tparam perigee.exec x
-- @tparam table g graph
-- @treturn table exists (is there a journal), rows, by_id, applied (set of ids that
-- have files), open (rows of unfinished phases), unknown (ids), changed and edited
-- (summaries), squashed (migrations whose old rows are to be replaced), partly (those
-- of which only a part is there)
function M.read(journal, x, g)
  local s = {
    by_id = {}, applied = {}, open = {}, unknown = {}, changed = {}, edited = {},
    squashed = {}, partly = {},
  }
  s.rows, s.exists = journal:read(x)
  for _, row in ipairs(s.rows) do s.by_id[row.id] = row end
  local replaced = read_squashed(s, g)
  local is_adopted = {}
  for _, m in ipairs(s.squashed) do is_adopted[m.id] = true end
  for _, row in ipairs(s.rows) do
    local m = g.by_id[row.id]
    if M.is_open(row) then s.open[#s.open + 1] = row end
    if m then
      if is_applied(row) then s.applied[row.id] = true end
      if not is_adopted[row.id] then compare(s, m, row) end
    elseif not replaced[row.id] then
      s.unknown[#s.unknown + 1] = row.id
    end
  end
  return s
end

--- A migration as the verbs give it: { id, name, message, after, labels, path, state,
-- has_finish } and of its row step, steps, error, started_at, finished_at, elapsed_ms,
-- by_user, host.
function M.summary(m, row)
  local out = {
    id = m.id, name = m.name, message = m.message, after = m.after or {},
    labels = m.labels or {}, depends = m.depends or {}, path = m.path,
    state = row and row.state or "pending", has_finish = M.has_finish(m),
  }
  for _, k in ipairs {
    "phase", "step", "steps", "error", "started_at", "finished_at", "elapsed_ms", "by_user",
    "host", "note",
  } do
    out[k] = row and row[k]
  end
  return out
end

--- Summaries of ids, in their order.
function M.summaries(g, s, ids)
  local list = {}
  for i, id in ipairs(ids) do list[i] = M.summary(g.by_id[id], s.by_id[id]) end
  return list
end

--- Ids whose finish phase is due, parents first.
function M.due(g, s)
  local set = {}
  for _, row in ipairs(s.rows) do
    local m = g.by_id[row.id]
    local is_due = row.state == "applied" or M.is_open(row) and row.phase == "finish"
    if m and is_due and M.has_finish(m) then set[row.id] = true end
  end
  return g:ordered(set)
end

-- ---- checks ----------------------------------------------------------------

local function names(list)
  local out = {}
  for i, v in ipairs(list) do out[i] = type(v) == "table" and (v.path or v.name or v.id) or v end
  return table.concat(out, ", ")
end

--- Raises (exit 7) when the journal has a state that only another version can have written.
function M.check_states(s)
  for _, row in ipairs(s.rows) do
    if not COMPLETE[row.state] and not RUNNING[row.state] then
      problem.raise(problem.HISTORY, "%s (%s): the journal has it as %q, which this version does "
        .. "not know", row.name, row.id, tostring(row.state))
    end
  end
end

--- Raises (exit 7) when files and database cannot have the same history.
function M.check(s)
  M.check_states(s)
  if #s.unknown > 0 then
    error(problem.new(problem.HISTORY, ("the database has migrations that are not among the "
      .. "files: %s; it is ahead of this code, or a file is missing"):format(names(s.unknown)),
      { unknown = s.unknown }), 0)
  elseif #s.partly > 0 then
    problem.raise(problem.HISTORY, "%s: the database has only a part of what was squashed into "
      .. "it, or a finish phase is pending: upgrade it with the files before the squash first",
      names(s.partly))
  elseif #s.changed > 0 then
    error(problem.new(problem.HISTORY, ("%s: the operations were changed after they were "
      .. "applied; put the file back and write a new migration, or repair with a reason")
      :format(names(s.changed)), { changed = s.changed }), 0)
  end
end

--- Raises (exit 6) when the phase `up` cannot begin since another is unfinished.
-- @tparam table allowed set of phases that may be unfinished
function M.check_open(s, allowed)
  for _, row in ipairs(s.open) do
    if not allowed[row.phase] then
      error(problem.new(problem.FAILED, ("%s (%s): its phase %q is unfinished%s; resume or "
        .. "abandon it first"):format(row.name, row.id, row.phase,
        row.error and " (" .. row.error .. ")" or ""), { migration = row.id }), 0)
    end
  end
end

--- Raises (exit 7) when something pending comes before something that is applied.
function M.check_order(g, s, ids)
  for _, id in ipairs(ids) do
    for other in pairs(g:descendants { id }) do
      if other ~= id and s.applied[other] and not s.by_id[id] then
        problem.raise(problem.HISTORY, "%s is not applied but comes before %s, which is: it was "
          .. "added later; rebase it behind the head, stamp it, or say out_of_order = true",
          id, other)
      end
    end
  end
end

return M
