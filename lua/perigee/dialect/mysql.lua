--- The dialect of MySQL and MariaDB: definitions and operations as SQL, and what is there,
-- which is read from MariaDB.
local admin = require "perigee.dialect.mysql.admin"
local ddl = require "perigee.dialect.mysql.ddl"
local inspect = require "perigee.dialect.mysql.inspect"
local scratch = require "perigee.dialect.mysql.scratch"
local session = require "perigee.dialect.mysql.session"
local steps = require "perigee.dialect.mysql.steps"
local types = require "perigee.dialect.mysql.types"

return {
  name = "mysql", text = "CHAR", -- what CAST calls it
  features = {
    transactional_ddl = false, schemas = false, enums = "type", online = false,
    materialized_views = false, comments = true, rebuilds = false, restates = true,
    objects = { ["function"] = true, procedure = true, trigger = true, event = true },
  },
  limit = types.limit, quote = types.quote, qualified = types.qualified,
  literal = types.literal, type = types.type, default = types.default,
  column = types.column,
  create = ddl.create, drop = ddl.drop,
  create_tree = ddl.create_tree, drop_tree = ddl.drop_tree,
  steps = steps.steps, steps_many = steps.steps_many,
  inspect = inspect.inspect, same_default = inspect.same_default,
  same_text = inspect.same_text,
  scratch = scratch.scratch, normalise = scratch.normalise,
  prepare = session.prepare, restore = session.restore, adjust = session.adjust,
  lock = session.lock, blockers = session.blockers, admin = admin,
}
