--- perigee upgrade, finish, downgrade, resume, abandon, stamp, sync, repair: what
-- changes the database or the history of it.
local command = require "perigee.cli.command"
local files = require "perigee.cli.files"
local output = require "perigee.cli.output"

-- ---- options ---------------------------------------------------------------

local function seconds(text)
  local n, unit = text:match "^(%d*%.?%d+)(m?s?)$"
  n = tonumber(n)
  if not n or unit == "m" then
    -- init.lua puts a character before what begins with a minus
    return nil, ("%q is no time, as in 2s or 500ms"):format((text:gsub("^%c", "")))
  end
  return unit == "ms" and n / 1000 or n
end

local function add_waiting(parser)
  parser:option("--lock-timeout", "How long a statement waits for a lock of the database (2s)."
    ):argname "TIME":convert(seconds)
  parser:option("--lock-wait", "How long to wait for another runner (60s)."):argname "TIME"
    :convert(seconds)
  command.add_json(parser)
  command.add_quiet(parser)
end

local function open(self, extra)
  local options = self.options
  local all = { lock_timeout = options.lock_timeout, lock_wait = options.lock_wait }
  for key, value in pairs(extra or {}) do all[key] = value end
  return self:migrations(all)
end

-- RULE=REASON of --allow as { [rule] = reason }.
local function allowed(options)
  local out = {}
  for _, text in ipairs(options.allow or {}) do
    local rule, reason = text:match "^([%w%-_]+)=(.*%S.*)$"
    if not rule then command.refuse("--allow %s: write RULE=REASON", text) end
    out[rule] = reason
  end
  return out
end

-- ---- results ---------------------------------------------------------------

local function summaries(list)
  local out = {}
  for i, m in ipairs(list or {}) do
    out[i] = { id = m.id, name = m.name, message = m.message, state = m.state }
  end
  return out
end

local function tell(self, key, result, nothing)
  local list = result[key] or {}
  if self.options.json then
    local data = { [key] = summaries(list) }
    if result.finish then data.finish = summaries(result.finish) end
    if result.finish and result.finished then data.finished = summaries(result.finished) end
    return self.out:data(data)
  end
  if #list == 0 and #(result.finished or {}) == 0 then self.out:say("%s", nothing) end
end

-- ---- upgrade ---------------------------------------------------------------

local upgrade = { name = "upgrade", summary = "Apply migrations that are pending." }

function upgrade.define(parser)
  parser:description("Apply pending migrations, all or up to REV. Only one runner works at a "
    .. "time; the others wait. After a failure, the same command goes on where it stopped.")
  parser:argument("REV", "An id, the beginning of one, a label, head, +N; default: head.")
    :args "?":target "revision"
  parser:flag("--finish", "Run the finish phases too.")
  parser:flag("--out-of-order", "Also what comes before something that is applied already.")
  parser:option("--allow", "RULE=REASON: let an operation pass that the rules of lint stop.")
    :argname "RULE":count "*"
  parser:flag("--sql", "Print the statements; nothing is run.")
  add_waiting(parser)
end

upgrade.run = command.runner(function(self, options)
  local allow = allowed(options)
  local m = open(self)
  if options.sql then
    local range = options.revision and "current:" .. options.revision
    self.out:print((m:sql(range, { finish = options.finish }):gsub("\n$", "")))
    return 0
  end
  local result = m:upgrade(options.revision,
    { finish = options.finish, out_of_order = options.out_of_order, allow = allow })
  tell(self, "applied", result, "nothing to do: the database is up to date")
end)

-- ---- finish, downgrade -----------------------------------------------------

local finish = { name = "finish", summary = "Run the finish phases that are due." }

function finish.define(parser)
  parser:description("Run finish phases of applied migrations, all or up to REV: what removes "
    .. "the old, once no program uses it any more.")
  parser:argument("REV"):args "?":target "revision"
  parser:option("--allow", "RULE=REASON: let an operation pass that the rules of lint stop.")
    :argname "RULE":count "*"
  add_waiting(parser)
end

finish.run = command.runner(function(self, options)
  local result = open(self):finish(options.revision, { allow = allowed(options) })
  tell(self, "finished", result, "nothing to finish")
end)

local downgrade = { name = "downgrade", summary = "Undo migrations." }

function downgrade.define(parser)
  parser:description "Undo applied migrations, the last one or all down to REV, which stays."
  parser:argument("REV", "-N, base, or an id as for upgrade; default: -1."):args "?"
    :target "revision"
  parser:flag("--sql", "Print the statements; nothing is run.")
  add_waiting(parser)
end

downgrade.run = command.runner(function(self, options)
  local m = open(self)
  local revision = options.revision or "-1"
  if options.sql then
    self.out:print((m:sql("current:" .. revision):gsub("\n$", "")))
    return 0
  end
  tell(self, "reverted", m:downgrade(revision), "nothing to undo")
end)

-- ---- after a failure -------------------------------------------------------

local resume = { name = "resume", summary = "Go on after a failure." }

function resume.define(parser)
  parser:description("Go on with the migration that has failed or whose runner was killed. A "
    .. "step whose end is not known is looked up in the database; for SQL without a probe "
    .. "say what is to be done.")
  parser:mutex(
    parser:flag("--redo", "Run the step in doubt again."),
    parser:flag("--skip", "Take the step in doubt as done."))
  add_waiting(parser)
end

resume.run = command.runner(function(self, options)
  local m = open(self)
  tell(self, "resumed", m:resume { redo = options.redo, skip = options.skip },
    "nothing to resume")
end)

local abandon = { name = "abandon", summary = "Give a failed migration up." }

function abandon.define(parser)
  parser:description("Forget the migration that has failed: what it has done stays, and it is "
    .. "pending again.")
  command.add_yes(parser)
  command.add_quiet(parser)
  command.add_json(parser)
end

abandon.run = command.runner(function(self, options)
  command.need_yes(options, "forget the failed migration; what it has done stays")
  local result = self:migrations():abandon()
  tell(self, "abandoned", result, "nothing to abandon")
  for _, m in ipairs(result.abandoned) do
    self.out:say("%s is pending again; what it has done stays", m.id)
  end
end)

-- ---- the history -----------------------------------------------------------

local stamp = { name = "stamp", summary = "Write down which migrations a database has." }

function stamp.define(parser)
  parser:description("Take the database as one that has REV and all before it. Nothing else is "
    .. "changed.")
  parser:argument("REV", "An id, a label, head or base."):target "revision"
  parser:flag("--purge", "Forget first what is known, also unknown revisions.")
  command.add_json(parser)
  command.add_quiet(parser)
end

stamp.run = command.runner(function(self, options)
  local m = self:migrations()
  local ids = m:stamp(options.revision, { purge = options.purge })
  local current = {}
  for i, one in ipairs(m:current()) do current[i] = one.id end
  if options.json then return self.out:data { current = current } end
  if #ids == 0 then ids = current end
  self.out:say("stamped: %s", #ids > 0 and table.concat(ids, ", ") or "base")
end)

local sync = { name = "sync", summary = "Create or upgrade, whatever is needed." }

function sync.define(parser)
  parser:description("Bring an empty or an old database to the head. A database with tables "
    .. "and no history is refused: stamp or adopt it. It says created, upgraded or "
    .. "up_to_date.")
  add_waiting(parser)
end

sync.run = command.runner(function(self, options)
  -- without a file of definitions an empty database is made by the migrations
  local is_without = not self.config.schema and not files.exists(self:schema_path())
  local state = open(self, { schema = not is_without and self:schema_path() }):sync()
  if options.json then return self.out:data { result = state } end
  self.out:say("%s", state)
end)

local repair = { name = "repair", summary = "Accept that an applied migration was edited." }

function repair.define(parser)
  parser:description("Take the file of an applied migration as it is now for the history. "
    .. "Nothing is run.")
  parser:argument("REV"):target "revision"
  parser:option("-m --message", "Why, for the history."):argname "TEXT"
  command.add_quiet(parser)
end

repair.run = command.runner(function(self, options)
  if not options.message then command.refuse "-m is missing: say why" end
  local m = self:migrations()
  m:repair(options.revision, options.message)
  self.out:say("%s is in the history as its file is now", output.safe(options.revision))
end)

return { commands = { upgrade, finish, downgrade, resume, abandon, stamp, sync, repair } }
