--- The body of a table: what `t` is in table("orders", function(t) … end). Columns are
-- assigned, so that their order is the order of the statements and none is lost; methods
-- add what is not a column. A part of the preludes (language.lua).
local M = {}

local L, column, elements

local METHODS = { "check", "comment", "foreign_key", "index", "on", "primary_key", "unique" }

local methods = {}

-- What the proxy in front of a table is for: { table =, what =, waiting = … }.
local bodies = setmetatable({}, { __mode = "k" })

local function body_of(t, name)
  local body = bodies[t]
  if not body then L.fail("%s is called with a colon: t:%s(…)", name, name) end
  if body.closed then L.fail("table %s: its definition has ended", body.title) end
  return body, ("table %s: %s"):format(body.title, name)
end

local function push(list, e)
  list[#list + 1] = e
end

-- ---- columns ---------------------------------------------------------------

local function add_primary(body, name, pk, at)
  local t = body.table
  if body.keyed then L.fail("table %s: the primary key is given twice", body.title) end
  t.primary_key = t.primary_key or { columns = {}, at = at }
  push(t.primary_key.columns, name)
  if type(pk) == "string" then t.primary_key.name = pk end
end

local function add_extras(body, name, extra, at)
  local t = body.table
  if extra.pk then add_primary(body, name, extra.pk, at) end
  if extra.unique then push(t.uniques, extra.unique) end
  if extra.foreign_key then push(t.foreign_keys, extra.foreign_key) end
  if extra.check then push(t.checks, extra.check) end
  if extra.index then push(t.indexes, extra.index) end
end

local function add_column(t, name, value)
  local body = bodies[t]
  if body.closed then L.fail("table %s: its definition has ended", body.title) end
  if type(name) ~= "string" or name == "" then
    L.fail("table %s: the name of a column is a text, not %s", body.title, L.show(name))
  end
  local title = ("%s.%s"):format(body.title, name)
  local c, extra = column.build("column " .. title, name, value, L.here())
  local old = body.seen[name]
  if old then
    L.fail_at(c.at, "column %s is defined twice (first at %s:%d)", title, old.file, old.line)
  end
  body.seen[name] = c.at or { file = "?", line = 0 }
  push(body.table.columns, c)
  add_extras(body, name, extra, c.at)
end

-- ---- methods ---------------------------------------------------------------

--- t:primary_key { "a", "b" }
function methods.primary_key(t, spec)
  local body, what = body_of(t, "primary_key")
  if body.table.primary_key then
    L.fail("table %s: the primary key is given twice", body.title)
  end
  body.table.primary_key = elements.primary_key(what, spec, L.here())
  body.keyed = true
end

--- t:unique { "a", "b" }
function methods.unique(t, spec)
  local body, what = body_of(t, "unique")
  push(body.table.uniques, elements.unique(what, spec, L.here()))
end

--- t:foreign_key { "a", ref = "other(x)" }
function methods.foreign_key(t, spec)
  local body, what = body_of(t, "foreign_key")
  push(body.table.foreign_keys, elements.foreign_key(what, spec, L.here()))
end

--- t:check("name", "expression"), t:check "expression"
function methods.check(t, name, sql, options)
  local body, what = body_of(t, "check")
  push(body.table.checks, elements.check(what, name, sql, options, L.here()))
end

--- t:index { "a", "b desc" }
function methods.index(t, spec)
  local body, what = body_of(t, "index")
  push(body.table.indexes, elements.index(what, spec, L.here()))
end

--- t:comment "text"
function methods.comment(t, text)
  local body = body_of(t, "comment")
  if type(text) ~= "string" or text == "" then
    L.fail("table %s: comment: a text is expected, not %s", body.title, L.show(text))
  end
  if body.table.comment then L.fail("table %s: the comment is given twice", body.title) end
  body.table.comment = text
end

--- t:on "sqlite" { strict = true }
function methods.on(t, database, options)
  local body, what = body_of(t, "on")
  if type(database) ~= "string" or not elements.OPTIONS[database] then
    L.fail("%s: there is no database %s: allowed are mysql, postgres, sqlite", what,
      L.show(database))
  end
  local waiting = { at = L.here(), what = ("%s %s"):format(what, database) }
  local function set(v)
    waiting.done = true
    local out = elements.options(what, database, v)
    local all = body.table.options
    all[database] = all[database] or {}
    for _, k in ipairs(L.sorted_keys(out)) do
      if all[database][k] ~= nil then
        L.fail("%s %s: %s is given twice", what, database, k)
      end
      all[database][k] = out[k]
    end
  end
  if options ~= nil then return set(options) end
  push(body.waiting, waiting)
  return set
end

local Proxy = {
  __metatable = "table body",
  __newindex = add_column,
  __index = function(t, name)
    local method = methods[name]
    if method then return method end
    L.fail('table %s: there is no method "%s"%s: there are %s', bodies[t].title,
      tostring(name), L.hint(name, METHODS), table.concat(METHODS, ", "))
  end,
}

-- ---- a table ---------------------------------------------------------------

local OPTIONS = { "comment", "schema", "was" }

--- Runs the body of a table.
-- @param name as L.name takes it
-- @tparam table o its options
-- @tparam function fn the body
-- @tparam table at
-- @treturn table the table, as in a tree, its names not completed
function M.run(name, o, fn, at)
  L.need_table("table " .. L.label(name), o, "a table of options")
  L.check_options("table " .. L.label(name), o, OPTIONS)
  local schema, plain = L.name("table", name, L.text("table", o, "schema"))
  local t = {
    schema = schema, name = plain, was = L.text("table " .. plain, o, "was"), columns = {},
    uniques = {}, foreign_keys = {}, checks = {}, indexes = {}, options = {},
    comment = L.text("table " .. plain, o, "comment"), at = at,
  }
  local title = schema and schema .. "." .. plain or plain
  local body = { table = t, title = title, seen = {}, waiting = {} }
  local proxy = setmetatable({}, Proxy)
  bodies[proxy] = body
  fn(proxy)
  body.closed = true
  for _, w in ipairs(body.waiting) do
    if not w.done then L.fail_at(w.at, "%s: a table of options must follow", w.what) end
  end
  return t
end

function M.use(language, columns, parts)
  L, column, elements = language, columns, parts
  return M
end

return M
