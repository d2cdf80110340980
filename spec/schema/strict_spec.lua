-- Handles of definitions: columns have the types of the definition, also in STRICT tables
-- of SQLite, whose own types say less. What is so on PostgreSQL, in ordinary tables and
-- in STRICT ones is asked of all three.
local helper = require "spec.support.helper"
local expect = require "spec.support.expect"
local perigee = require "perigee"

-- The call must raise an error of this kind, whose message has this text.
local function fails(kind, text, ...)
  local message = expect.fails(kind, ...).message
  assert.is_truthy(message:find(text, 1, true), message)
end

local BOOKS = [[
enum "state" { "new", "read" }
table("books", function(t)
  t.id    = bigint { identity = true, pk = true }
  t.shelf = bigint { null = true }
  t.sold  = boolean { default = false }
  t.doc   = jsonb { null = true }
  t.price = numeric(12, 2) { null = true }
  t.exact = numeric { null = true, numeric_as = "text", type_on = { mysql = numeric(23, 3) } }
  t.ratio = float8 { null = true }
  t.day   = date { null = true }
  t.hour  = time { null = true }
  t.read  = timestamp { null = true }
  t.made  = timestamptz { null = true }
  t.key   = uuid { null = true, unique = true }
  t.raw   = bytes { null = true }
  t.tags  = array(text) { null = true, type_on = { sqlite = json, mysql = json } }
  t.state = state { default = "new" }
  t.small = smallint { null = true }
  t.name  = varchar(20) { null = true }
  %s
end)
]]

local STRICT = 't:on "sqlite" { strict = true }'

local RECORD = {
  shelf = 7, sold = true, doc = { a = { 1, 2.5 }, b = "x" }, price = "12.25",
  exact = "12345678901234567890.125", ratio = 2.0, day = "2026-11-20", hour = "08:30:00",
  read = "2026-11-20T08:30:00.123456", made = "2026-11-20T08:30:00.000000Z",
  key = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", raw = "\0\255", tags = { "x", "y" },
  state = "read", small = -3, name = "Solaris",
}

local function definition_of(options)
  return perigee.schema.parse(BOOKS:format(options)).tables.books
end

local function record(changes)
  local r = {}
  for k, v in pairs(RECORD) do r[k] = v end
  for k, v in pairs(changes or {}) do r[k] = v end
  return r
end

-- Is the row what was written? Its other columns do not matter.
local function is_record(row, changes)
  local wanted = record(changes)
  for k, v in pairs(wanted) do
    assert.same({ k, v }, { k, row[k] })
    if math.type then assert.equal(math.type(v), math.type(row[k])) end
  end
  return row
end

-- The i-th UUID.
local function uuid(i)
  return ("00000000-0000-0000-0000-%012d"):format(i)
end

local function asks_all(new)
  it("reading verbs", function()
    local db, books, definition = new()
    local id = books:insert(record()).id
    is_record(books:get(id))
    is_record(books:at(id))
    is_record(books:find { key = RECORD.key:upper() })
    is_record(books:find_first { sold = true })
    is_record(books:select({ ["doc:contains"] = { a = { 1 } } })[1])
    is_record(books({ made = "2026-11-20T09:30:00+01:00" })[1])
    is_record(db:get(definition, id))
    is_record(db:select(definition, {})[1])
    is_record(db:transaction(function(tx) return books:on(tx):get(id) end))
    local one = books:select({}, { columns = { "sold", "price", "doc" }, rows = "array" })[1]
    assert.same({ true, "12.25", RECORD.doc }, one)
    local columns = books:select({}, { columns = { "sold", "tags" }, rows = "columns" })
    assert.same({ true }, columns.sold)
    assert.same({ { "x", "y" } }, columns.tags)
    assert.is_true(books:exists { ["price:gt"] = "9.75" })
    assert.equal(0, books:count { ["day:lt"] = "2026-11-20" })
    assert.equal(1, books:count { ["doc:contains"] = { b = "x" } })
    assert.equal(1, books:count { sold = { true, false } })
  end)

  it("writing verbs", function()
    local db, books = new()
    local row = is_record(books:insert(record()))
    assert.same({ sold = true, doc = RECORD.doc },
      books:insert(record { key = uuid(1) }, { returning = { "sold", "doc" } }))
    local changed = {
      sold = false, doc = { 1 }, price = "0.75", made = "2027-01-01T00:00:00.000000Z",
    }
    is_record(books:update({ id = row.id }, changed, { returning = true })[1], changed)
    is_record(books:get(row.id), changed)
    assert.equal(1, books:update({ id = row.id }, { price = perigee.sql "price + 1" }))
    is_record(books:delete({ id = row.id }, { returning = true })[1],
      { sold = false, doc = { 1 }, price = "1.75", made = changed.made })
    assert.equal(false, books:insert({}).sold)
    assert.equal(2, db:value "select count(*) from books")
  end)

  it("upsert and its relatives", function()
    local _, books = new()
    local row, created = books:upsert(record(), { on = { "key" } })
    is_record(row)
    assert.is_true(created)
    row, created = books:upsert(record { sold = false }, { on = { "key" } })
    is_record(row, { sold = false })
    assert.is_false(created)
    is_record(books:get_or_create({ key = RECORD.key }, { sold = true }), { sold = false })
    is_record(books:update_or_create({ key = RECORD.key }, { defaults = { sold = true } }))
    row.tags, row.sold = { "z" }, true
    is_record(books:save(row), { tags = { "z" } })
  end)

  it("verbs on many records", function()
    local _, books = new()
    local list = {}
    for i = 1, 600 do
      list[i] = record { key = uuid(i), sold = i % 2 == 0, price = i .. ".25" }
    end
    local rows = books:insert_many(list)
    assert.equal(600, #rows)
    for i, row in ipairs(rows) do is_record(row, list[i]) end
    assert.equal(600, books:delete { ["id:gt"] = 0 })
    assert.equal(600, books:insert_many(list, { returning = false }))
    for i, row in ipairs(books:select({}, { order_by = "id" })) do is_record(row, list[i]) end
    for i = 1, 300 do list[i].doc = { i } end
    rows = books:upsert_many(list, { on = { "key" } })
    for i, row in ipairs(rows) do is_record(row, list[i]) end
    local ids = {}
    for i = 1, 3 do ids[i] = { id = rows[i].id, sold = i == 1, doc = { "u", i } } end
    assert.equal(3, books:update_many(ids))
    assert.same({ true, false, false }, books:select({}, {
      order_by = "id", limit = 3, columns = { "sold" }, rows = "columns",
    }).sold)
    assert.same({ "u", 3 }, books:get(rows[3].id).doc)
    assert.equal(2, books:delete_many { rows[1].id, rows[2].id })
  end)

  it("pages, in both directions", function()
    local _, books = new()
    local list = {}
    for i = 1, 9 do
      list[i] = record {
        key = uuid(i), sold = i > 4, price = (100 - i * 10) .. ".5",
        made = ("2026-01-%02dT00:00:00.000000Z"):format(20 - i),
      }
    end
    books:insert_many(list)
    for _, order in ipairs { "price", "made", "key", "sold" } do
      local whole = books:select({}, { order_by = { order, "id" } })
      local page, seen = books:page({}, { order_by = order, limit = 4 }), {}
      while true do
        for _, row in ipairs(page.rows) do seen[#seen + 1] = row end
        if not page.next then break end
        page = books:page({}, { order_by = order, limit = 4, cursor = page.next })
      end
      assert.same(whole, seen)
      local back = books:page({}, { order_by = order, limit = 4, cursor = page.prev })
      assert.same({ whole[5], whole[6], whole[7], whole[8] }, back.rows)
    end
  end)

  it("groups by columns", function()
    local _, books = new()
    books:insert(record())
    books:insert(record { key = uuid(1) })
    books:insert(record { key = uuid(2), sold = false })
    assert.same({ { sold = false, n = 1 }, { sold = true, n = 2 } },
      books:group({}, { by = { "sold" }, count = "n", order_by = "n" }))
  end)

  it("scopes, classes and preload", function()
    local db, books, definition = new()
    local class = { __index = { title = function(row) return row.name end } }
    local sold = db:table(definition, { class = class }):scope { sold = true }
    local row = sold:insert(record { sold = nil })
    assert.equal("Solaris", is_record(row):title())
    assert.is_nil(books:scope({ sold = false }):get(row.id))
    assert.equal(true, sold:get(row.id).sold)
    books:update({ id = row.id }, { shelf = row.id })
    local rows = books:preload(books:select {}, { self = { table = definition, key = "shelf" } })
    is_record(rows[1].self, { shelf = row.id })
  end)

  it("say the types of the columns", function()
    local _, books = new()
    local classes = {}
    for _, c in ipairs(books.columns) do classes[c.name] = c.class end
    for name, class in pairs {
      id = "int", sold = "bool", doc = "json", price = "numeric", ratio = "float",
      day = "date", hour = "time", read = "timestamp", made = "timestamptz", key = "uuid",
      raw = "bytes", small = "int", name = "text",
    } do
      assert.same({ name, class }, { name, classes[name] })
    end
  end)

  it("refuse what the types do not take", function()
    local _, books = new()
    for column, v in pairs {
      sold = 1, price = "x", day = 5, key = "x", small = 70000, made = 5,
    } do
      fails("usage", column, books.insert, books, record { [column] = v })
      fails("usage", column, books.update, books, { id = 1 }, { [column] = v })
    end
  end)
end

helper.for_each_db(function(database, open)
  for title, options in pairs { ["an ordinary table"] = "", ["a STRICT table"] = STRICT } do
    if database:find "^sqlite" or options == "" then
      describe("the definition of " .. title .. " serves", function()
        asks_all(function()
          local db, definition = open(), definition_of(options)
          db:create(definition)
          return db, db:table(definition), definition
        end)
      end)
    end
  end

  describe("a table that is not named by its definition", function()
    it("has the types of the database", function()
      local db, definition = open(), definition_of(STRICT)
      db:create(definition)
      local books, plain = db:table(definition), db:table "books"
      books:insert(record())
      local is_sqlite = database:find "^sqlite" ~= nil
      for _ = 1, 2 do -- either may be the first to find its statement
        is_record(books:get(1))
        is_record(db:get(definition, 1))
        for _, row in ipairs { plain:get(1), db:get("books", 1), db:first "select * from books" } do
          assert.equal(is_sqlite and 1 or true, row.sold)
          assert.equal(is_sqlite and 12.25 or "12.25", row.price)
          assert.equal(is_sqlite and "string" or "table", type(row.doc))
        end
      end
      assert.equal(is_sqlite and "int" or "bool", plain.c.sold.class)
      assert.equal("bool", books.c.sold.class)
    end)
  end)
end)

describe("a STRICT table and its definition", function()
  local function open(sql, options)
    local db = helper.open("sqlite::memory:", options)
    db:script(sql)
    return db
  end

  local function definition(body)
    return perigee.schema.parse(('table("t", function(t) %s end)'):format(body)).tables.t
  end

  local TEXTS = "t.id = int { pk = true } t.a = boolean t.b = json t.c = uuid"

  it("may differ: what the table says counts", function()
    local db = open "create table t (id integer primary key, a text, b text) strict"
    local t = db:table(definition(TEXTS))
    assert.same({ a = "text", b = "json" }, { a = t.c.a.class, b = t.c.b.class })
    assert.same({ id = 1, a = "x", b = { 1 } }, t:insert { id = 1, a = "x", b = { 1 } })
    fails("usage", "there is no column", t.select, t, { c = uuid(1) })
  end)

  it("are read anew when the table has changed", function()
    local db = open "create table t (id integer primary key, a integer) strict"
    local d = definition(TEXTS)
    local t = db:table(d)
    assert.equal(true, t:insert({ a = true }).a)
    db:execute "alter table t add column b text"
    assert.same({ 1 }, t:insert({ a = false, b = { 1 } }).b)
    db:script "drop table t; create table t (id integer primary key, a text, b text) strict"
    assert.equal("yes", t:insert({ a = "yes" }).a)
    assert.equal("yes", db:get(d, 1).a)
    db:execute "drop table t"
    fails("undefined", '"t"', db.get, db, d, 1)
    db:execute "create table t (id integer primary key, a integer) strict"
    assert.equal(true, db:insert(d, { a = true }).a)
  end)

  it("are told from an ordinary table, which says it all", function()
    local db = open [[
      create table t (id integer primary key, a integer /* strict */, b text default 'strict');
      create table "strict" (a integer);
      create table s (a integer primary key check (a in (0, 1)), "strict" text)
        without rowid, strict
    ]]
    local t = db:table(definition(TEXTS))
    assert.equal("int", t.c.a.class)
    local body = "t.a = boolean { pk = true } t.strict = json"
    local text = ('for _, n in ipairs { "s", "strict" } do table(n, function(t) %s end) end')
    local shop = perigee.schema.parse(text:format(body))
    assert.equal("bool", db:table(shop.tables.s).c.a.class)
    assert.equal("json", db:table(shop.tables.s).c.strict.class)
    assert.equal("int", db:table(shop.tables.strict).c.a.class)
  end)

  it("have the codecs of the definition's types", function()
    local db = open("create table t (id integer primary key, a integer, b text) strict", {
      codecs = { boolean = { decode = function(v) return v and "yes" or "no" end } },
    })
    assert.equal("yes", db:insert(definition(TEXTS), { a = true }).a)
    assert.equal(1, db:get("t", 1).a)
  end)

  it("leave expressions as they are, whatever they are called", function()
    local db = open "create table t (id integer primary key, a integer, b text) strict"
    local t = db:table(definition(TEXTS))
    t:insert_many { { a = true }, { a = true } }
    assert.same({ { a = true, b = 2 } }, t:group({}, { by = "a", count = "b" }))
    assert.same({ { b = 3 } }, t:group({}, { sum = { b = "id" } }))
  end)

  it("do not keep definitions that are no longer used", function()
    local db = open "create table t (id integer primary key, a integer, b text) strict"
    local gone = setmetatable({}, { __mode = "v" })
    for i = 1, 20 do
      local d = definition(TEXTS)
      db:get(d, 1)
      gone[i] = d
    end
    collectgarbage()
    collectgarbage()
    assert.is_nil(next(gone))
  end)
end)
