/* numeric from its binary form to exact text, as numeric_out() writes it. */
#include "driver/postgres/pg_types_int.h"

/* The header of numeric_send() in PostgreSQL's utils/adt/numeric.c: ndigits,
** weight, sign, dscale, each 16 bit; then the digits, base 10000. The value is
** the sum of digit[i] * 10000 ^ (weight - i). */
enum {
  HEADER = 8,
  BASE_DIGITS = 4,
  BASE = 10000,
  MAX_DSCALE = 0x3FFF,
  POSITIVE = 0x0000,
  NEGATIVE = 0x4000,
  NAN_SIGN = 0xC000,
  PLUS_INF = 0xD000,
  MINUS_INF = 0xF000
};

struct numeric {
  int ndigits, weight, sign, dscale;
  const char *digits;
};

static struct numeric read_header(const char *p) {
  struct numeric x = {pg_get16(p), (int16_t)pg_get16(p + 2), pg_get16(p + 4),
                      pg_get16(p + 6), p + HEADER};
  return x;
}

static bool is_special(int sign) {
  return sign == NAN_SIGN || sign == PLUS_INF || sign == MINUS_INF;
}

size_t pg_numeric_room(const char *p, size_t n) {
  if (n < HEADER) return 0;
  struct numeric x = read_header(p);
  if (n != HEADER + 2 * (size_t)x.ndigits) return 0;
  if (is_special(x.sign)) return sizeof "-Infinity";
  if (x.sign != POSITIVE && x.sign != NEGATIVE) return 0;
  if (x.dscale > MAX_DSCALE) return 0;
  for (int i = 0; i < x.ndigits; i++)
    if (pg_get16(x.digits + 2 * i) >= BASE) return 0;
  size_t before = x.weight < 0 ? 1 : ((size_t)x.weight + 1) * BASE_DIGITS;
  return before + (size_t)x.dscale + BASE_DIGITS + sizeof "-.";
}

/* The base 10000 digit that stands `i` places after the first one. */
static unsigned digit_at(const struct numeric *x, int i) {
  return i >= 0 && i < x->ndigits ? pg_get16(x->digits + 2 * i) : 0;
}

static char *write_digit(char *to, unsigned digit) {
  to[0] = (char)('0' + digit / 1000);
  to[1] = (char)('0' + digit / 100 % 10);
  to[2] = (char)('0' + digit / 10 % 10);
  to[3] = (char)('0' + digit % 10);
  return to + BASE_DIGITS;
}

static char *write_whole(const struct numeric *x, char *to) {
  char *start = to;
  for (int i = 0; i <= x->weight; i++) to = write_digit(to, digit_at(x, i));
  char *first = start;
  while (first < to && *first == '0') first++;
  size_t n = (size_t)(to - first);
  memmove(start, first, n);
  if (n == 0) start[n++] = '0';
  return start + n;
}

static char *write_fraction(const struct numeric *x, char *to) {
  char *end = to + x->dscale;
  /* May write up to three digits past `end`; there is room. */
  for (int i = x->weight + 1; to < end; i++)
    to = write_digit(to, digit_at(x, i));
  return end;
}

size_t pg_numeric_write(const char *p, size_t n, char *buf) {
  (void)n;
  struct numeric x = read_header(p);
  if (is_special(x.sign)) {
    const char *word = x.sign == NAN_SIGN   ? "NaN"
                       : x.sign == PLUS_INF ? "Infinity"
                                            : "-Infinity";
    size_t len = strlen(word);
    memcpy(buf, word, len);
    return len;
  }
  char *to = buf;
  if (x.sign == NEGATIVE) *to++ = '-';
  to = write_whole(&x, to);
  if (x.dscale > 0) {
    *to++ = '.';
    to = write_fraction(&x, to);
  }
  return (size_t)(to - buf);
}
