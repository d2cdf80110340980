--- The dialect of MySQL and MariaDB: definitions and operations as SQL.
local types = require "perigee.dialect.mysql.types"
local ddl = require "perigee.dialect.mysql.ddl"
local steps = require "perigee.dialect.mysql.steps"

return {
  name = "mysql",
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
}
