-- A report on a record shop: several queries at once, then the same ones inside
-- one transaction, and a check that all sums agree.
--
--   build/perigee run examples/chinook.lua
--   build/perigee --url postgresql:///shop run examples/chinook.lua DIR
--
-- The shop is examples/data/chinook-sample.sql, or the Chinook sample database
-- (github.com/lerocha/chinook-database) when DIR holds Chinook_Sqlite.sql,
-- Chinook_PostgreSql.sql or Chinook_MySql.sql. It is loaded on the first run only. The
-- report is the same text on every database.
--
-- The runner gives the script `db` and `perigee`; in plain Lua they are made at
-- the end.

local directory = ...

local perigee = perigee or require "perigee"
local here = arg and arg[0] and arg[0]:match "^.*/" or "examples/"
local shop = dofile(here .. "data/shop.lua")

-- ---- the report -----------------------------------------------------------

local reports = {
  { "Sales by country", [[
    select billing_country as country, count(*) as invoices,
           round(sum(total), 2) as sales
    from invoice group by billing_country
    order by sum(total) desc, billing_country limit 10]] },
  { "Top artists", [[
    select artist.name as artist, sum(quantity) as sold,
           round(sum(invoice_line.unit_price * quantity), 2) as sales
    from invoice_line
      join track on track.track_id = invoice_line.track_id
      join album on album.album_id = track.album_id
      join artist on artist.artist_id = album.artist_id
    group by artist.artist_id, artist.name
    order by sum(invoice_line.unit_price * quantity) desc, artist.name
    limit 5]] },
  { "Revenue per month, latest first", [[
    select substr(cast(invoice_date as char(30)), 1, 7) as month,
           count(*) as invoices, round(sum(total), 2) as sales
    from invoice group by 1 order by 1 desc limit 6]] },
  { "Longest tracks", [[
    select track.name as track, artist.name as artist,
           milliseconds as ms
    from track
      join album on album.album_id = track.album_id
      join artist on artist.artist_id = album.artist_id
    order by milliseconds desc, track.name limit 5]] },
}

-- Each is the shop's whole turnover.
local sums = {
  "select sum(total) from invoice",
  "select sum(unit_price * quantity) from invoice_line",
  [[select sum(country) from (
      select sum(total) as country from invoice group by billing_country
    ) as countries]],
}

-- Runs ask(i) for i = 1 … n at the same time; the answers in order.
local function all_at_once(n, ask)
  local out, tasks = {}, {}
  for i = 1, n do
    tasks[i] = function() out[i] = ask(i) end
  end
  perigee.gather((table.unpack or unpack)(tasks))
  return out
end

-- A sum may be a decimal, which is a string, an integer, or a float (money on SQLite):
-- what is printed is the same everywhere.
local function with_sums(rows)
  for _, row in ipairs(rows) do
    row.sold = row.sold and math.floor(tonumber(row.sold))
    row.sales = row.sales and ("%.2f"):format(tonumber(row.sales))
  end
  return rows
end

-- `x` is db or a transaction: the same verbs.
local function ask_reports(x, names)
  return all_at_once(#reports, function(i)
    return with_sums(x:query(names(reports[i][2])))
  end)
end

-- In cents, as whole numbers.
local function ask_sums(x, names)
  return all_at_once(#sums, function(i)
    return math.floor(tonumber(x:value(names(sums[i]))) * 100 + 0.5)
  end)
end

local function check_sums(inside, outside)
  for i = 1, #sums do
    assert(inside[i] == inside[1], "the sums do not agree")
    assert(outside[i] == inside[i], "the transaction saw something else")
  end
end

-- Chinook for SQLite and MySQL says InvoiceLine for invoice_line. The function that adapts
-- a query: names of two words, and tables, whose case matters on MySQL.
local function speller(names)
  local function spell(before, name) return before .. names[name] end
  return function(sql)
    sql = sql:gsub("%f[%w]()(%l+_[%l_]+)", function(_, name) return names[name] end)
    sql = sql:gsub("(from )(%l[%l_]*)", spell):gsub("(join )(%l[%l_]*)", spell)
    return (sql:gsub("(%f[%w_])(%l+)%.", function(_, name) return names[name] .. "." end))
  end
end

local function main(db)
  local names = speller(shop.open(db, directory))

  -- Each query takes a connection of the pool, so that they overlap.
  local tables = ask_reports(db, names)
  for i, rows in ipairs(tables) do
    print("\n" .. reports[i][1])
    print(rows)
  end

  -- On one connection, calls queue; all see the same state of the shop.
  local inside = db:transaction(function(tx)
    local again = ask_reports(tx, names)
    for i, rows in ipairs(again) do
      assert(tostring(rows) == tostring(tables[i]), reports[i][1])
    end
    return ask_sums(tx, names)
  end, { readonly = true })
  check_sums(inside, ask_sums(db, names))
  print(("\nTotal sales %.2f: all sums agree."):format(inside[1] / 100))
end

if db then
  main(db)
else
  perigee.run(function() main(perigee.open()) end)
end
