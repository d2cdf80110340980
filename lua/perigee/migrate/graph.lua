--- The graph of migrations: parents, heads, revisions by name, ranges. Pure.
-- A migration is named by its id, a unique prefix of it or of its file's name, a label,
-- `head`, `heads`, `base`, `current`, `label@head`, `NAME+n` and `NAME-n`.
-- Parents are `after` and `depends`; only `after` makes branches.
local problem = require "perigee.migrate.problem"
local util = require "perigee.util"

local usage = util.usage
local graph = {}
graph.__index = graph
local M = {}

local SHORTEST = 3 -- letters of a prefix

local function each_parent(m, fn)
  for _, id in ipairs(m.after or {}) do fn(id, true) end
  for _, id in ipairs(m.depends or {}) do fn(id, false) end
end

local function place(m)
  return m.path or m.name or m.id
end

-- ---- building --------------------------------------------------------------

local function enter(g, m)
  local other = g.by_id[m.id]
  if other then
    usage("%s: the id %s is that of %s too", place(m), m.id, place(other))
  end
  g.by_id[m.id] = m
  g.children[m.id] = {}
  for _, label in ipairs(m.labels or {}) do
    other = g.labels[label]
    if other then
      usage("%s: the label %q is that of %s too", place(m), label, place(g.by_id[other]))
    end
    g.labels[label] = m.id
  end
end

local function link(g, m)
  local seen = {}
  each_parent(m, function(id, is_after)
    local parent = g.by_id[id] or g.labels[id] and g.by_id[g.labels[id]]
    if not parent then
      usage("%s: there is no migration %s, which it comes after", place(m), id)
    end
    if is_after and seen[id] then usage("%s: %s is named twice in after", place(m), id) end
    seen[id] = is_after or seen[id]
    if is_after then
      local list = g.children[parent.id]
      list[#list + 1] = m.id
    end
  end)
end

-- Parents first, else in the order given; an error names a cycle.
local function sort(g, list)
  local state, order, trail = {}, {}, {}
  local function visit(m)
    if state[m.id] == "done" then return end
    trail[#trail + 1] = m
    if state[m.id] then
      local names, from = {}, 1
      while trail[from] ~= m do from = from + 1 end
      for i = from, #trail do names[#names + 1] = trail[i].id end
      usage("%s: migrations come after each other in a circle: %s", place(m),
        table.concat(names, " -> "))
    end
    state[m.id] = "open"
    each_parent(m, function(id) visit(g.by_id[id] or g.by_id[g.labels[id]]) end)
    state[m.id] = "done"
    trail[#trail] = nil
    order[#order + 1] = m
  end
  for _, m in ipairs(list) do visit(m) end
  return order
end

--- Builds the graph.
-- @tparam {table,...} list recorded migrations in the order of their files
-- @raise usage: an id or label twice, a parent that does not exist, a circle
function M.new(list)
  local g = setmetatable({ by_id = {}, children = {}, labels = {} }, graph)
  for _, m in ipairs(list) do enter(g, m) end
  for _, m in ipairs(list) do link(g, m) end
  g.list = sort(g, list)
  return g
end

-- ---- sets ------------------------------------------------------------------

local function set_of(ids)
  local set = {}
  for _, id in ipairs(ids) do set[id] = true end
  return set
end

--- The ids in topological order of what is in the set.
function graph:ordered(set)
  local ids = {}
  for _, m in ipairs(self.list) do
    if set[m.id] then ids[#ids + 1] = m.id end
  end
  return ids
end

--- Parents of a migration: ids of `after`, and of `depends` with `all`.
function graph:parents(id, all)
  local ids = {}
  each_parent(self.by_id[id], function(parent, is_after)
    if is_after or all then
      ids[#ids + 1] = self.by_id[parent] and parent or self.labels[parent]
    end
  end)
  return ids
end

--- The set of the ids and all they come after.
-- @tparam {string,...} ids
-- @tparam[opt] boolean only_after leave `depends` out
function graph:ancestors(ids, only_after)
  local set, open = {}, {}
  for _, id in ipairs(ids) do open[#open + 1] = id end
  while #open > 0 do
    local id = table.remove(open)
    if not set[id] and self.by_id[id] then
      set[id] = true
      for _, parent in ipairs(self:parents(id, not only_after)) do open[#open + 1] = parent end
    end
  end
  return set
end

--- The set of the ids and all that comes after them, also by `depends`.
function graph:descendants(ids)
  local set = set_of(ids)
  for _, m in ipairs(self.list) do
    for _, parent in ipairs(self:parents(m.id, true)) do
      if set[parent] then set[m.id] = true end
    end
  end
  return set
end

--- Ids that nothing comes after, in the set (default: of all).
function graph:heads(set)
  local ids = {}
  for _, m in ipairs(self.list) do
    local is_head = not set or set[m.id]
    for _, child in ipairs(self.children[m.id]) do
      if not set or set[child] then is_head = false end
    end
    if is_head then ids[#ids + 1] = m.id end
  end
  return ids
end

--- Ids that come after nothing.
function graph:bases()
  local ids = {}
  for _, m in ipairs(self.list) do
    if #(m.after or {}) == 0 then ids[#ids + 1] = m.id end
  end
  return ids
end

--- Raises that there are several heads, and says what to do.
function M.several(heads)
  local last = heads[#heads]
  error(problem.new(problem.DECISION, ("there are %d heads: %s; join them with merge, "
    .. "move one behind the other with rebase (rebase %s), or name one")
    :format(#heads, table.concat(heads, ", "), last), { heads = heads }), 0)
end

--- The only head, nil when there is no migration.
-- @raise migration (exit 4) when there are several
function graph:head(set)
  local heads = self:heads(set)
  if #heads > 1 then M.several(heads) end
  return heads[1]
end

-- ---- names -----------------------------------------------------------------

local function starts(text, prefix)
  return text ~= nil and text:sub(1, #prefix) == prefix
end

--- The id that a full id, a label or a unique prefix names, or nil.
-- @raise usage when a prefix fits several
function graph:lookup(text)
  if self.by_id[text] then return text end
  if self.labels[text] then return self.labels[text] end
  if #text < SHORTEST then return nil end
  local found = {}
  for _, m in ipairs(self.list) do
    if starts(m.id, text) or starts(m.name, text) then found[#found + 1] = m.id end
  end
  if #found > 1 then
    usage("%q fits %d migrations: %s", text, #found, table.concat(found, ", "))
  end
  return found[1]
end

--- As lookup, but it has to be there.
-- @raise usage
function graph:find(text)
  if type(text) ~= "string" or text == "" then
    usage("a revision is a string, not %s", type(text))
  end
  local id = self:lookup(text)
  if id then return id end
  usage("there is no migration %q: give an id, the beginning of one (%d letters or more), "
    .. "a label, head, heads, base or current", text, SHORTEST)
end

-- Heads of the branch that a label or revision is on.
local function branch_heads(g, name, all)
  local heads = g:heads(g:descendants { g:find(name) })
  if #heads > 1 and not all then M.several(heads) end
  return heads
end

local function applied_heads(g, applied)
  return g:heads(applied or {})
end

local function one_of(name, ids)
  if #ids > 1 then
    problem.raise(problem.DECISION, "%s stands for %d migrations: %s; name one", name, #ids,
      table.concat(ids, ", "))
  end
  return ids[1]
end

-- n children up; a branch has to be named.
local function climb(g, id, n)
  for _ = 1, n do
    local next_ids = id and g.children[id] or g:bases()
    if #next_ids == 0 then usage("there are fewer than %d migrations after that", n) end
    id = one_of(("the migration after %s"):format(id or "base"), next_ids)
  end
  return id
end

-- n parents down; nil is base.
local function descend(g, id, n)
  for _ = 1, n do
    if not id then usage("there are fewer than %d migrations before that", n) end
    id = one_of(("the migration before %s"):format(id), g:parents(id))
  end
  return id
end

local function relative(g, name, n, applied)
  local start
  if name == "" or name == "current" then
    start = one_of("current", applied_heads(g, applied))
  elseif name == "head" then
    start = g:head()
  elseif name == "base" then
    start = nil
  else
    start = g:find(name)
  end
  local id
  if n >= 0 then id = climb(g, start, n) else id = descend(g, start, -n) end
  return { id }
end

--- The ids that a name of a revision stands for: {} for `base`, several for `heads`.
-- @tparam string text
-- @tparam[opt] table applied set of applied ids, for `current`, `+n` and `-n`
-- @raise usage when there is none, migration (exit 4) when one has to be chosen
function graph:resolve(text, applied)
  if type(text) ~= "string" or text == "" then
    usage("a revision is a string, not %s", text == "" and "an empty one" or type(text))
  end
  if text == "base" then return {} end
  if text == "head" then return { self:head() } end
  if text == "heads" then return self:heads() end
  if text == "current" then return applied_heads(self, applied) end
  local label, which = text:match "^(.+)@(heads?)$"
  if label then return branch_heads(self, label, which == "heads") end
  local id = self:lookup(text)
  if id then return { id } end
  local name, sign, n = text:match "^(.-)([+-])(%d+)$"
  if name then
    return relative(self, name, tonumber(sign .. n), applied)
  end
  return { self:find(text) }
end

--- The two ends of "a:b" (or "a..b"): lists of ids. Without a colon the text is `b`,
-- after the parents of which the range begins.
-- @treturn {string,...} from: not in the range; {} is base
-- @treturn {string,...} to
function graph:range(text, applied)
  if text == nil then return {}, self:heads() end
  if type(text) ~= "string" then usage("a range is a string \"a:b\", not %s", type(text)) end
  local a, b = text:match "^(.-)%.%.(.*)$"
  if not a then a, b = text:match "^(.-):(.*)$" end
  if not a then
    local to = self:resolve(text, applied)
    local from = {}
    for _, id in ipairs(to) do
      for _, parent in ipairs(self:parents(id)) do from[#from + 1] = parent end
    end
    return from, to
  end
  return a == "" and {} or self:resolve(a, applied),
    b == "" and self:heads() or self:resolve(b, applied)
end

--- Ids after `from` up to `to`, parents first.
-- @raise usage when `from` is not before `to`
function graph:between(from, to)
  local inside, before = self:ancestors(to), self:ancestors(from)
  for _, id in ipairs(from) do
    if not inside[id] then
      usage("%s does not come before %s", id, #to == 0 and "base" or table.concat(to, ", "))
    end
  end
  for id in pairs(before) do inside[id] = nil end
  return self:ordered(inside)
end

--- What is missing in `applied` to have `targets`, parents first.
function graph:pending(applied, targets)
  local wanted = self:ancestors(targets)
  for id in pairs(applied) do wanted[id] = nil end
  return self:ordered(wanted)
end

-- ---- drawing ---------------------------------------------------------------

local function index_of(lanes, id, from)
  for i = from or 1, #lanes do
    if lanes[i] == id then return i end
  end
  return nil
end

-- A line of `n` lanes drawn by fn(i) -> the lane's sign and what follows it.
local function line_of(n, fn)
  local out = {}
  for i = 1, n do
    local sign, gap = fn(i)
    out[#out + 1] = sign .. (gap or " ")
  end
  return (table.concat(out):gsub("%s+$", ""))
end

-- Lane j ends in lane i, to its left; lanes beyond j move left.
local function join_line(n, i, j)
  return line_of(n, function(k)
    if k == j then return " ", n > j and "/" or " " end
    if k > j then return " ", k < n and "/" or " " end
    if k == j - 1 then return "|", "/" end
    return "|", k >= i and "_" or " "
  end)
end

-- A new lane begins right of lane i; lanes beyond move right.
local function fork_line(n, i)
  return line_of(n, function(k)
    if k < i then return "|", " " end
    if k == i then return "|", "\\" end
    return " ", "\\"
  end)
end

local function draw_node(lanes, m, rows)
  local i = index_of(lanes, m.id)
  if not i then
    lanes[#lanes + 1] = m.id
    i = #lanes
  end
  local j = index_of(lanes, m.id, i + 1)
  while j do
    rows[#rows + 1] = { graph = join_line(#lanes, i, j) }
    table.remove(lanes, j)
    j = index_of(lanes, m.id, i + 1)
  end
  rows[#rows + 1] = { graph = line_of(#lanes, function(k)
    return k == i and "*" or "|"
  end), id = m.id, migration = m }
  return i
end

--- The history drawn, newest first: rows { graph = "* |", id =, migration = }; rows
-- without an id only connect.
-- @tparam[opt] table set only these ids
function graph:draw(set)
  local lanes, rows = {}, {}
  for n = #self.list, 1, -1 do
    local m = self.list[n]
    if not set or set[m.id] then
      local i = draw_node(lanes, m, rows)
      local parents = {}
      for _, id in ipairs(self:parents(m.id)) do
        if not set or set[id] then parents[#parents + 1] = id end
      end
      for k = 2, #parents do
        rows[#rows + 1] = { graph = fork_line(#lanes, i + k - 2) }
        table.insert(lanes, i + k - 1, parents[k])
      end
      if parents[1] then lanes[i] = parents[1] else table.remove(lanes, i) end
      if #lanes == 0 then rows[#rows + 1] = { graph = "" } end -- what follows is another
    end
  end
  if #rows > 0 and rows[#rows].graph == "" then rows[#rows] = nil end
  return rows
end

return M
