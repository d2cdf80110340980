/*
** Numbers, texts and values as bytes. The tags are part of the format: new ones
** are added at the end, old ones never change their meaning.
*/
#include "page/page_int.h"

#include <string.h>

#define MAX_DEPTH 16 /* lists in lists, … */

enum tag {
  TAG_NULL,
  TAG_FALSE,
  TAG_TRUE,
  TAG_INT,
  TAG_DOUBLE,
  TAG_TEXT,
  TAG_BYTES,
  TAG_DECIMAL,
  TAG_JSON,
  TAG_LIST,
  TAG_LIST_BOUNDS,
  TAG_RECORD,
  TAG_RECORD_NAMES,
  TAG_RANGE,
  TAG_MULTIRANGE,
  TAG_HSTORE
};

enum { RANGE_EMPTY = 1, RANGE_LOWER = 2, RANGE_UPPER = 4 };

/* ---- writing ------------------------------------------------------------- */

static void put_byte(struct prg_buf *out, unsigned byte) {
  prg_buf_addc(out, (char)(unsigned char)byte);
}

void prg__put_number(struct prg_buf *out, uint64_t n) {
  while (n >= 0x80) {
    put_byte(out, (unsigned)(n & 0x7f) | 0x80);
    n >>= 7;
  }
  put_byte(out, (unsigned)n);
}

void prg__put_text(struct prg_buf *out, const char *p, size_t n) {
  prg__put_number(out, n);
  if (n > 0) prg_buf_add(out, p, n);
}

/* Small numbers of either sign come to few bytes. */
static void put_int(struct prg_buf *out, int64_t i) {
  uint64_t u = (uint64_t)i << 1;
  prg__put_number(out, i < 0 ? ~u : u);
}

static void put_double(struct prg_buf *out, double d) {
  uint64_t bits;
  memcpy(&bits, &d, sizeof(bits));
  for (int i = 0; i < 8; i++) put_byte(out, (unsigned)(bits >> (8 * i)) & 0xff);
}

static bool put_value(struct prg_buf *out, const struct prg_value *v,
                      int depth);

static bool put_items(struct prg_buf *out, const struct prg_value *items,
                      size_t n, int depth) {
  prg__put_number(out, n);
  for (size_t i = 0; i < n; i++)
    if (!put_value(out, &items[i], depth + 1)) return false;
  return true;
}

static bool put_list(struct prg_buf *out, const struct prg_vlist *l,
                     int depth) {
  if (l->lower == NULL || l->ndim <= 0) {
    put_byte(out, TAG_LIST);
  } else {
    put_byte(out, TAG_LIST_BOUNDS);
    prg__put_number(out, (uint64_t)l->ndim);
    for (int i = 0; i < l->ndim; i++) put_int(out, l->lower[i]);
  }
  return put_items(out, l->items, l->n, depth);
}

static bool put_map(struct prg_buf *out, enum tag tag, const struct prg_vmap *m,
                    int depth) {
  put_byte(out, tag);
  if (!put_items(out, m->values, m->n, depth)) return false;
  for (size_t i = 0; i < m->n && m->keys != NULL; i++)
    prg__put_text(out, m->keys[i].p, m->keys[i].n);
  return true;
}

static bool put_range(struct prg_buf *out, const struct prg_vrange *g,
                      int depth) {
  unsigned flags = (g->empty ? RANGE_EMPTY : 0) |
                   (g->lower_inc ? RANGE_LOWER : 0) |
                   (g->upper_inc ? RANGE_UPPER : 0);
  put_byte(out, TAG_RANGE);
  put_byte(out, flags);
  if (g->empty) return true;
  return put_value(out, &g->lower, depth + 1) &&
         put_value(out, &g->upper, depth + 1);
}

static void put_string(struct prg_buf *out, enum tag tag,
                       const struct prg_value *v) {
  put_byte(out, tag);
  prg__put_text(out, v->u.s.p, v->u.s.n);
}

/* long: table */
static bool put_value(struct prg_buf *out, const struct prg_value *v,
                      int depth) {
  if (depth >= MAX_DEPTH) return false;
  switch (v->type) {
    case PRG_NULL:
      put_byte(out, TAG_NULL);
      break;
    case PRG_BOOL:
      put_byte(out, v->u.b ? TAG_TRUE : TAG_FALSE);
      break;
    case PRG_INT:
      put_byte(out, TAG_INT);
      put_int(out, v->u.i);
      break;
    case PRG_DOUBLE:
      put_byte(out, TAG_DOUBLE);
      put_double(out, v->u.d);
      break;
    case PRG_TEXT:
      put_string(out, TAG_TEXT, v);
      break;
    case PRG_BYTES:
      put_string(out, TAG_BYTES, v);
      break;
    case PRG_DECIMAL:
      put_string(out, TAG_DECIMAL, v);
      break;
    case PRG_JSON:
      put_string(out, TAG_JSON, v);
      break;
    case PRG_LIST:
      return put_list(out, v->u.list, depth);
    case PRG_RECORD:
      return put_map(out,
                     v->u.map->keys != NULL ? TAG_RECORD_NAMES : TAG_RECORD,
                     v->u.map, depth);
    case PRG_RANGE:
      return put_range(out, v->u.range, depth);
    case PRG_MULTIRANGE:
      put_byte(out, TAG_MULTIRANGE);
      return put_items(out, v->u.list->items, v->u.list->n, depth);
    case PRG_HSTORE:
      return put_map(out, TAG_HSTORE, v->u.map, depth);
  }
  return true;
}

bool prg__put_value(struct prg_buf *out, const struct prg_value *v) {
  return put_value(out, v, 0);
}

/* ---- reading ------------------------------------------------------------- */

unsigned prg__get_byte(struct prg__reader *r) {
  if (r->bad || r->p == r->end) {
    r->bad = true;
    return 0;
  }
  return *r->p++;
}

uint64_t prg__get_number(struct prg__reader *r) {
  uint64_t n = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    uint64_t byte = prg__get_byte(r);
    if (shift == 63 && byte > 1) break; /* more than 64 bits */
    n |= (byte & 0x7f) << shift;
    if (byte < 0x80) {
      if (byte == 0 && shift > 0) break; /* one number, one spelling */
      return r->bad ? 0 : n;
    }
  }
  r->bad = true;
  return 0;
}

size_t prg__get_count(struct prg__reader *r) {
  uint64_t n = prg__get_number(r);
  if (r->bad || n > (uint64_t)(r->end - r->p)) {
    r->bad = true;
    return 0;
  }
  return (size_t)n;
}

void *prg__get_room(struct prg__reader *r, size_t n, size_t size) {
  void *room;
  if (r->bad) return NULL;
  room = prg_arena_alloc(r->arena, (n + 1) * size);
  if (room == NULL) {
    r->bad = r->memory = true;
    return NULL;
  }
  memset(room, 0, (n + 1) * size);
  return room;
}

struct prg_text prg__get_text(struct prg__reader *r) {
  struct prg_text t = {"", 0};
  size_t n = prg__get_count(r);
  char *p;
  if (r->bad) return t;
  p = prg_arena_dup(r->arena, r->p, n);
  if (p == NULL) {
    r->bad = r->memory = true;
    return t;
  }
  r->p += n;
  t.p = p;
  t.n = n;
  return t;
}

static int64_t get_int(struct prg__reader *r) {
  uint64_t u = prg__get_number(r);
  uint64_t half = u >> 1;
  return (u & 1) != 0 ? -(int64_t)half - 1 : (int64_t)half;
}

static double get_double(struct prg__reader *r) {
  uint64_t bits = 0;
  double d;
  for (int i = 0; i < 8; i++) bits |= (uint64_t)prg__get_byte(r) << (8 * i);
  memcpy(&d, &bits, sizeof(d));
  return d;
}

static void get_value(struct prg__reader *r, struct prg_value *out, int depth);

static struct prg_value *get_items(struct prg__reader *r, size_t *n,
                                   int depth) {
  struct prg_value *items;
  *n = prg__get_count(r);
  items = prg__get_room(r, *n, sizeof(*items));
  for (size_t i = 0; i < *n && !r->bad; i++) get_value(r, &items[i], depth + 1);
  return items;
}

static void get_bounds(struct prg__reader *r, struct prg_vlist *l) {
  size_t n = prg__get_count(r);
  int32_t *lower = prg__get_room(r, n, sizeof(*lower));
  if (n == 0 || n > MAX_DEPTH) r->bad = true; /* none is another tag */
  for (size_t i = 0; i < n && !r->bad; i++) {
    int64_t bound = get_int(r);
    if (bound < INT32_MIN || bound > INT32_MAX)
      r->bad = true;
    else
      lower[i] = (int32_t)bound;
  }
  if (r->bad) return;
  l->lower = lower;
  l->ndim = (int)n;
}

static void get_list(struct prg__reader *r, enum tag tag, struct prg_value *out,
                     int depth) {
  struct prg_vlist *l = prg__get_room(r, 1, sizeof(*l));
  if (l == NULL) return;
  out->type = tag == TAG_MULTIRANGE ? PRG_MULTIRANGE : PRG_LIST;
  out->u.list = l;
  if (tag == TAG_LIST_BOUNDS) get_bounds(r, l);
  l->items = get_items(r, &l->n, depth);
  /* As a parameter is made: its dimensions are those of its first member, and
  ** one more. */
  if (!r->bad && tag == TAG_LIST && l->n > 0) {
    const struct prg_value *first = &l->items[0];
    l->ndim = first->type == PRG_LIST ? 1 + first->u.list->ndim : 1;
  }
  for (size_t i = 0; i < l->n && !r->bad && tag == TAG_MULTIRANGE; i++)
    if (l->items[i].type != PRG_RANGE) r->bad = true;
}

static void get_map(struct prg__reader *r, enum tag tag, struct prg_value *out,
                    int depth) {
  struct prg_vmap *m = prg__get_room(r, 1, sizeof(*m));
  if (m == NULL) return;
  out->type = tag == TAG_HSTORE ? PRG_HSTORE : PRG_RECORD;
  out->u.map = m;
  m->values = get_items(r, &m->n, depth);
  if (tag == TAG_RECORD || r->bad) return;
  m->keys = prg__get_room(r, m->n, sizeof(*m->keys));
  for (size_t i = 0; i < m->n && !r->bad; i++) {
    enum prg_type type = m->values[i].type;
    m->keys[i] = prg__get_text(r);
    if (tag == TAG_HSTORE && type != PRG_TEXT && type != PRG_NULL)
      r->bad = true;
  }
}

static void get_range(struct prg__reader *r, struct prg_value *out, int depth) {
  struct prg_vrange *g = prg__get_room(r, 1, sizeof(*g));
  unsigned flags = prg__get_byte(r);
  if (flags > (RANGE_EMPTY | RANGE_LOWER | RANGE_UPPER)) r->bad = true;
  if (r->bad) return;
  out->type = PRG_RANGE;
  out->u.range = g;
  g->empty = (flags & RANGE_EMPTY) != 0;
  g->lower_inc = (flags & RANGE_LOWER) != 0;
  g->upper_inc = (flags & RANGE_UPPER) != 0;
  if (g->empty) return;
  get_value(r, &g->lower, depth + 1);
  get_value(r, &g->upper, depth + 1);
}

static void get_string(struct prg__reader *r, enum prg_type type,
                       struct prg_value *out) {
  out->u.s = prg__get_text(r);
  out->type = type;
}

/* long: table */
static void get_value(struct prg__reader *r, struct prg_value *out, int depth) {
  unsigned tag = prg__get_byte(r);
  memset(out, 0, sizeof(*out)); /* PRG_NULL */
  if (depth >= MAX_DEPTH) r->bad = true;
  if (r->bad) return;
  switch (tag) {
    case TAG_NULL:
      return;
    case TAG_FALSE:
    case TAG_TRUE:
      out->type = PRG_BOOL;
      out->u.b = tag == TAG_TRUE;
      return;
    case TAG_INT:
      out->type = PRG_INT;
      out->u.i = get_int(r);
      return;
    case TAG_DOUBLE:
      out->type = PRG_DOUBLE;
      out->u.d = get_double(r);
      return;
    case TAG_TEXT:
      get_string(r, PRG_TEXT, out);
      return;
    case TAG_BYTES:
      get_string(r, PRG_BYTES, out);
      return;
    case TAG_DECIMAL:
      get_string(r, PRG_DECIMAL, out);
      return;
    case TAG_JSON:
      get_string(r, PRG_JSON, out);
      return;
    case TAG_LIST:
    case TAG_LIST_BOUNDS:
    case TAG_MULTIRANGE:
      get_list(r, tag, out, depth);
      return;
    case TAG_RECORD:
    case TAG_RECORD_NAMES:
    case TAG_HSTORE:
      get_map(r, tag, out, depth);
      return;
    case TAG_RANGE:
      get_range(r, out, depth);
      return;
    default:
      r->bad = true;
  }
}

void prg__get_value(struct prg__reader *r, struct prg_value *out) {
  get_value(r, out, 0);
}
