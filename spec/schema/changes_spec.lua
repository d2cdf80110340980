-- Every kind of change, on real databases: found, and nothing else; tried on scratch;
-- written as a migration and read back; applied, after which nothing is to do; undone,
-- after which all is as before.

local helper = require "spec.support.helper"
local support = require "spec.support.schema"
local compare = require "perigee.schema.compare"
local dialects = require "perigee.dialect"
local files = require "perigee.migrate.files"
local revision = require "perigee.migrate.revision"

-- { name, before, after, expected lines…, on = "postgres", "sqlite" or "mysql", what the
-- comparison is told }. Bodies of a table t unless `whole`. Lines for each database where
-- they differ; those of PostgreSQL on MySQL, too, unless it has its own. `mysql = false`:
-- it has nothing of the kind.
local cases = {}

local function case(name, before, after, expected, more)
  local c = {}
  for k, v in pairs(more or {}) do c[k] = v end
  c.name, c.before, c.after, c.expected = name, before, after, expected
  cases[#cases + 1] = c
end

local PG, LITE, MY = { on = "postgres" }, { on = "sqlite" }, { on = "mysql" }
local NOT_MYSQL, NOT_SQLITE = { mysql = false }, { sqlite = false }

local function on(database, more)
  local c = {}
  for k, v in pairs(database) do c[k] = v end
  for k, v in pairs(more or {}) do c[k] = v end
  return c
end

-- ---- tables and columns ----------------------------------------------------

case("table added", [[table("p", function(t) t.id = bigint { pk = true } end)]],
  [[table("p", function(t) t.id = bigint { pk = true } end)
  table("u", function(t)
    t.id = bigint { identity = true, pk = true }
    t.p_id = bigint { ref = "p.id", on_delete = "cascade", index = true }
  end)]], { "+ table u 2 columns" }, { whole = true })
case("table dropped", [[table("u", function(t) t.a = text; t.b = int { index = true } end)]],
  [[]], { "- table u" }, { whole = true, manage = "all" })
case("tables dropped that refer to each other", [[
  table("u", function(t) t.id = int { pk = true }; t.v_id = int { ref = "v.id" } end)
  table("v", function(t) t.id = int { pk = true }; t.u_id = int { ref = "u.id" } end)]],
  [[]], { postgres = { "- key v.v_u_id_fkey", "- table u", "- table v" },
  sqlite = { "- table u", "- table v" } }, { whole = true, manage = "all" })
case("tables added that refer to each other", [[]], [[
  table("u", function(t) t.id = int { pk = true }; t.v_id = int { ref = "v.id" } end)
  table("v", function(t) t.id = int { pk = true }; t.u_id = int { ref = "u.id" } end)]],
  { postgres = { "+ table v 2 columns", "+ table u 2 columns",
    "+ key v.v_u_id_fkey (u_id) -> u(id)" },
  sqlite = { "+ table v 2 columns", "+ table u 2 columns" } }, { whole = true })
case("table renamed", [[table("u", function(t) t.a = text { unique = true } end)]],
  [[table("w", { was = "u" }, function(t) t.a = text { unique = true } end)]],
  { "~ table u -> w  schema.lua:1 (was)", "~ name w.u_a_key -> w_a_key" }, { whole = true })
case("column added", [[t.a = text]],
  [[t.a = text; t.b = numeric(12, 2) { default = 0, null = true }]],
  { postgres = { "+ column t.b numeric(12,2) default 0" },
    sqlite = { "+ column t.b numeric(12,2) default 0" } })
case("column dropped", [[t.a = text; t.b = int { index = true }]], [[t.a = text]],
  { "- index t_b_idx", "- column t.b" })
case("column dropped with its keys", [[t.a = text; t.b = int { unique = true, check = "b > 0" }]],
  [[t.a = text]], { "- check t.t_b_check", "- unique t.t_b_key", "- column t.b" })
case("column renamed", [[t.a = text { check = "a <> 'a'" };
  t:index { sql "lower(a)", name = "i" }]],
  [[t.b = text { was = "a", check = "b <> 'a'" }; t:index { sql "lower(b)", name = "i" }]],
  { "~ column t.a -> b  schema.lua:2 (was)", "~ name t.t_a_check -> t_b_check" }, NOT_MYSQL)
case("column renamed with its check", [[t.a = int { check = "a <> 1", index = true }]],
  [[t.b = int { was = "a", check = "b <> 1", index = true }]],
  { "~ column t.a -> b  schema.lua:2 (was)", "~ name t.t_a_check -> t_b_check",
    "~ index t_a_idx -> t_b_idx" }, MY)
case("column renamed by the caller", [[t.a = text]], [[t.b = text]],
  { "~ column t.a -> b  (--rename)" }, { rename = { "t.a=b" } })
case("column renamed to a word", [[t.a = text { check = "a <> ''" }]],
  [[t["end"] = text { was = "a" }; t:check("t_a_check", '"end" <> \'\'')]],
  { "~ column t.a -> end  schema.lua:2 (was)" }, NOT_MYSQL)
case("columns renamed in a chain", [[t.a = text; t.b = int]],
  [[t.b = text; t.c = int]], { "~ column t.b -> c  (--rename)", "~ column t.a -> b  (--rename)" },
  { rename = { "t.a=b", "t.b=c" } })
case("type", [[t.a = int]], [[t.a = bigint]], { "~ column t.a integer -> bigint" }, PG)
case("type that needs a conversion", [[t.a = text; t.b = text { default = "1" }]],
  [[t.a = int; t.b = int { default = 1 }]], { "~ column t.a text -> int",
  "~ column t.b text -> int, default '1'::text -> 1" }, PG)
case("length of a type", [[t.a = varchar(20)]], [[t.a = varchar(30)]],
  { postgres = { "~ column t.a character varying(20) -> varchar(30)" },
    mysql = { "~ column t.a varchar(20) -> varchar(30)" },
    sqlite = { "~ column t.a VARCHAR(20) -> varchar(30)" } })
case("type of a column with all else", [[
  t.a = int { default = 1, comment = "it's", check = "a > 0" };
  t.b = varchar(9) { null = true, collation = "utf8mb4_general_ci" }]], [[
  t.a = bigint { default = 1, comment = "it's", check = "a > 0" };
  t.b = text { null = true, collation = "utf8mb4_general_ci" }]],
  { "~ column t.a int -> bigint", "~ column t.b varchar(9) -> text" }, MY)
case("affinity of a type", [[t.a = text]], [[t.a = int]], { "~ column t.a TEXT -> int" }, LITE)
case("null", [[t.a = text; t.b = text { null = true }]], [[t.a = text { null = true }; t.b = text]],
  { "~ column t.a not null -> null", "~ column t.b null -> not null" })
case("default", [[t.a = int { default = 1 }; t.b = int { default = 1 }; t.c = int]],
  [[t.a = int { default = 2 }; t.b = int; t.c = int { default = 3 }]],
  { "~ column t.a default 1 -> 2", "~ column t.b default 1 -> none",
    "~ column t.c default none -> 3" })
case("comments", [[t.a = text { comment = "x" }; t.b = text; t:comment "old"]],
  [[t.a = text; t.b = text { comment = "it's" }; t:comment "new"]],
  { "~ comment t.a", "~ comment t.b", "~ comment t" }, NOT_SQLITE)
case("identity", [[t.a = int { identity = true }; t.b = int]],
  [[t.a = int { identity = "always" }; t.b = int { identity = { start = 100 } }]],
  { "~ column t.a identity by default -> always",
    "~ column t.b identity none -> by default, start 100" }, PG)
case("generated column added", [[t.a = int]], [[t.a = int; t.b = int { generated = sql "a * 2",
  stored = true, null = true }]], { "+ column t.b int generated (a * 2)" })
case("generated expression", [[t.a = int; t.b = int { generated = sql "a * 2", stored = true,
  null = true, index = true }]], [[t.a = int; t.b = int { generated = sql "a * 3", stored = true,
  null = true, index = true }]], { postgres = { "- index t_b_idx", "- column t.b",
    "+ column t.b int generated (a * 3)", "+ index t_b_idx on t (b)" },
  sqlite = { "~ column t.b generated stored a * 2 -> stored a * 3" } })
case("generated column made plain", [[t.a = int; t.b = int { generated = sql "a * 2",
  stored = true, null = true }]], [[t.a = int; t.b = int { null = true }]],
  { postgres = { "~ column t.b generated stored a * 2 -> none" },
  sqlite = { "~ column t.b generated stored a * 2 -> none" },
  mysql = { "~ column t.b generated stored `a` * 2 -> none" } })
case("virtual to stored", [[t.a = int; t.b = int { generated = sql "a * 2", null = true }]],
  [[t.a = int; t.b = int { generated = sql "a * 2", stored = true, null = true }]],
  { "~ column t.b generated virtual a * 2 -> stored a * 2" }, LITE)
case("virtual to stored", [[t.a = int; t.b = int { generated = sql "a * 2", null = true }]],
  [[t.a = int; t.b = int { generated = sql "a * 2", stored = true, null = true }]],
  { "- column t.b", "+ column t.b int generated (a * 2)" }, MY)
case("type under a generated column", [[t.a = int; t.b = int { generated = sql "a * 2",
  stored = true, null = true }]], [[t.a = smallint; t.b = int { generated = sql "a * 2",
  stored = true, null = true }]], { "- column t.b", "~ column t.a integer -> smallint",
  "+ column t.b int generated (a * 2)" }, PG)
case("collation", [[t.a = text]], [[t.a = text { collation = "C" }]],
  { "~ column t.a collation default -> C" }, PG)
case("type of a column with a collation", [[t.a = varchar(5) { collation = "C" }]],
  [[t.a = varchar(6) { collation = "C" }]],
  { "~ column t.a character varying(5) -> varchar(6)" }, PG)
case("collation", [[t.a = text { collation = "NOCASE" }]], [[t.a = text]],
  { "~ column t.a collation NOCASE -> default" }, LITE)
case("collation", [[t.a = varchar(9) { default = "x" }]],
  [[t.a = varchar(9) { default = "x", collation = "utf8mb4_general_ci" }]],
  { "~ column t.a collation default -> utf8mb4_general_ci" }, MY)
case("identity", [[t.a = int { pk = true }]], [[t.a = int { pk = true, identity = true }]],
  { "~ column t.a identity none -> by default" }, MY)

-- ---- keys and checks -------------------------------------------------------

case("primary key", [[t.a = int { pk = true }; t.b = int]],
  [[t.a = int; t.b = int; t:primary_key { "a", "b" }]], { "~ key t primary key (a, b)" })
case("primary key added and dropped", [[t.a = int]], [[t.a = int { pk = true }]],
  { postgres = { "~ key t primary key (a)" },
    sqlite = { "~ column t.a INTEGER -> int", "~ key t primary key (a)" } })
case("unique keys", [[t.a = int { unique = true }; t.b = int]],
  [[t.a = int; t.b = int { unique = true }]],
  { "- unique t.t_a_key", "+ unique t.t_b_key (b)" })
case("order of a unique key", [[t.a = int; t.b = int; t:unique { "a", "b", name = "u" }]],
  [[t.a = int; t.b = int; t:unique { "b", "a", name = "u" }]],
  { "- unique t.u", "+ unique t.u (b, a)" })
case("deferrable unique key", [[t.a = int { unique = true }]],
  [[t.a = int { unique = true, deferrable = true }]],
  { "- unique t.t_a_key", "+ unique t.t_a_key (a)" }, PG)
case("nulls not distinct", [[t.a = int { null = true, unique = true }]],
  [[t.a = int { null = true }; t:unique { "a", nulls_not_distinct = true }]],
  { "- unique t.t_a_key", "+ unique t.t_a_key (a)" }, PG)
case("foreign key", [[t.a = int { null = true }]], [[t.a = int { null = true, ref = "p.id" }]],
  { "+ key t.t_a_fkey (a) -> p(id)" }, { parent = true })
case("actions of a foreign key", [[t.a = int { null = true, ref = "p.id" }]],
  [[t.a = int { null = true, ref = "p.id", on_delete = "set null", on_update = "cascade" }]],
  { "- key t.t_a_fkey", "+ key t.t_a_fkey (a) -> p(id)" }, { parent = true })
case("restrict is not the default", [[t.a = int { ref = "p.id", on_delete = "no action" }]],
  [[t.a = int { ref = "p.id", on_delete = "restrict" }]],
  { "- key t.t_a_fkey", "+ key t.t_a_fkey (a) -> p(id)" }, on(NOT_MYSQL, { parent = true }))
case("restrict is the default", [[t.a = int { ref = "p.id", on_delete = "no action" }]],
  [[t.a = int { ref = "p.id", on_delete = "restrict" }]], {}, on(MY, { parent = true }))
case("deferrable foreign key", [[t.a = int { ref = "p.id" }]],
  [[t.a = int { ref = "p.id", deferrable = true, deferred = true }]],
  { "- key t.t_a_fkey", "+ key t.t_a_fkey (a) -> p(id)" }, on(NOT_MYSQL, { parent = true }))
case("index that a foreign key needs", [[t.a = int { ref = "p.id", index = true }; t.b = int]],
  [[t.a = int { ref = "p.id" }; t.b = int]], { "- index t_a_idx" }, on(MY, { parent = true }))
case("match full", [[t.a = int { ref = "p.id" }]],
  [[t.a = int { ref = "p.id", match_full = true }]],
  { "- key t.t_a_fkey", "+ key t.t_a_fkey (a) -> p(id)" }, on(PG, { parent = true }))
case("set null of some columns", [[t.a = int; t:foreign_key { "a", ref = "p(id)",
  on_delete = "set null" }]], [[t.a = int; t:foreign_key { "a", ref = "p(id)",
  on_delete = "set null", on_delete_columns = { "a" } }]],
  { "- key t.t_a_fkey", "+ key t.t_a_fkey (a) -> p(id)" }, on(PG, { parent = true }))
case("types of both ends of a foreign key", [[
  table("p", function(t) t.id = int { pk = true } end)
  table("t", function(t) t.a = int { ref = "p.id" } end)]], [[
  table("p", function(t) t.id = text { pk = true } end)
  table("t", function(t) t.a = text { ref = "p.id" } end)]],
  { "- key t.t_a_fkey", "~ column p.id integer -> text", "~ column t.a integer -> text",
    "+ key t.t_a_fkey (a) -> p(id)" }, on(PG, { whole = true }))
case("types of both ends of a foreign key", [[
  table("p", function(t) t.id = int { pk = true } end)
  table("t", function(t) t.a = int { ref = "p.id" } end)]], [[
  table("p", function(t) t.id = bigint { pk = true } end)
  table("t", function(t) t.a = bigint { ref = "p.id" } end)]],
  { "- key t.t_a_fkey", "~ column p.id int -> bigint", "~ column t.a int -> bigint",
    "+ key t.t_a_fkey (a) -> p(id)" }, on(MY, { whole = true }))
case("check", [[t.a = int]], [[t.a = int { check = "a > 0" }]], { "+ check t.t_a_check" })
case("expression of a check", [[t.a = int { check = "a > 0" }]], [[t.a = int { check = "a > 1" }]],
  { "- check t.t_a_check", "+ check t.t_a_check" })
case("check that is not inherited", [[t.a = int; t:check("c", "a > 0")]],
  [[t.a = int; t:check("c", "a > 0", { no_inherit = true })]],
  { "- check t.c", "+ check t.c" }, PG)
case("names of constraints", [[t.a = int { unique = "x" }; t:check("c", "a > 0")]],
  [[t.a = int { unique = "y" }; t:check("d", "a > 0")]],
  { "~ name t.x -> y", "~ name t.c -> d" })

-- ---- indexes ---------------------------------------------------------------

local function index(name, before, after, expected, more)
  local columns = "t.a = text; t.b = int { null = true }; "
  case("index: " .. name, columns .. before, columns .. after, expected
    or { "- index i", "+ index i on t (a)" }, more)
end

index("added", "", [[t:index { "a" }]], { "+ index t_a_idx on t (a)" })
index("dropped", [[t:index { "a" }]], "", { "- index t_a_idx" })
index("order", [[t:index { "a", "b", name = "i" }]], [[t:index { "b", "a", name = "i" }]],
  { "- index i", "+ index i on t (b, a)" }, NOT_MYSQL)
index("order and length", [[t:index { { column = "a", length = 9 }, "b", name = "i" }]],
  [[t:index { "b", { column = "a", length = 12 }, name = "i" }]],
  { "- index i", "+ index i on t (b, a)" }, MY)
index("kind", [[t:index { "a", name = "i" }]], [[t:index { "a", name = "i", method = "fulltext" }]],
  nil, MY)
index("direction", [[t:index { "a", name = "i" }]], [[t:index { "a desc", name = "i" }]])
index("nulls", [[t:index { "a", name = "i" }]],
  [[t:index { "a nulls first", name = "i" }]], nil, PG)
index("unique", [[t:index { "a", name = "i" }]], [[t:index { "a", name = "i", unique = true }]],
  { postgres = { "- index i", "+ index i on t (a)" },
    sqlite = { "- index i", "+ index i on t (a)" },
    mysql = { "- index i", "+ unique t.i (a)" } })
index("expression", [[t:index { sql "lower(a)", name = "i" }]],
  [[t:index { sql "upper(a)", name = "i" }]], { "- index i", "+ index i on t (upper(a))" },
  NOT_MYSQL)
index("letter in an expression", [[t:index { sql "(a || 'A')", name = "i" }]],
  [[t:index { sql "(a || 'a')", name = "i" }]], { "- index i", "+ index i on t ((a || 'a'))" },
  NOT_MYSQL)
index("predicate", [[t:index { "a", name = "i", where = "b > 0" }]],
  [[t:index { "a", name = "i", where = "b > 1" }]], nil, NOT_MYSQL)
index("method", [[t:index { "a", name = "i" }]], [[t:index { "a", name = "i", method = "hash" }]],
  nil, PG)
index("include", [[t:index { "a", name = "i" }]], [[t:index { "a", name = "i", include = "b" }]],
  nil, PG)
index("operator class", [[t:index { "a", name = "i" }]],
  [[t:index { { column = "a", opclass = "text_pattern_ops" }, name = "i" }]], nil, PG)
index("collation", [[t:index { "a", name = "i" }]],
  [[t:index { { column = "a", collation = "C" }, name = "i" }]], nil, PG)
index("collation", [[t:index { "a", name = "i" }]],
  [[t:index { { column = "a", collation = "NOCASE" }, name = "i" }]], nil, LITE)
index("storage", [[t:index { "a", name = "i" }]],
  [[t:index { "a", name = "i", with = { fillfactor = 70 } }]], nil, PG)
index("name", [[t:index { "a", name = "i" }]], [[t:index { "a", name = "j" }]],
  { "~ index i -> j" })
index("comment", [[t:index { "a", name = "i" }]], [[t:index { "a", name = "i", comment = "c" }]],
  { "~ comment t.i" }, PG)

-- ---- enums -----------------------------------------------------------------

local function enum(name, before, after, expected)
  case("enum: " .. name, before, after, expected, on(PG, { whole = true }))
end

local USED = [[enum "e" { %s } table("t", function(t) t.a = e { default = "b" } end)]]
enum("added", [[table("t", function(t) t.a = text end)]], [[enum "e" { "a" }
  table("t", function(t) t.a = e end)]], { "+ enum e (a)", "~ column t.a text -> e" })
enum("value at the end", USED:format [["a", "b"]], USED:format [["a", "b", "c"]],
  { "+ value e.c after b" })
enum("values in front and between", USED:format [["a", "b"]], USED:format [["x", "a", "m", "b"]],
  { "+ value e.x before a", "+ value e.m after a" })
enum("value removed", USED:format [["a", "b", "c"]], USED:format [["a", "b"]],
  { "~ enum e (a, b, c) -> (a, b)" })
enum("values in another order", USED:format [["a", "b"]], USED:format [["b", "a"]],
  { "~ enum e (a, b) -> (b, a)" })
case("enum: values added and removed", USED:format [["a", "b"]], USED:format [["x", "b", "c"]],
  { "~ column t.a enum('a','b') -> e" }, on(MY, { whole = true }))
case("column of an enum renamed", [[enum "e" { "a" } table("t", function(t) t.a = e end)]],
  [[enum "e" { "a" } table("t", function(t) t.b = e { was = "a" } end)]],
  { "~ column t.a -> b  schema.lua:1 (was)" }, { whole = true })
case("column of an enum added", [[t.a = int]],
  [[t.a = int; t.b = enum_type("e", { "x" }) { null = true }]],
  { "+ column t.b e" }, LITE)
case("enum as a check", USED:format [["a", "b"]], USED:format [["a", "b", "c"]],
  { "- check t.e_enum_a", "+ check t.e_enum_a" }, on(LITE, { whole = true }))

-- ---- views and objects -----------------------------------------------------

local TABLE = [[table("t", function(t) t.a = int; t.b = text { null = true } end) ]]

local function whole(name, before, after, expected, more)
  case(name, TABLE .. before, TABLE .. after, expected, on(more or {}, { whole = true }))
end

whole("view added", "", [[view("v", "SELECT a FROM t")]], { "+ view v" })
whole("view dropped", [[view("v", "SELECT a FROM t")]], "", { "- view v" }, { manage = "all" })
whole("view changed", [[view("v", "SELECT a FROM t")]], [[view("v", "SELECT a, b FROM t")]],
  { postgres = { "~ view v" }, sqlite = { "- view v", "+ view v" } })
whole("view with fewer columns", [[view("v", "SELECT a, b FROM t")]],
  [[view("v", "SELECT b FROM t")]],
  { postgres = { "~ view v" }, sqlite = { "- view v", "+ view v" } })
whole("view under another", [[view("v", "SELECT a, b FROM t") view("w", { after = "v" },
  "SELECT b FROM v")]], [[view("v", "SELECT b FROM t") view("w", { after = "v" },
  "SELECT b FROM v")]], { "- view w", "- view v", "+ view v", "+ view w" }, PG)
case("type under views", [[table("t", function(t) t.a = int; t.b = text end)
  view("v", "SELECT a FROM t") view("w", { after = "v" }, "SELECT a FROM v")]],
  [[table("t", function(t) t.a = bigint; t.b = text end)
  view("v", "SELECT a FROM t") view("w", { after = "v" }, "SELECT a FROM v")]],
  { "- view w", "- view v", "~ column t.a integer -> bigint", "+ view v", "+ view w" },
  on(PG, { whole = true }))
case("column renamed under a view", [[table("t", function(t) t.a = int end)
  view("v", "SELECT a FROM t")]], [[table("t", function(t) t.b = int { was = "a" } end)
  view("v", "SELECT b FROM t")]],
  { "- view v", "~ column t.a -> b  schema.lua:1 (was)", "+ view v" }, { whole = true })
whole("view on a view changed", [[view("v", "SELECT a, b FROM t") view("w", { after = "v" },
  "SELECT b FROM v")]], [[view("v", "SELECT a, b FROM t") view("w", { after = "v" },
  "SELECT a, b FROM v")]], { postgres = { "~ view w" }, sqlite = { "- view w", "+ view w" } })
whole("view without tables dropped", [[view("v", "SELECT 1 AS a")]], "", { "- view v" },
  { manage = "all" })
case("column renamed under views", [[table("t", function(t) t.a = int end)
  view("v", "SELECT a AS x FROM t") view("w", { after = "v" }, "SELECT x FROM v")]],
  [[table("t", function(t) t.b = int { was = "a" } end)
  view("v", "SELECT b AS x FROM t") view("w", { after = "v" }, "SELECT x FROM v")]],
  { "- view w", "- view v", "~ column t.a -> b  schema.lua:1 (was)", "+ view v", "+ view w" },
  { whole = true })
whole("view under its trigger", [[view("v", "SELECT a FROM t") trigger("g", { on = "v" },
  "CREATE TRIGGER g INSTEAD OF INSERT ON v BEGIN SELECT 1; END")]],
  [[view("v", "SELECT a, b FROM t") trigger("g", { on = "v" },
  "CREATE TRIGGER g INSTEAD OF INSERT ON v BEGIN SELECT 1; END")]],
  { "- trigger g", "- view v", "+ view v", "+ trigger g" }, LITE)
case("key under a foreign key", [[table("t", function(t) t.a = int { pk = true }; t.b = int end)
  table("u", function(t) t.a = int { ref = "t.a" } end)]],
  [[table("t", function(t) t.a = int { unique = true }; t.b = int { pk = true } end)
  table("u", function(t) t.a = int { ref = "t.a" } end)]],
  { "- key u.u_a_fkey", "~ key t primary key (b)", "+ unique t.t_a_key (a)",
    "+ key u.u_a_fkey (a) -> t(a)" }, on(PG, { whole = true }))
whole("materialized view", [[view("v", { materialized = true }, "SELECT a FROM t")]],
  [[view("v", { materialized = true }, "SELECT b FROM t")]], { "~ view v" }, PG)
whole("trigger", [[trigger("g", { on = "t" },
  "CREATE TRIGGER g AFTER INSERT ON t BEGIN DELETE FROM t WHERE a = 1; END")]],
  [[trigger("g", { on = "t" },
  "CREATE TRIGGER g AFTER INSERT ON t BEGIN DELETE FROM t WHERE a = 2; END")]],
  { "- trigger g", "+ trigger g" }, LITE)
whole("trigger and function", [[trigger("g", { on = "t" },
  "CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET NEW.a = 1")
  func("f", "CREATE FUNCTION f(n int) RETURNS int DETERMINISTIC RETURN n + 1")]], [[trigger("g",
  { on = "t" }, "CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET NEW.a = 2")
  func("f", "CREATE FUNCTION f(n int) RETURNS int DETERMINISTIC BEGIN DECLARE x int; " ..
  "SET x = n + 2; RETURN x; END")]], { "~ trigger g", "~ function f" }, MY)
whole("trigger dropped", [[trigger("g", { on = "t" },
  "CREATE TRIGGER g AFTER INSERT ON t BEGIN DELETE FROM t WHERE a = 1; END")]], "",
  { "- trigger g" }, LITE)

local FUNCTION = [[func("f()", "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS " ..
  "'BEGIN RETURN %s; END'") ]]
local TRIGGER = [[trigger("g", { on = "t", after = "f()" },
  "CREATE TRIGGER g %s ON t FOR EACH ROW EXECUTE FUNCTION f()")]]
whole("function and trigger added", "", FUNCTION:format "NEW" .. TRIGGER:format "BEFORE INSERT",
  { "+ function f()", "+ trigger g" }, PG)
whole("function changed", FUNCTION:format "NEW" .. TRIGGER:format "BEFORE INSERT",
  FUNCTION:format "NULL" .. TRIGGER:format "BEFORE INSERT", { "~ function f()" }, PG)
whole("trigger changed", FUNCTION:format "NEW" .. TRIGGER:format "BEFORE INSERT",
  FUNCTION:format "NEW" .. TRIGGER:format "BEFORE UPDATE", { "~ trigger g" }, PG)
whole("trigger and function dropped", FUNCTION:format "NEW" .. TRIGGER:format "BEFORE INSERT", "",
  { "- trigger g", "- function f()" }, on(PG, { manage = "all" }))
case("type under a trigger", [[table("t", function(t) t.a = int end)]]
  .. FUNCTION:format "NEW" .. TRIGGER:format "BEFORE UPDATE OF a",
  [[table("t", function(t) t.a = bigint end)]] .. FUNCTION:format "NEW"
  .. TRIGGER:format "BEFORE UPDATE OF a",
  { "- trigger g", "~ column t.a integer -> bigint", "+ trigger g" }, on(PG, { whole = true }))
whole("function that a default needs", "", [[func("n()",
  "CREATE FUNCTION n() RETURNS integer LANGUAGE sql AS 'SELECT 1'")
  table("u", function(t) t.a = int { default = sql "n()" } end)]],
  { "+ function n()", "+ table u 1 column" }, PG)
whole("domain", [[domain("d", { base = "integer", check = "value > 0" })]],
  [[domain("d", { base = "integer", check = "value > 1" })]], { "~ domain d" }, PG)
whole("domain of a column", "", [[domain("d", { base = "integer", check = "value > 0" })
  table("u", function(t) t.a = raw "d" end)]], { "+ domain d", "+ table u 1 column" }, PG)
whole("sequence", [[sequence("s", { start = 5 })]], [[sequence("s", { start = 5, increment = 2 })]],
  { "~ sequence s" }, PG)
local SERIAL = [[sequence("s", { type = "integer", owned_by = "u.id" })
  table("u", function(t) t.id = int { default = sql "nextval('s'::regclass)" }; t.x = int end)]]
whole("column with a sequence added", "", SERIAL,
  { "+ sequence s", "+ table u 2 columns", "~ sequence s" }, PG)
whole("column with a sequence dropped", SERIAL, [[table("u", function(t) t.x = int end)]],
  { "~ column u.id default nextval('s'::regclass) -> none", "- sequence s", "- column u.id" }, PG)
whole("table with a sequence dropped", SERIAL, "",
  { "~ column u.id default nextval('s'::regclass) -> none", "- sequence s", "- table u" },
  on(PG, { manage = "all" }))
whole("sequence made an identity", SERIAL,
  [[table("u", function(t) t.id = int { identity = true }; t.x = int end)]],
  { "~ column u.id default nextval('s'::regclass) -> none, identity none -> by default",
    "- sequence s" }, PG)
whole("composite type", "", [[schema_object { kind = "type", name = "c",
  sql = "CREATE TYPE c AS (x integer, y text)" }]], { "+ type c" }, PG)
whole("policy", "", [[schema_object { kind = "policy", name = "p", on = "t",
  sql = "CREATE POLICY p ON t USING (a > 0)" }]], { "+ policy p" }, PG)
whole("exclusion constraint", "", [[schema_object { kind = "exclusion", name = "x", on = "t",
  sql = "ALTER TABLE t ADD CONSTRAINT x EXCLUDE USING btree (a WITH =)" }]],
  { "+ exclusion x" }, PG)
whole("extension", "", [[extension "citext"]], { "+ extension citext" }, PG)
whole("schema", "", [[table("log", { schema = "audit" }, function(t)
  t.a = int { index = true } end)]],
  { "+ schema audit", "+ table audit.log 1 column" }, on(PG, { keeps_schema = true }))

-- ---- options ---------------------------------------------------------------

case("storage of a table", [[t.a = int]],
  [[t.a = int; t:on "postgres" { with = { fillfactor = 70 } }]],
  { "~ options t" }, PG)
case("unlogged", [[t.a = int]], [[t.a = int; t:on "postgres" { unlogged = true }]],
  { "~ options t" }, PG)
case("row security", [[t.a = int]], [[t.a = int; t:on "postgres" { row_security = true }]],
  { "~ options t" }, PG)
case("engine of a table", [[t.a = int; t:on "mysql" { engine = "InnoDB" }]],
  [[t.a = int; t:on "mysql" { engine = "Aria", row_format = "PAGE" }]], { "~ options t" }, MY)
case("collation of a table", [[t.a = varchar(9)]],
  [[t.a = varchar(9); t:on "mysql" { collation = "utf8mb4_general_ci" }]], { "~ options t" }, MY)
case("strict", [[t.a = int]],
  [[t.a = int; t:on "sqlite" { strict = true }]], { "~ options t" }, LITE)
case("without rowid", [[t.a = int { pk = true }]],
  [[t.a = int { pk = true }; t:on "sqlite" { without_rowid = true }]], { "~ options t" }, LITE)
case("autoincrement", [[t.a = bigint { identity = true, pk = true }]],
  [[t.a = bigint { identity = "always", pk = true }]],
  { "~ column t.a identity by default -> always" }, LITE)

-- ---- running them ----------------------------------------------------------

local function text_of(c, body)
  if c.whole then return body end
  return (c.parent and 'table("p", function(t) t.id = int { pk = true } end)' or "")
    .. 'table("t", function(t)\n' .. body .. "\nend)"
end

-- The operations, as they are after they were written into a file.
local function written(d, changes)
  local text = revision.text { id = "0a", message = "m", up = changes, dialect = d }
  return files.parse(text, "migration.lua").up
end

-- What is still different from a tree that the server has said before; it is asked again
-- only when its words for the same may be others.
local function left_to_do(db, tree, definitions, manage)
  local d = dialects.of(db)
  local live = d.inspect(db, { schemas = tree.schemas })
  local found = compare.trees(d, live, tree, { manage = manage, phase = "up" })
  if #found.changes == 0 then return {} end
  return support.lines(support.compare(db, definitions, { manage = manage }).changes)
end

local function check(db, c, expected)
  local d = dialects.of(db)
  local before, after = support.parse(text_of(c, c.before)), support.parse(text_of(c, c.after))
  support.create(db, before)
  local options = { manage = c.manage, rename = c.rename }
  local found = support.compare(db, after, options)
  assert.same(expected, support.lines(found.changes))
  local left = compare.verify(db, found.live, found.changes, found.wanted)
  assert.same({}, support.lines(left))
  local list = written(d, found.changes)
  support.apply(db, list)
  assert.same({}, left_to_do(db, found.wanted, after, c.manage))
  support.undo(db, list)
  assert.same({}, left_to_do(db, found.live, before, not c.keeps_schema and "all" or nil))
end

helper.for_each_db(function(database, open)
  describe("a change is found, applied and undone:", function()
    for _, c in ipairs(cases) do
      if (c.on == nil or c.on == database) and c[database] ~= false then
        it(c.name, function()
          helper.translate_scripts(false)
          local expected = c.expected
          check(open { max_size = 2 }, c, expected[database] or expected.postgres or expected)
        end)
      end
    end
  end)
end, { "sqlite", "postgres", "mysql" })

helper.for_each_db(function(_, open)
  local BEFORE = [[table("t", function(t) t.a = varchar(9) { check = "a in ('x', 'y')" }
    t.b = int end) view("v", "select a, b from t where a in ('x', 'y')")]]

  it("knows a check and a view that were restored from a dump", function()
    local db = open { max_size = 2 }
    local definitions = support.parse(BEFORE)
    support.create(db, definitions)
    local again = db:value "select pg_get_viewdef('v'::regclass)"
    local constraint = db:value("select pg_get_constraintdef(oid) from pg_constraint "
      .. "where conname = 't_a_check'")
    db:script("drop view v; create view v as " .. again
      .. "; alter table t drop constraint t_a_check; alter table t add constraint t_a_check "
      .. constraint)
    assert.not_equal(again, db:value "select pg_get_viewdef('v'::regclass)")
    assert.same({}, support.lines(support.compare(db, definitions).changes))
  end)

  it("keeps a view that the definitions do not know", function()
    local db = open { max_size = 2 }
    support.create(db, support.parse(BEFORE))
    db:script "create view mine as select b from t; insert into t values ('x', 1)"
    local after = support.parse((BEFORE:gsub("t.b = int", "t.b = bigint")))
    local found = support.compare(db, after)
    assert.same({ "- view v", "- view mine", "~ column t.b integer -> bigint", "+ view mine",
      "+ view v" }, support.lines(found.changes))
    assert.same({}, support.lines(compare.verify(db, found.live, found.changes, found.wanted)))
    support.apply(db, found.changes)
    assert.equal(1, db:value "select b from mine")
    assert.same({}, support.lines(support.compare(db, after).changes))
  end)
end, { "postgres" })
