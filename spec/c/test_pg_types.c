/*
** PostgreSQL's types without a server: known bytes and what they mean, what is
** malformed, types that change, short memory, and mutated bytes.
** test_pg_types_encode.c has parameters, test_pg_types_server.c the rest.
*/
#include "base/mem.h"
#include "check.h"
#include "driver/postgres/pg_types.h"
#include "pg_types_support.h"

/* ---- known bytes --------------------------------------------------------- */

struct sample {
  uint32_t oid;
  const char *hex, *want;
};

static const struct sample samples[] = {
    /* long: table */
    {16, "01", "true"},
    {16, "00", "false"},
    {20, "8000000000000000", "-9223372036854775808"},
    {20, "0020000000000001", "9007199254740993"},
    {21, "8000", "-32768"},
    {23, "ffffffff", "-1"},
    {26, "ffffffff", "4294967295"},
    {28, "ffffffff", "4294967295"},
    {5069, "ffffffffffffffff", "n'18446744073709551615'"},
    {5069, "7fffffffffffffff", "9223372036854775807"},
    {27, "ffffffffffff", "'(4294967295,65535)'"},
    {3220, "ffffffffffffffff", "'FFFFFFFF/FFFFFFFF'"},
    {701, "8000000000000000", "d-0"},
    {701, "fff0000000000000", "d-inf"},
    {701, "0000000000000001", "d4.9406564584124654e-324"},
    {700, "00000001", "d1.4012984643248171e-45"},
    {700, "3dcccccd", "d0.10000000149011612"},
    {1700, "00000000c0000000", "n'NaN'"},
    {1700, "00000000d0000020", "n'Infinity'"},
    {1700, "00000000f0000020", "n'-Infinity'"},
    {1700, "0000000000000002", "n'0.00'"},
    {1700, "0001fffe0000000503e8", "n'0.00001'"},
    {1700, "0002000000000002007b11f8", "n'123.46'"},
    {1700, "0002000040000002007b11f8", "n'-123.46'"},
    {1700, "000100010000000003e8", "n'10000000'"},
    {18, "ff", "'\xff'"},
    {18, "00", "''"},
    {1042, "6120202020", "'a    '"},
    {17, "00ff00", "x'\\00\xff\\00'"},
    {17, "", "x''"},
    {25, "", "''"},
    {1082, "7fffffff", "'infinity'"},
    {1082, "80000000", "'-infinity'"},
    {1082, "ffda97cd", "'4713-01-01 BC'"},
    {1082, "fff4da8b", "'0001-01-01 BC'"},
    {1082, "7fda970c", "'5874897-12-31'"},
    {1082, "ffffd533", "'1970-01-01'"},
    {1082, "00000000", "'2000-01-01'"},
    {1114, "7fffffffffffffff", "'infinity'"},
    {1184, "8000000000000000", "'-infinity'"},
    {1114, "fd0f7cc1411fa000", "'4714-11-24T00:00:00.000000 BC'"},
    {1184, "fd0f7cc1411fa000", "'4714-11-24T00:00:00.000000Z BC'"},
    {1114, "fd0f84608fbb0000", "'4713-02-29T00:00:00.000000 BC'"},
    {1114, "7fffff5bb3b29fff", "'294276-12-31T23:59:59.999999'"},
    {1114, "ffffffffffffffff", "'1999-12-31T23:59:59.999999'"},
    {1184, "0000000000000000", "'2000-01-01T00:00:00.000000Z'"},
    {1083, "000000141dd76000", "'24:00:00'"},
    {1083, "0000000000000001", "'00:00:00.000001'"},
    {1266, "0000000000000000ffff1f01", "'00:00:00+15:59:59'"},
    {1186, "00000000000f4240ffffffff00000001", "'1 mon -1 days +00:00:01'"},
    {1186, "0000000000000000000000007f50c600", "'178000000 years'"},
    {1186, "00000000000000000000000000000000", "'00:00:00'"},
    {1186,
     "8000000000000000"
     "80000000"
     "80000000",
     "'-infinity'"},
    {114, "225c753030303022", "j'\"\\u0000\"'"},
    {3802, "015b5d", "j'[]'"},
    {3802, "017b7d", "j'{}'"},
    {869, "022000040a000001", "'10.0.0.1'"},
    {869, "021e00040a000000", "'10.0.0.0/30'"},
    {650, "022001040a000000", "'10.0.0.0/32'"},
    {869, "0380001000000000000000000000000000000001", "'::1'"},
    {869, "0380001000000000000000000000ffff01020304", "'::ffff:1.2.3.4'"},
    {1562, "00000000", "''"},
    {1560, "00000003a0", "'101'"},
    {1562, "000000090080", "'000000001'"},
    {829, "080027000102", "'08:00:27:00:01:02'"},
    {2950, "00112233445566778899aabbccddeeff",
     "'00112233-4455-6677-8899-aabbccddeeff'"},
    {2278, "", "null"},
    {3904, "01", "empty"},
    {3904, "18", "(null,null)"},
    {3904, "120000000400000005", "<5,null)"},
    {3904,
     "08000000040000"
     "0006",
     "(null,6)"},
    {RANGE_T, "0600000000000000017a", "<'','z'>"},
    {4451, "00000000", "m[1:]"},
    {4451,
     "00000001"
     "00000011"
     "02"
     "00000004"
     "00000001"
     "00000004"
     "00000005",
     "m[1:<1,5)]"},
    {1007, "000000000000000000000017", "[0:]"},
    {1007,
     "00000001"
     "00000001"
     "00000017"
     "00000002"
     "00000001"
     "00000004"
     "00000007"
     "ffffffff",
     "[1:7 null]"},
    {1007,
     "00000001"
     "00000000"
     "00000017"
     "00000001"
     "00000000"
     "00000004"
     "00000007",
     "@0[1:7]"},
    {1007,
     "00000002"
     "00000000"
     "00000017"
     "00000001"
     "00000001"
     "00000002"
     "ffffffff"
     "00000004"
     "00000001"
     "00000004"
     "00000002",
     "@1@-1[2:[1:1 2]]"},
    {22,
     "00000001"
     "00000000"
     "00000015"
     "00000002"
     "00000000"
     "00000002"
     "0001"
     "00000002"
     "0002",
     "[1:1 2]"},
    {2249,
     "00000002"
     "00000017"
     "00000004"
     "00000001"
     "00000019"
     "ffffffff",
     "{1 null}"},
    {2249, "00000000", "{}"},
    {COMP,
     "00000002"
     "00000017"
     "00000004"
     "00000001"
     "00000019"
     "00000001"
     "78",
     "{'id'=1 'a \"b'='x'}"},
    {MOOD, "6869", "'hi'"},
    {DOM, "00000005", "5"},
    {DOM_ARRAY,
     "00000001"
     "00000000"
     "0000c353"
     "00000001"
     "00000001"
     "00000004"
     "00000005",
     "[1:5]"},
    {HSTORE,
     "00000002"
     "00000001"
     "61"
     "ffffffff"
     "00000000"
     "00000001"
     "78",
     "h{'a'=null ''='x'}"},
};

enum { SAMPLES = sizeof samples / sizeof samples[0] };

/* Exactly as many bytes as there are, so that a sanitizer sees one more. */
static char *from_hex(const char *hex, int *len) {
  size_t n = strlen(hex) / 2;
  char *p = prg_alloc(n);
  for (size_t i = 0; i < n; i++) {
    char pair[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
    p[i] = (char)strtoul(pair, NULL, 16);
  }
  *len = (int)n;
  return p;
}

static void test_samples(struct pg_catalog *cat) {
  for (size_t i = 0; i < SAMPLES; i++) {
    int len;
    char *data = from_hex(samples[i].hex, &len);
    char *got = decode_dump(cat, samples[i].oid, PG_BINARY_FORMAT, data, len);
    check_same(samples[i].hex, got, samples[i].want);
    prg_free(got);
    /* No part of a value is a value, but where every length is right. */
    struct prg_value v;
    enum pg_fast fast =
        pg_type_fast(pg_type_find(cat, samples[i].oid), PG_BINARY_FORMAT);
    if (pg_decode_fast(fast, data, len, &v)) {
      struct prg_buf b;
      prg_buf_init(&b, 0);
      dump(&v, &b);
      check_same(samples[i].hex, b.data, samples[i].want);
      prg_buf_fini(&b);
    }
    prg_free(data);
  }
}

static void test_text(struct pg_catalog *cat) {
  static const struct {
    uint32_t oid;
    const char *text, *want;
  } rows[] = {
      /* long: table */
      {16, "t", "true"},
      {20, "-9223372036854775808", "-9223372036854775808"},
      {20, "9223372036854775808",
       "database: malformed value of type bigint: range"},
      {5069, "18446744073709551615", "n'18446744073709551615'"},
      {700, "0.1", "d0.10000000149011612"},
      {701, "NaN", "dnan"},
      {701, "-0", "d-0"},
      {17, "\\x00ff", "x'\\00\xff'"},
      {17, "a\\\\b\\001", "x'a\\b\\01'"},
      {18, "\\377", "'\xff'"},
      {1114, "2026-11-20 08:30:00", "'2026-11-20T08:30:00.000000'"},
      {1184, "2026-11-20 08:30:00.5+01", "'2026-11-20T07:30:00.500000Z'"},
      {1184, "2000-01-01 00:00:00-03:30", "'2000-01-01T03:30:00.000000Z'"},
      {1184, "1850-01-01 00:00:00+00:19:32", "'1849-12-31T23:40:28.000000Z'"},
      {1184, "0001-01-01 00:00:00+01 BC", "'0002-12-31T23:00:00.000000Z BC'"},
      {1114, "20.11.2026 08:30:00", "'20.11.2026 08:30:00'"},
      {1007, "{}", "[0:]"},
      {1007, "{1,NULL}", "[1:1 null]"},
      {1007, "[0:2]={1,2,3}", "@0[1:1 2 3]"},
      {1007, "[1:3][-1:0]={{1,2},{4,5},{6,7}}",
       "@1@-1[2:[1:1 2] [1:4 5] [1:6 7]]"},
      {1007, "{1", "database: malformed value of type _int4: braces"},
      {1009, "{\"a,b\",\"c\\\"d\",NULL,\"NULL\",\"\",\" sp \",x}",
       "[1:'a,b' 'c\"d' null 'NULL' '' ' sp ' 'x']"},
      {1020, "{(1,1),(0,0);(2,2),(1,1)}", "[1:'(1,1),(0,0)' '(2,2),(1,1)']"},
      {22, "1 2 3", "[1:1 2 3]"},
      {22, "", "[0:]"},
      {COMP, "(1,\"a \"\"b\\\\\")", "{'id'=1 'a \"b'='a \"b\\'}"},
      {COMP, "(,)", "{'id'=null 'a \"b'=null}"},
      {COMP_ARRAY, "{\"(1,x)\",NULL}", "[1:{'id'=1 'a \"b'='x'} null]"},
      {3904, "[1,5)", "<1,5)"},
      {3904, "empty", "empty"},
      {RANGE_T, "[\"\",\"c,d)\"]", "<'','c,d)'>"},
      {4451, "{[1,5),[7,)}", "m[1:<1,5) <7,null)]"},
      {4451, "{}", "m[1:]"},
      {HSTORE, "\"a\"=>NULL, \"b,c\"=>\"x\\\"=>\"",
       "h{'a'=null 'b,c'='x\"=>'}"},
      {HSTORE, "", "h{}"},
      {GONE, "what ever", "'what ever'"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    char *got = decode_dump(cat, rows[i].oid, PG_TEXT_FORMAT, rows[i].text,
                            (int)strlen(rows[i].text));
    check_same(rows[i].text, got, rows[i].want);
    prg_free(got);
  }
}

/* ---- malformed ----------------------------------------------------------- */

static void test_malformed(struct pg_catalog *cat) {
  static const struct {
    uint32_t oid;
    const char *hex;
  } rows[] = {
      /* long: table */
      {23, "000000"},
      {16, ""},
      {1700, "00000000"},
      {1700, "fffd000000000000"},                         /* ndigits 65533 */
      {1700, "00010000000000002710"},                     /* a digit of 10000 */
      {1700, "0000000000004000"},                         /* dscale 16384 */
      {1700, "0000000012340000"},                         /* sign */
      {1007, "0000000100000000"},                         /* no element type */
      {1007, "000000010000000000000017"},                 /* no dimension */
      {1007, "0000000100000000000000177fffffff00000001"}, /* 2^31 elements */
      {1007,
       "0000000200000000000000170001000000000001"
       "0001000000000001"},
      {1007, "0000000700000000000000170000000100000001"}, /* 7 dimensions */
      {1007, "000000010000000000000017ffffffff00000001"}, /* -1 elements */
      {1007, "00000001000000000000001700000001000000017fffffff"},
      {1007, "0000000100000000000000170000000100000001fffffffe"},
      {1007, "00000001000000000000001700000001000000010000000400000001ff"},
      {2249, "7fffffff"},
      {2249, "0000000100000017"},
      {2249, "000000010000001700000005ffffffff"},
      {3904, ""},
      {3904, "02"},
      {3904, "02000000047fffffff"},
      {3904, "0100"},
      {4451, "7fffffff"},
      {4451,
       "0000000100000002"
       "12"},
      {HSTORE, "7fffffff"},
      {HSTORE, "00000001ffffffffffffffff"}, /* no key */
      {HSTORE, "000000010000000161"},
      {869, "0220000402"},
      {869, "0520000401020304"},
      {869, "0221000401020304"},
      {1560, "7fffffff00"},
      {1560, "ffffffff"},
      {3802, "027b7d"},
      {3802, ""},
      {829, "0011"},
      {600, "00"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    int len;
    char *data = from_hex(rows[i].hex, &len);
    char *got = decode_dump(cat, rows[i].oid, PG_BINARY_FORMAT, data, len);
    check(strncmp(got, "database: malformed", 19) == 0, rows[i].hex, got,
          "database: malformed …");
    prg_free(got);
    prg_free(data);
  }
}

/* What a composite says about itself is compared with what is known of it. */
static void test_stale(void) {
  static const char two[] =
      "0000000100000017"
      "00000004"
      "00000001";
  struct pg_catalog *cat = pg_catalog_new();
  struct prg_error *err = NULL;
  struct prg_value v;
  struct prg_arena arena;
  int len;
  prg_arena_init(&arena);
  check(learn_offline(cat, &err) == PRG_OK, "learn", "", "");
  unsigned before = pg_catalog_generation(cat);
  check(learn_offline(cat, &err) == PRG_OK &&
            pg_catalog_generation(cat) == before,
        "learning the same changes nothing", "", "");
  char *data = from_hex(two, &len);
  const struct pg_type *t = pg_type_find(cat, COMP);
  int rc = pg_decode(cat, t, PG_BINARY_FORMAT, data, len, &arena, &v, &err);
  check(rc == PRG_ERR && err->kind == PRG_K_DATABASE && err->retryable,
        "a changed composite is retryable", prg_error_message(err), "");
  prg_error_unref(err);
  err = NULL;
  check(!pg_catalog_knows(cat, COMP), "it is forgotten", "", "");
  check(!pg_catalog_knows(cat, COMP_ARRAY), "and so is its array", "", "");
  check(pg_catalog_knows(cat, MOOD), "but not the others", "", "");
  check(strcmp(pg_type_name(t), "comp") == 0, "the pointer lives", "", "");
  check(learn_offline(cat, &err) == PRG_OK && pg_type_find(cat, COMP) == t,
        "learnt again", "", "");
  pg_catalog_expire(cat);
  check(!pg_catalog_knows(cat, MOOD) && pg_catalog_knows(cat, 23) &&
            pg_catalog_knows(cat, 0),
        "expire", "", "");
  prg_free(data);
  /* A type unknown inside a record is asked for next time. */
  data = from_hex(
      "00000001"
      "0000c352"
      "00000001"
      "61",
      &len);
  rc = pg_decode(cat, pg_type_find(cat, 2249), PG_BINARY_FORMAT, data, len,
                 &arena, &v, &err);
  const uint32_t *oids;
  check(rc == PRG_ERR && err->retryable && pg_catalog_wanted(cat, &oids) == 1 &&
            oids[0] == MOOD,
        "wanted", "", "");
  prg_error_unref(err);
  err = NULL;
  check(
      learn_offline(cat, &err) == PRG_OK && pg_catalog_wanted(cat, &oids) == 0,
      "no longer wanted", "", "");
  prg_free(data);
  prg_arena_fini(&arena);
  pg_catalog_free(cat);
}

/* ---- short memory -------------------------------------------------------- */

static void test_memory(void) {
  for (long n = 1, rc = PRG_ERR; rc != PRG_OK && n < 1000; n++) {
    struct prg_error *err = NULL;
    struct pg_catalog *cat = pg_catalog_new();
    prg_mem_fail_after(n);
    rc = learn_offline(cat, &err);
    prg_mem_fail_after(0);
    prg_error_unref(err);
    pg_catalog_free(cat);
  }
  struct pg_catalog *cat = pg_catalog_new();
  struct prg_error *err = NULL;
  check(learn_offline(cat, &err) == PRG_OK, "learn", "", "");
  for (size_t i = 0; i < SAMPLES; i++) {
    int len, rc = PRG_ERR;
    char *data = from_hex(samples[i].hex, &len);
    for (long n = 1; rc != PRG_OK && n < 100; n++) {
      struct prg_arena arena;
      struct prg_value v;
      struct pg_param out;
      prg_arena_init(&arena);
      prg_mem_fail_after(n);
      rc = pg_decode(cat, pg_type_find(cat, samples[i].oid), PG_BINARY_FORMAT,
                     data, len, &arena, &v, &err);
      if (rc == PRG_OK)
        rc = pg_encode(cat, (struct pg_target){samples[i].oid, 0}, &v, &arena,
                       &out, &err);
      prg_mem_fail_after(0);
      prg_error_unref(err);
      err = NULL;
      prg_arena_fini(&arena);
    }
    check(rc == PRG_OK, "ends well", samples[i].hex, "");
    prg_free(data);
  }
  pg_catalog_free(cat);
}

/* ---- mutated bytes ------------------------------------------------------- */

static unsigned long seed;

static uint32_t random32(void) {
  return check_random(&seed, 0x7fffffff) >> 7;
}

static int mutate(char *p, int len, int cap) {
  static const unsigned char edge[] = {0,   1,   2,    0x7f, 0x80, 0xff, '{',
                                       '}', '"', '\\', ',',  '(',  '[',  '='};
  for (uint32_t n = 1 + random32() % 4; n > 0; n--) {
    int at = len > 0 ? (int)(random32() % (uint32_t)len) : 0;
    switch (random32() % 5) {
      case 0:
        len = at;
        break;
      case 1:
        if (len < cap) p[len++] = (char)random32();
        break;
      case 2:
        if (len > 0) p[at] = (char)edge[random32() % sizeof edge];
        break;
      case 3:
        if (len > 0) p[at] = (char)random32();
        break;
      case 4:
        for (int i = at; i < len && i < at + 4; i++)
          p[i] = (char)(random32() % 2 ? 0xff : i == at ? 0x7f : 0);
        break;
    }
  }
  return len;
}

/* Any answer is fine but a crash, or memory that the bytes do not excuse. */
static void fuzz_one(struct pg_catalog *cat, uint32_t oid, int format,
                     const char *data, int len) {
  struct prg_arena arena;
  struct prg_value v;
  struct pg_param out;
  struct prg_error *err = NULL;
  char *exact = prg_alloc((size_t)len);
  memcpy(exact, data, (size_t)len);
  prg_arena_init(&arena);
  if (pg_decode(cat, pg_type_find(cat, oid), format, exact, len, &arena, &v,
                &err) == PRG_OK) {
    struct prg_buf b;
    prg_buf_init(&b, 0);
    dump(&v, &b);
    prg_buf_fini(&b);
    check(arena.used < (64U << 20), "memory", "", "");
    if (pg_encode(cat, (struct pg_target){oid, 0}, &v, &arena, &out, &err) !=
        PRG_OK)
      check(err->kind == PRG_K_USAGE, "kind", prg_error_message(err), "usage");
  } else {
    check(err->kind == PRG_K_DATABASE || err->kind == PRG_K_UNSUPPORTED, "kind",
          prg_error_message(err), "database");
  }
  prg_error_unref(err);
  prg_arena_fini(&arena);
  prg_free(exact);
}

static void test_fuzz(void) {
  long rounds = check_rounds(200);
  seed = check_seed();
  struct pg_catalog *cat = pg_catalog_new();
  struct prg_error *err = NULL;
  for (long n = 0; n < rounds; n++) {
    if (n % 16 == 0) {
      /* What turned out to be stale is known again. */
      check(learn_offline(cat, &err) == PRG_OK, "learn", "", "");
    }
    for (size_t i = 0; i < SAMPLES; i++) {
      char work[256];
      int len;
      char *data = from_hex(samples[i].hex, &len);
      memcpy(work, data, (size_t)len);
      prg_free(data);
      len = mutate(work, len, sizeof work);
      fuzz_one(cat, samples[i].oid, PG_BINARY_FORMAT, work, len);
      /* The same bytes, and a text, under another type. */
      uint32_t other = samples[random32() % SAMPLES].oid;
      fuzz_one(cat, other, (int)(random32() % 2), work, len);
      len = snprintf(work, sizeof work, "%s",
                     random32() % 2 ? "[0:1]={\"a\\\"\",NULL,{1,2}}"
                                    : "{[\"a\",1),(,\"b\"\"\"]}(\"a\"=>\"b\")");
      len = mutate(work, len, sizeof work);
      fuzz_one(cat, other, PG_TEXT_FORMAT, work, len);
    }
  }
  pg_catalog_free(cat);
}

/* ---- running ------------------------------------------------------------- */

static void test_with_catalog(void) {
  struct pg_catalog *cat = new_catalog();
  test_samples(cat);
  test_text(cat);
  test_malformed(cat);
  pg_catalog_free(cat);
}

int main(void) {
  RUN(test_with_catalog);
  RUN(test_stale);
  RUN(test_memory);
  RUN(test_fuzz);
  return check_result();
}
