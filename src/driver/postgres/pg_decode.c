/*
** Cells to values: what the two formats share, and the binary one. The bytes
** come from a server but are not trusted: every length is checked against what
** is left before it is used, and memory is taken in proportion to the bytes
** that are there, never to what a header claims.
**
** The layouts are those of the *_send functions in PostgreSQL's
** src/backend/utils/adt (the documentation does not have them).
*/
#include <arpa/inet.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>

#include "driver/postgres/pg_types_int.h"

/* Above this, 64 bytes per byte of the cell are allowed. */
#define BASE_BUDGET ((size_t)1 << 30)

/* ---- shared -------------------------------------------------------------- */

int pg_dec_bad(struct pg_dec *d, const struct pg_type *t, const char *what) {
  *d->err = prg_error_new(PRG_K_DATABASE, "malformed value of type %s: %s",
                          pg_type_title(t), what);
  return PRG_ERR;
}

/* Not the static object that says that memory is short. */
static struct prg_error *retryable(struct prg_error *e) {
  if (e->kind == PRG_K_DATABASE) e->retryable = true;
  return e;
}

int pg_dec_stale(struct pg_dec *d, const struct pg_type *t) {
  pg_catalog_forget(d->cat, t->oid);
  /* PostgreSQL's own types do not change. */
  if (pg_catalog_knows(d->cat, t->oid)) return pg_dec_bad(d, t, "its type");
  *d->err = retryable(prg_error_new(
      PRG_K_DATABASE, "type %s has changed on the server; run it again",
      pg_type_title(t)));
  return PRG_ERR;
}

void *pg_dec_alloc(struct pg_dec *d, size_t count, size_t size) {
  size_t bytes = count * size;
  if (size != 0 && count > SIZE_MAX / size) bytes = SIZE_MAX;
  void *p = NULL;
  if (bytes <= d->budget) p = prg_arena_alloc(d->arena, bytes == 0 ? 1 : bytes);
  if (p == NULL) {
    *d->err = prg_error_oom();
    return NULL;
  }
  d->budget -= bytes;
  return p;
}

int pg_dec_string(struct pg_dec *d, enum prg_type type, const char *p, size_t n,
                  struct prg_value *out) {
  char *s = pg_dec_alloc(d, n + 1, 1);
  if (s == NULL) return PRG_ERR;
  memcpy(s, p, n);
  s[n] = '\0';
  out->type = type;
  out->u.s.p = s;
  out->u.s.n = n;
  return PRG_OK;
}

static struct prg_value *new_values(struct pg_dec *d, size_t n) {
  struct prg_value *v = pg_dec_alloc(d, n, sizeof *v);
  if (v == NULL) return NULL;
  for (size_t i = 0; i < n; i++) v[i].type = PRG_NULL;
  return v;
}

struct prg_vlist *pg_dec_list(struct pg_dec *d, size_t n) {
  struct prg_vlist *l = pg_dec_alloc(d, 1, sizeof *l);
  if (l == NULL) return NULL;
  l->n = n;
  l->ndim = 1;
  l->lower = NULL;
  l->items = new_values(d, n);
  return l->items != NULL ? l : NULL;
}

struct prg_vmap *pg_dec_map(struct pg_dec *d, size_t n, bool keys) {
  struct prg_vmap *m = pg_dec_alloc(d, 1, sizeof *m);
  if (m == NULL) return NULL;
  m->n = n;
  m->keys = NULL;
  if (keys) {
    m->keys = pg_dec_alloc(d, n, sizeof *m->keys);
    if (m->keys == NULL) return NULL;
  }
  m->values = new_values(d, n);
  return m->values != NULL ? m : NULL;
}

void pg_dec_names(struct prg_vmap *m, const struct pg_type *t) {
  for (size_t i = 0; i < m->n; i++) m->keys[i] = t->atts[i].name;
}

static bool parse_number(const char *s, bool single, double *out) {
  char *end;
  double v = single ? (double)strtof(s, &end) : strtod(s, &end);
  if (end == s || *end != '\0') return false;
  *out = v;
  return true;
}

/* strtod wants the decimal point of the program's locale, which is not ours
** to change: so that one is put in. */
bool pg_parse_double(const char *s, bool single, double *out) {
  const char *dot = strchr(s, '.');
  const char *point = localeconv()->decimal_point;
  char buf[64];
  if (dot == NULL || strcmp(point, ".") == 0)
    return parse_number(s, single, out);
  int n =
      snprintf(buf, sizeof buf, "%.*s%s%s", (int)(dot - s), s, point, dot + 1);
  return n > 0 && (size_t)n < sizeof buf && parse_number(buf, single, out);
}

static size_t put_word(const char *word, char *buf) {
  size_t n = strlen(word);
  memcpy(buf, word, n + 1);
  return n;
}

size_t pg_format_double(double v, char *buf) {
  if (v != v) return put_word("NaN", buf);
  if (v > 1.7976931348623157e308) return put_word("Infinity", buf);
  if (v < -1.7976931348623157e308) return put_word("-Infinity", buf);
  for (int digits = 15; digits <= 17; digits++) {
    snprintf(buf, 32, "%.*g", digits, v);
    if (strtod(buf, NULL) == v) break;
  }
  /* Whatever the locale's decimal point is, it is not one of these. */
  char *to = buf;
  bool point = false;
  for (const char *from = buf; *from != '\0'; from++) {
    if (strchr("0123456789+-e", *from) != NULL) {
      *to++ = *from;
      point = false;
    } else if (!point) {
      *to++ = '.';
      point = true;
    }
  }
  *to = '\0';
  return (size_t)(to - buf);
}

int pg_decode(struct pg_catalog *cat, const struct pg_type *t, int format,
              const char *data, int len, struct prg_arena *arena,
              struct prg_value *out, struct prg_error **err) {
  if (len < 0) {
    out->type = PRG_NULL;
    return PRG_OK;
  }
  size_t n = (size_t)len;
  struct pg_dec d = {cat, arena, err, BASE_BUDGET + n * 64, 0};
  if (format == PG_BINARY_FORMAT) return pg_dec_binary(&d, t, data, n, out);
  return pg_dec_text(&d, t, data, n, out);
}

/* ---- scalars ------------------------------------------------------------- */

static int take_int(int64_t i, struct prg_value *out) {
  out->type = PRG_INT;
  out->wide = true;
  out->u.i = i;
  return PRG_OK;
}

static int dec_xid8(struct pg_dec *d, uint64_t u, struct prg_value *out) {
  char buf[32];
  if (u <= INT64_MAX) return take_int((int64_t)u, out);
  int n = snprintf(buf, sizeof buf, "%llu", (unsigned long long)u);
  return pg_dec_string(d, PRG_DECIMAL, buf, (size_t)n, out);
}

static int dec_numeric(struct pg_dec *d, const struct pg_type *t, const char *p,
                       size_t n, struct prg_value *out) {
  size_t room = pg_numeric_room(p, n);
  if (room == 0) return pg_dec_bad(d, t, "digits");
  char *buf = pg_dec_alloc(d, room, 1);
  if (buf == NULL) return PRG_ERR;
  out->type = PRG_DECIMAL;
  out->u.s.p = buf;
  out->u.s.n = pg_numeric_write(p, n, buf);
  return PRG_OK;
}

static int dec_time(struct pg_dec *d, const struct pg_type *t, const char *p,
                    struct prg_value *out) {
  char buf[PG_TIME_ROOM];
  size_t n = 0;
  switch ((int)t->codec) {
    case PG_C_DATE:
      n = pg_format_date((int32_t)pg_get32(p), buf);
      break;
    case PG_C_TIME:
      n = pg_format_time((int64_t)pg_get64(p), buf);
      break;
    case PG_C_TIMETZ:
      n = pg_format_timetz((int64_t)pg_get64(p), (int32_t)pg_get32(p + 8), buf);
      break;
    case PG_C_TIMESTAMP:
    case PG_C_TIMESTAMPTZ:
      n = pg_format_timestamp((int64_t)pg_get64(p),
                              t->codec == PG_C_TIMESTAMPTZ, buf);
      break;
    case PG_C_INTERVAL:
      n = pg_format_interval((int64_t)pg_get64(p), (int32_t)pg_get32(p + 8),
                             (int32_t)pg_get32(p + 12), buf);
      break;
  }
  return pg_dec_string(d, PRG_TEXT, buf, n, out);
}

/* Hexadecimal digits with a colon between bytes, or the dashes of a uuid. */
static int dec_hex(struct pg_dec *d, const char *p, size_t n, char mark,
                   struct prg_value *out) {
  static const char hex[] = "0123456789abcdef";
  char buf[PG_TIME_ROOM];
  char *to = buf;
  for (size_t i = 0; i < n; i++) {
    unsigned char c = (unsigned char)p[i];
    bool dash = mark == '-' && (i == 4 || i == 6 || i == 8 || i == 10);
    if (i > 0 && (mark == ':' || dash)) *to++ = mark;
    *to++ = hex[c >> 4];
    *to++ = hex[c & 15];
  }
  return pg_dec_string(d, PRG_TEXT, buf, (size_t)(to - buf), out);
}

/* inet_send: family (2 or 3, PostgreSQL's own numbers), bits, is cidr, length,
** address. cidr always tells the bits, inet only when they are not all. */
static int dec_inet(struct pg_dec *d, const struct pg_type *t, const char *p,
                    size_t n, struct prg_value *out) {
  char buf[PG_TIME_ROOM];
  if (n < 4) return pg_dec_bad(d, t, "too short");
  bool v6 = p[0] == 3;
  unsigned bits = (unsigned char)p[1], size = v6 ? 16 : 4;
  if ((p[0] != 2 && !v6) || (unsigned char)p[3] != size || n != 4 + size ||
      bits > size * 8)
    return pg_dec_bad(d, t, "address");
  if (inet_ntop(v6 ? AF_INET6 : AF_INET, p + 4, buf, 64) == NULL)
    return pg_dec_bad(d, t, "address");
  size_t len = strlen(buf);
  if (p[2] != 0 || bits != size * 8)
    len += (size_t)snprintf(buf + len, 8, "/%u", bits);
  return pg_dec_string(d, PRG_TEXT, buf, len, out);
}

static int dec_bits(struct pg_dec *d, const struct pg_type *t, const char *p,
                    size_t n, struct prg_value *out) {
  if (n < 4) return pg_dec_bad(d, t, "too short");
  uint32_t bits = pg_get32(p);
  if (bits > INT32_MAX || n - 4 != ((size_t)bits + 7) / 8)
    return pg_dec_bad(d, t, "length");
  char *s = pg_dec_alloc(d, (size_t)bits + 1, 1);
  if (s == NULL) return PRG_ERR;
  for (uint32_t i = 0; i < bits; i++)
    s[i] = (p[4 + i / 8] >> (7 - i % 8) & 1) != 0 ? '1' : '0';
  s[bits] = '\0';
  out->type = PRG_TEXT;
  out->u.s.p = s;
  out->u.s.n = bits;
  return PRG_OK;
}

static int dec_pair(struct pg_dec *d, const struct pg_type *t, const char *p,
                    struct prg_value *out) {
  char buf[PG_TIME_ROOM];
  int n = t->codec == PG_C_TID
              ? snprintf(buf, sizeof buf, "(%lu,%u)",
                         (unsigned long)pg_get32(p), pg_get16(p + 4))
              : snprintf(buf, sizeof buf, "%lX/%lX", (unsigned long)pg_get32(p),
                         (unsigned long)pg_get32(p + 4));
  return pg_dec_string(d, PRG_TEXT, buf, (size_t)n, out);
}

/* The size of a type whose values all have the same, or 0. */
static size_t fixed_size(enum pg_codec codec) {
  switch ((int)codec) {
    case PG_C_BOOL:
    case PG_C_CHAR:
      return 1;
    case PG_C_INT2:
      return 2;
    case PG_C_INT4:
    case PG_C_OID:
    case PG_C_FLOAT4:
    case PG_C_DATE:
      return 4;
    case PG_C_TID:
      return 6;
    case PG_C_INT8:
    case PG_C_XID8:
    case PG_C_FLOAT8:
    case PG_C_TIME:
    case PG_C_TIMESTAMP:
    case PG_C_TIMESTAMPTZ:
    case PG_C_LSN:
      return 8;
    case PG_C_TIMETZ:
      return 12;
    case PG_C_INTERVAL:
    case PG_C_UUID:
      return 16;
    default:
      return 0;
  }
}

/* A part of a type was forgotten since the result was asked for. */
static int dec_unknown(struct pg_dec *d, const struct pg_type *t) {
  if (t->oid != 0) return pg_dec_bad(d, t, "no binary form is known");
  *d->err = retryable(prg_error_new(
      PRG_K_DATABASE,
      "a type within this one has changed on the server; run it again"));
  return PRG_ERR;
}

static int dec_scalar(struct pg_dec *d, const struct pg_type *t, const char *p,
                      size_t n, struct prg_value *out) {
  size_t size = fixed_size(t->codec);
  if (size != 0 && n != size) return pg_dec_bad(d, t, "length");
  switch ((int)t->codec) {
    case PG_C_CHAR:
      return pg_dec_string(d, PRG_TEXT, p, p[0] == '\0' ? 0 : 1, out);
    case PG_C_VTEXT:
    case PG_C_JSONB:
      if (n < 1 || p[0] != 1) return pg_dec_bad(d, t, "version");
      out->type = t->codec == PG_C_JSONB ? PRG_JSON : PRG_TEXT;
      out->u.s.p = p + 1;
      out->u.s.n = n - 1;
      return PRG_OK;
    case PG_C_XID8:
      return dec_xid8(d, pg_get64(p), out);
    case PG_C_NUMERIC:
      return dec_numeric(d, t, p, n, out);
    case PG_C_DATE:
    case PG_C_TIME:
    case PG_C_TIMETZ:
    case PG_C_TIMESTAMP:
    case PG_C_TIMESTAMPTZ:
    case PG_C_INTERVAL:
      return dec_time(d, t, p, out);
    case PG_C_UUID:
      return dec_hex(d, p, n, '-', out);
    case PG_C_MACADDR:
      if (n != 6 && n != 8) return pg_dec_bad(d, t, "length");
      return dec_hex(d, p, n, ':', out);
    case PG_C_INET:
      return dec_inet(d, t, p, n, out);
    case PG_C_BIT:
      return dec_bits(d, t, p, n, out);
    case PG_C_TID:
    case PG_C_LSN:
      return dec_pair(d, t, p, out);
    case PG_C_VOID:
      out->type = PRG_NULL;
      return PRG_OK;
    default:
      return dec_unknown(d, t);
  }
}

/* ---- containers ---------------------------------------------------------- */

struct reader {
  const char *p;
  size_t n; /* bytes left */
};

static bool take32(struct reader *r, uint32_t *out) {
  if (r->n < 4) return false;
  *out = pg_get32(r->p);
  r->p += 4;
  r->n -= 4;
  return true;
}

/* A length and that many bytes; length -1 is NULL, p is NULL then. */
static bool take_field(struct reader *r, struct reader *field) {
  uint32_t len;
  if (!take32(r, &len)) return false;
  field->p = NULL;
  field->n = 0;
  if (len == UINT32_MAX) return true;
  if (len > r->n) return false;
  field->p = r->p;
  field->n = len;
  r->p += len;
  r->n -= len;
  return true;
}

/* The next field as a value of type `t`; `of` is what is read. */
static int dec_field(struct pg_dec *d, const struct pg_type *of,
                     const struct pg_type *t, struct reader *r,
                     struct prg_value *out) {
  struct reader field;
  if (!take_field(r, &field)) return pg_dec_bad(d, of, "length");
  out->type = PRG_NULL;
  if (field.p == NULL) return PRG_OK;
  enum pg_fast fast = pg_type_fast(t, PG_BINARY_FORMAT);
  if (field.n <= INT32_MAX && pg_decode_fast(fast, field.p, (int)field.n, out))
    return PRG_OK;
  return pg_dec_binary(d, t, field.p, field.n, out);
}

struct array {
  const struct pg_type *type, *elem;
  int ndim;
  uint32_t dim[PG_MAX_DIMS];
  int32_t lower[PG_MAX_DIMS];
  uint64_t total;    /* elements */
  enum pg_fast fast; /* how an element is read */
};

/* Elements that pg_decode_fast() reads, up to the first that it does not: returns
** how many. */
static inline size_t dec_run(enum pg_fast fast, struct prg_vlist *l,
                             struct reader *r) {
  const char *p = r->p, *end = r->p + r->n;
  struct prg_value *v = l->items, *stop = v + l->n;
  for (; v < stop && end - p >= 4; v++) {
    int32_t len = (int32_t)pg_get32(p);
    if (len < -1 || len > end - p - 4) break;
    if (!pg_decode_fast(fast, p + 4, len, v)) break;
    p += len < 0 ? 4 : 4 + len;
  }
  r->n = (size_t)(end - p);
  r->p = p;
  return (size_t)(v - l->items);
}

/* The same, for the usual types by a loop of just that type. */
static size_t dec_plain(enum pg_fast fast, struct prg_vlist *l,
                        struct reader *r) {
  switch (fast) {
    case PG_FAST_INT4:
      return dec_run(PG_FAST_INT4, l, r);
    case PG_FAST_INT8:
      return dec_run(PG_FAST_INT8, l, r);
    case PG_FAST_FLOAT8:
      return dec_run(PG_FAST_FLOAT8, l, r);
    case PG_FAST_TEXT:
      return dec_run(PG_FAST_TEXT, l, r);
    default:
      return dec_run(fast, l, r);
  }
}

static int dec_level(struct pg_dec *d, const struct array *a, int level,
                     struct reader *r, struct prg_value *out) {
  bool last = level + 1 == a->ndim;
  struct prg_vlist *l = pg_dec_list(d, a->dim[level]);
  if (l == NULL) return PRG_ERR;
  l->ndim = a->ndim - level;
  out->type = PRG_LIST;
  out->u.list = l;
  for (size_t i = last ? dec_plain(a->fast, l, r) : 0; i < l->n; i++) {
    int rc = !last ? dec_level(d, a, level + 1, r, &l->items[i])
                   : dec_field(d, a->type, a->elem, r, &l->items[i]);
    if (rc != PRG_OK) return rc;
  }
  return PRG_OK;
}

/* array_send: dimensions, has NULLs, element type, (length, lower bound) of
** each dimension, elements. */
static int read_array(struct pg_dec *d, struct array *a, struct reader *r) {
  uint32_t ndim, flags, oid;
  if (!take32(r, &ndim) || !take32(r, &flags) || !take32(r, &oid))
    return pg_dec_bad(d, a->type, "too short");
  if (ndim > PG_MAX_DIMS) return pg_dec_bad(d, a->type, "dimensions");
  if (oid != a->type->elem) return pg_dec_stale(d, a->type);
  a->ndim = (int)ndim;
  a->total = ndim > 0 ? 1 : 0;
  for (uint32_t i = 0; i < ndim; i++) {
    uint32_t lower;
    if (!take32(r, &a->dim[i]) || !take32(r, &lower))
      return pg_dec_bad(d, a->type, "too short");
    a->lower[i] = (int32_t)lower;
    /* An element takes four bytes at least, so this also bounds memory. */
    if (a->dim[i] > r->n) return pg_dec_bad(d, a->type, "dimensions");
    a->total *= a->dim[i];
    if (a->total > r->n) return pg_dec_bad(d, a->type, "dimensions");
  }
  if (a->total > r->n / 4) return pg_dec_bad(d, a->type, "dimensions");
  return PRG_OK;
}

static int keep_bounds(struct pg_dec *d, const struct array *a,
                       struct prg_vlist *l) {
  bool plain = true;
  for (int i = 0; i < a->ndim; i++) plain = plain && a->lower[i] == 1;
  if (plain || a->type->codec == PG_C_VECTOR) return PRG_OK;
  size_t n = (size_t)a->ndim;
  int32_t *lower = pg_dec_alloc(d, n, sizeof *lower);
  if (lower == NULL) return PRG_ERR;
  memcpy(lower, a->lower, n * sizeof *lower);
  l->lower = lower;
  return PRG_OK;
}

static int dec_array(struct pg_dec *d, const struct pg_type *t, const char *p,
                     size_t n, struct prg_value *out) {
  struct array a = {.type = t, .elem = pg_type_find(d->cat, t->elem)};
  a.fast = pg_type_fast(a.elem, PG_BINARY_FORMAT);
  struct reader r = {p, n};
  if (read_array(d, &a, &r) != PRG_OK) return PRG_ERR;
  if (a.total == 0) {
    out->type = PRG_LIST;
    out->u.list = pg_dec_list(d, 0);
    if (out->u.list == NULL) return PRG_ERR;
    out->u.list->ndim = 0;
  } else if (dec_level(d, &a, 0, &r, out) != PRG_OK ||
             keep_bounds(d, &a, out->u.list) != PRG_OK) {
    return PRG_ERR;
  }
  return r.n == 0 ? PRG_OK : pg_dec_bad(d, t, "bytes after the end");
}

/* A type inside an anonymous record. */
static const struct pg_type *record_type(struct pg_dec *d, uint32_t oid) {
  if (pg_catalog_knows(d->cat, oid)) {
    const struct pg_type *t = pg_type_find(d->cat, oid);
    if (pg_type_binary(d->cat, t)) return t;
    *d->err = prg_error_new(PRG_K_UNSUPPORTED,
                            "a record with a value of type %s cannot be read; "
                            "cast that value to text",
                            pg_type_title(t));
    return NULL;
  }
  pg_catalog_want(d->cat, oid);
  *d->err = retryable(prg_error_new(
      PRG_K_DATABASE,
      "a record has a value of a type (%lu) not met before; run it again",
      (unsigned long)oid));
  return NULL;
}

/* record_send: count; type and value of each attribute that is not dropped. */
static int dec_record(struct pg_dec *d, const struct pg_type *t, const char *p,
                      size_t n, struct prg_value *out) {
  struct reader r = {p, n};
  uint32_t count;
  bool named = t->codec == PG_C_COMPOSITE;
  if (!take32(&r, &count) || count > r.n / 8)
    return pg_dec_bad(d, t, "attributes");
  if (named && count != t->natts) return pg_dec_stale(d, t);
  struct prg_vmap *m = pg_dec_map(d, count, named);
  if (m == NULL) return PRG_ERR;
  if (named) pg_dec_names(m, t);
  for (uint32_t i = 0; i < count; i++) {
    uint32_t oid;
    if (!take32(&r, &oid)) return pg_dec_bad(d, t, "too short");
    if (named && oid != t->atts[i].oid) return pg_dec_stale(d, t);
    const struct pg_type *at =
        named ? pg_type_find(d->cat, oid) : record_type(d, oid);
    if (at == NULL || dec_field(d, t, at, &r, &m->values[i]) != PRG_OK)
      return PRG_ERR;
  }
  out->type = PRG_RECORD;
  out->u.map = m;
  return r.n == 0 ? PRG_OK : pg_dec_bad(d, t, "bytes after the end");
}

/* range_send: flags; the bounds that there are. */
enum { R_EMPTY = 1, R_LB_INC = 2, R_UB_INC = 4, R_LB_INF = 8, R_UB_INF = 16 };

static int dec_range(struct pg_dec *d, const struct pg_type *t, const char *p,
                     size_t n, struct prg_value *out) {
  if (n < 1) return pg_dec_bad(d, t, "too short");
  struct reader r = {p + 1, n - 1};
  const struct pg_type *sub = pg_type_find(d->cat, t->elem);
  struct prg_vrange *range = pg_dec_alloc(d, 1, sizeof *range);
  if (range == NULL) return PRG_ERR;
  int flags = (unsigned char)p[0];
  range->empty = (flags & R_EMPTY) != 0;
  range->lower_inc = (flags & R_LB_INC) != 0;
  range->upper_inc = (flags & R_UB_INC) != 0;
  range->lower.type = range->upper.type = PRG_NULL;
  if (!range->empty && (flags & R_LB_INF) == 0 &&
      dec_field(d, t, sub, &r, &range->lower) != PRG_OK)
    return PRG_ERR;
  if (!range->empty && (flags & R_UB_INF) == 0 &&
      dec_field(d, t, sub, &r, &range->upper) != PRG_OK)
    return PRG_ERR;
  out->type = PRG_RANGE;
  out->u.range = range;
  return r.n == 0 ? PRG_OK : pg_dec_bad(d, t, "bytes after the end");
}

static int dec_multirange(struct pg_dec *d, const struct pg_type *t,
                          const char *p, size_t n, struct prg_value *out) {
  struct reader r = {p, n};
  uint32_t count;
  if (!take32(&r, &count) || count > r.n / 4) return pg_dec_bad(d, t, "count");
  const struct pg_type *range = pg_type_find(d->cat, t->elem);
  struct prg_vlist *l = pg_dec_list(d, count);
  if (l == NULL) return PRG_ERR;
  for (uint32_t i = 0; i < count; i++)
    if (dec_field(d, t, range, &r, &l->items[i]) != PRG_OK) return PRG_ERR;
  out->type = PRG_MULTIRANGE;
  out->u.list = l;
  return r.n == 0 ? PRG_OK : pg_dec_bad(d, t, "bytes after the end");
}

/* hstore_send: count; key and value of each. */
static int dec_hstore(struct pg_dec *d, const struct pg_type *t, const char *p,
                      size_t n, struct prg_value *out) {
  struct reader r = {p, n}, key, value;
  uint32_t count;
  if (!take32(&r, &count) || count > r.n / 8) return pg_dec_bad(d, t, "count");
  struct prg_vmap *m = pg_dec_map(d, count, true);
  if (m == NULL) return PRG_ERR;
  for (uint32_t i = 0; i < count; i++) {
    if (!take_field(&r, &key) || key.p == NULL || !take_field(&r, &value))
      return pg_dec_bad(d, t, "length");
    m->keys[i].p = key.p;
    m->keys[i].n = key.n;
    if (value.p == NULL) continue;
    m->values[i].type = PRG_TEXT;
    m->values[i].u.s.p = value.p;
    m->values[i].u.s.n = value.n;
  }
  out->type = PRG_HSTORE;
  out->u.map = m;
  return r.n == 0 ? PRG_OK : pg_dec_bad(d, t, "bytes after the end");
}

static int dec_any(struct pg_dec *d, const struct pg_type *t, const char *p,
                   size_t n, struct prg_value *out) {
  switch ((int)t->codec) {
    case PG_C_ARRAY:
    case PG_C_VECTOR:
      return dec_array(d, t, p, n, out);
    case PG_C_RECORD:
    case PG_C_COMPOSITE:
      return dec_record(d, t, p, n, out);
    case PG_C_RANGE:
      return dec_range(d, t, p, n, out);
    case PG_C_MULTIRANGE:
      return dec_multirange(d, t, p, n, out);
    case PG_C_HSTORE:
      return dec_hstore(d, t, p, n, out);
    case PG_C_DOMAIN:
      return pg_dec_binary(d, pg_type_find(d->cat, t->elem), p, n, out);
    default:
      return dec_scalar(d, t, p, n, out);
  }
}

int pg_dec_binary(struct pg_dec *d, const struct pg_type *t, const char *p,
                  size_t n, struct prg_value *out) {
  enum pg_fast fast = pg_type_fast(t, PG_BINARY_FORMAT);
  if (n <= INT32_MAX && pg_decode_fast(fast, p, (int)n, out)) return PRG_OK;
  if (++d->depth > PG_MAX_DEPTH) return pg_dec_bad(d, t, "nesting");
  int rc = dec_any(d, t, p, n, out);
  d->depth--;
  return rc;
}
