-- Pages: every row once and in order, whatever ties, NULLs and changes there are, and
-- cursors that nobody can make up.
local perigee = require "perigee"
local helper = require "spec.support.helper"
local expect = require "spec.support.expect"

local fails = expect.fails
local null = perigee.null
local KEY = "a secret of sixteen bytes or more"

local function ids(rows)
  local out = {}
  for i, row in ipairs(rows) do out[i] = row.id end
  return out
end

-- All pages from the first by `next`: the ids, and the sizes of the pages.
local function walk(h, filter, opts)
  local seen, sizes, cursor = {}, {}, nil
  repeat
    local o = { cursor = cursor }
    for k, v in pairs(opts) do o[k] = v end
    local page = h:page(filter, o)
    assert.equal(cursor ~= nil, page.prev ~= nil)
    assert.is_true(#page.rows <= page.limit)
    for _, row in ipairs(page.rows) do seen[#seen + 1] = row.id end
    sizes[#sizes + 1] = #page.rows
    cursor = page.next
    assert.is_true(#sizes < 500, "it never ends")
  until not cursor
  return seen, sizes
end

-- From the last page back to the first: the ids in the order of the rows.
local function walk_back(h, opts)
  local last = h:page(nil, opts)
  while last.next do last = h:page(nil, { cursor = last.next }) end
  local seen, page = ids(last.rows), last
  while page.prev do
    page = h:page(nil, { cursor = page.prev })
    assert.is_string(page.next)
    local all = ids(page.rows)
    for _, id in ipairs(seen) do all[#all + 1] = id end
    seen = all
  end
  return seen
end

local function numbers(from, to)
  local out = {}
  for i = from, to do out[#out + 1] = i end
  return out
end

-- A table `p` of `n` rows: id = i, score = 7, body = "row i".
local function fill(db, n)
  db:script [[
    drop table if exists p;
    create table p (id integer primary key, score integer not null, body varchar(80))]]
  local list = {}
  for i = 1, n do list[i] = { id = i, score = 7, body = "row " .. i } end
  db:insert_many("p", list, { returning = false })
  return db:table "p"
end

-- A table `r` of up to 60 rows and three columns with few values, each NOT NULL or not.
local function random_table(db, random)
  local ddl = { "drop table if exists r; create table r (id integer primary key" }
  local may = {}
  for i, column in ipairs { "a", "b", "c" } do
    may[i] = random(2) == 1
    ddl[#ddl + 1] = (", %s %s%s"):format(column, i == 3 and "varchar(9)" or "integer",
      may[i] and "" or " not null")
  end
  db:script(table.concat(ddl) .. ")")
  local list = {}
  for i = 1, random(61) - 1 do
    local function value(k, v)
      return may[k] and random(3) == 1 and null or v
    end
    list[i] = {
      id = i, a = value(1, random(3)), b = value(2, random(3)), c = value(3, "t" .. random(3)),
    }
  end
  db:insert_many("r", list, { returning = false })
end

-- One to three of its columns, in any direction: as order_by, and as SQL that every
-- database understands in the same way.
local function random_order(random)
  local columns, order, sql = { "a", "b", "c" }, {}, {}
  for i = 1, random(3) do
    local column = table.remove(columns, random(#columns))
    local desc, nulls = random(2) == 1, ({ "first", "last" })[random(3)]
    local first = nulls == "first" or (not nulls and desc)
    order[i] = { column, desc = desc, nulls = nulls }
    sql[i] = ("(%s is null) %s, %s %s"):format(column, first and "desc" or "asc", column,
      desc and "desc" or "asc")
  end
  local last = order[#order]
  if random(3) == 1 then
    last = { desc = not last.desc }
    order[#order + 1] = last.desc and "-id" or "id"
  end
  sql[#sql + 1] = last.desc and "id desc" or "id"
  return order, table.concat(sql, ", ")
end

helper.for_each_db(function(name, open)
  local is_postgres = name == "postgres"

  describe("an order", function()
    it("with ties gives every row once (P-01)", function()
      local p = fill(open { max_size = 2 }, 10)
      local seen, sizes = walk(p, nil, { order_by = "score", limit = 3 })
      assert.same(numbers(1, 10), seen)
      assert.same({ 3, 3, 3, 1 }, sizes)
    end)

    it("is the primary key when none is given", function()
      local p = fill(open { max_size = 2 }, 5)
      assert.same({ 1, 2 }, ids(p:page(nil, { limit = 2 }).rows))
    end)

    it("with NULLs gives every row once, wherever they stand (P-02)", function()
      local db = open { max_size = 2 }
      db:script "create table n (id integer primary key, v integer)"
      for i = 1, 8 do
        db:insert("n", { id = i, v = i % 2 == 0 and null or i })
      end
      local n = db:table "n"
      for _, order in ipairs {
        { "v", want = { 1, 3, 5, 7, 2, 4, 6, 8 } },
        { "-v", want = { 8, 6, 4, 2, 7, 5, 3, 1 } },
        { { "v", nulls = "first" }, want = { 2, 4, 6, 8, 1, 3, 5, 7 } },
        { { "v", desc = true, nulls = "last" }, want = { 7, 5, 3, 1, 8, 6, 4, 2 } },
        { "-v", "id", want = { 2, 4, 6, 8, 7, 5, 3, 1 } },
      } do
        local by = { order[1], order[2] }
        for limit = 1, 8 do
          assert.same(order.want, (walk(n, nil, { order_by = by, limit = limit })))
          assert.same(order.want, walk_back(n, { order_by = by, limit = limit }))
        end
      end
    end)

    it("takes a unique key where there is no primary key", function()
      local db = open { max_size = 2 }
      db:script [[create table u (id integer not null unique, v integer);
        insert into u values (3, 1), (1, 1), (2, 1);
        create table none (id integer);
        create table loose (id integer unique)]]
      assert.same({ 1, 2, 3 }, (walk(db:table "u", nil, { order_by = "v", limit = 1 })))
      assert.matches("no pages", fails("usage", db.page, db, "none").message)
      fails("usage", db.page, db, "loose")
    end)

    it("takes keys of several columns", function()
      local db = open { max_size = 2 }
      db:script [[create table k (a integer, b varchar(9), id integer not null,
        primary key (a, b));
        insert into k values (1, 'x', 1), (1, 'y', 2), (2, 'x', 3), (2, 'z', 4)]]
      local k = db:table "k"
      assert.same({ 1, 2, 3, 4 }, (walk(k, nil, { limit = 1 })))
      assert.same({ 1, 3, 2, 4 }, (walk(k, nil, { limit = 1, order_by = "b" })))
      assert.same({ 4, 3, 2, 1 }, (walk(k, nil, { limit = 1, order_by = "-a" })))
      assert.same({ 3, 4, 1, 2 }, walk_back(k, { limit = 3, order_by = { "-a", "b" } }))
    end)

    it("refuses what has no place", function()
      local db = open { max_size = 2 }
      local p = fill(db, 1)
      for _, order in ipairs {
        perigee.sql "score", { perigee.sql "score" }, { "score", "-score" }, "nope", 5,
      } do
        fails("usage", p.page, p, nil, { order_by = order })
      end
      db:script("create table j (id integer primary key, v "
        .. (is_postgres and "jsonb)" or "json)"))
      fails("usage", db.page, db, "j", nil, { order_by = "v" })
    end)
  end)

  describe("a limit", function()
    it("is a whole number from 1 on (P-08)", function()
      local p = fill(open { max_size = 2, max_limit = 4 }, 6)
      for _, limit in ipairs { 0, -1, 2.5, "5", 0 / 0, 1 / 0, -1 / 0, true, {} } do
        fails("usage", p.page, p, nil, { limit = limit })
      end
      assert.equal(4, #p:page(nil, { limit = 1e9 }).rows)
      assert.equal(4, p:page(nil, { limit = 5 }).limit)
      assert.equal(4, p:page().limit) -- 50 is more than there may be
      assert.equal(3, #p:page(nil, { limit = 3.0 }).rows)
    end)

    it("is 50 when none is given, and 500 at most", function()
      local p = fill(open { max_size = 2 }, 1)
      assert.equal(50, p:page().limit)
      assert.equal(500, p:page(nil, { limit = 501 }).limit)
    end)

    it("is the cursor's, or a new one", function()
      local p = fill(open { max_size = 2 }, 10)
      local one = p:page(nil, { limit = 2 })
      assert.same({ 3, 4 }, ids(p:page(nil, { cursor = one.next }).rows))
      local two = p:page(nil, { cursor = one.next, limit = 5 })
      assert.same({ 3, 4, 5, 6, 7 }, ids(two.rows))
      assert.same({ 8, 9, 10 }, ids(p:page(nil, { cursor = two.next }).rows))
    end)
  end)

  describe("a cursor", function()
    it("that was changed, cut or made up reaches no server (P-03)", function()
      local statements = 0
      local db = open {
        max_size = 2, cursor_key = KEY,
        on_query = function() statements = statements + 1 end,
      }
      local p = fill(db, 5)
      local cursor = p:page({ score = 7 }, { limit = 2 }).next
      local before = statements
      local function refused(text)
        local err = fails("cursor", p.page, p, nil, { cursor = text })
        assert.equal("cursor", err.kind)
      end
      for i = 1, #cursor do
        for _, c in ipairs { "A", "b", "_", "=", "\0", " ", "\255" } do
          local changed = cursor:sub(1, i - 1) .. c .. cursor:sub(i + 1)
          if changed ~= cursor then refused(changed) end
        end
        refused(cursor:sub(1, i - 1))
        refused(cursor:sub(i + 1))
      end
      for _, text in ipairs {
        cursor .. "A", cursor .. "=", cursor .. cursor, " " .. cursor,
        ("x"):rep(1000000), "W1swXSwxMDAwMDAwLHt9LCIiXQ",
      } do
        refused(text)
      end
      for _, v in ipairs { 5, true, {} } do
        fails("usage", p.page, p, nil, { cursor = v })
      end
      assert.equal(before, statements)
      assert.same({ 3, 4 }, ids(p:page(nil, { cursor = cursor }).rows))
    end)

    it("is of no use with another key, and of use with a rotated one", function()
      local old, new = "the old secret of ours", "the new secret of ours"
      local p = fill(open { max_size = 1, cursor_key = old }, 5)
      local cursor = p:page(nil, { limit = 2 }).next
      local function page(cursor_key)
        local db = open { max_size = 1, cursor_key = cursor_key }
        if not db:has_table "p" then fill(db, 5) end
        return pcall(db.page, db, "p", nil, { cursor = cursor })
      end
      for _, key in ipairs { new, { new, "a third secret of ours" } } do
        local ok, err = page(key)
        assert.is_false(ok)
        assert.equal("cursor", err.kind)
        assert.matches("key", err.message)
      end
      assert.is_false((page(nil))) -- a random one
      for _, key in ipairs { old, { old }, { new, old } } do
        local ok, two = page(key)
        assert.is_true(ok)
        assert.same({ 3, 4 }, ids(two.rows))
      end
    end)

    it("shows nothing of the filter (P-04)", function()
      local db = open { max_size = 2 }
      db:script "create table s (id integer primary key, secret_token varchar(20))"
      db:insert_many("s", {
        { id = 1, secret_token = "s3cr3t" }, { id = 2, secret_token = "s3cr3t" },
      })
      local function cursor()
        return db:page("s", { secret_token = "s3cr3t" }, { limit = 1 }).next
      end
      local one = cursor()
      assert.matches("^[%w_-]+$", one)
      assert.is_nil(one:find("s3cr3t", 1, true))
      assert.are_not.equal(one, cursor()) -- not even whether it is the same
    end)

    it("belongs to its order, filter, search, table and scope (P-05)", function()
      local db = open { max_size = 2 }
      local p = fill(db, 9)
      local opts = {
        order_by = "body", limit = 2, search = { text = "row", columns = { "body" } },
      }
      local filter = { score = 7, ["id:gt"] = 1 }
      local cursor = p:page(filter, opts).next
      local function with(f, change, on)
        local o = { cursor = cursor }
        for k, v in pairs(change) do o[k] = v end
        return pcall((on or p).page, on or p, f, o)
      end
      local function refused(word, ...)
        local ok, err = with(...)
        assert.is_false(ok)
        assert.equal("cursor", err.kind)
        assert.matches(word, err.message)
      end
      refused("order", nil, { order_by = "-body" })
      refused("order", nil, { order_by = "id" })
      refused("order", nil, { order_by = { "body", "score" } })
      refused("order", nil, { order_by = { { "body", nulls = "first" } } })
      refused("filter", {}, {})
      refused("filter", { score = 7 }, {})
      refused("filter", { score = 8, ["id:gt"] = 1 }, {})
      refused("search", nil, { search = { text = "ro", columns = { "body" } } })
      refused("search", nil, { search = { text = "", columns = { "body" } } })
      refused("scope", nil, {}, p:scope { score = 7 })
      db:script "create table p2 (id integer primary key, score integer, body varchar(80))"
      refused("table", nil, {}, db:table "p2")
      -- and is fine with all the same, in other words
      assert.is_true((with({ ["id:gt"] = 1, score = 7 }, {
        order_by = { { "body", nulls = "last" }, "id" }, search = opts.search,
      })))
      assert.is_true((with(nil, {})))
    end)

    it("belongs to its scope", function()
      local db = open { max_size = 2 }
      local p = fill(db, 4)
      db:update("p", { ["id:gt"] = 2 }, { score = 8 })
      local seven, eight = p:scope { score = 7 }, p:scope { score = 8 }
      local page = seven:page(nil, { limit = 1 })
      assert.same({ 1 }, ids(page.rows))
      assert.same({ 2 }, ids(seven:page(nil, { cursor = page.next }).rows))
      fails("cursor", eight.page, eight, nil, { cursor = page.next })
      fails("cursor", p.page, p, nil, { cursor = page.next })
      assert.same({ 3, 4 }, (walk(eight, nil, { limit = 1 })))
    end)

    it("holds the filter of every kind", function()
      local db = open { max_size = 2 }
      local p = fill(db, 20)
      for _, filter in ipairs {
        { id = { 1, 2, 3, 5, 7 } },
        { ["id:not_in"] = { 1, 2 }, ["body:ne"] = null },
        { ["id:between"] = { 3, 9 }, ["body:like"] = "row %" },
        { perigee.any_of { id = 1, ["body:contains"] = "1" } },
        { perigee.none_of { ["body:prefix"] = "row 1", perigee.all_of { id = 5 } } },
        { ["id:in"] = {} },
      } do
        local want = ids(p:select(filter, { order_by = "id" }))
        assert.same(want, (walk(p, filter, { limit = 2 })))
        if want[1] then assert.is_true(#want > 3) end
        local seen, cursor = {}, nil
        repeat -- the filter is given once
          local page = p:page(not cursor and filter or nil, { limit = 2, cursor = cursor })
          for _, id in ipairs(ids(page.rows)) do seen[#seen + 1] = id end
          cursor = page.next
        until not cursor
        assert.same(want, seen)
      end
    end)

    it("does not hold SQL, nor a large filter: they are given again", function()
      local p = fill(open { max_size = 2 }, 9)
      local large = {}
      for i = 1, 1200 do large[i] = i * 3 end
      for _, filter in ipairs {
        { perigee.sql("id % ? = 0", 3) }, { id = large },
        { ["id:in"] = large, perigee.sql "id > 0" },
      } do
        local one = p:page(filter, { limit = 1 })
        assert.is_true(#one.next <= 2048)
        assert.matches("give it again",
          fails("cursor", p.page, p, nil, { cursor = one.next }).message)
        assert.same({ 3, 6, 9 }, (walk(p, filter, { limit = 1 })))
      end
      local one = p:page({ perigee.sql("id % ? = 0", 3) }, { limit = 1 })
      fails("cursor", p.page, p, { perigee.sql("id % ? = 0", 2) }, { cursor = one.next })
    end)

    it("cannot hold an endless place", function()
      local db = open { max_size = 2 }
      db:script "create table big (id integer primary key, v text not null)"
      db:insert_many("big", { { id = 1, v = ("x"):rep(3000) }, { id = 2, v = "y" } })
      local err = fails("usage", db.page, db, "big", nil, { order_by = "v", limit = 1 })
      assert.matches("too large", err.message)
    end)
  end)

  describe("a search", function()
    it("stays with the cursor (P-06)", function()
      local db = open { max_size = 2 }
      local p = fill(db, 10)
      db:update("p", { ["id:in"] = { 2, 4, 6, 8 } }, { body = "In FLUID form" })
      local opts = { limit = 2, search = { text = "fluid", columns = { "body" } } }
      local one = p:page(nil, opts)
      local two = p:page(nil, { cursor = one.next })
      assert.same({ 2, 4 }, ids(one.rows))
      assert.same({ 6, 8 }, ids(two.rows))
      assert.is_nil(two.next)
      assert.same({ 2, 4 }, ids(p:page(nil, { cursor = two.prev }).rows))
    end)

    it("takes wildcards as characters (P-07)", function()
      local db = open { max_size = 2 }
      db:script "create table w (id integer primary key, v text, w text)"
      for i, v in ipairs { "100% sure", "100 percent", "a_b", "axb", "back\\slash" } do
        db:insert("w", { id = i, v = v })
      end
      for text, id in pairs { ["100%"] = 1, a_b = 3, ["k\\s"] = 5, ["K\\S"] = 5 } do
        local page = db:page("w", nil, { search = { text = text, columns = { "v", "w" } } })
        assert.same({ id }, ids(page.rows))
      end
      assert.equal(5, #db:page("w", nil, { search = { text = "", columns = { "v" } } }).rows)
    end)

    it("is checked", function()
      local p = fill(open { max_size = 2 }, 1)
      for _, search in ipairs {
        "text", 5, {}, { text = "x" }, { columns = { "body" } }, { text = "x", columns = {} },
        { text = 5, columns = { "body" } }, { text = "x", columns = { "nope" } },
        { text = "x", columns = { "score" } }, { text = "x", columns = "body" },
        { text = "x", columns = { "body" }, more = 1 },
      } do
        fails("usage", p.page, p, nil, { search = search })
      end
    end)
  end)

  describe("a page", function()
    it("has the total of the filter that it was called with", function()
      local filter, opts
      local db = open { on_query = function()
        if filter then filter["id:gt"], opts.search.text = 1000, "nothing" end
      end }
      local p = fill(db, 12)
      local f = { ["id:gt"] = 2 }
      local o = { limit = 2, total = true, search = { text = "row", columns = { "body" } } }
      p:page(f, o)
      filter, opts = f, o
      assert.equal(10, p:page(f, o).total)
      assert.equal(1000, filter["id:gt"])
    end)

    it("has a total when it is asked for", function()
      local p = fill(open { max_size = 2 }, 12)
      local opts = { limit = 2, total = true, search = { text = "1", columns = { "body" } } }
      local one = p:page({ ["id:lt"] = 12 }, opts)
      assert.equal(3, one.total) -- 1, 10, 11
      local two = p:page(nil, { cursor = one.next, total = true })
      assert.equal(3, two.total)
      assert.same({ 11 }, ids(two.rows))
      assert.is_nil(p:page(nil, { limit = 2 }).total)
      fails("usage", p.page, p, nil, { total = 1 })
      assert.equal(4, p:scope { score = 7 }:page(nil, opts).total)
      assert.equal(0, p:scope { score = 8 }:page(nil, opts).total)
    end)

    it("has the columns asked for and no others", function()
      local db = open { max_size = 2 }
      local p = fill(db, 4)
      local opts = { order_by = { "-score", "-id" }, limit = 3, columns = { "body" } }
      local page = p:page(nil, opts)
      assert.same({ { body = "row 4" }, { body = "row 3" }, { body = "row 2" } }, page.rows)
      assert.same({ "body" }, page.rows.columns)
      local last = p:page(nil, { cursor = page.next, columns = { "body", "id" } })
      assert.same({ { body = "row 1", id = 1 } }, last.rows)
      page = p:page(nil, { cursor = last.prev, columns = { "body" }, rows = "array" })
      assert.same({ { "row 4" }, { "row 3" }, { "row 2" } }, page.rows)
      fails("usage", p.page, p, nil, { columns = { "nope" } })
      fails("usage", p.page, p, nil, { columns = {} })
      fails("usage", p.page, p, nil, { rows = "columns" })
    end)

    it("has rows of a class", function()
      local db = open { max_size = 2 }
      fill(db, 3)
      local C = { shout = function(row) return row.body:upper() end }
      C.__index = C
      local p = db:table("p", { class = C })
      local page = p:page(nil, { limit = 2 })
      assert.equal("ROW 2", page.rows[2]:shout())
      local D = { __index = { shout = function() return "D" end } }
      page = p:page(nil, { cursor = page.next, class = D })
      assert.equal("D", page.rows[1]:shout())
      assert.equal("row 3", page.rows[1].body)
    end)

    it("is made in transactions and on connections, too", function()
      local db = open { max_size = 2 }
      fill(db, 4)
      local cursor = db:transaction(function(tx)
        tx:delete("p", { id = 2 })
        local page = tx:page("p", nil, { limit = 2 })
        assert.same({ 1, 3 }, ids(page.rows))
        return page.next
      end)
      db:connection(function(conn)
        assert.same({ 4 }, ids(conn:page("p", nil, { cursor = cursor }).rows))
      end)
      assert.same({ 4 }, ids(db:page("p", nil, { cursor = cursor }).rows))
    end)

    it("refuses unknown options and filters", function()
      local p = fill(open { max_size = 2 }, 1)
      fails("usage", p.page, p, nil, { offset = 2 })
      fails("usage", p.page, p, { nope = 1 })
      fails("usage", p.page, p, "id = 1")
      fails("usage", p.page, p, nil, "next")
    end)

    it("of no rows has no cursors", function()
      local p = fill(open { max_size = 2 }, 0)
      local page = p:page()
      assert.same({}, page.rows)
      assert.is_nil(page.next or page.prev)
      assert.equal(0, p:page(nil, { total = true }).total)
    end)

    it("of many rows lets other tasks run, also backwards", function()
      local db = open { max_size = 2, max_limit = 20000 }
      local p = fill(db, 20001)
      perigee.run(function()
        local turns, done = 0, false
        perigee.spawn(function()
          while not done do
            turns = turns + 1
            perigee.sleep(0)
          end
        end)
        local page = p:page(nil, { limit = 20000 })
        local last = p:page(nil, { cursor = page.next })
        local back = p:page(nil, { cursor = last.prev })
        done = true
        assert.equal(20000, #back.rows)
        assert.equal(1, back.rows[1].id)
        assert.equal(20000, back.rows[20000].id)
        assert.is_true(turns > 2)
      end)
    end)
  end)

  describe("between two pages", function()
    it("rows come, go and move (P-09b)", function()
      local db = open { max_size = 2 }
      local p = fill(db, 10)
      local one = p:page(nil, { order_by = { "score", "id" }, limit = 4 })
      db:delete("p", { id = 4 }) -- the row of the cursor
      db:insert("p", { id = 0, score = 7, body = "before" })
      db:insert("p", { id = 11, score = 7, body = "behind" })
      db:update("p", { id = 2 }, { score = 9 }) -- seen, and now at the end
      local seen, cursor = {}, one.next
      repeat
        local page = p:page(nil, { cursor = cursor })
        for _, id in ipairs(ids(page.rows)) do seen[#seen + 1] = id end
        cursor = page.next
      until not cursor
      assert.same({ 5, 6, 7, 8, 9, 10, 11, 2 }, seen)
    end)

    it("all that was behind goes: the page is empty and leads back", function()
      local db = open { max_size = 2 }
      local p = fill(db, 6)
      for _, order in ipairs { { "id" }, { "-score", "id" } } do
        local one = p:page(nil, { order_by = order, limit = 3 })
        db:delete("p", { ["id:gt"] = 3 })
        local empty = p:page(nil, { cursor = one.next })
        assert.same({}, empty.rows)
        assert.is_nil(empty.next)
        local back = p:page(nil, { cursor = empty.prev })
        assert.same({ 1, 2, 3 }, ids(back.rows))
        assert.is_nil(back.prev)
        p = fill(db, 6)
      end
    end)

    it("all that was before goes: the page is empty and leads on", function()
      local db = open { max_size = 2 }
      local p = fill(db, 6)
      local two = p:page(nil, { cursor = p:page(nil, { limit = 3 }).next })
      db:delete("p", { ["id:lt"] = 4 })
      local empty = p:page(nil, { cursor = two.prev })
      assert.same({}, empty.rows)
      assert.is_nil(empty.prev)
      assert.same({ 4, 5, 6 }, ids(p:page(nil, { cursor = empty.next }).rows))
      db:delete("p", nil, { all = true })
      empty = p:page(nil, { cursor = empty.next })
      assert.same({}, empty.rows)
      assert.same({}, p:page(nil, { cursor = empty.prev }).rows)
    end)

    it("a column of the order or the filter is dropped", function()
      local db = open { max_size = 2 }
      local p = fill(db, 6)
      local by = p:page(nil, { order_by = "body", limit = 2 }).next
      local where = p:page({ ["body:ne"] = "x" }, { limit = 2 }).next
      db:script "alter table p drop column body"
      for _, cursor in ipairs { by, where } do
        assert.matches("body", fails("cursor", p.page, p, nil, { cursor = cursor }).message)
      end
      assert.equal(6, #p:page().rows)
    end)
  end)

  -- type on { postgres, sqlite }, values in order; the last ones for PostgreSQL only
  local TYPES = {
    int8 = { "bigint", "bigint",
      { "-9223372036854775808", -1, 0, "9007199254740992", "9007199254740993",
        "9223372036854775807" } },
    float = { "float8", "double", { -1 / 0, -1.5, 0, 0.1, 0.30000000000000004, 1 / 0 },
      { 0 / 0 } },
    numeric = { "numeric", "numeric", { "-7.25", "0.1", "12", "12.5" },
      { "12.50000000000000000001", "1e30", "NaN" } },
    text = { 'text collate "C"', "text", { "", "A", "a", "b\\", "\195\164", "\226\130\172" } },
    bool = { "boolean", "boolean", { false, true } },
    date = { "date", "date", { "1999-12-31", "2024-02-29", "2024-03-01" },
      { "infinity" } },
    stamp = { "timestamp", "timestamp",
      { "2024-01-01T10:00:00", "2024-01-01T10:00:00.000001", "2024-01-02T00:00:00" } },
    stamptz = { "timestamptz", "timestamptz",
      { "2024-01-01T10:00:00.999998Z", "2024-01-01T10:00:00.999999Z",
        "2024-01-01T10:00:01Z" }, { "infinity" } },
    uuid = { "uuid", "uuid",
      { "00000000-0000-4000-8000-000000000001", "a0000000-0000-4000-8000-000000000000",
        "ffffffff-0000-4000-8000-000000000000" } },
    bytes = { "bytea", "blob", { "\0", "\0\1", "A", "\255" } },
  }

  describe("a column of the type", function()
    for title, t in pairs(TYPES) do
      it(title .. " orders pages (P-09)", function()
        local db = open { max_size = 2 }
        local v = is_postgres and t[1] or t[2]
        db:script(("create table v (id integer primary key, v %s)"):format(v))
        local values = {}
        for _, value in ipairs(t[3]) do values[#values + 1] = value end
        for _, value in ipairs(is_postgres and t[4] or {}) do values[#values + 1] = value end
        local want = {}
        for i, value in ipairs(values) do -- each twice, for ties
          db:insert("v", { id = 2 * i - 1, v = value })
          db:insert("v", { id = 2 * i, v = value })
          want[2 * i - 1], want[2 * i] = 2 * i - 1, 2 * i
        end
        want[#want + 1] = #want + 1
        db:insert("v", { id = #want, v = null })
        local h = db:table "v"
        assert.same(want, (walk(h, nil, { order_by = "v", limit = 1 })))
        assert.same(want, walk_back(h, { order_by = "v", limit = 2 }))
        local down = {}
        for i = 1, #want do down[i] = want[#want + 1 - i] end
        assert.same(down, (walk(h, nil, { order_by = { "-v", "-id" }, limit = 1 })))
      end)
    end
  end)

  it("200 random tables give their rows once and in order", function()
    local random = helper.random "pages"
    local db = open { max_size = 2 }
    helper.watchdog(300)
    for round = 1, helper.soak(200) do
      random_table(db, random)
      local order, sql = random_order(random)
      local want = ids(db:query("select id from r order by " .. sql))
      local opts = { order_by = order, limit = random(7) }
      local what = ("seed %d, table %d"):format(helper.seed, round)
      local r = db:table "r"
      assert.same(want, (walk(r, nil, opts)), what)
      assert.same(want, walk_back(r, opts), what)
    end
  end)
end)

helper.for_each_db(function(_, open)
  it("timestamps in SQLite's own form order pages as they are stored", function()
    local db = open { max_size = 2 }
    db:script [[create table s (id integer primary key, at timestamp not null);
      insert into s values (1, '2024-01-01 10:00:00'), (2, '2024-01-01 10:00:00'),
        (3, '2024-01-01 11:00:00.5'), (4, '2024-01-02 09:00:00'),
        (5, '2024-01-02T08:00:00.000000')]]
    local s = db:table "s"
    assert.same({ 1, 2, 3, 4, 5 }, (walk(s, nil, { order_by = "at", limit = 1 })))
    assert.same({ 1, 2, 3, 4, 5 }, walk_back(s, { order_by = "at", limit = 2 }))
    local page = s:page(nil, { order_by = "at", limit = 1 })
    assert.same({ { id = 1, at = "2024-01-01T10:00:00.000000" } }, page.rows)
    assert.same({ "id", "at" }, page.rows.columns)
  end)

  it("text without case orders pages (NOCASE)", function()
    local db = open { max_size = 2 }
    db:script [[create table c (id integer primary key, v text collate nocase not null);
      insert into c values (1, 'a'), (2, 'A'), (3, 'b'), (4, 'B'), (5, 'a')]]
    local c = db:table "c"
    assert.same({ 1, 2, 5, 3, 4 }, (walk(c, nil, { order_by = "v", limit = 1 })))
    assert.same({ 4, 3, 5, 2, 1 }, (walk(c, nil, { order_by = "-v", limit = 1 })))
    assert.same({ 3, 4, 1, 2, 5 }, walk_back(c, { order_by = { "-v", "id" }, limit = 1 }))
  end)
end, { "sqlite", "sqlite memory" })

describe("cursor_key and max_limit", function()
  it("are checked by open", function()
    for _, key in ipairs { "short", { "short" }, {}, 5, { KEY, 5 } } do
      fails("usage", perigee.open, "sqlite::memory:", { cursor_key = key })
    end
    for _, limit in ipairs { 0, -1, 1.5 } do
      fails("usage", perigee.open, "sqlite::memory:", { max_limit = limit })
    end
  end)
end)
