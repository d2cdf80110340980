--- The dialect of PostgreSQL: what a tree of definitions is there.
local types = require "perigee.dialect.postgres.types"
local ddl = require "perigee.dialect.postgres.ddl"
local order = require "perigee.dialect.postgres.order"
local inspect = require "perigee.dialect.postgres.inspect"
local scratch = require "perigee.dialect.postgres.scratch"
local session = require "perigee.dialect.postgres.session"
local admin = require "perigee.dialect.postgres.admin"
local steps = require "perigee.dialect.postgres.steps"
local measure = require "perigee.dialect.postgres.measure"
local normalise = require "perigee.dialect.postgres.normalise"
local compare = require "perigee.dialect.postgres.compare"

local M = {
  name = "postgres",
  features = {
    transactional_ddl = true, schemas = true, enums = "type", online = true,
    materialized_views = true, comments = true, rebuilds = false, cascade = true,
    objects = {
      ["function"] = true, procedure = true, aggregate = true, trigger = true,
      domain = true, sequence = true, extension = true, policy = true, type = true,
      range = true, exclusion = true, index = true,
    },
  },
  limit = types.limit, quote = types.quote, qualified = types.qualified,
  literal = types.literal, type = types.type, default = types.default,
  column = types.column, signature = types.signature,
  create = ddl.create, drop = ddl.drop,
  create_tree = order.create_tree, drop_tree = order.drop_tree,
  inspect = inspect.inspect, scratch = scratch.scratch, normalise = normalise.normalise,
  steps = steps.steps, partitioned = steps.partitioned,
  lock = session.lock, prepare = session.prepare, restore = session.restore,
  adjust = session.adjust, blockers = session.blockers, admin = admin,
  same_default = compare.same_default, same_text = compare.same_text,
  same_type = compare.same_type,
  measure = measure.measure, sizes = measure.sizes, stops_writes = measure.stops_writes,
}

return M
