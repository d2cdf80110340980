--- The language of definitions: what a script such as schema.lua can say. Runs inside
-- the sandbox (core.sandbox): gives back a function that is called with the script and
-- returns its tree, plain data.
local L, body, elements
local tree, waiting

local function push(list, e)
  list[#list + 1] = e
end

-- ---- statements ------------------------------------------------------------

local words = {}

--- table("orders", function(t) … end), table("orders", { options }, function(t) … end)
local function define_table(_, name, o, fn)
  local at = L.here()
  if fn == nil and type(o) == "function" then o, fn = {}, o end
  if type(fn) ~= "function" then
    L.fail('table %s: table("name", function(t) … end) is expected, not %s', L.show(name),
      L.show(fn))
  end
  local t = body.run(name, o == nil and {} or o, fn, at)
  for _, other in ipairs(tree.tables) do
    if other.name == t.name and other.schema == t.schema then
      L.fail_at(at, "table %s is defined twice (first at %s:%d)",
        t.schema and t.schema .. "." .. t.name or t.name, other.at.file, other.at.line)
    end
  end
  push(tree.tables, t)
end

local function add_enum(name, v, at)
  local what = "enum " .. L.label(name)
  L.need_table(what, v, "a list of values")
  L.check_options(what, v, { "comment", "schema" }, true)
  local schema, plain = L.name("enum", name, L.text(what, v, "schema"))
  local values = L.enum_values(what, v)
  for _, other in ipairs(tree.enums) do
    if other.name == plain and other.schema == schema then
      L.fail_at(at, "enum %s is defined twice (first at %s:%d)", L.label(name),
        other.at.file, other.at.line)
    end
  end
  push(tree.enums, {
    schema = schema, name = plain, values = values, comment = L.text(what, v, "comment"),
    at = at,
  })
  L.know_enum(schema, plain, values)
end

--- enum "order_status" { "new", "paid" }
function words.enum(name, values)
  local at = L.here()
  if values ~= nil then return add_enum(name, values, at) end
  local entry = { at = at, what = "enum " .. L.label(name) .. ": a list of values must follow" }
  push(waiting, entry)
  return function(v)
    entry.done = true
    add_enum(name, v, at)
  end
end

--- view("open_orders", { after = … }, [[SELECT …]])
function words.view(name, o, sql)
  local at = L.here()
  local v = elements.view(name, o, sql, at)
  v.was = L.is_plain(o) and L.text("view " .. v.name, o, "was") or nil
  push(tree.views, v)
end

--- schema_object { kind =, name =, sql =, … }
function words.schema_object(o)
  push(tree.objects, elements.object("schema_object", o, L.here()))
end

-- ---- objects with words of their own ---------------------------------------

local function quote(name)
  return '"' .. name:gsub('"', '""') .. '"'
end

local function qualified(schema, name)
  return schema and quote(schema) .. "." .. quote(name) or quote(name)
end

-- A statement name { options } or name(n, options): its options, schema and name.
local function options_of(what, name, o, allowed)
  o = o == nil and {} or o
  local title = what .. " " .. L.label(name)
  L.need_table(title, o, "a table of options")
  L.check_options(title, o, allowed)
  local schema, plain = L.name(what, name, L.text(title, o, "schema"))
  return o, schema, plain, title
end

local function after_of(title, o)
  return o.after ~= nil and L.names(title .. ": after", o.after) or nil
end

--- extension "citext"
function words.extension(name, o)
  local at, title = L.here(), "extension " .. L.label(name)
  if type(name) ~= "string" or name == "" then
    L.fail("extension: a name is expected, not %s", L.show(name))
  end
  o = L.need_table(title, o or {}, "a table of options")
  L.check_options(title, o, { "after", "comment", "schema", "version" })
  local schema = L.text(title, o, "schema")
  push(tree.objects, {
    kind = "extension", name = name, schema = schema, after = after_of(title, o), at = at,
    version = L.text(title, o, "version"), comment = L.text(title, o, "comment"),
    sql = "CREATE EXTENSION " .. quote(name) .. (schema and " SCHEMA " .. quote(schema) or ""),
  })
end

local DOMAIN = { "after", "base", "check", "collation", "comment", "default", "null", "schema" }

-- The base of a domain as PostgreSQL, which alone has domains, names it.
local function base_text(title, v)
  if type(v) == "string" and v ~= "" then return v end
  local ty = L.type_of(title .. ": base", v)
  if ty.name == "bytes" then ty.name = "bytea" end
  return L.types.print(ty)
end

-- A comment at the end must not swallow what follows.
local function closed(text)
  return text:find("--", 1, true) and text .. "\n" or text
end

local function literal(v)
  if L.is_sql(v) then return v.word and (v.sql == "now" and "now()" or "gen_random_uuid()")
    or closed(v.sql) end
  if type(v) == "string" then return "'" .. v:gsub("'", "''") .. "'" end
  return tostring(v)
end

--- domain("posint", { base = "integer", check = "value > 0" })
function words.domain(name, o)
  local at = L.here()
  local schema, plain, title
  o, schema, plain, title = options_of("domain", name, o, DOMAIN)
  if o.base == nil then L.fail("%s: base is missing", title) end
  local sql = { "CREATE DOMAIN " .. qualified(schema, plain) .. " AS " .. base_text(title, o.base) }
  local collation, check = L.text(title, o, "collation"), L.sql_text(title, o.check)
  if collation then push(sql, "COLLATE " .. quote(collation)) end
  if o.default ~= nil then push(sql, "DEFAULT " .. literal(o.default)) end
  if L.option(title, o, "null", "boolean") == false then push(sql, "NOT NULL") end
  if check then push(sql, "CHECK (" .. closed(check) .. ")") end
  push(tree.objects, {
    kind = "domain", schema = schema, name = plain, sql = table.concat(sql, " "),
    after = after_of(title, o), comment = L.text(title, o, "comment"), at = at,
  })
end

local SEQUENCE = {
  "after", "cache", "comment", "cycle", "increment", "max", "min", "owned_by", "schema",
  "start", "type",
}

--- sequence("invoice_numbers", { start = 1000 })
function words.sequence(name, o)
  local at = L.here()
  local schema, plain, title
  o, schema, plain, title = options_of("sequence", name, o, SEQUENCE)
  local sql = { "CREATE SEQUENCE " .. qualified(schema, plain) }
  if o.type ~= nil then push(sql, "AS " .. base_text(title, o.type)) end
  for _, part in ipairs {
    { "increment", "INCREMENT BY" }, { "min", "MINVALUE" }, { "max", "MAXVALUE" },
    { "start", "START WITH" }, { "cache", "CACHE" },
  } do
    local v = L.option(title, o, part[1], "number")
    if v and v ~= math.floor(v) then L.fail("%s: %s must be a whole number", title, part[1]) end
    if v then push(sql, part[2] .. (" %d"):format(v)) end
  end
  if L.option(title, o, "cycle", "boolean") then push(sql, "CYCLE") end
  push(tree.objects, {
    kind = "sequence", schema = schema, name = plain, sql = table.concat(sql, " "),
    after = after_of(title, o), owned_by = L.text(title, o, "owned_by"),
    comment = L.text(title, o, "comment"), at = at,
  })
end

-- trigger(name, options, sql) and func(name, options, sql): objects whose whole text is
-- given.
local function with_text(kind, name, o, sql)
  if sql == nil and not L.is_plain(o) then o, sql = {}, o end
  local title = kind .. " " .. L.label(name)
  L.need_table(title, o, "a table of options")
  L.check_options(title, o, { "after", "comment", "on", "schema" })
  push(tree.objects, elements.object(title, {
    kind = kind, name = name, sql = sql, on = o.on, after = o.after, schema = o.schema,
    comment = o.comment,
  }, L.here()))
end

--- trigger("audit_orders", { on = "orders" }, [[CREATE TRIGGER …]])
function words.trigger(name, o, sql)
  if L.is_plain(o) and o.on == nil or not L.is_plain(o) then
    L.fail("trigger %s: on is missing", L.label(name))
  end
  with_text("trigger", name, o, sql)
end

--- func("add(integer, integer)", [[CREATE FUNCTION …]])
function words.func(name, o, sql)
  with_text("function", name, o, sql)
end

-- ---- a script --------------------------------------------------------------

local function surroundings()
  local all = L.type_words()
  for name, fn in pairs(words) do all[name] = fn end
  all.sql = L.sql
  all.table = setmetatable({}, { __index = table, __call = define_table, __metatable = false })
  local env
  all.require = L.require_in(function() return env end)
  env = L.environment(all)
  return env
end

--- Runs a script.
-- @tparam string source
-- @tparam string name for messages
-- @tparam table _ nothing is asked for
-- @tparam table helpers load_text, where, loader, part
-- @treturn table the tree, as the script says it
return function(source, name, _, helpers)
  L = helpers.part("language").use(helpers)
  local column = helpers.part("column").use(L)
  elements = helpers.part("elements").use(L, column)
  body = helpers.part("body").use(L, column, elements)
  waiting = {}
  tree = { tables = {}, enums = {}, views = {}, objects = {}, schemas = {}, notes = {} }
  local chunk, why = helpers.load_text(source, name, surroundings())
  if not chunk then error(why, 0) end
  chunk()
  for _, entry in ipairs(waiting) do
    if not entry.done then L.fail_at(entry.at, "%s", entry.what) end
  end
  return tree
end
