/* Dates, times, UUIDs and decimals as text (base/civil.h). */
#include "base/civil.h"

#include "check.h"

static const char *civil(enum prg_civil kind, const char *s) {
  static char out[PRG_CIVIL_ROOM];
  size_t n = prg_civil(kind, s, strlen(s), out);
  if (n == 0) return "refused";
  CHECK(n == strlen(out) && n < sizeof out);
  return out;
}

struct example {
  const char *given, *want; /* want NULL: refused */
};

static void check_all(enum prg_civil kind, const struct example *e, size_t n) {
  for (size_t i = 0; i < n; i++) {
    const char *want = e[i].want != NULL ? e[i].want : "refused";
    CHECK_STR(civil(kind, e[i].given), want);
    /* What was written is read as the same. */
    if (e[i].want != NULL) CHECK_STR(civil(kind, e[i].want), want);
  }
}

#define CHECK_ALL(kind, list) check_all(kind, list, sizeof list / sizeof *list)

static void test_dates(void) {
  static const struct example list[] = {
      {"2026-11-20", "2026-11-20"},
      {"0001-01-01", "0001-01-01"},
      {"9999-12-31", "9999-12-31"},
      {"2024-02-29", "2024-02-29"},
      {"2000-02-29", "2000-02-29"},
      {"infinity", "infinity"},
      {"-infinity", "-infinity"},
      {"2023-02-29", NULL},
      {"1900-02-29", NULL},
      {"2026-04-31", NULL},
      {"2026-00-01", NULL},
      {"2026-13-01", NULL},
      {"2026-01-00", NULL},
      {"0000-01-01", NULL},
      {"10000-01-01", NULL},
      {"-2026-01-01", NULL},
      {"0044-03-15 BC", NULL},
      {"2026-1-1", NULL},
      {"20261120", NULL},
      {"2026-11-20T00:00:00", NULL},
      {" 2026-11-20", NULL},
      {"2026-11-20 ", NULL},
      {"", NULL},
      {"now", NULL},
      {"Infinity", NULL},
  };
  CHECK_ALL(PRG_CIVIL_DATE, list);
}

static void test_times(void) {
  static const struct example list[] = {
      {"08:30", "08:30:00"},
      {"08:30:01", "08:30:01"},
      {"08:30:01.5", "08:30:01.5"},
      {"08:30:01.500000", "08:30:01.5"},
      {"08:30:01.000000", "08:30:01"},
      {"08:30:10", "08:30:10"},
      {"08:30:00.000001", "08:30:00.000001"},
      {"00:00:00", "00:00:00"},
      {"23:59:59.999999", "23:59:59.999999"},
      {"08:30:00.1230000", "08:30:00.123"},
      {"08:30:00.1234567", NULL},
      {"24:00:00", NULL},
      {"23:60:00", NULL},
      {"23:59:60", NULL},
      {"8:30", NULL},
      {"08", NULL},
      {"08:3", NULL},
      {"08:30:", NULL},
      {"08:30:00.", NULL},
      {"08:30:00Z", NULL},
      {"infinity", NULL},
      {"", NULL},
  };
  CHECK_ALL(PRG_CIVIL_TIME, list);
}

static void test_timestamps(void) {
  static const struct example list[] = {
      {"2026-11-20T08:30:00.123456", "2026-11-20T08:30:00.123456"},
      {"2026-11-20 08:30:00", "2026-11-20T08:30:00.000000"},
      {"2026-11-20 08:30", "2026-11-20T08:30:00.000000"},
      {"2026-11-20t08:30:00.1", "2026-11-20T08:30:00.100000"},
      {"2026-11-20", "2026-11-20T00:00:00.000000"},
      {"infinity", "infinity"},
      {"-infinity", "-infinity"},
      {"2026-11-20T08:30:00Z", NULL},
      {"2026-11-20T08:30:00+00", NULL},
      {"2026-11-20  08:30:00", NULL},
      {"2026-11-20T", NULL},
      {"2026-11-20T08:30:00.1234567", NULL},
      {"2026-02-30T08:30:00", NULL},
      {"2026-11-20T08:30:00.123456 and much more of it", NULL},
  };
  CHECK_ALL(PRG_CIVIL_TIMESTAMP, list);
}

static void test_zones(void) {
  static const struct example list[] = {
      {"2026-11-20T08:30:00.123456Z", "2026-11-20T08:30:00.123456Z"},
      {"2026-11-20 08:30:00z", "2026-11-20T08:30:00.000000Z"},
      {"2026-11-20 08:30:00+02", "2026-11-20T06:30:00.000000Z"},
      {"2026-11-20 08:30:00+0230", "2026-11-20T06:00:00.000000Z"},
      {"2026-11-20 08:30:00-02:30", "2026-11-20T11:00:00.000000Z"},
      {"2026-11-20 08:30", "2026-11-20T08:30:00.000000Z"},
      {"2026-11-20", "2026-11-20T00:00:00.000000Z"},
      {"2026-12-31T23:30:00-01", "2027-01-01T00:30:00.000000Z"},
      {"2026-01-01T00:30:00+01", "2025-12-31T23:30:00.000000Z"},
      {"2024-03-01T00:00:00+00:01", "2024-02-29T23:59:00.000000Z"},
      {"2024-02-28T23:59:00-00:01", "2024-02-29T00:00:00.000000Z"},
      {"2026-11-20T08:30:00+15:59", "2026-11-19T16:31:00.000000Z"},
      {"infinity", "infinity"},
      {"0001-01-01T00:00:00+01", NULL},
      {"9999-12-31T23:59:59-01", NULL},
      {"2026-11-20 08:30:00+16", NULL},
      {"2026-11-20 08:30:00+02:60", NULL},
      {"2026-11-20 08:30:00+2", NULL},
      {"2026-11-20 08:30:00+02:", NULL},
      {"2026-11-20 08:30:00 UTC", NULL},
      {"2026-11-20 08:30:00Zx", NULL},
      {"2026-11-20 08:30:00+", NULL},
      {"2026-11-20+02", NULL},
  };
  CHECK_ALL(PRG_CIVIL_TIMESTAMPTZ, list);
}

/* The order of texts is that of times. */
static void test_order(void) {
  static const char *const times[] = {"08:30:00",   "08:30:00.000001",
                                      "08:30:00.1", "08:30:00.15",
                                      "08:30:00.2", "08:30:01"};
  char a[PRG_CIVIL_ROOM], b[PRG_CIVIL_ROOM];
  for (size_t i = 0; i + 1 < sizeof times / sizeof *times; i++) {
    CHECK(prg_civil(PRG_CIVIL_TIME, times[i], strlen(times[i]), a) > 0);
    CHECK(prg_civil(PRG_CIVIL_TIME, times[i + 1], strlen(times[i + 1]), b) > 0);
    CHECK(strcmp(a, b) < 0);
  }
}

static void test_uuids(void) {
  static const char want[] = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
  static const char *const good[] = {"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
                                     "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
                                     "a0eebc999c0b4ef8bb6d6bb9bd380a11",
                                     "A0eebc999c0b4ef8bb6d6bb9bd380A11"};
  static const char *const bad[] = {"",
                                    "a0eebc99",
                                    "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1",
                                    "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a111",
                                    "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1g",
                                    "a0eebc999c0b-4ef8-bb6d-6bb9bd380a111",
                                    "a0eebc999-c0b-4ef8-bb6d-6bb9bd380a11",
                                    "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1}",
                                    "g0eebc999c0b4ef8bb6d6bb9bd380a11"};
  char out[37];
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    CHECK(prg_uuid(good[i], strlen(good[i]), out));
    CHECK_STR(out, want);
  }
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    CHECK(!prg_uuid(bad[i], strlen(bad[i]), out));
}

static void test_decimals(void) {
  static const struct {
    const char *text;
    size_t digits;
    long exponent;
  } good[] = {{"0", 0, 0},         {"-0.000", 0, 0},
              {"1", 1, 0},         {"+1", 1, 0},
              {"12.5", 3, 1},      {"-12.50", 3, 1},
              {"100", 1, 2},       {"0.05", 1, -2},
              {".5", 1, -1},       {"5.", 1, 0},
              {"1000.0010", 7, 3}, {"00012", 2, 1},
              {"1e3", 1, 3},       {"1.5E-3", 2, -3},
              {"0e9999", 0, 0},    {"12e+2", 2, 3},
              {"0.1e1", 1, 0},     {"123456789012345678901234567890", 29, 29}};
  static const char *const bad[] = {"",    "-",   ".",       "e5",    "1e",
                                    "1e+", "1 ",  " 1",      "1.2.3", "0x10",
                                    "1,5", "nan", "1e12345", "--1",   "1_000"};
  struct prg_decimal d;
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    bool ok = prg_decimal_read(good[i].text, strlen(good[i].text), &d);
    if (!CHECK(ok && d.digits == good[i].digits &&
               d.exponent == good[i].exponent))
      fprintf(stderr, "  %s: %zu digits, exponent %ld\n", good[i].text,
              d.digits, d.exponent);
  }
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    if (!CHECK(!prg_decimal_read(bad[i], strlen(bad[i]), &d)))
      fprintf(stderr, "  %s\n", bad[i]);
}

/* Any bytes: no more is read or written than there is (sanitizers see it), and
** what is written is read as the same. */
static void test_random(void) {
  static const char letters[] = "0123456789-:.+TZ aefinty";
  srand((unsigned)check_seed());
  for (int round = 0; round < 200000; round++) {
    size_t n = (size_t)(rand() % 45);
    char *s = malloc(n + 1), out[PRG_CIVIL_ROOM], again[PRG_CIVIL_ROOM];
    REQUIRE(s != NULL);
    for (size_t i = 0; i < n; i++)
      s[i] = letters[(size_t)rand() % (sizeof letters - 1)];
    /* Half of them are nearly right. */
    if (round % 2 == 0 && n > 30) {
      memcpy(s, "2026-11-20T08:30:00.123456+02:00", 32 < n ? 32 : n);
      s[(size_t)rand() % n] = letters[(size_t)rand() % (sizeof letters - 1)];
      n = 32 < n ? 32 : n;
    }
    for (int kind = PRG_CIVIL_DATE; kind <= PRG_CIVIL_TIMESTAMPTZ; kind++) {
      size_t len = prg_civil((enum prg_civil)kind, s, n, out);
      if (len == 0) continue;
      CHECK(prg_civil((enum prg_civil)kind, out, len, again) == len);
      CHECK_STR(again, out);
    }
    free(s);
  }
}

int main(void) {
  RUN(test_dates);
  RUN(test_times);
  RUN(test_timestamps);
  RUN(test_zones);
  RUN(test_order);
  RUN(test_uuids);
  RUN(test_decimals);
  RUN(test_random);
  return check_result();
}
