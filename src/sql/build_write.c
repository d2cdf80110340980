/* Statements that write one row, or all that match. */
#include "sql/build_int.h"

void prg__emit_names(struct prg_emit *e, const struct prg_col *const *cols,
                     size_t n) {
  for (size_t i = 0; i < n; i++) {
    if (i > 0) prg_emit_text(e, ", ");
    prg_emit_name(e, &cols[i]->quoted);
  }
}

static void emit_key(struct prg_emit *e, const struct prg_table *t,
                     const struct prg_key *key) {
  for (int i = 0; i < key->ncols; i++) {
    if (i > 0) prg_emit_text(e, ", ");
    prg_emit_name(e, &t->cols[key->cols[i]].quoted);
  }
}

/* ---- RETURNING ---------------------------------------------------------- */

static void emit_all(struct prg_emit *e) {
  if (e->qualifier != NULL) {
    prg_emit_name(e, e->qualifier);
    prg_emit_text(e, ".");
  }
  prg_emit_text(e, "*");
}

void prg__emit_returning(struct prg_emit *e, const struct prg_returning *r) {
  unsigned build = e->d->build;
  if (!r->any) return;
  if ((build & PRG_BUILD_RETURNING) == 0 ||
      (r->created && (build & PRG_BUILD_XMAX) == 0)) {
    prg__emit_fail(e, prg_error_new(PRG_K_UNSUPPORTED,
                                    (build & PRG_BUILD_RETURNING) == 0
                                        ? "%s has no RETURNING"
                                        : "%s does not tell whether a row was "
                                          "inserted",
                                    e->d->name));
    return;
  }
  prg_emit_text(e, " RETURNING ");
  if (r->ncols == 0) emit_all(e);
  for (size_t i = 0; i < r->ncols; i++) {
    if (i > 0) prg_emit_text(e, ", ");
    prg__emit_col(e, r->cols[i]);
  }
  if (r->created) prg_emit_text(e, ", (xmax = 0) AS \"perigee:created\"");
  if (r->mark) prg_emit_text(e, ", @perigee AS `perigee:mark`");
}

/* ---- SET ---------------------------------------------------------------- */

/* In what ON CONFLICT sets, a bare column of the user's SQL is that of the row
** that is there, on each database. Where it could also be the new row's, the
** row that is there is put around it, so that it is nearer. */
static void emit_shadowed(struct prg_emit *e, const struct prg_table *t,
                          const struct prg_raw *raw) {
  prg_emit_text(e, "(SELECT ");
  prg_emit_raw(e, raw);
  prg_emit_text(e, " FROM (SELECT ");
  prg_emit_name(e, &t->alone);
  prg_emit_text(e, ".*) AS ");
  prg_emit_name(e, &t->alone);
  prg_emit_text(e, ")");
}

static void emit_set(struct prg_emit *e, const struct prg_set *set,
                     const struct prg_table *shadow) {
  prg_emit_name(e, &set->col->quoted);
  prg_emit_text(e, " = ");
  if (set->is_default && (e->d->build & PRG_BUILD_DEFAULT) == 0)
    prg__emit_fail(e, prg_error_new(PRG_K_UNSUPPORTED,
                                    "%s: %s cannot set a column of a row that "
                                    "is there to its default",
                                    set->col->name.p, e->d->name));
  else if (set->is_default)
    prg_emit_text(e, "DEFAULT");
  else if (set->to.raw != NULL && shadow != NULL)
    emit_shadowed(e, shadow, set->to.raw);
  else
    prg__emit_operand(e, &set->to);
}

/* ---- when the row is there ---------------------------------------------- */

static void emit_itself(struct prg_emit *e, const struct prg_insert *s) {
  const struct prg_col *col = &s->table->cols[s->key->cols[0]];
  prg_emit_name(e, &col->quoted);
  prg_emit_text(e, " = ");
  prg_emit_name(e, &s->table->alone);
  prg_emit_text(e, ".");
  prg_emit_name(e, &col->quoted);
}

static void emit_do_update(struct prg_emit *e, const struct prg_insert *s) {
  const struct prg_table *shadow =
      (e->d->build & PRG_BUILD_BARE_CLASH) != 0 ? s->table : NULL;
  prg_emit_text(e, " DO UPDATE SET ");
  for (size_t i = 0; i < s->nupdates; i++) {
    if (i > 0) prg_emit_text(e, ", ");
    emit_set(e, &s->updates[i], shadow);
  }
  for (size_t i = 0; i < s->nfrom; i++) {
    if (i + s->nupdates > 0) prg_emit_text(e, ", ");
    prg_emit_name(e, &s->from_row[i]->quoted);
    prg_emit_text(e, " = excluded.");
    prg_emit_name(e, &s->from_row[i]->quoted);
  }
  if (s->nupdates + s->nfrom == 0) emit_itself(e, s);
  e->qualifier = &s->table->alone;
  prg__emit_where(e, s->only);
  e->qualifier = NULL;
}

static void emit_on_conflict(struct prg_emit *e, const struct prg_insert *s) {
  prg_emit_text(e, " ON CONFLICT");
  if (s->key != NULL) {
    prg_emit_text(e, " (");
    emit_key(e, s->table, s->key);
    prg_emit_text(e, ")");
  }
  if (s->conflict == PRG_CONFLICT_NOTHING)
    prg_emit_text(e, " DO NOTHING");
  else
    emit_do_update(e, s);
}

/* ON DUPLICATE KEY UPDATE fires on any key. With PRG_BUILD_STEPS the statement notes what
** was there: see prg_returning.mark. */
static bool has_mark(const struct prg_emit *e, const struct prg_insert *s) {
  return s->conflict != PRG_CONFLICT_ERROR && s->returning.mark &&
         (e->d->build & PRG_BUILD_STEPS) != 0;
}

/* The column that is set to itself. */
static const struct prg_col *same_col(const struct prg_insert *s) {
  const struct prg_key *key = s->key != NULL ? s->key : s->table->unique;
  return &s->table->cols[key != NULL ? key->cols[0] : 0];
}

static void emit_same_key(struct prg_emit *e, const struct prg_insert *s) {
  for (int i = 0; i < s->key->ncols; i++) {
    const struct prg_col *col = &s->table->cols[s->key->cols[i]];
    if (i > 0) prg_emit_text(e, " AND ");
    prg_emit_name(e, &col->quoted);
    prg_emit_text(e, " <=> VALUES(");
    prg_emit_name(e, &col->quoted);
    prg_emit_text(e, ")");
  }
}

/* How the mark is noted: where there is RETURNING in a variable, else as the id that
** the statement gives. */
struct mark {
  const char *before, *there, *other, *barred, *behind;
};

static const struct mark *mark_of(const struct prg_emit *e) {
  static const struct mark variable = {" = IF((@perigee := ", "1", "2", "3",
                                       ") = 0, "};
  static const struct mark id = {" = IF(LAST_INSERT_ID(", PRG_MARK_THERE,
                                 PRG_MARK_OTHER, PRG_MARK_BARRED, ") = 0, "};
  return (e->d->build & PRG_BUILD_RETURNING) != 0 ? &variable : &id;
}

static void emit_mark(struct prg_emit *e, const struct prg_insert *s) {
  const struct prg_col *col = same_col(s);
  const struct mark *m = mark_of(e);
  prg_emit_name(e, &col->quoted);
  prg_emit_text(e, m->before);
  if (s->key != NULL) {
    prg_emit_text(e, "IF(");
    emit_same_key(e, s);
    prg_emit_text(e, ", ");
  }
  if (!prg_cond_is_all(s->only)) {
    prg_emit_text(e, "IF(");
    prg_emit_cond(e, s->only);
    prg_emit_text(e, ", ");
    prg_emit_text(e, m->there);
    prg_emit_text(e, ", ");
    prg_emit_text(e, m->barred);
    prg_emit_text(e, ")");
  } else {
    prg_emit_text(e, m->there);
  }
  if (s->key != NULL) {
    prg_emit_text(e, ", ");
    prg_emit_text(e, m->other);
    prg_emit_text(e, ")");
  }
  prg_emit_text(e, m->behind);
  prg_emit_name(e, &col->quoted);
  prg_emit_text(e, ", ");
  prg_emit_name(e, &col->quoted);
  prg_emit_text(e, ")");
}

/* Where nothing is to be written a column keeps its value. */
static void emit_guard(struct prg_emit *e, const struct prg_insert *s) {
  prg_emit_text(e, "IF(");
  if ((e->d->build & PRG_BUILD_RETURNING) != 0) {
    prg_emit_text(e, "@perigee = 1");
  } else {
    emit_same_key(e, s);
    if (!prg_cond_is_all(s->only)) {
      prg_emit_text(e, " AND ");
      prg_emit_cond(e, s->only);
    }
  }
  prg_emit_text(e, ", ");
}

/* One column of ON DUPLICATE KEY UPDATE; `set` NULL: what the insert would have
** written. */
static void emit_duplicate(struct prg_emit *e, const struct prg_insert *s,
                           const struct prg_col *col,
                           const struct prg_set *set) {
  prg_emit_text(e, ", ");
  prg_emit_name(e, &col->quoted);
  prg_emit_text(e, " = ");
  emit_guard(e, s);
  if (set != NULL && !set->is_default) {
    prg__emit_operand(e, &set->to);
  } else {
    prg_emit_text(e, set == NULL ? "VALUES(" : "DEFAULT(");
    prg_emit_name(e, &col->quoted);
    prg_emit_text(e, ")");
  }
  prg_emit_text(e, ", ");
  prg_emit_name(e, &col->quoted);
  prg_emit_text(e, ")");
}

static void emit_on_duplicate(struct prg_emit *e, const struct prg_insert *s) {
  prg_emit_text(e, " ON DUPLICATE KEY UPDATE ");
  emit_mark(e, s);
  if (s->conflict != PRG_CONFLICT_UPDATE) return;
  for (size_t i = 0; i < s->nupdates; i++)
    emit_duplicate(e, s, s->updates[i].col, &s->updates[i]);
  for (size_t i = 0; i < s->nfrom; i++)
    emit_duplicate(e, s, s->from_row[i], NULL);
}

void prg__emit_conflict(struct prg_emit *e, const struct prg_insert *s) {
  if (s->conflict == PRG_CONFLICT_ERROR) return;
  if ((e->d->build & PRG_BUILD_STEPS) != 0 && !has_mark(e, s)) {
    prg__emit_fail(e, prg_error_new(PRG_K_UNSUPPORTED,
                                    "%s has no clause for the conflict with "
                                    "one key",
                                    e->d->name));
    return;
  }
  if ((e->d->build & PRG_BUILD_ON_CONFLICT) != 0)
    emit_on_conflict(e, s);
  else
    emit_on_duplicate(e, s);
}

/* ---- INSERT ------------------------------------------------------------- */

/* A row of nothing but defaults. SQLite takes no ON CONFLICT behind DEFAULT
** VALUES; there a NULL as rowid stands for a new one. */
static void emit_defaults(struct prg_emit *e, const struct prg_insert *s) {
  unsigned build = e->d->build;
  if ((build & PRG_BUILD_ON_DUPLICATE) != 0)
    prg_emit_text(e, " () VALUES ()");
  else if ((build & PRG_BUILD_DEFAULT) == 0 &&
           s->conflict != PRG_CONFLICT_ERROR)
    prg_emit_text(e, " (_rowid_) VALUES (NULL)");
  else
    prg_emit_text(e, " DEFAULT VALUES");
}

/* The mark is put back when the row is made: a statement that failed, or the row before,
** may have left one. */
static void emit_unmarked(struct prg_emit *e, const struct prg_operand *to) {
  prg_emit_text(e, "IF((@perigee := 0) = 0, ");
  prg__emit_operand(e, to);
  prg_emit_text(e, ", NULL)");
}

void prg__emit_cell(struct prg_emit *e, const struct prg_insert *s,
                    const struct prg_operand *to, bool first) {
  if (first && has_mark(e, s) && (e->d->build & PRG_BUILD_RETURNING) != 0)
    emit_unmarked(e, to);
  else
    prg__emit_operand(e, to);
}

static void emit_given(struct prg_emit *e, const struct prg_insert *s) {
  const char *joint = " (";
  bool first = true;
  for (size_t i = 0; i < s->nsets; i++) {
    if (s->sets[i].is_default) continue;
    prg_emit_text(e, joint);
    prg_emit_name(e, &s->sets[i].col->quoted);
    joint = ", ";
  }
  joint = ") VALUES (";
  for (size_t i = 0; i < s->nsets; i++) {
    if (s->sets[i].is_default) continue;
    prg_emit_text(e, joint);
    prg__emit_cell(e, s, &s->sets[i].to, first);
    first = false;
    joint = ", ";
  }
  prg_emit_text(e, ")");
}

void prg_emit_insert(struct prg_emit *e, const struct prg_insert *s) {
  size_t given = 0;
  for (size_t i = 0; i < s->nsets; i++)
    if (!s->sets[i].is_default) given++;
  prg_emit_text(e, "INSERT INTO ");
  prg_emit_name(e, &s->table->quoted);
  if (given > 0)
    emit_given(e, s);
  else
    emit_defaults(e, s);
  prg__emit_conflict(e, s);
  prg__emit_returning(e, &s->returning);
}

/* ---- UPDATE, DELETE ----------------------------------------------------- */

static void emit_sets(struct prg_emit *e, const struct prg_update *s) {
  const char *joint = " SET ";
  bool in_turn = (e->d->build & PRG_BUILD_IN_TURN) != 0;
  /* Expressions go first then, for they are meant of the row as it was. */
  for (int pass = in_turn ? 0 : 1; pass < 2; pass++)
    for (size_t i = 0; i < s->nsets; i++) {
      bool first = s->sets[i].to.raw != NULL;
      if (in_turn && first != (pass == 0)) continue;
      prg_emit_text(e, joint);
      emit_set(e, &s->sets[i], NULL);
      joint = ", ";
    }
}

void prg_emit_update(struct prg_emit *e, const struct prg_update *s) {
  prg_emit_text(e, "UPDATE ");
  prg_emit_name(e, &s->table->quoted);
  emit_sets(e, s);
  prg__emit_where(e, s->where);
  if (s->returning.any && (e->d->build & PRG_BUILD_UPDATE_PLAIN) != 0)
    prg__emit_fail(
        e, prg_error_new(PRG_K_UNSUPPORTED, "UPDATE has no RETURNING on %s",
                         e->d->name));
  else
    prg__emit_returning(e, &s->returning);
}

void prg_emit_delete(struct prg_emit *e, const struct prg_delete *s) {
  prg_emit_text(e, "DELETE FROM ");
  prg_emit_name(e, &s->table->quoted);
  prg__emit_where(e, s->where);
  prg__emit_returning(e, &s->returning);
}
