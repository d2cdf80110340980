-- Runs spec files inside a worker of nginx; run.lua asks for them over HTTP and gets the
-- results as they come.
local inside = {}

-- A spec is a light thread of its own, so that each has a coroutine of its own.
local function call(f)
  local thread = ngx.thread.spawn(function() return pcall(f) end)
  local ok, passed, err = ngx.thread.wait(thread)
  if not ok then return false, passed end
  return passed, err
end

-- What helper.interpreter gives out: the Lua that has the same modules.
rawset(_G, "arg", { [-1] = "luajit" })

local function run(path, out)
  local unit = require "spec.support.unit"
  require("spec.support.helper").host = "nginx"
  local suite = unit.suite { out = out, call = call, skip = require "spec.nginx.shared".skip }
  if path:find "_spec%.lua$" then
    suite:load(path)
  else
    for _, class in ipairs(dofile(path)) do suite:add(class[1], class[2]) end
  end
  return suite:run()
end

-- Runs it to its end, however that is; the last line tells.
local function run_to_end(path, out)
  local ok, passed, failed, skipped = xpcall(function() return run(path, out) end,
    debug.traceback)
  if ok then
    out(("end %d passed, %d failed, %d skipped"):format(passed, failed, skipped))
  else
    out("failed " .. tostring(passed):gsub("\n", "\n  # "))
  end
end

local function say(line)
  ngx.say(line)
  ngx.flush(true)
end

-- In a timer: what it says is handed over.
local function in_timer(path)
  local lines, more = {}, require "ngx.semaphore".new(0)
  assert(ngx.timer.at(0, function()
    run_to_end(path, function(line)
      lines[#lines + 1] = line
      more:post(1)
    end)
  end))
  repeat
    local ok = more:wait(1)
    local line = ok and table.remove(lines, 1)
    if line then say(line) end
  until line and (line:find "^end " or line:find "^failed ")
end

--- The content handler: ?way=hub|relay&phase=content|timer&file=…
function inside.serve()
  local args = ngx.req.get_uri_args()
  local perigee = require "perigee"
  perigee.host("nginx", { way = args.way })
  if args.phase == "timer" then return in_timer(args.file) end
  run_to_end(args.file, say)
end

return inside
