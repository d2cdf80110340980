/* Conditions to SQL. A NULL counts as not true, and a negation is the exact
** complement: the only place where SQL's third truth value shows is below a
** NOR, which IS NOT TRUE takes away. */
#include "sql/build_int.h"

void prg__emit_col(struct prg_emit *e, const struct prg_col *col) {
  if (e->qualifier != NULL) {
    prg_emit_name(e, e->qualifier);
    prg_emit_text(e, ".");
  }
  prg_emit_name(e, &col->quoted);
}

void prg__emit_operand(struct prg_emit *e, const struct prg_operand *o) {
  if (o->raw != NULL)
    prg_emit_raw(e, o->raw);
  else
    prg_emit_param(e, &o->value);
}

/* An empty piece would be one more in the key. */
static void emit_piece(struct prg_emit *e, const char *text) {
  if (*text != '\0') prg_emit_text(e, text);
}

void prg__emit_infix(struct prg_emit *e, const struct prg_infix *how,
                     const struct prg_col *col, const char *cast,
                     const struct prg_operand *to) {
  emit_piece(e, how->before);
  prg__emit_col(e, col);
  emit_piece(e, cast);
  emit_piece(e, how->between);
  prg__emit_operand(e, to);
  emit_piece(e, how->after);
}

/* ---- comparisons -------------------------------------------------------- */

static const char *const cmp_text[] = {" = ",  " <> ", " > ",
                                       " >= ", " < ",  " <= "};

static void emit_cmp(struct prg_emit *e, const struct prg_cond *c) {
  const struct prg_operand *to = &c->u.cmp.to;
  if (c->u.cmp.op == PRG_NE && (to->raw != NULL || !c->col->not_null)) {
    prg__emit_infix(e, &e->d->differs, c->col, "", to);
    return;
  }
  prg__emit_col(e, c->col);
  prg_emit_text(e, cmp_text[c->u.cmp.op]);
  prg__emit_operand(e, to);
}

static void emit_between(struct prg_emit *e, const struct prg_cond *c) {
  prg__emit_col(e, c->col);
  prg_emit_text(e, " BETWEEN ");
  prg__emit_operand(e, &c->u.between.low);
  prg_emit_text(e, " AND ");
  prg__emit_operand(e, &c->u.between.high);
}

/* The same written out, for who finds no place in an index by a row: a > x OR a = x
** AND (b > y …). */
static void emit_row_apart(struct prg_emit *e, const struct prg_cond *c) {
  size_t n = c->u.row.n;
  for (size_t i = 0; i < n; i++) {
    prg_emit_text(e, "(");
    prg__emit_col(e, c->u.row.cols[i]);
    prg_emit_text(e, cmp_text[c->u.row.op]);
    prg_emit_param(e, &c->u.row.values[i]);
    if (i == n - 1) break;
    prg_emit_text(e, " OR ");
    prg__emit_col(e, c->u.row.cols[i]);
    prg_emit_text(e, " = ");
    prg_emit_param(e, &c->u.row.values[i]);
    prg_emit_text(e, " AND ");
  }
  for (size_t i = 0; i < n; i++) prg_emit_text(e, ")");
}

static void emit_row(struct prg_emit *e, const struct prg_cond *c) {
  bool many = c->u.row.n > 1;
  if (many && (e->d->build & PRG_BUILD_ROW_APART) != 0) {
    emit_row_apart(e, c);
    return;
  }
  if (many) prg_emit_text(e, "(");
  for (size_t i = 0; i < c->u.row.n; i++) {
    if (i > 0) prg_emit_text(e, ", ");
    prg__emit_col(e, c->u.row.cols[i]);
  }
  if (many) prg_emit_text(e, ")");
  prg_emit_text(e, cmp_text[c->u.row.op]);
  if (many) prg_emit_text(e, "(");
  for (size_t i = 0; i < c->u.row.n; i++) {
    if (i > 0) prg_emit_text(e, ", ");
    prg_emit_param(e, &c->u.row.values[i]);
    if (many && (e->d->build & PRG_BUILD_ROWID) != 0 &&
        c->u.row.cols[i]->cls == PRG_CLASS_INT)
      prg_emit_text(e, " COLLATE BINARY");
  }
  if (many) prg_emit_text(e, ")");
}

/* ---- lists -------------------------------------------------------------- */

static void emit_values(struct prg_emit *e, const struct prg_cond *c) {
  const struct prg_vlist *list = c->u.in.list;
  prg_emit_text(e, c->u.in.negated ? " NOT IN (" : " IN (");
  for (size_t i = 0; i < list->n; i++) {
    if (i > 0) prg_emit_text(e, ", ");
    prg_emit_param(e, &list->items[i]);
  }
  prg_emit_text(e, ")");
}

/* A list of arrays would be an array of more dimensions, which ANY() compares
** by its innermost members: such a list is always written out. */
static void emit_list(struct prg_emit *e, const struct prg_cond *c) {
  const struct prg_vlist *list = c->u.in.list;
  bool negated = c->u.in.negated;
  bool any = (e->d->build & PRG_BUILD_ANY) != 0;
  struct prg_value v = {.type = PRG_LIST, .u.list = (struct prg_vlist *)list};
  if (list->n <= e->d->few || (any && c->col->cls == PRG_CLASS_ARRAY)) {
    emit_values(e, c);
    return;
  }
  if ((e->d->build & PRG_BUILD_JSON_TABLE) != 0) {
    if (!prg__emit_document(e, c)) emit_values(e, c);
    return;
  }
  /* The + takes the affinity from the list's column, so that its members are
  ** compared as those written out are. */
  if (any)
    prg_emit_text(e, negated ? " <> ALL (" : " = ANY (");
  else
    prg_emit_text(e, negated ? " NOT IN (SELECT +value FROM perigee_list("
                             : " IN (SELECT +value FROM perigee_list(");
  prg_emit_param(e, &v);
  prg_emit_text(e, any ? ")" : "))");
}

static void emit_in(struct prg_emit *e, const struct prg_cond *c) {
  bool or_null = c->u.in.negated && !c->col->not_null;
  if (c->u.in.list->n == 0) {
    prg_emit_text(e, c->u.in.negated ? "TRUE" : "FALSE");
    return;
  }
  if (or_null) prg_emit_text(e, "(");
  prg__emit_col(e, c->col);
  emit_list(e, c);
  if (!or_null) return;
  prg_emit_text(e, " OR ");
  prg__emit_col(e, c->col);
  prg_emit_text(e, " IS NULL)");
}

/* ---- groups ------------------------------------------------------------- */

static bool is_group(const struct prg_cond *c) {
  return c->kind == PRG_COND_AND || c->kind == PRG_COND_OR;
}

/* Does it have to stand in parentheses between parts joined by AND, by OR? A
** group of one part is written as this part. */
static bool loose(const struct prg_cond *c) {
  while (is_group(c) && c->u.parts != NULL && c->u.parts->next == NULL)
    c = c->u.parts;
  return is_group(c) && c->u.parts != NULL;
}

/* SQLite reads a OR b OR c as ((a OR b) OR c), and takes a depth of 1,000. */
enum { FLAT = 200 };

/* `n` of more than one part, from `c` on; returns what comes behind. A long chain
** is written as two in parentheses, so that its depth is that of a tree. */
static const struct prg_cond *emit_chain(struct prg_emit *e,
                                         const struct prg_cond *c, size_t n,
                                         const char *joint) {
  if (n > FLAT) {
    prg_emit_text(e, "(");
    c = emit_chain(e, c, n / 2, joint);
    prg_emit_text(e, ")");
    prg_emit_text(e, joint);
    prg_emit_text(e, "(");
    c = emit_chain(e, c, n - n / 2, joint);
    prg_emit_text(e, ")");
    return c;
  }
  for (size_t i = 0; i < n; i++, c = c->next) {
    bool paren = loose(c);
    if (i > 0) prg_emit_text(e, joint);
    if (paren) prg_emit_text(e, "(");
    prg_emit_cond(e, c);
    if (paren) prg_emit_text(e, ")");
  }
  return c;
}

static void emit_parts(struct prg_emit *e, const struct prg_cond *group,
                       const char *joint, const char *none) {
  const struct prg_cond *parts = group->u.parts;
  size_t n = 0;
  for (const struct prg_cond *c = parts; c != NULL; c = c->next) n++;
  if (n == 0)
    prg_emit_text(e, none);
  else if (n == 1)
    prg_emit_cond(e, parts);
  else
    (void)emit_chain(e, parts, n, joint);
}

static void emit_nor(struct prg_emit *e, const struct prg_cond *c) {
  if (c->u.parts == NULL) {
    prg_emit_text(e, "TRUE");
    return;
  }
  prg_emit_text(e, "(");
  emit_parts(e, c, " OR ", "FALSE");
  prg_emit_text(e, ") IS NOT TRUE");
}

void prg_emit_cond(struct prg_emit *e, const struct prg_cond *c) {
  if (c == NULL) {
    prg_emit_text(e, "TRUE");
    return;
  }
  switch (c->kind) {
    case PRG_COND_AND:
      emit_parts(e, c, " AND ", "TRUE");
      break;
    case PRG_COND_OR:
      emit_parts(e, c, " OR ", "FALSE");
      break;
    case PRG_COND_NOR:
      emit_nor(e, c);
      break;
    case PRG_COND_CMP:
      emit_cmp(e, c);
      break;
    case PRG_COND_IN:
      emit_in(e, c);
      break;
    case PRG_COND_NULL:
      prg__emit_col(e, c->col);
      prg_emit_text(e, c->u.is_not_null ? " IS NOT NULL" : " IS NULL");
      break;
    case PRG_COND_BETWEEN:
      emit_between(e, c);
      break;
    case PRG_COND_MATCH:
      prg__emit_match(e, c);
      break;
    case PRG_COND_ROW:
      emit_row(e, c);
      break;
    case PRG_COND_RAW:
      prg_emit_raw(e, c->u.raw);
      break;
  }
}

void prg__emit_where(struct prg_emit *e, const struct prg_cond *where) {
  if (prg_cond_is_all(where)) return;
  prg_emit_text(e, " WHERE ");
  prg_emit_cond(e, where);
}
