/*
** Dates and times from their binary forms to text, and timestamps from the
** server's text to the form that Perigee gives. All forms are those of
** PostgreSQL's utils/adt/datetime.c with DateStyle ISO and IntervalStyle
** postgres, but for timestamps: those always have a T, six digits and, with a
** zone, are in UTC and end in Z.
*/
#include <stdio.h>

#include "driver/postgres/pg_types_int.h"

#define US_SECOND INT64_C(1000000)
#define US_DAY (INT64_C(86400) * US_SECOND)

enum { ROOM = PG_TIME_ROOM };

/* Days from 1 March of year 0 (Gregorian, backwards too) to 2000-01-01. */
enum { EPOCH_DAYS = 730425, ERA_DAYS = 146097, ERA_YEARS = 400 };

struct date {
  int64_t year; /* astronomical: 0 is 1 BC */
  int month, day;
};

static size_t put_word(const char *word, char *buf) {
  size_t n = strlen(word);
  memcpy(buf, word, n + 1);
  return n;
}

/* What snprintf returned, which always fits. */
static size_t length(int n) {
  return n > 0 && n < ROOM ? (size_t)n : 0;
}

/* `v`, below 100, in two digits. Times come one at a time in results of many rows,
** and snprintf takes longer than all the rest. */
static char *put_pair(unsigned v, char *to) {
  static const char pairs[] =
      "00010203040506070809101112131415161718192021222324"
      "25262728293031323334353637383940414243444546474849"
      "50515253545556575859606162636465666768697071727374"
      "75767778798081828384858687888990919293949596979899";
  memcpy(to, pairs + (size_t)v * 2, 2);
  return to + 2;
}

/* Days since 2000-01-01 to a date, by eras of 400 years that begin in March
** (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms"). */
static struct date date_of(int64_t days) {
  int64_t z = days + EPOCH_DAYS;
  int64_t era = (z >= 0 ? z : z - (ERA_DAYS - 1)) / ERA_DAYS;
  unsigned doe = (unsigned)(z - era * ERA_DAYS);
  unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
  unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
  unsigned mp = (5 * doy + 2) / 153;
  struct date d;
  d.day = (int)(doy - (153 * mp + 2) / 5 + 1);
  d.month = (int)(mp < 10 ? mp + 3 : mp - 9);
  d.year = yoe + era * ERA_YEARS + (d.month <= 2);
  return d;
}

/* The reverse. */
static int64_t days_of(struct date d) {
  int64_t y = d.year - (d.month <= 2);
  int64_t era = (y >= 0 ? y : y - (ERA_YEARS - 1)) / ERA_YEARS;
  int yoe = (int)(y - era * ERA_YEARS);
  int doy = (153 * (d.month + (d.month > 2 ? -3 : 9)) + 2) / 5 + d.day - 1;
  int doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
  return era * ERA_DAYS + doe - EPOCH_DAYS;
}

/* Without the " BC". */
static size_t put_date(struct date d, char *buf) {
  int64_t year = d.year > 0 ? d.year : 1 - d.year;
  if (year < 10000) {
    unsigned y = (unsigned)year;
    char *to = put_pair(y % 100, put_pair(y / 100, buf));
    *to++ = '-';
    to = put_pair((unsigned)d.month, to);
    *to++ = '-';
    to = put_pair((unsigned)d.day, to);
    *to = '\0';
    return (size_t)(to - buf);
  }
  return length(
      snprintf(buf, ROOM, "%04lld-%02d-%02d", (long long)year, d.month, d.day));
}

size_t pg_format_date(int32_t days, char *buf) {
  if (days == INT32_MAX) return put_word("infinity", buf);
  if (days == INT32_MIN) return put_word("-infinity", buf);
  struct date d = date_of(days);
  size_t n = put_date(d, buf);
  if (d.year <= 0) n += put_word(" BC", buf + n);
  return n;
}

/* A fraction of a second without the zeros at its end. */
static size_t put_fraction(int us, char *buf) {
  if (us == 0) return 0;
  size_t n = length(snprintf(buf, ROOM / 2, ".%06d", us));
  while (n > 0 && buf[n - 1] == '0') n--;
  return n;
}

/* [h]hh:mm:ss of a time that is not negative. */
static size_t put_clock(int64_t us, char *buf) {
  int64_t s = us / US_SECOND;
  if (s < INT64_C(360000)) {
    unsigned t = (unsigned)s;
    char *to = put_pair(t / 3600, buf);
    *to++ = ':';
    to = put_pair(t / 60 % 60, to);
    *to++ = ':';
    to = put_pair(t % 60, to);
    *to = '\0';
    return (size_t)(to - buf);
  }
  return length(snprintf(buf, ROOM / 2, "%02lld:%02d:%02d",
                         (long long)(s / 3600), (int)(s / 60 % 60),
                         (int)(s % 60)));
}

size_t pg_format_time(int64_t us, char *buf) {
  if (us < 0) us = 0;
  size_t n = put_clock(us, buf);
  return n + put_fraction((int)(us % US_SECOND), buf + n);
}

size_t pg_format_timetz(int64_t us, int32_t west, char *buf) {
  size_t n = pg_format_time(us, buf);
  int64_t east = -(int64_t)west;
  int64_t a = east < 0 ? -east : east;
  n += length(snprintf(buf + n, ROOM / 2, "%c%02d", east < 0 ? '-' : '+',
                       (int)(a / 3600 % 100)));
  if (a % 3600 != 0)
    n += length(snprintf(buf + n, ROOM / 2, ":%02d", (int)(a / 60 % 60)));
  if (a % 60 != 0)
    n += length(snprintf(buf + n, ROOM / 2, ":%02d", (int)(a % 60)));
  return n;
}

size_t pg_format_timestamp(int64_t us, bool utc, char *buf) {
  if (us == INT64_MAX) return put_word("infinity", buf);
  if (us == INT64_MIN) return put_word("-infinity", buf);
  int64_t days = us / US_DAY, rest = us % US_DAY;
  if (rest < 0) {
    rest += US_DAY;
    days--;
  }
  struct date d = date_of(days);
  size_t n = put_date(d, buf);
  buf[n++] = 'T';
  n += put_clock(rest, buf + n);
  buf[n++] = '.';
  unsigned micros = (unsigned)(rest % US_SECOND);
  char *to = put_pair(micros / 10000, buf + n);
  (void)put_pair(micros % 100, put_pair(micros / 100 % 100, to));
  n += 6;
  if (utc) buf[n++] = 'Z';
  buf[n] = '\0';
  if (d.year <= 0) n += put_word(" BC", buf + n);
  return n;
}

/* ---- interval ------------------------------------------------------------ */

/* One part, as AddPostgresIntPart() in datetime.c: a positive part after a
** negative one gets a plus sign. */
static size_t put_part(int64_t value, const char *unit, bool *after_minus,
                       bool first, char *buf) {
  if (value == 0) return 0;
  size_t n = length(snprintf(buf, ROOM / 2, "%s%s%lld %s%s", first ? "" : " ",
                             *after_minus && value > 0 ? "+" : "",
                             (long long)value, unit, value == 1 ? "" : "s"));
  *after_minus = value < 0;
  return n;
}

size_t pg_format_interval(int64_t us, int32_t days, int32_t months, char *buf) {
  /* Infinite intervals came with PostgreSQL 17. */
  if (us == INT64_MAX && days == INT32_MAX && months == INT32_MAX)
    return put_word("infinity", buf);
  if (us == INT64_MIN && days == INT32_MIN && months == INT32_MIN)
    return put_word("-infinity", buf);
  bool minus = false;
  size_t n = 0;
  n += put_part(months / 12, "year", &minus, n == 0, buf + n);
  n += put_part(months % 12, "mon", &minus, n == 0, buf + n);
  n += put_part(days, "day", &minus, n == 0, buf + n);
  if (us == 0 && n > 0) return n;
  if (n > 0) buf[n++] = ' ';
  if (us < 0)
    buf[n++] = '-';
  else if (minus)
    buf[n++] = '+';
  uint64_t a = us < 0 ? 0 - (uint64_t)us : (uint64_t)us;
  uint64_t s = a / (uint64_t)US_SECOND;
  n += length(snprintf(buf + n, ROOM / 2, "%02llu:%02d:%02d",
                       (unsigned long long)(s / 3600), (int)(s / 60 % 60),
                       (int)(s % 60)));
  return n + put_fraction((int)(a % (uint64_t)US_SECOND), buf + n);
}

/* ---- reading timestamps -------------------------------------------------- */

struct reader {
  const char *p, *end;
};

static bool take(struct reader *r, char c) {
  if (r->p == r->end || *r->p != c) return false;
  r->p++;
  return true;
}

/* Between `min` and `max` digits. */
static bool take_number(struct reader *r, int min, int max, int64_t *out) {
  int n = 0;
  *out = 0;
  for (; n < max && r->p < r->end && *r->p >= '0' && *r->p <= '9'; n++)
    *out = *out * 10 + (*r->p++ - '0');
  return n >= min;
}

static bool take_date(struct reader *r, struct date *d) {
  int64_t month, day;
  if (!take_number(r, 4, 7, &d->year) || !take(r, '-') ||
      !take_number(r, 2, 2, &month) || !take(r, '-') ||
      !take_number(r, 2, 2, &day))
    return false;
  d->month = (int)month;
  d->day = (int)day;
  return month >= 1 && month <= 12 && day >= 1 && day <= 31;
}

static bool take_fraction(struct reader *r, int64_t *us) {
  *us = 0;
  if (!take(r, '.')) return true;
  const char *start = r->p;
  if (!take_number(r, 1, 6, us)) return false;
  for (size_t n = (size_t)(r->p - start); n < 6; n++) *us *= 10;
  return true;
}

/* hh:mm:ss with a fraction. */
static bool take_clock(struct reader *r, int64_t *us) {
  int64_t h, m, s, fraction;
  if (!take_number(r, 2, 2, &h) || !take(r, ':') || !take_number(r, 2, 2, &m) ||
      !take(r, ':') || !take_number(r, 2, 2, &s) ||
      !take_fraction(r, &fraction))
    return false;
  *us = ((h * 60 + m) * 60 + s) * US_SECOND + fraction;
  return true;
}

/* +hh[:mm[:ss]]; nothing is zero. */
static bool take_zone(struct reader *r, int64_t *us) {
  int64_t h, m = 0, s = 0;
  *us = 0;
  if (r->p == r->end || (*r->p != '+' && *r->p != '-')) return true;
  int64_t sign = *r->p++ == '-' ? -1 : 1;
  if (!take_number(r, 2, 2, &h)) return false;
  if (take(r, ':') && !take_number(r, 2, 2, &m)) return false;
  if (take(r, ':') && !take_number(r, 2, 2, &s)) return false;
  *us = sign * ((h * 60 + m) * 60 + s) * US_SECOND;
  return true;
}

static bool is_word(const char *s, size_t n, const char *word) {
  return n == strlen(word) && memcmp(s, word, n) == 0;
}

bool pg_parse_timestamp(const char *s, size_t n, int64_t *us) {
  struct reader r = {s, s + n};
  struct date d;
  int64_t clock, zone;
  if (is_word(s, n, "infinity") || is_word(s, n, "-infinity")) {
    *us = s[0] == '-' ? INT64_MIN : INT64_MAX;
    return true;
  }
  if (!take_date(&r, &d) || !take(&r, ' ') || !take_clock(&r, &clock) ||
      !take_zone(&r, &zone))
    return false;
  if (r.end - r.p == 3 && memcmp(r.p, " BC", 3) == 0) {
    d.year = 1 - d.year;
    r.p += 3;
  }
  /* The range of PostgreSQL's timestamps, about; so nothing overflows. */
  if (r.p != r.end || d.year < -4800 || d.year > 294277) return false;
  *us = days_of(d) * US_DAY + clock - zone;
  return true;
}
