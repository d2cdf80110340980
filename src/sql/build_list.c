/* Long lists as one JSON document, for databases with JSON_TABLE and without
** lists as parameters. */
#include <string.h>

#include "sql/build_int.h"

enum { SHORT = 64, LONG = 16000 }; /* characters of a VARCHAR */

/* What the members are in the JSON, and how they are taken out of it. */
struct form {
  const char *type; /* NULL: VARCHAR */
  const char *before, *behind;
};

/* Texts are compared as exactly as their column compares them; what a collation
** that folds takes as equal is not known here. */
static bool find_form(const struct prg_col *col, struct form *f) {
  *f = (struct form){NULL, "v", ""};
  switch (col->cls) {
    case PRG_CLASS_BOOL:
    case PRG_CLASS_INT:
      f->type = "BIGINT";
      return true;
    case PRG_CLASS_FLOAT:
      f->type = "DOUBLE";
      return true;
    case PRG_CLASS_NUMERIC:
      f->type = "DECIMAL(65,30)";
      return true;
    case PRG_CLASS_TEXT:
      f->behind = " COLLATE utf8mb4_bin";
      return !col->folded;
    case PRG_CLASS_BYTES:
      f->before = "UNHEX(v";
      f->behind = ")";
      return true;
    case PRG_CLASS_DATE:
    case PRG_CLASS_TIME:
    case PRG_CLASS_TIMESTAMP:
    case PRG_CLASS_UUID:
      return true;
    default:
      return false;
  }
}

static void add_hex(struct prg_buf *b, const struct prg_text *s) {
  static const char digits[] = "0123456789ABCDEF";
  for (size_t i = 0; i < s->n; i++) {
    unsigned char c = (unsigned char)s->p[i];
    prg_buf_addc(b, digits[c >> 4]);
    prg_buf_addc(b, digits[c & 15]);
  }
}

static void add_text(struct prg_buf *b, const struct prg_text *s) {
  size_t from = 0;
  for (size_t i = 0; i < s->n; i++) {
    unsigned char c = (unsigned char)s->p[i];
    if (c >= 0x20 && c != '"' && c != '\\') continue;
    if (i > from) prg_buf_add(b, s->p + from, i - from);
    prg_buf_addf(b, "\\u%04x", c);
    from = i + 1;
  }
  if (s->n > from) prg_buf_add(b, s->p + from, s->n - from);
}

/* false: nothing that can stand in such a list. */
static bool add_member(struct prg_buf *b, const struct prg_value *v) {
  switch (v->type) {
    case PRG_BOOL:
      prg_buf_addc(b, v->u.b ? '1' : '0');
      return true;
    case PRG_INT:
      prg_buf_addf(b, "%lld", (long long)v->u.i);
      return true;
    case PRG_DOUBLE:
      prg_buf_addf(b, "%.17g", v->u.d);
      return true;
    case PRG_TEXT:
    case PRG_DECIMAL:
    case PRG_BYTES:
      prg_buf_addc(b, '"');
      if (v->type == PRG_BYTES)
        add_hex(b, &v->u.s);
      else
        add_text(b, &v->u.s);
      prg_buf_addc(b, '"');
      return true;
    default:
      return false;
  }
}

/* The list as a document, in the emitter's arena. */
static bool make_document(struct prg_emit *e, const struct prg_vlist *list,
                          struct prg_value *out) {
  struct prg_buf b;
  bool fits = true;
  const char *text;
  prg_buf_init(&b, 0);
  prg_buf_addc(&b, '[');
  for (size_t i = 0; i < list->n && fits; i++) {
    if (i > 0) prg_buf_addc(&b, ',');
    fits = add_member(&b, &list->items[i]);
  }
  prg_buf_addc(&b, ']');
  if (fits) {
    text = b.failed ? NULL : prg_arena_dup(e->arena, b.data, b.len);
    if (text == NULL) prg__emit_fail(e, prg_error_oom());
    *out = (struct prg_value){.type = PRG_JSON, .u.s = {text, b.len}};
  }
  prg_buf_fini(&b);
  return fits;
}

/* So many characters, as few sizes as make few statements. */
static size_t width(const struct prg_vlist *list) {
  size_t longest = 0, n = SHORT;
  for (size_t i = 0; i < list->n; i++) {
    const struct prg_value *v = &list->items[i];
    size_t len = v->type == PRG_BYTES                            ? 2 * v->u.s.n
                 : v->type == PRG_TEXT || v->type == PRG_DECIMAL ? v->u.s.n
                                                                 : SHORT;
    if (len > longest) longest = len;
  }
  while (n < longest) n *= 2;
  return n;
}

static void emit_type(struct prg_emit *e, const struct form *f,
                      const struct prg_vlist *list) {
  size_t n;
  if (f->type != NULL) {
    prg_emit_text(e, f->type);
    return;
  }
  n = width(list);
  if (n > LONG) {
    prg_emit_text(e, "LONGTEXT");
  } else {
    prg_emit_text(e, "VARCHAR(");
    prg_emit_number(e, n);
    prg_emit_text(e, ")");
  }
  prg_emit_text(e, " CHARACTER SET utf8mb4");
}

bool prg__emit_document(struct prg_emit *e, const struct prg_cond *c) {
  const struct prg_vlist *list = c->u.in.list;
  struct prg_value document;
  struct form f;
  if (!find_form(c->col, &f) || !make_document(e, list, &document))
    return false;
  prg_emit_text(e, c->u.in.negated ? " NOT IN (SELECT " : " IN (SELECT ");
  prg_emit_text(e, f.before);
  prg_emit_text(e, f.behind);
  prg_emit_text(e, " FROM JSON_TABLE(");
  prg_emit_param(e, &document);
  prg_emit_text(e, ", '$[*]' COLUMNS (v ");
  emit_type(e, &f, list);
  prg_emit_text(e, " PATH '$' ERROR ON ERROR)) AS perigee_list)");
  return true;
}
