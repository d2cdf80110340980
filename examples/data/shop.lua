-- The record shop of the examples: loads it, and knows how its names are spelt.
--
-- It is chinook-sample.sql in this folder, or the Chinook sample database
-- (github.com/lerocha/chinook-database) when a directory is given that holds
-- Chinook_Sqlite.sql, Chinook_PostgreSql.sql or Chinook_MySql.sql.

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

-- invoice_line is InvoiceLine in Chinook for SQLite and MySQL.
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

local scripts = {
  sqlite = "Chinook_Sqlite.sql", postgres = "Chinook_PostgreSql.sql",
  mysql = "Chinook_MySql.sql",
}

local function script_path(db, directory)
  if not directory then return here .. "chinook-sample.sql" end
  return directory .. "/" .. scripts[db:driver().dialect]
end

-- A script written for psql or mysql makes a database and changes into it. We are in
-- the right one.
local function without_database(sql)
  sql = ("\n" .. sql):gsub("\n%u+ DATABASE [^\n]*", "\n")
  return (sql:gsub("\n\\c [^\n]*", "\n"):gsub("\nUSE [^\n]*", "\n"))
end

-- All or nothing, but on MySQL, where each CREATE TABLE commits by itself.
local function run_script(db, sql)
  if db:driver().dialect == "mysql" then return db:script(sql) end
  db:transaction(function(tx) tx:script(sql) end)
end

local function load_shop(db, directory)
  local path = script_path(db, directory)
  print("loading " .. path)
  local sql = without_database(read_file(path))
  run_script(db, sql)
  return assert(find_spelling(db), "the script made no invoices")
end

--- Loads the shop unless it is there.
-- @return how names are spelt: `names.invoice_line`
function M.open(db, directory)
  local spell = find_spelling(db) or load_shop(db, directory)
  return setmetatable({}, { __index = function(_, name) return spell(name) end })
end

return M
