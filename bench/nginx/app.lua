-- What nginx answers in the benchmark: a row by its key, as JSON, by several ways.
--
-- BENCH_DRIVER: hello (no database), perigee, pgmoon; BENCH_WAY: hub or relay;
-- BENCH_POSTGRES, BENCH_SOCKET: the server; BENCH_CONNS: connections.
local cjson = require "cjson.safe"

local app = {}

local driver = os.getenv "BENCH_DRIVER"
local conns = tonumber(os.getenv "BENCH_CONNS" or 8)
local ROWS = 10000

local encode = cjson.encode
local drivers = {}

function drivers.hello()
  return function(id) return { id = id, val = "the value of row " .. id } end
end

function drivers.perigee()
  local perigee = require "perigee"
  perigee.host("nginx", { way = os.getenv "BENCH_WAY" })
  local db = perigee.open(os.getenv "BENCH_POSTGRES", { max_size = conns })
  function app.host() return select(2, perigee.host()) end
  return function(id) return db:first("SELECT id, val FROM lookup WHERE id = ?", id) end
end

-- Its simple protocol, which is its fastest; the pool is that of cosockets.
function drivers.pgmoon()
  local pgmoon = require "pgmoon"
  local config = {
    socket_path = os.getenv "BENCH_SOCKET", user = "postgres", database = "perigee",
    pool_size = conns, backlog = 10000, pool_name = "bench",
  }
  return function(id)
    local pg = pgmoon.new(config)
    assert(pg:connect())
    local rows = assert(pg:query(
      "SELECT id, val FROM lookup WHERE id = " .. pg:escape_literal(id)))
    pg:keepalive()
    return rows[1]
  end
end

local look_up

-- Park and Miller's generator: the same keys for each driver.
local state = 1
local function next_key()
  state = state * 16807 % 2147483647
  return state % ROWS + 1
end

--- The content handler of the measured page.
function app.serve()
  look_up = look_up or drivers[driver]()
  local id = next_key()
  local row = look_up(id)
  if row.id ~= id then return ngx.exit(500) end
  ngx.print(encode(row))
end

--- One row, to compare, and how it waits.
function app.check()
  look_up = look_up or drivers[driver]()
  ngx.print(("%d %s %s"):format(look_up(7).id, look_up(7).val, app.host and app.host() or ""))
end

return app
