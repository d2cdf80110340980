/*
** PostgreSQL's types against a server (PERIGEE_TEST_POSTGRES is its connection
** string; without it nothing is tested). Every literal is read in binary and
** in text, which must give the same value, alone and in an array, a composite
** and a domain; and the value is sent back as a parameter, whose text must be
** that of the literal. Nothing is left behind: all types are temporary.
*/
#include <libpq-fe.h>
#include "base/mem.h"
#include "check.h"
#include "driver/postgres/pg_types.h"
#include "pg_types_support.h"

static PGconn *conn;
static struct pg_catalog *cat;
static int learnings; /* questions about types so far */

struct literal {
  const char *type, *text; /* the text is what stands before ::type */
  const char *want; /* as pg_types_support.h writes it; NULL: not looked at */
};

static const struct literal literals[] = {
    /* long: table */
    {"bool", "true", "true"},
    {"int2", "(-32768)", "-32768"},
    {"int4", "2147483647", "2147483647"},
    {"int8", "(-9223372036854775808)", "-9223372036854775808"},
    {"int8", "9007199254740993", "9007199254740993"},
    {"oid", "4294967295", "4294967295"},
    {"xid", "'4294967295'", "4294967295"},
    {"cid", "'4294967295'", "4294967295"},
    {"xid8", "'18446744073709551615'", "n'18446744073709551615'"},
    {"xid8", "'5'", "5"},
    {"tid", "'(4294967295,65535)'", "'(4294967295,65535)'"},
    {"pg_lsn", "'FFFFFFFF/FFFFFFFF'", "'FFFFFFFF/FFFFFFFF'"},
    {"pg_lsn", "'0/10'", "'0/10'"},
    {"float8", "'-0'", "d-0"},
    {"float8", "'NaN'", NULL},
    {"float8", "'-Infinity'", "d-inf"},
    {"float8", "'5e-324'", "d4.9406564584124654e-324"},
    {"float8", "'1.7976931348623157e308'", "d1.7976931348623157e+308"},
    {"float4", "'1e-45'", "d1.4012984643248171e-45"},
    {"float4", "'0.1'", "d0.10000000149011612"},
    {"float4", "'3.4028235e38'", "d3.4028234663852886e+38"},
    {"float4", "'-Infinity'", "d-inf"},
    {"numeric", "'NaN'", "n'NaN'"},
    {"numeric", "'Infinity'", "n'Infinity'"},
    {"numeric", "'-Infinity'", "n'-Infinity'"},
    {"numeric", "'0'", "n'0'"},
    {"numeric", "'0.00'", "n'0.00'"},
    {"numeric", "'-0.00'", "n'0.00'"},
    {"numeric", "'0.00001'", "n'0.00001'"},
    {"numeric", "'-12345.6789'", "n'-12345.6789'"},
    {"numeric", "'10000'", "n'10000'"},
    {"numeric", "'1e1000'", NULL},
    {"numeric", "'1e-1000'", NULL},
    {"numeric", "repeat('9', 1000)", NULL},
    {"numeric", "('67' || repeat('0', 45000))", NULL},
    {"numeric(10,2)", "'123.456'", "n'123.46'"},
    {"money", "'-92233720368547758.08'", NULL},
    {"\"char\"", "'a'", "'a'"},
    {"\"char\"", "''", "''"},
    {"char(5)", "'a'", "'a    '"},
    {"char(3)", "'嗨'", "'嗨  '"},
    {"varchar", "'a b'", "'a b'"},
    {"text", "''", "''"},
    {"text", "'NULL'", "'NULL'"},
    {"text", "E'a,b\"c\\\\d{x} sp\\n\\t(1)'", NULL},
    {"name", "'pg_class'", "'pg_class'"},
    {"bytea", "'\\x00ff00'", NULL},
    {"bytea", "'\\x'", "x''"},
    {"date", "'infinity'", "'infinity'"},
    {"date", "'-infinity'", "'-infinity'"},
    {"date", "'4713-01-01 BC'", "'4713-01-01 BC'"},
    {"date", "'0001-01-01 BC'", "'0001-01-01 BC'"},
    {"date", "'0001-01-01'", "'0001-01-01'"},
    {"date", "'5874897-12-31'", "'5874897-12-31'"},
    {"date", "'1970-01-01'", "'1970-01-01'"},
    {"date", "'2024-02-29'", "'2024-02-29'"},
    {"timestamp", "'infinity'", "'infinity'"},
    {"timestamptz", "'-infinity'", "'-infinity'"},
    {"timestamp", "'4714-11-24 00:00:00 BC'",
     "'4714-11-24T00:00:00.000000 BC'"},
    {"timestamp", "'4713-02-29 00:00:00 BC'",
     "'4713-02-29T00:00:00.000000 BC'"},
    {"timestamp", "'294276-12-31 23:59:59.999999'",
     "'294276-12-31T23:59:59.999999'"},
    {"timestamp", "'1999-12-31 23:59:59.999999'",
     "'1999-12-31T23:59:59.999999'"},
    {"timestamp", "'2026-11-20 08:30:00'", "'2026-11-20T08:30:00.000000'"},
    {"timestamptz", "'2026-11-20 08:30:00.5+01'",
     "'2026-11-20T07:30:00.500000Z'"},
    {"timestamptz", "'2026-07-20 08:30:00Z'", "'2026-07-20T08:30:00.000000Z'"},
    {"timestamptz", "'1850-07-20 08:30:00Z'", "'1850-07-20T08:30:00.000000Z'"},
    {"timestamptz", "'0044-03-15 12:00:00Z BC'",
     "'0044-03-15T12:00:00.000000Z BC'"},
    {"timestamptz", "'0001-01-01 00:30:00Z'", "'0001-01-01T00:30:00.000000Z'"},
    {"timestamptz", "'0001-12-31 23:30:00Z BC'",
     "'0001-12-31T23:30:00.000000Z BC'"},
    {"timestamptz", "'294276-01-01 00:00:00Z'",
     "'294276-01-01T00:00:00.000000Z'"},
    {"time", "'24:00:00'", "'24:00:00'"},
    {"time", "'08:30:00.120'", "'08:30:00.12'"},
    {"timetz", "'00:00:00+15:59:59'", "'00:00:00+15:59:59'"},
    {"timetz", "'08:30:00.5-03:30'", "'08:30:00.5-03:30'"},
    {"interval", "'1 mon -1 day +00:00:01'", "'1 mon -1 days +00:00:01'"},
    {"interval", "'178000000 years'", "'178000000 years'"},
    {"interval", "'-178000000 years'", "'-178000000 years'"},
    {"interval", "'0'", "'00:00:00'"},
    {"interval", "'24:00:00'", "'24:00:00'"},
    {"interval", "'-1 year -1 mon 2 days -00:00:00.000001'", NULL},
    {"interval", "'1 year 1 day'", "'1 year 1 day'"},
    {"interval", "'-1 day'", "'-1 days'"},
    {"interval", "'2562047788:00:54.775807'", NULL},
    {"json", "'\"\\u0000\"'", "j'\"\\u0000\"'"},
    {"json", "'{\"b\":1,\"a\":2,\"a\":3}'", "j'{\"b\":1,\"a\":2,\"a\":3}'"},
    {"json", "'1e400'", "j'1e400'"},
    {"jsonb", "'{\"b\":1,\"a\":2,\"a\":3}'", "j'{\"a\": 3, \"b\": 1}'"},
    {"jsonb", "'9007199254740993'", "j'9007199254740993'"},
    {"jsonb", "'1.10'", "j'1.10'"},
    {"jsonb", "'[]'", "j'[]'"},
    {"jsonb", "'{}'", "j'{}'"},
    {"jsonb", "'null'", "j'null'"},
    {"jsonpath", "'$.a[*]'", NULL},
    {"inet", "'10.0.0.1'", "'10.0.0.1'"},
    {"inet", "'10.0.0.0/30'", "'10.0.0.0/30'"},
    {"inet", "'::1'", "'::1'"},
    {"inet", "'::ffff:1.2.3.4'", "'::ffff:1.2.3.4'"},
    {"inet", "'::1.2.3.4/64'", NULL},
    {"inet", "'2001:db8:0:0:1:0:0:1'", NULL},
    {"inet", "'0:0:0:1:0:0:0:0'", NULL},
    {"inet", "'::'", "'::'"},
    {"inet", "'::2'", "'::2'"},
    {"inet", "'::ffff:0:1'", NULL},
    {"cidr", "'10.0.0.0/32'", "'10.0.0.0/32'"},
    {"cidr", "'::/0'", "'::/0'"},
    {"macaddr", "'08:00:2b:01:02:03'", "'08:00:2b:01:02:03'"},
    {"macaddr8", "'08:00:2b:01:02:03:04:05'", "'08:00:2b:01:02:03:04:05'"},
    {"uuid", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'",
     "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"},
    {"varbit", "B''", "''"},
    {"bit(3)", "B'101'", "'101'"},
    {"varbit", "B'000000001'", "'000000001'"},
    {"int4range", "'empty'", "empty"},
    {"int4range", "'(,)'", "(null,null)"},
    {"int4range", "'[5,)'", "<5,null)"},
    {"int4range", "'(,5]'", "(null,6)"},
    {"int8range", "'[1,5]'", "<1,6)"},
    {"numrange", "'[1.10,NaN)'", "<n'1.10',n'NaN')"},
    {"daterange", "'[0044-03-15 BC,2000-01-01]'", NULL},
    {"tsrange", "'[2000-01-01,infinity)'",
     "<'2000-01-01T00:00:00.000000','infinity')"},
    {"tsrange", "'[2000-01-01,)'", "<'2000-01-01T00:00:00.000000',null)"},
    {"tstzrange", "'[2000-01-01Z,2000-06-01Z]'",
     "<'2000-01-01T00:00:00.000000Z','2000-06-01T00:00:00.000000Z'>"},
    {"pg_temp.textrange", "'[\"\",z]'", "<'','z'>"},
    {"pg_temp.textrange", "'[\"a b\",\"c,d)\"]'", "<'a b','c,d)'>"},
    {"pg_temp.textrange", "'[\"\"\"\\\\\",\"\\\\\"\"x\")'", NULL},
    {"pg_temp.textmultirange", "'{[\"a,\",\"b]}\"],[q,)}'",
     "m[1:<'a,','b]}'> <'q',null)]"},
    {"int4multirange", "'{}'", "m[1:]"},
    {"int4multirange", "'{[1,5),[7,9)}'", "m[1:<1,5) <7,9)]"},
    {"int4multirange", "'{empty}'", "m[1:]"},
    {"int4[]", "'{}'", "[0:]"},
    {"int4[]", "'{1,2,NULL}'", "[1:1 2 null]"},
    {"int4[]", "'{NULL}'", "[1:null]"},
    {"int4[]", "'[0:2]={1,2,3}'", "@0[1:1 2 3]"},
    {"int4[]", "'[1:3][-1:0]={{1,2},{4,5},{6,7}}'",
     "@1@-1[2:[1:1 2] [1:4 5] [1:6 7]]"},
    {"int4[]", "'[-5:-4]={1,2}'", "@-5[1:1 2]"},
    {"int4[]", "'{{{{{{1}}}}}}'", "[6:[5:[4:[3:[2:[1:1]]]]]]"},
    {"text[]",
     "'{\"a,b\",\"c\\\"d\",NULL,\"NULL\",\"{x}\",\"back\\\\slash\","
     "\" sp \",\"\",null}'",
     NULL},
    {"text[]", "ARRAY[E'\\n', E'\\013', '嗨', '''', 'nUlL']", NULL},
    {"bytea[]", "ARRAY['\\x00ff5c22'::bytea, '\\x']", NULL},
    {"jsonb[]", "ARRAY['{\"a\": \"b,\\\"\"}'::jsonb]", NULL},
    {"numeric[]", "'{1.10,NaN}'", "[1:n'1.10' n'NaN']"},
    {"bool[]", "'{t,f}'", "[1:true false]"},
    {"timestamptz[]", "'{2000-01-01Z,infinity}'",
     "[1:'2000-01-01T00:00:00.000000Z' 'infinity']"},
    {"box[]", "'{(1,1),(0,0);(2,2),(1,1)}'", "[1:'(1,1),(0,0)' '(2,2),(1,1)']"},
    {"int4range[]", "ARRAY[int4range(1,5), NULL]", "[1:<1,5) null]"},
    {"int2vector", "'1 2 3'", "[1:1 2 3]"},
    {"int2vector", "''", "[0:]"},
    {"oidvector", "'1 4294967295'", "[1:1 4294967295]"},
    {"int2vector[]", "ARRAY['1 2'::int2vector, '3']", "[1:[1:1 2] [1:3]]"},
    {"pg_temp.comp", "row(null,null,null)", NULL},
    {"pg_temp.comp", "row(1,'b c',ARRAY['x','y \"'])",
     "{'id'=1 'mood'='b c' 'tags'=[1:'x' 'y \"']}"},
    {"pg_temp.comp", "row(1,'',ARRAY[]::text[])", NULL},
    {"pg_temp.outer_comp",
     "row(row(1,'b c',ARRAY['(,)'])::pg_temp.comp, 'a\"b\\c')", NULL},
    {"pg_temp.one", "row(null)", "{'v'=null}"},
    {"pg_temp.one", "row('')", "{'v'=''}"},
    {"pg_temp.none", "row()", "{}"},
    {"pg_temp.dom2", "7", "7"},
    {"pg_temp.dom2[]", "ARRAY[7,NULL]", "[1:7 null]"},
    {"pg_temp.doma", "ARRAY[1,2]", "[1:1 2]"},
    {"pg_temp.doma[]", "'{\"{1,2}\",\"{3}\"}'", "[1:[1:1 2] [1:3]]"},
    {"pg_temp.domc", "row(1,'',NULL)", NULL},
    {"pg_temp.mood", "''", "''"},
    {"pg_temp.mood", "'b c'", "'b c'"},
    {"pg_temp.mood[]", "ARRAY['b c','']", "[1:'b c' '']"},
    {"hstore", "'a=>NULL, \"NULL\"=>\"NULL\", \"\"=>x'", NULL},
    {"hstore", "hstore(E'k\\r\\n\\t\\013\"\\\\', E'=>,\"\\\\')", NULL},
    {"hstore", "''", "h{}"},
    {"citext", "'Abc'", "'Abc'"},
    {"ltree", "''", "''"},
    {"ltree", "'A.B.C'", "'A.B.C'"},
    {"lquery", "'A.*'", "'A.*'"},
    {"xml", "'<a/>'", "'<a/>'"},
    {"xml", "'<a>嗨</a>'", NULL},
    {"tsvector", "'word:1A,2B,3C,4'", NULL},
    {"tsvector", "''", "''"},
    {"tsquery", "'a <-> b'", NULL},
    {"refcursor", "'c'", "'c'"},
    {"pg_snapshot", "'10:20:10,14'", "'10:20:10,14'"},
    {"aclitem", "'=r/postgres'", NULL},
    {"regclass", "'pg_class'", "'pg_class'"},
    {"point", "'(NaN,Infinity)'", "'(NaN,Infinity)'"},
    {"path", "'[(1,2),(3,4)]'", NULL},
    {"path", "'((1,2),(3,4))'", NULL},
    {"information_schema.cardinal_number", "5", "5"},
    {"information_schema.sql_identifier", "'x'", "'x'"},
};

static const char *const setup[] = {
    "SET DateStyle = ISO",
    "SET IntervalStyle = postgres",
    "SET client_min_messages = warning",
    "CREATE EXTENSION IF NOT EXISTS hstore",
    "CREATE EXTENSION IF NOT EXISTS citext",
    "CREATE EXTENSION IF NOT EXISTS ltree",
    "CREATE TYPE pg_temp.mood AS ENUM ('', 'b c')",
    "CREATE TYPE pg_temp.textrange AS RANGE (subtype = text)",
    "CREATE TYPE pg_temp.comp AS (id int, gone int, mood pg_temp.mood,"
    " tags text[])",
    "ALTER TYPE pg_temp.comp DROP ATTRIBUTE gone",
    "CREATE TYPE pg_temp.outer_comp AS (c pg_temp.comp, \"a \"\"b\" text)",
    "CREATE TYPE pg_temp.one AS (v text)",
    "CREATE TYPE pg_temp.none AS ()",
    "CREATE DOMAIN pg_temp.dom1 AS int",
    "CREATE DOMAIN pg_temp.dom2 AS pg_temp.dom1",
    "CREATE DOMAIN pg_temp.doma AS int[]",
    "CREATE DOMAIN pg_temp.domc AS pg_temp.comp",
};

static PGresult *must(PGresult *res, const char *sql) {
  ExecStatusType s = PQresultStatus(res);
  if (!CHECK(s == PGRES_TUPLES_OK || s == PGRES_COMMAND_OK))
    fprintf(stderr, "  %s\n  %s", sql, PQresultErrorMessage(res));
  return res;
}

static void command(const char *sql) {
  PQclear(must(PQexec(conn, sql), sql));
}

static int learn(PGresult *res, struct prg_error **err) {
  int nrows = PQntuples(res), ncols = PQnfields(res);
  const char **cells = calloc((size_t)(nrows * ncols) + 1, sizeof *cells);
  for (int i = 0; i < nrows * ncols; i++)
    if (!PQgetisnull(res, i / ncols, i % ncols))
      cells[i] = PQgetvalue(res, i / ncols, i % ncols);
  struct pg_texts t = {cells, (size_t)nrows, (size_t)ncols};
  int rc = pg_catalog_learn(cat, t, err);
  free((void *)cells);
  return rc;
}

/* What the connection does after Describe. */
static void know(uint32_t oid) {
  struct prg_buf sql;
  struct prg_error *err = NULL;
  if (pg_catalog_knows(cat, oid)) return;
  prg_buf_init(&sql, 0);
  pg_catalog_query(PQserverVersion(conn), &oid, 1, &sql);
  PGresult *res = must(PQexec(conn, sql.data), sql.data);
  if (!CHECK(learn(res, &err) == PRG_OK))
    fprintf(stderr, "  %s\n", prg_error_message(err));
  PQclear(res);
  prg_buf_fini(&sql);
  learnings++;
  CHECK(pg_catalog_knows(cat, oid));
}

static PGresult *run(const char *sql, int format) {
  return must(PQexecParams(conn, sql, 0, NULL, NULL, NULL, NULL, format), sql);
}

static char *cell_dump(PGresult *res, int row, int format) {
  uint32_t oid = PQftype(res, 0);
  int len = PQgetisnull(res, row, 0) ? -1 : PQgetlength(res, row, 0);
  return decode_dump(cat, oid, format, PQgetvalue(res, row, 0), len);
}

/* All rows of the first column: binary and text must agree. `want` (or NULL)
** is the first row. */
static void compare_formats(const char *sql, const char *want) {
  PGresult *text = run(sql, PG_TEXT_FORMAT), *binary;
  if (PQntuples(text) == 0) {
    PQclear(text);
    return;
  }
  know(PQftype(text, 0));
  const struct pg_type *t = pg_type_find(cat, PQftype(text, 0));
  if (want != NULL) {
    char *got = cell_dump(text, 0, PG_TEXT_FORMAT);
    if (!CHECK_STR(got, want)) fprintf(stderr, "  %s\n", sql);
    prg_free(got);
  }
  if (pg_type_binary(cat, t)) {
    if (strstr(sql, "setseed") != NULL) command("SELECT setseed(0.25)");
    binary = run(sql, PG_BINARY_FORMAT);
    for (int i = 0; i < PQntuples(text); i++) {
      char *a = cell_dump(text, i, PG_TEXT_FORMAT);
      char *b = cell_dump(binary, i, PG_BINARY_FORMAT);
      if (!CHECK_STR(b, a)) fprintf(stderr, "  binary of %s\n", sql);
      prg_free(a);
      prg_free(b);
    }
    PQclear(binary);
  }
  PQclear(text);
}

/* Encodes a cell's value and asks the server for its text. */
static void send_back(const char *sql, PGresult *res, const char *want) {
  struct prg_arena arena;
  struct prg_value v;
  struct pg_param p;
  struct prg_error *err = NULL;
  prg_arena_init(&arena);
  /* Named: learning a type replaces the unnamed statement. */
  PQclear(must(PQprepare(conn, "s", sql, 0, NULL), sql));
  PGresult *described = must(PQdescribePrepared(conn, "s"), sql);
  struct pg_target to = {PQparamtype(described, 0), 0};
  PQclear(described);
  know(to.oid);
  int rc = pg_decode(cat, pg_type_find(cat, PQftype(res, 0)), PG_TEXT_FORMAT,
                     PQgetvalue(res, 0, 0), PQgetlength(res, 0, 0), &arena, &v,
                     &err);
  if (rc == PRG_OK) rc = pg_encode(cat, to, &v, &arena, &p, &err);
  if (!CHECK(rc == PRG_OK)) {
    fprintf(stderr, "  %s: %s\n", sql, prg_error_message(err));
    prg_error_unref(err);
  } else {
    PGresult *back =
        must(PQexecPrepared(conn, "s", 1, &p.data, &p.len, &p.format, 0), sql);
    if (PQntuples(back) == 1 && !CHECK_STR(PQgetvalue(back, 0, 0), want))
      fprintf(stderr, "  sent back to %s\n", sql);
    PQclear(back);
  }
  command("DEALLOCATE s");
  prg_arena_fini(&arena);
}

/* One expression of a type: both formats, and back. */
static void test_expression(const char *expr, const char *type,
                            const char *want) {
  struct prg_buf sql;
  prg_buf_init(&sql, 0);
  prg_buf_addf(&sql, "SELECT (%s)::%s", expr, type);
  compare_formats(sql.data, want);
  PGresult *res = run(sql.data, PG_TEXT_FORMAT);
  prg_buf_reset(&sql);
  prg_buf_addf(&sql, "SELECT ((%s)::%s)::text", expr, type);
  PGresult *text = run(sql.data, PG_TEXT_FORMAT);
  prg_buf_reset(&sql);
  prg_buf_addf(&sql, "SELECT ($1::%s)::text", type);
  if (PQntuples(res) == 1 && PQntuples(text) == 1)
    send_back(sql.data, res, PQgetvalue(text, 0, 0));
  PQclear(res);
  PQclear(text);
  prg_buf_fini(&sql);
}

/* In an array, a composite with NULL, and a domain; and an array of those. */
static void test_nested(const struct literal *l, int number) {
  struct prg_buf b, type;
  prg_buf_init(&b, 0);
  prg_buf_init(&type, 0);
  prg_buf_addf(&b, "CREATE TYPE pg_temp.c%d AS (v %s, n %s)", number, l->type,
               l->type);
  command(b.data);
  prg_buf_reset(&b);
  prg_buf_addf(&b, "CREATE DOMAIN pg_temp.d%d AS %s", number, l->type);
  command(b.data);
  prg_buf_reset(&b);
  prg_buf_addf(&b, "ROW((%s)::%s, NULL)", l->text, l->type);
  prg_buf_addf(&type, "pg_temp.c%d", number);
  test_expression(b.data, type.data, NULL);
  prg_buf_reset(&b);
  prg_buf_addf(&b, "ARRAY[ROW((%s)::%s, NULL)::pg_temp.c%d, NULL]", l->text,
               l->type, number);
  prg_buf_adds(&type, "[]");
  test_expression(b.data, type.data, NULL);
  prg_buf_reset(&type);
  prg_buf_addf(&type, "pg_temp.d%d", number);
  test_expression(l->text, type.data, l->want);
  if (strstr(l->type, "[]") == NULL) {
    prg_buf_reset(&b);
    prg_buf_addf(&b, "ARRAY[(%s)::%s, NULL]", l->text, type.data);
    prg_buf_adds(&type, "[]");
    test_expression(b.data, type.data, NULL);
    prg_buf_reset(&b);
    prg_buf_reset(&type);
    prg_buf_addf(&b, "ARRAY[(%s)::%s, NULL]", l->text, l->type);
    prg_buf_addf(&type, "%s[]", l->type);
    test_expression(b.data, type.data, NULL);
  }
  prg_buf_fini(&b);
  prg_buf_fini(&type);
}

static void test_literals(void) {
  static const char *const zones[] = {"UTC", "America/St_Johns",
                                      "Asia/Kathmandu"};
  int n = sizeof literals / sizeof literals[0];
  for (int zone = 0; zone < 3; zone++) {
    struct prg_buf b;
    prg_buf_init(&b, 0);
    prg_buf_addf(&b, "SET TimeZone = '%s'", zones[zone]);
    command(b.data);
    prg_buf_fini(&b);
    for (int i = 0; i < n; i++) {
      const struct literal *l = &literals[i];
      if (zone > 0 && strncmp(l->type, "t", 1) != 0) continue;
      test_expression(l->text, l->type, l->want);
      test_nested(l, zone * n + i);
    }
  }
  command("SET TimeZone = 'UTC'");
}

/* Many random values, in both formats. */
static void test_random(void) {
  static const char *const queries[] = {
      "SELECT timestamptz '2000-01-01Z' + ((random() - 0.02) * 9e12)::int8"
      " * interval '1 s' + random() * interval '1 s'",
      "SELECT timestamp '2000-01-01' + (random() - 0.5) * 4e11 * interval '1 "
      "s'",
      "SELECT date '2000-01-01' + ((random() - 0.001) * 2e9)::int",
      "SELECT date '2000-01-01' + ((random() - 0.5) * 1.4e6)::int",
      "SELECT make_interval(months => ((random() - 0.5) * 40)::int,"
      " days => ((random() - 0.5) * 3)::int,"
      " secs => ((random() - 0.5) * 5)::int * 1800.5)",
      "SELECT round(((random() - 0.5) * 1e9)::numeric ^ (random() * 8)::int,"
      " (random() * 30)::int)",
      "SELECT ((random() - 0.5) * 10.0 ^ (random() * 600 - 300)::int)::float8",
      "SELECT ((random() - 0.5) * 10.0 ^ (random() * 60 - 30)::int)::float4",
      "SELECT (random() * 86399.999999 * interval '1 s')::time",
      "SELECT string_agg(CASE WHEN random() < 0.6 THEN '0' ELSE"
      " to_hex((random() * 65535)::int) END, ':')::inet FROM"
      " generate_series(1, 8), generate_series(1, 1000) g GROUP BY g",
      "SELECT set_masklen('10.1.2.3'::inet, (random() * 32)::int)",
      "SELECT md5(random()::text)::uuid",
      "SELECT ((random() * 1e9)::int)::bit(17)",
      "SELECT ARRAY[chr(1 + (random() * 126)::int), chr(1 +"
      " (random() * 126)::int) || chr(34 + (random() * 60)::int), NULL]",
      "SELECT ROW(chr(1 + (random() * 126)::int), ARRAY[chr(1 +"
      " (random() * 126)::int)])::pg_temp.pair",
  };
  command("CREATE TYPE pg_temp.pair AS (a text, b text[])");
  for (size_t i = 0; i < sizeof queries / sizeof queries[0]; i++) {
    struct prg_buf b;
    prg_buf_init(&b, 0);
    prg_buf_addf(&b, "/* setseed */ %s%s", queries[i],
                 strstr(queries[i], "FROM") != NULL
                     ? ""
                     : " FROM generate_series(1, 1000)");
    command("SELECT setseed(0.25)");
    compare_formats(b.data, NULL);
    prg_buf_fini(&b);
  }
}

/* Records without a type, void, and what is asked for types. */
static void test_special(void) {
  PGresult *res;
  char *got;
  res = run("SELECT row(1, 'a'::text, NULL, row(true))", PG_BINARY_FORMAT);
  got = cell_dump(res, 0, PG_BINARY_FORMAT);
  CHECK_STR(got, "{1 'a' null {true}}");
  prg_free(got);
  PQclear(res);
  res = run("SELECT row('b c'::pg_temp.mood)", PG_BINARY_FORMAT);
  pg_catalog_expire(cat);
  got = cell_dump(res, 0, PG_BINARY_FORMAT);
  CHECK(strstr(got, "run it again") != NULL);
  prg_free(got);
  const uint32_t *oids;
  CHECK(pg_catalog_wanted(cat, &oids) == 1);
  know(oids[0]);
  CHECK(pg_catalog_wanted(cat, &oids) == 0);
  got = cell_dump(res, 0, PG_BINARY_FORMAT);
  CHECK_STR(got, "{'b c'}");
  prg_free(got);
  PQclear(res);
  compare_formats("SELECT pg_sleep(0)", "null");
  /* Not in the table, because the text of what is sent back is without it. */
  compare_formats("SELECT '<?xml version=\"1.0\"?><a/>'::xml", "'<a/>'");
  /* No such type: asked for once. */
  know(4000000000U);
  CHECK(pg_type_oid(pg_type_find(cat, 4000000000U)) == 4000000000U);
  /* One question tells everything about a type. */
  learnings = 0;
  pg_catalog_expire(cat);
  compare_formats("SELECT NULL::pg_temp.outer_comp[]", "null");
  compare_formats("SELECT NULL::pg_temp.textmultirange", "null");
  CHECK(learnings == 2);
  compare_formats("SELECT NULL::pg_temp.mood", "null");
  CHECK(learnings == 2);
  /* A type that changes while it is known. */
  command("CREATE TYPE pg_temp.shape AS (a int)");
  compare_formats("SELECT row(1)::pg_temp.shape", "{'a'=1}");
  command("ALTER TYPE pg_temp.shape ADD ATTRIBUTE b text");
  res = run("SELECT row(1,'x')::pg_temp.shape", PG_BINARY_FORMAT);
  got = cell_dump(res, 0, PG_BINARY_FORMAT);
  CHECK(strstr(got, "has changed on the server") != NULL);
  prg_free(got);
  PQclear(res);
  compare_formats("SELECT row(1,'x')::pg_temp.shape", "{'a'=1 'b'='x'}");
  command("ALTER TYPE pg_temp.shape ALTER ATTRIBUTE a TYPE text");
  res = run("SELECT row('y','x')::pg_temp.shape", PG_TEXT_FORMAT);
  got = cell_dump(res, 0, PG_TEXT_FORMAT);
  CHECK(strstr(got, "has changed on the server") != NULL);
  prg_free(got);
  PQclear(res);
  compare_formats("SELECT row('y','x')::pg_temp.shape", "{'a'='y' 'b'='x'}");
}

/* A zero byte gets as far as the server, and the connection lives. */
static void test_zero_byte(void) {
  struct prg_value v = {.type = PRG_TEXT, .u.s = {"a\0b", 3}};
  struct prg_arena arena;
  struct pg_param p;
  struct prg_error *err = NULL;
  prg_arena_init(&arena);
  REQUIRE(pg_encode(cat, (struct pg_target){25, 0}, &v, &arena, &p, &err) ==
          PRG_OK);
  PGresult *res = PQexecParams(conn, "SELECT $1::text", 1, NULL, &p.data,
                               &p.len, &p.format, 0);
  CHECK_STR(PQresultErrorField(res, PG_DIAG_SQLSTATE), "22021");
  PQclear(res);
  prg_arena_fini(&arena);
}

/* The question for servers before multiranges is understood too. */
static void test_old_query(void) {
  struct prg_error *err = NULL;
  struct prg_buf sql;
  PGresult *res =
      run("SELECT NULL::pg_temp.outer_comp, NULL::pg_temp.textrange",
          PG_TEXT_FORMAT);
  uint32_t oids[] = {PQftype(res, 0), PQftype(res, 1)};
  PQclear(res);
  pg_catalog_expire(cat);
  prg_buf_init(&sql, 0);
  pg_catalog_query(130000, oids, 2, &sql);
  res = must(PQexec(conn, sql.data), sql.data);
  CHECK(learn(res, &err) == PRG_OK);
  CHECK(pg_catalog_knows(cat, oids[0]) && pg_catalog_knows(cat, oids[1]));
  PQclear(res);
  prg_buf_fini(&sql);
}

/* ---- arrays, which go in binary format ------------------------------------ */

static const char *const array_types[] = {
    "bool[]",         "int2[]",         "int4[]", "int8[]",    "oid[]",
    "float4[]",       "float8[]",       "text[]", "varchar[]", "bpchar[]",
    "citext[]",       "bytea[]",        "json[]", "jsonb[]",   "uuid[]",
    "pg_temp.mood[]", "pg_temp.dom2[]", "name[]", "numeric[]"};

static unsigned long array_seed;

static unsigned roll(unsigned n) {
  return check_random(&array_seed, n);
}

static void *room(struct prg_arena *a, size_t n) {
  void *p = prg_arena_alloc(a, n + 1);
  if (p == NULL) exit(1);
  return p;
}

static struct prg_text some_text(struct prg_arena *a) {
  static const char chars[] = "aZ09 ,\"\\{}()'\n\tNULL\xc3\xa9";
  char *p = room(a, 24);
  size_t n = 0;
  for (unsigned left = roll(8); left > 0; left--) {
    unsigned i = roll(sizeof chars - 1);
    if ((unsigned char)chars[i] >= 0x80) i = sizeof chars - 3;
    p[n++] = chars[i];
    if ((unsigned char)chars[i] >= 0x80) p[n++] = chars[i + 1];
  }
  return roll(20) == 0 ? (struct prg_text){"NULL", 4} : (struct prg_text){p, n};
}

/* For an element of an integer type; now and then a whole double or a string. */
static struct prg_value some_number(const char *type) {
  int64_t i = roll(30000);
  if (roll(50) == 0)
    return (struct prg_value){.type = PRG_TEXT, .u.s = {"7", 1}};
  if (strncmp(type, "int2", 4) != 0 && roll(2)) i *= 70000;
  if (strncmp(type, "int8", 4) == 0 && roll(2)) i *= 3000000;
  if (type[0] != 'o' && roll(2)) i = -i;
  if (roll(9) == 0)
    return (struct prg_value){.type = PRG_DOUBLE, .u.d = roll(99)};
  return (struct prg_value){.type = PRG_INT, .u.i = i};
}

/* A value that an element of the type takes. */
static struct prg_value some_item(const char *type, struct prg_arena *a) {
  static const char *const docs[] = {"null", "[1, {\"a\": 2.50}]", "\"x\\\"\""};
  struct prg_value v = {.type = PRG_NULL};
  const char *doc = docs[roll(3)];
  if (roll(6) == 0) return v;
  if (strncmp(type, "bool", 4) == 0) {
    v = (struct prg_value){.type = PRG_BOOL, .u.b = roll(2)};
  } else if (strncmp(type, "float", 5) == 0 || strncmp(type, "num", 3) == 0) {
    v = (struct prg_value){.type = PRG_DOUBLE, .u.d = roll(100000) / 64.0 - 99};
    if (roll(9) == 0) v.u.d = 0.0 / 0.0;
  } else if (strncmp(type, "bytea", 5) == 0) {
    v = (struct prg_value){.type = PRG_BYTES, .u.s = some_text(a)};
  } else if (strncmp(type, "json", 4) == 0) {
    v = (struct prg_value){.type = PRG_JSON, .u.s = {doc, strlen(doc)}};
  } else if (strncmp(type, "uuid", 4) == 0) {
    static const char id[] =
        "A0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
        "a0eebc999c0b4ef8bb6d6bb9bd380a11"
        "{a0eebc99-9c0b4ef8-bb6d6bb9-bd380a11}";
    static const size_t at[] = {0, 36, 68, 105};
    unsigned i = roll(20) == 0 ? 2 : roll(2);
    v = (struct prg_value){.type = PRG_TEXT,
                           .u.s = {id + at[i], at[i + 1] - at[i]}};
  } else if (strstr(type, "mood") != NULL) {
    v = (struct prg_value){.type = PRG_TEXT, .u.s = {"b c", roll(2) * 3}};
  } else if (strstr(type, "int") != NULL || strstr(type, "dom") != NULL ||
             strncmp(type, "oid", 3) == 0) {
    v = some_number(type);
  } else {
    v = (struct prg_value){.type = PRG_TEXT, .u.s = some_text(a)};
  }
  return v;
}

static struct prg_vlist *some_list(const char *type, int ndim,
                                   const size_t *dim, struct prg_arena *a) {
  struct prg_vlist *l = room(a, sizeof *l);
  *l = (struct prg_vlist){.n = dim[0], .ndim = ndim};
  l->items = room(a, dim[0] * sizeof *l->items);
  for (size_t i = 0; i < l->n; i++)
    if (ndim > 1)
      l->items[i] = (struct prg_value){
          .type = PRG_LIST, .u.list = some_list(type, ndim - 1, dim + 1, a)};
    else
      l->items[i] = some_item(type, a);
  return l;
}

/* The server's text of `v`, sent as type `oid` (0: as a literal). */
static char *text_of(const char *sql, uint32_t oid, const struct prg_value *v,
                     int *format) {
  struct prg_arena arena;
  struct prg_error *err = NULL;
  struct pg_param p;
  prg_arena_init(&arena);
  int rc = pg_encode(cat, (struct pg_target){oid, 0}, v, &arena, &p, &err);
  if (!CHECK(rc == PRG_OK)) {
    fprintf(stderr, "  %s: %s\n", sql, prg_error_message(err));
    prg_error_unref(err);
    prg_arena_fini(&arena);
    return prg_strdup("");
  }
  *format = p.format;
  PGresult *res = must(
      PQexecParams(conn, sql, 1, NULL, &p.data, &p.len, &p.format, 0), sql);
  char *text = prg_strdup(PQntuples(res) == 1 ? PQgetvalue(res, 0, 0) : "");
  PQclear(res);
  prg_arena_fini(&arena);
  return text;
}

static bool test_array_of(const char *type) {
  static const int32_t lower[] = {-3, 0, 7};
  struct prg_arena arena;
  struct prg_buf sql;
  size_t dim[3];
  int ndim = 1 + (int)roll(3), binary, text;
  prg_arena_init(&arena);
  prg_buf_init(&sql, 0);
  prg_buf_addf(&sql, "SELECT NULL::%s", type);
  PGresult *res = run(sql.data, PG_TEXT_FORMAT);
  uint32_t oid = PQftype(res, 0);
  PQclear(res);
  know(oid);
  for (int i = 0; i < ndim; i++) dim[i] = roll(12) == 0 ? 0 : 1 + roll(4);
  struct prg_value v = {.type = PRG_LIST,
                        .u.list = some_list(type, ndim, dim, &arena)};
  if (roll(2)) v.u.list->lower = lower;
  prg_buf_reset(&sql);
  prg_buf_addf(&sql, "SELECT ($1::%s)::text", type);
  char *a = text_of(sql.data, oid, &v, &binary);
  char *b = text_of(sql.data, 0, &v, &text);
  if (!CHECK_STR(a, b)) fprintf(stderr, "  %s\n", type);
  prg_free(a);
  prg_free(b);
  prg_buf_fini(&sql);
  prg_arena_fini(&arena);
  return binary == PG_BINARY_FORMAT;
}

/* What goes in binary means the same as its literal. */
static void test_arrays(void) {
  long rounds = check_rounds(100), binary = 0;
  array_seed = check_seed();
  size_t n = sizeof array_types / sizeof array_types[0];
  for (long round = 0; round < rounds; round++)
    for (size_t i = 0; i < n; i++) binary += test_array_of(array_types[i]);
  CHECK(binary > rounds * (long)n / 2);
}

int main(void) {
  const char *info = getenv("PERIGEE_TEST_POSTGRES");
  if (info == NULL || info[0] == '\0') {
    printf("PERIGEE_TEST_POSTGRES is not set: nothing tested\n");
    return 0;
  }
  conn = PQconnectdb(info);
  if (PQstatus(conn) != CONNECTION_OK) {
    fprintf(stderr, "%s", PQerrorMessage(conn));
    return 1;
  }
  PQsetClientEncoding(conn, "UTF8");
  cat = pg_catalog_new();
  for (size_t i = 0; i < sizeof setup / sizeof setup[0]; i++) command(setup[i]);
  RUN(test_literals);
  RUN(test_random);
  RUN(test_arrays);
  RUN(test_special);
  RUN(test_zero_byte);
  RUN(test_old_query);
  pg_catalog_free(cat);
  PQfinish(conn);
  return check_result();
}
