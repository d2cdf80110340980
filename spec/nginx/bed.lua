-- What the specs of nginx share: a server with the pages of app.lua, started for a spec
-- and stopped after it, whose error log has to be clean then.
local busted = require "busted"
local assert = require "luassert"
local helper = require "spec.support.helper"
local nginx = require "spec.support.nginx"

local bed = {}

local is_jit = type(rawget(_G, "jit")) == "table"

--- Why nothing can be tested, or nil. nginx runs LuaJIT, so its modules have to be those
-- that these specs run with.
function bed.missing()
  if not is_jit then return "nginx needs the build for LuaJIT, whose specs start it" end
  if not os.getenv "PERIGEE_TEST_POSTGRES" then return "PERIGEE_TEST_POSTGRES is not set" end
  return nginx.missing()
end

local started = {}

-- Pages under /checked/ end when their client leaves.
local SERVE = [[
location / { content_by_lua_block { require("spec.nginx.app").serve() } }
location /checked/ { lua_check_client_abort on;
  content_by_lua_block { require("spec.nginx.app").serve() } }
]]

local function start(way, options)
  options = options or {}
  options.env = options.env or {}
  options.env.PERIGEE_SPEC_WAY = way
  options.locations = (options.locations or "") .. (options.serve or SERVE)
  options.http = "lua_socket_log_errors off; client_body_buffer_size 1m;\n"
    .. (options.http or "")
  local server = nginx.start(options)
  started[#started + 1] = server
  return server
end

local function after_each()
  local told, late = {}, false
  for _, server in ipairs(started) do
    late = not server:stop(helper.patience(5)) or late
    told[#told + 1] = server:errors()
  end
  started = {}
  helper.cleanup()
  assert.equal("", table.concat(told))
  assert.is_false(late, "nginx did not end in time")
end

--- Defines specs once for each way: define(start, way), where start(options) starts a
-- server; options.dirty: its log is not looked at.
function bed.each_way(define)
  for _, way in ipairs { "hub", "relay" } do
    busted.describe("nginx by the " .. way, function()
      if bed.missing() then
        busted.pending("is not tested: " .. bed.missing())
        return
      end
      busted.after_each(after_each)
      define(function(options) return start(way, options) end, way)
    end)
  end
end

--- A handle of the specs' own on the database, with an empty table `marks`.
function bed.database()
  local db = helper.open(os.getenv "PERIGEE_TEST_POSTGRES", { max_size = 2 })
  db:script [[drop table if exists marks; create table marks (name text)]]
  return db
end

--- How many connections the servers have.
function bed.backends(db, name)
  return db:value("select count(*) from pg_stat_activity where application_name = ?",
    name or "nginx spec")
end

--- Waits until the pool of the server (one worker) has nothing in use; what it had.
function bed.idle(server, seconds)
  local text
  nginx.wait_for(function()
    text = server:body "/collect"
    return text:find "^in_use=0 waiting=0 cleaning=0 "
  end, helper.patience(seconds or 6))
  return text:match "^in_use=%d+ waiting=%d+ cleaning=%d+"
end

bed.IDLE = "in_use=0 waiting=0 cleaning=0"

return bed
