--- perigee sql: the statements of migrations, for those who run them by hand.
local command = require "perigee.cli.command"

local M = {
  name = "sql",
  summary = "Print the SQL of migrations, the history included.",
}

function M.define(parser)
  parser:description("Print the SQL that leads from one migration to another, in the dialect of "
    .. "the database, the rows of the history included. Nothing is run.")
  parser:argument("RANGE", "FROM..TO, or TO from where the database is; base..head makes all.")
    :args "?":target "range"
  parser:flag("--finish", "With the finish phases.")
end

M.run = command.runner(function(self, options)
  local range = options.range
  if range and not range:find "%.%." and not range:find ":" then range = "current:" .. range end
  local text = self:migrations():sql(range, { finish = options.finish })
  self.out:print((text:gsub("\n$", "")))
end)

return M
