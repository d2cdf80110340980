-- A script of the game in game.c. It sees the functions of the game, and a database
-- of its own in which it keeps what has happened.

db:script [[create table if not exists score (name text primary key, hits integer not null)]]

--- Called for each tick of the game.
-- @tparam integer tick
-- @tparam {table,...} units { name =, x =, hp = }
-- @treturn {table,...} orders { unit =, move = }
function on_tick(tick, units)
  local orders = {}
  for i, unit in ipairs(units) do
    if unit.hp < 5 then
      orders[#orders + 1] = { unit = unit.name, move = -1 }
    elseif i > 1 and game.distance(units[1].name, unit.name) <= 2 then
      game.hit(unit.name, 3)
      db:upsert("score", { name = unit.name, hits = tick })
    else
      orders[#orders + 1] = { unit = unit.name, move = i == 1 and 1 or 0 }
    end
  end
  return orders
end

--- A mistake that somebody has made.
function on_storm()
  local strength = 1
  while strength > 0 do strength = strength + 1 end
end

function on_end()
  local lines = {}
  for row in db:each "select name, hits from score order by name" do
    lines[#lines + 1] = ("%s was hit last at tick %d"):format(row.name, row.hits)
  end
  return lines
end
