-- Tables that are defined in Lua, and a second version of the definitions that changes
-- them with their rows. One script for every database.
--
--   build/perigee run examples/definitions.lua
--   build/perigee --url postgresql:///test run examples/definitions.lua
--
-- It makes tables `authors` and `books` of its own, anew each time. A program that is
-- in use writes the change down as a migration (docs/guide/migrations.md).
--
-- The runner gives the script `db` and `perigee`; in plain Lua they are made at
-- the end.

local perigee = perigee or require "perigee"

local FIRST = [[
enum "binding" { "paper", "cloth" }

table("authors", function(t)
  t.id   = bigint { identity = true, pk = true }
  t.name = text { unique = true }
end)

table("books", function(t)
  t.id        = bigint { identity = true, pk = true }
  t.author_id = bigint { ref = "authors.id", on_delete = "cascade", index = true }
  t.title     = text
  t.price     = numeric(8, 2) { check = "price >= 0" }
  t.binding   = binding { default = "paper" }
  t:unique { "author_id", "title" }
end)
]]

-- Prices may have a digit more, and there is a year.
local SECOND = FIRST:gsub('t.price     = numeric%(8, 2%) { check = "price >= 0" }',
  't.price     = numeric(9, 2) { check = "price >= 0" }\n'
  .. "  t.year      = smallint { null = true }")

local function fill(db)
  local lem = db:insert("authors", { name = "Stanisław Lem" })
  db:insert_many("books", {
    { author_id = lem.id, title = "Solaris", price = "12.50" },
    { author_id = lem.id, title = "The Cyberiad", price = "18.00", binding = "cloth" },
  })
end

local function show(db)
  for _, book in ipairs(db:select("books", {}, { order_by = "id" })) do
    print(("  %-14s %6.2f  %-6s %s"):format(book.title, tonumber(book.price),
      book.binding, book.year or "-"))
  end
end

-- What the definitions refuse, the database refuses.
local function refuse(db)
  for _, values in ipairs {
    { author_id = 1, title = "Solaris", price = 1 },
    { author_id = 99, title = "Nobody's", price = 1 },
    { author_id = 1, title = "For less than nothing", price = -1 },
  } do
    local ok, err = pcall(db.insert, db, "books", values)
    print(("  %-22s %s"):format(values.title, ok and "taken" or err.kind))
  end
end

local function main(db)
  local first = perigee.schema.parse(FIRST, { name = "first" })
  db:drop_all(first)
  print("created " .. table.concat(db:create_all(first), ", "))
  fill(db)
  refuse(db)

  local second = perigee.schema.parse(SECOND, { name = "second" })
  for _, line in ipairs(db:transform(second.tables.books)) do print(line) end
  db:update(second.tables.books, { title = "Solaris" }, { year = 1961 })
  show(db)
  assert(#db:transform(second.tables.books) == 0)

  for definition in db:reflect({ tables = { "authors", "books" } }):each() do
    print(("%s: %d columns, %d foreign keys"):format(definition.name, #definition.columns,
      #definition.foreign_keys))
  end
end

if db then
  main(db)
else
  perigee.run(function() main(perigee.open()) end)
end
