--- The command line of the program perigee.
local argparse = require "argparse"
local failure = require "perigee.cli.failure"
local runner = require "perigee.runner"
local version = require "perigee.cli.version"

local unpack = table.unpack or unpack
local M = {}

-- A command is a table: name, summary, define(parser), run(options, argv) which
-- returns the exit status, and has_script: what follows the first operand belongs
-- to a script; or it has name, summary and a list of commands in `actions`. A
-- module is a command, or has a list of them in `commands`.
local GROUPS = {
  { "Scripts", "run", "shell" },
  { "Migrations", "setup", "revision", "upgrade", "status", "sql" },
  { "Checks", "check", "lint", "test" },
  { "Definitions", "adopt", "codegen", "schema" },
  { "Administration", "admin", "rows", "role" },
}

local groups, commands = {}, {}

local function load_group(group)
  local members = { title = group[1] }
  for i = 2, #group do
    local module = require("perigee.cli." .. group[i])
    for _, command in ipairs(module.name and { module } or module.commands) do
      members[#members + 1] = command
      commands[command.name] = command
    end
  end
  return members
end

-- A script starts without the commands that have nothing to do with it.
local function load_commands(first)
  local scripts = GROUPS[1]
  local is_script = first ~= nil and (first == scripts[2] or first == scripts[3])
  for i = 1, is_script and 1 or #GROUPS do groups[i] = load_group(GROUPS[i]) end
end

local EPILOG = [[
The database is that of --url, else of perigee.lua (--config, --database), else
$DATABASE_URL, else $DATABASE, else sqlite:perigee.db. "perigee COMMAND --help"
tells more about a command. No command asks a question.

Exit status: 0 done, 1 a difference or something pending, 2 wrong usage,
3 errors of lint, 4 a decision is needed, 5 lock not obtained, 6 failed and can
be resumed, 7 history and files do not agree, 8 cannot connect, 9 error in the
script or from the database, 130 interrupted.]]

local WIDTH = 80

-- Before and after the command; what is nearer wins.
local GENERAL = { url = true, config = true, database = true }
local function add_general(parser, prefix)
  parser:option("--url", "The database, as in postgresql://user@host/name or "
    .. "sqlite:file.db."):argname "URL":target(prefix .. "url")
  parser:option("--config", "The configuration, perigee.lua if it is there.")
    :argname "FILE":target(prefix .. "config")
  parser:option("--database", "A database of the configuration, by its name.")
    :argname "NAME":target(prefix .. "database")
end

local function add_command(parser, module, usages)
  local command = parser:command(module.name):summary(module.summary)
    :usage_max_width(WIDTH):help_max_width(WIDTH)
  if module.actions then
    command:description(module.summary):command_target "action"
    for _, inner in ipairs(module.actions) do
      add_command(command, inner, usages)
    end
  else
    module.define(command)
    add_general(command, "")
  end
  usages[module] = function() return command:get_usage() end
  return command
end

-- The parser, and functions that give the usage of a command.
local function make_parser()
  local usages = {}
  local parser = argparse("perigee")
    :description "Databases close to Lua: PostgreSQL and SQLite."
    :epilog(EPILOG)
    :usage_max_width(WIDTH):help_max_width(WIDTH)
  add_general(parser, "general_")
  parser:flag("--version", "Show the versions of Perigee, Lua and the drivers.")
    :action(function()
      version.show()
      os.exit(0)
    end)
  parser:command_target "command"
  for _, group in ipairs(groups) do
    local members = {}
    for i, module in ipairs(group) do
      members[i] = add_command(parser, module, usages)
    end
    parser:group(group.title, unpack(members))
  end
  return parser, usages
end

-- A number such as -1 is an operand, not an option; the parser would not know.
local NEGATIVE = "\1"

local function find_action(command, name)
  for _, inner in ipairs(command.actions or {}) do
    if inner.name == name then return inner end
  end
end

local function restore(value)
  if type(value) == "string" then return (value:gsub("^" .. NEGATIVE, "")) end
  if type(value) ~= "table" then return value end
  for key, item in pairs(value) do value[key] = restore(item) end
  return value
end

-- What follows the first operand of `run` is the script's, whatever it looks
-- like: a "--" before it tells the parser so.
-- Returns the words for the parser and the command.
local function shield_arguments(argv)
  local out, module, i = {}, nil, 1
  while argv[i] do
    local word = argv[i]
    out[#out + 1] = word:find "^%-%d+$" and NEGATIVE .. word or word
    i = i + 1
    if word == "--" then
      break
    elseif GENERAL[word:match "^%-%-(%a+)$"] then
      out[#out + 1] = argv[i]
      i = i + 1
    elseif word == "-" or word:sub(1, 1) ~= "-" then
      if module and module.has_script then
        if argv[i] ~= nil then out[#out + 1] = "--" end
        break
      end
      module = module and (find_action(module, word) or module) or commands[word]
    end
  end
  for j = i, #argv do out[#out + 1] = argv[j] end
  return out, module
end

local function refuse(usage, message)
  message = message:gsub("%s*\n%s*", ". "):gsub(NEGATIVE, "")
  io.stderr:write(usage, "\n\n")
  failure.say("%s", message)
  return failure.USAGE
end

--- Runs a command.
-- @tparam {string,...} argv arguments, the program at 0
-- @treturn integer exit status
function M.main(argv)
  load_commands(argv[1])
  local parser, usages = make_parser()
  if #argv == 0 then
    io.stderr:write(parser:get_help(), "\n\n")
    failure.say("a command is missing")
    return failure.USAGE
  end
  local words, module = shield_arguments(argv)
  local ok, options = parser:pparse(words)
  if not ok then
    return refuse(module and usages[module]() or parser:get_usage(), options)
  end
  restore(options)
  for name in pairs(GENERAL) do
    options[name] = options[name] or options["general_" .. name]
  end
  local command = commands[options.command]
  command = find_action(command, options.action) or command
  local status = command.run(options, argv)
  if runner.flush() or status ~= 0 then return status end
  failure.say("not all output could be written")
  return failure.SCRIPT
end

return M
