-- A walk through the verbs on tables, over a record shop: rows by key and by
-- filter, writing, classes, scopes, counting, related rows and pages.
--
--   build/perigee run examples/chinook_crud.lua
--   build/perigee --url postgresql:///shop run examples/chinook_crud.lua DIR
--
-- The shop is examples/data/chinook-sample.sql, or the Chinook sample database
-- (github.com/lerocha/chinook-database) when DIR holds Chinook_Sqlite.sql,
-- Chinook_PostgreSql.sql or Chinook_MySql.sql. It is loaded on the first run only. All
-- that is written here is rolled back at the end.
--
-- Chinook for SQLite and MySQL spells names in another way (ArtistId for artist_id), and the
-- verbs take them exactly: so they come from `names`.
--
-- The runner gives the script `db` and `perigee`; in plain Lua they are made at
-- the end.

local directory = ...

local perigee = perigee or require "perigee"
local here = arg and arg[0] and arg[0]:match "^.*/" or "examples/"
local shop = dofile(here .. "data/shop.lua")

-- Column values of a list of rows, with a comma.
local function list(rows, column)
  local out = {}
  for i, row in ipairs(rows) do out[i] = tostring(row[column]) end
  return table.concat(out, ", ")
end

local function reading(tx, names)
  local artists, id, name = tx:table(names.artist), names.artist_id, names.name
  print("table " .. tostring(artists) .. " with the key " .. artists.pk[1])
  print("first three: " .. list(artists:select(nil,
    { order_by = id, limit = 3, columns = { name } }), name))
  print("artist 2: " .. artists:at(2)[name])
  print("artist 0: " .. tostring(artists:get(0)))
  print("1, 3 and 5: " .. list(artists({ [id] = { 5, 3, 1 } }, { order_by = id }),
    name))
  local first = artists:at(1)[name]
  print("found by name: " .. artists:find { [name .. ":eq"] = first }[id])
  print("with an a or an e: " .. artists:count {
    perigee.any_of { [name .. ":ilike"] = "%a%", [name .. ":contains"] = "e" } })
end

local function writing(tx, names)
  local artists, id, name = tx:table(names.artist), names.artist_id, names.name
  local key = artists:find_first(nil, { order_by = "-" .. id })[id] + 1
  local new = artists:insert { [id] = key, [name] = "Nova" }
  print("inserted: " .. new[name])
  local row, created = artists:upsert { [id] = key, [name] = "Nova & Friends" }
  print(("upserted: %s, created: %s"):format(row[name], tostring(created)))
  print("updated: " .. artists:update({ [id] = key },
    { [name] = perigee.sql("upper(" .. name .. ")") }))
  print("is now: " .. artists:at(key)[name])
  print("deleted: " .. artists:delete { [id] = key })
  assert(not artists:exists { [id] = key })

  local ok, why = pcall(artists.delete, artists, {})
  assert(not ok and why.kind == "usage") -- all rows only when asked for
end

local function classes(tx, names)
  local Track = {}
  Track.__index = Track
  function Track:minutes()
    local seconds = math.floor(self[names.milliseconds] / 1000)
    return ("%d:%02d"):format(math.floor(seconds / 60), seconds % 60)
  end

  local tracks = tx:table(names.track, { class = Track })
  for _, track in ipairs(tracks:select(
    { [names.milliseconds .. ":between"] = { 240000, 300000 } },
    { order_by = names.track_id, limit = 3 }))
  do
    print("  " .. track:minutes() .. " " .. track[names.name])
  end
end

local function scopes(tx, names)
  local tracks = tx:table(names.track)
  local rock = tracks:scope { [names.genre_id] = 1 }
  print(("%d tracks, %d in the scope"):format(tracks:count(), rock:count()))
  local other = tracks:find_first { [names.genre_id .. ":ne"] = 1 }
  assert(rock:get(other[names.track_id]) == nil)
  assert(rock:update({ [names.track_id] = other[names.track_id] },
    { [names.composer] = "nobody" }) == 0)
end

local function counting(tx, names)
  print(tx:table(names.customer):group(nil, {
    by = names.country, count = "customers",
    order_by = { "-customers", names.country }, limit = 3,
  }))
end

local function related(tx, names)
  local albums = tx:table(names.album)
  local rows = albums:select(nil, { order_by = names.album_id, limit = 2 })
  albums:preload(rows, {
    artist = { table = names.artist, key = names.artist_id },
    tracks = { table = names.track, key = names.album_id, many = true,
      order_by = names.track_id },
  })
  for _, album in ipairs(rows) do
    print(("%s by %s: %d tracks"):format(album[names.title],
      album.artist[names.name], #album.tracks))
  end
end

local function pages(tx, names)
  local tracks = tx:table(names.track)
  local options = { order_by = { "-" .. names.unit_price, names.name }, limit = 10 }
  local n, seen = 0, 0
  repeat
    local page = tracks:page(nil, options)
    n, seen, options.cursor = n + 1, seen + #page.rows, page.next
  until not page.next
  print(("%d tracks on %d pages"):format(seen, n))
  assert(seen == tracks:count())
end

-- The tables under names of their own, in the plural.
local function exported(db, names)
  local env = db:export({}, { plural = true })
  print(("%d albums, %d artists"):format(env[perigee.plural(names.album)]:count(),
    env[perigee.plural(names.artist)]:count()))
end

local function main(db)
  local names = shop.open(db, directory)
  db:transaction(function(tx)
    for _, step in ipairs {
      reading, writing, classes, scopes, counting, related, pages,
    } do
      step(tx, names)
    end
    tx:rollback()
  end)
  exported(db, names)
end

if db then
  main(db)
else
  perigee.run(function() main(perigee.open()) end)
end
