--- perigee check, drift: is everything as it is written?
local changes = require "perigee.cli.changes"
local command = require "perigee.cli.command"
local output = require "perigee.cli.output"

local function count(list)
  return list and #list or 0
end

local function add_renames(parser)
  parser:option("--rename", "TABLE.OLD=NEW or OLD=NEW: it has a new name."):argname "NAMES"
    :count "*"
  parser:option("--drop", "TABLE or TABLE.COLUMN: it may go."):argname "NAME":count "*"
end

-- ---- check -----------------------------------------------------------------

local check = {
  name = "check",
  summary = "Do definitions, migrations and database agree?",
}

function check.define(parser)
  parser:description("Compare schema.lua with the database, by asking the database itself, and "
    .. "look for pending migrations. Nothing is changed. Status 0: all agree; 1: they "
    .. "differ; 4: a decision is needed to say how.")
  add_renames(parser)
  command.add_json(parser)
  command.add_quiet(parser)
end

local function verdict(self, result)
  local n, pending = count(result.changes), count(result.pending)
  if result.in_sync then
    self.out:say "no difference"
    return 0
  end
  local words = {}
  if n > 0 then words[#words + 1] = output.plural(n, "difference") end
  if pending > 0 then
    words[#words + 1] = output.plural(pending, "pending migration")
  end
  if #words > 0 then self.out:say("%s", table.concat(words, ", ")) end
  return count(result.decisions) > 0 and command.DECISION or command.DIFFERENT
end

check.run = command.runner(function(self, options)
  local result = self:migrations():check {
    rename = command.list(options.rename), drop = command.list(options.drop),
  }
  if options.json then
    local data = changes.data(result)
    data.pending = {}
    for i, m in ipairs(result.pending or {}) do
      data.pending[i] = { id = m.id, message = m.message }
    end
    self.out.quiet = true
    self.out:data(data)
  else
    changes.show(self.out, result)
  end
  return verdict(self, result)
end)

-- ---- drift -----------------------------------------------------------------

local drift = {
  name = "drift",
  summary = "Was the database changed by other means than migrations?",
}

function drift.define(parser)
  parser:description("Compare the database with what its migrations make of an empty one. "
    .. "Status 0: the same; 1: somebody changed it by hand.")
  command.add_json(parser)
  command.add_quiet(parser)
end

drift.run = command.runner(function(self, options)
  local result = self:migrations():drift()
  result.decisions = nil -- there is nothing to decide: it is as it should not be
  if options.json then
    self.out:data(changes.data(result))
  else
    changes.show(self.out, result)
  end
  local n = count(result.changes)
  self.out:say("%s", n == 0 and "no drift"
    or output.plural(n, "difference") .. " to what the migrations make")
  return n == 0 and 0 or command.DIFFERENT
end)

return { commands = { check, drift } }
