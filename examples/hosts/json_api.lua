-- A JSON API for articles in lua-http, on the loop of cqueues: the same as
-- examples/nginx has.
--
--   GET   /articles?limit=20&status=published&cursor=…    a page: articles, next, prev
--   POST  /articles           { "slug": …, "title": …, "body": …, "status": … }
--   GET   /articles/7
--   PATCH /articles/7         { "title": … }
--
--   luajit json_api.lua URL 8080    serves
--   luajit json_api.lua URL         shows itself what it does, and ends
--
-- URL is the database's, CURSOR_KEY in the environment the secret of cursors. Debian's
-- lua-http is for LuaJIT; by luarocks there is one for Lua 5.4.
--
-- The server runs each request in a coroutine of its loop. There calls look as if they
-- waited, and the loop serves others meanwhile; nothing has to be set up for that.
local cqueues = require "cqueues"
local http_headers = require "http.headers"
local http_request = require "http.request"
local http_server = require "http.server"
local http_util = require "http.util"
local perigee = require "perigee"

local json = perigee.json
local here = arg[0]:match "^(.*)/" or "."
local url, port = arg[1] or "sqlite:articles.db", tonumber(arg[2])

-- With no loop yet: this blocks, once.
local function make_tables()
  perigee.with(url, function(db)
    if not port then db:script "drop table if exists articles" end
    if not db:has_table "articles" then
      db:create_all(perigee.schema.load(here .. "/../nginx/schema.lua"))
    end
  end)
end

make_tables()

local db = perigee.open(url, {
  max_size = 8,
  query_timeout = 5,
  max_limit = 100,
  cursor_key = os.getenv "CURSOR_KEY" or "a secret of sixteen bytes or more",
})
local articles = db:table "articles"

-- ---- answers -----------------------------------------------------------------

-- What the client did wrong: raised as a table with a status.
local function refuse(status, message)
  error({ status = status, message = message }, 0)
end

-- Kinds of errors that are the client's, and those that are better later.
local STATUS = {
  cursor = 400, data = 422, check = 422, not_null = 422, unique = 409, foreign_key = 409,
  not_found = 404, timeout = 503, connect = 503, resource = 503,
}

local function answer(stream, status, value, location)
  local headers = http_headers.new()
  headers:append(":status", tostring(status))
  headers:append("content-type", "application/json")
  if location then headers:append("location", location) end
  assert(stream:write_headers(headers, false))
  assert(stream:write_chunk(json.encode(value) .. "\n", true))
end

-- The status and the body for an error; the database's words stay here.
local function describe(err)
  local is_ours = getmetatable(err) == perigee.error
  local status = is_ours and STATUS[err.kind] or type(err) == "table" and err.status or 500
  if status >= 500 then
    io.stderr:write(tostring(err), "\n")
    return status, { error = "internal" }
  end
  if is_ours then return status, { error = err.kind } end
  return status, { error = "request", message = err.message }
end

-- ---- what comes in -------------------------------------------------------------

local FIELDS = { slug = true, title = true, body = true, status = true }

-- The request's JSON object, with known fields whose values are texts (or null).
local function read_body(stream)
  local ok, record = pcall(json.decode, (stream:get_body_as_string(10)))
  if not ok or type(record) ~= "table" then refuse(400, "the body is not a JSON object") end
  local values = {}
  for name, value in pairs(record) do
    if not FIELDS[name] then refuse(400, "unknown field: " .. tostring(name)) end
    if type(value) ~= "string" and value ~= perigee.null then
      refuse(422, name .. " is not a text")
    end
    values[name] = value
  end
  return values
end

local function read_limit(text)
  if text == nil then return nil end
  local n = tonumber(text)
  if not n or n < 1 or n % 1 ~= 0 then refuse(400, "limit is not a whole number above 0") end
  return n
end

-- ---- pages -------------------------------------------------------------------

local function list(_, query)
  local filter = {}
  if query.status then filter["status:eq"] = query.status end
  local page = articles:page(not query.cursor and filter or nil, {
    order_by = "-id", limit = read_limit(query.limit), cursor = query.cursor,
  })
  -- json_array: an empty list is [] and not {}
  return 200, { articles = page.rows, next = page.next, prev = page.prev }
end

local function create(stream)
  local record = read_body(stream)
  if not record.slug or not record.title then refuse(422, "slug and title are needed") end
  local row = articles:insert(record)
  return 201, row, ("/articles/%d"):format(row.id)
end

local function show(_, _, id)
  return 200, articles:at(id)
end

local function change(stream, _, id)
  local values = read_body(stream)
  if next(values) == nil then refuse(400, "nothing to change") end
  -- Both in one transaction: nobody changes the row in between.
  return 200, db:transaction(function(tx)
    articles:on(tx):update({ id = id }, values)
    return articles:on(tx):at(id)
  end)
end

local ROUTES = {
  { "^/articles$", GET = list, POST = create },
  { "^/articles/(%d+)$", GET = show, PATCH = change },
}

local function dispatch(stream, method, target)
  local path, text = target:match "^([^?]*)%??(.*)$"
  local query = {}
  for name, value in http_util.query_args(text) do query[name] = value end
  for _, route in ipairs(ROUTES) do
    local id = path:match(route[1])
    if id and not route[method] then refuse(405, method .. " is not allowed here") end
    if id then return route[method](stream, query, tonumber(id)) end
  end
  refuse(404, "no such page")
end

local function on_stream(_, stream)
  local headers = assert(stream:get_headers())
  local ok, status, value, location = pcall(dispatch, stream, headers:get ":method",
    headers:get ":path")
  if not ok then status, value = describe(status) end
  answer(stream, status, value, location)
end

local loop = cqueues.new()
local server = assert(http_server.listen { host = "127.0.0.1", port = port or 0, cq = loop,
  onstream = on_stream, onerror = function(_, _, op, err)
    io.stderr:write(op, ": ", tostring(err), "\n")
  end })
assert(server:listen())

-- ---- what it does --------------------------------------------------------------

local _, _, bound = server:localname()

local function ask(method, path, body)
  local request = http_request.new_from_uri(("http://127.0.0.1:%d%s"):format(bound, path))
  request.headers:upsert(":method", method)
  if body then request:set_body(json.encode(body)) end
  local headers, stream = assert(request:go(10))
  local value = json.decode(assert(stream:get_body_as_string(10)))
  stream:shutdown()
  return tonumber(headers:get ":status"), value
end

local function slugs(page)
  local names = {}
  for i, row in ipairs(page.articles) do names[i] = row.slug end
  return table.concat(names, " ")
end

local function tell(...)
  print(table.concat({ ... }, " "))
end

local function show_all()
  for i = 1, 5 do
    local status, row = ask("POST", "/articles",
      { slug = "part-" .. i, title = "Part " .. i, status = "published" })
    tell("POST", status, row.id, row.slug)
  end
  local path = "/articles?limit=2&status=published"
  repeat
    local status, page = ask("GET", path)
    tell("GET", status, slugs(page))
    path = "/articles?cursor=" .. tostring(page.next)
  until not page.next
  tell("PATCH", (ask("PATCH", "/articles/2", { title = "Part two" })))
  local _, row = ask("GET", "/articles/2")
  tell("GET", row.title)
  for _, case in ipairs { { "GET", "/articles?cursor=made-up" }, { "GET", "/articles/99" },
    { "POST", "/articles", { slug = "part-1", title = "again" } },
    { "POST", "/articles", { slug = "x", tilte = "x" } }, { "DELETE", "/articles/2" } } do
    local status, value = ask(case[1], case[2], case[3])
    tell(case[1], status, value.error, value.message)
  end
  server:close()
end

if port then
  print(("http://127.0.0.1:%d/articles"):format(port))
else
  loop:wrap(show_all)
end
assert(loop:loop())
db:close()
