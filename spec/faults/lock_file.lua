-- Run by sqlite_spec.lua: lock_file.lua URL SQL SECONDS runs the SQL in a
-- transaction, says so, and commits after that time.

local build = assert(os.getenv "PERIGEE_BUILD")
package.path = "lua/?.lua;lua/?/init.lua;" .. package.path
package.cpath = build .. "/lua/?.so;" .. package.cpath
local perigee = require "perigee"

local url, sql, hold = ...
local db = perigee.open(url)
db:transaction(function(tx)
  tx:execute(sql)
  print "locked"
  io.stdout:flush()
  perigee.sleep(tonumber(hold))
end)
db:close()
