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
  MAX_PARAMS = 65535 * 4 + 6,
  COPY_HEAD = 19 /* magic, flags, length of what else there is */
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

int prg_wire_put(struct prg_wire_in *in, const char *p, size_t n) {
  while (n > 0) {
    size_t room;
    char *to = prg_wire_room(in, &room);
    if (to == NULL) return PRG_ERR;
    if (room > n) room = n;
    memcpy(to, p, room);
    prg_wire_fed(in, room);
    p += room;
    n -= room;
  }
  return PRG_OK;
}

/* The most that the body of such a message has, 0: there is none such. */
static const uint32_t limits[256] = {
    ['D'] = INT32_MAX,  /* DataRow */
    ['d'] = INT32_MAX,  /* CopyData */
    ['T'] = INT32_MAX,  /* RowDescription */
    ['E'] = INT32_MAX,  /* ErrorResponse */
    ['N'] = INT32_MAX,  /* NoticeResponse */
    ['A'] = INT32_MAX,  /* NotificationResponse */
    ['t'] = MAX_PARAMS, /* ParameterDescription */
    ['1'] = MAX_SHORT,  /* ParseComplete */
    ['2'] = MAX_SHORT,  /* BindComplete */
    ['3'] = MAX_SHORT,  /* CloseComplete */
    ['C'] = MAX_SHORT,  /* CommandComplete */
    ['G'] = MAX_SHORT,  /* CopyInResponse */
    ['H'] = MAX_SHORT,  /* CopyOutResponse */
    ['I'] = MAX_SHORT,  /* EmptyQueryResponse */
    ['K'] = MAX_SHORT,  /* BackendKeyData */
    ['S'] = MAX_SHORT,  /* ParameterStatus */
    ['W'] = MAX_SHORT,  /* CopyBothResponse */
    ['Z'] = MAX_SHORT,  /* ReadyForQuery */
    ['c'] = MAX_SHORT,  /* CopyDone */
    ['n'] = MAX_SHORT,  /* NoData */
    ['s'] = MAX_SHORT   /* PortalSuspended */
};

/* Body of the message at `pos`, whose head is there. */
static int check_head(struct prg_wire_in *in, const char *head, size_t *len) {
  uint32_t n = prg_wire_get32(head + 1);
  size_t most = limits[(unsigned char)head[0]];
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

/* Are these `len` bytes, INT32_MAX at most, `n` cells and nothing else? */
static bool is_row(const char *p, size_t len, size_t n) {
  if (len < 2 || prg_wire_get16(p) != n) return false;
  p += 2;
  len -= 2;
  for (; n > 0; n--) {
    if (len < 4) return false;
    uint32_t cell = prg_wire_get32(p);
    p += 4;
    len -= 4;
    if (cell > len) {
      if (cell != UINT32_MAX) return false;
      cell = 0; /* NULL */
    }
    p += cell;
    len -= cell;
  }
  return len == 0;
}

/* What is wrong with a DataRow of `len` bytes whose head is at `p`; NULL: it is as
** it should be. */
static const char *fault_of(const char *p, size_t len, size_t ncols) {
  if (len < 4 || len > INT32_MAX) return "a message of impossible length";
  if (!is_row(p + PRG_WIRE_HEAD, len - 4, ncols))
    return "a row that does not have the columns it should have";
  return NULL;
}

/* Is the message at `p`, of which there are `left` bytes, the end of a COPY? */
static bool is_trailer(const char *p, size_t left) {
  return left >= PRG_WIRE_ROW_HEAD && *p == 'd' && prg_wire_get32(p + 1) == 6 &&
         prg_wire_get16(p + PRG_WIRE_HEAD) == 0xffff;
}

static int rows_of(struct prg_wire_in *in, char type,
                   struct prg_wire_rows *rows, const size_t most[2]) {
  size_t ncols = most[0], max = most[1];
  struct prg_wire_block *b = in->block;
  const char *fault = NULL;
  rows->n = 0;
  if (b == NULL) return PRG_OK;
  const char *p = b->data + in->pos, *end = b->data + b->len;
  rows->block = b;
  rows->first = p;
  while (rows->n < max && end - p >= PRG_WIRE_HEAD && *p == type) {
    size_t len = prg_wire_get32(p + 1);
    if (len > (size_t)(end - p) - 1 && len <= INT32_MAX) break;
    if (is_trailer(p, (size_t)(end - p))) break;
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

int prg_wire_rows(struct prg_wire_in *in, size_t ncols, size_t max,
                  struct prg_wire_rows *rows) {
  const size_t most[2] = {ncols, max};
  return rows_of(in, 'D', rows, most);
}

int prg_wire_copy_rows(struct prg_wire_in *in, size_t ncols, size_t max,
                       struct prg_wire_rows *rows) {
  const size_t most[2] = {ncols, max};
  return rows_of(in, 'd', rows, most);
}

/* What is left of the message gets a head of its own, over the end of what is
** taken off. */
int prg_wire_copy_head(struct prg_wire_in *in) {
  static const char magic[11] = "PGCOPY\n\377\r\n";
  struct prg_wire_block *b = in->block;
  size_t left = b == NULL ? 0 : b->len - in->pos, len, head;
  if (left < PRG_WIRE_HEAD) return PRG_AGAIN;
  char *p = b->data + in->pos;
  len = prg_wire_get32(p + 1);
  if (*p != 'd' || len < 4 + COPY_HEAD || len > INT32_MAX)
    return bad(in, "a COPY without a header");
  if (left - 1 < len) return PRG_AGAIN;
  head = prg_wire_get32(p + PRG_WIRE_HEAD + 15);
  if (memcmp(p + PRG_WIRE_HEAD, magic, sizeof magic) != 0 ||
      head > len - 4 - COPY_HEAD)
    return bad(in, "a COPY without a header");
  head += COPY_HEAD;
  in->pos += head;
  if (len - head == 4) { /* nothing but the header */
    in->pos += PRG_WIRE_HEAD;
    return PRG_OK;
  }
  len -= head;
  p += head;
  p[0] = 'd';
  p[1] = (char)(len >> 24);
  p[2] = (char)(len >> 16);
  p[3] = (char)(len >> 8);
  p[4] = (char)len;
  return PRG_OK;
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
