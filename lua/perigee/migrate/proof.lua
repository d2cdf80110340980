--- test: migrations up, down and up again on scratch, with a few rows in the tables.
local model = require "perigee.schema.model"
local problem = require "perigee.migrate.problem"
local replay = require "perigee.migrate.replay"
local running = require "perigee.migrate.run"
local state = require "perigee.migrate.state"

local M = {}

local ROWS = 3

-- ---- rows ------------------------------------------------------------------

-- By what the name of the type has in it: SQL of the n-th value.
local VALUES = {
  { "bool", function(n) return n % 2 == 0 and "TRUE" or "FALSE" end },
  { "uuid", function(n) return ("'00000000-0000-0000-0000-%012d'"):format(n) end },
  { "json", function() return "'{}'" end },
  { "interval", function(n) return ("'%d days'"):format(n) end },
  { "span", function(n) return ("'%d days'"):format(n) end },
  { "int", "%d" }, { "numeric", "%d" }, { "decimal", "%d" }, { "real", "%d" },
  { "double", "%d" }, { "float", "%d" },
  { "timestamp", "'2026-01-%02d 08:30:00'" }, { "datetime", "'2026-01-%02d 08:30:00'" },
  { "date", "'2026-01-%02d'" }, { "time", "'08:30:%02d'" },
  { "bytea", function() return "''" end }, { "blob", function() return "x''" end },
  { "char", "'%d'" }, { "text", "'t%d'" },
}

local function value(dialect, c, n)
  local t = c.type
  if t.enum then return dialect.literal(t.values[(n - 1) % #t.values + 1]) end
  if t.array then return "'{}'" end
  local name = (t.raw or t.name or ""):lower()
  for _, v in ipairs(VALUES) do
    if name:find(v[1], 1, true) then
      return type(v[2]) == "string" and v[2]:format(n) or type(v[2]) == "function" and v[2](n)
    end
  end
  return ("'%d'"):format(n)
end

local function insert_row(dialect, x, t, n)
  local names, values = {}, {}
  for _, c in ipairs(t.columns) do
    if not c.identity and not c.generated then
      names[#names + 1] = dialect.quote(c.name)
      values[#values + 1] = value(dialect, c, n)
    end
  end
  local into = "INSERT INTO " .. dialect.qualified(t.schema, t.name)
  if #names == 0 then return x:execute(into .. " DEFAULT VALUES") end
  x:execute(("%s (%s) VALUES (%s)"):format(into, table.concat(names, ", "),
    table.concat(values, ", ")))
end

local function count(m, s, t)
  return s.x:value("SELECT count(*) FROM " .. m.dialect.qualified(t.schema, t.name))
end

-- A few rows in each table that takes them: what a check or trigger refuses is left out.
local function fill(m, s, tree)
  for _, t in ipairs(model.sorted(tree)) do
    if count(m, s, t) == 0 then
      for n = 1, ROWS do
        pcall(s.x.transaction, s.x, function(tx) insert_row(m.dialect, tx, t, n) end)
      end
    end
  end
end

local function counts(m, s, tree)
  local out = {}
  for _, t in ipairs(tree.tables) do
    if t.kind ~= "partition" then out[model.key(t)] = count(m, s, t) end
  end
  return out
end

-- May the operations remove rows by themselves?
local function is_opaque(list)
  for _, op in ipairs(list) do
    if op.op == "sql" or op.op == "run" or op.op == "drop_table" or op.op == "rename_table" then
      return true
    end
  end
  return false
end

local function compare_counts(before, after, what)
  for name, n in pairs(before) do
    if after[name] and after[name] < n then
      return ("%s: %s had %d rows and has %d"):format(what, name, n, after[name])
    end
  end
  return nil
end

-- ---- one migration ---------------------------------------------------------

local function differences(m, a, b, what)
  local compare = require "perigee.schema.compare"
  local describe = require "perigee.schema.diff".describe
  local found = compare.trees(m.dialect, a, b, { manage = "all", phase = "up" })
  local list = {}
  for i, change in ipairs(found.changes) do
    local d = describe(change)
    list[i] = d.text or ("%s %s %s"):format(d.sign, d.kind, d.name)
  end
  for _, d in ipairs(found.decisions or {}) do list[#list + 1] = d.message end
  if #list == 0 then return nil end
  return what .. ": " .. table.concat(list, "; ")
end

local function up(m, s, one, notes)
  local o = { run = true, note = function(text) notes[#notes + 1] = text end }
  replay.run(m, s, one, "up", one.up or {}, o)
  if one.finish then replay.run(m, s, one, "finish", one.finish, o) end
end

local function down(m, s, one, notes)
  local o = { run = true, note = function(text) notes[#notes + 1] = text end }
  local row = state.has_finish(one) and { state = "finished" } or nil
  replay.run(m, s, one, "down", running.down_of(one, row), o)
end

-- Down, compare, up, compare. A message, or nil when all is well.
local function back_and_forth(m, s, one, before, notes)
  local after = s.tree_of()
  local rows = not is_opaque(one.up or {}) and counts(m, s, after) or {}
  down(m, s, one, notes)
  local bad = differences(m, s.tree_of(), before, "down does not give what was before")
    or compare_counts(rows, counts(m, s, s.tree_of()), "down loses rows")
  if bad then return bad end
  up(m, s, one, notes)
  return differences(m, s.tree_of(), after, "the second up gives something else")
end

local function test_one(m, s, one)
  local notes = {}
  local out = { id = one.id, name = one.name, notes = notes, ok = false }
  local before = s.tree_of()
  fill(m, s, before)
  local rows = counts(m, s, before)
  local ok, bad = pcall(function()
    up(m, s, one, notes)
    local after = s.tree_of()
    local lost = not is_opaque(one.up or {}) and not is_opaque(one.finish or {})
      and compare_counts(rows, counts(m, s, after), "up loses rows")
    if lost then return lost end
    local has_down = pcall(running.down_of, one, state.has_finish(one) and { state = "finished" }
      or nil)
    if not has_down then
      notes[#notes + 1] = "it cannot be taken back"
      return nil
    end
    return back_and_forth(m, s, one, before, notes)
  end)
  if not ok then bad = problem.message(bad) end
  out.ok, out.message = bad == nil, bad
  return out
end

--- Runs migrations up, down and up on scratch: `down` has to give the tables that were
-- there before, the second `up` those of the first, and no row may be lost.
-- The database is not changed.
-- @tparam[opt] string range "a:b" or a revision; default all
-- @treturn {table,...} { id, name, ok, message, notes }; ends after the first that fails
function M.test(m, range)
  local g = m:graph()
  local s = range and state.read(m.journal, m.db, g) or { applied = {} }
  local from, to = g:range(range, s.applied)
  local ids, results = g:between(from, to), {}
  m.dialect.scratch(m.db, function(scratch)
    replay.all(m, scratch, g, g:ordered(g:ancestors(from)), function() return true end,
      { run = true })
    for _, id in ipairs(ids) do
      local result = test_one(m, scratch, g.by_id[id])
      results[#results + 1] = result
      m.emit { type = "tested", id = id, name = result.name, ok = result.ok,
        message = result.message }
      if not result.ok then break end
    end
  end, { tree = replay.hint(g, g:ordered(g:ancestors(to))), schemas = m.options.schemas })
  return results
end

return M
