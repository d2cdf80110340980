-- What bench/run measures: a list of workloads.
--
-- name, title, script: the Lua program.  drivers: on what ("postgres", "sqlite", "mysql").
-- limits: workloads of the C program, the first is the limit; by driver where they
--   differ.  second: how the C program of the second one differs.
--   family: the C program is FAMILY_DRIVER.
-- check: which limit's checksum the others have to get too ("all": every one's);
--   without it all have the weight of their own kind.
-- peers: names by driver, or a list.  count: the amount of work by driver, for a run
--   of about a second.
-- side: B1 to B10 and their like: measured for a time instead of a count.  With it
--   group: what belongs together in documents;  cannot: peers and why they have no
--   such workload;  script_name: what programs call it;  shapes: further forms of rows
--   for Perigee;  server: how it is reached ("tcp", "tls");  rows: an operation reads a
--   stream.
-- named: only run when it is named.  hosts: event loops that Perigee runs in.
local W = {}

local function add(w)
  w.drivers = w.drivers or { "postgres", "sqlite" }
  W[#W + 1] = w
end

-- ---- B1 to B10 -------------------------------------------------------------

local POSTGRES_PEERS = { "asyncpg", "psycopg", "postgres.js", "node-postgres", "LuaSQL",
  "LuaDBI" }
local SQLITE_PEERS = { "aiosqlite", "better-sqlite3", "LuaSQL", "LuaDBI" }

local NO_POOL = "no pool, it blocks"
local TEXTS = "gives arrays and bytes as PostgreSQL's text"
local NO_COPY = "no COPY"
local ONE = "one connection, it blocks"
local WITHOUT = {
  pool = { LuaSQL = NO_POOL, LuaDBI = NO_POOL },
  types = { LuaSQL = TEXTS, LuaDBI = TEXTS },
  copy = { ["node-postgres"] = NO_COPY .. " without another package", LuaSQL = NO_COPY,
    LuaDBI = NO_COPY },
  many = { LuaSQL = ONE, LuaDBI = ONE },
}

local function side(name, group, title, fields)
  local w = { name = name, group = group, title = title, side = true, script = "side.lua",
    family = "side", limits = { name }, check = "all", drivers = { "postgres" },
    peers = POSTGRES_PEERS, cannot = {} }
  for k, v in pairs(fields or {}) do w[k] = v end
  add(w)
end

side("b1", "B1", "SELECT 1+1, 10 connections")
side("b1-single", "B1", "SELECT 1+1, 1 connection")
side("b1-tcp", "B1", "SELECT 1+1, 10 connections, TCP",
  { server = "tcp", limits = { "b1" }, script_name = "b1", cannot = WITHOUT.many })
side("b2", "B2", "pg_type, 12 columns, 10 connections", { shapes = { "array" } })
side("b3", "B3", "1,000 integers, 10 connections", { shapes = { "columns" } })
side("b4-bytea", "B4", "100 rows of 1,000 bytes, 10 connections",
  { cannot = WITHOUT.types })
side("b4-arrays", "B4", "100 arrays of 100 integers, 10 connections",
  { cannot = WITHOUT.types })
side("b5-copy", "B5", "COPY of 10,000 rows", { cannot = WITHOUT.copy })
side("b5-copy-10", "B5", "COPY of 10,000 rows, 10 connections",
  { cannot = WITHOUT.copy })
side("b5-insert", "B5", "insert of 1,000 rows",
  { limits = { "b5-insert", "b5-insert-copy" }, second = "by COPY" })
side("b5-insert-10", "B5", "insert of 1,000 rows, 10 connections",
  { limits = { "b5-insert-10", "b5-insert-10-copy" }, second = "by COPY",
    cannot = WITHOUT.many })
side("b6", "B6", "look-up, 64 workers, pool of 4", { cannot = WITHOUT.pool })
side("b7", "B7", "transaction, 16 workers, pool of 8", { cannot = WITHOUT.pool })
side("b8", "B8", "page of 25 rows, 32 workers, pool of 4", { cannot = WITHOUT.pool })
side("b8-tcp", "B8", "page of 25 rows, 32 workers, pool of 4, TCP",
  { server = "tcp", limits = { "b8" }, script_name = "b8", cannot = WITHOUT.pool })
side("b8-tls", "B8", "page of 25 rows, 32 workers, pool of 4, TLS",
  { server = "tls", limits = { "b8" }, script_name = "b8", cannot = WITHOUT.pool })
side("b9", "B9", "look-up behind a slow statement, 64 workers, pool of 4",
  { cannot = WITHOUT.pool })
side("b10", "B10", "stream of 1,000,000 rows", { rows = true })

local function side_sqlite(name, title, rows)
  side(name, "SQLite", title, { drivers = { "sqlite" }, peers = SQLITE_PEERS, rows = rows })
end
side_sqlite("sqlite-lookup", "look-up")
side_sqlite("sqlite-scan", "scan of 1,000,000 rows", true)
side_sqlite("sqlite-insert", "transaction of 1,000 inserts")

local MYSQL_PEERS = { "PyMySQL", "aiomysql", "mysql2", "LuaSQL", "LuaDBI" }

local function side_mysql(name, title, fields)
  local all = { drivers = { "mysql" }, peers = MYSQL_PEERS }
  for k, v in pairs(fields or {}) do all[k] = v end
  side(name, "MySQL", title, all)
end
side_mysql("mysql-lookup", "look-up",
  { limits = { "mysql-lookup", "mysql-lookup-blocking" }, second = "blocking" })
side_mysql("mysql-read", "1,000 rows of 6 columns",
  { cannot = { LuaDBI = "loses fractions of seconds" } })
side_mysql("mysql-scan", "stream of 1,000,000 rows", { rows = true })
side_mysql("mysql-insert", "insert_many of 100,000 rows")
side_mysql("mysql-pool", "look-up, 64 workers, pool of 8", { cannot = {
  PyMySQL = NO_POOL, LuaSQL = NO_POOL, LuaDBI = NO_POOL } })

-- ---- against C alone -------------------------------------------------------

add { name = "lookup", script = "lookups.lua", title = "look-ups, 1 connection",
  limits = { "lookup" }, count = { postgres = 40000, sqlite = 300000 },
  check = "lookup" }
add { name = "lookup8", script = "lookups.lua",
  title = "look-ups, 64 tasks, 8 connections",
  limits = { "lookup8" }, count = { postgres = 64000, sqlite = 300032 },
  check = "lookup8" }
add { name = "read", script = "reads.lua", title = "reads of 1,000 rows",
  limits = { "read", "read-convert" }, count = { postgres = 800, sqlite = 800 },
  check = "read-convert" }
add { name = "each", script = "streams.lua", title = "1,000,000 rows by each",
  limits = { postgres = { "single" }, sqlite = { "stream" } },
  count = { postgres = 1000000, sqlite = 1000000 } }
add { name = "fetch", script = "streams.lua",
  title = "1,000,000 rows by each in a transaction",
  limits = { postgres = { "fetch" }, sqlite = { "stream" } },
  count = { postgres = 1000000, sqlite = 1000000 } }
add { name = "query", script = "streams.lua", title = "200,000 rows by query",
  limits = { postgres = { "whole" }, sqlite = { "stream" } },
  count = { postgres = 200000, sqlite = 200000 } }

-- ---- the verbs on tables ---------------------------------------------------

local CRUD_PEERS = { postgres = { "asyncpg crud" }, sqlite = { "aiosqlite crud" } }

local function crud(name, title, postgres, sqlite)
  add { name = name, script = "crud.lua", title = title, limits = { name },
    family = "crud", check = name, peers = CRUD_PEERS,
    count = { postgres = postgres, sqlite = sqlite } }
end
crud("insert", "insert of one row", 8000, 40000)
crud("insert_many", "insert_many of 100,000 rows", 100000, 100000)
crud("select", "select of 50 rows by a filter", 4000, 10000)
crud("update", "update by key", 8000, 40000)
crud("page", "pages of 50 rows from the first row on", 3000, 3000)
crud("page_deep", "pages of 50 rows from the 1,000,000th on", 3000, 3000)

-- ---- other event loops -----------------------------------------------------

local HOSTS = { "perigee", "none", "cqueues", "luv", "copas", "user", "minimal" }

local function in_hosts(name, title, count)
  add { name = name, group = "hosts", script = "hosts.lua", title = title, named = true,
    drivers = { "postgres" }, hosts = HOSTS, limits = { name:match "%-(.*)" },
    count = { postgres = count }, check = "all" }
end
in_hosts("hosts-lookup", "look-ups in event loops, 1 connection", 20000)
in_hosts("hosts-lookup8", "look-ups in event loops, 64 tasks, 8 connections", 32000)

return W
