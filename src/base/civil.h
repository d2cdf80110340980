/*
** Values that are written as text, in one form each, so that the order of texts
** is the order of values where the database knows no better (SQLite): dates and
** times in the ISO 8601 forms that people write, UUIDs, decimals. Pure.
*/
#ifndef PRG_BASE_CIVIL_H
#define PRG_BASE_CIVIL_H

#include <stdbool.h>
#include <stddef.h>

enum prg_civil {
  PRG_CIVIL_DATE,       /* 2026-11-20 */
  PRG_CIVIL_TIME,       /* 08:30:00, 08:30:00.5: no zeros at the end */
  PRG_CIVIL_TIMESTAMP,  /* 2026-11-20T08:30:00.123456: always six digits */
  PRG_CIVIL_TIMESTAMPTZ /* 2026-11-20T08:30:00.123456Z: in UTC */
};

enum { PRG_CIVIL_ROOM = 40 };

/* Reads `n` bytes and writes the one form of the value into `out`
** (PRG_CIVIL_ROOM bytes) with a zero byte after it; returns its length. 0: not a
** value of this kind, an impossible one (31 April, 25:00), one outside of the
** years 1 to 9999, or one that would lose something (seven digits, a zone where
** there can be none). A timestamp may be a date alone, and its seconds may be
** missing; the zone is Z or ±hh[[:]mm], and UTC when it is missing. The words
** infinity and -infinity stay, but for times. */
size_t prg_civil(enum prg_civil kind, const char *s, size_t n, char *out);

/* A UUID of 32 hexadecimal digits, with hyphens (8-4-4-4-12) or without, in lower
** case with hyphens. `out` has room for 37 bytes. */
bool prg_uuid(const char *s, size_t n, char *out);

/* A decimal number as SQL has it: digits, a point, an exponent. */
struct prg_decimal {
  size_t digits; /* significant: without zeros at either end; 0 is 0 */
  long exponent; /* of ten, of the first of them: 1 for 12.5; 0 for 0 */
};

/* False when it is none, or its exponent is over four digits. */
bool prg_decimal_read(const char *s, size_t n, struct prg_decimal *out);

#endif
