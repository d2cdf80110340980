--- Tables as queues: rows that one worker takes and the others pass over.
local core = require "perigee.core"
local crud = require "perigee.crud"
local tables = require "perigee.table"
local transaction = require "perigee.transaction"
local util = require "perigee.util"

local usage, pack, unpack = util.usage, util.pack, util.unpack
local call, leaves = tables.call, crud.leaves
local M = {}

--- What a function of claim_one returns to leave its row as it is.
M.retry = setmetatable({}, {
  __name = "perigee.retry",
  __tostring = function() return "perigee.retry" end,
  __newindex = function() usage("perigee.retry is a mark; it has no fields") end,
})

local function check_supported(x, verb)
  local driver = core.driver(x)
  if driver.features.row_locks then return end
  error(core.new_error("unsupported",
    ("%s: %s has no row locks, so it has no SKIP LOCKED"):format(verb, driver.name)), 0)
end

local SKIP = "update skip_locked"

--- Locks rows until the end of the transaction, passing over those that others have
-- locked.
-- @tparam ?table filter
-- @tparam[opt] table opts order_by, limit (default 1), columns, timeout, class
-- @treturn {table,...} rows
-- @raise usage outside of a transaction; unsupported on SQLite
function M.claim(x, h, filter, opts)
  local o = util.check_options("claim", opts,
    { "order_by", "limit", "columns", "timeout", "class" })
  check_supported(x, "claim")
  if not transaction.in_transaction(x) then
    usage("claim: outside of a transaction the locks would be lost at once")
  end
  return call(leaves.select, x, h, filter, {
    order_by = o.order_by, limit = o.limit or 1, columns = o.columns, timeout = o.timeout,
    class = o.class, lock = SKIP,
  })
end

-- ---- claim_one -------------------------------------------------------------

local CLAIM_ONE = {
  "status", "pending", "completed", "failed", "order_by", "filter", "error", "swallow",
  "timeout", "class",
}

-- The options with what is standard.
local function read_options(opts)
  local o = {
    status = "status", pending = "pending", completed = "completed", failed = "failed",
    swallow = false,
  }
  for k, v in pairs(util.check_options("claim_one", opts, CLAIM_ONE)) do o[k] = v end
  if type(o.status) ~= "string" then usage("claim_one: status: the name of a column") end
  if o.error ~= nil and type(o.error) ~= "string" then
    usage("claim_one: error: the name of a column")
  end
  if type(o.swallow) ~= "boolean" then usage("claim_one: swallow: true or false") end
  return o
end

local function check_table(x, h, o)
  local entry = tables.entry(x, h)
  if not entry.pk then usage("claim_one: %s has no primary key", h.name) end
  for _, name in ipairs { o.status, o.error } do
    if not entry.by_name[name] then
      usage("claim_one: %s has no column %q", h.name, name)
    end
  end
  return entry.pk
end

local function take(tx, h, o)
  return call(leaves.select, tx, h, { o.filter or {}, [o.status] = o.pending }, {
    order_by = o.order_by, limit = 1, lock = SKIP, timeout = o.timeout, class = o.class,
  })[1]
end

-- An error that says that we are to stop, and nothing of the job. The row stays
-- pending, as after the end of the process.
local function is_ours(err)
  return type(err) == "table" and getmetatable(err) == core.error
    and (err.kind == "cancelled" or err.kind == "closed")
end

-- Stores the status of a row, and perhaps a message; false and the error when that
-- fails. A message that the column does not take must not keep the row pending for
-- ever: then it is told without what is not ASCII, or else only the status is stored.
local function store(tx, h, o, key, values)
  local text, options = o.error and values[o.error], { timeout = o.timeout }
  if not text then return pcall(crud.update, tx, h, key, values, options) end
  local function attempt()
    return pcall(transaction.transaction, tx, function(sp)
      return crud.update(sp, h, key, values, options)
    end)
  end
  local ok, problem = attempt()
  if ok or is_ours(problem) then return ok, problem end
  values[o.error] = text:gsub("[^\t\n\r -~]", "?")
  if attempt() then return true end
  values[o.error] = nil
  return attempt()
end

-- What an error says. It may be anything.
local function message_of(err)
  local ok, text = pcall(tostring, err)
  return ok and text or "an error without a message"
end

-- Runs the function in a savepoint and stores how it ended. Returns what pcall does.
local function work(tx, h, o, key, row, fn)
  local r = pack(pcall(transaction.transaction, tx, function(sp) return fn(row, sp) end))
  if r[1] and r[2] == M.retry then return r end
  if not r[1] and is_ours(r[2]) then error(r[2], 0) end
  local values = { [o.status] = r[1] and o.completed or o.failed }
  if not r[1] and o.error then values[o.error] = message_of(r[2]) end
  local ok, problem = store(tx, h, o, key, values)
  if not ok then error(r[1] and problem or r[2], 0) end
  return r
end

--- Takes one pending row, runs `fn(row, tx)` in a savepoint, and stores how it ended: the
-- status `completed`, or `failed` after an error, which is raised again when that is
-- committed. When the process ends meanwhile, the row is pending again.
-- @tparam ?table opts status ("status": the column), pending, completed, failed (its
-- values), order_by, filter, error (a column for the message), swallow (true: an error
-- is returned instead), timeout, class
-- @tparam function fn may return perigee.retry to leave the row pending
-- @return false when there is none; true and the results of fn; with swallow after an
-- error false and the error
function M.claim_one(x, h, opts, fn)
  if type(fn) ~= "function" then
    usage("claim_one(opts, fn): a function is expected, not %s", type(fn))
  end
  local o = read_options(opts)
  check_supported(x, "claim_one")
  local pk = check_table(x, h, o)
  local r
  transaction.transaction(x, function(tx)
    local row = take(tx, h, o)
    if row == nil then return end
    local key = {}
    for _, name in ipairs(pk) do key[name] = rawget(row, name) end
    r = work(tx, h, o, key, row, fn)
  end)
  if r == nil then return false end
  if r[1] then return true, unpack(r, 2, r.n) end
  if o.swallow then return false, r[2] end
  error(r[2], 0)
end

return M
