/* Rows of a COPY to the server: PostgreSQL's binary format where every column has
** one for all values that it takes, else its text format. */
#include "driver/postgres/pg_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "driver/postgres/pg_types_int.h"

/* What is written without a call. */
enum quick {
  Q_NONE,
  Q_TEXT,
  Q_BYTEA,
  Q_BOOL,
  Q_INT2,
  Q_INT4,
  Q_INT8,
  Q_FLOAT8
};

struct copy_col {
  uint32_t oid;
  enum quick quick;
  const char *name;
};

struct copy_codec {
  struct pg_shared *shared; /* owned reference */
  bool binary;
  size_t n;
  struct copy_col cols[];
};

static enum quick quick_of(const struct pg_type *t) {
  switch ((int)t->codec) {
    case PG_C_TEXT:
      return Q_TEXT;
    case PG_C_BYTEA:
      return Q_BYTEA;
    case PG_C_BOOL:
      return Q_BOOL;
    case PG_C_INT2:
      return Q_INT2;
    case PG_C_INT4:
      return Q_INT4;
    case PG_C_INT8:
      return Q_INT8;
    case PG_C_FLOAT8:
      return Q_FLOAT8;
    default:
      return Q_NONE;
  }
}

void *pg_copy_codec(struct pg_shared *s, const struct pg_head *head) {
  const struct pg_catalog *cat = s->catalog;
  size_t n = head->ncols, names = 0;
  for (size_t i = 0; i < n; i++) names += strlen(head->cols[i].name) + 1;
  struct copy_codec *k = prg_alloc(sizeof *k + n * sizeof k->cols[0] + names);
  if (k == NULL) return NULL;
  char *name = (char *)(k->cols + n);
  k->shared = pg_shared_ref(s);
  k->binary = true;
  k->n = n;
  for (size_t i = 0; i < n; i++) {
    struct copy_col *col = &k->cols[i];
    size_t len = strlen(head->cols[i].name) + 1;
    col->oid = head->cols[i].type;
    col->quick = quick_of(pg_type_base(cat, pg_type_find(cat, col->oid)));
    col->name = memcpy(name, head->cols[i].name, len);
    name += len;
    k->binary = k->binary && pg_copies_binary(cat, col->oid);
  }
  return k;
}

void pg_copy_codec_free(void *codec) {
  struct copy_codec *k = codec;
  pg_shared_unref(k->shared);
  prg_free(k);
}

bool pg_copy_codec_is_binary(const void *codec) {
  return ((const struct copy_codec *)codec)->binary;
}

/* ---- binary ------------------------------------------------------------- */

static char *put16(char *p, unsigned v) {
  p[0] = (char)(v >> 8);
  p[1] = (char)v;
  return p + 2;
}

static char *put32(char *p, uint32_t v) {
  p[0] = (char)(v >> 24);
  p[1] = (char)(v >> 16);
  p[2] = (char)(v >> 8);
  p[3] = (char)v;
  return p + 4;
}

static char *put64(char *p, uint64_t v) {
  return put32(put32(p, (uint32_t)(v >> 32)), (uint32_t)v);
}

static char *put_double(char *p, double d) {
  uint64_t u;
  memcpy(&u, &d, sizeof u);
  return put64(put32(p, 8), u);
}

static char *put_int(char *p, enum quick q, int64_t i) {
  const int64_t exact = (int64_t)1 << 53;
  if (q == Q_INT4 && i >= INT32_MIN && i <= INT32_MAX)
    return put32(put32(p, 4), (uint32_t)i);
  if (q == Q_INT8) return put64(put32(p, 8), (uint64_t)i);
  if (q == Q_INT2 && i >= INT16_MIN && i <= INT16_MAX)
    return put16(put32(p, 2), (unsigned)i);
  if (q == Q_FLOAT8 && i >= -exact && i <= exact)
    return put_double(p, (double)i);
  return NULL;
}

static char *put_bytes(char *p, struct prg_text s) {
  p = put32(p, (uint32_t)s.n);
  if (s.n > 0) memcpy(p, s.p, s.n);
  return p + s.n;
}

/* NULL: this is not for here. There is room for it. */
static char *put_quick(char *p, enum quick q, const struct prg_value *v) {
  switch ((int)v->type) {
    case PRG_NULL:
      return put32(p, UINT32_MAX);
    case PRG_INT:
      return put_int(p, q, v->u.i);
    case PRG_DOUBLE:
      return q == Q_FLOAT8 ? put_double(p, v->u.d) : NULL;
    case PRG_TEXT:
      if (q == Q_TEXT && memchr(v->u.s.p, '\0', v->u.s.n) == NULL)
        return put_bytes(p, v->u.s);
      return q == Q_BYTEA ? put_bytes(p, v->u.s) : NULL;
    case PRG_BYTES:
      return q == Q_BYTEA ? put_bytes(p, v->u.s) : NULL;
    case PRG_BOOL:
      if (q != Q_BOOL) return NULL;
      p = put32(p, 1);
      *p = v->u.b ? 1 : 0;
      return p + 1;
    default:
      return NULL;
  }
}

static size_t room_of(const struct prg_value *v) {
  bool text = v->type == PRG_TEXT || v->type == PRG_BYTES;
  return 12 + (text ? v->u.s.n : 0);
}

/* Cells from `i` on, as many as are quick; returns the first that is not. */
static size_t put_cells(const struct copy_codec *k, size_t i,
                        const struct prg_value *v, struct prg_buf *b) {
  size_t need = 0, j;
  for (j = i; j < k->n; j++) need += room_of(&v[j]);
  char *p = prg_buf_space(b, need);
  if (p == NULL) return k->n;
  for (; i < k->n; i++) {
    char *next = put_quick(p, k->cols[i].quick, &v[i]);
    if (next == NULL) break;
    p = next;
  }
  b->len = (size_t)(p - b->data);
  return i;
}

static int put_row(const struct copy_codec *k, const struct prg_value *v,
                   struct prg_buf *b, struct prg_error **err) {
  char *p = prg_buf_space(b, 2);
  if (p != NULL) put16(p, (unsigned)k->n);
  for (size_t i = put_cells(k, 0, v, b); i < k->n;) {
    struct pg_target to = {k->cols[i].oid, (int)i};
    if (pg_encode_copy(k->shared->catalog, to, &v[i], true, b, err) != PRG_OK)
      return PRG_ERR;
    i = put_cells(k, i + 1, v, b);
  }
  return PRG_OK;
}

/* ---- text --------------------------------------------------------------- */

static char escape_of(char c) {
  switch (c) {
    case '\\':
      return '\\';
    case '\n':
      return 'n';
    case '\r':
      return 'r';
    case '\t':
      return 't';
    default:
      return '\0';
  }
}

/* What was appended from `start` on gets COPY's escapes. */
static void escape_from(struct prg_buf *b, size_t start) {
  size_t n = b->len - start, extra = 0;
  if (b->failed) return;
  for (size_t i = start; i < b->len; i++) extra += escape_of(b->data[i]) != 0;
  if (extra == 0 || prg_buf_space(b, extra) == NULL) return;
  char *from = b->data + start + n, *to = b->data + b->len;
  while (from > b->data + start) {
    char c = *--from, e = escape_of(c);
    *--to = e != '\0' ? e : c;
    if (e != '\0') *--to = '\\';
  }
}

static int put_line(const struct copy_codec *k, const struct prg_value *v,
                    struct prg_buf *b, struct prg_error **err) {
  for (size_t i = 0; i < k->n; i++) {
    struct pg_target to = {k->cols[i].oid, (int)i};
    size_t start = b->len + (i > 0);
    if (i > 0) prg_buf_addc(b, '\t');
    if (v[i].type == PRG_NULL) {
      prg_buf_adds(b, "\\N");
      continue;
    }
    if (pg_encode_copy(k->shared->catalog, to, &v[i], false, b, err) != PRG_OK)
      return PRG_ERR;
    escape_from(b, start);
  }
  prg_buf_addc(b, '\n');
  return PRG_OK;
}

/* ---- rows --------------------------------------------------------------- */

/* "$2: what" becomes "name: what". */
static struct prg_error *name_column(const struct copy_codec *k,
                                     struct prg_error *e) {
  const char *text = prg_error_message(e), *rest = strchr(text, ':');
  size_t i = text[0] == '$' ? (size_t)strtoul(text + 1, NULL, 10) : 0;
  if (e == prg_error_oom() || rest == NULL || i == 0 || i > k->n) return e;
  const char *name = k->cols[i - 1].name;
  struct prg_error *named = prg_error_new(e->kind, "%s%s", name, rest);
  prg_error_set(named, PRG_EF_COLUMN, name);
  prg_error_unref(e);
  return named;
}

int pg_copy_row(struct prg_req *req, const struct prg_value *cells,
                struct prg_error **err) {
  const struct copy_codec *k = req->copy->codec;
  struct prg_buf *b = &req->copy->out;
  size_t start = b->len;
  int rc = k->binary ? put_row(k, cells, b, err) : put_line(k, cells, b, err);
  if (rc == PRG_OK && !b->failed) return PRG_OK;
  *err = rc == PRG_OK ? prg_error_oom() : name_column(k, *err);
  if (!b->failed) b->len = start;
  return PRG_ERR;
}
