#include "wire/packet.h"

#include <string.h>

#include "base/mem.h"

enum { HEAD = 4, FIRST_ROOM = 16 * 1024, ROOM = 64 * 1024, KEEP = 256 * 1024 };
enum { MAX_PIECE = 0xffffff, MAX_COLUMNS = 4096 /* the servers' own limit */ };

/* First bytes of packets. */
enum { IS_OK = 0x00, IS_NULL = 0xfb, IS_END = 0xfe, IS_ERROR = 0xff };
enum { END_LENGTH = 5, PROGRESS = 0xffff };

/* Types of columns and parameters. */
enum {
  T_TINY = 1,
  T_SHORT = 2,
  T_LONG = 3,
  T_FLOAT = 4,
  T_DOUBLE = 5,
  T_NULL = 6,
  T_LONGLONG = 8,
  T_INT24 = 9,
  T_YEAR = 13,
  T_NEWDECIMAL = 246,
  T_BLOB = 252,
  T_STRING = 254
};

static uint32_t load3(const unsigned char *p) {
  return prg_load2(p) | (uint32_t)p[2] << 16;
}

/* ---- packets -------------------------------------------------------------- */

static bool grow(struct prg_inbox *in) {
  size_t cap = in->cap == 0 ? FIRST_ROOM : in->cap < ROOM ? ROOM : in->cap * 2;
  unsigned char *data = prg_realloc(in->data, cap);
  if (data == NULL) return false;
  in->data = data;
  in->cap = cap;
  return true;
}

unsigned char *prg_inbox_room(struct prg_inbox *in, size_t *n) {
  size_t left = in->end - in->at;
  if (in->at > 0) {
    if (left > 0) memmove(in->data, in->data + in->at, left);
    in->at = 0;
    in->end = left;
  }
  if (in->end == in->cap && !grow(in)) return NULL;
  *n = in->cap - in->end;
  return in->data + in->end;
}

/* A first buffer that is full grows at once, so that the next receive takes more. */
void prg_inbox_got(struct prg_inbox *in, size_t n) {
  in->end += n;
  if (in->at == 0 && in->end == in->cap && in->cap < ROOM) (void)grow(in);
}

/* The pieces of a packet become one: the heads between them go. Nothing is moved before
** all of it is there. */
static bool join(struct prg_inbox *in, struct prg_packet *out) {
  const unsigned char *end = in->data + in->end, *p = in->data + in->at;
  unsigned char *to = in->data + in->at + HEAD;
  size_t n;
  do { /* is it all there? */
    if ((size_t)(end - p) < HEAD) return false;
    n = load3(p);
    if ((size_t)(end - p) - HEAD < n) return false;
    p += HEAD + n;
  } while (n == MAX_PIECE);
  out->p = to;
  p = to - HEAD;
  do {
    n = load3(p);
    p += HEAD;
    memmove(to, p, n);
    to += n;
    p += n;
  } while (n == MAX_PIECE);
  out->end = to;
  in->at = (size_t)(p - in->data);
  return true;
}

bool prg_inbox_next(struct prg_inbox *in, struct prg_packet *out) {
  const unsigned char *p = in->data + in->at;
  size_t left = in->end - in->at, n;
  if (left < HEAD) return false;
  n = load3(p);
  if (n == MAX_PIECE) return join(in, out);
  if (left - HEAD < n) return false;
  out->p = p + HEAD;
  out->end = p + HEAD + n;
  in->at += HEAD + n;
  return true;
}

void prg_inbox_trim(struct prg_inbox *in) {
  if (in->cap > KEEP && prg_inbox_is_empty(in)) prg_inbox_fini(in);
}

void prg_inbox_fini(struct prg_inbox *in) {
  prg_free(in->data);
  memset(in, 0, sizeof *in);
}

/* ---- reading a body ------------------------------------------------------- */

struct cursor {
  const unsigned char *p, *end;
  bool bad;
};

static struct cursor cursor_of(const struct prg_packet *p) {
  struct cursor c = {p->p, p->end, false};
  return c;
}

static size_t left_of(const struct cursor *c) {
  return (size_t)(c->end - c->p);
}

/* `n` bytes, n <= 8, or eight zeros when they are not there. */
static const unsigned char *take(struct cursor *c, size_t n) {
  static const unsigned char nothing[8] = {0};
  const unsigned char *p = c->p;
  if (left_of(c) < n) {
    c->bad = true;
    c->p = c->end;
    return nothing;
  }
  c->p += n;
  return p;
}

/* An "Integer<lenenc>". */
static uint64_t take_number(struct cursor *c) {
  unsigned char first = *take(c, 1);
  switch (first) {
    case 0xfc:
      return prg_load2(take(c, 2));
    case 0xfd:
      return load3(take(c, 3));
    case 0xfe:
      return prg_load8(take(c, 8));
    default:
      if (first >= IS_NULL) c->bad = true;
      return first;
  }
}

/* A "String<lenenc>"; its length to *n. */
static const char *take_text(struct cursor *c, size_t *n) {
  uint64_t length = take_number(c);
  const unsigned char *p = c->p;
  if (length > left_of(c)) {
    c->bad = true;
    length = left_of(c);
  }
  *n = (size_t)length;
  c->p += length;
  return (const char *)p;
}

/* ---- answers -------------------------------------------------------------- */

static struct prg_reply bad(void) {
  struct prg_reply r = {.kind = PRG_REPLY_BAD};
  return r;
}

static struct prg_reply read_error(const struct prg_packet *p) {
  struct prg_reply r = {.kind = PRG_REPLY_ERROR, .state = "HY000"};
  struct cursor c = {p->p + 1, p->end, false};
  r.code = prg_load2(take(&c, 2));
  if (c.bad) return bad();
  if (left_of(&c) >= 6 && *c.p == '#') {
    memcpy(r.state, c.p + 1, 5);
    c.p += 6;
  } else if (r.code == PROGRESS) {
    r.kind = PRG_REPLY_PROGRESS;
  }
  r.text = (const char *)c.p;
  r.length = left_of(&c);
  return r;
}

static struct prg_reply read_end(const struct prg_packet *p) {
  struct prg_reply r = {.kind = PRG_REPLY_END};
  r.warnings = prg_load2(p->p + 1);
  r.status = prg_load2(p->p + 3);
  return r;
}

static struct prg_reply read_ok(const struct prg_packet *p) {
  struct prg_reply r = {.kind = PRG_REPLY_OK};
  struct cursor c = {p->p + 1, p->end, false};
  r.affected = take_number(&c);
  r.last_id = take_number(&c);
  r.status = prg_load2(take(&c, 2));
  r.warnings = prg_load2(take(&c, 2));
  return c.bad ? bad() : r;
}

/* MariaDB adds whether it describes the columns again ("Result Set Packets"). */
static struct prg_reply read_columns(const struct prg_packet *p) {
  struct prg_reply r = {.kind = PRG_REPLY_COLUMNS, .described = true};
  struct cursor c = cursor_of(p);
  uint64_t n = take_number(&c);
  if (left_of(&c) > 0) r.described = *take(&c, 1) != 0;
  if (c.bad || n == 0 || n > MAX_COLUMNS) return bad();
  r.ncols = (unsigned)n;
  return r;
}

struct prg_reply prg_packet_answer(const struct prg_packet *p) {
  if (p->p == p->end) return bad();
  if (*p->p == IS_OK) return read_ok(p);
  if (*p->p == IS_ERROR) return read_error(p);
  if (*p->p == IS_NULL) return bad(); /* a file is asked for */
  return read_columns(p);
}

struct prg_reply prg_packet_behind(const struct prg_packet *p) {
  struct prg_reply r = {.kind = PRG_REPLY_ROW};
  if (p->p == p->end) return bad();
  if (*p->p == IS_OK) return r;
  if (*p->p == IS_ERROR) return read_error(p);
  if (*p->p == IS_END && p->end - p->p == END_LENGTH) return read_end(p);
  return bad();
}

/* "Extended metadata": pairs of a number and a text. The first is the type's name, the
** second its format. */
static bool says_json(const char *p, size_t n) {
  struct cursor c = {(const unsigned char *)p, (const unsigned char *)p + n,
                     false};
  while (left_of(&c) > 0 && !c.bad) {
    unsigned char key = *take(&c, 1);
    size_t length;
    const char *text = take_text(&c, &length);
    if (key == 1 && length == 4 && memcmp(text, "json", 4) == 0) return !c.bad;
  }
  return false;
}

bool prg_packet_column(const struct prg_packet *p,
                       struct prg_packet_column *out) {
  enum { NAME = 4, TEXTS = 6, FIXED = 13 };
  struct cursor c = cursor_of(p);
  size_t n;
  memset(out, 0, sizeof *out);
  for (int i = 0; i < TEXTS; i++) { /* catalog, schema, table, its own name */
    const char *text = take_text(&c, &n);
    if (i != NAME) continue;
    out->name = text;
    out->length = n;
  }
  if (left_of(&c) > FIXED) {
    const char *extended = take_text(&c, &n);
    out->json = says_json(extended, n);
  }
  if (c.bad || left_of(&c) < FIXED) return false;
  (void)take(&c, 1); /* how long all of this is */
  out->charset = prg_load2(take(&c, 2));
  out->width = prg_load4(take(&c, 4));
  out->type = *take(&c, 1);
  out->flags = prg_load2(take(&c, 2));
  return true;
}

/* ---- rows ----------------------------------------------------------------- */

unsigned char prg_packet_size(unsigned type) {
  switch (type) {
    case T_TINY:
      return 1;
    case T_SHORT:
    case T_YEAR:
      return 2;
    case T_LONG:
    case T_INT24:
    case T_FLOAT:
      return 4;
    case T_LONGLONG:
    case T_DOUBLE:
      return 8;
    default:
      return 0;
  }
}

bool prg_packet_cells(const struct prg_packet *p, const unsigned char *sizes,
                      size_t n, const unsigned char **cells) {
  struct cursor c = {p->p + 1, p->end, false};
  const unsigned char *nulls = c.p; /* a bit each, after two that are free */
  size_t i, length, bytes = (n + 9) / 8;
  if (left_of(&c) < bytes) return false;
  c.p += bytes;
  for (i = 0; i < n && !c.bad; i++) {
    cells[i] = NULL;
    if ((nulls[(i + 2) / 8] >> (i + 2) % 8 & 1) != 0) continue;
    cells[i] = c.p;
    if (sizes[i] == 0)
      (void)take_text(&c, &length);
    else
      (void)take(&c, sizes[i]);
  }
  return !c.bad && c.p == c.end;
}

/* ---- executing ------------------------------------------------------------ */

enum { COMMAND = 0x17, COMMAND_HEAD = 10 };

unsigned char prg_packet_type(enum prg_type type) {
  switch (type) {
    case PRG_NULL:
      return T_NULL;
    case PRG_BOOL:
      return T_TINY;
    case PRG_INT:
      return T_LONGLONG;
    case PRG_DOUBLE:
      return T_DOUBLE;
    case PRG_BYTES:
      return T_BLOB;
    case PRG_DECIMAL:
      return T_NEWDECIMAL;
    default:
      return T_STRING;
  }
}

static unsigned char *put4(unsigned char *p, uint32_t v) {
  for (int i = 0; i < 4; i++) *p++ = (unsigned char)(v >> 8 * i);
  return p;
}

static unsigned char *put8(unsigned char *p, uint64_t v) {
  return put4(put4(p, (uint32_t)v), (uint32_t)(v >> 32));
}

static size_t length_of_length(size_t n) {
  return n < IS_NULL ? 1 : n <= 0xffff ? 3 : n <= 0xffffff ? 4 : 9;
}

static unsigned char *put_text(unsigned char *p, const struct prg_text *s) {
  static const unsigned char marks[] = {[3] = 0xfc, [4] = 0xfd, [9] = 0xfe};
  size_t bytes = length_of_length(s->n);
  if (bytes == 1) {
    *p++ = (unsigned char)s->n;
  } else {
    *p++ = marks[bytes];
    for (size_t i = 0; i + 1 < bytes; i++)
      *p++ = (unsigned char)((uint64_t)s->n >> 8 * i);
  }
  if (s->n > 0) memcpy(p, s->p, s->n);
  return p + s->n;
}

static size_t value_size(const struct prg_value *v) {
  switch (v->type) {
    case PRG_NULL:
      return 0;
    case PRG_BOOL:
      return 1;
    case PRG_INT:
    case PRG_DOUBLE:
      return 8;
    default:
      return length_of_length(v->u.s.n) + v->u.s.n;
  }
}

static unsigned char *put_value(unsigned char *p, const struct prg_value *v) {
  uint64_t bits;
  switch (v->type) {
    case PRG_NULL:
      return p;
    case PRG_BOOL:
      *p = v->u.b;
      return p + 1;
    case PRG_INT:
      return put8(p, (uint64_t)v->u.i);
    case PRG_DOUBLE:
      memcpy(&bits, &v->u.d, sizeof bits);
      return put8(p, bits);
    default:
      return put_text(p, &v->u.s);
  }
}

/* Are the parameters of the types that the server knows? NULL is of any. */
static bool knows_types(const struct prg_packet_execute *x) {
  const struct prg_packet_types *k = x->types;
  if (k == NULL || x->n > PRG_PACKET_KEPT || !k->known) return false;
  for (size_t i = 0; i < x->n; i++)
    if (x->params[i].type != PRG_NULL &&
        prg_packet_type(x->params[i].type) != k->of[i])
      return false;
  return true;
}

static unsigned char *put_types(unsigned char *p,
                                const struct prg_packet_execute *x) {
  bool keep = x->types != NULL && x->n <= PRG_PACKET_KEPT;
  if (keep) x->types->known = true;
  for (size_t i = 0; i < x->n; i++) {
    unsigned char type = prg_packet_type(x->params[i].type);
    if (keep) x->types->of[i] = type;
    *p++ = type;
    *p++ = 0; /* signed */
  }
  return p;
}

static unsigned char *put_params(unsigned char *p,
                                 const struct prg_packet_execute *x,
                                 bool known) {
  unsigned char *nulls = p;
  size_t bytes = (x->n + 7) / 8;
  memset(nulls, 0, bytes);
  p += bytes;
  *p++ = !known;
  if (!known) p = put_types(p, x);
  for (size_t i = 0; i < x->n; i++) {
    if (x->params[i].type == PRG_NULL)
      nulls[i / 8] = (unsigned char)(nulls[i / 8] | 1u << i % 8);
    p = put_value(p, &x->params[i]);
  }
  return p;
}

static void put_head(unsigned char *p, size_t n, size_t number) {
  put4(p, (uint32_t)n);
  p[3] = (unsigned char)number;
}

/* A body of `n` bytes stands behind the first head: a head before each further piece, from
** the last one on. One that is full is followed by another, which may be empty. */
static void frame(struct prg_buf *out, size_t start, size_t n) {
  size_t pieces = n / MAX_PIECE;
  unsigned char *body;
  if (pieces > 0 && prg_buf_space(out, pieces * HEAD) == NULL) return;
  body = (unsigned char *)out->data + start + HEAD;
  for (size_t i = pieces; i > 0; i--) {
    size_t at = i * MAX_PIECE, len = i == pieces ? n - at : MAX_PIECE;
    unsigned char *to = body + at + i * HEAD;
    memmove(to, body + at, len);
    put_head(to - HEAD, len, i);
  }
  put_head(body - HEAD, pieces > 0 ? MAX_PIECE : n, 0);
}

void prg_packet_execute(struct prg_buf *out,
                        const struct prg_packet_execute *x) {
  bool known = knows_types(x);
  size_t start = out->len, n = COMMAND_HEAD;
  unsigned char *p;
  if (x->n > 0) n += (x->n + 7) / 8 + 1 + (known ? 0 : 2 * x->n);
  for (size_t i = 0; i < x->n; i++) {
    n += value_size(&x->params[i]);
    if (n > SIZE_MAX / 4) {
      out->failed = true;
      return;
    }
  }
  p = (unsigned char *)prg_buf_space(out, HEAD + n);
  if (p == NULL) return;
  p += HEAD;
  *p++ = COMMAND;
  p = put4(p, x->id);
  *p++ = 0; /* no cursor */
  p = put4(p, 1);
  if (x->n > 0) put_params(p, x, known);
  frame(out, start, n);
}
