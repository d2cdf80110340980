--- perigee adopt: definitions of a database that is there.
local changes = require "perigee.cli.changes"
local command = require "perigee.cli.command"
local files = require "perigee.cli.files"
local output = require "perigee.cli.output"

local M = {
  name = "adopt",
  summary = "Write schema.lua from the database.",
}

function M.define(parser)
  parser:description("Write the definitions of a live database. What they cannot say is named, "
    .. "never dropped. An existing file is kept unless --force is given.")
  parser:option("-o --output", "The file; - is standard output. Default: the definitions of the "
    .. "configuration."):argname "FILE"
  parser:option("--schema", "A schema besides the default one; may be repeated; all: all of them.")
    :argname "NAME":count "*":target "schemas"
  parser:flag("--force", "Write over an existing file.")
  command.add_json(parser)
  command.add_quiet(parser)
end

local function schemas_of(options)
  local list = command.list(options.schemas)
  if list and #list == 1 and list[1] == "all" then return "all" end
  return list
end

local function count_of(tree)
  local words = {}
  for _, item in ipairs {
    { "tables", "table" }, { "enums", "enum" }, { "views", "view" }, { "objects", "object" },
  } do
    local n = #(tree[item[1]] or {})
    if n > 0 then words[#words + 1] = output.plural(n, item[2]) end
  end
  return #words > 0 and table.concat(words, ", ") or "nothing"
end

M.run = command.runner(function(self, options)
  local path = options.output or self:schema_path()
  if path ~= "-" and files.exists(path) and not options.force then
    command.refuse("%s is there already; --force writes over it, -o FILE elsewhere", path)
  end
  local x = self:db()
  local d = command.dialect(x)
  local tree = d.inspect(x, { schemas = schemas_of(options), include = self.config.include })
  local text = require "perigee.schema.write".text(tree, { dialect = d })
  if path == "-" then
    self.out:print((text:gsub("\n$", "")))
    return 0
  end
  require "perigee.migrate.files".write(path, text)
  if options.json then
    local data = changes.data(tree)
    return self.out:data { path = path, tables = #tree.tables, notes = data.notes }
  end
  self.out:say("wrote %s (%s)", path, count_of(tree))
  changes.show_notes(self.out, tree.notes)
end)

return M
