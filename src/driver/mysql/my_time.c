/* Dates and times between the library's structure and texts. */
#include "driver/mysql/my_int.h"

#include <string.h>

static bool is_zero_date(const MYSQL_TIME *t) {
  return t->month == 0 || t->day == 0;
}

/* The last `n` digits. Rows full of times are common: no printf. */
static char *put(char *out, unsigned long v, int n) {
  for (int i = n; i > 0; i--, v /= 10) out[i - 1] = (char)('0' + v % 10);
  return out + n;
}

static char *put_clock(char *out, const MYSQL_TIME *t, unsigned hour) {
  out = put(out, hour, hour < 100 ? 2 : hour < 1000 ? 3 : 4);
  *out++ = ':';
  out = put(out, t->minute, 2);
  *out++ = ':';
  return put(out, t->second, 2);
}

/* "-26:30:00.5": hours beyond a day, no zeros at the end. */
static char *put_time(char *out, const MYSQL_TIME *t) {
  if (t->neg) *out++ = '-';
  out = put_clock(out, t, t->hour + t->day * 24);
  if (t->second_part == 0) return out;
  *out++ = '.';
  out = put(out, t->second_part, 6);
  while (out[-1] == '0') out--;
  return out;
}

static char *put_date(char *out, const MYSQL_TIME *t) {
  out = put(out, t->year, 4);
  *out++ = '-';
  out = put(out, t->month, 2);
  *out++ = '-';
  return put(out, t->day, 2);
}

size_t my_time_write(enum my_class cl, const MYSQL_TIME *t, bool zero,
                     char *out) {
  char *p = out;
  if (cl == MY_C_TIME) {
    p = put_time(p, t);
  } else {
    if (is_zero_date(t) && !zero) return 0;
    p = put_date(p, t);
    if (cl != MY_C_DATE) {
      *p++ = 'T';
      p = put_clock(p, t, t->hour % 100);
      *p++ = '.';
      p = put(p, t->second_part, 6);
    }
    if (cl == MY_C_STAMP_TZ) *p++ = 'Z';
  }
  *p = '\0';
  return (size_t)(p - out);
}

/* Digits at *p up to `end`, at most `max`; -1: there are none. */
static int number(const char **p, const char *end, int max) {
  int v = 0, n = 0;
  for (; *p < end && n < max && **p >= '0' && **p <= '9'; ++*p, n++)
    v = v * 10 + (**p - '0');
  return n == 0 ? -1 : v;
}

static bool eat(const char **p, const char *end, char ch) {
  if (*p == end || **p != ch) return false;
  ++*p;
  return true;
}

static bool read_fraction(const char **p, const char *end, MYSQL_TIME *t) {
  unsigned long scale = 100000;
  if (!eat(p, end, '.')) return true;
  for (; *p < end && **p >= '0' && **p <= '9'; ++*p, scale /= 10)
    t->second_part += scale * (unsigned long)(**p - '0');
  return true;
}

static bool read_clock(const char **p, const char *end, int digits,
                       MYSQL_TIME *t) {
  int hour = number(p, end, digits), minute, second;
  if (hour < 0 || !eat(p, end, ':')) return false;
  minute = number(p, end, 2);
  if (minute < 0 || !eat(p, end, ':')) return false;
  second = number(p, end, 2);
  if (second < 0) return false;
  t->hour = (unsigned)hour;
  t->minute = (unsigned)minute;
  t->second = (unsigned)second;
  return read_fraction(p, end, t);
}

static bool read_date(const char **p, const char *end, MYSQL_TIME *t) {
  int year = number(p, end, 4), month, day;
  if (year < 0 || !eat(p, end, '-')) return false;
  month = number(p, end, 2);
  if (month < 0 || !eat(p, end, '-')) return false;
  day = number(p, end, 2);
  if (day < 0) return false;
  t->year = (unsigned)year;
  t->month = (unsigned)month;
  t->day = (unsigned)day;
  return true;
}

bool my_time_read(enum my_class cl, const char *s, size_t n, MYSQL_TIME *t) {
  const char *p = s, *end = s + n;
  memset(t, 0, sizeof *t);
  if (cl == MY_C_TIME) {
    t->neg = eat(&p, end, '-');
    return read_clock(&p, end, 4, t) && p == end;
  }
  if (!read_date(&p, end, t)) return false;
  if (cl != MY_C_DATE && eat(&p, end, ' ') && !read_clock(&p, end, 2, t))
    return false;
  return p == end;
}
