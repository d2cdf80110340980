-- Runs the program perigee as its users do.

local helper = require "spec.support.helper"

local program = {}

program.path = helper.build .. "/perigee"

-- On Lua 5.4 it has to be there; the other interpreters have no runner.
function program.is_missing()
  if _VERSION == "Lua 5.4" then return false end
  local f = io.open(program.path)
  if f then f:close() end
  return f == nil
end

local function quote(word)
  return "'" .. word:gsub("'", "'\\''") .. "'"
end

local function read_file(path)
  local f = io.open(path, "rb")
  if not f then return "" end
  local text = f:read "*a"
  f:close()
  return text
end
program.read_file = read_file

-- A file for the running spec.
function program.file(text)
  local path = helper.tmpname()
  local f = assert(io.open(path, "wb"))
  f:write(text)
  f:close()
  return path
end

-- A shell command for the arguments (a list). Variables that would name a
-- database are unset, unless `env` sets them.
local function command(args, env)
  local words = { "env -u LD_PRELOAD -u DATABASE_URL -u DATABASE" }
  for name, value in pairs(env or {}) do
    words[#words + 1] = name .. "=" .. quote(value)
  end
  words[#words + 1] = '"$PWD"/' .. program.path
  if program.path:sub(1, 1) == "/" then words[#words] = program.path end
  for _, word in ipairs(args) do words[#words + 1] = quote(word) end
  return table.concat(words, " ")
end
program.command = command

-- Runs a shell command: { out, err, status }.
function program.sh(line)
  local err = helper.tmpname()
  local pipe = assert(io.popen(("unset LD_PRELOAD; { %s\n} 2>%s; printf '\\n%%d' $?")
    :format(line, err)))
  local text = pipe:read "*a"
  pipe:close()
  local out, status = text:match "^(.*)\n(%d+)$"
  return { out = out, err = read_file(err), status = tonumber(status) }
end

-- Runs perigee. Options: input (text), env (table), folder (where to be).
function program.run(args, options)
  options = options or {}
  local input = program.file(options.input or "")
  local line = command(args, options.env) .. " <" .. input
  if options.folder then
    line = ("bin=$PWD; cd %s; PWD=$bin; %s"):format(options.folder, line)
  end
  return program.sh(line)
end

-- Runs a script given as text.
function program.script(text, args, options)
  local words = { "run", program.file(text) }
  for _, word in ipairs(args or {}) do words[#words + 1] = word end
  return program.run(words, options)
end

-- ---- a terminal ------------------------------------------------------------

local Terminal = {}
Terminal.__index = Terminal

-- Starts perigee on a terminal of its own, made by script(1).
function program.terminal(args, env)
  local out = helper.tmpname()
  env = env or {}
  env.TERM = "dumb"
  -- exec: a shell that stayed would take Ctrl-C too, and some die of it
  local line = "exec " .. command(args, env)
  local pipe = assert(io.popen(("exec env -u LD_PRELOAD script -qefc %s %s "
    .. ">/dev/null"):format(quote(line), out), "w"))
  pipe:setvbuf "no"
  return setmetatable({ pipe = pipe, out = out, from = 1 }, Terminal)
end

function Terminal:send(text)
  self.pipe:write(text)
end

-- Waits until new output matches; returns the output up to there.
function Terminal:wait(pattern)
  local text
  for _ = 1, helper.patience(200) do
    text = read_file(self.out):gsub("\r", "")
    local first, last = text:find(pattern, self.from)
    if first then
      local found = text:sub(self.from, last)
      self.from = last + 1
      return found
    end
    os.execute "sleep 0.05"
  end
  self.pipe:close()
  error(("waited in vain for %q in:\n%s"):format(pattern, text), 0)
end

-- Waits for the end; the exit status.
function Terminal:close()
  local _, _, status = self.pipe:close()
  return status
end

return program
