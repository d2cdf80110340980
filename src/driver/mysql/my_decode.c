/* Cells of both protocols. */
#include "driver/mysql/my_int.h"

#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BINARY_CHARSET = 63 };

/* ---- types ---------------------------------------------------------------- */

static const struct {
  enum enum_field_types type;
  enum my_class cl;
  const char *name, *other; /* `other`: unsigned numbers, binary texts */
} types[] = {
    {MYSQL_TYPE_TINY, MY_C_INT, "tinyint", "tinyint unsigned"},
    {MYSQL_TYPE_SHORT, MY_C_INT, "smallint", "smallint unsigned"},
    {MYSQL_TYPE_INT24, MY_C_INT, "mediumint", "mediumint unsigned"},
    {MYSQL_TYPE_LONG, MY_C_INT, "int", "int unsigned"},
    {MYSQL_TYPE_LONGLONG, MY_C_BIG, "bigint", "bigint unsigned"},
    {MYSQL_TYPE_YEAR, MY_C_INT, "year", "year"},
    {MYSQL_TYPE_FLOAT, MY_C_FLOAT, "float", "float unsigned"},
    {MYSQL_TYPE_DOUBLE, MY_C_DOUBLE, "double", "double unsigned"},
    {MYSQL_TYPE_DECIMAL, MY_C_DECIMAL, "decimal", "decimal unsigned"},
    {MYSQL_TYPE_NEWDECIMAL, MY_C_DECIMAL, "decimal", "decimal unsigned"},
    {MYSQL_TYPE_BIT, MY_C_BIT, "bit", "bit"},
    {MYSQL_TYPE_DATE, MY_C_DATE, "date", "date"},
    {MYSQL_TYPE_NEWDATE, MY_C_DATE, "date", "date"},
    {MYSQL_TYPE_TIME, MY_C_TIME, "time", "time"},
    {MYSQL_TYPE_DATETIME, MY_C_STAMP, "datetime", "datetime"},
    {MYSQL_TYPE_TIMESTAMP, MY_C_STAMP, "timestamp", "timestamp"},
    {MYSQL_TYPE_NULL, MY_C_NULL, "null", "null"},
    {MYSQL_TYPE_JSON, MY_C_JSON, "json", "json"},
    {MYSQL_TYPE_STRING, MY_C_TEXT, "char", "binary"},
    {MYSQL_TYPE_VAR_STRING, MY_C_TEXT, "varchar", "varbinary"},
    {MYSQL_TYPE_VARCHAR, MY_C_TEXT, "varchar", "varbinary"},
    {MYSQL_TYPE_TINY_BLOB, MY_C_TEXT, "text", "blob"},
    {MYSQL_TYPE_BLOB, MY_C_TEXT, "text", "blob"},
    {MYSQL_TYPE_MEDIUM_BLOB, MY_C_TEXT, "text", "blob"},
    {MYSQL_TYPE_LONG_BLOB, MY_C_TEXT, "text", "blob"},
    {MYSQL_TYPE_GEOMETRY, MY_C_BYTES, "geometry", "geometry"},
};

static bool says_json(const MYSQL_FIELD *f) {
  MARIADB_CONST_STRING attr = {NULL, 0};
  return mariadb_field_attr(&attr, f, MARIADB_FIELD_ATTR_FORMAT_NAME) == 0 &&
         attr.length == 4 && memcmp(attr.str, "json", 4) == 0;
}

/* MariaDB's JSON is a text that says so in what describes it beyond the
** protocol's own. The library loses this when it copies a description that the
** server did not send again (3.3.20 does); then the prepared one has it. */
static bool is_json(const MYSQL_FIELD *f, const MYSQL_FIELD *prepared) {
  if (f->extension == NULL) return false;
  return says_json(f) || (prepared != NULL && says_json(prepared));
}

static enum my_class text_class(const MYSQL_FIELD *f,
                                const MYSQL_FIELD *prepared,
                                const char **type) {
  if (is_json(f, prepared)) {
    *type = "json";
    return MY_C_JSON;
  }
  if ((f->flags & ENUM_FLAG) != 0) *type = "enum";
  if ((f->flags & SET_FLAG) != 0) *type = "set";
  return f->charsetnr == BINARY_CHARSET ? MY_C_BYTES : MY_C_TEXT;
}

static enum my_class int_class(const MYSQL_FIELD *f, enum my_class cl,
                               const char **type) {
  bool is_unsigned = (f->flags & UNSIGNED_FLAG) != 0;
  if (f->type == MYSQL_TYPE_TINY && f->length == 1 && !is_unsigned) {
    *type = "boolean";
    return MY_C_BOOL;
  }
  return cl == MY_C_BIG && is_unsigned ? MY_C_UBIG : cl;
}

enum my_class my_class_of(const MYSQL_FIELD *f, const MYSQL_FIELD *prepared,
                          const char **type) {
  for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
    enum my_class cl = types[i].cl;
    if (types[i].type != f->type) continue;
    bool other = cl == MY_C_TEXT ? f->charsetnr == BINARY_CHARSET
                                 : (f->flags & UNSIGNED_FLAG) != 0;
    *type = other ? types[i].other : types[i].name;
    if (cl == MY_C_TEXT) return text_class(f, prepared, type);
    if (cl == MY_C_INT || cl == MY_C_BIG) return int_class(f, cl, type);
    return cl;
  }
  *type = "";
  return MY_C_BYTES;
}

/* ---- values --------------------------------------------------------------- */

static void set_int(struct prg_value *out, int64_t i, bool wide) {
  out->type = PRG_INT;
  out->wide = wide;
  out->u.i = i;
}

static struct prg_error *set_text(struct prg_value *out, enum prg_type type,
                                  const char *s, size_t n,
                                  struct prg_arena *a) {
  char *copy = prg_arena_dup(a, s, n);
  if (copy == NULL) return prg_error_oom();
  out->type = type;
  out->u.s.p = copy;
  out->u.s.n = n;
  return NULL;
}

/* Above 2^63 - 1 it is the text of its digits. */
static struct prg_error *set_unsigned(struct prg_value *out, uint64_t u,
                                      struct prg_arena *a) {
  char text[24];
  if (u <= INT64_MAX) {
    set_int(out, (int64_t)u, true);
    return NULL;
  }
  int n = snprintf(text, sizeof text, "%llu", (unsigned long long)u);
  return set_text(out, PRG_DECIMAL, text, (size_t)n, a);
}

static void set_bool(struct prg_value *out, int64_t i) {
  if (i == 0 || i == 1) {
    out->type = PRG_BOOL;
    out->u.b = i == 1;
  } else {
    set_int(out, i, false);
  }
}

/* Bytes, the highest first. */
static struct prg_error *set_bits(struct prg_value *out, const char *s,
                                  size_t n, struct prg_arena *a) {
  uint64_t u = 0;
  for (size_t i = 0; i < n && i < 8; i++) u = u << 8 | (unsigned char)s[i];
  struct prg_error *e = set_unsigned(out, u, a);
  if (out->type == PRG_INT) out->wide = n > 4;
  return e;
}

static struct prg_error *set_time(struct prg_value *out, enum my_class cl,
                                  const MYSQL_TIME *t, const char *name,
                                  bool zero, struct prg_arena *a) {
  char text[MY_TIME_ROOM];
  size_t n = my_time_write(cl, t, zero, text);
  if (n > 0) return set_text(out, PRG_TEXT, text, n, a);
  (void)my_time_write(cl, t, true, text);
  struct prg_error *e = prg_error_new(
      PRG_K_DATA, "column \"%s\" has the zero date %.10s", name, text);
  (void)prg_error_set(e, PRG_EF_COLUMN, name);
  return prg_error_set(e, PRG_EF_HINT,
                       "No day is that one. zero_dates=text in the URL gives "
                       "it as a text.");
}

static struct prg_error *set_string(struct prg_value *out, enum my_class cl,
                                    const char *s, size_t n,
                                    struct prg_arena *a) {
  switch (cl) {
    case MY_C_DECIMAL:
      return set_text(out, PRG_DECIMAL, s, n, a);
    case MY_C_JSON:
      return set_text(out, PRG_JSON, s, n, a);
    case MY_C_BYTES:
      return set_text(out, PRG_BYTES, s, n, a);
    case MY_C_BIT:
      return set_bits(out, s, n, a);
    default:
      return set_text(out, PRG_TEXT, s, n, a);
  }
}

/* ---- the binary protocol -------------------------------------------------- */

static int64_t read_int(const struct my_column *k, const unsigned char *p) {
  bool is_unsigned = (k->flags & UNSIGNED_FLAG) != 0;
  switch (k->size) {
    case 1:
      return is_unsigned ? p[0] : (int8_t)p[0];
    case 2:
      return is_unsigned ? (int64_t)prg_load2(p) : (int16_t)prg_load2(p);
    case 4:
      return is_unsigned ? (int64_t)prg_load4(p) : (int32_t)prg_load4(p);
    default:
      return (int64_t)prg_load8(p);
  }
}

static double read_double_at(const unsigned char *p) {
  uint64_t bits = prg_load8(p);
  double d;
  memcpy(&d, &bits, sizeof d);
  return d;
}

static double read_float_at(const unsigned char *p) {
  uint32_t bits = prg_load4(p);
  float f;
  memcpy(&f, &bits, sizeof f);
  return (double)f;
}

/* The length in front of a text; *p moves behind it. */
static size_t read_length(const unsigned char **p) {
  const unsigned char *at = *p + 1;
  size_t n = **p;
  *p = at;
  if (n < 251) return n;
  switch (n) {
    case 252:
      *p += 2;
      return prg_load2(at);
    case 253:
      *p += 3;
      return (size_t)prg_load2(at) | (size_t)at[2] << 16;
    default:
      *p += 8;
      return (size_t)prg_load8(at);
  }
}

/* Parts that are not sent are zero. */
static void read_time(enum my_class cl, const unsigned char *p, MYSQL_TIME *t) {
  size_t n = read_length(&p);
  memset(t, 0, sizeof *t);
  if (cl == MY_C_TIME) {
    if (n < 8) return;
    t->neg = p[0] != 0;
    t->day = prg_load4(p + 1);
    p += 5;
  } else {
    if (n < 4) return;
    t->year = prg_load2(p);
    t->month = p[2];
    t->day = p[3];
    if (n < 7) return;
    p += 4;
  }
  t->hour = p[0];
  t->minute = p[1];
  t->second = p[2];
  if (n >= (cl == MY_C_TIME ? 12 : 11)) t->second_part = prg_load4(p + 3);
}

struct prg_error *my_read_cell(const struct my_column *k,
                               const unsigned char *p, const char *name,
                               bool zero, struct prg_arena *a,
                               struct prg_value *out) {
  MYSQL_TIME t;
  out->wide = false;
  if (p == NULL || k->cl == MY_C_NULL) {
    out->type = PRG_NULL;
    return NULL;
  }
  switch (k->cl) {
    case MY_C_BOOL:
      set_bool(out, read_int(k, p));
      return NULL;
    case MY_C_INT:
    case MY_C_BIG:
      set_int(out, read_int(k, p), k->cl == MY_C_BIG);
      return NULL;
    case MY_C_UBIG:
      return set_unsigned(out, prg_load8(p), a);
    case MY_C_FLOAT:
      out->type = PRG_DOUBLE;
      out->u.d = read_float_at(p);
      return NULL;
    case MY_C_DOUBLE:
      out->type = PRG_DOUBLE;
      out->u.d = read_double_at(p);
      return NULL;
    case MY_C_DATE:
    case MY_C_TIME:
    case MY_C_STAMP:
    case MY_C_STAMP_TZ:
      read_time(k->cl, p, &t);
      return set_time(out, k->cl, &t, name, zero, a);
    default: {
      size_t n = read_length(&p);
      return set_string(out, k->cl, (const char *)p, n, a);
    }
  }
}

/* ---- the text protocol ---------------------------------------------------- */

static struct prg_error *unreadable(const char *name, const char *s, size_t n) {
  return prg_error_new(PRG_K_DATA, "column \"%s\" cannot be read: %.*s", name,
                       n > 60 ? 60 : (int)n, s);
}

/* strtod wants the decimal point of the program's locale. */
static bool read_double(const char *s, size_t n, bool single, double *out) {
  const char *point = localeconv()->decimal_point;
  char buf[400], *end, *dot;
  if (n == 0 || n >= sizeof buf) return false;
  memcpy(buf, s, n);
  buf[n] = '\0';
  dot = strchr(buf, '.');
  if (dot != NULL && point[0] != '\0' && point[1] == '\0') *dot = point[0];
  *out = single ? (double)strtof(buf, &end) : strtod(buf, &end);
  return *end == '\0';
}

static struct prg_error *text_number(enum my_class cl, const char *s, size_t n,
                                     const char *name, struct prg_arena *a,
                                     struct prg_value *out) {
  char buf[32], *end;
  if (cl == MY_C_FLOAT || cl == MY_C_DOUBLE) {
    out->type = PRG_DOUBLE;
    return read_double(s, n, cl == MY_C_FLOAT, &out->u.d)
               ? NULL
               : unreadable(name, s, n);
  }
  if (n == 0 || n >= sizeof buf) return unreadable(name, s, n);
  memcpy(buf, s, n);
  buf[n] = '\0';
  errno = 0;
  if (cl == MY_C_UBIG) {
    uint64_t u = strtoull(buf, &end, 10);
    return *end == '\0' && errno == 0 ? set_unsigned(out, u, a)
                                      : unreadable(name, s, n);
  }
  int64_t i = strtoll(buf, &end, 10);
  if (*end != '\0' || errno != 0) return unreadable(name, s, n);
  if (cl == MY_C_BOOL)
    set_bool(out, i);
  else
    set_int(out, i, cl == MY_C_BIG);
  return NULL;
}

struct prg_error *my_read_text(enum my_class cl, const char *s, size_t n,
                               const char *name, bool zero, struct prg_arena *a,
                               struct prg_value *out) {
  MYSQL_TIME t;
  out->wide = false;
  out->type = PRG_NULL;
  if (s == NULL || cl == MY_C_NULL) return NULL;
  switch (cl) {
    case MY_C_BOOL:
    case MY_C_INT:
    case MY_C_BIG:
    case MY_C_UBIG:
    case MY_C_FLOAT:
    case MY_C_DOUBLE:
      return text_number(cl, s, n, name, a, out);
    case MY_C_DATE:
    case MY_C_TIME:
    case MY_C_STAMP:
    case MY_C_STAMP_TZ:
      if (!my_time_read(cl, s, n, &t)) return unreadable(name, s, n);
      return set_time(out, cl, &t, name, zero, a);
    default:
      return set_string(out, cl, s, n, a);
  }
}
