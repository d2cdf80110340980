-- The record shop of the examples: loads it, and knows how its names are spelt.
--
-- It is chinook-sample.sql in this folder, or the Chinook sample database
-- (github.com/lerocha/chinook-database) when a directory is given that holds
-- Chinook_Sqlite.sql and Chinook_PostgreSql.sql.

local M = {}

-- "examples/data/"
local here = debug.getinfo(1, "S").source:match "^@(.*/)" or "./"

local function read_file(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

-- Does the query work? Raises all errors but that of a missing name.
local function answers(db, sql)
  local ok, why = pcall(db.value, db, sql)
  if not ok and why.kind ~= "undefined" then error(why, 0) end
  return ok
end

-- invoice_line is InvoiceLine in Chinook for SQLite.
local function camel(name)
  return (("_" .. name):gsub("_(%l)", string.upper))
end

-- How names of tables and columns are spelt: invoice_line on PostgreSQL and in our
-- sample. nil when nothing is loaded yet.
local function find_spelling(db)
  if answers(db, "select count(invoice_line_id) from invoice_line") then
    return function(name) return name end
  elseif answers(db, "select count(InvoiceLineId) from InvoiceLine") then
    return camel
  end
end

local function script_path(db, directory)
  if not directory then return here .. "chinook-sample.sql" end
  local file = db:driver().dialect == "postgres" and "Chinook_PostgreSql.sql"
    or "Chinook_Sqlite.sql"
  return directory .. "/" .. file
end

-- A script written for psql makes a database and changes into it. We are in
-- the right one.
local function without_database(sql)
  sql = ("\n" .. sql):gsub("\n%u+ DATABASE [^\n]*", "\n")
  return (sql:gsub("\n\\c [^\n]*", "\n"))
end

local function load_shop(db, directory)
  local path = script_path(db, directory)
  print("loading " .. path)
  local sql = without_database(read_file(path))
  db:transaction(function(tx) tx:script(sql) end)
  return assert(find_spelling(db), "the script made no invoices")
end

--- Loads the shop unless it is there.
-- @return how names are spelt: `names.invoice_line`
function M.open(db, directory)
  local spell = find_spelling(db) or load_shop(db, directory)
  return setmetatable({}, { __index = function(_, name) return spell(name) end })
end

return M
