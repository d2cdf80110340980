/*
** The text of a cursor.
**
**   base64url( version, key id, nonce, AES-256-GCM( body ), tag )
**   body: flags, limit, owner, filter, search, number of columns,
**         and per column: name, direction, value
**
** The text that decodes is the one that encodes (no padding, no stray bits), the
** cipher refuses every other change, and the body is read as if it were hostile
** all the same.
*/
#include "page/page_int.h"

#include <string.h>

enum {
  FLAG_BACK = 1,
  FLAG_FILTER = 2, /* the filter is there; else its print */
  FLAG_SEARCH = 4,
  FLAG_INCLUSIVE = 8,
  FLAG_ALL = 15
};
enum { ORDER_DESC = 1, ORDER_NULLS = 1 /* shift */ };

/* ---- base64url ----------------------------------------------------------- */

static const char alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static size_t encoded_size(size_t n) {
  return n / 3 * 4 + (n % 3 == 0 ? 0 : n % 3 + 1);
}

static void encode(const unsigned char *p, size_t n, char *out) {
  unsigned bits;
  for (; n >= 3; n -= 3, p += 3) {
    bits = (unsigned)p[0] << 16 | (unsigned)p[1] << 8 | p[2];
    *out++ = alphabet[bits >> 18];
    *out++ = alphabet[bits >> 12 & 63];
    *out++ = alphabet[bits >> 6 & 63];
    *out++ = alphabet[bits & 63];
  }
  if (n == 0) return;
  bits = (unsigned)p[0] << 16 | (n == 2 ? (unsigned)p[1] << 8 : 0U);
  *out++ = alphabet[bits >> 18];
  *out++ = alphabet[bits >> 12 & 63];
  if (n == 2) *out = alphabet[bits >> 6 & 63];
}

static int digit(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  return c == '-' ? 62 : c == '_' ? 63 : -1;
}

/* NULL, or what is wrong. `out` has room for len * 3 / 4. */
static const char *decode(const char *p, size_t len, unsigned char *out) {
  unsigned bits = 0;
  int have = 0;
  if (len % 4 == 1)
    return "the cursor is cut off: base64url has no such length";
  for (size_t i = 0; i < len; i++) {
    int d = digit(p[i]);
    if (d < 0)
      return "the cursor is not base64url: it has another character in it";
    bits = (bits << 6 | (unsigned)d) & 0xffff;
    have += 6;
    if (have < 8) continue;
    have -= 8;
    *out++ = (unsigned char)(bits >> have);
  }
  if ((bits & ((1U << have) - 1)) != 0)
    return "the cursor is not in its canonical form: its last character has "
           "stray bits";
  return NULL;
}

/* ---- the body ------------------------------------------------------------ */

static void write_kept(const struct prg_kept *k, struct prg_buf *out) {
  if (k->whole)
    prg__put_text(out, k->packed.p, k->packed.n);
  else
    prg_buf_add(out, k->print.bytes, PRG_PRINT_SIZE);
}

void prg_cursor_write(const struct prg_cursor *c, struct prg_buf *out) {
  unsigned flags = (c->back ? FLAG_BACK : 0U) |
                   (c->filter.whole ? FLAG_FILTER : 0U) |
                   (c->search.whole ? FLAG_SEARCH : 0U) |
                   (c->inclusive ? FLAG_INCLUSIVE : 0U);
  prg_buf_addc(out, (char)flags);
  prg__put_number(out, c->limit);
  prg_buf_add(out, c->owner.bytes, PRG_PRINT_SIZE);
  write_kept(&c->filter, out);
  write_kept(&c->search, out);
  prg__put_number(out, c->norder);
  for (size_t i = 0; i < c->norder; i++) {
    unsigned how = (unsigned)c->order[i].nulls << ORDER_NULLS;
    if (c->order[i].desc) how |= ORDER_DESC;
    prg__put_text(out, c->order[i].name.p, c->order[i].name.n);
    prg_buf_addc(out, (char)how);
    (void)prg__put_value(out, &c->at[i]); /* never nested */
  }
}

static void read_print(struct prg__reader *r, struct prg_print *out) {
  for (int i = 0; i < PRG_PRINT_SIZE; i++)
    out->bytes[i] = (unsigned char)prg__get_byte(r);
}

static void read_kept(struct prg__reader *r, bool whole, struct prg_kept *out) {
  out->whole = whole;
  if (whole)
    out->packed = prg__get_text(r);
  else
    read_print(r, &out->print);
}

/* May a value stand in the place of a row? */
static bool is_scalar(const struct prg_value *v) {
  return v->type <= PRG_DECIMAL;
}

static void read_order(struct prg__reader *r, struct prg_cursor *out) {
  out->norder = prg__get_count(r);
  if (out->norder == 0 || out->norder > PRG_PAGE_COLS) r->bad = true;
  for (size_t i = 0; i < out->norder && !r->bad; i++) {
    unsigned how;
    out->order[i].name = prg__get_text(r);
    how = prg__get_byte(r);
    if (how >> ORDER_NULLS > PRG_NULLS_LAST) r->bad = true;
    out->order[i].desc = (how & ORDER_DESC) != 0;
    out->order[i].nulls = (enum prg_nulls)(how >> ORDER_NULLS & 3);
    prg__get_value(r, &out->at[i]);
    if (!is_scalar(&out->at[i])) r->bad = true;
  }
}

int prg_cursor_read(const char *data, size_t len, struct prg_arena *a,
                    struct prg_cursor *out, struct prg_error **err) {
  struct prg__reader r = {(const unsigned char *)data,
                          (const unsigned char *)data + len, a, false, false};
  unsigned flags = prg__get_byte(&r);
  uint64_t limit = prg__get_number(&r);
  memset(out, 0, sizeof(*out));
  out->back = (flags & FLAG_BACK) != 0;
  out->inclusive = (flags & FLAG_INCLUSIVE) != 0;
  out->limit = (uint32_t)limit;
  if (flags > FLAG_ALL || limit == 0 || limit > UINT32_MAX) r.bad = true;
  read_print(&r, &out->owner);
  read_kept(&r, (flags & FLAG_FILTER) != 0, &out->filter);
  read_kept(&r, (flags & FLAG_SEARCH) != 0, &out->search);
  read_order(&r, out);
  if (!r.bad && r.p == r.end) return PRG_OK;
  *err = r.memory ? prg_error_oom()
                  : prg_error_new(PRG_K_CURSOR,
                                  "the cursor is none of this Perigee: its "
                                  "content cannot be read");
  return PRG_ERR;
}

/* ---- sealing ------------------------------------------------------------- */

/* Encrypts a body; 1: done, 0: it would be too long, PRG_ERR. */
static int seal_body(const struct prg_ring *r, const struct prg_buf *body,
                     struct prg_buf *out, struct prg_error **err) {
  unsigned char sealed[PRG_CURSOR_MAX];
  size_t size = PRG__SEALED_EXTRA + body->len;
  char *text;
  if (size > sizeof(sealed) || encoded_size(size) > PRG_CURSOR_MAX) return 0;
  if (prg__ring_seal(r, body->data, body->len, sealed, err) != PRG_OK)
    return PRG_ERR;
  text = prg_buf_space(out, encoded_size(size));
  if (text == NULL) {
    *err = prg_error_oom();
    return PRG_ERR;
  }
  encode(sealed, size, text);
  return 1;
}

static int try_seal(const struct prg_ring *r, const struct prg_cursor *c,
                    struct prg_buf *out, struct prg_error **err) {
  struct prg_buf body;
  int result = PRG_ERR;
  prg_buf_init(&body, 0);
  prg_cursor_write(c, &body);
  if (body.failed)
    *err = prg_error_oom();
  else
    result = seal_body(r, &body, out, err);
  prg_buf_fini(&body);
  return result;
}

/* Only the print is kept. */
static int cut(struct prg_kept *k, struct prg_error **err) {
  k->whole = false;
  return prg_print_of(&k->packed, 1, &k->print, err);
}

int prg_cursor_seal(const struct prg_ring *r, const struct prg_cursor *c,
                    struct prg_buf *out, struct prg_error **err) {
  int result = try_seal(r, c, out, err);
  if (result == 0) {
    struct prg_cursor less = *c;
    if (less.filter.whole) {
      if (cut(&less.filter, err) != PRG_OK) return PRG_ERR;
      result = try_seal(r, &less, out, err);
    }
    if (result == 0 && less.search.whole) {
      if (cut(&less.search, err) != PRG_OK) return PRG_ERR;
      result = try_seal(r, &less, out, err);
    }
  }
  if (result != 0) return result < 0 ? PRG_ERR : PRG_OK;
  *err = prg_error_new(PRG_K_USAGE,
                       "the values that the page is ordered by are too large "
                       "for a cursor of %d bytes: order by shorter columns",
                       PRG_CURSOR_MAX);
  return PRG_ERR;
}

/* ---- opening ------------------------------------------------------------- */

static int refuse(struct prg_error **err, const char *why) {
  *err = prg_error_new(PRG_K_CURSOR, "%s", why);
  return PRG_ERR;
}

int prg_cursor_open(const struct prg_ring *r, const char *text, size_t len,
                    struct prg_arena *a, struct prg_cursor *out,
                    struct prg_error **err) {
  unsigned char sealed[PRG_CURSOR_MAX], body[PRG_CURSOR_MAX];
  size_t size = len * 3 / 4;
  const char *wrong;
  if (len == 0) return refuse(err, "the cursor is empty");
  if (len > PRG_CURSOR_MAX) {
    *err = prg_error_new(PRG_K_CURSOR,
                         "the cursor is too long: %zu bytes, and none has more "
                         "than %d",
                         len, PRG_CURSOR_MAX);
    return PRG_ERR;
  }
  wrong = decode(text, len, sealed);
  if (wrong != NULL) return refuse(err, wrong);
  if (size <= PRG__SEALED_EXTRA)
    return refuse(err, "the cursor is too short: it was cut off");
  if (prg__ring_open(r, sealed, size, body, err) != PRG_OK) return PRG_ERR;
  return prg_cursor_read((const char *)body, size - PRG__SEALED_EXTRA, a, out,
                         err);
}
