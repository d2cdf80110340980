--- A whole tree as statements, in an order that works.
local ddl = require "perigee.dialect.sqlite.ddl"
local lexer = require "perigee.dialect.sqlite.lexer"
local model = require "perigee.schema.model"

local M = {}

-- Views and triggers, each after those that it names in `after`; a view also after the
-- views that its text has, since definitions may say nothing.
local function dependants(tree)
  local items, by_name = {}, {}
  for _, v in ipairs(tree.views or {}) do
    items[#items + 1] = { kind = "view", element = v }
    by_name[lexer.fold(v.name)] = items[#items]
  end
  for _, o in ipairs(tree.objects or {}) do
    items[#items + 1] = { kind = "object", element = o }
    by_name[lexer.fold(o.name)] = by_name[lexer.fold(o.name)] or items[#items]
  end
  return items, by_name
end

local function needs(item, by_name)
  local list = {}
  for _, name in ipairs(item.element.after or {}) do
    list[#list + 1] = by_name[lexer.fold(name)]
  end
  for _, token in ipairs(lexer.tokens(item.element.sql)) do
    local other = (token.kind == "word" or token.kind == "name")
      and by_name[lexer.fold(token.text)]
    if other and other.kind == "view" then list[#list + 1] = other end
  end
  return list
end

local function sorted(tree)
  local items, by_name = dependants(tree)
  local out, seen = {}, {}
  local function visit(item)
    if seen[item] then return end
    seen[item] = true
    for _, other in ipairs(needs(item, by_name)) do visit(other) end
    out[#out + 1] = item
  end
  for _, item in ipairs(items) do
    if item.kind == "view" then visit(item) end
  end
  for _, item in ipairs(items) do visit(item) end
  return out
end

local function add(out, kind, element, title, ctx)
  for _, sql in ipairs(ddl.create(kind, element, ctx)) do
    out[#out + 1] = {
      sql = sql, what = "create " .. title .. " " .. element.name, at = element.at,
      kind = kind, title = title, element = element,
    }
  end
end

--- What creates a tree: tables with their indexes, parents first, then views and
-- triggers.
-- @treturn {table,...} { sql, what, at, kind, title, element }
function M.create(tree)
  local out = {}
  for _, name in ipairs(tree.schemas or {}) do ddl.create("schema", { name = name }) end
  for _, t in ipairs((model.sorted(tree))) do
    add(out, "table", t, "table")
    for _, index in ipairs(t.indexes or {}) do
      add(out, "index", index, "index", { table = t })
    end
  end
  for _, item in ipairs(sorted(tree)) do
    add(out, item.kind, item.element, item.kind == "view" and "view" or item.element.kind)
  end
  return out
end

--- A question that SQLite can only answer when the view is sound.
function M.probe(view)
  return "SELECT * FROM " .. lexer.quote(view.name) .. " LIMIT 0"
end

local function drop(out, kind, element, title)
  for _, sql in ipairs(ddl.drop(kind, element)) do
    out[#out + 1] = { sql = sql, what = "drop " .. title .. " " .. element.name, at = element.at }
  end
end

--- What drops a tree: views with their triggers, then tables, children first. Triggers of
-- tables go with them. Tables that refer to each other lose their rows one after the other:
-- their keys are looked at when all are gone.
function M.drop(tree)
  local out, list = {}, sorted(tree)
  for i = #list, 1, -1 do
    if list[i].kind == "view" then drop(out, "view", list[i].element, "view") end
  end
  local tables, cycles = model.sorted(tree)
  if #cycles > 0 then
    out[#out + 1] = { sql = "PRAGMA defer_foreign_keys = ON", what = "defer foreign keys" }
  end
  for i = #tables, 1, -1 do drop(out, "table", tables[i], "table") end
  return out
end

return M
