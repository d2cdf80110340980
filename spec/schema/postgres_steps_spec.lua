-- The steps of every operation, run on a real table: what is there afterwards, and the
-- forms that leave a table in use.
local helper = require "spec.support.helper"
local dialect = require "perigee.dialect"

local D = dialect.named "postgres"

local function ty(name, ...) return { name = name, args = { ... } } end

-- Runs the steps of operations as the runtime does; gives their SQL.
local function run(db, ops, ctx)
  local out = {}
  for _, op in ipairs(ops) do
    for _, step in ipairs(D.steps(op, ctx or { online = true })) do
      for _, sql in ipairs(step.before or {}) do db:script(sql) end
      if step.fn then
        db:transaction(function(tx) step.fn(tx) end)
      else
        db:script(step.sql)
      end
      if step.probe then assert.is_true(db:value(step.probe.sql), step.sql) end
      out[#out + 1] = step.sql
    end
  end
  return out
end

local function find(list, name)
  for _, e in ipairs(list) do
    if e.name == name then return e end
  end
end

local function table_of(db, name) return find(D.inspect(db).tables, name) end

local function column(db, name) return find(table_of(db, "t").columns, name) end

local function on(op, fields)
  fields.op, fields.table = op, fields.table or "t"
  return fields
end

helper.for_each_db(function(_, open)
  describe("steps", function()
    local db

    before_each(function()
      db = open()
      db:script [[
        drop schema if exists crm cascade;
        create type st as enum ('a', 'b');
        create table p (id bigint constraint p_pkey primary key);
        create table t (id serial constraint t_pkey primary key, n text, k int, s st,
          note varchar(20) default 'x', g int generated always as (id * 2) stored);
        insert into p values (1);
        insert into t (n, k, s) values ('1', 1, 'a'), ('2', null, 'b')]]
    end)

    it("add a column, change its type and default, drop it", function()
      run(db, {
        on("add_column", { column = { name = "total", type = ty("numeric", 10, 2), null = false,
          default = { value = 0 }, comment = "it's" } }),
        on("rename_column", { name = "total", to = "sum" }),
        on("alter_column", { name = "sum", set = { type = ty("numeric", 12, 2),
          default = { none = true }, comment = { none = true } },
          was = { type = ty("numeric", 10, 2) } }),
      })
      assert.same({ name = "sum", type = { raw = "numeric(12,2)" }, null = false },
        column(db, "sum"))
      run(db, { on("drop_column", { name = "sum" }) })
      assert.is_nil(column(db, "sum"))
    end)

    it("convert with USING only where it is needed", function()
      local sqls = run(db, {
        on("alter_column", { name = "n", set = { type = ty "int" }, was = { type = ty "text" } }),
        on("alter_column", { name = "note", set = { type = ty "text" },
          was = { type = ty("varchar", 20) } }),
        on("alter_column", { name = "k", set = { type = ty "boolean" }, using = "k > 0" }),
      })
      assert.equal('ALTER TABLE "t" ALTER COLUMN "n" TYPE integer USING "n"::integer', sqls[1])
      assert.equal('ALTER TABLE "t" ALTER COLUMN "note" TYPE text', sqls[2])
      assert.same({ { n = 1, k = true }, { n = 2 } },
        { db:first "select n, k from t where n = 1", db:first "select n, k from t where n = 2" })
    end)

    it("turn a text into an enum and an enum into another", function()
      db:script [[alter table t add status text not null default 'a';
        create type other as enum ('b', 'a')]]
      local enum = { enum = "st", values = { "a", "b" } }
      run(db, {
        on("alter_column", { name = "status", set = { type = enum, default = { value = "b" } },
          was = { type = ty "text", default = { value = "a" } } }),
        on("alter_column", { name = "s", set = { type = { enum = "other", values = {} } },
          was = { type = enum } }),
      })
      assert.same({ sql = "'b'::st" }, column(db, "status").default)
      assert.equal("other", column(db, "s").type.enum)
      assert.equal("b", db:value "select s from t where n = '2'")
    end)

    it("set NOT NULL by way of a check, and drop it", function()
      db:script "update t set k = 0"
      local sqls = run(db, { on("alter_column", { name = "k", set = { null = false } }) })
      assert.same({
        'ALTER TABLE "t" ADD CONSTRAINT "perigee_not_null_k" CHECK ("k" IS NOT NULL) NOT VALID',
        'ALTER TABLE "t" VALIDATE CONSTRAINT "perigee_not_null_k"',
        'ALTER TABLE "t" ALTER COLUMN "k" SET NOT NULL',
        'ALTER TABLE "t" DROP CONSTRAINT "perigee_not_null_k"',
      }, sqls)
      assert.is_false(column(db, "k").null)
      assert.same({}, table_of(db, "t").checks)
      run(db, { on("alter_column", { name = "k", set = { null = true } }) })
      assert.is_true(column(db, "k").null)
      assert.equal(1, #D.steps(on("alter_column", { name = "k", set = { null = false } }),
        { online = true, fresh = { t = true } }))
    end)

    it("make an identity of a serial, change and drop it", function()
      run(db, {
        on("alter_column", { name = "id", set = { default = { none = true } },
          was = { default = { sql = "nextval('t_id_seq'::regclass)" } } }),
        { op = "drop_object", kind = "sequence", name = "t_id_seq" },
        on("alter_column", { name = "id", set = { identity = {} } }),
      })
      assert.same({ always = false }, column(db, "id").identity)
      assert.equal(3, db:value "insert into t (n) values ('3') returning id")
      run(db, {
        on("alter_column", { name = "id", set = { identity = { always = true, increment = 10,
          cache = 5 } }, was = { identity = {} } }),
      })
      assert.same({ always = true, increment = 10, cache = 5 }, column(db, "id").identity)
      run(db, {
        on("alter_column", { name = "id", set = { identity = { always = true } },
          was = { identity = { always = true, increment = 10, cache = 5 } } }),
      })
      assert.same({ always = true }, column(db, "id").identity)
      run(db, { on("alter_column", { name = "id", set = { identity = { none = true } },
        was = { identity = { always = true } } }) })
      assert.is_nil(column(db, "id").identity)
    end)

    it("change the expression of a generated column with what hangs on it", function()
      db:script [[create index t_g_idx on t (g); comment on column t.g is 'twice';
        alter table t add constraint g_small check (g < 100)]]
      run(db, { on("alter_column", { name = "g", set = { generated = { sql = "id * 3",
        stored = true } }, was = { generated = { sql = "id * 2", stored = true } } }) })
      assert.same({ name = "g", type = { raw = "integer" }, null = true, comment = "twice",
        generated = { sql = "id * 3", stored = true } }, column(db, "g"))
      assert.is_table(find(table_of(db, "t").indexes, "t_g_idx"))
      assert.is_table(find(table_of(db, "t").checks, "g_small"))
      assert.equal(6, db:value "select g from t where id = 2")
      run(db, { on("alter_column", { name = "g", set = { generated = { none = true } } }) })
      assert.is_nil(column(db, "g").generated)
      assert.equal(6, db:value "select g from t where id = 2")
    end)

    it("add checks and foreign keys NOT VALID first", function()
      local ops = {
        on("add_check", { check = { name = "k_positive", sql = "k > 0" } }),
        on("add_foreign_key", { key = { name = "t_k_fkey", columns = { "k" },
          ref = { table = "p", columns = { "id" } }, on_delete = "set null" } }),
      }
      local sqls = run(db, ops)
      assert.same({
        'ALTER TABLE "t" ADD CONSTRAINT "k_positive" CHECK (k > 0) NOT VALID',
        'ALTER TABLE "t" VALIDATE CONSTRAINT "k_positive"',
        'ALTER TABLE "t" ADD CONSTRAINT "t_k_fkey" FOREIGN KEY ("k") REFERENCES "p" ("id") '
          .. 'ON DELETE SET NULL NOT VALID',
        'ALTER TABLE "t" VALIDATE CONSTRAINT "t_k_fkey"',
      }, sqls)
      assert.is_true(D.steps(ops[1], { online = true })[2].own)
      assert.same({ { name = "k_positive", sql = "k > 0" } }, table_of(db, "t").checks)
      assert.equal("set null", table_of(db, "t").foreign_keys[1].on_delete)
      run(db, {
        on("rename_constraint", { name = "k_positive", to = "kp" }),
        on("drop_check", { name = "kp" }), on("drop_foreign_key", { name = "t_k_fkey" }),
        on("add_check", { check = { name = "c", sql = "k < 9", valid = false } }),
      })
      assert.same({ { name = "c", sql = "k < 9", valid = false } }, table_of(db, "t").checks)
      run(db, { on("validate", { name = "c" }) })
      assert.is_nil(table_of(db, "t").checks[1].valid)
      assert.same({}, table_of(db, "t").foreign_keys)
    end)

    it("build indexes concurrently, over an invalid leftover", function()
      db:script "insert into t (n) values ('1')"
      local index = { name = "t_n_idx", keys = { { column = "n" } }, unique = true }
      local op = on("add_index", { index = index })
      local step = D.steps(op, { online = true })[1]
      assert.is_false(step.tx)
      local ok, err = pcall(db.script, db, step.sql)
      assert.is_false(ok)
      assert.equal("unique", err.kind)
      assert.is_false(db:value(step.probe.sql))
      assert.is_false(table_of(db, "t").indexes[1].valid)
      db:script "delete from t where id = 3"
      run(db, { op })
      assert.same({ index }, table_of(db, "t").indexes)
      run(db, { op and on("rename_index", { name = "t_n_idx", to = "i2" }),
        on("drop_index", { name = "i2" }) })
      assert.same({}, table_of(db, "t").indexes)
    end)

    it("do not drop a valid index that has the name", function()
      db:script "create index t_n_idx on t (k)"
      local ok, err = pcall(run, db, {
        on("add_index", { index = { name = "t_n_idx", keys = { { column = "n" } } } }) })
      assert.is_false(ok)
      assert.equal("duplicate", err.kind)
    end)

    it("make unique and primary keys of indexes", function()
      run(db, {
        on("add_unique", { key = { name = "t_n_key", columns = { "n" }, deferrable = true } }),
        on("set_primary_key", { key = { name = "t_pkey", columns = { "id", "n" } },
          was = { name = "t_pkey", columns = { "id" } } }),
      })
      local t = table_of(db, "t")
      assert.same({ { name = "t_n_key", columns = { "n" }, deferrable = true } }, t.uniques)
      assert.same({ name = "t_pkey", columns = { "id", "n" } }, t.primary_key)
      assert.same({}, t.indexes)
      run(db, { on("drop_unique", { name = "t_n_key" }), on("drop_primary_key", {}) })
      assert.is_nil(table_of(db, "t").primary_key)
      run(db, { on("set_primary_key", { key = { name = "pk", columns = { "id" } } }) },
        { online = false })
      assert.equal("pk", table_of(db, "t").primary_key.name)
    end)

    it("leave partitioned tables their plain forms", function()
      db:script "create table parts (d date) partition by range (d)"
      local ctx = { online = true, partitioned = D.partitioned(db) }
      run(db, {
        on("add_index", { table = "parts", index = { name = "pi", keys = { { column = "d" } } } }),
        on("add_unique", { table = "parts", key = { name = "pu", columns = { "d" } } }),
      }, ctx)
      local t = table_of(db, "parts")
      assert.equal("RANGE (d)", t.options.postgres.partition_by)
      assert.equal("pi", t.indexes[1].name)
      assert.equal("pu", t.uniques[1].name)
    end)

    it("add, rename, remove and reorder values of enums", function()
      db:script [[alter table t alter s set default 'a'; alter table t add ss st[] default '{a}';
        alter table t add constraint s_known check (s <> 'b' or k is null);
        create index t_s_idx on t (s) where s = 'a'; create index t_s2_idx on t (s)]]
      run(db, {
        { op = "add_enum_value", name = "st", value = "it's", before = "b" },
        { op = "rename_enum_value", name = "st", from = "it's", to = "c" },
      })
      assert.same({ "a", "c", "b" }, D.inspect(db).enums[1].values)
      run(db, { { op = "set_enum_values", name = "st", values = { "b", "a" },
        was = { "a", "c", "b" } } })
      local t = table_of(db, "t")
      assert.same({ "b", "a" }, D.inspect(db).enums[1].values)
      assert.same({ sql = "'a'::st" }, column(db, "s").default)
      assert.equal(1, column(db, "ss").type.array)
      assert.same({ "s = 'a'::st", "t_s2_idx" }, { find(t.indexes, "t_s_idx").where,
        find(t.indexes, "t_s2_idx").name })
      assert.equal("s <> 'b'::st OR k IS NULL",
        (find(t.checks, "s_known").sql:gsub("[()]", "")))
      local ok, err = pcall(run, db, { { op = "set_enum_values", name = "st",
        values = { "b" } } })
      assert.is_false(ok)
      assert.equal("data", err.kind)
      assert.same({ "b", "a" }, D.inspect(db).enums[1].values)
    end)

    it("create, rename and drop tables and enums", function()
      run(db, {
        { op = "create_schema", name = "crm" },
        { op = "create_enum", schema = "crm", name = "kind", values = { "x" } },
        { op = "create_table", table = { schema = "crm", name = "a", columns = {
          { name = "id", type = ty "bigint", identity = true },
          { name = "t_id", type = ty "int", null = true },
          { name = "k", type = { enum = "kind", schema = "crm", values = { "x" } } },
        }, indexes = { { name = "a_k_idx", keys = { { column = "k", desc = true } } } },
          foreign_keys = { { name = "a_t_id_fkey", columns = { "t_id" },
            ref = { table = "t", columns = { "id" } } } } } },
        { op = "rename_table", schema = "crm", name = "a", to = "b" },
      })
      local tree = D.inspect(db, { schemas = { "crm" } })
      assert.same({ "crm" }, tree.schemas)
      local t = find(tree.tables, "b")
      assert.equal("crm", t.schema)
      assert.same({ { name = "a_k_idx", keys = { { column = "k", desc = true } } } }, t.indexes)
      assert.same({ table = "t", columns = { "id" } }, t.foreign_keys[1].ref)
      run(db, { { op = "drop_table", schema = "crm", name = "b" },
        { op = "drop_enum", schema = "crm", name = "kind" },
        { op = "drop_schema", name = "crm" } })
      assert.same({}, D.inspect(db, { schemas = { "crm" } }).schemas)
    end)

    it("set comments and options", function()
      run(db, {
        on("set_comment", { text = "a 'table'" }), on("set_comment", { column = "n", text = "n" }),
        { op = "set_comment", kind = "enum", name = "st", text = "values" },
        on("set_options", { options = { postgres = { with = { fillfactor = 80 },
          row_security = true } }, was = {} }),
      })
      local t = table_of(db, "t")
      assert.same({ "a 'table'", "n", "values" },
        { t.comment, column(db, "n").comment, D.inspect(db).enums[1].comment })
      assert.same({ with = { fillfactor = "80" }, row_security = true }, t.options.postgres)
      run(db, { on("set_options", { options = {}, was = t.options }),
        on("set_comment", { was = "x" }) })
      t = table_of(db, "t")
      assert.same({}, t.options)
      assert.is_nil(t.comment)
    end)

    it("replace views in place where the columns allow it", function()
      local function view(sql, with) return { name = "v", sql = sql, with = with } end
      run(db, { { op = "create_view",
        view = view("select id from t", { security_barrier = true }) } })
      local oid = db:value "select 'v'::regclass::oid::text"
      run(db, { { op = "replace_view", view = view "select id, n from t",
        was = view("select id from t", { security_barrier = "true" }) } })
      assert.equal(oid, db:value "select 'v'::regclass::oid::text")
      assert.is_nil(D.inspect(db).views[1].with)
      run(db, { { op = "replace_view", view = view "select n from t", was = view "" } })
      assert.equal("SELECT t.n\n   FROM t", D.inspect(db).views[1].sql)
      run(db, {
        { op = "replace_view", view = { name = "v", sql = "select n from t;",
          materialized = true }, was = view "" },
        { op = "drop_view", name = "v", was = { materialized = true } },
      })
      assert.same({}, D.inspect(db).views)
    end)

    it("replace functions, triggers, domains and sequences", function()
      local function object(kind, name, sql, on_table)
        return { kind = kind, name = name, sql = sql, on = on_table }
      end
      local function change(o, sql)
        local new = object(o.kind, o.name, sql, o.on)
        run(db, { { op = "replace_object", object = new, was = o } })
        return new
      end
      local function sql_of(kind, name)
        for _, o in ipairs(D.inspect(db).objects) do
          if o.kind == kind and o.name == name then return o.sql end
        end
      end
      local f = object("function", "f(integer)",
        "create function f(a integer) returns int language sql as 'select 1'")
      run(db, { { op = "create_object", object = f } })
      f = change(f, "create function f(a integer) returns int language sql as 'select 2'")
      assert.equal(2, db:value "select f(1)")
      change(f, "create function f(a integer) returns text language sql as $$ select 'x' $$")
      assert.equal("x", db:value "select f(1)")
      db:script [[create function tf() returns trigger language plpgsql as
        'begin return new; end']]
      local t = object("trigger", "tr",
        "create trigger tr before insert on t for each row execute function tf()", "t")
      run(db, { { op = "create_object", object = t } })
      change(t, "create trigger tr after insert on t for each row execute function tf()")
      assert.equal("CREATE TRIGGER tr AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION tf()",
        sql_of("trigger", "tr"))
      local d = object("domain", "pos", "create domain pos as int check (value > 0)")
      run(db, { { op = "create_object", object = d } })
      db:script "alter table t add amount pos default 1"
      change(d, "create domain pos as integer default 1 not null "
        .. "constraint small check (value < 9)")
      assert.equal("CREATE DOMAIN pos AS integer DEFAULT 1 NOT NULL "
        .. "CONSTRAINT small CHECK ((VALUE < 9))", sql_of("domain", "pos"))
      local s = object("sequence", "s", "create sequence s increment by 5 cache 3")
      s.owned_by = "t.k"
      run(db, { { op = "create_object", object = s } })
      local new = object("sequence", "s", "create sequence s as integer start with 7")
      run(db, { { op = "replace_object", object = new, was = s } })
      assert.equal("CREATE SEQUENCE s AS integer START WITH 7", sql_of("sequence", "s"))
      run(db, {
        { op = "drop_object", kind = "function", name = "f(integer)" },
        { op = "drop_object", kind = "trigger", name = "tr", on = "t" },
        { op = "drop_object", kind = "sequence", name = "s" },
      })
      assert.is_nil(sql_of("function", "f(integer)"))
    end)

    it("know what they cannot do", function()
      assert.error_matches(function() D.steps { op = "sql", text = {} } end,
        "sql is not an operation of a dialect")
      assert.error_matches(function()
        D.steps(on("set_options", { options = { postgres = { partition_by = "LIST (n)" } } }))
      end, "how a table is partitioned cannot be changed")
      assert.error_matches(function()
        D.steps(on("set_options", { options = { postgres = { fillfactor = 1 } } }))
      end, 'unknown option "fillfactor"')
    end)
  end)
end, { "postgres" })
