/*
** Cells in text format to values: the same values as from binary. The forms
** are those of the *_out functions in PostgreSQL's src/backend/utils/adt; for
** arrays, composites and ranges also the manual, chapters 8.15 to 8.17.
*/
#include "driver/postgres/pg_types_int.h"

/* ---- scalars ------------------------------------------------------------- */

static int take_text(enum prg_type type, const char *p, size_t n,
                     struct prg_value *out) {
  out->type = type;
  out->u.s.p = p;
  out->u.s.n = n;
  return PRG_OK;
}

static int text_int(struct pg_dec *d, const struct pg_type *t, const char *p,
                    size_t n, struct prg_value *out) {
  bool minus = n > 0 && p[0] == '-';
  uint64_t u = 0, max = minus ? (uint64_t)INT64_MAX + 1 : INT64_MAX;
  if (n == (size_t)minus) return pg_dec_bad(d, t, "digits");
  for (size_t i = minus; i < n; i++) {
    unsigned digit = (unsigned)(p[i] - '0');
    if (digit > 9) return pg_dec_bad(d, t, "digits");
    if (u > (max - digit) / 10) {
      /* xid8 alone can be that large. */
      if (t->codec == PG_C_XID8) return take_text(PRG_DECIMAL, p, n, out);
      return pg_dec_bad(d, t, "range");
    }
    u = u * 10 + digit;
  }
  out->type = PRG_INT;
  out->wide = t->codec == PG_C_INT8 || t->codec == PG_C_XID8;
  out->u.i = minus ? (int64_t)(0 - u) : (int64_t)u;
  return PRG_OK;
}

static int text_float(struct pg_dec *d, const struct pg_type *t, const char *p,
                      size_t n, struct prg_value *out) {
  char buf[64];
  if (n >= sizeof buf) return pg_dec_bad(d, t, "number");
  memcpy(buf, p, n);
  buf[n] = '\0';
  out->type = PRG_DOUBLE;
  if (!pg_parse_double(buf, t->codec == PG_C_FLOAT4, &out->u.d))
    return pg_dec_bad(d, t, "number");
  return PRG_OK;
}

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/* bytea_output = hex. */
static int text_hex(struct pg_dec *d, const struct pg_type *t, const char *p,
                    size_t n, struct prg_value *out) {
  char *to = pg_dec_alloc(d, n / 2 + 1, 1);
  if (to == NULL) return PRG_ERR;
  for (size_t i = 0; i < n; i += 2) {
    int hi = hex_digit(p[i]), lo = i + 1 < n ? hex_digit(p[i + 1]) : -1;
    if (hi < 0 || lo < 0) return pg_dec_bad(d, t, "digits");
    to[i / 2] = (char)(hi << 4 | lo);
  }
  return take_text(PRG_BYTES, to, n / 2, out);
}

/* A byte as \ooo at `p`, or -1. */
static int octal_at(const char *p, size_t n) {
  if (n < 4 || p[0] != '\\') return -1;
  int value = 0;
  for (int i = 1; i < 4; i++) {
    if (p[i] < '0' || p[i] > '7') return -1;
    value = value * 8 + (p[i] - '0');
  }
  return value <= 255 ? value : -1;
}

/* bytea_output = escape. */
static int text_escape(struct pg_dec *d, const struct pg_type *t, const char *p,
                       size_t n, struct prg_value *out) {
  char *to = pg_dec_alloc(d, n + 1, 1);
  size_t len = 0;
  if (to == NULL) return PRG_ERR;
  for (size_t i = 0; i < n; i++) {
    int byte = octal_at(p + i, n - i);
    if (byte >= 0) {
      to[len++] = (char)byte;
      i += 3;
    } else if (p[i] != '\\') {
      to[len++] = p[i];
    } else if (i + 1 < n && p[i + 1] == '\\') {
      to[len++] = '\\';
      i++;
    } else {
      return pg_dec_bad(d, t, "escape");
    }
  }
  return take_text(PRG_BYTES, to, len, out);
}

static int text_bytea(struct pg_dec *d, const struct pg_type *t, const char *p,
                      size_t n, struct prg_value *out) {
  if (n >= 2 && p[0] == '\\' && p[1] == 'x')
    return text_hex(d, t, p + 2, n - 2, out);
  return text_escape(d, t, p, n, out);
}

/* "char" above 127 is \ooo from PostgreSQL 16 on. */
static int text_char(struct pg_dec *d, const char *p, size_t n,
                     struct prg_value *out) {
  int byte = n == 4 ? octal_at(p, n) : -1;
  char c = (char)byte;
  if (byte < 0) return take_text(PRG_TEXT, p, n, out);
  return pg_dec_string(d, PRG_TEXT, &c, 1, out);
}

/* What is not in DateStyle ISO is given as it is. */
static int text_timestamp(struct pg_dec *d, const struct pg_type *t,
                          const char *p, size_t n, struct prg_value *out) {
  char buf[PG_TIME_ROOM];
  int64_t us;
  if (!pg_parse_timestamp(p, n, &us)) return take_text(PRG_TEXT, p, n, out);
  size_t len = pg_format_timestamp(us, t->codec == PG_C_TIMESTAMPTZ, buf);
  return pg_dec_string(d, PRG_TEXT, buf, len, out);
}

static int text_bool(struct pg_dec *d, const struct pg_type *t, const char *p,
                     size_t n, struct prg_value *out) {
  if (n != 1 || (p[0] != 't' && p[0] != 'f')) return pg_dec_bad(d, t, "word");
  out->type = PRG_BOOL;
  out->u.b = p[0] == 't';
  return PRG_OK;
}

static int text_scalar(struct pg_dec *d, const struct pg_type *t, const char *p,
                       size_t n, struct prg_value *out) {
  switch ((int)t->codec) {
    case PG_C_BOOL:
      return text_bool(d, t, p, n, out);
    case PG_C_INT2:
    case PG_C_INT4:
    case PG_C_INT8:
    case PG_C_OID:
    case PG_C_XID8:
      return text_int(d, t, p, n, out);
    case PG_C_FLOAT4:
    case PG_C_FLOAT8:
      return text_float(d, t, p, n, out);
    case PG_C_NUMERIC:
      return take_text(PRG_DECIMAL, p, n, out);
    case PG_C_CHAR:
      return text_char(d, p, n, out);
    case PG_C_BYTEA:
      return text_bytea(d, t, p, n, out);
    case PG_C_JSON:
    case PG_C_JSONB:
      return take_text(PRG_JSON, p, n, out);
    case PG_C_TIMESTAMP:
    case PG_C_TIMESTAMPTZ:
      return text_timestamp(d, t, p, n, out);
    case PG_C_VOID:
      out->type = PRG_NULL;
      return PRG_OK;
    default:
      return take_text(PRG_TEXT, p, n, out);
  }
}

/* ---- tokens -------------------------------------------------------------- */

struct reader {
  const char *p, *end;
};

static bool take(struct reader *r, char c) {
  if (r->p == r->end || *r->p != c) return false;
  r->p++;
  return true;
}

static bool at(const struct reader *r, char c) {
  return r->p < r->end && *r->p == c;
}

struct token {
  const char *p;
  size_t n;
  bool quoted;
};

/* Where the token ends: at one of `stops` outside quotes. */
static const char *token_end(const struct reader *r, const char *stops,
                             bool *plain) {
  bool quoted = false;
  const char *p = r->p;
  *plain = true;
  for (; p < r->end; p++) {
    if (*p == '"') {
      quoted = !quoted;
      *plain = false;
    } else if (*p == '\\') {
      *plain = false;
      if (++p == r->end) break;
    } else if (!quoted && *p != '\0' && strchr(stops, *p) != NULL) {
      break;
    }
  }
  return p;
}

/* Reads up to one of `stops`, which is left. Quotes are taken off; within, a
** backslash or a doubled quote stands for the next character. */
static int take_token(struct pg_dec *d, struct reader *r, const char *stops,
                      struct token *token) {
  bool plain, quoted = false;
  const char *p = r->p, *end = token_end(r, stops, &plain);
  token->p = p;
  token->n = (size_t)(end - p);
  token->quoted = !plain;
  r->p = end;
  if (plain) return PRG_OK;
  char *to = pg_dec_alloc(d, token->n + 1, 1);
  if (to == NULL) return PRG_ERR;
  token->p = to;
  for (; p < end; p++) {
    if (*p == '\\' && p + 1 < end)
      *to++ = *++p;
    else if (*p != '"')
      *to++ = *p;
    else if (quoted && p + 1 < end && p[1] == '"')
      *to++ = *p++;
    else
      quoted = !quoted;
  }
  token->n = (size_t)(to - token->p);
  return PRG_OK;
}

static bool is_null_word(const struct token *token) {
  return !token->quoted && token->n == 4 && memcmp(token->p, "NULL", 4) == 0;
}

/* ---- arrays -------------------------------------------------------------- */

struct array {
  const struct pg_type *type, *elem;
  char stops[3]; /* delimiter and closing brace */
  int ndim;
  int32_t lower[PG_MAX_DIMS];
  bool bounds;
};

/* Members of the list whose opening brace was just read. */
static size_t count_members(const struct reader *r, char delim) {
  size_t n = 1;
  int depth = 0;
  bool quoted = false;
  if (at(r, '}')) return 0;
  for (const char *p = r->p; p < r->end; p++) {
    if (*p == '"') quoted = !quoted;
    if (*p == '\\')
      p++;
    else if (quoted)
      continue;
    else if (*p == '{')
      depth++;
    else if (*p == '}' && depth-- == 0)
      break;
    else if (*p == delim && depth == 0)
      n++;
  }
  return n;
}

static int text_member(struct pg_dec *d, struct array *a, struct reader *r,
                       struct prg_value *out) {
  struct token token;
  if (take_token(d, r, a->stops, &token) != PRG_OK) return PRG_ERR;
  out->type = PRG_NULL;
  if (is_null_word(&token)) return PRG_OK;
  return pg_dec_text(d, a->elem, token.p, token.n, out);
}

static int text_level(struct pg_dec *d, struct array *a, int level,
                      struct reader *r, struct prg_value *out) {
  if (level >= PG_MAX_DIMS || !take(r, '{'))
    return pg_dec_bad(d, a->type, "braces");
  struct prg_vlist *l = pg_dec_list(d, count_members(r, a->stops[0]));
  if (l == NULL) return PRG_ERR;
  out->type = PRG_LIST;
  out->u.list = l;
  if (level + 1 > a->ndim) a->ndim = level + 1;
  for (size_t i = 0; i < l->n; i++) {
    if (i > 0 && !take(r, a->stops[0]))
      return pg_dec_bad(d, a->type, "delimiter");
    int rc = at(r, '{') ? text_level(d, a, level + 1, r, &l->items[i])
                        : text_member(d, a, r, &l->items[i]);
    if (rc != PRG_OK) return rc;
  }
  l->ndim = l->n > 0 ? a->ndim - level : 0;
  return take(r, '}') ? PRG_OK : pg_dec_bad(d, a->type, "braces");
}

/* A number before `stop`, which is read too. */
static bool take_bound(struct reader *r, char stop, int32_t *out) {
  bool minus = take(r, '-');
  int64_t n = 0;
  const char *start = r->p;
  while (r->p < r->end && *r->p >= '0' && *r->p <= '9' && r->p - start < 10)
    n = n * 10 + (*r->p++ - '0');
  *out = (int32_t)(minus ? -n : n);
  return r->p > start && take(r, stop);
}

/* [lower:upper]…= when a lower bound is not 1. */
static bool take_bounds(struct array *a, struct reader *r) {
  int32_t upper;
  int n = 0;
  while (take(r, '[')) {
    if (n == PG_MAX_DIMS || !take_bound(r, ':', &a->lower[n++]) ||
        !take_bound(r, ']', &upper))
      return false;
  }
  a->bounds = n > 0;
  return n == 0 || take(r, '=');
}

static int text_array(struct pg_dec *d, const struct pg_type *t, const char *p,
                      size_t n, struct prg_value *out) {
  struct array a = {.type = t, .elem = pg_type_find(d->cat, t->elem)};
  struct reader r = {p, p + n};
  a.stops[0] = a.elem->delim;
  a.stops[1] = '}';
  if (!take_bounds(&a, &r)) return pg_dec_bad(d, t, "bounds");
  if (text_level(d, &a, 0, &r, out) != PRG_OK) return PRG_ERR;
  if (r.p != r.end) return pg_dec_bad(d, t, "text after the end");
  if (!a.bounds) return PRG_OK;
  size_t size = (size_t)a.ndim * sizeof *a.lower;
  int32_t *lower = pg_dec_alloc(d, size, 1);
  if (lower == NULL) return PRG_ERR;
  memcpy(lower, a.lower, size);
  out->u.list->lower = lower;
  return PRG_OK;
}

/* int2vector and oidvector: numbers between blanks. */
static int text_vector(struct pg_dec *d, const struct pg_type *t, const char *p,
                       size_t n, struct prg_value *out) {
  const struct pg_type *elem = pg_type_find(d->cat, t->elem);
  struct reader r = {p, p + n};
  size_t count = n > 0 ? 1 : 0;
  for (size_t i = 0; i < n; i++) count += p[i] == ' ';
  struct prg_vlist *l = pg_dec_list(d, count);
  if (l == NULL) return PRG_ERR;
  if (count == 0) l->ndim = 0;
  for (size_t i = 0; i < count; i++) {
    const char *start = r.p;
    while (r.p < r.end && *r.p != ' ') r.p++;
    if (pg_dec_text(d, elem, start, (size_t)(r.p - start), &l->items[i]) !=
        PRG_OK)
      return PRG_ERR;
    take(&r, ' ');
  }
  out->type = PRG_LIST;
  out->u.list = l;
  return PRG_OK;
}

/* ---- composites ---------------------------------------------------------- */

static size_t count_fields(const struct reader *r) {
  size_t n = 1;
  bool quoted = false;
  for (const char *p = r->p; p < r->end; p++) {
    if (*p == '"') quoted = !quoted;
    if (*p == '\\')
      p++;
    else if (*p == ',' && !quoted)
      n++;
  }
  return n;
}

/* An attribute that is not of its type tells that the composite has changed:
** its text, unlike the binary form, has no other sign of that. */
static int text_attribute(struct pg_dec *d, const struct pg_type *t,
                          const struct pg_type *of, const struct token *token,
                          struct prg_value *out) {
  int rc = pg_dec_text(d, of, token->p, token->n, out);
  if (rc == PRG_OK || (*d->err)->kind != PRG_K_DATABASE ||
      (*d->err)->retryable || t->codec != PG_C_COMPOSITE)
    return rc;
  prg_error_unref(*d->err);
  *d->err = NULL;
  return pg_dec_stale(d, t);
}

/* The text of a record does not tell types: without names all are texts. */
static int text_record(struct pg_dec *d, const struct pg_type *t, const char *p,
                       size_t n, struct prg_value *out) {
  bool named = t->codec == PG_C_COMPOSITE;
  struct reader r = {p, p + n};
  if (!take(&r, '(')) return pg_dec_bad(d, t, "parentheses");
  size_t count = named && t->natts == 0 ? 0 : count_fields(&r);
  if (named && count != t->natts) return pg_dec_stale(d, t);
  struct prg_vmap *m = pg_dec_map(d, count, named);
  if (m == NULL) return PRG_ERR;
  if (named) pg_dec_names(m, t);
  for (size_t i = 0; i < count; i++) {
    struct token token;
    if (i > 0 && !take(&r, ',')) return pg_dec_bad(d, t, "comma");
    if (take_token(d, &r, ",)", &token) != PRG_OK) return PRG_ERR;
    if (token.n == 0 && !token.quoted) continue;
    const struct pg_type *of = pg_type_find(d->cat, named ? t->atts[i].oid : 0);
    if (text_attribute(d, t, of, &token, &m->values[i]) != PRG_OK)
      return PRG_ERR;
  }
  out->type = PRG_RECORD;
  out->u.map = m;
  if (!take(&r, ')') || r.p != r.end) return pg_dec_bad(d, t, "parentheses");
  return PRG_OK;
}

/* ---- ranges -------------------------------------------------------------- */

static int text_bound(struct pg_dec *d, const struct pg_type *sub,
                      struct reader *r, const char *stops,
                      struct prg_value *out) {
  struct token token;
  if (take_token(d, r, stops, &token) != PRG_OK) return PRG_ERR;
  if (token.n == 0 && !token.quoted) return PRG_OK;
  return pg_dec_text(d, sub, token.p, token.n, out);
}

/* The range that begins at `r`, which is moved behind it. */
static int range_at(struct pg_dec *d, const struct pg_type *t, struct reader *r,
                    struct prg_value *out) {
  const struct pg_type *sub = pg_type_find(d->cat, t->elem);
  struct prg_vrange *range = pg_dec_alloc(d, 1, sizeof *range);
  if (range == NULL) return PRG_ERR;
  memset(range, 0, sizeof *range);
  range->lower.type = range->upper.type = PRG_NULL;
  out->type = PRG_RANGE;
  out->u.range = range;
  if (r->end - r->p >= 5 && memcmp(r->p, "empty", 5) == 0) {
    range->empty = true;
    r->p += 5;
    return PRG_OK;
  }
  range->lower_inc = at(r, '[');
  if (!take(r, '[') && !take(r, '(')) return pg_dec_bad(d, t, "brackets");
  if (text_bound(d, sub, r, ",", &range->lower) != PRG_OK) return PRG_ERR;
  if (!take(r, ',')) return pg_dec_bad(d, t, "comma");
  if (text_bound(d, sub, r, "])", &range->upper) != PRG_OK) return PRG_ERR;
  range->upper_inc = at(r, ']');
  if (!take(r, ']') && !take(r, ')')) return pg_dec_bad(d, t, "brackets");
  return PRG_OK;
}

static int text_range(struct pg_dec *d, const struct pg_type *t, const char *p,
                      size_t n, struct prg_value *out) {
  struct reader r = {p, p + n};
  if (range_at(d, t, &r, out) != PRG_OK) return PRG_ERR;
  return r.p == r.end ? PRG_OK : pg_dec_bad(d, t, "text after the end");
}

/* Ranges in the braces: two commas for each but the last's one, outside
** quotes. */
static size_t count_ranges(const struct reader *r) {
  size_t commas = count_fields(r) - 1;
  return at(r, '}') ? 0 : (commas + 1) / 2;
}

static int text_multirange(struct pg_dec *d, const struct pg_type *t,
                           const char *p, size_t n, struct prg_value *out) {
  const struct pg_type *range = pg_type_find(d->cat, t->elem);
  struct reader r = {p, p + n};
  if (!take(&r, '{')) return pg_dec_bad(d, t, "braces");
  struct prg_vlist *l = pg_dec_list(d, count_ranges(&r));
  if (l == NULL) return PRG_ERR;
  for (size_t i = 0; i < l->n; i++) {
    if (i > 0 && !take(&r, ',')) return pg_dec_bad(d, t, "comma");
    if (range_at(d, range, &r, &l->items[i]) != PRG_OK) return PRG_ERR;
  }
  out->type = PRG_MULTIRANGE;
  out->u.list = l;
  if (!take(&r, '}') || r.p != r.end) return pg_dec_bad(d, t, "braces");
  return PRG_OK;
}

/* ---- hstore -------------------------------------------------------------- */

static int text_pair(struct pg_dec *d, const struct pg_type *t,
                     struct reader *r, struct prg_vmap *m) {
  struct token key, value;
  if (take_token(d, r, "=", &key) != PRG_OK) return PRG_ERR;
  if (!take(r, '=') || !take(r, '>')) return pg_dec_bad(d, t, "arrow");
  if (take_token(d, r, ",", &value) != PRG_OK) return PRG_ERR;
  m->keys[m->n].p = key.p;
  m->keys[m->n].n = key.n;
  if (!is_null_word(&value))
    take_text(PRG_TEXT, value.p, value.n, &m->values[m->n]);
  m->n++;
  return PRG_OK;
}

/* "key"=>"value", "key"=>NULL */
static int text_hstore(struct pg_dec *d, const struct pg_type *t, const char *p,
                       size_t n, struct prg_value *out) {
  struct reader r = {p, p + n};
  size_t room = n > 0 ? count_fields(&r) : 0;
  struct prg_vmap *m = pg_dec_map(d, room, true);
  if (m == NULL) return PRG_ERR;
  m->n = 0;
  while (r.p < r.end) {
    if (m->n == room) return pg_dec_bad(d, t, "comma");
    if (text_pair(d, t, &r, m) != PRG_OK) return PRG_ERR;
    if (r.p < r.end && !(take(&r, ',') && take(&r, ' ')))
      return pg_dec_bad(d, t, "comma");
  }
  out->type = PRG_HSTORE;
  out->u.map = m;
  return PRG_OK;
}

static int text_any(struct pg_dec *d, const struct pg_type *t, const char *p,
                    size_t n, struct prg_value *out) {
  switch ((int)t->codec) {
    case PG_C_ARRAY:
      return text_array(d, t, p, n, out);
    case PG_C_VECTOR:
      return text_vector(d, t, p, n, out);
    case PG_C_RECORD:
    case PG_C_COMPOSITE:
      return text_record(d, t, p, n, out);
    case PG_C_RANGE:
      return text_range(d, t, p, n, out);
    case PG_C_MULTIRANGE:
      return text_multirange(d, t, p, n, out);
    case PG_C_HSTORE:
      return text_hstore(d, t, p, n, out);
    case PG_C_DOMAIN:
      return pg_dec_text(d, pg_type_find(d->cat, t->elem), p, n, out);
    default:
      return text_scalar(d, t, p, n, out);
  }
}

int pg_dec_text(struct pg_dec *d, const struct pg_type *t, const char *p,
                size_t n, struct prg_value *out) {
  if (++d->depth > PG_MAX_DEPTH) return pg_dec_bad(d, t, "nesting");
  int rc = text_any(d, t, p, n, out);
  d->depth--;
  return rc;
}
