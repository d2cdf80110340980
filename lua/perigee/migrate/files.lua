--- Migration files: read from a folder, recorded in the sandbox, checksums, written.
--
-- A recorded migration is { id, after = {…}, message, labels, depends, replaces, up =
-- {operations}, finish = {operations} | nil, down = {operations} | false | nil, change =
-- boolean, path, name, at, bytes_sum, ops_sum }.
local core = require "perigee.core"
local check = require "perigee.schema.check"
local model = require "perigee.schema.model"
local names = require "perigee.schema.names"
local ops = require "perigee.schema.ops"
local util = require "perigee.util"

local usage = util.usage
local M = {}

local PHASES = { "up", "finish", "down" }

-- ---- checksums -------------------------------------------------------------

--- The checksum of a file's text: line ends and blanks at the end of lines do not count.
-- @treturn string "v1:" and SHA-256 in hexadecimal
function M.bytes_sum(text)
  local plain = text:gsub("\r\n", "\n"):gsub("[ \t]+\n", "\n"):gsub("%s+$", "")
  return "v1:" .. core.sha256(plain)
end

--- The checksum of what a migration does: the operations of up and finish. What undoes
-- them may be repaired later. A function of m:run is not data: with one the text counts.
-- @tparam table m a recorded migration
function M.ops_sum(m)
  local lines, opaque = {}, false
  for _, phase in ipairs { "up", "finish" } do
    for _, op in ipairs(m[phase] or {}) do
      lines[#lines + 1] = phase .. " " .. ops.canonical(op)
      opaque = opaque or op.op == "run"
    end
  end
  if opaque then lines[#lines + 1] = m.bytes_sum end
  return "v1:" .. core.sha256(table.concat(lines, "\n"))
end

-- ---- completing ------------------------------------------------------------

-- The kind of element that an operation holds, and in which field.
local ELEMENTS = {
  add_unique = { "unique", "key" }, drop_unique = { "unique", "was" },
  add_foreign_key = { "foreign_key", "key" }, drop_foreign_key = { "foreign_key", "was" },
  add_index = { "index", "index" }, drop_index = { "index", "was" },
  set_primary_key = { "primary_key", "key" }, drop_primary_key = { "primary_key", "was" },
  add_check = { "check", "check" },
}

-- Names by convention for what has none; here only the operation is known, not the table.
local function name_element(op, kind, e)
  if not e or e.name then return end
  local columns = e.column and { { name = e.column } } or {}
  e.name = names.of({ name = op.table, columns = columns }, kind, e)
end

local function need_ref_columns(op)
  local ref = op.op == "add_foreign_key" and op.key.ref
  if ref and not ref.columns then
    check.fail(op.at, 'foreign key of %s: the columns of "%s" must be named here', op.table,
      ref.table)
  end
end

local function complete(op)
  if op.op == "create_table" then
    model.complete_table(op.table)
  elseif op.op == "drop_table" and op.was then
    model.complete_table(op.was)
  end
  local entry = ELEMENTS[op.op]
  if entry then name_element(op, entry[1], op[entry[2]]) end
  if op.op == "set_primary_key" then name_element(op, "primary_key", op.was) end
  need_ref_columns(op)
  return ops.check(op)
end

-- A migration must record the same whenever it is asked.
local function check_again(list, again, phase)
  for i = 1, math.max(#list, #again) do
    local a, b = list[i], again[i]
    if not a or not b or ops.canonical(a) ~= ops.canonical(b) then
      check.fail((a or b).at,
        "%s records something else when it is run again: operation %d was %s, then %s",
        phase, i, a and ops.describe(a) or "not there", b and ops.describe(b) or "not there")
    end
  end
end

local function check_change(m)
  if not m.change then return end
  local list, why, op = ops.inverse_all(m.up)
  if not list then
    check.fail(op.at, "change: this cannot be undone by itself (%s): write up and down", why)
  end
end

-- ---- reading ---------------------------------------------------------------

local function read_text(path)
  local file, why = io.open(path, "rb")
  local text = file and file:read "*a"
  if file then file:close() end
  if not text then usage("%s cannot be read: %s", path, tostring(why or "it is no file")) end
  return (text:gsub("^\239\187\191", ""))
end

local function folder_of(path)
  local folder = path:match "^(.*)/[^/]*$"
  return folder == "" and "/" or folder or "."
end

--- Records the text of a migration.
-- @tparam string text
-- @tparam string name of the file, for messages
-- @tparam[opt] string root the folder of what it requires
-- @treturn table the migration
-- @raise usage with file and line
function M.parse(text, name, root)
  local m = core.sandbox {
    prelude = "migration", source = text, name = name, root = root, call = {},
  }
  local again = m.again
  m.again = nil
  for _, phase in ipairs(PHASES) do
    local list = m[phase]
    if list then
      for _, op in ipairs(list) do complete(op) end
      for _, op in ipairs(again[phase] or {}) do complete(op) end
      check_again(list, again[phase] or {}, phase == "up" and m.change and "change" or phase)
    end
  end
  check_change(m)
  m.bytes_sum = M.bytes_sum(text)
  m.ops_sum = M.ops_sum(m)
  m.name = name:match "([^/]*)$":gsub("%.lua$", "")
  return m
end

--- Records a migration file.
-- @tparam string path
-- @treturn table the migration
-- @raise usage
function M.record(path)
  local m = M.parse(read_text(path), path, folder_of(path))
  m.path = path
  return m
end

--- Records all migrations of a folder: its files *.lua but those that begin with "_" or
-- ".", which are for what the migrations require.
-- @tparam string dir
-- @treturn {table,...} in the order of the file names
-- @raise usage
function M.read(dir)
  local list, by_id = {}, {}
  if core.files.kind(dir) ~= "directory" then usage('there is no folder "%s"', dir) end
  local entries, why = core.files.list(dir)
  if not entries then usage("%s cannot be read: %s", dir, tostring(why)) end
  for _, name in ipairs(entries) do
    if name:find "^[^._].*%.lua$" then
      local m = M.record((dir:gsub("/+$", "")) .. "/" .. name)
      local other = by_id[m.id]
      if other then
        check.fail(m.at, 'the id "%s" is also that of %s', m.id, other.path)
      end
      by_id[m.id] = m
      list[#list + 1] = m
    end
  end
  return list
end

-- ---- functions of m:run ----------------------------------------------------

-- Lua 5.1's, which LuaJIT has.
local setfenv, loadstring = rawget(_G, "setfenv"), rawget(_G, "loadstring")

local function load_text(text, name, env)
  if not setfenv then return load(text, "@" .. name, "t", env) end
  if text:sub(1, 1) == "\27" then return nil, name .. ": it is not text" end
  local fn, why = loadstring(text, "@" .. name)
  return fn and setfenv(fn, env), why
end

-- What the prelude has in the sandbox, here in the caller's state.
local function helpers_for(path)
  local root = folder_of(path)
  local function where()
    local level = 2
    local info = debug.getinfo(level, "Sl")
    while info and info.source ~= "@" .. path do
      level = level + 1
      info = debug.getinfo(level, "Sl")
    end
    return info and path, info and info.currentline
  end
  local function loader(name)
    local file = root .. "/" .. name:gsub("%.", "/") .. ".lua"
    if not name:find "^[%w_.-]+$" or core.files.kind(file) ~= "file" then return nil end
    return read_text(file), file
  end
  return {
    load_text = load_text, where = where, loader = loader, globals = _G,
    part = function(name) return require("perigee.sandbox." .. name) end,
  }
end

--- The functions that a migration gives to m:run, loaded in this Lua state, where they
-- see its globals: operation { op = "run", n = k } of a phase is the k-th of them.
-- @tparam table|string m a recorded migration, or the path of one
-- @tparam[opt] string phase up, finish or down: only its functions
-- @treturn table { up = {functions}, finish = {…}, down = {…} }, or those of the phase
-- @raise usage
function M.functions(m, phase)
  if type(m) == "string" then m = M.record(m) end
  local run = require "perigee.sandbox.migration"
  local ok, value, functions = pcall(run, read_text(m.path), m.path, { functions = true },
    helpers_for(m.path))
  if not ok then
    if type(value) ~= "string" then error(value, 0) end
    usage("%s", value)
  end
  for _, p in ipairs(PHASES) do
    local n = 0
    for _, op in ipairs(m[p] or {}) do n = n + (op.op == "run" and 1 or 0) end
    functions[p] = functions[p] or {}
    if #functions[p] ~= n or value.id ~= m.id then
      usage("%s: %s has other functions than when it was recorded", m.path, p)
    end
  end
  return phase and functions[phase] or functions
end

-- ---- writing ---------------------------------------------------------------

--- Writes a file so that it is there whole or not at all.
-- @raise usage
function M.write(path, text)
  local beside = path .. ".new"
  local file, why = io.open(beside, "wb")
  local ok = file
  if file then
    ok, why = file:write(text)
    local closed, close_why = file:close()
    if ok and not closed then ok, why = nil, close_why end
  end
  if ok then ok, why = os.rename(beside, path) end
  if not ok then
    os.remove(beside)
    usage("%s cannot be written: %s", path, tostring(why))
  end
end

local made = 0

--- An id for a new migration: 12 random hexadecimal digits.
function M.new_id()
  local file = io.open("/dev/urandom", "rb")
  local noise = file and file:read(16) or ""
  if file then file:close() end
  made = made + 1
  local text = ("%s %.6f %d %s"):format(noise, core.wall_time(), made, tostring {})
  return core.sha256(text):sub(1, 12)
end

--- The name of a new file, without .lua: "20260824T101500_add_order_status".
-- @tparam number time seconds since 1970
-- @tparam string message
function M.name(time, message)
  local slug = message:lower():gsub("[^%w]+", "_"):gsub("^_+", ""):sub(1, 50):gsub("_+$", "")
  return os.date("!%Y%m%dT%H%M%S", math.floor(time)) .. "_" .. (slug ~= "" and slug or "migration")
end

return M
