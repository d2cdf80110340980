--- perigee role: a role that can only read.
local command = require "perigee.cli.command"

local function verb(d, name)
  local fn = d.admin and d.admin[name]
  if not fn then command.refuse("no roles are made on %s", d.name) end
  return fn
end

-- ---- create-ro -------------------------------------------------------------

local create = {
  name = "create-ro",
  summary = "Create a role that may read all tables, those to come too.",
}

function create.define(parser)
  parser:description("Create a role that may log in and read the tables of the database, "
    .. "also those that the same owner creates later. A password is read from a variable "
    .. "or a file, since others can see the arguments of a program.")
  parser:argument("NAME"):target "name"
  parser:option("--password-env", "The variable that has the password."):argname "NAME"
  parser:option("--password-file", "The file whose first line is the password; - is standard "
    .. "input."):argname "FILE"
  parser:option("--schema", "A schema whose tables may be read; may be repeated."
    .. " Default: that of the connection."):argname "NAME":count "*":target "schemas"
  command.add_quiet(parser)
end

local function password_of(options)
  local variable, path = options.password_env, options.password_file
  if variable and path then
    command.refuse "--password-env and --password-file: give one of them"
  end
  if variable then
    return os.getenv(variable) or command.refuse("--password-env: $%s is not set", variable)
  end
  if not path then return nil end
  local f, why = io.stdin, nil
  if path ~= "-" then f, why = io.open(path, "rb") end
  if not f then command.refuse("--password-file: %s", why) end
  local line = f:read "*l"
  if path ~= "-" then f:close() end
  if not line or line == "" then command.refuse("--password-file: %s is empty", path) end
  return (line:gsub("\r$", ""))
end

create.run = command.runner(function(self, options)
  local password = password_of(options)
  local x = self:db()
  verb(command.dialect(x), "create_read_only_role")(x, options.name,
    { password = password, schemas = command.list(options.schemas) })
  self.out:say("created role %s, which may read", options.name)
end)

-- ---- drop ------------------------------------------------------------------

local drop = { name = "drop", summary = "Drop a role and its privileges in this database." }

function drop.define(parser)
  parser:description "Drop a role. A role that owns tables is not dropped."
  parser:argument("NAME"):target "name"
  command.add_yes(parser)
  command.add_quiet(parser)
end

drop.run = command.runner(function(self, options)
  command.need_yes(options, "drop role " .. options.name)
  local x = self:db()
  verb(command.dialect(x), "drop_role")(x, options.name)
  self.out:say("dropped role %s", options.name)
end)

return {
  name = "role", summary = "Create a role that can only read, or drop one.",
  actions = { create, drop },
}
