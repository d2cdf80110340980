--- Asks the server what a statement does to its tables: which it writes anew, which it
-- reads from one end to the other, which locks it takes. The statement runs on empty
-- copies in pg_temp, with the same types, keys and constraints.
--
-- The answers come from what is stable between versions: a table that is written anew has
-- another relfilenode, one that is read counts a scan in pg_stat_xact_all_tables, an index
-- that is built is a new one. The messages of DEBUG1 say the same, but their words change.
local core = require "perigee.core"
local inspect = require "perigee.dialect.postgres.inspect"
local order = require "perigee.dialect.postgres.order"
local rewrite = require "perigee.dialect.postgres.rewrite"
local transaction = require "perigee.transaction"
local types = require "perigee.dialect.postgres.types"
local util = require "perigee.util"

local M = {}

local SETTINGS = [[
SET LOCAL search_path = pg_temp, %s;
SET LOCAL lock_timeout = '2s';
SET LOCAL statement_timeout = '30s';
SET LOCAL check_function_bodies = off;
SET LOCAL client_min_messages = warning]]

local TEMPORARY = [[
SELECT c.oid::text AS id, c.relname::text AS name, c.relkind::text AS kind,
  c.relfilenode::text AS file, coalesce(s.seq_scan, 0)::int4 AS scans,
  i.indrelid::pg_catalog.regclass::text AS owner
FROM pg_catalog.pg_class c
LEFT JOIN pg_catalog.pg_stat_xact_all_tables s ON s.relid = c.oid
LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
WHERE c.relnamespace = pg_catalog.pg_my_temp_schema() AND c.relkind IN ('r', 'p', 'i', 'I')]]

local LOCKS = [[
SELECT l.relation::text AS id, l.mode FROM pg_catalog.pg_locks l
WHERE l.pid = pg_catalog.pg_backend_pid() AND l.locktype = 'relation'
  AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d
    WHERE d.datname = pg_catalog.current_database())]]

-- What is there besides the copies: also after a statement has dropped it.
local REAL = [[
SELECT c.oid::text AS id, c.relname::text AS name
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema']]

local TYPES = [[
SELECT t.typname::text AS name FROM pg_catalog.pg_type t
WHERE t.typnamespace = pg_catalog.pg_my_temp_schema() AND t.typtype = 'e']]

-- From the weakest to the strongest.
local MODES = {
  "AccessShareLock", "RowShareLock", "RowExclusiveLock", "ShareUpdateExclusiveLock",
  "ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock",
}
local RANK = {}
for i, mode in ipairs(MODES) do RANK[mode] = i end

--- Do others have to wait with what they write while such a lock is held?
function M.stops_writes(mode)
  return (RANK[mode] or 0) >= RANK.ShareLock
end

local MAY = [[
SELECT pg_catalog.has_database_privilege(pg_catalog.current_database(), 'TEMP')
  AND NOT pg_catalog.pg_is_in_recovery()]]

-- ---- the space -------------------------------------------------------------

local Space = {}
Space.__index = Space

local UNDO = {} -- an error that is none

-- Runs fn(tx) in a transaction that is kept or rolled back.
local function within(space, keep, fn)
  local result
  local ok, err = pcall(transaction.transaction, space.x, function(tx)
    tx:script(SETTINGS:format(space.path))
    result = fn(tx)
    if not keep then error(UNDO, 0) end
  end)
  if not ok and err ~= UNDO then error(err, 0) end
  return result
end

local function snapshot(tx)
  local by_id = {}
  for _, row in ipairs(tx:query(TEMPORARY)) do by_id[row.id] = row end
  return by_id
end

local function note_lock(locks, name, mode)
  if not locks[name] or RANK[mode] > RANK[locks[name]] then locks[name] = mode end
end

-- The locks of the copies. A statement that reaches further than them is not kept.
local function locks_of(space, tx, before)
  local locks = {}
  for _, row in ipairs(tx:query(LOCKS)) do
    local one, rank = before[row.id], RANK[row.mode] or 0
    if one and rank > 0 then note_lock(locks, one.name, row.mode) end
    if space.real[row.id] and rank >= RANK.RowExclusiveLock then
      error(core.new_error("unsupported",
        ("the statement changes %s itself, not a copy"):format(space.real[row.id])), 0)
    end
  end
  return locks
end

local TABLE = { r = true, p = true }

-- What has changed between two snapshots.
local function facts_between(before, after, locks)
  local facts = { locks = locks, rewrites = {}, scans = {}, builds = {} }
  for id, now in pairs(after) do
    local was = before[id]
    if TABLE[now.kind] and was then
      if was.file ~= now.file then facts.rewrites[was.name] = true end
      if now.scans > was.scans then facts.scans[was.name] = locks[was.name] or MODES[1] end
    elseif now.owner and (not was or was.file ~= now.file) then
      facts.builds[now.name] = now.owner:match "([^.]*)$"
    end
  end
  return facts
end

local function run_step(space, tx, step)
  local before = snapshot(tx)
  tx:script(rewrite.forward(step.sql, { [space.live] = "" }))
  local locks = locks_of(space, tx, before)
  return facts_between(before, snapshot(tx), locks)
end

-- Removes what was put into pg_temp; what the session had there before stays.
local function clear(space)
  within(space, true, function(tx)
    for _, row in pairs(snapshot(tx)) do
      if TABLE[row.kind] and not space.kept[row.name] then
        tx:script(("DROP TABLE IF EXISTS pg_temp.%s CASCADE"):format(types.quote(row.name)))
      end
    end
    for _, row in ipairs(tx:query(TYPES)) do
      if not space.kept_types[row.name] then
        tx:script(("DROP TYPE IF EXISTS pg_temp.%s CASCADE"):format(types.quote(row.name)))
      end
    end
  end)
end

local function create(space, tree)
  within(space, true, function(tx)
    for _, entry in ipairs(order.create_tree(tree)) do tx:script(entry.sql) end
  end)
end

--- What statements do, one after the other, each in a transaction.
-- @tparam table tree the tables that are there before, of the default schema; enums
-- @tparam {table,...} steps { sql =, keep = boolean: the next one sees what it did }
-- @treturn ?{table,...} for each { locks = { [table or index] = the strongest mode }, rewrites =
-- { [table] = true }, scans = { [table] = the strongest lock meanwhile }, builds = {
-- [index] = table } }
-- @treturn ?string why the server cannot be asked about them
function Space:facts(tree, steps)
  local list = {}
  local ok, err = pcall(function()
    create(self, tree)
    for i, step in ipairs(steps) do
      list[i] = within(self, step.keep, function(tx)
        return run_step(self, tx, step)
      end)
    end
  end)
  clear(self)
  if ok then return list end
  if getmetatable(err) ~= core.error then error(err, 0) end
  return nil, err.message
end

--- Calls fn(s), where s:facts(tree, steps) asks the server. Nothing is left of it.
-- @param x handle or connection, not in a transaction
-- @tparam function fn
-- @return the results of fn
-- @raise usage inside a transaction; permission when there may be no copies
function M.measure(x, fn)
  local target = transaction.target(x)
  if target and core.info(target).is_tx then
    util.usage("the server is asked in transactions of its own: this cannot be done inside "
      .. "a transaction")
  end
  local function on(conn)
    if not conn:value(MAY) then
      error(core.new_error("permission",
        "empty copies need the privilege TEMP on the database, and a server that is no replica"), 0)
    end
    local s = inspect.settings(conn)
    local space = setmetatable({
      x = conn, live = s.schema, path = s.path, kept = {}, kept_types = {}, real = {},
    }, Space)
    for _, row in ipairs(conn:query(REAL)) do space.real[row.id] = row.name end
    for _, row in pairs(snapshot(conn)) do space.kept[row.name] = true end
    for _, row in ipairs(conn:query(TYPES)) do space.kept_types[row.name] = true end
    return fn(space)
  end
  if getmetatable(x) == core.db_mt then return x:connection(on) end
  return on(x)
end

-- ---- sizes -----------------------------------------------------------------

local SIZES = [[
SELECT c.relname::text AS name, c.reltuples::float8 AS rows,
  pg_catalog.pg_total_relation_size(c.oid)::float8 AS bytes
FROM pg_catalog.pg_class c
WHERE c.relkind IN ('r', 'm', 'p')
  AND c.relnamespace = (SELECT n.oid FROM pg_catalog.pg_namespace n
    WHERE n.nspname = pg_catalog.current_schema())]]

--- How large the tables of the default schema are, as the server last counted them.
-- @treturn table { [name] = { rows = number, below 0 when nobody counted, bytes = } }
function M.sizes(x)
  local out = {}
  for _, row in ipairs(x:query(SIZES)) do
    out[row.name] = { rows = row.rows, bytes = row.bytes }
  end
  return out
end

return M
