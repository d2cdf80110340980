--- Asks the server how it would change tables: at once, beside those who write, or by a
-- copy while nobody writes. A statement is tried on empty copies in a database of their
-- own, with the cheapest way asked for first: what cannot be done so the server refuses,
-- and says why.
local mysql8 = require "perigee.dialect.mysql.mysql8"
local online = require "perigee.dialect.mysql.online"
local scratch = require "perigee.dialect.mysql.scratch"
local core = require "perigee.core"

local M = {}

-- From the least to the most, and what each means.
local WAYS = {
  { "ALGORITHM = INSTANT" },
  { "ALGORITHM = NOCOPY", "LOCK = NONE" },
  { "ALGORITHM = NOCOPY", "LOCK = SHARED", fact = "scans" },
  { "ALGORITHM = INPLACE", "LOCK = NONE", fact = "rebuilds" },
  { "ALGORITHM = INPLACE", "LOCK = SHARED", fact = "scans" },
}

-- MySQL has no NOCOPY: whether INPLACE has written the table anew, the tables' ids tell.
local MYSQL_WAYS = {
  { "ALGORITHM = INSTANT" },
  { "ALGORITHM = INPLACE", "LOCK = NONE", told = "rebuilds" },
  { "ALGORITHM = INPLACE", "LOCK = SHARED", fact = "scans" },
}

local NEWEST = [[SELECT max(t.table_id) FROM information_schema.innodb_tables t
WHERE substring_index(t.name, '/', 1) = database()]]

-- Nil where one may not ask (it takes the privilege PROCESS).
local function newest_table(s)
  local ok, id = pcall(s.x.value, s.x, NEWEST)
  return ok and tonumber(id) or nil
end

--- Do others have to wait with what they write while such a lock is held?
function M.stops_writes(mode) return mode == "SHARED" end

-- ---- one statement ---------------------------------------------------------

local VERBS = { "^ALTER%s+TABLE%s", "^CREATE%s[%u%s]*INDEX%s" }

-- MariaDB's DROP INDEX takes no options.
local DROP = "^%s*[Dd][Rr][Oo][Pp]%s+[Ii][Nn][Dd][Ee][Xx]%s+(%S+)%s+[Oo][Nn]%s+(%S+)$"

-- The statement without what would end it, and what separates options from it; nil for one
-- that is not tried: another kind, one that reaches further than the copies, one that says
-- itself how it is to be done.
local function prepared(sql)
  local text = sql:gsub("[%s;]+$", ""):gsub(DROP, "ALTER TABLE %2 DROP INDEX %1")
  local upper = text:upper():gsub("^%s+", "")
  if upper:find "/%*M?!" or upper:find "[%w_`]%s*%.%s*[%u_`]" or upper:find "%f[%u]ALGORITHM%f[%U]"
    or upper:find "%f[%u]LOCK%f[%U]" then
    return nil
  end
  for i, verb in ipairs(VERBS) do
    if upper:find(verb) then return text, i == 1 and ", " or " " end
  end
  return nil
end

local function reason(err) return (err.message or ""):match "[Rr]eason: (.-)%. Try" end

-- Runs it in the cheapest way there is.
local function cheapest(s, text, separator)
  local is_mysql, why = mysql8.is(s.version), nil
  local before = is_mysql and newest_table(s)
  for _, way in ipairs(is_mysql and MYSQL_WAYS or WAYS) do
    local options = table.concat(way, separator)
    local gap = separator == " " and "\n" or ",\n"
    local ok, err = pcall(s.run, text .. gap .. options)
    if ok and way.told then return before ~= newest_table(s) and way.told or nil, why end
    if ok then return way.fact, why end
    if not online.is_refused(err) then error(err, 0) end
    why = reason(err) or why
  end
  s.run(text)
  return "rewrites", why
end

-- The table that a statement of these is about.
local function table_of(text)
  local rest = text:match "^%s*%a+%s+[Tt][Aa][Bb][Ll][Ee]%s+(.*)$"
    or text:match "%s[Oo][Nn]%s+(.*)$"
  return rest and (rest:match "^`([^`]+)`" or rest:match "^([%w_$]+)")
end

local function facts_of(s, sql)
  local text, separator = prepared(sql)
  local name = text and table_of(text)
  if not name then
    error(core.new_error("unsupported", "the statement is not tried on a copy"), 0)
  end
  local facts = { locks = {}, rewrites = {}, scans = {}, rebuilds = {}, builds = {}, why = {} }
  local fact, why = cheapest(s, text, separator)
  if fact then facts[fact][name], facts.why[name] = fact ~= "scans" or "SHARED", why end
  return facts
end

-- ---- the space -------------------------------------------------------------

local Space = {}
Space.__index = Space

--- What statements do, one after the other.
-- @tparam table tree the tables that are there before
-- @tparam {table,...} steps { sql = }
-- @treturn ?{table,...} for each { rewrites = { [table] = true: copied while nobody writes },
-- rebuilds = { [table] = true: written anew beside those who write }, scans = { [table] =
-- "SHARED": nobody writes meanwhile }, why = { [table] = what the server says of it } }
-- @treturn ?string why the server cannot be asked about them
function Space:facts(tree, steps)
  local list = {}
  local ok, err = pcall(scratch.scratch, self.x, function(s)
    s.create(tree)
    for i, step in ipairs(steps) do list[i] = facts_of(s, step.sql) end
  end)
  if ok then return list end
  if getmetatable(err) ~= core.error then error(err, 0) end
  return nil, err.message
end

--- Calls fn(s), where s:facts(tree, steps) asks the server. Nothing is left of it.
-- @param x handle or connection, not in a transaction
-- @tparam function fn
-- @return the results of fn
-- @raise usage inside a transaction; permission when no database may be created
function M.measure(x, fn)
  local function on(conn)
    scratch.scratch(conn, function() end) -- may it be?
    return fn(setmetatable({ x = conn }, Space))
  end
  if getmetatable(x) == core.db_mt then return x:connection(on) end
  return on(x)
end

-- ---- sizes -----------------------------------------------------------------

local SIZES = [[SELECT table_name AS name, coalesce(table_rows, -1) AS n,
  coalesce(data_length + index_length, 0) AS bytes
FROM information_schema.tables WHERE table_schema = database() AND table_type = 'BASE TABLE']]

--- How large the tables of the session's database are, as the server estimates.
-- @treturn table { [name] = { rows = number, below 0 when nobody counted, bytes = } }
function M.sizes(x)
  local out = {}
  for _, row in ipairs(x:query(SIZES)) do
    out[row.name] = { rows = tonumber(row.n), bytes = tonumber(row.bytes) }
  end
  return out
end

return M
