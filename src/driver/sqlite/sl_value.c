#include "driver/sqlite/sl_int.h"

#include "base/civil.h"

#include <ctype.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Texts of a result share pieces of this size. */
#define PIECE ((size_t)4000)

/* ---- declared types ------------------------------------------------------ */

static const struct {
  const char *name;
  enum sl_class cl;
} classes[] = {
    {"bool", SL_C_BOOL},
    {"boolean", SL_C_BOOL},
    {"json", SL_C_JSON},
    {"jsonb", SL_C_JSON},
    {"json_text", SL_C_JSON},
    {"numeric", SL_C_DECIMAL},
    {"decimal", SL_C_DECIMAL},
    {"real", SL_C_DOUBLE},
    {"double", SL_C_DOUBLE},
    {"double precision", SL_C_DOUBLE},
    {"float", SL_C_DOUBLE},
    {"timestamp", SL_C_STAMP},
    {"datetime", SL_C_STAMP},
    {"timestamp without time zone", SL_C_STAMP},
    {"timestamptz", SL_C_STAMP_TZ},
    {"timestamp with time zone", SL_C_STAMP_TZ},
};

/* "TIMESTAMP (6)  WITH time zone" gives "timestamp with time zone". */
static void plain_name(const char *decl, char *out) {
  char *start = out;
  bool in_length = false;

  for (; *decl != '\0'; decl++) {
    if (*decl == '(') in_length = true;
    if (!in_length) {
      if (isspace((unsigned char)*decl)) {
        if (out > start && out[-1] != ' ') *out++ = ' ';
      } else {
        *out++ = (char)tolower((unsigned char)*decl);
      }
    }
    if (*decl == ')') {
      in_length = false;
      if (out > start && out[-1] != ' ') *out++ = ' ';
    }
  }
  while (out > start && out[-1] == ' ') out--;
  *out = '\0';
}

enum sl_class sl_class_of(const char *decl, char *name) {
  if (decl == NULL) {
    *name = '\0';
    return SL_C_PLAIN;
  }
  plain_name(decl, name);
  for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
    if (strcmp(name, classes[i].name) == 0) return classes[i].cl;
  }
  return SL_C_PLAIN;
}

/* ---- decimals ------------------------------------------------------------ */

/* The shortest of 15 or 17 digits that reads back as `d`, in scientific form
** ("-1.25e+20"), which has one digit before its point. */
static void scientific(double d, char *out, size_t size) {
  (void)snprintf(out, size, "%.14e", d);
  if (strtod(out, NULL) != d) (void)snprintf(out, size, "%.16e", d);
}

/* The same for what a column of money has, without printf, which would take
** longer than reading the row: at most six digits behind the point and fifteen in
** all. A quotient of two exact numbers is rounded as a decimal that is read, so
** equality means that the text stands for `d`. 0: none of those. */
static size_t short_decimal(double d, char *out) {
  static const double powers[] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6};
  double a = fabs(d);
  char digits[24];
  int k = 0, n = 0, i;
  int64_t whole;

  if (!(a > 0 && a < 1e9)) return 0;
  for (;; k++) {
    if (k > 6) return 0;
    whole = (int64_t)(a * powers[k] + 0.5);
    if ((double)whole / powers[k] == a) break;
  }
  for (; whole > 0 || n <= k; whole /= 10)
    digits[n++] = (char)('0' + whole % 10);
  i = 0;
  if (d < 0) out[i++] = '-';
  while (n > 0) {
    if (n == k) out[i++] = '.';
    out[i++] = digits[--n];
  }
  out[i] = '\0';
  return (size_t)i;
}

/* `d` as a decimal without an exponent. Room: DBL_MAX needs 310 characters, the
** smallest number 345. */
static size_t decimal_of(double d, char out[400]) {
  char sci[40], digits[20];
  size_t n = 0, len = 0;
  long exp10;
  const char *p = sci;

  len = short_decimal(d, out);
  if (len > 0) return len;
  if (isinf(d)) {
    return (size_t)snprintf(out, 400, "%s", d < 0 ? "-Infinity" : "Infinity");
  }
  scientific(d, sci, sizeof(sci));
  if (*p == '-') out[len++] = *p++;
  for (; *p != 'e'; p++) {
    if (*p >= '0' && *p <= '9') digits[n++] = *p;
  }
  exp10 = strtol(p + 1, NULL, 10);
  while (n > 1 && digits[n - 1] == '0') n--;
  if (exp10 < 0) {
    out[len++] = '0';
    out[len++] = '.';
    for (long i = -1; i > exp10; i--) out[len++] = '0';
  }
  for (size_t i = 0; i < n || (long)i <= exp10; i++) {
    if (exp10 >= 0 && (long)i == exp10 + 1) out[len++] = '.';
    out[len++] = i < n ? digits[i] : '0';
  }
  out[len] = '\0';
  return len;
}

/* ---- timestamps ---------------------------------------------------------- */

/* Is a text that is a timestamp in the six-digit form already? */
static bool is_normal(const char *s, size_t n, bool utc) {
  return n == (utc ? 27 : 26) && s[10] == 'T' && s[19] == '.' &&
         (!utc || s[26] == 'Z');
}

/* Two digits as a number, 100 when they are none. */
static unsigned pair(const char *s) {
  unsigned a = (unsigned)(unsigned char)s[0] - '0';
  unsigned b = (unsigned)(unsigned char)s[1] - '0';

  return a > 9 || b > 9 ? 100 : a * 10 + b;
}

/* Is a text surely a timestamp in the six-digit form? Most are, and this takes a
** quarter of the time of reading it. The last days of a month are not looked at
** here. */
static bool is_plain_stamp(const char *s, size_t n, bool utc) {
  return is_normal(s, n, utc) && s[4] == '-' && s[7] == '-' && s[13] == ':' &&
         s[16] == ':' && pair(s) < 100 && pair(s + 2) < 100 &&
         pair(s) + pair(s + 2) > 0 && pair(s + 5) - 1 < 12 &&
         pair(s + 8) - 1 < 28 && pair(s + 11) < 24 && pair(s + 14) < 60 &&
         pair(s + 17) < 60 && pair(s + 20) < 100 && pair(s + 22) < 100 &&
         pair(s + 24) < 100;
}

/* The six-digit form of a timestamp; 0 when the text is not exactly one. A date
** alone is none, and without a zone it is taken as UTC: SQLite's own
** CURRENT_TIMESTAMP is in UTC and does not say so. */
static size_t normal_stamp(const char *s, size_t n, bool utc, char *out) {
  if (n <= 10 || (s[10] != 'T' && s[10] != ' ')) return 0;
  return prg_civil(utc ? PRG_CIVIL_TIMESTAMPTZ : PRG_CIVIL_TIMESTAMP, s, n,
                   out);
}

/* ---- reading ------------------------------------------------------------- */

/* Room for `n` bytes and a zero. A long text has a piece of its own, so that the
** rest of the present one stays of use. */
static char *piece(struct sl_texts *t, size_t n) {
  char *p;

  if (n >= PIECE / 4)
    return n == SIZE_MAX ? NULL : prg_arena_alloc(&t->arena, n + 1);
  p = prg_arena_alloc(&t->arena, PIECE);
  if (p == NULL) return NULL;
  t->at = p + n + 1;
  t->left = PIECE - n - 1;
  return p;
}

static bool set_text(struct prg_value *v, enum prg_type type, const void *p,
                     size_t n, struct sl_texts *t) {
  char *copy = t->at;

  if (n >= t->left) {
    copy = piece(t, n);
    if (copy == NULL) return false;
  } else {
    t->at += n + 1;
    t->left -= n + 1;
  }
  if (n > 0) memcpy(copy, p, n);
  copy[n] = '\0';
  v->type = type;
  v->u.s.n = n;
  v->u.s.p = copy;
  return true;
}

static bool read_integer(sqlite3_int64 i, enum sl_class cl, struct sl_texts *t,
                         struct prg_value *v) {
  char text[24];

  if (cl == SL_C_BOOL && (i == 0 || i == 1)) {
    v->type = PRG_BOOL;
    v->u.b = i != 0;
  } else if (cl == SL_C_DOUBLE) {
    v->type = PRG_DOUBLE;
    v->u.d = (double)i;
  } else if (cl == SL_C_DECIMAL) {
    int n = snprintf(text, sizeof(text), "%lld", (long long)i);
    return set_text(v, PRG_DECIMAL, text, (size_t)n, t);
  } else {
    v->type = PRG_INT;
    v->wide = true;
    v->u.i = i;
  }
  return true;
}

static bool read_double(double d, enum sl_class cl, struct sl_texts *t,
                        struct prg_value *v) {
  char text[400];

  if (cl == SL_C_DECIMAL) {
    size_t n = decimal_of(d, text);
    return set_text(v, PRG_DECIMAL, text, n, t);
  }
  v->type = PRG_DOUBLE;
  v->u.d = d;
  return true;
}

static bool read_text(const char *p, size_t n, enum sl_class cl,
                      struct sl_texts *t, struct prg_value *v) {
  char stamp[PRG_CIVIL_ROOM];
  size_t len;

  switch (cl) {
    case SL_C_JSON:
      return set_text(v, PRG_JSON, p, n, t);
    case SL_C_DECIMAL:
      return set_text(v, PRG_DECIMAL, p, n, t);
    case SL_C_STAMP:
    case SL_C_STAMP_TZ:
      if (is_plain_stamp(p, n, cl == SL_C_STAMP_TZ)) break;
      len = normal_stamp(p, n, cl == SL_C_STAMP_TZ, stamp);
      if (len > 0) return set_text(v, PRG_TEXT, stamp, len, t);
      break;
    default:
      break;
  }
  return set_text(v, PRG_TEXT, p, n, t);
}

/* The column's value is asked for once. It may only be used because no other
** thread has the handle meanwhile (and then by all functions of values). */
bool sl_value_read(sqlite3_stmt *st, int i, enum sl_class cl,
                   struct sl_texts *t, struct prg_value *out) {
  sqlite3_value *v = sqlite3_column_value(st, i);
  const void *p;

  switch (sqlite3_value_type(v)) {
    case SQLITE_INTEGER:
      return read_integer(sqlite3_value_int64(v), cl, t, out);
    case SQLITE_FLOAT:
      return read_double(sqlite3_value_double(v), cl, t, out);
    case SQLITE_TEXT:
      /* NULL here: the conversion from UTF-16 had no memory. */
      p = sqlite3_value_text(v);
      if (p == NULL) return false;
      return read_text(p, (size_t)sqlite3_value_bytes(v), cl, t, out);
    case SQLITE_BLOB:
      p = sqlite3_value_blob(v);
      return set_text(out, PRG_BYTES, p, (size_t)sqlite3_value_bytes(v), t);
    default:
      out->type = PRG_NULL;
      return true;
  }
}

/* ---- binding ------------------------------------------------------------- */

static struct prg_error *refuse(int i, const char *what, const char *hint) {
  struct prg_error *e = prg_error_new(
      PRG_K_USAGE, "parameter ?%d: %s cannot be stored in SQLite", i, what);
  return prg_error_set(e, PRG_EF_HINT, hint);
}

static const char *type_name(enum prg_type t) {
  switch (t) {
    case PRG_LIST:
      return "a list";
    case PRG_RECORD:
      return "a record";
    case PRG_RANGE:
      return "a range";
    case PRG_MULTIRANGE:
      return "a multirange";
    case PRG_HSTORE:
      return "an hstore";
    default:
      return "this value";
  }
}

struct prg_error *sl_value_refuse(int i, const struct prg_value *v) {
  if (v->type == PRG_DOUBLE && isnan(v->u.d))
    return refuse(i, "NaN", "SQLite would store NULL in its place");
  if (v->type < PRG_LIST) return NULL;
  return refuse(i, type_name(v->type),
                "store it as JSON text: perigee.json(value)");
}

struct prg_error *sl_value_bind(sqlite3_stmt *st, int i,
                                const struct prg_value *v, size_t *bytes) {
  int rc;

  switch (v->type) {
    case PRG_NULL:
      rc = sqlite3_bind_null(st, i);
      break;
    case PRG_BOOL:
      rc = sqlite3_bind_int(st, i, v->u.b ? 1 : 0);
      break;
    case PRG_INT:
      rc = sqlite3_bind_int64(st, i, v->u.i);
      break;
    case PRG_DOUBLE:
      if (isnan(v->u.d)) return sl_value_refuse(i, v);
      rc = sqlite3_bind_double(st, i, v->u.d);
      break;
    case PRG_TEXT:
    case PRG_JSON:
    case PRG_DECIMAL:
      *bytes += v->u.s.n;
      rc = sqlite3_bind_text64(st, i, v->u.s.p == NULL ? "" : v->u.s.p,
                               v->u.s.n, SQLITE_STATIC, SQLITE_UTF8);
      break;
    case PRG_BYTES:
      *bytes += v->u.s.n;
      rc = sqlite3_bind_blob64(st, i, v->u.s.p == NULL ? "" : v->u.s.p,
                               v->u.s.n, SQLITE_STATIC);
      break;
    default:
      return sl_value_refuse(i, v);
  }
  if (rc == SQLITE_OK) return NULL;
  if (rc == SQLITE_NOMEM) return prg_error_oom();
  return prg_error_new(rc == SQLITE_TOOBIG ? PRG_K_DATA : PRG_K_USAGE,
                       "parameter ?%d: %s", i, sqlite3_errstr(rc));
}

size_t sl_value_give(sqlite3_context *ctx, const struct prg_value *v) {
  const char *p;

  switch (v->type) {
    case PRG_NULL:
      return 0;
    case PRG_BOOL:
      sqlite3_result_int(ctx, v->u.b ? 1 : 0);
      return 0;
    case PRG_INT:
      sqlite3_result_int64(ctx, v->u.i);
      return 0;
    case PRG_DOUBLE:
      if (isnan(v->u.d)) break;
      sqlite3_result_double(ctx, v->u.d);
      return 0;
    case PRG_TEXT:
    case PRG_JSON:
    case PRG_DECIMAL:
      p = v->u.s.p == NULL ? "" : v->u.s.p;
      sqlite3_result_text64(ctx, p, v->u.s.n, SQLITE_STATIC, SQLITE_UTF8);
      return v->u.s.n;
    case PRG_BYTES:
      p = v->u.s.p == NULL ? "" : v->u.s.p;
      sqlite3_result_blob64(ctx, p, v->u.s.n, SQLITE_STATIC);
      return v->u.s.n;
    default:
      break;
  }
  sqlite3_result_error(ctx, "a value that cannot be stored", -1);
  return 0;
}
