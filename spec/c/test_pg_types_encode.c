/*
** Values as parameters of PostgreSQL's types: how they are sent and what is
** refused. Every message names the third parameter.
*/
#include <locale.h>

#include "base/mem.h"
#include "check.h"
#include "driver/postgres/pg_types.h"
#include "pg_types_support.h"

static struct prg_value of_int(int64_t i) {
  return (struct prg_value){.type = PRG_INT, .u.i = i};
}

static struct prg_value of_double(double d) {
  return (struct prg_value){.type = PRG_DOUBLE, .u.d = d};
}

static struct prg_value of_bool(bool b) {
  return (struct prg_value){.type = PRG_BOOL, .u.b = b};
}

static struct prg_value of_string(enum prg_type type, const char *s) {
  return (struct prg_value){.type = type, .u.s = {s, strlen(s)}};
}

/* Encodes and shows: b: or t: and the bytes, or the error's message. */
static char *encode_dump(struct pg_catalog *cat, uint32_t oid,
                         const struct prg_value *v) {
  struct prg_arena arena;
  struct prg_buf b;
  struct pg_param out;
  struct prg_error *err = NULL;
  prg_arena_init(&arena);
  prg_buf_init(&b, 0);
  struct pg_target to = {oid, 2};
  if (pg_encode(cat, to, v, &arena, &out, &err) != PRG_OK) {
    prg_buf_addf(&b, "%s: %s", prg_kind_name(err->kind),
                 prg_error_message(err));
    prg_error_unref(err);
  } else if (out.data == NULL) {
    prg_buf_adds(&b, "null");
  } else if (out.format == PG_TEXT_FORMAT) {
    check((int)strlen(out.data) == out.len, "text ends", out.data, "");
    prg_buf_addf(&b, "t:%s", out.data);
  } else {
    prg_buf_adds(&b, "b:");
    for (int i = 0; i < out.len; i++)
      prg_buf_addf(&b, "%02x", (unsigned char)out.data[i]);
  }
  prg_arena_fini(&arena);
  return prg_buf_take(&b);
}

static void expect(struct pg_catalog *cat, uint32_t oid, struct prg_value v,
                   const char *want) {
  char *got = encode_dump(cat, oid, &v);
  check_same(want, got, want);
  prg_free(got);
}

static void test_encode_numbers(struct pg_catalog *cat) {
  double inf = 1e308 * 10, nan = inf - inf;
  /* long: table */
  expect(cat, 21, of_int(40000),
         "usage: $3: 40000 is out of range for smallint");
  expect(cat, 21, of_int(-32769),
         "usage: $3: -32769 is out of range for smallint");
  expect(cat, 21, of_int(-2), "b:fffe");
  expect(cat, 23, of_int(2147483648),
         "usage: $3: 2147483648 is out of range for integer");
  expect(cat, 23, of_int(5), "b:00000005");
  expect(cat, 23, of_double(3.0), "b:00000003");
  expect(cat, 23, of_double(3.5),
         "usage: $3: 3.5 is not a whole number, which integer takes");
  expect(cat, 23, of_double(nan),
         "usage: $3: NaN is not a whole number, which integer takes");
  expect(cat, 23, of_double(inf),
         "usage: $3: Infinity is not a whole number, which integer takes");
  expect(cat, 20, of_double(9223372036854775808.0),
         "usage: $3: 9.223372036854776e+18 is out of range for bigint");
  expect(cat, 20, of_int(INT64_MIN), "b:8000000000000000");
  expect(cat, 26, of_int(-1), "usage: $3: -1 is out of range for oid");
  expect(cat, 26, of_int(4294967296),
         "usage: $3: 4294967296 is out of range for oid");
  expect(cat, 26, of_int(4294967295), "b:ffffffff");
  expect(cat, 5069, of_int(1), "b:0000000000000001");
  expect(cat, 700, of_double(4.1e40),
         "usage: $3: 4.1e+40 is out of range for real");
  expect(cat, 700, of_double(1e-60),
         "usage: $3: 1e-60 is out of range for real");
  expect(cat, 700, of_double(3.4028234663852886e38), "b:7f7fffff");
  expect(cat, 700, of_double(0.1), "b:3dcccccd");
  expect(cat, 700, of_double(-inf), "b:ff800000");
  expect(
      cat, 701, of_int(9007199254740993),
      "usage: $3: 9007199254740993 cannot be held exactly by double precision");
  expect(cat, 701, of_int(INT64_MAX),
         "usage: $3: 9223372036854775807 cannot be held exactly by double "
         "precision");
  expect(cat, 701, of_int(2), "b:4000000000000000");
  expect(cat, 701, of_double(-0.0), "b:8000000000000000");
  expect(cat, 1700, of_int(7), "t:7");
  expect(cat, 1700, of_double(0.1), "t:0.1");
  expect(cat, 1700, of_double(1.0 / 3), "t:0.3333333333333333");
  expect(cat, 1700, of_double(nan), "t:NaN");
  expect(cat, 1700, of_string(PRG_DECIMAL, "1.10"), "t:1.10");
  expect(cat, 25, of_int(7), "t:7");
  expect(cat, 3802, of_double(1.5), "t:1.5");
  expect(cat, 3802, of_double(inf),
         "usage: $3: Infinity is not a value of type jsonb");
  expect(cat, 16, of_int(1),
         "usage: $3: an integer is not a value of type boolean");
  expect(cat, 17, of_int(1),
         "usage: $3: an integer is not a value of type bytea; pass a string");
  expect(cat, DOM, of_int(1), "b:00000001");
}

static void test_encode_texts(struct pg_catalog *cat) {
  struct prg_value zero = {.type = PRG_TEXT, .u.s = {"a\0b", 3}};
  expect(cat, 16, of_bool(true), "b:01");
  expect(cat, 25, of_bool(true),
         "usage: $3: a boolean is not a value of type text; pass a string or a "
         "number");
  expect(cat, 23, of_bool(true),
         "usage: $3: a boolean is not a value of type integer; pass a string "
         "or a number");
  expect(cat, 3802, of_bool(false), "t:false");
  expect(cat, 25, zero, "b:610062");
  expect(cat, 17, zero, "b:610062");
  expect(cat, 25, of_string(PRG_TEXT, ""), "b:");
  expect(cat, 869, zero,
         "usage: $3: the string has a zero byte, which type inet cannot hold");
  expect(cat, 0, zero,
         "usage: $3: the string has a zero byte, which type unknown cannot "
         "hold; perigee.bytes() sends binary data");
  expect(cat, 869, of_string(PRG_TEXT, "10.0.0.1"), "t:10.0.0.1");
  expect(cat, 19, of_string(PRG_TEXT, "n"), "t:n");
  expect(cat, 18, of_string(PRG_TEXT, "\xff"), "b:ff");
  expect(cat, 18, of_string(PRG_TEXT, ""), "b:00");
  expect(cat, 23, of_string(PRG_TEXT, "12"), "t:12");
  expect(cat, 17, of_string(PRG_BYTES, "\\x"), "b:5c78");
  expect(cat, 23, of_string(PRG_BYTES, "x"),
         "usage: $3: perigee.bytes is not a value of type integer");
  expect(cat, 3802, of_string(PRG_JSON, "[1]"), "t:[1]");
  expect(cat, 25, of_string(PRG_JSON, "[1]"), "b:5b315d");
  expect(cat, 23, of_string(PRG_JSON, "[1]"),
         "usage: $3: a JSON document is not a value of type integer");
  expect(cat, 25, (struct prg_value){.type = PRG_NULL}, "null");
  expect(cat, GONE, of_string(PRG_TEXT, "x"), "t:x");
}

static struct prg_value of_list(struct prg_vlist *l, struct prg_value *items,
                                size_t n) {
  *l = (struct prg_vlist){n, items, 0, NULL};
  return (struct prg_value){.type = PRG_LIST, .u.list = l};
}

static void test_encode_lists(struct pg_catalog *cat) {
  struct prg_vlist l;
  struct prg_value null = {.type = PRG_NULL};
  struct prg_value texts[] = {of_string(PRG_TEXT, "a,b"),
                              of_string(PRG_TEXT, "NULL"),
                              null,
                              of_string(PRG_TEXT, "\"\\"),
                              of_string(PRG_TEXT, ""),
                              of_string(PRG_TEXT, "x")};
  expect(cat, 0, of_list(&l, texts, 6),
         "t:{\"a,b\",\"NULL\",NULL,\"\\\"\\\\\",\"\",x}");
  expect(cat, 0, of_list(&l, texts, 1), "t:{\"a,b\"}");
  expect(cat, 1003, of_list(&l, texts, 1), "t:{\"a,b\"}"); /* name */
  expect(cat, 1009, of_list(&l, texts, 6),
         "b:000000010000000100000019" /* dimensions, flags, type */
         "0000000600000001"           /* length, lower bound */
         "00000003612c62000000044e554c4cffffffff00000002225c00000000"
         "0000000178");
  expect(cat, 3802, of_list(&l, texts, 1),
         "usage: $3: a list is not a value of type jsonb; perigee.json() makes "
         "a document of it");
  expect(cat, 23, of_list(&l, texts, 1),
         "usage: $3: a list is not a value of type integer");
  struct prg_value ints[] = {of_int(1), of_double(2), of_int(3)};
  expect(cat, 1007, of_list(&l, ints, 3),
         "b:0000000100000001000000170000000300000001"
         "000000040000000100000004000000020000000400000003");
  /* The server reads a number from a string. */
  expect(cat, 1007, of_list(&l, texts + 5, 1), "t:{x}");
  expect(cat, 22, of_list(&l, ints, 3), "t:1 2 3");
  expect(cat, 1007, of_list(&l, ints, 0), "t:{}");
  struct prg_value big = of_int(1LL << 40);
  expect(cat, 1007, of_list(&l, &big, 1),
         "usage: $3: 1099511627776 is out of range for integer");
}

static void test_encode_nested(struct pg_catalog *cat) {
  struct prg_vlist l, in1, in2;
  struct prg_value ints[] = {of_int(1), of_double(2), of_int(3)};
  struct prg_value rows[] = {of_list(&in1, ints, 2), of_list(&in2, ints, 2)};
  expect(cat, 1007, of_list(&l, rows, 2),
         "b:0000000200000001000000170000000200000001"
         "0000000200000001"
         "00000004000000010000000400000002"
         "00000004000000010000000400000002");
  expect(cat, 1231, of_list(&l, rows, 2), "t:{{1,2},{1,2}}");
  int32_t lower[] = {0, -1};
  struct prg_value v = of_list(&l, rows, 2);
  l.ndim = 2;
  l.lower = lower;
  expect(cat, 1231, v, "t:[0:1][-1:0]={{1,2},{1,2}}");
  expect(cat, 1005, v,
         "b:0000000200000001000000150000000200000000"
         "00000002ffffffff"
         "000000020001000000020002"
         "000000020001000000020002");
  in2.n = 1;
  expect(cat, 1007, of_list(&l, rows, 2),
         "usage: $3: the lists of an array must have the same length");
  rows[1] = of_int(1);
  expect(cat, 1007, of_list(&l, rows, 2),
         "usage: $3: an array takes values or lists, not both");
  struct prg_value mixed[] = {of_int(1), of_list(&in1, ints, 1)};
  expect(cat, 1007, of_list(&l, mixed, 2),
         "usage: $3: an array takes values or lists, not both");
  struct prg_value bytes = of_string(PRG_TEXT, "\x01z");
  expect(cat, 1001, of_list(&l, &bytes, 1),
         "b:0000000100000001000000110000000100000001"
         "00000002017a");
  bytes.type = PRG_BYTES;
  expect(cat, 0, of_list(&l, &bytes, 1), "t:{\"\\\\x017a\"}");
  struct prg_vlist deep[7];
  struct prg_value at = of_int(1), hold[7];
  for (int i = 0; i < 7; i++) {
    hold[i] = at;
    at = of_list(&deep[i], &hold[i], 1);
  }
  expect(cat, 1007, at, "usage: $3: an array has at most 6 dimensions");
}

static bool relearn(struct pg_catalog *cat) {
  struct prg_error *err = NULL;
  return learn_offline(cat, &err) == PRG_OK;
}

static void test_encode_structs(struct pg_catalog *cat) {
  struct prg_text keys[] = {{"a \"b", 4}, {"nope", 4}};
  struct prg_value values[] = {of_string(PRG_TEXT, "x(\""), of_int(2)};
  struct prg_vmap m = {1, keys, values};
  struct prg_value v = {.type = PRG_RECORD, .u.map = &m};
  expect(cat, COMP, v, "t:(,\"x(\\\"\")");
  m.n = 2;
  expect(cat, COMP, v, "usage: $3: type comp has no attribute \"nope\"");
  check(!pg_catalog_knows(cat, COMP), "asked for anew", "", "");
  check(relearn(cat), "learnt again", "", "");
  m = (struct prg_vmap){1, NULL, values};
  expect(cat, COMP, v, "usage: $3: type comp has 2 attributes, not 1");
  struct prg_value by_position[] = {of_int(7), of_string(PRG_TEXT, "")};
  m = (struct prg_vmap){2, NULL, by_position};
  expect(cat, COMP, v, "t:(7,\"\")");
  expect(cat, 25, v, "usage: $3: a record is not a value of type text");
  struct prg_vrange r = {false, true, false, of_int(1), {.type = PRG_NULL}};
  struct prg_value range = {.type = PRG_RANGE, .u.range = &r};
  expect(cat, 3904, range, "t:[1,)");
  struct prg_vlist l = {1, &range, 0, NULL};
  expect(cat, 4451, (struct prg_value){.type = PRG_MULTIRANGE, .u.list = &l},
         "t:{[1,)}");
  expect(cat, 3905, (struct prg_value){.type = PRG_LIST, .u.list = &l},
         "t:{\"[1,)\"}");
  r = (struct prg_vrange){.empty = true};
  expect(cat, 3904, range, "t:empty");
  struct prg_text hkeys[] = {{"k", 1}, {"NULL", 4}};
  struct prg_value hvalues[] = {{.type = PRG_NULL}, of_string(PRG_TEXT, "a\"")};
  m = (struct prg_vmap){2, hkeys, hvalues};
  v.type = PRG_HSTORE;
  expect(cat, HSTORE, v, "t:\"k\"=>NULL, \"NULL\"=>\"a\\\"\"");
}

static void test_param_oid(void) {
  struct prg_value v[] = {of_int(1),
                          of_int(1LL << 31),
                          of_double(3),
                          of_double(3.5),
                          of_double(-0.0),
                          of_bool(true),
                          of_string(PRG_TEXT, "x"),
                          of_string(PRG_BYTES, "x")};
  uint32_t want[] = {23, 20, 23, 701, 701, 16, 0, 17};
  for (size_t i = 0; i < sizeof v / sizeof v[0]; i++)
    check(pg_param_oid(&v[i]) == want[i], "pg_param_oid", "", "");
}

/* A program in a locale with another decimal point. */
static void test_locale(struct pg_catalog *cat) {
  if (setlocale(LC_NUMERIC, "de_DE.UTF-8") == NULL) return;
  struct prg_arena arena;
  struct prg_value v = {.type = PRG_NULL};
  struct prg_error *err = NULL;
  prg_arena_init(&arena);
  int rc = pg_decode(cat, pg_type_find(cat, 701), PG_TEXT_FORMAT, "0.5", 3,
                     &arena, &v, &err);
  CHECK(rc == PRG_OK && v.u.d > 0.4 && v.u.d < 0.6);
  prg_error_unref(err);
  prg_arena_fini(&arena);
  expect(cat, 1700, of_double(0.1), "t:0.1");
  setlocale(LC_NUMERIC, "C");
}

static void test_encode(void) {
  struct pg_catalog *cat = new_catalog();
  test_encode_numbers(cat);
  test_encode_texts(cat);
  test_encode_lists(cat);
  test_encode_nested(cat);
  test_encode_structs(cat);
  test_locale(cat);
  pg_catalog_free(cat);
}

int main(void) {
  RUN(test_encode);
  RUN(test_param_oid);
  return check_result();
}
