--- The verbs that write files: revision, merge, rebase, squash and repair.
local core = require "perigee.core"
local differ = require "perigee.migrate.differ"
local files = require "perigee.migrate.files"
local graph = require "perigee.migrate.graph"
local ops = require "perigee.schema.ops"
local problem = require "perigee.migrate.problem"
local session = require "perigee.migrate.session"
local state = require "perigee.migrate.state"
local text = require "perigee.migrate.text"
local util = require "perigee.util"

local usage = util.usage
local M = {}

local function need_message(verb, message)
  if type(message) ~= "string" or not message:find "%S" then
    usage("%s: a message is expected (message = \"…\")", verb)
  end
  return message
end

local function path_of(m, name)
  return (m.dir:gsub("/+$", "")) .. "/" .. name .. ".lua"
end

-- Writes a new file and reads it back; what it is written from is recorded the same.
local function write_new(m, spec)
  spec.id, spec.dialect = spec.id or files.new_id(), m.dialect
  local name = spec.name or files.name(core.wall_time(), spec.message)
  local path, source = path_of(m, name), require "perigee.migrate.revision".text(spec)
  files.parse(source, path)
  files.write(path, source)
  return { id = spec.id, name = name, path = path, after = spec.after, message = spec.message }
end

local function read_file(path)
  local f, why = io.open(path, "rb")
  if not f then usage("%s", why) end
  local source = f:read "*a"
  f:close()
  return source
end

-- ---- revision --------------------------------------------------------------

local function parents_of(g, s, o)
  if o.head == nil then
    local head = g:head()
    return head and { head } or {}
  end
  local list = type(o.head) == "table" and o.head or { o.head }
  local ids = {}
  for _, name in ipairs(list) do
    for _, id in ipairs(g:resolve(name, s.applied)) do ids[#ids + 1] = id end
  end
  return ids
end

local function labels_of(g, o)
  local labels = type(o.labels) == "string" and { o.labels } or o.labels
  for _, label in ipairs(labels or {}) do
    if g.labels[label] then
      usage("the label %q is that of %s already", label, g.labels[label])
    end
  end
  return labels
end

-- The one migration that a name stands for.
local function only(g, verb, revision)
  local ids = g:resolve(revision, {})
  if #ids ~= 1 then usage("%s: %s is not one migration", verb, tostring(revision)) end
  return ids[1]
end

local function depends_of(g, o)
  if o.depends == nil then return nil end
  local ids = {}
  for _, name in ipairs(type(o.depends) == "table" and o.depends or { o.depends }) do
    ids[#ids + 1] = only(g, "depends", name)
  end
  return ids
end

local function check_at_head(g, s)
  state.check(s)
  state.check_open(s, {})
  local pending = g:pending(s.applied, g:heads())
  if #pending > 0 then
    error(problem.new(problem.PENDING, ("the database is behind: %s pending; upgrade it first, "
      .. "or the new one would have their changes again"):format(problem.count(#pending)),
      { pending = state.summaries(g, s, pending) }), 0)
  end
end

local function raise_decisions(decisions)
  local lines = {}
  for i, d in ipairs(decisions) do
    local hints = d.hints or d.choices
    lines[i] = d.message .. (hints and #hints > 0
      and " [" .. table.concat(hints, " | ") .. "]" or "")
  end
  error(problem.new(problem.DECISION, "a decision is needed: " .. table.concat(lines, "; "),
    { decisions = decisions }), 0)
end

-- What the comparison gives, cut into phases.
local function generate(m, g, s, o)
  check_at_head(g, s)
  local found = differ.against(m, g, s, o)
  if #(found.decisions or {}) > 0 then raise_decisions(found.decisions) end
  local up, finish = {}, {}
  for _, op in ipairs(found.changes) do
    local list = op.phase == "finish" and finish or up
    list[#list + 1] = op
  end
  local down = ops.inverse_all(up)
  local left = #found.changes > 0 and require "perigee.schema.compare".verify(m.db, found.live,
    found.all, found.wanted, { include = m.inspect_options.include,
      schemas = m.options.schemas }) or {}
  return {
    up = up, finish = #finish > 0 and finish or nil, down = down or false,
    changes = found.changes, notes = found.notes, remaining = left,
  }
end

local REVISION = {
  "message", "autogenerate", "rename", "not_rename", "drop", "phase", "head", "depends",
  "labels", "empty", "manage", "baseline",
}

--- Writes a new migration: empty, or with what the definitions have and the database
-- has not. Without a difference no file is written.
-- @tparam table opts message, autogenerate (boolean), rename, not_rename, drop, manage,
-- phase (as for diff), empty (boolean: write a file without operations when there is no
-- difference), head (the revision or revisions that it comes after), depends, labels,
-- baseline (boolean: the first migration, with all that the definitions have, for the
-- databases to come; the present one has it and is stamped)
-- @treturn table path (nil: no file), id, name, up, finish, down (counts), changes,
-- notes, verified (boolean: tried on scratch, nothing is left), remaining
-- @raise migration: exit 1 (behind), 4 (several heads, a decision is needed), 7
function M.revision(m, opts)
  local o = util.check_options("revision", opts, REVISION)
  local message = need_message("revision", o.message)
  local g = m:graph()
  local asks = o.autogenerate or o.baseline or o.head
  local s = asks and state.read(m.journal, m.db, g) or { applied = {} }
  local after, labels, depends = parents_of(g, s, o), labels_of(g, o), depends_of(g, o)
  local made = { up = {}, down = {}, changes = {}, remaining = {} }
  if o.baseline and #g.list > 0 then
    usage "revision: baseline is for the first migration, and there are some already"
  end
  if o.autogenerate or o.baseline then
    made = generate(m, g, s, o)
    if #made.changes == 0 and not o.empty then
      return { up = 0, finish = 0, down = 0, changes = {}, notes = made.notes, verified = true }
    end
  end
  local out = write_new(m, {
    after = after, message = message, labels = labels, depends = depends,
    up = made.up, finish = made.finish, down = made.down,
  })
  out.up, out.finish = #made.up, made.finish and #made.finish or 0
  out.down = made.down and #made.down or 0
  out.changes, out.notes, out.remaining = made.changes, made.notes, made.remaining
  out.verified = #made.remaining == 0
  return out
end

-- ---- merge -----------------------------------------------------------------

--- Writes a migration without operations that comes after several heads.
-- @tparam[opt] table opts message, heads (revisions; default all)
-- @treturn table path, id, name, after
function M.merge(m, opts)
  local o = util.check_options("merge", opts, { "message", "heads" })
  local g = m:graph()
  local heads = g:heads()
  if o.heads then
    heads = {}
    for _, name in ipairs(o.heads) do heads[#heads + 1] = g:find(name) end
    for i, id in ipairs(heads) do
      for k, other in ipairs(heads) do
        if i ~= k and g:ancestors({ other })[id] then
          usage("merge: %s comes before %s: there is nothing to join", id, other)
        end
      end
    end
  end
  if #heads < 2 then usage("merge: there is one head: nothing to join") end
  local message = o.message or "merge " .. table.concat(heads, " and ")
  return write_new(m, { after = heads, message = message, up = {}, down = {} })
end

-- ---- rebase ----------------------------------------------------------------

local function target_of(g, id, onto)
  if onto then return g:find(onto) end
  local others = {}
  local own = g:descendants { id }
  for _, head in ipairs(g:heads()) do
    if not own[head] and head ~= id then others[#others + 1] = head end
  end
  if #others == 0 then usage("rebase: there is no other head to move %s behind", id) end
  if #others > 1 then graph.several(others) end
  return others[1]
end

-- What is only on the branch of `id`.
local function branch_of(g, id, onto)
  local set = g:ancestors({ id }, true)
  for other in pairs(g:ancestors { onto }) do set[other] = nil end
  return set
end

local function refuse_applied(m, g, set)
  local s = state.read(m.journal, m.db, g)
  for _, id in ipairs(g:ordered(set)) do
    if s.by_id[id] then
      problem.raise(problem.HISTORY, "%s is applied in this database: only what has not left "
        .. "your branch can be rebased; use merge", id)
    end
  end
end

--- Moves a branch behind another head: `after` of its first migration is written anew.
-- Nothing on it may be applied in the database.
-- @tparam string revision the head of the branch
-- @tparam[opt] table opts onto: the revision to come after; default the other head
-- @treturn table onto, moved (ids), path (of the file that was changed)
function M.rebase(m, revision, opts)
  local o = util.check_options("rebase", opts, { "onto" })
  local g = m:graph()
  local id = g:find(revision)
  local onto = target_of(g, id, o.onto)
  local set = branch_of(g, id, onto)
  if not set[id] then usage("rebase: %s comes before %s already", id, onto) end
  refuse_applied(m, g, set)
  local moved, paths = g:ordered(set), {}
  for _, one in ipairs(moved) do
    local after, is_first = { onto }, true
    for _, parent in ipairs(g:parents(one)) do
      if set[parent] then after[#after + 1], is_first = parent, #g:parents(one) > 1 end
    end
    if is_first then paths[#paths + 1] = { g.by_id[one].path, after } end
  end
  local texts = {}
  for i, p in ipairs(paths) do
    texts[i] = text.set_after(read_file(p[1]), p[2], p[1])
    files.parse(texts[i], p[1])
  end
  for i, p in ipairs(paths) do files.write(p[1], texts[i]) end
  return { onto = onto, moved = moved, path = paths[1][1] }
end

-- ---- squash ----------------------------------------------------------------

-- The migrations from a to b, one behind the other.
local function chain(g, a, b)
  local list, id = {}, b
  while true do
    table.insert(list, 1, g.by_id[id])
    if id == a then break end
    local parents = g:parents(id, true)
    if #parents ~= 1 then
      usage("squash: %s does not come after one migration, so there is no line from %s to %s", id,
        a, b)
    end
    id = parents[1]
  end
  for i = 1, #list - 1 do
    if #g.children[list[i].id] ~= 1 then
      usage("squash: a branch begins at %s", list[i].id)
    end
  end
  return list
end

local function append(list, from)
  for _, op in ipairs(from or {}) do
    if op.op == "run" then
      usage("squash: %s is Lua, which cannot be copied; leave its migration out",
        ops.describe(op))
    end
    list[#list + 1] = op
  end
end

-- What takes the whole back, or false when a part cannot be.
local function squash_down(list)
  local down = {}
  local running = require "perigee.migrate.run"
  for i = #list, 1, -1 do
    local is_last = i == #list
    local ok, part = pcall(running.down_of, list[i], not is_last and { state = "finished" } or nil)
    if not ok then return false end
    for _, op in ipairs(part) do
      if op.op == "run" then return false end
      down[#down + 1] = op
    end
  end
  return down
end

local function squashed(list)
  local last, up = list[#list], {}
  local replaces, labels = {}, {}
  for i, one in ipairs(list) do
    append(up, one.up)
    if i < #list then append(up, one.finish) end
    if i < #list then
      for _, id in ipairs(one.replaces or {}) do replaces[#replaces + 1] = id end
      replaces[#replaces + 1] = one.id
    end
    for _, label in ipairs(one.labels or {}) do labels[#labels + 1] = label end
  end
  local finish = {}
  append(finish, last.finish)
  return {
    id = last.id, after = list[1].after, depends = list[1].depends, up = up,
    finish = #finish > 0 and finish or nil, down = squash_down(list), replaces = replaces,
    labels = #labels > 0 and labels or nil,
  }
end

local function check_squashed(m, g, list)
  local s = state.read(m.journal, m.db, g)
  local count = 0
  for _, one in ipairs(list) do
    if s.by_id[one.id] then count = count + 1 end
  end
  if count > 0 and count < #list then
    problem.raise(problem.HISTORY, "squash: this database has only a part of them: upgrade first")
  end
  for i = 1, #list - 1 do
    local row = s.by_id[list[i].id]
    if row and row.note == state.FINISH_PENDING then
      problem.raise(problem.HISTORY, "squash: the finish phase of %s is pending", row.name)
    end
  end
end

--- Makes one migration of several that come one behind the other. It keeps the id of the
-- last one, so that nothing after it changes; databases that have all of them go on.
-- @tparam string a the first
-- @tparam string b the last
-- @tparam[opt] table opts message
-- @treturn table path, id, name, removed (paths), up, down (counts)
function M.squash(m, a, b, opts)
  local o = util.check_options("squash", opts, { "message" })
  local g = m:graph()
  local first, last = only(g, "squash", a), only(g, "squash", b)
  if first == last or not g:ancestors({ last })[first] then
    usage("squash: %s does not come before %s", first, last)
  end
  local list = chain(g, first, last)
  check_squashed(m, g, list)
  local spec = squashed(list)
  spec.message = o.message or list[#list].message or "squashed"
  spec.name = list[#list].name -- the place of the last one
  local out = write_new(m, spec)
  out.removed = {}
  for i = 1, #list - 1 do
    os.remove(list[i].path)
    out.removed[i] = list[i].path
  end
  out.up, out.down = #spec.up, spec.down and #spec.down or 0
  return out
end

-- ---- repair ----------------------------------------------------------------

--- Takes a file that was changed after it was applied as what was applied.
-- @tparam string revision
-- @tparam string reason kept in the journal
-- @treturn table summary
function M.repair(m, revision, reason)
  need_message("repair", reason)
  local g = m:graph()
  local one = g.by_id[only(g, "repair", revision)]
  return session.with(m, "repair", function(run)
    local s = state.read(run.journal, run.conn, g)
    if not s.applied[one.id] then usage("repair: %s is not applied", one.id) end
    session.transaction(run, function(tx)
      run.journal:set_sums(tx, one, "repaired: " .. reason)
    end)
    return state.summary(one, run.journal:row(run.conn, one.id))
  end)
end

return M
