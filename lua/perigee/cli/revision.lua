--- perigee revision, merge, rebase, squash: files of migrations.
local changes = require "perigee.cli.changes"
local command = require "perigee.cli.command"
local output = require "perigee.cli.output"

-- ---- revision --------------------------------------------------------------

local revision = {
  name = "revision",
  summary = "Write a migration: empty, or from the difference.",
}

function revision.define(parser)
  parser:description("Write a file of a migration. With --autogenerate it has what brings the "
    .. "database to schema.lua, verified on a scratch copy. A column or table that "
    .. "disappears needs --drop or --rename, or was = … in schema.lua: status 4 says so.")
  parser:option("-m --message", "What it does, for people."):argname "TEXT"
  parser:flag("--autogenerate", "From the difference of schema.lua and the database.")
  parser:flag("--baseline", "The first migration, with all of schema.lua, for databases to "
    .. "come: the present one is stamped.")
  parser:option("--rename", "TABLE.OLD=NEW or OLD=NEW: it has a new name."):argname "NAMES"
    :count "*"
  parser:option("--not-rename", "TABLE.COLUMN: it has not.")
    :argname "NAME":count "*":target "not_rename"
  parser:option("--drop", "TABLE or TABLE.COLUMN: it may go."):argname "NAME":count "*"
  parser:option("--phase", "Where drops go: finish (after the roll-out) or up (at once).")
    :argname "PHASE":choices { "up", "finish" }
  parser:option("--after", "The migration to go on from, when there are several heads.")
    :argname "REV":count "*"
  parser:option("--depends", "A migration of another branch that must be there.")
    :argname "REV":count "*"
  parser:option("--label", "A name for this branch."):argname "NAME":count "*"
  command.add_json(parser)
  command.add_quiet(parser)
end

local function check_message(options)
  if not options.message or not options.message:find "%S" then
    command.refuse "-m is missing: say in some words what the migration does"
  end
  if not options.autogenerate and not options.baseline then
    for _, name in ipairs { "rename", "not_rename", "drop" } do
      if options[name] and #options[name] > 0 then
        command.refuse("--%s is for --autogenerate", (name:gsub("_", "-")))
      end
    end
  end
end

local function told(self, result)
  local out = self.out
  if self.options.json then
    local data = changes.data(result)
    data.path, data.id = result.path, result.id
    data.up, data.finish, data.down = result.up, result.finish, result.down
    data.verified = result.verified
    return out:data(data)
  end
  if result.changes then changes.show(out, result) end
  if not result.path then return out:say "no difference: nothing is written" end
  out:say("wrote %s (%d up, %d finish, %d down)", result.path, result.up, result.finish,
    result.down)
  if not (self.options.autogenerate or self.options.baseline) then return end
  if result.verified then
    out:say "verified on scratch: after up and finish the difference is empty"
  else
    out:warn("on scratch a difference is left: look at %s", result.path)
  end
end

-- What has to be decided is told in lines of its own.
local function write(self, settings)
  local m = self:migrations()
  local ok, result = pcall(m.revision, m, settings)
  if ok then return told(self, result) end
  if type(result) ~= "table" or not result.decisions then error(result, 0) end
  if self.options.json then
    self.out:data(changes.data { decisions = result.decisions })
  else
    changes.show_decisions(self.out, result.decisions)
  end
  return result.exit
end

revision.run = command.runner(function(self, options)
  check_message(options)
  return write(self, {
    message = options.message, autogenerate = options.autogenerate,
    baseline = options.baseline,
    rename = command.list(options.rename), not_rename = command.list(options.not_rename),
    drop = command.list(options.drop), phase = options.phase,
    head = command.list(options.after), depends = command.list(options.depends),
    labels = command.list(options.label),
  })
end)

-- ---- merge, rebase, squash -------------------------------------------------

local function wrote(self, result)
  if self.options.json then return self.out:data(result) end
  self.out:say("wrote %s", result.path)
end

local merge = { name = "merge", summary = "Join several heads by a migration." }

function merge.define(parser)
  parser:description "Write an empty migration that comes after several heads, by default all."
  parser:argument("REV", "The heads."):args "*":target "revisions"
  parser:option("-m --message", "What it does, for people."):argname "TEXT"
  command.add_json(parser)
  command.add_quiet(parser)
end

merge.run = command.runner(function(self, options)
  local list = #options.revisions > 0 and options.revisions or nil
  wrote(self, self:migrations():merge { message = options.message, heads = list })
end)

local rebase = { name = "rebase", summary = "Move a migration behind the other head." }

function rebase.define(parser)
  parser:description("Let a migration that is not applied yet, and those after it, come after "
    .. "another one: the cure for two heads when one of them is yours.")
  parser:argument("REV", "The first migration to be moved."):target "revision"
  parser:option("--onto", "What it comes after; default: the other head."):argname "REV"
  command.add_json(parser)
  command.add_quiet(parser)
end

rebase.run = command.runner(function(self, options)
  local result = self:migrations():rebase(options.revision, { onto = options.onto })
  if options.json then return self.out:data(result) end
  self.out:say("%s comes after %s now", table.concat(result.moved, ", "), result.onto)
end)

local squash = { name = "squash", summary = "Make one migration of several." }

function squash.define(parser)
  parser:description("Write one migration that does what those of the range do, and remove "
    .. "their files. Databases that have all of them know it as applied.")
  parser:argument("RANGE", "FIRST..LAST"):target "range"
  parser:option("-m --message", "What it does, for people."):argname "TEXT"
  command.add_json(parser)
  command.add_quiet(parser)
end

squash.run = command.runner(function(self, options)
  local first, last = options.range:match "^(.-)%.%.(.*)$"
  if not first then first, last = options.range:match "^(.-):(.*)$" end
  if not first or first == "" or last == "" then
    command.refuse("squash %s: write FIRST..LAST", options.range)
  end
  local result = self:migrations():squash(first, last, { message = options.message })
  if options.json then return self.out:data(result) end
  self.out:say("wrote %s in place of %s", result.path,
    output.plural(#result.removed + 1, "migration"))
end)

return { commands = { revision, merge, rebase, squash } }
