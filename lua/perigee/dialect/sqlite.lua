--- SQLite for definitions, reflection and migrations. Its interface is that of every
-- dialect (perigee.dialect); docs/internals/dialect-sqlite.md has the reasons.
local admin = require "perigee.dialect.sqlite.admin"
local ddl = require "perigee.dialect.sqlite.ddl"
local inspect = require "perigee.dialect.sqlite.inspect"
local lexer = require "perigee.dialect.sqlite.lexer"
local order = require "perigee.dialect.sqlite.order"
local scratch = require "perigee.dialect.sqlite.scratch"
local session = require "perigee.dialect.sqlite.session"
local steps = require "perigee.dialect.sqlite.steps"
local types = require "perigee.dialect.sqlite.types"

local M = { name = "sqlite" }

M.features = {
  transactional_ddl = true, schemas = false, enums = "check", online = false,
  materialized_views = false, comments = false, cascade = false, rebuilds = true,
  objects = { trigger = true },
}

--- Names have no limit.
function M.limit(name) return name end

M.quote = lexer.quote

--- A name with its schema, which can be main, temp or an attached database.
function M.qualified(schema, name)
  return schema and lexer.quote(schema) .. "." .. lexer.quote(name) or lexer.quote(name)
end

M.literal = ddl.literal

--- The declared type of a column or of a portable type.
-- @tparam table c C or TY
-- @tparam[opt] table at { file, line } for messages
function M.type(c, at)
  return c.identity and "INTEGER" or types.text(c, at)
end

M.default, M.column = ddl.default, ddl.column
M.create, M.drop = ddl.create, ddl.drop
M.create_tree, M.drop_tree = order.create, order.drop
M.inspect, M.same_default, M.same_text = inspect.inspect, inspect.same_default, inspect.same_text
M.same_type = types.same
M.steps, M.steps_many = steps.one, steps.many
M.scratch, M.normalise = scratch.scratch, scratch.normalise
M.prepare, M.restore, M.lock = session.prepare, session.restore, session.lock
M.before_commit = session.before_commit
M.admin = admin

--- SQLite does not tell who holds a lock.
function M.blockers() return nil end

return M
