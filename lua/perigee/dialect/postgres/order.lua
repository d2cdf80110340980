--- Whole trees: all statements that create one, in an order in which they work, and
-- those that drop it.
local ddl = require "perigee.dialect.postgres.ddl"
local types = require "perigee.dialect.postgres.types"
local util = require "perigee.util"

local M = {}

-- What is created first when nothing else says so.
local RANKS = {
  schema = 1, extension = 2, enum = 3, type = 4, range = 4, domain = 4, sequence = 5,
  ["function"] = 6, procedure = 6, aggregate = 7, table = 8, exclusion = 9, view = 10,
  index = 11, trigger = 12, policy = 13,
}

-- Elements with lists of their own.
local NO_OBJECTS = { schema = true, enum = true, table = true, view = true }

-- An object that nobody would find again would be created each time.
local function check_kind(o)
  if RANKS[o.kind] and not NO_OBJECTS[o.kind] then return end
  local known = {}
  for kind in pairs(RANKS) do
    if not NO_OBJECTS[kind] then known[#known + 1] = kind end
  end
  table.sort(known)
  util.usage("%s%s: objects of kind %q are not known on PostgreSQL: allowed are %s",
    types.place(o.at), o.name, tostring(o.kind), table.concat(known, ", "))
end

local function title(schema, name) return schema and schema .. "." .. name or name end

-- The name without the arguments of a function.
local function plain(name) return name:match "^(.-)%(" or name end

-- A node: { kind, element, rank, n (position), what, deps = {names} }.
local function node(nodes, kind, element, n)
  local e = element
  if kind == "object" then check_kind(e) end
  local rank = RANKS[kind == "object" and e.kind or kind]
  nodes[#nodes + 1] = { kind = kind, element = e, rank = rank, n = n, deps = e.after or {} }
end

local function collect(tree)
  local nodes = {}
  for n, s in ipairs(tree.schemas or {}) do node(nodes, "schema", { name = s }, n) end
  for n, e in ipairs(tree.enums or {}) do node(nodes, "enum", e, n) end
  for n, t in ipairs(tree.tables or {}) do node(nodes, "table", t, n) end
  for n, v in ipairs(tree.views or {}) do node(nodes, "view", v, n) end
  for n, o in ipairs(tree.objects or {}) do node(nodes, "object", o, n) end
  table.sort(nodes, function(a, b)
    if a.rank ~= b.rank then return a.rank < b.rank end
    if a.kind ~= b.kind then return a.kind < b.kind end
    return a.n < b.n
  end)
  return nodes
end

-- ---- what needs what -------------------------------------------------------

local function add_text(list, text) if text then list[#list + 1] = text end end

--- All SQL inside a table's definition, in one string.
local function sql_of(t)
  local list = {}
  for _, c in ipairs(t.columns) do
    add_text(list, c.default and c.default.sql)
    add_text(list, c.generated and c.generated.sql)
    add_text(list, c.type and c.type.raw)
  end
  for _, x in ipairs(t.checks or {}) do add_text(list, x.sql) end
  for _, i in ipairs(t.indexes or {}) do
    add_text(list, i.where)
    for _, k in ipairs(i.keys) do add_text(list, k.sql) end
  end
  return table.concat(list, "\n")
end

--- The words of an SQL text, as a set.
local function words_of(sql)
  local words = {}
  for word in sql:gmatch "[%w_\128-\255$]+" do words[word] = true end
  return words
end

M.sql_of, M.words_of, M.plain, M.title = sql_of, words_of, plain, title

-- The words of what is read when the object is created: of a function the part
-- before its body, which may name what does not exist yet.
local function head_words(o)
  local sql = o.sql
  if RANKS[o.kind] == 6 then
    sql = sql:match "^(.-)%f[%w][aA][sS]%f[%W]%s*[$'E]" or sql
  end
  return words_of(sql)
end

local NEEDS_WORDS = {
  type = true, range = true, domain = true, ["function"] = true, procedure = true,
  aggregate = true,
}

-- Names that the element mentions in SQL. `after` is what is declared; types and
-- functions are also found by their names, because tables have no `after`.
local function mentioned(nd)
  local e = nd.element
  if nd.kind == "table" then return words_of(sql_of(e)) end
  if nd.kind == "object" and NEEDS_WORDS[e.kind] then return head_words(e) end
  return nil
end

local MENTIONABLE = { type = 1, range = 1, domain = 1, ["function"] = 1, aggregate = 1 }

local function index_by_name(nodes)
  local by_name, by_word = {}, {}
  for position, nd in ipairs(nodes) do
    local e = nd.element
    for _, name in ipairs { e.name, plain(e.name), title(e.schema, e.name),
      title(e.schema, plain(e.name)) } do
      local list = by_name[name] or {}
      by_name[name] = list
      if list[#list] ~= nd then list[#list + 1] = nd end
    end
    if nd.kind == "table" or nd.kind == "object" and MENTIONABLE[e.kind] then
      local word = plain(e.name)
      by_word[word] = by_word[word] or {}
      table.insert(by_word[word], { position = position, node = nd })
    end
  end
  return by_name, by_word
end

-- What the words name, in the order of the nodes.
local function named_in(words, by_word)
  local out = {}
  for word in pairs(words) do
    for _, m in ipairs(by_word[word] or {}) do out[#out + 1] = m end
  end
  table.sort(out, function(a, b) return a.position < b.position end)
  return out
end

-- The nodes that have to come before `nd`.
local function requirements(nd, by_name, by_word)
  local out = {}
  for _, name in ipairs(nd.deps) do
    for _, other in ipairs(by_name[name] or {}) do
      if other ~= nd then out[#out + 1] = other end
    end
  end
  if nd.element.on then
    for _, other in ipairs(by_name[title(nd.element.schema, nd.element.on)] or {}) do
      out[#out + 1] = other
    end
  end
  for _, m in ipairs(named_in(mentioned(nd) or {}, by_word)) do
    local is_peer = nd.kind == "table" and m.node.kind == "table"
    if m.node ~= nd and not is_peer then out[#out + 1] = m.node end
  end
  return out
end

-- Depth first; a circle (a function over the rows of the table whose check calls
-- it) is cut where it is met.
local function sorted(nodes)
  local by_name, by_word = index_by_name(nodes)
  local out, state = {}, {}
  local function visit(nd)
    if state[nd] then return end
    state[nd] = true
    for _, other in ipairs(requirements(nd, by_name, by_word)) do visit(other) end
    out[#out + 1] = nd
  end
  for _, nd in ipairs(nodes) do visit(nd) end
  return out
end

--- The elements of a tree in an order in which they can be created.
-- @treturn {table,...} { kind = "schema" | "enum" | "table" | "view" | "object", element }
function M.sorted(tree)
  return sorted(collect(tree))
end

-- ---- statements ------------------------------------------------------------

--- What an element is called in messages: `table audit.log`.
function M.what(kind, e)
  local word = kind == "object" and e.kind or kind
  return ("%s %s%s"):format(word, title(e.schema, e.name), e.on and " on " .. e.on or "")
end

local function emit(out, sqls, what, e, t)
  for _, sql in ipairs(sqls) do
    out[#out + 1] = { sql = sql, what = what, at = e.at, element = e, table = t }
  end
end

local function emit_table(out, t, ctx)
  local inner = { table = t, tree = ctx.tree }
  emit(out, ddl.create("table", t, inner), M.what("table", t), t)
  for _, i in ipairs(t.indexes or {}) do
    emit(out, ddl.create("index", i, inner),
      ("index %s on %s"):format(tostring(i.name), title(t.schema, t.name)), i, t)
  end
end

-- Foreign keys and owned sequences: when all tables are there.
local function emit_late(out, tree)
  for _, t in ipairs(tree.tables or {}) do
    for _, f in ipairs(t.foreign_keys or {}) do
      emit(out, ddl.create("foreign_key", f, { table = t }),
        ("foreign key %s on %s"):format(tostring(f.name), title(t.schema, t.name)), f, t)
    end
  end
  for _, o in ipairs(#(tree.tables or {}) > 0 and tree.objects or {}) do
    if o.kind == "sequence" and o.owned_by then
      emit(out, { ddl.owned(o) }, M.what("object", o), o)
    end
  end
end

--- All statements that create a tree.
-- @treturn {table,...} { sql =, what =, at =, element =, table = }
function M.create_tree(tree, ctx)
  ctx = ctx or {}
  local out, left = {}, #(tree.tables or {})
  for _, nd in ipairs(M.sorted(tree)) do
    local e = nd.element
    if nd.kind == "table" then
      emit_table(out, e, ctx)
      left = left - 1
      if left == 0 then emit_late(out, tree) end
    else
      emit(out, ddl.create(nd.kind, e, { tree = ctx.tree }), M.what(nd.kind, e), e)
    end
  end
  return out
end

--- All statements that drop what create_tree creates, in the opposite order.
-- @treturn {table,...} { sql =, what =, at = }
function M.drop_tree(tree)
  local out = {}
  for _, t in ipairs(tree.tables or {}) do
    for _, f in ipairs(t.foreign_keys or {}) do
      emit(out, ddl.drop("foreign_key", f, { table = t }),
        ("foreign key %s on %s"):format(tostring(f.name), title(t.schema, t.name)), f)
    end
  end
  local nodes = M.sorted(tree)
  for n = #nodes, 1, -1 do
    local nd = nodes[n]
    local e = nd.element
    -- an owned sequence goes with its table
    if not (nd.kind == "object" and e.kind == "sequence" and e.owned_by) then
      emit(out, ddl.drop(nd.kind, e), M.what(nd.kind, e), e)
    end
  end
  return out
end

return M
