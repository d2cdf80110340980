-- Folders of migrations for specs.
--
--   local folders = require "spec.support.migrations"
--   local folder = folders.new()
--   folder:write("001_orders", [[return migration { … }]])
--   local m = folder:open(db, { retries = 0 })      -- m.events is what on_event got
--   folders.cleanup()                               -- in after_each
local assert = require "luassert"
local expect = require "spec.support.expect"
local perigee = require "perigee"

local M = {}

-- The error, whose message must fit the pattern; exit is its exit status.
function M.fails(exit, pattern, ...)
  local err = expect.fails(type(exit) == "number" and "migration" or exit, ...)
  assert.is_truthy(err.message:find(pattern), err.message)
  if type(exit) == "number" then assert.are.equal(exit, err.exit) end
  return err
end

-- "aaa1 bbb2": of revisions or summaries of them.
function M.ids(list)
  local out = {}
  for i, v in ipairs(list) do out[i] = type(v) == "table" and v.id or v end
  return table.concat(out, " ")
end

local folders = {}

local folder = {}
folder.__index = folder

function M.new()
  local path = os.tmpname()
  os.remove(path)
  assert(os.execute("mkdir " .. path))
  local f = setmetatable({ path = path }, folder)
  folders[#folders + 1] = f
  return f
end

function M.cleanup()
  for _, f in ipairs(folders) do os.execute("rm -rf " .. f.path) end
  folders = {}
end

function folder:write(name, text)
  local file = assert(io.open(self.path .. "/" .. name .. ".lua", "w"))
  file:write(text)
  file:close()
end

-- A migration file: { id =, after = "id id", up = "statements of Lua", … }.
function folder:migration(name, o)
  local after = {}
  for id in (o.after or ""):gmatch "%S+" do after[#after + 1] = ("%q"):format(id) end
  local lines = { ("return migration {\n  id = %q,"):format(o.id) }
  lines[2] = ("  after = { %s },"):format(table.concat(after, ", "))
  lines[3] = ("  message = %q,"):format(o.message or name)
  for _, phase in ipairs { "change", "up", "finish", "down" } do
    if o[phase] == false then
      lines[#lines + 1] = ("  %s = false,"):format(phase)
    elseif o[phase] then
      lines[#lines + 1] = ("  %s = function(m)\n%s\n  end,"):format(phase, o[phase])
    end
  end
  if o.more then lines[#lines + 1] = "  " .. o.more .. "," end
  lines[#lines + 1] = "}\n"
  self:write(name, table.concat(lines, "\n"))
end

function folder:read(name)
  local file = assert(io.open(self.path .. "/" .. name .. ".lua"))
  local text = file:read "*a"
  file:close()
  return text
end

function folder:remove(name)
  assert(os.remove(self.path .. "/" .. name .. ".lua"))
end

-- Names of the files, sorted.
function folder:list()
  local names = {}
  local pipe = io.popen("ls " .. self.path)
  for line in pipe:lines() do names[#names + 1] = (line:gsub("%.lua$", "")) end
  pipe:close()
  return names
end

function folder:open(db, options)
  local o, events = { dir = self.path, retry_pause = 0.02 }, {}
  for k, v in pairs(options or {}) do o[k] = v end
  o.on_event = function(event)
    local copy = {}
    for k, v in pairs(event) do copy[k] = v end
    events[#events + 1] = copy
  end
  local m = perigee.migrations.open(db, o)
  rawset(m, "events", events)
  return m
end

-- The events of a type.
function M.of_type(m, name)
  local list = {}
  for _, event in ipairs(m.events) do
    if event.type == name then list[#list + 1] = event end
  end
  return list
end

return M
