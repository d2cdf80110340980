--- COPY: many rows to the database and from it, in one statement and in constant memory.
-- C writes and reads the rows (src/bind/lcopy.c, lstream.c); here it is said what is
-- copied, and sources are called, which may wait. Where there is no COPY, rows are
-- inserted by prepared statements and read as by each().
local core = require "perigee.core"
local copier_of = require "perigee.copier"
local each = require "perigee.each"
local hooks = require "perigee.hooks"
local insert = require "perigee.copy_insert"
local tables = require "perigee.table"
local transaction = require "perigee.transaction"
local util = require "perigee.util"

local usage = util.usage
local M = {}

local methods = core.copy_methods
local put, put_list, put_bytes = methods.put, methods.put_list, methods.put_bytes
local send = copier_of.send

-- ---- what is copied --------------------------------------------------------

-- A string with white space is a statement, else the name of a table.
local function is_sql(target)
  return type(target) == "string" and target:find "%s" ~= nil
end

local function can_copy(x)
  return core.driver(x).features.copy
end

local function unsupported(what)
  error(core.new_error("unsupported", what .. " needs a database with COPY"), 0)
end

local BEFORE = { "before_save", "before_insert" }
local AFTER = { "after_insert", "after_save" }

local function check_plain(h, verb)
  if h[3] then usage("%s: a handle with a scope cannot be copied", verb) end
  if verb == "copy_in" and hooks.class_with(h, BEFORE, AFTER) then
    usage("copy_in: the class of the handle has hooks, which COPY does not run: use "
      .. "insert_many")
  end
end

local function check_progress(o)
  local f = o.progress
  if f ~= nil and type(f) ~= "function" then
    usage("progress: a function is expected, not %s", type(f))
  end
  return f
end

-- ---- sources ---------------------------------------------------------------

local function is_callable(v)
  if type(v) == "function" then return true end
  local meta = getmetatable(v)
  return type(meta) == "table" and rawget(meta, "__call") ~= nil
end

-- What each() gives in a list of arguments: its iterator is the third.
local function sort_arguments(source, options)
  if type(source) == "function" and type(options) ~= "nil"
    and (type(options) == "userdata" or getmetatable(options) ~= nil)
    and is_callable(options) then
    return options, nil
  end
  return source, options
end

local function check_source(source, what)
  if type(source) == "table" and not is_callable(source) then return end
  if not is_callable(source) then
    usage("copy_in: a list of %s or an iterator is expected, not %s", what, type(source))
  end
end

-- ---- the columns -----------------------------------------------------------

-- Those of a record in the order of the table; what the table does not have comes
-- last, and is refused by who knows its columns.
local function columns_of(x, h, record)
  if not core.is_record(record) then
    usage("record 1: a record is a table of columns, not %s", type(record))
  end
  local names, known = {}, tables.entry(x, h).by_name
  for _, c in ipairs(tables.entry(x, h).columns) do
    if rawget(record, c.name) ~= nil then names[#names + 1] = c.name end
  end
  for k in next, record do
    if type(k) ~= "string" then
      usage("record 1: a key of type %s: lists want columns = { … }", type(k))
    end
    if not known[k] then names[#names + 1] = k end
  end
  if #names == 0 then usage("record 1: it is empty: name the columns: columns = { … }") end
  return names
end

-- The first record of a source, and the source; for a list its first.
local function peek(source)
  if type(source) == "table" and not is_callable(source) then return rawget(source, 1) end
  return source()
end

-- ---- copying in ------------------------------------------------------------

local function close_source(source)
  local meta = getmetatable(source)
  local close = type(meta) == "table" and rawget(meta, "__close")
  if close and core.can_wait() then pcall(close, source) end
end

local function run(copier, fill, source)
  local ok, result = pcall(copier_of.run, copier, fill)
  if ok then return result end
  close_source(source)
  error(result, 0)
end

local function fill_list(list, progress)
  return function(copier)
    local i = 1
    while true do
      i = put_list(copier, list, i)
      if not i then break end
      send(copier, progress)
    end
  end
end

local function fill_rows(first, source, progress)
  return function(copier)
    local row = first
    if row == nil then row = source() end
    while row ~= nil do
      if put(copier, row) then send(copier, progress) end
      row = source()
    end
  end
end

local function fill_bytes(source, progress)
  local i = 0
  local function next_chunk()
    if is_callable(source) then return source() end
    i = i + 1
    return rawget(source, i)
  end
  return function(copier)
    for chunk in next_chunk do
      local from = 1
      while true do
        from = put_bytes(copier, chunk, from)
        if not from then break end
        send(copier, progress)
      end
    end
  end
end

-- Of a transaction that the caller has open nothing else is to be lost.
local function in_block(x, fn)
  local target = transaction.target(x)
  if target and core.info(target).is_tx then return transaction.transaction(target, fn) end
  return fn(x)
end

local function copy_bytes(x, sql, source, o)
  if o.columns ~= nil then usage("columns: the statement names them") end
  if not can_copy(x) then unsupported("COPY … FROM STDIN") end
  check_source(source, "strings")
  return in_block(x, function(y)
    local copier = core.copy_in(y, nil, sql, o.timeout)
    return run(copier, fill_bytes(source, o.progress), source)
  end)
end

local function iterator_of(first, source, list)
  local i = 0
  return function()
    if list then
      i = i + 1
      return rawget(source, i)
    end
    local row = first
    first = nil
    if row == nil then row = source() end
    return row
  end
end

local IN = { "columns", "progress", "timeout" }

-- Rows into a table.
local function copy_rows(x, h, source, options)
  source, options = sort_arguments(source, options)
  local o = util.check_options("copy_in", options, IN)
  local progress = check_progress(o)
  check_plain(h, "copy_in")
  check_source(source, "records")
  local list = type(source) == "table" and not is_callable(source)
  local columns, first = o.columns, nil
  tables.entry(x, h)
  if not columns then
    first = peek(source)
    if first == nil then return 0 end
    columns = columns_of(x, h, first)
  elseif type(columns) ~= "table" then
    usage("columns: a list of names is expected, not %s", type(columns))
  end
  if not can_copy(x) then
    return insert.rows(x, h, columns, iterator_of(first, source, list), progress)
  end
  local fill = list and fill_list(source, progress) or fill_rows(first, source, progress)
  return in_block(x, function(y)
    local copier = tables.call_all(function(_, state, names)
      return core.copy_in(y, state, names, o.timeout, o.columns ~= nil)
    end, y, h, columns)
    return run(copier, fill, source)
  end)
end

--- Copies rows into a table, or bytes as a COPY statement reads them: all or nothing.
-- @tparam string|table|perigee.table target a table, or `COPY … FROM STDIN …`
-- @tparam table|function source a list or an iterator; of records or, with
-- `columns`, lists of values; for a statement of strings. It may wait.
-- @tparam[opt] table options columns (default: those of the first record), progress
-- (called with rows and bytes so far), timeout (seconds, of each wait for the database)
-- @treturn integer how many rows
-- @raise usage (also for a value that a column does not take), or what the database says;
-- `record` is the number of the row where that is known
function M.copy_in(x, target, source, options)
  if not is_sql(target) then
    return copy_rows(x, tables.resolve(x, target), source, options)
  end
  source, options = sort_arguments(source, options)
  local o = util.check_options("copy_in", options, IN)
  check_progress(o)
  return copy_bytes(x, target, source, o)
end

function tables.methods.copy_in(handle, source, options)
  local h = tables.need_handle(handle, "copy_in")
  return copy_rows(h[1], h, source, options)
end

-- ---- copying out -----------------------------------------------------------

local OUT = { "columns", "raw", "format", "rows", "class", "timeout" }
local FORMATS = { csv = true, text = true, binary = true }

local function next_bytes(it)
  local row = it:next()
  return row and row[1]
end

local Bytes = { __name = "perigee.bytes_iterator" }
Bytes.__index = Bytes
Bytes.__call = next_bytes

function Bytes:next()
  local row = self.stream:next()
  return row
end

function Bytes:close()
  self.stream:close()
end

Bytes.__close = Bytes.close

local function step(it)
  return it:next()
end

local function open_out(x, sql, what, call)
  local target = transaction.target(x)
  if what ~= "rows" then call.rows, call.class = "array", nil end
  local stream = core.copy_stream(target or x, sql, what, call)
  if target then each.remember(target, stream) end
  if what == "rows" then return step, stream, nil, stream end
  local it = setmetatable({ stream = stream }, Bytes)
  return next_bytes, it, nil, it
end

local function check_out(o)
  if o.format ~= nil and not FORMATS[o.format] then
    usage("format: \"csv\", \"text\" or \"binary\" is expected, not %s", tostring(o.format))
  end
  if o.format ~= nil and not o.raw then usage("format is for raw = true") end
  if o.raw and (o.rows ~= nil or o.class ~= nil) then
    usage("rows and class are for rows, and raw = true gives bytes")
  end
  return o.raw and (o.format or "text") or "rows"
end

-- `class`: of the rows when the options name none
local function out_of(x, sql, o, what, class)
  local call = { timeout = o.timeout, rows = o.rows, class = o.class or class }
  if can_copy(x) then return open_out(x, sql, what, call) end
  if what ~= "rows" then unsupported("copy_out with raw = true") end
  return each.each(x, sql, {}, call)
end

local function table_out(x, h, options)
  local o = util.check_options("copy_out", options, OUT)
  local what = check_out(o)
  check_plain(h, "copy_out")
  local function build(y, state) return core.copy_select(y, state, o.columns) end
  return out_of(x, tables.call_all(build, x, h), o, what, h[4])
end

--- Iterates over the rows of a table or query by COPY, or over its bytes. On the handle
-- it holds a connection until its end; in a block nothing else runs there meanwhile.
-- @tparam string|table|perigee.table target a table, a query, or `COPY … TO STDOUT …`
-- @tparam[opt] table options columns (of a table), rows, class, timeout (seconds, of
-- each wait); raw = true (strings instead of rows) with format: "text" (default), "csv"
-- or "binary"
-- @return iterator for the generic for
function M.copy_out(x, target, options)
  if not is_sql(target) then return table_out(x, tables.resolve(x, target), options) end
  local o = util.check_options("copy_out", options, OUT)
  if o.columns ~= nil then usage("columns: the statement names them") end
  if target:match "^%s*(%a*)":upper() == "COPY" then
    if not can_copy(x) then unsupported("COPY … TO STDOUT") end
    if check_out(o) == "rows" and (o.rows ~= nil or o.class ~= nil) then
      usage("rows and class are for rows, and COPY … TO STDOUT gives bytes")
    end
    if o.format ~= nil then usage("format: the statement says it") end
    return open_out(x, target, nil, { timeout = o.timeout })
  end
  return out_of(x, target, o, check_out(o))
end

function tables.methods.copy_out(handle, options)
  local h = tables.need_handle(handle, "copy_out")
  return table_out(h[1], h, options)
end

return M
