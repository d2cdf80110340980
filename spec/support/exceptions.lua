-- What a database cannot do: specs of for_each_db that are not run on it.
--   [database] = { [name of the spec, or its full name] = reason }
-- The databases are "sqlite", "sqlite memory", "postgres" and "mysql". `hosts` has what is not
-- run with PERIGEE_HOST, as it is about the built-in loop or blocking calls; a table
-- there is by the name of the host. Each exception is counted and printed as skipped.
local LOOP = "about the built-in loop only"
local BLOCKS = "about calls that block, where no loop runs"
local PLAIN = "a call in a plain coroutine is usage, and not the host's to resume"
local NOT_UTF8 = "SQLite checks no text: it is stored and read back as it is"

local NO_DDL = "DDL commits by itself: there is nothing to roll back"

local NO_EXPRESSIONS = "MariaDB has no indexes of expressions"

local NO_INFINITY = "its double has neither NaN nor infinity"
local UUID_ORDER = "MariaDB's uuid has an order of its own, by the time in them"

local NO_ZONE = "its types have no zone, and its texts of times none either"
local POSTGRES_WORDS = "said in words of PostgreSQL"

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

  ["mysql"] = {
    ["on mysql a bad value (F-60) in text that is not UTF-8 is data"] =
      "MariaDB refuses bytes that are no UTF-8, but stores halves of surrogate pairs",
    ["on mysql a transaction leaves the pool whole when COMMIT fails (P-43, F-46)"] =
      "it has no deferred constraints, so no COMMIT that fails by one",
    ["on mysql a change of the schema that is rolled back is forgotten"] = NO_DDL,
    ["on mysql what is known of a table is right again after DDL that was rolled back"] =
      NO_DDL,
    ["on mysql operators on a float column: NaN"] = NO_INFINITY,
    ["on mysql a column of the type float orders pages (P-09)"] = NO_INFINITY,
    ["on mysql operators on uuid"] = UUID_ORDER,
    ["on mysql operators on timestamptz"] = NO_ZONE,
    ["on mysql operators on times in one form only"] = NO_ZONE,
    ["on mysql insert_many writes every type"] = NO_ZONE,
    ["on mysql a column of the type stamptz orders pages (P-09)"] = NO_ZONE,
    ["on mysql claim of one runs a function and stores how it ended"] =
      "1/0 is NULL in a query, and no error that the job could have",
    ["on mysql claim of one leaves a row pending that is to be tried again"] = POSTGRES_WORDS,
    ["on mysql claim of one stores a failure whose message the column does not take"] =
      POSTGRES_WORDS,
    ["on mysql create_all and drop_all say where what the database refuses is defined"] =
      NO_EXPRESSIONS,
    ["on mysql create_all and drop_all read comments at the end of SQL as such"] =
      NO_EXPRESSIONS,
    ["on mysql transform leaves the table when one change fails"] = NO_DDL,
    ["on mysql leaves nothing of a migration that fails (P-39)"] = NO_DDL,
    ["on mysql a column of the type uuid orders pages (P-09)"] = UUID_ORDER,
  },

  ["hosts"] = {
    ["run does not nest and refuses what is no function"] =
      "in a host perigee.run is a task like others, and may be in another one",
    ["tasks that yield by themselves give way"] = LOOP,
    ["timeout bounds calls, also with no loop"] = BLOCKS,
    ["a call that cannot wait works in perigee.wrap with no loop, and anywhere there"] =
      BLOCKS,
    ["with no loop calls block, and spawned tasks go on meanwhile"] = BLOCKS,
    ["with no loop a task that blocks for ever is cancelled from outside"] = BLOCKS,
    ["a call that cannot wait in a foreign coroutine is usage and says what to do"] =
      { luv = "every coroutine is a task of its own" },
    ["cleans up after the coroutine that ran it was dropped (P-42)"] =
      { cqueues = PLAIN, copas = PLAIN, user = PLAIN, minimal = PLAIN },
    ["sleep of ten thousand tasks takes no descriptor"] =
      { minimal = "one that waits takes a descriptor in this form" },
    ["interrupting (Ctrl-C) ends the waits"] = "Ctrl-C is the host's",
  },
}
