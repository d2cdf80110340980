-- Asking PostgreSQL: the locks, scans and rewrites of statements, against what is known of
-- them; and what lint makes of the answers.
local helper = require "spec.support.helper"
local dialect = require "perigee.dialect"
local files = require "perigee.migrate.files"
local lint = require "perigee.migrate.lint"
local perigee = require "perigee"
local schema = require "perigee.schema"

local AE, SRE, SUE = "AccessExclusiveLock", "ShareRowExclusiveLock", "ShareUpdateExclusiveLock"
local SH = "ShareLock"

local TABLES = [[
table("p", function(t) t.id = bigint { pk = true } end)
table("t", function(t)
  t.id = bigint { pk = true }
  t.a = int { null = true }
  t.b = int { null = true, check = "b IS NOT NULL" }
  t.c = int { null = true, ref = "p.id" }
  t.v = varchar(10) { null = true }
  t.m = numeric(8,2) { null = true }
  t.d = timestamp { null = true }
  t:index { "a", name = "t_a_idx" }
  t:index { "b", name = "t_b_idx", unique = true }
end)
]]

-- { statement, { table = lock }, what else happens: rewrite (of t), scan, build, first = a
-- statement before it }
local STATEMENTS = {
  { "ALTER TABLE t ADD x int DEFAULT 5", { t = AE } },
  { "ALTER TABLE t ADD x timestamptz DEFAULT now()", { t = AE } },
  { "ALTER TABLE t ADD x float8 DEFAULT random()", { t = AE }, rewrite = true },
  { "ALTER TABLE t ADD x int GENERATED ALWAYS AS (a * 2) STORED", { t = AE }, rewrite = true },
  { "ALTER TABLE t ADD x int GENERATED ALWAYS AS IDENTITY", { t = AE }, rewrite = true },
  { "ALTER TABLE t ADD x bigserial", { t = AE }, rewrite = true },
  { "ALTER TABLE t ADD x bigint REFERENCES p", { t = AE, p = SRE } },
  { "ALTER TABLE t ADD x int CHECK (x > 0)", { t = AE }, scan = true },
  { "ALTER TABLE t ADD x int UNIQUE", { t = AE }, scan = true, build = true },
  { "ALTER TABLE t ALTER a TYPE bigint", { t = AE }, rewrite = true },
  { "ALTER TABLE t ALTER c TYPE bigint", { t = AE, p = AE }, rewrite = true },
  { "ALTER TABLE t ALTER v TYPE varchar(5)", { t = AE }, rewrite = true },
  { "ALTER TABLE t ALTER v TYPE varchar(20)", { t = AE } },
  { "ALTER TABLE t ALTER v TYPE text", { t = AE } },
  { "ALTER TABLE t ALTER m TYPE numeric(12,2)", { t = AE } },
  { "ALTER TABLE t ALTER m TYPE numeric", { t = AE } },
  { "ALTER TABLE t ALTER m TYPE numeric(12,3)", { t = AE }, rewrite = true },
  { "ALTER TABLE t ALTER d TYPE timestamptz", { t = AE }, first = "SET LOCAL TimeZone = 'UTC'" },
  { "ALTER TABLE t ALTER d TYPE timestamptz", { t = AE }, rewrite = true,
    first = "SET LOCAL TimeZone = 'Europe/Berlin'" },
  { "ALTER TABLE t ALTER a SET NOT NULL", { t = AE }, scan = true },
  { "ALTER TABLE t ALTER b SET NOT NULL", { t = AE } },
  { "ALTER TABLE t ALTER b SET NOT NULL, DROP CONSTRAINT t_b_check", { t = AE }, scan = true },
  { "ALTER TABLE t ALTER id DROP DEFAULT", { t = AE } },
  { "ALTER TABLE t ALTER a SET DEFAULT 3", { t = AE } },
  { "ALTER TABLE t ALTER a DROP NOT NULL", { t = AE } },
  { "ALTER TABLE t DROP a", { t = AE } },
  { "ALTER TABLE t RENAME a TO x", { t = AE } },
  { "ALTER TABLE t RENAME TO x", { t = AE } },
  { "ALTER TABLE t ADD CHECK (a > 0)", { t = AE }, scan = true },
  { "ALTER TABLE t ADD CHECK (a > 0) NOT VALID", { t = AE } },
  { "ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES p", { t = SRE, p = SRE }, scan = true },
  { "ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES p NOT VALID", { t = SRE, p = SRE } },
  { "ALTER TABLE t DROP CONSTRAINT t_c_fkey", { t = AE, p = AE } },
  { "ALTER TABLE p ADD x int; ALTER TABLE p ADD UNIQUE (x)", { p = AE }, build = true,
    scan = "p" },
  { "ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (a)", { t = AE }, scan = true,
    build = true },
  { "ALTER TABLE t ADD UNIQUE USING INDEX t_b_idx", { t = AE } },
  { "ALTER TABLE t ADD EXCLUDE USING btree (a WITH =)", { t = AE }, scan = true, build = true },
  { "CREATE INDEX x ON t (c)", { t = SH }, scan = true, build = true },
  { "DROP INDEX t_a_idx", { t = AE, t_a_idx = AE } },
  { "REINDEX TABLE t", { t = SH, t_a_idx = AE }, scan = true, build = true },
  { "CREATE TABLE x (a bigint REFERENCES p)", { p = SRE } },
  { "DROP TABLE t", { t = AE, p = AE } },
  { "CREATE TRIGGER x BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION "
    .. "suppress_redundant_updates_trigger()", { t = SRE } },
  { "ALTER TABLE t DISABLE TRIGGER USER", { t = SRE } },
  { "ALTER TABLE t SET (fillfactor = 80)", { t = SUE } },
  { "ALTER TABLE t ALTER a SET STATISTICS 50", { t = SUE } },
  { "COMMENT ON TABLE t IS 'x'", { t = SUE } },
  { "CREATE STATISTICS pg_temp.x ON a, b FROM t", { t = SUE } },
  { "TRUNCATE t", { t = AE }, rewrite = true }, -- a new file
  { "CLUSTER t USING t_a_idx", { t = AE }, rewrite = true },
}

local function tree_of(text)
  return schema.parse(text, { name = "schema.lua" }).tree
end

local function with_db(fn)
  helper.for_each_db(function(_, open) fn(open) end, { "postgres" })
end

with_db(function(open)
  local D = dialect.named "postgres"

  describe("measured", function()
    -- The tables that may be locked: nothing else is, not even to read.
    local function locks_of(facts, wanted)
      local locks = {}
      for name in pairs(wanted) do locks[name] = facts.locks[name] end
      return locks
    end

    it("locks, scans and rewrites are those that are known", function()
      local db, tree = open(), tree_of(TABLES)
      D.measure(db, function(space)
        for _, case in ipairs(STATEMENTS) do
          local sql = (case.first and case.first .. "; " or "") .. case[1]
          local list, why = space:facts(tree, { { sql = sql } })
          assert.is_nil(why, sql)
          local facts = list[1]
          assert.same(case[2], locks_of(facts, case[2]), sql)
          assert.equal(case.rewrite or false, facts.rewrites.t or false, sql)
          local scanned = case.scan == true and "t" or case.scan or "t"
          if not case.rewrite then
            assert.equal(case.scan ~= nil, facts.scans[scanned] ~= nil, sql)
          end
          if case.build then assert.is_truthy(next(facts.builds), sql) end
          if not case.build and not case.rewrite then
            assert.same({}, facts.builds, sql)
          end
        end
      end)
    end)

    it("what the server says at DEBUG1 agrees", function()
      local said = {}
      local db = helper.open(os.getenv "PERIGEE_TEST_POSTGRES", { max_size = 1,
        on_notice = function(n) said[#said + 1] = n.message end })
      local tree = tree_of(TABLES)
      D.measure(db, function(space)
        for _, case in ipairs(STATEMENTS) do
          said = {}
          local sql = "SET LOCAL client_min_messages = debug1; "
            .. (case.first and case.first .. "; " or "") .. case[1]
          local facts = assert(space:facts(tree, { { sql = sql } }))[1]
          local all = table.concat(said, "\n")
          if case[1]:find "^ALTER TABLE t" then
            local rewrites = all:find('rewriting table "t"', 1, true) ~= nil
            assert.equal(rewrites, facts.rewrites.t or false, case[1] .. "\n" .. all)
            local scans = rewrites or all:find('verifying table "t"', 1, true) ~= nil
              or all:find("validating foreign key constraint", 1, true) ~= nil
              or all:find('building index "[^"]*" on table "t"') ~= nil
            assert.equal(scans, facts.scans.t ~= nil, case[1] .. "\n" .. all)
          end
        end
      end)
    end)

    it("VALIDATE lets others read and write", function()
      D.measure(open(), function(space)
        local facts = assert(space:facts(tree_of(TABLES), {
          { sql = "ALTER TABLE t ADD CONSTRAINT x CHECK (a > 0) NOT VALID", keep = true },
          { sql = "ALTER TABLE t VALIDATE CONSTRAINT x" },
        }))
        assert.same({ t = SUE }, facts[2].scans)
        assert.equal(SUE, facts[2].locks.t)
      end)
    end)

    it("nothing is left, whatever happens", function()
      local db = open()
      db:script "CREATE TABLE t (id int)"
      local tree = tree_of('enum "e" { "x" }\n' .. TABLES
        .. 'table("w", function(t) t.id = bigint { pk = true } t.e = e end)')
      db:connection(function(conn)
        conn:script [[CREATE TEMP TABLE mine (id int);
          CREATE TYPE pg_temp.kind AS ENUM ('a')]]
        D.measure(conn, function(space)
          assert.is_table(space:facts(tree, { { sql = "DROP TABLE t", keep = true } }))
          local list, why = space:facts(tree, { { sql = "ALTER TABLE t ADD x nonsense" } })
          assert.is_nil(list)
          assert.is_truthy(why:find("nonsense", 1, true))
        end)
        assert.is_false(pcall(D.measure, conn, function() error "stop" end))
        assert.equal("mine", conn:value [[SELECT string_agg(relname, ',') FROM pg_class
          WHERE relnamespace = pg_my_temp_schema()]])
        assert.equal("kind", conn:value [[SELECT string_agg(typname, ',') FROM pg_type
          WHERE typnamespace = pg_my_temp_schema() AND typtype = 'e']])
      end)
      assert.equal(1, db:value "SELECT count(*)::int4 FROM pg_class WHERE relname = 't'")
    end)

    it("changes nothing but the copies", function()
      local db = open()
      db:script "CREATE TABLE other (id int); CREATE INDEX other_idx ON other (id)"
      D.measure(db, function(space)
        for _, sql in ipairs {
          "ALTER TABLE other ADD x int", "DROP INDEX other_idx", "INSERT INTO other VALUES (1)",
          "DROP TABLE t; TRUNCATE other", "CREATE INDEX x ON other (id)", "DROP TABLE other",
        } do
          local list, why = space:facts(tree_of(TABLES), { { sql = sql, keep = true } })
          assert.is_nil(list, sql)
          assert.is_truthy(why:find("changes other", 1, true), why)
        end
      end)
      assert.equal("id", db:value [[SELECT string_agg(attname, ',') FROM pg_attribute
        WHERE attrelid = 'other'::regclass AND attnum > 0]])
      assert.equal(1, db:value [[SELECT count(*)::int4 FROM pg_index
        WHERE indrelid = 'other'::regclass]])
      assert.equal(0, db:value "SELECT count(*)::int4 FROM other")
    end)

    it("takes one connection", function()
      local db = open { max_size = 1, acquire_timeout = 2 }
      db:script "CREATE TABLE t (a int)"
      local m = files.parse([[return migration { id = "a", down = false, up = function(m)
        m:alter_column("t", "a", { type = bigint }) end }]], "m.lua")
      assert.equal(1, lint.run({ m }, { dialect = D, x = db }).errors)
    end)

    it("is not for a transaction", function()
      open():transaction(function(tx)
        local ok, err = pcall(D.measure, tx, function() end)
        assert.is_false(ok)
        assert.equal("usage", err.kind)
      end)
    end)
  end)

  describe("lint with a server", function()
    local function prepared()
      local db = open()
      db:script [[
        DROP SCHEMA public CASCADE; CREATE SCHEMA public;
        CREATE TYPE status AS ENUM ('new', 'paid');
        CREATE TABLE customers (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, email text);
        CREATE TABLE orders (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
          customer_id bigint REFERENCES customers, s status NOT NULL DEFAULT 'new',
          total numeric(10,2), n int NOT NULL, at timestamp);
        INSERT INTO orders (n) SELECT i FROM generate_series(1, 1500) i;
        ANALYZE orders]]
      return db
    end

    local function look(db, body, more)
      local m = files.parse(("return migration { id = 'a', up = function(m)\n%s\nend, "
        .. "down = false }"):format(body), "m.lua")
      local o = { dialect = D, x = db }
      for k, v in pairs(more or {}) do o[k] = v end
      local r, rules = lint.run({ m }, o), {}
      for _, f in ipairs(r.findings) do rules[f.rule] = f end
      return rules, r
    end

    it("tells how large a table is that is written anew", function()
      local found = look(prepared(), [[m:alter_column("orders", "n", { type = bigint })]])
      assert.is_truthy(found["change-type-rewrite"].message:find(
        "^orders%.n: integer to bigint: the table is written anew %(1%.5 thousand rows, %d+ kB%)$"))
      assert.is_nil(found["table-rewrite"])
    end)

    it("is silent where the server has nothing to do", function()
      local db = prepared()
      local body = [[m:add_column("orders", "r", float8 { default = sql "sqrt(2)" })]]
      assert.is_nil(look(db, body)["volatile-default"])
      assert.is_truthy(look(nil, body)["volatile-default"])
      db:script "ALTER TABLE orders ADD CHECK (total IS NOT NULL) NOT VALID"
      body = [[m:sql "ALTER TABLE public.orders ALTER total SET NOT NULL"]]
      assert.is_truthy(look(db, body)["set-not-null"])
      db:script [[UPDATE orders SET total = 0;
        ALTER TABLE orders VALIDATE CONSTRAINT orders_total_check]]
      assert.is_nil(look(db, body)["set-not-null"])
    end)

    it("tells what no rule knows", function()
      local found = look(prepared(), [[m:sql [=[
        ALTER TABLE orders ALTER at TYPE timestamp USING at + interval '1 day';
        ALTER TABLE orders ALTER id SET GENERATED ALWAYS;
      ]=] m:alter_column("orders", "at", { type = timestamp, using = "at + interval '1 day'" })]])
      assert.is_truthy(found["table-rewrite"].message:find(
        "^orders is written anew, the server says %(1%.5 thousand rows"))
      found = look(prepared(), [[m:allow("set-not-null", "small")
        m:sql "ALTER TABLE orders ALTER at SET NOT NULL"]])
      assert.is_nil(found["table-scan"]) -- told, and allowed
      found = look(prepared(), [[m:set_primary_key("orders", { "n", "total",
        was = { "id", name = "orders_pkey" } })]])
      assert.is_truthy(found["table-scan"]) -- total is checked for NULL
    end)

    it("changes of Perigee's own way keep nobody waiting", function()
      local db = prepared()
      for _, body in ipairs {
        [[m:alter_column("orders", "total", { null = false })]],
        [[m:add_check("orders", "c", "n > 0")]],
        [[m:add_foreign_key("orders", { "n", ref = "customers(id)", name = "f" })]],
        [[m:add_index("orders", { "n" })]],
        [[m:add_unique("orders", { "n" })]],
        [[m:add_column("orders", "x", text { null = true, unique = true, check = "x <> ''" })]],
      } do
        local found = look(db, body)
        assert.is_nil(found["table-scan"], body)
        assert.is_nil(found["table-rewrite"], body)
        local blocking = look(db, body, { online = false })
        assert.is_truthy(blocking["set-not-null"] or blocking["check-validating"]
          or blocking["fk-validating"] or blocking["index-not-concurrent"]
          or blocking["unique-by-constraint"], body)
      end
    end)

    it("leaves the tables alone", function()
      local db = prepared()
      look(db, [[m:sql "ALTER TABLE orders DROP n" m:drop_column("orders", "at")
        m:sql "ALTER TABLE public.orders ADD x int; ALTER TABLE orders ADD y int"]])
      assert.equal("id,customer_id,s,total,n,at", db:value [[SELECT string_agg(attname, ','
        ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'orders'::regclass AND attnum > 0]])
      assert.equal(0, db:value [[SELECT count(*)::int4 FROM pg_class
        WHERE relnamespace = pg_my_temp_schema()]])
    end)

    it("goes on without the right to temporary tables, and says so", function()
      local db = prepared()
      db:script [[DO $$ BEGIN CREATE ROLE lint_reader LOGIN; EXCEPTION WHEN duplicate_object
        THEN NULL; END $$; GRANT USAGE ON SCHEMA public TO lint_reader]]
      local name = db:value "SELECT quote_ident(current_database())"
      db:script("REVOKE TEMP ON DATABASE " .. name .. " FROM PUBLIC")
      local url = perigee.url(os.getenv "PERIGEE_TEST_POSTGRES"):with { user = "lint_reader" }
      local other = helper.open(url, { max_size = 1 })
      local ok, found, r = pcall(look, other, [[m:alter_column("orders", "n", { type = bigint })]])
      db:script("GRANT TEMP ON DATABASE " .. name .. " TO PUBLIC")
      assert.is_true(ok, tostring(found))
      assert.is_truthy(found["change-type-rewrite"])
      assert.equal(1, #r.notes)
      assert.is_truthy(r.notes[1]:find("the server was not asked", 1, true))
    end)
  end)
end)
