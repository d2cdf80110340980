--- Looks at migrations before they run: what destroys data, what keeps others waiting,
-- what programs that are running cannot live with. The rules are in the folder lint/ and
-- in docs/api/lint.md; m:allow(rule, reason) before an operation lets it pass.
local core = require "perigee.core"
local model = require "perigee.schema.model"
local rules = require "perigee.migrate.lint.rules"
local server = require "perigee.migrate.lint.server"
local transactions = require "perigee.migrate.lint.transactions"
local util = require "perigee.util"
local walk = require "perigee.migrate.lint.walk"
local whole = require "perigee.migrate.lint.whole"

local M = {
  --- All rules: { id, level, databases, danger, safe, loses }.
  rules = rules.list,
}

-- ---- what is allowed -------------------------------------------------------

local PLACEHOLDERS = { ["state why"] = true, ["todo"] = true, ["why"] = true }

-- Has somebody written why?
local function is_reason(reason)
  local text = type(reason) == "string" and reason:lower():match "^%s*(.-)[%s.:…]*$" or ""
  return text ~= "" and not PLACEHOLDERS[text] and not text:find "^todo"
end

local function place(at)
  return at and at.file and ("%s:%s: "):format(at.file, tostring(at.line)) or ""
end

local function same_place(a, b)
  return a and b and a.file == b.file and a.line == b.line
end

-- The allows of each operation: { [op] = { [rule] = { reason, used } } }, and all of them
-- as a list. What one call records (a column and its index) is allowed together.
local function read_allows(list)
  local by_op, all, last = {}, {}, nil
  for i, op in ipairs(list) do
    local mine = {}
    for _, allow in ipairs(op.allows or {}) do
      rules.find(allow.rule, place(op.at) .. "allow: ")
      mine[allow.rule] = { rule = allow.rule, reason = allow.reason, op = op }
      all[#all + 1] = mine[allow.rule]
    end
    local goes_on = i > 1 and not op.allows and same_place(op.at, list[i - 1].at)
    last = goes_on and last or mine
    by_op[op] = last
  end
  return by_op, all
end

-- The option `allow`: { [rule] = reason }.
local function check_option(allow)
  for id, reason in pairs(allow or {}) do
    rules.find(id, "allow: ")
    if not is_reason(reason) then
      util.usage('allow: "%s": a reason is expected, not "%s"', id, tostring(reason))
    end
  end
  return allow or {}
end

-- ---- findings --------------------------------------------------------------

local Report = {}
Report.__index = Report

local function new_report(o)
  return setmetatable({
    findings = {}, seen = {}, allow = check_option(o.allow), by_op = {}, covered = {},
  }, Report)
end

-- Is the finding let through? Otherwise a hint about an allow that says nothing.
local function is_allowed(report, rule, op)
  if report.allow[rule.id] then return true end
  local allow = op and report.by_op[op] and report.by_op[op][rule.id]
  if not allow then return false end
  allow.used = true
  if is_reason(allow.reason) then return true end
  return false, ('m:allow("%s", "%s") does not say why'):format(rule.id, allow.reason)
end

local function cover(report, rule, key)
  local kind = rule.fact or (rule.sized and "scan")
  if not kind or not key then return end
  report.covered[key] = report.covered[key] or {}
  report.covered[key][kind] = true
end

-- Where a finding is: file, line, migration.
local function locate(finding, m, f, at)
  if m then finding.path, finding.migration = m.path or m.name, m.id end
  if at then finding.path, finding.line = at.file, at.line end
  finding.path = f.path or finding.path
  finding.migration = f.migration or finding.migration
  return finding
end

--- Adds a finding { message, at, hint, level, path } of a rule about an operation.
function Report:add(rule, unit, f)
  local op = unit and (unit.origin or unit)
  local allowed, hint = is_allowed(self, rule, op)
  if allowed then return end
  local finding = locate({
    level = f.level or rule.level, rule = rule.id, message = f.message,
    phase = self.phase, hint = hint or f.hint or rule.safe,
  }, self.migration, f, f.at or op and op.at)
  local key = table.concat({ finding.migration or "", finding.phase or "",
    tostring(finding.line), finding.rule, finding.message }, "\0")
  if self.seen[key] then return end
  self.seen[key] = true
  self.findings[#self.findings + 1] = finding
end

-- What check() gives as a list of findings.
local function as_list(found)
  if not found then return {} end
  if type(found) == "string" then return { { message = found } } end
  return found
end

-- ---- a phase ---------------------------------------------------------------

local function key_of(unit) return unit.raw and unit.sql or unit end

-- What the server says of a unit, asked once for a statement.
local function facts_of(run, c, unit)
  if not run.space then return nil end
  local key = key_of(unit)
  local known = run.facts[key]
  if known == nil then
    known = server.facts(run.space, c, unit) or false
    run.facts[key] = known
    run.asked[#run.asked + 1] = { key = key, unit = unit, facts = known }
  end
  return known or nil
end

local FACT = { rewrite = "rewrites", scan = "scans", rebuild = "rebuilds" }

local function is_refuted(rule, facts)
  return rule.fact ~= nil and facts ~= nil and next(facts[FACT[rule.fact]]) == nil
    and next(facts.rewrites) == nil
end

local function size_of(run, unit)
  local name = type(unit.table) == "string" and unit.table or unit.name
  if unit.schema or not run.sizes or unit.op == "drop_index" then return nil end
  return server.tell_size(run.sizes[name])
end

local function mark_used(report, rule, unit)
  local allow = report.by_op[unit.origin or unit]
  if allow and allow[rule.id] then allow[rule.id].used = true end
end

local function visit(run, report, wanted)
  return function(unit, c)
    local facts = facts_of(run, c, unit)
    for _, rule in ipairs(rules.about(unit.op)) do
      local use = rules.is_for(rule, run.name) and wanted(rule)
      for _, f in ipairs(use and as_list(rule.check(unit, c)) or {}) do
        if is_refuted(rule, facts) then
          mark_used(report, rule, unit)
        else
          cover(report, rule, key_of(unit))
          local size = rule.sized and size_of(run, unit)
          if size then f.message = ("%s (%s)"):format(f.message, size) end
          report:add(rule, unit, f)
        end
      end
    end
  end
end

-- What the server may say, and the rules that tell it.
local TELL = {
  { "rewrite", { "table-rewrite", "mysql-copy-algorithm" } },
  { "scan", { "table-scan", "mysql-writes-wait" } },
  { "rebuild", { "mysql-rebuild" } },
}

local function teller(run, ids)
  for _, id in ipairs(ids) do
    if rules.is_for(rules.by_id[id], run.name) then return rules.by_id[id] end
  end
end

local function sorted_names(set)
  local names = {}
  for name in pairs(set) do names[#names + 1] = name end
  table.sort(names)
  return names
end

local function told(run, rule, name, facts)
  local message, size = rule.told:format(name), server.tell_size(run.sizes[name])
  if facts.why[name] then message = ("%s: %s"):format(message, facts.why[name]) end
  return size and ("%s (%s)"):format(message, size) or message
end

-- What the server said of a statement and no rule had told. What is written anew is read,
-- too.
local function tell_entry(run, report, entry)
  local covered = report.covered[entry.key] or {}
  for _, tell in ipairs(TELL) do
    local names = sorted_names(entry.facts[FACT[tell[1]]])
    if covered.rewrite or covered[tell[1]] then return end
    local rule = teller(run, tell[2])
    for _, name in ipairs(names) do
      report:add(rule, entry.unit, { message = told(run, rule, name, entry.facts) })
    end
    if #names > 0 then return end
  end
end

local function tell_facts(run, report)
  for _, entry in ipairs(run.asked) do
    if entry.facts then tell_entry(run, report, entry) end
  end
end

local function any() return true end

local function look_at_phase(run, report, m, phase)
  local list = m[phase] or {}
  report.migration, report.phase = m, phase
  local allows
  report.by_op, allows = read_allows(list)
  run.facts, run.asked, report.covered = {}, {}, {}
  local c = walk.phase(run, list, visit(run, report, any))
  tell_facts(run, report)
  transactions.check({
    name = run.name, dialect = run.dialect, online = run.online, fresh = c.fresh,
    default_schema = c.default_schema,
  }, list, function(rule, op, f) report:add(rule, op, f) end)
  for _, allow in ipairs(allows) do
    local rule = rules.by_id[allow.rule]
    if not allow.used and rules.is_for(rule, run.name) and (run.space or not rule.told) then
      report:add(rules.by_id["unused-allow"], allow.op, {
        message = ('m:allow("%s"): nothing here needs it'):format(allow.rule) })
    end
  end
end

local function look_at_migration(run, report, m)
  look_at_phase(run, report, m, "up")
  if m.finish then look_at_phase(run, report, m, "finish") end
  read_allows(m.down or {})
  report.phase = nil
  whole.check_migration(m, function(rule, op, f) report:add(rule, op, f) end)
end

-- ---- where it begins -------------------------------------------------------

-- The tables before the first migration: of the database when it comes next, else what
-- the migrations before it make. Are they those that are there now?
local function first_tree(list, o)
  if o.tree then return model.copy(o.tree), true end
  local first = list[1]
  if o.x and not (o.applied or {})[first and first.id] then
    return o.dialect.inspect(o.x, o.inspect), true
  end
  local tree = model.empty()
  if not o.graph or not first then return tree, false end
  local run = { name = o.dialect.name, dialect = o.dialect, tree = tree }
  local set = o.graph:ancestors(first.after or {})
  for _, id in ipairs(o.graph:ordered(set)) do
    local m = o.graph.by_id[id]
    walk.apply(run, m.up or {})
    walk.apply(run, m.finish or {})
  end
  return tree, false
end

local LEVELS = { error = "errors", warning = "warnings", info = "infos" }

local function result_of(report, notes)
  local out = { findings = report.findings, errors = 0, warnings = 0, infos = 0, notes = notes }
  for _, f in ipairs(report.findings) do
    out[LEVELS[f.level]] = out[LEVELS[f.level]] + 1
  end
  return out
end

local function sort(report, list)
  local position = {}
  for i, m in ipairs(list) do position[m.id] = i end
  local PHASES = { up = 1, finish = 2 }
  for i, f in ipairs(report.findings) do f.n = i end
  table.sort(report.findings, function(a, b)
    local one = { position[a.migration] or 0, PHASES[a.phase] or 0, a.line or 0, a.n }
    local two = { position[b.migration] or 0, PHASES[b.phase] or 0, b.line or 0, b.n }
    for i = 1, 4 do
      if one[i] ~= two[i] then return one[i] < two[i] end
    end
    return false
  end)
  for _, f in ipairs(report.findings) do f.n = nil end
end

local OPTIONS = {
  "allow", "applied", "changed", "definitions", "dialect", "edited", "graph", "inspect",
  "online", "tree", "x",
}

local function look(run, report, list)
  for _, m in ipairs(list) do look_at_migration(run, report, m) end
end

local function look_at_files(report, tree, is_now, o)
  local function emit(rule, op, f) report:add(rule, op, f) end
  whole.check_files(o, emit)
  if o.definitions and is_now then whole.check_hints(o.definitions, tree, emit) end
end

-- The database is asked where the dialect knows how; without the right to do so the
-- rules alone are told.
local function with_server(run, notes, o, fn)
  if not (o.x and o.dialect.measure) then return fn() end
  local entered = false
  local ok, err = pcall(o.dialect.measure, o.x, function(space)
    entered = true
    run.space, run.sizes = space, o.dialect.sizes(space.x)
    fn()
  end)
  if ok then return end
  if entered or getmetatable(err) ~= core.error or err.kind ~= "permission" then error(err, 0) end
  notes[1] = "the server was not asked: " .. err.message
  run.space = nil
  fn()
end

--- Looks at migrations.
-- @tparam {table,...} list recorded migrations, in order
-- @tparam table o dialect; x (handle: its tables are read, and the server is asked), tree
-- (the tables before the first, instead), graph (of all migrations), applied (set of ids),
-- allow ({ [rule] = reason }), online (boolean, true), inspect (options for dialect.inspect),
-- changed and edited (summaries of files that differ from what was applied), definitions
-- (a completed tree)
-- @treturn table { findings = { { level = "error"|"warning"|"info", rule, message, path,
-- line, phase, hint, migration },… }, errors, warnings, infos (counts), notes (texts) }
-- @raise usage: an m:allow with the name of no rule
function M.run(list, o)
  util.check_options("lint", o, OPTIONS)
  local report, notes = new_report(o), {}
  local tree, is_now = first_tree(list, o)
  look_at_files(report, tree, is_now, o)
  local run = {
    name = o.dialect.name, dialect = o.dialect, online = o.online ~= false, tree = tree,
  }
  with_server(run, notes, o, function() look(run, report, list) end)
  sort(report, list)
  return result_of(report, notes)
end

-- ---- the gate --------------------------------------------------------------

local function destroys(rule) return rule.loses == true end

--- What must not run without m:allow(rule, reason): operations that destroy data. Nothing
-- is asked.
-- @tparam {table,...} list recorded migrations
-- @tparam table o dialect; allow ({ [rule] = reason }), phase ("up", "finish" or "down")
-- @treturn {table,...} findings, as of run
-- @raise usage: an m:allow with the name of no rule
function M.gate(list, o)
  util.check_options("gate", o, { "allow", "dialect", "phase" })
  local report = new_report(o)
  local run = { name = o.dialect.name, dialect = o.dialect }
  for _, m in ipairs(list) do
    run.tree = model.empty()
    report.migration, report.phase = m, o.phase
    report.by_op = read_allows(m[o.phase or "up"] or {})
    walk.phase(run, m[o.phase or "up"] or {}, visit(run, report, destroys))
  end
  return report.findings
end

return M
