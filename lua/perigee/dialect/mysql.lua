--- The dialect of MySQL and MariaDB: definitions and operations as SQL, and what is there,
-- which is read from MariaDB and MySQL 8.
local admin = require "perigee.dialect.mysql.admin"
local blockers = require "perigee.dialect.mysql.blockers"
local ddl = require "perigee.dialect.mysql.ddl"
local inspect = require "perigee.dialect.mysql.inspect"
local measure = require "perigee.dialect.mysql.measure"
local online = require "perigee.dialect.mysql.online"
local scratch = require "perigee.dialect.mysql.scratch"
local session = require "perigee.dialect.mysql.session"
local steps = require "perigee.dialect.mysql.steps"
local types = require "perigee.dialect.mysql.types"

-- Statements that begin with these end the transaction that they are in.
local commits = {}
for word in ([[ALTER ANALYZE CHECK CREATE DROP FLUSH GRANT INSTALL LOCK OPTIMIZE RENAME REPAIR RESET
    REVOKE TRUNCATE UNINSTALL UNLOCK]]):gmatch "%u+" do commits[word] = true end

return {
  name = "mysql", text = "CHAR", -- what CAST calls it
  features = {
    transactional_ddl = false, schemas = false, enums = "type", online = false,
    materialized_views = false, comments = true, rebuilds = false, restates = true,
    objects = { ["function"] = true, procedure = true, trigger = true, event = true },
  },
  limit = types.limit, quote = types.quote, qualified = types.qualified,
  literal = types.literal, type = types.type, default = types.default,
  column = types.column, shown = types.shown,
  create = ddl.create, drop = ddl.drop,
  create_tree = ddl.create_tree, drop_tree = ddl.drop_tree,
  steps = steps.steps, steps_many = steps.steps_many, is_refused = online.is_refused,
  lets_write = online.is, measure = measure.measure, sizes = measure.sizes,
  stops_writes = measure.stops_writes,
  inspect = inspect.inspect, same_default = inspect.same_default,
  same_text = inspect.same_text, commits = commits,
  scratch = scratch.scratch, normalise = scratch.normalise,
  prepare = session.prepare, restore = session.restore, adjust = session.adjust,
  lock = session.lock, blockers = blockers.blockers, admin = admin,
}
