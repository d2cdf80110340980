--- The command line of the program perigee.
local argparse = require "argparse"
local failure = require "perigee.cli.failure"
local runner = require "perigee.runner"
local version = require "perigee.cli.version"

local M = {}

-- A command is a module: name, summary, define(parser), run(options, argv) which
-- returns the exit status, and has_script: what follows the first operand belongs
-- to a script.
local commands = {}
for i, name in ipairs { "run", "shell" } do
  commands[i] = require("perigee.cli." .. name)
end

local EPILOG = [[
Without --url the database is $DATABASE_URL, else $DATABASE, else
sqlite:perigee.db. "perigee COMMAND --help" tells more about a command.

Exit status: 0 done, 2 wrong usage, 8 cannot connect, 9 error in the script,
130 interrupted.]]

-- Before and after the command; what is nearer wins.
local function add_url(parser, target)
  parser:option("--url", "The database, as in postgresql://user@host/name or "
    .. "sqlite:file.db."):argname "URL":target(target)
end

-- The parser, and functions that give the usage of a command.
local function make_parser()
  local usages = {}
  local parser = argparse("perigee")
    :description "Databases close to Lua: PostgreSQL and SQLite."
    :epilog(EPILOG)
    :usage_max_width(80):help_max_width(80)
  add_url(parser, "general_url")
  parser:flag("--version", "Show the versions of Perigee, Lua and the drivers.")
    :action(function()
      version.show()
      os.exit(0)
    end)
  parser:command_target "command"
  for _, module in ipairs(commands) do
    local command = parser:command(module.name):summary(module.summary)
      :usage_max_width(80):help_max_width(80)
    add_url(command, "url")
    module.define(command)
    usages[module.name] = function() return command:get_usage() end
  end
  return parser, usages
end

local function find_command(name)
  for _, module in ipairs(commands) do
    if module.name == name then return module end
  end
end

-- What follows the first operand of `run` is the script's, whatever it looks
-- like: a "--" before it tells the parser so.
-- Returns the words for the parser and the name of the command.
local function shield_arguments(argv)
  local out, module, i = {}, nil, 1
  while argv[i] do
    local word = argv[i]
    out[#out + 1] = word
    i = i + 1
    if word == "--" then
      break
    elseif word == "--url" then
      out[#out + 1] = argv[i]
      i = i + 1
    elseif word == "-" or word:sub(1, 1) ~= "-" then
      if module and module.has_script then
        if argv[i] ~= nil then out[#out + 1] = "--" end
        break
      end
      module = module or find_command(word)
    end
  end
  for j = i, #argv do out[#out + 1] = argv[j] end
  return out, module and module.name
end

local function refuse(usage, message)
  message = message:gsub("%s*\n%s*", ". ")
  io.stderr:write(usage, "\n\n")
  failure.say("%s", message)
  return failure.USAGE
end

--- Runs a command.
-- @tparam {string,...} argv arguments, the program at 0
-- @treturn integer exit status
function M.main(argv)
  local parser, usages = make_parser()
  if #argv == 0 then
    io.stderr:write(parser:get_help(), "\n\n")
    failure.say("a command is missing")
    return failure.USAGE
  end
  local words, name = shield_arguments(argv)
  local ok, options = parser:pparse(words)
  if not ok then
    return refuse(name and usages[name]() or parser:get_usage(), options)
  end
  options.url = options.url or options.general_url
  local status = find_command(options.command).run(options, argv)
  if runner.flush() or status ~= 0 then return status end
  failure.say("not all output could be written")
  return failure.SCRIPT
end

return M
