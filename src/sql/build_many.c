/* Statements that write many rows, each with values of its own. */
#include <assert.h>

#include "sql/build_int.h"

/* The rows of the lists are a table of this name; its columns are c1, c2, …, and
** n, the place. No table of a user's has the name. */
#define ROWS "\"perigee:row\""

static void emit_row_col(struct prg_emit *e, size_t i) {
  prg_emit_text(e, ROWS ".c");
  prg_emit_number(e, i + 1);
}

/* unnest($1::T[], …) WITH ORDINALITY AS rows(c1, …, n). The types are said, for
** nothing else does. */
static void emit_unnest(struct prg_emit *e, const struct prg_col *const *cols,
                        const struct prg_vlist *const *lists, size_t n) {
  for (size_t i = 0; i < n; i++) {
    struct prg_value v = {.type = PRG_LIST,
                          .u.list = (struct prg_vlist *)lists[i]};
    prg_emit_text(e, i == 0 ? "unnest(" : ", ");
    prg_emit_param(e, &v);
    prg_emit_text(e, "::");
    prg_emit_text(e, cols[i]->type);
    prg_emit_text(e, "[]");
  }
  prg_emit_text(e, ") WITH ORDINALITY AS " ROWS "(");
  for (size_t i = 0; i < n; i++) {
    prg_emit_text(e, "c");
    prg_emit_number(e, i + 1);
    prg_emit_text(e, ", ");
  }
  prg_emit_text(e, "n)");
}

/* Conflict and RETURNING, as of one row. */
static struct prg_insert as_insert(const struct prg_insert_many *s) {
  struct prg_insert one = {.table = s->table,
                           .conflict = s->conflict,
                           .key = s->key,
                           .from_row = s->from_row,
                           .nfrom = s->nfrom,
                           .only = s->only,
                           .returning = s->returning};
  return one;
}

static void emit_first(struct prg_emit *e, const struct prg_insert_many *s) {
  struct prg_insert one = as_insert(s);
  struct prg_set *sets = prg_arena_alloc(e->arena, s->ncols * sizeof *sets);
  if (sets == NULL) {
    prg__emit_fail(e, prg_error_oom());
    return;
  }
  for (size_t i = 0; i < s->ncols; i++) {
    assert(s->lists[i]->n > 0);
    sets[i] = (struct prg_set){.col = s->cols[i],
                               .to = {.value = s->lists[i]->items[0]}};
  }
  one.sets = sets;
  one.nsets = s->ncols;
  prg_emit_insert(e, &one);
}

static void emit_into(struct prg_emit *e, const struct prg_insert_many *s) {
  prg_emit_text(e, "INSERT INTO ");
  prg_emit_name(e, &s->table->quoted);
  prg_emit_text(e, " (");
  prg__emit_names(e, s->cols, s->ncols);
  prg_emit_text(e, ")");
}

void prg_emit_insert_unnest(struct prg_emit *e,
                            const struct prg_insert_many *s) {
  struct prg_insert one = as_insert(s);
  if ((e->d->build & PRG_BUILD_UNNEST) == 0 || s->ncols == 0) {
    emit_first(e, s);
    return;
  }
  emit_into(e, s);
  prg_emit_text(e, " SELECT ");
  for (size_t i = 0; i < s->ncols; i++) {
    if (i > 0) prg_emit_text(e, ", ");
    emit_row_col(e, i);
  }
  prg_emit_text(e, " FROM ");
  emit_unnest(e, s->cols, s->lists, s->ncols);
  prg_emit_text(e, " ORDER BY " ROWS ".n");
  prg__emit_conflict(e, &one);
  prg__emit_returning(e, &s->returning);
}

void prg_emit_insert_values(struct prg_emit *e, const struct prg_insert_many *s,
                            const struct prg_value *values, size_t rows) {
  struct prg_insert one = as_insert(s);
  emit_into(e, s);
  prg_emit_text(e, " VALUES ");
  for (size_t r = 0; r < rows; r++) {
    prg_emit_text(e, r == 0 ? "(" : ", (");
    for (size_t i = 0; i < s->ncols; i++) {
      const struct prg_operand to = {.value = values[r * s->ncols + i]};
      if (i > 0) prg_emit_text(e, ", ");
      prg__emit_cell(e, &one, &to, i == 0);
    }
    prg_emit_text(e, ")");
  }
  prg__emit_conflict(e, &one);
  prg__emit_returning(e, &s->returning);
}

static void emit_update_where(struct prg_emit *e,
                              const struct prg_update_many *s) {
  for (size_t i = 0; i < s->nkey; i++) {
    prg_emit_text(e, i == 0 ? " WHERE " : " AND ");
    prg__emit_col(e, s->cols[i]);
    prg_emit_text(e, " = ");
    emit_row_col(e, i);
  }
  if (prg_cond_is_all(s->where)) return;
  prg_emit_text(e, " AND (");
  prg_emit_cond(e, s->where);
  prg_emit_text(e, ")");
}

void prg_emit_update_unnest(struct prg_emit *e,
                            const struct prg_update_many *s) {
  assert((e->d->build & PRG_BUILD_UNNEST) != 0);
  prg_emit_text(e, "UPDATE ");
  prg_emit_name(e, &s->table->quoted);
  for (size_t i = s->nkey; i < s->ncols; i++) {
    prg_emit_text(e, i == s->nkey ? " SET " : ", ");
    prg_emit_name(e, &s->cols[i]->quoted);
    prg_emit_text(e, " = ");
    emit_row_col(e, i);
  }
  prg_emit_text(e, " FROM ");
  emit_unnest(e, s->cols, s->lists, s->ncols);
  e->qualifier = &s->table->alone;
  emit_update_where(e, s);
  prg__emit_returning(e, &s->returning);
  e->qualifier = NULL;
}
