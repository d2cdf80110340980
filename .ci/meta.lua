-- .ci/meta.lua BUILD: are the annotations for editors (docs/meta) and the pages of
-- docs/api what Perigee is? What there is is asked of Perigee itself: it is loaded from
-- the tree and the folder BUILD, its tables are walked, and its verbs are called with an
-- option that does not exist, so that they say which ones do. With --self-test things are
-- added and taken away, and each has to be found.

local here = arg[0]:match "^(.*)/" or "."
local root = here .. "/.."
local build = arg[1] or root .. "/build"

package.path = ("%s/lua/?.lua;%s/lua/?/init.lua;%s"):format(root, root, package.path)
package.cpath = ("%s/lua/?.so;%s"):format(build, package.cpath)

local tree = dofile(here .. "/tree.lua")
local annotations = dofile(here .. "/annotations.lua")
local live = dofile(here .. "/interface.lua")

local META = "docs/meta"

-- ---- names -----------------------------------------------------------------

local function keys(t)
  local set = {}
  for k in pairs(t) do set[k] = true end
  return set
end

local function sorted(set)
  local list = {}
  for k in pairs(set) do list[#list + 1] = tostring(k) end
  table.sort(list)
  return list
end

-- The names that a class has in the annotations; with `all` those of its parents, too.
local function names_of(meta, name, all)
  local out, class = {}, meta.classes[name]
  while class do
    for k in pairs(class.by) do out[k] = class end
    class = all and meta.classes[class.parent]
  end
  return out
end

-- Complains of each name that is only in one of two sets.
local function compare(bad, class, what, wanted, found)
  for _, name in ipairs(sorted(wanted)) do
    if not found[name] then
      bad:add(class.file, class.line, "%s: %s is missing in the annotations", what, name)
    end
  end
  for _, name in ipairs(sorted(found)) do
    if not wanted[name] then
      local at = class.by and class.by[name] or class
      bad:add(at.file, at.line, "%s: there is no %s", what, name)
    end
  end
end

local function check_names(bad, meta, interface)
  for _, item in ipairs(interface.names) do
    local found = {}
    for _, name in ipairs(item.classes) do
      local class = meta.classes[name]
      if not class then
        bad:add(META, 1, "there is no class %s", name)
        return
      end
      for k in pairs(names_of(meta, name, item.all)) do found[k] = true end
    end
    compare(bad, meta.classes[item.classes[1]], item.classes[1], item.wanted, found)
  end
end

local function check_values(bad, meta, interface, pages)
  for name, wanted in pairs(interface.values) do
    local alias, found = meta.classes[name], {}
    for _, v in ipairs(alias.values) do found[v.value:match '"(.*)"'] = true end
    compare(bad, alias, name, wanted, found)
    for value in pairs(found) do
      if not pages.text:find("\n" .. value .. "\n", 1, true) then
        bad:add(alias.file, alias.line, "no page of docs/api has `%s` of %s", value, name)
      end
    end
  end
end

local function check_globals(bad, meta, interface)
  for _, item in ipairs(interface.globals) do
    local found = {}
    for name, global in pairs(meta.globals) do
      if global.file:find(item.file, 1, true) then found[name] = true end
    end
    compare(bad, { file = item.file, line = 1, by = meta.globals }, "globals", item.wanted, found)
  end
end

-- ---- options -----------------------------------------------------------------

-- The classes of options: the verb that takes each is called with one that it has not.
local function check_options(bad, meta, interface)
  for _, item in ipairs(interface.options) do
    local class = meta.classes[item.class]
    if not class then
      bad:add(META, 1, "there is no class %s", item.class)
    elseif not item.allowed then
      bad:add(class.file, class.line, "%s: %s", item.class, item.problem)
    else
      local found = keys(annotations.fields(meta, item.class))
      for _, f in ipairs(class.functions) do found[f.name] = true end
      compare(bad, class, item.class, item.allowed, found)
    end
  end
end

-- ---- parameters ----------------------------------------------------------------

-- What one place calls so and another so.
local SAME = {
  opts = "options", ["…"] = "...", conditions = "values", s = "schema", relation = "relations",
  definition = "t",
}

local function plain_names(list)
  local out = {}
  for i, name in ipairs(list) do out[i] = SAME[name] or name end
  return table.concat(out, ", ")
end

local function params_of(f)
  local list = {}
  for i, p in ipairs(f.params) do list[i] = p.name end
  return list
end

-- Are the arguments of a function those that its annotations describe, and those of the
-- Lua function?
local function check_function(bad, f, class, interface)
  local given = plain_names(params_of(f))
  if f.args and plain_names(f.args) ~= given then
    bad:add(f.file, f.line, "%s(%s): the annotations are of (%s)", f.name,
      table.concat(f.args, ", "), given)
  end
  local real = interface.params(class and class.name, f.name)
  if real and plain_names(real) ~= given then
    bad:add(f.file, f.line, "%s: the parameters are (%s), not (%s)", f.name,
      plain_names(real), given)
  end
end

local function each_function(meta)
  local list = {}
  for name, class in pairs(meta.classes) do
    for _, f in ipairs(class.functions or {}) do list[#list + 1] = { f, class, name } end
    for _, f in ipairs(class.fields or {}) do
      if f.params and f.type:find "self" then list[#list + 1] = { f, class, name } end
    end
  end
  for _, f in pairs(meta.globals) do
    if f.params then list[#list + 1] = { f } end
  end
  table.sort(list, function(a, b)
    if a[1].file ~= b[1].file then return a[1].file < b[1].file end
    return a[1].line < b[1].line
  end)
  return list
end

-- ---- the pages -----------------------------------------------------------------

-- How the pages call an object of a class.
local PREFIX = {
  perigee = { "perigee." }, ["perigee.executor"] = { "x:" }, ["perigee.table"] = { "h:", "x:" },
  ["perigee.db"] = { "db:" }, ["perigee.conn"] = { "conn:" }, ["perigee.tx"] = { "tx:" },
  ["perigee.task"] = { "task:" }, ["perigee.url"] = { "url:" }, ["perigee.iterator"] = { "it:" },
  ["perigee.json_type"] = { "perigee.json." }, ["perigee.schema"] = { "schema:" },
  ["perigee.schema_module"] = { "perigee.schema." }, ["perigee.migrations"] = { "m:" },
  ["perigee.migrations_module"] = { "perigee.migrations." }, ["perigee.recorder"] = { "m:" },
  ["perigee.table_recorder"] = { "m:" }, ["perigee.table_body"] = { "t:" },
  ["perigee.listener"] = { "listener:" }, ["perigee.pipeline"] = { "p:" },
  ["perigee.reply"] = { "reply:" },
}

-- All that the pages say in backticks.
local function read_pages(dir)
  local text, calls = {}, {}
  for _, file in ipairs(tree.files(root, dir, "*.md")) do
    local page = ("\n" .. tree.read(root .. "/" .. file)):gsub("\n```.-\n```", "\n")
    for quoted in page:gmatch "`([^`]+)`" do
      text[#text + 1] = quoted
      local name, args = quoted:match "^([%w_.:]+)%((.*)%)$"
      if name then
        local list = {}
        for arg_name in args:gsub("[%[%]]", ""):gmatch "[^,%s]+" do
          list[#list + 1] = arg_name
        end
        calls[name] = calls[name] or {}
        table.insert(calls[name], list)
      end
    end
  end
  return { text = "\n" .. table.concat(text, "\n") .. "\n", calls = calls }
end

local function is_named(pages, word)
  return pages.text:find("%f[%w_]" .. word .. "%f[^%w_]") ~= nil
end

local function has_call(pages, prefix, f, class)
  local wanted = plain_names(params_of(f))
  for _, list in ipairs(pages.calls[prefix .. f.name] or {}) do
    if plain_names(list) == wanted then return true end
    -- What stands on the page is the verb of the executor, or of m, with the table first.
    local shorter = prefix == "x:" and class == "perigee.table"
      or class == "perigee.table_recorder"
    if shorter and plain_names { table.unpack(list, 2) } == wanted then return true end
  end
  return false
end

local function check_page(bad, pages, f, class)
  local prefixes = class and PREFIX[class] or { "" }
  for _, prefix in ipairs(prefixes) do
    if has_call(pages, prefix, f, class) then return end
    if not class and is_named(pages, f.name) then return end
    if class == "perigee.table_body" and is_named(pages, "t:" .. f.name) then return end
  end
  bad:add(f.file, f.line, "no page of docs/api has `%s%s(%s)`", prefixes[1], f.name,
    table.concat(params_of(f), ", "))
end

local function check_fields(bad, pages, meta)
  for name, class in pairs(meta.classes) do
    for _, f in ipairs(class.fields or {}) do
      if f.name:find "^[%w_]+$" and not is_named(pages, f.name) then
        bad:add(f.file, f.line, "no page of docs/api has `%s` of %s", f.name, name)
      end
    end
  end
end

-- ---- comments in the sources -------------------------------------------------------

-- "function M.open(url, options)" or "local function f(a)" -> its arguments, or nil
local function arguments(line)
  local args = line:match "^%s*local function [%w_]+%((.-)%)"
    or line:match "^%s*function [%w_.:]+%((.-)%)" or line:match "^return function%((.-)%)"
  if not args then return nil end
  local set = {}
  for name in args:gmatch "[%w_.]+" do set[name] = true end
  return set
end

-- "-- @tparam[opt] {string,...} names what" -> "names"
local function described(line)
  local rest = line:match "^%s*%-%- @tparam(.*)$"
  local name = line:match "^%s*%-%- @param%S* ([%w_.]+)"
  if not rest then return name end
  rest = rest:gsub("^%b[]", "")
  return rest:match "^%s+%b{}%s+([%w_.]+)" or rest:match "^%s+%S+%s+([%w_.]+)"
end

-- Does a comment describe a parameter that its function does not have?
local function check_comments(bad, text, file)
  local names = {}
  for n, line in tree.lines(text) do
    local args = arguments(line)
    if line:find "^%s*%-%-" then
      names[#names + 1] = described(line)
    else
      for _, name in ipairs(args and names or {}) do
        if not args[name] and not args["..."] then -- of f(...) any names may be told
          bad:add(file, n, "the comment describes %s, which is no parameter", name)
        end
      end
      names = {}
    end
  end
end

local function check_all_comments(bad)
  for _, file in ipairs(tree.files(root, "lua", "*.lua")) do
    check_comments(bad, tree.read(root .. "/" .. file), file)
  end
end

-- ---- all ------------------------------------------------------------------------

local function check(meta, interface, pages)
  local bad = tree.complaints()
  check_names(bad, meta, interface)
  check_values(bad, meta, interface, pages)
  check_globals(bad, meta, interface)
  check_options(bad, meta, interface)
  for _, item in ipairs(each_function(meta)) do
    check_function(bad, item[1], item[2], interface)
    check_page(bad, pages, item[1], item[3])
  end
  check_fields(bad, pages, meta)
  check_all_comments(bad)
  return bad
end

local function read_all_pages()
  local api, guide = read_pages "docs/api", read_pages "docs/guide"
  for name, list in pairs(guide.calls) do api.calls[name] = api.calls[name] or list end
  api.text = api.text .. guide.text
  return api
end

-- ---- self-test --------------------------------------------------------------------

-- What is done, and what has to be heard.
local BREACHES = {
  { "a verb is added", function(_, core) core.db_methods.frobnicate = print end, "frobnicate" },
  { "a verb goes", function(_, core) core.exec_methods.query = nil end, "no query" },
  { "a function of the module is added",
    function() package.loaded.perigee.frobnicate = print end, "frobnicate" },
  { "an annotation goes", function(meta) meta.classes["perigee.tx"].by.commit = nil end,
    "commit is missing" },
  { "an option is annotated that is not there",
    function(meta)
      local class = meta.classes["perigee.page_options"]
      class.fields[1].name = "frobnicate"
    end, "no frobnicate" },
  { "a parameter has another name",
    function(meta) meta.classes["perigee.executor"].by.query.params[1].name = "text" end,
    "query" },
}

local WRONG_COMMENT = "--- Does.\n-- @tparam string url\nfunction M.open(path, options)\nend\n"

local function self_test()
  local wrong, pages = tree.complaints(), read_all_pages()
  local comments = tree.complaints()
  check_comments(comments, WRONG_COMMENT, "x.lua")
  if #comments ~= 1 then wrong:add("x.lua", 3, "the wrong comment is not found") end
  for _, breach in ipairs(BREACHES) do
    local meta = annotations.read(root, META)
    local undo = live.load()
    breach[2](meta, require "perigee.core")
    local heard = table.concat(check(meta, live.read(root), pages), "\n")
    if not heard:find(breach[3], 1, true) then
      wrong:add(".ci/meta.lua", 1, "%s: wanted '%s', heard %s", breach[1], breach[3], heard)
    end
    undo()
  end
  return wrong:report "meta self-test"
end

if arg[1] == "--self-test" or arg[2] == "--self-test" then os.exit(self_test()) end
os.exit(check(annotations.read(root, META), live.read(root), read_all_pages()):report "meta")
