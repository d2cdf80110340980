--- Databases of SQLite are files.
local core = require "perigee.core"
local util = require "perigee.util"

local M = {}

local MAGIC = "SQLite format 3\0"
local BESIDE = { "-wal", "-shm", "-journal" }

local function read_start(path)
  local f = io.open(path, "rb")
  if not f then return nil end
  local start = f:read(#MAGIC) or ""
  f:close()
  return start
end

local function is_database(path)
  return read_start(path) == MAGIC
end

local function check(name)
  if type(name) ~= "string" or name == "" or name:find("\0", 1, true) then
    util.usage("the path of a database file is expected")
  end
end

local function file_size(path)
  local f = io.open(path, "rb")
  if not f then return 0 end
  local size = f:seek "end"
  f:close()
  return size
end

-- The folder of the database that x is; the current one for a database in memory.
local function folder_of(x)
  local file = x and x:value "SELECT file FROM pragma_database_list WHERE name = 'main'"
  return file and file:match "^(.*)/[^/]*$" or "."
end

--- The databases in the folder of this one.
-- @treturn {table,...} { name, bytes }, by name
function M.list(x)
  local folder, out = folder_of(x), {}
  local names, why = core.files.list(folder)
  if not names then util.usage("%s", why) end
  for _, name in ipairs(names) do
    local path = folder .. "/" .. name
    if core.files.kind(path) == "file" and is_database(path) then
      out[#out + 1] = { name = name, bytes = file_size(path) }
    end
  end
  return out
end

--- Is there a database file of this path?
function M.exists(_x, name)
  check(name)
  return is_database(name)
end

-- A path as a URL takes it; it must not be read as parameters.
local function url_of(path)
  local plain = path:gsub("[^%w/._~-]", function(c) return ("%%%02X"):format(c:byte()) end)
  return (path:sub(1, 1) == "/" and "sqlite:///" or "sqlite:") .. plain
end

--- Creates an empty database.
-- @raise duplicate when there is a file of this path
function M.create(_x, name, options)
  check(name)
  if options and next(options) ~= nil then
    util.usage("create: a SQLite database has no options")
  end
  if read_start(name) then
    error(core.new_error("duplicate", ('there is a file "%s" already'):format(name)), 0)
  end
  local db = require "perigee".open(url_of(name))
  local ok, err = pcall(db.script, db, "PRAGMA user_version = 0; VACUUM")
  db:close()
  if not ok then error(err, 0) end
end

--- Removes a database and the files that SQLite keeps beside it. Nobody may have it open.
-- @tparam perigee.executor _x
-- @tparam string name its path
-- @tparam[opt] table options if_exists
-- @raise undefined when there is none, usage when the file is no SQLite database
function M.drop(_x, name, options)
  check(name)
  local o = util.check_options("drop", options, { "if_exists" })
  local start = read_start(name)
  if not start and o.if_exists then return end
  if not start then
    error(core.new_error("undefined", ('there is no database "%s"'):format(name)), 0)
  end
  if start ~= MAGIC and start ~= "" then
    util.usage('"%s" is no SQLite database and stays', name)
  end
  local ok, why = os.remove(name)
  if not ok then error(core.new_error("database", why), 0) end
  for _, suffix in ipairs(BESIDE) do os.remove(name .. suffix) end
end

return M
