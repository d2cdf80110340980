#include "base/civil.h"

#include <stdio.h>
#include <string.h>

struct reader {
  const char *p, *end;
};

struct stamp {
  int year, month, day, hour, minute, second, micro;
  bool has_zone;
  int offset; /* minutes east of UTC */
};

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/* `n` digits as a number, or -1. */
static int read_digits(struct reader *r, int n) {
  int v = 0;
  if (r->end - r->p < n) return -1;
  for (int i = 0; i < n; i++) {
    if (!is_digit(r->p[i])) return -1;
    v = v * 10 + (r->p[i] - '0');
  }
  r->p += n;
  return v;
}

static bool eat(struct reader *r, char c) {
  if (r->p == r->end || *r->p != c) return false;
  r->p++;
  return true;
}

/* ---- reading ------------------------------------------------------------- */

static int days_in(int year, int month) {
  static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  return month == 2 && leap ? 29 : days[month - 1];
}

static bool read_date(struct reader *r, struct stamp *t) {
  t->year = read_digits(r, 4);
  if (t->year < 1 || !eat(r, '-')) return false;
  t->month = read_digits(r, 2);
  if (t->month < 1 || t->month > 12 || !eat(r, '-')) return false;
  t->day = read_digits(r, 2);
  return t->day >= 1 && t->day <= days_in(t->year, t->month);
}

/* The digits after the point; more than six only when the rest is zeros. */
static bool read_fraction(struct reader *r, struct stamp *t) {
  int scale = 100000, count = 0;
  for (; r->p < r->end && is_digit(*r->p); r->p++, count++) {
    if (scale == 0 && *r->p != '0') return false;
    t->micro += scale * (*r->p - '0');
    scale /= 10;
  }
  return count > 0;
}

static bool read_time(struct reader *r, struct stamp *t) {
  t->hour = read_digits(r, 2);
  if (t->hour < 0 || t->hour > 23 || !eat(r, ':')) return false;
  t->minute = read_digits(r, 2);
  if (t->minute < 0 || t->minute > 59) return false;
  if (!eat(r, ':')) return true;
  t->second = read_digits(r, 2);
  if (t->second < 0 || t->second > 59) return false;
  return !eat(r, '.') || read_fraction(r, t);
}

/* Z or ±hh[[:]mm]; nothing is no zone. As far as PostgreSQL goes: 15:59. */
static bool read_zone(struct reader *r, struct stamp *t) {
  int hours, minutes = 0;
  bool west;
  if (r->p == r->end) return true;
  t->has_zone = true;
  if (eat(r, 'Z') || eat(r, 'z')) return true;
  west = *r->p == '-';
  if (!eat(r, '+') && !eat(r, '-')) return false;
  hours = read_digits(r, 2);
  if (hours < 0 || hours > 15) return false;
  if (r->p != r->end) {
    (void)eat(r, ':');
    minutes = read_digits(r, 2);
    if (minutes < 0 || minutes > 59) return false;
  }
  t->offset = hours * 60 + minutes;
  if (west) t->offset = -t->offset;
  return true;
}

static bool read_stamp(struct reader *r, struct stamp *t) {
  if (!read_date(r, t)) return false;
  if (r->p == r->end) return true;
  if (!eat(r, 'T') && !eat(r, 't') && !eat(r, ' ')) return false;
  return read_time(r, t) && read_zone(r, t);
}

/* ---- writing ------------------------------------------------------------- */

static void next_day(struct stamp *t) {
  if (++t->day <= days_in(t->year, t->month)) return;
  t->day = 1;
  if (++t->month <= 12) return;
  t->month = 1;
  t->year++;
}

static void previous_day(struct stamp *t) {
  if (--t->day >= 1) return;
  if (--t->month < 1) {
    t->month = 12;
    t->year--;
  }
  t->day = days_in(t->year, t->month);
}

/* Takes the offset off. False when the year leaves 1 to 9999. */
static bool to_utc(struct stamp *t) {
  int minute = t->hour * 60 + t->minute - t->offset;
  if (minute < 0) {
    previous_day(t);
    minute += 24 * 60;
  } else if (minute >= 24 * 60) {
    next_day(t);
    minute -= 24 * 60;
  }
  t->hour = minute / 60;
  t->minute = minute % 60;
  return t->year >= 1 && t->year <= 9999;
}

/* What snprintf returned, which always fits. */
static size_t length(int n) {
  return n > 0 && n < PRG_CIVIL_ROOM ? (size_t)n : 0;
}

static size_t write_time(const struct stamp *t, char *out) {
  size_t n = length(snprintf(out, PRG_CIVIL_ROOM, "%02d:%02d:%02d.%06d",
                             t->hour, t->minute, t->second, t->micro));
  while (n > 0 && out[n - 1] == '0') n--;
  if (t->micro == 0) n = sizeof "00:00:00" - 1;
  out[n] = '\0';
  return n;
}

/* Has the text, which was read, the form already? */
static bool is_written(const char *s, size_t n, bool utc) {
  return n == (utc ? 27 : 26) && s[10] == 'T' && s[19] == '.' &&
         (!utc || s[26] == 'Z');
}

static size_t write_stamp(const struct stamp *t, bool utc, char *out) {
  return length(snprintf(out, PRG_CIVIL_ROOM,
                         "%04d-%02d-%02dT%02d:%02d:%02d.%06d%s", t->year,
                         t->month, t->day, t->hour, t->minute, t->second,
                         t->micro, utc ? "Z" : ""));
}

static size_t as_stamp(const char *s, size_t n, const struct stamp *t, bool utc,
                       char *out) {
  if (!is_written(s, n, utc)) return write_stamp(t, utc, out);
  memcpy(out, s, n);
  out[n] = '\0';
  return n;
}

static bool is_infinity(const char *s, size_t n) {
  return (n == 8 && memcmp(s, "infinity", 8) == 0) ||
         (n == 9 && memcmp(s, "-infinity", 9) == 0);
}

size_t prg_civil(enum prg_civil kind, const char *s, size_t n, char *out) {
  struct reader r = {s, s + n};
  struct stamp t;
  memset(&t, 0, sizeof t);
  if (n >= PRG_CIVIL_ROOM) return 0;
  if (kind != PRG_CIVIL_TIME && is_infinity(s, n)) {
    memcpy(out, s, n);
    out[n] = '\0';
    return n;
  }
  switch (kind) {
    case PRG_CIVIL_DATE:
      if (!read_date(&r, &t) || r.p != r.end) return 0;
      return length(snprintf(out, PRG_CIVIL_ROOM, "%04d-%02d-%02d", t.year,
                             t.month, t.day));
    case PRG_CIVIL_TIME:
      if (!read_time(&r, &t) || r.p != r.end) return 0;
      return write_time(&t, out);
    case PRG_CIVIL_TIMESTAMP:
      if (!read_stamp(&r, &t) || r.p != r.end || t.has_zone) return 0;
      return as_stamp(s, n, &t, false, out);
    case PRG_CIVIL_TIMESTAMPTZ:
      break;
  }
  if (!read_stamp(&r, &t) || r.p != r.end || !to_utc(&t)) return 0;
  return as_stamp(s, n, &t, true, out);
}

/* ---- UUIDs --------------------------------------------------------------- */

/* The digit in lower case, or 0. */
static char hex_digit(char c) {
  if (is_digit(c) || (c >= 'a' && c <= 'f')) return c;
  return c >= 'A' && c <= 'F' ? (char)(c - 'A' + 'a') : '\0';
}

bool prg_uuid(const char *s, size_t n, char *out) {
  bool hyphens = n == 36;
  size_t k, at = 0;
  if (n != 32 && n != 36) return false;
  for (k = 0; k < 36; k++) {
    bool hyphen = k == 8 || k == 13 || k == 18 || k == 23;
    if (hyphen && hyphens && s[at++] != '-') return false;
    out[k] = hyphen ? '-' : hex_digit(s[at++]);
    if (out[k] == '\0') return false;
  }
  out[36] = '\0';
  return true;
}

/* ---- decimals ------------------------------------------------------------ */

/* The digits before and after the point, counted. False without any. */
static bool count_digits(struct reader *r, struct prg_decimal *d) {
  size_t zeros = 0; /* since the last other digit */
  long before = 0;  /* significant digits before the point */
  bool point = false, any = false;
  d->digits = 0;
  d->exponent = 0;
  for (; r->p < r->end && (is_digit(*r->p) || (*r->p == '.' && !point));
       r->p++) {
    if (*r->p == '.') {
      point = true;
      continue;
    }
    any = true;
    if (*r->p != '0') {
      if (d->digits == 0 && point) before = -(long)zeros;
      d->digits += (d->digits > 0 ? zeros : 0) + 1;
      zeros = 0;
    } else if (d->digits > 0 || point) {
      zeros++;
    }
    if (!point && d->digits > 0) before++;
  }
  if (d->digits > 0) d->exponent = before - 1;
  return any;
}

bool prg_decimal_read(const char *s, size_t n, struct prg_decimal *out) {
  struct reader r = {s, s + n};
  long e = 0;
  bool negative;
  if (!eat(&r, '-')) (void)eat(&r, '+');
  if (!count_digits(&r, out)) return false;
  if (r.p == r.end) return true;
  if (!eat(&r, 'e') && !eat(&r, 'E')) return false;
  negative = eat(&r, '-');
  if (!negative) (void)eat(&r, '+');
  if (r.p == r.end || r.end - r.p > 4) return false;
  for (; r.p < r.end; r.p++) {
    if (!is_digit(*r.p)) return false;
    e = e * 10 + (*r.p - '0');
  }
  if (out->digits > 0) out->exponent += negative ? -e : e;
  return true;
}
