/*
** Values to parameters. Numbers, booleans, bytes, texts and arrays of these go
** in binary format with their length; everything else is written as the text that the server's
** input function reads (a literal without its SQL quotes). What a type cannot
** take is refused here, before anything is sent, with the parameter's number.
*/
#include <stdio.h>
#include <strings.h>

#include "driver/postgres/pg_types_int.h"

enum { OID_NAME = 19, OID_XML = 142, OID_BYTEA = 17 };

struct enc {
  struct pg_catalog *cat;
  struct prg_arena *arena;
  struct prg_error **err;
  int number; /* 1-based, for messages */
  int depth;
};

/* ---- refusing ------------------------------------------------------------ */

static const char *value_name(const struct prg_value *v) {
  switch (v->type) {
    case PRG_NULL:
      return "null";
    case PRG_BOOL:
      return "a boolean";
    case PRG_INT:
      return "an integer";
    case PRG_DOUBLE:
      return "a number";
    case PRG_TEXT:
      return "a string";
    case PRG_BYTES:
      return "perigee.bytes";
    case PRG_DECIMAL:
      return "a decimal";
    case PRG_JSON:
      return "a JSON document";
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
  }
  return "a value";
}

static int refuse(struct enc *e, const char *fmt, ...) PRG_PRINTF(2, 3);

static int refuse(struct enc *e, const char *fmt, ...) {
  struct prg_buf text;
  va_list ap;
  prg_buf_init(&text, 0);
  va_start(ap, fmt);
  prg_buf_vaddf(&text, fmt, ap);
  va_end(ap);
  *e->err = text.failed || text.data == NULL
                ? prg_error_oom()
                : prg_error_new(PRG_K_USAGE, "$%d: %s", e->number, text.data);
  prg_buf_fini(&text);
  return PRG_ERR;
}

static bool is_json(const struct pg_type *t) {
  return t->codec == PG_C_JSON || t->codec == PG_C_JSONB;
}

/* Is nothing known of the type, or only that it is unknown to SQL too? */
static bool is_open(const struct pg_type *t) {
  return t->oid == 0 || t->oid == 705;
}

static int refuse_type(struct enc *e, const struct pg_type *t,
                       const struct prg_value *v) {
  const char *hint = "";
  if (is_json(t) && v->type >= PRG_LIST)
    hint = "; perigee.json() makes a document of it";
  else if (t->codec == PG_C_BYTEA)
    hint = "; pass a string";
  else if (v->type == PRG_BOOL)
    hint = "; pass a string or a number";
  return refuse(e, "%s is not a value of type %s%s", value_name(v),
                pg_type_title(t), hint);
}

static int refuse_memory(struct enc *e) {
  *e->err = prg_error_oom();
  return PRG_ERR;
}

/* ---- numbers ------------------------------------------------------------- */

struct limits {
  int64_t min, max;
};

/* Of an integer type; false for all others. */
static bool int_limits(enum pg_codec codec, struct limits *l) {
  switch ((int)codec) {
    case PG_C_INT2:
      *l = (struct limits){INT16_MIN, INT16_MAX};
      return true;
    case PG_C_INT4:
      *l = (struct limits){INT32_MIN, INT32_MAX};
      return true;
    case PG_C_INT8:
      *l = (struct limits){INT64_MIN, INT64_MAX};
      return true;
    case PG_C_OID:
      *l = (struct limits){0, UINT32_MAX};
      return true;
    case PG_C_XID8:
      *l = (struct limits){0, INT64_MAX};
      return true;
    default:
      return false;
  }
}

/* Is `d` a whole number that an int64 can hold? */
static bool whole(double d, int64_t *out) {
  if (!(d >= -9223372036854775808.0 && d < 9223372036854775808.0)) return false;
  *out = (int64_t)d;
  return (double)*out == d;
}

/* The integer of an integer or of a whole double, in the type's range. */
static int check_int(struct enc *e, const struct pg_type *t,
                     const struct prg_value *v, int64_t *out) {
  struct limits l = {0, 0};
  char text[32];
  (void)int_limits(t->codec, &l);
  if (v->type == PRG_INT) {
    *out = v->u.i;
  } else if (!whole(v->u.d, out)) {
    pg_format_double(v->u.d, text);
    bool large =
        v->u.d - v->u.d == 0.0 && (v->u.d < -9.2e18 || v->u.d > 9.2e18);
    return large
               ? refuse(e, "%s is out of range for %s", text, pg_type_title(t))
               : refuse(e, "%s is not a whole number, which %s takes", text,
                        pg_type_title(t));
  }
  if (*out >= l.min && *out <= l.max) return PRG_OK;
  return refuse(e, "%lld is out of range for %s", (long long)*out,
                pg_type_title(t));
}

/* The double of a number for float4 or float8. float4 rounds as it always
** does; an integer that float8 would change is refused. */
static int check_float(struct enc *e, const struct pg_type *t,
                       const struct prg_value *v, double *out) {
  char text[32];
  int64_t back;
  *out = v->type == PRG_INT ? (double)v->u.i : v->u.d;
  if (t->codec == PG_C_FLOAT8) {
    if (v->type == PRG_INT && !(whole(*out, &back) && back == v->u.i))
      return refuse(e, "%lld cannot be held exactly by double precision",
                    (long long)v->u.i);
    return PRG_OK;
  }
  double finite = *out - *out == 0.0 ? *out : 1.0;
  /* Half a step above FLT_MAX is where rounding goes to infinity. */
  bool over =
      finite >= 3.4028235677973366e38 || finite <= -3.4028235677973366e38;
  bool under = finite != 0.0 && !over && (float)finite == 0.0F;
  if (!over && !under) return PRG_OK;
  pg_format_double(*out, text);
  return refuse(e, "%s is out of range for real", text);
}

/* ---- literals ------------------------------------------------------------ */

/* Puts the text from `start` to the end in double quotes when a literal of an
** array, composite or range needs it. */
static void quote_from(struct prg_buf *b, size_t start, bool always) {
  static const char safe[] =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:+-";
  if (b->failed) return;
  size_t n = b->len - start, extra = 2, plain = 0;
  for (size_t i = start; i < b->len; i++) {
    char c = b->data[i];
    if (c == '"' || c == '\\') extra++;
    if (c != '\0' && strchr(safe, c) != NULL) plain++;
  }
  bool null_word = n == 4 && strncasecmp(b->data + start, "null", 4) == 0;
  if (!always && n > 0 && plain == n && !null_word) return;
  if (prg_buf_space(b, extra) == NULL) return;
  char *from = b->data + start + n, *to = b->data + b->len;
  *--to = '"';
  while (from > b->data + start) {
    char c = *--from;
    *--to = c;
    if (c == '"' || c == '\\') *--to = '\\';
  }
  *--to = '"';
}

static void put_hex(struct prg_buf *b, struct prg_text s) {
  static const char hex[] = "0123456789abcdef";
  prg_buf_adds(b, "\\x");
  for (size_t i = 0; i < s.n; i++) {
    unsigned char c = (unsigned char)s.p[i];
    char pair[2] = {hex[c >> 4], hex[c & 15]};
    prg_buf_add(b, pair, 2);
  }
}

static int put_value(struct enc *e, const struct pg_type *t,
                     const struct prg_value *v, struct prg_buf *b);

/* A member of a literal: `null` for NULL, else the text, quoted if needed. */
static int put_member(struct enc *e, const struct pg_type *t,
                      const struct prg_value *v, const char *null,
                      struct prg_buf *b) {
  if (v->type == PRG_NULL) {
    prg_buf_adds(b, null);
    return PRG_OK;
  }
  size_t start = b->len;
  if (put_value(e, t, v, b) != PRG_OK) return PRG_ERR;
  quote_from(b, start, false);
  return PRG_OK;
}

/* ---- arrays -------------------------------------------------------------- */

struct array {
  const struct pg_type *elem;
  int ndim;
  size_t dim[PG_MAX_DIMS];
};

/* Are the values of a type lists themselves? */
static bool is_list_type(const struct enc *e, const struct pg_type *t) {
  t = pg_type_base(e->cat, t);
  return t->codec == PG_C_ARRAY || t->codec == PG_C_VECTOR;
}

/* The dimensions by the first members. */
static int measure(struct enc *e, const struct prg_vlist *l, struct array *a) {
  int told = l->ndim;
  bool nested = is_list_type(e, a->elem);
  a->ndim = 0;
  for (;;) {
    if (a->ndim == PG_MAX_DIMS)
      return refuse(e, "an array has at most %d dimensions", PG_MAX_DIMS);
    a->dim[a->ndim++] = l->n;
    if (l->n == 0 || l->items[0].type != PRG_LIST) return PRG_OK;
    if (nested && a->ndim >= (told > 0 ? told : 1)) return PRG_OK;
    l = l->items[0].u.list;
  }
}

static int put_level(struct enc *e, const struct array *a, int level,
                     const struct prg_vlist *l, struct prg_buf *b) {
  if (l->n != a->dim[level])
    return refuse(e, "the lists of an array must have the same length");
  prg_buf_addc(b, '{');
  for (size_t i = 0; i < l->n; i++) {
    const struct prg_value *v = &l->items[i];
    bool inner = level + 1 < a->ndim;
    if (i > 0) prg_buf_addc(b, a->elem->delim);
    if (inner ? v->type != PRG_LIST
              : v->type == PRG_LIST && !is_list_type(e, a->elem))
      return refuse(e, "an array takes values or lists, not both");
    int rc = inner ? put_level(e, a, level + 1, v->u.list, b)
                   : put_member(e, a->elem, v, "NULL", b);
    if (rc != PRG_OK) return rc;
  }
  prg_buf_addc(b, '}');
  return PRG_OK;
}

static bool is_empty(const struct array *a) {
  for (int i = 0; i < a->ndim; i++)
    if (a->dim[i] == 0) return true;
  return false;
}

static int put_array(struct enc *e, const struct pg_type *t,
                     const struct prg_vlist *l, struct prg_buf *b) {
  struct array a = {.elem = pg_type_find(e->cat, t->elem)};
  if (measure(e, l, &a) != PRG_OK) return PRG_ERR;
  bool empty = is_empty(&a);
  if (l->lower != NULL && l->ndim == a.ndim && !empty) {
    for (int i = 0; i < a.ndim; i++) {
      long long lower = l->lower[i];
      prg_buf_addf(b, "[%lld:%lld]", lower, lower + (long long)a.dim[i] - 1);
    }
    prg_buf_addc(b, '=');
  }
  size_t start = b->len;
  if (put_level(e, &a, 0, l, b) != PRG_OK) return PRG_ERR;
  /* {{},{}} is refused by some versions; it is the empty array. */
  if (empty && !b->failed && b->len > start) {
    b->len = start;
    prg_buf_adds(b, "{}");
  }
  return PRG_OK;
}

/* int2vector, oidvector */
static int put_vector(struct enc *e, const struct pg_type *t,
                      const struct prg_vlist *l, struct prg_buf *b) {
  const struct pg_type *elem = pg_type_find(e->cat, t->elem);
  for (size_t i = 0; i < l->n; i++) {
    if (l->items[i].type != PRG_INT && l->items[i].type != PRG_DOUBLE)
      return refuse(e, "%s takes integers only", pg_type_title(t));
    if (i > 0) prg_buf_addc(b, ' ');
    if (put_value(e, elem, &l->items[i], b) != PRG_OK) return PRG_ERR;
  }
  return PRG_OK;
}

static int put_multirange(struct enc *e, const struct pg_type *t,
                          const struct prg_vlist *l, struct prg_buf *b) {
  const struct pg_type *range = pg_type_find(e->cat, t->elem);
  prg_buf_addc(b, '{');
  for (size_t i = 0; i < l->n; i++) {
    if (l->items[i].type != PRG_RANGE)
      return refuse(e, "a multirange takes ranges only");
    if (i > 0) prg_buf_addc(b, ',');
    if (put_value(e, range, &l->items[i], b) != PRG_OK) return PRG_ERR;
  }
  prg_buf_addc(b, '}');
  return PRG_OK;
}

static int put_list(struct enc *e, const struct pg_type *t,
                    const struct prg_value *v, struct prg_buf *b) {
  /* An array without a type: its members say how they are written. */
  if (t->codec == PG_C_ARRAY || is_open(t))
    return put_array(e, t, v->u.list, b);
  if (t->codec == PG_C_VECTOR) return put_vector(e, t, v->u.list, b);
  if (t->codec == PG_C_MULTIRANGE) return put_multirange(e, t, v->u.list, b);
  return refuse_type(e, t, v);
}

/* ---- composites, ranges, hstore ------------------------------------------ */

/* The value for an attribute; NULL when the map does not have it. */
static const struct prg_value *find_key(const struct prg_vmap *m,
                                        struct prg_text name) {
  for (size_t i = 0; i < m->n; i++)
    if (m->keys[i].n == name.n && memcmp(m->keys[i].p, name.p, name.n) == 0)
      return &m->values[i];
  return NULL;
}

static int check_keys(struct enc *e, const struct pg_type *t,
                      const struct prg_vmap *m) {
  for (size_t i = 0; i < m->n; i++) {
    bool found = false;
    for (size_t k = 0; k < t->natts && !found; k++)
      found = m->keys[i].n == t->atts[k].name.n &&
              memcmp(m->keys[i].p, t->atts[k].name.p, m->keys[i].n) == 0;
    if (found) continue;
    /* Or it is new: so the next statement will ask for the type again. */
    pg_catalog_forget(e->cat, t->oid);
    return refuse(e, "type %s has no attribute \"%.*s\"", pg_type_title(t),
                  (int)(m->keys[i].n > 64 ? 64 : m->keys[i].n), m->keys[i].p);
  }
  return PRG_OK;
}

/* By position: the attributes' types are known (composite) or not (record). */
static int put_record(struct enc *e, const struct pg_type *t,
                      const struct prg_vmap *m, struct prg_buf *b) {
  static const struct prg_value null = {.type = PRG_NULL};
  bool typed = t->codec == PG_C_COMPOSITE;
  bool named = typed && m->keys != NULL;
  size_t n = named ? t->natts : m->n;
  if (named && check_keys(e, t, m) != PRG_OK) return PRG_ERR;
  if (typed && n != t->natts)
    return refuse(e, "type %s has %zu attributes, not %zu", pg_type_title(t),
                  t->natts, n);
  prg_buf_addc(b, '(');
  for (size_t i = 0; i < n; i++) {
    const struct prg_value *v =
        named ? find_key(m, t->atts[i].name) : &m->values[i];
    const struct pg_type *at = pg_type_find(e->cat, typed ? t->atts[i].oid : 0);
    if (i > 0) prg_buf_addc(b, ',');
    if (put_member(e, at, v != NULL ? v : &null, "", b) != PRG_OK)
      return PRG_ERR;
  }
  prg_buf_addc(b, ')');
  return PRG_OK;
}

static int put_range(struct enc *e, const struct pg_type *t,
                     const struct prg_vrange *r, struct prg_buf *b) {
  const struct pg_type *sub = pg_type_find(e->cat, t->elem);
  if (r->empty) {
    prg_buf_adds(b, "empty");
    return PRG_OK;
  }
  prg_buf_addc(b, r->lower_inc ? '[' : '(');
  if (put_member(e, sub, &r->lower, "", b) != PRG_OK) return PRG_ERR;
  prg_buf_addc(b, ',');
  if (put_member(e, sub, &r->upper, "", b) != PRG_OK) return PRG_ERR;
  prg_buf_addc(b, r->upper_inc ? ']' : ')');
  return PRG_OK;
}

static int put_string(struct enc *e, const struct pg_type *t, struct prg_text s,
                      struct prg_buf *b);

static int put_hstore(struct enc *e, const struct pg_type *t,
                      const struct prg_vmap *m, struct prg_buf *b) {
  if (m->keys == NULL && m->n > 0)
    return refuse(e, "an hstore takes keys, not positions");
  for (size_t i = 0; i < m->n; i++) {
    if (i > 0) prg_buf_adds(b, ", ");
    size_t start = b->len;
    if (put_string(e, t, m->keys[i], b) != PRG_OK) return PRG_ERR;
    quote_from(b, start, true);
    prg_buf_adds(b, "=>");
    if (m->values[i].type == PRG_NULL) {
      prg_buf_adds(b, "NULL");
      continue;
    }
    if (m->values[i].type != PRG_TEXT)
      return refuse(e, "the values of an hstore are strings or null, not %s",
                    value_name(&m->values[i]));
    start = b->len;
    if (put_string(e, t, m->values[i].u.s, b) != PRG_OK) return PRG_ERR;
    quote_from(b, start, true);
  }
  return PRG_OK;
}

/* ---- scalars as text ----------------------------------------------------- */

/* A text that goes to the server in text format, which ends at a zero byte. */
static int check_zero(struct enc *e, const struct pg_type *t,
                      struct prg_text s) {
  if (s.n == 0 || memchr(s.p, '\0', s.n) == NULL) return PRG_OK;
  return refuse(e, "the string has a zero byte, which type %s cannot hold%s",
                pg_type_title(t),
                is_open(t) ? "; perigee.bytes() sends binary data" : "");
}

static int put_string(struct enc *e, const struct pg_type *t, struct prg_text s,
                      struct prg_buf *b) {
  if (check_zero(e, t, s) != PRG_OK) return PRG_ERR;
  prg_buf_add(b, s.p, s.n);
  return PRG_OK;
}

static int put_bool(struct enc *e, const struct pg_type *t,
                    const struct prg_value *v, struct prg_buf *b) {
  if (t->codec != PG_C_BOOL && !is_json(t) && !is_open(t))
    return refuse_type(e, t, v);
  prg_buf_adds(b, v->u.b ? "true" : "false");
  return PRG_OK;
}

static int put_number(struct enc *e, const struct pg_type *t,
                      const struct prg_value *v, struct prg_buf *b) {
  char text[32];
  struct limits l;
  struct prg_value as = *v;
  if (t->codec == PG_C_BOOL || t->codec == PG_C_BYTEA)
    return refuse_type(e, t, v);
  if (int_limits(t->codec, &l)) {
    as.type = PRG_INT;
    if (check_int(e, t, v, &as.u.i) != PRG_OK) return PRG_ERR;
  } else if (t->codec == PG_C_FLOAT4 || t->codec == PG_C_FLOAT8) {
    as.type = PRG_DOUBLE;
    if (check_float(e, t, v, &as.u.d) != PRG_OK) return PRG_ERR;
  }
  if (as.type == PRG_INT) {
    prg_buf_addf(b, "%lld", (long long)as.u.i);
    return PRG_OK;
  }
  size_t n = pg_format_double(as.u.d, text);
  if (is_json(t) && as.u.d - as.u.d != 0.0)
    return refuse(e, "%s is not a value of type %s", text, pg_type_title(t));
  prg_buf_add(b, text, n);
  return PRG_OK;
}

static int put_bytes(struct enc *e, const struct pg_type *t,
                     const struct prg_value *v, struct prg_buf *b) {
  if (t->codec == PG_C_TEXT) return put_string(e, t, v->u.s, b);
  if (t->codec != PG_C_BYTEA && !is_open(t)) return refuse_type(e, t, v);
  put_hex(b, v->u.s);
  return PRG_OK;
}

static int put_text(struct enc *e, const struct pg_type *t,
                    const struct prg_value *v, struct prg_buf *b) {
  bool json_fits = is_json(t) || is_open(t) || t->codec == PG_C_TEXT ||
                   t->codec == PG_C_OTHER;
  if (v->type == PRG_JSON && !json_fits) return refuse_type(e, t, v);
  if (t->codec == PG_C_BYTEA) {
    if (v->type != PRG_TEXT) return refuse_type(e, t, v);
    put_hex(b, v->u.s);
    return PRG_OK;
  }
  return put_string(e, t, v->u.s, b);
}

static int put_struct(struct enc *e, const struct pg_type *t,
                      const struct prg_value *v, struct prg_buf *b) {
  bool open = is_open(t);
  switch ((int)v->type) {
    case PRG_RECORD:
      if (t->codec == PG_C_COMPOSITE || t->codec == PG_C_RECORD || open)
        return put_record(e, t, v->u.map, b);
      break;
    case PRG_RANGE:
      if (t->codec == PG_C_RANGE || open) return put_range(e, t, v->u.range, b);
      break;
    case PRG_MULTIRANGE:
      if (t->codec == PG_C_MULTIRANGE || open)
        return put_multirange(e, t, v->u.list, b);
      break;
    case PRG_HSTORE:
      if (t->codec == PG_C_HSTORE || open) return put_hstore(e, t, v->u.map, b);
      break;
  }
  return refuse_type(e, t, v);
}

static int put_any(struct enc *e, const struct pg_type *t,
                   const struct prg_value *v, struct prg_buf *b) {
  switch (v->type) {
    case PRG_NULL:
      break;
    case PRG_BOOL:
      return put_bool(e, t, v, b);
    case PRG_INT:
    case PRG_DOUBLE:
      return put_number(e, t, v, b);
    case PRG_BYTES:
      return put_bytes(e, t, v, b);
    case PRG_TEXT:
    case PRG_DECIMAL:
    case PRG_JSON:
      return put_text(e, t, v, b);
    case PRG_LIST:
      return put_list(e, t, v, b);
    case PRG_RECORD:
    case PRG_RANGE:
    case PRG_MULTIRANGE:
    case PRG_HSTORE:
      return put_struct(e, t, v, b);
  }
  return refuse_type(e, t, v);
}

/* Appends the text of a value that is not NULL. */
static int put_value(struct enc *e, const struct pg_type *t,
                     const struct prg_value *v, struct prg_buf *b) {
  if (++e->depth > PG_MAX_DEPTH)
    return refuse(e, "values are nested more than %d deep", PG_MAX_DEPTH);
  int rc = put_any(e, pg_type_base(e->cat, t), v, b);
  e->depth--;
  return rc;
}

/* ---- parameters ---------------------------------------------------------- */

uint32_t pg_param_oid(const struct prg_value *v) {
  int64_t i;
  switch (v->type) {
    case PRG_BOOL:
      return 16;
    case PRG_BYTES:
      return OID_BYTEA;
    case PRG_INT:
      i = v->u.i;
      break;
    case PRG_DOUBLE:
      /* -0.0 is not the integer 0. */
      if (!whole(v->u.d, &i) || (i == 0 && 1.0 / v->u.d < 0)) return 701;
      break;
    default:
      return 0;
  }
  return i >= INT32_MIN && i <= INT32_MAX ? 23 : 20;
}

/* `size` bytes of `u`, the most significant first. */
static int set_binary(struct enc *e, uint64_t u, int size,
                      struct pg_param *out) {
  char *p = prg_arena_alloc(e->arena, 8);
  if (p == NULL) return refuse_memory(e);
  for (int i = size - 1; i >= 0; i--) {
    p[i] = (char)(u & 0xff);
    u >>= 8;
  }
  *out = (struct pg_param){p, size, PG_BINARY_FORMAT};
  return PRG_OK;
}

static int int_size(enum pg_codec codec) {
  if (codec == PG_C_INT2) return 2;
  return codec == PG_C_INT8 || codec == PG_C_XID8 ? 8 : 4;
}

static int set_int(struct enc *e, const struct pg_type *t,
                   const struct prg_value *v, struct pg_param *out) {
  int64_t i;
  if (check_int(e, t, v, &i) != PRG_OK) return PRG_ERR;
  return set_binary(e, (uint64_t)i, int_size(t->codec), out);
}

static int set_float(struct enc *e, const struct pg_type *t,
                     const struct prg_value *v, struct pg_param *out) {
  double d;
  uint64_t u8;
  uint32_t u4;
  if (check_float(e, t, v, &d) != PRG_OK) return PRG_ERR;
  if (t->codec == PG_C_FLOAT8) {
    memcpy(&u8, &d, sizeof u8);
    return set_binary(e, u8, 8, out);
  }
  float f = (float)d;
  memcpy(&u4, &f, sizeof u4);
  return set_binary(e, u4, 4, out);
}

static int check_size(struct enc *e, size_t n) {
  if (n <= INT32_MAX) return PRG_OK;
  return refuse(e, "the value is larger than 2 GiB");
}

/* The bytes as they are. */
static int set_bytes(struct enc *e, struct prg_text s, struct pg_param *out) {
  if (check_size(e, s.n) != PRG_OK) return PRG_ERR;
  /* An empty string must not look like NULL. */
  out->data = s.n > 0 ? s.p : "";
  out->len = (int)s.n;
  out->format = PG_BINARY_FORMAT;
  return PRG_OK;
}

static int set_text(struct enc *e, struct prg_text s, struct pg_param *out) {
  if (check_size(e, s.n) != PRG_OK) return PRG_ERR;
  out->data = prg_arena_dup(e->arena, s.n > 0 ? s.p : "", s.n);
  out->len = (int)s.n;
  out->format = PG_TEXT_FORMAT;
  return out->data != NULL ? PRG_OK : refuse_memory(e);
}

/* By way of the text form. */
static int set_literal(struct enc *e, const struct pg_type *t,
                       const struct prg_value *v, struct pg_param *out) {
  struct prg_buf b;
  prg_buf_init(&b, 0);
  int rc = put_value(e, t, v, &b);
  if (rc == PRG_OK && b.failed) rc = refuse_memory(e);
  if (rc == PRG_OK) rc = set_text(e, (struct prg_text){b.data, b.len}, out);
  prg_buf_fini(&b);
  return rc;
}

static int set_string(struct enc *e, const struct pg_type *t,
                      const struct prg_value *v, struct pg_param *out) {
  struct prg_text s = v->u.s;
  /* In text format name is cut to 63 bytes as in SQL, where the binary one is
  ** an error, and an XML declaration's encoding is not believed. */
  bool raw = t->codec == PG_C_TEXT && t->oid != OID_NAME && t->oid != OID_XML;
  if (t->codec == PG_C_BYTEA && v->type == PRG_TEXT) raw = true;
  if (t->codec == PG_C_CHAR && v->type == PRG_TEXT) {
    if (s.n == 1) raw = true;
    if (s.n == 0) return set_binary(e, 0, 1, out);
  }
  if (raw) return set_bytes(e, s, out);
  if (v->type != PRG_TEXT && v->type != PRG_DECIMAL)
    return set_literal(e, t, v, out);
  if (t->codec == PG_C_BYTEA) return refuse_type(e, t, v);
  if (check_zero(e, t, s) != PRG_OK) return PRG_ERR;
  return set_text(e, s, out);
}

/* ---- arrays in binary format ---------------------------------------------- */

/* They are written straight into one buffer. What is not an ordinary list of
** ordinary values ends with PRG_AGAIN: the literal says what is wrong with it, or
** the server reads it from there. */

/* Is the binary form of an element at hand? */
static bool has_binary_items(const struct pg_type *elem) {
  switch ((int)elem->codec) {
    case PG_C_BOOL:
    case PG_C_INT2:
    case PG_C_INT4:
    case PG_C_INT8:
    case PG_C_OID:
    case PG_C_FLOAT4:
    case PG_C_FLOAT8:
    case PG_C_BYTEA:
    case PG_C_JSON:
    case PG_C_JSONB:
    case PG_C_UUID:
      return true;
    case PG_C_TEXT: /* see set_string */
      return elem->oid != OID_NAME && elem->oid != OID_XML && !is_open(elem);
  }
  return false;
}

/* The `size` last bytes of `u`. */
static void put_big_endian(char *p, uint64_t u, int size) {
  for (int i = size - 1; i >= 0; i--) {
    p[i] = (char)(u & 0xff);
    u >>= 8;
  }
}

static void add_number(struct prg_buf *b, uint64_t u, int size) {
  char *p = prg_buf_space(b, (size_t)size);
  if (p != NULL) put_big_endian(p, u, size);
}

/* An element of fixed size: its length and its bytes. */
static int add_fixed(struct prg_buf *b, uint64_t u, int size) {
  char *p = prg_buf_space(b, 4 + (size_t)size);
  if (p == NULL) return PRG_OK;
  put_big_endian(p, (uint64_t)size, 4);
  put_big_endian(p + 4, u, size);
  return PRG_OK;
}

static int add_float(struct enc *e, const struct pg_type *t,
                     const struct prg_value *v, struct prg_buf *b) {
  double d;
  uint64_t u8;
  uint32_t u4;
  if (check_float(e, t, v, &d) != PRG_OK) return PRG_ERR;
  if (t->codec == PG_C_FLOAT8) {
    memcpy(&u8, &d, sizeof u8);
    return add_fixed(b, u8, 8);
  }
  float f = (float)d;
  memcpy(&u4, &f, sizeof u4);
  return add_fixed(b, u4, 4);
}

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = (char)(c | 0x20);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* With its hyphens in the usual places, or with none. */
static int add_uuid(struct prg_text s, struct prg_buf *b) {
  unsigned char id[16];
  size_t n = 0;
  bool hyphens = s.n == 36;
  if (!hyphens && s.n != 32) return PRG_AGAIN;
  for (size_t i = 0; i < s.n; i += 2) {
    if (hyphens && (i == 8 || i == 13 || i == 18 || i == 23) && s.p[i++] != '-')
      return PRG_AGAIN;
    int high = hex_digit(s.p[i]), low = hex_digit(s.p[i + 1]);
    if (high < 0 || low < 0) return PRG_AGAIN;
    id[n++] = (unsigned char)(high << 4 | low);
  }
  add_number(b, sizeof id, 4);
  prg_buf_add(b, id, sizeof id);
  return PRG_OK;
}

/* Texts: the length, for jsonb a version, and what the literal has. */
static int add_text(struct enc *e, const struct pg_type *t,
                    const struct prg_value *v, struct prg_buf *b) {
  size_t start = b->len;
  add_number(b, 0, 4);
  if (t->codec == PG_C_JSONB) prg_buf_addc(b, 1);
  int rc = put_any(e, t, v, b);
  if (rc == PRG_OK && !b->failed)
    put_big_endian(b->data + start, b->len - start - 4, 4);
  return rc;
}

/* `t` is a base type. */
static int add_item(struct enc *e, const struct pg_type *t,
                    const struct prg_value *v, struct prg_buf *b) {
  bool number = v->type == PRG_INT || v->type == PRG_DOUBLE;
  int64_t i;
  switch ((int)t->codec) {
    case PG_C_BOOL:
      return v->type == PRG_BOOL ? add_fixed(b, v->u.b, 1) : PRG_AGAIN;
    case PG_C_INT2:
    case PG_C_INT4:
    case PG_C_INT8:
    case PG_C_OID:
      if (!number) return PRG_AGAIN;
      if (check_int(e, t, v, &i) != PRG_OK) return PRG_ERR;
      return add_fixed(b, (uint64_t)i, int_size(t->codec));
    case PG_C_FLOAT4:
    case PG_C_FLOAT8:
      return number ? add_float(e, t, v, b) : PRG_AGAIN;
    case PG_C_UUID:
      return v->type == PRG_TEXT ? add_uuid(v->u.s, b) : PRG_AGAIN;
    case PG_C_BYTEA:
      if (v->type != PRG_TEXT && v->type != PRG_BYTES) return PRG_AGAIN;
      add_number(b, v->u.s.n, 4);
      prg_buf_add(b, v->u.s.p, v->u.s.n);
      return PRG_OK;
    default:
      return v->type < PRG_LIST ? add_text(e, t, v, b) : PRG_AGAIN;
  }
}

static int add_level(struct enc *e, const struct array *a, int level,
                     const struct prg_vlist *l, struct prg_buf *b) {
  bool inner = level + 1 < a->ndim;
  if (l->n != a->dim[level]) return PRG_AGAIN;
  for (size_t i = 0; i < l->n; i++) {
    const struct prg_value *v = &l->items[i];
    int rc = PRG_OK;
    if (inner)
      rc = v->type == PRG_LIST ? add_level(e, a, level + 1, v->u.list, b)
                               : PRG_AGAIN;
    else if (v->type == PRG_NULL)
      add_number(b, UINT32_MAX, 4);
    else
      rc = add_item(e, a->elem, v, b);
    if (rc != PRG_OK) return rc;
  }
  return PRG_OK;
}

/* The header says that there may be NULLs; the server looks for itself. */
static int add_array(struct enc *e, const struct pg_type *t,
                     const struct prg_vlist *l, struct prg_buf *b) {
  struct array a = {.elem = pg_type_find(e->cat, t->elem)};
  if (measure(e, l, &a) != PRG_OK) return PRG_ERR;
  a.elem = pg_type_base(e->cat, a.elem);
  if (is_empty(&a)) return PRG_AGAIN;
  add_number(b, (uint64_t)a.ndim, 4);
  add_number(b, 1, 4);
  add_number(b, t->elem, 4);
  for (int i = 0; i < a.ndim; i++) {
    int lower = l->lower != NULL && l->ndim == a.ndim ? l->lower[i] : 1;
    if (a.dim[i] > INT32_MAX) return PRG_AGAIN;
    add_number(b, a.dim[i], 4);
    add_number(b, (uint64_t)(int64_t)lower, 4);
  }
  return add_level(e, &a, 0, l, b);
}

static int set_array(struct enc *e, const struct pg_type *t,
                     const struct prg_value *v, struct pg_param *out) {
  const struct pg_type *elem = pg_type_find(e->cat, t->elem);
  if (!has_binary_items(pg_type_base(e->cat, elem)))
    return set_literal(e, t, v, out);
  struct prg_buf b;
  prg_buf_init(&b, 0);
  int rc = add_array(e, t, v->u.list, &b);
  if (rc == PRG_OK && b.failed) rc = refuse_memory(e);
  if (rc == PRG_OK) rc = set_text(e, (struct prg_text){b.data, b.len}, out);
  out->format = PG_BINARY_FORMAT;
  prg_buf_fini(&b);
  return rc == PRG_AGAIN ? set_literal(e, t, v, out) : rc;
}

static int set_any(struct enc *e, const struct pg_type *t,
                   const struct prg_value *v, struct pg_param *out) {
  struct limits l;
  switch ((int)v->type) {
    case PRG_BOOL:
      if (t->codec == PG_C_BOOL) return set_binary(e, v->u.b, 1, out);
      break;
    case PRG_INT:
    case PRG_DOUBLE:
      if (int_limits(t->codec, &l)) return set_int(e, t, v, out);
      if (t->codec == PG_C_FLOAT4 || t->codec == PG_C_FLOAT8)
        return set_float(e, t, v, out);
      break;
    case PRG_BYTES:
      if (t->codec == PG_C_BYTEA || t->codec == PG_C_TEXT)
        return set_bytes(e, v->u.s, out);
      break;
    case PRG_TEXT:
    case PRG_DECIMAL:
    case PRG_JSON:
      return set_string(e, t, v, out);
    case PRG_LIST:
      if (t->codec == PG_C_ARRAY) return set_array(e, t, v, out);
      break;
  }
  return set_literal(e, t, v, out);
}

int pg_encode(struct pg_catalog *cat, struct pg_target to,
              const struct prg_value *v, struct prg_arena *arena,
              struct pg_param *out, struct prg_error **err) {
  struct enc e = {cat, arena, err, to.index + 1, 0};
  *out = (struct pg_param){NULL, 0, PG_TEXT_FORMAT};
  if (v->type == PRG_NULL) return PRG_OK;
  return set_any(&e, pg_type_base(cat, pg_type_find(cat, to.oid)), v, out);
}

/* ---- COPY ----------------------------------------------------------------- */

bool pg_copies_binary(const struct pg_catalog *cat, uint32_t oid) {
  const struct pg_type *t = pg_type_base(cat, pg_type_find(cat, oid));
  if (t->codec != PG_C_ARRAY) return has_binary_items(t);
  return has_binary_items(pg_type_base(cat, pg_type_find(cat, t->elem)));
}

/* As set_array does it; the empty array has no dimensions. */
static int copy_array(struct enc *e, const struct pg_type *t,
                      const struct prg_vlist *l, struct prg_buf *b) {
  struct array a = {.elem = pg_type_find(e->cat, t->elem)};
  size_t start = b->len;
  int rc = measure(e, l, &a);
  if (rc != PRG_OK) return rc;
  add_number(b, 12, 4);
  if (is_empty(&a)) {
    add_number(b, 0, 8);
    add_number(b, t->elem, 4);
    return PRG_OK;
  }
  rc = add_array(e, t, l, b);
  if (rc == PRG_OK && !b->failed)
    put_big_endian(b->data + start, b->len - start - 4, 4);
  return rc;
}

int pg_encode_copy(struct pg_catalog *cat, struct pg_target to,
                   const struct prg_value *v, bool binary, struct prg_buf *b,
                   struct prg_error **err) {
  struct enc e = {cat, NULL, err, to.index + 1, 0};
  const struct pg_type *t = pg_type_base(cat, pg_type_find(cat, to.oid));
  bool list = t->codec == PG_C_ARRAY && v->type == PRG_LIST;
  if (!binary) return put_value(&e, t, v, b);
  int rc = list ? copy_array(&e, t, v->u.list, b) : add_item(&e, t, v, b);
  /* What is wrong with it the literal says. */
  if (rc == PRG_AGAIN && put_value(&e, t, v, b) != PRG_OK) return PRG_ERR;
  return rc == PRG_AGAIN ? refuse_type(&e, t, v) : rc;
}
