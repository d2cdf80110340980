-- A JSON API for articles, as nginx runs it: nginx.conf has the settings, run starts it.
--
--   GET   /articles?limit=20&status=published&cursor=…    a page: articles, next, prev
--   POST  /articles           { "slug": …, "title": …, "body": …, "status": … }
--   GET   /articles/7
--   PATCH /articles/7         { "title": … }
--
-- The calls to the database look as if they waited; nginx serves others meanwhile.
local perigee = require "perigee"
local json = perigee.json

local M = {}

local url = assert(os.getenv "DATABASE_URL", "DATABASE_URL is not set")

local here = debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$"

--- For init_by_lua, where calls block: the tables, once, by a handle of its own.
function M.init()
  perigee.with(url, function(db)
    if not db:has_table "articles" then
      db:create_all(perigee.schema.load(here .. "/schema.lua"))
    end
  end)
end

-- One handle: each worker has a pool of its own behind it. workers × max_size must not be
-- more than the server's max_connections. All workers have to make and read the same
-- cursors, so the key is set.
local db = perigee.open(url, {
  max_size = 8,
  query_timeout = 5,
  max_limit = 100,
  cursor_key = assert(os.getenv "CURSOR_KEY", "CURSOR_KEY is not set"),
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

local function answer(status, value)
  ngx.status = status
  ngx.header.content_type = "application/json"
  ngx.print(json.encode(value), "\n")
end

local function answer_error(err)
  local is_ours = getmetatable(err) == perigee.error
  local status = is_ours and STATUS[err.kind] or type(err) == "table" and err.status or 500
  if status >= 500 then -- nginx itself logs nothing of an error that is a table
    ngx.log(ngx.ERR, tostring(err))
    return answer(status, { error = "internal" })
  end
  if not is_ours then return answer(status, { error = "request", message = err.message }) end
  answer(status, { error = err.kind }) -- the database's words stay here
end

-- ---- what comes in -------------------------------------------------------------

local FIELDS = { slug = true, title = true, body = true, status = true }

-- The request's JSON object, with known fields whose values are texts (or null).
local function read_body()
  ngx.req.read_body()
  local text = ngx.req.get_body_data()
  local ok, record = pcall(json.decode, text or "")
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

local function list()
  local args = ngx.req.get_uri_args()
  local filter = {}
  if args.status then filter["status:eq"] = tostring(args.status) end
  local page = articles:page(not args.cursor and filter or nil, {
    order_by = "-id", limit = read_limit(args.limit), cursor = args.cursor,
  })
  answer(200, { articles = page.rows, next = page.next, prev = page.prev })
end

local function create()
  local record = read_body()
  if not record.slug or not record.title then refuse(422, "slug and title are needed") end
  local row = articles:insert(record)
  ngx.header.location = ("/articles/%d"):format(row.id)
  answer(201, row)
end

local function show(id)
  answer(200, articles:at(id))
end

local function change(id)
  local values = read_body()
  if next(values) == nil then refuse(400, "nothing to change") end
  -- Both in one transaction: nobody changes the row in between.
  local row = db:transaction(function(tx)
    articles:on(tx):update({ id = id }, values)
    return articles:on(tx):at(id)
  end)
  answer(200, row)
end

local ROUTES = {
  { "^/articles$", GET = list, POST = create },
  { "^/articles/(%d+)$", GET = show, PATCH = change },
}

local function dispatch()
  local path, method = ngx.var.uri, ngx.req.get_method()
  for _, route in ipairs(ROUTES) do
    local id = path:match(route[1])
    if id and not route[method] then refuse(405, method .. " is not allowed here") end
    if id then return route[method](tonumber(id)) end
  end
  refuse(404, "no such page")
end

--- The content handler.
function M.serve()
  local ok, err = pcall(dispatch)
  if not ok then answer_error(err) end
end

return M
