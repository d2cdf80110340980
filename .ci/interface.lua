-- What Perigee's interface is, asked of Perigee itself, for .ci/meta.lua: the names in its
-- tables, the options that its verbs say they take, the words of its sandboxes, the
-- parameters of its functions. Perigee has to be on package.path and package.cpath.
local interface = {}

-- Fields that are there for Perigee's own use, and that no page tells of.
local PRIVATE = {
  ["perigee.schema_module"] = { of = true },
  ["perigee.migrations"] = { graph = true, has_wanted = true, wanted = true },
}

local function keys(t, but)
  local set = {}
  for k in pairs(t) do
    if not (but and but[k]) then set[k] = true end
  end
  return set
end

local function set(list)
  local out = {}
  for _, k in ipairs(list) do out[k] = true end
  return out
end

local function merge(...)
  local out = {}
  for _, t in ipairs { ... } do
    for k in pairs(t) do out[k] = true end
  end
  return out
end

-- A local variable that a function uses.
local function upvalue(fn, name)
  local i = 1
  while true do
    local found, v = debug.getupvalue(fn, i)
    if not found then return nil end
    if found == name then return v end
    i = i + 1
  end
end

local BAD = "no_such_option"

-- The names in "unknown option …: allowed are a, b", or nil and what was said instead.
local function allowed_by(fn, ...)
  local ok, err = pcall(fn, ...)
  if ok then return nil, BAD .. " is taken without a word" end
  local list = tostring(err):match(BAD .. ".-: allowed a?[ri][es] (.*)$")
    or tostring(err):match(BAD .. ".-: there are (.*)$")
  if not list then return nil, tostring(err) end
  local out = {}
  for name in list:gsub("[;(].*$", ""):gmatch "[%w_]+" do out[name] = true end
  return out
end

-- ---- a database to ask -------------------------------------------------------

local function open()
  local perigee = require "perigee"
  local db = perigee.open "sqlite::memory:"
  db:execute "CREATE TABLE books (id integer PRIMARY KEY, name text UNIQUE, status text)"
  local schema = perigee.schema.parse 'table("planets", function(t) t.id = int end)'
  return perigee, db, schema
end

-- ---- names -------------------------------------------------------------------

local function module_names(perigee)
  local later = upvalue(getmetatable(perigee).__index, "LATER")
  return merge(keys(perigee), keys(later))
end

local function url_parts()
  local file = assert(io.open(interface.root .. "/src/bind/lurl.c"))
  local text, out = file:read "*a", { params = true }
  file:close()
  for name in text:gmatch '{"(%w+)", offsetof%(struct prg_url' do out[name] = true end
  return out
end

-- The fields that the binding gives to error objects, and the kinds.
local function errors()
  local function read(path)
    local file = assert(io.open(interface.root .. path))
    local text = file:read "*a"
    file:close()
    return text
  end
  local text, fields, kinds = read "/src/bind/lerror.c", {}, {}
  for name in text:match("field_names%b[] = (%b{})"):gmatch '"(%w+)"' do fields[name] = true end
  for name in text:match("static void set_fields(.-)\n}"):gmatch '%-2, "(%w+)"' do
    fields[name] = true
  end
  fields.cause, fields.rollback_error = true, true
  for name in read("/src/base/error.c"):match("kinds%b[] = (%b{})"):gmatch '{"([%w_]+)"' do
    kinds[name] = true
  end
  return fields, kinds
end

local function table_names()
  local tables = require "perigee.table"
  local state_index = upvalue(tables.handle_mt.__index, "State").__index
  return merge(keys(tables.methods), keys(upvalue(state_index, "computed")),
    { name = true, schema = true })
end

local function of_objects(perigee, db, names)
  local core = require "perigee.core"
  local info
  db:connection(function(conn) info = conn:info() end)
  local driver = db:driver()
  local function add(class, wanted, all) names[#names + 1] =
    { classes = { class }, wanted = wanted, all = all } end
  add("perigee.task", keys(core.task_methods))
  add("perigee.iterator", keys(core.stream_methods, { __index = true }))
  add("perigee.pipeline", keys(core.pipeline_methods))
  add("perigee.reply", keys(core.reply_methods))
  add("perigee.listener", keys(core.listener_methods, { __index = true }))
  add("perigee.stats", keys(db:stats()))
  add("perigee.info", keys(info))
  add("perigee.driver", keys(driver))
  add("perigee.features", keys(driver.features))
  add("perigee.column", merge(keys(db.t.books.columns[1]), { elem = true }))
  add("perigee.unique_key", keys(db.t.books.keys[1]))
  add("perigee.url", merge(url_parts(), set { "with", "reveal" }))
  add("perigee.error", (errors()))
  add("perigee.json_type", set { "encode", "decode" })
  add("perigee.schema_module", keys(perigee.schema, PRIVATE["perigee.schema_module"]))
  add("perigee.migrations_module", keys(perigee.migrations))
  local made = upvalue(perigee.migrations.open, "migrations")
  add("perigee.migrations", keys(made.__index, PRIVATE["perigee.migrations"]))
end

local function all_names(perigee, db)
  local core = require "perigee.core"
  local names = {
    { classes = { "perigee" }, wanted = module_names(perigee) },
    { classes = { "perigee.db" }, wanted = merge(core.db_methods, { t = true }), all = true },
    { classes = { "perigee.tx", "perigee.conn" }, all = true,
      wanted = merge(core.exec_methods, { t = true }) },
    { classes = { "perigee.table" }, wanted = table_names() },
    { classes = { "perigee.hooks" }, wanted = interface.hooks() },
  }
  of_objects(perigee, db, names)
  return names
end

-- The hooks that the verbs look for.
function interface.hooks()
  local out = {}
  for _, name in ipairs { "crud", "save", "upsert" } do
    local file = assert(io.open(("%s/lua/perigee/%s.lua"):format(interface.root, name)))
    for word in file:read("*a"):gmatch '"([%w]+_[%w]+)"' do
      if word:find "^before_" or word:find "^after_" then out[word] = true end
    end
    file:close()
  end
  return out
end

-- ---- the sandboxes -------------------------------------------------------------

-- Runs a prelude as the sandbox does, and gives the words that its scripts see.
local function words_of(prelude, source)
  local folder = interface.root .. "/lua/perigee/sandbox/"
  local seen = {}
  local helpers = {
    load_text = function(text, name, env) return load(text, name, "t", env) end,
    where = function() return "script", 1 end,
    loader = function() return nil, "none" end,
    part = function(name)
      local part = dofile(folder .. name .. ".lua")
      if name == "language" then
        local environment = part.environment
        part.environment = function(words)
          for k in pairs(words) do seen[k] = true end
          return environment(words)
        end
      elseif name == "recorder" then
        seen.recorder = part
      end
      return part
    end,
  }
  dofile(folder .. prelude .. ".lua")(source, "script", {}, helpers)
  local recorder = seen.recorder
  seen.recorder, seen.require, seen.table = nil, nil, nil
  return seen, recorder
end

local function sandboxes(names, globals)
  local definitions = words_of("definitions", "")
  local words, recorder = words_of("migration", 'return migration { id = "a", up = type }')
  local own = keys(words, definitions)
  globals[#globals + 1] = { file = "definitions.lua", wanted = definitions }
  globals[#globals + 1] = { file = "definitions/library/migrations.lua", wanted = own }
  names[#names + 1] = { classes = { "perigee.recorder" },
    wanted = set(upvalue(recorder.use, "names")) }
  names[#names + 1] = { classes = { "perigee.table_recorder" },
    wanted = merge(set(upvalue(recorder.use, "table_names")), { allow = true }) }
end

-- ---- options -------------------------------------------------------------------

-- name of the class = { verb, arguments before the options }, on an executor
local VERBS = {
  select_options = { "select", "books", {} }, get_options = { "get", "books", 1 },
  first_options = { "find_first", "books", {} }, timeout_options = { "count", "books", {} },
  group_options = { "group", "books", {} }, insert_options = { "insert", "books", {} },
  write_options = { "delete", "books", {} }, page_options = { "page", "books", {} },
  upsert_options = { "upsert", "books", { id = 1 } }, save_options = { "save", "books", {} },
  create_options = { "get_or_create", "books", { id = 1 }, {} },
  update_or_create_options = { "update_or_create", "books", { id = 1 } },
  insert_many_options = { "insert_many", "books", {} },
  upsert_many_options = { "upsert_many", "books", {} },
  update_many_options = { "update_many", "books", {} },
  save_all_options = { "save_all", "books", {} }, claim_options = { "claim", "books", {} },
  claim_one_options = { "claim_one", "books" }, export_options = { "export", {} },
  table_options = { "table", "books" }, call_options = { "query", "SELECT 1", {} },
  batch_options = { "execute_many", "SELECT 1", {} },
  transaction_options = { "transaction", print }, begin_options = { "begin" },
  close_options = { "close" }, drop_table_options = { "drop", "books" },
  names_options = { "tables" }, views_options = { "views" }, reflect_options = { "reflect" },
  table_changes = { "transform", "books" }, listen_options = { "listen", "books", print },
  pipeline_options = { "pipeline", print },
  copy_in_options = { "copy_in", "books", {} }, copy_out_options = { "copy_out", "books" },
}

-- What is named in the same breath, and refused with a word of its own.
local REFUSED = {
  insert_many_options = { rows = true }, upsert_many_options = { rows = true },
  begin_options = { retries = true },
}

-- Verbs that take the options of another one.
local ALIKE = {
  { "at", "get_options", "books", 1 }, { "find", "get_options", "books", {} },
  { "exists", "timeout_options", "books", {} },
  { "delete_many", "timeout_options", "books", {} },
  { "update", "write_options", "books", { id = 1 }, { name = "a" } },
  { "first", "call_options", "SELECT 1", {} }, { "one", "call_options", "SELECT 1", {} },
  { "value", "call_options", "SELECT 1", {} }, { "execute", "call_options", "SELECT 1", {} },
  { "each", "call_options", "SELECT 1", {} }, { "script", "call_options", "SELECT 1" },
  { "ensure_transaction", "transaction_options", print },
  { "transactional", "transaction_options", print },
}

local function ask(db, verb, ...)
  local args = { db, ... }
  args[#args + 1] = { [BAD] = 1 }
  if verb == "claim_one" then args[#args + 1] = print end
  return allowed_by(db[verb], table.unpack(args))
end

local function add_option(list, class, allowed, problem)
  for name in pairs(allowed and REFUSED[class] or {}) do allowed[name] = nil end
  list[#list + 1] = { class = "perigee." .. class, allowed = allowed, problem = problem }
end

local function of_verbs(db, list)
  for class, call in pairs(VERBS) do add_option(list, class, ask(db, table.unpack(call))) end
  for _, call in ipairs(ALIKE) do
    add_option(list, call[2], ask(db, call[1], table.unpack(call, 3)))
  end
end

-- The fields of one of the two forms of perigee.host.
local function of_adapter(form)
  local check = upvalue(require "perigee.host.user".new, "check")
  return set(upvalue(check, form))
end

-- The options of nginx, whose file can only be loaded there.
local function of_nginx()
  local file = assert(io.open(interface.root .. "/lua/perigee/host/nginx.lua"))
  local list, out = file:read("*a"):match 'check_options%("host", options, (%b{})%)', {}
  file:close()
  for name in (list or ""):gmatch '"(%w+)"' do out[name] = true end
  return out
end

local function of_module(perigee, db, schema, list)
  local bad = { [BAD] = 1 }
  add_option(list, "open_options", allowed_by(perigee.open, "sqlite::memory:", bad))
  add_option(list, "codec", allowed_by(perigee.open, "sqlite::memory:", { codecs = { a = bad } }))
  add_option(list, "schema_options", allowed_by(perigee.schema.parse, "", bad))
  add_option(list, "create_table_options",
    allowed_by(db.create, db, schema.tables.planets, bad))
  add_option(list, "transform_options",
    allowed_by(db.transform, db, schema.tables.planets, bad))
  add_option(list, "relation", allowed_by(db.preload, db, {}, { a = bad }))
  add_option(list, "migrations_options", allowed_by(perigee.migrations.open, db, bad))
  add_option(list, "adapter", of_adapter "FULL")
  add_option(list, "small_adapter", of_adapter "MINIMAL")
  add_option(list, "host_options", of_nginx())
end

-- The parts of a migration's verbs before their options.
local MIGRATIONS = {
  upgrade_options = { "upgrade", "head" }, finish_options = { "finish", "head" },
  downgrade_options = { "downgrade", "base" }, resume_options = { "resume" },
  stamp_options = { "stamp", "head" }, diff_options = { "diff" }, drift_options = { "drift" },
  lint_options = { "lint", "head" }, script_options = { "sql", "head" },
  revision_options = { "revision" }, merge_options = { "merge" },
  rebase_options = { "rebase", "head" }, squash_options = { "squash", "a", "b" },
}

local function of_migrations(perigee, db, schema, list)
  local folder = os.tmpname()
  os.remove(folder)
  assert(os.execute("mkdir " .. folder))
  local m = perigee.migrations.open(db, { dir = folder, schema = schema })
  for class, call in pairs(MIGRATIONS) do
    local args = { m, table.unpack(call, 2) }
    args[#args + 1] = { [BAD] = 1 }
    add_option(list, class, allowed_by(m[call[1]], table.unpack(args)))
  end
  os.execute("rmdir " .. folder)
end

-- What a script has to say for each class of the languages; % stands for the option.
local IN_DEFINITIONS = {
  column_options = "table('a', function(t) t.x = int { % } end)",
  identity = "table('a', function(t) t.x = int { identity = { % } } end)",
  ref = "table('a', function(t) t.x = int { ref = { % } } end)",
  type_on = "table('a', function(t) t.x = int { type_on = { % } } end)",
  definition_options = "table('a', { % }, function(t) end)",
  key_spec = "table('a', function(t) t:primary_key { 'x', % } end)",
  unique_spec = "table('a', function(t) t:unique { 'x', % } end)",
  foreign_key_spec = "table('a', function(t) t:foreign_key { 'x', ref = 'b(x)', % } end)",
  check_options = "table('a', function(t) t:check('b', 'true', { % }) end)",
  check_spec = "table('a', function(t) t:check { 'true', % } end)",
  index_spec = "table('a', function(t) t:index { 'x', % } end)",
  index_key = "table('a', function(t) t:index { { % } } end)",
  postgres_table = "table('a', function(t) t:on 'postgres' { % } end)",
  sqlite_table = "table('a', function(t) t:on 'sqlite' { % } end)",
  mysql_table = "table('a', function(t) t:on 'mysql' { % } end)",
  enum_values = "enum 'a' { 'x', % }", view_options = "view('a', { % }, 'select 1')",
  extension_options = "extension('a', { % })", domain_options = "domain('a', { % })",
  sequence_options = "sequence('a', { % })", object_options = "schema_object { % }",
  routine_options = "func('a', { % }, 'x')",
  table_body = "table('a', function(t) t:no_such_option() end)",
}

local IN_MIGRATIONS = {
  was_column = "m:drop_column('t', 'a', { % })", column_changes = "m:alter_column('t', 'a', { % })",
  old_column = "m:alter_column('t', 'a', { was = { % } })",
  new_key_spec = "m:set_primary_key('t', { 'a', % })",
  was_key = "m:drop_primary_key('t', { % })", was_unique = "m:drop_unique('t', 'a', { % })",
  was_foreign_key = "m:drop_foreign_key('t', 'a', { % })",
  was_check = "m:drop_check('t', 'a', { % })", was_index = "m:drop_index('t', 'a', { % })",
  new_index_spec = "m:add_index('t', { 'a', % })", comment_spec = "m:set_comment { % }",
  was_comment = "m:set_comment('t', 'a', { % })",
  table_options_by_database = "m:set_options('t', { % })",
  backfill_options = "m:backfill('t', { % })", was_values = "m:drop_enum('a', { % })",
  enum_value_options = "m:add_enum_value('a', 'b', { % })", was_table = "m:drop_table('t', { % })",
  replaced_view = "m:replace_view('a', { was = 'x', % }, 'select 1')",
  was_view = "m:drop_view('a', { % })", replaced_object = "m:replace_object { % }",
  dropped_object = "m:drop_object { % }", sql_spec = "m:sql { 'x', % }",
  migration_spec = false,
}

local function of_scripts(perigee, list)
  local option = BAD .. " = 1"
  for class, script in pairs(IN_DEFINITIONS) do
    local allowed, problem = allowed_by(perigee.schema.parse, (script:gsub("%%", option)))
    add_option(list, class, allowed, problem)
  end
  for class, script in pairs(IN_MIGRATIONS) do
    local body = script and ("up = function(m) %s end"):format(script:gsub("%%", option))
    local text = ("return migration { id = 'a', %s }"):format(body or option)
    local allowed, problem = allowed_by(require "perigee.core".sandbox, {
      prelude = "migration", source = text, name = "script", call = {},
    })
    if class == "replaced_view" and allowed then allowed.was = true end
    add_option(list, class, allowed, problem)
  end
end

-- ---- parameters -------------------------------------------------------------------

local function lua_params(fn, skip)
  local info = debug.getinfo(fn, "Su")
  if info.what == "C" then return nil end
  local out = {}
  for i = 1 + skip, info.nparams do out[#out + 1] = debug.getlocal(fn, i) end
  if info.isvararg then out[#out + 1] = "..." end
  return out
end

-- The function behind a verb: what is called with the executor and the table's state.
local function behind(fn)
  local inner = upvalue(fn, "fn")
  if inner then return inner, 2 end
  if upvalue(fn, "leaf") then return nil end -- it is C
  local module, name = upvalue(fn, "module"), upvalue(fn, "name")
  if module and name then return require(module)[name], 1 end
  if module then return require("perigee.migrate." .. module)[upvalue(fn, "verb")], 1 end
  return fn, 1
end

-- They have a parameter to refuse options by.
local WITHOUT = { abandon = true, ping = true, status = true, sync = true }

local function inner_params(fn, more)
  local found, skip = behind(fn)
  return found and lua_params(found, skip + (more or 0))
end

-- Each gets the module and the name of a function.
local of_class = {}

of_class["perigee"] = function(perigee, name)
  local fn = rawget(perigee, name)
  local params = type(fn) == "function" and lua_params(fn, 0)
  return params and #params > 0 and params[1] ~= "..." and params or nil
end

of_class["perigee.executor"] = function(_, name)
  local verb = require "perigee.core".db_methods[name]
  local params = verb and inner_params(verb)
  if params and require "perigee.table".verbs[name] then table.insert(params, 1, "t") end
  return params
end

of_class["perigee.table"] = function(_, name)
  local tables = require "perigee.table"
  return tables.verbs[name] and inner_params(tables.methods[name])
end

of_class["perigee.schema_module"] = function(perigee, name)
  return lua_params(perigee.schema[name], 0)
end

of_class["perigee.migrations"] = function(perigee, name)
  return inner_params(upvalue(perigee.migrations.open, "migrations").__index[name])
end

-- The names of a function's parameters, without the object; nil when they cannot be told.
local function params_in(perigee, class, name)
  local read = not WITHOUT[name] and of_class[class]
  return read and read(perigee, name) or nil
end

-- ---- all ----------------------------------------------------------------------------

--- Keeps the tables that a test may change; the function that is given back undoes it.
function interface.load()
  local core, perigee = require "perigee.core", require "perigee"
  local kept = {}
  for _, t in ipairs { core.db_methods, core.exec_methods, perigee } do
    local copy = {}
    for k, v in next, t do copy[k] = v end
    kept[t] = copy
  end
  return function()
    for t, copy in pairs(kept) do
      for k in next, t do if copy[k] == nil then t[k] = nil end end
      for k, v in next, copy do t[k] = v end
    end
  end
end

--- What there is.
-- @tparam string root the top of the tree
-- @treturn table names, values, globals, options, params
function interface.read(root)
  interface.root = root
  local perigee, db, schema = open()
  local _, kinds = errors()
  local out = { names = all_names(perigee, db), globals = {}, options = {},
    values = { ["perigee.kind"] = kinds } }
  sandboxes(out.names, out.globals)
  of_module(perigee, db, schema, out.options)
  of_migrations(perigee, db, schema, out.options)
  of_scripts(perigee, out.options)
  of_verbs(db, out.options)
  out.params = function(class, name) return params_in(perigee, class, name) end
  return out
end

return interface
