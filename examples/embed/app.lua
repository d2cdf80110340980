-- What the server of server.c answers. The program has opened `db`, and calls start()
-- once and handle() for each request, many at a time.

function start()
  db:script [[
    drop table if exists moons;
    create table moons (name text primary key, planet text not null);
    insert into moons values ('Phobos', 'Mars'), ('Deimos', 'Mars'), ('Io', 'Jupiter')]]
end

local routes = {
  -- GET /moons/Mars
  { "^GET /moons/(%a+)$", function(planet)
    local rows = db:select("moons", { planet = planet }, { order_by = "name" })
    local names = {}
    for i, row in ipairs(rows) do names[i] = row.name end
    return 200, table.concat(names, "\n")
  end },

  -- POST /moons/Jupiter/Europa
  { "^POST /moons/(%a+)/(%a+)$", function(planet, name)
    db:insert("moons", { name = name, planet = planet })
    log("a new moon: " .. name)
    return 201, name
  end },

  -- GET /count/4000000: a second's work of the database, which holds up nobody else
  { "^GET /count/(%d+)$", function(limit)
    return 200, "counted to " .. db:value([[
      with recursive n(i) as (select 1 union all select i + 1 from n where i < ?)
      select count(*) from n]], tonumber(limit))
  end },

  -- GET /loop: a mistake
  { "^GET /loop$", function()
    while true do end
  end },
}

--- Answers a request.
-- @tparam string request "GET /path"
-- @treturn integer status
-- @treturn string body
function handle(request)
  for _, route in ipairs(routes) do
    if request:find(route[1]) then return route[2](request:match(route[1])) end
  end
  return 404, "there is no " .. request
end
