--- A place to try definitions: a database in memory of the same SQLite library. Nothing
-- of it is left afterwards.
local inspect = require "perigee.dialect.sqlite.inspect"
local order = require "perigee.dialect.sqlite.order"
local util = require "perigee.util"

local M = {}

local function problem(item, err)
  return {
    at = item.at, message = type(err) == "table" and err.message or tostring(err), cause = err,
    object = item.title .. " " .. item.element.name, sql = item.sql,
  }
end

-- Creates a tree; what fails goes into `problems`, or is raised without them.
local function create(conn, tree, problems)
  local views = {}
  for _, item in ipairs(order.create(tree)) do
    local ok, err = pcall(conn.execute, conn, item.sql)
    if ok and item.kind == "view" then views[#views + 1] = item end
    if not ok and not problems then error(err, 0) end
    if not ok then problems[#problems + 1] = problem(item, err) end
  end
  return views
end

-- SQLite looks into a view only when it is used.
local function try_views(conn, views, problems)
  for _, item in ipairs(views) do
    local sql = order.probe(item.element)
    local ok, err = pcall(conn.query, conn, sql)
    if not ok then problems[#problems + 1] = problem(item, err) end
  end
end

--- Runs fn(s) on an empty database in memory, in which foreign keys are not enforced.
-- s.x is a connection; s.run(sql), s.create(tree), s.tree_of(opts) work on it.
-- @tparam perigee.executor _x not used: there is only one kind of SQLite
-- @tparam function fn
-- @return the results of fn
function M.scratch(_x, fn)
  -- the module that everything hangs on; it is loaded by the time this runs
  local db = require "perigee".open("sqlite::memory:?foreign_keys=off")
  local r = util.pack(pcall(db.connection, db, function(conn)
    return fn {
      x = conn,
      run = function(sql) return conn:execute(sql) end,
      create = function(tree) create(conn, tree) end,
      tree_of = function(opts) return inspect.inspect(conn, opts) end,
    }
  end))
  pcall(db.close, db)
  if not r[1] then error(r[2], 0) end
  return util.unpack(r, 2, r.n)
end

--- The tree as SQLite says it after creating it.
-- @treturn table live tree
-- @treturn {table,...} what could not be created: { at, message, object = "table t", sql, cause }
-- @raise usage for what SQLite cannot have at all
function M.normalise(x, tree)
  return M.scratch(x, function(s)
    local problems = {}
    try_views(s.x, create(s.x, tree, problems), problems)
    return s.tree_of(), problems
  end)
end

return M
