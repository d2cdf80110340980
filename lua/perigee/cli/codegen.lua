--- perigee codegen: annotations for editors.
local command = require "perigee.cli.command"

local M = {
  name = "codegen",
  summary = "Write annotations of the tables for editors (LuaLS).",
}

function M.define(parser)
  parser:description("Write a file that tells the Lua language server the columns of all tables, "
    .. "so that it completes and checks their names. The file is written anew each time.")
  parser:option("-o --output", "The file; - is standard output."):argname "FILE"
    :default "perigee_types.lua"
  command.add_quiet(parser)
end

M.run = command.runner(function(self, options)
  local text = require "perigee.schema.codegen".text(self:db())
  if options.output == "-" then
    self.out:print((text:gsub("\n$", "")))
    return 0
  end
  require "perigee.migrate.files".write(options.output, text)
  self.out:say("wrote %s", options.output)
end)

return M
