/*
** Conditions as bytes, for cursors and fingerprints. A condition is its code and
** what belongs to it; a column is its name. Codes are part of the format: new
** ones are added at the end.
*/
#include "page/page_int.h"

#include <string.h>

#define MAX_DEPTH 64 /* groups in groups */

enum code {
  CODE_AND,
  CODE_OR,
  CODE_NOR,
  CODE_EQ,
  CODE_NE,
  CODE_GT,
  CODE_GE,
  CODE_LT,
  CODE_LE,
  CODE_IN,
  CODE_NOT_IN,
  CODE_NULL,
  CODE_NOT_NULL,
  CODE_BETWEEN,
  CODE_LIKE,
  CODE_ILIKE,
  CODE_PREFIX,
  CODE_CONTAINS,
  CODE_ICONTAINS,
  CODE_HAS_JSON,
  CODE_HAS_ITEMS,
  CODE_RAW, /* from here on for fingerprints only */
  CODE_ROW
};

static const unsigned char cmp_code[] = {
    [PRG_EQ] = CODE_EQ, [PRG_NE] = CODE_NE, [PRG_GT] = CODE_GT,
    [PRG_GE] = CODE_GE, [PRG_LT] = CODE_LT, [PRG_LE] = CODE_LE};

static const unsigned char match_code[] = {
    [PRG_LIKE] = CODE_LIKE,           [PRG_ILIKE] = CODE_ILIKE,
    [PRG_PREFIX] = CODE_PREFIX,       [PRG_CONTAINS] = CODE_CONTAINS,
    [PRG_ICONTAINS] = CODE_ICONTAINS, [PRG_HAS_JSON] = CODE_HAS_JSON,
    [PRG_HAS_ITEMS] = CODE_HAS_ITEMS};

/* ---- packing ------------------------------------------------------------- */

struct packer {
  struct prg_buf *out;
  bool raw;
};

static void pack_code(struct packer *p, unsigned code) {
  prg_buf_addc(p->out, (char)code);
}

static void pack_col(struct packer *p, const struct prg_col *col) {
  prg__put_text(p->out, col->name.p, col->name.n);
}

static void pack_value(struct packer *p, const struct prg_value *v) {
  if (!prg__put_value(p->out, v)) p->raw = true;
}

static void pack_raw(struct packer *p, const struct prg_raw *raw) {
  p->raw = true;
  prg__put_number(p->out, raw->n);
  for (size_t i = 0; i <= raw->n; i++)
    prg__put_text(p->out, raw->text[i].p, raw->text[i].n);
  for (size_t i = 0; i < raw->n; i++) pack_value(p, &raw->values[i]);
}

static void pack_operand(struct packer *p, const struct prg_operand *o) {
  if (o->raw != NULL)
    pack_raw(p, o->raw);
  else
    pack_value(p, &o->value);
}

static void pack_in(struct packer *p, const struct prg_cond *c) {
  const struct prg_vlist *list = c->u.in.list;
  pack_code(p, c->u.in.negated ? CODE_NOT_IN : CODE_IN);
  pack_col(p, c->col);
  prg__put_number(p->out, list->n);
  for (size_t i = 0; i < list->n; i++) pack_value(p, &list->items[i]);
}

/* The place of a row is in no filter. */
static void pack_row(struct packer *p, const struct prg_cond *c) {
  p->raw = true;
  pack_code(p, CODE_ROW);
  pack_code(p, cmp_code[c->u.row.op]);
  prg__put_number(p->out, c->u.row.n);
  for (size_t i = 0; i < c->u.row.n; i++) {
    pack_col(p, c->u.row.cols[i]);
    pack_value(p, &c->u.row.values[i]);
  }
}

static void pack(struct packer *p, const struct prg_cond *c, int depth);

static void pack_group(struct packer *p, enum code code,
                       const struct prg_cond *c, int depth) {
  size_t n = 0;
  const struct prg_cond *part;
  if (depth >= MAX_DEPTH) p->raw = true;
  for (part = c->u.parts; part != NULL; part = part->next) n++;
  pack_code(p, code);
  prg__put_number(p->out, n);
  for (part = c->u.parts; part != NULL; part = part->next)
    pack(p, part, depth + 1);
}

static void pack(struct packer *p, const struct prg_cond *c, int depth) {
  switch (c->kind) {
    case PRG_COND_AND:
      pack_group(p, CODE_AND, c, depth);
      break;
    case PRG_COND_OR:
      pack_group(p, CODE_OR, c, depth);
      break;
    case PRG_COND_NOR:
      pack_group(p, CODE_NOR, c, depth);
      break;
    case PRG_COND_CMP:
      pack_code(p, cmp_code[c->u.cmp.op]);
      pack_col(p, c->col);
      pack_operand(p, &c->u.cmp.to);
      break;
    case PRG_COND_IN:
      pack_in(p, c);
      break;
    case PRG_COND_NULL:
      pack_code(p, c->u.is_not_null ? CODE_NOT_NULL : CODE_NULL);
      pack_col(p, c->col);
      break;
    case PRG_COND_BETWEEN:
      pack_code(p, CODE_BETWEEN);
      pack_col(p, c->col);
      pack_operand(p, &c->u.between.low);
      pack_operand(p, &c->u.between.high);
      break;
    case PRG_COND_MATCH:
      pack_code(p, match_code[c->u.match.how]);
      pack_col(p, c->col);
      pack_value(p, &c->u.match.value);
      break;
    case PRG_COND_ROW:
      pack_row(p, c);
      break;
    case PRG_COND_RAW:
      pack_code(p, CODE_RAW);
      pack_raw(p, c->u.raw);
      break;
  }
}

int prg_filter_pack(const struct prg_cond *c, struct prg_buf *out, bool *raw) {
  struct packer p = {out, false};
  if (!prg_cond_is_all(c)) pack(&p, c, 0);
  *raw = p.raw;
  return out->failed ? PRG_ERR : PRG_OK;
}

/* ---- unpacking ----------------------------------------------------------- */

struct unpacker {
  struct prg__reader r;
  const struct prg_table *table;
  struct prg_text gone; /* a column that the table has not; p NULL: none */
};

static void unpack_col(struct unpacker *u, struct prg_cond *c) {
  struct prg_text name = prg__get_text(&u->r);
  if (u->r.bad) return;
  c->col = prg_table_col(u->table, name.p, name.n);
  if (c->col != NULL) return;
  u->gone = name;
  u->r.bad = true;
}

/* What is compared with is never NULL. */
static void unpack_given(struct unpacker *u, struct prg_value *out) {
  prg__get_value(&u->r, out);
  if (out->type == PRG_NULL) u->r.bad = true;
}

static struct prg_cond *unpack_in(struct unpacker *u, struct prg_cond *c,
                                  bool negated) {
  struct prg_vlist *list = prg__get_room(&u->r, 1, sizeof(*list));
  unpack_col(u, c);
  if (list == NULL || u->r.bad) return NULL;
  c->u.in.negated = negated;
  c->u.in.list = list;
  list->n = prg__get_count(&u->r);
  list->ndim = 1;
  list->items = prg__get_room(&u->r, list->n, sizeof(*list->items));
  if (list->n == 0) u->r.bad = true;
  for (size_t i = 0; i < list->n && !u->r.bad; i++)
    unpack_given(u, &list->items[i]);
  return c;
}

static struct prg_cond *unpack_match(struct unpacker *u, struct prg_cond *c,
                                     enum prg_match how) {
  enum prg_type type;
  unpack_col(u, c);
  c->u.match.how = how;
  unpack_given(u, &c->u.match.value);
  type = c->u.match.value.type;
  if (how == PRG_HAS_JSON ? type != PRG_JSON
                          : how != PRG_HAS_ITEMS && type != PRG_TEXT)
    u->r.bad = true;
  return c;
}

static struct prg_cond *unpack_compare(struct unpacker *u, struct prg_cond *c,
                                       enum prg_cmp op) {
  unpack_col(u, c);
  c->u.cmp.op = op;
  unpack_given(u, &c->u.cmp.to.value);
  return c;
}

static struct prg_cond *unpack_between(struct unpacker *u, struct prg_cond *c) {
  unpack_col(u, c);
  unpack_given(u, &c->u.between.low.value);
  unpack_given(u, &c->u.between.high.value);
  return c;
}

static struct prg_cond *unpack(struct unpacker *u, int depth);

static struct prg_cond *unpack_group(struct unpacker *u, struct prg_cond *c,
                                     int depth) {
  size_t n = prg__get_count(&u->r);
  if (depth >= MAX_DEPTH) u->r.bad = true;
  for (size_t i = 0; i < n && !u->r.bad; i++) {
    struct prg_cond *part = unpack(u, depth + 1);
    if (part != NULL && !u->r.bad) prg_cond_add(c, part);
  }
  return c;
}

/* The index of a code in a table of `n`, or n. */
static unsigned find(const unsigned char *codes, unsigned n, unsigned code) {
  unsigned i;
  for (i = 0; i < n; i++)
    if (codes[i] == code) break;
  return i;
}

static enum prg_cond_kind kind_of(unsigned code) {
  if (code == CODE_AND) return PRG_COND_AND;
  if (code == CODE_OR) return PRG_COND_OR;
  if (code == CODE_NOR) return PRG_COND_NOR;
  if (code <= CODE_LE) return PRG_COND_CMP;
  if (code <= CODE_NOT_IN) return PRG_COND_IN;
  if (code <= CODE_NOT_NULL) return PRG_COND_NULL;
  return code == CODE_BETWEEN ? PRG_COND_BETWEEN : PRG_COND_MATCH;
}

static struct prg_cond *unpack(struct unpacker *u, int depth) {
  unsigned code = prg__get_byte(&u->r);
  struct prg_cond *c = NULL;
  if (code >= CODE_RAW) u->r.bad = true;
  if (u->r.bad) return NULL;
  c = prg_cond_new(u->r.arena, kind_of(code));
  if (c == NULL) {
    u->r.bad = u->r.memory = true;
    return NULL;
  }
  switch (c->kind) {
    case PRG_COND_AND:
    case PRG_COND_OR:
    case PRG_COND_NOR:
      return unpack_group(u, c, depth);
    case PRG_COND_CMP:
      return unpack_compare(
          u, c, (enum prg_cmp)find(cmp_code, sizeof(cmp_code), code));
    case PRG_COND_IN:
      return unpack_in(u, c, code == CODE_NOT_IN);
    case PRG_COND_NULL:
      unpack_col(u, c);
      c->u.is_not_null = code == CODE_NOT_NULL;
      return c;
    case PRG_COND_BETWEEN:
      return unpack_between(u, c);
    default:
      return unpack_match(
          u, c, (enum prg_match)find(match_code, sizeof(match_code), code));
  }
}

static struct prg_error *explain(const struct unpacker *u) {
  if (u->r.memory) return prg_error_oom();
  if (u->gone.p != NULL)
    return prg_error_new(PRG_K_CURSOR,
                         "the filter of the cursor names the column %.64s, "
                         "which %s does not have any more",
                         u->gone.p, u->table->title.p);
  return prg_error_new(PRG_K_CURSOR, "the filter of the cursor cannot be read");
}

int prg_filter_unpack(const struct prg_table *t, const char *data, size_t len,
                      struct prg_arena *a, struct prg_cond **out,
                      struct prg_error **err) {
  struct unpacker u;
  memset(&u, 0, sizeof(u));
  u.r.p = (const unsigned char *)data;
  u.r.end = u.r.p + len;
  u.r.arena = a;
  u.table = t;
  *out = NULL;
  if (len == 0) return PRG_OK;
  *out = unpack(&u, 0);
  if (!u.r.bad && u.r.p == u.r.end) return PRG_OK;
  *out = NULL;
  *err = explain(&u);
  return PRG_ERR;
}
