--- All rules: what is in the files of this folder, by operation and by name. A rule is
-- { id, level, databases (names of dialects, nil: all), on (operations), check(op,
-- context), danger, safe, loses (stops an upgrade), fact ("rewrite", "scan" or "rebuild": the
-- server may know better), told (message with %s for the table: what the server says) }. check
-- gives nil, a message, or a list of { message, at, hint }.
local near = require "perigee.sandbox.near"
local transactions = require "perigee.migrate.lint.transactions"
local util = require "perigee.util"
local whole = require "perigee.migrate.lint.whole"

local M = { list = {}, by_id = {} }

local by_op, ids = {}, {}

local GROUPS = {
  -- rules, and whether their messages tell how large the table is ("facts": of those that the
  -- server may know better)
  { require "perigee.migrate.lint.data", true },
  { require "perigee.migrate.lint.compatible", false },
  { require "perigee.migrate.lint.locks", true },
  { require "perigee.migrate.lint.rewrites", true },
  { transactions.rules, false },
  { whole.operations, true },
  { require "perigee.migrate.lint.design", false },
  { require "perigee.migrate.lint.sqlite", false },
  { require "perigee.migrate.lint.mysql", "facts" },
  { whole.rules, false },
}

for _, group in ipairs(GROUPS) do
  for _, rule in ipairs(group[1]) do
    rule.sized = (group[2] == true or group[2] and rule.fact ~= nil) and rule.level ~= "info"
    M.list[#M.list + 1], M.by_id[rule.id], ids[#ids + 1] = rule, rule, rule.id
    for _, op in ipairs(rule.on or {}) do
      by_op[op] = by_op[op] or {}
      table.insert(by_op[op], rule)
    end
  end
end

--- The rules about an operation.
function M.about(op)
  return by_op[op] or {}
end

--- Is the rule for this database?
function M.is_for(rule, database)
  if not rule.databases then return true end
  for _, name in ipairs(rule.databases) do
    if name == database then return true end
  end
  return false
end

--- The rule of a name.
-- @tparam string id
-- @tparam string what for the message: where it is said
-- @raise usage with a suggestion
function M.find(id, what)
  local rule = M.by_id[id]
  if rule then return rule end
  util.usage('%sthere is no rule "%s"%s', what, tostring(id), near.hint(id, ids))
end

return M
