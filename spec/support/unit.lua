-- Runs spec files where Busted cannot: inside nginx and inside the runner. LuaUnit runs
-- them; describe, it, before_each, after_each, setup, teardown and pending are here, and
-- luassert is Busted's own.
--
--   local suite = unit.suite {
--     out = print,                       -- gets "ok - name", "not ok - name", "ok - name
--                                        -- # SKIP why" and remarks that begin with "  # "
--     call = function(f, ...) … end,     -- runs a spec; gives what pcall gives (xpcall)
--     skip = { ["name"] = "why" },       -- specs, or blocks, that are not run here
--   }
--   suite:load "spec/shared/calls_spec.lua"
--   suite:add("TestX", { test_a = function() … end })  -- a class of LuaUnit's own
--   local passed, failed, skipped = suite:run()
--
-- It has to be loaded before spec.support.helper, which then finds these functions under
-- the name of Busted.
local luaunit = require "luaunit"

local unit = {}

local SLOW = 5 -- seconds; slower specs are mentioned

-- ---- what stands for Busted ----------------------------------------------------

local busted = {}
local listeners = {} -- ["test start"] = list of functions
local current -- the block that is being defined
local in_spec = false

function busted.subscribe(event, f)
  local name = table.concat(event, " ")
  listeners[name] = listeners[name] or {}
  table.insert(listeners[name], f)
end

local function publish(name, ...)
  for _, f in ipairs(listeners[name] or {}) do f(...) end
end

function busted.parent(element)
  return element.parent
end

local function new_block(name, parent, descriptor)
  return {
    name = name, parent = parent, descriptor = descriptor, specs = 0,
    before_each = {}, after_each = {}, setup = {}, teardown = {},
  }
end

function busted.describe(name, define)
  local outer = current
  current = new_block(name, outer, "describe")
  current.suite = outer.suite
  define()
  current = outer
end

local env -- the globals of spec files

function busted.it(name, f)
  local spec = { name = name, parent = current, descriptor = "it", run = f, env = env }
  local block = current
  while block do
    block.specs = block.specs + 1
    block = block.parent
  end
  table.insert(current.suite.specs, spec)
end

function busted.pending(name, _)
  if in_spec then error(luaunit.SKIP_PREFIX .. tostring(name), 0) end
  busted.it(name, function() error(luaunit.SKIP_PREFIX .. "pending", 0) end)
end

for _, kind in ipairs { "before_each", "after_each", "setup", "teardown" } do
  busted[kind] = function(f) table.insert(current[kind], f) end
end

package.loaded["busted"] = busted

env = setmetatable({
  describe = busted.describe, it = busted.it, pending = busted.pending,
  before_each = busted.before_each, after_each = busted.after_each,
  setup = busted.setup, teardown = busted.teardown, assert = require "luassert",
}, { __index = _G })

-- The file as a function that sees these globals.
local function load_file(path)
  if not setfenv then return assert(loadfile(path, "t", env)) end
  return setfenv(assert(loadfile(path)), env)
end

-- ---- one spec ----------------------------------------------------------------

-- The blocks around a spec, the outermost first.
local function blocks_of(spec)
  local list, block = {}, spec.parent
  while block do
    table.insert(list, 1, block)
    block = block.parent
  end
  return list
end

local function full_name(spec)
  local names = { spec.name }
  for i, block in ipairs(blocks_of(spec)) do
    if i > 1 then table.insert(names, i - 1, block.name) end
  end
  return table.concat(names, " ")
end

local function text_of(err)
  local mt = type(err) == "table" and getmetatable(err)
  if type(err) ~= "table" or mt and mt.__tostring then return tostring(err) end
  return err.message and tostring(err.message) or luaunit.prettystr(err)
end

-- The error with its trace; what marks a skipped spec stays as it is.
local function with_trace(err)
  local text = text_of(err)
  if text:find(luaunit.SKIP_PREFIX, 1, true) == 1 then return text end
  return text .. debug.traceback("", 2)
end

local function run_list(list)
  for _, f in ipairs(list) do f() end
end

-- What is before the spec, and the spec; the first error ends it.
local function body(spec, blocks)
  for _, block in ipairs(blocks) do
    if not block.is_set_up then run_list(block.setup) end
    block.is_set_up = true
  end
  for _, block in ipairs(blocks) do run_list(block.before_each) end
  spec.run()
end

-- What is after it, whatever it did.
local function clean(blocks)
  for i = #blocks, 1, -1 do
    run_list(blocks[i].after_each)
    blocks[i].specs = blocks[i].specs - 1
    if blocks[i].specs == 0 and blocks[i].is_set_up then run_list(blocks[i].teardown) end
  end
end

local function skip_reason(spec, skip)
  local element = spec
  while element do
    local reason = skip[element.name]
    if reason then return reason end
    element = element.parent
  end
  return skip[full_name(spec)]
end

local function run_spec(spec, suite)
  local blocks = blocks_of(spec)
  local reason = skip_reason(spec, suite.skip)
  if reason then error(luaunit.SKIP_PREFIX .. reason, 0) end
  publish("test start", spec)
  local function run()
    in_spec = true
    local ok, err = xpcall(function() body(spec, blocks) end, with_trace)
    local clean_ok, clean_err = xpcall(function() clean(blocks) end, with_trace)
    in_spec = false
    if not ok then error(err, 0) end
    if not clean_ok then error("after the spec: " .. clean_err, 0) end
  end
  local ok, err = suite.call(run)
  if ok then return end
  local text = tostring(err)
  if text:find(luaunit.SKIP_PREFIX, 1, true) == 1 then error(text, 0) end
  error(luaunit.FAILURE_PREFIX .. text, 0)
end

-- ---- results -----------------------------------------------------------------

local Output = luaunit.genericOutput.new()
local Output_mt = { __index = Output }

local function output_for(suite)
  return { new = function(runner)
    local self = setmetatable(luaunit.genericOutput.new(runner), Output_mt)
    self.suite = suite
    return self
  end }
end

function Output:startTest()
  self.began = os.time()
end

local function note(out, text)
  for line in (text .. "\n"):gmatch "(.-)\n" do out("  # " .. line) end
end

-- LuaUnit puts names into patterns: what we gave it are numbers.
function Output:endTest(node)
  local suite = self.suite
  local name = suite.names[node.testName] or node.testName
  name = name:gsub("\n", " ")
  if node:isSkipped() then
    suite.skipped = suite.skipped + 1
    suite.out(("ok - %s # SKIP %s"):format(name, (node.msg:gsub("\n", " "))))
  elseif node:isSuccess() then
    suite.passed = suite.passed + 1
    suite.out("ok - " .. name)
  else
    suite.failed = suite.failed + 1
    suite.out("not ok - " .. name)
    note(suite.out, tostring(node.msg))
    if not suite.names[node.testName] then note(suite.out, tostring(node.stackTrace)) end
  end
  local took = os.time() - self.began
  if took > SLOW then note(suite.out, ("took %d s"):format(took)) end
end

-- ---- suites ------------------------------------------------------------------

local Suite = {}
Suite.__index = Suite

function unit.suite(options)
  local self = {
    out = options.out, call = options.call or pcall, skip = options.skip or {},
    specs = {}, names = {}, list = {}, passed = 0, failed = 0, skipped = 0,
  }
  return setmetatable(self, Suite)
end

--- Reads a spec file.
function Suite:load(path)
  local specs = {}
  current = new_block(path, nil, "file")
  current.suite = { specs = specs }
  load_file(path)()
  current = nil
  for _, spec in ipairs(specs) do
    local name = "spec" .. #self.list + 1
    self.names[name] = full_name(spec)
    table.insert(self.list, { name, function() run_spec(spec, self) end })
  end
end

--- Adds a class of tests as LuaUnit has them.
function Suite:add(name, class)
  table.insert(self.list, { name, class })
end

--- Runs all; the numbers of those that passed, failed and were skipped.
function Suite:run()
  local runner = luaunit.LuaUnit.new()
  runner.outputType = output_for(self)
  runner:runSuiteByInstances(self.list, "-v")
  publish "suite end"
  return self.passed, self.failed, self.skipped
end

return unit
