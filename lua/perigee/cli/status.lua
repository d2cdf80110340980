--- perigee status, current, heads, history, show: what there is and what is applied.
local command = require "perigee.cli.command"
local events = require "perigee.cli.events"
local output = require "perigee.cli.output"

local function summary(m)
  return {
    id = m.id, name = m.name, message = m.message, after = m.after or {},
    labels = m.labels or {}, state = m.state, path = m.path, has_finish = m.has_finish,
  }
end

local function summaries(list)
  local out = {}
  for i, m in ipairs(list or {}) do out[i] = summary(m) end
  return out
end

local STATE_COLORS = { applied = "green", finished = "green", stamped = "green",
  failed = "red", running = "yellow", reverting = "yellow", pending = "yellow" }

local function line_of(out, m)
  local state = m.state or ""
  local labels = #(m.labels or {}) > 0 and ("(%s)"):format(table.concat(m.labels, ", ")) or ""
  return { out:paint("yellow", m.id), out:paint(STATE_COLORS[state] or "bold", state),
    events.title(m), labels }
end

local function print_list(self, list)
  if self.options.json then return self.out:data(summaries(list)) end
  local rows = {}
  for i, m in ipairs(list) do rows[i] = line_of(self.out, m) end
  self.out:lines(rows, { "l", "l", "l", "l" })
end

-- ---- status ----------------------------------------------------------------

local status = { name = "status", summary = "Show where the database is." }

function status.define(parser)
  parser:description("Show which migrations are applied, pending, or due to be finished. "
    .. "Status 0: up to date; 1: something is pending; 4: several heads; 6: one has "
    .. "failed; 7: the history does not agree with the files.")
  command.add_json(parser)
  command.add_quiet(parser)
end

local EXITS = {
  up_to_date = 0, no_migrations = 0, pending = 1, empty = 1, unversioned = 7,
  several_heads = 4, failed = 6, running = 6, unknown_revision = 7, ahead = 7, changed = 7,
}

local WORDS = {
  up_to_date = "up to date", no_migrations = "there are no migrations",
  pending = "migrations are pending", empty = "the database is empty",
  unversioned = "the database has tables but no history: stamp or adopt it",
  several_heads = "there are several heads: merge or rebase",
  failed = "a migration has failed: resume",
  running = "a migration is running, or its runner has died: upgrade or resume goes on",
  unknown_revision = "the database has migrations that are not here",
  ahead = "the database is ahead of the files",
  changed = "a file was edited after it had been applied",
}

local PARTLY = "the database has only a part of what was squashed: upgrade it with the files before"

local function add_rows(rows, out, title, list)
  for i, m in ipairs(list or {}) do
    local line = line_of(out, m)
    rows[#rows + 1] = { i == 1 and title or "", line[1], line[3], line[4] }
  end
end

-- What has failed is pending too: it is shown once.
local function without(list, m)
  if not m then return list end
  local out = {}
  for _, one in ipairs(list) do
    if one.id ~= m.id then out[#out + 1] = one end
  end
  return out
end

local function show_status(out, s)
  local rows = {}
  add_rows(rows, out, "pending", without(s.pending, s.failed))
  add_rows(rows, out, "finish due", without(s.finish, s.failed))
  add_rows(rows, out, s.state == "running" and "running" or "failed", { s.failed })
  local unknown = {}
  for i, id in ipairs(s.unknown) do unknown[i] = { id = id, name = s.unknown_names[i] } end
  add_rows(rows, out, "unknown", unknown)
  add_rows(rows, out, "squashed", s.partly)
  if #s.partly == 0 then add_rows(rows, out, "edited", s.changed) end
  local word = #s.partly > 0 and s.state == "changed" and PARTLY or WORDS[s.state] or s.state
  out:print(("%s%s"):format(word,
    #s.current > 0 and " (at " .. table.concat(s.current, ", ") .. ")" or ""))
  out:lines(rows, { "l", "l", "l", "l" }, "  ")
end

status.run = command.runner(function(self, options)
  local s = self:migrations():status()
  if options.json then
    self.out:data { state = s.state, current = s.current, heads = s.heads,
      pending = summaries(s.pending), finish = summaries(s.finish),
      failed = s.failed and summary(s.failed), unknown = s.unknown,
      changed = summaries(s.changed), edited = summaries(s.edited) }
  elseif not options.quiet then
    show_status(self.out, s)
  end
  return EXITS[s.state] or command.DIFFERENT
end)

-- ---- current, heads --------------------------------------------------------

local current = { name = "current", summary = "Show the last applied migrations." }

function current.define(parser)
  parser:description "Show the applied migrations that none of the applied comes after."
  command.add_json(parser)
end

current.run = command.runner(function(self)
  print_list(self, self:migrations():current())
end)

local heads = { name = "heads", summary = "Show the migrations that none comes after." }

function heads.define(parser)
  parser:description "Show the migrations that none comes after: one, unless there are branches."
  command.add_json(parser)
end

heads.run = command.runner(function(self)
  print_list(self, self:migrations():heads())
end)

-- ---- history, show ---------------------------------------------------------

local history = { name = "history", summary = "Draw the graph of migrations, newest first." }

function history.define(parser)
  parser:description "Draw the graph of migrations, newest first, with what is applied."
  parser:argument("RANGE", "FROM..TO, one of them may be missing."):args "?":target "range"
  command.add_json(parser)
end

history.run = command.runner(function(self, options)
  local found = self:migrations():history(options.range)
  if options.json then return self.out:data(summaries(found)) end
  local rows, by_id = {}, {}
  for _, m in ipairs(found) do by_id[m.id] = m end
  for i, row in ipairs(found.rows) do
    local line = row.id and line_of(self.out, by_id[row.id]) or {}
    rows[i] = { row.graph, line[1], line[2], line[3], line[4] }
  end
  self.out:lines(rows, { "l", "l", "l", "l", "l" })
end)

local show = { name = "show", summary = "Show what a migration does." }

function show.define(parser)
  parser:description "Show a migration: its place in the history, and its operations."
  parser:argument("REV"):target "revision"
  command.add_json(parser)
end

local function describe(op)
  if type(op) == "string" then return op end
  return require "perigee.schema.ops".describe(op)
end

local function show_phase(out, title, list)
  if list == false then return out:print(title .. ": cannot be undone") end
  if list == nil then return end
  out:print(title .. ":")
  for i, op in ipairs(list) do
    local at = type(op) == "table" and op.at
    out:print(("  %d %s%s"):format(i, output.safe(describe(op)),
      at and out:paint("dim", ("  %s:%s"):format(at.file, at.line)) or ""))
  end
end

show.run = command.runner(function(self, options)
  local m = self:migrations():show(options.revision)
  local out = self.out
  if options.json then
    local data = summary(m)
    for _, phase in ipairs { "up", "finish", "down" } do
      local list = m[phase]
      if list then
        data[phase] = {}
        for i, op in ipairs(list) do data[phase][i] = describe(op) end
      end
    end
    return out:data(data)
  end
  out:lines({
    { "id", m.id }, { "message", m.message or "" },
    { "after", #(m.after or {}) > 0 and table.concat(m.after, ", ") or "base" },
    { "state", m.state or "pending" }, { "file", m.path or "" },
  }, { "l", "l" })
  show_phase(out, "up", m.up)
  show_phase(out, "finish", m.finish)
  show_phase(out, "down", m.down)
end)

return { commands = { status, current, heads, history, show } }
