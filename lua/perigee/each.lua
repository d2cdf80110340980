--- Iteration in constant memory.
-- On the handle: a stream on a connection of its own. In a block: a stream on the
-- same connection where the database allows other statements meanwhile, else a
-- server cursor, else (what cannot be declared) all rows at once.
local core = require "perigee.core"
local wait = require "perigee.wait"
local transaction = require "perigee.transaction"

local FETCH_ROWS = 500

local env, info = core.env, core.info
local query = wait.leaf(core.verbs.query)
local execute = wait.leaf(core.verbs.execute)
local internal = wait.leaf(core.internal)
local next_row = wait.leaf(core.stream_methods.next)
core.stream_methods.next = next_row
local stream_mt = core.stream_mt

local M = {}

-- ---- a list that is there --------------------------------------------------

local List = {}
List.__index = List
List.__name = "perigee.rows_iterator"

function List:next()
  local rows = self.rows
  if not rows then return nil end
  self.at = self.at + 1
  local row = rows[self.at]
  if row == nil then self.rows = nil end
  return row
end

function List:close()
  self.rows = nil
end

-- ---- a cursor on the server ------------------------------------------------

local Cursor = {}
Cursor.__index = Cursor
Cursor.__name = "perigee.cursor"

function Cursor:next()
  if self.is_cut then
    error(core.new_error("closed", "this iterator has ended with the block or task in which "
      .. "it was made, and not all rows were read"), 0)
  end
  if self.closed then return nil end
  local row = self.rows and self.rows[self.at]
  if row == nil then
    if self.last then
      self:close()
      return nil
    end
    self.rows = query(self.x, self.fetch, {}, self.options)
    self.last = #self.rows < FETCH_ROWS
    self.at = 1
    row = self.rows[1]
    if row == nil then
      self:close()
      return nil
    end
  end
  self.at = self.at + 1
  return row
end

-- Closing waits for the server; where that cannot be (a failed or ended
-- transaction, a destructor) the end of the transaction closes it.
function Cursor:close()
  if self.closed then return end
  self.closed, self.rows = true, nil
  local i = info(self.x)
  if i.open and i.tx ~= "failed" and not i.broken and core.can_wait() then
    pcall(internal, self.x, "CLOSE " .. self.name)
  end
end

-- Its block has ended. (Those of core have core.cut_stream.)
function Cursor:cut()
  self.is_cut = not self.closed
  self:close()
end

local function open_cursor(x, hold, sql, ...)
  local e = env(x)
  e.cursors = (e.cursors or 0) + 1
  local name = ("perigee_cursor_%d_%d"):format(e.depth or 0, e.cursors)
  local declare = ("DECLARE %s NO SCROLL CURSOR %sFOR %s"):format(
    name, hold and "WITH HOLD " or "", sql)
  local options
  local first, second = ...
  if type(first) == "table" and getmetatable(first) == nil then
    options = second
    local rest = options and { timeout = options.timeout } or nil
    (hold and execute or internal)(x, declare, first, rest)
  else
    (hold and execute or internal)(x, declare, ...)
  end
  return setmetatable({
    x = x, name = name, options = options,
    fetch = ("FETCH %d FROM %s"):format(FETCH_ROWS, name),
  }, Cursor)
end

-- ---- each ------------------------------------------------------------------

-- The end of the block closes it.
local function remember(x, it)
  local e = env(x)
  e.streams = e.streams or setmetatable({}, { __mode = "k" })
  e.streams[it] = true
  return it
end
M.remember = remember

local function open_in_block(x, sql, ...)
  local features = core.driver(x).features
  if features.interleave then return remember(x, core.stream(x, sql, ...)) end
  local what = core.describe(x, sql)
  local in_tx = info(x).is_tx
  if features.cursor and what.cursor
    and (in_tx or (features.cursor_hold and not what.locks)) then
    return remember(x, open_cursor(x, not in_tx, sql, ...))
  end
  return setmetatable({ rows = query(x, sql, ...), at = 0 }, List)
end

local function step(it)
  return it:next()
end

--- Iterates over the rows of a statement in constant memory; other queries may run
-- inside the loop. Leaving the loop early cleans up at once on Lua 5.4; on LuaJIT
-- and 5.3 call it:close(), or the collector does.
-- @tparam string sql
-- @param ... parameters as for query(); options timeout (for each wait), rows, class
-- @return iterator for the generic for
function M.each(x, sql, ...)
  local target = transaction.target(x)
  local it = target and open_in_block(target, sql, ...) or core.stream(x, sql, ...)
  return getmetatable(it) == stream_mt and next_row or step, it, nil, it
end

for _, class in ipairs { List, Cursor } do
  class.__close = class.close
  class.__call = class.next
  class.__gc = nil
end
stream_mt.__call = next_row

return M
