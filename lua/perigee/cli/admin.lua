--- perigee db, tables, dsn: databases of a server, and what is in one.
local command = require "perigee.cli.command"
local files = require "perigee.cli.files"
local output = require "perigee.cli.output"
local perigee = require "perigee"

-- ---- the server ------------------------------------------------------------

-- The parts of the URL of the command.
local function parts_of(self)
  local text, from = self:url()
  local ok, url = pcall(perigee.url, text)
  if not ok then
    command.refuse("%s%s", from and from .. ": " or "", url.message or tostring(url))
  end
  return url
end

-- A database that every server has, by the scheme of the URL.
local MAINTENANCE = { mysql = "information_schema", mariadb = "information_schema" }

-- What creates and drops databases runs in another one; a file of SQLite has no server.
local function open_server(self)
  local url = parts_of(self)
  if url.scheme == "sqlite" then
    url = perigee.url "sqlite::memory:"
  else
    url = url:with { database = self.options.maintenance
      or MAINTENANCE[url.scheme] or "postgres" }
  end
  self.handle = perigee.open(url:reveal(), { query_timeout = math.huge, max_size = 1 })
  return self.handle, command.dialect(self.handle)
end

local function verb(d, name)
  local fn = d.admin and d.admin[name]
  if not fn then command.refuse("%s has no such thing", d.name) end
  return fn
end

-- The database that is meant: the operand, else that of the URL.
local function target(self, options)
  return options.name or parts_of(self).database
end

local function add_maintenance(parser)
  parser:option("--maintenance", "The database to be connected to meanwhile "
    .. "(postgres; MySQL: information_schema)."):argname "NAME"
end

-- ---- db --------------------------------------------------------------------

local create = { name = "create", summary = "Create a database." }

function create.define(parser)
  parser:description("Create a database, with SQLite a file: that of the URL, or NAME on its "
    .. "server.")
  parser:argument("NAME"):args "?":target "name"
  parser:option("--owner", "PostgreSQL: the role that owns it."):argname "ROLE"
  parser:option("--template", "PostgreSQL: what it is a copy of."):argname "NAME"
  parser:option("--collation", "MySQL: how its texts compare (utf8mb4_bin: exactly).")
    :argname "NAME"
  parser:flag("--if-not-exists", "It is no error when it is there."):target "tolerant"
  add_maintenance(parser)
  command.add_quiet(parser)
end

create.run = command.runner(function(self, options)
  local name = target(self, options)
  local x, d = open_server(self)
  if options.tolerant and verb(d, "exists")(x, name) then
    self.out:say("database %s is there already", name)
    return 0
  end
  verb(d, "create")(x, name, { owner = options.owner,
    template = options.template, collation = options.collation })
  self.out:say("created database %s", name)
end)

local drop = { name = "drop", summary = "Drop a database and all that is in it." }

function drop.define(parser)
  parser:description("Drop a database, with SQLite its file: that of the URL, or NAME on its "
    .. "server.")
  parser:argument("NAME"):args "?":target "name"
  parser:flag("--if-exists", "It is no error when it is not there."):target "tolerant"
  command.add_yes(parser)
  add_maintenance(parser)
  command.add_quiet(parser)
end

drop.run = command.runner(function(self, options)
  local name = target(self, options)
  command.need_yes(options, "drop database " .. name)
  local x, d = open_server(self)
  if options.tolerant and not verb(d, "exists")(x, name) then
    self.out:say("there is no database %s", name)
    return 0
  end
  verb(d, "drop")(x, name)
  self.out:say("dropped database %s", name)
end)

local list = { name = "list", summary = "List the databases of the server." }

function list.define(parser)
  parser:description("List the databases of the server, with SQLite the files in its folder.")
  command.add_json(parser)
end

local function bytes(n)
  if not n then return "" end
  local units, i = { "B", "KiB", "MiB", "GiB", "TiB" }, 1
  while n >= 1024 and i < #units do n, i = n / 1024, i + 1 end
  return ((i == 1 or n >= 100) and "%.0f %s" or "%.1f %s"):format(n, units[i])
end

list.run = command.runner(function(self, options)
  local url = parts_of(self)
  -- to look must not make a file
  local is_absent = url.scheme == "sqlite" and not files.exists(url.database)
  local x = is_absent and open_server(self) or self:db()
  local found = verb(command.dialect(x), "list")(x)
  if options.json then return self.out:data(found) end
  local rows = {}
  for i, item in ipairs(found) do
    rows[i] = { item.name, item.owner or "", bytes(item.size or item.bytes) }
  end
  self.out:table({ "name", "owner", "size" }, rows, { "l", "l", "r" })
end)

local db = {
  name = "db", summary = "Create, drop or list databases.",
  actions = { create, drop, list },
}

-- ---- tables ----------------------------------------------------------------

local tables = { name = "tables", summary = "List tables and views." }

function tables.define(parser)
  parser:description "List tables and views, with the number of their rows if asked for."
  parser:flag("--count", "Count the rows: it reads every table.")
  parser:option("--schema", "Tables of this schema instead of the default one.")
    :argname "NAME"
  command.add_json(parser)
end

local function found_in(x, options)
  local list_of = {}
  for kind, names in pairs { table = x:tables { schema = options.schema },
    view = x:views { schema = options.schema } } do
    for _, item in ipairs(names) do
      if type(item) == "string" then item = { name = item } end
      list_of[#list_of + 1] = { name = item.name, schema = options.schema,
        kind = item.kind or kind }
    end
  end
  table.sort(list_of, function(a, b) return a.name < b.name end)
  return list_of
end

tables.run = command.runner(function(self, options)
  local x = self:db()
  local found = found_in(x, options)
  for _, item in ipairs(found) do
    if options.count then
      item.rows = x:count({ schema = item.schema, name = item.name }, {})
    end
  end
  if options.json then return self.out:data(found) end
  local rows = {}
  for i, item in ipairs(found) do
    rows[i] = { item.name, item.kind, item.rows and output.count(item.rows) }
  end
  local titles = { "name", "kind", options.count and "rows" or nil }
  self.out:table(titles, rows, { "l", "l", "r" })
end)

-- ---- dsn -------------------------------------------------------------------

local dsn = { name = "dsn", summary = "Show the URL of the database." }

function dsn.define(parser)
  parser:description "Show the URL of the database that commands would use; nothing is connected."
  parser:flag("--show-password", "Show the password too."):target "reveal"
  command.add_json(parser)
end

dsn.run = command.runner(function(self, options)
  local url = parts_of(self)
  local text = options.reveal and url:reveal() or tostring(url)
  if not options.json then return self.out:print(text) end
  local _, from = self:url()
  self.out:data { url = text, from = from or "default", scheme = url.scheme,
    database = url.database, host = url.host, port = url.port, user = url.user }
end)

return { commands = { db, tables, dsn } }
