-- Busted's output as TAP, for .ci/test: "ok", "not ok" with everything known
-- about the failure, "# SKIP", and the plan as the last line, whose absence
-- shows that the interpreter did not get that far.

local busted = require "busted"

local SLOW = 5 -- seconds; slower specs are mentioned

local function say(fmt, ...)
  io.write(fmt:format(...), "\n")
  io.flush()
end

local function note(text)
  text = tostring(text) .. "\n"
  for line in text:gmatch "(.-)\n" do say("  # %s", line) end
end

-- What may be raised: strings, our errors (__tostring), plain tables.
local function text_of(message)
  local mt = type(message) == "table" and getmetatable(message)
  if type(message) == "table" and not (mt and mt.__tostring) then
    return require "pl.pretty".write(message)
  end
  return tostring(message)
end

local handler = require "busted.outputHandlers.base"()
local count, started = 0, 0
local told = {} -- failures that were shown
local ended = {} -- specs and their blocks, of the running file

local function show(failure)
  local trace = failure.trace or {}
  if trace.short_src then
    note(trace.short_src .. ":" .. (trace.currentline or 0))
  end
  note(text_of(failure.message))
  if trace.traceback then note((trace.traceback:gsub("^\n", ""))) end
end

local function fail(name)
  say("not ok %d - %s", count, name)
  for _, list in ipairs { handler.failures, handler.errors } do
    for _, failure in ipairs(list) do
      if not told[failure] then show(failure) end
      told[failure] = true
    end
  end
end

local function test_start()
  started = busted.monotime()
  return nil, true
end

local function test_end(element, _, status)
  count = count + 1
  local name = handler.getFullName(element)
  if status == "success" then
    say("ok %d - %s", count, name)
  elseif status == "pending" then
    local pending = handler.pendings[#handler.pendings]
    say("ok %d - %s # SKIP %s", count, name,
      text_of(pending.message or "pending"))
  else
    fail(name)
  end
  local took = busted.monotime() - started
  if took > SLOW then note(("took %.1f s"):format(took)) end
  handler.successes, handler.pendings = {}, {}
  ended[#ended + 1] = element
  element.run, element.env = nil, nil
  return nil, true
end

local function describe_end(element)
  ended[#ended + 1] = element
  return nil, true
end

-- Busted keeps all that it has run. The full collections after each spec
-- (helper.cleanup) would take ten times as long at the end of a run as at its start.
local function file_end()
  for _, element in ipairs(ended) do
    for key in pairs(element) do element[key] = nil end
  end
  ended = {}
  return nil, true
end

-- Outside of specs: a file that does not load, before_each, after_each, no
-- spec found.
local function outside(element)
  local what = element.descriptor or "busted"
  if what ~= "it" then
    count = count + 1
    local name = element.descriptor and handler.getFullName(element) or "run"
    fail(name .. " [" .. what .. "]")
  end
  return nil, true
end

local function suite_end()
  say("1..%d", count)
  return nil, true
end

return function()
  busted.subscribe({ "test", "start" }, test_start)
  busted.subscribe({ "test", "end" }, test_end)
  busted.subscribe({ "describe", "end" }, describe_end)
  busted.subscribe({ "file", "end" }, file_end)
  busted.subscribe({ "error" }, outside)
  busted.subscribe({ "failure" }, outside)
  busted.subscribe({ "suite", "end" }, suite_end)
  return handler
end
