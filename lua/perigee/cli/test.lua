--- perigee test: do migrations work in both directions?
local command = require "perigee.cli.command"
local events = require "perigee.cli.events"
local output = require "perigee.cli.output"

local M = {
  name = "test",
  summary = "Run migrations up, down and up again on a scratch database.",
}

function M.define(parser)
  parser:description("Run each migration of the range up, down and up again on a scratch "
    .. "database with some rows: afterwards the tables have to be as before, and the rows of "
    .. "columns that stay too. The database itself is left as it is.")
  parser:argument("RANGE", "REV or FROM..TO; default: all."):args "?":target "range"
  command.add_json(parser)
  command.add_quiet(parser)
end

M.run = command.runner(function(self, options)
  local found = self:migrations():test(options.range)
  local out, failed = self.out, 0
  for _, m in ipairs(found) do
    if not m.ok then failed = failed + 1 end
  end
  if options.json then
    out:data(found)
  else
    for _, m in ipairs(found) do
      out:say("%s  %s", m.ok and out:paint("green", "ok    ") or out:paint("red", "failed"),
        events.title { id = m.id, name = m.name })
      for _, note in ipairs(m.notes or {}) do out:say("        %s", output.safe(note)) end
      if not m.ok then out:say("        %s", output.safe(m.message or "")) end
    end
    out:say("%s, %d failed", output.plural(#found, "migration"), failed)
  end
  return failed > 0 and command.DIFFERENT or 0
end)

return M
