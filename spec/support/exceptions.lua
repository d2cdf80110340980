-- What a database cannot do: specs of for_each_db that are not run on it.
--   [database] = { [name of the spec, or its full name] = reason }
-- The databases are "sqlite", "sqlite memory" and "postgres". Each exception is
-- counted and printed as skipped.
local NOT_UTF8 = "SQLite checks no text: it is stored and read back as it is"

return {
  ["sqlite"] = {
    ["in text that is not UTF-8 is data"] = NOT_UTF8,
  },
  ["sqlite memory"] = {
    ["in text that is not UTF-8 is data"] = NOT_UTF8,
    ["on the handle lets other queries run inside the loop (P-41)"] =
      "a database in memory has one connection, which the loop holds: usage",
  },
  ["postgres"] = {
    ["of 3.5 is refused by an integer column in raw SQL"] =
      "raw SQL sends it as float8, which PostgreSQL rounds on assignment",
  },
}
