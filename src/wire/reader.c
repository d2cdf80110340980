/*
** Messages from the server. They are read where they came, in blocks. A block
** that nobody else refers to is filled again from its start; one whose rows are
** still being read stays with them, and an incomplete message at its end moves to
** the next block.
*/
#include <string.h>

#include "base/mem.h"
#include "wire/wire.h"

enum {
  FIRST_BLOCK = 16 * 1024,
  LAST_BLOCK = 64 * 1024,
  MIN_ROOM = 1024,       /* less is not worth a call */
  MAX_SHORT = 64 * 1024, /* of messages that have no reason to be long */
  MAX_PARAMS = 65535 * 4 + 6
};

void prg_wire_in_init(struct prg_wire_in *in) {
  memset(in, 0, sizeof *in);
  in->size = FIRST_BLOCK;
}

void prg_wire_in_fini(struct prg_wire_in *in) {
  prg_wire_block_unref(in->block);
  prg_wire_in_init(in);
}

struct prg_wire_block *prg_wire_block_ref(struct prg_wire_block *b) {
  b->refs++;
  return b;
}

void prg_wire_block_unref(struct prg_wire_block *b) {
  if (b != NULL && --b->refs == 0) prg_free(b);
}

/* ---- room --------------------------------------------------------------- */

/* Bytes that the message at the start of `left` bytes takes, at least as far as
** can be told. What the server promises is believed up to twice of what it has
** sent. */
static size_t wanted(const struct prg_wire_in *in, size_t left) {
  size_t need = PRG_WIRE_HEAD;
  if (left >= PRG_WIRE_HEAD)
    need = (size_t)prg_wire_get32(in->block->data + in->pos + 1) + 1;
  size_t most = 2 * left > LAST_BLOCK ? 2 * left : LAST_BLOCK;
  return need < most ? need : most;
}

static int new_block(struct prg_wire_in *in, size_t left, size_t cap) {
  struct prg_wire_block *b = prg_alloc(sizeof *b + cap);
  if (b == NULL) return PRG_ERR;
  b->refs = 1;
  b->cap = cap;
  b->len = left;
  if (left > 0) memcpy(b->data, in->block->data + in->pos, left);
  prg_wire_block_unref(in->block);
  in->block = b;
  in->pos = 0;
  return PRG_OK;
}

static int make_room(struct prg_wire_in *in, size_t left) {
  struct prg_wire_block *b = in->block;
  size_t want = wanted(in, left), cap = in->size;
  if (want < left + MIN_ROOM) want = left + MIN_ROOM;
  if (b != NULL && b->refs == 1 && b->cap >= want) {
    if (left > 0) memmove(b->data, b->data + in->pos, left);
    b->len = left;
    in->pos = 0;
    return PRG_OK;
  }
  if (b != NULL && in->size < LAST_BLOCK) cap = in->size *= 2;
  return new_block(in, left, want > cap ? want : cap);
}

char *prg_wire_room(struct prg_wire_in *in, size_t *n) {
  struct prg_wire_block *b = in->block;
  size_t left = b == NULL ? 0 : b->len - in->pos;
  if (left == 0 && b != NULL && b->refs == 1) in->pos = b->len = 0;
  bool enough = b != NULL && b->cap - b->len >= MIN_ROOM &&
                b->cap - in->pos >= wanted(in, left);
  if (!enough && make_room(in, left) != PRG_OK) return NULL;
  b = in->block;
  *n = b->cap - b->len;
  return b->data + b->len;
}

void prg_wire_fed(struct prg_wire_in *in, size_t n) {
  in->block->len += n;
}

/* ---- framing ------------------------------------------------------------ */

static int bad(struct prg_wire_in *in, const char *what) {
  in->error = what;
  return PRG_ERR;
}

/* The most that the body of such a message has, 0: there is none such. */
static size_t limit_of(char type) {
  switch (type) {
    case 'D': /* DataRow */
    case 'd': /* CopyData */
    case 'T': /* RowDescription */
    case 'E': /* ErrorResponse */
    case 'N': /* NoticeResponse */
    case 'A': /* NotificationResponse */
      return INT32_MAX;
    case 't': /* ParameterDescription */
      return MAX_PARAMS;
    case '1': /* ParseComplete */
    case '2': /* BindComplete */
    case '3': /* CloseComplete */
    case 'C': /* CommandComplete */
    case 'G': /* CopyInResponse */
    case 'H': /* CopyOutResponse */
    case 'I': /* EmptyQueryResponse */
    case 'K': /* BackendKeyData */
    case 'S': /* ParameterStatus */
    case 'W': /* CopyBothResponse */
    case 'Z': /* ReadyForQuery */
    case 'c': /* CopyDone */
    case 'n': /* NoData */
    case 's': /* PortalSuspended */
      return MAX_SHORT;
    default:
      return 0;
  }
}

/* Body of the message at `pos`, whose head is there. */
static int check_head(struct prg_wire_in *in, const char *head, size_t *len) {
  uint32_t n = prg_wire_get32(head + 1);
  size_t most = limit_of(head[0]);
  if (most == 0) return bad(in, "a message of an unknown type");
  if (n < 4 || n - 4 > most) return bad(in, "a message of impossible length");
  *len = n - 4;
  return PRG_OK;
}

int prg_wire_next(struct prg_wire_in *in, struct prg_wire_msg *m) {
  struct prg_wire_block *b = in->block;
  size_t left = b == NULL ? 0 : b->len - in->pos;
  if (left < PRG_WIRE_HEAD) return PRG_AGAIN;
  const char *head = b->data + in->pos;
  if (check_head(in, head, &m->len) != PRG_OK) return PRG_ERR;
  if (left - PRG_WIRE_HEAD < m->len) return PRG_AGAIN;
  m->type = head[0];
  m->body = head + PRG_WIRE_HEAD;
  in->pos += PRG_WIRE_HEAD + m->len;
  return PRG_OK;
}

/* Are these `len` bytes `n` cells and nothing else? */
static bool is_row(const char *p, size_t len, size_t n) {
  const char *end = p + len;
  if (len < 2 || prg_wire_get16(p) != n) return false;
  p += 2;
  for (; n > 0; n--) {
    if (end - p < 4) return false;
    int32_t cell = (int32_t)prg_wire_get32(p);
    p += 4;
    if (cell > end - p || cell < -1) return false;
    if (cell > 0) p += cell;
  }
  return p == end;
}

/* What is wrong with a DataRow of `len` bytes whose head is at `p`; NULL: it is as
** it should be. */
static const char *fault_of(const char *p, size_t len, size_t ncols) {
  if (len < 4 || len > INT32_MAX) return "a message of impossible length";
  if (!is_row(p + PRG_WIRE_HEAD, len - 4, ncols))
    return "a row that does not have the columns it should have";
  return NULL;
}

int prg_wire_rows(struct prg_wire_in *in, size_t ncols, size_t max,
                  struct prg_wire_rows *rows) {
  struct prg_wire_block *b = in->block;
  const char *fault = NULL;
  rows->n = 0;
  if (b == NULL) return PRG_OK;
  const char *p = b->data + in->pos, *end = b->data + b->len;
  rows->block = b;
  rows->first = p;
  while (rows->n < max && end - p >= PRG_WIRE_HEAD && *p == 'D') {
    size_t len = prg_wire_get32(p + 1);
    if (len > (size_t)(end - p) - 1 && len <= INT32_MAX) break;
    fault = fault_of(p, len, ncols);
    if (fault != NULL) break;
    p += 1 + len;
    rows->n++;
  }
  rows->bytes = (size_t)(p - rows->first);
  in->pos += rows->bytes;
  /* Those before it are good, and the next call meets it again. */
  return fault != NULL && rows->n == 0 ? bad(in, fault) : PRG_OK;
}

/* ---- bodies ------------------------------------------------------------- */

struct prg_wire_cur prg_wire_body(const struct prg_wire_msg *m) {
  return (struct prg_wire_cur){m->body, m->body + m->len, false};
}

/* `n` bytes, or NULL. */
static const char *take(struct prg_wire_cur *c, size_t n) {
  const char *p = c->p;
  if ((size_t)(c->end - p) < n) {
    c->bad = true;
    c->p = c->end;
    return NULL;
  }
  c->p += n;
  return p;
}

unsigned prg_wire_byte(struct prg_wire_cur *c) {
  const char *p = take(c, 1);
  return p == NULL ? 0 : (unsigned char)*p;
}

unsigned prg_wire_int16(struct prg_wire_cur *c) {
  const char *p = take(c, 2);
  return p == NULL ? 0 : prg_wire_get16(p);
}

uint32_t prg_wire_int32(struct prg_wire_cur *c) {
  const char *p = take(c, 4);
  return p == NULL ? 0 : prg_wire_get32(p);
}

const char *prg_wire_string(struct prg_wire_cur *c) {
  size_t left = (size_t)(c->end - c->p);
  const char *zero = left == 0 ? NULL : memchr(c->p, '\0', left);
  const char *s = c->p;
  if (zero == NULL) {
    c->bad = true;
    c->p = c->end;
    return "";
  }
  c->p = zero + 1;
  return s;
}

struct prg_wire_column prg_wire_column(struct prg_wire_cur *c) {
  struct prg_wire_column col;
  col.name = prg_wire_string(c);
  (void)prg_wire_int32(c); /* table */
  (void)prg_wire_int16(c); /* its column */
  col.type = prg_wire_int32(c);
  (void)prg_wire_int16(c); /* size of the type */
  (void)prg_wire_int32(c); /* its modifier */
  col.format = prg_wire_int16(c);
  return col;
}

int prg_wire_fields(const struct prg_wire_msg *m, struct prg_wire_fields *f) {
  struct prg_wire_cur c = prg_wire_body(m);
  memset(f, 0, sizeof *f);
  for (;;) {
    unsigned letter = prg_wire_byte(&c);
    if (c.bad) return PRG_ERR;
    if (letter == 0) return PRG_OK;
    const char *text = prg_wire_string(&c);
    if (c.bad) return PRG_ERR;
    if (letter <= 'z') f->of[letter] = text;
  }
}
