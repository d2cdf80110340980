--- sql: migrations as a script to be run by other means, with the statements that keep
-- the journal. The database is not changed; where steps depend on what is there, they are
-- found by running them on scratch.
local apply_states = { up = "running", down = "reverting" }
local backfill = require "perigee.migrate.backfill"
local ops = require "perigee.schema.ops"
local plan = require "perigee.migrate.plan"
local replay = require "perigee.migrate.replay"
local running = require "perigee.migrate.run"
local state = require "perigee.migrate.state"
local util = require "perigee.util"

local usage = util.usage
local M = {}

-- ---- text ------------------------------------------------------------------

local function new_text()
  local lines = {}
  return {
    lines = lines,
    comment = function(...) lines[#lines + 1] = "-- " .. string.format(...):gsub("\n", " ") end,
    sql = function(sql)
      local text = sql:gsub("%s+$", "")
      if text == "" then return end
      if text:sub(-1) ~= ";" then text = text .. ";" end
      lines[#lines + 1] = text
    end,
    blank = function() lines[#lines + 1] = "" end,
  }
end

local function step_sql(out, step, dialect)
  if step.mode == "batch" then return out.sql(backfill.offline(step.backfill, dialect)) end
  for _, sql in ipairs(step.before or {}) do out.sql(sql) end
  out.sql(step.sql or "")
end

local function refuse_functions(one, list)
  for _, op in ipairs(list) do
    if op.op == "run" then
      usage("sql: %s has m:run (%s), which is Lua and cannot be in a script", one.path or one.name,
        ops.describe(op))
    end
  end
end

-- ---- one migration ---------------------------------------------------------

-- A phase as a script: groups of steps in transactions, and the journal's rows.
local function write_phase(w, one, phase, steps, is_known)
  local out, j = w.out, w.m.journal
  local x = j:printer(out.sql)
  local function begin_row()
    j:begin(x, one, apply_states[phase] or "running", phase, {
      steps = #steps, version = w.version, is_there = is_known,
    })
  end
  local function conclude()
    if phase == "down" then return j:delete(x, one.id) end
    j:conclude(x, one.id, phase == "finish" and "finished" or "applied", #steps, nil,
      phase == "up" and state.has_finish(one) and state.FINISH_PENDING or nil)
  end
  local groups = plan.groups(steps)
  if #groups == 0 then groups[1] = { tx = true } end
  for i, group in ipairs(groups) do
    if group.tx then out.sql(w.begin) end
    if i == 1 then begin_row() end
    for _, step in ipairs(group) do
      step_sql(out, step, w.m.dialect)
      j:add_step(x, one.id, phase, step, true)
    end
    if i == #groups then conclude() end
    if group.tx then out.sql "COMMIT" end
  end
end

local function title(w, one, phase)
  w.out.blank()
  w.out.comment("%s: %s%s%s", phase, one.name, one.message and ": " or "", one.message or "")
end

local function without_functions(w, one, phase, list)
  refuse_functions(one, list)
  title(w, one, phase)
end

-- Where the operations alone say what the steps are (PostgreSQL).
local function write_planned(w, one, phase, list, is_known)
  without_functions(w, one, phase, list)
  local steps = plan.all(list, w.m.dialect, {
    online = w.m.options.online, bytes_sum = one.bytes_sum,
  })
  write_phase(w, one, phase, steps, is_known)
end

-- Where they depend on what is there (SQLite, MySQL): they are run on scratch, and collected.
local function write_run(w, one, phase, list, is_known)
  without_functions(w, one, phase, list)
  local steps, keys_off = {}, false
  replay.run(w.m, w.scratch, one, phase, list, {
    run = false, online = w.m.options.online,
    step = function(step)
      steps[#steps + 1] = step
      keys_off = keys_off or step.keys_off
    end,
  })
  if keys_off then w.out.sql "PRAGMA foreign_keys = OFF" end
  write_phase(w, one, phase, steps, is_known)
  if keys_off then w.out.sql "PRAGMA foreign_keys = ON" end
end

-- ---- ranges ----------------------------------------------------------------

local function reversed(ids)
  local out = {}
  for i = #ids, 1, -1 do out[#out + 1] = ids[i] end
  return out
end

-- The ids to apply, or to take back when the range goes down.
local function plan_range(g, from, to)
  local before = g:ancestors(from)
  local goes_down = #from > 0
  for _, id in ipairs(to) do
    if not before[id] then goes_down = false end
  end
  if goes_down and #g:between(to, from) > 0 then return reversed(g:between(to, from)), "down" end
  return g:between(from, to), "up"
end

local function write_all(w, g, ids, direction, from)
  local write = w.scratch and write_run or write_planned
  if w.scratch then
    replay.all(w.m, w.scratch, g, g:ordered(g:ancestors(from)), function() return w.finish end,
      { run = false })
  end
  for _, id in ipairs(ids) do
    local one = g.by_id[id]
    if direction == "down" then
      write(w, one, "down", running.down_of(one, w.finish and { state = "finished" } or nil), true)
    else
      write(w, one, "up", one.up or {}, false)
      if w.finish and state.has_finish(one) then write(w, one, "finish", one.finish, true) end
    end
  end
end

local function name_of(ids)
  return #ids == 0 and "base" or table.concat(ids, ", ")
end

--- A script for a range of migrations.
-- @tparam[opt] string range "a:b": from the state at a to that at b, also downwards;
-- default: what is pending in the database. Or two arguments, a and b
-- @tparam[opt] table opts finish (boolean: with finish phases)
-- @treturn string
-- @raise usage for a migration with m:run
function M.sql(m, range, to, opts)
  if type(to) == "table" then to, opts = nil, to end
  if to ~= nil then range = (range or "base") .. ":" .. to end
  local o = util.check_options("sql", opts, { "finish" })
  local g = m:graph()
  local s = state.read(m.journal, m.db, g)
  local from, target
  if range then
    from, target = g:range(range, s.applied)
  else
    from, target = g:heads(s.applied), { g:head() }
  end
  local ids, direction = plan_range(g, from, target)
  local w = {
    m = m, out = new_text(), finish = o.finish, version = require "perigee"._VERSION,
    begin = m.dialect.name == "sqlite" and "BEGIN IMMEDIATE" or "BEGIN",
  }
  w.out.comment("from %s to %s: %d migration%s", name_of(from), name_of(target), #ids,
    #ids == 1 and "" or "s")
  if #from == 0 and direction == "up" and #ids > 0 then
    for _, sql in ipairs(m.journal:create_sql()) do w.out.sql(sql) end
  end
  if not (m.dialect.features.rebuilds or m.dialect.features.restates) then
    write_all(w, g, ids, direction, from)
  else
    m.dialect.scratch(m.db, function(scratch)
      w.scratch = scratch
      write_all(w, g, ids, direction, from)
    end)
  end
  return table.concat(w.out.lines, "\n") .. "\n"
end

return M
