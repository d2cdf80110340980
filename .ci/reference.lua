-- .ci/reference.lua FOLDER: writes the annotations for editors, docs/meta, as comments
-- that LDoc reads, a file for each page of the reference (.ci/reference).

local here = arg[0]:match "^(.*)/" or "."
local root = here .. "/.."
local annotations = dofile(here .. "/annotations.lua")

local META = "docs/meta"
local LIBRARY, DEFINITIONS = META .. "/perigee/library/", META .. "/perigee-definitions/library/"

-- The pages in their order: the name, the file, what it is, and how its objects are called.
local PAGES = {
  { "perigee", LIBRARY .. "perigee.lua", "The module." },
  { "executor", LIBRARY .. "perigee/executor.lua", "Handles, connections, transactions." },
  { "tables", LIBRARY .. "perigee/table.lua", "Verbs on tables, pages, hooks." },
  { "values", LIBRARY .. "perigee/value.lua", "Values that plain Lua does not have." },
  { "errors", LIBRARY .. "perigee/error.lua", "What is raised." },
  { "hosts", LIBRARY .. "perigee/host.lua", "The loops that Perigee runs in." },
  { "schema", LIBRARY .. "perigee/schema.lua", "Definitions and reflection." },
  { "definition_files", DEFINITIONS .. "definitions.lua", "The language of definitions." },
  { "migrations", LIBRARY .. "perigee/migrations.lua", "Migrations." },
  { "migration_files", DEFINITIONS .. "migrations.lua", "The language of migrations." },
}

-- How the object of a class is called.
local OBJECT = {
  perigee = "perigee.", ["perigee.executor"] = "x:", ["perigee.db"] = "db:",
  ["perigee.conn"] = "conn:", ["perigee.tx"] = "tx:", ["perigee.table"] = "h:",
  ["perigee.task"] = "task:", ["perigee.url"] = "url:", ["perigee.iterator"] = "it:",
  ["perigee.pipeline"] = "p:", ["perigee.reply"] = "reply:",
  ["perigee.json_type"] = "perigee.json.", ["perigee.schema_module"] = "perigee.schema.",
  ["perigee.schema"] = "schema:", ["perigee.migrations_module"] = "perigee.migrations.",
  ["perigee.migrations"] = "m:", ["perigee.recorder"] = "m:",
  ["perigee.table_body"] = "t:",
}

local meta = annotations.read(root, META)

-- ---- types -------------------------------------------------------------------

-- Classes of options that have a place of their own: LDoc takes what comes behind a
-- parameter that is written out for optional, and verbs with `...` only name theirs.
local needed = { [meta.classes["perigee.call_options"]] = true }

local TYPE_PARAMETERS = {
  R = "table", N = "table", ["perigee.row"] = "table", T = "any", L = "any", E = "any", F = "any",
}

local function is_function(ty)
  return ty:gsub("^async ", ""):find "^fun%f[^%w]" ~= nil
end

local page_of, current_page = {}, nil
for _, p in ipairs(PAGES) do page_of[p[2]] = p[1] end

-- The name of a class as LDoc finds it from another page.
local function link(class, name)
  local short, page = name:gsub("^perigee%.", ""), class and page_of[class.file]
  local is_there = class and (class.kind == "alias" or #class.fields > 0)
  if not is_there or not page or page == current_page then return short end
  return page .. "." .. short
end

-- LDoc's types are words: what a part of a union is in one, and what is lost.
local function one_type(ty)
  if ty:find '^"' then return "string", ty end
  if is_function(ty) then return "func" end
  if ty:find "%[%]$" then return "{" .. one_type(ty:sub(1, -3)) .. ",...}" end
  if ty:find "^table<" or ty:find "^{" then return "table" end
  local name = ty:match "^[%w_.]+" or "any"
  local class = meta.classes[name]
  if class and class.kind == "class" and name:find "options$" and not needed[class] then
    return "table"
  end
  return TYPE_PARAMETERS[name] or link(class, name)
end

local function parts_of(ty)
  return annotations.split(ty, "|")
end

-- LDoc's form of a type, and the values that it has.
local function ldoc_type(ty)
  local names, seen, values, nothing = {}, {}, {}, false
  for _, part in ipairs(parts_of(ty or "any")) do
    local bare = part:gsub("%?$", "")
    local name, value = one_type(bare)
    values[#values + 1] = value
    if not seen[name] then
      names[#names + 1], seen[name] = name, true
    end
    nothing = nothing or part:find "%?$" ~= nil
  end
  if nothing then names[#names + 1] = "nil" end
  return table.concat(names, "|"), table.concat(values, ", ")
end

-- ---- writing -----------------------------------------------------------------

local out

local function say(text, ...)
  out[#out + 1] = select("#", ...) > 0 and text:format(...) or text
end

-- The first sentence is what LDoc shows in its lists.
local function begin(text)
  local first = true
  for line in ((text ~= "" and text or "…") .. "\n"):gmatch "(.-)\n" do
    say((first and "--- " or "-- ") .. line)
    first = false
  end
end

local function finish(code)
  say(code or "")
  say ""
end

local function with_values(doc, values)
  doc = doc or ""
  if values == "" then return doc end
  return (doc == "" and "" or doc .. "; ") .. "one of " .. values
end

local function param(name, optional, ty, doc)
  local kind, values = ldoc_type(ty)
  say("-- @tparam%s %s %s %s", optional and "[opt]" or "", kind, name, with_values(doc, values))
end

-- The fields of a class, those of its parents first, in their order.
local function fields_of(class)
  local list, parent = {}, meta.classes[class.parent]
  if parent and parent.fields then list = fields_of(parent) end
  for _, f in ipairs(class.fields) do list[#list + 1] = f end
  return list
end

local WRITTEN_OUT = {
  "options$", "_spec$", "_changes$", "%.was_", "%.replaced_", "%.dropped_", "_parts$",
}

-- Tables that belong to one parameter are written out where it is.
local function options_of(ty)
  for _, part in ipairs(parts_of(ty)) do
    local class = meta.classes[part:gsub("%?$", "")]
    if class and class.kind == "class" and #class.fields > 0 then
      for _, pattern in ipairs(WRITTEN_OUT) do
        if class.name:find(pattern) then return class end
      end
    end
  end
  return nil
end

local function params(list)
  for i, p in ipairs(list) do
    local class = options_of(p.type)
    if class and i < #list then
      needed[class] = true
      class = nil
    end
    param(p.name, p.optional, p.type, p.doc)
    for _, f in ipairs(class and fields_of(class) or {}) do
      param(p.name .. "." .. f.name, f.optional, f.type, f.doc)
    end
  end
end

local function returns(f)
  for _, r in ipairs(f.returns) do
    local ty, values = ldoc_type(r.type)
    local doc = r.doc ~= "" and r.doc or r.name or ""
    if r.name and r.name ~= "..." and r.doc ~= "" then doc = r.name .. ": " .. r.doc end
    if r.name == "..." then ty = ty .. "," end
    say("-- @treturn %s %s", ty:gsub(",$", ""), with_values(doc, values))
  end
  if f.raises then say("-- @raise %s", f.raises) end
end

local function of_executor(name)
  return meta.classes["perigee.executor"].by[name]
end

local function call(prefix, f)
  begin(f.doc)
  say("-- @function %s%s", prefix, f.name)
  params(f.params)
  returns(f)
  finish()
end

-- Verbs on tables are described once, for executors, and operations for m.
local function is_twice(f, class)
  return class.name == "perigee.table" and of_executor(f.name) ~= nil
    or class.name == "perigee.table_recorder"
end

local function table_of(class)
  begin(class.doc or class.name)
  say("-- @table %s", (class.name:gsub("^perigee%.", "")))
  for _, f in ipairs(fields_of(class)) do
    if not f.params then
      local ty, values = ldoc_type(f.type)
      local doc = with_values(f.doc, values)
      say("-- @tfield %s%s %s %s", f.optional and "?" or "", ty, f.name, doc)
    elseif not f.type:find "self:" then
      say("-- @tfield %sfunc %s %s", f.optional and "?" or "", f.name,
        (f.type:match "fun(%b())" or "") .. (f.doc and f.doc ~= "" and ": " .. f.doc or ""))
    end
  end
  finish()
end

local function alias(item)
  begin(item.doc ~= "" and item.doc or item.name)
  if #item.values > 0 then say "-- <ul>" end
  for _, v in ipairs(item.values) do
    say("-- <li><code>%s</code>: %s</li>", v.value:match '"(.*)"', v.doc)
  end
  if #item.values > 0 then say "-- </ul>" end
  say("-- @table %s", (item.name:gsub("^perigee%.", "")))
  finish()
end

-- ---- pages -------------------------------------------------------------------

-- A constructor, such as perigee.array: a field whose class can be called.
local function constructor(f)
  local class = meta.classes[f.type]
  for _, text in ipairs(class.overloads) do
    local list = annotations.of_function(text)
    begin((f.doc:gsub("^%l", string.upper)))
    say("-- @function perigee.%s", f.name)
    params(list)
    say("-- @treturn %s", (f.type:gsub("^perigee%.", ""):gsub("_type$", "")))
    finish()
  end
end

-- A class that can be called and is a word of a language: table("name", function(t) … end).
local function callable(name, class)
  for _, text in ipairs(class.overloads) do
    begin(class.doc)
    say("-- @function %s", name)
    params((annotations.of_function(text)))
    finish()
  end
end

local function section(title)
  if not title then return end
  say("--- %s", title:gsub("^%l", string.upper))
  say("-- @section %s", (title:gsub("[^%w]+", "_")))
  finish()
end

local function values_page()
  for _, f in ipairs(meta.classes.perigee.fields) do
    if f.type:find "_type$" then constructor(f) end
  end
end

local function module_fields()
  begin "Fields of the module that are no functions."
  say "-- @table fields"
  for _, f in ipairs(meta.classes.perigee.fields) do
    local ty = ldoc_type(f.type)
    say("-- @tfield %s %s %s", ty, f.name, f.doc)
  end
  finish()
end

-- Options are written out at the functions that take them.
local function is_shown(class)
  if #class.fields == 0 or class.name == "perigee" then return false end
  return needed[class] or not (class.name:find "options$" or class.name:find "%.was_")
end

-- What belongs to a page, in its order: { item, function that writes it, perhaps one that
-- says whether it is to be written }.
local function entries_of(file)
  local list = {}
  local function add(item, write, is_wanted)
    if item.file == file then list[#list + 1] = { item, write, is_wanted } end
  end
  for _, item in ipairs(meta.order) do
    if item.kind == "alias" and (#item.values > 0 or item.doc ~= "") then
      add(item, function() alias(item) end)
    elseif item.kind == "function" then
      add(item, function() call("", item) end)
    elseif item.kind == "class" then
      add(item, function() table_of(item) end, function() return is_shown(item) end)
      if item.name == "tablelib" then add(item, function() callable("table", item) end) end
      for _, f in ipairs(item.functions) do
        if not is_twice(f, item) then
          add(f, function() call(OBJECT[item.name] or "", f) end)
        end
      end
    end
  end
  table.sort(list, function(x, y) return x[1].line < y[1].line end)
  return list
end

local function words(file)
  begin "Types and words."
  say "-- @table words"
  for _, item in ipairs(meta.order) do
    if item.kind == "value" and item.file == file then
      say("-- @tfield %s %s %s", ldoc_type(item.type), item.name, item.doc or "")
    end
  end
  finish()
end

local function page(name, file, title)
  out, current_page = {}, name
  say("--- %s", title)
  say("-- %s", meta.files[file] or "")
  say("-- @module %s", name)
  finish()
  local current
  if name == "perigee" then module_fields() end
  if name == "values" then values_page() end
  if file:find(DEFINITIONS, 1, true) then words(file) end
  for _, entry in ipairs(entries_of(file)) do
    if not entry[3] or entry[3]() then
      if entry[1].section ~= current then
        current = entry[1].section
        section(current)
      end
      entry[2]()
    end
  end
  return table.concat(out, "\n") .. "\n"
end

local folder = assert(arg[1], ".ci/reference.lua FOLDER")
for i, p in ipairs(PAGES) do
  local path = ("%s/%02d_%s.lua"):format(folder, i, p[1])
  local f = assert(io.open(path, "w"))
  f:write(page(p[1], p[2], p[3]))
  f:close()
end
