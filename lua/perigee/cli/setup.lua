--- perigee init: the files of a new project.
local command = require "perigee.cli.command"
local config = require "perigee.cli.config"
local core = require "perigee.core"
local files = require "perigee.cli.files"
local perigee = require "perigee"

local M = {
  name = "init",
  summary = "Write perigee.lua, schema.lua and the folder migrations.",
}

local CONFIG = [[
-- Where the database is, and what describes it. Paths are relative to this file.
-- LuaJIT looks for modules in this folder first.
if ... == "perigee" then
  error("./perigee.lua is a project's configuration, not the module perigee: "
    .. "take ./?.lua out of package.path, or put it last")
end

return {
  url = os.getenv "DATABASE_URL" or %q,
  schema = "schema.lua",
  migrations = "migrations",
}
]]

local SCHEMA = [[
-- What the database should look like. After a change here:
--   perigee revision --autogenerate -m "what has changed"
--   perigee upgrade
table("notes", function(t)
  t.id         = bigint { identity = true, pk = true }
  t.title      = text {}
  t.body       = text { null = true }
  t.created_at = timestamptz { default = sql.now }
  t:index { "created_at" }
end)
]]

function M.define(parser)
  parser:description("Write perigee.lua, schema.lua with a small example, and the folder "
    .. "migrations. What is there already is left as it is. --url is the database "
    .. "that perigee.lua names when $DATABASE_URL is not set.")
  parser:argument("FOLDER", "Where to write them."):args "?":target "folder"
  command.add_quiet(parser)
end

-- Passwords do not go into a file that will be committed.
local function url_to_write(text)
  if not text then return "sqlite:app.db" end
  local ok, url = pcall(perigee.url, text)
  if not ok then command.refuse("--url: %s", url.message) end
  if url.password then
    command.refuse("--url: the password would be written to perigee.lua; "
      .. "set $DATABASE_URL and leave --url out")
  end
  return text
end

local function write(out, path, text)
  if files.exists(path) then
    out:say("kept  %s: it is there already", path)
    return
  end
  local ok, why = files.create(path, text)
  if not ok then command.refuse("%s", why) end
  out:say("wrote %s", path)
end

local function make_folder(out, path)
  if files.exists(path) then
    out:say("kept  %s: it is there already", path)
    return
  end
  local ok, why = core.files.make_directory(path)
  if not ok then command.refuse("%s", why) end
  out:say("wrote %s", path)
end

local function run(self, options)
  local url = url_to_write(options.url)
  local folder = options.folder or "."
  if folder ~= "." and not files.exists(folder) then make_folder(self.out, folder) end
  local prefix = folder == "." and "" or folder:gsub("/*$", "/")
  write(self.out, prefix .. config.FILE, CONFIG:format(url))
  write(self.out, prefix .. "schema.lua", SCHEMA)
  make_folder(self.out, prefix .. "migrations/")
  self.out:say("next: edit %sschema.lua, then perigee revision --autogenerate -m \"first tables\"",
    prefix)
end

M.run = command.runner(run, { no_config = true })

return M
