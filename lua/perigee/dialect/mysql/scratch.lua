--- A place to try definitions: a database of its own on the same server, which is dropped
-- afterwards. DDL commits by itself, so that nothing could be rolled back, and temporary
-- tables have no foreign keys.
local core = require "perigee.core"
local ddl = require "perigee.dialect.mysql.ddl"
local inspect = require "perigee.dialect.mysql.inspect"
local mysql8 = require "perigee.dialect.mysql.mysql8"
local transaction = require "perigee.transaction"
local types = require "perigee.dialect.mysql.types"
local util = require "perigee.util"

local M = {}

local SETTINGS = [[SELECT database() AS name, connection_id() AS id,
  @@character_set_database AS charset, @@collation_database AS collation,
  version() AS version]]

-- Runs a statement as it is.
local function execute(conn, sql) conn:script(sql) end

-- `version` of the server: what a syntax error means is so on MariaDB.
local function problem(entry, err, version)
  local is_error = type(err) == "table"
  local meaning = not mysql8.is(version) and is_error and err.kind == "syntax" and entry.syntax
  local message = is_error and (meaning or err.message)
  return {
    at = entry.at, message = message or tostring(err), cause = err,
    object = entry.what, sql = entry.sql,
  }
end

-- Creates a tree; what fails goes into `problems`, or is raised without them.
local function create(conn, tree, problems, version)
  for _, entry in ipairs(ddl.create_tree(tree, { apart = true })) do
    local ok, err = pcall(execute, conn, entry.sql)
    if not ok and not problems then error(err, 0) end
    if not ok then problems[#problems + 1] = problem(entry, err, version) end
  end
end

local HINT = "definitions are tried in a database of their own: "
  .. [[GRANT ALL ON `perigee\_scratch\_%`.* TO the user]]

local function make(conn, scratch, s)
  local ok, err = pcall(function()
    execute(conn, "DROP DATABASE IF EXISTS " .. scratch)
    execute(conn, ("CREATE DATABASE %s CHARACTER SET %s COLLATE %s"):format(scratch, s.charset,
      s.collation))
  end)
  if ok then return end
  if type(err) == "table" and err.kind == "permission" then
    err = core.new_error(err.kind, err.message, { hint = HINT, sqlstate = err.sqlstate,
      code = err.code, cause = err })
  end
  error(err, 0)
end

local function run(conn, fn)
  local s = conn:one(SETTINGS)
  local scratch = types.quote("perigee_scratch_" .. tostring(s.id))
  make(conn, scratch, s)
  local r = util.pack(pcall(function()
    execute(conn, "USE " .. scratch)
    return fn {
      x = conn, version = s.version,
      run = function(sql) execute(conn, sql) end,
      create = function(tree) create(conn, tree) end,
      tree_of = function() return inspect.read(conn, {}) end,
    }
  end))
  pcall(execute, conn, "DROP DATABASE IF EXISTS " .. scratch)
  if s.name then pcall(execute, conn, "USE " .. types.quote(s.name)) end
  if not r[1] then error(r[2], 0) end
  return util.unpack(r, 2, r.n)
end

--- Runs fn(s) in a database of its own. s.x is a connection, s.version the server's; s.run(sql),
-- s.create(tree), s.tree_of() work on it. The user must be allowed to create databases whose
-- names begin with perigee_scratch_.
-- @param x handle or connection, not in a transaction
-- @tparam function fn
-- @return the results of fn
-- @raise usage inside a transaction; permission
function M.scratch(x, fn)
  local target = transaction.target(x)
  if target and core.info(target).is_tx then
    util.usage("definitions are tried in a database of their own, and its DDL would commit "
      .. "the transaction: this cannot be done inside one")
  end
  if target then return run(target, fn) end
  return x:connection(function(conn) return run(conn, fn) end)
end

--- The tree as the server says it after creating it.
-- @treturn table live tree
-- @treturn {table,...} what could not be created: { at, message, object, sql, cause }
function M.normalise(x, tree)
  return M.scratch(x, function(s)
    local problems = {}
    create(s.x, tree, problems, s.version)
    return s.tree_of(), problems
  end)
end

return M
