--- perigee schema: tables from the definitions without migrations, and drawings.
local command = require "perigee.cli.command"
local output = require "perigee.cli.output"

-- ---- create-all, drop-all --------------------------------------------------

local create = {
  name = "create-all",
  summary = "Create all tables of the definitions that are not there.",
}

function create.define(parser)
  parser:description("Create everything that schema.lua has and the database has not, without "
    .. "migrations: for tests and for trying things out. What is there is not changed.")
  parser:flag("--sql", "Print the statements; nothing is run.")
  command.add_quiet(parser)
end

local function print_sql(self, list)
  for _, step in ipairs(list) do
    local text = type(step) == "table" and step.sql or step
    self.out:print((text:gsub(";?%s*$", ";")))
  end
end

-- The definitions as this database has them.
local function wanted(self, d)
  return require "perigee.schema.model".complete(self:schema().tree, { dialect = d.name })
end

create.run = command.runner(function(self, options)
  local schema = self:schema()
  local x = self:db()
  local d = command.dialect(x)
  if options.sql then
    print_sql(self, d.create_tree(wanted(self, d), {}))
    return 0
  end
  local made = x:create_all(schema)
  self.out:say("%s", #made == 0 and "nothing to create: all tables are there"
    or "created " .. output.plural(#made, "table"))
end)

local drop = {
  name = "drop-all",
  summary = "Drop all that the definitions have.",
}

function drop.define(parser)
  parser:description "Drop everything that schema.lua has, with all rows, and nothing else."
  parser:flag("--sql", "Print the statements; nothing is run.")
  command.add_yes(parser)
  command.add_quiet(parser)
end

drop.run = command.runner(function(self, options)
  local schema = self:schema()
  local x = self:db()
  local d = command.dialect(x)
  if options.sql then
    print_sql(self, d.drop_tree(wanted(self, d), {}))
    return 0
  end
  command.need_yes(options, ("drop %s with all rows")
    :format(output.plural(#schema.tree.tables, "table")))
  local gone = x:drop_all(schema)
  self.out:say("dropped %s", output.plural(#gone, "table"))
end)

-- ---- diagram ---------------------------------------------------------------

local diagram = {
  name = "diagram",
  summary = "Draw the tables and their relations.",
}

local FORMATS = { "mermaid", "dot", "svg", "png" }

function diagram.define(parser)
  parser:description("Draw the tables of schema.lua, or those of the database. SVG and PNG need "
    .. "the program dot of Graphviz; Mermaid and dot are text.")
  parser:option("-f --format", "mermaid (the default), dot, svg or png; else by the name of "
    .. "--output."):argname "FORMAT":choices(FORMATS)
  parser:option("-o --output", "The file; default: standard output."):argname "FILE"
  parser:flag("--live", "The tables of the database.")
  command.add_quiet(parser)
end

local SUFFIXES = { svg = "svg", png = "png", dot = "dot", gv = "dot", mmd = "mermaid",
  md = "mermaid" }

local function format_of(options)
  if options.format then return options.format end
  local suffix = options.output and options.output:match "%.(%w+)$"
  return suffix and SUFFIXES[suffix:lower()] or "mermaid"
end

local function quote(word)
  return "'" .. word:gsub("'", "'\\''") .. "'"
end

-- Lets Graphviz draw; raises when it is not there.
local function render(text, format, path)
  local source = os.tmpname()
  local f = assert(io.open(source, "wb"))
  f:write(text)
  f:close()
  local line = ("dot -T%s -o %s %s 2>/dev/null"):format(format, quote(path), quote(source))
  local ok = os.execute(line)
  local there = os.execute "command -v dot >/dev/null 2>&1"
  os.remove(source)
  if ok == true or ok == 0 then return end
  if there == true or there == 0 then command.refuse("dot could not write %s", path) end
  command.refuse("%s needs the program dot of Graphviz, which is not there; "
    .. "--format mermaid or dot need nothing", format)
end

diagram.run = command.runner(function(self, options)
  local format = format_of(options)
  local is_drawn = format == "svg" or format == "png"
  if is_drawn and not options.output then
    command.refuse("--format %s: name the file with -o FILE", format)
  end
  local tree
  if options.live then
    local x = self:db()
    tree = command.dialect(x).inspect(x, { include = self.config.include })
  else
    tree = self:schema().tree
  end
  local draw = require "perigee.schema.diagram"
  local text = format == "mermaid" and draw.mermaid(tree) or draw.dot(tree)
  if is_drawn then
    render(text, format, options.output)
  elseif options.output then
    require "perigee.migrate.files".write(options.output, text)
  else
    self.out:print((text:gsub("\n$", "")))
    return 0
  end
  self.out:say("wrote %s", options.output)
end)

return {
  name = "schema", summary = "Create or drop what the definitions have, or draw it.",
  actions = { create, drop, diagram },
}
